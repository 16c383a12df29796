//! The RESP2 and RESP3 wire protocol. Pure: no I/O, no clock, no runtime.
//!
//! ```text
//!   bytes from a client ──▶ Decoder ──▶ Args (a view) ──▶ the command ──▶ Reply ──▶ bytes to the client
//!                              │           │                                │
//!                         ProtocolError  OwnedArgs (queued, blocked)   Protocol::Resp2 | Resp3
//!
//!   bytes from a server ──▶ ReplyDecoder ──▶ Value        (tests, benches and tools)
//! ```
//!
//! Read first: [`Decoder`], [`Args`], [`Reply`].
//!
//! It is not a client and not a server: it never sees a socket, and it does not know what any command means.
//!
//! *Invariant:* nothing here allocates in proportion to a length that a peer merely announced; memory follows the
//! bytes that have arrived.

mod args;
mod decoder;
mod error;
mod fuzz;
mod inline;
mod limits;
mod number;
mod reply;
mod reply_decoder;
mod value;

pub use args::{ArgRanges, Args, ArgsIter, Note, OwnedArgs};
pub use decoder::{Decoder, Progress};
pub use error::{ProtocolError, ReplyError};
pub use fuzz::fuzz_decoder;
pub use inline::split_line;
pub use limits::{
    DEFAULT_MAX_ARGS, DEFAULT_MAX_BULK_LEN, DEFAULT_MAX_LINE_LEN, DEFAULT_MAX_QUERY_BUFFER, Limits, MAX_OFFSET,
    MAX_REPLY_DEPTH, UNAUTHENTICATED_MAX_ARGS, UNAUTHENTICATED_MAX_BULK_LEN,
};
pub use number::{parse_i64, write_double, write_double_17, write_i64, write_u64};
pub use reply::{Deferred, Mark, Protocol, Reply, write_command};
pub use reply_decoder::ReplyDecoder;
pub use value::Value;
