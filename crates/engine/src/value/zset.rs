//! Sorted sets: members ordered by (score, bytes). Every range is one of ranks.

mod away;
mod big;
mod image;
mod leaf;
mod packed_form;

use super::away::{Away, Ordered};
use super::entry::{Entry, Value};
use super::wide::{Wide, ZSetTrail};
use super::{Limits, below, packed};
pub(super) use big::Slot;
pub(super) use leaf::ZLeaf;
use std::ops::Range;

pub use big::BigZSet;
pub(super) use packed_form::EMPTY;
use packed_form::PackedMembers;
pub use packed_form::PackedZSet;

/// One end of a range of scores; the open ends are the infinities, inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScoreBound {
    /// The score itself belongs to the range.
    Inclusive(f64),
    /// `(score`: it does not.
    Exclusive(f64),
}

/// One end of a range of members in a set whose scores are all equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: before every member.
    Min,
    /// `+`: behind every member.
    Max,
    /// `[member`.
    Inclusive(&'a [u8]),
    /// `(member`.
    Exclusive(&'a [u8]),
}

/// One end of a range of members.
trait Bound: Copy {
    /// Whether the member comes before the bound; of the upper one of a range, what the bound includes does as well.
    fn is_above(self, score: f64, member: &[u8], upper: bool) -> bool;
}

impl Bound for ScoreBound {
    fn is_above(self, score: f64, _: &[u8], upper: bool) -> bool {
        match self {
            Self::Inclusive(bound) => score < bound || (upper && score == bound),
            Self::Exclusive(bound) => score < bound || (!upper && score == bound),
        }
    }
}

impl Bound for LexBound<'_> {
    fn is_above(self, _: f64, member: &[u8], upper: bool) -> bool {
        match self {
            Self::Min => false,
            Self::Max => true,
            Self::Inclusive(bound) => member < bound || (upper && member == bound),
            Self::Exclusive(bound) => member < bound || (!upper && member == bound),
        }
    }
}

