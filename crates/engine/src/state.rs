//! What a command may read: the locked shards, seen at one moment, with what has expired hidden.

use std::cell::Cell;

use effect::{Effect, Kind, Op};
use wal::Position;

use crate::engine::Shared;
use crate::guards::Guards;
use crate::residency::{AtRest, Name};
use crate::shard::{DbKey, Shard, ShardId};
use crate::stop::{Known, Miss, Place, Probe, Stop};
use crate::suffix::Lent;
use crate::undo::Undo;
use crate::value::{Entry, Part};
use crate::view::{HashView, ListView, SetView, ZSetView};

/// Read access to the locked shards. It cannot change anything.
///
/// *Invariant:* every access says `Miss`, `Unlocked` or the truth at `now_ms`; a key or field whose deadline has
/// passed is never shown.
pub struct State<'e> {
    pub(crate) shared: &'e Shared,
    pub(crate) guards: Guards<'e>,
    pub(crate) probe: Probe,
    known: Option<Known<'e>>,
    /// What an earlier run of the same command has found at rest.
    pub(crate) at_rest: Option<&'e AtRest>,
    pub(crate) now_ms: i64,
    /// What takes back the effects that were settled.
    pub(crate) undo: Vec<Undo>,
    /// What was lent for effects that were settled, where there are other replicas.
    pub(crate) lent: Lent,
    db: Cell<u8>,
    touch: Cell<bool>,
    hits: Cell<u32>,
    misses: Cell<u32>,
    /// Whether something was found that has expired, since this was last asked.
    pub(crate) met_expired: Cell<bool>,
}

impl<'e> State<'e> {
    #[inline]
    pub(crate) fn new(shared: &'e Shared, guards: Guards<'e>, known: Option<Known<'e>>, now_ms: i64, db: u8) -> Self {
        Self {
            shared,
            guards,
            probe: shared.probe(),
            known,
            at_rest: None,
            now_ms,
            undo: Vec::new(),
            lent: Lent::default(),
            db: Cell::new(db),
            touch: Cell::new(true),
            hits: Cell::new(0),
            misses: Cell::new(0),
            met_expired: Cell::new(false),
        }
    }

    /// The moment at which the command runs, unix ms.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The logical database that look-ups go to.
    pub fn db(&self) -> u8 {
        self.db.get()
    }

    /// Sends the following look-ups to logical database `db`; returns the one before.
    pub fn select(&self, db: u8) -> u8 {
        self.db.replace(db)
    }

    /// Says whether look-ups renew the access clock of what they find (OBJECT and CLIENT NO-TOUCH do not); returns
    /// whether they did before.
    pub fn set_touch(&self, touch: bool) -> bool {
        self.touch.replace(touch)
    }

    /// Look-ups that found a key, and that found none, since this was last asked.
    pub fn take_hits_and_misses(&self) -> (u32, u32) {
        (self.hits.take(), self.misses.take())
    }

    pub(crate) fn physical(&self) -> u8 {
        self.shared.physical(self.db.get())
    }

    pub(crate) fn shard(&self, id: ShardId) -> Result<&Shard, Stop> {
        self.guards.get(id).ok_or(Stop::Unlocked(id))
    }

    /// The highest position that any of the locked shards has applied.
    pub(crate) fn applied(&self) -> Position {
        self.guards.iter().map(|shard| shard.applied).max().unwrap_or_default()
    }

    pub(crate) fn set_applied(&mut self, position: Position) {
        for shard in self.guards.iter_mut() {
            shard.applied = position;
        }
    }

    /// Tells those who watch the keys of `effect`; notes the keys that clients wait for. `logical` gives the name of a
    /// physical database.
    pub(crate) fn tell_listeners(&self, effect: &Effect<'_>, logical: impl Fn(u8) -> u8, ready: &mut Vec<DbKey>) {
        match &effect.op {
            // These told the watchers when they were applied.
            Op::FlushAll | Op::FlushDb => {}
            // These are about no key.
            Op::Define(_) | Op::Undefine | Op::Moved(_) | Op::GroupDefine(_) => {}
            Op::SwapDb(_) => self.guards.iter().for_each(|shard| ready.extend(shard.waiters.keys().cloned())),
            Op::Rename { db, key, .. } => {
                self.tell_of_key(logical(effect.db), effect.key, ready);
                self.tell_of_key(logical(*db), key, ready);
            }
            _ => self.tell_of_key(logical(effect.db), effect.key, ready),
        }
    }

