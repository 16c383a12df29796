//! What can go wrong, and the one place that decides what an error of the tree below means.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::timestamp::Timestamp;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every error of this crate. An operation that fails has changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for lies below what is kept. Read at a later timestamp, or begin the transaction anew.
    #[error("{at} lies below the retained history, which begins at {watermark}; read or begin again later")]
    Compacted {
        /// The timestamp that was asked for.
        at: Timestamp,
        /// The first that is kept: of the store, or of one key where superseded versions are not kept.
        watermark: Timestamp,
    },
    /// Something the transaction read or writes was committed by another one since it began. Begin it anew.
    #[error("{0}")]
    Conflict(Box<Conflict>),
    /// There is nothing to give a deadline to.
    #[error("key \"{}\" does not exist", Short(key))]
    NotFound {
        /// The key.
        key: Vec<u8>,
    },
    /// There was something to give a deadline to, but its own had passed.
    #[error("key \"{}\" has expired at {deadline}", Short(key))]
    Expired {
        /// The key.
        key: Vec<u8>,
        /// The deadline that had passed.
        deadline: Timestamp,
    },
    /// A commit that would appear behind what readers may have seen already.
    #[error("a commit at {commit} must come after {floor}; take a later timestamp")]
    CommitOrder {
        /// The refused timestamp.
        commit: Timestamp,
        /// What it has to exceed.
        floor: Timestamp,
    },
    /// Input that no store accepts.
    #[error("{0}")]
    BadInput(BadInput),
    /// A part of the input is too large.
    #[error("a {part} of {size} is larger than the limit of {limit}")]
    TooLarge {
        /// Which part.
        part: Part,
        /// Its size in bytes, or how many there are.
        size: usize,
        /// The largest accepted.
        limit: usize,
    },
    /// Stored bytes are not what was written.
    #[error("{place} is corrupt: {reason}; restore from a backup")]
    Corrupt {
        /// Where.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// A value is encrypted, or marked in a way that is kept for later, and this program cannot read such values.
    #[error("a value has encryption state {state}, which this program cannot read; use the program that wrote it")]
    Encryption {
        /// The two bits of its header.
        state: u8,
    },
    /// The store holds sealed values, and was opened without keys.
    #[error("the store holds encrypted values; open it with the master keys that it was encrypted with")]
    KeysNeeded,
    /// The store holds values that were sealed under data keys of another registry.
    #[error(
        "the store was encrypted with the data keys of registry {stored:?}, but was given those of {given:?}; restore the file of data keys that belongs to it"
    )]
    OtherKeys {
        /// What the store says.
        stored: envelope::RegistryId,
        /// What it was opened with.
        given: envelope::RegistryId,
    },
    /// A value in clear, where all values are sealed.
    #[error("a value is in clear though all values of this store are encrypted; somebody has put it there")]
    Unsealed,
    /// A sealed value does not open: it, its header or its key is not what was written, or its data key is not there.
    #[error("the value of row \"{}\" cannot be decrypted: {source}; restore from a backup", Short(row_key))]
    Sealed {
        /// The key of its row.
        row_key: Vec<u8>,
        /// What is wrong with it.
        source: envelope::Error,
    },
    /// The data keys.
    #[error(transparent)]
    Keys(#[from] envelope::Error),
    /// The store does not do this in its present configuration.
    #[error("not supported: {0}")]
    NotSupported(&'static str),
    /// Another process, or this one, has the directory open.
    #[error("the store's directory is in use; one process may open it at a time")]
    Locked,
    /// An earlier write or sync failed. Reads go on; restart after the disk is repaired.
    #[error("the store is poisoned by an earlier failed write and refuses more; repair the disk and restart")]
    Poisoned,
    /// An I/O error.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

/// Which check a transaction failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What the transaction did with the key.
    pub kind: ConflictKind,
    /// The key that was committed by another: the first in the order of the call.
    pub key: Vec<u8>,
    /// When it was committed.
    pub latest: Timestamp,
    /// When the transaction began.
    pub start: Timestamp,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, key, latest, start } = self;
        write!(
            f,
            "{kind} conflict on key \"{}\": committed at {latest}, the transaction began at {start}; begin it anew",
            Short(key)
        )
    }
}

