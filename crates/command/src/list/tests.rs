//! Lists against themselves, a model, and a real Redis.

mod against_redis;
mod waiting;

use resp::{Protocol, Value};

use crate::harness::Harness;
use crate::oracle::{Gen, Words, words};
use crate::table;

#[test]
fn pushes_and_pops_meet_at_both_ends() {
    let mut h = Harness::new();
    h.expect("RPUSH l c d", "2");
    h.expect("LPUSH l b a", "4");
    h.expect("LPUSHX nosuch x", "0");
    h.expect("RPUSHX l e", "5");
    h.expect("LRANGE l 0 -1", "[a b c d e]");
    h.reopen();
    h.expect("LPOP l", "a");
    h.expect("RPOP l 2", "[e d]");
    h.expect("LPOP l 0", "[]");
    h.expect("LPOP l 10", "[b c]");
    h.expect("LPOP l", "nil");
    h.expect("DEL l", "0");
    assert_eq!(h.run("LPOP l 1"), Value::NullArray);
    assert_eq!(h.run("LPOP l"), Value::Null);
    h.protocol = Protocol::Resp3;
    assert_eq!(h.run("LPOP l 1"), Value::Null);
    h.reopen();
}

#[test]
fn inserts_keep_their_place_between_their_neighbours() {
    let mut h = Harness::new();
    h.expect("RPUSH l a b c", "3");
    h.expect("LINSERT l BEFORE a first", "4");
    h.expect("LINSERT l after c last", "5");
    h.expect("RPUSH l end", "6");
    for (n, place) in ["BEFORE", "AFTER", "BEFORE", "AFTER"].iter().enumerate() {
        h.expect(&format!("LINSERT l {place} b {n}"), &(7 + n).to_string());
    }
    h.expect("LPUSH l start", "11");
    h.expect("LRANGE l 0 -1", "[start first a 0 2 b 3 1 c last end]");
    h.reopen();
    h.expect("LRANGE l 0 -1", "[start first a 0 2 b 3 1 c last end]");
    h.expect("LREM l 0 b", "1");
    h.expect("LINSERT l AFTER 2 again", "11");
    h.expect("LINSERT l AFTER b x", "-1");
    h.expect("LRANGE l 2 7", "[a 0 2 again 3 1]");
    h.reopen();
}

#[test]
fn a_list_turns_on_itself_in_every_way_and_keeps_its_deadline() {
    let mut h = Harness::new();
    for len in 1..4 {
        let all = ["a", "b", "c"][..len].join(" ");
        for (command, turned) in [
            ("RPOPLPUSH l l", ["a", "b a", "c a b"]),
            ("LMOVE l l LEFT RIGHT", ["a", "b a", "b c a"]),
            ("LMOVE l l LEFT LEFT", ["a", "a b", "a b c"]),
            ("LMOVE l l RIGHT RIGHT", ["a", "a b", "a b c"]),
            ("LMOVEM l l LEFT RIGHT COUNT 9 OBO", ["a", "a b", "a b c"]),
            ("LMOVEM l l RIGHT RIGHT COUNT 9 OBO", ["a", "b a", "c b a"]),
            ("LMOVEM l l RIGHT LEFT COUNT 2 BULK", ["a", "a b", "b c a"]),
        ] {
            h.run("DEL l");
            h.run(&format!("RPUSH l {all}"));
            h.emit(b"l", |out, key| out.emit(key, false, effect::Op::Expire(Some(1_800_000_000_000))));
            h.run(command);
            h.expect("LRANGE l 0 -1", &format!("[{}]", turned[len - 1]));
            assert_eq!(h.deadline(b"l"), Some(Some(1_800_000_000_000)), "{command} of {len}");
        }
    }
    h.reopen();
}

#[test]
fn what_empties_a_list_of_any_size_removes_its_key() {
    let mut h = Harness::new();
    for size in [1usize, 2, 63, 64, 65, 3000] {
        let values: Vec<String> = (0..size).map(|n| format!("v{}", n % 7)).collect();
        for command in
            ["LPOP l 100000", "LTRIM l 1 0", "LMOVEM l m RIGHT LEFT COUNT 5000 BULK", "LMPOP 1 l RIGHT COUNT 4000"]
        {
            h.run("DEL m");
            h.expect(&format!("RPUSH l {}", values.join(" ")), &size.to_string());
            h.run(command);
            h.expect("DEL l", "0");
            h.expect("LLEN l", "0");
        }
        h.expect(&format!("RPUSH l {}", vec!["x"; size].join(" ")), &size.to_string());
        h.expect("LREM l 0 x", &size.to_string());
        h.expect("DEL l", "0");
        h.reopen();
    }
}

