//! Records in RAM: immutable once shared, paid for until the last holder lets go.

use crate::budget::Permit;
use crate::format::record::{self, Header};
use crate::limits::BLOCK_BYTES;
use crate::sync::Arc;
use std::ops::{Deref, DerefMut, Range};

/// Memory for one record. A large one begins at a block of memory as it does on disk, so that it can be handed to the
/// device as it is.
#[derive(Debug, Default)]
pub struct Room {
    bytes: Vec<u8>,
    /// Where the record begins: before it is what was needed to get to a block.
    at: usize,
}

impl Room {
    /// Empty room for a record of `len` bytes and its padding.
    pub fn new(len: usize) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(Self::bytes_for(len));
        let at = if record::is_large(len as u64) { bytes.as_ptr().align_offset(BLOCK_BYTES) } else { 0 };
        bytes.resize(at, 0);
        Self { bytes, at }
    }

    /// Bytes of memory that room for a record of `len` bytes takes.
    pub const fn bytes_for(len: usize) -> usize {
        let slack = if record::is_large(len as u64) { BLOCK_BYTES } else { 0 };
        record::padded_usize(len) + slack
    }

    /// The first `len` bytes as a record in room of its own, padded.
    pub fn copy_of(bytes: &[u8], len: usize) -> Self {
        let mut room = Self::new(len);
        room.extend(&bytes[..len]);
        room.grow_to(record::padded_usize(len));
        room
    }

    /// Appends bytes, for which there is room.
    pub fn extend(&mut self, bytes: &[u8]) {
        debug_assert!(self.bytes.len() + bytes.len() <= self.bytes.capacity(), "the record would move in memory");
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends zeros up to a length of `len`, for which there is room.
    pub fn grow_to(&mut self, len: usize) {
        debug_assert!(self.at + len <= self.bytes.capacity(), "the record would move in memory");
        self.bytes.resize(self.at + len, 0);
    }
}

impl From<Vec<u8>> for Room {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..]
    }
}

/// The bytes of one record (or of a part of its value), and the RAM they were given.
#[derive(Debug)]
pub struct RecordBuf {
    room: Room,
    _ram: Permit,
}

impl RecordBuf {
    /// Wraps bytes that `ram` has paid for.
    pub fn new(room: impl Into<Room>, ram: Permit) -> Self {
        let room = room.into();
        debug_assert!(room.bytes.capacity() as u64 <= ram.bytes() + 64, "more RAM is held than was paid for");
        Self { room, _ram: ram }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.room
    }

    /// The bytes while nobody shares them.
    pub fn bytes_mut(&mut self) -> &mut Room {
        &mut self.room
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
