//! Collections as commands see them: by element, rank and range. Any access may say `Miss`; expired fields are hidden.
//!
//! Commands that need several elements ask for them through one call (an iteration, a range), so that one miss names
//! all that is needed.
#![allow(clippy::len_without_is_empty, reason = "a collection without members does not exist")]

mod lacking;

use std::ops::Range;

use effect::ListPos;

use crate::state::Site;
use crate::stop::Stop;
use crate::value::{
    FieldRef, HashRef, LexBound, ListPositions, ListRange, ListRef, Member, Part, ScoreBound, SetRef, ZRange, ZSetRef,
};
use lacking::{SCANNED_MOST, gather, here, named, pick_from, picks_away, whole};

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
        match self.hash.get(name) {
            None if self.hash.lacks(name) => self.site.miss(named(name)),
            found => Ok(found.filter(|f| self.lives(f))),
        }
    }

    /// Sees to it that these fields are in memory, or known to be absent, before they are looked up one by one.
    pub fn gather<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> Result<(), Stop> {
        gather(&self.site, self.hash.away(), names, |name| self.hash.lacks(name))
    }

    /// All fields, in the order in which they are stored.
    pub fn iter(&self) -> Result<impl Iterator<Item = FieldRef<'s>>, Stop> {
        self.site.check()?;
        whole(&self.site, self.hash.away())?;
        let now_ms = self.site.now_ms;
        Ok(self.hash.iter().filter(move |f| f.deadline.is_none_or(|d| d > now_ms)))
    }

    /// Hands at least one page of fields from `cursor` on to `visit`; answers the next cursor, `None` at the end.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(FieldRef<'s>)) -> Result<Option<u64>, Stop> {
        self.site.check()?;
        if self.hash.away() > 0 {
            let end = self.site.hashes(cursor, count.clamp(1, SCANNED_MOST))?;
            self.hash.scan_to(cursor, end, &mut |_, field| {
                if self.lives(&field) {
                    visit(field);
                }
            });
            return Ok(end);
        }
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
        // From the place on, or from the beginning if none follows.
        for from in picks_away(random(), self.hash.len(), self.hash.away()).into_iter().flatten() {
            let found = pick_from(&self.site, from, |from, end| {
                let mut first: Option<(u64, FieldRef<'s>)> = None;
                self.hash.scan_to(from, end, &mut |hash, field| {
                    if hash >= from && self.lives(&field) && first.is_none_or(|(least, _)| hash < least) {
                        first = Some((hash, field));
                    }
                });
                first.map(|(_, field)| field)
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
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
        match self.set.contains(member) {
            false if self.set.lacks(member) => self.site.miss(named(member)),
            found => Ok(found),
        }
    }

    /// As [`HashView::gather`].
    pub fn gather<'n>(&self, members: impl Iterator<Item = &'n [u8]>) -> Result<(), Stop> {
        gather(&self.site, self.set.away(), members, |member| self.set.lacks(member))
    }

    /// All members, in the order in which they are stored.
    pub fn iter(&self) -> Result<impl Iterator<Item = Member<'s>>, Stop> {
        self.site.check()?;
        whole(&self.site, self.set.away())?;
        Ok(self.set.iter())
    }

    /// As [`HashView::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<Option<u64>, Stop> {
        self.site.check()?;
        if self.set.away() > 0 {
            let end = self.site.hashes(cursor, count.clamp(1, SCANNED_MOST))?;
            self.set.scan_to(cursor, end, &mut |_, member| visit(member));
            return Ok(end);
        }
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
        for from in picks_away(random, self.set.len(), self.set.away()).into_iter().flatten() {
            let found = pick_from(&self.site, from, |from, end| {
                let mut first: Option<(u64, &'s [u8])> = None;
                self.set.scan_to(from, end, &mut |hash, member| {
                    if hash >= from && first.is_none_or(|(least, _)| hash < least) {
                        first = Some((hash, member));
                    }
                });
                first.map(|(_, member)| member)
            })?;
            if let Some(member) = found {
                return Ok(Some(Member::Bytes(member)));
            }
        }
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
        match self.zset.score(member) {
            None if self.zset.lacks(member) => self.site.miss(named(member)),
            found => Ok(found),
        }
    }

    /// As [`HashView::gather`].
    pub fn gather<'n>(&self, members: impl Iterator<Item = &'n [u8]>) -> Result<(), Stop> {
        gather(&self.site, self.zset.away(), members, |member| self.zset.lacks(member))
    }

    /// The rank of `member` by (score, member), from 0.
    pub fn rank(&self, member: &[u8]) -> Result<Option<usize>, Stop> {
        self.site.check()?;
        if self.zset.away() > 0 {
            if self.zset.lacks(member) {
                return self.site.miss(named(member));
            }
            if let Some(beside) = self.zset.lacks_beside(member) {
                return self.site.miss(Part::Ranks(beside));
            }
        }
        Ok(self.zset.rank(member))
    }

    /// Members with scores by ascending rank, from either end.
    pub fn range(&self, ranks: Range<usize>) -> Result<ZRange<'s>, Stop> {
        self.site.check()?;
        here(&self.site, self.zset.range(ranks))
    }

    /// The ranks of the members whose score lies between `min` and `max`.
    pub fn score_ranks(&self, min: ScoreBound, max: ScoreBound) -> Result<Range<usize>, Stop> {
        self.site.check()?;
        match self.zset.lacks_scores(min, max) {
            Some(beside) => self.site.miss(Part::Ranks(beside)),
            None => Ok(self.zset.score_range(min, max)),
        }
    }

    /// The ranks of the members between `min` and `max`; meaningful where all scores are equal.
    pub fn lex_ranks(&self, min: LexBound<'_>, max: LexBound<'_>) -> Result<Range<usize>, Stop> {
        self.site.check()?;
        match self.zset.lacks_lex(min, max) {
            Some(beside) => self.site.miss(Part::Ranks(beside)),
            None => Ok(self.zset.lex_range(min, max)),
        }
    }

    /// As [`HashView::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> Result<Option<u64>, Stop> {
        self.site.check()?;
        if self.zset.away() > 0 {
            let end = self.site.hashes(cursor, count.clamp(1, SCANNED_MOST))?;
            self.zset.scan_to(cursor, end, &mut |_, (member, score)| visit(member, score));
            return Ok(end);
        }
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
        here(&self.site, self.list.get(index))
    }

    /// The position of the element at `index`.
    #[inline]
    pub fn position(&self, index: usize) -> Result<Option<ListPos>, Stop> {
        self.site.check()?;
        here(&self.site, self.list.position_of(index))
    }

    /// The position of the first element.
    #[inline]
    pub fn first_position(&self) -> Result<Option<ListPos>, Stop> {
        self.site.check()?;
        here(&self.site, self.list.first())
    }

    /// The position of the last element.
    #[inline]
    pub fn last_position(&self) -> Result<Option<ListPos>, Stop> {
        self.site.check()?;
        here(&self.site, self.list.last())
    }

    /// The values of these indexes, from either end.
    pub fn range(&self, indexes: Range<usize>) -> Result<ListRange<'s>, Stop> {
        self.site.check()?;
        here(&self.site, self.list.range(indexes))
    }

    /// The positions of these indexes, in order.
    pub fn positions(&self, indexes: Range<usize>) -> Result<ListPositions<'s>, Stop> {
        self.site.check()?;
        here(&self.site, self.list.positions(indexes))
    }

    /// The elements of these indexes as runs of consecutive positions.
    pub fn runs(&self, indexes: Range<usize>) -> Result<Vec<(ListPos, u64)>, Stop> {
        self.site.check()?;
        here(&self.site, self.list.runs(indexes))
    }
}
