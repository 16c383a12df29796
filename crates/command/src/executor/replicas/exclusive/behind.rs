//! What comes behind a transaction that is committed, whenever the verdict comes: directed histories.

use super::super::group::{look, run, words};
use super::super::restarts;
use super::{begin, group};

/// It does not see what its transaction pushed, and yet opens no position that this has.
#[test]
fn a_node_pushes_beside_its_own_undecided_transaction() {
    let (mut group, _clock) = group();
    for commands in [["lpush l a0", "lpush l a1"], ["rpush n b0 c0", "rpush n b1"]] {
        let begun = begin(&mut group.0[0].executor, &[words(commands[0])]);
        group.0[0].run(&words(commands[1]));
        group.heal();
        group.commit(1, &begun);
        group.heal();
    }
    for replica in &mut group.0 {
        let mut list = |key: &str| run(&mut replica.executor, &words(&format!("llen {key}")));
        assert_eq!([list("l"), list("n")], [":2 ", ":3 "]);
    }
    group.check().expect("all are what the algebra says");
}

/// A write that finds the key expired starts anew on all replicas, behind the transaction that had seen it.
#[test]
fn what_expired_before_the_verdict_goes_for_all() {
    let (mut group, _clock) = group();
    group.0[0].run(&words("set s 5 ex 50"));
    group.0[0].run(&words("hset h f1 1"));
    group.0[0].run(&words("hexpire h 50 fields 1 f1"));
    group.heal();
    let begun = begin(&mut group.0[0].executor, &[words("persist s"), words("hset h f2 1")]);
    group.heal();
    group.event(&restarts::Event::Pass(60_000));
    for command in ["incr s", "hset h g1 1"] {
        group.0[1].run(&words(command));
    }
    // To one before the verdict, to the other behind it.
    group.tell(1, 2);
    group.commit(2, &begun);
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "s")[0], "$1 1 ");
        assert_eq!(look(&mut replica.executor, "h")[0], " $1 $2 *2 1 g1");
    }
    group.check().expect("all are what the algebra says");
}

/// The deadline goes with a flush that came before the verdict, whatever came between the two.
#[test]
fn a_flush_before_the_verdict_takes_the_deadline_that_the_transaction_left() {
    let (mut group, _clock) = group();
    group.0[0].run(&words("zadd z 1 e5 2 f5"));
    group.0[0].run(&words("expire z 3000"));
    group.0[1].run(&words("zadd z 0 e0"));
    ["set t v", "flushdb"].iter().for_each(|command| group.0[2].run(&words(command)));
    let begun = begin(&mut group.0[0].executor, &[words("expire z 5000")]);
    group.0[0].sync();
    group.0[0].run(&words("zrem z e5"));
    group.tell(0, 2);
    group.commit(2, &begun);
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "z")[2..], ["*2 $2 e0 $1 0 ", ":-1 "]);
    }
    group.check().expect("all are what the algebra says");
}

/// What had not observed a flush stays, also where the flush came before the transaction that made the key.
#[test]
fn a_flush_before_the_verdict_leaves_what_it_had_not_observed() {
    let (mut group, _clock) = group();
    ["set t v", "flushdb"].iter().for_each(|command| group.0[2].run(&words(command)));
    let begun = begin(&mut group.0[1].executor, &[words("lpush l a0")]);
    group.commit(1, &begun);
    ["expire l 4000", "lpush l a1"].iter().for_each(|command| group.0[1].run(&words(command)));
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "l")[2..], ["*1 $2 a1 ", ":1700004000700 "]);
    }
    group.check().expect("all are what the algebra says");
}

#[test]
fn the_last_element_goes_with_the_deadline() {
    let (mut group, _clock) = group();
    group.0[1].run(&words("zadd z 5 e5"));
    group.heal();
    let begun = begin(&mut group.0[1].executor, &[words("expire z 5000"), words("zrem z e5")]);
    group.0[2].run(&words("zadd z 0 e0"));
    group.tell(1, 0);
    group.commit(0, &begun);
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(look(&mut replica.executor, "z")[2..], ["*2 $2 e0 $1 0 ", ":-1 "]);
    }
    group.check().expect("all are what the algebra says");
}
