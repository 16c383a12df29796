//! The bounds of this crate, with unit and reason.

/// Bytes of values that are committed as one batch, about: enough that locks and the log's record cost nothing.
pub const CHUNK_BYTES: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };

/// Keys that are committed as one batch.
pub const CHUNK_KEYS: usize = if cfg!(test) { 64 } else { 4096 };

/// Bytes after which a collection goes on in a next piece: no value but a string is ever whole in memory twice.
pub const PIECE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// Chunks that wait between the thread that reads and the one that commits.
pub const CHUNKS_AHEAD: usize = 2;

/// Memory in bytes of a chunk that is used again; a larger one, made for one large string, is given back.
pub const CHUNK_KEPT: usize = 4 * CHUNK_BYTES;

/// Keys between two reports of progress.
pub const PROGRESS_KEYS: u64 = 512;

/// How often a value is loaded that a piece has to be added to, before the key is given up: it is evicted again and again.
pub const LOAD_TRIES: usize = 64;

/// Databases: what a file's numbers must be mapped to, at most.
pub const DATABASES: u64 = engine::limits::DATABASES_MAX as u64;

const _: () = assert!(CHUNK_BYTES + PIECE_BYTES < engine::limits::BATCH_BYTES_MAX / 4, "a chunk fits into a batch");
const _: () = assert!(
    rdb::limits::STRING_BYTES_MAX < engine::limits::BATCH_BYTES_MAX as u64,
    "whatever string a file has can be committed"
);
