//! The inputs of ZUNION and its kin: sorted sets, and sets whose members all have score 1.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use engine::{Member, SetView, State, Stop, ZSetView};

/// The score of a set's member.
const SET_SCORE: f64 = 1.0;

/// One input.
pub(super) enum Source<'s> {
    /// There is no such key.
    Absent,
    /// A set.
    Set(SetView<'s>),
    /// A sorted set.
    ZSet(ZSetView<'s>),
}

/// A member as a key of a table.
#[derive(Clone, Copy)]
pub(super) struct Name<'s>(pub(super) Member<'s>);

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (*self.0).hash(state);
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Eq for Name<'_> {}

impl Borrow<[u8]> for Name<'_> {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl<'s> Source<'s> {
    /// The input at `key`.
    pub(super) fn open(state: &'s State<'_>, key: &'s [u8]) -> Result<Self, Stop> {
        match state.zset(key) {
            Ok(Some(zset)) => Ok(Self::ZSet(zset)),
            Ok(None) => Ok(Self::Absent),
            Err(Stop::WrongType) => Ok(state.set(key)?.map_or(Self::Absent, Self::Set)),
            Err(stop) => Err(stop),
        }
    }

    /// How many members.
    pub(super) fn len(&self) -> Result<usize, Stop> {
        match self {
            Self::Absent => Ok(0),
            Self::Set(set) => set.len(),
            Self::ZSet(zset) => zset.len(),
        }
    }

    /// The score of a member.
    pub(super) fn score(&self, member: &[u8]) -> Result<Option<f64>, Stop> {
        match self {
            Self::Absent => Ok(None),
            Self::Set(set) => Ok(set.contains(member)?.then_some(SET_SCORE)),
            Self::ZSet(zset) => zset.score(member),
        }
    }

    /// All members with their scores, in the order in which they are stored.
    pub(super) fn iter<'i>(&'i self) -> Result<Box<dyn Iterator<Item = (Name<'s>, f64)> + 'i>, Stop> {
        Ok(match self {
            Self::Absent => Box::new(std::iter::empty()),
            Self::Set(set) => Box::new(set.iter()?.map(|member| (Name(member), SET_SCORE))),
            Self::ZSet(zset) => {
                let all = zset.range(0..zset.len()?)?;
                Box::new(all.map(|(member, score)| (Name(Member::Bytes(member)), score)))
            }
        })
    }
}
