//! Whose turn it is: rounds of writing begin one after the other and end in the same order. Between, a few of them are
//! on their way at once, so that the device has the next when it is done with one.
//!
//! ```text
//!  round 1   begin |----- writes -----| end
//!  round 2         begin |----- writes -----------| end
//!  round 3                              begin |----- writes ---
//! ```
//!
//! *Invariant:* when a round ends, those that began before it have ended.

use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use std::sync::PoisonError;

/// How many rounds have begun and ended, and how many may be under way.
pub(super) struct Turns {
    count: Mutex<Count>,
    ended: Condvar,
    most: u64,
}

#[derive(Default)]
struct Count {
    begun: u64,
    ended: u64,
}

/// The right to say what happens next: while it is held no round begins or ends.
pub(super) struct Gate<'a> {
    turns: &'a Turns,
    count: MutexGuard<'a, Count>,
}

/// A round under way. Dropping it ends the round, once those before it have ended.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Turns {
    /// Up to `most` rounds at once.
    pub fn new(most: u64) -> Self {
        Self { count: Mutex::default(), ended: Condvar::new(), most }
    }

    /// Keeps rounds from beginning and ending.
    pub fn gate(&self) -> Gate<'_> {
        Gate { turns: self, count: lock(&self.count) }
    }

    /// The same when no round is under way, for which it waits.
    pub fn none_under_way(&self) -> Gate<'_> {
        let mut gate = self.gate();
        while gate.under_way() > 0 {
            gate = gate.wait();
        }
        gate
    }
}

impl<'a> Gate<'a> {
    /// Rounds that have begun and not ended.
    pub fn under_way(&self) -> u64 {
        self.count.begun - self.count.ended
    }

    /// Whether no more rounds may begin until one has ended.
    pub fn is_full(&self) -> bool {
        self.under_way() >= self.turns.most
    }

    /// Lets others in until a round has ended.
    pub fn wait(self) -> Self {
        let count = self.turns.ended.wait(self.count).unwrap_or_else(PoisonError::into_inner);
        Self { turns: self.turns, count }
    }

    /// Begins a round.
    pub fn begin(mut self) -> Turn<'a> {
        debug_assert!(!self.is_full(), "more rounds at once than agreed");
        self.count.begun += 1;
        Turn { turns: self.turns, number: self.count.begun }
    }
}

impl<'a> Turn<'a> {
    /// Waits until the rounds before this one have ended.
    pub fn wait(&self) -> Gate<'a> {
        let mut gate = self.turns.gate();
        while gate.count.ended + 1 < self.number {
            gate = gate.wait();
        }
        gate
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.wait().count.ended += 1;
        self.turns.ended.notify_all();
    }
}
