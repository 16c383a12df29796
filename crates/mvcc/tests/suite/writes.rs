//! Transactions, prefix deletions, sorted runs, and what they refuse.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use mvcc::{
    Applied, BadInput, Bounds, ConflictKind, Direction, Error, KeyClass, Mutation, PrefixDelete, Retention, RunRow,
    Source, Span, Timestamp, Transaction,
};

use super::Make;
use crate::common::{commit, compact, delete, delete_prefix, digest, put, scan, t, value};

const BOTH: [Retention; 2] = [Retention::Newest, Retention::Versions];

pub fn a_transaction_applies_all_or_nothing(make: Make<'_>) {
    for retention in BOTH {
        let fixture = make(retention);
        let store = fixture.store();
        store.put(b"b", b"old", t(10), None).unwrap();
        commit(store, 10, 20, &[put(b"a", b"1"), delete(b"b"), put(b"c", b"")]).unwrap();
        assert_eq!(scan(store, Span::ALL, t(20)), [b"a", b"c"]);
        assert_eq!(value(store, b"c", t(20)).unwrap(), b"");

        let before = digest(store, &[t(20), t(99), Timestamp::LATEST]);
        let missing = Mutation::Expire { key: b"missing", expire_at: Some(t(99)) };
        let refused = commit(store, 20, 30, &[put(b"a", b"2"), missing, put(b"d", b"")]).unwrap_err();
        assert!(matches!(&refused, Error::NotFound { key } if key == b"missing"), "{refused}");
        let refused = commit(store, 15, 30, &[put(b"d", b""), put(b"a", b"2")]).unwrap_err();
        assert!(matches!(refused, Error::Conflict(_)), "{refused}");
        assert_eq!(digest(store, &[t(20), t(99), Timestamp::LATEST]), before);
        assert_eq!(store.last_commit(), t(20));
        assert_eq!(store.latest_commit(b"d").unwrap(), None);
    }
}

pub fn conflicts_name_their_kind_and_the_first_key_of_the_call(make: Make<'_>) {
    for retention in BOTH {
        let fixture = make(retention);
        let store = fixture.store();
        commit(store, 1, 10, &[put(b"a", b""), put(b"b", b""), put(b"c", b"")]).unwrap();
        commit(store, 10, 20, &[put(b"c", b""), put(b"b", b"")]).unwrap();
        let conflict = |mutations: &[Mutation<'_>], read_keys: &[&[u8]], start: u64| {
            let start = Some(t(start));
            let transaction = Transaction { start, commit: t(30), mutations, read_keys, read_spans: &[] };
            match store.apply(&transaction, Source::Direct) {
                Err(Error::Conflict(conflict)) => {
                    (conflict.kind, conflict.key.clone(), conflict.latest, conflict.start)
                }
                other => panic!("{other:?}"),
            }
        };
        let write = ConflictKind::Write;
        assert_eq!(
            conflict(&[put(b"a", b""), put(b"c", b""), put(b"b", b"")], &[], 10),
            (write, b"c".to_vec(), t(20), t(10))
        );
        assert_eq!(conflict(&[put(b"b", b""), put(b"c", b"")], &[], 19), (write, b"b".to_vec(), t(20), t(19)));
        assert_eq!(conflict(&[delete(b"b")], &[b"c"], 10).0, write, "writes are checked before reads");
        assert_eq!(
            conflict(&[put(b"a", b"")], &[b"x", b"c", b"b"], 10),
            (ConflictKind::Read, b"c".to_vec(), t(20), t(10))
        );
        assert_eq!(conflict(&[], &[b"b"], 10).0, ConflictKind::Read);

        let blind = Transaction { commit: t(30), mutations: &[put(b"c", b"blind")], ..Transaction::default() };
        store.apply(&blind, Source::Direct).unwrap();
        commit(store, 30, 40, &[put(b"c", b"equality is no conflict")]).unwrap();
    }
}

