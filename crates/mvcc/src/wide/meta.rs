//! Meta rows: what a user key is.
//!
//! ```text
//!   01 ‖ type u8 ‖ flags u8: bit 0 a deadline follows ‖ deadline i64, Unix ms (bit 0 only) ‖ by type:
//!     00 string     value                                                    (integers big-endian, first byte: format version)
//!     02 small      a value folded into bytes, which the owner can read
//!     04 text       incarnation u64 ‖ length u64             a string in blocks; its length is in bytes
//!     10 hash       incarnation u64 ‖ length u64
//!     20 set        incarnation u64 ‖ length u64
//!     30 zset       incarnation u64 ‖ length u64
//!     40 list       incarnation u64 ‖ length u64 ‖ packed u8 (0, 1) ‖ head i64 ‖ tail i64
//!     50 stream     incarnation u64 ‖ length u64 ‖ last id ‖ greatest deleted id ‖ trimmed below id ‖ entries ever added u64
//! ```
//!
//! The deadline is the exact one. The store has one too, in the header of the row: that one is a timestamp, which cannot
//! say every number of milliseconds, and is a hint for collecting the row.

use super::element::Incarnation;
use super::error::WideError;
use super::fields::{Fields, encode_deadline};
use super::kind::META;
use super::name;
use super::stream::StreamId;

const VERSION: u8 = 1;
const STRING: u8 = 0x00;
const SMALL: u8 = 0x02;
const TEXT: u8 = 0x04;
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
    /// The key of the row.
    pub fn key(&self) -> Result<Vec<u8>, WideError> {
        let mut row = Vec::with_capacity(KEY_HEADER_BYTES + self.key.len().min(name::MAX_FORM_BYTES));
        self.encode_key(&mut row)?;
        Ok(row)
    }

    /// Puts the key of the row in the place of what `row` holds.
    pub fn encode_key(&self, row: &mut Vec<u8>) -> Result<(), WideError> {
        row.clear();
        row.push(META);
        row.extend_from_slice(&self.keyspace.to_be_bytes());
        row.extend_from_slice(&self.slot.to_be_bytes());
        row.push(self.db);
        row.extend_from_slice(&self.hash.to_be_bytes());
        name::encode(self.key, row)
    }

    /// Appends what the row's value begins with: a user key that does not fit into the row's key. The [`Meta`] follows.
    pub fn encode_head(&self, value: &mut Vec<u8>) {
        name::encode_head(self.key, value);
    }

    /// What a row names, and the bytes of its [`Meta`].
    pub fn parse(row: &'a [u8], value: &'a [u8]) -> Result<(Self, &'a [u8]), WideError> {
        let mut fields = Fields::new("the key of a meta row", row);
        let mut value = Fields::new("a meta row", value);
        if fields.u8()? != META {
            return Err(fields.bad("it is the key of another kind of row"));
        }
        let (keyspace, slot) = (fields.u16()?, fields.u16()?);
        let (db, hash) = (fields.u8()?, fields.u32()?);
        let key = name::parse(fields.rest(), &mut value)?;
        Ok((Self { keyspace, slot, db, hash, key }, value.rest()))
    }

    /// The keyspace and the database of a row, by the row's key; `None` for rows that are no meta rows. It looks at
    /// nothing else, so that whoever decides about whole databases can ask it for every row.
    pub fn database(row: &[u8]) -> Option<(u16, u8)> {
        match *row {
            [META, a, b, _, _, db, _, _, _, _, ..] => Some((u16::from_be_bytes([a, b]), db)),
            _ => None,
        }
    }
}

/// What a user key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    /// When the key expires, in Unix milliseconds.
    pub deadline: Option<i64>,
    /// Its value, or where that is.
    pub body: Body<'a>,
}

/// The value of a user key, or where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// A string.
    String(&'a [u8]),
    /// A value of any type that its owner has folded into bytes.
    Small(&'a [u8]),
    /// A collection, or a string in blocks, which has rows of its own.
    Collection {
        /// Which life of it; its rows are named by this.
        incarnation: Incarnation,
        /// How many elements it has, without the length deltas that are not folded; of a string, how many bytes.
        len: u64,
        /// What else is known of it.
        shape: Shape,
    },
}

/// What a collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Bytes.
    Text,
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

impl Body<'_> {
    fn type_byte(&self) -> u8 {
        match self {
            Self::String(_) => STRING,
            Self::Small(_) => SMALL,
            Self::Collection { shape, .. } => match shape {
                Shape::Text => TEXT,
                Shape::Hash => HASH,
                Shape::Set => SET,
                Shape::Zset => ZSET,
                Shape::List(_) => LIST,
                Shape::Stream(_) => STREAM,
            },
        }
    }
}

impl Shape {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text | Self::Hash | Self::Set | Self::Zset => {}
            Self::List(list) => {
                out.push(u8::from(list.packed));
                out.extend_from_slice(&list.head.to_be_bytes());
                out.extend_from_slice(&list.tail.to_be_bytes());
            }
            Self::Stream(stream) => {
                for id in [stream.last, stream.max_deleted, stream.trimmed_below] {
                    id.encode(out);
                }
                out.extend_from_slice(&stream.added.to_be_bytes());
            }
        }
    }

    fn read(fields: &mut Fields<'_>, kind: u8, len: u64) -> Result<Self, WideError> {
        Ok(match kind {
            TEXT => Self::Text,
            HASH => Self::Hash,
            SET => Self::Set,
            ZSET => Self::Zset,
            LIST => Self::List(read_list(fields, len)?),
            STREAM => Self::Stream(StreamMeta {
                last: StreamId::read(fields)?,
                max_deleted: StreamId::read(fields)?,
                trimmed_below: StreamId::read(fields)?,
                added: fields.u64()?,
            }),
            _ => return Err(fields.bad("its type is not known to this program")),
        })
    }
}

impl<'a> Meta<'a> {
    /// The bytes of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        let rest = self.encode_head(&mut out);
        out.extend_from_slice(rest);
        out
    }

    /// Appends what stands in front of the value, which is answered: what follows need not be copied.
    pub fn encode_head(&self, out: &mut Vec<u8>) -> &'a [u8] {
        out.extend_from_slice(&[VERSION, self.body.type_byte()]);
        encode_deadline(self.deadline, out);
        match self.body {
            Body::String(value) | Body::Small(value) => value,
            Body::Collection { incarnation, len, shape } => {
                out.extend_from_slice(&incarnation.0.to_be_bytes());
                out.extend_from_slice(&len.to_be_bytes());
                shape.encode(out);
                &[]
            }
        }
    }

    /// What the bytes say.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WideError> {
        let mut fields = Fields::new("a meta row", bytes);
        if fields.u8()? != VERSION {
            return Err(fields.bad("its version is not known to this program"));
        }
        let kind = fields.u8()?;
        let deadline = fields.deadline()?;
        let body = match kind {
            STRING => Body::String(fields.rest()),
            SMALL => Body::Small(fields.rest()),
            _ => {
                let (incarnation, len) = (Incarnation(fields.u64()?), fields.u64()?);
                Body::Collection { incarnation, len, shape: Shape::read(&mut fields, kind, len)? }
            }
        };
        fields.done()?;
        Ok(Self { deadline, body })
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
