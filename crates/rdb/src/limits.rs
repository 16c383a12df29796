//! The bounds of this crate, with unit and reason.

/// Bytes that are read at once. Large enough that reading is cheap, small enough that nobody notices the memory.
pub const BLOCK_BYTES: usize = if cfg!(test) { 64 } else { 256 << 10 };

/// Largest string in bytes, as it stands in a file and unfolded: a key, a value, an element, or a collection in one blob.
/// Redis takes no more than 512 MiB by itself, and one batch has to hold it.
pub const STRING_BYTES_MAX: u64 = 700 << 20;

/// Fields of a hash's template, and templates of one file, together: each is kept until the file has been read. Bounds
/// the memory that a file can ask for in this way to about 16 times as many bytes.
pub const TEMPLATE_FIELDS_MAX: usize = 1 << 20;

/// Bytes of the names in all templates of a file.
pub const TEMPLATE_BYTES_MAX: usize = 64 << 20;

/// Members up to which one that is there twice is looked for by comparing each with each.
pub const FEW_MEMBERS: usize = 16;
