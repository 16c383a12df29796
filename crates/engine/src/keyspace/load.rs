//! Bringing values back from the disk tier, with no shard locked while the disk is read.

use std::sync::atomic::Ordering::Relaxed;

use blob::Error;

use super::space::{Space, get_value};
use super::tier::Tier;
use crate::apply::fill;
use crate::engine::{Engine, Shared};
use crate::limits::LOAD_TRIES;
use crate::residency::AtRest;
use crate::shard::is_empty_collection;
use crate::stop::{Miss, Stop};
use crate::value::{Entry, Limits};

/// What a look at the disk brought.
enum Found {
    Value(Entry),
    /// There is no such value any more.
    Nothing,
    /// The disk tier was being exchanged, or has no memory to read into.
    Again,
    /// The disk tier is away: whoever looks finds nothing, and the husk stays.
    NotNow,
}

impl Engine {
    /// Loads what a run missed at `now_ms` (unix ms), and with it whatever else of `keys` in logical database `db` is at rest; what
    /// cannot be brought into memory is noted in `at_rest`, for [`crate::Context::know`].
    pub fn load<'k>(
        &self,
        miss: &Miss,
        (db, now_ms): (u8, i64),
        keys: impl Iterator<Item = &'k [u8]>,
        at_rest: &mut AtRest,
    ) -> Result<(), Stop> {
        let shared = &*self.shared;
        at_rest.count_miss(shared);
        if let Miss::Keys { db, keys } = miss {
            return shared.fetch_all(keys.iter().map(|key| (*db, &key[..])));
        }
        let Some((missed, key)) = miss.key() else { return shared.find_at_rest(miss, now_ms, at_rest) };
        let db = shared.physical(db);
        // Of a transaction that has gone to another database the others may be meant there as well.
        let there = (missed != db).then_some(missed);
        let also = keys.flat_map(|key| [Some(db), there].into_iter().flatten().map(move |db| (db, key)));
        let all = std::iter::once((missed, key)).chain(also);
        match shared.keyspaces.is_active() {
            true => all.for_each(|(db, key)| shared.load(db, key)),
            false => shared.fetch_all(all)?,
        }
        match miss {
            Miss::Elements { .. } => shared.find_at_rest(miss, now_ms, at_rest),
            _ => Ok(()),
        }
    }

    /// Brings every keyspace back within its bound, after values have been loaded for a command.
    pub fn make_room(&self) {
        for space in self.shared.keyspaces.spaces() {
            if space.used() > space.limit() {
                self.shared.trim(&space, space.limit());
            }
        }
    }
}

impl Shared {
    /// Loads the value of a key of a physical database, if it is at rest.
    pub(super) fn load(&self, db: u8, key: &[u8]) {
        self.load_with(db, key, &mut || {});
    }

    /// The same; `between` runs when the disk was read and no shard is locked.
    pub(super) fn load_with(&self, db: u8, key: &[u8], between: &mut dyn FnMut()) {
        let place = self.place_of(key);
        for _ in 0..LOAD_TRIES {
            let guard = self.shards[usize::from(place.shard.0)].lock();
            let id = guard.find(db, place.order, key).and_then(Entry::rests_in);
            let (before, limits) = (guard.demoted, guard.limits);
            drop(guard);
            let Some(space) = id.and_then(|id| self.keyspaces.space(id)) else { return };
            let found = read(&space, db, key, &limits);
            between();
            let mut guard = self.shards[usize::from(place.shard.0)].lock();
            // Another value of the key may have come to rest meanwhile.
            if guard.demoted != before {
                continue;
            }
            let Some(husk) = guard.find(db, place.order, key).filter(|entry| entry.is_at_rest()) else { return };
            match found {
                Found::Again => continue,
                Found::NotNow => {}
                Found::Nothing => self.evict(&mut guard, db, place, key),
                Found::Value(value) => {
                    value.set_clock(husk.clock());
                    let old = guard.exchange(db, place, key, self, value);
                    let tables = guard.db_mut(db);
                    if let (Some(cached), Some(husk)) = (tables.cached.as_mut(), old) {
                        cached.husk_went(&husk);
                    }
                    guard.note_cached(db, place, key, &space);
                    space.figures.disk_hits.fetch_add(1, Relaxed);
                }
            }
            return;
        }
    }
}

fn read(space: &Space, db: u8, key: &[u8], limits: &Limits) -> Found {
    let store = match &*space.tier.read() {
        Tier::None => return Found::Nothing,
        Tier::Open(store) => store.clone(),
        Tier::Away(_) => return Found::NotNow,
    };
    let bytes = match store.get(&space.name_of(db, key)) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Found::Nothing,
        Err(Error::Busy(_) | Error::Closed) => return Found::Again,
        Err(error) => {
            tracing::warn!(keyspace = space.name, %error, "a value could not be read from disk");
            return Found::Nothing;
        }
    };
    let Some((deadline, value)) = get_value(&bytes) else { return Found::Nothing };
    let mut entry = Entry::empty(value.kind(), key, None);
    fill(&mut entry, limits, &value);
    if is_empty_collection(&entry) {
        return Found::Nothing;
    }
    entry.set_deadline(deadline);
    Found::Value(entry)
}
