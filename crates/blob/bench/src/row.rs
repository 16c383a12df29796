//! One measured row: names of metrics and their values, handed from the child that measures to the parent that tells.

use crate::measure::Latencies;
use std::collections::BTreeMap;

/// Values by the name of their metric.
#[derive(Clone, Default)]
pub struct Row(BTreeMap<String, f64>);

impl Row {
    pub fn set(&mut self, metric: &str, value: f64) {
        self.0.insert(metric.into(), value);
    }

    pub fn get(&self, metric: &str) -> Option<f64> {
        self.0.get(metric).copied()
    }

    /// Sets `name_p50`, `name_p99` and `name_p999`.
    pub fn set_latencies(&mut self, name: &str, latencies: &Latencies) {
        if let Some(values) = latencies.percentiles() {
            for (suffix, value) in ["p50", "p99", "p999"].iter().zip(values) {
                self.set(&format!("{name}_{suffix}"), value);
            }
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Lines of `metric TAB value`.
    pub fn to_lines(&self) -> String {
        self.0.iter().map(|(metric, value)| format!("{metric}\t{value}\n")).collect()
    }

    /// The reverse; lines that are none are passed over.
    pub fn from_lines(text: &str) -> Self {
        let pair = |line: &str| {
            let (metric, value) = line.split_once('\t')?;
            Some((metric.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter_map(pair).collect())
    }
}
