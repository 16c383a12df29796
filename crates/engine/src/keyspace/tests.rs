//! Definitions, and what of a cache reaches the log. Commands over caches are tested where commands are.

mod changes;
mod group;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::{Deadline, KeyspaceId, Mode, Op};

use super::{Definition, KeyspaceChange, KeyspaceError};
use crate::{Engine, Lock, Options, PolicyKind, Recycled};

const MIB: u64 = 1 << 20;

fn open(dir: &std::path::Path, clock: &Arc<AtomicI64>) -> Engine {
    let clock = Arc::clone(clock);
    let options = Options::new(Arc::new(move || clock.load(Ordering::Relaxed)), [7; 22]);
    // What is evicted in any order leaves the most records behind that must not come back.
    Engine::open(dir, Options { disk_policy: PolicyKind::Sieve, ..options }).unwrap()
}

fn change(patterns: &[&str], ram: u64, disk: u64) -> KeyspaceChange {
    KeyspaceChange {
        patterns: Some(patterns.iter().map(|p| p.as_bytes().to_vec()).collect()),
        mode: Some(Mode::Cache),
        ram_bytes: Some(ram),
        disk_bytes: Some(disk),
        fsync: None,
    }
}

fn definitions(engine: &Engine) -> Vec<Definition> {
    engine.keyspaces().into_iter().map(|figures| figures.definition).collect()
}

fn set(engine: &Engine, pairs: &[(&str, &str)]) -> u64 {
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    for (key, value) in pairs {
        let fresh = !context.state.exists(key.as_bytes()).unwrap();
        context.out.emit(key.as_bytes(), fresh, Op::Set { value: value.as_bytes(), deadline: Deadline::Clear });
    }
    let committed = context.commit().unwrap();
    if let Some(after) = committed.after {
        engine.finish(*after);
    }
    committed.position.get()
}

fn get(engine: &Engine, key: &str) -> Option<String> {
    let mut recycled = Recycled::new();
    loop {
        let context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        match context.state.string(key.as_bytes()) {
            Ok(found) => return found.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            Err(crate::Stop::Miss(miss)) => {
                drop(context);
                engine.load(&miss, (0, engine.now_ms()), std::iter::empty(), &mut Default::default()).unwrap();
            }
            Err(stop) => panic!("{stop:?}"),
        }
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < patience, "this never happened: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn definitions_survive_restarts_and_rewrites_and_numbers_are_never_used_again() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("pages", &change(&["page:*"], 8 * MIB, 16 * MIB)).unwrap();
    engine.define_keyspace("gone", &change(&["gone:*"], 8 * MIB, 0)).unwrap();
    engine.define_keyspace("images", &change(&["img:*", "*.png"], 4 * MIB, 0)).unwrap();
    engine.delete_keyspace("gone").unwrap();
    wait_until("the keyspace is gone", || definitions(&engine).len() == 2);
    let narrower = KeyspaceChange { ram_bytes: Some(9 * MIB), fsync: Some(true), ..KeyspaceChange::default() };
    engine.define_keyspace("pages", &narrower).unwrap();
    wait_until("all keys have moved", || !engine.keyspaces()[0].moving);
    let before = definitions(&engine);
    assert_eq!((before[0].ram_bytes, before[0].disk_bytes, before[0].fsync), (9 * MIB, 16 * MIB, true));
    assert_eq!((before[0].id, before[1].id), (KeyspaceId(1), KeyspaceId(3)));
    engine.close().unwrap();
    let engine = open(dir.path(), &clock);
    assert_eq!(definitions(&engine), before);
    engine.checkpoint().unwrap();
    engine.delete_keyspace("images").unwrap();
    wait_until("the keyspace is gone", || definitions(&engine).len() == 1);
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    let engine = open(dir.path(), &clock);
    assert_eq!(definitions(&engine), before[..1]);
    engine.define_keyspace("new", &change(&["n:*"], 4 * MIB, 0)).unwrap();
    assert_eq!(definitions(&engine)[1].id, KeyspaceId(4));
}

#[test]
fn a_batch_over_both_kinds_logs_the_keys_of_no_cache() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 0)).unwrap();
    let end = |engine: &Engine| engine.log().end().get();
    let before = end(&engine);
    set(&engine, &[("c:1", "a"), ("c:2", "b")]);
    assert_eq!(end(&engine), before, "nothing is logged of a cache");
    set(&engine, &[("c:1", "x"), ("kept", "y"), ("c:3", "z")]);
    assert!(end(&engine) > before);
    let seen = |engine: &Engine| ["c:1", "c:2", "c:3", "kept"].map(|key| get(engine, key));
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(seen(&engine), [some("x"), some("b"), some("z"), some("y")]);
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    let engine = open(dir.path(), &clock);
    assert_eq!(seen(&engine), [None, None, None, some("y")]);
    // The dots have no gap: a further write and a further start go well.
    set(&engine, &[("c:1", "again"), ("kept", "later")]);
    engine.close().unwrap();
    assert_eq!(get(&open(dir.path(), &clock), "kept"), some("later"));
}

