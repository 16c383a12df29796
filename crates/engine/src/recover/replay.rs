//! The log's effects, applied to the shards by several threads.
//!
//! ```text
//!   one thread    records ─▶ chunk, some MiB, its effects by shard ─▶ queue of a few
//!   the others    ─▶ each takes the effects of one shard, then of another, until none is left ─▶ the next chunk
//!                 └▶ an effect on several shards: all that came before is applied first, then it, alone
//! ```
//! *Invariant:* each shard sees its effects in the order of the log, and an effect on several shards sees all before it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use effect::{Effect, Op, Origin};
use wal::{Position, Reader};

use super::chunk::{Chunk, Due, How, Passage};
use super::course::Course;
use crate::apply::{apply, apply_at};
use crate::checkpoint;
use crate::engine::Shared;
use crate::error::OpenError;
use crate::guards::Guards;
use crate::limits::{LOADERS_MAX, REPLAY_AHEAD, REPLAY_LOOKAHEAD};
use crate::residency::{self, ReadError};
use crate::shard::{Shard, ShardId};
use crate::stop::Place;
use crate::value::Steps;

/// Applies all of the log that there is behind `from`, and answers where it ends; `progress` hears now and then how far it has
/// come.
pub(super) fn replay(
    shared: &Shared,
    from: Position,
    course: &mut Course,
    mut progress: impl FnMut(Position),
) -> Result<Position, OpenError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, LOADERS_MAX);
    let mut reader = shared.log.reader(from)?;
    let mut end = from;
    let (full, chunks) = sync_channel(REPLAY_AHEAD);
    let (used, empty) = channel();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(shared, &mut reader, course, full, empty));
        for chunk in chunks {
            let chunk: Chunk = chunk?;
            for passage in chunk.passages() {
                apply_passage(shared, threads, &chunk, passage)?;
            }
            end = chunk.end;
            progress(end);
            // Once all has been read nobody takes it.
            let _ = used.send(chunk);
        }
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(end)
    })
}

/// Lays the log out, a few chunks ahead, until it ends, cannot be read, or nobody takes them any more.
fn read(
    shared: &Shared,
    reader: &mut Reader,
    course: &mut Course,
    full: SyncSender<Result<Chunk, OpenError>>,
    empty: Receiver<Chunk>,
) {
    let mut sorted = Vec::new();
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        let filled = match chunk.fill(shared, reader, course, &mut sorted) {
            Ok(true) => Ok(chunk),
            Ok(false) => break,
            Err(error) => Err(error),
        };
        let is_over = filled.is_err();
        if full.send(filled).is_err() || is_over {
            break;
        }
    }
    course.settle();
}

fn apply_passage(shared: &Shared, threads: usize, chunk: &Chunk, passage: &Passage) -> Result<(), OpenError> {
    let dues = chunk.dues(passage);
    let applied = match passage.how {
        How::Alone => return dues.iter().try_for_each(|due| apply_alone(shared, &chunk.effect(passage.origin, due))),
        How::InOrder => dues.iter().try_for_each(|due| {
            let place = due.place();
            let mut guards = lock_one(shared, place.shard);
            apply_one(&mut guards, shared, &chunk.effect(passage.origin, due), place)
        }),
        How::ByShard => apply_shares(shared, threads, chunk, passage),
    };
    applied.map_err(|error| unreadable(shared, error))
}

/// Applies an effect on several shards.
fn apply_alone(shared: &Shared, effect: &Effect<'_>) -> Result<(), OpenError> {
    if matches!(effect.op, Op::Define(_) | Op::Undefine | Op::Moved(_)) {
        // Where there are keyspaces, all keys are in memory.
        residency::complete(shared)?;
    }
    shared.keyspaces.note_flush(effect);
    let locked = shared.shards.iter().enumerate().map(|(id, shard)| (ShardId(id as u8), shard.lock()));
    let mut guards = Guards::new(locked);
    prepare_all(shared, &mut guards, effect).map_err(|error| unreadable(shared, error))?;
    apply(&mut guards, shared, effect, None);
    Ok(())
}

/// Applies each shard's effects, by several threads. This one is the first of them.
fn apply_shares(shared: &Shared, threads: usize, chunk: &Chunk, passage: &Passage) -> Result<(), ReadError> {
    let (shares, next) = (chunk.shares(passage), AtomicUsize::new(0));
    let work = || {
        while let Some(share) = shares.get(next.fetch_add(1, Ordering::Relaxed)) {
            apply_share(shared, chunk, passage.origin, share)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(shares.len())).map(|_| scope.spawn(work)).collect();
        let first = work();
        let join = |other: std::thread::ScopedJoinHandle<'_, _>| {
            other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        others.into_iter().map(join).fold(first, Result::and)
    })
}

/// Applies effects of one shard.
fn apply_share(shared: &Shared, chunk: &Chunk, origin: Origin, share: &[Due]) -> Result<(), ReadError> {
    let Some(shard) = share.first().map(|due| due.place().shard) else { return Ok(()) };
    let mut guards = lock_one(shared, shard);
    for some in share.chunks(REPLAY_LOOKAHEAD) {
        some.iter().for_each(|due| chunk.fetch(due));
        guards.get(shard).into_iter().for_each(|guard| foresee(guard, some));
        for due in some {
            apply_one(&mut guards, shared, &chunk.effect(origin, due), due.place())?;
        }
    }
    Ok(())
}

fn lock_one(shared: &Shared, shard: ShardId) -> Guards<'_> {
    Guards::one((shard, shared.shards[usize::from(shard.0)].lock()))
}

/// Applies an effect of one key, whose shard is locked.
#[inline]
fn apply_one(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, place: Place) -> Result<(), ReadError> {
    if shared.residency.is_on()
        && let Some(guard) = guards.get_mut(place.shard)
    {
        shared.prepare(guard, effect, place)?;
    }
    apply_at(guards, shared, effect, Some(place), None);
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
    Ok(())
}

/// Fetches what the effects will look up into the processor's caches, all at once.
fn foresee(shard: &Shard, dues: &[Due]) {
    let table = |due: &Due| shard.db(due.db).map(|tables| (&tables.table, due.place().order));
    dues.iter().filter_map(table).for_each(|(table, order)| table.to_segment(order));
    dues.iter().filter_map(table).for_each(|(table, order)| table.to_item(order));
    dues.iter().filter_map(table).for_each(|(table, order)| table.to_value(order));
}

fn unreadable(shared: &Shared, error: ReadError) -> OpenError {
    OpenError::of_read(&shared.dir.join(checkpoint::ROWS), error)
}
