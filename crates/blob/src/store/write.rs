//! Putting and deleting.

use super::log::{Appended, Blocked, By};
use super::{Inner, Store};
use crate::budget::Permit;
use crate::buf::{RecordBuf, Room};
use crate::error::{BusyReason, Error, Result};
use crate::format::{crc32c, record};
use crate::hash::KeyHash;
use crate::index::{Loc, State};
use crate::limits::{BLOCK_BYTES, MAX_VALUE_BYTES, RECORD_OVERHEAD_BYTES};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

/// What goes with a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Unix milliseconds at which the value is gone.
    pub expires_ms: Option<u64>,
    /// CRC32C of the value as the caller knows it: checked before anything is stored, and kept with the value.
    pub crc32c: Option<u32>,
}

/// What `remove_if_version` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The key had that version and is gone.
    Removed,
    /// There is no such key.
    Missing,
    /// The key has this other version.
    Changed(u64),
}

/// How patient a call is.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// Not at all: `Busy` instead of waiting for a limit.
    None,
    /// Until then.
    Until(Instant),
}

impl Patience {
    pub(super) fn left(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Until(then) => then.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()),
        }
    }
}

/// Space for a value that the caller fills in place. Dropping it stores nothing.
pub struct Draft {
    inner: Arc<Inner>,
    buf: RecordBuf,
    value_at: usize,
    hash: KeyHash,
}

impl Deref for Draft {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buf.bytes()[self.value_at..]
    }
}

impl DerefMut for Draft {
    fn deref_mut(&mut self) -> &mut [u8] {
        let at = self.value_at;
        &mut self.buf.bytes_mut()[at..]
    }
}

impl Draft {
    /// Stores the value without copying it, as `put` does. Returns its version.
    ///
    /// # Errors
    /// As `put`.
    pub fn commit(mut self) -> Result<u64> {
        record::finish(self.buf.bytes_mut());
        let patience = self.inner.patient();
        self.inner.submit(self.hash, self.buf, patience)
    }
}

impl Store {
    /// Stores a value and returns its version. Waits for RAM and disk within the limits.
    ///
    /// In durable mode it returns once the value is synced. In cache mode it returns at once if the key is new, and
    /// once the record is written if it replaces something, so that the old value can never come back.
    ///
    /// # Errors
    /// `Busy` if a limit did not yield for `max_wait`, `Full`, `Degraded`, I/O errors. After an I/O error it is
    /// open whether the value will be there; reads of this process see it.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<u64> {
        self.put_with(key, value, PutOptions::default())
    }

    /// The same with a deadline or a digest.
    ///
    /// # Errors
    /// As [`put`](Self::put), and `ChecksumMismatch`.
    pub fn put_with(&self, key: &[u8], value: &[u8], options: PutOptions) -> Result<u64> {
        self.inner.put(key, value, options, self.inner.patient())
    }

    /// Stores a value whose CRC32C the caller knows.
    ///
    /// # Errors
    /// As [`put`](Self::put), and `ChecksumMismatch` if the value does not have it.
    pub fn put_checksummed(&self, key: &[u8], value: &[u8], crc32c: u32) -> Result<u64> {
        self.put_with(key, value, PutOptions { crc32c: Some(crc32c), ..PutOptions::default() })
    }

    /// Like `put_with`, but never waits for a limit. (In durable mode it still waits for the disk to sync.)
    ///
    /// # Errors
    /// As [`put`](Self::put); `Busy` at once.
    pub fn try_put(&self, key: &[u8], value: &[u8], options: PutOptions) -> Result<u64> {
        self.inner.put(key, value, options, Patience::None)
    }

    /// Space for a value of `len` bytes, to be filled and committed.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn alloc(&self, key: &[u8], len: usize, options: PutOptions) -> Result<Draft> {
        let inner = &self.inner;
        inner.check_put(key, len)?;
        let ram = inner.take_ram(record_ram(key.len(), len), inner.patient())?;
        let mut bytes = record::blank(key, options.expires_ms.unwrap_or(0), options.crc32c, len);
        let value_at = bytes.len();
        bytes.grow_to(value_at + len);
        let (inner, hash) = (Arc::clone(inner), inner.hash(key));
        Ok(Draft { inner, buf: RecordBuf::new(bytes, ram), value_at, hash })
    }

    /// Deletes a key. True if there was a value to be read. Once it returns, the value never comes back.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        Ok(self.inner.delete(key, None)? == Removal::Removed)
    }

    /// Deletes a key only if it has this version.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn remove_if_version(&self, key: &[u8], version: u64) -> Result<Removal> {
        self.inner.delete(key, Some(version))
    }
}

