//! A large list as rows, and what its changes leave for them.

use super::BigList;
use super::chunk::Chunk;
use super::chunks::Chunks;
use crate::value::tree::Leaf;
use crate::value::wide::{Budget, Content, Mark, Page, Placed, RowKey, RowSink, WideRow, behind};
use effect::ListPos;
use std::ops::{Bound, Range};

impl BigList {
    /// An empty list.
    pub(in crate::value) fn new() -> Self {
        Self { chunks: Chunks::default(), away: None }
    }

    /// Adds an element behind all others; [`settle`](Self::settle) puts it to rest.
    pub(in crate::value) fn load(&mut self, pos: &ListPos, value: &[u8]) {
        self.chunks.insert(self.chunks.len(), (pos, value));
    }

    /// Adds an element that belongs before the last one. `None`, and nothing done, if there is one at this position.
    pub(in crate::value) fn load_before(&mut self, pos: &ListPos, value: &[u8]) -> Option<()> {
        let index = self.search(pos).err()?;
        self.chunks.insert(index, (pos, value));
        Some(())
    }

    /// All elements are at rest: as if an image of them had been written.
    pub(in crate::value) fn settle(&mut self) {
        self.chunks.next_epoch();
        self.chunks.advance_all();
        self.chunks.next_epoch();
    }

    pub(in crate::value) fn len(&self) -> usize {
        self.chunks.len() + self.away()
    }

    /// The first position in memory and the last one.
    pub(in crate::value) fn ends(&self) -> Option<(ListPos, ListPos)> {
        Some((self.get_pos(0)?, self.get_pos(self.chunks.len().checked_sub(1)?)?))
    }

    /// An image begins, or is written.
    pub(in crate::value) fn next_epoch(&mut self) {
        self.chunks.next_epoch();
    }

    /// No element has a row any more.
    pub(in crate::value) fn renew(&mut self) {
        self.chunks.renew();
    }

    /// The image is given up.
    pub(in crate::value) fn give_up(&mut self) {
        self.chunks.give_up();
    }

    /// Removes the element at `index`, which has this position.
    pub(super) fn remove(&mut self, index: usize, pos: &ListPos, trail: Option<&mut Placed>) {
        let Some(trail) = trail else {
            self.chunks.remove(index);
            return;
        };
        let epoch = self.chunks.epoch();
        let mark = self.chunks.alter(index, |chunk, at| {
            chunk.advance(epoch);
            chunk.mark(at)
        });
        let old = || self.get(index).unwrap_or_default().into();
        trail.note_removal(mark.unwrap_or(Mark::New), || pos.clone(), old);
        self.chunks.remove(index);
    }

    /// Replaces the value of the element at `index`, which has this position.
    pub(super) fn set(&mut self, index: usize, pos: &ListPos, value: &[u8], trail: Option<&mut Placed>) {
        let (epoch, mut mark) = (self.chunks.epoch(), Mark::New);
        let set = |chunk: &mut Chunk, at| {
            mark = chunk.change(at, epoch);
            if let Some(trail) = trail {
                trail.note_change(mark, || pos.clone(), || chunk.get(at).into());
            }
            let takes = chunk.takes(value);
            if takes {
                chunk.set(at, value);
            }
            takes
        };
        if self.chunks.alter(index, set) == Some(false) {
            self.chunks.remove(index);
            self.chunks.insert(index, (pos, value));
            self.chunks.alter(index, |chunk, at| chunk.set_mark(at, mark.changed()));
        }
    }

    /// Notes that the elements at these indexes, from `first` on in one run, go at once. `None`, and nothing done, if some of
    /// them would have to be kept one by one.
    pub(super) fn note_cut(&mut self, indexes: Range<usize>, first: &ListPos, trail: &mut Placed) -> Option<()> {
        let epoch = self.chunks.epoch();
        let (mut at, mut parts) = (indexes.start, Vec::new());
        while at < indexes.end {
            self.chunks.alter(at, |chunk, _| chunk.advance(epoch));
            let (chunk, base) = self.chunks.at(at)?;
            let till = indexes.end.min(base + chunk.len());
            let mark = chunk.common_mark().filter(|mark| *mark != Mark::Frozen)?;
            if mark != Mark::New {
                parts.push((first.step((at - indexes.start) as i64), (till - at) as u64));
            }
            at = till;
        }
        parts.into_iter().for_each(|(first, len)| trail.add_run(first, len));
        Some(())
    }

    /// Hands over rows of the image.
    pub(in crate::value) fn next_rows(&mut self, trail: &mut Placed, budget: &mut Budget, sink: &mut RowSink<'_>) {
        while trail.next().is_some() && !budget.is_spent() {
            self.next_page(trail, budget, sink);
        }
    }

    /// The rows of one chunk, with those that belong between them.
    fn next_page(&mut self, trail: &mut Placed, budget: &mut Budget, sink: &mut RowSink<'_>) {
        let Some(from) = trail.next() else { return };
        let (Ok(index) | Err(index)) = self.search(from);
        let epoch = self.chunks.epoch();
        self.chunks.alter(index, |chunk, _| chunk.advance(epoch));
        let (mut page, mut end) = (Page::new(), None);
        let found = self.chunks.at(index);
        if let Some((chunk, base)) = found
            && base + chunk.len() < self.chunks.len()
        {
            end = Some(behind(&chunk.runs().get(chunk.len() - 1)));
        }
        end = trail.end_within(end, budget.rows);
        let before_end = |pos: &ListPos| end.as_ref().is_none_or(|end| pos < end);
        if let Some((chunk, base)) = found {
            add_frozen(chunk, index - base, before_end, &mut page);
        }
        let range = (Bound::Included(from), end.as_ref().map_or(Bound::Unbounded, Bound::Excluded));
        for (pos, value) in trail.kept().into_iter().flat_map(|kept| kept.range::<ListPos, _>(range)) {
            page.add(WideRow::Put(RowKey::Placed(pos.clone()), Content::Bytes(value)));
        }
        for gone in trail.removed() {
            let inserted = gone.inserted(from).cloned().take_while(before_end);
            for pos in gone.pushed(from).take_while(before_end).chain(inserted) {
                page.add(WideRow::Remove(RowKey::Placed(pos)));
            }
        }
        let left = page.hand_over(budget, sink).map(|key| match key {
            RowKey::Placed(pos) => pos,
            _ => unreachable!("all rows of the page are by position"),
        });
        trail.set_next(left.or(end));
    }
}

/// The elements of a chunk from `at` on that belong to the image.
fn add_frozen<'c>(chunk: &'c Chunk, at: usize, before_end: impl Fn(&ListPos) -> bool, page: &mut Page<'c>) {
    if chunk.common_mark().is_some_and(|mark| !mark.is_frozen()) {
        return;
    }
    let mut offset = chunk.offset(at);
    for at in at..chunk.len() {
        let value = chunk.read(&mut offset);
        if chunk.mark(at).is_frozen() {
            let pos = chunk.runs().get(at);
            if !before_end(&pos) {
                return;
            }
            page.add(WideRow::Put(RowKey::Placed(pos), Content::Bytes(value)));
        }
    }
}
