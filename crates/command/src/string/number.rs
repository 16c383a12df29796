//! Strings as numbers: INCR and its kin.

use effect::Op;
use engine::Stop;

use crate::cx::Cx;
use crate::errors;
use crate::long_double::{LongDouble, decimal_delta};
use crate::parse;
use crate::spec::Outcome;

pub(super) fn incr(cx: &mut Cx<'_, '_>) -> Outcome {
    add(cx, 1)
}

pub(super) fn decr(cx: &mut Cx<'_, '_>) -> Outcome {
    add(cx, -1)
}

pub(super) fn incrby(cx: &mut Cx<'_, '_>) -> Outcome {
    add(cx, parse::int(cx.arg(2))?)
}

pub(super) fn decrby(cx: &mut Cx<'_, '_>) -> Outcome {
    add(cx, parse::int(cx.arg(2))?.checked_neg().ok_or(errors::DECREMENT_OVERFLOW)?)
}

/// Adds `delta` to the integer at argument 1.
#[inline]
fn add(cx: &mut Cx<'_, '_>, delta: i64) -> Outcome {
    let key = cx.arg(1);
    let old = cx.state.string(key)?;
    let fresh = old.is_none();
    let sum = old.map_or(Ok(0), parse::int)?.checked_add(delta).ok_or(errors::OVERFLOW)?;
    if fresh || delta != 0 {
        cx.out.emit(key, fresh, Op::AddInt(delta));
    } else {
        cx.out.rewritten(key);
    }
    cx.reply.int(sum);
    Ok(())
}

pub(super) fn incrbyfloat(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let old = cx.state.string(key)?;
    let value = old.map_or(Some(LongDouble::ZERO), LongDouble::parse).ok_or(errors::NOT_A_FLOAT)?;
    let delta = LongDouble::parse(cx.arg(2)).ok_or(errors::NOT_A_FLOAT)?;
    let sum = value.plus(delta).filter(|sum| sum.is_finite()).ok_or(errors::NAN_OR_INFINITY)?;
    let printed = sum.print();
    let (fresh, delta) = (old.is_none(), decimal_delta(old, &printed));
    match delta {
        Some(delta) => cx.out.emit(key, fresh, Op::AddDecimal(delta.as_bytes())),
        None => cx.out.rewritten(key),
    }
    cx.reply.bulk(printed.as_bytes());
    Ok(())
}

/// A float of an option; `refusal` if it is none.
pub(super) fn float(text: &[u8], refusal: Stop) -> Result<LongDouble, Stop> {
    LongDouble::parse(text).ok_or(refusal)
}
