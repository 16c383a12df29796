//! The state machine: what comes in, what goes out, and time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use effect::{Dot, Origin, Vector};

use crate::bind::ballot::NodeId;
use crate::bind::error::{TxnError, Why};
use crate::bind::horizon::HorizonSet;
use crate::bind::leaders::Leaders;
use crate::bind::message::{Input, Logged, Message, Output, Peers, Record, Refusal, Vote};
use crate::bind::proposer::{Begun, Source};
use crate::bind::safety::Safety;
use crate::bind::table::{Held, Table};
use crate::bind::transaction::Bind;

/// How long things take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timing {
    /// Until an originator asks those again that have not voted.
    pub resend_ms: u64,
    /// Until a voter tries to decide a bind itself; it doubles with each try.
    pub recover_ms: u64,
    /// What is added to that for each place among the voters.
    pub stagger_ms: u64,
    /// Until a client is told that there is no majority.
    pub deadline_ms: u64,
}

/// All transactions of one node in one causal group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Binds {
    pub(crate) node: NodeId,
    pub(crate) timing: Timing,
    pub(crate) table: Table,
    /// The highest round of a ballot that was heard of.
    pub(crate) round: u64,
    /// Votes from before this life of the node are forgotten.
    pub(crate) since: Option<Origin>,
    /// The epoch, and its members, once they are told.
    pub(crate) members: Option<(u64, BTreeSet<NodeId>)>,
    /// The last epoch of which all members have been met.
    pub(crate) met: Option<u64>,
    /// Undecided binds that were begun here.
    pub(crate) begun: usize,
    pub(crate) horizon: HorizonSet,
    pub(crate) leaders: Leaders,
    pub(crate) peers: Peers,
    /// Whether round trips were ever measured.
    pub(crate) measured: bool,
    pub(crate) forwarded: BTreeMap<u64, u64>,
    /// What is stable: binds in it that are not in the table are past.
    stable: Vector,
    /// Undone before a restart, and not reported yet.
    missed: Vec<(Dot, Dot)>,
}

/// What a step has to say so far.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) now_ms: u64,
    node: NodeId,
    out: Vec<Output>,
    inbox: VecDeque<Message>,
}

impl Step {
    pub(crate) fn push(&mut self, output: Output) {
        self.out.push(output);
    }

    /// Sends a message; one to the node itself is taken in at the end of the step.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        match to == self.node {
            true => self.inbox.push_back(message),
            false => self.out.push(Output::Send(to, message)),
        }
    }
}

impl Binds {
    /// The state machine of a node that has none of its past.
    pub fn new(node: NodeId, timing: Timing) -> Self {
        Self {
            node,
            timing,
            table: Table::default(),
            round: 0,
            since: None,
            members: None,
            met: None,
            begun: 0,
            horizon: HorizonSet::default(),
            leaders: Leaders::default(),
            peers: Peers::default(),
            measured: false,
            forwarded: BTreeMap::new(),
            stable: Vector::new(),
            missed: Vec::new(),
        }
    }

    /// The state machine as it was, from the log: binds, verdicts and records, in their order.
    pub fn restore(node: NodeId, timing: Timing, now_ms: u64, logged: impl IntoIterator<Item = Logged>) -> Self {
        let mut binds = Self::new(node, timing);
        logged.into_iter().for_each(|item| binds.read_back(item, now_ms));
        let dots: Vec<Dot> = binds.table.open().map(|held| held.bind.dot()).collect();
        for dot in dots {
            let Some(held) = binds.table.get(dot) else { continue };
            let mine = held.bind.originator() == node && held.decided.is_none();
            let next_ms = now_ms + binds.first_pause_ms(&held.bind);
            binds.begun += usize::from(mine);
            if let Some(held) = binds.table.get_mut(dot) {
                held.begun = mine.then(Begun::in_an_earlier_life);
                held.next_ms = next_ms;
            }
        }
        binds.missed = binds.missed();
        binds
    }

    fn read_back(&mut self, item: Logged, now_ms: u64) {
        match item {
            Logged::Bind(bind, plain) => {
                let safety = bind.safety();
                self.put(&bind).plain = plain;
                if safety == Safety::Unsafe {
                    self.arrive_unsafe(bind.dot(), now_ms);
                }
            }
            Logged::Verdict { bind, vote, dot } => {
                self.note_decided(bind, vote);
                self.note_verdict(bind, dot);
                let is_new = |held: &Held| held.bind.safety() == Safety::Unsafe && held.shown.is_none();
                if self.table.get(bind).is_some_and(is_new) {
                    self.shown(bind, vote.commit);
                }
            }
            Logged::Record(Record::Promised(dot, ballot)) => self.promised(dot, ballot),
            Logged::Record(Record::Accepted(dot, vote)) => self.accepted(dot, vote),
            Logged::Record(Record::Decided(dot, vote)) => self.note_decided(dot, vote),
            Logged::Record(Record::Forgot(life)) => self.since = Some(life),
            Logged::Record(Record::Met(epoch)) => self.met = Some(epoch),
            Logged::Record(Record::Shown(shown)) => shown.into_iter().for_each(|(dot, commit)| self.shown(dot, commit)),
        }
    }

