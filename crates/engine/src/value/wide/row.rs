//! `WideRow`: one row of a large value, as it is handed to whoever writes it down and taken from whoever reads it.

use effect::ListPos;
use std::cmp::Ordering;

/// What a row is called within its collection.
#[derive(Clone, Debug, PartialEq)]
pub enum RowKey<'a> {
    /// A field of a hash, a member of a set, or a member of a sorted set, by its hash.
    Hashed {
        /// The name's hash by the seed of [`Limits`](crate::value::Limits).
        hash: u64,
        /// Field or member.
        name: &'a [u8],
    },
    /// A member of a sorted set in the order of scores. Both zeros are one score.
    Scored {
        /// Its score.
        score: f64,
        /// The member.
        member: &'a [u8],
    },
    /// An element of a list.
    Placed(ListPos),
    /// A block of a string: [`BLOCK_BYTES`](super::BLOCK_BYTES) bytes, but for the last one.
    Block(u64),
    /// Counts of the elements, by number: of a sorted set or a list between which of them there are how many, of a hash those with
    /// deadlines.
    Fences(u32),
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content<'a> {
    /// Nothing but that it is there: members of sets, and those of sorted sets by score.
    Nothing,
    /// Value and deadline (unix ms) of a field.
    Field(&'a [u8], Option<i64>),
    /// The score of a member, with the sign of zero.
    Score(f64),
    /// The bytes of a list's element, of a string's block or of a row of fences.
    Bytes(&'a [u8]),
}

/// A row that is to be written, or one that is to go.
#[derive(Clone, Debug, PartialEq)]
pub enum WideRow<'a> {
    /// The row says this from now on.
    Put(RowKey<'a>, Content<'a>),
    /// There is no such row any more. It may not have been there.
    Remove(RowKey<'a>),
}

/// The order of scores as one of numbers; the same for both zeros.
pub(crate) fn score_order(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The score that [`score_order`] made `order` of; a zero is the positive one.
pub(crate) fn score_of(order: u64) -> f64 {
    f64::from_bits(if order >> 63 == 0 { !order } else { order ^ 1 << 63 })
}

impl RowKey<'_> {
    /// The order of rows. Names order by their bytes, also those that are so long that the store orders them by digest.
    pub(in crate::value) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Hashed { hash, name }, Self::Hashed { hash: hash2, name: name2 }) => {
                hash.cmp(hash2).then_with(|| name.cmp(name2))
            }
            (Self::Scored { score, member }, Self::Scored { score: score2, member: member2 }) => {
                score_order(*score).cmp(&score_order(*score2)).then_with(|| member.cmp(member2))
            }
            (Self::Placed(one), Self::Placed(two)) => one.cmp(two),
            (Self::Block(one), Self::Block(two)) => one.cmp(two),
            (Self::Fences(one), Self::Fences(two)) => one.cmp(two),
            _ => unreachable!("a page has rows of one kind"),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Hashed { name, .. } | Self::Scored { member: name, .. } => 8 + name.len(),
            Self::Placed(pos) => 24 + pos.path.heap(),
            Self::Block(_) | Self::Fences(_) => 8,
        }
    }
}

impl<'a> WideRow<'a> {
    /// What the row is called.
    pub fn key(&self) -> &RowKey<'a> {
        match self {
            Self::Put(key, _) | Self::Remove(key) => key,
        }
    }

    /// About how many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        let content = match self {
            Self::Put(_, Content::Field(bytes, _) | Content::Bytes(bytes)) => bytes.len() + 8,
            Self::Put(_, Content::Score(_)) => 8,
            Self::Put(_, Content::Nothing) | Self::Remove(_) => 0,
        };
        self.key().bytes() + content
    }
}
