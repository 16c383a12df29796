//! BITFIELD: integers of any width within a string.

use effect::{Op, Patch};
use engine::Stop;
use smallvec::SmallVec;

use crate::bitmap::bits::bit_offset;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// What happens when a value does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// The type of an integer: `i1` to `i64`, `u1` to `u63`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Width {
    signed: bool,
    bits: u8,
}

impl Width {
    fn read(text: &[u8]) -> Result<Self, Stop> {
        let (signed, digits, max) = match text {
            [b'i', digits @ ..] => (true, digits, 64),
            [b'u', digits @ ..] => (false, digits, 63),
            _ => return Err(errors::BITFIELD_TYPE),
        };
        let bits = resp::parse_i64(digits).filter(|bits| (1..=max).contains(bits)).ok_or(errors::BITFIELD_TYPE)?;
        Ok(Self { signed, bits: bits as u8 })
    }

    fn range(self) -> (i128, i128) {
        let half = 1i128 << (self.bits - 1);
        if self.signed { (-half, half - 1) } else { (0, 2 * half - 1) }
    }

    /// The integer at a bit of a string; what lies beyond the end is zero.
    fn get(self, whole: &[u8], offset: u64) -> i128 {
        let first = (offset / 8) as usize;
        let window = (0..9).fold(0u128, |bits, i| bits << 8 | u128::from(whole.get(first + i).copied().unwrap_or(0)));
        self.fit(window >> (72 - offset as u32 % 8 - u32::from(self.bits)))
    }

    /// The lower bits of a two's complement number.
    fn fit(self, bits: u128) -> i128 {
        let unused = 128 - u32::from(self.bits);
        if self.signed { (bits << unused) as i128 >> unused } else { (bits << unused >> unused) as i128 }
    }

    /// The value that a saturating SET of a signed type starts from.
    ///
    /// Redis subtracts it from the type's maximum in 64 bits: where that overflows, a value far below the range
    /// passes for one above it. Replies are the same here.
    fn as_redis_saturates(self, value: i64, overflow: Overflow) -> i128 {
        let (_, max) = self.range();
        let overflows = max - i128::from(value) > i128::from(i64::MAX);
        if overflow == Overflow::Saturate && self.bits < 64 && overflows { max } else { i128::from(value) }
    }

    /// A result within the type's range; `None` if it does not fit and must.
    fn limit(self, value: i128, overflow: Overflow) -> Option<i128> {
        let (min, max) = self.range();
        match overflow {
            _ if (min..=max).contains(&value) => Some(value),
            Overflow::Wrap => Some(self.fit(value as u128)),
            Overflow::Saturate => Some(value.clamp(min, max)),
            Overflow::Fail => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// One operation of the command.
#[derive(Debug, Clone, Copy)]
struct Step {
    action: Action,
    width: Width,
    offset: u64,
}

impl Step {
    /// Bytes that the string has once this was written.
    fn end(&self) -> u64 {
        (self.offset + u64::from(self.width.bits)).div_ceil(8)
    }

    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }
}

type Steps = SmallVec<[Step; 4]>;

fn read_steps(cx: &Cx<'_, '_>) -> Result<Steps, Stop> {
    let mut steps = Steps::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while at < cx.argc() {
        let word = cx.arg(at);
        let left = cx.argc() - at - 1;
        if parse::is(word, "overflow") && left >= 1 {
            overflow = read_overflow(cx.arg(at + 1))?;
            at += 2;
            continue;
        }
        let value_at = match () {
            () if parse::is(word, "get") && left >= 2 => None,
            () if (parse::is(word, "set") || parse::is(word, "incrby")) && left >= 3 => Some(at + 3),
            () => return Err(errors::SYNTAX),
        };
        let width = Width::read(cx.arg(at + 1))?;
        let offset = bit_offset(cx, cx.arg(at + 2), Some(width.bits))?;
        let action = match value_at {
            None => Action::Get,
            Some(at) if parse::is(word, "set") => Action::Set(parse::int(cx.arg(at))?, overflow),
            Some(at) => Action::Add(parse::int(cx.arg(at))?, overflow),
        };
        steps.push(Step { action, width, offset });
        at += if value_at.is_some() { 4 } else { 3 };
    }
    Ok(steps)
}

fn read_overflow(text: &[u8]) -> Result<Overflow, Stop> {
    const NAMES: [(&str, Overflow); 3] =
        [("wrap", Overflow::Wrap), ("sat", Overflow::Saturate), ("fail", Overflow::Fail)];
    let found = NAMES.iter().find(|(name, _)| parse::is(text, name));
    found.map(|(_, overflow)| *overflow).ok_or(errors::BITFIELD_OVERFLOW)
}

pub(super) fn bitfield(cx: &mut Cx<'_, '_>) -> Outcome {
    let steps = read_steps(cx)?;
    run(cx, &steps)
}

pub(super) fn bitfield_ro(cx: &mut Cx<'_, '_>) -> Outcome {
    let steps = read_steps(cx)?;
    if steps.iter().any(Step::writes) {
        return Err(errors::BITFIELD_READ_ONLY);
    }
    run(cx, &steps)
}

/// Every write is an effect of its own, and later operations see it.
fn run(cx: &mut Cx<'_, '_>, steps: &[Step]) -> Outcome {
    let key = cx.arg(1);
    let old = cx.state.string(key)?;
    let (mut fresh, mut len) = (old.is_none(), old.map_or(0, <[u8]>::len) as u64);
    // Even where every write fails, the string grows to hold what was to be written.
    //
    // `DIFFERENCE:` those who watch the key are told then. Redis changes the string and tells nobody.
    let needed = steps.iter().filter(|step| step.writes()).map(Step::end).max().unwrap_or(0);
    let mut unsettled = false;
    cx.reply.array(steps.len());
    for step in steps {
        if std::mem::take(&mut unsettled) {
            cx.settle();
        }
        let before = step.width.get(cx.state.string(key)?.unwrap_or_default(), step.offset);
        let Some((reply, after)) = outcome(step, before) else {
            cx.reply.null();
            continue;
        };
        cx.reply.int(reply as i64);
        if after != before {
            let (offset, width, value) = (step.offset, step.width.bits, after as u64);
            cx.out.emit(key, fresh, Op::Patch(Patch::Bits { offset, width, value }));
            (fresh, len, unsettled) = (false, len.max(step.end()), true);
        }
    }
    if needed > len {
        cx.out.emit(key, fresh, Op::Patch(Patch::Write { offset: needed - 1, bytes: &[0] }));
    }
    Ok(())
}

/// What an operation answers and what stands there afterwards; `None` if it failed.
fn outcome(step: &Step, before: i128) -> Option<(i128, i128)> {
    match step.action {
        Action::Get => Some((before, before)),
        Action::Set(value, overflow) => {
            // A negative value for an unsigned type is a very large one.
            let value = match step.width.signed {
                true => step.width.as_redis_saturates(value, overflow),
                false => i128::from(value as u64),
            };
            step.width.limit(value, overflow).map(|after| (before, after))
        }
        Action::Add(delta, overflow) => {
            step.width.limit(before + i128::from(delta), overflow).map(|after| (after, after))
        }
    }
}
