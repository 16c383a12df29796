//! What checkpoints write of large values: the elements that have changed, and no others.

use mvcc::Store;

use super::*;
use crate::checkpoint::CheckpointReport;
use crate::checkpoint::books::Books;
use crate::shard::weight;

fn bench(dir: &tempfile::TempDir) -> Bench {
    Bench::open(dir.path(), &Arc::new(AtomicI64::new(1_000_000)))
}

fn reopened(dir: &tempfile::TempDir, bench: Bench) -> Bench {
    let clock = Arc::clone(&bench.clock);
    bench.engine.close().unwrap();
    Bench::open(dir.path(), &clock)
}

fn large(db: u8, key: u8) -> Step {
    Step::Write { db, key, from: 0, count: MANY as u16 }
}

/// Takes a checkpoint, of which the rows are the state.
fn take(bench: &Bench) -> CheckpointReport {
    let report = take_with(&bench.engine.shared, &mut || true).unwrap();
    bench.validate();
    assert_eq!(digest_of_rows(bench, bench.now_ms()), bench.digest(), "the rows are the state");
    report
}

/// Takes a checkpoint that is stopped after some pauses; no, if it has fewer.
fn stop_after(bench: &Bench, mut pauses: usize) -> bool {
    let taken = bench.checkpoint(&mut || {
        pauses = pauses.saturating_sub(1);
        pauses > 0
    });
    bench.validate();
    taken.is_none()
}

fn dead(bench: &Bench) -> Vec<u64> {
    let rows = bench.engine.shared.checkpoints.rows(&bench.engine.shared).unwrap();
    Books::read(&rows).unwrap().unwrap().unwrap().dead
}

fn incarnation(bench: &Bench, db: u8, key: u8) -> Option<u64> {
    let place = bench.engine.shared.place_of(&name(key));
    let shard = bench.engine.shared.shards[usize::from(place.shard.0)].lock();
    shard.find(db, place.order, &name(key)).expect("the key is there").incarnation()
}

/// Keys of each kind.
const KINDS: std::ops::Range<u8> = 0..5;

/// What is done to one element, or to two.
fn few(key: u8) -> [Step; 4] {
    [
        Step::Write { db: 0, key, from: 7, count: 1 },
        Step::Drop { db: 0, key, from: 9, count: 1 },
        Step::Write { db: 0, key, from: MANY as u16 + 9, count: 1 },
        Step::Count { db: 0, key, from: 11 },
    ]
}

#[test]
fn a_change_of_one_element_writes_the_row_of_that_element_also_after_a_restart() {
    for key in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = bench(&dir);
        bench.run(&[large(0, key)], true);
        let whole = take(&bench);
        let (kind, most) = (kind_of(key), if kind_of(key) == Kind::ZSet { 2 * MANY } else { MANY });
        let least = if kind == Kind::String { 64 * MANY / crate::value::wide::BLOCK_BYTES as u32 } else { MANY };
        assert!((u64::from(least)..=u64::from(most)).contains(&whole.elements), "{kind:?}: {whole:?}");
        for restart in [false, true] {
            if restart {
                bench = reopened(&dir, bench);
                let CheckpointReport { keys, elements, .. } = take(&bench);
                assert_eq!((keys, elements), (0, 0), "{kind:?}: what was loaded is at rest");
            }
            for step in few(key) {
                bench.run(std::slice::from_ref(&step), true);
                let CheckpointReport { elements, .. } = take(&bench);
                // A score moves: its member's row, the new one by score, and the old one that goes.
                assert!(elements <= 3, "{kind:?} restart {restart}, {step:?}: {elements} rows");
                let CheckpointReport { keys, elements, .. } = take(&bench);
                assert_eq!((keys, elements), (0, 0), "{kind:?}: nothing has changed since");
            }
        }
    }
}

#[test]
fn a_key_whose_deadline_alone_has_changed_writes_no_element_and_keeps_its_rows() {
    for key in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(&dir);
        bench.run(&[large(0, key)], true);
        take(&bench);
        let before = incarnation(&bench, 0, key);
        bench.run(&[Step::Expire { db: 0, key, after_ms: 1000 }, Step::Rename { from: (0, key), to: (0, 7) }], true);
        let CheckpointReport { keys, removed, elements, .. } = take(&bench);
        assert_eq!((keys, removed, elements), (1, 1, 0), "{:?}", kind_of(key));
        assert_eq!(
            (incarnation(&bench, 0, 7), dead(&bench)),
            (before, vec![]),
            "a rename leaves the rows where they are"
        );
    }
}

