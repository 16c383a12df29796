//! What has expired goes by an effect of its own before somebody writes in its place, where there are other replicas. So does what
//! has gone of a key that is shown with a transaction that is not decided: others do not know who has seen it.
//!
//! *Invariant:* a write that found no key (`fresh`) takes nothing that is there, but for what nobody can see: it may be taken in as one
//! that found a key, behind a transaction that its writer had not seen (see `effect::reduce`).

use effect::codec::DotShape;
use effect::{BatchBuf, BatchMark, Deadline, Effect, Op, Seq};

use crate::emitter::Emitter;
use crate::state::{State, is_dead_hash};

/// See the module; before what was emitted is applied.
#[inline]
pub(crate) fn remove_expired(state: &State<'_>, out: &mut Emitter<'_>) {
    if state.met_expired.take() || state.guards.iter().any(|shard| !shard.asides.is_empty()) {
        remove(state, out);
    }
}

#[cold]
fn remove(state: &State<'_>, out: &mut Emitter<'_>) {
    let mut batch = BatchBuf::new(state.shared.group, out.origin());
    out.batch.each_since(out.settled, |effect| {
        if effect.fresh && !takes_all(&effect.op) && (is_expired(state, effect) || is_preview(state, effect)) {
            let deps = Seq::empty(DotShape);
            batch.push(&Effect { fresh: false, deps, op: Op::Remove, ..effect.clone() });
        }
        batch.push(effect);
    });
    out.batch.rewind(out.settled);
    batch.each_since(BatchMark::START, |effect| out.batch.push(effect));
}

/// Whether it leaves nothing of what was there, fresh or not.
fn takes_all(op: &Op<'_>) -> bool {
    matches!(op, Op::Set { deadline, .. } | Op::Replace { deadline, .. } if *deadline != Deadline::Keep)
}

/// Whether what is read of the key is a copy.
fn is_preview(state: &State<'_>, effect: &Effect<'_>) -> bool {
    let place = state.shared.place_of(effect.key);
    state.shard(place.shard).is_ok_and(|shard| shard.is_preview(effect.db, effect.key))
}

/// Whether the key is there and nobody sees it.
fn is_expired(state: &State<'_>, effect: &Effect<'_>) -> bool {
    let place = state.shared.place_of(effect.key);
    let found = state.shard(place.shard).ok().and_then(|shard| shard.find(effect.db, place.order, effect.key));
    found
        .is_some_and(|entry| entry.deadline().is_some_and(|ms| ms <= state.now_ms) || is_dead_hash(entry, state.now_ms))
}
