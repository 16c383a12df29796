//! One segment of a table: up to [`MAX_ITEMS`] items that share a hash prefix, with a byte of fingerprint and a mark each.
//!
//! The header is one cache line: a lookup reads it, compares all fingerprints with a few word operations, and
//! touches an item only when its fingerprint matches.

use smallvec::SmallVec;

use super::marks::SlotMarks;
use crate::value::size_class;
use crate::value::wide::{Epoch, Mark};

/// Items a segment holds before it splits: what leaves the header, with prefix, vector and marks, within 64 bytes.
pub(super) const MAX_ITEMS: usize = 24;

/// A run of the hash space `[prefix, prefix + 2^(64 - depth))` and the items whose hashes lie in it.
#[repr(align(64))]
pub(super) struct Segment<T> {
    items: Vec<T>,
    prefix: u64,
    fingerprints: [u8; MAX_ITEMS],
    marks: SlotMarks,
    /// As of when the marks are meant.
    epoch: Epoch,
    depth: u8,
}

const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const ONES: u64 = 0x0101_0101_0101_0101;

/// A word with the top bit of each byte set where `word` has the byte `needle`.
#[inline]
fn matching_bytes(word: u64, needle: u8) -> u64 {
    let x = word ^ (ONES * u64::from(needle));
    !(((x & LOW_SEVEN) + LOW_SEVEN) | x | LOW_SEVEN)
}

/// Splits that one fingerprint serves: the first of them needs no hash, and after it one bit less tells items apart.
const WINDOW: u8 = 2;
/// Where the last fingerprint begins.
const LAST_WINDOW: u8 = 56;

/// The fingerprint of a hash in segments of this depth: eight bits from the depth on, or from the one before it.
#[inline]
fn fingerprint(hash: u64, depth: u8) -> u8 {
    (hash << window(depth) >> LAST_WINDOW) as u8
}

/// The first bit of the fingerprints, counted from the top.
#[inline]
fn window(depth: u8) -> u8 {
    (depth - depth % WINDOW).min(LAST_WINDOW)
}

/// The items that fit the allocator's size class for at least `wanted` of them (jemalloc: four classes per doubling).
fn class_capacity<T>(wanted: usize) -> usize {
    let size = size_of::<T>().max(1);
    (size_class(wanted * size) / size).max(wanted)
}

impl<T> Segment<T> {
    pub(super) fn new(prefix: u64, depth: u8, epoch: Epoch) -> Self {
        Self { items: Vec::new(), prefix, fingerprints: [0; MAX_ITEMS], marks: SlotMarks::default(), epoch, depth }
    }

    /// Brings the marks to an epoch.
    #[inline]
    pub(super) fn advance(&mut self, to: Epoch) {
        if self.epoch != to {
            self.marks.advance(self.epoch, to);
            self.epoch = to;
        }
    }

    /// Brings the marks to the epoch behind an image that is given up.
    pub(super) fn give_up(&mut self, to: Epoch) {
        self.marks.give_up();
        self.epoch = to;
    }

    /// No item has a row any more.
    pub(super) fn renew(&mut self, to: Epoch) {
        self.marks = SlotMarks::all_new(self.items.len());
        self.epoch = to;
    }

    #[inline]
    pub(super) fn mark(&self, at: usize) -> Mark {
        self.marks.get(at)
    }

    #[inline]
    pub(super) fn set_mark(&mut self, at: usize, mark: Mark) {
        self.marks.set(at, mark);
    }

    /// Whether an item belongs to the image that is being written.
    pub(super) fn has_frozen(&self) -> bool {
        self.marks.has_frozen()
    }

