//! Replicas with exclusive transactions: whatever comes before the verdict and whatever behind it, all are what the algebra says.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::{Dot, Vector};
use engine::{Begun, ExclusiveError, Lock};
use proptest::prelude::*;
use resp::{OwnedArgs, Protocol, Reply};

use super::super::{Call, Executor};
use super::group::{Group, NOW_MS, REPLICAS, Replica, look, words};
use super::restarts::{self, End};
use super::{cases, command};
use crate::table;

mod behind;

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    Plain(restarts::Event),
    /// A replica begins a transaction, if it has seen the verdict on the one before.
    Begin(usize, Vec<Vec<String>>),
    /// A replica says how it ends, if it has it.
    Decide(usize),
}

/// The transactions of a group, one after the other: they never compete.
#[derive(Default)]
struct Transactions {
    /// The last one, whether it is to be committed, and the first verdict.
    last: Option<(Begun, bool, Option<Dot>)>,
    begun: usize,
}

/// Runs commands as EXEC does.
fn begin(executor: &mut Executor, commands: &[Vec<String>]) -> Begun {
    try_begin(executor, commands).expect("the log takes it")
}

fn try_begin(executor: &mut Executor, commands: &[Vec<String>]) -> Result<Begun, ExclusiveError> {
    try_begin_as(executor, commands, &[b"s"], false)
}

/// The same, with these keys watched.
pub(super) fn try_begin_as(
    executor: &mut Executor,
    commands: &[Vec<String>],
    watched: &[&[u8]],
    is_unsafe: bool,
) -> Result<Begun, ExclusiveError> {
    executor.engine().fill().expect("what is at rest can be read");
    let now_ms = executor.engine().now_ms();
    let Executor { engine, recycled, tools } = executor;
    let mut context = engine.context(Lock::All, 0, now_ms, recycled);
    context.out.set_exclusive();
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    for words in commands {
        let args: OwnedArgs = words.iter().map(String::as_str).collect();
        let spec = table::find(words[0].as_bytes()).expect("a command");
        let call = Call { spec, args: args.as_args(), db: 0, protocol: Protocol::Resp2, now_ms };
        let ran = tools.command_of_transaction(&mut context, &call, &mut reply);
        assert!(ran.is_ok(), "{words:?}");
    }
    let watched: Vec<_> = watched.iter().map(|key| (0, (*key).into())).collect();
    context.commit_exclusive(&watched, &[1, 2, 3], &|_| is_unsafe)
}

impl Transactions {
    fn begin(&mut self, replica: &mut Replica, commands: &[Vec<String>]) {
        let vector = replica.executor.engine().vector();
        let is_over = self.last.as_ref().is_none_or(|(.., verdict)| verdict.is_some_and(|dot| vector.has(dot)));
        let is_of_keys = commands.iter().all(|words| !words[0].starts_with("flush") && !words[0].starts_with("swap"));
        if is_over && is_of_keys {
            self.begun += 1;
            let begun = begin(&mut replica.executor, commands);
            // It leaves the node when it is durable.
            replica.sync();
            self.last = Some((begun, !self.begun.is_multiple_of(4), None));
        }
    }

    fn decide(&mut self, replica: &Replica) {
        let Some((begun, commit, verdict)) = &mut self.last else { return };
        if replica.executor.engine().vector().has(begun.bind) {
            let decided = replica.executor.engine().emit_verdict(begun.bind, *commit, 7).expect("the log takes it");
            if let Some((decided, _)) = decided {
                verdict.get_or_insert(decided.dot);
            }
        }
    }
}

impl Transactions {
    /// Whether no transaction will come that has not observed what a copy of a replica has, but not in its log.
    fn can_copy(&self, group: &Group, from: usize) -> bool {
        let vector = group.0[from].executor.engine().vector();
        let is_known = self.last.as_ref().is_none_or(|(begun, ..)| vector.has(begun.bind));
        is_known && group.0.iter().all(|replica| replica.executor.engine().vector().covers(&vector))
    }

