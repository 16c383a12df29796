//! The marks of one segment's items.

use super::segment::MAX_ITEMS;
use crate::value::wide::{Epoch, Mark, advance, give_up};

/// Bytes of a plane.
const PLANE: usize = MAX_ITEMS / 8;

/// Two planes of bits. Places without an item are at rest.
///
/// Items beyond the fingerprints share the last place, as changed as any of them: there are some only where more than
/// [`MAX_ITEMS`] names have one keyed hash of 64 bits. An image may then have one as it is rather than as it was.
#[derive(Clone, Copy, Default)]
pub(super) struct SlotMarks {
    low: [u8; PLANE],
    high: [u8; PLANE],
}

const _: () = assert!(PLANE * 8 == MAX_ITEMS, "each item has a bit in each plane");

/// The bits of the first place in both planes.
const FIRST: u64 = 1 << 32 | 1;

fn to_bits([a, b, c]: [u8; PLANE]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}

fn from_bits(bits: u32) -> [u8; PLANE] {
    let [a, b, c, _] = bits.to_le_bytes();
    [a, b, c]
}

impl SlotMarks {
    #[inline]
    pub(super) fn get(&self, at: usize) -> Mark {
        let at = at.min(MAX_ITEMS - 1);
        let bit = |plane: &[u8; PLANE]| plane[at / 8] >> (at % 8) & 1 == 1;
        Mark::of_bits(bit(&self.low), bit(&self.high))
    }

    #[inline]
    pub(super) fn set(&mut self, at: usize, mark: Mark) {
        let at = at.min(MAX_ITEMS - 1);
        let (byte, shift) = (at / 8, at % 8);
        self.low[byte] = self.low[byte] & !(1 << shift) | (mark as u8 & 1) << shift;
        self.high[byte] = self.high[byte] & !(1 << shift) | (mark as u8 >> 1) << shift;
    }

    /// Marks the item that is added at `at`.
    #[inline]
    pub(super) fn push(&mut self, at: usize, mark: Mark) {
        if at >= MAX_ITEMS {
            return self.set(at, Mark::Over);
        }
        let (byte, shift) = (at / 8, at % 8);
        self.low[byte] |= (mark as u8 & 1) << shift;
        self.high[byte] |= (mark as u8 >> 1) << shift;
    }

    /// The item at `at` goes, and the one at `last` takes its place.
    #[inline]
    pub(super) fn swap_remove(&mut self, at: usize, last: usize) {
        if at < MAX_ITEMS {
            self.set(at, self.get(last));
        }
        if last < MAX_ITEMS {
            self.set(last, Mark::Rest);
        }
    }

    /// The marks of a segment's halves, by the side that each item goes to: upper, or not.
    pub(super) fn split(&self, upper: impl Iterator<Item = bool>) -> (Self, Self) {
        let (both, mut halves, mut lens) = (self.word(), [0; 2], [0; 2]);
        for (at, side) in upper.map(usize::from).enumerate() {
            // What overflows, here or there, shares the last place.
            halves[side] |= (both >> at.min(MAX_ITEMS - 1) & FIRST) << lens[side];
            lens[side] = (lens[side] + 1).min(MAX_ITEMS - 1);
        }
        let [lower, upper] = halves.map(Self::of_word);
        (lower, upper)
    }

    /// Adds the marks of another segment's items behind these `len`; there is a place for each.
    pub(super) fn append(&mut self, len: usize, other: &Self) {
        *self = Self::of_word(self.word() | other.word() << len);
    }

    /// Both planes: the low one in the low half.
    fn word(&self) -> u64 {
        u64::from(to_bits(self.low)) | u64::from(to_bits(self.high)) << 32
    }

    fn of_word(word: u64) -> Self {
        Self { low: from_bits(word as u32), high: from_bits((word >> 32) as u32) }
    }

    #[cold]
    pub(super) fn advance(&mut self, from: Epoch, to: Epoch) {
        let (low, high) = advance((to_bits(self.low), to_bits(self.high)), from, to);
        (self.low, self.high) = (from_bits(low), from_bits(high));
    }

    /// The marks of so many items that are all new.
    pub(super) fn all_new(len: usize) -> Self {
        let mut marks = Self::default();
        (0..len).for_each(|at| marks.push(at, Mark::New));
        marks
    }

    pub(super) fn give_up(&mut self) {
        let (low, high) = give_up((to_bits(self.low), to_bits(self.high)));
        (self.low, self.high) = (from_bits(low), from_bits(high));
    }

    pub(super) fn has_frozen(&self) -> bool {
        to_bits(self.low) & to_bits(self.high) != 0
    }
}
