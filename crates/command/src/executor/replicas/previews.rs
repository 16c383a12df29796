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
    prop_oneof![
        52 => restarts::event().prop_map(Event::Plain),
        12 => (0..REPLICAS, prop::collection::vec(command(), 1..4)).prop_map(|(at, commands)| Event::Begin(at, commands)),
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
        group.crash_all()?;
        group.calm()?;
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
    group.commit(1, &begun);
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

/// What is written twice is bounded: once much of it is shown, a transaction is safe, and shown at its verdict.
#[test]
fn once_much_is_shown_what_is_begun_is_safe_until_there_is_room_again() {
    const SHOWN_BYTES: usize = 64 << 20;
    let (mut group, _clock) = group();
    let is_unsafe = |begun: &engine::Begun| {
        let batch = Batch::decode(&begun.batch).expect("it was encoded");
        let Op::Bind(bind) = batch.effects().next().expect("a bind").expect("a bind").op else { panic!("a bind") };
        bind.is_unsafe
    };
    let begin = |group: &mut Group, key: &str| {
        try_begin_as(&mut group.0[0].executor, &[words(&format!("append {key} x"))], &[], true)
            .expect("the log takes it")
    };
    let shown = |group: &Group| group.0[0].executor.engine().shown_bytes();
    assert_eq!(shown(&group), 0);
    let mut large = Vec::new();
    while shown(&group) < SHOWN_BYTES {
        let (key, before) = (format!("large:{}", large.len()), shown(&group));
        group.0[0].run(&words(&format!("setrange {key} {} x", 20 << 20)));
        let begun = begin(&mut group, &key);
        assert!(is_unsafe(&begun));
        group.0[0].executor.engine().show(begun.bind).expect("it is in memory");
        let grown = shown(&group) - before;
        assert!((20 << 20..45 << 20).contains(&grown), "it is counted once, as it is without: {grown}");
        large.push(begun.bind);
    }
    assert!(large.len() > 1);
    let safe = begin(&mut group, "d");
    assert!(!is_unsafe(&safe), "there is no room for more");
    group.0[0].executor.engine().show(safe.bind).expect("nothing to read");
    assert_eq!(look(&mut group.0[0].executor, "d").last().unwrap(), ":-2 ", "it waits for its verdict");
    // What is written on a copy is written to both.
    let full = shown(&group);
    group.0[0].run(&words(&format!("setrange large:0 {} x", 60 << 20)));
    assert!(shown(&group) > full + (10 << 20));
    group.0[0].executor.engine().undo(large[0]).expect("it is in memory");
    group.0[0].executor.engine().emit_verdict(large[1], true, 0).expect("logged").expect("news");
    assert!(shown(&group) < SHOWN_BYTES, "{}", shown(&group));
    assert!(is_unsafe(&begin(&mut group, "e")), "there is room again");
    for bind in &large[2..] {
        group.0[0].executor.engine().undo(*bind).expect("it is in memory");
    }
    assert_eq!(shown(&group), 0);
}

/// Whoever starts from it has shown nothing yet.
#[test]
fn a_checkpoint_has_keys_as_they_are_without_what_is_shown() {
    let (mut group, _clock) = group();
    ["set s 1", "rpush l a"].iter().for_each(|command| group.0[0].run(&words(command)));
    group.heal();
    (0..REPLICAS).for_each(|id| group.settle(id));
    let commands = [words("incr s"), words("del l"), words("set n new")];
    let begun = try_begin_as(&mut group.0[0].executor, &commands, &[], true).expect("the log takes it");
    group.heal();
    let read = |group: &mut Group, id: usize| {
        ["s", "l", "n"].map(|key| look(&mut group.0[id].executor, key).first().cloned().unwrap_or_default())
    };
    let before = read(&mut group, 0);
    for id in 0..REPLICAS {
        group.0[id].executor.engine().show(begun.bind).expect("it is in memory");
        let shown = read(&mut group, id);
        assert!((0..3).all(|key| shown[key] != before[key]), "{shown:?}");
        group.0[id].executor.engine().checkpoint().expect("a checkpoint is taken");
        assert_eq!(read(&mut group, id), shown, "who reads goes on to see it");
        group.event(&restarts::Event::Restart(id, End::Crash));
        assert_eq!(read(&mut group, id), before);
    }
    group.check().expect("all are what the algebra says");
    group.commit(0, &begun);
    group.heal();
    group.check().expect("all are what the algebra says");
}

/// Its writer has seen what others have not: there it meets a key of another type.
#[test]
fn what_is_written_on_a_key_whose_type_the_shown_one_has_changed_is_what_the_algebra_says() {
    let histories = [
        ("set t v", "rpush t a", "rpush t b"),
        ("rpush t a", "set t 5", "incr t"),
        ("hset t f 1", "sadd t x", "sadd t y"),
        ("set t v", "zadd t 1 e", "zincrby t 2 e"),
        ("sadd t x", "hset t f 1", "hincrby t f 1"),
        ("set t v", "set t 5 ex 5000", "append t 0"),
        ("rpush t a b", "lpop t", "lset t 0 c"),
    ];
    for ((before, change, behind), commits) in histories.iter().flat_map(|one| [(one, false), (one, true)]) {
        let (mut group, _clock) = group();
        group.0[1].run(&words(before));
        group.heal();
        (0..REPLICAS).for_each(|id| group.0[id].run(&words(&format!("set alive:{id} 1"))));
        group.heal();
        (0..REPLICAS).for_each(|id| group.settle(id));
        let commands = if *change == "lpop t" { vec![words(change)] } else { vec![words("del t"), words(change)] };
        let begun = try_begin_as(&mut group.0[0].executor, &commands, &[], true).expect("the log takes it");
        group.0[0].executor.engine().show(begun.bind).expect("it is in memory");
        group.0[0].run(&words(behind));
        group.heal();
        for id in 0..REPLICAS {
            let engine = group.0[id].executor.engine();
            let seen = if commits { engine.show(begun.bind) } else { engine.undo(begun.bind) };
            seen.expect("it is in memory");
        }
        let case = format!("{before} | {change} | {behind} | {commits}");
        let is_right = |group: &mut Group| group.check_as(&[(begun.bind, commits)].into());
        is_right(&mut group).unwrap_or_else(|error| panic!("{case}: {error}"));
        group.0[2].executor.engine().emit_verdict(begun.bind, commits, 0).expect("logged").expect("news");
        group.heal();
        group.check().unwrap_or_else(|error| panic!("{case}, decided: {error}"));
    }
}
