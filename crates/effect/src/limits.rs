//! Every limit of this crate, with its unit and its reason.

/// Longest string that a patch may make, in bytes: a patch names the offset that it writes at, so a few bytes of it could ask for
/// any amount of memory. The longest argument that the protocol carries, and so the largest `proto-max-bulk-len` that counts.
pub const MAX_STRING_BYTES: u64 = 4 << 30;

/// Most keys of one transaction that is to be decided: each costs a look-up per competitor on every replica.
pub const MAX_BIND_KEYS: usize = 1 << 16;

/// Most positions in one run that is cut out of a list, by their count: a list has no more elements.
pub const MAX_RUN: u64 = u32::MAX as u64;
