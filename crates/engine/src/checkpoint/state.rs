//! What an engine keeps for its checkpoints between two of them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use mvcc::{Cleaning, Reencryption, Timestamp};
use parking_lot::Mutex;
use wal::Position;

use super::CheckpointPolicy;
use super::books::Books;
use super::figures::{CheckpointFigures, Outcomes};
use super::store::Rows;
use crate::engine::Shared;
use crate::error::CheckpointError;
use crate::limits::ROWS_GARBAGE_BYTES;
use crate::shard::{Db, ShardId};
use crate::value::Entry;

/// What has died in the epoch that goes on.
#[derive(Default)]
pub(super) struct Died {
    /// Physical databases that were emptied.
    pub(super) emptied: Vec<u8>,
    /// Large values that had rows.
    pub(super) buried: Vec<u64>,
    /// Dead large values of which no row is left.
    pub(super) forgotten: Vec<u64>,
    /// Emptied databases of which no dead row is left.
    pub(super) swept: Vec<u8>,
    /// Bytes, about, of the large values.
    bytes: u64,
    /// Keys that the emptied databases had.
    keys: u64,
}

impl Died {
    /// Adds what another epoch brought.
    pub(super) fn join(&mut self, other: Self) {
        self.emptied.extend(other.emptied);
        self.buried.extend(other.buried);
        self.forgotten.extend(other.forgotten);
        self.swept.extend(other.swept);
        (self.bytes, self.keys) = (self.bytes + other.bytes, self.keys + other.keys);
    }

    /// What it takes at rest, about: emptied databases have as large a part of it as they had of the keys.
    pub(super) fn bytes_at_rest(&self, shared: &Shared, rows: &Rows) -> u64 {
        let left = || (0..=u8::MAX).map(|db| shared.counts.get(db, 0).keys).sum::<u64>();
        let emptied = match self.keys {
            0 => 0,
            keys => (u128::from(rows.disk_bytes()) * u128::from(keys) / u128::from(keys + left())) as u64,
        };
        self.bytes + emptied
    }
}

/// Databases that were emptied while a checkpoint is being taken, which has still to take something there.
pub(super) type Kept = Vec<(ShardId, u8, Box<Db>)>;

/// See the module.
pub(crate) struct Checkpoints {
    /// Held by whoever takes one.
    pub(super) turn: Mutex<()>,
    /// None is to be taken any more.
    stopped: AtomicBool,
    /// Nobody is served any more who would have to be let go first.
    hurried: AtomicBool,
    /// One has been asked for in the background and is not done.
    pub(super) running: Arc<AtomicBool>,
    /// One is between its flip and its end. Changes with every shard locked, or when nothing is frozen any more.
    pub(super) active: AtomicBool,
    /// There once there is a checkpoint.
    rows: OnceLock<Arc<Rows>>,
    pub(super) died: Mutex<Died>,
    pub(super) kept: Mutex<Kept>,
    policy: Mutex<CheckpointPolicy>,
    large_value_bytes: AtomicUsize,
    /// Where replay begins behind the last one.
    position: AtomicU64,
    /// How many rows it has of what is recent.
    recent_rows: AtomicU32,
    pub(super) outcomes: Outcomes,
    /// Bytes at rest that nobody needs, about, beside what the store's own compactions find.
    garbage: AtomicU64,
    /// All rows were sealed anew, and the data keys of before are not forgotten yet.
    sealed: Mutex<Option<Reencryption>>,
}

impl Checkpoints {
    pub(crate) fn new(policy: CheckpointPolicy, large_value_bytes: usize) -> Self {
        Self {
            turn: Mutex::default(),
            stopped: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
            running: Arc::default(),
            active: AtomicBool::new(false),
            rows: OnceLock::new(),
            died: Mutex::default(),
            kept: Mutex::default(),
            policy: Mutex::new(policy),
            large_value_bytes: AtomicUsize::new(large_value_bytes),
            position: AtomicU64::new(Position::START.get()),
            recent_rows: AtomicU32::new(0),
            outcomes: Outcomes::default(),
            garbage: AtomicU64::new(0),
            sealed: Mutex::default(),
        }
    }

