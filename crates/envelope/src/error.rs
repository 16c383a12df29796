//! What can go wrong.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::format::DataKeyId;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every error of this crate. None says a byte of a key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A line of the master keys is not as it must be.
    #[error("line {line} of the master keys: {reason}")]
    KeyLine {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no master key.
    #[error("there is no master key; give at least one line \"ID KEY\", for example 1 and 64 hexadecimal digits")]
    NoKeys,
    /// The environment variable with the master keys is not set.
    #[error("the environment variable {name} with the master keys is not set")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// Others than its owner may read the file with the master keys, or change it.
    #[error(
        "{file} holds master keys and its mode is {mode:03o}: others could read or change it, and with a copy of the disk they would have all data; chmod 600 it"
    )]
    Exposed {
        /// The file.
        file: String,
        /// Its permissions.
        mode: u32,
    },
    /// The master keys take more room than any sensible number of them.
    #[error("the master keys are larger than {limit} bytes")]
    KeysTooLarge {
        /// The most that is read.
        limit: usize,
    },
    /// A data key is wrapped under a master key that was not given.
    #[error("the data was sealed under master key {id}, which was not given; add it to the master keys")]
    MasterKeyMissing {
        /// The master key.
        id: u32,
    },
    /// A data key does not open under the master key of this number.
    #[error(
        "master key {id} does not open data key {data_key}; it is another key of the same number, or the registry is damaged"
    )]
    MasterKeyWrong {
        /// The master key.
        id: u32,
        /// What it should open.
        data_key: DataKeyId,
    },
    /// The registry of data keys is not what was written.
    #[error("{file} is corrupt: {reason}; restore it from a backup, without it nothing that was sealed can be read")]
    Registry {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The registry takes no more data keys.
    #[error("there are {MAX} data keys; seal the data anew, so that old ones can be forgotten", MAX = crate::limits::MAX_DATA_KEYS)]
    TooManyDataKeys,
    /// Another process has the registry.
    #[error("{file} is in use by another process")]
    Locked {
        /// The file.
        file: String,
    },
    /// An earlier sync of the registry failed.
    #[error("an earlier sync of the registry of data keys failed; repair the disk and restart")]
    Poisoned,
    /// Sealed bytes name a data key that the registry does not have.
    #[error(
        "the registry does not know data key {0}; it belongs to other data, is older than these, or they are damaged"
    )]
    DataKeyUnknown(DataKeyId),
    /// Sealed bytes are shorter than sealed nothing.
    #[error("sealed bytes are cut short")]
    Short,
    /// Sealed bytes, or what they are bound to, are not what was sealed.
    #[error("sealed bytes fail their integrity check: they, their header or their place are not what was sealed")]
    Integrity,
    /// More bytes than AES-GCM takes in one piece.
    #[error("{0} bytes are too many to be sealed in one piece")]
    TooLarge(usize),
    /// A data key that is in use cannot be forgotten.
    #[error("data keys below {wanted} cannot be forgotten, {current} is in use")]
    InUse {
        /// What was asked for.
        wanted: DataKeyId,
        /// What new bytes are sealed with.
        current: DataKeyId,
    },
    /// An I/O error.
    #[error("{action} {file}: {source}")]
    Io {
        /// What was tried.
        action: Action,
        /// On which file.
        file: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

/// What was being done when an I/O error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Opening or locking.
    Open,
    /// Reading.
    Read,
    /// Writing, or giving a file its name.
    Write,
    /// fsync, of a file or of its directory.
    Sync,
    /// Asking the system for random bytes.
    Draw,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "opening",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Sync => "syncing",
            Self::Draw => "drawing random bytes for",
        })
    }
}

impl Error {
    pub(crate) fn io(action: Action, file: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action, file: file.into(), source: Arc::new(source) }
    }
}
