//! A data directory at rest: what it holds, what is wrong with it, and what of it can be saved.
//!
//! It is judged as a start would judge it: identity, the rows of the last checkpoint, the log behind them. Nothing is changed.

mod keys;
mod log;
mod rows;
mod salvage;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use envelope::Keyring;
use thiserror::Error;
use wal::{LogError, Position};

use crate::engine::LOG;
use crate::error::{OpenError, Refusal};
use crate::identity::Identity;
use crate::keyspace;

pub use salvage::{Saved, salvage};

/// Why a directory could not be looked at, or nothing could be saved.
#[derive(Debug, Error)]
pub enum CheckError {
    /// There is no database.
    #[error("{0} holds no data of anabranch")]
    Nothing(PathBuf),
    /// The log is in use or cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data keys cannot be had with the master keys that were given.
    #[error("{path}: {source}")]
    Keys {
        /// Their directory.
        path: PathBuf,
        /// Why.
        source: envelope::Error,
    },
    /// The place to save to is not empty.
    #[error("{0} is not empty; salvage into a new directory")]
    NotEmpty(PathBuf),
    /// There is nothing that a server could start from.
    #[error("nothing can be saved: {0}")]
    Lost(String),
    /// What was saved cannot be opened.
    #[error("what was saved cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// What was saved could not be made durable.
    #[error(transparent)]
    Close(#[from] Refusal),
}

impl CheckError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file or directory.
    pub file: PathBuf,
    /// Byte offset in it, if it is a matter of a place.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Damage {
    fn new(file: impl Into<PathBuf>, offset: Option<u64>, what: impl fmt::Display) -> Self {
        Self { file: file.into(), offset, what: what.to_string() }
    }

