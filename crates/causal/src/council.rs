//! Deciding on the next epoch: the proposer, the voter, and what a decision changes.
//!
//! *Invariant:* the epoch `n + 1` is what a majority of the members of epoch `n` accepted in one ballot. What a voter promised and accepted is
//! durable before it says so; one that may have forgotten does not vote.

use std::collections::{BTreeMap, BTreeSet};

use effect::{Origin, Vector};

use crate::epoch::{Ballot, Epoch, Motion, Say, Vote};
use crate::frame::Frame;
use crate::io::{Change, LinkId, Output, Record};
use crate::limits;
use crate::lives::Gate;
use crate::replica::Replica;

/// The part of a replica that takes part in decisions.
#[derive(Debug)]
pub(crate) struct Council {
    vote: Vote,
    /// What this node wants, until an epoch has it.
    pub wanted: Option<Change>,
    attempt: Option<Attempt>,
    /// Attempts of this node since the present epoch began.
    tries: u32,
    /// The highest round that was seen.
    round: u64,
    /// What was applied when the present epoch was adopted: peers hear of it once that is durable.
    adopted_at: Vector,
    adopted_from: u64,
    /// The other members that have said that they are in the present epoch, and what they had fsynced then.
    met: BTreeSet<u64>,
    met_with: Vector,
}

/// An attempt of this node to have an epoch accepted.
#[derive(Debug)]
struct Attempt {
    ballot: Ballot,
    since_ms: i64,
    promises: BTreeMap<u64, Option<(Ballot, Epoch)>>,
    proposed: Option<Epoch>,
    accepted: BTreeSet<u64>,
}

impl Council {
    /// A start does not know any more what there was when the epoch was adopted: no less than that is what it finds.
    pub fn new(vote: Vote, found: Vector) -> Self {
        let round = vote.promised.round;
        let (met, met_with) = (BTreeSet::new(), Vector::new());
        Self { vote, wanted: None, attempt: None, tries: 0, round, adopted_at: found, adopted_from: 0, met, met_with }
    }

    pub fn vote(&self) -> &Vote {
        &self.vote
    }

    /// A member has said that it is in the present epoch.
    pub fn meet(&mut self, node: u64, durable: &Vector) {
        if self.met.insert(node) {
            self.met_with.join(durable);
        }
    }
}

impl Replica {
    /// The epoch that peers are told of.
    pub(crate) fn stated_epoch(&self) -> u64 {
        let is_sealed = self.durable.covers(&self.council.adopted_at);
        if is_sealed { self.epoch.number } else { self.council.adopted_from }
    }

    /// Whether every member has said that it is in the present epoch, and all that they had then is durable here. So of what anybody
    /// began in an earlier epoch, whatever a member will ever have is in the context of what is begun here from now on. A start does not
    /// know it any more; but what was so stays so.
    pub fn has_met_all(&self) -> bool {
        let council = &self.council;
        let is_met = |node: &u64| *node == self.me.node() || council.met.contains(node);
        self.stated_epoch() == self.epoch.number
            && self.epoch.members.iter().all(is_met)
            && self.durable.covers(&council.met_with)
    }

    pub(crate) fn propose(&mut self, change: Change) {
        if self.council.wanted.replace(change) != Some(change) || self.council.attempt.is_none() {
            self.attempt();
        }
    }

    /// A start that may have forgotten its vote takes over the highest of all others.
    pub(crate) fn recall(&mut self, votes: Vec<Vote>) {
        for vote in votes {
            let own = &mut self.council.vote;
            own.promised = own.promised.max(vote.promised);
            if vote.accepted.as_ref().map(|(ballot, _)| *ballot) > own.accepted.as_ref().map(|(ballot, _)| *ballot) {
                own.accepted = vote.accepted;
            }
        }
        self.council.round = self.council.round.max(self.council.vote.promised.round);
        self.out.push(Output::Persist(Record::Vote(self.council.vote.clone())));
    }

