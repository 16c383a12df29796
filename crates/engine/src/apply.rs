//! The one way to change state: `apply(effect)`.
//!
//! A local command, recovery, and later a remote replica, Raft and a restore all come through here. It reads no clock
//! and no random number, and it cannot fail: what an effect asks of a value that is not there has a defined result.
//!
//! *Invariant:* applying the same effects in the same order to the same state gives the same state.

use effect::numeric::{self, Text};
use effect::{
    Deadline, Effect, Folded, Item, ItemValue, KeyspaceId, Kind, ListPos, Op, Part, Patch, Side,
    items::{Fields, Ids, Items, Runs, Values},
};

use crate::engine::Shared;
use crate::guards::Guards;
use crate::limits::CUT_BY_CHUNKS;
use crate::reaper::is_large;
use crate::shard::{DbKey, Shard, ShardId, is_empty_collection};
use crate::stop::Place;
use crate::typed::{hash_mut, list_mut, set_mut, string, zset_mut};
use crate::undo::{Undo, forget};
use crate::value::{Entry, Limits};

/// Where undo records go, if the effect may have to be taken back.
pub(crate) type UndoLog<'u> = Option<&'u mut Vec<Undo>>;

/// Applies one effect to the locked shards; those of its keys are among them.
#[inline]
pub(crate) fn apply(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, undo: UndoLog<'_>) {
    apply_at(guards, shared, effect, None, undo);
}

/// The same, for whoever may know the place of the effect's key.
#[inline]
pub(crate) fn apply_at(
    guards: &mut Guards<'_>,
    shared: &Shared,
    effect: &Effect<'_>,
    place: Option<Place>,
    undo: UndoLog<'_>,
) {
    match &effect.op {
        Op::FlushDb => return flush_db(guards, shared, effect.db, undo),
        // Of one keyspace: what it has at rest is void, which is no matter of the tables.
        Op::FlushAll if effect.keyspace != KeyspaceId::DEFAULT => return,
        Op::FlushAll => return flush_all(guards, shared, undo),
        Op::SwapDb(other) => return swap(guards, shared, effect.db, *other, undo),
        Op::Rename { db, key, .. } => return rename(guards, shared, effect, (*db, key), undo),
        Op::Define(_) | Op::Undefine | Op::Moved(_) => return shared.keyspaces.apply(effect),
        Op::Again(last) => return shared.replication.again.note(*last),
        // Whoever knows which effect it is puts it into the table of these (`suffix::take_in`).
        Op::GroupDefine(_) => return,
        Op::Noop | Op::Bind(_) | Op::Verdict { .. } | Op::Serialize(_) => return,
        _ => {}
    }
    let place = place.unwrap_or_else(|| shared.place_of(effect.key));
    let shard = guards.get_mut(place.shard).expect("the shards of a batch are locked before it is applied");
    Target { shard, shared, place, db: effect.db, key: effect.key, fresh: effect.fresh, undo }.apply(&effect.op);
}

/// Whether a string may be written where the old value is: not if that is something else, or a checkpoint still needs it or
/// has made rows of it, nor if a large allocation would be freed here.
fn may_overwrite(old: &Entry, value: &[u8]) -> bool {
    old.kind() == Kind::String
        && !old.is_at_rest()
        && old.is_without_rows()
        && (!is_large(old) || old.bytes().is_some_and(|old| old.len() == value.len()))
}

/// One key in its locked shard, about to change.
struct Target<'t, 'u> {
    shard: &'t mut Shard,
    shared: &'t Shared,
    place: Place,
    db: u8,
    key: &'t [u8],
    fresh: bool,
    undo: UndoLog<'u>,
}

