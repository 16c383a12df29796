//! The store on disk, in one LSM tree.
//!
//! Whoever writes holds one lock; readers take none but for an instant. What a read sees is decided row by row
//! (`view.rs`), by the header of the current row, the prefix deletions under way, and the history; only then is the
//! watermark looked at, so a compaction that runs meanwhile makes a read fail, never lie.

mod apart;
mod books;
mod dead;
mod filter;
mod image;
mod ingest;
mod maintain;
mod options;
mod seal;
mod view;
mod write;

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use fjall::{Database, Keyspace};
use parking_lot::{Mutex, RwLock};

use crate::conflict::{ConflictCounts, Counters};
use crate::deletes::Pending;
use crate::error::{Error, Result};
use crate::input;
use crate::pins::{Pin, Pins, Watermark};
use crate::span::{Direction, Span};
use crate::store::{
    Applied, Bounds, Compaction, Page, PrefixDelete, Retention, RunRow, Snapshot, Source, Store, Transaction,
};
use crate::timestamp::Timestamp;
use crate::value::Version;

pub use dead::{DeadRows, MajorCompaction};
pub use ingest::RunWriter;
pub use options::Options;
pub use seal::Reencryption;
use seal::Seal;
use view::View;

pub use apart::Cleaning;
use apart::{FileMap, ValueFiles};

/// A versioned store on disk.
pub struct LsmStore {
    db: Database,
    /// The tree that says which generation of rows is in force.
    generations: Keyspace,
    options: Options,
    value_files: Arc<ValueFiles>,
    /// Values of so many bytes stand apart.
    large_value_bytes: AtomicUsize,
    /// The number of the file of values that the next clean begins at.
    clean_from: AtomicU64,
    seal: Arc<Seal>,
    retention: Retention,
    shared: RwLock<Shared>,
    /// Held by whoever writes.
    writer: Mutex<Writer>,
    last_commit: AtomicU64,
    applied_index: AtomicU64,
    pins: Pins,
    /// The effective watermark, for the compactions of the tree.
    floor: Arc<AtomicU64>,
    counters: Counters,
    rows_read: AtomicU64,
    /// What readers hold that began before a major compaction ended.
    old_readers: Mutex<Vec<Weak<()>>>,
}

/// What a reader takes along.
struct Shared {
    rows: Keyspace,
    /// The prefix deletions under way, oldest first.
    deletes: Arc<Vec<Pending>>,
    /// The files of values in force.
    values: Arc<FileMap>,
    /// Held by all readers that began since the last major compaction.
    readers: Arc<()>,
}

/// What only a writer needs.
struct Writer {
    generation: u64,
    /// The first row that the compaction under way has not visited.
    cursor: Vec<u8>,
}

/// What a store can say about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Rows that were looked at since the store was opened, by reads, scans and checks.
    pub rows_read: u64,
    /// Prefix deletions that are not carried out row by row yet.
    pub deletes_pending: usize,
    /// Bytes of the tree on disk, journal included.
    pub disk_bytes: u64,
    /// Bytes of the files that hold rows: without the journal, which has a size of its own.
    pub row_bytes: u64,
    /// Bytes of the files that hold large values.
    pub value_bytes: u64,
    /// Bytes in these that nobody refers to, as far as that has been looked at since the store was opened.
    pub value_stale_bytes: u64,
    /// Runs in the first level of the tree: a measure of how far its compactions are behind.
    pub l0_runs: usize,
}

impl LsmStore {
    /// Opens the store in `dir`, or begins one there. It reads a handful of rows, however many there are.
    ///
    /// A store that was opened with another retention before is changed: superseded versions are kept from now on and
    /// nothing before the last commit can be read, or those that were kept are given up.
    pub fn open(dir: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let floor = Arc::new(AtomicU64::new(0));
        let seal = Arc::new(Seal::new(options));
        let db = options.open(dir.as_ref(), &floor, &seal)?;
        let (generations, generation) = books::current_generation(&db)?;
        let rows = books::open_rows(&db, generation, options)?;
        books::drop_other_generations(&db, generation)?;
        let (value_files, values) = apart::load(dir.as_ref(), &rows, options.value_file_bytes)?;
        let books = books::load(&rows, options.retention, &db, &seal)?;
        floor.store(books.watermark.effective().0, Ordering::Release);
        let pins = Pins::default();
        pins.set(books.watermark);
        Ok(Self {
            db,
            generations,
            options: options.clone(),
            value_files: Arc::new(value_files),
            large_value_bytes: AtomicUsize::new(options.large_value_bytes),
            clean_from: AtomicU64::new(0),
            seal,
            retention: options.retention,
            shared: RwLock::new(Shared {
                rows,
                deletes: Arc::new(books.deletes),
                values: Arc::new(values),
                readers: Arc::default(),
            }),
            writer: Mutex::new(Writer { generation, cursor: books.cursor }),
            last_commit: AtomicU64::new(books.last_commit.0),
            applied_index: AtomicU64::new(books.applied_index),
            pins,
            floor,
            counters: Counters::default(),
            rows_read: AtomicU64::new(0),
            old_readers: Mutex::default(),
        })
    }

