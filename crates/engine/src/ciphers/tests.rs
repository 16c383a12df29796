//! What is encrypted opens with its keys and with no others, and nothing of it is on the disk in clear.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effect::{Op, Patch};
use envelope::testing::keyring;
use envelope::{Error, Keyring};

use super::KEYS;
use crate::limits::ROWS_DATA_KEYS_MAX;
use crate::{CheckError, Engine, Lock, OpenError, Options, Recycled, inspect, salvage};

const EARLY: &[u8] = b"a value of the time before there were keys";
const LATE: &[u8] = b"a value of the time since there are keys";

fn options(masters: &[u32]) -> Options {
    let mut options = Options::new(Arc::new(|| 1_000_000), [7; 22]);
    options.log.segment_bytes = 1 << 20;
    options.keyring = (!masters.is_empty()).then(|| keyring(masters));
    options
}

fn open(dir: &Path, masters: &[u32]) -> Engine {
    let engine = Engine::open(dir, options(masters)).unwrap();
    engine.fill().unwrap();
    engine
}

fn refusal(dir: &Path, options: Options) -> OpenError {
    Engine::open(dir, options).err().expect("it must not open")
}

fn set(engine: &Engine, numbers: std::ops::Range<u32>, value: &[u8]) {
    for n in numbers {
        let mut recycled = Recycled::new();
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        let key = format!("key{n}");
        let fresh = !context.state.exists(key.as_bytes()).unwrap();
        context.out.emit(key.as_bytes(), fresh, Op::Patch(Patch::Append(value)));
        context.commit().unwrap();
    }
    engine.log().sync().unwrap();
}

fn keys(engine: &Engine) -> u64 {
    engine.key_counts(0).keys
}

/// A checkpoint as the keeper has it taken, with what comes after it.
fn checkpoint(engine: &Engine) {
    let first = engine.log().first();
    assert!(engine.request_checkpoint());
    while engine.is_checkpointing() {
        std::thread::yield_now();
    }
    assert!(engine.log().first() > first, "it was taken");
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

/// The files that hold these bytes.
fn holding(dir: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let holds = |content: &[u8]| content.windows(bytes.len()).any(|window| window == bytes);
    files(dir).into_iter().filter(|(_, content)| holds(content)).map(|(path, _)| path).collect()
}

/// Twenty keys at rest and twenty in the log, ended like a killed process.
fn encrypted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &[1]);
    set(&engine, 0..20, LATE);
    checkpoint(&engine);
    set(&engine, 20..40, LATE);
    drop(engine);
    dir
}

#[test]
fn without_master_keys_there_are_no_data_keys() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &[]);
    set(&engine, 0..5, EARLY);
    checkpoint(&engine);
    assert!(!engine.is_encrypted() && !dir.path().join(KEYS).exists());
    assert!(!holding(&dir.path().join("rows"), EARLY).is_empty(), "what is in clear is found in this way");
}

#[test]
fn what_was_encrypted_is_there_after_a_kill_and_after_a_stop_and_nowhere_in_clear() {
    let dir = encrypted();
    assert_eq!(holding(dir.path(), LATE), [] as [PathBuf; 0]);
    let engine = open(dir.path(), &[1]);
    assert!(engine.is_encrypted());
    assert_eq!(keys(&engine), 40);
    set(&engine, 40..50, LATE);
    engine.close().unwrap();
    assert_eq!(keys(&open(dir.path(), &[1])), 50);
    assert_eq!(holding(dir.path(), LATE), [] as [PathBuf; 0]);
}

#[test]
fn without_its_master_keys_or_with_others_it_does_not_open_and_is_not_changed() {
    let dir = encrypted();
    let before = files(dir.path());
    let error = refusal(dir.path(), options(&[]));
    assert!(
        matches!(error, OpenError::KeysNeeded { .. }) && error.to_string().contains("encryption-key-file"),
        "{error}"
    );
    let error = refusal(dir.path(), options(&[2]));
    assert!(matches!(&error, OpenError::Keys { source: Error::MasterKeyMissing { id: 1 }, .. }), "{error}");
    let other = Some(Keyring::parse(format!("1 {}", "ab".repeat(32)).as_bytes()).unwrap());
    let error = refusal(dir.path(), Options { keyring: other, ..options(&[]) });
    assert!(matches!(&error, OpenError::Keys { source: Error::MasterKeyWrong { id: 1, .. }, .. }), "{error}");
    assert!(files(dir.path()) == before);
    assert_eq!(keys(&open(dir.path(), &[1])), 40);
}

#[test]
fn data_whose_data_keys_are_gone_says_so() {
    for (masters, gone) in [(&[1][..], ""), (&[], ""), (&[1], "log"), (&[1], "rows")] {
        let dir = encrypted();
        fs::remove_dir_all(dir.path().join(KEYS).join(gone)).unwrap();
        let error = refusal(dir.path(), options(masters));
        assert!(matches!(error, OpenError::KeysLost { .. }), "{masters:?} {gone}: {error}");
        assert!(error.to_string().contains("Put back the directory"), "{error}");
    }
}

