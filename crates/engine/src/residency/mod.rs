//! Memory as a cache over what is at rest: keys come from their rows when they are needed, and may go when they are clean.
//!
//! ```text
//!   a command looks for a key that is not in memory ─▶ Miss ─▶ its row is read, with nothing locked ─▶ the command runs again
//!   a start ─▶ serves at once; a thread brings in the rest, shard by shard, as far as there is room
//!   memory is full ─▶ keys that were not looked for lately and are as their rows say leave it
//! ```
//! What a database of a shard does not have in memory is its `Cold`. A run of rows that is not in force yet counts for nothing
//! here: what it took stays in memory, and what it removes stays noted.
//!
//! *Invariant:* a key that is neither in memory nor noted as removed is what its row in force says, or absent.
//!
//! *Invariant:* what was read is brought in only if nothing was evicted from its shard meanwhile and no run came into force: so it
//! is not older than what somebody has seen.

mod bound;
mod cold;
mod evict;
mod fill;
mod filler;
mod listing;
mod load;
mod part;
mod read;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use thiserror::Error;

use crate::checkpoint::load_keys;
use crate::engine::{Engine, Shared};
use crate::error::{CheckpointError, OpenError};
use crate::limits::{CLOSE_LOG_BYTES, ONE_SHARE};
use crate::shard::Shard;
use crate::value::Part;
use bound::Bound;

pub use bound::Gauge;
pub(crate) use cold::Cold;
pub(crate) use evict::Hand;
pub(crate) use fill::{Fill, fill};
pub(crate) use filler::Filler;
pub use listing::AtRest;
pub(crate) use listing::{Hold, Listed, Page};
pub(crate) use part::Name;
#[cfg(test)]
pub(crate) use read::read_key;

/// Brings everything into memory that is at rest only.
pub(crate) fn complete(shared: &Shared) -> Result<(), OpenError> {
    // Each shard is asked under its lock: some of its keys may just be leaving it.
    let is_complete = |shard: &Mutex<Shard>| shard.lock().is_complete();
    let Some(rows) = shared.checkpoints.found_rows() else { return Ok(()) };
    if !shared.shards.iter().all(is_complete) {
        load_keys(shared, rows, Fill::Arrive)?;
    }
    complete_values(shared, || true).map_err(|error| OpenError::of_read(&rows.path, error))
}

/// Brings in what is away of large values, one behind the other, as long as `go_on` says so.
fn complete_values(shared: &Shared, mut go_on: impl FnMut() -> bool) -> Result<(), ReadError> {
    let mut at_rest = AtRest::default();
    for shard in &shared.shards {
        if shared.residency.partly.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let mut names: Vec<(u8, Box<[u8]>)> = Vec::new();
        for (db, tables) in (0..=u8::MAX).zip(&shard.lock().dbs) {
            let entries = tables.iter().flat_map(|tables| tables.table.iter());
            names.extend(entries.filter(|entry| entry.is_partly_away()).map(|entry| (db, entry.key().into())));
        }
        for (db, key) in names {
            if !go_on() {
                return Ok(());
            }
            shared.fetch_part(Name { db, key: &key }, &Part::Whole, None, &mut at_rest)?;
        }
    }
    Ok(())
}

/// Why a key could not be read from its rows.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] mvcc::Error),
    /// A row is not what this version writes.
    #[error("the row {row}: {reason}")]
    Damaged {
        /// Its name.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// So much of one value is needed at once that there is no memory for it.
    #[error(
        "{elements} elements of the key '{key}' would be needed in memory at once, and take more than {bytes} bytes"
    )]
    TooMuch {
        /// Which.
        key: String,
        /// How many.
        elements: usize,
        /// What one command may take.
        bytes: u64,
    },
}

/// What an engine keeps of all this.
#[derive(Default)]
pub(crate) struct Residency {
    /// Databases of shards that are not complete.
    pub(crate) cold: Arc<AtomicUsize>,
    /// Values of which elements are away.
    pub(crate) partly: Arc<AtomicUsize>,
    /// Those who need that nothing is evicted for a while.
    holds: Arc<AtomicUsize>,
    /// The log is being replayed: keys are written over without a look at their rows.
    recovering: AtomicBool,
    bound: Bound,
    /// Keys that were read because they were asked for.
    reads: AtomicU64,
    evictions: AtomicU64,
}

/// How memory and rest have worked together since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResidencyFigures {
    /// Keys that are at rest and not in memory.
    pub cold_keys: u64,
    /// Values of which some elements are at rest and not in memory.
    pub partly_cold: u64,
    /// Look-ups that went to rows, because a key or an element was not in memory.
    pub reads: u64,
    /// Keys that have left memory because it was full. They are at rest.
    pub evictions: u64,
}

impl Engine {
    /// How memory and rest work together. Locks each shard for a moment.
    pub fn residency_figures(&self) -> ResidencyFigures {
        let Residency { partly, reads, evictions, .. } = &self.shared.residency;
        let cold = |shard: &Mutex<Shard>| shard.lock().cold_keys();
        let cold_keys = if self.shared.residency.is_on() { self.shared.shards.iter().map(cold).sum() } else { 0 };
        ResidencyFigures {
            cold_keys,
            partly_cold: partly.load(Ordering::Relaxed) as u64,
            reads: reads.load(Ordering::Relaxed),
            evictions: evictions.load(Ordering::Relaxed),
        }
    }

    /// Takes a checkpoint before a stop, if the next start would have much of the log to replay. Nobody is to be served any more:
    /// it lets nobody go first.
    pub fn rest(&self) -> Result<(), CheckpointError> {
        self.shared.checkpoints.hurry();
        match self.shared.log_bytes() > CLOSE_LOG_BYTES {
            true => self.checkpoint().map(drop),
            false => Ok(()),
        }
    }
}

impl Residency {
    /// Whether anything may be at rest only.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.cold.load(Ordering::Relaxed) > 0 || self.partly.load(Ordering::Relaxed) > 0
    }

    /// Whether a key that comes may have a row of which nobody has looked.
    #[inline]
    pub(crate) fn is_recovering(&self) -> bool {
        self.recovering.load(Ordering::Relaxed)
    }

    pub(crate) fn set_recovering(&self, recovering: bool) {
        self.recovering.store(recovering, Ordering::Relaxed);
    }

    /// Whether memory has a bound: then keys come that are needed, and no others before it is known what they take.
    pub(crate) fn is_bounded(&self) -> bool {
        !self.bound.is_none()
    }

    pub(crate) fn set_memory(&self, bytes: u64) {
        self.bound.set(bytes);
    }

    /// Bytes that one command may bring into memory; `None`: as many as it likes.
    fn bytes_for_one(&self) -> Option<u64> {
        self.bound.bytes().map(|bytes| bytes / ONE_SHARE)
    }

    /// Nothing is evicted as long as what this answers lives.
    pub(crate) fn hold(&self) -> Hold {
        Hold::new(&self.holds)
    }

    fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }
}