#[test]
fn what_was_in_ram_at_a_clean_stop_is_there_at_the_next_start() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    set(&engine, &[("c:1", "a"), ("c:2", "b")]);
    engine.close().unwrap();
    let engine = open(dir.path(), &clock);
    let figures = &engine.keyspaces()[0];
    assert_eq!((figures.keys, figures.keys_at_rest), (2, 2));
    assert_eq!((get(&engine, "c:1").as_deref(), get(&engine, "c:2").as_deref()), (Some("a"), Some("b")));
    let figures = &engine.keyspaces()[0];
    assert_eq!((figures.keys, figures.keys_at_rest, figures.disk_hits), (2, 0, 2));
}

#[test]
fn keys_move_with_their_values_when_definitions_change() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    let key = |i: usize| format!("k:{i}");
    let value = |i: usize| format!("{i}").repeat(2000);
    for i in 0..1000 {
        set(&engine, &[(&key(i), &value(i))]);
    }
    let settled = |engine: &Engine| wait_until("all keys have moved", || !engine.shared.keyspaces.is_moving());
    // Where the disk does not keep up, a cache gives up a value rather than exceed its RAM: few here, and none is wrong.
    let check = |engine: &Engine| {
        let found: Vec<(usize, String)> = (0..1000).filter_map(|i| Some((i, get(engine, &key(i))?))).collect();
        assert!(found.iter().all(|(i, found)| *found == value(*i)));
        assert!(found.len() >= 950, "{} are there: {:?}", found.len(), engine.keyspaces());
    };
    // Into a cache whose RAM they do not fit.
    engine.define_keyspace("c", &change(&["k:*"], 4 * MIB, 32 * MIB)).unwrap();
    settled(&engine);
    let figures = &engine.keyspaces()[0];
    assert!(figures.keys >= 950 && figures.keys_at_rest > 100 && figures.ram_bytes <= 4 * MIB, "{figures:?}");
    check(&engine);
    let digest = |engine: &Engine| {
        let mut recycled = Recycled::new();
        engine.context(Lock::All, 0, engine.now_ms(), &mut recycled).state.digest().unwrap()
    };
    assert_eq!(digest(&engine), crate::Digest(0), "the log has none of them any more");
    engine.close().unwrap();
    let engine = open(dir.path(), &clock);
    check(&engine);
    // To another cache, a half of them; then back into the log.
    engine
        .define_keyspace("c", &KeyspaceChange { patterns: Some(vec![b"k:*[02468]".to_vec()]), ..Default::default() })
        .unwrap();
    engine.define_keyspace("d", &change(&["k:*"], 6 * MIB, 32 * MIB)).unwrap();
    settled(&engine);
    check(&engine);
    let keys: Vec<_> = engine.keyspaces().iter().map(|figures| figures.keys).collect();
    assert!(keys.len() == 2 && keys.iter().all(|keys| (450..=500).contains(keys)), "{keys:?}");
    engine.delete_keyspace("c").unwrap();
    engine.delete_keyspace("d").unwrap();
    wait_until("the keyspaces are gone", || engine.keyspaces().is_empty());
    check(&engine);
    assert_ne!(digest(&engine), crate::Digest(0));
    let all = digest(&engine);
    engine.close().unwrap();
    let engine = open(dir.path(), &clock);
    assert_eq!(digest(&engine), all);
    assert!(std::fs::read_dir(dir.path().join("keyspaces")).unwrap().next().is_none(), "their files are gone");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    let refused = |name: &str, change: KeyspaceChange| engine.define_keyspace(name, &change).unwrap_err();
    let good = || change(&["c:*"], 4 * MIB, 4 * MIB);
    assert!(matches!(refused("default", good()), KeyspaceError::Default));
    assert!(matches!(engine.delete_keyspace("default").unwrap_err(), KeyspaceError::Default));
    assert!(matches!(engine.delete_keyspace("c").unwrap_err(), KeyspaceError::Unknown));
    for name in ["", "a b", "ü", &"x".repeat(65)] {
        assert!(matches!(refused(name, good()), KeyspaceError::Name), "{name}");
    }
    assert!(matches!(refused("c", change(&["c:*"], 4 * MIB - 1, 0)), KeyspaceError::Ram(_)));
    assert!(matches!(refused("c", change(&["c:*"], 4 * MIB, 4 * MIB - 1)), KeyspaceError::Disk(_)));
    assert!(matches!(refused("c", change(&["c:*"], 4 * MIB, 1 << 40)), KeyspaceError::DiskForRam(_)));
    assert!(matches!(refused("c", change(&[], 4 * MIB, 0)), KeyspaceError::Patterns));
    assert!(matches!(refused("c", change(&[""], 4 * MIB, 0)), KeyspaceError::Patterns));
    let without = |change: KeyspaceChange| matches!(refused("c", change), KeyspaceError::Missing(_));
    assert!(without(KeyspaceChange { mode: None, ..good() }) && without(KeyspaceChange { patterns: None, ..good() }));
    assert!(
        without(KeyspaceChange { ram_bytes: None, ..good() }) && without(KeyspaceChange { disk_bytes: None, ..good() })
    );
    assert!(matches!(refused("c", KeyspaceChange { mode: Some(Mode::Causal), ..good() }), KeyspaceError::Mode));
    assert!(definitions(&engine).is_empty());
    engine.define_keyspace("c", &good()).unwrap();
}

