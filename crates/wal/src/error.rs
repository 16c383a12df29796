//! What can go wrong, and the one place that decides what an I/O error means.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::format::BadHeader;
use crate::position::Position;

/// Every error of this crate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// An I/O error while opening, reading or deleting; the log's state is as before.
    #[error("{action} {file}: {source}")]
    Io {
        /// What was tried.
        action: Action,
        /// On which file.
        file: String,
        /// What the disk said.
        source: Arc<io::Error>,
    },
    /// A write or an fsync failed for good. Nothing more is written; what is on disk can still be read. Restart
    /// after the disk is repaired or replaced.
    #[error("the log is poisoned and refuses writes: {0}; repair the disk and restart")]
    Poisoned(Arc<Failure>),
    /// The disk is full. Nothing is lost; free space, then `try_heal`.
    #[error("no space for the log: {0}; free space, writes are refused until then")]
    NoSpace(Arc<Failure>),
    /// Bytes that were durable are not what was written.
    #[error("{file} is corrupt at offset {offset}: {reason}; run `anabranch check` on the directory")]
    Corrupt {
        /// The file.
        file: String,
        /// Byte offset in it.
        offset: u64,
        /// What is wrong there.
        reason: Reason,
    },
    /// Another process has the directory open.
    #[error("{dir} is in use by another process")]
    Locked {
        /// The directory.
        dir: String,
    },
    /// A record is larger than a record may be.
    #[error("a record of {len} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Its payload in bytes.
        len: usize,
        /// The largest payload.
        limit: usize,
    },
    /// The records at this position have been removed.
    #[error("position {wanted} was removed, the log begins at {first}")]
    Removed {
        /// What was asked for.
        wanted: Position,
        /// What there is.
        first: Position,
    },
    /// Nothing has been appended there yet.
    #[error("position {wanted} lies beyond the end of the log at {end}")]
    Beyond {
        /// What was asked for.
        wanted: Position,
        /// Where the log ends.
        end: Position,
    },
    /// The place to salvage to holds a log already.
    #[error("{dir} is not empty; salvage into a new directory")]
    NotEmpty {
        /// The directory.
        dir: String,
    },
}

/// What was being done when an I/O error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Listing or opening.
    Open,
    /// Reading.
    Read,
    /// Creating a segment, or giving it its name.
    Create,
    /// Writing records or cutting a file.
    Write,
    /// fsync, fdatasync, or fsync of the directory.
    Sync,
    /// Deleting a segment.
    Remove,
    /// Encrypting records.
    Encrypt,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "opening",
            Self::Read => "reading",
            Self::Create => "creating",
            Self::Write => "writing",
            Self::Sync => "syncing",
            Self::Remove => "removing",
            Self::Encrypt => "encrypting for",
        })
    }
}

/// What is wrong with bytes that should be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The segment header.
    Header(BadHeader),
    /// The header belongs to another log, or its base is not that of the file's name.
    Foreign,
    /// A frame whose check does not match, in a place that was durable.
    Checksum,
    /// A frame of impossible length, or cut off by the end of the file.
    Length,
    /// A frame of kind zero, or of one that is not known.
    Kind(u8),
    /// The record is encrypted, and there are no keys.
    KeysNeeded,
    /// The record is encrypted with a data key of this number, which the keys do not have.
    DataKey(u32),
    /// The record does not decrypt: it is not what was written, or not where it was written.
    Integrity,
    /// Bytes after the last frame of a sealed segment.
    Trailing,
    /// The segments between these two positions are not there.
    Missing(Position, Position),
    /// What is good ends at the first position, but the owner knows that the log was durable up to the second.
    Short(Position, Position),
    /// There is no segment, but the owner knows that the log was durable up to this position.
    Absent(Position),
    /// Frames of this segment run past where the next one begins.
    Overlap(Position),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(BadHeader::Version(v)) => write!(f, "format version {v} is not known to this program"),
            Self::Header(bad) => write!(f, "bad segment header ({bad:?})"),
            Self::Foreign => f.write_str("the segment belongs to another log or to another place"),
            Self::Checksum => f.write_str("checksum mismatch"),
            Self::Length => f.write_str("impossible record length"),
            Self::Kind(kind) => write!(f, "unknown record kind {kind:#04x}"),
            Self::KeysNeeded => f.write_str("the record is encrypted; give the master keys that it was encrypted with"),
            Self::DataKey(id) => write!(f, "the record is encrypted with data key {id}, which is not known"),
            Self::Integrity => f.write_str("the record cannot be decrypted: it, or its place, is not what was written"),
            Self::Trailing => f.write_str("bytes after the end of a sealed segment"),
            Self::Missing(from, to) => write!(f, "the segments from position {from} to {to} are missing"),
            Self::Short(end, due) => {
                write!(f, "what is good ends here, at position {end}, but the log was durable up to position {due}")
            }
            Self::Absent(due) => write!(f, "there is no segment, but the log was durable up to position {due}"),
            Self::Overlap(next) => write!(f, "records run past position {next}, where the next segment begins"),
        }
    }
}

/// The first error that stopped the log.
#[derive(Debug)]
pub struct Failure {
    /// What was being done.
    pub action: Action,
    /// On which file.
    pub file: String,
    /// What the disk said.
    pub error: io::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.action, self.file, self.error)
    }
}

/// Whether the log takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// It does.
    Good = 0,
    /// Not until there is space and `try_heal` succeeds.
    NoSpace = 1,
    /// Never again in this process.
    Poisoned = 2,
}

impl Health {
    pub(crate) const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Good,
            1 => Self::NoSpace,
            _ => Self::Poisoned,
        }
    }
}

impl Failure {
    /// What this failure means for the log. A full disk on a write loses nothing, since the bytes are still in memory. After
    /// a failed fsync the kernel may have dropped them and will not say so again, so that is final, whatever the error; any
    /// other failed write is a broken disk.
    pub(crate) fn verdict(&self) -> Health {
        let full = matches!(
            self.error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        match self.action {
            Action::Write | Action::Create if full => Health::NoSpace,
            _ => Health::Poisoned,
        }
    }
}

impl LogError {
    pub(crate) fn io(action: Action, file: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action, file: file.into(), source: Arc::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(action: Action, kind: io::ErrorKind) -> Health {
        Failure { action, file: String::new(), error: kind.into() }.verdict()
    }

    #[test]
    fn only_a_full_disk_on_a_write_can_heal() {
        assert_eq!(verdict(Action::Write, io::ErrorKind::StorageFull), Health::NoSpace);
        assert_eq!(verdict(Action::Create, io::ErrorKind::QuotaExceeded), Health::NoSpace);
        assert_eq!(verdict(Action::Sync, io::ErrorKind::StorageFull), Health::Poisoned);
        assert_eq!(verdict(Action::Write, io::ErrorKind::WriteZero), Health::Poisoned);
        assert_eq!(verdict(Action::Write, io::ErrorKind::Other), Health::Poisoned);
    }
}
