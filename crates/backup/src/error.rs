//! What can go wrong with backups.

use std::io;
use std::path::PathBuf;

use engine::CheckpointError;
use engine::backup::{CutError, MakingError};
use thiserror::Error;

use crate::id::BackupId;
use crate::time::format_ms;

/// See the module.
#[derive(Debug, Error)]
pub enum Error {
    /// Sealing, opening or storing failed.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// Somebody has asked to stop.
    #[error("the backup was cancelled; what it had stored is removed, and older backups are as they were")]
    Cancelled,
    /// There is no checkpoint to be had.
    #[error("no checkpoint could be taken: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The log cannot be read or made durable.
    #[error(transparent)]
    Log(#[from] wal::LogError),
    /// A record of the log is not what this version writes.
    #[error("the log has, at position {position}, {cause}")]
    Record {
        /// Where.
        position: u64,
        /// What is wrong.
        cause: CutError,
    },
    /// The data directory could not note what was done.
    #[error("the data directory could not note what was stored: {0}; the next backup will be a whole one")]
    Note(io::Error),
    /// What is there is no repository, or of a later version.
    #[error("\"{place}\" is no repository of backups: {why}")]
    NoRepository {
        /// The object that was looked for.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// An object is not what it was.
    #[error("\"{name}\" is damaged: {what}. Restore an older backup (--list shows them, --backup ID takes one)")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// An object is gone.
    #[error(
        "\"{name}\" is missing, and with it {what}. Nothing that goes on from there can be restored: restore a backup from before it \
         (--list shows them, --backup ID takes one)"
    )]
    Missing {
        /// Its name.
        name: String,
        /// What was in it.
        what: String,
    },
    /// There is no group to return to.
    #[error("the backup {0} is of a server of its own, no member of a group: restore it without --member")]
    NoMember(BackupId),
    /// There is no backup to be restored.
    #[error("there is no whole backup in this repository{}", node.as_ref().map_or(String::new(), |n| format!(" of node {n}")))]
    NoBackup {
        /// The node, if one was asked for.
        node: Option<String>,
    },
    /// There are several nodes.
    #[error("the repository has backups of several nodes: {}; say which with --node", nodes.join(", "))]
    Nodes {
        /// They.
        nodes: Vec<String>,
    },
    /// There is no such backup.
    #[error("there is no whole backup {0} in this repository; --list shows those that there are")]
    Unknown(String),
    /// The moment that was asked for is in no backup.
    #[error("no backup has the moment {}{}{}", format_ms(*at_ms), before(*before_ms), after(*after_ms))]
    NotCovered {
        /// The moment, unix ms.
        at_ms: i64,
        /// Up to when the backups before it reach.
        before_ms: Option<i64>,
        /// From when on those behind it reach.
        after_ms: Option<i64>,
    },
    /// The place to restore to has something in it.
    #[error("{0} is not empty; restore into a new directory")]
    NotEmpty(PathBuf),
    /// Somebody restores there.
    #[error("{0} is there: another restore is at work, or was interrupted. If none is, remove it")]
    AtWork(PathBuf),
    /// The data directory could not be made.
    #[error(transparent)]
    Making(#[from] MakingError),
    /// A file or directory could not be written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn before(ms: Option<i64>) -> String {
    ms.map_or(String::new(), |ms| format!("; one reaches up to {}", format_ms(ms)))
}

fn after(ms: Option<i64>) -> String {
    ms.map_or(String::new(), |ms| format!("; one begins at {}", format_ms(ms)))
}

impl Error {
    pub(crate) fn damaged(name: impl std::fmt::Display, what: impl std::fmt::Display) -> Self {
        Self::Damaged { name: name.to_string(), what: what.to_string() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}

impl From<archive::storage::Error> for Error {
    fn from(error: archive::storage::Error) -> Self {
        Self::Archive(error.into())
    }
}

impl From<engine::OpenError> for Error {
    fn from(error: engine::OpenError) -> Self {
        Self::Making(error.into())
    }
}
