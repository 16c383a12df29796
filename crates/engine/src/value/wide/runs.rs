//! Positions of list elements whose rows must go, neighbours of a run drawn together: a queue that is emptied from its head
//! needs one entry.

use super::trail::{Gone, Trail};
use crate::value::away::Went;
use effect::{ListPos, PathStep};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The trail of a list.
pub(in crate::value) type Placed = Trail<ListPos, Box<[u8]>, PosRuns>;

/// A position without an insertion path, in the order of positions.
type Base = (i64, u64, i64);

/// Positions that have gone.
///
/// *Invariant:* runs do not overlap.
#[derive(Default)]
pub(in crate::value) struct PosRuns {
    /// Those without an insertion path: of each run the first one, and how many.
    runs: BTreeMap<Base, u64>,
    inserted: BTreeSet<ListPos>,
}

/// Before all others.
pub(in crate::value) fn first() -> ListPos {
    ListPos::new(i64::MIN, 0, i64::MIN)
}

/// The position behind this one: no other lies between.
pub(in crate::value) fn behind(pos: &ListPos) -> ListPos {
    ListPos { path: pos.path.with(PathStep { digit: i64::MIN, origin: 0 }), ..pos.clone() }
}

/// How far `pos` is behind `first` in its run.
fn distance(first: &Base, pos: &Base) -> Option<u64> {
    ((first.0, first.1) == (pos.0, pos.1) && first.2 <= pos.2).then(|| pos.2.wrapping_sub(first.2) as u64)
}

impl Gone for PosRuns {
    type Key = ListPos;

    fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.inserted.is_empty()
    }

    fn add(&mut self, pos: ListPos) {
        self.add_run(pos, 1);
    }
}

impl PosRuns {
    /// Adds positions one behind the other, none of which is here but perhaps the only one.
    pub(in crate::value) fn add_run(&mut self, pos: ListPos, mut len: u64) {
        if !pos.path.is_empty() {
            self.inserted.insert(pos);
            return;
        }
        let mut first = (pos.epoch, pos.origin, pos.n);
        if let Some((start, count)) = self.runs.range(..=first).next_back()
            && let Some(away) = distance(start, &first)
            && away <= *count
        {
            (first, len) = (*start, (away + len).max(*count));
        }
        if let Some((next, count)) = self.runs.range((Bound::Excluded(first), Bound::Unbounded)).next()
            && distance(&first, next) == Some(len)
        {
            let next = *next;
            len += count;
            self.runs.remove(&next);
        }
        self.runs.insert(first, len);
    }

    /// Those of the positions from one on that were pushed, in order.
    pub(in crate::value) fn pushed(&self, from: &ListPos) -> impl Iterator<Item = ListPos> {
        let base = (from.epoch, from.origin, from.n);
        let before = self.runs.range(..base).next_back();
        // The position itself comes before what was inserted behind it.
        let least = ListPos { path: from.path.clone(), ..*from };
        before
            .into_iter()
            .chain(self.runs.range(base..))
            .flat_map(move |(first, len)| {
                let skipped =
                    if *first < base { distance(first, &base).map_or(*len, |away| away.min(*len)) } else { 0 };
                (skipped..*len).map(move |step| ListPos::new(first.0, first.1, first.2.wrapping_add(step as i64)))
            })
            .skip_while(move |pos| *pos < least)
    }

    /// Whether the position is one of them.
    pub(in crate::value) fn contains(&self, pos: &ListPos) -> bool {
        if !pos.path.is_empty() {
            return self.inserted.contains(pos);
        }
        let base = (pos.epoch, pos.origin, pos.n);
        let before = self.runs.range(..=base).next_back();
        before.is_some_and(|(first, len)| distance(first, &base).is_some_and(|away| away < *len))
    }

    /// Those of the positions from one on that were inserted, in order.
    pub(in crate::value) fn inserted(&self, from: &ListPos) -> impl Iterator<Item = &ListPos> {
        self.inserted.range(from..)
    }
}

/// Brings `end` to the position that has `most` of these before it.
fn lower(end: &mut Option<ListPos>, most: usize, positions: impl Iterator<Item = ListPos>) {
    if let Some(pos) = positions.take_while(|pos| end.as_ref().is_none_or(|end| pos < end)).nth(most) {
        *end = Some(pos);
    }
}

