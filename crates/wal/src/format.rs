//! The bytes on disk.
//!
//! A log is a directory of segment files named by their base position in decimal, `00000000000000000000.wal`, and
//! an empty file `LOCK`. A segment is one header and then frames without gaps; what follows the last frame is nothing, or the
//! zeros of a preallocated file. All integers are little endian.
//!
//! ```text
//! segment header, 64 bytes
//!
//!   0        8          12         16       24       32              40       44            60         64
//!   ┌────────┬──────────┬──────────┬────────┬────────┬───────────────┬────────┬─────────────┬──────────┐
//!   │ magic  │ version  │ length   │ log id │ base   │ created       │ flags  │ zero        │ crc32c   │
//!   │ 8 B    │ u32 = 1  │ u32 = 64 │ u64    │ u64    │ u64 unix ms   │ u32 =0 │ 16 B        │ u32      │
//!   └────────┴──────────┴──────────┴────────┴────────┴───────────────┴────────┴─────────────┴──────────┘
//!     "AnbrLog\x1a"                  random,  position                                        of bytes
//!                                    one per  of the first                                    0..60
//!                                    log      frame
//!
//! frame, 9 bytes + payload
//!
//!   0        4          8      9
//!   ┌────────┬──────────┬──────┬───────────────────┐
//!   │ length │ check    │ kind │ payload           │      length  of the payload, u32, at most 1 GiB
//!   │ u32    │ u32      │ u8   │ `length` bytes    │      check   crc32c(kind ‖ payload) ^ bind(log id, position, length)
//!   └────────┴──────────┴──────┴───────────────────┘
//!
//! kind    0x00          never written: zeros are no frame
//!         0x01 ..= 0x6f the owner's
//!         0x70 ..= 0x7f the log's own; 0x7f is a mark
//!         0x80          flag: the payload is encrypted; only for the owner's
//!
//! mark, kind 0x7f: payload u64, the position below which the log was durable when this mark was written
//!
//! encrypted payload: data key id u32 BE ‖ counter u32 BE ‖ tag 16 B ‖ ciphertext (crate `envelope`); what it is bound to is
//!                    log id u64 ‖ position of the frame u64 ‖ kind u8, flag included
//! ```
//!
//! All that encryption adds stands in front of the ciphertext, so every position is known while the payload is still in clear
//! and growing. The check is over what is on disk: damage is told from a torn write, and found, without keys.
//!
//! The check is bound to the log and to the frame's own position (a 64-bit mix folded to 32 bits and XORed in, so that one
//! pass over contiguous bytes is all the CRC work there is). A frame found anywhere else than where it was written, or in
//! another log's recycled blocks, does not verify; a frame that does verify was written there.

use crate::position::Position;

/// Bytes of a segment header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 9;
/// The first bytes of each segment.
pub const MAGIC: [u8; 8] = *b"AnbrLog\x1a";
/// The version that this code writes and reads.
pub const VERSION: u32 = 1;
/// Bytes of the payload of a mark.
pub(crate) const MARK_PAYLOAD_BYTES: usize = 8;
/// Bytes of a whole mark frame.
pub(crate) const MARK_BYTES: usize = FRAME_HEADER_BYTES + MARK_PAYLOAD_BYTES;

const HEADER_CRC_AT: usize = 60;
const SUFFIX: &str = ".wal";
const ENCRYPTED_FLAG: u8 = 0x80;
const FIRST_OWN_KIND: u8 = 0x70;

/// What a record is to its owner: 0x01 to 0x6f. The log only stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

impl Kind {
    pub(crate) const MARK: Self = Self(0x7f);

    /// The kind of this number, if an owner may use it. In a `const` the `unwrap` is checked by the compiler.
    #[must_use]
    pub const fn new(kind: u8) -> Option<Self> {
        if kind == 0 || kind >= FIRST_OWN_KIND { None } else { Some(Self(kind)) }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The kind of a frame on disk, and whether its payload is encrypted: the owner's, or one of the log's own, which is never
    /// encrypted.
    pub(crate) const fn stored(byte: u8) -> Option<(Self, bool)> {
        let (kind, is_encrypted) = (Self(byte & !ENCRYPTED_FLAG), byte & ENCRYPTED_FLAG != 0);
        if kind.0 == 0 || (kind.is_own() && is_encrypted) { None } else { Some((kind, is_encrypted)) }
    }

    /// The byte of it in a frame.
    pub(crate) const fn byte(self, is_encrypted: bool) -> u8 {
        if is_encrypted && !self.is_own() { self.0 | ENCRYPTED_FLAG } else { self.0 }
    }

    /// Whether readers are not shown records of this kind.
    pub(crate) const fn is_own(self) -> bool {
        self.0 >= FIRST_OWN_KIND
    }
}

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Random identity of the log that the segment belongs to.
    pub log_id: u64,
    /// Position of the segment's first frame.
    pub base: Position,
    /// When it was created, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// Why bytes are no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// Shorter than a header.
    Short,
    /// Not the magic bytes.
    Magic,
    /// The checksum does not match.
    Checksum,
    /// A good header of a format that this code does not know.
    Version(u32),
}