/// RAM that a record takes.
pub(super) fn record_ram(key_len: usize, value_len: usize) -> u64 {
    (Room::bytes_for(record::record_len(key_len, value_len)) + RECORD_OVERHEAD_BYTES) as u64
}

impl Inner {
    pub(super) fn patient(&self) -> Patience {
        Patience::Until(Instant::now() + self.opts.max_wait)
    }

    pub(super) fn check_put(&self, key: &[u8], len: usize) -> Result<()> {
        Self::check_key(key)?;
        self.check_writable()?;
        let fixed = record::record_len(key.len(), 0) as u64 + RECORD_OVERHEAD_BYTES as u64;
        let max = self.opts.max_record_bytes().saturating_sub(fixed);
        // A large one is padded, on disk and in RAM.
        let max = if record::is_large(max) { max - 2 * BLOCK_BYTES as u64 } else { max };
        let max = usize::try_from(max - max / 8192).unwrap_or(usize::MAX).min(MAX_VALUE_BYTES);
        if len > max { Err(Error::ValueTooLarge { len, max }) } else { Ok(()) }
    }

    fn put(&self, key: &[u8], value: &[u8], options: PutOptions, patience: Patience) -> Result<u64> {
        self.check_put(key, value.len())?;
        if let Some(claimed) = options.crc32c {
            let actual = crc32c(value);
            if actual != claimed {
                return Err(Error::ChecksumMismatch { claimed, actual });
            }
        }
        let ram = self.take_ram(record_ram(key.len(), value.len()), patience)?;
        let bytes = record::build(key, options.expires_ms.unwrap_or(0), options.crc32c, value);
        self.submit(self.hash(key), RecordBuf::new(bytes, ram), patience)
    }

    /// Brings a value's record into log and index, and as far towards the disk as the mode promises.
    fn submit(&self, hash: KeyHash, buf: RecordBuf, patience: Patience) -> Result<u64> {
        let (appended, replaced) = self.append(hash, buf, patience)?;
        self.settle(appended.lsn, replaced)?;
        Ok(appended.seq)
    }

    /// Brings a value's record into log and index. Whether the key had a record before that the disk may still have.
    pub(super) fn append(&self, hash: KeyHash, buf: RecordBuf, patience: Patience) -> Result<(Appended, bool)> {
        let header = record::Header::read(buf.bytes()).expect("records are built by the format module");
        let (len, key_len) = (header.record_len(), usize::from(header.key_len));
        let mut buf = Some(buf);
        let (appended, replaced) = loop {
            self.check_writable()?;
            let bytes = buf.as_ref().expect("taken only when the loop ends").bytes();
            let expected = self.check_collision(hash, &bytes[header.key_range()])?;
            let mut log = lock(&self.log);
            if self.opts.is_durable() && self.index.peek(hash).map(|(loc, _)| loc) != expected {
                continue;
            }
            let room = self.index.prepare(hash).map_err(|_| Blocked::Index);
            match room.and_then(|()| self.place(&mut log, len, key_len, By::User)) {
                Ok(()) => {
                    let appended = self.push(&mut log, buf.take().expect("taken only here"), hash, None);
                    // A tombstone on its way may be of this key: what it hides would come back if both were lost.
                    let replaced = self.publish(hash, &log, appended.loc) || self.owes_tombstone();
                    break (appended, replaced);
                }
                Err(blocked) => {
                    drop(log);
                    self.unblock(blocked, patience)?;
                }
            }
        };
        self.counters.puts.fetch_add(1, Ordering::Relaxed);
        self.counters.user_bytes.fetch_add(u64::from(header.value_len), Ordering::Relaxed);
        Ok((appended, replaced))
    }

    /// Points the index at a record just pushed. The log is still locked. True if the key had a record before.
    fn publish(&self, hash: KeyHash, _locked: &super::Log, loc: Loc) -> bool {
        let replaced = self.index.put(hash, loc);
        self.segments.add_live(loc);
        if let Some(old) = replaced {
            if old.state != State::Evicted {
                self.segments.sub_live(old.loc);
            }
            self.resident.remove(old.loc);
        }
        replaced.is_some()
    }

