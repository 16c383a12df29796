//! Every fixed limit of the crate, with its unit and its reason.

/// Longest key in bytes: the record header keeps the length in 16 bits.
pub const MAX_KEY_BYTES: usize = u16::MAX as usize;

/// Longest value in bytes: lengths travel in 31 bits, the top bit of a footer's length marks a tombstone.
pub const MAX_VALUE_BYTES: usize = (1 << 31) - (1 << 20);

/// Bytes of a value that share one checksum, so that a part of a large value can be read and verified alone.
pub const PIECE_BYTES: usize = 64 * 1024;

/// Records start at multiples of this, so that 32 bits of the index address 32 GiB of a segment.
pub const RECORD_ALIGN: u64 = 8;

/// Shards of the index; each has its own lock and its own eviction queue.
pub const INDEX_SHARDS: usize = 256;

/// Items that one shard can hold: a link has 22 bits, of which one value means "none".
pub const SHARD_ITEMS: usize = (1 << 22) - 1;

/// Shards of the table of buffers that are in RAM.
pub const RESIDENT_SHARDS: usize = 64;

/// RAM charged for a record in RAM beside its bytes: `Arc`, job, table entry and allocator slack.
pub const RECORD_OVERHEAD_BYTES: usize = 192;

/// Bytes that one round of writing takes from the queue. Larger rounds starve reads on a shared hardware queue.
pub const ROUND_BYTES: usize = 8 * 1024 * 1024;

/// Rounds that are on their way at once where nothing is synced: the device has the next one when it is done with one.
/// As many threads write in the background.
pub const ROUNDS_AT_ONCE: u64 = 2;

/// Jobs that one round takes: `IOV_MAX` of Linux.
pub const ROUND_JOBS: usize = 1024;

/// Blocks of writes past the page cache, and of the places of large records: a multiple of every device's own.
pub const BLOCK_BYTES: usize = 4 * 1024;

/// Records of this many bytes or more lie on whole blocks, in memory and on disk, and are written from where they are.
/// That wastes two blocks at most, and one on average: a thirty-second of the smallest such record.
pub const LARGE_RECORD_BYTES: u64 = 128 * 1024;

/// Fewer bytes than this go through the page cache, where they cost less than opening the file once more.
pub const DIRECT_MIN_BYTES: usize = 1024 * 1024;

/// Bytes of one write past the page cache: more at once was slower on the disks that were measured.
pub const DIRECT_PIECE_BYTES: usize = 1024 * 1024;

/// Reads of this many bytes or more are announced to the disk before they are made.
pub const ANNOUNCE_MIN_BYTES: usize = 512 * 1024;

/// Rounds of writing after a read from disk that go through the page cache, where the next readers may find them.
pub const ROUNDS_AFTER_READ: u64 = 32;

/// Most bytes of one read past the page cache: a record that lies on no blocks, and what it shares its blocks with.
pub const DIRECT_READ_BYTES: usize = LARGE_RECORD_BYTES as usize + 2 * BLOCK_BYTES;

/// Reads that go past the page cache at once; more go through it.
pub const DIRECT_READS_AT_ONCE: u64 = 4;

/// RAM of the buffers for such writes and reads: one for each round, and for each read at once.
pub const DISK_BUFFER_BYTES: u64 = ROUNDS_AT_ONCE * (DIRECT_PIECE_BYTES + BLOCK_BYTES) as u64
    + DIRECT_READS_AT_ONCE * (DIRECT_READ_BYTES + BLOCK_BYTES) as u64;

/// A RAM limit below this many times the buffers has better uses for them.
pub const DISK_BUFFER_SHARE: u64 = 12;

/// Smallest segment; below this the header and footer would dominate.
pub const MIN_SEGMENT_BYTES: u64 = 4 * 1024;

/// Segments the disk limit has to hold: one being written, one being cleaned, one kept free for the cleaner, one of data.
pub const MIN_SEGMENTS: u64 = 4;

/// Largest key page of a footer before a new one is begun; one key may exceed it alone.
pub const KEY_PAGE_BYTES: usize = 4 * 1024;

/// How often a read looks again after the record moved under it. Each retry needs another relocation or overwrite.
pub const READ_RETRIES: usize = 16;

/// Sequence numbers skipped at every open, so that a version seen before a crash is never given out again.
pub const SEQ_SKIP: u64 = 1 << 20;

/// Files of segments that went which wait to be written anew: as many as are kept free ahead of need, so that more of them
/// would only keep disk that others could use.
pub const MAX_SPARES: usize = 2;

/// Interrupted or would-block calls that are repeated before they count as a failure.
pub const TRANSIENT_RETRIES: usize = 8;

/// Items evicted under one hold of the writer lock.
pub const EVICT_BATCH: usize = 64;

const _: () = assert!(PIECE_BYTES.is_power_of_two());
const _: () = assert!(MAX_VALUE_BYTES + MAX_KEY_BYTES + (MAX_VALUE_BYTES / PIECE_BYTES) * 4 + 64 < 1 << 31);
const _: () = assert!(INDEX_SHARDS == 256, "a shard is named by the top byte of the hash");
const _: () = assert!(MIN_SEGMENT_BYTES.is_multiple_of(RECORD_ALIGN));
const _: () = assert!((BLOCK_BYTES as u64).is_multiple_of(RECORD_ALIGN) && LARGE_RECORD_BYTES >= BLOCK_BYTES as u64);
