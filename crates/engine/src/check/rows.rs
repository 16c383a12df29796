//! The rows of the last checkpoint at rest: every one of them, and whether the log goes on where they end.
//!
//! The store cannot be opened without being changed. So a copy of it is looked at, beside it, whose large files are links.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use effect::Kind;
use effect::Origin;
use mvcc::wide::{Tag, tag};
use mvcc::{Span, Timestamp, Version};
use wal::Position;

use super::{CheckError, Damage, Inspection};
use crate::checkpoint::books::{Books, Tallies};
use crate::checkpoint::elements::Part;
use crate::checkpoint::rows::{Large, Row, Value};
use crate::checkpoint::store::Rows;
use crate::checkpoint::{ROWS, recent};
use crate::ciphers::Ciphers;
use crate::limits::{LARGE_VALUE_BYTES, SHARDS};
use crate::shard::ShardId;
use crate::value::count_fenced;
use crate::value::wide::{BLOCK_BYTES, Content, RowKey};

/// Slots in all.
const SLOTS: usize = 1 << 14;

/// Rows that are whole.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    /// Where replay begins.
    pub(super) from: Position,
    pub(super) origins: Vec<(Origin, u64)>,
    pub(super) keys: u64,
}

/// The directory in which a copy of the rows is looked at, while that lasts.
const LOOK: &str = "rows.look";

/// Whether there are rows, of whatever state.
pub(super) fn exist(dir: &Path) -> bool {
    dir.join(ROWS).exists()
}

/// Verifies the rows, which the log, that begins at `first`, should go on from. None if there are none, or they are damaged.
pub(super) fn verify(
    dir: &Path,
    first: Option<Position>,
    ciphers: &Ciphers,
    seen: &mut Inspection,
) -> Result<Option<Seen>, CheckError> {
    let path = dir.join(ROWS);
    if !exist(dir) {
        return Ok(None);
    }
    let look = dir.join(LOOK);
    remove(&look)?;
    let read = clone(&path, &look, true).map(|()| read(&look, &path, ciphers));
    remove(&look)?;
    let whole = match read? {
        Ok(Some(whole)) => whole,
        Ok(None) => {
            seen.found.push("rows: none yet: no checkpoint has come into force".into());
            return Ok(None);
        }
        Err(damage) => {
            seen.faults.push(damage);
            return Ok(None);
        }
    };
    let Seen { from, keys, .. } = whole;
    match first.filter(|first| *first > from) {
        Some(first) => {
            let what = format!("what was logged between position {from}, where they end, and {first} is missing");
            seen.faults.push(Damage::new(path, None, what));
        }
        None => seen.found.push(format!("rows: good: {keys} keys, replay begins at position {from}")),
    }
    Ok(Some(whole))
}

/// Reads all rows of the copy `look` of `path`.
fn read(look: &Path, path: &Path, ciphers: &Ciphers) -> Result<Option<Seen>, Damage> {
    let damage = |what: &dyn std::fmt::Display| Damage::new(path, None, what);
    let rows = Rows::open(look, ciphers.rows.clone(), LARGE_VALUE_BYTES).map_err(|error| damage(&error))?;
    let books = Books::read(&rows).map_err(|error| damage(&error))?.map_err(|reason| damage(&reason))?;
    let Some(books) = books else { return Ok(None) };
    books.emptied.iter().for_each(|(db, commit)| rows.dead.empty(*db, *commit));
    rows.dead.bury(books.dead.iter().copied());
    let mut tally = Tally::default();
    let all = |key: &[u8], version: Version| match tally.add(key, &version.value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(reason) => ControlFlow::Break(format!("the row {}: {reason}", key.escape_ascii())),
    };
    let flow = rows.store.for_each(Span::new(&[], &[0xFF]), Timestamp::LATEST, all).map_err(|error| damage(&error))?;
    if let ControlFlow::Break(reason) = flow {
        return Err(damage(&reason));
    }
    tally.is_whole().map_err(|reason| damage(&reason))?;
    tally.is_counted(books.tallies.as_ref()).map_err(|reason| damage(&reason))?;
    recent::verify(&rows).map_err(|error| damage(&error))?.map_err(|reason| damage(&reason))?;
    Ok(Some(Seen { path: path.into(), from: books.head.from, origins: books.head.origins, keys: tally.keys }))
}

/// What was read so far.
#[derive(Default)]
struct Tally {
    keys: u64,
    /// Keys by shard and database.
    counted: BTreeMap<(u8, u8), u64>,
    /// Of each large value what it is, and what of it has come.
    large: HashMap<u64, (Large, Come)>,
}

