//! Tests of the family: against a real Redis, against the log, and by example where neither can tell.

mod differential;
mod examples;
mod restart;

use crate::oracle::{Gen, Words, words};

/// Keys whose members all have the same score.
fn lex_key(g: &mut Gen) -> Vec<u8> {
    g.word(&["lex1", "lex2"])
}

/// A key to read: mostly a sorted set, sometimes a set or a string.
fn source(g: &mut Gen) -> Vec<u8> {
    match g.below(20) {
        0 => b"string".to_vec(),
        1..4 => g.word(&["set1", "set2"]),
        4 => b"absent".to_vec(),
        5 => lex_key(g),
        _ => g.key(),
    }
}

/// A key to change or read: almost always a sorted set.
fn key(g: &mut Gen) -> Vec<u8> {
    if g.one_in(40) { g.word(&["string", "set1"]) } else { g.key() }
}

fn maybe(g: &mut Gen, one_in: usize, option: &str, out: &mut Words) -> bool {
    let yes = g.one_in(one_in);
    if yes {
        out.push(g.option(option));
    }
    yes
}

fn score_bound(g: &mut Gen) -> Vec<u8> {
    let mut text = if g.one_in(3) { b"(".to_vec() } else { Vec::new() };
    text.extend(match g.below(12) {
        0 => g.word(&["-inf", "+inf", "inf", "1e400", "", " 3", "nan", "1 "]),
        1 => g.integer(),
        _ => g.float(),
    });
    text
}

fn lex_bound(g: &mut Gen) -> Vec<u8> {
    match g.below(10) {
        0 => b"-".to_vec(),
        1 => b"+".to_vec(),
        2 => g.word(&["", "a", "+a", "-1", "[", "("]),
        n => [if n < 6 { &b"["[..] } else { &b"("[..] }, &g.member()[..]].concat(),
    }
}

fn limit(g: &mut Gen, out: &mut Words) {
    if maybe(g, 3, "LIMIT", out) {
        out.push(g.count());
        out.push(if g.one_in(3) { b"-1".to_vec() } else { g.count() });
    }
}

fn zadd(g: &mut Gen) -> Words {
    let mut out = words!["ZADD", key(g)];
    if g.one_in(4) {
        out.push(g.option("INCR"));
        if g.one_in(2) {
            out.push(g.word(&["NX", "XX", "GT", "LT"]));
        }
        out.extend(words![g.word(&["0", "-0.0", "1", "-1", "0.5", "inf", "-inf"]), g.member()]);
        return out;
    }
    for option in ["NX", "XX", "GT", "LT", "CH", "INCR"] {
        maybe(g, 6, option, &mut out);
    }
    let pairs = if g.one_in(8) { 10 + g.below(20) } else { 1 + g.below(4) };
    for _ in 0..pairs {
        out.push(if g.one_in(4) { g.float() } else { g.between(-5, 9).to_string().into_bytes() });
        out.push(g.member());
    }
    if g.one_in(30) {
        out.pop();
    }
    out
}

fn range(g: &mut Gen) -> Words {
    let (by, rev) = (g.below(4), g.one_in(2));
    let store = g.one_in(5);
    let mut out = if store { words!["ZRANGESTORE", g.key()] } else { words!["ZRANGE"] };
    match by {
        0 => out.extend(words![lex_key(g), lex_bound(g), lex_bound(g), "BYLEX"]),
        1 => out.extend(words![key(g), score_bound(g), score_bound(g), "BYSCORE"]),
        _ => out.extend(words![key(g), g.index(), g.index()]),
    }
    if rev {
        out.push(g.option("REV"));
    }
    if by < 2 || g.one_in(10) {
        limit(g, &mut out);
    }
    if by != 0 || g.one_in(10) {
        maybe(g, 2, "WITHSCORES", &mut out);
    }
    if g.one_in(40) {
        out.push(g.word(&["REV", "BYLEX", "BYSCORE", "nonsense", "LIMIT"]));
    }
    out
}

fn old_range(g: &mut Gen) -> Words {
    let mut out = match g.below(5) {
        0 => words!["ZREVRANGE", key(g), g.index(), g.index()],
        1 => words!["ZRANGEBYSCORE", key(g), score_bound(g), score_bound(g)],
        2 => words!["ZREVRANGEBYSCORE", key(g), score_bound(g), score_bound(g)],
        3 => words!["ZRANGEBYLEX", lex_key(g), lex_bound(g), lex_bound(g)],
        _ => words!["ZREVRANGEBYLEX", lex_key(g), lex_bound(g), lex_bound(g)],
    };
    if out.len() == 4 && (out[0] != b"ZREVRANGE" || g.one_in(10)) {
        limit(g, &mut out);
    }
    if !out[0].ends_with(b"LEX") || g.one_in(10) {
        maybe(g, 2, "WITHSCORES", &mut out);
    }
    if g.one_in(30) {
        out.push(g.word(&["REV", "BYLEX", "nonsense"]));
    }
    out
}

