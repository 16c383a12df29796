//! Snapshots: the state beside the log, so that the log does not grow for ever. No fork, no copy of the whole.
//!
//! ```text
//! DIR/snapshot-<position>/   a log of its own (checksummed frames), written aside as `snapshot.new`, then renamed
//!   head · chunk or part, many · key, few · end        see `format`
//! ```
//! A chunk is a range of a shard's hash space, taken under the shard's lock, with the log position that the shard had
//! applied: replay skips what a chunk holds already. So every key is exact, although no two chunks are of one moment.
//! A large value is pinned at the moment of its chunk and follows in parts, for which the lock is held for a moment
//! each. See `passage` for what becomes of keys that move meanwhile.
//!
//! Databases that are emptied or exchanged meanwhile do not disturb it. Chunks go by physical numbers, which an exchange
//! leaves alone, and replay makes the exchange again. Of an emptied database a chunk holds what was there before, or after:
//! replay takes away only what was before.
//!
//! *Invariant:* the log is cut only below a snapshot that is durable and that replay can begin from.
//! *Invariant:* no lock is held for longer than a chunk or a part takes, however large a value is.

pub(crate) mod format;
mod writing;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wal::{Log, Position};

use crate::engine::Shared;
use crate::error::SnapshotError;
use writing::Writing;

const PREFIX: &str = "snapshot-";
const ASIDE: &str = "snapshot.new";

/// The newest complete snapshot in `dir`: the position that it begins at, and its directory.
pub(crate) fn newest(dir: &Path) -> std::io::Result<Option<(Position, PathBuf)>> {
    Ok(complete(dir)?.into_iter().max())
}

/// All complete snapshots in `dir`.
pub(crate) fn complete(dir: &Path) -> std::io::Result<Vec<(Position, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let position = name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.parse::<u64>().ok());
        if let Some(position) = position {
            found.push((Position(position), entry.path()));
        }
    }
    Ok(found)
}

/// What a finished snapshot took.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotReport {
    /// Where replay begins.
    pub position: Position,
    /// Its keys.
    pub keys: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Writes a snapshot, puts it in the place of the one before and cuts the log.
pub(crate) fn write(shared: &Shared) -> Result<SnapshotReport, SnapshotError> {
    // Others may have a use for the processor that this thread does not need now.
    write_with(shared, &mut std::thread::yield_now)
}

pub(crate) fn write_with(shared: &Shared, pause: &mut dyn FnMut()) -> Result<SnapshotReport, SnapshotError> {
    let report = write_aside(shared, pause)?;
    // What the chunks hold must be in the log before the log is cut below it.
    shared.log.sync()?;
    shared.note_durable(|_| {}).map_err(|e| SnapshotError::io(&shared.dir, e))?;
    publish(shared, &report)?;
    Ok(report)
}

fn write_aside(shared: &Shared, pause: &mut dyn FnMut()) -> Result<SnapshotReport, SnapshotError> {
    let written = try_write_aside(shared, pause);
    if written.is_err() {
        // Half a snapshot may be what fills the disk. That it cannot be removed is the smaller of two problems.
        let _ = remove_dir(&shared.dir.join(ASIDE));
    }
    written
}

fn try_write_aside(shared: &Shared, pause: &mut dyn FnMut()) -> Result<SnapshotReport, SnapshotError> {
    let aside = shared.dir.join(ASIDE);
    remove_dir(&aside)?;
    shared.log.roll()?;
    // Nobody waits for it to be synced: it needs no thread and no blocks beforehand.
    let options = wal::Options {
        background: wal::Background::None,
        policy: wal::Fsync::No,
        preallocate: wal::Preallocate::No,
        ..wal::Options::default()
    };
    let (out, _) = Log::open(&aside, options, ())?;
    let mut writing = Writing::begin(shared, &out, pause);
    let position = writing.run()?;
    let keys = writing.keys;
    drop(writing);
    let bytes = out.sync()?.get();
    out.close()?;
    Ok(SnapshotReport { position, keys, bytes })
}

fn publish(shared: &Shared, report: &SnapshotReport) -> Result<(), SnapshotError> {
    let before = complete(&shared.dir).map_err(|e| SnapshotError::io(&shared.dir, e))?;
    let place = shared.dir.join(format!("{PREFIX}{}", report.position));
    let (aside, there) = (shared.dir.join(ASIDE), before.iter().any(|(_, old)| *old == place));
    match there {
        // Nothing has been written since the one before: it is the same.
        true => remove_dir(&aside)?,
        false => fs::rename(aside, &place).map_err(|e| SnapshotError::io(&place, e))?,
    }
    File::open(&shared.dir).and_then(|dir| dir.sync_all()).map_err(|e| SnapshotError::io(&shared.dir, e))?;
    for (_, old) in before.iter().filter(|(_, old)| *old != place) {
        remove_dir(old)?;
    }
    shared.log.remove_below(report.position)?;
    Ok(())
}

fn remove_dir(dir: &Path) -> Result<(), SnapshotError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(SnapshotError::io(dir, e)),
        _ => Ok(()),
    }
}

/// When the log is rewritten by itself: as Redis' auto-aof-rewrite directives say.
#[derive(Debug, Clone, Copy)]
pub struct RewritePolicy {
    /// Growth since the last snapshot, in percent of its size; 0: never.
    pub percentage: u32,
    /// No rewrite while the log is smaller, in bytes.
    pub min_bytes: u64,
}

impl Default for RewritePolicy {
    fn default() -> Self {
        Self { percentage: 100, min_bytes: 64 << 20 }
    }
}

impl RewritePolicy {
    /// Whether a log of `log` bytes behind a snapshot of `base` bytes is due.
    pub(crate) fn is_due(&self, log: u64, base: u64) -> bool {
        self.percentage > 0
            && log >= self.min_bytes
            && u128::from(log) * 100 >= u128::from(base) * u128::from(self.percentage)
    }
}

/// Runs snapshots on a thread of its own, one at a time.
pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<()> {
    std::thread::Builder::new().name("snapshot".into()).spawn(move || {
        let began = std::time::Instant::now();
        shared.rewrites.begin();
        let written = write(&shared);
        shared.rewrites.end(written.is_ok());
        match written {
            Ok(report) => {
                shared.snapshot_bytes.store(report.bytes, Ordering::Relaxed);
                tracing::info!(
                    keys = report.keys,
                    bytes = report.bytes,
                    ms = began.elapsed().as_millis() as u64,
                    "the log has been rewritten"
                );
            }
            Err(error) => tracing::warn!(%error, "the log could not be rewritten; it goes on growing"),
        }
        // Who waits for the end may close the data directory then: this thread must not hold it any more.
        let running = Arc::clone(&shared.snapshot_running);
        drop(shared);
        running.store(false, Ordering::Release);
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
