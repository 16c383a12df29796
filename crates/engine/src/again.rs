//! What the group never got: effects of a node that was given up while it wrote alone, kept aside and written again once it is back.
//!
//! ```text
//!   own log ── what others have not ─▶ DIR/undelivered ─▶ the data goes, the node joins ─▶ each batch of it, by the rules ─▶ own log
//!                                       until all of it                                     ├ as new effects, and `Again(dot)` behind them
//!                                       is written again                                    └ what is superseded: told
//! ```
//! The rules are `rules.rs`: what adds is written as it was; what takes the place of something, or takes it away, only where that is not
//! known to be later (`stamps.rs`, of what came in a copy of the state `copied.rs`).
//!
//! *Invariant:* a batch is written again once: how far that has come is said by the batches that do so, in the same log, and comes to rest
//! with what they have changed. So no crash, and no copy of the state, can part the two.
//!
//! *Invariant:* what is superseded was told before the batch that says so is logged.
//!
//! *Invariant:* nothing of `DIR/undelivered` is gone before all that stands for it is durable.

mod aside;
mod copied;
mod nothing;
mod rules;
mod spool;
mod stamps;
mod write;

use std::io;
use std::path::Path;

use effect::{Dot, Hlc, Vector, WireError};
use parking_lot::Mutex;
use thiserror::Error;
use wal::LogError;

use crate::backup::Hold;
use crate::engine::Shared;
use crate::error::{OpenError, Refusal};
use crate::feed::FeedError;
use crate::residency::ReadError;

use copied::COPIED;
pub use spool::Spooled;
use spool::UNDELIVERED;
pub use write::{Step, Tell, WriteAgain};

/// What is not written again, since something has come in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// As which it was written.
    pub dot: Dot,
    /// The logical database.
    pub db: u8,
    /// The key; empty of what was done to a whole database.
    pub key: Vec<u8>,
    /// The field, or the member.
    pub element: Option<Vec<u8>>,
    /// When it was written.
    pub hlc: Hlc,
    /// What was done: a name as keyspace events have it.
    pub op: &'static str,
}

/// Why what the group never got cannot be kept aside, or not be written again now.
#[derive(Debug, Error)]
pub enum AgainError {
    /// Some of it is in no log any more.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The log, or what was kept aside, cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was kept aside cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Bytes are not what this version writes.
    #[error("what the group never got cannot be read: {0}")]
    Bytes(#[from] WireError),
    /// What is at rest cannot be read.
    #[error("what is to be written over cannot be read: {0}")]
    Rest(String),
    /// Nobody can be told what is superseded.
    #[error("what was superseded cannot be reported: {0}")]
    Untold(String),
    /// A file.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl From<ReadError> for AgainError {
    fn from(error: ReadError) -> Self {
        Self::Rest(error.to_string())
    }
}

/// How far effects of former lives have been written again, by anybody whose log is here.
#[derive(Default)]
pub(crate) struct Again {
    done: Mutex<Vector>,
    /// As long as there is something to be written again the log is whole: it says when what was written.
    log: Mutex<Option<Hold>>,
}

impl Again {
    /// A batch that stands for one which ended with this effect was applied.
    pub(crate) fn note(&self, last: Dot) {
        self.done.lock().add(last);
    }

    pub(crate) fn done(&self) -> Vector {
        self.done.lock().clone()
    }

    /// What a checkpoint says.
    pub(crate) fn take(&self, done: &Vector) {
        self.done.lock().join(done);
    }

    pub(crate) fn hold(&self, log: Option<Hold>) {
        *self.log.lock() = log;
    }
}

/// Ends what a crash has left of it.
pub(crate) fn tidy(dir: &Path) -> io::Result<()> {
    aside::tidy(dir, UNDELIVERED)?;
    match aside::is_there(dir, UNDELIVERED) {
        true => aside::tidy(dir, COPIED),
        false => aside::give_up(dir, COPIED),
    }
}

/// Keeps the log, all of it, as long as something waits to be written again, and notes when what came in a copy was written. For the start.
pub(crate) fn hold(shared: &Shared) -> Result<(), OpenError> {
    if aside::is_there(&shared.dir, UNDELIVERED) {
        shared.replication.again.hold(Some(shared.kept.hold(&shared.log, shared.log.first())?));
        let path = || shared.dir.join(UNDELIVERED);
        copied::note(shared).map_err(|error| OpenError::Undelivered { path: path(), reason: error.to_string() })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
