//! Appending: the head of the log, in RAM. Nothing here waits or does I/O.

use super::Inner;
use crate::buf::RecordBuf;
use crate::format::footer::Contents;
use crate::format::record::{self, Header, Place};
use crate::format::segment::HEADER_BYTES;
use crate::hash::KeyHash;
use crate::index::Loc;
use crate::limits::BLOCK_BYTES;
use crate::segment::{Listing, Segment};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Mutex, lock};
use std::collections::VecDeque;

/// File systems hand out space in blocks of this many bytes; so do we count it.
pub(super) const BLOCK: u64 = BLOCK_BYTES as u64;

/// What stands between a record and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// No RAM for the list of the segment's records.
    Ram,
    /// No RAM for the index.
    Index,
    /// A new segment of so many bytes is needed and the disk limit does not allow it yet.
    Disk(u64),
}

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A caller: may not touch the segment that is kept free.
    User,
    /// The cleaner, which gives back more than it takes.
    Cleaner,
}

/// Something to be done to a file.
pub(super) enum Work {
    /// Write a record, and zeros where it leaves a gap before it.
    Record { loc: Loc, gap: u64, buf: Arc<RecordBuf> },
    /// Write the footer; records end at this offset.
    Seal(u64),
}

/// One entry of the queue between log and files.
pub(super) struct Job {
    pub segment: Arc<Segment>,
    pub work: Work,
    /// Place in the queue, from 1.
    pub lsn: u64,
}

impl Job {
    pub fn bytes(&self) -> u64 {
        match &self.work {
            Work::Record { loc, .. } => loc.padded_len(),
            Work::Seal(_) => 0,
        }
    }
}

/// The segment that is being filled.
pub(super) struct Active {
    pub segment: Arc<Segment>,
    pub contents: Arc<Mutex<Contents>>,
    pub end: u64,
    pub capacity: u64,
}

/// What the writer lock protects.
pub(super) struct Log {
    pub active: Option<Active>,
    pub next_segment: u32,
    pub next_seq: u64,
    pub lsn: u64,
    pub jobs: VecDeque<Job>,
    pub queued_bytes: u64,
}

/// A record that is in the log.
pub(super) struct Appended {
    pub loc: Loc,
    pub lsn: u64,
    pub seq: u64,
}

impl Log {
    fn push(&mut self, segment: Arc<Segment>, work: Work) -> u64 {
        self.lsn += 1;
        let job = Job { segment, work, lsn: self.lsn };
        self.queued_bytes += job.bytes();
        self.jobs.push_back(job);
        self.lsn
    }

    /// Ends the active segment; its footer is written after its records.
    pub fn rotate(&mut self) {
        if let Some(active) = self.active.take() {
            self.push(active.segment, Work::Seal(active.end));
        }
    }
}

impl Inner {
    /// Bytes that callers leave free on disk, so that the cleaner can always finish one segment.
    pub(super) fn reserve_bytes(&self) -> u64 {
        self.opts.segment_bytes.next_multiple_of(BLOCK)
    }

    /// Bytes of the disk limit that a new segment can have.
    pub(super) fn disk_free(&self) -> u64 {
        self.disk_bytes.free() + self.spares.bytes()
    }

    /// Whether there are so many of them. Spare files are looked at only where they are needed: every put asks.
    fn has_disk(&self, bytes: u64) -> bool {
        self.disk_bytes.free() >= bytes || self.disk_free() >= bytes
    }

    /// Makes sure that a record of `len` bytes with a key of `key_len` can be pushed next.
    pub(super) fn place(&self, log: &mut Log, len: usize, key_len: usize, by: By) -> Result<(), Blocked> {
        let len = len as u64;
        let end_after = |end| record::begin(end, len) + record::padded(len);
        let reserve = if by == By::User { self.reserve_bytes() } else { 0 };
        let cost = Contents::ram_cost(key_len);
        if let Some(active) = &log.active {
            let (footer, listed) = {
                let contents = lock(&active.contents);
                (contents.footer_len_with(key_len), contents.ram_bytes())
            };
            // A segment of many small records, tombstones above all, ends early: its list is in RAM until then.
            let short = listed == 0 || listed + cost <= self.opts.ram_limit / LISTING_SHARE;
            if short && end_after(active.end) + footer <= active.capacity {
                if !self.has_disk(reserve) {
                    return Err(Blocked::Disk(0));
                }
                return if active.segment.grow_listing(cost) { Ok(()) } else { Err(Blocked::Ram) };
            }
        }
        let least = end_after(HEADER_BYTES) + Contents::default().footer_len_with(key_len);
        let capacity = least.max(self.opts.segment_bytes);
        let disk = capacity.next_multiple_of(BLOCK);
        if !self.has_disk(disk + reserve) {
            return Err(Blocked::Disk(disk));
        }
        let ram = self.ram.try_take(cost + SEGMENT_RAM_BYTES).ok_or(Blocked::Ram)?;
        let spare = self.spares.take(disk, &self.disk_bytes).ok_or(Blocked::Disk(disk))?;
        log.rotate();
        let contents = Arc::new(Mutex::new(Contents::default()));
        let listing = Listing::Ram(Arc::clone(&contents));
        let segment = Arc::new(Segment::new(log.next_segment, listing, true, spare, Some(ram)));
        log.next_segment += 1;
        self.segments.insert(Arc::clone(&segment));
        log.active = Some(Active { segment, contents, end: HEADER_BYTES, capacity });
        Ok(())
    }

    /// Appends the record; `place` said that there is room. A record that is moved keeps its `seq`.
    pub(super) fn push(&self, log: &mut Log, mut buf: RecordBuf, hash: KeyHash, seq: Option<u64>) -> Appended {
        let seq = seq.unwrap_or_else(|| {
            log.next_seq += 1;
            log.next_seq
        });
        let active = log.active.as_mut().expect("place() has just made sure of an active segment");
        let segment = Arc::clone(&active.segment);
        let header = Header::read(buf.bytes()).expect("records are built by the format module");
        let header = Header { seq, ..header };
        let len = u32::try_from(header.record_len()).expect("bounded by MAX_VALUE_BYTES");
        let offset = record::begin(active.end, u64::from(len));
        record::stamp(buf.bytes_mut(), seq, Place { store: self.id, segment: segment.id, offset });
        let loc = Loc::new(segment.id, offset, len);
        let gap = offset - active.end;
        active.end = offset + loc.padded_len();
        {
            let mut contents = lock(&active.contents);
            contents.push(hash, &buf.bytes()[header.key_range()], offset, &header);
            debug_assert!(active.end + contents.footer_len() <= active.capacity, "place() has not made sure of room");
        }
        if header.tombstone {
            segment.tombstones.fetch_add(loc.padded_len(), Ordering::Relaxed);
        }
        let buf = Arc::new(buf);
        self.resident.insert(loc, Arc::clone(&buf), true);
        let lsn = log.push(segment, Work::Record { loc, gap, buf });
        Appended { loc, lsn, seq }
    }

    /// Ends the active segment, if there is one.
    pub(super) fn seal_active(&self) {
        lock(&self.log).rotate();
    }
}

/// The list of one segment's records may take one part in so many of the RAM limit.
const LISTING_SHARE: u64 = 16;

/// RAM of a segment's own bookkeeping.
pub(super) const SEGMENT_RAM_BYTES: u64 = 512;
