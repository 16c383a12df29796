//! Elements of large values that a command has missed are brought into memory, with no shard locked while rows are read.

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::Ordering::Relaxed;

use mvcc::wide::{Element, Incarnation, Kind as RowKind, Rows as Range, Score};
use mvcc::{Span, Store, Timestamp, Version};

use super::{AtRest, ReadError};
use crate::checkpoint::elements::{Part as ElementRow, place_of};
use crate::checkpoint::rows::Large;
use crate::checkpoint::store::Rows;
use crate::engine::Shared;
use crate::limits::{LOAD_TRIES, PART_ELEMENTS};
use crate::shard::Shard;
use crate::stop::Place;
use crate::value::wide::{RowKey, score_of};
use crate::value::{Edge, Entry, Kind, Part, Want};

/// Rows that were read, for what was wanted.
struct Got {
    want: Want,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// The hash of the first row behind them, where they are read by hash.
    next: Option<u64>,
}

/// A key of a physical database.
#[derive(Clone, Copy)]
pub(crate) struct Name<'k> {
    pub(crate) db: u8,
    pub(crate) key: &'k [u8],
}

impl Shared {
    /// Brings a part of a value into memory, unless it takes more bytes than `most`.
    pub(crate) fn fetch_part(
        &self,
        name: Name<'_>,
        part: &Part,
        most: Option<u64>,
        at_rest: &mut AtRest,
    ) -> Result<(), ReadError> {
        self.fetch_part_with(name, part, most, at_rest, &mut || {})
    }

    /// The same; `between` runs when rows were read and no shard is locked.
    pub(super) fn fetch_part_with(
        &self,
        name: Name<'_>,
        part: &Part,
        most: Option<u64>,
        at_rest: &mut AtRest,
        between: &mut dyn FnMut(),
    ) -> Result<(), ReadError> {
        let Some(rows) = self.checkpoints.found_rows() else { return Ok(()) };
        let Name { db, key } = name;
        let place = self.place_of(key);
        let (mut tries, mut from) = (0, 0);
        while tries < LOAD_TRIES {
            let guard = self.shards[usize::from(place.shard.0)].lock();
            let Some(entry) = guard.find(db, place.order, key) else { return Ok(()) };
            let Some(of) = large(entry) else { return Ok(()) };
            let mut wants = entry.wants(part, guard.limits.seed, PART_ELEMENTS);
            if wants.is_empty() {
                return Ok(());
            }
            if let (Part::Whole, [Want::Hashes(..)]) = (part, &wants[..]) {
                wants = vec![Want::Hashes(from, PART_ELEMENTS)];
            }
            has_room_for(entry, part, most)?;
            let seen = guard.seen();
            drop(guard);
            self.residency.reads.fetch_add(1, Relaxed);
            let got = read(rows, &of, wants)?;
            between();
            let mut guard = self.shards[usize::from(place.shard.0)].lock();
            if guard.seen() != seen {
                tries += 1;
                continue;
            }
            let holds = self.residency.is_held();
            let next = got.last().and_then(|got| got.next);
            if !guard.take_part(place, name, &of, got, holds)? {
                continue;
            }
            match part {
                Part::Named(_) => return Ok(()),
                Part::Hashes { from, .. } => {
                    at_rest.note_hashes(name, (*from, next), guard.seen());
                    return Ok(());
                }
                // More of them may be needed.
                Part::Ranks(_) => {}
                Part::Whole => match (next, of.kind) {
                    (Some(next), _) => from = next,
                    // Some have left behind the cursor.
                    (None, Kind::Hash | Kind::Set) => (tries, from) = (tries + 1, 0),
                    (None, _) => {}
                },
            }
        }
        // Whoever needs it comes again.
        Ok(())
    }

    /// The same where the shard is locked: for a start, which nobody waits for.
    pub(super) fn fetch_part_locked(
        &self,
        guard: &mut Shard,
        place: Place,
        name: Name<'_>,
        part: &Part,
    ) -> Result<(), ReadError> {
        let Some(rows) = self.checkpoints.found_rows() else { return Ok(()) };
        loop {
            let Some(entry) = guard.find(name.db, place.order, name.key) else { return Ok(()) };
            let Some(of) = large(entry) else { return Ok(()) };
            let wants = entry.wants(part, guard.limits.seed, PART_ELEMENTS);
            if wants.is_empty() {
                return Ok(());
            }
            let got = read(rows, &of, wants)?;
            guard.take_part(place, name, &of, got, true)?;
            if matches!(part, Part::Named(_)) {
                return Ok(());
            }
        }
    }

