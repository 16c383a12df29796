//! Replicas with transactions that are seen before the group has decided, here and not there, and undone: in the end all are what the
//! algebra says, and so is what each shows meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use effect::{Batch, Dot, Op, Vector, fork_choice_hash};
use engine::{Lock, WatchFlag};
use proptest::prelude::*;

use super::super::Executor;
use super::exclusive::{group, keep_log, try_begin_as};
use super::group::{Group, REPLICAS, Replica, look, words};
use super::restarts::{self, End};
use super::{cases, command};

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    Plain(restarts::Event),
    /// A replica begins a transaction, if none that it does not see is in the way.
    Begin(usize, Vec<Vec<String>>),
    /// A replica shows a transaction, or undoes what has lost by what it knows: the one with this number, or all.
    Show(usize, Option<usize>),
    /// A replica says how those end of which all competitors are known.
    Decide(usize),
}

/// A transaction, for fork choice.
#[derive(Debug, Clone)]
struct Known {
    bind: Dot,
    rank: [u8; 32],
    context: Vector,
    written: BTreeSet<Vec<u8>>,
    used: BTreeSet<Vec<u8>>,
}

impl Known {
    fn of(batch: &[u8]) -> Self {
        let batch = Batch::decode(batch).expect("it was encoded");
        let Op::Bind(bind) = batch.effects().next().expect("a bind").expect("a bind").op else { panic!("a bind") };
        let keys = |is: &dyn Fn(&effect::codec::BindKey<'_>) -> bool| {
            bind.keys.iter().filter(|key| is(key)).map(|key| [&[key.db], key.key].concat()).collect()
        };
        let context = bind.context.iter().collect();
        let rank = fork_choice_hash(batch.first.origin.node(), batch.hlc);
        Self { bind: batch.first, rank, context, written: keys(&|key| key.written), used: keys(&|_| true) }
    }

    fn observed(&self, other: &Self) -> bool {
        let (own, bind) = (self.bind, other.bind);
        self.context.has(bind) || (own.origin == bind.origin && bind.seq < own.seq)
    }

    fn loses_to(&self, other: &Self) -> bool {
        let clash = !self.written.is_disjoint(&other.used) || !self.used.is_disjoint(&other.written);
        clash && !self.observed(other) && !other.observed(self) && other.rank < self.rank
    }
}

/// All that were begun.
#[derive(Default)]
struct Transactions(Vec<Known>);

impl Transactions {
    fn begin(&mut self, replica: &mut Replica, commands: &[Vec<String>]) {
        if commands.iter().any(|words| words[0].starts_with("flush") || words[0].starts_with("swap")) {
            return;
        }
        if let Ok(begun) = try_begin_as(&mut replica.executor, commands, &[], true) {
            // It leaves the node when it is durable.
            replica.sync();
            self.0.push(Known::of(&begun.batch));
        }
    }

    /// Whether one is committed, by what a replica has.
    fn wins(&self, one: &Known, vector: &Vector) -> bool {
        !self.0.iter().any(|other| vector.has(other.bind) && one.loses_to(other))
    }

    fn show(&self, replica: &Replica, which: Option<usize>) {
        let (engine, vector) = (replica.executor.engine(), replica.vector());
        for (at, one) in self.0.iter().enumerate().filter(|(_, one)| vector.has(one.bind)) {
            if which.is_none_or(|which| which % self.0.len() == at) {
                match self.wins(one, &vector) {
                    true => drop(engine.show(one.bind).expect("it can be read")),
                    false => drop(engine.undo(one.bind).expect("it can be read")),
                }
            }
        }
    }

    /// Of those of which no competitor can come any more.
    fn decide(&self, group: &Group, at: usize) {
        let (engine, vector) = (group.0[at].executor.engine(), group.0[at].vector());
        let is_stable = |bind: Dot| group.0.iter().all(|replica| replica.durable.has(bind));
        // Each behind those that it had observed.
        let mut due: Vec<&Known> = self.0.iter().filter(|one| is_stable(one.bind) && vector.has(one.bind)).collect();
        due.sort_by_key(|one| one.context.iter().map(|dot| dot.seq).sum::<u64>());
        let competitors =
            |one: &Known| self.0.iter().filter(|other| one.loses_to(other)).map(|other| other.bind).collect();
        for one in due {
            let all: Vec<Dot> = competitors(one);
            if all.iter().all(|bind| vector.has(*bind)) {
                engine.emit_verdict(one.bind, all.is_empty(), 0).expect("the log takes it");
            }
        }
    }

    fn outcomes(&self) -> BTreeMap<Dot, bool> {
        let all: Vector = self.0.iter().map(|one| one.bind).fold(Vector::new(), |mut all, bind| {
            all.add(bind);
            all
        });
        self.0.iter().map(|one| (one.bind, self.wins(one, &all))).collect()
    }

    /// What nobody has was never begun.
    fn forget_lost(&mut self, group: &Group) {
        self.0.retain(|one| group.0.iter().any(|replica| replica.vector().has(one.bind)));
    }

    fn can_copy(&self, group: &Group, from: usize) -> bool {
        let vector = group.0[from].vector();
        let is_known = self.0.iter().all(|one| vector.has(one.bind));
        is_known && group.0.iter().all(|replica| replica.vector().covers(&vector))
    }
}

