//! How checkpoints have gone: figures for those who watch the server.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::limits::CHECKPOINT_PAUSE;

/// What is known of the checkpoints since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointFigures {
    /// How many have been begun.
    pub begun: u64,
    /// How long the one that goes on has taken so far.
    pub running_for: Option<Duration>,
    /// How long the last one took that ended, and whether it ended well.
    pub last: Option<(Duration, bool)>,
    /// How many have failed since the last that did not.
    pub failures: u64,
    /// What the rows take on disk.
    pub disk: DiskFigures,
}

/// What rows take on disk, as of the last checkpoint or what was tidied up after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFigures {
    /// Bytes in all; 0 before the first checkpoint.
    pub bytes: u64,
    /// Bytes of them in files of large values.
    pub value_bytes: u64,
    /// Bytes of these that nobody refers to, as far as was looked since the start.
    pub value_stale_bytes: u64,
}

/// Keeps the figures.
#[derive(Default)]
pub(crate) struct Outcomes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: u64,
    running_since: Option<Instant>,
    last: Option<(Duration, bool)>,
    failures: u64,
    failed_at: Option<Instant>,
}

impl Outcomes {
    /// One begins.
    pub(crate) fn begin(&self) {
        let mut state = self.state.lock();
        state.begun += 1;
        state.running_since = Some(Instant::now());
    }

    /// It has ended.
    pub(crate) fn end(&self, well: bool) {
        let mut state = self.state.lock();
        state.failures = if well { 0 } else { state.failures + 1 };
        state.failed_at = if well { None } else { Some(Instant::now()) };
        if let Some(since) = state.running_since.take() {
            state.last = Some((since.elapsed(), well));
        }
    }

    /// Whether the last one ended well, or long enough ago: what made it fail may last.
    pub(crate) fn may_try_again(&self) -> bool {
        self.may_try_again_at(Instant::now())
    }

    fn may_try_again_at(&self, now: Instant) -> bool {
        self.state.lock().failed_at.is_none_or(|at| now.saturating_duration_since(at) >= CHECKPOINT_PAUSE)
    }

    pub(crate) fn figures(&self) -> CheckpointFigures {
        let state = self.state.lock();
        let running_for = state.running_since.map(|since| since.elapsed());
        CheckpointFigures {
            begun: state.begun,
            running_for,
            last: state.last,
            failures: state.failures,
            disk: DiskFigures::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_there_is_a_pause_and_after_a_success_there_is_none() {
        let outcomes = Outcomes::default();
        assert!(outcomes.may_try_again(), "none has failed");
        outcomes.begin();
        outcomes.end(false);
        let failed = Instant::now();
        assert!(!outcomes.may_try_again(), "it has only just failed");
        assert!(!outcomes.may_try_again_at(failed - Duration::from_millis(1) + CHECKPOINT_PAUSE / 2));
        assert!(outcomes.may_try_again_at(failed + CHECKPOINT_PAUSE), "what made it fail may be over");
        outcomes.begin();
        outcomes.end(false);
        assert_eq!(outcomes.figures().failures, 2);
        assert!(!outcomes.may_try_again());
        outcomes.begin();
        outcomes.end(true);
        assert!(outcomes.may_try_again(), "a success is no reason to wait");
        assert_eq!(outcomes.figures().failures, 0);
        assert_eq!(outcomes.figures().begun, 3);
    }
}
