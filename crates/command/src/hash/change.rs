//! Commands that change fields.

use effect::{Deadline, Item, ItemValue, Kind, Merge, Op};

use super::fields;
use crate::cx::Cx;
use crate::errors;
use crate::long_double::{LongDouble, decimal_delta};
use crate::parse;
use crate::spec::Outcome;

pub(super) fn hset(cx: &mut Cx<'_, '_>) -> Outcome {
    let added = set(cx, "hset")?;
    cx.reply.int(added);
    Ok(())
}

pub(super) fn hmset(cx: &mut Cx<'_, '_>) -> Outcome {
    set(cx, "hmset")?;
    cx.reply.ok();
    Ok(())
}

/// Sets fields; answers how many of them are new.
fn set(cx: &mut Cx<'_, '_>, name: &str) -> Result<i64, engine::Stop> {
    if !cx.argc().is_multiple_of(2) {
        return Err(errors::wrong_arity(name).into());
    }
    let key = cx.arg(1);
    let hash = cx.state.hash(key)?;
    let fresh = hash.is_none();
    if let Some(hash) = &hash {
        hash.gather(cx.args.iter().skip(2).step_by(2))?;
    }
    let mut items = cx.out.items(Kind::Hash, Merge::LastWriter);
    let mut added = 0;
    for at in (2..cx.argc()).step_by(2) {
        let id = cx.arg(at);
        let known = match &hash {
            Some(hash) => hash.get(id)?.is_some(),
            None => false,
        };
        // Few fields are usual: a field that is named twice is new once.
        if !known && !(2..at).step_by(2).rev().take(SCANNED).any(|before| cx.arg(before) == id) {
            added += 1;
        }
        items.push(Item { id, value: ItemValue::Bytes(cx.arg(at + 1)) });
    }
    if cx.argc() / 2 > SCANNED {
        added = count_new(cx)?;
    }
    put(cx, key, fresh, Merge::LastWriter, Deadline::Clear, &items);
    cx.out.recycle(items);
    Ok(added)
}

/// So many fields are compared with those before them; more go through a set.
const SCANNED: usize = 16;

fn count_new(cx: &Cx<'_, '_>) -> Result<i64, engine::Stop> {
    let hash = cx.state.hash(cx.arg(1))?;
    let mut seen = std::collections::HashSet::new();
    let mut added = 0;
    for at in (2..cx.argc()).step_by(2) {
        let known = match &hash {
            Some(hash) => hash.get(cx.arg(at))?.is_some(),
            None => false,
        };
        added += i64::from(seen.insert(cx.arg(at)) && !known);
    }
    Ok(added)
}

fn put(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    fresh: bool,
    merge: Merge,
    deadline: Deadline,
    items: &effect::SeqBuf<effect::items::ItemShape>,
) {
    cx.out.emit(key, fresh, Op::Put { kind: Kind::Hash, merge, deadline, items: items.seq() });
}

pub(super) fn hsetnx(cx: &mut Cx<'_, '_>) -> Outcome {
    let (key, id) = (cx.arg(1), cx.arg(2));
    let hash = cx.state.hash(key)?;
    let fresh = hash.is_none();
    let known = match &hash {
        Some(hash) => hash.get(id)?.is_some(),
        None => false,
    };
    if !known {
        let mut items = cx.out.items(Kind::Hash, Merge::LastWriter);
        items.push(Item { id, value: ItemValue::Bytes(cx.arg(3)) });
        put(cx, key, fresh, Merge::LastWriter, Deadline::Clear, &items);
        cx.out.recycle(items);
    }
    cx.reply.int(i64::from(!known));
    Ok(())
}

pub(super) fn hdel(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let Some(hash) = cx.state.hash(key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    hash.gather(cx.args.iter().skip(2))?;
    let mut gone = cx.out.ids();
    let mut seen = std::collections::HashSet::new();
    for id in cx.args.iter().skip(2) {
        if hash.get(id)?.is_some() && (cx.argc() == 3 || seen.insert(id)) {
            gone.push(id);
        }
    }
    if !gone.is_empty() {
        cx.out.emit(key, false, Op::Drop { kind: Kind::Hash, ids: gone.seq() });
    }
    cx.reply.int(gone.len() as i64);
    cx.out.recycle(gone);
    Ok(())
}

pub(super) fn hincrby(cx: &mut Cx<'_, '_>) -> Outcome {
    let (key, id) = (cx.arg(1), cx.arg(2));
    let delta = parse::int(cx.arg(3))?;
    let hash = cx.state.hash(key)?;
    let fresh = hash.is_none();
    let old = match &hash {
        Some(hash) => hash.get(id)?,
        None => None,
    };
    let before = match old {
        Some(field) => resp::parse_i64(field.value).ok_or(errors::HASH_NOT_AN_INTEGER)?,
        None => 0,
    };
    let sum = before.checked_add(delta).ok_or(errors::OVERFLOW)?;
    if old.is_none() {
        fields::drop_hidden(cx, key, id)?;
    }
    let mut items = cx.out.items(Kind::Hash, Merge::AddInt);
    items.push(Item { id, value: ItemValue::Int(delta) });
    put(cx, key, fresh, Merge::AddInt, Deadline::Keep, &items);
    cx.out.recycle(items);
    cx.reply.int(sum);
    Ok(())
}

pub(super) fn hincrbyfloat(cx: &mut Cx<'_, '_>) -> Outcome {
    let (key, id) = (cx.arg(1), cx.arg(2));
    let delta = LongDouble::parse(cx.arg(3)).ok_or(errors::NOT_A_FLOAT)?;
    if !delta.is_finite() {
        return Err(errors::VALUE_NAN_OR_INFINITY);
    }
    let old = fields::look(cx, key, id)?;
    let fresh = cx.state.hash(key)?.is_none();
    let before = match &old {
        Some((value, _)) => LongDouble::parse(value).ok_or(errors::HASH_NOT_A_FLOAT)?,
        None => LongDouble::ZERO,
    };
    let sum = before.plus(delta).filter(|sum| sum.is_finite()).ok_or(errors::NAN_OR_INFINITY)?;
    let printed = sum.print();
    if old.is_none() {
        fields::drop_hidden(cx, key, id)?;
    }
    if let Some(delta) = decimal_delta(old.as_ref().map(|(value, _)| &value[..]), &printed) {
        let mut items = cx.out.items(Kind::Hash, Merge::AddFloat);
        items.push(Item { id, value: ItemValue::Decimal(delta.as_bytes()) });
        put(cx, key, fresh, Merge::AddFloat, Deadline::Keep, &items);
        cx.out.recycle(items);
    } else {
        cx.out.rewritten(key);
    }
    cx.reply.bulk(printed.as_bytes());
    Ok(())
}
