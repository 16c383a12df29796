//! `Space`: one cache keyspace while the server runs: its bounds, its sums, its disk tier.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};

use blob::{Mode as BlobMode, Options, Store};
use effect::wire::{Reader, put_zigzag};
use effect::{Folded, KeyspaceId, Kind};
use parking_lot::{Mutex, RwLock};

use super::definition::Definition;
use super::demote::HuskHand;
use super::tier::Tier;
use crate::digest::fold;
use crate::engine::Shared;
use crate::limits::{
    CACHE_SEGMENT_BYTES_MAX, CACHE_SEGMENT_BYTES_MIN, CACHE_SLACK_SHARE, CACHE_STORE_SHARE, DATABASES_MAX,
    HUSK_PERCENT, SHARDS, TIER_VALUE_SHARE, TIER_WAIT,
};
use crate::value::{Ends, Entry};

/// Counts and figures of a keyspace since it was opened.
#[derive(Default)]
pub(crate) struct Figures {
    /// Look-ups that found a key.
    pub(crate) hits: AtomicU64,
    /// Values loaded from disk.
    pub(crate) disk_hits: AtomicU64,
    /// Look-ups that found none.
    pub(crate) misses: AtomicU64,
    /// Values that went from RAM to disk.
    pub(crate) demotions: AtomicU64,
    /// Keys that went altogether, to make room in RAM; the disk tier counts its own.
    pub(crate) evictions: AtomicU64,
}

/// See the module.
pub(crate) struct Space {
    pub(crate) id: KeyspaceId,
    pub(crate) name: String,
    /// Bytes that values and husks may take together.
    limit: AtomicU64,
    /// Bytes of a value above which the disk tier does not take it.
    largest: AtomicU64,
    values: AtomicU64,
    value_bytes: AtomicU64,
    husks: AtomicU64,
    husk_bytes: AtomicU64,
    /// Bytes of values by shard.
    by_shard: Box<[AtomicU64]>,
    /// By physical database: what is at rest of an earlier generation is void.
    generations: Box<[AtomicU32]>,
    /// Locked for moments only, also under the locks of shards: whoever waits for the disk has a handle of his own.
    pub(crate) tier: RwLock<Tier>,
    /// Why there is no disk tier, or why it is about to be given up.
    pub(crate) trouble: Mutex<Option<String>>,
    /// The disk tier has failed and must be given up.
    pub(crate) broken: AtomicBool,
    /// The disk tier must be opened anew: its bounds have changed, or it is to be tried again.
    pub(crate) reopen: AtomicBool,
    /// The disk tier syncs.
    pub(crate) syncs: AtomicBool,
    /// There may be records of earlier generations.
    pub(crate) garbage: AtomicBool,
    /// There may be husks whose value is gone though the disk tier has evicted nothing.
    pub(crate) hollow: AtomicBool,
    /// Names of hidden records that nobody has begun to invalidate.
    stale: Mutex<Vec<Vec<u8>>>,
    /// Held by whoever invalidates: all that was hidden by then, whoever did it. Shards may be locked under it.
    pub(super) settling: Mutex<()>,
    /// Hidden records that are not invalidated yet.
    pub(crate) unsettled: AtomicUsize,
    /// Where the log says for the last time that what was at rest is void, if it is known to say so.
    pub(super) voided: AtomicU64,
    /// Where the next victim is looked for.
    hand: AtomicUsize,
    /// Where husks are shed next.
    pub(super) husk_hand: Mutex<HuskHand>,
    pub(crate) figures: Figures,
}

impl Space {
    pub(crate) fn new(definition: &Definition) -> Self {
        let space = Self {
            id: definition.id,
            name: definition.name.clone(),
            limit: AtomicU64::new(0),
            largest: AtomicU64::new(0),
            values: AtomicU64::new(0),
            value_bytes: AtomicU64::new(0),
            husks: AtomicU64::new(0),
            husk_bytes: AtomicU64::new(0),
            by_shard: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
            generations: (0..DATABASES_MAX).map(|_| AtomicU32::new(0)).collect(),
            tier: RwLock::new(Tier::None),
            trouble: Mutex::new(None),
            broken: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            syncs: AtomicBool::new(definition.fsync),
            garbage: AtomicBool::new(false),
            hollow: AtomicBool::new(false),
            stale: Mutex::default(),
            settling: Mutex::default(),
            unsettled: AtomicUsize::new(0),
            voided: AtomicU64::new(0),
            hand: AtomicUsize::new(0),
            husk_hand: Mutex::default(),
            figures: Figures::default(),
        };
        space.set_bounds(definition);
        space
    }

