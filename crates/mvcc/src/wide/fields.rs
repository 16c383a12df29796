//! Reading fixed fields off the front of bytes.

use super::error::WideError;

/// The flag that says that a deadline follows.
const DEADLINE: u8 = 1;

/// What is left to read.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn bad(&self, reason: &'static str) -> WideError {
        WideError::Malformed { what: self.what, reason }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], WideError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.bad("it is cut short"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn chunk<const N: usize>(&mut self) -> Result<[u8; N], WideError> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or_else(|| self.bad("it is cut short"))?;
        self.rest = rest;
        Ok(*chunk)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WideError> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WideError> {
        self.chunk().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WideError> {
        self.chunk().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WideError> {
        self.chunk().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, WideError> {
        self.chunk().map(i64::from_be_bytes)
    }

    /// A flags byte of which only bit 0 may be set, and the deadline that it announces.
    pub(crate) fn deadline(&mut self) -> Result<Option<i64>, WideError> {
        match self.u8()? {
            0 => Ok(None),
            DEADLINE => self.i64().map(Some),
            _ => Err(self.bad("unknown flags are set")),
        }
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn done(&self) -> Result<(), WideError> {
        if self.is_done() { Ok(()) } else { Err(self.bad("bytes follow its end")) }
    }
}

/// Appends what [`Fields::deadline`] reads.
pub(crate) fn encode_deadline(deadline: Option<i64>, out: &mut Vec<u8>) {
    match deadline {
        None => out.push(0),
        Some(deadline) => {
            out.push(DEADLINE);
            out.extend_from_slice(&deadline.to_be_bytes());
        }
    }
}
