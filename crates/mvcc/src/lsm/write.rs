//! Transactions: checks under the writers' lock, then one batch.

use std::sync::atomic::Ordering;

use fjall::{Keyspace, OwnedWriteBatch, PersistMode, Slice};

use super::seal::Sealing;
use super::view::{Found, View};
use super::{LsmStore, books};
use crate::deletes::Pending;
use crate::error::{ConflictKind, Error, Result};
use crate::header::Header;
use crate::input;
use crate::layout::{self, STATE_KEY};
use crate::limits::MAX_PREFIX_DELETES;
use crate::span::Direction;
use crate::store::{Applied, Mutation, PrefixDelete, Retention, Source, Transaction};
use crate::timestamp::Timestamp;

/// Rows that are written together.
pub(super) struct Batch {
    batch: OwnedWriteBatch,
    rows: Keyspace,
    /// What values are sealed with, if they are.
    sealing: Option<Sealing>,
}

impl Batch {
    pub(super) fn new(store: &LsmStore, rows: &Keyspace, mode: PersistMode) -> Self {
        let batch = store.db.batch().durability(Some(mode));
        Self { batch, rows: rows.clone(), sealing: Sealing::of(&store.seal) }
    }

    /// Inserts the row of a version, sealed where values are.
    pub(super) fn put(&mut self, row_key: Vec<u8>, header: Header, value: &[u8]) -> Result<()> {
        match &mut self.sealing {
            None => self.insert(row_key, header.row(value)),
            Some(sealing) => {
                let row = sealing.row(&row_key, &header, &[value])?;
                self.batch.insert(&self.rows, row_key, row);
            }
        }
        Ok(())
    }

    /// Seals a row anew that needs it; says whether it did.
    pub(super) fn renew(&mut self, row_key: &Slice, row: &Slice) -> Result<bool> {
        let Some(sealing) = &mut self.sealing else { return Ok(false) };
        let Some(row) = sealing.renewed(row_key, row)? else { return Ok(false) };
        self.batch.insert(&self.rows, row_key.clone(), row);
        Ok(true)
    }

    pub(super) fn insert(&mut self, key: Vec<u8>, row: Vec<u8>) {
        self.batch.insert(&self.rows, key, row);
    }

    pub(super) fn remove(&mut self, key: impl Into<fjall::UserKey>) {
        self.batch.remove(&self.rows, key);
    }

    pub(super) fn commit(self) -> Result<()> {
        self.batch.commit().map_err(|error| Error::tree("writing a batch", error))
    }

