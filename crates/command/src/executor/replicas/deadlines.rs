//! Deadlines of what several have written without knowing of each other: directed histories.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::group::{Group, NOW_MS, REPLICAS, Replica, run, words};

/// A HEXPIRE that did not know that its field goes says nothing of the next one of that name.
#[test]
fn a_field_that_a_counter_makes_has_no_deadline() {
    let clock = Arc::new(AtomicI64::new(NOW_MS));
    let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
    for counter in ["hincrby h f 4", "hincrbyfloat h f 1.5", "hsetex h keepttl fields 1 f 4"] {
        group.0[0].run(&words("hset h f 4"));
        group.heal();
        group.0[0].run(&words("hexpire h 7400 fields 1 f"));
        ["del h", "hset h g 1"].iter().for_each(|command| group.0[1].run(&words(command)));
        group.heal();
        group.0[1].run(&words(counter));
        group.heal();
        for replica in &mut group.0 {
            assert_eq!(run(&mut replica.executor, &words("httl h fields 1 f")), "*1 :-1 ", "{counter}");
        }
        group.check().expect("all are what the algebra says");
    }
}

/// A later change of the string takes the deadline that came with a set which it had not observed.
#[test]
fn an_edit_takes_the_deadline_of_another_type() {
    let clock = Arc::new(AtomicI64::new(NOW_MS));
    let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
    ["sadd t x", "set s 0"].iter().for_each(|command| group.0[0].run(&words(command)));
    group.heal();
    ["expire s 9000", "set s 0 keepttl"].iter().for_each(|command| group.0[0].run(&words(command)));
    ["copy t s replace", "set s 0 keepttl"].iter().for_each(|command| group.0[1].run(&words(command)));
    group.tell(0, 1);
    clock.fetch_add(2000, Ordering::Relaxed);
    group.0[0].run(&words("append s 0"));
    group.heal();
    for replica in &mut group.0 {
        assert_eq!(run(&mut replica.executor, &words("pexpiretime s")), ":1700009000000 ");
    }
    group.check().expect("all are what the algebra says");
}
