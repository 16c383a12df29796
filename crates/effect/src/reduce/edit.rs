//! What changes a value without taking it away: edits of strings and fields, deltas of scores, contents of list positions.
//!
//! *Invariant:* an edit is a function of the value that it meets. It reads nothing else, so that it can be folded into that value.

use std::convert::Infallible;

use bigdecimal::BigDecimal;

use crate::id::Dot;
use crate::limits::MAX_STRING_BYTES;
use crate::numeric;
use crate::op::Patch;

/// A change of whatever value is there when its turn comes.
pub(crate) trait Change<V> {
    /// The value afterwards. `None` is no value.
    fn carry_out(&self, on: Option<V>) -> Option<V>;

    /// Whether it is a change of the value that this effect gave (`None`: of the base). Most are of whatever is there.
    fn is_on(&self, _value: Option<Dot>) -> bool {
        true
    }

    /// Whether it is of certain values only, and has to hear what becomes of them.
    const IS_BOUND: bool = false;

    /// The values of these effects are the base from now on.
    fn rebase(&mut self, _is_base: &dyn Fn(Dot) -> bool) {}

    /// Forgets values that are not there any more. Whether there is one that it is of.
    fn prune(&mut self, _is_there: &dyn Fn(Option<Dot>) -> bool) -> bool {
        true
    }
}

/// A change of a string or of a field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    AddInt(i64),
    AddDecimal(Box<[u8]>),
    MaxBytes(Box<[u8]>),
    Append(Box<[u8]>),
    Write { offset: u64, bytes: Box<[u8]> },
    Bits { offset: u64, width: u8, value: u64 },
    MaxInt(i64),
    First(Box<[u8]>),
}

impl Edit {
    /// The edit that a patch is.
    pub(super) fn of_patch(patch: &Patch<'_>) -> Self {
        match *patch {
            Patch::Append(bytes) => Edit::Append(bytes.into()),
            Patch::Write { offset, bytes } => Edit::Write { offset, bytes: bytes.into() },
            Patch::Bits { offset, width, value } => Edit::Bits { offset, width, value },
        }
    }
}

impl Change<Vec<u8>> for Edit {
    /// An edit that does not fit changes nothing.
    fn carry_out(&self, on: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let changed = match self {
            Edit::AddInt(delta) => add_int(on.as_deref(), *delta),
            Edit::AddDecimal(delta) => {
                numeric::parse_decimal(delta).and_then(|delta| add_decimal(on.as_deref(), &delta))
            }
            Edit::MaxInt(other) => max_int(on.as_deref(), *other),
            Edit::MaxBytes(other) => Some(numeric::max_bytes(on.as_deref().unwrap_or(b""), other).to_vec()),
            Edit::First(bytes) => on.is_none().then(|| bytes.to_vec()),
            Edit::Append(bytes) => return patch(on, &Patch::Append(bytes)),
            Edit::Write { offset, bytes } => return patch(on, &Patch::Write { offset: *offset, bytes }),
            Edit::Bits { offset, width, value } => {
                return patch(on, &Patch::Bits { offset: *offset, width: *width, value: *value });
            }
        };
        changed.or(on)
    }
}

/// The sum, if it is one: of integers within 64 bits, of decimals exactly.
fn add_int(on: Option<&[u8]>, delta: i64) -> Option<Vec<u8>> {
    match numeric::parse_int(on.unwrap_or(b"0")) {
        Some(old) => old.checked_add(delta).map(|sum| sum.to_string().into_bytes()),
        None => add_decimal(on, &BigDecimal::from(delta)),
    }
}

fn add_decimal(on: Option<&[u8]>, delta: &BigDecimal) -> Option<Vec<u8>> {
    let old = match on {
        None => BigDecimal::default(),
        Some(text) => numeric::parse_decimal(text).or_else(|| is_foreign(text).then(BigDecimal::default))?,
    };
    Some(numeric::print_decimal(&(old + delta)).into_bytes())
}

/// Whether Redis takes the text for a float though it is no decimal of ours: hexadecimal, or with an exponent beyond all bounds.
/// Whoever makes a difference to it counts it as zero, so that the sum is the other text.
fn is_foreign(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let is_hexadecimal = digits.starts_with(b"0x") || digits.starts_with(b"0X");
    let exponent = digits.iter().position(|byte| byte.eq_ignore_ascii_case(&b'e'));
    let is_number =
        |part: &[u8]| !part.is_empty() && part.iter().all(|byte| byte.is_ascii_digit() || b".+-".contains(byte));
    is_hexadecimal || exponent.is_some_and(|at| is_number(&digits[..at]) && is_number(&digits[at + 1..]))
}

