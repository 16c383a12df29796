//! The rows of the last checkpoint, found at a start.

use std::path::Path;
use std::sync::Arc;

use super::books::{Books, Head, Tallies, Tally};
use super::recent::{self, Recent};
use super::store::{ROWS, Rows};
use crate::engine::Shared;
use crate::error::OpenError;
use crate::limits::{LOADERS_MAX, SHARDS};
use crate::residency::{Fill, fill};
use crate::shard::ShardId;

/// What a start has found at rest.
pub(crate) struct Loaded {
    pub(crate) head: Head,
    pub(crate) keys: u64,
    /// What of a replica was recent, beside the effects on keys, which are back.
    pub(crate) recent: Option<Recent>,
}

/// Finds the last checkpoint; `None` if there is none. Its keys stay at rest, unless nobody has counted them.
pub(crate) fn load(shared: &Shared) -> Result<Option<Loaded>, OpenError> {
    let path = shared.dir.join(ROWS);
    if !path.exists() {
        return Ok(None);
    }
    let refused = |source| OpenError::of_rows(&shared.dir, &path, source);
    let rows =
        Rows::open(&path, shared.ciphers.rows.clone(), shared.checkpoints.large_value_bytes()).map_err(refused)?;
    let books = Books::read(&rows).map_err(refused)?.map_err(|reason| damaged(&path, reason))?;
    let Some(books) = books else {
        // The first checkpoint did not come into force.
        shared.checkpoints.found(rows, &Books::default());
        return Ok(None);
    };
    let rows = shared.checkpoints.found(rows, &books);
    let Books { head, spaces, tallies, group_spaces, .. } = books;
    shared.set_physical(&head.dbs);
    shared.held.set_last_incarnation(head.incarnation);
    let has_spaces = spaces.is_some();
    if let Some(spaces) = spaces {
        shared.keyspaces.restore(spaces);
    }
    shared.keyspaces.group.restore(group_spaces);
    let keys = match tallies.filter(|_| !has_spaces) {
        Some(tallies) => stay_at_rest(shared, &tallies),
        None => load_keys(shared, &rows, Fill::Count)?,
    };
    let recent = recent::load(shared, &rows).map_err(refused)?.map_err(|reason| damaged(&path, reason))?;
    Ok(Some(Loaded { head, keys, recent }))
}

fn damaged(path: &Path, reason: String) -> OpenError {
    OpenError::Damaged { path: path.into(), reason }
}

/// Notes how many keys are at rest.
fn stay_at_rest(shared: &Shared, tallies: &Tallies) -> u64 {
    let mut keys = 0;
    for tally in &tallies.parts {
        let moved = tally.volatile as i64 * (tallies.base_ms - shared.counts.base_ms());
        let found = Tally { due: tally.due + moved, ..*tally };
        shared.shards[usize::from(tally.shard)].lock().found_at_rest(&found, shared);
        keys += tally.keys;
    }
    keys
}

/// Brings all keys into memory, by several threads, each its own shards.
pub(crate) fn load_keys(shared: &Shared, rows: &Arc<Rows>, how: Fill) -> Result<u64, OpenError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, LOADERS_MAX);
    let share = SHARDS.div_ceil(threads);
    let load = |first: usize| {
        let mut keys = 0;
        for shard in first..(first + share).min(SHARDS) {
            keys += fill(shared, rows, ShardId(shard as u8), how, || true)?.0;
        }
        Ok(keys)
    };
    std::thread::scope(|scope| {
        let spawn = |first| scope.spawn(move || load(first));
        let loaders: Vec<_> = (0..SHARDS).step_by(share).map(spawn).collect();
        let join = |loader: std::thread::ScopedJoinHandle<'_, _>| {
            loader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        loaders.into_iter().map(join).sum::<Result<u64, _>>()
    })
    .map_err(|error| OpenError::of_read(&rows.path, error))
}
