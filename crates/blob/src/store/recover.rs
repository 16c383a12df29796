//! Opening. There is one path, whether the store was closed, killed, or lost its power:
//! for each segment in order, take the footer if it is whole, else scan the records and write the footer now.
//!
//! Later records win, because the log's order is the order of all changes. Scanning skips what is no valid record
//! and goes on behind it: a hole torn by a power cut was never acknowledged, and what rotted must not hide what is
//! behind it.

use super::log::{BLOCK, Log, SEGMENT_RAM_BYTES};
use super::{Inner, Mutex};
use crate::budget::{Budget, Permit};
use crate::disk::{Disk, DiskFile};
use crate::error::{Class, Error, Result};
use crate::format::footer::{self, Contents, TAIL_BYTES, Tail};
use crate::format::record::{self, Header, Place};
use crate::format::segment::{HEADER_BYTES, file_name, is_spare_name, parse_file_name};
use crate::format::superblock::{LOCK_FILE, STATE_FILE, STATE_TMP, STORE_FILE, STORE_TMP, State, Superblock};
use crate::format::{Crc32c, crc32c};
use crate::hash::KeyHash;
use crate::index::{Index, Loc, State as ItemState};
use crate::limits::{DISK_BUFFER_BYTES, DISK_BUFFER_SHARE, PIECE_BYTES, ROUNDS_AT_ONCE, SEQ_SKIP};
use crate::options::{DISK_FIXED_BYTES, Mode, Options, random_u64};
use crate::resident::Resident;
use crate::segment::{Listing, Segment, Segments};
use crate::spare::{Spare, Spares};
use crate::store::flush::write_all;
use crate::store::read::read_full;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, lock};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::ops::Range;

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Segments found.
    pub segments: usize,
    /// Segments without a whole footer, whose records were read.
    pub scanned: usize,
    /// Entries read, dead ones included.
    pub entries: u64,
    /// Bytes between records that are no records: torn by a crash, or rotten.
    pub skipped_bytes: u64,
    /// A cache that could not be believed after a power cut was emptied.
    pub cold: bool,
    /// Segments of a cache dropped because the disk limit is smaller than it was.
    pub dropped: usize,
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |e| Error::io(what, e)
}

pub(super) fn open(disk: Arc<dyn Disk>, opts: Options) -> Result<Inner> {
    opts.validate()?;
    let lock = disk.lock(LOCK_FILE).map_err(io("locking the directory"))?.ok_or(Error::Locked)?;
    let mut report = OpenReport::default();
    let mut superblock = load_superblock(&*disk, &opts)?;
    if let Mode::Cache { .. } = opts.mode
        && !prepare_cache(&*disk, &opts)?
    {
        report.cold = true;
        superblock = empty(&*disk, &opts)?;
    }
    let disk_bytes = Budget::new(opts.disk_limit - DISK_FIXED_BYTES);
    let ram = Budget::new(opts.ram_limit);
    let policy = (!opts.is_durable()).then_some(opts.policy);
    let no_room = |_| Error::IndexFull { limit: opts.ram_limit };
    let inner = Inner {
        id: superblock.store,
        seed: superblock.seed,
        index: Index::new(policy, &ram).map_err(no_room)?,
        resident: Resident::new(),
        segments: Segments::new(opts.max_open_files),
        log: Mutex::new(Log {
            active: None,
            next_segment: 1,
            next_seq: opts.seq_floor(),
            lsn: 0,
            jobs: VecDeque::new(),
            queued_bytes: 0,
        }),
        taken: Condvar::new(),
        turns: super::Turns::new(if opts.syncs() { 1 } else { ROUNDS_AT_ONCE }),
        space: Mutex::default(),
        reads_seen: AtomicU64::new(0),
        rounds_unread: AtomicU64::new(0),
        written: AtomicU64::new(0),
        last_tombstone: AtomicU64::new(0),
        degraded: AtomicBool::new(false),
        first_error: Mutex::default(),
        closed: AtomicBool::new(false),
        counters: super::Counters::default(),
        flights: super::Flights::default(),
        worker: super::Worker::default(),
        report: OpenReport::default(),
        _lock: lock,
        ram,
        disk_bytes,
        spares: Spares::default(),
        disk,
        opts,
    };
    inner.load(report)
}

