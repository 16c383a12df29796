//! The rows of one step, as they are collected under a shard's lock.

use effect::Kind;
use mvcc::wide::{Incarnation, WideError};

use super::elements::{element_of, encode_content};
use super::rows::meta_key;
use crate::shard::ShardId;
use crate::value::wide::{RowKey, WideRow};

/// Bytes of a digest that ends the key of a row with a long name or place.
const DIGEST_BYTES: usize = 32;

/// The rows of one step: written when no lock is held.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: Vec<Row>,
    /// Memory for the name of a row.
    name: Vec<u8>,
    /// So many rows, the first ones, are known to be of one group; see [`Batch::settled`].
    grouped: usize,
    /// Rows of fences that were added, of which nobody has been told.
    pub(super) fences: u64,
}

/// A row in a batch: where its key begins, where its value does, where it ends; and whether there is a value.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) end: usize,
    pub(super) present: bool,
    /// For an element of a long name or place: how many bytes of the key it shares with others that it is in order with only by their
    /// bytes. Else 0.
    shared: usize,
}

impl Batch {
    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
        self.grouped = 0;
        self.fences = 0;
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
        self.rows.push(Row { key: start, value, end: self.bytes.len(), present, shared: 0 });
        Ok(())
    }

    /// Adds the row of an element of a value of this kind, or its removal.
    pub(super) fn add_element(&mut self, of: Incarnation, kind: Kind, row: &WideRow<'_>) -> Result<(), WideError> {
        self.fences += u64::from(matches!(row.key(), RowKey::Fences(_)));
        let (start, element) = (self.bytes.len(), element_of(kind, row.key())?);
        element.encode_key(of, &mut self.name)?;
        self.bytes.extend_from_slice(&self.name);
        let value = self.bytes.len();
        if let WideRow::Put(_, content) = row {
            element.encode_head(&mut self.bytes);
            encode_content(row.key(), *content, &mut self.bytes)?;
        }
        let shared = if element.is_digested() { value - start - DIGEST_BYTES } else { 0 };
        let present = matches!(row, WideRow::Put(..));
        self.rows.push(Row { key: start, value, end: self.bytes.len(), present, shared });
        Ok(())
    }

    /// How many of the rows, from the first on, come before all that may still be added: elements come in the order of their
    /// names or places, but rows of long ones that begin alike stand in the order of digests. So such a group is written when it is whole.
    pub(super) fn settled(&mut self) -> usize {
        let Self { bytes, rows, grouped, .. } = self;
        let Some(last) = rows.last().filter(|row| row.shared > 0) else {
            *grouped = 0;
            return rows.len();
        };
        let shared = |row: &Row| &bytes[row.key..row.key + row.shared];
        let same = |row: &Row| row.shared > 0 && shared(row) == shared(last);
        let settled = match rows[*grouped..].iter().rposition(|row| !same(row)) {
            Some(at) => *grouped + at + 1,
            None if same(&rows[0]) => 0,
            None => *grouped,
        };
        *grouped = rows.len() - settled;
        settled
    }

    /// Brings the first `count` rows into the order of their keys: those that share a hash.
    pub(super) fn sort(&mut self, count: usize) {
        let Self { bytes, rows, .. } = self;
        let (rows, key) = (&mut rows[..count], |row: &Row| &bytes[row.key..row.value]);
        if !rows.is_sorted_by(|a, b| key(a) < key(b)) {
            rows.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        }
    }

    /// Drops the first `count` rows and answers their bytes. Rows are sorted within their own bytes.
    pub(super) fn drop_first(&mut self, count: usize) -> usize {
        let bytes = self.rows.get(count).map_or(self.bytes.len(), |row| row.key);
        if bytes > 0 {
            self.bytes.drain(..bytes);
            self.rows.drain(..count);
            for row in &mut self.rows {
                (row.key, row.value, row.end) = (row.key - bytes, row.value - bytes, row.end - bytes);
            }
        }
        bytes
    }
}
