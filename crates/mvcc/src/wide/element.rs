//! Keys of the rows that a collection consists of.

use super::error::WideError;
use super::fields::Fields;
use super::kind::{ELEMENT, INCARNATION_BYTES, Kind};
use super::number::Score;
use super::place::Place;
use super::stream::StreamId;
use crate::limits::MAX_KEY_BYTES;
use crate::timestamp::Timestamp;

/// One life of a collection: the dot of the effect that created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Who created it.
    pub origin: u64,
    /// The number of the effect.
    pub seq: u64,
}

impl Incarnation {
    /// What all rows of the collection, and no others, begin with.
    pub fn prefix(self) -> Vec<u8> {
        let mut prefix = Vec::with_capacity(64);
        prefix.push(ELEMENT);
        self.encode(&mut prefix);
        prefix
    }

    pub(crate) fn kind_prefix(self, kind: Kind) -> Vec<u8> {
        let mut prefix = self.prefix();
        prefix.push(kind as u8);
        prefix
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.origin.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, WideError> {
        Ok(Self { origin: fields.u64()?, seq: fields.u64()? })
    }
}

/// A part of a collection, as the key of its row names it.
#[derive(Clone, Debug, PartialEq)]
pub enum Element<'a> {
    /// A change of the length; unique by its commit and its number in that.
    LengthDelta {
        /// When it was committed.
        commit: Timestamp,
        /// Its number in that commit.
        n: u32,
    },
    /// A field of a hash.
    HashField(&'a [u8]),
    /// A member of a set.
    SetMember(&'a [u8]),
    /// A member of a sorted set.
    ZsetMember(&'a [u8]),
    /// A member of a sorted set in the order of scores.
    ZsetScore {
        /// Its score.
        score: Score,
        /// The member.
        member: &'a [u8],
    },
    /// An item of a list.
    ListItem(Place),
    /// The claim of a pop on an item: two pops of it conflict on this row.
    ListClaim(Place),
    /// An entry of a stream.
    StreamEntry(StreamId),
}

impl<'a> Element<'a> {
    /// What it is a part of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::LengthDelta { .. } => Kind::LengthDelta,
            Self::HashField(_) => Kind::HashField,
            Self::SetMember(_) => Kind::SetMember,
            Self::ZsetMember(_) => Kind::ZsetMember,
            Self::ZsetScore { .. } => Kind::ZsetScore,
            Self::ListItem(_) => Kind::ListItem,
            Self::ListClaim(_) => Kind::ListClaim,
            Self::StreamEntry(_) => Kind::StreamEntry,
        }
    }

    /// The key of its row.
    pub fn key(&self, of: Incarnation) -> Result<Vec<u8>, WideError> {
        let mut key = of.kind_prefix(self.kind());
        match self {
            Self::LengthDelta { commit, n } => {
                key.extend_from_slice(&commit.0.to_be_bytes());
                key.extend_from_slice(&n.to_be_bytes());
            }
            Self::HashField(bytes) | Self::SetMember(bytes) | Self::ZsetMember(bytes) => key.extend_from_slice(bytes),
            Self::ZsetScore { score, member } => {
                key.extend_from_slice(&score.sortable().to_be_bytes());
                key.extend_from_slice(member);
            }
            Self::ListItem(place) | Self::ListClaim(place) => place.encode(&mut key)?,
            Self::StreamEntry(id) => id.encode(&mut key),
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(WideError::TooLarge { what: "the key of an element", len: key.len(), limit: MAX_KEY_BYTES });
        }
        Ok(key)
    }

    /// The collection and the part of it that a row's key names.
    pub fn parse(key: &'a [u8]) -> Result<(Incarnation, Self), WideError> {
        let mut fields = Fields::new("the key of an element", key);
        if key.len() > MAX_KEY_BYTES {
            return Err(fields.bad("it is longer than any key"));
        }
        if fields.u8()? != ELEMENT {
            return Err(fields.bad("it is the key of another kind of row"));
        }
        let of = Incarnation::read(&mut fields)?;
        let kind = Kind::from_byte(fields.u8()?).ok_or_else(|| fields.bad("its kind is not known"))?;
        let element = match kind {
            Kind::LengthDelta => Self::LengthDelta { commit: Timestamp(fields.u64()?), n: fields.u32()? },
            Kind::HashField => Self::HashField(fields.rest()),
            Kind::SetMember => Self::SetMember(fields.rest()),
            Kind::ZsetMember => Self::ZsetMember(fields.rest()),
            Kind::ZsetScore => {
                let score = Score::from_sortable(fields.u64()?)?;
                Self::ZsetScore { score, member: fields.rest() }
            }
            Kind::ListItem => Self::ListItem(Place::parse(fields.rest())?),
            Kind::ListClaim => Self::ListClaim(Place::parse(fields.rest())?),
            Kind::StreamEntry => Self::StreamEntry(StreamId::read(&mut fields)?),
        };
        fields.done()?;
        Ok((of, element))
    }
}

const _: () = assert!(
    1 + INCARNATION_BYTES + 1 + 24 + 16 * super::place::MAX_STEPS <= MAX_KEY_BYTES,
    "the longest place must fit into a key"
);
