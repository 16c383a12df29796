//! Recovery: the rows of the last checkpoint stay at rest, then the log's batches behind it, in order, through the same `apply` as
//! everything else.

mod chunk;
mod course;
mod replay;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use effect::Hlc;
use wal::Position;

use crate::checkpoint::{self, Loaded, Recent};
use crate::engine::Shared;
use crate::error::OpenError;
use crate::limits::DATABASES_MAX;
use course::Course;
use replay::replay;

/// How often a start that takes long says how far it has come.
const TELL: Duration = Duration::from_secs(1);

fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

/// Restores the state and sets the sequencer to go on behind it.
pub(crate) fn recover(shared: &Shared) -> Result<(), OpenError> {
    let began = Instant::now();
    let first = shared.log.first();
    shared.residency.set_recovering(true);
    let (mut course, from) = match checkpoint::load(shared)? {
        Some(Loaded { head, keys, recent }) if head.from >= first => {
            tracing::info!(keys, ms = millis(began), "the last checkpoint was loaded");
            shared.checkpoints.note_position(head.from);
            let course = Course::new(head.origins.into_iter().collect(), head.last, head.from);
            let course = match recent {
                Some(recent) => course.with(go_on(shared, head.from, recent)?),
                None => course,
            };
            (course, head.from)
        }
        None if first == Position::START => (Course::new(HashMap::new(), Hlc(0), first), first),
        _ => return Err(OpenError::NoCheckpoint { position: first.get() }),
    };
    let (all, mut told) = (shared.log.end().get() - from.get(), Instant::now());
    let end = replay(shared, from, &mut course, |position| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            let done = position.get() - from.get();
            tracing::info!(percent = done * 100 / all.max(1), bytes = done, "the log is being replayed");
        }
    })?;
    shared.residency.set_recovering(false);
    for shard in &shared.shards {
        shard.lock().applied = end;
    }
    let keys: u64 = (0..DATABASES_MAX).map(|db| shared.counts.get(db as u8, (shared.clock)()).keys).sum();
    tracing::info!(keys, batches = course.batches, ms = millis(began), "the data was loaded");
    let mut log = shared.log.lock();
    let sequencer = log.state();
    sequencer.clock.observe(course.last);
    let vector = course.vector();
    sequencer.next_seq = vector.get(shared.origin()) + 1;
    sequencer.others = vector;
    sequencer.others.remove(shared.origin());
    sequencer.waymarks = course.waymarks;
    sequencer.waymarks.forget_below(first);
    sequencer.heads = course.heads;
    shared.replication.see(course.last);
    Ok(())
}

/// Takes over what a checkpoint says of a replica; the recent effects on keys are back.
fn go_on(shared: &Shared, from: Position, mut recent: Recent) -> Result<Recent, OpenError> {
    *shared.swaps.lock() = std::mem::take(&mut recent.swaps);
    shared.kept.set_peers(recent.needed.take());
    shared.replication.again.take(&recent.again);
    if let Some(mark) = recent.waymarks.at(from) {
        let refused = |source| OpenError::Batch { position: from.get(), source };
        shared.exclusives.restore(&mark, &recent.exclusives).map_err(refused)?;
    }
    shared.take_state(&recent.state);
    Ok(recent)
}

#[cfg(test)]
mod tests;
