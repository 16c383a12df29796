//! Dots, and the keys of a bind, as elements of sequences.

use crate::codec::keyspace;
use crate::id::{Dot, KeyspaceId, Origin};
use crate::items::{Seq, Shape};
use crate::wire::{Reader, WireError, put_bytes, put_varint};

/// Appends a dot: `origin u64 LE ‖ seq varint`.
pub(crate) fn put_dot(out: &mut Vec<u8>, dot: Dot) {
    out.extend_from_slice(&dot.origin.0.to_le_bytes());
    put_varint(out, dot.seq);
}

/// Reads what [`put_dot`] wrote.
pub(crate) fn dot(from: &mut Reader<'_>) -> Result<Dot, WireError> {
    Ok(Dot { origin: Origin(from.u64()?), seq: from.varint()? })
}

/// Dots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DotShape;

impl Shape for DotShape {
    type Item<'a> = Dot;
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<Dot, WireError> {
        dot(from)
    }
    fn write(&self, item: &Dot, out: &mut Vec<u8>) {
        put_dot(out, *item);
    }
}

/// The keys of a bind: `flags u8 (bit 0 written, bit 1 read) ‖ keyspace ‖ db ‖ key ‖ consumed tips`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BindKeyShape;

/// What a transaction did with one key.
#[derive(Debug, Clone, PartialEq)]
pub struct BindKey<'a> {
    /// The transaction writes the key.
    pub written: bool,
    /// The transaction read or watched the key.
    pub read: bool,
    /// The key's keyspace.
    pub keyspace: KeyspaceId,
    /// The key's database.
    pub db: u8,
    /// The key.
    pub key: &'a [u8],
    /// The tips that were seen and are consumed.
    pub consumed: Seq<'a, DotShape>,
}

impl Shape for BindKeyShape {
    type Item<'a> = BindKey<'a>;
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<BindKey<'a>, WireError> {
        let at = from.offset();
        let flags = from.u8()?;
        if flags > 3 {
            return Err(WireError::Invalid { what: "flags of a bound key", at });
        }
        Ok(BindKey {
            written: flags & 1 != 0,
            read: flags & 2 != 0,
            keyspace: keyspace(from)?,
            db: from.u8()?,
            key: from.bytes()?,
            consumed: Seq::decode(DotShape, from)?,
        })
    }
    fn write(&self, item: &BindKey<'_>, out: &mut Vec<u8>) {
        out.push(u8::from(item.written) | u8::from(item.read) << 1);
        put_varint(out, u64::from(item.keyspace.0));
        out.push(item.db);
        put_bytes(out, item.key);
        item.consumed.encode(out);
    }
}
