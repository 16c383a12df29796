//! A part of the node's RAM state under one lock: tables by database, waiters, watches, the expiry wheel.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use effect::Kind;
use wal::Position;

use crate::changes::{Changes, Site};
use crate::counts::Counts;
use crate::engine::Shared;
use crate::events::{Event, EventClass};
use crate::keyspace::Cached;
use crate::limits::{CURSOR_BITS, EXPIRE_BUDGET, SHARDS};
use crate::residency::Cold;
use crate::stop::Place;
use crate::suffix::{Asides, Suffix};
use crate::value::{Entry, Epoch, Limits, Stamp, Table};
use crate::wheel::Wheel;

/// The number of a shard: the upper 8 bits of the slot's 14.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

impl ShardId {
    /// The shard of a key: its slot alone decides.
    #[inline]
    pub fn of(key: &[u8]) -> Self {
        Self((effect::Slot::of(key).0 >> 6) as u8)
    }
}

const _: () = assert!(SHARDS == 1 << 8, "a shard id is the upper 8 bits of a slot");

/// Names a client that waits for data; given by whoever keeps the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Set when a watched key changes.
#[derive(Debug, Clone, Default)]
pub struct WatchFlag(Arc<AtomicBool>);

impl WatchFlag {
    /// Whether one of the keys watched with it has changed.
    pub fn is_dirty(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Says that one of the keys has changed.
    pub fn set_dirty(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A key of a database: of a logical one for those who wait and watch, who stay with the name when databases change
/// places; of a physical one for the store.
pub type DbKey = (u8, Box<[u8]>);

/// The keys of one database that belong to a shard.
pub struct Db {
    pub(crate) table: Table<Entry>,
    /// Keys with a deadline, or hashes with fields that have one; those at rest included.
    pub(crate) volatile: usize,
    /// The sum of what their deadlines count, for [`Counts`].
    due: i64,
    /// What a checkpoint must know of it.
    pub(crate) changes: Changes,
    /// What of it is held as cache.
    pub(crate) cached: Option<Box<Cached>>,
    /// A checkpoint has given a value here rows of its own.
    pub(crate) large: bool,
    /// What of it is at rest only; nothing: it is complete.
    pub(crate) cold: Option<Box<Cold>>,
    /// Deadlines with the ordering hash of their key. A deadline that was put off keeps its place: when it comes, the key
    /// says when it is really due.
    pub(crate) wheel: Wheel,
}

impl Db {
    fn new() -> Self {
        let (table, wheel) = (Table::with_max_depth(CURSOR_BITS), Wheel::new(0));
        Self { table, volatile: 0, due: 0, changes: Changes::default(), cached: None, large: false, cold: None, wheel }
    }

    /// A key with this deadline came.
    fn add_due(&mut self, due: Option<i64>, counts: &Counts) {
        self.volatile += usize::from(due.is_some());
        self.due += counts.part(due);
    }

    /// So many keys with deadlines are at rest, which count so much.
    pub(crate) fn found_due(&mut self, volatile: u64, due: i64) {
        self.volatile += volatile as usize;
        self.due += due;
    }

    /// What the deadlines of its keys count.
    pub(crate) fn due(&self) -> i64 {
        self.due
    }

    /// A key with this deadline went.
    pub(crate) fn drop_due(&mut self, due: Option<i64>, counts: &Counts) {
        self.volatile -= usize::from(due.is_some());
        self.due -= counts.part(due);
    }

    /// Whether the entry with this ordering hash is held as cache: then the log knows nothing of it.
    #[inline]
    pub(crate) fn holds_as_cache(&self, order: u64, entry: &Entry) -> bool {
        is_cached(self.cached.as_deref(), order, entry)
    }

    #[cold]
    fn tidy_changes(&mut self, site: Site<'_>) {
        let Self { table, changes, .. } = self;
        changes.tidy(|order| table.find(*order, |entry| entry.stamp().is_of(site.epoch)).is_some());
    }

    /// Lets those who ask without the lock know.
    pub(crate) fn publish(&self, db: u8, shard: ShardId, counts: &Counts) {
        counts.set(db, usize::from(shard.0), self.len(), self.volatile, self.due);
    }

    /// How many keys there are, those included that have expired and are not reclaimed yet.
    pub(crate) fn len(&self) -> usize {
        self.table.len() + self.cold.as_ref().map_or(0, |cold| cold.keys as usize)
    }

    /// Whether a key that is not in memory may be at rest.
    #[inline]
    pub(crate) fn may_rest(&self, order: u64, key: &[u8]) -> bool {
        self.cold.as_ref().is_some_and(|cold| !cold.is_vacant(order, key) && !self.changes.is_removed(order, key))
    }

    /// Builds the wheel anew when most of what it holds is out of date.
    pub(crate) fn compact_wheel(&mut self, shared: &Shared) {
        let elsewhere = self.cold.as_ref().map_or(0, |cold| cold.volatile as usize);
        if self.wheel.len() <= 2 * self.volatile.saturating_sub(elsewhere) + 64 {
            return;
        }
        self.wheel = Wheel::new(0);
        for entry in self.table.iter() {
            if let Some(due) = next_due(entry) {
                self.wheel.insert(due, shared.order_of(entry.key()));
            }
        }
    }
}

fn is_cached(cached: Option<&Cached>, order: u64, entry: &Entry) -> bool {
    cached.is_some_and(|cached| cached.holder(order, entry).is_some())
}

/// What one lock protects.
#[derive(Default)]
pub struct Shard {
    /// By physical number.
    pub(crate) dbs: Vec<Option<Box<Db>>>,
    /// The end of the last batch that changed this shard.
    pub(crate) applied: Position,
    /// The one that goes on; all shards are in the same.
    pub(crate) epoch: Epoch,
    pub(crate) limits: Limits,
    /// Changes whenever a value comes to rest.
    pub(crate) demoted: u64,
    /// Keys that have been evicted.
    pub(crate) evicted: u64,
    /// Changes whenever a run of rows has come into force.
    pub(crate) in_force: u64,
    /// Recent effects, where there are other replicas.
    pub(crate) suffix: Suffix,
    /// What lies aside of keys that are shown with transactions which are not decided.
    pub(crate) asides: Asides,
    /// By logical database.
    pub(crate) waiters: HashMap<DbKey, VecDeque<Ticket>>,
    /// By logical database.
    pub(crate) watches: HashMap<DbKey, Vec<WatchFlag>>,
}

impl Shard {
    /// The database with this physical number, if any of its keys is here.
    #[inline]
    pub(crate) fn db(&self, db: u8) -> Option<&Db> {
        self.dbs.get(usize::from(db))?.as_deref()
    }

    /// The database with this physical number.
    #[inline]
    pub(crate) fn db_mut(&mut self, db: u8) -> &mut Db {
        let at = usize::from(db);
        if self.dbs.len() <= at {
            self.dbs.resize_with(at + 1, || None);
        }
        self.dbs[at].get_or_insert_with(|| Box::new(Db::new()))
    }

    /// The entry of a key, also if its deadline has passed.
    #[inline(always)]
    pub(crate) fn find(&self, db: u8, order: u64, key: &[u8]) -> Option<&Entry> {
        self.db(db)?.table.find(order, |entry| entry.key() == key)
    }

    /// Puts `ticket` behind those that wait for the key already.
    pub(crate) fn add_waiter(&mut self, db: u8, key: &[u8], ticket: Ticket) {
        self.waiters.entry((db, key.into())).or_default().push_back(ticket);
    }

    /// Takes `ticket` out of the key's queue.
    pub(crate) fn drop_waiter(&mut self, db: u8, key: &[u8], ticket: Ticket) -> bool {
        let name = (db, key.into());
        let Some(queue) = self.waiters.get_mut(&name) else { return false };
        let before = queue.len();
        queue.retain(|t| *t != ticket);
        let found = queue.len() < before;
        if queue.is_empty() {
            self.waiters.remove(&name);
        }
        found
    }

    /// Lets `flag` be set when the key changes.
    pub(crate) fn add_watch(&mut self, db: u8, key: &[u8], flag: &WatchFlag) {
        self.watches.entry((db, key.into())).or_default().push(flag.clone());
    }

    /// Ends what [`Shard::add_watch`] began.
    pub(crate) fn drop_watch(&mut self, db: u8, key: &[u8], flag: &WatchFlag) -> bool {
        let name = (db, key.into());
        let Some(flags) = self.watches.get_mut(&name) else { return false };
        let before = flags.len();
        flags.retain(|f| !f.same(flag));
        let found = flags.len() < before;
        if flags.is_empty() {
            self.watches.remove(&name);
        }
        found
    }

    /// Tells those who watch the key that it changed.
    pub(crate) fn touch_watches(&self, db: u8, key: &[u8]) {
        if self.watches.is_empty() {
            return;
        }
        for flag in self.watches.get(&(db, key.into())).into_iter().flatten() {
            flag.set_dirty();
        }
    }

    /// Those who watch, in one of two logical databases, a key that exists in one of them, or may do so at rest.
    pub(crate) fn watchers_of_existing<'s>(
        &'s self,
        dbs: [u8; 2],
        shared: &'s Shared,
    ) -> impl Iterator<Item = WatchFlag> + 's {
        let exist = move |((db, key), _): &(&DbKey, &Vec<WatchFlag>)| {
            let order = shared.order_of(key);
            let is_there = |db| self.find(db, order, key).is_some() || self.may_rest(db, order, key);
            dbs.contains(db) && dbs.into_iter().any(|db| is_there(shared.physical(db)))
        };
        self.watches.iter().filter(exist).flat_map(|(_, flags)| flags.iter().cloned())
    }

    /// Takes the key's entry out.
    pub(crate) fn take(&mut self, db: u8, place: Place, key: &[u8], shared: &Shared) -> Option<Entry> {
        let site = Site { shared, epoch: self.epoch, db, order: place.order };
        let tables = self.dbs.get_mut(usize::from(db))?.as_deref_mut()?;
        let mut entry = tables.table.remove(place.order, |e| e.key() == key, |e| shared.order_of(e.key()))?;
        let Db { changes, cached, .. } = &mut *tables;
        changes.went(site, &mut entry, |entry| is_cached(cached.as_deref(), place.order, entry));
        if changes.is_untidy() {
            tables.tidy_changes(site);
        }
        tables.drop_due(next_due(&entry), &shared.counts);
        tables.publish(db, place.shard, &shared.counts);
        if entry.is_at_rest() {
            husk_goes(tables, &entry);
        }
        Some(entry)
    }

    /// Puts an entry in whose key is absent.
    pub(crate) fn put(&mut self, db: u8, place: Place, entry: Entry, shared: &Shared) {
        if let Some(image) = entry.image() {
            shared.held.moved(image.incarnation, (db, entry.key().into()));
        }
        // One that moves keeps its access clock; a new one is used now.
        if entry.clock() == 0 {
            entry.set_clock(shared.seconds());
        }
        let site = Site { shared, epoch: self.epoch, db, order: place.order };
        let tables = self.db_mut(db);
        if entry.is_at_rest() {
            entry.set_stamp(Stamp::default());
            husk_comes(tables, &entry, shared);
        } else {
            let may_have_row = tables.cold.is_some() && shared.residency.is_recovering();
            entry.set_stamp(tables.changes.came(site, may_have_row));
        }
        self.bring(db, place, entry, shared);
    }

    /// As [`Shard::put`], of a key as it is at rest.
    pub(crate) fn load(&mut self, db: u8, place: Place, entry: Entry, shared: &Shared) {
        entry.set_stamp(Stamp::AT_REST);
        entry.set_clock(shared.seconds());
        self.db_mut(db).large |= !entry.is_without_rows();
        self.bring(db, place, entry, shared);
    }

    fn bring(&mut self, db: u8, place: Place, entry: Entry, shared: &Shared) {
        let due = next_due(&entry);
        let tables = self.db_mut(db);
        tables.add_due(due, &shared.counts);
        tables.table.insert_unique(place.order, entry, |e| shared.order_of(e.key()));
        tables.publish(db, place.shard, &shared.counts);
        if let Some(deadline) = due {
            self.schedule(db, place, deadline, shared);
        }
    }

    /// Changes the key's entry in place; the wheel learns of an earlier deadline.
    #[inline]
    pub(crate) fn update<R>(
        &mut self,
        db: u8,
        place: Place,
        key: &[u8],
        shared: &Shared,
        change: impl FnOnce(&mut Entry, &Limits) -> R,
    ) -> Option<R> {
        let site = Site { shared, epoch: self.epoch, db, order: place.order };
        let tables = self.dbs.get_mut(usize::from(db))?.as_deref_mut()?;
        let Db { table, changes, cached, .. } = &mut *tables;
        let entry = table.find_mut(place.order, |e| e.key() == key)?;
        let stamp = changes.changes(site, entry, |entry| is_cached(cached.as_deref(), place.order, entry));
        let before = next_due(entry);
        let result = change(entry, &self.limits);
        let after = next_due(entry);
        // Also where the value is another one by now.
        entry.set_stamp(stamp);
        if before != after {
            self.reschedule(db, place, before, after, shared);
        }
        Some(result)
    }

    /// A key is due at another time than before.
    fn reschedule(&mut self, db: u8, place: Place, before: Option<i64>, after: Option<i64>, shared: &Shared) {
        let tables = self.db_mut(db);
        tables.add_due(after, &shared.counts);
        tables.drop_due(before, &shared.counts);
        tables.publish(db, place.shard, &shared.counts);
        if let Some(deadline) = after.filter(|a| before.is_none_or(|b| *a < b)) {
            self.schedule(db, place, deadline, shared);
        }
    }

    /// Puts another form of the same value, which is held as cache, in the key's place, and answers the one before.
    pub(crate) fn exchange(&mut self, db: u8, place: Place, key: &[u8], shared: &Shared, form: Entry) -> Option<Entry> {
        let tables = self.dbs.get_mut(usize::from(db))?.as_deref_mut()?;
        let entry = tables.table.find_mut(place.order, |e| e.key() == key)?;
        form.set_stamp(entry.stamp());
        let before = std::mem::replace(entry, form);
        let (was, is) = (next_due(&before), next_due(entry));
        if was != is {
            self.reschedule(db, place, was, is, shared);
        }
        Some(before)
    }

    /// Exchanges the tables of a physical database; `shard` is this shard's number.
    pub(crate) fn set_db(
        &mut self,
        db: u8,
        tables: Option<Box<Db>>,
        shard: ShardId,
        shared: &Shared,
    ) -> Option<Box<Db>> {
        match &tables {
            Some(tables) => tables.publish(db, shard, &shared.counts),
            None => shared.counts.set(db, usize::from(shard.0), 0, 0, 0),
        }
        // Whoever has read rows of the one before must not bring them into the other.
        self.in_force += 1;
        let at = usize::from(db);
        if self.dbs.len() <= at {
            tables.as_ref()?;
            self.dbs.resize_with(at + 1, || None);
        }
        let cached = |tables: &Option<Box<Db>>, comes| {
            tables.iter().flat_map(|tables| &tables.cached).for_each(|cached| cached.moved(shard.0, comes));
        };
        cached(&tables, true);
        let before = std::mem::replace(&mut self.dbs[at], tables);
        cached(&before, false);
        before
    }

    /// Reclaims the keys with this ordering hash that have expired, and expired fields; no effect is made of it.
    pub(crate) fn reclaim_key(&mut self, db: u8, place: Place, now_ms: i64, shared: &Shared) {
        let site = Site { shared, epoch: self.epoch, db, order: place.order };
        let Some(tables) = self.dbs.get_mut(usize::from(db)).and_then(|db| db.as_deref_mut()) else { return };
        let of_place = |e: &Entry| shared.order_of(e.key()) == place.order;
        let Some(entry) =
            tables.table.find_mut(place.order, |e| of_place(e) && next_due(e).is_some_and(|d| d <= now_ms))
        else {
            // Put off, or gone: a key that is due later is noted for then.
            let later = tables.table.find(place.order, of_place).and_then(next_due);
            if let Some(due) = later {
                tables.wheel.insert(due, place.order);
            }
            return;
        };
        let before = next_due(entry);
        let dead = entry.deadline().is_some_and(|d| d <= now_ms);
        let mut fields = 0;
        if !dead {
            // As any other change of a value: a checkpoint that has not come to it takes it as it was at the flip.
            let (changes, cached) = (&mut tables.changes, tables.cached.as_deref());
            let stamp = changes.changes(site, entry, |entry| is_cached(cached, place.order, entry));
            entry.set_stamp(stamp);
            fields = reclaim_fields(entry, &self.limits, now_ms);
            shared.expired_fields.fetch_add(fields as u64, Ordering::Relaxed);
        }
        // What follows, `take` included, counts the deadline that is left.
        let after = next_due(entry);
        let gone = dead || is_empty_collection(entry);
        let told = shared.events.wanted() != EventClass::default();
        let key = if gone || told { entry.key().to_vec() } else { Vec::new() };
        tables.add_due(after, &shared.counts);
        tables.drop_due(before, &shared.counts);
        if gone {
            shared.expired.fetch_add(1, Ordering::Relaxed);
            self.keep_recent(db, place, &key);
            if let Some(entry) = self.take(db, place, &key, shared) {
                self.forget_cached(db, place);
                shared.free(entry);
            }
        }
        if told {
            let tell = |class, name| {
                let event = Event { class, name, db: shared.logical(db), key: key.as_slice().into() };
                // Reclaiming is no change: there is nothing in the log to wait for.
                shared.events.tell(&event, Position::START);
            };
            match (dead, fields > 0) {
                (true, _) => tell(EventClass::EXPIRED, "expired"),
                (false, true) => tell(EventClass::HASH, "hexpired"),
                (false, false) => {}
            }
            if gone && !dead {
                tell(EventClass::GENERIC, "del");
            }
        }
        if gone {
            return;
        }
        let Some(tables) = self.dbs.get_mut(usize::from(db)).and_then(|db| db.as_deref_mut()) else { return };
        tables.publish(db, place.shard, &shared.counts);
        if let Some(due) = after {
            tables.wheel.insert(due, place.order);
        }
    }

    /// Has the wheel look at the key when `deadline` (unix ms) comes.
    pub(crate) fn schedule(&mut self, db: u8, place: Place, deadline: i64, shared: &Shared) {
        self.db_mut(db).wheel.insert(deadline, place.order);
        shared.due[usize::from(place.shard.0)].fetch_min(deadline, Ordering::Relaxed);
    }
}

#[cold]
#[inline(never)]
fn husk_comes(tables: &mut Db, husk: &Entry, shared: &Shared) {
    if let Some(space) = husk.rests_in().and_then(|id| shared.keyspaces.space(id)) {
        tables.cached.get_or_insert_default().husk_came(&space, husk);
    }
}

#[cold]
#[inline(never)]
fn husk_goes(tables: &mut Db, husk: &Entry) {
    if let Some(cached) = &mut tables.cached {
        cached.husk_went(husk);
    }
}

/// When the entry needs to be looked at: its deadline, or the earliest of its fields'.
#[inline]
pub(crate) fn next_due(entry: &Entry) -> Option<i64> {
    match entry.kind() {
        Kind::Hash => next_due_of_hash(entry),
        _ => entry.deadline(),
    }
}

fn next_due_of_hash(entry: &Entry) -> Option<i64> {
    let fields = entry.hash().and_then(|hash| hash.min_deadline());
    match (entry.deadline(), fields) {
        (Some(key), Some(field)) => Some(key.min(field)),
        (key, field) => key.or(field),
    }
}

/// Whether the entry is a collection without elements, which no key may hold.
pub(crate) fn is_empty_collection(entry: &Entry) -> bool {
    match entry.kind() {
        Kind::String => false,
        _ => weight(entry) == 0,
    }
}

/// How many elements; 1 for a string.
pub(crate) fn weight(entry: &Entry) -> usize {
    let len = match entry.kind() {
        Kind::String => Some(1),
        Kind::List => entry.list().map(|list| list.len()),
        Kind::Hash => entry.hash().map(|hash| hash.len()),
        Kind::Set => entry.set().map(|set| set.len()),
        Kind::ZSet => entry.zset().map(|zset| zset.len()),
    };
    len.unwrap_or(0)
}

/// Removes some of the fields that have expired and answers how many; the wheel comes again for the others.
fn reclaim_fields(entry: &mut Entry, limits: &Limits, now_ms: i64) -> usize {
    let mut gone: Vec<Vec<u8>> = Vec::new();
    if let Some(hash) = entry.hash() {
        hash.expired(now_ms, EXPIRE_BUDGET, |field| gone.push(field.field.to_vec()));
    }
    if let Some(mut hash) = entry.hash_mut(limits) {
        for field in &gone {
            hash.remove(field);
        }
    }
    gone.len()
}