#[test]
fn numbers_beyond_what_can_be_negated_are_refused() {
    let mut h = Harness::new();
    let text = "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    h.expect("LPOS l x RANK -9223372036854775808", text);
    h.expect("LREM l -9223372036854775808 x", text);
    h.expect("RPUSH l a b", "2");
    // Redis (all versions so far) takes the index modulo 2^32.
    h.expect("LSET l 4294967296 x", "-ERR index out of range");
    h.expect("LRANGE l -9223372036854775808 9223372036854775807", "[a b]");
}

/// As the command's definition has it, element by element.
fn move_many(from: &mut Vec<u32>, from_tail: bool, to_tail: bool, count: usize, obo: bool) -> (Vec<u32>, Vec<u32>) {
    let mut popped: Vec<u32> = Vec::new();
    while popped.len() < count && !from.is_empty() {
        popped.push(if from_tail { from.pop().expect("not empty") } else { from.remove(0) });
    }
    let mut block = Vec::new();
    if obo {
        popped.iter().for_each(|value| block.insert(if to_tail { block.len() } else { 0 }, *value));
    } else {
        block = popped;
        if from_tail {
            block.reverse();
        }
    }
    (block.clone(), block)
}

#[test]
fn lmovem_moves_as_a_plain_model_does() {
    let mut h = Harness::new();
    let mut gen_ = Gen::new(11);
    let mut lists: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    for n in 0..1500 {
        let (source, target) = (gen_.below(2), gen_.below(2));
        for _ in 0..gen_.below(4) {
            let value = gen_.below(1000) as u32;
            h.run(&format!("RPUSH l{source} {value}"));
            lists[source].push(value);
        }
        let (from_tail, to_tail, obo, exactly) = (gen_.one_in(2), gen_.one_in(2), gen_.one_in(2), gen_.one_in(3));
        let count = gen_.below(8) + 1;
        let end = |tail| if tail { "right" } else { "LEFT" };
        let reply = h.run(&format!(
            "LMOVEM l{source} l{target} {} {} {} {count} {}",
            end(from_tail),
            end(to_tail),
            if exactly { "EXACTLY" } else { "COUNT" },
            if obo { "OBO" } else { "BULK" },
        ));
        if lists[source].is_empty() || exactly && lists[source].len() < count {
            assert_eq!(reply, Value::NullArray);
            continue;
        }
        let (block, replied) = move_many(&mut lists[source], from_tail, to_tail, count, obo);
        let at = if to_tail { lists[target].len() } else { 0 };
        lists[target].splice(at..at, block);
        let bulks = |values: &[u32]| Value::Array(values.iter().map(|v| Value::Bulk(v.to_string().into())).collect());
        assert_eq!(reply, bulks(&replied), "{n}");
        for (number, list) in lists.iter().enumerate() {
            assert_eq!(h.run(&format!("LRANGE l{number} 0 -1")), bulks(list), "{n}");
        }
    }
    h.reopen();
}

