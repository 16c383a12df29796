//! Records of the log in an object.
//!
//! ```text
//!   "ANABLOG1"   then records: position u64 ‖ kind u8 ‖ length u32 ‖ payload             integers little-endian
//! ```
//! There is no check: what is sealed is whole and unchanged, or does not open.

use std::io::{self, Read};

use wal::{Kind, Position, Reader};

use crate::digest::Sha256;
use crate::error::Error;
use crate::feed::Parted;
use crate::progress::Progress;

const MAGIC: &[u8; 8] = b"ANABLOG1";
const HEADER: usize = 13;
const _: () = assert!(wal::MAX_PAYLOAD_BYTES <= u32::MAX as usize);

/// The last record that was stored: by it the log is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tail {
    /// Where it begins.
    pub(crate) start: u64,
    /// Of its payload.
    pub(crate) digest: Sha256,
}

/// Gives the records of the log, up to a position, part by part.
pub(crate) struct LogFeed<'p> {
    log: Reader,
    end: Position,
    part_bytes: u64,
    /// Bytes that this part has given.
    given: u64,
    record: Vec<u8>,
    at: usize,
    /// The last record.
    last: Option<(Position, Vec<u8>)>,
    failed: Option<Error>,
    progress: &'p Progress,
}

impl<'p> LogFeed<'p> {
    pub(crate) fn new(log: Reader, end: Position, part_bytes: u64, progress: &'p Progress) -> Self {
        Self { log, end, part_bytes, given: 0, record: Vec::new(), at: 0, last: None, failed: None, progress }
    }

    /// Brings the next record; whether there is one.
    fn pull(&mut self, is_first: bool) -> Result<bool, Error> {
        (self.at, self.record) = (0, std::mem::take(&mut self.record));
        self.record.clear();
        let Some(record) = self.log.next()?.filter(|record| record.start < self.end) else { return Ok(false) };
        if is_first {
            self.record.extend_from_slice(MAGIC);
        }
        self.record.extend_from_slice(&record.start.get().to_le_bytes());
        self.record.push(record.kind.get());
        self.record.extend_from_slice(&(record.payload.len() as u32).to_le_bytes());
        self.record.extend_from_slice(record.payload);
        let (start, payload) = self.last.get_or_insert_default();
        *start = record.start;
        payload.clear();
        payload.extend_from_slice(record.payload);
        Ok(true)
    }

    /// The last record that was given.
    pub(crate) fn tail(&self) -> Option<Tail> {
        self.last.as_ref().map(|(start, payload)| Tail { start: start.get(), digest: Sha256::of(payload) })
    }
}

impl Parted for LogFeed<'_> {
    fn next_part(&mut self) -> Result<bool, Error> {
        self.given = 0;
        self.pull(true)
    }

    fn failure(&mut self) -> Option<Error> {
        self.failed.take()
    }
}

impl Read for LogFeed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        if self.at == self.record.len() {
            if self.given >= self.part_bytes {
                return Ok(0);
            }
            match self.pull(false) {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => {
                    let text = error.to_string();
                    self.failed = Some(error);
                    return Err(io::Error::other(text));
                }
            }
        }
        let len = buf.len().min(self.record.len() - self.at);
        buf[..len].copy_from_slice(&self.record[self.at..self.at + len]);
        self.at += len;
        self.given += len as u64;
        self.progress.add(len as u64);
        Ok(len)
    }
}

/// Whether the record at the reader's position is this one, so that the log goes on where it was stored. Passes over it.
pub(crate) fn goes_on(log: &mut Reader, tail: &Tail) -> Result<bool, wal::LogError> {
    let record = log.next()?;
    Ok(record.is_some_and(|record| record.start.get() == tail.start && Sha256::of(record.payload) == tail.digest))
}

/// Reads such an object.
pub(crate) struct LogPart<R> {
    from: R,
    payload: Vec<u8>,
}

impl<R: Read> LogPart<R> {
    pub(crate) fn open(mut from: R) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(io::Error::other("it is no log of this version"));
        }
        Ok(Self { from, payload: Vec::new() })
    }

    /// The next record: where it was, its kind and its payload.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Kind, &[u8])>> {
        let mut header = Vec::with_capacity(HEADER);
        (&mut self.from).take(HEADER as u64).read_to_end(&mut header)?;
        let [p0, p1, p2, p3, p4, p5, p6, p7, kind, l0, l1, l2, l3] = header[..] else {
            return if header.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        };
        let position = u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]);
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let kind = Kind::new(kind).ok_or_else(|| io::Error::other("it has a record that is no owner's"))?;
        if len as usize > wal::MAX_PAYLOAD_BYTES {
            return Err(io::Error::other("it has a record that is longer than any"));
        }
        self.payload.clear();
        // Memory follows what has arrived, not what is announced.
        if (&mut self.from).take(u64::from(len)).read_to_end(&mut self.payload)? < len as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((position, kind, &self.payload)))
    }

    /// What it reads from.
    pub(crate) fn into_inner(self) -> R {
        self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_these_bytes_and_no_cut_of_it_is_read_to_an_end() {
        let bytes = b"ANABLOG1\x07\0\0\0\0\0\0\0\x02\x03\0\0\0abc\x20\0\0\0\0\0\0\0\x02\0\0\0\0";
        let read = |bytes: &[u8]| {
            let mut part = LogPart::open(bytes)?;
            let mut found = Vec::new();
            while let Some((position, kind, payload)) = part.next()? {
                found.push((position, kind.get(), payload.to_vec()));
            }
            io::Result::Ok(found)
        };
        assert_eq!(read(bytes).unwrap(), [(7, 2, b"abc".to_vec()), (32, 2, Vec::new())]);
        let whole = [MAGIC.len(), MAGIC.len() + HEADER + 3];
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]).is_ok(), whole.contains(&len), "{len}");
        }
        let mut long = bytes.to_vec();
        long[17..21].fill(0xff);
        assert!(read(&long).is_err());
    }
}
