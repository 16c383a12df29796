//! What a committed transaction makes of its keys, and what comes behind it.
//!
//! ```text
//!   nothing has come that it had not observed ─▶ applied as if it were local ─▶ a plain value
//!   something has ─▶ the parts of what it had observed ─▶ it ─▶ a plain value ─▶ the rest again, in the order of the log
//! ```
//! *Invariant:* behind a transaction a key has no parts of what that had observed.

use std::collections::HashMap;

use effect::codec::Left;
use effect::reduce::Event;
use effect::{Dot, Effect, Hlc, Op, Vector};

use super::unstable::Unstable;
use super::{Written, place_of, take_in};
use crate::engine::Shared;
use crate::exclusive::{Later, Pending};
use crate::guards::Guards;
use crate::shard::DbKey;
use crate::stop::Place;
use crate::suffix::patch;
use crate::value::Entry;

/// Whether something has come of a key that is not in `context`.
pub(crate) fn has_unobserved(guards: &mut Guards<'_>, shared: &Shared, (db, key): &DbKey, context: &Vector) -> bool {
    let place = shared.place_of(key);
    let found = guards.get_mut(place.shard).and_then(|shard| {
        shard.suffix.index();
        shard.suffix.find(place, *db, key)
    });
    found.is_some_and(|unstable| !context.covers(&unstable.reach())) || shared.exclusives.was_flushed(*db, context)
}

/// Carries out the effects of a committed transaction, whose shards are locked, with what has come of its keys since.
pub(crate) fn commit(
    guards: &mut Guards<'_>,
    shared: &Shared,
    pending: &Pending,
    effects: &[(Dot, Hlc, Effect<'_>)],
    later: &Later,
) {
    let mut by_key: HashMap<(u8, &[u8]), Vec<_>> = HashMap::new();
    for one in effects.iter().filter(|(_, _, effect)| place_of(shared, effect).is_some()) {
        by_key.entry((one.2.db, one.2.key)).or_default().push(one);
    }
    for (name, left) in &pending.written {
        let own = by_key.remove(&(name.0, &*name.1)).unwrap_or_default();
        let context = &pending.context;
        // What an unsafe one was made on may not be here.
        match pending.is_unsafe || has_unobserved(guards, shared, name, context) {
            true => commit_before(guards, shared, (name, *left), context, &own, later),
            false => {
                for (dot, hlc, effect) in &own {
                    take_in(guards, shared, effect, &Written { dot: *dot, hlc: *hlc, context: Some(context) }, None);
                }
            }
        }
        make_plain(guards, shared, (name, *left), context, &own);
    }
}

/// All that a transaction had observed of a key, and what it did itself, is a plain value from now on.
pub(super) fn make_plain(
    guards: &mut Guards<'_>,
    shared: &Shared,
    ((db, key), left): (&DbKey, Option<Left>),
    context: &Vector,
    own: &[&(Dot, Hlc, Effect<'_>)],
) {
    let place = shared.place_of(key);
    let Some(shard) = guards.get_mut(place.shard) else { return };
    let Some(mut unstable) = shard.suffix.take(place, *db, key) else { return };
    let mut past = context.clone();
    own.iter().for_each(|(dot, ..)| past.add(*dot));
    let parts = &mut unstable.open(shard.find(*db, place.order, key)).parts;
    parts.give_back(&past);
    if left.is_none() {
        // It took the last element, and the deadline with that.
        parts.leave_deadline(None);
    }
    shard.suffix.put(unstable);
}

pub(super) fn commit_before(
    guards: &mut Guards<'_>,
    shared: &Shared,
    (name, left): (&DbKey, Option<Left>),
    context: &Vector,
    own: &[&(Dot, Hlc, Effect<'_>)],
    later: &Later,
) {
    let (db, key) = name;
    let place = shared.place_of(key);
    let later = later.of_key(name, context);
    let behind: Vec<Event<'_>> =
        later.iter().map(|(dot, hlc, context, effect)| Event { dot: *dot, hlc: *hlc, context, effect }).collect();
    let events: Vec<Event<'_>> =
        own.iter().map(|(dot, hlc, effect)| Event { dot: *dot, hlc: *hlc, context, effect }).collect();
    let Some(shard) = guards.get_mut(place.shard) else { return };
    let found = shard.suffix.take(place, *db, key);
    let mut unstable = found.unwrap_or_else(|| Unstable::nothing(place.order, *db, key));
    let entry = shard.find(*db, place.order, key);
    let causality = unstable.open(entry);
    own.iter().for_each(|(_, _, effect)| causality.lend(entry, effect));
    let mut touched: Vec<Effect<'_>> = Vec::new();
    causality.parts.commit(context, &events, &behind, left, |effect| touched.push(effect));
    // A flush that came when there was no such key is news for it.
    let flushes = later.iter().map(|(dot, ..)| dot).filter(|dot| !causality.reach.has(**dot));
    let news: Vec<&Dot> = own.iter().map(|(dot, ..)| dot).chain(flushes).collect();
    for dot in news {
        causality.reach.add(*dot);
        causality.effects += 1;
        shard.suffix.note(*dot, *db, place.order);
    }
    for effect in &touched {
        patch::patch(&causality.parts, guards, shared, effect, place);
    }
    // What was said of the deadline before may not count any more.
    patch::patch_deadline(&causality.parts, guards, shared, patch::At { db: *db, key, place });
    if let Some(shard) = guards.get_mut(place.shard) {
        shard.suffix.put(unstable);
    }
}

/// Applies a logged effect of another node, on a key that a committed transaction left so, whose verdict its writer had not seen.
pub(super) fn take_in_unseen(
    guards: &mut Guards<'_>,
    shared: &Shared,
    effect: &Effect<'_>,
    written: &Written<'_>,
    place: Place,
    left: Option<Left>,
) {
    let Some(context) = written.context else { return };
    let Some(shard) = guards.get_mut(place.shard) else { return };
    let mut unstable = shard.take_unstable(place, effect, written);
    let event = Event { dot: written.dot, hlc: written.hlc, context, effect };
    let entry = shard.find(effect.db, place.order, effect.key);
    let deadline = entry.and_then(Entry::deadline);
    let causality = unstable.open(entry);
    let said_deadline = !causality.parts.lends_no_deadline();
    let effect = causality.parts.come_behind(&event, left);
    causality.lend(entry, &effect);
    causality.record(&effect, written);
    shard.suffix.note(written.dot, effect.db, place.order);
    causality.patch(guards, shared, &effect, place, said_deadline);
    if let Some(shard) = guards.get_mut(place.shard) {
        causality.lend_deadline(shard, place, &effect, deadline);
        shard.suffix.put(unstable);
    }
}

/// A flush, as far as one key is concerned.
pub(crate) fn on_key<'e>(effect: &Effect<'e>, key: &'e [u8], db: u8) -> Effect<'e> {
    match effect.op {
        Op::FlushAll | Op::FlushDb => Effect { key, db, op: Op::Remove, ..effect.clone() },
        _ => effect.clone(),
    }
}
