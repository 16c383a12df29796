//! Commands that read one set.

use std::collections::HashSet;

use engine::{SetView, Stop};

use crate::cx::Cx;
use crate::errors;
use crate::random::Random;
use crate::scan::ScanArgs;
use crate::spec::Outcome;

pub(super) fn scard(cx: &mut Cx<'_, '_>) -> Outcome {
    let len = match cx.state.set(cx.arg(1))? {
        Some(set) => set.len()?,
        None => 0,
    };
    cx.reply.int(len as i64);
    Ok(())
}

pub(super) fn sismember(cx: &mut Cx<'_, '_>) -> Outcome {
    let there = match cx.state.set(cx.arg(1))? {
        Some(set) => set.contains(cx.arg(2))?,
        None => false,
    };
    cx.reply.int(i64::from(there));
    Ok(())
}

pub(super) fn smismember(cx: &mut Cx<'_, '_>) -> Outcome {
    let set = cx.state.set(cx.arg(1))?;
    if let Some(set) = &set {
        set.gather(cx.args.iter().skip(2))?;
    }
    cx.reply.array(cx.argc() - 2);
    for member in cx.args.iter().skip(2) {
        let there = match &set {
            Some(set) => set.contains(member)?,
            None => false,
        };
        cx.reply.int(i64::from(there));
    }
    Ok(())
}

pub(super) fn smembers(cx: &mut Cx<'_, '_>) -> Outcome {
    match cx.state.set(cx.arg(1))? {
        Some(set) => {
            cx.reply.set(set.len()?);
            set.iter()?.for_each(|member| cx.reply.bulk(&member));
        }
        None => cx.reply.set(0),
    }
    Ok(())
}

pub(super) fn srandmember(cx: &mut Cx<'_, '_>) -> Outcome {
    if cx.argc() > 3 {
        return Err(errors::SYNTAX);
    }
    if cx.argc() == 2 {
        let picked = match cx.state.set(cx.arg(1))? {
            Some(set) => set.pick(cx.random.next_u64())?,
            None => None,
        };
        match picked {
            Some(member) => cx.reply.bulk(&member),
            None => cx.reply.null(),
        }
        return Ok(());
    }
    let count = crate::parse::negatable(cx.arg(2))?;
    let Some(set) = cx.state.set(cx.arg(1))? else {
        cx.reply.array(0);
        return Ok(());
    };
    let len = set.len()?;
    if count < 0 {
        let times = crate::parse::repetitions(count)?;
        cx.reply.array(times);
        for _ in 0..times {
            if let Some(member) = set.pick(cx.random.next_u64())? {
                cx.reply.bulk(&member);
            }
        }
        return Ok(());
    }
    let count = count as usize;
    if count >= len {
        cx.reply.array(len);
        set.iter()?.for_each(|member| cx.reply.bulk(&member));
        return Ok(());
    }
    let chosen = distinct(cx.random, &set, count)?;
    cx.reply.array(chosen.len());
    chosen.iter().for_each(|member| cx.reply.bulk(member));
    Ok(())
}

/// `count` different members, fewer than the set has, chosen at random.
pub(super) fn distinct(random: &mut Random, set: &SetView<'_>, count: usize) -> Result<Vec<Vec<u8>>, Stop> {
    let len = set.len()?;
    if count > len / 3 {
        // Many of them: go through all and keep each with the chance that is left (Knuth's algorithm S).
        let (mut chosen, mut left) = (Vec::with_capacity(count), len as u64);
        for member in set.iter()? {
            let wanted = (count - chosen.len()) as u64;
            if wanted > 0 && random.below(left) < wanted {
                chosen.push(member.to_vec());
            }
            left -= 1;
        }
        return Ok(chosen);
    }
    let mut chosen = HashSet::with_capacity(count);
    while chosen.len() < count {
        if let Some(member) = set.pick(random.next_u64())? {
            chosen.insert(member.to_vec());
        }
    }
    Ok(chosen.into_iter().collect())
}

pub(super) fn sscan(cx: &mut Cx<'_, '_>) -> Outcome {
    let cursor = crate::scan::cursor(cx.arg(2))?;
    let Some(set) = cx.state.set(cx.arg(1))? else {
        crate::scan::reply_empty(&mut cx.reply);
        return Ok(());
    };
    let options = ScanArgs::read(cx, 3)?;
    let mut page: Vec<Vec<u8>> = Vec::new();
    let next = set.scan(cursor, options.count, |member| {
        if options.matches(member) {
            page.push(member.to_vec());
        }
    })?;
    crate::scan::reply_cursor(&mut cx.reply, next);
    cx.reply.array(page.len());
    page.iter().for_each(|member| cx.reply.bulk(member));
    Ok(())
}
