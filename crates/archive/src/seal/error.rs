//! What can go wrong when something is sealed or opened.

use std::io;
use std::sync::Arc;

use super::{Fingerprint, KeyError};

/// The result of sealing and opening.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every error of sealing and opening. Through `Read` and `Write` it arrives inside an [`io::Error`];
/// [`Error::from_io`] takes it out again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The bytes do not begin as a sealed object does.
    #[error("this is not a sealed object: it does not begin with the magic of one")]
    NotSealed,
    /// A later version of this program sealed it.
    #[error("sealed in version {found} of the format, known up to {known}; open it with a newer anabranch")]
    NewerVersion {
        /// The version it has.
        found: u8,
        /// The newest that is known.
        known: u8,
    },
    /// It was sealed with an algorithm that is not known here.
    #[error("sealed with {part} {id:#06x}, which is not known; open it with the program that wrote it")]
    Unsupported {
        /// Which part: KEM, KDF or AEAD.
        part: &'static str,
        /// Its number.
        id: u16,
    },
    /// It was sealed for another key.
    #[error(
        "sealed for the key {sealed_for}, but the key at hand is {at_hand}; use the private key that belongs to it"
    )]
    WrongKey {
        /// The key that opens it.
        sealed_for: Fingerprint,
        /// The key that was given.
        at_hand: Fingerprint,
    },
    /// It was sealed under another name: it was renamed or copied over this one.
    #[error("sealed under another name than \"{name}\"; it was renamed, or something was copied over it")]
    WrongName {
        /// The name that was given.
        name: String,
    },
    /// The header is not as it was written.
    #[error("the header is damaged: {0}; take another copy")]
    DamagedHeader(&'static str),
    /// A chunk is not as it was written.
    #[error("damaged at chunk {chunk}: {damage}; take another copy")]
    Damaged {
        /// Number of the chunk, from 0.
        chunk: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The object ends before its last chunk does.
    #[error("cut off in chunk {chunk}; take another copy")]
    Truncated {
        /// Number of the chunk that is not there, or not whole.
        chunk: u64,
    },
    /// There is something behind the last chunk.
    #[error("something follows the end of the sealed object; take another copy")]
    Trailing,
    /// The object has more chunks than one key may seal.
    #[error("more than {0} chunks in one object; split it")]
    TooLong(u64),
    /// The size of a chunk is none that the format has.
    #[error("a chunk has {0} bytes; it must be a power of two from 65536 to 1048576")]
    BadChunkBytes(usize),
    /// There are no random bytes.
    #[error("the system gives no random bytes, so nothing can be sealed")]
    Entropy,
    /// The library below refused what cannot be refused; nothing was written.
    #[error("the cryptographic library refused: {0}")]
    Library(&'static str),
    /// About a key or its file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Reading or writing the bytes failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
}

/// In which way a chunk is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The head of its frame says what no frame can have.
    #[error("the head of its frame is impossible")]
    Head,
    /// It is not what was sealed here: changed, moved, or of another object.
    #[error("its bytes are not what was sealed in this place")]
    Seal,
    /// It was sealed by somebody who does not keep to the format: it does not decompress to what it must.
    #[error("it does not decompress to the size that it must have")]
    Size,
}

impl Error {
    /// The error inside an [`io::Error`] that a reader or writer of this module gave; any other becomes [`Error::Io`].
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(other) => Self::Io(Arc::new(other)),
        }
    }

    /// As an [`io::Error`], for the traits of the standard library.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Io(inner) => inner.kind(),
            Self::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::from_io(error)
    }
}
