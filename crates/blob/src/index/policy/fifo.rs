//! First in, first out.

use super::Policy;
use crate::index::nodes::{Nodes, Queue};

/// Evicts the oldest item, whatever was read.
#[derive(Default)]
pub struct Fifo {
    queue: Queue,
}

impl Policy for Fifo {
    fn inserted(&mut self, nodes: &mut Nodes, id: u32) {
        self.queue.push(nodes, id);
    }

    fn touched(&mut self, _nodes: &mut Nodes, _id: u32) {}

    fn removed(&mut self, nodes: &mut Nodes, id: u32) {
        self.queue.unlink(nodes, id);
    }

    fn take_victim(&mut self, nodes: &mut Nodes) -> Option<u32> {
        let id = self.queue.oldest()?;
        self.queue.unlink(nodes, id);
        Some(id)
    }
}
