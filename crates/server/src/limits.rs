//! The bounds of this crate, with unit and reason.

/// Bytes of the commands of one transaction: as many as a query buffer may hold.
pub const TRANSACTION_BYTES_MAX: usize = 1 << 30;

/// Keys that changed and wait to be served in one go; more than this means that served clients keep feeding each other.
pub const SERVE_ROUNDS_MAX: usize = 100_000;
