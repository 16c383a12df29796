//! Keys of the rows that a collection consists of.

use super::error::WideError;
use super::fields::Fields;
use super::kind::{ELEMENT, INCARNATION_BYTES, Kind};
use super::name;
use super::number::Score;
use super::place::Place;
use super::stream::StreamId;
use crate::limits::MAX_KEY_BYTES;
use crate::timestamp::Timestamp;

/// One life of a collection: a number that its node gives once, and ascending.
///
/// It is no dot of an effect, although those are unique as well: rows are what one node has made of the log, and leave
/// it only as an image of everything. A counter is half as long, in every row; and rows of a collection that is new
/// come behind all that are there, so that files of runs with many of them need not be merged with older ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// What all rows of the collection, and no others, begin with.
    pub fn prefix(self) -> Vec<u8> {
        let mut prefix = Vec::with_capacity(1 + INCARNATION_BYTES);
        self.encode_prefix(&mut prefix);
        prefix
    }

    /// The collection that a row belongs to, by the row's key; `None` for rows of no collection. It looks at nothing
    /// else, so that whoever decides about whole collections can ask it for every row.
    pub fn of_row(key: &[u8]) -> Option<Self> {
        let (number, _) = key.strip_prefix(&[ELEMENT])?.split_first_chunk()?;
        Some(Self(u64::from_be_bytes(*number)))
    }

    fn encode_prefix(self, out: &mut Vec<u8>) {
        out.push(ELEMENT);
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    pub(crate) fn kind_prefix(self, kind: Kind) -> Vec<u8> {
        let mut prefix = self.prefix();
        prefix.push(kind as u8);
        prefix
    }
}

/// A part of a collection, as its row names it.
///
/// Hashes are handed in: what the tables in memory order their elements by.
#[derive(Clone, Debug, PartialEq)]
pub enum Element<'a> {
    /// A change of the length; unique by its commit and its number in that.
    LengthDelta {
        /// When it was committed.
        commit: Timestamp,
        /// Its number in that commit.
        n: u32,
    },
    /// Some bytes of a string; the number of the block, from 0. The owner says how long blocks are.
    StringBlock(u32),
    /// A field of a hash.
    HashField {
        /// The field's hash.
        hash: u64,
        /// The field.
        field: &'a [u8],
    },
    /// How many fields of the hash have a deadline.
    HashDeadlines,
    /// A member of a set.
    SetMember {
        /// The member's hash.
        hash: u64,
        /// The member.
        member: &'a [u8],
    },
    /// A member of a sorted set.
    ZsetMember {
        /// The member's hash.
        hash: u64,
        /// The member.
        member: &'a [u8],
    },
    /// A member of a sorted set in the order of scores.
    ZsetScore {
        /// Its score.
        score: Score,
        /// The member.
        member: &'a [u8],
    },
    /// Counts of stretches of a sorted set, in the order of scores; the number of the row, from 0.
    ZsetFences(u32),
    /// An item of a list.
    ListItem(Place),
    /// The claim of a pop on an item: two pops of it conflict on this row.
    ListClaim(Place),
    /// Counts of stretches of a list; the number of the row, from 0.
    ListFences(u32),
    /// An entry of a stream.
    StreamEntry(StreamId),
}

impl<'a> Element<'a> {
    /// Whether only a beginning of its name or place stands in its row's key, with a digest of the whole: such elements that begin
    /// alike stand in the order of digests.
    pub fn is_digested(&self) -> bool {
        match self {
            Self::ListItem(place) | Self::ListClaim(place) => place.is_deep(),
            _ => self.name().is_some_and(|name| name.len() > name::INLINE_NAME_BYTES),
        }
    }

