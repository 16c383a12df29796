//! Committing what concerns caches: what is logged, what is noted, and what must be invalidated before the reply.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use effect::{BatchBuf, BatchMark, Effect, Hlc, KeyspaceId, Op};
use wal::Position;

use super::{Keyspaces, Space};
use crate::context::{Committed, Context, Logged};
use crate::engine::{Engine, Shared};
use crate::error::Refusal;
use crate::guards::Guards;
use crate::undo::undo_to;

/// What is left to be done after a commit, with no shard locked and before anybody is answered.
#[derive(Default)]
pub struct Aftermath {
    /// Keyspaces that grew beyond their bound.
    full: Vec<Arc<Space>>,
}

impl std::fmt::Debug for Aftermath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aftermath").field("full", &self.full.len()).finish()
    }
}

/// What a batch has to do with caches beside its effects.
#[derive(Default)]
pub(crate) struct Aside {
    /// Names at rest of keys that are not there, with their keyspaces: what the disk may have of them goes.
    doomed: Vec<(Arc<Space>, Vec<u8>)>,
    /// Effects, by their numbers in the batch, that only move a key to where it belongs.
    pub(crate) moves: Vec<u64>,
}

impl Context<'_> {
    /// Whether there is any keyspace but `default`.
    #[inline]
    pub fn has_keyspaces(&self) -> bool {
        self.shared.keyspaces.is_active()
    }

    /// If a key of logical database `db` is not there, whatever the disk of a cache may have of it goes for good with the
    /// commit: an evicted value would be there again after a restart.
    pub fn doom_if_absent(&mut self, db: u8, key: &[u8]) {
        let (place, db) = (self.shared.place_of(key), self.shared.physical(db));
        let Some(shard) = self.state.guards.get(place.shard) else { return };
        let found = shard.find(db, place.order, key);
        if found.is_some_and(|entry| !entry.is_at_rest()) {
            return;
        }
        let husk = found.is_some();
        let keyspaces = &self.shared.keyspaces;
        let spaces = match keyspaces.is_mixed() {
            true => keyspaces.spaces(),
            false => keyspaces.space(keyspaces.id_of_key(key)).into_iter().collect(),
        };
        for space in spaces {
            let name = space.name_of(db, key);
            if space.may_come_back(&name, husk) {
                self.out.cached = true;
                self.out.aside().doomed.push((space, name));
            }
        }
    }

    /// Takes back all that was emitted. What the commit does beside that remains to be done.
    pub fn forsake(&mut self) {
        undo_to(&mut self.state, 0);
        self.out.forsake();
    }

    /// Whether there is anything that a commit would do though nothing is written.
    pub fn has_doomed(&self) -> bool {
        self.out.aside.as_ref().is_some_and(|aside| !aside.doomed.is_empty())
    }

    /// Commits a batch that concerns caches, or whole databases while there are any.
    #[cold]
    pub(crate) fn commit_cached(&mut self) -> Result<Committed, Refusal> {
        let (size, limit) = (self.out.batch.size_in_record(), self.shared.limits.batch_bytes());
        if size > limit {
            return Err(Refusal::BatchTooLarge { size, limit });
        }
        let mut logged = BatchBuf::new(self.shared.group, self.shared.origin());
        logged.set_trace(self.out.batch.trace());
        self.out.batch.each_since(BatchMark::START, |effect| {
            if is_logged(effect) {
                logged.push(effect);
            }
        });
        let logged = match logged.is_empty() {
            true => Logged { position: self.state.applied(), seq: 0, hlc: Hlc(0) },
            false => Self::log(self.shared, self.state.now_ms, &mut logged)?,
        };
        let mut committed = self.make_visible(&logged);
        let mut after = Aftermath::default();
        self.out.batch.each_since(BatchMark::START, |effect| {
            self.shared.keyspaces.committed(self.shared, &mut self.state.guards, effect, &mut after);
        });
        for (space, name) in self.out.aside.iter_mut().flat_map(|aside| aside.doomed.drain(..)) {
            space.hide(name);
        }
        after.full.retain(|space| space.used() > space.limit());
        committed.after = Some(Box::new(after));
        Ok(committed)
    }
}

