//! What a replica keeps, and what it finds after a start.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use effect::{Batches, Deadline, Dot, Hlc, Op, Origin, Vector};

use crate::{Engine, Fed, FeedError, Lock, Opening, Options, Received, Recycled, Refusal};

const NOW_MS: i64 = 1_700_000_000_000;

fn open(dir: &Path, node: u8) -> Engine {
    let mut entropy = [7; 22];
    entropy[..6].copy_from_slice(&[0, 0, 0, 0, 0, node]);
    let mut options = Options { fills: false, ..Options::new(Arc::new(|| NOW_MS), entropy) };
    options.log.segment_bytes = wal::MIN_SEGMENT_BYTES;
    Engine::open(dir, options).unwrap()
}

fn emit(engine: &Engine, key: &str, op: Op<'_>) {
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    context.out.emit(key.as_bytes(), false, op);
    context.commit().unwrap();
}

fn set(engine: &Engine, key: &str, value: &str) {
    emit(engine, key, Op::Set { value: value.as_bytes(), deadline: Deadline::Clear });
}

fn get(engine: &Engine, key: &str) -> Option<Vec<u8>> {
    engine.fill().unwrap();
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    context.state.string(key.as_bytes()).map(|found| found.map(<[u8]>::to_vec)).map_err(|_| "a string").unwrap()
}

fn fed(engine: &Engine, known: Vector) -> Vec<Fed> {
    engine.log().write_out().unwrap();
    let mut feeder = engine.feed(known, true).unwrap();
    std::iter::from_fn(|| feeder.next_record().unwrap()).collect()
}

fn receive(engine: &Engine, fed: &Fed, context: &Vector) {
    for batch in Batches::decode(&fed.record) {
        assert!(matches!(engine.receive(&batch.unwrap(), context).unwrap(), Received::Applied(_)));
    }
}

fn vector(dots: &[(Origin, u64)]) -> Vector {
    dots.iter().map(|(origin, seq)| Dot { origin: *origin, seq: *seq }).collect()
}

#[test]
fn the_log_is_kept_for_a_peer_that_lacks_it_unless_that_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1);
    engine.set_replicating(true).unwrap();
    let own = engine.origin();
    let round = |engine: &Engine, n: u64| {
        (0..50).for_each(|i| set(engine, &format!("key{i}"), &format!("{n}")));
        engine.checkpoint().unwrap();
    };
    let keep = |engine: &Engine, seq: u64, bytes: u64| {
        let known = vector(&[(own, seq)]);
        engine.note_stable(&known, None);
        engine.keep_log(known, bytes);
    };
    keep(&engine, 50, u64::MAX);
    (0..3).for_each(|n| round(&engine, n));
    let lacks = |engine: &Engine, known: u64| fed(engine, vector(&[(own, known)])).len();
    assert!(lacks(&engine, 50) > 0);
    assert!(matches!(engine.feed(Vector::new(), true), Err(FeedError::Gone { first: 50, .. })));
    engine.close().unwrap();
    // Nobody has said again what is needed, and yet the log is not cut.
    let engine = open(dir.path(), 1);
    assert_eq!(engine.origin(), own);
    round(&engine, 3);
    let found = fed(&engine, vector(&[(own, 50)]));
    assert_eq!((found[0].first.seq, found.last().unwrap().next_seq), (51, 201));
    engine.keep_log(vector(&[(own, 150)]), u64::MAX);
    round(&engine, 4);
    assert!(!fed(&engine, vector(&[(own, 50)])).is_empty(), "a transaction may come that has not observed it");
    keep(&engine, 150, u64::MAX);
    round(&engine, 5);
    assert!(matches!(engine.feed(vector(&[(own, 149)]), true), Err(FeedError::Gone { first: 150, .. })));
    engine.keep_log(vector(&[(own, 150)]), 100);
    round(&engine, 6);
    assert!(matches!(engine.feed(vector(&[(own, 349)]), true), Err(FeedError::Gone { first: 350, .. })));
    assert_eq!(fed(&engine, vector(&[(own, 350)])).len(), 0);
    // One that has come back with less than it had lacks what is gone: what is there may be lacked by others, and stays.
    engine.keep_log(vector(&[(own, 10)]), u64::MAX);
    (7..9).for_each(|n| round(&engine, n));
    assert_eq!(fed(&engine, vector(&[(own, 350)])).last().unwrap().next_seq, 451);
}