    /// Reads rows without which a value that has just come would be of no use; nobody else knows it yet.
    pub(super) fn read_first(rows: &Rows, entry: &mut Entry) -> Result<(), ReadError> {
        let wants = entry.wants_first();
        if let Some(of) = large(entry).filter(|_| !wants.is_empty()) {
            let got = read(rows, &of, wants)?;
            arrive(entry, &of, got, true)?;
        }
        Ok(())
    }

    /// Reads the rows that keep elements of a value from leaving memory.
    pub(super) fn fetch_between(&self, name: Name<'_>, want: Want) -> Result<(), ReadError> {
        self.fetch_between_with(name, want, &mut || {})
    }

    /// The same; `between` runs when rows were read and no shard is locked.
    pub(super) fn fetch_between_with(
        &self,
        name: Name<'_>,
        want: Want,
        between: &mut dyn FnMut(),
    ) -> Result<(), ReadError> {
        let Some(rows) = self.checkpoints.found_rows() else { return Ok(()) };
        let place = self.place_of(name.key);
        let guard = self.shards[usize::from(place.shard.0)].lock();
        let found = guard.find(name.db, place.order, name.key).and_then(large);
        let (Some(of), seen) = (found, guard.seen()) else { return Ok(()) };
        drop(guard);
        let got = read(rows, &of, vec![want])?;
        between();
        let mut guard = self.shards[usize::from(place.shard.0)].lock();
        if guard.seen() == seen {
            guard.take_part(place, name, &of, got, false)?;
        }
        Ok(())
    }
}

/// Bytes that an element takes in memory at least.
const ELEMENT_BYTES: u64 = 48;

/// Whether there is memory for a part. A bound of memory may be smaller than one value is.
fn has_room_for(entry: &Entry, part: &Part, most: Option<u64>) -> Result<(), ReadError> {
    let elements = match part {
        Part::Whole => entry.away(),
        Part::Ranks(ranks) => ranks.len().min(entry.away()),
        Part::Named(_) | Part::Hashes { .. } => return Ok(()),
    };
    match most {
        Some(bytes) if elements as u64 * ELEMENT_BYTES > bytes => {
            let key = entry.key().escape_ascii().to_string();
            Err(ReadError::TooMuch { key, elements, bytes })
        }
        _ => Ok(()),
    }
}

/// The rows of a value of which something is away.
fn large(entry: &Entry) -> Option<Large> {
    let incarnation = entry.incarnation().filter(|_| entry.is_partly_away())?;
    Some(Large { incarnation, kind: entry.kind(), len: 0 })
}

impl Shard {
    /// Takes in what was read of a value, if it is still the same one. Whether it is.
    fn take_part(
        &mut self,
        place: Place,
        name: Name<'_>,
        of: &Large,
        got: Vec<Got>,
        holds: bool,
    ) -> Result<bool, ReadError> {
        let tables = self.dbs.get_mut(usize::from(name.db)).and_then(|tables| tables.as_deref_mut());
        let same = |entry: &Entry| entry.key() == name.key;
        let entry = tables.and_then(|tables| tables.table.find_mut(place.order, same));
        match entry.filter(|entry| entry.incarnation() == Some(of.incarnation) && entry.is_partly_away()) {
            Some(entry) => arrive(entry, of, got, holds).map(|()| true),
            None => Ok(false),
        }
    }
}

/// Adds elements that are not there and have not gone.
fn arrive(entry: &mut Entry, of: &Large, got: Vec<Got>, holds: bool) -> Result<(), ReadError> {
    for Got { want, rows, .. } in got {
        for (key, value) in &rows {
            let damaged = |reason| ReadError::Damaged { row: key.escape_ascii().to_string(), reason };
            let row = ElementRow::parse(key, value).map_err(damaged)?;
            if row.kind != of.kind {
                return Err(damaged("it belongs to a value of another type".into()));
            }
            entry.arrive(&row.key, row.content).map_err(|refused| damaged(refused.to_string()))?;
        }
        match want {
            // It may have gone, though its row has not yet.
            Want::Row(_, name) => entry.note_vacant(&name, holds),
            Want::Between(first, last) if !entry.is_filled(&first, &last) => {
                let row = entry.key().escape_ascii().to_string();
                let reason = format!("fewer elements than were counted have rows of incarnation {:#x}", of.incarnation);
                return Err(ReadError::Damaged { row, reason });
            }
            Want::Between(..) | Want::Hashes(..) => {}
        }
    }
    Ok(())
}

