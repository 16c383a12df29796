//! Keyspaces: which key belongs to which, and how those of mode `cache` are kept.
//!
//! ```text
//!            commit ─▶ queue notes the value ─▶ tombstone for what was at rest ─▶ reply
//!  value in RAM ──── above the bound: SIEVE, folded ────▶ disk tier (blob), husk in RAM ─── given up ──▶ gone
//!         ▲───────────────── Miss, loaded without a lock ───────┘
//! ```
//! A key of a cache stands in the tables of its shard as any other. What is not logged is left out at the commit
//! (`commit`), what is too much goes to disk or altogether (`demote`), what is missed comes back (`load`).
//!
//! *Invariant:* with no shard locked by anybody, what the disk tier gives for a key is what RAM holds for it, or the
//! value of its husk, or nothing. For a key that RAM does not know it may give the last value, which was evicted:
//! nobody asks for it, and whoever writes the key has it forgotten.
//! *Invariant:* definitions change only while every shard is locked; whoever holds one sees them stand still.
//!
//! Keyspaces of a group (`group`) are a matter of their own: they have no mode, and no node has both kinds.
//!
//! Locks, in this order: `admin`, `settling`, shards, `registry`, `group` or a keyspace's `tier`. None of the last two is held
//! while something waits for a shard or for a disk.

mod admin;
mod cached;
mod commit;
mod definition;
mod demote;
mod figures;
mod group;
mod load;
mod moves;
mod open;
mod reopen;
mod sieve;
mod space;
#[cfg(test)]
mod tests;
mod tier;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use effect::{Effect, KeyspaceId, Op};
use parking_lot::{Mutex, RwLock};

pub use admin::{KeyspaceChange, KeyspaceError};
pub(crate) use cached::Cached;
pub use commit::Aftermath;
pub(crate) use commit::{Aside, is_logged};
pub use definition::Definition;
pub(crate) use definition::Saved;
pub use figures::KeyspaceFigures;
pub use group::GroupKeyspaceChange;
use group::GroupTable;
pub(crate) use group::with_definition;
pub(crate) use open::{inspect_tiers, open_all};
pub(crate) use space::Space;
pub(crate) use worker::Worker;

/// All keyspaces but `default`.
pub(crate) struct Keyspaces {
    /// There is any.
    active: AtomicBool,
    /// Keys may not be where the definitions put them.
    moving: AtomicBool,
    /// Patterns have changed since the start: a disk tier may have records, of values that it has evicted, whose names
    /// belong elsewhere by now.
    mixed: AtomicBool,
    registry: RwLock<Registry>,
    /// Held while definitions are changed.
    pub(crate) admin: Mutex<()>,
    /// Those of the group that the server is a node of.
    pub(crate) group: GroupTable,
}

struct Registry {
    next_id: u16,
    epoch: u64,
    moved: u64,
    /// In the order in which they are asked.
    list: Vec<(Definition, Arc<Space>)>,
}

impl Default for Keyspaces {
    fn default() -> Self {
        let registry = RwLock::new(Registry { next_id: 1, epoch: 0, moved: 0, list: Vec::new() });
        let no = || AtomicBool::new(false);
        Self { active: no(), moving: no(), mixed: no(), registry, admin: Mutex::new(()), group: GroupTable::default() }
    }
}

