//! What clients of a causal group saw, and whether a causal group may show it.
//!
//! The idea to write only what can be told apart, and to conclude from what was read who came after whom, is that of Elle (Kingsbury and Alvaro:
//! "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020). What is concluded is another thing, because
//! replicas of a causal group do not agree on an order before they answer:
//!
//! ```text
//!   History ──▶ edges: a session's own order, and "read from" ──▶ cycle? ──▶ clocks, in that order
//!                                                                              │
//!      each read of a list is all that its clock covers ◀──────────────────────┤   causal.rs
//!      each append is behind all that its clock covers  ◀──────────────────────┘
//!      the last reads of all nodes are one list, in which all others are found in their order
//!
//!   Exclusives ──▶ per key one chain of versions ──▶ edges: wr, ww, rw, session ──▶ cycle?     exclusive.rs
//! ```
//!
//! It knows no server: who records a history is elsewhere.
//!
//! Read first: [`History`], [`Anomaly`], [`causal::check`].
//!
//! *Invariant:* what is reported is impossible in a group that keeps its promises, whatever was lost, late or unanswered; of
//! what has no answer nothing is assumed.

pub mod anomaly;
pub mod causal;
mod clocks;
pub mod exclusive;
mod graph;
#[cfg(test)]
mod model;
mod written;

pub use anomaly::Anomaly;

/// A list, by number.
pub type Key = u64;

/// What is appended; no two appends have the same.
pub type Element = u64;

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// At the end of a list.
    Append(Key, Element),
    /// All of a list, from its first element on.
    Read(Key, Vec<Element>),
}

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// An error that says that nothing was changed.
    Refused,
    /// Nothing, or an error that leaves it open. What it read is not known either.
    Unknown,
}

/// Steps that become visible together: one command, or one EXEC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// In their order.
    pub ops: Vec<Op>,
    /// What the client was told.
    pub outcome: Outcome,
    /// Which of its session's connections carried it, counted up. What was sent on one is done in that order, as far as it is done.
    pub connection: u32,
}

/// Transactions of one client with one node, in the order in which they were sent; on a new connection only after
/// the one before it was given up.
pub type Session = Vec<Txn>;

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// By client.
    pub sessions: Vec<Session>,
    /// By node: every list, read when all nodes had heard of everything.
    pub last: Vec<Vec<(Key, Vec<Element>)>>,
}

/// A transaction by its session and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId {
    /// Which session.
    pub session: usize,
    /// Which of its transactions.
    pub index: usize,
}

impl std::fmt::Display for TxnId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "T{}.{}", self.session, self.index)
    }
}
