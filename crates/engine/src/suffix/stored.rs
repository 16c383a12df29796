//! Recent effects as bytes, for a checkpoint: as they are at its flip, whatever changes before their turn.
//!
//! ```text
//! key := db u8 ‖ key bytes ‖ effects varint ‖ state        as `effect::reduce` stores it, with what of each origin came last
//! ```
//! The flip only says that a turn begins. A checkpoint then takes some keys at a time; who changes one before it has been taken, or
//! forgets it, leaves its bytes.
//!
//! *Invariant:* while a turn goes on, every key as it was at the flip is in the table untouched since, or has been taken, or was left.

use effect::WireError;
use effect::reduce::Reduced;
use effect::wire::{Reader, put_bytes, put_varint};

use super::{Suffix, Unstable};
use crate::engine::Shared;

/// How far a checkpoint has come with a shard.
#[derive(Default)]
pub(super) struct Turn {
    /// Grows with each flip. A key has that of its last change, or in which it was taken.
    pub(super) number: u32,
    goes_on: bool,
    left: Vec<u8>,
}

impl Turn {
    /// The key is about to change, or to go.
    pub(super) fn leave(&mut self, unstable: &mut Unstable) {
        if self.goes_on && unstable.turn != self.number {
            unstable.store(&mut self.left);
        }
        unstable.turn = self.number;
    }
}

impl Suffix {
    /// A checkpoint's flip: it will take what is here.
    pub(crate) fn freeze(&mut self) {
        self.turn.number = self.turn.number.wrapping_add(1);
        self.turn.goes_on = true;
        self.turn.left = Vec::new();
    }

    /// The orders and databases of keys that are to be taken.
    pub(crate) fn frozen(&self) -> Vec<(u64, u8)> {
        let due = self.keys.iter().filter(|unstable| self.turn.goes_on && unstable.turn != self.turn.number);
        due.map(|unstable| (unstable.order, unstable.name.0)).collect()
    }

    /// Takes the keys with this order in a database that have not changed since the flip.
    pub(crate) fn take_frozen(&mut self, (order, db): (u64, u8), out: &mut Vec<u8>) {
        let number = self.turn.number;
        for unstable in self.keys.iter_hash_mut(order) {
            if (unstable.order, unstable.name.0) == (order, db) && unstable.turn != number {
                unstable.store(out);
                unstable.turn = number;
            }
        }
    }

    /// The checkpoint has come to all keys, or has failed; what was left for it.
    pub(crate) fn thaw(&mut self) -> Vec<u8> {
        self.turn.goes_on = false;
        std::mem::take(&mut self.turn.left)
    }

    /// Whether it has a key with this order in a database.
    pub(crate) fn has(&self, order: u64, db: u8) -> bool {
        self.keys.find(order, |unstable| (unstable.order, unstable.name.0) == (order, db)).is_some()
    }

    fn restore(&mut self, unstable: Box<Unstable>) {
        for dot in unstable.reach.iter() {
            self.note(dot, unstable.name.0, unstable.order);
        }
        self.put(unstable);
    }
}

impl Unstable {
    fn store(&self, out: &mut Vec<u8>) {
        out.push(self.name.0);
        put_bytes(out, &self.name.1);
        put_varint(out, u64::from(self.effects));
        self.parts.store(&self.reach, out);
    }

    fn read(from: &mut Reader<'_>, order_of: impl Fn(&[u8]) -> u64) -> Result<Self, WireError> {
        let db = from.u8()?;
        let key: Box<[u8]> = from.bytes()?.into();
        let effects = from.varint()?.min(u64::from(u32::MAX)) as u32;
        let (parts, reach) = Reduced::restore(from)?;
        Ok(Self { order: order_of(&key), name: (db, key), parts, effects, turn: 0, reach })
    }
}

/// Reads keys that a checkpoint has taken, and hands each to `visit`.
fn each(bytes: &[u8], order_of: impl Fn(&[u8]) -> u64, mut visit: impl FnMut(Box<Unstable>)) -> Result<(), WireError> {
    let mut from = Reader::new(bytes);
    while from.remaining() > 0 {
        visit(Box::new(Unstable::read(&mut from, &order_of)?));
    }
    Ok(())
}

/// Brings back keys that a checkpoint has taken.
pub(crate) fn restore(shared: &Shared, bytes: &[u8]) -> Result<(), WireError> {
    each(
        bytes,
        |key| shared.order_of(key),
        |unstable| {
            let place = shared.place_of(&unstable.name.1);
            shared.shards[usize::from(place.shard.0)].lock().suffix.restore(unstable);
        },
    )
}

/// Whether these bytes are such keys.
pub(crate) fn verify(bytes: &[u8]) -> Result<(), WireError> {
    each(bytes, |_| 0, drop)
}

/// Keys that a checkpoint has taken, each by itself. For tests.
#[cfg(test)]
pub(crate) fn split(bytes: &[u8]) -> std::collections::BTreeSet<Vec<u8>> {
    let mut keys = std::collections::BTreeSet::new();
    let visit = |unstable: Box<Unstable>| keys.extend([unstable.stored()]);
    each(bytes, |_| 0, visit).expect("a checkpoint has taken them");
    keys
}

#[cfg(test)]
impl Suffix {
    /// All keys as a checkpoint would take them.
    pub(crate) fn stored(&self) -> impl Iterator<Item = Vec<u8>> {
        self.keys.iter().map(|unstable| unstable.stored())
    }
}

#[cfg(test)]
impl Unstable {
    fn stored(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.store(&mut out);
        out
    }
}
