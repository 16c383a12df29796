//! Which elements are needed, and which rows they are in.

use std::ops::Range;

use effect::ListPos;

use crate::value::Remains;

/// Some elements of these ranks, by score or from the head, are at rest only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away(pub Range<usize>);

/// Elements of a large value that somebody needs in memory, or to be known to be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    Whole,
    /// The fields or members of these names.
    Named(Vec<Box<[u8]>>),
    /// Those of these ranks, by score or from the head.
    Ranks(Range<usize>),
    /// Some, in the order of the hashes of their names.
    Hashes {
        /// The hash from which on.
        from: u64,
        /// How many are enough.
        count: usize,
    },
}

/// A place in the order of a sorted set or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The order of a score, and a member.
    Scored(u64, Box<[u8]>),
    /// A position.
    Placed(ListPos),
}

/// Rows that are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// The one of a name with this hash.
    Row(u64, Box<[u8]>),
    /// Those of names from this hash on, so many.
    Hashes(u64, usize),
    /// Those in order between two places, both included.
    Between(Edge, Edge),
}

/// What leaves memory of a value.
#[derive(Default)]
pub(crate) struct Shed {
    /// How many elements.
    pub(crate) elements: usize,
    /// Bytes that they took.
    pub(crate) bytes: usize,
    /// Rows to be read first, so that others can leave.
    pub(crate) fill: Option<Want>,
    /// What is best freed without a lock.
    pub(crate) remains: Vec<Remains>,
}

impl Shed {
    /// So many elements have left.
    pub(in crate::value) fn note(&mut self, elements: usize, bytes: usize) {
        self.elements += elements;
        self.bytes += bytes;
    }
}
