//! Work in the background that lets others go first.
//!
//! A low priority is not enough for that: whoever wakes up waits until the slice of the one that runs has ended, which are
//! milliseconds. So it is given up many times in a slice. What is lost by that is bounded: a thread that has been away for
//! long keeps the processor as others do, until it has its share again.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::limits::{PACE_AWAY, PACE_BURST, PACE_CREDIT};

/// The pace of one thread's work.
#[derive(Debug)]
pub struct Pace {
    /// Since when it has not let others go.
    since: Instant,
    /// The processor time that it had then.
    used: Duration,
    credit: Credit,
}

/// How long the thread may be away before it stays.
#[derive(Debug, Default)]
struct Credit(Duration);

impl Pace {
    /// Begins. It belongs to the thread that goes on to use it.
    pub fn begin() -> Self {
        Self { since: Instant::now(), used: used(), credit: Credit(PACE_CREDIT) }
    }

    /// To be called between small steps, with nothing locked: others go now if they have waited for long enough.
    #[inline]
    pub fn step(&mut self) {
        if self.since.elapsed() >= PACE_BURST {
            self.let_others_go();
        }
    }

    #[cold]
    fn let_others_go(&mut self) {
        let used = used();
        self.credit.earn(used.saturating_sub(self.used));
        self.used = used;
        let left = Instant::now();
        if self.credit.is_any() {
            std::thread::yield_now();
        }
        self.since = Instant::now();
        self.credit.spend(self.since - left);
    }
}

impl Credit {
    fn is_any(&self) -> bool {
        !self.0.is_zero()
    }

    fn earn(&mut self, worked: Duration) {
        self.0 = (self.0 + worked * PACE_AWAY).min(PACE_CREDIT);
    }

    fn spend(&mut self, away: Duration) {
        self.0 = self.0.saturating_sub(away);
    }
}

/// Processor time of this thread.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_micros(100);

    #[test]
    fn whoever_finds_nobody_waiting_goes_on_letting_others_go() {
        let mut credit = Credit::default();
        for _ in 0..1000 {
            credit.earn(STEP);
            assert!(credit.is_any());
            credit.spend(STEP * PACE_AWAY / 2);
        }
    }

    #[test]
    fn whoever_is_away_for_long_has_its_share_all_the_same() {
        // Each time it lets others go it is away for 10 ms.
        let (mut credit, mut away, mut worked) = (Credit(PACE_CREDIT), Duration::ZERO, Duration::ZERO);
        for _ in 0..100_000 {
            credit.earn(STEP);
            worked += STEP;
            if credit.is_any() {
                credit.spend(Duration::from_millis(10));
                away += Duration::from_millis(10);
            }
        }
        assert!(worked * 110 * PACE_AWAY > away, "it worked for {worked:?} and was away for {away:?}");
    }

    #[test]
    fn processor_time_grows_with_work_and_not_with_sleep() {
        let before = used();
        let mut pace = Pace::begin();
        while used() < before + Duration::from_millis(2) {
            pace.step();
        }
        assert!(used() > before);
    }
}
