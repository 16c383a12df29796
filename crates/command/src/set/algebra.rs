//! Commands over several sets.

use std::collections::HashSet;

use effect::{Deadline, FoldedWriter, Kind, Op};
use engine::{SetView, Stop};

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

type Members = Vec<Vec<u8>>;

/// The sets at the arguments from `first` to before `end`; keys that do not exist are `None`.
fn sets<'s>(cx: &'s Cx<'_, '_>, first: usize, end: usize) -> Result<Vec<Option<SetView<'s>>>, Stop> {
    (first..end).map(|at| cx.state.set(cx.arg(at))).collect()
}

/// Hands the members of the intersection to `visit`, until it answers false.
fn intersect(sets: &[Option<SetView<'_>>], mut visit: impl FnMut(&[u8]) -> bool) -> Result<(), Stop> {
    let mut present = Vec::with_capacity(sets.len());
    for set in sets {
        match set {
            Some(set) => present.push((set.len()?, set)),
            None => return Ok(()),
        }
    }
    present.sort_by_key(|(len, _)| *len);
    let Some(((_, smallest), others)) = present.split_first() else { return Ok(()) };
    for member in smallest.iter()? {
        let mut everywhere = true;
        for (_, other) in others {
            everywhere = everywhere && other.contains(&member)?;
        }
        if everywhere && !visit(&member) {
            break;
        }
    }
    Ok(())
}

fn intersection(sets: &[Option<SetView<'_>>]) -> Result<Members, Stop> {
    let mut members = Vec::new();
    intersect(sets, |member| {
        members.push(member.to_vec());
        true
    })?;
    Ok(members)
}

fn union(sets: &[Option<SetView<'_>>]) -> Result<Members, Stop> {
    let mut seen = HashSet::new();
    for set in sets.iter().flatten() {
        seen.extend(set.iter()?.map(|member| member.to_vec()));
    }
    Ok(seen.into_iter().collect())
}

fn difference(sets: &[Option<SetView<'_>>]) -> Result<Members, Stop> {
    let Some((Some(first), others)) = sets.split_first() else { return Ok(Vec::new()) };
    let mut members = Vec::new();
    for member in first.iter()? {
        let mut elsewhere = false;
        for other in others.iter().flatten() {
            elsewhere = elsewhere || other.contains(&member)?;
        }
        if !elsewhere {
            members.push(member.to_vec());
        }
    }
    Ok(members)
}

fn reply(cx: &mut Cx<'_, '_>, how: fn(&[Option<SetView<'_>>]) -> Result<Members, Stop>) -> Outcome {
    let members = how(&sets(cx, 1, cx.argc())?)?;
    cx.reply.set(members.len());
    members.iter().for_each(|member| cx.reply.bulk(member));
    Ok(())
}

fn store(cx: &mut Cx<'_, '_>, how: fn(&[Option<SetView<'_>>]) -> Result<Members, Stop>) -> Outcome {
    let members = how(&sets(cx, 2, cx.argc())?)?;
    let key = cx.arg(1);
    if members.is_empty() {
        if cx.state.exists(key)? {
            cx.out.remove(key);
        }
        cx.reply.int(0);
        return Ok(());
    }
    let fresh = !cx.state.exists(key)?;
    let home = cx.out.origin().0;
    let mut folded = Vec::new();
    let mut writer = FoldedWriter::collection(&mut folded, Kind::Set, home, members.len());
    members.iter().for_each(|member| writer.member(member));
    cx.out.emit(key, fresh, Op::Replace { value: engine::unfold(home, &folded), deadline: Deadline::Clear });
    cx.reply.int(members.len() as i64);
    Ok(())
}

pub(super) fn sinter(cx: &mut Cx<'_, '_>) -> Outcome {
    reply(cx, intersection)
}

pub(super) fn sunion(cx: &mut Cx<'_, '_>) -> Outcome {
    reply(cx, union)
}

pub(super) fn sdiff(cx: &mut Cx<'_, '_>) -> Outcome {
    reply(cx, difference)
}

pub(super) fn sinterstore(cx: &mut Cx<'_, '_>) -> Outcome {
    store(cx, intersection)
}

pub(super) fn sunionstore(cx: &mut Cx<'_, '_>) -> Outcome {
    store(cx, union)
}

pub(super) fn sdiffstore(cx: &mut Cx<'_, '_>) -> Outcome {
    store(cx, difference)
}

/// What follows the keys of a command that counts.
struct CountArgs {
    /// Where the keys end.
    keys_end: usize,
    /// No more than this is counted.
    limit: usize,
}

impl CountArgs {
    /// Reads `numkeys key... [APPROX] [LIMIT n]`; APPROX where `approx` allows it.
    ///
    /// DIFFERENCE: the count is exact also with APPROX.
    fn read(cx: &Cx<'_, '_>, approx: bool) -> Result<Self, Stop> {
        let count = resp::parse_i64(cx.arg(1)).filter(|n| *n > 0).ok_or(errors::NUMKEYS_NOT_POSITIVE)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > cx.argc() - 2 {
            return Err(errors::NUMKEYS_TOO_LARGE);
        }
        let mut args = Self { keys_end: 2 + count, limit: usize::MAX };
        let mut at = args.keys_end;
        while at < cx.argc() {
            if approx && parse::is(cx.arg(at), "approx") {
                at += 1;
                continue;
            }
            if !parse::is(cx.arg(at), "limit") || at + 1 >= cx.argc() {
                return Err(errors::SYNTAX);
            }
            let limit = resp::parse_i64(cx.arg(at + 1)).filter(|n| *n >= 0).ok_or(errors::LIMIT_NEGATIVE)?;
            args.limit = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
            at += 2;
        }
        Ok(args)
    }
}

pub(super) fn sintercard(cx: &mut Cx<'_, '_>) -> Outcome {
    let args = CountArgs::read(cx, false)?;
    let mut found = 0usize;
    intersect(&sets(cx, 2, args.keys_end)?, |_| {
        found += 1;
        found < args.limit
    })?;
    cx.reply.int(found as i64);
    Ok(())
}

pub(super) fn sunioncard(cx: &mut Cx<'_, '_>) -> Outcome {
    let args = CountArgs::read(cx, true)?;
    let count = union(&sets(cx, 2, args.keys_end)?)?.len();
    cx.reply.int(count.min(args.limit) as i64);
    Ok(())
}

pub(super) fn sdiffcard(cx: &mut Cx<'_, '_>) -> Outcome {
    let args = CountArgs::read(cx, false)?;
    let count = difference(&sets(cx, 2, args.keys_end)?)?.len();
    cx.reply.int(count.min(args.limit) as i64);
    Ok(())
}
