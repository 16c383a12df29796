//! How many keys each database has, for those who ask without a lock.
//!
//! *Invariant:* a cell is written only by whoever holds the lock of its shard, so a change is plain stores. A sum over
//! the cells is not a moment's truth: each cell is, at a moment of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::limits::{DATABASES_MAX, SHARDS};

/// Deadlines further from the start than this, in ms, count as this far: 34 years, so that the sums of millions fit.
const FAR_MS: i64 = 1 << 40;

/// Keys of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// All that are stored, those included that have expired and are not reclaimed yet.
    pub keys: u64,
    /// Those with a deadline, and hashes with fields that have one.
    pub volatile: u64,
    /// How far their deadlines lie ahead on average, in ms.
    pub mean_ttl_ms: i64,
}

/// What one shard holds of one database.
#[derive(Default)]
struct Cell {
    keys: AtomicU64,
    volatile: AtomicU64,
    due: AtomicI64,
}

/// The cells of all databases; those of a database are made when it gets its first key.
pub(crate) struct Counts {
    base_ms: i64,
    dbs: Box<[OnceLock<Box<[Cell]>>]>,
}

impl Counts {
    /// No keys; deadlines are added up relative to `base_ms`.
    pub(crate) fn new(base_ms: i64) -> Self {
        Self { base_ms, dbs: (0..DATABASES_MAX).map(|_| OnceLock::new()).collect() }
    }

    /// What deadlines are added up relative to, unix ms.
    pub(crate) fn base_ms(&self) -> i64 {
        self.base_ms
    }

    /// What a deadline adds to a sum of them.
    #[inline]
    pub(crate) fn part(&self, deadline: Option<i64>) -> i64 {
        deadline.map_or(0, |ms| ms.saturating_sub(self.base_ms).clamp(-FAR_MS, FAR_MS))
    }

    /// Says what a shard, which is locked, holds of a physical database.
    #[inline]
    pub(crate) fn set(&self, db: u8, shard: usize, keys: usize, volatile: usize, due: i64) {
        let slot = &self.dbs[usize::from(db)];
        if keys == 0 && slot.get().is_none() {
            return;
        }
        let cell = &slot.get_or_init(|| (0..SHARDS).map(|_| Cell::default()).collect())[shard];
        cell.keys.store(keys as u64, Relaxed);
        cell.volatile.store(volatile as u64, Relaxed);
        cell.due.store(due, Relaxed);
    }

    /// The sums of a physical database.
    pub(crate) fn get(&self, db: u8, now_ms: i64) -> KeyCounts {
        let mut counts = KeyCounts::default();
        let mut due = 0i64;
        for cell in self.dbs[usize::from(db)].get().into_iter().flatten() {
            counts.keys += cell.keys.load(Relaxed);
            counts.volatile += cell.volatile.load(Relaxed);
            due = due.wrapping_add(cell.due.load(Relaxed));
        }
        if counts.volatile > 0 {
            let mean = self.base_ms + due / counts.volatile as i64;
            counts.mean_ttl_ms = (mean - now_ms).max(0);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use effect::{Deadline, Kind, Op};
    use proptest::prelude::*;

    use crate::{Context, Engine, Lock, Options, Recycled, Stop};

    /// One change, by small numbers.
    #[derive(Debug, Clone)]
    enum Step {
        Set(u8, u8, Option<u16>),
        Remove(u8, u8),
        Expire(u8, u8, Option<u16>),
        Rename(u8, u8, u8, u8),
        Flush(u8),
        Swap(u8, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let db = || 0u8..3;
        let key = || 0u8..12;
        let ttl = || proptest::option::of(1u16..2000);
        prop_oneof![
            6 => (db(), key(), ttl()).prop_map(|(d, k, t)| Step::Set(d, k, t)),
            2 => (db(), key()).prop_map(|(d, k)| Step::Remove(d, k)),
            2 => (db(), key(), ttl()).prop_map(|(d, k, t)| Step::Expire(d, k, t)),
            2 => (db(), key(), db(), key()).prop_map(|(d, k, e, l)| Step::Rename(d, k, e, l)),
            1 => db().prop_map(Step::Flush),
            1 => (db(), db()).prop_map(|(a, b)| Step::Swap(a, b)),
        ]
    }

    fn emit(context: &mut Context<'_>, step: &Step, now_ms: i64) -> Result<(), Stop> {
        let at = |ttl: &Option<u16>| ttl.map(|ttl| now_ms + i64::from(ttl));
        match step {
            Step::Set(db, key, ttl) => {
                context.select(*db);
                let fresh = !context.state.exists(&[*key])?;
                let deadline = at(ttl).map_or(Deadline::Clear, Deadline::At);
                context.out.emit(&[*key], fresh, Op::Set { value: b"value", deadline });
            }
            Step::Remove(db, key) => {
                context.select(*db);
                if context.state.exists(&[*key])? {
                    context.out.remove(&[*key]);
                }
            }
            Step::Expire(db, key, ttl) => {
                context.select(*db);
                if context.state.kind(&[*key])? == Some(Kind::String) {
                    context.out.emit(&[*key], false, Op::Expire(at(ttl)));
                }
            }
            Step::Rename(db, key, to_db, to) => {
                context.select(*db);
                if (db, key) != (to_db, to) && context.state.exists(&[*key])? {
                    context.out.rename(&[*key], *to_db, &[*to]);
                }
            }
            Step::Flush(db) => {
                context.select(*db);
                context.out.emit(b"", false, Op::FlushDb);
            }
            Step::Swap(a, b) => {
                context.select(*a);
                context.out.emit(b"", false, Op::SwapDb(*b));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn counts_equal_what_the_locked_tables_hold(
            batches in proptest::collection::vec((proptest::collection::vec(step(), 1..6), any::<bool>(), 0u16..500), 1..20),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let clock = Arc::new(AtomicI64::new(1_000_000));
            let time = Arc::clone(&clock);
            let options = Options::new(Arc::new(move || time.load(Ordering::Relaxed)), [7; 22]);
            let engine = Engine::open(dir.path(), options).unwrap();
            let mut recycled = Recycled::new();
            for (steps, commit, passes) in &batches {
                let now_ms = clock.fetch_add(i64::from(*passes), Ordering::Relaxed) + i64::from(*passes);
                let mut context = engine.context(Lock::All, 0, now_ms, &mut recycled);
                for step in steps {
                    emit(&mut context, step, now_ms).unwrap();
                    context.savepoint();
                }
                match commit {
                    true => {
                        context.commit().unwrap();
                        drop(context);
                    }
                    false => context.abort(),
                }
                let context = engine.context(Lock::All, 0, now_ms, &mut recycled);
                for db in 0..3 {
                    context.state.select(db);
                    let counts = engine.key_counts(db);
                    prop_assert_eq!(counts.keys, context.state.len().unwrap() as u64);
                    prop_assert_eq!(counts.volatile, context.state.volatile_len().unwrap() as u64);
                    let (mut sum, mut n) = (0, 0);
                    context.state.each_entry(|entry| {
                        if let Some(deadline) = entry.deadline() {
                            sum += deadline - now_ms;
                            n += 1;
                        }
                    }).unwrap();
                    if n > 0 && n == counts.volatile {
                        let mean = sum / n as i64;
                        prop_assert!((counts.mean_ttl_ms - mean).abs() <= 1, "{} is not {}", counts.mean_ttl_ms, mean);
                    }
                }
                context.abort();
            }
        }
    }
}