#[test]
fn a_disk_that_fails_costs_the_tier_and_brings_nothing_back() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 32 * MIB)).unwrap();
    let (files, aside) = (dir.path().join("keyspaces/1"), dir.path().join("aside"));
    let value = |i: usize, round: u8| format!("{round}:{i}").repeat(2000);
    let fill = |round: u8| {
        for i in 0..1500 {
            set(&engine, &[(&format!("c:{i}"), &value(i, round))]);
        }
    };
    fill(1);
    // No new file can be made there any more.
    std::fs::rename(&files, &aside).unwrap();
    std::fs::write(&files, b"in the way").unwrap();
    fill(2);
    wait_until("the tier is given up", || {
        let figures = &engine.keyspaces()[0];
        figures.disk_trouble.is_some() && figures.disk_bytes == 0
    });
    fill(3);
    let right = |engine: &Engine, rounds: &[u8]| {
        let found = (0..1500).filter_map(|i| Some((i, get(engine, &format!("c:{i}"))?)));
        found.inspect(|(i, found)| assert!(rounds.iter().any(|round| *found == value(*i, *round)))).count()
    };
    assert!(right(&engine, &[3]) > 100, "what is in RAM is served");
    wait_until("keys without a value are gone", || engine.keyspaces()[0].keys_at_rest == 0);
    // The disk is back, with what it had: nothing of that is believed.
    std::fs::remove_file(&files).unwrap();
    std::fs::rename(&aside, &files).unwrap();
    engine.close().unwrap();
    let engine = open(dir.path(), &clock);
    assert_eq!(right(&engine, &[]), 0);
    set(&engine, &[("c:1", "new")]);
    assert_eq!(get(&engine, "c:1").as_deref(), Some("new"));
    engine.close().unwrap();
    assert_eq!(get(&open(dir.path(), &clock), "c:1").as_deref(), Some("new"));
}

