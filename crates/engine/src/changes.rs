//! Which keys of a shard have changed since the last checkpoint, and how those were, at the moment of its flip, that the
//! checkpoint under way has not taken yet.
//!
//! ```text
//!   a change ─▶ stamped in this epoch? ─yes─▶ nothing
//!                        │no
//!                        ├─ stamped in the one before, and a checkpoint is under way ─▶ its image is kept
//!                        └─ its name is noted, and it is stamped in this epoch
//!   the flip ─▶ what is noted is frozen, the epoch ends ─▶ the checkpoint takes each name: image, or the key as it is
//! ```
//!
//! *Invariant:* the name of each key that is stamped in the epoch that goes on is noted in it; of each that is stamped in the
//! one before while a checkpoint is under way it is frozen, or has been taken out to be looked for.
//!
//! *Invariant:* a key that has rows, and is not there any more, has its name among the removed.

use std::sync::Arc;

use hashbrown::HashTable;
use mvcc::wide::Shape;
use smallvec::SmallVec;

use super::checkpoint::{encode_row, is_large};
use crate::engine::Shared;
use crate::shard::DbKey;
use crate::value::{Entry, Epoch, Stamp};

/// A key with its ordering hash.
pub(crate) type Name = (u64, Box<[u8]>);

/// Names that stand for nothing any more, beside half of all, after which they are dropped.
const GONE_MOST: usize = 1024;

/// The changes of one database of a shard.
#[derive(Default)]
pub(crate) struct Changes {
    /// Ordering hashes of what has changed in this epoch.
    changed: Vec<u64>,
    /// How many of them may stand for nothing any more.
    gone: usize,
    /// Keys that had rows and went in this epoch.
    removed: Removed,
    frozen: Option<Box<Frozen>>,
    /// What the checkpoint under way has taken, until its run is in force.
    taken: Option<Arc<Names>>,
}

/// What the checkpoint under way has still to take.
#[derive(Default)]
struct Frozen {
    names: Names,
    /// With their ordering hashes, by them: one for nearly every key that is changed while a checkpoint is under way, so each
    /// takes no more than it must.
    images: HashTable<(u64, Image)>,
}

/// The names of what a checkpoint takes.
#[derive(Default)]
pub(crate) struct Names {
    /// Ascending once they are taken.
    pub(crate) changed: Vec<u64>,
    pub(crate) removed: Removed,
}

/// Keys that had rows and are not there any more.
#[derive(Default)]
pub(crate) struct Removed {
    names: HashTable<Name>,
    /// Bytes at rest, about, of those of them that were one row.
    pub(crate) bytes: u64,
}

impl Removed {
    fn insert(&mut self, (order, key): Name) {
        let same = |name: &Name| name.0 == order && name.1 == key;
        if self.names.find(order, same).is_none() {
            self.names.insert_unique(order, (order, key), |name| name.0);
        }
    }

    fn contains(&self, order: u64, key: &[u8]) -> bool {
        self.names.find(order, |name| name.0 == order && &name.1[..] == key).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// A key as it was at the flip, and is not any more.
pub(crate) enum Image {
    /// A small value.
    Row {
        /// The key.
        key: Box<[u8]>,
        /// The row's value.
        row: Box<[u8]>,
    },
    /// A large one, which keeps what changes of its elements.
    Held(Box<HeldImage>),
}

const _: () = assert!(size_of::<Image>() <= 32, "there may be as many as keys");

/// A large value as it was at the flip.
pub(crate) struct HeldImage {
    /// The key.
    pub(crate) key: Box<[u8]>,
    /// When it expired.
    pub(crate) deadline: Option<i64>,
    /// Where it is.
    pub(crate) hold: Hold,
}

/// A large value that a checkpoint is about to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    /// What its rows are named by.
    pub(crate) incarnation: u64,
    /// How many elements it had at the flip; bytes, if it is a string.
    pub(crate) len: u64,
    pub(crate) shape: Shape,
}

/// Where the key stands that changes.
#[derive(Clone, Copy)]
pub(crate) struct Site<'s> {
    pub(crate) shared: &'s Shared,
    pub(crate) epoch: Epoch,
    pub(crate) db: u8,
    pub(crate) order: u64,
}

