//! What was durable and is not there any more is refused, and whoever is refused finds everything as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use effect::{KeyspaceId, Op, Origin, Patch};

use crate::AtRest;
use crate::checkpoint::tests::Bench;
use crate::limits::{CEILING_AHEAD_MS, CEILING_STEP_MS};
use crate::{Engine, Identity, Lock, OpenError, Options, Recycled};

fn open(dir: &Path) -> Result<Engine, OpenError> {
    open_with(dir, 1 << 20)
}

fn open_with(dir: &Path, segment_bytes: u64) -> Result<Engine, OpenError> {
    let mut options = Options::new(Arc::new(|| 1_000_000), [7; 22]);
    options.log.segment_bytes = segment_bytes;
    Engine::open(dir, options)
}

/// Sets keys with these numbers and makes them durable.
fn set(engine: &Engine, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let mut recycled = Recycled::new();
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        context.out.emit(format!("key{n}").as_bytes(), true, Op::Patch(Patch::Append(&[b'v'; 100])));
        context.commit().unwrap();
    }
    engine.log().sync().unwrap();
}

fn keys(engine: &Engine) -> u64 {
    engine.key_counts(0).keys
}

/// Every file below `dir` with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    files(&dir.join("log")).into_keys().filter(|path| path.extension().is_some_and(|e| e == "wal")).collect()
}

/// Opening is refused, twice, in words that hold all of `words`, and changes nothing.
fn assert_refused(dir: &Path, words: &[&str]) {
    let before = files(dir);
    for _ in 0..2 {
        let Err(error) = open(dir) else { panic!("it was opened: {words:?}") };
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(said.contains("anabranch check"), "{said}");
        assert!(files(dir) == before, "something was changed: {said}");
    }
}

fn cut(path: &Path, len: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn a_log_that_is_shorter_than_at_the_clean_stop_is_refused_by_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    set(&engine, 0..20);
    engine.close().unwrap();
    let [segment] = &segments(dir.path())[..] else { panic!("one segment") };
    let whole = std::fs::read(segment).unwrap();
    for len in [whole.len() - 1, whole.len() / 2, wal::format::HEADER_BYTES] {
        cut(segment, len as u64);
        assert_refused(dir.path(), &[segment.to_str().unwrap(), "at offset", "was durable up to position"]);
        std::fs::write(segment, &whole).unwrap();
    }
    std::fs::remove_file(segment).unwrap();
    assert_refused(dir.path(), &["log", "there is no segment"]);
    std::fs::write(segment, &whole).unwrap();
    let engine = open(dir.path()).expect("what was put back is all there");
    assert_eq!(keys(&engine), 20);
}

#[test]
fn a_missing_last_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open_with(dir.path(), wal::MIN_SEGMENT_BYTES).unwrap();
    set(&engine, 0..200);
    engine.close().unwrap();
    let segments = segments(dir.path());
    assert!(segments.len() > 2, "{segments:?}");
    std::fs::remove_file(segments.last().unwrap()).unwrap();
    assert_refused(dir.path(), &[segments[segments.len() - 2].to_str().unwrap(), "was durable up to position"]);
}

#[test]
fn after_an_unclean_end_the_log_must_reach_what_the_checkpoint_holds() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    set(&engine, 0..20);
    let from = engine.checkpoint().unwrap().position.get();
    let at_checkpoint = engine.log().durable().get();
    set(&engine, 20..21);
    set(&engine, 21..22);
    drop(engine);
    let identity = Identity::load(dir.path()).unwrap().unwrap();
    assert_eq!(identity.clean, None);
    assert!((from..=at_checkpoint).contains(&identity.durable), "{from} {} {at_checkpoint}", identity.durable);
    let segment = segments(dir.path()).pop().unwrap();
    let whole = std::fs::read(&segment).unwrap();
    std::fs::remove_file(&segment).unwrap();
    assert_refused(dir.path(), &["log", "there is no segment"]);
    // What came after the checkpoint is not known to have been durable: a tail as any other.
    std::fs::write(&segment, &whole).unwrap();
    cut(&segment, whole.len() as u64 - 60);
    assert_eq!(keys(&open(dir.path()).unwrap()), 21);
}

#[test]
fn data_without_an_identity_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    set(&engine, 0..3);
    engine.close().unwrap();
    std::fs::remove_file(Identity::path(dir.path())).unwrap();
    assert_refused(dir.path(), &["identity", "is missing", "log"]);
}

