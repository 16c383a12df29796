//! Snapshots: the state beside the log, so that the log does not grow for ever. No fork, no copy of the whole.
//!
//! ```text
//! DIR/snapshot-<position>/   a log of its own (checksummed frames), written aside as `snapshot.new`, then renamed
//!   head   := version u8 ‖ replay from u64 ‖ last hlc u64 ‖ origins ‖ 256 physical database numbers
//!   chunk  := shard u8 ‖ db u8 ‖ from u64 ‖ applied u64 ‖ count varint ‖ (key ‖ deadline ‖ value)*
//!   end    := chunks u64 ‖ keys u64
//! ```
//! A chunk is a range of a shard's hash space, taken under the shard's lock, with the log position that the shard had
//! applied: replay skips what a chunk holds already. So every key is exact, although no two chunks are of one moment.
//!
//! *Invariant:* the log is cut only below a snapshot that is durable and that replay can begin from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use effect::{Hlc, Kind, Origin, wire};
use wal::{Log, Position};

use crate::digest::fold;
use crate::engine::Shared;
use crate::error::SnapshotError;
use crate::limits::{SHARDS, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_KEYS};

/// Kinds of records in a snapshot.
pub(crate) const HEAD: wal::Kind = wal::Kind::new(1).expect("1 is a kind of an owner");
pub(crate) const CHUNK: wal::Kind = wal::Kind::new(2).expect("2 is a kind of an owner");
pub(crate) const END: wal::Kind = wal::Kind::new(3).expect("3 is a kind of an owner");

/// The version that this code writes.
pub(crate) const VERSION: u8 = 1;
const PREFIX: &str = "snapshot-";
const ASIDE: &str = "snapshot.new";

