//! Latencies, kept one by one, and what is said of them.

use std::time::Duration;

use super::table::Figure;

/// All of one kind, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    pub(super) fn push(&mut self, took: Duration) {
        self.0.push(took.as_micros().try_into().unwrap_or(u32::MAX));
    }

    pub(super) fn join(&mut self, other: Latencies) {
        self.0.extend(other.0);
    }

    /// The value below which `part` of them lie.
    fn quantile(sorted: &[u32], part: f64) -> f64 {
        f64::from(sorted[((sorted.len() - 1) as f64 * part).round() as usize])
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// p50, p99, p99.9 and the worst, each as a figure; none if there are no latencies.
    pub(super) fn figures(&self, what: &str) -> Vec<Figure> {
        self.parts(what, &[("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)])
    }

    /// The same without p99.9.
    pub(super) fn brief(&self, what: &str) -> Vec<Figure> {
        self.parts(what, &[("p50", 0.5), ("p99", 0.99), ("max", 1.0)])
    }

    fn parts(&self, what: &str, parts: &[(&str, f64)]) -> Vec<Figure> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let figure =
            |(name, part): &(&str, f64)| Figure::cost(format!("{what} {name}"), "µs", Self::quantile(&sorted, *part));
        if sorted.is_empty() { Vec::new() } else { parts.iter().map(figure).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latencies;

    #[test]
    fn quantiles_are_of_all_values() {
        let mut all = Latencies::default();
        assert!(all.figures("GET").is_empty());
        (0..=1000).rev().for_each(|us| all.push(Duration::from_micros(us)));
        let values: Vec<f64> = all.figures("GET").iter().map(|figure| figure.value).collect();
        assert_eq!(values, [500.0, 990.0, 999.0, 1000.0]);
    }
}
