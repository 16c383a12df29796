//! `Table`: an extendible hash table ordered by hash prefix.
//!
//! ```text
//!  top bits of the hash ─▶ directory (u32 each) ─▶ segment header, 64 bytes ─▶ items, contiguous
//!                                                  prefix · depth · 24 fingerprints · 24 marks
//! ```
//!
//! A full segment splits alone and an emptied one merges with its neighbour; nothing is ever rehashed table-wide and
//! the largest single step is copying the directory (four bytes per slot). A position in hash space is a scan cursor
//! that stays right across splits and merges. Hashes are not stored: what needs them again takes `rehash`.
//! After Fagin et al., *Extendible Hashing* (1979).

mod directory;
mod marked;
mod marks;
mod segment;

use super::wide::{Epoch, Mark};
use crate::prefetch::prefetch;
use directory::Directory;

use segment::{MAX_ITEMS, Segment};

/// Segments per allocation of the segment pool, so that growing it never copies much.
const POOL_CHUNK: usize = 256;
/// Two neighbours merge when together they fill half a segment, so a merge is far from the next split.
const MERGE_AT: usize = MAX_ITEMS / 2;
/// Random draws before `pick` settles for a near place.
const PICK_TRIES: usize = 64;

/// What an item of a table points to.
pub trait Fetch {
    /// Fetches it into the processor's caches; nothing if it points nowhere.
    fn fetch(&self) {}
}

/// The steps from a hash to the item that has it, to be made ahead of a look-up.
pub trait Steps {
    /// Fetches the header of the item's segment.
    fn to_segment(&self, hash: u64);
    /// Fetches the item, which [`Steps::to_segment`] has been made for; if there is none, the place where it would go.
    fn to_item(&self, hash: u64);
    /// Fetches what the item points to, after [`Steps::to_item`].
    fn to_value(&self, hash: u64);
}

impl<T: Fetch> Steps for Table<T> {
    fn to_segment(&self, hash: u64) {
        prefetch(std::ptr::from_ref(self.segment(self.directory.find(hash))));
    }

    fn to_item(&self, hash: u64) {
        match self.likely(hash) {
            Some(item) => prefetch(std::ptr::from_ref(item)),
            None => self.to_vacancy(hash),
        }
    }

    fn to_value(&self, hash: u64) {
        if let Some(item) = self.likely(hash) {
            item.fetch();
        }
    }
}

impl Fetch for Box<[u8]> {
    #[inline]
    fn fetch(&self) {
        prefetch(self.as_ptr());
        if let Some(next_line) = self.get(64) {
            prefetch(next_line);
        }
    }
}

/// A set of items found by a caller-given 64-bit hash, whose top bits also give the order of a scan.
///
/// *Invariant:* each item lies in the one segment whose range `[prefix, prefix + 2^(64-depth))` holds its hash.
pub struct Table<T> {
    directory: Directory,
    pool: Vec<Vec<Segment<T>>>,
    segments: usize,
    len: usize,
    /// Sum of the capacities of all segments' item vectors.
    capacity: usize,
    max_depth: u8,
    /// As of when the items' marks are asked for and set.
    epoch: Epoch,
}