#[test]
fn lmovem_reads_its_arguments_in_order() {
    let mut h = Harness::new();
    h.expect("RPUSH s a b c", "3");
    h.run("INCR t");
    for (arguments, reply) in [
        ("s d UP RIGHT COUNT 0 BULK", "-ERR syntax error"),
        ("s d LEFT RIGHT COUNT 0 BULK", "-ERR count should be greater than 0"),
        ("s d LEFT RIGHT EXACTLY a OBO", "-ERR count should be greater than 0"),
        ("s d LEFT RIGHT COUNT 2", "-ERR syntax error"),
        ("s d LEFT RIGHT COUNT 2 OTHER", "-ERR syntax error"),
        ("s d LEFT RIGHT COUNT 2 OBO extra", "-ERR syntax error"),
        ("s d LEFT RIGHT MANY 2 OBO", "-ERR syntax error"),
        ("t d LEFT RIGHT", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("s t LEFT RIGHT", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("nosuch t LEFT RIGHT", "nil"),
        ("s d LEFT RIGHT", "[a]"),
    ] {
        let text = format!("LMOVEM {arguments}");
        let reply = if reply == "nil" { "*-1".to_owned() } else { reply.to_owned() };
        let got = h.run(&text);
        let shown = if got == Value::NullArray { "*-1".into() } else { crate::harness::print(&got) };
        assert_eq!(shown, reply, "{text}");
    }
}

/// A command of the family that does not wait.
fn command(g: &mut Gen) -> Words {
    let key = g.key();
    let end = |g: &mut Gen| if g.one_in(20) { b"MIDDLE".to_vec() } else { g.word(&["LEFT", "RIGHT", "left", "Right"]) };
    let mut made = match g.below(34) {
        n @ 0..6 => {
            let mut made = words![g.word(&["LPUSH", "RPUSH", "RPUSH", "LPUSHX", "RPUSHX"]), key];
            let count = if n == 0 { g.below(200) } else { g.below(8) };
            made.extend((0..=count).map(|_| g.member()));
            made
        }
        6 | 7 => words![g.word(&["LPOP", "RPOP"]), key],
        8 => words![g.word(&["LPOP", "RPOP"]), key, g.count()],
        9 => words![g.word(&["LPOP", "RPOP"]), key, g.index()],
        10 => words!["LLEN", key],
        11 | 12 => words!["LINDEX", key, g.index()],
        13..16 => words!["LRANGE", key, g.index(), g.index()],
        16 => words!["LRANGE", key, "0", "-1"],
        17 | 18 => words!["LSET", key, small(g), g.member()],
        19 => words!["LTRIM", key, g.index(), g.index()],
        20..23 => words!["LINSERT", key, g.word(&["BEFORE", "AFTER", "before", "Beside"]), g.member(), g.member()],
        23 | 24 => words!["LREM", key, g.index(), g.member()],
        25 | 26 => lpos(g, key),
        27 => words!["RPOPLPUSH", key, g.key()],
        28 | 29 => words!["LMOVE", key, g.key(), end(g), end(g)],
        30 => {
            let mut made =
                words!["LMPOP", g.pick(&["1", "2", "2", "3", "0", "-1", "x", "9223372036854775807"]), key, g.key()];
            made.push(end(g));
            if g.one_in(2) {
                made.extend(words![g.option("COUNT"), g.count()]);
            }
            made
        }
        31 => words!["DEL", key],
        _ => words!["INCR", key],
    };
    if g.one_in(60) {
        made.push(g.member());
    }
    if g.one_in(60) {
        made.pop();
    }
    made
}

/// An index that fits 32 bits: LSET of Redis takes it modulo 2^32.
fn small(g: &mut Gen) -> Vec<u8> {
    loop {
        let text = g.index();
        if resp::parse_i64(&text).is_none_or(|n| i32::try_from(n).is_ok()) {
            return text;
        }
    }
}

fn lpos(g: &mut Gen, key: Vec<u8>) -> Words {
    let mut made = words!["LPOS", key, g.member()];
    for _ in 0..g.below(4) {
        match g.below(4) {
            0 => made.extend(words![g.option("RANK"), g.between(-4, 4).to_string()]),
            1 => made.extend(words![g.option("COUNT"), g.count()]),
            2 => made.extend(words![g.option("MAXLEN"), g.count()]),
            _ => made.extend(words![g.option("RANK"), g.index()]),
        }
    }
    made
}

#[test]
fn the_log_holds_what_random_commands_did() {
    for seed in 0..4 {
        let mut h = Harness::new();
        let mut random = Gen::new(seed);
        for _ in 0..5 {
            for _ in 0..200 {
                let made = command(&mut random);
                h.run_words(&made);
            }
            h.reopen();
        }
    }
}

#[test]
fn transactions_do_what_their_commands_do_one_by_one() {
    let (mut whole, mut single) = (Harness::new(), Harness::new());
    let mut random = Gen::new(21);
    for _ in 0..400 {
        let mut commands: Vec<Words> = (0..1 + random.below(5)).map(|_| command(&mut random)).collect();
        commands.retain(|made| table::find(&made[0]).expect("known").takes(made.len()));
        if commands.is_empty() {
            continue;
        }
        let replies: Vec<Value> = commands.iter().map(|made| single.run_words(made)).collect();
        assert_eq!(whole.exec(&commands), Value::Array(replies), "{commands:?}");
    }
    for key in [&b"a"[..], b"b", b"c", b"d", b"\x00k\xff\r\n"] {
        let line: [&[u8]; 4] = [b"LRANGE", key, b"0", b"-1"];
        assert_eq!(whole.run_bytes(&line), single.run_bytes(&line));
    }
    whole.reopen();
}
