//! What is kept aside, as files.

use std::path::Path;
use std::sync::Arc;

use effect::{Deadline, Op, Origin, Vector};

use super::aside::{Aside, is_there};
use super::spool::last_of;
use super::*;
use crate::checkpoint::CheckpointPolicy;
use crate::{Engine, Keyring, Lock, Options, Recycled};

const NOW_MS: i64 = 1_700_000_000_000;

fn options(keyring: Option<&Keyring>) -> Options {
    let checkpoint = CheckpointPolicy { log_bytes: None };
    let mut options = Options { keyring: keyring.cloned(), checkpoint, ..Options::new(Arc::new(|| NOW_MS), [7; 22]) };
    options.log.segment_bytes = wal::MIN_SEGMENT_BYTES;
    options
}

fn open(dir: &Path, keyring: Option<&Keyring>) -> Engine {
    let engine = Engine::open(dir, options(keyring)).unwrap();
    engine.set_replicating(true).unwrap();
    engine
}

fn set(engine: &Engine, key: &str, value: &[u8]) {
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    context.out.emit(key.as_bytes(), false, Op::Set { value, deadline: Deadline::Clear });
    context.commit().unwrap();
}

fn up_to(origin: Origin, seq: u64) -> Vector {
    Vector::from_iter([Dot { origin, seq }])
}

/// The last effect of each batch.
fn kept(engine: &Engine) -> Vec<u64> {
    let Some(spool) = Aside::found(&engine.shared, UNDELIVERED).unwrap() else { return Vec::new() };
    let (mut reader, mut all) = (spool.reader().unwrap(), Vec::new());
    while let Some(record) = reader.next().unwrap() {
        all.push(last_of(&effect::Batch::decode(record.payload).unwrap()).seq);
    }
    all
}

fn has_text(dir: &Path, text: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().flatten().any(|entry| match entry.path() {
        path if path.is_dir() => has_text(&path, text),
        path => std::fs::read(path).unwrap().windows(text.len()).any(|bytes| bytes == text),
    })
}

/// Writes batches of one effect again, so many of them; what was superseded.
fn write_some(engine: &Engine, batches: u64) -> Vec<Superseded> {
    let (mut again, mut superseded) = (engine.write_again().unwrap().unwrap(), Vec::new());
    let written = || engine.shared.replication.again.done().iter().map(|dot| dot.seq).sum::<u64>();
    let before = written();
    while written() - before < batches {
        if again
            .step(engine, 1, &mut |some| {
                superseded.extend_from_slice(some);
                Ok(())
            })
            .unwrap()
            == Step::Done
        {
            assert_eq!(again.left(), 0);
            again.end(engine).unwrap();
            break;
        }
    }
    superseded
}

/// What is kept aside is moved to a directory that has nothing, as `engine` leaves it.
fn begin_anew(engine: Engine, dir: &Path) -> tempfile::TempDir {
    let new = tempfile::tempdir().unwrap();
    engine.make_nothing(new.path(), b"").unwrap();
    drop(engine);
    std::fs::rename(dir.join(UNDELIVERED), new.path().join(UNDELIVERED)).unwrap();
    new
}

fn value(engine: &Engine, key: &str) -> Vec<u8> {
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    let entry = context.state.whole_entry(key.as_bytes()).map_err(drop).unwrap().unwrap();
    entry.bytes().unwrap().to_vec()
}

#[test]
fn one_that_is_given_up_while_it_writes_again_keeps_what_it_wrote_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), None);
    for n in 0..6 {
        set(&engine, "k", format!("{n}").as_bytes());
    }
    engine.keep_aside(&Vector::new()).unwrap();
    let second = begin_anew(engine, dir.path());
    let engine = open(second.path(), None);
    assert_eq!(write_some(&engine, 3), []);
    assert_eq!(value(&engine, "k"), b"2");
    assert_eq!(engine.keep_aside(&Vector::new()).unwrap().batches, 6);
    let third = begin_anew(engine, second.path());
    let engine = open(third.path(), None);
    assert_eq!(write_some(&engine, u64::MAX), []);
    assert_eq!(value(&engine, "k"), b"5");
    assert!(!engine.has_undelivered());
}