#[test]
fn a_value_that_was_replaced_while_it_was_read_is_not_brought_back() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    let space = engine.shared.keyspaces.space(KeyspaceId(1)).unwrap();
    let rest = || engine.shared.rest_all(&space);
    let changes: [(&str, &dyn Fn(), Option<&str>); 4] = [
        (
            "replaced",
            &|| {
                set(&engine, &[("c:1", "new")]);
            },
            Some("new"),
        ),
        (
            "replaced and at rest again",
            &|| {
                set(&engine, &[("c:1", "newer")]);
                rest();
            },
            Some("newer"),
        ),
        ("loaded by somebody else", &|| engine.shared.load(0, b"c:1"), Some("old")),
        ("gone", &|| flush(&engine), None),
    ];
    for (what, between, expected) in changes {
        set(&engine, &[("c:1", "old")]);
        rest();
        assert_eq!(engine.keyspaces()[0].keys_at_rest, 1);
        let mut once = Some(between);
        engine.shared.load_with(0, b"c:1", &mut || {
            if let Some(between) = once.take() {
                between();
            }
        });
        assert_eq!(get(&engine, "c:1").as_deref(), expected, "{what}");
    }
}

fn flush(engine: &Engine) {
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    context.out.emit(b"", false, Op::FlushAll);
    context.commit().unwrap();
}

/// Writers own keys and raise their versions; readers, and the demotions that both cause, run beside them.
#[test]
fn nobody_reads_an_older_version_than_was_there_before() {
    const KEYS: usize = 300;
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 16 * MIB)).unwrap();
    // One slot, so that its shard sees all that can come between.
    let key = |i: usize| format!("c:{{one}}{i}");
    let versions: Vec<AtomicI64> = (0..KEYS).map(|_| AtomicI64::new(0)).collect();
    let (found, lost) = (AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (engine, versions) = (&engine, &versions);
            scope.spawn(move || {
                for step in 1..2500_usize {
                    let i = (step * 7 + step / 3) % (KEYS / 2) * 2 + writer;
                    let version = versions[i].load(Ordering::Acquire) + 1;
                    let value = format!("{version}:{}", "v".repeat(20_000 + step % 5000));
                    set(engine, &[(&key(i), &value)]);
                    versions[i].store(version, Ordering::Release);
                }
            });
        }
        for reader in 0..2 {
            let (engine, versions, found, lost) = (&engine, &versions, &found, &lost);
            scope.spawn(move || {
                for step in 0..8000_usize {
                    let i = (step * (11 + reader)) % KEYS;
                    let before = versions[i].load(Ordering::Acquire);
                    let Some(value) = get(engine, &key(i)) else {
                        lost.fetch_add(i64::from(before > 0), Ordering::Relaxed);
                        continue;
                    };
                    let version: i64 = value.split(':').next().unwrap().parse().unwrap();
                    assert!(version >= before, "{} holds version {version}, not {before}", key(i));
                    found.fetch_add(1, Ordering::Relaxed);
                    engine.make_room();
                }
            });
        }
    });
    let figures = &engine.keyspaces()[0];
    assert!(found.into_inner() > 1000 && figures.disk_hits > 500 && figures.demotions > 500, "{figures:?}, {lost:?}");
}