    /// Tells those who watch a key of a logical database that it was written.
    pub(crate) fn tell_watchers(&self, db: u8, key: &[u8]) {
        let place = self.place_of(key);
        if let Some(shard) = self.guards.get(place.shard) {
            shard.touch_watches(db, key);
        }
    }

    fn tell_of_key(&self, db: u8, key: &[u8], ready: &mut Vec<DbKey>) {
        let place = self.place_of(key);
        let Some(shard) = self.guards.get(place.shard) else { return };
        shard.touch_watches(db, key);
        if shard.waiters.is_empty() {
            return;
        }
        let name = (db, key.into());
        if shard.waiters.contains_key(&name) && !ready.contains(&name) {
            ready.push(name);
        }
    }

    pub(crate) fn known(&self) -> Option<Known<'e>> {
        self.known
    }

    #[inline(always)]
    fn place_of(&self, key: &[u8]) -> Place {
        let known = self.known.and_then(|known| known.place_of(key));
        known.unwrap_or_else(|| self.shared.place_of(key))
    }

    /// The entry of `key` with all that belongs to it, for whoever needs the whole value.
    pub fn whole_entry(&self, key: &[u8]) -> Result<Option<&Entry>, Stop> {
        match self.entry(key)? {
            Some(entry) if entry.is_partly_away() => self.site(key).miss(Part::Whole),
            found => Ok(found),
        }
    }

    /// The entry of `key`, whatever its type; `None` if it does not exist or has expired. Elements of a large value may be at rest:
    /// see [`State::whole_entry`].
    #[inline]
    pub fn entry(&self, key: &[u8]) -> Result<Option<&Entry>, Stop> {
        self.look(key, true)
    }

    /// What is found at a key where there are keyspaces: of a value at rest its husk, for whoever does not ask for the
    /// `value`; nothing, if that has been given up.
    #[cold]
    #[inline(never)]
    fn in_keyspaces<'s>(
        &self,
        db: u8,
        key: &[u8],
        found: Option<&'s Entry>,
        value: bool,
    ) -> Result<Option<&'s Entry>, Stop> {
        let found = match found.filter(|entry| entry.is_at_rest()) {
            None => found,
            Some(husk) if self.is_given_up(db, husk) => None,
            Some(husk) if value => return Err(Stop::Miss(Miss::Key { db, key: husk.key().to_vec() })),
            husk => husk,
        };
        self.shared.keyspaces.count_lookup(key, found.is_some());
        Ok(found)
    }

    /// Whether the disk tier has dropped the value of a husk.
    pub(crate) fn is_given_up(&self, db: u8, husk: &Entry) -> bool {
        let space = husk.rests_in().and_then(|id| self.shared.keyspaces.space(id));
        space.is_none_or(|space| !space.has_value(db, husk.key()))
    }

    /// What stands at `key`, its husk if the value is at rest and not asked for.
    #[inline(always)]
    fn look(&self, key: &[u8], value: bool) -> Result<Option<&Entry>, Stop> {
        let place = self.place_of(key);
        let shard = self.shard(place.shard)?;
        let db = self.physical();
        self.probe.check(db, key, false)?;
        let stored = shard.find(db, place.order, key);
        if stored.is_none() && shard.may_rest(db, place.order, key) {
            return Err(Stop::Miss(Miss::Key { db, key: key.to_vec() }));
        }
        let found = stored.filter(|e| e.deadline().is_none_or(|d| d > self.now_ms));
        // A hash all of whose fields have expired is gone, whoever asks.
        let mut found = found.filter(|e| !is_dead_hash(e, self.now_ms));
        if stored.is_some() && found.is_none() {
            self.met_expired.set(true);
        }
        // While there is no keyspace there is no husk.
        if self.shared.keyspaces.is_active() {
            found = self.in_keyspaces(db, key, found, value)?;
        }
        match found {
            Some(entry) => {
                self.hits.set(self.hits.get() + 1);
                if self.touch.get() {
                    entry.touch((self.now_ms / 1000) as u32);
                }
            }
            None => self.misses.set(self.misses.get() + 1),
        }
        Ok(found)
    }

    /// Sees to it that a key of a physical database, which is about to be written, is in memory or known to be absent.
    pub(crate) fn settle_key(&self, db: u8, key: &[u8]) -> Result<(), Stop> {
        let place = self.place_of(key);
        let shard = self.shard(place.shard)?;
        if shard.find(db, place.order, key).is_none() && shard.may_rest(db, place.order, key) {
            return Err(Stop::Miss(Miss::Key { db, key: key.to_vec() }));
        }
        Ok(())
    }

    /// Sees to it that the elements which an effect is about are in memory, or known to be absent.
    pub(crate) fn settle_part(&self, effect: &Effect<'_>) -> Result<(), Stop> {
        let (db, key) = (effect.db, effect.key);
        let place = self.place_of(key);
        let found = self.shard(place.shard)?.find(db, place.order, key);
        match found.and_then(|entry| entry.needs(effect)) {
            Some(part) => Err(missed(&self.undo, db, key, part)),
            None => Ok(()),
        }
    }

    /// Sees to it that all of these keys are in memory, or known to be absent, before they are looked up one by one: what is missed
    /// one by one costs a run of the command each.
    pub fn gather<K: AsRef<[u8]>>(&self, keys: impl Iterator<Item = K>) -> Result<(), Stop> {
        if !self.shared.residency.is_on() {
            return Ok(());
        }
        let (db, mut missed) = (self.physical(), Vec::new());
        for key in keys {
            match self.settle_key(db, key.as_ref()) {
                Err(Stop::Miss(_)) => missed.push(key.as_ref().to_vec()),
                other => other?,
            }
        }
        if missed.is_empty() { Ok(()) } else { Err(Stop::Miss(Miss::Keys { db, keys: missed })) }
    }

    /// Whether the key exists.
    pub fn exists(&self, key: &[u8]) -> Result<bool, Stop> {
        Ok(self.look(key, false)?.is_some())
    }

    /// The type of the key's value.
    pub fn kind(&self, key: &[u8]) -> Result<Option<Kind>, Stop> {
        Ok(self.look(key, false)?.map(Entry::kind))
    }

    /// The key's deadline in unix ms: `None` if there is no such key, `Some(None)` if it has none.
    pub fn deadline(&self, key: &[u8]) -> Result<Option<Option<i64>>, Stop> {
        Ok(self.entry(key)?.map(Entry::deadline))
    }

    /// What `open` finds in the entry at `key`; nothing found means that it is of another type.
    #[inline]
    fn of_type<'s, T>(&'s self, key: &[u8], open: impl FnOnce(&'s Entry) -> Option<T>) -> Result<Option<T>, Stop> {
        match self.entry(key)? {
            None => Ok(None),
            Some(entry) => open(entry).ok_or(Stop::WrongType).map(Some),
        }
    }

    /// The string at `key`.
    #[inline]
    pub fn string(&self, key: &[u8]) -> Result<Option<&[u8]>, Stop> {
        self.of_type(key, Entry::bytes)
    }

    /// The hash at `key`.
    pub fn hash<'s>(&'s self, key: &'s [u8]) -> Result<Option<HashView<'s>>, Stop> {
        self.of_type(key, |e| e.hash().map(|hash| HashView::new(hash, self.site(key))))
    }

    /// The set at `key`.
    pub fn set<'s>(&'s self, key: &'s [u8]) -> Result<Option<SetView<'s>>, Stop> {
        self.of_type(key, |e| e.set().map(|set| SetView::new(set, self.site(key))))
    }

    /// The sorted set at `key`.
    pub fn zset<'s>(&'s self, key: &'s [u8]) -> Result<Option<ZSetView<'s>>, Stop> {
        self.of_type(key, |e| e.zset().map(|zset| ZSetView::new(zset, self.site(key))))
    }

    /// The list at `key`.
    pub fn list<'s>(&'s self, key: &'s [u8]) -> Result<Option<ListView<'s>>, Stop> {
        self.of_type(key, |e| e.list().map(|list| ListView::new(list, self.site(key))))
    }

    fn site<'s>(&'s self, key: &'s [u8]) -> Site<'s> {
        let found = self.at_rest.and_then(|at_rest| {
            // What was found was found under the name of before, in the shard of that.
            let (_, before) = name_before(&self.undo, self.physical(), key);
            Some((at_rest, self.guards.get(self.place_of(before).shard)?))
        });
        Site { probe: &self.probe, db: self.physical(), key, now_ms: self.now_ms, undo: &self.undo, found }
    }
}

