//! Commands that wait.

use engine::Ticket;
use resp::Value;

use crate::executor::{Ran, Wait};
use crate::harness::{Harness, print};

fn ready(ran: Ran) -> Vec<Vec<u8>> {
    match ran {
        Ran::Done(done) => done.ready.iter().map(|(_, key)| key.to_vec()).collect(),
        _ => panic!("blocked"),
    }
}

#[track_caller]
fn waits(h: &mut Harness, line: &str, keys: &[&[u8]]) {
    match h.try_line(line, Wait::Queue(Ticket(5))).0 {
        Ran::Blocked { keys: at, .. } => assert!(at.iter().map(|(_, key)| &**key).eq(keys.iter().copied()), "{at:?}"),
        _ => panic!("{line} did not wait"),
    }
}

#[track_caller]
fn again(h: &mut Harness, line: &str) -> String {
    match h.try_line(line, Wait::Queued) {
        (Ran::Blocked { .. }, _) => "blocked".into(),
        (_, reply) => print(&reply.expect("done")),
    }
}

#[test]
fn a_push_makes_ready_who_waits_for_any_of_its_keys() {
    let mut h = Harness::new();
    waits(&mut h, "BLPOP a b a 0", &[b"a", b"b"]);
    assert!(ready(h.try_line("RPUSH c x", Wait::No).0).is_empty());
    assert_eq!(ready(h.try_line("RPUSH b x y", Wait::No).0), [b"b"]);
    assert_eq!(again(&mut h, "BLPOP a b a 0"), "[b x]");
    assert_eq!(again(&mut h, "BRPOP a b 0"), "[b y]");
    assert_eq!(again(&mut h, "BRPOP a b 0"), "blocked");
    h.expect("DEL b", "0");
}

#[test]
fn keys_are_served_in_the_order_of_the_arguments() {
    let mut h = Harness::new();
    h.expect("RPUSH b 1", "1");
    h.expect("RPUSH a 2", "1");
    h.expect("BLPOP a b 0", "[a 2]");
    h.expect("BLPOP a b 0", "[b 1]");
    h.expect("RPUSH b 1 2 3", "3");
    h.expect("BLMPOP 0 2 a b RIGHT COUNT 2", "[b [3 2]]");
    h.expect("LMPOP 2 a b RIGHT COUNT 2", "[b [1]]");
    h.expect("BLMPOP 0 2 a b RIGHT COUNT 2", "BLOCKED");
    assert_eq!(h.run("LMPOP 2 a b RIGHT COUNT 2"), Value::NullArray);
}

#[test]
fn a_key_that_becomes_another_type_stops_nobody_who_waits() {
    let mut h = Harness::new();
    waits(&mut h, "BLPOP a b 0", &[b"a", b"b"]);
    h.expect("INCR a", "1");
    assert_eq!(again(&mut h, "BLPOP a b 0"), "blocked");
    h.expect("RPUSH b x", "1");
    assert_eq!(again(&mut h, "BLPOP a b 0"), "[b x]");
    h.expect("BLPOP a b 0", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(again(&mut h, "BLMOVE a b LEFT LEFT 0"), "blocked");
    h.expect("RPUSH b x", "1");
    let refused = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    assert_eq!(again(&mut h, "BLMOVE b a LEFT LEFT 0"), refused);
    h.expect("LLEN b", "1");
}

#[test]
fn a_mover_waits_for_its_source_and_feeds_its_target() {
    let mut h = Harness::new();
    waits(&mut h, "BLMOVE s d LEFT RIGHT 0", &[b"s", b"d"]);
    waits(&mut h, "BLPOP d 0", &[b"d"]);
    assert_eq!(ready(h.try_line("RPUSH s x", Wait::No).0), [b"s"]);
    let (ran, reply) = h.try_line("BLMOVE s d LEFT RIGHT 0", Wait::Queued);
    assert_eq!(reply, Some(Value::Bulk(b"x".to_vec())));
    assert!(ready(ran).contains(&b"d".to_vec()));
    assert_eq!(again(&mut h, "BLPOP d 0"), "[d x]");
    h.expect("DEL s d", "0");
    h.reopen();
}

#[test]
fn exactly_waits_until_there_are_enough() {
    let mut h = Harness::new();
    let line = "BLMOVEM s d LEFT RIGHT 0 EXACTLY 3 BULK";
    h.expect("RPUSH s 1", "1");
    waits(&mut h, line, &[b"s", b"d"]);
    assert_eq!(ready(h.try_line("LINSERT s BEFORE 1 0", Wait::No).0), [b"s"]);
    assert_eq!(again(&mut h, line), "blocked");
    h.expect("RPUSH s 2 3", "4");
    assert_eq!(again(&mut h, line), "[0 1 2]");
    h.expect("LRANGE s 0 -1", "[3]");
    assert_eq!(h.try_line(line, Wait::No).1, Some(Value::NullArray));
    h.expect("BLMOVEM s d LEFT RIGHT 0 COUNT 3 OBO", "[3]");
    h.expect("BLMOVEM s d LEFT RIGHT -1 COUNT 0 OBO", "-ERR timeout is negative");
}

#[test]
fn the_timeout_counts_from_now_and_zero_is_for_ever() {
    let mut h = Harness::new();
    for (timeout, until) in [("0", None), ("1.5", Some(1_700_000_001_500)), ("0.0001", Some(1_700_000_000_001))] {
        for line in [format!("BLPOP a {timeout}"), format!("BLMPOP {timeout} 1 a LEFT")] {
            match h.try_line(&line, Wait::Queued).0 {
                Ran::Blocked { until_ms, .. } => assert_eq!(until_ms, until, "{line}"),
                _ => panic!("{line} did not wait"),
            }
        }
    }
}
