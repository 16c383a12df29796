//! A checkpoint as it is written: keys in the order of their rows, then elements of large values, then the books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mvcc::{Pace, RunWriter, Timestamp};
use parking_lot::MutexGuard;

use super::CheckpointReport;
use super::batch::Batch;
use super::books::Changed;
use super::flip::Flip;
use super::recent;
use super::state::Died;
use super::store::Rows;
use super::turn::{Item, Turn};
use crate::changes::{Hold, Names};
use crate::engine::Shared;
use crate::error::CheckpointError;
use crate::exclusive::Kept;
use crate::limits::{CHECKPOINT_STEP_BYTES, CHECKPOINT_STEP_KEYS, SHARDS};
use crate::shard::{Db, Shard, ShardId};
use crate::stop::Place;
use crate::value::{Stamp, Steps};

/// A checkpoint on its way.
pub(super) struct Writing<'s> {
    pub(super) shared: &'s Shared,
    pub(super) rows: &'s Rows,
    /// Asked between two steps, with nothing locked, whether to go on.
    go_on: &'s mut dyn FnMut() -> bool,
    pace: Pace,
    flip: Flip,
    pub(super) batch: Batch,
    /// Large values whose elements are to come.
    pub(super) large: Vec<Hold>,
    /// Where they are: shards and databases.
    large_in: BTreeSet<(u8, u8)>,
    /// The names that were taken out to be written, by shard and database.
    taken: Vec<(ShardId, u8, Arc<Names>)>,
    pub(super) report: CheckpointReport,
    recent_rows: u32,
    pub(super) exclusives: Kept,
    /// Bytes at rest, about, of elements of large values that went.
    pub(super) removed_bytes: u64,
}

impl<'s> Writing<'s> {
    pub(super) fn begin(shared: &'s Shared, rows: &'s Rows, flip: Flip, go_on: &'s mut dyn FnMut() -> bool) -> Self {
        let report = CheckpointReport { position: flip.head.from, ..CheckpointReport::default() };
        let (pace, batch) = (Pace::begin(&rows.others), Batch::default());
        let (large, large_in, taken) = (Vec::new(), BTreeSet::new(), Vec::new());
        Self {
            shared,
            rows,
            go_on,
            pace,
            flip,
            batch,
            large,
            large_in,
            taken,
            report,
            recent_rows: 0,
            exclusives: Kept::default(),
            removed_bytes: 0,
        }
    }

    /// Writes all of it to the run.
    pub(super) fn write(&mut self, run: &mut RunWriter<'_>) -> Result<CheckpointReport, CheckpointError> {
        for shard in 0..SHARDS {
            self.take_shard(ShardId(shard as u8), run)?;
        }
        self.take_large(run)?;
        self.write_books(run)?;
        let mut recent = self.flip.recent.take();
        self.exclusives = std::mem::take(&mut self.flip.exclusives).keep(self.shared, self.flip.head.from)?;
        recent.iter_mut().for_each(|recent| recent.exclusives.clone_from(&self.exclusives));
        self.recent_rows = recent::write(self, recent.as_ref(), run)?;
        Ok(self.report)
    }

