//! Rows of elements with names, page by page.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use mvcc::Source;

use super::*;
use crate::checkpoint::tests::{Bench, Step};

/// So many members have each hash. No seed would give them: of ten million names two have the same once in 400,000 databases.
const GROUPS: [&[usize]; 6] = [&[1, 1, 1, 1], &[5], &[1, 4, 2], &[3, 3, 3], &[2, 1, 1, 6, 1], &[1, 1, 9]];

/// The hash of a group; the last one's is the greatest that there is.
fn hash(at: usize, groups: usize) -> u64 {
    if at + 1 == groups { u64::MAX } else { at as u64 * 1000 }
}

fn of(pattern: usize) -> Large {
    Large { incarnation: 5000 + pattern as u64, kind: Kind::Set, len: 0 }
}

fn hash_of((key, value): &(Vec<u8>, Vec<u8>)) -> u64 {
    match ElementRow::parse(key, value).unwrap().key {
        RowKey::Hashed { hash, .. } => hash,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_has_all_members_of_a_hash_or_none_and_the_next_begins_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), &Arc::new(AtomicI64::new(1_000_000)));
    bench.run(&[Step::Set { db: 0, key: 0, bytes: 9 }], true);
    bench.checkpoint(&mut || true).unwrap();
    let rows = bench.engine.shared.checkpoints.found_rows().unwrap();
    let mut names: Vec<Vec<u8>> = Vec::new();
    for (pattern, groups) in GROUPS.iter().enumerate() {
        for (at, count) in groups.iter().enumerate() {
            let of_hash = |n: usize| key_of(&of(pattern), hash(at, groups.len()), format!("name {n}").as_bytes());
            names.extend((0..*count).map(|n| of_hash(n).unwrap()));
        }
    }
    names.sort();
    let mut run = rows.store.begin_run(Timestamp(rows.store.last_commit().0 + 1), Source::Direct).unwrap();
    names.iter().for_each(|name| run.put(name, None, &[]).unwrap());
    run.finish().unwrap();
    for (pattern, groups) in GROUPS.iter().enumerate() {
        for count in 1..=10 {
            let (mut from, mut seen) = (Some(0), Vec::new());
            while let Some(first) = from {
                let got = read_one(rows, &of(pattern), Want::Hashes(first, count)).unwrap();
                let hashes: Vec<u64> = got.rows.iter().map(hash_of).collect();
                assert!(hashes.iter().all(|hash| *hash >= first && got.next.is_none_or(|next| *hash < next)));
                assert!(got.next.is_none() || hashes.len() >= count, "{hashes:?} of {groups:?} by {count}");
                seen.extend(hashes);
                from = got.next;
            }
            let all = groups.iter().enumerate().flat_map(|(at, n)| vec![hash(at, groups.len()); *n]);
            assert_eq!(seen, all.collect::<Vec<_>>(), "{groups:?} by {count}");
        }
    }
}
