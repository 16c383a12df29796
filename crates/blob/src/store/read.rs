//! Reading: index, then RAM, then disk; every byte from disk is verified, and the key always.

use super::{Inner, Store};
use crate::buf::{Guard, RecordBuf};
use crate::disk::DiskFile;
use crate::error::{Class, Error, Result, classify};
use crate::format::record::{self, Bad, Header, Place};
use crate::format::segment::file_name;
use crate::hash::KeyHash;
use crate::index::{Hit, Loc, State};
use crate::limits::{ANNOUNCE_MIN_BYTES, PIECE_BYTES, READ_RETRIES, RECORD_OVERHEAD_BYTES, TRANSIENT_RETRIES};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};
use std::io;
use std::ops::Range;

impl Store {
    /// The value of a key. The guard holds the value's RAM and nothing else, for as long as the caller likes.
    ///
    /// # Errors
    /// `Corrupt` (durable mode; a cache drops the value and misses), `Busy` if there is no RAM for the value,
    /// I/O errors.
    pub fn get(&self, key: &[u8]) -> Result<Option<Guard>> {
        self.inner.get(key)
    }

    /// Appends the value to `out`; false, and `out` unchanged, if there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn read_into(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let guard = self.inner.get(key)?;
        guard.iter().for_each(|guard| out.extend_from_slice(guard));
        Ok(guard.is_some())
    }

    /// Calls `f` with the value, which is not copied; `None` if there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn view<T>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        Ok(self.inner.get(key)?.map(|guard| f(&guard)))
    }

    /// A part of a value: only the 64 KiB pieces that it touches are read and verified. The range is cut to the
    /// value's length.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_range(&self, key: &[u8], range: Range<usize>) -> Result<Option<Guard>> {
        self.inner.get_range(key, range)
    }

    /// Whether there is a value for the key, without reading it and without counting as an access. May say yes for
    /// a value that has expired, and for another key with the same hash.
    pub fn may_contain(&self, key: &[u8]) -> bool {
        matches!(self.inner.index.peek(self.inner.hash(key)), Some((_, State::Live)))
    }
}

/// Whether a record will be read from disk once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It was read before, or nobody knows.
    Probably,
    /// It is the first time that it is read at all, or it is read to be moved or verified.
    Hardly,
}

/// What a look at one place brought.
enum Look {
    Hit(Arc<RecordBuf>, Header),
    Miss,
}

impl Inner {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Guard>> {
        let found = self.find(key, |hash, loc, again| self.look(hash, loc, key, again))?;
        let counter = if found.is_some() { &self.counters.hits } else { &self.counters.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(found.map(|(buf, header)| Guard::new(buf, header.value_range(), header)))
    }

    /// Looks the key up and reads at its place, again if the record moves under the read.
    fn find(
        &self,
        key: &[u8],
        read: impl Fn(KeyHash, Loc, Again) -> Result<Look>,
    ) -> Result<Option<(Arc<RecordBuf>, Header)>> {
        Self::check_key(key)?;
        self.check_open()?;
        let hash = self.hash(key);
        for _ in 0..READ_RETRIES {
            let Some(Hit { loc, state, first }) = self.index.access(hash) else { return Ok(None) };
            if state == State::Corrupt {
                return Err(corrupt(loc, "it was found damaged before"));
            }
            let again = if first { Again::Hardly } else { Again::Probably };
            match read(hash, loc, again) {
                Ok(Look::Hit(buf, header)) => return Ok(Some((buf, header))),
                Ok(Look::Miss) => return Ok(None),
                Err(_) if self.moved(hash, loc) => {}
                Err(error) => return self.storage_error(hash, loc, error).map(|()| None),
            }
        }
        // Moved a dozen times in a row: somebody overwrites it faster than we read. Wait for him.
        let _still = lock(&self.log);
        match self.index.get(hash).and_then(|(loc, _)| self.resident.get(loc)) {
            Some(buf) => Ok(self.accept(buf, key)),
            None => Err(Error::Busy(crate::error::BusyReason::Ram)),
        }
    }

    fn moved(&self, hash: KeyHash, loc: Loc) -> bool {
        !matches!(self.index.peek(hash), Some((now, state)) if now == loc && state != State::Evicted)
    }

    /// A verified record as the answer for `key`, if it is.
    fn accept(&self, buf: Arc<RecordBuf>, key: &[u8]) -> Option<(Arc<RecordBuf>, Header)> {
        let header = Header::read(buf.bytes()).ok()?;
        let fits = &buf.bytes()[header.key_range()] == key && !header.is_expired(self.now_ms());
        fits.then_some((buf, header))
    }

