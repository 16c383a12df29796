//! Making room in RAM: values go to the disk tier, or altogether.
//!
//! A value is copied into the store's queue under its shard's lock, memory to memory, and its husk takes its place in
//! the same moment. If the queue is full the lock drops, the queue is written, and it is tried again.
//!
//! *Invariant:* no shard is locked while something waits for a disk.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use blob::{Error, PutOptions};

use super::sieve::Seen;
use super::space::{Space, put_value, tagged};
use crate::engine::Shared;
use crate::events::{Event, EventClass};
use crate::limits::{DEMOTE_BATCH, DEMOTE_TRIES, HUSK_STEP, REST_TRIES, SHARDS};
use crate::shard::{Shard, ShardId};
use crate::stop::Place;
use crate::value::Entry;

/// What became of one step.
enum Step {
    /// Something went.
    Freed,
    /// There is nothing to be taken in this shard.
    Barren,
    /// The store has no room for this value at once: its name there, its length.
    Full(Vec<u8>, usize),
}

/// What becomes of a victim.
enum Fate {
    Gone,
    /// Its time was over.
    Expired,
    Demoted,
    Full(Vec<u8>, usize),
}

impl Shared {
    /// Makes values and husks of a keyspace take at most `target` bytes.
    pub(crate) fn trim(&self, space: &Arc<Space>, target: u64) {
        let (mut barren, mut refused) = (0, 0);
        let mut buffer = Vec::new();
        while space.used() > target && barren < 2 * SHARDS {
            if space.surplus_husks() > 0 || space.values().1 == 0 {
                barren += usize::from(!self.shed_husks(space));
                continue;
            }
            let Some(shard) = space.next_shard() else { return };
            match self.demote_some(space, shard, target, refused >= DEMOTE_TRIES, &mut buffer) {
                Step::Freed => (barren, refused) = (0, 0),
                Step::Barren => barren += 1,
                Step::Full(name, len) => {
                    refused += 1;
                    let way = space.store().map_or(Ok(()), |store| store.make_way(&name, len));
                    if let Err(error) = way
                        && !matches!(error, Error::Busy(_) | Error::Closed)
                    {
                        space.note_trouble(&error);
                    }
                }
            }
        }
    }

    /// Brings every value of a keyspace to rest, those first that would go first.
    pub(super) fn rest_all(&self, space: &Arc<Space>) {
        let (mut buffer, mut way) = (Vec::new(), true);
        for shard in 0..=u8::MAX {
            let mut refused = 0;
            loop {
                match self.demote_some(space, shard, 0, !way || refused >= REST_TRIES, &mut buffer) {
                    Step::Freed => refused = 0,
                    Step::Barren => break,
                    Step::Full(name, len) => {
                        refused += 1;
                        // A disk on which room does not come is not waited for again: what it does not take at once is dropped.
                        way = space.store().is_some_and(|store| store.make_way(&name, len).is_ok());
                    }
                }
            }
        }
    }

    /// Takes some victims of one shard. `drop`: what the store has no room for goes altogether.
    fn demote_some(&self, space: &Arc<Space>, shard: u8, target: u64, drop: bool, buffer: &mut Vec<u8>) -> Step {
        let mut freed = false;
        let mut guard = self.shards[usize::from(shard)].lock();
        for _ in 0..DEMOTE_BATCH {
            if space.used() <= target {
                break;
            }
            match self.demote_one(space, &mut guard, ShardId(shard), drop, buffer) {
                None => break,
                Some(Fate::Gone) => {
                    space.figures.evictions.fetch_add(1, Relaxed);
                    freed = true;
                }
                Some(Fate::Expired) => freed = true,
                Some(Fate::Demoted) => {
                    space.figures.demotions.fetch_add(1, Relaxed);
                    freed = true;
                }
                Some(Fate::Full(name, len)) if !freed => return Step::Full(name, len),
                Some(Fate::Full(..)) => break,
            }
        }
        if freed { Step::Freed } else { Step::Barren }
    }

