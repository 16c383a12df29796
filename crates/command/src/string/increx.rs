//! INCREX: an increment with bounds and an expiry, the building block of rate limiters.

use std::cmp::Ordering;

use effect::Op;
use engine::Stop;

use crate::cx::Cx;
use crate::errors;
use crate::expiry::Unit;
use crate::long_double::{LongDouble, decimal_delta};
use crate::parse;
use crate::spec::Outcome;
use crate::string::number::float;

/// The options as they stand; numbers are read when it is known which kind they are.
#[derive(Default)]
struct Options<'c> {
    by_float: bool,
    by: Option<&'c [u8]>,
    lower: Option<&'c [u8]>,
    upper: Option<&'c [u8]>,
    saturate: bool,
    expiry: Option<(Unit, &'c [u8])>,
    persist: bool,
    only_without_deadline: bool,
    /// `Some(true)` for XX, `Some(false)` for NX.
    exists: Option<bool>,
}

impl<'c> Options<'c> {
    fn read(cx: &Cx<'c, '_>) -> Result<Self, Stop> {
        let mut options = Self::default();
        let mut at = 2;
        while at < cx.argc() {
            let value = (at + 1 < cx.argc()).then(|| cx.arg(at + 1));
            at += options.read_one(cx.arg(at), value)?;
        }
        if options.persist && (options.only_without_deadline || options.expiry.is_some()) {
            return Err(errors::SYNTAX);
        }
        if options.only_without_deadline && options.expiry.is_none() {
            return Err(errors::ENX_NEEDS_EXPIRY);
        }
        Ok(options)
    }

    /// Takes in one option, each of which may stand once; answers how many arguments it has, its name included.
    fn read_one(&mut self, word: &[u8], value: Option<&'c [u8]>) -> Result<usize, Stop> {
        let flag = |set: &mut bool| if std::mem::replace(set, true) { Err(errors::SYNTAX) } else { Ok(1) };
        let number = |set: &mut Option<&'c [u8]>| match (set.is_some(), value) {
            (false, Some(_)) => {
                *set = value;
                Ok(2)
            }
            _ => Err(errors::SYNTAX),
        };
        match Unit::option(word) {
            Some(unit) => {
                let value = value.filter(|_| self.expiry.is_none()).ok_or(errors::SYNTAX)?;
                self.expiry = Some((unit, value));
                Ok(2)
            }
            None if parse::is(word, "byint") => number(&mut self.by),
            None if parse::is(word, "byfloat") => {
                self.by_float = true;
                number(&mut self.by)
            }
            None if parse::is(word, "lbound") => number(&mut self.lower),
            None if parse::is(word, "ubound") => number(&mut self.upper),
            None if parse::is(word, "saturate") => flag(&mut self.saturate),
            None if parse::is(word, "persist") => flag(&mut self.persist),
            None if parse::is(word, "enx") => flag(&mut self.only_without_deadline),
            None if self.exists.is_none() && (parse::is(word, "nx") || parse::is(word, "xx")) => {
                self.exists = Some(parse::is(word, "xx"));
                Ok(1)
            }
            None => Err(errors::SYNTAX),
        }
    }

    fn allows(&self, exists: bool) -> bool {
        self.exists.is_none_or(|wanted| wanted == exists)
    }
}

pub(super) fn increx(cx: &mut Cx<'_, '_>) -> Outcome {
    let options = Options::read(cx)?;
    if options.by_float { by_float(cx, &options) } else { by_int(cx, &options) }
}

fn by_int(cx: &mut Cx<'_, '_>, options: &Options<'_>) -> Outcome {
    let number = |text: Option<&[u8]>, default, refusal| text.map_or(Some(default), resp::parse_i64).ok_or(refusal);
    let by = number(options.by, 1, errors::INCREMENT_NOT_AN_INTEGER)?;
    let lower = number(options.lower, i64::MIN, errors::LBOUND_NOT_AN_INTEGER)?;
    let upper = number(options.upper, i64::MAX, errors::UBOUND_NOT_AN_INTEGER)?;
    if lower > upper {
        return Err(errors::BOUNDS_CROSSED);
    }
    let deadline = deadline(cx, options)?;
    let key = cx.arg(1);
    let old = cx.state.string(key)?;
    let fresh = old.is_none();
    let value = old.map_or(Ok(0), parse::int)?;
    let sum = i128::from(value) + i128::from(by);
    let bounded = sum.clamp(lower.into(), upper.into()) as i64;
    let declined = !options.allows(!fresh) || (i128::from(bounded) != sum && !options.saturate);
    let (new, applied) =
        if declined { (value, 0) } else { (bounded, bounded.checked_sub(value).ok_or(errors::APPLIED_OVERFLOW)?) };
    cx.reply.array(2);
    cx.reply.int(new);
    cx.reply.int(applied);
    if declined {
        return Ok(());
    }
    let op = (fresh || applied != 0).then_some(Op::AddInt(applied));
    finish(cx, options, fresh, deadline, op)
}