/// A part of a value is missing.
fn missed(undo: &[Undo], db: u8, key: &[u8], part: Part) -> Stop {
    let (db, key) = name_before(undo, db, key);
    Stop::Miss(Miss::Elements { db, key: key.to_vec(), part: Some(part_before(undo, part)) })
}

/// What a part was before anything was settled, and perhaps more: each element that came or went has moved others by one rank.
fn part_before(undo: &[Undo], part: Part) -> Part {
    match part {
        Part::Ranks(ranks) => {
            let moved = undo.iter().filter(|undo| matches!(undo, Undo::Score(..) | Undo::Element(..))).count();
            Part::Ranks(ranks.start.saturating_sub(moved)..ranks.end.saturating_add(moved))
        }
        other => other,
    }
}

/// What a key of a physical database was called before anything was settled: whoever loads a part of its value finds it there.
fn name_before<'n>(undo: &'n [Undo], db: u8, key: &'n [u8]) -> (u8, &'n [u8]) {
    undo.iter().rev().fold((db, key), |name, undo| match undo {
        Undo::Renamed { from, to, .. } if (to.0, &to.1[..]) == name => (from.0, &from.1[..]),
        _ => name,
    })
}

/// Whether it is a hash all of whose fields have expired.
#[inline]
pub(crate) fn is_dead_hash(entry: &Entry, now_ms: i64) -> bool {
    entry.kind() == Kind::Hash && has_no_live_field(entry, now_ms)
}

