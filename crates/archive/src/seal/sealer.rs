//! Sealing a stream, written to or read from.

use std::fmt;
use std::io::{self, Read, Write};

use super::chunk::{ChunkSealer, HEAD, TAG};
use super::header::{BYTES, Header};
use super::hybrid::encapsulate;
use super::{Entropy, Error, OsEntropy, PublicKey, Result};
use crate::limits::CHUNK_BYTES;

/// The level of compression unless told otherwise: zstd's own default.
const LEVEL: i32 = 3;

/// Seals objects for a public key. It cannot open what it sealed.
///
/// Objects share nothing but the key: each has a secret of its own, so one `Sealer` may seal any number, in any
/// threads.
#[derive(Clone, Debug)]
pub struct Sealer {
    key: PublicKey,
    chunk_bytes: usize,
    level: i32,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes that went in.
    pub plain_bytes: u64,
    /// Bytes that came out.
    pub sealed_bytes: u64,
}

impl Sealer {
    /// For the holder of the private key of `key`.
    #[must_use]
    pub fn new(key: PublicKey) -> Self {
        Self { key, chunk_bytes: CHUNK_BYTES, level: LEVEL }
    }

    /// With chunks of so many bytes: a power of two from 64 KiB to 1 MiB.
    ///
    /// # Errors
    /// [`Error::BadChunkBytes`] for any other number.
    pub fn with_chunk_bytes(mut self, bytes: usize) -> Result<Self> {
        Header::bound(bytes, self.key.fingerprint(), "")?;
        self.chunk_bytes = bytes;
        Ok(self)
    }

    /// With another level of `zstd`, from 1 (fast) to 22; levels outside of it are moved to its ends.
    #[must_use]
    pub fn with_level(mut self, level: i32) -> Self {
        self.level = level.clamp(1, 22);
        self
    }

    /// The key that it seals for.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Something to write the content of `name` into; what is sealed goes to `out`. Opening needs the same name.
    ///
    /// # Errors
    /// [`Error::Entropy`], or `out` takes no header.
    pub fn writer<W: Write>(&self, name: &str, out: W) -> Result<SealWriter<W>> {
        self.writer_with(name, out, &mut OsEntropy)
    }

    /// As [`writer`](Self::writer), with random bytes that are handed in; 64 are taken. Never hand in the same twice
    /// for different content: it would be sealed with the same key and nonces.
    ///
    /// # Errors
    /// What `entropy` says, or `out` takes no header.
    pub fn writer_with<W: Write>(&self, name: &str, mut out: W, entropy: &mut dyn Entropy) -> Result<SealWriter<W>> {
        let core = Core::new(self, name, entropy)?;
        out.write_all(&core.out)?;
        Ok(SealWriter { core, out, failed: false })
    }

    /// Something that gives the sealed form of `name`, whose content is read from `from`. Opening needs the same name.
    ///
    /// # Errors
    /// [`Error::Entropy`].
    pub fn reader<R: Read>(&self, name: &str, from: R) -> Result<SealReader<R>> {
        self.reader_with(name, from, &mut OsEntropy)
    }

    /// As [`reader`](Self::reader), with random bytes that are handed in; see [`writer_with`](Self::writer_with).
    ///
    /// # Errors
    /// What `entropy` says.
    pub fn reader_with<R: Read>(&self, name: &str, from: R, entropy: &mut dyn Entropy) -> Result<SealReader<R>> {
        Ok(SealReader { core: Core::new(self, name, entropy)?, from, given: 0, ended: false, failed: None })
    }
}

/// The state that both directions share: a chunk that fills, and the bytes that it becomes.
struct Core {
    chunks: ChunkSealer,
    plain: Vec<u8>,
    chunk_bytes: usize,
    /// The header at first, then a frame.
    out: Vec<u8>,
    sums: Sealed,
}