#[test]
fn a_value_that_leaves_its_database_leaves_its_rows() {
    for key in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(&dir);
        bench.run(&[large(0, key)], true);
        take(&bench);
        let before = incarnation(&bench, 0, key).expect("it has rows");
        // There and back, and what its database had at rest is dead meanwhile.
        bench.run(&[Step::Rename { from: (0, key), to: (1, key) }], true);
        bench.run(&[Step::Flush { db: 0 }], true);
        bench.run(&[Step::Rename { from: (1, key), to: (0, key) }], true);
        let report = take(&bench);
        assert!(report.elements > 5, "{:?}: all of it is written", kind_of(key));
        assert_ne!(incarnation(&bench, 0, key), Some(before));
        assert_eq!(dead(&bench), [before]);
        bench.run(&few(key)[..1], true);
        assert!(take(&bench).elements <= 3, "and from then on what changes");
        let digest = bench.digest();
        assert_eq!(reopened(&dir, bench).digest(), digest);
    }
}

#[test]
fn a_value_that_becomes_small_is_one_row_and_is_written_whole_when_it_is_large_again() {
    for key in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(&dir);
        bench.run(&[large(0, key)], true);
        take(&bench);
        let before = incarnation(&bench, 0, key).expect("it has rows");
        if matches!(kind_of(key), Kind::String | Kind::ZSet) {
            // Strings are shortened by taking something back only; sorted sets keep memory that is large for a test.
            bench.run(&[Step::Remove { db: 0, key }, Step::Write { db: 0, key, from: 0, count: 30 }], true);
        } else {
            bench.run(&[Step::Drop { db: 0, key, from: 50, count: MANY as u16 - 50 }], true);
        }
        let report = take(&bench);
        assert_eq!((report.keys, report.elements), (1, 0), "{:?}", kind_of(key));
        assert_eq!((dead(&bench), incarnation(&bench, 0, key)), (vec![before], None));
        bench.run(&[Step::Write { db: 0, key, from: 50, count: MANY as u16 }], true);
        assert!(take(&bench).elements >= 64 * u64::from(MANY) / crate::value::wide::BLOCK_BYTES as u64);
        bench.run(&[Step::Remove { db: 0, key }], true);
        take(&bench);
        assert_eq!(dead(&bench).len(), 2, "a value that is removed leaves its rows");
    }
}

#[test]
fn what_a_stopped_checkpoint_had_taken_of_a_value_is_due_again_and_no_more() {
    for key in KINDS {
        for pauses in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let bench = bench(&dir);
            bench.run(&[large(0, key), Step::Many { db: 0, from: 0, count: 40 }], true);
            take(&bench);
            let rows = |change: &[Step]| {
                bench.run(change, true);
                take(&bench).elements
            };
            let alone = rows(&[Step::Drop { db: 0, key, from: 20, count: 100 }]);
            rows(&[Step::Write { db: 0, key, from: 20, count: 100 }]);
            bench.run(
                &[Step::Drop { db: 0, key, from: 20, count: 100 }, Step::Many { db: 0, from: 0, count: 40 }],
                true,
            );
            if !stop_after(&bench, pauses) {
                assert!(pauses > 3, "it was stopped: {pauses}");
                break;
            }
            let after = rows(&[]);
            assert!(after <= alone.max(5), "{:?} after {pauses}: {after} of {alone}", kind_of(key));
        }
    }
}

#[test]
fn rows_that_a_stopped_checkpoint_may_have_left_are_nobodys() {
    for key in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(&dir);
        bench.run(&[large(0, key)], true);
        assert!(stop_after(&bench, 3));
        assert_eq!(incarnation(&bench, 0, key), None);
        take(&bench);
        let now = incarnation(&bench, 0, key).expect("it has rows");
        assert_eq!(dead(&bench), [now - 1], "the name that it had is not used again");
    }
}