fn by_float(cx: &mut Cx<'_, '_>, options: &Options<'_>) -> Outcome {
    let by = float(options.by.unwrap_or(b"1"), errors::INCREMENT_NOT_A_FLOAT)?;
    if !by.is_finite() {
        return Err(errors::INCREMENT_INFINITE);
    }
    let bound = |text: Option<&[u8]>, default, refusal| text.map_or(Ok(default), |text| float(text, refusal));
    let lower = bound(options.lower, LongDouble::MIN, errors::LBOUND_NOT_A_FLOAT)?;
    let upper = bound(options.upper, LongDouble::MAX, errors::UBOUND_NOT_A_FLOAT)?;
    if lower.compare(upper) == Ordering::Greater {
        return Err(errors::BOUNDS_CROSSED);
    }
    let deadline = deadline(cx, options)?;
    let key = cx.arg(1);
    let old = cx.state.string(key)?;
    let fresh = old.is_none();
    let value = old.map_or(Ok(LongDouble::ZERO), |text| float(text, errors::NOT_A_FLOAT))?;
    if !value.is_finite() {
        return Err(errors::VALUE_INFINITE);
    }
    let sum = value.plus(by).ok_or(errors::NAN_OR_INFINITY)?;
    // An infinite bound does not make an infinite sum acceptable.
    let (low, high) = (larger(lower, LongDouble::MIN), smaller(upper, LongDouble::MAX));
    let fits = sum.compare(low) != Ordering::Less && sum.compare(high) != Ordering::Greater;
    let declined = !options.allows(!fresh) || (!fits && !options.saturate);
    let (new, applied) = match (declined, fits) {
        (true, _) => (value, LongDouble::ZERO),
        (false, true) => (sum, sum.minus(value).ok_or(errors::APPLIED_INFINITE)?),
        (false, false) => {
            let bounded = smaller(larger(smaller(sum, LongDouble::MAX), lower), upper);
            (bounded, bounded.minus(value).ok_or(errors::APPLIED_INFINITE)?)
        }
    };
    if !applied.is_finite() {
        return Err(errors::APPLIED_INFINITE);
    }
    let printed = new.print();
    let delta = decimal_delta(old, &printed);
    cx.reply.array(2);
    reply_float(cx, &printed);
    reply_float(cx, &applied.print());
    if declined {
        return Ok(());
    }
    finish(cx, options, fresh, deadline, delta.as_ref().map(|text| Op::AddDecimal(text.as_bytes())))
}

fn larger(a: LongDouble, b: LongDouble) -> LongDouble {
    if a.compare(b) == Ordering::Less { b } else { a }
}

fn smaller(a: LongDouble, b: LongDouble) -> LongDouble {
    if a.compare(b) == Ordering::Greater { b } else { a }
}

/// A float with all its digits: a double in RESP3, a string in RESP2.
fn reply_float(cx: &mut Cx<'_, '_>, text: &str) {
    if cx.reply.is_resp3() {
        cx.reply.raw(b",");
        cx.reply.raw(text.as_bytes());
        cx.reply.raw(b"\r\n");
    } else {
        cx.reply.bulk(text.as_bytes());
    }
}

fn deadline(cx: &Cx<'_, '_>, options: &Options<'_>) -> Result<Option<i64>, Stop> {
    options.expiry.map(|(unit, text)| unit.deadline(text, cx.now_ms(), "increx")).transpose()
}

/// Emits the increment and what becomes of the deadline. A deadline that has passed removes the key.
fn finish(
    cx: &mut Cx<'_, '_>,
    options: &Options<'_>,
    fresh: bool,
    deadline: Option<i64>,
    increment: Option<Op<'_>>,
) -> Outcome {
    let key = cx.arg(1);
    let old_deadline = cx.state.deadline(key)?.flatten();
    let deadline = deadline.filter(|_| !(options.only_without_deadline && old_deadline.is_some()));
    if deadline.is_some_and(|deadline| deadline <= cx.now_ms()) {
        if !fresh {
            cx.out.remove(key);
        }
        return Ok(());
    }
    if let Some(op) = increment {
        cx.out.emit(key, fresh, op);
    }
    if deadline.is_some() && deadline != old_deadline {
        cx.out.emit(key, false, Op::Expire(deadline));
    } else if options.persist && old_deadline.is_some() {
        cx.out.emit(key, false, Op::Expire(None));
    }
    Ok(())
}
