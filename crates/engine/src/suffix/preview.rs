//! Keys as they are with transactions that are visible here and not decided yet, beside what they are without.
//!
//! ```text
//!   show ─▶ the key lies aside; a copy of it, with what the transaction does, is what everybody reads
//!   an effect on the key, of whomever ─▶ the copy, and what lies aside
//!   undo, verdict ─▶ what lies aside is the key again; if others are shown, another copy is made of it
//! ```
//! A copy is the matter of this node alone: what others must agree on, what comes to a checkpoint, and what a verdict is carried out on,
//! is what lies aside. So nobody needs to know who has shown what, or when, and undoing is forgetting a copy.
//!
//! What lies aside is counted: it is what is kept in memory beside what everybody reads ([`crate::limits::SHOWN_BYTES`]).
//!
//! *Invariant:* what lies aside is what the key is on a replica that has shown nothing.
//! *Invariant:* while a checkpoint flips, or a verdict is carried out, no copy is in a table.

use std::collections::{HashMap, HashSet};

use effect::codec::{DotShape, Left};
use effect::{Deadline, Dot, Effect, Hlc, KeyspaceId, Op, Seq, Vector};

use super::commit::{commit_before, make_plain, take_in_unseen};
use super::unstable::Unstable;
use super::{Written, on_key, take_in_one};
use crate::apply::apply_at;
use crate::digest::{fold, unfold};
use crate::engine::Shared;
use crate::exclusive::Later;
use crate::guards::Guards;
use crate::shard::{DbKey, Shard};
use crate::stop::Place;
use crate::value::Entry;

/// The keys of a shard of which copies are shown, by physical database.
pub(crate) type Asides = HashMap<DbKey, Aside>;

/// What lies aside of a key; while it is lifted, the copy.
#[derive(Default)]
pub(crate) struct Aside {
    entry: Option<Entry>,
    recent: Option<Unstable>,
    is_lifted: bool,
    /// What it is counted as.
    bytes: usize,
    /// The transactions in the copy, each behind those that it had observed, with what they leave there.
    shown: Vec<(Dot, Option<Left>)>,
}

/// What a transaction does, as far as it is needed for a copy.
pub(crate) struct Act<'p> {
    pub(crate) bind: Dot,
    pub(crate) context: &'p Vector,
    pub(crate) written: &'p [(DbKey, Option<Left>)],
    pub(crate) effects: Vec<(Dot, Hlc, Effect<'p>)>,
    pub(crate) later: Later,
}

impl Act<'_> {
    fn left(&self, name: &DbKey) -> Option<Option<Left>> {
        self.written.iter().find(|(written, _)| written == name).map(|(_, left)| *left)
    }
}

impl Aside {
    pub(crate) fn shown(&self) -> impl Iterator<Item = Dot> {
        self.shown.iter().map(|(bind, _)| *bind)
    }

    /// Where a transaction comes among those that are shown: one that had observed it may have been shown before it. None: it is shown.
    fn place_for(&self, bind: Dot, context: &Vector) -> Option<usize> {
        let has_observed = |shown: Dot| context.has(shown) || (shown.origin == bind.origin && shown.seq < bind.seq);
        let is_shown = self.shown().any(|shown| shown == bind);
        (!is_shown).then(|| self.shown().position(|shown| !has_observed(shown)).unwrap_or(self.shown.len()))
    }

    /// Whether the copy is what it must be once a transaction is decided, or undone: it has it already, or never had it.
    fn is_right_without(&self, bind: Dot, committed: bool) -> bool {
        let at = self.shown().position(|shown| shown == bind);
        if committed { at == Some(0) } else { at.is_none() }
    }

    /// Exchanges it with what is in the tables.
    fn exchange(&mut self, shard: &mut Shard, shared: &Shared, (db, key): &DbKey) {
        let place = shared.place_of(key);
        let entry = shard.take(*db, place, key, shared);
        let recent = shard.suffix.take(place, *db, key);
        if let Some(entry) = std::mem::replace(&mut self.entry, entry) {
            shard.put(*db, place, entry, shared);
        }
        if let Some(recent) = std::mem::replace(&mut self.recent, recent) {
            shard.suffix.put(recent);
        }
        self.is_lifted = !self.is_lifted;
        if !self.is_lifted {
            self.count(shared, self.entry.as_ref().map_or(0, Entry::memory_bytes));
        }
    }

    fn count(&mut self, shared: &Shared, bytes: usize) {
        shared.exclusives.count_aside(std::mem::replace(&mut self.bytes, bytes), bytes);
    }
}

impl Shard {
    /// Whether a copy of the key is in the table.
    #[inline]
    pub(crate) fn is_preview(&self, db: u8, key: &[u8]) -> bool {
        !self.asides.is_empty() && self.asides.get(&(db, key.into())).is_some_and(|aside| !aside.is_lifted)
    }

    /// Exchanges all copies with what lies aside.
    pub(crate) fn exchange_all(&mut self, shared: &Shared) {
        let mut asides = std::mem::take(&mut self.asides);
        asides.iter_mut().for_each(|(name, aside)| aside.exchange(self, shared, name));
        self.asides = asides;
    }