#[test]
fn a_start_finds_what_whoever_talks_to_the_others_must_know() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [here, there] = [open(dirs[0].path(), 1), open(dirs[1].path(), 2)];
    [&here, &there].into_iter().for_each(|engine| engine.set_replicating(true).unwrap());
    set(&here, "a", "1");
    let first = fed(&here, Vector::new());
    receive(&there, &first[0], &first[0].context);
    set(&there, "b", "2");
    set(&there, "b", "3");
    let (a, b) = (here.origin(), there.origin());
    for fed in fed(&there, Vector::new()) {
        receive(&here, &fed, &fed.context);
    }
    set(&here, "c", "4");
    let head = |engine: &Engine, known| {
        let fed = fed(engine, known).pop().unwrap();
        Batches::decode(&fed.record).last().unwrap().unwrap().hlc
    };
    let (own, other) = (head(&here, vector(&[(a, 1)])), head(&there, Vector::new()));
    here.note_stable(&vector(&[(a, 1), (b, 1)]), Some(Hlc(77)));
    let expected = |origin: Origin| Opening {
        origin,
        vector: vector(&[(a, 2), (b, 2)]),
        heads: [(a, own), (b, other)].into(),
        contexts: [(a, vector(&[(b, 2)])), (b, vector(&[(a, 1)]))].into(),
        stable: vector(&[(a, 1), (b, 1)]),
        cut_hlc: Some(Hlc(77)),
    };
    assert_eq!(here.opening().unwrap(), expected(a));
    // Of what is stable only a checkpoint says so soon.
    here.checkpoint().unwrap();
    drop(here);
    let again = open(dirs[0].path(), 1);
    assert_eq!((again.origin().node(), again.origin().incarnation()), (a.node(), a.incarnation() + 1));
    assert_eq!(again.opening().unwrap(), expected(again.origin()));
}

#[test]
fn a_node_that_takes_another_origin_knows_when_it_wrote_last_as_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1);
    engine.set_replicating(true).unwrap();
    set(&engine, "a", "1");
    let (before, found) = (engine.origin(), engine.opening().unwrap());
    let head = fed(&engine, Vector::new()).pop().unwrap();
    assert_eq!(found.heads[&before], head_hlc(&head));
    set(&engine, "a", "2");
    engine.set_open(false);
    let next = Origin::new(before.node(), before.incarnation() + 1);
    engine.take_origin(next).unwrap();
    engine.set_open(true);
    set(&engine, "a", "3");
    let found = engine.opening().unwrap();
    assert_eq!(found.vector, vector(&[(before, 2), (next, 1)]));
    assert_eq!(found.contexts[&next], vector(&[(before, 2)]));
    let heads: Vec<Hlc> = [before, next].iter().map(|origin| found.heads[origin]).collect();
    engine.checkpoint().unwrap();
    drop(engine);
    // What is in front of the checkpoint is as it was.
    let again = open(dir.path(), 1).opening().unwrap();
    assert_eq!([before, next].iter().map(|origin| again.heads[origin]).collect::<Vec<_>>(), heads);
    assert!(heads[0] > head_hlc(&head) && heads[1] > heads[0]);
}

fn head_hlc(fed: &Fed) -> Hlc {
    Batches::decode(&fed.record).last().unwrap().unwrap().hlc
}

#[test]
fn what_is_stable_is_said_in_the_log_and_settled_when_it_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1);
    engine.set_replicating(true).unwrap();
    (0..20).for_each(|i| set(&engine, &format!("key{i}"), &"x".repeat(70_000)));
    let stable = engine.vector();
    engine.note_stable(&stable, None);
    set(&engine, "more", "1");
    engine.close().unwrap();
    let again = open(dir.path(), 1);
    assert_eq!(again.unstable_keys(), 1);
    assert_eq!(again.opening().unwrap().stable, stable);
}

#[test]
fn who_is_alone_again_keeps_nothing_and_who_is_in_a_group_again_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1);
    set(&engine, "a", "1");
    engine.set_replicating(true).unwrap();
    set(&engine, "a", "2");
    assert_eq!(engine.unstable_keys(), 1);
    engine.set_replicating(false).unwrap();
    set(&engine, "b", "2");
    assert_eq!(engine.unstable_keys(), 0);
    engine.set_replicating(true).unwrap();
    set(&engine, "c", "2");
    for _ in 0..2 {
        engine.checkpoint().unwrap();
    }
    drop(engine);
    let again = open(dir.path(), 1);
    assert!(again.is_replicating());
    assert_eq!(again.unstable_keys(), 1);
    again.set_replicating(false).unwrap();
    again.checkpoint().unwrap();
    drop(again);
    let alone = open(dir.path(), 1);
    assert!(!alone.is_replicating() && alone.unstable_keys() == 0);
    drop(alone);
    assert!(crate::inspect(dir.path(), None).unwrap().faults.is_empty());
}

