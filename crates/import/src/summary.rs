//! What an import has found and done.

use std::collections::BTreeMap;

use effect::Kind;
use rdb::{Checksum, Foreign};

/// Keys by type.
pub type Kinds = BTreeMap<&'static str, u64>;

/// What was read from a file, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Version of the format.
    pub version: u16,
    /// Who wrote it, by its own account.
    pub writer: String,
    /// It is the base of an append-only file: what happened later is not in it.
    pub is_base: bool,
    /// Bytes of the file.
    pub bytes: u64,
    /// Keys that were taken from the file, by database (as numbered here) and type.
    pub taken: BTreeMap<u8, Kinds>,
    /// Keys that had expired.
    pub expired: u64,
    /// Fields of hashes that had expired.
    pub expired_fields: u64,
    /// Collections without elements.
    pub empty: u64,
    /// What has no place here, with the name of a module's type.
    pub foreign: BTreeMap<(Foreign, Option<String>), u64>,
    /// Whether the bytes are what was written.
    pub checksum: Option<Checksum>,
    /// What became of the keys; all 0 after a check.
    pub done: Done,
}

/// What became of the keys that were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Keys that were written.
    pub written: u64,
    /// Of these, keys that had been there before.
    pub replaced: u64,
    /// Keys that had been there and were left alone.
    pub kept: u64,
    /// Keys of cache keyspaces that were evicted before they were complete.
    pub evicted: u64,
}

impl Summary {
    /// Keys that were taken from the file.
    pub fn keys(&self) -> u64 {
        self.taken.values().flat_map(BTreeMap::values).sum()
    }

    pub(crate) fn count(&mut self, db: u8, kind: Kind) {
        *self.taken.entry(db).or_default().entry(kind.name()).or_default() += 1;
    }

    pub(crate) fn leave_out(&mut self, what: Foreign, name: Option<String>) {
        *self.foreign.entry((what, name)).or_default() += 1;
    }

    pub(crate) fn aux(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"redis-ver" => self.writer = format!("Redis {}", crate::error::shown(value)),
            b"valkey-ver" => self.writer = format!("Valkey {}", crate::error::shown(value)),
            b"aof-base" | b"aof-preamble" => self.is_base |= value == b"1",
            _ => {}
        }
    }
}
