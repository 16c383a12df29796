//! Defects that a store of this kind is known to have had, each with a test that fails on the old behaviour.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use common::{Fixture, Lsm, Mem, NOW, commit, compact, delete_prefix, noise, put, scan, t, tables, value};
use mvcc::{Bounds, Direction, Error, Retention, RunRow, Source, Span, Timestamp, Transaction};

fn both(retention: Retention) -> [Box<dyn Fixture>; 2] {
    [Mem::make(retention), Lsm::make(retention)]
}

/// Row keys of key and timestamp without a delimiter: rows of `user:10` stood between those of `user:1`, so that the
/// newest version of `user:1` was not found, and two writers of it did not conflict.
#[test]
fn prefix_key_aliasing_loses_no_update() {
    for fixture in both(Retention::Versions) {
        let store = fixture.store();
        store.put(b"user:10", b"ten", t(NOW + 5), None).unwrap();
        store.put(b"user:1", b"one", t(NOW + 10), None).unwrap();
        assert_eq!(store.latest_commit(b"user:1").unwrap(), Some(t(NOW + 10)));
        assert_eq!(value(store, b"user:1", Timestamp::LATEST).unwrap(), b"one");

        let stale = commit(store, NOW + 7, NOW + 20, &[put(b"user:1", b"lost update")]).unwrap_err();
        assert!(matches!(&stale, Error::Conflict(conflict) if conflict.key == b"user:1"), "{stale}");
        let read_keys = &[&b"user:1"[..]][..];
        let mutations = &[put(b"other", b"")][..];
        let stale = Transaction { start: Some(t(NOW + 7)), commit: t(NOW + 20), mutations, read_keys, read_spans: &[] };
        assert!(matches!(store.apply(&stale, Source::Direct), Err(Error::Conflict(_))));
    }
}

/// The same aliasing in scans: out of order, with rows missing, differently in reverse.
#[test]
fn prefix_key_aliasing_does_not_disturb_scans() {
    for fixture in both(Retention::Versions) {
        let store = fixture.store();
        store.put(b"user:10", b"ten", t(NOW + 5), None).unwrap();
        store.put(b"user:1", b"one", t(NOW + 10), None).unwrap();
        store.put(b"user:1", b"uno", t(NOW + 15), None).unwrap();
        for at in [NOW + 10, NOW + 15] {
            let expected: [&[u8]; 2] = [b"user:1", b"user:10"];
            assert_eq!(scan(store, Span::new(b"user:", b"user;"), t(at)), expected);
            assert_eq!(scan(store, Span::new(b"user:1", b"user:10"), t(at)), expected[..1]);
        }
        assert_eq!(scan(store, Span::ALL, t(NOW + 5)), [b"user:10"]);
    }
}

/// A lock row of `user:1` could not be seen while one of `user:10` existed, even a deleted one.
#[test]
fn a_deleted_longer_key_does_not_hide_a_shorter_one() {
    for fixture in both(Retention::Versions) {
        let store = fixture.store();
        store.put(b"lock|user:1", b"held", t(NOW + 1), None).unwrap();
        store.put(b"lock|user:10", b"held", t(NOW + 2), None).unwrap();
        store.delete(b"lock|user:10", t(NOW + 3)).unwrap();
        assert_eq!(value(store, b"lock|user:1", Timestamp::LATEST).unwrap(), b"held");
        assert_eq!(value(store, b"lock|user:1", t(NOW + 3)).unwrap(), b"held");
    }
}

