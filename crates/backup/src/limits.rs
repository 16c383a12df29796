//! All limits of the crate, with unit and reason.

/// Plain bytes of one object of a base, at most: what is lost of an upload that fails, and what clouds take in one piece.
pub const BASE_PART_BYTES: u64 = 256 << 20;

/// Plain bytes of log after which an object of it ends. (A record that is larger is an object of its own.)
pub const LOG_PART_BYTES: u64 = 64 << 20;

/// A base is taken anew when the log behind it has become larger than the base, but not below this: a restore reads so much
/// in seconds.
pub const REBASE_LOG_BYTES: u64 = 64 << 20;

/// Backups that go on from one base, at most: a restore opens the manifests of all of them.
pub const CHAIN_MOST: u32 = 1000;

/// Bytes of a manifest: of a base of 16 TB it has some tens of MB.
pub const MOST_MANIFEST_BYTES: u64 = 64 << 20;

/// Bytes of the object that says what a repository is.
pub const MOST_REPOSITORY_BYTES: usize = 4 << 10;

/// Bytes that the thread that reads rows hands over at a time.
pub const FEED_BYTES: usize = 256 << 10;

/// How often it may do so before somebody takes them.
pub const FEED_DEPTH: usize = 4;
