//! SORT and SORT_RO.
//!
//! ```text
//!   elements of the key ─▶ weights (BY, or themselves) ─▶ order ─▶ LIMIT ─▶ GET ─▶ reply, or STORE
//! ```
//!
//! The keys that BY and GET name are not declared: looking them up asks for their shards as it goes.

mod ask;
mod order;

use std::borrow::Cow;

use engine::{Member, State, Stop};

use self::ask::Ask;
use self::order::Elements;
use super::places;
use crate::cx::Cx;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "sort",
        arity: -2,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS).and(Flags::DANGEROUS),
        keys: Keys::Found(ask::keys),
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(N log N + M) where N is the number of elements and M the number of those returned; O(N + M) unsorted",
        summary: "Sorts the elements of a list, set or sorted set; returns or stores them.",
        syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
        run: Run::Data(|cx| sort(cx, false)),
    },
    Spec {
        name: "sort_ro",
        arity: -2,
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS).and(Flags::DANGEROUS),
        keys: Keys::ONE,
        group: Group::Generic,
        since: "7.0.0",
        complexity: "O(N log N + M) where N is the number of elements and M the number of those returned; O(N + M) unsorted",
        summary: "Returns the elements of a list, set or sorted set in order.",
        syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]",
        run: Run::Data(|cx| sort(cx, true)),
    },
];

/// An element, or what was looked up for it.
type Found<'s> = Option<Cow<'s, [u8]>>;

fn sort(cx: &mut Cx<'_, '_>, readonly: bool) -> Outcome {
    let ask = Ask::read(&cx.args, readonly)?;
    let results = results(cx.state, cx.arg(1), &ask)?;
    let Some(store) = ask.store else {
        cx.reply.array(results.len());
        for result in &results {
            match result {
                Some(bytes) => cx.reply.bulk(bytes),
                None => cx.reply.null(),
            }
        }
        return Ok(());
    };
    // What was looked up is owned from here on: the state is asked for the destination.
    let results: Vec<Vec<u8>> = results.into_iter().map(|r| r.map(Cow::into_owned).unwrap_or_default()).collect();
    let exists = cx.state.exists(store)?;
    if !results.is_empty() {
        places::replace_by_list(cx, store, !exists, results.iter().map(Vec::as_slice));
    } else if exists {
        cx.out.remove(store);
    }
    cx.reply.int(results.len() as i64);
    Ok(())
}

/// The elements that the reply has, each with what GET asks for.
fn results<'s>(state: &'s State<'_>, key: &'s [u8], ask: &Ask<'_>) -> Result<Vec<Found<'s>>, Stop> {
    let elements = Elements::load(state, key, ask)?;
    let many = elements.len() > ask::FEW;
    let ordered = elements.ordered(state, ask)?;
    ask.gets.iter().try_for_each(|pattern| pattern.gather(state, &ordered))?;
    let mut results = Vec::new();
    for element in ordered {
        if ask.gets.is_empty() {
            results.push(Some(bytes_of(element)));
            continue;
        }
        for pattern in &ask.gets {
            results.push(pattern.look_up(state, &element, many)?);
        }
    }
    Ok(results)
}

fn bytes_of(member: Member<'_>) -> Cow<'_, [u8]> {
    match member {
        Member::Bytes(bytes) => Cow::Borrowed(bytes),
        digits => Cow::Owned(digits.to_vec()),
    }
}
