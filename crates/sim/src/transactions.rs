//! The driver of the nodes' exclusive transactions: what clients begin, and what comes of it.
//!
//! *Invariant:* a bind is told to [`causal::bind::Binds`], and leaves its node, only when it is durable in that node's log.

use std::sync::Arc;

use causal::Entry;
use causal::bind::{Bind, Binds, Input, KeyUse, Logged, Message, Output, Record, Safety, Timing, Vote, Voters};
use effect::{Dot, Origin, Stamp};

use crate::batch::{self, KEYS, Kind};
use crate::cluster::{Cluster, Event};
use crate::disk::Disk;
use crate::fault::Fault;

/// How long things take.
const TIMING: Timing = Timing { resend_ms: 100, recover_ms: 400, stagger_ms: 100, deadline_ms: 1_500 };

/// What a start on a disk knows of transactions: what was persisted, what the log has and no record was made of before a crash, and verdicts.
pub fn open(node: u64, now_ms: i64, disk: &Disk) -> Binds {
    let is_noted = |dot: Dot| disk.votes.iter().any(|item| matches!(item, Logged::Bind(bind, _) if bind.dot() == dot));
    let kinds = || disk.log.iter().filter(|entry| Kind::is_exclusive(entry)).map(|entry| (entry, Kind::of(entry)));
    let verdicts: Vec<Logged> = kinds()
        .filter_map(|(entry, kind)| match kind {
            Kind::Verdict(bind, vote) => Some(Logged::Verdict { bind, vote, dot: entry.last() }),
            _ => None,
        })
        .collect();
    let is_decided = |dot| verdicts.iter().any(|item| matches!(item, Logged::Verdict { bind, .. } if *bind == dot));
    // Whether a plain write was there before it is not known any more: then there was one.
    let unnoted: Vec<Logged> = kinds()
        .filter_map(|(_, kind)| match kind {
            Kind::Bind(bind) if !is_noted(bind.dot()) && !is_decided(bind.dot()) => Some(Logged::Bind(bind, true)),
            _ => None,
        })
        .collect();
    let logged = unnoted.into_iter().chain(disk.votes.iter().cloned()).chain(verdicts);
    Binds::restore(node, TIMING, now_ms.unsigned_abs(), logged)
}

