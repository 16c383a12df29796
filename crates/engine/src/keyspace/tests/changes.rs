//! What changes under a keyspace while it is used: its bounds, its disk tier, whose its keys are.

use std::path::Path;
use std::sync::Mutex;

use blob::Error;

use super::super::moves::Pass;
use super::*;
use crate::events::EventClass;
use crate::{Event, WatchFlag};

/// A copy of the files as they are: what a kill would have left.
fn crash(engine: &Engine, dir: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let to = to.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => copy(&entry.path(), &to)?,
                false => std::fs::copy(entry.path(), &to).map(drop)?,
            }
        }
        Ok(())
    }
    engine.log().sync().unwrap();
    let to = tempfile::tempdir().unwrap();
    // A file may go while it is copied.
    wait_until("all files are copied", || {
        std::fs::remove_dir_all(to.path()).unwrap();
        copy(dir, to.path()).is_ok()
    });
    to
}

fn remove(engine: &Engine, key: &str) {
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    if context.state.exists(key.as_bytes()).unwrap() {
        context.out.remove(key.as_bytes());
    }
    context.doom_if_absent(0, key.as_bytes());
    let after = context.commit().unwrap().after;
    if let Some(after) = after {
        engine.finish(*after);
    }
}

fn exists(engine: &Engine, key: &str) -> bool {
    let mut recycled = Recycled::new();
    engine.context(Lock::All, 0, engine.now_ms(), &mut recycled).state.exists(key.as_bytes()).unwrap()
}

/// The only keyspace's space.
fn space(engine: &Engine) -> Arc<super::super::Space> {
    engine.shared.keyspaces.spaces().remove(0)
}

fn no_longer_moving(engine: &Engine) {
    wait_until("all keys have moved", || !engine.shared.keyspaces.is_moving());
}

fn large(text: &str) -> String {
    format!("{text}:{}", "v".repeat(20_000))
}

#[test]
fn a_disk_tier_that_was_off_shows_nothing_of_before() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 32 * MIB)).unwrap();
    set(&engine, &[("c:1", "old"), ("c:2", "old"), ("c:3", "old")]);
    engine.shared.rest_all(&space(&engine));
    // In RAM as well as on disk.
    assert_eq!(get(&engine, "c:1").as_deref(), Some("old"));
    let disk = |bytes| KeyspaceChange { disk_bytes: Some(bytes), ..Default::default() };
    let files = dir.path().join("keyspaces/1");
    engine.define_keyspace("c", &disk(0)).unwrap();
    wait_until("the files are gone", || !files.exists());
    assert_eq!(get(&engine, "c:1").as_deref(), Some("old"), "what was in RAM stays");
    wait_until("keys without a value are gone", || engine.key_counts(0).keys == 1);
    set(&engine, &[("c:1", "new"), ("c:2", "new")]);
    engine.define_keyspace("c", &disk(32 * MIB)).unwrap();
    wait_until("there is a disk tier", || space(&engine).store().is_some());
    engine.shared.rest_all(&space(&engine));
    let seen = |engine: &Engine| ["c:1", "c:2", "c:3"].map(|key| get(engine, key));
    let expected = [Some("new".to_owned()), Some("new".to_owned()), None];
    assert_eq!(seen(&engine), expected);
    engine.close().unwrap();
    assert_eq!(seen(&open(dir.path(), &clock)), expected);
}

