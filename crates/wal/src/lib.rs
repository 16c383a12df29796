//! A segmented, checksummed, group-committed log of opaque records: the one physical log of a node.
//!
//! **What it is.** An append-only sequence of records, cut into segment files. Appending copies bytes into a buffer
//! under one short lock; writing and fsync happen elsewhere, for many appenders at once. Whoever needs durability
//! waits for a [`Position`]. What is read back is what was appended, or an error that names file and offset.
//!
//! **What it is not.** It does not know what a record means, keeps no index, compresses nothing, has no keys
//! (payloads are encrypted if the owner gives an `envelope::Cipher`), replicates nothing, and never repairs silently: the only bytes it ever drops are
//! those of a tail that nothing proves to have been durable, and it reports them in [`Recovery`].
//!
//! ```text
//!   lock() ─▶ Appender ─append─▶ buffer ──swap──▶ batch ──write──▶ segment file ──fdatasync──▶ durable
//!             (+ the owner's     (RAM,            (one flusher      │     (rotated when full)     │
//!              sequencer state)   bounded)         at a time)       ▼                             ▼
//!                                                               written() ─▶ Reader      durable() ─▶ commit() returns
//!
//!   commit(pos)   one caller leads: swaps, writes, syncs, publishes; the others wait for its result
//!   write_up_to() before a reply: what is written survives this process; also the back-pressure
//!   background    writes out every 100 ms or 1 MiB; `EverySec`: one fdatasync a second; asleep when idle
//!   open          survey headers ─▶ scan frames ─▶ cut an unproven tail ─▶ make the rest durable ─▶ Log
//! ```
//!
//! Read first: [`Log`], [`Appender`], [`format`] (the bytes, drawn).
//!
//! The last record stays open while it is only in the buffer: [`Appender::extend`] adds to it, and it gets its length and its
//! check when something else follows, or when somebody wants the end of the log.
//!
//! *Invariant:* a position grows by exactly the bytes of a frame; segments join without a gap, so a missing one shows.
//!
//! *Invariant:* a segment file has its final name only after its header is durable, and only after all of the segment
//! before it is durable. So a bad byte in any segment but the last is corruption, never a torn write.
//!
//! *Invariant:* `durable <= written <= end`, and each only grows. Every flush ends with a mark that says how far the log
//! was durable when it was written; a bad record below any mark that survives is corruption, one above it a torn tail.
//!
//! *Invariant:* nothing is published as durable before an fdatasync that began after its write has answered Ok; after one
//! has failed nothing is ever written or synced again.
//!
//! *Invariant:* where payloads are encrypted, nothing of one is written before it is, and whether a tail is torn is decided
//! without keys.
//!
//! *Invariant:* no I/O happens under the append lock. Locks are taken in the order gate, writer, append.

mod active;
mod background;
mod batch;
mod check;
mod core;
pub mod disk;
mod encrypt;
mod error;
pub mod format;
mod frames;
mod gate;
mod limits;
mod log;
mod options;
mod position;
mod progress;
mod reader;
mod recover;
mod scan;
mod segments;
mod stats;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod writer;

pub use active::Appender;
pub use check::{After, Fault, Report, begin_at, check, check_disk, salvage, salvage_disk};
pub use error::{Action, Failure, Health, LogError, Reason};
pub use format::Kind;
pub use limits::{MAX_PAYLOAD_BYTES, MIN_SEGMENT_BYTES};
pub use log::Log;
pub use options::{Background, Fsync, Options, Preallocate, Verify};
pub use position::Position;
pub use reader::{Reader, Record};
pub use recover::{Recovery, Tail};
pub use stats::Stats;
