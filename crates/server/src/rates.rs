//! How much happens per second, from looks at counters that only grow.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits::RATE_SAMPLES;

/// Counters at a moment: commands, bytes in, bytes out.
pub type Counters = [u64; 3];

/// The last looks.
#[derive(Debug, Default)]
pub struct Rates {
    looks: VecDeque<(Instant, Counters)>,
}

impl Rates {
    /// Takes a look.
    pub fn look(&mut self, at: Instant, counters: Counters) {
        if self.looks.len() == RATE_SAMPLES {
            self.looks.pop_front();
        }
        self.looks.push_back((at, counters));
    }

    /// Per second, over the looks that are remembered: about the last second and a half.
    pub fn per_second(&self) -> [f64; 3] {
        let (Some(first), Some(last)) = (self.looks.front(), self.looks.back()) else { return [0.0; 3] };
        let seconds = (last.0 - first.0).as_secs_f64();
        if seconds <= 0.0 {
            return [0.0; 3];
        }
        std::array::from_fn(|i| last.1[i].saturating_sub(first.1[i]) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_those_of_the_looks_that_are_remembered() {
        let mut rates = Rates::default();
        let start = Instant::now();
        assert_eq!(rates.per_second(), [0.0; 3]);
        for i in 0..100u64 {
            let slow = i.min(50);
            rates.look(start + Duration::from_millis(100 * i), [i * 10, slow * 7, 0]);
        }
        assert_eq!(rates.per_second(), [100.0, 0.0, 0.0]);
    }
}
