//! LPUSH, RPUSH, LPUSHX, RPUSHX.

use effect::{Op, Side};

use super::end;
use crate::cx::Cx;
use crate::spec::Outcome;

pub(super) fn lpush(cx: &mut Cx<'_, '_>) -> Outcome {
    push(cx, Side::Head, true)
}

pub(super) fn rpush(cx: &mut Cx<'_, '_>) -> Outcome {
    push(cx, Side::Tail, true)
}

pub(super) fn lpushx(cx: &mut Cx<'_, '_>) -> Outcome {
    push(cx, Side::Head, false)
}

pub(super) fn rpushx(cx: &mut Cx<'_, '_>) -> Outcome {
    push(cx, Side::Tail, false)
}

fn push(cx: &mut Cx<'_, '_>, side: Side, creates: bool) -> Outcome {
    let key = cx.arg(1);
    let (len, last) = match cx.state.list(key)? {
        Some(list) => (list.len()?, end::position(&list, side)?),
        None if creates => (0, None),
        None => {
            cx.reply.int(0);
            return Ok(());
        }
    };
    let first = end::beyond(last.as_ref(), side, cx.out.list_owner());
    let mut values = cx.out.ids();
    cx.args.iter().skip(2).for_each(|value| values.push(value));
    cx.reply.int((len + values.len()) as i64);
    cx.out.emit(key, last.is_none(), Op::Push { side, first, values: values.seq() });
    cx.out.recycle(values);
    Ok(())
}
