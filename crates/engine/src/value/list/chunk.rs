//! A chunk: neighbouring elements of a big list in one buffer, with the runs of their positions.

use super::marks::ChunkMarks;
use crate::value::runs::Runs;
use crate::value::tree::Leaf;
use crate::value::wide::{Epoch, Mark};
use crate::value::{packed, size_class};
use effect::{
    ListPos,
    wire::{Varint, put_bytes, varint_len, write_varint},
};
use std::ops::Range;

/// Elements of a chunk.
const ELEMENTS: usize = 512;
/// Bytes of a chunk with more than one element: an allocation class, which small elements fill to the last one.
const BYTES: usize = 4 * 1024;
/// Runs of positions of a chunk: inserting and removing in the midst of a list makes many, and each change moves them.
const RUNS: usize = 64;

/// Elements as `varint ‖ bytes` each, and where they stand.
pub(in crate::value) struct Chunk {
    buffer: Vec<u8>,
    /// Bytes at the front that removed elements left.
    start: usize,
    /// What each element takes in the buffer, if all take the same: then none has to be walked over. Else 0.
    width: u32,
    /// As of when the marks are meant.
    epoch: Epoch,
    marks: ChunkMarks,
    runs: Runs,
}

/// What a value takes in a buffer.
fn need(value: &[u8]) -> usize {
    varint_len(value.len() as u64) + value.len()
}

impl Chunk {
    pub(in crate::value) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The elements' bytes.
    pub(super) fn body(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Where the element at `index` begins in the buffer; the end for the length.
    pub(super) fn offset(&self, index: usize) -> usize {
        if index == self.runs.len() {
            return self.buffer.len();
        }
        if self.width > 0 {
            return self.start + index * self.width as usize;
        }
        let mut at = self.start;
        for _ in 0..index {
            at += packed::varint(&self.buffer, &mut at);
        }
        at
    }

    /// The mark of an element, as of the chunk's own epoch.
    pub(super) fn mark(&self, index: usize) -> Mark {
        self.marks.get(index)
    }

    /// The mark that all elements have; `None` if they differ.
    pub(super) fn common_mark(&self) -> Option<Mark> {
        self.marks.common()
    }

    /// Marks an element as changed and returns the mark that it had.
    pub(super) fn change(&mut self, index: usize, epoch: Epoch) -> Mark {
        self.advance(epoch);
        let mark = self.marks.get(index);
        self.marks.set(index, mark.changed(), self.runs.len());
        mark
    }

    /// Marks an element, which was just inserted.
    pub(super) fn set_mark(&mut self, index: usize, mark: Mark) {
        self.marks.set(index, mark, self.runs.len());
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        self.read(&mut self.offset(index))
    }

    /// The element at an offset in the buffer, which moves on to the next.
    pub(super) fn read(&self, at: &mut usize) -> &[u8] {
        packed::string(&self.buffer, at)
    }

    fn place(&self, index: usize) -> Range<usize> {
        let start = self.offset(index);
        let mut end = start;
        packed::string(&self.buffer, &mut end);
        start..end
    }

    /// Whether a value may take the place of an element without the chunk growing too large.
    pub(super) fn takes(&self, value: &[u8]) -> bool {
        self.runs.len() == 1 || self.body().len() + need(value) <= BYTES
    }

    pub(super) fn set(&mut self, index: usize, value: &[u8]) {
        let place = self.place(index);
        self.put(place, value);
    }

    fn put(&mut self, place: Range<usize>, value: &[u8]) {
        let need = need(value);
        let alone = place == (self.start..self.buffer.len());
        self.width = if alone || self.width as usize == need { need as u32 } else { 0 };
        let front = place.is_empty() && place.start == self.start;
        // In front the gap that pops left is used; a push to the front opens one.
        if front && self.start < need && !self.body().is_empty() {
            self.open_gap(need);
        }
        if front && self.start >= need {
            self.start -= need;
            let (front, value_at) = self.buffer[self.start..].split_at_mut(need - value.len());
            write_varint(front, value.len() as u64);
            value_at[..value.len()].copy_from_slice(value);
        } else if place.start == self.buffer.len() {
            let len = self.buffer.len() + need;
            if self.buffer.capacity() < len {
                let room = size_class(len * 3 / 2);
                let room = if len <= BYTES { room.min(BYTES) } else { size_class(len) };
                self.buffer.reserve_exact(room - self.buffer.len());
            }
            put_bytes(&mut self.buffer, value);
        } else {
            let length = Varint::of(value.len() as u64);
            self.buffer.splice(place, length.bytes().iter().chain(value).copied());
        }
    }

    /// Makes room in front, in a buffer that is full when the chunk is.
    fn open_gap(&mut self, need: usize) {
        let body = self.body().len();
        let gap = need.max((body / 2).min(BYTES.saturating_sub(body)));
        let mut buffer = Vec::with_capacity(size_class(gap + body).min(BYTES.max(gap + body)));
        buffer.resize(gap, 0);
        buffer.extend_from_slice(self.body());
        (self.buffer, self.start) = (buffer, gap);
    }

    /// Makes all the room at once that more elements like the one of this new chunk will take, in front of it or behind.
    pub(super) fn expect_more(&mut self, in_front: bool) {
        let body = self.body().len();
        if body > BYTES / 4 {
            return;
        }
        let room = (body * ELEMENTS).min(BYTES);
        let gap = if in_front { room - body } else { 0 };
        let mut buffer = Vec::with_capacity(room);
        buffer.resize(gap, 0);
        buffer.extend_from_slice(self.body());
        (self.buffer, self.start) = (buffer, gap);
    }

    fn split_off(&mut self, index: usize) -> Self {
        let at = self.offset(index);
        let buffer = self.buffer[at..].to_vec();
        self.buffer.truncate(at);
        self.buffer.shrink_to_fit();
        let marks = self.marks.split_off(index);
        Self { buffer, start: 0, width: self.width, epoch: self.epoch, marks, runs: self.runs.split_off(index) }
    }
}

impl Leaf for Chunk {
    type Key = ListPos;
    type Item<'i> = (&'i ListPos, &'i [u8]);