    /// Moves a version to the history that is superseded at `commit`. If a prefix deletion had deleted it before, the
    /// deletion is a version of its own. What is garbage from the start is left out.
    pub(super) fn supersede(
        &mut self,
        key: &[u8],
        old: &Found,
        deleted: Option<Timestamp>,
        commit: Timestamp,
        view: &View<'_>,
    ) -> Result<()> {
        let header = old.header.superseded(deleted.unwrap_or(commit));
        if !header.is_garbage(view.floor()) {
            // The value is bound to its header, which changes, so it is opened and sealed again.
            let value = old.value(&[&[layout::CURRENT], key], view)?;
            self.put(layout::history(key, header.commit), header, &value)?;
        }
        match deleted.map(|deleted| Header::tombstone(deleted).superseded(commit)) {
            Some(header) if !header.is_garbage(view.floor()) => {
                self.put(layout::history(key, header.commit), header, &[])
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn persist_mode(source: Source) -> PersistMode {
    match source {
        Source::Direct => PersistMode::SyncAll,
        Source::Log { .. } => PersistMode::Buffer,
    }
}

impl LsmStore {
    /// Whether a write at `commit` comes in order, or has come before.
    pub(super) fn check_order(&self, commit: Timestamp, index: Option<u64>) -> Result<Applied> {
        if index.is_some_and(|index| index <= self.applied_index.load(Ordering::Acquire)) {
            return Ok(Applied::Before);
        }
        let last = Timestamp(self.last_commit.load(Ordering::Acquire));
        input::above(commit, last.max(self.floor()))?;
        Ok(Applied::Now)
    }

    /// The state row after a write.
    pub(super) fn stamp(&self, commit: Timestamp, index: Option<u64>) -> [u8; 16] {
        let index = index.unwrap_or_else(|| self.applied_index.load(Ordering::Acquire));
        books::state_row(commit, index)
    }

    /// Tells readers of a write that is in the tree.
    pub(super) fn publish(&self, commit: Timestamp, index: Option<u64>) {
        if let Some(index) = index {
            self.applied_index.store(index, Ordering::Release);
        }
        self.last_commit.store(commit.0, Ordering::Release);
    }

    pub(super) fn apply_transaction(&self, transaction: &Transaction<'_>, source: Source) -> Result<Applied> {
        input::transaction(transaction)?;
        let index = input::log_index(source)?;
        let commit = transaction.commit;
        let _writer = self.writer.lock();
        if self.check_order(commit, index)? == Applied::Before {
            return Ok(Applied::Before);
        }
        let view = View::now(self);
        self.check_conflicts(&view, transaction)?;
        let mut batch = Batch::new(self, &view.rows, persist_mode(source));
        for mutation in transaction.mutations {
            self.stage(&mut batch, &view, mutation, commit)?;
        }
        batch.insert(STATE_KEY.to_vec(), self.stamp(commit, index).to_vec());
        batch.commit()?;
        self.publish(commit, index);
        Ok(Applied::Now)
    }

    fn stage(&self, batch: &mut Batch, view: &View<'_>, mutation: &Mutation<'_>, commit: Timestamp) -> Result<()> {
        let key = mutation.key();
        let is_kept = self.retention == Retention::Versions;
        let needs_old = is_kept || matches!(mutation, Mutation::Expire { .. });
        let old = if needs_old { view.current(key)? } else { None };
        let deleted = old.as_ref().and_then(|old| view.deleted(key, &old.header));
        if let Some(old) = old.as_ref().filter(|_| is_kept) {
            batch.supersede(key, old, deleted, commit, view)?;
        }
        let row_key = layout::current(key);
        match *mutation {
            Mutation::Put { value, expire_at, .. } => batch.put(row_key, Header::value(commit, expire_at), value),
            Mutation::Delete { .. } => batch.put(row_key, Header::tombstone(commit), &[]),
            Mutation::Expire { expire_at, .. } => {
                let live = old.as_ref().filter(|_| deleted.is_none());
                let value = to_expire(key, live, commit)?.value(&[&row_key], view)?;
                batch.put(row_key, Header::value(commit, expire_at), &value)
            }
        }
    }

    fn check_conflicts(&self, view: &View<'_>, transaction: &Transaction<'_>) -> Result<()> {
        let Some(start) = transaction.start else { return Ok(()) };
        self.check_readable(start)?;
        if Timestamp(self.last_commit.load(Ordering::Acquire)) <= start {
            return Ok(());
        }
        let writes = transaction.mutations.iter().map(|mutation| (ConflictKind::Write, mutation.key()));
        let reads = transaction.read_keys.iter().map(|&key| (ConflictKind::Read, key));
        for (kind, key) in writes.chain(reads) {
            if let Some(latest) = view.latest_commit(key)?.filter(|&latest| latest > start) {
                return Err(self.counters.refuse(kind, key, latest, start));
            }
        }
        for &span in transaction.read_spans {
            let mut newer = None;
            view.walk(span, Direction::Forward, |key, found| {
                let latest = view.deleted(key, &found.header).unwrap_or(found.header.commit);
                if latest > start {
                    newer = Some((key.to_vec(), latest));
                }
                Ok(newer.is_none())
            })?;
            if let Some((key, latest)) = newer {
                return Err(self.counters.refuse(ConflictKind::Range, &key, latest, start));
            }
        }
        Ok(())
    }

    /// Commits a prefix deletion as one row. The sweep comes later, unless too many wait for it already.
    pub(super) fn begin_prefix_delete(&self, delete: &PrefixDelete<'_>, source: Source) -> Result<Applied> {
        input::prefix_delete(delete)?;
        let index = input::log_index(source)?;
        let _writer = self.writer.lock();
        if self.check_order(delete.commit, index)? == Applied::Before {
            return Ok(Applied::Before);
        }
        while self.shared.read().deletes.len() >= MAX_PREFIX_DELETES {
            self.sweep_some(usize::MAX)?;
        }
        let pending = Pending::new(delete);
        let (rows, mut deletes) = {
            let shared = self.shared.read();
            (shared.rows.clone(), shared.deletes.to_vec())
        };
        let mut batch = Batch::new(self, &rows, persist_mode(source));
        batch.insert(layout::delete_key(delete.commit), pending.row());
        batch.insert(STATE_KEY.to_vec(), self.stamp(delete.commit, index).to_vec());
        batch.commit()?;
        deletes.push(pending);
        self.shared.write().deletes = deletes.into();
        self.publish(delete.commit, index);
        Ok(Applied::Now)
    }

    pub(super) fn store_applied_index(&self, index: u64) -> Result<()> {
        let _writer = self.writer.lock();
        if index <= self.applied_index.load(Ordering::Acquire) {
            return self.persist();
        }
        self.write_state(index)?;
        self.applied_index.store(index, Ordering::Release);
        Ok(())
    }

    /// Writes the state as it is.
    pub(super) fn rewrite_state(&self) -> Result<()> {
        let _writer = self.writer.lock();
        self.write_state(self.applied_index.load(Ordering::Acquire))
    }

    fn write_state(&self, index: u64) -> Result<()> {
        let last = Timestamp(self.last_commit.load(Ordering::Acquire));
        let rows = self.shared.read().rows.clone();
        let mut batch = Batch::new(self, &rows, PersistMode::SyncAll);
        batch.insert(STATE_KEY.to_vec(), books::state_row(last, index).to_vec());
        batch.commit()
    }
}

/// The version that a new deadline is given to; `live` is the newest one, unless a prefix deletion has deleted it.
fn to_expire<'f>(key: &[u8], live: Option<&'f Found>, commit: Timestamp) -> Result<&'f Found> {
    let found = live.filter(|found| !found.header.tombstone).ok_or_else(|| Error::NotFound { key: key.to_vec() })?;
    match found.header.expire_at {
        Some(deadline) if deadline <= commit => Err(Error::Expired { key: key.to_vec(), deadline }),
        _ => Ok(found),
    }
}