    fn look(&self, hash: KeyHash, loc: Loc, key: &[u8], again: Again) -> Result<Look> {
        let buf = match self.resident.get(loc) {
            Some(buf) => {
                self.counters.ram_hits.fetch_add(1, Ordering::Relaxed);
                buf
            }
            None => {
                let buf = self.read_record(loc, again)?;
                self.resident.insert(loc, Arc::clone(&buf), false);
                buf
            }
        };
        let header = Header::read(buf.bytes()).map_err(|bad| bad_record(loc, bad))?;
        if &buf.bytes()[header.key_range()] != key {
            self.counters.collisions.fetch_add(1, Ordering::Relaxed);
            return Ok(Look::Miss);
        }
        if header.is_expired(self.now_ms()) {
            self.expire(hash, loc);
            return Ok(Look::Miss);
        }
        Ok(Look::Hit(buf, header))
    }

    /// An expired item is kept as evicted: its record still hides older ones on disk.
    pub(super) fn expire(&self, hash: KeyHash, loc: Loc) {
        let _log = lock(&self.log);
        self.evict_locked(hash, loc);
    }

    /// The same for any reason, with the log locked.
    pub(super) fn evict_locked(&self, hash: KeyHash, loc: Loc) -> bool {
        let evicted = self.index.evict_at(hash, loc);
        if evicted {
            self.segments.sub_live(loc);
            self.resident.remove(loc);
        }
        evicted
    }

    /// Reads a whole record from disk and verifies it.
    pub(super) fn read_record(&self, loc: Loc, again: Again) -> Result<Arc<RecordBuf>> {
        let ram = self.take_ram(u64::from(loc.len) + RECORD_OVERHEAD_BYTES as u64, self.patient())?;
        let mut bytes = Vec::with_capacity(loc.len as usize);
        self.read_all(loc, &mut bytes, again)?;
        self.counters.disk_reads.fetch_add(1, Ordering::Relaxed);
        let header = record::decode(&bytes, self.place_of(loc)).map_err(|bad| bad_record(loc, bad))?;
        if header.record_len() != bytes.len() || header.tombstone {
            return Err(corrupt(loc, "the record is another than the index says"));
        }
        Ok(Arc::new(RecordBuf::new(bytes, ram)))
    }

    pub(super) fn place_of(&self, loc: Loc) -> Place {
        Place { store: self.id, segment: loc.segment, offset: loc.offset() }
    }

    fn file_of(&self, loc: Loc) -> Result<Arc<dyn DiskFile>> {
        let gone = || Error::io(format!("opening {}", file_name(loc.segment)), io::ErrorKind::NotFound.into());
        let segment = self.segments.get(loc.segment).ok_or_else(gone)?;
        self.segments.file(&segment, &*self.disk)
    }

    /// Fills `buf` from `skip` bytes into the record at `loc`.
    fn read_at(&self, loc: Loc, skip: usize, buf: &mut [u8]) -> Result<()> {
        read_full(&*self.file_of(loc)?, buf, loc.offset() + skip as u64).map_err(|e| unreadable(loc, e))
    }