fn max_int(on: Option<&[u8]>, other: i64) -> Option<Vec<u8>> {
    let old = match on {
        None => other,
        Some(text) => numeric::parse_int(text)?,
    };
    Some(old.max(other).to_string().into_bytes())
}

fn patch(on: Option<Vec<u8>>, patch: &Patch<'_>) -> Option<Vec<u8>> {
    let mut whole = on.unwrap_or_default();
    let mut bits = [0; 9];
    let (offset, bytes) = numeric::patched(&whole, patch, &mut bits);
    if is_too_long(offset, bytes.len()) {
        return Some(whole);
    }
    let end = offset + bytes.len();
    if whole.len() < end {
        whole.resize(end, 0);
    }
    whole[offset..end].copy_from_slice(bytes);
    Some(whole)
}

fn is_too_long(offset: usize, len: usize) -> bool {
    (offset as u64).saturating_add(len as u64) > MAX_STRING_BYTES
}

/// What ZINCRBY saw and left: their exact difference counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScoreDelta {
    pub from: f64,
    pub to: f64,
}

impl Change<f64> for ScoreDelta {
    fn carry_out(&self, on: Option<f64>) -> Option<f64> {
        Some(numeric::add_score(on.unwrap_or(0.0), self.from, self.to))
    }
}

/// Another value of an element of a list: of those at its position that its writer had observed. (Whoever pops an end and pushes
/// there gives the position away again; the new element is not what was meant.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub value: Box<[u8]>,
    /// The effects that gave those elements; `None` is the base. Ascending, and never empty.
    pub on: Vec<Option<Dot>>,
}

impl Change<Vec<u8>> for Content {
    fn carry_out(&self, on: Option<Vec<u8>>) -> Option<Vec<u8>> {
        on.map(|_| self.value.to_vec())
    }

    fn is_on(&self, value: Option<Dot>) -> bool {
        self.on.contains(&value)
    }

    const IS_BOUND: bool = true;

    fn prune(&mut self, is_there: &dyn Fn(Option<Dot>) -> bool) -> bool {
        self.on.retain(|on| is_there(*on));
        !self.on.is_empty()
    }

    fn rebase(&mut self, is_base: &dyn Fn(Dot) -> bool) {
        for on in self.on.iter_mut().filter(|on| on.is_some_and(is_base)) {
            *on = None;
        }
        self.on.sort();
        self.on.dedup();
    }
}

impl Change<()> for Infallible {
    fn carry_out(&self, on: Option<()>) -> Option<()> {
        on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, edit: Edit) -> String {
        String::from_utf8(edit.carry_out(Some(text.into())).expect("an edit takes nothing away")).expect("text")
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        assert_eq!(after("text", Edit::AddInt(1)), "text");
        assert_eq!(after("", Edit::AddInt(1)), "");
        assert_eq!(after("9223372036854775807", Edit::AddInt(1)), "9223372036854775807");
        assert_eq!(after("text", Edit::AddDecimal(b"0.5"[..].into())), "text");
        assert_eq!(after("5", Edit::AddDecimal(b"text"[..].into())), "5");
        assert_eq!(after("old", Edit::First(b"new"[..].into())), "old");
        assert_eq!(after("text", Edit::MaxInt(7)), "text");
        assert_eq!(Content { value: b"new"[..].into(), on: vec![None] }.carry_out(None), None);
        assert!(is_too_long(MAX_STRING_BYTES as usize, 1) && !is_too_long(MAX_STRING_BYTES as usize - 1, 1));
    }

    #[test]
    fn increments_of_either_kind_add_up() {
        assert_eq!(after("1.5", Edit::AddInt(1)), "2.5");
        assert_eq!(after("1", Edit::AddDecimal(b"0.5"[..].into())), "1.5");
        assert_eq!(after("0x10", Edit::AddDecimal(b"17"[..].into())), "17");
        assert_eq!(after("1e6000", Edit::AddDecimal(b"3"[..].into())), "3");
        assert_eq!(Edit::AddInt(4).carry_out(None), Some(b"4".to_vec()));
    }
}