    /// Takes the bound on RAM of its definition.
    pub(crate) fn set_bounds(&self, definition: &Definition) {
        let store = if definition.disk_bytes == 0 { 0 } else { definition.ram_bytes / CACHE_STORE_SHARE };
        let slack = definition.ram_bytes / CACHE_SLACK_SHARE;
        self.limit.store(definition.ram_bytes - store - slack, Relaxed);
        self.largest.store(store / TIER_VALUE_SHARE, Relaxed);
    }

    /// Bytes of a value above which the disk tier does not take it.
    pub(crate) fn largest(&self) -> u64 {
        self.largest.load(Relaxed)
    }

    /// Bytes that values and husks may take.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Bytes that values and husks take.
    pub(crate) fn used(&self) -> u64 {
        self.value_bytes.load(Relaxed).saturating_add(self.husk_bytes.load(Relaxed))
    }

    /// Bytes of values, and how many.
    pub(crate) fn values(&self) -> (u64, u64) {
        (self.value_bytes.load(Relaxed), self.values.load(Relaxed))
    }

    /// Bytes of husks, and how many.
    pub(crate) fn husks(&self) -> (u64, u64) {
        (self.husk_bytes.load(Relaxed), self.husks.load(Relaxed))
    }

    /// Bytes by which husks are beyond their share.
    pub(crate) fn surplus_husks(&self) -> u64 {
        self.husk_bytes.load(Relaxed).saturating_sub(self.limit() / 100 * HUSK_PERCENT)
    }

    /// The values of a shard took `before` bytes, and their number has changed by `count`.
    pub(crate) fn values_changed(&self, shard: u8, before: u64, after: u64, count: i64) {
        let more = after.wrapping_sub(before);
        self.value_bytes.fetch_add(more, Relaxed);
        self.by_shard[usize::from(shard)].fetch_add(more, Relaxed);
        self.values.fetch_add(count as u64, Relaxed);
    }

    /// So many husks, of so many bytes, came (or, negative, went).
    pub(crate) fn husks_changed(&self, bytes: i64, count: i64) {
        self.husk_bytes.fetch_add(bytes as u64, Relaxed);
        self.husks.fetch_add(count as u64, Relaxed);
    }

    /// The shard where the next victim is looked for: in turn, those that hold at least their share.
    pub(crate) fn next_shard(&self) -> Option<u8> {
        let mean = self.value_bytes.load(Relaxed) / SHARDS as u64;
        for _ in 0..SHARDS {
            let at = self.hand.fetch_add(1, Relaxed) % SHARDS;
            let bytes = self.by_shard[at].load(Relaxed);
            if bytes > 0 && bytes >= mean {
                return Some(at as u8);
            }
        }
        None
    }

    /// The generation of a physical database.
    pub(crate) fn generation(&self, db: u8) -> u32 {
        self.generations[usize::from(db)].load(Relaxed)
    }

    /// Makes void what is at rest of a physical database, or of all.
    pub(crate) fn void(&self, db: Option<u8>) {
        for at in db.map_or(0..DATABASES_MAX, |db| usize::from(db)..usize::from(db) + 1) {
            self.generations[at].fetch_add(1, Relaxed);
        }
        self.garbage.store(true, Relaxed);
        self.hollow.store(true, Relaxed);
    }

    /// Generations that are not 0, by physical database.
    pub(crate) fn generations(&self) -> Vec<(u8, u32)> {
        let all = (0..=u8::MAX).map(|db| (db, self.generation(db)));
        all.filter(|(_, generation)| *generation != 0).collect()
    }

    pub(crate) fn set_generations(&self, generations: &[(u8, u32)]) {
        for (db, generation) in generations {
            self.generations[usize::from(*db)].store(*generation, Relaxed);
        }
    }

