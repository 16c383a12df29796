//! Dots, nodes, and the keys of a bind, as elements of sequences.

use crate::codec::keyspace;
use crate::id::{Dot, KeyspaceId, Origin};
use crate::items::{Seq, Shape};
use crate::limits::MAX_BIND_KEYS;
use crate::op::{Bind, Kind};
use crate::wire::{Reader, WireError, put_bytes, put_varint, put_zigzag};

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

/// Nodes, as varints.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeShape;

impl Shape for NodeShape {
    type Item<'a> = u64;
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<u64, WireError> {
        from.varint()
    }
    fn write(&self, item: &u64, out: &mut Vec<u8>) {
        put_varint(out, *item);
    }
}

/// The keys of a bind: `flags u8 ‖ keyspace ‖ db ‖ key ‖ [type u8] ‖ [deadline zigzag]`. Flags: bit 0 written, bit 1 read, bit 2 there
/// afterwards: its type follows, bit 3 with the deadline that follows.
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
    /// What the transaction leaves there. `None`: nothing, or it does not write the key.
    pub left: Option<Left>,
}

/// A key as a transaction leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Its type.
    pub kind: Kind,
    /// When it goes, in unix ms.
    pub deadline: Option<i64>,
}

const WRITTEN: u8 = 1;
const READ: u8 = 1 << 1;
const THERE: u8 = 1 << 2;
const DEADLINE: u8 = 1 << 3;

impl Shape for BindKeyShape {
    type Item<'a> = BindKey<'a>;
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<BindKey<'a>, WireError> {
        let at = from.offset();
        let flags = from.u8()?;
        let is_there = flags & THERE != 0;
        if flags > 0b1111 || (flags & DEADLINE != 0 && !is_there) {
            return Err(WireError::Invalid { what: "flags of a bound key", at });
        }
        let (keyspace, db, key) = (keyspace(from)?, from.u8()?, from.bytes()?);
        let left = if is_there {
            let at = from.offset();
            let kind = Kind::from_u8(from.u8()?).ok_or(WireError::Invalid { what: "type", at })?;
            let deadline = if flags & DEADLINE != 0 { Some(from.zigzag()?) } else { None };
            Some(Left { kind, deadline })
        } else {
            None
        };
        Ok(BindKey { written: flags & WRITTEN != 0, read: flags & READ != 0, keyspace, db, key, left })
    }
    fn write(&self, item: &BindKey<'_>, out: &mut Vec<u8>) {
        let deadline = item.left.and_then(|left| left.deadline);
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let is_there = bit(item.left.is_some(), THERE) | bit(deadline.is_some(), DEADLINE);
        out.push(bit(item.written, WRITTEN) | bit(item.read, READ) | is_there);
        put_varint(out, u64::from(item.keyspace.0));
        out.push(item.db);
        put_bytes(out, item.key);
        out.extend(item.left.map(|left| left.kind as u8));
        deadline.into_iter().for_each(|ms| put_zigzag(out, ms));
    }
}

/// What stands behind the code of a bind.
pub(super) fn bind<'a>(exclusive: bool, from: &mut Reader<'a>) -> Result<Bind<'a>, WireError> {
    let at = from.offset();
    let is_unsafe = match from.u8()? {
        0 => false,
        1 => true,
        _ => return Err(WireError::Invalid { what: "safety of a transaction", at }),
    };
    let (voters, context) = (Seq::decode(NodeShape, from)?, Seq::decode(DotShape, from)?);
    let at = from.offset();
    let keys = Seq::decode(BindKeyShape, from)?;
    if keys.len() > MAX_BIND_KEYS {
        return Err(WireError::Invalid { what: "number of keys of a transaction", at });
    }
    Ok(Bind { exclusive, is_unsafe, voters, context, keys })
}
