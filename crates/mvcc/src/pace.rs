//! Work in the background that lets others go first.
//!
//! A low priority is not enough for that: whoever wakes up waits until the slice of the one that runs has ended, which are
//! milliseconds. So it is given up many times in a slice. What is lost by that is bounded: a thread that has been away for
//! long keeps the processor as others do, until it has its share again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::limits::{PACE_AWAY, PACE_BURST, PACE_CREDIT};

/// Those who go first, as all know who work in the background for one owner: they are there until they have left.
#[derive(Clone, Debug, Default)]
pub struct Others(Arc<AtomicBool>);

impl Others {
    /// Nobody needs to be let go first from now on.
    pub fn leave(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether they have left.
    pub fn are_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The pace of one thread's work.
#[derive(Debug)]
pub struct Pace {
    others: Others,
    /// Since when it has not let others go.
    since: Instant,
    /// The processor time that it had then.
    used: Duration,
    credit: Credit,
}

/// How long the thread may be away before it stays, in nanoseconds; below 0 it has been away for too long.
#[derive(Debug, Default)]
struct Credit(i64);

/// The most of it, either way.
const MOST: i64 = PACE_CREDIT.as_nanos() as i64;

impl Pace {
    /// Begins. It belongs to the thread that goes on to use it.
    pub fn begin(others: &Others) -> Self {
        Self { others: others.clone(), since: Instant::now(), used: used(), credit: Credit(MOST) }
    }

    /// To be called between small steps, with nothing locked: others go now if they have waited for long enough. Whether they
    /// were let go.
    #[inline]
    pub fn step(&mut self) -> bool {
        let is_due = self.since.elapsed() >= PACE_BURST && !self.others.are_gone();
        if is_due {
            self.let_others_go();
        }
        is_due
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
        self.0 > 0
    }

    fn earn(&mut self, worked: Duration) {
        self.add(nanos(worked).saturating_mul(PACE_AWAY));
    }

    fn spend(&mut self, away: Duration) {
        self.add(-nanos(away));
    }

    fn add(&mut self, nanos: i64) {
        self.0 = self.0.saturating_add(nanos).clamp(-MOST, MOST);
    }
}

fn nanos(time: Duration) -> i64 {
    time.as_nanos().try_into().unwrap_or(i64::MAX)
}

/// Processor time of this thread.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works for so many bursts, and is away for `away` whenever it lets others go; how often that was.
    fn work(credit: &mut Credit, bursts: u32, away: Duration) -> u32 {
        let mut times = 0;
        for _ in 0..bursts {
            credit.earn(PACE_BURST);
            if credit.is_any() {
                credit.spend(away);
                times += 1;
            }
        }
        times
    }

    #[test]
    fn whoever_finds_nobody_waiting_goes_on_letting_others_go() {
        let mut credit = Credit::default();
        assert_eq!(work(&mut credit, 1000, PACE_BURST), 1000);
    }

    #[test]
    fn whoever_is_away_for_long_has_its_share_all_the_same() {
        let (mut credit, bursts, away) = (Credit(MOST), 100_000, Duration::from_millis(10));
        let times = work(&mut credit, bursts, away);
        let (worked, away) = (PACE_BURST * bursts, away * times);
        assert!(away <= worked * PACE_AWAY as u32 + PACE_CREDIT * 2, "worked for {worked:?}, away for {away:?}");
        assert!(away >= worked * (PACE_AWAY as u32 - 1), "worked for {worked:?}, away only for {away:?}");
    }

    #[test]
    fn what_was_lost_in_a_long_absence_is_not_made_up_for_ever() {
        let mut credit = Credit::default();
        credit.spend(Duration::from_secs(3600));
        assert!(work(&mut credit, 1000, Duration::ZERO) > 500);
    }

    #[test]
    fn processor_time_grows_with_work_and_not_with_sleep() {
        let before = used();
        let mut pace = Pace::begin(&Others::default());
        while used() < before + Duration::from_millis(2) {
            pace.step();
        }
        assert!(used() > before);
    }

    #[test]
    fn others_are_let_go_until_they_have_left() {
        let others = Others::default();
        let mut pace = Pace::begin(&others);
        while !pace.step() {}
        others.leave();
        let before = used();
        while used() < before + PACE_BURST * 20 {
            assert!(!pace.step(), "there is nobody to be let go");
        }
    }
}
