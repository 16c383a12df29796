//! The log's effects, applied to the shards by several threads.
//!
//! ```text
//!   one thread    records ─▶ chunk, some MiB, its effects by shard ─▶ queue of a few
//!   the others    ─▶ each takes the effects of one shard, then of another, until none is left ─▶ the next chunk
//!                 └▶ an effect on several shards: all that came before is applied first, then it, alone
//! ```
//! What changes a part of a value needs its row. Where many of a shard's rows are needed, all are brought in, one behind the
//! other, which is many times quicker than looking for each.
//!
//! *Invariant:* each shard sees its effects in the order of the log, and an effect on several shards sees all before it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use effect::{Effect, Op, Origin};
use wal::{Position, Reader};

use super::chunk::{Chunk, Due, How, Passage};
use super::course::Course;
use crate::apply::{apply, apply_at};
use crate::checkpoint;
use crate::engine::Shared;
use crate::error::OpenError;
use crate::exclusive::{self, Decided};
use crate::guards::Guards;
use crate::limits::{LOADERS_MAX, REPLAY_AHEAD, REPLAY_LOOKAHEAD, REPLAY_READS, REPLAY_READS_SHARE, SHARDS};
use crate::residency::{self, Fill, ReadError, fill};
use crate::shard::{Shard, ShardId};
use crate::stop::Place;
use crate::suffix::{self, Written};
use crate::value::Steps;

/// Applies the log, by several threads.
struct Replay<'s> {
    shared: &'s Shared,
    threads: usize,
    /// By shard: rows that were read by their names.
    reads: Box<[AtomicU64]>,
}

