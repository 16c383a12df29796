//! Sorted sets beyond the packed limits: a pool of members, a table to find them, a tree to order them.
//!
//! Table and tree both name a member by its 32-bit number in the pool, so it is stored once, with its score; leaves
//! repeat the score, for searches that stay within the leaf.

use super::away::ZAway;
use super::leaf::ZLeaf;
use crate::prefetch::prefetch;
use crate::value::away::{Away, Ordered};
use crate::value::tree::{Leaves, Tree};
use crate::value::wide::{ZSetTrail, score_order};
use crate::value::{Batches, Fetch, HashSeed, Steps, Table, size_class};
use smallvec::SmallVec;

/// Members per allocation of the pool.
pub(super) const CHUNK: usize = 512;

pub(in crate::value) struct Slot {
    pub(super) member: Box<[u8]>,
    pub(super) score: f64,
}

/// A sorted set beyond the packed limits.
///
/// *Invariant:* the pool's slots, one behind the other, are the members in memory, each named once by the table and once by the tree.
pub struct BigZSet {
    pub(super) table: Table<u32>,
    pub(super) tree: Tree<ZLeaf>,
    pub(super) pool: Vec<Vec<Slot>>,
    pub(super) seed: HashSeed,
    pub(super) heap: usize,
    /// What of it is away.
    pub(super) away: Option<Box<ZAway>>,
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
        Self { table: Table::new(), tree: Tree::new(), pool: Vec::new(), seed, heap: 0, away: None }
    }

    pub(in crate::value) fn len(&self) -> usize {
        self.tree.len() + self.away()
    }

    pub(super) fn tree(&self) -> &Tree<ZLeaf> {
        &self.tree
    }

    #[inline]
    pub(super) fn slot(&self, id: u32) -> &Slot {
        &self.pool[id as usize / CHUNK][id as usize % CHUNK]
    }

    #[inline]
    pub(super) fn member(&self, id: u32) -> &[u8] {
        &self.slot(id).member
    }

    pub(in crate::value) fn hash_of(&self, member: &[u8]) -> u64 {
        self.seed.hash(member)
    }

    fn find(&self, member: &[u8]) -> Option<u32> {
        self.table.find(self.seed.hash(member), |id| *self.slot(*id).member == *member).copied()
    }

    pub(in crate::value) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|id| self.slot(id).score)
    }

    /// How many members in memory come before this one at this score.
    pub(super) fn place(&self, score: f64, member: &[u8]) -> usize {
        self.tree.partition_point(|(other, id)| *other < score || (*other == score && self.member(*id) < member))
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        // It may be the last of a gap, and be here while others of it are away.
        let away = self.away_below(|other, name| (score_order(other), name) <= (score_order(score), member));
        Some(self.place(score, member) + away)
    }

    pub(super) fn by_rank(&self, rank: usize) -> Result<Option<(&[u8], f64)>, Away> {
        let rank = self.here(rank..rank.saturating_add(1))?.start;
        let found = self.tree.leaf_at(rank).map(|(leaf, start)| leaf.get(rank - start));
        Ok(found.map(|(score, id)| (self.member(id), score)))
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
    pub(super) fn insert(&mut self, member: &[u8], score: f64, trail: Option<&mut ZSetTrail>) -> Option<f64> {
        let (pool, hash) = (&self.pool, self.seed.hash(member));
        let named = |id: &u32| *pool[*id as usize / CHUNK][*id as usize % CHUNK].member == *member;
        if let Some(found) = self.table.find_marked(hash, named) {
            let (id, mark) = (*found.item(), found.mark());
            let old = pool[id as usize / CHUNK][id as usize % CHUNK].score;
            if old.to_bits() != score.to_bits() {
                found.change();
                let row = self.tree.remove(self.place(old, member));
                if let Some(trail) = trail {
                    trail.members.note_change(mark, || (hash, member.into()), || old);
                    trail.scores.note_removal(row, || (score_order(old), member.into()), || old);
                }
                self.tree.insert(self.place(score, member), (score, id));
                self.pool[id as usize / CHUNK][id as usize % CHUNK].score = score;
            }
            return Some(old);
        }
        let rank = self.place(score, member);
        let id = u32::try_from(self.tree.len()).expect("no memory holds 2^32 members of one set");
        self.heap += size_class(member.len());
        self.push_slot(Slot { member: member.into(), score });
        let (pool, seed) = (&self.pool, self.seed);
        self.table.insert_unique(hash, id, |id| seed.hash(&pool[*id as usize / CHUNK][*id as usize % CHUNK].member));
        self.tree.insert(rank, (score, id));
        if let Some(away) = &mut self.away {
            away.names().came(member);
        }
        None
    }

    pub(super) fn push_slot(&mut self, slot: Slot) {
        if self.pool.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.pool.push(Vec::with_capacity(if self.pool.is_empty() { 0 } else { CHUNK }));
        }
        self.pool.last_mut().expect("a chunk was just made sure of").push(slot);
    }

    /// Removes a member and returns its score.
    pub(super) fn remove(&mut self, member: &[u8], trail: Option<&mut ZSetTrail>) -> Option<f64> {
        let (pool, seed, hash) = (&self.pool, self.seed, self.seed.hash(member));
        let named = |id: &u32| &*pool[*id as usize / CHUNK][*id as usize % CHUNK].member;
        let (id, mark) = self.table.take(hash, |id| named(id) == member, |id| seed.hash(named(id)))?;
        let score = self.slot(id).score;
        let row = self.tree.remove(self.place(score, member));
        if let Some(trail) = trail {
            trail.members.note_removal(mark, || (hash, member.into()), || score);
            trail.scores.note_removal(row, || (score_order(score), member.into()), || score);
        }
        self.heap -= size_class(member.len());
        self.fill_hole(id);
        if let Some(away) = &mut self.away {
            away.names().went(member);
        }
        Some(score)
    }

    /// Gives the number of a removed member to the last one of the pool, so that the pool has no holes.
    pub(super) fn fill_hole(&mut self, id: u32) {
        let last = self.tree.len() as u32;
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
            + self.pool.len() * CHUNK.min(self.tree.len()) * size_of::<Slot>()
            + self.away.as_ref().map_or(0, |away| away.memory_bytes())
    }

    /// The parts, to be freed in slices.
    pub(in crate::value) fn into_parts(self) -> (Batches<u32>, Leaves<ZLeaf>, Vec<Vec<Slot>>) {
        (self.table.into_batches(), self.tree.into_leaves(), self.pool)
    }

    pub(super) fn validate(&self) {
        self.table.validate(|id| self.seed.hash(self.member(*id)));
        self.tree.validate(&|one, other| one == other);
        assert_eq!(self.table.len(), self.tree.len());
        assert_eq!(self.pool.iter().map(Vec::len).sum::<usize>(), self.tree.len());
        if let Some(away) = &self.away {
            return away.validate();
        }
        let mut before: Option<(f64, &[u8])> = None;
        for rank in 0..self.len() {
            let (member, score) = self.by_rank(rank).expect("nothing is away").expect("a rank below the length");
            assert!(before.is_none_or(|before| before < (score, member)), "members are out of order");
            assert_eq!(self.score(member).map(f64::to_bits), Some(score.to_bits()));
            before = Some((score, member));
        }
    }
}
