//! Strings against a real Redis, against the log, and by example where Redis 7.0 knows nothing.

use resp::{Protocol, Value};

use crate::harness::{Harness, print};
use crate::long_double::LongDouble;
use crate::oracle::{Gen, How, Oracle, Words, compare, words};

const KEYS: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"\x00k\xff\r\n"];

/// A command of this family that Redis 7.0 has.
fn command(g: &mut Gen) -> Words {
    let key = g.key();
    match g.below(30) {
        0 => words!["GET", key],
        1..=3 => set(g, key),
        4 => words!["SETNX", key, g.value()],
        5 => words!["SETEX", key, g.seconds(), g.value()],
        6 => words!["PSETEX", key, g.millis(), g.value()],
        7 => words!["GETSET", key, g.value()],
        8 => words!["GETDEL", key],
        9 => getex(g, key),
        10 => many(g, "MGET", 1),
        11 => many(g, "MSET", 2),
        12 => many(g, "MSETNX", 2),
        13 | 14 => words!["APPEND", key, g.value()],
        15 => words!["STRLEN", key],
        16 => words!["GETRANGE", key, g.index(), g.index()],
        17 => words!["SUBSTR", key, g.index(), g.index()],
        18 => words!["SETRANGE", key, g.index(), g.value()],
        19 => words!["INCR", key],
        20 => words!["DECR", key],
        21 => words!["INCRBY", key, g.integer()],
        22 => words!["DECRBY", key, g.integer()],
        23 | 24 => words!["INCRBYFLOAT", key, g.float()],
        25 => words!["SET", key, g.float()],
        26 => words!["SET", key, g.integer()],
        27 => words!["DEL", key],
        _ => lcs(g, key),
    }
}

fn expiry(g: &mut Gen) -> Words {
    match g.below(4) {
        0 => words![g.option("EX"), g.seconds()],
        1 => words![g.option("PX"), g.millis()],
        2 => words![g.option("EXAT"), g.unix_seconds()],
        _ => words![g.option("PXAT"), g.unix_millis()],
    }
}

fn set(g: &mut Gen, key: Vec<u8>) -> Words {
    let mut words = words!["SET", key, g.value()];
    for _ in 0..g.below(4) {
        match g.below(8) {
            0 => words.push(g.option("NX")),
            1 => words.push(g.option("XX")),
            2 => words.push(g.option("GET")),
            3 => words.push(g.option("KEEPTTL")),
            4 if g.one_in(4) => words.push(g.word(&["EX", "FOO", "", "PERSIST"])),
            _ => words.extend(expiry(g)),
        }
    }
    words
}

fn getex(g: &mut Gen, key: Vec<u8>) -> Words {
    let mut words = words!["GETEX", key];
    for _ in 0..g.pick(&[0, 1, 1, 1, 2]) {
        match g.below(5) {
            0 | 1 => words.push(g.option("PERSIST")),
            2 if g.one_in(4) => words.push(g.word(&["KEEPTTL", "NX", "EX"])),
            _ => words.extend(expiry(g)),
        }
    }
    words
}

/// Several keys, each with `per_key - 1` values; sometimes a word too many.
fn many(g: &mut Gen, name: &str, per_key: usize) -> Words {
    let mut words = words![name];
    for _ in 0..g.below(4) {
        words.push(g.key());
        (1..per_key).for_each(|_| words.push(g.value()));
    }
    if g.one_in(10) {
        words.push(g.key());
    }
    words
}

fn lcs(g: &mut Gen, key: Vec<u8>) -> Words {
    let mut words = words!["LCS", key, g.key()];
    for _ in 0..g.below(4) {
        match g.below(8) {
            0 | 1 => words.push(g.option("IDX")),
            2 => words.push(g.option("LEN")),
            3 | 4 => words.push(g.option("WITHMATCHLEN")),
            5 | 6 => words.extend([g.option("MINMATCHLEN"), g.count()]),
            _ => words.push(g.word(&["MINMATCHLEN", "FOO"])),
        }
    }
    words
}

/// Both sides begin with nothing but a set at one key.
fn begin(h: &mut Harness, oracle: &mut Oracle) {
    oracle.line("FLUSHALL");
    for key in KEYS {
        h.run_bytes(&[b"DEL", key]);
    }
    oracle.line("SADD d member");
    h.plant_set(b"d");
}