/// Puts members with these numbers, whose names are long and begin alike, with one score, or removes them.
fn long(bench: &Bench, kind: Kind, numbers: impl Iterator<Item = u32>, put: bool) {
    let mut recycled = Recycled::new();
    let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
    let names: Vec<_> =
        numbers.map(|n| format!("{}{}", "x".repeat(1100), n.wrapping_mul(0x9e37_79b9)).into_bytes()).collect();
    if put {
        let mut items = context.out.items(kind, Merge::LastWriter);
        for id in &names {
            let value = if kind == Kind::ZSet { ItemValue::Score(1.5) } else { ItemValue::Member };
            items.push(effect::Item { id, value });
        }
        let put = Op::Put { kind, merge: Merge::LastWriter, deadline: Deadline::Clear, items: items.seq() };
        context.out.emit(b"long", false, put);
    } else {
        let mut ids = context.out.ids();
        names.iter().for_each(|name| ids.push(name));
        context.out.emit(b"long", false, Op::Drop { kind, ids: ids.seq() });
    }
    context.commit().unwrap();
}

/// The store orders them by digest, the value by their bytes; a group of them is larger than a part.
#[test]
fn long_names_that_begin_alike_and_have_one_score_are_written_in_the_order_of_rows() {
    for kind in [Kind::ZSet, Kind::Set] {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = bench(&dir);
        long(&bench, kind, 0..200, true);
        assert_eq!(take(&bench).elements, if kind == Kind::ZSet { 400 } else { 200 });
        long(&bench, kind, 40..60, false);
        long(&bench, kind, 200..230, true);
        take(&bench);
        bench = reopened(&dir, bench);
        long(&bench, kind, 100..103, false);
        assert_eq!(take(&bench).elements, if kind == Kind::ZSet { 6 } else { 3 });
        drop(bench);
        assert_eq!(crate::inspect(dir.path(), None).unwrap().faults, []);
    }
}

/// Who inserts between the last two again and again makes places that do not fit into a row's key.
#[test]
fn items_that_were_inserted_deep_are_written_in_the_order_of_rows_and_loaded_in_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(&dir);
    bench.run(&[large(0, 3)], true);
    let insert = |bench: &Bench, depth: usize| {
        let mut recycled = Recycled::new();
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        let me = context.out.origin().0;
        let key = name(3);
        let list = context.state.list(&key).unwrap().unwrap();
        let (mut left, mut right) = (list.position(9).unwrap().unwrap(), list.position(10).unwrap().unwrap());
        for n in 0..depth {
            let child = ListPos::between(&left, Some(&right), me);
            let sibling = ListPos::between(&child, Some(&right), me);
            for pos in [&child, &sibling] {
                context.out.emit(&key, false, Op::Insert { pos: pos.clone(), value: &element(n as u32) });
            }
            (left, right) = (child, sibling);
        }
        assert!(left.path.len() >= depth);
        context.commit().unwrap();
    };
    insert(&bench, mvcc::wide::INLINE_STEPS + 40);
    assert_eq!(take(&bench).elements, u64::from(MANY) + 2 * (mvcc::wide::INLINE_STEPS as u64 + 40));
    bench.run(&[Step::Drop { db: 0, key: 3, from: 60, count: 40 }], true);
    assert_eq!(take(&bench).elements, 40);
    bench = reopened(&dir, bench);
    bench.run(&[Step::Drop { db: 0, key: 3, from: 50, count: 30 }], true);
    assert_eq!(take(&bench).elements, 30);
    let digest = bench.digest();
    assert_eq!(reopened(&dir, bench).digest(), digest);
    assert_eq!(crate::inspect(dir.path(), None).unwrap().faults, []);
}

/// Members of other names around the long ones.
#[test]
fn a_group_of_long_names_ends_where_another_name_comes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir);
    long(&bench, Kind::ZSet, 0..60, true);
    let mut recycled = Recycled::new();
    let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
    let mut items = context.out.items(Kind::ZSet, Merge::LastWriter);
    let score = |n: u32| ItemValue::Score(f64::from(n % 3));
    let names: Vec<_> =
        (0..90u32).map(|n| (n, format!("{}{n}", if n % 2 == 0 { "a" } else { "z" }).into_bytes())).collect();
    names.iter().for_each(|(n, id)| items.push(effect::Item { id, value: score(*n) }));
    let put = Op::Put { kind: Kind::ZSet, merge: Merge::LastWriter, deadline: Deadline::Clear, items: items.seq() };
    context.out.emit(b"long", false, put);
    context.commit().unwrap();
    drop(context);
    assert_eq!(take(&bench).elements, 2 * 150);
    drop(bench);
    assert_eq!(crate::inspect(dir.path(), None).unwrap().faults, []);
}