    /// In durable mode: where the key's record is now, or an error if that record is of another key.
    fn check_collision(&self, hash: KeyHash, key: &[u8]) -> Result<Option<Loc>> {
        if !self.opts.is_durable() {
            return Ok(None);
        }
        let Some((loc, state)) = self.index.peek(hash) else { return Ok(None) };
        if state == State::Live
            && let Some((_, stored)) = self.read_head_at(hash, loc, key.len())?
            && stored != key
        {
            return Err(Error::HashCollision);
        }
        Ok(Some(loc))
    }

    /// After an append: waits for the disk as far as the mode promises, and keeps the queue bounded.
    pub(super) fn settle(&self, lsn: u64, replaced: bool) -> Result<()> {
        if self.opts.is_durable() || replaced {
            return self.commit(lsn);
        }
        let queued = lock(&self.log).queued_bytes;
        if queued < self.opts.slab_bytes {
            return Ok(());
        }
        if !self.worker.kick() {
            return self.commit(lsn);
        }
        if queued >= self.opts.slab_bytes * QUEUED_SLABS { self.wait_for_queue(lsn) } else { Ok(()) }
    }

    /// Waits until the worker has taken from the queue what is too much of it, and writes while the worker has other
    /// things to do. What is taken is written while the caller makes the next record: waiting for the disk would leave
    /// it idle after.
    fn wait_for_queue(&self, lsn: u64) -> Result<()> {
        let mut log = lock(&self.log);
        let deadline = Instant::now() + self.opts.max_wait;
        while log.queued_bytes >= self.opts.slab_bytes * QUEUED_SLABS {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.degraded.load(Ordering::Acquire) || !self.worker.kick() {
                drop(log);
                return self.commit(lsn);
            }
            let (still, waited) = match self.taken.wait_timeout(log, left.min(PATIENCE_WITH_WORKER)) {
                Ok(woken) => woken,
                Err(poisoned) => poisoned.into_inner(),
            };
            log = still;
            if waited.timed_out() {
                drop(log);
                let gate = self.turns.gate();
                if gate.under_way() == 0 && !self.degraded.load(Ordering::Acquire) {
                    self.round(gate)?;
                }
                log = lock(&self.log);
            }
        }
        Ok(())
    }

    fn delete(&self, key: &[u8], version: Option<u64>) -> Result<Removal> {
        Self::check_key(key)?;
        self.check_writable()?;
        let (hash, patience) = (self.hash(key), self.patient());
        loop {
            let Some((loc, state)) = self.index.peek(hash) else { return Ok(Removal::Missing) };
            let outcome = match self.judge_removal(hash, loc, state, key, version)? {
                Verdict::Remove(outcome) => outcome,
                Verdict::Keep(outcome) => return Ok(outcome),
                Verdict::LookAgain => continue,
            };
            if let Some(lsn) = self.append_tombstone(hash, loc, key, patience)? {
                self.counters.deletes.fetch_add(1, Ordering::Relaxed);
                self.commit(lsn)?;
                return Ok(outcome);
            }
        }
    }

    /// Looks at the record that is to be deleted: is it this key's, and of the wanted version?
    fn judge_removal(
        &self,
        hash: KeyHash,
        loc: Loc,
        state: State,
        key: &[u8],
        version: Option<u64>,
    ) -> Result<Verdict> {
        if state != State::Live {
            // Nothing to be read, but the disk has a record that must not come back.
            let outcome = if state == State::Corrupt { Removal::Removed } else { Removal::Missing };
            return Ok(if version.is_some() { Verdict::Keep(Removal::Missing) } else { Verdict::Remove(outcome) });
        }
        let Some((header, stored)) = self.read_head_at(hash, loc, key.len())? else {
            return Ok(Verdict::LookAgain);
        };
        if stored != key {
            return Ok(Verdict::Keep(Removal::Missing));
        }
        if header.is_expired(self.now_ms()) {
            return Ok(Verdict::Remove(Removal::Missing));
        }
        Ok(match version {
            Some(wanted) if wanted != header.seq => Verdict::Keep(Removal::Changed(header.seq)),
            _ => Verdict::Remove(Removal::Removed),
        })
    }

