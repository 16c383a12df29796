//! ZRANDMEMBER.

use std::collections::HashSet;

use engine::{Stop, ZSetView};

use super::reply_members;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::random::Random;
use crate::spec::Outcome;

/// Where one of so many members is asked for, ranks are drawn; beyond that the whole set is walked.
const DRAWN_SHARE: usize = 3;

pub(super) fn zrandmember(cx: &mut Cx<'_, '_>) -> Outcome {
    let Some(text) = cx.args.get(2) else { return one(cx) };
    let count = parse::negatable(text)?;
    let scores = match cx.argc() {
        3 => false,
        4 if parse::is(cx.arg(3), "WITHSCORES") => true,
        _ => return Err(errors::SYNTAX),
    };
    if scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(errors::OUT_OF_RANGE);
    }
    let Some(zset) = cx.state.zset(cx.arg(1))? else {
        cx.reply.array(0);
        return Ok(());
    };
    let len = zset.len()?;
    let Ok(count) = usize::try_from(count) else {
        let ranks: Vec<usize> = (0..parse::repetitions(count)?).map(|_| draw(cx.random, len)).collect();
        return at_ranks(cx.reply.reborrow(), &zset, &ranks, scores);
    };
    if count >= len {
        reply_members(&mut cx.reply, zset.range(0..len)?, scores);
    } else if count <= len / DRAWN_SHARE {
        let mut drawn = HashSet::with_capacity(count);
        let mut ranks = Vec::with_capacity(count);
        while ranks.len() < count {
            let rank = draw(cx.random, len);
            if drawn.insert(rank) {
                ranks.push(rank);
            }
        }
        at_ranks(cx.reply.reborrow(), &zset, &ranks, scores)?;
    } else {
        let sample = Sample { members: zset.range(0..len)?, random: cx.random, wanted: count, left: len };
        reply_members(&mut cx.reply, sample, scores);
    }
    Ok(())
}

fn one(cx: &mut Cx<'_, '_>) -> Outcome {
    let Some(zset) = cx.state.zset(cx.arg(1))? else {
        cx.reply.null();
        return Ok(());
    };
    let rank = draw(cx.random, zset.len()?);
    match zset.range(rank..rank + 1)?.next() {
        Some((member, _)) => cx.reply.bulk(member),
        None => cx.reply.null(),
    }
    Ok(())
}

fn draw(random: &mut Random, len: usize) -> usize {
    random.below(len as u64) as usize
}

/// Writes the members of these ranks.
fn at_ranks(mut reply: resp::Reply<'_>, zset: &ZSetView<'_>, ranks: &[usize], scores: bool) -> Result<(), Stop> {
    let mut found = Vec::with_capacity(ranks.len());
    for rank in ranks {
        found.extend(zset.range(*rank..*rank + 1)?);
    }
    reply_members(&mut reply, found.into_iter(), scores);
    Ok(())
}

/// Every choice of `wanted` among the `left` members that come, each as likely as any other (Knuth, TAOCP 3.4.2, S).
struct Sample<'r, I> {
    members: I,
    random: &'r mut Random,
    wanted: usize,
    left: usize,
}

impl<'s, I: Iterator<Item = (&'s [u8], f64)>> Iterator for Sample<'_, I> {
    type Item = (&'s [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        while self.wanted > 0 {
            let member = self.members.next()?;
            let chosen = draw(self.random, self.left) < self.wanted;
            self.left -= 1;
            if chosen {
                self.wanted -= 1;
                return Some(member);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.wanted, Some(self.wanted))
    }
}

impl<'s, I: Iterator<Item = (&'s [u8], f64)>> ExactSizeIterator for Sample<'_, I> {}
