//! A digest of the state: equal for equal states, whatever the order in which keys and elements are stored.
//!
//! Each key adds the hash of its logical database, name, deadline and value; unordered collections add up the hashes
//! of their elements. What is hidden at the moment of the digest does not count.

use effect::{Folded, FoldedWriter, Kind};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

use crate::state::State;
use crate::stop::{Miss, Stop};
use crate::value::{Entry, Part};

/// 128 bits; equal states have equal digests, different ones differ with overwhelming probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(pub u128);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:040x}", self.0)
    }
}

fn hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = SipHasher24::new();
    for part in parts {
        hasher.write_u64(part.len() as u64);
        hasher.write(part);
    }
    hasher.finish128().as_u128()
}

/// The digest of one key's value, without its name.
pub fn digest_value(entry: &Entry, now_ms: i64) -> Digest {
    assert!(!entry.is_partly_away(), "the digest of a value is that of all its elements");
    let deadline = entry.deadline().map(i64::to_le_bytes);
    let deadline = deadline.as_ref().map_or(&[][..], |d| d);
    let kind = [entry.kind() as u8];
    let mut body = 0u128;
    let mut add = |part: u128| body = body.wrapping_add(part);
    if let Some(bytes) = entry.bytes() {
        add(hash(&[bytes]));
    } else if let Some(fields) = entry.hash() {
        for f in fields.iter().filter(|f| f.deadline.is_none_or(|d| d > now_ms)) {
            add(hash(&[f.field, f.value, &f.deadline.unwrap_or(i64::MIN).to_le_bytes()]));
        }
    } else if let Some(set) = entry.set() {
        set.iter().for_each(|member| add(hash(&[&member])));
    } else if let Some(zset) = entry.zset() {
        zset.iter().for_each(|(member, score)| add(hash(&[member, &(score + 0.0).to_bits().to_le_bytes()])));
    } else {
        let mut out = Vec::new();
        fold(entry, 0, now_ms, &mut out);
        add(hash(&[&out]));
    }
    Digest(hash(&[&kind, deadline, &body.to_le_bytes()]))
}

/// Appends the whole value of `entry`, without what is hidden at `now_ms`; `home` as in [`Folded::decode`]. None of it may be away:
/// it would be lost.
pub fn fold(entry: &Entry, home: u64, now_ms: i64, out: &mut Vec<u8>) {
    assert!(!entry.is_partly_away(), "who writes a value whole has seen to it that all of it is here");
    if let Some(bytes) = entry.bytes() {
        FoldedWriter::string(out, bytes);
    } else if let Some(hash) = entry.hash() {
        let mut writer = FoldedWriter::collection(out, Kind::Hash, home, hash.count_live(now_ms));
        for f in hash.iter().filter(|f| f.deadline.is_none_or(|d| d > now_ms)) {
            writer.field(f.field, f.value, f.deadline);
        }
    } else if let Some(set) = entry.set() {
        let mut writer = FoldedWriter::collection(out, Kind::Set, home, set.len());
        set.iter().for_each(|member| writer.member(&member));
    } else if let Some(zset) = entry.zset() {
        let mut writer = FoldedWriter::collection(out, Kind::ZSet, home, zset.len());
        zset.iter().for_each(|(member, score)| writer.scored(member, score));
    } else if let Some(list) = entry.list() {
        let (runs, mut elements) = (list.runs(0..list.len()).expect("it was just asked"), list.iter());
        let mut writer = FoldedWriter::collection(out, Kind::List, home, runs.len());
        for (first, len) in runs {
            writer.run(&first, elements.by_ref().take(len as usize));
        }
    }
}

/// Reads what [`fold`] wrote. The bytes are this process' own.
pub fn unfold(home: u64, bytes: &[u8]) -> Folded<'_> {
    Folded::decode(home, &mut effect::wire::Reader::new(bytes)).expect("the value was folded by this process")
}

impl State<'_> {
    /// The digest of all databases, without what is held as cache. Every shard must be locked.
    pub fn digest(&self) -> Result<Digest, Stop> {
        let mut sum = 0u128;
        let before = self.db();
        for db in 0..=u8::MAX {
            self.select(db);
            let parts = std::cell::Cell::new(0u128);
            let add = |key: &[u8], value: Digest| {
                parts.set(parts.get().wrapping_add(hash(&[&[db], key, &value.0.to_le_bytes()])));
            };
            let missing = std::cell::RefCell::new(None);
            let here = |entry: &Entry| {
                if entry.is_partly_away() {
                    missing.borrow_mut().get_or_insert_with(|| entry.key().to_vec());
                } else if !self.is_cached(entry) {
                    add(entry.key(), digest_value(entry, self.now_ms()));
                }
            };
            self.for_each(true, here, |listed| add(&listed.key, listed.digest.unwrap_or_default()))?;
            if let Some(key) = missing.into_inner() {
                return Err(Stop::Miss(Miss::Elements { db: self.physical(), key, part: Some(Part::Whole) }));
            }
            sum = sum.wrapping_add(parts.get());
        }
        self.select(before);
        Ok(Digest(sum))
    }

    /// Whether a key of the current database is held as cache.
    fn is_cached(&self, entry: &Entry) -> bool {
        let place = self.shared.place_of(entry.key());
        let tables = self.guards.get(place.shard).and_then(|shard| shard.db(self.physical()));
        tables.is_some_and(|tables| tables.holds_as_cache(place.order, entry))
    }
}
