//! What Redis 7.0 does not know, what is random, and what waits.

use resp::{Protocol, Value};

use crate::executor::{Ran, Wait};
use crate::harness::Harness;

fn filled() -> Harness {
    let mut h = Harness::new();
    h.expect("ZADD z 1 a 2.5 b 3 c", "3");
    h
}

#[test]
fn scores_print_with_the_fewest_digits_that_read_back() {
    let mut h = Harness::new();
    h.expect("ZADD z 0.1 a 1e20 b 3 c -inf d 1e-7 e", "5");
    h.expect("ZRANGE z 0 -1 WITHSCORES", "[d -inf e 1e-7 a 0.1 c 3 b 1e+20]");
    h.protocol = Protocol::Resp3;
    assert_eq!(h.run("ZSCORE z a"), Value::Double(0.1));
    h.expect("ZINCRBY z 0.2 a", "0.30000000000000004");
    h.expect("ZADD z -0.0 zero", "1");
    h.expect("ZINCRBY z -0.0 nought", "-0");
    h.expect("ZMSCORE z zero nought", "[0 0]");
}

#[test]
fn ranks_come_with_scores_if_asked_for() {
    let mut h = filled();
    h.expect("ZRANK z b WITHSCORE", "[1 2.5]");
    h.expect("ZREVRANK z a withscore", "[2 1]");
    assert_eq!(h.run("ZRANK z nope WITHSCORE"), Value::NullArray);
    assert_eq!(h.run("ZRANK none a WITHSCORE"), Value::NullArray);
    h.expect("ZRANK z b WITHSCORES", "-ERR syntax error");
    h.expect("ZRANK z b WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command");
    h.protocol = Protocol::Resp3;
    assert_eq!(h.run("ZRANK z b WITHSCORE"), Value::Array(vec![Value::Int(1), Value::Double(2.5)]));
    assert_eq!(h.run("ZRANK z nope WITHSCORE"), Value::Null);
}

#[test]
fn aggregate_count_adds_up_weights_whatever_the_scores() {
    let mut h = Harness::new();
    h.run("ZADD z1 10 a 20 b");
    h.run("ZADD z2 30 b 40 c");
    h.plant_set(b"s");
    h.expect("ZUNION 2 z1 z2 AGGREGATE COUNT WITHSCORES", "[a 1 c 1 b 2]");
    h.expect("ZINTER 2 z1 z2 AGGREGATE count WITHSCORES", "[b 2]");
    h.expect("ZUNION 2 z1 z2 WEIGHTS 2 5 AGGREGATE COUNT WITHSCORES", "[a 2 c 5 b 7]");
    h.expect("ZUNIONSTORE d 2 z1 z2 AGGREGATE COUNT", "3");
    h.expect("ZRANGE d 0 -1 WITHSCORES", "[a 1 c 1 b 2]");
    h.expect("ZINTERSTORE d 2 z1 z2 WEIGHTS 2 5 AGGREGATE COUNT", "1");
    h.expect("ZSCORE d b", "7");
    h.expect("ZUNION 2 z1 s AGGREGATE COUNT WITHSCORES", "[a 1 b 1 member 1]");
    h.expect("ZUNION 2 z1 z2 WEIGHTS inf -inf AGGREGATE COUNT WITHSCORES", "[c -inf b 0 a inf]");
    h.expect("ZUNION 1 z1 AGGREGATE AVG", "-ERR syntax error");
    h.reopen();
}

#[test]
fn a_scan_leaves_scores_out_if_asked_to() {
    let mut h = filled();
    h.expect("ZSCAN z 0", "[0 [a 1 b 2.5 c 3]]");
    h.expect("ZSCAN z 0 NOSCORES MATCH [ab]", "[0 [a b]]");
    h.expect("ZSCAN z 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN");
    h.expect("ZSCAN none 0 NOSCORES", "[0 []]");
}

#[test]
fn a_scan_of_a_large_set_meets_every_member_that_stays() {
    let mut h = Harness::new();
    for n in 0..1000 {
        h.run(&format!("ZADD z {} m{n}", n % 7));
    }
    let (mut seen, mut cursor, mut pages) = (std::collections::HashSet::new(), "0".to_owned(), 0);
    loop {
        let reply = h.run(&format!("ZSCAN z {cursor} COUNT 20 NOSCORES"));
        let Some([next, Value::Array(members)]) = reply.as_slice() else { panic!("{reply:?}") };
        seen.extend(members.iter().map(|member| member.as_bytes().expect("a member").to_vec()));
        // What comes and goes meanwhile does not matter to the rest.
        h.run(&format!("ZADD z 1 new{pages}"));
        h.run(&format!("ZREM z m{}", 999 - pages));
        cursor = String::from_utf8(next.as_bytes().expect("a cursor").to_vec()).expect("digits");
        pages += 1;
        if cursor == "0" {
            break;
        }
    }
    assert!(pages > 20, "a page holds about COUNT members");
    for n in 0..1000 - pages {
        assert!(seen.contains(format!("m{n}").as_bytes()), "m{n}");
    }
}

