//! An object that is being read.

use std::fmt;
use std::io::{self, Read};

use super::{Error, Name, Result};

/// An object that is being read, from the byte that was asked for to its end.
pub struct Object {
    /// Bytes of the whole object.
    pub size: u64,
    name: Name,
    /// The next byte.
    at: u64,
    body: Box<dyn Read + Send>,
}

impl Object {
    /// From a reader of the bytes `from` to `size`. What comes is counted: an end before that, and anything behind it,
    /// is an error.
    pub(super) fn new(name: &Name, size: u64, from: u64, body: Box<dyn Read + Send>) -> Self {
        Self { size, name: name.clone(), at: from, body }
    }

    /// All that is left, in memory.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond 64 MiB; what reading says.
    pub fn into_bytes(mut self) -> Result<Vec<u8>> {
        let left = self.size - self.at;
        let limit = crate::limits::MOST_WHOLE_BYTES as u64;
        if left > limit {
            return Err(Error::TooLarge { name: self.name.to_string(), limit });
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(Error::from_io)?;
        Ok(bytes)
    }
}

impl Read for Object {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let got = self.body.read(bytes)?;
        if got == 0 && self.at < self.size {
            return Err(Error::Short { name: self.name.to_string(), got: self.at, size: self.size }.into_io());
        }
        self.at += got as u64;
        if self.at > self.size {
            return Err(Error::protocol(self.name.as_str(), "more bytes than it announced").into_io());
        }
        Ok(got)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({:?}, {} of {} bytes)", self.name, self.at, self.size)
    }
}
