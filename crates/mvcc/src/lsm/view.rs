//! What a reader sees.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::{Guard, Keyspace, Readable, Slice, Snapshot};

use super::apart::{FileMap, Reference};
use super::seal::Seal;
use super::{LsmStore, Shared};
use crate::deletes::{self, Pending};
use crate::error::{Error, Result};
use crate::header::{Header, State};
use crate::layout;
use crate::limits::MAX_KEY_BYTES;
use crate::span::{Direction, Span, prefix_end};
use crate::store::{Bounds, Page, PageBuilder, Retention};
use crate::timestamp::Timestamp;
use crate::value::{Value, Version};

/// The rows and the prefix deletions under way, of one moment.
pub(super) struct View<'s> {
    store: &'s LsmStore,
    pub(super) rows: Keyspace,
    pub(super) deletes: Arc<Vec<Pending>>,
    /// The files of values that rows of this moment refer to.
    values: Arc<FileMap>,
    /// Rows as they were at one moment; without it, each look-up sees the newest.
    snapshot: Option<Snapshot>,
    /// Says that a reader is there.
    reader: Arc<()>,
}

/// A row that was read.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) header: Header,
    row: Slice,
    state: State,
    /// Where the value, sealed or not, begins in `row`.
    from: usize,
}

impl Found {
    pub(super) fn decode(row: Slice, seal: &Seal) -> Result<Self> {
        let (header, state, from) = Header::read(&row)?;
        seal.admit(&header, state)?;
        Ok(Self { header, row, state, from })
    }

    /// All bytes of the row.
    pub(super) fn row(&self) -> &Slice {
        &self.row
    }

    /// The bytes of the header.
    pub(super) fn head(&self) -> &[u8] {
        &self.row[..self.from]
    }

    /// Where the value is, if it stands apart.
    pub(super) fn reference(&self) -> Result<Option<Reference>> {
        self.state.apart.then(|| Reference::decode(&self.row[self.from..])).transpose()
    }

    /// The value, opened; the row's key may come in parts.
    pub(super) fn value(&self, row_key: &[&[u8]], view: &View<'_>) -> Result<Value> {
        self.value_from(row_key, &view.values, view.seal())
    }

    /// The same for those who have no view.
    pub(super) fn value_from(&self, row_key: &[&[u8]], values: &FileMap, seal: &Seal) -> Result<Value> {
        match self.reference()? {
            None => seal.open(row_key, self.head(), self.state, (&self.row, self.from)),
            Some(reference) => seal.open(row_key, self.head(), self.state, (&values.read(&reference)?, 0)),
        }
    }

    fn version(&self, row_key: &[&[u8]], view: &View<'_>) -> Result<Version> {
        let Header { commit, expire_at, .. } = self.header;
        Ok(Version { commit, expire_at, value: self.value(row_key, view)? })
    }
}

/// What of a key's current row counts at a timestamp.
enum Sight {
    Visible,
    Hidden,
    /// The version of that moment, if there was one, has been superseded.
    Older,
}

impl<'s> View<'s> {
    /// A view for look-ups of single keys. The deletions are those of a moment before each look-up; a sweep that ends
    /// between has turned what they hide into deleted rows.
    pub(super) fn now(store: &'s LsmStore) -> Self {
        let shared = store.shared.read();
        Self::of(store, &shared, None)
    }

    /// A view that does not change. Rows and deletions are taken under one lock, so none is swept in between.
    pub(super) fn snapshot(store: &'s LsmStore) -> Self {
        let shared = store.shared.read();
        let snapshot = Some(store.db.snapshot());
        Self::of(store, &shared, snapshot)
    }

    fn of(store: &'s LsmStore, shared: &Shared, snapshot: Option<Snapshot>) -> Self {
        let (rows, deletes, values) = (shared.rows.clone(), Arc::clone(&shared.deletes), Arc::clone(&shared.values));
        Self { store, rows, deletes, values, snapshot, reader: Arc::clone(&shared.readers) }
    }

    pub(super) fn into_parts(self) -> (Keyspace, Option<Snapshot>, Arc<FileMap>, Arc<()>) {
        (self.rows, self.snapshot, self.values, self.reader)
    }

    pub(super) fn values(&self) -> &FileMap {
        &self.values
    }

