//! The footer of a sealed segment: all that opening and iterating need, so that neither reads the values.
//!
//! ```text
//! entries     count x { hash 16, offset/8 4, len 4 (top bit: tombstone) }       read at open, in write order
//! key pages   sorted by key, then offset: { expires 8, offset/8 4, len 4, key len 2, key } ...
//! directory   pages x { start 4, len 4, crc 4 }                                 start counts from the first page
//! tail        64 bytes at the very end: what is where, and the checksums
//! ```

use super::{crc32c, get, record, segment::HEADER_BYTES};
use crate::hash::KeyHash;
use crate::index::Loc;
use crate::limits::{KEY_PAGE_BYTES, RECORD_ALIGN};
use std::ops::Range;

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 24;
/// Bytes of the tail.
pub const TAIL_BYTES: usize = 64;
const KEY_FIXED_BYTES: usize = 18;
const PAGE_BYTES: usize = 12;
const MAGIC: u64 = u64::from_le_bytes(*b"ANBLOBFT");
const TOMBSTONE_BIT: u32 = 1 << 31;

/// One record as the footer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Hash of the key.
    pub hash: KeyHash,
    /// Offset in the segment, in bytes.
    pub offset: u64,
    /// Bytes of the record without padding.
    pub len: u32,
    /// Unix milliseconds; 0 for never.
    pub expires_ms: u64,
    /// Whether it is a tombstone.
    pub tombstone: bool,
    key_at: u32,
    key_len: u16,
}

impl Item {
    /// Where it is, in segment `segment`.
    pub fn loc(&self, segment: u32) -> Loc {
        Loc::new(segment, self.offset, self.len)
    }
}

/// The records of one segment, in write order, with their keys.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    items: Vec<Item>,
    keys: Vec<u8>,
    max_seq: u64,
}

impl Contents {
    /// RAM that one more record with a key of `key_len` bytes may cost, growth of the vectors included.
    pub const fn ram_cost(key_len: usize) -> u64 {
        2 * (size_of::<Item>() + key_len) as u64
    }

    /// Adds a record as a key page lists it.
    pub fn push_page_key(&mut self, hash: KeyHash, key: &PageKey<'_>) {
        let (key_at, key_len) = (count(self.keys.len()), u16::try_from(key.key.len()).expect("pages hold 16 bits"));
        self.keys.extend_from_slice(key.key);
        let PageKey { expires_ms, offset, len, tombstone, .. } = *key;
        self.items.push(Item { hash, offset, len, expires_ms, tombstone, key_at, key_len });
    }

    /// Puts the records back into write order.
    pub fn sort_by_offset(&mut self) {
        self.items.sort_unstable_by_key(|item| item.offset);
    }

