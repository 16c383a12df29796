//! How much memory there is, and making room in it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::Hand;
use crate::checkpoint;
use crate::engine::{Engine, Shared};
use crate::limits::{DIRTY_SHARE, EVICT_AHEAD_SHARE, EVICT_SHARE};

/// Answers how many bytes the process has allocated.
pub type Gauge = Arc<dyn Fn() -> u64 + Send + Sync>;

/// See the module.
#[derive(Default)]
pub(super) struct Bound {
    /// Bytes that the process may allocate; 0: as many as it likes.
    bytes: AtomicU64,
    gauge: OnceLock<Gauge>,
}

impl Bound {
    /// The bound, if there is one.
    pub(super) fn bytes(&self) -> Option<u64> {
        Some(self.bytes.load(Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// The bound and what is taken, if there is a bound and somebody knows.
    fn look(&self) -> Option<(u64, u64)> {
        let bytes = self.bytes()?;
        Some((bytes, self.gauge.get()?()))
    }

    /// Whether there is a bound, but nobody knows yet what is taken.
    pub(super) fn is_blind(&self) -> bool {
        self.bytes.load(Relaxed) > 0 && self.gauge.get().is_none()
    }

    /// Whether the process may allocate as many bytes as it likes.
    pub(super) fn is_none(&self) -> bool {
        self.bytes.load(Relaxed) == 0
    }

    /// Whether so many percent are not taken yet.
    pub(super) fn has_room(&self, percent: u64) -> bool {
        !self.is_blind() && self.look().is_none_or(|(bytes, used)| used < bytes / 100 * percent)
    }

    /// Bytes of log after which what has changed takes as much memory as it should at most.
    pub(super) fn dirty_bytes(&self) -> Option<u64> {
        self.bytes().map(|bytes| bytes / DIRTY_SHARE)
    }

    pub(super) fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Relaxed);
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
        self.shared.residency.bound.set(bytes);
    }

    /// Whether keys may leave memory, now or once a checkpoint has been taken, which has been asked for.
    pub fn makes_room(&self) -> bool {
        let shared = &self.shared;
        let may_go = !shared.keyspaces.is_active() && shared.residency.bound.look().is_some();
        may_go && (shared.checkpoints.is_running() || shared.checkpoints.found_rows().is_some())
    }

    /// Says how the memory that is taken is learnt. False if that has been said before: then it stays as it is.
    pub fn set_memory_gauge(&self, gauge: Gauge) -> bool {
        self.shared.residency.bound.gauge.set(gauge).is_ok()
    }
}
