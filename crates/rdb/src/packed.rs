//! The forms in which Redis keeps small collections in one blob: listpack, ziplist, zipmap, intset.
//!
//! Each is walked from its front; what a blob says about walking it backwards is not looked at.

use crate::bytes::Bytes;
use crate::error::{Corrupt, Error};

/// An element of a listpack or ziplist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element<'a> {
    /// As it lies there.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
}

const COUNT: Corrupt = Corrupt("a packed blob holds another number of elements than it says");

/// The count that stands for "too many to be counted in 16 bits".
const UNCOUNTED: u16 = u16::MAX;
/// The byte at the end.
const END: u8 = 0xff;

/// What visits elements.
pub(crate) type Visit<'v, 'a> = &'v mut dyn FnMut(Element<'a>) -> Result<(), Error>;

/// Hands the elements of a listpack to `visit`.
///
/// Shape: `bytes u32 ‖ count u16 ‖ elements ‖ 0xff`; an element ends with its own length, for walking backwards.
pub(crate) fn listpack<'a>(blob: &'a [u8], visit: Visit<'_, 'a>) -> Result<(), Error> {
    let mut from = Bytes::new(blob);
    let len = u32::from_le_bytes(from.array()?);
    let count = u16::from_le_bytes(from.array()?);
    check_len(len, blob)?;
    elements(from, count, visit, |from, first| {
        let before = from.left() + 1;
        let element = listpack_element(from, first)?;
        from.take(back_len(before - from.left()))?;
        Ok(element)
    })
}

fn listpack_element<'a>(from: &mut Bytes<'a>, first: u8) -> Result<Element<'a>, Corrupt> {
    let low = |bits: u8| usize::from(first & ((1 << bits) - 1));
    Ok(match first {
        0x00..0x80 => Element::Int(i64::from(first)),
        0x80..0xc0 => Element::Bytes(from.take(low(6))?),
        0xc0..0xe0 => {
            let bits = (low(5) << 8 | usize::from(from.byte()?)) as i64;
            Element::Int(if bits < 1 << 12 { bits } else { bits - (1 << 13) })
        }
        0xe0..0xf0 => {
            let len = low(4) << 8 | usize::from(from.byte()?);
            Element::Bytes(from.take(len)?)
        }
        0xf0 => {
            let len = u32::from_le_bytes(from.array()?);
            Element::Bytes(from.take(len as usize)?)
        }
        0xf1 => Element::Int(i64::from(i16::from_le_bytes(from.array()?))),
        0xf2 => Element::Int(int24(from)?),
        0xf3 => Element::Int(i64::from(i32::from_le_bytes(from.array()?))),
        0xf4 => Element::Int(i64::from_le_bytes(from.array()?)),
        _ => return Err(Corrupt("an element of a listpack is of no known form")),
    })
}

/// Bytes of the backward length of an element with `len` bytes; the bounds are those of Redis' encoder.
fn back_len(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Hands the elements of a ziplist to `visit`.
///
/// Shape: `bytes u32 ‖ offset of the last u32 ‖ count u16 ‖ elements ‖ 0xff`; an element begins with the length of the
/// one before it: a byte, or 254 and four.
pub(crate) fn ziplist<'a>(blob: &'a [u8], visit: Visit<'_, 'a>) -> Result<(), Error> {
    let mut from = Bytes::new(blob);
    let len = u32::from_le_bytes(from.array()?);
    from.take(4)?;
    let count = u16::from_le_bytes(from.array()?);
    check_len(len, blob)?;
    elements(from, count, visit, |from, first| {
        if first == 254 {
            from.take(4)?;
        }
        ziplist_element(from)
    })
}

