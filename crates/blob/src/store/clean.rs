//! Cleaning one segment: what lives moves to the head of the log, then the file goes.
//!
//! For each record, by what the index says of its key:
//!
//! | index                   | at the tail | elsewhere                                                    |
//! |-------------------------|-------------|--------------------------------------------------------------|
//! | here, live              | moved       | moved                                                        |
//! | here, evicted           | dropped *   | dropped, a tombstone is left: an older record may exist      |
//! | elsewhere               | dropped     | dropped: the newer one hides whatever is older               |
//! | nothing, a tombstone    | dropped     | moved: an older record may exist                             |
//! | nothing, a value        | dropped     | dropped: a tombstone newer than it exists                    |
//!
//! \* The index forgets it only once the file is gone: until then a crash may bring the record back, and whoever changes
//! the key meanwhile must hear that there is one.
//!
//! The file is unlinked only after everything appended so far is on disk: what made a record dead may be newer
//! than the last sync. The unlink is durable before the segment leaves the table, so the tail is the tail of what
//! a crash would find.

use super::Inner;
use super::log::{By, SEGMENT_RAM_BYTES};
use super::read::Again;
use super::recover;
use crate::budget::Permit;
use crate::buf::{RecordBuf, Room};
use crate::error::{BusyReason, Class, Error, Result};
use crate::format::footer::{Contents, Item};
use crate::format::record::{self, Header};
use crate::format::segment::file_name;
use crate::hash::KeyHash;
use crate::index::{Loc, State};
use crate::limits::RECORD_OVERHEAD_BYTES;
use crate::segment::{Listing, Segment};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};
use std::io::ErrorKind;

impl Inner {
    /// Cleans a closed segment. The caller holds `space`.
    pub(super) fn clean(&self, segment: &Arc<Segment>) -> Result<()> {
        let (contents, _ram) = self.contents_of(segment)?;
        self.clean_listed(segment, contents)
    }

