//! Keys as they are at rest, read from their rows.

use std::ops::ControlFlow;

use mvcc::wide::{Incarnation, Rows as Range};
use mvcc::{Store, Timestamp, Version};

use super::ReadError;
use crate::apply::fill;
use crate::checkpoint::rows::{Piece, Row, Value, meta_key};
use crate::checkpoint::store::Rows;
use crate::stop::Place;
use crate::value::{Entry, Limits};

/// A key that was read.
pub(crate) struct Found {
    pub(crate) entry: Entry,
    /// The rows of its own that the value had, if by the limits of today it has none: it is due to be one row.
    pub(crate) too_small_for: Option<u64>,
}

/// Reads one key; `None` if it has no row.
pub(crate) fn read_key(
    rows: &Rows,
    place: Place,
    db: u8,
    key: &[u8],
    limits: &Limits,
) -> Result<Option<Found>, ReadError> {
    let name = meta_key(place.shard, place.order, db, key).key().map_err(mvcc::Error::from)?;
    match rows.store.get(&name, Timestamp::LATEST)? {
        Some(Version { value, .. }) => read_row(rows, &name, &value, limits).map(Some),
        None => Ok(None),
    }
}

/// Builds what a row says, with what other rows say of it.
pub(crate) fn read_row(rows: &Rows, name: &[u8], row: &[u8], limits: &Limits) -> Result<Found, ReadError> {
    let damaged = |reason| ReadError::Damaged { row: name.escape_ascii().to_string(), reason };
    let row = Row::parse(name, row).map_err(damaged)?;
    let (key, deadline) = (row.meta.key, row.deadline);
    let entry = match row.value {
        Value::Pieces(incarnation) => return read_pieces(rows, key, deadline, incarnation, limits),
        Value::String(bytes) => Entry::string(key, bytes, deadline),
        Value::Small(folded) => {
            let mut entry = Entry::empty(folded.kind(), key, deadline);
            fill(&mut entry, limits, &folded);
            entry
        }
    };
    Ok(Found { entry, too_small_for: None })
}

fn read_pieces(
    rows: &Rows,
    key: &[u8],
    deadline: Option<i64>,
    incarnation: u64,
    limits: &Limits,
) -> Result<Found, ReadError> {
    let (mut value, mut due) = (None, 0);
    let flow =
        rows.store.for_each(Range::all(Incarnation(incarnation)).span(), Timestamp::LATEST, |name, version| {
            let take = |value: &mut Option<Entry>, due: &mut u32| {
                let piece = Piece::parse(name, &version.value)?;
                let entry = value.get_or_insert_with(|| Entry::empty(piece.value.kind(), key, deadline));
                if piece.number != *due || entry.kind() != piece.value.kind() {
                    return Err(format!("it is piece {} of a value of which piece {due} is due", piece.number));
                }
                *due += 1;
                fill(entry, limits, &piece.value);
                Ok(())
            };
            match take(&mut value, &mut due) {
                Ok(()) => ControlFlow::Continue(()),
                Err(reason) => ControlFlow::Break((name.escape_ascii().to_string(), reason)),
            }
        })?;
    if let ControlFlow::Break((row, reason)) = flow {
        return Err(ReadError::Damaged { row, reason });
    }
    let Some(mut entry) = value else {
        return Err(ReadError::Damaged { row: key.escape_ascii().to_string(), reason: "its value has no rows".into() });
    };
    entry.set_incarnation(incarnation);
    let too_small_for = (entry.incarnation() != incarnation).then_some(incarnation);
    Ok(Found { entry, too_small_for })
}
