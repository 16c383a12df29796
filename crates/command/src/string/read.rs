//! Commands that read strings, and those that read and remove.

use effect::Op;
use engine::Entry;

use crate::cx::Cx;
use crate::errors;
use crate::expiry::Unit;
use crate::parse;
use crate::spec::Outcome;
use crate::string::condition::digest_text;

pub(super) fn get(cx: &mut Cx<'_, '_>) -> Outcome {
    match cx.state.string(cx.arg(1))? {
        Some(value) => cx.reply.bulk(value),
        None => cx.reply.null(),
    }
    Ok(())
}

/// Keys of another type count as absent here.
pub(super) fn mget(cx: &mut Cx<'_, '_>) -> Outcome {
    cx.reply.array(cx.argc() - 1);
    for key in cx.args.iter().skip(1) {
        match cx.state.entry(key)?.and_then(Entry::bytes) {
            Some(value) => cx.reply.bulk(value),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn strlen(cx: &mut Cx<'_, '_>) -> Outcome {
    let len = cx.state.string(cx.arg(1))?.map_or(0, <[u8]>::len);
    cx.reply.int(len as i64);
    Ok(())
}

pub(super) fn getrange(cx: &mut Cx<'_, '_>) -> Outcome {
    let (start, end) = (parse::int(cx.arg(2))?, parse::int(cx.arg(3))?);
    let value = cx.state.string(cx.arg(1))?.unwrap_or_default();
    cx.reply.bulk(&value[byte_range(start, end, value.len() as i64)]);
    Ok(())
}

/// The bytes (or bits) that an inclusive pair of indexes means in `len` of them.
///
/// Unlike list ranges, an end before the first element means the first element, unless both ends count from the end
/// and are in the wrong order.
pub(crate) fn byte_range(start: i64, end: i64, len: i64) -> std::ops::Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

pub(super) fn getdel(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let Some(value) = cx.state.string(key)? else {
        cx.reply.null();
        return Ok(());
    };
    cx.reply.bulk(value);
    cx.out.remove(key);
    Ok(())
}

/// What GETEX does to the deadline.
enum Change {
    None,
    Persist,
    Expire(Unit, usize),
}

pub(super) fn getex(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let change = getex_options(cx)?;
    let Some(value) = cx.state.string(key)? else {
        cx.reply.null();
        return Ok(());
    };
    cx.reply.bulk(value);
    match change {
        Change::None => {}
        Change::Persist => {
            if cx.state.deadline(key)?.flatten().is_some() {
                cx.out.emit(key, false, Op::Expire(None));
            }
        }
        Change::Expire(unit, at) => {
            let deadline = unit.deadline(cx.arg(at), cx.now_ms(), "getex")?;
            if deadline <= cx.now_ms() {
                cx.out.remove(key);
            } else {
                cx.out.emit(key, false, Op::Expire(Some(deadline)));
            }
        }
    }
    Ok(())
}

/// An expiry option may be repeated (the last one counts) but not joined with another.
fn getex_options(cx: &Cx<'_, '_>) -> Result<Change, engine::Stop> {
    let mut change = Change::None;
    let mut at = 2;
    while at < cx.argc() {
        let word = cx.arg(at);
        match (&change, Unit::option(word)) {
            (Change::None | Change::Persist, None) if parse::is(word, "persist") => change = Change::Persist,
            (Change::None, Some(unit)) if at + 1 < cx.argc() => {
                at += 1;
                change = Change::Expire(unit, at);
            }
            (Change::Expire(known, _), Some(unit)) if *known == unit && at + 1 < cx.argc() => {
                at += 1;
                change = Change::Expire(unit, at);
            }
            _ => return Err(errors::SYNTAX),
        }
        at += 1;
    }
    Ok(change)
}

pub(super) fn digest(cx: &mut Cx<'_, '_>) -> Outcome {
    match cx.state.string(cx.arg(1))? {
        Some(value) => cx.reply.bulk(&digest_text(value)),
        None => cx.reply.null(),
    }
    Ok(())
}
