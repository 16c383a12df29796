//! Large values on their way to rest: the elements that have changed, as they were at the flip.

use effect::Kind;
use mvcc::RunWriter;
use mvcc::wide::Incarnation;
use parking_lot::MutexGuard;

use super::writing::Writing;
use crate::changes::Hold;
use crate::engine::Shared;
use crate::error::CheckpointError;
use crate::held::Whereabouts;
use crate::limits::{CHECKPOINT_PART_BYTES, CHECKPOINT_PART_ELEMENTS};
use crate::shard::{DbKey, Shard, weight};
use crate::value::Entry;
use crate::value::wide::{BLOCK_BYTES, Budget, Spent, WideRow};

/// What is handed over under one hold of a lock.
const PART: Budget = Budget { rows: CHECKPOINT_PART_ELEMENTS, bytes: CHECKPOINT_PART_BYTES };

impl Writing<'_> {
    /// Writes the rows of all large values that were taken: in the order of their names, which rows begin with.
    pub(super) fn take_large(&mut self, run: &mut RunWriter<'_>) -> Result<(), CheckpointError> {
        self.large.sort_unstable_by_key(|hold| hold.incarnation);
        for hold in self.large.clone() {
            self.take_elements(hold, run)?;
        }
        Ok(())
    }

    /// Writes the elements of one that have changed, part by part; the locks are free in between.
    fn take_elements(&mut self, hold: Hold, run: &mut RunWriter<'_>) -> Result<(), CheckpointError> {
        self.batch.clear();
        loop {
            let last = self.next_part(hold).map_err(|error| self.rows.failed(error))?;
            let ready = if last { self.batch.rows.len() } else { self.batch.settled() };
            self.batch.sort(ready);
            self.put(ready, run)?;
            // Fences are no elements.
            self.report.elements += (ready as u64).saturating_sub(std::mem::take(&mut self.batch.fences));
            self.pause()?;
            if last {
                return Ok(());
            }
        }
    }

    /// Adds the next rows of a frozen value, wherever it is, to the batch, and says whether they were the last.
    fn next_part(&mut self, Hold { incarnation, .. }: Hold) -> mvcc::Result<bool> {
        let Self { shared, batch, removed_bytes, .. } = self;
        let mut take = |entry: &mut Entry| {
            let (kind, mut added, mut removed) = (entry.kind(), Ok(()), 0);
            let last = entry.next_rows(PART, &mut |row| {
                removed += u64::from(matches!(row, WideRow::Remove(_)));
                if added.is_ok() {
                    added = batch.add_element(Incarnation(incarnation), kind, &row);
                }
            });
            *removed_bytes += removed * bytes_of_row(entry);
            added.map(|()| last)
        };
        loop {
            match shared.held.find(incarnation).expect("what is held stays until it is taken") {
                Whereabouts::Gone(mut entry) => {
                    let last = take(&mut entry);
                    match last {
                        Ok(true) => shared.reaper.free_entry(entry),
                        Ok(false) | Err(_) => shared.held.put_back(incarnation, entry),
                    }
                    return last.map_err(Into::into);
                }
                Whereabouts::At(name) | Whereabouts::Taken(name) => {
                    let place = shared.place_of(&name.1);
                    let mut guard = shared.shards[usize::from(place.shard.0)].lock();
                    let taken = with_frozen_value(shared, &mut guard, incarnation, &name, &mut take);
                    if let Some(Ok(true)) = taken {
                        shared.held.taken(incarnation, name);
                    }
                    MutexGuard::unlock_fair(guard);
                    // It has moved if it is not there.
                    if let Some(last) = taken {
                        return last.map_err(Into::into);
                    }
                }
            }
        }
    }

    /// Lets go of all large values: what was taken of them is at rest, or is due again.
    pub(super) fn let_go(&self, in_force: bool) {
        for incarnation in self.shared.held.all() {
            self.thaw(incarnation, in_force);
        }
        debug_assert!(self.shared.held.all().is_empty(), "nothing is frozen between two checkpoints");
    }

    /// Ends the image of a value, wherever it is.
    fn thaw(&self, incarnation: u64, in_force: bool) {
        let shared = self.shared;
        while let Some(found) = shared.held.find(incarnation) {
            match found {
                Whereabouts::Gone(entry) => shared.reaper.free_entry(entry),
                Whereabouts::At(name) | Whereabouts::Taken(name) => {
                    let place = shared.place_of(&name.1);
                    let mut guard = shared.shards[usize::from(place.shard.0)].lock();
                    let end = |entry: &mut Entry| end_image(shared, entry, incarnation, in_force);
                    let spent = with_frozen_value(shared, &mut guard, incarnation, &name, end);
                    if spent.is_some() {
                        shared.held.forget(incarnation);
                    }
                    // What the image kept is freed without the lock.
                    drop(guard);
                    drop(spent);
                }
            }
        }
    }
}

/// Bytes that a row of the value has, about.
fn bytes_of_row(entry: &Entry) -> u64 {
    match entry.kind() {
        Kind::String => BLOCK_BYTES as u64,
        _ => (entry.memory_bytes() / weight(entry).max(1)) as u64,
    }
}

fn end_image(shared: &Shared, entry: &mut Entry, incarnation: u64, in_force: bool) -> Option<Spent> {
    if in_force {
        return entry.thaw();
    }
    let owned = entry.incarnation().is_some();
    let spent = entry.cancel();
    if owned && entry.incarnation().is_none() {
        // A run that failed may turn out to be in force when the store is opened again: then these are rows of nobody.
        shared.checkpoints.bury_rows(incarnation, 0);
    }
    spent
}

/// Hands the value that was frozen under this name to `see`, if it is at `name`, whose shard is locked, also in an emptied
/// database.
fn with_frozen_value<R>(
    shared: &Shared,
    guard: &mut Shard,
    incarnation: u64,
    name: &DbKey,
    see: impl FnOnce(&mut Entry) -> R,
) -> Option<R> {
    let (db, key) = name;
    let place = shared.place_of(key);
    let of_image =
        |entry: &Entry| entry.key() == &key[..] && entry.image().is_some_and(|image| image.incarnation == incarnation);
    let here = guard.dbs.get_mut(usize::from(*db)).and_then(|tables| tables.as_deref_mut());
    if let Some(entry) = here.and_then(|tables| tables.table.find_mut(place.order, of_image)) {
        return Some(see(entry));
    }
    let mut kept = shared.checkpoints.kept.lock();
    let mut there = kept.iter_mut().filter(|(shard, of, _)| (*shard, *of) == (place.shard, *db));
    there.find_map(|(_, _, tables)| tables.table.find_mut(place.order, of_image)).map(see)
}
