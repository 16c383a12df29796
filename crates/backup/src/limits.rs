//! All limits of the crate, with unit and reason.

use std::time::Duration;

/// Plain bytes of one object of a base, at most: what is lost of an upload that fails, and what clouds take in one piece.
pub const BASE_PART_BYTES: u64 = 256 << 20;

/// Plain bytes of log after which an object of it ends. (A record that is larger is an object of its own.)
pub const LOG_PART_BYTES: u64 = 64 << 20;

/// A base is taken anew when the log behind it has become larger than the base, but not below this: a restore reads so much
/// in seconds.
pub const REBASE_LOG_BYTES: u64 = 64 << 20;

/// Backups that go on from one base, at most: a restore opens the manifests of all of them.
pub const CHAIN_MOST: u32 = 1000;

/// The same of an archive: between two of them what is written meanwhile is stored.
pub const ARCHIVE_BASE_PART_BYTES: u64 = 64 << 20;

/// The same of an archive, which has one for each interval: a week of minutes.
pub const ARCHIVE_CHAIN_MOST: u32 = 10_000;

/// By how much the time in the name of a backup may be off: a node's clock may be ahead of what it shows, after an unclean end.
pub const NAME_SLACK_MS: i64 = 60_000;

/// Chains that end before a moment and are looked at, from the last one back, for one that has it all the same: two of each purpose go on
/// beside each other at most.
pub const OLDER_CHAINS: usize = 4;

/// How long an archive waits after a failure, at first and at most.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);
/// See [`RETRY_FIRST`].
pub const RETRY_MOST: Duration = Duration::from_secs(60);

/// Bytes of a manifest: of a base of 16 TB it has some tens of MB.
pub const MOST_MANIFEST_BYTES: u64 = 64 << 20;

/// Bytes of the object that says what a repository is.
pub const MOST_REPOSITORY_BYTES: usize = 4 << 10;

/// Bytes that the thread that reads rows hands over at a time.
pub const FEED_BYTES: usize = 256 << 10;

/// How often it may do so before somebody takes them.
pub const FEED_DEPTH: usize = 4;
