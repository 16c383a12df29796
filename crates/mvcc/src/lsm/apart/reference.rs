//! What a row keeps of a value that stands apart.

use crate::error::Result;
use crate::layout::Fields;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lsm) struct Reference {
    pub(in crate::lsm) file: u64,
    /// Where it begins in the file.
    pub(in crate::lsm) offset: u64,
    pub(in crate::lsm) len: u32,
    /// CRC-32C of its bytes.
    pub(in crate::lsm) crc: u32,
}

impl Reference {
    pub(in crate::lsm) const BYTES: usize = 24;

    pub(in crate::lsm) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.file.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.len.to_be_bytes());
        bytes[20..].copy_from_slice(&self.crc.to_be_bytes());
        bytes
    }

    pub(in crate::lsm) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields::new("a reference to a value", bytes);
        let reference = Self { file: fields.u64()?, offset: fields.u64()?, len: fields.u32()?, crc: fields.u32()? };
        fields.done()?;
        Ok(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let reference = Reference { file: 0x0102, offset: 0x0304, len: 0x0506, crc: 0x0708_090A };
        let bytes = *b"\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x03\x04\0\0\x05\x06\x07\x08\x09\x0A";
        assert_eq!(reference.encode(), bytes);
        assert_eq!(Reference::decode(&bytes).unwrap(), reference);
        assert!(Reference::decode(&bytes[1..]).is_err());
        assert!(Reference::decode(&[&bytes[..], b"x"].concat()).is_err());
    }
}
