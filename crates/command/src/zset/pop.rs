//! ZPOPMIN, ZPOPMAX, ZMPOP, BZPOPMIN, BZPOPMAX, BZMPOP.

use std::ops::Range;

use effect::{Kind, Op};
use engine::{Emitter, State, Stop, ZSetView};
use resp::{Args, Reply};

use crate::cx::{Cx, Empty};
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// Where members are popped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The least scores.
    Min,
    /// The greatest scores.
    Max,
}

impl End {
    fn read(text: &[u8]) -> Result<Self, Stop> {
        match text {
            _ if parse::is(text, "MIN") => Ok(Self::Min),
            _ if parse::is(text, "MAX") => Ok(Self::Max),
            _ => Err(errors::SYNTAX),
        }
    }
}

/// How a popped member is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Member and score are elements of the array around them.
    Flat,
    /// They are an array of their own.
    Pairs,
}

pub(super) fn zpopmin(cx: &mut Cx<'_, '_>) -> Outcome {
    pop(cx, End::Min)
}

pub(super) fn zpopmax(cx: &mut Cx<'_, '_>) -> Outcome {
    pop(cx, End::Max)
}

fn pop(cx: &mut Cx<'_, '_>, end: End) -> Outcome {
    if cx.argc() > 3 {
        return Err(errors::SYNTAX);
    }
    let count = match cx.args.get(2) {
        Some(text) => Some(parse::not_negative(text, errors::NOT_POSITIVE)?),
        None => None,
    };
    let key = cx.arg(1);
    let Some(zset) = cx.state.zset(key)? else {
        cx.reply.array(0);
        return Ok(());
    };
    let taken = count.unwrap_or(1).min(zset.len()?);
    let pairs = count.is_some() && cx.reply.is_resp3();
    let (len, shape) = if pairs { (taken, Shape::Pairs) } else { (taken * 2, Shape::Flat) };
    cx.reply.array(len);
    Take { end, count: taken, shape }.from(&zset, key, &mut cx.reply, cx.out)
}

/// What is popped of a sorted set: so many members, which are there.
#[derive(Debug, Clone, Copy)]
struct Take {
    end: End,
    count: usize,
    shape: Shape,
}

impl Take {
    /// Writes the members and says that they go.
    fn from(self, zset: &ZSetView<'_>, key: &[u8], reply: &mut Reply<'_>, out: &mut Emitter<'_>) -> Outcome {
        let Self { end, count, shape } = self;
        if count == 0 {
            return Ok(());
        }
        let mut ids = out.ids();
        let mut each = |(member, score): (&[u8], f64)| {
            if shape == Shape::Pairs {
                reply.array(2);
            }
            reply.bulk(member);
            reply.double(score);
            ids.push(member);
        };
        let len = zset.len()?;
        match end {
            End::Min => zset.range(0..count)?.for_each(&mut each),
            // One member is read forwards, which needs no memory.
            End::Max if count == 1 => zset.range(len - 1..len)?.for_each(&mut each),
            End::Max => zset.range(len - count..len)?.rev().for_each(&mut each),
        }
        out.emit(key, false, Op::Drop { kind: Kind::ZSet, ids: ids.seq() });
        out.recycle(ids);
        Ok(())
    }
}

/// The sorted set at `key` as a command that may wait sees it: for a client that waits already, a key of another type is
/// as good as none. It was no other type when the client began to wait, and what comes after it can still be served.
fn available<'s>(state: &'s State<'_>, key: &'s [u8], waiting: bool) -> Result<Option<ZSetView<'s>>, Stop> {
    match state.zset(key) {
        Err(Stop::WrongType) if waiting => Ok(None),
        found => found,
    }
}

/// The first of the keys at these arguments that holds a sorted set.
fn first_of<'s>(
    state: &'s State<'_>,
    args: Args<'s>,
    keys: Range<usize>,
    waiting: bool,
) -> Result<Option<(&'s [u8], ZSetView<'s>)>, Stop> {
    for key in keys.filter_map(|at| args.get(at)) {
        if let Some(zset) = available(state, key, waiting)? {
            return Ok(Some((key, zset)));
        }
    }
    Ok(None)
}

/// ZMPOP's arguments from the count of keys on.
struct Many {
    keys: Range<usize>,
    end: End,
    count: usize,
}

impl Many {
    fn read(cx: &Cx<'_, '_>, at: usize) -> Result<Self, Stop> {
        let keys = parse::positive(cx.arg(at), errors::NUMKEYS_NOT_POSITIVE)?;
        let behind = keys.checked_add(at + 1).filter(|behind| *behind < cx.argc()).ok_or(errors::SYNTAX)?;
        let end = End::read(cx.arg(behind))?;
        let mut count = None;
        let mut option = behind + 1;
        while option < cx.argc() {
            if count.is_some() || option + 1 == cx.argc() || !parse::is(cx.arg(option), "COUNT") {
                return Err(errors::SYNTAX);
            }
            count = Some(parse::positive(cx.arg(option + 1), errors::COUNT_NOT_POSITIVE)?);
            option += 2;
        }
        Ok(Self { keys: at + 1..behind, end, count: count.unwrap_or(1) })
    }

    /// Pops and replies; no, if none of the keys holds a sorted set.
    fn pop(self, cx: &mut Cx<'_, '_>) -> Result<bool, Stop> {
        let found = first_of(cx.state, cx.args, self.keys, cx.waiting)?;
        let Some((key, zset)) = found else { return Ok(false) };
        let count = self.count.min(zset.len()?);
        cx.reply.array(2);
        cx.reply.bulk(key);
        cx.reply.array(count);
        Take { end: self.end, count, shape: Shape::Pairs }.from(&zset, key, &mut cx.reply, cx.out)?;
        Ok(true)
    }
}

pub(super) fn zmpop(cx: &mut Cx<'_, '_>) -> Outcome {
    if !Many::read(cx, 1)?.pop(cx)? {
        cx.reply.null_array();
    }
    Ok(())
}

pub(super) fn bzmpop(cx: &mut Cx<'_, '_>) -> Outcome {
    let many = Many::read(cx, 2)?;
    let timeout_ms = parse::timeout_ms(cx.arg(1))?;
    if many.pop(cx)? { Ok(()) } else { cx.block(timeout_ms, Empty::Array) }
}

pub(super) fn bzpopmin(cx: &mut Cx<'_, '_>) -> Outcome {
    pop_or_block(cx, End::Min)
}

pub(super) fn bzpopmax(cx: &mut Cx<'_, '_>) -> Outcome {
    pop_or_block(cx, End::Max)
}

fn pop_or_block(cx: &mut Cx<'_, '_>, end: End) -> Outcome {
    let last = cx.argc() - 1;
    let timeout_ms = parse::timeout_ms(cx.arg(last))?;
    let found = first_of(cx.state, cx.args, 1..last, cx.waiting)?;
    let Some((key, zset)) = found else { return cx.block(timeout_ms, Empty::Array) };
    cx.reply.array(3);
    cx.reply.bulk(key);
    Take { end, count: 1, shape: Shape::Flat }.from(&zset, key, &mut cx.reply, cx.out)
}
