//! How long to wait before the next attempt: twice as long each time, and never for two nodes the same.

use std::time::Duration;

/// Random enough to keep nodes apart, and the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (splitmix64: Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The shortest and the longest wait, before jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt.
    pub first: Duration,
    /// However many fail.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// How long to wait after so many failures in a row: half of the time, and as much again by chance.
    pub(crate) fn wait(&self, failures: u32, jitter: &mut Jitter) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let half = doubled.min(self.most) / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX - 1);
        half + Duration::from_nanos(jitter.next() % (span + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds_and_differ_by_seed() {
        let waits = |seed| {
            let mut jitter = Jitter::new(seed);
            (1..40).map(|n| Backoff::default().wait(n, &mut jitter)).collect::<Vec<_>>()
        };
        let (some, same, other) = (waits(1), waits(1), waits(2));
        assert_eq!(some, same);
        assert_ne!(some, other);
        for (n, wait) in some.iter().enumerate() {
            let full = Duration::from_millis(100 << n.min(7)).min(Duration::from_secs(10));
            assert!((full / 2..=full).contains(wait), "{n}: {wait:?}");
        }
    }
}