    /// Adds the next record.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "keys have at most 65,535 bytes, segments at most 4 GiB of them"
    )]
    pub fn push(&mut self, hash: KeyHash, key: &[u8], offset: u64, header: &record::Header) {
        let (key_at, key_len) = (self.keys.len() as u32, key.len() as u16);
        self.keys.extend_from_slice(key);
        let (len, expires_ms) = (header.record_len() as u32, header.expires_ms);
        self.items.push(Item { hash, offset, len, expires_ms, tombstone: header.tombstone, key_at, key_len });
        self.max_seq = self.max_seq.max(header.seq);
    }

    /// RAM that the list takes, growth of the vectors included.
    pub fn ram_bytes(&self) -> u64 {
        2 * (self.items.len() * size_of::<Item>() + self.keys.len()) as u64
    }

    /// The records in write order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The key of one of them.
    pub fn key(&self, item: &Item) -> &[u8] {
        &self.keys[item.key_at as usize..][..usize::from(item.key_len)]
    }

    /// Highest sequence number among them.
    pub fn max_seq(&self) -> u64 {
        self.max_seq
    }

    /// Bytes of the footer for these records.
    pub fn footer_len(&self) -> u64 {
        footer_len(self.items.len(), self.keys.len())
    }

    /// Bytes of the footer once a record with a key of `key_len` bytes is added.
    pub fn footer_len_with(&self, key_len: usize) -> u64 {
        footer_len(self.items.len() + 1, self.keys.len() + key_len)
    }

    /// Positions of the items, sorted by key and then offset.
    pub fn sorted(&self) -> Vec<u32> {
        // Most keys differ in their first bytes, which are at hand here: the keys themselves are far apart in memory.
        let first_bytes = |item: &Item| {
            let (key, mut first) = (self.key(item), [0; 8]);
            let len = key.len().min(first.len());
            first[..len].copy_from_slice(&key[..len]);
            u64::from_be_bytes(first)
        };
        let mut order: Vec<(u64, u32)> = self.items.iter().map(first_bytes).zip(0..).collect();
        order.sort_unstable_by(|&(first_a, a), &(first_b, b)| {
            first_a.cmp(&first_b).then_with(|| {
                let (a, b) = (&self.items[a as usize], &self.items[b as usize]);
                self.key(a).cmp(self.key(b)).then(a.offset.cmp(&b.offset))
            })
        });
        order.into_iter().map(|(_, at)| at).collect()
    }

    /// The footer's bytes, for a segment whose records end at `start`.
    pub fn encode(&self, segment: u32, store: u64, start: u64) -> Vec<u8> {
        debug_assert!(start.is_multiple_of(RECORD_ALIGN) && start >= HEADER_BYTES);
        let mut out = Vec::with_capacity(usize::try_from(self.footer_len()).expect("bounded by the segment's size"));
        for item in &self.items {
            out.extend_from_slice(&item.hash.to_bytes());
            out.extend_from_slice(&packed_offset(item.offset).to_le_bytes());
            out.extend_from_slice(&packed_len(item).to_le_bytes());
        }
        let entries_crc = crc32c(&out);
        let (pages_start, directory) = (out.len(), self.encode_pages(&mut out));
        let pages_len = out.len() - pages_start;
        out.extend_from_slice(&directory);
        let tail = Tail {
            segment,
            store,
            start,
            count: count(self.items.len()),
            entries_crc,
            directory_crc: crc32c(&directory),
            pages_len: count(pages_len),
            pages: count(directory.len() / PAGE_BYTES),
            max_seq: self.max_seq,
        };
        out.extend_from_slice(&tail.encode());
        out
    }

    fn encode_pages(&self, out: &mut Vec<u8>) -> Vec<u8> {
        let (first, mut page, mut directory) = (out.len(), out.len(), Vec::new());
        let order = self.sorted();
        for (i, &at) in order.iter().enumerate() {
            let item = &self.items[at as usize];
            out.extend_from_slice(&item.expires_ms.to_le_bytes());
            out.extend_from_slice(&packed_offset(item.offset).to_le_bytes());
            out.extend_from_slice(&packed_len(item).to_le_bytes());
            out.extend_from_slice(&item.key_len.to_le_bytes());
            out.extend_from_slice(self.key(item));
            if out.len() - page >= KEY_PAGE_BYTES || i + 1 == order.len() {
                for word in [count(page - first), count(out.len() - page), crc32c(&out[page..])] {
                    directory.extend_from_slice(&word.to_le_bytes());
                }
                page = out.len();
            }
        }
        directory
    }
}

fn footer_len(items: usize, key_bytes: usize) -> u64 {
    let page_bytes = items * KEY_FIXED_BYTES + key_bytes;
    (items * ENTRY_BYTES + page_bytes + (page_bytes / KEY_PAGE_BYTES + 1) * PAGE_BYTES + TAIL_BYTES) as u64
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("a segment has at most 4 GiB")
}

fn packed_offset(offset: u64) -> u32 {
    u32::try_from(offset / RECORD_ALIGN).expect("a segment has at most 4 GiB")
}

fn packed_len(item: &Item) -> u32 {
    item.len | if item.tombstone { TOMBSTONE_BIT } else { 0 }
}

