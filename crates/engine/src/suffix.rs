//! What is not stable yet: the recent effects on each key, as parts, beside the plain values that everybody reads.
//!
//! ```text
//!            local effect                          remote effect
//!                 │ has observed all that is here       │ has observed all that is recent on its key?
//!                 ▼                                     ├── yes ─▶ apply, as if it were local
//!   lend ─▶ parts ─▶ apply                              └── no ──▶ parts say what its units show now ─▶ plain effects ─▶ apply
//!
//!   table   the plain values: what the parts show          stable ─▶ settle: parts that nothing can be concurrent with are forgotten
//! ```
//! Plain values are what commands read and what comes to rest; parts only say how a concurrent effect changes them. What an effect is
//! about, its units, comes in from the plain value when it is first needed, so that a large value is never copied.
//!
//! *Invariant:* for every key and unit the plain value is what the parts show; of a unit that has no parts it is the base.
//! *Invariant:* a group of one replica has no parts.

mod patch;
mod reach;
mod restate;
mod stored;
mod swaps;

use std::collections::VecDeque;

use effect::reduce::{Base, Event, Reduced, Unit};
use effect::{Dot, Effect, Hlc, Op, Stamp, Vector};
use hashbrown::HashTable;

use crate::apply::{apply, apply_at};
use crate::engine::Shared;
use crate::guards::Guards;
use crate::keyspace::is_logged;
use crate::limits::{FORGET_EFFECTS, SUFFIX_KEPT};
use crate::shard::{DbKey, Shard};
use crate::state::State;
use crate::stop::Place;
use crate::value::Entry;

pub(crate) use restate::restate;
#[cfg(test)]
pub(crate) use stored::split;
pub(crate) use stored::{restore, verify};
pub(crate) use swaps::Swaps;

/// The keys of a shard on which there are recent effects, by physical database.
#[derive(Default)]
pub(crate) struct Suffix {
    keys: HashTable<Box<Unstable>>,
    /// The recent effects as they were applied, each with the database and the order of its key.
    recent: VecDeque<(Dot, u8, u64)>,
    turn: stored::Turn,
}

/// The recent effects on keys that a batch has changed and that is not logged yet, with what was lent for it; behind how many changes
/// that can be taken back, and so goes with them.
#[derive(Default)]
pub(crate) struct Lent(Vec<(usize, Box<Unstable>)>);

impl Lent {
    fn find(&self, effect: &Effect<'_>) -> Option<&Unstable> {
        let found = self.0.iter().rev().find(|(_, unstable)| unstable.is_named(effect.db, effect.key));
        found.map(|(_, unstable)| &**unstable)
    }

    fn take(&mut self, effect: &Effect<'_>) -> Option<Box<Unstable>> {
        let last = self.0.iter().rposition(|(_, unstable)| unstable.is_named(effect.db, effect.key))?;
        let (_, unstable) = self.0.remove(last);
        self.0.retain(|(_, unstable)| !unstable.is_named(effect.db, effect.key));
        Some(unstable)
    }

    /// The changes beyond the first `keep` were taken back.
    #[inline]
    pub(crate) fn truncate(&mut self, keep: usize) {
        while self.0.last().is_some_and(|(before, _)| *before >= keep) {
            self.0.pop();
        }
    }
}

/// The recent effects on one key.
#[derive(Clone)]
struct Unstable {
    order: u64,
    name: DbKey,
    parts: Reduced,
    /// Effects since something of it was forgotten.
    effects: u32,
    /// The checkpoint before which it changed last, or that has taken it.
    turn: u32,
    /// Of each origin the last effect on the key, also if nothing is left of what it gave.
    reach: Vector,
}

/// When and by whom an effect was written, and what its writer had applied: all that is here, if it is this node's own.
#[derive(Clone, Copy)]
pub(crate) struct Written<'c> {
    pub(crate) dot: Dot,
    pub(crate) hlc: Hlc,
    pub(crate) context: Option<&'c Vector>,
}

impl Suffix {
    fn take(&mut self, place: Place, db: u8, key: &[u8]) -> Option<Box<Unstable>> {
        let mut taken = self.keys.find_entry(place.order, |unstable| unstable.is_named(db, key)).ok()?.remove().0;
        self.turn.leave(&mut taken);
        Some(taken)
    }

    fn find(&self, place: Place, db: u8, key: &[u8]) -> Option<&Unstable> {
        self.keys.find(place.order, |unstable| unstable.is_named(db, key)).map(|unstable| &**unstable)
    }

    fn put(&mut self, mut unstable: Box<Unstable>) {
        unstable.turn = self.turn.number;
        self.keys.insert_unique(unstable.order, unstable, |unstable| unstable.order);
    }

