//! What the group never got, aside: batches as they stand in the log, one a record, in a log of their own.
//!
//! ```text
//!   DIR/undelivered/log      kind 1: a batch ‖ a batch ‖ …      in the order in which they are to be written again
//!   DIR/undelivered/keys     what it is sealed with, if the data is
//!   DIR/undelivered/whole    it is complete
//!   DIR/undelivered.new      the same on its way; once it is whole it takes the other's place
//! ```
//! *Invariant:* without `whole` it is nothing: what made it is still in the data's log, or all of it has been written again.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use effect::{Batch, Batches, Dot, Vector};
use wal::{Fsync, Kind, Log, Position, Reader};

use super::AgainError;
use crate::ciphers::Ciphers;
use crate::engine::{Engine, LOG, Shared};

const DIR: &str = "undelivered";
const NEW: &str = "undelivered.new";
const WHOLE: &str = "whole";
const BATCH: Kind = Kind::new(1).expect("1 is a kind of an owner");

/// What was kept aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spooled {
    /// Batches.
    pub batches: u64,
    /// Effects in them.
    pub effects: u64,
}

/// Whether something waits to be written again.
pub(super) fn is_there(dir: &Path) -> bool {
    dir.join(DIR).join(WHOLE).exists()
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Nothing of it is needed any more.
fn give_up(place: &Path) -> io::Result<()> {
    match fs::remove_file(place.join(WHOLE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => {
            removed?;
            sync(place)?;
        }
    }
    remove(place)
}

/// Ends what a crash has left: of two the new one stays if it is whole.
pub(crate) fn tidy(dir: &Path) -> io::Result<()> {
    let (place, new) = (dir.join(DIR), dir.join(NEW));
    if new.join(WHOLE).exists() {
        remove(&place)?;
        fs::rename(&new, &place)?;
        return sync(dir);
    }
    remove(&new)?;
    if !place.join(WHOLE).exists() {
        remove(&place)?;
    }
    Ok(())
}

/// One that is open.
pub(super) struct Spool {
    log: Log<()>,
}

impl Spool {
    fn open(shared: &Shared, at: &Path) -> Result<Self, AgainError> {
        let ciphers: Ciphers = shared.ciphers.beside(at)?;
        let options = wal::Options { cipher: ciphers.log.clone(), policy: Fsync::No, ..wal::Options::default() };
        Ok(Self { log: Log::open(at.join(LOG), options, ())?.0 })
    }

    /// The one that is whole, if there is any.
    pub(super) fn found(shared: &Shared) -> Result<Option<Self>, AgainError> {
        is_there(&shared.dir).then(|| Self::open(shared, &shared.dir.join(DIR))).transpose()
    }

    fn push(&self, batch: &[u8]) -> Result<(), AgainError> {
        let (position, is_full) = {
            let mut log = self.log.lock();
            let position = log.append(BATCH, &[batch])?;
            (position, log.wants_flush())
        };
        if is_full {
            self.log.write_up_to(position)?;
        }
        Ok(())
    }

    /// From its beginning.
    pub(super) fn reader(&self) -> Result<Reader, AgainError> {
        Ok(self.log.reader(Position::START)?)
    }

    /// The batches, one after the other.
    fn each(&self, mut visit: impl FnMut(&[u8], Dot) -> Result<(), AgainError>) -> Result<(), AgainError> {
        let mut reader = self.reader()?;
        while let Some(record) = reader.next()? {
            visit(record.payload, last_of(&Batch::decode(record.payload)?))?;
        }
        Ok(())
    }

    /// All of it stands, durably, in the log.
    pub(super) fn end(self, shared: &Shared) -> Result<(), AgainError> {
        drop(self);
        Ok(give_up(&shared.dir.join(DIR))?)
    }
}

/// Its last effect, by which it is known that it was written again.
pub(super) fn last_of(batch: &Batch<'_>) -> Dot {
    Dot { seq: batch.first.seq + batch.len().saturating_sub(1), ..batch.first }
}

impl Engine {
    /// Keeps aside, durably, what this node has written beyond what the group has of its lives: `delivered` says of each how much that is.
    /// So does what waits already and was not written again. Nothing may be written meanwhile.
    ///
    /// # Errors
    /// Some of it is in the log no more, or a file. Then it is as it was.
    pub fn keep_aside(&self, delivered: &Vector) -> Result<Spooled, AgainError> {
        let shared = &*self.shared;
        shared.log.write_out()?;
        let (dir, new) = (&shared.dir, shared.dir.join(NEW));
        remove(&new)?;
        fs::create_dir(&new)?;
        let (spool, mut kept) = (Spool::open(shared, &new)?, Spooled::default());
        let (here, done) = (self.vector(), shared.replication.again.done());
        let mut keep = |bytes: &[u8], effects: u64| {
            kept = Spooled { batches: kept.batches + 1, effects: kept.effects + effects };
            spool.push(bytes)
        };
        if let Some(before) = Spool::found(shared)? {
            before.each(|bytes, last| match here.has(last) || done.has(last) {
                // It was made of this very log, or is in it by now.
                true => Ok(()),
                false => keep(bytes, Batch::decode(bytes)?.len()),
            })?;
        }
        for life in here.iter().filter(|dot| dot.origin.node() == self.origin().node()) {
            let from = delivered.get(life.origin) + 1;
            if from > life.seq {
                continue;
            }
            let mut records = self.records_of(life.origin, from)?;
            while let Some(told) = records.next_record()? {
                for batch in Batches::decode(&told.bytes) {
                    let batch = batch?;
                    keep(&batch.to_bytes(), batch.len())?;
                }
            }
        }
        spool.log.close()?;
        if kept.batches > 0 {
            File::create(new.join(WHOLE))?.sync_all()?;
            sync(&new)?;
            sync(dir)?;
        } else {
            give_up(&dir.join(DIR))?;
        }
        tidy(dir)?;
        Ok(kept)
    }
}
