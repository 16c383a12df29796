//! A trace simulator for the eviction policies: the very policies and index of the store, without the disk.
//!
//! A trace is a sequence of (key, bytes). A key that is not held is fetched and held; then items are evicted until
//! the cache is within its size. Recorded traces are text, one access a line: `key bytes`.

use crate::budget::Budget;
use crate::hash::{KeyHash, xxh3};
use crate::index::policy::PolicyKind;
use crate::index::{Index, Loc};
use std::collections::HashMap;

/// One access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whatever names the object.
    pub key: u64,
    /// Its size.
    pub bytes: u32,
}

/// What a policy made of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Accesses.
    pub accesses: u64,
    /// Those that found their object.
    pub hits: u64,
    /// Bytes asked for.
    pub bytes: u64,
    /// Of those, bytes found.
    pub hit_bytes: u64,
}

impl Outcome {
    /// Share of accesses that hit.
    pub fn hit_ratio(&self) -> f64 {
        self.hits as f64 / self.accesses.max(1) as f64
    }

    /// Share of bytes that hit.
    pub fn byte_hit_ratio(&self) -> f64 {
        self.hit_bytes as f64 / self.bytes.max(1) as f64
    }
}

/// Replays a trace against a cache of `capacity` bytes.
pub fn replay(policy: PolicyKind, capacity: u64, trace: impl IntoIterator<Item = Access>) -> Outcome {
    let index = Index::new(Some(policy), &Budget::new(u64::MAX)).expect("the budget has no end");
    let mut held: HashMap<(u32, u32), KeyHash> = HashMap::new();
    let mut outcome = Outcome::default();
    let mut place = 0_u64;
    for access in trace {
        let hash = KeyHash::new(xxh3(0, &access.key.to_le_bytes()));
        outcome.accesses += 1;
        outcome.bytes += u64::from(access.bytes);
        if index.get(hash).is_some() {
            outcome.hits += 1;
            outcome.hit_bytes += u64::from(access.bytes);
            continue;
        }
        place += 1;
        // Places are made up; all that counts is that they differ.
        let loc = Loc::new((place >> 28) as u32, place % (1 << 28) * 8, access.bytes);
        index.prepare(hash).expect("the budget has no end");
        index.put(hash, loc);
        held.insert((loc.segment, loc.offset8), hash);
        while index.live_bytes() > capacity {
            let Some(victim) = index.evict_one() else { break };
            if let Some(hash) = held.remove(&(victim.segment, victim.offset8)) {
                index.remove_at(hash, victim);
            }
        }
    }
    outcome
}

/// Reads a recorded trace; lines that are not `key bytes` are passed over.
pub fn parse(text: &str) -> impl Iterator<Item = Access> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (key, bytes) = (words.next()?, words.next()?.parse().ok()?);
        let KeyHash { lo, .. } = KeyHash::new(xxh3(0, key.as_bytes()));
        Some(Access { key: lo, bytes })
    })
}

/// Synthetic traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synthetic {
    /// Keys by Zipf's law with exponent 1.
    Zipf,
    /// The same with a sequential scan of twice the cache's objects after every tenth of the trace.
    ZipfAndScans,
    /// Objects are written once and read mostly soon after: a log that is read behind its end.
    Recent,
    /// A loop over a fifth more objects than fit.
    Loop,
}

impl Synthetic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Zipf, Self::ZipfAndScans, Self::Recent, Self::Loop];

    /// `length` accesses of 1 KiB objects, of which `fit` fit the cache.
    pub fn trace(self, length: u64, fit: u64, seed: u64) -> Vec<Access> {
        let mut random = Random(seed);
        let zipf = Zipf::new(100_000);
        let mut trace = Vec::new();
        let mut scanned = 1 << 40;
        while (trace.len() as u64) < length {
            let at = trace.len() as u64;
            let key = match self {
                Self::Zipf | Self::ZipfAndScans => zipf.key(random.unit()),
                Self::Recent => {
                    let newest = at / 4;
                    if at.is_multiple_of(4) { newest } else { newest.saturating_sub(random.exponential(4_000.0)) }
                }
                Self::Loop => at % (fit + fit / 5),
            };
            trace.push(Access { key, bytes: 1024 });
            if self == Self::ZipfAndScans && at % (length / 10) == length / 10 - 1 {
                trace.extend((0..fit * 2).map(|i| Access { key: scanned + i, bytes: 1024 }));
                scanned += fit * 2;
            }
        }
        trace
    }
}

struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a distance behind the newest key")]
    fn exponential(&mut self, mean: f64) -> u64 {
        (-(1.0 - self.unit()).ln() * mean) as u64
    }
}

struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: u32) -> Self {
        let mut sum = 0.0;
        let mut cumulated: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += 1.0 / f64::from(rank);
                sum
            })
            .collect();
        cumulated.iter_mut().for_each(|at| *at /= sum);
        Self(cumulated)
    }

    fn key(&self, unit: f64) -> u64 {
        self.0.partition_point(|&at| at < unit) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(policy: PolicyKind, synthetic: Synthetic) -> f64 {
        let fit = 5_000;
        replay(policy, fit * 1024, synthetic.trace(200_000, fit, 1)).hit_ratio()
    }

    #[test]
    fn sieve_beats_fifo_where_some_keys_are_hot_and_not_where_the_newest_are() {
        assert!(ratio(PolicyKind::Sieve, Synthetic::Zipf) > ratio(PolicyKind::Fifo, Synthetic::Zipf) + 0.04);
        assert!(ratio(PolicyKind::Fifo, Synthetic::Recent) > ratio(PolicyKind::Sieve, Synthetic::Recent));
    }

    #[test]
    fn clock_is_no_worse_than_fifo_by_much_where_the_newest_are_hot_and_better_where_some_keys_are() {
        assert!(ratio(PolicyKind::Clock, Synthetic::Zipf) > ratio(PolicyKind::Fifo, Synthetic::Zipf) + 0.03);
        assert!(ratio(PolicyKind::Clock, Synthetic::Recent) > ratio(PolicyKind::Sieve, Synthetic::Recent));
    }

    #[test]
    fn s3fifo_keeps_more_through_scans_than_fifo() {
        let scans = Synthetic::ZipfAndScans;
        assert!(ratio(PolicyKind::S3Fifo, scans) > ratio(PolicyKind::Fifo, scans) + 0.04);
    }

    #[test]
    fn a_cache_that_holds_everything_misses_each_key_once() {
        let trace = parse("a 10\nb 20\n\nnonsense\na 10\nb 20\na 10\n");
        let outcome = replay(PolicyKind::S3Fifo, 1_000, trace);
        assert_eq!((outcome.accesses, outcome.hits, outcome.bytes, outcome.hit_bytes), (5, 3, 70, 40));
    }
}
