//! The store in memory: the model that the durable one is compared with, and what simulations use.
//!
//! Every operation takes one lock, prefix deletions are carried out at once, and a compaction collects everything in
//! one call.

mod image;
mod versions;

use std::collections::BTreeMap;
use std::io::Read;

use parking_lot::RwLock;

use crate::conflict::{ConflictCounts, Counters};
use crate::error::{ConflictKind, Error, Result};
use crate::input;
use crate::pins::{Pin, Pins, Watermark};
use crate::span::{Direction, Span};
use crate::store::{
    Applied, Bounds, Compaction, Mutation, Page, PageBuilder, PrefixDelete, Retention, RunRow, Snapshot, Source, Store,
    Transaction,
};
use crate::timestamp::Timestamp;
use crate::value::{Value, Version};

use versions::{MemVersion, Versions};

/// A versioned store that lives in memory.
#[derive(Debug)]
pub struct MemStore {
    state: RwLock<State>,
    pins: Pins,
    counters: Counters,
}

#[derive(Clone, Debug)]
struct State {
    retention: Retention,
    keys: BTreeMap<Vec<u8>, Versions>,
    last_commit: Timestamp,
    applied_index: u64,
}

impl MemStore {
    /// An empty store.
    pub fn new(retention: Retention) -> Self {
        let state = State { retention, keys: BTreeMap::new(), last_commit: Timestamp::ZERO, applied_index: 0 };
        Self { state: RwLock::new(state), pins: Pins::default(), counters: Counters::default() }
    }

    /// How many versions it holds.
    pub fn version_count(&self) -> usize {
        self.state.read().keys.values().map(|versions| versions.0.len()).sum()
    }

    fn watermark_now(&self) -> Timestamp {
        self.pins.watermark().effective()
    }

    fn check_readable(&self, at: Timestamp) -> Result<()> {
        let watermark = self.watermark_now();
        if at < watermark { Err(Error::Compacted { at, watermark }) } else { Ok(()) }
    }

    /// The state for a write at `commit`, unless the log has brought it before.
    fn check_order(&self, state: &State, commit: Timestamp, index: Option<u64>) -> Result<Applied> {
        if index.is_some_and(|index| index <= state.applied_index) {
            return Ok(Applied::Before);
        }
        input::above(commit, state.last_commit.max(self.watermark_now()))?;
        Ok(Applied::Now)
    }

    fn check_conflicts(&self, state: &State, transaction: &Transaction<'_>) -> Result<()> {
        let Some(start) = transaction.start else { return Ok(()) };
        self.check_readable(start)?;
        let newer = |key: &[u8]| {
            let commit = state.keys.get(key).and_then(Versions::newest)?.commit;
            (commit > start).then_some(commit)
        };
        for mutation in transaction.mutations {
            if let Some(latest) = newer(mutation.key()) {
                return Err(self.counters.refuse(ConflictKind::Write, mutation.key(), latest, start));
            }
        }
        for key in transaction.read_keys {
            if let Some(latest) = newer(key) {
                return Err(self.counters.refuse(ConflictKind::Read, key, latest, start));
            }
        }
        for span in transaction.read_spans {
            for (key, _) in state.range(*span) {
                if let Some(latest) = newer(key) {
                    return Err(self.counters.refuse(ConflictKind::Range, key, latest, start));
                }
            }
        }
        Ok(())
    }
}

impl State {
    fn range<'s>(&'s self, span: Span<'s>) -> impl DoubleEndedIterator<Item = (&'s Vec<u8>, &'s Versions)> {
        let span = if span.is_empty() { Span::new(&[], &[]) } else { span };
        self.keys.range::<[u8], _>(span.bounds())
    }

    fn stamp(&mut self, commit: Timestamp, index: Option<u64>) {
        self.last_commit = commit;
        self.applied_index = index.unwrap_or(self.applied_index);
    }

    /// The version that a mutation makes.
    fn version_of(&self, mutation: &Mutation<'_>, commit: Timestamp) -> Result<MemVersion> {
        Ok(match *mutation {
            Mutation::Put { value, expire_at, .. } => MemVersion { commit, expire_at, value: Some(Value::from(value)) },
            Mutation::Delete { .. } => MemVersion::deletion(commit),
            Mutation::Expire { key, expire_at } => {
                let newest = self.keys.get(key).and_then(Versions::newest);
                let not_found = || Error::NotFound { key: key.to_vec() };
                let current = newest.filter(|newest| newest.value.is_some()).ok_or_else(not_found)?;
                if let Some(deadline) = current.expire_at.filter(|&deadline| deadline <= commit) {
                    return Err(Error::Expired { key: key.to_vec(), deadline });
                }
                MemVersion { commit, expire_at, value: current.value.clone() }
            }
        })
    }

    fn delete_prefix(&mut self, delete: &PrefixDelete<'_>) {
        let retention = self.retention;
        for (key, versions) in &mut self.keys {
            let named = key.starts_with(delete.prefix) && !delete.spare.is_some_and(|spare| key.starts_with(spare));
            let before = |newest: &MemVersion| newest.commit < delete.commit && newest.visible(delete.commit).is_some();
            if named && versions.newest().is_some_and(before) {
                versions.push(MemVersion::deletion(delete.commit), retention);
            }
        }
    }

    fn collect(&mut self, watermark: Timestamp) -> (usize, usize) {
        let count = |keys: &BTreeMap<_, Versions>| keys.values().map(|versions| versions.0.len()).sum::<usize>();
        let before = count(&self.keys);
        self.keys.retain(|_, versions| {
            versions.collect(watermark);
            !versions.0.is_empty()
        });
        (before, before - count(&self.keys))
    }
}

