//! The instant of which a checkpoint is: all shards locked, one position of the log.

use std::sync::atomic::Ordering;

use mvcc::Timestamp;

use super::books::{Head, Tallies, Tally};
use super::recent::Recent;
use super::state::{Died, marks};
use crate::engine::Shared;
use crate::exclusive::Frozen;
use crate::shard::Shard;

/// What was so at the flip, beside the keys.
pub(super) struct Flip {
    pub(super) head: Head,
    /// The definitions of keyspaces, if there are any or have been.
    pub(super) spaces: Option<Vec<u8>>,
    /// Keyspaces of the group, if there are any.
    pub(super) group_spaces: Option<Vec<u8>>,
    pub(super) died: Died,
    /// Databases that were emptied since the checkpoint before, with when that was taken.
    pub(super) emptied: Vec<(u8, Timestamp)>,
    /// How many keys there are, where there are no keyspaces and have been none.
    pub(super) tallies: Option<Tallies>,
    /// What of a replica is recent, beside the effects on keys.
    pub(super) recent: Option<Recent>,
    /// Exclusive transactions whose verdict has not come, or not to everybody.
    pub(super) exclusives: Frozen,
}

impl Flip {
    /// Ends the epoch: what has changed in it is frozen. `last_commit` is when the last checkpoint was taken.
    pub(super) fn now(shared: &Shared, last_commit: Timestamp) -> Self {
        let mut guards: Vec<_> = shared.shards.iter().map(|shard| shard.lock()).collect();
        let replicates = shared.replicates();
        // What lies aside is what is kept.
        guards.iter_mut().for_each(|shard| shard.exchange_all(shared));
        for shard in &mut guards {
            shard.epoch = shard.epoch.next();
            if replicates {
                shard.suffix.freeze();
            }
            shard.dbs.iter_mut().flatten().for_each(|tables| tables.changes.freeze());
        }
        shared.checkpoints.active.store(true, Ordering::Release);
        let died = std::mem::take(&mut *shared.checkpoints.died.lock());
        let emptied = marks(&died.emptied, last_commit);
        let (spaces, group_spaces) = (spaces(shared), shared.saved_group_keyspaces());
        let tallies = spaces.is_none().then(|| tallies(shared, guards.iter().map(|shard| &**shard)));
        let (head, recent) = head(shared, replicates);
        let exclusives = shared.exclusives.freeze();
        guards.iter_mut().for_each(|shard| shard.exchange_all(shared));
        Self { head, spaces, group_spaces, died, emptied, tallies, recent, exclusives }
    }
}

fn tallies<'s>(shared: &Shared, shards: impl Iterator<Item = &'s Shard>) -> Tallies {
    let mut parts = Vec::new();
    for (id, shard) in (0..=u8::MAX).zip(shards) {
        for (db, tables) in (0..=u8::MAX).zip(&shard.dbs) {
            let Some(tables) = tables.as_ref().filter(|tables| tables.len() > 0) else { continue };
            let (keys, volatile) = (tables.len() as u64, tables.volatile as u64);
            parts.push(Tally { shard: id, db, keys, volatile, due: tables.due(), large: tables.large });
        }
    }
    Tallies { base_ms: shared.counts.base_ms(), parts }
}

/// Where replay begins, and what it must know there. Every shard is locked.
fn head(shared: &Shared, replicates: bool) -> (Head, Option<Recent>) {
    let mut log = shared.log.lock();
    let from = log.end();
    let sequencer = log.state();
    let vector = sequencer.vector(shared.origin());
    let origins = vector.iter().map(|last| (last.origin, last.seq + 1)).collect();
    let last = sequencer.clock.last();
    if !replicates {
        // A start will not know them.
        sequencer.waymarks.forget_contexts();
    }
    sequencer.waymarks.note(from, vector);
    let known = replicates.then(|| {
        sequencer.note_own_head(shared.origin());
        (sequencer.heads.clone(), sequencer.waymarks.clone())
    });
    drop(log);
    let recent = known.map(|(heads, waymarks)| Recent::now(shared, heads, waymarks));
    let dbs = (0..=u8::MAX).map(|db| shared.physical(db)).collect();
    // Incarnations are still given.
    (Head { from, last, incarnation: 0, origins, dbs }, recent)
}

fn spaces(shared: &Shared) -> Option<Vec<u8>> {
    let saved = shared.keyspaces.save();
    (saved.epoch > 0).then(|| {
        let mut bytes = Vec::new();
        saved.encode(&mut bytes);
        bytes
    })
}
