//! The way back from a failed write.

use super::log::{BLOCK, By, Job, Work};
use super::{Inner, Store};
use crate::buf::{RecordBuf, Room};
use crate::error::{BusyReason, Error, Result};
use crate::format::record::Header;
use crate::format::segment::file_name;
use crate::index::State;
use crate::limits::RECORD_OVERHEAD_BYTES;
use crate::sync::atomic::Ordering;
use crate::sync::lock;
use std::collections::BTreeSet;
use std::io::ErrorKind;

impl Store {
    /// Tries to take writes again after a failed one.
    ///
    /// Files that failed are not written again. What was queued for them is still in RAM and gets new places in
    /// new files, in the same order; nothing that was acknowledged, and nothing that reads see, is lost.
    ///
    /// # Errors
    /// What writing failed with this time; the store stays degraded and `resume` may be called again.
    pub fn resume(&self) -> Result<()> {
        self.inner.check_open()?;
        self.inner.resume()
    }
}

impl Inner {
    pub(super) fn resume(&self) -> Result<()> {
        let _space = lock(&self.space);
        let gate = self.turns.none_under_way();
        if !self.degraded.load(Ordering::Acquire) {
            return Ok(());
        }
        self.requeue()?;
        *lock(&self.first_error) = None;
        self.degraded.store(false, Ordering::Release);
        drop(gate);
        self.flush_all()
    }

    /// Gives every queued record a place in a new segment.
    fn requeue(&self) -> Result<()> {
        let mut log = lock(&self.log);
        self.give_up_new_files(&log)?;
        if let Some(active) = log.active.take() {
            active.segment.shrink_to(active.end.next_multiple_of(BLOCK));
            active.segment.close_without_footer();
        }
        let mut old = std::mem::take(&mut log.jobs);
        log.queued_bytes = 0;
        while let Some(job) = old.pop_front() {
            job.segment.close_without_footer();
            if let Err(error) = self.requeue_one(&mut log, &job) {
                old.push_front(job);
                // Those with new places come first, as they did before.
                log.queued_bytes += old.iter().map(Job::bytes).sum::<u64>();
                log.jobs.extend(old);
                return Err(error);
            }
        }
        drop(log);
        self.forget_files_given_up();
        Ok(())
    }

    /// Removes files of which nothing is written for certain, so that their disk bytes serve the new ones. Nobody
    /// reads them: their records are all in RAM.
    fn give_up_new_files(&self, log: &super::Log) -> Result<()> {
        let active = log.active.iter().map(|active| &active.segment);
        for segment in log.jobs.iter().map(|job| &job.segment).chain(active) {
            if segment.holds_records.load(Ordering::Acquire) || segment.disk_bytes() == 0 {
                continue;
            }
            let name = file_name(segment.id);
            match self.disk.remove(&name) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(format!("removing {name}"), e)),
                _ => {}
            }
            self.remove_spare_files(segment.spares())?;
            segment.file_is_gone();
        }
        Ok(())
    }

    fn requeue_one(&self, log: &mut super::Log, job: &Job) -> Result<()> {
        let Work::Record { loc, buf: old, .. } = &job.work else { return Ok(()) };
        let header = Header::read(old.bytes()).expect("records are built by the format module");
        let hash = self.hash(&old.bytes()[header.key_range()]);
        let current = self.index.peek(hash);
        let needed = if header.tombstone {
            current.is_none()
        } else {
            matches!(current, Some((now, State::Live)) if now == *loc)
        };
        if !needed {
            self.resident.remove(*loc);
            return Ok(());
        }
        let len = header.record_len();
        let bytes = Room::bytes_for(len);
        self.resident.evict(bytes as u64);
        let ram = self.ram.try_take((bytes + RECORD_OVERHEAD_BYTES) as u64).ok_or(Error::Busy(BusyReason::Ram))?;
        let key_len = usize::from(header.key_len);
        let busy = |blocked| match blocked {
            super::log::Blocked::Disk(_) => Error::Busy(BusyReason::Disk),
            _ => Error::Busy(BusyReason::Ram),
        };
        self.place(log, len, key_len, By::Cleaner).map_err(busy)?;
        let appended = self.push(log, RecordBuf::new(Room::copy_of(old.bytes(), len), ram), hash, Some(header.seq));
        if !header.tombstone {
            self.index.relocate(hash, *loc, appended.loc);
            self.segments.add_live(appended.loc);
            self.segments.sub_live(*loc);
        }
        self.resident.remove(*loc);
        Ok(())
    }

    /// Segments whose files were given up hold nothing.
    fn forget_files_given_up(&self) {
        let log = lock(&self.log);
        let queued: BTreeSet<u32> = log.jobs.iter().map(|job| job.segment.id).collect();
        for segment in self.segments.all() {
            let unused = !segment.is_open() && !queued.contains(&segment.id);
            if unused && !segment.holds_records.load(Ordering::Acquire) {
                self.segments.remove(segment.id);
            }
        }
    }
}