    fn exchange_one(&mut self, shared: &Shared, name: &DbKey) {
        if let Some((name, mut aside)) = self.asides.remove_entry(name) {
            aside.exchange(self, shared, &name);
            self.asides.insert(name, aside);
        }
    }
}

/// Exchanges the copies of these keys with what lies aside: lifts that into the tables, or lowers it again.
pub(crate) fn exchange<'n>(guards: &mut Guards<'_>, shared: &Shared, names: impl Iterator<Item = &'n DbKey>) {
    for name in names {
        if let Some(shard) = guards.get_mut(shared.place_of(&name.1).shard).filter(|shard| !shard.asides.is_empty()) {
            shard.exchange_one(shared, name);
        }
    }
}

/// Lifts what lies aside of these keys, where it is not lifted already: of the keys that this answers.
pub(crate) fn lift(guards: &mut Guards<'_>, shared: &Shared, names: &[DbKey]) -> Vec<DbKey> {
    let is_preview = |name: &&DbKey| {
        guards.get(shared.place_of(&name.1).shard).is_some_and(|shard| shard.is_preview(name.0, &name.1))
    };
    let copies: Vec<DbKey> = names.iter().filter(is_preview).cloned().collect();
    exchange(guards, shared, copies.iter());
    copies
}

/// The transactions that are shown in copies of these keys, which are locked.
pub(crate) fn shown_on<'n>(
    guards: &Guards<'_>,
    shared: &Shared,
    names: impl Iterator<Item = &'n DbKey>,
) -> HashSet<Dot> {
    let of = |name: &DbKey| guards.get(shared.place_of(&name.1).shard)?.asides.get(name);
    names.filter_map(of).flat_map(Aside::shown).collect()
}

/// Of these keys, which are locked, those whose copies are made anew when a transaction is shown, as it comes before others there.
pub(crate) fn anew_with(
    guards: &Guards<'_>,
    shared: &Shared,
    (bind, context): (Dot, &Vector),
    names: &[DbKey],
) -> Vec<DbKey> {
    let comes_before = |aside: &Aside| aside.place_for(bind, context).is_some_and(|at| at < aside.shown.len());
    those(guards, shared, names, comes_before)
}

/// Of these keys, which are locked, those whose copies are made anew when a transaction is decided, or undone.
pub(crate) fn anew_without(
    guards: &Guards<'_>,
    shared: &Shared,
    (bind, committed): (Dot, bool),
    names: &[DbKey],
) -> Vec<DbKey> {
    those(guards, shared, names, |aside| !aside.is_right_without(bind, committed))
}

fn those(guards: &Guards<'_>, shared: &Shared, names: &[DbKey], is_one: impl Fn(&Aside) -> bool) -> Vec<DbKey> {
    let aside = |name: &DbKey| guards.get(shared.place_of(&name.1).shard)?.asides.get(name);
    names.iter().filter(|name| aside(name).is_some_and(&is_one)).cloned().collect()
}

/// Takes in an effect on a key of which a copy is shown: there, and in what lies aside.
pub(super) fn take_in_both(
    guards: &mut Guards<'_>,
    shared: &Shared,
    effect: &Effect<'_>,
    written: &Written<'_>,
    place: Place,
) {
    let name: DbKey = (effect.db, effect.key.into());
    let Some(aside) = guards.get(place.shard).and_then(|shard| shard.asides.get(&name)) else { return };
    let left = aside.shown.last().and_then(|(_, left)| *left);
    // It was made on the copy, but others cannot know that: it counts as if its writer had not seen what is shown.
    let own = written.context.is_none().then(|| shared.log.lock().state().vector(shared.origin()));
    let unseen = Written { context: written.context.or(own.as_ref()), ..*written };
    take_in_unseen(guards, shared, effect, &unseen, place, left);
    take_in_aside(guards, shared, effect, written);
}

/// Takes in an effect that the copy of its key has already.
pub(super) fn take_in_aside(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>) {
    if !effect.op.is_of_one_key() {
        return flush_aside(guards, shared, effect, written);
    }
    let (name, place): (DbKey, _) = ((effect.db, effect.key.into()), shared.place_of(effect.key));
    let Some(shard) = guards.get_mut(place.shard).filter(|shard| shard.is_preview(name.0, &name.1)) else { return };
    shard.exchange_one(shared, &name);
    take_in_one(guards, shared, effect, written, place);
    if let Some(shard) = guards.get_mut(place.shard) {
        shard.exchange_one(shared, &name);
    }
}

/// A flush was taken in.
pub(super) fn flush_aside(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>) {
    let is_of = |db: u8| match effect.op {
        Op::FlushAll => effect.keyspace == KeyspaceId::DEFAULT,
        Op::FlushDb => effect.db == db,
        _ => false,
    };
    let names = guards.iter().flat_map(|shard| shard.asides.keys()).filter(|(db, _)| is_of(*db)).cloned();
    for (db, key) in names.collect::<Vec<DbKey>>() {
        take_in_aside(guards, shared, &on_key(effect, &key, db), written);
    }
}

