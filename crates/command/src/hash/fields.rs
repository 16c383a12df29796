//! What the commands with a FIELDS clause share: the clause, its errors, and reading and changing field by field.

use std::collections::HashSet;

use effect::{Kind, Op};
use engine::Stop;

use crate::cx::Cx;
use crate::errors;
use crate::expiry::Unit;
use crate::parse;

/// Checks `FIELDS n` at argument `at` with `step` arguments a field behind it; answers where the first field stands and
/// how many there are.
pub(super) fn clause(cx: &Cx<'_, '_>, at: usize, step: usize, zero: Stop) -> Result<(usize, usize), Stop> {
    if !parse::is(cx.arg(at), "fields") {
        return Err(errors::FIELDS_MISSING);
    }
    let count = resp::parse_i64(cx.arg(at + 1)).filter(|n| *n > 0).ok_or(zero)?;
    let given = cx.argc().saturating_sub(at + 2);
    if usize::try_from(count).ok().and_then(|n| n.checked_mul(step)) != Some(given) {
        return Err(errors::FIELDS_MISMATCH);
    }
    Ok((at + 2, count as usize))
}

/// A time of the HEXPIRE family: not negative, and within range.
pub(super) fn deadline(cx: &Cx<'_, '_>, unit: Unit, at: usize, name: &str) -> Result<i64, Stop> {
    let value = parse::int(cx.arg(at))?;
    if value < 0 {
        return Err(errors::EXPIRE_NEGATIVE);
    }
    let scale = if matches!(unit, Unit::Seconds | Unit::UnixSeconds) { 1000 } else { 1 };
    let base = if unit.is_relative() { cx.now_ms() } else { 0 };
    let ms = value.checked_mul(scale).and_then(|ms| ms.checked_add(base));
    ms.filter(|ms| *ms <= DEADLINE_MAX_MS).ok_or_else(|| errors::invalid_expire(name))
}

/// Field deadlines have 46 bits, as in Redis.
const DEADLINE_MAX_MS: i64 = (1 << 46) - 1;

/// Whether a field is named twice: then each must see what the one before it did.
pub(super) fn repeats<'c>(fields: impl Iterator<Item = &'c [u8]>) -> bool {
    let mut seen = HashSet::new();
    let mut fields = fields;
    fields.any(|field| !seen.insert(field))
}

/// A field's value and deadline as the command sees them.
pub(super) type Seen = Option<(Vec<u8>, Option<i64>)>;

/// The field of the hash at `key`.
pub(super) fn look(cx: &Cx<'_, '_>, key: &[u8], field: &[u8]) -> Result<Seen, Stop> {
    let Some(hash) = cx.state.hash(key)? else { return Ok(None) };
    Ok(hash.get(field)?.map(|f| (f.value.to_vec(), f.deadline)))
}

/// Says that a field goes.
pub(super) fn drop_field(cx: &mut Cx<'_, '_>, key: &[u8], field: &[u8]) {
    let mut gone = cx.out.ids();
    gone.push(field);
    cx.out.emit(key, false, Op::Drop { kind: Kind::Hash, ids: gone.seq() });
    cx.out.recycle(gone);
}

/// Says that a field gets a deadline or loses it.
pub(super) fn set_deadline(cx: &mut Cx<'_, '_>, key: &[u8], field: &[u8], deadline: Option<i64>) {
    let mut fields = cx.out.fields();
    fields.push((field, deadline));
    cx.out.emit(key, false, Op::FieldDeadlines(fields.seq()));
    cx.out.recycle(fields);
}

/// Says that a field which has expired, but may still be stored, goes: what is written next begins from nothing.
pub(super) fn drop_hidden(cx: &mut Cx<'_, '_>, key: &[u8], field: &[u8]) -> Result<(), Stop> {
    let hidden = match cx.state.hash(key)? {
        Some(hash) => hash.stored() != hash.len()? && hash.get(field)?.is_none(),
        None => false,
    };
    if hidden {
        drop_field(cx, key, field);
    }
    Ok(())
}
