//! Parts of strings as bytes, none of which reaches beyond the longest string.

use crate::limits::MAX_STRING_BYTES;
use crate::op::Patch;
use crate::wire::{Reader, WireError};

/// What is said of a patch that would make a string too long.
const OFFSET: &str = "offset in a string";

/// Reads bytes that are written from an offset on.
pub(super) fn write<'a>(from: &mut Reader<'a>) -> Result<Patch<'a>, WireError> {
    let at = from.offset();
    let (offset, bytes) = (from.varint()?, from.bytes()?);
    match offset.checked_add(bytes.len() as u64) {
        Some(end) if end <= MAX_STRING_BYTES => Ok(Patch::Write { offset, bytes }),
        _ => Err(WireError::Invalid { what: OFFSET, at }),
    }
}

/// Reads an integer that is written from a bit on.
pub(super) fn bits<'a>(from: &mut Reader<'a>) -> Result<Patch<'a>, WireError> {
    let at = from.offset();
    let offset = from.varint()?;
    if offset / 8 >= MAX_STRING_BYTES {
        return Err(WireError::Invalid { what: OFFSET, at });
    }
    let (at, width) = (from.offset(), from.u8()?);
    if !(1..=64).contains(&width) {
        return Err(WireError::Invalid { what: "width in bits", at });
    }
    Ok(Patch::Bits { offset, width, value: from.varint()? })
}
