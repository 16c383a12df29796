//! Writes batches into segments and begins the next segment when one is full. One thread at a time.
//!
//! ```text
//!   full            next.tmp                      <base>.log is full, and all goes on in next.tmp at once: no sync
//!    │ begin           │ header, then records
//!    ▼                 ▼
//!   sealing ─ seal ─▶ named                       by who has the lead, without the writer: full segment trimmed and
//!                                                 synced, then the new one synced, then renamed, then the directory
//! ```
//! *Invariant:* a segment has its name only when all of the one before is durable, and nothing in it counts as durable
//! before it has its name. So there is at most one without.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::batch::Batch;
use crate::disk::{Disk, DiskFile, write_all};
use crate::error::{Action, Failure, LogError};
use crate::format::{HEADER_BYTES, Header, segment_name};
use crate::gate::Lead;
use crate::options::Preallocate;
use crate::position::Position;
use crate::progress::Progress;
use crate::segments::Segments;
use crate::stats::Counters;

/// The newest segment has this name until it, and all before it, is durable.
pub(crate) const UNFINISHED: &str = "next.tmp";

/// What every part of an open log shares.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) segments: Segments,
    pub(crate) counters: Counters,
}

/// A new segment: what it needs beside its base.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blueprint {
    pub(crate) log_id: u64,
    pub(crate) preallocate: Preallocate,
    pub(crate) segment_bytes: u64,
}

/// How far writing came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// All of it.
    All,
    /// Up to where the next segment begins, which needs the lead: the one before is not sealed yet, or no file is ready.
    UpToSeal,
}

/// What may be done for the writer behind its back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Errand {
    Nothing,
    /// The segment is half full: make the file of the next.
    Prepare,
    /// The segment before is to be sealed.
    Seal,
}

/// A full segment that is not known to be durable, and the one after it, which has no name yet.
#[derive(Clone, Debug)]
pub(crate) struct Sealing {
    full: Arc<dyn DiskFile>,
    full_base: Position,
    next: Arc<dyn DiskFile>,
    next_base: Position,
}

/// The open segment, and the batch that is on its way into it.
pub(crate) struct Writer {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) base: Position,
    /// What is not yet written: kept whole until it is, so that a full disk loses nothing.
    pub(crate) pending: Batch,
    /// An empty buffer for the next swap.
    pub(crate) spare: Vec<u8>,
    /// The file of the next segment, made ahead of time.
    pub(crate) ready: Option<Arc<dyn DiskFile>>,
    /// The segment before this one, until it is sealed.
    pub(crate) sealing: Option<Sealing>,
    pub(crate) blueprint: Blueprint,
    /// The errand that the background thread has been told of.
    told: Errand,
}

impl Writer {
    pub(crate) fn new(file: Arc<dyn DiskFile>, base: Position, end: Position, blueprint: Blueprint) -> Self {
        let (pending, spare) = (Batch::at(end), Vec::new());
        Self { file, base, pending, spare, ready: None, sealing: None, blueprint, told: Errand::Nothing }
    }

    /// Writes what is pending, segment by segment. Needs the lead to go past the end of one for which no file is ready.
    pub(crate) fn write(&mut self, shared: &Shared, lead: Option<&Lead<'_>>) -> Result<Wrote, LogError> {
        loop {
            let done = shared.progress.written();
            if self.pending.cuts.front() == Some(&done) {
                if self.sealing.is_some() || (self.ready.is_none() && lead.is_none()) {
                    return Ok(Wrote::UpToSeal);
                }
                self.rotate(shared, done)?;
                self.pending.cuts.pop_front();
            }
            let stop = self.pending.cuts.front().copied().unwrap_or(self.pending.end());
            if stop == done {
                return Ok(Wrote::All);
            }
            let bytes = self.pending.slice(done, stop);
            write_all(&*self.file, self.offset(done), bytes).map_err(|e| self.failed(shared, Action::Write, e))?;
            Counters::add(&shared.counters.written_bytes, stop.0 - done.0);
            shared.progress.publish_written(stop);
        }
    }

    /// Empties the buffer that has been written; keeps it for the next swap unless it has grown beyond `keep_bytes`.
    pub(crate) fn recycle(&mut self, keep_bytes: usize) {
        if self.pending.bytes.is_empty() {
            return;
        }
        let mut spare = std::mem::take(&mut self.pending.bytes);
        self.pending.start = Position(self.pending.start.0 + spare.len() as u64);
        spare.clear();
        if spare.capacity() <= keep_bytes {
            self.spare = spare;
        }
    }

    /// What is to be done for the writer and was not asked for before.
    pub(crate) fn ask(&mut self, shared: &Shared) -> bool {
        let errand = self.errand(shared);
        let news = errand > self.told;
        self.told = errand;
        news
    }

    pub(crate) fn errand(&self, shared: &Shared) -> Errand {
        let half = self.blueprint.segment_bytes / 2;
        match (&self.sealing, &self.ready) {
            (Some(_), _) => Errand::Seal,
            (None, None) if shared.progress.written().0 - self.base.0 > half => Errand::Prepare,
            (None, _) => Errand::Nothing,
        }
    }

    /// Cuts off what was reserved but not used, and makes the file durable as it is.
    pub(crate) fn trim(&self, shared: &Shared) -> Result<(), LogError> {
        let end = shared.progress.written();
        trim(shared, &*self.file, self.base, end)?;
        shared.progress.publish_durable(end);
        Ok(())
    }

