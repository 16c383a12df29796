//! A snapshot as it is written: chunks of small keys, parts of large values, and in the end what is owed.

use effect::Kind;
use parking_lot::MutexGuard;
use wal::{Log, Position};

use super::format::{
    CHUNK, ChunkHead, END, HEAD, Head, KEY, PART, SPACES, put_absent, put_key, put_owed_head, put_part_head,
    put_present,
};
use crate::digest::fold;
use crate::engine::Shared;
use crate::error::SnapshotError;
use crate::limits::{SHARDS, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_KEYS, SNAPSHOT_WHOLE_BYTES, SNAPSHOT_WHOLE_ELEMENTS};
use crate::passage::{Passed, Whereabouts};
use crate::shard::{DbKey, Shard, weight};
use crate::state::is_dead_hash;
use crate::stop::Place;
use crate::value::Entry;

/// A large value that is taken in parts.
struct Pinned {
    id: u64,
    name: DbKey,
    deadline: Option<i64>,
}

/// What came of looking for a part of a pinned value.
enum Next {
    /// It is in the body.
    Part { last: bool },
    /// The value has another name, or none any more.
    Moved,
    /// It went with its database, and its pin is forgotten.
    Flushed,
}

/// A snapshot on its way. Dropping it ends it, and frees the values that it has not finished with.
pub(super) struct Writing<'s> {
    shared: &'s Shared,
    out: &'s Log<()>,
    /// Called between two records, with nothing locked.
    pause: &'s mut dyn FnMut(),
    pass: u64,
    head: Head,
    /// The definitions of keyspaces, if there are any or have been.
    spaces: Option<Vec<u8>>,
    pinned: Vec<Pinned>,
    body: Vec<u8>,
    records: u64,
    pub(super) keys: u64,
}

/// Whether a value is too large to be taken under one hold of its lock.
fn is_large(entry: &Entry) -> bool {
    matches!(entry, Entry::Big(..))
        && (weight(entry) > SNAPSHOT_WHOLE_ELEMENTS || entry.memory_bytes() > SNAPSHOT_WHOLE_BYTES)
}

/// Whether the key can still be seen at `now_ms`.
fn lives(entry: &Entry, now_ms: i64) -> bool {
    entry.deadline().is_none_or(|d| d > now_ms) && !(entry.kind() == Kind::Hash && is_dead_hash(entry, now_ms))
}

impl<'s> Writing<'s> {
    /// Begins a snapshot.
    pub(super) fn begin(shared: &'s Shared, out: &'s Log<()>, pause: &'s mut dyn FnMut()) -> Self {
        // Whoever empties or exchanges databases holds all shards from there to its place in the log: with one of them
        // in hand, none is between the two.
        let guard = shared.shards[0].lock();
        let pass = shared.passage.begin();
        let head = head(shared);
        let spaces = spaces(shared);
        drop(guard);
        let (pinned, body) = (Vec::new(), Vec::new());
        Self { shared, out, pause, pass, head, spaces, pinned, body, records: 0, keys: 0 }
    }

    /// Writes all of it; answers where replay begins.
    pub(super) fn run(&mut self) -> Result<Position, SnapshotError> {
        self.head.encode(&mut self.body);
        self.out.lock().append(HEAD, &[&self.body])?;
        if let Some(spaces) = &self.spaces {
            self.out.lock().append(SPACES, &[spaces])?;
        }
        for shard in 0..SHARDS {
            self.take_shard(shard)?;
        }
        while let Some(name) = self.shared.passage.next_owed() {
            self.take_owed(name)?;
        }
        self.out.lock().append(END, &[&self.records.to_le_bytes(), &self.keys.to_le_bytes()])?;
        Ok(self.head.from)
    }

    fn append(&mut self, kind: wal::Kind) -> Result<(), SnapshotError> {
        let mut out = self.out.lock();
        let end = out.append(kind, &[&self.body])?;
        let over = out.wants_flush();
        drop(out);
        if over {
            self.out.write_up_to(end)?;
        }
        self.records += 1;
        (self.pause)();
        Ok(())
    }