/// Reads the superblock, or makes one in an empty directory.
fn load_superblock(disk: &dyn Disk, opts: &Options) -> Result<Superblock> {
    let names = disk.list().map_err(io("listing the directory"))?;
    if !names.iter().any(|name| name == STORE_FILE) {
        if names.iter().any(|name| parse_file_name(name).is_some()) {
            return Err(Error::NotThisStore("there are segments but no STORE file".into()));
        }
        return make_superblock(disk, opts);
    }
    let bytes = read_small(disk, STORE_FILE)?;
    let superblock = Superblock::decode(&bytes)
        .ok_or_else(|| Error::NotThisStore("the STORE file is damaged or of another version".into()))?;
    if superblock.durable != opts.is_durable() {
        let was = if superblock.durable { "durable" } else { "cache" };
        return Err(Error::NotThisStore(format!("it was made in {was} mode")));
    }
    Ok(superblock)
}

fn make_superblock(disk: &dyn Disk, opts: &Options) -> Result<Superblock> {
    let (store, seed) = opts.identity.unwrap_or_else(|| (random_u64(), random_u64()));
    let superblock = Superblock { store, seed, durable: opts.is_durable() };
    replace_file(disk, STORE_TMP, STORE_FILE, &superblock.encode())?;
    Ok(superblock)
}

fn read_small(disk: &dyn Disk, name: &str) -> Result<Vec<u8>> {
    let read = || {
        let file = disk.open(name)?;
        let len = usize::try_from(file.len()?.min(BLOCK)).unwrap_or(0);
        let mut bytes = vec![0; len];
        read_full(&*file, &mut bytes, 0).map(|()| bytes)
    };
    read().map_err(|e| Error::io(format!("reading {name}"), e))
}

/// Replaces a small file so that a crash leaves the old or the new one.
fn replace_file(disk: &dyn Disk, tmp: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let write = || {
        match disk.remove(tmp) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = disk.create(tmp)?;
        write_all(&*file, &[bytes], 0)?;
        file.sync()?;
        disk.rename(tmp, name)?;
        disk.sync_dir()
    };
    write().map_err(|e| Error::io(format!("writing {name}"), e))
}

/// Decides whether a cache's files may be believed, and notes that it is open. False: they may not.
fn prepare_cache(disk: &dyn Disk, opts: &Options) -> Result<bool> {
    let names = disk.list().map_err(io("listing the directory"))?;
    let segments: Vec<u32> = names.iter().filter_map(|name| parse_file_name(name)).collect();
    let state = match names.iter().any(|name| name == STATE_FILE) {
        true => State::decode(&read_small(disk, STATE_FILE)?),
        false => None,
    };
    let boot = disk.boot_id();
    let believed = segments.is_empty() || state.is_some_and(|state| state.clean || state.boot == boot);
    if !believed {
        return Ok(false);
    }
    if opts.syncs() && !state.is_some_and(|state| state.clean) {
        for id in segments {
            let name = file_name(id);
            let sync = || disk.open(&name)?.sync();
            sync().map_err(|e| Error::io(format!("syncing {name}"), e))?;
        }
        disk.sync_dir().map_err(io("syncing the directory"))?;
    }
    replace_file(disk, STATE_TMP, STATE_FILE, &State { clean: opts.syncs(), boot }.encode())?;
    Ok(true)
}

