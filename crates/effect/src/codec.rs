//! Effects as bytes.
//!
//! ```text
//! effect := op u8 ‖ flags u8 ‖ keyspace varint ‖ db u8 ‖ key ‖ [deps] ‖ [deadline zigzag] ‖ body
//! flags   : bit 0 fresh, bit 1 deps follow, bits 2-3 deadline (0 clear, 1 keep, 2 at), bit 4 as the op says
//! deps    := count varint ‖ (origin u64 LE ‖ seq varint)*
//! ```
//! Byte strings have their length before them (varint). Numbers of operations are never reused. A flag that the operation
//! has no use for is refused, so that a later version can give it a meaning that this one does not overlook.
//!
//! *Invariant:* whatever is accepted would be written again as the same bytes.

mod flags;
mod keyspace;
mod patch;
mod shapes;

use flags::{deadline_of, extra_of};
use keyspace::{definition, group_definition, put_definition, put_group_definition};
pub(crate) use keyspace::{put_stamp, stamp};
use patch::{bits, write};
pub use shapes::{BindKey, BindKeyShape, DotShape, Left, NodeShape};
pub(crate) use shapes::{dot, put_dot};

use crate::id::KeyspaceId;
use crate::items::{BytesShape, FieldShape, ItemShape, RunShape, Seq, get_deadline, put_deadline};
use crate::op::{Deadline, Effect, Kind, Merge, Op, Patch, Side};
use crate::pos::{ListPos, check_reach};
use crate::value::Folded;
use crate::wire::{Reader, WireError, put_bytes, put_varint, put_zigzag};

const FRESH: u8 = 1;
const DEPS: u8 = 1 << 1;
pub(crate) const KEEP: u8 = 1 << 2;
const AT: u8 = 2 << 2;
pub(crate) const DEADLINE: u8 = 3 << 2;
const EXTRA: u8 = 1 << 4;

/// The number of each operation on disk and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    Set = 1,
    AddInt = 2,
    AddDecimal = 3,
    MaxBytes = 4,
    Append = 5,
    Write = 6,
    Bits = 7,
    Put = 8,
    Drop = 9,
    FieldDeadlines = 10,
    Push = 11,
    Insert = 12,
    SetAt = 13,
    Cut = 14,
    Replace = 15,
    Expire = 16,
    Remove = 17,
    Rename = 18,
    Noop = 19,
    Bind = 20,
    Verdict = 21,
    Snapshot = 22,
    FlushDb = 23,
    FlushAll = 24,
    SwapDb = 25,
    Serialize = 26,
    Define = 27,
    Undefine = 28,
    Moved = 29,
    Again = 30,
    GroupDefine = 31,
}

const CODES: [Code; 31] = [
    Code::Set,
    Code::AddInt,
    Code::AddDecimal,
    Code::MaxBytes,
    Code::Append,
    Code::Write,
    Code::Bits,
    Code::Put,
    Code::Drop,
    Code::FieldDeadlines,
    Code::Push,
    Code::Insert,
    Code::SetAt,
    Code::Cut,
    Code::Replace,
    Code::Expire,
    Code::Remove,
    Code::Rename,
    Code::Noop,
    Code::Bind,
    Code::Verdict,
    Code::Snapshot,
    Code::FlushDb,
    Code::FlushAll,
    Code::SwapDb,
    Code::Serialize,
    Code::Define,
    Code::Undefine,
    Code::Moved,
    Code::Again,
    Code::GroupDefine,
];

impl Code {
    /// The flags that mean something to it.
    #[inline]
    fn flags(self) -> u8 {
        match self {
            Code::Set | Code::Put | Code::Replace => FRESH | DEPS | DEADLINE,
            Code::Push | Code::Bind | Code::Verdict | Code::Serialize | Code::GroupDefine => FRESH | DEPS | EXTRA,
            _ => FRESH | DEPS,
        }
    }
}

