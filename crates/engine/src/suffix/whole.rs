//! Effects on whole databases: what a flush had not observed is put back, exchanges are brought into one order. And those on keyspaces
//! of the group, which are in no database.

use effect::{Effect, Op, Stamp};

use super::unstable::Unstable;
use super::{Suffix, Written, patch};
use crate::apply::apply;
use crate::engine::Shared;
use crate::guards::Guards;

/// Applies an effect on whole databases.
pub(super) fn take_in(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>) {
    open(guards, effect);
    apply(guards, shared, effect, None);
    note(guards, shared, effect, written);
}

/// Whether the flush is of the key's database.
fn is_of(effect: &Effect<'_>, unstable: &Unstable) -> bool {
    match effect.op {
        Op::FlushAll => true,
        Op::FlushDb => unstable.name.db() == effect.db,
        _ => false,
    }
}

/// Before a flush takes the plain values away: those that stand for parts become parts.
pub(super) fn open(guards: &mut Guards<'_>, effect: &Effect<'_>) {
    if !matches!(effect.op, Op::FlushDb | Op::FlushAll) {
        return;
    }
    for shard in guards.iter_mut() {
        let mut suffix = std::mem::take(&mut shard.suffix);
        suffix.index();
        let Suffix { keys, turn, opened, .. } = &mut suffix;
        for unstable in keys.iter_mut().filter(|unstable| is_of(effect, unstable)) {
            turn.leave(unstable);
            *opened += usize::from(unstable.is_brief());
            unstable.open(shard.find(unstable.name.db(), unstable.order, unstable.name.key()));
        }
        shard.suffix = suffix;
    }
}

/// An effect on whole databases was applied.
pub(super) fn note(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>) {
    match effect.op {
        Op::FlushDb | Op::FlushAll => {
            shared.exclusives.flushed(written.dot, (effect.op == Op::FlushDb).then_some(effect.db));
            put_back_survivors(guards, shared, effect, written);
        }
        Op::SwapDb(other) => {
            let stamp = Stamp::new(written.dot, written.hlc);
            shared.swaps.lock().note(shared, stamp, written.dot, (effect.db, other));
        }
        Op::GroupDefine(_) => shared.keyspaces.group.take(effect, written),
        _ => {}
    }
}

/// A flush was applied: what it had not observed is put back.
fn put_back_survivors(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, written: &Written<'_>) {
    let mut survivors = Vec::new();
    for shard in guards.iter_mut() {
        shard.suffix.index();
        let Suffix { keys, recent, turn, writers, .. } = &mut shard.suffix;
        for unstable in keys.iter_mut().filter(|unstable| is_of(effect, unstable)) {
            turn.leave(unstable);
            let Some(causality) = &mut unstable.causality else { continue };
            causality.record(effect, written);
            writers.add(written.dot.origin);
            recent.push_back((written.dot, unstable.name.db(), unstable.order));
            if causality.parts.kind().is_some() {
                survivors.push(unstable.name.clone());
            }
        }
    }
    for name in survivors {
        let (db, key, place) = (name.db(), name.key(), shared.place_of(name.key()));
        let Some(unstable) = guards.get_mut(place.shard).and_then(|shard| shard.suffix.take(place, db, key)) else {
            continue;
        };
        if let Some(causality) = &unstable.causality {
            patch::rebuild(&causality.parts, guards, shared, patch::At { db, key, place });
        }
        if let Some(shard) = guards.get_mut(place.shard) {
            shard.suffix.put(unstable);
        }
    }
}