/// What has come of a large value.
#[derive(Default)]
struct Come {
    /// Elements, or bytes of a string.
    elements: u64,
    /// Members of a sorted set by score.
    scores: u64,
    /// Elements that its fences count.
    fenced: Option<u64>,
}

impl Tally {
    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match tag(key) {
            Some(Tag::Meta) => {
                self.keys += 1;
                let row = Row::parse(key, value)?;
                let shard = ShardId((row.meta.slot / (SLOTS / SHARDS) as u16) as u8);
                *self.counted.entry((shard.0, row.meta.db)).or_default() += 1;
                if let Value::Large(of) = row.value
                    && self.large.insert(of.incarnation, (of, Come::default())).is_some()
                {
                    return Err("its elements belong to another key as well".into());
                }
            }
            Some(Tag::Element(_)) => {
                let part = Part::parse(key, value)?;
                let (of, come) = self.large.get_mut(&part.incarnation).ok_or("it is an element of no value")?;
                if of.kind != part.kind {
                    return Err("it is an element of a value of another type".into());
                }
                come.add(&part)?;
            }
            // The books have been read.
            None => {}
        }
        Ok(())
    }

    /// Whether there are as many keys as the checkpoint has counted.
    fn is_counted(&self, tallies: Option<&Tallies>) -> Result<(), String> {
        let Some(tallies) = tallies else { return Ok(()) };
        let expected: BTreeMap<_, _> = tallies.parts.iter().map(|part| ((part.shard, part.db), part.keys)).collect();
        let all = expected.keys().chain(self.counted.keys());
        let keys = |of: &BTreeMap<_, u64>, at| of.get(at).copied().unwrap_or(0);
        let wrong =
            all.map(|at| (at, keys(&expected, at), keys(&self.counted, at))).find(|(_, due, found)| due != found);
        match wrong {
            None => Ok(()),
            Some(((shard, db), due, found)) => {
                Err(format!("shard {shard} has {found} keys of database {db}, and {due} were counted"))
            }
        }
    }

    fn is_whole(&self) -> Result<(), String> {
        let is_whole = |(of, come): &(Large, Come)| {
            // Where keys do not stand in the order of rows fences end early.
            let are_fenced = come.fenced.is_none_or(|fenced| fenced <= of.len);
            come.elements == of.len && come.scores == if of.kind == Kind::ZSet { of.len } else { 0 } && are_fenced
        };
        match self.large.values().find(|one| !is_whole(one)) {
            Some((Large { incarnation, len, .. }, Come { elements, .. })) => Err(format!(
                "of {len} elements or bytes of a large value {elements} are there: incarnation {incarnation:#x}"
            )),
            None => Ok(()),
        }
    }
}

impl Come {
    fn add(&mut self, part: &Part<'_>) -> Result<(), String> {
        match (&part.key, part.content) {
            (RowKey::Scored { .. }, _) => self.scores += 1,
            (RowKey::Fences(_), Content::Bytes(row)) => {
                if let Some(count) = count_fenced(part.kind, row)? {
                    *self.fenced.get_or_insert(0) += count;
                }
            }
            (RowKey::Block(number), Content::Bytes(bytes)) => {
                if number.saturating_mul(BLOCK_BYTES as u64) != self.elements || bytes.len() > BLOCK_BYTES {
                    return Err("it does not go on where the block before it ends".into());
                }
                self.elements += bytes.len() as u64;
            }
            _ => self.elements += 1,
        }
        Ok(())
    }
}

/// Copies a store, durably unless its large files, which nobody changes, are to be `linked`.
pub(super) fn clone(from: &Path, to: &Path, linked: bool) -> Result<(), CheckError> {
    fs::create_dir(to).map_err(CheckError::io(to))?;
    let immutable = linked && from.file_name().is_some_and(|name| name == "tables" || name == "values");
    for entry in fs::read_dir(from).map_err(CheckError::io(from))? {
        let entry = entry.map_err(CheckError::io(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(CheckError::io(&path))?.is_dir() {
            clone(&path, &target, linked)?;
        } else if !(immutable && fs::hard_link(&path, &target).is_ok()) {
            fs::copy(&path, &target).map_err(CheckError::io(&path))?;
            if !linked {
                File::open(&target).and_then(|file| file.sync_all()).map_err(CheckError::io(&target))?;
            }
        }
    }
    if linked { Ok(()) } else { File::open(to).and_then(|dir| dir.sync_all()).map_err(CheckError::io(to)) }
}

pub(super) fn remove(dir: &Path) -> Result<(), CheckError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(CheckError::Io { path: dir.into(), source: error }),
        _ => Ok(()),
    }
}
