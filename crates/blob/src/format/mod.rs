//! What is on disk, byte by byte. All integers are little endian.
//!
//! ```text
//! directory
//!   STORE            superblock: which store this is
//!   STATE            cache mode only: clean or not, and under which boot of the machine
//!   LOCK             held with flock while a store is open
//!   0000000001.seg   segments, ids only ever grow
//!   0000000002.seg
//!   0000000000.free cache mode only: the file of a segment that went, to be written anew
//!
//! segment
//! +----------+--------+--------+-----+--------+----------------------------------+
//! | header   | record | record | ... | record | footer (only once it is sealed)  |
//! | 64 bytes | each begins at a multiple of 8 | entries, key pages, pages, tail  |
//! +----------+--------+--------+-----+--------+----------------------------------+
//!
//! record
//! +-------+-----+-----+---------+-----------+---------+-------+------+--------+----------+
//! | magic | crc | seq | expires | value len | key len | flags | zero | digest | segment  |  40 bytes
//! |   4   |  4  |  8  |    8    |     4     |    2    |   1   |  1   |   4    |    4     |
//! +-------+-----+-----+---------+-----------+---------+-------+------+--------+----------+
//! | key | CRC32C of each 64 KiB piece of the value, 4 bytes each | value | zeros to 8   |
//! +-----+---------------------------------------------------------+-------+--------------+
//!
//! a record of 128 KiB or more, padding not counted
//! +--------------------------+--------------------------------------+--------------------------+--------------+
//! | whatever ends here       | zeros to a multiple of 4096          | the record               | zeros to     |
//! |                          | of the file: they belong to nobody   |                          | 4096         |
//! +--------------------------+--------------------------------------+--------------------------+--------------+
//! ```
//!
//! This is version 3. Version 2 did not name the segment in a record, version 1 had no records on whole blocks; stores of
//! both are refused.
//!
//! The record's `crc` covers everything after itself up to the value, mixed with where the record is (store,
//! segment, offset): bytes that once were a record elsewhere, left over in recycled blocks, are no record here. Files are
//! recycled too, where every record of the segment that went lies where one of the new may be looked for: so that this
//! does not hang on 32 bits, a record also names its segment, and ids of segments are never given out again.
//! The pieces' checksums are covered by it, so one chain of checks leads from the header to every byte.
//!
//! Invariant: there is one checksum domain, the stored bytes. A caller's own digest is data (`digest`), it is
//! never used to verify the store.

pub mod footer;
pub mod record;
pub mod segment;
pub mod superblock;

/// Reads a little-endian integer out of a slice whose length the caller has checked.
macro_rules! get {
    ($type:ty, $bytes:expr, $at:expr) => {
        <$type>::from_le_bytes(
            $bytes[$at..$at + size_of::<$type>()].try_into().expect("the range has the size of the integer"),
        )
    };
}
pub(crate) use get;

/// CRC32C of bytes that come in parts.
pub struct Crc32c(crc_fast::Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }
}

impl Crc32c {
    /// Goes on with more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all so far.
    pub fn value(&self) -> u32 {
        u32::try_from(self.0.finalize()).expect("a checksum of 32 bits")
    }
}

/// CRC32C of bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}
