//! When an archive stores what was written: a pure decision.
//!
//! ```text
//!   the log ──archived──┬──── open ────┬─ end
//!                       └ seen first at `since`: stored after `every`, or once it has `bytes`; after a failure later and later
//! ```

use std::time::{Duration, Instant};

use wal::Position;

use crate::limits::{RETRY_FIRST, RETRY_MOST};

/// See the module.
#[derive(Clone, Debug)]
pub struct Schedule {
    every: Duration,
    bytes: u64,
    archived: Option<Position>,
    /// Since when there is something that is not stored.
    since: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
}

/// How far an archive is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of log.
    pub bytes: u64,
    /// Since when the first of them has been there, at most.
    pub time: Duration,
}

impl Schedule {
    /// What was written is stored after `every`, or once it has so many bytes. `archived` is how far that went before.
    #[must_use]
    pub fn new(every: Duration, bytes: u64, archived: Option<Position>) -> Self {
        Self { every, bytes, archived, since: None, failures: 0, not_before: None }
    }

    /// An earlier process had stored everything up to there.
    pub fn resume(&mut self, archived: Position) {
        self.archived = Some(archived);
    }

    /// Changes when.
    pub fn set(&mut self, every: Duration, bytes: u64) {
        (self.every, self.bytes) = (every, bytes);
    }

    /// The log ends at `end`: is something to be stored now?
    pub fn is_due(&mut self, end: Position, now: Instant) -> bool {
        if self.archived == Some(end) {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        let is_full = self.archived.is_none_or(|archived| end.get().saturating_sub(archived.get()) >= self.bytes);
        // A log that has lost its end is another one.
        is_full || self.archived > Some(end) || now.saturating_duration_since(since) >= self.every
    }

    /// Everything up to `archived` is stored, where the log ended at `at`.
    pub fn stored(&mut self, archived: Position, at: Instant) {
        self.archived = Some(archived);
        // What is behind that may have been written as early as then.
        self.since = Some(at);
        (self.failures, self.not_before) = (0, None);
    }

    /// It could not be stored; answers after what time it is tried again.
    pub fn failed(&mut self, now: Instant) -> Duration {
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(16)).min(RETRY_MOST);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
        wait
    }

    /// How far it is behind.
    #[must_use]
    pub fn lag(&self, end: Position, now: Instant) -> Lag {
        let archived = self.archived.map_or(0, Position::get);
        let bytes = end.get().saturating_sub(archived);
        let since = self.since.filter(|_| bytes > 0);
        Lag { bytes, time: since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(n: u64) -> Position {
        Position(n)
    }

    #[test]
    fn what_is_written_is_stored_after_a_while_or_once_it_is_much() {
        let now = Instant::now();
        let mut schedule = Schedule::new(10 * SECOND, 500, Some(at(1000)));
        assert!(!schedule.is_due(at(1000), now), "nothing was written");
        assert!(!schedule.is_due(at(1001), now + 50 * SECOND), "it is new");
        assert_eq!(schedule.lag(at(1001), now + 52 * SECOND), Lag { bytes: 1, time: 2 * SECOND });
        assert!(!schedule.is_due(at(1499), now + 59 * SECOND));
        assert!(schedule.is_due(at(1500), now + 59 * SECOND), "it is much");
        assert!(schedule.is_due(at(1001), now + 60 * SECOND), "it is old");
        schedule.stored(at(1400), now + 60 * SECOND);
        assert!(!schedule.is_due(at(1401), now + 69 * SECOND));
        assert!(schedule.is_due(at(1401), now + 70 * SECOND), "it may have been written right behind the last one");
        assert!(!schedule.is_due(at(1400), now + 70 * SECOND));
        assert_eq!(schedule.lag(at(1400), now + 99 * SECOND), Lag::default());
        assert!(schedule.is_due(at(1399), now + 70 * SECOND), "another log");
        let mut first = Schedule::new(10 * SECOND, 500, None);
        assert!(first.is_due(at(1500), now), "the first one is due at once");
        first.resume(at(1400));
        assert_eq!(first.lag(at(1500), now + SECOND), Lag { bytes: 100, time: SECOND });
    }

    #[test]
    fn after_failures_it_waits_longer_and_longer_up_to_a_bound() {
        let now = Instant::now();
        let mut schedule = Schedule::new(SECOND, 1, Some(at(0)));
        let waits: Vec<u64> = (0..8).map(|_| schedule.failed(now).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(!schedule.is_due(at(9), now + 59 * SECOND));
        assert!(schedule.is_due(at(9), now + 60 * SECOND));
        schedule.stored(at(9), now);
        assert_eq!(schedule.failed(now), SECOND, "what went well ends it");
    }
}
