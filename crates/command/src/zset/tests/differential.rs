//! Identical random commands to a real Redis and to ours.

use resp::{Protocol, Value};

use super::command;
use crate::harness::Harness;
use crate::oracle::{Gen, How, Oracle, Words, compare, words};
use crate::spec::{Keys, Spec};
use crate::zset::SPECS;

/// Members of the planted sets.
const SET_MEMBERS: [(&str, &[&str]); 2] =
    [("set1", &["1", "2", "3", "7", "12"]), ("set2", &["a", "b", "c", "3", "foo"])];

fn plant(ours: &mut Harness, oracle: &mut Oracle) {
    use effect::{Deadline, Item, ItemValue, Kind, Merge, Op};
    for (key, members) in SET_MEMBERS {
        ours.emit(key.as_bytes(), |out, key| {
            let (kind, merge) = (Kind::Set, Merge::LastWriter);
            let mut items = out.items(kind, merge);
            members.iter().for_each(|id| items.push(Item { id: id.as_bytes(), value: ItemValue::Member }));
            out.emit(key, true, Op::Put { kind, merge, deadline: Deadline::Keep, items: items.seq() });
        });
        oracle.line(&format!("SADD {key} {}", members.join(" ")));
    }
    for reply in [ours.run("INCR string"), oracle.line("INCR string")] {
        assert_eq!(reply, Value::Int(1));
    }
}

fn how(words: &[Vec<u8>]) -> How {
    match (&words[0][..], words.get(2).map(|word| &word[..])) {
        (b"ZRANDMEMBER", Some(b"1000")) => How::Unordered,
        (b"ZRANDMEMBER", _) => How::Shape,
        (b"ZSCAN", _) => How::Page,
        _ => How::Scores,
    }
}

fn both(protocol: Protocol) -> Option<(Harness, Oracle)> {
    let mut oracle = Oracle::start()?;
    let mut ours = Harness::new();
    plant(&mut ours, &mut oracle);
    oracle.protocol(protocol);
    ours.protocol = protocol;
    Some((ours, oracle))
}

#[test]
fn replies_are_those_of_redis_in_resp2() {
    let Some((mut ours, mut oracle)) = both(Protocol::Resp2) else { return };
    compare(&mut ours, &mut oracle, 2, 12_000, command, how);
    ours.reopen();
}

#[test]
fn replies_are_those_of_redis_in_resp3() {
    let Some((mut ours, mut oracle)) = both(Protocol::Resp3) else { return };
    compare(&mut ours, &mut oracle, 3, 12_000, command, how);
    ours.reopen();
}

/// Sets beyond the packed form, with many equal scores.
#[test]
fn large_sets_are_those_of_redis() {
    fn member(g: &mut Gen) -> String {
        format!("m{}", g.below(600))
    }
    fn large(g: &mut Gen) -> Words {
        let key = g.word(&["big1", "big2"]);
        let (low, high) = (g.between(-3, 40), g.between(-3, 40));
        let (first, last) = (g.between(-700, 700), g.between(-700, 700));
        match g.below(14) {
            0..4 => {
                let mut out = words!["ZADD", key];
                (0..1 + g.below(60)).for_each(|_| out.extend(words![g.below(40).to_string(), member(g)]));
                out
            }
            4 => words!["ZINCRBY", key, g.between(-9, 9).to_string(), member(g)],
            5 => words!["ZREM", key, member(g), member(g), member(g)],
            6 => words!["ZRANK", key, member(g)],
            7 => words!["ZREVRANK", key, member(g)],
            8 => words!["ZRANGE", key, first.to_string(), last.to_string(), "WITHSCORES"],
            9 => words!["ZREVRANGEBYSCORE", key, high.to_string(), low.to_string(), "LIMIT", "3", "40"],
            10 => words!["ZCOUNT", key, format!("({low}"), high.to_string()],
            11 if g.one_in(20) => words!["ZREMRANGEBYSCORE", key, low.to_string(), format!("({high}")],
            11 => words!["ZPOPMAX", key, g.below(9).to_string()],
            12 if g.one_in(10) => words!["ZRANGESTORE", key, "big1", first.to_string(), last.to_string()],
            12 => words!["ZMSCORE", key, member(g), member(g)],
            _ => words!["ZINTER", "2", "big1", "big2", "WITHSCORES", "AGGREGATE", g.word(&["MIN", "MAX", "SUM"])],
        }
    }
    let Some((mut ours, mut oracle)) = both(Protocol::Resp2) else { return };
    compare(&mut ours, &mut oracle, 4, 4_000, large, how);
    ours.reopen();
}

