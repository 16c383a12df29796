//! The thread of the keyspaces: makes room ahead of need, takes away what the disk tier has given up, moves keys.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::moves::Pass;
use super::space::{Space, split_name};
use crate::engine::{Engine, Shared};
use crate::limits::{AHEAD_SHARE, GARBAGE_BATCH, HUSK_STEP, KEEPER_PERIOD_MS, MOVE_STEPS, SHARDS, SWEEP_STEPS};

/// Stops the thread when it is dropped.
pub(crate) struct Worker {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let thread = std::thread::Builder::new().name("keyspaces".into()).spawn(move || {
            let engine = Engine::behind(shared);
            let period = Duration::from_millis(KEEPER_PERIOD_MS);
            let mut work = Work::default();
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                work.round(&engine);
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}

/// What is on its way.
#[derive(Default)]
struct Work {
    pass: Pass,
    sweeps: Vec<Sweep>,
}

/// A walk over the husks of a keyspace whose store has given something up.
struct Sweep {
    id: effect::KeyspaceId,
    /// What the store had given up when the walk began, counted in its own ways.
    given_up: u64,
    /// Where it is: shard, physical database, hash. At the end it rests until the store gives up more.
    at: (usize, u8, u64),
}

impl Work {
    fn round(&mut self, engine: &Engine) {
        let shared = &*engine.shared;
        for space in shared.keyspaces.spaces() {
            if space.broken.load(Relaxed) {
                engine.give_up_tier(&space);
            }
            engine.reopen_if_asked(&space);
            let ahead = space.limit() - space.limit() / AHEAD_SHARE;
            if space.used() > ahead {
                shared.trim(&space, ahead);
            }
            for _ in 0..SWEEP_STEPS {
                if !self.sweep(shared, &space) {
                    break;
                }
            }
            if space.garbage.swap(false, AcqRel) && forget_garbage(&space) {
                space.garbage.store(true, Relaxed);
            }
        }
        for _ in 0..MOVE_STEPS {
            if !shared.keyspaces.is_moving() || !self.pass.step(engine) {
                break;
            }
        }
    }

    /// Takes away some husks whose value the store has given up. False if there is no more to be done now.
    fn sweep(&mut self, shared: &Shared, space: &Arc<Space>) -> bool {
        let at = self.sweeps.iter().position(|sweep| sweep.id == space.id).unwrap_or_else(|| {
            self.sweeps.push(Sweep { id: space.id, given_up: 0, at: (SHARDS, 0, 0) });
            self.sweeps.len() - 1
        });
        let sweep = &mut self.sweeps[at];
        if sweep.at.0 == SHARDS {
            let stats = space.store().map(|store| store.stats()).unwrap_or_default();
            // Cleaning drops what has expired, and sometimes whole segments.
            let given_up = stats.evictions + stats.segments_cleaned + stats.corrupt_records;
            if sweep.given_up == given_up && !space.hollow.swap(false, AcqRel) {
                return false;
            }
            (sweep.given_up, sweep.at) = (given_up, (0, 0, 0));
        }
        if space.is_away() {
            return false;
        }
        let (shard, db, order) = sweep.at;
        let mut guard = shared.shards[shard].lock();
        let mut given_up = Vec::new();
        let next = guard.scan_husks(shared, space.id, (db, order), HUSK_STEP, |db, husk| {
            if !space.has_value(db, husk.key()) {
                given_up.push((db, husk.key().to_vec()));
            }
        });
        for (db, key) in &given_up {
            shared.evict(&mut guard, *db, shared.place_of(key), key);
        }
        sweep.at = next.map_or((shard + 1, 0, 0), |(db, order)| (shard, db, order));
        true
    }
}

/// Has the store forget some records of earlier generations, so that their space is used again. Whether there may be more.
fn forget_garbage(space: &Space) -> bool {
    let Some(store) = space.store() else { return false };
    let Ok(range) = store.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded) else { return true };
    let void = |name: &[u8]| split_name(name).is_none_or(|(generation, db, _)| generation != space.generation(db));
    // Names begin with the generation, so the oldest come first.
    let names: Vec<Vec<u8>> =
        range.map_while(Result::ok).map(|entry| entry.key).filter(|name| void(name)).take(GARBAGE_BATCH).collect();
    names.iter().for_each(|name| {
        store.hide(name);
    });
    names.len() == GARBAGE_BATCH
}
