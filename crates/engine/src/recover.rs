//! Recovery: the log's batches, applied in order, through the same `apply` as everything else.

use std::collections::HashMap;

use effect::{Batch, Hlc, Origin};
use wal::Position;

use crate::apply::apply;
use crate::engine::{RECORD_BATCH, Shared};
use crate::error::OpenError;
use crate::guards::Guards;
use crate::limits::SHARDS;
use crate::shard::ShardId;

/// Applies everything from the beginning of the log on and sets the sequencer to go on behind it.
pub(crate) fn replay(shared: &Shared) -> Result<(), OpenError> {
    let lock = |id: usize| (ShardId(id as u8), shared.shards[id].lock());
    let mut guards = Guards::new((0..SHARDS).map(lock));
    let mut reader = shared.log.reader(shared.log.first())?;
    let mut next: HashMap<Origin, u64> = HashMap::new();
    let mut last = Hlc(0);
    let mut end = Position::START;
    while let Some(record) = reader.next()? {
        if record.kind != RECORD_BATCH {
            continue;
        }
        let position = record.start;
        let refused = |source| OpenError::Batch { position: position.get(), source };
        let batch = Batch::decode(record.payload).map_err(refused)?;
        follow(&mut next, &batch)?;
        for effect in batch.effects() {
            apply(&mut guards, shared, &effect.map_err(refused)?, None);
        }
        last = last.max(batch.hlc.plus(batch.len().saturating_sub(1)));
        end = record.end;
    }
    for shard in guards.iter_mut() {
        shard.applied = end;
    }
    drop(guards);
    let mut log = shared.log.lock();
    let sequencer = log.state();
    sequencer.clock.observe(last);
    sequencer.next_seq = next.get(&shared.origin).copied().unwrap_or(1);
    Ok(())
}

/// Checks that an origin's dots are gapless.
fn follow(next: &mut HashMap<Origin, u64>, batch: &Batch<'_>) -> Result<(), OpenError> {
    let due = next.entry(batch.first.origin).or_insert(batch.first.seq);
    if *due != batch.first.seq {
        let (origin, found) = (batch.first.origin.0, batch.first.seq);
        return Err(OpenError::Gap { origin, expected: *due, found });
    }
    *due += batch.len();
    Ok(())
}
