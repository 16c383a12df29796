//! Keys that a change of definitions puts elsewhere.
//!
//! A key moves in one batch: out of where it is held (a removal there) and into where it belongs (its whole value). Into a
//! cache the removal is logged and the value is not; out of one it is the other way round. Whoever is about to write a
//! key moves it first; the background job moves those that nobody writes.
//!
//! *Invariant:* while no definitions are `moving`, every key is held by the keyspace that its name belongs to.

use std::time::Instant;

use effect::{Deadline, KeyspaceId, Op};

use super::Definition;
use super::open::{dir_of, remove_dir};
use crate::context::{Context, Recycled};
use crate::digest::{fold, unfold};
use crate::engine::{Engine, Lock, Shared};
use crate::limits::{LOAD_TRIES, MOVE_KEYS, MOVE_PAUSE, SHARDS};
use crate::shard::DbKey;
use crate::stop::{Miss, Stop};
use crate::value::Entry;

impl Context<'_> {
    /// Whether keys may be held elsewhere than where their names put them: whoever writes one claims it before.
    #[inline]
    pub fn is_moving(&self) -> bool {
        self.shared.keyspaces.is_moving()
    }

    /// Moves a key of logical database `db` to the keyspace that its name belongs to, if it is held elsewhere.
    pub fn claim(&mut self, db: u8, key: &[u8]) -> Result<(), Stop> {
        let (shared, physical) = (self.shared, self.shared.physical(db));
        let place = shared.place_of(key);
        let shard = self.state.shard(place.shard)?;
        let Some(entry) = shard.find(physical, place.order, key) else { return Ok(()) };
        let cached = shard.db(physical).and_then(|tables| tables.cached.as_ref());
        let holder = cached.and_then(|cached| cached.holder(place.order, entry)).unwrap_or(KeyspaceId::DEFAULT);
        let owner = shared.keyspaces.id_of_key(key);
        if holder == owner {
            return Ok(());
        }
        let now_ms = self.state.now_ms;
        let expired = entry.ends().at.is_some_and(|at| at <= now_ms);
        if entry.is_at_rest()
            && !expired
            && shared.keyspaces.space(holder).is_some_and(|space| space.has_value(physical, key))
        {
            return Err(Stop::Miss(Miss::Key { db: physical, key: key.to_vec() }));
        }
        // A husk whose value was given up goes as well: its keyspace may be about to end.
        let gone = expired || entry.is_at_rest();
        let origin = self.out.origin();
        let mut folded = Vec::new();
        if !gone {
            fold(entry, origin.0, now_ms, &mut folded);
        }
        let deadline = entry.deadline().map_or(Deadline::Clear, Deadline::At);
        let before = self.out.select(db);
        let first = self.out.batch.len();
        self.out.emit_as(holder, key, false, Op::Remove);
        if !gone {
            self.out.emit_as(owner, key, true, Op::Replace { value: unfold(origin.0, &folded), deadline });
        }
        self.out.select(before);
        if !gone {
            let end = self.out.batch.len();
            self.out.aside().moves.extend(first..end);
        }
        Ok(())
    }
}

/// How far the job has come. A start begins it anew: what has moved is where it belongs.
#[derive(Default)]
pub(super) struct Pass {
    epoch: u64,
    shard: usize,
    db: usize,
    order: u64,
    /// Some keys could not be moved: then all are looked at again.
    failed: bool,
    /// Not before then.
    rests_until: Option<Instant>,
}

impl Pass {
    /// Moves some keys, and says in the log when all have. False if there is nothing to be done now.
    pub(super) fn step(&mut self, engine: &Engine) -> bool {
        let (_, epoch, _) = engine.shared.keyspaces.counters();
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        }
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        if self.shard == SHARDS && !self.failed {
            engine.end_moving(epoch);
            return true;
        }
        if self.shard == SHARDS {
            *self = Self { epoch, rests_until: Some(Instant::now() + MOVE_PAUSE), ..Self::default() };
            return false;
        }
        for (db, key) in self.next_wrong(&engine.shared) {
            self.failed |= !engine.move_key(db, &key);
        }
        true
    }

    /// The next keys that are held elsewhere than where they belong.
    fn next_wrong(&mut self, shared: &Shared) -> Vec<DbKey> {
        let guard = shared.shards[self.shard].lock();
        let (mut seen, mut wrong) = (0, Vec::new());
        while self.db < guard.dbs.len() {
            let Some(tables) = guard.dbs[self.db].as_deref() else {
                self.db += 1;
                continue;
            };
            let look = |entry: &Entry| {
                seen += 1;
                let order = shared.order_of(entry.key());
                let holder = tables.cached.as_ref().and_then(|cached| cached.holder(order, entry));
                if holder.unwrap_or(KeyspaceId::DEFAULT) != shared.keyspaces.id_of_key(entry.key()) {
                    wrong.push((self.db as u8, entry.key().into()));
                }
            };
            match tables.table.scan(self.order, |entry| shared.order_of(entry.key()), look) {
                Some(next) => self.order = next,
                None => (self.db, self.order) = (self.db + 1, 0),
            }
            if seen >= MOVE_KEYS {
                return wrong;
            }
        }
        (self.shard, self.db, self.order) = (self.shard + 1, 0, 0);
        wrong
    }
}

impl Engine {
    /// Moves a key of a physical database to where it belongs. False if it could not be moved.
    fn move_key(&self, physical: u8, key: &[u8]) -> bool {
        let mut recycled = Recycled::new();
        for _ in 0..LOAD_TRIES {
            let mut context = self.context(Lock::Key(key, None), 0, self.now_ms(), &mut recycled);
            let db = self.shared.logical(physical);
            let claimed = context.claim(db, key);
            if claimed.is_err() || context.out.is_empty() {
                context.abort();
                match claimed {
                    Err(Stop::Miss(_)) => self.shared.load(physical, key),
                    claimed => return claimed.is_ok(),
                }
                continue;
            }
            match context.commit() {
                Ok(committed) => {
                    committed.after.into_iter().for_each(|after| {
                        self.finish(*after);
                    });
                    return true;
                }
                Err(refusal) => tracing::warn!(%refusal, "a key could not be moved to its keyspace"),
            }
            break;
        }
        false
    }

    /// Says that every key is where the definitions of `epoch` put it, and ends keyspaces that were to go.
    fn end_moving(&self, epoch: u64) {
        let keyspaces = &self.shared.keyspaces;
        let _admin = keyspaces.admin.lock();
        let mut recycled = Recycled::new();
        let mut context = self.context(Lock::All, 0, self.now_ms(), &mut recycled);
        if keyspaces.counters().1 != epoch {
            return;
        }
        let leaving: Vec<Definition> = keyspaces.definitions().into_iter().filter(|d| d.leaving).collect();
        let spaces: Vec<_> = leaving.iter().filter_map(|definition| keyspaces.space(definition.id)).collect();
        context.out.about_space(KeyspaceId::DEFAULT, b"", Op::Moved(epoch));
        for definition in &leaving {
            context.out.about_space(definition.id, definition.name.as_bytes(), Op::Undefine);
        }
        if let Err(refusal) = context.commit() {
            tracing::warn!(%refusal, "that all keys have moved could not be logged");
            return;
        }
        for space in spaces {
            let store = space.tier.write().take();
            drop(store);
            remove_dir(&dir_of(&self.shared.dir, space.id));
        }
    }
}
