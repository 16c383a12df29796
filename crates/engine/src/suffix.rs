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

mod commit;
mod expired;
mod lent;
mod name;
mod patch;
mod pending;
mod preview;
mod reach;
mod restate;
mod stored;
mod swaps;
mod unstable;
mod whole;

use std::collections::VecDeque;

use effect::{Deadline, Dot, Effect, Hlc, Op, Vector};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as HashEntry;

use crate::apply::apply_at;
use crate::engine::Shared;
use crate::exclusive::Exclusives;
use crate::guards::Guards;
use crate::keyspace::is_logged;
use crate::limits::SUFFIX_KEPT;
use crate::shard::{DbKey, Shard};
use crate::stop::Place;
use crate::value::Entry;
use pending::{Pending, Writers};
use unstable::Unstable;

pub(crate) use commit::{commit, has_unobserved, on_key};
pub(crate) use expired::remove_expired;
pub(crate) use lent::{Lent, record_own, settle_own};
pub(crate) use preview::{Act, Asides, anew_with, anew_without, end, exchange, lift, show, shown_on};
pub(crate) use restate::restate;
#[cfg(test)]
pub(crate) use stored::split;
pub(crate) use stored::{open_all, restore, verify};
pub(crate) use swaps::Swaps;

/// Keys that are looked ahead for at once.
const FORESEEN: usize = 16;

/// The keys of a shard on which there are recent effects, by physical database.
#[derive(Default)]
pub(crate) struct Suffix {
    keys: HashTable<Unstable>,
    /// How many of them have parts.
    opened: usize,
    /// The effects on these as they were applied, each with the database and the order of its key.
    recent: VecDeque<(Dot, u8, u64)>,
    /// What came behind those and stands in no table.
    pending: Pending,
    writers: Writers,
    turn: stored::Turn,
}

/// When and by whom an effect was written, and what its writer had applied: all that is here, if it is this node's own.
#[derive(Clone, Copy)]
pub(crate) struct Written<'c> {
    pub(crate) dot: Dot,
    pub(crate) hlc: Hlc,
    pub(crate) context: Option<&'c Vector>,
}

impl Written<'_> {
    /// Whether the writer had applied the effect.
    #[inline]
    fn has_observed(&self, dot: Dot) -> bool {
        self.context.is_none_or(|context| dot.origin == self.dot.origin || context.has(dot))
    }
}

impl Suffix {
    fn take(&mut self, place: Place, db: u8, key: &[u8]) -> Option<Unstable> {
        self.index();
        let mut taken = self.keys.find_entry(place.order, |unstable| unstable.name.is(db, key)).ok()?.remove().0;
        self.turn.leave(&mut taken);
        self.opened -= usize::from(!taken.is_brief());
        Some(taken)
    }

    /// What is pending must have been indexed.
    fn find(&self, place: Place, db: u8, key: &[u8]) -> Option<&Unstable> {
        debug_assert!(self.pending.is_empty());
        self.keys.find(place.order, |unstable| unstable.name.is(db, key))
    }

    /// The key, if it has parts: then nothing is pending.
    fn find_opened(&self, place: Place, db: u8, key: &[u8]) -> Option<&Unstable> {
        self.keys.find(place.order, |unstable| unstable.name.is(db, key)).filter(|unstable| !unstable.is_brief())
    }

    fn put(&mut self, mut unstable: Unstable) {
        self.index();
        self.opened += usize::from(!unstable.is_brief());
        unstable.turn = self.turn.number;
        self.keys.insert_unique(unstable.order, unstable, |unstable| unstable.order);
    }

    /// Of each origin the last recent effect on a key.
    fn reach_of(&mut self, place: Place, (db, key): &DbKey) -> Vector {
        self.index();
        self.find(place, *db, key).map(Unstable::reach).unwrap_or_default()
    }

    /// Notes a SET that takes the place of all that is recent on its key; false if it does not.
    #[inline]
    fn note_set(&mut self, place: Place, effect: &Effect<'_>, written: &Written<'_>) -> bool {
        if self.suspend(place, effect, written) {
            return true;
        }
        self.index();
        match self.keys.entry(place.order, |unstable| unstable.name.is_of(effect), |unstable| unstable.order) {
            HashEntry::Vacant(vacant) => {
                let turn = self.turn.number;
                vacant.insert(Unstable { turn, ..Unstable::of_set(place.order, effect, written) });
            }
            HashEntry::Occupied(mut found) => {
                let unstable = found.get_mut();
                if !unstable.yields_to(written) {
                    return false;
                }
                self.turn.leave(unstable);
                self.opened -= usize::from(!unstable.is_brief());
                (unstable.set, unstable.hlc, unstable.causality) = (written.dot, written.hlc, None);
            }
        }
        self.note(written.dot, effect.db, place.order);
        true
    }

    /// An effect on a key with this order was recorded.
    #[inline]
    fn note(&mut self, dot: Dot, db: u8, order: u64) {
        self.writers.add(dot.origin);
        self.recent.push_back((dot, db, order));
    }

    /// Brings into the processor's caches what will be looked at of the key with this order. Whoever has several to look up asks for all
    /// of them first, and the waits overlap.
    #[inline]
    pub(crate) fn foresee(&self, order: u64) {
        if !self.keys.is_empty() {
            std::hint::black_box(self.keys.find(order, |unstable| unstable.order == order).is_some());
        }
    }

    /// How many keys it has.
    pub(crate) fn len(&mut self) -> usize {
        self.index();
        debug_assert_eq!(self.opened, self.keys.iter().filter(|unstable| !unstable.is_brief()).count());
        self.keys.len()
    }

    fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.pending.is_empty()
    }

    /// Forgets what is stable: keys of which all is, and of others what has become much.
    fn settle(&mut self, stable: &Vector, exclusives: &Exclusives) {
        if self.turn.goes_on() || exclusives.open().0 > 0 {
            self.index();
        }
        let mut kept = Vec::new();
        for turn in 0.. {
            let Some((dot, db, order)) = self.recent.front().copied().filter(|(dot, ..)| stable.has(*dot)) else {
                break;
            };
            if turn % FORESEEN == 0 {
                self.recent.iter().take(FORESEEN).for_each(|(_, _, order)| self.foresee(*order));
            }
            self.recent.pop_front();
            let found = self
                .keys
                .find_entry(order, |unstable| (unstable.order, unstable.name.db()) == (order, db) && unstable.has(dot));
            let Ok(mut found) = found else { continue };
            let unstable = found.get_mut();
            if exclusives.holds(db, unstable.name.key()) {
                kept.push((dot, db, order));
                continue;
            }
            self.turn.leave(unstable);
            match &mut unstable.causality {
                Some(causality) if !stable.covers(&causality.reach) => causality.give_back(stable),
                causality => {
                    self.opened -= usize::from(causality.is_some());
                    found.remove();
                }
            }
        }
        self.recent.extend(kept);
        if self.recent.is_empty() {
            self.settle_pending(|dot| stable.has(dot));
        }
        if self.is_empty() {
            self.writers = Writers::Nobody;
        }
        if self.keys.capacity() > SUFFIX_KEPT.max(4 * self.keys.len()) {
            self.keys.shrink_to_fit(|unstable| unstable.order);
        }
        if self.recent.capacity() > SUFFIX_KEPT.max(4 * self.recent.len()) {
            self.recent.shrink_to_fit();
        }
    }
}

/// Applies an effect that is logged: of another node, or of this one where it was not settled. Its key's place may be known.
pub(crate) fn take_in(
    guards: &mut Guards<'_>,
    shared: &Shared,
    effect: &Effect<'_>,
    written: &Written<'_>,
    known: Option<Place>,
) {
    if !is_of_one_key(effect) {
        whole::take_in(guards, shared, effect, written);
        return preview::flush_aside(guards, shared, effect, written);
    }
    let place = known.unwrap_or_else(|| shared.place_of(effect.key));
    match guards.get(place.shard).is_some_and(|shard| shard.is_preview(effect.db, effect.key)) {
        true => preview::take_in_both(guards, shared, effect, written, place),
        false => take_in_one(guards, shared, effect, written, place),
    }
}

/// The same for what is in the table, and nothing else.
fn take_in_one(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>, place: Place) {
    if let Some(left) = shared.exclusives.unseen(effect, written) {
        return commit::take_in_unseen(guards, shared, effect, written, place, left);
    }
    // Its writer may have seen what is not here.
    let is_unsure = shared.exclusives.is_unsure(effect.db, effect.key);
    let Some(shard) = guards.get_mut(place.shard) else { return };
    if is_plain_set(effect) && shard.suffix.note_set(place, effect, written) {
        return apply_at(guards, shared, effect, Some(place), None);
    }
    let mut unstable = shard.take_unstable(place, effect, written);
    let entry = shard.find(effect.db, place.order, effect.key);
    let deadline = entry.and_then(Entry::deadline);
    let causality = unstable.open(entry);
    causality.lend(entry, effect);
    let is_observed = causality.is_observed(written);
    let said_deadline = !causality.parts.lends_no_deadline();
    causality.record(effect, written);
    shard.suffix.note(written.dot, effect.db, place.order);
    match is_observed && !is_unsure {
        true => apply_at(guards, shared, effect, Some(place), None),
        false => causality.patch(guards, shared, effect, place, said_deadline),
    }
    if let Some(shard) = guards.get_mut(place.shard) {
        causality.lend_deadline(shard, place, effect, deadline);
        shard.suffix.put(unstable);
    }
}

/// Whether it gives the key a string that stands for itself, whatever was there.
#[inline]
fn is_plain_set(effect: &Effect<'_>) -> bool {
    matches!(effect.op, Op::Set { deadline: Deadline::Clear | Deadline::At(_), .. })
}

fn is_of_one_key(effect: &Effect<'_>) -> bool {
    effect.op.is_of_one_key() && is_logged(effect)
}

/// The place of the one key that the effect is about.
fn place_of(shared: &Shared, effect: &Effect<'_>) -> Option<Place> {
    is_of_one_key(effect).then(|| shared.place_of(effect.key))
}

impl Shard {
    /// Takes out what is recent on the effect's key, if that is only the effect itself.
    fn take_unstable(&mut self, place: Place, effect: &Effect<'_>, written: &Written<'_>) -> Unstable {
        let found = self.suffix.take(place, effect.db, effect.key);
        found.unwrap_or_else(|| Unstable::before(place.order, effect, written))
    }

    /// The plain value of a key is about to leave memory, or to be reclaimed, which is no effect: if it stands for a part, it
    /// becomes one.
    pub(crate) fn keep_recent(&mut self, db: u8, place: Place, key: &[u8]) {
        if let Some(mut unstable) = self.suffix.take(place, db, key) {
            unstable.open(self.find(db, place.order, key));
            self.suffix.put(unstable);
        }
    }
}

impl Shared {
    /// Forgets the causality of what is stable: whatever comes from now on has observed it.
    pub(crate) fn settle(&self, stable: &Vector) {
        self.swaps.lock().settle(stable);
        self.exclusives.settle(stable);
        for shard in &self.shards {
            let mut shard = shard.lock();
            if !shard.suffix.is_empty() {
                shard.suffix.settle(stable, &self.exclusives);
            }
        }
    }
}

#[cfg(test)]
mod tests;