/// Binary siblings whose next byte equals the first byte of an inverted timestamp broke even reads at ordinary
/// timestamps.
#[test]
fn siblings_that_look_like_inverted_timestamps_are_other_keys() {
    for fixture in both(Retention::Versions) {
        let store = fixture.store();
        let mut sibling = b"k".to_vec();
        sibling.extend_from_slice(&(!(NOW + 3)).to_be_bytes());
        store.put(b"k", b"1", t(NOW + 1), None).unwrap();
        store.put(&sibling, b"sibling", t(NOW + 2), None).unwrap();
        store.put(b"k", b"2", t(NOW + 5), None).unwrap();
        store.put(&sibling, b"again", t(NOW + 6), None).unwrap();
        for (at, expected) in [(NOW + 1, b"1"), (NOW + 3, b"1"), (NOW + 4, b"1"), (NOW + 5, b"2")] {
            assert_eq!(value(store, b"k", t(at)).unwrap(), expected);
            assert_eq!(store.get(b"k", t(at)).unwrap().unwrap().value[..], expected[..]);
        }
        assert_eq!(value(store, &sibling, t(NOW + 2)).unwrap(), b"sibling");
        assert_eq!(value(store, &sibling, t(NOW + 5)).unwrap(), b"sibling");
        assert!(!store.committed_at(b"k", t(NOW + 3)).unwrap());
    }
}

/// Deletions and expired versions stayed as rows for ever: 1,000 keys that came and went left 1,000 rows.
#[test]
fn deletions_and_expired_rows_leave() {
    for retention in [Retention::Newest, Retention::Versions] {
        let lsm = Lsm::new(retention);
        let store = lsm.store();
        lsm.lsm().compact_all().unwrap();
        let empty = tables(lsm.path());
        for n in 0..1000u64 {
            let key = format!("queue:{n:06}");
            let deadline = (n % 2 == 0).then(|| t(NOW + 10_000));
            let log = Source::Log { index: 2 * n + 1 };
            let write = [mvcc::Mutation::Put { key: key.as_bytes(), value: &noise(n, 500), expire_at: deadline }];
            let transaction = Transaction { commit: t(NOW + 2 * n + 1), mutations: &write, ..Transaction::default() };
            store.apply(&transaction, log).unwrap();
            if n % 2 == 1 {
                let delete = [common::delete(key.as_bytes())];
                let transaction =
                    Transaction { commit: t(NOW + 2 * n + 2), mutations: &delete, ..Transaction::default() };
                store.apply(&transaction, Source::Log { index: 2 * n + 2 }).unwrap();
            }
        }
        lsm.lsm().compact_all().unwrap();
        let full = tables(lsm.path());
        compact(store, t(NOW + 10_000));
        let page = store.scan(Span::ALL, Timestamp::LATEST, Direction::Forward, Bounds::NONE).unwrap();
        assert_eq!((page.rows.len(), page.visited), (0, 0));
        lsm.lsm().compact_all().unwrap();
        let left = tables(lsm.path());
        assert!(full > empty + 200_000 && left < empty + 4_000, "{empty} bytes empty, {full} full, {left} at the end");
    }
}

/// Space came back only by a walk over everything: now whatever the tree compacts loses its garbage in passing.
#[test]
fn compactions_of_the_tree_drop_garbage_in_passing() {
    let lsm = Lsm::new(Retention::Versions);
    let store = lsm.store();
    for n in 0..300u64 {
        store.put(&[b'k', n as u8 % 100], b"v", t(n + 1), Some(t(500))).unwrap();
    }
    assert!(!store.compact(t(1000), 1).unwrap().done, "it has only begun, so the walk has dropped nothing");
    lsm.lsm().compact_all().unwrap();
    let before = lsm.lsm().stats().unwrap().rows_read;
    let page = store.scan(Span::ALL, Timestamp::LATEST, Direction::Forward, Bounds::NONE).unwrap();
    assert_eq!((page.visited, lsm.lsm().stats().unwrap().rows_read - before), (0, 0));
    assert_eq!(store.compact(t(1000), 1).unwrap().visited, 0);
}

