//! Batches of one origin that are taken at once: under one hold of their shards, one of the log, and in one record.
//!
//! ```text
//!   batch, batch, batch │ batch      as far as they follow one another, have one context, and are few and small together
//!   └───── a run ─────┘              with an effect on whole databases, or one that replicas do not send: that batch only
//! ```
//! *Invariant:* the numbers of a run's effects are consecutive, so that its first batch says whether it may be taken.

use effect::{Batch, Dot, Effect, Hlc, Op, Vector, WireError};
use wal::{Appender, LogError, Position};

use crate::engine::{RECORD_BATCHES, Sequencer, Shared};
use crate::guards::Guards;
use crate::limits::{RECEIVE_BYTES, RECEIVE_EFFECTS, SHARDS};
use crate::residency::ReadError;
use crate::shard::ShardId;
use crate::stop::Place;
use crate::suffix::Written;
use crate::value::Steps;

/// See the module.
pub(super) struct Run<'b> {
    pub(super) batches: &'b [(Batch<'b>, &'b Vector)],
    pub(super) first: &'b Batch<'b>,
    /// What their writer had applied.
    pub(super) context: &'b Vector,
    pub(super) dues: Vec<Due<'b>>,
    /// What the batches behind the first add to its record.
    rest: Vec<u8>,
    is_alone: bool,
}

/// An effect that is due.
pub(super) struct Due<'b> {
    pub(super) effect: Effect<'b>,
    pub(super) place: Place,
    dot: Dot,
    hlc: Hlc,
}

impl<'b> Run<'b> {
    /// The first run of these batches; `None`: there is no batch.
    pub(super) fn begin(shared: &Shared, batches: &'b [(Batch<'b>, &'b Vector)]) -> Result<Option<Self>, WireError> {
        let Some((first, context)) = batches.first() else { return Ok(None) };
        let (dues, rest) = (Vec::new(), Vec::new());
        let mut run = Self { batches: &batches[..1], first, context, dues, rest, is_alone: false };
        run.add(shared, first)?;
        while !run.is_alone
            && let Some((batch, context)) = batches.get(run.batches.len())
            && run.goes_on(batch, context)
        {
            let before = run.dues.len();
            if run.add(shared, batch).is_err() || run.is_alone {
                run.dues.truncate(before);
                break;
            }
            batch.extend_record(&run.last().record_end(), &mut run.rest);
            run.batches = &batches[..=run.batches.len()];
        }
        Ok(Some(run))
    }

    pub(super) fn last(&self) -> &'b Batch<'b> {
        self.batches.last().map_or(self.first, |(batch, _)| batch)
    }

    fn goes_on(&self, batch: &Batch<'_>, context: &Vector) -> bool {
        !batch.is_empty()
            && self.dues.len() as u64 + batch.len() <= RECEIVE_EFFECTS
            && self.rest.len() + batch.size() <= RECEIVE_BYTES
            && batch.follows(&self.last().record_end())
            && (std::ptr::eq(context, self.context) || context == self.context)
    }

    fn add(&mut self, shared: &Shared, batch: &'b Batch<'b>) -> Result<(), WireError> {
        for (n, effect) in (0..).zip(batch.effects()) {
            let effect = effect?;
            let place = shared.place_of(effect.key);
            self.is_alone |= is_of_all(&effect.op) || is_alien(&effect.op);
            let dot = Dot { seq: batch.first.seq + n, ..batch.first };
            self.dues.push(Due { effect, place, dot, hlc: batch.hlc.plus(n) });
        }
        Ok(())
    }

    /// Whether there is an effect that replicas do not send each other.
    pub(super) fn is_alien(&self) -> bool {
        self.is_alone && self.dues.iter().any(|due| is_alien(&due.effect.op))
    }

    /// Locks the shards of all effects, and has the processor fetch what they look at.
    pub(super) fn lock<'s>(&self, shared: &'s Shared) -> Guards<'s> {
        let lock = |id: ShardId| (id, shared.shards[usize::from(id.0)].lock());
        if self.dues.iter().any(|due| is_of_all(&due.effect.op)) {
            return Guards::new((0..SHARDS).map(|id| lock(ShardId(id as u8))));
        }
        let mut ids: Vec<ShardId> = self.dues.iter().map(|due| due.place.shard).collect();
        ids.sort_unstable();
        ids.dedup();
        let guards = Guards::new(ids.into_iter().map(lock));
        let table = |due: &'_ Due<'_>| Some((&guards.get(due.place.shard)?.db(due.effect.db)?.table, due.place.order));
        self.dues.iter().filter_map(table).for_each(|(table, order)| table.to_segment(order));
        self.dues.iter().filter_map(table).for_each(|(table, order)| table.to_item(order));
        self.dues.iter().filter_map(table).for_each(|(table, order)| table.to_value(order));
        guards
    }

    /// Brings into memory what the effects change and has not been brought.
    pub(super) fn prepare(&self, shared: &Shared, guards: &mut Guards<'_>) -> Result<(), ReadError> {
        if !shared.residency.is_on() {
            return Ok(());
        }
        for Due { effect, place, .. } in &self.dues {
            if let Some(guard) = guards.get_mut(place.shard) {
                shared.fetch_locked(guard, effect.db, *place, effect.key)?;
                shared.prepare_part(guard, effect, *place)?;
            }
        }
        Ok(())
    }

    /// Puts it into the log: behind the record before it, if that was of the same origin and context, or as a record of its own.
    pub(super) fn append(&self, log: &mut Appender<'_, Sequencer>) -> Result<Position, LogError> {
        let origin = self.first.first.origin;
        let says = log.state().waymarks.heard(origin) != Some(self.context);
        let end = log.state().record_end.filter(|end| !says && self.first.follows(end));
        let mut head = Vec::with_capacity(self.first.size());
        let position = match end {
            Some(end) if log.can_extend(RECORD_BATCHES, self.first.size() + self.rest.len()) => {
                self.first.extend_record(&end, &mut head);
                log.extend(&[&head, &self.rest])?
            }
            _ => {
                self.first.begin_record(says.then_some(self.context), &mut head);
                log.append(RECORD_BATCHES, &[&head, &self.rest])?
            }
        };
        let (last, sequencer) = (self.last(), log.state());
        sequencer.clock.observe(Hlc(last.hlc.plus(last.len()).0 - 1));
        sequencer.others.add(Dot { origin, seq: last.first.seq + last.len() - 1 });
        sequencer.record_end = Some(last.record_end());
        if says {
            sequencer.waymarks.hear(origin, self.context.clone());
        }
        Ok(position)
    }
}

impl Due<'_> {
    pub(super) fn written<'c>(&self, context: &'c Vector) -> Written<'c> {
        Written { dot: self.dot, hlc: self.hlc, context: Some(context) }
    }
}

/// Whether it concerns all shards.
fn is_of_all(op: &Op<'_>) -> bool {
    matches!(op, Op::FlushDb | Op::FlushAll | Op::SwapDb(_))
}

fn is_alien(op: &Op<'_>) -> bool {
    matches!(op, Op::Define(_) | Op::Undefine | Op::Moved(_) | Op::Rename { .. })
}
