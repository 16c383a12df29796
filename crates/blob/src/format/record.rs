//! One record: a value or a tombstone, with its key. The picture is in the parent module.

use super::{crc32c, get};
use crate::buf::Room;
use crate::limits::{BLOCK_BYTES, LARGE_RECORD_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, PIECE_BYTES, RECORD_ALIGN};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// First four bytes of a record.
pub const MAGIC: u32 = 0xA7B1_0B1D;
/// Bytes before the key.
pub const FIXED_BYTES: usize = 40;

/// Where the record names its segment.
const SEGMENT_AT: usize = 36;

const FLAG_TOMBSTONE: u8 = 1;
const FLAG_DIGEST: u8 = 2;

/// Where a record lives; part of its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Random id of the store.
    pub store: u64,
    /// Segment id.
    pub segment: u32,
    /// Offset of the record in the segment, in bytes.
    pub offset: u64,
}

impl Place {
    #[expect(clippy::cast_possible_truncation, reason = "32 of the 64 mixed bits are enough")]
    fn mix(self) -> u32 {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.segment.to_le_bytes());
        bytes[4..].copy_from_slice(&self.offset.to_le_bytes());
        xxh3_64_with_seed(&bytes, self.store) as u32
    }
}

/// The fixed part of a record, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Position in the order of all writes of the store.
    pub seq: u64,
    /// Unix milliseconds after which the value is gone; 0 for never.
    pub expires_ms: u64,
    /// Bytes of the value.
    pub value_len: u32,
    /// Bytes of the key.
    pub key_len: u16,
    /// Whether this record says that the key is deleted.
    pub tombstone: bool,
    /// The caller's CRC32C of the value, kept as data.
    pub digest: Option<u32>,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Fewer bytes than the record says it has.
    Short,
    /// No magic, impossible lengths, or a header checksum that does not match.
    Header,
    /// The header is right and a piece of the value is not.
    Value,
}

/// How many pieces a value has.
pub const fn pieces(value_len: usize) -> usize {
    value_len.div_ceil(PIECE_BYTES)
}

/// Bytes of a record without the padding.
pub const fn record_len(key_len: usize, value_len: usize) -> usize {
    FIXED_BYTES + key_len + pieces(value_len) * 4 + value_len
}

/// Whether a record of `len` bytes lies on whole blocks.
pub const fn is_large(len: u64) -> bool {
    len >= LARGE_RECORD_BYTES
}

const fn alignment(len: u64) -> u64 {
    if is_large(len) { BLOCK_BYTES as u64 } else { RECORD_ALIGN }
}

/// Where a record of `len` bytes begins if what is before it ends at `end`.
pub const fn begin(end: u64, len: u64) -> u64 {
    end.next_multiple_of(alignment(len))
}

/// Bytes of a record of `len` bytes with its padding.
pub const fn padded(len: u64) -> u64 {
    len.next_multiple_of(alignment(len))
}

/// The same for lengths in memory.
pub const fn padded_usize(len: usize) -> usize {
    padded(len as u64) as usize
}

/// Length of the value in a record of `total` bytes whose key has `key_len`; `None` if there is no such record.
pub fn value_len(total: usize, key_len: usize) -> Option<usize> {
    let rest = total.checked_sub(FIXED_BYTES + key_len)?;
    let value = rest.checked_sub(rest.div_ceil(PIECE_BYTES + 4) * 4)?;
    (record_len(key_len, value) == total).then_some(value)
}

impl Header {
    /// Where the key is, within the record.
    pub fn key_range(&self) -> Range<usize> {
        FIXED_BYTES..FIXED_BYTES + usize::from(self.key_len)
    }

    /// Where the pieces' checksums are.
    pub fn table_range(&self) -> Range<usize> {
        let start = FIXED_BYTES + usize::from(self.key_len);
        start..start + pieces(self.value_len as usize) * 4
    }

    /// Where the value is.
    pub fn value_range(&self) -> Range<usize> {
        let start = self.table_range().end;
        start..start + self.value_len as usize
    }

    /// Bytes of the whole record without padding.
    pub fn record_len(&self) -> usize {
        record_len(usize::from(self.key_len), self.value_len as usize)
    }

