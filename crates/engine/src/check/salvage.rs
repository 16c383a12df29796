//! Copies what is good of a data directory to a new one, and opens that as a server would.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use wal::Position;

use super::{CheckError, Inspection};
use crate::engine::{Engine, LOG, Options, has_segments};
use crate::identity::Identity;
use crate::limits::DATABASES_MAX;

/// What was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Keys of all databases, expired ones included that have not been reclaimed.
    pub keys: u64,
    /// Up to where the log was saved.
    pub end: Position,
}

/// Saves to `to`, a new or empty directory, what `inspection` has found to be good in `dir`. It has been opened, and stopped
/// cleanly, when this returns.
///
/// # Errors
/// `NotEmpty`, `Lost`, and whatever goes wrong with reading and writing: then `to` is of no use.
pub fn salvage(dir: &Path, inspection: &Inspection, to: &Path, options: Options) -> Result<Saved, CheckError> {
    let plan = &inspection.plan;
    if let Some(why) = &plan.lost {
        return Err(CheckError::Lost(why.clone()));
    }
    fs::create_dir_all(to).map_err(CheckError::io(to))?;
    if fs::read_dir(to).map_err(CheckError::io(to))?.next().is_some() {
        return Err(CheckError::NotEmpty(to.into()));
    }
    let log = to.join(LOG);
    if let Some(until) = plan.until {
        wal::salvage(dir.join(LOG), &log, plan.from..until)?;
    }
    if !has_segments(&log).map_err(CheckError::io(&log))? {
        wal::begin_at(&log, plan.from)?;
    }
    if let Some(snapshot) = &plan.snapshot {
        copy_files(&snapshot.path, &to.join(snapshot.path.file_name().unwrap_or_default()))?;
    }
    let identity = plan.identity.clone().unwrap_or_else(|| Identity::mint(options.entropy));
    // What was known of the end of the whole log does not hold of this one.
    let identity = Identity { durable: 0, clean: None, ..identity };
    identity.save(to).map_err(CheckError::io(to))?;
    let engine = Engine::open(to, options)?;
    let end = engine.log().end();
    // A snapshot must not speak of positions that the log is yet to give out.
    if plan.snapshot.as_ref().is_some_and(|snapshot| snapshot.applied > end) {
        // One of the same position would be taken for the same: the old one goes first, all of it is in memory.
        if let Some(name) = plan.snapshot.as_ref().and_then(|snapshot| snapshot.path.file_name()) {
            let old = to.join(name);
            fs::remove_dir_all(&old).map_err(CheckError::io(&old))?;
        }
        engine.snapshot()?;
    }
    let keys = (0..DATABASES_MAX).map(|db| engine.key_counts(db as u8).keys).sum();
    engine.close()?;
    Ok(Saved { keys, end })
}

/// Copies the files of a directory, durably.
fn copy_files(from: &Path, to: &Path) -> Result<(), CheckError> {
    fs::create_dir(to).map_err(CheckError::io(to))?;
    for entry in fs::read_dir(from).map_err(CheckError::io(from))? {
        let entry = entry.map_err(CheckError::io(from))?;
        let target = to.join(entry.file_name());
        match fs::copy(entry.path(), &target) {
            Ok(_) => File::open(&target).and_then(|file| file.sync_all()).map_err(CheckError::io(&target))?,
            Err(error) if error.kind() == ErrorKind::IsADirectory => {}
            Err(error) => return Err(CheckError::Io { path: entry.path(), source: error }),
        }
    }
    File::open(to).and_then(|dir| dir.sync_all()).map_err(CheckError::io(to))
}