impl Header {
    /// The bytes of this header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_unix_ms.to_le_bytes());
        let crc = crc32c(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header from the first bytes of a segment.
    ///
    /// # Errors
    /// [`BadHeader`] says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(BadHeader::Short) };
        if bytes[0..8] != MAGIC {
            return Err(BadHeader::Magic);
        }
        if crc32c(&bytes[..HEADER_CRC_AT]) != u32_at(bytes, HEADER_CRC_AT) {
            return Err(BadHeader::Checksum);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Self {
                log_id: u64_at(bytes, 16),
                base: Position(u64_at(bytes, 24)),
                created_unix_ms: u64_at(bytes, 32),
            }),
            version => Err(BadHeader::Version(version)),
        }
    }
}

/// Name of the segment file with this base.
#[must_use]
pub fn segment_name(base: Position) -> String {
    format!("{:020}{SUFFIX}", base.0)
}

/// The base in a segment file's name; none for other files.
#[must_use]
pub fn parse_segment_name(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Position)
}

/// The bytes of a frame before its payload, with its check not yet known.
pub(crate) fn frame_header(kind: u8) -> [u8; FRAME_HEADER_BYTES] {
    [0, 0, 0, 0, 0, 0, 0, 0, kind]
}

/// Fills in length and check of the frame that begins at `at` and ends with `bytes`.
pub(crate) fn seal_frame(bytes: &mut [u8], log_id: u64, position: u64) {
    let length = end_frame(bytes);
    let check = frame_check(&bytes[8..], log_id, position, length);
    bytes[4..8].copy_from_slice(&check.to_le_bytes());
}

/// Fills in the length of the frame that ends with `bytes`.
pub(crate) fn end_frame(bytes: &mut [u8]) -> u32 {
    let length = (bytes.len() - FRAME_HEADER_BYTES) as u32;
    bytes[0..4].copy_from_slice(&length.to_le_bytes());
    length
}

/// The check of a frame from its kind and payload, which lie together.
#[inline]
pub(crate) fn frame_check(kind_and_payload: &[u8], log_id: u64, position: u64, length: u32) -> u32 {
    crc32c(kind_and_payload) ^ bind(log_id, position, length)
}

/// A 32-bit value that differs (but for one chance in 2^32) whenever log, position or length differ.
#[inline]
fn bind(log_id: u64, position: u64, length: u32) -> u32 {
    let mut x = log_id ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(length) << 32);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (x >> 32) as u32
}

/// CRC-32C (Castagnoli), by the fastest means the processor has.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The little-endian u32 at `at`; the caller knows that it is there.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

/// The little-endian u64 at `at`; the caller knows that it is there.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn kinds_of_the_log_and_zero_are_not_for_owners() {
        assert!(Kind::new(0).is_none() && Kind::new(0x70).is_none() && Kind::new(0x81).is_none());
        assert_eq!(Kind::new(0x6f).map(Kind::get), Some(0x6f));
    }

    #[test]
    fn only_records_of_the_owner_are_encrypted() {
        assert_eq!(Kind::stored(0xaa), Some((Kind(0x2a), true)));
        assert_eq!(Kind::stored(0x7f), Some((Kind::MARK, false)));
        assert_eq!((Kind::MARK.byte(true), Kind(1).byte(true), Kind(1).byte(false)), (0x7f, 0x81, 0x01));
        for byte in [0x00, 0x80, 0xf0, 0xff] {
            assert_eq!(Kind::stored(byte), None, "{byte:#x}");
        }
    }

    #[test]
    fn names_sort_like_positions_and_parse_back() {
        let (low, high) = (Position(99), Position(u64::MAX));
        assert!(segment_name(low) < segment_name(high));
        assert_eq!(parse_segment_name(&segment_name(high)), Some(high));
        for bad in ["1.wal", "0000000000000000000x.wal", "99999999999999999999.wal", "LOCK", "+0000000000000000001.wal"]
        {
            assert_eq!(parse_segment_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_header_survives_only_whole() {
        let header = Header { log_id: 1, base: Position(2), created_unix_ms: 3 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for at in 0..bytes.len() {
            let mut bad = bytes;
            bad[at] ^= 0x10;
            assert!(Header::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_check_depends_on_log_position_and_length() {
        let check = frame_check(b"\x01abc", 7, 100, 3);
        assert_ne!(check, frame_check(b"\x01abc", 8, 100, 3));
        assert_ne!(check, frame_check(b"\x01abc", 7, 101, 3));
        assert_ne!(check, frame_check(b"\x01abc", 7, 100, 4));
    }
}
