//! Sorted sets beyond the packed limits: a pool of members, a table to find them, a tree to order them.
//!
//! Table and tree both name a member by its 32-bit number in the pool, so it is stored once, with its score; leaves
//! repeat the score, for searches that stay within the leaf.

use crate::prefetch::prefetch;
use crate::value::tree::{Leaf, Leaves, Tree};
use crate::value::{Batches, Fetch, HashSeed, Steps, Table, size_class};
use smallvec::SmallVec;
use std::ops::Range;

/// Members of a leaf: with length and scores it fills an allocation class of 896 bytes.
const LEAF: usize = 74;
/// Members per allocation of the pool.
const CHUNK: usize = 512;

/// Scores and numbers of neighbouring members.
pub(in crate::value) struct ZLeaf(Box<Block>);

struct Block {
    scores: [f64; LEAF],
    ids: [u32; LEAF],
    len: u32,
}

const _: () = assert!(size_of::<Block>() == 896, "a leaf fills its allocation");

impl ZLeaf {
    fn empty() -> Self {
        Self(Box::new(Block { scores: [0.0; LEAF], ids: [0; LEAF], len: 0 }))
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> (f64, u32) {
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
        self.0.len += 1;
    }

    /// Moves the elements from `at` on into a leaf of their own.
    fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self::empty();
        let len = self.0.len as usize;
        right.0.scores[..len - at].copy_from_slice(&self.0.scores[at..len]);
        right.0.ids[..len - at].copy_from_slice(&self.0.ids[at..len]);
        right.0.len = (len - at) as u32;
        self.0.len = at as u32;
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

    fn single(item: Self::Item<'_>) -> Self {
        let mut leaf = Self::empty();
        leaf.put(0, item);
        leaf
    }

    fn insert(&mut self, at: usize, item: Self::Item<'_>) -> Option<Self> {
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

    fn remove(&mut self, at: usize) {
        let len = self.len();
        self.0.scores.copy_within(at + 1..len, at);
        self.0.ids.copy_within(at + 1..len, at);
        self.0.len -= 1;
    }

    fn remove_range(&mut self, range: Range<usize>) {
        let len = self.len();
        self.0.scores.copy_within(range.end..len, range.start);
        self.0.ids.copy_within(range.end..len, range.start);
        self.0.len -= range.len() as u32;
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
        self.0.len += more as u32;
        true
    }

    fn heap(&self) -> usize {
        size_of::<Block>()
    }
}

pub(in crate::value) struct Slot {
    member: Box<[u8]>,
    score: f64,
}

/// A sorted set beyond the packed limits.
///
/// *Invariant:* the pool's slots `0..len` are the members, each named once by the table and once by the tree.
pub struct BigZSet {
    table: Table<u32>,
    tree: Tree<ZLeaf>,
    pool: Vec<Vec<Slot>>,
    seed: HashSeed,
    heap: usize,
}

impl Steps for BigZSet {
    fn to_segment(&self, hash: u64) {
        self.table.to_segment(hash);
    }

    fn to_item(&self, hash: u64) {
        self.table.to_item(hash);
    }

    fn to_value(&self, hash: u64) {
        if let Some(id) = self.table.likely(hash) {
            self.slot(*id).member.fetch();
        }
    }
}

/// A slot's number; [`BigZSet`] knows where that is.
impl Fetch for u32 {}

impl BigZSet {
    pub(super) fn new(seed: HashSeed) -> Self {
        Self { table: Table::new(), tree: Tree::new(), pool: Vec::new(), seed, heap: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(super) fn tree(&self) -> &Tree<ZLeaf> {
        &self.tree
    }

    #[inline]
    fn slot(&self, id: u32) -> &Slot {
        &self.pool[id as usize / CHUNK][id as usize % CHUNK]
    }

    #[inline]
    pub(super) fn member(&self, id: u32) -> &[u8] {
        &self.slot(id).member
    }

    fn find(&self, member: &[u8]) -> Option<u32> {
        self.table.find(self.seed.hash(member), |id| *self.slot(*id).member == *member).copied()
    }

    pub(in crate::value) fn hash_of(&self, member: &[u8]) -> u64 {
        self.seed.hash(member)
    }

    pub(in crate::value) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|id| self.slot(id).score)
    }

    /// How many members come before this one at this score.
    fn place(&self, score: f64, member: &[u8]) -> usize {
        self.tree.partition_point(|(other, id)| *other < score || (*other == score && self.member(*id) < member))
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<usize> {
        self.score(member).map(|score| self.place(score, member))
    }

    pub(super) fn by_rank(&self, rank: usize) -> Option<(&[u8], f64)> {
        let (leaf, start) = self.tree.leaf_at(rank)?;
        let (score, id) = leaf.get(rank - start);
        Some((self.member(id), score))
    }

    pub(super) fn scan(&self, from: u64, mut visit: impl FnMut(&[u8], f64)) -> Option<u64> {
        let mut slots: SmallVec<[&Slot; 32]> = SmallVec::new();
        let end = self.table.scan(
            from,
            |id| self.seed.hash(self.member(*id)),
            |id| {
                prefetch(std::ptr::from_ref(self.slot(*id)));
                slots.push(self.slot(*id));
            },
        );
        slots.iter().for_each(|slot| prefetch(slot.member.as_ptr()));
        slots.iter().for_each(|slot| visit(&slot.member, slot.score));
        end
    }

    pub(super) fn pick(&self, rand: u64) -> Option<(&[u8], f64)> {
        self.table.pick(rand).map(|id| (self.member(*id), self.slot(*id).score))
    }

    /// Sets the score of a member and returns the one that it had.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        if let Some(id) = self.find(member) {
            let old = self.slot(id).score;
            if old.to_bits() != score.to_bits() {
                self.tree.remove(self.place(old, member));
                self.tree.insert(self.place(score, member), (score, id));
                self.pool[id as usize / CHUNK][id as usize % CHUNK].score = score;
            }
            return Some(old);
        }
        let rank = self.place(score, member);
        let id = u32::try_from(self.len()).expect("no memory holds 2^32 members of one set");
        if self.len().is_multiple_of(CHUNK) {
            self.pool.push(Vec::with_capacity(if self.pool.is_empty() { 0 } else { CHUNK }));
        }
        let slot = Slot { member: member.into(), score };
        self.heap += size_class(member.len());
        self.pool.last_mut().expect("a chunk was just made sure of").push(slot);
        let (pool, seed) = (&self.pool, self.seed);
        self.table.insert_unique(seed.hash(member), id, |id| {
            seed.hash(&pool[*id as usize / CHUNK][*id as usize % CHUNK].member)
        });
        self.tree.insert(rank, (score, id));
        None
    }

    /// Removes a member and returns its score.
    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (pool, seed) = (&self.pool, self.seed);
        let named = |id: &u32| &*pool[*id as usize / CHUNK][*id as usize % CHUNK].member;
        let id = self.table.remove(seed.hash(member), |id| named(id) == member, |id| seed.hash(named(id)))?;
        let score = self.slot(id).score;
        self.tree.remove(self.place(score, member));
        self.heap -= size_class(member.len());
        self.fill_hole(id);
        Some(score)
    }

