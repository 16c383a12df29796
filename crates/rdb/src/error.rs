//! What can be wrong with bytes from outside.

use thiserror::Error;

/// Why something cannot be read. Offsets count bytes from the beginning of the file (or of the payload).
#[derive(Debug, Error)]
pub enum Error {
    /// The bytes could not be had.
    #[error("reading failed at offset {offset}: {source}")]
    Read {
        /// Where.
        offset: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes end where more must follow.
    #[error("it ends at offset {offset}, in the middle: it was cut short")]
    Cut {
        /// Where it ends.
        offset: u64,
    },
    /// The bytes are not what they must be.
    #[error("damaged at offset {offset}: {what}")]
    Damaged {
        /// Where; of what stands in a packed blob, where the blob begins.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The bytes are no RDB file.
    #[error("this is no RDB file: {what}")]
    NotRdb {
        /// What they are instead.
        what: &'static str,
    },
    /// A version of the format that is not known.
    #[error("RDB version {version} of {of} is not known here; known are Redis' versions 1 to {redis} and Valkey's {valkey_first} to {valkey}",
        redis = crate::kinds::REDIS_MAX, valkey_first = crate::kinds::VALKEY_MIN, valkey = crate::kinds::VALKEY_MAX)]
    Version {
        /// "Redis" or "Valkey", by the first bytes.
        of: &'static str,
        /// The version.
        version: u16,
    },
    /// Something of a kind whose length cannot be told, so nothing behind it can be read.
    #[error("{what} (number {number}) at offset {offset} cannot be read or skipped")]
    Unknown {
        /// Where.
        offset: u64,
        /// What it is.
        what: &'static str,
        /// The number of the type or opcode.
        number: u8,
    },
    /// Larger than what is taken.
    #[error("{what} at offset {offset} has {bytes} bytes, more than the {limit} that are taken")]
    TooLarge {
        /// Where.
        offset: u64,
        /// What it is.
        what: &'static str,
        /// Its size in bytes.
        bytes: u64,
        /// The bound in bytes.
        limit: u64,
    },
    /// The bytes have changed since they were written.
    #[error(
        "the checksum of the {offset} bytes before it is {computed:016x}, but {stated:016x} is stated: they have changed since they were written"
    )]
    Checksum {
        /// Where the checksum stands.
        offset: u64,
        /// As it stands there.
        stated: u64,
        /// As it comes out.
        computed: u64,
    },
    /// Whoever is given the values wants no more.
    #[error("stopped by whoever takes the values")]
    Stopped,
}

impl Error {
    /// The same with the place where the blob begins in which it was found.
    pub(crate) fn within(self, start: u64) -> Self {
        match self {
            Self::Damaged { what, .. } => Self::Damaged { offset: start, what },
            other => other,
        }
    }
}

/// Bytes in a blob that are not what they should be; says what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt(pub(crate) &'static str);

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::Damaged { offset: 0, what: corrupt.0 }
    }
}
