//! Checkpoints: the state goes to rest, as rows of a store, so that the log does not grow for ever and a start need not read
//! all of it. No fork, no copy of the whole.
//!
//! ```text
//!   the flip      all shards are locked for an instant: one position of the log, and what has changed up to there is frozen
//!   the run       frozen keys become rows, in order, some tens under one hold of a lock; what changes before its turn
//!                 keeps an image. Then the elements of large values that have changed, then the bookkeeping
//!   the end       the log is made durable up to the flip; the run comes into force as a whole; the log is cut there
//! ```
//! So a checkpoint is the state at one position of the log, and recovery is: take the rows as they are, apply the log behind them.
//!
//! Rows live in DIR/rows, a store of `mvcc` that keeps only the newest version of each. What is there:
//!
//! ```text
//!   meta row    a key, with its value if that is small                                          `rows.rs`
//!   elements    of a large value, each a row, named by the incarnation that its meta row says  `elements.rs`
//!   books       where the log goes on, definitions of keyspaces, what is dead                   `books.rs`
//!   recent      of a replica: effects that may be concurrent with what comes                    `recent.rs`
//! ```
//! An emptied database, and a large value that is gone, take one row of the books: what they had at rest is dead from then on
//! (`dead.rs`), and compactions drop it.
//!
//! *Invariant:* the rows are the state at one position of the log, whatever fails: a run is there whole or not at all.
//!
//! *Invariant:* the log is durable up to that position before the run comes into force, and is cut only after that.
//!
//! *Invariant:* no lock is held for longer than a step or a part takes, however large a value is; but where a run has failed, or a
//! large value has moved to another database, all blocks of its elements are marked at once.

mod batch;
pub(crate) mod books;
mod dead;
pub(crate) mod elements;
mod figures;
mod flip;
mod image;
mod large;
pub(crate) mod load;
pub(crate) mod recent;
pub(crate) mod rows;
mod state;
pub(crate) mod store;
#[cfg(test)]
pub(crate) mod tests;
mod turn;
mod writing;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mvcc::{RunWriter, Source, Store, Timestamp};
use wal::Position;

use crate::engine::Shared;
use crate::error::CheckpointError;
use crate::exclusive::Kept;
pub use figures::{CheckpointFigures, DiskFigures};
use flip::Flip;
pub(crate) use image::{Image, image};
pub(crate) use load::{Loaded, load, load_keys};
pub(crate) use recent::Recent;
pub(crate) use rows::{encode_row, is_large};
pub(crate) use state::Checkpoints;
pub(crate) use store::{ROWS, Rows, lower_priority, sync_all};
use writing::Writing;

/// What a finished checkpoint took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Where replay begins.
    pub position: Position,
    /// Keys that were written, because they had changed.
    pub keys: u64,
    /// Keys that were taken away.
    pub removed: u64,
    /// Rows of elements of large values that were written or taken away.
    pub elements: u64,
    /// Bytes of rows that were written.
    pub bytes: u64,
}

/// When checkpoints are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointPolicy {
    /// Bytes of log behind the last one, or since the beginning; `None`: only when asked for.
    pub log_bytes: Option<u64>,
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        Self { log_bytes: Some(crate::limits::CHECKPOINT_LOG_BYTES) }
    }
}

/// Takes a checkpoint, after the one that is being taken.
pub(crate) fn take(shared: &Shared) -> Result<CheckpointReport, CheckpointError> {
    take_with(shared, &mut || !shared.checkpoints.is_stopped())
}

