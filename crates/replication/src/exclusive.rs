//! Exclusive transactions of a node, beside the driver: what is decided, with what must be durable before anything is said.
//!
//! ```text
//!   EXEC, frames, batches with binds and verdicts, time, round trips, stability
//!        │ a call for each                                  journal: an entry for each bind, verdict and record
//!        ▼                                                     ▲
//!   ┌────────┐ ──Input──▶ causal::bind::Binds ──Output──▶ append, sync ──▶ deeds, for the driver to do in their order
//!   │  Desk  │                                                             frames · verdicts to log · answers to clients
//!   └────────┘
//! ```
//! **What it is not.** It has no thread, no socket and no engine: who owns it brings what has happened and does what it says.
//!
//! Read first: [`Desk`], [`Deed`], [`Journal`].
//!
//! # What the driver does
//!
//! | when | it calls | with |
//! |---|---|---|
//! | it opens | [`JournalFile::open`], [`Desk::open`] | `Engine::votes_cipher`, `Engine::transactions` |
//! | it finds one of `Context::commit_exclusive` in the log, which is durable so far, and nobody else has heard of it | [`Desk::begun`] | its batch, a number for the client |
//! | `Engine::receive_record` has answered `Undecided`, and the log is durable so far | [`Desk::arrived`] | `begun.batch`, `conflicts_with_plain` |
//! | it answers `Decided`, or `Engine::emit_verdict` has | [`Desk::decided`] | the `Decided` |
//! | a frame for transactions has come | [`Desk::heard`] | who sent it |
//! | a client's EXEC has keys that another node leads | [`Desk::exec`] | a number for the client, what it names and watches, all of it |
//! | one of another node has its answer | [`Desk::answer_forwarded`] | its number, the reply; none: it has not run, and never will |
//! | an effect says who leads a key, its own as well | [`Desk::serialized`] | the key, the leader, the effect's stamp |
//! | 10 ms have passed | [`Desk::tick`] | |
//! | it opens on a disk that is not the one it voted with, and once it may write there | [`Desk::forgot`] | a life that never comes, then the one it has |
//! | it opens, and when the epoch, or whether all its members were met, has changed | [`Desk::members`] | |
//! | round trips, or who answers, have changed | [`Desk::peers`] | |
//! | something is stable (`Output::Cut`), with `Engine::note_stable` | [`Desk::stable`] | its vector |
//!
//! Then it does the [`Desk::deeds`] in order, until there are none. [`Deed::Verdict`]: `Engine::emit_verdict`; if that answers none, the
//! verdict was here already, and [`Desk::decided`] is told with the bind's own dot as the effect's. If it fails, the desk
//! says so again after a while. [`Deed::Show`], [`Deed::Undone`]: `Engine::show` and `Engine::undo`; what is undone is reported. [`Deed::Answer`]: the client's. `Ok`: the replies that EXEC made up when it ran. Frames may be lost.
//!
//! The order of `receive_record` and `arrived` is that of the log, and no frame is heard between the two. What `commit_exclusive` refuses as
//! `Undecided` is a lost transaction (a null reply): a bind that came in between has a key of it. A desk that fails hands out nothing any
//! more, and the node must not go on.
//!
//! *Invariant:* a deed is handed out when every record before it is durable. A desk whose journal has failed hands out nothing any more.
//!
//! *Invariant:* after a start desk and engine know of the same transactions, and of the same verdicts: those of the log.

mod desk;
mod journal;
#[cfg(test)]
mod tests;

pub use desk::{Deed, Desk, DeskError};
pub(crate) use journal::UNDONE;
pub use journal::{Journal, JournalError, JournalFile};
