//! A versioned, ordered store: keys to values at timestamps, with optimistic transactions, retention and snapshots; and
//! the row formats that turn Redis' collections into such keys.
//!
//! **What it is.** [`Store`] is the contract. [`MemStore`] keeps everything in memory and is written to be obviously
//! right: it is the model. [`LsmStore`] keeps it on disk in one LSM tree (the library `fjall`). One suite of tests
//! holds for both, and random operations on both are compared. [`wide`] has pure functions from hashes, sets, sorted
//! sets, lists and streams to rows and back.
//!
//! **What it is not.** It has no clock, decides no timestamps, knows no protocol, replicates
//! nothing and has no keys: values are sealed if the owner gives an `envelope::Cipher`, row keys never are.
//!
//! ```text
//!   Transaction ─▶ input checks ─▶ writers' lock ─▶ order, conflicts ─▶ one batch: rows + state ─▶ tree
//!   sorted run  ─▶ input checks ─▶ writers' lock ─────────────────────▶ one ingestion            ─▶ tree
//!
//!   get, scan   ─▶ current row ─▶ newer than asked for? ─▶ history row ─▶ above the watermark still? ─▶ version
//!
//!   delete_prefix ─▶ one row, hides at once ─▶ swept later, a few hundred keys at a time
//!   dead rows     ─▶ hidden at once, by what the owner says; dropped by compactions of the tree
//!   compact       ─▶ watermark durable ─▶ reads below are refused ─▶ rows collected ─▶ watermark committed
//! ```
//!
//! Read first: [`Store`], [`Transaction`], [`MemStore`].
//!
//! *Invariant:* commits ascend. A version never appears at or below a timestamp that could be read before.
//!
//! *Invariant:* a row that [is garbage] under the watermark is absent for every operation, so it makes no difference
//! when, and by whom, it is collected.
//!
//! *Invariant:* nothing scans the store when it is opened.
//!
//! *Invariant:* a sealed value is opened in one place, bound to its header and its row's key; one that does not open is an
//! error, never a miss.
//!
//! *Invariant:* what a key is followed by in a row key is never confused with a longer key.
//!
//! [is garbage]: Store#method.compact

mod class;
mod conflict;
mod deletes;
mod error;
mod groups;
mod header;
mod input;
mod layout;
pub mod limits;
mod lsm;
mod mem;
mod pace;
mod pins;
mod snapshot;
mod span;
mod store;
mod timestamp;
mod value;
pub mod wide;

pub use class::KeyClass;
pub use conflict::{ConflictCounts, conflict_label, parse_conflict_label};
pub use error::{BadInput, Conflict, ConflictKind, Error, Part, Result};
pub use lsm::{Cleaning, DeadRows, LsmStore, MajorCompaction, Options, Reencryption, RunWriter, Stats};
pub use mem::MemStore;
pub use pace::{Others, Pace};
pub use pins::{Pin, Watermark};
pub use span::{Direction, Span, prefix_end};
pub use store::{
    Applied, Bounds, Compaction, Mutation, Page, PrefixDelete, Retention, RunRow, Snapshot, Source, Store, Transaction,
};
pub use timestamp::Timestamp;
pub use value::{Row, Value, Version};
