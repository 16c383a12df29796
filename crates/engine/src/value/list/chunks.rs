//! The chunks of a big list: a tree, and the two at the ends beside it.
//!
//! Most work on lists is at their ends. There it meets a chunk and no tree; only when that is full, or empty, does a whole
//! chunk go into the tree or come out of it.

use super::chunk::Chunk;
use crate::value::tree::{Leaf, Leaves, Tree};
use crate::value::wide::{Epoch, Mark};
use effect::ListPos;
use std::ops::Range;

/// Elements by rank: those of `head`, those of the tree, those of `tail`.
///
/// *Invariant:* neither end is an empty chunk.
#[derive(Default)]
pub(super) struct Chunks {
    head: Option<Chunk>,
    tree: Tree<Chunk>,
    tail: Option<Chunk>,
}

/// Where a rank lies, and the rank within.
enum Part {
    Head(usize),
    Tree(usize),
    Tail(usize),
}

fn len(end: &Option<Chunk>) -> usize {
    end.as_ref().map_or(0, Chunk::len)
}

impl Chunks {
    #[inline]
    pub(super) fn len(&self) -> usize {
        len(&self.head) + self.tree.len() + len(&self.tail)
    }

    /// Where the element of this rank is, or would be: at the tail if it is beyond all others.
    #[inline]
    fn part(&self, rank: usize) -> Part {
        let head = len(&self.head);
        if rank < head {
            return Part::Head(rank);
        }
        match (rank - head).checked_sub(self.tree.len()) {
            None => Part::Tree(rank - head),
            Some(within) => Part::Tail(within),
        }
    }

    /// Inserts before the element of rank `at`, which is at most the length.
    pub(super) fn insert(&mut self, at: usize, item: (&ListPos, &[u8])) {
        let head = len(&self.head);
        if at <= head {
            self.insert_at_head(at, item);
        } else if at - head < self.tree.len() {
            self.tree.insert(at - head, item);
        } else {
            self.insert_at_tail(at - head - self.tree.len(), item);
        }
    }

    fn insert_at_head(&mut self, at: usize, item: (&ListPos, &[u8])) {
        let epoch = self.tree.epoch();
        let Some(head) = &mut self.head else {
            self.head = Some(Chunk::single(item, epoch));
            return;
        };
        let Some(right) = head.insert(at, item, epoch) else { return };
        if at == 0 {
            head.expect_more(true);
        }
        if self.tree.len() == 0 && self.tail.is_none() {
            self.tail = Some(right);
        } else {
            self.tree.add_leaf(right, true);
        }
    }

    fn insert_at_tail(&mut self, at: usize, item: (&ListPos, &[u8])) {
        let epoch = self.tree.epoch();
        let Some(tail) = &mut self.tail else {
            self.tail = Some(Chunk::single(item, epoch));
            return;
        };
        let len = tail.len();
        if let Some(mut right) = tail.insert(at, item, epoch) {
            if at == len {
                right.expect_more(false);
            }
            self.tree.add_leaf(std::mem::replace(tail, right), false);
        }
    }

    /// Removes the element of rank `at`, which is below the length, and returns the mark that it had.
    pub(super) fn remove(&mut self, at: usize) -> Mark {
        let epoch = self.tree.epoch();
        if at == 0 && self.head.is_none() {
            self.head = self.tree.take_leaf(true);
        }
        if at + 1 == self.len() && self.tail.is_none() {
            self.tail = self.tree.take_leaf(false);
        }
        let (end, within) = match self.part(at) {
            Part::Head(within) => (&mut self.head, within),
            Part::Tree(within) => return self.tree.remove(within),
            Part::Tail(within) => (&mut self.tail, within),
        };
        match end {
            Some(chunk) if chunk.len() > 1 => chunk.remove(within, epoch),
            end => end.take().map_or(Mark::New, |mut chunk| {
                chunk.advance(epoch);
                chunk.mark(within)
            }),
        }
    }