pub fn a_span_that_was_read_conflicts_with_new_keys_in_it(make: Make<'_>) {
    for retention in BOTH {
        let fixture = make(retention);
        let store = fixture.store();
        store.put(b"s:1", b"", t(10), None).unwrap();
        store.put(b"s:5", b"", t(20), None).unwrap();
        store.delete(b"s:7", t(21)).unwrap();
        let apply = |span: Span<'_>, start: u64| {
            let (start, read_spans) = (Some(t(start)), &[span][..]);
            let mutations = &[put(b"other", b"")][..];
            store.apply(&Transaction { start, commit: t(30), mutations, read_keys: &[], read_spans }, Source::Direct)
        };
        for (span, start, key) in [
            (Span::new(b"s:", b"s;"), 10, &b"s:5"[..]),
            (Span::new(b"s:2", b"s:6"), 19, b"s:5"),
            (Span::from(b"s:6"), 20, b"s:7"),
            (Span::ALL, 20, b"s:7"),
        ] {
            match apply(span, start) {
                Err(Error::Conflict(conflict)) => {
                    assert_eq!((conflict.kind, &conflict.key[..]), (ConflictKind::Range, key));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(apply(Span::new(b"s:2", b"s:5"), 10).unwrap(), Applied::Now);
    }
}

pub fn conflicts_are_counted_by_class(make: Make<'_>) {
    let fixture = make(Retention::Versions);
    let store = fixture.store();
    commit(store, 1, 10, &[put(b"\x10meta", b""), put(b"x", b"")]).unwrap();
    for _ in 0..3 {
        commit(store, 5, 20, &[put(b"\x10meta", b""), put(b"x", b"")]).unwrap_err();
    }
    let read = Transaction { start: Some(t(5)), commit: t(20), read_keys: &[b"x"], ..Transaction::default() };
    store.apply(&read, Source::Direct).unwrap_err();
    let counts = store.conflicts();
    assert_eq!(counts.get(ConflictKind::Write, KeyClass::Meta), 3);
    assert_eq!(counts.get(ConflictKind::Read, KeyClass::Other), 1);
    assert_eq!(counts.iter().map(|(_, _, count)| count).sum::<u64>(), 4);
}

pub fn concurrent_increments_lose_nothing(make: Make<'_>) {
    for retention in BOTH {
        let fixture = make(retention);
        let store = fixture.store();
        let increment = || {
            let start = store.last_commit();
            let count = match store.get(b"counter", start) {
                Ok(version) => version.map_or(0, |version| version.value[0]),
                // Without history it may be superseded by now.
                Err(Error::Compacted { .. }) => return false,
                Err(other) => panic!("{other}"),
            };
            match commit(store, start.0, start.0 + 1, &[put(b"counter", &[count + 1])]) {
                Ok(_) => true,
                Err(Error::Conflict(_) | Error::CommitOrder { .. }) => false,
                Err(other) => panic!("{other}"),
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| while !increment() {}));
            }
        });
        assert_eq!(value(store, b"counter", Timestamp::LATEST).unwrap(), [200]);
    }
}

pub fn commits_must_ascend(make: Make<'_>) {
    for retention in BOTH {
        let mut fixture = make(retention);
        fixture.store().put(b"k", b"v", t(20), None).unwrap();
        fixture.reopen();
        let store = fixture.store();
        for late in [10, 20] {
            let delete = PrefixDelete { prefix: b"", spare: None, commit: t(late) };
            let refusals = [
                store.put(b"other", b"v", t(late), None).unwrap_err(),
                store.delete(b"k", t(late)).unwrap_err(),
                store.expire(b"k", None, t(late)).unwrap_err(),
                commit(store, 1, late, &[put(b"other", b"")]).unwrap_err(),
                store.delete_prefix(&delete, Source::Direct).unwrap_err(),
            ];
            for refused in refusals {
                assert!(matches!(refused, Error::CommitOrder { floor: Timestamp(20), .. }), "{refused}");
            }
        }
        assert_eq!(scan(store, Span::ALL, t(20)), [b"k"]);
        compact(store, t(50));
        let refused = store.put(b"k", b"v", t(50), None).unwrap_err();
        assert!(
            matches!(refused, Error::CommitOrder { floor: Timestamp(50), .. }),
            "below what is refused to readers: {refused}"
        );
        store.put(b"k", b"v", t(51), None).unwrap();
    }
}