/// Both sides end with the same values and deadlines.
fn end(h: &mut Harness, oracle: &mut Oracle) {
    h.set_clock(crate::oracle::real_now_ms());
    for key in KEYS {
        assert_eq!(h.run_bytes(&[b"GET", key]), oracle.run(&[b"GET", key]), "{}", key.escape_ascii());
        let ours = h.deadline(key).map_or(-2, |deadline| deadline.unwrap_or(-1));
        let theirs = oracle.run(&[b"PEXPIRETIME", key]).as_int().expect("an integer");
        let near = ours == theirs || (ours > 0 && theirs > 0 && ours.abs_diff(theirs) < 20_000);
        assert!(near, "deadline of {}: ours {ours}, redis {theirs}", key.escape_ascii());
    }
}

#[test]
fn replies_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut h = Harness::new();
    for seed in 0..16 {
        let protocol = if seed % 2 == 0 { Protocol::Resp2 } else { Protocol::Resp3 };
        oracle.protocol(protocol);
        h.protocol = protocol;
        begin(&mut h, &mut oracle);
        compare(&mut h, &mut oracle, seed, 1000, command, |_| How::Exact);
        end(&mut h, &mut oracle);
    }
    h.reopen();
}

#[test]
fn float_sums_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut h = Harness::new();
    let make = |g: &mut Gen| {
        let digits = |g: &mut Gen| {
            let exponent = match g.below(4) {
                0 => format!("e{}", g.between(-40, 40)),
                1 => format!("e{}", g.between(-4960, 4940)),
                _ => String::new(),
            };
            format!("{}.{:019}{exponent}", g.between(-1 << 50, 1 << 50), g.between(0, i64::MAX)).into_bytes()
        };
        if g.one_in(3) { words!["SET", "f", digits(g)] } else { words!["INCRBYFLOAT", "f", digits(g)] }
    };
    compare(&mut h, &mut oracle, 7, 3000, make, |_| How::Exact);
    h.reopen();
}

/// Every command of the family, those that the oracle lacks too.
fn any_command(g: &mut Gen) -> Words {
    let key = g.key();
    match g.below(12) {
        0 => words!["DIGEST", key],
        1 => words!["DELEX", key, g.option("IFEQ"), g.value()],
        2 => words!["DELIFEQ", key, g.value()],
        3 => words!["SET", key, g.value(), g.option("IFNE"), g.value()],
        4 => {
            let mut words = words!["MSETEX", "2", key, g.value(), g.key(), g.value()];
            words.extend(expiry(g));
            words
        }
        5 | 6 => increx(g, key),
        _ => command(g),
    }
}

fn increx(g: &mut Gen, key: Vec<u8>) -> Words {
    let mut words = words!["INCREX", key];
    let float = g.one_in(2);
    let number = |g: &mut Gen| if float { g.float() } else { g.integer() };
    words.extend([g.option(if float { "BYFLOAT" } else { "BYINT" }), number(g)]);
    for option in ["LBOUND", "UBOUND"] {
        if g.one_in(3) {
            words.extend([g.option(option), number(g)]);
        }
    }
    for option in ["SATURATE", "PERSIST"] {
        if g.one_in(3) {
            words.push(g.option(option));
        }
    }
    if g.one_in(3) {
        words.extend(expiry(g));
    }
    words
}

#[test]
fn the_log_says_what_the_commands_did() {
    let mut h = Harness::new();
    let mut g = Gen::new(11);
    for _ in 0..12 {
        h.set_clock(crate::oracle::real_now_ms());
        h.plant_set(b"d");
        for _ in 0..150 {
            let words = any_command(&mut g);
            h.run_words(&words);
        }
        h.reopen();
    }
}

#[test]
fn incr_counts_and_survives_a_restart() {
    let mut h = Harness::new();
    for n in 1..=100 {
        h.expect("INCR k", &n.to_string());
    }
    h.expect("GET k", "100");
    h.reopen();
    h.expect("INCR k", "101");
    h.expect("DEL k nosuch k", "1");
    h.expect("GET k", "nil");
    h.reopen();
    h.expect("GET k", "nil");
}

