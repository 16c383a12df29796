//! Effects of this node that are applied before they are logged, and may be taken back: what their parts need of the values before
//! them is lent then, and kept with the batch.
//!
//! A SET keeps nothing of what was there before, so nothing is lent for it.
//!
//! *Invariant:* of a key that a batch changed by anything but SETs, what was lent last has all that its effects need.

use effect::Effect;

use super::name::Name;
use super::unstable::Causality;
use super::{Written, is_plain_set, place_of, preview, whole};
use crate::apply::{apply, apply_at};
use crate::state::State;
use crate::value::Entry;

/// The recent effects on keys that a batch has changed and that is not logged yet, with what was lent for it; behind how many changes
/// that can be taken back, and so goes with them.
#[derive(Default)]
pub(crate) struct Lent(Vec<(usize, Name, Box<Causality>)>);

impl Lent {
    fn find(&self, effect: &Effect<'_>) -> Option<&Causality> {
        let found = self.0.iter().rev().find(|(_, name, _)| name.is_of(effect));
        found.map(|(_, _, causality)| &**causality)
    }

    fn take(&mut self, effect: &Effect<'_>) -> Option<Box<Causality>> {
        let last = self.0.iter().rposition(|(_, name, _)| name.is_of(effect))?;
        let (_, _, causality) = self.0.remove(last);
        self.0.retain(|(_, name, _)| !name.is_of(effect));
        Some(causality)
    }

    /// The changes beyond the first `keep` were taken back.
    #[inline]
    pub(crate) fn truncate(&mut self, keep: usize) {
        while self.0.last().is_some_and(|(before, _, _)| *before >= keep) {
            self.0.pop();
        }
    }
}

/// Applies an effect of this node that is not logged yet, so that it can be taken back.
pub(crate) fn settle_own(state: &mut State<'_>, effect: &Effect<'_>) {
    let State { shared, guards, undo, lent, .. } = state;
    let Some(place) = place_of(shared, effect) else { return apply(guards, shared, effect, Some(undo)) };
    if is_plain_set(effect) {
        return apply_at(guards, shared, effect, Some(place), Some(undo));
    }
    let Some(shard) = guards.get_mut(place.shard) else { return };
    shard.suffix.index();
    let entry = shard.find(effect.db, place.order, effect.key);
    let mut causality = match lent.find(effect) {
        Some(lent) => lent.clone(),
        None => {
            shard.suffix.find(place, effect.db, effect.key).map_or_else(Causality::new, |found| found.opened(entry))
        }
    };
    causality.lend(entry, effect);
    let (deadline, before) = (entry.and_then(Entry::deadline), undo.len());
    apply_at(guards, shared, effect, Some(place), Some(undo));
    if let Some(shard) = guards.get_mut(place.shard) {
        causality.lend_deadline(shard, place, effect, deadline);
    }
    lent.0.push((before, Name::new(effect.db, effect.key), Box::new(causality)));
}

/// Notes an effect of this node, which was settled and is logged now.
pub(crate) fn record_own(state: &mut State<'_>, effect: &Effect<'_>, written: &Written<'_>) {
    let State { shared, guards, lent, .. } = state;
    let Some(place) = place_of(shared, effect) else {
        whole::open(guards, effect);
        whole::note(guards, shared, effect, written);
        return preview::take_in_aside(guards, shared, effect, written);
    };
    let Some(shard) = guards.get_mut(place.shard) else { return };
    let lent = lent.take(effect);
    // The plain value is what the batch has made of it: that is what the SET gave if nothing else has changed it since, and
    // if it was opened, something may have.
    let is_brief = lent.is_none() && shard.suffix.find_opened(place, effect.db, effect.key).is_none();
    if is_brief && is_plain_set(effect) && shard.suffix.note_set(place, effect, written) {
        return preview::take_in_aside(guards, shared, effect, written);
    }
    let mut unstable = shard.take_unstable(place, effect, written);
    if let Some(lent) = lent {
        unstable.causality = Some(lent);
    }
    unstable.open(shard.find(effect.db, place.order, effect.key)).record(effect, written);
    shard.suffix.note(written.dot, effect.db, place.order);
    shard.suffix.put(unstable);
    preview::take_in_aside(guards, shared, effect, written);
}