impl Changes {
    /// A key is about to change. Answers the stamp that it has from then on.
    #[inline]
    pub(crate) fn changes(&mut self, at: Site<'_>, entry: &mut Entry, cached: impl FnOnce(&Entry) -> bool) -> Stamp {
        let stamp = entry.stamp();
        if stamp.is_of(at.epoch) { stamp } else { self.first_change(at, entry, cached) }
    }

    #[inline(never)]
    fn first_change(&mut self, at: Site<'_>, entry: &mut Entry, cached: impl FnOnce(&Entry) -> bool) -> Stamp {
        let kept = self.keep(at, entry, cached);
        self.changed.push(at.order);
        Stamp::changed(at.epoch, kept || entry.stamp().has_rows())
    }

    /// A key has come that was absent, though there may be a row of it. Answers its stamp.
    #[inline]
    pub(crate) fn came(&mut self, at: Site<'_>, has_rows: bool) -> Stamp {
        self.changed.push(at.order);
        Stamp::changed(at.epoch, has_rows)
    }

    /// A key has gone.
    #[inline]
    pub(crate) fn went(&mut self, at: Site<'_>, entry: &mut Entry, cached: impl FnOnce(&Entry) -> bool) {
        let stamp = entry.stamp();
        if stamp.is_of(at.epoch) {
            match self.changed.last() {
                Some(last) if *last == at.order => drop(self.changed.pop()),
                _ => self.gone += 1,
            }
        }
        if self.keep(at, entry, cached) || stamp.has_rows() {
            self.removed.insert((at.order, entry.key().into()));
            if entry.incarnation().is_none() {
                self.removed.bytes += entry.memory_bytes() as u64;
            }
        }
    }

    /// Whether so many names stand for nothing that it is time to drop them.
    #[inline]
    pub(crate) fn is_untidy(&self) -> bool {
        self.gone > self.changed.len() / 2 + GONE_MOST
    }

    /// Drops the names that no key with a stamp of this epoch has, which `stamped` tells, and double ones.
    #[cold]
    pub(crate) fn tidy(&mut self, stamped: impl FnMut(&u64) -> bool) {
        self.changed.sort_unstable();
        self.changed.dedup();
        self.changed.retain(stamped);
        self.changed.shrink_to(2 * self.changed.len());
        self.gone = 0;
    }

    /// Keeps the key as it is for the checkpoint that has not taken it yet; whether there is one.
    fn keep(&mut self, at: Site<'_>, entry: &mut Entry, cached: impl FnOnce(&Entry) -> bool) -> bool {
        let Some(frozen) = &mut self.frozen else { return false };
        // What is held as cache is no matter of checkpoints.
        if !entry.stamp().is_of(at.epoch.before()) || cached(entry) {
            return false;
        }
        let key: Box<[u8]> = entry.key().into();
        let image = if is_large(entry) {
            let name: DbKey = (at.db, key.clone());
            Image::Held(Box::new(HeldImage { key, deadline: entry.deadline(), hold: at.shared.held.hold(entry, name) }))
        } else {
            at.shared.held.make_small(entry);
            let mut row = Vec::new();
            encode_row(entry, &mut row);
            Image::Row { key, row: row.into() }
        };
        frozen.images.insert_unique(at.order, (at.order, image), |(order, _)| *order);
        true
    }

    /// The flip: whatever has changed up to now is for the checkpoint that begins.
    pub(crate) fn freeze(&mut self) {
        debug_assert!(self.frozen.is_none(), "one checkpoint ends before the next begins");
        self.gone = 0;
        let (changed, removed) = (std::mem::take(&mut self.changed), std::mem::take(&mut self.removed));
        if !changed.is_empty() || !removed.is_empty() {
            self.frozen = Some(Box::new(Frozen { names: Names { changed, removed }, images: HashTable::new() }));
        }
    }

