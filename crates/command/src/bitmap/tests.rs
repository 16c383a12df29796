//! Bitmaps against a real Redis, against the log, and by example where Redis 7.0 knows nothing.

use resp::Protocol;

use crate::harness::Harness;
use crate::oracle::{Gen, How, Oracle, Words, compare, words};

/// Keys that the commands share; `d` holds a set at the beginning, `e` a string that nothing removes.
const KEYS: [&[u8]; 6] = [b"a", b"b", b"c", b"d", b"e", b"\x00k\xff\r\n"];

fn command(g: &mut Gen) -> Words {
    let key = g.key();
    match g.below(16) {
        0 | 1 => words!["SET", key, g.value()],
        2 => words!["GET", key],
        3 => words!["DEL", key],
        4 | 5 => words!["SETBIT", key, offset(g), g.word(&["0", "1", "1", "1", "2", "x"])],
        6 => words!["GETBIT", key, offset(g)],
        7 | 8 => bitcount(g),
        9 | 10 => bitpos(g),
        11 | 12 => bitop(g),
        _ => bitfield(g, key),
    }
}

fn offset(g: &mut Gen) -> Vec<u8> {
    match g.below(12) {
        0 => g.word(&["-1", "4294967296", "9223372036854775807", "x", ""]),
        1 => g.between(0, 40_000).to_string().into_bytes(),
        _ => g.between(0, 120).to_string().into_bytes(),
    }
}

/// Redis 7.0 answers 0 for absent keys before it looks at the arguments, so bad ones only meet a key that is there.
fn ranged(g: &mut Gen, mut words: Words, ends: usize) -> Words {
    let bad = g.one_in(6);
    words[1] = if bad { b"e".to_vec() } else { g.key() };
    let index = |g: &mut Gen| if bad { g.index() } else { g.between(-40, 40).to_string().into_bytes() };
    (0..ends).for_each(|_| words.push(index(g)));
    if ends == 2 && g.one_in(2) {
        words.push(g.word(&["BIT", "BYTE", "bit", "Byte"]));
        if bad && g.one_in(2) {
            // Redis 7.0 answers ends in the wrong order before it looks at the unit.
            let first = words.len() - 3;
            words[first] = b"0".to_vec();
            words[first + 2] = g.word(&["BITS", ""]);
        }
        if bad && g.one_in(4) {
            words.push(g.value());
        }
    }
    words
}

fn bitcount(g: &mut Gen) -> Words {
    let ends = g.pick(&[0, 2]);
    let words = ranged(g, words!["BITCOUNT", ""], ends);
    // A start without an end came with Valkey 8.0.
    if words.len() == 3 { words!["BITCOUNT", words[1]] } else { words }
}

fn bitpos(g: &mut Gen) -> Words {
    let bit = g.word(&["0", "1", "0", "1", "0", "1", "2", "x"]);
    let ends = g.below(3);
    ranged(g, words!["BITPOS", "", bit], ends)
}

fn bitop(g: &mut Gen) -> Words {
    let name = g.pick(&["AND", "OR", "XOR", "NOT", "AND", "OR", "XOR", "NOPE"]);
    let mut words = words!["BITOP", g.option(name), g.key()];
    (0..g.pick(&[0, 1, 1, 2, 3])).for_each(|_| words.push(g.key()));
    words
}

fn bitfield(g: &mut Gen, key: Vec<u8>) -> Words {
    let name = if g.one_in(4) { "BITFIELD_RO" } else { "BITFIELD" };
    let mut words = words![name, key];
    for _ in 0..g.below(5) {
        if g.one_in(3) {
            words.extend([g.option("OVERFLOW"), g.word(&["WRAP", "sat", "FAIL", "FAIL", "SAT", "NOPE"])]);
        }
        let read_only = name == "BITFIELD_RO" && !g.one_in(8);
        let action = if read_only { 0 } else { g.below(3) };
        words.push(g.option(["GET", "SET", "INCRBY"][action]));
        let sign = g.pick(&["i", "u"]);
        let bits = if g.one_in(12) { g.pick(&[0, 64, 65, -1]) } else { g.between(1, 63) };
        words.push(if g.one_in(30) { g.value() } else { format!("{sign}{bits}").into_bytes() });
        let hash = if g.one_in(3) { "#" } else { "" };
        words.push([hash.as_bytes(), &offset(g)].concat());
        if action > 0 {
            words.push(if g.one_in(3) { g.integer() } else { g.between(-300, 300).to_string().into_bytes() });
        }
    }
    words
}