pub fn input_that_no_store_accepts_is_refused(make: Make<'_>) {
    let fixture = make(Retention::Versions);
    let store = fixture.store();
    let bad = |error: Error| match error {
        Error::BadInput(bad) => bad,
        other => panic!("{other}"),
    };
    assert_eq!(bad(store.put(b"", b"", t(1), None).unwrap_err()), BadInput::EmptyKey);
    assert_eq!(bad(store.get(b"", t(1)).unwrap_err()), BadInput::EmptyKey);
    assert_eq!(bad(store.latest_commit(b"").unwrap_err()), BadInput::EmptyKey);
    assert_eq!(bad(store.committed_at(b"", t(1)).unwrap_err()), BadInput::EmptyKey);
    let twice = commit(store, 1, 2, &[put(b"a", b""), put(b"b", b""), delete(b"a")]).unwrap_err();
    assert_eq!(bad(twice), BadInput::DuplicateKey(b"a".to_vec()));
    assert_eq!(bad(store.put(b"k", b"", Timestamp::ZERO, None).unwrap_err()), BadInput::Timestamp(Timestamp::ZERO));
    assert_eq!(bad(store.delete(b"k", Timestamp::LATEST).unwrap_err()), BadInput::Timestamp(Timestamp::LATEST));
    assert_eq!(
        bad(commit(store, 5, 5, &[put(b"a", b"")]).unwrap_err()),
        BadInput::CommitBeforeStart { start: t(5), commit: t(5) }
    );
    let blind = Transaction { commit: t(5), read_keys: &[b"a"], ..Transaction::default() };
    assert_eq!(bad(store.apply(&blind, Source::Direct).unwrap_err()), BadInput::BlindReads);
    for bounds in [Bounds::rows(0), Bounds::visited(0), Bounds { bytes: 0, ..Bounds::NONE }] {
        let refused = store.scan(Span::ALL, t(1), Direction::Forward, bounds).unwrap_err();
        assert_eq!(bad(refused), BadInput::ZeroBound);
    }
    assert_eq!(bad(store.compact(Timestamp::LATEST, 1).unwrap_err()), BadInput::Horizon(Timestamp::LATEST));
    let longer = vec![b'k'; mvcc::limits::MAX_KEY_BYTES + 1];
    assert!(matches!(store.put(&longer, b"", t(1), None), Err(Error::TooLarge { .. })));
    assert!(matches!(store.get(&longer, t(1)), Err(Error::TooLarge { .. })));
    store.put(&longer[1..], b"longest", t(1), None).unwrap();
    store.delete(&longer[1..], t(2)).unwrap();
    assert_eq!(value(store, &longer[1..], t(1)).unwrap(), b"longest");
    let unlogged = Transaction { commit: t(5), ..Transaction::default() };
    assert!(matches!(store.apply(&unlogged, Source::Log { index: 0 }), Err(Error::NotSupported(_))));
}

pub fn a_deadline_is_given_to_what_is_visible(make: Make<'_>) {
    for retention in BOTH {
        let fixture = make(retention);
        let store = fixture.store();
        assert!(matches!(store.expire(b"k", Some(t(99)), t(5)), Err(Error::NotFound { .. })));
        store.put(b"k", b"v", t(10), None).unwrap();
        store.expire(b"k", Some(t(30)), t(20)).unwrap();
        assert_eq!(value(store, b"k", t(29)).unwrap(), b"v");
        assert_eq!(value(store, b"k", t(30)), None);
        let refused = store.expire(b"k", None, t(30)).unwrap_err();
        assert!(matches!(&refused, Error::Expired { key, deadline: Timestamp(30) } if key == b"k"), "{refused}");
        store.expire(b"k", Some(t(50)), t(25)).unwrap();
        store.expire(b"k", None, t(40)).unwrap();
        let version = store.get(b"k", t(1000)).unwrap().unwrap();
        assert_eq!((version.commit, version.expire_at, &version.value[..]), (t(40), None, &b"v"[..]));
        store.delete(b"k", t(50)).unwrap();
        assert!(matches!(store.expire(b"k", None, t(60)), Err(Error::NotFound { .. })));
        store.put(b"p", b"v", t(70), None).unwrap();
        delete_prefix(store, b"p", None, 80);
        assert!(matches!(store.expire(b"p", None, t(90)), Err(Error::NotFound { .. })));
    }
}

