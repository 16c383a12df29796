//! What a checkpoint must know beside the keys: where the log goes on, and what of the rows is dead.
//!
//! ```text
//!   30 01                    →  version u8 ‖ replay from u64 ‖ last hlc u64 ‖ last incarnation u64 ‖ origins
//!                               ‖ 256 physical database numbers              (integers little-endian, origins: count varint,
//!   30 02                    →  definitions, see `keyspace::definition`                     each origin u64 ‖ next varint)
//!   30 03 db u8              →  commit u64: what the physical database had at rest then, or before, is dead
//!   30 04 incarnation u64 BE →  nothing: this large value is dead
//!   30 05                    →  how many keys there are: base i64, unix ms ‖ count varint ‖ of each shard and physical database
//!                               that has any: shard u8 ‖ db u8 ‖ flags u8 (bit 0: some may have rows of their own) ‖ keys varint
//!                               ‖ with deadlines varint ‖ their sum relative to the base i64. Not there where there are keyspaces: their keys are counted at the start
//!   30 06                    →  keyspaces of the group, see `effect::GroupKeyspaces`; not there if there are none
//! ```
//! They come behind all other rows, because a run learns only on its way what it replaces.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use effect::wire::{Reader, put_varint};
use effect::{GroupKeyspaces, Hlc, Origin, WireError};
use mvcc::{RunWriter, Span, Timestamp, Version};
use wal::Position;

use super::store::Rows;
use crate::keyspace::Saved;
use crate::limits::DATABASES_MAX;

/// The first byte of these rows' keys.
const BOOKS: u8 = 0x30;
const HEAD: u8 = 1;
const SPACES: u8 = 2;
const EMPTIED: u8 = 3;
const DEAD: u8 = 4;
const COUNTS: u8 = 5;
const GROUP_SPACES: u8 = 6;

const VERSION: u8 = 1;

/// Where replay begins and what it must know there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) from: Position,
    pub(crate) last: Hlc,
    /// The number of the last incarnation that was given.
    pub(crate) incarnation: u64,
    /// The next numbers of all origins under which this node wrote.
    pub(crate) origins: Vec<(Origin, u64)>,
    /// Physical numbers of the 256 logical databases.
    pub(crate) dbs: Vec<u8>,
}

impl Default for Head {
    fn default() -> Self {
        Self { from: Position::START, last: Hlc(0), incarnation: 0, origins: Vec::new(), dbs: Vec::new() }
    }
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.from.get().to_le_bytes());
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        put_varint(&mut out, self.origins.len() as u64);
        for (origin, next) in &self.origins {
            out.extend_from_slice(&origin.0.to_le_bytes());
            put_varint(&mut out, *next);
        }
        out.extend_from_slice(&self.dbs);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        if from.u8()? != VERSION {
            return Err(WireError::Invalid { what: "version of a checkpoint", at: 0 });
        }
        let (position, last, incarnation) = (Position(from.u64()?), Hlc(from.u64()?), from.u64()?);
        let mut origins = Vec::new();
        for _ in 0..from.varint()? {
            origins.push((Origin(from.u64()?), from.varint()?));
        }
        Ok(Self { from: position, last, incarnation, origins, dbs: from.take(DATABASES_MAX)?.to_vec() })
    }
}

/// How many keys each database of each shard has.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tallies {
    /// What deadlines are added up relative to, unix ms.
    pub(crate) base_ms: i64,
    pub(crate) parts: Vec<Tally>,
}

/// How many keys one database of one shard has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) shard: u8,
    pub(crate) db: u8,
    pub(crate) keys: u64,
    /// Those with a deadline.
    pub(crate) volatile: u64,
    /// The sum of their deadlines.
    pub(crate) due: i64,
    /// Some may have rows of their own.
    pub(crate) large: bool,
}

impl Tallies {
    fn encode(&self) -> Vec<u8> {
        let mut out = self.base_ms.to_le_bytes().to_vec();
        put_varint(&mut out, self.parts.len() as u64);
        for Tally { shard, db, keys, volatile, due, large } in &self.parts {
            out.extend_from_slice(&[*shard, *db, u8::from(*large)]);
            put_varint(&mut out, *keys);
            put_varint(&mut out, *volatile);
            out.extend_from_slice(&due.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let base_ms = from.u64()? as i64;
        let mut parts = Vec::new();
        for _ in 0..from.varint()? {
            let (shard, db, large) = (from.u8()?, from.u8()?, from.u8()? & 1 != 0);
            let (keys, volatile) = (from.varint()?, from.varint()?);
            parts.push(Tally { shard, db, keys, volatile, due: from.u64()? as i64, large });
        }
        Ok(Self { base_ms, parts })
    }
}

/// All of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) head: Head,
    pub(crate) spaces: Option<Saved>,
    /// By physical database: what was committed up to then is dead.
    pub(crate) emptied: Vec<(u8, Timestamp)>,
    pub(crate) dead: Vec<u64>,
    /// How many keys there are, if that was counted.
    pub(crate) tallies: Option<Tallies>,
    pub(crate) group_spaces: GroupKeyspaces,
}

/// What a run changes of the books, in the order of the rows.
pub(super) struct Changed<'a> {
    pub(super) head: &'a Head,
    pub(super) spaces: Option<&'a [u8]>,
    /// By physical database: what was committed up to then is dead; `None`: no row of it is left.
    pub(super) emptied: &'a BTreeMap<u8, Option<Timestamp>>,
    /// Ascending: incarnations, and whether they are dead from now on or can be forgotten.
    pub(super) dead: &'a [(u64, bool)],
    pub(super) tallies: Option<&'a Tallies>,
    /// `None`: there are none.
    pub(super) group_spaces: Option<&'a [u8]>,
}

