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
mod read;
mod settle;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::checkpoint::load_keys;
use bound::Bound;
use crate::engine::Shared;
use crate::error::OpenError;
use parking_lot::Mutex;
use thiserror::Error;

pub use bound::Gauge;
pub(crate) use cold::Cold;
pub(crate) use evict::Hand;
pub(crate) use fill::{Fill, fill};
pub(crate) use filler::Filler;
pub use listing::AtRest;
pub(crate) use listing::{Listed, Page};

/// Brings everything into memory that is at rest only.
pub(crate) fn complete(shared: &Shared) -> Result<(), OpenError> {
    match shared.checkpoints.found_rows() {
        Some(rows) if shared.residency.is_on() => load_keys(shared, rows, Fill::Arrive).map(drop),
        _ => Ok(()),
    }
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
}

/// What an engine keeps of all this.
#[derive(Default)]
pub(crate) struct Residency {
    /// Databases of shards that are not complete.
    pub(crate) cold: Arc<AtomicUsize>,
    /// Those who need that nothing is evicted for a while.
    holds: Arc<AtomicUsize>,
    /// Held by whoever settles what was written blindly.
    settling: Mutex<()>,
    bound: Bound,
}

impl Residency {
    /// Whether anything may be at rest only.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.cold.load(Ordering::Relaxed) > 0
    }

    fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }
}
