//! Where bytes come from: a payload in memory, or a file that streams by.
//!
//! *Invariant:* memory follows the bytes that have arrived, never a length that was only announced.

use std::io::{ErrorKind, Read};

use crate::crc64::Crc64;
use crate::error::Error;
use crate::limits::BLOCK_BYTES;

/// Bytes that are read from the front.
pub trait Input {
    /// The next `len` bytes.
    fn take(&mut self, len: usize) -> Result<&[u8], Error>;

    /// Where the next byte stands.
    fn offset(&self) -> u64;

    /// Passes over `len` bytes.
    fn skip(&mut self, mut len: u64) -> Result<(), Error> {
        while len > 0 {
            let step = len.min(BLOCK_BYTES as u64);
            self.take(step as usize)?;
            len -= step;
        }
        Ok(())
    }

    /// The next byte.
    #[inline]
    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    /// The next `N` bytes.
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

/// Bytes in memory.
#[derive(Debug, Clone)]
pub struct Slice<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Slice<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { all: bytes, at: 0 }
    }
}

impl Input for Slice<'_> {
    #[inline]
    fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.all.len());
        let end = end.ok_or(Error::Cut { offset: self.all.len() as u64 })?;
        let taken = &self.all[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn offset(&self) -> u64 {
        self.at as u64
    }
}

/// Bytes of a reader, through a buffer, with the checksum of all that were taken.
#[derive(Debug)]
pub struct Stream<R> {
    from: R,
    buffer: Vec<u8>,
    /// In the buffer: the next byte, and the end of what has been read.
    at: usize,
    filled: usize,
    /// Where the buffer's first byte stands.
    base: u64,
    crc: Crc64,
    /// In the buffer: up to here bytes are in the checksum.
    summed: usize,
}

impl<R: Read> Stream<R> {
    /// Reads `from` to its end.
    pub fn new(from: R) -> Self {
        Self { from, buffer: vec![0; BLOCK_BYTES], at: 0, filled: 0, base: 0, crc: Crc64::default(), summed: 0 }
    }

    /// The checksum of all bytes that were taken.
    pub fn checksum(&mut self) -> u64 {
        self.sum();
        self.crc.value()
    }

    /// Whether there are no more bytes.
    pub fn is_at_end(&mut self) -> Result<bool, Error> {
        Ok(self.at == self.filled && !self.fill(1)?)
    }

    fn sum(&mut self) {
        self.crc.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
    }

    /// Reads until `len` bytes can be taken; false if there are not that many.
    #[cold]
    fn fill(&mut self, len: usize) -> Result<bool, Error> {
        self.sum();
        self.buffer.copy_within(self.at..self.filled, 0);
        self.base += self.at as u64;
        self.filled -= self.at;
        (self.at, self.summed) = (0, 0);
        if self.buffer.len() > BLOCK_BYTES && self.filled.max(len) <= BLOCK_BYTES {
            self.buffer.truncate(BLOCK_BYTES);
            self.buffer.shrink_to_fit();
        }
        while self.filled < len {
            if self.filled == self.buffer.len() {
                // Twice what has arrived, and no more than what is wanted.
                let size = self.filled.saturating_mul(2).min(len.max(BLOCK_BYTES));
                self.buffer.reserve_exact(size - self.filled);
                self.buffer.resize(size, 0);
            }
            match self.from.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.filled += read.min(self.buffer.len() - self.filled),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Read { offset: self.base + self.filled as u64, source }),
            }
        }
        Ok(true)
    }
}

impl<R: Read> Input for Stream<R> {
    #[inline]
    fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        if self.filled - self.at < len && !self.fill(len)? {
            return Err(Error::Cut { offset: self.base + self.filled as u64 });
        }
        let start = self.at;
        self.at += len;
        Ok(&self.buffer[start..self.at])
    }

    #[inline]
    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crc64::checksum;

    /// Gives a few bytes at a time, and is interrupted now and then.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(5) {
                return Err(ErrorKind::Interrupted.into());
            }
            let len = (self.1 % 7 + 1).min(to.len()).min(self.0.len());
            to[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    proptest! {
        #[test]
        fn a_stream_gives_what_a_slice_gives(bytes in prop::collection::vec(any::<u8>(), 0..2000), takes in prop::collection::vec(0usize..300, 0..60)) {
            let (mut stream, mut slice) = (Stream::new(Drip(&bytes, 0)), Slice::new(&bytes));
            for len in takes {
                match slice.take(len) {
                    Ok(taken) => prop_assert_eq!(stream.take(len).unwrap(), taken),
                    Err(_) => {
                        let cut = stream.take(len).unwrap_err();
                        let at_end = matches!(cut, Error::Cut { offset } if offset == bytes.len() as u64);
                        prop_assert!(at_end, "{}", cut);
                        break;
                    }
                }
                let at = usize::try_from(slice.offset()).unwrap();
                prop_assert_eq!(stream.offset(), at as u64);
                prop_assert_eq!(stream.checksum(), checksum(&bytes[..at]));
                prop_assert_eq!(stream.is_at_end().unwrap(), at == bytes.len());
            }
        }
    }

    #[test]
    fn what_is_only_announced_takes_no_memory() {
        let bytes = vec![7; 10 * BLOCK_BYTES];
        let mut stream = Stream::new(&bytes[..]);
        assert!(matches!(stream.take(usize::MAX / 2), Err(Error::Cut { .. })));
        assert!(stream.buffer.capacity() <= 4 * bytes.len(), "{}", stream.buffer.capacity());
    }

    #[test]
    fn memory_for_one_large_piece_is_given_back() {
        let bytes = vec![7; 40 * BLOCK_BYTES];
        let mut stream = Stream::new(&bytes[..]);
        stream.take(30 * BLOCK_BYTES).unwrap();
        stream.skip(5 * BLOCK_BYTES as u64).unwrap();
        assert_eq!(stream.buffer.len(), BLOCK_BYTES);
        assert_eq!(stream.offset(), 35 * BLOCK_BYTES as u64);
    }

    #[test]
    fn a_reader_that_fails_is_named_with_the_offset() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
                self.0 += 1;
                if self.0 == 1 { Ok(to.len().min(10)) } else { Err(std::io::Error::other("gone")) }
            }
        }
        let error = Stream::new(Broken(0)).take(11).unwrap_err();
        assert_eq!(error.to_string(), "reading failed at offset 10: gone");
    }
}