    /// Nobody is served any more: whoever writes or compacts rows lets nobody go first from now on.
    pub(crate) fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
        self.rows.get().into_iter().for_each(|rows| rows.others.leave());
    }

    /// Ends the one that is being taken, and waits for that. None is taken any more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        drop(self.turn.lock());
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Whether one is being taken in the background.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub(crate) fn figures(&self) -> CheckpointFigures {
        let disk = self.rows.get().map(|rows| rows.measured()).unwrap_or_default();
        CheckpointFigures { disk, ..self.outcomes.figures() }
    }

    pub(crate) fn set_policy(&self, policy: CheckpointPolicy) {
        *self.policy.lock() = policy;
    }

    /// Changes from how many bytes on the value of a row stands apart, from the next run on.
    pub(crate) fn set_large_value_bytes(&self, bytes: usize) {
        self.large_value_bytes.store(bytes, Ordering::Relaxed);
        if let Some(rows) = self.rows.get() {
            rows.store.set_large_value_bytes(bytes);
        }
    }

    pub(super) fn large_value_bytes(&self) -> usize {
        self.large_value_bytes.load(Ordering::Relaxed)
    }

    /// The last one is of this position.
    pub(crate) fn note_position(&self, position: Position) {
        self.position.store(position.get(), Ordering::Release);
    }

    pub(crate) fn position(&self) -> Position {
        Position(self.position.load(Ordering::Acquire))
    }

    pub(super) fn recent_rows(&self) -> u32 {
        self.recent_rows.load(Ordering::Acquire)
    }

    pub(super) fn note_recent_rows(&self, count: u32) {
        self.recent_rows.store(count, Ordering::Release);
    }

    /// Whether so many bytes of log are enough, and the last attempt no reason to wait; `most`, where memory is bounded.
    pub(super) fn is_due(&self, log: u64, most: Option<u64>) -> bool {
        let bounds = [self.policy.lock().log_bytes, most];
        bounds.into_iter().flatten().min().is_some_and(|bytes| log >= bytes) && self.may_begin()
    }

    /// Whether one may begin by itself.
    pub(super) fn may_begin(&self) -> bool {
        self.outcomes.may_try_again() && !self.is_stopped()
    }

    /// The rows that a start has found, with what their books say is dead.
    pub(super) fn found(&self, rows: Rows, books: &Books) -> Arc<Rows> {
        books.emptied.iter().for_each(|(db, commit)| rows.dead.empty(*db, *commit));
        rows.dead.bury(books.dead.iter().copied());
        // How much that is nobody knows any more.
        let none = books.dead.is_empty() && books.emptied.is_empty();
        self.garbage.store(if none { 0 } else { u64::MAX / 2 }, Ordering::Relaxed);
        Arc::clone(self.rows.get_or_init(|| Arc::new(rows)))
    }

    /// The rows, if there is a store of them.
    pub(crate) fn found_rows(&self) -> Option<&Arc<Rows>> {
        self.rows.get()
    }

    /// The rows; the first checkpoint makes the store. Only for whoever has the turn.
    pub(super) fn rows(&self, shared: &Shared) -> Result<Arc<Rows>, CheckpointError> {
        if let Some(rows) = self.rows.get() {
            return Ok(Arc::clone(rows));
        }
        let rows = Rows::create(&shared.dir, shared.ciphers.rows.clone(), self.large_value_bytes())?;
        let rows = Arc::clone(self.rows.get_or_init(|| Arc::new(rows)));
        if self.hurried.load(Ordering::Acquire) {
            rows.others.leave();
        }
        Ok(rows)
    }

    /// A value with rows is about to go: they are dead with the next checkpoint.
    #[inline]
    pub(crate) fn bury(&self, entry: &mut Entry) {
        if let Some(incarnation) = entry.disown() {
            self.bury_rows(incarnation, entry.memory_bytes());
        }
    }

    /// These rows, of about so many bytes, are dead with the next checkpoint.
    #[cold]
    pub(crate) fn bury_rows(&self, incarnation: u64, bytes: usize) {
        let mut died = self.died.lock();
        died.buried.push(incarnation);
        died.bytes += bytes as u64;
    }

    /// A physical database was emptied; every shard is locked. These are the tables that it had, by shard.
    pub(crate) fn emptied(&self, shared: &Shared, db: u8, tables: Vec<Option<Box<Db>>>) {
        let keys: usize = tables.iter().flatten().map(|tables| tables.len()).sum();
        let mut died = self.died.lock();
        died.keys += keys as u64;
        if !died.emptied.contains(&db) {
            died.emptied.push(db);
        }
        drop(died);
        if !self.active.load(Ordering::Acquire) {
            return shared.reaper.free_dbs(tables);
        }
        // What has all been taken, or came behind the flip, is needed only if there may be a large value that is being taken.
        let held = shared.held.emptied(db);
        let (mut kept, mut free) = (self.kept.lock(), Vec::new());
        for (id, tables) in (0..=u8::MAX).map(ShardId).zip(tables) {
            match tables {
                Some(tables) if held || tables.changes.is_frozen() => kept.push((id, db, tables)),
                tables => free.push(tables),
            }
        }
        shared.reaper.free_dbs(free);
    }

    pub(super) fn add_garbage(&self, bytes: u64) {
        self.garbage.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Seals the rows anew if that is due, or compacts them if much of them is not needed any more; and gives back the space of
    /// large values that are not.
    pub(super) fn tend(&self) -> mvcc::Result<()> {
        let Some(rows) = self.rows.get() else { return Ok(()) };
        let garbage = self.garbage.load(Ordering::Relaxed);
        let _turn = self.turn.lock();
        if self.is_stopped() {
            return Ok(());
        }
        if rows.are_stale() {
            self.seal_anew(rows)?;
        } else if garbage >= ROWS_GARBAGE_BYTES && garbage >= rows.disk_bytes() / 2 {
            self.compact(rows)?;
        }
        let cleaned = rows.store.clean_values(&mut || !self.is_stopped());
        rows.disk_bytes();
        let Cleaning { looked, removed, moved } = cleaned?;
        if removed > 0 {
            tracing::info!(looked, removed, moved, "files of large values were given back");
        }
        Ok(())
    }

    /// Rewrites all rows, sealed under a new data key, and forgets the others. Without those that nobody needs, as well.
    fn seal_anew(&self, rows: &Rows) -> mvcc::Result<()> {
        let mut sealed = self.sealed.lock();
        if sealed.is_none() {
            let dead = DeadAtRest::of(rows);
            let done = rows.store.reencrypt()?;
            self.compacted(dead, done.may_forget());
            rows.disk_bytes();
            *sealed = Some(done);
        }
        // Somebody may still read rows of before: then the next checkpoint tries again, and need not seal again.
        if let Some(done) = &*sealed
            && rows.store.forget_keys(done)?
        {
            *sealed = None;
            tracing::info!("all rows are encrypted, under one data key");
        }
        Ok(())
    }

    /// Rewrites all rows without those that nobody needs.
    pub(super) fn compact(&self, rows: &Rows) -> mvcc::Result<()> {
        let (began, dead) = (Instant::now(), DeadAtRest::of(rows));
        let compacted = rows.store.compact_all()?;
        self.compacted(dead, compacted.may_forget());
        let (bytes, ms) = (rows.disk_bytes(), began.elapsed().as_millis() as u64);
        tracing::info!(bytes, ms, "rows were compacted");
        Ok(())
    }

    /// All rows were rewritten, and so none is left of these dead values, if nobody still reads what was before.
    fn compacted(&self, dead: DeadAtRest, may_forget: bool) {
        self.garbage.store(0, Ordering::Relaxed);
        if may_forget {
            let mut died = self.died.lock();
            died.forgotten.extend(dead.incarnations);
            died.swept.extend(dead.emptied);
        }
    }
}

/// What is dead when all rows are about to be rewritten.
struct DeadAtRest {
    incarnations: Vec<u64>,
    emptied: Vec<u8>,
}

impl DeadAtRest {
    fn of(rows: &Rows) -> Self {
        Self { incarnations: rows.dead.incarnations(), emptied: rows.dead.emptied() }
    }
}

/// When a database was emptied: all that it had at rest by then is dead.
pub(super) fn marks(emptied: &[u8], last_commit: Timestamp) -> Vec<(u8, Timestamp)> {
    let mut dbs = emptied.to_vec();
    dbs.sort_unstable();
    dbs.dedup();
    dbs.into_iter().map(|db| (db, last_commit)).collect()
}