    fn note_decided(&mut self, dot: Dot, vote: Vote) {
        let Some(held) = self.table.get_mut(dot) else { return };
        held.decided.get_or_insert(vote);
        if vote.commit {
            let bind = Arc::clone(&held.bind);
            let losers: Vec<Dot> = self.table.competitors(&bind).map(|held| held.bind.dot()).collect();
            losers.into_iter().for_each(|loser| self.mark_beaten(loser, dot));
        }
    }

    /// What [`Binds::restore`] needs to make the same state again: for a checkpoint, after which the log is cut.
    pub fn dump(&self) -> Vec<Logged> {
        let of_node = [self.since.map(Record::Forgot), self.met.map(Record::Met)];
        let mut logged: Vec<Logged> = of_node.into_iter().flatten().map(Logged::Record).collect();
        logged.extend(self.table.iter().map(|held| Logged::Bind(Arc::clone(&held.bind), held.plain)));
        let records = self.table.iter().flat_map(|held| {
            let dot = held.bind.dot();
            let promised = (held.promised.0 > 0).then_some(Record::Promised(dot, held.promised));
            let accepted = held.accepted.map(|vote| Record::Accepted(dot, vote));
            let decided = held.decided.map(|vote| Record::Decided(dot, vote));
            let shown = held.shown.map(|commit| Record::Shown(vec![(dot, commit)]));
            let before = held.undone.then(|| Record::Shown(vec![(dot, true)]));
            [promised, accepted, decided, before, shown].into_iter().flatten().map(Logged::Record)
        });
        logged.extend(records);
        let verdict = |held: &Held| {
            let (vote, dot) = (held.decided?, held.verdict?);
            Some(Logged::Verdict { bind: held.bind.dot(), vote, dot })
        };
        logged.extend(self.table.iter().filter_map(verdict));
        logged
    }

    /// Takes in what happened at `now_ms`, and says what is to be done, in order.
    pub fn step(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        let mut step = Step { now_ms, node: self.node, out: Vec::new(), inbox: VecDeque::new() };
        let missed = std::mem::take(&mut self.missed);
        self.report_missed(missed, &mut step);
        match input {
            Input::Begin(bind) => self.begin_either(&bind, &mut step),
            Input::Bind { bind, conflicts_with_plain } => self.arrive(&bind, conflicts_with_plain, &mut step),
            Input::Verdict { bind, vote, dot } => {
                match self.table.get(bind).map(|held| held.bind.safety()) {
                    Some(Safety::Unsafe) => self.decide_unsafe(bind, vote, &mut step),
                    _ => self.decide(bind, vote, Source::Effect, &mut step),
                }
                self.note_verdict(bind, dot);
                self.settle_due(&mut step);
            }
            Input::Failed(bind) => self.take_back(bind, &mut step),
            Input::Forgot(life) => self.forgot(life, &mut step),
            Input::Members { epoch, members, met } => self.meet(epoch, members, met, &mut step),
            Input::Message(from, message) => self.message(from, message, &mut step),
            Input::Recover(dot) => self.recover(dot, &mut step),
            Input::Tick => self.tick(&mut step),
            Input::Peers(peers) => self.note_peers(peers, &step),
            Input::Stable(stable) => {
                self.forget(&stable);
                self.settle_due(&mut step);
            }
            Input::Exec { id, keys, exec, forwarded } => self.exec(id, &keys, exec, forwarded, &mut step),
            Input::Lost(key, times) => self.lost(&key, times, &mut step),
            Input::Replied(id) => drop(self.forwarded.remove(&id)),
            Input::Serialize { key, leader, stamp } => self.leaders.serialize(key, leader, stamp, now_ms),
        }
        while let Some(message) = step.inbox.pop_front() {
            self.message(self.node, message, &mut step);
        }
        step.out
    }

    pub(crate) fn put(&mut self, bind: &Arc<Bind>) -> &mut Held {
        self.table.put(bind)
    }

    /// Whether nothing concurrent with the effect can come any more.
    pub(crate) fn is_stable(&self, dot: Dot) -> bool {
        self.stable.has(dot)
    }

    /// Whether the bind was known and has been forgotten.
    pub(crate) fn is_past(&self, dot: Dot) -> bool {
        self.stable.has(dot) && self.table.get(dot).is_none()
    }

    /// How long a voter waits until it does something about a bind that it has just heard of.
    pub(crate) fn first_pause_ms(&self, bind: &Bind) -> u64 {
        match bind.voters().index(self.node) {
            Some(_) if bind.originator() == self.node => self.timing.resend_ms,
            Some(index) => self.pause_ms(index, 0),
            None => self.timing.recover_ms,
        }
    }

