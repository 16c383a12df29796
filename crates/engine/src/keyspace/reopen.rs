//! Opening a disk tier anew while clients are served: its bounds have changed, or one that failed is tried again.
//!
//! ```text
//!  settle ─▶ away: journal, nothing is found ─▶ close ─▶ open by the new bounds ─▶ hide what was hidden meanwhile ─▶ back
//! ```
//! *Invariant:* no shard is locked while a store is closed or opened. A tier comes and goes with every shard locked, in a
//! moment of memory only: a command that has found nothing sees none come.
//! *Invariant:* what was hidden while the tier was away is hidden before anybody can look there again, and is in the
//! journal before anybody is told of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::time::{Duration, Instant};

use blob::{Error, Store};

use super::Definition;
use super::open::{dir_of, remove_dir};
use super::space::{Space, open_tier};
use super::tier::{Away, Tier};
use crate::context::Recycled;
use crate::engine::{Engine, Lock};
use crate::limits::{AWAY_NAMES, AWAY_ROUNDS, TIER_WAIT};

impl Engine {
    /// Opens the disk tier anew if somebody has asked for it.
    pub(super) fn reopen_if_asked(&self, space: &Arc<Space>) {
        if !space.reopen.swap(false, AcqRel) {
            return;
        }
        let definition = self.shared.keyspaces.definitions().into_iter().find(|definition| definition.id == space.id);
        definition.into_iter().for_each(|definition| self.reopen(space, &definition, &mut || {}));
    }

    /// Opens the disk tier as `definition` has it; `between` runs while there is none.
    pub(super) fn reopen(&self, space: &Arc<Space>, definition: &Definition, between: &mut dyn FnMut()) {
        let dir = dir_of(&self.shared.dir, space.id);
        if definition.disk_bytes == 0 {
            self.retire_tier(space, &dir);
            return;
        }
        let done = match space.store() {
            Some(store) => self.reopen_store(space, definition, store, &dir, between),
            // Whatever is there is void.
            None => self.open_new_tier(definition).map(|tier| {
                forget_trouble(space, definition);
                *space.tier.write() = tier.into();
            }),
        };
        if let Err(error) = done {
            space.note_trouble(&error);
            self.give_up_tier(space);
        }
    }

    fn reopen_store(
        &self,
        space: &Arc<Space>,
        definition: &Definition,
        store: Store,
        dir: &Path,
        between: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        let Some(away) = self.send_away(space, definition, &store, dir)? else { return Ok(()) };
        if let Err(error) = store.close() {
            // What was promised is on disk. What was not is absent.
            tracing::warn!(keyspace = space.name, %error, "the disk tier could not be closed");
        }
        drop(store);
        between();
        let store = self.open_patiently(definition, dir)?;
        // What is left to be done under the lock should be little.
        for _ in 0..AWAY_ROUNDS {
            if away.len() <= AWAY_NAMES {
                break;
            }
            hide_all(&store, &away)?;
        }
        self.bring_back(space, definition, store, &away);
        Ok(())
    }

    /// Puts a journal in the place of the disk tier; `None` if it was given up at the last moment.
    fn send_away(
        &self,
        space: &Arc<Space>,
        definition: &Definition,
        store: &Store,
        dir: &Path,
    ) -> Result<Option<Arc<Away>>, Error> {
        let _turn = space.settling.lock();
        self.settle_in_turn(space);
        let syncs = definition.fsync || space.syncs.load(Relaxed);
        let away = Away::begin(dir, syncs, store.stats().disk_bytes);
        let away = Arc::new(away.map_err(|e| Error::io("beginning a journal of hidden records", e))?);
        let mut recycled = Recycled::new();
        let _all = self.context(Lock::All, 0, self.now_ms(), &mut recycled);
        let mut tier = space.tier.write();
        if tier.store().is_none() {
            return Ok(None);
        }
        // Hidden a moment ago: the store that comes must write their tombstones.
        space.stale().iter().for_each(|name| away.hide(name));
        *tier = Tier::Away(Arc::clone(&away));
        Ok(Some(away))
    }

    /// Somebody may still hold the closed store for a moment, and with it the directory.
    fn open_patiently(&self, definition: &Definition, dir: &Path) -> Result<Store, Error> {
        let end = Instant::now() + TIER_WAIT;
        loop {
            match open_tier(dir, definition, &self.shared) {
                Err(Error::Locked) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                opened => return opened,
            }
        }
    }

    fn bring_back(&self, space: &Arc<Space>, definition: &Definition, store: Store, away: &Away) {
        let _turn = space.settling.lock();
        let Some(names) = self.install(space, definition, &store, away) else {
            // It was given up meanwhile.
            drop(store);
            remove_dir(&dir_of(&self.shared.dir, space.id));
            return;
        };
        if let Err(error) = space.invalidate(&names) {
            self.make_tier_void(space, error);
        }
        if let Err(error) = away.end() {
            tracing::warn!(keyspace = space.name, %error, "a journal could not be removed; what it names may be missing after a restart");
        }
    }

    /// Puts the store in its place; answers what it has hidden first. `None` if it is not waited for any more.
    fn install(&self, space: &Space, definition: &Definition, store: &Store, away: &Away) -> Option<Vec<Vec<u8>>> {
        let mut recycled = Recycled::new();
        let _all = self.context(Lock::All, 0, self.now_ms(), &mut recycled);
        let mut tier = space.tier.write();
        if !matches!(*tier, Tier::Away(_)) {
            return None;
        }
        let names: Vec<Vec<u8>> = away.take_names().into_iter().collect();
        names.iter().for_each(|name| {
            store.hide(name);
        });
        forget_trouble(space, definition);
        *tier = Tier::Open(store.clone());
        Some(names)
    }

    /// Ends the disk tier for good. What it held is void, also if there is one again later.
    fn retire_tier(&self, space: &Arc<Space>, dir: &Path) {
        let _turn = space.settling.lock();
        let mut store = None;
        // If the log does not take it, the files go all the same.
        self.log_void(space, |space| {
            store = space.tier.write().take();
            true
        });
        drop(store);
        remove_dir(dir);
        space.broken.store(false, Relaxed);
        *space.trouble.lock() = None;
    }
}

/// Hides and invalidates what was hidden while the store was away.
fn hide_all(store: &Store, away: &Away) -> Result<(), Error> {
    let names = away.take_names();
    names.iter().for_each(|name| {
        store.hide(name);
    });
    store.invalidate(names.iter().map(Vec::as_slice))
}

/// A disk tier comes that has nothing to do with what happened to the one before.
fn forget_trouble(space: &Space, definition: &Definition) {
    space.broken.store(false, Relaxed);
    *space.trouble.lock() = None;
    space.syncs.store(definition.fsync, Relaxed);
    // What is void was forgotten in memory only; and the store may have dropped what its bounds do not allow.
    space.garbage.store(true, Relaxed);
    space.hollow.store(true, Relaxed);
}
