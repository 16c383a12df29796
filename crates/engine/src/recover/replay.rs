//! The log's effects, applied to the shards by several threads.
//!
//! ```text
//!   records ─▶ chunk, some MiB ─▶ effects, by the thread whose shards they are for ─▶ applied, side by side
//!                                └▶ an effect on several shards: all that came before is applied first, then it, alone
//! ```
//! *Invariant:* each shard sees its effects in the order of the log, and an effect on several shards sees all before it.

use std::collections::HashMap;
use std::ops::Range;

use effect::{Batch, Batches, Effect, Hlc, Op, Origin};
use wal::{Position, Reader};

use crate::apply::{apply, apply_at};
use crate::checkpoint;
use crate::engine::{RECORD_BATCHES, Shared};
use crate::error::OpenError;
use crate::guards::Guards;
use crate::limits::{LOADERS_MAX, REPLAY_CHUNK_BYTES, REPLAY_LOOKAHEAD, SHARDS};
use crate::residency::{self, ReadError};
use crate::shard::ShardId;
use crate::stop::Place;
use crate::value::Steps;

/// What is known of the log up to where it has been applied.
pub(super) struct Replay<'s> {
    shared: &'s Shared,
    threads: usize,
    /// The next numbers of all origins.
    pub(super) next: HashMap<Origin, u64>,
    pub(super) last: Hlc,
    pub(super) end: Position,
    pub(super) batches: u64,
}

/// Records that are decoded together.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    records: Vec<(Position, Range<usize>)>,
    end: Position,
}

impl Chunk {
    /// Reads on, to some MiB; whether there was anything.
    fn fill(&mut self, reader: &mut Reader) -> Result<bool, OpenError> {
        self.bytes.clear();
        self.records.clear();
        while self.bytes.len() < REPLAY_CHUNK_BYTES
            && let Some(record) = reader.next()?
        {
            if record.kind != RECORD_BATCHES {
                return Err(OpenError::Kind { position: record.start.get(), kind: record.kind.get() });
            }
            let from = self.bytes.len();
            self.bytes.extend_from_slice(record.payload);
            self.records.push((record.start, from..self.bytes.len()));
            self.end = record.end;
        }
        Ok(!self.records.is_empty())
    }
}

/// Effects with the places of their keys, by thread.
type Shares<'c> = Vec<Vec<(Effect<'c>, Place)>>;

impl<'s> Replay<'s> {
    /// Begins behind `end`, where the origins are to go on at `next`.
    pub(super) fn new(shared: &'s Shared, next: HashMap<Origin, u64>, last: Hlc, end: Position) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, LOADERS_MAX);
        Self { shared, threads, next, last, end, batches: 0 }
    }

    /// Applies all of the log that there is; `progress` hears now and then how far it has come.
    pub(super) fn run(&mut self, mut progress: impl FnMut(Position)) -> Result<(), OpenError> {
        let mut reader = self.shared.log.reader(self.end)?;
        let mut chunk = Chunk::default();
        while chunk.fill(&mut reader)? {
            let mut shares: Shares<'_> = (0..self.threads).map(|_| Vec::new()).collect();
            for (start, range) in &chunk.records {
                self.record(*start, &chunk.bytes[range.clone()], &mut shares)?;
            }
            self.apply_shares(&mut shares)?;
            self.end = chunk.end;
            progress(self.end);
        }
        Ok(())
    }

