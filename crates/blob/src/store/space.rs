//! Making room on disk: which items go, which segments are cleaned.
//!
//! Only whole segments give space back. In a cache in which too much lives, a policy that follows the log gives up the
//! tail, but for what was read there; other policies first evict items until the live ones take no more than their
//! share. Then, as in a durable store, the segment that gives most for the least copying is cleaned. When none gives
//! enough, the tail is, because only there tombstones may be dropped.
//!
//! Invariant: callers leave one segment's worth of the limit free, so the cleaner can always move what lives in
//! one segment; the file system never holds more than the limit.

use super::Inner;
use super::write::Patience;
use crate::error::{BusyReason, Error, Result};
use crate::limits::EVICT_BATCH;
use crate::segment::Segment;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// One part in so many of a segment may be spared when it is given up. More keeps what is read again and again, less
/// leaves the newest more room; measured in decision 0011.
const SPARED_SHARE: u64 = 6;

/// Segments' worth of the disk limit that the worker keeps free ahead of need: one for the cleaner, one to be begun.
const FREE_AHEAD: u64 = 2;

impl Inner {
    /// Cleans until a segment of `need` bytes can be begun by `By::User`.
    pub(super) fn make_room(&self, need: u64, patience: Patience) -> Result<()> {
        debug_assert!(!matches!(patience, Patience::None), "callers that do not wait do not clean");
        let _turn = lock(&self.space);
        let wanted = need + self.reserve_bytes();
        let rounds = self.segments.len() as u64 * 4 + 16;
        for round in 0..rounds {
            // The deadline also ends a race with others who take what was just freed.
            if patience.left().is_none() {
                return Err(Error::Busy(BusyReason::Disk));
            }
            if self.disk_free() >= wanted {
                return Ok(());
            }
            // The longer it takes, the more a cache gives up.
            self.clean_one(need + round / 4 * self.opts.segment_bytes)?;
        }
        Err(if self.opts.is_durable() { self.full() } else { Error::Busy(BusyReason::Disk) })
    }

    /// Evicts what a cache may not keep if `need` bytes more are wanted, and cleans one segment. The caller holds
    /// `space`.
    pub(super) fn clean_one(&self, need: u64) -> Result<()> {
        if !self.opts.is_durable() {
            let target = self.live_target(need);
            let tail = self.segments.all().into_iter().next().filter(|tail| !tail.is_open());
            if let (true, Some(tail)) = (self.disk_free() < self.reserve_bytes(), tail) {
                // What the cleaner works with was needed to resume after an error. The tail goes without it.
                return self.evict_and_clean(&tail);
            }
            if self.opts.policy.follows_the_log()
                && self.index.live_bytes() > target
                && let Some(tail) = self.segments.all().into_iter().next().filter(|tail| !tail.is_open())
            {
                return self.sift_and_clean(&tail);
            }
            self.evict_to(target);
        }
        let victim = match self.choose_victim() {
            Some(victim) => victim,
            None if self.opts.is_durable() || self.index.live_bytes() == 0 => {
                // What is dead may sit in the segment that is being filled: end it, so that it can be cleaned.
                self.seal_active();
                self.flush_all()?;
                self.choose_victim().ok_or_else(|| self.full())?
            }
            None => {
                self.evict_to(self.index.live_bytes().saturating_sub(self.opts.segment_bytes));
                return Ok(());
            }
        };
        self.clean(&victim)
    }

    fn full(&self) -> Error {
        Error::Full { live: self.index.live_bytes(), limit: self.opts.disk_limit }
    }

    /// Bytes of live records that a cache keeps while it makes room for `need`.
    fn live_target(&self, need: u64) -> u64 {
        let usable = self.disk_bytes.limit().saturating_sub(2 * self.reserve_bytes() + need);
        usable / 100 * self.opts.live_percent
    }

