//! What lies beside the data, whole or not at all: a directory with a log of its own.
//!
//! ```text
//!   DIR/NAME/log      kind 1, one payload a record
//!   DIR/NAME/keys     what it is sealed with, if the data is
//!   DIR/NAME/whole    it is complete
//!   DIR/NAME.new      the same on its way; once it is whole it takes the other's place
//! ```
//! *Invariant:* without `whole` it is nothing.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use wal::{Fsync, Kind, Log, Position, Reader, Verify};

use super::AgainError;
use crate::ciphers::Ciphers;
use crate::engine::{LOG, Shared};

const WHOLE: &str = "whole";
const PAYLOAD: Kind = Kind::new(1).expect("1 is a kind of an owner");

/// One that is open.
pub(super) struct Aside {
    log: Log<()>,
}

fn new_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.new"))
}

/// Whether there is one.
pub(super) fn is_there(dir: &Path, name: &str) -> bool {
    dir.join(name).join(WHOLE).exists()
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
pub(super) fn give_up(dir: &Path, name: &str) -> io::Result<()> {
    let place = dir.join(name);
    match fs::remove_file(place.join(WHOLE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => {
            removed?;
            sync(&place)?;
        }
    }
    remove(&place)
}

/// Ends what a crash has left: of two the new one stays if it is whole.
pub(super) fn tidy(dir: &Path, name: &str) -> io::Result<()> {
    let (place, new) = (dir.join(name), new_of(dir, name));
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

impl Aside {
    fn open(shared: &Shared, at: &Path) -> Result<Self, AgainError> {
        let ciphers: Ciphers = shared.ciphers.beside(at)?;
        // What is in it is verified as it is read.
        let (cipher, verify) = (ciphers.log.clone(), Verify::Tail);
        let options = wal::Options { cipher, verify, policy: Fsync::No, ..wal::Options::default() };
        Ok(Self { log: Log::open(at.join(LOG), options, ())?.0 })
    }

    /// The one that is whole, if there is any.
    pub(super) fn found(shared: &Shared, name: &str) -> Result<Option<Self>, AgainError> {
        is_there(&shared.dir, name).then(|| Self::open(shared, &shared.dir.join(name))).transpose()
    }

    /// Begins a new one, beside the one that is there.
    pub(super) fn begin(shared: &Shared, name: &str) -> Result<Self, AgainError> {
        let new = new_of(&shared.dir, name);
        remove(&new)?;
        fs::create_dir(&new)?;
        Self::open(shared, &new)
    }

    pub(super) fn push(&self, payload: &[u8]) -> Result<(), AgainError> {
        let (position, is_full) = {
            let mut log = self.log.lock();
            let position = log.append(PAYLOAD, &[payload])?;
            (position, log.wants_flush())
        };
        if is_full {
            self.log.write_up_to(position)?;
        }
        Ok(())
    }

    /// The one that was begun is whole, durably, and the only one.
    pub(super) fn finish(self, shared: &Shared, name: &str) -> Result<(), AgainError> {
        let (dir, new) = (&shared.dir, new_of(&shared.dir, name));
        self.log.close()?;
        File::create(new.join(WHOLE))?.sync_all()?;
        sync(&new)?;
        sync(dir)?;
        Ok(tidy(dir, name)?)
    }

    /// From its beginning.
    pub(super) fn reader(&self) -> Result<Reader, AgainError> {
        Ok(self.log.reader(Position::START)?)
    }
}
