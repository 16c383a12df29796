//! States that were reached apart, brought together.
//!
//! *Invariant:* a part is in the join iff it is in both states, or in one and the other has not seen the effect that gave it: whoever
//! has seen it and does not have it has taken it away. No input changes.

use crate::op::Kind;
use crate::reduce::apply::Applied;
use crate::reduce::element::{Element, Elements};
use crate::reduce::event::Event;
use crate::reduce::reduced::Reduced;

/// The state after a linear chain of effects, the oldest first; `None` if there is none.
pub fn reduce_branch<'a>(events: impl IntoIterator<Item = Event<'a>>) -> Option<Reduced> {
    reduce_chain(None, events)
}

/// The state after a chain of effects that begins at `seed`, which does not change. What has no effect on a single key is passed over.
pub fn reduce_chain<'a>(seed: Option<&Reduced>, events: impl IntoIterator<Item = Event<'a>>) -> Option<Reduced> {
    let mut state = seed.cloned();
    for event in events {
        let _: Applied = state.get_or_insert_default().apply(&event);
    }
    state
}

/// The state of who has seen what either has. `None` adds nothing.
pub fn merge2(a: Option<&Reduced>, b: Option<&Reduced>) -> Option<Reduced> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.join(b)),
        (one, other) => one.or(other).cloned(),
    }
}

/// The state of who has seen what any branch has, in whatever order they are given.
pub fn merge_n<'a>(branches: impl IntoIterator<Item = Option<&'a Reduced>>) -> Option<Reduced> {
    let mut branches = branches.into_iter().flatten();
    let first = branches.next()?;
    let Some(second) = branches.next() else { return Some(first.clone()) };
    Some(branches.fold(first.join(second), |merged, branch| merged.join(branch)))
}

impl Reduced {
    /// See [`merge2`]. Of two states that have folded, one has folded all that the other has: cuts are moments of one clock.
    fn join(&self, other: &Reduced) -> Reduced {
        match (self.seen.covers(&other.seen), other.seen.covers(&self.seen)) {
            (true, false) => return self.clone(),
            (false, true) => return other.clone(),
            _ => {}
        }
        let (a, b) = if self.folded.covers(&other.folded) { (other, self) } else { (self, other) };
        let (mut seen, folded) = (a.seen.clone(), &b.folded);
        seen.join(&b.seen);
        let mut kinds = [None; 5];
        for (at, kind) in kinds.iter_mut().enumerate() {
            *kind = a.kinds[at].max(b.kinds[at]).filter(|tag| !folded.has(tag.dot));
        }
        let mut joined = Reduced {
            kinds,
            whole: Element::join((&a.whole, &a.seen), (&b.whole, &b.seen), folded),
            list: Elements::join((&a.list, &a.seen), (&b.list, &b.seen), folded),
            hash: Elements::join((&a.hash, &a.seen), (&b.hash, &b.seen), folded),
            set: Elements::join((&a.set, &a.seen), (&b.set, &b.seen), folded),
            zset: Elements::join((&a.zset, &a.seen), (&b.zset, &b.seen), folded),
            seen,
            folded: folded.clone(),
        };
        joined.take_void();
        // Of what came with a value, a write of another type takes what its writer had not observed.
        joined.whole.deadlines.own.retain(|tag, statement| {
            let takes = |side: &Reduced, of: Kind| {
                !side.seen.has(tag.dot)
                    && side.kinds.iter().enumerate().any(|(at, latest)| at != of as usize - 1 && *latest > Some(tag))
            };
            statement.of.is_none_or(|of| !takes(a, of) && !takes(b, of))
        });
        joined
    }
}
