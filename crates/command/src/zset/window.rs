//! A range as it is asked for, and the ranks that it means.

use std::ops::Range;

use engine::{LexBound, ScoreBound, Stop, ZSetView};

use super::bound;
use crate::parse;

/// From which end of the set a range is counted and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The least score first.
    Ascending,
    /// The greatest score first.
    Descending,
}

/// What ranges are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Ranks, possibly counted from the end.
    Rank,
    /// Scores.
    Score,
    /// Members, where all scores are equal.
    Lex,
}

/// A range as it is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Window<'a> {
    /// First and last rank.
    Ranks(i64, i64),
    /// Least and greatest score.
    Scores(ScoreBound, ScoreBound),
    /// Least and greatest member.
    Members(LexBound<'a>, LexBound<'a>),
}

impl<'a> Window<'a> {
    /// Reads the ends; those of scores and members are given the other way round where the order is descending.
    pub(super) fn read(by: By, order: Order, from: &'a [u8], to: &'a [u8]) -> Result<Self, Stop> {
        let (min, max) = if order == Order::Descending { (to, from) } else { (from, to) };
        Ok(match by {
            By::Rank => Self::Ranks(parse::int(from)?, parse::int(to)?),
            By::Score => {
                let (min, max) = bound::scores(min, max)?;
                Self::Scores(min, max)
            }
            By::Lex => {
                let (min, max) = bound::members(min, max)?;
                Self::Members(min, max)
            }
        })
    }

    /// The ascending ranks that are meant; `order` says from which end ranks count.
    pub(super) fn ranks(&self, zset: &ZSetView<'_>, order: Order) -> Result<Range<usize>, Stop> {
        match *self {
            Self::Ranks(first, last) => {
                let len = zset.len()?;
                let ranks = parse::range(first, last, len);
                Ok(if order == Order::Descending { len - ranks.end..len - ranks.start } else { ranks })
            }
            Self::Scores(min, max) => zset.score_ranks(min, max),
            Self::Members(min, max) => zset.lex_ranks(min, max),
        }
    }
}

/// LIMIT: how many members of a range are skipped and answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Members to skip; a negative number skips all.
    pub(super) offset: i64,
    /// Members to answer; a negative number means all.
    pub(super) count: i64,
}

impl Limit {
    /// No limit.
    pub(super) const NONE: Self = Self { offset: 0, count: -1 };

    /// The ranks that are left of `ranks`, which are counted from the end that `order` says.
    pub(super) fn cut(self, ranks: Range<usize>, order: Order) -> Range<usize> {
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX).min(ranks.len());
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(ranks.len() - offset);
        match order {
            Order::Ascending => ranks.start + offset..ranks.start + offset + count,
            Order::Descending => ranks.end - offset - count..ranks.end - offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_limit_skips_and_takes_from_the_end_that_the_order_says(start in 0usize..9, len in 0usize..9,
            offset in -2i64..12, count in -2i64..12, descending: bool) {
            let order = if descending { Order::Descending } else { Order::Ascending };
            let mut all: Vec<usize> = (start..start + len).collect();
            if descending {
                all.reverse();
            }
            let skip = if offset < 0 { usize::MAX } else { offset as usize };
            let take = if count < 0 { usize::MAX } else { count as usize };
            let expected: Vec<usize> = all.into_iter().skip(skip).take(take).collect();
            let mut cut: Vec<usize> = Limit { offset, count }.cut(start..start + len, order).collect();
            if descending {
                cut.reverse();
            }
            prop_assert_eq!(cut, expected);
        }
    }
}
