//! Proofs from outside. Everything here speaks RESP to a running server, as a stranger would: nothing is shared with the
//! server's crates, so that no mistake can be made twice in the same way (only `fuzz` links their decoders, to break them).
//!
//! ```text
//!   server ── starts and kills servers        diff ──── same random commands to two servers
//!   conn ──── a pipelined connection          golden ── transcripts of what the oracle does not know
//!   resp ──── replies, parsed                 crash ─── kill -9, restart, compare with a model
//!   torn ──── crash states of the disk        crowd ─── thousands of clients, some of them hostile
//!   proxy ─── plants bugs on the wire         bench ─── side by side with redis-server
//!   lag ───── a proxy that is far away, and can be cut
//!   cluster ─ nodes of a causal group, with faults all the time; `history` says what their clients may have seen
//!   fuzz ───── mutated bytes into decoders and sockets
//!   measure ─ longer runs beside redis-server: sustained writes, starts, more data than memory, pauses, disk given back
//!   selftest  shows that each harness catches a planted bug
//! ```
//!
//! What it is not: unit tests (those live beside the code) and anything that ships.
//!
//! Read first: [`resp::Value`], [`server::Server`], [`diff::Options`].
#![allow(clippy::print_stdout, reason = "these are command-line tools: their report is their output")]

pub mod bench;
pub mod cluster;
pub mod conn;
pub mod crash;
pub mod crowd;
pub mod diff;
pub mod fuzz;
pub mod golden;
pub mod history;
pub mod lag;
pub mod measure;
pub mod proxy;
pub mod resp;
pub mod rng;
pub mod selftest;
pub mod server;
pub mod torn;
