//! A group of replicas, each an engine with commands in front, and what reaches them when.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::reduce::{Event, Plain, Reduced};
use effect::wire::Reader;
use effect::{Batches, Deadline, Dot, Folded, Op, Stamp, Vector};
use engine::{AtRest, Digest, Engine, Fed, Feeder, Lock, Options, ReceiveError, Received, Recycled};
use proptest::prelude::*;
use resp::{OwnedArgs, Protocol};

use super::super::{Call, Executor, Fetch, Ran, Wait};
use crate::cx::Env;
use crate::table;

pub(super) const NOW_MS: i64 = 1_700_000_000_000;
pub(super) const REPLICAS: usize = 3;

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
    feeder: Feeder,
    sent: Vec<Fed>,
    /// How many records of each other have come, and what the last of them had applied.
    come: [usize; REPLICAS],
    heard: Vec<Vector>,
    _dir: tempfile::TempDir,
}

fn open(id: usize, clock: &Arc<AtomicI64>) -> (Executor, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let mut entropy = [7; 22];
    entropy[..6].copy_from_slice(&[0, 0, 0, 0, 0, id as u8 + 1]);
    let clock = Arc::clone(clock);
    let clock = move || clock.load(Ordering::Relaxed) + id as i64 * 700;
    let options = Options { fills: false, ..Options::new(Arc::new(clock), entropy) };
    let engine = Engine::open(dir.path(), options).expect("the engine opens");
    engine.set_replicating(true);
    (Executor::new(Arc::new(engine), Arc::new(Env::default()), 42 + id as u64), dir)
}

impl Replica {
    pub(super) fn open(id: usize, clock: &Arc<AtomicI64>) -> Self {
        let (executor, dir) = open(id, clock);
        let feeder = executor.engine().feed(Vector::new(), true).expect("the log is whole");
        let heard = vec![Vector::new(); REPLICAS];
        Self { executor, feeder, sent: Vec::new(), come: [0; REPLICAS], heard, _dir: dir }
    }

    pub(super) fn run(&mut self, words: &[String]) {
        run(&mut self.executor, words);
        // A record for each command, or for a few.
        if words.len().is_multiple_of(2) {
            self.send();
        }
    }

    fn send(&mut self) {
        self.executor.engine().log().write_out().expect("the log is written");
        while let Some(fed) = self.feeder.next_record().expect("the log can be read") {
            self.sent.push(fed);
        }
    }

    /// Takes the record; false if what its writer had applied is not here.
    fn receive(&mut self, from: usize, fed: &Fed) -> bool {
        let engine = self.executor.engine();
        // Records of an odd number of bytes come batch by batch.
        let received = match fed.record.len() % 2 {
            0 => loop {
                match engine.receive_record(&fed.record, &fed.context) {
                    Ok(Received::Part(_)) => {}
                    received => break received,
                }
            },
            _ => Batches::decode(&fed.record).try_fold(Received::Known, |_, batch| {
                engine.receive(&batch.expect("it was read before"), &fed.context)
            }),
        };
        match received {
            Ok(_) => {}
            Err(ReceiveError::Early { .. }) => return false,
            Err(error) => panic!("{error}"),
        }
        self.come[from] += 1;
        self.heard[from] = fed.context.clone();
        self.heard[from].add(Dot { seq: fed.next_seq - 1, ..fed.first });
        true
    }

    /// What every other is known to have applied, by what it has sent.
    pub(super) fn settle(&self, id: usize) {
        let all = self.executor.engine().vector();
        let others = (0..REPLICAS).filter(|other| *other != id);
        let stable = others.fold(all, |stable, other| stable.meet(&self.heard[other]));
        self.executor.engine().note_stable(&stable);
    }

    fn digest(&self) -> Digest {
        digest(self.executor.engine(), NOW_MS)
    }
}

pub(super) fn run(executor: &mut Executor, words: &[String]) -> String {
    let args: OwnedArgs = words.iter().map(String::as_str).collect();
    let spec = table::find(words[0].as_bytes()).unwrap_or_else(|| panic!("{words:?} is no command"));
    let now_ms = executor.engine().now_ms();
    let call = Call { spec, args: args.as_args(), db: 0, protocol: Protocol::Resp2, now_ms };
    let mut out = Vec::new();
    assert!(matches!(executor.run(&call, Wait::No, Fetch::Here, &mut out), Ran::Done(_)), "{words:?}");
    out.escape_ascii().to_string().replace("\\r\\n", " ")
}

