//! Keyspaces of a group on one node. What several make of each other is tested where commands are.

use effect::{GroupKeyspace, Vector};

use super::*;
use crate::backup::{Making, Whose};
use crate::limits::{KEYSPACE_NAME_MAX, KEYSPACE_PATTERN_MAX, KEYSPACE_PATTERNS_MAX, KEYSPACES_MAX};
use crate::{GroupKeyspaceChange, Refusal, WatchFlag};

fn said(patterns: &[&str], is_unsafe: Option<bool>) -> GroupKeyspaceChange {
    let patterns = (!patterns.is_empty()).then(|| patterns.iter().map(|one| one.as_bytes().to_vec()).collect());
    GroupKeyspaceChange { patterns, is_unsafe }
}

fn keyspace(name: &str, patterns: &[&str], is_unsafe: bool) -> GroupKeyspace {
    let patterns = patterns.iter().map(|one| one.as_bytes().to_vec()).collect();
    GroupKeyspace { name: name.into(), patterns, is_unsafe }
}

fn member(dir: &std::path::Path, clock: &Arc<AtomicI64>) -> Engine {
    let engine = open(dir, clock);
    engine.set_replicating(true).unwrap();
    engine
}

/// With what a crash leaves that loses nothing of what was synced: nothing is written at the end.
fn crash(engine: Engine, dir: &std::path::Path, clock: &Arc<AtomicI64>) -> Engine {
    drop(engine);
    open(dir, clock)
}

#[test]
fn a_keyspace_keeps_what_is_left_out_and_its_place_in_the_order() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = member(dir.path(), &clock);
    let before = engine.group_keyspaces();
    assert_eq!(before[..], [keyspace("default", &[], false)]);
    engine.define_group_keyspace("gold", &said(&["cart:gold:*"], Some(false))).unwrap();
    engine.define_group_keyspace("carts", &said(&["cart:*", "bag:*"], Some(true))).unwrap();
    engine.define_group_keyspace("gold", &said(&[], Some(true))).unwrap();
    engine.define_group_keyspace("carts", &said(&["cart:*"], None)).unwrap();
    engine.define_group_keyspace("default", &said(&[], Some(true))).unwrap();
    let (gold, carts) = (keyspace("gold", &["cart:gold:*"], true), keyspace("carts", &["cart:*"], true));
    let default = keyspace("default", &[], true);
    assert_eq!(engine.group_keyspaces()[..], [gold.clone(), carts.clone(), default.clone()]);
    assert_eq!(before[..], [keyspace("default", &[], false)], "who looked before goes by what was so then");
    engine.delete_group_keyspace("gold").unwrap();
    engine.define_group_keyspace("gold", &said(&["cart:gold:*"], Some(true))).unwrap();
    assert_eq!(engine.group_keyspaces()[..], [carts, gold, default], "it is another one, defined later");
    assert!(!engine.has_keyspaces(), "these are not caches");
}

#[test]
fn what_was_answered_survives_a_crash_with_checkpoints_and_without() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let mut engine = member(dir.path(), &clock);
    let position = engine.define_group_keyspace("a", &said(&["a*"], Some(true))).unwrap();
    assert!(engine.log().durable() >= position);
    engine = crash(engine, dir.path(), &clock);
    let a = keyspace("a", &["a*"], true);
    assert_eq!(engine.group_keyspaces()[0], a, "it is in the log");
    engine.checkpoint().unwrap();
    engine.define_group_keyspace("b", &said(&["b*"], Some(false))).unwrap();
    engine = crash(engine, dir.path(), &clock);
    assert_eq!(engine.group_keyspaces()[..2], [a, keyspace("b", &["b*"], false)], "it is at rest, and behind that");
    engine.delete_group_keyspace("a").unwrap();
    let position = engine.delete_group_keyspace("b").unwrap();
    assert!(engine.log().durable() >= position);
    engine.checkpoint().unwrap();
    engine = crash(engine, dir.path(), &clock);
    assert_eq!(engine.group_keyspaces()[..], [keyspace("default", &[], false)], "what has ended is nowhere");
}

#[test]
fn a_node_that_is_alone_keeps_them_for_when_it_is_not() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = member(dir.path(), &clock);
    engine.define_group_keyspace("a", &said(&["a*"], Some(true))).unwrap();
    engine.set_replicating(false).unwrap();
    engine.checkpoint().unwrap();
    engine.define_group_keyspace("b", &said(&["b*"], Some(true))).unwrap();
    let before = engine.group_keyspaces();
    assert_eq!(before.len(), 3);
    let engine = crash(engine, dir.path(), &clock);
    assert_eq!(engine.group_keyspaces(), before);
}

#[test]
fn what_is_done_to_keys_and_databases_does_not_touch_them_nor_they_those() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = member(dir.path(), &clock);
    set(&engine, &[("a", "1")]);
    engine.define_group_keyspace("a", &said(&["a*"], Some(true))).unwrap();
    let mut recycled = Recycled::new();
    let before = engine.group_keyspaces();
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    context.out.emit(b"a", false, Op::Remove);
    context.out.swap_dbs(0, 1);
    context.out.emit(b"", false, Op::FlushAll);
    context.commit().unwrap();
    drop(context);
    assert!(Arc::ptr_eq(&engine.group_keyspaces(), &before));
    engine.delete_group_keyspace("a").unwrap();
    assert_eq!(engine.key_counts(0).keys, 0, "no definition is a key");
}

