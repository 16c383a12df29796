//! Writes batches into segments, seals full segments and creates new ones. One thread at a time.

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

/// A segment under construction has this name until its header is durable.
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
    /// Up to where a segment has to be sealed, which needs the lead.
    UpToSeal,
}

/// The open segment, and the batch that is on its way into it.
pub(crate) struct Writer {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) base: Position,
    /// What is not yet written: kept whole until it is, so that a full disk loses nothing.
    pub(crate) pending: Batch,
    /// An empty buffer for the next swap.
    pub(crate) spare: Vec<u8>,
    blueprint: Blueprint,
}

impl Writer {
    pub(crate) fn new(file: Arc<dyn DiskFile>, base: Position, end: Position, blueprint: Blueprint) -> Self {
        Self { file, base, pending: Batch::at(end), spare: Vec::new(), blueprint }
    }

    /// Writes what is pending, segment by segment. Needs the lead to go past the end of one.
    pub(crate) fn write(&mut self, shared: &Shared, lead: Option<&Lead<'_>>) -> Result<Wrote, LogError> {
        loop {
            let done = shared.progress.written();
            if self.pending.cuts.front() == Some(&done) {
                let Some(lead) = lead else { return Ok(Wrote::UpToSeal) };
                self.rotate(shared, lead, done)?;
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

    /// Cuts off what was reserved but not used, and makes the file durable as it is.
    pub(crate) fn trim(&self, shared: &Shared) -> Result<(), LogError> {
        let end = shared.progress.written();
        self.file.truncate(self.offset(end)).map_err(|e| self.failed(shared, Action::Write, e))?;
        timed(shared, || self.file.sync_all()).map_err(|e| self.failed(shared, Action::Sync, e))?;
        shared.progress.publish_durable(end);
        Ok(())
    }

    /// Seals the segment, which ends at `base`, and opens the next.
    fn rotate(&mut self, shared: &Shared, _lead: &Lead<'_>, base: Position) -> Result<(), LogError> {
        self.trim(shared)?;
        let file = create_segment(&*shared.disk, self.blueprint, base).map_err(|f| shared.progress.fail(f))?;
        self.file = file;
        self.base = base;
        shared.segments.push(base);
        shared.counters.segments_created.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn offset(&self, position: Position) -> u64 {
        file_offset(self.base, position)
    }

    fn failed(&self, shared: &Shared, action: Action, error: io::Error) -> LogError {
        let file = shared.disk.describe(&segment_name(self.base));
        shared.progress.fail(Failure { action, file, error })
    }
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

/// Creates a segment so that it has its name only when its header is durable.
pub(crate) fn create_segment(disk: &dyn Disk, plan: Blueprint, base: Position) -> Result<Arc<dyn DiskFile>, Failure> {
    let name = segment_name(base);
    let failed = |action| {
        let file = disk.describe(&name);
        move |error| Failure { action, file, error }
    };
    let file = disk.create(UNFINISHED).map_err(failed(Action::Create))?;
    let header = Header { log_id: plan.log_id, base, created_unix_ms: disk.unix_ms() };
    write_all(&*file, 0, &header.encode()).map_err(failed(Action::Create))?;
    reserve(&*file, plan, HEADER_BYTES as u64);
    file.sync_all().map_err(failed(Action::Sync))?;
    disk.rename(UNFINISHED, &name).map_err(failed(Action::Create))?;
    disk.sync_dir().map_err(failed(Action::Sync))?;
    Ok(file)
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