fn code_of(op: &Op<'_>) -> Code {
    match op {
        Op::Set { .. } => Code::Set,
        Op::AddInt(_) => Code::AddInt,
        Op::AddDecimal(_) => Code::AddDecimal,
        Op::MaxBytes(_) => Code::MaxBytes,
        Op::Patch(Patch::Append(_)) => Code::Append,
        Op::Patch(Patch::Write { .. }) => Code::Write,
        Op::Patch(Patch::Bits { .. }) => Code::Bits,
        Op::Put { .. } => Code::Put,
        Op::Drop { .. } => Code::Drop,
        Op::FieldDeadlines(_) => Code::FieldDeadlines,
        Op::Push { .. } => Code::Push,
        Op::Insert { .. } => Code::Insert,
        Op::SetAt { .. } => Code::SetAt,
        Op::Cut(_) => Code::Cut,
        Op::Replace { .. } => Code::Replace,
        Op::Expire(_) => Code::Expire,
        Op::Remove => Code::Remove,
        Op::Rename { .. } => Code::Rename,
        Op::Noop => Code::Noop,
        Op::Bind(_) => Code::Bind,
        Op::Verdict { .. } => Code::Verdict,
        Op::Snapshot { .. } => Code::Snapshot,
        Op::FlushDb => Code::FlushDb,
        Op::FlushAll => Code::FlushAll,
        Op::SwapDb(_) => Code::SwapDb,
        Op::Serialize(_) => Code::Serialize,
        Op::Define(_) => Code::Define,
        Op::Undefine => Code::Undefine,
        Op::Moved(_) => Code::Moved,
        Op::Again(_) => Code::Again,
        Op::GroupDefine(_) => Code::GroupDefine,
    }
}

/// Appends `effect`; `home` is the origin of the batch.
#[inline]
pub(crate) fn encode(effect: &Effect<'_>, home: u64, out: &mut Vec<u8>) {
    let deadline = deadline_of(&effect.op);
    let mut flags = if effect.fresh { FRESH } else { 0 };
    flags |= if extra_of(&effect.op) { EXTRA } else { 0 };
    flags |= if effect.deps.is_empty() { 0 } else { DEPS };
    flags |= match deadline {
        Deadline::Clear => 0,
        Deadline::Keep => KEEP,
        Deadline::At(_) => AT,
    };
    out.extend_from_slice(&[code_of(&effect.op) as u8, flags]);
    put_varint(out, u64::from(effect.keyspace.0));
    out.push(effect.db);
    put_bytes(out, effect.key);
    if !effect.deps.is_empty() {
        effect.deps.encode(out);
    }
    if let Deadline::At(ms) = deadline {
        put_zigzag(out, ms);
    }
    encode_body(&effect.op, home, out);
}

