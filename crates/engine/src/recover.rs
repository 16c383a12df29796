//! Recovery: the newest snapshot, then the log's batches behind it, in order, through the same `apply` as everything
//! else.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use effect::{Batch, Batches, Effect, Folded, Hlc, KeyspaceId, Op, Origin, WireError, wire};
use wal::Position;

use crate::apply::{apply, load_part};
use crate::engine::{RECORD_BATCHES, Shared};
use crate::error::OpenError;
use crate::guards::Guards;
use crate::keyspace::Saved;
use crate::limits::{DATABASES_MAX, SHARDS};
use crate::shard::{DbKey, ShardId};
use crate::snapshot;
use crate::snapshot::format::{self, CHUNK, ChunkHead, END, HEAD, Head, KEY, Owed, PART, Part, SPACES};
use crate::stop::Place;

/// What each chunk of a snapshot holds already: by shard and physical database, ascending starts in hash space with the
/// position that was applied.
/// Keys that stand for themselves count before their chunk.
#[derive(Default)]
struct Held {
    chunks: HashMap<(ShardId, u8), Vec<(u64, Position)>>,
    keys: HashMap<DbKey, Position>,
    /// The shards and databases of those keys.
    with_keys: HashSet<(ShardId, u8)>,
}

/// How much of a shard's database a snapshot holds as of some position.
#[derive(Debug, PartialEq, Eq)]
enum Extent {
    Nothing,
    Some,
    All,
}

impl Held {
    /// Whether the snapshot has the effects on this key up to `end`.
    fn has(&self, db: u8, key: &[u8], place: Place, end: Position) -> bool {
        if !self.keys.is_empty()
            && let Some(applied) = self.keys.get(&(db, key.into()))
        {
            return *applied >= end;
        }
        let Some(chunks) = self.chunks.get(&(place.shard, db)) else { return false };
        let at = chunks.partition_point(|(from, _)| *from <= place.order);
        at > 0 && chunks[at - 1].1 >= end
    }

    /// How much of a database the snapshot has with the effects up to `end`. Each chunk of a shard, and each key that
    /// stands for itself, is of a later moment than the chunks before it.
    fn extent(&self, shard: ShardId, db: u8, end: Position) -> Extent {
        let chunks = self.chunks.get(&(shard, db)).map_or(&[][..], |chunks| &chunks[..]);
        let (first, last) = (chunks.first(), chunks.last());
        match (first, last) {
            (Some((_, first)), _) if *first >= end => Extent::All,
            (_, Some((_, last))) if *last >= end => Extent::Some,
            _ if self.with_keys.contains(&(shard, db)) => Extent::Some,
            _ => Extent::Nothing,
        }
    }
}

/// Where recovery stands.
struct Recovery {
    next: HashMap<Origin, u64>,
    last: Hlc,
    end: Position,
    held: Held,
    from: Position,
}

/// Bytes of all files in a directory.
fn files_size(dir: &Path) -> std::io::Result<u64> {
    std::fs::read_dir(dir)?.try_fold(0, |sum, entry| Ok(sum + entry?.metadata()?.len()))
}

fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

