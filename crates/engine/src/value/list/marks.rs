//! The marks of one chunk's elements: mostly all the same, since lists grow and shrink at their ends.

use crate::value::size_class;
use crate::value::wide::{Epoch, Mark};
use std::ops::Range;

/// Marks of elements by index.
pub(super) struct ChunkMarks {
    /// The mark of all elements, unless `each` has them.
    all: Mark,
    /// The mark of each element; empty while they are the same.
    each: Vec<Mark>,
}

impl ChunkMarks {
    pub(super) fn all(mark: Mark) -> Self {
        Self { all: mark, each: Vec::new() }
    }

    pub(super) fn common(&self) -> Option<Mark> {
        self.each.is_empty().then_some(self.all)
    }

    pub(super) fn get(&self, index: usize) -> Mark {
        self.each.get(index).copied().unwrap_or(self.all)
    }

    /// Makes room for a mark that differs from the others, of which there are `len`.
    fn differ(&mut self, mark: Mark, len: usize) -> bool {
        let same = self.each.is_empty() && (self.all == mark || len == 0);
        if same {
            self.all = mark;
        } else if self.each.is_empty() {
            self.each = vec![self.all; len];
        }
        !same
    }

    /// Adds a mark before the one at `index`; there are `len` so far.
    #[inline]
    pub(super) fn insert(&mut self, index: usize, mark: Mark, len: usize) {
        if self.each.is_empty() && self.all == mark {
            return;
        }
        if self.differ(mark, len) {
            self.each.insert(index, mark);
        }
    }

    /// Replaces one of `len` marks.
    pub(super) fn set(&mut self, index: usize, mark: Mark, len: usize) {
        // Of a single one there is none that could differ.
        if self.differ(mark, if len == 1 { 0 } else { len }) {
            self.each[index] = mark;
            // Elements come into memory one by one, and are soon all the same again.
            self.unify();
        }
    }

    pub(super) fn remove(&mut self, index: usize) -> Mark {
        if self.each.is_empty() {
            return self.all;
        }
        let mark = self.each.remove(index);
        self.unify();
        mark
    }

    pub(super) fn remove_range(&mut self, range: Range<usize>) {
        if !self.each.is_empty() {
            self.each.drain(range);
            self.unify();
        }
    }

    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let each = if self.each.is_empty() { Vec::new() } else { self.each.split_off(index) };
        let mut right = Self { all: self.all, each };
        self.unify();
        right.unify();
        right
    }

    /// Takes in the marks of `more` elements behind these `len`.
    pub(super) fn append(&mut self, len: usize, right: &mut Self, more: usize) {
        if self.common().is_some() && self.common() == right.common() {
            return;
        }
        let spread = |marks: &mut Self, len| match marks.common() {
            Some(mark) => vec![mark; len],
            None => std::mem::take(&mut marks.each),
        };
        let mut each = spread(self, len);
        each.append(&mut spread(right, more));
        self.each = each;
        self.unify();
    }

    /// Keeps one mark only if all are the same.
    fn unify(&mut self) {
        if let Some((first, rest)) = self.each.split_first()
            && rest.iter().all(|mark| mark == first)
        {
            *self = Self::all(*first);
        }
    }

    fn map(&mut self, change: impl Fn(Mark) -> Mark) {
        self.all = change(self.all);
        self.each.iter_mut().for_each(|mark| *mark = change(*mark));
        self.unify();
    }

    #[cold]
    pub(super) fn advance(&mut self, from: Epoch, to: Epoch) {
        self.map(|mark| mark.advanced(from, to));
    }

    pub(super) fn give_up(&mut self) {
        self.map(Mark::given_up);
    }

    pub(super) fn heap(&self) -> usize {
        size_class(self.each.capacity())
    }
}
