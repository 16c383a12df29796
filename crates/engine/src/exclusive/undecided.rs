//! What undecided transactions do to keys, counted: whoever asks of a key does not go through them.
//!
//! *Invariant:* a key's counts are those of the transactions of the table that are undecided and use it.

use std::collections::{BTreeSet, HashMap};

use effect::Dot;

use super::Pending;
use crate::shard::DbKey;

/// See the module.
#[derive(Default)]
pub(super) struct Undecided {
    /// Each behind when it was begun, unix ms.
    all: BTreeSet<(i64, Dot)>,
    /// How many of them are not shown.
    unseen: usize,
    /// What was logged of those that are shown.
    shown_bytes: usize,
    by_key: HashMap<DbKey, Users>,
}

/// Those that use a key.
#[derive(Default)]
struct Users {
    written: Count,
    /// It is only read.
    read: Count,
}

#[derive(Default, PartialEq, Eq)]
struct Count {
    all: usize,
    unseen: usize,
}

impl Count {
    /// How many compete with a transaction of this kind: one that is shown is in the way of safe ones only.
    fn in_the_way(&self, is_unsafe: bool) -> usize {
        if is_unsafe { self.unseen } else { self.all }
    }
}

impl Undecided {
    /// One is undecided from now on.
    pub(super) fn add(&mut self, pending: &Pending) {
        let unseen = usize::from(pending.shown.is_none());
        self.all.insert((pending.hlc.ms(), pending.first));
        self.unseen += unseen;
        self.shown_bytes += shown_bytes(pending);
        self.each(pending, |count| {
            count.all += 1;
            count.unseen += unseen;
        });
    }

    /// One is shown from now on as committed, or as lost.
    pub(super) fn show(&mut self, pending: &Pending, committed: bool) {
        self.shown_bytes -= shown_bytes(pending);
        self.shown_bytes += if committed { pending.batch.len() } else { 0 };
        if pending.shown.is_none() {
            self.unseen -= 1;
            self.each(pending, |count| count.unseen -= 1);
        }
    }

    /// One is decided.
    pub(super) fn remove(&mut self, pending: &Pending) {
        let unseen = usize::from(pending.shown.is_none());
        self.all.remove(&(pending.hlc.ms(), pending.first));
        self.unseen -= unseen;
        self.shown_bytes -= shown_bytes(pending);
        self.each(pending, |count| {
            count.all -= 1;
            count.unseen -= unseen;
        });
    }

    fn each(&mut self, pending: &Pending, change: impl Fn(&mut Count)) {
        let written = pending.written.iter().map(|(name, _)| (name, true));
        for (name, is_written) in written.chain(pending.read.iter().map(|name| (name, false))) {
            let users = self.by_key.entry(name.clone()).or_default();
            change(if is_written { &mut users.written } else { &mut users.read });
            if users.written.all + users.read.all == 0 {
                self.by_key.remove(name);
            }
        }
    }

    /// Whether one competes with a transaction of this kind that uses the key so.
    pub(super) fn clashes(&self, is_unsafe: bool, name: &DbKey, written: bool) -> bool {
        self.by_key.get(name).is_some_and(|users| {
            users.written.in_the_way(is_unsafe) > 0 || (written && users.read.in_the_way(is_unsafe) > 0)
        })
    }

    /// Whether one writes the key.
    pub(super) fn write(&self, name: &DbKey) -> bool {
        self.by_key.get(name).is_some_and(|users| users.written.all > 0)
    }

    /// When the first of them was begun, unix ms.
    pub(super) fn first_ms(&self) -> Option<i64> {
        self.all.first().map(|(ms, _)| *ms)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What was logged of those that are shown, in bytes.
    pub(super) fn shown_bytes(&self) -> usize {
        self.shown_bytes
    }

    /// How many are not shown.
    pub(super) fn unseen(&self) -> usize {
        self.unseen
    }
}

fn shown_bytes(pending: &Pending) -> usize {
    if pending.shown == Some(true) { pending.batch.len() } else { 0 }
}
