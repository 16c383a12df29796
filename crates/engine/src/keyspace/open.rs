//! The disk tiers at a start, at the end, and when one has to be given up.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use blob::Store;
use effect::{KeyspaceId, Op};

use super::Definition;
use super::space::{Space, open_tier, split_name, untagged};
use super::tier::{Tier, read_journal, remove_journal};
use crate::context::Recycled;
use crate::engine::{Engine, Lock, Shared};
use crate::value::Entry;

/// Where the disk tiers are, within the data directory.
const ROOT: &str = "keyspaces";

/// Where a keyspace's disk tier is.
pub(super) fn dir_of(root: &Path, id: KeyspaceId) -> PathBuf {
    root.join(ROOT).join(id.0.to_string())
}

/// Opens the disk tiers of all keyspaces, and lists what they hold as husks. One that cannot be opened is given up.
pub(crate) fn open_all(engine: &Engine) {
    let shared = &*engine.shared;
    let definitions = shared.keyspaces.definitions();
    let tiered = || definitions.iter().filter(|definition| definition.disk_bytes > 0);
    // What is there of one without a disk tier was to be removed.
    remove_orphans(&shared.dir.join(ROOT), &tiered().map(|d| d.id.0.to_string()).collect());
    for definition in tiered() {
        let Some(space) = shared.keyspaces.space(definition.id) else { continue };
        let dir = dir_of(&shared.dir, definition.id);
        let opened = open_tier(&dir, definition, shared).and_then(|store| {
            hide_journalled(&store, &dir)?;
            list(shared, &space, &store)?;
            Ok(store)
        });
        match opened {
            Ok(store) => *space.tier.write() = Tier::Open(store),
            Err(error) => {
                space.note_trouble(&error);
                engine.give_up_tier(&space);
                engine.begin_anew(&space, definition);
            }
        }
    }
    engine.settle();
    shared.keyspaces.opened();
}

/// Says of each disk tier in the data directory `dir` what state it is in. Damage there costs a cache values, and hinders no start.
pub(crate) fn inspect_tiers(dir: &Path, found: &mut Vec<String>) {
    let Ok(tiers) = fs::read_dir(dir.join(ROOT)) else { return };
    let mut tiers: Vec<_> = tiers.flatten().map(|entry| entry.path()).collect();
    tiers.sort_unstable();
    for tier in tiers {
        let state = match blob::check(&tier) {
            Ok(report) => match report.problems.first() {
                None => format!("good: {} records", report.records),
                Some(first) => format!(
                    "{} problems, the first in {} at offset {}: {}; a cache may lose values, this hinders no start",
                    report.problems.len(),
                    first.file,
                    first.offset,
                    first.what
                ),
            },
            Err(error) => format!("cannot be read: {error}; a cache may lose values, this hinders no start"),
        };
        found.push(format!("disk tier of a cache, {}: {state}", tier.display()));
    }
}

/// Removes what belongs to no keyspace: a crash came between the end of one and the removal of its files.
fn remove_orphans(root: &Path, known: &HashSet<String>) {
    let Ok(found) = fs::read_dir(root) else { return };
    let orphans = found.flatten().filter(|entry| !entry.file_name().to_str().is_some_and(|name| known.contains(name)));
    orphans.for_each(|entry| remove_dir(&entry.path()));
}

/// Removes the files of a disk tier that is no more.
pub(super) fn remove_dir(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(path = %dir.display(), %error, "the files of a former disk tier could not be removed");
    }
}

/// A stop came while the tier was opened anew: what was hidden meanwhile stays hidden.
fn hide_journalled(store: &Store, dir: &Path) -> Result<(), blob::Error> {
    let mut names = read_journal(dir).map_err(|e| blob::Error::io("reading the journal of hidden records", e))?;
    invalidate(store, &mut names)?;
    remove_journal(dir).map_err(|e| blob::Error::io("removing the journal of hidden records", e))
}

/// Makes husks of what a disk tier holds. What is void, in the log as well, or of a name that belongs elsewhere, is
/// forgotten for good.
fn list(shared: &Shared, space: &Arc<Space>, store: &Store) -> Result<(), blob::Error> {
    let now_ms = (shared.clock)();
    let mut void = Vec::new();
    for found in store.range(Bound::Unbounded, Bound::Unbounded)? {
        let found = found?;
        let Some((generation, db, key)) = split_name(&found.key) else { continue };
        let current = space.generation(db);
        let value = found.expires_ms.and_then(untagged).filter(|_| generation == current);
        match value {
            Some((_, ends)) if ends.at.is_some_and(|at| at <= now_ms) => {}
            Some((kind, ends)) if space.surplus_husks() == 0 => {
                if !put_husk(shared, space, db, Entry::husk(key, kind, ends, space.id)) {
                    void.push(found.key);
                }
            }
            // An earlier generation never becomes valid again.
            _ if generation <= current => {
                store.hide(&found.key);
            }
            // This one might: the log has lost the end of what it said.
            _ => void.push(found.key),
        }
        if void.len() >= VOID_BATCH {
            invalidate(store, &mut void)?;
        }
    }
    invalidate(store, &mut void)
}