#[inline]
fn encode_body(op: &Op<'_>, home: u64, out: &mut Vec<u8>) {
    match op {
        Op::Set { value, .. } => put_bytes(out, value),
        Op::AddInt(delta) => put_zigzag(out, *delta),
        Op::AddDecimal(text) => put_bytes(out, text),
        Op::MaxBytes(bytes) | Op::Patch(Patch::Append(bytes)) => put_bytes(out, bytes),
        Op::Patch(Patch::Write { offset, bytes }) => {
            put_varint(out, *offset);
            put_bytes(out, bytes);
        }
        Op::Patch(Patch::Bits { offset, width, value }) => {
            put_varint(out, *offset);
            out.push(*width);
            put_varint(out, *value);
        }
        Op::Put { kind, merge, items, .. } => {
            out.push(*kind as u8);
            out.push(*merge as u8);
            items.encode(out);
        }
        Op::Drop { kind, ids } => {
            out.push(*kind as u8);
            ids.encode(out);
        }
        Op::FieldDeadlines(fields) => fields.encode(out),
        Op::Push { first, values, .. } => {
            first.encode(home, out);
            values.encode(out);
        }
        Op::Insert { pos, value } | Op::SetAt { pos, value } => {
            pos.encode(home, out);
            put_bytes(out, value);
        }
        Op::Cut(runs) => {
            debug_assert_eq!(runs.shape().home, home, "positions are encoded for the origin of their batch");
            runs.encode(out);
        }
        Op::Replace { value, .. } => {
            debug_assert!(value.is_of(home), "positions are encoded for the origin of their batch");
            value.encode(out);
        }
        Op::Expire(deadline) => put_deadline(out, *deadline),
        Op::Rename { keyspace, db, key } => {
            put_varint(out, u64::from(keyspace.0));
            out.push(*db);
            put_bytes(out, key);
        }
        Op::Bind(bind) => {
            out.push(u8::from(bind.is_unsafe));
            bind.voters.encode(out);
            bind.context.encode(out);
            bind.keys.encode(out);
        }
        Op::Verdict { bind, ballot, .. } => {
            put_dot(out, *bind);
            put_varint(out, *ballot);
        }
        Op::Snapshot { hlc, writer, value, deadline } => {
            out.extend_from_slice(&hlc.to_le_bytes());
            put_dot(out, *writer);
            put_deadline(out, *deadline);
            debug_assert!(value.is_of(home), "positions are encoded for the origin of their batch");
            value.encode(out);
        }
        Op::SwapDb(other) => out.push(*other),
        Op::Serialize(Some(leader)) => out.extend_from_slice(&leader.to_le_bytes()),
        Op::Define(definition) => put_definition(definition, out),
        Op::Moved(epoch) => put_varint(out, *epoch),
        Op::Again(last) => put_dot(out, *last),
        Op::GroupDefine(Some(definition)) => put_group_definition(definition, out),
        Op::GroupDefine(None)
        | Op::Serialize(None)
        | Op::Remove
        | Op::Noop
        | Op::FlushDb
        | Op::FlushAll
        | Op::Undefine => {}
    }
}

/// Reads one effect; everything in it is checked.
#[inline(always)]
pub(crate) fn decode<'a>(home: u64, from: &mut Reader<'a>) -> Result<Effect<'a>, WireError> {
    let at = from.offset();
    let code = from.u8()?;
    let code = *CODES.get(usize::from(code).wrapping_sub(1)).ok_or(WireError::Invalid { what: "operation", at })?;
    let flags_at = from.offset();
    let flags = from.u8()?;
    if flags & !code.flags() != 0 {
        return Err(WireError::Invalid { what: "flags", at: flags_at });
    }
    let keyspace = keyspace(from)?;
    let db = from.u8()?;
    let key = from.bytes()?;
    let deps = if flags & DEPS != 0 { dependencies(from)? } else { Seq::empty(DotShape) };
    let deadline = match flags & DEADLINE {
        0 => Deadline::Clear,
        KEEP => Deadline::Keep,
        AT => Deadline::At(from.zigzag()?),
        _ => return Err(WireError::Invalid { what: "deadline", at: flags_at }),
    };
    let extra = flags & EXTRA != 0;
    let op = decode_body(code, deadline, extra, home, from)?;
    Ok(Effect { keyspace, db, key, fresh: flags & FRESH != 0, deps, op })
}

