//! What is wrong is named, and what is saved opens with all that came before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effect::{Op, Patch};

use super::{CheckError, Inspection, inspect, salvage};
use crate::{Engine, Identity, Lock, Options, Recycled};

fn options() -> Options {
    Options::new(Arc::new(|| 1_000_000), [7; 22])
}

fn open(dir: &Path) -> Engine {
    let engine = Engine::open(dir, options()).unwrap();
    engine.fill().unwrap();
    engine
}

fn name(n: u32) -> Vec<u8> {
    format!("key{n}").into_bytes()
}

/// Sets keys with these numbers; each is a record of its own.
fn set(engine: &Engine, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let mut recycled = Recycled::new();
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        context.out.emit(&name(n), true, Op::Patch(Patch::Append(&[b'v'; 100])));
        context.commit().unwrap();
        engine.log().sync().unwrap();
    }
}

/// Which keys there are.
fn numbers(engine: &Engine) -> BTreeSet<u32> {
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    let found = (0..100).filter(|n| context.state.exists(&name(*n)).unwrap()).collect();
    context.abort();
    found
}

fn only_file(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "wal")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.pop().unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Twenty keys, a checkpoint, twenty more; ended like a killed process, with the log as long as its records.
fn checkpointed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    set(&engine, 0..20);
    engine.checkpoint().unwrap();
    set(&engine, 20..40);
    drop(engine);
    dir
}

fn fault(seen: &Inspection) -> String {
    assert_eq!(seen.faults.len(), 1, "{:?}", seen.faults);
    seen.faults[0].to_string()
}

/// Saves, opens what was saved twice and writes in between: all that must go on to work.
fn saved(dir: &Path, seen: &Inspection) -> BTreeSet<u32> {
    let to = tempfile::tempdir().unwrap();
    let saved = salvage(dir, seen, to.path(), options()).unwrap();
    assert_eq!(inspect(to.path(), None).unwrap().faults, [], "what was saved is in order");
    let engine = open(to.path());
    let found = numbers(&engine);
    assert_eq!(saved.keys, found.len() as u64);
    set(&engine, 90..95);
    drop(engine);
    let again = numbers(&open(to.path()));
    assert_eq!(again, found.iter().copied().chain(90..95).collect(), "what is written afterwards stays");
    found
}

/// Every file below `dir` with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn a_sound_directory_has_no_fault_and_is_not_changed() {
    let dir = checkpointed();
    let before = files(dir.path());
    let seen = inspect(dir.path(), None).unwrap();
    assert_eq!(seen.faults, []);
    let said = seen.found.join("\n");
    assert!(said.contains("identity: good") && said.contains("20 keys") && said.contains("log: 1 segments"), "{said}");
    assert!(files(dir.path()) == before);
    assert_eq!(saved(dir.path(), &seen), (0..40).collect());
}

#[test]
fn a_bad_byte_in_the_log_after_a_checkpoint_costs_only_what_comes_after_it() {
    let dir = checkpointed();
    let log = only_file(&dir.path().join("log"));
    let at = fs::read(&log).unwrap().windows(5).position(|bytes| bytes == b"key30").unwrap();
    flip(&log, at);
    let seen = inspect(dir.path(), None).unwrap();
    let fault = fault(&seen);
    assert!(fault.starts_with(log.to_str().unwrap()) && fault.contains("checksum mismatch"), "{fault}");
    let offset = seen.faults[0].offset.unwrap() as usize;
    assert!(offset < at && at - offset < 100, "{offset} is where the record of {at} begins");
    assert_eq!(saved(dir.path(), &seen), (0..30).collect());
}

#[test]
fn a_bad_byte_in_a_log_that_the_checkpoint_has_replaced_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    set(&engine, 0..20);
    let replaced = only_file(&dir.path().join("log"));
    let aside = dir.path().join("aside");
    fs::hard_link(&replaced, &aside).unwrap();
    engine.checkpoint().unwrap();
    set(&engine, 20..40);
    drop(engine);
    // As if the process had ended before the log was cut.
    fs::rename(aside, &replaced).unwrap();
    flip(&replaced, 300);
    let seen = inspect(dir.path(), None).unwrap();
    assert!(fault(&seen).contains("offset"), "{seen:?}");
    assert_eq!(saved(dir.path(), &seen), (0..40).collect());
}

