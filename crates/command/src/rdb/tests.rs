//! Payloads against a real Redis in both directions, encodings that only older or newer ones write, and garbage.

use effect::Kind;
use proptest::prelude::*;
use rdb::testing::{self, Blob, len, listpack, string, ziplist};
use rdb::{Refused, kinds};
use resp::Value as Reply;

use super::restore;
use crate::harness::{Harness, print};
use crate::oracle::{Oracle, real_now_ms};

/// A body with its footer.
pub(crate) fn signed(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = body.to_vec();
    payload.extend(version.to_le_bytes());
    payload.extend(rdb::checksum(&payload).to_le_bytes());
    payload
}

/// Commands that make values of every encoding that a Redis 7.0 writes.
fn recipes() -> Vec<Vec<Vec<u8>>> {
    let word = |text: &str| text.as_bytes().to_vec();
    let numbered = |name: &str, count: usize, element: &dyn Fn(usize) -> Vec<Vec<u8>>| {
        let mut words = vec![word(name), word("v")];
        words.extend((0..count).flat_map(element));
        words
    };
    let mut recipes = Vec::new();
    for text in ["", "1", "-1", "127", "-128", "128", "32767", "-32769", "2147483647", "-2147483649", "12345678901"] {
        recipes.push(vec![word("SET"), word("v"), word(text)]);
    }
    for text in ["007", "1.5", "\u{0}\r\n", "+1", "-0"] {
        recipes.push(vec![word("SET"), word("v"), word(text)]);
    }
    for len in [60, 100, 20_000] {
        recipes.push(vec![word("SET"), word("v"), vec![b'a'; len]]);
        recipes.push(vec![word("SET"), word("v"), (0..len).map(|i| (i * i / 7) as u8).collect()]);
    }
    for count in [1, 20, 300, 5000] {
        recipes.push(numbered("RPUSH", count, &|i| vec![word(&format!("element {i}"))]));
        recipes.push(numbered("RPUSH", count, &|i| vec![word(&(i * i * i).to_string())]));
        recipes.push(numbered("SADD", count, &|i| vec![word(&i.to_string())]));
        recipes.push(numbered("SADD", count, &|i| vec![word(&(i as i64 * -100_000).to_string())]));
        recipes.push(numbered("SADD", count, &|i| vec![word(&(i as i64 * 10_000_000_000).to_string())]));
        recipes.push(numbered("SADD", count, &|i| vec![word(&format!("m{i}"))]));
        recipes.push(numbered("HSET", count, &|i| vec![word(&format!("f{i}")), word(&(i * 77).to_string())]));
        recipes.push(numbered("HSET", count, &|i| vec![word(&i.to_string()), word(&format!("value {i}"))]));
        recipes.push(numbered("ZADD", count, &|i| vec![word(&format!("{}", i as f64 / 3.0)), word(&format!("m{i}"))]));
        recipes.push(numbered("ZADD", count, &|i| vec![word(&format!("{}", i as i64 * -7)), word(&i.to_string())]));
    }
    recipes.push(numbered("RPUSH", 4, &|i| vec![vec![b'x'; i * 5000]]));
    recipes.push(numbered("RPUSH", 3, &|i| vec![(0..i * 9000).map(|n| (n * n / 5) as u8).collect()]));
    recipes.push(numbered("HSET", 3, &|i| vec![vec![b'f'; i * 60], vec![b'v'; i * 300]]));
    let mut infinite = vec![word("ZADD"), word("v")];
    for (score, member) in [("inf", "a"), ("-inf", "b"), ("0.1", "c"), ("1e300", "d"), ("-0", "e"), ("5e-324", "f")] {
        infinite.extend([word(score), word(member)]);
    }
    recipes.push(infinite);
    recipes
}

/// Payloads that a Redis wrote: of every type and encoding.
pub(crate) fn payloads(oracle: &mut Oracle) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for recipe in recipes() {
        oracle.run(&[b"DEL", b"v"]);
        let made = oracle.run(&recipe.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert!(!made.is_error(), "{made:?}");
        payloads.push(bulk(oracle.run(&[b"DUMP", b"v"])));
    }
    oracle.run(&[b"DEL", b"v"]);
    payloads
}

