//! Sorted runs, row by row: what they bring in, what they leave when they are given up, and what they refuse.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::ops::ControlFlow;

use common::{Fixture, Lsm, put, scan, t, tables, value};
use mvcc::{
    Applied, BadInput, Bounds, Direction, Error, MemStore, Retention, RunRow, Source, Span, Store, Timestamp,
    Transaction,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// A row of a run: the parts of its value and its deadline, or a deletion.
type Row = Option<(Vec<Vec<u8>>, Option<u64>)>;

fn row() -> impl Strategy<Value = Row> {
    let parts = vec(vec(any::<u8>(), 0..9), 0..4);
    prop::option::weighted(0.8, (parts, prop::option::weighted(0.3, 1..40u64)))
}

fn write_run(store: &mvcc::LsmStore, commit: u64, rows: impl IntoIterator<Item = (Vec<u8>, Row)>, source: Source) {
    let mut run = store.begin_run(t(commit), source).unwrap();
    for (key, row) in rows {
        match row {
            Some((parts, deadline)) => {
                let parts: Vec<_> = parts.iter().map(|part| &part[..]).collect();
                run.put(&key, deadline.map(t), &parts).unwrap();
            }
            None => run.delete(&key).unwrap(),
        }
    }
    assert_eq!(run.finish().unwrap(), Applied::Now);
}

fn everything(store: &dyn Store, at: Timestamp) -> Vec<mvcc::Row> {
    store.scan(Span::ALL, at, Direction::Forward, Bounds::NONE).unwrap().rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Several runs over each other and over single writes, with the store closed in between.
    #[test]
    fn runs_bring_in_what_the_model_has(
        runs in vec((btree_map(vec(any::<u8>(), 1..3), row(), 0..30), any::<bool>(), 0..3u64), 1..5),
    ) {
        let mut lsm = Lsm::new(Retention::Newest);
        let model = MemStore::new(Retention::Newest);
        for (n, (rows, reopen, compact)) in runs.into_iter().enumerate() {
            let commit = 10 * (n as u64 + 1);
            for store in [lsm.store(), &model as &dyn Store] {
                store.put(b"single", &[n as u8], t(commit - 1), None).unwrap();
                while !store.compact(t(commit.saturating_sub(10 * compact + 5)), 100).unwrap().done {}
            }
            let source = Source::Log { index: commit };
            write_run(lsm.lsm(), commit, rows.clone(), source);
            let mut rows = rows.into_iter().map(|(key, row)| RunRow {
                key,
                commit: t(commit),
                expire_at: row.as_ref().and_then(|row| row.1).map(t),
                value: row.map(|row| row.0.concat()),
            });
            model.ingest(&mut rows, t(commit), source).unwrap();
            if reopen {
                lsm.reopen();
            }
            for at in [t(commit), t(commit + 20), Timestamp::LATEST] {
                prop_assert_eq!(everything(lsm.store(), at), everything(&model, at));
            }
            prop_assert_eq!(lsm.store().last_commit(), model.last_commit());
            prop_assert_eq!(lsm.store().applied_index(), commit);
        }
    }
}

#[test]
fn a_run_that_is_dropped_leaves_nothing() {
    let mut lsm = Lsm::with(|options| options.large_value_bytes = usize::MAX);
    lsm.store().put(b"k000001", b"old", t(1), None).unwrap();
    lsm.lsm().compact_all().unwrap();
    lsm.reopen();
    let before = tables(lsm.path());
    let mut run = lsm.lsm().begin_run(t(5), Source::Log { index: 7 }).unwrap();
    for n in 0..20_000u64 {
        run.put(format!("k{n:06}").as_bytes(), None, &[&common::noise(n, 100)]).unwrap();
    }
    drop(run);
    assert_eq!(scan(lsm.store(), Span::ALL, Timestamp::LATEST), [b"k000001"]);
    assert_eq!((lsm.store().last_commit(), lsm.store().applied_index()), (t(1), 0));
    // The lock is free, and the moment that the run did not take is there for another.
    lsm.store().put(b"k000002", b"new", t(2), None).unwrap();
    assert!(tables(lsm.path()) > before + 1_000_000, "nothing was written, so this shows nothing");
    lsm.reopen();
    assert_eq!(scan(lsm.store(), Span::ALL, Timestamp::LATEST), [b"k000001", b"k000002"]);
    assert!(tables(lsm.path()) < before + 10_000, "the next open removes what the run wrote");
}

#[test]
fn what_is_removed_is_gone_as_if_it_had_never_been() {
    let mut lsm = Lsm::new(Retention::Newest);
    let write = |lsm: &Lsm, commit: u64, removes: bool| {
        let mut run = lsm.lsm().begin_run(t(commit), Source::Direct).unwrap();
        for key in [b"a", b"b", b"c"] {
            match removes && key != b"b" {
                true => run.remove(key).unwrap(),
                false => run.put(key, None, &[b"value"]).unwrap(),
            }
        }
        assert!(run.remove(b"a").is_err(), "keys ascend");
        run.finish().unwrap();
    };
    write(&lsm, 5, false);
    write(&lsm, 7, true);
    for reopened in [false, true] {
        assert_eq!(scan(lsm.store(), Span::ALL, Timestamp::LATEST), [b"b"], "{reopened}");
        assert_eq!(lsm.store().latest_commit(b"a").unwrap(), None, "nobody learns of a deletion");
        assert_eq!(lsm.store().last_commit(), t(7));
        lsm.reopen();
    }
    write(&lsm, 9, false);
    assert_eq!(scan(lsm.store(), Span::ALL, Timestamp::LATEST), [b"a", b"b", b"c"]);
}

#[test]
fn readers_see_all_of_a_run_or_nothing() {
    let lsm = Lsm::new(Retention::Newest);
    let store = lsm.lsm();
    store.put(b"a", b"old", t(1), None).unwrap();
    let mut run = store.begin_run(t(5), Source::Direct).unwrap();
    run.put(b"a", None, &[b"n", b"e", b"", b"w"]).unwrap();
    run.put(b"b", None, &[]).unwrap();
    assert_eq!(value(store, b"a", t(5)).unwrap(), b"old");
    assert_eq!(scan(store, Span::ALL, t(5)), [b"a"]);
    // A reader that began before the end of the run does not see it.
    let mut run = Some(run);
    let mut seen = Vec::new();
    let flow = store.for_each(Span::ALL, t(9), |key, version| {
        if let Some(run) = run.take() {
            run.finish().unwrap();
        }
        seen.push((key.to_vec(), version.value.to_vec()));
        ControlFlow::<()>::Continue(())
    });
    assert!(flow.unwrap().is_continue());
    assert_eq!(seen, [(b"a".to_vec(), b"old".to_vec())]);
    assert_eq!(scan(store, Span::ALL, t(5)), [b"a", b"b"]);
    assert_eq!(value(store, b"a", t(5)).unwrap(), b"new");
    assert_eq!(value(store, b"b", t(5)).unwrap(), b"");
}

#[test]
fn a_row_that_is_refused_is_left_out() {
    let lsm = Lsm::new(Retention::Newest);
    let mut run = lsm.lsm().begin_run(t(5), Source::Direct).unwrap();
    run.put(b"b", None, &[b"1"]).unwrap();
    for key in [&b"b"[..], b"a", b""] {
        let refused = run.put(key, None, &[b"2"]).unwrap_err();
        assert!(matches!(refused, Error::BadInput(BadInput::Unsorted(_) | BadInput::EmptyKey)), "{refused}");
        assert!(run.delete(key).is_err());
    }
    assert!(matches!(run.put(&vec![1 << 7; 60_000], None, &[]), Err(Error::TooLarge { .. })));
    assert!(matches!(run.put(b"c", Some(Timestamp::LATEST), &[]), Err(Error::BadInput(BadInput::Timestamp(_)))));
    run.put(b"c", None, &[b"3"]).unwrap();
    run.finish().unwrap();
    assert_eq!(scan(lsm.store(), Span::ALL, t(9)), [b"b", b"c"]);
    assert_eq!(value(lsm.store(), b"b", t(9)).unwrap(), b"1");
}

#[test]
fn a_run_that_the_log_has_brought_before_is_left_out() {
    let lsm = Lsm::new(Retention::Newest);
    write_run(lsm.lsm(), 5, [(b"k".to_vec(), Some((vec![b"1".to_vec()], None)))], Source::Log { index: 3 });
    let mut again = lsm.lsm().begin_run(t(6), Source::Log { index: 3 }).unwrap();
    assert!(!again.is_needed());
    again.put(b"k", None, &[b"2"]).unwrap();
    assert!(again.put(b"a", None, &[]).is_err(), "its rows are checked all the same");
    assert_eq!(again.finish().unwrap(), Applied::Before);
    assert_eq!(value(lsm.store(), b"k", t(9)).unwrap(), b"1");
    assert_eq!(lsm.store().last_commit(), t(5));
}

#[test]
fn a_run_keeps_the_order_of_commits() {
    let lsm = Lsm::new(Retention::Newest);
    lsm.store().put(b"k", b"v", t(5), None).unwrap();
    for commit in [t(5), t(4), Timestamp::ZERO, Timestamp::LATEST] {
        assert!(lsm.lsm().begin_run(commit, Source::Direct).is_err());
    }
    let kept = Lsm::new(Retention::Versions);
    assert!(matches!(kept.lsm().begin_run(t(1), Source::Direct), Err(Error::NotSupported(_))));
    // A refusal does not keep the lock.
    kept.store().put(b"k", b"v", t(1), None).unwrap();
}

/// A write in another thread comes after the run, whenever it began.
#[test]
fn whoever_else_writes_waits_for_the_run() {
    let lsm = Lsm::new(Retention::Newest);
    let store = lsm.lsm();
    let mut run = store.begin_run(t(5), Source::Direct).unwrap();
    run.put(b"a", None, &[b"run"]).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| store.put(b"a", b"after", t(6), None));
        // As long as it takes for the other one to come first, if it could.
        for n in 0..100_000u32 {
            if other.is_finished() {
                break;
            }
            run.put(&[b"b", &n.to_be_bytes()[..]].concat(), None, &[b"run"]).unwrap();
        }
        assert_eq!(run.finish().unwrap(), Applied::Now);
        other.join().unwrap().unwrap();
    });
    assert_eq!(value(store, b"a", t(9)).unwrap(), b"after");
    assert_eq!(store.last_commit(), t(6));
}

