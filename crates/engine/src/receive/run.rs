//! Batches of one origin that are taken at once: under one hold of their shards, one of the log, and in one record.
//!
//! ```text
//!   record   batch │ batch ─ batch ─ batch │ batch      what is known already is passed over
//!                  └──────── a run ────────┘            a batch with an effect on whole databases, with a bind or a verdict, with a leader, or with
//!   dues     by shard, each shard's in their order      one that replicas do not send, is a run of its own
//! ```
//! *Invariant:* the numbers of a run's effects are consecutive, so that its first batch says whether it may be taken.

use effect::{Batch, Batches, Dot, Effect, Effects, Hlc, Op, Vector, WireError};
use wal::{Appender, LogError, Position};

use crate::engine::{RECORD_BATCHES, Sequencer, Shared};
use crate::guards::Guards;
use crate::limits::SHARDS;
use crate::residency::ReadError;
use crate::shard::ShardId;
use crate::stop::Place;
use crate::suffix::Written;
use crate::value::{Steps, Table};

/// See the module.
pub(super) struct Run<'b> {
    pub(super) first: Batch<'b>,
    /// What their writer had applied.
    pub(super) context: &'b Vector,
    /// The batches behind the first, as they stand in the record.
    rest: &'b [u8],
    last: Batch<'b>,
    /// Whether nothing is left behind it.
    pub(super) is_last: bool,
    dues: Vec<Due<'b>>,
    /// The dues by shard.
    order: Vec<u32>,
    is_alone: bool,
}

/// Bytes of a batch with one effect on a short key, and effects for which room is made before they are read.
const SHORT_BATCH: usize = 64;
const MOST_RESERVED: usize = 4096;

/// An effect that is due.
pub(super) struct Due<'b> {
    bytes: &'b [u8],
    order: u64,
    hlc: Hlc,
    seq: u64,
    shard: ShardId,
    db: u8,
}

impl<'b> Run<'b> {
    /// A batch.
    pub(super) fn of_batch(shared: &Shared, batch: &Batch<'b>, context: &'b Vector) -> Result<Self, WireError> {
        let mut run = Self {
            first: batch.clone(),
            context,
            rest: &[],
            last: batch.clone(),
            is_last: true,
            dues: Vec::with_capacity(batch.len().min(256) as usize),
            order: Vec::new(),
            is_alone: false,
        };
        run.add(shared, batch)?;
        run.sort();
        Ok(run)
    }

    /// As many effects as so many bytes probably are.
    fn reserve(&mut self, bytes: usize) {
        self.dues.reserve((bytes / SHORT_BATCH).min(MOST_RESERVED));
    }

    /// The first run of a record behind what is known of its origin; `None`: there is none.
    pub(super) fn of_record(
        shared: &Shared,
        record: &'b [u8],
        context: &'b Vector,
        known: impl Fn(&Batch<'_>) -> bool,
    ) -> Result<Option<Self>, WireError> {
        let mut batches = Batches::decode(record);
        let first = loop {
            match batches.next().transpose()? {
                None => return Ok(None),
                Some(batch) if !known(&batch) => break batch,
                Some(_) => {}
            }
        };
        let mut run = Self::of_batch(shared, &first, context)?;
        let (begin, mut end) = (batches.offset(), batches.offset());
        run.reserve(record.len() - begin);
        while !run.is_alone
            && let Some(Ok(batch)) = batches.next()
        {
            let before = run.dues.len();
            if run.add(shared, &batch).is_err() || run.is_alone {
                run.dues.truncate(before);
                run.is_alone = false;
                break;
            }
            (run.last, end) = (batch, batches.offset());
        }
        (run.rest, run.is_last) = (&record[begin..end], end == record.len());
        run.sort();
        Ok(Some(run))
    }

    fn add(&mut self, shared: &Shared, batch: &Batch<'b>) -> Result<(), WireError> {
        let mut effects = batch.effects();
        for n in 0.. {
            let bytes = effects.rest();
            let Some(effect) = effects.next().transpose()? else { break };
            let Place { shard, order } = shared.place_of(effect.key);
            self.is_alone |= is_of_all(&effect.op) || is_alien(&effect.op) || is_ruled(&effect.op);
            let (seq, hlc, db) = (batch.first.seq + n, batch.hlc.plus(n), effect.db);
            self.dues.push(Due { bytes, order, hlc, seq, shard, db });
        }
        Ok(())
    }

    /// Puts the dues into the order of their shards.
    fn sort(&mut self) {
        let mut ends = [0_u32; SHARDS + 1];
        self.dues.iter().for_each(|due| ends[usize::from(due.shard.0) + 1] += 1);
        (0..SHARDS).for_each(|shard| ends[shard + 1] += ends[shard]);
        self.order = vec![0; self.dues.len()];
        for (at, due) in (0..).zip(&self.dues) {
            let end = &mut ends[usize::from(due.shard.0)];
            self.order[*end as usize] = at;
            *end += 1;
        }
    }

    /// Whether there is an effect that replicas do not send each other.
    pub(super) fn is_alien(&self) -> bool {
        self.is_alone && self.effects().any(|(effect, _)| is_alien(&effect.op))
    }

    /// The effects in their order.
    pub(super) fn effects(&self) -> impl Iterator<Item = (Effect<'b>, Place)> {
        self.dues.iter().filter_map(|due| Some((self.effect(due)?, due.place())))
    }

    /// The effects by shard, each shard's in their order.
    pub(super) fn by_shard(&self) -> impl Iterator<Item = (Effect<'b>, Place, Written<'b>)> {
        let origin = self.first.first.origin;
        self.order.iter().filter_map(move |at| {
            let due = &self.dues[*at as usize];
            let written = Written { dot: Dot { origin, seq: due.seq }, hlc: due.hlc, context: Some(self.context) };
            Some((self.effect(due)?, due.place(), written))
        })
    }

    fn effect(&self, due: &Due<'b>) -> Option<Effect<'b>> {
        // It was read before.
        Effects::first(self.first.first.origin, due.bytes).ok()
    }

    /// The dues of each shard, one shard after the other.
    fn shares(&self) -> impl Iterator<Item = &[u32]> {
        let shard = |at: &u32| self.dues[*at as usize].shard;
        self.order.chunk_by(move |one, next| shard(one) == shard(next))
    }

    /// Locks the shards of all effects, and has the processor fetch what they look at.
    pub(super) fn lock<'s>(&self, shared: &'s Shared) -> Guards<'s> {
        let lock = |id: ShardId| (id, shared.shards[usize::from(id.0)].lock());
        if self.is_alone && self.effects().any(|(effect, _)| is_of_all(&effect.op)) {
            return Guards::new((0..SHARDS).map(|id| lock(ShardId(id as u8))));
        }
        let guards = Guards::new(self.shares().map(|share| lock(self.dues[share[0] as usize].shard)));
        let each = |step: &dyn Fn(&Table<_>, u64)| {
            for (shard, share) in guards.iter().zip(self.shares()) {
                for due in share.iter().map(|at| &self.dues[*at as usize]) {
                    shard.db(due.db).into_iter().for_each(|db| step(&db.table, due.order));
                }
            }
        };
        for (shard, share) in guards.iter().zip(self.shares()) {
            share.iter().for_each(|at| shard.suffix.foresee(self.dues[*at as usize].order));
        }
        each(&|table, order| table.to_segment(order));
        each(&|table, order| table.to_item(order));
        each(&|table, order| table.to_value(order));
        guards
    }

