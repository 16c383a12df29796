//! How far a backup or a restore has come, for whoever watches from another thread, who may also stop it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Error;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is looked what there is.
    Planning,
    /// A checkpoint is taken.
    Checkpoint,
    /// Rows are stored.
    Rows,
    /// Log is stored.
    Log,
    /// The manifest is stored, and what is to be known for the next backup.
    Finishing,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Planning, Self::Checkpoint, Self::Rows, Self::Log, Self::Finishing];

    /// A word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Checkpoint => "checkpoint",
            Self::Rows => "rows",
            Self::Log => "log",
            Self::Finishing => "finishing",
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    /// Bytes a second, at most; 0: as many as there are.
    rate: AtomicU64,
    /// When the next byte may be read, if there is a rate.
    next: Mutex<Option<Instant>>,
}

impl Progress {
    /// What is being done.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Plain bytes that have been read, and about how many there will be.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.total.load(Ordering::Relaxed).max(done))
    }

    /// Asks for an end; what has been done is taken back.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has asked for an end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Bounds how many plain bytes are read in a second; 0: not at all.
    pub fn set_rate(&self, bytes: u64) {
        self.rate.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self, phase: Phase) -> Result<(), Error> {
        self.phase.store(phase as u8, Ordering::Relaxed);
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        let rate = self.rate.load(Ordering::Relaxed);
        if rate > 0 {
            let until = due(&mut self.next.lock(), bytes, rate, Instant::now());
            self.wait(until);
        }
    }

    /// Whoever cancels does not have to wait for it.
    fn wait(&self, until: Instant) {
        while !self.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(SLICE));
        }
    }
}

/// How long somebody may sleep who is not to read on yet.
const SLICE: Duration = Duration::from_millis(50);

/// When somebody may go on who has read so many bytes at `now`; nothing is saved up while nobody reads.
fn due(next: &mut Option<Instant>, bytes: u64, rate: u64, now: Instant) -> Instant {
    let from = next.map_or(now, |next| next.max(now));
    let due = from + Duration::from_secs_f64(bytes as f64 / rate as f64);
    *next = Some(due);
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_and_nothing_is_saved_up() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut next = None;
        assert_eq!(due(&mut next, 100, 50, now), now + 2 * second);
        assert_eq!(due(&mut next, 50, 50, now + second), now + 3 * second, "behind what was read before");
        assert_eq!(due(&mut next, 50, 100, now + 10 * second), now + 10 * second + second / 2);
    }

    #[test]
    fn who_cancels_waits_for_no_rate() {
        let progress = Progress::default();
        progress.set_rate(1);
        progress.cancel();
        progress.add(u64::from(u32::MAX));
        assert_eq!(progress.bytes().0, u64::from(u32::MAX));
    }
}
