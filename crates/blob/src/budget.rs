//! A hard limit on bytes, of RAM or of disk: nothing is allocated before its bytes are taken from here.
//!
//! Invariant: `used` never exceeds `limit`. Bytes come back when the [`Permit`] is dropped, so what a reader
//! still holds is still counted.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};
use std::time::{Duration, Instant};

/// The limit and what is taken from it.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    waiting: Mutex<usize>,
    released: Condvar,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            waiting: Mutex::new(0),
            released: Condvar::new(),
        })
    }

    /// Takes `bytes`, or nothing.
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        self.add(bytes).then(|| Permit { bytes, budget: Arc::clone(self) })
    }

    fn add(&self, bytes: u64) -> bool {
        let limit = self.limit;
        let step = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= limit);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Most bytes that were ever taken.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// The limit.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes left.
    pub fn free(&self) -> u64 {
        self.limit - self.used()
    }

    /// Waits until at least `bytes` are free, or for `timeout`. The bytes may be gone again when it returns.
    pub fn wait_for(&self, bytes: u64, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut waiting = lock(&self.waiting);
        *waiting += 1;
        while self.free() < bytes {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                break;
            };
            waiting = match self.released.wait_timeout(waiting, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        *waiting -= 1;
    }

    fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        debug_assert!(before >= bytes, "more bytes given back than taken");
        if *lock(&self.waiting) > 0 {
            self.released.notify_all();
        }
    }
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Permit {
    bytes: u64,
    budget: Arc<Budget>,
}

impl Permit {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `more` bytes into this permit; false, and unchanged, if they are not there.
    pub fn try_grow(&mut self, more: u64) -> bool {
        let grown = self.budget.add(more);
        if grown {
            self.bytes += more;
        }
        grown
    }

    /// Takes over what the other holds of the same budget.
    pub fn absorb(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.budget, &other.budget), "bytes of another budget");
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Hands on all that it holds, and holds nothing.
    pub fn take(&mut self) -> Self {
        Self { bytes: std::mem::take(&mut self.bytes), budget: Arc::clone(&self.budget) }
    }

    /// Gives back all but `bytes`; keeps what it has if that is less.
    pub fn shrink_to(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.budget.give_back(self.bytes - bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_budget_refuses_and_takes_again_after_release() {
        let budget = Budget::new(100);
        let first = budget.try_take(60).unwrap();
        assert!(budget.try_take(41).is_none());
        let mut second = budget.try_take(40).unwrap();
        assert_eq!(budget.free(), 0);
        drop(first);
        assert!(second.try_grow(60));
        assert!(!second.try_grow(1));
        second.shrink_to(10);
        assert_eq!((budget.used(), budget.peak()), (10, 100));
    }

    #[test]
    fn overflowing_requests_are_refused() {
        let budget = Budget::new(u64::MAX);
        let _held = budget.try_take(10).unwrap();
        assert!(budget.try_take(u64::MAX).is_none());
    }
}
