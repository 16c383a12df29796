//! Unsafe binds: which of them commit, when they are seen, and which are undone.
//!
//! A bind commits iff fork choice prefers it to every competitor that is known, whatever becomes of those, and no safe
//! competitor is committed. So the verdict is a function of the set of binds, whatever the order in which they came; and one
//! more bind can only make others lose. Nothing that a client was told has failed comes back. (The price: of three binds of
//! which the second competes with both others, the second may lose to the first and the third to the second.)
//!
//! *Invariant:* a bind is shown once; after that it can only be undone, once, and that is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use effect::Dot;

use crate::bind::ballot::NodeId;
use crate::bind::limits::HORIZON_HARD_MS;
use crate::bind::machine::{Binds, Step};
use crate::bind::message::{Output, Peers, Record};
use crate::bind::safety::Safety;
use crate::bind::table::Held;
use crate::bind::transaction::Bind;

impl Binds {
    /// An unsafe bind has come: competitors lose to it or it to them, and it waits with those that are not visible yet.
    pub(crate) fn arrive_unsafe(&mut self, dot: Dot, now_ms: u64) {
        let Some(held) = self.table.get(dot).filter(|held| held.shown.is_none()) else { return };
        let bind = Arc::clone(&held.bind);
        let mut lost = Vec::new();
        for other in self.table.competitors(&bind) {
            match other.bind.safety() {
                Safety::Unsafe if bind.rank() < other.bind.rank() => lost.push((other.bind.dot(), dot)),
                Safety::Unsafe => lost.push((dot, other.bind.dot())),
                Safety::Safe if other.committed() == Some(true) => lost.push((dot, other.bind.dot())),
                Safety::Safe => {}
            }
        }
        let overlapping: Vec<Dot> = self.table.rivals(&bind).map(|rival| rival.bind.dot()).collect();
        lost.into_iter().for_each(|(loser, by)| self.mark_beaten(loser, by));
        let wait_ms = self.horizon_ms(&bind);
        self.horizon.add(dot, overlapping, now_ms, wait_ms);
    }

    /// How long a competitor of the bind may be under way: two round trips to the farthest voter that answers.
    fn horizon_ms(&self, bind: &Bind) -> u64 {
        match self.measured || bind.voters().len() == 1 {
            true => horizon_ms(self.node, bind.voters().iter(), &self.peers),
            false => HORIZON_HARD_MS,
        }
    }

    pub(crate) fn mark_beaten(&mut self, dot: Dot, by: Dot) {
        if let Some(held) = self.table.get_mut(dot).filter(|held| held.bind.safety() == Safety::Unsafe) {
            held.beaten.get_or_insert(by);
        }
    }

    /// A competitor is committed, in a safe way.
    pub(crate) fn beat(&mut self, dot: Dot, by: Dot, step: &mut Step) {
        self.mark_beaten(dot, by);
        let undone = self.undo(dot, by);
        self.show(Vec::new(), undone.into_iter().collect(), step);
    }

    /// Shows the groups whose time has come.
    pub(crate) fn show_due(&mut self, step: &mut Step) {
        for group in self.horizon.due(step.now_ms) {
            self.show_group(&group, step);
        }
    }

    pub(crate) fn show_group(&mut self, group: &BTreeSet<Dot>, step: &mut Step) {
        let mut undone = BTreeMap::new();
        let mut shown = Vec::new();
        for dot in group {
            let Some(held) = self.table.get(*dot) else { continue };
            shown.push((*dot, held.beaten.is_none()));
            let bind = Arc::clone(&held.bind);
            let losers: Vec<Dot> = self.table.rivals(&bind).map(|rival| rival.bind.dot()).collect();
            let fresh =
                losers.into_iter().filter(|loser| !group.contains(loser)).filter_map(|loser| self.undo(loser, *dot));
            undone.extend(fresh);
        }
        self.show(shown, undone, step);
    }

    /// What is undone if `dot`, which was shown as committed, has been beaten.
    fn undo(&self, dot: Dot, by: Dot) -> Option<(Dot, Dot)> {
        let held = self.table.get(dot)?;
        (held.shown == Some(true) && held.beaten.is_some()).then_some((dot, by))
    }

    /// Shows binds and undoes others, in one record.
    fn show(&mut self, shown: Vec<(Dot, bool)>, undone: BTreeMap<Dot, Dot>, step: &mut Step) {
        if shown.is_empty() && undone.is_empty() {
            return;
        }
        let flips: Vec<(Dot, bool)> = shown.iter().copied().chain(undone.keys().map(|dot| (*dot, false))).collect();
        flips.iter().for_each(|(dot, commit)| self.shown(*dot, *commit));
        step.push(Output::Persist(Record::Shown(flips)));
        for (bind, by) in undone {
            step.push(Output::Undone { bind, by });
        }
        shown.iter().for_each(|(dot, commit)| step.push(Output::Show(*dot, *commit)));
        for (dot, commit) in shown {
            let Some(held) = self.table.get_mut(dot) else { continue };
            let (bind, begun) = (Arc::clone(&held.bind), held.begun.take());
            if let Some(begun) = begun {
                self.begun -= 1;
                self.answer(&bind, &begun, commit, step);
            }
            self.leaders.verdict(&bind, commit, self.node, &self.peers, step);
        }
    }

    /// Takes in that a bind was shown, now or before a restart.
    pub(crate) fn shown(&mut self, dot: Dot, commit: bool) {
        if let Some(held) = self.table.get_mut(dot) {
            held.shown = Some(commit);
        }
        self.table.close(dot);
        self.horizon.make_visible(dot);
    }

    /// Those that were shown as committed and have lost to what was read back after them.
    pub(crate) fn missed(&self) -> Vec<(Dot, Dot)> {
        let lost = |held: &Held| {
            let by = held.beaten.filter(|by| held.shown == Some(true) && !self.horizon.is_invisible(*by));
            by.map(|by| (held.bind.dot(), by))
        };
        self.table.iter().filter_map(lost).collect()
    }
}

/// Twice the longest round trip from `node` to those of `relevant` that answer, at most [`HORIZON_HARD_MS`], which also stands for
/// one that is not known.
pub fn horizon_ms(node: NodeId, relevant: impl IntoIterator<Item = NodeId>, peers: &Peers) -> u64 {
    let others = relevant.into_iter().filter(|peer| *peer != node && peers.alive.contains(peer));
    let wait_ms =
        |peer| peers.rtt_ms(node, peer).map_or(HORIZON_HARD_MS, |ms| ms.saturating_mul(2).min(HORIZON_HARD_MS));
    others.map(wait_ms).max().unwrap_or(0)
}
