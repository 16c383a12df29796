//! Single bits.

use effect::{Op, Patch};
use engine::Stop;

use crate::cx::Cx;
use crate::errors;
use crate::spec::Outcome;

/// Reads a bit's offset: it must lie within the longest string. `scale`: the text may be `#n`, which counts integers
/// of so many bits.
pub(super) fn bit_offset(cx: &Cx<'_, '_>, text: &[u8], scale: Option<u8>) -> Result<u64, Stop> {
    let offset = match (text, scale) {
        ([b'#', count @ ..], Some(width)) => resp::parse_i64(count).and_then(|n| n.checked_mul(i64::from(width))),
        _ => resp::parse_i64(text),
    };
    let offset = offset.and_then(|n| u64::try_from(n).ok()).ok_or(errors::BIT_OFFSET)?;
    if offset / 8 >= cx.env.max_string { Err(errors::BIT_OFFSET) } else { Ok(offset) }
}

/// The bit at `offset`; 0 beyond the end.
fn bit(value: &[u8], offset: u64) -> u64 {
    value.get((offset / 8) as usize).map_or(0, |byte| u64::from(byte >> (7 - offset % 8) & 1))
}

pub(super) fn setbit(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let offset = bit_offset(cx, cx.arg(2), None)?;
    let value = match cx.arg(3) {
        b"0" => 0,
        b"1" => 1,
        _ => return Err(errors::BIT_VALUE),
    };
    let whole = cx.state.string(key)?;
    let (fresh, old) = (whole.is_none(), whole.map_or(0, |whole| bit(whole, offset)));
    let grows = whole.is_none_or(|whole| whole.len() as u64 <= offset / 8);
    if grows || old != value {
        cx.out.emit(key, fresh, Op::Patch(Patch::Bits { offset, width: 1, value }));
    }
    cx.reply.int(old as i64);
    Ok(())
}

pub(super) fn getbit(cx: &mut Cx<'_, '_>) -> Outcome {
    let offset = bit_offset(cx, cx.arg(2), None)?;
    let value = cx.state.string(cx.arg(1))?.map_or(0, |whole| bit(whole, offset));
    cx.reply.int(value as i64);
    Ok(())
}
