//! The background thread: reclaims what has expired and keeps the clock's ceiling ahead.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use effect::Hlc;
use wal::Health;

use crate::checkpoint;
use crate::engine::Shared;
use crate::limits::{CEILING_RENEW_MS, EXPIRE_BUDGET, KEEPER_PERIOD_MS, RECLAIM_AGAIN_MS, SHARDS};
use crate::residency::Hand;
use crate::shard::Shard;
use crate::shard::ShardId;
use crate::stop::Place;

/// Stops the thread when it is dropped.
pub(crate) struct Keeper {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let thread = std::thread::Builder::new().name("keeper".into()).spawn(move || {
            let period = Duration::from_millis(KEEPER_PERIOD_MS);
            let (mut rounds, mut hand) = (0_u64, Hand::default());
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                let now_ms = (shared.clock)();
                if shared.reclaims.load(Ordering::Relaxed) {
                    reclaim(&shared, shared.reclaims_until(now_ms));
                }
                renew_ceiling(&shared, now_ms);
                shared.make_room(&mut hand);
                checkpoint::request_if_due(&shared);
                rounds += 1;
                if rounds.is_multiple_of(HEAL_ROUNDS) {
                    heal(&shared);
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the keeper has been printed; there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}

/// Rounds of the keeper between two attempts to go on after the disk was full.
const HEAL_ROUNDS: u64 = 50;

/// If the disk was full: writes what is still in memory, and takes writes again once that works.
fn heal(shared: &Shared) {
    if shared.log.health() == Health::NoSpace && shared.log.try_heal().is_ok() {
        tracing::info!("there is space for the log again; writes are accepted");
    }
}

/// Reclaims everything whose deadline has passed, a few keys at a time under each lock.
pub(crate) fn reclaim(shared: &Shared, now_ms: i64) {
    for id in 0..SHARDS {
        while shared.due[id].load(Ordering::Relaxed) <= now_ms {
            let mut shard = shared.shards[id].lock();
            reclaim_some(shared, ShardId(id as u8), &mut shard, now_ms);
        }
    }
}

/// One bounded step in one shard; leaves in `due` when the next one is needed.
fn reclaim_some(shared: &Shared, id: ShardId, shard: &mut Shard, now_ms: i64) {
    let mut due = Vec::with_capacity(EXPIRE_BUDGET);
    let mut next_due = i64::MAX;
    for db in 0..shard.dbs.len() {
        let Some(tables) = shard.dbs[db].as_deref_mut() else { continue };
        due.clear();
        let done = tables.wheel.advance(now_ms, EXPIRE_BUDGET, |_, order| due.push(order));
        for order in &due {
            let (db, place) = (db as u8, Place { shard: id, order: *order });
            match shard.suffix.has(*order, db) {
                // The plain value is what the recent effects show, hidden or not.
                true => shard.schedule(db, place, now_ms + RECLAIM_AGAIN_MS, shared),
                false => shard.reclaim_key(db, place, now_ms, shared),
            }
        }
        let Some(tables) = shard.dbs[db].as_deref_mut() else { continue };
        tables.compact_wheel(shared);
        next_due = next_due.min(if done { tables.wheel.next_deadline().unwrap_or(i64::MAX) } else { now_ms });
    }
    shared.due[usize::from(id.0)].store(next_due, Ordering::Relaxed);
}

/// Raises the clock's ceiling in good time, so that no command has to wait for it. An idle node writes nothing.
fn renew_ceiling(shared: &Shared, now_ms: i64) {
    let (last, ceiling) = {
        let mut log = shared.log.lock();
        let clock = &log.state().clock;
        (clock.last(), clock.ceiling())
    };
    let near = |hlc: Hlc| ceiling.ms() - hlc.ms() < CEILING_RENEW_MS;
    if near(last)
        && near(Hlc::at_ms(now_ms))
        && let Err(refusal) = shared.raise_ceiling(last)
    {
        tracing::warn!("{refusal}");
    }
}