#[inline(always)]
fn decode_body<'a>(
    code: Code,
    deadline: Deadline,
    extra: bool,
    home: u64,
    from: &mut Reader<'a>,
) -> Result<Op<'a>, WireError> {
    Ok(match code {
        Code::Set => Op::Set { value: from.bytes()?, deadline },
        Code::AddInt => Op::AddInt(from.zigzag()?),
        Code::AddDecimal => Op::AddDecimal(from.bytes()?),
        Code::MaxBytes => Op::MaxBytes(from.bytes()?),
        Code::Append => Op::Patch(Patch::Append(from.bytes()?)),
        Code::Write => Op::Patch(write(from)?),
        Code::Bits => Op::Patch(bits(from)?),
        Code::Put => {
            let kind = element_kind(from)?;
            let merge = merge(from)?;
            let items = Seq::decode_last(ItemShape { kind, merge }, from)?;
            Op::Put { kind, merge, deadline, items }
        }
        Code::Drop => Op::Drop { kind: element_kind(from)?, ids: Seq::decode_last(BytesShape, from)? },
        Code::FieldDeadlines => Op::FieldDeadlines(Seq::decode_last(FieldShape, from)?),
        Code::Push => {
            let (side, way) = if extra { (Side::Head, -1) } else { (Side::Tail, 1) };
            let at = from.offset();
            let (first, values) = (ListPos::decode(home, from)?, Seq::decode_last(BytesShape, from)?);
            check_reach(first.n, way, values.len() as u64, at)?;
            Op::Push { side, first, values }
        }
        Code::Insert => Op::Insert { pos: ListPos::decode(home, from)?, value: from.bytes()? },
        Code::SetAt => Op::SetAt { pos: ListPos::decode(home, from)?, value: from.bytes()? },
        Code::Cut => Op::Cut(Seq::decode_last(RunShape { home }, from)?),
        Code::Replace => Op::Replace { value: Folded::decode(home, from)?, deadline },
        Code::Expire => Op::Expire(get_deadline(from)?),
        Code::Remove => Op::Remove,
        Code::Rename => Op::Rename { keyspace: keyspace(from)?, db: from.u8()?, key: from.bytes()? },
        Code::Noop => Op::Noop,
        Code::Bind => Op::Bind(shapes::bind(extra, from)?),
        Code::Verdict => Op::Verdict { bind: dot(from)?, committed: extra, ballot: from.varint()? },
        Code::Snapshot => {
            let (hlc, writer, deadline) = (from.u64()?, dot(from)?, get_deadline(from)?);
            Op::Snapshot { hlc, writer, deadline, value: Folded::decode(home, from)? }
        }
        Code::FlushDb => Op::FlushDb,
        Code::FlushAll => Op::FlushAll,
        Code::SwapDb => Op::SwapDb(from.u8()?),
        Code::Serialize => Op::Serialize(if extra { Some(from.u64()?) } else { None }),
        Code::Define => Op::Define(definition(from)?),
        Code::Undefine => Op::Undefine,
        Code::Moved => Op::Moved(from.varint()?),
        Code::Again => Op::Again(dot(from)?),
        Code::GroupDefine => Op::GroupDefine(if extra { Some(group_definition(from)?) } else { None }),
    })
}

/// The dependencies that a flag has announced: at least one.
fn dependencies<'a>(from: &mut Reader<'a>) -> Result<Seq<'a, DotShape>, WireError> {
    let at = from.offset();
    let deps = Seq::decode(DotShape, from)?;
    if deps.is_empty() { Err(WireError::Invalid { what: "number of dependencies", at }) } else { Ok(deps) }
}

fn keyspace(from: &mut Reader<'_>) -> Result<KeyspaceId, WireError> {
    let at = from.offset();
    u16::try_from(from.varint()?).map(KeyspaceId).map_err(|_| WireError::Invalid { what: "keyspace id", at })
}

fn element_kind(from: &mut Reader<'_>) -> Result<Kind, WireError> {
    let at = from.offset();
    match Kind::from_u8(from.u8()?) {
        Some(kind @ (Kind::Hash | Kind::Set | Kind::ZSet)) => Ok(kind),
        _ => Err(WireError::Invalid { what: "kind of elements", at }),
    }
}

fn merge(from: &mut Reader<'_>) -> Result<Merge, WireError> {
    let at = from.offset();
    Ok(match from.u8()? {
        0 => Merge::LastWriter,
        1 => Merge::AddInt,
        2 => Merge::AddFloat,
        3 => Merge::MaxInt,
        4 => Merge::FirstWriter,
        5 => Merge::MaxBytes,
        _ => return Err(WireError::Invalid { what: "merge rule", at }),
    })
}
