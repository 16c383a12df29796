//! Bringing all keys of a shard into memory, row by row, while commands run.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use effect::Kind;
use mvcc::wide::Rows as Range;
use mvcc::{Span, Timestamp};

use super::read::{has_live_field, read_row};
use super::{ReadError, Residency};
use crate::checkpoint::rows::{Row, Value};
use crate::checkpoint::store::Rows;
use crate::engine::Shared;
use crate::limits::{FILL_BYTES, FILL_ROWS, SHARDS};
use crate::shard::ShardId;
use crate::stop::Place;
use crate::value::{Entry, Limits};

/// Slots of one shard.
const SLOTS: usize = (1 << 14) / SHARDS;

/// What is done with what rows say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// At a start that does not know how many keys there are: each is counted as it comes.
    Count,
    /// Keys that are counted come into memory.
    Arrive,
    /// Those whose time was over at this moment, unix ms, come into memory, to be reclaimed there.
    Expired(i64),
}

/// The rows of keys from which on a shard is filled, and where it ends.
struct Rest {
    from: Vec<u8>,
    end: Vec<u8>,
}

/// A row with where its key belongs.
struct Read {
    db: u8,
    place: Place,
    key: Box<[u8]>,
    found: Result<Entry, ReadError>,
}

/// Some rows, and the first behind them.
#[derive(Default)]
struct Batch {
    rows: Vec<Read>,
    next: Option<Vec<u8>>,
}

/// Looks at all rows of a shard's keys; `go_on` is asked in between, with nothing locked. Answers how many keys came, and
/// whether it has come to the end.
pub(crate) fn fill(
    shared: &Shared,
    rows: &Rows,
    shard: ShardId,
    how: Fill,
    go_on: impl FnMut() -> bool,
) -> Result<(u64, bool), ReadError> {
    fill_with(shared, rows, shard, how, go_on, &mut || {})
}

/// The same; `between` runs when rows were read and no shard is locked.
pub(super) fn fill_with(
    shared: &Shared,
    rows: &Rows,
    shard: ShardId,
    how: Fill,
    mut go_on: impl FnMut() -> bool,
    between: &mut dyn FnMut(),
) -> Result<(u64, bool), ReadError> {
    let slot = |shard: usize| (shard * SLOTS) as u16;
    let first = usize::from(shard.0);
    let Range { start, end } = Range::slots(effect::KeyspaceId::DEFAULT.0, slot(first), slot(first + 1));
    let mut rest = Rest { from: start, end };
    let evicted = shared.shards[first].lock().evicted;
    let mut keys = 0;
    loop {
        if !go_on() {
            return Ok((keys, false));
        }
        let (seen, limits) = {
            let guard = shared.shards[first].lock();
            (guard.seen(), guard.limits)
        };
        let batch = read(shared, rows, &rest, how, &limits)?;
        between();
        let mut guard = shared.shards[first].lock();
        if guard.seen() != seen {
            continue;
        }
        for Read { db, place, key, found } in batch.rows {
            let is_known = guard.find(db, place.order, &key).is_some() || !guard.may_rest(db, place.order, &key);
            match (how, found) {
                (Fill::Count, Ok(entry)) => {
                    guard.load(db, place, entry, shared);
                    keys += 1;
                }
                (Fill::Arrive | Fill::Expired(_), Ok(entry)) => {
                    keys += u64::from(guard.arrive(db, place, entry, shared));
                }
                (_, Err(error)) if !is_known || how == Fill::Count => return Err(error),
                // It has been replaced while its other rows were read.
                (_, Err(_)) => {}
            }
        }
        match batch.next {
            Some(next) => rest.from = next,
            None => {
                match how {
                    Fill::Count | Fill::Expired(_) => {}
                    Fill::Arrive => return Ok((keys, guard.complete(evicted, shard, shared))),
                }
                return Ok((keys, true));
            }
        }
    }
}

fn read(shared: &Shared, rows: &Rows, rest: &Rest, how: Fill, limits: &Limits) -> Result<Batch, ReadError> {
    let mut batch = Batch::default();
    let (mut bytes, mut looked) = (0, 0);
    let span = Span::new(&rest.from, &rest.end);
    let flow = rows.store.for_each(span, Timestamp::LATEST, |name, version| {
        if looked >= FILL_ROWS || bytes >= FILL_BYTES {
            batch.next = Some(name.to_vec());
            return ControlFlow::Break(Ok(()));
        }
        (bytes, looked) = (bytes + version.value.len(), looked + 1);
        if let Fill::Expired(now_ms) = how
            && !has_expired(rows, name, &version.value, now_ms)
        {
            return ControlFlow::Continue(());
        }
        match place(shared, name, &version.value) {
            Ok((db, place, key)) => {
                let found = read_row(rows, name, &version.value, limits, shared.residency.may_be_partly(how));
                bytes += found.as_ref().map_or(0, Entry::memory_bytes);
                batch.rows.push(Read { db, place, key, found });
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(Err(error)),
        }
    })?;
    match flow {
        ControlFlow::Break(Err(error)) => Err(error),
        _ => Ok(batch),
    }
}

impl Residency {
    /// Large values are not brought in as a whole where there may be no room for them.
    fn may_be_partly(&self, how: Fill) -> Option<&Arc<AtomicUsize>> {
        let is_whole = how == Fill::Count || self.bound.bytes().is_none();
        (!is_whole).then_some(&self.partly)
    }
}

/// Whether the time of a key is over, or of a field that makes a difference: of all that a large hash has, or of one in another.
fn has_expired(rows: &Rows, name: &[u8], value: &[u8], now_ms: i64) -> bool {
    let Ok(row) = Row::parse(name, value) else { return true };
    match &row.value {
        Value::Large(of) if of.kind == Kind::Hash && !row.may_have_expired(now_ms) => {
            // What cannot be read is told of by whoever asks for it.
            has_live_field(rows, of, now_ms).is_ok_and(|lives| !lives)
        }
        _ => row.may_have_expired(now_ms),
    }
}

/// Where the key of a row belongs.
fn place(shared: &Shared, name: &[u8], value: &[u8]) -> Result<(u8, Place, Box<[u8]>), ReadError> {
    let damaged = |reason| ReadError::Damaged { row: name.escape_ascii().to_string(), reason };
    let row = Row::parse(name, value).map_err(damaged)?;
    if !row.is_in_place(shared) {
        return Err(damaged("it is not where its key belongs: the identity is of another database".into()));
    }
    Ok((row.meta.db, shared.place_of(row.meta.key), row.meta.key.into()))
}
