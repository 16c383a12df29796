//! ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.

use effect::{Kind, Op};

use super::seen::Seen;
use super::window::{By, Order, Window};
use crate::cx::Cx;
use crate::spec::Outcome;

pub(super) fn zrem(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let Some(zset) = cx.state.zset(key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    zset.gather(cx.args.iter().skip(2))?;
    let mut ids = cx.out.ids();
    let mut seen = Seen::among(cx.args.len() - 2);
    for member in cx.args.iter().skip(2) {
        if seen.get(member).is_none() && zset.score(member)?.is_some() {
            seen.note(member, ());
            ids.push(member);
        }
    }
    cx.reply.int(ids.len() as i64);
    if !ids.is_empty() {
        cx.out.emit(key, false, Op::Drop { kind: Kind::ZSet, ids: ids.seq() });
    }
    cx.out.recycle(ids);
    Ok(())
}

pub(super) fn zremrangebyrank(cx: &mut Cx<'_, '_>) -> Outcome {
    remove_range(cx, By::Rank)
}

pub(super) fn zremrangebyscore(cx: &mut Cx<'_, '_>) -> Outcome {
    remove_range(cx, By::Score)
}

pub(super) fn zremrangebylex(cx: &mut Cx<'_, '_>) -> Outcome {
    remove_range(cx, By::Lex)
}

fn remove_range(cx: &mut Cx<'_, '_>, by: By) -> Outcome {
    let window = Window::read(by, Order::Ascending, cx.arg(2), cx.arg(3))?;
    let key = cx.arg(1);
    let Some(zset) = cx.state.zset(key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    let ranks = window.ranks(&zset, Order::Ascending)?;
    cx.reply.int(ranks.len() as i64);
    if !ranks.is_empty() {
        let mut ids = cx.out.ids();
        zset.range(ranks)?.for_each(|(member, _)| ids.push(member));
        cx.out.emit(key, false, Op::Drop { kind: Kind::ZSet, ids: ids.seq() });
        cx.out.recycle(ids);
    }
    Ok(())
}