    fn record<'c>(&mut self, start: Position, payload: &'c [u8], shares: &mut Shares<'c>) -> Result<(), OpenError> {
        let refused = |source| OpenError::Batch { position: start.get(), source };
        for batch in Batches::decode(payload) {
            let batch = batch.map_err(refused)?;
            self.follow(&batch)?;
            for effect in batch.effects() {
                self.share(effect.map_err(refused)?, shares)?;
            }
            self.last = self.last.max(batch.hlc.plus(batch.len().saturating_sub(1)));
            self.batches += 1;
        }
        Ok(())
    }

    /// Gives an effect to the thread whose shard it is for.
    fn share<'c>(&self, effect: Effect<'c>, shares: &mut Shares<'c>) -> Result<(), OpenError> {
        if is_of_one_key(&effect.op) {
            let place = self.shared.place_of(effect.key);
            shares[usize::from(place.shard.0) * self.threads / SHARDS].push((effect, place));
            return Ok(());
        }
        self.apply_shares(shares)?;
        if matches!(effect.op, Op::Define(_) | Op::Undefine | Op::Moved(_)) {
            // Where there are keyspaces, all keys are in memory.
            residency::complete(self.shared)?;
        }
        self.shared.keyspaces.note_flush(&effect);
        let mut guards = lock(self.shared, 0..SHARDS);
        prepare_all(self.shared, &mut guards, &effect).map_err(|error| self.unreadable(error))?;
        apply(&mut guards, self.shared, &effect, None);
        Ok(())
    }

    /// Applies what the threads have been given. This one is the first of them.
    fn apply_shares(&self, shares: &mut Shares<'_>) -> Result<(), OpenError> {
        let shared = self.shared;
        let shards = |thread: usize| {
            let first = |thread: usize| (thread * SHARDS).div_ceil(self.threads);
            first(thread)..first(thread + 1)
        };
        let applied = std::thread::scope(|scope| {
            let (own, others) = shares.split_first_mut().expect("there is a thread at least");
            let others: Vec<_> = (1..)
                .zip(others)
                .filter(|(_, share)| !share.is_empty())
                .map(|(thread, share)| scope.spawn(move || apply_share(shared, shards(thread), share)))
                .collect();
            let first = apply_share(shared, shards(0), own);
            let join = |other: std::thread::ScopedJoinHandle<'_, _>| {
                other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            others.into_iter().map(join).fold(first, Result::and)
        });
        applied.map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: ReadError) -> OpenError {
        OpenError::of_read(&self.shared.dir.join(checkpoint::ROWS), error)
    }

    /// Checks that an origin's dots are gapless.
    fn follow(&mut self, batch: &Batch<'_>) -> Result<(), OpenError> {
        let due = self.next.entry(batch.first.origin).or_insert(batch.first.seq);
        if *due != batch.first.seq {
            let (origin, found) = (batch.first.origin.0, batch.first.seq);
            return Err(OpenError::Gap { origin, expected: *due, found });
        }
        *due += batch.len();
        Ok(())
    }
}

/// Whether what it changes is one key.
fn is_of_one_key(op: &Op<'_>) -> bool {
    !matches!(
        op,
        Op::FlushDb
            | Op::FlushAll
            | Op::SwapDb(_)
            | Op::Rename { .. }
            | Op::Define(_)
            | Op::Undefine
            | Op::Moved(_)
            | Op::Noop
            | Op::Bind(_)
            | Op::Verdict { .. }
            | Op::Serialize(_)
    )
}

fn lock(shared: &Shared, shards: Range<usize>) -> Guards<'_> {
    Guards::new(shards.map(|id| (ShardId(id as u8), shared.shards[id].lock())))
}

fn apply_share(shared: &Shared, shards: Range<usize>, share: &mut Vec<(Effect<'_>, Place)>) -> Result<(), ReadError> {
    let mut guards = lock(shared, shards);
    for some in share.chunks(REPLAY_LOOKAHEAD) {
        foresee(&guards, some);
        for (effect, place) in some {
            if shared.residency.is_on()
                && let Some(guard) = guards.get_mut(place.shard)
            {
                shared.prepare(guard, effect, *place)?;
            }
            apply_at(&mut guards, shared, effect, Some(*place), None);
        }
    }
    share.clear();
    Ok(())
}

/// Brings the keys into memory that an effect on several shards is about.
fn prepare_all(shared: &Shared, guards: &mut Guards<'_>, effect: &Effect<'_>) -> Result<(), ReadError> {
    let Op::Rename { db, key, .. } = &effect.op else { return Ok(()) };
    for (db, key) in [(effect.db, effect.key), (*db, *key)] {
        let place = shared.place_of(key);
        if let Some(guard) = guards.get_mut(place.shard) {
            shared.fetch_locked(guard, db, place, key)?;
        }
    }
    let place = shared.place_of(effect.key);
    guards.get_mut(place.shard).map_or(Ok(()), |guard| shared.prepare_part(guard, effect, place))
}

/// Fetches what the effects will look up into the processor's caches, all at once.
fn foresee(guards: &Guards<'_>, effects: &[(Effect<'_>, Place)]) {
    let table = |(effect, place): &(Effect<'_>, Place)| {
        let tables = guards.get(place.shard).and_then(|shard| shard.db(effect.db));
        tables.map(|tables| (&tables.table, place.order))
    };
    effects.iter().filter_map(table).for_each(|(table, order)| table.to_segment(order));
    effects.iter().filter_map(table).for_each(|(table, order)| table.to_item(order));
    effects.iter().filter_map(table).for_each(|(table, order)| table.to_value(order));
}
