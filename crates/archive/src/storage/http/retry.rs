//! Repeating what failed: how often, after how long, and when not.

use std::thread;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::super::{Error, Result};

/// How often what fails is repeated, and after how long. The time between is drawn from zero up to a bound that doubles
/// ("full jitter"), so that clients that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all; one means no repetition.
    pub attempts: u32,
    /// The bound of the first pause.
    pub first: Duration,
    /// The bound of all pauses. A service that asks for more (`Retry-After`) is not waited for.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 6, first: Duration::from_millis(200), most: Duration::from_secs(20) }
    }
}

impl Retry {
    /// The bound of the pause after so many attempts.
    fn bound(&self, attempts: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.most)
    }
}

/// Waiting, and the chance in it: handed in, so that tests need neither.
pub trait Pace: Send + Sync {
    /// A random part of `bound`, from nothing to all of it.
    fn jitter(&self, bound: Duration) -> Duration;

    /// Waits so long.
    fn pause(&self, time: Duration);
}

/// The operating system's clock and random generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealPace;

impl Pace for RealPace {
    fn jitter(&self, bound: Duration) -> Duration {
        let mut bytes = [0; 4];
        // Without random bytes half of it will do: nothing secret hangs on this.
        let part = match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
            Err(_) => 0.5,
        };
        bound.mul_f64(part)
    }

    fn pause(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// When an operation may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Also if it may have been done: doing it twice is doing it once.
    Always,
    /// Only if it surely was not done.
    IfNotDone,
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) fate: Fate,
}

/// What is known of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It would fail again.
    Final,
    /// It was not done, and may be later; the service may have said when.
    NotDone(Option<Duration>),
    /// It may have been done; the service may have said when to come again.
    MayBeDone(Option<Duration>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, fate: Fate::Final }
    }
}

/// Runs `attempt` until it succeeds, must not be repeated, or has been repeated enough.
pub(super) fn run<T>(
    name: &str,
    retry: &Retry,
    pace: &dyn Pace,
    repeat: Repeat,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T> {
    let mut attempts = 1;
    loop {
        let failure = match attempt() {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let wish = match failure.fate {
            Fate::Final => return Err(failure.error),
            Fate::NotDone(wish) => wish,
            Fate::MayBeDone(_) if repeat == Repeat::IfNotDone => {
                return Err(Error::Unsure { name: name.to_owned(), why: failure.error.to_string() });
            }
            Fate::MayBeDone(wish) => wish,
        };
        if attempts >= retry.attempts || wish.is_some_and(|w| w > retry.most) {
            return Err(count(failure.error, attempts));
        }
        let drawn = pace.jitter(retry.bound(attempts));
        // What the service asks for is kept, and what was drawn is put on top: all were told the same.
        pace.pause(wish.map_or(drawn, |w| (w + drawn).min(retry.most)));
        attempts += 1;
    }
}

/// Says how often it was tried.
fn count(error: Error, tried: u32) -> Error {
    match error {
        Error::Unavailable { name, why, .. } => Error::Unavailable { name, attempts: tried, why },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_most_and_does_not_overflow() {
        let retry = Retry { attempts: 9, first: Duration::from_millis(100), most: Duration::from_secs(1) };
        let bounds: Vec<_> = [1, 2, 3, 4, 5, 31, 32, 33, 99].map(|n| retry.bound(n).as_millis()).into();
        assert_eq!(bounds, [100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn real_jitter_stays_within_its_bound() {
        let bound = Duration::from_millis(50);
        assert!((0..1000).all(|_| RealPace.jitter(bound) <= bound));
    }
}
