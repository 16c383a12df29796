//! What the originator of a bind does, and whoever recovers one.
//!
//! *Invariant:* a node's own promise for a ballot is durable before it proposes at it, so it uses none twice, in no life.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use effect::Dot;

use crate::bind::ballot::{Ballot, NodeId};
use crate::bind::choice::{Choice, choose};
use crate::bind::error::TxnError;
use crate::bind::limits::MAX_DOUBLINGS;
use crate::bind::machine::{Binds, Step};
use crate::bind::message::{Message, Output, Peers, Record, Refusal, Report, Vote};
use crate::bind::table::Held;
use crate::bind::transaction::Bind;

/// What the originator knows of a bind whose client waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Begun {
    /// When the client is told that there is no majority.
    pub(crate) deadline_ms: u64,
    /// The client has its answer.
    pub(crate) answered: bool,
    /// Others that accepted at ballot 0.
    votes: BTreeSet<NodeId>,
    /// Others that did not, when they were last asked.
    refused: BTreeMap<NodeId, Refusal>,
}

/// A ballot above 0 of this node's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Recovery {
    ballot: Ballot,
    reports: BTreeMap<NodeId, Report>,
    proposed: Option<bool>,
    /// Those that remember are no majority: all voters that are left must accept.
    all: bool,
    votes: BTreeSet<NodeId>,
}

/// Where a verdict comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// This node has counted the votes.
    Found,
    /// Another node has said so.
    Message,
    /// It is in the log, as an effect.
    Effect,
}

impl Begun {
    pub(crate) fn new(deadline_ms: u64) -> Self {
        Self { deadline_ms, answered: false, votes: BTreeSet::new(), refused: BTreeMap::new() }
    }

    /// The same after a restart: its client has gone.
    pub(crate) fn in_an_earlier_life() -> Self {
        Self { answered: true, ..Self::new(0) }
    }
}

impl Binds {
    /// The first thing that is done about a bind that was begun here. The others vote when it reaches them.
    pub(crate) fn begin(&mut self, bind: &Arc<Bind>, step: &mut Step) {
        let dot = bind.dot();
        let (deadline_ms, next_ms) = (step.now_ms + self.timing.deadline_ms, step.now_ms + self.timing.resend_ms);
        let vote = Vote { ballot: Ballot::ORIGINATOR, commit: true };
        let held = self.put(bind);
        (held.begun, held.next_ms) = (Some(Begun::new(deadline_ms)), next_ms);
        self.begun += 1;
        match self.refuses_first(dot) {
            None => {
                step.push(Output::Persist(Record::Accepted(dot, vote)));
                self.accepted(dot, vote);
                self.count_first(dot, step);
            }
            // It was logged before a competitor arrived that this node has accepted meanwhile.
            Some(cause) => {
                if let Some(begun) = self.table.get_mut(dot).and_then(|held| held.begun.as_mut()) {
                    begun.refused.insert(self.node, cause);
                }
                self.recover(dot, step);
            }
        }
    }

    /// A vote at ballot 0 has come, or a refusal.
    pub(crate) fn first_answer(&mut self, from: NodeId, dot: Dot, refusal: Option<Refusal>, step: &mut Step) {
        let Some(held) = self.table.get_mut(dot).filter(|held| held.decided.is_none()) else { return };
        if !held.bind.voters().contains(from) || held.bind.originator() != self.node {
            return;
        }
        let Some(begun) = &mut held.begun else { return };
        match refusal {
            None => {
                begun.refused.remove(&from);
                begun.votes.insert(from);
            }
            Some(cause) if !begun.votes.contains(&from) => drop(begun.refused.insert(from, cause)),
            Some(_) => {}
        }
        self.count_first(dot, step);
    }

    /// Commits at ballot 0 if so many have accepted and the originator has not given that ballot up: its own vote is the last one.
    /// Gives it up if too many have refused.
    fn count_first(&mut self, dot: Dot, step: &mut Step) {
        let Some(held) = self.table.get(dot) else { return };
        let Some(begun) = &held.begun else { return };
        let vote = Vote { ballot: Ballot::ORIGINATOR, commit: true };
        let mine = self.remembers(&held.bind)
            && held.accepted == Some(vote)
            && self.table.fence(&held.bind) == Ballot::ORIGINATOR;
        let (voters, fast) = (held.bind.voters().len(), held.bind.voters().fast());
        if mine && begun.votes.len() + 1 >= fast {
            self.decide(dot, vote, Source::Found, step);
        } else if mine && voters - begun.refused.len() < fast && held.recovery.is_none() {
            self.recover(dot, step);
        }
    }

