//! The index: where each key's newest record is. All of it is in RAM, about 37 bytes an item.
//!
//! ```text
//! hash --top byte--> shard --10 bits of place and tag--> table of u32 --22 bits--> node (32 bytes)
//!                                                                       { hash 12, segment 4, offset/8 4, len 4,
//!                                                                         prev 4, next 4 with flags }
//! ```
//!
//! A look-up that misses ends in the table, mostly within one cache line; so there is no bloom filter to keep
//! right. The links are the eviction queue of the shard.
//!
//! Invariant: it changes only under the store's writer lock, in log order. So of two records of one key the one
//! that the index names is the later one in the log, always, also after a crash.

mod nodes;
pub mod policy;
mod shard;
mod table;

pub use nodes::{Loc, State};
pub use shard::{Hit, Replaced};

use crate::budget::Budget;
use crate::hash::KeyHash;
use crate::limits::INDEX_SHARDS;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, lock};
use policy::PolicyKind;
use shard::Shard;

/// No room within the RAM limit, or a shard at its largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A budget below which the index may take all of it.
const TINY_BYTES: u64 = 1 << 20;

/// Most bytes that an item takes, its share of the table included.
const ITEM_BYTES: u64 = 48;

/// The index.
pub struct Index {
    shards: Box<[Mutex<Shard>]>,
    live_items: AtomicU64,
    live_bytes: AtomicU64,
    cursor: AtomicUsize,
}

impl Index {
    /// An empty index whose memory comes out of `ram`.
    ///
    /// It leaves a quarter of a budget that is not tiny: without buffers nothing could ever be given up.
    pub fn new(policy: Option<PolicyKind>, ram: &Arc<Budget>) -> Result<Self, NoRoom> {
        let limit = ram.limit();
        let room = Budget::new(if limit < TINY_BYTES { limit } else { limit / 4 * 3 });
        let shard = |_| Ok(Mutex::new(Shard::new(policy, ram, &room)?));
        let shards = (0..INDEX_SHARDS).map(shard).collect::<Result<_, NoRoom>>()?;
        Ok(Self { shards, live_items: AtomicU64::new(0), live_bytes: AtomicU64::new(0), cursor: AtomicUsize::new(0) })
    }