/// Rows of disjoint spans, read by several threads, are all rows; each reader may stop where it likes.
#[test]
fn spans_are_read_side_by_side() {
    let lsm = Lsm::new(Retention::Newest);
    let store = lsm.lsm();
    let key = |n: u32| n.to_be_bytes().to_vec();
    write_run(store, 5, (1..=9000).map(|n| (key(n), (n % 10 > 0).then(|| (vec![key(n)], None)))), Source::Direct);
    let writes = [put(b"\0\0\0\x01", b"newer")];
    store.apply(&Transaction { commit: t(6), mutations: &writes, ..Transaction::default() }, Source::Direct).unwrap();
    let read = |from: u32, to: u32| {
        let mut rows = Vec::new();
        let flow = store.for_each(Span::new(&key(from), &key(to)), t(9), |key, version| {
            rows.push((key.to_vec(), version.value.to_vec()));
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        rows
    };
    let rows: Vec<_> = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..3).map(|n| scope.spawn(move || read(3000 * n + 1, 3000 * n + 3001))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let expected: Vec<_> =
        everything(store, t(9)).into_iter().map(|row| (row.key, row.version.value.to_vec())).collect();
    assert_eq!((rows.len(), rows), (8100, expected));
    let mut count = 0;
    let flow = store.for_each(Span::ALL, t(9), |key, _| {
        count += 1;
        if count == 5 { ControlFlow::Break(key.to_vec()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((flow.unwrap(), count), (ControlFlow::Break(key(5)), 5));
    assert!(matches!(
        store.for_each(Span::ALL, t(4), |_, _| ControlFlow::<()>::Continue(())),
        Err(Error::Compacted { .. })
    ));
    // Nor below the watermark, where no row says so.
    while !store.compact(t(20), 1000).unwrap().done {}
    assert!(matches!(
        store.for_each(Span::ALL, t(10), |_, _| ControlFlow::<()>::Continue(())),
        Err(Error::Compacted { .. })
    ));
}
