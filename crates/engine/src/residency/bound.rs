//! How much memory there is, and making room in it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::Hand;
use crate::checkpoint;
use crate::engine::{Engine, Shared};
use crate::limits::{DIRTY_SHARE, EVICT_AHEAD_SHARE, EVICT_SHARE, FILL_PERCENT};

/// Answers how many bytes the process has allocated.
pub type Gauge = Arc<dyn Fn() -> u64 + Send + Sync>;

/// See the module.
#[derive(Default)]
pub(super) struct Bound {
    /// Bytes that the process may allocate; 0: as many as it likes.
    bytes: AtomicU64,
    gauge: OnceLock<Gauge>,
    evicted_bytes: AtomicU64,
}

impl Bound {
    /// The bound and what is taken, if there is a bound.
    fn look(&self) -> Option<(u64, u64)> {
        let bytes = Some(self.bytes.load(Relaxed)).filter(|bytes| *bytes > 0)?;
        Some((bytes, self.gauge.get()?()))
    }

    /// Whether there is room for what nobody has asked for.
    pub(super) fn has_room(&self) -> bool {
        self.look().is_none_or(|(bytes, used)| used < bytes / 100 * FILL_PERCENT)
    }

    /// Bytes of log after which what has changed takes as much memory as it should at most.
    pub(crate) fn dirty_bytes(&self) -> Option<u64> {
        Some(self.bytes.load(Relaxed)).filter(|bytes| *bytes > 0).map(|bytes| bytes / DIRTY_SHARE)
    }
}

impl Shared {
    /// Evicts keys if memory is nearly full; asks for a checkpoint if that does not help, so that more of them may go.
    pub(crate) fn make_room(self: &Arc<Self>, hand: &mut Hand) {
        let Some((bytes, used)) = self.residency.bound.look() else { return };
        if used <= bytes - bytes / EVICT_AHEAD_SHARE {
            return;
        }
        let wanted = used - (bytes - bytes / EVICT_SHARE);
        let freed = self.evict_idle(wanted, hand);
        self.residency.bound.evicted_bytes.fetch_add(freed, Relaxed);
        if freed < wanted {
            checkpoint::request_for_room(self);
        }
    }

    /// Bytes of log after which a checkpoint is due because of the memory that changes take.
    pub(crate) fn dirty_log_bytes(&self) -> Option<u64> {
        self.residency.bound.dirty_bytes()
    }
}

impl Engine {
    /// Bounds the memory of the process, in bytes; 0: it has no bound. Above it keys leave memory that are at rest as they are.
    pub fn set_memory(&self, bytes: u64) {
        self.shared.residency.bound.bytes.store(bytes, Relaxed);
    }

    /// Says how the memory that is taken is learnt. False if that has been said before: then it stays as it is.
    pub fn set_memory_gauge(&self, gauge: Gauge) -> bool {
        self.shared.residency.bound.gauge.set(gauge).is_ok()
    }
}