pub fn a_log_entry_is_applied_once(make: Make<'_>) {
    for retention in BOTH {
        let mut fixture = make(retention);
        let entry = |n: u64, value: &'static [u8]| {
            move |store: &dyn mvcc::Store| {
                let mutations = &[put(b"k", value)][..];
                let transaction = Transaction { commit: t(n * 10), mutations, ..Transaction::default() };
                store.apply(&transaction, Source::Log { index: n })
            }
        };
        let (first, second, third) = (entry(1, b"one"), entry(2, b"two"), entry(3, b"three"));
        assert_eq!(first(fixture.store()).unwrap(), Applied::Now);
        assert_eq!(second(fixture.store()).unwrap(), Applied::Now);
        fixture.reopen();
        let store = fixture.store();
        assert_eq!(store.applied_index(), 2);
        assert_eq!(first(store).unwrap(), Applied::Before);
        assert_eq!(second(store).unwrap(), Applied::Before);
        assert_eq!(value(store, b"k", t(99)).unwrap(), b"two");
        assert_eq!(third(store).unwrap(), Applied::Now);

        let delete = PrefixDelete { prefix: b"", spare: None, commit: t(40) };
        assert_eq!(store.delete_prefix(&delete, Source::Log { index: 4 }).unwrap(), Applied::Now);
        assert_eq!(store.delete_prefix(&delete, Source::Log { index: 4 }).unwrap(), Applied::Before);
        let start = Some(t(35));
        let mutations = &[put(b"k", b"conflicts")][..];
        let conflict = Transaction { start, commit: t(45), mutations, ..Transaction::default() };
        assert!(matches!(store.apply(&conflict, Source::Log { index: 5 }), Err(Error::Conflict(_))));
        store.put(b"direct", b"", t(50), None).unwrap();
        assert_eq!(store.applied_index(), 4);
        store.advance_applied(9).unwrap();
        store.advance_applied(7).unwrap();
        fixture.reopen();
        assert_eq!(fixture.store().applied_index(), 9);
        assert_eq!(fixture.store().last_commit(), t(50));
    }
}

pub fn a_prefix_deletion_deletes_what_was_visible_and_nothing_else(make: Make<'_>) {
    for retention in BOTH {
        let mut fixture = make(retention);
        let store = fixture.store();
        let all: [&[u8]; 7] = [b"a", b"u", b"u:", b"u:1", b"u:10", b"u:2", b"v"];
        for (n, key) in all.iter().enumerate() {
            store.put(key, b"v", t(1 + n as u64), None).unwrap();
        }
        store.put(b"u:expired", b"v", t(10), Some(t(12))).unwrap();
        store.delete(b"u:deleted", t(11)).unwrap();
        delete_prefix(store, b"u:", Some(b"u:1"), 20);
        fixture.reopen();
        let store = fixture.store();
        let left: [&[u8]; 5] = [b"a", b"u", b"u:1", b"u:10", b"v"];
        assert_eq!(scan(store, Span::ALL, t(20)), left);
        assert_eq!(value(store, b"u:2", t(20)), None);
        assert_eq!(store.latest_commit(b"u:2").unwrap(), Some(t(20)));
        assert_eq!(store.latest_commit(b"u:expired").unwrap(), Some(t(10)), "it was not visible any more");
        assert_eq!(store.latest_commit(b"u:deleted").unwrap(), Some(t(11)));
        assert_eq!(store.last_commit(), t(20));
        if retention == Retention::Versions {
            assert_eq!(value(store, b"u:2", t(19)).unwrap(), b"v");
            assert_eq!(scan(store, Span::ALL, t(10)).len(), 8);
        } else {
            assert!(matches!(store.get(b"u:2", t(19)), Err(Error::Compacted { watermark: Timestamp(20), .. })));
        }
        delete_prefix(store, b"", None, 30);
        assert!(scan(store, Span::ALL, t(30)).is_empty());
    }
}

