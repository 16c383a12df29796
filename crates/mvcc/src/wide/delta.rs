//! Lengths that many writers change at once: each writes a change of its own, a reader adds them up, and from time to
//! time they are folded into the meta row.

use super::element::{Element, Incarnation};
use super::error::WideError;
use super::fields::Fields;

/// How many deltas a reader adds up; with more, it refuses. Writers fold long before, so that only a store whose
/// folding has stopped comes here, and then says so instead of reading ever more.
pub const DELTA_SCAN_LIMIT: usize = 1024;

/// From how many deltas on folding pays.
pub const FOLD_FROM: usize = 64;

const _: () = assert!(FOLD_FROM < DELTA_SCAN_LIMIT, "folding must come before refusal");

/// A change of a collection's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthDelta {
    /// By how many elements it grew.
    pub len: i64,
    /// For lists: by how much their head moved. `None` for all others.
    pub head: Option<i64>,
}

impl LengthDelta {
    /// The value of its row.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = self.len.to_be_bytes().to_vec();
        row.extend(self.head.iter().flat_map(|head| head.to_be_bytes()));
        row
    }

    /// What the value of a row says.
    pub fn decode(row: &[u8]) -> Result<Self, WideError> {
        let mut fields = Fields::new("a length delta", row);
        let len = fields.i64()?;
        let head = if fields.is_done() { None } else { Some(fields.i64()?) };
        fields.done()?;
        Ok(Self { len, head })
    }
}

/// The length of a collection, and where a list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// How many elements it has.
    pub len: u64,
    /// The number of a list's first item; `None` for all others.
    pub head: Option<i64>,
}

impl Length {
    fn changed(self, delta: LengthDelta) -> Result<(i128, Option<i64>), WideError> {
        let head = match (self.head, delta.head) {
            (None, None) => None,
            (Some(head), moved) => Some(head.checked_add(moved.unwrap_or(0)).ok_or(WideError::LengthRange)?),
            (None, Some(_)) => {
                return Err(WideError::Malformed {
                    what: "a length delta",
                    reason: "it moves the head of what is no list",
                });
            }
        };
        Ok((i128::from(self.len) + i128::from(delta.len), head))
    }
}

/// The length of a collection whose meta row says `base` and whose delta rows have these values. A scan that asked for
/// one row more than [`DELTA_SCAN_LIMIT`] knows whether there are too many.
pub fn length<'r>(base: Length, rows: impl IntoIterator<Item = &'r [u8]>) -> Result<Length, WideError> {
    let mut sum = LengthDelta { len: 0, head: base.head.map(|_| 0) };
    for (count, row) in rows.into_iter().enumerate() {
        if count == DELTA_SCAN_LIMIT {
            return Err(WideError::TooManyDeltas { limit: DELTA_SCAN_LIMIT });
        }
        let delta = LengthDelta::decode(row)?;
        sum.len = sum.len.checked_add(delta.len).ok_or(WideError::LengthRange)?;
        sum.head = match (sum.head, delta.head) {
            (Some(sum), Some(moved)) => Some(sum.checked_add(moved).ok_or(WideError::LengthRange)?),
            (None, Some(moved)) => Some(moved),
            (sum, None) => sum,
        };
    }
    // In between a sum may be below zero, since deltas of different writers have no order; at the end it must not.
    let (len, head) = base.changed(sum)?;
    Ok(Length { len: u64::try_from(len).map_err(|_| WideError::LengthRange)?, head })
}

/// What folding changes, in one transaction that has read these delta rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// What the meta row says from now on. It stays even when the collection is empty: a list keeps its ends, so that a
    /// concurrent push does not use a number twice.
    pub length: Length,
    /// The delta rows that it takes in.
    pub delete: Vec<Vec<u8>>,
}

/// Folds delta rows, keys and values, of one collection into its length. All of them at once or the first some: what is
/// left out stays a delta. At most [`DELTA_SCAN_LIMIT`] are taken.
pub fn fold<'r>(
    of: Incarnation,
    base: Length,
    rows: impl IntoIterator<Item = (&'r [u8], &'r [u8])>,
) -> Result<Fold, WideError> {
    let (mut delete, mut values) = (Vec::new(), Vec::new());
    for (key, value) in rows.into_iter().take(DELTA_SCAN_LIMIT) {
        match Element::parse(key, value)? {
            (found, Element::LengthDelta { .. }, _) if found == of => {}
            _ => {
                return Err(WideError::Malformed {
                    what: "a length delta",
                    reason: "it belongs to another collection",
                });
            }
        }
        delete.push(key.to_vec());
        values.push(value);
    }
    Ok(Fold { length: length(base, values)?, delete })
}
