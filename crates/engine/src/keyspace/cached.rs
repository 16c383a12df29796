//! `Cached`: what a shard knows, for one of its databases, of the keys that are held as cache.
//!
//! *Invariant:* a value that is held as cache is in a queue; a husk is counted. Both go along when the tables of a
//! database are exchanged, and the keyspace's sums follow.

use std::sync::Arc;

use effect::KeyspaceId;

use super::sieve::{NODE_BYTES, Queue, Seen};
use super::space::Space;
use crate::shard::Shard;
use crate::stop::Place;
use crate::value::Entry;

/// One keyspace's part.
struct Part {
    space: Arc<Space>,
    queue: Queue,
    husks: u64,
    husk_bytes: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Cached {
    parts: Vec<Part>,
}

/// Bytes that a husk takes here beside its entry.
const HUSK_BYTES: u64 = 16;

impl Part {
    /// Changes the queue and lets the keyspace's sums follow.
    fn change<R>(&mut self, shard: u8, change: impl FnOnce(&mut Queue) -> R) -> R {
        let bytes = |queue: &Queue| queue.bytes() + NODE_BYTES * queue.len() as u64;
        let (before, len) = (bytes(&self.queue), self.queue.len());
        let result = change(&mut self.queue);
        let count = self.queue.len() as i64 - len as i64;
        self.space.values_changed(shard, before, bytes(&self.queue), count);
        result
    }
}

impl Cached {
    fn part(&mut self, space: &Arc<Space>) -> &mut Part {
        let at = self.parts.iter().position(|part| part.space.id == space.id);
        let at = at.unwrap_or_else(|| {
            let space = Arc::clone(space);
            self.parts.push(Part { space, queue: Queue::default(), husks: 0, husk_bytes: 0 });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }

    fn find(&mut self, id: KeyspaceId) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.space.id == id)
    }

    /// A value of `space` is here, as large as it is now.
    pub(crate) fn note(&mut self, space: &Arc<Space>, shard: u8, order: u64, entry: &Entry) {
        let bytes = entry.memory_bytes() as u64;
        self.part(space).change(shard, |queue| queue.note(order, bytes));
    }

    /// The value is not here any more, or not as cache.
    pub(crate) fn forget(&mut self, shard: u8, order: u64) {
        for part in &mut self.parts {
            if part.change(shard, |queue| queue.forget(order)) {
                return;
            }
        }
    }

    /// As [`Cached::forget`], unless the value is one of `space`.
    pub(crate) fn forget_unless(&mut self, space: KeyspaceId, shard: u8, order: u64) {
        for part in self.parts.iter_mut().filter(|part| part.space.id != space) {
            part.change(shard, |queue| queue.forget(order));
        }
    }

    /// The keyspace as whose cache the entry with this ordering hash is held.
    pub(crate) fn holder(&self, order: u64, entry: &Entry) -> Option<KeyspaceId> {
        if let Some(id) = entry.rests_in() {
            return Some(id);
        }
        self.parts.iter().find(|part| part.queue.holds(order)).map(|part| part.space.id)
    }

    /// Bytes of the values of a keyspace.
    pub(crate) fn bytes(&self, id: KeyspaceId) -> u64 {
        self.parts.iter().find(|part| part.space.id == id).map_or(0, |part| part.queue.bytes())
    }

    /// Husks of a keyspace.
    pub(crate) fn husks(&self, id: KeyspaceId) -> u64 {
        self.parts.iter().find(|part| part.space.id == id).map_or(0, |part| part.husks)
    }

    /// The value of a keyspace that goes next.
    pub(crate) fn victim(&mut self, id: KeyspaceId, shard: u8, look: impl FnMut(u64) -> Seen) -> Option<u64> {
        self.find(id)?.change(shard, |queue| queue.victim(look))
    }

    /// A husk came.
    pub(crate) fn husk_came(&mut self, space: &Arc<Space>, husk: &Entry) {
        let bytes = husk.memory_bytes() as u64 + HUSK_BYTES;
        let part = self.part(space);
        part.husks += 1;
        part.husk_bytes += bytes;
        part.space.husks_changed(bytes as i64, 1);
    }

    /// A husk went.
    pub(crate) fn husk_went(&mut self, husk: &Entry) {
        let bytes = husk.memory_bytes() as u64 + HUSK_BYTES;
        let Some(part) = husk.rests_in().and_then(|id| self.find(id)) else { return };
        part.husks -= 1;
        part.husk_bytes -= bytes;
        part.space.husks_changed(-(bytes as i64), -1);
    }

    /// The tables that this belongs to come to the shard, or leave it.
    pub(crate) fn moved(&self, shard: u8, comes: bool) {
        for part in &self.parts {
            let (bytes, sign) = (part.queue.bytes() + NODE_BYTES * part.queue.len() as u64, if comes { 1 } else { -1 });
            let (before, after) = if comes { (0, bytes) } else { (bytes, 0) };
            part.space.values_changed(shard, before, after, sign * part.queue.len() as i64);
            part.space.husks_changed(sign * part.husk_bytes as i64, sign * part.husks as i64);
        }
    }
}

impl Shard {
    /// Notes what a keyspace's key is now that it has changed.
    pub(crate) fn note_cached(&mut self, db: u8, place: Place, key: &[u8], space: &Arc<Space>) {
        let Some(tables) = self.dbs.get_mut(usize::from(db)).and_then(|db| db.as_deref_mut()) else { return };
        let cached = tables.cached.get_or_insert_default();
        match tables.table.find(place.order, |entry| entry.key() == key) {
            Some(entry) if !entry.is_at_rest() => {
                cached.note(space, place.shard.0, place.order, entry);
                cached.forget_unless(space.id, place.shard.0, place.order);
            }
            Some(_) => {}
            None => cached.forget(place.shard.0, place.order),
        }
    }

    /// The key is none of a cache any more.
    pub(crate) fn forget_cached(&mut self, db: u8, place: Place) {
        let tables = self.dbs.get_mut(usize::from(db)).and_then(|db| db.as_deref_mut());
        if let Some(cached) = tables.and_then(|tables| tables.cached.as_deref_mut()) {
            cached.forget(place.shard.0, place.order);
        }
    }
}
