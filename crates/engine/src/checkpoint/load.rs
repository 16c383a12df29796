//! The rows of the last checkpoint, brought into memory.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use mvcc::wide::{Incarnation, Rows as Range};
use mvcc::{Span, Timestamp, Version};

use super::books::{Books, Head};
use super::elements::Part;
use super::rows::{Large, Row, Value};
use super::store::{ROWS, Rows};
use crate::apply::fill;
use crate::engine::Shared;
use crate::error::OpenError;
use crate::limits::{LOADERS_MAX, SHARDS};
use crate::shard::{DbKey, weight};
use crate::value::wide::{Loader, RowKey};
use crate::value::{Entry, Limits};

/// Slots in all, and of one shard.
const SLOTS: usize = 1 << 14;
const SLOTS_OF_SHARD: usize = SLOTS / SHARDS;

/// What a start has found at rest.
pub(crate) struct Loaded {
    pub(crate) head: Head,
    pub(crate) keys: u64,
}

/// Loads the last checkpoint; `None` if there is none.
pub(crate) fn load(shared: &Shared) -> Result<Option<Loaded>, OpenError> {
    let path = shared.dir.join(ROWS);
    if !path.exists() {
        return Ok(None);
    }
    let refused = |source| OpenError::of_rows(&shared.dir, &path, source);
    let rows = Rows::open(&path, shared.ciphers.rows.clone()).map_err(refused)?;
    let books = Books::read(&rows).map_err(refused)?.map_err(|reason| damaged(&path, reason))?;
    let Some(books) = books else {
        // The first checkpoint did not come into force.
        shared.checkpoints.found(rows, &Books::default());
        return Ok(None);
    };
    let rows = shared.checkpoints.found(rows, &books);
    let Books { head, spaces, .. } = books;
    shared.set_physical(&head.dbs);
    shared.held.set_last_incarnation(head.incarnation);
    if let Some(spaces) = spaces {
        shared.keyspaces.restore(spaces);
    }
    let keys = load_keys(shared, &rows)?;
    Ok(Some(Loaded { head, keys }))
}

fn damaged(path: &Path, reason: String) -> OpenError {
    OpenError::Damaged { path: path.into(), reason }
}

/// Loads all keys, by several threads, each its own shards.
pub(super) fn load_keys(shared: &Shared, rows: &Arc<Rows>) -> Result<u64, OpenError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, LOADERS_MAX);
    let share = SHARDS.div_ceil(threads);
    std::thread::scope(|scope| {
        let load = |first: usize| move || load_shards(shared, rows, first, (first + share).min(SHARDS));
        let spawn = |first| scope.spawn(load(first));
        let loaders: Vec<_> = (0..SHARDS).step_by(share).map(spawn).collect();
        let mut keys = 0;
        for loader in loaders {
            keys += loader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(keys)
    })
}

/// Loads the shards from `first` up to, not including, `end`.
fn load_shards(shared: &Shared, rows: &Rows, first: usize, end: usize) -> Result<u64, OpenError> {
    let slot = |shard: usize| (shard * SLOTS_OF_SHARD) as u16;
    let range = Range::slots(effect::KeyspaceId::DEFAULT.0, slot(first), slot(end));
    let limits = shared.shards[first].lock().limits;
    let mut large: Vec<(Large, DbKey, Option<i64>)> = Vec::new();
    let mut keys = 0;
    each(rows, range.span(), |key, value| {
        let row = Row::parse(key, value)?;
        if !row.is_in_place(shared) {
            return Err("it is not where its key belongs: the identity is of another database".into());
        }
        keys += 1;
        match row.value {
            Value::Large(of) => large.push((of, (row.meta.db, row.meta.key.into()), row.deadline)),
            Value::String(bytes) => insert(shared, row.meta.db, Entry::string(row.meta.key, bytes, row.deadline)),
            Value::Small(folded) => {
                let mut entry = Entry::empty(folded.kind(), row.meta.key, row.deadline);
                fill(&mut entry, &limits, &folded);
                insert(shared, row.meta.db, entry);
            }
        }
        Ok(())
    })?;
    // In the order of their rows.
    large.sort_unstable_by_key(|(of, ..)| of.incarnation);
    for (of, (db, key), deadline) in large {
        insert(shared, db, build(rows, (&key, deadline), &of, &limits)?);
    }
    Ok(keys)
}

fn insert(shared: &Shared, db: u8, entry: Entry) {
    let place = shared.place_of(entry.key());
    shared.shards[usize::from(place.shard.0)].lock().load(db, place, entry, shared);
}

/// Makes a large value of the rows of its elements; it is wholly at rest. `key`, `deadline` and `of` are what its meta row says.
pub(crate) fn build(
    rows: &Rows,
    (key, deadline): (&[u8], Option<i64>),
    of: &Large,
    limits: &Limits,
) -> Result<Entry, OpenError> {
    let mut loader = Loader::new(of.kind, key, deadline, limits, of.len);
    each(rows, Range::all(Incarnation(of.incarnation)).span(), |row, bytes| {
        let part = Part::parse(row, bytes)?;
        // Members by score say nothing new.
        if part.kind == of.kind && matches!(part.key, RowKey::Scored { .. }) {
            return Ok(());
        }
        loader.add(&part.key, part.content).map_err(|refused| refused.to_string())
    })?;
    let entry = loader.finish(of.incarnation);
    let len = entry.as_ref().map_or(0, |entry| entry.bytes().map_or_else(|| weight(entry), <[u8]>::len));
    match entry.filter(|_| len as u64 == of.len) {
        Some(entry) => Ok(entry),
        None => {
            let Large { incarnation, len: due, .. } = of;
            let reason =
                format!("of {due} elements or bytes of a large value {len} are there: incarnation {incarnation:#x}");
            Err(damaged(&rows.path, reason))
        }
    }
}

/// Hands each row of the span to `see`; what it says of one is damage of that row.
fn each(rows: &Rows, span: Span<'_>, mut see: impl FnMut(&[u8], &[u8]) -> Result<(), String>) -> Result<(), OpenError> {
    let visit = |key: &[u8], version: Version| match see(key, &version.value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(reason) => ControlFlow::Break((key.to_vec(), reason)),
    };
    let flow = rows.store.for_each(span, Timestamp::LATEST, visit);
    match flow.map_err(|source| OpenError::Rows { path: rows.path.clone(), source })? {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break((key, reason)) => {
            Err(damaged(&rows.path, format!("the row {}: {reason}", key.escape_ascii())))
        }
    }
}
