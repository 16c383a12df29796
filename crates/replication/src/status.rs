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
    electorate: Mutex<Electorate>,
}

/// Who decides on a transaction that begins now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Electorate {
    /// This node alone.
    #[default]
    Alone,
    /// These nodes.
    Voters(Arc<[u64]>),
    /// Nobody yet: the members have just changed, and not all of them have been heard.
    Unknown,
}

impl Electorate {
    fn of(members: &BTreeSet<u64>, has_met: bool) -> Self {
        match (members.len(), has_met) {
            (0 | 1, _) => Self::Alone,
            (_, true) => Self::Voters(members.iter().copied().collect()),
            (_, false) => Self::Unknown,
        }
    }
}

impl Board {
    pub(crate) fn set(&self, status: Status) {
        self.role.store(status.role as u8, Ordering::Release);
        *self.electorate.lock() = Electorate::of(&status.members, status.has_met);
        *self.status.lock() = status;
    }

    pub(crate) fn electorate(&self) -> Electorate {
        self.electorate.lock().clone()
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
    /// All of them have been heard in this epoch: transactions may begin.
    pub has_met: bool,
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
    /// Batches that the group never got of this node, which are to be written again, as far as they have been counted.
    pub undelivered: u64,
    /// Effects that were not, since something had come in their place.
    pub superseded: u64,
    /// Batches of other nodes that were applied.
    pub batches_in: u64,
    /// Effects in them.
    pub effects_in: u64,
    /// Transactions of any node that wait for their verdict.
    pub undecided: usize,
    /// Keys whose transactions one node leads.
    pub led: usize,
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
            true if self.back.has_undelivered => Role::Joining,
            true => Role::Member,
            false if self.is_dropped || replica.is_outside() || self.was_dropped() => Role::Dropped,
            false => Role::Joining,
        };
        self.status.set(Status {
            role,
            waits_for: match replica.may_write() {
                true if self.back.has_undelivered => self.back.waits_for(),
                true => String::new(),
                false => replica.waits_for(),
            },
            undelivered: self.back.left,
            superseded: self.back.superseded,
            epoch: replica.epoch().number,
            members: replica.epoch().members.clone(),
            has_met: self.desk.has_met(),
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
            undecided: self.engine.undecided_count(),
            led: self.desk.led().count(),
            outcomes: self.verdicts.outcomes(),
        });
    }
}
