//! Values on their way from the thread that reads to the one that commits.

use std::ops::Range;

use effect::Kind;

use crate::limits::{CHUNK_BYTES, CHUNK_KEPT, CHUNK_KEYS};

/// Which part of a value an entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Whole,
    /// The first of several.
    First,
    More,
    /// The last one. All together have so many elements, if they can be counted afterwards.
    Last(Option<u64>),
}

/// A value, or a part of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) db: u8,
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    pub(crate) deadline: Option<i64>,
    pub(crate) key: Range<usize>,
    /// A string as it is, anything else in the form that effects carry.
    pub(crate) value: Range<usize>,
    /// Where in the file it ends.
    pub(crate) offset: u64,
}

/// Entries in order, with their bytes.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

impl Chunk {
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.bytes.shrink_to(CHUNK_KEPT);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES || self.entries.len() >= CHUNK_KEYS
    }

    pub(crate) fn key(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.key.clone()]
    }

    pub(crate) fn value(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.value.clone()]
    }
}
