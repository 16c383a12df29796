//! What a voter does with a bind, a promise that is asked of it, and a value.
//!
//! *Invariant:* what a voter says it has promised or accepted stands in a [`Record`] before the message.
//!
//! *Invariant:* a voter accepts commit only while it holds no competitor that is committed, or that it accepted to commit.

use std::sync::Arc;

use effect::Dot;

use crate::bind::ballot::{Ballot, NodeId};
use crate::bind::machine::{Binds, Step};
use crate::bind::message::{Message, Output, Record, Refusal, Report, Rival, Vote};
use crate::bind::safety::Safety;
use crate::bind::table::Held;
use crate::bind::transaction::Bind;

impl Binds {
    /// The vote at ballot 0, if this node has one, to the originator. One who is not, and asks, has forgotten: it wants to know who else has.
    pub(crate) fn vote_first(&mut self, dot: Dot, asker: NodeId, step: &mut Step) {
        let Some(held) = self.table.get(dot) else { return };
        let originator = held.bind.originator();
        if asker == self.node || !self.may_vote(&held.bind) {
            return;
        }
        if let Some(vote) = held.decided {
            return step.send(asker, Message::Decided { bind: dot, vote });
        }
        let vote = Vote { ballot: Ballot::ORIGINATOR, commit: true };
        if !self.remembers(&held.bind) {
            let (ballot, cause) = (vote.ballot, Refusal::Forgotten);
            return step.send(asker, Message::Refused { bind: dot, ballot, cause });
        }
        if asker != originator {
            return;
        }
        if let Some(cause) = self.refuses_first(dot) {
            return step.send(originator, Message::Refused { bind: dot, ballot: vote.ballot, cause });
        }
        self.accept(dot, vote, step);
        step.send(originator, Message::Voted { bind: dot, vote });
    }

    /// Why a voter does not accept at ballot 0.
    pub(crate) fn refuses_first(&self, dot: Dot) -> Option<Refusal> {
        let held = self.table.get(dot)?;
        let fence = self.table.fence(&held.bind);
        if fence > Ballot::ORIGINATOR {
            return Some(Refusal::Promised(fence));
        }
        if held.accepted.is_some() {
            return None;
        }
        let own = |rival: &Held| rival.bind.originator() == self.node;
        let mut rivals = self.table.rivals(&held.bind);
        if rivals.any(|rival| own(rival) || rival.holds_commit() || rival.committed() == Some(true)) {
            return Some(Refusal::Competitor);
        }
        held.plain.then_some(Refusal::PlainWrite)
    }

    /// Somebody asks for a promise.
    pub(crate) fn prepare(&mut self, from: NodeId, bind: &Arc<Bind>, ballot: Ballot, step: &mut Step) {
        let dot = bind.dot();
        if !self.takes_part(bind) {
            return;
        }
        let Some(held) = self.table.get(dot) else { return };
        if let Some(vote) = held.decided {
            return step.send(from, Message::Decided { bind: dot, vote });
        }
        let (promised, fence) = (held.promised, self.table.fence(bind));
        if ballot < fence {
            let cause = Refusal::Promised(fence);
            return step.send(from, Message::Refused { bind: dot, ballot, cause });
        }
        if ballot > promised {
            self.promise(dot, ballot, step);
            self.leave_to(from, bind, step);
        }
        let report = self.report(bind);
        step.send(from, Message::Promise { bind: dot, ballot, report });
    }

    /// Gives another proposer the time that this voter would have waited.
    fn leave_to(&mut self, from: NodeId, bind: &Bind, step: &Step) {
        let pause_ms = self.first_pause_ms(bind);
        if let Some(held) = self.table.get_mut(bind.dot()).filter(|_| from != self.node) {
            held.next_ms = held.next_ms.max(step.now_ms + pause_ms);
        }
    }

    fn promise(&mut self, dot: Dot, ballot: Ballot, step: &mut Step) {
        step.push(Output::Persist(Record::Promised(dot, ballot)));
        self.promised(dot, ballot);
    }