    pub(super) fn read(&self, row_key: &[u8]) -> Result<Option<Slice>> {
        let row = match &self.snapshot {
            Some(snapshot) => snapshot.get(&self.rows, row_key),
            None => self.rows.get(row_key),
        };
        row.map_err(|error| Error::tree("reading a row", error))
    }

    /// The rows from one row key up to, not including, another.
    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> fjall::Iter {
        match &self.snapshot {
            Some(snapshot) => snapshot.range(&self.rows, from..to),
            None => self.rows.range(from..to),
        }
    }

    pub(super) fn floor(&self) -> Timestamp {
        self.store.floor()
    }

    pub(super) fn seal(&self) -> &Seal {
        &self.store.seal
    }

    fn count_reads(&self, rows: usize) {
        self.store.rows_read.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Whether the owner of the store has said that the row of a version of `key` is dead.
    pub(super) fn is_dead(&self, key: &[u8], version: &Header) -> bool {
        self.store.options.dead.as_ref().is_some_and(|dead| dead.is_dead(key, version.commit))
    }

    /// The current row of `key`, unless it is garbage or dead.
    pub(super) fn current(&self, key: &[u8]) -> Result<Option<Found>> {
        self.count_reads(1);
        let found = self.read(&layout::current(key))?.map(|row| Found::decode(row, self.seal())).transpose()?;
        Ok(found.filter(|found| !found.header.is_garbage(self.store.floor()) && !self.is_dead(key, &found.header)))
    }

    /// When a prefix deletion under way has deleted the current version of `key`.
    pub(super) fn deleted(&self, key: &[u8], current: &Header) -> Option<Timestamp> {
        deletes::deleted_by(&self.deletes, key, current)
    }

    pub(super) fn get(&self, key: &[u8], at: Timestamp) -> Result<Option<Version>> {
        let found = self.current(key)?;
        let reference = found.as_ref().map(Found::reference).transpose()?.flatten();
        if self.snapshot.is_none() && reference.is_some_and(|reference| !self.values.holds(&reference)) {
            // A run has come into force since this view was taken.
            return View::snapshot(self.store).get(key, at);
        }
        let version = match found {
            Some(found) => self.visible(key, &found, at),
            None => Ok(None),
        };
        self.store.check_readable(at)?;
        version
    }

    fn sight(&self, key: &[u8], header: &Header, at: Timestamp) -> Result<Sight> {
        let is_kept = self.store.retention == Retention::Versions;
        let superseded = |watermark| Error::Compacted { at, watermark };
        match self.deleted(key, header) {
            Some(deleted) if deleted <= at => return Ok(Sight::Hidden),
            Some(deleted) if !is_kept => return Err(superseded(deleted)),
            _ => {}
        }
        match header.commit <= at {
            true if header.is_live(at) => Ok(Sight::Visible),
            true => Ok(Sight::Hidden),
            false if is_kept => Ok(Sight::Older),
            false => Err(superseded(header.commit)),
        }
    }

    fn visible(&self, key: &[u8], current: &Found, at: Timestamp) -> Result<Option<Version>> {
        match self.sight(key, &current.header, at)? {
            Sight::Visible => current.version(&[&[layout::CURRENT], key], self).map(Some),
            Sight::Hidden => Ok(None),
            Sight::Older => match self.superseded(key, at)? {
                Some((row_key, old)) if old.header.is_live(at) => old.version(&[&row_key], self).map(Some),
                _ => Ok(None),
            },
        }
    }

    /// The version of `key` that was current at `at` and has been superseded since, and its row's key.
    fn superseded(&self, key: &[u8], at: Timestamp) -> Result<Option<(Slice, Found)>> {
        self.count_reads(1);
        let from = layout::history(key, at);
        let to = prefix_end(&layout::history_of(key)).expect("it begins with a tag that is not 0xFF");
        let Some(guard) = self.range(&from, &to).next() else { return Ok(None) };
        let (row_key, found) = decode(guard, self.seal())?;
        let is_of_then = found.header.successor.is_some_and(|successor| at < successor);
        Ok((is_of_then && !self.is_dead(key, &found.header)).then_some((row_key, found)))
    }

    pub(super) fn latest_commit(&self, key: &[u8]) -> Result<Option<Timestamp>> {
        let Some(found) = self.current(key)? else { return Ok(None) };
        let latest = self.deleted(key, &found.header).unwrap_or(found.header.commit);
        Ok(Some(latest).filter(|&latest| latest == found.header.commit || latest > self.store.floor()))
    }

    pub(super) fn committed_at(&self, key: &[u8], commit: Timestamp) -> Result<bool> {
        let current = self.current(key)?;
        let deleted = current.as_ref().and_then(|found| self.deleted(key, &found.header));
        let newest = deleted.or(current.as_ref().map(|found| found.header.commit));
        let is_kept = self.store.retention == Retention::Versions;
        let floor = self.store.floor();
        let is_gone = deleted.is_some_and(|deleted| deleted <= floor);
        let is_current = current.as_ref().is_some_and(|found| found.header.commit == commit);
        if !is_gone && (newest == Some(commit) || (is_kept && is_current)) {
            return Ok(true);
        }
        if is_kept && !is_gone && self.was_superseded(key, commit)? {
            return Ok(true);
        }
        // Asked again after the rows were read: a compaction may have begun meanwhile.
        let watermark = self.store.floor();
        if commit <= watermark {
            return Err(Error::Compacted { at: commit, watermark });
        }
        match newest {
            Some(newest) if !is_kept && newest > commit => Err(Error::Compacted { at: commit, watermark: newest }),
            _ => Ok(false),
        }
    }

    /// Whether there is a superseded version of exactly this commit.
    fn was_superseded(&self, key: &[u8], commit: Timestamp) -> Result<bool> {
        self.count_reads(1);
        let found = self.read(&layout::history(key, commit))?.map(|row| Found::decode(row, self.seal())).transpose()?;
        Ok(found.is_some_and(|found| !found.header.is_garbage(self.store.floor()) && !self.is_dead(key, &found.header)))
    }

    pub(super) fn scan(&self, span: Span<'_>, at: Timestamp, direction: Direction, bounds: Bounds) -> Result<Page> {
        let mut page = PageBuilder::new(direction, bounds);
        let walked = self.walk(span, direction, |key, found| {
            let version = self.visible(key, &found, at)?;
            Ok(page.visit(key, version))
        });
        self.store.check_readable(at)?;
        walked.map(|()| page.finish())
    }

    pub(super) fn for_each<B>(
        &self,
        span: Span<'_>,
        at: Timestamp,
        mut visit: impl FnMut(&[u8], Version) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let mut flow = ControlFlow::Continue(());
        let walked = self.walk(span, Direction::Forward, |key, found| {
            if let Some(version) = self.visible(key, &found, at)? {
                flow = visit(key, version);
            }
            Ok(flow.is_continue())
        });
        self.store.check_readable(at)?;
        walked.map(|()| flow)
    }

    /// Hands the current rows of `span` that are neither garbage nor dead to `visit` until it answers false.
    pub(super) fn walk(
        &self,
        span: Span<'_>,
        direction: Direction,
        mut visit: impl FnMut(&[u8], Found) -> Result<bool>,
    ) -> Result<()> {
        if span.is_empty() {
            return Ok(());
        }
        let from = layout::tagged(layout::CURRENT, clip(span.start));
        let to = span.end.map_or(vec![layout::CURRENT + 1], |end| layout::tagged(layout::CURRENT, clip(end)));
        if from >= to {
            return Ok(());
        }
        let mut rows = self.range(&from, &to);
        let mut step = || match direction {
            Direction::Forward => rows.next(),
            Direction::Reverse => rows.next_back(),
        };
        let mut count = 0;
        while let Some(guard) = step() {
            count += 1;
            let (row_key, found) = decode(guard, self.seal())?;
            let key = &row_key[1..];
            let is_gone = found.header.is_garbage(self.store.floor())
                || self.is_dead(key, &found.header)
                || self.deleted(key, &found.header).is_some_and(|deleted| deleted <= self.store.floor());
            if !is_gone && !visit(key, found)? {
                break;
            }
        }
        self.count_reads(count);
        Ok(())
    }
}

pub(super) fn decode(guard: Guard, seal: &Seal) -> Result<(Slice, Found)> {
    let (key, row) = guard.into_inner().map_err(|error| Error::tree("reading a row", error))?;
    Ok((key, Found::decode(row, seal)?))
}

/// The part of a scan's bound that can matter: keys are not longer.
fn clip(bound: &[u8]) -> &[u8] {
    &bound[..bound.len().min(MAX_KEY_BYTES + 1)]
}