impl Keyspaces {
    /// Whether there is any keyspace but `default`. Exact while a shard is locked.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether keys may not be where the definitions put them. Exact while a shard is locked.
    #[inline]
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Relaxed)
    }

    /// Whether a disk tier may have evicted what belongs elsewhere by now. Exact while a shard is locked.
    pub(crate) fn is_mixed(&self) -> bool {
        self.mixed.load(Ordering::Relaxed)
    }

    /// The disk tiers have been opened: they have nothing of what belongs elsewhere, unless it is still to be moved.
    pub(crate) fn opened(&self) {
        self.mixed.store(self.is_moving(), Ordering::Relaxed);
    }

    /// The keyspace of a key.
    pub(crate) fn id_of_key(&self, key: &[u8]) -> KeyspaceId {
        let registry = self.registry.read();
        let found = registry.list.iter().find(|(definition, _)| definition.matches(key));
        found.map_or(KeyspaceId::DEFAULT, |(definition, _)| definition.id)
    }

    /// The keyspace with this number.
    pub(crate) fn space(&self, id: KeyspaceId) -> Option<Arc<Space>> {
        let registry = self.registry.read();
        registry.list.iter().find(|(definition, _)| definition.id == id).map(|(_, space)| Arc::clone(space))
    }

    /// All of them.
    pub(crate) fn spaces(&self) -> Vec<Arc<Space>> {
        self.registry.read().list.iter().map(|(_, space)| Arc::clone(space)).collect()
    }

    /// Those of which somebody has hidden records that are not invalidated yet.
    fn unsettled(&self) -> Vec<Arc<Space>> {
        let registry = self.registry.read();
        let spaces = registry.list.iter().map(|(_, space)| space);
        spaces.filter(|space| space.unsettled.load(Ordering::Acquire) > 0).map(Arc::clone).collect()
    }

    /// All definitions, in the order in which they are asked.
    pub(crate) fn definitions(&self) -> Vec<Definition> {
        self.registry.read().list.iter().map(|(definition, _)| definition.clone()).collect()
    }

    /// The number of the next keyspace, how often definitions have changed, and up to which change keys have moved.
    pub(crate) fn counters(&self) -> (u16, u64, u64) {
        let registry = self.registry.read();
        (registry.next_id, registry.epoch, registry.moved)
    }

    /// Counts a look-up, if the key belongs to a cache.
    #[cold]
    pub(crate) fn count_lookup(&self, key: &[u8], found: bool) {
        let registry = self.registry.read();
        if let Some((_, space)) = registry.list.iter().find(|(definition, _)| definition.matches(key)) {
            let counter = if found { &space.figures.hits } else { &space.figures.misses };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a checkpoint must hold.
    pub(crate) fn save(&self) -> Saved {
        let registry = self.registry.read();
        let list = registry.list.iter().map(|(definition, space)| (definition.clone(), space.generations()));
        Saved { next_id: registry.next_id, epoch: registry.epoch, moved: registry.moved, list: list.collect() }
    }

    /// What a checkpoint held.
    pub(crate) fn restore(&self, saved: Saved) {
        let mut registry = self.registry.write();
        let make = |(definition, generations): (Definition, Vec<(u8, u32)>)| {
            let space = Space::new(&definition);
            space.set_generations(&generations);
            (definition, Arc::new(space))
        };
        let list = saved.list.into_iter().map(make).collect();
        *registry = Registry { next_id: saved.next_id, epoch: saved.epoch, moved: saved.moved, list };
        self.follow(&registry);
    }

    /// Sets what is asked without the lock.
    fn follow(&self, registry: &Registry) {
        self.active.store(!registry.list.is_empty(), Ordering::Relaxed);
        self.moving.store(registry.moved < registry.epoch, Ordering::Relaxed);
    }

    /// Carries out an effect on definitions; every shard is locked.
    pub(crate) fn apply(&self, effect: &Effect<'_>) {
        let mut registry = self.registry.write();
        match &effect.op {
            Op::Define(op) => {
                let mixes = registry.define(Definition::of(effect.keyspace, effect.key, op));
                self.mixed.fetch_or(mixes, Ordering::Relaxed);
            }
            Op::Undefine => {
                registry.epoch += 1;
                registry.moved += 1;
                registry.list.retain(|(definition, _)| definition.id != effect.keyspace);
            }
            Op::Moved(epoch) => registry.moved = *epoch,
            _ => {}
        }
        self.follow(&registry);
    }

    /// Makes void what is at rest of databases that were emptied, or of a keyspace whose disk tier is not to be believed.
    pub(crate) fn note_flush(&self, effect: &Effect<'_>) {
        let db = match effect.op {
            Op::FlushDb => Some(effect.db),
            Op::FlushAll => None,
            _ => return,
        };
        let all = effect.keyspace == KeyspaceId::DEFAULT;
        let registry = self.registry.read();
        let concerned = registry.list.iter().filter(|(definition, _)| all || definition.id == effect.keyspace);
        concerned.for_each(|(_, space)| space.void(db));
    }
}

impl Registry {
    /// Whether names that belonged to the keyspace may belong elsewhere now.
    fn define(&mut self, definition: Definition) -> bool {
        self.next_id = self.next_id.max(definition.id.0.saturating_add(1));
        self.epoch = self.epoch.max(definition.epoch);
        match self.list.iter_mut().find(|(known, _)| known.id == definition.id) {
            Some((known, space)) => {
                space.set_bounds(&definition);
                let mixes = definition.leaving || definition.patterns != known.patterns;
                *known = definition;
                mixes
            }
            None => {
                let space = Arc::new(Space::new(&definition));
                self.list.push((definition, space));
                false
            }
        }
    }
}