    fn lock(&self, shard: usize) -> MutexGuard<'s, Shard> {
        self.shared.shards[shard].lock()
    }

    fn take_shard(&mut self, shard: usize) -> Result<(), SnapshotError> {
        let mut db = 0;
        loop {
            let mut next = Some(0);
            while let Some(from) = next {
                let mut guard = self.lock(shard);
                if db >= guard.dbs.len() {
                    guard.passed = Passed::all(self.pass);
                    return Ok(());
                }
                next = self.take_chunk(&mut guard, shard, db, from);
                // Whoever waits goes first: this thread has time.
                MutexGuard::unlock_fair(guard);
                self.append(CHUNK)?;
                self.take_parts()?;
            }
            db += 1;
        }
    }

    /// Takes one chunk from hash position `from` on; answers where the next one begins.
    fn take_chunk(&mut self, guard: &mut Shard, shard: usize, db: usize, from: u64) -> Option<u64> {
        let shared = self.shared;
        let now_ms = (shared.clock)();
        let body = &mut self.body;
        ChunkHead::reserve(body);
        let mut head = ChunkHead { shard: shard as u8, db: db as u8, from, applied: guard.applied, count: 0 };
        let mut large = Vec::new();
        let mut next = Some(from);
        while let (Some(at), Some(tables)) = (next, guard.db(db as u8)) {
            let keys = head.count as usize + large.len();
            if keys >= SNAPSHOT_CHUNK_KEYS || body.len() >= SNAPSHOT_CHUNK_BYTES {
                break;
            }
            let visit = |entry: &Entry| {
                if tables.cached.is_some() && tables.holds_as_cache(shared.order_of(entry.key()), entry) {
                    return;
                }
                if is_large(entry) {
                    large.push(entry.key().to_vec());
                } else if lives(entry, now_ms) {
                    put_key(body, entry.key(), entry.deadline());
                    fold(entry, 0, now_ms, body);
                    head.count += 1;
                }
            };
            next = tables.table.scan(at, |e| shared.order_of(e.key()), visit);
        }
        if guard.db(db as u8).is_none() {
            next = None;
        }
        head.fill(body);
        self.keys += u64::from(head.count);
        for key in large {
            let place = shared.place_of(&key);
            self.pin(guard, db as u8, place, &key, now_ms);
        }
        let (db, order) = next.map_or((db + 1, 0), |order| (db, order));
        guard.passed = Passed { pass: self.pass, db, order };
        next
    }

    /// Sees to it that a large value is taken as it is now, if it still lives.
    fn pin(&mut self, guard: &mut Shard, db: u8, place: Place, key: &[u8], now_ms: i64) {
        let Some(entry) = guard.find_mut(db, place.order, key).filter(|entry| lives(entry, now_ms)) else { return };
        let name: DbKey = (db, key.into());
        let id = self.shared.passage.new_pin(name.clone());
        entry.pin(id);
        self.pinned.push(Pinned { id, name, deadline: entry.deadline() });
        self.keys += 1;
    }

    /// Writes what is pinned, part by part; the locks are free in between.
    fn take_parts(&mut self) -> Result<(), SnapshotError> {
        while let Some(pinned) = self.pinned.pop() {
            let result = self.take_value(&pinned);
            if result.is_err() {
                self.pinned.push(pinned);
            }
            result?;
        }
        Ok(())
    }

    fn take_value(&mut self, pinned: &Pinned) -> Result<(), SnapshotError> {
        let mut first = true;
        loop {
            put_part_head(&mut self.body, pinned.name.0, first, &pinned.name.1, pinned.deadline);
            match self.shared.passage.find(pinned.id) {
                Some(Whereabouts::At(name)) => match self.next_part(pinned.id, &name) {
                    Next::Part { last } => {
                        self.append(PART)?;
                        if last {
                            return Ok(());
                        }
                        first = false;
                    }
                    Next::Moved => {}
                    Next::Flushed => break,
                },
                Some(Whereabouts::Gone(entry)) => return self.take_rest(entry),
                None => break,
            }
        }
        // Its database was emptied. What the snapshot has of it serves until replay comes to that, and takes it away.
        self.keys -= u64::from(first);
        Ok(())
    }

    /// One part of the value at `name`.
    fn next_part(&mut self, id: u64, name: &DbKey) -> Next {
        let place = self.shared.place_of(&name.1);
        let mut guard = self.lock(usize::from(place.shard.0));
        let found = guard.find_mut(name.0, place.order, &name.1).filter(|entry| entry.pinned() == Some(id));
        let Some(entry) = found else { return missed(self.shared, id, name) };
        let last = entry.next_part(&mut self.body);
        let pin = if last { entry.unpin() } else { None };
        if last {
            self.shared.passage.forget(id);
        }
        MutexGuard::unlock_fair(guard);
        drop(pin);
        Next::Part { last }
    }

    /// The rest of a value that only the snapshot has; its first part is begun in the body.
    fn take_rest(&mut self, mut entry: Entry) -> Result<(), SnapshotError> {
        let head = self.body.clone();
        loop {
            let done = entry.next_part(&mut self.body);
            let appended = self.append(PART);
            if done || appended.is_err() {
                drop(entry.unpin());
                self.shared.reaper.free_entry(entry);
                return appended;
            }
            self.body.clear();
            self.body.extend_from_slice(&head);
            // Only the first part begins the key.
            self.body[1] = 0;
        }
    }

    /// Takes a key that a rename brought to where the snapshot had been already.
    fn take_owed(&mut self, name: DbKey) -> Result<(), SnapshotError> {
        let now_ms = (self.shared.clock)();
        let (db, key) = (name.0, &name.1);
        let place = self.shared.place_of(key);
        let mut guard = self.lock(usize::from(place.shard.0));
        self.shared.passage.settle(&name);
        put_owed_head(&mut self.body, db, guard.applied, key);
        let logged = |entry: &Entry| !guard.db(db).is_some_and(|tables| tables.holds_as_cache(place.order, entry));
        match guard.find(db, place.order, key).filter(|entry| lives(entry, now_ms) && logged(entry)) {
            Some(entry) if is_large(entry) => {
                put_absent(&mut self.body);
                self.pin(&mut guard, db, place, key, now_ms);
            }
            Some(entry) => {
                put_present(&mut self.body, entry.deadline());
                fold(entry, 0, now_ms, &mut self.body);
                self.keys += 1;
            }
            None => put_absent(&mut self.body),
        }
        MutexGuard::unlock_fair(guard);
        self.append(KEY)?;
        self.take_parts()
    }

    /// Frees a value from its pin, wherever it is.
    fn unpin(&self, id: u64) {
        while let Some(found) = self.shared.passage.find(id) {
            match found {
                Whereabouts::Gone(mut entry) => {
                    drop(entry.unpin());
                    self.shared.reaper.free_entry(entry);
                }
                Whereabouts::At(name) => {
                    let place = self.shared.place_of(&name.1);
                    let mut guard = self.lock(usize::from(place.shard.0));
                    let found = guard.find_mut(name.0, place.order, &name.1).filter(|e| e.pinned() == Some(id));
                    let Some(entry) = found else {
                        // At another name, or gone with its database, and then there is nothing to free.
                        missed(self.shared, id, &name);
                        continue;
                    };
                    let pin = entry.unpin();
                    self.shared.passage.forget(id);
                    drop(guard);
                    drop(pin);
                }
            }
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.shared.passage.end();
        for pinned in std::mem::take(&mut self.pinned) {
            self.unpin(pinned.id);
        }
    }
}

/// What became of a pinned value that is not at `name`, whose shard is locked. Whoever moves or removes a value says so
/// before that lock is free again; only emptying a database does not.
fn missed(shared: &Shared, id: u64, name: &DbKey) -> Next {
    if shared.passage.forget_at(id, name) { Next::Flushed } else { Next::Moved }
}

/// The definitions of keyspaces, with what must not be forgotten of former ones.
fn spaces(shared: &Shared) -> Option<Vec<u8>> {
    let saved = shared.keyspaces.save();
    (saved.epoch > 0).then(|| {
        let mut bytes = Vec::new();
        saved.encode(&mut bytes);
        bytes
    })
}

/// Where replay begins, and what it must know there.
fn head(shared: &Shared) -> Head {
    let mut log = shared.log.lock();
    let from = log.end();
    let sequencer = log.state();
    let mut origins = sequencer.earlier.clone();
    origins.retain(|(origin, _)| *origin != shared.origin);
    origins.push((shared.origin, sequencer.next_seq));
    let last = sequencer.clock.last();
    drop(log);
    Head { from, last, origins, dbs: (0..=u8::MAX).map(|db| shared.physical(db)).collect() }
}