    /// The same with its list of records at hand.
    pub(super) fn clean_listed(&self, segment: &Arc<Segment>, contents: Contents) -> Result<()> {
        self.check_writable_for_cleaning()?;
        let at_tail = self.segments.tail() == Some(segment.id);
        let nothing_lives = segment.live.load(Ordering::Acquire) == 0;
        for item in contents.items() {
            let key = contents.key(item);
            if !self.carry_on(segment.id, item, key, at_tail)? {
                segment.quarantined.store(true, Ordering::Relaxed);
                return Ok(());
            }
        }
        debug_assert!(!nothing_lives || segment.live.load(Ordering::Acquire) == 0);
        self.flush_all()?;
        self.drop_segment(segment)?;
        for item in contents.items() {
            self.forget_evicted(item.hash, item.loc(segment.id));
        }
        self.counters.segments_cleaned.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn check_writable_for_cleaning(&self) -> Result<()> {
        if self.degraded.load(Ordering::Acquire) { Err(self.degraded_error()) } else { Ok(()) }
    }

    /// Gives up a segment of which nothing is needed: its file becomes a spare one, or is unlinked.
    pub(super) fn drop_segment(&self, segment: &Arc<Segment>) -> Result<()> {
        if self.may_spare(segment) && self.segments.remove_unshared(segment) {
            return self.spare_file(segment);
        }
        let name = file_name(segment.id);
        match self.disk.remove(&name) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                let error = Error::io(format!("removing {name}"), e);
                self.degrade(&error);
                return Err(error);
            }
            _ => {}
        }
        if self.opts.syncs()
            && let Err(e) = self.disk.sync_dir()
        {
            let error = Error::io("syncing the directory", e);
            self.degrade(&error);
            return Err(error);
        }
        self.segments.remove(segment.id);
        Ok(())
    }

    /// Deals with one record. False if it is damaged and may not be thrown away.
    fn carry_on(&self, segment: u32, item: &Item, key: &[u8], at_tail: bool) -> Result<bool> {
        let loc = item.loc(segment);
        loop {
            let done = match self.index.peek(item.hash) {
                Some((now, State::Evicted)) if now == loc && !at_tail => self.leave_tombstone(item.hash, loc, key)?,
                Some((now, State::Corrupt)) if now == loc => return Ok(false),
                Some((now, State::Live)) if now == loc => match self.move_record(item.hash, loc) {
                    Err(e) if e.class() == Class::Corrupt => {
                        self.note_corrupt(item.hash, loc);
                        false
                    }
                    moved => moved?,
                },
                None if item.tombstone && !at_tail => self.move_tombstone(item.hash, key)?,
                _ => true,
            };
            if done {
                return Ok(true);
            }
        }
    }

    /// Copies a live record to the head of the log. False if it is no longer what it was: look again.
    fn move_record(&self, hash: KeyHash, loc: Loc) -> Result<bool> {
        let old = match self.resident.get(loc) {
            Some(buf) => buf,
            None => self.read_record(loc, Again::Hardly)?,
        };
        let header = Header::read(old.bytes()).map_err(|bad| super::read::bad_record(loc, bad))?;
        if header.is_expired(self.now_ms()) {
            self.expire(hash, loc);
            return Ok(false);
        }
        let len = loc.len as usize;
        let ram = self.take_ram((Room::bytes_for(len) + RECORD_OVERHEAD_BYTES) as u64, self.patient())?;
        let buf = RecordBuf::new(Room::copy_of(old.bytes(), len), ram);
        drop(old);
        let key_len = usize::from(header.key_len);
        let relocate = |log: &mut super::Log, buf| {
            let to = self.push(log, buf, hash, Some(header.seq)).loc;
            let moved = self.index.relocate(hash, loc, to);
            debug_assert!(moved, "the log was locked since the index said that the record is here");
            self.segments.add_live(to);
            self.segments.sub_live(loc);
            self.resident.remove(loc);
            self.counters.relocated_bytes.fetch_add(loc.padded_len(), Ordering::Relaxed);
        };
        let still = |now: Option<(Loc, State)>| now == Some((loc, State::Live));
        self.append_if(hash, still, (header.record_len(), key_len), buf, relocate)
    }

    /// Leaves a tombstone for an evicted item and forgets it.
    fn leave_tombstone(&self, hash: KeyHash, loc: Loc, key: &[u8]) -> Result<bool> {
        let still = |now: Option<(Loc, State)>| now == Some((loc, State::Evicted));
        let forget = |log: &mut super::Log, buf| {
            let appended = self.push(log, buf, hash, None);
            self.last_tombstone.fetch_max(appended.lsn, Ordering::AcqRel);
            self.index.remove_at(hash, loc);
        };
        self.append_tombstone_if(hash, still, key, forget)
    }

    /// Forgets an evicted item whose record is gone.
    fn forget_evicted(&self, hash: KeyHash, loc: Loc) {
        let _log = lock(&self.log);
        if self.index.peek(hash) == Some((loc, State::Evicted)) {
            self.index.remove_at(hash, loc);
        }
    }

    fn move_tombstone(&self, hash: KeyHash, key: &[u8]) -> Result<bool> {
        let still = |now: Option<(Loc, State)>| now.is_none();
        let push = |log: &mut super::Log, buf| {
            self.push(log, buf, hash, None);
        };
        self.append_tombstone_if(hash, still, key, push)
    }

    fn append_tombstone_if(
        &self,
        hash: KeyHash,
        still: impl Fn(Option<(Loc, State)>) -> bool,
        key: &[u8],
        then: impl FnOnce(&mut super::Log, RecordBuf),
    ) -> Result<bool> {
        let len = record::record_len(key.len(), 0);
        let ram = self.take_ram((Room::bytes_for(len) + RECORD_OVERHEAD_BYTES) as u64, self.patient())?;
        let buf = RecordBuf::new(record::tombstone(key), ram);
        self.append_if(hash, still, (len, key.len()), buf, then)
    }

    /// Compare and swap: appends only while the index still says what `still` expects of it.
    fn append_if(
        &self,
        hash: KeyHash,
        still: impl Fn(Option<(Loc, State)>) -> bool,
        (len, key_len): (usize, usize),
        buf: RecordBuf,
        then: impl FnOnce(&mut super::Log, RecordBuf),
    ) -> Result<bool> {
        for _ in 0..CLEANER_RETRIES {
            self.check_writable_for_cleaning()?;
            let mut log = lock(&self.log);
            if !still(self.index.peek(hash)) {
                return Ok(false);
            }
            match self.place(&mut log, len, key_len, By::Cleaner) {
                Ok(()) => {
                    then(&mut log, buf);
                    return Ok(true);
                }
                Err(super::log::Blocked::Disk(_)) => return Err(Error::Busy(BusyReason::Disk)),
                Err(_) => {
                    drop(log);
                    drop(self.take_ram(64 * 1024, self.patient())?);
                }
            }
        }
        Err(Error::Busy(BusyReason::Ram))
    }

    /// The records of a closed segment with their keys, and the RAM they take.
    pub(super) fn contents_of(&self, segment: &Segment) -> Result<(Contents, Permit)> {
        match segment.listing() {
            Listing::Ram(contents) => {
                let need = {
                    let contents = lock(&contents);
                    contents.items().iter().map(|item| Contents::ram_cost(contents.key(item).len())).sum::<u64>()
                };
                let ram = self.take_ram(need + SEGMENT_RAM_BYTES, self.patient())?;
                let copy = lock(&contents).clone();
                Ok((copy, ram))
            }
            Listing::Footer(tail) => {
                let keys = tail.key_pages();
                let need = (keys.end - keys.start) * 2 + u64::from(tail.count) * Contents::ram_cost(0);
                let mut ram = self.take_ram(need + SEGMENT_RAM_BYTES, self.patient())?;
                let file = self.segments.file(segment, &*self.disk)?;
                match recover::read_key_pages(&*file, segment.id, &tail, |key| self.hash(key)) {
                    Err(e) if e.class() == Class::Corrupt => {
                        // The footer rotted: the records say the same.
                        let scan = recover::scan(&*file, segment.id, self.id, tail.start, |key| self.hash(key))?;
                        let need = scan.contents.footer_len() * 4;
                        if need > ram.bytes() && !ram.try_grow(need - ram.bytes()) {
                            return Err(Error::Busy(BusyReason::Ram));
                        }
                        Ok((scan.contents, ram))
                    }
                    contents => Ok((contents?, ram)),
                }
            }
        }
    }
}

/// Attempts of the cleaner to find RAM for a segment's list of records.
const CLEANER_RETRIES: usize = 64;
