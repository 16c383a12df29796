//! Reads, scans and probes.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use mvcc::{Bounds, Direction, Error, Retention, Span, Timestamp};

use super::Make;
use crate::common::{NOW, delete_prefix, keys, pages, rows, scan, t, value};

pub fn a_version_is_visible_from_its_commit_until_the_next_one(make: Make<'_>) {
    let mut fixture = make(Retention::Versions);
    let store = fixture.store();
    store.put(b"k", b"one", t(10), None).unwrap();
    store.put(b"k", b"two", t(20), None).unwrap();
    store.delete(b"k", t(30)).unwrap();
    store.put(b"k", b"three", t(40), None).unwrap();
    fixture.reopen();
    let store = fixture.store();
    let expected: [(u64, Option<&[u8]>); 9] = [
        (0, None),
        (9, None),
        (10, Some(b"one")),
        (19, Some(b"one")),
        (20, Some(b"two")),
        (29, Some(b"two")),
        (30, None),
        (39, None),
        (40, Some(b"three")),
    ];
    for (at, expected) in expected {
        assert_eq!(value(store, b"k", t(at)).as_deref(), expected, "at {at}");
        assert_eq!(scan(store, Span::ALL, t(at)).len(), usize::from(expected.is_some()), "at {at}");
    }
    assert_eq!(value(store, b"k", Timestamp::LATEST).unwrap(), b"three");
    assert_eq!(store.get(b"k", t(25)).unwrap().unwrap().commit, t(20));
}

pub fn a_deadline_hides_from_its_moment_on(make: Make<'_>) {
    for retention in [Retention::Newest, Retention::Versions] {
        let fixture = make(retention);
        let store = fixture.store();
        store.put(b"k", b"v", t(10), Some(t(50))).unwrap();
        store.put(b"dead at birth", b"v", t(11), Some(t(5))).unwrap();
        assert!(value(store, b"k", t(49)).is_some());
        assert_eq!(value(store, b"k", t(50)), None);
        assert_eq!(scan(store, Span::ALL, t(49)), [b"k"]);
        assert!(scan(store, Span::ALL, t(50)).is_empty());
        let latest = store.get(b"k", Timestamp::LATEST).unwrap().unwrap();
        assert_eq!(latest.expire_at, Some(t(50)), "LATEST names no moment, so it hides nothing");
    }
}

pub fn without_history_a_read_below_the_newest_version_fails(make: Make<'_>) {
    let fixture = make(Retention::Newest);
    let store = fixture.store();
    store.put(b"a", b"one", t(10), None).unwrap();
    store.put(b"b", b"one", t(20), None).unwrap();
    store.put(b"b", b"two", t(30), None).unwrap();
    assert_eq!(value(store, b"a", t(10)).unwrap(), b"one");
    assert_eq!(value(store, b"b", t(30)).unwrap(), b"two");
    assert_eq!(value(store, b"b", Timestamp::LATEST).unwrap(), b"two");
    let refused = store.get(b"b", t(29)).unwrap_err();
    assert!(matches!(refused, Error::Compacted { watermark: Timestamp(30), .. }), "{refused}");
    let refused = store.scan(Span::ALL, t(29), Direction::Forward, Bounds::NONE).unwrap_err();
    assert!(matches!(refused, Error::Compacted { .. }), "{refused}");
    assert_eq!(scan(store, Span::new(b"a", b"b"), t(10)), [b"a"]);
    assert_eq!(value(store, b"never", t(1)), None);
}

pub fn keys_that_begin_one_another_are_read_and_scanned_apart(make: Make<'_>) {
    let nested: [&[u8]; 9] = [
        b"\0",
        b"\0\0",
        b"\0\xFF",
        b"k",
        b"k\0",
        b"k\0\0\0\0\0\0\0\0",
        b"k\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        b"k\xFF",
        b"\xFF\xFF",
    ];
    for retention in [Retention::Newest, Retention::Versions] {
        let fixture = make(retention);
        let store = fixture.store();
        for (n, key) in nested.iter().enumerate() {
            store.put(key, &[n as u8], t(NOW + 1 + n as u64), None).unwrap();
        }
        let at = t(NOW + 100);
        for (n, key) in nested.iter().enumerate() {
            assert_eq!(value(store, key, at).unwrap(), [n as u8]);
            assert_eq!(store.latest_commit(key).unwrap(), Some(t(NOW + 1 + n as u64)));
            assert_eq!(store.get(key, Timestamp::LATEST).unwrap().unwrap().commit, t(NOW + 1 + n as u64));
        }
        assert_eq!(scan(store, Span::ALL, at), nested);
        for from in 0..nested.len() {
            for to in from..nested.len() {
                assert_eq!(scan(store, Span::new(nested[from], nested[to]), at), nested[from..to]);
            }
        }
    }
}

