//! What is at rest as a log is replayed over it.

use effect::{Deadline, Op, Patch};
use mvcc::{Source, Store, Timestamp};

use super::rules::{House, change, get, lay_to_rest, set};
use super::*;
use crate::checkpoint::tests::Step;
use crate::limits::{CLOSE_LOG_BYTES, REPLAY_READS, REPLAY_READS_SHARE};

#[test]
fn rows_that_nobody_has_counted_may_be_of_large_values() {
    let house = House::new();
    let bench = house.open();
    bench.run(&[Step::Write { db: 0, key: 0, from: 0, count: 600 }], true);
    bench.checkpoint(&mut || true).unwrap();
    let rows = bench.engine.shared.checkpoints.found_rows().unwrap();
    // As a version wrote it that did not count keys.
    let commit = Timestamp(rows.store.last_commit().0 + 1);
    let mut run = rows.store.begin_run(commit, Source::Direct).unwrap();
    run.remove(&[0x30, 5]).unwrap();
    run.finish().unwrap();
    drop(bench);
    let bench = house.open();
    assert_eq!(bench.engine.residency_figures().cold_keys, 0, "they have been counted, one by one");
    bench.checkpoint(&mut || true).unwrap();
    bench.run(&[Step::Set { db: 0, key: 0, bytes: 9 }], true);
    drop(bench);
    let bench = house.open();
    bench.checkpoint(&mut || true).unwrap();
    assert_eq!(bench.look(|state| state.len()), 1);
    bench.engine.close().unwrap();
    assert_eq!(crate::inspect(house.dir.path(), None).unwrap().faults, []);
}

/// What the log says is done to a key at rest, of which a replay does not look at the row.
#[test]
fn what_a_replay_writes_over_unseen_is_counted_and_does_not_come_back() {
    let after = |first: Deadline, log: &[&dyn Fn(&Bench)]| {
        let house = House::new();
        let mut bench = house.open();
        set(&bench, b"key", b"old", first);
        lay_to_rest(&bench);
        log.iter().for_each(|change| change(&bench));
        drop(bench);
        bench = house.open();
        let counts = |bench: &Bench| bench.look(|state| Ok((state.len()?, state.volatile_len()?)));
        let seen = (get(&bench, b"key"), counts(&bench));
        bench.checkpoint(&mut || true).unwrap();
        assert_eq!((get(&bench, b"key"), counts(&bench)), seen);
        // Whatever it was, it goes, and stays away.
        let bench = [true, false].into_iter().fold(bench, |bench, rests| {
            remove(&bench);
            if rests {
                bench.checkpoint(&mut || true).unwrap();
            }
            assert_eq!((get(&bench, b"key"), counts(&bench)), (None, (0, 0)));
            drop(bench);
            let bench = house.open();
            assert_eq!((get(&bench, b"key"), counts(&bench)), (None, (0, 0)));
            set(&bench, b"key", b"again", Deadline::Clear);
            bench
        });
        assert_eq!((get(&bench, b"key"), counts(&bench)), (Some(b"again".to_vec()), (1, 0)));
        seen
    };
    let write = |bench: &Bench| set(bench, b"key", b"new", Deadline::Clear);
    let expire = |bench: &Bench| set(bench, b"key", b"new", Deadline::At(5_000_000));
    for deadline in [Deadline::Clear, Deadline::At(4_000_000)] {
        assert_eq!(after(deadline, &[&write]), (Some(b"new".to_vec()), (1, 0)));
        assert_eq!(after(deadline, &[&expire]), (Some(b"new".to_vec()), (1, 1)));
        assert_eq!(after(deadline, &[&remove]), (None, (0, 0)));
        assert_eq!(after(deadline, &[&write, &remove]), (None, (0, 0)));
        assert_eq!(after(deadline, &[&remove, &write]), (Some(b"new".to_vec()), (1, 0)));
    }
}

/// A key that a replay has written over unseen goes before a checkpoint has taken it.
#[test]
fn the_row_of_a_key_that_a_replay_wrote_over_unseen_goes_with_it() {
    let house = House::new();
    let bench = house.open();
    set(&bench, b"key", b"old", Deadline::Clear);
    lay_to_rest(&bench);
    set(&bench, b"key", b"new", Deadline::Clear);
    drop(bench);
    let bench = house.open();
    remove(&bench);
    assert_eq!((get(&bench, b"key"), bench.look(|state| state.len())), (None, 0));
    drop(bench);
    assert_eq!(get(&house.open(), b"key"), None);
}

fn remove(bench: &Bench) {
    change(bench, |context| {
        context.state.exists(b"key")?.then(|| context.out.remove(b"key"));
        Ok(())
    });
}