impl Target<'_, '_> {
    fn apply(mut self, op: &Op<'_>) {
        if self.shared.keyspaces.is_active() {
            self.drop_husk(op);
        }
        match op {
            Op::Set { value, deadline } => self.set(value, *deadline),
            Op::AddInt(delta) => self.string(|old| numeric::add_int(old, *delta)),
            Op::AddDecimal(delta) => self.string(|old| numeric::add_decimal(old, delta)),
            Op::MaxBytes(bytes) => self.string(|old| numeric::max_bytes(old, bytes)),
            Op::Patch(patch) => self.patch(patch),
            Op::Put { kind, deadline, items, .. } => self.put(*kind, *deadline, items),
            Op::Drop { kind, ids } => self.drop_elements(*kind, ids),
            Op::FieldDeadlines(fields) => self.field_deadlines(fields),
            Op::Push { side, first, values } => self.push(*side, first, values),
            Op::Insert { pos, value } => {
                self.add(Kind::List, |entry, limits, notes| put_element(entry, limits, notes, pos, value));
            }
            Op::SetAt { pos, value } => self.set_at(pos, value),
            Op::Cut(runs) => self.cut(runs),
            Op::Replace { value, deadline } => self.replace(value, *deadline),
            Op::Snapshot { value, deadline, .. } => {
                self.replace(value, deadline.map_or(Deadline::Clear, Deadline::At));
            }
            Op::Expire(deadline) => self.expire(*deadline),
            Op::Remove => self.remove(),
            Op::FlushDb | Op::FlushAll | Op::SwapDb(_) | Op::Rename { .. } => unreachable!("not about one key"),
            Op::Noop | Op::Bind(_) | Op::Verdict { .. } | Op::Serialize(_) | Op::Again(_) => {}
            Op::Define(_) | Op::Undefine | Op::Moved(_) | Op::GroupDefine(_) => unreachable!("not about one key"),
        }
    }

    /// What changes a part of a value finds none if it is at rest: whoever emitted it saw that it was given up.
    #[cold]
    #[inline(never)]
    fn drop_husk(&mut self, op: &Op<'_>) {
        let whole = matches!(op, Op::Set { .. } | Op::Replace { .. } | Op::Snapshot { .. } | Op::Remove);
        if !whole && self.find().is_some_and(Entry::is_at_rest) {
            self.remove();
        }
    }

    fn find(&self) -> Option<&Entry> {
        self.shard.find(self.db, self.place.order, self.key)
    }

