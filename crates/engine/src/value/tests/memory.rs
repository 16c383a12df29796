//! What a million of each costs, printed (`--nocapture`) and held against the targets.
//!
//! The figures of Redis are the growth of `used_memory` over a million of the same, measured with 7.0.15.

use crate::value::{Entry, HashSeed, Kind, Limits, Table};
use effect::ListPos;

const COUNT: usize = 1_000_000;

fn report(what: &str, bytes: usize, redis: &str, most: f64) {
    let each = bytes as f64 / COUNT as f64;
    eprintln!("{what}: {each:.1} bytes each (Redis 7.0.15: {redis})");
    assert!(each < most, "{what}: {each:.1} bytes each, {most} allowed");
}

/// A table of the entries, and all that it takes.
fn keyspace(make: impl Fn(usize) -> Entry) -> usize {
    let seed = HashSeed([3; 16]);
    let mut table = Table::new();
    let mut heap = 0;
    for n in 0..COUNT {
        let entry = make(n);
        heap += entry.memory_bytes() - size_of::<Entry>();
        table.insert_unique(seed.hash(entry.key()), entry, |entry: &Entry| seed.hash(entry.key()));
    }
    table.memory_bytes() + heap
}

#[test]
fn a_million_short_strings() {
    let bytes = keyspace(|n| Entry::string(format!("key:{n:012}").as_bytes(), &[b'v'; 64], None));
    report("key of 16 bytes with 64 bytes", bytes, "168.5", 140.0);
}

#[test]
fn a_million_small_hashes() {
    let limits = Limits::default();
    let bytes = keyspace(|n| {
        let mut entry = Entry::empty(Kind::Hash, format!("key:{n:012}").as_bytes(), None);
        for field in 0..5 {
            let mut hash = entry.hash_mut(&limits).expect("a hash");
            hash.insert(format!("field{field}").as_bytes(), b"12345678", None);
        }
        entry
    });
    report("hash of five fields", bytes, "168.4", 170.0);
}

#[test]
fn one_collection_of_a_million() {
    let limits = Limits { seed: HashSeed([5; 16]), ..Limits::default() };
    let name = |n: usize| format!("{n:08}").into_bytes();

    let mut zset = Entry::empty(Kind::ZSet, b"key", None);
    let mut state = 1;
    for n in 0..COUNT {
        let score = super::super::mix(&mut state) as f64;
        zset.zset_mut(&limits).expect("a sorted set").insert(&name(n), score);
    }
    report("sorted set, members of 8 bytes", zset.memory_bytes(), "109.8", 100.0);
    drop(zset);

    let mut set = Entry::empty(Kind::Set, b"key", None);
    (0..COUNT).for_each(|n| assert!(set.set_mut(&limits).expect("a set").insert(&name(n))));
    report("set, members of 8 bytes", set.memory_bytes(), "56.4", 50.0);
    drop(set);

    let mut hash = Entry::empty(Kind::Hash, b"key", None);
    (0..COUNT).for_each(|n| assert!(hash.hash_mut(&limits).expect("a hash").insert(&name(n), &[b'v'; 8], None)));
    report("hash, fields and values of 8 bytes", hash.memory_bytes(), "72.4", 64.0);
    drop(hash);

    let mut list = Entry::empty(Kind::List, b"key", None);
    (0..COUNT).for_each(|n| {
        let pos = ListPos::new(0, 1, n as i64);
        assert!(list.list_mut(&limits).expect("a list").insert(&pos, &[b'v'; 8]));
    });
    report("list, elements of 8 bytes", list.memory_bytes(), "10.1", 14.0);
}
