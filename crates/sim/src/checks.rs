//! What must hold at every step, seen from outside: the checks know all that was ever written, and by whom.

use std::collections::BTreeMap;

use causal::{Cut, Entry, Epoch};
use effect::{Dot, Hlc, Origin, Vector};

use crate::batch::Kind;
use crate::disk::Disk;
use crate::outcomes::Outcomes;

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which check.
    pub check: &'static str,
    /// What was seen.
    pub what: String,
}

/// A batch as it was written.
#[derive(Debug)]
struct Written {
    entry: Entry,
    /// All that its writer had applied.
    context: Vector,
    /// A client was told.
    acknowledged: bool,
    /// Every copy of it that was fsynced was destroyed, by putting an older disk in the place of the last one.
    excused: bool,
    /// Its node was given up before anybody had got it: it is there if what was written in its stead is.
    moved: bool,
    /// What was written in its stead last.
    again: Option<(Origin, u64)>,
}

/// All that happened.
#[derive(Debug, Default)]
pub struct Checks {
    written: BTreeMap<(Origin, u64), Written>,
    epochs: BTreeMap<u64, Epoch>,
    failed: Option<Violation>,
    /// Of exclusive transactions.
    pub outcomes: Outcomes,
}

/// What the checks keep of one life of one node.
#[derive(Debug, Default)]
pub struct Seen {
    /// What it has applied, counted here.
    applied: Vector,
    /// What it calls stable.
    stable: Vector,
    cut: Option<Hlc>,
}

impl Seen {
    /// A life that begins with this.
    pub fn starting(has: &Vector) -> Self {
        Self { applied: has.clone(), stable: Vector::new(), cut: None }
    }
}

impl Checks {
    /// The first check that failed.
    pub fn failed(&self) -> Option<&Violation> {
        self.failed.as_ref()
    }

    /// Notes a failure.
    pub fn fail(&mut self, check: &'static str, what: String) {
        self.failed.get_or_insert(Violation { check, what });
    }

    /// Whether every copy of a batch that was fsynced was destroyed, or its node was given up before anybody had got it.
    pub fn is_excused(&self, dot: Dot) -> bool {
        self.written.get(&(dot.origin, dot.seq)).is_some_and(|written| written.excused || written.moved)
    }

    /// How many batches were written.
    pub fn count(&self) -> usize {
        self.written.len()
    }

    /// All batches, each with all that its writer had applied.
    pub fn batches(&self) -> impl Iterator<Item = (&Entry, &Vector)> {
        self.written.values().map(|written| (&written.entry, &written.context))
    }

    /// A node has written.
    pub fn wrote(&mut self, seen: &mut Seen, entry: &Entry, context: Vector) {
        let key = (entry.first.origin, entry.first.seq);
        if self.written.contains_key(&key) {
            self.fail("dots are used once", format!("{key:?} is used again"));
        }
        seen.applied.add(entry.last());
        self.written.insert(
            key,
            Written { entry: entry.clone(), context, acknowledged: false, excused: false, moved: false, again: None },
        );
    }

    /// A client was told that this is durable; of a transaction it is told the verdict, and not this.
    pub fn acknowledged(&mut self, entry: &Entry) {
        if let Some(written) = self.written.get_mut(&(entry.first.origin, entry.first.seq))
            && !Kind::is_exclusive(entry)
        {
            written.acknowledged = true;
        }
    }

    /// A node has applied a batch of another origin than its present one.
    pub fn applied(&mut self, node: u64, seen: &mut Seen, entry: &Entry) {
        let Dot { origin, seq } = entry.first;
        let have = seen.applied.get(origin);
        if seq <= have {
            return self.fail("no batch is applied twice", format!("node {node}: {:?}, has {have}", entry.first));
        }
        if seq != have + 1 {
            return self.fail("no gap", format!("node {node}: {:?} behind {have}", entry.first));
        }
        seen.applied.add(entry.last());
        let Some(written) = self.written.get(&(origin, seq)) else {
            return self.fail("what is applied was written", format!("node {node}: {:?}", entry.first));
        };
        let same =
            (written.entry.hlc, written.entry.count, &written.entry.bytes) == (entry.hlc, entry.count, &entry.bytes);
        let (covered, context) = (seen.applied.covers(&written.context), written.context.clone());
        if !same {
            self.fail(
                "what is applied was written",
                format!("node {node}: {:?} is not what its writer wrote", entry.first),
            );
        } else if !covered {
            self.fail("causal order", format!("node {node}: {:?} before its context {context:?}", entry.first));
        } else if seen.cut.is_some_and(|cut| entry.hlc <= cut) {
            self.fail(
                "nothing arrives below the cut",
                format!("node {node}: {:?} at {:?}, cut {:?}", entry.first, entry.hlc, seen.cut),
            );
        } else if let Some(dot) = seen.stable.iter().find(|dot| dot.origin != origin && !context.has(*dot)) {
            self.fail(
                "nothing arrives that is concurrent with what is stable",
                format!("node {node}: {:?} has not observed {dot:?}", entry.first),
            );
        }
    }

