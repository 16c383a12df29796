//! Unsafe binds: which of them commit, when they are seen, and which are undone.
//!
//! A bind commits iff fork choice prefers it to every competitor that is known, whatever becomes of those, and no safe
//! competitor is committed. So the verdict is a function of the set of binds, whatever the order in which they came; and one
//! more bind can only make others lose. Nothing that a client was told has failed comes back. (The price: of three binds of
//! which the second competes with both others, the second may lose to the first and the third to the second.)
//!
//! Once a bind is stable no competitor of it can come any more: what fork choice says is its verdict then. It is logged as that of a safe
//! bind is, by its originator, or after a while by whoever still lacks it; several agree. So what is shown is a matter of each node alone, and
//! what all must agree on is a matter of effects.
//!
//! *Invariant:* a node logs no verdict against what it shows, and carries none out: it is undone, and that is reported, before.
//!
//! *Invariant:* verdicts on binds that write the same key are logged in the order in which these had observed each other.
//!
//! *Invariant:* a bind is shown once; after that it can only be undone, once, and that is reported; after a start once more, since nobody
//! knows how far the one before had come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use effect::Dot;

use crate::bind::ballot::{Ballot, NodeId};
use crate::bind::limits::HORIZON_HARD_MS;
use crate::bind::machine::{Binds, Step};
use crate::bind::message::{Output, Peers, Record, Vote};
use crate::bind::safety::Safety;
use crate::bind::table::Held;
use crate::bind::transaction::Bind;

/// How far a bind is from its end.
enum End {
    /// It is not shown as it ends.
    Unseen,
    /// The verdict on another comes before.
    Behind(Dot),
    /// What fork choice says is what it will say for ever.
    Final,
}

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

    /// A bind has failed: if it is shown, it is undone before its verdict is carried out.
    pub(crate) fn take_back(&mut self, dot: Dot, step: &mut Step) {
        if let Some(held) = self.table.get(dot).filter(|held| held.shown == Some(true)) {
            self.beat(dot, held.beaten.unwrap_or(dot), step);
        }
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

    /// Has the verdicts logged on binds that are stable, where everything that they compete with, or were made on, has come to its end.
    pub(crate) fn settle_due(&mut self, step: &mut Step) {
        while let Some(dot) = self.table.settling.overdue(step.now_ms) {
            self.table.wake(dot);
        }
        while let Some(dot) = self.table.settling.next() {
            match self.table.get(dot).map(|held| self.end_of(held)) {
                Some(End::Final) => self.ask_for_verdict(dot, step),
                Some(End::Behind(other)) => self.table.settling.wait_behind(dot, other),
                Some(End::Unseen) | None => {}
            }
        }
    }

    fn ask_for_verdict(&mut self, dot: Dot, step: &mut Step) {
        let Some(held) = self.table.get(dot) else { return };
        let vote = Vote { ballot: Ballot::ORIGINATOR, commit: held.beaten.is_none() };
        let (attempts, bind) = (held.attempts, Arc::clone(&held.bind));
        let is_due = if attempts == 0 { bind.originator() == self.node } else { held.next_ms <= step.now_ms };
        let pause_ms = self.pause_ms(bind.voters().index(self.node).unwrap_or(0), attempts);
        let Some(held) = self.table.get_mut(dot) else { return };
        if attempts == 0 || is_due {
            (held.attempts, held.next_ms) = (attempts + 1, step.now_ms + pause_ms);
        }
        let next_ms = held.next_ms;
        self.table.settling.wait_until(next_ms, dot);
        if is_due {
            self.table.settling.spend();
            step.push(Output::EmitVerdict(dot, vote));
        }
    }

    /// How far a stable unsafe bind is from its end.
    fn end_of(&self, held: &Held) -> End {
        #[cfg(test)]
        crate::bind::settling::tests::LOOKED.set(crate::bind::settling::tests::LOOKED.get() + 1);
        let bind = &held.bind;
        debug_assert!(self.is_stable(bind.dot()), "competitors may still come");
        // What was shown and is beaten is undone first, when that which has beaten it is shown.
        if held.shown != Some(held.beaten.is_none()) {
            return End::Unseen;
        }
        // An unsafe competitor that is preferred counts whatever becomes of it.
        let comes_before = |other: &Held| match bind.competes(&other.bind) {
            true => other.bind.safety() == Safety::Safe,
            false => bind.observed(other.bind.dot()),
        };
        let mut before = self.table.clashing_before(bind).filter(|other| other.verdict.is_none());
        before.find(|other| comes_before(other)).map_or(End::Final, |other| End::Behind(other.bind.dot()))
    }

    /// A verdict on an unsafe bind has come: whoever found it had all competitors, and so has this node.
    pub(crate) fn decide_unsafe(&mut self, dot: Dot, vote: Vote, step: &mut Step) {
        let Some(held) = self.table.get_mut(dot).filter(|held| held.decided.is_none()) else { return };
        held.decided = Some(vote);
        if !vote.commit {
            held.beaten.get_or_insert(dot);
        }
        debug_assert!(!vote.commit || held.beaten.is_none(), "two verdicts on {dot:?}");
        let (shown, by) = (held.shown, held.beaten);
        match (shown, by) {
            (None, _) => {
                let mut group = self.horizon.make_visible(dot);
                group.insert(dot);
                self.show_group(&group, step);
            }
            (Some(true), Some(by)) => self.beat(dot, by, step),
            _ => {}
        }
    }

    /// Takes in that a bind was shown, now or before a restart.
    pub(crate) fn shown(&mut self, dot: Dot, commit: bool) {
        if let Some(held) = self.table.get_mut(dot) {
            held.undone |= held.shown == Some(true) && !commit;
            held.shown = Some(commit);
        }
        self.table.wake(dot);
        self.table.close(dot);
        self.horizon.make_visible(dot);
    }

    /// Those that were shown as committed and have lost to what was read back after them; and those that were undone, since nobody knows
    /// whether that was reported.
    pub(crate) fn missed(&self) -> Vec<(Dot, Dot)> {
        let is_due = |held: &Held, by: &Dot| match held.shown {
            Some(true) => !self.horizon.is_invisible(*by),
            _ => held.undone,
        };
        let lost = |held: &Held| held.beaten.filter(|by| is_due(held, by)).map(|by| (held.bind.dot(), by));
        self.table.iter().filter_map(lost).collect()
    }

    /// Says again what a start has found.
    pub(crate) fn report_missed(&mut self, missed: Vec<(Dot, Dot)>, step: &mut Step) {
        for (bind, by) in missed {
            match self.table.get(bind).is_some_and(|held| held.undone) {
                true => step.push(Output::Undone { bind, by }),
                false => self.beat(bind, by, step),
            }
        }
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
