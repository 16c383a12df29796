//! Records in RAM: immutable once shared, paid for until the last holder lets go.

use crate::budget::Permit;
use crate::format::record::Header;
use crate::sync::Arc;
use std::ops::{Deref, Range};

/// The bytes of one record (or of a part of its value), and the RAM they were given.
#[derive(Debug)]
pub struct RecordBuf {
    bytes: Vec<u8>,
    _ram: Permit,
}

impl RecordBuf {
    /// Wraps bytes that `ram` has paid for.
    pub fn new(bytes: Vec<u8>, ram: Permit) -> Self {
        debug_assert!(bytes.capacity() as u64 <= ram.bytes() + 64, "more RAM is held than was paid for");
        Self { bytes, _ram: ram }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes while nobody shares them.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// A value that somebody reads. It holds its RAM, and nothing else: no lock, no file, no other record.
#[derive(Clone, Debug)]
pub struct Guard {
    buf: Arc<RecordBuf>,
    range: Range<usize>,
    header: Header,
}

impl Guard {
    pub(crate) fn new(buf: Arc<RecordBuf>, range: Range<usize>, header: Header) -> Self {
        debug_assert!(range.end <= buf.bytes().len());
        Self { buf, range, header }
    }

    /// The version of the value: versions of one key only grow.
    pub fn version(&self) -> u64 {
        self.header.seq
    }

    /// Unix milliseconds at which it expires, if it does.
    pub fn expires_ms(&self) -> Option<u64> {
        Some(self.header.expires_ms).filter(|&ms| ms != 0)
    }

    /// The CRC32C that the writer handed in with `put_checksummed`.
    pub fn digest(&self) -> Option<u32> {
        self.header.digest
    }

    /// Length of the whole value, of which this may be a part.
    pub fn value_len(&self) -> usize {
        self.header.value_len as usize
    }
}

impl Deref for Guard {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buf.bytes()[self.range.clone()]
    }
}

impl AsRef<[u8]> for Guard {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
