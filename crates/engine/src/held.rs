//! Large values of which a checkpoint is taking the elements that have changed: where they are.
//!
//! Such a value is frozen: it keeps what changes before the checkpoint comes to it (`value::wide`). That goes along when the value
//! moves to another name; when the value is removed or replaced, it belongs to the checkpoint alone, and is freed by it. A value
//! stays frozen until the run is in force, or has failed: only then it is known what of it is at rest.
//!
//! *Invariant:* a frozen value is where it is said to be, or in a database that the checkpoint keeps for itself; but for those of
//! which it has all rows, and which have gone since.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use effect::Kind;
use mvcc::wide::{ListMeta, Shape};
use parking_lot::Mutex;

use crate::changes::Hold;
use crate::shard::DbKey;
use crate::value::Entry;
use crate::value::wide::Image;

/// Where a frozen value is.
pub(crate) enum Whereabouts {
    /// Under this name: physical database and key.
    At(DbKey),
    /// Under this name, and the checkpoint has all rows of it.
    Taken(DbKey),
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
    /// By incarnation.
    frozen: Mutex<HashMap<u64, Whereabouts>>,
    /// The number of the last incarnation that was given.
    incarnations: AtomicU64,
    /// Incarnations whose values got one row in the checkpoint under way.
    replaced: Mutex<Vec<u64>>,
}

impl Held {
    /// Freezes a large value, at `name`. One without rows gets a name for them.
    pub(crate) fn hold(&self, entry: &mut Entry, name: DbKey) -> Hold {
        let kind = entry.kind();
        let new = || (u64::from(name.0) << NUMBER_BITS) | (self.incarnations.fetch_add(1, Ordering::Relaxed) + 1);
        let image = entry.freeze(new).expect("a large value is frozen once by each checkpoint");
        let hold = Hold { incarnation: image.incarnation, len: image.len as u64, shape: shape(kind, image) };
        debug_assert_eq!(db_of(hold.incarnation), name.0, "a value that leaves its database leaves its rows");
        self.frozen.lock().insert(hold.incarnation, Whereabouts::At(name));
        hold
    }

    /// The value is small by now: it gets one row, in the place of those that it may have.
    pub(crate) fn make_small(&self, entry: &mut Entry) {
        if let Some(before) = entry.forget_rows() {
            self.replaced.lock().push(before);
        }
    }

    /// What [`Held::make_small`] has replaced since this was last asked.
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

    /// A frozen value is at this name from now on.
    #[cold]
    pub(crate) fn moved(&self, incarnation: u64, to: DbKey) {
        match self.frozen.lock().get_mut(&incarnation) {
            Some(Whereabouts::At(name) | Whereabouts::Taken(name)) => *name = to,
            Some(Whereabouts::Gone(_)) | None => {}
        }
    }

    /// A frozen value is at no name any more. Gives it back if no checkpoint wants it.
    #[cold]
    pub(crate) fn gone(&self, incarnation: u64, entry: Entry) -> Option<Entry> {
        let mut frozen = self.frozen.lock();
        match frozen.get_mut(&incarnation) {
            Some(place @ Whereabouts::At(_)) => {
                *place = Whereabouts::Gone(entry);
                None
            }
            _ => {
                frozen.remove(&incarnation);
                Some(entry)
            }
        }
    }

    /// A physical database is emptied. Whether there is a frozen value of which rows are to be taken.
    pub(crate) fn emptied(&self, db: u8) -> bool {
        let mut frozen = self.frozen.lock();
        frozen.retain(|_, place| !matches!(place, Whereabouts::Taken((of, _)) if *of == db));
        frozen.values().any(|place| matches!(place, Whereabouts::At((of, _)) if *of == db))
    }

    /// The name of a frozen value, or the value itself if it has none any more; then it is forgotten here.
    pub(crate) fn find(&self, incarnation: u64) -> Option<Whereabouts> {
        let mut frozen = self.frozen.lock();
        match frozen.get(&incarnation)? {
            Whereabouts::At(name) => Some(Whereabouts::At(name.clone())),
            Whereabouts::Taken(name) => Some(Whereabouts::Taken(name.clone())),
            Whereabouts::Gone(_) => frozen.remove(&incarnation),
        }
    }

    /// Takes a value back that belongs to the checkpoint alone.
    pub(crate) fn put_back(&self, incarnation: u64, entry: Entry) {
        self.frozen.lock().insert(incarnation, Whereabouts::Gone(entry));
    }

    /// The checkpoint has all rows of a value that is at this name.
    pub(crate) fn taken(&self, incarnation: u64, name: DbKey) {
        self.frozen.lock().insert(incarnation, Whereabouts::Taken(name));
    }

    /// Forgets a value.
    pub(crate) fn forget(&self, incarnation: u64) {
        self.frozen.lock().remove(&incarnation);
    }

    /// All values that are frozen.
    pub(crate) fn all(&self) -> Vec<u64> {
        self.frozen.lock().keys().copied().collect()
    }
}

fn shape(kind: Kind, image: &Image) -> Shape {
    match kind {
        Kind::String => Shape::Text,
        Kind::Hash => Shape::Hash,
        Kind::Set => Shape::Set,
        Kind::ZSet => Shape::Zset,
        Kind::List => {
            let (head, tail) = image.ends.as_ref().map_or((0, 0), |(first, last)| (first.n, last.n.wrapping_add(1)));
            Shape::List(ListMeta { packed: false, head, tail })
        }
    }
}
