//! LPOP, RPOP, LMPOP, BLPOP, BRPOP, BLMPOP.

use std::ops::Range;

use effect::Side;
use engine::Stop;

use super::{available, cut, end};
use crate::cx::{Cx, Empty};
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

pub(super) fn lpop(cx: &mut Cx<'_, '_>) -> Outcome {
    pop(cx, Side::Head, "lpop")
}

pub(super) fn rpop(cx: &mut Cx<'_, '_>) -> Outcome {
    pop(cx, Side::Tail, "rpop")
}

fn pop(cx: &mut Cx<'_, '_>, side: Side, name: &str) -> Outcome {
    if cx.argc() > 3 {
        return Err(errors::wrong_arity(name).into());
    }
    let count = match cx.args.get(2) {
        Some(text) => Some(parse::not_negative(text, errors::NOT_POSITIVE)?),
        None => None,
    };
    let key = cx.arg(1);
    let Some(list) = cx.state.list(key)? else {
        match count {
            Some(_) => cx.reply.null_array(),
            None => cx.reply.null(),
        }
        return Ok(());
    };
    let len = list.len()?;
    let indexes = end::indexes(side, count.unwrap_or(1), len);
    match count {
        Some(_) => end::reply(&mut cx.reply, &list, indexes.clone(), side)?,
        None => end::each(&list, indexes.clone(), side, |value| cx.reply.bulk(value))?,
    }
    cut::range(cx.out, key, &list, len, indexes)
}

/// What of the first list that is there is popped.
#[derive(Clone, Copy)]
enum Take {
    /// One element, answered beside the key.
    One,
    /// Up to so many, answered as an array beside the key.
    UpTo(usize),
}

/// Pops from the first of the keys at these arguments that holds a list, and replies; no, if there is none.
fn pop_first(cx: &mut Cx<'_, '_>, keys: Range<usize>, side: Side, take: Take) -> Result<bool, Stop> {
    for at in keys {
        let key = cx.arg(at);
        let Some(list) = available(cx.state, key, cx.waiting)? else { continue };
        let len = list.len()?;
        cx.reply.array(2);
        cx.reply.bulk(key);
        let indexes = match take {
            Take::One => end::indexes(side, 1, len),
            Take::UpTo(count) => end::indexes(side, count, len),
        };
        match take {
            Take::One => end::each(&list, indexes.clone(), side, |value| cx.reply.bulk(value))?,
            Take::UpTo(_) => end::reply(&mut cx.reply, &list, indexes.clone(), side)?,
        }
        cut::range(cx.out, key, &list, len, indexes)?;
        return Ok(true);
    }
    Ok(false)
}

/// The arguments of LMPOP from the count of keys on: the arguments of the keys, the end, and how many to pop.
fn parse_many(cx: &Cx<'_, '_>, at: usize) -> Result<(Range<usize>, Side, usize), Stop> {
    let keys = parse::positive(cx.arg(at), errors::NUMKEYS_NOT_POSITIVE)?;
    let behind = keys.checked_add(at + 1).filter(|behind| *behind < cx.argc()).ok_or(errors::SYNTAX)?;
    let side = end::side(cx.arg(behind))?;
    let count = match cx.argc() - behind {
        1 => 1,
        more => {
            if more == 2 || !parse::is(cx.arg(behind + 1), "COUNT") {
                return Err(errors::SYNTAX);
            }
            // Redis goes on behind the count only once it has read it.
            let count = parse::positive(cx.arg(behind + 2), errors::COUNT_NOT_POSITIVE)?;
            if more > 3 {
                return Err(errors::SYNTAX);
            }
            count
        }
    };
    Ok((at + 1..behind, side, count))
}

pub(super) fn lmpop(cx: &mut Cx<'_, '_>) -> Outcome {
    let (keys, side, count) = parse_many(cx, 1)?;
    if !pop_first(cx, keys, side, Take::UpTo(count))? {
        cx.reply.null_array();
    }
    Ok(())
}

pub(super) fn blpop(cx: &mut Cx<'_, '_>) -> Outcome {
    pop_or_block(cx, Side::Head)
}

pub(super) fn brpop(cx: &mut Cx<'_, '_>) -> Outcome {
    pop_or_block(cx, Side::Tail)
}

fn pop_or_block(cx: &mut Cx<'_, '_>, side: Side) -> Outcome {
    let last = cx.argc() - 1;
    let timeout_ms = parse::timeout_ms(cx.arg(last))?;
    if pop_first(cx, 1..last, side, Take::One)? { Ok(()) } else { cx.block(timeout_ms, Empty::Array) }
}

pub(super) fn blmpop(cx: &mut Cx<'_, '_>) -> Outcome {
    let (keys, side, count) = parse_many(cx, 2)?;
    let timeout_ms = parse::timeout_ms(cx.arg(1))?;
    if pop_first(cx, keys, side, Take::UpTo(count))? { Ok(()) } else { cx.block(timeout_ms, Empty::Array) }
}