    /// Evicts by policy until at most `target` bytes are live.
    fn evict_to(&self, target: u64) {
        loop {
            let _log = lock(&self.log);
            for _ in 0..EVICT_BATCH {
                if self.index.live_bytes() <= target {
                    return;
                }
                let Some(loc) = self.index.evict_one() else { return };
                self.segments.sub_live(loc);
                self.resident.remove(loc);
                self.counters.evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The closed segment with the smallest share of bytes to carry on; the tail if none is worth it but all
    /// together are.
    fn choose_victim(&self) -> Option<Arc<Segment>> {
        let tail = self.segments.tail();
        let closed: Vec<_> = self
            .segments
            .all()
            .into_iter()
            .filter(|segment| !segment.is_open() && !segment.quarantined.load(Ordering::Relaxed))
            .collect();
        let carried = |segment: &Segment| {
            let tombstones = if tail == Some(segment.id) { 0 } else { segment.tombstones.load(Ordering::Relaxed) };
            segment.live.load(Ordering::Relaxed) + tombstones
        };
        // What is kept free is one segment: a larger record moves only if there is room for it beside.
        let fits = |segment: &Segment| {
            let needed = segment.disk_bytes() + self.reserve_bytes();
            carried(segment) <= self.opts.segment_bytes || self.disk_free() >= needed
        };
        let closed: Vec<_> = closed.into_iter().filter(|segment| fits(segment)).collect();
        let gain = |segment: &Segment| segment.disk_bytes().saturating_sub(carried(segment));
        // A cache rather gives something up than copy most of a segment to free a little of it.
        let share = if self.opts.is_durable() { 16 } else { 4 };
        let least = (self.opts.segment_bytes / share).max(1);
        let best = closed.iter().min_by_key(|s| (carried(s) * 1024 / s.disk_bytes().max(1), s.id))?;
        if gain(best) >= least {
            return Some(Arc::clone(best));
        }
        let all: u64 = closed.iter().map(|s| s.disk_bytes().saturating_sub(s.live.load(Ordering::Relaxed))).sum();
        let tail = closed.iter().find(|segment| tail == Some(segment.id))?;
        (all >= 2 * self.opts.segment_bytes).then(|| Arc::clone(tail))
    }

    /// Drops all items of a segment and the segment: for a cache whose index may not grow.
    pub(super) fn give_up_segment(&self, segment: &Arc<Segment>) -> Result<()> {
        let _turn = lock(&self.space);
        self.evict_and_clean(segment)
    }

    fn evict_and_clean(&self, segment: &Arc<Segment>) -> Result<()> {
        let (contents, _ram) = self.contents_of(segment)?;
        for item in contents.items() {
            let _log = lock(&self.log);
            self.evict_locked(item.hash, item.loc(segment.id));
        }
        self.clean_listed(segment, contents)
    }

    /// Gives up what nobody has read in the oldest segment, and cleans it. What was read is spared, but no more than a
    /// sixth of the segment: where nearly all is read once, the log would run in a circle.
    fn sift_and_clean(&self, segment: &Arc<Segment>) -> Result<()> {
        let (contents, _ram) = self.contents_of(segment)?;
        let mut room = self.opts.segment_bytes / SPARED_SHARE;
        for item in contents.items() {
            let loc = item.loc(segment.id);
            let _log = lock(&self.log);
            if loc.padded_len() <= room && self.index.spare(item.hash, loc) {
                room -= loc.padded_len();
            } else if self.evict_locked(item.hash, loc) {
                self.counters.evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.clean_listed(segment, contents)
    }

    /// Makes room before it is needed. False if there was nothing to do, or it brought nothing.
    pub(super) fn clean_ahead(&self) -> bool {
        let _turn = lock(&self.space);
        let before = self.disk_free();
        let wanted = self.reserve_bytes() * FREE_AHEAD;
        let wanting = self.disk_free() < wanted && self.segments.len() > 2;
        let may = wanting && !self.degraded.load(Ordering::Acquire);
        may && self.clean_one(self.reserve_bytes()).is_ok() && self.disk_free() > before
    }
}
