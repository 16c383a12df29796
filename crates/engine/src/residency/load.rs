//! Keys that a command has missed are brought into memory, with no shard locked while rows are read.

use std::sync::atomic::Ordering::Relaxed;

use effect::{Deadline, Effect, Op};

use super::read::read_key;
use super::{AtRest, Name, ReadError};
use crate::engine::Shared;
use crate::limits::LOAD_TRIES;
use crate::shard::Shard;
use crate::stop::{Miss, Place, Stop};
use crate::value::{Entry, Part};

impl Shared {
    /// Brings keys into memory that a command needs.
    pub(crate) fn fetch_all<'k>(&self, mut keys: impl Iterator<Item = (u8, &'k [u8])>) -> Result<(), Stop> {
        if !self.residency.is_on() {
            return Ok(());
        }
        keys.try_for_each(|(db, key)| self.fetch(db, key)).map_err(|error| unreadable(&error))
    }

    /// Finds out for a command what is at rest.
    pub(crate) fn find_at_rest(&self, miss: &Miss, now_ms: i64, at_rest: &mut AtRest) -> Result<(), Stop> {
        if let Miss::Elements { db, key, part: Some(part) } = miss {
            let most = self.residency.bytes_for_one();
            return self.fetch_part(Name { db: *db, key }, part, most, at_rest).map_err(|error| unreadable(&error));
        }
        let Some(rows) = self.checkpoints.found_rows() else { return Ok(()) };
        at_rest.find(self, rows, miss, now_ms).map_err(|error| unreadable(&error))
    }

    /// Brings a key of a physical database into memory, if it is at rest.
    pub(crate) fn fetch(&self, db: u8, key: &[u8]) -> Result<(), ReadError> {
        self.fetch_with(db, key, &mut || {})
    }

    /// The same; `between` runs when the row was read and no shard is locked.
    pub(super) fn fetch_with(&self, db: u8, key: &[u8], between: &mut dyn FnMut()) -> Result<(), ReadError> {
        let Some(rows) = self.checkpoints.found_rows() else { return Ok(()) };
        let place = self.place_of(key);
        for _ in 0..LOAD_TRIES {
            let guard = self.shards[usize::from(place.shard.0)].lock();
            if !is_missing(&guard, db, place, key) {
                return Ok(());
            }
            let (seen, limits) = (guard.seen(), guard.limits);
            drop(guard);
            self.residency.reads.fetch_add(1, Relaxed);
            let found = read_key(rows, place, db, key, &limits, Some(&self.residency.partly));
            between();
            let mut guard = self.shards[usize::from(place.shard.0)].lock();
            if !is_missing(&guard, db, place, key) {
                return Ok(());
            }
            if guard.seen() != seen {
                continue;
            }
            guard.take_in(db, place, key, found?, self);
            return Ok(());
        }
        // Whoever needs it comes again.
        Ok(())
    }

    /// The same where the shard is locked: for a start, which nobody waits for. Whether the row was read.
    pub(crate) fn fetch_locked(&self, guard: &mut Shard, db: u8, place: Place, key: &[u8]) -> Result<bool, ReadError> {
        let Some(rows) = self.checkpoints.found_rows() else { return Ok(false) };
        let is_missing = is_missing(guard, db, place, key);
        if is_missing {
            let found = read_key(rows, place, db, key, &guard.limits, Some(&self.residency.partly))?;
            guard.take_in(db, place, key, found, self);
        }
        Ok(is_missing)
    }

    /// The same for a key with all of its elements.
    pub(crate) fn fetch_whole_locked(
        &self,
        guard: &mut Shard,
        db: u8,
        place: Place,
        key: &[u8],
    ) -> Result<(), ReadError> {
        if !self.residency.is_on() {
            return Ok(());
        }
        self.fetch_locked(guard, db, place, key)?;
        match guard.find(db, place.order, key).is_some_and(Entry::is_partly_away) {
            true => self.fetch_part_locked(guard, place, Name { db, key }, &Part::Whole),
            false => Ok(()),
        }
    }
}

impl Shared {
    /// Makes a key, whose shard is locked, ready for an effect of the log. What writes over the whole value, or takes it away,
    /// need not know it: waiting for the disk would make a start slow. Whether its row was read.
    pub(crate) fn prepare(&self, guard: &mut Shard, effect: &Effect<'_>, place: Place) -> Result<bool, ReadError> {
        let (db, key) = (effect.db, effect.key);
        if !is_missing(guard, db, place, key) {
            return self.prepare_part(guard, effect, place).map(|()| false);
        }
        match &effect.op {
            Op::Set { deadline: Deadline::Clear | Deadline::At(_), .. }
            | Op::Replace { deadline: Deadline::Clear | Deadline::At(_), .. }
            | Op::Snapshot { .. }
            | Op::Remove
                if guard.has_plain_rows(db) =>
            {
                guard.write_unseen(db, place, effect, self);
                Ok(false)
            }
            _ => {
                let was_read = self.fetch_locked(guard, db, place, key)?;
                self.prepare_part(guard, effect, place).map(|()| was_read)
            }
        }
    }

    /// The same for the elements of a large value that the effect is about.
    pub(crate) fn prepare_part(&self, guard: &mut Shard, effect: &Effect<'_>, place: Place) -> Result<(), ReadError> {
        let name = Name { db: effect.db, key: effect.key };
        let needs = |guard: &Shard| guard.find(name.db, place.order, name.key)?.needs(effect);
        // What is read is less each time, or is known to be absent.
        while let Some(part) = needs(guard) {
            self.fetch_part_locked(guard, place, name, &part)?;
        }
        Ok(())
    }
}

fn is_missing(guard: &Shard, db: u8, place: Place, key: &[u8]) -> bool {
    guard.find(db, place.order, key).is_none() && guard.may_rest(db, place.order, key)
}

impl Shard {
    fn take_in(&mut self, db: u8, place: Place, key: &[u8], found: Option<Entry>, shared: &Shared) {
        match found {
            None => self.note_vacant(db, place, key, shared),
            Some(entry) => drop(self.arrive(db, place, entry, shared)),
        }
    }

    /// Whether rows of the database here say nothing that must be known when they are written over: no deadline, which is
    /// counted, and no rows of its own, which would be left behind.
    fn has_plain_rows(&self, db: u8) -> bool {
        let cold = self.db(db).and_then(|tables| tables.cold.as_ref());
        cold.is_some_and(|cold| cold.volatile == 0 && !cold.large)
    }

    /// A key is about to be written, or removed, of which nobody has looked at the row. The effect says whether there was one.
    fn write_unseen(&mut self, db: u8, place: Place, effect: &Effect<'_>, shared: &Shared) {
        let tables = self.db_mut(db);
        if let Some(cold) = tables.cold.as_mut().filter(|_| !effect.fresh) {
            cold.left(false);
        }
        if matches!(effect.op, Op::Remove) {
            tables.changes.went_unseen(place.order, effect.key);
            tables.publish(db, place.shard, &shared.counts);
        }
    }
}

/// What a client is told.
fn unreadable(error: &ReadError) -> Stop {
    if let ReadError::TooMuch { .. } = error {
        return Stop::from(format!("OOM {error}"));
    }
    tracing::error!(%error, "what is at rest could not be read");
    Stop::from(format!("ERR what is at rest could not be read: {error}. `anabranch check` says more"))
}
