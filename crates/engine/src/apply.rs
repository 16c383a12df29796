//! The one way to change state: `apply(effect)`.
//!
//! A local command, recovery, and later a remote replica, Raft and a restore all come through here. It reads no clock
//! and no random number, and it cannot fail: what an effect asks of a value that is not there has a defined result.
//!
//! *Invariant:* applying the same effects in the same order to the same state gives the same state.

use std::sync::atomic::Ordering;

use effect::{
    Deadline, Effect, Folded, Item, ItemValue, KeyspaceId, Kind, ListPos, Op, Part, Patch, Side,
    items::{Ids, Items, Runs, Values},
};

use crate::engine::Shared;
use crate::guards::Guards;
use crate::limits::CUT_BY_CHUNKS;
use crate::numeric;
use crate::reaper::is_large;
use crate::shard::{DbKey, Shard, ShardId, is_empty_collection};
use crate::snapshot::format;
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
        Op::Noop | Op::Bind(_) | Op::Verdict { .. } | Op::Serialize(_) => return,
        _ => {}
    }
    let place = place.unwrap_or_else(|| shared.place_of(effect.key));
    let shard = guards.get_mut(place.shard).expect("the shards of a batch are locked before it is applied");
    Target { shard, shared, place, db: effect.db, key: effect.key, fresh: effect.fresh, undo }.apply(&effect.op);
}

