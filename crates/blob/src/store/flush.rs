//! From the queue to the files, in rounds, by one thread at a time.
//!
//! Whoever needs its record on disk takes the `flushing` lock; when it gets it, either an earlier holder has
//! written the record already, or it writes everything that is queued: that is the group commit.
//!
//! Invariant: a write or sync that failed is not tried again on that file. What it was to write stays in RAM and
//! in the queue until `resume` gives it new places.

use super::Inner;
use super::log::{BLOCK, Job, Work};
use crate::disk::DiskFile;
use crate::error::{Class, Error, Result, classify};
use crate::format::footer::{TAIL_BYTES, Tail};
use crate::format::segment::{HEADER_BYTES, encode, file_name};
use crate::limits::{BLOCK_BYTES, ROUND_BYTES, ROUND_JOBS, ROUNDS_AFTER_READ, TRANSIENT_RETRIES};
use crate::segment::{Listing, Segment};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};
use std::io::{self, IoSlice};

impl Inner {
    /// Waits until the queue is on disk up to `lsn`, writing it if nobody else does.
    pub(super) fn commit(&self, lsn: u64) -> Result<()> {
        while self.written.load(Ordering::Acquire) < lsn {
            let _turn = lock(&self.flushing);
            if self.written.load(Ordering::Acquire) >= lsn {
                break;
            }
            if self.degraded.load(Ordering::Acquire) {
                return Err(self.degraded_error());
            }
            self.round()?;
        }
        Ok(())
    }

    /// Writes everything that is queued now.
    pub(super) fn flush_all(&self) -> Result<()> {
        let lsn = lock(&self.log).lsn;
        self.commit(lsn)
    }

    /// Tells the disk whether somebody reads from it these days. The caller holds `flushing`.
    fn hint_reads(&self) {
        let reads = self.counters.disk_reads.load(Ordering::Relaxed);
        if self.reads_seen.swap(reads, Ordering::Relaxed) != reads {
            self.rounds_unread.store(0, Ordering::Relaxed);
        }
        let unread = self.rounds_unread.fetch_add(1, Ordering::Relaxed);
        self.disk.expect_reads(reads > 0 && unread < ROUNDS_AFTER_READ);
    }

    /// Writes one batch. The caller holds `flushing`. False if there was nothing.
    pub(super) fn round(&self) -> Result<bool> {
        let (batch, lsn) = self.take_batch();
        let Some(last) = batch.last().map(|job| job.lsn) else {
            // Nothing is queued and nobody else is writing: all there was is on disk, or was not needed any more.
            self.written.store(lsn, Ordering::Release);
            return Ok(false);
        };
        self.hint_reads();
        if let Err(error) = self.write_batch(&batch) {
            let mut log = lock(&self.log);
            log.queued_bytes += batch.iter().map(Job::bytes).sum::<u64>();
            batch.into_iter().rev().for_each(|job| log.jobs.push_front(job));
            drop(log);
            self.degrade(&error);
            return Err(error);
        }
        for job in &batch {
            if let Work::Record(loc, _) = &job.work {
                self.resident.written(*loc);
            }
        }
        self.written.store(last, Ordering::Release);
        Ok(true)
    }

    /// The next jobs, and the place of the last job ever queued.
    fn take_batch(&self) -> (Vec<Job>, u64) {
        let mut log = lock(&self.log);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < ROUND_JOBS && bytes < ROUND_BYTES as u64 {
            let Some(job) = log.jobs.pop_front() else { break };
            bytes += job.bytes();
            batch.push(job);
        }
        log.queued_bytes -= bytes;
        self.taken.notify_all();
        (batch, log.lsn)
    }

    /// Notes a background error; the first one counts.
    pub(super) fn degrade(&self, error: &Error) {
        lock(&self.first_error).get_or_insert_with(|| Arc::new(error.clone()));
        self.degraded.store(true, Ordering::Release);
        self.counters.write_errors.fetch_add(1, Ordering::Relaxed);
    }

    fn write_batch(&self, batch: &[Job]) -> Result<()> {
        let mut created = false;
        for run in batch.chunk_by(|a, b| a.segment.id == b.segment.id) {
            created |= self.write_run(&run[0].segment, run)?;
        }
        if created && self.opts.syncs() {
            self.disk.sync_dir().map_err(|e| Error::io("syncing the directory", e))?;
        }
        Ok(())
    }

