//! The same commands to a real Redis.

use resp::{Protocol, Value};

use super::command;
use crate::executor::{Ran, Wait};
use crate::harness::Harness;
use crate::oracle::{Gen, How, Oracle, Words, compare, same, words};

/// The differences that are known and wanted: Redis 7.0 does not notice a count that cannot be negated.
fn how(words: &[Vec<u8>]) -> How {
    let name = words[0].to_ascii_uppercase();
    let least = words.iter().any(|word| word == b"-9223372036854775808");
    if least && (name == b"LPOS" || name == b"LREM") { How::Ignore } else { How::Exact }
}

#[test]
fn replies_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    for seed in 0..3 {
        let mut ours = Harness::new();
        oracle.line("FLUSHALL");
        compare(&mut ours, &mut oracle, seed, 4000, command, how);
        ours.reopen();
    }
}

#[test]
fn replies_in_resp3_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut ours = Harness::new();
    oracle.protocol(Protocol::Resp3);
    ours.protocol = Protocol::Resp3;
    compare(&mut ours, &mut oracle, 99, 2000, command, how);
}

/// A command that may wait, or one that feeds it.
fn waiting_command(g: &mut Gen) -> Words {
    let (a, b) = (g.key(), g.key());
    let timeout: &[&str] = &["0", "0", "1", "0.5", "-1", "-0.0001", "-1e30", "abc", "", "1 ", "0x1", "1e3", "nan"];
    let timeout = g.word(timeout);
    let end = |g: &mut Gen| if g.one_in(20) { b"UP".to_vec() } else { g.word(&["LEFT", "RIGHT", "right"]) };
    match g.below(9) {
        0 => words![g.word(&["BLPOP", "BRPOP"]), a, timeout],
        1 => words![g.word(&["BLPOP", "BRPOP"]), a, b, timeout],
        2 => words!["BRPOPLPUSH", a, b, timeout],
        3 => words!["BLMOVE", a, b, end(g), end(g), timeout],
        4 => {
            let mut made = words!["BLMPOP", timeout, g.pick(&["1", "2", "2", "3", "0", "x"]), a, b, end(g)];
            if g.one_in(2) {
                made.extend(words![g.option("COUNT"), g.count()]);
            }
            if g.one_in(20) {
                made.push(g.member());
            }
            made
        }
        _ => command(g),
    }
}

#[test]
fn commands_that_may_wait_answer_in_a_transaction_as_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut ours = Harness::new();
    let mut random = Gen::new(7);
    let mut compared = 0;
    while compared < 4000 {
        let made = waiting_command(&mut random);
        let refs: Vec<&[u8]> = made.iter().map(Vec::as_slice).collect();
        oracle.run(&[b"MULTI"]);
        let queued = oracle.run(&refs);
        let done = oracle.run(&[b"EXEC"]);
        let Value::Array(mut replies) = done else {
            // Refused when it was queued: the number of arguments.
            assert!(queued.is_error() && ours.run_words(&made) == queued, "{made:?}");
            continue;
        };
        let theirs = replies.remove(0);
        let (_, reply) = ours.try_words(&made, Wait::No);
        let reply = reply.expect("nothing blocks in a transaction");
        assert!(same(&reply, &theirs, how(&made)), "{made:?}\n  ours:  {reply:?}\n  redis: {theirs:?}");
        compared += 1;
    }
    ours.reopen();
}

#[test]
fn who_waited_in_vain_gets_what_redis_gives() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut ours = Harness::new();
    for line in [
        "BLPOP a b 0.001",
        "BRPOP a 0.001",
        "BRPOPLPUSH a b 0.001",
        "BLMOVE a b LEFT LEFT 0.001",
        "BLMPOP 0.001 2 a b LEFT",
    ] {
        let theirs = oracle.line(line);
        let Ran::Blocked { empty_array, .. } = ours.try_line(line, Wait::Queued).0 else {
            panic!("{line} did not block")
        };
        assert_eq!(theirs, if empty_array { Value::NullArray } else { Value::Null }, "{line}");
    }
}
