//! The marks of a table's items: set where items change, gone over where an image is written.

use super::directory::Directory;
use super::segment::Segment;
use super::{Fetch, MERGE_AT, POOL_CHUNK, Table};
use crate::prefetch::prefetch;
use crate::value::wide::{Epoch, Mark};

/// Items of a segment that is made ahead of them.
const ITEMS_AHEAD: u64 = 16;

/// An item that was found, with its mark.
pub(in crate::value) struct Marked<'t, T> {
    segment: &'t mut Segment<T>,
    at: usize,
}

impl<'t, T> Marked<'t, T> {
    #[inline]
    pub(in crate::value) fn mark(&self) -> Mark {
        self.segment.mark(self.at)
    }

    #[inline]
    pub(in crate::value) fn item(&self) -> &T {
        &self.segment.items()[self.at]
    }

    /// The item to change, marked as changed. The caller must not change what its hash is made of.
    #[inline]
    pub(in crate::value) fn change(self) -> &'t mut T {
        self.segment.set_mark(self.at, self.mark().changed());
        self.segment.item_mut(self.at)
    }
}

impl<T: Fetch> Table<T> {
    /// An empty table with room for about `count` items, which come in the order of their hashes.
    pub(in crate::value) fn with_room(count: u64) -> Self {
        let mut table = Self::new();
        let bits = Directory::even_bits(count / ITEMS_AHEAD);
        if bits == 0 {
            return table;
        }
        table.segments = 1 << bits;
        table.directory = Directory::even(bits);
        let segment = |at: usize| Segment::new((at as u64) << (64 - bits), bits, Epoch::default());
        let chunks = (0..table.segments).step_by(POOL_CHUNK);
        table.pool = chunks
            .map(|start| {
                let mut chunk = Vec::with_capacity(POOL_CHUNK);
                chunk.extend((start..table.segments.min(start + POOL_CHUNK)).map(segment));
                chunk
            })
            .collect();
        table
    }

    /// Adds an item that is at rest and that the caller knows to be absent.
    pub(in crate::value) fn insert_at_rest(&mut self, hash: u64, item: T, rehash: impl Fn(&T) -> u64) {
        self.add(hash, item, Mark::Rest, rehash);
    }

    /// Takes those items out of a hash's segment that are at rest and may go. Answers the first hash behind it.
    pub(in crate::value) fn shed_at(
        &mut self,
        hash: u64,
        rehash: impl Fn(&T) -> u64,
        may_go: impl Fn(&T) -> bool,
        gone: &mut Vec<T>,
    ) -> Option<u64> {
        let (at, epoch) = (self.directory.find(hash), self.epoch);
        let segment = &mut self.pool[at / POOL_CHUNK][at % POOL_CHUNK];
        segment.advance(epoch);
        let (before, capacity, mut place) = (segment.len(), segment.capacity(), 0);
        while place < segment.len() {
            if segment.mark(place) == Mark::Rest && may_go(&segment.items()[place]) {
                gone.push(segment.swap_remove(place, &rehash));
            } else {
                place += 1;
            }
        }
        let (end, after) = (segment.end(), segment.capacity());
        self.len -= before - segment.len();
        self.capacity = self.capacity + after - capacity;
        if segment.len() < before && segment.len() <= MERGE_AT / 2 {
            self.merge(hash);
        }
        end
    }

    /// Visits the items whose hashes lie from one up to, not including, another.
    pub(in crate::value) fn scan_to<'t>(
        &'t self,
        from: u64,
        to: Option<u64>,
        rehash: impl Fn(&T) -> u64,
        mut visit: impl FnMut(u64, &'t T),
    ) {
        let mut next = Some(from);
        while let Some(at) = next.filter(|at| to.is_none_or(|to| *at < to)) {
            next = self.scan(at, &rehash, |item| {
                let hash = rehash(item);
                if to.is_none_or(|to| hash < to) {
                    visit(hash, item);
                }
            });
        }
    }

    /// As [`find_mut`](Self::find_mut), with the item's mark.
    #[inline]
    pub(in crate::value) fn find_marked(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<Marked<'_, T>> {
        let (at, epoch) = (self.directory.find(hash), self.epoch);
        let segment = self.segment_mut(at);
        let at = segment.position(hash, eq)?;
        segment.advance(epoch);
        Some(Marked { segment, at })
    }

    /// An image begins, or is written.
    pub(in crate::value) fn next_epoch(&mut self) {
        self.epoch = self.epoch.next();
    }

    /// The image is given up: what belonged to it has changed. In time proportional to the segments.
    pub(in crate::value) fn give_up(&mut self) {
        let (now, next) = (self.epoch, self.epoch.next());
        for segment in self.pool.iter_mut().flatten() {
            segment.advance(now);
            segment.give_up(next);
        }
        self.epoch = next;
    }

    /// No item has a row any more: all are new. In time proportional to the segments.
    pub(in crate::value) fn renew(&mut self) {
        let epoch = self.epoch;
        self.pool.iter_mut().flatten().for_each(|segment| segment.renew(epoch));
    }

    /// Brings the marks of a hash's segment to the present epoch and answers the first hash behind it.
    pub(in crate::value) fn advance_at(&mut self, hash: u64) -> Option<u64> {
        let (at, epoch) = (self.directory.find(hash), self.epoch);
        let segment = self.segment_mut(at);
        segment.advance(epoch);
        let end = segment.end();
        if let Some(end) = end {
            prefetch(std::ptr::from_ref(self.segment(self.directory.find(end))));
        }
        end
    }

    /// The items of a hash's segment, which [`advance_at`](Self::advance_at) was asked for, that belong to the image.
    pub(in crate::value) fn frozen_at(&self, hash: u64) -> impl Iterator<Item = &T> {
        let segment = self.segment(self.directory.find(hash));
        let items = if segment.has_frozen() { segment.items() } else { &[] };
        let frozen = |(at, item)| (segment.mark(at) == Mark::Frozen).then_some(item);
        items.iter().enumerate().filter_map(frozen).for_each(Fetch::fetch);
        items.iter().enumerate().filter_map(frozen)
    }
}