#[test]
fn a_checkpoint_takes_the_place_of_what_the_one_before_had_of_recent_effects() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1);
    engine.set_replicating(true).unwrap();
    (0..300).for_each(|i| set(&engine, &format!("key{i}"), "1"));
    engine.checkpoint().unwrap();
    drop(engine);
    let engine = open(dir.path(), 1);
    assert_eq!(engine.unstable_keys(), 300);
    engine.fill().unwrap();
    engine.note_stable(&engine.vector(), None);
    set(&engine, "key7", "2");
    engine.checkpoint().unwrap();
    drop(engine);
    let engine = open(dir.path(), 1);
    assert_eq!(engine.unstable_keys(), 1);
    engine.close().unwrap();
    let seen = crate::inspect(dir.path(), None).unwrap();
    assert!(seen.faults.is_empty(), "{:?}", seen.faults);
}

#[test]
fn a_checkpoint_has_what_was_recent_at_its_flip_whatever_happens_meanwhile() {
    let change: [&dyn Fn(&Engine); 4] = [
        &|engine| (0..20).for_each(|i| set(engine, &format!("key{i}"), "2")),
        &|engine| (0..20).for_each(|i| set(engine, &format!("new{i}"), "2")),
        &|engine| emit(engine, "", Op::FlushDb),
        &|engine| engine.note_stable(&engine.vector(), None),
    ];
    let open = |dir: &tempfile::TempDir| {
        let engine = open(dir.path(), 1);
        engine.set_replicating(true).unwrap();
        (0..110).for_each(|i| set(&engine, &format!("key{}", i % 100), "1"));
        engine
    };
    // Another one with the same effects: to look at them brings them into the table.
    let same = tempfile::tempdir().unwrap();
    let same = open(&same);
    let shards = same.shared.shards.iter();
    let recent: BTreeSet<_> = shards.flat_map(|shard| shard.lock().suffix.stored().collect::<Vec<_>>()).collect();
    for at in [1, 2, 60, 120] {
        for change in change {
            let dir = tempfile::tempdir().unwrap();
            let engine = open(&dir);
            let mut pauses = 0;
            let taken = engine.base(&mut || {
                pauses += 1;
                if pauses == at {
                    change(&engine);
                }
                true
            });
            drop(taken.unwrap());
            assert!(pauses >= at && recent.len() == 100);
            let rows = engine.shared.checkpoints.found_rows().unwrap();
            assert!(crate::checkpoint::recent::keys(rows) == recent, "pause {at}");
        }
    }
}

#[test]
fn a_checkpoint_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1);
    engine.set_replicating(true).unwrap();
    (0..100).for_each(|i| set(&engine, &format!("key{i}"), "1"));
    assert!(engine.base(&mut || false).is_err());
    (0..100).for_each(|i| set(&engine, &format!("key{i}"), "2"));
    let left: usize = engine.shared.shards.iter().map(|shard| shard.lock().suffix.thaw().len()).sum();
    assert_eq!(left, 0);
    engine.checkpoint().unwrap();
    drop(engine);
    assert_eq!(open(dir.path(), 1).unstable_keys(), 100);
}

/// Whoever talks to the others leaves out of contexts what is stable. What a writer has observed it has observed for ever.
#[test]
fn a_context_that_says_less_than_the_one_before_adds_to_it() {
    let dirs = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let [here, there] = [open(dirs[0].path(), 1), open(dirs[1].path(), 2)];
    [&here, &there].into_iter().for_each(|engine| engine.set_replicating(true).unwrap());
    set(&here, "a", "1");
    for fed in fed(&here, Vector::new()) {
        receive(&there, &fed, &fed.context);
    }
    set(&there, "b", "1");
    let first = fed(&there, Vector::new());
    receive(&here, &first[0], &first[0].context);
    emit(&there, "a", Op::Remove);
    let second = fed(&there, vector(&[(there.origin(), 1)]));
    receive(&here, &second[0], &Vector::new());
    assert_eq!(get(&here, "a"), None);
}

#[test]
fn who_looked_too_long_ago_does_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1);
    engine.set_replicating(true).unwrap();
    let write = |late_ms: i64| {
        let mut recycled = Recycled::new();
        let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
        let now_ms = context.state.now_ms();
        engine.observe(Hlc::at_ms(now_ms + late_ms)).unwrap();
        context.out.emit(b"a", false, Op::AddInt(1));
        context.commit()
    };
    write(crate::limits::READ_LAG_MS - 1).unwrap();
    assert!(matches!(write(crate::limits::READ_LAG_MS + 1), Err(Refusal::Late { .. })));
    assert_eq!(get(&engine, "a"), Some(b"1".to_vec()));
    // The next one looks at the moment that its timestamps say.
    write(0).unwrap();
}
