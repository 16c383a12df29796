//! The primitives of the binary formats: varints, zigzag integers, length-prefixed bytes, and a bounds-checked reader.

use thiserror::Error;

/// Why bytes could not be read as an effect, a batch or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The bytes end before the value does.
    #[error("truncated at byte {at}")]
    Truncated {
        /// Offset in the bytes that were given to the reader.
        at: usize,
    },
    /// A tag, a length or a number that no encoder writes.
    #[error("invalid {what} at byte {at}")]
    Invalid {
        /// The part that was read.
        what: &'static str,
        /// Offset in the bytes that were given to the reader.
        at: usize,
    },
}

/// Appends an unsigned LEB128 varint (1 to 10 bytes).
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer, zigzag-coded, as a varint.
#[inline]
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a byte string with its length before it.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// How many bytes a varint takes.
#[inline]
pub fn varint_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Writes a varint at the front of `out`, which has room for it; how many bytes it took.
#[inline]
pub fn write_varint(out: &mut [u8], mut value: u64) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        out[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// A varint on the stack, to be a part of something.
#[derive(Debug)]
pub struct Varint {
    bytes: [u8; 10],
    len: usize,
}

impl Varint {
    /// The varint of `value`.
    #[inline]
    pub fn of(value: u64) -> Self {
        let mut bytes = [0; 10];
        let len = write_varint(&mut bytes, value);
        Self { bytes, len }
    }

    /// Its bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Reads values from a slice and never past its end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
    own_end: bool,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { whole: bytes, at: 0, own_end: false }
    }

    /// The same for bytes that this process has just encoded, with one effect at their end: if it closes with a sequence,
    /// that need not be walked over to be found sound and to find its end.
    #[inline]
    pub(crate) fn at_own_end(mut self) -> Self {
        self.own_end = true;
        self
    }

    #[inline]
    pub(crate) fn is_at_own_end(&self) -> bool {
        self.own_end
    }

    /// Bytes already read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Bytes still to read.
    pub fn remaining(&self) -> usize {
        self.whole.len() - self.at
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, WireError> {
        let byte = *self.whole.get(self.at).ok_or(WireError::Truncated { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    /// The next `len` bytes, borrowed.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(len).ok_or(WireError::Truncated { at: self.at })?;
        let bytes = self.whole.get(self.at..end).ok_or(WireError::Truncated { at: self.at })?;
        self.at = end;
        Ok(bytes)
    }

    /// A little-endian u64.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, WireError> {
        let bytes: [u8; 8] = self.take(8)?.try_into().expect("take returned eight bytes");
        Ok(u64::from_le_bytes(bytes))
    }

    /// An IEEE 754 double, little-endian bits.
    #[inline]
    pub fn f64(&mut self) -> Result<f64, WireError> {
        Ok(f64::from_bits(self.u64()?))
    }

    /// An unsigned varint, in the one form that [`put_varint`] writes: without zeros at its end.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, WireError> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                if byte == 0 || (shift == 63 && byte > 1) {
                    break;
                }
                return Ok(value);
            }
        }
        Err(WireError::Invalid { what: "varint", at: self.at })
    }

    /// A zigzag-coded signed varint.
    #[inline]
    pub fn zigzag(&mut self) -> Result<i64, WireError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A length-prefixed byte string, borrowed.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.varint()?;
        let len = usize::try_from(len).map_err(|_| WireError::Truncated { at: self.at })?;
        self.take(len)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let bytes = &self.whole[self.at..];
        self.at = self.whole.len();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_and_bytes_round_trip(v: u64, z: i64, b: Vec<u8>) {
            let mut out = Vec::new();
            put_varint(&mut out, v);
            put_zigzag(&mut out, z);
            put_bytes(&mut out, &b);
            let mut r = Reader::new(&out);
            prop_assert_eq!(r.varint(), Ok(v));
            prop_assert_eq!(r.zigzag(), Ok(z));
            prop_assert_eq!(r.bytes(), Ok(&b[..]));
            prop_assert_eq!(r.remaining(), 0);
            prop_assert!(out.starts_with(Varint::of(v).bytes()));
            prop_assert_eq!(varint_len(v), Varint::of(v).bytes().len());
        }

        #[test]
        fn any_bytes_are_read_or_refused(raw: Vec<u8>) {
            let mut r = Reader::new(&raw);
            while r.varint().is_ok() && r.bytes().is_ok() {}
            prop_assert!(r.offset() <= raw.len());
        }
    }
}