fn bulk(reply: Reply) -> Vec<u8> {
    reply.as_bytes().unwrap_or_else(|| panic!("no string: {reply:?}")).to_vec()
}

/// What Redis makes of a value, whatever its encoding.
fn digest(oracle: &mut Oracle, key: &[u8]) -> Reply {
    oracle.run(&[b"DEBUG", b"DIGEST-VALUE", key])
}

/// Restores a payload in both; what ours dumps of it must be the same value to Redis.
#[track_caller]
fn agree(ours: &mut Harness, oracle: &mut Oracle, payload: &[u8]) {
    let theirs = oracle.run(&[b"RESTORE", b"theirs", b"0", payload, b"REPLACE"]);
    let reply = ours.run_bytes(&[b"RESTORE", b"k", b"0", payload, b"REPLACE"]);
    assert_eq!(print(&theirs), "OK", "redis refuses {}", payload.escape_ascii());
    assert_eq!(print(&reply), "OK", "we refuse {}", payload.escape_ascii());
    let dumped = bulk(ours.run("DUMP k"));
    let back = oracle.run(&[b"RESTORE", b"ours", b"0", &dumped, b"REPLACE"]);
    assert_eq!(print(&back), "OK", "redis refuses our {}", dumped.escape_ascii());
    assert_eq!(digest(oracle, b"ours"), digest(oracle, b"theirs"), "{}", payload.escape_ascii());
    assert_eq!(oracle.run(&[b"TYPE", b"ours"]), ours.run("TYPE k"));
    // Our own way back.
    ours.run_bytes(&[b"RESTORE", b"k2", b"0", &dumped, b"REPLACE"]);
    let again = bulk(ours.run("DUMP k2"));
    let back = oracle.run(&[b"RESTORE", b"ours", b"0", &again, b"REPLACE"]);
    assert_eq!(print(&back), "OK");
    assert_eq!(digest(oracle, b"ours"), digest(oracle, b"theirs"));
}

#[test]
fn what_redis_dumps_we_restore_and_what_we_dump_redis_restores() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut ours = Harness::new();
    ours.set_clock(real_now_ms());
    for payload in payloads(&mut oracle) {
        agree(&mut ours, &mut oracle, &payload);
    }
    ours.reopen();
}

#[test]
fn encodings_of_older_versions_are_read_as_redis_reads_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut ours = Harness::new();
    ours.set_clock(real_now_ms());
    for (kind, body) in testing::old() {
        let payload = signed(&[&[kind], body.as_slice()].concat(), 9);
        agree(&mut ours, &mut oracle, &payload);
    }
    ours.reopen();
}