    /// Whether the value is gone at `now_ms`.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms != 0 && now_ms >= self.expires_ms
    }

    fn write(&self, out: &mut [u8]) {
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..16].copy_from_slice(&self.seq.to_le_bytes());
        out[16..24].copy_from_slice(&self.expires_ms.to_le_bytes());
        out[24..28].copy_from_slice(&self.value_len.to_le_bytes());
        out[28..30].copy_from_slice(&self.key_len.to_le_bytes());
        out[30] = u8::from(self.tombstone) * FLAG_TOMBSTONE + u8::from(self.digest.is_some()) * FLAG_DIGEST;
        out[31] = 0;
        out[32..36].copy_from_slice(&self.digest.unwrap_or(0).to_le_bytes());
        out[SEGMENT_AT..FIXED_BYTES].fill(0);
    }

    /// Decodes bytes of which the checksum is known to be right, or checked next.
    pub fn read(bytes: &[u8]) -> Result<Self, Bad> {
        if bytes.len() < FIXED_BYTES {
            return Err(Bad::Short);
        }
        let flags = bytes[30];
        let header = Self {
            seq: get!(u64, bytes, 8),
            expires_ms: get!(u64, bytes, 16),
            value_len: get!(u32, bytes, 24),
            key_len: get!(u16, bytes, 28),
            tombstone: flags & FLAG_TOMBSTONE != 0,
            digest: (flags & FLAG_DIGEST != 0).then(|| get!(u32, bytes, 32)),
        };
        let sane = get!(u32, bytes, 0) == MAGIC
            && flags & !(FLAG_TOMBSTONE | FLAG_DIGEST) == 0
            && header.value_len as usize <= MAX_VALUE_BYTES
            && header.key_len > 0
            && !(header.tombstone && header.value_len > 0);
        sane.then_some(header).ok_or(Bad::Header)
    }
}

/// Decodes and verifies the part of a record before the value, without looking at the value.
pub fn decode_head(bytes: &[u8], place: Place) -> Result<Header, Bad> {
    let header = Header::read(bytes)?;
    let head = bytes.get(..header.table_range().end).ok_or(Bad::Short)?;
    let stored = get!(u32, head, 4);
    let here = get!(u32, head, SEGMENT_AT) == place.segment;
    if here && stored == crc32c(&head[8..]) ^ place.mix() { Ok(header) } else { Err(Bad::Header) }
}

/// Bytes that [`decode_head`] needs, from the fixed part alone; the lengths are not verified yet.
pub fn head_len(fixed: &[u8]) -> Result<usize, Bad> {
    Ok(Header::read(fixed)?.table_range().end)
}

/// Verifies the pieces of the value that `covered` touches. `value` holds the bytes from the start of piece
/// `first` on, up to the end of the last touched piece.
pub fn verify_pieces(table: &[u8], first: usize, value: &[u8]) -> Result<(), Bad> {
    for (i, piece) in value.chunks(PIECE_BYTES).enumerate() {
        let at = (first + i) * 4;
        let stored = table.get(at..at + 4).ok_or(Bad::Short)?;
        if get!(u32, stored, 0) != crc32c(piece) {
            return Err(Bad::Value);
        }
    }
    Ok(())
}

/// Decodes a whole record and verifies every byte of it.
pub fn decode(bytes: &[u8], place: Place) -> Result<Header, Bad> {
    let header = decode_head(bytes, place)?;
    let value = bytes.get(header.value_range()).ok_or(Bad::Short)?;
    verify_pieces(&bytes[header.table_range()], 0, value)?;
    Ok(header)
}

/// A padded record with everything in place but sequence number and checksum; `fill` writes the value.
pub fn build(key: &[u8], expires_ms: u64, digest: Option<u32>, value: &[u8]) -> Room {
    let mut out = blank(key, expires_ms, digest, value.len());
    let table = FIXED_BYTES + key.len();
    // Piece by piece, so that the copy finds what the checksum has brought into the processor's cache.
    for (i, piece) in value.chunks(PIECE_BYTES).enumerate() {
        out[table + i * 4..][..4].copy_from_slice(&crc32c(piece).to_le_bytes());
        out.extend(piece);
    }
    out.grow_to(padded_usize(out.len()));
    out
}

/// A record without its value: the caller appends exactly `value_len` bytes and calls [`finish`].
pub fn blank(key: &[u8], expires_ms: u64, digest: Option<u32>, value_len: usize) -> Room {
    debug_assert!(!key.is_empty() && key.len() <= MAX_KEY_BYTES && value_len <= MAX_VALUE_BYTES);
    let header = make_header(key, expires_ms, digest, value_len);
    let mut out = Room::new(header.record_len());
    out.grow_to(FIXED_BYTES);
    header.write(&mut out);
    out.extend(key);
    out.grow_to(header.table_range().end);
    out
}

/// Sets the caller's digest of a record under construction.
pub fn set_digest(bytes: &mut [u8], digest: u32) {
    bytes[30] |= FLAG_DIGEST;
    bytes[32..36].copy_from_slice(&digest.to_le_bytes());
}

