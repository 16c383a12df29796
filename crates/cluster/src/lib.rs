//! The wire between nodes: who is of the cluster, connections with all of them, and frames on these.
//!
//! It is not: membership, replication, or gossip. What a frame means is known to whoever sends it.
//!
//! ```text
//! passphrase ─▶ authority ─▶ certificates ─┐
//! join, add_peer ─▶ routes ─dial─▶ TCP ─▶ TLS 1.3, mutual ─▶ greeting ─▶ up
//!                   strangers ──▶  ┘
//! Mesh::send ─▶ outbox ─▶ frames ═══ one connection for each pair of nodes ═══▶ inbox ─▶ Inbox::recv
//! ```
//! Read first: [`Mesh`] (the handle), [`Event`] (what it tells), [`Config`] (what it is told).
//!
//! *Invariant:* nobody without a passphrase of the cluster sends a byte that is looked at, but those of a TLS handshake.
//!
//! *Invariant:* every queue has a bound; at its end the sender is told, or the peer is not read.

mod authority;
mod backoff;
mod clock;
mod config;
mod conn;
mod credentials;
mod driver;
mod error;
mod event;
mod frame;
mod hello;
mod inbox;
pub mod limits;
mod mesh;
mod metrics;
mod node;
mod outbox;
mod passphrase;
mod peers;
mod resolve;
mod routes;
mod shared;
#[cfg(test)]
mod tests;
mod timers;

pub use backoff::Backoff;
pub use clock::{Clock, SystemClock};
pub use config::{Config, PORT_OFFSET, default_port};
pub use error::{Error, SendError, Why};
pub use event::{Event, Peer};
pub use inbox::{Inbox, Nudge};
pub use mesh::Mesh;
pub use metrics::{Metrics, PeerMetrics};
pub use node::{NodeId, Region};
pub use passphrase::{Passphrase, Passphrases, generate};
pub use resolve::{Resolve, SystemResolver};