    /// What the disk tier calls a key of a physical database.
    pub(crate) fn name_of(&self, db: u8, key: &[u8]) -> Vec<u8> {
        let mut name = Vec::with_capacity(key.len() + NAME_HEAD);
        name.extend_from_slice(&self.generation(db).to_be_bytes());
        name.push(db);
        name.extend_from_slice(key);
        name
    }

    /// The disk tier, for whoever is going to wait for the disk.
    pub(crate) fn store(&self) -> Option<Store> {
        self.tier.read().store().cloned()
    }

    /// Whether the disk tier is being opened anew: what is at rest is not found, but may be there.
    pub(crate) fn is_away(&self) -> bool {
        matches!(*self.tier.read(), Tier::Away(_))
    }

    /// Whether the disk tier has the value of a husk, and it can be read now.
    pub(crate) fn has_value(&self, db: u8, key: &[u8]) -> bool {
        self.tier.read().store().is_some_and(|store| store.may_contain(&self.name_of(db, key)))
    }

    /// Whether there may be a record on disk of a value that readers do not find: it was evicted. Of what was evicted
    /// before the tier was opened anew the store knows nothing; then there is no `husk` either.
    pub(crate) fn may_come_back(&self, name: &[u8], husk: bool) -> bool {
        match &*self.tier.read() {
            Tier::None => false,
            Tier::Open(store) => store.has_record(name) && !(husk && store.may_contain(name)),
            Tier::Away(_) => true,
        }
    }

    /// Has the disk tier forget where a record is, if there may be one, and notes that it must be invalidated before
    /// anybody is answered. The key's shard is locked.
    pub(crate) fn hide(&self, name: Vec<u8>) {
        let tier = self.tier.read();
        let found = match &*tier {
            Tier::None => false,
            Tier::Open(store) => store.hide(&name),
            Tier::Away(away) => {
                away.hide(&name);
                true
            }
        };
        if found {
            // Still under the tier's lock: whoever puts another in its place finds the name here.
            self.stale.lock().push(name);
            self.unsettled.fetch_add(1, AcqRel);
        }
    }

    /// Has the disk tier forget a record that is of the value as it was last: so it may be there after a restart.
    pub(super) fn let_go(&self, name: &[u8]) {
        match &*self.tier.read() {
            Tier::None => {}
            Tier::Open(store) => {
                store.hide(name);
            }
            Tier::Away(away) => away.hide(name),
        }
    }

    /// Takes the names that nobody has begun to invalidate. The caller holds `settling`.
    pub(super) fn take_stale(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.stale.lock())
    }

    /// The names that nobody has begun to invalidate.
    pub(super) fn stale(&self) -> Vec<Vec<u8>> {
        self.stale.lock().clone()
    }

    /// Sees to it that hidden records never come back. If it cannot, all that is at rest must be void.
    pub(super) fn invalidate(&self, names: &[Vec<u8>]) -> Result<(), blob::Error> {
        let away = match &*self.tier.read() {
            Tier::None => return Ok(()),
            Tier::Open(store) => Err(store.clone()),
            Tier::Away(away) => Ok(Arc::clone(away)),
        };
        match away {
            Ok(away) => away.write(names).map_err(|e| blob::Error::io("writing the names of hidden records", e)),
            Err(store) => store.invalidate(names.iter().map(Vec::as_slice)),
        }
    }

    /// Notes that the disk tier does not work.
    pub(crate) fn note_trouble(&self, error: &blob::Error) {
        self.trouble.lock().get_or_insert_with(|| error.to_string());
        self.broken.store(true, Relaxed);
    }
}

/// Bytes before the key in a name of the disk tier: generation u32 BE ‖ physical database u8.
const NAME_HEAD: usize = 5;

/// A name of the disk tier, taken apart: generation, physical database, key.
pub(crate) fn split_name(name: &[u8]) -> Option<(u32, u8, &[u8])> {
    let (head, key) = name.split_at_checked(NAME_HEAD)?;
    Some((u32::from_be_bytes([head[0], head[1], head[2], head[3]]), head[4], key))
}

