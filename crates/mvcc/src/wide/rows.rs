//! Which rows to scan for what.

use std::ops::Bound;

use super::element::{Element, Incarnation};
use super::error::WideError;
use super::kind::{Kind, META};
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

    /// Meta rows of a keyspace from one slot up to, not including, another.
    pub fn slots(keyspace: u16, from: u16, to: u16) -> Self {
        let at = |slot: u16| [&[META][..], &keyspace.to_be_bytes(), &slot.to_be_bytes()].concat();
        Self { start: at(from), end: at(to) }
    }

    /// Meta rows of one slot of a database, from a hash on.
    pub fn database(keyspace: u16, slot: u16, db: u8, hash: u32) -> Self {
        let prefix = [&[META][..], &keyspace.to_be_bytes(), &slot.to_be_bytes(), &[db]].concat();
        let Self { start, end } = Self::with_prefix(prefix);
        Self { start: [&start[..], &hash.to_be_bytes()].concat(), end }
    }

    /// All rows of the collections from one up to, not including, another.
    pub fn collections(from: Incarnation, to: Incarnation) -> Self {
        Self { start: from.prefix(), end: to.prefix() }
    }

    /// All rows of one kind.
    pub fn of_kind(of: Incarnation, kind: Kind) -> Self {
        Self::with_prefix(of.kind_prefix(kind))
    }

    /// Fields or members from one hash up to another, in the order of hashes; those of one hash order by their bytes.
    pub fn members(of: Incarnation, kind: Kind, from: Bound<u64>, to: Bound<u64>) -> Self {
        Self::of_kind(of, kind).within(from, to)
    }

    /// Members of a sorted set from one score up to another, in the order of scores.
    pub fn scores(of: Incarnation, from: Bound<Score>, to: Bound<Score>) -> Self {
        Self::of_kind(of, Kind::ZsetScore).within(from.map(Score::sortable), to.map(Score::sortable))
    }

    /// Of these rows, all with one prefix, those that have a number within the bounds behind it.
    fn within(self, from: Bound<u64>, to: Bound<u64>) -> Self {
        let at = |number: u64| [&self.start[..], &number.to_be_bytes()].concat();
        // Behind the greatest number comes what is behind the prefix.
        let behind = |number: u64| number.checked_add(1).map_or_else(|| self.end.clone(), at);
        let start = match from {
            Bound::Included(number) => at(number),
            Bound::Excluded(number) => behind(number),
            Bound::Unbounded => self.start.clone(),
        };
        let end = match to {
            Bound::Included(number) => behind(number),
            Bound::Excluded(number) => at(number),
            Bound::Unbounded => self.end.clone(),
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
