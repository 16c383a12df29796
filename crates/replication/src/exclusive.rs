//! Exclusive transactions of a node, beside the driver: what is decided, with what must be durable before anything is said.
//!
//! ```text
//!   EXEC, frames, effects with binds and verdicts, time, round trips, stability
//!        │ step                                             journal: an entry for each bind, verdict and record
//!        ▼                                                     ▲
//!   ┌────────┐ ──Input──▶ causal::bind::Binds ──Output──▶ append, sync ──▶ deeds, for the driver to do in their order
//!   │  Desk  │                                                             frames · verdicts to log · answers to clients
//!   └────────┘
//! ```
//! **What it is not.** It has no thread, no socket and no engine: who owns it brings what has happened and does what it says.
//!
//! Read first: [`Desk`], [`Deed`], [`Journal`].
//!
//! *Invariant:* a deed is handed out when every record before it is durable. A desk whose journal has failed hands out nothing any more.

mod desk;
mod journal;
#[cfg(test)]
mod tests;

pub use desk::{Deed, Desk, DeskError};
pub use journal::{Journal, JournalError, JournalFile};
