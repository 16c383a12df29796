//! A cluster as its streams, its messages and its logs make it: effects of an origin come in order and after their context,
//! messages come as they like, a crash leaves what was logged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use causal::bind::{
    Bind, Binds, Input, Key, KeyUse, Logged, Message, NodeId, Output, Record, Safety, Timing, TxnError, Vote, Voters,
};
use effect::{Dot, Hlc, Origin, Stamp, Vector};

use crate::rng::Rng;

pub const TIMING: Timing = Timing { resend_ms: 50, recover_ms: 200, stagger_ms: 60, deadline_ms: 1_000 };

#[derive(Debug, Clone)]
pub enum Effect {
    Bind(Arc<Bind>),
    Verdict(Dot, Vote),
    Plain(Key),
}

#[derive(Debug, Clone)]
pub struct Written {
    pub effect: Effect,
    pub context: Vector,
}

#[derive(Debug)]
pub struct Node {
    pub up: bool,
    pub side: u8,
    pub binds: Binds,
    /// Binds of its own that are written, and that it was not told of yet.
    pub untold: VecDeque<Arc<Bind>>,
    /// What a restart reads.
    pub log: Vec<Logged>,
    pub applied: Vector,
    /// Of each origin the context of its last effect that has been applied.
    pub heard: BTreeMap<NodeId, Vector>,
}

#[derive(Debug)]
pub struct Cluster {
    pub rng: Rng,
    pub now_ms: u64,
    pub voters: Voters,
    pub nodes: BTreeMap<NodeId, Node>,
    pub written: BTreeMap<NodeId, Vec<Written>>,
    pub net: Vec<(NodeId, NodeId, Message)>,
    pub binds: BTreeMap<Dot, Arc<Bind>>,
    pub verdicts: BTreeMap<Dot, Vote>,
    pub answers: BTreeMap<Dot, Result<(), TxnError>>,
    /// How many voters are still members.
    pub left: usize,
    pub loss_percent: usize,
    pub crash_percent: usize,
    /// Nobody forgets, so that what is in memory can be compared with the log.
    pub audit: bool,
}

pub fn origin(node: NodeId) -> Origin {
    Origin::new(node, 1)
}

impl Cluster {
    pub fn new(n: u64, seed: u64) -> Self {
        let node = |id| Node {
            up: true,
            side: 0,
            binds: Binds::new(id, TIMING),
            untold: VecDeque::new(),
            log: Vec::new(),
            applied: Vector::new(),
            heard: BTreeMap::new(),
        };
        Self {
            rng: Rng(seed),
            now_ms: 1_000,
            voters: Voters::new(1..=n).expect("voters"),
            nodes: (1..=n).map(|id| (id, node(id))).collect(),
            written: (1..=n).map(|id| (id, Vec::new())).collect(),
            net: Vec::new(),
            binds: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            answers: BTreeMap::new(),
            left: n as usize,
            loss_percent: 0,
            crash_percent: 0,
            audit: true,
        }
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node")
    }

    pub fn linked(&self, a: NodeId, b: NodeId) -> bool {
        let (a, b) = (&self.nodes[&a], &self.nodes[&b]);
        a.up && b.up && a.side == b.side
    }

    /// The node writes an effect: its dot.
    fn write(&mut self, id: NodeId, effect: Effect) -> Dot {
        let context = self.nodes[&id].applied.clone();
        let list = self.written.get_mut(&id).expect("a node");
        list.push(Written { effect, context });
        let dot = Dot { origin: origin(id), seq: list.len() as u64 };
        self.node(id).applied.add(dot);
        dot
    }

    pub fn write_plain(&mut self, id: NodeId, key: Key) {
        self.write(id, Effect::Plain(key));
    }

    /// Begins a transaction there, if it may be.
    pub fn begin(&mut self, id: NodeId, keys: Vec<KeyUse>) -> Option<Dot> {
        let dot = self.write_bind(id, keys)?;
        self.tell_own(id);
        Some(dot)
    }

    /// The same, but the node's state machine hears of it later, and nobody else before.
    pub fn write_bind(&mut self, id: NodeId, keys: Vec<KeyUse>) -> Option<Dot> {
        self.nodes[&id].binds.may_begin(&keys, &self.voters).ok()?;
        let names = |bind: &Bind| bind.keys().iter().any(|used| keys.iter().any(|other| other.key == used.key));
        if self.nodes[&id].untold.iter().any(|bind| names(bind)) {
            return None;
        }
        let seq = self.written[&id].len() as u64 + 1;
        let dot = Dot { origin: origin(id), seq };
        let stamp = Stamp::new(dot, Hlc::at_ms(self.now_ms as i64).plus(seq));
        let voters = self.voters.clone();
        let bind = Bind::new((dot, stamp), voters, &self.nodes[&id].applied, keys, Safety::Safe).expect("few keys");
        let bind = Arc::new(bind);
        self.binds.insert(dot, Arc::clone(&bind));
        assert_eq!(self.write(id, Effect::Bind(Arc::clone(&bind))), dot);
        self.node(id).untold.push_back(bind);
        Some(dot)
    }