/// A sorted set to read.
#[derive(Clone, Copy)]
pub enum ZSetRef<'a> {
    /// Within the limits of the packed form.
    Packed(PackedZSet<'a>),
    /// Beyond.
    Big(&'a BigZSet),
}

impl<'a> ZSetRef<'a> {
    #[inline]
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        Self::Packed(PackedZSet::new(bytes))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Packed(zset) => zset.len(),
            Self::Big(zset) => zset.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Packed(zset) => zset.score(member),
            Self::Big(zset) => zset.score(member),
        }
    }

    /// How many members come before this one. From the other end it is `len - 1 - rank`.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match self {
            Self::Packed(zset) => zset.iter().position(|(other, _)| other == member),
            Self::Big(zset) => zset.rank(member),
        }
    }

    /// The member of a rank, with its score.
    pub fn by_rank(&self, rank: usize) -> Result<Option<(&'a [u8], f64)>, Away> {
        match *self {
            Self::Packed(zset) => Ok(zset.iter().nth(rank)),
            Self::Big(zset) => zset.by_rank(rank),
        }
    }

    /// How many leading members satisfy the predicate over score and member; none of those that it parts is away.
    fn partition_point(&self, below: impl Fn(f64, &[u8]) -> bool) -> usize {
        match self {
            Self::Packed(zset) => zset.partition_point(below),
            Self::Big(zset) => {
                let here = zset.tree().partition_point(|(score, id)| below(*score, zset.member(*id)));
                here + zset.away_below(below)
            }
        }
    }

    /// The ranks of the members between two bounds; their number is the range's length.
    fn between<B: Bound>(&self, min: B, max: B) -> Range<usize> {
        let start = self.partition_point(|score, member| min.is_above(score, member, false));
        let end = self.partition_point(|score, member| max.is_above(score, member, true));
        start..end.max(start)
    }

    /// Ranks of members that are away, of which some must be known to find the bounds.
    fn lacks_between<B: Bound>(&self, min: B, max: B) -> Option<Range<usize>> {
        let Self::Big(zset) = self else { return None };
        let start = zset.lacks_bound(|score, member| min.is_above(score, member, false));
        start.or_else(|| zset.lacks_bound(|score, member| max.is_above(score, member, true)))
    }

    /// The ranks of the members between two scores; their number is the range's length.
    pub fn score_range(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        self.between(min, max)
    }

    /// The ranks of the members between two byte strings, in a set whose scores are all equal.
    pub fn lex_range(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        self.between(min, max)
    }

    /// How many members are away: at rest only.
    #[inline]
    pub(crate) fn away(&self) -> usize {
        if let Self::Big(zset) = self { zset.away() } else { 0 }
    }

    /// Whether a member that is not in memory may be away.
    pub(crate) fn lacks(&self, member: &[u8]) -> bool {
        if let Self::Big(zset) = self { zset.lacks(member) } else { false }
    }

    /// Members that are away and must be known to find the rank of this one, as ranks.
    pub(crate) fn lacks_beside(&self, member: &[u8]) -> Option<Range<usize>> {
        let Self::Big(zset) = self else { return None };
        zset.gap_of(zset.score(member)?, member)
    }

    /// The same, to find what lies between two scores.
    pub(crate) fn lacks_scores(&self, min: ScoreBound, max: ScoreBound) -> Option<Range<usize>> {
        self.lacks_between(min, max)
    }

    /// The same, to find what lies between two byte strings.
    pub(crate) fn lacks_lex(&self, min: LexBound<'_>, max: LexBound<'_>) -> Option<Range<usize>> {
        self.lacks_between(min, max)
    }

    /// Visits the members in memory whose hashes lie from one up to, not including, another.
    pub(crate) fn scan_to(&self, from: u64, to: Option<u64>, visit: &mut dyn FnMut(u64, (&'a [u8], f64))) {
        if let Self::Big(zset) = *self {
            zset.scan_to(from, to, visit);
        }
    }

    /// The members of these ranks, from either end; ranks beyond the end are ignored.
    pub fn range(&self, ranks: Range<usize>) -> Result<ZRange<'a>, Away> {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        let walk = match *self {
            Self::Packed(zset) => {
                let mut members = zset.iter();
                if let Some(skipped) = ranks.start.checked_sub(1) {
                    members.nth(skipped);
                }
                Walk::Packed { members, left: ranks.len(), back: None }
            }
            Self::Big(zset) => Walk::Big { zset, ranks: zset.here(ranks)?, front: None, back: None },
        };
        Ok(ZRange(walk))
    }

    /// All members in order. None may be away.
    pub fn iter(&self) -> ZRange<'a> {
        self.range(0..self.len()).expect("who walks over all members has seen to it that all are here")
    }

    /// Visits some members from a position on and returns the next position, as [`Table::scan`](super::Table::scan)
    /// does. A packed set is one page.
    pub fn scan(&self, from: u64, mut visit: impl FnMut(&[u8], f64)) -> Option<u64> {
        match self {
            Self::Packed(zset) => {
                zset.iter().for_each(|(member, score)| visit(member, score));
                None
            }
            Self::Big(zset) => zset.scan(from, visit),
        }
    }

    /// A member chosen by the random number.
    pub fn pick(&self, rand: u64) -> Option<(&'a [u8], f64)> {
        match *self {
            Self::Packed(zset) => zset.iter().nth(below(rand, zset.len())?),
            Self::Big(zset) => zset.pick(rand),
        }
    }

    pub(super) fn validate(&self) {
        match self {
            Self::Packed(zset) => {
                assert_eq!(zset.iter().count(), zset.len());
                let order = |(member, score): (_, f64)| (score, member);
                assert!(zset.iter().map(order).is_sorted_by(|one, other| one < other));
            }
            Self::Big(zset) => zset.validate(),
        }
    }
}

/// Members of consecutive ranks with their scores.
pub struct ZRange<'a>(Walk<'a>);

enum Walk<'a> {
    /// Members lie one behind the other and can be walked forwards only: a walk from the back collects them first.
    Packed {
        members: PackedMembers<'a>,
        left: usize,
        back: Option<std::vec::IntoIter<(&'a [u8], f64)>>,
    },
    Big {
        zset: &'a BigZSet,
        ranks: Range<usize>,
        front: Spot<'a>,
        back: Spot<'a>,
    },
}

/// A leaf and the rank of its first member.
type Spot<'a> = Option<(&'a ZLeaf, usize)>;