/// The last 64 bytes of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Segment id.
    pub segment: u32,
    /// Store id.
    pub store: u64,
    /// Where the footer begins, in bytes from the start of the file.
    pub start: u64,
    /// Number of records.
    pub count: u32,
    /// CRC32C of the entries.
    pub entries_crc: u32,
    /// CRC32C of the directory.
    pub directory_crc: u32,
    /// Bytes of all key pages.
    pub pages_len: u32,
    /// Number of key pages.
    pub pages: u32,
    /// Highest sequence number in the segment.
    pub max_seq: u64,
}

impl Tail {
    fn encode(&self) -> [u8; TAIL_BYTES] {
        let mut out = [0; TAIL_BYTES];
        out[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&self.segment.to_le_bytes());
        out[12..16].copy_from_slice(&self.count.to_le_bytes());
        out[16..24].copy_from_slice(&self.store.to_le_bytes());
        out[24..32].copy_from_slice(&self.start.to_le_bytes());
        out[32..36].copy_from_slice(&self.entries_crc.to_le_bytes());
        out[36..40].copy_from_slice(&self.directory_crc.to_le_bytes());
        out[40..44].copy_from_slice(&self.pages_len.to_le_bytes());
        out[44..48].copy_from_slice(&self.pages.to_le_bytes());
        out[48..56].copy_from_slice(&self.max_seq.to_le_bytes());
        let crc = crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The tail of a file of `file_len` bytes; `None` if the segment is not sealed (or the footer is damaged).
    pub fn decode(bytes: &[u8], segment: u32, store: u64, file_len: u64) -> Option<Self> {
        if bytes.len() != TAIL_BYTES || get!(u64, bytes, 0) != MAGIC || get!(u32, bytes, 60) != crc32c(&bytes[..60]) {
            return None;
        }
        let tail = Self {
            segment: get!(u32, bytes, 8),
            count: get!(u32, bytes, 12),
            store: get!(u64, bytes, 16),
            start: get!(u64, bytes, 24),
            entries_crc: get!(u32, bytes, 32),
            directory_crc: get!(u32, bytes, 36),
            pages_len: get!(u32, bytes, 40),
            pages: get!(u32, bytes, 44),
            max_seq: get!(u64, bytes, 48),
        };
        let here = tail.segment == segment && tail.store == store && tail.start >= HEADER_BYTES;
        (here && tail.directory().end.checked_add(TAIL_BYTES as u64) == Some(file_len)).then_some(tail)
    }

    /// Where the entries are in the file.
    pub fn entries(&self) -> Range<u64> {
        self.start..self.start.saturating_add(u64::from(self.count) * ENTRY_BYTES as u64)
    }

    /// Where the key pages are.
    pub fn key_pages(&self) -> Range<u64> {
        let start = self.entries().end;
        start..start.saturating_add(u64::from(self.pages_len))
    }

    /// Where the directory is.
    pub fn directory(&self) -> Range<u64> {
        let start = self.key_pages().end;
        start..start.saturating_add(u64::from(self.pages) * PAGE_BYTES as u64)
    }
}

/// An entry as opening needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Hash of the key.
    pub hash: KeyHash,
    /// Offset in bytes.
    pub offset: u64,
    /// Bytes of the record without padding.
    pub len: u32,
    /// Whether it is a tombstone.
    pub tombstone: bool,
}

/// Decodes entries whose checksum the caller has verified.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    bytes.chunks_exact(ENTRY_BYTES).map(|entry| {
        let hash = KeyHash::from_bytes(entry[..16].try_into().expect("16 of 24 bytes"));
        let len = get!(u32, entry, 20);
        Entry {
            hash,
            offset: u64::from(get!(u32, entry, 16)) * RECORD_ALIGN,
            len: len & !TOMBSTONE_BIT,
            tombstone: len & TOMBSTONE_BIT != 0,
        }
    })
}

/// One page as the directory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Start, in bytes from the first page.
    pub start: u32,
    /// Bytes.
    pub len: u32,
    /// CRC32C.
    pub crc: u32,
}