#[test]
fn what_others_lack_is_kept_and_no_more_and_a_second_time_it_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), None);
    (0..5).for_each(|n| set(&engine, &format!("k{n}"), b"v"));
    let delivered = up_to(engine.origin(), 2);
    for _ in 0..2 {
        assert_eq!(engine.keep_aside(&delivered).unwrap(), Spooled { batches: 3, effects: 3 });
        assert_eq!(kept(&engine), [3, 4, 5]);
    }
    assert_eq!(
        engine.keep_aside(&up_to(engine.origin(), 5)).unwrap(),
        Spooled::default(),
        "nothing is left to be kept"
    );
    assert!(!engine.has_undelivered() && !dir.path().join("undelivered").exists());
}

#[test]
fn what_is_in_the_log_no_more_cannot_be_kept_and_what_was_kept_stays() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), None);
    set(&engine, "a", b"v");
    assert_eq!(engine.keep_aside(&Vector::new()).unwrap().batches, 1);
    set(&engine, "b", &vec![b'x'; 4 << 20]);
    engine.note_stable(&engine.vector(), None);
    for _ in 0..3 {
        engine.checkpoint().unwrap();
    }
    assert!(matches!(engine.keep_aside(&Vector::new()), Err(AgainError::Feed(FeedError::Gone { .. }))));
    assert_eq!(kept(&engine), [1]);
    drop(engine);
    assert_eq!(kept(&open(dir.path(), None)), [1]);
}

#[test]
fn what_waits_is_sealed_if_the_data_is() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::parse(format!("1 {}", "5b".repeat(32)).as_bytes()).unwrap();
    let engine = open(dir.path(), Some(&keyring));
    set(&engine, "k", b"nobody is to read this");
    engine.keep_aside(&Vector::new()).unwrap();
    drop(engine);
    assert!(!has_text(dir.path(), b"nobody is to read this"));
    assert_eq!(kept(&open(dir.path(), Some(&keyring))), [1]);
}

#[test]
fn a_crash_leaves_what_was_kept_before_or_what_is_whole_now() {
    let dir = tempfile::tempdir().unwrap();
    let (place, new) = (dir.path().join("undelivered"), dir.path().join("undelivered.new"));
    let make = |path: &Path, name: &str, is_whole: bool| {
        std::fs::create_dir_all(path.join("log")).unwrap();
        std::fs::write(path.join(name), b"").unwrap();
        if is_whole {
            std::fs::write(path.join("whole"), b"").unwrap();
        }
    };
    for (old_is_whole, new_is_whole) in [(true, false), (true, true), (false, true), (false, false)] {
        make(&place, "old", old_is_whole);
        make(&new, "new", new_is_whole);
        (0..2).for_each(|_| tidy(dir.path()).unwrap());
        assert!(!new.exists());
        let has = |name: &str| place.join(name).exists();
        assert_eq!((has("old"), has("new")), (old_is_whole && !new_is_whole, new_is_whole));
        assert_eq!(is_there(dir.path(), UNDELIVERED), old_is_whole || new_is_whole);
        let _ = std::fs::remove_dir_all(&place);
    }
}

#[test]
fn what_stands_for_it_is_known_after_a_start_from_the_log_and_from_rows() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), None);
    let last = Dot { origin: Origin::new(9, 3), seq: 17 };
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    context.out.emit(b"", false, Op::Again(last));
    context.commit().unwrap();
    drop(context);
    engine.log().sync().unwrap();
    drop(engine);
    let engine = open(dir.path(), None);
    assert_eq!(engine.shared.replication.again.done(), up_to(last.origin, 17), "by the log");
    engine.note_stable(&engine.vector(), None);
    engine.checkpoint().unwrap();
    drop(engine);
    assert_eq!(open(dir.path(), None).shared.replication.again.done(), up_to(last.origin, 17), "by the rows");
}

#[test]
fn as_long_as_something_waits_the_log_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), None);
    set(&engine, "a", b"v");
    engine.keep_aside(&Vector::new()).unwrap();
    drop(engine);
    let engine = open(dir.path(), None);
    let cut = |key: &str| {
        set(&engine, key, &vec![b'x'; 4 << 20]);
        engine.note_stable(&engine.vector(), None);
        for _ in 0..3 {
            engine.checkpoint().unwrap();
        }
        engine.log().first() > wal::Position::START
    };
    assert!(!cut("b"), "it says when others wrote what");
    write_some(&engine, u64::MAX);
    assert!(cut("c"), "nothing waits any more");
    assert!(!engine.has_undelivered() && engine.write_again().unwrap().is_none());
}
