//! A group of replicas, each an engine with commands in front, and what reaches them when.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::reduce::Plain;
use effect::wire::Reader;
use effect::{Batches, Deadline, Dot, Folded, GroupKeyspace, GroupKeyspaces, Hlc, Op, Origin, Vector};
use engine::{
    AtRest, Begun, Digest, Engine, Fed, Feeder, GroupKeyspaceChange, KeyspaceError, Lock, Options, ReceiveError,
    Received, Recycled,
};
use proptest::prelude::*;
use resp::{OwnedArgs, Protocol};

use super::super::{Call, Executor, Fetch, Ran, Wait};
use super::algebra;
use crate::cx::Env;
use crate::table;

pub(super) const NOW_MS: i64 = 1_700_000_000_000;
pub(super) const REPLICAS: usize = 3;
/// More than clocks differ, also those that began anew after a crash.
const AHEAD_MS: i64 = 20_000;

/// What happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A replica runs a command.
    Run(usize, Vec<String>),
    /// The next record of the first reaches the second, if its writer had not seen more.
    Deliver(usize, usize),
    /// All that is known to be stable is settled at a replica.
    Settle(usize),
}

pub(super) struct Replica {
    pub(super) executor: Executor,
    pub(super) feeder: Feeder,
    pub(super) id: usize,
    pub(super) clock: Arc<AtomicI64>,
    pub(super) dir: tempfile::TempDir,
    /// What this node wrote, in all its lives, with what it had fsynced when it said so.
    pub(super) sent: Vec<(Fed, Vector)>,
    /// What each other had fsynced when it wrote the last that has come from it.
    pub(super) heard: Vec<Vector>,
    /// What is fsynced, and up to where that stands.
    pub(super) durable: Vector,
    pub(super) synced: wal::Position,
}

pub(super) fn options(id: usize, clock: &Arc<AtomicI64>) -> Options {
    let mut entropy = [7; 22];
    entropy[..6].copy_from_slice(&[0, 0, 0, 0, 0, id as u8 + 1]);
    let clock = Arc::clone(clock);
    let clock = move || clock.load(Ordering::Relaxed) + id as i64 * 700;
    let mut options = Options { fills: false, state_bytes: 200, ..Options::new(Arc::new(clock), entropy) };
    options.log.segment_bytes = wal::MIN_SEGMENT_BYTES;
    options
}

pub(super) fn open(id: usize, clock: &Arc<AtomicI64>, dir: &Path) -> Executor {
    let engine = Engine::open(dir, options(id, clock)).expect("the engine opens");
    // Only when a test says so.
    engine.set_reclaiming(false);
    Executor::new(Arc::new(engine), Arc::new(Env::default()), 42 + id as u64)
}

impl Replica {
    pub(super) fn open(id: usize, clock: &Arc<AtomicI64>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let executor = open(id, clock, dir.path());
        executor.engine().set_replicating(true).expect("the log takes it");
        let synced = executor.engine().log().sync().expect("the log is synced");
        let feeder = executor.engine().feed(Vector::new(), false).expect("the log is whole");
        let (sent, heard, durable) = (Vec::new(), vec![Vector::new(); REPLICAS], Vector::new());
        Self { executor, feeder, id, clock: Arc::clone(clock), dir, sent, heard, durable, synced }
    }

    pub(super) fn node(&self) -> u64 {
        self.executor.engine().origin().node()
    }

    pub(super) fn vector(&self) -> Vector {
        self.executor.engine().vector()
    }

    pub(super) fn run(&mut self, words: &[String]) {
        run(&mut self.executor, words);
        // A record for each command, or for a few.
        if words.len().is_multiple_of(2) {
            self.send();
        }
    }

    pub(super) fn send(&mut self) {
        self.executor.engine().log().write_out().expect("the log is written");
        let (node, before) = (self.node(), self.sent.len());
        while let Some(fed) = self.feeder.next_record().expect("the log can be read") {
            let is_new = self.sent.iter().all(|(sent, _)| !covers(sent, &fed));
            if fed.first.origin.node() == node && is_new {
                let said = self.sent.last().map(|(_, said)| said.clone()).unwrap_or_default();
                self.sent.push((fed, said));
            }
        }
        // What is said of others' effects may only be said behind all that was written before.
        if self.sent.len() > before
            && let Some((_, said)) = self.sent.last_mut()
        {
            said.clone_from(&self.durable);
        }
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.executor.engine().log().sync().expect("the log is synced");
        self.durable = self.vector();
    }

