//! What a node's keys are, as far as the simulation needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causal::Entry;
use causal::bind::Bind;
use effect::{Dot, GroupKeyspaces, Hlc, Vector};

use crate::batch::{Kind, number};
use crate::definitions;
use crate::fault::Fault;

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
    /// Whether there is a plain write on a key of the transaction that is concurrent with it.
    fn conflicts(&self, bind: &Bind) -> bool;
    /// The transactions that readers see, each with how many of the keys that it writes they see it on.
    fn shown(&self) -> &BTreeMap<Dot, usize>;
    /// The keyspaces of the group.
    fn keyspaces(&self) -> &GroupKeyspaces;
    /// Transactions without a verdict.
    fn pending(&self) -> usize;
    /// Whether this is one.
    fn is_pending(&self, bind: Dot) -> bool;
}

/// Keys that hold the dots of those batches that no batch of the same key has come behind. A batch comes behind what it had observed, and a plain
/// one behind a transaction that it is concurrent with. The key of a plain batch is its first byte.
#[derive(Debug)]
pub struct Survivors {
    keys: BTreeMap<u8, Key>,
    pending: BTreeMap<Dot, (Arc<Bind>, Hlc)>,
    shown: BTreeMap<Dot, usize>,
    keyspaces: GroupKeyspaces,
    /// Whatever comes has observed what is not above this, also on keys that are not folded for a transaction's sake.
    stable: Hlc,
    fault: Option<Fault>,
}

#[derive(Debug, Default)]
struct Key {
    /// Stable: whatever comes has observed it.
    base: BTreeSet<Dot>,
    suffix: BTreeMap<Dot, Written>,
}

#[derive(Debug)]
struct Written {
    hlc: Hlc,
    is_plain: bool,
}

impl Survivors {
    /// No keys; one that does this wrong.
    pub fn new(fault: Option<Fault>) -> Self {
        let (keys, pending, shown) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { keys, pending, shown, keyspaces: GroupKeyspaces::default(), stable: Hlc(0), fault }
    }

    fn write(&mut self, name: u8, entry: &Entry, context: &Vector) {
        let stable = self.stable;
        let key = self.keys.entry(name).or_default();
        key.base.clear();
        let is_seen = |dot: &Dot, w: &Written| dot.origin == entry.first.origin || w.hlc <= stable || context.has(*dot);
        key.suffix.retain(|dot, w| w.is_plain && !is_seen(dot, w));
        key.suffix.insert(entry.last(), Written { hlc: entry.last_hlc(), is_plain: true });
    }

    /// A transaction takes effect. As long as it was pending, nothing of its keys was folded: so all of their bases were observed by it.
    fn commit(&mut self, bind: &Bind, hlc: Hlc) {
        let written = bind.keys().iter().filter(|used| used.written).map(|used| number(&used.key));
        let half = if self.fault == Some(Fault::ShowsHalf) { 1 } else { usize::MAX };
        for name in written.take(half) {
            let key = self.keys.entry(name).or_default();
            key.base.clear();
            key.suffix.retain(|dot, _| !bind.observed(*dot));
            let is_behind = key.suffix.values().any(|w| w.is_plain);
            if !is_behind || self.fault == Some(Fault::CommitsOver) {
                key.suffix.insert(bind.dot(), Written { hlc, is_plain: false });
            }
            *self.shown.entry(bind.dot()).or_default() += 1;
        }
    }
}

impl State for Survivors {
    fn apply(&mut self, entry: &Entry, context: &Vector) {
        match Kind::of(entry) {
            Kind::Plain(name) => self.write(name, entry, context),
            Kind::Definition(..) => definitions::apply(&mut self.keyspaces, entry),
            Kind::Bind(bind) => drop(self.pending.insert(bind.dot(), (bind, entry.hlc))),
            Kind::Verdict(dot, vote) => {
                let Some((bind, hlc)) = self.pending.remove(&dot) else { return };
                if vote.commit {
                    self.commit(&bind, hlc);
                }
            }
        }
    }

    fn fold(&mut self, hlc: Hlc) {
        self.stable = hlc;
        let held = |name: &u8| {
            self.pending
                .values()
                .any(|(bind, _)| bind.keys().iter().any(|used| used.written && number(&used.key) == *name))
        };
        for (_, key) in self.keys.iter_mut().filter(|(name, _)| !held(name)) {
            let base = &mut key.base;
            key.suffix.retain(|dot, written| {
                let stays = written.hlc > hlc;
                if !stays {
                    base.insert(*dot);
                }
                stays
            });
        }
    }

    fn digest(&self) -> Vec<(u8, Vec<Dot>)> {
        let all = |key: &Key| key.base.iter().chain(key.suffix.keys()).copied().collect::<BTreeSet<_>>();
        let keys = self.keys.iter().map(|(name, key)| (*name, all(key).into_iter().collect()));
        keys.chain(definitions::digest(&self.keyspaces)).collect()
    }

    fn unfolded(&self) -> usize {
        self.keys.values().map(|key| key.suffix.len()).sum()
    }

    fn conflicts(&self, bind: &Bind) -> bool {
        let of = |name| self.keys.get(&name).into_iter().flat_map(|key| &key.suffix);
        let keys = bind.keys().iter().map(|used| number(&used.key));
        keys.flat_map(of).any(|(dot, written)| written.is_plain && !bind.observed(*dot))
    }

    fn shown(&self) -> &BTreeMap<Dot, usize> {
        &self.shown
    }

    fn keyspaces(&self) -> &GroupKeyspaces {
        &self.keyspaces
    }

    fn pending(&self) -> usize {
        self.pending.len()
    }

    fn is_pending(&self, bind: Dot) -> bool {
        self.pending.contains_key(&bind)
    }
}