    /// Appends the whole record at `loc` to memory that need not be cleared for it.
    fn read_all(&self, loc: Loc, out: &mut Vec<u8>, again: Again) -> Result<()> {
        let file = self.file_of(loc)?;
        let (len, mut retries) = (loc.len as usize, 0);
        if again == Again::Hardly && file.read_once(out, len, loc.offset()) {
            return Ok(());
        }
        if len >= ANNOUNCE_MIN_BYTES {
            file.expect_read(loc.offset(), len as u64);
        }
        while out.len() < len {
            match file.read_append(out, len - out.len(), loc.offset() + out.len() as u64) {
                Ok(0) => return Err(unreadable(loc, io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(e) if classify(&e) == Class::Transient && retries < TRANSIENT_RETRIES => retries += 1,
                Err(e) => return Err(unreadable(loc, e)),
            }
        }
        Ok(())
    }

    /// Header and key of the record at `loc`; `None` if it moved. The key is as long as asked for, or the record is
    /// not of such a key: then the stored key is returned as empty.
    pub(super) fn read_head_at(&self, hash: KeyHash, loc: Loc, key_len: usize) -> Result<Option<(Header, Vec<u8>)>> {
        if let Some(buf) = self.resident.get(loc) {
            let header = Header::read(buf.bytes()).map_err(|bad| bad_record(loc, bad))?;
            return Ok(Some((header, buf.bytes()[header.key_range()].to_vec())));
        }
        match self.read_head(loc, key_len) {
            Ok(found) => Ok(Some(found)),
            Err(_) if self.moved(hash, loc) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_head(&self, loc: Loc, key_len: usize) -> Result<(Header, Vec<u8>)> {
        let Some(value_len) = record::value_len(loc.len as usize, key_len) else {
            let header = Header { seq: 0, expires_ms: 0, value_len: 0, key_len: 0, tombstone: false, digest: None };
            return Ok((header, Vec::new()));
        };
        let len = record::record_len(key_len, value_len) - value_len;
        let _ram = self.take_ram(len as u64, self.patient())?;
        let mut bytes = vec![0; len];
        self.read_at(loc, 0, &mut bytes)?;
        let header = record::decode_head(&bytes, self.place_of(loc)).map_err(|bad| bad_record(loc, bad))?;
        let key = bytes[header.key_range()].to_vec();
        Ok((header, key))
    }

    /// What a failed read of a record that did not move means.
    fn storage_error(&self, hash: KeyHash, loc: Loc, error: Error) -> Result<()> {
        if error.class() != Class::Corrupt {
            return Err(error);
        }
        self.note_corrupt(hash, loc);
        if self.opts.is_durable() { Err(error) } else { Ok(()) }
    }

    /// A damaged record: a cache forgets it, a durable store remembers that it is damaged. True if it was current.
    pub(super) fn note_corrupt(&self, hash: KeyHash, loc: Loc) -> bool {
        let _log = lock(&self.log);
        let current =
            if self.opts.is_durable() { self.index.mark_corrupt(hash, loc) } else { self.evict_locked(hash, loc) };
        if current {
            self.counters.corrupt_records.fetch_add(1, Ordering::Relaxed);
        }
        current
    }

    fn get_range(&self, key: &[u8], range: Range<usize>) -> Result<Option<Guard>> {
        let part = |header: &Header| {
            let len = header.value_len as usize;
            let start = range.start.min(len);
            start..range.end.clamp(start, len)
        };
        let found = self.find(key, |hash, loc, _| self.look_at_part(hash, loc, key, &part))?;
        Ok(found.map(|(buf, header)| {
            let part = part(&header);
            // A whole record starts with its header; a buffer of pieces starts with the first piece.
            let whole = buf.bytes().len() >= header.record_len();
            let base = if whole { header.value_range().start } else { 0 };
            let skipped = if whole { 0 } else { part.start / PIECE_BYTES * PIECE_BYTES };
            Guard::new(buf, base + part.start - skipped..base + part.end - skipped, header)
        }))
    }

    fn look_at_part(
        &self,
        hash: KeyHash,
        loc: Loc,
        key: &[u8],
        part: &impl Fn(&Header) -> Range<usize>,
    ) -> Result<Look> {
        let value_len = record::value_len(loc.len as usize, key.len()).unwrap_or(0);
        if value_len <= PIECE_BYTES || self.resident.get(loc).is_some() {
            return self.look(hash, loc, key, Again::Probably);
        }
        let (header, stored) = self.read_head(loc, key.len())?;
        if stored != key {
            self.counters.collisions.fetch_add(1, Ordering::Relaxed);
            return Ok(Look::Miss);
        }
        if header.is_expired(self.now_ms()) {
            self.expire(hash, loc);
            return Ok(Look::Miss);
        }
        let part = part(&header);
        let first = part.start / PIECE_BYTES;
        let bytes = first * PIECE_BYTES..part.end.next_multiple_of(PIECE_BYTES).min(value_len);
        if bytes.len() == value_len {
            return self.look(hash, loc, key, Again::Probably);
        }
        self.read_pieces(loc, &header, first, bytes).map(|buf| Look::Hit(Arc::new(buf), header))
    }

    fn read_pieces(&self, loc: Loc, header: &Header, first: usize, bytes: Range<usize>) -> Result<RecordBuf> {
        let pieces = bytes.len().div_ceil(PIECE_BYTES);
        let ram = (bytes.len() + pieces * 4 + RECORD_OVERHEAD_BYTES) as u64;
        let ram = self.take_ram(ram, self.patient())?;
        let (mut value, mut table) = (vec![0; bytes.len()], vec![0; pieces * 4]);
        self.read_at(loc, header.table_range().start + first * 4, &mut table)?;
        self.read_at(loc, header.value_range().start + bytes.start, &mut value)?;
        self.counters.disk_reads.fetch_add(1, Ordering::Relaxed);
        record::verify_pieces(&table, 0, &value).map_err(|bad| bad_record(loc, bad))?;
        Ok(RecordBuf::new(value, ram))
    }
}

fn corrupt(loc: Loc, detail: &'static str) -> Error {
    Error::Corrupt { segment: loc.segment, offset: loc.offset(), detail }
}

fn unreadable(loc: Loc, e: io::Error) -> Error {
    match classify(&e) {
        Class::Corrupt => corrupt(loc, "the file ends within the record"),
        _ => Error::io(format!("reading {}", file_name(loc.segment)), e),
    }
}

pub(super) fn bad_record(loc: Loc, bad: Bad) -> Error {
    let detail = match bad {
        Bad::Short => "the record is cut short",
        Bad::Header => "the record's header does not match its checksum",
        Bad::Value => "the value does not match its checksum",
    };
    corrupt(loc, detail)
}

/// Fills the buffer, through short reads and interruptions.
pub(crate) fn read_full(file: &dyn DiskFile, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    let mut retries = 0;
    while !buf.is_empty() {
        match file.read_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
            Err(e) if classify(&e) == Class::Transient && retries < TRANSIENT_RETRIES => retries += 1,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
