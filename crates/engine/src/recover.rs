//! Recovery: the rows of the last checkpoint, then the log's batches behind it, in order, through the same `apply` as
//! everything else.

use std::collections::HashMap;
use std::time::Instant;

use effect::{Batch, Batches, Hlc, Origin};
use wal::Position;

use crate::apply::apply;
use crate::checkpoint::{self, Loaded};
use crate::engine::{RECORD_BATCHES, Shared};
use crate::error::OpenError;
use crate::guards::Guards;
use crate::limits::{DATABASES_MAX, SHARDS};
use crate::shard::ShardId;

/// Where recovery stands.
struct Recovery {
    next: HashMap<Origin, u64>,
    last: Hlc,
    end: Position,
}

fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

/// Restores the state and sets the sequencer to go on behind it.
pub(crate) fn recover(shared: &Shared) -> Result<(), OpenError> {
    let began = Instant::now();
    let first = shared.log.first();
    let mut recovery = Recovery { next: HashMap::new(), last: Hlc(0), end: first };
    match checkpoint::load(shared)? {
        Some(Loaded { head, .. }) if head.from < first => {
            return Err(OpenError::NoCheckpoint { position: first.get() });
        }
        Some(Loaded { head, keys }) => {
            tracing::info!(keys, ms = millis(began), "the last checkpoint was loaded");
            recovery = Recovery { next: head.origins.into_iter().collect(), last: head.last, end: head.from };
        }
        None if first > Position::START => return Err(OpenError::NoCheckpoint { position: first.get() }),
        None => {}
    }
    let lock = |id: usize| (ShardId(id as u8), shared.shards[id].lock());
    let mut guards = Guards::new((0..SHARDS).map(lock));
    let batches = recovery.replay(shared, &mut guards)?;
    for shard in guards.iter_mut() {
        shard.applied = recovery.end;
    }
    drop(guards);
    let keys: u64 = (0..DATABASES_MAX).map(|db| shared.counts.get(db as u8, (shared.clock)()).keys).sum();
    tracing::info!(keys, batches, ms = millis(began), "the data was loaded");
    let mut log = shared.log.lock();
    let sequencer = log.state();
    sequencer.clock.observe(recovery.last);
    sequencer.next_seq = recovery.next.get(&shared.origin).copied().unwrap_or(1);
    sequencer.earlier = recovery.next.into_iter().collect();
    Ok(())
}

impl Recovery {
    fn replay(&mut self, shared: &Shared, guards: &mut Guards<'_>) -> Result<u64, OpenError> {
        let mut reader = shared.log.reader(self.end)?;
        let mut count = 0;
        while let Some(record) = reader.next()? {
            if record.kind != RECORD_BATCHES {
                return Err(OpenError::Kind { position: record.start.get(), kind: record.kind.get() });
            }
            let refused = |source| OpenError::Batch { position: record.start.get(), source };
            let mut batches = Batches::decode(record.payload);
            while let Some(batch) = batches.next() {
                let batch = batch.map_err(refused)?;
                let end = record.position_at(batches.offset());
                self.follow(&batch)?;
                for effect in batch.effects() {
                    let effect = effect.map_err(refused)?;
                    shared.keyspaces.note_flush(&effect);
                    apply(guards, shared, &effect, None);
                }
                self.last = self.last.max(batch.hlc.plus(batch.len().saturating_sub(1)));
                self.end = end;
                count += 1;
            }
        }
        Ok(count)
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

#[cfg(test)]
mod tests;