impl Core {
    fn new(sealer: &Sealer, name: &str, entropy: &mut dyn Entropy) -> Result<Self> {
        let bound = Header::bound(sealer.chunk_bytes, sealer.key.fingerprint(), name)?;
        let (key, encapsulated) = encapsulate(&sealer.key, &bound, name, entropy)?;
        let mut out = Vec::with_capacity(BYTES.max(HEAD + sealer.chunk_bytes + TAG));
        out.extend_from_slice(Header::new(&bound, &encapsulated).bytes());
        Ok(Self {
            chunks: ChunkSealer::new(key, sealer.chunk_bytes, sealer.level)?,
            plain: Vec::with_capacity(sealer.chunk_bytes),
            chunk_bytes: sealer.chunk_bytes,
            sums: Sealed { plain_bytes: 0, sealed_bytes: out.len() as u64 },
            out,
        })
    }

    /// Seals the chunk that has filled, or the rest.
    fn seal(&mut self, last: bool) -> Result<()> {
        self.chunks.seal(&self.plain, last, &mut self.out)?;
        self.sums.plain_bytes += self.plain.len() as u64;
        self.sums.sealed_bytes += self.out.len() as u64;
        self.plain.clear();
        Ok(())
    }

    fn room(&self) -> usize {
        self.chunk_bytes - self.plain.len()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        write!(f, "{what}(chunk {})", self.chunks.number())
    }
}

/// Seals what is written to it. [`finish`](Self::finish) ends the object; one that was not finished does not open to
/// its end, whatever `flush` was called.
pub struct SealWriter<W> {
    core: Core,
    out: W,
    failed: bool,
}

impl<W: Write> SealWriter<W> {
    /// Seals the rest and flushes; gives back where it went.
    ///
    /// # Errors
    /// What the writer below says; or a write before this has failed.
    pub fn finish(mut self) -> Result<(W, Sealed)> {
        self.check()?;
        self.core.seal(true)?;
        self.out.write_all(&self.core.out)?;
        self.out.flush()?;
        Ok((self.out, self.core.sums))
    }

    /// After a failed write nobody knows how much of a frame went out: nothing may follow it.
    fn check(&self) -> Result<()> {
        if self.failed { Err(io::Error::other("a write before this one has failed").into()) } else { Ok(()) }
    }

    fn chunk(&mut self) -> Result<()> {
        self.core.seal(false)?;
        self.out.write_all(&self.core.out)?;
        Ok(())
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check().map_err(Error::into_io)?;
        let taken = bytes.len().min(self.core.room());
        self.core.plain.extend_from_slice(&bytes[..taken]);
        if self.core.room() == 0
            && let Err(error) = self.chunk()
        {
            self.failed = true;
            return Err(error.into_io());
        }
        Ok(taken)
    }

    /// Flushes what is below. The chunk that is filling stays: a short one would be the last.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W> fmt::Debug for SealWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.show(f, "SealWriter")
    }
}

/// Gives the sealed form of what it reads.
pub struct SealReader<R> {
    core: Core,
    from: R,
    /// Bytes of `core.out` that have been given.
    given: usize,
    ended: bool,
    failed: Option<Error>,
}

impl<R: Read> SealReader<R> {
    /// What has gone in and come out so far; of the whole object once it has been read to its end.
    #[must_use]
    pub fn sums(&self) -> Sealed {
        self.core.sums
    }

    fn next(&mut self) -> Result<()> {
        let room = self.core.room() as u64;
        let got = (&mut self.from).take(room).read_to_end(&mut self.core.plain)?;
        self.ended = (got as u64) < room;
        self.given = 0;
        self.core.out.clear();
        self.core.seal(self.ended)
    }
}

impl<R: Read> Read for SealReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into_io());
        }
        if self.given == self.core.out.len()
            && !self.ended
            && let Err(error) = self.next()
        {
            self.failed = Some(error.clone());
            self.core.out.clear();
            self.given = 0;
            return Err(error.into_io());
        }
        let rest = &self.core.out[self.given..];
        let taken = bytes.len().min(rest.len());
        bytes[..taken].copy_from_slice(&rest[..taken]);
        self.given += taken;
        Ok(taken)
    }
}

impl<R> fmt::Debug for SealReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.show(f, "SealReader")
    }
}
