//! How long peers have lacked what this node wrote.
//!
//! ```text
//!   each tick: (number of the last own effect, now) ─▶ marks ─▶ the first one beyond what a peer has says since when it lags
//! ```
//! *Invariant:* numbers and moments grow from mark to mark; a mark's effects were there at its moment and not a tick before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use effect::Origin;

use crate::limits::LAG_MARKS;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    origin: Option<Origin>,
    marks: VecDeque<(u64, Instant)>,
    last: u64,
}

impl Lag {
    /// So much is written now by `origin`, of which all members have the first `everywhere`.
    pub(crate) fn note(&mut self, origin: Origin, written: u64, everywhere: u64, now: Instant) {
        if self.origin.replace(origin) != Some(origin) {
            self.marks.clear();
            self.last = 0;
        }
        while self.marks.pop_front_if(|(seq, _)| *seq <= everywhere).is_some() {}
        if written <= self.last {
            return;
        }
        self.last = written;
        self.marks.push_back((written, now));
        if self.marks.len() > LAG_MARKS {
            // Two become one that is as old as the older: a lag is never said to be shorter than it is.
            let all: Vec<_> = self.marks.drain(..).collect();
            self.marks.extend(all.chunks(2).filter_map(|two| Some((two.last()?.0, two.first()?.1))));
        }
    }

    /// For how long a peer that has so much has lacked what comes next.
    pub(crate) fn of(&self, has: u64, now: Instant) -> Duration {
        let behind = self.marks.partition_point(|(seq, _)| *seq <= has);
        self.marks.get(behind).map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Origin = Origin(1 << 16 | 1);

    #[test]
    fn a_peer_lags_since_the_first_effect_that_it_lacks_was_written() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut lag = Lag::default();
        lag.note(ME, 3, 0, at(0));
        lag.note(ME, 3, 0, at(10));
        lag.note(ME, 7, 0, at(20));
        assert_eq!(lag.of(2, at(100)), Duration::from_millis(100));
        assert_eq!(lag.of(3, at(100)), Duration::from_millis(80));
        assert_eq!(lag.of(7, at(100)), Duration::ZERO);
        lag.note(ME, 7, 3, at(100));
        assert_eq!(lag.of(2, at(100)), Duration::from_millis(80), "what all have is forgotten");
    }

    #[test]
    fn the_memory_of_a_long_lag_is_bounded_and_makes_it_no_shorter() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut lag = Lag::default();
        for n in 1..=10 * LAG_MARKS as u64 {
            lag.note(ME, n, 0, at(n));
            assert!(lag.marks.len() <= LAG_MARKS);
        }
        let end = 10 * LAG_MARKS as u64;
        assert_eq!(lag.of(0, at(end)), Duration::from_millis(end - 1));
        for has in [100, 5_000, end - 1] {
            assert!(lag.of(has, at(end)) >= Duration::from_millis(end - has - 1));
        }
    }
}