/// Removes all segments, durably, and gives the store a new identity: what recycled blocks hold is no record.
fn empty(disk: &dyn Disk, opts: &Options) -> Result<Superblock> {
    for name in disk.list().map_err(io("listing the directory"))? {
        if parse_file_name(&name).is_some() {
            disk.remove(&name).map_err(|e| Error::io(format!("removing {name}"), e))?;
        }
    }
    disk.sync_dir().map_err(io("syncing the directory"))?;
    let superblock = make_superblock(disk, opts)?;
    prepare_cache(disk, opts)?;
    Ok(superblock)
}

impl Options {
    /// Versions begin above anything given out before, even if every record of that time is gone.
    fn seq_floor(&self) -> u64 {
        (self.clock)().min(1 << 43) << 20
    }
}

/// A segment as found: with its footer, or with what scanning brought.
struct Found {
    id: u32,
    file: Arc<dyn DiskFile>,
    len: u64,
    tail: Option<Tail>,
}

impl Inner {
    fn load(mut self, mut report: OpenReport) -> Result<Self> {
        let mut ids: Vec<u32> = {
            let names = self.disk.list().map_err(io("listing the directory"))?;
            for name in names.iter().filter(|name| is_spare_name(name)) {
                self.disk.remove(name).map_err(|e| Error::io(format!("removing {name}"), e))?;
            }
            names.iter().filter_map(|name| parse_file_name(name)).collect()
        };
        ids.sort_unstable();
        report.segments = ids.len();
        let permits = self.admit(&mut ids, &mut report)?;
        let found = ids.iter().map(|&id| self.find_segment(id)).collect::<Result<Vec<_>>>()?;
        let entries: usize = found.iter().filter_map(|found| found.tail).map(|tail| tail.count as usize).sum();
        // Only a hint: without the room it grows step by step, or says that it cannot.
        let _ = self.index.reserve(entries, self.opts.ram_limit / 2);
        let (mut max_seq, mut next) = (0, 1);
        for (found, permit) in found.into_iter().zip(permits) {
            next = found.id + 1;
            max_seq = max_seq.max(self.load_segment(found, permit, &mut report)?);
        }
        let log = self.log.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        log.next_segment = next;
        log.next_seq = log.next_seq.max(max_seq + SEQ_SKIP);
        if self.opts.direct_writes
            && self.opts.ram_limit >= DISK_BUFFER_BYTES * DISK_BUFFER_SHARE
            && let Some(ram) = self.ram.try_take(DISK_BUFFER_BYTES)
        {
            self.disk.lend(ram);
        }
        self.report = report;
        Ok(self)
    }

    /// Counts the files against the disk limit. A cache whose limit has shrunk loses its oldest segments.
    fn admit(&self, ids: &mut Vec<u32>, report: &mut OpenReport) -> Result<Vec<Permit>> {
        let mut permits = Vec::with_capacity(ids.len());
        let mut kept = ids.len();
        for &id in ids.iter().rev() {
            let name = file_name(id);
            let len = self.disk.open(&name).and_then(|file| file.len());
            let len = len.map_err(|e| Error::io(format!("opening {name}"), e))?;
            match self.disk_bytes.try_take(len.next_multiple_of(BLOCK)) {
                Some(permit) => permits.push(permit),
                None if self.opts.is_durable() => {
                    return Err(Error::Full { live: self.disk_bytes.used() + len, limit: self.opts.disk_limit });
                }
                None => break,
            }
            kept -= 1;
        }
        report.dropped = kept;
        for id in ids.drain(..kept) {
            self.disk.remove(&file_name(id)).map_err(io("removing a segment beyond the limit"))?;
            if self.opts.syncs() {
                self.disk.sync_dir().map_err(io("syncing the directory"))?;
            }
        }
        permits.reverse();
        Ok(permits)
    }

    fn find_segment(&self, id: u32) -> Result<Found> {
        let name = file_name(id);
        let look = || {
            let file = self.disk.open(&name)?;
            let len = file.len()?;
            let mut tail = [0; TAIL_BYTES];
            let at = len.checked_sub(TAIL_BYTES as u64);
            let tail = match at {
                Some(at) => read_full(&*file, &mut tail, at).map(|()| Tail::decode(&tail, id, self.id, len))?,
                None => None,
            };
            Ok(Found { id, file, len, tail })
        };
        look().map_err(|e| Error::io(format!("reading {name}"), e))
    }