#[test]
fn what_changes_while_a_disk_tier_is_opened_anew_is_not_undone() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 32 * MIB)).unwrap();
    let space = space(&engine);
    let key = |i: usize| format!("c:{i}");
    for i in 0..200 {
        set(&engine, &[(&key(i), &format!("old {i}"))]);
    }
    engine.shared.rest_all(&space);
    let definition = Definition { disk_bytes: 16 * MIB, ..definitions(&engine)[0].clone() };
    let mut copy = None;
    engine.reopen(&space, &definition, &mut || {
        assert!(space.is_away());
        for i in 0..100 {
            match i % 3 {
                0 => drop(set(&engine, &[(&key(i), "new")])),
                1 => remove(&engine, &key(i)),
                // Nothing is found, and nothing is lost by that.
                _ => assert_eq!(get(&engine, &key(i)), None),
            }
        }
        engine.shared.load(0, b"c:199");
        copy = Some(crash(&engine, dir.path()));
    });
    let expected = |i: usize, in_ram: bool| match (i % 3, i < 100) {
        (0, true) => in_ram.then(|| "new".to_owned()),
        (1, true) => None,
        _ => Some(format!("old {i}")),
    };
    let check = |engine: &Engine, in_ram: bool| {
        (0..200).for_each(|i| assert_eq!(get(engine, &key(i)), expected(i, in_ram), "{i}"));
    };
    assert!(space.store().is_some() && !dir.path().join("keyspaces/1/HIDDEN").exists());
    check(&engine, true);
    wait_until("keys without a value are gone", || engine.key_counts(0).keys == 167);
    let later = crash(&engine, dir.path());
    check(&open(later.path(), &clock), false);
    let copy = copy.unwrap();
    check(&open(copy.path(), &clock), false);
    engine.shared.rest_all(&space);
    check(&engine, true);
    engine.close().unwrap();
    check(&open(dir.path(), &clock), true);
}

#[test]
fn bounds_change_without_a_shard_being_locked_for_the_disk() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 8 * MIB, 32 * MIB)).unwrap();
    let space = space(&engine);
    for i in 0..1200 {
        set(&engine, &[(&format!("c:{i}"), &large(&format!("{i}")))]);
    }
    let disk_bytes = || engine.keyspaces()[0].disk_bytes;
    assert!(disk_bytes() > 8 * MIB);
    let definition = Definition { disk_bytes: 8 * MIB, ram_bytes: 4 * MIB, ..definitions(&engine)[0].clone() };
    engine.reopen(&space, &definition, &mut || {
        // The threads behind lock one for moments.
        let patience = std::time::Duration::from_secs(20);
        assert!(engine.shared.shards.iter().all(|shard| shard.try_lock_for(patience).is_some()));
        assert!(disk_bytes() > 8 * MIB, "it is still on disk");
    });
    assert!(disk_bytes() <= 8 * MIB);
    // The same, asked for as a client does.
    let change = KeyspaceChange { disk_bytes: Some(6 * MIB), ..Default::default() };
    engine.define_keyspace("c", &change).unwrap();
    wait_until("the bound holds", || disk_bytes() <= 6 * MIB && space.store().is_some());
    let right = (0..1200).filter(|i| {
        let found = get(&engine, &format!("c:{i}"));
        assert!(found.is_none() || found == Some(large(&format!("{i}"))));
        found.is_some()
    });
    assert!(right.count() > 100);
}

#[test]
fn what_was_evicted_does_not_come_back_when_its_name_belongs_elsewhere() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["k:*"], 4 * MIB, 8 * MIB)).unwrap();
    let key = |i: usize| format!("k:{i}");
    for i in 0..900 {
        set(&engine, &[(&key(i), &large("old"))]);
    }
    let evicted: Vec<usize> = (0..900).filter(|i| !exists(&engine, &key(*i))).collect();
    let space = space(&engine);
    let back = |i: &&usize| space.may_come_back(&space.name_of(0, key(**i).as_bytes()), false);
    assert!(evicted.iter().filter(back).count() > 20, "too few of {} are on disk yet", evicted.len());
    let matching = |pattern: &str| KeyspaceChange { patterns: Some(vec![pattern.into()]), ..Default::default() };
    engine.define_keyspace("c", &matching("other:*")).unwrap();
    no_longer_moving(&engine);
    // Written where they belong now and deleted there, or deleted only.
    for i in &evicted {
        if i % 2 == 0 {
            set(&engine, &[(&key(*i), "new")]);
        }
        remove(&engine, &key(*i));
    }
    let check = |engine: &Engine| evicted.iter().for_each(|i| assert_eq!(get(engine, &key(*i)), None, "{i}"));
    let copy = crash(&engine, dir.path());
    check(&open(copy.path(), &clock));
    // Also if the names belong to the cache again.
    engine.define_keyspace("c", &matching("k:*")).unwrap();
    no_longer_moving(&engine);
    let copy = crash(&engine, dir.path());
    check(&open(copy.path(), &clock));
}

