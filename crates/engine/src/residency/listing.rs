//! Names of keys that are at rest only, for whoever asks about many keys: they stay at rest.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use effect::Kind;
use mvcc::Timestamp;
use mvcc::wide::Rows as Range;

use super::read::{has_live_field, read_row};
use super::shard::Seen;
use super::{Name, ReadError};
use crate::checkpoint::rows::{Row, Value};
use crate::checkpoint::store::Rows;
use crate::digest::{Digest, digest_value};
use crate::engine::Shared;
use crate::limits::{CURSOR_BITS, LOAD_TRIES};
use crate::shard::{Shard, ShardId, next_due};
use crate::state::is_dead_hash;
use crate::stop::Miss;
use crate::value::Limits;

/// What has been found at rest for a command that runs again.
#[derive(Default)]
pub struct AtRest {
    pages: Vec<Page>,
    hashes: Vec<Hashes>,
    hold: Option<Hold>,
    misses: u32,
}

/// Keys that had rows in a part of one database in one shard.
pub(crate) struct Page {
    db: u8,
    shard: ShardId,
    /// The part, by ordering hashes; to the end of the shard if none ends it.
    pub(crate) from: u64,
    pub(crate) to: Option<u64>,
    seen: Seen,
    /// Those that have not expired, ascending by their ordering hashes.
    pub(crate) names: Vec<Listed>,
    values: bool,
}

/// A key that has a row.
pub(crate) struct Listed {
    pub(crate) order: u64,
    pub(crate) key: Box<[u8]>,
    pub(crate) kind: Kind,
    /// Of its value, if that was asked for.
    pub(crate) digest: Option<Digest>,
}

/// Elements of one value, between two hashes of their names, that are all in memory.
struct Hashes {
    db: u8,
    key: Box<[u8]>,
    from: u64,
    to: Option<u64>,
    seen: Seen,
}

/// Bits of the ordering hash behind those that a cursor names: rows of equal ones stand in the order of their keys.
const GROUP_SHIFT: u32 = 64 - CURSOR_BITS as u32;

impl AtRest {
    /// The page in which a place lies, if it says how the shard is now.
    pub(crate) fn page(&self, db: u8, id: ShardId, shard: &Shard, order: u64, values: bool) -> Option<&Page> {
        self.pages.iter().find(|page| {
            (page.db, page.shard) == (db, id)
                && page.from <= order
                && page.to.is_none_or(|to| order < to)
                && page.seen == shard.seen()
                && (page.values || !values)
        })
    }

    /// All elements of a value whose names have hashes from one up to, not including, another are in memory.
    pub(super) fn note_hashes(&mut self, name: Name<'_>, (from, to): (u64, Option<u64>), seen: Seen) {
        self.hashes.push(Hashes { db: name.db, key: name.key.into(), from, to, seen });
    }

    /// Up to which hash, not included, all elements of a value are in memory, from this one on; `None` as the end: to the last.
    pub(crate) fn hashes(&self, name: Name<'_>, from: u64, shard: &Shard) -> Option<Option<u64>> {
        let known = self.hashes.iter().find(|known| {
            (known.db, &known.key[..], known.from) == (name.db, name.key, from) && known.seen == shard.seen()
        });
        known.map(|known| known.to)
    }

    /// All pages of a database.
    pub(crate) fn pages(&self, db: u8) -> impl Iterator<Item = (ShardId, &Page)> {
        self.pages.iter().filter(move |page| page.db == db).map(|page| (page.shard, page))
    }

    /// The command has missed something. One that does so again and again may need more than there is room for: what it was given
    /// stays until it has run.
    pub(crate) fn count_miss(&mut self, shared: &Shared) {
        self.misses += 1;
        if self.misses > MISSES_MOST {
            self.hold(shared);
        }
    }

    /// From now on nothing is evicted as long as this lives.
    pub(crate) fn hold(&mut self, shared: &Shared) {
        self.hold.get_or_insert_with(|| shared.residency.hold());
    }

    /// Finds what a run missed.
    pub(super) fn find(&mut self, shared: &Shared, rows: &Rows, miss: &Miss, now_ms: i64) -> Result<(), ReadError> {
        match *miss {
            Miss::Names { db, shard, order, count } => {
                let ask = Ask { db, shard, count, now_ms, values: false };
                self.keep(ask.page(shared, rows, order)?);
            }
            Miss::Database { db, values } => {
                self.hold(shared);
                for shard in (0..=u8::MAX).map(ShardId) {
                    let guard = shared.shards[usize::from(shard.0)].lock();
                    let is_cold = guard.db(db).is_some_and(|tables| tables.cold.is_some());
                    let is_known = self.page(db, shard, &guard, 0, values).is_some_and(|page| page.to.is_none());
                    drop(guard);
                    if is_cold && !is_known {
                        let ask = Ask { db, shard, count: usize::MAX, now_ms, values };
                        self.keep(ask.page(shared, rows, 0)?);
                    }
                }
            }
            Miss::Key { .. } | Miss::Keys { .. } | Miss::Elements { .. } => {}
        }
        Ok(())
    }

