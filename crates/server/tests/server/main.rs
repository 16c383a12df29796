//! A whole server in this process, driven over TCP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod clients;
mod data;
mod harness;
mod introspection;
mod pubsub;
mod transactions;