    /// Makes everything that was applied durable, also what came from a log.
    pub fn persist(&self) -> Result<()> {
        self.db.persist(fjall::PersistMode::SyncAll).map_err(|error| Error::tree("syncing the journal", error))
    }

    /// Hands the visible rows of `span` at `at`, in order of their keys, to `visit`, until it breaks. What `visit` was
    /// given is one snapshot; if the call fails in the end, it may be a part of one. Nothing is collected in between, so
    /// that several threads can read large spans beside each other.
    pub fn for_each<B>(
        &self,
        span: Span<'_>,
        at: Timestamp,
        visit: impl FnMut(&[u8], Version) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        View::snapshot(self).for_each(span, at, visit)
    }

    /// Changes from how many bytes on values stand apart; see [`Options::large_value_bytes`].
    pub fn set_large_value_bytes(&self, bytes: usize) {
        self.large_value_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Figures about the store.
    pub fn stats(&self) -> Result<Stats> {
        let shared = self.shared.read();
        Ok(Stats {
            rows_read: self.rows_read.load(Ordering::Relaxed),
            deletes_pending: shared.deletes.len(),
            disk_bytes: self.db.disk_space().map_err(|error| Error::tree("measuring the store", error))?,
            row_bytes: shared.rows.disk_space(),
            value_bytes: shared.values.bytes(),
            value_stale_bytes: shared.values.stale_bytes(),
            l0_runs: shared.rows.l0_table_count(),
        })
    }

    fn floor(&self) -> Timestamp {
        Timestamp(self.floor.load(Ordering::Acquire))
    }

    /// To be asked after the rows were read: what was read above the watermark as it is now was complete.
    fn check_readable(&self, at: Timestamp) -> Result<()> {
        let watermark = self.floor();
        if at < watermark { Err(Error::Compacted { at, watermark }) } else { Ok(()) }
    }
}

impl Store for LsmStore {
    fn retention(&self) -> Retention {
        self.retention
    }

    fn get(&self, key: &[u8], at: Timestamp) -> Result<Option<Version>> {
        input::key(key)?;
        View::now(self).get(key, at)
    }

    fn scan(&self, span: Span<'_>, at: Timestamp, direction: Direction, bounds: Bounds) -> Result<Page> {
        bounds.check()?;
        View::snapshot(self).scan(span, at, direction, bounds)
    }

    fn latest_commit(&self, key: &[u8]) -> Result<Option<Timestamp>> {
        input::key(key)?;
        View::now(self).latest_commit(key)
    }

    fn committed_at(&self, key: &[u8], commit: Timestamp) -> Result<bool> {
        input::key(key)?;
        View::now(self).committed_at(key, commit)
    }

    fn apply(&self, transaction: &Transaction<'_>, source: Source) -> Result<Applied> {
        self.apply_transaction(transaction, source)
    }

    fn delete_prefix(&self, delete: &PrefixDelete<'_>, source: Source) -> Result<Applied> {
        self.begin_prefix_delete(delete, source)
    }

    fn ingest(&self, run: &mut dyn Iterator<Item = RunRow>, commit: Timestamp, source: Source) -> Result<Applied> {
        self.ingest_run(run, commit, source)
    }

    fn last_commit(&self) -> Timestamp {
        Timestamp(self.last_commit.load(Ordering::Acquire))
    }

    fn applied_index(&self) -> u64 {
        self.applied_index.load(Ordering::Acquire)
    }

    fn advance_applied(&self, index: u64) -> Result<()> {
        self.store_applied_index(index)
    }

    fn conflicts(&self) -> ConflictCounts {
        self.counters.counts()
    }

    fn watermark(&self) -> Watermark {
        self.pins.watermark()
    }

    fn pin(&self, at: Timestamp) -> Result<Pin> {
        if at != Timestamp::LATEST {
            return self.pins.pin(at);
        }
        loop {
            match self.pins.pin(self.last_commit().max(self.floor())) {
                // A compaction has begun since the last commit was looked at.
                Err(Error::Compacted { .. }) => {}
                settled => return settled,
            }
        }
    }

    fn compact(&self, horizon: Timestamp, budget: usize) -> Result<Compaction> {
        self.compact_some(horizon, budget)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(image::Image::of(self)?))
    }

    fn restore(&self, from: &mut dyn Read) -> Result<()> {
        self.restore_image(from)
    }
}