    /// Brings into memory what the effects change and has not been brought.
    pub(super) fn prepare(&self, shared: &Shared, guards: &mut Guards<'_>) -> Result<(), ReadError> {
        if !shared.residency.is_on() {
            return Ok(());
        }
        for (effect, place) in self.effects() {
            if let Some(guard) = guards.get_mut(place.shard) {
                shared.fetch_locked(guard, effect.db, place, effect.key)?;
                shared.prepare_part(guard, &effect, place)?;
            }
        }
        Ok(())
    }

    /// The timestamp behind its last effect.
    pub(super) fn next_hlc(&self) -> Hlc {
        self.last.hlc.plus(self.last.len())
    }

    /// Puts it into the log: behind the record before it, if that was of the same origin and context, or as a record of its own.
    pub(super) fn append(&self, log: &mut Appender<'_, Sequencer>, shared: &Shared) -> Result<Position, LogError> {
        let origin = self.first.first.origin;
        let says = log.state().waymarks.heard(origin) != Some(self.context);
        let end = log.state().record_end.filter(|end| !says && self.first.follows(end));
        let mut head = Vec::with_capacity(self.first.size());
        let position = match end {
            Some(end) if log.can_extend(RECORD_BATCHES, self.first.size() + self.rest.len()) => {
                self.first.extend_record(&end, &mut head);
                log.extend(&[&head, self.rest])?
            }
            _ => {
                self.first.begin_record(says.then_some(self.context), &mut head);
                log.append(RECORD_BATCHES, &[&head, self.rest])?
            }
        };
        let sequencer = log.state();
        let last = Hlc(self.next_hlc().0 - 1);
        sequencer.note_own_head(shared.origin());
        sequencer.heads.last.insert(origin, last);
        sequencer.clock.observe(last);
        shared.replication.see(last);
        sequencer.others.add(Dot { origin, seq: self.last.first.seq + self.last.len() - 1 });
        sequencer.record_end = Some(self.last.record_end());
        if says {
            sequencer.heads.unsaid.remove(&origin);
            sequencer.waymarks.hear(origin, self.context.clone());
        }
        Ok(position)
    }
}

impl Due<'_> {
    fn place(&self) -> Place {
        Place { shard: self.shard, order: self.order }
    }
}

/// Whether it concerns all shards.
fn is_of_all(op: &Op<'_>) -> bool {
    matches!(op, Op::FlushDb | Op::FlushAll | Op::SwapDb(_))
}

/// Whether it is of an exclusive transaction, decides one, or says who leads those of a key.
fn is_ruled(op: &Op<'_>) -> bool {
    matches!(op, Op::Bind(_) | Op::Verdict { .. } | Op::Serialize(_))
}

fn is_alien(op: &Op<'_>) -> bool {
    matches!(op, Op::Define(_) | Op::Undefine | Op::Moved(_) | Op::Rename { .. })
}
