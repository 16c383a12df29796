//! The server: listeners, sessions, publish/subscribe, configuration and the I/O loop.
//!
//! It turns bytes from sockets into commands and replies into bytes, and keeps what concerns clients rather than keys.
//! It is not the database: it never touches a key but through the executor of commands.
//!
//! ```text
//! sockets ─▶ net (poll rounds) ─▶ front ─▶ command::Executor ─▶ engine
//!               ▲                  │  └──▶ session, admin (handlers)
//!               └── mail ◀── broker, waiting ◀─┘
//! ```
//!
//! Read first: [`serve`], [`front::Front`], [`node::Node`].
//!
//! *Invariant:* no reply leaves before the log is as durable as the policy asks: the front commits once a round.
//! *Invariant:* threads share nothing but the node; what a thread wants of another thread's client it sends by mail.

pub mod admin;
pub mod archiver;
pub mod backups;
pub mod broker;
pub mod client;
pub mod config;
mod effect_logs;
mod follow;
pub mod front;
pub mod keys;
pub mod latency;
pub mod limits;
pub mod lobby;
mod member;
pub mod memory;
pub mod message;
pub mod net;
pub mod node;
pub mod rates;
pub mod readers;
mod refusal;
pub mod renames;
pub mod serve;
pub mod session;
mod settings;
pub mod stats;
pub mod waiting;