    /// Removes the elements of these ranks and returns what is to be freed of them, in time proportional to the chunks.
    pub(super) fn remove_range(&mut self, range: Range<usize>) -> Leaves<Chunk> {
        let (head, tree) = (len(&self.head), self.tree.len());
        let within = |from: usize, len: usize| {
            let end = range.end.clamp(from, from + len) - from;
            range.start.clamp(from, from + len) - from..end
        };
        let (of_head, of_tree, of_tail) = (within(0, head), within(head, tree), within(head + tree, len(&self.tail)));
        let mut gone = self.tree.remove_range(of_tree);
        for (end, range) in [(&mut self.head, of_head), (&mut self.tail, of_tail)] {
            match end {
                Some(chunk) if range.len() == chunk.len() => end.take().into_iter().for_each(|chunk| gone.add(chunk)),
                Some(chunk) if !range.is_empty() => chunk.remove_range(range),
                _ => {}
            }
        }
        gone
    }

    /// How many leading elements satisfy the predicate, which holds for a prefix of the sequence.
    pub(super) fn partition_point(&self, mut below: impl FnMut(&ListPos) -> bool) -> usize {
        let head = self.head.as_ref().map_or(0, |head| head.partition_point(&mut below));
        if head < len(&self.head) {
            return head;
        }
        let tree = self.tree.partition_point(&mut below);
        if tree < self.tree.len() {
            return head + tree;
        }
        head + tree + self.tail.as_ref().map_or(0, |tail| tail.partition_point(&mut below))
    }

    /// The chunk that holds the element of this rank, and the rank of its first element.
    #[inline]
    pub(super) fn at(&self, rank: usize) -> Option<(&Chunk, usize)> {
        let head = len(&self.head);
        match self.part(rank) {
            Part::Head(_) => self.head.as_ref().map(|chunk| (chunk, 0)),
            Part::Tree(within) => self.tree.leaf_at(within).map(|(chunk, start)| (chunk, head + start)),
            Part::Tail(within) => {
                let chunk = self.tail.as_ref().filter(|chunk| within < chunk.len())?;
                Some((chunk, head + self.tree.len()))
            }
        }
    }

    /// Lets `change` alter the chunk of the element in ways that keep its length.
    pub(super) fn alter<R>(&mut self, rank: usize, change: impl FnOnce(&mut Chunk, usize) -> R) -> Option<R> {
        match self.part(rank) {
            Part::Head(within) => self.head.as_mut().map(|chunk| change(chunk, within)),
            Part::Tree(within) => self.tree.alter(within, change),
            Part::Tail(within) => {
                self.tail.as_mut().filter(|chunk| within < chunk.len()).map(|chunk| change(chunk, within))
            }
        }
    }

    /// As of when marks are meant.
    #[inline]
    pub(super) fn epoch(&self) -> Epoch {
        self.tree.epoch()
    }

    /// An image begins, or is written.
    pub(super) fn next_epoch(&mut self) {
        self.tree.next_epoch();
    }

    /// Brings the marks of all elements to the present epoch.
    pub(super) fn advance_all(&mut self) {
        let epoch = self.tree.epoch();
        self.tree.advance_all();
        [&mut self.head, &mut self.tail].into_iter().flatten().for_each(|chunk| chunk.advance(epoch));
    }

    /// The image is given up.
    pub(super) fn give_up(&mut self) {
        let now = self.tree.epoch();
        self.tree.give_up();
        for chunk in [&mut self.head, &mut self.tail].into_iter().flatten() {
            chunk.advance(now);
            chunk.give_up(now.next());
        }
    }

    /// No element has a row any more.
    pub(super) fn renew(&mut self) {
        let epoch = self.tree.epoch();
        self.tree.renew();
        [&mut self.head, &mut self.tail].into_iter().flatten().for_each(|chunk| chunk.renew(epoch));
    }

    /// All chunks, to be freed in slices.
    pub(super) fn into_leaves(self) -> Leaves<Chunk> {
        let mut all = self.tree.into_leaves();
        [self.head, self.tail].into_iter().flatten().for_each(|chunk| all.add(chunk));
        all
    }

    /// Bytes of the chunks, and about those of the tree's nodes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.tree.memory_bytes() + [&self.head, &self.tail].into_iter().flatten().map(Chunk::heap).sum::<usize>()
    }

    pub(super) fn validate(&self) {
        self.tree.validate(&|one, other| one == other);
        assert!([&self.head, &self.tail].into_iter().flatten().all(|chunk| chunk.len() > 0), "an end is empty");
    }
}
