//! One chunk after the other: compressed and sealed, or opened and decompressed, in buffers that do not grow.

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::compress_bound;

use super::{Damage, Error, Result};
use crate::limits::{MOST_CHUNK_BYTES, MOST_CHUNKS};

/// Bytes of the head of a frame.
pub(super) const HEAD: usize = 4;
/// Bytes of the tag behind its body.
pub(super) const TAG: usize = 16;

const LAST: u32 = 1 << 31;
const COMPRESSED: u32 = 1 << 30;
const LENGTH: u32 = (1 << 21) - 1;

const _: () = assert!(MOST_CHUNK_BYTES < LENGTH as usize);

/// What the head of a frame says.
#[derive(Clone, Copy)]
pub(super) struct Head {
    raw: [u8; HEAD],
    pub(super) last: bool,
    compressed: bool,
    /// Bytes of the body, without the tag.
    pub(super) length: usize,
}

impl Head {
    fn new(last: bool, compressed: bool, length: usize) -> Self {
        let word = if last { LAST } else { 0 } | if compressed { COMPRESSED } else { 0 } | length as u32;
        Self { raw: word.to_be_bytes(), last, compressed, length }
    }

    /// Reads one; it is not authenticated yet, but bounded.
    pub(super) fn parse(raw: [u8; HEAD], chunk_bytes: usize, chunk: u64) -> Result<Self> {
        let word = u32::from_be_bytes(raw);
        let head =
            Self { raw, last: word & LAST != 0, compressed: word & COMPRESSED != 0, length: (word & LENGTH) as usize };
        // What does not become smaller is not kept compressed, so no body is larger than what it holds.
        if word & !(LAST | COMPRESSED | LENGTH) != 0 || head.length > chunk_bytes {
            return Err(Error::Damaged { chunk, damage: Damage::Head });
        }
        Ok(head)
    }
}

/// A number that is used once under one key: STREAM's.
fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[0] = u8::from(last);
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Seals the chunks of one object, in order.
pub(super) struct ChunkSealer {
    key: LessSafeKey,
    number: u64,
    compressor: Compressor<'static>,
    packed: Vec<u8>,
}

impl ChunkSealer {
    pub(super) fn new(key: LessSafeKey, chunk_bytes: usize, level: i32) -> Result<Self> {
        let compressor = Compressor::new(level)?;
        Ok(Self { key, number: 0, compressor, packed: Vec::with_capacity(compress_bound(chunk_bytes)) })
    }

    /// Chunks so far.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Replaces `frame` by the frame of the next chunk.
    pub(super) fn seal(&mut self, plain: &[u8], last: bool, frame: &mut Vec<u8>) -> Result<()> {
        if self.number >= MOST_CHUNKS {
            return Err(Error::TooLong(MOST_CHUNKS));
        }
        self.packed.clear();
        self.compressor.compress_to_buffer(plain, &mut self.packed)?;
        let compressed = self.packed.len() < plain.len();
        let body = if compressed { &self.packed } else { plain };
        let head = Head::new(last, compressed, body.len());
        frame.clear();
        frame.extend_from_slice(&head.raw);
        frame.extend_from_slice(body);
        let nonce = nonce(self.number, last);
        // Counted before it is used: whatever happens, this nonce is gone.
        self.number += 1;
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(head.raw), &mut frame[HEAD..]);
        let tag = tag.map_err(|_| Error::Library("to seal a chunk"))?;
        frame.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Opens the chunks of one object, in order.
pub(super) struct ChunkOpener {
    key: LessSafeKey,
    number: u64,
    chunk_bytes: usize,
    decompressor: Decompressor<'static>,
}

impl ChunkOpener {
    pub(super) fn new(key: LessSafeKey, chunk_bytes: usize) -> Result<Self> {
        Ok(Self { key, number: 0, chunk_bytes, decompressor: Decompressor::new()? })
    }

    /// The number of the chunk that comes next.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Reads the head of the next frame.
    pub(super) fn head(&self, raw: [u8; HEAD]) -> Result<Head> {
        if self.number >= MOST_CHUNKS {
            return Err(Error::TooLong(MOST_CHUNKS));
        }
        Head::parse(raw, self.chunk_bytes, self.number)
    }

