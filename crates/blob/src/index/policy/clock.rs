//! CLOCK, in the order of the log: the oldest goes, unless it was read since it was written or last spared; then it
//! begins anew as the newest.
//!
//! That order is the order of the segments on disk. So what goes lies together, and a whole segment comes free for the
//! price of moving the few of its items that were read: with the other policies what goes lies scattered, and several
//! bytes are moved for each that comes free.

use super::Policy;
use crate::index::nodes::{Nodes, Queue};

/// The queue.
#[derive(Default)]
pub struct Clock {
    queue: Queue,
    items: usize,
}

impl Policy for Clock {
    fn inserted(&mut self, nodes: &mut Nodes, id: u32) {
        nodes.set_freq(id, 0);
        self.queue.push(nodes, id);
        self.items += 1;
    }

    fn touched(&mut self, nodes: &mut Nodes, id: u32) {
        nodes.set_freq(id, 1);
    }

    fn removed(&mut self, nodes: &mut Nodes, id: u32) {
        self.queue.unlink(nodes, id);
        self.items -= 1;
    }

    fn take_victim(&mut self, nodes: &mut Nodes) -> Option<u32> {
        for _ in 0..self.items {
            let id = self.queue.oldest()?;
            self.removed(nodes, id);
            if nodes.freq(id) == 0 {
                return Some(id);
            }
            self.inserted(nodes, id);
        }
        None
    }
}
