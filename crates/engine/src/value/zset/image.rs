//! A large sorted set as rows: two orders, of members by hash and of members by score.

use super::big::{BigZSet, CHUNK, Slot};
use super::leaf::{LEAF, ZLeaf};
use crate::prefetch::prefetch;
use crate::value::tree::Leaf;
use crate::value::wide::{
    Budget, Content, Named, Page, RowKey, RowSink, Source, WideRow, ZSetTrail, score_of, score_order,
};
use crate::value::{HashSeed, Table, size_class};
use std::ops::Bound;

/// A pair behind the last one of a leaf: no other lies between.
fn behind(score: f64, member: &[u8]) -> (u64, Box<[u8]>) {
    (score_order(score), [member, &[0]].concat().into_boxed_slice())
}

impl BigZSet {
    /// An image begins, or is written.
    pub(in crate::value) fn next_epoch(&mut self) {
        if let Some(away) = &mut self.away {
            away.names().forget_many();
        }
        self.table.next_epoch();
        self.tree.next_epoch();
    }

    /// No element has a row any more.
    pub(in crate::value) fn renew(&mut self) {
        self.table.renew();
        self.tree.renew();
    }

    /// The image is given up.
    pub(in crate::value) fn give_up(&mut self) {
        self.table.give_up();
        self.tree.give_up();
    }

    /// Hands over rows of the image: all members by hash, then all by score.
    pub(in crate::value) fn next_rows(&mut self, trail: &mut ZSetTrail, budget: &mut Budget, sink: &mut RowSink<'_>) {
        fn row<'x>(pool: &'x [Vec<Slot>], id: &'x u32) -> (&'x [u8], Content<'x>) {
            let Slot { member, score } = &pool[*id as usize / CHUNK][*id as usize % CHUNK];
            (member, Content::Score(*score))
        }
        let mut source = Source { table: &mut self.table, pool: &self.pool[..], seed: self.seed };
        source.next_rows(&mut trail.members, (row, |score| Content::Score(*score)), budget, sink);
        while trail.scores.next().is_some() && !budget.is_spent() {
            self.next_scores(&mut trail.scores, budget, sink);
        }
    }

    /// The rows of one leaf, with those that belong between them.
    fn next_scores(&mut self, trail: &mut Named<f64>, budget: &mut Budget, sink: &mut RowSink<'_>) {
        let Some(from) = trail.next() else { return };
        let rank =
            self.tree.partition_point(|(score, id)| (score_order(*score), self.member(*id)) < (from.0, &*from.1));
        let epoch = self.tree.epoch();
        self.tree.alter(rank, |leaf, _| leaf.advance(epoch));
        let (mut page, mut end) = (Page::new(), None);
        if let Some((leaf, start)) = self.tree.leaf_at(rank) {
            if leaf.has_frozen() {
                (rank - start..leaf.len()).for_each(|at| prefetch(std::ptr::from_ref(self.slot(leaf.get(at).1))));
            }
            if start + leaf.len() < self.tree.len() {
                let (score, id) = leaf.get(leaf.len() - 1);
                end = Some(behind(score, self.member(id)));
            }
            end = trail.end_within(end, budget.rows);
            self.add_frozen(leaf, rank - start, end.as_ref(), &mut page);
        } else {
            end = trail.end_within(end, budget.rows);
        }
        let upto = end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(from), upto);
        for ((_, member), score) in trail.kept().into_iter().flat_map(|kept| kept.range(range)) {
            page.add(WideRow::Put(RowKey::Scored { score: *score, member }, Content::Nothing));
        }
        for (order, member) in trail.removed().iter().flat_map(|gone| gone.range(range)) {
            page.add(WideRow::Remove(RowKey::Scored { score: score_of(*order), member }));
        }
        let left = page.hand_over(budget, sink).map(|key| match key {
            RowKey::Scored { score, member } => (score_order(score), member.into()),
            _ => unreachable!("all rows of the page are by score"),
        });
        trail.set_next(left.or(end));
    }

    /// The pairs of a leaf from `at` on and before `end` that belong to the image.
    fn add_frozen<'z>(&'z self, leaf: &ZLeaf, at: usize, end: Option<&(u64, Box<[u8]>)>, page: &mut Page<'z>) {
        if !leaf.has_frozen() {
            return;
        }
        for at in at..leaf.len() {
            let (score, id) = leaf.get(at);
            let member = self.member(id);
            if end.is_some_and(|(order, name)| (score_order(score), member) >= (*order, &**name)) {
                return;
            }
            if leaf.mark(at).is_frozen() {
                page.add(WideRow::Put(RowKey::Scored { score, member }, Content::Nothing));
            }
        }
    }

    /// An empty sorted set with room for about `count` members, which come in the order of their hashes.
    pub(in crate::value) fn with_room(seed: HashSeed, count: u64) -> Self {
        Self { table: Table::with_room(count), ..Self::new(seed) }
    }

    /// Adds a member that is at rest, new, and that the tree will be told of by [`rank_all`](Self::rank_all).
    pub(in crate::value) fn load(&mut self, hash: u64, member: &[u8], score: f64) {
        let id = u32::try_from(self.table.len()).expect("no memory holds 2^32 members of one set");
        self.heap += size_class(member.len());
        self.push_slot(Slot { member: member.into(), score });
        let (pool, seed) = (&self.pool, self.seed);
        self.table.insert_at_rest(hash, id, |id| seed.hash(&pool[*id as usize / CHUNK][*id as usize % CHUNK].member));
    }

    /// Orders all members, which are at rest.
    pub(in crate::value) fn rank_all(&mut self) {
        let slots = self.pool.iter().flatten().zip(0..);
        let mut members: Vec<(f64, u32)> = slots.map(|(slot, id)| (slot.score, id)).collect();
        members.sort_unstable_by(|(score, id), (score2, id2)| {
            score_order(*score).cmp(&score_order(*score2)).then_with(|| self.member(*id).cmp(self.member(*id2)))
        });
        for part in members.chunks(LEAF) {
            self.tree.add_leaf(ZLeaf::at_rest(part, self.tree.epoch()), false);
        }
    }
}
