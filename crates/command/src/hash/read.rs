//! Commands that read a hash.

use std::collections::HashSet;

use engine::{FieldRef, HashView, Stop};

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::random::Random;
use crate::scan::{self, ScanArgs};
use crate::spec::Outcome;

pub(super) fn hget(cx: &mut Cx<'_, '_>) -> Outcome {
    let found = match cx.state.hash(cx.arg(1))? {
        Some(hash) => hash.get(cx.arg(2))?,
        None => None,
    };
    match found {
        Some(field) => cx.reply.bulk(field.value),
        None => cx.reply.null(),
    }
    Ok(())
}

pub(super) fn hmget(cx: &mut Cx<'_, '_>) -> Outcome {
    let hash = cx.state.hash(cx.arg(1))?;
    if let Some(hash) = &hash {
        hash.gather(cx.args.iter().skip(2))?;
    }
    cx.reply.array(cx.argc() - 2);
    for name in cx.args.iter().skip(2) {
        let found = match &hash {
            Some(hash) => hash.get(name)?,
            None => None,
        };
        match found {
            Some(field) => cx.reply.bulk(field.value),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn hgetall(cx: &mut Cx<'_, '_>) -> Outcome {
    match cx.state.hash(cx.arg(1))? {
        Some(hash) => {
            cx.reply.map(hash.len()?);
            for field in hash.iter()? {
                cx.reply.bulk(field.field);
                cx.reply.bulk(field.value);
            }
        }
        None => cx.reply.map(0),
    }
    Ok(())
}

pub(super) fn hkeys(cx: &mut Cx<'_, '_>) -> Outcome {
    column(cx, |field| field.field)
}

pub(super) fn hvals(cx: &mut Cx<'_, '_>) -> Outcome {
    column(cx, |field| field.value)
}

fn column(cx: &mut Cx<'_, '_>, part: for<'f> fn(&FieldRef<'f>) -> &'f [u8]) -> Outcome {
    match cx.state.hash(cx.arg(1))? {
        Some(hash) => {
            cx.reply.array(hash.len()?);
            hash.iter()?.for_each(|field| cx.reply.bulk(part(&field)));
        }
        None => cx.reply.array(0),
    }
    Ok(())
}

pub(super) fn hlen(cx: &mut Cx<'_, '_>) -> Outcome {
    let len = match cx.state.hash(cx.arg(1))? {
        Some(hash) => hash.len()?,
        None => 0,
    };
    cx.reply.int(len as i64);
    Ok(())
}

pub(super) fn hexists(cx: &mut Cx<'_, '_>) -> Outcome {
    let there = match cx.state.hash(cx.arg(1))? {
        Some(hash) => hash.get(cx.arg(2))?.is_some(),
        None => false,
    };
    cx.reply.int(i64::from(there));
    Ok(())
}

pub(super) fn hstrlen(cx: &mut Cx<'_, '_>) -> Outcome {
    let len = match cx.state.hash(cx.arg(1))? {
        Some(hash) => hash.get(cx.arg(2))?.map_or(0, |field| field.value.len()),
        None => 0,
    };
    cx.reply.int(len as i64);
    Ok(())
}

pub(super) fn hscan(cx: &mut Cx<'_, '_>) -> Outcome {
    let cursor = scan::cursor(cx.arg(2))?;
    let Some(hash) = cx.state.hash(cx.arg(1))? else {
        scan::reply_empty(&mut cx.reply);
        return Ok(());
    };
    let options = ScanArgs::read_with(cx, 3, Some("novalues"))?;
    let mut page: Vec<FieldRef<'_>> = Vec::new();
    let next = hash.scan(cursor, options.count, |field| {
        if options.matches(field.field) {
            page.push(field);
        }
    })?;
    scan::reply_cursor(&mut cx.reply, next);
    cx.reply.array(page.len() * if options.names_only { 1 } else { 2 });
    for field in page {
        cx.reply.bulk(field.field);
        if !options.names_only {
            cx.reply.bulk(field.value);
        }
    }
    Ok(())
}

pub(super) fn hrandfield(cx: &mut Cx<'_, '_>) -> Outcome {
    if cx.argc() == 2 {
        let picked = match cx.state.hash(cx.arg(1))? {
            Some(hash) => hash.pick(|| cx.random.next_u64())?,
            None => None,
        };
        match picked {
            Some(field) => cx.reply.bulk(field.field),
            None => cx.reply.null(),
        }
        return Ok(());
    }
    let count = parse::negatable(cx.arg(2))?;
    if cx.argc() > 4 || cx.argc() == 4 && !parse::is(cx.arg(3), "withvalues") {
        return Err(errors::SYNTAX);
    }
    let with_values = cx.argc() == 4;
    if with_values && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(errors::OUT_OF_RANGE);
    }
    let Some(hash) = cx.state.hash(cx.arg(1))? else {
        cx.reply.array(0);
        return Ok(());
    };
    let chosen = choose(cx.random, &hash, count)?;
    let pairs = with_values && cx.reply.is_resp3();
    cx.reply.array(chosen.len() * if with_values && !pairs { 2 } else { 1 });
    for field in chosen {
        if pairs {
            cx.reply.array(2);
        }
        cx.reply.bulk(field.field);
        if with_values {
            cx.reply.bulk(field.value);
        }
    }
    Ok(())
}

/// `count` different fields, or all; with a negative count so many picks, possibly of the same.
fn choose<'s>(random: &mut Random, hash: &HashView<'s>, count: i64) -> Result<Vec<FieldRef<'s>>, Stop> {
    let len = hash.len()?;
    let mut chosen = Vec::new();
    if count < 0 {
        for _ in 0..parse::repetitions(count)? {
            chosen.extend(hash.pick(|| random.next_u64())?);
        }
        return Ok(chosen);
    }
    let wanted = count as usize;
    if wanted > len / 3 {
        // Many of them: go through all and keep each with the chance that is left (Knuth's algorithm S).
        let (mut needed, mut left) = (wanted.min(len) as u64, len as u64);
        for field in hash.iter()? {
            if needed > 0 && random.below(left) < needed {
                chosen.push(field);
                needed -= 1;
            }
            left -= 1;
        }
    } else {
        let mut names = HashSet::with_capacity(wanted);
        while chosen.len() < wanted {
            chosen.extend(hash.pick(|| random.next_u64())?.filter(|field| names.insert(field.field)));
        }
    }
    Ok(chosen)
}