    /// Appends a tombstone and forgets the key, if the key still is at `loc`. `None` if it is not.
    pub(super) fn append_tombstone(
        &self,
        hash: KeyHash,
        loc: Loc,
        key: &[u8],
        patience: Patience,
    ) -> Result<Option<u64>> {
        let ram = self.take_ram(record_ram(key.len(), 0), patience)?;
        let mut buf = Some(RecordBuf::new(record::tombstone(key), ram));
        let len = record::record_len(key.len(), 0);
        loop {
            self.check_writable()?;
            let mut log = lock(&self.log);
            if self.index.peek(hash).map(|(now, _)| now) != Some(loc) {
                return Ok(None);
            }
            match self.place(&mut log, len, key.len(), By::User) {
                Ok(()) => {
                    let appended = self.push(&mut log, buf.take().expect("taken only here"), hash, None);
                    self.last_tombstone.fetch_max(appended.lsn, Ordering::AcqRel);
                    let removed = self.index.remove(hash);
                    if removed.is_some_and(|r| r.state != State::Evicted) {
                        self.segments.sub_live(loc);
                    }
                    self.resident.remove(loc);
                    return Ok(Some(appended.lsn));
                }
                Err(blocked) => {
                    drop(log);
                    self.unblock(blocked, patience)?;
                }
            }
        }
    }

    /// Does what lets a blocked append go on, or waits for it.
    pub(super) fn unblock(&self, blocked: Blocked, patience: Patience) -> Result<()> {
        if matches!(patience, Patience::None) {
            // One cheap attempt: RAM that the cache of records holds is RAM that is there.
            let freed = !matches!(blocked, Blocked::Disk(_)) && self.resident.evict(RAM_STEP_BYTES) > 0;
            let reason = if let Blocked::Disk(_) = blocked { BusyReason::Disk } else { BusyReason::Ram };
            return if freed { Ok(()) } else { Err(Error::Busy(reason)) };
        }
        match blocked {
            Blocked::Ram => self.make_ram(RAM_STEP_BYTES, patience),
            Blocked::Disk(need) => self.make_room(need, patience),
            Blocked::Index => self.make_index_room(patience),
        }
    }

    /// RAM for `bytes`, at the cost of records that can be read again from disk.
    pub(super) fn take_ram(&self, bytes: u64, patience: Patience) -> Result<Permit> {
        loop {
            if let Some(permit) = self.ram.try_take(bytes) {
                return Ok(permit);
            }
            if bytes > self.ram.limit() {
                return Err(Error::Busy(BusyReason::Ram));
            }
            self.make_ram(bytes, patience)?;
        }
    }

    /// Frees RAM: drops written records, then writes some, then waits for readers to let go.
    fn make_ram(&self, bytes: u64, patience: Patience) -> Result<()> {
        let lacking = bytes.saturating_sub(self.ram.free()).max(1);
        if self.resident.evict(lacking) > 0 {
            return Ok(());
        }
        let left = patience.left().ok_or(Error::Busy(BusyReason::Ram))?;
        if !self.degraded.load(Ordering::Acquire) && self.write_some()? {
            return Ok(());
        }
        self.ram.wait_for(bytes, left.min(WAIT_STEP));
        Ok(())
    }

    /// Room in the index: RAM first, then the items of a segment that a cache can do without.
    fn make_index_room(&self, patience: Patience) -> Result<()> {
        if self.resident.evict(RAM_STEP_BYTES) > 0 {
            return Ok(());
        }
        let full = Error::IndexFull { limit: self.ram.limit() };
        if self.flush_all().is_ok() && self.resident.evict(RAM_STEP_BYTES) > 0 {
            return Ok(());
        }
        let tail = self.segments.all().into_iter().find(|segment| !segment.is_open());
        match tail {
            Some(tail) if !self.opts.is_durable() && patience.left().is_some() => self.give_up_segment(&tail),
            _ => Err(full),
        }
    }
}

enum Verdict {
    Remove(Removal),
    Keep(Removal),
    LookAgain,
}

/// Slabs that may wait in the queue while the worker writes others.
const QUEUED_SLABS: u64 = 4;
/// How long a put waits for the worker before it looks whether anybody writes at all.
const PATIENCE_WITH_WORKER: Duration = Duration::from_millis(1);
/// RAM freed at a time when a small need is not met.
const RAM_STEP_BYTES: u64 = 64 * 1024;
/// How long a thread sleeps before it looks again by itself, in case it is wanted for writing.
const WAIT_STEP: Duration = Duration::from_millis(20);
