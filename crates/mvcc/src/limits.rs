//! Every limit of this crate, with its unit and its reason.

/// Longest key in bytes. A superseded version's row carries the key in groups of eight with a marker byte each, a tag
/// and a timestamp, and the LSM tree below takes row keys of at most 65,535 bytes.
pub const MAX_KEY_BYTES: usize = 56 << 10;

/// Longest user key, field or member in bytes: what Redis lets a string hold.
pub const MAX_NAME_BYTES: usize = 512 << 20;

/// Largest value in bytes, and what a reader may have to hold in memory at once: a name that does not fit into its
/// row's key, a string of Redis, and what stands in front of them.
pub const MAX_VALUE_BYTES: usize = MAX_NAME_BYTES + (512 << 20) + 64;

/// Most mutations that one transaction may carry; all of them are held in memory until they are committed.
pub const MAX_MUTATIONS: usize = 1 << 20;

/// Most bytes of keys and values that one transaction may carry.
pub const MAX_TRANSACTION_BYTES: usize = 2 << 30;

/// Most keys and spans that a transaction may name as read; each costs a look-up under the writers' lock.
pub const MAX_READ_SET: usize = 1 << 20;

/// Prefix deletions that may wait to be carried out row by row. Every read looks through them, so one more than this
/// makes the next deletion finish the oldest first.
pub const MAX_PREFIX_DELETES: usize = 64;

/// How long a thread in the background works before it lets others go first: what a waking thread has to wait for it.
pub(crate) const PACE_BURST: std::time::Duration = std::time::Duration::from_micros(100);

/// So many times as long as it works it may be away because it let others go: a quarter of a processor is its share.
pub(crate) const PACE_AWAY: i64 = 3;

/// Time away that it can save up while nobody else needs the processor, and that it can owe.
pub(crate) const PACE_CREDIT: std::time::Duration = std::time::Duration::from_millis(100);

/// Rows that a compaction of the tree takes between two looks at its pace: some tens of microseconds.
pub(crate) const PACE_ROWS: u32 = 16;

/// Rows that a sweep or a compaction handles under the writers' lock at a time: a fraction of a millisecond.
pub(crate) const SWEEP_ROWS: usize = 256;

/// Bytes of rows that a sweep rewrites in one batch, so that large values do not add up in memory.
pub(crate) const SWEEP_BYTES: usize = 4 << 20;

/// Most seals that a writer of rows asks for at once: then asking costs nothing beside sealing.
pub(crate) const MAX_SEALS_AHEAD: u32 = 1024;

/// Values of so many bytes stand apart if nobody says anything else: they are a block of the tree or more, and what a row keeps of
/// them is less than a hundredth.
pub const LARGE_VALUE_BYTES: usize = 4 << 10;

/// Bytes after which the next file of values is begun if nobody says anything else: some thousands of files for a terabyte, each
/// cleaned in a second or two. As many bytes of values are moved in one run: what a clean takes on the disk before it gives back.
pub const VALUE_FILE_BYTES: u64 = 256 << 20;

/// Files of values that are kept open at most, so that they leave most of a usual limit of 1,024 to others; the rest is opened for each read.
pub(crate) const VALUE_FILES_OPEN: usize = 256;

/// Files of values that a clean looks at in any case. Those in which much is dead let it look at more.
pub(crate) const CLEAN_LOOKS: usize = 4;

/// Files this many times smaller than a full one are joined with others.
pub(crate) const SMALL_FILE_SHARE: u64 = 8;

/// So many small files are worth being joined.
pub(crate) const SMALL_FILES: usize = 8;

/// Bytes after which a snapshot closes a frame of rows.
pub(crate) const SNAPSHOT_FRAME_BYTES: usize = 256 << 10;

/// Largest frame that a restore accepts: one row of the largest size, or a closed frame and its last row.
pub(crate) const MAX_SNAPSHOT_FRAME_BYTES: usize = SNAPSHOT_FRAME_BYTES + MAX_ROW_KEY_BYTES + MAX_VALUE_BYTES + 256;

/// The longest row key of the tree below, in bytes.
pub(crate) const MAX_ROW_KEY_BYTES: usize = u16::MAX as usize;

/// A prefix deletion names a prefix and a prefix to spare; together they are one row.
pub(crate) const MAX_PREFIX_BYTES: usize = MAX_KEY_BYTES;

const _: () = assert!(MAX_KEY_BYTES.div_ceil(8) * 9 + 9 + 1 + 8 <= MAX_ROW_KEY_BYTES, "a history row's key must fit");
const _: () = assert!(MAX_VALUE_BYTES + MAX_KEY_BYTES < MAX_TRANSACTION_BYTES, "the largest value must be accepted");
const _: () = assert!(MAX_SNAPSHOT_FRAME_BYTES < u32::MAX as usize, "a frame's length is a u32");
