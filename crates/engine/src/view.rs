//! Collections as commands see them: by element, rank and range. Any access may say `Miss`; expired fields are hidden.
//!
//! Commands that need several elements ask for them through one call (an iteration, a range), so that one miss names
//! all that is needed.
#![allow(clippy::len_without_is_empty, reason = "a collection without members does not exist")]

use std::ops::Range;

use effect::ListPos;

use crate::state::Site;
use crate::stop::Stop;
use crate::value::{
    FieldRef, HashRef, LexBound, ListPositions, ListRange, ListRef, Member, ScoreBound, SetRef, ZRange, ZSetRef,
};

/// A hash. It has at least one field that has not expired.
pub struct HashView<'s> {
    hash: HashRef<'s>,
    site: Site<'s>,
}

impl<'s> HashView<'s> {
    pub(crate) fn new(hash: HashRef<'s>, site: Site<'s>) -> Self {
        Self { hash, site }
    }

    /// Fields that have not expired. O(expired).
    pub fn len(&self) -> Result<usize, Stop> {
        self.site.check()?;
        Ok(self.hash.count_live(self.site.now_ms))
    }

    /// Fields that are stored, expired ones that have not been reclaimed yet included.
    pub fn stored(&self) -> usize {
        self.hash.len()
    }

    /// A field with its value and deadline.
    pub fn get(&self, name: &[u8]) -> Result<Option<FieldRef<'s>>, Stop> {
        self.site.check()?;
        Ok(self.hash.get(name).filter(|f| self.lives(f)))
    }

    /// All fields, in the order in which they are stored.
    pub fn iter(&self) -> Result<impl Iterator<Item = FieldRef<'s>>, Stop> {
        self.site.check()?;
        let now_ms = self.site.now_ms;
        Ok(self.hash.iter().filter(move |f| f.deadline.is_none_or(|d| d > now_ms)))
    }

    /// Hands at least one page of fields from `cursor` on to `visit`; answers the next cursor, `None` at the end.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(FieldRef<'s>)) -> Result<Option<u64>, Stop> {
        self.site.check()?;
        let mut next = Some(cursor);
        let mut seen = 0;
        while let (Some(at), true) = (next, seen < count) {
            next = self.hash.scan(at, |field| {
                seen += 1;
                if self.lives(&field) {
                    visit(field);
                }
            });
        }
        Ok(next)
    }

    /// Some field, about uniformly by `random`. Retries past expired ones, then takes the first that lives.
    pub fn pick(&self, mut random: impl FnMut() -> u64) -> Result<Option<FieldRef<'s>>, Stop> {
        self.site.check()?;
        for _ in 0..64 {
            match self.hash.pick(random()) {
                Some(field) if self.lives(&field) => return Ok(Some(field)),
                _ => {}
            }
        }
        Ok(self.hash.iter().find(|f| self.lives(f)))
    }

    fn lives(&self, field: &FieldRef<'_>) -> bool {
        field.deadline.is_none_or(|d| d > self.site.now_ms)
    }
}

/// A set. It has at least one member.
pub struct SetView<'s> {
    set: SetRef<'s>,
    site: Site<'s>,
}

impl<'s> SetView<'s> {
    pub(crate) fn new(set: SetRef<'s>, site: Site<'s>) -> Self {
        Self { set, site }
    }

    /// How many members.
    pub fn len(&self) -> Result<usize, Stop> {
        self.site.check()?;
        Ok(self.set.len())
    }

    /// Whether `member` is one.
    pub fn contains(&self, member: &[u8]) -> Result<bool, Stop> {
        self.site.check()?;
        Ok(self.set.contains(member))
    }

    /// All members, in the order in which they are stored.
    pub fn iter(&self) -> Result<impl Iterator<Item = Member<'s>>, Stop> {
        self.site.check()?;
        Ok(self.set.iter())
    }

    /// As [`HashView::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<Option<u64>, Stop> {
        self.site.check()?;
        let mut next = Some(cursor);
        let mut seen = 0;
        while let (Some(at), true) = (next, seen < count) {
            next = self.set.scan(at, |member| {
                seen += 1;
                visit(member);
            });
        }
        Ok(next)
    }

    /// Some member, about uniformly by `random`.
    pub fn pick(&self, random: u64) -> Result<Option<Member<'s>>, Stop> {
        self.site.check()?;
        Ok(self.set.pick(random))
    }
}

