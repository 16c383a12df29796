//! The records of a snapshot, byte for byte.
//!
//! ```text
//! head   := version u8 ‖ replay from u64 ‖ last hlc u64 ‖ origins ‖ 256 physical database numbers
//! chunk  := shard u8 ‖ db u8 ‖ from u64 ‖ applied u64 ‖ count u32 ‖ (key ‖ deadline ‖ value)*
//! part   := db u8 ‖ first u8 ‖ key ‖ deadline ‖ value
//! key    := db u8 ‖ applied u64 ‖ key ‖ 0  or  … ‖ 1 ‖ deadline ‖ value
//! spaces := the definitions of keyspaces, see `keyspace::definition`; there is none if there never was a keyspace
//! end    := records u64 ‖ keys u64
//! ```
//! Integers of fixed width are little-endian, `key` is varint and bytes, `deadline` is zigzag unix ms (the greatest one
//! means none), `value` is a folded value. Version 1 had neither parts nor keys, version 2
//! none of the chunks that were taken after a database had been emptied.
//!
//! A part is some elements of a value that is too large for one record: what was read of it so far and these together.
//! The first one makes the key anew. A key stands for itself alone: whatever a chunk says of it, at `applied` it was
//! this, or (0) it was absent or follows in parts.

use effect::wire::{Reader, put_bytes, put_varint, put_zigzag};
use effect::{Folded, Hlc, Origin, WireError};
use wal::Position;

pub(crate) const HEAD: wal::Kind = wal::Kind::new(1).expect("1 is a kind of an owner");
pub(crate) const CHUNK: wal::Kind = wal::Kind::new(2).expect("2 is a kind of an owner");
pub(crate) const END: wal::Kind = wal::Kind::new(3).expect("3 is a kind of an owner");
pub(crate) const PART: wal::Kind = wal::Kind::new(4).expect("4 is a kind of an owner");
pub(crate) const KEY: wal::Kind = wal::Kind::new(5).expect("5 is a kind of an owner");

pub(crate) const SPACES: wal::Kind = wal::Kind::new(6).expect("6 is a kind of an owner");

/// The version that this code writes; it reads those before.
const VERSION: u8 = 3;

/// Where replay begins and what it must know there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) from: Position,
    pub(crate) last: Hlc,
    pub(crate) origins: Vec<(Origin, u64)>,
    /// Physical numbers of the 256 logical databases.
    pub(crate) dbs: Vec<u8>,
}

impl Head {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.from.get().to_le_bytes());
        out.extend_from_slice(&self.last.0.to_le_bytes());
        put_varint(out, self.origins.len() as u64);
        for (origin, next) in &self.origins {
            out.extend_from_slice(&origin.0.to_le_bytes());
            put_varint(out, *next);
        }
        out.extend_from_slice(&self.dbs);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        if !(1..=VERSION).contains(&from.u8()?) {
            return Err(WireError::Invalid { what: "snapshot version", at: 0 });
        }
        let (position, last) = (Position(from.u64()?), Hlc(from.u64()?));
        let mut origins = Vec::new();
        for _ in 0..from.varint()? {
            origins.push((Origin(from.u64()?), from.varint()?));
        }
        Ok(Self { from: position, last, origins, dbs: from.take(256)?.to_vec() })
    }
}

/// What a chunk is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkHead {
    pub(crate) shard: u8,
    pub(crate) db: u8,
    /// Where in hash space it begins.
    pub(crate) from: u64,
    /// What the shard had applied.
    pub(crate) applied: Position,
    pub(crate) count: u32,
}

impl ChunkHead {
    /// Bytes before the keys.
    const BYTES: usize = 2 + 8 + 8 + 4;

    /// Writes it in front of the keys: into the place that [`ChunkHead::reserve`] left.
    pub(crate) fn fill(&self, chunk: &mut [u8]) {
        chunk[0] = self.shard;
        chunk[1] = self.db;
        chunk[2..10].copy_from_slice(&self.from.to_le_bytes());
        chunk[10..18].copy_from_slice(&self.applied.get().to_le_bytes());
        chunk[18..Self::BYTES].copy_from_slice(&self.count.to_le_bytes());
    }

