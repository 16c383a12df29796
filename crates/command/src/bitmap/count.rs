//! Counting and finding bits, eight bytes at a time.

use std::ops::Range;

use engine::Stop;

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;
use crate::string::byte_range;

/// The unit of BITCOUNT's and BITPOS' indexes.
fn is_bits(text: &[u8]) -> Result<bool, Stop> {
    match () {
        () if parse::is(text, "bit") => Ok(true),
        () if parse::is(text, "byte") => Ok(false),
        () => Err(errors::SYNTAX),
    }
}

/// Arguments are judged before the key is, as Redis does since 7.2 and Valkey does.
pub(super) fn bitcount(cx: &mut Cx<'_, '_>) -> Outcome {
    let argc = cx.argc();
    if argc > 5 {
        return Err(errors::SYNTAX);
    }
    let start = if argc > 2 { parse::int(cx.arg(2))? } else { 0 };
    let end = if argc > 3 { parse::int(cx.arg(3))? } else { -1 };
    let bits = argc == 5 && is_bits(cx.arg(4))?;
    let whole = cx.state.string(cx.arg(1))?.unwrap_or_default();
    let scale = if bits { 1 } else { 8 };
    let range = byte_range(start, end, (whole.len() * 8 / scale) as i64);
    cx.reply.int(ones(whole, range.start * scale..range.end * scale) as i64);
    Ok(())
}

/// How many bits of a range of bits are set.
fn ones(whole: &[u8], bits: Range<usize>) -> u64 {
    if bits.is_empty() {
        return 0;
    }
    let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
    let before = whole[first] & !(0xffu8 >> (bits.start % 8));
    let behind = whole[last] & (0x7fu8 >> ((bits.end - 1) % 8));
    ones_of_bytes(&whole[first..=last]) - u64::from(before.count_ones() + behind.count_ones())
}

fn ones_of_bytes(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

pub(super) fn bitpos(cx: &mut Cx<'_, '_>) -> Outcome {
    let argc = cx.argc();
    let wanted = match parse::int(cx.arg(2))? {
        0 => false,
        1 => true,
        _ => return Err(errors::BIT_ARGUMENT),
    };
    if argc > 6 {
        return Err(errors::SYNTAX);
    }
    let start = if argc > 3 { parse::int(cx.arg(3))? } else { 0 };
    let bits = argc == 6 && is_bits(cx.arg(5))?;
    let end = if argc > 4 { Some(parse::int(cx.arg(4))?) } else { None };
    let Some(whole) = cx.state.string(cx.arg(1))? else {
        // An absent string is zeros without end.
        cx.reply.int(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let scale = if bits { 1 } else { 8 };
    let range = position_range(start, end.unwrap_or(-1), (whole.len() * 8 / scale) as i64);
    let range = range.start * scale..range.end * scale;
    let found = match find(whole, range.clone(), wanted) {
        Some(at) => at as i64,
        // Without an end the string is followed by zeros.
        None if !wanted && end.is_none() && !range.is_empty() => range.end as i64,
        None => -1,
    };
    cx.reply.int(found);
    Ok(())
}

/// As [`byte_range`], but two negative ends in the wrong order are not special.
fn position_range(start: i64, end: i64, len: i64) -> Range<usize> {
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    byte_range(from_end(start), from_end(end), len)
}

/// The first bit of a range of bits that is `wanted`.
fn find(whole: &[u8], bits: Range<usize>, wanted: bool) -> Option<usize> {
    if bits.is_empty() {
        return None;
    }
    let flip = if wanted { 0 } else { 0xff };
    let first = bits.start / 8;
    let lead = (whole[first] ^ flip) & (0xff >> (bits.start % 8));
    let at = if lead != 0 {
        first * 8 + lead.leading_zeros() as usize
    } else {
        let skip = u64::from_ne_bytes([flip; 8]);
        let rest = &whole[first + 1..bits.end.div_ceil(8)];
        let words = rest.as_chunks::<8>().0.iter().take_while(|word| u64::from_ne_bytes(**word) == skip).count();
        let byte = rest.iter().skip(words * 8).position(|byte| byte ^ flip != 0)? + words * 8;
        (first + 1 + byte) * 8 + (rest[byte] ^ flip).leading_zeros() as usize
    };
    (at < bits.end).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(whole: &[u8], at: usize) -> bool {
        whole[at / 8] >> (7 - at % 8) & 1 == 1
    }

    proptest! {
        #[test]
        fn counts_and_positions_are_those_of_single_bits(
            whole in proptest::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 1..80),
            a: prop::sample::Index, b: prop::sample::Index, wanted: bool,
        ) {
            let len = whole.len() * 8;
            let (a, b) = (a.index(len + 1), b.index(len + 1));
            let range = a.min(b)..a.max(b);
            let counted = range.clone().filter(|at| bit(&whole, *at)).count() as u64;
            prop_assert_eq!(ones(&whole, range.clone()), counted);
            let found = range.clone().find(|at| bit(&whole, *at) == wanted);
            prop_assert_eq!(find(&whole, range, wanted), found);
        }
    }
}
