//! Clocks, counters and random data.

use std::fmt;
use std::path::Path;
use std::time::Instant;

/// Durations of single calls.
#[derive(Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    pub fn time<T>(&mut self, f: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = f();
        self.0.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX));
        result
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |per_mille: usize| sorted.get((sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1)));
        let micros = |per_mille| at(per_mille).map_or(0.0, |&ns| f64::from(ns) / 1e3);
        write!(f, "{:.1} / {:.0} / {:.0}", micros(500), micros(990), micros(999))
    }
}

/// What this process has used.
pub struct Usage {
    pub cpu: f64,
    pub written: u64,
}

impl Usage {
    pub fn now() -> Self {
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0);
        // User and system ticks are fields 14 and 15; the command's name, in parentheses, may hold spaces.
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().skip(11).take(2).filter_map(|f| f.parse().ok()).collect())
            .unwrap_or_default();
        Self { cpu: fields.iter().sum::<u64>() as f64 / 100.0, written }
    }

    pub fn since(&self) -> Self {
        let now = Self::now();
        Self { cpu: now.cpu - self.cpu, written: now.written - self.written }
    }
}

/// Bytes of all files below a directory, as the file system counts them.
pub fn disk_bytes(dir: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { disk_bytes(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(bytes)
}

/// Bytes that do not compress.
pub fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64 / 8 + 1).flat_map(|n| zipf::mix(seed << 40 | n).to_le_bytes()).take(len).collect()
}

pub mod zipf {
    //! Numbers out of numbers.

    pub fn mix(n: u64) -> u64 {
        let mut z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Ranks by Zipf's law with exponent 1.1.
    pub struct Zipf(Vec<f64>);

    impl Zipf {
        pub fn new(ranks: u32) -> Self {
            let mut sum = 0.0;
            let cumulated: Vec<f64> = (1..=ranks)
                .map(|rank| {
                    sum += f64::from(rank).powf(-1.1);
                    sum
                })
                .collect();
            Self(cumulated.into_iter().map(|at| at / sum).collect())
        }

        pub fn rank(&self, random: u64) -> u64 {
            let unit = (mix(random) >> 11) as f64 / (1_u64 << 53) as f64;
            self.0.partition_point(|&at| at < unit) as u64
        }
    }
}
