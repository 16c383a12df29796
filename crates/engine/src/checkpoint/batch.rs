//! The rows of one step, as they are collected under a shard's lock.

use super::rows::meta_key;
use crate::shard::ShardId;

/// The rows of one step: written when no lock is held.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: Vec<Row>,
    /// Memory for the name of a row.
    name: Vec<u8>,
}

/// A row in a batch: where its key begins, where its value does, where it ends; and whether there is a value.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) end: usize,
    pub(super) present: bool,
}

impl Batch {
    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// Adds the row of a key, whose value `write` appends if there is one.
    pub(super) fn add(
        &mut self,
        at: (ShardId, u64, u8),
        key: &[u8],
        write: Option<impl FnOnce(&mut Vec<u8>)>,
    ) -> mvcc::Result<()> {
        let (shard, order, db) = at;
        let meta = meta_key(shard, order, db, key);
        let (start, present) = (self.bytes.len(), write.is_some());
        meta.encode_key(&mut self.name)?;
        self.bytes.extend_from_slice(&self.name);
        let value = self.bytes.len();
        if let Some(write) = write {
            meta.encode_head(&mut self.bytes);
            write(&mut self.bytes);
        }
        self.rows.push(Row { key: start, value, end: self.bytes.len(), present });
        Ok(())
    }

    /// Brings rows that share a hash into the order of their keys.
    pub(super) fn sort(&mut self) {
        let Self { bytes, rows, .. } = self;
        let key = |row: &Row| &bytes[row.key..row.value];
        if !rows.is_sorted_by(|a, b| key(a) < key(b)) {
            rows.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        }
    }
}
