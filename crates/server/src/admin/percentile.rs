//! Durations counted by powers of two: percentiles, and the bounds that LATENCY HISTOGRAM prints.

use crate::limits::LATENCY_BUCKETS;

/// The upper bound of a bucket, ns.
fn bound_ns(bucket: usize) -> u64 {
    1024 << bucket
}

/// The name that LATENCY HISTOGRAM gives to a bucket, µs. Redis' histograms keep two digits of precision and name the
/// largest value that they cannot tell from the bound: 33 for 32.768 µs.
pub fn label_us(bucket: usize) -> u64 {
    let bound = bound_ns(bucket);
    (bound + bound / 128 - 1) / 1000
}

/// The duration in µs that so many percent of the calls did not pass, interpolated within its power of two.
pub fn percentile_us(buckets: &[u64; LATENCY_BUCKETS], percent: f64) -> f64 {
    let total: u64 = buckets.iter().sum();
    let wanted = (total as f64 * percent / 100.0).max(1.0);
    let mut below = 0u64;
    for (at, count) in buckets.iter().enumerate() {
        if *count > 0 && (below + count) as f64 >= wanted {
            let low = if at == 0 { 0 } else { bound_ns(at - 1) } as f64;
            let part = (wanted - below as f64) / *count as f64;
            return (low + (bound_ns(at) as f64 - low) * part.clamp(0.0, 1.0)) / 1000.0;
        }
        below += count;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_redis() {
        let labels: Vec<u64> = (0..10).map(label_us).collect();
        assert_eq!(labels, [1, 2, 4, 8, 16, 33, 66, 132, 264, 528]);
    }

    #[test]
    fn percentiles_lie_in_the_bucket_that_holds_them() {
        let mut buckets = [0; LATENCY_BUCKETS];
        assert_eq!(percentile_us(&buckets, 50.0), 0.0);
        buckets[2] = 90;
        buckets[10] = 10;
        let at = |percent: f64| percentile_us(&buckets, percent);
        assert!(at(0.0) > 2.048 && at(50.0) < 4.096 && at(90.0) <= 4.096);
        assert!(at(90.1) > 524.288 && at(100.0) == 1048.576);
        assert!(at(10.0) < at(50.0) && at(95.0) < at(99.9));
    }
}
