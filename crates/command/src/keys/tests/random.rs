//! Random commands of the family: against the log, and against a real Redis.

use resp::{Protocol, Value};

use crate::harness::Harness;
use crate::oracle::{Gen, How, Oracle, Words, compare, real_now_ms, words};
use crate::rdb::tests::{payloads, signed};

/// Elements that are names of keys, numbers and neither.
const ELEMENTS: [&[u8]; 14] =
    [b"a", b"b", b"c", b"d", b"1", b"2", b"10", b"-3", b"1.5", b"", b" 7", b"1e3", b"foo", b"0x10"];

/// A payload of strings from [`ELEMENTS`], of a random type.
fn payload(g: &mut Gen) -> Vec<u8> {
    let numeric = g.one_in(2);
    let mut elements: Vec<&[u8]> = Vec::new();
    for _ in 0..=g.below(7) {
        let element = if numeric { g.pick(&ELEMENTS[4..9]) } else { g.pick(&ELEMENTS) };
        if !elements.contains(&element) {
            elements.push(element);
        }
    }
    let kind = g.below(5) as u8;
    let kind = if kind == 3 { 5 } else { kind };
    let mut body = vec![kind];
    if kind != 0 {
        body.push(elements.len() as u8);
    } else {
        elements.truncate(1);
    }
    for element in elements {
        body.push(element.len() as u8);
        body.extend_from_slice(element);
        match kind {
            4 => body.extend_from_slice(b"\x015"),
            5 => body.extend((g.between(-3, 3) as f64 / 2.0).to_le_bytes()),
            _ => {}
        }
    }
    signed(&body, 10)
}

fn restore(g: &mut Gen, dumps: &[Vec<u8>]) -> Words {
    let payload = match g.below(30) {
        0 => g.bytes(30),
        n if n < 5 && !dumps.is_empty() => g.pick(dumps),
        _ => payload(g),
    };
    let ttl = match g.below(6) {
        0 => g.millis(),
        1 => g.integer(),
        _ => b"0".to_vec(),
    };
    // One that soon ends would end at different times here and there; one beyond all time overflows in Redis.
    let number = std::str::from_utf8(&ttl).ok().and_then(|text| text.parse::<i64>().ok());
    let ttl = if number.is_some_and(|n| (1..100_000).contains(&n) || n > i64::MAX / 2) { b"0".to_vec() } else { ttl };
    let mut command = words!["RESTORE", g.key(), ttl, payload];
    for (name, odds) in [("REPLACE", 2), ("ABSTTL", 12), ("FOO", 60)] {
        if g.one_in(odds) == (odds > 2) {
            command.push(g.option(name));
        }
    }
    if g.one_in(10) {
        // Redis' access clock has 24 bits.
        command.extend(words![g.option("IDLETIME"), g.pick(&["0", "100", "1000000", "-1", "x", ""])]);
    }
    if g.one_in(20) {
        command.extend(words![g.option("FREQ"), g.pick(&["0", "255", "256", "-1", "x"])]);
    }
    command
}

fn sort(g: &mut Gen) -> Words {
    let name = g.pick(&["SORT", "SORT", "SORT_RO"]);
    let mut command = words![name, g.key()];
    let by = g.below(4);
    let alpha = g.one_in(2);
    let patterns = ["*", "*->1", "*->a", "w*", "#", "b", "*->", "*->foo", "a*->x"];
    match by {
        1 => command.extend(words![g.option("BY"), g.pick(&["nosort", "#", ""])]),
        2 => command.extend(words![g.option("BY"), g.pick(&["*", "*->1", "*->a", "w*", "*->", "a*->x"])]),
        _ => {}
    }
    if alpha {
        command.push(g.option("ALPHA"));
    }
    for _ in 0..g.below(3) {
        command.extend(words![g.option("GET"), g.pick(&patterns)]);
    }
    if g.one_in(3) {
        command.push(if g.one_in(3) { g.option("ASC") } else { g.option("DESC") });
    }
    // What is equal in order may come in any: where it would be cut or stored, the order is given.
    let tied = by == 2 && alpha || by == 1;
    if !tied && g.one_in(3) {
        command.extend(words![g.option("LIMIT"), g.index(), g.count()]);
    }
    if !(by == 2 && alpha) && g.one_in(6) {
        command.extend(words![g.option("STORE"), g.key()]);
    }
    if g.one_in(40) {
        command.push(g.pick(&["FOO", "LIMIT", "BY", "GET", "STORE"]).into());
    }
    command
}