#[test]
fn a_record_of_what_belongs_elsewhere_is_nobodys_after_a_restart() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["k:*"], 4 * MIB, 8 * MIB)).unwrap();
    for i in 0..900 {
        set(&engine, &[(&format!("k:{i}"), &large("old"))]);
    }
    let evicted: Vec<usize> = (0..900).filter(|i| !exists(&engine, &format!("k:{i}"))).collect();
    let change = KeyspaceChange { patterns: Some(vec![b"other:*".to_vec()]), ..Default::default() };
    engine.define_keyspace("c", &change).unwrap();
    no_longer_moving(&engine);
    let copy = crash(&engine, dir.path());
    let engine = open(copy.path(), &clock);
    assert!(evicted.iter().all(|i| !exists(&engine, &format!("k:{i}"))));
    assert_eq!(engine.keyspaces()[0].keys, 0);
}

#[test]
fn a_keyspace_that_ends_takes_keys_without_a_value_along() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 6 * MIB)).unwrap();
    no_longer_moving(&engine);
    // Without its thread nobody looks for such keys.
    engine.keyspace_worker.lock().take();
    for i in 0..700 {
        set(&engine, &[(&format!("c:{i}"), &large("v"))]);
    }
    let there = || (0..700).filter(|i| exists(&engine, &format!("c:{i}"))).count() as u64;
    assert!(engine.key_counts(0).keys > there());
    engine.delete_keyspace("c").unwrap();
    let mut pass = Pass::default();
    while engine.shared.keyspaces.is_moving() {
        pass.step(&engine);
    }
    assert!(engine.keyspaces().is_empty());
    assert_eq!(engine.key_counts(0).keys, there());
}

#[test]
fn while_a_key_cannot_be_moved_the_move_is_not_done() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    no_longer_moving(&engine);
    engine.keyspace_worker.lock().take();
    set(&engine, &[("c:large", &large("v")), ("c:small", "v")]);
    engine.set_batch_bytes(4096);
    engine.delete_keyspace("c").unwrap();
    let mut pass = Pass::default();
    while pass.step(&engine) {}
    assert!(engine.shared.keyspaces.is_moving() && engine.keyspaces()[0].keys == 1);
    assert_eq!(get(&engine, "c:large"), Some(large("v")));
    engine.set_batch_bytes(1 << 20);
    let mut pass = Pass::default();
    while engine.shared.keyspaces.is_moving() {
        pass.step(&engine);
    }
    let copy = crash(&engine, dir.path());
    assert_eq!(get(&open(copy.path(), &clock), "c:large"), Some(large("v")), "it is in the log now");
}

#[test]
fn what_is_void_and_cannot_be_logged_is_removed() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    set(&engine, &[("c:1", "old")]);
    let space = space(&engine);
    engine.shared.rest_all(&space);
    space.store().unwrap().drain().unwrap();
    // Neither the disk tier nor the log takes anything more.
    engine.set_batch_bytes(1);
    engine.make_tier_void(&space, Error::io("writing", std::io::ErrorKind::StorageFull.into()));
    assert_eq!(get(&engine, "c:1"), None);
    engine.set_batch_bytes(1 << 20);
    set(&engine, &[("c:1", "new")]);
    assert_eq!(get(&engine, "c:1").as_deref(), Some("new"));
    let copy = crash(&engine, dir.path());
    assert_eq!(get(&open(copy.path(), &clock), "c:1"), None);
    // Defined anew, it has a disk tier again.
    engine.define_keyspace("c", &KeyspaceChange::default()).unwrap();
    wait_until("there is a disk tier", || engine.keyspaces()[0].disk_trouble.is_none());
    engine.shared.rest_all(&space);
    assert_eq!(engine.keyspaces()[0].keys_at_rest, 1);
    assert_eq!(get(&engine, "c:1").as_deref(), Some("new"));
}

