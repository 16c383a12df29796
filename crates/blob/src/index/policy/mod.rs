//! Which item a cache gives up first. Each shard of the index runs a policy of its own over its own items.

mod clock;
mod fifo;
mod s3fifo;
mod sieve;

pub use clock::Clock;
pub use fifo::Fifo;
pub use s3fifo::S3Fifo;
pub use sieve::Sieve;

use super::nodes::Nodes;

/// An eviction policy over the queued items of one shard.
pub trait Policy: Send {
    /// An item is new, or comes back after it was evicted. It is in no queue.
    fn inserted(&mut self, nodes: &mut Nodes, id: u32);
    /// An item was read or overwritten.
    fn touched(&mut self, nodes: &mut Nodes, id: u32);
    /// An item is about to change its length by so many bytes.
    fn resized(&mut self, _nodes: &mut Nodes, _id: u32, _by: i64) {}
    /// An item goes for another reason than eviction: take it out of its queue.
    fn removed(&mut self, nodes: &mut Nodes, id: u32);
    /// Chooses an item and takes it out of its queue. `None` once it has looked at every item and taken a mark off
    /// each: then the other shards have their turn, so that all shards together sift like one queue even if each
    /// holds few items.
    fn take_victim(&mut self, nodes: &mut Nodes) -> Option<u32>;
}

/// The policies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Oldest first.
    Fifo,
    /// Oldest first, but what was read since it was written is kept once more: in the order of the log, so whole
    /// segments come free for little copying.
    Clock,
    /// A hand that walks from the oldest to the newest and spares what was read since it last came by.
    Sieve,
    /// Newcomers pass through a small queue and stay only if they are read again: scans do not disturb the rest.
    S3Fifo,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fifo, Self::Clock, Self::Sieve, Self::S3Fifo];

    /// Whether it gives up items in about the order in which they are on disk: then whole segments are given up.
    pub fn follows_the_log(self) -> bool {
        matches!(self, Self::Fifo | Self::Clock)
    }

    /// Most RAM that one shard's policy holds beside the nodes.
    pub fn ram_bytes(self) -> u64 {
        match self {
            Self::Fifo | Self::Clock | Self::Sieve => 0,
            Self::S3Fifo => s3fifo::RAM_BYTES,
        }
    }

    /// One, for one shard.
    pub fn build(self) -> Box<dyn Policy> {
        match self {
            Self::Fifo => Box::new(Fifo::default()),
            Self::Clock => Box::new(Clock::default()),
            Self::Sieve => Box::new(Sieve::default()),
            Self::S3Fifo => Box::new(S3Fifo::default()),
        }
    }
}

#[cfg(test)]
mod tests;
