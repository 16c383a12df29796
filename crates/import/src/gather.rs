//! Puts the parts of values together: small values whole, large collections in pieces.

use std::hash::BuildHasher;
use std::ops::Range;

use effect::wire::{put_bytes, varint_len};
use effect::{FoldedWriter, Kind, ListPos, Origin};
use hashbrown::{DefaultHashBuilder, HashSet};
use rdb::{Part, Sink, Unique};

use crate::chunk::{Chunk, Entry, Stage};
use crate::limits::PIECE_BYTES;

/// Takes a chunk and gives an empty one. An error of its own it keeps; here it is only told that it wants no more.
pub(crate) type Give<'g> = &'g mut dyn FnMut(&mut Chunk) -> Result<(), rdb::Error>;

/// What came of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    /// It had elements, and all of them had expired.
    Expired,
    /// It had no elements.
    Empty,
}

/// See the module.
pub(crate) struct Gather<'g> {
    give: Give<'g>,
    origin: Origin,
    now_ms: i64,
    chunk: Chunk,
    /// Hashes of the chunk's keys: one that comes again begins a new chunk, so that it is seen to exist.
    keys: HashSet<u64>,
    hasher: DefaultHashBuilder,
    unique: Unique,
    /// Fields that had expired, of all values.
    pub(crate) expired_fields: u64,
    /// A member that was there twice made it stop.
    pub(crate) is_twice: bool,
    value: Gathered,
}

/// The value that is being put together.
struct Gathered {
    db: u8,
    kind: Kind,
    key: Vec<u8>,
    deadline: Option<i64>,
    /// The parts of the current piece, and where their names stand in it.
    body: Vec<u8>,
    names: Vec<Range<usize>>,
    count: usize,
    /// Elements of the pieces before it.
    before: u64,
    has_deadlines: bool,
    has_expired: bool,
    is_string: bool,
}

impl<'g> Gather<'g> {
    pub(crate) fn new(origin: Origin, now_ms: i64, give: Give<'g>) -> Self {
        Self {
            give,
            origin,
            now_ms,
            chunk: Chunk::default(),
            keys: HashSet::new(),
            hasher: DefaultHashBuilder::default(),
            unique: Unique::default(),
            expired_fields: 0,
            is_twice: false,
            value: Gathered {
                db: 0,
                kind: Kind::String,
                key: Vec::new(),
                deadline: None,
                body: Vec::new(),
                names: Vec::new(),
                count: 0,
                before: 0,
                has_deadlines: false,
                has_expired: false,
                is_string: false,
            },
        }
    }

    /// Begins a value.
    pub(crate) fn begin(&mut self, db: u8, kind: Kind, key: &[u8], deadline: Option<i64>) -> Result<(), rdb::Error> {
        if self.chunk.is_full() || !self.keys.insert(self.hasher.hash_one((db, key))) {
            self.flush()?;
            self.keys.insert(self.hasher.hash_one((db, key)));
        }
        let value = &mut self.value;
        (value.db, value.kind, value.deadline) = (db, kind, deadline);
        (value.count, value.before) = (0, 0);
        (value.has_deadlines, value.has_expired, value.is_string) = (false, false, false);
        value.key.clear();
        value.key.extend_from_slice(key);
        value.body.clear();
        value.names.clear();
        Ok(())
    }

    /// Ends it; `offset` is where in the file that is.
    pub(crate) fn end(&mut self, offset: u64) -> Result<Outcome, rdb::Error> {
        let value = &self.value;
        if value.is_string {
            // It stands in the chunk already.
            self.chunk.entries.last_mut().expect("the string's entry was made with it").offset = offset;
            return Ok(Outcome::Taken);
        }
        match (value.before, value.count) {
            (0, 0) if value.has_expired => return Ok(Outcome::Expired),
            (0, 0) => return Ok(Outcome::Empty),
            (0, _) => self.piece(Stage::Whole, offset)?,
            (before, count) => {
                let total = before + count as u64;
                let countable = value.kind != Kind::List && !value.has_deadlines;
                self.piece(Stage::Last(countable.then_some(total)), offset)?;
                self.flush()?;
            }
        }
        Ok(Outcome::Taken)
    }