/// The same; `go_on` is asked between two steps, with nothing locked.
pub(crate) fn take_with(shared: &Shared, go_on: &mut dyn FnMut() -> bool) -> Result<CheckpointReport, CheckpointError> {
    let checkpoints = &shared.checkpoints;
    let _turn = checkpoints.turn.lock();
    shared.log.roll()?;
    let rows = checkpoints.rows(shared)?;
    // Later than the one before, also if the clock has gone back or nobody has written since.
    let now = shared.log.lock().state().clock.last();
    let commit = Timestamp(now.0.max(rows.store.last_commit().0 + 1));
    let run = rows.store.begin_run(commit, Source::Direct).map_err(|error| rows.failed(error))?;
    let flip = Flip::now(shared, rows.last_commit());
    let mut writing = Writing::begin(shared, &rows, flip, go_on);
    let taken = finish(shared, &mut writing, run);
    match taken {
        Ok(report) => {
            writing.settle();
            rows.disk_bytes();
            // Only now: what was there before is needed until the run is in force.
            shared.checkpoints.note_position(report.position);
            note_exclusives(shared, report.position, &writing.exclusives);
            let stable = shared.replicates().then(|| shared.replication.stable().vector);
            shared.kept.cut(&shared.log, report.position, stable.as_ref())?;
            shared.ciphers.forget_log_keys(&shared.log);
            Ok(report)
        }
        Err(error) => {
            writing.give_back();
            Err(error)
        }
    }
}

/// Transactions that a checkpoint in force has need no log before it.
fn note_exclusives(shared: &Shared, position: Position, kept: &Kept) {
    let mark = shared.log.lock().state().waymarks.at(position);
    mark.iter().for_each(|mark| shared.exclusives.checkpointed(mark, kept));
}

fn finish(
    shared: &Shared,
    writing: &mut Writing<'_>,
    mut run: RunWriter<'_>,
) -> Result<CheckpointReport, CheckpointError> {
    let report = writing.write(&mut run)?;
    // A crash must not leave rows of what the log does not know.
    shared.log.sync()?;
    shared.note_durable(|_| {}).map_err(|source| CheckpointError::Io { path: shared.dir.clone(), source })?;
    run.finish().map_err(|error| writing.rows.failed(error))?;
    Ok(report)
}

/// Starts a checkpoint on a thread of its own, unless one is being taken.
pub(crate) fn request(shared: &Arc<Shared>) -> bool {
    if shared.checkpoints.running.swap(true, Ordering::AcqRel) {
        return false;
    }
    if let Err(error) = start(Arc::clone(shared)) {
        tracing::warn!(%error, "the thread that takes checkpoints could not be started");
        shared.checkpoints.running.store(false, Ordering::Release);
        return false;
    }
    true
}

/// Starts one when the log has grown enough.
pub(crate) fn request_if_due(shared: &Arc<Shared>) {
    if shared.checkpoints.is_due(shared.log_bytes(), shared.dirty_log_bytes()) {
        request(shared);
    }
}

/// Starts one so that keys which have changed may be evicted; not if hardly any have.
pub(crate) fn request_for_room(shared: &Arc<Shared>) {
    let least = shared.dirty_log_bytes().map_or(u64::MAX, |bytes| bytes / 8);
    if shared.checkpoints.may_begin() && shared.log_bytes() >= least {
        request(shared);
    }
}

fn start(shared: Arc<Shared>) -> std::io::Result<()> {
    std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
        store::lower_priority();
        let began = Instant::now();
        shared.checkpoints.outcomes.begin();
        let taken = take(&shared);
        shared.checkpoints.outcomes.end(taken.is_ok());
        let ms = began.elapsed().as_millis() as u64;
        let cpu_us = store::processor_time().as_micros() as u64;
        match taken {
            Ok(CheckpointReport { keys, removed, elements, bytes, .. }) => {
                tracing::info!(keys, removed, elements, bytes, ms, cpu_us, "a checkpoint was taken");
            }
            Err(CheckpointError::Stopped) => {}
            Err(error) => tracing::warn!(%error, "no checkpoint could be taken; the log goes on growing"),
        }
        if let Err(error) = shared.checkpoints.tend() {
            tracing::warn!(%error, "the rows could not be compacted or sealed anew");
        }
        // Who waits for the end may close the data directory then: this thread must not hold it any more.
        let running = Arc::clone(&shared.checkpoints.running);
        drop(shared);
        running.store(false, Ordering::Release);
    })?;
    Ok(())
}
