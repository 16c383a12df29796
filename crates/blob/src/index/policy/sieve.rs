//! SIEVE (Zhang et al., NSDI 2024): one queue, one bit, one hand.
//!
//! The hand starts at the oldest item and moves towards the newest; an item that was read loses its bit and
//! stays where it is, the first that was not is evicted. Moving the other way would sift the newcomers instead
//! of the old and give about what CLOCK gives.

use super::Policy;
use crate::index::nodes::{Nodes, Queue};

/// The queue and the hand.
#[derive(Default)]
pub struct Sieve {
    queue: Queue,
    hand: Option<u32>,
}

impl Policy for Sieve {
    fn inserted(&mut self, nodes: &mut Nodes, id: u32) {
        nodes.set_freq(id, 0);
        self.queue.push(nodes, id);
    }

    fn touched(&mut self, nodes: &mut Nodes, id: u32) {
        nodes.set_freq(id, 1);
    }

    fn removed(&mut self, nodes: &mut Nodes, id: u32) {
        if self.hand == Some(id) {
            self.hand = self.queue.newer(nodes, id);
        }
        self.queue.unlink(nodes, id);
    }

    fn take_victim(&mut self, nodes: &mut Nodes) -> Option<u32> {
        let mut id = self.hand.or_else(|| self.queue.oldest())?;
        while nodes.freq(id) > 0 {
            nodes.set_freq(id, 0);
            // At the end of the queue the other shards have their turn before the hand starts over.
            self.hand = self.queue.newer(nodes, id);
            id = self.hand?;
        }
        self.hand = self.queue.newer(nodes, id);
        self.queue.unlink(nodes, id);
        Some(id)
    }
}