/// Shows a transaction: its keys are locked and in memory as a whole. `others` are those that are shown already where [`anew_with`] says so.
pub(crate) fn show(guards: &mut Guards<'_>, shared: &Shared, act: &Act<'_>, others: &[Act<'_>]) {
    for (name, left) in act.written {
        let Some(shard) = guards.get_mut(shared.place_of(&name.1).shard) else { continue };
        let aside = shard.asides.entry(name.clone()).or_default();
        let Some(at) = aside.place_for(act.bind, act.context) else { continue };
        aside.shown.insert(at, (act.bind, *left));
        match (aside.shown.len(), at + 1 == aside.shown.len()) {
            (1, _) => {
                copy(guards, shared, name);
                carry_out(guards, shared, name, act);
            }
            (_, true) => carry_out(guards, shared, name, act),
            (_, false) => make_again(guards, shared, name, &others.iter().chain([act]).collect::<Vec<_>>()),
        }
    }
}

/// A transaction is decided, or is not to be seen any more. What lies aside may be lifted, and is in its place behind this. The copies
/// that others need are made again, where [`anew_without`] says so: `others` are those that are shown there.
pub(crate) fn end(
    guards: &mut Guards<'_>,
    shared: &Shared,
    (bind, committed): (Dot, bool),
    names: &[DbKey],
    others: &[Act<'_>],
) {
    for name in names {
        let Some(shard) = guards.get_mut(shared.place_of(&name.1).shard) else { continue };
        let Some(aside) = shard.asides.get_mut(name) else { continue };
        let is_right = aside.is_right_without(bind, committed);
        aside.shown.retain(|(shown, _)| *shown != bind);
        match is_right && !aside.shown.is_empty() {
            true if aside.is_lifted => shard.exchange_one(shared, name),
            true => {}
            false => make_again(guards, shared, name, &others.iter().collect::<Vec<_>>()),
        }
    }
}

/// Makes the copy of a key anew, or gives it up if nothing is shown in it.
fn make_again(guards: &mut Guards<'_>, shared: &Shared, name: &DbKey, acts: &[&Act<'_>]) {
    let place = shared.place_of(&name.1);
    let Some(shard) = guards.get_mut(place.shard) else { return };
    let Some(mut aside) = shard.asides.remove(name) else { return };
    if !aside.is_lifted {
        aside.exchange(shard, shared, name);
    }
    if let Some(copy) = aside.entry.take() {
        shared.free(copy);
    }
    aside.count(shared, 0);
    if aside.shown.is_empty() {
        // Effects that came since are noted as those of the copy.
        let recent = shard.suffix.reach_of(place, name);
        recent.iter().for_each(|dot| shard.suffix.note(dot, name.0, place.order));
        return;
    }
    let shown: Vec<Dot> = aside.shown().collect();
    shard.asides.insert(name.clone(), Aside { shown: aside.shown, ..Aside::default() });
    copy(guards, shared, name);
    for bind in shown {
        if let Some(act) = acts.iter().find(|act| act.bind == bind) {
            carry_out(guards, shared, name, act);
        }
    }
}

/// Lays the key aside and puts a copy of it in its place.
fn copy(guards: &mut Guards<'_>, shared: &Shared, name: &DbKey) {
    let (db, key) = name;
    let place = shared.place_of(key);
    let Some(shard) = guards.get_mut(place.shard) else { return };
    let Some(mut aside) = shard.asides.remove(name) else { return };
    (aside.entry, aside.recent) = (None, None);
    aside.is_lifted = true;
    aside.exchange(shard, shared, name);
    if let Some(recent) = &aside.recent {
        shard.suffix.put(recent.copy());
    }
    if let Some(entry) = &aside.entry {
        let (mut bytes, deadline) = (Vec::new(), entry.deadline().map_or(Deadline::Clear, Deadline::At));
        let op = match entry.bytes() {
            Some(value) => Op::Set { value, deadline },
            None => {
                fold(entry, 0, i64::MIN, &mut bytes);
                Op::Replace { value: unfold(0, &bytes), deadline }
            }
        };
        let deps = Seq::empty(DotShape);
        let effect = Effect { keyspace: KeyspaceId::DEFAULT, db: *db, key, fresh: false, deps, op };
        apply_at(guards, shared, &effect, Some(place), None);
    }
    if let Some(shard) = guards.get_mut(place.shard) {
        shard.asides.insert(name.clone(), aside);
    }
}

/// Carries out on the copy what a transaction does.
fn carry_out(guards: &mut Guards<'_>, shared: &Shared, name: &DbKey, act: &Act<'_>) {
    let Some(left) = act.left(name) else { return };
    let own: Vec<_> =
        act.effects.iter().filter(|(_, _, effect)| (effect.db, effect.key) == (name.0, &*name.1)).collect();
    commit_before(guards, shared, (name, left), act.context, &own, &act.later);
    make_plain(guards, shared, (name, left), act.context, &own);
}