    /// Whether the checkpoint under way has still to take something here.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// The hashes of what has changed, to be brought into order and given to [`Changes::begin`]; images are kept on.
    pub(crate) fn take_changed(&mut self) -> Option<Vec<u64>> {
        self.frozen.as_mut().map(|frozen| std::mem::take(&mut frozen.names.changed))
    }

    /// The checkpoint begins to take what has changed, and what was removed: this is all of it.
    pub(crate) fn begin(&mut self, changed: Vec<u64>) -> Arc<Names> {
        debug_assert!(self.taken.is_none() && changed.is_sorted(), "one checkpoint ends before the next begins");
        let removed = self.frozen.as_mut().map(|frozen| std::mem::take(&mut frozen.names.removed));
        Arc::clone(self.taken.insert(Arc::new(Names { changed, removed: removed.unwrap_or_default() })))
    }

    /// The images of keys with this ordering hash.
    pub(crate) fn take_images(&mut self, order: u64) -> SmallVec<[Image; 1]> {
        let mut taken = SmallVec::new();
        let Some(frozen) = self.frozen.as_mut().filter(|frozen| !frozen.images.is_empty()) else { return taken };
        while let Ok(found) = frozen.images.find_entry(order, |(of, _)| *of == order) {
            taken.push(found.remove().0.1);
        }
        taken
    }

    /// All has been taken, or nothing is to be taken any more. Answers the names that were not.
    pub(crate) fn thaw(&mut self) -> Names {
        self.frozen.take().map(|frozen| frozen.names).unwrap_or_default()
    }

    /// The run is in force, or will never be: what was taken is that no more.
    pub(crate) fn forget_taken(&mut self) {
        self.taken = None;
    }

    /// Whether the row of a key that is at rest as it is can be read: a run that is not in force may hold it.
    pub(crate) fn is_in_force(&self, order: u64) -> bool {
        self.taken.as_ref().is_none_or(|taken| taken.changed.binary_search(&order).is_err())
    }

    /// Whether a key that is not there went, and its row has not yet.
    pub(crate) fn is_removed(&self, order: u64, key: &[u8]) -> bool {
        let frozen = self.frozen.as_ref().map(|frozen| &frozen.names.removed);
        let taken = self.taken.as_ref().map(|taken| &taken.removed);
        [Some(&self.removed), frozen, taken].into_iter().flatten().any(|removed| removed.contains(order, key))
    }

    /// A key that is not in memory, and has a row, goes.
    pub(crate) fn went_unseen(&mut self, order: u64, key: &[u8]) {
        self.removed.insert((order, key.into()));
    }

    /// A name is due again, because what the checkpoint took of it counts for nothing. Answers the stamp.
    pub(crate) fn give_back(&mut self, epoch: Epoch, order: u64) -> Stamp {
        self.changed.push(order);
        Stamp::changed(epoch, true)
    }

    /// The same for keys that had gone.
    pub(crate) fn give_back_removed(&mut self, removed: &Removed) {
        removed.iter().for_each(|name| self.removed.insert(name.clone()));
        self.removed.bytes += removed.bytes;
    }

    /// How many names are noted. For tests.
    #[cfg(test)]
    pub(crate) fn noted(&self) -> usize {
        self.changed.len() + self.removed.names.len()
    }

    /// Asserts the first invariant for a key. For tests.
    #[cfg(test)]
    pub(crate) fn validate(&self, epoch: Epoch, order: u64, stamp: Stamp) {
        assert!(!stamp.is_of(epoch) || self.changed.contains(&order), "a changed key is not noted");
        assert!(!stamp.is_of(epoch.next()), "a stamp of an epoch that is to come");
    }
}
