//! `Queue`: the values of one keyspace that are in RAM, of one database in one shard, in the order in which they came.
//!
//! ```text
//!  oldest ─ · ─ · ─ hand ─ · ─ · ─ newest        the hand walks from the oldest to the newest, then begins anew
//! ```
//! SIEVE (Zhang et al., NSDI 2024): what was visited since the hand last came by stays where it is and loses its mark;
//! the first that was not is the victim. A hit moves nothing, and its mark lies in the value's access clock: so a
//! look-up does not come here at all.
//!
//! *Invariant:* `bytes` is the sum over the nodes; the table finds each node by its key's ordering hash.

use hashbrown::HashTable;

/// No node.
const NONE: u32 = u32::MAX;

/// Bytes that a value in a queue takes here, its slot in the table of keys included beyond the entry itself.
pub(crate) const NODE_BYTES: u64 = 64;

struct Node {
    order: u64,
    bytes: u64,
    older: u32,
    newer: u32,
}

/// What the hand finds at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was looked up since.
    Visited,
    /// It was not.
    Idle,
    /// There is no such value any more.
    Gone,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    nodes: Vec<Node>,
    free: Vec<u32>,
    table: HashTable<u32>,
    ends: Option<Ends>,
    bytes: u64,
}

/// The ends of the list, and the hand.
#[derive(Clone, Copy)]
struct Ends {
    oldest: u32,
    newest: u32,
    hand: u32,
}