#[test]
fn what_comes_from_another_node_is_no_change_of_the_key_of_that_name() {
    let (dirs, clock) = ([(); 2].map(|()| tempfile::tempdir().unwrap()), Arc::new(AtomicI64::new(1_000_000)));
    let there = Engine::open(dirs[0].path(), Options::new(Arc::new(|| 1_000_000), [9; 22])).unwrap();
    there.set_replicating(true).unwrap();
    let here = member(dirs[1].path(), &clock);
    set(&here, &[("a", "1")]);
    let (flag, mut recycled) = (WatchFlag::default(), Recycled::new());
    here.context(Lock::All, 0, here.now_ms(), &mut recycled).watch(b"a", &flag).unwrap();
    let effects = here.vector();
    there.define_group_keyspace("a", &said(&["a*"], Some(true))).unwrap();
    let mut feeder = there.feed(Vector::new(), false).unwrap();
    let fed = feeder.next_record().unwrap().unwrap();
    here.receive_record(&fed.record, &fed.context).unwrap();
    assert!(here.vector() != effects && !flag.is_dirty());
    assert_eq!(here.group_keyspaces()[..], there.group_keyspaces()[..]);
    assert_eq!(here.group_keyspaces()[0], keyspace("a", &["a*"], true));
    assert_eq!(get(&here, "a").as_deref(), Some("1"));
}

#[test]
fn what_is_no_keyspace_changes_nothing() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = member(dir.path(), &clock);
    let define = |name: &str, change: GroupKeyspaceChange| engine.define_group_keyspace(name, &change);
    let long = "n".repeat(KEYSPACE_NAME_MAX + 1);
    for name in ["", "a b", "ä", &long] {
        assert!(matches!(define(name, said(&["a*"], Some(true))), Err(KeyspaceError::Name)), "{name}");
        assert!(
            matches!(engine.define_keyspace(name, &change(&["a*"], 8 * MIB, 0)), Err(KeyspaceError::Name)),
            "{name}"
        );
    }
    let (many, long) = (vec!["a"; KEYSPACE_PATTERNS_MAX + 1], "a".repeat(KEYSPACE_PATTERN_MAX + 1));
    for patterns in [&[""][..], &[&long], &many] {
        assert!(matches!(define("a", said(patterns, Some(true))), Err(KeyspaceError::Patterns)));
        assert!(matches!(engine.define_keyspace("a", &change(patterns, 8 * MIB, 0)), Err(KeyspaceError::Patterns)));
    }
    assert!(matches!(define("a", said(&[], Some(true))), Err(KeyspaceError::Missing("MATCH"))));
    assert!(matches!(define("a", said(&["a*"], None)), Err(KeyspaceError::Missing("SAFETY"))));
    assert!(matches!(define("default", said(&["a*"], Some(true))), Err(KeyspaceError::GroupDefault)));
    assert!(matches!(engine.delete_group_keyspace("default"), Err(KeyspaceError::GroupDefault)));
    assert!(matches!(engine.delete_group_keyspace("a"), Err(KeyspaceError::Unknown)));
    engine.set_open(false);
    let closed = define("a", said(&["a*"], Some(true)));
    assert!(matches!(closed, Err(KeyspaceError::Refused(Refusal::NotOpen))), "{closed:?}");
    engine.set_open(true);
    assert_eq!(engine.group_keyspaces()[..], [keyspace("default", &[], false)]);
    for n in 0..KEYSPACES_MAX {
        define(&format!("k{n}"), said(&["a*"], Some(true))).unwrap();
    }
    assert!(matches!(define("more", said(&["a*"], Some(true))), Err(KeyspaceError::TooMany)));
    define("k0", said(&[], Some(false))).unwrap();
}

#[test]
fn a_directory_that_is_made_of_rows_and_log_has_them() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = member(dir.path(), &clock);
    engine.define_group_keyspace("a", &said(&["a*"], Some(true))).unwrap();
    engine.define_group_keyspace("b", &said(&["b*"], Some(true))).unwrap();
    let base = engine.base(&mut || true).unwrap();
    engine.delete_group_keyspace("a").unwrap();
    engine.define_group_keyspace("c", &said(&["c*"], Some(false))).unwrap();
    let (mut rows, made) = (Vec::new(), tempfile::tempdir().unwrap());
    base.rows.write_to(&mut rows).unwrap();
    let options = || Options::new(Arc::new(|| 2_000_000), [9; 22]);
    let making = Making::begin(made.path(), engine.hash_seed(), base.position, &mut &rows[..], &options()).unwrap();
    let mut log = engine.log().reader(base.position).unwrap();
    while let Some(record) = log.next().unwrap() {
        making.append(record.kind, record.payload).unwrap();
    }
    let last = engine.backup_moment().unwrap().last;
    making.finish(Whose::Own, last, options()).unwrap();
    let alone = open(made.path(), &clock);
    assert!(!alone.is_replicating());
    assert_eq!(alone.group_keyspaces()[..], engine.group_keyspaces()[..]);
    assert_eq!(alone.group_keyspaces().len(), 3, "b, c and default");
}
