//! Committing what concerns caches: what is logged, what is noted, and what must be invalidated before the reply.

use std::sync::Arc;
use std::sync::atomic::Ordering;

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
    stale: Vec<Stale>,
    /// Keyspaces that grew beyond their bound.
    full: Vec<Arc<Space>>,
}

/// A record that was hidden and needs a tombstone. While there is one, the disk tier must not be opened anew.
struct Stale {
    space: Arc<Space>,
    /// What the disk tier calls the key.
    name: Vec<u8>,
}

impl Stale {
    fn new(space: &Arc<Space>, name: Vec<u8>) -> Self {
        space.unsettled.fetch_add(1, Ordering::AcqRel);
        Self { space: Arc::clone(space), name }
    }
}

impl Drop for Stale {
    fn drop(&mut self) {
        self.space.unsettled.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Aftermath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aftermath").field("stale", &self.stale.len()).field("full", &self.full.len()).finish()
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
            if space.tier.read().as_ref().is_some_and(|store| store.hide(&name)) {
                after.stale.push(Stale::new(&space, name));
            }
        }
        after.full.retain(|space| space.used() > space.limit());
        let idle = after.stale.is_empty() && after.full.is_empty();
        committed.after = (!idle).then(|| Box::new(after));
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
        if space.tier.read().as_ref().is_some_and(|store| store.hide(&name)) {
            after.stale.push(Stale::new(&space, name));
        }
        if !after.full.iter().any(|full| full.id == space.id) {
            after.full.push(space);
        }
    }
}

impl Aftermath {
    /// Whether nothing is left to be done.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.stale.is_empty() && self.full.is_empty()
    }

    /// Takes over what was left by another commit.
    pub fn absorb(&mut self, other: Self) {
        self.stale.extend(other.stale);
        for space in other.full {
            if !self.full.iter().any(|full| full.id == space.id) {
                self.full.push(space);
            }
        }
    }
}

impl Engine {
    /// Makes room in the keyspaces that a commit has filled. What must be invalidated is left: `finish` does that, for
    /// many commits at once, before anybody is answered.
    pub fn finish_room(&self, after: &mut Aftermath) {
        for space in after.full.drain(..) {
            self.shared.trim(&space, space.limit());
        }
    }

    /// Does what is left after a commit. The reply also waits for the position that this answers.
    pub fn finish(&self, mut after: Aftermath) -> Position {
        let mut position = Position::START;
        while let Some(Stale { space, .. }) = after.stale.first() {
            let space = Arc::clone(space);
            let (same, others): (Vec<_>, _) = after.stale.into_iter().partition(|stale| stale.space.id == space.id);
            after.stale = others;
            if let Err(error) = space.invalidate(same.iter().map(|stale| stale.name.as_slice())) {
                // What is hidden is settled by making the tier void, which waits for nobody.
                drop(same);
                position = position.max(self.make_tier_void(&space, error));
            }
        }
        self.finish_room(&mut after);
        position
    }
}
