//! Batches of other replicas: logged as they are, and applied as everything else.
//!
//! ```text
//!   record, context ─▶ a run of batches ─▶ known already? ─▶ lock its shards ─▶ what it changes comes into memory
//!                                                                                    │
//!                                            waiters, watches ◀─ apply ◀─ log ◀─────┘
//! ```
//! *Invariant:* a batch is logged when all that its writer had applied is in the log, and all before it of its origin; so what
//! stands before it in the log contains its context.
//! *Invariant:* its shards are locked from before it is logged until it is applied: whoever writes one of its keys behind it in the
//! log has observed it.

mod exclusive;
mod run;

use std::borrow::Cow;

use effect::{Batch, Batches, Dot, Origin, Vector, WireError};
use thiserror::Error;
use wal::Position;

use crate::context::{Committed, note_waymark};
use crate::echo::Echo;
use crate::engine::{Engine, Sequencer, Shared};
use crate::error::Refusal;
use crate::exclusive::{Begun, Decided, Serialized, VerdictError};
use crate::residency::ReadError;
use crate::state::State;
use crate::suffix;
use exclusive::Role;
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
    /// What an exclusive transaction needs to be decided is not there.
    #[error(transparent)]
    Verdict(#[from] VerdictError),
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
    /// Some of them were applied: ask again for the others.
    Part(Committed),
    /// One of them is an exclusive transaction, which waits for its verdict now. Ask again for those behind it.
    Undecided {
        /// The transaction.
        begun: Begun,
        /// A write of one of its keys is here that its writer had not observed.
        conflicts_with_plain: bool,
    },
    /// One of them is the verdict on such a transaction, and was carried out. Ask again for those behind it.
    Decided(Decided, Committed),
    /// One of them is the verdict against a transaction that is shown here. Nothing of it is taken: undo that ([`Engine::undo`]), and ask again.
    Shown(Dot),
    /// One of them says who leads the transactions of a key. Ask again for those behind it.
    Serialized(Serialized),
}

impl Engine {
    /// Takes a batch of another replica, whose writer had applied `context` before it; what it had applied before its last batch need
    /// not be said again.
    pub fn receive(&self, batch: &Batch<'_>, context: &Vector) -> Result<Received, ReceiveError> {
        let context = self.whole_context(batch.first.origin, context);
        let run = Run::of_batch(&self.shared, batch, &context)?;
        Ok(self.take(&run)?.unwrap_or(Received::Known))
    }

    /// Takes the batches of a record ([`crate::Fed::record`]) of another replica, whose writer had applied `context` before each:
    /// for less than one by one.
    pub fn receive_record(&self, record: &[u8], context: &Vector) -> Result<Received, ReceiveError> {
        let Some(first) = Batches::decode(record).next().transpose()? else { return Ok(Received::Known) };
        let context = self.whole_context(first.first.origin, context);
        loop {
            let known = known_of(&mut self.shared.log.lock(), &self.shared, first.first.origin);
            let Some(run) = Run::of_record(&self.shared, record, &context, |batch| is_known(batch, known))? else {
                return Ok(Received::Known);
            };
            match self.take(&run)? {
                Some(Received::Applied(committed)) if !run.is_last => return Ok(Received::Part(committed)),
                Some(received) => return Ok(received),
                // Another thread has just taken it.
                None => {}
            }
        }
    }

