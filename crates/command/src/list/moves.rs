//! RPOPLPUSH, LMOVE, LMOVEM, BRPOPLPUSH, BLMOVE, BLMOVEM.

use effect::{Op, Side};
use engine::Stop;

use super::cut::Cut;
use super::{available, block_or_null, end};
use crate::cx::{Cx, Empty};
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// How many elements move, and in which order.
#[derive(Clone, Copy)]
struct Amount {
    /// How many at most.
    count: usize,
    /// Fewer do not move at all.
    exactly: bool,
    /// Each is popped and pushed before the next; else they keep the order that they have.
    one_by_one: bool,
    /// They are answered as an array.
    array: bool,
}

/// One element, answered by itself.
const ONE: Amount = Amount { count: 1, exactly: false, one_by_one: false, array: false };

pub(super) fn rpoplpush(cx: &mut Cx<'_, '_>) -> Outcome {
    if !transfer(cx, Side::Tail, Side::Head, ONE)? {
        cx.reply.null();
    }
    Ok(())
}

pub(super) fn lmove(cx: &mut Cx<'_, '_>) -> Outcome {
    let (from, to) = parse_sides(cx)?;
    if !transfer(cx, from, to, ONE)? {
        cx.reply.null();
    }
    Ok(())
}

pub(super) fn lmovem(cx: &mut Cx<'_, '_>) -> Outcome {
    let (from, to) = parse_sides(cx)?;
    let amount = parse_amount(cx, 5)?;
    if !transfer(cx, from, to, amount)? {
        cx.reply.null_array();
    }
    Ok(())
}

pub(super) fn brpoplpush(cx: &mut Cx<'_, '_>) -> Outcome {
    let timeout_ms = parse::timeout_ms(cx.arg(3))?;
    if transfer(cx, Side::Tail, Side::Head, ONE)? { Ok(()) } else { block_or_null(cx, timeout_ms) }
}

pub(super) fn blmove(cx: &mut Cx<'_, '_>) -> Outcome {
    let (from, to) = parse_sides(cx)?;
    let timeout_ms = parse::timeout_ms(cx.arg(5))?;
    if transfer(cx, from, to, ONE)? { Ok(()) } else { block_or_null(cx, timeout_ms) }
}

pub(super) fn blmovem(cx: &mut Cx<'_, '_>) -> Outcome {
    let (from, to) = parse_sides(cx)?;
    let timeout_ms = parse::timeout_ms(cx.arg(5))?;
    let amount = parse_amount(cx, 6)?;
    if transfer(cx, from, to, amount)? { Ok(()) } else { cx.block(timeout_ms, Empty::Array) }
}

fn parse_sides(cx: &Cx<'_, '_>) -> Result<(Side, Side), Stop> {
    Ok((end::side(cx.arg(3))?, end::side(cx.arg(4))?))
}

/// The block of LMOVEM that says how many, which may be missing: `COUNT | EXACTLY`, a number, `OBO | BULK`.
fn parse_amount(cx: &Cx<'_, '_>, at: usize) -> Result<Amount, Stop> {
    let exactly = match cx.args.get(at) {
        None => return Ok(Amount { array: true, ..ONE }),
        Some(word) if parse::is(word, "COUNT") => false,
        Some(word) if parse::is(word, "EXACTLY") => true,
        Some(_) => return Err(errors::SYNTAX),
    };
    if cx.argc() != at + 3 {
        return Err(errors::SYNTAX);
    }
    let count = parse::positive(cx.arg(at + 1), errors::COUNT_NOT_POSITIVE)?;
    let one_by_one = parse::is(cx.arg(at + 2), "OBO");
    if !one_by_one && !parse::is(cx.arg(at + 2), "BULK") {
        return Err(errors::SYNTAX);
    }
    Ok(Amount { count, exactly, one_by_one, array: true })
}

/// Moves elements from the list at argument 1 to the one at argument 2 and answers with them in the order in which they
/// stand there; no, if there are none or too few.
fn transfer(cx: &mut Cx<'_, '_>, from: Side, to: Side, amount: Amount) -> Result<bool, Stop> {
    let (source, target) = (cx.arg(1), cx.arg(2));
    let same = source == target;
    let Some(list) = available(cx.state, source, cx.waiting)? else { return Ok(false) };
    let len = list.len()?;
    if amount.exactly && len < amount.count {
        return Ok(false);
    }
    let last = match cx.state.list(target)? {
        Some(other) => end::position(&other, to)?,
        None => None,
    };
    let indexes = end::indexes(from, amount.count, len);
    let whole = indexes.len() == len;
    let reversed = amount.one_by_one && from == to && indexes.len() > 1;
    // The order in which they stand at the target, by the end of the source at which it begins.
    let order = if reversed { Side::Tail } else { Side::Head };
    match amount.array {
        true => end::reply(&mut cx.reply, &list, indexes.clone(), order)?,
        false => end::each(&list, indexes.clone(), order, |value| cx.reply.bulk(value))?,
    }
    if same && !reversed && (from == to || whole) {
        // The list is what it was.
        cx.out.rewritten(source);
        return Ok(true);
    }
    // What is pushed first lies farthest from the end that is pushed to.
    let pushing = if reversed == (to == Side::Head) { Side::Head } else { Side::Tail };
    let mut values = cx.out.ids();
    end::each(&list, indexes.clone(), pushing, |value| values.push(value))?;
    let mut cut = Cut::new(cx.out);
    cut.add_range(&list, indexes)?;
    let first = end::beyond(last.as_ref(), to, cx.out.list_owner());
    let push = Op::Push { side: to, first, values: values.seq() };
    if same && whole {
        // Pushed first, so that the list is never empty and keeps its deadline.
        cx.out.emit(target, false, push);
        cut.emit(cx.out, source, usize::MAX);
    } else {
        cut.emit(cx.out, source, len);
        cx.out.emit(target, last.is_none(), push);
    }
    cx.out.recycle(values);
    Ok(true)
}
