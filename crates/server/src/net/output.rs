//! What waits to be sent to a client, and how much of it may wait.

use std::time::Duration;

use super::limits::{KEPT_BUFFER_BYTES, KEPT_BUFFERS};

/// Which limits hold for a client's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputClass {
    /// Sends commands, reads replies.
    #[default]
    Normal,
    /// Follows another node's log.
    Replica,
    /// Subscribed to something.
    PubSub,
}

/// `client-output-buffer-limit` of one class, in bytes; 0 means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// Close at once above this.
    pub hard: usize,
    /// Close when above this for longer than `soft_for`.
    pub soft: usize,
    /// See `soft`.
    pub soft_for: Duration,
}

impl OutputLimit {
    /// No limit.
    pub const NONE: Self = Self { hard: 0, soft: 0, soft_for: Duration::ZERO };

    pub(crate) fn over_hard(&self, waiting: usize) -> bool {
        self.hard > 0 && waiting > self.hard
    }

    pub(crate) fn over_soft(&self, waiting: usize) -> bool {
        self.soft > 0 && waiting > self.soft
    }
}

/// Bytes for a client: sent ones at the front, then released ones, then those of the round that is running.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub bytes: Vec<u8>,
    sent: usize,
    /// Where this round's bytes begin.
    pub round_start: usize,
}

impl Output {
    #[inline]
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Bytes that this round wrote.
    #[inline]
    pub fn of_round(&self) -> usize {
        self.bytes.len() - self.round_start
    }

    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Notes that the first `len` unsent bytes are out.
    pub fn advance(&mut self, len: usize) {
        self.sent += len;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent > KEPT_BUFFER_BYTES && self.sent > self.bytes.len() / 2 {
            // At least half goes, so each byte moves a bounded number of times.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Memory held, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Empty buffers of a thread. A client borrows one while it has output, so idle clients have none and busy ones need no
/// allocator.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    free: Vec<Vec<u8>>,
}

impl BufferPool {
    #[inline]
    pub fn lend(&mut self, output: &mut Output) {
        if output.bytes.capacity() == 0
            && let Some(buffer) = self.free.pop()
        {
            output.bytes = buffer;
        }
    }

    /// Takes the buffer of an output that is all sent.
    #[inline]
    pub fn take_back(&mut self, output: &mut Output) {
        debug_assert!(output.waiting() == 0);
        let buffer = std::mem::take(&mut output.bytes);
        if buffer.capacity() > 0 && buffer.capacity() <= KEPT_BUFFER_BYTES && self.free.len() < KEPT_BUFFERS {
            self.free.push(buffer);
        }
    }
}