pub fn prefix_deletions_and_later_writes_do_not_mix(make: Make<'_>) {
    let mut fixture = make(Retention::Versions);
    let store = fixture.store();
    store.put(b"k", b"1", t(10), None).unwrap();
    store.put(b"l", b"1", t(11), None).unwrap();
    delete_prefix(store, b"", None, 20);
    delete_prefix(store, b"k", None, 30);
    store.put(b"k", b"2", t(40), None).unwrap();
    delete_prefix(store, b"k", None, 50);
    store.delete(b"l", t(60)).unwrap();
    for reopened in [false, true] {
        if reopened {
            fixture.reopen();
        }
        let store = fixture.store();
        let expected: [(u64, Option<&[u8]>); 5] =
            [(10, Some(b"1")), (20, None), (39, None), (40, Some(b"2")), (50, None)];
        for (at, expected) in expected {
            assert_eq!(value(store, b"k", t(at)).as_deref(), expected, "at {at}");
        }
        for (commit, there) in [(10, true), (20, true), (30, false), (40, true), (50, true)] {
            assert_eq!(store.committed_at(b"k", t(commit)).unwrap(), there, "at {commit}");
        }
        assert_eq!(store.latest_commit(b"l").unwrap(), Some(t(60)));
        assert!(store.committed_at(b"l", t(20)).unwrap());
        assert_eq!(scan(store, Span::ALL, t(15)), [b"k", b"l"]);
    }
    let store = fixture.store();
    compact(store, t(25));
    assert!(matches!(store.committed_at(b"k", t(10)), Err(Error::Compacted { .. })), "the deletion superseded it");
    assert!(store.committed_at(b"k", t(20)).unwrap(), "the deletion is the version that counts at 25");
    compact(store, t(45));
    assert_eq!(value(store, b"k", t(45)).unwrap(), b"2");
    assert_eq!(value(store, b"k", t(50)), None);
}

pub fn many_prefix_deletions_are_all_in_force(make: Make<'_>) {
    for retention in BOTH {
        let mut fixture = make(retention);
        let store = fixture.store();
        let n = mvcc::limits::MAX_PREFIX_DELETES as u64 * 2 + 3;
        let key = |n: u64| format!("{n:04}:k").into_bytes();
        for i in 0..n {
            store.put(&key(i), b"", t(1 + i), None).unwrap();
        }
        for i in 0..n - 1 {
            delete_prefix(store, &key(i)[..5], None, 1000 + i);
            assert_eq!(scan(store, Span::ALL, t(5000)).len() as u64, n - i - 1);
        }
        fixture.reopen();
        assert_eq!(scan(fixture.store(), Span::ALL, t(5000)), [key(n - 1)]);
        for i in 0..n - 1 {
            assert_eq!(fixture.store().latest_commit(&key(i)).unwrap(), Some(t(1000 + i)));
        }
    }
}

pub fn a_prefix_deletion_conflicts_like_the_deletions_it_stands_for(make: Make<'_>) {
    for retention in BOTH {
        let fixture = make(retention);
        let store = fixture.store();
        store.put(b"p:1", b"", t(10), None).unwrap();
        delete_prefix(store, b"p:", None, 20);
        let refused = commit(store, 15, 30, &[put(b"p:1", b"")]).unwrap_err();
        assert!(matches!(&refused, Error::Conflict(conflict) if conflict.latest == t(20)), "{refused}");
        let read_spans = &[Span::new(b"p", b"q")][..];
        let reads = Transaction { start: Some(t(15)), commit: t(30), read_spans, ..Transaction::default() };
        let refused = store.apply(&reads, Source::Direct).unwrap_err();
        assert!(matches!(&refused, Error::Conflict(conflict) if conflict.key == b"p:1"), "{refused}");
        commit(store, 15, 30, &[put(b"p:2", b"it deleted nothing here")]).unwrap();
        assert_eq!(scan(store, Span::ALL, t(30)), [b"p:2"]);
    }
}