/// A sorted set. It has at least one member.
pub struct ZSetView<'s> {
    zset: ZSetRef<'s>,
    site: Site<'s>,
}

impl<'s> ZSetView<'s> {
    pub(crate) fn new(zset: ZSetRef<'s>, site: Site<'s>) -> Self {
        Self { zset, site }
    }

    /// How many members.
    pub fn len(&self) -> Result<usize, Stop> {
        self.site.check()?;
        Ok(self.zset.len())
    }

    /// The score of `member`.
    pub fn score(&self, member: &[u8]) -> Result<Option<f64>, Stop> {
        self.site.check()?;
        Ok(self.zset.score(member))
    }

    /// The rank of `member` by (score, member), from 0.
    pub fn rank(&self, member: &[u8]) -> Result<Option<usize>, Stop> {
        self.site.check()?;
        Ok(self.zset.rank(member))
    }

    /// Members with scores by ascending rank, from either end.
    pub fn range(&self, ranks: Range<usize>) -> Result<ZRange<'s>, Stop> {
        self.site.check()?;
        Ok(self.zset.range(ranks))
    }

    /// The ranks of the members whose score lies between `min` and `max`.
    pub fn score_ranks(&self, min: ScoreBound, max: ScoreBound) -> Result<Range<usize>, Stop> {
        self.site.check()?;
        Ok(self.zset.score_range(min, max))
    }

    /// The ranks of the members between `min` and `max`; meaningful where all scores are equal.
    pub fn lex_ranks(&self, min: LexBound<'_>, max: LexBound<'_>) -> Result<Range<usize>, Stop> {
        self.site.check()?;
        Ok(self.zset.lex_range(min, max))
    }

    /// As [`HashView::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> Result<Option<u64>, Stop> {
        self.site.check()?;
        let mut next = Some(cursor);
        let mut seen = 0;
        while let (Some(at), true) = (next, seen < count) {
            next = self.zset.scan(at, |member, score| {
                seen += 1;
                visit(member, score);
            });
        }
        Ok(next)
    }
}

/// A list. It has at least one element.
pub struct ListView<'s> {
    list: ListRef<'s>,
    site: Site<'s>,
}

impl<'s> ListView<'s> {
    pub(crate) fn new(list: ListRef<'s>, site: Site<'s>) -> Self {
        Self { list, site }
    }

    /// How many elements.
    pub fn len(&self) -> Result<usize, Stop> {
        self.site.check()?;
        Ok(self.list.len())
    }

    /// The element at `index` from the head.
    pub fn get(&self, index: usize) -> Result<Option<&'s [u8]>, Stop> {
        self.site.check()?;
        Ok(self.list.get(index))
    }

    /// The position of the element at `index`.
    #[inline]
    pub fn position(&self, index: usize) -> Result<Option<ListPos>, Stop> {
        self.site.check()?;
        Ok(self.list.position_of(index))
    }

    /// The position of the first element.
    #[inline]
    pub fn first_position(&self) -> Result<Option<ListPos>, Stop> {
        self.site.check()?;
        Ok(self.list.first())
    }

    /// The position of the last element.
    #[inline]
    pub fn last_position(&self) -> Result<Option<ListPos>, Stop> {
        self.site.check()?;
        Ok(self.list.last())
    }

    /// The values of these indexes, from either end.
    pub fn range(&self, indexes: Range<usize>) -> Result<ListRange<'s>, Stop> {
        self.site.check()?;
        Ok(self.list.range(indexes))
    }

    /// The positions of these indexes, in order.
    pub fn positions(&self, indexes: Range<usize>) -> Result<ListPositions<'s>, Stop> {
        self.site.check()?;
        Ok(self.list.positions(indexes))
    }

    /// The elements of these indexes as runs of consecutive positions.
    pub fn runs(&self, indexes: Range<usize>) -> Result<Vec<(ListPos, u64)>, Stop> {
        self.site.check()?;
        Ok(self.list.runs(indexes))
    }
}