    pub(super) fn lock(&self, shard: ShardId) -> MutexGuard<'s, Shard> {
        self.shared.shards[usize::from(shard.0)].lock()
    }

    fn take_shard(&mut self, shard: ShardId, run: &mut RunWriter<'_>) -> Result<(), CheckpointError> {
        let (mut changed, mut items) = (Vec::new(), Vec::new());
        let mut guard = self.lock(shard);
        each_frozen(self.shared, &mut guard, shard, |db, tables| {
            changed.extend(tables.changes.take_changed().map(|names| (db, names)));
        });
        drop(guard);
        for (_, names) in &mut changed {
            names.sort_unstable();
            names.dedup();
            names.shrink_to_fit();
        }
        let first = self.taken.len();
        let mut guard = self.lock(shard);
        each_frozen(self.shared, &mut guard, shard, |db, tables| {
            // By now it may have been emptied, and stand elsewhere.
            let found = changed.iter_mut().find(|(of, _)| *of == db);
            let names = found.map(|(_, names)| std::mem::take(names)).unwrap_or_default();
            self.taken.push((shard, db, tables.changes.begin(names)));
        });
        drop(guard);
        for (_, db, names) in &self.taken[first..] {
            items.extend(names.changed.iter().map(|order| Item { db: *db, order: *order, removed: None }));
            let removed = names.removed.iter();
            items.extend(removed.map(|(order, key)| Item { db: *db, order: *order, removed: Some(key.clone()) }));
        }
        items.sort_by_key(|item| (item.slot(), item.db, item.order));
        let mut rest = &items[..];
        while !rest.is_empty() {
            rest = self.take_step(shard, rest, run)?;
        }
        let mut guard = self.lock(shard);
        each_frozen(self.shared, &mut guard, shard, |_, tables| drop(tables.changes.thaw()));
        Ok(())
    }

    /// Takes some of the names; answers those that are left.
    fn take_step<'i>(
        &mut self,
        shard: ShardId,
        items: &'i [Item],
        run: &mut RunWriter<'_>,
    ) -> Result<&'i [Item], CheckpointError> {
        self.batch.clear();
        let (mut at, mut rest) = (0, items);
        let mut guard = self.lock(shard);
        foresee(&guard, &items[..items.len().min(CHECKPOINT_STEP_KEYS)]);
        while at < CHECKPOINT_STEP_KEYS && self.batch.bytes.len() < CHECKPOINT_STEP_BYTES && !rest.is_empty() {
            // What shares the part of the hash that rows are ordered by is sorted by key: it must not be torn.
            let group = |item: &Item| (item.slot(), item.db, item.order >> 26);
            let len = rest.iter().position(|item| group(item) != group(&rest[0])).unwrap_or(rest.len());
            let (now, later) = rest.split_at(len);
            for same in now.chunk_by(|a, b| a.order == b.order) {
                self.take_hash(shard, &mut guard, same)?;
            }
            (at, rest) = (at + len, later);
        }
        // Whoever waits goes first: this thread has time.
        MutexGuard::unlock_fair(guard);
        let all = self.batch.rows.len();
        self.batch.sort(all);
        self.put(all, run)?;
        self.pause()?;
        Ok(rest)
    }

    /// Takes all keys with one ordering hash in one database.
    fn take_hash(&mut self, shard: ShardId, guard: &mut Shard, items: &[Item]) -> Result<(), CheckpointError> {
        let (db, order) = (items[0].db, items[0].order);
        let (shared, rows, epoch) = (self.shared, self.rows, guard.epoch.before());
        let notes = items.iter().any(|item| item.removed.is_some());
        let Self { batch, large, report, .. } = self;
        let before = large.len();
        let mut turn = Turn { shared, epoch, at: (shard, order, db), batch, large, report, notes, present: Vec::new() };
        let taken = with_frozen(shared, guard, Place { shard, order }, db, |tables| turn.take(tables));
        let taken = taken.unwrap_or(Ok(())).and_then(|()| turn.take_removed(items));
        if large.len() > before {
            self.large_in.insert((shard.0, db));
        }
        taken.map_err(|error| rows.failed(error))
    }

    /// Between two steps: whoever waits goes first.
    pub(super) fn pause(&mut self) -> Result<(), CheckpointError> {
        self.pace.step();
        if (self.go_on)() { Ok(()) } else { Err(CheckpointError::Stopped) }
    }

    /// Writes the first `count` rows of the batch, which has the others on.
    pub(super) fn put(&mut self, count: usize, run: &mut RunWriter<'_>) -> Result<(), CheckpointError> {
        let Batch { bytes, rows, .. } = &self.batch;
        for row in &rows[..count] {
            let (key, value) = (&bytes[row.key..row.value], &bytes[row.value..row.end]);
            let put = if row.present { run.put(key, None, &[value]) } else { run.remove(key) };
            put.map_err(|error| self.rows.failed(error))?;
        }
        self.report.bytes += self.batch.drop_first(count) as u64;
        Ok(())
    }

    fn write_books(&mut self, run: &mut RunWriter<'_>) -> Result<(), CheckpointError> {
        self.flip.head.incarnation = self.shared.held.last_incarnation();
        self.flip.died.buried.extend(self.shared.held.take_replaced());
        let Died { buried, forgotten, swept, .. } = &self.flip.died;
        let mut dead: Vec<(u64, bool)> = forgotten.iter().map(|dead| (*dead, false)).collect();
        dead.extend(buried.iter().map(|dead| (*dead, true)));
        dead.sort_unstable();
        dead.dedup_by_key(|(incarnation, _)| *incarnation);
        for part in self.flip.tallies.iter_mut().flat_map(|tallies| &mut tallies.parts) {
            part.large |= self.large_in.contains(&(part.shard, part.db));
        }
        let Flip { head, spaces, group_spaces, emptied, tallies, .. } = &self.flip;
        let mut marks: BTreeMap<u8, Option<Timestamp>> = swept.iter().map(|db| (*db, None)).collect();
        marks.extend(emptied.iter().map(|(db, commit)| (*db, Some(*commit))));
        let (spaces, group_spaces) = (spaces.as_deref(), group_spaces.as_deref());
        let changed = Changed { head, spaces, emptied: &marks, dead: &dead, tallies: tallies.as_ref(), group_spaces };
        changed.write(run).map_err(|error| self.rows.failed(error))
    }

    /// The run is in force: what its books say counts.
    pub(super) fn settle(&mut self) {
        self.shared.checkpoints.note_recent_rows(self.recent_rows);
        let (dead, Died { buried, forgotten, swept, .. }) = (&self.rows.dead, &self.flip.died);
        swept.iter().for_each(|db| dead.sweep(*db));
        self.flip.emptied.iter().for_each(|(db, commit)| dead.empty(*db, *commit));
        dead.bury(buried.iter().copied());
        dead.forget(forgotten);
        let keys: u64 = self.taken.iter().map(|(.., names)| names.removed.bytes).sum();
        let removed = keys + self.removed_bytes;
        // Only now is it dead: what a compaction of before was to drop would not be known of any more.
        self.shared.checkpoints.add_garbage(removed + self.flip.died.bytes_at_rest(self.shared, self.rows));
        for (id, shard) in (0..=u8::MAX).zip(&self.shared.shards) {
            let large_in = self.large_in.range((id, 0)..=(id, u8::MAX)).map(|(_, db)| *db);
            shard.lock().comes_into_force(large_in);
        }
        self.end(true);
    }

    /// The run is not in force: all that it was to bring is due again.
    pub(super) fn give_back(&mut self) {
        let shared = self.shared;
        self.flip.died.buried.extend(shared.held.take_replaced());
        let mut taken = std::mem::take(&mut self.taken);
        for shard in (0..SHARDS).map(|shard| ShardId(shard as u8)) {
            let mut guard = self.lock(shard);
            drop(guard.suffix.thaw());
            for (db, tables) in (0..=u8::MAX).zip(&mut guard.dbs) {
                let Some(tables) = tables else { continue };
                tables.changes.forget_taken();
                taken.push((shard, db, Arc::new(tables.changes.thaw())));
            }
            for (_, db, names) in taken.extract_if(.., |(of, ..)| *of == shard) {
                give_back(shared, &mut guard, db, &names);
            }
        }
        let died = std::mem::take(&mut self.flip.died);
        shared.checkpoints.died.lock().join(died);
        self.end(false);
    }

    /// Lets go of what was held for the checkpoint alone.
    fn end(&mut self, in_force: bool) {
        let shared = self.shared;
        self.let_go(in_force);
        shared.checkpoints.active.store(false, Ordering::Release);
        let kept = std::mem::take(&mut *shared.checkpoints.kept.lock());
        shared.reaper.free_dbs(kept.into_iter().map(|(_, _, tables)| Some(tables)).collect());
    }
}

