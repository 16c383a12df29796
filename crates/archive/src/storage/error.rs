//! What can go wrong with objects, and the functions that say what an error from below means.

use std::io;
use std::sync::Arc;

use super::BadName;

/// The result of everything about storage.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same call may succeed later, unchanged.
    Transient,
    /// The call will fail again until somebody changes something.
    Permanent,
}

/// Every error of object storage. Through `Read` it arrives inside an [`io::Error`]; [`Error::from_io`] takes it out
/// again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("there is no object \"{name}\"")]
    NotFound {
        /// The name.
        name: String,
    },
    /// There is such an object, and it was not to be replaced.
    #[error("there is an object \"{name}\" already")]
    AlreadyExists {
        /// The name.
        name: String,
    },
    /// It cannot be told whether an object was put: the answer did not arrive. Look what is there.
    #[error("whether \"{name}\" was put is not known: {why}; look what is there")]
    Unsure {
        /// The name.
        name: String,
        /// What happened.
        why: String,
    },
    /// A name that no object may have.
    #[error("\"{name}\" cannot be the name of an object: {why}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: BadName,
    },
    /// A part of the name, up to a slash, is an object itself, or it is such a part of another object's.
    #[error("\"{name}\" cannot stand beside an object whose name is a part of it, or of which it is a part")]
    NameClash {
        /// The name.
        name: String,
    },
    /// An object or a range is larger than what is taken.
    #[error("\"{name}\" has more than the {limit} bytes that are taken here")]
    TooLarge {
        /// The name.
        name: String,
        /// Bytes that are taken.
        limit: u64,
    },
    /// The range is empty, or the object does not have all of it.
    #[error("\"{name}\" has no bytes {start} to {end}{}", size.map_or(String::new(), |s| format!("; its size is {s}")))]
    BadRange {
        /// The name.
        name: String,
        /// The first byte.
        start: u64,
        /// The byte behind the last.
        end: u64,
        /// The object's size, if it is known.
        size: Option<u64>,
    },
    /// The storage does not do this.
    #[error("this storage does not {0}")]
    NotSupported(&'static str),
    /// The storage does not let us.
    #[error("not allowed, for \"{name}\": {why}; check the access key or the rights")]
    Denied {
        /// The name.
        name: String,
        /// What it said.
        why: String,
    },
    /// It did not work now, also not after `attempts`.
    #[error("\"{name}\" failed after {attempts} attempts: {why}; try again later")]
    Unavailable {
        /// The name.
        name: String,
        /// How many.
        attempts: u32,
        /// What happened last.
        why: String,
    },
    /// The object was replaced while it was read.
    #[error("\"{name}\" was replaced while it was read; read it again")]
    Changed {
        /// The name.
        name: String,
    },
    /// The object ended before its size was reached.
    #[error("\"{name}\" ended after {got} of {size} bytes; try again")]
    Short {
        /// The name.
        name: String,
        /// Bytes that came.
        got: u64,
        /// Bytes that were announced.
        size: u64,
    },
    /// The service answered what it should not.
    #[error("the storage answered for \"{name}\" with something unexpected: {what}")]
    Protocol {
        /// The name.
        name: String,
        /// What it was.
        what: String,
    },
    /// The settings do not make a storage.
    #[error("no storage can be opened: {0}")]
    Settings(String),
    /// The reader that an object was to be put from failed.
    #[error("what was to be stored could not be read: {0}")]
    Source(Arc<io::Error>),
    /// The file system failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was done, with which file.
        what: String,
        /// Why it failed.
        cause: Arc<io::Error>,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. } | Self::Changed { .. } | Self::Short { .. } => Class::Transient,
            _ => Class::Permanent,
        }
    }

    /// As an [`io::Error`], for readers.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Io { cause, .. } => cause.kind(),
            Self::NotFound { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }

    /// The error inside an [`io::Error`] that a reader of this module gave; any other is one of the file system.
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(other) => Self::Io { what: "reading an object".to_owned(), cause: Arc::new(other) },
        }
    }

    pub(super) fn not_found(name: &str) -> Self {
        Self::NotFound { name: name.to_owned() }
    }

    pub(super) fn source(error: io::Error) -> Self {
        Self::Source(Arc::new(error))
    }

    pub(super) fn protocol(name: &str, what: impl Into<String>) -> Self {
        Self::Protocol { name: name.to_owned(), what: what.into() }
    }
}
