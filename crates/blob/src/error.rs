//! The crate's errors, and the one function that says what an I/O error means.

use std::io;
use std::sync::Arc;

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same call may succeed later, unchanged.
    Transient,
    /// The call will fail again until somebody changes something (space, hardware, the arguments).
    Permanent,
    /// What is on the disk is not what was written.
    Corrupt,
}

/// Why `try_put` and friends did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyReason {
    /// The RAM limit is reached by writes in flight and by guards that readers hold.
    Ram,
    /// The disk limit is reached; segments have to be cleaned first.
    Disk,
}

/// All that can go wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The key is empty.
    #[error("the key is empty; a key needs at least one byte")]
    EmptyKey,
    /// The key is longer than [`MAX_KEY_BYTES`](crate::limits::MAX_KEY_BYTES).
    #[error("the key has {len} bytes, at most {max} are allowed")]
    KeyTooLong {
        /// Bytes of the key.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The value cannot fit within the limits of this store.
    #[error("a value of {len} bytes does not fit: this store takes at most {max}")]
    ValueTooLarge {
        /// Bytes of the value.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The caller's checksum does not match the caller's value; nothing was stored.
    #[error("the value's CRC32C is {actual:#010x}, the caller said {claimed:#010x}; nothing was stored")]
    ChecksumMismatch {
        /// CRC32C handed in.
        claimed: u32,
        /// CRC32C of the value.
        actual: u32,
    },
    /// Another key of this durable store has the same 128-bit hash; nothing was stored.
    #[error("another key has the same hash; a durable store does not replace it")]
    HashCollision,
    /// A limit is reached and the call was not to wait, or has waited as long as it may.
    #[error("the store is busy ({0:?} limit reached); try again, or release guards")]
    Busy(BusyReason),
    /// Everything on disk is live: a durable store never evicts.
    #[error("the store is full: {live} of {limit} bytes are live; delete something or raise the limit")]
    Full {
        /// Bytes of live records.
        live: u64,
        /// Limit in bytes.
        limit: u64,
    },
    /// The RAM limit leaves no room for another item of the index.
    #[error("the index cannot grow within the RAM limit of {limit} bytes")]
    IndexFull {
        /// RAM limit in bytes.
        limit: u64,
    },
    /// A write failed earlier; reads go on, writes wait for `resume`.
    #[error("the store is degraded and takes no writes until it is resumed: {cause}")]
    Degraded {
        /// The first background error.
        cause: Arc<Error>,
    },
    /// The operating system refused an operation.
    #[error("{action} failed: {source}")]
    Io {
        /// What was being done, with the file's name.
        action: String,
        /// The error.
        source: Arc<io::Error>,
    },
    /// Stored bytes fail their checksum.
    #[error("segment {segment} is corrupt at offset {offset}: {detail}")]
    Corrupt {
        /// Id of the segment.
        segment: u32,
        /// Offset of the record or block, in bytes.
        offset: u64,
        /// What did not match.
        detail: &'static str,
    },
    /// The directory holds something else, or a store of another version or mode.
    #[error("this directory cannot be opened: {0}")]
    NotThisStore(String),
    /// Another process, or another handle of this one, has the store open.
    #[error("the store is already open elsewhere")]
    Locked,
    /// The options contradict each other.
    #[error("invalid options: {0}")]
    Options(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Wraps an I/O error with what was being done.
    pub fn io(action: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action: action.into(), source: Arc::new(source) }
    }

    /// What the caller should do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Busy(_) | Self::Locked => Class::Transient,
            Self::Corrupt { .. } => Class::Corrupt,
            Self::Io { source, .. } => classify(source),
            Self::Degraded { cause } => cause.class(),
            _ => Class::Permanent,
        }
    }
}

/// Decides what an I/O error means; nothing else in the crate looks at error kinds.
pub fn classify(error: &io::Error) -> Class {
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Class::Transient,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Class::Corrupt,
        _ => Class::Permanent,
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
