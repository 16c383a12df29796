//! Rows that their owner declares dead: hidden at once and for ever, whatever compactions do, and given back.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Fixture, Lsm, commit, compact, delete_prefix, image, put, scan, t, tables, value};
use mvcc::wide::{Element, Incarnation, MetaKey};
use mvcc::{Bounds, DeadRows, Direction, LsmStore, MemStore, Retention, Source, Span, Store, Timestamp, Transaction};
use parking_lot::RwLock;
use proptest::collection::vec;
use proptest::prelude::*;

/// What the owner of a store remembers: dead collections, and when a database was emptied.
#[derive(Debug, Default)]
struct Marks(RwLock<Dead>);

#[derive(Clone, Debug, Default)]
struct Dead {
    collections: BTreeSet<Incarnation>,
    emptied: BTreeMap<u8, Timestamp>,
}

impl Dead {
    fn holds(&self, key: &[u8], commit: Timestamp) -> bool {
        Incarnation::of_row(key).is_some_and(|of| self.collections.contains(&of))
            || MetaKey::database(key).is_some_and(|(_, db)| self.emptied.get(&db).is_some_and(|&at| commit <= at))
    }
}

impl DeadRows for Marks {
    fn is_dead(&self, key: &[u8], commit: Timestamp) -> bool {
        self.0.read().holds(key, commit)
    }

    fn as_it_is(&self) -> Arc<dyn DeadRows> {
        Arc::new(Self(RwLock::new(self.0.read().clone())))
    }
}

fn store(retention: Retention) -> (Lsm, Arc<Marks>) {
    let marks = Arc::new(Marks::default());
    let dead = Arc::clone(&marks) as Arc<dyn DeadRows>;
    let lsm = Lsm::with(|options| {
        (options.retention, options.dead) = (retention, Some(dead));
        options.memtable_bytes = 64 << 10;
    });
    (lsm, marks)
}

fn member(of: u64, n: u64) -> Vec<u8> {
    Element::SetMember { hash: n, member: &n.to_be_bytes() }.key(Incarnation(of)).unwrap()
}

fn meta(db: u8, n: u64) -> Vec<u8> {
    MetaKey { keyspace: 0, slot: n as u16, db, hash: 0, key: &n.to_be_bytes() }.key().unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    /// Rows of the newest collection of a family, in a run or in a transaction.
    Write {
        family: u64,
        members: std::ops::Range<u64>,
        run: bool,
    },
    /// Keys of a database.
    Keys {
        db: u8,
        keys: std::ops::Range<u64>,
        run: bool,
    },
    /// The newest collection of a family dies; the next one of it has another number.
    Kill {
        family: u64,
    },
    /// All keys that a database has now die.
    Empty {
        db: u8,
    },
    Delete {
        db: u8,
        n: u64,
    },
}

fn range() -> impl Strategy<Value = std::ops::Range<u64>> {
    (0..40u64, 1..60u64).prop_map(|(from, len)| from..from + len)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..4u64, range(), any::<bool>()).prop_map(|(family, members, run)| Op::Write { family, members, run }),
        4 => (0..3u8, range(), any::<bool>()).prop_map(|(db, keys, run)| Op::Keys { db, keys, run }),
        3 => (0..4u64).prop_map(|family| Op::Kill { family }),
        2 => (0..3u8).prop_map(|db| Op::Empty { db }),
        1 => (0..3u8, 0..60u64).prop_map(|(db, n)| Op::Delete { db, n }),
    ]
}

/// A store, and what must be seen in it.
struct World {
    lives: BTreeMap<u64, u64>,
    rows: BTreeMap<Vec<u8>, Timestamp>,
    clock: u64,
}

