//! Definitions of keyspaces as bytes.
//!
//! ```text
//! definition := mode u8 ‖ flags u8 ‖ epoch varint ‖ ram bytes varint ‖ disk bytes varint ‖ count varint ‖ pattern*
//! flags      : bit 0 fsync, bit 1 leaving
//!
//! of a group := flags u8 ‖ [first hlc u64 LE ‖ first origin u64 LE] ‖ count varint ‖ pattern*
//! flags      : bit 0 unsafe, bit 1 first follows
//! ```

use crate::hlc::Hlc;
use crate::id::Origin;
use crate::items::{BytesShape, Seq};
use crate::op::{Definition, GroupDefinition, Mode};
use crate::stamp::Stamp;
use crate::wire::{Reader, WireError, put_varint};

const FSYNC: u8 = 1;
const LEAVING: u8 = 1 << 1;

const UNSAFE: u8 = 1;
const FIRST: u8 = 1 << 1;

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

/// Appends a definition of a group.
pub(super) fn put_group_definition(definition: &GroupDefinition<'_>, out: &mut Vec<u8>) {
    let GroupDefinition { is_unsafe, first, patterns } = definition;
    out.push(if *is_unsafe { UNSAFE } else { 0 } | if first.is_some() { FIRST } else { 0 });
    if let Some(first) = first {
        put_stamp(first, out);
    }
    patterns.encode(out);
}

/// Reads what [`put_group_definition`] wrote.
pub(super) fn group_definition<'a>(from: &mut Reader<'a>) -> Result<GroupDefinition<'a>, WireError> {
    let at = from.offset();
    let flags = from.u8()?;
    if flags & !(UNSAFE | FIRST) != 0 {
        return Err(WireError::Invalid { what: "flags of a keyspace", at });
    }
    let first = if flags & FIRST != 0 { Some(stamp(from)?) } else { None };
    Ok(GroupDefinition { is_unsafe: flags & UNSAFE != 0, first, patterns: Seq::decode(BytesShape, from)? })
}

pub(crate) fn put_stamp(stamp: &Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(&stamp.hlc.0.to_le_bytes());
    out.extend_from_slice(&stamp.origin.0.to_le_bytes());
}

pub(crate) fn stamp(from: &mut Reader<'_>) -> Result<Stamp, WireError> {
    Ok(Stamp { hlc: Hlc(from.u64()?), origin: Origin(from.u64()?) })
}