/// What rows of elements with names are called.
fn named(kind: Kind) -> RowKind {
    match kind {
        Kind::Hash => RowKind::HashField,
        Kind::ZSet => RowKind::ZsetMember,
        Kind::Set | Kind::String | Kind::List => RowKind::SetMember,
    }
}

/// The key of the row of an element with this name.
fn key_of(of: &Large, hash: u64, name: &[u8]) -> Result<Vec<u8>, mvcc::Error> {
    let element = match of.kind {
        Kind::Hash => Element::HashField { hash, field: name },
        Kind::ZSet => Element::ZsetMember { hash, member: name },
        Kind::Set | Kind::String | Kind::List => Element::SetMember { hash, member: name },
    };
    Ok(element.key(Incarnation(of.incarnation))?)
}

/// The key of the row at a place in the order.
fn key_at(of: &Large, edge: &Edge) -> Result<Vec<u8>, mvcc::Error> {
    let element = match edge {
        Edge::Scored(order, member) => Element::ZsetScore { score: Score::new(score_of(*order))?, member },
        Edge::Placed(pos) => Element::ListItem(place_of(pos)),
    };
    Ok(element.key(Incarnation(of.incarnation))?)
}

fn read(rows: &Rows, of: &Large, wants: Vec<Want>) -> Result<Vec<Got>, ReadError> {
    wants.into_iter().map(|want| read_one(rows, of, want)).collect()
}

fn read_one(rows: &Rows, of: &Large, want: Want) -> Result<Got, ReadError> {
    let (mut found, mut next) = (Vec::new(), None);
    match &want {
        Want::Row(hash, name) => {
            let key = key_of(of, *hash, name)?;
            if let Some(Version { value, .. }) = rows.store.get(&key, Timestamp::LATEST)? {
                found.push((key, value.to_vec()));
            }
        }
        Want::Hashes(from, count) => {
            let span =
                Range::members(Incarnation(of.incarnation), named(of.kind), Bound::Included(*from), Bound::Unbounded);
            let mut last = None;
            let flow = rows.store.for_each(span.span(), Timestamp::LATEST, |key, version| {
                let hash = match ElementRow::parse(key, &version.value).map(|row| row.key) {
                    Ok(RowKey::Hashed { hash, .. }) => hash,
                    Ok(_) => return ControlFlow::Break(Err((key.to_vec(), "it has no name".to_owned()))),
                    Err(reason) => return ControlFlow::Break(Err((key.to_vec(), reason))),
                };
                // Those of one hash are not torn apart.
                if found.len() >= *count && last != Some(hash) {
                    next = Some(hash);
                    return ControlFlow::Break(Ok(()));
                }
                last = Some(hash);
                found.push((key.to_vec(), version.value.to_vec()));
                ControlFlow::Continue(())
            })?;
            if let ControlFlow::Break(Err((row, reason))) = flow {
                return Err(ReadError::Damaged { row: row.escape_ascii().to_string(), reason });
            }
        }
        Want::Between(first, last) => {
            let (start, mut end) = (key_at(of, first)?, key_at(of, last)?);
            end.push(0);
            let flow = rows.store.for_each(Span::new(&start, &end), Timestamp::LATEST, |key, version| {
                found.push((key.to_vec(), version.value.to_vec()));
                ControlFlow::<()>::Continue(())
            })?;
            debug_assert!(flow.is_continue(), "nobody stops it");
        }
    }
    Ok(Got { want, rows: found, next })
}

/// The rows of a value's fences.
pub(super) fn fences(rows: &Rows, of: &Large) -> Result<Vec<Vec<u8>>, ReadError> {
    let kind = match of.kind {
        Kind::Hash => RowKind::HashDeadlines,
        Kind::ZSet => RowKind::ZsetFences,
        Kind::List => RowKind::ListFences,
        Kind::Set | Kind::String => return Ok(Vec::new()),
    };
    let (span, mut found, mut bad) = (Range::of_kind(Incarnation(of.incarnation), kind), Vec::new(), None);
    let _ = rows.store.for_each(span.span(), Timestamp::LATEST, |key, version| {
        match Element::parse(key, &version.value) {
            Ok((.., row)) => {
                found.push(row.to_vec());
                ControlFlow::Continue(())
            }
            Err(error) => {
                bad = Some((key.escape_ascii().to_string(), error.to_string()));
                ControlFlow::Break(())
            }
        }
    })?;
    match bad {
        Some((row, reason)) => Err(ReadError::Damaged { row, reason }),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests;
