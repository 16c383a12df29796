//! Frames: what a connection carries once TLS is up.
//!
//! ```text
//! ┌──────────────┬──────┬─────────────────┐
//! │ length   u32 │ kind │ payload         │   little-endian; the length is the payload's
//! └──────────────┴──────┴─────────────────┘
//! ```
//! No checksum: each record of TLS has one that nobody can forge.
//!
//! *Invariant:* memory follows the bytes that have arrived, never a length that was only announced.

use crate::limits::{CONTROL_BYTES, DECODED_BYTES, READ_BYTES};

/// Length and kind.
pub(crate) const HEADER: usize = 5;

/// What a frame is. The numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Who talks: [`crate::hello::Hello`]. The first frame of each side.
    Hello = 1,
    /// The connection is the one of this pair of nodes. The lower id says it.
    Welcome = 2,
    /// Bytes of whoever uses the mesh.
    Data = 3,
    /// 8 bytes that come back.
    Ping = 4,
    /// The bytes of a ping.
    Pong = 5,
    /// The connection ends; one byte says why.
    Bye = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Hello, Self::Welcome, Self::Data, Self::Ping, Self::Pong, Self::Bye]
            .into_iter()
            .find(|k| *k as u8 == byte)
    }
}

/// What is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {bytes} bytes, where {limit} are allowed")]
    TooLarge { bytes: usize, limit: usize },
    #[error("a frame of unknown kind {0}")]
    Unknown(u8),
}

/// Appends a frame.
pub(crate) fn put(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("limits of frames are below 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.push(kind as u8);
    out.extend_from_slice(payload);
}

/// How long the frame is that begins here, header included. `bytes` must be what [`put`] made.
pub(crate) fn len(bytes: &[u8]) -> usize {
    HEADER + u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}

/// Makes frames of bytes as they come.
#[derive(Debug)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    at: usize,
    /// Largest payload of a [`Kind::Data`].
    limit: usize,
}

impl Decoder {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, limit }
    }

    /// Takes what has come.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
            // A large frame is gone: so is its memory.
            self.bytes.shrink_to(DECODED_BYTES);
        } else if self.at >= READ_BYTES {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, if all of it is there. After an error nothing more can be read.
    pub(crate) fn next(&mut self) -> Result<Option<(Kind, &[u8])>, FrameError> {
        let rest = &self.bytes[self.at..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let kind = Kind::of(header[4]).ok_or(FrameError::Unknown(header[4]))?;
        let bytes = len(header) - HEADER;
        let limit = if kind == Kind::Data { self.limit } else { CONTROL_BYTES };
        if bytes > limit {
            return Err(FrameError::TooLarge { bytes, limit });
        }
        let Some(payload) = rest.get(..bytes) else { return Ok(None) };
        self.at += HEADER + bytes;
        Ok(Some((kind, payload)))
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<(Kind, Vec<u8>)>, FrameError> {
        let mut found = Vec::new();
        while let Some((kind, payload)) = decoder.next()? {
            found.push((kind, payload.to_vec()));
        }
        Ok(found)
    }

    #[test]
    fn the_bytes_are_these() {
        let mut out = Vec::new();
        put(&mut out, Kind::Data, b"abc");
        put(&mut out, Kind::Bye, &[7]);
        assert_eq!(out, b"\x03\0\0\0\x03abc\x01\0\0\0\x06\x07");
        assert_eq!(len(&out), 8);
    }

    #[test]
    fn what_is_too_large_or_unknown_is_refused_by_its_header() {
        let next = |bytes: &[u8]| {
            let mut decoder = Decoder::new(10_000);
            decoder.extend(bytes);
            decoder.next().map(|f| f.map(|(k, _)| k))
        };
        assert_eq!(next(b"\x10\x27\0\0\x03"), Ok(None));
        assert_eq!(next(b"\x11\x27\0\0\x03"), Err(FrameError::TooLarge { bytes: 10_001, limit: 10_000 }));
        assert_eq!(next(b"\x01\x04\0\0\x04"), Err(FrameError::TooLarge { bytes: 1025, limit: 1024 }));
        assert_eq!(
            next(b"\xff\xff\xff\xff\x03"),
            Err(FrameError::TooLarge { bytes: u32::MAX as usize, limit: 10_000 })
        );
        assert_eq!(
            [next(b"\0\0\0\0\x07"), next(b"\0\0\0\0\0")],
            [Err(FrameError::Unknown(7)), Err(FrameError::Unknown(0))]
        );
    }

    #[test]
    fn an_announced_length_takes_no_memory_and_a_large_frame_gives_it_back() {
        let mut decoder = Decoder::new(64 << 20);
        decoder.extend(&[0, 0, 0, 4, 3]);
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.capacity() < 100);
        let mut decoder = Decoder::new(64 << 20);
        let mut large = Vec::new();
        put(&mut large, Kind::Data, &vec![1; 8 << 20]);
        decoder.extend(&large);
        assert_eq!(all(&mut decoder).unwrap().len(), 1);
        decoder.extend(b"\0");
        assert!(decoder.capacity() <= DECODED_BYTES);
    }

    fn frames() -> impl Strategy<Value = Vec<(Kind, Vec<u8>)>> {
        let kind =
            prop::sample::select(vec![Kind::Hello, Kind::Data, Kind::Ping, Kind::Pong, Kind::Bye, Kind::Welcome]);
        prop::collection::vec((kind, prop::collection::vec(any::<u8>(), 0..300)), 0..20)
    }

    proptest! {
        #[test]
        fn frames_come_back_however_they_are_cut(frames in frames(), cut in 1usize..200) {
            let mut bytes = Vec::new();
            frames.iter().for_each(|(kind, payload)| put(&mut bytes, *kind, payload));
            let (mut decoder, mut found) = (Decoder::new(300), Vec::new());
            for piece in bytes.chunks(cut) {
                decoder.extend(piece);
                found.extend(all(&mut decoder).unwrap());
            }
            prop_assert_eq!(found, frames);
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..4000), small in any::<bool>(), cut in 1usize..999) {
            // Small lengths and known kinds, so that not every input ends with its first header.
            let bytes: Vec<u8> = bytes.iter().enumerate().map(|(i, b)| if small && i % 9 != 0 { b % 4 } else { *b }).collect();
            let mut decoder = Decoder::new(5000);
            let mut taken = 0;
            for piece in bytes.chunks(cut) {
                decoder.extend(piece);
                match all(&mut decoder) {
                    Ok(found) => taken += found.iter().map(|(_, p)| HEADER + p.len()).sum::<usize>(),
                    Err(_) => break,
                }
                prop_assert!(taken <= bytes.len());
            }
        }
    }
}
