//! What expires in a group: everybody hides it at once; it is given up when nobody can bring it back any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::group::{Group, NOW_MS, REPLICAS, Replica, words};

fn group() -> Group {
    let clock = Arc::new(AtomicI64::new(NOW_MS));
    Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect())
}

impl Group {
    fn do_at(&mut self, at: usize, commands: &str) {
        for command in commands.split(';') {
            self.0[0].clock.fetch_add(1, Ordering::Relaxed);
            super::run(&mut self.0[at].executor, &words(command));
        }
    }

    /// All that was said is known to all.
    fn agree(&mut self) {
        self.heal();
        for id in 0..REPLICAS {
            self.do_at(id, &format!("set alive:{id} 1"));
        }
        self.heal();
        (0..REPLICAS).for_each(|id| self.settle(id));
    }

    fn pass(&mut self, ms: i64) {
        self.0[0].clock.fetch_add(ms, Ordering::Relaxed);
        self.0.iter().for_each(|replica| replica.executor.engine().reclaim());
    }

    fn keys(&self) -> Vec<u64> {
        self.0.iter().map(|replica| replica.executor.engine().key_counts(0).keys).collect()
    }
}

/// What is there; what one replica does before the deadline, of which another hears behind it.
const LATE: &[(&str, &str)] = &[
    ("set s 1 ex 100", "expire s 1000"),
    ("set s 1 ex 100", "persist s"),
    ("set s 1 ex 100", "incr s"),
    ("set s 1 ex 100", "set s 2 keepttl;persist s"),
    ("hset h f1 1;expire h 100", "hset h f2 2;expire h 1000"),
    ("hset h f1 1 f2 2;hexpire h 100 fields 1 f1", "hpersist h fields 1 f1"),
    ("hset h f1 1;hexpire h 100 fields 1 f1", "hexpire h 1000 fields 1 f1"),
    ("rpush l a b;expire l 100", "lpop l;persist l"),
    ("zadd z 1 e1;expire z 100", "zincrby z 2 e1;expire z 1000"),
];

#[test]
fn what_was_written_before_a_deadline_counts_behind_it() {
    for (before, late) in LATE {
        let mut group = group();
        group.do_at(0, before);
        group.agree();
        group.do_at(1, late);
        group.pass(500_000);
        let key = &words(before)[1];
        let seen = super::run(&mut group.0[0].executor, &words(&format!("exists {key}")));
        assert_eq!(seen, if before.contains("f2") { ":1 " } else { ":0 " }, "{before}");
        group.heal();
        if let Err(error) = group.check() {
            panic!("{before} | {late}: {error}");
        }
    }
}

#[test]
fn what_nobody_can_bring_back_is_given_up() {
    for before in ["set s 1 ex 100", "hset h f1 1;hexpire h 100 fields 1 f1", "rpush l a;expire l 100"] {
        let mut group = group();
        group.do_at(0, before);
        group.heal();
        group.pass(200_000);
        assert_eq!(group.keys(), [1; REPLICAS], "{before}");
        group.agree();
        group.pass(2_000);
        // Those that say that they are alive.
        assert_eq!(group.keys(), [REPLICAS as u64; REPLICAS], "{before}");
        group.check().expect("all are what the algebra says");
    }
}

/// A key that has expired for good, and on which something else was done that is not known to all, is what that shows.
#[test]
fn what_is_recent_on_a_key_that_has_expired_stays() {
    let mut group = group();
    group.do_at(0, "set s 1");
    group.agree();
    // Neither knows of the other.
    group.do_at(0, "expire s 100");
    group.pass(60_000);
    group.do_at(1, "incr s");
    group.pass(400_000);
    group.heal();
    let engine = Arc::clone(group.0[2].executor.engine());
    // Only the deadline is known to all.
    let stable = [effect::Dot { origin: group.0[0].executor.engine().origin(), seq: 3 }].into_iter().collect();
    engine.note_stable(&stable, Some(effect::Hlc::at_ms(NOW_MS + 180_000)));
    engine.reclaim();
    assert_eq!(engine.key_counts(0).keys, 1 + REPLICAS as u64, "it is there, and hidden");
    group.do_at(0, "incr s");
    group.do_at(1, "append s x");
    group.heal();
    group.check().expect("all are what the algebra says");
}
