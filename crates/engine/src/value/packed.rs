//! The bytes of a packed entry: one allocation with header, key, deadline and a short string or small collection.
//!
//! ```text
//!  byte 0            varint      bytes   i64 LE, if flagged   bytes
//!  kind:3 flags:5  │ key length │ key   │ deadline (unix ms) │ payload
//! ```
//!
//! Only this module writes such bytes, so they are read without checks beyond those of slices.

use effect::Kind;
use effect::wire::Varint;
use effect::wire::put_varint;
use std::ops::Range;

/// The header's low bits that hold the kind.
const KIND_BITS: u8 = 0b0000_0111;
/// The entry has a deadline.
const DEADLINE: u8 = 0b0000_1000;
/// The flag whose meaning is the kind's own.
pub(super) const FORM_A: u8 = 0b0001_0000;
/// All flags whose meaning is the kind's own.
pub(super) const FORM_BITS: u8 = 0b1111_0000;

/// Reads a varint that this crate wrote and moves `at` behind it.
#[inline]
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> usize {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

/// Reads a length-prefixed byte string and moves `at` behind it.
#[inline]
pub(super) fn string<'a>(bytes: &'a [u8], at: &mut usize) -> &'a [u8] {
    let len = varint(bytes, at);
    let start = *at;
    *at += len;
    &bytes[start..*at]
}

/// Reads eight bytes at `at`.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> [u8; 8] {
    bytes[at..at + 8].try_into().expect("a slice of eight bytes")
}

/// Reads a count of two bytes at `at`.
#[inline]
pub(super) fn count(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// The most elements a packed collection may have.
pub(super) const MAX_COUNT: usize = u16::MAX as usize;
/// Bytes beyond which a collection is not kept packed, whatever the limits say: each change copies them.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// A length as a varint, for use as a part of [`splice`].
#[inline]
pub(super) fn length(len: usize) -> Varint {
    Varint::of(len as u64)
}

/// Puts `parts` in the place of `range`; the allocation stays exactly as long as its content.
pub(super) fn splice(bytes: &mut Box<[u8]>, range: Range<usize>, parts: &[&[u8]]) {
    let added: usize = parts.iter().map(|part| part.len()).sum();
    let mut all = std::mem::take(bytes).into_vec();
    let tail = all.len() - range.end;
    let behind = range.start + added;
    if behind > range.end {
        all.reserve_exact(behind - range.end);
        all.resize(behind + tail, 0);
    }
    all.copy_within(range.end..range.end + tail, behind);
    all.truncate(behind + tail);
    let mut at = range.start;
    for part in parts {
        all[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    *bytes = all.into_boxed_slice();
}

/// A new packed entry.
pub(super) fn build(kind: Kind, form: u8, key: &[u8], deadline: Option<i64>, payload: &[&[u8]]) -> Box<[u8]> {
    let body: usize = payload.iter().map(|part| part.len()).sum();
    let length = length(key.len());
    let mut bytes =
        Vec::with_capacity(1 + length.bytes().len() + key.len() + if deadline.is_some() { 8 } else { 0 } + body);
    bytes.push(kind as u8 | form | if deadline.is_some() { DEADLINE } else { 0 });
    put_varint(&mut bytes, key.len() as u64);
    bytes.extend_from_slice(key);
    if let Some(at_ms) = deadline {
        bytes.extend_from_slice(&at_ms.to_le_bytes());
    }
    payload.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.into_boxed_slice()
}

#[inline]
pub(super) fn kind(bytes: &[u8]) -> Kind {
    Kind::from_u8(bytes[0] & KIND_BITS).expect("packed entries are written by this module only")
}

/// The flags whose meaning is the kind's own.
#[inline]
pub(super) fn form(bytes: &[u8]) -> u8 {
    bytes[0] & FORM_BITS
}

pub(super) fn set_form(bytes: &mut [u8], form: u8) {
    bytes[0] = bytes[0] & !FORM_BITS | form;
}

fn key_range(bytes: &[u8]) -> Range<usize> {
    let mut at = 1;
    let len = varint(bytes, &mut at);
    at..at + len
}

#[inline]
pub(super) fn key(bytes: &[u8]) -> &[u8] {
    &bytes[key_range(bytes)]
}

#[inline]
pub(super) fn deadline(bytes: &[u8]) -> Option<i64> {
    (bytes[0] & DEADLINE != 0).then(|| i64::from_le_bytes(word(bytes, key_range(bytes).end)))
}

pub(super) fn set_deadline(bytes: &mut Box<[u8]>, deadline: Option<i64>) {
    let at = key_range(bytes).end;
    let old = if bytes[0] & DEADLINE != 0 { at..at + 8 } else { at..at };
    match deadline {
        Some(at_ms) if !old.is_empty() => bytes[old].copy_from_slice(&at_ms.to_le_bytes()),
        Some(at_ms) => splice(bytes, old, &[&at_ms.to_le_bytes()]),
        None if !old.is_empty() => splice(bytes, old, &[]),
        None => return,
    }
    bytes[0] = bytes[0] & !DEADLINE | if deadline.is_some() { DEADLINE } else { 0 };
}

pub(super) fn rename(bytes: &mut Box<[u8]>, key: &[u8]) {
    let end = key_range(bytes).end;
    splice(bytes, 1..end, &[length(key.len()).bytes(), key]);
}

/// Where the payload begins.
#[inline]
pub(super) fn payload_at(bytes: &[u8]) -> usize {
    key_range(bytes).end + if bytes[0] & DEADLINE != 0 { 8 } else { 0 }
}

#[inline]
pub(super) fn payload(bytes: &[u8]) -> &[u8] {
    &bytes[payload_at(bytes)..]
}
