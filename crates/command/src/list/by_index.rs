//! LLEN, LINDEX, LRANGE, LSET, LTRIM.

use effect::Op;

use super::cut::Cut;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

pub(super) fn llen(cx: &mut Cx<'_, '_>) -> Outcome {
    let len = match cx.state.list(cx.arg(1))? {
        Some(list) => list.len()?,
        None => 0,
    };
    cx.reply.int(len as i64);
    Ok(())
}

/// The index that a number means, which may count from the end; none before the head.
fn index(at: i64, len: usize) -> Option<usize> {
    usize::try_from(parse::index(at, len)).ok()
}

pub(super) fn lindex(cx: &mut Cx<'_, '_>) -> Outcome {
    let Some(list) = cx.state.list(cx.arg(1))? else {
        cx.reply.null();
        return Ok(());
    };
    let value = match index(parse::int(cx.arg(2))?, list.len()?) {
        Some(at) => list.get(at)?,
        None => None,
    };
    match value {
        Some(value) => cx.reply.bulk(value),
        None => cx.reply.null(),
    }
    Ok(())
}

pub(super) fn lrange(cx: &mut Cx<'_, '_>) -> Outcome {
    let (start, stop) = (parse::int(cx.arg(2))?, parse::int(cx.arg(3))?);
    let Some(list) = cx.state.list(cx.arg(1))? else {
        cx.reply.array(0);
        return Ok(());
    };
    let values = list.range(parse::range(start, stop, list.len()?))?;
    cx.reply.array(values.len());
    values.for_each(|value| cx.reply.bulk(value));
    Ok(())
}

pub(super) fn lset(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let list = cx.state.list(key)?.ok_or(errors::NO_SUCH_KEY)?;
    let position = match index(parse::int(cx.arg(2))?, list.len()?) {
        Some(at) => list.position(at)?,
        None => None,
    };
    let pos = position.ok_or(errors::INDEX_OUT_OF_RANGE)?;
    cx.out.emit(key, false, Op::SetAt { pos, value: cx.arg(3) });
    cx.reply.ok();
    Ok(())
}

pub(super) fn ltrim(cx: &mut Cx<'_, '_>) -> Outcome {
    let (start, stop) = (parse::int(cx.arg(2))?, parse::int(cx.arg(3))?);
    let key = cx.arg(1);
    cx.reply.ok();
    let Some(list) = cx.state.list(key)? else { return Ok(()) };
    let len = list.len()?;
    let kept = parse::range(start, stop, len);
    cx.out.rewritten(key);
    if kept.is_empty() {
        return super::cut::range(cx.out, key, &list, len, 0..len);
    }
    let mut cut = Cut::new(cx.out);
    cut.add_range(&list, 0..kept.start)?;
    cut.add_range(&list, kept.end..len)?;
    cut.emit(cx.out, key, len);
    Ok(())
}