fn expire(g: &mut Gen) -> Words {
    let (name, when) = match g.below(4) {
        0 => ("EXPIRE", g.seconds()),
        1 => ("PEXPIRE", g.millis()),
        2 => ("EXPIREAT", g.unix_seconds()),
        _ => ("PEXPIREAT", g.unix_millis()),
    };
    // Redis rounds EXPIRETIME by an addition that would overflow.
    let when = if when.len() == 19 && when[0] == b'9' && name == "PEXPIREAT" { b"1".to_vec() } else { when };
    let mut command = words![name, g.key(), when];
    while g.one_in(3) {
        command.push(match g.below(12) {
            0 => b"FOO".to_vec(),
            n => g.option(["NX", "XX", "GT", "LT"][n % 4]),
        });
    }
    command
}

fn database(g: &mut Gen) -> Vec<u8> {
    g.word(&["0", "0", "1", "1", "2", "15", "16", "-1", "abc", "99999999999", "2147483648", ""])
}

fn places(g: &mut Gen) -> Words {
    match g.below(5) {
        0 => words!["RENAME", g.key(), g.key()],
        1 => words!["RENAMENX", g.key(), g.key()],
        2 => words!["MOVE", g.key(), database(g)],
        _ => {
            let mut command = words!["COPY", g.key(), g.key()];
            if g.one_in(3) {
                command.extend(words![g.option("DB"), database(g)]);
            }
            if g.one_in(2) {
                command.push(g.option("REPLACE"));
            }
            if g.one_in(30) {
                command.push(g.pick(&["FOO", "DB"]).into());
            }
            command
        }
    }
}

fn whole(g: &mut Gen) -> Words {
    match g.below(30) {
        0 => words!["FLUSHDB"],
        1 => words!["FLUSHALL", g.option("ASYNC")],
        2 => words!["FLUSHDB", g.pick(&["SYNC", "FOO", "ASYNC"])],
        3 => words!["FLUSHALL", "SYNC", "x"],
        n if n < 9 => words!["SWAPDB", database(g), database(g)],
        n if n < 12 => words!["RANDOMKEY"],
        n if n < 16 => words!["DBSIZE"],
        n if n < 22 => words!["KEYS", g.pick(&["*", "a", "[a-c]", "?", "??*", "[^a]", "\\a", "", "*k*"])],
        _ => {
            // None beyond 2^64: Redis' SORT takes the overflow that strtoul left behind for one of its own.
            let cursor = g.word(&["0", "0", "0", "", "abc", "-0", "+0", " 0", "0x0", "-"]);
            let mut command = words!["SCAN", cursor];
            if g.one_in(2) {
                let count = g.word(&["1000", "0", "-1", "x", "1000"]);
                command.extend(words![g.option("COUNT"), count]);
            }
            if g.one_in(3) {
                command.extend(words![g.option("TYPE"), g.pick(&["string", "LIST", "foo"])]);
            }
            if g.one_in(20) {
                command.push(g.pick(&["FOO", "MATCH"]).into());
            }
            command
        }
    }
}

fn look(g: &mut Gen) -> Words {
    match g.below(16) {
        0 => words!["OBJECT", "ENCODING", g.key()],
        1 => words!["OBJECT", "REFCOUNT", g.key()],
        2 => words!["OBJECT", "IDLETIME", g.key()],
        3 => words!["OBJECT", "FREQ", g.key()],
        4 => words!["MEMORY", "USAGE", g.key()],
        5 => words!["MEMORY", "USAGE", g.key(), g.pick(&["SAMPLES", "FOO"]), g.pick(&["0", "-1", "x", "5"])],
        6 => words!["TYPE", g.key()],
        7 => words!["EXISTS", g.key(), g.key()],
        8 => words!["TOUCH", g.key(), g.key()],
        9 => words!["TTL", g.key()],
        10 => words!["PTTL", g.key()],
        11 => words!["EXPIRETIME", g.key()],
        12 => words!["PEXPIRETIME", g.key()],
        13 => words!["GET", g.key()],
        14 => words!["DUMP", g.key()],
        _ => words!["PERSIST", g.key()],
    }
}