/// Somebody changes as many elements between two steps as one takes.
#[test]
fn changes_while_a_large_value_is_written_do_not_keep_the_checkpoint_from_its_end() {
    for key in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(&dir);
        (0..4).for_each(|n| bench.run(&[Step::Write { db: 0, key, from: n * 600, count: 600 }], true));
        let (before, mut pauses) = (bench.digest(), 0u16);
        bench.checkpoint(&mut || {
            pauses += 1;
            assert!(pauses < 500, "{:?}: it does not end", kind_of(key));
            let from = pauses * 64 % 2000;
            bench.run(&[Step::Drop { db: 0, key, from, count: 64 }, Step::Write { db: 0, key, from, count: 64 }], true);
            true
        });
        assert_eq!(digest_of_rows(&bench, bench.now_ms()), before);
        bench.validate();
    }
}

/// Changes a row of the store, behind everybody's back.
fn meddle(bench: &Bench, change: impl FnOnce(&mut mvcc::RunWriter<'_>)) {
    let rows = bench.engine.shared.checkpoints.rows(&bench.engine.shared).unwrap();
    let commit = mvcc::Timestamp(rows.store.last_commit().0 + 1);
    let mut run = rows.store.begin_run(commit, mvcc::Source::Direct).unwrap();
    change(&mut run);
    run.finish().unwrap();
}

#[test]
fn an_element_that_is_missing_or_nobodys_is_damage() {
    use mvcc::wide::{Element, Incarnation};
    for (key, is_nobodys) in [(0, false), (2, false), (4, false), (0, true)] {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(&dir);
        bench.run(&[large(0, key)], true);
        take(&bench);
        let of = Incarnation(incarnation(&bench, 0, key).unwrap());
        let (seed, member) = (bench.engine.shared.shards[0].lock().limits.seed, element(9));
        let hash = seed.hash(&member);
        let at = match kind_of(key) {
            Kind::Set => Element::SetMember { hash, member: &member },
            Kind::ZSet => Element::ZsetMember { hash, member: &member },
            _ => Element::StringBlock(3),
        };
        meddle(&bench, |run| match is_nobodys {
            true => run.put(&at.key(Incarnation(of.0 + 7)).unwrap(), None, &[]).unwrap(),
            false => run.remove(&at.key(of).unwrap()).unwrap(),
        });
        bench.engine.close().unwrap();
        let faults = crate::inspect(dir.path(), None).unwrap().faults;
        assert_eq!(faults.len(), 1, "{key}: {faults:?}");
        if !is_nobodys {
            let opened = Engine::open(dir.path(), options(&Arc::new(AtomicI64::new(1_000_000))));
            let refused = opened.and_then(|engine| engine.fill());
            assert!(matches!(refused, Err(crate::OpenError::Damaged { .. })), "{refused:?}");
        }
    }
}

/// What is loaded by its name is what a start loads.
#[test]
fn one_large_value_is_built_of_its_rows_alone() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir);
    KINDS.for_each(|key| bench.run(&[large(0, key)], true));
    take(&bench);
    let shared = &bench.engine.shared;
    let rows = shared.checkpoints.rows(shared).unwrap();
    for key in KINDS {
        let place = shared.place_of(&name(key));
        let limits = shared.shards[0].lock().limits;
        let built =
            crate::residency::read_key(&rows, place, 0, &name(key), &limits, None).unwrap().expect("it has rows");
        let shard = shared.shards[usize::from(place.shard.0)].lock();
        let there = shard.find(0, place.order, &name(key)).unwrap();
        assert_eq!(crate::digest::digest_value(&built, 0), crate::digest::digest_value(there, 0));
        assert_eq!((built.incarnation(), weight(&built)), (there.incarnation(), weight(there)));
    }
}