    /// The node's state machine hears of all that was begun there.
    pub fn tell_own(&mut self, id: NodeId) {
        while self.nodes[&id].up
            && let Some(bind) = self.node(id).untold.pop_front()
        {
            self.node(id).log.push(Logged::Bind(Arc::clone(&bind), false));
            self.step(id, Input::Begin(bind));
        }
    }

    /// The node takes the next effect of an origin, if its context is there already and somebody within reach has it.
    pub fn apply_next(&mut self, id: NodeId, from: NodeId) -> bool {
        let seq = self.nodes[&id].applied.get(origin(from)) + 1;
        let dot = Dot { origin: origin(from), seq };
        let Some(written) = self.written[&from].get(seq as usize - 1).cloned() else { return false };
        let within_reach =
            self.ids().into_iter().any(|peer| self.linked(id, peer) && self.nodes[&peer].applied.has(dot));
        let is_untold = self.nodes[&from].untold.front().is_some_and(|bind| bind.dot() <= dot);
        if id == from || is_untold || !within_reach || !self.nodes[&id].applied.covers(&written.context) {
            return false;
        }
        let input = match written.effect {
            Effect::Plain(_) => None,
            Effect::Verdict(bind, vote) => {
                self.node(id).log.push(Logged::Verdict { bind, vote, dot });
                Some(Input::Verdict { bind, vote, dot })
            }
            Effect::Bind(bind) => {
                let plain = self.holds_plain(id, &bind);
                self.node(id).log.push(Logged::Bind(Arc::clone(&bind), plain));
                Some(Input::Bind { bind, conflicts_with_plain: plain })
            }
        };
        let node = self.node(id);
        node.applied.add(dot);
        node.heard.insert(from, written.context);
        input.into_iter().for_each(|input| self.step(id, input));
        true
    }

    /// Whether the node has a plain write on a key of the bind that the bind has not observed.
    fn holds_plain(&self, id: NodeId, bind: &Bind) -> bool {
        let applied = &self.nodes[&id].applied;
        self.written.iter().any(|(from, list)| {
            (1..=applied.get(origin(*from))).any(|seq| match &list[seq as usize - 1].effect {
                Effect::Plain(key) => {
                    !bind.observed(Dot { origin: origin(*from), seq })
                        && bind.keys().iter().any(|used| used.key == *key)
                }
                _ => false,
            })
        })
    }

    pub fn step(&mut self, id: NodeId, input: Input) {
        let now_ms = self.now_ms;
        let outputs = self.node(id).binds.step(now_ms, input);
        let crash_at = self.rng.percent(self.crash_percent).then(|| self.rng.below(outputs.len() + 1));
        for (at, output) in outputs.into_iter().enumerate() {
            if crash_at == Some(at) {
                break;
            }
            self.carry_out(id, output);
        }
        if crash_at.is_some() {
            self.node(id).up = false;
        } else if self.audit && self.rng.percent(10) {
            self.audit(id);
        }
    }

    fn carry_out(&mut self, id: NodeId, output: Output) {
        match output {
            Output::Persist(record) => {
                self.node(id).log.push(Logged::Record(record.clone()));
                if let Record::Decided(dot, vote) = record {
                    self.decided(dot, vote);
                }
            }
            Output::Send(to, message) => {
                assert_ne!(to, id, "no message to itself");
                if !self.rng.percent(self.loss_percent) {
                    self.net.push((id, to, message));
                }
            }
            Output::EmitVerdict(bind, vote) => {
                self.decided(bind, vote);
                let dot = self.write(id, Effect::Verdict(bind, vote));
                self.node(id).log.push(Logged::Verdict { bind, vote, dot });
                let now_ms = self.now_ms;
                let more = self.node(id).binds.step(now_ms, Input::Verdict { bind, vote, dot });
                assert!(more.is_empty(), "its own verdict tells a node nothing: {more:?}");
            }
            Output::Answer(dot, answer) => {
                assert!(self.answers.insert(dot, answer).is_none(), "{dot:?} was answered twice");
                let verdict = self.verdicts.get(&dot).map(|vote| vote.commit);
                match answer {
                    Ok(()) => assert_eq!(verdict, Some(true), "{dot:?} was answered before it was committed"),
                    Err(TxnError::RegionPartitioned) => assert!(self.nodes[&id].binds.verdict(dot).is_none()),
                    Err(_) => assert_eq!(verdict, Some(false), "{dot:?} was refused before it was aborted"),
                }
            }
            Output::EmitSerialize(..) => {}
            other => panic!("a safe bind led to {other:?}"),
        }
    }

