//! Definitions of keyspaces as bytes.
//!
//! ```text
//! definition := mode u8 ‖ flags u8 ‖ epoch varint ‖ ram bytes varint ‖ disk bytes varint ‖ count varint ‖ pattern*
//! flags      : bit 0 fsync, bit 1 leaving
//! ```

use crate::items::{BytesShape, Seq};
use crate::op::{Definition, Mode};
use crate::wire::{Reader, WireError, put_varint};

const FSYNC: u8 = 1;
const LEAVING: u8 = 1 << 1;

/// Appends a definition.
pub(super) fn put_definition(definition: &Definition<'_>, out: &mut Vec<u8>) {
    out.push(definition.mode as u8);
    out.push(if definition.fsync { FSYNC } else { 0 } | if definition.leaving { LEAVING } else { 0 });
    put_varint(out, definition.epoch);
    put_varint(out, definition.ram_bytes);
    put_varint(out, definition.disk_bytes);
    definition.patterns.encode(out);
}

/// Reads what [`put_definition`] wrote.
pub(super) fn definition<'a>(from: &mut Reader<'a>) -> Result<Definition<'a>, WireError> {
    let at = from.offset();
    let mode = Mode::from_u8(from.u8()?).ok_or(WireError::Invalid { what: "mode of a keyspace", at })?;
    let at = from.offset();
    let flags = from.u8()?;
    if flags & !(FSYNC | LEAVING) != 0 {
        return Err(WireError::Invalid { what: "flags of a keyspace", at });
    }
    Ok(Definition {
        mode,
        fsync: flags & FSYNC != 0,
        leaving: flags & LEAVING != 0,
        epoch: from.varint()?,
        ram_bytes: from.varint()?,
        disk_bytes: from.varint()?,
        patterns: Seq::decode(BytesShape, from)?,
    })
}