/// The newest complete snapshot in `dir`: the position that it begins at, and its directory.
pub(crate) fn newest(dir: &Path) -> std::io::Result<Option<(Position, PathBuf)>> {
    let mut found = None;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let position = name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.parse::<u64>().ok());
        if let Some(position) = position {
            found = found.max(Some((Position(position), entry.path())));
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

/// Writes a snapshot, puts it in the place of the one before and cuts the log. Whole databases that change meanwhile
/// (FLUSHALL, SWAPDB) have it begin again.
pub(crate) fn write(shared: &Shared) -> Result<SnapshotReport, SnapshotError> {
    loop {
        let generation = shared.generation.load(Ordering::Acquire);
        shared.snapshotting.store(true, Ordering::Release);
        let written = write_aside(shared);
        shared.snapshotting.store(false, Ordering::Release);
        let report = written?;
        if shared.generation.load(Ordering::Acquire) != generation {
            continue;
        }
        // What the chunks hold must be in the log before the log is cut below it.
        shared.log.sync()?;
        publish(shared, &report)?;
        return Ok(report);
    }
}

fn write_aside(shared: &Shared) -> Result<SnapshotReport, SnapshotError> {
    let aside = shared.dir.join(ASIDE);
    remove_dir(&aside)?;
    shared.log.roll()?;
    let options = wal::Options { background: wal::Background::None, policy: wal::Fsync::No, ..wal::Options::default() };
    let (out, _) = Log::open(&aside, options, ())?;
    let (position, head) = head(shared);
    out.lock().append(HEAD, &[&head])?;
    let (mut chunks, mut keys) = (0u64, 0u64);
    let mut body = Vec::new();
    for shard in 0..SHARDS {
        let dbs = shared.shards[shard].lock().dbs.len();
        for db in 0..dbs {
            let mut next = Some(0);
            while let Some(from) = next {
                body.clear();
                let (count, after) = take_chunk(shared, shard, db as u8, from, &mut body);
                out.lock().append(CHUNK, &[&body])?;
                out.relieve()?;
                (chunks, keys, next) = (chunks + 1, keys + count, after);
            }
        }
    }
    out.lock().append(END, &[&chunks.to_le_bytes(), &keys.to_le_bytes()])?;
    let bytes = out.sync()?.get();
    out.close()?;
    Ok(SnapshotReport { position, keys, bytes })
}

/// Where replay begins, and what it must know there.
fn head(shared: &Shared) -> (Position, Vec<u8>) {
    let mut log = shared.log.lock();
    let position = log.end();
    let sequencer = log.state();
    let mut origins = sequencer.earlier.clone();
    origins.retain(|(origin, _)| *origin != shared.origin);
    origins.push((shared.origin, sequencer.next_seq));
    let hlc = sequencer.clock.last();
    drop(log);
    let mut head = vec![VERSION];
    head.extend_from_slice(&position.get().to_le_bytes());
    head.extend_from_slice(&hlc.0.to_le_bytes());
    wire::put_varint(&mut head, origins.len() as u64);
    for (origin, next) in origins {
        head.extend_from_slice(&origin.0.to_le_bytes());
        wire::put_varint(&mut head, next);
    }
    head.extend((0..=u8::MAX).map(|db| shared.physical(db)));
    (position, head)
}

/// Appends one chunk from hash position `from` on; answers how many keys it has and where the next one begins.
fn take_chunk(shared: &Shared, shard: usize, db: u8, from: u64, out: &mut Vec<u8>) -> (u64, Option<u64>) {
    let now_ms = (shared.clock)();
    let guard = shared.shards[shard].lock();
    out.extend_from_slice(&[shard as u8, db]);
    out.extend_from_slice(&from.to_le_bytes());
    out.extend_from_slice(&guard.applied.get().to_le_bytes());
    let count_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count = 0u32;
    let mut next = Some(from);
    while let (Some(at), Some(tables)) = (next, guard.db(db)) {
        if count as usize >= SNAPSHOT_CHUNK_KEYS || out.len() >= SNAPSHOT_CHUNK_BYTES {
            break;
        }
        next = tables.table.scan(
            at,
            |e| shared.order_of(e.key()),
            |entry| {
                let lives = entry.deadline().is_none_or(|d| d > now_ms);
                if lives && !(entry.kind() == Kind::Hash && crate::state::is_dead_hash(entry, now_ms)) {
                    wire::put_bytes(out, entry.key());
                    wire::put_zigzag(out, entry.deadline().unwrap_or(i64::MAX));
                    fold(entry, 0, now_ms, out);
                    count += 1;
                }
            },
        );
    }
    if guard.db(db).is_none() {
        next = None;
    }
    drop(guard);
    out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    (u64::from(count), next)
}

fn publish(shared: &Shared, report: &SnapshotReport) -> Result<(), SnapshotError> {
    let before = newest(&shared.dir).map_err(|e| SnapshotError::io(&shared.dir, e))?;
    let place = shared.dir.join(format!("{PREFIX}{}", report.position));
    fs::rename(shared.dir.join(ASIDE), &place).map_err(|e| SnapshotError::io(&place, e))?;
    File::open(&shared.dir).and_then(|dir| dir.sync_all()).map_err(|e| SnapshotError::io(&shared.dir, e))?;
    if let Some((_, old)) = before.filter(|(_, old)| *old != place) {
        remove_dir(&old)?;
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
        shared.snapshot_running.store(false, Ordering::Release);
    })?;
    Ok(())
}

/// The vector of origins in a head.
pub(crate) type Origins = Vec<(Origin, u64)>;

/// Reads a head: where replay begins, the last timestamp, the origins, and the physical database numbers.
pub(crate) fn read_head(bytes: &[u8]) -> Result<(Position, Hlc, Origins, Vec<u8>), effect::WireError> {
    let mut from = wire::Reader::new(bytes);
    if from.u8()? != VERSION {
        return Err(effect::WireError::Invalid { what: "snapshot version", at: 0 });
    }
    let (position, hlc) = (Position(from.u64()?), Hlc(from.u64()?));
    let count = from.varint()?;
    let mut origins = Origins::new();
    for _ in 0..count {
        origins.push((Origin(from.u64()?), from.varint()?));
    }
    Ok((position, hlc, origins, from.take(256)?.to_vec()))
}