/// What a failed checkpoint had taken, or was to take, of a database, is due again.
fn give_back(shared: &Shared, shard: &mut Shard, db: u8, names: &Names) {
    if names.changed.is_empty() && names.removed.is_empty() {
        return;
    }
    let epoch = shard.epoch;
    let Db { table, changes, cached, .. } = shard.db_mut(db);
    for &order in &names.changed {
        table.find(order, |entry| {
            if shared.order_of(entry.key()) != order || entry.stamp().is_of(epoch) {
                return false;
            }
            let cached = cached.as_ref().is_some_and(|cached| cached.holder(order, entry).is_some());
            entry.set_stamp(if cached { Stamp::default() } else { changes.give_back(epoch, order) });
            false
        });
    }
    changes.give_back_removed(&names.removed);
}

/// Hands each database of the shard that the checkpoint has still to take something of to `visit`, also emptied ones.
fn each_frozen(shared: &Shared, guard: &mut Shard, shard: ShardId, mut visit: impl FnMut(u8, &mut Db)) {
    for (db, tables) in (0..=u8::MAX).zip(&mut guard.dbs) {
        tables.iter_mut().filter(|tables| tables.changes.is_frozen()).for_each(|tables| visit(db, tables));
    }
    for (of, db, tables) in shared.checkpoints.kept.lock().iter_mut() {
        if *of == shard && tables.changes.is_frozen() {
            visit(*db, tables);
        }
    }
}

/// Hands the tables to `see` of which the checkpoint takes what it takes of a database.
fn with_frozen<R>(
    shared: &Shared,
    guard: &mut Shard,
    place: Place,
    db: u8,
    see: impl FnOnce(&mut Db) -> R,
) -> Option<R> {
    let here = guard.dbs.get_mut(usize::from(db)).and_then(|tables| tables.as_deref_mut());
    if let Some(tables) = here.filter(|tables| tables.changes.is_frozen()) {
        return Some(see(tables));
    }
    let mut kept = shared.checkpoints.kept.lock();
    let mut there = kept.iter_mut().filter(|(shard, of, _)| (*shard, *of) == (place.shard, db));
    there.find(|(_, _, tables)| tables.changes.is_frozen()).map(|(_, _, tables)| see(tables))
}

/// Fetches what is about to be looked up into the processor's caches, all at once.
fn foresee(shard: &Shard, items: &[Item]) {
    let of = |item: &Item| shard.db(item.db).map(|tables| (&tables.table, item.order));
    items.iter().filter_map(of).for_each(|(table, order)| table.to_segment(order));
    items.iter().filter_map(of).for_each(|(table, order)| table.to_item(order));
    items.iter().filter_map(of).for_each(|(table, order)| table.to_value(order));
}
