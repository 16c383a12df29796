//! Records that are in RAM, by place: those not written yet, and a cache of those that are.
//!
//! Second chance (CLOCK) by shard. Unwritten records are never dropped; the rest goes whenever somebody needs the
//! RAM. A place never gets other bytes, so an entry is never wrong, at worst useless.

use crate::buf::RecordBuf;
use crate::index::Loc;
use crate::limits::RESIDENT_SHARDS;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, lock};
use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};

/// Mixes a place into a hash; places are our own numbers, nobody outside chooses them.
#[derive(Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }
}

struct Entry {
    buf: Arc<RecordBuf>,
    dirty: bool,
    visited: bool,
}

#[derive(Default)]
struct Shard {
    entries: hashbrown::HashMap<u64, Entry, BuildHasherDefault<PlaceHasher>>,
    order: VecDeque<u64>,
}

/// The table.
pub struct Resident {
    shards: Box<[Mutex<Shard>]>,
    cursor: AtomicUsize,
}

fn place(loc: Loc) -> u64 {
    u64::from(loc.segment) << 32 | u64::from(loc.offset8)
}

impl Resident {
    /// An empty table.
    pub fn new() -> Self {
        let shards = (0..RESIDENT_SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, cursor: AtomicUsize::new(0) }
    }

    fn shard(&self, place: u64) -> &Mutex<Shard> {
        &self.shards[(place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % RESIDENT_SHARDS]
    }

    /// The record at `loc`, if it is in RAM.
    pub fn get(&self, loc: Loc) -> Option<Arc<RecordBuf>> {
        let place = place(loc);
        let mut shard = lock(self.shard(place));
        let entry = shard.entries.get_mut(&place)?;
        entry.visited = true;
        Some(Arc::clone(&entry.buf))
    }

    /// Adds a record; a dirty one stays until `written`.
    pub fn insert(&self, loc: Loc, buf: Arc<RecordBuf>, dirty: bool) {
        let place = place(loc);
        let mut shard = lock(self.shard(place));
        if shard.entries.insert(place, Entry { buf, dirty, visited: false }).is_none() {
            shard.order.push_back(place);
            // Places taken out by `remove` leave their mark in the order; keep those a minority.
            if shard.order.len() > shard.entries.len() * 2 + 16 {
                let Shard { entries, order } = &mut *shard;
                order.retain(|place| entries.contains_key(place));
            }
        }
    }

    /// Notes that the record is on disk, so that its RAM may be reused.
    pub fn written(&self, loc: Loc) {
        let place = place(loc);
        if let Some(entry) = lock(self.shard(place)).entries.get_mut(&place) {
            entry.dirty = false;
        }
    }

    /// Drops a record that nobody will ask for again.
    pub fn remove(&self, loc: Loc) {
        let place = place(loc);
        let removed = lock(self.shard(place)).entries.remove(&place);
        drop(removed);
    }

    /// Drops written records until about `bytes` were let go; how many were. What guards hold stays allocated.
    pub fn evict(&self, bytes: u64) -> u64 {
        let (mut freed, mut idle) = (0, 0);
        while freed < bytes && idle < RESIDENT_SHARDS {
            let at = self.cursor.fetch_add(1, Ordering::Relaxed) % RESIDENT_SHARDS;
            match evict_one(&mut lock(&self.shards[at])) {
                Some(buf) => {
                    freed += buf.bytes().len() as u64;
                    idle = 0;
                }
                None => idle += 1,
            }
        }
        freed
    }

    /// Records in it.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
    }
}

fn evict_one(shard: &mut Shard) -> Option<Arc<RecordBuf>> {
    for _ in 0..shard.order.len() * 2 {
        let place = shard.order.pop_front()?;
        let Some(entry) = shard.entries.get_mut(&place) else { continue };
        if entry.dirty || entry.visited {
            entry.visited = false;
            shard.order.push_back(place);
            continue;
        }
        return shard.entries.remove(&place).map(|entry| entry.buf);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn loc(n: u64) -> Loc {
        Loc::new(1, n * 8, 8)
    }

    fn table(dirty: bool) -> (Resident, Arc<Budget>) {
        let (table, ram) = (Resident::new(), Budget::new(1 << 20));
        for n in 0..100 {
            table.insert(loc(n), Arc::new(RecordBuf::new(vec![0; 100], ram.try_take(100).unwrap())), dirty);
        }
        (table, ram)
    }

    #[test]
    fn unwritten_records_are_never_dropped() {
        let (table, ram) = table(true);
        assert_eq!(table.evict(u64::MAX), 0);
        (0..50).for_each(|n| table.written(loc(n)));
        assert_eq!(table.evict(u64::MAX), 5_000);
        assert_eq!(ram.used(), 5_000);
        assert!((50..100).all(|n| table.get(loc(n)).is_some()));
    }

    #[test]
    fn what_was_read_goes_after_what_was_not() {
        let (table, _ram) = table(false);
        (0..50).for_each(|n| assert!(table.get(loc(n)).is_some()));
        assert_eq!(table.evict(4_000), 4_000);
        let kept = (0..50).filter(|&n| table.get(loc(n)).is_some()).count();
        assert!(kept >= 45, "{kept}");
    }

    #[test]
    fn removed_places_do_not_pile_up() {
        let (table, ram) = table(false);
        for n in 100..10_000 {
            table.insert(loc(n), Arc::new(RecordBuf::new(vec![0; 100], ram.try_take(100).unwrap())), false);
            table.remove(loc(n));
        }
        let marks: usize = table.shards.iter().map(|shard| lock(shard).order.len()).sum();
        assert!(marks < 100 * 2 + 17 * RESIDENT_SHARDS, "{marks}");
        assert_eq!((table.len(), ram.used()), (100, 10_000));
    }
}