    /// What it is a part of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::LengthDelta { .. } => Kind::LengthDelta,
            Self::StringBlock(_) => Kind::StringBlock,
            Self::HashField { .. } => Kind::HashField,
            Self::HashDeadlines => Kind::HashDeadlines,
            Self::SetMember { .. } => Kind::SetMember,
            Self::ZsetMember { .. } => Kind::ZsetMember,
            Self::ZsetScore { .. } => Kind::ZsetScore,
            Self::ZsetFences(_) => Kind::ZsetFences,
            Self::ListItem(_) => Kind::ListItem,
            Self::ListClaim(_) => Kind::ListClaim,
            Self::ListFences(_) => Kind::ListFences,
            Self::StreamEntry(_) => Kind::StreamEntry,
        }
    }

    /// The field or member.
    pub fn name(&self) -> Option<&'a [u8]> {
        match self {
            Self::HashField { field, .. } => Some(field),
            Self::SetMember { member, .. } | Self::ZsetMember { member, .. } | Self::ZsetScore { member, .. } => {
                Some(member)
            }
            _ => None,
        }
    }

    /// The key of its row.
    pub fn key(&self, of: Incarnation) -> Result<Vec<u8>, WideError> {
        let mut key = Vec::with_capacity(64);
        self.encode_key(of, &mut key)?;
        Ok(key)
    }

    /// Puts the key of its row in the place of what `key` holds.
    pub fn encode_key(&self, of: Incarnation, key: &mut Vec<u8>) -> Result<(), WideError> {
        key.clear();
        of.encode_prefix(key);
        key.push(self.kind() as u8);
        match self {
            Self::LengthDelta { commit, n } => {
                key.extend_from_slice(&commit.0.to_be_bytes());
                key.extend_from_slice(&n.to_be_bytes());
            }
            Self::StringBlock(n) | Self::ZsetFences(n) | Self::ListFences(n) => key.extend_from_slice(&n.to_be_bytes()),
            Self::HashDeadlines => {}
            Self::HashField { hash, field: name }
            | Self::SetMember { hash, member: name }
            | Self::ZsetMember { hash, member: name } => {
                key.extend_from_slice(&hash.to_be_bytes());
                name::encode(name, key)?;
            }
            Self::ZsetScore { score, member } => {
                key.extend_from_slice(&score.sortable().to_be_bytes());
                name::encode(member, key)?;
            }
            Self::ListItem(place) | Self::ListClaim(place) => place.encode(key)?,
            Self::StreamEntry(id) => id.encode(key),
        }
        Ok(())
    }

    /// Appends what its row's value begins with: a name or a path that does not fit into the key. The content follows.
    pub fn encode_head(&self, value: &mut Vec<u8>) {
        if let Some(name) = self.name() {
            name::encode_head(name, value);
        }
        if let Self::ListItem(place) | Self::ListClaim(place) = self {
            place.encode_head(value);
        }
    }

    /// What a row is: the collection, the part of it, and the content of the row.
    pub fn parse(key: &'a [u8], value: &'a [u8]) -> Result<(Incarnation, Self, &'a [u8]), WideError> {
        let mut fields = Fields::new("the key of an element", key);
        let mut value = Fields::new("the row of an element", value);
        if fields.u8()? != ELEMENT {
            return Err(fields.bad("it is the key of another kind of row"));
        }
        let of = Incarnation(fields.u64()?);
        let kind = Kind::from_byte(fields.u8()?).ok_or_else(|| fields.bad("its kind is not known"))?;
        let mut named = |fields: &mut Fields<'a>| name::parse(fields.rest(), &mut value);
        let element = match kind {
            Kind::LengthDelta => Self::LengthDelta { commit: Timestamp(fields.u64()?), n: fields.u32()? },
            Kind::StringBlock => Self::StringBlock(fields.u32()?),
            Kind::HashField => Self::HashField { hash: fields.u64()?, field: named(&mut fields)? },
            Kind::HashDeadlines => Self::HashDeadlines,
            Kind::SetMember => Self::SetMember { hash: fields.u64()?, member: named(&mut fields)? },
            Kind::ZsetMember => Self::ZsetMember { hash: fields.u64()?, member: named(&mut fields)? },
            Kind::ZsetScore => {
                let score = Score::from_sortable(fields.u64()?)?;
                Self::ZsetScore { score, member: named(&mut fields)? }
            }
            Kind::ZsetFences => Self::ZsetFences(fields.u32()?),
            Kind::ListItem => Self::ListItem(Place::parse(fields.rest(), &mut value)?),
            Kind::ListClaim => Self::ListClaim(Place::parse(fields.rest(), &mut value)?),
            Kind::ListFences => Self::ListFences(fields.u32()?),
            Kind::StreamEntry => Self::StreamEntry(StreamId::read(&mut fields)?),
        };
        fields.done()?;
        Ok((of, element, value.rest()))
    }
}

const _: () = assert!(
    1 + INCARNATION_BYTES + 1 + super::place::MAX_FORM_BYTES <= MAX_KEY_BYTES,
    "every place must fit into a key"
);
const _: () =
    assert!(1 + INCARNATION_BYTES + 1 + 8 + name::MAX_FORM_BYTES <= MAX_KEY_BYTES, "every name must fit into a key");
