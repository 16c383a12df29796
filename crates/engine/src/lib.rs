//! The engine: where effects become state.
//!
//! It holds all keys in RAM, in 256 shards of one lock each, and the log of their changes. It is not a server: it knows
//! no client, no protocol and no command.
//!
//! ```text
//!              ┌──────────── Context ────────────┐
//!  command ──▶ │ State (read, may Miss)          │ commit ─▶ log (dots, HLC, position: one critical section)
//!              │ Emitter (effects, one batch)    │    └────▶ apply ─▶ shards ─▶ waiters, watches
//!              └─────────────────────────────────┘
//!  recovery ── log ─▶ apply ─▶ shards            keeper ─▶ reclaims what has expired, keeps the ceiling ahead
//! ```
//!
//! Read first: [`Engine`], [`Context`], [`State`].
//!
//! *Invariant:* state changes only through `apply(effect)`; reclaiming what every reader already hides is no change.
//! *Invariant:* log order is dot order, and per key the order in which effects were applied.
//! *Invariant:* whatever a context settled is either committed whole or undone before its locks drop.

mod again;
mod apply;
pub mod backup;
mod changes;
mod check;
mod checkpoint;
mod ciphers;
mod context;
mod counts;
mod digest;
mod echo;
mod emitter;
mod engine;
mod error;
mod events;
mod exclusive;
mod feed;
mod guards;
mod held;
mod identity;
mod keeper;
mod keyspace;
pub mod limits;
mod member;
mod membership;
mod prefetch;
mod reaper;
mod receive;
mod recent;
mod recover;
mod replica;
mod residency;
mod scan;
mod shard;
mod state;
mod stop;
mod suffix;
mod typed;
mod undo;
pub mod value;
mod view;
pub mod wheel;

pub use again::{AgainError, Spooled, Step, Superseded, Tell, WriteAgain};
pub use blob::PolicyKind;
pub use check::{CheckError, Damage, Inspection, Saved, inspect, salvage};
pub use checkpoint::{CheckpointFigures, CheckpointPolicy, CheckpointReport, DiskFigures};
pub use context::{Committed, Context, Recycled, Savepoint, settle};
pub use counts::KeyCounts;
pub use digest::{Digest, digest_value, fold, unfold};
pub use effect::numeric;
pub use emitter::Emitter;
pub use engine::{Engine, Lock, Options, Sequencer, WallClock};
pub use envelope::{Error as KeyError, Keyring};
pub use error::{CheckpointError, OpenError, Refusal};
pub use events::{Event, EventClass, EventMark, EventSink};
pub use exclusive::{Begun, Decided, ExclusiveError, Serialized, Since, VerdictError};
pub use feed::{Fed, FeedError, Feeder, Records, Told};
pub use identity::Identity;
pub use keyspace::{Aftermath, Definition, GroupKeyspaceChange, KeyspaceChange, KeyspaceError, KeyspaceFigures};
pub use prefetch::Sight;
pub use receive::{ReceiveError, Received};
pub use recent::RecentEffect;
pub use replica::Opening;
pub use residency::{AtRest, Gauge, ResidencyFigures};
pub use scan::{Cursor, Sighted};
pub use shard::{DbKey, ShardId, Ticket, WatchFlag};
pub use state::State;
pub use stop::{Miss, Place, Stop};
pub use value::{
    Encoding, Entry, FieldRef, LexBound, Limits, ListPositions, ListRange, Member, Part, ScoreBound, ZRange,
};
pub use view::{HashView, ListView, SetView, ZSetView};