    /// It is time to do something about an undecided bind.
    pub(crate) fn press(&mut self, dot: Dot, step: &mut Step) {
        let Some(held) = self.table.get(dot) else { return };
        if !self.may_vote(&held.bind) || !self.remembers(&held.bind) {
            return self.ask_around(dot, step);
        }
        let locked = held.accepted.is_some_and(|vote| vote.ballot == Ballot::ORIGINATOR);
        let fresh = locked && held.begun.is_some() && self.table.fence(&held.bind) == Ballot::ORIGINATOR;
        let votes = held.begun.as_ref().map_or(0, |begun| begun.votes.len()) + 1;
        let refused = |node: &NodeId| held.begun.as_ref().is_some_and(|begun| begun.refused.contains_key(node));
        let answered = |node: &NodeId| held.begun.as_ref().is_some_and(|begun| begun.votes.contains(node));
        let mut silent = self.left_of(held.bind.voters());
        silent.retain(|node| *node != self.node && !answered(node));
        let is_over = silent.iter().all(refused);
        if !fresh || is_over || votes >= held.bind.voters().majority() {
            return self.recover(dot, step);
        }
        silent.into_iter().for_each(|node| step.send(node, Message::Ask { bind: dot }));
        let next_ms = step.now_ms + self.timing.resend_ms;
        if let Some(held) = self.table.get_mut(dot) {
            held.next_ms = next_ms;
        }
    }

    /// Tries to decide the bind at a ballot of this node's own.
    pub(crate) fn recover(&mut self, dot: Dot, step: &mut Step) {
        let Some(held) = self.table.get(dot).filter(|held| held.decided.is_none() && self.may_vote(&held.bind)) else {
            return;
        };
        let bind = Arc::clone(&held.bind);
        let Some(index) = bind.voters().index(self.node).filter(|_| self.remembers(&bind)) else { return };
        let pause_ms = self.pause_ms(index, held.attempts);
        let ballot = Ballot::new(self.round.max(self.table.fence(&bind).round()) + 1, index);
        if let Some(held) = self.table.get_mut(dot) {
            held.attempts += 1;
            held.next_ms = step.now_ms + pause_ms;
            held.recovery =
                Some(Recovery { ballot, reports: BTreeMap::new(), proposed: None, all: false, votes: BTreeSet::new() });
        }
        self.prepare(self.node, &bind, ballot, step);
        for node in bind.voters().iter().filter(|node| *node != self.node) {
            step.send(node, Message::Prepare { bind: Arc::clone(&bind), ballot });
        }
    }

    /// Whoever is back may have the vote that is missing: nobody waits as long as after many tries in vain.
    pub(crate) fn note_peers(&mut self, peers: Peers, step: &Step) {
        let is_back = peers.alive.iter().any(|node| !self.peers.alive.contains(node));
        (self.peers, self.measured) = (peers, true);
        let open: Vec<Dot> = self.table.open().filter(|_| is_back).map(|held| held.bind.dot()).collect();
        for dot in open {
            let Some(held) = self.table.get_mut(dot) else { continue };
            let stagger_ms = self.timing.stagger_ms * held.bind.voters().index(self.node).unwrap_or(0) as u64;
            held.attempts = 0;
            held.next_ms = held.next_ms.min(step.now_ms + stagger_ms);
        }
    }

    /// How long until a node tries again: longer each time, and for each voter another while, so that they do not keep
    /// overtaking each other.
    pub(crate) fn pause_ms(&self, index: usize, attempts: u32) -> u64 {
        (self.timing.recover_ms + self.timing.stagger_ms * index as u64) << attempts.min(MAX_DOUBLINGS)
    }

    /// A promise has come: with those of a majority a value can be chosen.
    pub(crate) fn promise_came(&mut self, from: NodeId, dot: Dot, ballot: Ballot, report: Report, step: &mut Step) {
        let Some(held) = self.table.get(dot).filter(|held| held.decided.is_none()) else { return };
        let bind = Arc::clone(&held.bind);
        let left = self.left_of(bind.voters());
        let Some(held) = self.table.get_mut(dot) else { return };
        let Some(recovery) = held.recovery.as_mut().filter(|recovery| recovery.ballot == ballot) else { return };
        if recovery.proposed.is_some() || !bind.voters().contains(from) {
            return;
        }
        recovery.reports.entry(from).or_insert(report);
        let remember = recovery.reports.values().filter(|report| !report.forgot).count();
        let all = left.contains(&self.node) && left.iter().all(|node| recovery.reports.contains_key(node));
        if remember < bind.voters().majority() && !all {
            return;
        }
        recovery.all = remember < bind.voters().majority();
        let commit = match choose(&bind, &recovery.reports) {
            Choice::Commit => true,
            Choice::Abort => false,
            // Nobody is left to ask, so a majority has forgotten.
            Choice::Wait if all => false,
            Choice::Wait => return,
        };
        recovery.proposed = Some(commit);
        let vote = Vote { ballot, commit };
        for node in bind.voters().iter().filter(|node| *node != self.node) {
            step.send(node, Message::Accept { bind: Arc::clone(&bind), vote });
        }
        self.asked_to_accept(self.node, &bind, vote, step);
    }

