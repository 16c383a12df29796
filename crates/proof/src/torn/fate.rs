//! What became of everything that was pending: one crash state, chosen at random and small enough to be told.

use std::collections::{BTreeMap, BTreeSet};

use crate::rng::Rng;

use super::history::{Change, Edit, Inode};
use super::moment::{Moment, Order};

/// Sizes of what a disk writes whole.
const SECTORS: [usize; 2] = [512, 4096];

/// What became of a file's pending changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of them are there.
    Kept,
    /// None is.
    Dropped,
    /// The first so many are there whole; of the next, the sectors that `seed` says.
    Prefix { whole: usize, sector: usize, seed: u64 },
    /// Each sector is as it was at some moment since the last sync, by `seed`; `kept` of 100 are as they were last. Of the changes
    /// of size the first so many count: what lies beyond is gone, and what was not written is zeros.
    Sectors { sector: usize, seed: u64, kept: u8, sizes: usize },
}

/// A sort of crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Everything is there, as after kill -9.
    Kept,
    /// Only what was synced is there.
    Least,
    /// The last write of each file is torn.
    Cut,
    /// Sectors of all files at random.
    Torn,
    /// All bytes, but not all names.
    Names,
    /// For each file something else.
    Mixed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [Kind::Kept, Kind::Least, Kind::Cut, Kind::Torn, Kind::Names, Kind::Mixed];

    /// Its word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Kept => "kept",
            Kind::Least => "least",
            Kind::Cut => "cut",
            Kind::Torn => "torn",
            Kind::Names => "names",
            Kind::Mixed => "mixed",
        }
    }
}

/// One crash state of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The line of the trace after which nothing happened.
    pub at: usize,
    /// What sort of crash it is.
    pub kind: Kind,
    /// The pending changes of names that survive.
    pub names: BTreeSet<usize>,
    /// What became of each file that had pending changes.
    pub files: BTreeMap<Inode, Fate>,
}

impl Choice {
    /// Chooses what becomes of everything that is pending at `moment`.
    pub fn random(moment: &Moment<'_>, kind: Kind, order: Order, rng: &mut Rng) -> Choice {
        let all = || moment.names.iter().copied().collect();
        let names = match kind {
            Kind::Kept => all(),
            Kind::Least => BTreeSet::new(),
            Kind::Cut | Kind::Torn if rng.one_in(2) => all(),
            _ => some_names(moment, order, rng),
        };
        let fate = |pending: &Vec<usize>, rng: &mut Rng| match kind {
            Kind::Kept | Kind::Names => Fate::Kept,
            Kind::Least => Fate::Dropped,
            Kind::Cut => cut(pending.len(), rng),
            Kind::Torn => torn(pending.len(), rng),
            Kind::Mixed => match rng.below(4) {
                0 => Fate::Kept,
                1 => Fate::Dropped,
                2 => cut(pending.len(), rng),
                _ => torn(pending.len(), rng),
            },
        };
        let files = moment.files.iter().map(|(file, pending)| (*file, fate(pending, rng))).collect();
        Choice { at: moment.at, kind, names, files }
    }

    /// Smaller choices, in each of which one thing more is there: for finding what matters.
    pub fn simpler(&self, moment: &Moment<'_>, order: Order) -> Vec<Choice> {
        let lost: Vec<_> = self.files.iter().filter(|(_, fate)| **fate != Fate::Kept).collect();
        let mut simpler: Vec<Choice> = lost
            .iter()
            .map(|(file, _)| Choice { files: with(&self.files, **file, Fate::Kept), ..self.clone() })
            .collect();
        let whole = lost.iter().filter(|(_, fate)| !matches!(fate, Fate::Dropped));
        simpler
            .extend(whole.map(|(file, _)| Choice { files: with(&self.files, **file, Fate::Dropped), ..self.clone() }));
        let mut gone = moment.names.iter().filter(|name| !self.names.contains(name));
        let next: Vec<_> = match order {
            // Only with all names before it is it a state of an ordered journal.
            Order::Ordered => gone.next().into_iter().collect(),
            Order::Free => gone.collect(),
        };
        simpler.extend(next.into_iter().map(|name| {
            let names = self.names.iter().copied().chain([*name]).collect();
            Choice { names, ..self.clone() }
        }));
        simpler
    }
}

fn with(files: &BTreeMap<Inode, Fate>, file: Inode, fate: Fate) -> BTreeMap<Inode, Fate> {
    let mut files = files.clone();
    files.insert(file, fate);
    files
}

fn cut(pending: usize, rng: &mut Rng) -> Fate {
    // Mostly of the last few: where there are many, the first hardly matter.
    let last = pending.saturating_sub(rng.below(4) + 1);
    let whole = if rng.one_in(3) { rng.below(pending) } else { last };
    Fate::Prefix { whole, sector: *rng.pick(&SECTORS), seed: rng.bits() }
}

fn torn(pending: usize, rng: &mut Rng) -> Fate {
    let kept = *rng.pick(&[10, 50, 90, 98]);
    let sizes = if rng.one_in(2) { pending } else { rng.below(pending + 1) };
    Fate::Sectors { sector: *rng.pick(&SECTORS), seed: rng.bits(), kept, sizes }
}

/// Pending changes of names that survive: of each directory a prefix, or any.
fn some_names(moment: &Moment<'_>, order: Order, rng: &mut Rng) -> BTreeSet<usize> {
    let mut stopped: BTreeSet<Inode> = BTreeSet::new();
    let mut kept = BTreeSet::new();
    let one_in = *rng.pick(&[2, 3, 8]);
    for name in &moment.names {
        let edits: &[Edit] = match &moment.history.events[*name].change {
            Change::Names(edits) => edits,
            _ => &[],
        };
        let is_behind = order == Order::Ordered && edits.iter().any(|edit| stopped.contains(&edit.dir));
        if is_behind || rng.one_in(one_in) {
            stopped.extend(edits.iter().map(|edit| edit.dir));
        } else {
            kept.insert(*name);
        }
    }
    kept
}
