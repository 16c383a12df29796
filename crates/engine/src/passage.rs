//! How far a snapshot has come: what commands must know of it, and what it must still see to.
//!
//! A snapshot goes over the shards in order, and over the keys of a shard by their ordering hash. Two things can slip
//! past it. A value that it is half through may move or be removed: the pin that lies in the value says so here. And a
//! key may be renamed to one that the snapshot has passed: then the new name is owed, and comes last.
//!
//! Whoever empties a database says nothing here: what the snapshot has of it, replay takes away when it comes to that.
//!
//! *Invariant:* the name to which a rename brought a value during a snapshot is taken after that rename.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::shard::DbKey;
use crate::value::Entry;

/// Where a pinned value is.
pub(crate) enum Whereabouts {
    /// Under this name: physical database and key.
    At(DbKey),
    /// Nowhere: it was removed or replaced, and belongs to the snapshot alone.
    Gone(Entry),
}

/// How far a snapshot has come in a shard: all keys below are taken. It counts only for the snapshot that it names.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passed {
    pub(crate) pass: u64,
    pub(crate) db: usize,
    pub(crate) order: u64,
}

impl Passed {
    /// The whole shard.
    pub(crate) const fn all(pass: u64) -> Self {
        Self { pass, db: usize::MAX, order: 0 }
    }

    /// Whether snapshot `pass` has taken what lies here.
    pub(crate) fn covers(&self, pass: u64, db: u8, order: u64) -> bool {
        self.pass == pass && (usize::from(db), order) < (self.db, self.order)
    }
}

/// See the module. Its locks are held for moments, within those of shards, and nothing is locked under them.
#[derive(Default)]
pub(crate) struct Passage {
    /// The number of the snapshot that is being taken; 0: none.
    pass: AtomicU64,
    last: AtomicU64,
    pinned: Mutex<HashMap<u64, Whereabouts>>,
    owed: Mutex<HashSet<DbKey>>,
    pins: AtomicU64,
}

impl Passage {
    /// Begins a snapshot and answers its number.
    pub(crate) fn begin(&self) -> u64 {
        self.owed.lock().clear();
        let pass = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.pass.store(pass, Ordering::Release);
        pass
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.pass.store(0, Ordering::Release);
    }

    /// The snapshot that is being taken.
    #[inline]
    pub(crate) fn pass(&self) -> Option<u64> {
        Some(self.pass.load(Ordering::Acquire)).filter(|pass| *pass != 0)
    }

    /// A number for a pin on the value at `name`.
    pub(crate) fn new_pin(&self, name: DbKey) -> u64 {
        let id = self.pins.fetch_add(1, Ordering::Relaxed);
        self.pinned.lock().insert(id, Whereabouts::At(name));
        id
    }

    /// A pinned value is at this name from now on.
    #[cold]
    pub(crate) fn moved(&self, id: u64, name: DbKey) {
        if let Some(place) = self.pinned.lock().get_mut(&id) {
            *place = Whereabouts::At(name);
        }
    }

    /// A pinned value is at no name any more. Gives it back if no snapshot wants it.
    #[cold]
    pub(crate) fn gone(&self, id: u64, entry: Entry) -> Option<Entry> {
        match self.pinned.lock().get_mut(&id) {
            Some(place) => {
                *place = Whereabouts::Gone(entry);
                None
            }
            None => Some(entry),
        }
    }

    /// The name of a pinned value, or the value itself if it has none any more; then it is forgotten here.
    pub(crate) fn find(&self, id: u64) -> Option<Whereabouts> {
        let mut pinned = self.pinned.lock();
        match pinned.get(&id)? {
            Whereabouts::At(name) => Some(Whereabouts::At(name.clone())),
            Whereabouts::Gone(_) => pinned.remove(&id),
        }
    }

    /// Forgets a pin.
    pub(crate) fn forget(&self, id: u64) {
        self.pinned.lock().remove(&id);
    }

    /// Forgets a pin if its value is still said to be at this name.
    pub(crate) fn forget_at(&self, id: u64, name: &DbKey) -> bool {
        let mut pinned = self.pinned.lock();
        let there = matches!(pinned.get(&id), Some(Whereabouts::At(at)) if at == name);
        if there {
            pinned.remove(&id);
        }
        there
    }

    /// Whether the key is owed.
    pub(crate) fn owes(&self, name: &DbKey) -> bool {
        self.owed.lock().contains(name)
    }

    /// Has the snapshot take the key once more, at its end.
    pub(crate) fn owe(&self, name: DbKey) {
        self.owed.lock().insert(name);
    }

    /// Some key that is owed.
    pub(crate) fn next_owed(&self) -> Option<DbKey> {
        self.owed.lock().iter().next().cloned()
    }

    /// The key is being taken, under its shard's lock.
    pub(crate) fn settle(&self, name: &DbKey) {
        self.owed.lock().remove(name);
    }
}