    /// Hands the chunk on, if there is anything in it.
    pub(crate) fn flush(&mut self) -> Result<(), rdb::Error> {
        self.keys.clear();
        if self.chunk.entries.is_empty() {
            return Ok(());
        }
        (self.give)(&mut self.chunk)
    }

    /// Puts what there is of the value into the chunk.
    fn piece(&mut self, stage: Stage, offset: u64) -> Result<(), rdb::Error> {
        let Self { value, chunk, unique, .. } = self;
        if !unique.holds(|| value.names.iter().map(|name| &value.body[name.clone()])) {
            self.is_twice = true;
            return Err(rdb::Error::Stopped);
        }
        let start = chunk.bytes.len();
        chunk.bytes.extend_from_slice(&value.key);
        let (key, from) = (start..chunk.bytes.len(), chunk.bytes.len());
        if value.kind == Kind::List {
            let first = ListPos::new(0, self.origin.0, 0).step(value.before as i64);
            FoldedWriter::collection(&mut chunk.bytes, Kind::List, self.origin.0, 1).encoded_run(
                &first,
                value.count,
                &value.body,
            );
        } else {
            FoldedWriter::collection(&mut chunk.bytes, value.kind, self.origin.0, value.count);
            chunk.bytes.extend_from_slice(&value.body);
        }
        let (db, kind, deadline) = (value.db, value.kind, value.deadline);
        chunk.entries.push(Entry { db, kind, stage, deadline, key, value: from..chunk.bytes.len(), offset });
        value.before += value.count as u64;
        value.count = 0;
        value.body.clear();
        value.names.clear();
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        let Self { value, chunk, .. } = self;
        value.is_string = true;
        let start = chunk.bytes.len();
        chunk.bytes.reserve(value.key.len() + bytes.len());
        chunk.bytes.extend_from_slice(&value.key);
        let (key, from) = (start..chunk.bytes.len(), chunk.bytes.len());
        chunk.bytes.extend_from_slice(bytes);
        let value = from..chunk.bytes.len();
        let Gathered { db, kind, deadline, .. } = self.value;
        chunk.entries.push(Entry { db, kind, stage: Stage::Whole, deadline, key, value, offset: 0 });
    }

    /// A piece that is full goes, so that the next one has memory.
    #[cold]
    fn next_piece(&mut self) -> Result<(), rdb::Error> {
        let stage = if self.value.before == 0 { Stage::First } else { Stage::More };
        self.piece(stage, 0)?;
        self.flush()
    }
}

impl Sink for Gather<'_> {
    fn part(&mut self, part: Part<'_>) -> Result<(), rdb::Error> {
        if let Part::String(bytes) = part {
            self.string(bytes);
            return Ok(());
        }
        // Only now: the part before may have been the last one.
        if self.value.body.len() >= PIECE_BYTES {
            self.next_piece()?;
        }
        let value = &mut self.value;
        let start = value.body.len();
        let mut writer = FoldedWriter::parts(&mut value.body, value.kind, self.origin.0);
        let name = match part {
            Part::String(_) | Part::Element(_) => &[][..],
            Part::Field { deadline: Some(at), .. } if at <= self.now_ms => {
                self.expired_fields += 1;
                value.has_expired = true;
                return Ok(());
            }
            Part::Field { field, value: bytes, deadline } => {
                writer.field(field, bytes, deadline);
                value.has_deadlines |= deadline.is_some();
                field
            }
            Part::Member(member) => {
                writer.member(member);
                member
            }
            Part::Scored(member, score) => {
                writer.scored(member, score);
                member
            }
        };
        match part {
            Part::Element(bytes) => put_bytes(&mut value.body, bytes),
            _ => {
                // Its length stands before it.
                let from = start + varint_len(name.len() as u64);
                value.names.push(from..from + name.len());
            }
        }
        value.count += 1;
        Ok(())
    }
}
