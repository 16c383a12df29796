//! What checkpoints keep in memory and on disk, and give back.

use super::*;
use crate::checkpoint::books::Books;
use crate::limits::ROWS_GARBAGE_BYTES;

/// A large string, of about 64 KiB.
fn large(bench: &Bench, db: u8, key: u16) {
    let mut recycled = Recycled::new();
    let mut context = bench.engine.context(Lock::All, db, bench.now_ms(), &mut recycled);
    let value = vec![key as u8; 64 << 10];
    let key = format!("large:{key}").into_bytes();
    context.out.emit(&key, true, Op::Set { value: &value, deadline: Deadline::Clear });
    context.commit().unwrap();
}

fn remove(bench: &Bench, db: u8, key: u16) {
    let mut recycled = Recycled::new();
    let mut context = bench.engine.context(Lock::All, db, bench.now_ms(), &mut recycled);
    context.out.remove(format!("large:{key}").as_bytes());
    context.commit().unwrap();
}

fn bench(dir: &tempfile::TempDir) -> Bench {
    Bench::open(dir.path(), &Arc::new(AtomicI64::new(1_000_000)))
}

/// Keys whose rows are well above what is garbage at least before anything is done about it.
const LARGE: u16 = (2 * ROWS_GARBAGE_BYTES / (64 << 10)) as u16;

fn disk(bench: &Bench) -> u64 {
    bench.engine.checkpoint_figures().disk.bytes
}

fn checkpoint(bench: &Bench) {
    bench.checkpoint(&mut || true).unwrap();
    bench.engine.shared.checkpoints.tend().unwrap();
}

/// How many large values the books call dead.
fn dead(bench: &Bench) -> usize {
    books(bench).dead.len()
}

fn books(bench: &Bench) -> Books {
    let rows = bench.engine.shared.checkpoints.rows(&bench.engine.shared).unwrap();
    let books = Books::read(&rows).unwrap().unwrap().unwrap();
    assert_eq!(rows.dead.incarnations().len(), books.dead.len(), "what counts is what is written");
    assert_eq!(rows.dead.emptied().len(), books.emptied.len(), "what counts is what is written");
    books
}

#[test]
fn the_disk_is_given_back_when_nearly_all_has_been_removed_and_what_is_dead_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir);
    (0..LARGE).for_each(|key| large(&bench, 0, key));
    checkpoint(&bench);
    assert!(disk(&bench) > ROWS_GARBAGE_BYTES, "{}", disk(&bench));
    (1..LARGE).for_each(|key| remove(&bench, 0, key));
    bench.checkpoint(&mut || true).unwrap();
    assert_eq!(dead(&bench), usize::from(LARGE) - 1);
    let clock = Arc::clone(&bench.clock);
    bench.engine.close().unwrap();
    let bench = Bench::open(dir.path(), &clock);
    assert_eq!(dead(&bench), usize::from(LARGE) - 1, "a start knows of them");
    bench.engine.shared.checkpoints.tend().unwrap();
    assert!(disk(&bench) < 1 << 20, "{}", disk(&bench));
    bench.checkpoint(&mut || true).unwrap();
    assert_eq!(dead(&bench), 0, "of what no row is left nothing is to be known");
    let before = bench.digest();
    drop(bench);
    assert_eq!(Bench::open(dir.path(), &clock).digest(), before);
}

#[test]
fn what_is_removed_while_a_checkpoint_is_taken_counts_when_it_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir);
    (0..LARGE).for_each(|key| large(&bench, 0, key));
    checkpoint(&bench);
    large(&bench, 1, 0);
    let mut removed = false;
    bench.checkpoint(&mut || {
        if !std::mem::replace(&mut removed, true) {
            (1..LARGE).for_each(|key| remove(&bench, 0, key));
        }
        true
    });
    // Nothing of it is dead yet: a compaction would be for nothing, and would be taken for one that has done it.
    bench.engine.shared.checkpoints.tend().unwrap();
    assert!(disk(&bench) > ROWS_GARBAGE_BYTES, "{}", disk(&bench));
    checkpoint(&bench);
    assert!(disk(&bench) < 1 << 20, "{}", disk(&bench));
}

#[test]
fn the_disk_is_given_back_when_a_database_has_been_emptied_also_after_a_restart() {
    for restart in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = bench(&dir);
        (0..LARGE).for_each(|key| large(&bench, 0, key));
        large(&bench, 1, 0);
        checkpoint(&bench);
        bench.run(&[Step::Flush { db: 0 }], true);
        bench.checkpoint(&mut || true).unwrap();
        if restart {
            let clock = Arc::clone(&bench.clock);
            bench.engine.close().unwrap();
            bench = Bench::open(dir.path(), &clock);
        }
        bench.engine.shared.checkpoints.tend().unwrap();
        assert!(disk(&bench) < 1 << 20, "restart {restart}: {}", disk(&bench));
        let marks = |bench: &Bench| books(bench).emptied.len();
        assert_eq!(marks(&bench), 1);
        bench.checkpoint(&mut || true).unwrap();
        assert_eq!(marks(&bench), 0, "of what no row is left nothing is to be known");
        // It is emptied in the time in which the mark of before goes.
        (0..10).for_each(|key| large(&bench, 0, key));
        bench.checkpoint(&mut || true).unwrap();
        let rows = bench.engine.shared.checkpoints.rows(&bench.engine.shared).unwrap();
        bench.run(&[Step::Flush { db: 0 }], true);
        bench.checkpoint(&mut || true).unwrap();
        large(&bench, 0, 1);
        bench.checkpoint(&mut || true).unwrap();
        bench.engine.shared.checkpoints.compact(&rows).unwrap();
        bench.run(&[Step::Flush { db: 0 }], true);
        bench.checkpoint(&mut || true).unwrap();
        assert_eq!(marks(&bench), 1, "what it had since is dead");
        assert_eq!(digest_of_rows(&bench, bench.now_ms()), bench.digest());
    }
}

