//! One key as a row, and a row as a key again.

use effect::{Folded, Kind, Part, wire};
use mvcc::wide::{Body, Element, Incarnation, Meta, MetaKey, WideError};

use crate::digest::fold;
use crate::engine::Shared;
use crate::limits::{CHECKPOINT_WHOLE_BYTES, CHECKPOINT_WHOLE_ELEMENTS};
use crate::shard::{ShardId, weight};
use crate::value::Entry;

/// Every key is of the default keyspace: what others hold is not logged.
const KEYSPACE: u16 = effect::KeyspaceId::DEFAULT.0;

/// Whether a value is too large to be taken under one hold of its lock.
pub(crate) fn is_large(entry: &Entry) -> bool {
    matches!(entry, Entry::Big(..))
        && (weight(entry) > CHECKPOINT_WHOLE_ELEMENTS || entry.memory_bytes() > CHECKPOINT_WHOLE_BYTES)
}

/// The name of a key's row, by where the key stands.
pub(crate) fn meta_key(shard: ShardId, order: u64, db: u8, key: &[u8]) -> MetaKey<'_> {
    let slot = u16::from(shard.0) << 6 | (order >> 58) as u16;
    MetaKey { keyspace: KEYSPACE, slot, db, hash: (order >> 26) as u32, key }
}

/// Appends what the row of a small value says, whether its time is over or not.
pub(crate) fn encode_row(entry: &Entry, out: &mut Vec<u8>) {
    let deadline = entry.deadline();
    if let Some(bytes) = entry.bytes() {
        Meta { deadline, body: Body::String(&[]) }.encode_head(out);
        out.extend_from_slice(bytes);
    } else {
        Meta { deadline, body: Body::Small(&[]) }.encode_head(out);
        fold(entry, 0, i64::MIN, out);
    }
}

/// Appends what the row of a large value says.
pub(super) fn encode_large(deadline: Option<i64>, incarnation: u64, out: &mut Vec<u8>) {
    Meta { deadline, body: Body::Pieces(Incarnation(incarnation)) }.encode_head(out);
}

/// A key as its row has it.
pub(crate) struct Row<'a> {
    pub(crate) meta: MetaKey<'a>,
    pub(crate) deadline: Option<i64>,
    pub(crate) value: Value<'a>,
}

/// The value of a key, or where it is.
pub(crate) enum Value<'a> {
    String(&'a [u8]),
    Small(Folded<'a>),
    Pieces(u64),
}

impl<'a> Row<'a> {
    /// Reads a row.
    pub(crate) fn parse(key: &'a [u8], row: &'a [u8]) -> Result<Self, String> {
        let (meta, bytes) = MetaKey::parse(key, row).map_err(told)?;
        let Meta { deadline, body } = Meta::decode(bytes).map_err(told)?;
        let value = match body {
            Body::String(bytes) => Value::String(bytes),
            Body::Small(bytes) => Value::Small(folded(bytes)?),
            Body::Pieces(incarnation) => Value::Pieces(incarnation.0),
            Body::Collection { .. } => {
                return Err("it is a collection in rows, which this version does not write".into());
            }
        };
        if meta.keyspace != KEYSPACE {
            return Err(format!("it is of keyspace {}, which has nothing at rest", meta.keyspace));
        }
        Ok(Self { meta, deadline, value })
    }

    /// The type of the value, if the row says it.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match &self.value {
            Value::String(_) => Some(Kind::String),
            Value::Small(folded) => Some(folded.kind()),
            Value::Pieces(_) => None,
        }
    }

    /// Whether the time of the key, or of one of its fields, may be over.
    pub(crate) fn may_have_expired(&self, now_ms: i64) -> bool {
        let of_key = self.deadline.is_some_and(|deadline| deadline <= now_ms);
        of_key
            || matches!(&self.value, Value::Small(folded) if folded.kind() == Kind::Hash && has_expired(folded, now_ms))
    }

    /// Whether it is the row of its key, in a database with this seed.
    pub(crate) fn is_in_place(&self, shared: &Shared) -> bool {
        let place = shared.place_of(self.meta.key);
        meta_key(place.shard, place.order, self.meta.db, self.meta.key) == self.meta
    }
}

/// A piece of a large value as its row has it.
pub(crate) struct Piece<'a> {
    pub(crate) incarnation: u64,
    pub(crate) number: u32,
    pub(crate) value: Folded<'a>,
}

impl<'a> Piece<'a> {
    /// Reads a row.
    pub(crate) fn parse(key: &'a [u8], row: &'a [u8]) -> Result<Self, String> {
        match Element::parse(key, row).map_err(told)? {
            (of, Element::Piece(number), bytes) => Ok(Self { incarnation: of.0, number, value: folded(bytes)? }),
            _ => Err("it is a part of a collection in rows, which this version does not write".into()),
        }
    }
}

fn has_expired(hash: &Folded<'_>, now_ms: i64) -> bool {
    let mut expired = false;
    hash.for_each(|part| {
        expired |= matches!(part, Part::Field { deadline: Some(deadline), .. } if deadline <= now_ms);
    });
    expired
}

fn folded(bytes: &[u8]) -> Result<Folded<'_>, String> {
    let mut from = wire::Reader::new(bytes);
    let value = Folded::decode(0, &mut from).map_err(|error| error.to_string())?;
    if from.offset() < bytes.len() {
        return Err("bytes follow its value".into());
    }
    Ok(value)
}

fn told(error: WideError) -> String {
    error.to_string()
}
