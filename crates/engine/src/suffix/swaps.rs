//! SWAPDBs that are not stable: they are carried out in the order of their stamps, whatever the order in which they come.

use effect::{Dot, Stamp, Vector};

use crate::engine::Shared;
use crate::limits::DATABASES_MAX;

/// See the module.
#[derive(Default)]
pub(crate) struct Swaps {
    /// Physical numbers of the logical databases before all that are recent; meaningless where none is.
    base: Vec<u8>,
    /// By stamp.
    recent: Vec<Swap>,
}

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

    /// Forgets those before which none can come any more.
    pub(super) fn settle(&mut self, stable: &Vector) {
        let settled = self.recent.iter().take_while(|swap| stable.has(swap.dot)).count();
        self.recent.drain(..settled).for_each(|swap| exchange(&mut self.base, swap.dbs));
    }
}

fn exchange(numbers: &mut [u8], (a, b): (u8, u8)) {
    numbers.swap(usize::from(a), usize::from(b));
}