impl World {
    fn run(&mut self, store: &LsmStore, marks: &Marks, op: &Op) {
        self.clock += 1;
        match op {
            Op::Write { family, members, run } => {
                // Families far apart, so that runs of different ones overlap in no, in some or in all rows.
                let of = family * 1000 + self.lives.get(family).unwrap_or(&0);
                self.write(store, members.clone().map(|n| member(of, n)).collect(), *run);
            }
            Op::Keys { db, keys, run } => {
                let mut keys: Vec<_> = keys.clone().map(|n| meta(*db, n)).collect();
                keys.sort();
                self.write(store, keys, *run);
            }
            Op::Kill { family } => {
                let life = self.lives.entry(*family).or_default();
                let of = Incarnation(family * 1000 + *life);
                *life += 1;
                marks.0.write().collections.insert(of);
                self.rows.retain(|key, _| Incarnation::of_row(key) != Some(of));
            }
            Op::Empty { db } => {
                marks.0.write().emptied.insert(*db, store.last_commit());
                self.rows.retain(|key, _| MetaKey::database(key) != Some((0, *db)));
            }
            Op::Delete { db, n } => {
                store.delete(&meta(*db, *n), t(self.clock)).unwrap();
                self.rows.remove(&meta(*db, *n));
            }
        }
    }

    fn write(&mut self, store: &LsmStore, keys: Vec<Vec<u8>>, run: bool) {
        let text = self.clock.to_be_bytes();
        if run {
            let mut run = store.begin_run(t(self.clock), Source::Direct).unwrap();
            keys.iter().for_each(|key| run.put(key, None, &[&text, &[7; 200]]).unwrap());
            run.finish().unwrap();
        } else {
            let row = [&text[..], &[7; 200]].concat();
            let writes: Vec<_> = keys.iter().map(|key| put(key, &row)).collect();
            let transaction = Transaction { commit: t(self.clock), mutations: &writes, ..Transaction::default() };
            store.apply(&transaction, Source::Direct).unwrap();
        }
        self.rows.extend(keys.into_iter().map(|key| (key, t(self.clock))));
    }

    fn compare(&self, store: &LsmStore) {
        let expected: Vec<_> = self.rows.iter().map(|(key, commit)| (key.clone(), *commit)).collect();
        for direction in [Direction::Forward, Direction::Reverse] {
            let page = store.scan(Span::ALL, t(self.clock), direction, Bounds::NONE).unwrap();
            let mut found: Vec<_> = page.rows.into_iter().map(|row| (row.key, row.version.commit)).collect();
            found.sort();
            assert_eq!(found, expected, "{direction:?} at {}", self.clock);
        }
        for db in 0..3 {
            for n in (0..60).step_by(7) {
                let key = meta(db, n);
                let version = store.get(&key, t(self.clock)).unwrap();
                assert_eq!(version.map(|version| version.commit), self.rows.get(&key).copied());
            }
        }
    }
}

/// The marks that a major compaction makes superfluous are forgotten, and what they were for stays away.
fn compact_and_forget(store: &LsmStore, marks: &Marks) -> bool {
    let before = marks.0.read().clone();
    let compaction = store.compact_all().unwrap();
    if !compaction.may_forget() {
        return false;
    }
    let mut marks = marks.0.write();
    marks.collections.retain(|of| !before.collections.contains(of));
    marks.emptied.retain(|db, at| before.emptied.get(db) != Some(at));
    true
}

/// Says that it is over, also when a comparison fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn check(retention: Retention, ops: &[Op], forgotten: &AtomicUsize) {
    let (mut lsm, marks) = store(retention);
    let mut world = World { lives: BTreeMap::new(), rows: BTreeMap::new(), clock: 0 };
    for chunk in ops.chunks(20) {
        let (store, is_over) = (lsm.lsm(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let compactor = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    forgotten.fetch_add(usize::from(compact_and_forget(store, &marks)), Ordering::Relaxed);
                }
            });
            let over = Over(&is_over);
            for op in chunk {
                world.run(store, &marks, op);
                world.compare(store);
            }
            drop(over);
            compactor.join().unwrap();
        });
        lsm.reopen();
        world.compare(lsm.lsm());
    }
}

