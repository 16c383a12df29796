//! Voters that have lost their disks, and epochs.
//!
//! A node whose disk was replaced may have promised and accepted what it does not know. It says so of each bind whose writer had not
//! observed the node's new life: on any other it cannot have voted before. What such a voter promises and accepts from now on it keeps;
//! only its past is unknown.
//!
//! *Invariant:* its word does not count for a majority. Where those that remember are no majority, all voters that are still members must
//! promise, and all must accept.

use std::collections::BTreeSet;
use std::sync::Arc;

use effect::{Dot, Origin};

use crate::bind::ballot::{Ballot, NodeId, Voters};
use crate::bind::machine::{Binds, Step};
use crate::bind::message::{Message, Output, Record, Refusal, Vote};
use crate::bind::proposer::Source;
use crate::bind::transaction::Bind;

impl Binds {
    /// Whether this node knows all that it ever said of the bind.
    pub(crate) fn remembers(&self, bind: &Bind) -> bool {
        self.since.is_none_or(|life| bind.observed_life(life))
    }

    pub(crate) fn forgot(&mut self, life: Origin, step: &mut Step) {
        step.push(Output::Persist(Record::Forgot(life)));
        self.since = Some(life);
    }

    /// Whether all members of the epoch were met, so that transactions may be begun in it.
    pub fn has_met(&self) -> bool {
        self.members.as_ref().is_none_or(|(epoch, _)| self.met == Some(*epoch))
    }

    /// Takes in the epoch. Once its members have been met that is so for ever.
    pub(crate) fn meet(&mut self, epoch: u64, members: BTreeSet<NodeId>, met: bool, step: &mut Step) {
        self.members = Some((epoch, members));
        if met && self.met != Some(epoch) {
            step.push(Output::Persist(Record::Met(epoch)));
            self.met = Some(epoch);
        }
    }

    /// The voters that are still members. Of one that has left nothing will be heard any more, and what it has it has given up.
    pub(crate) fn left_of(&self, voters: &Voters) -> BTreeSet<NodeId> {
        let is_member = |node: &NodeId| self.members.as_ref().is_none_or(|(_, members)| members.contains(node));
        voters.iter().filter(is_member).collect()
    }

    /// What is left to do for a node that has forgotten, or has no vote: if nobody is left who remembers, the bind is given up.
    pub(crate) fn ask_around(&mut self, dot: Dot, step: &mut Step) {
        let Some(held) = self.table.get(dot) else { return };
        let mut others = self.left_of(held.bind.voters());
        others.remove(&self.node);
        let bind = Arc::clone(&held.bind);
        let is_voter = self.may_vote(&bind);
        let asked: Vec<NodeId> = others.difference(&held.forgot).copied().collect();
        let is_member = self.members.as_ref().is_some_and(|(_, members)| members.contains(&self.node));
        let may_end = self.since.is_none_or(|life| life.incarnation() < u16::MAX) && is_member;
        if asked.is_empty() && may_end && (is_voter || others.is_empty()) {
            return self.decide(dot, Vote { ballot: Ballot::ORIGINATOR, commit: false }, Source::Found, step);
        }
        if is_voter {
            asked.into_iter().for_each(|node| step.send(node, Message::Ask { bind: dot }));
        }
        let next_ms = step.now_ms + self.first_pause_ms(&bind);
        if let Some(held) = self.table.get_mut(dot) {
            held.next_ms = next_ms;
        }
    }

    /// Another voter has forgotten what it said of a bind.
    pub(crate) fn forgotten_by(&mut self, from: NodeId, dot: Dot, ballot: Ballot, step: &mut Step) {
        if ballot > Ballot::ORIGINATOR {
            return self.accepted_anew(from, dot, ballot, step);
        }
        let Some(held) = self.table.get(dot).filter(|held| held.decided.is_none()) else { return };
        if self.remembers(&held.bind) {
            return self.first_answer(from, dot, Some(Refusal::Forgotten), step);
        }
        if let Some(held) = self.table.get_mut(dot) {
            held.forgot.insert(from);
        }
    }
}