#[test]
fn a_first_start_that_ended_before_it_had_an_identity_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().close().unwrap();
    std::fs::remove_file(Identity::path(dir.path())).unwrap();
    assert_eq!(keys(&open(dir.path()).unwrap()), 0);
}

#[test]
fn a_refusal_for_a_missing_checkpoint_leaves_the_identity_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    set(&engine, 0..200);
    engine.checkpoint().unwrap();
    set(&engine, 200..210);
    engine.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("rows")).unwrap();
    let before = std::fs::read(Identity::path(dir.path())).unwrap();
    let Err(error) = open(dir.path()) else { panic!("it was opened") };
    assert!(matches!(error, OpenError::NoCheckpoint { .. }), "{error}");
    assert!(std::fs::read(Identity::path(dir.path())).unwrap() == before);
}

#[test]
fn the_clock_does_not_run_away_from_the_wall_by_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for crash in 0..20 {
        let engine = open(dir.path()).unwrap();
        set(&engine, crash..crash + 1);
        last = engine.log().lock().state().clock.last().ms();
        drop(engine);
    }
    assert!(last <= 1_000_000 + CEILING_AHEAD_MS + 20 * (CEILING_STEP_MS + 1), "{last}");
}

/// The next number of this engine's effects, and those of all that have written its log.
fn numbers(engine: &Engine) -> (u64, BTreeMap<Origin, u64>) {
    let mut log = engine.log().lock();
    let sequencer = log.state();
    let vector = sequencer.vector(engine.shared.origin());
    (sequencer.next_seq, vector.iter().map(|last| (last.origin, last.seq + 1)).collect())
}

#[test]
fn numbers_go_on_behind_the_log_whoever_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).unwrap();
    let first = engine.shared.origin();
    set(&engine, 0..20);
    engine.close().unwrap();
    let engine = open(dir.path()).unwrap();
    assert_eq!(numbers(&engine), (21, [(first, 21)].into()), "who ended well goes on under the same name");
    set(&engine, 20..25);
    drop(engine);
    let engine = open(dir.path()).unwrap();
    let second = engine.shared.origin();
    assert_eq!(numbers(&engine), (1, [(first, 26)].into()));
    set(&engine, 25..28);
    engine.close().unwrap();
    let engine = open(dir.path()).unwrap();
    assert_eq!(numbers(&engine), (4, [(first, 26), (second, 4)].into()));
    assert_eq!(keys(&engine), 28);
}

#[test]
fn a_log_in_which_the_number_of_a_batch_is_not_the_next_one_is_refused() {
    for off in [1i64, -1] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path()).unwrap();
        let origin = engine.shared.origin();
        set(&engine, 0..3);
        engine.log().lock().state().next_seq = 4u64.saturating_add_signed(off);
        set(&engine, 3..4);
        drop(engine);
        let Err(error) = open(dir.path()) else { panic!("it was opened: {off}") };
        let OpenError::Gap { origin: of, expected, found } = error else { panic!("{error}") };
        assert_eq!((Origin(of), expected, found), (origin, 4, 4u64.saturating_add_signed(off)));
    }
}

/// Appends `n` to many keys, in an order that shows, and has effects on several shards in between.
fn write_here_and_there(bench: &Bench, round: u32) {
    let mut recycled = Recycled::new();
    for n in 0..400 {
        let at_rest = AtRest::default();
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        context.know(&at_rest);
        let (from, to) = (format!("key{}", n * 7 % 97), format!("key{}", n % 97));
        match n % 50 {
            49 => context.out.emit(
                from.as_bytes(),
                false,
                Op::Rename { keyspace: KeyspaceId::DEFAULT, db: 0, key: to.as_bytes() },
            ),
            _ => {
                let text = format!("{round}.{n} ");
                context.out.emit(from.as_bytes(), false, Op::Patch(Patch::Append(text.as_bytes())));
            }
        }
        context.commit().unwrap();
    }
}

#[test]
fn effects_on_one_shard_and_on_several_are_replayed_in_their_order() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    for round in 0..4 {
        let bench = Bench::open(dir.path(), &clock);
        write_here_and_there(&bench, round);
        let before = (bench.digest(), keys(&bench.engine));
        if round == 1 {
            bench.engine.checkpoint().unwrap();
        }
        // Not a clean stop: what follows is of another origin.
        drop(bench);
        let again = Bench::open_cold(dir.path(), &clock, None);
        assert_eq!((keys(&again.engine), again.digest()), (before.1, before.0), "round {round}");
    }
}
