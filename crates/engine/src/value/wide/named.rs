//! Images of elements that have names: fields and members, by hash.

use super::mark::Mark;
use super::page::{Budget, Page, RowSink};
use super::row::{Content, RowKey, WideRow};
use super::trail::Trail;
use crate::value::away::Went;
use crate::value::{Fetch, HashSeed, Table};
use std::collections::BTreeSet;
use std::ops::Bound;

/// Where a name stands: its hash, or the order of its score, before its bytes.
pub(in crate::value) type Order = (u64, Box<[u8]>);

/// The trail of elements that are ordered by a number and then by name.
pub(in crate::value) type Named<V> = Trail<Order, V, BTreeSet<Order>>;

/// The trails of a sorted set: one for each order of its rows.
#[derive(Default)]
pub(in crate::value) struct ZSetTrail {
    /// Members by hash.
    pub(in crate::value) members: Named<f64>,
    /// Members by score; each is new, at rest or gone with its score.
    pub(in crate::value) scores: Named<f64>,
}

/// Brings `end` to the name that has `most` of these before it.
fn lower<'k>(end: &mut Option<Order>, most: usize, mut keys: impl Iterator<Item = &'k Order>) {
    let key = keys.by_ref().take_while(|key| end.as_ref().is_none_or(|end| *key < end)).nth(most);
    if let Some(key) = key.cloned() {
        *end = Some(key);
    }
}

impl<V> Named<V> {
    /// What has gone in this epoch behind one name and up to another.
    pub(in crate::value) fn went(&self, after: Option<&Order>, upto: Option<&Order>) -> Went<Order> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut gone = self.gone().range::<Order, _>((from, upto.map_or(Bound::Unbounded, Bound::Included)));
        let first = gone.next();
        let (more, last) = gone.fold((0, None), |(count, _), name| (count + 1, Some(name)));
        Went {
            count: more + usize::from(first.is_some()),
            ends: first.map(|first| (first.clone(), last.unwrap_or(first).clone())),
        }
    }

    /// Whether a name has gone whose row, if there is one, has not yet.
    pub(in crate::value) fn has_gone(&self, name: &Order) -> bool {
        self.gone().contains(name) || self.removed().iter().any(|gone| gone.contains(name))
    }

    /// Begins an image.
    pub(super) fn begin(&mut self) {
        self.freeze((0, Box::default()));
    }

    /// At most `end`, and so near that at most `most` of what was kept and of each layer that was removed lie before it.
    pub(in crate::value) fn end_within(&self, mut end: Option<Order>, most: usize) -> Option<Order> {
        let Some(from) = self.next() else { return end };
        if let Some(kept) = self.kept() {
            lower(&mut end, most, kept.range(from..).map(|(key, _)| key));
        }
        self.removed().iter().for_each(|gone| lower(&mut end, most, gone.range(from..)));
        end
    }
}

/// What elements with names lie in.
pub(in crate::value) struct Source<'s, T, P: ?Sized> {
    pub(in crate::value) table: &'s mut Table<T>,
    /// Where items have what they do not have themselves.
    pub(in crate::value) pool: &'s P,
    pub(in crate::value) seed: HashSeed,
}

/// Name and content of an item.
type RowOf<T, P> = for<'x> fn(&'x P, &'x T) -> (&'x [u8], Content<'x>);

impl<T: Fetch, P: ?Sized> Source<'_, T, P> {
    /// Hands over the next rows of the image.
    pub(in crate::value) fn next_rows<V>(
        &mut self,
        trail: &mut Named<V>,
        (row, old): (RowOf<T, P>, for<'x> fn(&'x V) -> Content<'x>),
        budget: &mut Budget,
        sink: &mut RowSink<'_>,
    ) {
        while !budget.is_spent()
            && let Some(from) = trail.next()
        {
            let end = self.table.advance_at(from.0).map(|hash| (hash, Box::default()));
            let end = trail.end_within(end, budget.rows);
            let mut page = Page::new();
            for item in self.table.frozen_at(from.0) {
                let (name, content) = row(self.pool, item);
                let hash = self.seed.hash(name);
                let before_end = end.as_ref().is_none_or(|end| (hash, name) < (end.0, &*end.1));
                if before_end && (hash, name) >= (from.0, &*from.1) {
                    page.add(WideRow::Put(RowKey::Hashed { hash, name }, content));
                }
            }
            let range = (Bound::Included(from), end.as_ref().map_or(Bound::Unbounded, Bound::Excluded));
            for ((hash, name), value) in trail.kept().into_iter().flat_map(|kept| kept.range::<Order, _>(range)) {
                page.add(WideRow::Put(RowKey::Hashed { hash: *hash, name }, old(value)));
            }
            for (hash, name) in trail.removed().iter().flat_map(|gone| gone.range::<Order, _>(range)) {
                page.add(WideRow::Remove(RowKey::Hashed { hash: *hash, name }));
            }
            let left = page.hand_over(budget, sink).map(|key| match key {
                RowKey::Hashed { hash, name } => (hash, name.into()),
                _ => unreachable!("all rows of the page are by hash"),
            });
            trail.set_next(left.or(end));
        }
    }
}

impl Mark {
    /// Whether the element belongs to the image that is being written.
    #[inline]
    pub(in crate::value) fn is_frozen(self) -> bool {
        self == Self::Frozen
    }
}