/// What commands say of a key, for whoever looks for what went wrong.
pub(super) fn look(executor: &mut Executor, key: &str) -> Vec<String> {
    let commands = ["get #", "hgetall #", "smembers #", "zrange # 0 -1 withscores", "lrange # 0 -1", "pexpiretime #"];
    let said = commands.iter().map(|command| {
        let said = run(executor, &words(&command.replace('#', key)));
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
            Step::Settle(at) => self.0[*at].settle(*at),
        }
    }

    /// Whether one came.
    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(fed) = self.0[from].sent.get(self.0[to].come[from]).cloned() else { return false };
        self.0[to].receive(from, &fed)
    }

    /// All that one has written and the other may take.
    pub(super) fn tell(&mut self, from: usize, to: usize) {
        self.0[from].send();
        while self.deliver(from, to) {}
    }

    /// Everything reaches everybody.
    pub(super) fn heal(&mut self) {
        self.0.iter_mut().for_each(Replica::send);
        loop {
            let mut came = false;
            for (from, to) in (0..REPLICAS).flat_map(|from| (0..REPLICAS).map(move |to| (from, to))) {
                while from != to && self.deliver(from, to) {
                    came = true;
                }
            }
            if !came {
                return;
            }
        }
    }

    /// What the algebra makes of all effects, as a database of its own.
    fn reduced(&self) -> (Executor, tempfile::TempDir) {
        let mut due: Vec<&Fed> = self.0.iter().flat_map(|replica| &replica.sent).collect();
        let (mut all, mut applied) = (All::default(), Vector::new());
        while !due.is_empty() {
            let before = due.len();
            due.retain(|fed| {
                let is_next = applied.get(fed.first.origin) + 1 == fed.first.seq && applied.covers(&fed.context);
                if is_next {
                    reduce(fed, &mut all, &mut applied);
                }
                !is_next
            });
            assert!(due.len() < before, "causality has no circles");
        }
        let (executor, dir) = open(9, &Arc::new(AtomicI64::new(NOW_MS)));
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
            let mut context = executor.engine().context(Lock::All, *db, NOW_MS, &mut recycled);
            context.out.emit(key, false, op);
            context.commit().expect("the log takes it");
        }
        (executor, dir)
    }

    /// All replicas are what the algebra says.
    pub(super) fn check(&mut self) -> Result<(), TestCaseError> {
        let (mut expected, _dir) = self.reduced();
        let digest = digest(expected.engine(), NOW_MS);
        for (id, replica) in self.0.iter_mut().enumerate() {
            for key in ["s", "h", "m", "n", "z", "l", "t"] {
                prop_assert_eq!(look(&mut replica.executor, key), look(&mut expected, key), "{} at {}", key, id);
            }
            prop_assert_eq!(replica.digest(), digest);
        }
        Ok(())
    }
}

/// What the algebra has reduced.
#[derive(Default)]
struct All {
    /// By physical database and name.
    keys: HashMap<(u8, Vec<u8>), Reduced>,
    swaps: Vec<(Stamp, u8, u8)>,
}

fn reduce(fed: &Fed, All { keys, swaps }: &mut All, applied: &mut Vector) {
    for batch in Batches::decode(&fed.record) {
        let batch = batch.expect("it was read before");
        for (n, effect) in (0..).zip(batch.effects()) {
            let effect = effect.expect("it was read before");
            let (dot, hlc) = (Dot { seq: batch.first.seq + n, ..batch.first }, batch.hlc.plus(n));
            let mut context = fed.context.clone();
            context.add(Dot { seq: dot.seq - 1, ..dot });
            let apply = |reduced: &mut Reduced| {
                reduced.see(&context);
                reduced.apply(&Event { dot, hlc, context: &context, effect: &effect });
            };
            match effect.op {
                Op::FlushAll => keys.values_mut().for_each(apply),
                Op::FlushDb => keys.iter_mut().filter(|((db, _), _)| *db == effect.db).for_each(|(_, key)| apply(key)),
                Op::SwapDb(other) => swaps.push((Stamp::new(dot, hlc), effect.db, other)),
                _ => apply(keys.entry((effect.db, effect.key.to_vec())).or_default()),
            }
            applied.add(dot);
        }
    }
}

pub(super) fn words(command: &str) -> Vec<String> {
    command.split(' ').map(String::from).collect()
}
