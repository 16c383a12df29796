//! Prefix deletions that were committed and are not carried out row by row yet.
//!
//! Such a deletion is one row, so it is there whole or not at all, whatever the number of keys. Until a sweep has
//! turned the keys that it covers into deleted ones, every read treats them as if it had.

use crate::error::{Error, Result};
use crate::header::Header;
use crate::layout::{Fields, put_bytes};
use crate::limits::{MAX_KEY_BYTES, MAX_ROW_KEY_BYTES};
use crate::store::PrefixDelete;
use crate::timestamp::Timestamp;

/// A prefix deletion under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) commit: Timestamp,
    pub(crate) prefix: Vec<u8>,
    pub(crate) spare: Option<Vec<u8>>,
    /// The first key that the sweep has not looked at.
    pub(crate) cursor: Vec<u8>,
}

impl Pending {
    pub(crate) fn new(delete: &PrefixDelete<'_>) -> Self {
        Self {
            commit: delete.commit,
            prefix: delete.prefix.to_vec(),
            spare: delete.spare.map(<[u8]>::to_vec),
            cursor: delete.prefix.to_vec(),
        }
    }

    /// Whether it deletes the current version of `key`: one that was committed before it and visible at its commit.
    pub(crate) fn covers(&self, key: &[u8], current: &Header) -> bool {
        current.commit < self.commit
            && key.starts_with(&self.prefix)
            && !self.spare.as_ref().is_some_and(|spare| key.starts_with(spare))
            && current.is_live(self.commit)
    }

    /// Its row; the commit timestamp is in the row's key.
    pub(crate) fn row(&self) -> Vec<u8> {
        let mut row = Vec::new();
        put_bytes(&mut row, &self.prefix);
        row.push(u8::from(self.spare.is_some()));
        if let Some(spare) = &self.spare {
            put_bytes(&mut row, spare);
        }
        row.extend_from_slice(&self.cursor);
        row
    }

    pub(crate) fn decode(commit: Timestamp, row: &[u8]) -> Result<Self> {
        let mut fields = Fields::new("a prefix deletion", row);
        let prefix = fields.bytes(MAX_KEY_BYTES)?.to_vec();
        let spare = match fields.u8()? {
            0 => None,
            1 => Some(fields.bytes(MAX_KEY_BYTES)?.to_vec()),
            _ => return Err(Error::corrupt("a prefix deletion", "a flag is neither yes nor no")),
        };
        let cursor = fields.rest();
        let cursor = if cursor.len() > MAX_ROW_KEY_BYTES { &prefix } else { cursor };
        Ok(Self { commit, cursor: cursor.to_vec(), prefix, spare })
    }
}

/// The first of `deletes`, which are in the order of their commits, that deletes the current version of `key`. Later
/// ones then find it deleted.
pub(crate) fn deleted_by(deletes: &[Pending], key: &[u8], current: &Header) -> Option<Timestamp> {
    deletes.iter().find(|delete| delete.covers(key, current)).map(|delete| delete.commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(prefix: &[u8], spare: Option<&[u8]>, commit: u64) -> Pending {
        Pending::new(&PrefixDelete { prefix, spare, commit: Timestamp(commit) })
    }

    #[test]
    fn a_deletion_covers_what_was_visible_at_its_commit() {
        let delete = pending(b"user:", Some(b"user:1"), 10);
        let live = Header::value(Timestamp(5), None);
        assert!(delete.covers(b"user:2", &live));
        assert!(delete.covers(b"user:", &live));
        assert!(!delete.covers(b"user:12", &live));
        assert!(!delete.covers(b"use", &live));
        assert!(!delete.covers(b"user:2", &Header::value(Timestamp(10), None)));
        assert!(!delete.covers(b"user:2", &Header::tombstone(Timestamp(5))));
        assert!(!delete.covers(b"user:2", &Header::value(Timestamp(5), Some(Timestamp(10)))));
        assert!(delete.covers(b"user:2", &Header::value(Timestamp(5), Some(Timestamp(11)))));
    }

    #[test]
    fn its_row_is_read_back() {
        for delete in [pending(b"", None, 1), pending(b"a\xFF", Some(b""), 2), pending(b"a", Some(b"ab"), u64::MAX - 1)]
        {
            let moved = Pending { cursor: b"ac".to_vec(), ..delete };
            assert_eq!(Pending::decode(moved.commit, &moved.row()).unwrap(), moved);
            assert!(Pending::decode(moved.commit, &moved.row()[..2]).is_err());
        }
        assert_eq!(pending(b"ab", Some(b"abc"), 1).row(), b"\0\0\0\x02ab\x01\0\0\0\x03abcab");
    }
}
