//! Strings in entries: read, replace, append, overwrite, cut.
//!
//! Up to [`PACKED_MAX`] bytes they live in the packed form; longer ones in a vector that grows with some room ahead.

use super::entry::{Encoding, Entry, Value};
use super::packed::{self, FORM_A};
use super::wide::Wide;
use effect::Kind;

/// The longest string that is kept packed: each change of its length copies it.
pub(super) const PACKED_MAX: usize = 1024;
/// The longest string that Redis embeds in its object.
const EMBSTR_MAX: usize = 44;
/// From here on growth reserves a quarter, not as much again.
const LARGE: usize = 1 << 20;
/// Flag of a packed string that was changed in part, which Redis then calls raw.
const RAW: u8 = FORM_A;

/// Whether the bytes are how a 64-bit integer is written: no sign but a minus, no leading zero.
pub(super) fn canonical_integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 19 || (digits[0] == b'0' && (digits.len() > 1 || negative)) {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    match negative {
        false => i64::try_from(value).ok(),
        true if value <= i64::MIN.unsigned_abs() => Some((value as i64).wrapping_neg()),
        true => None,
    }
}

pub(super) fn encoding(form: u8, bytes: &[u8]) -> Encoding {
    if form & RAW != 0 || bytes.len() > EMBSTR_MAX {
        Encoding::Raw
    } else if canonical_integer(bytes).is_some() {
        Encoding::Int
    } else {
        Encoding::Embstr
    }
}

/// Makes room for `more` bytes: by doubling while small, then by a quarter.
fn reserve(bytes: &mut Vec<u8>, more: usize) {
    if bytes.capacity() - bytes.len() < more {
        let ahead = if bytes.len() < LARGE { bytes.len() } else { bytes.len() / 4 };
        bytes.reserve_exact(more.max(ahead));
    }
}

impl Entry {
    /// The value as a string; `None` when it is of another kind.
    #[inline]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Packed(_, bytes) if packed::kind(bytes) == Kind::String => Some(packed::payload(bytes)),
            Self::Big(_, big) => match &big.value {
                Value::String(bytes) => Some(bytes),
                _ => None,
            },
            _ => None,
        }
    }

    /// Makes the value this string, whatever it was; key, deadline and clock stay. In place when the length is equal. Rows
    /// that it had are nobody's then: whoever has written some does not come here.
    pub fn set_bytes(&mut self, value: &[u8]) {
        match self {
            Self::Packed(_, bytes) if packed::kind(bytes) == Kind::String && value.len() <= PACKED_MAX => {
                packed::set_form(bytes, 0);
                let at = packed::payload_at(bytes);
                if bytes.len() - at == value.len() {
                    bytes[at..].copy_from_slice(value);
                } else {
                    let end = bytes.len();
                    packed::splice(bytes, at..end, &[value]);
                }
            }
            Self::Big(_, big) if value.len() > PACKED_MAX && big.wide.is_none() => match &mut big.value {
                Value::String(bytes) if bytes.len() == value.len() => bytes.copy_from_slice(value),
                other => *other = Value::String(value.to_vec()),
            },
            _ => {
                let word = self.word().get();
                *self = Self::string(self.key(), value, self.deadline());
                self.word().set(word);
            }
        }
    }

    /// Puts bytes behind the string and returns its new length; `None`, and nothing done, when it is no string.
    pub fn append(&mut self, more: &[u8]) -> Option<usize> {
        self.write_at(self.bytes()?.len(), more)
    }

    /// Overwrites from `offset` on, filling a gap with zeros, and returns the new length; `None`, and nothing done,
    /// when it is no string. The caller bounds `offset`.
    pub fn write_at(&mut self, offset: usize, with: &[u8]) -> Option<usize> {
        let len = self.bytes()?.len();
        let total = len.max(offset + with.len());
        if total > PACKED_MAX && matches!(self, Self::Packed(..)) {
            let mut bytes = Vec::with_capacity(total);
            bytes.extend_from_slice(self.bytes()?);
            self.grow(Value::String(bytes));
        }
        match self {
            Self::Packed(_, bytes) => {
                if total > len {
                    let end = bytes.len();
                    let kept = end - len + offset.min(len);
                    const ZEROS: [u8; PACKED_MAX] = [0; PACKED_MAX];
                    packed::splice(bytes, kept..end, &[&ZEROS[..offset.saturating_sub(len)], with]);
                } else {
                    let at = packed::payload_at(bytes) + offset;
                    bytes[at..at + with.len()].copy_from_slice(with);
                }
                packed::set_form(bytes, RAW);
            }
            Self::Rest(..) => unreachable!("a value at rest has no bytes"),
            Self::Big(_, big) => {
                if let Value::String(bytes) = &mut big.value {
                    if let Some(blocks) = big.wide.as_deref_mut().and_then(Wide::string) {
                        blocks.note(bytes, offset.min(len)..offset + with.len());
                    }
                    reserve(bytes, total - len);
                    bytes.resize(total, 0);
                    bytes[offset..offset + with.len()].copy_from_slice(with);
                }
            }
        }
        Some(total)
    }

    /// Cuts a string to at most `len` bytes; does nothing to another kind.
    pub fn truncate(&mut self, len: usize) {
        let Some(old) = self.bytes().map(<[u8]>::len).filter(|old| *old > len) else { return };
        match self {
            Self::Packed(_, bytes) => {
                let end = bytes.len();
                packed::splice(bytes, end - old + len..end, &[]);
            }
            Self::Rest(..) => unreachable!("a value at rest has no bytes"),
            Self::Big(_, big) => {
                if let Value::String(bytes) = &mut big.value {
                    if let Some(blocks) = big.wide.as_deref_mut().and_then(Wide::string) {
                        blocks.note(bytes, len..bytes.len());
                    }
                    bytes.truncate(len);
                    bytes.shrink_to(len + len / 4);
                }
            }
        }
    }
}