    fn len(&self) -> usize {
        self.runs.len()
    }

    fn first(&self) -> ListPos {
        self.runs.get(0)
    }

    fn partition_point(&self, below: &mut dyn FnMut(&ListPos) -> bool) -> usize {
        self.runs.partition_point(below)
    }

    fn single((pos, value): Self::Item<'_>, epoch: Epoch) -> Self {
        let marks = ChunkMarks::all(Mark::New);
        let mut chunk = Self { buffer: Vec::new(), start: 0, width: 0, epoch, marks, runs: Runs::default() };
        chunk.put(0..0, value);
        chunk.runs.insert(0, pos.clone());
        chunk
    }

    fn insert(&mut self, at: usize, item: Self::Item<'_>, epoch: Epoch) -> Option<Self> {
        self.advance(epoch);
        let len = self.len();
        let room = len < ELEMENTS && self.runs.parts() < RUNS;
        if room && self.body().len() + need(item.1) <= BYTES {
            let place = self.offset(at);
            self.put(place..place, item.1);
            self.marks.insert(at, Mark::New, len);
            self.runs.insert(at, item.0.clone());
            return None;
        }
        if at == len {
            return Some(Self::single(item, epoch));
        }
        if at == 0 {
            return Some(std::mem::replace(self, Self::single(item, epoch)));
        }
        let mut right = self.split_off(at);
        let (side, place) = if self.len() <= right.len() { (&mut *self, at) } else { (&mut right, 0) };
        let offset = side.offset(place);
        side.put(offset..offset, item.1);
        side.marks.insert(place, Mark::New, side.runs.len());
        side.runs.insert(place, item.0.clone());
        Some(right)
    }

    fn advance(&mut self, to: Epoch) {
        if self.epoch != to {
            self.marks.advance(self.epoch, to);
            self.epoch = to;
        }
    }

    fn give_up(&mut self, to: Epoch) {
        self.marks.give_up();
        self.epoch = to;
    }

    fn renew(&mut self, to: Epoch) {
        self.marks = ChunkMarks::all(Mark::New);
        self.epoch = to;
    }

    fn remove(&mut self, at: usize, epoch: Epoch) -> Mark {
        self.advance(epoch);
        let place = self.place(at);
        if at == 0 {
            self.start = place.end;
            if self.start > self.buffer.len() / 2 + 64 {
                self.buffer.drain(..self.start);
                self.start = 0;
                self.buffer.shrink_to(self.buffer.len() * 9 / 8);
            }
        } else {
            self.buffer.drain(place);
        }
        self.runs.remove(at);
        self.marks.remove(at)
    }

    fn remove_range(&mut self, range: Range<usize>) {
        let (from, to) = (self.offset(range.start), self.offset(range.end));
        let mut behind = self.runs.split_off(range.start).split_off(range.len());
        self.runs.append(&mut behind);
        self.marks.remove_range(range.clone());
        if range.start == 0 {
            self.start = to;
        } else {
            self.buffer.drain(from..to);
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.shrink_to_fit();
    }

    fn is_sparse(&self) -> bool {
        self.len() < ELEMENTS / 4 && self.body().len() < BYTES / 4
    }

    fn absorb(&mut self, right: &mut Self) -> bool {
        let bytes = self.body().len() + right.body().len();
        if self.len() + right.len() > ELEMENTS / 2 || bytes > BYTES / 2 {
            return false;
        }
        if self.width != right.width {
            self.width = 0;
        }
        self.buffer.extend_from_slice(&right.buffer[right.start..]);
        let epoch = self.epoch.later(right.epoch);
        self.advance(epoch);
        right.advance(epoch);
        self.marks.append(self.runs.len(), &mut right.marks, right.runs.len());
        self.runs.append(&mut right.runs);
        true
    }

    fn heap(&self) -> usize {
        size_class(self.buffer.capacity()) + self.runs.heap() + self.marks.heap()
    }
}
