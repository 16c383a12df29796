//! Commands that change a part of a string.

use effect::{Deadline, Op, Patch};

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

pub(super) fn append(cx: &mut Cx<'_, '_>) -> Outcome {
    let (key, more) = (cx.arg(1), cx.arg(2));
    let old = cx.state.string(key)?.map(<[u8]>::len);
    let total = old.unwrap_or(0) + more.len();
    cx.check_string_len(total as u64)?;
    if old.is_none() {
        // What is new has the encoding that SET would give it.
        cx.out.emit(key, true, Op::Set { value: more, deadline: Deadline::Clear });
    } else if !more.is_empty() {
        cx.out.emit(key, false, Op::Patch(Patch::Append(more)));
    } else {
        cx.out.rewritten(key);
    }
    cx.reply.int(total as i64);
    Ok(())
}

pub(super) fn setrange(cx: &mut Cx<'_, '_>) -> Outcome {
    let (key, bytes) = (cx.arg(1), cx.arg(3));
    let offset = u64::try_from(parse::int(cx.arg(2))?).map_err(|_| errors::OFFSET_OUT_OF_RANGE)?;
    let old = cx.state.string(key)?;
    let (fresh, len) = (old.is_none(), old.map_or(0, <[u8]>::len) as u64);
    if bytes.is_empty() {
        cx.reply.int(len as i64);
        return Ok(());
    }
    let end = offset + bytes.len() as u64;
    cx.check_string_len(end)?;
    if old.and_then(|old| old.get(offset as usize..end as usize)) != Some(bytes) {
        cx.out.emit(key, fresh, Op::Patch(Patch::Write { offset, bytes }));
    } else {
        cx.out.rewritten(key);
    }
    cx.reply.int(len.max(end) as i64);
    Ok(())
}
