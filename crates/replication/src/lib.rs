//! The driver of a replica: it carries out on a real engine and a real wire what `causal::Replica` says.
//!
//! **What it is not.** It decides nothing: who is a member, what may be applied and what is stable is known to the state machine.
//!
//! ```text
//!   cluster::Inbox ──frames──▶ ┌────────┐ ──Input──▶ causal::Replica
//!   the log ──records, fsync─▶ │ Driver │ ◀─Output──      │
//!   time ──────────────────▶   │  turn  │                  ▼
//!                              └────────┘ Apply ▶ Engine::receive    Send ▶ Mesh    Persist ▶ `membership`    Cut ▶ Engine::note_stable
//! ```
//! One thread. What this node writes is learnt from its log, as far as that is written, in the order of the log: no command waits for
//! replication, and none is slowed down by more than the notes that the engine keeps of recent effects.
//!
//! Read first: [`Member`] (the handle), `driver.rs` (the turn), then `carry.rs`.
//!
//! *Invariant:* outputs are carried out in their order, each before the next one; what cannot be carried out holds back all behind it.
//!
//! *Invariant:* the state machine hears of own batches in the order of the log, and of fsyncs only as far as it has heard of
//! everything before them. So what it states of this node's log is a beginning of that log.

mod acks;
mod back;
mod carry;
mod config;
mod driver;
mod error;
pub mod exclusive;
mod host;
mod lag;
mod leading;
pub mod limits;
mod links;
mod member;
mod membership;
mod outgoing;
mod parts;
mod queue;
mod reads;
mod safety;
mod serial;
mod snapshot;
mod status;
mod tail;
#[cfg(test)]
mod tests;
mod transactions;
mod turns;
mod undone;
mod verdicts;
mod whole;
mod wire;

pub use acks::{AckWait, Tell};
pub use causal::bind::{Exec, Key, Safety, SafetyRules, TxnError, Watch, Why};
pub use cluster::NodeId;
pub use config::Config;
pub use error::Error;
pub use host::Host;
pub use member::Member;
pub use membership::Membership;
pub use serial::{Answer, Ran, Serial, TellAnswer, turn_of};
pub use snapshot::adopt as adopt_snapshot;
pub use status::{Electorate, PeerStatus, Role, Status};
pub use undone::{Loss, Lost, Report, Undone, UndoneError};
pub use verdicts::{Outcome, Outcomes, TellOutcome};