    fn demote_one(
        &self,
        space: &Arc<Space>,
        shard: &mut Shard,
        id: ShardId,
        drop: bool,
        buffer: &mut Vec<u8>,
    ) -> Option<Fate> {
        let held = shard.dbs.iter().enumerate().filter_map(|(db, tables)| {
            let bytes = tables.as_ref()?.cached.as_ref()?.bytes(space.id);
            (bytes > 0).then_some((bytes, db as u8))
        });
        let (_, db) = held.max()?;
        let tables = shard.dbs[usize::from(db)].as_deref_mut()?;
        let of_order = |order: u64| move |entry: &Entry| self.order_of(entry.key()) == order;
        let table = &tables.table;
        let order =
            tables.cached.as_mut()?.victim(space.id, id.0, |order| match table.find(order, of_order(order)) {
                None => Seen::Gone,
                Some(entry) if entry.is_at_rest() => Seen::Gone,
                Some(entry) if entry.take_visit() => Seen::Visited,
                Some(_) => Seen::Idle,
            })?;
        let place = Place { shard: id, order };
        let entry = tables.table.find(order, of_order(order))?;
        match self.to_rest(space, db, entry, buffer) {
            Rest::Full(name, len) if !drop => Some(Fate::Full(name, len)),
            Rest::There => {
                self.leave_husk(space, shard, db, place);
                Some(Fate::Demoted)
            }
            Rest::Expired => {
                shard.reclaim_key(db, place, (self.clock)(), self);
                Some(Fate::Expired)
            }
            Rest::None | Rest::Full(..) => {
                let key = entry.key().to_vec();
                // It may be on disk as well, where nobody can look while the tier is opened anew.
                space.let_go(&space.name_of(db, &key));
                self.evict(shard, db, place, &key);
                Some(Fate::Gone)
            }
        }
    }

    /// Sees to it that the disk tier has the value.
    fn to_rest(&self, space: &Space, db: u8, entry: &Entry, buffer: &mut Vec<u8>) -> Rest {
        let now_ms = (self.clock)();
        let ends = entry.ends();
        if ends.at.is_some_and(|at| at <= now_ms) {
            return Rest::Expired;
        }
        let tier = space.tier.read();
        let Some(store) = tier.store().filter(|_| !space.broken.load(Relaxed)) else { return Rest::None };
        // At least so many bytes it will be: what is refused for its size need not be folded first.
        let least = entry.bytes().map_or(entry.memory_bytes() / FOLDED_SHARE, <[u8]>::len);
        if least as u64 > space.largest() {
            return Rest::None;
        }
        let name = space.name_of(db, entry.key());
        // It was loaded and has not changed since.
        if store.may_contain(&name) {
            return Rest::There;
        }
        buffer.clear();
        put_value(entry, now_ms, buffer);
        let options = PutOptions { expires_ms: Some(tagged(entry.kind(), ends)), crc32c: None };
        let offered = store.offer(&name, buffer, options);
        let len = buffer.len();
        if buffer.capacity() > BUFFER_KEPT {
            *buffer = Vec::new();
        }
        match offered {
            Ok(true) => Rest::There,
            Ok(false) => Rest::Full(name, len),
            Err(Error::ValueTooLarge { .. } | Error::KeyTooLong { .. }) => Rest::None,
            Err(error) => {
                space.note_trouble(&error);
                Rest::None
            }
        }
    }

    /// Puts the husk in the place of a value that is at rest now.
    fn leave_husk(&self, space: &Arc<Space>, shard: &mut Shard, db: u8, place: Place) {
        let Some(tables) = shard.dbs[usize::from(db)].as_deref_mut() else { return };
        let found = tables.table.find(place.order, |entry| self.order_of(entry.key()) == place.order);
        let Some(entry) = found else { return };
        let key = entry.key().to_vec();
        let husk = Entry::husk(&key, entry.kind(), entry.ends(), space.id);
        husk.set_clock(entry.clock());
        let cached = tables.cached.get_or_insert_default();
        cached.husk_came(space, &husk);
        cached.forget(place.shard.0, place.order);
        shard.demoted = shard.demoted.wrapping_add(1);
        let value = shard.exchange(db, place, &key, self, husk);
        value.into_iter().for_each(|value| self.free(value));
    }