impl<T: Fetch> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Fetch> Table<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self::with_max_depth(64)
    }

    /// An empty table that never separates items equal in their top `max_depth` bits (1 to 64), so that a scan
    /// always visits them in one step.
    pub fn with_max_depth(max_depth: u8) -> Self {
        Self {
            directory: Directory::new(),
            pool: vec![vec![Segment::new(0, 0, Epoch::default())]],
            segments: 1,
            len: 0,
            capacity: 0,
            max_depth: max_depth.clamp(1, 64),
            epoch: Epoch::default(),
        }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn segment(&self, at: usize) -> &Segment<T> {
        &self.pool[at / POOL_CHUNK][at % POOL_CHUNK]
    }

    #[inline]
    fn segment_mut(&mut self, at: usize) -> &mut Segment<T> {
        &mut self.pool[at / POOL_CHUNK][at % POOL_CHUNK]
    }

    /// The item with this hash that satisfies `eq`.
    #[inline(always)]
    pub fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        let segment = self.segment(self.directory.find(hash));
        segment.position(hash, eq).map(|at| &segment.items()[at])
    }

    /// The item that probably has this hash.
    pub fn likely(&self, hash: u64) -> Option<&T> {
        let segment = self.segment(self.directory.find(hash));
        segment.items().get(segment.likely(hash)?)
    }

    /// Fetches the place where an item with this hash would be added.
    pub fn to_vacancy(&self, hash: u64) {
        prefetch(self.segment(self.directory.find(hash)).items().as_ptr_range().end);
    }

    /// As [`find`](Self::find); the caller must not change what the item's hash is made of.
    #[inline]
    pub fn find_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let at = self.directory.find(hash);
        let segment = self.segment_mut(at);
        segment.position(hash, eq).map(|at| segment.item_mut(at))
    }

    /// Adds an item that the caller knows to be absent.
    pub fn insert_unique(&mut self, hash: u64, item: T, rehash: impl Fn(&T) -> u64) -> &mut T {
        self.add(hash, item, Mark::New, rehash)
    }

    #[inline]
    fn add(&mut self, hash: u64, item: T, mark: Mark, rehash: impl Fn(&T) -> u64) -> &mut T {
        let mut at = self.directory.find(hash);
        while self.segment(at).len() >= MAX_ITEMS && self.segment(at).depth() < self.max_depth {
            self.split(at, &rehash);
            at = self.directory.find(hash);
        }
        let segment = &mut self.pool[at / POOL_CHUNK][at % POOL_CHUNK];
        segment.advance(self.epoch);
        let before = segment.capacity();
        let place = segment.push(hash, item, mark);
        self.capacity += segment.capacity() - before;
        self.len += 1;
        segment.item_mut(place)
    }

    /// The item found, or else the one made and added; and whether it was added.
    pub fn find_or_insert(
        &mut self,
        hash: u64,
        eq: impl FnMut(&T) -> bool,
        make: impl FnOnce() -> T,
        rehash: impl Fn(&T) -> u64,
    ) -> (&mut T, bool) {
        let at = self.directory.find(hash);
        match self.segment(at).position(hash, eq) {
            Some(place) => (self.segment_mut(at).item_mut(place), false),
            None => (self.insert_unique(hash, make(), rehash), true),
        }
    }

    /// Takes the item out that has this hash and satisfies `eq`.
    pub fn remove(&mut self, hash: u64, eq: impl FnMut(&T) -> bool, rehash: impl Fn(&T) -> u64) -> Option<T> {
        self.take(hash, eq, rehash).map(|(item, _)| item)
    }

    /// As [`remove`](Self::remove), with the mark that the item had.
    #[inline]
    pub(super) fn take(
        &mut self,
        hash: u64,
        eq: impl FnMut(&T) -> bool,
        rehash: impl Fn(&T) -> u64,
    ) -> Option<(T, Mark)> {
        let (at, epoch) = (self.directory.find(hash), self.epoch);
        let segment = self.segment_mut(at);
        let place = segment.position(hash, eq)?;
        segment.advance(epoch);
        let mark = segment.mark(place);
        let before = segment.capacity();
        let item = segment.swap_remove(place, &rehash);
        let (after, left) = (segment.capacity(), segment.len());
        self.capacity = self.capacity + after - before;
        self.len -= 1;
        // Of two neighbours the one that empties last looks at the other here, so looking once on the way suffices.
        if left == MERGE_AT / 2 || left == 0 {
            self.merge(hash);
        }
        Some((item, mark))
    }

    fn split(&mut self, at: usize, rehash: &impl Fn(&T) -> u64) {
        if self.segment(at).splits_by_hash() {
            // Hashing reads what the items point to.
            self.segment(at).items().iter().for_each(Fetch::fetch);
        }
        let segment = self.segment_mut(at);
        let before = segment.capacity();
        let upper = segment.split(rehash);
        let (prefix, depth, after) = (segment.prefix(), segment.depth(), segment.capacity());
        self.capacity = self.capacity + after + upper.capacity() - before;
        self.directory.split(prefix, depth, self.segments);
        if self.segments.is_multiple_of(POOL_CHUNK) {
            self.pool.push(Vec::with_capacity(POOL_CHUNK));
        }
        self.pool[self.segments / POOL_CHUNK].push(upper);
        self.segments += 1;
    }

    /// Merges the hash's segment with its neighbour, and what results with its own, as long as they are near empty.
    fn merge(&mut self, hash: u64) {
        loop {
            let one = self.directory.find(hash);
            let segment = self.segment(one);
            let (prefix, depth, len) = (segment.prefix(), segment.depth(), segment.len());
            let Some(other) = self.directory.neighbour(prefix, depth) else { return };
            let neighbour = self.segment(other);
            if neighbour.depth() != depth || neighbour.len() + len > MERGE_AT {
                return;
            }
            let capacity = segment.capacity() + neighbour.capacity();
            let (lower, upper) = if neighbour.prefix() > prefix { (one, other) } else { (other, one) };
            let epoch = self.epoch;
            let mut gone = std::mem::replace(self.segment_mut(upper), Segment::new(0, 0, epoch));
            gone.advance(epoch);
            let segment = self.segment_mut(lower);
            segment.advance(epoch);
            segment.absorb(gone);
            let (prefix, depth, after) = (segment.prefix(), segment.depth(), segment.capacity());
            self.capacity = self.capacity + after - capacity;
            self.directory.merge(prefix, depth, lower);
            self.fill_hole(upper);
        }
    }

    /// Gives the number of a segment that the directory no longer names to the last one of the pool.
    fn fill_hole(&mut self, at: usize) {
        self.segments -= 1;
        let chunk = self.segments / POOL_CHUNK;
        let last = self.pool[chunk].pop().expect("the last chunk of the pool is never empty");
        if self.pool[chunk].is_empty() {
            self.pool.pop();
        }
        if at < self.segments {
            self.directory.rename(last.prefix(), last.depth(), at);
            *self.segment_mut(at) = last;
        }
    }

    /// All items, in an order that holds while the table is not changed.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pool.iter().flatten().flat_map(|segment| segment.items())
    }

    /// Visits the items of one segment whose hashes are at or above `from`, and returns where to go on; `None` at
    /// the end. Begin with 0. An item that is there from the first call to the last is visited at least once,
    /// whatever else is inserted or removed between the calls; items of equal hash are visited in one call.
    pub fn scan<'a>(&'a self, from: u64, rehash: impl Fn(&T) -> u64, mut visit: impl FnMut(&'a T)) -> Option<u64> {
        let segment = self.segment(self.directory.find(from));
        // What the items point to lies anywhere: the waits for it overlap.
        segment.items().iter().for_each(Fetch::fetch);
        if let Some(end) = segment.end() {
            prefetch(std::ptr::from_ref(self.segment(self.directory.find(end))));
        }
        let whole = segment.prefix() >= from;
        for item in segment.items() {
            if whole || rehash(item) >= from {
                visit(item);
            }
        }
        segment.end()
    }

    /// An item chosen by the random number: uniformly, but for items that overflow their segment.
    pub fn pick(&self, rand: u64) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        let mut state = rand;
        let mut at = 0;
        for _ in 0..PICK_TRIES {
            let draw = super::mix(&mut state);
            at = ((u128::from(draw) * self.segments as u128) >> 64) as usize;
            let items = self.segment(at).items();
            let places = items.len().max(MAX_ITEMS) as u64;
            let place = ((super::mix(&mut state) >> 32) * places) >> 32;
            if let Some(item) = items.get(place as usize) {
                return Some(item);
            }
        }
        let onward = (at..self.segments).chain(0..at);
        onward.map(|at| self.segment(at)).find(|segment| segment.len() > 0).map(|segment| {
            let items = segment.items();
            &items[(state % items.len() as u64) as usize]
        })
    }

    /// Gives up the items segment by segment, so that a huge table can be freed in slices.
    pub fn into_batches(self) -> Batches<T> {
        Batches { pool: self.pool }
    }

    /// Bytes of the table's own allocations: not what the items point to, nor the struct itself.
    pub fn memory_bytes(&self) -> usize {
        self.directory.memory_bytes()
            + self.pool.capacity() * size_of::<Vec<Segment<T>>>()
            + self.pool.iter().map(Vec::capacity).sum::<usize>() * size_of::<Segment<T>>()
            + self.capacity * size_of::<T>()
    }

    /// Asserts every invariant. For tests: takes time proportional to the table.
    pub fn validate(&self, rehash: impl Fn(&T) -> u64) {
        let all = || self.pool.iter().flatten();
        assert_eq!(all().count(), self.segments);
        assert!(self.pool.iter().rev().skip(1).all(|chunk| chunk.len() == POOL_CHUNK), "the pool has a hole");
        assert_eq!(all().map(Segment::len).sum::<usize>(), self.len);
        assert_eq!(all().map(Segment::capacity).sum::<usize>(), self.capacity);
        let ranges: Vec<_> = all().map(|segment| (segment.prefix(), segment.depth())).collect();
        self.directory.validate(&ranges);
        for segment in all() {
            segment.validate(&rehash);
            assert!(segment.len() <= MAX_ITEMS || segment.depth() == self.max_depth, "a segment overflows needlessly");
        }
    }
}

/// What is left of a table that is being freed; dropping it drops the rest at once.
pub struct Batches<T> {
    pool: Vec<Vec<Segment<T>>>,
}

impl<T> Iterator for Batches<T> {
    type Item = Vec<T>;

    /// The items of one segment, possibly none.
    fn next(&mut self) -> Option<Vec<T>> {
        loop {
            match self.pool.last_mut()?.pop() {
                Some(segment) => return Some(segment.into_items()),
                None => self.pool.pop(),
            };
        }
    }
}

#[cfg(test)]
mod tests;
