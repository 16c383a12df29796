//! Several replicas that take commands at the same time: whatever reaches them when, all are the same in the end, and what the
//! algebra of merging makes of all effects.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::{Deadline, Op};
use engine::{Lock, Recycled};
use proptest::prelude::*;

mod algebra;
mod commands;
mod deadlines;
mod exclusive;
mod expiry;
mod group;
mod previews;
mod restarts;
mod returns;

use commands::COMMANDS;
use group::{Group, NOW_MS, REPLICAS, Replica, Step, look, run, words};

/// What all have seen; what two replicas do then without knowing of each other. `;` is between commands.
const MEETINGS: &[(&str, &str, &str)] = &[
    ("hset h f1 1;expire h 300", "hdel h f1", "hset h f2 2"),
    ("rpush l a;expire l 300", "lpop l", "rpush l b"),
    ("hset h f1 1;expire h 300", "hgetdel h fields 1 f1", "expire h 500;hset h f2 2"),
    ("set s 1 ex 300", "set s 2 keepttl", "incr s"),
    ("set s 1 ex 300", "getdel s", "append s x"),
    ("set s 5", "incr s", "set s 7;incr s"),
    ("set s 5", "expire s 300", "set s 6 ex 500"),
    ("hset h f1 1;hexpire h 300 fields 1 f1", "hincrby h f1 5", "hset h f1 9"),
    ("hset h f1 1", "hexpire h 300 fields 1 f1", "hdel h f1;hset h f1 2"),
    ("zadd z 1 e1", "zrem z e1", "zincrby z 2 e1"),
    ("zadd z 1 e1", "zincrby z 0.1 e1", "zincrby z 0.2 e1"),
    ("rpush l a b c", "lset l 1 x", "lrem l 1 b"),
    ("rpush l a b c", "lset l 1 x", "lset l 1 y"),
    ("rpush l a b c", "linsert l after a i", "linsert l after a j"),
    ("rpush l a", "lpop l;lpush l b", "lpop l"),
    ("rpush l a b", "rpop l;rpush l c", "lset l -1 x"),
    ("rpush t x", "del t;set t v;expire t 300", "set s 1;set s 2;set s 3;rpush t y"),
    ("hset t f 1", "del t;sadd t x", "hset t g 2"),
    ("", "sadd t x;sadd t y", "hset t f 1;del t"),
    ("", "set t v", "rpush t a"),
    ("set s 1;hset h f1 1", "flushall", "incr s;set t 2"),
    ("set s 1", "flushdb;set s 2", "append s x"),
    ("set s 1", "swapdb 0 1", "swapdb 1 2"),
    ("set s 1;rpush l a b", "rename s t;rename l n", "incr s;rpush l c"),
    ("", "set s 1", "set s 2 ex 500"),
    ("", "set s 1 ex 300", "incr s"),
    ("set s 5", "set s 6", "append s x"),
    ("set s 5", "set s 6", "del s"),
    ("set s 5", "set s 6 ex 300", "expire s 500"),
    ("set s 5", "set s 6 ex 300;persist s", "set s 7 keepttl"),
    ("set s 5", "set s 6;set s 7", "set s 8;incr s"),
    ("set s 5", "set s 6;incr s;set s 7", "decr s"),
    ("set s 5", "set s 6;incr s;set s 7", "del s;rpush s a"),
    ("", "sadd t x;del t;set t 1", "hset t f 1"),
    ("", "set s 1;set s 2;set s 3;sadd t x;del t;set t 1", "append t x;append t y"),
    ("set s 5", "set s 6", "flushdb"),
    ("set s 5", "set s 6 ex 300;set t 1", "set s 7;flushall"),
    ("set s 5", "set s 6", "set t 9;rename t s"),
    ("set s 5;set t 4", "set s 6;swapdb 0 1", "append s x;set t 7"),
    ("set s 5", "set s 6", "getset s 3;setrange s 1 x"),
    ("sadd m e1 e2", "smove m n e1", "srem m e1;sadd n e3"),
    ("sadd m e1 e2", "srem m e1", "srem m e2;sadd m e1 e3"),
    ("keyspace set a x safe", "keyspace set a y unsafe", "keyspace del a"),
    ("keyspace set a x safe;keyspace set b z safe", "keyspace del a;keyspace set a y unsafe", "keyspace set a w safe"),
    ("", "keyspace set a x unsafe", "keyspace set a y safe;keyspace set b z unsafe"),
    ("set s 1;keyspace set s x unsafe", "flushall;swapdb 0 1", "keyspace set default - unsafe;incr s"),
];

/// What happens once all have heard of that, at a third one: what it keeps, it saw.
const AFTERWARDS: &[(&str, &str, &str)] = &[
    ("set s 2 ex 500", "set s 3 ex 100", "set s 4 keepttl"),
    ("set s 2 ex 500", "set s 3", "incr s;set s 4 keepttl"),
    ("hsetex h ex 500 fields 1 f 1", "hsetex h ex 100 fields 1 f 2", "hsetex h keepttl fields 1 f 3"),
];