    fn begin_either(&mut self, bind: &Arc<Bind>, step: &mut Step) {
        debug_assert_eq!(bind.originator(), self.node, "a bind is begun where it was written");
        match bind.safety() {
            Safety::Safe => self.begin(bind, step),
            Safety::Unsafe => {
                self.begun += 1;
                let held = self.put(bind);
                held.begun = Some(Begun::new(u64::MAX));
                self.arrive_unsafe(bind.dot(), step.now_ms);
                self.show_due(step);
            }
        }
    }

    fn arrive(&mut self, bind: &Arc<Bind>, plain: bool, step: &mut Step) {
        if self.is_past(bind.dot()) || self.table.get(bind.dot()).is_some() {
            return;
        }
        let next_ms = step.now_ms + self.first_pause_ms(bind);
        let held = self.put(bind);
        (held.plain, held.next_ms) = (plain, next_ms);
        match bind.safety() {
            Safety::Safe => self.vote_first(bind.dot(), bind.originator(), step),
            Safety::Unsafe => {
                self.arrive_unsafe(bind.dot(), step.now_ms);
                self.show_due(step);
            }
        }
    }

    fn message(&mut self, from: NodeId, message: Message, step: &mut Step) {
        match message {
            Message::Ask { bind } => self.vote_first(bind, from, step),
            Message::Prepare { bind, ballot } => self.prepare(from, &bind, ballot, step),
            Message::Promise { bind, ballot, report } => self.promise_came(from, bind, ballot, report, step),
            Message::Accept { bind, vote } => self.asked_to_accept(from, &bind, vote, step),
            Message::Voted { bind, vote } if vote.ballot.0 == 0 => self.first_answer(from, bind, None, step),
            Message::Voted { bind, vote } => self.vote_came(from, bind, vote, step),
            Message::Refused { bind, ballot, cause: Refusal::Forgotten } => {
                self.forgotten_by(from, bind, ballot, step);
            }
            Message::Refused { bind, ballot, cause } => {
                self.overtaken(cause);
                if ballot.0 == 0 {
                    self.first_answer(from, bind, Some(cause), step);
                }
            }
            Message::Decided { bind, vote } => self.decide(bind, vote, Source::Message, step),
        }
    }

    fn note_verdict(&mut self, bind: Dot, dot: Dot) {
        if let Some(held) = self.table.get_mut(bind) {
            held.verdict.get_or_insert(dot);
            self.table.close(bind);
            self.table.settle(bind);
        }
    }

    fn tick(&mut self, step: &mut Step) {
        let now_ms = step.now_ms;
        let mut late = Vec::new();
        let mut due = Vec::new();
        for held in self.table.open().filter(|held| held.bind.safety() == Safety::Safe) {
            let dot = held.bind.dot();
            if held.begun.as_ref().is_some_and(|begun| !begun.answered && begun.deadline_ms <= now_ms) {
                late.push(dot);
            }
            if held.next_ms <= now_ms {
                due.push((dot, held.decided));
            }
        }
        for dot in late {
            if let Some(begun) = self.table.get_mut(dot).and_then(|held| held.begun.as_mut()) {
                begun.answered = true;
                step.push(Output::Answer(dot, Err(TxnError::RegionPartitioned)));
            }
        }
        for (dot, decided) in due {
            match decided {
                None => self.press(dot, step),
                Some(vote) => self.emit_again(dot, vote, step),
            }
        }
        self.show_due(step);
        self.table.settling.tick();
        self.settle_due(step);
        self.leaders.tick(self.node, step);
        let (gone, kept) =
            std::mem::take(&mut self.forwarded).into_iter().partition(|(_, until_ms)| *until_ms <= now_ms);
        let gone: BTreeMap<u64, u64> = gone;
        self.forwarded = kept;
        gone.into_keys().for_each(|id| step.push(Output::Refuse(id, TxnError::TryAgain(Why::NoReply))));
    }

    /// Who found the verdict may have died before it was logged as an effect: then whoever knows it logs it.
    fn emit_again(&mut self, dot: Dot, vote: Vote, step: &mut Step) {
        let Some(held) = self.table.get_mut(dot) else { return };
        held.attempts += 1;
        let (attempts, bind) = (held.attempts, Arc::clone(&held.bind));
        let pause_ms = self.pause_ms(bind.voters().index(self.node).unwrap_or(0), attempts);
        if let Some(held) = self.table.get_mut(dot) {
            held.next_ms = step.now_ms + pause_ms;
        }
        step.push(Output::EmitVerdict(dot, vote));
    }

    /// Forgets what nobody will ask for any more: a bind that is stable, with its verdict, and whose competitors have theirs.
    fn forget(&mut self, stable: &Vector) {
        self.stable.join(stable);
        self.table.note_stable(stable);
        let past = |held: &&Held| {
            let outcome = held.verdict.is_some_and(|dot| self.stable.has(dot));
            let over = |other: &Held| other.verdict.is_some() && self.stable.has(other.bind.dot());
            outcome && self.stable.has(held.bind.dot()) && self.table.competitors(&held.bind).all(over)
        };
        let past: Vec<Dot> = self.table.settled().filter(past).map(|held| held.bind.dot()).collect();
        past.into_iter().for_each(|dot| drop(self.table.take(dot)));
    }
}
