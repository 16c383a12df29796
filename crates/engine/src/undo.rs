//! What takes back effects that were applied before their commit.

use effect::ListPos;

use crate::engine::Shared;
use crate::guards::Guards;
use crate::shard::{Db, DbKey, ShardId, WatchFlag};
use crate::state::State;
use crate::typed::{hash_mut, list_mut, set_mut, zset_mut};
use crate::value::Entry;

/// How one change is taken back. Values that were replaced are moved here, not copied.
pub(crate) enum Undo {
    /// The key was this entry, or absent.
    Entry(DbKey, Option<Entry>),
    /// The key's deadline was this.
    Deadline(DbKey, Option<i64>),
    /// The string had this length, and these bytes from the offset on.
    Bytes { key: DbKey, len: usize, offset: usize, old: Vec<u8> },
    /// The field had this value and deadline, or was absent.
    Field(DbKey, Vec<u8>, Option<(Vec<u8>, Option<i64>)>),
    /// The field had this deadline.
    FieldDeadline(DbKey, Vec<u8>, Option<i64>),
    /// The set held the member, or not.
    Member(DbKey, Vec<u8>, bool),
    /// The member had this score, or was absent.
    Score(DbKey, Vec<u8>, Option<f64>),
    /// The list had this value at the position, or nothing.
    Element(DbKey, ListPos, Option<Vec<u8>>),
    /// The value moved between two names; the second held this.
    Renamed { from: DbKey, to: DbKey, replaced: Option<Entry> },
    /// The physical database held these tables, by shard.
    Flush(u8, Vec<Option<Box<Db>>>),
    /// Two logical databases were exchanged.
    Swap(u8, u8),
    /// Nothing to take back: those who watch keys of a whole database, to be told once it is sure that it changed.
    Watched(Vec<WatchFlag>),
}

/// Takes back, last first, what was applied beyond the first `keep` changes.
#[inline]
pub(crate) fn undo_to(state: &mut State<'_>, keep: usize) {
    if state.undo.len() > keep {
        take_back_to(state, keep);
    }
    state.lent.truncate(keep);
}

#[cold]
fn take_back_to(state: &mut State<'_>, keep: usize) {
    let shared = state.shared;
    while state.undo.len() > keep {
        let undo = state.undo.pop().expect("the length was just tested");
        take_back(&mut state.guards, shared, undo);
    }
}

/// The changes stay: hands what they replaced to the reaper, and tells those who watch whole databases.
#[inline]
pub(crate) fn forget(undo: &mut Vec<Undo>, shared: &Shared) {
    if !undo.is_empty() {
        let_go(undo, shared);
    }
}

fn let_go(undo: &mut Vec<Undo>, shared: &Shared) {
    let mut undo = std::mem::take(undo);
    for undo in &mut undo {
        match undo {
            Undo::Watched(flags) => flags.iter().for_each(WatchFlag::set_dirty),
            Undo::Flush(db, tables) => shared.checkpoints.emptied(shared, *db, std::mem::take(tables)),
            Undo::Entry(_, old) | Undo::Renamed { replaced: old, .. } => {
                old.take().into_iter().for_each(|entry| shared.free(entry));
            }
            _ => {}
        }
    }
    // Of a million changed elements the records alone take long to free.
    shared.reaper.free_undo(undo);
}

fn take_back(guards: &mut Guards<'_>, shared: &Shared, undo: Undo) {
    match undo {
        Undo::Entry(key, old) => {
            take(guards, shared, &key);
            put(guards, shared, key.0, old);
        }
        Undo::Renamed { from, to, replaced } => {
            let moved = take(guards, shared, &to);
            put(guards, shared, to.0, replaced);
            put(
                guards,
                shared,
                from.0,
                moved.map(|mut entry| {
                    entry.rename(&from.1);
                    entry
                }),
            );
        }
        Undo::Flush(db, tables) => {
            for (id, (shard, table)) in (0..=u8::MAX).map(ShardId).zip(guards.iter_mut().zip(tables)) {
                shard.set_db(db, table, id, shared);
            }
        }
        Undo::Swap(a, b) => shared.swap_dbs(a, b),
        Undo::Watched(_) => {}
        other => take_back_part(guards, shared, other),
    }
}

fn take(guards: &mut Guards<'_>, shared: &Shared, (db, key): &DbKey) -> Option<Entry> {
    let place = shared.place_of(key);
    guards.get_mut(place.shard).expect("what was changed is locked").take(*db, place, key, shared)
}

fn put(guards: &mut Guards<'_>, shared: &Shared, db: u8, entry: Option<Entry>) {
    let Some(entry) = entry else { return };
    let place = shared.place_of(entry.key());
    guards.get_mut(place.shard).expect("what was changed is locked").put(db, place, entry, shared);
}

/// Changes of parts of a value that is still there.
fn take_back_part(guards: &mut Guards<'_>, shared: &Shared, undo: Undo) {
    let (db, key) = match &undo {
        Undo::Deadline(key, _) | Undo::Bytes { key, .. } | Undo::Field(key, ..) | Undo::FieldDeadline(key, ..) => key,
        Undo::Member(key, ..) | Undo::Score(key, ..) | Undo::Element(key, ..) | Undo::Entry(key, _) => key,
        Undo::Flush(..) | Undo::Swap(..) | Undo::Watched(_) | Undo::Renamed { .. } => {
            unreachable!("not about a part of a value")
        }
    };
    let place = shared.place_of(key);
    let shard = guards.get_mut(place.shard).expect("what was changed is locked");
    shard.update(*db, place, key, shared, |entry, limits| match &undo {
        Undo::Deadline(_, old) => entry.set_deadline(*old),
        Undo::Bytes { len, offset, old, .. } => {
            entry.write_at(*offset, old);
            entry.truncate(*len);
        }
        Undo::Field(_, name, Some((value, deadline))) => {
            hash_mut(entry, limits).insert(name, value, *deadline);
        }
        Undo::Field(_, name, None) => {
            hash_mut(entry, limits).remove(name);
        }
        Undo::FieldDeadline(_, name, old) => {
            hash_mut(entry, limits).set_deadline(name, *old);
        }
        Undo::Member(_, member, true) => {
            set_mut(entry, limits).insert(member);
        }
        Undo::Member(_, member, false) => {
            set_mut(entry, limits).remove(member);
        }
        Undo::Score(_, member, Some(score)) => {
            zset_mut(entry, limits).insert(member, *score);
        }
        Undo::Score(_, member, None) => {
            zset_mut(entry, limits).remove(member);
        }
        Undo::Element(_, pos, Some(value)) => {
            let mut list = list_mut(entry, limits);
            if !list.set(pos, value) {
                list.insert(pos, value);
            }
        }
        Undo::Element(_, pos, None) => {
            list_mut(entry, limits).remove(pos);
        }
        Undo::Entry(..) | Undo::Renamed { .. } | Undo::Flush(..) | Undo::Swap(..) | Undo::Watched(_) => {
            unreachable!("not about a part of a value")
        }
    });
}
