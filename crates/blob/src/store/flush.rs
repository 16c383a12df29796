//! From the queue to the files, in rounds.
//!
//! Whoever needs its record on disk and finds it still in the queue begins a round, which takes what else is queued
//! with it: that is the group commit. A round has three steps:
//!
//! 1. in order: it takes its batch from the queue and makes the files that it needs;
//! 2. beside another round, if the mode does not sync: it writes;
//! 3. in order: it seals the segments that end with it, and makes known that its records are on disk.
//!
//! Invariants:
//! - What `written` and a footer vouch for is on disk, and everything before it: a round that was quicker than the one
//!   before waits for it, and fails with it.
//! - A write or sync that failed is not tried again on that file. What it was to write stays in RAM and in the queue
//!   until `resume` gives it new places.

use super::Inner;
use super::log::{BLOCK, Job, Work};
use super::turns::Gate;
use crate::disk::DiskFile;
use crate::error::{Class, Error, Result, classify};
use crate::format::footer::{TAIL_BYTES, Tail};
use crate::format::segment::{HEADER_BYTES, encode, file_name};
use crate::limits::{BLOCK_BYTES, ROUND_BYTES, ROUND_JOBS, ROUNDS_AFTER_READ, TRANSIENT_RETRIES};
use crate::segment::{Listing, Segment};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};
use std::io::{self, IoSlice};

/// What a round does to one segment.
struct Run<'a> {
    segment: &'a Segment,
    file: Arc<dyn DiskFile>,
    jobs: &'a [Job],
}

impl Inner {
    /// Waits until the queue is on disk up to `lsn`, writing it if nobody else does.
    pub(super) fn commit(&self, lsn: u64) -> Result<()> {
        while self.written.load(Ordering::Acquire) < lsn {
            let gate = self.turns.gate();
            if self.written.load(Ordering::Acquire) >= lsn {
                break;
            }
            let on_its_way = gate.under_way() > 0 && !self.is_queued(lsn);
            if on_its_way || gate.is_full() {
                drop(gate.wait());
            } else if self.degraded.load(Ordering::Acquire) {
                return Err(self.degraded_error());
            } else {
                self.round(gate)?;
            }
        }
        Ok(())
    }

    /// Writes everything that is queued now.
    pub(super) fn flush_all(&self) -> Result<()> {
        let lsn = lock(&self.log).lsn;
        self.commit(lsn)
    }

    /// Waits until the oldest that is not on disk is there. False if everything is.
    pub(super) fn write_some(&self) -> Result<bool> {
        let oldest = self.written.load(Ordering::Acquire) + 1;
        if lock(&self.log).lsn < oldest {
            return Ok(false);
        }
        self.commit(oldest).map(|()| true)
    }

    /// Whether something up to `lsn` has not been taken from the queue, or has come back to it.
    fn is_queued(&self, lsn: u64) -> bool {
        lock(&self.log).jobs.front().is_some_and(|job| job.lsn <= lsn)
    }

    /// Tells the disk whether somebody reads from it these days. The gate is held.
    fn hint_reads(&self) {
        let reads = self.counters.disk_reads.load(Ordering::Relaxed);
        if self.reads_seen.swap(reads, Ordering::Relaxed) != reads {
            self.rounds_unread.store(0, Ordering::Relaxed);
        }
        let unread = self.rounds_unread.fetch_add(1, Ordering::Relaxed);
        self.disk.expect_reads(reads > 0 && unread < ROUNDS_AFTER_READ);
    }

    /// Writes one batch. With an empty one it still ends behind the rounds that are under way, and then knows that
    /// everything is on disk.
    pub(super) fn round(&self, gate: Gate<'_>) -> Result<()> {
        let (batch, upto) = self.take_batch();
        self.hint_reads();
        let runs = self.open_runs(&batch);
        let turn = gate.begin();
        let written = runs.and_then(|runs| {
            runs.iter().try_for_each(|run| self.write_run(run))?;
            Ok(runs)
        });
        drop(turn.wait());
        let sealed = match written {
            // The round before has failed.
            _ if self.is_queued(upto) => Err(None),
            Ok(runs) => runs.iter().try_for_each(|run| self.seal_run(run)).map_err(Some),
            Err(error) => Err(Some(error)),
        };
        if let Err(error) = sealed {
            // Nobody may begin before it is known that the store is degraded: it would take the same jobs again.
            let _gate = turn.wait();
            error.iter().for_each(|error| self.degrade(error));
            self.put_back(batch);
            return Err(error.unwrap_or_else(|| self.degraded_error()));
        }
        for job in &batch {
            if let Work::Record { loc, .. } = &job.work {
                self.resident.written(*loc);
            }
        }
        // Whoever waits for this may want the space of a segment that went: the jobs must not keep it.
        drop(batch);
        self.written.store(upto, Ordering::Release);
        Ok(())
    }