/// The files of the store that hold rows.
fn tables(dir: &Path) -> Vec<PathBuf> {
    let all = files(&dir.join("rows")).into_keys();
    all.filter(|path| path.parent().is_some_and(|parent| parent.ends_with("tables"))).collect()
}

#[test]
fn a_bad_byte_of_the_rows_is_a_fault_in_them_or_changes_nothing() {
    let dir = checkpointed();
    let tables = tables(dir.path());
    assert!(!tables.is_empty());
    let mut noticed = 0;
    for path in &tables {
        let whole = fs::read(path).unwrap();
        for at in (0..whole.len()).step_by(whole.len().div_ceil(40)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(path, &bytes).unwrap();
            let seen = inspect(dir.path(), None).unwrap();
            if seen.faults.is_empty() {
                assert_eq!(saved(dir.path(), &seen), (0..40).collect(), "byte {at} of {}", path.display());
                continue;
            }
            noticed += 1;
            assert!(
                fault(&seen).starts_with(dir.path().join("rows").to_str().unwrap()),
                "byte {at}: {:?}",
                seen.faults
            );
            assert!(seen.saves().contains("nothing: the log holds only what has changed"), "{}", seen.saves());
            let to = tempfile::tempdir().unwrap();
            assert!(matches!(salvage(dir.path(), &seen, to.path(), options()), Err(CheckError::Lost(_))));
        }
        fs::write(path, &whole).unwrap();
    }
    assert!(noticed > 5, "most bytes count: {noticed}");
}

#[test]
fn rows_that_are_missing_are_a_fault() {
    let dir = checkpointed();
    fs::remove_dir_all(dir.path().join("rows")).unwrap();
    let seen = inspect(dir.path(), None).unwrap();
    assert!(fault(&seen).contains("the checkpoint of what came before is missing"));
}

#[test]
fn a_log_that_is_gone_leaves_the_rows() {
    let dir = checkpointed();
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    let seen = inspect(dir.path(), None).unwrap();
    assert!(fault(&seen).contains("is missing, but the log was durable up to position"));
    assert_eq!(saved(dir.path(), &seen), (0..20).collect());
}

#[test]
fn a_log_cut_after_a_clean_stop_is_a_fault_and_what_is_left_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    set(&engine, 0..20);
    engine.close().unwrap();
    let log = only_file(&dir.path().join("log"));
    let at = fs::read(&log).unwrap().windows(5).position(|bytes| bytes == b"key12").unwrap();
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(at as u64).unwrap();
    let seen = inspect(dir.path(), None).unwrap();
    assert!(fault(&seen).contains("the log was durable up to position"));
    assert_eq!(saved(dir.path(), &seen), (0..12).collect());
}

#[test]
fn a_bad_identity_is_a_fault_and_a_log_from_the_start_does_without() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    set(&engine, 0..5);
    engine.close().unwrap();
    flip(&Identity::path(dir.path()), 30);
    let seen = inspect(dir.path(), None).unwrap();
    assert!(fault(&seen).contains("identity") && fault(&seen).contains("checksum"));
    assert_eq!(saved(dir.path(), &seen), (0..5).collect());
    fs::remove_file(Identity::path(dir.path())).unwrap();
    let seen = inspect(dir.path(), None).unwrap();
    assert!(fault(&seen).contains("is missing"));
    assert_eq!(saved(dir.path(), &seen), (0..5).collect());
}

#[test]
fn a_directory_in_use_or_without_data_cannot_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(inspect(dir.path(), None), Err(CheckError::Nothing(_))));
    assert!(matches!(inspect(&dir.path().join("none"), None), Err(CheckError::Io { .. })));
    let _engine = open(dir.path());
    assert!(matches!(inspect(dir.path(), None), Err(CheckError::Log(wal::LogError::Locked { .. }))));
}

#[test]
fn nothing_is_saved_over_something() {
    let dir = checkpointed();
    let seen = inspect(dir.path(), None).unwrap();
    assert!(matches!(salvage(dir.path(), &seen, dir.path(), options()), Err(CheckError::NotEmpty(_))));
}
