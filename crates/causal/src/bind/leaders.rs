//! Keys whose transactions keep aborting: one leader runs them for a while.
//!
//! *Invariant:* a leader is a matter of speed only. Whoever knows of none, or takes it for dead, runs the transaction itself, and
//! consensus sees to it that at most one of competitors commits.

use std::collections::{BTreeMap, BTreeSet};

use effect::Stamp;

use crate::bind::ballot::NodeId;
use crate::bind::limits::{DEFAULT_SERIALIZATION_THRESHOLD, FORWARD_TIMEOUT_MS, MAX_COUNTED_KEYS, QUIET_RELEASE_MS};
use crate::bind::machine::{Binds, Step};
use crate::bind::message::{Exec, Output, Peers};
use crate::bind::table::Held;
use crate::bind::transaction::{Bind, Key};

/// Aborts in a row, and leaders, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Leaders {
    streaks: BTreeMap<Key, Streak>,
    led: BTreeMap<Key, Led>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Streak {
    aborts: u32,
    contenders: BTreeSet<NodeId>,
    last_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Led {
    /// None once it is released: remembered for a while, so that an older effect does not count.
    leader: Option<NodeId>,
    stamp: Stamp,
    active_ms: u64,
    /// A release was logged, and has not come back yet.
    releasing: bool,
}

/// Where an EXEC runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// On this node.
    Here,
    /// On this node, which leads its keys.
    Mine,
    /// On the leader of its keys.
    To(NodeId),
}

impl Leaders {
    /// The leader of a key, if its transactions are serialised.
    pub fn leader(&self, key: &Key) -> Option<NodeId> {
        self.led.get(key)?.leader
    }

    /// Where a transaction over `keys` runs. A leader that does not answer is released. Of several the one with the lowest id leads all of them
    /// from now on: whoever moves a key moves it to a lower one, so nobody moves it back.
    pub(crate) fn route(&mut self, keys: &[Key], node: NodeId, peers: &Peers, step: &mut Step) -> Route {
        let mut led = Vec::new();
        for key in keys {
            let Some(found) = self.led.get_mut(key) else { continue };
            let Some(leader) = found.leader else { continue };
            found.active_ms = found.active_ms.max(step.now_ms);
            if leader == node || peers.alive.contains(&leader) {
                led.push((leader, key));
            } else if !std::mem::replace(&mut found.releasing, true) {
                step.push(Output::EmitSerialize(key.clone(), None));
            }
        }
        let Some(first) = led.iter().map(|(leader, _)| *leader).min() else { return Route::Here };
        let others: BTreeSet<&Key> = led.iter().filter(|(leader, _)| *leader != first).map(|(_, key)| *key).collect();
        others.into_iter().for_each(|key| step.push(Output::EmitSerialize(key.clone(), Some(first))));
        if first == node { Route::Mine } else { Route::To(first) }
    }

    /// A bind was decided. A node counts the aborts of those that were begun on it; a row of them that is long enough makes it name a
    /// leader.
    pub(crate) fn verdict(&mut self, bind: &Bind, commit: bool, node: NodeId, peers: &Peers, step: &mut Step) {
        let mine = bind.originator() == node;
        for used in bind.keys() {
            if let Some(led) = self.led.get_mut(&used.key) {
                led.active_ms = led.active_ms.max(step.now_ms);
            }
            if !commit {
                self.make_room(&used.key);
                self.streaks.entry(used.key.clone()).or_default();
            }
            let Some(streak) = self.streaks.get_mut(&used.key) else { continue };
            streak.contenders.insert(bind.originator());
            streak.last_ms = step.now_ms;
            match (mine, commit) {
                (true, true) => streak.aborts = 0,
                (true, false) => streak.aborts += 1,
                (false, _) => {}
            }
            self.name_leader(&used.key, node, peers, step);
        }
    }

    /// Transactions of this node have failed because of undecided ones on the key. It names a leader as if they had been aborted.
    pub(crate) fn lost(
        &mut self,
        (key, times): (&Key, u32),
        rivals: impl IntoIterator<Item = NodeId>,
        node: NodeId,
        peers: &Peers,
        step: &mut Step,
    ) {
        self.make_room(key);
        let streak = self.streaks.entry(key.clone()).or_default();
        streak.contenders.extend(rivals);
        streak.contenders.insert(node);
        streak.last_ms = step.now_ms;
        streak.aborts = streak.aborts.saturating_add(times);
        self.name_leader(key, node, peers, step);
    }

