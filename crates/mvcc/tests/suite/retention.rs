//! Watermark, pins, compaction and images.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use mvcc::{Bounds, Direction, Error, PrefixDelete, Retention, Source, Span, Timestamp, Watermark};

use super::Make;
use crate::common::{commit, compact, delete_prefix, digest, image, put, scan, t, value};

const BOTH: [Retention; 2] = [Retention::Newest, Retention::Versions];

pub fn reads_and_transactions_below_the_watermark_are_refused(make: Make<'_>) {
    for retention in BOTH {
        let mut fixture = make(retention);
        let store = fixture.store();
        store.put(b"k", b"v", t(10), None).unwrap();
        store.put(b"l", b"v", t(20), None).unwrap();
        store.compact(t(15), 1).unwrap();
        for reopened in [false, true] {
            if reopened {
                fixture.reopen();
            }
            let store = fixture.store();
            assert_eq!(store.watermark().effective(), t(15));
            let refusals = [
                store.get(b"k", t(14)).unwrap_err(),
                store.exists(b"none", t(14)).unwrap_err(),
                store.scan(Span::ALL, t(14), Direction::Forward, Bounds::NONE).unwrap_err(),
                store.get(b"k", Timestamp::ZERO).unwrap_err(),
                store.pin(t(14)).map(|_| ()).unwrap_err(),
                commit(store, 14, 99, &[put(b"new", b"")]).unwrap_err(),
            ];
            for refused in refusals {
                assert!(matches!(refused, Error::Compacted { watermark: Timestamp(15), .. }), "{refused}");
            }
            assert_eq!(value(store, b"k", t(15)).unwrap(), b"v");
        }
        compact(fixture.store(), t(15));
        assert_eq!(fixture.store().watermark(), Watermark { committed: t(15), pending: None });
        commit(fixture.store(), 15, 99, &[put(b"k", b"")]).unwrap();
    }
}

pub fn a_compaction_keeps_what_readers_above_it_see(make: Make<'_>) {
    let fixture = make(Retention::Versions);
    let store = fixture.store();
    let mut at = 0;
    for round in 0..6u64 {
        for key in 0..20u64 {
            at += 1;
            let name = format!("k{key}");
            if (round + key) % 4 == 3 {
                store.delete(name.as_bytes(), t(at)).unwrap();
            } else {
                let deadline = ((round + key) % 5 == 1).then(|| t(at + 25));
                store.put(name.as_bytes(), name.as_bytes(), t(at), deadline).unwrap();
            }
        }
    }
    let all: Vec<_> = (1..150).map(t).collect();
    let before = digest(store, &all);
    for horizon in [1, 7, 40, 41, 77, 100, 120, 140] {
        assert_eq!(compact(store, t(horizon)), t(horizon));
        let after = digest(store, &all);
        let kept = horizon as usize - 1;
        assert_eq!(after[kept..], before[kept..]);
        assert!(after[..kept].iter().all(Result::is_err));
    }
}

pub fn pinned_readers_hold_the_watermark_back(make: Make<'_>) {
    let fixture = make(Retention::Versions);
    let store = fixture.store();
    store.put(b"k", b"one", t(10), None).unwrap();
    store.put(b"k", b"two", t(20), None).unwrap();
    let pin = store.pin(t(12)).unwrap();
    let latest = store.pin(Timestamp::LATEST).unwrap();
    assert_eq!(latest.at(), t(20));
    assert_eq!(compact(store, t(100)), t(12));
    assert_eq!(value(store, b"k", pin.at()).unwrap(), b"one");
    drop(pin);
    assert_eq!(compact(store, t(100)), t(20));
    assert!(store.get(b"k", t(12)).is_err());
    drop(latest);
    assert_eq!(compact(store, t(100)), t(100));
    assert_eq!(store.pin(Timestamp::LATEST).unwrap().at(), t(100), "nothing below can be read");
}

pub fn nothing_is_left_of_what_was_deleted_or_has_expired(make: Make<'_>) {
    for retention in BOTH {
        let mut fixture = make(retention);
        let store = fixture.store();
        let mut at = 0;
        for key in 0..200u64 {
            for value in [b"one", b"two"] {
                at += 1;
                let deadline = (key % 3 == 0).then(|| t(5000 + at));
                store.put(format!("q:{key}").as_bytes(), value, t(at), deadline).unwrap();
            }
            if key % 3 == 1 {
                at += 1;
                store.delete(format!("q:{key}").as_bytes(), t(at)).unwrap();
            }
        }
        store.put(b"r", b"stays", t(1000), None).unwrap();
        delete_prefix(store, b"q:1", None, 2000);
        delete_prefix(store, b"q:", None, 2001);
        compact(store, t(9000));
        for reopened in [false, true] {
            if reopened {
                fixture.reopen();
            }
            let everything =
                fixture.store().scan(Span::ALL, Timestamp::LATEST, Direction::Forward, Bounds::NONE).unwrap();
            assert_eq!(everything.visited, 1, "deletions, superseded and expired versions are gone");
            assert_eq!(everything.rows[0].key, b"r");
            assert_eq!(fixture.store().latest_commit(b"q:1").unwrap(), None);
        }
        assert!(image(fixture.store()).len() < 300);
    }
}