/// The rows of a large value, laid to rest by so many checkpoints, after it has been written over unseen.
fn large_is_written_over_unseen(house: &House, checkpoints: usize) {
    let bench = house.open();
    bench.run(&[Step::Write { db: 0, key: 0, from: 0, count: 600 }], true);
    (0..checkpoints).for_each(|_| assert!(bench.checkpoint(&mut || true).is_some()));
    drop(bench);
    let bench = house.open();
    bench.run(&[Step::Set { db: 0, key: 0, bytes: 9 }], true);
    drop(bench);
    let bench = house.open();
    bench.checkpoint(&mut || true).unwrap();
    assert_eq!(bench.look(|state| state.len()), 1);
    bench.engine.close().unwrap();
}

#[test]
fn the_pieces_of_a_large_value_that_a_replay_wrote_over_are_dead() {
    for checkpoints in 1..3 {
        let house = House::new();
        large_is_written_over_unseen(&house, checkpoints);
        assert_eq!(crate::inspect(house.dir.path(), None).unwrap().faults, [], "{checkpoints} checkpoints");
    }
}

#[test]
fn the_pieces_of_a_large_value_that_is_small_by_other_limits_are_dead() {
    let house = House::new();
    let bench = house.open();
    bench.run(&[Step::Write { db: 0, key: 0, from: 0, count: 600 }], true);
    lay_to_rest(&bench);
    let before = bench.digest();
    let limits = bench.engine.shared.shards[0].lock().limits;
    bench.engine.set_limits(crate::Limits { set_max_listpack_entries: 2000, ..limits });
    assert_eq!(bench.look(|state| state.set(b"key:0")?.map(|set| set.len()).transpose()), Some(600));
    bench.checkpoint(&mut || true).unwrap();
    assert_eq!(bench.digest(), before);
    bench.engine.close().unwrap();
    assert_eq!(crate::inspect(house.dir.path(), None).unwrap().faults, []);
}

/// Keys of one shard.
fn neighbour(n: u32) -> Vec<u8> {
    format!("{{one shard}}{n}").into_bytes()
}

/// How many of so many keys of one shard are left at rest by a start whose log changes a part of `changed` of them.
fn left_at_rest(keys: u32, changed: u32, memory: u64) -> u64 {
    let house = House::new();
    let bench = house.open();
    (0..keys).for_each(|n| set(&bench, &neighbour(n), b"value", Deadline::Clear));
    bench.checkpoint(&mut || true).unwrap();
    (0..changed).for_each(|n| {
        change(&bench, |context| {
            context.state.exists(&neighbour(n))?;
            context.out.emit(&neighbour(n), false, Op::Patch(Patch::Append(b" and more")));
            Ok(())
        });
    });
    drop(bench);
    let bench = house.open_bounded(memory);
    let left = bench.engine.residency_figures().cold_keys;
    for n in [0, changed - 1, changed, keys - 1] {
        let value: &[u8] = if n < changed { b"value and more" } else { b"value" };
        assert_eq!(get(&bench, &neighbour(n)).as_deref(), Some(value), "key {n}");
    }
    assert_eq!(bench.look(|state| state.len()), keys as usize);
    left
}

#[test]
fn a_replay_that_needs_many_rows_of_a_shard_brings_in_all_of_them() {
    let share = REPLAY_READS_SHARE as u32;
    for keys in [20, 300, 500] {
        for changed in [1, REPLAY_READS as u32 - 1, REPLAY_READS as u32, 8, 9, 14, 15] {
            // Few are read by their names, and so are more of many.
            let is_much = changed >= REPLAY_READS as u32 && changed >= (keys - changed) / share;
            let left = if is_much { 0 } else { u64::from(keys - changed) };
            assert_eq!(left_at_rest(keys, changed, 0), left, "{changed} of {keys}");
        }
    }
    assert_eq!(left_at_rest(300, 100, 0), 0);
}

#[test]
fn where_memory_is_bounded_a_replay_brings_in_what_it_needs_and_no_more() {
    assert_eq!(left_at_rest(300, 100, 1 << 30), 200);
}

#[test]
fn nobody_goes_before_a_checkpoint_that_is_taken_for_a_stop() {
    let house = House::new();
    let bench = house.open();
    set(&bench, b"large", &vec![7; CLOSE_LOG_BYTES as usize + 1], Deadline::Clear);
    bench.engine.log().write_out().unwrap();
    assert!(bench.engine.shared.checkpoints.found_rows().is_none());
    bench.engine.rest().unwrap();
    let rows = bench.engine.shared.checkpoints.found_rows().expect("the stop has taken the first checkpoint");
    assert!(rows.has_none_before_it(), "those who were served have left");
}
