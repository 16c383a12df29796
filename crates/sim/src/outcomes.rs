//! What must hold of exclusive transactions: the checks know all that were begun, every verdict that anybody knew, and what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causal::bind::{Bind, Safety, TxnError};
use effect::{Dot, Origin, Vector};

use crate::batch::{Kind, number};
use crate::checks::Checks;
use crate::definitions::DEFINITION;
use crate::state::State;

/// One transaction.
#[derive(Debug)]
struct Known {
    bind: Arc<Bind>,
    verdict: Option<bool>,
    told: Option<Result<(), TxnError>>,
    /// Voters whose disk was replaced since.
    lost: BTreeSet<u64>,
    /// There was a time when every node had its verdict.
    is_over: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Outcomes {
    known: BTreeMap<Dot, Known>,
}

/// Where something of a transaction is, as the disks are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Some log has the transaction.
    pub is_somewhere: bool,
    /// Every disk has its verdict.
    pub is_everywhere: bool,
    /// The verdict is on the disk of a member that stays what it is.
    pub is_kept: bool,
}

/// How many transactions ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Committed.
    pub committed: usize,
    /// Aborted.
    pub aborted: usize,
    /// Gone with the disks that had them, before anybody decided.
    pub gone: usize,
}

impl Known {
    fn can_spare(&self, node: u64, leave: &[u64], at: Whereabouts) -> bool {
        let voters = self.bind.voters();
        let is_away = |id: &u64| *id == node || leave.contains(id) || self.lost.contains(id);
        match self.is_over {
            _ if !at.is_somewhere => true,
            true => at.is_kept,
            false => voters.iter().filter(is_away).count() < voters.majority(),
        }
    }
}

impl Outcomes {
    /// How many ended how.
    pub fn counts(&self) -> Counts {
        let of = |verdict| self.known.values().filter(|known| known.verdict == verdict).count();
        Counts { committed: of(Some(true)), aborted: of(Some(false)), gone: of(None) }
    }

    fn committed(&self) -> impl Iterator<Item = &Arc<Bind>> {
        self.known.values().filter(|known| known.verdict == Some(true)).map(|known| &known.bind)
    }

    /// Whether this node may lose its disk, or leave, too: fewer than a majority of the voters of any transaction may, until all nodes have
    /// its verdict. From then on all of them may, but not so that the verdict is nowhere any more: the transaction would be gone though a client
    /// was told that it is committed, or be decided anew where an older disk has it. `leave`: those that are about to.
    pub fn can_spare(&mut self, node: u64, leave: &[u64], whereabouts: impl Fn(Dot) -> Whereabouts) -> bool {
        // All are looked at: what is over is noted.
        self.known.iter_mut().fold(true, |can, (dot, known)| {
            let at = whereabouts(*dot);
            known.is_over |= at.is_everywhere;
            can && known.can_spare(node, leave, at)
        })
    }

    /// A node's disk was replaced.
    pub fn lost(&mut self, node: u64) {
        for known in self.known.values_mut().filter(|known| known.bind.voters().contains(node)) {
            known.lost.insert(node);
        }
    }
}

impl Checks {
    /// A client has begun a transaction.
    pub fn begun(&mut self, bind: &Arc<Bind>) {
        let known = Known { bind: Arc::clone(bind), verdict: None, told: None, lost: BTreeSet::new(), is_over: false };
        self.outcomes.known.insert(bind.dot(), known);
    }