pub fn the_probe_refuses_to_guess_below_the_watermark(make: Make<'_>) {
    let fixture = make(Retention::Versions);
    let store = fixture.store();
    store.put(b"k", b"one", t(10), None).unwrap();
    store.put(b"k", b"two", t(20), None).unwrap();
    compact(store, t(25));
    assert!(store.committed_at(b"k", t(20)).unwrap());
    for commit in [10, 11, 25] {
        let refused = store.committed_at(b"k", t(commit)).unwrap_err();
        assert!(matches!(refused, Error::Compacted { watermark: Timestamp(25), .. }), "{refused}");
    }
    assert!(!store.committed_at(b"k", t(26)).unwrap());

    let newest = make(Retention::Newest);
    let store = newest.store();
    store.put(b"k", b"one", t(10), None).unwrap();
    store.put(b"k", b"two", t(20), None).unwrap();
    assert!(store.committed_at(b"k", t(20)).unwrap());
    assert!(!store.committed_at(b"k", t(21)).unwrap());
    assert!(!store.committed_at(b"never", t(5)).unwrap());
    assert!(matches!(store.committed_at(b"k", t(10)), Err(Error::Compacted { .. })), "it may have been there");
}

pub fn an_image_restores_everything(make: Make<'_>) {
    for retention in BOTH {
        let fixture = make(retention);
        let store = fixture.store();
        store.put(b"a", b"one", t(10), None).unwrap();
        store.put(b"a", b"two", t(20), Some(t(90))).unwrap();
        store.put(b"b", b"", t(21), None).unwrap();
        store.delete(b"b", t(30)).unwrap();
        store.put(b"p:1", b"", t(35), None).unwrap();
        let large = vec![b'x'; 1 << 20];
        store.put(b"large", &large, t(36), None).unwrap();
        compact(store, t(12));
        let delete = PrefixDelete { prefix: b"p", spare: None, commit: t(40) };
        store.delete_prefix(&delete, Source::Log { index: 5 }).unwrap();
        store.put(b"p:2", b"", t(41), None).unwrap();
        let mut snapshot = store.snapshot().unwrap();
        store.put(b"c", b"not in the image", t(50), None).unwrap();
        store.delete(b"a", t(51)).unwrap();
        assert_eq!(snapshot.last_commit(), t(41));
        let mut bytes = Vec::new();
        snapshot.write_to(&mut bytes).unwrap();

        let mut other = make(retention);
        other.store().put(b"old", b"goes", t(77), None).unwrap();
        other.store().restore(&mut &bytes[..]).unwrap();
        for _ in 0..2 {
            let copy = other.store();
            assert_eq!((copy.last_commit(), copy.applied_index()), (t(41), 5));
            assert_eq!(copy.watermark().effective(), t(12));
            let expected: [&[u8]; 3] = [b"a", b"large", b"p:2"];
            assert_eq!(scan(copy, Span::ALL, t(41)), expected);
            assert_eq!(value(copy, b"a", t(50)).unwrap(), b"two");
            assert_eq!(value(copy, b"a", t(90)), None);
            assert_eq!(value(copy, b"large", t(50)).unwrap(), large);
            assert_eq!(copy.latest_commit(b"p:1").unwrap(), Some(t(40)));
            if retention == Retention::Versions {
                assert_eq!(value(copy, b"a", t(15)).unwrap(), b"one");
                assert_eq!(value(copy, b"p:1", t(39)).unwrap(), b"");
                assert!(copy.committed_at(b"b", t(21)).unwrap());
            }
            other.reopen();
        }
        other.store().put(b"old", b"new", t(60), None).unwrap();
        assert_eq!(value(other.store(), b"old", t(60)).unwrap(), b"new");
    }
}

pub fn a_damaged_image_changes_nothing(make: Make<'_>) {
    let source = make(Retention::Versions);
    for n in 0..100u64 {
        source.store().put(format!("{n}").as_bytes(), &[7; 10_000], t(n + 1), None).unwrap();
    }
    let good = image(source.store());
    let mut fixture = make(Retention::Versions);
    fixture.store().put(b"mine", b"stays", t(500), None).unwrap();
    for (at, cut) in [(3, false), (good.len() / 2, false), (good.len() - 1, false), (good.len() / 2, true), (0, true)] {
        let mut bad = good.clone();
        if cut {
            bad.truncate(at);
        } else {
            bad[at] ^= 0x10;
        }
        for _ in 0..2 {
            let refused = fixture.store().restore(&mut &bad[..]).unwrap_err();
            assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
        }
        if at % 2 == 0 {
            fixture.reopen();
        }
        assert_eq!(scan(fixture.store(), Span::ALL, Timestamp::LATEST), [b"mine"]);
        assert_eq!(fixture.store().last_commit(), t(500));
    }
    for _ in 0..3 {
        fixture.store().restore(&mut &good[..]).unwrap();
        assert_eq!(scan(fixture.store(), Span::ALL, Timestamp::LATEST).len(), 100);
    }
    fixture.reopen();
    assert_eq!(scan(fixture.store(), Span::ALL, Timestamp::LATEST).len(), 100);
}

pub fn an_image_needs_the_same_retention(make: Make<'_>) {
    let bytes = image(make(Retention::Newest).store());
    let refused = make(Retention::Versions).store().restore(&mut &bytes[..]).unwrap_err();
    assert!(matches!(refused, Error::NotSupported(_)), "{refused}");
}