#[test]
fn a_batch_that_is_given_up_leaves_nothing_behind() {
    let clock = Arc::new(AtomicI64::new(NOW_MS));
    let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
    run(&mut group.0[0].executor, &words("set s 5"));
    group.heal();
    group.0.iter().for_each(|replica| {
        let engine = replica.executor.engine();
        engine.note_stable(&engine.vector(), None);
    });
    {
        let mut recycled = Recycled::new();
        let engine = group.0[0].executor.engine();
        let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
        let one = context.savepoint();
        context.out.emit(b"s", false, Op::Set { value: b"70", deadline: Deadline::Clear });
        context.savepoint();
        context.out.emit(b"s", false, Op::AddInt(1));
        context.savepoint();
        context.restore(one);
        context.out.emit(b"s", false, Op::AddInt(2));
        context.savepoint();
        context.commit().expect("the log takes it");
        drop(context);
        let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
        context.out.emit(b"s", false, Op::Set { value: b"90", deadline: Deadline::Clear });
        context.savepoint();
        context.out.emit(b"s", false, Op::AddInt(1));
        context.savepoint();
        context.abort();
    }
    run(&mut group.0[1].executor, &words("incrby s 100"));
    group.heal();
    group.check().expect("all are what the algebra says");
    assert_eq!(look(&mut group.0[2].executor, "s")[0], "$3 107 ");
}

/// What happens to a key at which replica (`0: set s 1`), who hears whom (`0>1`), and who settles (`~1`), `;` between.
const COURSES: &[&str] = &[
    "0: set s 1;0>1;1: incr s;2: set s 7;2>1;1>2;0>2",
    "0: set s 1;0>1;1: set s 2;2: incrby s 5;2>0;1>0;2>1",
    "0: set s 1;0>1;0>2;1: set s 2 ex 300;2: append s x;1>0;~0;2>0;1>2",
    "0: set s 1;0>1;0>2;1: incr s;1>0;1>2;~0;0: set s 8;2: incr s;0>1;2>1",
    "0: set s 1;1: set s 2;0>1;1>0;0: set s 3;0>1;1>0;2: incrby s 4;2>0;2>1",
    "0: sadd s x;0: del s;0: set s 1;0>1;1: set s 2;2: hset s f 1;2>1;2>0;0>2",
    "0: set s 1;0>1;0>2;~0;~1;1: set s 2;1>0;2: del s;2>1;~1;2>0",
    "0: set s 1 ex 300;0>1;1: set s 2 keepttl;2: set s 3 ex 100;2>0;1>0;2>1",
    "0: set s 1;0: set t 2;0>1;2: flushall;2>1;1: set t 3;1>0;2>0",
    "0: set s 1;0>1;1: set s 2;2: flushdb;2>0;2: set s 4;0>2;1>0",
    "0: mset s 1 t 2;0>1;1: mset s 3 t 4;1: rename s t;2: append s x;2>1;0>2",
];

#[test]
fn what_one_set_says_of_a_key_becomes_parts_whenever_that_is_needed() {
    for course in COURSES {
        let clock = Arc::new(AtomicI64::new(NOW_MS));
        let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
        for step in course.split(';') {
            clock.fetch_add(1, Ordering::Relaxed);
            let id = |text: &str| text.parse::<usize>().expect("a replica");
            match (step.split_once(": "), step.split_once('>'), step.strip_prefix('~')) {
                (Some((at, command)), ..) => drop(run(&mut group.0[id(at)].executor, &words(command))),
                (_, Some((from, to)), _) => group.tell(id(from), id(to)),
                (.., Some(at)) => group.settle(id(at)),
                _ => panic!("{step}"),
            }
        }
        group.heal();
        if let Err(error) = group.check() {
            panic!("{course}: {error}");
        }
    }
}