    /// Somebody knows a verdict.
    pub fn verdict(&mut self, node: u64, dot: Dot, commit: bool) {
        let Some(known) = self.outcomes.known.get_mut(&dot) else {
            return self.fail("a verdict is on what was begun", format!("node {node}: {dot:?}"));
        };
        if *known.verdict.get_or_insert(commit) != commit {
            let what = format!("node {node} knows {commit} of {:?}, others knew the opposite", known.bind);
            return self.fail("a transaction has one verdict", what);
        }
        if commit && matches!(known.told, Some(Err(TxnError::Lost | TxnError::Aborted))) {
            let what = format!("node {node}: {:?}", known.bind);
            return self.fail("what a client was told has failed never comes back", what);
        }
        if commit {
            let bind = Arc::clone(&known.bind);
            let other = self
                .outcomes
                .committed()
                .find(|other| other.competes(&bind))
                .map(|other| format!("{bind:?}\nand {other:?}"));
            if let Some(both) = other {
                self.fail("at most one of competitors is committed", format!("node {node}, as the second of {both}"));
            }
        }
    }

    /// A client was answered.
    pub fn told(&mut self, dot: Dot, answer: Result<(), TxnError>) {
        let Some(known) = self.outcomes.known.get_mut(&dot) else { return };
        // Of an unsafe one nobody knows the verdict yet; what is undone is reported.
        let is_unsafe = known.bind.safety() == Safety::Unsafe;
        let is_so = match answer {
            Ok(()) => is_unsafe || known.verdict == Some(true),
            Err(TxnError::Lost | TxnError::Aborted) => {
                known.verdict == Some(false) || (is_unsafe && known.verdict.is_none())
            }
            // It says nothing of the verdict, which others may know.
            Err(TxnError::RegionPartitioned) => true,
            Err(TxnError::TryAgain(_)) => false,
        };
        let is_first = known.told.replace(answer).is_none();
        if !is_so || !is_first {
            let what = format!("{dot:?}: {answer:?}, the verdict is {:?}, first answer: {is_first}", known.verdict);
            self.fail("what a client is told is so", what);
        }
    }

    /// What readers of a node see of transactions, against what they saw before.
    pub fn seen(&mut self, node: u64, before: &mut BTreeSet<Dot>, state: &dyn State) {
        for (dot, keys) in state.shown().iter().filter(|(dot, _)| !before.contains(dot)) {
            let Some(known) = self.outcomes.known.get(dot) else { continue };
            let written = known.bind.keys().iter().filter(|used| used.written).count();
            if *keys != written {
                let what = format!("node {node}: {dot:?} on {keys} of {written} keys");
                return self.fail("a transaction is seen whole or not at all", what);
            }
        }
        if let Some(dot) = before.iter().find(|dot| !state.shown().contains_key(dot)) {
            return self.fail("what was seen is not undone", format!("node {node}: {dot:?}"));
        }
        before.extend(state.shown().keys());
    }

    /// At the end: an unsafe transaction that a node has shown was committed, or was reported there as undone.
    pub fn previewed(&mut self, node: u64, dot: Dot, is_reported: bool) {
        let Some(known) = self.outcomes.known.get(&dot) else { return };
        // One that is gone with all disks that had it was undone by nobody.
        if known.verdict == Some(is_reported) {
            let what = format!("node {node}, reported: {is_reported}: {:?}", known.bind);
            self.fail("what is undone is reported, and nothing else", what);
        }
    }

    /// At the end: what a client was told is committed is there, and keys are what the batches make of them, in whatever order they came.
    pub fn keys_are(&mut self, node: u64, applied: &Vector, digest: &[(u8, Vec<Dot>)]) {
        // An unsafe one may be on one disk only.
        let is_excused = |bind: &Bind| bind.safety() == Safety::Unsafe && self.is_excused(bind.dot());
        let told =
            |known: &&Known| known.told == Some(Ok(())) && !applied.has(known.bind.dot()) && !is_excused(&known.bind);
        if let Some(known) = self.outcomes.known.values().find(told) {
            return self
                .fail("what a client was told is committed is there", format!("node {node} lacks {:?}", known.bind));
        }
        for (name, dots) in digest {
            let expected = self.survivors(*name, applied);
            if expected != *dots {
                let what = format!("node {node}, key {name}: {dots:?}, not {expected:?}");
                let check = match *name >= DEFINITION {
                    true => "keyspaces are what was said of them",
                    false => "a transaction comes before plain writes that it has not seen",
                };
                return self.fail(check, what);
            }
        }
    }