    fn shard(&self, hash: KeyHash) -> MutexGuard<'_, Shard> {
        lock(&self.shards[(hash.hi >> 56) as usize])
    }

    /// Where the key's record is, noting the access for eviction. Evicted items are not found.
    pub fn get(&self, hash: KeyHash) -> Option<(Loc, State)> {
        self.access(hash).map(|hit| (hit.loc, hit.state))
    }

    /// The same, with whether it was the first access.
    pub fn access(&self, hash: KeyHash) -> Option<Hit> {
        self.shard(hash).get(hash)
    }

    /// The same without noting an access, and with evicted items.
    pub fn peek(&self, hash: KeyHash) -> Option<(Loc, State)> {
        self.shard(hash).peek(hash)
    }

    /// Makes sure that one more item of this hash can be put.
    pub fn prepare(&self, hash: KeyHash) -> Result<(), NoRoom> {
        self.shard(hash).prepare(hash)
    }

    /// Makes room for `items` evenly spread items at once, so that loading them does not grow step by step. Nothing, if they
    /// might take more than `room` bytes: some of them may be dead.
    pub fn reserve(&self, items: usize, room: u64) -> Result<(), NoRoom> {
        if (items as u64).saturating_mul(ITEM_BYTES) > room {
            return Err(NoRoom);
        }
        let each = items / INDEX_SHARDS + items / INDEX_SHARDS / 32 + 8;
        self.shards.iter().try_for_each(|shard| lock(shard).reserve(each))
    }

    /// Names `loc` as the key's newest record. `prepare` came before.
    pub fn put(&self, hash: KeyHash, loc: Loc) -> Option<Replaced> {
        let replaced = self.shard(hash).put(hash, loc);
        if let Some(Replaced { loc, state }) = replaced
            && state != State::Evicted
        {
            self.sub(loc);
        }
        self.add(loc);
        replaced
    }

    /// Forgets the key.
    pub fn remove(&self, hash: KeyHash) -> Option<Replaced> {
        let removed = self.shard(hash).remove(hash, None)?;
        if removed.state != State::Evicted {
            self.sub(removed.loc);
        }
        Some(removed)
    }

    /// Forgets the key if it still is at `loc`.
    pub fn remove_at(&self, hash: KeyHash, loc: Loc) -> bool {
        let removed = self.shard(hash).remove(hash, Some(loc));
        if removed.is_some_and(|r| r.state != State::Evicted) {
            self.sub(loc);
        }
        removed.is_some()
    }

    /// Moves the key from one place to another if it still is at the first: compare and swap.
    pub fn relocate(&self, hash: KeyHash, from: Loc, to: Loc) -> bool {
        self.shard(hash).relocate(hash, from, to)
    }

    /// Keeps the item as evicted: reads miss, but it is known that the disk has a record of it.
    pub fn evict_at(&self, hash: KeyHash, loc: Loc) -> bool {
        let evicted = self.shard(hash).evict_at(hash, loc);
        if evicted {
            self.sub(loc);
        }
        evicted
    }

    /// Whether the item that is live at `loc` was read since it came or was spared; then it counts as new from now on.
    pub fn spare(&self, hash: KeyHash, loc: Loc) -> bool {
        self.shard(hash).spare(hash, loc)
    }

    /// Notes that the record at `loc` is damaged.
    pub fn mark_corrupt(&self, hash: KeyHash, loc: Loc) -> bool {
        self.shard(hash).mark_corrupt(hash, loc)
    }

    /// Lets the policy choose an item and evicts it. Shards take turns, so none is drained before the others.
    pub fn evict_one(&self) -> Option<Loc> {
        // Four marks at most can stand between an item and its eviction.
        for _ in 0..INDEX_SHARDS * 5 {
            let shard = self.cursor.fetch_add(1, Ordering::Relaxed) % INDEX_SHARDS;
            if let Some(loc) = lock(&self.shards[shard]).evict_one() {
                self.sub(loc);
                return Some(loc);
            }
        }
        None
    }

    fn add(&self, loc: Loc) {
        self.live_items.fetch_add(1, Ordering::Relaxed);
        self.live_bytes.fetch_add(loc.padded_len(), Ordering::Relaxed);
    }

    fn sub(&self, loc: Loc) {
        self.live_items.fetch_sub(1, Ordering::Relaxed);
        self.live_bytes.fetch_sub(loc.padded_len(), Ordering::Relaxed);
    }

    /// Items that reads can find.
    pub fn live_items(&self) -> u64 {
        self.live_items.load(Ordering::Relaxed)
    }

    /// Bytes of their records, padding included.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of RAM it holds.
    pub fn ram_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).ram_bytes()).sum()
    }

    /// Live items of each shard, for tests of fairness.
    pub fn shard_items(&self) -> Vec<usize> {
        self.shards.iter().map(|shard| lock(shard).live()).collect()
    }

    /// Compares the counters with the items and the queues with the tables.
    pub fn validate(&self) -> Result<(), String> {
        let (mut items, mut bytes) = (0, 0);
        for shard in &self.shards {
            let (i, b) = lock(shard).validate()?;
            items += i;
            bytes += b;
        }
        if (items, bytes) == (self.live_items(), self.live_bytes()) {
            Ok(())
        } else {
            Err(format!("counted {items} items of {bytes} bytes, noted {} of {}", self.live_items(), self.live_bytes()))
        }
    }

    /// Calls `f` for every item, evicted ones included, in no order.
    pub fn for_each(&self, mut f: impl FnMut(Loc, State)) {
        for shard in &self.shards {
            lock(shard).for_each(&mut f);
        }
    }
}