/// What a transaction did with a key that conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConflictKind {
    /// It writes it.
    Write,
    /// It read it.
    Read,
    /// It read a span that the key lies in.
    Range,
}

impl ConflictKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Range];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Range => "range",
        }
    }
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Input that no store accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInput {
    /// A key has at least one byte.
    #[error("a key must not be empty")]
    EmptyKey,
    /// The outcome would depend on an order that the call does not have.
    #[error("key \"{}\" is named twice in one transaction", Short(.0))]
    DuplicateKey(Vec<u8>),
    /// Zero and `LATEST` are no moments of a commit.
    #[error("{0} cannot be the timestamp of a commit or a deadline")]
    Timestamp(Timestamp),
    /// A scan that may return or visit nothing would never get anywhere.
    #[error("a scan must be allowed at least one row, one visited key and one byte")]
    ZeroBound,
    /// Without a start there is no moment that the read set could be compared with.
    #[error("a transaction without a start cannot have a read set")]
    BlindReads,
    /// A transaction commits after it began.
    #[error("a transaction that began at {start} cannot commit at {commit}")]
    CommitBeforeStart {
        /// When it began.
        start: Timestamp,
        /// When it would commit.
        commit: Timestamp,
    },
    /// A run of rows is ascending, without repetition.
    #[error("the rows of a run must be in ascending order; \"{}\" is not above the one before", Short(.0))]
    Unsorted(Vec<u8>),
    /// A compaction needs a horizon that is a moment.
    #[error("{0} cannot be the horizon of a compaction")]
    Horizon(Timestamp),
}

/// What is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A key, in bytes.
    Key,
    /// A value, in bytes.
    Value,
    /// The number of mutations.
    Mutations,
    /// The keys and values of a transaction, in bytes.
    Transaction,
    /// The number of keys and spans in a read set.
    ReadSet,
    /// A frame of a snapshot, in bytes.
    Frame,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Mutations => "number of mutations",
            Self::Transaction => "transaction",
            Self::ReadSet => "read set",
            Self::Frame => "snapshot frame",
        })
    }
}

/// The start of a key, so that an error stays readable.
struct Short<'a>(&'a [u8]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        match self.0.get(..SHOWN) {
            Some(head) if self.0.len() > SHOWN => write!(f, "{}… ({} bytes)", head.escape_ascii(), self.0.len()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

impl Error {
    /// An I/O error while doing `action`.
    pub(crate) fn io(action: &'static str, source: io::Error) -> Self {
        Self::Io { action, source: Arc::new(source) }
    }

    /// Bytes that cannot have been written so.
    pub(crate) fn corrupt(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), reason: reason.into() }
    }

    /// What an error of the tree means: a lock, a poisoned journal, the system's I/O error, or bytes that fail their
    /// check.
    pub(crate) fn tree(action: &'static str, error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => Self::io(action, source),
            fjall::Error::Poisoned => Self::Poisoned,
            fjall::Error::Locked => Self::Locked,
            other => Self::corrupt("the tree", format!("{action}: {other:?}")),
        }
    }
}

impl From<BadInput> for Error {
    fn from(bad: BadInput) -> Self {
        Self::BadInput(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_cut_in_messages() {
        let text = Error::NotFound { key: vec![b'x'; 1000] }.to_string();
        assert!(text.len() < 150 && text.contains("1000 bytes"), "{text}");
    }

    #[test]
    fn failures_of_the_disk_are_not_taken_for_corruption() {
        let io = fjall::Error::Storage(fjall::LsmError::Io(io::ErrorKind::StorageFull.into()));
        assert!(matches!(Error::tree("x", io), Error::Io { .. }));
        assert!(matches!(Error::tree("x", fjall::Error::Poisoned), Error::Poisoned));
        assert!(matches!(Error::tree("x", fjall::Error::InvalidTrailer), Error::Corrupt { .. }));
    }
}
