//! The vocabulary of change: what a command did, as bytes that every other part understands.
//!
//! It is the format of the log, of replication and of recovery. It is not state: nothing here knows what a key
//! holds, reads a clock, draws a random number or does I/O.
//!
//! ```text
//! command ─Op─▶ BatchBuf ─(seq, hlc)─▶ record of the log, bytes to peers
//!                                             │
//!                 Batches ─▶ Batch ◀─decode───┘ ─Effects─▶ apply
//! ```
//!
//! Read first: [`Op`], [`BatchBuf`], [`Batch`], [`Batches`].
//!
//! *Invariant:* every format here has a golden file; numbers of operations, kinds and merge rules are never reused.
//! *Invariant:* bytes from outside are read or refused, with an offset; nothing here panics on them. Whatever is read is
//! borrowed, but for the insertion paths of list positions, which take at most twice the memory of their bytes.
//! *Invariant:* a value has one encoding; any other is refused.

pub mod batch;
pub mod codec;
pub mod glob;
pub mod hlc;
pub mod id;
pub mod items;
pub mod keyspaces;
pub mod limits;
pub mod numeric;
pub mod op;
pub mod pos;
pub mod record;
pub mod reduce;
mod relay;
pub mod stamp;
pub mod trace;
pub mod value;
pub mod vector;
pub mod wire;

pub use batch::{Batch, BatchBuf, BatchMark, Effects};
pub use hlc::{Hlc, HlcClock, Tick};
pub use id::{Dot, GroupId, HashSeed, KeyHash, KeyspaceId, Origin, Slot};
pub use items::{Item, ItemValue, Seq, SeqBuf};
pub use keyspaces::{DEFAULT_KEYSPACE, GroupKeyspace, GroupKeyspaces};
pub use op::{Bind, Deadline, Definition, Effect, GroupDefinition, Kind, Merge, Mode, Op, Patch, Side};
pub use pos::{ListPos, Path, PathStep};
pub use record::{Batches, RecordEnd};
pub use stamp::{Stamp, fork_choice_hash, fork_choice_less};
pub use trace::TraceContext;
pub use value::{Folded, FoldedWriter, Part};
pub use vector::Vector;
pub use wire::WireError;