    /// Opens the body of the next frame with its tag, and replaces `plain` by what it holds.
    pub(super) fn open(&mut self, head: Head, body: &mut [u8], plain: &mut Vec<u8>) -> Result<()> {
        let chunk = self.number;
        let damaged = |damage| Error::Damaged { chunk, damage };
        plain.clear();
        let nonce = nonce(chunk, head.last);
        let opened = self.key.open_in_place(nonce, Aad::from(head.raw), body);
        let opened = opened.map_err(|_| damaged(Damage::Seal))?;
        if head.compressed {
            plain.reserve(self.chunk_bytes);
            // It writes into what is reserved and no further; more is an error of the library.
            let done = self.decompressor.decompress_to_buffer(opened, plain);
            if done.is_err() {
                plain.clear();
                return Err(damaged(Damage::Size));
            }
        } else {
            plain.extend_from_slice(opened);
        }
        // The capacity may be more than was asked for.
        let whole = plain.len() == self.chunk_bytes;
        if whole == head.last || plain.len() > self.chunk_bytes {
            plain.clear();
            return Err(damaged(Damage::Size));
        }
        self.number += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_256_GCM, UnboundKey};

    use super::*;

    const BYTES: usize = 1 << 16;

    fn key() -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap())
    }

    /// What somebody with the key, but without our manners, can send.
    fn frame(body: &[u8], last: bool, compressed: bool) -> (Head, Vec<u8>) {
        let head = Head::new(last, compressed, body.len());
        let mut sealed = body.to_vec();
        key().seal_in_place_append_tag(nonce(0, last), Aad::from(head.raw), &mut sealed).unwrap();
        (head, sealed)
    }

    fn open(head: Head, mut sealed: Vec<u8>) -> (Result<()>, Vec<u8>) {
        let mut plain = Vec::new();
        let done = ChunkOpener::new(key(), BYTES).unwrap().open(head, &mut sealed, &mut plain);
        (done, plain)
    }

    #[test]
    fn a_bomb_is_refused_before_it_has_grown() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        assert!(bomb.len() < BYTES);
        for last in [false, true] {
            let (head, sealed) = frame(&bomb, last, true);
            let (done, plain) = open(head, sealed);
            assert!(matches!(done, Err(Error::Damaged { chunk: 0, damage: Damage::Size })), "{done:?}");
            assert!(plain.is_empty() && plain.capacity() < 2 * BYTES, "{}", plain.capacity());
        }
    }

    #[test]
    fn only_the_last_chunk_is_short_and_it_always_is() {
        for (bytes, last, good) in [(BYTES, false, true), (BYTES, true, false), (9, false, false), (9, true, true)] {
            let (head, sealed) = frame(&vec![b'x'; bytes], last, false);
            let (done, plain) = open(head, sealed);
            assert_eq!(done.is_ok(), good, "{bytes} {last}: {done:?}");
            assert_eq!(plain.len(), if good { bytes } else { 0 });
        }
    }

    #[test]
    fn what_is_sealed_but_is_no_zstd_is_damage() {
        let (head, sealed) = frame(b"no frame of zstd", true, true);
        assert!(matches!(open(head, sealed).0, Err(Error::Damaged { damage: Damage::Size, .. })));
    }

    #[test]
    fn a_head_has_no_other_bits_and_no_body_beyond_a_chunk() {
        for word in [1_u32 << 21, 1 << 29, BYTES as u32 + 1, LENGTH] {
            assert!(Head::parse(word.to_be_bytes(), BYTES, 3).is_err(), "{word:#x}");
        }
        assert!(Head::parse((LAST | COMPRESSED | BYTES as u32).to_be_bytes(), BYTES, 3).is_ok());
    }

    #[test]
    fn no_key_seals_more_chunks_than_it_may() {
        let mut sealer = ChunkSealer::new(key(), BYTES, 1).unwrap();
        sealer.number = MOST_CHUNKS;
        assert!(matches!(sealer.seal(b"", true, &mut Vec::new()), Err(Error::TooLong(_))));
    }
}
