//! ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZCOUNT, ZLEXCOUNT: one number, or one for each member.

use super::window::{By, Order, Window};
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

pub(super) fn zcard(cx: &mut Cx<'_, '_>) -> Outcome {
    let len = match cx.state.zset(cx.arg(1))? {
        Some(zset) => zset.len()?,
        None => 0,
    };
    cx.reply.int(len as i64);
    Ok(())
}

pub(super) fn zscore(cx: &mut Cx<'_, '_>) -> Outcome {
    let score = match cx.state.zset(cx.arg(1))? {
        Some(zset) => zset.score(cx.arg(2))?,
        None => None,
    };
    match score {
        Some(score) => cx.reply.double(score),
        None => cx.reply.null(),
    }
    Ok(())
}

pub(super) fn zmscore(cx: &mut Cx<'_, '_>) -> Outcome {
    let zset = cx.state.zset(cx.arg(1))?;
    if let Some(zset) = &zset {
        zset.gather(cx.args.iter().skip(2))?;
    }
    cx.reply.array(cx.argc() - 2);
    for member in cx.args.iter().skip(2) {
        let score = match &zset {
            Some(zset) => zset.score(member)?,
            None => None,
        };
        match score {
            Some(score) => cx.reply.double(score),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn zrank(cx: &mut Cx<'_, '_>) -> Outcome {
    rank(cx, Order::Ascending, "zrank")
}

pub(super) fn zrevrank(cx: &mut Cx<'_, '_>) -> Outcome {
    rank(cx, Order::Descending, "zrevrank")
}

fn rank(cx: &mut Cx<'_, '_>, order: Order, name: &str) -> Outcome {
    let with_score = match cx.argc() {
        3 => false,
        4 if parse::is(cx.arg(3), "WITHSCORE") => true,
        4 => return Err(errors::SYNTAX),
        _ => return Err(errors::wrong_arity(name).into()),
    };
    let member = cx.arg(2);
    let mut found = None;
    if let Some(zset) = cx.state.zset(cx.arg(1))?
        && let Some(rank) = zset.rank(member)?
    {
        let rank = if order == Order::Descending { zset.len()? - 1 - rank } else { rank };
        found = Some((rank, if with_score { zset.score(member)? } else { None }));
    }
    match found {
        Some((rank, score)) => {
            if with_score {
                cx.reply.array(2);
            }
            cx.reply.int(rank as i64);
            if let Some(score) = score {
                cx.reply.double(score);
            }
        }
        None if with_score => cx.reply.null_array(),
        None => cx.reply.null(),
    }
    Ok(())
}

pub(super) fn zcount(cx: &mut Cx<'_, '_>) -> Outcome {
    count(cx, By::Score)
}

pub(super) fn zlexcount(cx: &mut Cx<'_, '_>) -> Outcome {
    count(cx, By::Lex)
}

fn count(cx: &mut Cx<'_, '_>, by: By) -> Outcome {
    let window = Window::read(by, Order::Ascending, cx.arg(2), cx.arg(3))?;
    let ranks = match cx.state.zset(cx.arg(1))? {
        Some(zset) => window.ranks(&zset, Order::Ascending)?,
        None => 0..0,
    };
    cx.reply.int(ranks.len() as i64);
    Ok(())
}
