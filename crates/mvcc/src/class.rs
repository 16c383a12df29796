//! What kinds of keys there are, for counters: few, fixed, whatever the keys.

use crate::wide::{Kind, tag};

/// The kind of row that a key names, by the layout of [`wide`](crate::wide).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyClass {
    /// A meta row: what a user key is.
    Meta,
    /// An element row or a length delta of a collection.
    Element(Kind),
    /// Anything else.
    Other,
}

impl KeyClass {
    /// How many there are.
    pub const COUNT: usize = Kind::ALL.len() + 2;

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Meta, Self::Other].into_iter().chain(Kind::ALL.into_iter().map(Self::Element))
    }

    /// The class of `key`. It looks at the tags only; keys that are malformed behind them are counted as what they
    /// claim to be.
    pub fn of(key: &[u8]) -> Self {
        match tag(key) {
            Some(crate::wide::Tag::Meta) => Self::Meta,
            Some(crate::wide::Tag::Element(kind)) => Self::Element(kind),
            None => Self::Other,
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Meta => 0,
            Self::Other => 1,
            Self::Element(kind) => 2 + kind.index(),
        }
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Element(kind) => kind.name(),
            Self::Other => "other",
        }
    }
}