#[test]
fn the_disk_is_given_back_when_nearly_all_small_keys_have_been_removed() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir);
    let count = (2 * ROWS_GARBAGE_BYTES / (4 << 10)) as u32;
    let each = |op: &dyn Fn(&mut Context<'_>, &[u8])| {
        let mut recycled = Recycled::new();
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        (1..count).for_each(|n| op(&mut context, &element(n)));
        context.commit().unwrap();
    };
    large(&bench, 0, 0);
    each(&|context, key| context.out.emit(key, true, Op::Set { value: &[7; 4 << 10], deadline: Deadline::Clear }));
    checkpoint(&bench);
    assert!(disk(&bench) > ROWS_GARBAGE_BYTES, "{}", disk(&bench));
    each(&|context, key| context.out.remove(key));
    checkpoint(&bench);
    assert!(disk(&bench) < 1 << 20, "{}", disk(&bench));
}

#[test]
fn the_disk_is_given_back_when_nearly_all_of_a_large_value_has_been_removed() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir);
    let count = (2 * ROWS_GARBAGE_BYTES / (4 << 10)) as u32;
    let member = |n: u32| [&n.to_be_bytes()[..], &[7; 4 << 10]].concat();
    let each = |op: &dyn Fn(&mut Context<'_>, std::ops::Range<u32>), numbers: std::ops::Range<u32>| {
        let mut recycled = Recycled::new();
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        op(&mut context, numbers);
        context.commit().unwrap();
    };
    each(
        &|context, numbers| {
            let mut items = context.out.items(Kind::Set, Merge::LastWriter);
            numbers.for_each(|n| items.push(effect::Item { id: &member(n), value: ItemValue::Member }));
            let (merge, deadline) = (Merge::LastWriter, Deadline::Clear);
            context.out.emit(b"set", true, Op::Put { kind: Kind::Set, merge, deadline, items: items.seq() });
        },
        0..count,
    );
    checkpoint(&bench);
    assert!(disk(&bench) > ROWS_GARBAGE_BYTES, "{}", disk(&bench));
    each(
        &|context, numbers| {
            let mut ids = context.out.ids();
            numbers.for_each(|n| ids.push(&member(n)));
            context.out.emit(b"set", false, Op::Drop { kind: Kind::Set, ids: ids.seq() });
        },
        200..count,
    );
    checkpoint(&bench);
    assert!(disk(&bench) < 2 << 20, "{}", disk(&bench));
    assert_eq!(digest_of_rows(&bench, bench.now_ms()), bench.digest());
}

#[test]
fn pairs_of_coming_and_going_leave_few_names() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir);
    bench.run(&[Step::Many { db: 0, from: 0, count: 10 }], true);
    bench.checkpoint(&mut || true).unwrap();
    let mut recycled = Recycled::new();
    for n in 0..100_000u32 {
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        // The second comes before the first goes, so that no name is the last that was noted; it had rows once.
        let keys = [n, n + 1].map(|n| format!("{{shard}}{}", n % 10));
        context.out.emit(keys[1].as_bytes(), true, Op::Set { value: b"v", deadline: Deadline::Clear });
        context.out.remove(keys[0].as_bytes());
        context.commit().unwrap();
    }
    let noted = |shard: &crate::shard::Shard| shard.dbs.iter().flatten().map(|db| db.changes.noted()).sum::<usize>();
    let noted: usize = bench.engine.shared.shards.iter().map(|shard| noted(&shard.lock())).sum();
    assert!(noted < 4 * 1024, "{noted} names of ten keys");
    bench.validate();
    let before = bench.digest();
    bench.checkpoint(&mut || true).unwrap();
    assert_eq!(digest_of_rows(&bench, bench.now_ms()), before);
}

#[test]
fn what_a_checkpoint_does_not_need_of_an_emptied_database_is_freed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir);
    // Taken in the first steps; the others keep the checkpoint going.
    (0..20).for_each(|key| large(&bench, 1, key));
    bench.run(&[Step::Many { db: 0, from: 0, count: 400 }], true);
    let mut most = 0;
    bench.checkpoint(&mut || {
        bench.run(&[Step::Many { db: 2, from: 0, count: 300 }], true);
        bench.run(&[Step::Flush { db: 2 }], true);
        most = most.max(bench.engine.shared.checkpoints.kept.lock().len());
        true
    });
    // What may hold a value that it is taking is kept, but that is in database 1.
    assert_eq!(most, 0, "tables of which the checkpoint takes nothing were kept");
    bench.validate();
}