#[test]
fn after_keys_were_given_the_next_checkpoint_leaves_nothing_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &[]);
    set(&engine, 0..20, EARLY);
    checkpoint(&engine);
    set(&engine, 20..40, EARLY);
    engine.close().unwrap();
    let engine = open(dir.path(), &[1]);
    assert_eq!(keys(&engine), 40, "what is in clear is read");
    set(&engine, 40..60, LATE);
    assert_eq!(holding(dir.path(), LATE), [] as [PathBuf; 0], "what is new is encrypted at once");
    assert!(!holding(dir.path(), EARLY).is_empty());
    drop(engine);
    let engine = open(dir.path(), &[1]);
    assert_eq!(keys(&engine), 60, "a log of both is read");
    checkpoint(&engine);
    assert_eq!(holding(dir.path(), EARLY), [] as [PathBuf; 0]);
    set(&engine, 60..70, LATE);
    drop(engine);
    assert_eq!(keys(&open(dir.path(), &[1])), 70);
    for value in [EARLY, LATE] {
        assert_eq!(holding(dir.path(), value), [] as [PathBuf; 0]);
    }
}

#[test]
fn after_a_rotation_the_old_master_key_is_not_needed_and_does_not_help() {
    let dir = encrypted();
    let engine = open(dir.path(), &[1, 2]);
    set(&engine, 40..45, LATE);
    drop(engine);
    assert_eq!(keys(&open(dir.path(), &[2])), 45);
    assert!(matches!(
        refusal(dir.path(), options(&[1])),
        OpenError::Keys { source: Error::MasterKeyMissing { id: 2 }, .. }
    ));
}

/// Each start draws a key for the log, and one for the rows when it takes a checkpoint.
#[test]
fn data_keys_that_nothing_names_any_more_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (mut most, mut last) = (0, 0);
    // One start too many, if every third takes a checkpoint.
    for start in 0..3 * (1 + ROWS_DATA_KEYS_MAX as u32) {
        let engine = open(dir.path(), &[1]);
        assert_eq!(keys(&engine), u64::from(start * 10));
        set(&engine, start * 10..(start + 1) * 10, LATE);
        let data_keys = |cipher: &Option<Arc<envelope::Cipher>>| cipher.as_ref().unwrap().data_keys().len();
        let ciphers = engine.shared.ciphers.clone();
        if start % 3 == 2 {
            assert_eq!(
                data_keys(&ciphers.log),
                if start == 2 { 3 } else { 4 },
                "that of the last checkpoint, and three starts"
            );
            checkpoint(&engine);
            assert_eq!(data_keys(&ciphers.log), 1, "start {start}");
        }
        most = most.max(data_keys(&ciphers.rows));
        last = data_keys(&ciphers.rows);
    }
    assert_eq!((most, last), (ROWS_DATA_KEYS_MAX, 1), "with one more, all rows were sealed anew");
}

#[test]
fn a_check_without_keys_says_what_it_has_not_seen_and_saves_nothing() {
    let dir = encrypted();
    let seen = inspect(dir.path(), None).unwrap();
    assert_eq!(seen.faults, []);
    let unseen = seen.unseen.join("\n");
    assert!(unseen.contains("rows: encrypted") && unseen.contains("log: only its frames"), "{unseen}");
    assert!(seen.saves().contains("its keys are needed"), "{}", seen.saves());
    let to = tempfile::tempdir().unwrap();
    assert!(matches!(salvage(dir.path(), &seen, to.path(), options(&[1])), Err(CheckError::Lost(_))));
    assert!(matches!(inspect(dir.path(), Some(&keyring(&[2]))), Err(CheckError::Keys { .. })));
}

#[test]
fn a_check_with_keys_looks_into_everything_changes_nothing_and_saves_all() {
    let dir = encrypted();
    let before = files(dir.path());
    // Also with keys that a start would wrap the data keys under anew.
    for masters in [&[1][..], &[1, 2]] {
        let seen = inspect(dir.path(), Some(&keyring(masters))).unwrap();
        assert_eq!((&seen.faults[..], &seen.unseen[..]), (&[][..], &[][..]));
        let said = seen.found.join("\n");
        assert!(
            said.contains("keys: good: 1 data keys of the log, 1 of the rows") && said.contains("20 keys"),
            "{said}"
        );
        assert!(files(dir.path()) == before);
        let to = tempfile::tempdir().unwrap();
        assert_eq!(salvage(dir.path(), &seen, to.path(), options(masters)).unwrap().keys, 40);
        assert_eq!(holding(to.path(), LATE), [] as [PathBuf; 0]);
        assert_eq!(inspect(to.path(), Some(&keyring(masters))).unwrap().faults, []);
    }
}

#[test]
fn a_bad_registry_and_a_bad_encrypted_record_are_faults() {
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let dir = encrypted();
    let registry = dir.path().join(KEYS).join("rows").join(envelope::REGISTRY);
    flip(&registry, 20);
    let seen = inspect(dir.path(), Some(&keyring(&[1]))).unwrap();
    assert_eq!(seen.faults.len(), 1);
    assert!(seen.faults[0].to_string().starts_with(registry.to_str().unwrap()), "{:?}", seen.faults);
    assert!(!seen.unseen.is_empty());
    // A data key that is not there: the frames are good, the records are not to be had.
    let dir = encrypted();
    fs::remove_dir_all(dir.path().join(KEYS).join("log")).unwrap();
    let seen = inspect(dir.path(), Some(&keyring(&[1]))).unwrap();
    assert!(seen.faults[0].what.contains("data key 1"), "{:?}", seen.faults);
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("new")).unwrap();
    assert_eq!(
        salvage(dir.path(), &seen, &to.path().join("new"), options(&[1])).unwrap().keys,
        20,
        "the rows are good"
    );
}