    /// Takes a key away, to make room or because its value is gone, and tells of it. One whose time is over has expired.
    pub(super) fn evict(&self, shard: &mut Shard, db: u8, place: Place, key: &[u8]) {
        let now_ms = (self.clock)();
        let deadline = shard.find(db, place.order, key).and_then(Entry::deadline);
        if deadline.is_some_and(|at| at <= now_ms) {
            shard.reclaim_key(db, place, now_ms, self);
            return;
        }
        let Some(entry) = shard.take(db, place, key, self) else { return };
        shard.forget_cached(db, place);
        self.free(entry);
        if self.events.wanted().has(EventClass::EVICTED) {
            let event = Event { class: EventClass::EVICTED, name: "evicted", db: self.logical(db), key: key.into() };
            // There is nothing in the log to wait for.
            self.events.tell(&event, wal::Position::START);
        }
    }

    /// Takes away some husks, with what is at rest: those that were not looked for since somebody last came by. Whether
    /// any went.
    fn shed_husks(&self, space: &Arc<Space>) -> bool {
        let mut hand = space.husk_hand.lock();
        let mut shed = false;
        // Once around to take the marks, once more to find one without.
        for _ in 0..2 * SHARDS + 1 {
            let shard = hand.shard;
            let mut guard = self.shards[usize::from(shard)].lock();
            let mut victims: Vec<(u8, Vec<u8>)> = Vec::new();
            let next = guard.scan_husks(self, space.id, (hand.db, hand.order), HUSK_STEP, |db, husk| {
                if !husk.take_visit() {
                    victims.push((db, husk.key().to_vec()));
                }
            });
            for (db, key) in &victims {
                space.let_go(&space.name_of(*db, key));
                self.evict(&mut guard, *db, self.place_of(key), key);
                shed = true;
            }
            space.figures.evictions.fetch_add(victims.len() as u64, Relaxed);
            drop(guard);
            match next {
                Some((db, order)) => (hand.db, hand.order) = (db, order),
                None => *hand = HuskHand { shard: shard.wrapping_add(1), ..HuskHand::default() },
            }
            if shed {
                return true;
            }
        }
        false
    }
}

/// Whether a value is at rest.
enum Rest {
    There,
    /// It cannot be.
    None,
    /// Its time is over.
    Expired,
    /// There is no room for it at once.
    Full(Vec<u8>, usize),
}

/// Bytes in memory of a collection for one folded byte, at most: small integers in a table take the most.
const FOLDED_SHARE: usize = 16;

/// Bytes of a buffer that are kept for the next value.
const BUFFER_KEPT: usize = 1 << 20;

/// Where husks are shed next.
#[derive(Default)]
pub(crate) struct HuskHand {
    shard: u8,
    db: u8,
    order: u64,
}

impl Shard {
    /// Hands husks of a keyspace to `visit`, from a place on (physical database, hash), looking at about `most` keys.
    /// Answers where to go on, `None` at the end of the shard.
    pub(super) fn scan_husks(
        &self,
        shared: &Shared,
        id: effect::KeyspaceId,
        from: (u8, u64),
        most: usize,
        mut visit: impl FnMut(u8, &Entry),
    ) -> Option<(u8, u64)> {
        let (mut seen, mut order) = (0, from.1);
        for db in usize::from(from.0)..self.dbs.len() {
            let tables = self.dbs[db].as_deref().filter(|db| db.cached.as_ref().is_some_and(|c| c.husks(id) > 0));
            let mut next = tables.map(|_| order);
            while let (Some(at), Some(tables)) = (next, tables) {
                if seen >= most {
                    return Some((db as u8, at));
                }
                let look = |entry: &Entry| {
                    seen += 1;
                    if entry.rests_in() == Some(id) {
                        visit(db as u8, entry);
                    }
                };
                next = tables.table.scan(at, |entry| shared.order_of(entry.key()), look);
            }
            order = 0;
        }
        None
    }
}