#[test]
fn encodings_of_newer_versions_are_read() {
    let mut h = Harness::new();
    let list = signed(&[&[kinds::LIST, 1][..], &string(b"h")].concat(), 10);
    h.run_bytes(&[b"RESTORE", b"l", b"0", &list]);
    let set = [&[kinds::SET_LISTPACK][..], &string(&listpack(&[Blob::Text(b"m"), Blob::Int(-5)]))].concat();
    h.run_bytes(&[b"RESTORE", b"s", b"0", &signed(&set, 11)]);
    h.expect("SORT s ALPHA", "[-5 m]");

    let now = 1_700_000_000_000i64;
    let with_ttl = |first: Option<i64>, fields: &[(&[u8], u64)]| {
        let mut body = first.map(|ms| ms.to_le_bytes().to_vec()).unwrap_or_default();
        body.extend(len(fields.len() as u64));
        for (name, ttl) in fields {
            body.extend([len(*ttl), string(name), string(b"v")].concat());
        }
        body
    };
    let triples = |first: Option<i64>| {
        let blob = listpack(&[
            Blob::Text(b"a"),
            Blob::Int(1),
            Blob::Int(now + 500),
            Blob::Text(b"b"),
            Blob::Text(b"v"),
            Blob::Int(0),
            Blob::Text(b"past"),
            Blob::Text(b"v"),
            Blob::Int(now - 1),
        ]);
        [first.map(|ms| ms.to_le_bytes().to_vec()).unwrap_or_default(), string(&blob)].concat()
    };
    let early = (now + 500) as u64;
    let forms: [(u8, Vec<u8>); 4] = [
        (kinds::HASH_METADATA, with_ttl(Some(now), &[(b"a", 501), (b"b", 0), (b"past", 1)])),
        (kinds::HASH_METADATA_EARLY, with_ttl(None, &[(b"a", early), (b"b", 0), (b"past", 1)])),
        (kinds::HASH_LISTPACK_EX, triples(Some(now - 1))),
        (kinds::HASH_LISTPACK_EX_EARLY, triples(None)),
    ];
    for (kind, body) in forms {
        let mut h = Harness::new();
        h.run_bytes(&[b"RESTORE", b"l", b"0", &list]);
        let payload = signed(&[&[kind], body.as_slice()].concat(), 12);
        assert_eq!(print(&h.run_bytes(&[b"RESTORE", b"h", b"0", &payload])), "OK", "{kind}");
        let a = if kind >= kinds::HASH_LISTPACK_EX || kind == kinds::HASH_LISTPACK_EX_EARLY { "1" } else { "v" };
        h.expect("SORT l BY nosort GET *->a GET *->b GET *->past", &format!("[{a} v nil]"));
        // Deadlines survive our own form.
        let dumped = bulk(h.run("DUMP h"));
        assert_eq!(dumped[0], kinds::HASH_METADATA);
        h.run_bytes(&[b"RESTORE", b"h", b"0", &dumped, b"REPLACE"]);
        h.reopen();
        h.pass(499);
        h.expect("SORT l BY nosort GET *->a GET *->b", &format!("[{a} v]"));
        h.pass(1);
        h.expect("SORT l BY nosort GET *->a GET *->b", "[nil v]");
    }
}

#[test]
fn a_hash_without_living_fields_is_gone() {
    let mut h = Harness::new();
    let body = [&[kinds::HASH_METADATA_EARLY][..], &len(1), &len(1), &string(b"f"), &string(b"v")].concat();
    let payload = signed(&body, 12);
    assert_eq!(print(&h.run_bytes(&[b"RESTORE", b"h", b"0", &payload])), "OK");
    h.expect("EXISTS h", "0");
}

/// Which part of a payload is refused.
fn refusal(payload: &[u8]) -> Option<&'static str> {
    match restore(payload).err()? {
        Refused::Footer => Some("footer"),
        Refused::Body(_) => Some("body"),
    }
}

#[test]
fn footers_are_checked() {
    let body = [&[kinds::STRING][..], &string(b"v")].concat();
    assert!(restore(&signed(&body, 12)).is_ok());
    assert_eq!(refusal(&signed(&body, 16)), Some("footer"));
    let mut changed = signed(&body, 10);
    changed[1] ^= 1;
    assert_eq!(refusal(&changed), Some("footer"));
    for len in 0..10 {
        assert_eq!(refusal(&changed[..len]), Some("footer"));
    }
    assert_eq!(refusal(&signed(b"", 10)), Some("body"));
}

