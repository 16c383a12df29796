//! How a store on disk is set up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use envelope::Cipher;
use fjall::config::PartitioningPolicy;
use fjall::{Database, KeyspaceCreateOptions};

use super::dead::DeadRows;
use super::filter;
use super::seal::Seal;
use crate::error::{Error, Result};
use crate::limits::{LARGE_VALUE_BYTES, VALUE_FILE_BYTES};
use crate::pace::Others;
use crate::store::Retention;

/// Settings of a store on disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether superseded versions are kept.
    pub retention: Retention,
    /// Bytes of the cache of blocks.
    pub cache_bytes: u64,
    /// Bytes that are written to memory before they become a file.
    pub memtable_bytes: u64,
    /// Bytes of journal after which memory is written out whatever its size, at least 64 MiB: what an open has to read
    /// again.
    pub journal_bytes: u64,
    /// Threads that write files and compact them, at least 1.
    pub threads: usize,
    /// Values of at least so many bytes that a sorted run brings stand apart, in files beside the tree. What was written with another
    /// bound stays where it is until it is written again.
    pub large_value_bytes: usize,
    /// Bytes after which the next file of such values is begun.
    pub value_file_bytes: u64,
    /// Who says which rows are dead.
    pub dead: Option<Arc<dyn DeadRows>>,
    /// Who goes before those who compact.
    pub others: Others,
    /// What values are sealed with. A store that was sealed once is opened with the same from then on.
    pub cipher: Option<Arc<Cipher>>,
}

impl Options {
    /// Settings for a machine of which the store has a small part.
    pub fn new(retention: Retention) -> Self {
        Self {
            retention,
            cache_bytes: 64 << 20,
            memtable_bytes: 32 << 20,
            journal_bytes: 128 << 20,
            threads: 2,
            large_value_bytes: LARGE_VALUE_BYTES,
            value_file_bytes: VALUE_FILE_BYTES,
            dead: None,
            others: Others::default(),
            cipher: None,
        }
    }

    pub(super) fn open(&self, dir: &Path, floor: &Arc<AtomicU64>, seal: &Arc<Seal>) -> Result<Database> {
        const LEAST_JOURNAL_BYTES: u64 = 64 << 20;
        Database::builder(dir)
            .cache_size(self.cache_bytes)
            .max_journaling_size(self.journal_bytes.max(LEAST_JOURNAL_BYTES))
            .worker_threads(self.threads.max(1))
            .manual_journal_persist(true)
            .with_compaction_filter_factories(filter::assigner(
                Arc::clone(floor),
                self.dead.clone(),
                Arc::clone(seal),
                self.others.clone(),
            ))
            .open()
            .map_err(|error| Error::tree("opening the store", error))
    }

    pub(super) fn rows(&self) -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default()
            .max_memtable_size(self.memtable_bytes)
            .manual_journal_persist(true)
            // A file of two million small rows has a filter of 2 MiB. In one block it is read, and checked, as a whole for each
            // look-up, as soon as a few of them do not fit into the cache.
            .filter_block_partitioning_policy(PartitioningPolicy::all(true))
            .index_block_partitioning_policy(PartitioningPolicy::all(true))
    }
}