    /// Gives the number of a removed member to the last one of the pool, so that the pool has no holes.
    fn fill_hole(&mut self, id: u32) {
        let last = self.len() as u32;
        if id != last {
            let moved = self.slot(last);
            let (hash, rank) = (self.seed.hash(&moved.member), self.place(moved.score, &moved.member));
            if let Some(name) = self.table.find_mut(hash, |other| *other == last) {
                *name = id;
            }
            self.tree.alter(rank, |leaf, at| leaf.set_id(at, id));
        }
        let chunk = self.pool.last_mut().expect("the pool holds the removed member");
        let slot = chunk.pop().expect("the last chunk is never empty");
        if chunk.is_empty() {
            self.pool.pop();
        }
        if id != last {
            self.pool[id as usize / CHUNK][id as usize % CHUNK] = slot;
        }
    }

    pub(in crate::value) fn memory_bytes(&self) -> usize {
        self.heap
            + self.table.memory_bytes()
            + self.tree.memory_bytes()
            + self.pool.len() * CHUNK.min(self.len()) * size_of::<Slot>()
    }

    /// The parts, to be freed in slices.
    pub(in crate::value) fn into_parts(self) -> (Batches<u32>, Leaves<ZLeaf>, Vec<Vec<Slot>>) {
        (self.table.into_batches(), self.tree.into_leaves(), self.pool)
    }

    pub(super) fn validate(&self) {
        self.table.validate(|id| self.seed.hash(self.member(*id)));
        self.tree.validate(&|one, other| one == other);
        assert_eq!(self.table.len(), self.len());
        assert_eq!(self.pool.iter().map(Vec::len).sum::<usize>(), self.len());
        let mut before: Option<(f64, &[u8])> = None;
        for rank in 0..self.len() {
            let (member, score) = self.by_rank(rank).expect("a rank below the length");
            assert!(before.is_none_or(|before| before < (score, member)), "members are out of order");
            assert_eq!(self.score(member).map(f64::to_bits), Some(score.to_bits()));
            before = Some((score, member));
        }
    }
}