    /// Begins a chunk.
    pub(crate) fn reserve(out: &mut Vec<u8>) {
        out.clear();
        out.resize(Self::BYTES, 0);
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (shard, db, start, applied) = (from.u8()?, from.u8()?, from.u64()?, Position(from.u64()?));
        let count: [u8; 4] = from.take(4)?.try_into().expect("take returned four bytes");
        Ok(Self { shard, db, from: start, applied, count: u32::from_le_bytes(count) })
    }
}

/// Appends a key and its deadline; the value follows.
pub(crate) fn put_key(out: &mut Vec<u8>, key: &[u8], deadline: Option<i64>) {
    put_bytes(out, key);
    put_zigzag(out, deadline.unwrap_or(i64::MAX));
}

/// Reads what [`put_key`] wrote.
pub(crate) fn get_key<'a>(from: &mut Reader<'a>) -> Result<(&'a [u8], Option<i64>), WireError> {
    let key = from.bytes()?;
    Ok((key, get_deadline(from)?))
}

fn get_deadline(from: &mut Reader<'_>) -> Result<Option<i64>, WireError> {
    Ok(Some(from.zigzag()?).filter(|deadline| *deadline != i64::MAX))
}

/// Begins a part; some of the value follows.
pub(crate) fn put_part_head(out: &mut Vec<u8>, db: u8, first: bool, key: &[u8], deadline: Option<i64>) {
    out.clear();
    out.extend_from_slice(&[db, u8::from(first)]);
    put_key(out, key, deadline);
}

/// A part as it is read.
#[derive(Debug, PartialEq)]
pub(crate) struct Part<'a> {
    pub(crate) db: u8,
    pub(crate) first: bool,
    pub(crate) key: &'a [u8],
    pub(crate) deadline: Option<i64>,
    pub(crate) value: Folded<'a>,
}

impl<'a> Part<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let (db, first) = (from.u8()?, from.u8()? != 0);
        let (key, deadline) = get_key(&mut from)?;
        Ok(Self { db, first, key, deadline, value: Folded::decode(0, &mut from)? })
    }
}

/// Begins the record of one key. [`put_present`] and the value follow, or [`put_absent`].
pub(crate) fn put_owed_head(out: &mut Vec<u8>, db: u8, applied: Position, key: &[u8]) {
    out.clear();
    out.push(db);
    out.extend_from_slice(&applied.get().to_le_bytes());
    put_bytes(out, key);
}

/// The key has the value that follows.
pub(crate) fn put_present(out: &mut Vec<u8>, deadline: Option<i64>) {
    out.push(1);
    put_zigzag(out, deadline.unwrap_or(i64::MAX));
}

/// The key is absent, or its value follows in parts.
pub(crate) fn put_absent(out: &mut Vec<u8>) {
    out.push(0);
}

/// The record of one key as it is read.
#[derive(Debug, PartialEq)]
pub(crate) struct Owed<'a> {
    pub(crate) db: u8,
    pub(crate) applied: Position,
    pub(crate) key: &'a [u8],
    pub(crate) value: Option<(Option<i64>, Folded<'a>)>,
}

impl<'a> Owed<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let (db, applied, key) = (from.u8()?, Position(from.u64()?), from.bytes()?);
        let value = match from.u8()? {
            0 => None,
            1 => Some((get_deadline(&mut from)?, Folded::decode(0, &mut from)?)),
            _ => return Err(WireError::Invalid { what: "presence of a key", at: from.offset() - 1 }),
        };
        Ok(Self { db, applied, key, value })
    }
}

/// How many records and keys there were.
pub(crate) fn decode_end(bytes: &[u8]) -> Result<(u64, u64), WireError> {
    let mut from = Reader::new(bytes);
    Ok((from.u64()?, from.u64()?))
}
