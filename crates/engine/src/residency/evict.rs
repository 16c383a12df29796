//! Keys leave memory when it is full: those that were not looked for lately, and whose rows say what they are.
//!
//! A hand goes over the keys in the order of their tables. What was looked up since the hand last came by stays, and loses its
//! mark; what was not goes. The mark lies in the access clock, which a look-up writes anyway, and the order is that of the hashes:
//! so eviction takes no memory for a key, and a hit costs nothing (CLOCK, Corbató 1968; see decision 0017 for why not SIEVE).

use std::sync::atomic::Ordering::Relaxed;

use super::Name;
use super::shard::is_clean;
use crate::engine::Shared;
use crate::limits::{EVICT_SEGMENTS, SHARDS};
use crate::shard::{Shard, ShardId};
use crate::stop::Place;
use crate::value::{Entry, Shed, Want};

/// Where keys are evicted next.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    shard: u8,
    db: u8,
    order: u64,
}

/// What one step did.
pub(super) struct Step {
    pub(super) freed: u64,
    /// The shard has been gone through.
    is_done: bool,
    /// What must be read before elements of a large value can leave: physical database, key, rows.
    fill: Option<(u8, Box<[u8]>, Want)>,
}

/// What may leave memory of a few keys.
#[derive(Default)]
struct Idle {
    /// Keys that may go: physical database, ordering hash, key.
    keys: Vec<(u8, u64, Box<[u8]>)>,
    /// One with a large value of which elements may go, though it has changed or is in use.
    large: Option<(u8, u64, Box<[u8]>)>,
}

impl Shared {
    /// Evicts keys that take about so many bytes, if there are as many that may go. Answers the bytes of those that went.
    pub(crate) fn evict_idle(&self, bytes: u64, hand: &mut Hand) -> u64 {
        let (mut freed, mut shards) = (0, 0);
        // Once around to take the marks, once more to find those without.
        while freed < bytes && shards < 2 * SHARDS && self.may_evict() {
            let step = self.evict_some(hand);
            freed += step.freed;
            shards += usize::from(step.is_done);
            if let Some((db, key, want)) = step.fill
                && let Err(error) = self.fetch_between(Name { db, key: &key }, want)
            {
                tracing::error!(%error, "what is at rest could not be read; `anabranch check` says more");
            }
        }
        freed
    }

    /// Where there are keyspaces all keys stay in memory; so do they while somebody holds on to what is there.
    fn may_evict(&self) -> bool {
        !self.keyspaces.is_active() && !self.residency.is_held() && self.checkpoints.found_rows().is_some()
    }

    pub(super) fn evict_some(&self, hand: &mut Hand) -> Step {
        let id = ShardId(hand.shard);
        let mut guard = self.shards[usize::from(id.0)].lock();
        // Asked under the lock: whoever holds on, and then locks the shard, finds that none leaves it any more.
        if !self.may_evict() {
            return Step { freed: 0, is_done: true, fill: None };
        }
        let mut idle = Idle::default();
        let mut next = guard.idle_from(self, hand, &mut idle);
        let Idle { keys: victims, large } = idle;
        let freed = victims.iter().map(|(db, order, key)| {
            let place = Place { shard: id, order: *order };
            guard.evict(*db, place, key, self)
        });
        let mut freed: u64 = freed.sum();
        let (mut fill, mut remains) = (None, Vec::new());
        if let Some((db, order, key)) = large {
            let shed = guard.shed(db, order, &key, self);
            freed += shed.bytes as u64;
            remains = shed.remains;
            // As long as there is something that may go it is gone on with.
            if shed.elements > 0 || shed.fill.is_some() {
                next = Some((db, order));
            }
            fill = shed.fill.map(|want| (db, key, want));
        }
        self.residency.evictions.fetch_add(victims.len() as u64, Relaxed);
        match next {
            Some((db, order)) => (hand.db, hand.order) = (db, order),
            None => *hand = Hand { shard: id.0.wrapping_add(1), ..Hand::default() },
        }
        drop(guard);
        remains.into_iter().for_each(|remains| self.reaper.free_remains(remains));
        Step { freed, is_done: next.is_none(), fill }
    }
}

impl Shard {
    /// Lets elements of a large value leave memory.
    fn shed(&mut self, db: u8, order: u64, key: &[u8], shared: &Shared) -> Shed {
        let tables = self.dbs.get_mut(usize::from(db)).and_then(|tables| tables.as_deref_mut());
        let Some(entry) = tables.and_then(|tables| tables.table.find_mut(order, |entry| entry.key() == key)) else {
            return Shed::default();
        };
        let shed = entry.shed(&shared.residency.partly);
        self.evicted += 1;
        shed
    }

    /// Finds, from a place on, keys that may go and were not looked for. Answers where to go on.
    fn idle_from(&self, shared: &Shared, hand: &Hand, idle: &mut Idle) -> Option<(u8, u64)> {
        let (mut order, mut segments) = (hand.order, 0);
        for db in usize::from(hand.db)..self.dbs.len() {
            let Some(tables) = self.dbs[db].as_deref() else { continue };
            let mut next = Some(order);
            while let Some(at) = next {
                if segments >= EVICT_SEGMENTS {
                    return Some((db as u8, at));
                }
                segments += 1;
                let order_of = |entry: &Entry| shared.order_of(entry.key());
                next = tables.table.scan(at, order_of, |entry| {
                    if entry.is_at_rest() || idle.large.is_some() {
                        return;
                    }
                    let (was_used, order) = (entry.take_visit(), order_of(entry));
                    if !was_used && is_clean(tables, order, entry) {
                        idle.keys.push((db as u8, order, entry.key().into()));
                    } else if entry.may_shed() {
                        idle.large = Some((db as u8, order, entry.key().into()));
                    }
                });
                if let Some((_, order, _)) = &idle.large {
                    // Behind it is gone on when nothing more of it may go.
                    return Some((db as u8, order.checked_add(1)?));
                }
            }
            order = 0;
        }
        None
    }
}
