//! Zipfian numbers: rank r is drawn about 1 / r^θ times as often as the first, as YCSB does it (Gray et al., "Quickly
//! generating billion-record synthetic databases", SIGMOD 1994).

use crate::rng::Rng;

/// YCSB's.
const THETA: f64 = 0.99;

/// A prime, so that neighbours in rank are none in number.
const SCATTER: u64 = 2_654_435_761;

/// Numbers below `n`, scattered over the range.
#[derive(Clone, Debug)]
pub struct Zipf {
    n: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    pub fn new(n: u64) -> Zipf {
        let zeta = |n: u64| (1..=n).map(|rank| (rank as f64).powf(-THETA)).sum::<f64>();
        let all = zeta(n);
        let eta = (1.0 - (2.0 / n as f64).powf(1.0 - THETA)) / (1.0 - zeta(2) / all);
        Zipf { n, alpha: 1.0 / (1.0 - THETA), zeta: all, eta }
    }

    pub fn draw(&self, rng: &mut Rng) -> usize {
        (self.rank(rng) * SCATTER % self.n) as usize
    }

    fn rank(&self, rng: &mut Rng) -> u64 {
        let uniform = (rng.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        let scaled = uniform * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(THETA) {
            return 1.min(self.n - 1);
        }
        let rank = self.n as f64 * (self.eta * uniform - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.n - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Zipf;
    use crate::rng::Rng;

    #[test]
    fn the_first_tenth_of_the_ranks_has_most_draws_and_all_are_reached() {
        let (zipf, mut rng) = (Zipf::new(1000), Rng::new(1));
        let ranks: Vec<u64> = (0..100_000).map(|_| zipf.rank(&mut rng)).collect();
        let often = ranks.iter().filter(|rank| **rank < 100).count();
        assert!((60_000..80_000).contains(&often), "{often}");
        assert!(ranks.iter().all(|rank| *rank < 1000) && ranks.contains(&999));
        let mut drawn: Vec<usize> = (0..100_000).map(|_| zipf.draw(&mut rng)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 1000);
    }
}
