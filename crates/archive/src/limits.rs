//! All limits of the crate, with unit and reason.

/// Bytes of plaintext in a chunk unless told otherwise. Larger ones compress little better (see the example
/// `seal_file`), smaller ones cost a tag and a frame of `zstd` each.
pub const CHUNK_BYTES: usize = 256 << 10;

/// The smallest chunk: below this the costs of a chunk show.
pub const LEAST_CHUNK_BYTES: usize = 64 << 10;

/// The largest chunk: both sides hold a few of them, so it bounds their memory.
pub const MOST_CHUNK_BYTES: usize = 1 << 20;

/// Chunks of one object. With the largest chunks that is 2^48 blocks of AES under one key, for which the advantage of
/// somebody who tries to tell GCM from a random function is below 2^-30.
pub const MOST_CHUNKS: u64 = 1 << 32;

/// Bytes of a key file; a public key's has about two thousand.
pub const MOST_KEY_FILE_BYTES: u64 = 64 << 10;

/// Bytes of an object's name. Stores take 1024, but some count what they escape, and there may be a prefix before it.
pub const MOST_NAME_BYTES: usize = 512;

/// Bytes of a part of a name between slashes: file systems take 255.
pub const MOST_PART_BYTES: usize = 200;

/// Bytes of an object that is put, or of a range that is read, in one piece: it is held in memory.
pub const MOST_WHOLE_BYTES: usize = 64 << 20;

/// Entries of one page of a listing.
pub const MOST_PAGE: usize = 10_000;

/// Bytes of one part of an upload in parts. Stores take 10,000 parts, so an object may have 160 GB.
pub const UPLOAD_PART_BYTES: usize = 16 << 20;

/// Parts of one upload: what S3 takes.
pub const MOST_UPLOAD_PARTS: usize = 10_000;

/// Bytes of an upload that plain HTTP keeps in memory, so that it can be sent again; what is longer goes through a
/// file.
pub const SPOOL_BYTES: usize = 1 << 20;

/// Bytes of a listing that an HTTP service may send for one directory.
pub const MOST_LISTING_BYTES: usize = 32 << 20;

/// Bytes of an error's body that are kept for its message.
pub const MOST_ERROR_BYTES: usize = 512;

/// How often the download of one object is taken up again where it broke off.
pub const MOST_RESUMES: u32 = 16;

/// Directories between the root of a listing and an object: names have no more parts than this.
pub const MOST_DEPTH: usize = 32;

const _: () = assert!(LEAST_CHUNK_BYTES.is_power_of_two() && MOST_CHUNK_BYTES.is_power_of_two());
const _: () = assert!(LEAST_CHUNK_BYTES <= CHUNK_BYTES && CHUNK_BYTES <= MOST_CHUNK_BYTES);
const _: () = assert!(CHUNK_BYTES.is_power_of_two());
const _: () = assert!(MOST_PART_BYTES <= MOST_NAME_BYTES);
const _: () = assert!(SPOOL_BYTES <= MOST_WHOLE_BYTES && UPLOAD_PART_BYTES <= MOST_WHOLE_BYTES);
