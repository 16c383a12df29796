//! What the store counts.

use super::Store;
use crate::error::Error;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Whether writes are taken.
#[derive(Clone, Debug)]
pub enum Health {
    /// They are.
    Healthy,
    /// They are refused since this error, until `resume`.
    Degraded(Arc<Error>),
    /// The store was closed.
    Closed,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Default)]
        pub(super) struct Counters {
            $(pub $name: AtomicU64,)*
            /// Where scrubbing goes on: segment in the upper half, offset / 8 in the lower.
            pub scrub_position: AtomicU64,
        }

        /// Counters since the store was opened, and sizes now. Sizes are bytes.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Items that can be read.
            pub items: u64,
            /// Bytes of their records on disk.
            pub live_bytes: u64,
            /// Bytes of the disk limit that are taken now.
            pub disk_bytes: u64,
            /// Most that were ever taken.
            pub disk_bytes_peak: u64,
            /// Bytes of the RAM limit that are taken now.
            pub ram_bytes: u64,
            /// Most that were ever taken.
            pub ram_bytes_peak: u64,
            /// RAM of the index alone.
            pub index_bytes: u64,
            /// Records in RAM.
            pub resident_records: u64,
            /// Segments.
            pub segments: u64,
            /// Segment files that are open for reading.
            pub open_files: u64,
        }

        impl Counters {
            fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* ..Stats::default() }
            }
        }
    };
}

counters! {
    /// Values stored.
    puts,
    /// Keys deleted.
    deletes,
    /// Reads that found a value.
    hits,
    /// Of the looks at a place, those served from RAM.
    ram_hits,
    /// Reads that did not.
    misses,
    /// Reads of records or pieces from disk.
    disk_reads,
    /// Reads that met another key with the same hash.
    collisions,
    /// Bytes of values stored.
    user_bytes,
    /// Bytes written to files.
    disk_bytes_written,
    /// Bytes of records moved by the cleaner.
    relocated_bytes,
    /// File syncs.
    syncs,
    /// Segments cleaned.
    segments_cleaned,
    /// Files of segments that went and were written anew.
    files_reused,
    /// Items given up by policy.
    evictions,
    /// Damaged records found.
    corrupt_records,
    /// Failed writes.
    write_errors,
    /// Values made by `get_or_load`.
    loads,
    /// Calls of `get_or_load` that waited for another's load.
    shared_loads,
    /// Bytes verified by scrubbing.
    scrubbed_bytes,
}

impl Store {
    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        Stats {
            items: inner.index.live_items(),
            live_bytes: inner.index.live_bytes(),
            disk_bytes: inner.disk_bytes.used() + crate::options::DISK_FIXED_BYTES,
            disk_bytes_peak: inner.disk_bytes.peak() + crate::options::DISK_FIXED_BYTES,
            ram_bytes: inner.ram.used(),
            ram_bytes_peak: inner.ram.peak(),
            index_bytes: inner.index.ram_bytes(),
            resident_records: inner.resident.len() as u64,
            segments: inner.segments.len() as u64,
            open_files: inner.segments.open_files() as u64,
            ..inner.counters.read()
        }
    }

    /// Whether writes are taken, and if not why.
    pub fn health(&self) -> Health {
        match self.inner.check_writable() {
            Ok(()) => Health::Healthy,
            Err(Error::Degraded { cause }) => Health::Degraded(cause),
            Err(_) => Health::Closed,
        }
    }

    /// Checks that counters, index and segments agree: for tests, it walks everything.
    ///
    /// # Errors
    /// What does not agree.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<(), String> {
        let inner = &self.inner;
        let _log = crate::sync::lock(&inner.log);
        inner.index.validate()?;
        let mut live = std::collections::BTreeMap::new();
        inner.index.for_each(|loc, state| {
            if state != crate::index::State::Evicted {
                *live.entry(loc.segment).or_insert(0) += loc.padded_len();
            }
        });
        for segment in inner.segments.all() {
            let (noted, counted) = (segment.live.load(Ordering::Relaxed), live.remove(&segment.id).unwrap_or(0));
            if noted != counted {
                return Err(format!("segment {} notes {noted} live bytes and has {counted}", segment.id));
            }
        }
        if !live.is_empty() {
            return Err(format!("items in segments that are gone: {live:?}"));
        }
        Ok(())
    }

    /// Live items of each shard of the index, for tests of fairness.
    #[doc(hidden)]
    pub fn shard_items(&self) -> Vec<usize> {
        self.inner.index.shard_items()
    }
}
