//! What a store needs to be the lower tier of a cache whose upper tier has locks of its own.
//!
//! The upper tier decides under its lock, and waits without it. So each verb that must be one moment with a change
//! above is split: the half that only touches memory never waits and does no I/O, and the half that does follows.
//!
//! ```text
//!  under the lock     offer: a value into the queue         hide: the index forgets the record
//!  behind it          make_way: until an offer may succeed  invalidate: a tombstone, written
//! ```
//!
//! *Invariant:* after `hide` no read finds the record; after `invalidate` none ever will, also not after a crash.

use super::write::{Patience, record_ram};
use super::{Inner, PutOptions, Store};
use crate::buf::RecordBuf;
use crate::error::{BusyReason, Error, Result};
use crate::format::record;
use crate::index::State;
use crate::store::log::By;
use crate::sync::atomic::Ordering;
use crate::sync::lock;

impl Store {
    /// Stores a value in memory, to be written soon; false if there is no room for it at once. It never waits and does
    /// no I/O. For caches: what it replaces may come back after a crash until it has been invalidated.
    ///
    /// # Errors
    /// As [`put`](Self::put), but never `Busy`.
    pub fn offer(&self, key: &[u8], value: &[u8], options: PutOptions) -> Result<bool> {
        let inner = &self.inner;
        inner.check_put(key, value.len())?;
        let offered = inner.take_ram(record_ram(key.len(), value.len()), Patience::None).and_then(|ram| {
            let bytes = record::build(key, options.expires_ms.unwrap_or(0), options.crc32c, value);
            inner.append(inner.hash(key), RecordBuf::new(bytes, ram), Patience::None)
        });
        match offered {
            Ok(_) => {
                if lock(&inner.log).queued_bytes >= inner.opts.slab_bytes {
                    inner.worker.kick();
                }
                Ok(true)
            }
            // With the worker awake there will be room before long.
            Err(Error::Busy(_) | Error::IndexFull { .. }) => {
                inner.worker.kick();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until a value of this length can be offered: writes what is queued, cleans, evicts.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn make_way(&self, key: &[u8], len: usize) -> Result<()> {
        let inner = &self.inner;
        inner.check_put(key, len)?;
        let (hash, patience) = (inner.hash(key), inner.patient());
        let record_len = record::record_len(key.len(), len);
        loop {
            inner.check_writable()?;
            drop(inner.take_ram(record_ram(key.len(), len), patience)?);
            let blocked = {
                let mut log = lock(&inner.log);
                let room = inner.index.prepare(hash).map_err(|_| super::log::Blocked::Index);
                room.and_then(|()| inner.place(&mut log, record_len, key.len(), By::User))
            };
            match blocked {
                Ok(()) => return Ok(()),
                Err(blocked) => inner.unblock(blocked, patience)?,
            }
            if patience.left().is_none() {
                return Err(Error::Busy(BusyReason::Disk));
            }
        }
    }

    /// Whether the disk may have a record of the key, be it one that reads do not find any more: then a change of the
    /// key must be followed by `invalidate`.
    pub fn has_record(&self, key: &[u8]) -> bool {
        self.inner.index.peek(self.inner.hash(key)).is_some() || self.inner.owes_tombstone()
    }

    /// Forgets where the key's record is: reads miss from now on, in this process. True if there may be a record, which
    /// then needs `invalidate`.
    pub fn hide(&self, key: &[u8]) -> bool {
        let inner = &self.inner;
        let hash = inner.hash(key);
        if inner.index.peek(hash).is_none() {
            return inner.owes_tombstone();
        }
        let _log = lock(&inner.log);
        match inner.index.peek(hash) {
            None => inner.owes_tombstone(),
            Some((loc, State::Live | State::Corrupt)) => {
                inner.evict_locked(hash, loc);
                true
            }
            Some((_, State::Evicted)) => true,
        }
    }

    /// Sees to it that records which were hidden never come back, also not after a crash. A key that was stored again
    /// since keeps its new value, which is written first.
    ///
    /// # Errors
    /// As [`put`](Self::put). Then the old records may come back when the store is opened again.
    pub fn invalidate<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> Result<()> {
        let mut last = 0;
        for key in keys {
            last = last.max(self.inner.invalidate(key)?);
        }
        self.inner.commit(last)
    }
}

impl Inner {
    /// Whether a tombstone is in the queue. It may be of any key that the index does not know, by somebody who has not
    /// answered yet or by the cleaner: then it is to be waited for.
    pub(super) fn owes_tombstone(&self) -> bool {
        self.last_tombstone.load(Ordering::Acquire) > self.written.load(Ordering::Acquire)
    }

    /// The place in the queue up to which the key's old record is superseded.
    fn invalidate(&self, key: &[u8]) -> Result<u64> {
        Self::check_key(key)?;
        self.check_writable()?;
        let (hash, patience) = (self.hash(key), self.patient());
        loop {
            let found = {
                let log = lock(&self.log);
                match self.index.peek(hash) {
                    None => return Ok(self.last_tombstone.load(Ordering::Acquire)),
                    // The newer record stands behind the old one in the log.
                    Some((_, State::Live)) => return Ok(log.lsn),
                    Some((loc, State::Evicted | State::Corrupt)) => loc,
                }
            };
            if let Some(lsn) = self.append_tombstone(hash, found, key, patience)? {
                self.counters.deletes.fetch_add(1, Ordering::Relaxed);
                return Ok(lsn);
            }
        }
    }
}