    /// A value was accepted at a ballot of this node's own.
    pub(crate) fn vote_came(&mut self, from: NodeId, dot: Dot, vote: Vote, step: &mut Step) {
        let Some(held) = self.table.get_mut(dot).filter(|held| held.decided.is_none()) else { return };
        let voters = held.bind.voters().clone();
        let Some(recovery) = held.recovery.as_mut().filter(|recovery| recovery.ballot == vote.ballot) else { return };
        if recovery.proposed != Some(vote.commit) || !voters.contains(from) {
            return;
        }
        recovery.votes.insert(from);
        let (votes, all) = (recovery.votes.clone(), recovery.all);
        let enough = match all {
            true => self.left_of(&voters).is_subset(&votes),
            false => votes.len() >= voters.majority(),
        };
        if enough {
            self.decide(dot, vote, Source::Found, step);
        }
    }

    /// A voter that has forgotten has accepted: that counts if all do.
    pub(crate) fn accepted_anew(&mut self, from: NodeId, dot: Dot, ballot: Ballot, step: &mut Step) {
        let recovery = self.table.get(dot).and_then(|held| held.recovery.as_ref());
        let Some(recovery) = recovery.filter(|recovery| recovery.ballot == ballot && recovery.all) else { return };
        if let Some(commit) = recovery.proposed {
            self.vote_came(from, dot, Vote { ballot, commit }, step);
        }
    }

    /// Somebody has promised a higher ballot: the next one of this node will be above it.
    pub(crate) fn overtaken(&mut self, cause: Refusal) {
        if let Refusal::Promised(ballot) = cause {
            self.round = self.round.max(ballot.round());
        }
    }

    /// A verdict is known. Who found it logs it as an effect.
    pub(crate) fn decide(&mut self, dot: Dot, vote: Vote, source: Source, step: &mut Step) {
        let Some(held) = self.table.get_mut(dot) else { return };
        if let Some(before) = held.decided {
            debug_assert_eq!(before.commit, vote.commit, "two verdicts on {dot:?}");
            return;
        }
        held.decided = Some(vote);
        held.recovery = None;
        held.next_ms = step.now_ms + self.timing.recover_ms;
        let (bind, begun) = (Arc::clone(&held.bind), held.begun.take());
        if source != Source::Effect {
            step.push(Output::Persist(Record::Decided(dot, vote)));
        }
        if source == Source::Found {
            step.push(Output::EmitVerdict(dot, vote));
        }
        if let Some(begun) = begun {
            self.begun -= 1;
            self.answer(&bind, &begun, vote.commit, step);
        }
        self.leaders.verdict(&bind, vote.commit, self.node, &self.peers, step);
        if vote.commit {
            self.defeat(&bind, step);
        }
        self.hurry(&bind, step);
    }

    /// Tells the client how it ended.
    pub(crate) fn answer(&self, bind: &Bind, begun: &Begun, commit: bool, step: &mut Step) {
        if begun.answered {
            return;
        }
        let contended = |cause: &Refusal| !matches!(cause, Refusal::Promised(_) | Refusal::Forgotten);
        let lost = begun.refused.values().any(contended) || self.table.competitors(bind).next().is_some();
        let answer = match (commit, lost) {
            (true, _) => Ok(()),
            (false, true) => Err(TxnError::Lost),
            (false, false) => Err(TxnError::Aborted),
        };
        step.push(Output::Answer(bind.dot(), answer));
    }

    /// What a commit means for its competitors: unsafe ones have lost.
    fn defeat(&mut self, winner: &Bind, step: &mut Step) {
        let losers: Vec<Dot> = self.table.competitors(winner).map(|held| held.bind.dot()).collect();
        for dot in losers {
            self.beat(dot, winner.dot(), step);
        }
    }

    /// One is decided: competitors that were begun here are brought on at once. What their ballots met may have been one of its own, and it
    /// takes part in no more.
    fn hurry(&mut self, decided: &Bind, step: &mut Step) {
        let waiting = |held: &&Held| held.begun.is_some() && held.decided.is_none();
        let competitors: Vec<Dot> =
            self.table.competitors(decided).filter(waiting).map(|held| held.bind.dot()).collect();
        for dot in competitors {
            if let Some(held) = self.table.get_mut(dot) {
                held.next_ms = held.next_ms.min(step.now_ms);
            }
        }
    }
}
