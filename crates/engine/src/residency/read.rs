//! Keys as they are at rest, read from their rows.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use mvcc::wide::{Incarnation, Rows as Range};
use mvcc::{Store, Timestamp, Version};

use super::ReadError;
use super::part::fences;
use crate::apply::fill;
use crate::checkpoint::elements::Part;
use crate::checkpoint::rows::{Large, Row, Value, meta_key};
use crate::checkpoint::store::Rows;
use crate::engine::Shared;
use crate::shard::weight;
use crate::stop::Place;
use crate::value::wide::{Content, Loader, RowKey};
use crate::value::{AtRestValue, Entry, Limits};

/// Reads one key; `None` if it has no row.
pub(crate) fn read_key(
    rows: &Rows,
    place: Place,
    db: u8,
    key: &[u8],
    limits: &Limits,
    partly: Option<&Arc<AtomicUsize>>,
) -> Result<Option<Entry>, ReadError> {
    let name = meta_key(place.shard, place.order, db, key).key().map_err(mvcc::Error::from)?;
    match rows.store.get(&name, Timestamp::LATEST)? {
        Some(Version { value, .. }) => read_row(rows, &name, &value, limits, partly).map(Some),
        None => Ok(None),
    }
}

/// Builds what a row says, with what other rows say of it: of a large value all, unless it is said among which it counts if its
/// elements stay at rest.
pub(crate) fn read_row(
    rows: &Rows,
    name: &[u8],
    row: &[u8],
    limits: &Limits,
    partly: Option<&Arc<AtomicUsize>>,
) -> Result<Entry, ReadError> {
    let damaged = |reason| ReadError::Damaged { row: name.escape_ascii().to_string(), reason };
    let row = Row::parse(name, row).map_err(damaged)?;
    let (key, deadline) = (row.meta.key, row.deadline);
    let entry = match row.value {
        Value::Large(of) => {
            if let Some(all) = partly.filter(|_| Limits::is_partly(of.len))
                && let Some(entry) = read_partly(rows, (key, deadline), &of, limits, all)?
            {
                return Ok(entry);
            }
            return read_large(rows, (key, deadline), &of, limits);
        }
        Value::String(bytes) => Entry::string(key, bytes, deadline),
        Value::Small(folded) => {
            let mut entry = Entry::empty(folded.kind(), key, deadline);
            fill(&mut entry, limits, &folded);
            entry
        }
    };
    Ok(entry)
}

/// Makes a large value whose elements are at rest only, if fences say where they are.
fn read_partly(
    rows: &Rows,
    (key, deadline): (&[u8], Option<i64>),
    of: &Large,
    limits: &Limits,
    all: &Arc<AtomicUsize>,
) -> Result<Option<Entry>, ReadError> {
    let damaged = |reason| ReadError::Damaged { row: key.escape_ascii().to_string(), reason };
    let fences = fences(rows, of)?;
    let len = usize::try_from(of.len).map_err(|_| damaged("it has more elements than memory can name".into()))?;
    let value = AtRestValue { kind: of.kind, incarnation: of.incarnation, len, fences: &fences };
    let made = Entry::away_all(key, deadline, &value, limits.seed, all).map_err(damaged)?;
    let Some(mut entry) = made else { return Ok(None) };
    Shared::read_first(rows, &mut entry)?;
    Ok(Some(entry))
}

/// Makes a large value of the rows of its elements; it is wholly at rest. `key` and `deadline` are what its meta row says.
fn read_large(
    rows: &Rows,
    (key, deadline): (&[u8], Option<i64>),
    of: &Large,
    limits: &Limits,
) -> Result<Entry, ReadError> {
    let mut loader = Loader::new(of.kind, key, deadline, limits, of.len);
    each_element(rows, of, |part| {
        // Members by score say nothing new.
        if part.kind != of.kind || !matches!(part.key, RowKey::Scored { .. }) {
            loader.add(&part.key, part.content).map_err(|refused| refused.to_string())?;
        }
        Ok(true)
    })?;
    let entry = loader.finish(of.incarnation);
    let len = entry.as_ref().map_or(0, |entry| entry.bytes().map_or_else(|| weight(entry), <[u8]>::len));
    entry.filter(|_| len as u64 == of.len).ok_or_else(|| {
        let Large { incarnation, len: due, .. } = of;
        let reason =
            format!("of {due} elements or bytes of a large value {len} are there: incarnation {incarnation:#x}");
        ReadError::Damaged { row: key.escape_ascii().to_string(), reason }
    })
}

/// Whether a large hash has a field whose time is not over.
pub(super) fn has_live_field(rows: &Rows, of: &Large, now_ms: i64) -> Result<bool, ReadError> {
    let mut lives = false;
    each_element(rows, of, |part| {
        lives |= matches!(part.content, Content::Field(_, deadline) if deadline.is_none_or(|at| at > now_ms));
        Ok(!lives)
    })?;
    Ok(lives)
}

/// Hands the elements of a large value to `see`, until it says that they are enough; or what is wrong with one.
fn each_element(
    rows: &Rows,
    of: &Large,
    mut see: impl FnMut(Part<'_>) -> Result<bool, String>,
) -> Result<(), ReadError> {
    let span = Range::all(Incarnation(of.incarnation));
    let flow = rows.store.for_each(span.span(), Timestamp::LATEST, |name, version| {
        match Part::parse(name, &version.value).and_then(&mut see) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(Ok(())),
            Err(reason) => ControlFlow::Break(Err((name.escape_ascii().to_string(), reason))),
        }
    })?;
    match flow {
        ControlFlow::Break(Err((row, reason))) => Err(ReadError::Damaged { row, reason }),
        _ => Ok(()),
    }
}
