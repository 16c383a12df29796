//! Which life of each node is the present one, and when this node may write.
//!
//! An origin that has ended is never continued. What is left of it is what any member holds; it is fetched like everything else, and it
//! is settled once all members have done with that life and hold equally much of it.

use std::collections::{BTreeMap, BTreeSet};

use effect::{Dot, Origin, Vector};

use crate::epoch::Vote;
use crate::frame::{Frame, Hello};
use crate::io::{LinkId, Output, Record};
use crate::limits;
use crate::replica::{Replica, Standing};
use crate::statement::Statement;

/// What is known of a node's lives.
///
/// *Invariant:* from when a life is known, nothing comes in any more from connections of an earlier one: they are closed, and what they
/// brought and waits is dropped. So what this replica holds of an earlier life grows only by what others have fsynced.
#[derive(Debug)]
pub(crate) struct Life {
    /// The latest one.
    pub incarnation: u16,
    /// What had been applied when it became known, until all of that is durable: only then peers are told of it, lest a crash takes back
    /// what they rely on.
    sealed: Option<Vector>,
}

/// Whether this node may write.
#[derive(Debug)]
pub(crate) enum Gate {
    /// It may.
    Open,
    /// It has no origin: of each member that has spoken, the latest life of this node that it knows, and its vote.
    Opening { disk: Origin, heard: BTreeMap<u64, (u16, Vote)> },
    /// It has an origin, but members may not count on it yet; of those that do, in which life and what they had fsynced then.
    Waiting { counted_by: BTreeMap<u64, (Origin, Vector)> },
}

impl Gate {
    pub fn waiting() -> Self {
        Self::Waiting { counted_by: BTreeMap::new() }
    }

    pub fn opening(disk: Origin) -> Self {
        Self::Opening { disk, heard: BTreeMap::new() }
    }
}

impl Replica {
    /// A start knows the lives that its disk has effects of.
    pub(crate) fn know_own_disk(&mut self) {
        for dot in self.applied.iter().filter(|dot| dot.origin.node() != self.me.node()) {
            // Ascending: the last one stays.
            let life = Life { incarnation: dot.origin.incarnation(), sealed: None };
            self.lives.insert(dot.origin.node(), life);
        }
    }

    /// The lives that statements tell of.
    pub(crate) fn sealed_lives(&self) -> Vec<(u64, u16)> {
        let sealed = self.lives.iter().filter(|(_, life)| life.sealed.is_none());
        let mut lives: Vec<(u64, u16)> = sealed.map(|(node, life)| (*node, life.incarnation)).collect();
        lives.push((self.me.node(), self.me.incarnation()));
        lives.sort_unstable();
        lives
    }

    /// Whether it tells peers that it knows this life.
    pub(crate) fn has_sealed(&self, life: Origin) -> bool {
        let known = self.lives.get(&life.node());
        life == self.me || known.is_some_and(|known| known.incarnation >= life.incarnation() && known.sealed.is_none())
    }

    /// Lets peers hear of lives since which everything is durable.
    pub(crate) fn seal(&mut self) {
        for life in self.lives.values_mut() {
            life.sealed.take_if(|then| self.durable.covers(then));
        }
    }

    /// Takes note of a life. Earlier ones have ended.
    pub(crate) fn learn(&mut self, origin: Origin) {
        let (node, incarnation) = (origin.node(), origin.incarnation());
        if node == self.me.node() {
            if self.me.incarnation() > 0 && incarnation > self.me.incarnation() {
                self.out.push(Output::Superseded);
            }
            return;
        }
        if self.lives.get(&node).is_some_and(|life| life.incarnation >= incarnation) {
            return;
        }
        let ended = |peer: Option<Origin>| {
            peer.is_some_and(|p| p.node() == node && (1..incarnation).contains(&p.incarnation()))
        };
        let old: Vec<LinkId> = self.links.iter().filter(|(_, l)| ended(l.peer)).map(|(id, _)| *id).collect();
        old.into_iter().for_each(|id| self.close(id, "a life that has ended"));
        self.lives.insert(node, Life { incarnation, sealed: Some(self.applied.clone()) });
        self.seal();
        self.views.remove(&node);
    }