/// Rows die at random moments while compactions run, and what has killed them is forgotten as soon as it may be.
#[test]
fn what_is_dead_is_never_seen_again_and_all_else_always() {
    let cases = std::env::var("MVCC_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let forgotten = AtomicUsize::new(0);
    for retention in [Retention::Newest, Retention::Versions] {
        let config = ProptestConfig { cases, max_shrink_iters: 100, ..ProptestConfig::default() };
        let ops = vec(op().prop_map(move |op| without_runs(op, retention)), 1..60);
        let mut runner = proptest::test_runner::TestRunner::new(config);
        runner
            .run(&ops, |ops| {
                check(retention, &ops, &forgotten);
                Ok(())
            })
            .unwrap();
    }
    assert!(forgotten.load(Ordering::Relaxed) > 0, "no mark was ever forgotten");
}

/// There are no runs where superseded versions are kept.
fn without_runs(op: Op, retention: Retention) -> Op {
    let may_run = retention == Retention::Newest;
    match op {
        Op::Write { family, members, run } => Op::Write { family, members, run: run && may_run },
        Op::Keys { db, keys, run } => Op::Keys { db, keys, run: run && may_run },
        other => other,
    }
}

/// A collection of a million members is gone, and so is its space.
#[test]
fn the_space_of_a_dead_collection_comes_back() {
    let (lsm, marks) = store(Retention::Newest);
    let store = lsm.lsm();
    store.put(&meta(0, 1), b"live", t(1), None).unwrap();
    store.compact_all().unwrap();
    let empty = tables(lsm.path());
    let mut run = store.begin_run(t(2), Source::Direct).unwrap();
    let mut key = Vec::new();
    for n in 0..1_000_000u64 {
        let member = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        Element::SetMember { hash: n << 40, member: &member }.encode_key(Incarnation(7), &mut key).unwrap();
        run.put(&key, None, &[]).unwrap();
    }
    run.finish().unwrap();
    let full = tables(lsm.path());
    marks.0.write().collections.insert(Incarnation(7));
    assert_eq!(store.get(&key, t(2)).unwrap(), None);
    assert!(compact_and_forget(store, &marks));
    let left = tables(lsm.path());
    assert!(full > empty + 10_000_000 && left < empty + 4_000, "{empty} bytes empty, {full} full, {left} at the end");
    assert!(!marks.is_dead(&key, t(2)), "forgotten, and still");
    assert_eq!(scan(store, Span::ALL, t(2)), [meta(0, 1)]);
    assert_eq!(store.get(&key, t(2)).unwrap(), None);
}

/// Who still looks at older files needs the mark.
#[test]
fn a_mark_is_kept_while_older_readers_are_there() {
    let (lsm, marks) = store(Retention::Newest);
    let store = lsm.lsm();
    let (dead, live) = (member(1, 1), member(2, 1));
    let transaction =
        Transaction { commit: t(1), mutations: &[put(&dead, b""), put(&live, b"")], ..Default::default() };
    store.apply(&transaction, Source::Direct).unwrap();
    let mut old = store.snapshot().unwrap();
    marks.0.write().collections.insert(Incarnation(1));
    let mut later = store.snapshot().unwrap();
    let (first, second) = (store.compact_all().unwrap(), store.compact_all().unwrap());
    assert!(!first.may_forget() && !second.may_forget());
    let mut bytes = Vec::new();
    old.write_to(&mut bytes).unwrap();
    drop(old);
    let mut of_later = Vec::new();
    later.write_to(&mut of_later).unwrap();
    drop(later);
    assert!(first.may_forget() && second.may_forget());
    marks.0.write().collections.clear();
    let model = MemStore::new(Retention::Newest);
    model.restore(&mut &bytes[..]).unwrap();
    assert_eq!(scan(&model, Span::ALL, t(1)), [dead, live.clone()], "an image has what lived at its moment");
    model.restore(&mut &of_later[..]).unwrap();
    assert_eq!(scan(&model, Span::ALL, t(1)), std::slice::from_ref(&live));
    assert_eq!(scan(store, Span::ALL, t(1)), std::slice::from_ref(&live));
    let mut seen = 0;
    let flow = store.for_each(Span::ALL, t(1), |_, _| {
        seen += 1;
        assert!(!store.compact_all().unwrap().may_forget(), "this reader is there");
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((flow.unwrap(), seen), (ControlFlow::Continue(()), 1));
    assert!(store.compact_all().unwrap().may_forget());
}

/// A run that began before is in the way of a major compaction, which would else miss its rows.
#[test]
fn a_major_compaction_waits_for_the_run_under_way() {
    let (lsm, marks) = store(Retention::Newest);
    let store = lsm.lsm();
    let mut run = store.begin_run(t(1), Source::Direct).unwrap();
    run.put(&member(1, 1), None, &[]).unwrap();
    marks.0.write().collections.insert(Incarnation(1));
    std::thread::scope(|scope| {
        let compaction = scope.spawn(|| compact_and_forget(store, &marks));
        // As long as it takes for the compaction to come first, if it could.
        for n in 2..100_000 {
            if compaction.is_finished() {
                break;
            }
            run.put(&member(1, n), None, &[]).unwrap();
        }
        run.finish().unwrap();
        assert!(compaction.join().unwrap());
    });
    assert!(scan(store, Span::ALL, t(1)).is_empty());
}

/// Every operation takes a dead row for none.
#[test]
fn a_dead_row_is_absent_for_every_operation() {
    for retention in [Retention::Newest, Retention::Versions] {
        let (lsm, marks) = store(retention);
        let store = lsm.lsm();
        let key = meta(0, 1);
        store.put(&key, b"1", t(10), None).unwrap();
        store.put(&key, b"2", t(20), None).unwrap();
        store.put(&meta(1, 1), b"other", t(21), None).unwrap();
        marks.0.write().emptied.insert(0, t(20));
        assert_eq!(value(store, &key, t(30)), None);
        assert_eq!(store.latest_commit(&key).unwrap(), None);
        assert!(!store.committed_at(&key, t(20)).unwrap());
        assert_eq!(scan(store, Span::ALL, t(30)), [meta(1, 1)]);
        assert!(matches!(store.expire(&key, None, t(25)), Err(mvcc::Error::NotFound { .. })));
        commit(store, 15, 30, &[put(&key, b"3")]).unwrap();
        assert_eq!(value(store, &key, t(30)).unwrap(), b"3");
        if retention == Retention::Versions {
            for at in [t(10), t(20), t(29)] {
                assert_eq!(value(store, &key, at), None, "what is dead is not history either");
            }
            assert!(!store.committed_at(&key, t(10)).unwrap());
        }
        // A deletion of what is dead deletes nothing, and makes no version.
        store.put(&meta(2, 1), b"dies", t(31), None).unwrap();
        marks.0.write().emptied.insert(2, t(31));
        delete_prefix(store, b"", Some(&meta(0, 1)[..6]), 40);
        compact(store, t(35));
        assert_eq!(store.latest_commit(&meta(2, 1)).unwrap(), None);
        let model = MemStore::new(retention);
        model.restore(&mut &image(store)[..]).unwrap();
        assert_eq!(scan(&model, Span::ALL, t(50)), scan(store, Span::ALL, t(50)));
        assert_eq!(model.latest_commit(&meta(2, 1)).unwrap(), None);
        assert!(compact_and_forget(store, &marks));
        assert_eq!(scan(&model, Span::ALL, t(50)), scan(store, Span::ALL, t(50)));
    }
}

/// With its mark the last of the history goes, and not only what was current.
#[test]
fn dead_history_does_not_come_back_when_it_is_forgotten() {
    let (lsm, marks) = store(Retention::Versions);
    let store = lsm.lsm();
    let key = meta(0, 1);
    for at in [10, 20, 30] {
        store.put(&key, &[at as u8], t(at), None).unwrap();
    }
    marks.0.write().emptied.insert(0, t(20));
    assert!(compact_and_forget(store, &marks));
    for at in [10, 20, 29] {
        assert_eq!(value(store, &key, t(at)), None, "at {at}");
        assert!(!store.committed_at(&key, t(at)).unwrap());
    }
    assert_eq!(value(store, &key, t(30)).unwrap(), [30]);
    let model = MemStore::new(Retention::Versions);
    model.restore(&mut &image(store)[..]).unwrap();
    assert_eq!(model.version_count(), 1);
}