impl Changed<'_> {
    /// Puts the rows; answers their bytes.
    pub(super) fn write(&self, run: &mut RunWriter<'_>) -> mvcc::Result<()> {
        run.put(&[BOOKS, HEAD], None, &[&self.head.encode()])?;
        if let Some(spaces) = self.spaces {
            run.put(&[BOOKS, SPACES], None, &[spaces])?;
        }
        for (db, commit) in self.emptied {
            let key = [BOOKS, EMPTIED, *db];
            match commit {
                Some(commit) => run.put(&key, None, &[&commit.0.to_le_bytes()])?,
                None => run.remove(&key)?,
            }
        }
        for (incarnation, dead) in self.dead {
            let key = [&[BOOKS, DEAD][..], &incarnation.to_be_bytes()].concat();
            match dead {
                true => run.put(&key, None, &[])?,
                false => run.remove(&key)?,
            }
        }
        match self.tallies {
            Some(tallies) => run.put(&[BOOKS, COUNTS], None, &[&tallies.encode()])?,
            None => run.remove(&[BOOKS, COUNTS])?,
        }
        match self.group_spaces {
            Some(spaces) => run.put(&[BOOKS, GROUP_SPACES], None, &[spaces]),
            None => run.remove(&[BOOKS, GROUP_SPACES]),
        }
    }
}

impl Books {
    /// Reads the books; `None` if no checkpoint has come into force. Fails with what is wrong with a row.
    pub(crate) fn read(rows: &Rows) -> mvcc::Result<Result<Option<Self>, String>> {
        let mut books = Self::default();
        let mut found = false;
        let span = Span::new(&[BOOKS], &[BOOKS + 1]);
        let flow = rows.store.for_each(span, Timestamp::LATEST, |key, Version { value, .. }| {
            found |= key == [BOOKS, HEAD];
            match books.add(key, &value) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(format!("a row of its bookkeeping: {error}")),
            }
        })?;
        Ok(match flow {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) if found => Ok(Some(books)),
            ControlFlow::Continue(()) if books == Self::default() => Ok(None),
            ControlFlow::Continue(()) => Err("the row that says where the log goes on is missing".into()),
        })
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), WireError> {
        match *key {
            [_, COUNTS] => self.tallies = Some(Tallies::decode(value)?),
            [_, HEAD] => self.head = Head::decode(value)?,
            [_, GROUP_SPACES] => self.group_spaces = GroupKeyspaces::decode(value)?,
            [_, SPACES] => self.spaces = Some(Saved::decode(value)?),
            [_, EMPTIED, db] => self.emptied.push((db, Timestamp(Reader::new(value).u64()?))),
            [_, DEAD, ref number @ ..] => {
                let invalid = |_| WireError::Invalid { what: "incarnation", at: 2 };
                self.dead.push(u64::from_be_bytes(number.try_into().map_err(invalid)?));
            }
            _ => return Err(WireError::Invalid { what: "kind of bookkeeping", at: 1 }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tallies_are_these_bytes() {
        let tally = Tally { shard: 255, db: 3, keys: 300, volatile: 1, due: -2, large: true };
        let tallies = Tallies { base_ms: 258, parts: vec![tally] };
        let bytes = tallies.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0201000000000000 01 ff0301 ac02 01 feffffffffffffff".replace(' ', ""));
        assert_eq!(Tallies::decode(&bytes), Ok(tallies));
        assert!((0..bytes.len()).all(|len| Tallies::decode(&bytes[..len]).is_err()), "a cut row is refused");
    }

    #[test]
    fn the_head_is_these_bytes() {
        let dbs: Vec<u8> = (0..=255).collect();
        let origins = vec![(Origin::new(0x1122_3344_5566, 7), 300)];
        let head = Head { from: Position(77), last: Hlc(9), incarnation: 258, origins, dbs };
        let bytes = head.encode();
        let hex: String = bytes[..37].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "014d00000000000000090000000000000002010000000000000107006655443322 11ac0200".replace(' ', ""));
        assert_eq!(Head::decode(&bytes), Ok(head));
        assert!((0..bytes.len()).all(|len| Head::decode(&bytes[..len]).is_err()), "a cut row is refused");
    }
}
