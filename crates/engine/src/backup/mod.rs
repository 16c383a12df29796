//! What a backup takes from a node that runs, and how a data directory is made of it again. Where backups lie, what they are
//! called and who can read them is decided above (crate `backup`).
//!
//! ```text
//!   Engine::base ─▶ checkpoint ─▶ Base: its rows as a stream, the log behind them pinned
//!   Engine::backup_moment ─▶ how far the log is durable; Engine::log().reader ─▶ its records
//!   Engine::set_backup_mark ─▶ from where on the log is kept for the next backup                        `kept.rs`
//!
//!   Making::begin ─▶ rows ─▶ append ─▶ … ─▶ finish ─▶ a data directory that was opened once            `making.rs`
//! ```
//! Rows are opaque here: all of them are copied, as they stand, whatever they hold. What caches hold is in none of it.
//!
//! *Invariant:* what is pinned of the log is there until the pin goes; marks keep a bounded part of it.

mod kept;
mod making;
mod record;
mod taking;

pub use kept::{ARCHIVE, LogPin, Mark};
pub(crate) use kept::{Hold, Kept};
pub use making::{Made, Making, MakingError, Whose};
pub use record::{CutError, cut_after};
pub use taking::{Base, BaseRows, Moment, yield_to_commands};