    pub(crate) fn council_tick(&mut self) {
        let Some(change) = self.council.wanted else { return };
        if self.next_epoch(change).is_none() {
            self.council.wanted = None;
            self.council.attempt = None;
            return;
        }
        // Unlike waits, and longer ones each time, lest two proposers overtake each other for ever, however slow their answers are.
        let patience = limits::BALLOT_MS + (self.me.node() % 8) as i64 * limits::BALLOT_MS / 4;
        let patience = patience << self.council.tries.saturating_sub(1).min(limits::BALLOT_DOUBLINGS);
        let is_late = self.council.attempt.as_ref().is_none_or(|a| self.now_ms - a.since_ms >= patience);
        if is_late {
            self.attempt();
        }
    }

    /// The epoch with the change, if it is one.
    fn next_epoch(&self, change: Change) -> Option<Epoch> {
        self.epoch.with(change)
    }

    /// Whether most of those that stay have what the group had when this epoch began: else what only the leaver has would go with it.
    fn can_spare(&self, leaver: u64) -> bool {
        let has = |node: &u64| match self.views.get(node).and_then(|view| view.said.as_ref()) {
            _ if *node == self.me.node() => self.durable.covers(&self.council.adopted_at),
            Some(said) => said.epoch == self.epoch.number && said.durable.covers(&self.council.adopted_at),
            None => false,
        };
        let stay = self.epoch.members.iter().filter(|node| **node != leaver);
        matches!(self.gate, Gate::Open) && stay.clone().filter(|node| has(node)).count() > stay.count() / 2
    }

    fn attempt(&mut self) {
        let Some(wanted) = self.council.wanted else { return };
        let is_unsafe = matches!(wanted, Change::Leave(node) if !self.can_spare(node));
        if !self.epoch.has(self.me.node()) || is_unsafe {
            return;
        }
        self.council.round += 1;
        self.council.tries = self.council.tries.saturating_add(1);
        let ballot = Ballot { round: self.council.round, node: self.me.node() };
        let (promises, accepted) = (BTreeMap::new(), BTreeSet::new());
        self.council.attempt = Some(Attempt { ballot, since_ms: self.now_ms, promises, proposed: None, accepted });
        self.move_all(ballot, Say::Prepare);
    }

    /// Says something to every voter, this one among them.
    fn move_all(&mut self, ballot: Ballot, say: Say) {
        let motion = Motion { number: self.epoch.number + 1, ballot, say };
        let voters: Vec<LinkId> = self.epoch.members.iter().filter_map(|node| self.link_to(*node)).collect();
        // Its own vote comes first: so whatever ballot is about is in the vote of some member.
        let answer = self.answer(motion.clone());
        voters.into_iter().for_each(|id| self.send(id, Frame::Motion(motion.clone())));
        if let Some(answer) = answer {
            self.answered(self.me.node(), answer);
        }
    }

    pub(crate) fn motion(&mut self, id: LinkId, node: u64, motion: Motion) {
        if motion.number <= self.epoch.number {
            let decided = Frame::Decided(self.epoch.clone());
            return self.send(id, decided);
        }
        if !self.epoch.has(node) || motion.number != self.epoch.number + 1 {
            return;
        }
        self.council.round = self.council.round.max(motion.ballot.round);
        match motion.say {
            Say::Prepare | Say::Accept(_) => {
                if let Some(answer) = self.answer(motion) {
                    self.send(id, Frame::Motion(answer));
                }
            }
            Say::Promise(_) | Say::Accepted | Say::Refused(_) => self.answered(node, motion),
        }
    }

    /// The voter.
    fn answer(&mut self, motion: Motion) -> Option<Motion> {
        if self.me.incarnation() == 0 || !self.epoch.has(self.me.node()) {
            return None;
        }
        let (ballot, vote) = (motion.ballot, &mut self.council.vote);
        let say = match motion.say {
            _ if ballot < vote.promised => Say::Refused(vote.promised),
            Say::Prepare => {
                vote.promised = ballot;
                Say::Promise(vote.accepted.clone())
            }
            Say::Accept(epoch) => {
                *vote = Vote { promised: ballot, accepted: Some((ballot, epoch)) };
                Say::Accepted
            }
            _ => return None,
        };
        if !matches!(say, Say::Refused(_)) {
            self.out.push(Output::Persist(Record::Vote(self.council.vote.clone())));
        }
        Some(Motion { say, ..motion })
    }

