//! One key as a row, and a row as a key again.

use effect::{Folded, Kind, Part, wire};
use mvcc::wide::{Body, Incarnation, Meta, MetaKey, Shape, WideError};

use crate::changes::Hold;
use crate::digest::fold;
use crate::engine::Shared;
use crate::limits::{CHECKPOINT_WHOLE_BYTES, CHECKPOINT_WHOLE_ELEMENTS};
use crate::shard::{ShardId, weight};
use crate::value::Entry;

/// Every key is of the default keyspace: what others hold is not logged.
const KEYSPACE: u16 = effect::KeyspaceId::DEFAULT.0;

/// Whether a value is too large to be taken under one hold of its lock.
pub(crate) fn is_large(entry: &Entry) -> bool {
    let is_much = || weight(entry) > CHECKPOINT_WHOLE_ELEMENTS || entry.memory_bytes() > CHECKPOINT_WHOLE_BYTES;
    // What is away cannot be taken at all.
    matches!(entry, Entry::Big(..)) && (is_much() || entry.is_partly_away())
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
pub(super) fn encode_large(deadline: Option<i64>, hold: Hold, out: &mut Vec<u8>) {
    let Hold { incarnation, len, shape } = hold;
    let body = Body::Collection { incarnation: Incarnation(incarnation), len, shape };
    Meta { deadline, body }.encode_head(out);
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
    Large(Large),
}

/// A large value, which has a row for each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Large {
    pub(crate) incarnation: u64,
    pub(crate) kind: Kind,
    /// How many elements; bytes, if it is a string.
    pub(crate) len: u64,
}

fn kind_of(shape: Shape) -> Option<Kind> {
    match shape {
        Shape::Text => Some(Kind::String),
        Shape::Hash => Some(Kind::Hash),
        Shape::Set => Some(Kind::Set),
        Shape::Zset => Some(Kind::ZSet),
        Shape::List(_) => Some(Kind::List),
        Shape::Stream(_) => None,
    }
}

impl<'a> Row<'a> {
    /// Reads a row.
    pub(crate) fn parse(key: &'a [u8], row: &'a [u8]) -> Result<Self, String> {
        let (meta, bytes) = MetaKey::parse(key, row).map_err(told)?;
        let Meta { deadline, body } = Meta::decode(bytes).map_err(told)?;
        let value = match body {
            Body::String(bytes) => Value::String(bytes),
            Body::Small(bytes) => Value::Small(folded(bytes)?),
            Body::Collection { incarnation, len, shape } => {
                let kind = kind_of(shape).ok_or("it is a stream, which this version does not write")?;
                Value::Large(Large { incarnation: incarnation.0, kind, len })
            }
        };
        if meta.keyspace != KEYSPACE {
            return Err(format!("it is of keyspace {}, which has nothing at rest", meta.keyspace));
        }
        Ok(Self { meta, deadline, value })
    }

    /// The type of the value.
    pub(crate) fn kind(&self) -> Kind {
        match &self.value {
            Value::String(_) => Kind::String,
            Value::Small(folded) => folded.kind(),
            Value::Large(of) => of.kind,
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

pub(super) fn told(error: WideError) -> String {
    error.to_string()
}
