//! Snapshots at rest: every byte of one, and whether the log goes on where it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use effect::{Folded, Origin, WireError, wire};
use wal::{LogError, Position, Reader, Record};

use super::{CheckError, Damage, Inspection};
use crate::keyspace::Saved;
use crate::snapshot::complete;
use crate::snapshot::format::{self, CHUNK, ChunkHead, END, HEAD, Head, KEY, Owed, PART, Part, SPACES};

/// A snapshot that is whole.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    /// Where replay begins.
    pub(super) from: Position,
    pub(super) origins: Vec<(Origin, u64)>,
    /// The latest moment of which it holds something.
    pub(super) applied: Position,
    pub(super) keys: u64,
}

/// All snapshots in `dir`, the newest first.
pub(super) fn list(dir: &Path) -> Result<Vec<(Position, PathBuf)>, CheckError> {
    let mut found = complete(dir).map_err(CheckError::io(dir))?;
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Verifies the newest snapshot, which a start would use. Answers it, or if it is damaged the newest that is whole and that
/// the log, which begins at `first`, goes on from.
pub(super) fn verify(
    snapshots: &[(Position, PathBuf)],
    first: Option<Position>,
    seen: &mut Inspection,
) -> Result<Option<Seen>, CheckError> {
    for (at, (_, path)) in snapshots.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().display().to_string();
        let whole = match read(path)? {
            Ok(whole) => whole,
            Err(damage) if at == 0 => {
                seen.faults.push(damage);
                continue;
            }
            Err(_) => continue,
        };
        let Seen { from, keys, .. } = whole;
        if let Some(first) = first.filter(|first| *first > from) {
            if at == 0 {
                let what = format!("what was logged between position {from}, where it begins, and {first} is missing");
                seen.faults.push(Damage::new(path, None, what));
                return Ok(Some(whole));
            }
            continue;
        }
        let instead = if at == 0 { "" } else { "; older than the damaged one, which it can stand in for" };
        seen.found.push(format!("snapshot: {name} is good: {keys} keys, replay begins at position {from}{instead}"));
        return Ok(Some(whole));
    }
    Ok(None)
}

/// Reads all of a snapshot.
fn read(path: &Path) -> Result<Result<Seen, Damage>, CheckError> {
    let disk = wal::disk::RealDisk::existing(path).map_err(CheckError::io(path))?;
    let mut reader = match Reader::at_rest(Arc::new(disk), None) {
        Ok(Some(reader)) => reader,
        Ok(None) => return Ok(Err(Damage::new(path, None, "it is empty"))),
        Err(error) => return Damage::of(error).map(Err),
    };
    let mut tally = Tally::default();
    loop {
        let failed = match reader.next() {
            Ok(None) => break,
            Ok(Some(record)) => tally.add(&record).err().map(|error| (record.start, error)),
            Err(LogError::Removed { wanted, .. }) => {
                return Ok(Err(Damage::new(path, None, format_args!("its segment at position {wanted} is missing"))));
            }
            Err(error) => return Damage::of(error).map(Err),
        };
        if let Some((start, error)) = failed {
            let (file, offset) = reader.place_of(start)?;
            return Ok(Err(Damage::new(file, Some(offset), error)));
        }
    }
    let (end, counted) = (reader.position(), (tally.records, tally.keys));
    let (Some(head), true) = (tally.head, tally.end == Some(counted)) else {
        let (file, offset) = reader.place_of(end)?;
        let what = format!("it ends here, after {} records and {} keys, and is not whole", counted.0, counted.1);
        return Ok(Err(Damage::new(file, Some(offset), what)));
    };
    let applied = tally.applied.max(head.from);
    Ok(Ok(Seen { path: path.into(), from: head.from, origins: head.origins, applied, keys: tally.keys }))
}

/// What was read so far.
#[derive(Default)]
struct Tally {
    head: Option<Head>,
    records: u64,
    keys: u64,
    applied: Position,
    end: Option<(u64, u64)>,
}

impl Tally {
    fn add(&mut self, record: &Record<'_>) -> Result<(), WireError> {
        let bytes = record.payload;
        self.records += u64::from([CHUNK, PART, KEY].contains(&record.kind));
        match record.kind {
            HEAD => self.head = Some(Head::decode(bytes)?),
            CHUNK => {
                let mut from = wire::Reader::new(bytes);
                let head = ChunkHead::decode(&mut from)?;
                for _ in 0..head.count {
                    format::get_key(&mut from)?;
                    Folded::decode(0, &mut from)?;
                }
                self.applied = self.applied.max(head.applied);
                self.keys += u64::from(head.count);
            }
            PART => self.keys += u64::from(Part::decode(bytes)?.first),
            KEY => {
                let owed = Owed::decode(bytes)?;
                self.applied = self.applied.max(owed.applied);
                self.keys += u64::from(owed.value.is_some());
            }
            SPACES => drop(Saved::decode(bytes)?),
            END => self.end = Some(format::decode_end(bytes)?),
            _ => {}
        }
        Ok(())
    }
}
