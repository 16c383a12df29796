//! ZADD, ZINCRBY.

use effect::{Deadline, Item, ItemValue, Kind, Merge, Op};
use engine::Stop;
use smallvec::SmallVec;

use super::seen::Seen;
use super::unsigned_zero;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// Scores of a command that are parsed without allocating.
const FEW: usize = 16;

/// The options of ZADD.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    only_new: bool,
    only_present: bool,
    only_greater: bool,
    only_less: bool,
    count_changed: bool,
    increment: bool,
}

/// What happens to a member.
enum Fate {
    /// A condition does not hold.
    Refused,
    /// It is there with this score already.
    Kept(f64),
    /// It was not there.
    Added(f64),
    /// It gets another score.
    Moved(f64),
}

impl Rules {
    /// Reads options from argument 2 on; answers the argument of the first score.
    fn read(&mut self, cx: &Cx<'_, '_>) -> Result<usize, Stop> {
        let mut at = 2;
        while let Some(option) = cx.args.get(at) {
            match option {
                // Most arguments here are scores.
                [b'0'..=b'9' | b'-' | b'+' | b'.', ..] => break,
                _ if parse::is(option, "NX") => self.only_new = true,
                _ if parse::is(option, "XX") => self.only_present = true,
                _ if parse::is(option, "GT") => self.only_greater = true,
                _ if parse::is(option, "LT") => self.only_less = true,
                _ if parse::is(option, "CH") => self.count_changed = true,
                _ if parse::is(option, "INCR") => self.increment = true,
                _ => break,
            }
            at += 1;
        }
        let behind = cx.argc() - at;
        if behind == 0 || !behind.is_multiple_of(2) {
            return Err(errors::SYNTAX);
        }
        if self.only_new && self.only_present {
            return Err(errors::XX_WITH_NX);
        }
        if (self.only_new && (self.only_greater || self.only_less)) || (self.only_greater && self.only_less) {
            return Err(errors::GT_LT_NX);
        }
        if self.increment && behind > 2 {
            return Err(errors::INCR_ONE_PAIR);
        }
        Ok(at)
    }

    fn decide(&self, old: Option<f64>, given: f64) -> Result<Fate, Stop> {
        let Some(old) = old else {
            return Ok(if self.only_present { Fate::Refused } else { Fate::Added(given) });
        };
        if self.only_new {
            return Ok(Fate::Refused);
        }
        let score = if self.increment { old + given } else { given };
        if score.is_nan() {
            return Err(errors::SCORE_NOT_A_NUMBER);
        }
        let refused = (self.only_less && score >= old) || (self.only_greater && score <= old);
        Ok(match () {
            () if refused => Fate::Refused,
            () if score == old => Fate::Kept(score),
            () => Fate::Moved(score),
        })
    }
}

/// What a command did.
#[derive(Default)]
struct Tally {
    added: i64,
    moved: i64,
    /// The score of the last member that no condition refused.
    score: Option<f64>,
}

pub(super) fn zadd(cx: &mut Cx<'_, '_>) -> Outcome {
    add(cx, Rules::default())
}

/// ZADD INCR in other words: Redis reads ZADD's options here too, so that a name of one is no increment.
pub(super) fn zincrby(cx: &mut Cx<'_, '_>) -> Outcome {
    add(cx, Rules { increment: true, ..Rules::default() })
}

fn add(cx: &mut Cx<'_, '_>, mut rules: Rules) -> Outcome {
    let first = rules.read(cx)?;
    let mut scores: SmallVec<[f64; FEW]> = SmallVec::new();
    for at in (first..cx.argc()).step_by(2) {
        scores.push(parse::float(cx.arg(at))?);
    }
    let tally = change(cx, rules, first, &scores)?;
    match tally.score {
        _ if !rules.increment => {
            cx.reply.int(if rules.count_changed { tally.added + tally.moved } else { tally.added });
        }
        Some(score) => cx.reply.double(score),
        None => cx.reply.null(),
    }
    Ok(())
}

fn change(cx: &mut Cx<'_, '_>, rules: Rules, first: usize, scores: &[f64]) -> Result<Tally, Stop> {
    let key = cx.arg(1);
    let zset = cx.state.zset(key)?;
    if let Some(zset) = &zset {
        zset.gather(cx.args.iter().skip(first + 1).step_by(2))?;
    }
    let merge = if rules.increment { Merge::AddFloat } else { Merge::LastWriter };
    let mut items = cx.out.items(Kind::ZSet, merge);
    let mut tally = Tally::default();
    let mut seen = Seen::among(scores.len());
    for (nth, given) in scores.iter().enumerate() {
        let member = cx.args.get(first + 2 * nth + 1).unwrap_or_default();
        let old = match (seen.get(member), &zset) {
            (Some(score), _) => Some(score),
            (None, Some(zset)) => zset.score(member)?,
            (None, None) => None,
        };
        let score = match rules.decide(old, *given)? {
            Fate::Refused => continue,
            Fate::Kept(score) => {
                tally.score = Some(score);
                continue;
            }
            Fate::Added(score) => {
                tally.added += 1;
                score
            }
            Fate::Moved(score) => {
                tally.moved += 1;
                score
            }
        };
        tally.score = Some(score);
        seen.note(member, score);
        let to = unsigned_zero(score);
        let value = match rules.increment {
            true => ItemValue::ScoreDelta { from: old.unwrap_or(0.0), to },
            false => ItemValue::Score(to),
        };
        items.push(Item { id: member, value });
    }
    let fresh = zset.is_none();
    if !items.is_empty() {
        let items = items.seq();
        cx.out.emit(key, fresh, Op::Put { kind: Kind::ZSet, merge, deadline: Deadline::Keep, items });
    }
    cx.out.recycle(items);
    Ok(tally)
}
