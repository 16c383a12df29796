//! The bounds of this crate, with unit and reason.

/// Parts of a node's RAM state. A format constant: cursors and the order of keys depend on it.
pub const SHARDS: usize = 256;

/// Bits of the ordering hash that a SCAN cursor names: 6 of the slot and the 32 of `h32`. Keys equal in these are
/// returned in one page.
pub const CURSOR_BITS: u8 = 38;

/// Largest encoded batch in bytes: above it a command is refused before anything is applied. It must hold the
/// largest bulk argument (512 MiB) with its key.
pub const BATCH_BYTES_MAX: usize = 768 << 20;

/// Bytes that are kept for transactions that are seen before they are decided, from which on no more such are begun: what is twice in memory
/// is bounded by this, and by what each member begins until it has seen what the others have begun.
pub const SHOWN_BYTES: usize = 64 << 20;

/// How far ahead of the wall, in ms, the durable ceiling of the clock is set.
pub const CEILING_AHEAD_MS: i64 = 10_000;

/// How far ahead of a clock, in ms, that has run ahead of the wall: room for 16 million effects.
pub const CEILING_STEP_MS: i64 = 256;

/// The ceiling is renewed in the background when less than this many ms are left.
pub const CEILING_RENEW_MS: i64 = 5_000;

/// Databases that SELECT can be given at most.
pub const DATABASES_MAX: usize = 256;

/// Time between a checkpoint that failed and the next that begins by itself.
pub const CHECKPOINT_PAUSE: std::time::Duration = std::time::Duration::from_secs(60);

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

/// Keys that a checkpoint takes under one hold of a shard's lock: some tens of microseconds. Few in tests, for many holds.
pub const CHECKPOINT_STEP_KEYS: usize = if cfg!(test) { 16 } else { 128 };

/// Bytes of rows after which it lets the lock go all the same.
pub const CHECKPOINT_STEP_BYTES: usize = 128 << 10;

/// Elements of a value that is one row. Larger ones are taken piece by piece.
pub const CHECKPOINT_WHOLE_ELEMENTS: usize = if cfg!(test) { 128 } else { 512 };

/// Bytes in memory of a value that is one row.
pub const CHECKPOINT_WHOLE_BYTES: usize = if cfg!(test) { 8 << 10 } else { 64 << 10 };

/// Elements that one piece of a large value has, about: 0.1 ms of copying. Few in tests, for many pieces.
pub const CHECKPOINT_PART_ELEMENTS: usize = if cfg!(test) { 64 } else { 1024 };

/// Bytes after which a piece ends, unless one element has more.
pub const CHECKPOINT_PART_BYTES: usize = if cfg!(test) { 4 << 10 } else { 128 << 10 };

/// Bytes of log after which a checkpoint is taken by itself.
pub const CHECKPOINT_LOG_BYTES: u64 = 512 << 20;

/// Bytes of the tree's cache of blocks: what is read often is in memory as keys, and the system caches the files.
pub const ROWS_CACHE_BYTES: u64 = 16 << 20;

/// Data keys that rows are sealed with, one for each start that took a checkpoint. With more, all rows are sealed anew: the
/// registry, 68 bytes a key, is written whole when one is drawn.
pub const ROWS_DATA_KEYS_MAX: usize = if cfg!(test) { 3 } else { 1024 };

/// Values of rows that stand apart from them, from so many bytes on. Few in tests, so that most do.
pub const LARGE_VALUE_BYTES: usize = if cfg!(test) { 48 } else { mvcc::limits::LARGE_VALUE_BYTES };

/// Bytes at rest that nobody needs, beside half of all, after which all is compacted.
pub const ROWS_GARBAGE_BYTES: u64 = 16 << 20;

/// Threads that bring rows and the log into memory at a start, at most.
pub const LOADERS_MAX: usize = 8;

/// Bytes of log that are replayed together: some tens of thousands of effects, shared out among the threads.
pub const REPLAY_CHUNK_BYTES: usize = if cfg!(test) { 4 << 10 } else { 4 << 20 };

const _: () = assert!(REPLAY_CHUNK_BYTES + wal::MAX_PAYLOAD_BYTES < u32::MAX as usize, "a place in a chunk is a u32");