    fn is_written(&self, bind: &Bind, name: u8) -> bool {
        let is_committed = self.outcomes.known.get(&bind.dot()).is_some_and(|known| known.verdict == Some(true));
        is_committed && bind.keys().iter().any(|used| used.written && number(&used.key) == name)
    }

    /// The batches on a key behind which none has come, by definition and slowly.
    fn survivors(&self, name: u8, applied: &Vector) -> Vec<Dot> {
        let (mut all, mut ends) = (Vec::<(Dot, &Vector, bool)>::new(), Vec::new());
        for (entry, context) in self.batches().filter(|(entry, _)| applied.has(entry.last())) {
            match Kind::of(entry) {
                Kind::Plain(key) if key == name => all.push((entry.last(), context, true)),
                Kind::Definition(key, is_end) if DEFINITION + key == name => {
                    ends.extend(is_end.then(|| entry.last()));
                    all.push((entry.last(), context, true));
                }
                Kind::Bind(bind) if self.is_written(&bind, name) => all.push((bind.dot(), context, false)),
                _ => {}
            }
        }
        let latest: BTreeMap<Origin, u64> = all.iter().map(|(dot, ..)| (dot.origin, dot.seq)).collect();
        let comes_behind = |(a, context, is_plain): &(Dot, &Vector, bool),
                            (b, b_context, b_plain): &(Dot, &Vector, bool)| {
            context.has(*b) || (*is_plain && !b_plain && a != b && !b_context.has(*a))
        };
        // Of an origin only the last batch can have none behind it.
        let last = all.iter().filter(|(dot, ..)| latest.get(&dot.origin) == Some(&dot.seq));
        let mut left: Vec<Dot> =
            last.filter(|one| !all.iter().any(|other| comes_behind(other, one))).map(|one| one.0).collect();
        left.retain(|dot| !ends.contains(dot));
        left.sort_unstable();
        left
    }
}

#[cfg(test)]
mod tests {
    use causal::bind::{KeyUse, Voters};
    use effect::{Hlc, Stamp};

    use super::*;
    use crate::batch;

    const OPEN: Whereabouts = Whereabouts { is_somewhere: true, is_everywhere: false, is_kept: false };
    const KEPT: Whereabouts = Whereabouts { is_kept: true, ..OPEN };

    fn one_of(members: u64) -> Checks {
        let dot = Dot { origin: Origin::new(1, 1), seq: 1 };
        let keys = vec![KeyUse { key: batch::key(0), read: false, written: true }];
        let voters = Voters::new(1..=members).expect("members");
        let bind = Bind::new((dot, Stamp::new(dot, Hlc(9))), voters, &Vector::new(), keys, Safety::Safe);
        let mut checks = Checks::default();
        checks.begun(&Arc::new(bind.expect("a transaction")));
        checks
    }

    #[test]
    fn an_open_transaction_spares_no_majority_of_its_voters() {
        let mut outcomes = one_of(3).outcomes;
        assert!(outcomes.can_spare(1, &[], |_| OPEN));
        assert!(!outcomes.can_spare(1, &[2], |_| OPEN));
        outcomes.lost(1);
        assert!(!outcomes.can_spare(2, &[], |_| KEPT));
        assert!(outcomes.can_spare(2, &[], |_| Whereabouts::default()), "nobody has it any more");
    }

    #[test]
    fn one_that_is_over_spares_all_but_the_last_that_keeps_its_verdict() {
        let mut outcomes = one_of(2).outcomes;
        assert!(outcomes.can_spare(1, &[], |_| Whereabouts { is_everywhere: true, ..KEPT }));
        outcomes.lost(1);
        assert!(!outcomes.can_spare(2, &[], |_| OPEN));
        assert!(outcomes.can_spare(2, &[], |_| KEPT));
    }
}
