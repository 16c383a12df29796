//! The disk tiers at a start, at the end, and when one has to be given up.

use std::collections::HashSet;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use blob::Store;
use effect::{KeyspaceId, Op};
use wal::Position;

use super::Definition;
use super::space::{Space, open_tier, split_name, untagged};
use crate::context::Recycled;
use crate::engine::{Engine, Lock, Shared};
use crate::guards::Guards;
use crate::shard::DbKey;
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
    remove_orphans(&shared.dir.join(ROOT), &definitions.iter().map(|d| d.id.0.to_string()).collect());
    for definition in definitions.iter().filter(|definition| definition.disk_bytes > 0) {
        let Some(space) = shared.keyspaces.space(definition.id) else { continue };
        let dir = dir_of(&shared.dir, definition.id);
        let opened = open_tier(&dir, definition, &shared.clock).and_then(|store| {
            list(shared, &space, &store)?;
            Ok(store)
        });
        match opened {
            Ok(store) => *space.tier.write() = Some(store),
            Err(error) => {
                space.note_trouble(&error);
                engine.give_up_tier(&space);
                engine.begin_anew(&space, definition);
            }
        }
    }
}

/// Removes what belongs to no keyspace: a crash came between the end of one and the removal of its files.
fn remove_orphans(root: &Path, known: &HashSet<String>) {
    let Ok(found) = fs::read_dir(root) else { return };
    for entry in found.flatten() {
        if !entry.file_name().to_str().is_some_and(|name| known.contains(name))
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "the files of a former keyspace could not be removed");
        }
    }
}

/// Makes husks of what a disk tier holds. What is void, or in the log as well, is forgotten.
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
                let place = shared.place_of(key);
                let mut shard = shared.shards[usize::from(place.shard.0)].lock();
                match shard.find(db, place.order, key) {
                    None => shard.put(db, place, Entry::husk(key, kind, ends, space.id), shared),
                    // The log has it as well: it moved there, and the crash came before this was invalidated.
                    Some(_) => void.push(found.key),
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
                *space.tier.write() = tier;
                *space.trouble.lock() = None;
            }
            Err(error) => tracing::error!(keyspace = space.name, %error, "nor can it begin anew"),
        }
    }

    /// Brings to rest what is in RAM only, and ends the disk tiers: the next start finds all that they have room for.
    pub(crate) fn close_keyspaces(&self) {
        self.keyspace_worker.lock().take();
        for space in self.shared.keyspaces.spaces() {
            if space.tier.read().is_some() {
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
    /// filled anew. Answers the position in the log that says so.
    pub(super) fn make_tier_void(&self, space: &Arc<Space>, error: blob::Error) -> Position {
        if matches!(error, blob::Error::Busy(_)) {
            tracing::warn!(keyspace = space.name, %error, "the disk tier of a cache keyspace does not keep up and is emptied");
            return self.log_void(space, |_| true);
        }
        space.note_trouble(&error);
        self.give_up_tier(space)
    }

    /// Gives up a disk tier that does not work: its husks go, and what it holds is void, also after a restart. Answers
    /// the position in the log that says so.
    pub(super) fn give_up_tier(&self, space: &Arc<Space>) -> Position {
        let mut tier = None;
        let position = self.log_void(space, |space| {
            let broken = space.broken.swap(false, Ordering::AcqRel);
            if broken {
                tracing::error!(
                    keyspace = space.name,
                    error = space.trouble.lock().as_deref().unwrap_or("unknown"),
                    "the disk tier of a cache keyspace does not work; it is in RAM only until it is defined anew"
                );
                tier = space.tier.write().take();
            }
            broken
        });
        // Ending it may wait for the disk, so that comes when the locks are free.
        drop(tier);
        position
    }

    /// Says that what a disk tier holds is void, if `may` says so with every shard locked.
    fn log_void(&self, space: &Arc<Space>, may: impl FnOnce(&Space) -> bool) -> Position {
        let mut recycled = Recycled::new();
        let mut context = self.context(Lock::All, 0, self.now_ms(), &mut recycled);
        if !may(space) {
            return context.state.applied();
        }
        drop_husks(&self.shared, &mut context.state.guards, space);
        context.out.about_space(space.id, b"", Op::FlushAll);
        match context.commit() {
            Ok(committed) => committed.position,
            Err(refusal) => {
                // Then nothing can be promised about a restart; what runs now does not look there any more.
                tracing::error!(keyspace = space.name, %refusal, "that a disk tier is void could not be logged");
                space.void(None);
                Position::START
            }
        }
    }
}

/// Takes all husks of a keyspace away; every shard is locked.
fn drop_husks(shared: &Shared, guards: &mut Guards<'_>, space: &Space) {
    for shard in guards.iter_mut() {
        let mut husks: Vec<DbKey> = Vec::new();
        shard.scan_husks(shared, space.id, (0, 0), usize::MAX, |db, husk| husks.push((db, husk.key().into())));
        for (db, key) in &husks {
            drop(shard.take(*db, shared.place_of(key), key, shared));
        }
    }
}