    /// The next jobs, and the place in the queue up to which they go.
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
        let upto = batch.last().map_or(log.lsn, |job| job.lsn);
        (batch, upto)
    }

    /// Queues what could not be written again, where it was.
    fn put_back(&self, batch: Vec<Job>) {
        let Some(first) = batch.first().map(|job| job.lsn) else { return };
        let mut log = lock(&self.log);
        log.queued_bytes += batch.iter().map(Job::bytes).sum::<u64>();
        let at = log.jobs.partition_point(|job| job.lsn < first);
        let behind = log.jobs.split_off(at);
        log.jobs.extend(batch);
        log.jobs.extend(behind);
    }

    /// Notes a background error; the first one counts.
    pub(super) fn degrade(&self, error: &Error) {
        lock(&self.first_error).get_or_insert_with(|| Arc::new(error.clone()));
        self.degraded.store(true, Ordering::Release);
        self.counters.write_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens the files of a batch, those that are not there yet included.
    fn open_runs<'a>(&self, batch: &'a [Job]) -> Result<Vec<Run<'a>>> {
        let (mut runs, mut created) = (Vec::new(), false);
        for jobs in batch.chunk_by(|a, b| a.segment.id == b.segment.id) {
            let segment = &*jobs[0].segment;
            let there = segment.created.load(Ordering::Acquire);
            let file = if there { self.segments.file(segment, &*self.disk)? } else { self.create_file(segment)? };
            created |= !there;
            runs.push(Run { segment, file, jobs });
        }
        if created && self.opts.syncs() {
            self.disk.sync_dir().map_err(|e| Error::io("syncing the directory", e))?;
        }
        Ok(runs)
    }

    fn create_file(&self, segment: &Segment) -> Result<Arc<dyn DiskFile>> {
        let name = file_name(segment.id);
        let file = match segment.spares() {
            [] => self.disk.create(&name).map_err(|e| Error::io(format!("creating {name}"), e))?,
            spares => self.reuse_files(spares, &name)?,
        };
        let header = encode(segment.id, self.id);
        write_all(&*file, &[&header], 0).map_err(|e| Error::io(format!("writing {name}"), e))?;
        self.counters.disk_bytes_written.fetch_add(HEADER_BYTES, Ordering::Relaxed);
        self.segments.opened(segment, &file);
        segment.created.store(true, Ordering::Release);
        Ok(file)
    }

    /// Writes, and syncs if the mode does, the records of a run.
    fn write_run(&self, run: &Run<'_>) -> Result<()> {
        let mut slices = Slices::default();
        for job in run.jobs {
            if let Work::Record { loc, gap, buf } = &job.work {
                slices.push(loc.offset(), *gap, buf.bytes());
            }
        }
        if slices.slices.is_empty() {
            return Ok(());
        }
        write_all(&*run.file, &slices.slices, slices.start)
            .map_err(|e| Error::io(format!("writing {}", file_name(run.segment.id)), e))?;
        self.counters.disk_bytes_written.fetch_add(slices.end - slices.start, Ordering::Relaxed);
        self.sync_run(run)
    }

    /// Seals the segment of a run, if it ends with it. A footer vouches for its records, so everything before is on disk.
    fn seal_run(&self, run: &Run<'_>) -> Result<()> {
        run.segment.holds_records.store(true, Ordering::Release);
        let end = run.jobs.iter().find_map(|job| if let Work::Seal(end) = job.work { Some(end) } else { None });
        if let Some(end) = end {
            let (tail, bytes) = self.write_footer(run.segment, &*run.file, end)?;
            self.sync_run(run)?;
            if !run.segment.spares().is_empty() {
                self.cut_reused(&*run.file, &tail)?;
            }
            run.segment.sealed(tail, bytes);
        }
        Ok(())
    }

    fn sync_run(&self, run: &Run<'_>) -> Result<()> {
        if self.opts.syncs() {
            run.file.sync().map_err(|e| Error::io(format!("syncing {}", file_name(run.segment.id)), e))?;
            self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        } else {
            run.segment.unsynced.store(true, Ordering::Release);
        }
        Ok(())
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
    fn push(&mut self, offset: u64, gap: u64, bytes: &'a [u8]) {
        if self.slices.is_empty() {
            // Also here: there may be something else in a file that was another segment's.
            (self.start, self.end) = (offset - gap, offset - gap);
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
