//! Copies of the state for nodes that cannot catch up from any log: they join a group whose log has been cut, or were away for too long.
//!
//! ```text
//!   taker                                   giver
//!     │ ── Want ─────────────────────────────▶ │  takes a checkpoint; its rows become a stream
//!     │ ◀──────────── Head: what it covers ─── │
//!     │ ◀──────────── Chunk, Chunk, … ──────── │  so many at once as are not acknowledged
//!     │ ── Ack ──────────────────────────────▶ │
//!     │ ── Want, from chunk n ───────────────▶ │  after a broken connection, for a while
//!     │ ◀──────────── End ──────────────────── │
//!   a data directory in `snapshot`; the process starts anew on it, as a restored node, and catches up from logs
//! ```
//! *Invariant:* both sides hold a window of chunks at most, however large the state is.
//!
//! *Invariant:* a copy takes the place of what a node has only if all of that is in it, or other members have it for good
//! (`whole.rs`).

mod adopt;
mod give;
mod message;
mod take;

pub use adopt::adopt;
pub(crate) use adopt::{prepare, prepare_nothing};
pub(crate) use give::Giver;
pub(crate) use message::Message;
pub(crate) use take::{Taken, Taker};