    /// Takes in a promise, new or read back.
    pub(crate) fn promised(&mut self, dot: Dot, ballot: Ballot) {
        self.round = self.round.max(ballot.round());
        if let Some(held) = self.table.get_mut(dot) {
            held.promised = held.promised.max(ballot);
        }
    }

    fn report(&self, bind: &Bind) -> Report {
        let rival = |held: &Held| Rival {
            rank: held.bind.rank(),
            same_voters: held.bind.voters() == bind.voters(),
            accepted: held.accepted,
            decided: held.committed(),
        };
        let held = self.table.get(bind.dot());
        Report {
            forgot: !self.remembers(bind),
            accepted: held.and_then(|held| held.accepted),
            plain: held.is_some_and(|held| held.plain),
            rivals: self.table.rivals(bind).map(rival).collect(),
        }
    }

    /// Somebody asks that a value be accepted, above ballot 0.
    pub(crate) fn asked_to_accept(&mut self, from: NodeId, bind: &Arc<Bind>, vote: Vote, step: &mut Step) {
        let dot = bind.dot();
        if vote.ballot == Ballot::ORIGINATOR || !self.takes_part(bind) {
            return;
        }
        if let Some(vote) = self.table.get(dot).and_then(|held| held.decided) {
            return step.send(from, Message::Decided { bind: dot, vote });
        }
        let fence = self.table.fence(bind);
        if vote.ballot < fence {
            let cause = Refusal::Promised(fence);
            return step.send(from, Message::Refused { bind: dot, ballot: vote.ballot, cause });
        }
        if vote.commit && !self.make_way(bind, vote.ballot, step) {
            let cause = Refusal::Competitor;
            return step.send(from, Message::Refused { bind: dot, ballot: vote.ballot, cause });
        }
        self.accept(dot, vote, step);
        let accepted = match self.remembers(bind) {
            true => Message::Voted { bind: dot, vote },
            false => Message::Refused { bind: dot, ballot: vote.ballot, cause: Refusal::Forgotten },
        };
        step.send(from, accepted);
    }

    /// Accepts abort, at the same ballot, for every competitor that was accepted to commit: who proposes commit knows that none
    /// of them was or will be committed below that ballot. Whether that leaves no competitor in the way.
    fn make_way(&mut self, bind: &Bind, ballot: Ballot, step: &mut Step) -> bool {
        let (mut displaced, mut free) = (Vec::new(), true);
        for rival in self.table.rivals(bind) {
            let displaceable = rival.bind.voters() == bind.voters();
            free &= rival.committed() != Some(true) && (displaceable || !rival.holds_commit());
            if rival.holds_commit() {
                displaced.push(rival.bind.dot());
            }
        }
        if free {
            displaced.into_iter().for_each(|dot| self.accept(dot, Vote { ballot, commit: false }, step));
        }
        free
    }

    fn accept(&mut self, dot: Dot, vote: Vote, step: &mut Step) {
        if self.table.get(dot).is_some_and(|held| held.accepted != Some(vote)) {
            step.push(Output::Persist(Record::Accepted(dot, vote)));
            self.accepted(dot, vote);
        }
    }

    /// Takes in an accepted value, new or read back.
    pub(crate) fn accepted(&mut self, dot: Dot, vote: Vote) {
        self.promised(dot, vote.ballot);
        if let Some(held) = self.table.get_mut(dot) {
            debug_assert!(
                held.accepted.is_none_or(|before| before.ballot < vote.ballot),
                "a value changes at a higher ballot"
            );
            held.accepted = Some(vote);
        }
    }

    /// Whether this node votes on the bind. One that knows it is no member leaves that to those that are.
    pub(crate) fn may_vote(&self, bind: &Bind) -> bool {
        bind.safety() == Safety::Safe && self.left_of(bind.voters()).contains(&self.node)
    }

    /// Whether this node has a vote on a bind that came in a message. It has none as long as it lacks the bind's effect: what was committed is
    /// then on the disks of a majority, and no bind is known of which the effect has gone with the disk of its originator.
    fn takes_part(&self, bind: &Bind) -> bool {
        self.may_vote(bind) && self.table.get(bind.dot()).is_some()
    }
}