#[test]
fn malformed_bodies_are_refused() {
    let lp = |elements: &[Blob<'_>]| string(&listpack(elements));
    let zl = |elements: &[Blob<'_>]| string(&ziplist(elements));
    let cases: Vec<(&str, u8, Vec<u8>)> = vec![
        ("an unknown type", 21, string(b"v")),
        ("an empty list", kinds::LIST, len(0)),
        ("an empty set", kinds::SET, len(0)),
        ("a member twice", kinds::SET, [len(2), string(b"m"), string(b"m")].concat()),
        ("a field twice", kinds::HASH_LISTPACK, lp(&[Blob::Int(1), Blob::Int(2), Blob::Int(1), Blob::Int(3)])),
        ("a field without a value", kinds::HASH_ZIPLIST, zl(&[Blob::Int(1)])),
        ("a member without a score", kinds::ZSET_LISTPACK, lp(&[Blob::Int(1)])),
        ("a score that is no number", kinds::ZSET_ZIPLIST, zl(&[Blob::Int(1), Blob::Text(b"x")])),
        ("NaN", kinds::ZSET_2, [len(1), string(b"m"), f64::NAN.to_le_bytes().to_vec()].concat()),
        ("NaN as text", kinds::ZSET, [len(1), string(b"m"), vec![253]].concat()),
        ("a count beyond the bytes", kinds::LIST, vec![0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("a length beyond the bytes", kinds::STRING, vec![0x80, 0xff, 0xff, 0xff, 0xff]),
        ("an announced string", kinds::STRING, vec![0xc3, 1, 0x81, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]),
        ("a node of an unknown form", kinds::LIST_QUICKLIST_2, [len(1), len(3), string(b"x")].concat()),
        ("a listpack that is cut", kinds::SET_LISTPACK, string(&listpack(&[Blob::Int(1)])[..7])),
        ("an intset that does not ascend", kinds::SET_INTSET, string(&[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0])),
        ("an intset that is cut", kinds::SET_INTSET, string(&[2, 0, 0, 0, 2, 0, 0, 0, 1, 0])),
        ("a deadline that is text", kinds::HASH_LISTPACK_EX_EARLY, lp(&[Blob::Int(1), Blob::Int(1), Blob::Text(b"")])),
        ("a negative deadline", kinds::HASH_LISTPACK_EX_EARLY, lp(&[Blob::Int(1), Blob::Int(1), Blob::Int(-1)])),
    ];
    for (what, kind, body) in cases {
        let payload = signed(&[&[kind], body.as_slice()].concat(), 12);
        assert_eq!(refusal(&payload), Some("body"), "{what}");
    }
}

#[test]
fn memory_is_bounded_by_the_budget_not_by_what_is_announced() {
    // LZF: 255 + 9 bytes for every three.
    let packed: Vec<u8> = [0, b'a'].into_iter().chain([0xe0, 255, 0].repeat(1000)).collect();
    let size = 1 + 264 * 1000;
    let body = [&[kinds::STRING, 0xc3][..], &len(packed.len() as u64), &len(size), &packed].concat();
    assert!(rdb::body(&body, rdb::Dialect::Redis, size as usize * 3).is_ok());
    assert!(rdb::body(&body, rdb::Dialect::Redis, size as usize - 1).is_err());
}

/// Valid bodies of every encoding, to be changed.
fn bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> =
        testing::old().into_iter().map(|(kind, body)| [&[kind], &body[..]].concat()).collect();
    for recipe in [
        vec![kinds::STRING, 0xc3, 5, 12, 0, b'a', 0xe0, 2, 0],
        [&[kinds::LIST, 2][..], &string(b"one"), &string(b"2")].concat(),
        [&[kinds::HASH_METADATA][..], &[0; 8], &len(1), &len(9), &string(b"f"), &string(b"v")].concat(),
        [&[kinds::SET_LISTPACK][..], &string(&listpack(&[Blob::Text(b"m"), Blob::Int(70_000)]))].concat(),
    ] {
        bodies.push(recipe);
    }
    bodies
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_payloads_never_panic(
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        tail in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let bodies = bodies();
        let mut body = which.get(&bodies).clone();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(at) = cut {
            body.truncate(at.index(body.len() + 1));
        }
        body.extend(tail);
        super::fuzz_restore(&body);
        super::fuzz_restore(&signed(&body, 12));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        super::fuzz_restore(&bytes);
        super::fuzz_restore(&signed(&bytes, 12));
    }
}

#[test]
fn valid_bodies_are_read_whole() {
    for body in bodies() {
        let value = restore(&signed(&body, 12)).unwrap_or_else(|e| panic!("{e:?}: {}", body.escape_ascii()));
        assert!(matches!(value.kind(), Kind::String | Kind::List | Kind::Set | Kind::Hash | Kind::ZSet));
    }
}
