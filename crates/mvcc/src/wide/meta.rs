//! Meta rows: what a user key is.
//!
//! ```text
//!   string      01 00 ‖ value
//!   collection  01 type u8 ‖ incarnation: origin u64, seq u64 ‖ length u64 ‖ by type:
//!     10 hash, 20 set, 30 zset   nothing
//!     40 list                    packed u8 (0, 1) ‖ head i64 ‖ tail i64     (integers big-endian, first byte: format version)
//!     50 stream                  last id ‖ greatest deleted id ‖ trimmed below id ‖ entries ever added u64
//! ```
//!
//! Deadlines are the store's: they stand in the row's header.

use super::element::Incarnation;
use super::error::WideError;
use super::fields::Fields;
use super::kind::META;
use super::stream::StreamId;
use crate::limits::MAX_KEY_BYTES;

const VERSION: u8 = 1;
const STRING: u8 = 0x00;
const HASH: u8 = 0x10;
const SET: u8 = 0x20;
const ZSET: u8 = 0x30;
const LIST: u8 = 0x40;
const STREAM: u8 = 0x50;
const KEY_HEADER_BYTES: usize = 10;

/// Names a meta row: a route key. Rows stand in the order of route keys, so a range of those is a range of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetaKey<'a> {
    /// The keyspace.
    pub keyspace: u16,
    /// The slot of the key.
    pub slot: u16,
    /// The physical database.
    pub db: u8,
    /// The upper half of the key's keyed hash.
    pub hash: u32,
    /// The user's key.
    pub key: &'a [u8],
}

impl<'a> MetaKey<'a> {
    /// The longest user key, in bytes, that a row can have.
    pub const MAX_USER_KEY_BYTES: usize = MAX_KEY_BYTES - KEY_HEADER_BYTES;

    /// The key of the row.
    pub fn encode(&self) -> Result<Vec<u8>, WideError> {
        let limit = Self::MAX_USER_KEY_BYTES;
        if self.key.len() > limit {
            return Err(WideError::TooLarge { what: "a key", len: self.key.len(), limit });
        }
        let mut row = Vec::with_capacity(KEY_HEADER_BYTES + self.key.len());
        row.push(META);
        row.extend_from_slice(&self.keyspace.to_be_bytes());
        row.extend_from_slice(&self.slot.to_be_bytes());
        row.push(self.db);
        row.extend_from_slice(&self.hash.to_be_bytes());
        row.extend_from_slice(self.key);
        Ok(row)
    }

    /// What a row's key names.
    pub fn parse(row: &'a [u8]) -> Result<Self, WideError> {
        let mut fields = Fields::new("the key of a meta row", row);
        if fields.u8()? != META || row.len() > MAX_KEY_BYTES {
            return Err(fields.bad("it is the key of another kind of row"));
        }
        let (keyspace, slot) = (fields.u16()?, fields.u16()?);
        let (db, hash) = (fields.u8()?, fields.u32()?);
        Ok(Self { keyspace, slot, db, hash, key: fields.rest() })
    }
}

/// What a user key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta<'a> {
    /// A string, which the row holds.
    String(&'a [u8]),
    /// A collection, which has rows of its own.
    Collection {
        /// Which life of it; its rows are named by this.
        incarnation: Incarnation,
        /// How many elements it has, without the length deltas that are not folded.
        len: u64,
        /// What else is known of it.
        body: Body,
    },
}

/// What a collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Fields and values.
    Hash,
    /// Members.
    Set,
    /// Members with scores.
    Zset,
    /// Items in an order.
    List(ListMeta),
    /// Entries by id.
    Stream(StreamMeta),
}

/// The ends of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// Whether its places are packed.
    pub packed: bool,
    /// The number of its first item; stays when the list is empty, so that numbers are not used twice.
    pub head: i64,
    /// The number behind its last item.
    pub tail: i64,
}

/// What a stream remembers besides its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamMeta {
    /// The id of the last entry ever added, also when it is gone.
    pub last: StreamId,
    /// The greatest id that was deleted.
    pub max_deleted: StreamId,
    /// Everything below has been trimmed: where a scan may begin.
    pub trimmed_below: StreamId,
    /// How many entries were ever added.
    pub added: u64,
}

impl<'a> Meta<'a> {
    /// The value of the row.
    pub fn encode(&self) -> Vec<u8> {
        let (incarnation, len, body) = match self {
            Self::String(value) => return [&[VERSION, STRING], *value].concat(),
            Self::Collection { incarnation, len, body } => (incarnation, len, body),
        };
        let mut row = Vec::with_capacity(96);
        row.push(VERSION);
        row.push(match body {
            Body::Hash => HASH,
            Body::Set => SET,
            Body::Zset => ZSET,
            Body::List(_) => LIST,
            Body::Stream(_) => STREAM,
        });
        incarnation.encode(&mut row);
        row.extend_from_slice(&len.to_be_bytes());
        match body {
            Body::Hash | Body::Set | Body::Zset => {}
            Body::List(list) => {
                row.push(u8::from(list.packed));
                row.extend_from_slice(&list.head.to_be_bytes());
                row.extend_from_slice(&list.tail.to_be_bytes());
            }
            Body::Stream(stream) => {
                for id in [stream.last, stream.max_deleted, stream.trimmed_below] {
                    id.encode(&mut row);
                }
                row.extend_from_slice(&stream.added.to_be_bytes());
            }
        }
        row
    }

    /// What the value of a row says.
    pub fn decode(row: &'a [u8]) -> Result<Self, WideError> {
        let mut fields = Fields::new("a meta row", row);
        if fields.u8()? != VERSION {
            return Err(fields.bad("its version is not known to this program"));
        }
        let kind = fields.u8()?;
        if kind == STRING {
            return Ok(Self::String(fields.rest()));
        }
        let incarnation = Incarnation::read(&mut fields)?;
        let len = fields.u64()?;
        let body = match kind {
            HASH => Body::Hash,
            SET => Body::Set,
            ZSET => Body::Zset,
            LIST => Body::List(read_list(&mut fields, len)?),
            STREAM => Body::Stream(StreamMeta {
                last: StreamId::read(&mut fields)?,
                max_deleted: StreamId::read(&mut fields)?,
                trimmed_below: StreamId::read(&mut fields)?,
                added: fields.u64()?,
            }),
            _ => return Err(fields.bad("its type is not known to this program")),
        };
        fields.done()?;
        Ok(Self::Collection { incarnation, len, body })
    }
}

fn read_list(fields: &mut Fields<'_>, len: u64) -> Result<ListMeta, WideError> {
    let packed = match fields.u8()? {
        0 => false,
        1 => true,
        _ => return Err(fields.bad("a flag is neither yes nor no")),
    };
    let (head, tail) = (fields.i64()?, fields.i64()?);
    // Between the ends there may be holes of removed items, but never more items than numbers.
    if packed && tail.checked_sub(head).is_none_or(|room| room < 0 || (room as u64) < len) {
        return Err(fields.bad("a list has more items than places"));
    }
    Ok(ListMeta { packed, head, tail })
}
