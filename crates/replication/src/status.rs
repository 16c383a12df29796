//! How a member is doing, for INFO and for metrics.

use std::collections::BTreeSet;

use cluster::NodeId;
use effect::{Hlc, Origin, Vector};

/// What a node is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It asks to join, or waits until all members count on it.
    #[default]
    Joining,
    /// It takes writes.
    Member,
    /// It was a member and is none any more.
    Dropped,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// What the node is.
    pub role: Role,
    /// Why it may not write, if so.
    pub waits_for: String,
    /// The number of the epoch.
    pub epoch: u64,
    /// The ids of the members.
    pub members: BTreeSet<u64>,
    /// The origin that this node writes as; incarnation 0 as long as it has none.
    pub origin: Option<Origin>,
    /// What is in the log.
    pub applied: Vector,
    /// What of it is fsynced, as far as replication has heard.
    pub durable: Vector,
    /// What is stable.
    pub stable: Vector,
    /// Everything up to this timestamp is stable.
    pub stable_hlc: Option<Hlc>,
    /// Nodes that there is a connection with.
    pub peers: Vec<PeerStatus>,
    /// What cannot be carried out at the moment, and why.
    pub trouble: Option<String>,
    /// Effects that no peer's log has any more are missing here.
    pub needs_snapshot: bool,
    /// A copy of this node's state is being given to another.
    pub gives_snapshot: bool,
    /// A copy of another node's state is on its way.
    pub takes_snapshot: bool,
    /// Batches of other nodes that were applied.
    pub batches_in: u64,
    /// Effects in them.
    pub effects_in: u64,
}

/// A peer.
#[derive(Debug, Clone)]
pub struct PeerStatus {
    /// Who.
    pub node: NodeId,
    /// Where it says that it can be dialed.
    pub address: Option<String>,
    /// The other end of the connection.
    pub seen_at: String,
    /// Its region.
    pub region: String,
    /// What it has fsynced, by its last statement.
    pub has: Vector,
    /// The way there and back by the state machine's statements or the mesh's pings, in microseconds; 0 if not measured.
    pub rtt_micros: u32,
    /// Effects of this node that it has not said to have fsynced.
    pub lag_effects: u64,
}