    /// Where it is noted how what happens to the key is taken back.
    fn notes(&mut self) -> Notes<'_> {
        Notes { log: self.undo.as_deref_mut(), db: self.db, key: self.key }
    }

    /// Takes the entry out: into the undo log, or aside to be freed.
    fn remove(&mut self) {
        if let Some(old) = self.shard.take(self.db, self.place, self.key, self.shared) {
            match self.undo {
                Some(_) => self.notes().push(|name| Undo::Entry(name, Some(old))),
                None => self.shared.free(old),
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.notes().push(|name| Undo::Entry(name, None));
        self.shard.put(self.db, self.place, entry, self.shared);
    }

    /// Changes the entry, if there is one: it is looked up once for all that `change` does.
    #[inline]
    fn update<R>(&mut self, change: impl FnOnce(&mut Entry, &Limits, &mut Notes<'_>) -> R) -> Option<R> {
        let Self { shard, shared, place, db, key, undo, .. } = self;
        let mut notes = Notes { log: undo.as_deref_mut(), db: *db, key };
        shard.update(*db, *place, key, shared, |entry, limits| change(entry, limits, &mut notes))
    }

    /// Changes the value of `kind`: what is fresh, absent or of another type begins empty. Whether it had to make one.
    #[inline]
    fn upsert(&mut self, kind: Kind, change: impl FnOnce(&mut Entry, &Limits, &mut Notes<'_>)) -> bool {
        let fresh = self.fresh;
        let mut change = Some(change);
        let found = self.update(|entry, limits, notes| {
            if entry.kind() == kind && !fresh {
                change.take().into_iter().for_each(|change| change(entry, limits, notes));
            }
        });
        let Some(change) = change else { return false };
        if found.is_some() {
            self.remove();
        }
        self.insert(Entry::empty(kind, self.key, None));
        self.update(change);
        true
    }

    /// Adds to a collection, which begins empty if there is none.
    #[inline]
    fn add(&mut self, kind: Kind, change: impl FnOnce(&mut Entry, &Limits, &mut Notes<'_>)) {
        let made = self.upsert(kind, |entry, limits, notes| {
            notes.small(entry);
            change(entry, limits, notes);
        });
        if made && self.find().is_some_and(is_empty_collection) {
            self.remove();
        }
    }

    /// Changes a collection, if there is one of this kind. It goes if nothing is left in it.
    #[inline]
    fn reduce(&mut self, kind: Kind, change: impl FnOnce(&mut Entry, &Limits, &mut Notes<'_>)) {
        let emptied = self.update(|entry, limits, notes| {
            if entry.kind() != kind {
                return false;
            }
            notes.small(entry);
            change(entry, limits, notes);
            is_empty_collection(entry)
        });
        if emptied == Some(true) {
            self.remove();
        }
    }

    #[inline]
    fn set(&mut self, value: &[u8], deadline: Deadline) {
        let fresh = self.fresh;
        let written = self.update(|entry, _, notes| {
            let deadline = deadline.after(entry.deadline().filter(|_| !fresh));
            if notes.is_off() && may_overwrite(entry, value) {
                entry.set_bytes(value);
                entry.set_deadline(deadline);
                return Ok(());
            }
            Err(deadline)
        });
        let deadline = match written {
            Some(Ok(())) => return,
            Some(Err(deadline)) => {
                self.remove();
                deadline
            }
            None => deadline.after(None),
        };
        self.insert(Entry::string(self.key, value, deadline));
    }

    /// Replaces a string by a function of itself; its deadline stays. What is fresh, absent or of another type was empty.
    fn string(&mut self, change: impl Fn(&[u8]) -> Text) {
        let fresh = self.fresh;
        let written = self.update(|entry, _, notes| {
            if entry.kind() != Kind::String || fresh {
                return Err(None);
            }
            let value = change(string(entry));
            if notes.is_off() && may_overwrite(entry, &value) {
                entry.set_bytes(&value);
                return Ok(());
            }
            Err(Some((value, entry.deadline())))
        });
        let made = match written {
            Some(Ok(())) => return,
            Some(Err(made)) => {
                self.remove();
                made
            }
            None => None,
        };
        let (value, deadline) = made.unwrap_or_else(|| (change(b""), None));
        self.insert(Entry::string(self.key, &value, deadline));
    }

    fn patch(&mut self, patch: &Patch<'_>) {
        self.upsert(Kind::String, |entry, _, notes| {
            let whole = string(entry);
            let mut bits = [0u8; 9];
            let (offset, bytes) = numeric::patched(whole, patch, &mut bits);
            notes.push(|key| {
                let len = whole.len();
                let from = offset.min(len);
                let old = whole[from..len.min(offset.saturating_add(bytes.len()))].to_vec();
                Undo::Bytes { key, len, offset: from, old }
            });
            entry.write_at(offset, bytes);
        });
    }

    fn put(&mut self, kind: Kind, deadline: Deadline, items: &Items<'_>) {
        self.add(kind, |entry, limits, notes| {
            for item in items.iter() {
                match kind {
                    Kind::Hash => put_field(entry, limits, notes, deadline, &item),
                    Kind::Set => put_member(entry, limits, notes, item.id),
                    Kind::ZSet => put_score(entry, limits, notes, &item),
                    Kind::String | Kind::List => {}
                }
            }
        });
    }

    fn drop_elements(&mut self, kind: Kind, ids: &Ids<'_>) {
        self.reduce(kind, |entry, limits, notes| {
            for id in ids.iter() {
                match kind {
                    Kind::Hash => {
                        notes.part(entry, |name, entry| Undo::Field(name, id.to_vec(), field(entry, id)));
                        hash_mut(entry, limits).remove(id);
                    }
                    Kind::Set => {
                        if set_mut(entry, limits).remove(id) {
                            notes.part(entry, |name, _| Undo::Member(name, id.to_vec(), true));
                        }
                    }
                    Kind::ZSet => {
                        if let Some(old) = zset_mut(entry, limits).remove(id) {
                            notes.part(entry, |name, _| Undo::Score(name, id.to_vec(), Some(old)));
                        }
                    }
                    Kind::String | Kind::List => {}
                }
            }
        });
    }

    fn field_deadlines(&mut self, fields: &Fields<'_>) {
        self.reduce(Kind::Hash, |entry, limits, notes| {
            for (name, deadline) in fields.iter() {
                let Some((_, old)) = field(entry, name) else { continue };
                notes.part(entry, |key, _| Undo::FieldDeadline(key, name.to_vec(), old));
                hash_mut(entry, limits).set_deadline(name, deadline);
            }
        });
    }

    fn push(&mut self, side: Side, first: &ListPos, values: &Values<'_>) {
        let way = if side == Side::Head { -1 } else { 1 };
        self.add(Kind::List, |entry, limits, notes| {
            for (i, value) in values.iter().enumerate() {
                put_element(entry, limits, notes, &first.step(way * i as i64), value);
            }
        });
    }

    fn set_at(&mut self, pos: &ListPos, value: &[u8]) {
        self.reduce(Kind::List, |entry, limits, notes| {
            notes.part(entry, |name, entry| Undo::Element(name, pos.clone(), element(entry, pos)));
            list_mut(entry, limits).set(pos, value);
        });
    }

    fn cut(&mut self, runs: &Runs<'_>) {
        let shared = self.shared;
        self.reduce(Kind::List, |entry, limits, notes| {
            for (first, len) in runs.iter() {
                if len >= CUT_BY_CHUNKS
                    && notes.is_off()
                    && let Some(remains) = list_mut(entry, limits).cut(&first, len)
                {
                    shared.reaper.free_remains(remains);
                    continue;
                }
                // A run that no command made may be said to be of any length.
                let list = list_mut(entry, limits);
                let sparse = len >= CUT_BY_CHUNKS && len > list.view().len() as u64;
                let present = sparse.then(|| list.view().present(&first, len));
                let mut cut = |pos: ListPos| {
                    notes.part(entry, |name, entry| Undo::Element(name, pos.clone(), element(entry, &pos)));
                    list_mut(entry, limits).remove(&pos);
                };
                match present {
                    Some(present) => present.into_iter().for_each(cut),
                    None => (0..len).for_each(|i| cut(first.step(i as i64))),
                }
            }
        });
    }

    fn replace(&mut self, value: &Folded<'_>, deadline: Deadline) {
        let deadline = deadline.after(self.find().and_then(Entry::deadline).filter(|_| !self.fresh));
        self.remove();
        let mut entry = Entry::empty(value.kind(), self.key, None);
        fill(&mut entry, &self.shard.limits, value);
        if !is_empty_collection(&entry) {
            entry.set_deadline(deadline);
            self.insert(entry);
        }
    }

    fn expire(&mut self, deadline: Option<i64>) {
        self.update(|entry, _, notes| {
            notes.push(|name| Undo::Deadline(name, entry.deadline()));
            entry.set_deadline(deadline);
        });
    }
}

/// Where it is noted how changes of one key are taken back, if that may be asked for.
struct Notes<'n> {
    log: UndoLog<'n>,
    db: u8,
    key: &'n [u8],
}

impl Notes<'_> {
    /// Nothing is taken back.
    #[inline]
    fn is_off(&self) -> bool {
        self.log.is_none()
    }

    #[inline]
    fn push(&mut self, make: impl FnOnce(DbKey) -> Undo) {
        if let Some(log) = &mut self.log {
            log.push(make((self.db, self.key.into())));
        }
    }

    /// A small value is kept whole before it changes: cheaper and simpler than by element.
    #[inline]
    fn small(&mut self, entry: &Entry) {
        if let Entry::Packed(clock, bytes) = entry {
            self.push(|name| Undo::Entry(name, Some(Entry::Packed(clock.clone(), bytes.clone()))));
        }
    }

    /// How a part of a large value is taken back.
    #[inline]
    fn part(&mut self, entry: &Entry, make: impl FnOnce(DbKey, &Entry) -> Undo) {
        if let Entry::Big(..) = entry {
            self.push(|name| make(name, entry));
        }
    }
}

/// A field's value and deadline, owned.
fn field(entry: &Entry, name: &[u8]) -> Option<(Vec<u8>, Option<i64>)> {
    let found = entry.hash().and_then(|hash| hash.get(name));
    found.map(|f| (f.value.to_vec(), f.deadline))
}

/// The value at a position, owned.
fn element(entry: &Entry, pos: &ListPos) -> Option<Vec<u8>> {
    entry.list()?.at(pos).map(<[u8]>::to_vec)
}

fn put_field(entry: &mut Entry, limits: &Limits, notes: &mut Notes<'_>, deadline: Deadline, item: &Item<'_>) {
    let old = || entry.hash().and_then(|hash| hash.get(item.id));
    let deadline = match deadline {
        Deadline::Keep => old().and_then(|f| f.deadline),
        other => other.after(None),
    };
    let owned;
    let value = match item.value {
        ItemValue::Bytes(bytes) => bytes,
        ItemValue::Int(delta) => {
            owned = numeric::add_int(old().map_or(b"", |f| f.value), delta);
            &owned
        }
        ItemValue::Decimal(delta) => {
            owned = numeric::add_decimal(old().map_or(b"", |f| f.value), delta);
            &owned
        }
        ItemValue::Member | ItemValue::Score(_) | ItemValue::ScoreDelta { .. } => return,
    };
    notes.part(entry, |name, entry| Undo::Field(name, item.id.to_vec(), field(entry, item.id)));
    hash_mut(entry, limits).insert(item.id, value, deadline);
}

fn put_member(entry: &mut Entry, limits: &Limits, notes: &mut Notes<'_>, member: &[u8]) {
    if set_mut(entry, limits).insert(member) {
        notes.part(entry, |name, _| Undo::Member(name, member.to_vec(), false));
    }
}

fn put_score(entry: &mut Entry, limits: &Limits, notes: &mut Notes<'_>, item: &Item<'_>) {
    let score = match item.value {
        ItemValue::Score(score) => score,
        ItemValue::ScoreDelta { from, to } => {
            let old = entry.zset().and_then(|zset| zset.score(item.id));
            numeric::add_score(old.unwrap_or(0.0), from, to)
        }
        _ => return,
    };
    let old = zset_mut(entry, limits).insert(item.id, score);
    notes.part(entry, |name, _| Undo::Score(name, item.id.to_vec(), old));
}

fn put_element(entry: &mut Entry, limits: &Limits, notes: &mut Notes<'_>, pos: &ListPos, value: &[u8]) {
    if list_mut(entry, limits).insert(pos, value) {
        notes.part(entry, |name, _| Undo::Element(name, pos.clone(), None));
    }
}

/// Adds the parts of a whole value, or of a piece of one, to an entry of its kind.
pub(crate) fn fill(entry: &mut Entry, limits: &Limits, value: &Folded<'_>) {
    value.for_each(|part| match part {
        Part::String(bytes) if entry.bytes().is_some_and(<[u8]>::is_empty) => entry.set_bytes(bytes),
        Part::String(bytes) => {
            entry.append(bytes);
        }
        Part::Field { field, value, deadline } => {
            hash_mut(entry, limits).insert(field, value, deadline);
        }
        Part::Member(member) => {
            set_mut(entry, limits).insert(member);
        }
        Part::Scored(member, score) => {
            zset_mut(entry, limits).insert(member, score);
        }
        Part::Element(pos, value) => {
            list_mut(entry, limits).insert(&pos, value);
        }
    });
}

/// Moves an entry, with its deadline, to another name. Nothing if there is none.
fn rename(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, to: (u8, &[u8]), undo: UndoLog<'_>) {
    let locked = "the shards of a batch are locked before it is applied";
    let from_place = shared.place_of(effect.key);
    let to_place = shared.place_of(to.1);
    let source = guards.get_mut(from_place.shard).expect(locked);
    let Some(mut entry) = source.take(effect.db, from_place, effect.key, shared) else { return };
    entry.rename(to.1);
    if effect.db != to.0 {
        // Rows are named by database, so that those of an emptied one are known.
        debug_assert!(!entry.is_partly_away(), "what is away is named by its rows");
        shared.checkpoints.bury(&mut entry);
    }
    let target = guards.get_mut(to_place.shard).expect(locked);
    let replaced = target.take(to.0, to_place, to.1, shared);
    target.put(to.0, to_place, entry, shared);
    match (undo, replaced) {
        (Some(undo), replaced) => {
            undo.push(Undo::Renamed { from: (effect.db, effect.key.into()), to: (to.0, to.1.into()), replaced });
        }
        (None, Some(old)) => shared.free(old),
        (None, None) => {}
    }
}

fn flush_db(guards: &mut Guards<'_>, shared: &Shared, db: u8, undo: UndoLog<'_>) {
    debug_assert!(guards.is_all(), "a whole database changes only with every shard locked");
    let logical = shared.logical(db);
    let watched = watchers(guards, shared, [logical, logical]);
    let shards = (0..=u8::MAX).map(ShardId).zip(guards.iter_mut());
    let tables: Vec<_> = shards.map(|(id, shard)| shard.set_db(db, None, id, shared)).collect();
    match undo {
        Some(undo) => undo.extend([watched, Undo::Flush(db, tables)]),
        None => forget(&mut vec![watched, Undo::Flush(db, tables)], shared),
    }
}

/// Those who watch what exists in one of two logical databases.
fn watchers(guards: &Guards<'_>, shared: &Shared, dbs: [u8; 2]) -> Undo {
    Undo::Watched(guards.iter().flat_map(|shard| shard.watchers_of_existing(dbs, shared)).collect())
}

fn flush_all(guards: &mut Guards<'_>, shared: &Shared, mut undo: UndoLog<'_>) {
    let dbs = guards.iter().map(|shard| shard.dbs.len()).max().unwrap_or(0);
    for db in 0..dbs {
        flush_db(guards, shared, db as u8, undo.as_deref_mut());
    }
}

fn swap(guards: &Guards<'_>, shared: &Shared, a: u8, b: u8, undo: UndoLog<'_>) {
    let watched = watchers(guards, shared, [a, b]);
    shared.swap_dbs(a, b);
    match undo {
        Some(undo) => undo.extend([watched, Undo::Swap(a, b)]),
        None => forget(&mut vec![watched], shared),
    }
}

#[cfg(test)]
mod tests;
