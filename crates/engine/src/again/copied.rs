//! When rows that came in a copy of the state were written, at the latest: noted aside (`aside.rs`) by the first start on the copy, before a checkpoint of this node can
//! take their place. Only of keys that something waits for.
//!
//! ```text
//!   DIR/copied     a record: ( name u64 ‖ hlc u64 ) ‖ …    little-endian; a name is `stamps::name` of the key
//! ```
//! *Invariant:* of a key that something waits for, and that came in a copy, it says when the checkpoint was taken that its row came from; no write
//! of this node, and no checkpoint, changes that.

use std::collections::{HashMap, HashSet};

use effect::{Batch, Hlc};
use mvcc::{Store, Timestamp};
use wal::Position;

use super::AgainError;
use super::aside::{self, Aside};
use super::spool::UNDELIVERED;
use super::stamps::{Part, name};
use crate::checkpoint::Rows;
use crate::checkpoint::rows::meta_key;
use crate::engine::Shared;
use crate::limits::COPIED_NOTES;

/// Where it is in the data directory.
pub(super) const COPIED: &str = "copied";

const NOTE_BYTES: usize = 16;

/// Whether what is here began with a copy of somebody's rows; else the log is all there ever was. For as long as the log is held.
pub(super) fn began_with_rows(shared: &Shared) -> bool {
    shared.log.first() != Position::START
}

/// Notes it, unless that was done by a start before. For the start: nothing has been written here since.
pub(super) fn note(shared: &Shared) -> Result<(), AgainError> {
    let rows = shared.checkpoints.found_rows().filter(|_| began_with_rows(shared));
    let (Some(rows), false) = (rows, aside::is_there(&shared.dir, COPIED)) else { return Ok(()) };
    let Some(spool) = Aside::found(shared, UNDELIVERED)? else { return Ok(()) };
    let notes = Aside::begin(shared, COPIED)?;
    let (mut seen, mut payload, mut reader) = (HashSet::new(), Vec::new(), spool.reader()?);
    while let Some(record) = reader.next()? {
        for effect in Batch::decode(record.payload)?.effects() {
            let effect = effect?;
            let name = name(shared.seed, effect.db, effect.key, Part::Key);
            if !effect.op.is_of_one_key() || !seen.insert(name) {
                continue;
            }
            if let Some(written) = written(shared, rows, effect.db, effect.key)? {
                payload.extend_from_slice(&name.to_le_bytes());
                payload.extend_from_slice(&written.0.to_le_bytes());
            }
            if payload.len() >= COPIED_NOTES * NOTE_BYTES {
                notes.push(&payload)?;
                payload.clear();
            }
        }
    }
    if !payload.is_empty() {
        notes.push(&payload)?;
    }
    notes.finish(shared, COPIED)
}

fn written(shared: &Shared, rows: &Rows, db: u8, key: &[u8]) -> Result<Option<Hlc>, AgainError> {
    let place = shared.place_of(key);
    let row = meta_key(place.shard, place.order, db, key).key().map_err(mvcc::Error::from);
    let row = row.and_then(|row| rows.store.get(&row, Timestamp::LATEST));
    let row = row.map_err(|error| AgainError::Rest(error.to_string()))?;
    Ok(row.map(|version| Hlc(version.commit.0)))
}

/// What was noted, by the names of keys.
pub(super) fn load(shared: &Shared) -> Result<HashMap<u64, Hlc>, AgainError> {
    let mut all = HashMap::new();
    let Some(notes) = Aside::found(shared, COPIED)? else { return Ok(all) };
    let mut reader = notes.reader()?;
    while let Some(record) = reader.next()? {
        let (pairs, _) = record.payload.as_chunks::<8>();
        all.extend(pairs.chunks_exact(2).map(|pair| (u64::from_le_bytes(pair[0]), Hlc(u64::from_le_bytes(pair[1])))));
    }
    Ok(all)
}
