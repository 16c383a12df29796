//! When a busy thread lets requests gather before it looks for them.
//!
//! A round costs much the same whether one client is ready or ten: falling asleep, being woken, asking the kernel who is
//! ready, one write to the log. A thread that is busy most of the time, and finds few of its active clients ready each time it
//! looks, pays that for nearly every request. So it waits a moment first, as network cards do under the name of
//! interrupt coalescing. Its clients' machines, too, are woken less often: they get their replies together.
//!
//! *Invariant:* a thread that has time to spare does not wait, nor does one whose round served a good part of its
//! active clients: a single client never waits.

use std::time::{Duration, Instant};

/// How long arrivals are counted before they say anything.
const WINDOW: Duration = Duration::from_millis(2);

/// Of so many active clients, one is enough for a round.
const ROUND_SHARE: u32 = 4;

/// A shorter pause gains nothing over the sleep that it costs.
const SHORTEST: Duration = Duration::from_micros(5);

/// What a thread knows of its load.
#[derive(Debug)]
pub(crate) struct Gather {
    /// Number of the window that is being counted; clients bear that of the last one in which they were served.
    window: u32,
    since: Instant,
    /// Time asleep in this window.
    asleep: Duration,
    /// Clients that were served in this window, and how often.
    active: u32,
    turns: u32,
    /// Turns of this round.
    of_round: u32,
    /// What the last window said.
    load: Option<Load>,
}

/// A load under which it pays to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    /// Turns that make a good round.
    good_round: u32,
    /// Mean time between turns.
    pace: Duration,
}

impl Gather {
    pub fn new(now: Instant) -> Self {
        Self { window: 1, since: now, asleep: Duration::ZERO, active: 0, turns: 0, of_round: 0, load: None }
    }

    /// Counts a turn of the client that bears `mark`.
    #[inline]
    pub fn served(&mut self, mark: &mut u32) {
        self.turns += 1;
        self.of_round += 1;
        if *mark != self.window {
            *mark = self.window;
            self.active += 1;
        }
    }

    /// The round is over at `now`, and nobody is in line: how long to wait before looking again, at most `longest`.
    #[inline]
    pub fn pause(&mut self, now: Instant, longest: Duration) -> Option<Duration> {
        let of_round = std::mem::take(&mut self.of_round);
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= WINDOW {
            self.roll(now, elapsed);
        }
        let load = self.load?;
        let missing = load.good_round.saturating_sub(of_round);
        let pause = load.pace.saturating_mul(missing).min(longest);
        (pause >= SHORTEST).then_some(pause)
    }

    /// The thread slept for so long.
    #[inline]
    pub fn slept(&mut self, time: Duration) {
        self.asleep += time;
    }

    /// Begins a new window, and learns from the last.
    fn roll(&mut self, now: Instant, elapsed: Duration) {
        let busy = elapsed.saturating_sub(self.asleep);
        // Waiting makes it less busy than it was, so it goes on until there is much time to spare.
        let enough = if self.load.is_some() { elapsed / 4 } else { elapsed / 2 };
        let good_round = self.active / ROUND_SHARE;
        self.load = (busy >= enough && good_round > 1).then(|| Load { good_round, pace: elapsed / self.turns.max(1) });
        *self = Self { window: self.window.wrapping_add(1), load: self.load, ..Self::new(now) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: Duration = Duration::from_micros(50);

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    /// Runs rounds that serve `ready` clients of `clients` in turn, are busy for `busy` µs and asleep for `asleep` µs,
    /// until two windows have passed; returns the last pause.
    fn after(clients: usize, ready: usize, busy: u64, asleep: u64) -> Option<Duration> {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        let mut marks = vec![0; clients];
        let (mut next, mut pause) = (0, None);
        let rounds = 2 * WINDOW.as_micros() as u64 / (busy + asleep) + 2;
        for _ in 0..rounds {
            for _ in 0..ready {
                gather.served(&mut marks[next]);
                next = (next + 1) % clients;
            }
            now += us(busy);
            pause = gather.pause(now, LONGEST);
            now += us(asleep);
            gather.slept(us(asleep));
        }
        pause
    }

    #[test]
    fn a_busy_thread_that_finds_one_of_many_clients_ready_waits() {
        assert_eq!(after(50, 1, 6, 1), Some(LONGEST));
        // Of eight clients two make a good round: it waits for one more.
        assert_eq!(after(8, 1, 6, 1), Some(us(7)));
    }

    #[test]
    fn a_round_that_serves_a_good_part_of_the_clients_does_not_wait() {
        assert_eq!(after(50, 12, 60, 1), None);
        assert!(after(50, 11, 60, 1).is_some());
    }

    #[test]
    fn a_thread_with_time_to_spare_does_not_wait() {
        assert_eq!(after(50, 1, 6, 30), None);
        assert_eq!(after(1000, 1, 6, 300), None);
    }

    #[test]
    fn one_that_waits_goes_on_until_it_has_much_time_to_spare() {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        let mut window = |busy: u64| {
            let mut marks = [0; 20];
            marks.iter_mut().for_each(|mark| gather.served(mark));
            now += WINDOW;
            gather.slept(WINDOW - WINDOW * busy as u32 / 100);
            gather.pause(now, LONGEST);
            gather.served(&mut 0);
            gather.pause(now, LONGEST).is_some()
        };
        assert_eq!([40, 60, 40, 30, 20, 40, 60].map(&mut window), [false, true, true, true, false, false, true]);
    }

    proptest! {
        #[test]
        fn few_clients_never_wait_and_nobody_waits_longer_than_asked(
            clients in 1usize..100, ready in 1usize..30, busy in 1u64..1000, asleep in 0u64..1000,
        ) {
            let pause = after(clients, ready, busy, asleep);
            prop_assert!(pause.is_none_or(|pause| pause >= SHORTEST && pause <= LONGEST));
            prop_assert!(pause.is_none() || clients >= 2 * ROUND_SHARE as usize);
            prop_assert!(pause.is_none() || 4 * ready < clients);
        }
    }
}
