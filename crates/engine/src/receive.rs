//! Batches of other replicas: logged as they are, and applied as everything else.
//!
//! ```text
//!   batch, context ─▶ known already? ─▶ lock its shards ─▶ what it changes comes into memory ─▶ log ─▶ apply ─▶ waiters, watches
//! ```
//! *Invariant:* a batch is logged when all that its writer had applied is in the log, and all before it of its origin; so what
//! stands before it in the log contains its context.
//! *Invariant:* its shards are locked from before it is logged until it is applied: whoever writes one of its keys behind it in the
//! log has observed it.

use effect::{Batch, Dot, Effect, Hlc, Op, RecordEnd, Vector, WireError};
use thiserror::Error;
use wal::Position;

use crate::context::{Committed, note_waymark};
use crate::engine::{Engine, RECORD_BATCHES, Sequencer, Shared};
use crate::error::Refusal;
use crate::guards::Guards;
use crate::limits::SHARDS;
use crate::residency::ReadError;
use crate::shard::ShardId;
use crate::state::State;
use crate::suffix::{self, Written};

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

/// What became of a batch of another replica.
#[derive(Debug)]
pub enum Received {
    /// It was here already.
    Known,
    /// It was applied.
    Applied(Committed),
}

impl Engine {
    /// Takes a batch of another replica, whose writer had applied `context` before it.
    pub fn receive(&self, batch: &Batch<'_>, context: &Vector) -> Result<Received, ReceiveError> {
        let shared = &*self.shared;
        let effects = batch.effects().collect::<Result<Vec<_>, _>>()?;
        if check(&mut shared.log.lock(), shared, batch, context)? == Standing::Known {
            return Ok(Received::Known);
        }
        let is_alien =
            |effect: &Effect<'_>| matches!(effect.op, Op::Define(_) | Op::Undefine | Op::Moved(_) | Op::Rename { .. });
        if effects.iter().any(is_alien) {
            return Err(ReceiveError::Alien { origin: batch.first.origin.0, seq: batch.first.seq });
        }
        // Rows are read before shards are locked; what is evicted in between is read again then.
        effects
            .iter()
            .filter(|_| shared.residency.is_on())
            .try_for_each(|effect| shared.fetch(effect.db, effect.key))?;
        let mut state = State::new(shared, lock(shared, &effects), None, self.now_ms(), 0);
        prepare(shared, &mut state.guards, &effects)?;
        let position = loop {
            let mut log = shared.log.lock();
            if check(&mut log, shared, batch, context)? == Standing::Known {
                return Ok(Received::Known);
            }
            let last = batch.hlc.plus(batch.len());
            if log.state().clock.ceiling() >= last {
                break append(&mut log, shared, batch, context)?;
            }
            drop(log);
            shared.raise_ceiling(last)?;
        };
        let mut ready = Vec::new();
        for (n, effect) in (0..).zip(&effects) {
            let dot = Dot { seq: batch.first.seq + n, ..batch.first };
            let written = Written { dot, hlc: batch.hlc.plus(n), context: Some(context) };
            suffix::take_in(&mut state.guards, shared, effect, &written, None);
            if shared.has_listeners() {
                state.tell_listeners(effect, |db| shared.logical(db), &mut ready);
            }
        }
        state.set_applied(position);
        Ok(Received::Applied(Committed { position, ready, after: None }))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Known,
    New,
}

fn check(
    log: &mut wal::Appender<'_, Sequencer>,
    shared: &Shared,
    batch: &Batch<'_>,
    context: &Vector,
) -> Result<Standing, ReceiveError> {
    let sequencer = log.state();
    let Dot { origin, seq } = batch.first;
    let known = if origin == shared.origin { sequencer.next_seq - 1 } else { sequencer.others.get(origin) };
    if batch.is_empty() || seq + batch.len() - 1 <= known {
        return Ok(Standing::Known);
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
    match context.iter().all(covers) {
        true => Ok(Standing::New),
        false => Err(ReceiveError::Early { origin: origin.0, seq }),
    }
}

/// Puts it into the log: behind the batch before it, if that was of the same origin, or into a record of its own.
fn append(
    log: &mut wal::Appender<'_, Sequencer>,
    shared: &Shared,
    batch: &Batch<'_>,
    context: &Vector,
) -> Result<Position, ReceiveError> {
    let origin = batch.first.origin;
    let says = log.state().waymarks.heard(origin) != Some(context);
    let joins = |end: &RecordEnd| !says && batch.follows(end);
    let mut bytes = Vec::new();
    let position = match log.state().record_end.filter(joins) {
        Some(end) if log.can_extend(RECORD_BATCHES, batch.size()) => {
            batch.extend_record(&end, &mut bytes);
            log.extend(&[&bytes])
        }
        _ => {
            batch.begin_record(says.then_some(context), &mut bytes);
            log.append(RECORD_BATCHES, &[&bytes])
        }
    }
    .map_err(Refusal::from)?;
    let sequencer = log.state();
    sequencer.clock.observe(Hlc(batch.hlc.plus(batch.len()).0 - 1));
    sequencer.others.add(Dot { origin, seq: batch.first.seq + batch.len() - 1 });
    sequencer.record_end = Some(batch.record_end());
    if says {
        sequencer.waymarks.hear(origin, context.clone());
    }
    if sequencer.waymarks.is_due(position) {
        note_waymark(shared, log);
    }
    Ok(position)
}

/// Locks the shards of all effects.
fn lock<'s>(shared: &'s Shared, effects: &[Effect<'_>]) -> Guards<'s> {
    let mut ids: Vec<ShardId> = Vec::new();
    for effect in effects {
        match &effect.op {
            Op::FlushDb | Op::FlushAll | Op::SwapDb(_) => {
                ids = (0..SHARDS).map(|id| ShardId(id as u8)).collect();
                break;
            }
            _ => ids.push(ShardId::of(effect.key)),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Guards::new(ids.into_iter().map(|id| (id, shared.shards[usize::from(id.0)].lock())))
}

/// Brings into memory what the effects change and has not been brought.
fn prepare(shared: &Shared, guards: &mut Guards<'_>, effects: &[Effect<'_>]) -> Result<(), ReadError> {
    if !shared.residency.is_on() {
        return Ok(());
    }
    for effect in effects {
        let place = shared.place_of(effect.key);
        if let Some(guard) = guards.get_mut(place.shard) {
            shared.fetch_locked(guard, effect.db, place, effect.key)?;
            shared.prepare_part(guard, effect, place)?;
        }
    }
    Ok(())
}
