//! A leaf of a sorted set's tree: scores, numbers and marks of neighbouring members.

use crate::value::tree::Leaf;
use crate::value::wide::{Epoch, Mark, advance, give_up};
use std::ops::Range;

/// Members of a leaf: with scores and marks they fill an allocation class of 896 bytes.
pub(super) const LEAF: usize = 71;

/// Scores and numbers of neighbouring members.
pub(in crate::value) struct ZLeaf(Box<Block>);

struct Block {
    scores: [f64; LEAF],
    ids: [u32; LEAF],
    /// A bit of each mark; places beyond the length are at rest.
    low: u128,
    high: u128,
    /// As of when the marks are meant.
    epoch: Epoch,
    len: u8,
}

const _: () = assert!(size_of::<Block>() == 896, "a leaf fills its allocation");

impl ZLeaf {
    fn empty(epoch: Epoch) -> Self {
        Self(Box::new(Block { scores: [0.0; LEAF], ids: [0; LEAF], low: 0, high: 0, epoch, len: 0 }))
    }

    /// A leaf of at most [`LEAF`] members, in order, that are at rest.
    pub(super) fn at_rest(members: &[(f64, u32)], epoch: Epoch) -> Self {
        let mut leaf = Self::empty(epoch);
        for (at, (score, id)) in members.iter().enumerate() {
            leaf.0.scores[at] = *score;
            leaf.0.ids[at] = *id;
        }
        leaf.0.len = members.len() as u8;
        leaf
    }

    /// The mark of a member, as of the leaf's own epoch.
    #[inline]
    pub(in crate::value) fn mark(&self, at: usize) -> Mark {
        Mark::of_bits(self.0.low >> at & 1 == 1, self.0.high >> at & 1 == 1)
    }

    /// Marks a member, which was just inserted, as at rest.
    pub(super) fn set_rest(&mut self, at: usize) {
        self.0.low &= !(1 << at);
        self.0.high &= !(1 << at);
    }

    /// Whether a member belongs to the image that is being written.
    pub(in crate::value) fn has_frozen(&self) -> bool {
        self.0.low & self.0.high != 0
    }

    #[inline]
    pub(in crate::value) fn get(&self, at: usize) -> (f64, u32) {
        (self.0.scores[at], self.0.ids[at])
    }

    pub(super) fn set_id(&mut self, at: usize, id: u32) {
        self.0.ids[at] = id;
    }

    fn put(&mut self, at: usize, (score, id): (f64, u32)) {
        let len = self.0.len as usize;
        self.0.scores.copy_within(at..len, at + 1);
        self.0.ids.copy_within(at..len, at + 1);
        self.0.scores[at] = score;
        self.0.ids[at] = id;
        self.0.low = opened(self.0.low, at) | 1 << at;
        // Mostly all members are new or at rest.
        if self.0.high != 0 {
            self.0.high = opened(self.0.high, at);
        }
        self.0.len += 1;
    }

    fn close(&mut self, range: Range<usize>) {
        let len = self.len();
        self.0.scores.copy_within(range.end..len, range.start);
        self.0.ids.copy_within(range.end..len, range.start);
        self.0.low = closed(self.0.low, &range);
        if self.0.high != 0 {
            self.0.high = closed(self.0.high, &range);
        }
        self.0.len -= range.len() as u8;
    }

    /// Moves the elements from `at` on into a leaf of their own.
    fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self::empty(self.0.epoch);
        let len = self.0.len as usize;
        right.0.scores[..len - at].copy_from_slice(&self.0.scores[at..len]);
        right.0.ids[..len - at].copy_from_slice(&self.0.ids[at..len]);
        (right.0.low, right.0.high) = (self.0.low >> at, self.0.high >> at);
        self.0.low = closed(self.0.low, &(at..len));
        self.0.high = closed(self.0.high, &(at..len));
        right.0.len = (len - at) as u8;
        self.0.len = at as u8;
        right
    }
}

impl Leaf for ZLeaf {
    type Key = (f64, u32);
    type Item<'i> = (f64, u32);

    fn len(&self) -> usize {
        self.0.len as usize
    }

    fn first(&self) -> Self::Key {
        self.get(0)
    }

    fn partition_point(&self, below: &mut dyn FnMut(&Self::Key) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if below(&self.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn single(item: Self::Item<'_>, epoch: Epoch) -> Self {
        let mut leaf = Self::empty(epoch);
        leaf.put(0, item);
        leaf
    }

    fn insert(&mut self, at: usize, item: Self::Item<'_>, epoch: Epoch) -> Option<Self> {
        self.advance(epoch);
        let len = self.len();
        if len < LEAF {
            self.put(at, item);
            return None;
        }
        // Members that come in order leave full leaves behind.
        let cut = if at == len || at == 0 { at } else { len / 2 };
        let mut right = self.split_off(cut);
        if at > cut || at == len {
            right.put(at - cut, item);
        } else {
            self.put(at, item);
        }
        Some(right)
    }

    fn remove(&mut self, at: usize, epoch: Epoch) -> Mark {
        self.advance(epoch);
        let (mark, len) = (self.mark(at), self.len());
        self.0.scores.copy_within(at + 1..len, at);
        self.0.ids.copy_within(at + 1..len, at);
        self.0.low = without(self.0.low, at);
        if self.0.high != 0 {
            self.0.high = without(self.0.high, at);
        }
        self.0.len -= 1;
        mark
    }

    fn advance(&mut self, to: Epoch) {
        if self.0.epoch != to {
            (self.0.low, self.0.high) = advance((self.0.low, self.0.high), self.0.epoch, to);
            self.0.epoch = to;
        }
    }

    fn give_up(&mut self, to: Epoch) {
        (self.0.low, self.0.high) = give_up((self.0.low, self.0.high));
        self.0.epoch = to;
    }

    fn renew(&mut self, to: Epoch) {
        (self.0.low, self.0.high) = ((1 << self.len()) - 1, 0);
        self.0.epoch = to;
    }

    fn remove_range(&mut self, range: Range<usize>) {
        self.close(range);
    }

    fn is_sparse(&self) -> bool {
        self.len() < LEAF / 3
    }

    fn absorb(&mut self, right: &mut Self) -> bool {
        let (len, more) = (self.len(), right.len());
        if len + more > LEAF * 3 / 4 {
            return false;
        }
        self.0.scores[len..len + more].copy_from_slice(&right.0.scores[..more]);
        self.0.ids[len..len + more].copy_from_slice(&right.0.ids[..more]);
        let epoch = self.0.epoch.later(right.0.epoch);
        self.advance(epoch);
        right.advance(epoch);
        self.0.low |= right.0.low << len;
        self.0.high |= right.0.high << len;
        self.0.len += more as u8;
        true
    }

    fn heap(&self) -> usize {
        size_of::<Block>()
    }
}

/// A plane of bits with a place made at `at`.
#[inline]
fn opened(plane: u128, at: usize) -> u128 {
    // What is added to itself moves up by one.
    plane + (plane & u128::MAX << at)
}

/// A plane of bits without the one at `at`.
#[inline]
fn without(plane: u128, at: usize) -> u128 {
    let above = u128::MAX << at;
    plane & !above | plane >> 1 & above
}

/// A plane of bits without those of the range.
#[inline]
fn closed(plane: u128, range: &Range<usize>) -> u128 {
    plane & ((1 << range.start) - 1) | plane >> range.end << range.start
}
