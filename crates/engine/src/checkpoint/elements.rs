//! One element of a large value as a row, and a row as an element again.

use effect::{Kind, ListPos, PathStep};
use mvcc::wide::{Element, FieldValue, Place, Score, Step, WideError};

use super::rows::told;
use crate::value::wide::{Content, RowKey};

/// What the row of an element is called, in a value of this kind.
pub(super) fn element_of<'a>(kind: Kind, key: &RowKey<'a>) -> Result<Element<'a>, WideError> {
    Ok(match *key {
        RowKey::Hashed { hash, name } => match kind {
            Kind::Hash => Element::HashField { hash, field: name },
            Kind::ZSet => Element::ZsetMember { hash, member: name },
            Kind::Set | Kind::String | Kind::List => Element::SetMember { hash, member: name },
        },
        RowKey::Scored { score, member } => Element::ZsetScore { score: Score::new(score)?, member },
        RowKey::Placed(ref pos) => Element::ListItem(place_of(pos)),
        RowKey::Block(number) => Element::StringBlock(number as u32),
        RowKey::Fences(number) => match kind {
            Kind::List => Element::ListFences(number),
            Kind::ZSet => Element::ZsetFences(number),
            Kind::Hash | Kind::Set | Kind::String => Element::HashDeadlines,
        },
    })
}

/// What the row of a member by score says if the score is a negative zero: both zeros are one in the order.
const NEGATIVE: u8 = 1;

/// Appends what the row says, behind the name that may stand in front of it.
pub(super) fn encode_content(key: &RowKey<'_>, content: Content<'_>, out: &mut Vec<u8>) -> Result<(), WideError> {
    match content {
        Content::Nothing if is_negative_zero(key) => out.push(NEGATIVE),
        Content::Nothing => {}
        Content::Field(value, deadline) => {
            let value = FieldValue { deadline, value }.encode_head(out);
            out.extend_from_slice(value);
        }
        Content::Score(score) => out.extend_from_slice(&Score::new(score)?.encode()),
        Content::Bytes(bytes) => out.extend_from_slice(bytes),
    }
    Ok(())
}

fn is_negative_zero(key: &RowKey<'_>) -> bool {
    matches!(key, RowKey::Scored { score, .. } if *score == 0.0 && score.is_sign_negative())
}

/// A row of a large value.
pub(crate) struct Part<'a> {
    pub(crate) incarnation: u64,
    pub(crate) kind: Kind,
    pub(crate) key: RowKey<'a>,
    pub(crate) content: Content<'a>,
}

impl<'a> Part<'a> {
    /// Reads a row.
    pub(crate) fn parse(key: &'a [u8], row: &'a [u8]) -> Result<Self, String> {
        let (of, element, content) = Element::parse(key, row).map_err(told)?;
        let nothing = |content: &[u8]| match content {
            [] => Ok(Content::Nothing),
            _ => Err("bytes follow its name"),
        };
        let (kind, key, content) = match element {
            Element::HashField { hash, field } => {
                let FieldValue { deadline, value } = FieldValue::decode(content).map_err(told)?;
                (Kind::Hash, RowKey::Hashed { hash, name: field }, Content::Field(value, deadline))
            }
            Element::SetMember { hash, member } => {
                (Kind::Set, RowKey::Hashed { hash, name: member }, nothing(content)?)
            }
            Element::ZsetMember { hash, member } => {
                let score = Score::decode(content).map_err(told)?;
                (Kind::ZSet, RowKey::Hashed { hash, name: member }, Content::Score(score.get()))
            }
            Element::ZsetScore { score, member } if score.get() == 0.0 && content == [NEGATIVE] => {
                (Kind::ZSet, RowKey::Scored { score: -0.0, member }, Content::Nothing)
            }
            Element::ZsetScore { score, member } => {
                (Kind::ZSet, RowKey::Scored { score: score.get(), member }, nothing(content)?)
            }
            Element::ListItem(place) => (Kind::List, RowKey::Placed(pos_of(place)?), Content::Bytes(content)),
            Element::StringBlock(number) => (Kind::String, RowKey::Block(number.into()), Content::Bytes(content)),
            Element::HashDeadlines => (Kind::Hash, RowKey::Fences(0), Content::Bytes(content)),
            Element::ZsetFences(number) => (Kind::ZSet, RowKey::Fences(number), Content::Bytes(content)),
            Element::ListFences(number) => (Kind::List, RowKey::Fences(number), Content::Bytes(content)),
            Element::LengthDelta { .. } | Element::ListClaim(_) | Element::StreamEntry(_) => {
                return Err("this version does not write such rows".into());
            }
        };
        Ok(Self { incarnation: of.0, kind, key, content })
    }
}

pub(crate) fn place_of(pos: &ListPos) -> Place {
    let step = |PathStep { digit, origin }: &PathStep| Step { digit: *digit, origin: *origin };
    Place::Full { epoch: pos.epoch, origin: pos.origin, n: pos.n, path: pos.path.iter().map(step).collect() }
}

fn pos_of(place: Place) -> Result<ListPos, String> {
    let Place::Full { epoch, origin, n, path } = place else { return Err("its place is a short one".into()) };
    let step = |Step { digit, origin }: Step| PathStep { digit, origin };
    Ok(ListPos { path: path.into_iter().map(step).collect(), ..ListPos::new(epoch, origin, n) })
}
