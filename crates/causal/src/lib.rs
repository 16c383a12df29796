//! Causal groups: replicas that take writes without asking each other and converge, and their exclusive transactions.
//!
//! **What it is not.** It does no I/O, reads no clock and draws no random number: every part is a state machine that is told what
//! happened and when, and says what is to be done. What effects mean to keys is not its business.
//!
//! ```text
//!  own log ──Wrote──▶ ┌─────────┐ ──Send──▶ peers' streams: batches, statements, credit
//!  peers ──Received─▶ │ Replica │ ──Apply─▶ log and state of this node, in causal order
//!  disk ────Synced──▶ │  step   │ ──Read──▶ the log, for peers that are behind ──Read──▶ (back in)
//!  time ─────Tick───▶ └─────────┘ ──Cut───▶ what is stable;  ──Persist──▶ origin, votes, epochs
//!
//!  EXEC after WATCH ─▶ Binds::step ─▶ records to persist, messages to voters, verdicts to log as effects, answers
//! ```
//!
//! A replica knows batches by their dots, timestamps and contexts. It decides *when* one may be logged and applied, *what* is stable,
//! *who* belongs to the group. Binds decide which exclusive transactions commit.
//!
//! Read first: [`Replica`], [`Input`], [`Output`], then [`Statement`]; [`bind::Binds`].
//!
//! *Invariant:* a batch is handed out once, after all that its writer had observed.
//! *Invariant:* nothing is called stable that any member has not said, itself, to have fsynced.
//! *Invariant:* memory is bounded by windows: batches that peers lack stay in the log.

pub mod bind;
pub mod entry;
pub mod epoch;
pub mod frame;
pub mod io;
pub mod limits;
pub mod replica;
pub mod statement;

mod council;
mod holes;
mod link;
mod lives;
mod marks;
mod receive;
mod send;
mod stability;

pub use entry::Entry;
pub use epoch::{Ballot, Epoch, Motion, Say, Vote};
pub use frame::{Frame, Hello, Nack, Why};
pub use io::{Change, Cut, Found, Input, LinkId, Output, Purpose, Record};
pub use replica::{Config, Opening, PeerView, Replica, Start};
pub use statement::Statement;