fn event() -> impl Strategy<Value = Event> {
    let commands = prop::collection::vec(command(), 0..12);
    let end = prop_oneof![Just(End::Clean), Just(End::Crash), Just(End::Loss)];
    let transaction = prop::collection::vec(command(), 1..4);
    prop_oneof![
        40 => super::step().prop_map(|step| Event::Plain(restarts::Event::Step(step))),
        4 => (0..REPLICAS).prop_map(|at| Event::Plain(restarts::Event::Sync(at))),
        3 => (0..REPLICAS, commands, prop::bool::weighted(0.8))
            .prop_map(|(at, commands, ends)| Event::Plain(restarts::Event::Checkpoint(at, commands, ends))),
        2 => (0..REPLICAS, end).prop_map(|(at, end)| Event::Plain(restarts::Event::Restart(at, end))),
        1 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, to)| Event::Plain(restarts::Event::Copy(from, to))),
        1 => prop_oneof![Just(1_000), Just(600_000)].prop_map(|ms| Event::Plain(restarts::Event::Pass(ms))),
        12 => (0..REPLICAS, transaction).prop_map(|(at, commands)| Event::Begin(at, commands)),
        14 => (0..REPLICAS, prop::option::weighted(0.7, 0..64usize)).prop_map(|(at, which)| Event::Show(at, which)),
        4 => (0..REPLICAS).prop_map(Event::Decide),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_has_shown_what_all_are_what_the_algebra_says(events in prop::collection::vec(event(), 1..120)) {
        let (mut group, clock) = group();
        let mut transactions = Transactions::default();
        for event in &events {
            clock.fetch_add(1, Ordering::Relaxed);
            match event {
                Event::Plain(restarts::Event::Copy(from, _)) if !transactions.can_copy(&group, *from) => {}
                Event::Plain(event) => {
                    group.event(event);
                    keep_log(&group);
                    transactions.forget_lost(&group);
                }
                Event::Begin(at, commands) => transactions.begin(&mut group.0[*at], commands),
                Event::Show(at, which) => transactions.show(&group.0[*at], *which),
                Event::Decide(at) => transactions.decide(&group, *at),
            }
        }
        group.heal();
        // Nothing is decided that is not: what is shown is what it will be.
        (0..REPLICAS).for_each(|id| transactions.show(&group.0[id], None));
        group.check_as(&transactions.outcomes())?;
        group.0[1].executor.engine().base(&mut || true).expect("a checkpoint is taken");
        group.check_as(&transactions.outcomes())?;
        group.0.iter_mut().for_each(Replica::sync);
        transactions.decide(&group, 0);
        transactions.decide(&group, 1);
        group.heal();
        group.check()?;
        (0..REPLICAS).for_each(|id| group.event(&restarts::Event::Restart(id, End::Crash)));
        group.check()?;
        for id in 0..REPLICAS {
            group.0[id].run(&words(&format!("set alive:{id} 1")));
        }
        group.heal();
        for id in 0..REPLICAS {
            group.settle(id);
            let engine = group.0[id].executor.engine();
            prop_assert!(engine.undecided().is_empty());
            prop_assert!(engine.unstable_keys() <= REPLICAS);
        }
        group.check()?;
    }
}

/// Others do not know that it was seen, and have the deadline that the transaction left.
#[test]
fn a_key_that_has_gone_behind_what_is_shown_has_no_deadline_of_it() {
    let (mut group, _clock) = group();
    let commands = [words("hset h f1 1"), words("expire h 5000")];
    let begun = try_begin_as(&mut group.0[0].executor, &commands, &[], true).expect("the log takes it");
    group.0[0].executor.engine().show(begun.bind).expect("it is in memory");
    ["hdel h f1", "hset h f2 2"].iter().for_each(|command| group.0[0].run(&words(command)));
    group.heal();
    group.0[1].executor.engine().emit_verdict(begun.bind, true, 0).expect("logged").expect("news");
    group.heal();
    for replica in &mut group.0 {
        let said = look(&mut replica.executor, "h");
        assert_eq!((&*said[0], said.last().unwrap().as_str()), (" $1 $2 *2 2 f2", ":-1 "));
    }
    group.check().expect("all are what the algebra says");
}

/// Also at the node that has seen it: what it writes counts as everybody else counts it.
#[test]
fn what_is_written_on_what_is_shown_counts_there_as_it_does_behind_the_verdict() {
    let (mut group, _clock) = group();
    let begun =
        try_begin_as(&mut group.0[1].executor, &[words("set s 0 ex 5000")], &[], true).expect("the log takes it");
    group.0[1].executor.engine().show(begun.bind).expect("it is in memory");
    ["getdel s", "incr s"].iter().for_each(|command| group.0[1].run(&words(command)));
    ["set s 0", "pexpireat s 4000000000000"].iter().for_each(|command| group.0[2].run(&words(command)));
    group.heal();
    for id in 0..REPLICAS {
        group.0[id].executor.engine().show(begun.bind).expect("it is in memory");
    }
    group.check_as(&[(begun.bind, true)].into()).expect("all show what the algebra says");
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "s").last().unwrap(), ":4000000000000 ");
    }
}

/// Whoever watches has read what is taken back, also if nobody has undone it before its verdict.
#[test]
fn who_watches_what_is_shown_hears_that_it_has_failed() {
    for verdict_of in [0, 1] {
        let (mut group, _clock) = group();
        let begun = try_begin_as(&mut group.0[0].executor, &[words("set s 1")], &[], true).expect("the log takes it");
        group.heal();
        group.0[0].executor.engine().show(begun.bind).expect("it is in memory");
        let flag = WatchFlag::default();
        let Executor { engine, recycled, .. } = &mut group.0[0].executor;
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), recycled);
        context.watch(b"s", &flag).expect("it is in memory");
        context.abort();
        group.0[verdict_of].executor.engine().emit_verdict(begun.bind, false, 0).expect("logged").expect("news");
        assert_eq!(flag.is_dirty(), verdict_of == 0);
        group.heal();
        assert!(flag.is_dirty());
        assert_eq!(look(&mut group.0[0].executor, "s").last().unwrap(), ":-2 ");
        group.check().expect("all are what the algebra says");
    }
}
