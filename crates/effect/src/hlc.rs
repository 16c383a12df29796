//! Hybrid logical clocks: wall time that never runs backwards, with a durable ceiling.
//!
//! Source: Kulkarni, Demirbas et al., "Logical Physical Clocks" (2014).

/// 48 bits of unix milliseconds, 16 bits of counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first timestamp of a millisecond (unix time; negative times count as 0, the far future saturates).
    pub fn at_ms(ms: i64) -> Self {
        Self((ms.max(0) as u64).min((1 << 48) - 1) << 16)
    }

    /// The wall-clock part in unix milliseconds.
    pub fn ms(self) -> i64 {
        (self.0 >> 16) as i64
    }

    /// The timestamp `n` ticks later.
    pub fn plus(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }
}

/// What a clock answers when it is asked for timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// The first of the timestamps asked for; the others follow it without a gap.
    At(Hlc),
    /// The ceiling must first be raised, durably, to at least this.
    NeedsCeiling(Hlc),
}

/// The clock of one node. It never answers the same timestamp twice and never one above its ceiling.
#[derive(Debug, Clone)]
pub struct HlcClock {
    last: Hlc,
    ceiling: Hlc,
}

impl HlcClock {
    /// A clock that starts above `floor`: the ceiling that an earlier life had made durable.
    pub fn above(floor: Hlc) -> Self {
        Self { last: floor, ceiling: floor }
    }

    /// The last timestamp given or seen.
    pub fn last(&self) -> Hlc {
        self.last
    }

    /// The highest timestamp that may be given.
    pub fn ceiling(&self) -> Hlc {
        self.ceiling
    }

    /// Raises the ceiling; the caller has made it durable before. Never lowers it.
    pub fn raise_ceiling(&mut self, to: Hlc) {
        self.ceiling = self.ceiling.max(to);
    }

    /// Takes `n` consecutive timestamps at wall time `now_ms` (unix ms).
    #[inline]
    pub fn take(&mut self, now_ms: i64, n: u64) -> Tick {
        let first = self.last.plus(1).max(Hlc::at_ms(now_ms));
        let last = first.plus(n.saturating_sub(1));
        if last > self.ceiling {
            return Tick::NeedsCeiling(last);
        }
        self.last = last;
        Tick::At(first)
    }

    /// Merges a timestamp received from elsewhere: what is taken from here on is above it.
    pub fn observe(&mut self, seen: Hlc) {
        self.last = self.last.max(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn timestamps_grow_and_stay_below_the_ceiling(walls in proptest::collection::vec((0i64..5_000, 1u64..5), 1..100)) {
            let mut clock = HlcClock::above(Hlc::at_ms(1_000));
            let mut highest = Hlc::at_ms(1_000);
            for (wall, n) in walls {
                match clock.take(wall, n) {
                    Tick::At(first) => {
                        prop_assert!(first > highest);
                        highest = first.plus(n - 1);
                        prop_assert!(highest <= clock.ceiling());
                    }
                    Tick::NeedsCeiling(to) => {
                        prop_assert!(to > clock.ceiling());
                        clock.raise_ceiling(to.plus(100 << 16));
                    }
                }
            }
        }
    }
}