#[test]
fn a_key_that_moves_is_unchanged_for_those_who_watch_it() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    set(&engine, &[("c:1", "v"), ("c:2", "v")]);
    let watch = |key: &str| {
        let (flag, mut recycled) = (WatchFlag::default(), Recycled::new());
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        context.watch(key.as_bytes(), &flag).unwrap();
        flag
    };
    let (moved, changed) = (watch("c:1"), watch("c:2"));
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    no_longer_moving(&engine);
    assert_eq!(engine.keyspaces()[0].keys, 2);
    assert!(!moved.is_dirty() && !changed.is_dirty());
    // Out of a keyspace by somebody who then writes it.
    engine.keyspace_worker.lock().take();
    engine.delete_keyspace("c").unwrap();
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    context.claim(0, b"c:1").unwrap();
    context.claim(0, b"c:2").unwrap();
    context.out.emit(b"c:2", false, Op::Set { value: b"new", deadline: Deadline::Clear });
    context.commit().unwrap();
    drop(context);
    assert!(!moved.is_dirty() && changed.is_dirty());
}

#[test]
fn what_expires_is_told_as_expired_and_takes_no_memory() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    let told: Arc<Mutex<Vec<(&'static str, String)>>> = Arc::default();
    let listener = Arc::clone(&told);
    engine.set_event_sink(Box::new(move |event: &Event, _| {
        let key = String::from_utf8_lossy(&event.key).into_owned();
        listener.lock().unwrap().push((event.name, key));
    }));
    engine.want_events(EventClass::EXPIRED.and(EventClass::EVICTED));
    engine.set_reclaiming(false);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    engine.keyspace_worker.lock().take();
    let expiring = |key: &str| {
        let mut recycled = Recycled::new();
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        context.out.emit(key.as_bytes(), true, Op::Set { value: b"v", deadline: Deadline::At(1_000_500) });
        context.commit().unwrap();
    };
    ["c:victim", "c:sought", "c:husk"].into_iter().for_each(expiring);
    let space = space(&engine);
    // One is at rest, one is looked for, one is chosen to make room.
    engine.shared.rest_all(&space);
    engine.shared.load(0, b"c:victim");
    engine.shared.load(0, b"c:sought");
    clock.store(1_000_600, Ordering::Relaxed);
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    assert!(context.expire_on_access(0, b"c:sought"));
    context.commit().unwrap();
    drop(context);
    assert_eq!(space.values().1, 1, "what was taken away is counted no more");
    engine.shared.rest_all(&space);
    engine.shared.load(0, b"c:husk");
    let husk = engine.shared.place_of(b"c:husk");
    engine.shared.evict(&mut engine.shared.shards[usize::from(husk.shard.0)].lock(), 0, husk, b"c:husk");
    let mut told = told.lock().unwrap().clone();
    told.sort();
    assert_eq!(told, ["c:husk", "c:sought", "c:victim"].map(|key| ("expired", key.to_owned())));
    assert_eq!((space.used(), engine.keyspaces()[0].evictions), (0, 0));
}

#[test]
fn a_size_in_memory_refuses_nothing_that_the_disk_tier_takes() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    let space = space(&engine);
    assert_eq!(space.largest(), MIB / 4);
    // Sixteen bytes of memory for a folded one is more than any value has: what could be taken is always offered.
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    let mut ids = context.out.items(effect::Kind::Set, effect::Merge::LastWriter);
    let names: Vec<String> = (0..30_000).map(|i| i.to_string()).collect();
    names.iter().for_each(|name| {
        ids.push(effect::items::Item { id: name.as_bytes(), value: effect::items::ItemValue::Member });
    });
    let (kind, merge) = (effect::Kind::Set, effect::Merge::LastWriter);
    context.out.emit(b"c:set", true, Op::Put { kind, merge, deadline: Deadline::Keep, items: ids.seq() });
    context.commit().unwrap();
    drop(context);
    set(&engine, &[("c:fits", &"v".repeat(200_000)), ("c:large", &"v".repeat(300_000))]);
    engine.shared.rest_all(&space);
    assert!(exists(&engine, "c:set") && exists(&engine, "c:fits") && !exists(&engine, "c:large"));
}