#[test]
fn a_key_with_one_set_is_what_it_was_after_a_batch_is_given_up() {
    let given_up: [&[Op<'_>]; 5] = [
        &[Op::Set { value: b"70", deadline: Deadline::Clear }, Op::AddInt(1)],
        &[Op::AddInt(1), Op::Set { value: b"70", deadline: Deadline::At(NOW_MS + 1000) }],
        &[Op::Remove],
        &[Op::FlushAll, Op::Set { value: b"70", deadline: Deadline::Clear }],
        &[Op::Set { value: b"70", deadline: Deadline::Clear }],
    ];
    for ops in given_up {
        for keeps_first in [false, true] {
            let clock = Arc::new(AtomicI64::new(NOW_MS));
            let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
            run(&mut group.0[0].executor, &words("set s 5"));
            let (mut recycled, engine) = (Recycled::new(), group.0[0].executor.engine());
            let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
            if keeps_first {
                context.out.emit(b"s", false, Op::AddInt(3));
            }
            let before = context.savepoint();
            ops.iter().for_each(|op| {
                let key: &[u8] = if *op == Op::FlushAll { b"" } else { b"s" };
                context.out.emit(key, false, op.clone());
                context.savepoint();
            });
            context.restore(before);
            context.commit().expect("the log takes it");
            drop(context);
            // It has not heard of the key.
            run(&mut group.0[1].executor, &words("incrby s 100"));
            group.heal();
            group.check().expect("all are what the algebra says");
            let sum = if keeps_first { "$3 108 " } else { "$3 105 " };
            assert_eq!(look(&mut group.0[2].executor, "s")[0], sum, "{ops:?}");
        }
    }
}

#[test]
fn what_a_batch_has_settled_counts_once() {
    let set = |value| Op::Set { value, deadline: Deadline::Clear };
    let settled: [(&[Op<'_>], &str); 5] = [
        (&[set(b"5"), Op::AddInt(3)], "$3 108 "),
        (&[Op::AddInt(3), set(b"5"), Op::AddInt(4)], "$3 109 "),
        (&[set(b"5"), set(b"6")], "$3 106 "),
        (&[set(b"5"), Op::AddInt(1), set(b"7")], "$3 107 "),
        (&[set(b"5"), Op::FlushAll, set(b"7"), Op::AddInt(1)], "$3 108 "),
    ];
    for (ops, sum) in settled {
        for before in ["set s 1", "incr s", "ping"] {
            let clock = Arc::new(AtomicI64::new(NOW_MS));
            let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
            run(&mut group.0[0].executor, &words(before));
            let (mut recycled, engine) = (Recycled::new(), group.0[0].executor.engine());
            let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
            ops.iter().for_each(|op| {
                let key: &[u8] = if *op == Op::FlushAll { b"" } else { b"s" };
                context.out.emit(key, false, op.clone());
                context.savepoint();
            });
            context.commit().expect("the log takes it");
            drop(context);
            run(&mut group.0[1].executor, &words("incrby s 100"));
            group.heal();
            group.check().expect("all are what the algebra says");
            assert_eq!(look(&mut group.0[2].executor, "s")[0], sum, "{before}, {ops:?}");
        }
    }
}

#[test]
fn what_keeps_a_deadline_keeps_the_one_that_was_seen() {
    for (a, b, then) in AFTERWARDS {
        let clock = Arc::new(AtomicI64::new(NOW_MS));
        let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
        let run = |group: &mut Group, at: usize, commands: &str| {
            clock.fetch_add(1, Ordering::Relaxed);
            commands.split(';').for_each(|command| drop(run(&mut group.0[at].executor, &words(command))));
        };
        run(&mut group, 0, a);
        run(&mut group, 1, b);
        group.heal();
        let key = &words(a)[1];
        let seen = look(&mut group.0[2].executor, key).pop();
        run(&mut group, 2, then);
        assert_eq!(look(&mut group.0[2].executor, key).pop(), seen, "{then}");
        group.heal();
        if let Err(error) = group.check() {
            panic!("{a} | {b} | {then}: {error}");
        }
    }
}

#[test]
fn two_who_do_not_know_of_each_other_agree_in_the_end() {
    for (before, a, b) in MEETINGS {
        // Who wrote what was there before may write the same position of a list again.
        for (starter, first, second) in [(2, a, b), (2, b, a), (0, a, b), (0, b, a)] {
            let clock = Arc::new(AtomicI64::new(NOW_MS));
            let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
            let run = |group: &mut Group, at: usize, commands: &str| {
                commands.split(';').filter(|command| !command.is_empty()).for_each(|command| {
                    clock.fetch_add(1, Ordering::Relaxed);
                    run(&mut group.0[at].executor, &words(command));
                });
            };
            run(&mut group, starter, before);
            group.heal();
            (0..REPLICAS).for_each(|id| run(&mut group, id, &format!("set alive:{id} 1")));
            group.heal();
            (0..REPLICAS).for_each(|id| group.settle(id));
            run(&mut group, 0, first);
            run(&mut group, 1, second);
            group.heal();
            if let Err(error) = group.check() {
                panic!("{before} at {starter} | {first} | {second}: {error}");
            }
        }
    }
}

pub(super) fn cases() -> u32 {
    std::env::var("ANABRANCH_REPLICA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

pub(super) fn command() -> impl Strategy<Value = Vec<String>> {
    // Whole databases go seldom.
    (0..COMMANDS.len(), 0u32..6, any::<u8>()).prop_map(|(at, number, seldom)| {
        let is_rare = COMMANDS[at].starts_with("flush") || COMMANDS[at].starts_with("swap");
        let command = if is_rare && seldom > 90 { COMMANDS[at % 60] } else { COMMANDS[at] };
        words(&command.replace('#', &number.to_string()))
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..REPLICAS, command()).prop_map(|(at, words)| Step::Run(at, words)),
        4 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, to)| Step::Deliver(from, to)),
        1 => (0..REPLICAS).prop_map(Step::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replicas_converge_to_what_the_algebra_says(steps in prop::collection::vec(step(), 1..120)) {
        let clock = Arc::new(AtomicI64::new(NOW_MS));
        let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
        for step in &steps {
            clock.fetch_add(1, Ordering::Relaxed);
            group.step(step);
        }
        group.heal();
        group.check()?;
        group.calm()?;
    }
}