impl Queue {
    /// Bytes of all values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many values.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    fn find(&self, order: u64) -> Option<u32> {
        self.table.find(order, |at| self.nodes[*at as usize].order == order).copied()
    }

    /// Whether the value is here.
    pub(crate) fn holds(&self, order: u64) -> bool {
        self.find(order).is_some()
    }

    /// Says how many bytes the value takes now; one that is not here yet comes as the newest.
    pub(crate) fn note(&mut self, order: u64, bytes: u64) {
        if let Some(at) = self.find(order) {
            let node = &mut self.nodes[at as usize];
            self.bytes = self.bytes - node.bytes + bytes;
            node.bytes = bytes;
            return;
        }
        self.bytes += bytes;
        let newest = self.ends.map_or(NONE, |ends| ends.newest);
        let node = Node { order, bytes, older: newest, newer: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        match &mut self.ends {
            Some(ends) => {
                self.nodes[ends.newest as usize].newer = at;
                ends.newest = at;
            }
            None => self.ends = Some(Ends { oldest: at, newest: at, hand: at }),
        }
        let nodes = &self.nodes;
        self.table.insert_unique(order, at, |at| nodes[*at as usize].order);
    }

    /// Takes the value out, if it is here.
    pub(crate) fn forget(&mut self, order: u64) -> bool {
        let nodes = &self.nodes;
        let Ok(found) = self.table.find_entry(order, |at| nodes[*at as usize].order == order) else { return false };
        let (at, _) = found.remove();
        self.unlink(at);
        true
    }

    fn unlink(&mut self, at: u32) {
        let Node { older, newer, bytes, .. } = self.nodes[at as usize];
        self.bytes -= bytes;
        self.free.push(at);
        if self.table.is_empty() {
            *self = Self::default();
            return;
        }
        if let Some(node) = self.nodes.get_mut(older as usize) {
            node.newer = newer;
        }
        if let Some(node) = self.nodes.get_mut(newer as usize) {
            node.older = older;
        }
        let Some(ends) = &mut self.ends else { return };
        if ends.oldest == at {
            ends.oldest = newer;
        }
        if ends.newest == at {
            ends.newest = older;
        }
        if ends.hand == at {
            ends.hand = if newer == NONE { ends.oldest } else { newer };
        }
    }

    /// The value that goes next; it stays here until it is forgotten. What is gone is forgotten on the way. The hand stops
    /// behind the victim's elder: asked again, it names the same one, unless that was visited.
    pub(crate) fn victim(&mut self, mut look: impl FnMut(u64) -> Seen) -> Option<u64> {
        // Once around to take the marks, once more to find one without.
        for _ in 0..2 * self.table.len() + 1 {
            let ends = self.ends.as_mut()?;
            let node = &self.nodes[ends.hand as usize];
            let (order, newer) = (node.order, node.newer);
            match look(order) {
                Seen::Idle => return Some(order),
                Seen::Visited => ends.hand = if newer == NONE { ends.oldest } else { newer },
                Seen::Gone => {
                    self.forget(order);
                }
            }
        }
        None
    }

    /// Asserts the invariants. For tests.
    #[cfg(test)]
    fn validate(&self) -> Vec<u64> {
        let mut orders = Vec::new();
        let (mut at, mut bytes, mut older) = (self.ends.map_or(NONE, |e| e.oldest), 0, NONE);
        while let Some(node) = self.nodes.get(at as usize) {
            assert_eq!((node.older, self.find(node.order)), (older, Some(at)));
            orders.push(node.order);
            bytes += node.bytes;
            (older, at) = (at, node.newer);
        }
        assert_eq!((orders.len(), bytes), (self.table.len(), self.bytes));
        if let Some(ends) = self.ends {
            assert!(orders.contains(&self.nodes[ends.hand as usize].order) && ends.newest == older);
        }
        orders
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The algorithm of the paper over a plain list, oldest first.
    #[derive(Default)]
    struct Model {
        list: Vec<(u64, u64)>,
        visited: BTreeSet<u64>,
        hand: usize,
    }

    impl Model {
        fn forget(&mut self, order: u64) {
            let Some(at) = self.list.iter().position(|(o, _)| *o == order) else { return };
            self.list.remove(at);
            self.visited.remove(&order);
            self.hand -= usize::from(at < self.hand);
            if self.hand >= self.list.len() {
                self.hand = 0;
            }
        }

        fn evict(&mut self) -> Option<u64> {
            while let Some((order, _)) = self.list.get(self.hand).copied() {
                if !self.visited.remove(&order) {
                    self.forget(order);
                    return Some(order);
                }
                self.hand = (self.hand + 1) % self.list.len();
            }
            None
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Note(u64, u64),
        Visit(u64),
        Forget(u64),
        Evict,
    }

    proptest! {
        #[test]
        fn victims_are_those_of_the_paper(steps in proptest::collection::vec(prop_oneof![
            4 => (0u64..30, 1u64..100).prop_map(|(o, b)| Step::Note(o, b)),
            3 => (0u64..30).prop_map(Step::Visit),
            1 => (0u64..30).prop_map(Step::Forget),
            2 => Just(Step::Evict),
        ], 1..200)) {
            let (mut queue, mut model, mut marks) = (Queue::default(), Model::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Note(order, bytes) => {
                        queue.note(order, bytes);
                        match model.list.iter_mut().find(|(o, _)| *o == order) {
                            Some(found) => found.1 = bytes,
                            None => model.list.push((order, bytes)),
                        }
                    }
                    Step::Visit(order) => if queue.holds(order) {
                        marks.insert(order);
                        model.visited.insert(order);
                    },
                    Step::Forget(order) => {
                        queue.forget(order);
                        marks.remove(&order);
                        model.forget(order);
                    }
                    Step::Evict => {
                        let victim = queue.victim(|o| if marks.remove(&o) { Seen::Visited } else { Seen::Idle });
                        prop_assert_eq!(victim, model.evict());
                        victim.into_iter().for_each(|order| prop_assert_ok(queue.forget(order)));
                    }
                }
                let orders: Vec<u64> = model.list.iter().map(|(order, _)| *order).collect();
                prop_assert_eq!(queue.validate(), orders);
                prop_assert_eq!(queue.bytes(), model.list.iter().map(|(_, bytes)| bytes).sum::<u64>());
            }
        }
    }

    fn prop_assert_ok(done: bool) {
        assert!(done, "a victim is in the queue");
    }

    #[test]
    fn what_is_gone_is_forgotten_on_the_way() {
        let mut queue = Queue::default();
        (0..10).for_each(|order| queue.note(order, 5));
        assert_eq!(queue.victim(|order| if order < 7 { Seen::Gone } else { Seen::Idle }), Some(7));
        assert_eq!((queue.len(), queue.bytes()), (3, 15));
        assert_eq!(queue.victim(|_| Seen::Gone), None);
        assert_eq!(queue.validate(), []);
    }
}