    /// Takes the record; false if what its writer had applied is not here.
    fn receive(&mut self, from: usize, (fed, said): &(Fed, Vector)) -> bool {
        let engine = self.executor.engine();
        // Records of an odd number of bytes come batch by batch.
        let received = match fed.record.len() % 2 {
            0 => loop {
                match engine.receive_record(&fed.record, &fed.context) {
                    Ok(Received::Part(_) | Received::Undecided { .. } | Received::Decided(..)) => {}
                    Ok(Received::Shown(bind)) => drop(engine.undo(bind).expect("it can be read")),
                    received => break received,
                }
            },
            _ => Batches::decode(&fed.record).try_fold(Received::Known, |_, batch| {
                let batch = batch.expect("it was read before");
                match engine.receive(&batch, &fed.context) {
                    Ok(Received::Shown(bind)) => {
                        engine.undo(bind).expect("it can be read");
                        engine.receive(&batch, &fed.context)
                    }
                    received => received,
                }
            }),
        };
        match received {
            Ok(_) => {}
            Err(ReceiveError::Early { .. }) => return false,
            Err(error) => panic!("{error}"),
        }
        self.heard[from].join(said);
        true
    }

    fn digest(&self, now_ms: i64) -> Digest {
        self.executor.engine().fill().expect("what is at rest can be read");
        digest(self.executor.engine(), now_ms)
    }
}

/// Whether a record that was sent is another one, or has it.
fn covers(sent: &Fed, fed: &Fed) -> bool {
    sent.first.origin == fed.first.origin && sent.first.seq <= fed.first.seq && fed.next_seq <= sent.next_seq
}

pub(super) fn run(executor: &mut Executor, words: &[String]) -> String {
    let now_ms = executor.engine().now_ms();
    run_at(executor, words, now_ms)
}

/// `keyspace set name pattern safe|unsafe` (`-`: no pattern), or `keyspace del name`: what a server makes of KEYSPACE.
fn run_keyspace(engine: &Engine, words: &[String]) -> String {
    let changed = match &words[1..] {
        [_, name, pattern, safety] => {
            let patterns = (pattern != "-").then(|| vec![pattern.clone().into_bytes()]);
            engine.define_group_keyspace(name, &GroupKeyspaceChange { patterns, is_unsafe: Some(safety == "unsafe") })
        }
        [_, name] => engine.delete_group_keyspace(name),
        _ => panic!("{words:?}"),
    };
    assert!(matches!(changed, Ok(_) | Err(KeyspaceError::Unknown)), "{changed:?}");
    String::new()
}

/// The keyspaces of the group, as a replica shows them.
pub(super) fn keyspaces(engine: &Engine) -> String {
    let text = |keyspace: &GroupKeyspace| {
        let safety = if keyspace.is_unsafe { "unsafe" } else { "safe" };
        let patterns = keyspace.patterns.iter().map(|pattern| format!(" {}", pattern.escape_ascii()));
        format!("{}{} {safety}", keyspace.name, patterns.collect::<String>())
    };
    engine.group_keyspaces().iter().map(text).filter(|text| text != "default safe").collect::<Vec<_>>().join(", ")
}

fn run_at(executor: &mut Executor, words: &[String], now_ms: i64) -> String {
    if words[0] == "keyspace" {
        return run_keyspace(executor.engine(), words);
    }
    let args: OwnedArgs = words.iter().map(String::as_str).collect();
    let spec = table::find(words[0].as_bytes()).unwrap_or_else(|| panic!("{words:?} is no command"));
    let call = Call { spec, args: args.as_args(), db: 0, protocol: Protocol::Resp2, now_ms };
    let mut out = Vec::new();
    assert!(matches!(executor.run(&call, Wait::No, Fetch::Here, &mut out), Ran::Done(_)), "{words:?}");
    out.escape_ascii().to_string().replace("\\r\\n", " ")
}

/// What commands say of a key, for whoever looks for what went wrong.
pub(super) fn look(executor: &mut Executor, key: &str) -> Vec<String> {
    let now_ms = executor.engine().now_ms();
    look_at(executor, key, now_ms)
}

