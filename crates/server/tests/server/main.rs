//! A whole server in this process, driven over TCP.

mod admin;
mod clients;
mod data;
mod harness;
mod introspection;
mod pubsub;
mod transactions;
