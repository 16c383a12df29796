//! What can go wrong in the engine, outside of a command's own errors.

use std::path::{Path, PathBuf};

use effect::WireError;
use thiserror::Error;

use crate::ciphers::KEYS;
use crate::residency::ReadError;

/// Why a batch was not accepted. Nothing of it was applied.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The batch is larger than `max-batch-bytes`.
    #[error("ERR the command's changes take {size} bytes, more than max-batch-bytes ({limit}); split it")]
    BatchTooLarge {
        /// Encoded size in bytes.
        size: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// Where there are other replicas, what has expired is given up some time later: nobody may write who looked longer ago.
    #[error(
        "ERR the command looked at its keys {ms} ms before it was done, more than replicas allow ({limit} ms); nothing was written"
    )]
    Late {
        /// How long it took.
        ms: i64,
        /// How long it may take.
        limit: i64,
    },
    /// The log does not take writes.
    #[error("MISCONF Errors writing to the log: {0}. Commands that may modify the data set are disabled, reads go on.")]
    Log(#[from] wal::LogError),
    /// The node belongs to a group, and may not write yet, or any more.
    #[error("BOOTSTRAPINCOMPLETE this node is not a full member of its group yet: send writes to another one")]
    NotOpen,
    /// The durable ceiling of the clock could not be raised.
    #[error("MISCONF the clock's ceiling could not be made durable: {0}. Writes are disabled, reads go on.")]
    Ceiling(std::io::Error),
}

/// Why a data directory could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The log is damaged, in use, or cannot be read.
    #[error(transparent)]
    Log(#[from] wal::LogError),
    /// A file of the directory cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what this version writes.
    #[error("{path} is damaged or was written by another version: {reason}. `anabranch check` says what can be saved")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is data, but not the file that says whose it is and how its keys are hashed.
    #[error(
        "{path} is missing, but {beside} is not empty. Put it back, or run `anabranch check` on the directory, which says what can be saved"
    )]
    NoIdentity {
        /// The file that is missing.
        path: PathBuf,
        /// What is there.
        beside: PathBuf,
    },
    /// The log begins behind the place where the last checkpoint ends, or there is none.
    #[error(
        "the log begins at position {position} and the checkpoint of what came before is missing; `anabranch check` on the directory says more"
    )]
    NoCheckpoint {
        /// Where the log begins.
        position: u64,
    },
    /// The store of rows cannot be opened or read.
    #[error("{path}: {source}. `anabranch check` says what can be saved")]
    Rows {
        /// Its directory.
        path: PathBuf,
        /// What it said.
        source: mvcc::Error,
    },
    /// What the group never got of this node cannot be looked at, or it cannot be noted when what it may be superseded by was written.
    #[error(
        "{path}: what the group never got of this node cannot be prepared to be written again: {reason}. Without that directory the server starts, \
         and what is in it is lost"
    )]
    Undelivered {
        /// Its directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The data is encrypted, and no master keys were given.
    #[error(
        "the data is encrypted: there is {path}. Give the master keys that it was encrypted with: encryption-key-file, or ANABRANCH_ENCRYPTION_KEYS in the environment"
    )]
    KeysNeeded {
        /// The directory of the data keys.
        path: PathBuf,
    },
    /// The data keys cannot be had with the master keys that were given.
    #[error("{path}: {source}")]
    Keys {
        /// The directory of the data keys.
        path: PathBuf,
        /// Why.
        source: envelope::Error,
    },
    /// Something is encrypted with data keys that the directory does not have.
    #[error(
        "{path} does not have the data keys of this data: {reason}. Put back the directory {path} that belongs to it, from the same copy or backup"
    )]
    KeysLost {
        /// The directory of the data keys.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A log record is intact but its batch cannot be read.
    #[error("the log record at position {position} holds a batch that cannot be read: {source}")]
    Batch {
        /// Logical position of the record.
        position: u64,
        /// What is wrong.
        source: WireError,
    },
    /// A record that this version does not know.
    #[error("the log holds a record of kind {kind} at position {position}: another version of the program wrote it")]
    Kind {
        /// Logical position of the record.
        position: u64,
        /// The record's kind.
        kind: u8,
    },
    /// An origin's effects have a gap.
    #[error("the log goes on at sequence number {found} of origin {origin:#x} where {expected} was due")]
    Gap {
        /// The origin.
        origin: u64,
        /// The next number.
        expected: u64,
        /// The number found.
        found: u64,
    },
}

impl OpenError {
    /// Why what is at rest, in `path`, cannot be read.
    pub(crate) fn of_read(path: &Path, error: ReadError) -> Self {
        match error {
            ReadError::Store(source) => Self::Rows { path: path.into(), source },
            other => Self::Damaged { path: path.into(), reason: other.to_string() },
        }
    }

    /// Why the log of the data directory `dir` cannot be opened.
    pub(crate) fn of_log(dir: &Path, error: wal::LogError) -> Self {
        match &error {
            wal::LogError::Corrupt { reason: wal::Reason::KeysNeeded | wal::Reason::DataKey(_), .. } => {
                Self::KeysLost { path: dir.join(KEYS), reason: error.to_string() }
            }
            _ => Self::Log(error),
        }
    }

    /// Why the rows of the data directory `dir`, which are in `path`, cannot be opened.
    pub(crate) fn of_rows(dir: &Path, path: &Path, source: mvcc::Error) -> Self {
        match source {
            mvcc::Error::KeysNeeded | mvcc::Error::OtherKeys { .. } => {
                Self::KeysLost { path: dir.join(KEYS), reason: source.to_string() }
            }
            source => Self::Rows { path: path.into(), source },
        }
    }
}

/// Why a checkpoint was not taken. The log is as before, and so are the rows.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The database is being closed.
    #[error("the database is being closed")]
    Stopped,
    /// The log could not be made durable or begin a new segment.
    #[error(transparent)]
    Log(#[from] wal::LogError),
    /// A file could not be read or changed.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The rows could not be written.
    #[error("{path}: {source}")]
    Rows {
        /// The directory of the store.
        path: PathBuf,
        /// What the store said.
        source: mvcc::Error,
    },
    /// The rows that are there are not what a checkpoint writes.
    #[error("{path} is damaged: {reason}. `anabranch check` says what can be saved")]
    Damaged {
        /// The directory of the store.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
