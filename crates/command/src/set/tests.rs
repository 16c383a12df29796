//! Sets beside a real Redis.

use resp::Protocol;

use crate::harness::Harness;
use crate::oracle::{Gen, How, Oracle, Words, compare};

fn command(g: &mut Gen) -> Words {
    let name = g.word(&[
        "sadd",
        "sadd",
        "sadd",
        "sadd",
        "srem",
        "scard",
        "sismember",
        "smismember",
        "smembers",
        "smove",
        "sinter",
        "sunion",
        "sdiff",
        "sinterstore",
        "sunionstore",
        "sdiffstore",
        "sintercard",
        "del",
        "set",
    ]);
    let mut words = vec![name.clone()];
    match &name[..] {
        b"sadd" | b"srem" | b"smismember" => {
            words.push(g.key());
            (0..g.below(4) + 1).for_each(|_| words.push(g.member()));
        }
        b"sismember" | b"set" => words.extend([g.key(), g.member()]),
        b"smove" => words.extend([g.key(), g.key(), g.member()]),
        b"scard" | b"smembers" | b"del" => words.push(g.key()),
        b"sintercard" => {
            words.push(g.count());
            (0..g.below(3) + 1).for_each(|_| words.push(g.key()));
            if g.one_in(3) {
                words.extend([b"LIMIT".to_vec(), g.count()]);
            }
        }
        _ => (0..g.below(3) + 2).for_each(|_| words.push(g.key())),
    }
    words
}

fn how(words: &[Vec<u8>]) -> How {
    match &words[0][..] {
        b"smembers" | b"sinter" | b"sunion" | b"sdiff" => How::Unordered,
        _ => How::Exact,
    }
}

#[test]
fn sets_answer_as_redis_does() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut h = Harness::new();
    for (protocol, seed) in [(Protocol::Resp2, 1), (Protocol::Resp3, 2)] {
        oracle.protocol(protocol);
        h.protocol = protocol;
        compare(&mut h, &mut oracle, seed, 4_000, command, how);
        h.reopen();
    }
}

#[test]
fn random_members_are_members_and_different_where_asked() {
    let mut h = Harness::new();
    for n in 0..300 {
        h.run(&format!("SADD s m{n}"));
    }
    for count in [1usize, 5, 100, 299, 300, 400] {
        let value = h.run(&format!("SRANDMEMBER s {count}"));
        let members = value.as_slice().expect("an array");
        assert_eq!(members.len(), count.min(300));
        let unique: std::collections::HashSet<_> = members.iter().filter_map(|m| m.as_bytes()).collect();
        assert_eq!(unique.len(), members.len());
    }
    assert_eq!(h.run("SRANDMEMBER s -50").as_slice().map(<[_]>::len), Some(50));
    h.reopen();
    for left in (0..300).rev() {
        assert!(h.run("SPOP s").as_bytes().is_some());
        h.expect("SCARD s", &left.to_string());
    }
    h.expect("DEL s", "0");
    h.reopen();
    h.expect("SCARD s", "0");
}

#[test]
fn a_scan_returns_every_member() {
    let mut h = Harness::new();
    let mut all = std::collections::HashSet::new();
    for n in 0..1000 {
        h.run(&format!("SADD s member:{n}"));
        all.insert(format!("member:{n}").into_bytes());
    }
    let mut cursor = "0".to_owned();
    let mut seen = std::collections::HashSet::new();
    loop {
        let value = h.run(&format!("SSCAN s {cursor} COUNT 7"));
        let parts = value.as_slice().expect("an array of two");
        cursor = String::from_utf8(parts[0].as_bytes().expect("a cursor").to_vec()).expect("digits");
        seen.extend(parts[1].as_slice().expect("members").iter().filter_map(|m| m.as_bytes().map(<[u8]>::to_vec)));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, all);
}
