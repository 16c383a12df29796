//! The I/O loop: sockets on one side, an [`App`] on the other. It knows nothing of what commands mean.
//!
//! ```text
//!             ┌──────────────────────── one I/O thread, one poll round ────────────────────────┐
//!   wait ──▶ mail ──▶ timers ──▶ read and decode ──▶ App::execute ──▶ App::end_of_round ──▶ write replies ──▶ close
//!             ▲                     each ready client, bounded          once: log, fsync      one write a client
//!             │
//!   Post ─────┘ any thread: pushes, results of blocked commands, kills
//! ```
//!
//! Read first: [`App`], [`Server`], and `worker`, where the round is.
//!
//! Threads share nothing but counters and mailboxes. Thread 0 accepts, and hands each new socket to the thread with the
//! fewest clients.
//!
//! *Invariant:* nothing that was written in a round leaves before [`App::end_of_round`] of that round has returned.
//!
//! *Invariant:* a client costs memory in proportion to what it has sent and has not read, within its limits; an idle one
//! holds no buffer.

mod app;
mod client;
mod config;
mod counters;
mod gather;
mod limits;
mod listener;
mod mailbox;
mod output;
mod server;
mod sessions;
mod settings;
mod sweep;
mod timers;
mod tls;
mod transport;
mod turn;
mod worker;

pub use app::{
    App, Behind, ClientAddr, ClientId, ClientSettings, Flow, Now, Outbox, Peer, PeerAddr, ThreadId, Turn, Verdict,
};
pub use config::{NetConfig, NetError, SessionCache, TcpEndpoint, TlsFiles, UnixEndpoint};
pub use counters::{ClientGauge, Totals};
pub use mailbox::{Post, SendError};
pub use output::{OutputClass, OutputLimit};
pub use server::{Control, Server, allow_files};
pub use settings::Settings;
