//! The store itself: what it holds, how it is opened and closed. The verbs are in the files beside.

mod clean;
mod flush;
mod iter;
mod load;
mod log;
mod read;
mod recover;
mod resume;
mod reuse;
mod scrub;
mod space;
mod stats;
mod tier;
mod turns;
mod worker;
mod write;

pub use iter::{Entry, Range};
pub use recover::OpenReport;
pub use scrub::ScrubReport;
pub use stats::{Health, Stats};
pub use write::{Draft, PutOptions, Removal};

#[cfg(test)]
pub(crate) use flush::write_all;
pub(crate) use read::read_full;
pub(crate) use recover::{read_key_pages, scan};

use crate::budget::Budget;
use crate::disk::{Disk, RealDisk};
use crate::error::{Error, Result};
use crate::hash::KeyHash;
use crate::index::Index;
use crate::limits::MAX_KEY_BYTES;
use crate::options::Options;
use crate::resident::Resident;
use crate::segment::Segments;
use crate::spare::Spares;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};
use load::Flights;
use log::Log;
use stats::Counters;
use std::path::Path;
use turns::Turns;
use worker::Worker;

/// Everything that the handles share.
///
/// Lock order: `space` before the gate of `turns` before `log`; the locks inside `index`, `resident`, `segments` and
/// `spares` are leaves. No I/O happens under `log`.
pub(crate) struct Inner {
    opts: Options,
    disk: Arc<dyn Disk>,
    id: u64,
    seed: u64,
    ram: Arc<Budget>,
    disk_bytes: Arc<Budget>,
    spares: Spares,
    index: Index,
    resident: Resident,
    segments: Segments,
    /// The writer lock: records, sequence numbers and index change together under it.
    log: Mutex<Log>,
    /// Told when the queue has become shorter.
    taken: Condvar,
    /// The order of those who write to files.
    turns: Turns,
    /// Held by the one thread that makes room on disk.
    space: Mutex<()>,
    /// Reads from disk as the last round of writing saw them, and the rounds since there was one.
    reads_seen: AtomicU64,
    rounds_unread: AtomicU64,
    /// Everything up to this place in the queue is on disk (synced, where the mode syncs).
    written: AtomicU64,
    /// The place in the queue of the youngest tombstone.
    last_tombstone: AtomicU64,
    degraded: AtomicBool,
    first_error: Mutex<Option<Arc<Error>>>,
    closed: AtomicBool,
    counters: Counters,
    flights: Flights,
    worker: Worker,
    report: OpenReport,
    _lock: Box<dyn Send + Sync>,
}

/// An open store. Cheap to clone; all clones are one store. See the crate's documentation.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    owner: Arc<Owner>,
}

/// Ends the store when the last handle goes.
struct Owner(Arc<Inner>);

impl Drop for Owner {
    fn drop(&mut self) {
        // What can be written is written; there is nobody to tell if it cannot. What was promised is there already.
        let _ = self.0.close();
    }
}

impl Store {
    /// Opens the store in a directory, or makes one there.
    ///
    /// # Errors
    /// `Locked` if it is open elsewhere, `NotThisStore` if the directory holds something else, I/O errors.
    pub fn open(path: impl AsRef<Path>, opts: Options) -> Result<Self> {
        let disk = RealDisk::new(path.as_ref()).map_err(|e| Error::io("opening the directory", e))?;
        Self::open_on(Arc::new(disk), opts)
    }

    /// Opens the store on any disk.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, opts: Options) -> Result<Self> {
        let inner = Arc::new(recover::open(disk, opts)?);
        Ok(Self { owner: Arc::new(Owner(Arc::clone(&inner))), inner })
    }

    /// Starts the background worker: it writes what is gathered, makes room ahead of need and scrubs. Without it
    /// the callers of puts do that work.
    pub fn start(&self) {
        worker::start(&self.inner);
    }

    /// Writes everything that is gathered; in a mode that syncs, syncs it.
    ///
    /// # Errors
    /// What writing failed with.
    pub fn drain(&self) -> Result<()> {
        self.inner.check_open()?;
        self.inner.flush_all()
    }

    /// Writes and seals everything and ends the store. Other handles then get `Closed`. Dropping the last handle
    /// does the same but has nobody to tell about errors.
    ///
    /// # Errors
    /// What writing failed with. Everything that was promised is on disk also then.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    /// Whether a write failed and writes are refused.
    pub fn is_degraded(&self) -> bool {
        self.inner.degraded.load(Ordering::Acquire)
    }

    /// The first error in the background since the store was opened or resumed.
    pub fn first_error(&self) -> Option<Arc<Error>> {
        lock(&self.inner.first_error).clone()
    }

    /// Id of the oldest segment: the tail of the log.
    pub fn oldest_live_segment(&self) -> Option<u32> {
        self.inner.segments.tail()
    }

    /// Whether this segment is the tail, where tombstones may be dropped.
    pub fn is_tail_segment(&self, id: u32) -> bool {
        self.inner.segments.tail() == Some(id)
    }

    /// What opening found.
    pub fn open_report(&self) -> &OpenReport {
        &self.inner.report
    }

    /// Items that can be read. Counts items that have expired but were not looked at since.
    pub fn len(&self) -> u64 {
        self.inner.index.live_items()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("items", &self.len()).field("clones", &Arc::strong_count(&self.owner)).finish()
    }
}

impl Inner {
    fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash::new((self.opts.hash)(self.seed, key))
    }

    fn now_ms(&self) -> u64 {
        (self.opts.clock)()
    }

    fn check_key(key: &[u8]) -> Result<()> {
        match key.len() {
            0 => Err(Error::EmptyKey),
            len if len > MAX_KEY_BYTES => Err(Error::KeyTooLong { len, max: MAX_KEY_BYTES }),
            _ => Ok(()),
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.degraded.load(Ordering::Acquire) { Err(self.degraded_error()) } else { Ok(()) }
    }

    fn degraded_error(&self) -> Error {
        let first = lock(&self.first_error).clone();
        Error::Degraded { cause: first.unwrap_or_else(|| Arc::new(Error::Closed)) }
    }

    /// Ends writing; the first call does the work.
    fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.worker.stop();
        self.seal_active();
        self.flush_all()?;
        self.remove_spares()?;
        self.mark_clean()
    }
}
