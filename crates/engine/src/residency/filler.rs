//! The thread behind: after a start it brings in what is at rest, as far as there is room; later it finds what has expired there.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Fill, complete_values, fill};
use crate::checkpoint::lower_priority;
use crate::engine::Shared;
use crate::limits::{FILL_AGAIN_PERCENT, FILL_PERCENT, SWEEP_PAUSE, SWEEP_REST_FACTOR};
use crate::shard::{Shard, ShardId};

/// Stops the thread when it is dropped.
pub(crate) struct Filler {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel::<()>(1);
        let thread = std::thread::Builder::new().name("filler".into()).spawn(move || {
            lower_priority();
            while shared.residency.bound.is_blind() && goes_on(&stopped, SWEEP_PAUSE) {}
            fill_all(&shared, &stopped);
            sweep(&shared, &stopped);
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it has been printed; there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}

fn goes_on(stopped: &Receiver<()>, pause: Duration) -> bool {
    stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout)
}

/// Brings in one shard behind the other.
fn fill_all(shared: &Shared, stopped: &Receiver<()>) {
    let Some(rows) = shared.checkpoints.found_rows().filter(|_| shared.residency.is_on()) else { return };
    let (began, mut keys) = (Instant::now(), 0);
    for id in 0..=u8::MAX {
        if shared.shards[usize::from(id)].lock().is_complete() {
            continue;
        }
        let go_on = || goes_on(stopped, Duration::ZERO) && shared.residency.bound.has_room(FILL_PERCENT);
        match fill(shared, rows, ShardId(id), Fill::Arrive, go_on) {
            Ok((came, _)) => keys += came,
            Err(error) => tracing::error!(%error, "what is at rest could not be read; `anabranch check` says more"),
        }
        if !goes_on(stopped, Duration::ZERO) {
            return;
        }
        if !shared.residency.bound.has_room(FILL_PERCENT) {
            break;
        }
    }
    // Where there is a bound their elements come as they are asked for.
    if shared.residency.bound.bytes().is_none()
        && let Err(error) = complete_values(shared, || goes_on(stopped, Duration::ZERO))
    {
        tracing::error!(%error, "what is at rest could not be read; `anabranch check` says more");
    }
    let ms = began.elapsed().as_millis() as u64;
    let left = shared.residency.is_on();
    tracing::info!(keys, ms, left, "keys were brought into memory");
}

/// Looks, slowly, for keys at rest whose time is over: they come into memory, and are reclaimed there.
fn sweep(shared: &Shared, stopped: &Receiver<()>) {
    let mut id = 0_u8;
    let mut pause = SWEEP_PAUSE;
    while goes_on(stopped, pause) {
        pause = SWEEP_PAUSE;
        let Some(rows) = shared.checkpoints.found_rows() else { continue };
        if shared.residency.is_on() && shared.shards[usize::from(id)].lock().has_deadlines_at_rest() {
            let began = Instant::now();
            let now_ms = shared.reclaims_until((shared.clock)());
            if let Err(error) =
                fill(shared, rows, ShardId(id), Fill::Expired(now_ms), || goes_on(stopped, Duration::ZERO))
            {
                tracing::error!(%error, "what is at rest could not be read; `anabranch check` says more");
            }
            pause = pause.max(began.elapsed() * SWEEP_REST_FACTOR);
        }
        id = id.wrapping_add(1);
        if id == 0 && shared.residency.bound.has_room(FILL_AGAIN_PERCENT) {
            fill_all(shared, stopped);
        }
    }
}

impl Shard {
    /// Whether keys that are not in memory may expire.
    pub(super) fn has_deadlines_at_rest(&self) -> bool {
        self.dbs.iter().flatten().filter_map(|tables| tables.cold.as_ref()).any(|cold| cold.volatile > 0)
    }
}