/// Whether a string may be written where the old value is: not if that is something else, or a snapshot still needs it,
/// nor if a large allocation would be freed here.
fn may_overwrite(old: &Entry, value: &[u8]) -> bool {
    old.kind() == Kind::String
        && !old.is_at_rest()
        && old.pinned().is_none()
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
            Op::FieldDeadlines(fields) => {
                for (name, deadline) in fields.iter() {
                    self.field_deadline(name, deadline);
                }
            }
            Op::Push { side, first, values } => self.push(*side, first, values),
            Op::Insert { pos, value } => self.add(Kind::List, |t| t.insert_at(pos, value)),
            Op::SetAt { pos, value } => self.set_at(pos, value),
            Op::Cut(runs) => self.cut(runs),
            Op::Replace { value, deadline } => self.replace(value, *deadline),
            Op::Snapshot { value, deadline, .. } => {
                self.replace(value, deadline.map_or(Deadline::Clear, Deadline::At));
            }
            Op::Expire(deadline) => self.expire(*deadline),
            Op::Remove => self.remove(),
            Op::FlushDb | Op::FlushAll | Op::SwapDb(_) | Op::Rename { .. } => unreachable!("not about one key"),
            Op::Noop | Op::Bind(_) | Op::Verdict { .. } | Op::Serialize(_) => {}
            Op::Define(_) | Op::Undefine | Op::Moved(_) => unreachable!("not about one key"),
        }
    }

    /// What changes a part of a value finds none if it is at rest: whoever emitted it saw that it was given up.
    fn drop_husk(&mut self, op: &Op<'_>) {
        let whole = matches!(op, Op::Set { .. } | Op::Replace { .. } | Op::Snapshot { .. } | Op::Remove);
        if !whole && self.find().is_some_and(Entry::is_at_rest) {
            self.remove();
        }
    }

    fn name(&self) -> DbKey {
        (self.db, self.key.into())
    }

    fn find(&self) -> Option<&Entry> {
        self.shard.find(self.db, self.place.order, self.key)
    }

    fn note(&mut self, make: impl FnOnce(DbKey) -> Undo) {
        let name = if self.undo.is_some() { Some(self.name()) } else { None };
        if let (Some(undo), Some(name)) = (self.undo.as_deref_mut(), name) {
            undo.push(make(name));
        }
    }

    /// Takes the entry out: into the undo log, or aside to be freed.
    fn remove(&mut self) {
        if let Some(old) = self.shard.take(self.db, self.place, self.key, self.shared) {
            match self.undo {
                Some(_) => self.note(|name| Undo::Entry(name, Some(old))),
                None => self.shared.free(old),
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.note(|name| Undo::Entry(name, None));
        self.shard.put(self.db, self.place, entry, self.shared);
    }

    /// Makes sure that the key holds a value of `kind`: what is fresh, absent or of another type begins empty. Whether
    /// it had to make one.
    fn open(&mut self, kind: Kind) -> bool {
        match self.find().map(Entry::kind) {
            Some(found) if found == kind && !self.fresh => return false,
            Some(_) => self.remove(),
            None => {}
        }
        self.fresh = false;
        self.insert(Entry::empty(kind, self.key, None));
        true
    }

    /// Removes the entry if nothing is left in it.
    fn close(&mut self) {
        if self.find().is_some_and(is_empty_collection) {
            self.remove();
        }
    }

    /// Adds to a collection, which begins empty if there is none.
    fn add(&mut self, kind: Kind, change: impl FnOnce(&mut Self)) {
        let made = self.open(kind);
        self.keep_small();
        change(self);
        if made {
            self.close();
        }
    }

    /// Small values are kept whole for the undo log: cheaper and simpler than by element.
    fn keep_small(&mut self) {
        if self.undo.is_none() {
            return;
        }
        if let Some(Entry::Packed(clock, bytes)) = self.find() {
            let copy = Entry::Packed(clock.clone(), bytes.clone());
            self.note(|name| Undo::Entry(name, Some(copy)));
        }
    }

    /// Notes how a part of a large value is taken back.
    fn note_part(&mut self, make: impl FnOnce(&Self, DbKey) -> Undo) {
        if self.undo.is_none() || !self.find().is_some_and(|e| matches!(e, Entry::Big(..))) {
            return;
        }
        let undo = make(self, self.name());
        if let Some(log) = self.undo.as_deref_mut() {
            log.push(undo);
        }
    }

    #[inline]
    fn update<R>(&mut self, change: impl FnOnce(&mut Entry, &Limits) -> R) -> Option<R> {
        self.shard.update(self.db, self.place, self.key, self.shared, change)
    }

    #[inline]
    fn set(&mut self, value: &[u8], deadline: Deadline) {
        let old = self.find().map(|old| (may_overwrite(old, value) && self.undo.is_none(), old.deadline()));
        let deadline = match deadline {
            Deadline::Clear => None,
            Deadline::At(ms) => Some(ms),
            Deadline::Keep => old.and_then(|(_, deadline)| deadline).filter(|_| !self.fresh),
        };
        match old {
            Some((true, _)) => {
                self.update(|entry, _| {
                    entry.set_bytes(value);
                    entry.set_deadline(deadline);
                });
            }
            Some((false, _)) => {
                self.remove();
                self.insert(Entry::string(self.key, value, deadline));
            }
            None => self.insert(Entry::string(self.key, value, deadline)),
        }
    }

    /// Replaces a string by a function of itself; its deadline stays. What is fresh, absent or of another type was empty.
    fn string(&mut self, change: impl FnOnce(&[u8]) -> Vec<u8>) {
        let old = self.find().filter(|old| old.kind() == Kind::String && !self.fresh);
        let deadline = old.and_then(Entry::deadline).map_or(Deadline::Clear, Deadline::At);
        let bytes = change(old.map_or(b"", string));
        self.set(&bytes, deadline);
    }

    fn patch(&mut self, patch: &Patch<'_>) {
        self.open(Kind::String);
        let len = self.find().map_or(0, |e| string(e).len());
        let mut bits = [0u8; 9];
        let (offset, bytes) = match *patch {
            Patch::Append(bytes) => (len, bytes),
            Patch::Write { offset, bytes } => (offset as usize, bytes),
            Patch::Bits { offset, width, value } => {
                let first = (offset / 8) as usize;
                let whole = self.find().map_or(&[][..], string);
                let used = numeric::spliced_bits(whole, offset, width, value, &mut bits);
                (first, &bits[..used])
            }
        };
        if self.undo.is_some() {
            let whole = self.find().map_or(&[][..], string);
            let from = offset.min(len);
            let old = whole[from..len.min(offset.saturating_add(bytes.len()))].to_vec();
            self.note(|key| Undo::Bytes { key, len, offset: from, old });
        }
        self.update(|entry, _| entry.write_at(offset, bytes));
    }

    fn put(&mut self, kind: Kind, deadline: Deadline, items: &Items<'_>) {
        self.add(kind, |target| {
            for item in items.iter() {
                match kind {
                    Kind::Hash => target.put_field(deadline, &item),
                    Kind::Set => target.put_member(item.id),
                    Kind::ZSet => target.put_score(&item),
                    Kind::String | Kind::List => {}
                }
            }
        });
    }

    fn put_field(&mut self, deadline: Deadline, item: &Item<'_>) {
        let old = || self.find().and_then(Entry::hash).and_then(|hash| hash.get(item.id));
        let deadline = match deadline {
            Deadline::Clear => None,
            Deadline::Keep => old().and_then(|f| f.deadline),
            Deadline::At(ms) => Some(ms),
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
        self.note_part(|t, name| Undo::Field(name, item.id.to_vec(), t.field(item.id)));
        self.update(|entry, limits| hash_mut(entry, limits).insert(item.id, value, deadline));
    }

    fn put_member(&mut self, member: &[u8]) {
        if self.update(|entry, limits| set_mut(entry, limits).insert(member)) == Some(true) {
            self.note_part(|_, name| Undo::Member(name, member.to_vec(), false));
        }
    }

    fn put_score(&mut self, item: &Item<'_>) {
        let score = match item.value {
            ItemValue::Score(score) => score,
            ItemValue::ScoreDelta { from, to } => {
                let old = self.find().and_then(Entry::zset).and_then(|zset| zset.score(item.id));
                numeric::add_score(old.unwrap_or(0.0), from, to)
            }
            _ => return,
        };
        let old = self.update(|entry, limits| zset_mut(entry, limits).insert(item.id, score)).flatten();
        self.note_part(|_, name| Undo::Score(name, item.id.to_vec(), old));
    }

    fn drop_elements(&mut self, kind: Kind, ids: &Ids<'_>) {
        if self.find().map(Entry::kind) != Some(kind) {
            return;
        }
        self.keep_small();
        for id in ids.iter() {
            match kind {
                Kind::Hash => {
                    self.note_part(|t, name| Undo::Field(name, id.to_vec(), t.field(id)));
                    self.update(|entry, limits| hash_mut(entry, limits).remove(id));
                }
                Kind::Set => {
                    if self.update(|entry, limits| set_mut(entry, limits).remove(id)) == Some(true) {
                        self.note_part(|_, name| Undo::Member(name, id.to_vec(), true));
                    }
                }
                Kind::ZSet => {
                    if let Some(old) = self.update(|entry, limits| zset_mut(entry, limits).remove(id)).flatten() {
                        self.note_part(|_, name| Undo::Score(name, id.to_vec(), Some(old)));
                    }
                }
                Kind::String | Kind::List => {}
            }
        }
        self.close();
    }

    /// A field's value and deadline, owned.
    fn field(&self, name: &[u8]) -> Option<(Vec<u8>, Option<i64>)> {
        let found = self.find().and_then(Entry::hash).and_then(|hash| hash.get(name));
        found.map(|f| (f.value.to_vec(), f.deadline))
    }

    fn field_deadline(&mut self, name: &[u8], deadline: Option<i64>) {
        let Some((_, old)) = self.field(name) else { return };
        self.keep_small();
        self.note_part(|_, key| Undo::FieldDeadline(key, name.to_vec(), old));
        self.update(|entry, limits| hash_mut(entry, limits).set_deadline(name, deadline));
    }

    fn push(&mut self, side: Side, first: &ListPos, values: &Values<'_>) {
        let way = if side == Side::Head { -1 } else { 1 };
        self.add(Kind::List, |target| {
            for (i, value) in values.iter().enumerate() {
                target.insert_at(&first.step(way * i as i64), value);
            }
        });
    }

    fn insert_at(&mut self, pos: &ListPos, value: &[u8]) {
        if self.update(|entry, limits| list_mut(entry, limits).insert(pos, value)) == Some(true) {
            self.note_part(|_, name| Undo::Element(name, pos.clone(), None));
        }
    }

    /// The value at a position, owned.
    fn value_at(&self, pos: &ListPos) -> Option<Vec<u8>> {
        let list = self.find().and_then(Entry::list)?;
        list.get(list.index_of(pos)?).map(<[u8]>::to_vec)
    }

    fn set_at(&mut self, pos: &ListPos, value: &[u8]) {
        if self.find().map(Entry::kind) != Some(Kind::List) {
            return;
        }
        self.keep_small();
        self.note_part(|t, name| Undo::Element(name, pos.clone(), t.value_at(pos)));
        self.update(|entry, limits| list_mut(entry, limits).set(pos, value));
    }

    fn cut(&mut self, runs: &Runs<'_>) {
        if self.find().map(Entry::kind) != Some(Kind::List) {
            return;
        }
        self.keep_small();
        for (first, len) in runs.iter() {
            if len >= CUT_BY_CHUNKS
                && self.undo.is_none()
                && let Some(remains) = self.update(|entry, limits| list_mut(entry, limits).cut(&first, len)).flatten()
            {
                self.shared.reaper.free_remains(remains);
                continue;
            }
            for i in 0..len {
                let pos = first.step(i as i64);
                self.note_part(|t, name| Undo::Element(name, pos.clone(), t.value_at(&pos)));
                if self.update(|entry, limits| list_mut(entry, limits).remove(&pos)).is_none() {
                    return;
                }
            }
        }
        self.close();
    }

    fn replace(&mut self, value: &Folded<'_>, deadline: Deadline) {
        let deadline = match deadline {
            Deadline::Clear => None,
            Deadline::At(ms) => Some(ms),
            Deadline::Keep => self.find().and_then(Entry::deadline).filter(|_| !self.fresh),
        };
        self.remove();
        let mut entry = Entry::empty(value.kind(), self.key, None);
        fill(&mut entry, &self.shard.limits, value);
        if !is_empty_collection(&entry) {
            entry.set_deadline(deadline);
            self.insert(entry);
        }
    }

    fn expire(&mut self, deadline: Option<i64>) {
        let Some(old) = self.find().map(Entry::deadline) else { return };
        self.note(|name| Undo::Deadline(name, old));
        self.update(|entry, _| entry.set_deadline(deadline));
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

/// Brings in a piece of a large value that a snapshot holds: with the pieces before it, it is the key's value.
pub(crate) fn load_part(guards: &mut Guards<'_>, shared: &Shared, part: &format::Part<'_>) {
    let place = shared.place_of(part.key);
    let shard = guards.get_mut(place.shard).expect("every shard is locked while a snapshot is read");
    let mut target = Target { shard, shared, place, db: part.db, key: part.key, fresh: part.first, undo: None };
    if part.first {
        target.remove();
    }
    if target.find().map(Entry::kind) != Some(part.value.kind()) {
        target.remove();
        target.insert(Entry::empty(part.value.kind(), part.key, part.deadline));
    }
    target.update(|entry, limits| fill(entry, limits, &part.value));
}

/// Moves an entry, with its deadline, to another name. Nothing if there is none.
fn rename(guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, to: (u8, &[u8]), undo: UndoLog<'_>) {
    let locked = "the shards of a batch are locked before it is applied";
    let from_place = shared.place_of(effect.key);
    let to_place = shared.place_of(to.1);
    let source = guards.get_mut(from_place.shard).expect(locked);
    let Some(mut entry) = source.take(effect.db, from_place, effect.key, shared) else { return };
    entry.rename(to.1);
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
    shared.generation.fetch_add(1, Ordering::AcqRel);
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
