//! Which rows to scan for what.

use std::ops::Bound;

use super::element::{Element, Incarnation};
use super::error::WideError;
use super::kind::Kind;
use super::number::Score;
use super::stream::StreamId;
use crate::span::{Span, prefix_end, successor};

/// A range of row keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The first key.
    pub start: Vec<u8>,
    /// The first key behind.
    pub end: Vec<u8>,
}

impl Rows {
    fn with_prefix(prefix: Vec<u8>) -> Self {
        let end = prefix_end(&prefix).expect("it begins with a tag that is not 0xFF");
        Self { start: prefix, end }
    }

    /// As a span to scan.
    pub fn span(&self) -> Span<'_> {
        Span::new(&self.start, &self.end)
    }

    /// All rows of a collection.
    pub fn all(of: Incarnation) -> Self {
        Self::with_prefix(of.prefix())
    }

    /// All rows of one kind.
    pub fn of_kind(of: Incarnation, kind: Kind) -> Self {
        Self::with_prefix(of.kind_prefix(kind))
    }

    /// Fields or members from one up to another.
    pub fn members(of: Incarnation, kind: Kind, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        let whole = Self::of_kind(of, kind);
        let at = |member: &[u8]| [&whole.start, member].concat();
        let start = match from {
            Bound::Included(member) => at(member),
            Bound::Excluded(member) => successor(&at(member)),
            Bound::Unbounded => whole.start.clone(),
        };
        let end = match to {
            Bound::Included(member) => successor(&at(member)),
            Bound::Excluded(member) => at(member),
            Bound::Unbounded => whole.end,
        };
        Self { start, end }
    }

    /// Members of a sorted set from one score up to another, in the order of scores.
    pub fn scores(of: Incarnation, from: Bound<Score>, to: Bound<Score>) -> Self {
        let whole = Self::of_kind(of, Kind::ZsetScore);
        // No score has the greatest sortable form, so the next one exists.
        let at = |sortable: u64| [&whole.start[..], &sortable.to_be_bytes()].concat();
        let start = match from {
            Bound::Included(score) => at(score.sortable()),
            Bound::Excluded(score) => at(score.sortable() + 1),
            Bound::Unbounded => whole.start.clone(),
        };
        let end = match to {
            Bound::Included(score) => at(score.sortable() + 1),
            Bound::Excluded(score) => at(score.sortable()),
            Bound::Unbounded => whole.end,
        };
        Self { start, end }
    }

    /// Entries of a stream from one id up to and including another.
    pub fn entries(of: Incarnation, from: StreamId, to: StreamId) -> Result<Self, WideError> {
        let start = Element::StreamEntry(from).key(of)?;
        let end = successor(&Element::StreamEntry(to).key(of)?);
        Ok(Self { start, end })
    }
}