/// A command of the family.
fn command(g: &mut Gen, dumps: &[Vec<u8>]) -> Words {
    let mut command = match g.below(20) {
        0 => words![g.pick(&["DEL", "UNLINK"]), g.key(), g.key()],
        n if n < 6 => restore(g, dumps),
        n if n < 9 => sort(g),
        n if n < 11 => expire(g),
        n if n < 13 => places(g),
        13 => whole(g),
        _ => look(g),
    };
    // The containers find their subcommands by the second word, which stays.
    if command.len() > 2 && g.one_in(200) {
        command.pop();
    }
    command
}

fn how(words: &[Vec<u8>]) -> How {
    let has = |name: &str| words[2.min(words.len())..].iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    match words[0].as_slice() {
        b"KEYS" => How::Unordered,
        b"SORT" | b"SORT_RO" if has("BY") && !has("STORE") && has("LIMIT") => How::Shape,
        b"SORT" | b"SORT_RO" if has("BY") && !has("STORE") => How::Unordered,
        b"RANDOMKEY" | b"SCAN" | b"DUMP" => How::Shape,
        b"MEMORY" => How::Shape,
        b"OBJECT" if words[1] == b"IDLETIME" => How::Near(3),
        b"OBJECT" if words[1] == b"FREQ" => How::Exact,
        b"OBJECT" => How::Shape,
        b"TTL" | b"EXPIRETIME" => How::Near(3),
        b"PTTL" | b"PEXPIRETIME" => How::Near(3000),
        _ => How::Exact,
    }
}

/// Every key of ours, dumped and restored in Redis, is the value that Redis has.
fn same_values(ours: &mut Harness, oracle: &mut Oracle, db: u8) {
    oracle.run(&[b"SELECT", db.to_string().as_bytes()]);
    ours.db = db;
    let Value::Array(keys) = oracle.run(&[b"KEYS", b"*"]) else { panic!("KEYS returns an array") };
    for key in &keys {
        let key = key.as_bytes().expect("a key");
        let dumped = ours.run_bytes(&[b"DUMP", key]);
        let ttl = oracle.run(&[b"PTTL", key]).as_int().expect("a time").max(0).to_string();
        let payload = dumped.as_bytes().unwrap_or_else(|| panic!("ours lacks {}", key.escape_ascii()));
        let restored = oracle.run(&[b"RESTORE", b"check", ttl.as_bytes(), payload, b"REPLACE"]);
        assert!(!restored.is_error(), "{restored:?}: {}", payload.escape_ascii());
        let digest = |oracle: &mut Oracle, key| oracle.run(&[b"DEBUG", b"DIGEST-VALUE", key]);
        assert_eq!(digest(oracle, key), digest(oracle, b"check"), "db {db}, {}", key.escape_ascii());
        oracle.run(&[b"DEL", b"check"]);
        let has_deadline = ours.deadline(key).flatten().is_some();
        assert_eq!(has_deadline, ttl != "0", "deadline of {}", key.escape_ascii());
    }
    assert_eq!(ours.run("DBSIZE").as_int(), Some(keys.len() as i64), "db {db}");
}

#[test]
fn the_family_agrees_with_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let dumps = payloads(&mut oracle);
    let mut ours = Harness::new();
    let rounds: u64 = std::env::var("ANABRANCH_LONG").map_or(6, |_| 400);
    for seed in 0..rounds {
        let protocol = if seed % 2 == 0 { Protocol::Resp2 } else { Protocol::Resp3 };
        oracle.protocol(protocol);
        ours.protocol = protocol;
        compare(&mut ours, &mut oracle, seed, 1000, |g| command(g, &dumps), how);
        for db in [2, 1, 0] {
            same_values(&mut ours, &mut oracle, db);
        }
    }
    ours.reopen();
}

#[test]
fn what_random_commands_leave_behind_is_in_the_log() {
    let mut h = Harness::new();
    let mut g = Gen::new(7);
    for _ in 0..25 {
        h.set_clock(real_now_ms());
        for _ in 0..80 {
            h.run_words(&command(&mut g, &[]));
        }
        h.reopen();
    }
}