pub fn a_scan_ends_where_its_span_does(make: Make<'_>) {
    let fixture = make(Retention::Versions);
    let store = fixture.store();
    for (n, key) in [b"a", b"b", b"c", b"\xFF"].iter().enumerate() {
        store.put(*key, b"", t(n as u64 + 1), None).unwrap();
    }
    assert_eq!(scan(store, Span::new(b"a", b"c"), t(9)), [b"a", b"b"]);
    assert_eq!(scan(store, Span::from(b"b"), t(9)), [b"b", b"c", b"\xFF"]);
    assert!(scan(store, Span::new(b"c", b"a"), t(9)).is_empty());
    assert!(scan(store, Span::new(b"b", b"b"), t(9)).is_empty());
    assert!(scan(store, Span::new(b"", b"a"), t(9)).is_empty());
    assert_eq!(scan(store, Span::new(b"", b"a\0"), t(9)), [b"a"]);
    let long = vec![b'a'; 100_000];
    assert_eq!(scan(store, Span::new(&long, b"c"), t(9)), [b"b"], "bounds may be longer than keys");
}

pub fn pages_of_any_bound_add_up_to_the_whole(make: Make<'_>) {
    let fixture = make(Retention::Versions);
    let store = fixture.store();
    for n in 0..60u64 {
        store.put(format!("k{:02}", n * 7 % 60).as_bytes(), &[b'x'; 10], t(n + 1), None).unwrap();
    }
    delete_prefix(store, b"k2", None, 100);
    store.delete(b"k31", t(101)).unwrap();
    for at in [t(60), t(100), t(101), Timestamp::LATEST] {
        for direction in [Direction::Forward, Direction::Reverse] {
            let whole = store.scan(Span::ALL, at, direction, Bounds::NONE).unwrap();
            assert!(!whole.is_truncated());
            for n in [1, 2, 7, 13, 59, 60, 61] {
                for bounds in [
                    Bounds::rows(n),
                    Bounds::visited(n),
                    Bounds { bytes: n * 13, ..Bounds::NONE },
                    Bounds { rows: n, visited: 3, bytes: 27 },
                ] {
                    let pages = pages(store, Span::ALL, at, direction, bounds);
                    for page in &pages {
                        assert!(page.rows.len() <= bounds.rows && page.visited <= bounds.visited);
                        let bytes: usize = page.rows.iter().map(|row| row.key.len() + row.version.value.len()).sum();
                        assert!(bytes < bounds.bytes.saturating_add(13), "one row may pass the bound in bytes");
                        assert!(page.visited > 0 || !page.is_truncated());
                    }
                    assert_eq!(pages.iter().map(|page| page.visited).sum::<usize>(), whole.visited);
                    assert_eq!(rows(pages), whole.rows);
                }
            }
        }
    }
    let exactly = store.scan(Span::new(b"k00", b"k05"), t(60), Direction::Forward, Bounds::rows(2)).unwrap();
    assert_eq!(keys(&exactly), [b"k00", b"k01"]);
    assert_eq!(exactly.next.as_deref(), Some(&b"k01\0"[..]));
}

pub fn the_latest_commit_counts_deletions(make: Make<'_>) {
    for retention in [Retention::Newest, Retention::Versions] {
        let fixture = make(retention);
        let store = fixture.store();
        assert_eq!(store.latest_commit(b"k").unwrap(), None);
        store.put(b"k", b"v", t(10), None).unwrap();
        assert_eq!(store.latest_commit(b"k").unwrap(), Some(t(10)));
        store.delete(b"k", t(20)).unwrap();
        assert_eq!(store.latest_commit(b"k").unwrap(), Some(t(20)));
        store.delete(b"never there", t(30)).unwrap();
        assert_eq!(store.latest_commit(b"never there").unwrap(), Some(t(30)));
        assert_eq!(store.last_commit(), t(30));
    }
}

pub fn the_exact_version_probe_knows_puts_and_deletions(make: Make<'_>) {
    let mut fixture = make(Retention::Versions);
    let store = fixture.store();
    store.put(b"k", b"v", t(10), None).unwrap();
    store.delete(b"k", t(20)).unwrap();
    delete_prefix(store, b"", None, 25);
    store.put(b"k", b"w", t(30), Some(t(31))).unwrap();
    delete_prefix(store, b"", None, 40);
    store.put(b"l", b"w", t(45), None).unwrap();
    delete_prefix(store, b"", None, 50);
    fixture.reopen();
    let store = fixture.store();
    for (key, commit, there) in [
        (b"k", 10, true),
        (b"k", 20, true),
        (b"k", 30, true),
        (b"k", 9, false),
        (b"k", 11, false),
        (b"k", 25, false),
        (b"k", 40, false),
        (b"k", 99, false),
        (b"l", 50, true),
    ] {
        assert_eq!(store.committed_at(key, t(commit)).unwrap(), there, "{key:?} at {commit}");
    }
}
