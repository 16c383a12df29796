//! Random histories: replicas with skewed clocks write what commands decide on what they see, hear of each other in any causal order,
//! with repetitions, and forget what they can know to be stable.

use effect::Origin;
use effect::Vector;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;

use crate::support::group::{Replica, Written};

/// When a history begins, in unix ms.
pub const NOW: i64 = 1_000_000_000;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Theme {
    Mixed,
    Registers,
    Counters,
    Sets,
    Lists,
    Deadlines,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub struct Step {
    pub wait_ms: i64,
    pub who: Index,
    /// Nothing: the replica hears of a batch instead.
    pub commands: Vec<String>,
    pub batch: Index,
    pub forgets: bool,
}

/// A history to come.
#[derive(Debug, Clone)]
pub struct Plan {
    pub replicas: usize,
    pub skews: Vec<i64>,
    pub first: Vec<&'static str>,
    pub steps: Vec<Step>,
    pub by_clock: bool,
}

fn words(templates: &'static [&'static str]) -> impl Strategy<Value = String> {
    let letters = || select(vec!["a", "b", "c"]);
    let numbers = || select(vec!["1", "2", "-3", "5"]);
    (select(templates), letters(), letters(), numbers(), select(vec!["1", "7", "60"])).prop_map(
        |(command, x, y, n, s)| {
            let words = command.split(' ').map(|word| match word {
                "X" => x,
                "Y" => y,
                "N" => n,
                "S" => s,
                word => word,
            });
            words.collect::<Vec<_>>().join(" ")
        },
    )
}

const STRINGS: &[&str] = &[
    "SET k X",
    "SET k N",
    "SET k N",
    "SET k N EX S",
    "SET k N KEEPTTL",
    "INCR k",
    "INCRBY k N",
    "INCRBYFLOAT k 0.25",
    "INCRBYFLOAT k -1.5",
    "APPEND k X",
    "APPEND k N",
    "SETRANGE k 1 X",
    "SETBIT k 9 1",
    "SETBITS k 3 7 99",
    "PFADD k X",
    "RESTORESTRING k Y",
];
const HASHES: &[&str] = &[
    "HSET k X N",
    "HSET k X N",
    "HSET k X N Y N",
    "HSETEX k X N S",
    "HSETEX k X N KEEPTTL",
    "HDEL k X",
    "HINCRBY k X N",
    "HINCRBYFLOAT k X 0.5",
    "HEXPIRE k S X",
    "HPERSIST k X",
    "RESTOREHASH k X 1 c 2",
];
const LISTS: &[&str] = &[
    "RPUSH k X Y",
    "RPUSH k X",
    "LPUSH k X Y",
    "LPOP k",
    "RPOP k",
    "LSET k 0 X",
    "LSET k 1 Y",
    "LREM k 1 X",
    "LINSERT k BEFORE X Y",
    "LINSERT k AFTER X Y",
    "LTRIM k 2",
];
const SETS: &[&str] = &["SADD k X", "SADD k X Y", "SADD! k X", "SREM k X", "SPOP k Y", "RESTORE k S X Y"];
const SCORES: &[&str] =
    &["ZADD k N X", "ZADD k 0.1 X", "ZINCRBY k N X", "ZINCRBY k 0.2 X", "ZINCRBY k +inf Y", "ZREM k X"];
const KEYS: &[&str] = &["DEL k", "EXPIRE k S", "EXPIRE k 60", "PERSIST k", "FLUSHDB", "NOOP k"];

fn command(theme: Theme, home: usize) -> BoxedStrategy<String> {
    match theme {
        Theme::Registers => words(&["HSET k f N", "HSET k f X"]).boxed(),
        Theme::Counters => match home {
            0 => words(&["INCR k", "INCRBY k N"]).boxed(),
            1 => words(&["HINCRBY k X N"]).boxed(),
            _ => words(&["ZINCRBY k N X"]).boxed(),
        },
        Theme::Sets => words(&["SADD k X", "SADD k X Y", "SADD! k X", "SREM k X", "DEL k"]).boxed(),
        Theme::Lists => words(LISTS).boxed(),
        Theme::Deadlines => words(&["EXPIRE k S", "PERSIST k", "INCR k"]).boxed(),
        // Mostly of one type, so that there is something to merge.
        Theme::Mixed => {
            let own = [STRINGS, HASHES, LISTS, SETS, SCORES][home % 5];
            let any = prop_oneof![words(STRINGS), words(HASHES), words(LISTS), words(SETS), words(SCORES)];
            prop_oneof![7 => words(own), 2 => words(KEYS), 1 => any].boxed()
        }
    }
}