    /// An effect on a key with this order was recorded.
    fn note(&mut self, dot: Dot, db: u8, order: u64) {
        self.recent.push_back((dot, db, order));
    }

    /// How many keys it has.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Forgets what is stable: keys of which all is, and of others what has become much.
    fn settle(&mut self, stable: &Vector) {
        while let Some((dot, db, order)) = self.recent.front().copied()
            && stable.has(dot)
        {
            self.recent.pop_front();
            let found = self.keys.find_entry(order, |unstable| {
                (unstable.order, unstable.name.0) == (order, db) && unstable.reach.has(dot)
            });
            let Ok(mut found) = found else { continue };
            let unstable = found.get_mut();
            if stable.covers(&unstable.reach) || unstable.effects >= FORGET_EFFECTS {
                self.turn.leave(unstable);
            }
            if stable.covers(&unstable.reach) {
                found.remove();
            } else if unstable.effects >= FORGET_EFFECTS {
                unstable.parts.give_back(stable);
                unstable.effects = 0;
            }
        }
        if self.keys.capacity() > SUFFIX_KEPT.max(4 * self.keys.len()) {
            self.keys.shrink_to_fit(|unstable| unstable.order);
        }
        if self.recent.capacity() > SUFFIX_KEPT.max(4 * self.recent.len()) {
            self.recent.shrink_to_fit();
        }
    }
}

impl Unstable {
    fn new(place: Place, db: u8, key: &[u8]) -> Box<Self> {
        let (parts, reach) = (Reduced::new(), Vector::new());
        Box::new(Self { order: place.order, name: (db, key.into()), parts, effects: 0, turn: 0, reach })
    }

    fn is_named(&self, db: u8, key: &[u8]) -> bool {
        self.name.0 == db && *self.name.1 == *key
    }

    /// Lends the parts what the effect needs of the value before it.
    fn lend(&mut self, entry: Option<&Entry>, effect: &Effect<'_>) {
        let Some(entry) = entry else { return };
        for unit in self.parts.lacks(effect) {
            if let Some(base) = base(entry, &unit) {
                self.parts.lend(&unit, base);
            }
        }
    }

    /// A key that lost its last element has lost its deadline with it; who adds one without knowing has not.
    fn lend_deadline(&mut self, shard: &Shard, place: Place, effect: &Effect<'_>, deadline: Option<i64>) {
        let may_empty = matches!(effect.op, Op::Drop { .. } | Op::Cut(_) | Op::FieldDeadlines(_));
        if let Some(ms) = deadline.filter(|_| may_empty && self.parts.lends_no_deadline())
            && shard.find(effect.db, place.order, effect.key).is_none()
        {
            self.parts.lend(&Unit::Deadline, Base::Deadline(ms));
        }
    }

    /// Whether the writer had applied all recent effects on the key.
    fn is_observed(&self, written: &Written<'_>) -> bool {
        let observed = |context: &Vector, dot: Dot| dot.origin == written.dot.origin || context.has(dot);
        written.context.is_none_or(|context| self.reach.iter().all(|dot| observed(context, dot)))
    }

    fn record(&mut self, effect: &Effect<'_>, written: &Written<'_>) {
        // What was written here has observed all that is here.
        let context = written.context.unwrap_or(&self.reach);
        self.parts.take_in(&Event { dot: written.dot, hlc: written.hlc, context, effect });
        self.reach.add(written.dot);
        self.effects += 1;
    }
}

/// What the value has of a unit.
fn base<'e>(entry: &'e Entry, unit: &Unit<'_>) -> Option<Base<'e>> {
    match unit {
        Unit::String => entry.bytes().map(Base::Bytes),
        Unit::Deadline => entry.deadline().map(Base::Deadline),
        Unit::Field(name) => entry.hash()?.get(name).map(|field| Base::Field(field.value, field.deadline)),
        Unit::Scored(name) => entry.zset()?.score(name).map(Base::Score),
        Unit::Element(pos) => entry.list()?.at(pos).map(Base::Bytes),
    }
}

/// Applies an effect of this node that is not logged yet, so that it can be taken back: what its parts need is lent before, and kept
/// with the batch.
pub(crate) fn settle_own(state: &mut State<'_>, effect: &Effect<'_>) {
    let State { shared, guards, undo, lent, .. } = state;
    let Some(place) = place_of(shared, effect) else { return apply(guards, shared, effect, Some(undo)) };
    let Some(shard) = guards.get_mut(place.shard) else { return };
    let found = lent.find(effect).or_else(|| shard.suffix.find(place, effect.db, effect.key));
    let mut unstable =
        found.map_or_else(|| Unstable::new(place, effect.db, effect.key), |found| Box::new(found.clone()));
    let entry = shard.find(effect.db, place.order, effect.key);
    unstable.lend(entry, effect);
    let (deadline, before) = (entry.and_then(Entry::deadline), undo.len());
    apply_at(guards, shared, effect, Some(place), Some(undo));
    if let Some(shard) = guards.get_mut(place.shard) {
        unstable.lend_deadline(shard, place, effect, deadline);
    }
    lent.0.push((before, unstable));
}