    /// Writes, and syncs if the mode does, jobs of one segment. True if its file was created.
    fn write_run(&self, segment: &Arc<Segment>, run: &[Job]) -> Result<bool> {
        let created = !segment.created.load(Ordering::Acquire);
        let file = if created { self.create_file(segment)? } else { self.segments.file(segment, &*self.disk)? };
        let fail = |e| Error::io(format!("writing {}", file_name(segment.id)), e);
        let header = encode(segment.id, self.id);
        let mut slices = Slices::default();
        if created {
            slices.push(0, &header);
        }
        for job in run {
            if let Work::Record(loc, buf) = &job.work {
                slices.push(loc.offset(), buf.bytes());
            }
        }
        write_all(&*file, &slices.slices, slices.start).map_err(fail)?;
        self.counters.disk_bytes_written.fetch_add(slices.end - slices.start, Ordering::Relaxed);
        segment.created.store(true, Ordering::Release);
        segment.unsynced.store(true, Ordering::Release);
        let sync = || file.sync().map_err(|e| Error::io(format!("syncing {}", file_name(segment.id)), e));
        let sealed = match run.iter().find_map(|job| if let Work::Seal(end) = job.work { Some(end) } else { None }) {
            Some(end) => {
                // A footer vouches for its records, so it must not be there before them.
                if self.opts.syncs() {
                    sync()?;
                }
                Some(self.write_footer(segment, &*file, end)?)
            }
            None => None,
        };
        if self.opts.syncs() {
            sync()?;
            segment.unsynced.store(false, Ordering::Release);
            self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        }
        if let Some((tail, bytes)) = sealed {
            segment.sealed(tail, bytes);
        }
        Ok(created)
    }

    fn create_file(&self, segment: &Segment) -> Result<Arc<dyn DiskFile>> {
        let name = file_name(segment.id);
        let file = self.disk.create(&name).map_err(|e| Error::io(format!("creating {name}"), e))?;
        self.segments.opened(segment, &file);
        Ok(file)
    }

    /// Writes the footer of a segment whose records end at `end`.
    pub(super) fn write_footer(&self, segment: &Segment, file: &dyn DiskFile, end: u64) -> Result<(Tail, u64)> {
        let name = file_name(segment.id);
        let Listing::Ram(contents) = segment.listing() else {
            unreachable!("a segment is sealed once, and lists its records in RAM until then")
        };
        debug_assert!(end >= HEADER_BYTES);
        let bytes = lock(&contents).encode(segment.id, self.id, end);
        write_all(file, &[&bytes], end).map_err(|e| Error::io(format!("writing the footer of {name}"), e))?;
        self.counters.disk_bytes_written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let len = end + bytes.len() as u64;
        let tail = Tail::decode(&bytes[bytes.len() - TAIL_BYTES..], segment.id, self.id, len)
            .expect("the footer was encoded for this segment and length");
        Ok((tail, len.next_multiple_of(BLOCK)))
    }
}

/// What is to be written in one go, with zeros where a large record leaves a gap before it.
#[derive(Default)]
struct Slices<'a> {
    slices: Vec<&'a [u8]>,
    start: u64,
    end: u64,
}

impl<'a> Slices<'a> {
    fn push(&mut self, offset: u64, bytes: &'a [u8]) {
        if self.slices.is_empty() {
            (self.start, self.end) = (offset, offset);
        }
        let gap = usize::try_from(offset - self.end).expect("a gap is smaller than a block");
        if gap > 0 {
            self.slices.push(&GAP[..gap]);
        }
        self.slices.push(bytes);
        self.end = offset + bytes.len() as u64;
    }
}

static GAP: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Writes all of the slices, through short writes and interruptions.
pub(crate) fn write_all(file: &dyn DiskFile, slices: &[&[u8]], mut offset: u64) -> io::Result<()> {
    let mut buffers: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut rest = &mut buffers[..];
    IoSlice::advance_slices(&mut rest, 0);
    let mut retries = 0;
    while !rest.is_empty() {
        let now = rest.len().min(ROUND_JOBS);
        match file.write_at(&rest[..now], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                IoSlice::advance_slices(&mut rest, n);
                offset += n as u64;
            }
            Err(e) if classify(&e) == Class::Transient && retries < TRANSIENT_RETRIES => retries += 1,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
