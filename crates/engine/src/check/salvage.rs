//! Copies what is good of a data directory to a new one, and opens that as a server would.

use std::fs;
use std::path::Path;

use wal::Position;

use super::rows::clone;
use super::{CheckError, Inspection};
use crate::checkpoint::ROWS;
use crate::ciphers::KEYS;
use crate::engine::{Engine, LOG, Options, has_segments};
use crate::identity::Identity;
use crate::limits::DATABASES_MAX;
use crate::membership;

/// What was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Keys of all databases, expired ones included that have not been reclaimed.
    pub keys: u64,
    /// Up to where the log was saved.
    pub end: Position,
}

/// Saves to `to`, a new or empty directory, what `inspection` has found to be good in `dir`; `options` have the master
/// keys, if it is encrypted. It has been opened, and stopped
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
    if let Some(rows) = &plan.rows {
        clone(&rows.path, &to.join(ROWS), false)?;
    }
    let keys = dir.join(KEYS);
    if keys.exists() {
        clone(&keys, &to.join(KEYS), false)?;
    }
    let member = dir.join(membership::FILE);
    if member.exists() {
        fs::copy(&member, to.join(membership::FILE)).map_err(CheckError::io(&member))?;
    }
    let identity = plan.identity.clone().unwrap_or_else(|| Identity::mint(options.entropy));
    // What was known of the end of the whole log does not hold of this one.
    let identity = Identity { durable: 0, clean: None, ..identity };
    identity.save(to).map_err(CheckError::io(to))?;
    let engine = Engine::open(to, options)?;
    let end = engine.log().end();
    let keys = (0..DATABASES_MAX).map(|db| engine.key_counts(db as u8).keys).sum();
    engine.close()?;
    Ok(Saved { keys, end })
}