/// Restores the state and sets the sequencer to go on behind it.
pub(crate) fn recover(shared: &Shared) -> Result<(), OpenError> {
    let began = Instant::now();
    let lock = |id: usize| (ShardId(id as u8), shared.shards[id].lock());
    let mut guards = Guards::new((0..SHARDS).map(lock));
    let from = shared.log.first();
    let mut recovery = Recovery { next: HashMap::new(), last: Hlc(0), end: from, held: Held::default(), from };
    let io = |source| OpenError::Io { path: shared.dir.clone(), source };
    match snapshot::newest(&shared.dir).map_err(io)? {
        Some((_, dir)) => {
            let keys = recovery.load_snapshot(shared, &mut guards, &dir)?;
            let (path, ms) = (dir.display(), millis(began));
            tracing::info!(%path, keys, ms, "the snapshot was loaded");
            shared.snapshot_bytes.store(files_size(&dir).map_err(io)?, Ordering::Relaxed);
        }
        None if from > Position::START => return Err(OpenError::NoSnapshot { position: from.get() }),
        None => {}
    }
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
    fn load_snapshot(
        &mut self,
        shared: &Shared,
        guards: &mut Guards<'_>,
        dir: &std::path::Path,
    ) -> Result<u64, OpenError> {
        let damaged = |reason: String| OpenError::Damaged { path: dir.into(), reason };
        let disk = wal::disk::RealDisk::existing(dir).map_err(|source| OpenError::Io { path: dir.into(), source })?;
        let reader = wal::Reader::at_rest(Arc::new(disk), None)?;
        let mut reader = reader.ok_or_else(|| damaged("it is empty".into()))?;
        let (mut records, mut keys, mut ended) = (0u64, 0u64, None);
        while let Some(record) = reader.next()? {
            let unreadable = |e: WireError| damaged(format!("position {}: {e}", record.start));
            let bytes = record.payload;
            records += u64::from([CHUNK, PART, KEY].contains(&record.kind));
            match record.kind {
                HEAD => self.load_head(shared, Head::decode(bytes).map_err(unreadable)?),
                CHUNK => keys += self.load_chunk(shared, guards, bytes).map_err(unreadable)?,
                PART => {
                    let part = Part::decode(bytes).map_err(unreadable)?;
                    keys += u64::from(part.first);
                    load_part(guards, shared, &part);
                }
                KEY => keys += self.load_key(shared, guards, Owed::decode(bytes).map_err(unreadable)?),
                SPACES => shared.keyspaces.restore(Saved::decode(bytes).map_err(unreadable)?),
                END => ended = Some(format::decode_end(bytes).map_err(unreadable)?),
                _ => {}
            }
        }
        if ended != Some((records, keys)) {
            return Err(damaged(format!("it ends after {records} records and {keys} keys, but says {ended:?}")));
        }
        Ok(keys)
    }

    fn load_head(&mut self, shared: &Shared, head: Head) {
        (self.from, self.end, self.last) = (head.from, head.from, head.last);
        self.next = head.origins.into_iter().collect();
        shared.set_physical(&head.dbs);
    }

    fn load_chunk(&mut self, shared: &Shared, guards: &mut Guards<'_>, bytes: &[u8]) -> Result<u64, WireError> {
        let mut from = wire::Reader::new(bytes);
        let head = ChunkHead::decode(&mut from)?;
        self.held.chunks.entry((ShardId(head.shard), head.db)).or_default().push((head.from, head.applied));
        for _ in 0..head.count {
            let (key, deadline) = format::get_key(&mut from)?;
            replace(shared, guards, (head.db, key), deadline, Folded::decode(0, &mut from)?);
        }
        Ok(u64::from(head.count))
    }

    /// A key that counts whatever its chunk says; answers how many keys that are.
    fn load_key(&mut self, shared: &Shared, guards: &mut Guards<'_>, owed: Owed<'_>) -> u64 {
        self.held.keys.insert((owed.db, owed.key.into()), owed.applied);
        self.held.with_keys.insert((shared.place_of(owed.key).shard, owed.db));
        match owed.value {
            Some((deadline, value)) => {
                replace(shared, guards, (owed.db, owed.key), deadline, value);
                1
            }
            None => {
                remove(shared, guards, owed.db, owed.key);
                0
            }
        }
    }

    fn replay(&mut self, shared: &Shared, guards: &mut Guards<'_>) -> Result<u64, OpenError> {
        let mut reader = shared.log.reader(self.from)?;
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
                    self.apply_missing(shared, guards, &effect.map_err(refused)?, end);
                }
                self.last = self.last.max(batch.hlc.plus(batch.len().saturating_sub(1)));
                self.end = end;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Applies what the snapshot does not hold yet.
    fn apply_missing(&self, shared: &Shared, guards: &mut Guards<'_>, effect: &Effect<'_>, end: Position) {
        let has = |db: u8, key: &[u8]| self.held.has(db, key, shared.place_of(key), end);
        match &effect.op {
            Op::Rename { db, key, .. } => {
                let (source, target) = (has(effect.db, effect.key), has(*db, key));
                match (source, target) {
                    (false, false) => apply(guards, shared, effect, None),
                    // The snapshot has the target as it was later: with the value that came from here.
                    (false, true) => remove(shared, guards, effect.db, effect.key),
                    (true, false) => remove(shared, guards, *db, key),
                    (true, true) => {}
                }
            }
            Op::FlushDb => {
                shared.keyspaces.note_flush(effect);
                self.flush_missing(shared, guards, effect.db, end);
            }
            Op::FlushAll if effect.keyspace == KeyspaceId::DEFAULT => {
                shared.keyspaces.note_flush(effect);
                let dbs = guards.iter().map(|shard| shard.dbs.len()).max().unwrap_or(0);
                (0..dbs).for_each(|db| self.flush_missing(shared, guards, db as u8, end));
            }
            Op::FlushAll | Op::SwapDb(_) | Op::Define(_) | Op::Undefine | Op::Moved(_) => {
                shared.keyspaces.note_flush(effect);
                apply(guards, shared, effect, None);
            }
            _ if has(effect.db, effect.key) => {}
            _ => apply(guards, shared, effect, None),
        }
    }

    /// Empties a database, but for the keys that the snapshot has as they were after that. At most one shard has some keys
    /// of either sort, because the snapshot was in the middle of one: so this costs little, however often it happened.
    fn flush_missing(&self, shared: &Shared, guards: &mut Guards<'_>, db: u8, end: Position) {
        for (id, shard) in (0..=u8::MAX).map(ShardId).zip(guards.iter_mut()) {
            match self.held.extent(id, db, end) {
                Extent::All => {}
                Extent::Nothing => shared.reaper.free_dbs(vec![shard.set_db(db, None, id, shared)]),
                Extent::Some => {
                    let Some(tables) = shard.db(db) else { continue };
                    let keys = tables.table.iter().map(|entry| entry.key());
                    let placed = keys.map(|key| (shared.place_of(key), key));
                    let missing = placed.filter(|(place, key)| !self.held.has(db, key, *place, end));
                    let missing: Vec<(Place, Box<[u8]>)> = missing.map(|(place, key)| (place, key.into())).collect();
                    for (place, key) in missing {
                        shard.take(db, place, &key, shared).into_iter().for_each(|entry| shared.free(entry));
                    }
                }
            }
        }
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

fn remove(shared: &Shared, guards: &mut Guards<'_>, db: u8, key: &[u8]) {
    let deps = effect::Seq::empty(effect::codec::DotShape);
    let keyspace = effect::KeyspaceId::DEFAULT;
    apply(guards, shared, &Effect { keyspace, db, key, fresh: false, deps, op: Op::Remove }, None);
}

fn replace(shared: &Shared, guards: &mut Guards<'_>, (db, key): (u8, &[u8]), deadline: Option<i64>, value: Folded<'_>) {
    let deadline = deadline.map_or(effect::Deadline::Clear, effect::Deadline::At);
    let op = Op::Replace { value, deadline };
    let deps = effect::Seq::empty(effect::codec::DotShape);
    let keyspace = effect::KeyspaceId::DEFAULT;
    apply(guards, shared, &Effect { keyspace, db, key, fresh: false, deps, op }, None);
}

#[cfg(test)]
mod tests;
