//! A whole server in this process, driven over TCP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod blocking;
mod clients;
mod cluster;
mod copies;
mod data;
mod definitions;
mod described;
mod directives;
mod effects;
mod encryption;
mod events;
mod figures;
mod group;
mod harness;
mod introspection;
mod keyspaces;
mod leaders;
mod manners;
mod monitor;
mod net;
mod net_tls;
mod oracle;
mod parking;
mod pubsub;
mod replicas;
mod rig;
mod room;
mod secrets;
mod transactions;