    /// The context with what was said of the batch before it, unless that is in it: what a writer has observed only grows.
    fn whole_context<'c>(&self, origin: Origin, context: &'c Vector) -> Cow<'c, Vector> {
        let mut log = self.shared.log.lock();
        let sequencer = log.state();
        let before = sequencer.waymarks.heard(origin).or_else(|| sequencer.heads.unsaid.get(&origin));
        match before.filter(|before| !context.covers(before)) {
            None => Cow::Borrowed(context),
            Some(before) => {
                let mut whole = before.clone();
                whole.join(context);
                Cow::Owned(whole)
            }
        }
    }

    /// Takes a run; `None`: its first batch was here already.
    fn take(&self, run: &Run<'_>) -> Result<Option<Received>, ReceiveError> {
        let shared = &*self.shared;
        if check(&mut shared.log.lock(), shared, run)? == Standing::Known {
            return Ok(None);
        }
        if run.is_alien() {
            return Err(ReceiveError::Alien { origin: run.first.first.origin.0, seq: run.first.first.seq });
        }
        match Role::of(run) {
            Role::Bind => return exclusive::take_bind(shared, run),
            Role::Verdict(decided) => return exclusive::take_verdict(shared, run, decided, self.now_ms()),
            Role::Leader(serialized) => return exclusive::take_leader(shared, run, serialized),
            Role::Plain => {}
        }
        // Rows are read before shards are locked; what is evicted in between is read again then.
        if shared.residency.is_on() {
            run.effects().try_for_each(|(effect, _)| shared.fetch(effect.db, effect.key))?;
        }
        let mut state = State::new(shared, run.lock(shared), None, self.now_ms(), 0);
        run.prepare(shared, &mut state.guards)?;
        let Some(position) = log_run(shared, run, |_| ())? else { return Ok(None) };
        for (effect, place, written) in run.by_shard() {
            let echo = Echo::begin(shared, &state.guards, &effect, state.now_ms());
            suffix::take_in(&mut state.guards, shared, &effect, &written, Some(place));
            if let Some(echo) = echo {
                echo.tell(shared, &state.guards, position);
            }
        }
        let mut ready = Vec::new();
        if shared.has_listeners() {
            run.effects().for_each(|(effect, _)| state.tell_listeners(&effect, |db| shared.logical(db), &mut ready));
        }
        state.set_applied(position);
        Ok(Some(Received::Applied(Committed { position, ready, after: None })))
    }
}

/// Puts a run into the log; `None` if it is there already. `before` sees the log as it is before it.
fn log_run(
    shared: &Shared,
    run: &Run<'_>,
    before: impl FnOnce(&mut wal::Appender<'_, Sequencer>),
) -> Result<Option<Position>, ReceiveError> {
    loop {
        let mut log = shared.log.lock();
        if check(&mut log, shared, run)? == Standing::Known {
            return Ok(None);
        }
        let next = run.next_hlc();
        if log.state().clock.ceiling() >= next {
            before(&mut log);
            let position = run.append(&mut log, shared).map_err(Refusal::from)?;
            if log.state().waymarks.is_due(position) {
                note_waymark(shared, &mut log);
            }
            return Ok(Some(position));
        }
        drop(log);
        shared.raise_ceiling(next)?;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Known,
    New,
}

/// How many effects of an origin are here.
fn known_of(log: &mut wal::Appender<'_, Sequencer>, shared: &Shared, origin: Origin) -> u64 {
    let sequencer = log.state();
    if origin == shared.origin() { sequencer.next_seq - 1 } else { sequencer.others.get(origin) }
}

fn is_known(batch: &Batch<'_>, known: u64) -> bool {
    batch.is_empty() || batch.first.seq + batch.len() - 1 <= known
}

fn check(log: &mut wal::Appender<'_, Sequencer>, shared: &Shared, run: &Run<'_>) -> Result<Standing, ReceiveError> {
    let Dot { origin, seq } = run.first.first;
    let known = known_of(log, shared, origin);
    if is_known(&run.first, known) {
        return Ok(Standing::Known);
    }
    if origin == shared.origin() {
        return Err(ReceiveError::Own { seq });
    }
    if seq <= known {
        return Err(ReceiveError::Split { origin: origin.0, known, found: seq });
    }
    if seq > known + 1 {
        return Err(ReceiveError::Gap { origin: origin.0, expected: known + 1, found: seq });
    }
    let sequencer = log.state();
    let covers = |dot: Dot| match dot.origin == shared.origin() {
        true => dot.seq < sequencer.next_seq,
        false => dot.origin == origin || sequencer.others.has(dot),
    };
    match run.context.iter().all(covers) {
        true => Ok(Standing::New),
        false => Err(ReceiveError::Early { origin: origin.0, seq }),
    }
}
