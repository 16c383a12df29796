//! The locks that a context holds: shards, ascending.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::limits::SHARDS;
use crate::shard::{Shard, ShardId};

/// Locked shards.
///
/// *Invariant:* ascending by id, so that no two contexts wait for each other.
pub struct Guards<'e>(SmallVec<[(ShardId, MutexGuard<'e, Shard>); 2]>);

impl<'e> Guards<'e> {
    /// The locks, which the caller took in ascending order.
    pub(crate) fn new(locks: impl Iterator<Item = (ShardId, MutexGuard<'e, Shard>)>) -> Self {
        let guards = Self(locks.collect());
        debug_assert!(guards.0.is_sorted_by(|a, b| a.0 < b.0), "locks are taken in ascending order");
        guards
    }

    /// One lock.
    #[inline]
    pub(crate) fn one(lock: (ShardId, MutexGuard<'e, Shard>)) -> Self {
        let mut guards = SmallVec::new();
        guards.push(lock);
        Self(guards)
    }

    #[inline]
    fn at(&self, id: ShardId) -> Option<usize> {
        match &self.0[..] {
            [(only, _)] => (*only == id).then_some(0),
            all if all.len() == SHARDS => Some(usize::from(id.0)),
            many => {
                // Neighbours, as a replay locks them, are found at once.
                let near = many.first().map_or(0, |(first, _)| usize::from(id.0.wrapping_sub(first.0)));
                match many.get(near) {
                    Some((found, _)) if *found == id => Some(near),
                    _ => many.binary_search_by_key(&id, |(shard, _)| *shard).ok(),
                }
            }
        }
    }

    /// The shard, if it is locked.
    #[inline]
    pub(crate) fn get(&self, id: ShardId) -> Option<&Shard> {
        self.at(id).map(|at| &*self.0[at].1)
    }

    /// The shard, if it is locked.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: ShardId) -> Option<&mut Shard> {
        self.at(id).map(|at| &mut *self.0[at].1)
    }

    /// All locked shards.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.0.iter_mut().map(|(_, guard)| &mut **guard)
    }

    /// All locked shards.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.0.iter().map(|(_, guard)| &**guard)
    }

    /// Frees all locks.
    #[inline]
    pub(crate) fn release(&mut self) {
        self.0.clear();
    }

    /// Whether every shard is locked.
    pub(crate) fn is_all(&self) -> bool {
        self.0.len() == SHARDS
    }
}