fn combine(g: &mut Gen) -> Words {
    let name = g.word(&["ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"]);
    let mut out = vec![name.clone()];
    let store = name.ends_with(b"STORE");
    if store {
        out.push(g.key());
    }
    let keys = 1 + g.below(4);
    out.push(if g.one_in(25) { g.integer() } else { keys.to_string().into_bytes() });
    (0..keys).for_each(|_| out.push(source(g)));
    let plain = name.starts_with(b"ZDIFF") || name == b"ZINTERCARD";
    if g.one_in(if plain { 20 } else { 2 }) && maybe(g, 2, "WEIGHTS", &mut out) {
        (0..keys).for_each(|_| out.push(if g.one_in(3) { g.float() } else { g.integer() }));
    }
    if g.one_in(if plain { 20 } else { 2 }) && maybe(g, 2, "AGGREGATE", &mut out) {
        out.push(g.word(&["sum", "MIN", "Max", "avg"]));
    }
    if g.one_in(if store { 30 } else { 2 }) {
        out.push(g.option("WITHSCORES"));
    }
    if g.one_in(if name == b"ZINTERCARD" { 2 } else { 30 }) {
        out.push(g.option("LIMIT"));
        out.push(g.count());
    }
    out
}

fn pop(g: &mut Gen) -> Words {
    let mut out = match g.below(3) {
        0 => words!["ZPOPMIN", key(g)],
        1 => words!["ZPOPMAX", key(g)],
        _ => {
            let keys = 1 + g.below(3);
            let mut out = words!["ZMPOP", keys.to_string()];
            (0..keys).for_each(|_| out.push(if g.one_in(3) { b"absent".to_vec() } else { key(g) }));
            out.push(g.word(&["MIN", "max", "MAX", "min", "mid"]));
            if maybe(g, 2, "COUNT", &mut out) {
                out.push(g.count());
            }
            if g.one_in(20) {
                out[1] = g.integer();
            }
            return out;
        }
    };
    if g.one_in(2) {
        out.push(g.count());
    }
    if g.one_in(30) {
        out.push(g.count());
    }
    out
}

/// One of the family's commands that never waits and whose reply Redis 7.0 can tell.
fn command(g: &mut Gen) -> Words {
    match g.below(36) {
        0..7 => zadd(g),
        7 => words!["ZADD", lex_key(g), "0", g.member(), "0", g.member(), "0", g.member()],
        8 => words!["ZINCRBY", key(g), if g.one_in(12) { g.word(&["NX", "incr"]) } else { g.float() }, g.member()],
        9 => words!["ZREM", key(g), g.member(), g.member(), g.member()],
        10 => words!["ZCARD", key(g)],
        11 => words!["ZCOUNT", key(g), score_bound(g), score_bound(g)],
        12 => words!["ZLEXCOUNT", lex_key(g), lex_bound(g), lex_bound(g)],
        13 => words!["ZSCORE", key(g), g.member()],
        14 => words!["ZMSCORE", key(g), g.member(), g.member(), g.member()],
        15 => words!["ZRANK", key(g), g.member()],
        16 => words!["ZREVRANK", key(g), g.member()],
        17..21 => range(g),
        21..24 => old_range(g),
        24 => match g.below(3) {
            0 => words!["ZREMRANGEBYRANK", key(g), g.index(), g.index()],
            1 => words!["ZREMRANGEBYSCORE", key(g), score_bound(g), score_bound(g)],
            _ => words!["ZREMRANGEBYLEX", lex_key(g), lex_bound(g), lex_bound(g)],
        },
        25 | 26 => pop(g),
        27..32 => combine(g),
        32 => match g.below(4) {
            0 => words!["ZRANDMEMBER", key(g)],
            1 => words!["ZRANDMEMBER", key(g), "1000"],
            2 => words!["ZRANDMEMBER", key(g), g.between(-20, 20).to_string()],
            _ => words!["ZRANDMEMBER", key(g), g.between(-20, 20).to_string(), g.word(&["WITHSCORES", "nonsense"])],
        },
        33 => {
            let mut out = words!["ZSCAN", key(g), g.word(&["0", "0", "0", "-", "x", " 1"])];
            if g.one_in(10) {
                out.extend(words![g.option("COUNT"), g.count()]);
            }
            // All of it is one page, so that pages need not be alike.
            out.extend(words!["COUNT", "100000"]);
            if maybe(g, 3, "MATCH", &mut out) {
                out.push(g.word(&["*", "[a-f]*", "?", "1*", "nothing"]));
            }
            out
        }
        34 => words!["INCR", "string"],
        _ => {
            let mut out = words!["DEL", g.key()];
            if g.one_in(3) {
                out.push(lex_key(g));
            }
            out
        }
    }
}