    /// A verdict that nobody has any more is found again.
    fn forget_lost(&mut self, group: &Group) {
        if let Some((.., verdict)) = &mut self.last {
            verdict.take_if(|dot| !group.0.iter().any(|replica| replica.executor.engine().vector().has(*dot)));
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        62 => restarts::event().prop_map(Event::Plain),
        8 => (0..REPLICAS, prop::collection::vec(command(), 1..4)).prop_map(|(at, commands)| Event::Begin(at, commands)),
        8 => (0..REPLICAS).prop_map(Event::Decide),
    ]
}

pub(super) fn group() -> (Group, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(NOW_MS));
    let group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
    keep_log(&group);
    (group, clock)
}

/// As the driver does: what somebody lacks stays in the log.
pub(super) fn keep_log(group: &Group) {
    let vectors: Vec<Vector> = group.0.iter().map(|replica| replica.executor.engine().vector()).collect();
    let all = vectors.iter().fold(vectors[0].clone(), |all, one| all.meet(one));
    group.0.iter().for_each(|replica| replica.executor.engine().keep_log(all.clone(), u64::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transactions_come_before_what_they_had_not_observed(events in prop::collection::vec(event(), 1..120)) {
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
                Event::Decide(at) => transactions.decide(&group.0[*at]),
            }
        }
        group.heal();
        group.check()?;
        group.crash_all()?;
        transactions.decide(&group.0[0]);
        transactions.decide(&group.0[1]);
        group.heal();
        group.check()?;
        group.calm()?;
    }
}

#[test]
fn an_undecided_transaction_is_not_seen_and_holds_its_keys() {
    let (mut group, _clock) = group();
    group.0[0].run(&words("set s 1"));
    group.heal();
    let begun = begin(&mut group.0[0].executor, &[words("incrby s 10"), words("hset h f1 1")]);
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "s")[0], "$1 1 ");
        assert_eq!(replica.executor.engine().undecided().len(), 1);
    }
    group.0[1].run(&words("set s 100"));
    group.heal();
    (0..REPLICAS).for_each(|id| group.0[id].run(&words(&format!("set alive:{id} 1"))));
    group.heal();
    for replica in &mut group.0 {
        // All of it is stable, and still the transaction comes before.
        let engine = replica.executor.engine();
        engine.note_stable(&engine.vector(), None);
        assert_eq!(look(&mut replica.executor, "s")[0], "$3 100 ");
    }
    let (decided, _) = group.0[2].executor.engine().emit_verdict(begun.bind, true, 0).expect("logged").expect("news");
    assert_eq!((decided.bind, decided.committed), (begun.bind, true));
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "s")[0], "$3 100 ", "the SET comes behind it");
        assert_eq!(look(&mut replica.executor, "h")[0], " $1 $2 *2 1 f1");
        assert!(replica.executor.engine().emit_verdict(begun.bind, true, 0).expect("no news").is_none());
    }
    group.check().expect("all are what the algebra says");
}

#[test]
fn a_transaction_that_has_failed_leaves_nothing_behind() {
    let (mut group, _clock) = group();
    group.0[0].run(&words("set s 1"));
    group.heal();
    let begun = begin(&mut group.0[0].executor, &[words("set s 2")]);
    group.heal();
    group.0[1].executor.engine().emit_verdict(begun.bind, false, 3).expect("logged").expect("news");
    group.0[1].run(&words("incr s"));
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "s")[0], "$1 2 ");
        assert!(replica.executor.engine().undecided().is_empty());
    }
    group.check().expect("all are what the algebra says");
}

/// Who found the verdict has seen it, whatever the context of its batches says of others.
#[test]
fn whoever_has_decided_writes_behind_the_verdict() {
    let (mut group, clock) = group();
    let tick = || clock.fetch_add(1, Ordering::Relaxed);
    group.0[0].run(&words("set s 0"));
    tick();
    let begun = begin(&mut group.0[1].executor, &[words("sadd s x")]);
    tick();
    group.0[2].run(&words("set s 0 ex 5000"));
    group.commit(1, &begun);
    for command in ["del s", "incr s"] {
        tick();
        group.0[1].run(&words(command));
    }
    group.heal();
    group.check().expect("all are what the algebra says");
}