#[test]
fn random_members_are_distinct_or_repeated_as_the_sign_says() {
    for members in [9, 500] {
        let mut h = Harness::new();
        for n in 0..members {
            h.run(&format!("ZADD z {n} m{n}"));
        }
        for count in [1, 2, 5, members / 2, members - 1, members, members + 5] {
            let reply = h.run(&format!("ZRANDMEMBER z {count} WITHSCORES"));
            let items = reply.as_slice().expect("an array").to_vec();
            let pairs: Vec<(Vec<u8>, Vec<u8>)> = items
                .chunks(2)
                .map(|pair| {
                    (pair[0].as_bytes().expect("a member").to_vec(), pair[1].as_bytes().expect("a score").to_vec())
                })
                .collect();
            assert_eq!(pairs.len(), count.min(members));
            assert!(pairs.iter().all(|(member, score)| member[1..] == score[..]), "{pairs:?}");
            assert_eq!(pairs.iter().collect::<std::collections::HashSet<_>>().len(), pairs.len());
        }
        let repeated = h.run("ZRANDMEMBER z -2000");
        let repeated = repeated.as_slice().expect("an array");
        assert_eq!(repeated.len(), 2000);
        let distinct: std::collections::HashSet<_> = repeated.iter().map(Value::as_bytes).collect();
        assert!(distinct.len() > members * 9 / 10, "almost every member is drawn");
    }
}

#[test]
fn random_counts_beyond_reason_are_refused() {
    let mut h = filled();
    h.expect("ZRANDMEMBER z -9223372036854775807", "-ERR value is out of range");
    h.expect("ZRANDMEMBER z 9223372036854775807 WITHSCORES", "-ERR value is out of range");
    h.expect("ZRANDMEMBER z 9223372036854775807", "[a b c]");
    h.expect("ZRANDMEMBER none -9223372036854775807", "[]");
}

#[test]
fn waiting_ends_when_a_member_comes() {
    let mut h = Harness::new();
    for command in ["BZPOPMIN x z 0", "BZPOPMAX z 1", "BZMPOP 0 2 x z MIN COUNT 5"] {
        h.expect(command, "BLOCKED");
        h.run("ZADD z 1 a 2 b");
        assert!(h.run(command).as_slice().is_some(), "{command}");
        h.run("DEL z");
    }
    h.reopen();
}

#[test]
fn who_waits_already_is_not_disturbed_by_another_type() {
    let mut h = Harness::new();
    h.run("INCR x");
    h.expect("BZPOPMIN x z 0", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    for command in ["BZPOPMIN x z 0", "BZMPOP 0 2 x z MAX"] {
        assert!(matches!(h.try_line(command, Wait::Queued).0, Ran::Blocked { .. }), "{command}");
        h.run("ZADD z 1 a");
        let served = h.try_line(command, Wait::Queued).1.expect("a reply");
        assert!(served.as_slice().is_some(), "{command}: {served:?}");
    }
}

/// Whether a command wrote to the log.
fn wrote(h: &mut Harness, command: &str) -> bool {
    match h.try_line(command, Wait::No).0 {
        Ran::Done(done) => done.wrote,
        _ => panic!("{command} waits"),
    }
}

#[test]
fn nothing_is_logged_where_nothing_changes() {
    let mut h = filled();
    for command in [
        "ZADD z 1 a",
        "ZADD z NX 9 a",
        "ZADD z XX 9 new",
        "ZADD z GT 0 a",
        "ZADD z LT 7 a",
        "ZINCRBY z 0 a",
        "ZREM z nope",
        "ZADD none XX 1 a",
        "ZREMRANGEBYSCORE z 50 60",
        "ZPOPMIN z 0",
        "ZUNIONSTORE none 1 absent",
        "ZRANGESTORE none absent 0 -1",
    ] {
        assert!(!wrote(&mut h, command), "{command}");
    }
    for command in ["ZADD z 9 a", "ZINCRBY z 1 a", "ZREM z a", "ZPOPMIN z 1", "ZRANGESTORE z absent 0 -1"] {
        assert!(wrote(&mut h, command), "{command}");
    }
}
