//! Members of a large sorted set that are away.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use mvcc::wide::INLINE_NAME_BYTES;

use super::big::{BigZSet, CHUNK, Slot};
use crate::value::away::{AwayNames, FENCE_ELEMENTS, Gaps, Ordered, Shed, Want};
use crate::value::tree::Leaf;
use crate::value::wide::{Mark, Order, ZSetTrail, score_of, score_order};
use crate::value::{HashSeed, size_class};

/// What of a sorted set is away.
///
/// *Invariant:* names and gaps count the same members.
pub(in crate::value) struct ZAway {
    names: AwayNames,
    gaps: Gaps<Order>,
}

impl ZAway {
    pub(super) fn names(&mut self) -> &mut AwayNames {
        &mut self.names
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.names.memory_bytes() + self.gaps.memory_bytes()
    }

    pub(super) fn validate(&self) {
        self.gaps.validate();
        assert_eq!(self.gaps.elements(), self.names.count());
        assert!(self.gaps.elements() > 0, "nothing is away");
    }
}

impl BigZSet {
    /// A sorted set whose members are all away.
    pub(in crate::value) fn away_all(seed: HashSeed, gaps: Gaps<Order>, all: &Arc<AtomicUsize>) -> Self {
        let names = AwayNames::new(gaps.elements(), all);
        Self { away: Some(Box::new(ZAway { names, gaps })), ..Self::new(seed) }
    }

    /// How many members are away.
    pub(in crate::value) fn away(&self) -> usize {
        self.away.as_ref().map_or(0, |away| away.names.count())
    }

    /// Whether a member that is not in memory may be away.
    pub(in crate::value) fn lacks(&self, member: &[u8]) -> bool {
        self.away.as_ref().is_some_and(|away| away.names.is_unknown(member)) && self.score(member).is_none()
    }

    /// The gap that a bound lies in, which is behind the members that satisfy `below`, as ranks.
    pub(super) fn lacks_bound(&self, below: impl Fn(f64, &[u8]) -> bool) -> Option<Range<usize>> {
        let gaps = self.gaps()?;
        let at = gaps.with_last(|(order, member)| below(score_of(*order), member));
        let (first, _, count) = gaps.get(at)?;
        if !below(score_of(first.0), &first.1) {
            return None;
        }
        let start = self.place_of(first, false) + gaps.before(at);
        Some(start..start + count)
    }

    /// How many of those that are away come before the bound behind all that satisfy `below`.
    pub(super) fn away_below(&self, below: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.gaps().map_or(0, |gaps| gaps.before(gaps.with_last(|(order, member)| below(score_of(*order), member))))
    }

    /// The gap, as ranks, in which a member would lie.
    pub(super) fn gap_of(&self, score: f64, member: &[u8]) -> Option<Range<usize>> {
        self.lacks_bound(|other, name| (score_order(other), name) <= (score_order(score), member))
    }

    fn place_of(&self, (order, member): &Order, behind: bool) -> usize {
        self.tree.partition_point(|(score, id)| {
            let key = (score_order(*score), self.member(*id));
            key < (*order, &**member) || (behind && key == (*order, &**member))
        })
    }

    /// A member has come, as its row says it is. Whether it was away; `None`: it cannot have been.
    pub(in crate::value) fn arrive(
        &mut self,
        (hash, member): (u64, &[u8]),
        score: f64,
        trail: Option<&ZSetTrail>,
    ) -> Option<bool> {
        let key = (score_order(score), member.into());
        let is_here = self.table.find(hash, |id| *self.slot(*id).member == *member).is_some();
        if self.away.is_none() || is_here || trail.is_some_and(|trail| trail.scores.has_gone(&key)) {
            return Some(false);
        }
        let away = self.away.as_mut()?;
        away.gaps.take_one(away.gaps.find(&key)?);
        away.names.arrived();
        if away.names.count() == 0 {
            self.away = None;
        }
        let (rank, id) = (self.place(score, member), self.tree.len() as u32);
        self.load(hash, member, score);
        self.tree.insert(rank, (score, id));
        self.tree.alter(rank, |leaf, at| leaf.set_rest(at));
        Some(true)
    }

    /// There is no such member.
    pub(in crate::value) fn note_vacant(&mut self, member: &[u8], holds: bool) {
        if let Some(away) = &mut self.away {
            away.names.note_vacant(member, holds);
        }
    }

    /// Whether nothing is away between two keys.
    pub(in crate::value) fn is_filled(&self, first: &Order, last: &Order) -> bool {
        self.gaps().is_none_or(|gaps| gaps.get(gaps.from(first)).is_none_or(|(from, ..)| from > last))
    }

