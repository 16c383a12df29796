//! Entries of streams.

use super::error::WideError;
use super::fields::Fields;
use crate::limits::MAX_VALUE_BYTES;

/// The id of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// Its number in that millisecond.
    pub seq: u64,
}

impl StreamId {
    /// The last id there can be.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.ms.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, WideError> {
        Ok(Self { ms: fields.u64()?, seq: fields.u64()? })
    }
}

/// The value of an entry row: `count u32`, then `length u32 ‖ bytes` of each field and value in turn.
pub fn encode_entry(pairs: &[(&[u8], &[u8])]) -> Result<Vec<u8>, WideError> {
    let len = 4 + pairs.iter().map(|(field, value)| 8 + field.len() + value.len()).sum::<usize>();
    if len > MAX_VALUE_BYTES {
        return Err(WideError::TooLarge { what: "a stream entry", len, limit: MAX_VALUE_BYTES });
    }
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(&(pairs.len() as u32).to_be_bytes());
    for (field, value) in pairs {
        for bytes in [field, value] {
            out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
    Ok(out)
}

/// The fields and values of an entry row.
pub fn decode_entry(row: &[u8]) -> Result<Vec<(&[u8], &[u8])>, WideError> {
    let mut fields = Fields::new("a stream entry", row);
    let count = fields.u32()? as usize;
    // Each pair takes eight bytes at least, so a lying count allocates no more than its row would justify.
    let mut pairs = Vec::with_capacity(count.min(row.len() / 8));
    for _ in 0..count {
        let mut bytes = || {
            let len = fields.u32()? as usize;
            fields.bytes(len)
        };
        pairs.push((bytes()?, bytes()?));
    }
    fields.done()?;
    Ok(pairs)
}
