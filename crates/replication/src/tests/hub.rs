//! The wire of tests: frames in lists.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cluster::{Event, NodeId, Peer, Region, SendError, Why};
use parking_lot::Mutex;

use crate::wire::Wire;

/// All connections.
#[derive(Default)]
pub(super) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    names: BTreeMap<usize, NodeId>,
    /// Pairs that are connected, the lower one first.
    up: BTreeSet<(usize, usize)>,
    /// Pairs that cannot be.
    cut: BTreeSet<(usize, usize)>,
    inbox: BTreeMap<usize, VecDeque<Event>>,
    /// How many frames a node takes until it has had a turn; 0: all.
    room: usize,
    taken: BTreeMap<(usize, usize), usize>,
    full: BTreeSet<(usize, usize)>,
}

/// One node's end.
pub(super) struct Port {
    hub: Arc<Hub>,
    id: usize,
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl State {
    fn node(&self, name: NodeId) -> Option<usize> {
        self.names.iter().find(|(_, known)| **known == name).map(|(id, _)| *id)
    }

    fn end(&mut self, a: usize, b: usize) {
        if self.up.remove(&pair(a, b)) {
            for (at, other) in [(a, b), (b, a)] {
                let node = self.names[&other];
                self.inbox.entry(at).or_default().push_back(Event::PeerDown { node, why: Why::Closed });
                self.full.remove(&(at, other));
            }
        }
    }
}

impl Hub {
    /// Connects all pairs that can be.
    pub(super) fn connect(&self, running: &[usize]) {
        let mut state = self.0.lock();
        for a in running {
            for b in running.iter().filter(|b| *b > a) {
                if state.cut.contains(&(*a, *b)) || !state.up.insert((*a, *b)) {
                    continue;
                }
                for (at, other) in [(*a, *b), (*b, *a)] {
                    let peer = Peer {
                        node: state.names[&other],
                        addr: "127.0.0.1:1".parse().unwrap(),
                        announced: None,
                        region: Region::default(),
                        dialed: at == *a,
                    };
                    state.inbox.entry(at).or_default().push_back(Event::PeerUp(peer));
                }
            }
        }
    }

    /// One cannot be connected with these, until all is healed.
    pub(super) fn cut(&self, one: usize, others: &[usize]) {
        let mut state = self.0.lock();
        for other in others.iter().filter(|other| **other != one) {
            state.cut.insert(pair(one, *other));
            state.end(one, *other);
        }
    }

    pub(super) fn heal(&self) {
        self.0.lock().cut.clear();
    }

    /// A connection takes no more frames between two turns.
    pub(super) fn set_room(&self, frames: usize) {
        self.0.lock().room = frames;
    }
}

impl Port {
    pub(super) fn new(hub: &Arc<Hub>, id: usize) -> Arc<Self> {
        Arc::new(Self { hub: Arc::clone(hub), id })
    }

    /// The node's start: what was for its last life is gone.
    pub(super) fn name(&self, name: NodeId) {
        let mut state = self.hub.0.lock();
        state.names.insert(self.id, name);
        state.inbox.remove(&self.id);
        state.cut.retain(|(a, b)| *a != self.id && *b != self.id);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let mut state = self.hub.0.lock();
        let State { taken, full, names, inbox, .. } = &mut *state;
        taken.retain(|(from, _), _| *from != self.id);
        let room = full.iter().filter(|(from, _)| *from == self.id).map(|(_, to)| Event::Room(names[to]));
        let mut events: Vec<Event> = inbox.remove(&self.id).unwrap_or_default().into();
        events.extend(room);
        full.retain(|(from, _)| *from != self.id);
        events
    }
}

impl Wire for Port {
    fn queue(&self, node: NodeId, frame: &[u8]) -> Result<(), SendError> {
        let mut state = self.hub.0.lock();
        let to = state.node(node).ok_or(SendError::Down)?;
        if !state.up.contains(&pair(self.id, to)) {
            return Err(SendError::Down);
        }
        let room = state.room;
        let taken = state.taken.entry((self.id, to)).or_default();
        if room > 0 && *taken >= room {
            state.full.insert((self.id, to));
            return Err(SendError::Full);
        }
        *taken += 1;
        let from = state.names[&self.id];
        state.inbox.entry(to).or_default().push_back(Event::Frame(from, frame.to_vec()));
        Ok(())
    }

    fn flush(&self) {}

    fn close(&self, node: NodeId, _: &'static str) {
        let mut state = self.hub.0.lock();
        if let Some(to) = state.node(node) {
            state.end(self.id, to);
        }
    }

    fn dial(&self, _: &str) {}
}