    /// Damage that the log's reader has found; any other error is one of looking.
    fn of(error: LogError) -> Result<Self, CheckError> {
        match error {
            LogError::Corrupt { file, offset, reason } => Ok(Self::new(file, Some(offset), reason)),
            other => Err(other.into()),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{}, offset {offset}: {}", self.file.display(), self.what),
            None => write!(f, "{}: {}", self.file.display(), self.what),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Inspection {
    /// What there is, one line each.
    pub found: Vec<String>,
    /// What is wrong. If there is something, a start is refused.
    pub faults: Vec<Damage>,
    /// What could not be looked into, because it is encrypted and the keys are not there.
    pub unseen: Vec<String>,
    plan: Plan,
}

/// What can be saved.
#[derive(Debug, Default)]
struct Plan {
    /// None: a new one has to do.
    identity: Option<Identity>,
    rows: Option<rows::Seen>,
    /// Where replay begins.
    from: Position,
    /// The log is good from there to here; none if it does not even hold `from`.
    until: Option<Position>,
    /// Why nothing can be saved.
    lost: Option<String>,
}

impl Inspection {
    /// What `salvage` would save, in a sentence.
    pub fn saves(&self) -> String {
        let Plan { identity, rows, from, until, lost } = &self.plan;
        if let Some(why) = lost {
            return format!("nothing: {why}");
        }
        let base = match rows {
            Some(seen) => format!("the {} keys of {}", seen.keys, seen.path.display()),
            None => "everything".into(),
        };
        let changes = match (rows, until) {
            (_, None) => ", and nothing of the log".into(),
            (None, Some(until)) => format!(" up to position {until} of the log"),
            (Some(_), Some(until)) => format!(" and the changes from position {from} to {until} of the log"),
        };
        let name = if identity.is_none() { ", under a new identity" } else { "" };
        format!("{base}{changes}{name}")
    }
}

/// Looks at everything in `dir` that a start needs. Without master keys, what is encrypted is looked at as far as that goes:
/// the frames of the log, and no rows.
///
/// # Errors
/// If it could not look, for instance because a server uses the directory. Damage is no error but in the answer.
pub fn inspect(dir: &Path, keyring: Option<&Keyring>) -> Result<Inspection, CheckError> {
    std::fs::read_dir(dir).map_err(CheckError::io(dir))?;
    let mut seen = Inspection::default();
    let identity = look_at_identity(dir, &mut seen)?;
    let reaches = identity.as_ref().map_or(Position::START, Identity::reaches);
    let log = log::verify(&dir.join(LOG), reaches, rows::exist(dir), &mut seen)?;
    // As a start sees it, which a process that ended before it had saved its identity must not hinder.
    let holds_data = log.as_ref().is_some_and(|log| log.good_records > 0 || log.first > Position::START);
    if !Identity::path(dir).exists() {
        if !rows::exist(dir) && !holds_data && seen.faults.is_empty() {
            return Err(CheckError::Nothing(dir.into()));
        }
        let what = "is missing: it says whose the data is and how keys are hashed, so a start is refused";
        seen.faults.push(Damage::new(Identity::path(dir), None, what));
    }
    let first = log.as_ref().filter(|log| log.segments > 0).map(|log| log.first);
    let sight = keys::look(dir, keyring, &mut seen)?;
    let usable = if sight.is_blind { None } else { rows::verify(dir, first, &sight.ciphers, &mut seen)? };
    if !rows::exist(dir) {
        match first {
            Some(first) if first > Position::START => seen.faults.push(Damage::new(
                dir,
                None,
                format_args!("the log begins at position {first}, and the checkpoint of what came before is missing"),
            )),
            _ => seen.found.push("rows: none, and none are needed: the log goes back to its beginning".into()),
        }
    }
    seen.plan = plan(identity, usable, first);
    if sight.is_blind {
        seen.unseen.push("keys: there are data keys, and no master keys that they open with".into());
        seen.unseen.push("rows: encrypted, none was read".into());
        seen.unseen.push("log: only its frames were verified, what is in them is encrypted".into());
        seen.plan.lost = Some("the data is encrypted, and its keys are needed".into());
    }
    log::follow(&dir.join(LOG), reaches, log.as_ref(), &sight.ciphers, &mut seen)?;
    keyspace::inspect_tiers(dir, &mut seen.found);
    Ok(seen)
}

fn look_at_identity(dir: &Path, seen: &mut Inspection) -> Result<Option<Identity>, CheckError> {
    match Identity::load(dir) {
        Ok(None) => Ok(None),
        Ok(Some(identity)) => {
            let end = match identity.clean {
                Some(end) => format!("stopped cleanly at position {end}"),
                None => format!("not stopped cleanly; durable up to position {} at least", identity.durable),
            };
            let (node, incarnation) = (identity.origin.node(), identity.origin.incarnation());
            seen.found.push(format!("identity: good; node {node:012x}, incarnation {incarnation}, {end}"));
            Ok(Some(identity))
        }
        Err(OpenError::Damaged { path, reason }) => {
            seen.faults.push(Damage::new(path, None, reason));
            Ok(None)
        }
        Err(OpenError::Io { path, source }) => Err(CheckError::Io { path, source }),
        Err(other) => Err(other.into()),
    }
}

/// What can be saved, as far as it does not depend on the log's batches. `first` is where the log begins.
fn plan(identity: Option<Identity>, usable: Option<rows::Seen>, first: Option<Position>) -> Plan {
    let from_start = first.is_some_and(|first| first == Position::START);
    // Without the identity nobody knows how keys are hashed, which is the order of rows.
    let rows = usable.filter(|_| identity.is_some());
    let from = rows.as_ref().map_or(Position::START, |seen| seen.from);
    let lost = match (&rows, from_start) {
        (Some(_), _) | (None, true) => None,
        (None, false) if identity.is_none() => {
            Some("the identity is needed to read the rows; put it back from a copy".to_owned())
        }
        (None, false) => Some(
            "the log holds only what has changed since the last checkpoint, which means nothing without its rows; put them back from a copy"
                .to_owned(),
        ),
    };
    Plan { identity, rows, from, until: None, lost }
}