    /// Lets the members of one leaf go, from a key on, that are at rest. Answers where to go on.
    pub(in crate::value) fn shed(&mut self, from: &Order, all: &Arc<AtomicUsize>, shed: &mut Shed) -> Option<Order> {
        let (rank, epoch) = (self.place_of(from, false), self.tree.epoch());
        self.tree.alter(rank, |leaf, _| leaf.advance(epoch));
        let (leaf, start) = self.tree.leaf_at(rank)?;
        let next = self.tree.leaf_at(start + leaf.len()).map(|(leaf, _)| self.order_of(leaf.get(0)));
        let mut keys: Vec<Order> = Vec::new();
        for at in rank - start..leaf.len() {
            let key = self.order_of(leaf.get(at));
            if leaf.mark(at) == Mark::Rest && key.1.len() <= INLINE_NAME_BYTES {
                keys.push(key);
            }
        }
        let (Some(first), Some(last)) = (keys.first().cloned(), keys.last().cloned()) else { return next };
        let wide =
            self.gaps().and_then(|gaps| gaps.touched(&first, &last)).filter(|(.., count)| *count > 2 * FENCE_ELEMENTS);
        if let Some((first, last, _)) = wide {
            // Too many would be between two fences: all of them are needed to find better ones.
            shed.fill = Some(Want::Between(first.clone().into(), last.clone().into()));
            return next;
        }
        let mut bytes = 0;
        for (order, member) in &keys {
            bytes += size_class(member.len()) + size_of::<Slot>() + size_of::<(f64, u32)>();
            self.let_go(score_of(*order), member);
        }
        let fresh = || Box::new(ZAway { names: AwayNames::new(0, all), gaps: Gaps::new() });
        let mut away = self.away.take().unwrap_or_else(fresh);
        away.names.left(keys.len());
        away.gaps.add(first.clone(), last, keys.len());
        let at = away.gaps.from(&first);
        // Neighbours become one if nothing in memory is between them.
        for at in [Some(at), at.checked_sub(1)].into_iter().flatten() {
            if let (Some((_, end, _)), Some((begin, ..))) = (away.gaps.get(at), away.gaps.get(at + 1))
                && self.place_of(end, true) == self.place_of(begin, false)
            {
                away.gaps.join(at, FENCE_ELEMENTS);
            }
        }
        self.away = Some(away);
        shed.note(keys.len(), bytes);
        next
    }

    /// Forgets a member that is at rest.
    fn let_go(&mut self, score: f64, member: &[u8]) {
        let (pool, seed, hash) = (&self.pool, self.seed, self.seed.hash(member));
        let named = |id: &u32| &*pool[*id as usize / CHUNK][*id as usize % CHUNK].member;
        let taken = self.table.take(hash, |id| named(id) == member, |id| seed.hash(named(id)));
        if let Some((id, _)) = taken {
            self.tree.remove(self.place(score, member));
            self.heap -= size_class(member.len());
            self.fill_hole(id);
        }
    }

    fn order_of(&self, (score, id): (f64, u32)) -> Order {
        (score_order(score), self.member(id).into())
    }

    /// Visits the members in memory whose hashes lie from one up to, not including, another.
    pub(in crate::value) fn scan_to<'a>(
        &'a self,
        from: u64,
        to: Option<u64>,
        visit: &mut dyn FnMut(u64, (&'a [u8], f64)),
    ) {
        let hash = |id: &u32| self.seed.hash(self.member(*id));
        self.table.scan_to(from, to, hash, |hash, id| visit(hash, (self.member(*id), self.slot(*id).score)));
    }
}

impl Ordered for BigZSet {
    type Key = Order;

    fn place(&self, key: &Order, behind: bool) -> usize {
        self.place_of(key, behind)
    }

    fn key_at(&self, rank: usize) -> Option<Order> {
        self.tree.leaf_at(rank).map(|(leaf, start)| self.order_of(leaf.get(rank - start)))
    }

    fn block_end(&self, rank: usize) -> usize {
        self.tree.leaf_at(rank).map_or(rank, |(leaf, start)| start + leaf.len())
    }

    fn with_rows(&self, ranks: Range<usize>) -> usize {
        let (mut at, mut count) = (ranks.start, 0);
        while at < ranks.end
            && let Some((leaf, start)) = self.tree.leaf_at(at)
        {
            let end = ranks.end.min(start + leaf.len());
            count += (at - start..end - start).filter(|at| leaf.mark(*at) != Mark::New).count();
            at = end;
        }
        count
    }

    fn gaps(&self) -> Option<&Gaps<Order>> {
        self.away.as_ref().map(|away| &away.gaps)
    }
}
