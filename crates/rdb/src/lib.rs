//! Redis' serialisation: one value as DUMP answers it, and the files that Redis and Valkey of all versions write.
//!
//! It reads; what it has read it hands on part by part. It opens no file and changes no state, and of writing it knows
//! only lengths and strings.
//!
//! ```text
//!   Read ─▶ Stream ─▶ Dump ─▶ Record ─▶ whoever asks
//!                      └── value ─▶ Sink: Part, Part, …     (one parser of values for both)
//!   payload ─▶ Slice ──────┘            └─▶ Value, whole, for RESTORE
//! ```
//!
//! Read first: [`Dump`], [`Sink`], [`Error`].
//!
//! *Invariant:* bytes are read or refused, with an offset. Nothing panics on them, and memory follows the bytes that have
//! arrived: one string at a time, [`limits::STRING_BYTES_MAX`] at most.

mod bytes;
mod crc64;
mod error;
mod file;
mod input;
pub mod kinds;
pub mod limits;
mod lzf;
mod object;
mod packed;
mod payload;
mod put;
mod skip;
mod source;
mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod unique;
mod value;

pub use crc64::{Crc64, checksum};
pub use error::Error;
pub use file::{Checksum, Dump, Record};
pub use input::{Input, Slice, Stream};
pub use kinds::Dialect;
pub use object::{Nowhere, Part, Sink, kind_of};
pub use payload::{Refused, body, payload};
pub use put::{put_len, put_string};
pub use skip::Foreign;
pub use unique::Unique;
pub use value::Value;