    /// The properties: a verdict is for ever, has its quorum in logs, and is not that of two competitors.
    fn decided(&mut self, dot: Dot, vote: Vote) {
        if let Some(before) = self.verdicts.get(&dot) {
            assert_eq!(before.commit, vote.commit, "{dot:?} has two verdicts");
            return;
        }
        let accepted = Logged::Record(Record::Accepted(dot, vote));
        let votes = self.nodes.values().filter(|node| node.log.contains(&accepted)).count();
        let needed = if vote.ballot.0 == 0 { self.voters.fast() } else { self.voters.majority() };
        assert!(votes >= needed.min(self.left), "{dot:?} was decided by {votes} votes of {}", self.voters.len());
        if vote.commit {
            let bind = &self.binds[&dot];
            let committed = self.verdicts.iter().filter(|(_, vote)| vote.commit).map(|(dot, _)| &self.binds[dot]);
            for other in committed {
                assert!(!bind.competes(other), "{:?} and {dot:?} compete, and both are committed", other.dot());
            }
        }
        self.verdicts.insert(dot, vote);
    }

    /// What a node would know after a crash is what it knows, and it holds no two competitors as accepted to commit.
    fn audit(&self, id: NodeId) {
        let node = &self.nodes[&id];
        let accepted = node.binds.dump().into_iter().filter_map(|item| match item {
            Logged::Record(Record::Accepted(dot, vote)) if vote.commit => Some(&self.binds[&dot]),
            _ => None,
        });
        let held: Vec<_> = accepted.filter(|bind| node.binds.verdict(bind.dot()) != Some(false)).collect();
        for (a, b) in held.iter().flat_map(|a| held.iter().map(move |b| (a, b))) {
            assert!(!a.competes(b), "node {id} holds both {:?} and {:?}", a.dot(), b.dot());
        }
        let again = Binds::restore(id, TIMING, self.now_ms, node.log.iter().cloned());
        let sorted = |binds: &Binds| binds.dump().into_iter().collect::<BTreeSet<_>>();
        assert_eq!(sorted(&again), sorted(&node.binds), "node {id} would forget something");
    }

    pub fn restart(&mut self, id: NodeId) {
        let now_ms = self.now_ms;
        let node = self.node(id);
        if !node.up {
            // Whether anything was concurrent with these is not known: then it was.
            node.log.extend(node.untold.drain(..).map(|bind| Logged::Bind(bind, true)));
            node.binds = Binds::restore(id, TIMING, now_ms, node.log.iter().cloned());
            node.up = true;
        }
    }

    /// What all members have said, in their streams, that they have.
    pub fn stable(&mut self, id: NodeId) {
        let node = &self.nodes[&id];
        let others = self.nodes.keys().filter(|peer| **peer != id);
        let cut = others.fold(node.applied.clone(), |cut, peer| {
            let mut heard = node.heard.get(peer).cloned().unwrap_or_default();
            heard.add(Dot { origin: origin(*peer), seq: node.applied.get(origin(*peer)) });
            cut.meet(&heard)
        });
        self.step(id, Input::Stable(cut));
    }

    /// Delivers a message, or loses it if there is no way.
    pub fn deliver(&mut self, at: usize) {
        let (from, to, message) = self.net.swap_remove(at);
        if self.nodes[&to].up && self.nodes[&from].side == self.nodes[&to].side {
            self.step(to, Input::Message(from, message));
        }
    }

    /// Everything is well from now on; runs until every bind has its verdict on every node.
    pub fn heal(&mut self) {
        (self.loss_percent, self.crash_percent) = (0, 0);
        for id in self.ids() {
            self.restart(id);
            self.tell_own(id);
            self.node(id).side = 0;
        }
        for _ in 0..400 {
            self.settle();
            if self.nodes.values().all(|node| node.binds.counts().1 == 0) {
                return;
            }
            self.now_ms += 250;
            self.ids().into_iter().for_each(|id| self.step(id, Input::Tick));
        }
        let open: Vec<_> = self.nodes.iter().map(|(id, node)| (id, node.binds.counts().1)).collect();
        panic!("after healing nodes have binds without a visible verdict: {open:?}");
    }

    /// Delivers all that is under way, in some order.
    pub fn settle(&mut self) {
        loop {
            let ids = self.ids();
            let mut moved = false;
            for id in &ids {
                for from in &ids {
                    moved |= self.nodes[id].up && self.apply_next(*id, *from);
                }
            }
            if !self.net.is_empty() {
                let at = self.rng.below(self.net.len());
                self.deliver(at);
            } else if !moved {
                return;
            }
        }
    }

    /// All nodes have the verdicts that were found.
    pub fn agree(&self) {
        for (id, node) in &self.nodes {
            for (dot, vote) in &self.verdicts {
                let known = node.binds.verdict(*dot);
                assert!(known.is_none_or(|commit| commit == vote.commit), "node {id} has another verdict on {dot:?}");
                assert!(known.is_some() || !self.audit, "node {id} has no verdict on {dot:?}");
            }
        }
    }
}
