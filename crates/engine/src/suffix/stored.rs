//! Recent effects as bytes, for a checkpoint: as they are at its flip, whatever changes before their turn.
//!
//! ```text
//! key := db u8 ‖ key bytes ‖ 0 varint ‖ origin u64 LE ‖ seq varint ‖ hlc u64 LE        of a SET, whose value is the key's
//!      | db u8 ‖ key bytes ‖ effects + 1 varint ‖ state        as `effect::reduce` stores it, with what of each origin came last
//! ```
//! The flip only says that a turn begins. A checkpoint then takes some keys at a time; who changes one before it has been taken, or
//! forgets it, leaves its bytes.
//!
//! *Invariant:* while a turn goes on, every key as it was at the flip is in the table untouched since, or has been taken, or was left.

use effect::reduce::Reduced;
use effect::wire::{Reader, put_bytes, put_varint};
use effect::{Dot, Hlc, Origin, WireError};

use super::Suffix;
use super::name::Name;
use super::unstable::{Causality, Unstable};
use crate::engine::Shared;
use crate::residency::ReadError;

/// How far a checkpoint has come with a shard.
#[derive(Default)]
pub(super) struct Turn {
    /// Grows with each flip. A key has that of its last change, or in which it was taken.
    pub(super) number: u32,
    goes_on: bool,
    left: Vec<u8>,
}

impl Turn {
    #[inline]
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// That of what is pending, which has not changed since the flip.
    pub(super) fn of_pending(&self) -> u32 {
        self.number.wrapping_sub(u32::from(self.goes_on))
    }

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
    pub(crate) fn frozen(&mut self) -> Vec<(u64, u8)> {
        self.index();
        let due = self.keys.iter().filter(|unstable| self.turn.goes_on && unstable.turn != self.turn.number);
        due.map(|unstable| (unstable.order, unstable.name.db())).collect()
    }

    /// Takes the keys with this order in a database that have not changed since the flip.
    pub(crate) fn take_frozen(&mut self, (order, db): (u64, u8), out: &mut Vec<u8>) {
        let number = self.turn.number;
        for unstable in self.keys.iter_hash_mut(order) {
            if (unstable.order, unstable.name.db()) == (order, db) && unstable.turn != number {
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
    pub(crate) fn has(&mut self, order: u64, db: u8) -> bool {
        self.index();
        self.keys.find(order, |unstable| (unstable.order, unstable.name.db()) == (order, db)).is_some()
    }

    fn restore(&mut self, unstable: Unstable) {
        for dot in unstable.reach().iter() {
            self.note(dot, unstable.name.db(), unstable.order);
        }
        self.put(unstable);
    }
}

impl Unstable {
    fn store(&self, out: &mut Vec<u8>) {
        out.push(self.name.db());
        put_bytes(out, self.name.key());
        match &self.causality {
            None => {
                put_varint(out, 0);
                out.extend_from_slice(&self.set.origin.0.to_le_bytes());
                put_varint(out, self.set.seq);
                out.extend_from_slice(&self.hlc.0.to_le_bytes());
            }
            Some(causality) => {
                put_varint(out, u64::from(causality.effects) + 1);
                causality.parts.store(&causality.reach, out);
            }
        }
    }

    fn read(from: &mut Reader<'_>, order_of: impl Fn(&[u8]) -> u64) -> Result<Self, WireError> {
        let db = from.u8()?;
        let key = from.bytes()?;
        let (order, name) = (order_of(key), Name::new(db, key));
        let (mut set, mut hlc, mut causality) = (Dot { origin: Origin(0), seq: 0 }, Hlc(0), None);
        match from.varint()?.checked_sub(1) {
            None => {
                set = Dot { origin: Origin(from.u64()?), seq: from.varint()? };
                hlc = Hlc(from.u64()?);
            }
            Some(effects) => {
                let (parts, reach) = Reduced::restore(from)?;
                let effects = effects.min(u64::from(u32::MAX)) as u32;
                causality = Some(Box::new(Causality { parts, effects, reach }));
            }
        }
        Ok(Self { order, name, set, hlc, causality, turn: 0 })
    }
}

/// Reads keys that a checkpoint has taken, and hands each to `visit`.
fn each(bytes: &[u8], order_of: impl Fn(&[u8]) -> u64, mut visit: impl FnMut(Unstable)) -> Result<(), WireError> {
    let mut from = Reader::new(bytes);
    while from.remaining() > 0 {
        visit(Unstable::read(&mut from, &order_of)?);
    }
    Ok(())
}

/// Brings back keys that a checkpoint has taken.
pub(crate) fn restore(shared: &Shared, bytes: &[u8]) -> Result<(), WireError> {
    each(
        bytes,
        |key| shared.order_of(key),
        |unstable| {
            let place = shared.place_of(unstable.name.key());
            shared.shards[usize::from(place.shard.0)].lock().suffix.restore(unstable);
        },
    )
}

/// After that: of a key whose plain value says what is recent, that is at rest, and becomes a part.
pub(crate) fn open_all(shared: &Shared) -> Result<(), ReadError> {
    for shard in &shared.shards {
        let brief: Vec<Name> = {
            let mut shard = shard.lock();
            shard.suffix.index();
            let brief = shard.suffix.keys.iter().filter(|unstable| unstable.is_brief());
            brief.map(|unstable| unstable.name.clone()).collect()
        };
        for name in brief {
            shared.fetch(name.db(), name.key())?;
            shard.lock().keep_recent(name.db(), shared.place_of(name.key()), name.key());
        }
    }
    Ok(())
}

/// Whether these bytes are such keys.
pub(crate) fn verify(bytes: &[u8]) -> Result<(), WireError> {
    each(bytes, |_| 0, drop)
}

/// Keys that a checkpoint has taken, each by itself. For tests.
#[cfg(test)]
pub(crate) fn split(bytes: &[u8]) -> std::collections::BTreeSet<Vec<u8>> {
    let mut keys = std::collections::BTreeSet::new();
    let visit = |unstable: Unstable| keys.extend([unstable.stored()]);
    each(bytes, |_| 0, visit).expect("a checkpoint has taken them");
    keys
}

#[cfg(test)]
impl Suffix {
    /// All keys as a checkpoint would take them.
    pub(crate) fn stored(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.index();
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