impl Placed {
    /// What has gone in this epoch behind one position and up to another.
    pub(in crate::value) fn went(&self, after: Option<&ListPos>, upto: Option<&ListPos>) -> Went<ListPos> {
        let from = after.map_or_else(first, behind);
        let within = |pos: &ListPos| upto.is_none_or(|upto| pos <= upto);
        let gone = self.gone();
        let mut went = Went::<ListPos> { count: 0, ends: None };
        let inserted = gone.inserted(&from).cloned().take_while(within);
        for pos in gone.pushed(&from).take_while(within).chain(inserted) {
            went.count += 1;
            went.ends = Some(match went.ends.take() {
                None => (pos.clone(), pos),
                Some((least, most)) => (least.min(pos.clone()), most.max(pos)),
            });
        }
        went
    }

    /// Whether a position has gone whose row, if there is one, has not yet.
    pub(in crate::value) fn has_gone(&self, pos: &ListPos) -> bool {
        self.gone().contains(pos) || self.removed().iter().any(|gone| gone.contains(pos))
    }

    /// Begins an image.
    pub(in crate::value) fn begin(&mut self) {
        self.freeze(first());
    }

    /// Elements at these positions, one behind the other in a run, have gone; each had a row.
    pub(in crate::value) fn add_run(&mut self, first: ListPos, len: u64) {
        self.gone_mut().add_run(first, len);
    }

    /// At most `end`, and so near that at most `most` of what was kept and of each layer that was removed lie before it;
    /// of what was inserted as many again.
    pub(in crate::value) fn end_within(&self, mut end: Option<ListPos>, most: usize) -> Option<ListPos> {
        let Some(from) = self.next() else { return end };
        let kept = self.kept().into_iter().flat_map(|kept| kept.range(from..)).map(|(pos, _)| pos.clone());
        lower(&mut end, most, kept);
        for gone in self.removed() {
            lower(&mut end, most, gone.pushed(from));
            lower(&mut end, most, gone.inserted(from).cloned());
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pos() -> impl Strategy<Value = ListPos> {
        let deep = |pos: ListPos, digit| ListPos { path: pos.path.with(PathStep { digit, origin: 1 }), ..pos };
        (0i64..2, 1u64..3, -4i64..12, prop::option::weighted(0.2, 0i64..2)).prop_map(
            move |(epoch, origin, n, digit)| {
                let pos = ListPos::new(epoch, origin, n);
                digit.map_or(pos.clone(), |digit| deep(pos, digit))
            },
        )
    }

    proptest! {
        #[test]
        fn runs_hold_what_was_added_in_order(adds in prop::collection::vec(pos(), 0..60), from in pos()) {
            let (mut runs, mut model) = (PosRuns::default(), BTreeSet::new());
            for pos in adds {
                runs.add(pos.clone());
                model.insert(pos);
            }
            for from in [first(), from.clone(), behind(&from)] {
                let (pushed, inserted): (Vec<_>, Vec<_>) = model.range(&from..).cloned().partition(|p| p.path.is_empty());
                prop_assert_eq!(runs.pushed(&from).collect::<Vec<_>>(), pushed);
                prop_assert_eq!(runs.inserted(&from).cloned().collect::<Vec<_>>(), inserted);
            }
        }
    }

    #[test]
    fn a_queue_that_is_emptied_is_one_run() {
        let mut runs = PosRuns::default();
        (0..1000).for_each(|n| runs.add(ListPos::new(0, 1, n)));
        (-1000..0).rev().for_each(|n| runs.add(ListPos::new(0, 1, n)));
        assert_eq!(runs.runs.len(), 1);
    }

    #[test]
    fn nothing_lies_between_a_position_and_the_one_behind_it() {
        let pos = ListPos::new(0, 1, 5);
        let child = ListPos { path: pos.path.with(PathStep { digit: -7, origin: 0 }), ..pos.clone() };
        assert!(pos < behind(&pos) && behind(&pos) < child && child < pos.step(1));
    }
}
