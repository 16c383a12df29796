//! Clocks, counters and random data.

use std::path::Path;
use std::time::Instant;

/// Durations of single calls.
#[derive(Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    pub fn time<T>(&mut self, f: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = f();
        self.add(started);
        result
    }

    pub fn add(&mut self, started: Instant) {
        self.0.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }

    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// p50, p99 and p99.9 in microseconds; nothing if there was no call.
    pub fn percentiles(&self) -> Option<[f64; 3]> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some([500, 990, 999].map(|per_mille| f64::from(sorted[(sorted.len() * per_mille / 1000).min(last)]) / 1e3))
    }
}

/// What was used: CPU time of the whole machine, because the kernel writes back in threads of its own, and bytes that
/// this process caused to be written.
pub struct Usage {
    cpu: f64,
    written: u64,
}

impl Usage {
    pub fn now() -> Self {
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0);
        // user, nice, system, idle, iowait, irq, softirq
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = stat.lines().next().unwrap_or_default();
        let fields: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|&at| fields.get(at)).sum();
        Self { cpu: busy as f64 / 100.0, written }
    }

    pub fn cpu_seconds(&self) -> f64 {
        Self::now().cpu - self.cpu
    }

    pub fn written_bytes(&self) -> f64 {
        (Self::now().written - self.written) as f64
    }
}

/// Bytes of RAM of this process that no file is behind.
pub fn anonymous_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0.0) * 1024.0
}

/// Bytes of all files below a directory, as the file system counts them. Files may vanish meanwhile.
pub fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Makes the kernel forget what it has of these files, so that the next reads go to the device.
pub fn forget_pages(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_pages(&path)?;
        } else {
            let file = std::fs::File::open(&path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Bytes that do not compress.
pub fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64 / 8 + 1).flat_map(|n| mix(seed << 40 | n).to_le_bytes()).take(len).collect()
}

/// A number out of a number, as good as random.
pub fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Uniform in 0..1.
pub fn unit(random: u64) -> f64 {
    (mix(random) >> 11) as f64 / (1_u64 << 53) as f64
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
        let unit = unit(random);
        self.0.partition_point(|&at| at < unit) as u64
    }
}
