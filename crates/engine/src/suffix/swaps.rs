//! SWAPDBs that are not stable: they are carried out in the order of their stamps, whatever the order in which they come.

use effect::wire::{Reader, put_varint};
use effect::{Dot, Hlc, Origin, Stamp, Vector, WireError};

use crate::engine::Shared;
use crate::limits::DATABASES_MAX;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Swaps {
    /// Physical numbers of the logical databases before all that are recent; meaningless where none is.
    base: Vec<u8>,
    /// By stamp.
    recent: Vec<Swap>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Swap {
    stamp: Stamp,
    dot: Dot,
    dbs: (u8, u8),
}

impl Swaps {
    /// Two logical databases have just been exchanged; every shard is locked.
    pub(super) fn note(&mut self, shared: &Shared, stamp: Stamp, dot: Dot, dbs: (u8, u8)) {
        if self.recent.is_empty() {
            self.base = (0..DATABASES_MAX).map(|db| shared.physical(db as u8)).collect();
            exchange(&mut self.base, dbs);
        }
        let at = self.recent.partition_point(|swap| swap.stamp < stamp);
        self.recent.insert(at, Swap { stamp, dot, dbs });
        if at + 1 < self.recent.len() {
            let mut numbers = self.base.clone();
            self.recent.iter().for_each(|swap| exchange(&mut numbers, swap.dbs));
            shared.set_physical(&numbers);
        }
    }

    /// Appends `count varint ‖ (origin u64 LE ‖ seq varint ‖ hlc u64 LE ‖ db u8 ‖ db u8)* ‖ 256 numbers`; without numbers if there is none.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.recent.len() as u64);
        for Swap { stamp, dot, dbs } in &self.recent {
            out.extend_from_slice(&dot.origin.0.to_le_bytes());
            put_varint(out, dot.seq);
            out.extend_from_slice(&stamp.hlc.0.to_le_bytes());
            out.extend_from_slice(&[dbs.0, dbs.1]);
        }
        if !self.recent.is_empty() {
            out.extend_from_slice(&self.base);
        }
    }

    /// Reads what [`Swaps::encode`] wrote.
    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut recent = Vec::new();
        for _ in 0..from.varint()? {
            let dot = Dot { origin: Origin(from.u64()?), seq: from.varint()? };
            let stamp = Stamp::new(dot, Hlc(from.u64()?));
            recent.push(Swap { stamp, dot, dbs: (from.u8()?, from.u8()?) });
        }
        let base = if recent.is_empty() { &[][..] } else { from.take(DATABASES_MAX)? };
        Ok(Self { base: base.to_vec(), recent })
    }

    /// Forgets those before which none can come any more.
    pub(super) fn settle(&mut self, stable: &Vector) {
        let settled = self.recent.iter().take_while(|swap| stable.has(swap.dot)).count();
        self.recent.drain(..settled).for_each(|swap| exchange(&mut self.base, swap.dbs));
    }
}

fn exchange(numbers: &mut [u8], (a, b): (u8, u8)) {
    numbers.swap(usize::from(a), usize::from(b));
}
