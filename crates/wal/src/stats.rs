//! What the log has done since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records appended.
    pub records: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Bytes in the buffer at the moment, not yet on their way to disk.
    pub buffered_bytes: u64,
    /// Buffers written out.
    pub flushes: u64,
    /// Bytes written to segments, frame headers and marks included.
    pub written_bytes: u64,
    /// fsync and fdatasync calls on segments that hold records.
    pub fsyncs: u64,
    /// Time spent in them, all together.
    pub fsync_total: Duration,
    /// The longest of them.
    pub fsync_max: Duration,
    /// Segments created.
    pub segments_created: u64,
    /// Segments there are.
    pub segments: u64,
}

/// The counters that are not under the append lock.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) flushes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    fsyncs: AtomicU64,
    fsync_total_ns: AtomicU64,
    fsync_max_ns: AtomicU64,
    pub(crate) segments_created: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn fsync(&self, took: Duration) {
        let ns = took.as_nanos() as u64;
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        self.fsync_total_ns.fetch_add(ns, Ordering::Relaxed);
        self.fsync_max_ns.fetch_max(ns, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            flushes: get(&self.flushes),
            written_bytes: get(&self.written_bytes),
            fsyncs: get(&self.fsyncs),
            fsync_total: Duration::from_nanos(get(&self.fsync_total_ns)),
            fsync_max: Duration::from_nanos(get(&self.fsync_max_ns)),
            segments_created: get(&self.segments_created),
            ..Stats::default()
        }
    }
}