    /// Brings one segment into table and index; its highest sequence number.
    fn load_segment(&self, found: Found, mut permit: Permit, report: &mut OpenReport) -> Result<u64> {
        if let Some(tail) = found.tail {
            let mut entries = Entries::new(&*found.file, &tail);
            match entries.verify() {
                Ok(()) => {
                    let disk = Spare { files: Vec::new(), bytes: permit };
                    let segment = Segment::new(found.id, Listing::Footer(tail), false, disk, None);
                    let segment = Arc::new(segment);
                    self.segments.insert(Arc::clone(&segment));
                    report.entries += u64::from(tail.count);
                    entries.for_each(|entry| {
                        let loc = Loc::new(found.id, entry.offset, entry.len);
                        self.load_entry(&segment, entry.hash, loc, entry.tombstone)
                    })?;
                    return Ok(tail.max_seq);
                }
                Err(error) if error.class() == Class::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        let end = found.tail.map_or(found.len, |tail| tail.start);
        let scan = scan(&*found.file, found.id, self.id, end, |key| self.hash(key))?;
        report.scanned += 1;
        report.entries += scan.contents.items().len() as u64;
        report.skipped_bytes += scan.skipped;
        if scan.contents.items().is_empty() {
            drop(found.file);
            return self.disk.remove(&file_name(found.id)).map_err(io("removing an empty segment")).map(|()| 0);
        }
        let max_seq = scan.contents.max_seq();
        let cost: u64 = scan.contents.items().iter().map(|i| Contents::ram_cost(scan.contents.key(i).len())).sum();
        let no_room = || Error::IndexFull { limit: self.opts.ram_limit };
        let ram = self.ram.try_take(cost + SEGMENT_RAM_BYTES).ok_or_else(no_room)?;
        let end = scan.end;
        let sealed_len = (end + scan.contents.footer_len()).next_multiple_of(BLOCK);
        let may_seal = sealed_len <= permit.bytes() || permit.try_grow(sealed_len - permit.bytes());
        let contents = Arc::new(Mutex::new(scan.contents));
        let listing = Listing::Ram(Arc::clone(&contents));
        let segment =
            Arc::new(Segment::new(found.id, listing, false, Spare { files: Vec::new(), bytes: permit }, Some(ram)));
        self.segments.insert(Arc::clone(&segment));
        for item in lock(&contents).items() {
            self.load_entry(&segment, item.hash, item.loc(found.id), item.tombstone)?;
        }
        // If it cannot be sealed now, it is listed in RAM and the next open scans it again.
        if may_seal && let Err(error) = self.seal_found(&segment, &*found.file, end) {
            self.degrade(&error);
        }
        Ok(max_seq)
    }

    fn seal_found(&self, segment: &Segment, file: &dyn DiskFile, end: u64) -> Result<()> {
        let fail = |e| Error::io(format!("sealing {}", file_name(segment.id)), e);
        file.set_len(end).map_err(fail)?;
        if self.opts.syncs() {
            // A footer vouches for its records, so it must not be there before them.
            file.sync().map_err(fail)?;
        }
        let (tail, bytes) = self.write_footer(segment, file, end)?;
        if self.opts.syncs() {
            file.sync().map_err(fail)?;
            self.disk.sync_dir().map_err(fail)?;
        } else {
            segment.unsynced.store(true, Ordering::Release);
        }
        segment.sealed(tail, bytes);
        Ok(())
    }

    fn load_entry(&self, segment: &Segment, hash: KeyHash, loc: Loc, tombstone: bool) -> Result<()> {
        let replaced = if tombstone {
            segment.tombstones.fetch_add(loc.padded_len(), Ordering::Relaxed);
            self.index.remove(hash)
        } else {
            self.index.prepare(hash).map_err(|_| Error::IndexFull { limit: self.opts.ram_limit })?;
            segment.live.fetch_add(loc.padded_len(), Ordering::Relaxed);
            self.index.put(hash, loc)
        };
        if let Some(old) = replaced
            && old.state != ItemState::Evicted
        {
            self.segments.sub_live(old.loc);
        }
        Ok(())
    }

    /// Notes that a cache was closed and may be believed, whatever happens to the machine next.
    pub(super) fn mark_clean(&self) -> Result<()> {
        if self.opts.syncs() || self.degraded.load(Ordering::Acquire) {
            return Ok(());
        }
        let unsynced = self.segments.all().into_iter().filter(|segment| segment.unsynced.load(Ordering::Acquire));
        for some in unsynced.collect::<Vec<_>>().chunks(self.opts.max_open_files) {
            let files =
                some.iter().map(|segment| self.segments.file(segment, &*self.disk)).collect::<Result<Vec<_>>>()?;
            self.disk.sync_files(&files).map_err(io("syncing the segments"))?;
        }
        self.disk.sync_dir().map_err(io("syncing the directory"))?;
        let state = State { clean: true, boot: self.disk.boot_id() };
        replace_file(&*self.disk, STATE_TMP, STATE_FILE, &state.encode())
    }
}

/// The entries of a footer, a window at a time: all of them together may be more than there is RAM for.
struct Entries<'a> {
    file: &'a dyn DiskFile,
    tail: &'a Tail,
    window: Vec<u8>,
    /// Where in the file the window was filled from.
    at: Option<u64>,
}

impl<'a> Entries<'a> {
    fn new(file: &'a dyn DiskFile, tail: &'a Tail) -> Self {
        Self { file, tail, window: Vec::new(), at: None }
    }

