//! Batches of other replicas: logged as they are, and applied as everything else.
//!
//! ```text
//!   batches, contexts ─▶ a run of them ─▶ known already? ─▶ lock its shards ─▶ what it changes comes into memory
//!                                                                                   │
//!                                            waiters, watches ◀─ apply ◀─ log ◀─────┘
//! ```
//! *Invariant:* a batch is logged when all that its writer had applied is in the log, and all before it of its origin; so what
//! stands before it in the log contains its context.
//! *Invariant:* its shards are locked from before it is logged until it is applied: whoever writes one of its keys behind it in the
//! log has observed it.

mod run;

use effect::{Batch, Dot, Vector, WireError};
use thiserror::Error;

use crate::context::{Committed, note_waymark};
use crate::engine::{Engine, Sequencer, Shared};
use crate::error::Refusal;
use crate::residency::ReadError;
use crate::state::State;
use crate::suffix;
use run::Run;

/// Why a batch of another replica is not taken. Nothing of it was applied.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// Something of its origin is missing before it.
    #[error("effects {expected} to {found} of the origin {origin} are missing before this batch")]
    Gap {
        /// Its origin.
        origin: u64,
        /// The first that is missing.
        expected: u64,
        /// The first of the batch.
        found: u64,
    },
    /// A part of it is here already: batches are taken whole.
    #[error("a batch of the origin {origin} begins with {found}, of which {known} are here")]
    Split {
        /// Its origin.
        origin: u64,
        /// How many are known.
        known: u64,
        /// The first of the batch.
        found: u64,
    },
    /// Its writer had applied what is not here.
    #[error("the batch {seq} of the origin {origin} comes before what its writer had applied")]
    Early {
        /// Its origin.
        origin: u64,
        /// The first of the batch.
        seq: u64,
    },
    /// It says that it is this node's own, and this node has not written it.
    #[error(
        "the batch {seq} says that it comes from this very node, which has not written it: is the node's directory a copy?"
    )]
    Own {
        /// The first of the batch.
        seq: u64,
    },
    /// Its bytes are not what this version writes.
    #[error("the batch cannot be read: {0}")]
    Bytes(#[from] WireError),
    /// It is of a kind that replicas do not send each other.
    #[error(
        "the batch {seq} of the origin {origin} defines keyspaces, or renames a key: replicas do not send such effects"
    )]
    Alien {
        /// Its origin.
        origin: u64,
        /// The first of the batch.
        seq: u64,
    },
    /// The log does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What it changes is at rest, and cannot be read.
    #[error("what the batch changes could not be read: {0}")]
    Rest(String),
}

impl From<ReadError> for ReceiveError {
    fn from(error: ReadError) -> Self {
        Self::Rest(error.to_string())
    }
}

/// What became of batches of another replica.
#[derive(Debug)]
pub enum Received {
    /// They were here already.
    Known,
    /// They were applied.
    Applied(Committed),
}

impl Engine {
    /// Takes a batch of another replica, whose writer had applied `context` before it.
    pub fn receive(&self, batch: &Batch<'_>, context: &Vector) -> Result<Received, ReceiveError> {
        self.receive_many(&[(batch.clone(), context)]).map(|(_, received)| received)
    }

    /// Takes the first of these batches of other replicas, each with what its writer had applied before it: as many as go together.
    /// Answers how many, so that whoever has more asks again; an error is about the first.
    pub fn receive_many(&self, batches: &[(Batch<'_>, &Vector)]) -> Result<(usize, Received), ReceiveError> {
        let shared = &*self.shared;
        let Some(run) = Run::begin(shared, batches)? else { return Ok((0, Received::Known)) };
        let known = count_known(&mut shared.log.lock(), shared, &run)?;
        if known > 0 {
            return Ok((known, Received::Known));
        }
        if run.is_alien() {
            return Err(ReceiveError::Alien { origin: run.first.first.origin.0, seq: run.first.first.seq });
        }
        // Rows are read before shards are locked; what is evicted in between is read again then.
        if shared.residency.is_on() {
            run.dues.iter().try_for_each(|due| shared.fetch(due.effect.db, due.effect.key))?;
        }
        let mut state = State::new(shared, run.lock(shared), None, self.now_ms(), 0);
        run.prepare(shared, &mut state.guards)?;
        let position = loop {
            let mut log = shared.log.lock();
            let known = count_known(&mut log, shared, &run)?;
            if known > 0 {
                return Ok((known, Received::Known));
            }
            let last = run.last().hlc.plus(run.last().len());
            if log.state().clock.ceiling() >= last {
                let position = run.append(&mut log).map_err(Refusal::from)?;
                if log.state().waymarks.is_due(position) {
                    note_waymark(shared, &mut log);
                }
                break position;
            }
            drop(log);
            shared.raise_ceiling(last)?;
        };
        let (has_listeners, mut ready) = (shared.has_listeners(), Vec::new());
        for due in &run.dues {
            suffix::take_in(&mut state.guards, shared, &due.effect, &due.written(run.context), Some(due.place));
            if has_listeners {
                state.tell_listeners(&due.effect, |db| shared.logical(db), &mut ready);
            }
        }
        state.set_applied(position);
        Ok((run.batches.len(), Received::Applied(Committed { position, ready, after: None })))
    }
}

/// How many of the first batches are here already. If none is, the first may be taken, or the error says why not.
fn count_known(
    log: &mut wal::Appender<'_, Sequencer>,
    shared: &Shared,
    run: &Run<'_>,
) -> Result<usize, ReceiveError> {
    let sequencer = log.state();
    let Dot { origin, seq } = run.first.first;
    let known = if origin == shared.origin { sequencer.next_seq - 1 } else { sequencer.others.get(origin) };
    let is_known = |batch: &Batch<'_>| batch.is_empty() || batch.first.seq + batch.len() - 1 <= known;
    if is_known(run.first) {
        return Ok(run.batches.iter().take_while(|(batch, _)| is_known(batch)).count());
    }
    if origin == shared.origin {
        return Err(ReceiveError::Own { seq });
    }
    if seq <= known {
        return Err(ReceiveError::Split { origin: origin.0, known, found: seq });
    }
    if seq > known + 1 {
        return Err(ReceiveError::Gap { origin: origin.0, expected: known + 1, found: seq });
    }
    let covers = |dot: Dot| match dot.origin == shared.origin {
        true => dot.seq < sequencer.next_seq,
        false => dot.origin == origin || sequencer.others.has(dot),
    };
    match run.context.iter().all(covers) {
        true => Ok(0),
        false => Err(ReceiveError::Early { origin: origin.0, seq }),
    }
}