/// Commands that may wait, where they need not: a member is there, or they are refused.
#[test]
fn commands_that_may_wait_answer_as_redis_does_where_there_is_something() {
    let Some((mut ours, mut oracle)) = both(Protocol::Resp3) else { return };
    let mut next: Option<Words> = None;
    let make = |g: &mut Gen| {
        if let Some(words) = next.take() {
            return words;
        }
        // Timeouts that are too large are negative to 7.0.
        let timeout = g.word(&["0", "0.5", "10", "-1", "abc", "", "-0.0001", "9e15", "1 "]);
        let key = g.word(&["a", "b"]);
        next = Some(match g.below(6) {
            0 => words!["BZPOPMIN", "absent", key, timeout],
            1 => words!["BZPOPMAX", key, timeout],
            2 => words!["BZPOPMAX", "string", key, timeout],
            3 => words!["BZMPOP", timeout, "2", "absent", key, g.word(&["MIN", "max", "no"])],
            4 => words!["BZMPOP", timeout, "1", key, "MAX", "COUNT", g.count()],
            _ => words!["BZMPOP", timeout, g.word(&["0", "-1", "x", "5"]), key, "MAX"],
        });
        words!["ZADD", key, g.below(9).to_string(), g.member(), g.below(9).to_string(), g.member()]
    };
    compare(&mut ours, &mut oracle, 5, 1_000, make, how);
}

/// Whether a position of Redis' key specification is that of ours.
fn first_key(spec: &Spec) -> i64 {
    match spec.keys {
        Keys::Range { first, .. } => first as i64,
        // Where a count says how many keys there are, Redis names the destination, or nothing.
        Keys::Counted { dest, .. } => dest as i64,
        Keys::None | Keys::All | Keys::Found(_) => panic!("no command of this family"),
    }
}

#[test]
fn declarations_are_those_of_redis() {
    let Some((_, mut oracle)) = both(Protocol::Resp2) else { return };
    for spec in SPECS {
        let Value::Array(found) = oracle.line(&format!("COMMAND INFO {}", spec.name)) else { panic!("{}", spec.name) };
        let Some(Value::Array(info)) = found.first() else { panic!("redis does not know {}", spec.name) };
        let Value::Array(flags) = &info[2] else { panic!("no flags") };
        let mut theirs: Vec<_> = flags.iter().map(|flag| flag.as_bytes().expect("a flag")).collect();
        let mut ours: Vec<_> = spec.flags.names().into_iter().map(str::as_bytes).collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs, "flags of {}", spec.name);
        // WITHSCORE came with 7.2.
        if !matches!(spec.name, "zrank" | "zrevrank") {
            assert_eq!(info[1], Value::Int(i64::from(spec.arity)), "arity of {}", spec.name);
        }
        assert_eq!(info[3], Value::Int(first_key(spec)), "first key of {}", spec.name);
        let Value::Array(categories) = &info[6] else { panic!("no categories") };
        let mut theirs: Vec<_> = categories.iter().map(|name| name.as_bytes().expect("a category")).collect();
        let mut ours: Vec<_> = spec.categories().into_iter().map(str::as_bytes).collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs, "categories of {}", spec.name);
    }
}
