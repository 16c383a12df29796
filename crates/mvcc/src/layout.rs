//! Where rows stand in the one tree that holds everything.
//!
//! ```text
//!   00 'S'                        state: last commit u64 ‖ applied index u64                (all integers big-endian)
//!   00 'E'                        encryption: 1 some values may be in clear, 2 none is ‖ id of the registry of data keys
//!   00 'R'                        whether superseded versions are kept: 0 no, 1 yes
//!   00 'W'                        watermark: committed u64 ‖ pending u64 (0: none) ‖ where the compaction goes on
//!   00 'D' commit u64             a prefix deletion that is not carried out yet: see below
//!   01 key                        the current version of a key
//!   02 groups(key) NOT commit u64 a superseded version; newest first
//!   03 file u64                   a file of values that is in force: its bytes u64
//! ```
//!
//! A current row ends with its key, so keys that begin one another are different rows in the right order. Where
//! something follows, the key is made self-delimiting first ([`groups`]): rows of two keys never mix.
//!
//! A prefix deletion is `prefix length u32 ‖ prefix ‖ spared: 0, or 1 ‖ prefix to spare length u32 ‖ prefix to spare ‖
//! where the sweep goes on`.

use crate::error::{Error, Result};
use crate::groups;
use crate::timestamp::Timestamp;

pub(crate) const STATE_KEY: &[u8] = &[BOOKS, b'S'];
pub(crate) const ENCRYPTION_KEY: &[u8] = &[BOOKS, b'E'];
pub(crate) const RETENTION_KEY: &[u8] = &[BOOKS, b'R'];
pub(crate) const WATERMARK_KEY: &[u8] = &[BOOKS, b'W'];
pub(crate) const DELETES_PREFIX: &[u8] = &[BOOKS, b'D'];

const BOOKS: u8 = 0;
pub(crate) const CURRENT: u8 = 1;
pub(crate) const HISTORY: u8 = 2;
/// The end of the history, and of all versions.
pub(crate) const END: u8 = VALUES;
/// Files of values. Behind the rows, since a run knows its files only when it has written all its rows.
pub(crate) const VALUES: u8 = 3;

/// The row key of the current version of `key`.
pub(crate) fn current(key: &[u8]) -> Vec<u8> {
    tagged(CURRENT, key)
}

pub(crate) fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + bytes.len());
    row.push(tag);
    row.extend_from_slice(bytes);
    row
}

/// The row key of the superseded version of `key` that was committed at `commit`. As a place to begin a scan, it finds
/// the newest version at or below `commit`.
pub(crate) fn history(key: &[u8], commit: Timestamp) -> Vec<u8> {
    let mut row = history_of(key);
    row.extend_from_slice(&(!commit.0).to_be_bytes());
    row
}

/// What all history rows of `key`, and no others, begin with.
pub(crate) fn history_of(key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + key.len() / 8 * 9 + 9 + 8);
    row.push(HISTORY);
    groups::encode(key, &mut row);
    row
}

/// The key and the commit timestamp that a history row's key names.
pub(crate) fn parse_history(row: &[u8]) -> Result<(Vec<u8>, Timestamp)> {
    row.strip_prefix(&[HISTORY])
        .and_then(groups::decode)
        .and_then(|(key, rest)| Some((key, Timestamp(!u64::from_be_bytes(rest.try_into().ok()?)))))
        .ok_or_else(|| Error::corrupt("a history row's key", "it does not name a key and a timestamp"))
}

/// The row key of the prefix deletion committed at `commit`.
pub(crate) fn delete_key(commit: Timestamp) -> Vec<u8> {
    [DELETES_PREFIX, &commit.0.to_be_bytes()].concat()
}

/// The row key of a file of values.
pub(crate) fn values_key(file: u64) -> Vec<u8> {
    tagged(VALUES, &file.to_be_bytes())
}

/// Reads big-endian fields out of a bookkeeping row.
pub(crate) struct Fields<'a> {
    place: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(place: &'static str, row: &'a [u8]) -> Self {
        Self { place, rest: row }
    }

    fn short(&self) -> Error {
        Error::corrupt(self.place, "it is cut short")
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(*chunk)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.chunk().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.chunk().map(u64::from_be_bytes)
    }

    /// A `u32` length, at most `limit`, and so many bytes.
    pub(crate) fn bytes(&mut self, limit: usize) -> Result<&'a [u8]> {
        let len = self.u32()? as usize;
        if len > limit {
            return Err(Error::corrupt(self.place, format!("a length of {len} is above the limit of {limit}")));
        }
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(bytes)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn done(&self) -> Result<()> {
        if self.is_done() { Ok(()) } else { Err(Error::corrupt(self.place, "bytes follow its end")) }
    }
}

/// Appends a `u32` length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("callers keep within the limits, which fit");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_key_fits_into_every_row() {
        let key = vec![0xFF; crate::limits::MAX_KEY_BYTES];
        assert!(history(&key, Timestamp(1)).len() <= crate::limits::MAX_ROW_KEY_BYTES);
    }

    #[test]
    fn a_history_row_names_its_version() {
        for key in [&b"user:1"[..], b"user:10", b"", b"\0\xFF\0\0\0\0\0\0\x09"] {
            let row = history(key, Timestamp(77));
            assert_eq!(parse_history(&row).unwrap(), (key.to_vec(), Timestamp(77)));
            assert!(parse_history(&row[..row.len() - 1]).is_err());
            assert!(parse_history(&[&row[..], b"x"].concat()).is_err());
        }
    }

    #[test]
    fn golden() {
        assert_eq!(current(b"user:1"), *b"\x01user:1");
        assert_eq!(history(b"user:1", Timestamp(0x0102)), *b"\x02user:1\0\0\x06\xFF\xFF\xFF\xFF\xFF\xFF\xFE\xFD");
        assert_eq!(delete_key(Timestamp(3)), *b"\0D\0\0\0\0\0\0\0\x03");
        assert_eq!(values_key(0x0102), *b"\x03\0\0\0\0\0\0\x01\x02");
        assert_eq!([STATE_KEY, ENCRYPTION_KEY, RETENTION_KEY, WATERMARK_KEY], [b"\0S", b"\0E", b"\0R", b"\0W"]);
    }

    #[test]
    fn history_rows_are_newest_first() {
        assert!(history(b"k", Timestamp(9)) < history(b"k", Timestamp(8)));
    }
}
