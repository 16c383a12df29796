//! The bad things that happen to a cluster, and the end of all of them.

use std::collections::BTreeSet;

use causal::{Change, Epoch};
use effect::{Dot, Origin, Vector};

use crate::batch::Kind;
use crate::cluster::{Cluster, Event};
use crate::disk::Disk;
use crate::fault::Fault;
use crate::net::Item;
use crate::node::Node;
use crate::outcomes::Whereabouts;

impl Cluster {
    /// One bad thing.
    pub(crate) fn trouble(&mut self) {
        if !self.is_bad {
            return;
        }
        let ms = self.rng.between(1, 2 * self.plan.trouble_ms) as i64;
        self.after(ms, Event::Trouble);
        let what = match (self.plan.storm, self.plan.raid) {
            (true, _) => *self.rng.pick(&[5, 5, 10, 3, 0]),
            (_, true) => *self.rng.pick(&[8, 9, 9, 0, 0]),
            _ => self.rng.below(12),
        };
        match what {
            0..=2 => self.partition(),
            3..=4 => self.reset(),
            5..=6 => self.crash_one(),
            7 => self.pause(),
            8 => self.back_up(),
            9 if self.plan.restores => self.restore(),
            10 if self.plan.elections => self.elect(),
            11 => self.jump(),
            _ => {}
        }
    }

    fn any(&mut self) -> u64 {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        *self.rng.pick(&ids)
    }

    /// Some nodes do not hear from some others, perhaps in one direction only.
    fn partition(&mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        let side: Vec<bool> = ids.iter().map(|_| self.rng.one_in(2)).collect();
        let one_way = self.rng.one_in(4);
        let ms = self.rng.between(50, if self.plan.storm { 300 } else { 5_000 }) as i64;
        for (i, a) in ids.iter().enumerate() {
            for (j, b) in ids.iter().enumerate() {
                if side[i] && !side[j] {
                    self.net.blocked.insert((*a, *b));
                    self.after(ms, Event::Heal(*a, *b));
                    if !one_way {
                        self.net.blocked.insert((*b, *a));
                        self.after(ms, Event::Heal(*b, *a));
                    }
                }
            }
        }
    }

    /// A connection breaks: what was on its way is lost.
    fn reset(&mut self) {
        let all = self.net.all();
        if all.is_empty() {
            return;
        }
        let conn = *self.rng.pick(&all);
        let ends = [self.net.end(conn, 0), self.net.end(conn, 1)];
        self.net.remove(conn);
        for (id, boot) in ends.into_iter().flatten() {
            if self.runs(id, boot) {
                self.feed(id, causal::Input::Closed(causal::LinkId(conn)));
            }
        }
    }

    fn crash_one(&mut self) {
        let id = self.any();
        self.crash_for_a_while(id);
    }

    /// Power fails, and comes back.
    pub(crate) fn crash_for_a_while(&mut self, id: u64) {
        self.crash(id);
        let most = if self.plan.storm { 100 } else { 3_000 };
        let ms = self.rng.between(10, most) as i64;
        self.after(ms, Event::Start(id));
    }

    /// Power fails. Peers hear of it, or only silence.
    pub(crate) fn crash(&mut self, id: u64) {
        let is_silent = self.rng.one_in(2);
        let Some(node) = self.nodes.get_mut(&id).filter(|n| n.life.is_some()) else { return };
        node.life = None;
        node.disk.tear(&mut self.rng);
        let is_left = |log: &[causal::Entry], dot: &effect::Dot| {
            log.iter().any(|entry| matches!(Kind::of(entry), Kind::Verdict(bind, _) if bind == *dot))
        };
        node.shown.retain(|dot| is_left(&node.disk.log, dot));
        for conn in self.net.of(id) {
            if !is_silent {
                self.put(conn, id, Item::Close);
            }
        }
    }