/// Decodes a directory whose checksum the caller has verified.
pub fn directory(bytes: &[u8]) -> Vec<Page> {
    let page = |page: &[u8]| Page { start: get!(u32, page, 0), len: get!(u32, page, 4), crc: get!(u32, page, 8) };
    bytes.chunks_exact(PAGE_BYTES).map(page).collect()
}

/// A key as a page holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageKey<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Unix milliseconds; 0 for never.
    pub expires_ms: u64,
    /// Offset of the record in bytes.
    pub offset: u64,
    /// Bytes of the record without padding.
    pub len: u32,
    /// Whether it is a tombstone.
    pub tombstone: bool,
}

/// The key at `at` in a verified page, and where the next one begins; `None` at the end.
pub fn page_key(page: &[u8], at: usize) -> Option<(PageKey<'_>, usize)> {
    let fixed = page.get(at..at + KEY_FIXED_BYTES)?;
    let start = at + KEY_FIXED_BYTES;
    let end = start + usize::from(get!(u16, fixed, 16));
    let len = get!(u32, fixed, 12);
    let key = PageKey {
        key: page.get(start..end)?,
        expires_ms: get!(u64, fixed, 0),
        offset: u64::from(get!(u32, fixed, 8)) * RECORD_ALIGN,
        len: len & !TOMBSTONE_BIT,
        tombstone: len & TOMBSTONE_BIT != 0,
    };
    Some((key, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(keys: &[Vec<u8>]) -> Contents {
        let mut contents = Contents::default();
        let mut offset = HEADER_BYTES;
        for (i, key) in keys.iter().enumerate() {
            let header = record::Header {
                seq: i as u64,
                expires_ms: i as u64 * 3,
                value_len: if i % 5 == 0 { 0 } else { 17 },
                key_len: key.len() as u16,
                tombstone: i % 5 == 0,
                digest: None,
            };
            contents.push(KeyHash { hi: i as u64, lo: 1 }, key, offset, &header);
            offset += record::padded(header.record_len() as u64);
        }
        contents
    }

    proptest! {
        #[test]
        fn a_footer_reads_back_within_its_announced_size(
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..600), 0..60),
        ) {
            let contents = contents(&keys);
            let bytes = contents.encode(5, 6, 4096);
            prop_assert!(bytes.len() as u64 <= contents.footer_len());
            let file_len = 4096 + bytes.len() as u64;
            let tail = Tail::decode(&bytes[bytes.len() - TAIL_BYTES..], 5, 6, file_len).unwrap();
            let part = |range: Range<u64>| &bytes[(range.start - 4096) as usize..(range.end - 4096) as usize];
            prop_assert_eq!(crc32c(part(tail.entries())), tail.entries_crc);
            let decoded: Vec<_> = entries(part(tail.entries())).collect();
            let expected: Vec<_> = contents.items().iter()
                .map(|i| Entry { hash: i.hash, offset: i.offset, len: i.len, tombstone: i.tombstone })
                .collect();
            prop_assert_eq!(decoded, expected);
            let mut found = Vec::new();
            for page in directory(part(tail.directory())) {
                let bytes = &part(tail.key_pages())[page.start as usize..][..page.len as usize];
                prop_assert_eq!(crc32c(bytes), page.crc);
                let mut at = 0;
                while let Some((key, next)) = page_key(bytes, at) {
                    found.push(key.key.to_vec());
                    at = next;
                }
            }
            let mut sorted = keys.clone();
            sorted.sort();
            prop_assert_eq!(found, sorted);
        }

        #[test]
        fn a_damaged_tail_is_refused(bit in 0usize..TAIL_BYTES * 8) {
            let bytes = contents(&[b"a".to_vec(), b"b".to_vec()]).encode(5, 6, 4096);
            let mut tail = bytes[bytes.len() - TAIL_BYTES..].to_vec();
            tail[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Tail::decode(&tail, 5, 6, 4096 + bytes.len() as u64).is_none());
        }
    }
}
