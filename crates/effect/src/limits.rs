//! Every limit of this crate, with its unit and its reason.

/// Longest string that a patch may make, in bytes: a patch names the offset that it writes at, so a few bytes of it could ask for
/// any amount of memory. The longest argument that the protocol carries, and so the largest `proto-max-bulk-len` that counts.
pub const MAX_STRING_BYTES: u64 = 4 << 30;

/// Most positions in one run that is cut out of a list, by their count: a list has no more elements.
pub const MAX_RUN: u64 = u32::MAX as u64;