/// Notes an effect of this node, which was settled and is logged now.
pub(crate) fn record_own(state: &mut State<'_>, effect: &Effect<'_>, written: &Written<'_>) {
    let State { shared, guards, lent, .. } = state;
    match place_of(shared, effect) {
        None => note_whole(guards, shared, effect, written),
        Some(place) => {
            let Some(shard) = guards.get_mut(place.shard) else { return };
            let before = shard.unstable(place, effect);
            let mut unstable = lent.take(effect).unwrap_or(before);
            unstable.record(effect, written);
            shard.suffix.note(written.dot, effect.db, place.order);
            shard.suffix.put(unstable);
        }
    }
}

/// Applies an effect that is logged: of another node, or of this one where it was not settled.
pub(crate) fn take_in(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>) {
    let Some(place) = place_of(shared, effect) else {
        apply(guards, shared, effect, None);
        return note_whole(guards, shared, effect, written);
    };
    let Some(shard) = guards.get_mut(place.shard) else { return };
    let mut unstable = shard.unstable(place, effect);
    let entry = shard.find(effect.db, place.order, effect.key);
    unstable.lend(entry, effect);
    let deadline = entry.and_then(Entry::deadline);
    let is_observed = unstable.is_observed(written);
    unstable.record(effect, written);
    shard.suffix.note(written.dot, effect.db, place.order);
    match is_observed {
        true => apply_at(guards, shared, effect, Some(place), None),
        false => patch::patch(&unstable.parts, guards, shared, effect, place),
    }
    if let Some(shard) = guards.get_mut(place.shard) {
        unstable.lend_deadline(shard, place, effect, deadline);
        shard.suffix.put(unstable);
    }
}

/// An effect on whole databases was applied.
fn note_whole(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>) {
    match effect.op {
        Op::FlushDb | Op::FlushAll => put_back_survivors(guards, shared, effect, written),
        Op::SwapDb(other) => {
            let stamp = Stamp::new(written.dot, written.hlc);
            shared.swaps.lock().note(shared, stamp, written.dot, (effect.db, other));
        }
        _ => {}
    }
}

/// A flush was applied: what it had not observed is put back.
fn put_back_survivors(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>) {
    let mut survivors = Vec::new();
    for shard in guards.iter_mut() {
        let is_of = |unstable: &Unstable| effect.op == Op::FlushAll || unstable.name.0 == effect.db;
        let Suffix { keys, recent, turn } = &mut shard.suffix;
        for unstable in keys.iter_mut().filter(|unstable| is_of(unstable)) {
            turn.leave(unstable);
            unstable.record(effect, written);
            recent.push_back((written.dot, unstable.name.0, unstable.order));
            if unstable.parts.kind().is_some() {
                survivors.push(unstable.name.clone());
            }
        }
    }
    for (db, key) in survivors {
        let place = shared.place_of(&key);
        let Some(unstable) = guards.get_mut(place.shard).and_then(|shard| shard.suffix.take(place, db, &key)) else {
            continue;
        };
        patch::rebuild(&unstable.parts, guards, shared, patch::At { db, key: &key, place });
        if let Some(shard) = guards.get_mut(place.shard) {
            shard.suffix.put(unstable);
        }
    }
}

/// The place of the one key that the effect is about.
fn place_of(shared: &Shared, effect: &Effect<'_>) -> Option<Place> {
    (effect.op.is_of_one_key() && is_logged(effect)).then(|| shared.place_of(effect.key))
}

impl Shard {
    fn unstable(&mut self, place: Place, effect: &Effect<'_>) -> Box<Unstable> {
        let found = self.suffix.take(place, effect.db, effect.key);
        found.unwrap_or_else(|| Unstable::new(place, effect.db, effect.key))
    }
}

impl Shared {
    /// Forgets the causality of what is stable: whatever comes from now on has observed it.
    pub(crate) fn settle(&self, stable: &Vector) {
        self.swaps.lock().settle(stable);
        for shard in &self.shards {
            let mut shard = shard.lock();
            if shard.suffix.len() > 0 {
                shard.suffix.settle(stable);
            }
        }
    }
}