#[test]
fn replies_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut h = Harness::new();
    for seed in 0..16 {
        let protocol = if seed % 2 == 0 { Protocol::Resp2 } else { Protocol::Resp3 };
        oracle.protocol(protocol);
        h.protocol = protocol;
        oracle.line("FLUSHALL");
        KEYS.iter().for_each(|key| drop(h.run_bytes(&[b"DEL", key])));
        oracle.line("SADD d member");
        h.plant_set(b"d");
        oracle.line("SET e foobar");
        h.run("SET e foobar");
        compare(&mut h, &mut oracle, seed, 1000, command, |_| How::Exact);
        for key in KEYS {
            assert_eq!(h.run_bytes(&[b"GET", key]), oracle.run(&[b"GET", key]), "{}", key.escape_ascii());
        }
    }
    h.reopen();
}

#[test]
fn the_log_says_what_the_commands_did() {
    let mut h = Harness::new();
    let mut g = Gen::new(5);
    for _ in 0..12 {
        h.plant_set(b"d");
        for _ in 0..150 {
            let mut words = command(&mut g);
            if words[0] == b"BITOP" && g.one_in(2) {
                words[1] = g.word(&["DIFF", "DIFF1", "ANDOR", "ONE"]);
            }
            h.run_words(&words);
        }
        h.reopen();
    }
}

#[test]
fn operations_of_one_bitfield_see_each_other() {
    let mut h = Harness::new();
    h.expect(
        "BITFIELD k SET u8 0 200 GET u8 0 INCRBY u8 0 50 OVERFLOW SAT INCRBY u8 0 50 GET u4 4",
        "[0 200 250 255 15]",
    );
    h.expect("BITFIELD k OVERFLOW FAIL INCRBY u2 100 9 GET u8 0", "[nil 255]");
    h.expect("STRLEN k", "13");
    h.reopen();
    h.expect("BITFIELD_RO k GET i8 0", "[-1]");
    let lowest = i64::MIN;
    h.expect(
        &format!("BITFIELD s OVERFLOW SAT SET i8 0 {lowest} GET i8 0 SET i8 0 -1000 GET i8 0"),
        "[0 127 127 -128]",
    );
}

#[test]
fn the_new_operations_combine_more_than_two() {
    let mut h = Harness::new();
    h.expect("SET x \"\\xff\\x0f\"", "OK");
    h.expect("SET y \"\\x0f\"", "OK");
    h.expect("SET z \"\\x03\\x01\"", "OK");
    for (operation, ones) in [("DIFF x y z", "7"), ("DIFF1 y x z", "8"), ("ANDOR x y z", "5"), ("ONE x y z", "7")] {
        let (name, keys) = operation.split_once(' ').expect("an operation and its keys");
        h.expect(&format!("BITOP {name} d {keys}"), "2");
        h.expect("BITCOUNT d", ones);
    }
    h.expect("BITOP ANDOR d x", "-ERR BITOP ANDOR must be called with at least two source keys.");
    h.expect("BITOP one d none", "0");
    h.expect("GET d", "nil");
}

#[test]
fn arguments_are_judged_before_an_absent_key() {
    let mut h = Harness::new();
    h.expect("BITCOUNT none x 1", "-ERR value is not an integer or out of range");
    h.expect("BITCOUNT none 0 1 NIBBLE", "-ERR syntax error");
    h.expect("BITPOS none 1 0 1 NIBBLE", "-ERR syntax error");
    h.expect("BITCOUNT none 0 1", "0");
    h.expect("SET k foobar", "OK");
    h.expect("BITCOUNT k 1", "22");
}