/// A queue that saw many items was scanned over all their deletions.
#[test]
fn the_head_of_an_old_queue_is_found_at_once() {
    let lsm = Lsm::new(Retention::Newest);
    let store = lsm.store();
    let run = (0..20_000u64).map(|n| {
        let value = (n >= 19_990).then(|| b"item".to_vec());
        RunRow { key: format!("q:{n:08}").into_bytes(), commit: t(NOW + n), expire_at: None, value }
    });
    store.ingest(&mut run.into_iter(), t(NOW + 20_000), Source::Direct).unwrap();
    compact(store, t(NOW + 20_000));
    let before = lsm.lsm().stats().unwrap().rows_read;
    let page = store.scan(Span::from(b"q:"), t(NOW + 20_000), Direction::Forward, Bounds::rows(1)).unwrap();
    assert_eq!(page.rows[0].key, b"q:00019990");
    assert_eq!(lsm.lsm().stats().unwrap().rows_read - before, 1);
}

/// A commit with a lower timestamp could be applied after a higher one: snapshots changed after they were read, and an
/// update below a later transaction's start was lost.
#[test]
fn commit_order_inversion_is_refused() {
    for fixture in both(Retention::Versions) {
        let store = fixture.store();
        store.put(b"k", b"old", t(1), None).unwrap();
        commit(store, 1, 20, &[put(b"other", b"B")]).unwrap();
        assert_eq!(value(store, b"k", t(20)).unwrap(), b"old");
        let late = commit(store, 1, 10, &[put(b"k", b"A")]).unwrap_err();
        assert!(matches!(late, Error::CommitOrder { floor: Timestamp(20), .. }), "{late}");
        assert_eq!(value(store, b"k", t(20)).unwrap(), b"old", "a snapshot that was read stays as it was");
        commit(store, 20, 30, &[put(b"k", b"C")]).unwrap();
        assert_eq!(value(store, b"k", t(30)).unwrap(), b"C");
    }
}

/// A key twice in one call: the later one won, by luck.
#[test]
fn a_key_twice_in_one_call_is_refused() {
    for fixture in both(Retention::Versions) {
        let refused = commit(fixture.store(), 1, 2, &[put(b"k", b"1"), put(b"k", b"2")]).unwrap_err();
        assert!(matches!(refused, Error::BadInput(_)), "{refused}");
    }
}

/// Read sets were points: a key that appeared in a range that had been read was not noticed.
#[test]
fn a_phantom_is_a_conflict() {
    for fixture in both(Retention::Versions) {
        let store = fixture.store();
        let read_spans = &[Span::new(b"seat:", b"seat;")][..];
        let book = |start: u64, commit: u64, key: &[u8]| {
            let mutations = &[put(key, b"taken")][..];
            let transaction =
                Transaction { start: Some(t(start)), commit: t(commit), mutations, read_keys: &[], read_spans };
            store.apply(&transaction, Source::Direct)
        };
        book(1, 10, b"seat:1").unwrap();
        assert!(matches!(book(5, 20, b"seat:2"), Err(Error::Conflict(_))));
        book(10, 20, b"seat:2").unwrap();
    }
}

/// Opening looked at every version for the highest timestamp.
#[test]
fn opening_scans_nothing() {
    let mut lsm = Lsm::new(Retention::Versions);
    for n in 0..500u64 {
        let key = n.to_be_bytes();
        let write = [put(&key, b"v")];
        let transaction = Transaction { commit: t(NOW + n), mutations: &write, ..Transaction::default() };
        lsm.store().apply(&transaction, Source::Log { index: n + 1 }).unwrap();
    }
    lsm.reopen();
    assert_eq!(lsm.store().last_commit(), t(NOW + 499));
    assert_eq!(lsm.store().applied_index(), 500);
    assert_eq!(lsm.lsm().stats().unwrap().rows_read, 0);
}