/// A tombstone for `key`.
pub fn tombstone(key: &[u8]) -> Room {
    let header = Header { tombstone: true, ..make_header(key, 0, None, 0) };
    let mut out = Room::new(header.record_len());
    out.grow_to(padded_usize(header.record_len()));
    header.write(&mut out);
    out[header.key_range()].copy_from_slice(key);
    out
}

#[expect(clippy::cast_possible_truncation, reason = "callers have checked both lengths against the limits")]
fn make_header(key: &[u8], expires_ms: u64, digest: Option<u32>, value_len: usize) -> Header {
    let (value_len, key_len) = (value_len as u32, key.len() as u16);
    Header { seq: 0, expires_ms, value_len, key_len, tombstone: false, digest }
}

/// Computes the pieces' checksums once the value is there, and pads.
pub fn finish(bytes: &mut Room) {
    let header = Header::read(bytes).expect("built by this module");
    debug_assert_eq!(bytes.len(), header.record_len());
    let (head, value) = bytes.split_at_mut(header.value_range().start);
    for (piece, slot) in value.chunks(PIECE_BYTES).zip(head[header.table_range()].chunks_exact_mut(4)) {
        slot.copy_from_slice(&crc32c(piece).to_le_bytes());
    }
    bytes.grow_to(padded_usize(header.record_len()));
}

/// Writes the sequence number and the checksum that ties the record to its place.
pub fn stamp(bytes: &mut [u8], seq: u64, place: Place) {
    bytes[8..16].copy_from_slice(&seq.to_le_bytes());
    restamp(bytes, place);
}

/// Ties a record that keeps its sequence number to another place.
pub fn restamp(bytes: &mut [u8], place: Place) {
    bytes[SEGMENT_AT..FIXED_BYTES].copy_from_slice(&place.segment.to_le_bytes());
    let end = head_len(bytes).expect("built or verified before");
    let crc = crc32c(&bytes[8..end]) ^ place.mix();
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLACE: Place = Place { store: 7, segment: 3, offset: 64 };

    fn stamped(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = build(key, 5, Some(9), value);
        stamp(&mut bytes, 11, PLACE);
        bytes.to_vec()
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_written(
            key in prop::collection::vec(any::<u8>(), 1..300),
            len in prop_oneof![0usize..200, 65_530usize..65_545, 131_060usize..131_080],
        ) {
            let value: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let bytes = stamped(&key, &value);
            let header = decode(&bytes, PLACE).unwrap();
            prop_assert_eq!((header.seq, header.expires_ms, header.digest), (11, 5, Some(9)));
            prop_assert_eq!(&bytes[header.key_range()], &key[..]);
            prop_assert_eq!(&bytes[header.value_range()], &value[..]);
            prop_assert_eq!(value_len(header.record_len(), key.len()), Some(len));
        }

        #[test]
        fn any_flipped_bit_is_found(bit in 0usize..8 * 248, len in 0usize..200) {
            let bytes = stamped(b"key", &vec![7; len]);
            let unpadded = decode(&bytes, PLACE).unwrap().record_len();
            let mut bad = bytes;
            let bit = bit % (unpadded * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&bad, PLACE).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic: bool) {
            let mut bytes = bytes;
            if magic && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
            }
            prop_assert!(decode(&bytes, PLACE).is_err());
        }
    }

    #[test]
    fn a_record_is_not_valid_anywhere_else() {
        let bytes = stamped(b"key", b"value");
        for place in [Place { store: 8, ..PLACE }, Place { segment: 4, ..PLACE }, Place { offset: 72, ..PLACE }] {
            assert_eq!(decode(&bytes, place), Err(Bad::Header));
        }
    }

    #[test]
    fn a_record_of_another_segment_is_refused_even_if_the_checksums_happen_to_match() {
        let mut bytes = stamped(b"key", b"value");
        let other = Place { segment: 4, ..PLACE };
        let crc = get!(u32, bytes, 4) ^ PLACE.mix() ^ other.mix();
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes, other), Err(Bad::Header));
    }

    #[test]
    fn the_bytes_of_a_record_are_fixed() {
        let mut bytes = build(b"k", 0x0102, Some(0xAABB_CCDD), b"val");
        stamp(&mut bytes, 0x0A0B, PLACE);
        let crc = crc32c(b"val").to_le_bytes();
        let mut expected = vec![0x1D, 0x0B, 0xB1, 0xA7];
        expected.extend_from_slice(&bytes[4..8]);
        expected.extend_from_slice(&[0x0B, 0x0A, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 2, 0]);
        expected.extend_from_slice(&[0xDD, 0xCC, 0xBB, 0xAA, 3, 0, 0, 0, b'k']);
        expected.extend_from_slice(&crc);
        expected.extend_from_slice(b"val");
        assert_eq!(&bytes[..], expected);
    }
}
