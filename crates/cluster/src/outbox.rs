//! Frames on their way to a peer: bounded, many in one piece.
//!
//! ```text
//! send ─push─▶ bytes of many frames ─take─▶ driver ─▶ TLS ─▶ socket
//! ```
//! *Invariant:* what waits, with what the driver has taken and not encrypted yet, is at most the bound, or a single frame.

use std::mem;

use parking_lot::Mutex;

use crate::error::SendError;
use crate::frame::{HEADER, Kind, put};

/// What waits for one connection.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    bound: usize,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    frames: u64,
    /// Taken and not written yet.
    taken: usize,
    /// Somebody was told that it is full.
    refused: bool,
    closed: bool,
}

impl Outbox {
    pub(crate) fn new(bound: usize) -> Self {
        Self { queue: Mutex::default(), bound }
    }

    /// Takes a frame of data.
    pub(crate) fn push(&self, payload: &[u8]) -> Result<(), SendError> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(SendError::Down);
        }
        let waiting = queue.bytes.len() + queue.taken;
        if waiting > 0 && waiting + HEADER + payload.len() > self.bound {
            queue.refused = true;
            return Err(SendError::Full);
        }
        put(&mut queue.bytes, Kind::Data, payload);
        queue.frames += 1;
        Ok(())
    }

    /// Swaps all that waits into `spent`, whose bytes were written; how many frames they are.
    pub(crate) fn take(&self, spent: &mut Vec<u8>) -> u64 {
        spent.clear();
        let mut queue = self.queue.lock();
        mem::swap(&mut queue.bytes, spent);
        queue.taken += spent.len();
        mem::take(&mut queue.frames)
    }

    /// So many bytes of what was taken are encrypted; whether somebody who was refused should be told of room.
    pub(crate) fn wrote(&self, bytes: usize) -> bool {
        let mut queue = self.queue.lock();
        queue.taken -= bytes;
        let room = queue.taken + queue.bytes.len() <= self.bound / 2;
        room && mem::take(&mut queue.refused)
    }

    /// Nothing is taken any more. What waits is given back to the system.
    pub(crate) fn close(&self) {
        *self.queue.lock() = Queue { closed: true, ..Queue::default() };
    }

    pub(crate) fn waiting(&self) -> usize {
        let queue = self.queue.lock();
        queue.bytes.len() + queue.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_until_half_of_it_was_written() {
        let outbox = Outbox::new(100);
        let frame = [7; 15];
        assert!((0..5).all(|_| outbox.push(&frame).is_ok()));
        assert_eq!((outbox.push(&frame), outbox.waiting()), (Err(SendError::Full), 100));
        let mut taken = vec![1; 9];
        assert_eq!((outbox.take(&mut taken), taken.len()), (5, 100));
        assert_eq!(outbox.push(&frame), Err(SendError::Full));
        assert_eq!([outbox.wrote(49), outbox.wrote(1), outbox.wrote(20)], [false, true, false]);
        assert_eq!((outbox.push(&frame), outbox.waiting()), (Ok(()), 50));
        outbox.close();
        assert_eq!((outbox.push(&frame), outbox.waiting()), (Err(SendError::Down), 0));
    }

    #[test]
    fn a_frame_larger_than_the_bound_goes_alone() {
        let outbox = Outbox::new(100);
        assert_eq!((outbox.push(&[0; 500]), outbox.push(&[])), (Ok(()), Err(SendError::Full)));
    }
}
