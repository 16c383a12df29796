//! Opening a sealed stream.

use std::fmt;
use std::io::{self, Read};

use super::chunk::{ChunkOpener, HEAD, TAG};
use super::header::{BYTES, Header, end_means, fill};
use super::hybrid::decapsulate;
use super::{Error, PrivateKey, Result, Sealed};

/// Opens objects that were sealed for its key.
#[derive(Clone, Debug)]
pub struct Opener {
    key: PrivateKey,
}

impl Opener {
    /// With this key.
    #[must_use]
    pub fn new(key: PrivateKey) -> Self {
        Self { key }
    }

    /// The key that it opens with.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Something that gives the content of `name`, whose sealed form is read from `from`.
    ///
    /// # Errors
    /// What the header says: not ours, a newer version, another key, another name, damaged; or `from` fails.
    pub fn reader<R: Read>(&self, name: &str, mut from: R) -> Result<OpenReader<R>> {
        let header = Header::read(&mut from)?;
        header.check(self.key.fingerprint(), name)?;
        let key = decapsulate(&self.key, &header.bound_part(), name, &header.encapsulated())?;
        Ok(OpenReader {
            chunks: ChunkOpener::new(key, header.chunk_bytes())?,
            from,
            body: Vec::new(),
            plain: Vec::new(),
            given: 0,
            sums: Sealed { plain_bytes: 0, sealed_bytes: BYTES as u64 },
            state: State::Open,
        })
    }
}

enum State {
    Open,
    Ended,
    Failed(Error),
}

/// Gives the content of a sealed object. What it gives is what was sealed, from its beginning; that it is *all* of it
/// is known when it says that there is no more (`read` returns 0), and not before.
pub struct OpenReader<R> {
    chunks: ChunkOpener,
    from: R,
    body: Vec<u8>,
    plain: Vec<u8>,
    /// Bytes of `plain` that have been given.
    given: usize,
    sums: Sealed,
    state: State,
}

impl<R: Read> OpenReader<R> {
    /// What has been read and opened so far; of the whole object once it has been read to its end.
    #[must_use]
    pub fn sums(&self) -> Sealed {
        self.sums
    }

    /// Whether the end has been reached and verified.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Opens the next chunk into `plain`.
    fn next(&mut self) -> Result<()> {
        let truncated = Error::Truncated { chunk: self.chunks.number() };
        let mut raw = [0; HEAD];
        fill(&mut self.from, &mut raw).map_err(|e| end_means(e, truncated.clone()))?;
        let head = self.chunks.head(raw)?;
        self.body.resize(head.length + TAG, 0);
        fill(&mut self.from, &mut self.body).map_err(|e| end_means(e, truncated))?;
        self.given = 0;
        self.chunks.open(head, &mut self.body, &mut self.plain)?;
        self.sums.sealed_bytes += (HEAD + self.body.len()) as u64;
        self.sums.plain_bytes += self.plain.len() as u64;
        if head.last {
            // Nothing may follow, and a failure to look is not an end.
            if self.from.by_ref().take(1).read_to_end(&mut Vec::new())? != 0 {
                return Err(Error::Trailing);
            }
            self.state = State::Ended;
        }
        Ok(())
    }
}

impl<R: Read> Read for OpenReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.given == self.plain.len() && !bytes.is_empty() {
            match &self.state {
                State::Ended => return Ok(0),
                State::Failed(error) => return Err(error.clone().into_io()),
                State::Open => {}
            }
            if let Err(error) = self.next() {
                self.plain.clear();
                self.given = 0;
                self.state = State::Failed(error.clone());
                return Err(error.into_io());
            }
        }
        let rest = &self.plain[self.given..];
        let taken = bytes.len().min(rest.len());
        bytes[..taken].copy_from_slice(&rest[..taken]);
        self.given += taken;
        Ok(taken)
    }
}

impl<R> fmt::Debug for OpenReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenReader(chunk {})", self.chunks.number())
    }
}
