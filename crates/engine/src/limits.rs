//! The bounds of this crate, with unit and reason.

/// Parts of a node's RAM state. A format constant: cursors and the order of keys depend on it.
pub const SHARDS: usize = 256;

/// Bits of the ordering hash that a SCAN cursor names: 6 of the slot and the 32 of `h32`. Keys equal in these are
/// returned in one page.
pub const CURSOR_BITS: u8 = 38;

/// Largest encoded batch in bytes: above it a command is refused before anything is applied. It must hold the
/// largest bulk argument (512 MiB) with its key.
pub const BATCH_BYTES_MAX: usize = 768 << 20;

/// How far ahead, in ms, the durable ceiling of the clock is set.
pub const CEILING_AHEAD_MS: i64 = 10_000;

/// The ceiling is renewed in the background when less than this many ms are left.
pub const CEILING_RENEW_MS: i64 = 5_000;

/// Databases that SELECT can be given at most.
pub const DATABASES_MAX: usize = 256;

/// Time between a rewrite of the log that failed and the next that begins by itself.
pub const REWRITE_PAUSE: std::time::Duration = std::time::Duration::from_secs(60);

/// Neighbouring list elements from which on they are removed chunk by chunk, and freed by the reaper thread. A pop of a
/// few must not wake it.
pub const CUT_BY_CHUNKS: u64 = 64;

/// Values with at least this many elements are freed by the reaper thread.
pub const FREE_ASIDE_ELEMENTS: usize = 256;

/// Values of at least this many bytes are freed by the reaper thread.
pub const FREE_ASIDE_BYTES: usize = 64 << 10;

/// Wheel entries looked at while a shard is locked once.
pub const EXPIRE_BUDGET: usize = 64;

const _: () = assert!(CEILING_RENEW_MS < CEILING_AHEAD_MS);

/// Steps, of some tens of elements each, after which the reaper lets others run: about 0.1 ms.
pub const REAPER_STEPS: usize = 64;

/// How often the keeper looks for work, in ms: the lag of reclaiming what has expired.
pub const KEEPER_PERIOD_MS: u64 = 10;

/// Keys of a snapshot's chunk: taken under one hold of a shard's lock.
pub const SNAPSHOT_CHUNK_KEYS: usize = 512;

/// Bytes of a snapshot's chunk after which it ends: about 0.1 ms of copying.
pub const SNAPSHOT_CHUNK_BYTES: usize = 128 << 10;

/// Elements of a value that a chunk takes whole: some 28 such values may be taken under one lock. Larger ones are taken
/// in parts.
pub const SNAPSHOT_WHOLE_ELEMENTS: usize = if cfg!(test) { 128 } else { 512 };

/// Bytes in memory of a value that a chunk takes whole.
pub const SNAPSHOT_WHOLE_BYTES: usize = if cfg!(test) { 8 << 10 } else { 64 << 10 };

/// Elements that one part of a large value has, about: 0.1 ms of copying. Few in tests, for many parts.
pub const SNAPSHOT_PART_ELEMENTS: usize = if cfg!(test) { 64 } else { 1024 };

/// Bytes after which a part ends, unless one element has more.
pub const SNAPSHOT_PART_BYTES: usize = if cfg!(test) { 4 << 10 } else { 128 << 10 };