#[test]
fn what_was_evicted_before_a_tier_was_opened_anew_can_still_be_deleted() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    let key = |i: usize| format!("c:{i}");
    for i in 0..900 {
        set(&engine, &[(&key(i), &large("old"))]);
    }
    let space = space(&engine);
    let gone = || (0..900).filter(|i| !exists(&engine, &key(*i))).collect::<Vec<_>>();
    wait_until("keys without a value are gone", || engine.key_counts(0).keys == 900 - gone().len() as u64);
    let definition = definitions(&engine)[0].clone();
    // What is in RAM only has nowhere to go meanwhile, and what is on disk as well must not stay behind.
    let mut dropped = Vec::new();
    engine.reopen(&space, &definition, &mut || {
        engine.shared.rest_all(&space);
        dropped = (0..900).filter(|i| !exists(&engine, &key(*i))).collect();
    });
    let evicted = gone();
    let on_disk = |i: &&usize| space.may_come_back(&space.name_of(0, key(**i).as_bytes()), false);
    assert!(evicted.iter().filter(on_disk).count() > 20 && dropped.len() == 900);
    evicted.iter().for_each(|i| remove(&engine, &key(*i)));
    let copy = crash(&engine, dir.path());
    let later = open(copy.path(), &clock);
    assert!(evicted.iter().all(|i| !exists(&later, &key(*i))));
    assert!((0..900).any(|i| get(&later, &key(i)) == Some(large("old"))), "others are there");
}

#[test]
fn of_two_disk_tiers_with_the_same_key_the_owner_is_right() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("before", &change(&["b:*"], 4 * MIB, 8 * MIB)).unwrap();
    engine.define_keyspace("owner", &change(&["k:*"], 4 * MIB, 8 * MIB)).unwrap();
    no_longer_moving(&engine);
    set(&engine, &[("k:1", "old"), ("z:large", &large("v"))]);
    let [before, owner] = [0, 1].map(|at| engine.shared.keyspaces.spaces().remove(at));
    engine.shared.rest_all(&owner);
    // A crash came when the key had moved, and its tombstone where it was before had not been written.
    let name = owner.name_of(0, b"k:1");
    let record = owner.store().unwrap().get(&name).unwrap().unwrap();
    let ends = crate::value::Ends { at: None, by_fields: false };
    let tag = super::super::space::tagged(effect::Kind::String, ends);
    let options = blob::PutOptions { expires_ms: Some(tag), crc32c: None };
    before.store().unwrap().put_with(&name, &record, options).unwrap();
    set(&engine, &[("k:1", "new")]);
    engine.shared.rest_all(&owner);
    [&before, &owner].iter().for_each(|space| space.store().unwrap().drain().unwrap());
    // Some other key cannot be moved.
    engine.set_batch_bytes(4096);
    engine.define_keyspace("third", &change(&["z:*"], 4 * MIB, 8 * MIB)).unwrap();
    let copy = crash(&engine, dir.path());
    let again = open(copy.path(), &clock);
    assert_eq!(get(&again, "k:1").as_deref(), Some("new"));
    no_longer_moving(&again);
    let later = crash(&again, copy.path());
    assert_ne!(get(&open(later.path(), &clock), "k:1").as_deref(), Some("old"));
}

#[test]
fn nothing_counts_as_settled_before_the_log_says_that_the_tier_is_void() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let engine = open(dir.path(), &clock);
    engine.define_keyspace("c", &change(&["c:*"], 4 * MIB, 8 * MIB)).unwrap();
    engine.keyspace_worker.lock().take();
    set(&engine, &[("c:1", "old")]);
    let space = space(&engine);
    engine.shared.rest_all(&space);
    space.hide(space.name_of(0, b"c:1"));
    // Its tombstone cannot be written any more.
    space.store().unwrap().close().unwrap();
    let before = engine.log().end();
    let shard = engine.shared.shards[0].lock();
    let position = std::thread::scope(|scope| {
        let settled = scope.spawn(|| engine.settle());
        wait_until("the tombstone has failed", || space.trouble.lock().is_some());
        assert_eq!(space.unsettled.load(Ordering::Acquire), 1);
        drop(shard);
        settled.join().unwrap()
    });
    assert_eq!(space.unsettled.load(Ordering::Acquire), 0);
    assert!(position > before && position == engine.log().end());
}