fn step(theme: Theme, home: usize) -> impl Strategy<Value = Step> {
    let commands = prop_oneof![
        4 => vec(command(theme, home), 1),
        1 => vec(command(theme, home), 2..4),
        6 => Just(Vec::new()),
    ];
    let wait = prop_oneof![4 => Just(0i64), 3 => 0i64..50, 1 => 0i64..4000];
    (wait, any::<Index>(), commands, any::<Index>(), prop::bool::weighted(0.3))
        .prop_map(|(wait_ms, who, commands, batch, forgets)| Step { wait_ms, who, commands, batch, forgets })
}

/// Plans of a theme.
pub fn plan(theme: Theme) -> impl Strategy<Value = Plan> {
    let homes = if theme == Theme::Mixed { 5 } else { 3usize };
    (0..homes, 2usize..=4, vec(prop_oneof![Just(0i64), -3000i64..3000], 4), any::<bool>()).prop_flat_map(
        move |(home, replicas, skews, by_clock)| {
            let first = if theme == Theme::Deadlines { vec!["SET k 1"] } else { Vec::new() };
            vec(step(theme, home), 1..28).prop_map(move |mut steps| {
                if theme == Theme::Deadlines {
                    // Nothing expires while the history lasts.
                    steps.iter_mut().for_each(|step| step.wait_ms = step.wait_ms.min(5));
                }
                let reach = if theme == Theme::Deadlines { 100 } else { 3000 };
                let skews = skews.iter().map(|skew| skew % reach).collect();
                Plan { replicas, skews, first: first.clone(), steps, by_clock }
            })
        },
    )
}

/// A history as it happens.
pub struct History {
    pub replicas: Vec<Replica>,
    pub batches: Vec<Written>,
    pub origins: Vec<Origin>,
    pub now: i64,
    pub forgets: bool,
    pub by_clock: bool,
}

impl History {
    pub fn new(plan: &Plan) -> Self {
        let mut replicas: Vec<Replica> = (1..=plan.replicas as u64).map(Replica::new).collect();
        replicas.iter_mut().zip(&plan.skews).for_each(|(replica, skew)| replica.skew = *skew);
        let origins = replicas.iter().map(|replica| replica.origin).collect();
        let mut history =
            Self { replicas, batches: Vec::new(), origins, now: NOW, forgets: true, by_clock: plan.by_clock };
        for command in &plan.first {
            let batch = history.replicas[0].write(NOW, &[command]);
            history.replicas.iter_mut().skip(1).for_each(|replica| replica.receive(&batch));
            history.batches.push(batch);
        }
        history
    }

    pub fn write_at(&mut self, who: usize, step: &Step) -> Written {
        self.now += step.wait_ms;
        let commands: Vec<&str> = step.commands.iter().map(String::as_str).collect();
        let batch = self.replicas[who].write(self.now, &commands);
        if !batch.is_empty() {
            self.batches.push(batch.clone());
        }
        batch
    }

    /// Lets everything happen; `check` sees each replica to which something did.
    pub fn run(
        &mut self,
        plan: &Plan,
        mut check: impl FnMut(&Replica) -> Result<(), TestCaseError>,
    ) -> Result<(), TestCaseError> {
        for step in &plan.steps {
            let who = step.who.index(self.replicas.len());
            if !step.commands.is_empty() {
                self.write_at(who, step);
            } else {
                self.hear(who, step.batch);
            }
            if step.forgets && self.forgets {
                let stable = self.replicas[who].stable(&self.origins, self.by_clock);
                self.replicas[who].forget(&stable);
            }
            check(&self.replicas[who])?;
        }
        Ok(())
    }

    /// A batch reaches a replica: one that it awaits, if there is any.
    fn hear(&mut self, who: usize, which: Index) {
        let replica = &mut self.replicas[who];
        let awaited: Vec<&Written> = self.batches.iter().filter(|batch| replica.awaits(batch)).collect();
        if !awaited.is_empty() {
            let batch = *which.get(&awaited);
            replica.receive(batch);
        }
    }

    /// Everybody hears of everything.
    pub fn deliver_all(&mut self) {
        for replica in &mut self.replicas {
            while let Some(batch) = self.batches.iter().find(|batch| replica.awaits(batch)) {
                replica.receive(batch);
            }
        }
        let all: Vector = self.batches.iter().flatten().map(|entry| entry.dot).collect();
        assert!(self.replicas.iter().all(|replica| replica.applied == all));
    }
}