/// Applies all of the log that there is behind `from`, and answers where it ends; `progress` hears now and then how far it has
/// come.
pub(super) fn replay(
    shared: &Shared,
    from: Position,
    course: &mut Course,
    mut progress: impl FnMut(Position),
) -> Result<Position, OpenError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, LOADERS_MAX);
    let replay = Replay { shared, threads, reads: (0..SHARDS).map(|_| AtomicU64::new(0)).collect() };
    let mut reader = shared.log.reader(from)?;
    let mut end = from;
    let (full, chunks) = sync_channel(REPLAY_AHEAD);
    let (used, empty) = channel();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(shared, &mut reader, course, full, empty));
        for chunk in chunks {
            let chunk: Chunk = chunk?;
            chunk.passages().try_for_each(|passage| replay.passage(&chunk, passage))?;
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

impl Replay<'_> {
    fn passage(&self, chunk: &Chunk, passage: &Passage) -> Result<(), OpenError> {
        let dues = chunk.dues(passage);
        let applied = match passage.how {
            How::Alone => {
                let alone = |due: &Due| self.alone(&chunk.effect(passage.origin, due), chunk.author(due));
                return dues.iter().try_for_each(alone);
            }
            How::State(number) => {
                self.shared.take_state(chunk.state(number));
                Ok(())
            }
            How::Bind(number) => return exclusive::recall(self.shared, chunk.bind(number)),
            How::InOrder => {
                let mut ones = dues.chunk_by(|one, next| one.place().shard == next.place().shard);
                ones.try_for_each(|share| self.share(chunk, passage.origin, share))
            }
            How::ByShard => self.by_shard(chunk, passage),
        };
        applied.map_err(|error| self.unreadable(error))
    }

    /// Applies an effect on several shards.
    fn alone(&self, effect: &Effect<'_>, author: Option<Written<'_>>) -> Result<(), OpenError> {
        let shared = self.shared;
        if let Op::Verdict { bind, committed, ballot } = effect.op {
            let dot = author.map_or(bind, |written| written.dot);
            return exclusive::at_start(shared, &Decided { bind, committed, ballot, dot }, author.is_some());
        }
        if matches!(effect.op, Op::Define(_) | Op::Undefine | Op::Moved(_)) {
            // Where there are keyspaces, all keys are in memory.
            residency::complete(shared)?;
        }
        shared.keyspaces.note_flush(effect);
        let locked = shared.shards.iter().enumerate().map(|(id, shard)| (ShardId(id as u8), shard.lock()));
        let mut guards = Guards::new(locked);
        prepare_all(shared, &mut guards, effect).map_err(|error| self.unreadable(error))?;
        match author {
            Some(written) => suffix::take_in(&mut guards, shared, effect, &written, None),
            None => apply(&mut guards, shared, effect, None),
        }
        Ok(())
    }

    /// Applies each shard's effects, by several threads. This one is the first of them.
    fn by_shard(&self, chunk: &Chunk, passage: &Passage) -> Result<(), ReadError> {
        let (shares, next) = (chunk.shares(passage), AtomicUsize::new(0));
        let work = || {
            while let Some(share) = shares.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.share(chunk, passage.origin, share)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads.min(shares.len())).map(|_| scope.spawn(work)).collect();
            let first = work();
            let join = |other: std::thread::ScopedJoinHandle<'_, _>| {
                other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            others.into_iter().map(join).fold(first, Result::and)
        })
    }

    /// Applies effects of one shard.
    fn share(&self, chunk: &Chunk, origin: Origin, share: &[Due]) -> Result<(), ReadError> {
        let Some(shard) = share.first().map(|due| due.place().shard) else { return Ok(()) };
        for some in share.chunks(REPLAY_LOOKAHEAD) {
            let mut guards = lock_one(self.shared, shard);
            some.iter().for_each(|due| chunk.fetch(due));
            guards.get(shard).into_iter().for_each(|guard| foresee(guard, some));
            let mut reads = 0;
            for due in some {
                let effect = chunk.effect(origin, due);
                let was_read = match chunk.author(due) {
                    Some(written) => take_in_one(&mut guards, self.shared, &effect, due.place(), &written)?,
                    None => apply_one(&mut guards, self.shared, &effect, due.place())?,
                };
                reads += u64::from(was_read);
            }
            drop(guards);
            if reads > 0 {
                self.note_reads(shard, reads)?;
            }
        }
        Ok(())
    }

    /// So many rows were read by their names. Brings all of the shard in, once they are many.
    fn note_reads(&self, shard: ShardId, reads: u64) -> Result<(), ReadError> {
        let (shared, at) = (self.shared, usize::from(shard.0));
        let reads = self.reads[at].fetch_add(reads, Ordering::Relaxed) + reads;
        if reads < REPLAY_READS || shared.residency.is_bounded() {
            return Ok(());
        }
        let cold = shared.shards[at].lock().cold_keys();
        match shared.checkpoints.found_rows() {
            Some(rows) if reads >= cold / REPLAY_READS_SHARE => {
                fill(shared, rows, shard, Fill::Arrive, || true).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn unreadable(&self, error: ReadError) -> OpenError {
        OpenError::of_read(&self.shared.dir.join(checkpoint::ROWS), error)
    }
}

fn lock_one(shared: &Shared, shard: ShardId) -> Guards<'_> {
    Guards::one((shard, shared.shards[usize::from(shard.0)].lock()))
}

/// Applies an effect of one key, whose shard is locked. Whether the key's row was read for it.
#[inline]
fn apply_one(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, place: Place) -> Result<bool, ReadError> {
    let was_read = match guards.get_mut(place.shard) {
        Some(guard) if shared.residency.is_on() => shared.prepare(guard, effect, place)?,
        _ => false,
    };
    apply_at(guards, shared, effect, Some(place), None);
    Ok(was_read)
}

/// The same where there were other replicas: as when it came. Whatever it is about must be known.
fn take_in_one(
    guards: &mut Guards<'_>,
    shared: &Shared,
    effect: &Effect<'_>,
    place: Place,
    written: &Written<'_>,
) -> Result<bool, ReadError> {
    let was_read = match guards.get_mut(place.shard) {
        Some(guard) if shared.residency.is_on() => {
            let was_read = shared.fetch_locked(guard, effect.db, place, effect.key)?;
            shared.prepare_part(guard, effect, place)?;
            was_read
        }
        _ => false,
    };
    suffix::take_in(guards, shared, effect, written, None);
    Ok(was_read)
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
fn foresee(shard: &Shard, dues: &[Due]) {
    let table = |due: &Due| shard.db(due.db).map(|tables| (&tables.table, due.place().order));
    dues.iter().filter_map(table).for_each(|(table, order)| table.to_segment(order));
    dues.iter().filter_map(table).for_each(|(table, order)| table.to_item(order));
    dues.iter().filter_map(table).for_each(|(table, order)| table.to_value(order));
}