    /// The proposer hears an answer.
    fn answered(&mut self, node: u64, motion: Motion) {
        let (majority, wanted) = (self.epoch.majority(), self.council.wanted);
        let own = wanted.and_then(|change| self.next_epoch(change));
        let Some(attempt) = self.council.attempt.as_mut().filter(|a| a.ballot == motion.ballot) else { return };
        match motion.say {
            Say::Refused(higher) => self.council.round = self.council.round.max(higher.round),
            Say::Promise(accepted) if attempt.proposed.is_none() => {
                attempt.promises.insert(node, accepted);
                if attempt.promises.len() < majority {
                    return;
                }
                // What may have been decided must be proposed again.
                let last = attempt.promises.values().flatten().max_by_key(|(ballot, _)| *ballot);
                let Some(epoch) = last.map(|(_, epoch)| epoch.clone()).or(own) else { return };
                attempt.proposed = Some(epoch.clone());
                self.move_all(motion.ballot, Say::Accept(epoch));
            }
            Say::Accepted => {
                attempt.accepted.insert(node);
                if attempt.accepted.len() >= majority
                    && let Some(epoch) = attempt.proposed.clone()
                {
                    self.adopt(epoch);
                }
            }
            _ => {}
        }
    }

    /// An epoch was decided. Those that are no members any more are not listened to from here on.
    pub(crate) fn adopt(&mut self, epoch: Epoch) {
        if epoch.number <= self.epoch.number {
            return;
        }
        let (me, was_member) = (self.me.node(), self.epoch.has(self.me.node()));
        self.council.adopted_from = self.stated_epoch();
        self.council.adopted_at = self.applied.clone();
        self.council.vote = Vote::default();
        (self.council.attempt, self.council.tries) = (None, 0);
        self.council.met.clear();
        self.council.met_with = Vector::new();
        // It left and came back, and has heard of neither.
        let was_away = was_member && epoch.is_from_before(me, self.epoch.number);
        self.epoch = epoch;
        self.farewells.clear();
        let may_lack = !self.epoch.has(me) && (was_member || self.me.incarnation() == 0);
        if !self.applied.is_empty() && (was_away || may_lack) {
            self.standing.turn_out();
        }
        // Until it has taken leave of what it was it is no member, also for its next start.
        let known = if self.is_outside() { self.epoch.without(me) } else { self.epoch.clone() };
        self.out.push(Output::Persist(Record::Epoch(known)));
        if self.is_outside() && self.epoch.has(me) && self.me.incarnation() > 0 {
            // What it was is over, and nobody is to count it in.
            self.gate = Gate::opening(self.me);
            self.me = Origin::new(me, 0);
        }
        let is_over = |node: u64, spoke_in: u64| !self.epoch.has(node) || self.epoch.is_from_before(node, spoke_in);
        let links = self.links.iter().filter_map(|(id, l)| Some((*id, is_over(l.node()?, l.spoke_in))));
        for (id, is_over) in links.collect::<Vec<(LinkId, bool)>>() {
            let decided = Frame::Decided(self.epoch.clone());
            self.send(id, decided);
            // Whoever it is that adopts: what has come from there and waits is dropped, and what is on its way.
            if is_over {
                self.close(id, "no member any more, or only now");
            }
            if self.me.incarnation() == 0 {
                self.close(id, "an earlier epoch");
            }
        }
        self.views.retain(|node, _| self.epoch.has(*node));
        if was_member && (was_away || !self.epoch.has(me)) {
            // One that has no origin yet needs one still, once it is a member again.
            if self.me.incarnation() > 0 {
                self.gate = Gate::waiting();
            }
            // Nor is it to act, once it is back, on what somebody wanted before.
            self.council.wanted = None;
            self.out.push(Output::Dropped);
        }
        // Members count on a node anew in each epoch: only then has it heard what may be stable.
        match &mut self.gate {
            Gate::Open => {}
            Gate::Waiting { counted_by } => counted_by.clear(),
            Gate::Opening { heard, .. } => heard.clear(),
        }
        self.deliver();
        let all: Vec<LinkId> = self.links.keys().copied().collect();
        all.into_iter().for_each(|id| self.pump(id));
    }
}