/// The member of a rank, searched in the leaf seen last before the tree is asked.
fn step<'a>(zset: &'a BigZSet, rank: usize, spot: &mut Spot<'a>) -> Option<(&'a [u8], f64)> {
    use super::tree::Leaf;
    let (leaf, start) = match *spot {
        Some((leaf, start)) if (start..start + leaf.len()).contains(&rank) => (leaf, start),
        _ => zset.tree().leaf_at(rank)?,
    };
    *spot = Some((leaf, start));
    let (score, id) = leaf.get(rank - start);
    Some((zset.member(id), score))
}

impl<'a> Iterator for ZRange<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Packed { back: Some(rest), .. } => rest.next(),
            Walk::Packed { members, left, .. } => {
                *left = left.checked_sub(1)?;
                members.next()
            }
            Walk::Big { zset, ranks, front, .. } => step(zset, ranks.next()?, front),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Walk::Packed { back: Some(rest), .. } => rest.size_hint(),
            Walk::Packed { left, .. } => (*left, Some(*left)),
            Walk::Big { ranks, .. } => ranks.size_hint(),
        }
    }
}

impl DoubleEndedIterator for ZRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Packed { members, left, back } => {
                let rest = back.get_or_insert_with(|| {
                    let mut rest = Vec::with_capacity(*left);
                    rest.extend(members.take(*left));
                    rest.into_iter()
                });
                rest.next_back()
            }
            Walk::Big { zset, ranks, back, .. } => step(zset, ranks.next_back()?, back),
        }
    }
}

impl ExactSizeIterator for ZRange<'_> {}

/// A sorted set to change; it becomes big when it passes the limits.
pub struct ZSetMut<'a> {
    entry: &'a mut Entry,
    limits: &'a Limits,
}

enum Form<'a> {
    Packed(&'a mut Box<[u8]>),
    Big(&'a mut BigZSet, Option<&'a mut ZSetTrail>),
}

impl<'a> ZSetMut<'a> {
    pub(super) fn new(entry: &'a mut Entry, limits: &'a Limits) -> Self {
        Self { entry, limits }
    }

    /// The sorted set to read.
    pub fn view(&self) -> ZSetRef<'_> {
        self.entry.zset().expect("made of a sorted set only")
    }

    fn form(&mut self) -> Form<'_> {
        match self.entry {
            Entry::Packed(_, bytes) => Form::Packed(bytes),
            Entry::Rest(..) => unreachable!("a value at rest is not changed in place"),
            Entry::Big(_, big) => match &mut big.value {
                Value::ZSet(zset) => Form::Big(zset, big.wide.as_deref_mut().and_then(Wide::zset)),
                _ => unreachable!("made of a sorted set only"),
            },
        }
    }

    /// Sets the score of a member and returns the one it had. The score is a number: NaN is for the caller to refuse,
    /// and counts as 0 here.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let score = if score.is_nan() { 0.0 } else { score };
        if let Entry::Packed(_, bytes) = &*self.entry {
            let zset = PackedZSet::new(bytes);
            let full = zset.len() >= self.limits.zset_max_listpack_entries.min(packed::MAX_COUNT);
            let large =
                member.len() > self.limits.zset_max_listpack_value || bytes.len() + member.len() > packed::MAX_BYTES;
            if (full || large) && zset.score(member).is_none() {
                self.make_big();
            }
        }
        match self.form() {
            Form::Packed(bytes) => packed_form::insert(bytes, member, score),
            Form::Big(zset, trail) => zset.insert(member, score, trail),
        }
    }

    /// Removes a member and returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self.form() {
            Form::Packed(bytes) => packed_form::remove(bytes, member),
            Form::Big(zset, trail) => zset.remove(member, trail),
        }
    }

    /// Removes the member of a rank and returns it: rank 0 pops the least, `len - 1` the greatest.
    pub fn pop(&mut self, rank: usize) -> Result<Option<(Box<[u8]>, f64)>, Away> {
        let Some((member, score)) = self.view().by_rank(rank)? else { return Ok(None) };
        let member: Box<[u8]> = member.into();
        self.remove(&member);
        Ok(Some((member, score)))
    }

    fn make_big(&mut self) {
        let mut big = BigZSet::new(self.limits.seed);
        for (member, score) in self.view().iter() {
            big.insert(member, score, None);
        }
        self.entry.grow(Value::ZSet(big));
    }
}
