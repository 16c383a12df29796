//! Brings what the files of Redis and Valkey hold into a database of ours.
//!
//! It is the way in, not the format (that is `rdb`) and not the command line (that is the binary): it opens no file and no
//! directory, and knows no clock.
//!
//! ```text
//!   Read ─▶ rdb::Dump ─▶ Gather ─▶ Chunk ═▶ Loader ─▶ Context::commit ─▶ log, state
//!           one thread                      the other
//! ```
//!
//! [`check`] does all but the right half: it reads a file to its end and says what it holds, or what is wrong with it. Whoever
//! can read a file twice checks it first, so that a damaged one changes nothing. [`load`] commits as it goes: chunks of
//! about a MiB, each key whole or not at all.
//!
//! Read first: [`Plan`], [`load`], [`Summary`].
//!
//! *Invariant:* memory is bounded whatever the file: a few chunks, and the largest string that the file has.
//!
//! *Invariant:* state changes only as it does for commands, by effects that a context commits.

mod chunk;
mod error;
mod gather;
pub mod limits;
mod load;
mod plan;
mod read;
mod summary;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use plan::{Existing, Plan};
pub use read::{Failed, Progress, check, holds_keys, load};
pub use summary::{Done, Kinds, Summary};