fn look_at(executor: &mut Executor, key: &str, now_ms: i64) -> Vec<String> {
    let commands = ["get #", "hgetall #", "smembers #", "zrange # 0 -1 withscores", "lrange # 0 -1", "pexpiretime #"];
    let said = commands.iter().map(|command| {
        let said = run_at(executor, &words(&command.replace('#', key)), now_ms);
        let mut said: Vec<&str> = said.split(' ').collect();
        if command.starts_with('h') || command.starts_with("sm") {
            said.sort_unstable();
        }
        said.join(" ")
    });
    said.filter(|said| !said.starts_with("-WRONGTYPE") && !["$-1 ", "*0 "].contains(&said.as_str())).collect()
}

fn digest(engine: &Engine, now_ms: i64) -> Digest {
    let (mut recycled, at_rest) = (Recycled::new(), AtRest::default());
    let mut context = engine.context(Lock::All, 0, now_ms, &mut recycled);
    context.know(&at_rest);
    let digest = context.state.digest().map_err(|_| "nothing is at rest").expect("a digest");
    context.abort();
    digest
}

pub(super) struct Group(pub(super) Vec<Replica>);

impl Group {
    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Run(at, words) => self.0[*at].run(words),
            Step::Deliver(from, to) if from != to => drop(self.deliver(*from, *to)),
            Step::Deliver(..) => {}
            Step::Settle(at) => self.settle(*at),
        }
    }

    /// What all others are known to have fsynced, by what they have sent, is settled at a replica.
    pub(super) fn settle(&mut self, at: usize) {
        self.0[at].sync();
        // Of a life that is over one may have what another has not, and what was written since need not have observed it.
        let lives: Vec<Origin> = self.0.iter().map(|replica| replica.executor.engine().origin()).collect();
        let past = |replica: &Replica| replica.vector().iter().filter(|dot| !lives.contains(&dot.origin)).collect();
        let pasts: Vec<Vector> = self.0.iter().map(past).collect();
        if pasts.iter().any(|past| *past != pasts[0]) {
            return;
        }
        let replica = &self.0[at];
        let others = (0..REPLICAS).filter(|other| *other != at);
        let stable = others.fold(replica.durable.clone(), |stable, other| stable.meet(&replica.heard[other]));
        let engine = Arc::clone(replica.executor.engine());
        let hlc = self.stable_hlc(&stable);
        engine.note_stable(&stable, Some(hlc));
    }

    /// Up to which timestamp nothing is, or ever will be, that is not in the vector.
    fn stable_hlc(&mut self, stable: &Vector) -> Hlc {
        let mut lowest = Hlc(u64::MAX);
        for replica in &mut self.0 {
            replica.send();
            lowest = lowest.min(replica.executor.engine().backup_moment().expect("the log is synced").last);
            for (fed, _) in &replica.sent {
                for batch in Batches::decode(&fed.record) {
                    let batch = batch.expect("it was read before");
                    let lacks = |n: &u64| !stable.has(Dot { seq: batch.first.seq + n, ..batch.first });
                    if let Some(n) = (0..batch.len()).find(lacks) {
                        lowest = lowest.min(Hlc(batch.hlc.plus(n).0 - 1));
                    }
                }
            }
        }
        lowest
    }

    /// Whether one came.
    pub(super) fn deliver(&mut self, from: usize, to: usize) -> bool {
        let (has, own) = (self.0[to].vector(), self.0[to].executor.engine().origin());
        let lacks = |(fed, _): &&(Fed, Vector)| fed.first.origin != own && has.get(fed.first.origin) < fed.next_seq - 1;
        let Some(next) = self.0[from].sent.iter().find(lacks).cloned() else { return false };
        self.0[to].receive(from, &next)
    }

    /// All that one has written and the other may take.
    pub(super) fn tell(&mut self, from: usize, to: usize) {
        self.0[from].send();
        while self.deliver(from, to) {}
    }

    /// Everything reaches everybody.
    pub(super) fn heal(&mut self) {
        for replica in &mut self.0 {
            replica.sync();
            replica.send();
        }
        loop {
            let mut came = false;
            // To itself, what a crash took from it.
            for (from, to) in (0..REPLICAS).flat_map(|from| (0..REPLICAS).map(move |to| (from, to))) {
                while self.deliver(from, to) {
                    came = true;
                }
            }
            if !came {
                return;
            }
        }
    }

    /// This transaction is committed, as that replica says first.
    pub(super) fn commit(&self, at: usize, begun: &Begun) {
        self.0[at].executor.engine().emit_verdict(begun.bind, true, 0).expect("logged").expect("news");
    }

    /// Who says something more has heard of everything: then all of it is stable, and nothing is kept of it.
    pub(super) fn calm(&mut self) -> Result<(), TestCaseError> {
        (0..REPLICAS).for_each(|id| self.0[id].run(&words(&format!("set alive:{id} 1"))));
        self.heal();
        for id in 0..REPLICAS {
            self.settle(id);
            let engine = self.0[id].executor.engine();
            prop_assert!(engine.undecided().is_empty() && engine.unstable_keys() <= REPLICAS);
        }
        self.check()
    }

    /// What the algebra makes of all effects, as a database of its own.
    fn reduced(&self, now_ms: i64, outcomes: &BTreeMap<Dot, bool>) -> (Executor, tempfile::TempDir, GroupKeyspaces) {
        let mut due: Vec<&Fed> = self.0.iter().flat_map(|replica| &replica.sent).map(|(fed, _)| fed).collect();
        let (mut ordered, mut applied) = (Vec::new(), Vector::new());
        while !due.is_empty() {
            let before = due.len();
            due.retain(|fed| {
                let is_next = applied.get(fed.first.origin) + 1 == fed.first.seq && applied.covers(&fed.context);
                if is_next {
                    applied.add(Dot { seq: fed.next_seq - 1, ..fed.first });
                    ordered.push(*fed);
                }
                !is_next
            });
            assert!(due.len() < before, "causality has no circles");
        }
        let mut all = algebra::reduce(&ordered, outcomes);
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let executor = open(9, &Arc::new(AtomicI64::new(now_ms)), dir.path());
        let mut numbers: Vec<u8> = (0..16).collect();
        all.swaps.sort();
        all.swaps.iter().for_each(|(_, a, b)| numbers.swap(usize::from(*a), usize::from(*b)));
        for ((physical, key), reduced) in &all.keys {
            let db = &(numbers.iter().position(|number| number == physical).expect("a database") as u8);
            let Some(shown) = reduced.shown() else { continue };
            let mut bytes = Vec::new();
            let home = executor.engine().origin().0;
            shown.write(home, &mut bytes);
            let value = Folded::decode(home, &mut Reader::new(&bytes)).expect("it was written");
            let deadline = shown.deadline.map_or(Deadline::Clear, Deadline::At);
            let op = match &shown.value {
                Plain::String(value) => Op::Set { value, deadline },
                _ => Op::Replace { value, deadline },
            };
            let mut recycled = Recycled::new();
            let mut context = executor.engine().context(Lock::All, *db, now_ms, &mut recycled);
            context.out.emit(key, false, op);
            context.commit().expect("the log takes it");
        }
        (executor, dir, all.keyspaces)
    }

    /// All replicas are what the algebra says.
    pub(super) fn check(&mut self) -> Result<(), TestCaseError> {
        self.check_as(&BTreeMap::new())
    }

    /// The same, with transactions that end so, if nobody has said how they do.
    pub(super) fn check_as(&mut self, outcomes: &BTreeMap<Dot, bool>) -> Result<(), TestCaseError> {
        // Later than every timestamp, so that all hide the same.
        let now_ms = self.0[0].clock.load(Ordering::Relaxed) + AHEAD_MS;
        let (mut expected, _dir, keyspaces) = self.reduced(now_ms, outcomes);
        let digest = digest(expected.engine(), now_ms);
        for (id, replica) in self.0.iter_mut().enumerate() {
            for key in ["s", "h", "m", "n", "z", "l", "t"] {
                let [here, there] = [&mut replica.executor, &mut expected].map(|one| look_at(one, key, now_ms));
                prop_assert_eq!(here, there, "{} at {}", key, id);
            }
            prop_assert_eq!(replica.digest(now_ms), digest);
            prop_assert_eq!(&replica.executor.engine().group_keyspaces()[..], &keyspaces.shown()[..], "at {}", id);
        }
        Ok(())
    }
}

pub(super) fn words(command: &str) -> Vec<String> {
    command.split(' ').map(String::from).collect()
}