#[test]
fn deadlines_are_kept_cleared_and_met() {
    let mut h = Harness::new();
    h.expect("SET k v EX 10", "OK");
    h.expect("SET k w KEEPTTL", "OK");
    h.expect("INCRBYFLOAT n 1.5", "1.5");
    h.reopen();
    h.pass(9_999);
    h.expect("GET k", "w");
    h.pass(1);
    h.expect("GET k", "nil");
    h.expect("SET k x KEEPTTL", "OK");
    h.pass(100_000);
    h.expect("GET k", "x");
    h.expect("SET k y PXAT 1", "OK");
    h.expect("GET k", "nil");
    h.reopen();
}

#[test]
fn a_string_may_not_pass_the_bound() {
    let mut h = Harness::new();
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    h.expect("SETRANGE k 536870911 ab", too_long);
    h.expect("SETRANGE k 9223372036854775807 ab", too_long);
    h.expect("SETRANGE k -1 ab", "-ERR offset is out of range");
    h.expect("SETRANGE k 9223372036854775807 \"\"", "0");
    h.expect("GET k", "nil");
}

#[test]
fn conditions_compare_values_and_digests() {
    let mut h = Harness::new();
    h.expect("SET k a IFEQ a", "nil");
    h.expect("SET k hello IFNE a", "OK");
    h.expect("DIGEST k", "9555e8555c62dcfd");
    h.expect("SET k a IFDEQ 9555E8555C62DCFE", "nil");
    h.expect("SET k world IFDEQ 9555E8555C62DCFD GET", "hello");
    h.expect("SET k a IFDNE 12", "-ERR must be exactly 16 hexadecimal characters");
    h.expect("SET k a IFEQ b GET", "world");
    h.expect("SET k a NX IFEQ b", "-ERR syntax error");
    h.expect("SET k a IFEQ", "-ERR syntax error");
    h.expect("DELEX k IFNE world", "0");
    h.expect("DELEX k FOO world", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
    h.expect("DELEX k IFEQ world", "1");
    h.expect("DELEX k FOO world", "0");
    h.plant_set(b"s");
    h.expect("DELEX s FOO world", "-ERR Key should be of string type if conditions are specified");
    h.expect("SET s v IFNE a", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    h.expect("DELIFEQ s v", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    h.expect("DELEX s", "1");
    h.reopen();
}

#[test]
fn increx_stays_within_its_bounds() {
    let mut h = Harness::new();
    h.expect("INCREX k UBOUND 0", "[0 0]");
    assert_eq!(h.deadline(b"k"), None, "a declined increment creates nothing");
    h.expect("INCREX k BYINT 5 UBOUND 3 SATURATE EX 10", "[3 3]");
    h.expect("INCREX k BYINT 9223372036854775807", "[3 0]");
    h.expect("INCREX k BYINT -9 LBOUND 0 PERSIST", "[3 0]");
    assert!(h.deadline(b"k").flatten().is_some(), "a declined increment leaves the deadline");
    h.expect("INCREX k BYFLOAT 0.25 XX PERSIST", "[3.25 0.25]");
    assert_eq!(h.deadline(b"k"), Some(None));
    h.expect("INCREX k NX BYFLOAT 1", "[3.25 0]");
    let big = LongDouble::parse(b"1e4932").expect("a number").print();
    h.expect("INCREX k BYFLOAT 1e4932 UBOUND inf LBOUND -inf", &format!("[{big} {big}]"));
    h.expect("INCREX k BYINT 1", "-ERR value is not an integer or out of range");
    h.expect("SET k 9223372036854775807", "OK");
    h.expect("INCREX k SATURATE UBOUND -9223372036854775808", "-ERR applied increment would overflow");
    h.expect("SET k 1 EX 100", "OK");
    h.expect("INCREX k PXAT 1 ENX", "[2 1]");
    h.expect("INCREX k PXAT 1", "[3 1]");
    h.expect("GET k", "nil");
    h.reopen();
}

#[test]
fn increx_replies_doubles_in_resp3() {
    let mut h = Harness::new();
    h.protocol = Protocol::Resp3;
    assert_eq!(h.run("INCREX k BYFLOAT 2.5"), Value::Array(vec![Value::Double(2.5), Value::Double(2.5)]));
    assert_eq!(print(&h.run("GET k")), "2.5");
}
