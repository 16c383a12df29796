//! Elements of a large list that are away: whole chunks, never the first or the last one.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use effect::ListPos;
use mvcc::wide::INLINE_STEPS;

use super::BigList;
use crate::value::Remains;
use crate::value::away::{Among, FENCE_ELEMENTS, Gaps, Ordered, Shed, Want};
use crate::value::tree::Leaf;
use crate::value::wide::{Mark, Placed};

/// What of a list is away.
pub(in crate::value) struct ListAway {
    gaps: Gaps<ListPos>,
    _among: Among,
}

impl ListAway {
    pub(super) fn memory_bytes(&self) -> usize {
        self.gaps.memory_bytes()
    }

    pub(super) fn validate(&self) {
        self.gaps.validate();
        assert!(self.gaps.elements() > 0, "nothing is away");
    }
}

impl BigList {
    /// A list whose elements are all away.
    pub(in crate::value) fn away_all(gaps: Gaps<ListPos>, all: &Arc<AtomicUsize>) -> Self {
        Self { away: Some(Box::new(ListAway { gaps, _among: Among::new(all) })), ..Self::new() }
    }

    /// How many elements are away.
    pub(in crate::value) fn away(&self) -> usize {
        self.away.as_ref().map_or(0, |away| away.gaps.elements())
    }

    /// The gap, as indexes, in which some of the positions from one to another lie.
    pub(in crate::value) fn gaps_between(&self, first: &ListPos, last: &ListPos) -> Option<Range<usize>> {
        let gaps = self.gaps()?;
        let at = gaps.from(first);
        let (from, _, count) = gaps.get(at).filter(|(from, ..)| *from <= last)?;
        let start = Ordered::place(self, from, false) + gaps.before(at);
        Some(start..start + count)
    }

    /// An element has come, as its row says it is. Whether it was away; `None`: it cannot have been.
    pub(in crate::value) fn arrive(&mut self, pos: &ListPos, value: &[u8], trail: Option<&Placed>) -> Option<bool> {
        let found = self.search(pos);
        let Err(index) = found else { return Some(false) };
        if self.away.is_none() || trail.is_some_and(|trail| trail.has_gone(pos)) {
            return Some(false);
        }
        let away = self.away.as_mut()?;
        away.gaps.take_one(away.gaps.find(pos)?);
        if away.gaps.elements() == 0 {
            self.away = None;
        }
        self.chunks.insert(index, (pos, value));
        self.chunks.alter(index, |chunk, at| chunk.set_mark(at, Mark::Rest));
        Some(true)
    }

    /// Whether nothing is away between two positions.
    pub(in crate::value) fn is_filled(&self, first: &ListPos, last: &ListPos) -> bool {
        self.gaps_between(first, last).is_none()
    }

    /// The first gap and the last one.
    pub(in crate::value) fn end_gaps(&self) -> Vec<Want> {
        let Some(gaps) = self.gaps() else { return Vec::new() };
        let ends = [gaps.get(0), gaps.get(gaps.len() - 1).filter(|_| gaps.len() > 1)];
        let between =
            |(first, last, _): (&ListPos, &ListPos, usize)| Want::Between(first.clone().into(), last.clone().into());
        ends.into_iter().flatten().map(between).collect()
    }

    /// Lets a chunk go, from a position on, whose elements are all at rest. Answers where to go on.
    pub(in crate::value) fn shed(
        &mut self,
        from: &ListPos,
        all: &Arc<AtomicUsize>,
        shed: &mut Shed,
    ) -> Option<ListPos> {
        let (index, epoch) = (Ordered::place(self, from, false), self.chunks.epoch());
        self.chunks.alter(index, |chunk, _| chunk.advance(epoch));
        let (chunk, start) = self.chunks.at(index)?;
        let end = start + chunk.len();
        let next = self.get_pos(end)?;
        let (first, last) = (chunk.first(), chunk.runs().get(chunk.len() - 1));
        let is_whole = |pos: &ListPos| pos.path.len() <= INLINE_STEPS;
        if start == 0 || chunk.common_mark() != Some(Mark::Rest) || !is_whole(&first) || !is_whole(&last) {
            return Some(next);
        }
        let bytes = chunk.heap();
        shed.remains.push(Remains::of_chunks(self.chunks.remove_range(start..end)));
        let mut away =
            self.away.take().unwrap_or_else(|| Box::new(ListAway { gaps: Gaps::new(), _among: Among::new(all) }));
        away.gaps.add(first.clone(), last, end - start);
        let at = away.gaps.from(&first);
        for at in [Some(at), at.checked_sub(1)].into_iter().flatten() {
            if let (Some((_, end, _)), Some((begin, ..))) = (away.gaps.get(at), away.gaps.get(at + 1))
                && Ordered::place(self, end, true) == Ordered::place(self, begin, false)
            {
                away.gaps.join(at, FENCE_ELEMENTS);
            }
        }
        self.away = Some(away);
        shed.note(end - start, bytes);
        Some(next)
    }
}

impl Ordered for BigList {
    type Key = ListPos;

    fn place(&self, pos: &ListPos, behind: bool) -> usize {
        match self.search(pos) {
            Ok(index) => index + usize::from(behind),
            Err(index) => index,
        }
    }

    fn key_at(&self, rank: usize) -> Option<ListPos> {
        self.get_pos(rank)
    }

    fn block_end(&self, rank: usize) -> usize {
        self.chunks.at(rank).map_or(rank, |(chunk, start)| start + chunk.len())
    }

    fn with_rows(&self, ranks: Range<usize>) -> usize {
        let (mut at, mut count) = (ranks.start, 0);
        while at < ranks.end
            && let Some((chunk, start)) = self.chunks.at(at)
        {
            let end = ranks.end.min(start + chunk.len());
            count += match chunk.common_mark() {
                Some(Mark::New) => 0,
                Some(_) => end - at,
                None => (at - start..end - start).filter(|at| chunk.mark(*at) != Mark::New).count(),
            };
            at = end;
        }
        count
    }

    fn gaps(&self) -> Option<&Gaps<ListPos>> {
        self.away.as_ref().map(|away| &away.gaps)
    }
}