impl Cluster {
    /// A client begins a transaction at a node, if it may be.
    pub(crate) fn begin(&mut self, id: u64, boot: u32) {
        if !self.runs(id, boot) || !self.is_bad {
            return;
        }
        let ms = self.rng.between(1, 2 * self.plan.bind_ms) as i64;
        self.after(ms, Event::Begin(id, boot));
        let keys = self.some_keys();
        // Nodes differ in what they take for safe.
        let is_unsafe = self.plan.unsafe_percent > 0 && self.rng.percent(self.plan.unsafe_percent);
        let safety = if is_unsafe { Safety::Unsafe } else { Safety::Safe };
        let now_ms = self.now_ms;
        let leave: Vec<u64> = self.nodes.values().filter(|n| !n.is_wanted).map(|n| n.id).collect();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(life) = &node.life else { return };
        let Some(voters) = Voters::new(life.replica.epoch().members.iter().copied()) else { return };
        // What has arrived and is not durable is in the context, and `Binds` has not been told of it.
        // Votes of fewer than a majority are lost, see `Cluster::can_spare`; a node may be in an epoch of which more have left.
        let has_voters = leave.iter().filter(|id| voters.contains(**id)).count() < voters.majority();
        let is_ready = life.replica.may_write() && life.arrived.is_empty() && has_voters;
        if !is_ready || life.binds.may_begin_as(safety, &keys, &voters).is_err() {
            return;
        }
        let first = Dot { origin: life.replica.origin(), seq: node.disk.has.get(life.replica.origin()) + 1 };
        let Some(hlc) = node.stamp(now_ms + node.skew_ms, 1) else { return };
        let Some(grown) = node.grown() else { return };
        let context = node.disk.has.clone();
        let bytes = batch::bind_bytes(safety, &keys, &voters, &context).into();
        let Some(bind) = Bind::new((first, Stamp::new(first, hlc)), voters, &context, keys, safety) else {
            return;
        };
        let (entry, bind) = (Entry { first, count: 1, hlc, ticks: 0, grown, bytes }, Arc::new(bind));
        self.checks.begun(&bind);
        self.log_own(id, &entry);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.disk.sync(node.disk.log.len());
        }
        // It is in the log, and nobody has heard of it.
        if self.rng.one_in(60) {
            return self.crash_for_a_while(id);
        }
        if self.plan.fault == Some(Fault::TellsEarly) {
            self.checks.told(bind.dot(), Ok(()));
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.disk.votes.push(Logged::Bind(Arc::clone(&bind), false));
        }
        self.wrote(id, entry);
        self.step(id, Input::Begin(bind));
        self.synced_now(id);
    }

    fn some_keys(&mut self) -> Vec<KeyUse> {
        let mut keys = Vec::new();
        while keys.is_empty() {
            for name in 0..KEYS {
                let (read, written) = (self.rng.one_in(5), self.rng.one_in(4));
                if read || written {
                    keys.push(KeyUse { key: batch::key(name), read, written });
                }
            }
        }
        keys
    }

    /// Tells the transactions of a node something, and does what they answer; perhaps only the beginning of it, before the power fails.
    pub(crate) fn step(&mut self, id: u64, input: Input) {
        let now_ms = self.now_ms.unsigned_abs();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (boot, Some(life)) = (node.boot, &mut node.life) else { return };
        let outputs = life.binds.step(now_ms, input);
        let crashes = self.is_bad && !outputs.is_empty() && self.rng.one_in(self.plan.steps_to_crash);
        let crash_at = crashes.then(|| self.rng.below(outputs.len() + 1));
        for (at, output) in outputs.into_iter().enumerate() {
            if crash_at == Some(at) || !self.runs(id, boot) {
                break;
            }
            self.act(id, output);
        }
        if crash_at.is_some() && self.runs(id, boot) {
            self.crash_for_a_while(id);
        }
    }

    fn act(&mut self, id: u64, output: Output) {
        match output {
            Output::Persist(record) => {
                if let Record::Decided(dot, vote) = &record {
                    self.checks.verdict(id, *dot, vote.commit);
                }
                let is_lost = self.plan.fault == Some(Fault::ForgetsShown) && matches!(record, Record::Shown(_));
                if let Some(node) = self.nodes.get_mut(&id).filter(|_| !is_lost) {
                    node.disk.votes.push(Logged::Record(record));
                }
            }
            Output::Send(to, message) => self.post(id, to, message),
            Output::EmitVerdict(bind, vote) => self.emit(id, bind, vote),
            Output::Answer(bind, answer) => self.checks.told(bind, answer),
            Output::EmitSerialize(..) => {}
            Output::Show(bind, commit) => {
                if let Some(node) = self.nodes.get_mut(&id).filter(|_| commit) {
                    node.previewed.insert(bind);
                }
            }
            Output::Undone { .. } if self.plan.fault == Some(Fault::LosesReports) && self.rng.one_in(10) => {}
            Output::Undone { bind, .. } => {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.disk.undone.insert(bind);
                }
            }
            other => self.checks.fail("transactions do what they say", format!("node {id}: {other:?}")),
        }
    }

    /// Logs a verdict. A node that may not write leaves it to another, or to a later time.
    fn emit(&mut self, id: u64, bind: Dot, mut vote: Vote) {
        if self.plan.fault == Some(Fault::SwallowsVerdicts) {
            return;
        }
        if self.plan.fault == Some(Fault::TurnsVerdicts) && self.rng.one_in(10) {
            vote.commit = !vote.commit;
        }
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(life) = node.life.as_ref().filter(|life| life.replica.may_write()) else { return };
        let first = Dot { origin: life.replica.origin(), seq: node.disk.has.get(life.replica.origin()) + 1 };
        let Some(hlc) = node.stamp(now_ms + node.skew_ms, 1) else { return };
        let Some(grown) = node.grown() else { return };
        let bytes = batch::verdict_bytes(bind, vote).into();
        let entry = Entry { first, count: 1, hlc, ticks: 0, grown, bytes };
        self.checks.verdict(id, bind, vote.commit);
        if self.checks.failed().is_some() {
            return;
        }
        self.log_own(id, &entry);
        self.look(id);
        self.wrote(id, entry);
        self.begin_sync(id);
        self.step(id, Input::Verdict { bind, vote, dot: first });
    }

    /// A batch of another life or node is in the log.
    pub(crate) fn took_in(&mut self, id: u64, entry: &Entry) {
        if !Kind::is_exclusive(entry) {
            return;
        }
        let kind = Kind::of(entry);
        if let Kind::Verdict(dot, vote) = &kind {
            self.checks.verdict(id, *dot, vote.commit);
            self.look(id);
        }
        if let Some(life) = self.nodes.get_mut(&id).and_then(|node| node.life.as_mut()) {
            life.arrived.push_back((entry.last(), kind));
        }
    }

    /// Tells the transactions of a node what is stable; after all that had come before it was. Else what competes with one that is forgotten would
    /// be news.
    pub(crate) fn tell_stable(&mut self, id: u64) {
        let Some(life) = self.nodes.get_mut(&id).and_then(|node| node.life.as_mut()) else { return };
        if life.arrived.is_empty()
            && let Some(stable) = life.stable.take()
        {
            self.step(id, Input::Stable(stable));
        }
    }

    /// Tells the transactions of a node what has become durable.
    pub(crate) fn tell_durable(&mut self, id: u64) {
        loop {
            let Some(node) = self.nodes.get_mut(&id) else { return };
            let (durable, Some(life)) = (&node.disk.durable, &mut node.life) else { return };
            let Some((dot, kind)) = life.arrived.pop_front_if(|(dot, _)| durable.has(*dot)) else { break };
            let input = match kind {
                Kind::Bind(bind) => {
                    let conflicts_with_plain = life.state.conflicts(&bind);
                    node.disk.votes.push(Logged::Bind(Arc::clone(&bind), conflicts_with_plain));
                    Input::Bind { bind, conflicts_with_plain }
                }
                Kind::Verdict(bind, vote) => Input::Verdict { bind, vote, dot },
                Kind::Plain(_) | Kind::Definition(..) => continue,
            };
            self.step(id, input);
        }
        self.tell_stable(id);
    }

    /// Tells the transactions of a node who is a member, if that is news.
    pub(crate) fn tell_members(&mut self, id: u64) {
        let Some(life) = self.nodes.get_mut(&id).and_then(|node| node.life.as_mut()) else { return };
        let (epoch, met) = (life.replica.epoch().clone(), life.replica.has_met_all());
        if life.members != Some((epoch.number, met)) {
            life.members = Some((epoch.number, met));
            self.step(id, Input::Members { epoch: epoch.number, members: epoch.members, met });
        }
    }

    /// Tells them that the disk may lack votes.
    pub(crate) fn tell_forgot(&mut self, id: u64, life: Origin) {
        if self.plan.fault != Some(Fault::HidesForgetting) {
            self.step(id, Input::Forgot(life));
        }
    }

    /// For a planted bug: what was persisted is not there.
    pub(crate) fn forget_votes(&mut self, id: u64) {
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.disk.votes.retain(|item| matches!(item, Logged::Bind(..)));
        let binds = open(id, now_ms, &node.disk);
        node.life.iter_mut().for_each(|life| life.binds = binds.clone());
    }

    /// A reader looks at a node.
    pub(crate) fn look(&mut self, id: u64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if let Some(life) = &node.life {
            self.checks.seen(id, &mut node.shown, life.state.as_ref());
        }
    }

    /// Sends a message apart from the streams: it may be lost, come twice, late, and in any order.
    fn post(&mut self, from: u64, to: u64, mut message: Message) {
        if self.plan.fault == Some(Fault::VotesForAll)
            && let Message::Refused { bind, ballot, .. } = message
            && ballot.0 == 0
        {
            message = Message::Voted { bind, vote: Vote { ballot, commit: true } };
        }
        let is_lost = self.is_bad && self.rng.percent(self.plan.loss_percent);
        let times = if self.rng.one_in(15) { 2 } else { 1 };
        if is_lost || self.net.blocked.contains(&(from, to)) {
            return;
        }
        let slow = self.nodes.get(&from).map_or(0, |node| node.slow_ms);
        for _ in 0..times {
            let late = if self.is_bad && self.rng.one_in(25) { self.rng.below(3_000) } else { 0 };
            let ms = (self.rng.between(0, self.plan.latency_ms) + late) as i64 + slow;
            self.after(ms, Event::Message(from, to, Box::new(message.clone())));
        }
    }

    pub(crate) fn message(&mut self, from: u64, to: u64, message: Message) {
        if !self.net.blocked.contains(&(from, to)) {
            self.step(to, Input::Message(from, message));
        }
    }
}