fn ziplist_element<'a>(from: &mut Bytes<'a>) -> Result<Element<'a>, Corrupt> {
    let first = from.byte()?;
    Ok(match first {
        0x00..0x40 => Element::Bytes(from.take(usize::from(first))?),
        0x40..0x80 => {
            let len = usize::from(first & 0x3f) << 8 | usize::from(from.byte()?);
            Element::Bytes(from.take(len)?)
        }
        0x80 => {
            let len = u32::from_be_bytes(from.array()?);
            Element::Bytes(from.take(len as usize)?)
        }
        0xc0 => Element::Int(i64::from(i16::from_le_bytes(from.array()?))),
        0xd0 => Element::Int(i64::from(i32::from_le_bytes(from.array()?))),
        0xe0 => Element::Int(i64::from_le_bytes(from.array()?)),
        0xf0 => Element::Int(int24(from)?),
        0xfe => Element::Int(i64::from(from.byte()? as i8)),
        0xf1..=0xfd => Element::Int(i64::from(first & 0xf) - 1),
        _ => return Err(Corrupt("an element of a ziplist is of no known form")),
    })
}

fn int24(from: &mut Bytes<'_>) -> Result<i64, Corrupt> {
    let [a, b, c] = from.array()?;
    Ok(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8))
}

fn check_len(announced: u32, blob: &[u8]) -> Result<(), Corrupt> {
    if announced as usize == blob.len() {
        Ok(())
    } else {
        Err(Corrupt("a packed blob has another length than it says"))
    }
}

/// Walks elements up to the end byte, which must be the last one, and compares their number with `count`.
fn elements<'a>(
    mut from: Bytes<'a>,
    count: u16,
    visit: Visit<'_, 'a>,
    read: impl Fn(&mut Bytes<'a>, u8) -> Result<Element<'a>, Corrupt>,
) -> Result<(), Error> {
    let mut seen = 0usize;
    loop {
        let first = from.byte()?;
        if first == END {
            break;
        }
        visit(read(&mut from, first)?)?;
        seen += 1;
    }
    let counted = count == UNCOUNTED || usize::from(count) == seen;
    if counted && from.left() == 0 { Ok(()) } else { Err(COUNT.into()) }
}

/// Hands the fields and values of a zipmap to `visit`, in turn.
///
/// Shape: `count u8 ‖ (length ‖ field ‖ length ‖ unused u8 ‖ value ‖ unused bytes)… ‖ 0xff`; a length is a byte, or 254
/// and four. A count of 254 or more says nothing.
pub(crate) fn zipmap<'a>(blob: &'a [u8], visit: Visit<'_, 'a>) -> Result<(), Error> {
    let mut from = Bytes::new(blob);
    let count = from.byte()?;
    let len = |from: &mut Bytes<'a>, first: u8| match first {
        0..254 => Ok(usize::from(first)),
        254 => Ok(u32::from_le_bytes(from.array()?) as usize),
        END => Err(Corrupt("a zipmap ends behind a field without a value")),
    };
    let mut seen = 0usize;
    loop {
        let first = from.byte()?;
        if first == END {
            break;
        }
        let field = len(&mut from, first)?;
        visit(Element::Bytes(from.take(field)?))?;
        let first = from.byte()?;
        let value = len(&mut from, first)?;
        let unused = from.byte()?;
        visit(Element::Bytes(from.take(value)?))?;
        from.take(usize::from(unused))?;
        seen += 1;
    }
    let counted = count >= 254 || usize::from(count) == seen;
    if counted && from.left() == 0 { Ok(()) } else { Err(COUNT.into()) }
}

/// Hands the members of an intset to `visit`: they ascend.
///
/// Shape: `width u32 ‖ count u32 ‖ count integers of that width`, little-endian.
pub(crate) fn intset<'a>(blob: &'a [u8], visit: Visit<'_, 'a>) -> Result<(), Error> {
    let mut from = Bytes::new(blob);
    let width = u32::from_le_bytes(from.array()?);
    let count = u32::from_le_bytes(from.array()?) as usize;
    if !matches!(width, 2 | 4 | 8) || count.checked_mul(width as usize) != Some(from.left()) {
        return Err(Corrupt("an intset is of another size than it says").into());
    }
    let mut last = None;
    for _ in 0..count {
        let member = match width {
            2 => i64::from(i16::from_le_bytes(from.array()?)),
            4 => i64::from(i32::from_le_bytes(from.array()?)),
            _ => i64::from_le_bytes(from.array()?),
        };
        if last.is_some_and(|last| last >= member) {
            return Err(Corrupt("the members of an intset do not ascend").into());
        }
        last = Some(member);
        visit(Element::Int(member))?;
    }
    Ok(())
}