    pub(crate) fn hello(&mut self, id: LinkId, hello: Hello) {
        let peer = hello.origin;
        if hello.group != self.config.group || peer.node() == self.me.node() {
            return self.close(id, "another group, or myself");
        }
        hello.lives.iter().for_each(|(node, life)| self.learn(Origin::new(*node, *life)));
        if self.me.incarnation() > 0 && hello.applied.get(self.me) > self.applied.get(self.me) {
            self.out.push(Output::Superseded);
            return self.close(id, "it has more of me than I");
        }
        if peer.incarnation() > 0 {
            self.learn(peer);
            if self.lives.get(&peer.node()).is_some_and(|life| life.incarnation > peer.incarnation()) {
                return self.close(id, "a life that has ended");
            }
        }
        if self.epoch.is_from_before(peer.node(), hello.epoch.number) {
            return self.close(id, "it spoke before it became a member");
        }
        if let Some(older) = self.link_to(peer.node()) {
            self.close(older, "a newer connection");
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        (link.peer, link.spoke_in) = (Some(peer), hello.epoch.number);
        link.cursor = hello.applied.get(self.me) + 1;
        link.credit = i64::try_from(hello.window).unwrap_or(i64::MAX);
        if hello.epoch.number > self.epoch.number {
            self.adopt(hello.epoch.clone());
        } else if hello.epoch.number < self.epoch.number {
            let decided = Frame::Decided(self.epoch.clone());
            self.send(id, decided);
        }
        self.heard_of_me(id, hello);
        self.pump(id);
    }

    /// A node that has no origin yet learns which ones are taken, from members that are in the same epoch: others must come again.
    fn heard_of_me(&mut self, id: LinkId, hello: Hello) {
        let node = self.me.node();
        let Gate::Opening { heard, .. } = &mut self.gate else { return };
        if hello.epoch.number < self.epoch.number {
            return self.close(id, "an earlier epoch");
        }
        let told = hello.lives.iter().filter(|(other, _)| *other == node).map(|(_, life)| *life);
        let applied = hello.applied.iter().filter(|dot| dot.origin.node() == node).map(|dot| dot.origin.incarnation());
        heard.insert(hello.origin.node(), (told.chain(applied).max().unwrap_or(0), hello.vote));
        self.take_origin();
    }

    /// Takes an origin, once every member has told which ones it knows. Connections are opened anew: no peer knows it by these.
    ///
    /// The disk may also have forgotten a vote. Every ballot in use was promised by the member that made it, before anybody heard of it;
    /// and a decision has been accepted by some other member, but in a group of one. So the highest of all votes takes its place.
    fn take_origin(&mut self) {
        let Gate::Opening { disk, heard } = &self.gate else { return };
        let spoken = |node: &u64| *node == disk.node() || heard.contains_key(node);
        let must_leave = self.is_outside() && self.epoch.has(disk.node());
        if must_leave || self.epoch.members.is_empty() || !self.epoch.members.iter().all(spoken) {
            return;
        }
        let last = heard.values().map(|(life, _)| *life).max().unwrap_or(0).max(disk.incarnation());
        let members = heard.iter().filter(|(node, _)| self.epoch.has(**node));
        let votes: Vec<Vote> = members.map(|(_, (_, vote))| vote.clone()).collect();
        // Lives that nobody has heard of may have come after the one that the disk knows, and what they sent may still arrive.
        self.me = Origin::new(disk.node(), last.saturating_add(limits::LIVES_PASSED_OVER));
        self.gate = Gate::waiting();
        self.out.push(Output::Persist(Record::Life(self.me)));
        self.recall(votes);
        let all: Vec<LinkId> = self.links.keys().copied().collect();
        all.into_iter().for_each(|id| self.close(id, "an origin was taken"));
        self.open_gate();
    }

    /// A member has spoken: does it count on this node?
    pub(crate) fn counted_on(&mut self, peer: Origin, statement: &Statement) {
        let me = self.me;
        let Gate::Waiting { counted_by } = &mut self.gate else { return };
        let knows = statement.life(me.node()) == me.incarnation() && statement.epoch == self.epoch.number;
        // A member that has begun another life may have lost what it had.
        let is_new = counted_by.get(&peer.node()).is_none_or(|(life, _)| *life != peer);
        if knows && is_new {
            counted_by.insert(peer.node(), (peer, statement.durable.clone()));
            // However far ahead it is: what is written from now on must be above what it may call stable.
            self.out.push(Output::Observe(statement.hlc));
        }
        self.open_gate();
    }

    /// Lets this node write once every member counts on it, and it has all that any of them may have declared stable before, durably: a crash
    /// from here on is one of a sound disk.
    pub(crate) fn open_gate(&mut self) {
        let Gate::Waiting { counted_by } = &self.gate else { return };
        let has_all_of = |node: &u64| counted_by.get(node).is_some_and(|(_, target)| self.durable.covers(target));
        let (me, members) = (self.me.node(), &self.epoch.members);
        if members.contains(&me) && members.iter().all(|node| *node == me || has_all_of(node)) {
            self.gate = Gate::Open;
            self.out.push(Output::Writable(self.me));
        }
    }

    /// A node that was dropped, whether it is a member again or not, hears from a member what the group has of it. Once all have the same, that is the end of its origins.
    pub(crate) fn farewell(&mut self, node: u64, statement: &Statement) {
        if self.standing != Standing::Outside || statement.epoch != self.epoch.number {
            return;
        }
        self.farewells.insert(node, statement.durable.clone());
        let mine: Vec<Dot> = self.applied.iter().filter(|dot| dot.origin.node() == self.me.node()).collect();
        let ends = |dot: &Dot| -> BTreeSet<u64> { self.farewells.values().map(|has| has.get(dot.origin)).collect() };
        let me = self.me.node();
        let all_spoke = self.epoch.members.iter().all(|node| *node == me || self.farewells.contains_key(node));
        if !all_spoke || mine.iter().any(|dot| ends(dot).len() != 1) {
            return;
        }
        let end = |dot: &Dot| ends(dot).first().copied().unwrap_or(0);
        let undelivered =
            mine.iter().filter(|dot| end(dot) < dot.seq).map(|dot| Dot { seq: end(dot) + 1, ..*dot }).collect();
        self.standing = Standing::Left;
        self.out.push(Output::Farewell(undelivered));
    }
}
