//! ZRANGE, its older forms, and ZRANGESTORE.

use engine::Stop;

use super::reply_members;
use super::store::store;
use super::window::{By, Limit, Order, Window};
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// Where the result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Into the reply.
    Reply,
    /// To the key at argument 1.
    Key,
}

/// What a form of the command fixes; what is open is an option.
#[derive(Debug, Clone, Copy)]
struct Form {
    by: Option<By>,
    order: Option<Order>,
    target: Target,
}

/// What a command asks for.
struct Asked<'a> {
    key: &'a [u8],
    window: Window<'a>,
    order: Order,
    limit: Limit,
    scores: bool,
}

impl<'a> Asked<'a> {
    fn read(cx: &Cx<'a, '_>, form: Form) -> Result<Self, Stop> {
        let Form { mut by, mut order, target } = form;
        let source = if target == Target::Key { 2 } else { 1 };
        let (mut limit, mut scores) = (Limit::NONE, false);
        let mut at = source + 3;
        while let Some(option) = cx.args.get(at) {
            if target == Target::Reply && parse::is(option, "WITHSCORES") {
                scores = true;
            } else if parse::is(option, "LIMIT") && at + 2 < cx.argc() {
                limit = Limit { offset: parse::int(cx.arg(at + 1))?, count: parse::int(cx.arg(at + 2))? };
                at += 2;
            } else if order.is_none() && parse::is(option, "REV") {
                order = Some(Order::Descending);
            } else if by.is_none() && parse::is(option, "BYLEX") {
                by = Some(By::Lex);
            } else if by.is_none() && parse::is(option, "BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        let (by, order) = (by.unwrap_or(By::Rank), order.unwrap_or(Order::Ascending));
        if by == By::Rank {
            // LIMIT with the count that means no limit is let through, as in Redis, and without effect.
            if limit.count != -1 {
                return Err(errors::LIMIT_NEEDS_BYSCORE_OR_BYLEX);
            }
            limit = Limit::NONE;
        }
        if scores && by == By::Lex {
            return Err(errors::WITHSCORES_WITH_BYLEX);
        }
        let window = Window::read(by, order, cx.arg(source + 1), cx.arg(source + 2))?;
        Ok(Self { key: cx.arg(source), window, order, limit, scores })
    }
}

fn run(cx: &mut Cx<'_, '_>, form: Form) -> Outcome {
    let asked = Asked::read(cx, form)?;
    let zset = cx.state.zset(asked.key)?;
    let Some(zset) = zset else {
        match form.target {
            Target::Reply => cx.reply.array(0),
            Target::Key => {
                let dest = cx.arg(1);
                store(cx.state, cx.out, dest, std::iter::empty())?;
                cx.reply.int(0);
            }
        }
        return Ok(());
    };
    let ranks = asked.limit.cut(asked.window.ranks(&zset, asked.order)?, asked.order);
    match (form.target, asked.order) {
        (Target::Reply, Order::Ascending) => reply_members(&mut cx.reply, zset.range(ranks)?, asked.scores),
        (Target::Reply, Order::Descending) => reply_members(&mut cx.reply, zset.range(ranks)?.rev(), asked.scores),
        (Target::Key, _) => {
            let stored = ranks.len();
            let dest = cx.args.get(1).unwrap_or_default();
            store(cx.state, cx.out, dest, zset.range(ranks)?)?;
            cx.reply.int(stored as i64);
        }
    }
    Ok(())
}

const OPEN: Form = Form { by: None, order: None, target: Target::Reply };

pub(super) fn zrange(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, OPEN)
}

pub(super) fn zrangestore(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, Form { target: Target::Key, ..OPEN })
}

pub(super) fn zrevrange(cx: &mut Cx<'_, '_>) -> Outcome {
    old_form(cx, By::Rank, Order::Descending)
}

pub(super) fn zrangebyscore(cx: &mut Cx<'_, '_>) -> Outcome {
    old_form(cx, By::Score, Order::Ascending)
}

pub(super) fn zrevrangebyscore(cx: &mut Cx<'_, '_>) -> Outcome {
    old_form(cx, By::Score, Order::Descending)
}

pub(super) fn zrangebylex(cx: &mut Cx<'_, '_>) -> Outcome {
    old_form(cx, By::Lex, Order::Ascending)
}

pub(super) fn zrevrangebylex(cx: &mut Cx<'_, '_>) -> Outcome {
    old_form(cx, By::Lex, Order::Descending)
}

fn old_form(cx: &mut Cx<'_, '_>, by: By, order: Order) -> Outcome {
    run(cx, Form { by: Some(by), order: Some(order), target: Target::Reply })
}
