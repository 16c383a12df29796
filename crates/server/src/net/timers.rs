//! Deadlines of blocked clients. Setting and clearing one is a step in a tree, never a system call.

use std::collections::BTreeSet;
use std::time::Instant;

use super::app::ClientId;

/// Blocked clients: how many, and when they give up, the earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Instant, ClientId, u32)>,
    blocked: usize,
}

impl Timers {
    pub fn block(&mut self, deadline: Option<Instant>, id: ClientId, slot: u32) {
        self.blocked += 1;
        if let Some(at) = deadline {
            self.due.insert((at, id, slot));
        }
    }

    /// Undoes [`Self::block`] with the same arguments; a deadline that has been taken meanwhile does not matter.
    pub fn unblock(&mut self, deadline: Option<Instant>, id: ClientId, slot: u32) {
        self.blocked -= 1;
        if let Some(at) = deadline {
            self.due.remove(&(at, id, slot));
        }
    }

    pub fn blocked(&self) -> usize {
        self.blocked
    }

    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Takes one deadline that has passed.
    pub fn pop(&mut self, now: Instant) -> Option<(ClientId, u32)> {
        let (at, id, slot) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        Some((id, slot))
    }
}