    fn windows(&mut self, mut f: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let range = self.tail.entries();
        for at in range.clone().step_by(ENTRIES_BYTES) {
            let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(ENTRIES_BYTES);
            // A footer that fits is read once.
            if self.at != Some(at) {
                self.window.resize(len, 0);
                let name = || format!("reading {}", file_name(self.tail.segment));
                read_full(self.file, &mut self.window, at).map_err(|e| Error::io(name(), e))?;
                self.at = Some(at);
            }
            f(&self.window)?;
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<()> {
        let mut crc = Crc32c::default();
        self.windows(|bytes| {
            crc.update(bytes);
            Ok(())
        })?;
        let (segment, offset) = (self.tail.segment, self.tail.start);
        let detail = "the footer does not match its checksum";
        if crc.value() == self.tail.entries_crc { Ok(()) } else { Err(Error::Corrupt { segment, offset, detail }) }
    }

    fn for_each(&mut self, mut f: impl FnMut(footer::Entry) -> Result<()>) -> Result<()> {
        self.windows(|bytes| footer::entries(bytes).try_for_each(&mut f))
    }
}

/// Bytes of entries that are in RAM at a time.
const ENTRIES_BYTES: usize = 64 * 1024 / footer::ENTRY_BYTES * footer::ENTRY_BYTES;

fn read_checked(file: &dyn DiskFile, range: Range<u64>, crc: u32, segment: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("a footer is smaller than its file")];
    let name = file_name(segment);
    read_full(file, &mut bytes, range.start).map_err(|e| Error::io(format!("reading {name}"), e))?;
    if crc32c(&bytes) == crc {
        return Ok(bytes);
    }
    Err(Error::Corrupt { segment, offset: range.start, detail: "the footer does not match its checksum" })
}

/// Reads all keys of a sealed segment, in write order.
pub(crate) fn read_key_pages(
    file: &dyn DiskFile,
    segment: u32,
    tail: &Tail,
    hash: impl Fn(&[u8]) -> KeyHash,
) -> Result<Contents> {
    let directory = read_checked(file, tail.directory(), tail.directory_crc, segment)?;
    let mut contents = Contents::default();
    for page in footer::directory(&directory) {
        let start = tail.key_pages().start + u64::from(page.start);
        let bytes = read_checked(file, start..start + u64::from(page.len), page.crc, segment)?;
        let mut at = 0;
        while let Some((key, next)) = footer::page_key(&bytes, at) {
            contents.push_page_key(hash(key.key), &key);
            at = next;
        }
    }
    contents.sort_by_offset();
    Ok(contents)
}

/// What scanning a segment brought.
pub(crate) struct Scan {
    /// The valid records.
    pub contents: Contents,
    /// Where the last of them ends.
    pub end: u64,
    /// Bytes before that which are no records.
    pub skipped: u64,
}

/// Finds every valid record of a segment between its header and `end`.
pub(crate) fn scan(
    file: &dyn DiskFile,
    segment: u32,
    store: u64,
    end: u64,
    hash: impl Fn(&[u8]) -> KeyHash,
) -> Result<Scan> {
    let mut window = Window { file, limit: end, start: 0, bytes: Vec::new() };
    let mut scan = Scan { contents: Contents::default(), end: HEADER_BYTES, skipped: 0 };
    let mut at = HEADER_BYTES;
    while at < end {
        let record = window.record(Place { store, segment, offset: at });
        match record.map_err(|e| Error::io(format!("reading {}", file_name(segment)), e))? {
            Some((header, key)) => {
                let len = header.record_len() as u64;
                scan.contents.push(hash(&key), &key, at, &header);
                let gap = window.is_gap(scan.end, at, len);
                if !gap.map_err(|e| Error::io(format!("reading {}", file_name(segment)), e))? {
                    scan.skipped += at - scan.end;
                }
                at += record::padded(len);
                scan.end = at;
            }
            None => at += crate::limits::RECORD_ALIGN,
        }
    }
    Ok(scan)
}

/// A part of a file in RAM.
struct Window<'a> {
    file: &'a dyn DiskFile,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

const WINDOW_BYTES: usize = 256 * 1024;

impl Window<'_> {
    /// `len` bytes at `at`, or fewer at the limit.
    fn get(&mut self, at: u64, len: usize) -> std::io::Result<&[u8]> {
        let len = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX).min(len);
        let inside = at >= self.start && at + len as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            let room = usize::try_from(self.limit - at.min(self.limit)).unwrap_or(usize::MAX);
            self.bytes.resize(len.max(WINDOW_BYTES).min(room), 0);
            self.start = at;
            read_full(self.file, &mut self.bytes, at)?;
        }
        let from = usize::try_from(at - self.start).expect("within the window");
        Ok(&self.bytes[from..from + len])
    }

    /// Whether what is between two records is only what a large one leaves free, to begin at a block.
    fn is_gap(&mut self, from: u64, to: u64, len: u64) -> std::io::Result<bool> {
        let gap = usize::try_from(to - from).unwrap_or(usize::MAX);
        Ok(to == record::begin(from, len) && self.get(from, gap)?.iter().all(|&byte| byte == 0))
    }

    /// The record at a place, verified as a whole; `None` if there is none.
    fn record(&mut self, place: Place) -> std::io::Result<Option<(Header, Vec<u8>)>> {
        let Ok(len) = record::head_len(self.get(place.offset, record::FIXED_BYTES)?) else { return Ok(None) };
        let Ok(header) = record::decode_head(self.get(place.offset, len)?, place) else { return Ok(None) };
        let head = self.get(place.offset, len)?;
        let (key, table) = (head[header.key_range()].to_vec(), head[header.table_range()].to_vec());
        let value = header.value_range();
        for (i, from) in value.clone().step_by(PIECE_BYTES).enumerate() {
            let len = PIECE_BYTES.min(value.end - from);
            let piece = self.get(place.offset + from as u64, len)?;
            if piece.len() < len || record::verify_pieces(&table, i, piece).is_err() {
                return Ok(None);
            }
        }
        Ok(Some((header, key)))
    }
}