    fn pause(&mut self) {
        let (id, ms) = (self.any(), self.rng.between(20, 4_000) as i64);
        let until = self.now_ms + ms;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.paused_until = until;
        }
    }

    /// A clock is set.
    fn jump(&mut self) {
        let (id, most) = (self.any(), self.plan.skew_ms);
        let skew = self.rng.between(0, 2 * most) as i64 - most as i64;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.skew_ms = skew;
        }
    }

    fn back_up(&mut self) {
        let id = self.any();
        let Some(node) = self.nodes.get_mut(&id).filter(|n| n.disk.again.is_empty()) else { return };
        let mut copy = node.disk.clone();
        let durable = copy.synced;
        copy.log.truncate(durable);
        copy.rebuild();
        node.backup = Some(copy);
    }

    /// A node's disk is lost; it goes on with an older copy.
    fn restore(&mut self) {
        let id = self.any();
        let hides = self.plan.fault == Some(Fault::HidesRestore);
        if !self.can_spare(id) {
            return;
        }
        let Some(copy) = self.nodes.get_mut(&id).filter(|n| n.is_wanted).and_then(|n| n.backup.take()) else { return };
        self.crash(id);
        self.checks.outcomes.lost(id);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.has_lost = true;
        }
        self.excuse_without(id);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.disk = copy;
            node.shown.clear();
            node.previewed.clear();
            node.disk.restored = !hides;
        }
        let ms = self.rng.between(10, 2_000) as i64;
        self.after(ms, Event::Start(id));
    }

    /// What a node has is gone: what others have lost before and only it still had is gone with it.
    pub(crate) fn excuse_without(&mut self, id: u64) {
        let others: Vec<&Disk> = self.nodes.values().filter(|n| n.id != id).map(|n| &n.disk).collect();
        let losers: Vec<u64> = self.nodes.values().filter(|n| n.has_lost).map(|n| n.id).collect();
        self.checks.excuse(&others, &losers);
    }

    /// Whether votes of a node may be lost: of no transaction those of a majority are, as long as a node lacks its verdict. What has more
    /// forgotten votes is ended, but nobody can say how it would have. Nor can anybody once all that had the verdict have lost their disks, each
    /// before the others were back: so one that the group counts on keeps it, and whoever comes back has it before it may write.
    fn can_spare(&mut self, id: u64) -> bool {
        let leave: Vec<u64> = self.nodes.values().filter(|n| !n.is_wanted).map(|n| n.id).collect();
        let verdicts: Vec<(&Node, BTreeSet<Dot>)> = self.nodes.values().map(|n| (n, n.disk.verdicts())).collect();
        let stays = |n: &Node| n.id != id && n.is_wanted && !n.disk.restored;
        let whereabouts = |dot| Whereabouts {
            is_somewhere: verdicts.iter().any(|(n, _)| n.disk.has.has(dot)),
            is_everywhere: verdicts.iter().all(|(_, has)| has.contains(&dot)),
            is_kept: verdicts.iter().any(|(n, has)| stays(n) && has.contains(&dot)),
        };
        self.checks.outcomes.can_spare(id, &leave, whereabouts)
    }

    /// A node joins, or one leaves, or comes back.
    fn elect(&mut self) {
        if let Some(node) = self.nodes.values_mut().find(|n| n.is_back && !n.is_wanted) {
            (node.is_back, node.is_wanted) = (false, true);
            let id = node.id;
            return self.propose(Change::Join(id));
        }
        let wanted: Vec<u64> = self.nodes.values().filter(|n| n.is_wanted).map(|n| n.id).collect();
        if self.rng.one_in(2) && wanted.len() < 7 && self.nodes.len() < 10 {
            let id = self.nodes.keys().max().copied().unwrap_or(0) + 1;
            let mut disk = Disk::new(id, Epoch::default());
            disk.origin = Origin::new(id, 0);
            disk.restored = true;
            self.nodes.insert(id, Node::new(id, disk, 0, 0, self.plan.ahead_ms as i64));
            self.after(0, Event::Start(id));
            self.propose(Change::Join(id));
        } else if wanted.len() > 2 {
            let id = *self.rng.pick(&wanted);
            if !self.can_spare(id) {
                return;
            }
            if let Some(node) = self.nodes.get_mut(&id) {
                node.is_wanted = false;
            }
            self.propose(Change::Leave(id));
            // Two at once: one of them must wait for the other.
            if self.rng.one_in(2) && wanted.len() > 3 {
                let other = *self.rng.pick(&wanted);
                if !self.can_spare(other) {
                    return;
                }
                if let Some(node) = self.nodes.get_mut(&other) {
                    node.is_wanted = false;
                }
                self.propose(Change::Leave(other));
            }
        }
    }

    /// Proposes a change of the members at some member that runs.
    pub fn propose(&mut self, change: Change) {
        let is_member = |n: &&Node| n.life.is_some() && n.disk.epoch.has(n.id);
        let may_write = |n: &&Node| n.life.as_ref().is_some_and(|life| life.replica.may_write());
        let mut up: Vec<u64> = self.nodes.values().filter(is_member).filter(may_write).map(|n| n.id).collect();
        if up.is_empty() || self.rng.one_in(8) {
            up = self.nodes.values().filter(is_member).map(|n| n.id).collect();
        }
        if !up.is_empty() {
            let id = *self.rng.pick(&up);
            self.feed(id, causal::Input::Propose(change));
        }
    }

    /// From here on nothing bad happens.
    pub fn heal(&mut self) {
        self.is_bad = false;
        self.net.blocked.clear();
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for id in ids {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.paused_until = 0;
            }
            self.after(0, Event::Start(id));
        }
    }

    /// Proposes again what has not come about; one after the other, since proposers that overtake each other decide nothing.
    pub fn insist(&mut self) {
        let running = || self.nodes.values().filter_map(|n| Some((n.disk.epoch.has(n.id), &n.life.as_ref()?.replica)));
        let is_under_way = running().any(|(is_member, replica)| is_member && replica.wants().is_some());
        if is_under_way && self.now_ms - self.insisted_ms < 4_000 {
            return;
        }
        self.insisted_ms = self.now_ms;
        let Some(epoch) =
            self.nodes.values().filter(|n| n.is_wanted).map(|n| n.disk.epoch.clone()).max_by_key(|e| e.number)
        else {
            return;
        };
        // One that never came in, or has nothing, has nothing to take leave of.
        let never_in = |n: &Node| {
            let is_empty = n.disk.restored || n.disk.has.is_empty();
            is_empty && !epoch.has(n.id) && n.life.as_ref().is_some_and(|l| !l.replica.is_outside())
        };
        if let Some(node) = self.nodes.values_mut().find(|n| !n.is_wanted && (n.is_back || never_in(n))) {
            (node.is_back, node.is_wanted) = (false, true);
        }
        // The last member cannot leave.
        let join = self.nodes.values().find(|n| n.is_wanted && !epoch.has(n.id)).map(|n| Change::Join(n.id));
        let leave = || self.nodes.values().find(|n| !n.is_wanted && epoch.has(n.id)).map(|n| Change::Leave(n.id));
        join.or_else(leave).into_iter().for_each(|change| self.propose(change));
    }

    /// What is still to come: None, once all members are equal and everything is stable.
    pub fn unsettled(&self) -> Option<String> {
        let members: Vec<&Node> = self.nodes.values().filter(|n| n.is_wanted).collect();
        let mut all = Vector::new();
        members.iter().for_each(|n| all.join(&n.disk.has));
        for node in &members {
            let id = node.id;
            let Some(life) = &node.life else { return Some(format!("node {id} is down")) };
            let replica = &life.replica;
            if !replica.may_write() {
                return Some(format!("node {id} may not write, waits for {}", replica.waits_for()));
            }
            if *replica.applied() != all {
                return Some(format!("node {id} has {:?} of {all:?}", replica.applied()));
            }
            if replica.cut().vector != all {
                return Some(format!("node {id} has everything, stable {:?} of {all:?}", replica.cut()));
            }
            if life.state.pending() > 0 || !life.arrived.is_empty() || life.binds.counts() != (0, 0) {
                let (known, open) = life.binds.counts();
                return Some(format!(
                    "transactions of node {id}: {known} known, {open} of them open, {} without a verdict here",
                    life.state.pending()
                ));
            }
            if !replica.contexts().is_empty() || life.state.unfolded() > 0 || replica.held_bytes() > 0 {
                return Some(format!("node {id} keeps causality of what is stable"));
            }
            if node.disk.again.iter().any(|(_, as_dot)| as_dot.is_none()) {
                return Some(format!("node {id} must write again what never arrived"));
            }
            if node.disk.epoch != members[0].disk.epoch || members.iter().any(|m| !node.disk.epoch.has(m.id)) {
                return Some(format!("node {id} is in {:?}", node.disk.epoch));
            }
        }
        let away = self.nodes.values().find(|n| !n.is_wanted);
        away.map(|n| format!("node {} has not come back", n.id))
    }

    /// What must hold once nothing is to come.
    pub fn final_checks(&mut self) {
        let members: Vec<&Node> = self.nodes.values().filter(|n| n.is_wanted).collect();
        let states = || members.iter().filter_map(|n| n.life.as_ref()).map(|life| &life.state);
        let digests: Vec<_> = states().map(|state| state.digest()).collect();
        let keyspaces: Vec<_> = states().map(|state| state.keyspaces().shown()).collect();
        for node in &members {
            self.checks.complete(node.id, &node.disk.has);
        }
        let vectors: Vec<(u64, Vector)> = members.iter().map(|n| (n.id, n.disk.has.clone())).collect();
        let differ = digests.windows(2).any(|pair| pair[0] != pair[1]);
        if differ || keyspaces.windows(2).any(|pair| pair[0] != pair[1]) {
            self.checks.fail("equal sets make equal states", format!("{digests:?}, {keyspaces:?}"));
        }
        let previewed =
            members.iter().flat_map(|n| n.previewed.iter().map(|dot| (n.id, *dot, n.disk.undone.contains(dot))));
        for (id, dot, is_reported) in previewed.collect::<Vec<_>>() {
            self.checks.previewed(id, dot, is_reported);
        }
        for ((id, applied), digest) in vectors.iter().zip(&digests) {
            self.checks.keys_are(*id, applied, digest);
        }
    }
}