/// Whether the log holds the effect: what names a keyspace is on a key of a cache, or about the keyspace as such.
pub(crate) fn is_logged(effect: &Effect<'_>) -> bool {
    effect.keyspace == KeyspaceId::DEFAULT
        || matches!(effect.op, Op::FlushAll | Op::Define(_) | Op::Undefine | Op::Moved(_))
}

impl Keyspaces {
    /// Takes note of an effect that is sure, in the order of the batch.
    fn committed(&self, shared: &Shared, guards: &mut Guards<'_>, effect: &Effect<'_>, after: &mut Aftermath) {
        match effect.op {
            Op::FlushDb | Op::FlushAll => return self.note_flush(effect),
            Op::Rename { db, key, .. } => {
                self.hide_elsewhere(effect.keyspace, effect.db, effect.key);
                return self.hide_elsewhere(effect.keyspace, db, key);
            }
            Op::Define(_) | Op::Undefine | Op::SwapDb(_) | Op::Moved(_) => return,
            _ => {}
        }
        self.hide_elsewhere(effect.keyspace, effect.db, effect.key);
        let place = shared.place_of(effect.key);
        let Some(shard) = guards.get_mut(place.shard) else { return };
        let space = match effect.keyspace {
            KeyspaceId::DEFAULT => None,
            id => self.space(id),
        };
        let Some(space) = space else {
            // It has moved into the log, if it was a cache's.
            if self.is_moving() {
                shard.forget_cached(effect.db, place);
            }
            return;
        };
        shard.note_cached(effect.db, place, effect.key, &space);
        let name = space.name_of(effect.db, effect.key);
        space.hide(name);
        if !after.full.iter().any(|full| full.id == space.id) {
            after.full.push(space);
        }
    }
}

impl Keyspaces {
    /// A key changes that may have been evicted from a keyspace to which its name belonged before.
    fn hide_elsewhere(&self, holder: KeyspaceId, db: u8, key: &[u8]) {
        if self.is_mixed() {
            let elsewhere = self.spaces().into_iter().filter(|space| space.id != holder);
            elsewhere.for_each(|space| space.hide(space.name_of(db, key)));
        }
    }
}

impl Engine {
    /// Makes room in the keyspaces that a commit has filled. What it has made stale is left: `settle` sees to that, for
    /// many commits at once.
    pub fn finish_room(&self, after: Aftermath) {
        for space in after.full {
            self.shared.trim(&space, space.limit());
        }
    }

    /// Does what is left after a commit. The reply also waits for the position that this answers.
    pub fn finish(&self, after: Aftermath) -> Position {
        let position = self.settle();
        self.finish_room(after);
        position
    }

    /// Makes sure that what anybody has overwritten or deleted in a cache keyspace up to now never comes back: to be called
    /// before replies leave, also those of commands that have only seen such a change. They also wait for the position
    /// that this answers.
    pub fn settle(&self) -> Position {
        let spaces = self.shared.keyspaces.unsettled();
        spaces.iter().map(|space| self.settle_space(space)).max().unwrap_or(Position::START)
    }

    fn settle_space(&self, space: &Arc<Space>) -> Position {
        let _turn = space.settling.lock();
        self.settle_in_turn(space);
        Position(space.voided.load(Acquire))
    }

    /// The same for whoever holds `settling`.
    pub(super) fn settle_in_turn(&self, space: &Arc<Space>) {
        let names = space.take_stale();
        if let Err(error) = space.invalidate(&names) {
            self.make_tier_void(space, error);
        }
        // Only now: whoever finds nothing unsettled lets replies go.
        space.unsettled.fetch_sub(names.len(), AcqRel);
    }
}
