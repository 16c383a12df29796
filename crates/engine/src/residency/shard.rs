//! What a shard does as its keys come from rest and go there.

use super::Cold;
use crate::checkpoint::books::Tally;
use crate::engine::Shared;
use crate::shard::{Db, Shard, ShardId, next_due};
use crate::stop::Place;
use crate::value::{Entry, Stamp};

/// How a shard was when rows were read: what is at rest has not changed since if it still is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    evicted: u64,
    in_force: u64,
}

impl Shard {
    /// How it is now.
    pub(crate) fn seen(&self) -> Seen {
        Seen { evicted: self.evicted, in_force: self.in_force }
    }

    /// A run is in force: what it took is at rest. It has given rows of their own to values in the databases `large_in`.
    pub(crate) fn comes_into_force(&mut self, large_in: impl Iterator<Item = u8>) {
        self.in_force += 1;
        self.dbs.iter_mut().flatten().for_each(|tables| tables.changes.forget_taken());
        for db in large_in {
            if let Some(tables) = self.dbs.get_mut(usize::from(db)).and_then(|tables| tables.as_mut()) {
                tables.large = true;
            }
        }
    }

    /// Whether a key of a physical database that is not in memory may be at rest.
    #[inline]
    pub(crate) fn may_rest(&self, db: u8, order: u64, key: &[u8]) -> bool {
        self.db(db).is_some_and(|tables| tables.may_rest(order, key))
    }

    /// A start has found so many keys at rest, of which none is in memory.
    pub(crate) fn found_at_rest(&mut self, found: &Tally, shared: &Shared) {
        let Tally { shard, db, keys, volatile, due, large } = *found;
        let tables = self.db_mut(db);
        tables.cold = Some(Box::new(Cold::new(keys, volatile, large, &shared.residency.cold)));
        tables.large = large;
        tables.found_due(volatile, due);
        tables.publish(db, ShardId(shard), &shared.counts);
    }

    /// Brings a key into memory as it is at rest, unless it is there or has gone: it was read when the shard was as it is now,
    /// as far as that matters. Whether it came.
    pub(crate) fn arrive(&mut self, db: u8, place: Place, entry: Entry, shared: &Shared) -> bool {
        let is_here = self.find(db, place.order, entry.key()).is_some();
        let Some(tables) = self.dbs.get_mut(usize::from(db)).and_then(|tables| tables.as_deref_mut()) else {
            return false;
        };
        let Some(cold) = tables.cold.as_deref_mut() else { return false };
        let due = next_due(&entry);
        if is_here || tables.changes.is_removed(place.order, entry.key()) {
            return false;
        }
        cold.left(due.is_some());
        entry.set_stamp(Stamp::AT_REST);
        entry.set_clock(shared.seconds());
        tables.table.insert_unique(place.order, entry, |e| shared.order_of(e.key()));
        if let Some(deadline) = due {
            self.schedule(db, place, deadline, shared);
        }
        true
    }

    /// Takes a clean key out of memory. Answers the bytes that it took.
    pub(crate) fn evict(&mut self, db: u8, place: Place, key: &[u8], shared: &Shared) -> u64 {
        self.keep_recent(db, place, key);
        let Some(tables) = self.dbs.get_mut(usize::from(db)).and_then(|tables| tables.as_deref_mut()) else { return 0 };
        let same = |entry: &Entry| entry.key() == key;
        let Some(entry) = tables.table.remove(place.order, same, |e| shared.order_of(e.key())) else { return 0 };
        debug_assert!(is_clean(tables, place.order, &entry), "what is evicted is at rest as it is");
        let cold = tables.cold.get_or_insert_with(|| Box::new(Cold::new(0, 0, false, &shared.residency.cold)));
        cold.forget_vacant(place.order, key);
        cold.came(next_due(&entry).is_some());
        cold.large |= !entry.is_without_rows();
        self.evicted += 1;
        let bytes = entry.memory_bytes() as u64;
        shared.reaper.free_entry(entry);
        bytes
    }

    /// Notes that a key which was looked for has no row.
    pub(crate) fn note_vacant(&mut self, db: u8, place: Place, key: &[u8], shared: &Shared) {
        if let Some(cold) = self.dbs.get_mut(usize::from(db)).and_then(|db| db.as_mut()?.cold.as_mut()) {
            cold.note_vacant(place.order, key, shared.residency.is_held());
        }
    }

    /// Keys that are not in memory.
    pub(crate) fn cold_keys(&self) -> u64 {
        self.dbs.iter().flatten().filter_map(|tables| tables.cold.as_ref()).map(|cold| cold.keys).sum()
    }

    /// All keys of the shard are in memory.
    pub(crate) fn is_complete(&self) -> bool {
        self.dbs.iter().flatten().all(|tables| tables.cold.is_none())
    }

    /// Every row of the shard has been looked at since it was as `seen`: if none has been evicted, all keys are in memory.
    /// Whether it is so.
    pub(crate) fn complete(&mut self, evicted: u64, shard: ShardId, shared: &Shared) -> bool {
        if self.evicted != evicted {
            return false;
        }
        for (db, tables) in (0..=u8::MAX).zip(&mut self.dbs) {
            let Some(tables) = tables else { continue };
            let Some(cold) = tables.cold.take() else { continue };
            if cold.keys > 0 || cold.volatile > 0 {
                tracing::warn!(shard = shard.0, db, keys = cold.keys, "fewer keys are at rest than were counted");
                tables.volatile = tables.volatile.saturating_sub(cold.volatile as usize);
            }
            tables.publish(db, shard, &shared.counts);
        }
        true
    }
}

/// Whether the entry may leave memory: its row is what it is.
pub(crate) fn is_clean(tables: &Db, order: u64, entry: &Entry) -> bool {
    entry.stamp() == Stamp::AT_REST
        && tables.changes.is_in_force(order)
        && !entry.is_frozen()
        && !tables.holds_as_cache(order, entry)
}