    /// Goes on in the next segment, which begins at `base`. Nothing is synced.
    fn rotate(&mut self, shared: &Shared, base: Position) -> Result<(), LogError> {
        let next = match &self.ready {
            Some(file) => Arc::clone(file),
            None => begin_segment(&*shared.disk, self.blueprint).map_err(|f| shared.progress.fail(f))?,
        };
        write_header(&*shared.disk, &*next, self.blueprint.log_id, base).map_err(|f| shared.progress.fail(f))?;
        self.ready = None;
        let full = std::mem::replace(&mut self.file, Arc::clone(&next));
        shared.segments.push_unnamed(base, Arc::clone(&next));
        self.sealing = Some(Sealing { full, full_base: self.base, next, next_base: base });
        self.base = base;
        shared.counters.segments_created.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn offset(&self, position: Position) -> u64 {
        file_offset(self.base, position)
    }

    fn failed(&self, shared: &Shared, action: Action, error: io::Error) -> LogError {
        failed(shared, &segment_name(self.base), action, error)
    }
}

impl Sealing {
    /// Makes the full segment durable, then the next as far as it is written, and gives it its name. May be repeated after
    /// a full disk. Says how far the log is durable.
    pub(crate) fn seal(&self, shared: &Shared, _lead: &Lead<'_>) -> Result<Position, LogError> {
        trim(shared, &*self.full, self.full_base, self.next_base)?;
        shared.progress.publish_durable(self.next_base);
        let name = segment_name(self.next_base);
        // Only this segment can be written to before it is sealed, so all below lies in it or before it.
        let written = shared.progress.written();
        timed(shared, || self.next.sync_all()).map_err(|e| failed(shared, UNFINISHED, Action::Sync, e))?;
        shared.disk.rename(UNFINISHED, &name).map_err(|e| failed(shared, &name, Action::Create, e))?;
        shared.disk.sync_dir().map_err(|e| failed(shared, &name, Action::Sync, e))?;
        shared.segments.name(self.next_base);
        shared.progress.publish_durable(written);
        Ok(written)
    }
}

fn failed(shared: &Shared, name: &str, action: Action, error: io::Error) -> LogError {
    shared.progress.fail(Failure { action, file: shared.disk.describe(name), error })
}

/// Cuts off what was reserved but not used of a segment, and makes it durable.
fn trim(shared: &Shared, file: &dyn DiskFile, base: Position, end: Position) -> Result<(), LogError> {
    let name = segment_name(base);
    file.truncate(file_offset(base, end)).map_err(|e| failed(shared, &name, Action::Write, e))?;
    timed(shared, || file.sync_all()).map_err(|e| failed(shared, &name, Action::Sync, e))
}

/// Where in its segment a position lies.
pub(crate) fn file_offset(base: Position, position: Position) -> u64 {
    HEADER_BYTES as u64 + (position.0 - base.0)
}

/// Runs one fsync and counts it.
pub(crate) fn timed(shared: &Shared, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let begun = Instant::now();
    let result = sync();
    shared.counters.fsync(begun.elapsed());
    result
}

/// Makes the file that will be the next segment, without a header.
pub(crate) fn begin_segment(disk: &dyn Disk, plan: Blueprint) -> Result<Arc<dyn DiskFile>, Failure> {
    let failed = |error| Failure { action: Action::Create, file: disk.describe(UNFINISHED), error };
    let file = disk.create(UNFINISHED).map_err(failed)?;
    reserve(&*file, plan, HEADER_BYTES as u64);
    Ok(file)
}

/// Says in the file which segment it is.
pub(crate) fn write_header(disk: &dyn Disk, file: &dyn DiskFile, log_id: u64, base: Position) -> Result<(), Failure> {
    let header = Header { log_id, base, created_unix_ms: disk.unix_ms() };
    let failed = |error| Failure { action: Action::Create, file: disk.describe(UNFINISHED), error };
    write_all(file, 0, &header.encode()).map_err(failed)
}

/// Creates the first segment, which has its name only when its header is durable.
pub(crate) fn create_segment(disk: &dyn Disk, plan: Blueprint, base: Position) -> Result<(), Failure> {
    let file = begin_segment(disk, plan)?;
    write_header(disk, &*file, plan.log_id, base)?;
    name_segment(disk, &*file, base)
}

/// Makes a segment without a name durable and gives it one.
pub(crate) fn name_segment(disk: &dyn Disk, file: &dyn DiskFile, base: Position) -> Result<(), Failure> {
    let name = segment_name(base);
    let failed = |action| {
        let file = disk.describe(&name);
        move |error| Failure { action, file, error }
    };
    file.sync_all().map_err(failed(Action::Sync))?;
    disk.rename(UNFINISHED, &name).map_err(failed(Action::Create))?;
    disk.sync_dir().map_err(failed(Action::Sync))
}

/// Prepares the blocks of a segment from `used` bytes on. Only an optimisation: if it fails, the writes to come will say
/// whether anything is wrong.
pub(crate) fn reserve(file: &dyn DiskFile, plan: Blueprint, used: u64) {
    let whole = HEADER_BYTES as u64 + plan.segment_bytes;
    match plan.preallocate {
        Preallocate::No => {}
        Preallocate::Reserve => drop(file.preallocate(whole)),
        Preallocate::Zero => drop(fill_zeros(file, used, whole)),
    }
}

fn fill_zeros(file: &dyn DiskFile, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    while from < to {
        let n = zeros.len().min((to - from) as usize);
        write_all(file, from, &zeros[..n])?;
        from += n as u64;
    }
    Ok(())
}