/// Chunks of the log that are laid out and wait to be applied.
pub const REPLAY_AHEAD: usize = 2;

/// Effects of a passage of the log from which on it is shared out: starting a thread takes as long as some hundred. Few in
/// tests, for many passages of both kinds.
pub const REPLAY_SHARED: usize = if cfg!(test) { 16 } else { 1024 };

/// Rows of a shard that a replay reads one by one before it considers reading all of them. Few in tests, for both ways.
pub const REPLAY_READS: u64 = if cfg!(test) { 4 } else { 64 };

/// A row takes so many times as long to be read by its name as in a row with others: once a replay has read one part in so many
/// of a shard's rows by their names, reading all of them costs as much again at most.
pub const REPLAY_READS_SHARE: u64 = 32;

/// Effects whose keys are looked ahead for.
pub const REPLAY_LOOKAHEAD: usize = 48;

/// The niceness of the threads that take checkpoints and compact them: they use what commands leave.
pub const CHECKPOINT_NICE: i32 = 5;

/// Least RAM of a cache keyspace: below it the disk tier's index would leave nothing for values.
pub const CACHE_RAM_BYTES_MIN: u64 = 4 << 20;

/// Least disk of a cache keyspace that has any: sixteen of the smallest segments.
pub const CACHE_DISK_BYTES_MIN: u64 = 4 << 20;

/// Smallest segment of a disk tier.
pub const CACHE_SEGMENT_BYTES_MIN: u64 = 256 << 10;

/// Largest segment of a disk tier.
pub const CACHE_SEGMENT_BYTES_MAX: u64 = 64 << 20;

const _: () = assert!(CACHE_DISK_BYTES_MIN >= 16 * CACHE_SEGMENT_BYTES_MIN, "a store needs some segments to clean");

/// The disk tier's index and buffers have one part in so many of a keyspace's RAM.
pub const CACHE_STORE_SHARE: u64 = 4;

/// Largest part in so many of a disk tier's RAM that one value may have.
pub const TIER_VALUE_SHARE: u64 = 4;

/// One part in so many is left to the allocator: it rounds up, and gives freed pages back late.
pub const CACHE_SLACK_SHARE: u64 = 8;

/// Husks may take so many percent of what is left.
pub const HUSK_PERCENT: u64 = 67;

/// The thread of the keyspaces makes room when less than one part in so many of the RAM is free.
pub const AHEAD_SHARE: u64 = 32;

/// Values that are demoted under one hold of a shard's lock.
pub const DEMOTE_BATCH: usize = 8;

/// How often room is made for a value that the disk tier did not take at once, before it is dropped.
pub const DEMOTE_TRIES: usize = 1;

/// The same when all values come to rest for a stop: others may take the room that was made.
pub const REST_TRIES: usize = 100;

/// How long somebody waits, with nothing locked, for a disk tier to have room.
pub const TIER_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Names that may be left to be hidden at once in a disk tier that comes back: under its lock, for tens of microseconds.
pub const AWAY_NAMES: usize = 64;

/// How often more than that are hidden before it comes back.
pub const AWAY_ROUNDS: usize = 64;

/// Keys that are looked at, in search of husks, under one hold of a shard's lock.
pub const HUSK_STEP: usize = 256;

/// Records of emptied databases that a disk tier forgets at a time.
pub const GARBAGE_BATCH: usize = 4096;

/// Keys that are looked at, in search of those to be moved, under one hold of a shard's lock.
pub const MOVE_KEYS: usize = 256;

/// Steps of moving keys in one round of the keyspaces' thread.
pub const MOVE_STEPS: usize = 32;

/// Time after which keys that could not be moved are tried again.
pub const MOVE_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// How often a value is read again that changed while it was read.
pub const LOAD_TRIES: usize = 64;

/// Keyspaces beside `default`: each that is defined is asked for every key.
pub const KEYSPACES_MAX: usize = 64;

/// Patterns of one keyspace.
pub const KEYSPACE_PATTERNS_MAX: usize = 64;

/// Bytes of a pattern.
pub const KEYSPACE_PATTERN_MAX: usize = 1024;

/// Bytes of a keyspace's name.
pub const KEYSPACE_NAME_MAX: usize = 64;