impl Store for MemStore {
    fn retention(&self) -> Retention {
        self.state.read().retention
    }

    fn get(&self, key: &[u8], at: Timestamp) -> Result<Option<Version>> {
        input::key(key)?;
        let state = self.state.read();
        self.check_readable(at)?;
        state.keys.get(key).map_or(Ok(None), |versions| versions.visible(at, state.retention))
    }

    fn scan(&self, span: Span<'_>, at: Timestamp, direction: Direction, bounds: Bounds) -> Result<Page> {
        bounds.check()?;
        let state = self.state.read();
        self.check_readable(at)?;
        let mut forward = state.range(span);
        let mut page = PageBuilder::new(direction, bounds);
        let mut step = || match direction {
            Direction::Forward => forward.next(),
            Direction::Reverse => forward.next_back(),
        };
        while let Some((key, versions)) = step() {
            if !page.visit(key, versions.visible(at, state.retention)?) {
                break;
            }
        }
        Ok(page.finish())
    }

    fn latest_commit(&self, key: &[u8]) -> Result<Option<Timestamp>> {
        input::key(key)?;
        Ok(self.state.read().keys.get(key).and_then(Versions::newest).map(|newest| newest.commit))
    }

    fn committed_at(&self, key: &[u8], commit: Timestamp) -> Result<bool> {
        input::key(key)?;
        let state = self.state.read();
        let none = Versions::default();
        state.keys.get(key).unwrap_or(&none).committed_at(commit, self.watermark_now(), state.retention)
    }

    fn apply(&self, transaction: &Transaction<'_>, source: Source) -> Result<Applied> {
        input::transaction(transaction)?;
        let index = input::log_index(source)?;
        let mut state = self.state.write();
        if self.check_order(&state, transaction.commit, index)? == Applied::Before {
            return Ok(Applied::Before);
        }
        self.check_conflicts(&state, transaction)?;
        let made = transaction.mutations.iter().map(|mutation| state.version_of(mutation, transaction.commit));
        let made = made.collect::<Result<Vec<_>>>()?;
        let retention = state.retention;
        for (mutation, version) in transaction.mutations.iter().zip(made) {
            state.keys.entry(mutation.key().to_vec()).or_default().push(version, retention);
        }
        state.stamp(transaction.commit, index);
        Ok(Applied::Now)
    }

    fn delete_prefix(&self, delete: &PrefixDelete<'_>, source: Source) -> Result<Applied> {
        input::prefix_delete(delete)?;
        let index = input::log_index(source)?;
        let mut state = self.state.write();
        if self.check_order(&state, delete.commit, index)? == Applied::Before {
            return Ok(Applied::Before);
        }
        state.delete_prefix(delete);
        state.stamp(delete.commit, index);
        Ok(Applied::Now)
    }

    fn ingest(&self, run: &mut dyn Iterator<Item = RunRow>, commit: Timestamp, source: Source) -> Result<Applied> {
        let index = input::log_index(source)?;
        let mut check = input::RunCheck::new(commit)?;
        let mut state = self.state.write();
        if state.retention != Retention::Newest {
            return Err(Error::NotSupported("bringing in a run where superseded versions are kept"));
        }
        if self.check_order(&state, commit, index)? == Applied::Before {
            return Ok(Applied::Before);
        }
        let rows = run.map(|row| check.row(&row).map(|()| row)).collect::<Result<Vec<_>>>()?;
        let watermark = self.watermark_now();
        for RunRow { key, commit, expire_at, value } in rows {
            let value = value.map(|value| Value::from(&value[..]));
            let mut versions = Versions(vec![MemVersion { commit, expire_at, value }]);
            versions.collect(watermark);
            if versions.0.is_empty() {
                state.keys.remove(&key);
            } else {
                state.keys.insert(key, versions);
            }
        }
        state.stamp(commit, index);
        Ok(Applied::Now)
    }

    fn last_commit(&self) -> Timestamp {
        self.state.read().last_commit
    }

    fn applied_index(&self) -> u64 {
        self.state.read().applied_index
    }

    fn advance_applied(&self, index: u64) -> Result<()> {
        let mut state = self.state.write();
        state.applied_index = state.applied_index.max(index);
        Ok(())
    }

    fn conflicts(&self) -> ConflictCounts {
        self.counters.counts()
    }

    fn watermark(&self) -> Watermark {
        self.pins.watermark()
    }

    fn pin(&self, at: Timestamp) -> Result<Pin> {
        let state = self.state.read();
        self.pins.pin(if at == Timestamp::LATEST { state.last_commit.max(self.watermark_now()) } else { at })
    }

    fn compact(&self, horizon: Timestamp, _budget: usize) -> Result<Compaction> {
        input::horizon(horizon)?;
        let mut state = self.state.write();
        let watermark = self.pins.raise(horizon, |_| Ok(()))?.effective();
        let (visited, collected) = state.collect(watermark);
        self.pins.set(Watermark { committed: watermark, pending: None });
        Ok(Compaction { watermark, visited, collected, done: true })
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let state = self.state.read();
        Ok(Box::new(image::Image { state: state.clone(), watermark: self.watermark_now() }))
    }

    fn restore(&self, from: &mut dyn Read) -> Result<()> {
        let retention = self.retention();
        let (restored, watermark) = image::read(from, retention)?;
        let mut state = self.state.write();
        *state = restored;
        self.pins.set(Watermark { committed: watermark, pending: None });
        Ok(())
    }
}