    /// A node calls more stable. `disks`: of every node of the world, and whether its promises were taken back by an older disk.
    pub fn cut(&mut self, node: u64, seen: &mut Seen, cut: &Cut, members: &Epoch, disks: &[(u64, &Disk)]) {
        let Some(hlc) = cut.hlc else { return };
        if seen.cut.is_some_and(|before| before > hlc) {
            self.fail("the cut never goes back", format!("node {node}: {cut:?}"));
        }
        for written in self.written.values().filter(|w| w.entry.last_hlc() <= hlc) {
            let dot = written.entry.last();
            if seen.stable.has(dot) {
                continue;
            }
            let lacks = |(id, disk): &&(u64, &Disk)| members.has(*id) && !disk.restored && !disk.durable.has(dot);
            let exists = || disks.iter().any(|(id, disk)| members.has(*id) && disk.has.has(dot));
            if let Some((other, _)) = disks.iter().find(lacks).filter(|_| exists()) {
                let what = format!("node {node} calls {dot:?} stable, node {other} lacks it");
                self.failed.get_or_insert(Violation { check: "stable is what all have fsynced", what });
                return;
            }
            if seen.applied.has(dot) {
                seen.stable.add(dot);
            }
        }
        if let Some(dot) = cut.vector.iter().find(|dot| !seen.stable.has(*dot)) {
            self.fail("the cut's vector is below its timestamp", format!("node {node}: {dot:?} in {cut:?}"));
        }
        seen.cut = Some(hlc);
    }

    /// An epoch was decided, as some node sees it.
    pub fn decided(&mut self, epoch: &Epoch) {
        let first = self.epochs.entry(epoch.number).or_insert_with(|| epoch.clone());
        if first != epoch {
            let what = format!("{first:?} and {epoch:?}");
            self.fail("an epoch is decided once", what);
        }
    }

    /// The disk of a node is gone: what nobody else has fsynced is excused, of those whose own disk is gone as well.
    pub fn excuse(&mut self, others: &[&Disk], losers: &[u64]) {
        for written in self.written.values_mut() {
            let dot = written.entry.last();
            let is_left = || others.iter().any(|disk| disk.durable.has(dot));
            written.excused |= losers.contains(&dot.origin.node()) && !is_left();
        }
    }

    /// These batches will be written again.
    pub fn moved(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Some(written) = self.written.get_mut(&(entry.first.origin, entry.first.seq)) {
                written.moved = true;
            }
        }
    }

    /// A batch was written in the stead of one that nobody had got, by a node that had this before.
    pub fn wrote_again(&mut self, old: &Entry, new: &Entry, before: &Vector) {
        let Some(written) = self.written.get_mut(&(old.first.origin, old.first.seq)) else { return };
        let last = written.again.replace((new.first.origin, new.first.seq));
        if last.is_some_and(|(origin, seq)| before.has(Dot { origin, seq })) {
            self.fail(
                "what nobody got is written again once",
                format!("{:?}, as {last:?} and {:?}", old.first, new.first),
            );
        }
    }

    /// Whether a node has the batch, or what was written in its stead.
    fn has(&self, written: &Written, applied: &Vector) -> bool {
        let mut last = written;
        while last.moved {
            let Some(next) = last.again.and_then(|next| self.written.get(&next)) else { return last.excused };
            last = next;
        }
        last.excused || applied.has(last.entry.last())
    }

    /// At the end: what was written in the stead of something is there once.
    fn is_double(&self, written: &Written, applied: &Vector) -> bool {
        written.moved && applied.has(written.entry.last())
    }

    /// At the end: nothing that was acknowledged is missing.
    pub fn complete(&mut self, node: u64, applied: &Vector) {
        if let Some(written) = self.written.values().find(|w| self.is_double(w, applied)) {
            let what = format!("node {node} has {:?}, which was written again", written.entry.last());
            self.fail("what nobody got is written again once", what);
        }
        let lost = |w: &&Written| w.acknowledged && !w.excused && !self.has(w, applied);
        if let Some(written) = self.written.values().find(lost) {
            let what = format!("node {node} lacks {:?}", written.entry.last());
            self.fail("nothing acknowledged is lost", what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_decisions_with_one_number_are_noticed() {
        let mut checks = Checks::default();
        checks.decided(&Epoch::new(2, [1, 2]));
        checks.decided(&Epoch::new(2, [1, 2]));
        assert_eq!(checks.failed(), None);
        checks.decided(&Epoch::new(2, [1, 3]));
        assert_eq!(checks.failed().map(|v| v.check), Some("an epoch is decided once"));
    }
}
