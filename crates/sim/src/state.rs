//! What a node's keys are, as far as the simulation needs it.

use std::collections::{BTreeMap, BTreeSet};

use causal::Entry;
use effect::{Dot, Hlc, Vector};

/// The state of one node: a function of the set of batches and what each had observed, whatever their order was.
pub trait State {
    /// Applies a batch; the vector is what its writer had observed, as far as it is not stable.
    fn apply(&mut self, entry: &Entry, context: &Vector);
    /// Everything up to this timestamp is stable: its causality may be forgotten.
    fn fold(&mut self, hlc: Hlc);
    /// What is the same on two nodes if their state is.
    fn digest(&self) -> Vec<(u8, Vec<Dot>)>;
    /// How many effects have not been folded.
    fn unfolded(&self) -> usize;
}

/// Keys that hold the dots of those batches that no batch of the same key had observed. The key is the first byte of a batch.
#[derive(Debug, Default)]
pub struct Survivors {
    keys: BTreeMap<u8, Key>,
}

#[derive(Debug, Default)]
struct Key {
    /// Stable: whatever comes has observed it.
    base: BTreeSet<Dot>,
    suffix: BTreeMap<Dot, Hlc>,
}

impl State for Survivors {
    fn apply(&mut self, entry: &Entry, context: &Vector) {
        let Some(name) = entry.bytes.first() else { return };
        let key = self.keys.entry(*name).or_default();
        key.base.clear();
        key.suffix.retain(|dot, _| dot.origin != entry.first.origin && !context.has(*dot));
        key.suffix.insert(entry.last(), entry.last_hlc());
    }

    fn fold(&mut self, hlc: Hlc) {
        for key in self.keys.values_mut() {
            let base = &mut key.base;
            key.suffix.retain(|dot, written| {
                let stays = *written > hlc;
                if !stays {
                    base.insert(*dot);
                }
                stays
            });
        }
    }

    fn digest(&self) -> Vec<(u8, Vec<Dot>)> {
        let all = |key: &Key| key.base.iter().chain(key.suffix.keys()).copied().collect::<BTreeSet<_>>();
        self.keys.iter().map(|(name, key)| (*name, all(key).into_iter().collect())).collect()
    }

    fn unfolded(&self) -> usize {
        self.keys.values().map(|key| key.suffix.len()).sum()
    }
}
