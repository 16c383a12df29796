//! Causal groups: replicas that take writes without asking each other, and converge.
//!
//! **What it is not.** It does no I/O, reads no clock and draws no random number: every part is a state machine that is told
//! what happened and when, and says what is to be done.
//!
//! ```text
//! what arrived, with the time ─▶ step ─▶ records to persist, messages to send, effects to log, answers
//! ```
//!
//! Read first: [`bind::Binds`], [`bind::Bind`], [`bind::Output`].
//!
//! *Invariant:* no input, in whatever order, makes a state machine reach outside of itself.

pub mod bind;
