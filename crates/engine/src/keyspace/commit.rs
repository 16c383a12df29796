//! Committing what concerns caches: what is logged, what is noted, and what must be invalidated before the reply.

use std::sync::Arc;

use effect::{BatchBuf, BatchMark, Effect, KeyspaceId, Op};
use wal::Position;

use super::{Keyspaces, Space};
use crate::context::{Committed, Context};
use crate::engine::{Engine, Shared};
use crate::error::Refusal;
use crate::guards::Guards;

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

impl Context<'_> {
    /// Whether there is any keyspace but `default`.
    #[inline]
    pub fn has_keyspaces(&self) -> bool {
        self.shared.keyspaces.is_active()
    }

    /// If a key of logical database `db` is a cache's and is not there, whatever the disk may have of it goes for good
    /// with the commit: an evicted value would be there again after a restart.
    pub fn doom_if_absent(&mut self, db: u8, key: &[u8]) {
        let Some(space) = self.shared.keyspaces.space(self.shared.keyspaces.id_of_key(key)) else { return };
        let (place, db) = (self.shared.place_of(key), self.shared.physical(db));
        let found = self.state.guards.get(place.shard).and_then(|shard| shard.find(db, place.order, key));
        if found.is_some_and(|entry| !entry.is_at_rest()) {
            return;
        }
        let name = space.name_of(db, key);
        let tier = space.tier.read();
        let evicted = |store: &blob::Store| store.has_record(&name) && !store.may_contain(&name);
        if tier.as_ref().is_some_and(evicted) {
            drop(tier);
            self.out.cached = true;
            self.out.doomed.push((space, name));
        }
    }

    /// Commits a batch that concerns caches, or whole databases while there are any.
    #[cold]
    pub(crate) fn commit_cached(&mut self) -> Result<Committed, Refusal> {
        let (size, limit) = (self.out.batch.size(), self.shared.limits.batch_bytes());
        if size > limit {
            return Err(Refusal::BatchTooLarge { size, limit });
        }
        let mut logged = BatchBuf::new(self.shared.group, self.shared.origin);
        self.out.batch.each_since(BatchMark::START, |effect| {
            if is_logged(effect) {
                logged.push(effect);
            }
        });
        let position = match logged.is_empty() {
            true => self.state.applied(),
            false => Self::log(self.shared, self.state.now_ms, &mut logged)?,
        };
        let mut committed = self.make_visible(position);
        let mut after = Aftermath::default();
        self.out.batch.each_since(BatchMark::START, |effect| {
            self.shared.keyspaces.committed(self.shared, &mut self.state.guards, effect, &mut after);
        });
        for (space, name) in self.out.doomed.drain(..) {
            space.hide(name);
        }
        after.full.retain(|space| space.used() > space.limit());
        committed.after = Some(Box::new(after));
        Ok(committed)
    }
}

/// Whether the log holds the effect: what names a keyspace is on a key of a cache, or about the keyspace as such.
fn is_logged(effect: &Effect<'_>) -> bool {
    effect.keyspace == KeyspaceId::DEFAULT
        || matches!(effect.op, Op::FlushAll | Op::Define(_) | Op::Undefine | Op::Moved(_))
}

impl Keyspaces {
    /// Takes note of an effect that is sure, in the order of the batch.
    fn committed(&self, shared: &Shared, guards: &mut Guards<'_>, effect: &Effect<'_>, after: &mut Aftermath) {
        match effect.op {
            Op::FlushDb | Op::FlushAll => return self.note_flush(effect),
            Op::Define(_) | Op::Undefine | Op::SwapDb(_) | Op::Moved(_) | Op::Rename { .. } => return,
            _ => {}
        }
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
        let mut position = Position::START;
        for space in self.shared.keyspaces.unsettled() {
            if let Err(error) = space.settle() {
                position = position.max(self.make_tier_void(&space, error));
            }
        }
        position
    }
}