/// Opens a keyspace's disk tier, or makes it.
pub(crate) fn open_tier(dir: &Path, definition: &Definition, shared: &Shared) -> Result<Store, blob::Error> {
    std::fs::create_dir_all(dir).map_err(|e| blob::Error::io("making the directory", e))?;
    let (disk, ram) = (definition.disk_bytes, definition.ram_bytes / CACHE_STORE_SHARE);
    let clock = Arc::clone(&shared.clock);
    let segment = (disk / 64).clamp(CACHE_SEGMENT_BYTES_MIN, CACHE_SEGMENT_BYTES_MAX);
    let options = Options {
        segment_bytes: segment.next_multiple_of(4096),
        max_wait: TIER_WAIT,
        policy: shared.disk_policy,
        clock: Arc::new(move || stamp(clock())),
        ..Options::new(BlobMode::Cache { fsync: definition.fsync }, disk, ram)
    };
    let store = Store::open(dir, options)?;
    if shared.ciphers.is_on() {
        let (keyspace, dir) = (&definition.name, dir.display());
        tracing::warn!("encryption at rest is on, but the disk tier of keyspace {keyspace} is in clear: {dir}");
    }
    store.start();
    Ok(store)
}

/// Unix ms as the disk tier counts time: its lower four bits are free to tell what a record is.
fn stamp(ms: i64) -> u64 {
    (ms.max(0) as u64).min(NEVER - 1) << TAG_BITS
}

const TAG_BITS: u32 = 4;
/// The deadline of what has none.
const NEVER: u64 = 1 << 58;
/// The deadline is that of the fields. The lower three bits are the kind.
const BY_FIELDS: u64 = 1 << 3;

/// A deadline for the disk tier that also tells what the value is.
pub(crate) fn tagged(kind: Kind, ends: Ends) -> u64 {
    let at = ends.at.map_or(NEVER << TAG_BITS, stamp);
    at | kind as u64 | if ends.by_fields { BY_FIELDS } else { 0 }
}

/// What [`tagged`] said.
pub(crate) fn untagged(deadline: u64) -> Option<(Kind, Ends)> {
    let kind = Kind::from_u8((deadline & (BY_FIELDS - 1)) as u8)?;
    let at = Some(deadline >> TAG_BITS).filter(|at| *at < NEVER).map(|at| at as i64);
    Some((kind, Ends { at, by_fields: deadline & BY_FIELDS != 0 }))
}

/// Appends a value as it lies at rest: version u8 ‖ its deadline ‖ the folded value.
pub(crate) fn put_value(entry: &Entry, now_ms: i64, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_zigzag(out, entry.deadline().unwrap_or(NO_DEADLINE));
    fold(entry, 0, now_ms, out);
}

/// Reads what [`put_value`] wrote.
pub(crate) fn get_value(bytes: &[u8]) -> Option<(Option<i64>, Folded<'_>)> {
    let mut from = Reader::new(bytes);
    if from.u8().ok()? != VERSION {
        return None;
    }
    let deadline = Some(from.zigzag().ok()?).filter(|at| *at != NO_DEADLINE);
    Some((deadline, Folded::decode(0, &mut from).ok()?))
}

/// The form of values at rest.
const VERSION: u8 = 1;
/// The deadline of a value at rest that has none.
const NO_DEADLINE: i64 = i64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_kind_and_end_and_orders_by_time() {
        for kind in [Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::ZSet] {
            for at in [None, Some(0), Some(1_700_000_000_123)] {
                for by_fields in [false, true] {
                    let ends = Ends { at, by_fields };
                    let tag = tagged(kind, ends);
                    assert_eq!(untagged(tag), Some((kind, ends)));
                    assert!(at.is_none_or(|at| (stamp(at)..stamp(at + 1)).contains(&tag)), "{kind:?} {ends:?}");
                }
            }
        }
        assert!(tagged(Kind::List, Ends { at: Some(i64::MAX), by_fields: false }) < NEVER << TAG_BITS);
        assert_eq!(untagged(7), None);
    }

    #[test]
    fn names_are_taken_apart_again() {
        assert_eq!(split_name(&[0, 0, 1, 2, 9, b'k']), Some((258, 9, &b"k"[..])));
        assert_eq!(split_name(&[0, 0, 1, 2]), None);
    }
}