/// Steps of looking for husks without a value in one round of the keyspaces' thread.
pub const SWEEP_STEPS: usize = 64;

/// Rows that are read together when a shard is filled from rest: they are brought in under one hold of its lock. Few in tests,
/// for many holds.
pub const FILL_ROWS: usize = if cfg!(test) { 16 } else { 256 };

/// Bytes of values after which no more are read together.
pub const FILL_BYTES: usize = 256 << 10;

/// Names of absent keys that a database of a shard remembers to be absent at rest as well. Few in tests, so that they are forgotten.
pub const VACANT_MOST: usize = if cfg!(test) { 4 } else { 1024 };

/// Parts of a table, of up to some tens of keys each, in which keys to be evicted are looked for under one hold of its lock.
pub const EVICT_SEGMENTS: usize = 4;

/// Keys are evicted when less than one part in so many of the memory is free.
pub const EVICT_AHEAD_SHARE: u64 = 16;

/// And then until one part in so many is.
pub const EVICT_SHARE: u64 = 10;

/// A start brings keys into memory until so many percent of it are taken.
pub const FILL_PERCENT: u64 = 75;

/// Once that is so, it goes on only when less than this many percent are taken.
pub const FILL_AGAIN_PERCENT: u64 = 50;

/// Bytes of log that a start replays in no time: with more, a stop takes a checkpoint.
pub const CLOSE_LOG_BYTES: u64 = 16 << 20;

/// Where memory is bounded, a checkpoint is due when the log has grown by one part in so many of it: what has changed cannot be
/// evicted before.
pub const DIRTY_SHARE: u64 = 4;

/// Time between two looks for what has expired at rest, each at one shard.
pub const SWEEP_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// After a look the thread rests so many times as long as it took.
pub const SWEEP_REST_FACTOR: u32 = 20;

/// Bytes of log that are kept for the next backup, unless told otherwise.
pub const BACKUP_LOG_BYTES: u64 = 1 << 30;

/// Repositories of which a data directory knows what they hold of its log. With more, the one that was written to first is
/// forgotten, and its next backup is a whole one.
pub const BACKUP_MARKS_MAX: usize = 8;

/// Bytes of what the writer of backups notes of one repository.
pub const BACKUP_NOTE_BYTES_MAX: usize = 4 << 10;

/// Elements of a large value that come into memory under one hold of a lock, about.
pub const PART_ELEMENTS: usize = if cfg!(test) { 32 } else { 1024 };

/// What one command may bring into memory of one value is one part in so many of what there is.
pub const ONE_SHARE: u64 = 2;

/// Bytes of log between two notes of what stands before a position: as much is read at most to find where a peer is to go on.
pub const WAYMARK_BYTES: u64 = 4 << 20;

/// Bytes of the log's end in which the recent effects on a key are looked for: a fraction of a second's reading.
pub const RECENT_BYTES: u64 = 64 << 20;

/// Effects on a key that is never quiet, after which what is stable of them is forgotten: forgetting looks at all that is recent on it.
pub const FORGET_EFFECTS: u32 = 256;

/// Keys and effects for which a shard keeps room when it has fewer.
pub const SUFFIX_KEPT: usize = 64;

/// Bytes of log between two records of what is stable: as much of the log, at most, stays recent after a start although it is not.
pub const STATE_BYTES: u64 = 1 << 20;

/// How long, in ms, a command may take from the moment at which it reads to the timestamps of what it writes, where there are other
/// replicas. What has expired is kept for that much longer, and a command that takes more is refused.
pub const READ_LAG_MS: i64 = 30_000;

/// When, in ms, it is looked again at a key that has expired and on which there are recent effects.
pub const RECLAIM_AGAIN_MS: i64 = 1_000;

/// Bytes of recent effects, about, that a checkpoint writes as one row.
pub const RECENT_ROW_BYTES: usize = if cfg!(test) { 256 } else { 64 << 10 };

/// Notes of when rows were written, 16 bytes each, in a record of `again/copied.rs`.
pub const COPIED_NOTES: usize = if cfg!(test) { 2 } else { 4096 };

/// Bytes of log, and of what was kept aside, that are looked at in one step of writing again, about: some milliseconds.
pub const AGAIN_STEP_BYTES: usize = if cfg!(test) { 64 } else { 4 << 20 };
