//! How a member is doing, for INFO and for metrics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use cluster::NodeId;
use effect::{Hlc, Origin, Vector};
use parking_lot::Mutex;

use crate::driver::Driver;
use crate::verdicts::Outcomes;

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

impl Role {
    fn of(number: u8) -> Self {
        [Self::Joining, Self::Member, Self::Dropped].into_iter().find(|role| *role as u8 == number).unwrap_or_default()
    }
}

/// Where the driver says how it is doing.
#[derive(Debug, Default)]
pub(crate) struct Board {
    status: Mutex<Status>,
    /// The same role, for whoever asks at each command.
    role: AtomicU8,
    /// The members, if they are several.
    voters: Mutex<Option<Arc<[u64]>>>,
}

impl Board {
    pub(crate) fn set(&self, status: Status) {
        self.role.store(status.role as u8, Ordering::Release);
        self.set_voters(&status.members);
        *self.status.lock() = status;
    }

    fn set_voters(&self, members: &BTreeSet<u64>) {
        let mut voters = self.voters.lock();
        if !members.iter().eq(voters.iter().flat_map(|voters| voters.iter())) {
            *voters = (members.len() > 1).then(|| members.iter().copied().collect());
        }
    }

    pub(crate) fn voters(&self) -> Option<Arc<[u64]>> {
        self.voters.lock().clone()
    }

    pub(crate) fn get(&self) -> Status {
        self.status.lock().clone()
    }

    pub(crate) fn role(&self) -> Role {
        Role::of(self.role.load(Ordering::Acquire))
    }

    pub(crate) fn peers(&self) -> Vec<NodeId> {
        self.status.lock().peers.iter().map(|peer| peer.node).collect()
    }
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
    /// Transactions of any node that wait for their verdict.
    pub undecided: usize,
    /// How those that were begun here have ended.
    pub outcomes: Outcomes,
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
    /// For how long the first of them has been there, in ms.
    pub lag_ms: u64,
}

impl Driver {
    /// Whether the group has gone on without this node since it was a member.
    fn was_dropped(&self) -> bool {
        let epoch = self.replica.epoch();
        !self.membership.restored && !epoch.members.is_empty() && !epoch.has(self.engine.origin().node())
    }

    /// Says how things are.
    pub(crate) fn tell_status(&self, trouble: Option<String>) {
        let replica = &self.replica;
        let (own, now) = (replica.applied().get(replica.origin()), Instant::now());
        let mut peers: Vec<PeerStatus> = Vec::new();
        for peer in replica.peers() {
            let Some(link) = self.links.node(peer.link).and_then(|node| self.links.of(node)) else { continue };
            peers.push(PeerStatus {
                node: link.peer.node,
                address: link.peer.announced.clone(),
                seen_at: link.peer.addr.to_string(),
                region: link.peer.region.to_string(),
                lag_effects: own.saturating_sub(peer.has.get(replica.origin())),
                lag_ms: self.lag.of(peer.has.get(replica.origin()), now).as_millis() as u64,
                has: peer.has.clone(),
                rtt_micros: link.rtt_micros,
            });
        }
        peers.sort_by_key(|peer| peer.node);
        let role = match replica.may_write() {
            true => Role::Member,
            false if self.is_dropped || self.was_dropped() => Role::Dropped,
            false => Role::Joining,
        };
        self.status.set(Status {
            role,
            waits_for: if replica.may_write() { String::new() } else { replica.waits_for() },
            epoch: replica.epoch().number,
            members: replica.epoch().members.clone(),
            origin: Some(replica.origin()),
            applied: replica.applied().clone(),
            durable: replica.durable().clone(),
            stable: replica.cut().vector.clone(),
            stable_hlc: replica.cut().hlc,
            peers,
            trouble,
            needs_snapshot: self.needs_snapshot,
            gives_snapshot: self.giver.is_giving(),
            takes_snapshot: self.taker.is_taking(),
            batches_in: self.batches_in,
            effects_in: self.effects_in,
            undecided: self.engine.undecided().len(),
            outcomes: self.verdicts.outcomes(),
        });
    }
}
