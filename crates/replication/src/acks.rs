//! What of this node's own effects other members have for good, and who waits to hear of it.
//!
//! ```text
//!   statements of peers ─▶ note ─▶ who has how many ─▶ waiters that have enough are told
//!   a client waits ─▶ wait ─▶ (once what it waits for was sent) peers are asked to sync at once
//! ```
//! *Invariant:* a node counts for an effect only if it is a member, is connected, and has itself said that it has fsynced it.
//! *Invariant:* a waiter is told once, or never if it has left before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster::NodeId;
use effect::{Dot, Origin};
use parking_lot::Mutex;

use crate::driver::Driver;
use crate::wire::Channel;

/// A wait of [`Member::when_copied`](crate::Member::when_copied).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AckWait(u64);

/// Is told how many nodes have what was waited for. It must not block.
pub type Tell = Box<dyn FnOnce(usize) + Send>;

/// See the module.
#[derive(Default)]
pub(crate) struct Acks {
    state: Mutex<State>,
    last_wait: AtomicU64,
}

#[derive(Default)]
struct State {
    origin: Option<Origin>,
    /// Of each connected member the number of the last own effect that it has.
    has: Vec<(NodeId, u64)>,
    waiters: Vec<Waiter>,
    /// Up to which number peers were asked to sync.
    asked: u64,
}

struct Waiter {
    wait: AckWait,
    dot: Dot,
    nodes: usize,
    tell: Tell,
}

impl State {
    fn copies(&self, dot: Dot) -> usize {
        let is_own = self.origin == Some(dot.origin);
        self.has.iter().filter(|(_, seq)| dot.seq == 0 || is_own && *seq >= dot.seq).count()
    }
}

impl Acks {
    /// How many other members have this effect of this node, and all before it.
    pub(crate) fn copies(&self, dot: Dot) -> usize {
        self.state.lock().copies(dot)
    }

    /// Tells once `nodes` members have it, which may be at once.
    pub(crate) fn wait(&self, dot: Dot, nodes: usize, tell: Tell) -> AckWait {
        let wait = AckWait(self.last_wait.fetch_add(1, Ordering::Relaxed));
        let mut state = self.state.lock();
        let copies = state.copies(dot);
        if copies < nodes {
            state.waiters.push(Waiter { wait, dot, nodes, tell });
        } else {
            drop(state);
            tell(copies);
        }
        wait
    }

    /// Nobody waits any more.
    pub(crate) fn leave(&self, wait: AckWait) {
        self.state.lock().waiters.retain(|waiter| waiter.wait != wait);
    }

    /// Takes in what members have.
    fn note(&self, origin: Origin, has: Vec<(NodeId, u64)>) {
        let mut state = self.state.lock();
        if state.has == has && state.origin == Some(origin) {
            return;
        }
        (state.has, state.origin) = (has, Some(origin));
        let waiters = std::mem::take(&mut state.waiters);
        let (served, left) = waiters.into_iter().partition(|waiter| state.copies(waiter.dot) >= waiter.nodes);
        state.waiters = left;
        let served: Vec<(Waiter, usize)> =
            served.into_iter().map(|w: Waiter| (state.copies(w.dot), w)).map(|(n, w)| (w, n)).collect();
        drop(state);
        served.into_iter().for_each(|(waiter, copies)| (waiter.tell)(copies));
    }

    /// Of what was sent up to `sent`, whether somebody waits for some that no peer was asked to sync yet; who lacks it.
    fn asks_for_sync(&self, sent: u64) -> Vec<NodeId> {
        let mut state = self.state.lock();
        let wanted = state.waiters.iter().map(|waiter| waiter.dot.seq).filter(|seq| *seq <= sent).max();
        let Some(wanted) = wanted.filter(|wanted| *wanted > state.asked) else { return Vec::new() };
        state.asked = wanted;
        state.has.iter().filter(|(_, seq)| *seq < wanted).map(|(node, _)| *node).collect()
    }
}

impl Driver {
    /// Tells those who wait for other members what those have; asks peers to sync what somebody waits for.
    pub(crate) fn see_to_acks(&mut self) {
        let replica = &self.replica;
        let (origin, epoch) = (replica.origin(), replica.epoch());
        let members = replica.peers().filter(|peer| epoch.has(peer.origin.node()));
        let has = members.filter_map(|peer| Some((self.links.node(peer.link)?, peer.has.get(origin)))).collect();
        self.acks.note(origin, has);
        let sent = replica.applied().get(origin);
        let wire = Arc::clone(&self.wire);
        for node in self.acks.asks_for_sync(sent) {
            self.outgoing.push(&*wire, node, &[Channel::Sync as u8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Origin = Origin(1 << 16 | 1);

    fn dot(seq: u64) -> Dot {
        Dot { origin: ME, seq }
    }

    fn node(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn waiter(acks: &Acks, seq: u64, nodes: usize) -> (Arc<Mutex<Vec<usize>>>, AckWait) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let wait = acks.wait(dot(seq), nodes, Box::new(move |copies| tell.lock().push(copies)));
        (told, wait)
    }

    #[test]
    fn whoever_waits_is_told_once_as_soon_as_enough_members_have_it() {
        let acks = Acks::default();
        acks.note(ME, vec![(node(2), 4), (node(3), 9)]);
        let (at_once, _) = waiter(&acks, 5, 1);
        assert_eq!(*at_once.lock(), [1]);
        let (later, _) = waiter(&acks, 5, 2);
        acks.note(ME, vec![(node(2), 4), (node(3), 10)]);
        assert!(later.lock().is_empty());
        acks.note(ME, vec![(node(2), 5), (node(3), 10)]);
        acks.note(ME, vec![(node(2), 6), (node(3), 10)]);
        assert_eq!(*later.lock(), [2]);
    }

    #[test]
    fn whoever_has_left_is_not_told() {
        let acks = Acks::default();
        let (told, wait) = waiter(&acks, 5, 1);
        acks.leave(wait);
        acks.note(ME, vec![(node(2), 5)]);
        assert!(told.lock().is_empty());
    }

    #[test]
    fn what_another_life_of_this_node_wrote_does_not_count() {
        let acks = Acks::default();
        acks.note(Origin(1 << 16 | 2), vec![(node(2), 9)]);
        assert_eq!((acks.copies(dot(5)), acks.copies(dot(0))), (0, 1));
    }

    #[test]
    fn peers_are_asked_to_sync_once_what_was_sent_and_is_waited_for() {
        let acks = Acks::default();
        acks.note(ME, vec![(node(2), 4), (node(3), 9)]);
        assert_eq!(acks.asks_for_sync(9), []);
        waiter(&acks, 6, 2);
        assert_eq!(acks.asks_for_sync(5), [], "it was not sent yet");
        assert_eq!(acks.asks_for_sync(6), [node(2)]);
        assert_eq!(acks.asks_for_sync(7), []);
    }
}