    #[inline]
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    #[inline]
    pub(super) fn item_mut(&mut self, at: usize) -> &mut T {
        &mut self.items[at]
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    pub(super) fn prefix(&self) -> u64 {
        self.prefix
    }

    pub(super) fn depth(&self) -> u8 {
        self.depth
    }

    /// The first hash after this segment; `None` at the end of the hash space.
    pub(super) fn end(&self) -> Option<u64> {
        if self.depth == 0 {
            return None;
        }
        self.prefix.checked_add(1 << (64 - self.depth))
    }

    pub(super) fn into_items(self) -> Vec<T> {
        self.items
    }

    /// Where the item is that has the hash's fingerprint and satisfies `eq`. Items beyond the fingerprints (only
    /// there when many share a hash) are compared one by one.
    #[inline(always)]
    pub(super) fn position(&self, hash: u64, mut eq: impl FnMut(&T) -> bool) -> Option<usize> {
        let needle = fingerprint(hash, self.depth);
        let (words, _) = self.fingerprints.as_chunks::<8>();
        for (at, word) in words.iter().map(|w| u64::from_le_bytes(*w)).enumerate() {
            let mut hits = matching_bytes(word, needle);
            while hits != 0 {
                let index = at * 8 + (hits.trailing_zeros() / 8) as usize;
                // Places beyond the length are stale.
                if self.items.get(index).is_some_and(&mut eq) {
                    return Some(index);
                }
                hits &= hits - 1;
            }
        }
        let overflow = self.items.get(MAX_ITEMS..)?;
        overflow.iter().position(eq).map(|at| at + MAX_ITEMS)
    }

    /// The first place whose fingerprint is the hash's.
    #[inline]
    pub(super) fn likely(&self, hash: u64) -> Option<usize> {
        let (words, _) = self.fingerprints.as_chunks::<8>();
        let needle = fingerprint(hash, self.depth);
        let matches = words.iter().map(|word| matching_bytes(u64::from_le_bytes(*word), needle));
        let (word, hits) = matches.enumerate().find(|(_, hits)| *hits != 0)?;
        Some(word * 8 + (hits.trailing_zeros() / 8) as usize)
    }

    pub(super) fn push(&mut self, hash: u64, item: T, mark: Mark) -> usize {
        self.marks.push(self.items.len(), mark);
        self.push_printed(fingerprint(hash, self.depth), item)
    }

    /// Adds an item without its mark.
    fn push_printed(&mut self, print: u8, item: T) -> usize {
        let at = self.items.len();
        if let Some(place) = self.fingerprints.get_mut(at) {
            *place = print;
        }
        if at == self.items.capacity() {
            // Two steps from a split to the next.
            let room = (at + 1 + at / 3).clamp(4, MAX_ITEMS.max(at + 1));
            self.items.reserve_exact(class_capacity::<T>(room) - at);
        }
        self.items.push(item);
        at
    }

    /// Takes the item at `at` out; the last one moves into its place.
    pub(super) fn swap_remove(&mut self, at: usize, rehash: &impl Fn(&T) -> u64) -> T {
        let last = self.items.len() - 1;
        let item = self.items.swap_remove(at);
        self.marks.swap_remove(at, last);
        if at < last && at < MAX_ITEMS {
            self.fingerprints[at] = if last < MAX_ITEMS {
                self.fingerprints[last]
            } else {
                fingerprint(rehash(&self.items[at]), self.depth)
            };
        }
        if self.items.capacity() >= 2 * last + 8 {
            self.items.shrink_to(if last == 0 { 0 } else { class_capacity::<T>(last + 1) });
        }
        item
    }

    /// Whether the next split has to know the hashes of the items.
    pub(super) fn splits_by_hash(&self) -> bool {
        window(self.depth) != window(self.depth + 1) || self.depth >= LAST_WINDOW || self.items.len() > MAX_ITEMS
    }

    /// Halves the range: keeps the lower half and returns the upper.
    pub(super) fn split(&mut self, rehash: &impl Fn(&T) -> u64) -> Self {
        let by_hash = self.splits_by_hash();
        let bit = 1_u64 << (63 - self.depth);
        self.depth += 1;
        let depth = self.depth;
        let mut upper = Self::new(self.prefix | bit, depth, self.epoch);
        let all = std::mem::take(&mut self.items);
        // Which side each belongs to, and its fingerprint there: found out once, then both vectors are made at their size.
        let mut sides: SmallVec<[(bool, u8); MAX_ITEMS]> = SmallVec::new();
        if by_hash {
            sides.extend(all.iter().map(rehash).map(|hash| (hash & bit != 0, fingerprint(hash, depth))));
        } else {
            // The fingerprints stay, and the bit is one of theirs.
            let bit = (bit << window(depth) >> LAST_WINDOW) as u8;
            sides.extend(self.fingerprints[..all.len()].iter().map(|print| (print & bit != 0, *print)));
        }
        let ups = sides.iter().filter(|(up, _)| *up).count();
        upper.reserve_for(ups);
        self.reserve_for(all.len() - ups);
        (self.marks, upper.marks) = self.marks.split(sides.iter().map(|(up, _)| *up));
        for (item, (up, print)) in all.into_iter().zip(sides) {
            let side = if up { &mut upper } else { &mut *self };
            side.push_printed(print, item);
        }
        upper
    }

    fn reserve_for(&mut self, count: usize) {
        if count > 0 {
            self.items.reserve_exact(class_capacity::<T>(count.max(4)));
        }
    }

    /// Takes in the upper neighbour of the same depth, in the same epoch: the range doubles.
    pub(super) fn absorb(&mut self, upper: Self) {
        debug_assert_eq!(self.depth, upper.depth, "only neighbours of one depth merge");
        let total = self.len() + upper.len();
        debug_assert!(total <= MAX_ITEMS, "a merge must not overflow the fingerprints");
        debug_assert_eq!(self.epoch, upper.epoch, "marks of two epochs do not mix");
        if self.items.capacity() < total {
            self.items.reserve_exact(class_capacity::<T>(total) - self.len());
        }
        let (from, to) = (window(self.depth), window(self.depth - 1));
        // Where the fingerprints begin earlier now, all items have the bits before the old ones in common, but for the last.
        let widened = |print: u8, prefix: u64| match from - to {
            0 => print,
            more => (prefix << to >> LAST_WINDOW) as u8 | print >> more,
        };
        for print in &mut self.fingerprints[..self.items.len()] {
            *print = widened(*print, self.prefix);
        }
        let prefix = upper.prefix;
        self.marks.append(self.items.len(), &upper.marks);
        for (item, print) in upper.items.into_iter().zip(upper.fingerprints) {
            self.push_printed(widened(print, prefix), item);
        }
        self.depth -= 1;
    }

    /// Asserts that every item belongs here and that its fingerprint is right.
    pub(super) fn validate(&self, rehash: &impl Fn(&T) -> u64) {
        assert!(self.depth <= 64);
        let mask = if self.depth == 0 { 0 } else { u64::MAX << (64 - self.depth) };
        assert_eq!(self.prefix & !mask, 0, "the prefix has bits below its depth");
        assert!((self.len()..MAX_ITEMS).all(|at| self.mark(at) == Mark::Rest), "a place without an item is marked");
        for (at, item) in self.items.iter().enumerate() {
            let hash = rehash(item);
            assert_eq!(hash & mask, self.prefix, "an item lies outside its segment's range");
            if let Some(print) = self.fingerprints.get(at) {
                assert_eq!(*print, fingerprint(hash, self.depth), "a fingerprint is stale");
            }
        }
    }
}

const _: () = assert!(size_of::<Segment<[u64; 3]>>() == 64, "a segment header is one cache line");
