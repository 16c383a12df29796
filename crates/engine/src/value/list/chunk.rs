//! A chunk: neighbouring elements of a big list in one buffer, with the runs of their positions.

use crate::value::runs::Runs;
use crate::value::tree::Leaf;
use crate::value::{packed, size_class};
use effect::{ListPos, wire::put_bytes};
use std::ops::Range;

/// Elements of a chunk.
const ELEMENTS: usize = 128;
/// Bytes of a chunk with more than one element.
const BYTES: usize = 8 * 1024;

/// Elements as `varint ‖ bytes` each, and where they stand.
pub(in crate::value) struct Chunk {
    buffer: Vec<u8>,
    /// Bytes at the front that removed elements left.
    start: usize,
    runs: Runs,
}

impl Chunk {
    pub(super) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The elements' bytes.
    pub(super) fn body(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Where the element at `index` begins in the buffer; the end for the length.
    fn offset(&self, index: usize) -> usize {
        if index == self.runs.len() {
            return self.buffer.len();
        }
        let mut at = self.start;
        for _ in 0..index {
            at += packed::varint(&self.buffer, &mut at);
        }
        at
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        packed::string(&self.buffer, &mut self.offset(index))
    }

    fn place(&self, index: usize) -> Range<usize> {
        let start = self.offset(index);
        let mut end = start;
        packed::string(&self.buffer, &mut end);
        start..end
    }

    /// Whether a value may take the place of an element without the chunk growing too large.
    pub(super) fn takes(&self, value: &[u8]) -> bool {
        self.runs.len() == 1 || self.body().len() + value.len() <= BYTES
    }

    pub(super) fn set(&mut self, index: usize, value: &[u8]) {
        let place = self.place(index);
        self.put(place, value);
    }

    fn put(&mut self, place: Range<usize>, value: &[u8]) {
        let length = packed::Varint::new(value.len());
        let need = length.as_slice().len() + value.len();
        // In front the gap that pops left is used; a push to the front opens one.
        if place.is_empty() && place.start == self.start && self.start < need && !self.body().is_empty() {
            let gap = need.max(self.body().len().min(BYTES / 8));
            self.buffer.splice(self.start..self.start, std::iter::repeat_n(0, gap));
            self.start += gap;
            self.start -= need;
            self.write(self.start, &length, value);
        } else if place.is_empty() && place.start == self.start && self.start >= need {
            self.start -= need;
            self.write(self.start, &length, value);
        } else if place.start == self.buffer.len() {
            if self.buffer.capacity() - self.buffer.len() < need {
                self.buffer.reserve_exact(size_class((self.buffer.len() + need) * 9 / 8) - self.buffer.len());
            }
            put_bytes(&mut self.buffer, value);
        } else {
            self.buffer.splice(place, length.as_slice().iter().chain(value).copied());
        }
    }

    fn write(&mut self, at: usize, length: &packed::Varint, value: &[u8]) {
        let head = length.as_slice().len();
        self.buffer[at..at + head].copy_from_slice(length.as_slice());
        self.buffer[at + head..at + head + value.len()].copy_from_slice(value);
    }

    fn split_off(&mut self, index: usize) -> Self {
        let at = self.offset(index);
        let buffer = self.buffer[at..].to_vec();
        self.buffer.truncate(at);
        self.buffer.shrink_to_fit();
        Self { buffer, start: 0, runs: self.runs.split_off(index) }
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

    fn single((pos, value): Self::Item<'_>) -> Self {
        let mut chunk = Self { buffer: Vec::new(), start: 0, runs: Runs::default() };
        chunk.put(0..0, value);
        chunk.runs.insert(0, pos.clone());
        chunk
    }

    fn insert(&mut self, at: usize, item: Self::Item<'_>) -> Option<Self> {
        let len = self.len();
        if len < ELEMENTS && self.body().len() + item.1.len() <= BYTES {
            let place = self.offset(at);
            self.put(place..place, item.1);
            self.runs.insert(at, item.0.clone());
            return None;
        }
        if at == len {
            return Some(Self::single(item));
        }
        if at == 0 {
            return Some(std::mem::replace(self, Self::single(item)));
        }
        let mut right = self.split_off(at);
        let (side, place) = if self.len() <= right.len() { (&mut *self, at) } else { (&mut right, 0) };
        let offset = side.offset(place);
        side.put(offset..offset, item.1);
        side.runs.insert(place, item.0.clone());
        Some(right)
    }

    fn remove(&mut self, at: usize) {
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
    }

    fn is_sparse(&self) -> bool {
        self.len() < ELEMENTS / 4 && self.body().len() < BYTES / 4
    }

    fn absorb(&mut self, right: &mut Self) -> bool {
        let bytes = self.body().len() + right.body().len();
        if self.len() + right.len() > ELEMENTS / 2 || bytes > BYTES / 2 {
            return false;
        }
        self.buffer.extend_from_slice(&right.buffer[right.start..]);
        self.runs.append(&mut right.runs);
        true
    }

    fn heap(&self) -> usize {
        size_class(self.buffer.capacity()) + self.runs.heap()
    }
}