/// Each run of a compaction began at the first key, so one that was given less time than a whole pass needs never came
/// to its end.
#[test]
fn a_compaction_goes_on_where_it_stopped_also_after_a_restart() {
    let mut lsm = Lsm::new(Retention::Versions);
    for n in 0..300u64 {
        let key = [b'k', n as u8 % 100, n as u8 % 7];
        let write = [put(&key, b"v")];
        let transaction = Transaction { commit: t(NOW + n), mutations: &write, ..Transaction::default() };
        lsm.store().apply(&transaction, Source::Log { index: n + 1 }).unwrap();
    }
    let mut visited = 0;
    let mut runs = 0;
    loop {
        let progress = lsm.store().compact(t(NOW + 299), 10).unwrap();
        visited += progress.visited;
        runs += 1;
        if progress.done {
            break;
        }
        assert!(progress.visited <= 10);
        lsm.reopen();
    }
    assert!((300..=302).contains(&visited) && runs >= 30, "{visited} rows in {runs} runs");
}

/// A deletion of all keys with a prefix was one batch of as many rows, and conflicted with nothing it stood for.
#[test]
fn a_prefix_deletion_is_one_row_and_there_whole_or_not_at_all() {
    let mut lsm = Lsm::new(Retention::Versions);
    let keys: Vec<_> = (0..5000u32).map(|n| [b"p:", &n.to_be_bytes()[..]].concat()).collect();
    for (n, chunk) in keys.chunks(500).enumerate() {
        let writes: Vec<_> = chunk.iter().map(|key| put(key, b"v")).collect();
        let transaction = Transaction { commit: t(1 + n as u64), mutations: &writes, ..Transaction::default() };
        lsm.store().apply(&transaction, Source::Direct).unwrap();
    }
    let before = lsm.lsm().stats().unwrap().rows_read;
    delete_prefix(lsm.store(), b"p:", None, 100);
    assert_eq!(lsm.lsm().stats().unwrap().rows_read, before, "it looks at no row");
    // Interrupted between any two steps of the sweep, and read by those that came before and after.
    while lsm.lsm().stats().unwrap().deletes_pending > 0 {
        assert_eq!(scan(lsm.store(), Span::ALL, t(100)).len(), 0);
        assert_eq!(scan(lsm.store(), Span::ALL, t(99)).len(), 5000);
        assert_eq!(lsm.store().latest_commit(&keys[4999]).unwrap(), Some(t(100)));
        lsm.store().compact(Timestamp::ZERO, 700).unwrap();
        lsm.reopen();
    }
    assert_eq!(scan(lsm.store(), Span::ALL, t(99)).len(), 5000);
    assert!(scan(lsm.store(), Span::ALL, t(100)).is_empty());
}

/// Images had no check of their own, and a stream of no bytes emptied the store.
#[test]
fn an_empty_stream_restores_nothing() {
    for fixture in both(Retention::Newest) {
        fixture.store().put(b"k", b"v", t(1), None).unwrap();
        let refused = fixture.store().restore(&mut &[][..]).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
        assert_eq!(value(fixture.store(), b"k", t(1)).unwrap(), b"v");
    }
}

/// A retry whose first attempt had been compacted away was told that it had not happened, and happened twice.
#[test]
fn a_retry_is_never_told_that_a_forgotten_commit_did_not_happen() {
    for fixture in both(Retention::Versions) {
        let store = fixture.store();
        store.put(b"k", b"first attempt", t(10), None).unwrap();
        store.put(b"k", b"newer", t(20), None).unwrap();
        compact(store, t(30));
        assert!(matches!(store.committed_at(b"k", t(10)), Err(Error::Compacted { .. })));
    }
}

/// A transaction that began below what is kept was checked against what was left.
#[test]
fn a_transaction_that_began_below_the_watermark_cannot_be_checked() {
    for fixture in both(Retention::Versions) {
        let store = fixture.store();
        store.put(b"k", b"v", t(10), None).unwrap();
        store.delete(b"k", t(20)).unwrap();
        compact(store, t(25));
        let refused = commit(store, 15, 40, &[put(b"k", b"did not see the deletion")]).unwrap_err();
        assert!(matches!(refused, Error::Compacted { .. }), "{refused}");
    }
}
