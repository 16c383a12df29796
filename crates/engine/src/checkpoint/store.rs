//! The store of rows, opened.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use envelope::Cipher;
use mvcc::{LsmStore, Options, Others, Retention, Store, Timestamp};
use parking_lot::Mutex;

use super::dead::Dead;
use super::figures::DiskFigures;
use crate::error::CheckpointError;
use crate::limits::{CHECKPOINT_NICE, ROWS_CACHE_BYTES, ROWS_DATA_KEYS_MAX};

/// Where the rows are, within the data directory.
pub(crate) const ROWS: &str = "rows";

/// The store, and what it must not show.
pub(crate) struct Rows {
    pub(crate) store: LsmStore,
    pub(crate) dead: Arc<Dead>,
    pub(crate) path: PathBuf,
    /// Who goes before those who write and compact rows: clients.
    pub(super) others: Others,
    cipher: Option<Arc<Cipher>>,
    /// The disk as it was last measured.
    measured: Mutex<DiskFigures>,
}

/// What the store is called until it is whole.
const ASIDE: &str = "rows.new";

impl Rows {
    /// Begins a store in the data directory `dir`: aside, and durable before it has its name, since a store that a crash has
    /// left half made cannot be opened.
    pub(super) fn create(
        dir: &Path,
        cipher: Option<Arc<Cipher>>,
        large_value_bytes: usize,
    ) -> Result<Self, CheckpointError> {
        let (path, aside) = (dir.join(ROWS), dir.join(ASIDE));
        let io = |source| CheckpointError::Io { path: path.clone(), source };
        let failed = |source| CheckpointError::Rows { path: path.clone(), source };
        match fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        drop(Self::open(&aside, cipher.clone(), large_value_bytes).map_err(failed)?);
        sync_all(&aside).map_err(io)?;
        fs::rename(&aside, &path).and_then(|()| File::open(dir)?.sync_all()).map_err(io)?;
        Self::open(&path, cipher, large_value_bytes).map_err(failed)
    }

    /// Opens the store at `path`, or begins one there; its values are sealed with `cipher`, and stand
    /// apart from `large_value_bytes` on.
    pub(crate) fn open(path: &Path, cipher: Option<Arc<Cipher>>, large_value_bytes: usize) -> mvcc::Result<Self> {
        let (dead, others) = (Arc::new(Dead::default()), Others::default());
        let options = Options {
            cache_bytes: ROWS_CACHE_BYTES,
            threads: 1,
            large_value_bytes,
            dead: Some(Arc::clone(&dead) as _),
            cipher: cipher.clone(),
            others: others.clone(),
            ..Options::new(Retention::Newest)
        };
        // The threads that it starts have the priority of the one that starts them.
        let opened = std::thread::scope(|scope| {
            let open = || {
                lower_priority();
                LsmStore::open(path, &options)
            };
            std::thread::Builder::new().name("rows".into()).spawn_scoped(scope, open).map(|opened| opened.join())
        });
        let store = match opened {
            Ok(Ok(opened)) => opened?,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // Without another thread: only its priority is lost.
            Err(_) => LsmStore::open(path, &options)?,
        };
        let rows = Self { store, dead, path: path.into(), others, cipher, measured: Mutex::default() };
        rows.disk_bytes();
        Ok(rows)
    }

    /// When the last checkpoint was taken.
    pub(crate) fn last_commit(&self) -> Timestamp {
        self.store.last_commit()
    }

    /// Bytes of rows on disk, large values included. It may wait for a run that comes into force, syncs included: not for those who answer clients.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let figures = self.store.stats().map_or_else(
            |_| DiskFigures::default(),
            |stats| DiskFigures {
                bytes: stats.row_bytes + stats.value_bytes,
                value_bytes: stats.value_bytes,
                value_stale_bytes: stats.value_stale_bytes,
            },
        );
        *self.measured.lock() = figures;
        figures.bytes
    }

    /// The same as it was after the last checkpoint or compaction of all; it waits for nothing.
    pub(crate) fn measured(&self) -> DiskFigures {
        *self.measured.lock()
    }

    /// Whether all rows are to be sealed anew: some may be in clear, or there are more data keys than need be.
    pub(super) fn are_stale(&self) -> bool {
        let has_many = |cipher: &Arc<Cipher>| cipher.data_keys().len() > ROWS_DATA_KEYS_MAX;
        self.store.may_hold_clear() || self.cipher.as_ref().is_some_and(has_many)
    }

    /// Whether nobody goes before those who write and compact rows. For tests.
    #[cfg(test)]
    pub(crate) fn has_none_before_it(&self) -> bool {
        self.others.are_gone()
    }

    pub(super) fn failed(&self, source: mvcc::Error) -> CheckpointError {
        CheckpointError::Rows { path: self.path.clone(), source }
    }
}

/// Makes a directory durable with all that is in it.
pub(crate) fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(dir)?.sync_all()
}

/// Processor time of this thread since it began.
pub(crate) fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// Lets whoever answers commands go before this thread.
pub(crate) fn lower_priority() {
    // Where this is not allowed, it is only slower for others.
    let _ = rustix::process::setpriority_process(None, CHECKPOINT_NICE);
}