    /// Names a leader if the row of aborts is long enough, and there is none. Whoever cannot be reached leads nobody.
    fn name_leader(&mut self, key: &Key, node: NodeId, peers: &Peers, step: &mut Step) {
        let Some(streak) = self.streaks.get_mut(key) else { return };
        let is_led = self.led.get(key).is_some_and(|led| led.leader.is_some());
        if streak.aborts >= DEFAULT_SERIALIZATION_THRESHOLD && !is_led {
            streak.contenders.retain(|other| *other == node || peers.alive.contains(other));
            let leader = choose_leader(&streak.contenders, peers);
            step.push(Output::EmitSerialize(key.clone(), leader));
            streak.aborts = 0;
        }
    }

    /// Forgets at least half of the rows of aborts, those that were quiet longest, if there are too many for one more.
    fn make_room(&mut self, key: &Key) {
        if self.streaks.len() < MAX_COUNTED_KEYS || self.streaks.contains_key(key) {
            return;
        }
        let mut last: Vec<u64> = self.streaks.values().map(|streak| streak.last_ms).collect();
        let middle = *last.select_nth_unstable(MAX_COUNTED_KEYS / 2).1;
        self.streaks.retain(|_, streak| streak.last_ms > middle);
    }

    /// An effect has named a leader, or released the key: of several the one with the latest stamp counts.
    pub(crate) fn serialize(&mut self, key: Key, leader: Option<NodeId>, stamp: Stamp, now_ms: u64) {
        let led = Led { leader, stamp, active_ms: now_ms, releasing: false };
        match self.led.get_mut(&key) {
            Some(before) if before.stamp >= stamp => {}
            Some(before) => *before = led,
            None => drop(self.led.insert(key, led)),
        }
    }

    /// Releases keys that this node leads and nobody has used for a while; forgets what is long over.
    pub(crate) fn tick(&mut self, node: NodeId, step: &mut Step) {
        let quiet_ms = |led: &Led| step.now_ms.saturating_sub(led.active_ms);
        let mut released = Vec::new();
        for (key, led) in &mut self.led {
            if led.leader == Some(node) && quiet_ms(led) >= QUIET_RELEASE_MS && !led.releasing {
                led.releasing = true;
                released.push(Output::EmitSerialize(key.clone(), None));
            }
        }
        self.led.retain(|_, led| quiet_ms(led) < 2 * QUIET_RELEASE_MS);
        self.streaks.retain(|_, streak| step.now_ms.saturating_sub(streak.last_ms) < 2 * QUIET_RELEASE_MS);
        released.into_iter().for_each(|output| step.push(output));
    }
}

impl Binds {
    /// So many transactions of this node could not begin because of others on the key.
    pub(crate) fn lost(&mut self, key: &Key, times: u32, step: &mut Step) {
        let writes = |held: &&Held| held.bind.keys().iter().any(|used| used.written && used.key == *key);
        let open = self.table.of_key(key).filter(|held| !held.settled()).filter(writes);
        let rivals: Vec<NodeId> = open.map(Held::originator).collect();
        if !rivals.is_empty() {
            self.leaders.lost((key, times), rivals, self.node, &self.peers, step);
        }
    }

    /// A client's EXEC runs here, or at its leader.
    pub(crate) fn exec(&mut self, id: u64, keys: &[Key], mut exec: Box<Exec>, forwarded: bool, step: &mut Step) {
        exec.led = keys.iter().filter(|key| self.leaders.leader(key).is_some()).cloned().collect();
        match self.leaders.route(keys, self.node, &self.peers, step) {
            _ if forwarded => step.push(Output::Run(id)),
            Route::Here => step.push(Output::Run(id)),
            Route::Mine => {
                self.forwarded.insert(id, step.now_ms + FORWARD_TIMEOUT_MS);
                step.push(Output::Lead { id, exec });
            }
            Route::To(to) => {
                self.forwarded.insert(id, step.now_ms + FORWARD_TIMEOUT_MS);
                step.push(Output::Forward { to, id, exec });
            }
        }
    }

    /// The keys whose transactions are serialised, with their leaders.
    pub fn led(&self) -> impl Iterator<Item = (&Key, NodeId)> {
        self.leaders.led.iter().filter_map(|(key, led)| Some((key, led.leader?)))
    }
}

/// The contender with the shortest of the longest round trips to the others; one that is not known is longer than any. Of equals
/// the lowest id.
pub fn choose_leader(contenders: &BTreeSet<NodeId>, peers: &Peers) -> Option<NodeId> {
    let worst = |node: NodeId| {
        let others = contenders.iter().filter(move |other| **other != node);
        others.map(move |other| peers.rtt_ms(node, *other).unwrap_or(u64::MAX)).max().unwrap_or(0)
    };
    contenders.iter().copied().min_by_key(|node| (worst(*node), *node))
}