fn has_no_live_field(entry: &Entry, now_ms: i64) -> bool {
    entry.hash().is_some_and(|hash| !hash.is_empty() && hash.count_live(now_ms) == 0)
}

/// Where a view's elements belong: what a miss names, and the moment at which they are looked at.
#[derive(Clone, Copy)]
pub struct Site<'s> {
    probe: &'s Probe,
    db: u8,
    key: &'s [u8],
    pub(crate) now_ms: i64,
    /// What has been settled.
    undo: &'s [Undo],
    /// What an earlier run has found, and the shard as it is now.
    found: Option<(&'s AtRest, &'s Shard)>,
}

impl Site<'_> {
    /// Whether elements that are about to be read are resident.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Stop> {
        self.probe.check(self.db, self.key, true)
    }

    /// A part of the value is missing.
    #[cold]
    pub(crate) fn miss<T>(&self, part: Part) -> Result<T, Stop> {
        Err(missed(self.undo, self.db, self.key, part))
    }

    /// Up to which hash, not included, all elements are in memory, from this one on; `None` as the end: to the last. Of a value of
    /// which some are away.
    pub(crate) fn hashes(&self, from: u64, count: usize) -> Result<Option<u64>, Stop> {
        let (db, key) = name_before(self.undo, self.db, self.key);
        let name = Name { db, key };
        let known = self.found.and_then(|(at_rest, shard)| at_rest.hashes(name, from, shard));
        known.map_or_else(|| self.miss(Part::Hashes { from, count }), Ok)
    }
}
