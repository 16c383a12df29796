//! Which value a ballot above 0 may propose, from what a majority of the voters has promised and reported.
//!
//! Read the argument in [`super`] first; this is its rules 1 to 5, in that order.

use std::collections::{BTreeMap, BTreeSet};

use effect::Dot;

use crate::bind::ballot::{Ballot, NodeId};
use crate::bind::message::{Report, Rival, Vote};
use crate::bind::transaction::{Bind, Rank};

/// What to propose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Commit,
    Abort,
    /// Nothing before more voters have reported.
    Wait,
}

/// All that was reported of one competitor.
#[derive(Debug)]
struct Competitor {
    rank: Rank,
    same_voters: bool,
    committed: bool,
    aborted: bool,
    /// The highest value that a voter has accepted.
    highest: Option<Vote>,
    /// How many have accepted commit at ballot 0.
    at_zero: usize,
}

impl Competitor {
    fn add(&mut self, rival: &Rival, forgot: bool) {
        self.committed |= rival.decided == Some(true);
        self.aborted |= rival.decided == Some(false);
        self.highest = self.highest.max(rival.accepted);
        self.at_zero += usize::from(!forgot && rival.accepted.is_some_and(|vote| vote.ballot == Ballot::ORIGINATOR));
    }

    fn originator(&self) -> NodeId {
        self.rank.dot().origin.node()
    }

    /// It can still commit, as far as anybody said.
    fn contends(&self) -> bool {
        !self.aborted && self.highest.is_none_or(|vote| vote.commit)
    }
}

/// What may be proposed for `bind`, from the reports of at least a majority of its voters. One that has forgotten may have done at ballot 0
/// whatever one that is silent may have.
pub(crate) fn choose(bind: &Bind, reports: &BTreeMap<NodeId, Report>) -> Choice {
    let competitors = gather(reports);
    let rivals = || competitors.values();
    if rivals().any(|rival| rival.committed) {
        return Choice::Abort;
    }
    let highest = reports.values().filter_map(|report| report.accepted).max();
    let highest_rival = rivals()
        .filter(|rival| rival.same_voters)
        .filter_map(|rival| rival.highest.filter(|vote| vote.commit && vote.ballot > Ballot::ORIGINATOR))
        .max();
    match highest {
        Some(vote) if !vote.commit => return Choice::Abort,
        _ if highest_rival > highest => return Choice::Abort,
        Some(vote) if vote.ballot > Ballot::ORIGINATOR => return Choice::Commit,
        _ => {}
    }
    let remembers = |node: &NodeId| reports.get(node).is_some_and(|report| !report.forgot);
    let at_zero = reports.values().filter(|report| !report.forgot && report.accepted.is_some()).count();
    let unreported = |node: &NodeId| bind.voters().contains(*node) && !remembers(node);
    let begun = rivals().map(Competitor::originator).filter(|node| *node != bind.originator());
    let others: BTreeSet<NodeId> = begun.filter(unreported).collect();
    let silent = bind.voters().iter().filter(unreported).count();
    let perhaps = |originator: NodeId, at_zero: usize, never: usize| {
        !remembers(&originator) && at_zero + silent - never >= bind.voters().fast()
    };
    let contending = || rivals().filter(|rival| rival.contends());
    // The originator of `bind` never accepts a competitor at ballot 0; of the competitors among themselves nothing is known.
    let never = usize::from(!remembers(&bind.originator()));
    let rival_perhaps = |rival: &Competitor| !rival.same_voters || perhaps(rival.originator(), rival.at_zero, never);
    if perhaps(bind.originator(), at_zero, others.len()) {
        let both = contending().any(|rival| rival.same_voters && rival_perhaps(rival));
        return if both { Choice::Wait } else { Choice::Commit };
    }
    let refused = reports.values().any(|report| report.plain);
    if refused || contending().any(|rival| rival_perhaps(rival) || rival.rank < bind.rank()) {
        return Choice::Abort;
    }
    Choice::Commit
}

fn gather(reports: &BTreeMap<NodeId, Report>) -> BTreeMap<Dot, Competitor> {
    let mut competitors: BTreeMap<Dot, Competitor> = BTreeMap::new();
    let rivals = reports.values().flat_map(|report| report.rivals.iter().map(|rival| (rival, report.forgot)));
    for (rival, forgot) in rivals {
        let new = || Competitor {
            rank: rival.rank,
            same_voters: rival.same_voters,
            committed: false,
            aborted: false,
            highest: None,
            at_zero: 0,
        };
        competitors.entry(rival.rank.dot()).or_insert_with(new).add(rival, forgot);
    }
    competitors
}