fn run_row(key: &[u8], commit: u64, value: Option<&[u8]>) -> RunRow {
    RunRow { key: key.to_vec(), commit: t(commit), expire_at: None, value: value.map(<[u8]>::to_vec) }
}

pub fn a_run_replaces_what_its_keys_had(make: Make<'_>) {
    let mut fixture = make(Retention::Newest);
    let store = fixture.store();
    for (n, key) in [b"a", b"b", b"c", b"d"].iter().enumerate() {
        store.put(*key, b"old", t(10 + n as u64), None).unwrap();
    }
    delete_prefix(store, b"d", None, 20);
    let run = vec![
        run_row(b"a", 25, Some(b"new")),
        run_row(b"b", 24, None),
        run_row(b"bb", 3, Some(b"from elsewhere")),
        run_row(b"d", 22, Some(b"again")),
        RunRow { expire_at: Some(t(40)), ..run_row(b"e", 30, Some(b"short")) },
    ];
    let again = run.clone();
    assert_eq!(store.ingest(&mut run.into_iter(), t(30), Source::Log { index: 7 }).unwrap(), Applied::Now);
    fixture.reopen();
    let store = fixture.store();
    assert_eq!((store.last_commit(), store.applied_index()), (t(30), 7));
    let expected: [&[u8]; 5] = [b"a", b"bb", b"c", b"d", b"e"];
    assert_eq!(scan(store, Span::ALL, t(39)), expected);
    assert_eq!(value(store, b"a", t(30)).unwrap(), b"new");
    assert_eq!(value(store, b"d", t(30)).unwrap(), b"again");
    assert_eq!(store.latest_commit(b"b").unwrap(), Some(t(24)));
    assert_eq!(store.latest_commit(b"bb").unwrap(), Some(t(3)));
    assert_eq!(value(store, b"e", t(40)), None);
    assert_eq!(store.ingest(&mut again.into_iter(), t(31), Source::Log { index: 7 }).unwrap(), Applied::Before);
    store.put(b"a", b"newer", t(50), None).unwrap();
    assert_eq!(value(store, b"a", t(50)).unwrap(), b"newer");

    let kept = make(Retention::Versions);
    let refused = kept.store().ingest(&mut std::iter::empty(), t(5), Source::Direct).unwrap_err();
    assert!(matches!(refused, Error::NotSupported(_)), "{refused}");
}

pub fn a_run_that_is_not_sorted_changes_nothing(make: Make<'_>) {
    let mut fixture = make(Retention::Newest);
    fixture.store().put(b"b", b"old", t(10), None).unwrap();
    let row = |key: &[u8], commit: u64| run_row(key, commit, Some(b"new"));
    let runs = [
        vec![row(b"b", 20), row(b"a", 20)],
        vec![row(b"b", 20), row(b"b", 20)],
        vec![row(b"b", 20), row(b"c", 31)],
        vec![row(b"b", 20), row(b"", 20)],
        vec![row(b"b", 20), row(&vec![b'x'; mvcc::limits::MAX_KEY_BYTES + 1], 20)],
        vec![row(b"b", 20), RunRow { expire_at: Some(t(9)), ..run_row(b"c", 20, None) }],
    ];
    for run in runs {
        fixture.store().ingest(&mut run.into_iter(), t(30), Source::Log { index: 3 }).unwrap_err();
        fixture.reopen();
        let store = fixture.store();
        assert_eq!(value(store, b"b", t(30)).unwrap(), b"old");
        assert_eq!(scan(store, Span::ALL, Timestamp::LATEST), [b"b"]);
        assert_eq!((store.last_commit(), store.applied_index()), (t(10), 0));
    }
}