    fn keep(&mut self, page: Page) {
        self.pages.retain(|old| (old.db, old.shard, old.from) != (page.db, page.shard, page.from));
        self.pages.push(page);
    }
}

/// Misses of one command after which nothing is evicted until it has run.
const MISSES_MOST: u32 = 3;

/// Counts one while it lives.
pub(crate) struct Hold(Arc<AtomicUsize>);

impl Hold {
    pub(super) fn new(holds: &Arc<AtomicUsize>) -> Self {
        holds.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(holds))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a page is to be made of.
#[derive(Clone, Copy)]
struct Ask {
    db: u8,
    shard: ShardId,
    /// Rows that are enough.
    count: usize,
    now_ms: i64,
    values: bool,
}

impl Ask {
    fn page(&self, shared: &Shared, rows: &Rows, from: u64) -> Result<Page, ReadError> {
        let mut tries = 0;
        loop {
            let guard = shared.shards[usize::from(self.shard.0)].lock();
            let (seen, limits) = (guard.seen(), guard.limits);
            drop(guard);
            match self.names(shared, rows, from, &limits) {
                Ok((names, to)) => {
                    let Self { db, shard, values, .. } = *self;
                    return Ok(Page { db, shard, from, to, seen, names, values });
                }
                // A value that was replaced while it was read may look damaged.
                Err(error) if tries == LOAD_TRIES => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    /// The names from a place on, and where the page ends.
    fn names(
        &self,
        shared: &Shared,
        rows: &Rows,
        from: u64,
        limits: &Limits,
    ) -> Result<(Vec<Listed>, Option<u64>), ReadError> {
        let (mut names, mut seen, mut last) = (Vec::new(), 0, None);
        for slot in from >> 58..64 {
            let hash = if slot == from >> 58 { (from >> GROUP_SHIFT) as u32 } else { 0 };
            let number = u16::from(self.shard.0) << 6 | slot as u16;
            let span = Range::database(effect::KeyspaceId::DEFAULT.0, number, self.db, hash);
            let flow = rows.store.for_each(span.span(), Timestamp::LATEST, |name, version| {
                let row = match Row::parse(name, &version.value) {
                    Ok(row) => row,
                    Err(reason) => {
                        let row = name.escape_ascii().to_string();
                        return ControlFlow::Break(Err(ReadError::Damaged { row, reason }));
                    }
                };
                let order = shared.place_of(row.meta.key).order;
                let group = order >> GROUP_SHIFT;
                // What shares the part of the hash that a cursor names is not torn.
                if seen >= self.count && last != Some(group) {
                    return ControlFlow::Break(Ok(group << GROUP_SHIFT));
                }
                (seen, last) = (seen + 1, Some(group));
                match self.listed(rows, (name, &version.value), &row, order, limits) {
                    Ok(listed) => names.extend(listed),
                    Err(error) => return ControlFlow::Break(Err(error)),
                }
                ControlFlow::Continue(())
            })?;
            match flow {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Ok(to)) => return Ok((names, Some(to))),
                ControlFlow::Break(Err(error)) => return Err(error),
            }
        }
        Ok((names, None))
    }

    /// A row's key, unless its time is over.
    fn listed(
        &self,
        rows: &Rows,
        (name, value): (&[u8], &[u8]),
        row: &Row<'_>,
        order: u64,
        limits: &Limits,
    ) -> Result<Option<Listed>, ReadError> {
        if row.deadline.is_some_and(|deadline| deadline <= self.now_ms) {
            return Ok(None);
        }
        let key = row.meta.key.into();
        // Fields may have expired, and a digest is of what has not.
        if !self.values
            && let Some(kind) = Some(row.kind()).filter(|kind| *kind != Kind::Hash)
        {
            return Ok(Some(Listed { order, key, kind, digest: None }));
        }
        if let (Value::Large(of), false) = (&row.value, self.values) {
            let lives = has_live_field(rows, of, self.now_ms)?;
            return Ok(lives.then_some(Listed { order, key, kind: Kind::Hash, digest: None }));
        }
        let entry = read_row(rows, name, value, limits, None)?;
        if next_due(&entry).is_some_and(|due| due <= self.now_ms) && is_dead_hash(&entry, self.now_ms) {
            return Ok(None);
        }
        let digest = self.values.then(|| digest_value(&entry, self.now_ms));
        Ok(Some(Listed { order, key, kind: entry.kind(), digest }))
    }
}
