//! Large values that a checkpoint is taking, piece by piece: where they are.
//!
//! Such a value has a pin, which keeps what changes before the checkpoint comes to it. It goes along when the value moves to
//! another name; when the value is removed or replaced, it belongs to the checkpoint alone, and is freed by it.
//!
//! *Invariant:* a pinned value is where it is said to be, or in a database that the checkpoint keeps for itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::changes::Hold;
use crate::shard::DbKey;
use crate::value::Entry;

/// Where a pinned value is.
pub(crate) enum Whereabouts {
    /// Under this name: physical database and key.
    At(DbKey),
    /// Nowhere: it was removed or replaced, and belongs to the checkpoint alone.
    Gone(Entry),
}

/// Bits of an incarnation that number it; those above are the physical database.
const NUMBER_BITS: u32 = 56;

/// The physical database of the value that has rows of this name.
pub(crate) fn db_of(incarnation: u64) -> u8 {
    (incarnation >> NUMBER_BITS) as u8
}

/// See the module. Its locks are held for moments, within those of shards, and nothing is locked under them.
#[derive(Default)]
pub(crate) struct Held {
    pinned: Mutex<HashMap<u64, Whereabouts>>,
    pins: AtomicU64,
    /// The number of the last incarnation that was given.
    incarnations: AtomicU64,
    /// Incarnations that the checkpoint under way puts others in the place of.
    replaced: Mutex<Vec<u64>>,
}

impl Held {
    /// Pins a large value, at `name`, and gives its rows a new name.
    pub(crate) fn hold(&self, entry: &mut Entry, name: DbKey) -> Hold {
        let id = self.pins.fetch_add(1, Ordering::Relaxed) + 1;
        let number = self.incarnations.fetch_add(1, Ordering::Relaxed) + 1;
        let incarnation = u64::from(name.0) << NUMBER_BITS | number;
        self.pinned.lock().insert(id, Whereabouts::At(name));
        entry.pin(id);
        self.replace(entry, incarnation);
        Hold { id, incarnation }
    }

    /// The value is small by now: it gets one row, in the place of those that it may have.
    pub(crate) fn make_small(&self, entry: &mut Entry) {
        self.replace(entry, 0);
    }

    fn replace(&self, entry: &mut Entry, incarnation: u64) {
        let before = entry.set_incarnation(incarnation);
        if before != 0 {
            self.replaced.lock().push(before);
        }
    }

    /// What [`Held::hold`] has replaced since this was last asked.
    pub(crate) fn take_replaced(&self) -> Vec<u64> {
        std::mem::take(&mut self.replaced.lock())
    }

    /// The number of the last incarnation.
    pub(crate) fn last_incarnation(&self) -> u64 {
        self.incarnations.load(Ordering::Relaxed)
    }

    /// Goes on behind this number.
    pub(crate) fn set_last_incarnation(&self, number: u64) {
        self.incarnations.store(number, Ordering::Relaxed);
    }

    /// A pinned value is at this name from now on.
    #[cold]
    pub(crate) fn moved(&self, id: u64, name: DbKey) {
        if let Some(place) = self.pinned.lock().get_mut(&id) {
            *place = Whereabouts::At(name);
        }
    }

    /// A pinned value is at no name any more. Gives it back if no checkpoint wants it.
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

    /// Takes a value back that belongs to the checkpoint alone.
    pub(crate) fn put_back(&self, id: u64, entry: Entry) {
        self.pinned.lock().insert(id, Whereabouts::Gone(entry));
    }

    /// Forgets a pin.
    pub(crate) fn forget(&self, id: u64) {
        self.pinned.lock().remove(&id);
    }

    /// Whether a pinned value is in this physical database.
    pub(crate) fn is_any_in(&self, db: u8) -> bool {
        self.pinned.lock().values().any(|place| matches!(place, Whereabouts::At((of, _)) if *of == db))
    }

    /// All pins that there are.
    pub(crate) fn all(&self) -> Vec<u64> {
        self.pinned.lock().keys().copied().collect()
    }
}
