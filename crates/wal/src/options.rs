//! How a log is opened.

use std::sync::Arc;

use envelope::Cipher;

use crate::limits::{MAX_PAYLOAD_BYTES, MIN_SEGMENT_BYTES};
use crate::position::Position;

/// When records become durable without anybody asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Fsync {
    /// On `commit`, which the owner calls before it acknowledges. The background thread does not sync.
    Always = 0,
    /// Once a second, by the background thread: a crash of the machine loses at most that second.
    #[default]
    EverySec = 1,
    /// When a segment is sealed, when the log is closed, and when the operating system likes.
    No = 2,
}

impl Fsync {
    pub(crate) const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Always,
            1 => Self::EverySec,
            _ => Self::No,
        }
    }
}

/// What is done for the blocks of a segment before they are written. Measured on ext4 on a virtual disk, fdatasync after appending
/// 200 B: 84 µs with none, 60 µs reserved, 68 µs zeroed; after 20 kB: 137, 127 and 80 µs; zeroing 64 MiB takes 55 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Preallocate {
    /// Nothing: each fdatasync also writes the file's new length.
    No,
    /// Space is reserved (fallocate): no length to write, fewer fragments, a full disk shows early.
    #[default]
    Reserve,
    /// Zeros are written once, so that later syncs touch no metadata at all: for `Always` with large commits.
    Zero,
}

/// How much `open` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verify {
    /// Every byte of every segment.
    #[default]
    All,
    /// All headers and the last segment; the others are verified when they are read.
    Tail,
}

/// Who writes the buffer out when nobody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Background {
    /// A thread owned by the log.
    #[default]
    Thread,
    /// The owner, by `write_out` and `sync`: for simulation and tests.
    None,
}

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of records after which a segment is sealed and the next begun.
    pub segment_bytes: u64,
    /// When records become durable without anybody asking; `set_policy` changes it later.
    pub policy: Fsync,
    /// Bytes in the buffer from which on appenders are asked to write it out. At most twice this much is in memory,
    /// plus one record for each appending thread.
    pub buffer_limit_bytes: usize,
    /// What is done for a segment's blocks beforehand.
    pub preallocate: Preallocate,
    /// How much `open` reads.
    pub verify: Verify,
    /// Who writes the buffer out.
    pub background: Background,
    /// Largest payload of a record in bytes, at most [`MAX_PAYLOAD_BYTES`].
    pub max_payload_bytes: usize,
    /// Up to where the owner knows that the log was durable: one that ends before that has lost records, and is refused.
    pub reaches: Position,
    /// What payloads are encrypted with from now on, and those that are encrypted are read with. It should be the log's alone.
    pub cipher: Option<Arc<Cipher>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            policy: Fsync::default(),
            buffer_limit_bytes: 8 << 20,
            preallocate: Preallocate::default(),
            verify: Verify::default(),
            background: Background::default(),
            max_payload_bytes: MAX_PAYLOAD_BYTES,
            reaches: Position::START,
            cipher: None,
        }
    }
}

impl Options {
    /// The same with every figure brought into its bounds.
    pub(crate) fn bounded(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.max(MIN_SEGMENT_BYTES);
        self.max_payload_bytes = self.max_payload_bytes.min(MAX_PAYLOAD_BYTES);
        self
    }
}