#[test]
fn a_deadline_that_the_transaction_left_stays() {
    let (mut group, _clock) = group();
    group.0[0].run(&words("set s 0 ex 5000"));
    group.0[1].run(&words("incr s"));
    let begun = begin(&mut group.0[0].executor, &[words("append s 0")]);
    group.heal();
    group.commit(2, &begun);
    group.heal();
    assert_eq!(look(&mut group.0[0].executor, "s")[0], "$1 1 ");
    group.check().expect("all are what the algebra says");
}

#[test]
fn what_clashes_with_an_undecided_transaction_is_not_begun() {
    let (mut group, _clock) = group();
    // It writes h and reads s, as all of them do.
    let begun = begin(&mut group.0[0].executor, &[words("hset h f1 1")]);
    group.heal();
    let mut refused = |commands: &str| {
        let refused = try_begin(&mut group.0[1].executor, &[words(commands)]);
        matches!(refused, Err(ExclusiveError::Undecided))
    };
    assert!(refused("hset h f2 2"), "both write h");
    assert!(refused("set s 1"), "the other has read s");
    assert!(!refused("sadd m x"), "reading the same is no competition");
    assert_eq!(look(&mut group.0[1].executor, "h").last().unwrap(), ":-2 ", "nothing of them is left");
    group.commit(2, &begun);
    group.heal();
    begin(&mut group.0[1].executor, &[words("hset h f2 2")]);
}

/// What a transaction has not observed and a copy has in its rows only is in there as well.
#[test]
fn a_copy_has_the_undecided_transactions_and_what_they_come_before() {
    let (mut group, _clock) = group();
    group.0[0].run(&words("set s 1"));
    group.heal();
    let begun = begin(&mut group.0[0].executor, &[words("append s 0")]);
    group.0[1].run(&words("incrby s 5"));
    group.heal();
    group.event(&restarts::Event::Copy(1, 2));
    assert_eq!(group.0[2].executor.engine().undecided(), [begun.bind]);
    group.commit(2, &begun);
    group.heal();
    assert_eq!(look(&mut group.0[2].executor, "s")[0], "$2 15 ");
    group.check().expect("all are what the algebra says");
}

#[test]
fn a_checkpoint_has_the_verdicts_that_some_have_not_seen() {
    let (mut group, _clock) = group();
    let begun = begin(&mut group.0[0].executor, &[words("set s 1 ex 5000")]);
    group.commit(0, &begun);
    group.event(&restarts::Event::Checkpoint(0, Vec::new(), true));
    group.event(&restarts::Event::Restart(0, End::Crash));
    group.0[1].run(&words("incr s"));
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "s")[0], "$1 2 ");
    }
    group.check().expect("all are what the algebra says");
}

#[test]
fn what_an_undecided_transaction_has_seen_is_not_given_up_when_it_expires() {
    let (mut group, _clock) = group();
    group.0[0].run(&words("set s 1 ex 5000"));
    group.heal();
    let begun = begin(&mut group.0[0].executor, &[words("persist s")]);
    group.heal();
    for _ in 0..2 {
        group.event(&restarts::Event::Pass(6_000_000));
        (0..REPLICAS).for_each(|id| group.0[id].run(&words(&format!("set alive:{id} 1"))));
        group.heal();
        (0..REPLICAS).for_each(|id| group.settle(id));
    }
    group.event(&restarts::Event::Pass(1_000));
    assert_eq!(look(&mut group.0[0].executor, "s").last().unwrap(), ":-2 ");
    group.commit(1, &begun);
    group.heal();
    for replica in &mut group.0 {
        let said = look(&mut replica.executor, "s");
        assert_eq!((&*said[0], said.last().unwrap().as_str()), ("$1 1 ", ":-1 "));
    }
    group.check().expect("all are what the algebra says");
}