/// Puts a husk in its place, unless the value is another's.
fn put_husk(shared: &Shared, space: &Arc<Space>, db: u8, husk: Entry) -> bool {
    let keyspaces = &shared.keyspaces;
    let own = keyspaces.id_of_key(husk.key()) == space.id;
    // It was evicted here before its name came to belong elsewhere, and has been written there since, or deleted.
    if !own && !keyspaces.is_moving() {
        return false;
    }
    let place = shared.place_of(husk.key());
    let mut shard = shared.shards[usize::from(place.shard.0)].lock();
    match shard.find(db, place.order, husk.key()).map(Entry::rests_in) {
        None => {}
        // Whoever writes a key that moves takes it to its owner first.
        Some(Some(other)) if own => {
            let name = |other: &Space| other.name_of(db, husk.key());
            keyspaces.space(other).into_iter().for_each(|other| other.hide(name(&other)));
            shard.take(db, place, husk.key(), shared);
        }
        // The log has it as well: it moved there, and the crash came before this was invalidated.
        Some(_) => return false,
    }
    shard.put(db, place, husk, shared);
    true
}

/// Names that are invalidated together.
const VOID_BATCH: usize = 1024;

fn invalidate(store: &Store, names: &mut Vec<Vec<u8>>) -> Result<(), blob::Error> {
    names.iter().for_each(|name| {
        store.hide(name);
    });
    store.invalidate(std::mem::take(names).iter().map(Vec::as_slice))
}

impl Engine {
    /// What was there is void: if the disk works the tier begins empty.
    fn begin_anew(&self, space: &Space, definition: &Definition) {
        match self.open_new_tier(definition) {
            Ok(tier) => {
                *space.tier.write() = tier.into();
                *space.trouble.lock() = None;
            }
            Err(error) => tracing::error!(keyspace = space.name, %error, "nor can it begin anew"),
        }
    }

    /// Brings to rest what is in RAM only, and ends the disk tiers: the next start finds all that they have room for.
    pub(crate) fn close_keyspaces(&self) {
        self.keyspace_worker.lock().take();
        for space in self.shared.keyspaces.spaces() {
            if space.store().is_some() {
                self.shared.rest_all(&space);
            }
            if let Some(store) = space.tier.write().take()
                && let Err(error) = store.close()
            {
                tracing::warn!(keyspace = space.name, %error, "the disk tier could not be closed; it may be cold at the next start");
            }
        }
    }

    /// A record could not be invalidated: all that the disk tier holds is void. One that is merely too busy is kept, and
    /// filled anew.
    pub(super) fn make_tier_void(&self, space: &Arc<Space>, error: blob::Error) {
        if !matches!(error, blob::Error::Busy(_)) {
            space.note_trouble(&error);
            self.give_up_tier(space);
            return;
        }
        tracing::warn!(keyspace = space.name, %error, "the disk tier of a cache keyspace does not keep up and is emptied");
        if !self.log_void(space, |_| true) {
            let store = space.tier.write().take();
            self.destroy_tier(space, store);
        }
    }

    /// Gives up a disk tier that does not work: what it holds is void, also after a restart.
    pub(super) fn give_up_tier(&self, space: &Arc<Space>) {
        let mut store = None;
        let logged = self.log_void(space, |space| {
            let broken = space.broken.swap(false, Ordering::AcqRel);
            if broken {
                tracing::error!(
                    keyspace = space.name,
                    error = space.trouble.lock().as_deref().unwrap_or("unknown"),
                    "the disk tier of a cache keyspace does not work; it is in RAM only until it is defined anew"
                );
                store = space.tier.write().take();
            }
            broken
        });
        match logged {
            // Ending it may wait for the disk, so that comes when the locks are free.
            true => drop(store),
            false => self.destroy_tier(space, store),
        }
    }

    /// Says that what a disk tier holds is void, if `may` says so with every shard locked. False: the log does not take it.
    pub(super) fn log_void(&self, space: &Arc<Space>, may: impl FnOnce(&Space) -> bool) -> bool {
        let mut recycled = Recycled::new();
        let mut context = self.context(Lock::All, 0, self.now_ms(), &mut recycled);
        if !may(space) {
            return true;
        }
        context.out.about_space(space.id, b"", Op::FlushAll);
        match context.commit() {
            Ok(committed) => {
                space.voided.fetch_max(committed.position.get(), Ordering::AcqRel);
                true
            }
            Err(refusal) => {
                tracing::error!(keyspace = space.name, %refusal, "that a disk tier is void could not be logged");
                space.void(None);
                false
            }
        }
    }

    /// What a disk tier holds is void and the log does not say so: then it must not be there at the next start.
    fn destroy_tier(&self, space: &Space, store: Option<Store>) {
        space.trouble.lock().get_or_insert_with(|| "it was void, and the log took no record of that".into());
        if let Some(Err(error)) = store.as_ref().map(Store::close) {
            tracing::warn!(keyspace = space.name, %error, "the disk tier could not be closed");
        }
        drop(store);
        remove_dir(&dir_of(&self.shared.dir, space.id));
    }
}
