//! LINSERT, LREM, LPOS: they compare values, one after the other.

use effect::{ListPos, Op};
use engine::{ListView, Stop};
use resp::Reply;

use super::cut::Cut;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

pub(super) fn linsert(cx: &mut Cx<'_, '_>) -> Outcome {
    let after = parse::is(cx.arg(2), "AFTER");
    if !after && !parse::is(cx.arg(2), "BEFORE") {
        return Err(errors::SYNTAX);
    }
    let (key, pivot, value) = (cx.arg(1), cx.arg(3), cx.arg(4));
    let Some(list) = cx.state.list(key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    let len = list.len()?;
    let Some(found) = list.range(0..len)?.position(|value| value == pivot) else {
        cx.reply.int(-1);
        return Ok(());
    };
    let pos = gap(&list, found + usize::from(after), cx.out.list_owner())?;
    cx.out.emit(key, false, Op::Insert { pos, value });
    cx.reply.int(len as i64 + 1);
    Ok(())
}

/// A position before the element at `index`, which may be the length.
fn gap(list: &ListView<'_>, index: usize, me: u64) -> Result<ListPos, Stop> {
    let left = match index.checked_sub(1) {
        Some(before) => list.position(before)?,
        None => None,
    };
    let right = list.position(index)?;
    Ok(match left {
        Some(left) => ListPos::between(&left, right.as_ref(), me),
        None => ListPos::before_head(right.as_ref(), me),
    })
}

pub(super) fn lrem(cx: &mut Cx<'_, '_>) -> Outcome {
    let count = parse::negatable(cx.arg(2))?;
    let (key, value) = (cx.arg(1), cx.arg(3));
    let Some(list) = cx.state.list(key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    let len = list.len()?;
    let most = if count == 0 { len } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let mut cut = Cut::new(cx.out);
    let removed = if count < 0 {
        let found = list.range(0..len)?.enumerate().rev().filter(|(_, other)| *other == value);
        let mut found: Vec<usize> = found.take(most).map(|(index, _)| index).collect();
        found.reverse();
        add_all(&mut cut, &list, found.into_iter())?
    } else {
        let found = list.range(0..len)?.enumerate().filter(|(_, other)| *other == value);
        add_all(&mut cut, &list, found.take(most).map(|(index, _)| index))?
    };
    cut.emit(cx.out, key, len);
    cx.reply.int(removed as i64);
    Ok(())
}

/// Takes the positions of these ascending indexes in; answers how many they are.
fn add_all(cut: &mut Cut, list: &ListView<'_>, indexes: impl Iterator<Item = usize>) -> Result<usize, Stop> {
    let mut positions = list.positions(0..usize::MAX)?;
    let (mut next, mut count) = (0, 0);
    for index in indexes {
        positions.nth(index - next).into_iter().for_each(|position| cut.add(position));
        next = index + 1;
        count += 1;
    }
    Ok(count)
}

/// The options of LPOS.
struct Search {
    /// The first match that counts, from 1.
    rank: u64,
    /// The search begins at the tail.
    from_tail: bool,
    /// Matches to answer with as an array, 0 for all; `None` answers with one by itself.
    count: Option<usize>,
    /// Comparisons to make at most; 0 for no bound.
    max_len: usize,
}

fn parse_search(cx: &Cx<'_, '_>) -> Result<Search, Stop> {
    let mut search = Search { rank: 1, from_tail: false, count: None, max_len: 0 };
    let mut at = 3;
    while at < cx.argc() {
        let value = cx.args.get(at + 1).ok_or(errors::SYNTAX)?;
        if parse::is(cx.arg(at), "RANK") {
            let rank = parse::negatable(value)?;
            if rank == 0 {
                return Err(errors::RANK_ZERO);
            }
            (search.rank, search.from_tail) = (rank.unsigned_abs(), rank < 0);
        } else if parse::is(cx.arg(at), "COUNT") {
            search.count = Some(parse::not_negative(value, errors::COUNT_NEGATIVE)?);
        } else if parse::is(cx.arg(at), "MAXLEN") {
            search.max_len = parse::not_negative(value, errors::MAXLEN_NEGATIVE)?;
        } else {
            return Err(errors::SYNTAX);
        }
        at += 2;
    }
    Ok(search)
}

pub(super) fn lpos(cx: &mut Cx<'_, '_>) -> Outcome {
    let search = parse_search(cx)?;
    let value = cx.arg(2);
    let Some(list) = cx.state.list(cx.arg(1))? else {
        match search.count {
            Some(_) => cx.reply.array(0),
            None => cx.reply.null(),
        }
        return Ok(());
    };
    let len = list.len()?;
    let looked_at = if search.max_len == 0 { len } else { search.max_len.min(len) };
    if search.from_tail {
        let places = list.range(len - looked_at..len)?.enumerate().rev();
        let found = places.filter(|(_, other)| *other == value).map(|(index, _)| len - looked_at + index);
        reply_found(&mut cx.reply, &search, found);
    } else {
        let found = list.range(0..looked_at)?.enumerate().filter(|(_, other)| *other == value).map(|(index, _)| index);
        reply_found(&mut cx.reply, &search, found);
    }
    Ok(())
}

fn reply_found(reply: &mut Reply<'_>, search: &Search, found: impl Iterator<Item = usize>) {
    let skipped = usize::try_from(search.rank - 1).unwrap_or(usize::MAX);
    let mut found = found.skip(skipped);
    let Some(count) = search.count else {
        match found.next() {
            Some(index) => reply.int(index as i64),
            None => reply.null(),
        }
        return;
    };
    let array = reply.deferred_array();
    let mut len = 0;
    for index in found.take(if count == 0 { usize::MAX } else { count }) {
        reply.int(index as i64);
        len += 1;
    }
    reply.close(array, len);
}
