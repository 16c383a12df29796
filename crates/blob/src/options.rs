//! How a store is opened.

use crate::error::{Error, Result};
use crate::hash::{self, HashFn};
use crate::index::policy::PolicyKind;
use crate::limits;
use crate::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the store promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A put or delete that has returned survives a power cut. Nothing is evicted: a full store says so.
    Durable,
    /// Values may vanish at any time, but what was overwritten or deleted never comes back.
    Cache {
        /// Whether files are synced. Without it the store starts empty after a power cut (it stays warm when only
        /// the process died).
        fsync: bool,
    },
}

/// Unix milliseconds, for deadlines.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Settings of a store. Sizes are bytes.
#[derive(Clone)]
pub struct Options {
    /// What is promised.
    pub mode: Mode,
    /// Most bytes of all files together, at every moment.
    pub disk_limit: u64,
    /// Most bytes of RAM: index, buffers in flight, buffers that readers hold, and the cache of records.
    pub ram_limit: u64,
    /// Size of a segment file. A larger record gets a segment of its own.
    pub segment_bytes: u64,
    /// How much is gathered in RAM before it is written, where a put need not wait for it.
    pub slab_bytes: u64,
    /// Whether large writes go past the page cache while nothing is read from disk: that is faster, and leaves the
    /// machine's memory alone. While there are reads from disk, or without this, what is written stays in the page
    /// cache as far as the machine has memory for it, and its first readers need not wait for the device.
    pub direct_writes: bool,
    /// Which items a cache gives up first.
    pub policy: PolicyKind,
    /// Percent of the disk limit that live records of a cache may take. More holds more items and costs more
    /// copying when segments are cleaned.
    pub live_percent: u64,
    /// How long a call waits for RAM or disk before it returns `Busy`.
    pub max_wait: Duration,
    /// Most files open for reading.
    pub max_open_files: usize,
    /// Bytes per second that the background worker reads to verify what is at rest; 0 for none.
    pub scrub_bytes_per_second: u64,
    /// The clock that deadlines are compared with.
    pub clock: Clock,
    #[doc(hidden)]
    pub hash: HashFn,
    #[doc(hidden)]
    pub identity: Option<(u64, u64)>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("mode", &self.mode)
            .field("disk_limit", &self.disk_limit)
            .field("ram_limit", &self.ram_limit)
            .field("segment_bytes", &self.segment_bytes)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Defaults for a store within these limits.
    pub fn new(mode: Mode, disk_limit: u64, ram_limit: u64) -> Self {
        let segment = (disk_limit / 128).clamp(1 << 20, 64 << 20).min(disk_limit / limits::MIN_SEGMENTS);
        Self {
            mode,
            disk_limit,
            ram_limit,
            segment_bytes: segment / limits::RECORD_ALIGN * limits::RECORD_ALIGN,
            slab_bytes: (ram_limit / 8).min(2 << 20),
            direct_writes: true,
            policy: PolicyKind::Clock,
            live_percent: 85,
            max_wait: Duration::from_secs(5),
            max_open_files: 512,
            scrub_bytes_per_second: 0,
            clock: Arc::new(system_clock),
            hash: hash::xxh3,
            identity: None,
        }
    }

    /// Refuses settings that contradict each other.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, what: &str| if ok { Ok(()) } else { Err(Error::Options(what.into())) };
        check(self.segment_bytes >= limits::MIN_SEGMENT_BYTES, "segment_bytes is below 4 KiB")?;
        check(self.segment_bytes <= 2 << 30, "segment_bytes is above 2 GiB")?;
        check(self.segment_bytes.is_multiple_of(limits::RECORD_ALIGN), "segment_bytes is no multiple of 8")?;
        let least = self.segment_bytes.saturating_mul(limits::MIN_SEGMENTS);
        check(self.disk_limit >= least.saturating_add(DISK_FIXED_BYTES), "disk_limit holds fewer than 4 segments")?;
        check(self.ram_limit >= 64 * 1024, "ram_limit is below 64 KiB")?;
        check((10..=95).contains(&self.live_percent), "live_percent is not within 10..=95")?;
        check(self.max_open_files > 0, "max_open_files is 0")
    }

    /// Whether files are synced.
    pub(crate) fn syncs(&self) -> bool {
        matches!(self.mode, Mode::Durable | Mode::Cache { fsync: true })
    }

    /// Whether nothing may be evicted.
    pub(crate) fn is_durable(&self) -> bool {
        self.mode == Mode::Durable
    }

    /// Longest record that can be taken: it must be readable again beside others in flight.
    pub(crate) fn max_record_bytes(&self) -> u64 {
        let room = self.disk_limit - self.segment_bytes * (limits::MIN_SEGMENTS - 2) - DISK_FIXED_BYTES;
        (self.ram_limit / 4).min(room / 2)
    }
}

/// Disk bytes set aside for the superblock, the state file and their temporary twins, in file system blocks.
pub(crate) const DISK_FIXED_BYTES: u64 = 4 * 4096;

fn system_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Random bits from the standard library's own source of hash keys.
pub(crate) fn random_u64() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
