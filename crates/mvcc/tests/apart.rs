//! Large values apart from their rows. And the tests of runs, of dead rows and of the model once more, with nearly all values apart.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]
#![allow(
    clippy::duplicate_mod,
    reason = "each file of tests is a program of its own elsewhere, and brings what it needs"
)]

mod common;
#[path = "dead.rs"]
mod dead;
#[path = "model.rs"]
mod model;
#[path = "run.rs"]
mod run;

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use envelope::testing::MemPlace;

use common::{Fixture, Lsm, image, noise, scan, t, tables, value, value_files};
use mvcc::{Error, MemStore, Retention, Source, Span, Store, Timestamp};

const KIB: usize = 1 << 10;

/// A store as servers have it, but for smaller files.
fn store() -> Lsm {
    Lsm::with(as_served)
}

fn as_served(options: &mut mvcc::Options) {
    (options.large_value_bytes, options.value_file_bytes) = (4 * KIB, 1 << 20);
}

fn key(n: u64) -> Vec<u8> {
    format!("key:{n:05}").into_bytes()
}

/// What round `round` writes under key `n`.
fn bytes(round: u64, n: u64, len: usize) -> Vec<u8> {
    noise(round * 1_000_003 + n, len)
}

/// A run of values of `len` bytes; `None` removes.
fn write(lsm: &Lsm, round: u64, keys: impl IntoIterator<Item = u64>, len: Option<usize>) {
    let mut run = lsm.lsm().begin_run(t(10 * round), Source::Direct).unwrap();
    for n in keys {
        match len {
            Some(len) => run.put(&key(n), None, &[&bytes(round, n, len)]).unwrap(),
            None => run.remove(&key(n)).unwrap(),
        }
    }
    run.finish().unwrap();
}

fn get(lsm: &Lsm, n: u64) -> Option<Vec<u8>> {
    value(lsm.store(), &key(n), Timestamp::LATEST)
}

fn names(dir: &Path) -> Vec<PathBuf> {
    value_files(dir).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn values_from_the_bound_on_stand_apart_and_compactions_leave_them_alone() {
    let mut lsm = store();
    let lens = [0, 100, 4 * KIB - 1, 4 * KIB, 4 * KIB + 1, 16 * KIB, 300 * KIB];
    let mut run = lsm.lsm().begin_run(t(10), Source::Direct).unwrap();
    for (n, len) in (0..).zip(lens) {
        let whole = bytes(1, n, len);
        let (head, rest) = whole.split_at(len / 3);
        run.put(&key(n), None, &[head, &[], rest]).unwrap();
    }
    run.finish().unwrap();
    let apart: usize = lens.iter().filter(|&&len| len >= 4 * KIB).sum();
    let stats = lsm.lsm().stats().unwrap();
    assert!((apart as u64..apart as u64 + 500).contains(&stats.value_bytes), "{stats:?}");
    assert!(stats.row_bytes < 20 * KIB as u64, "{stats:?}");
    let before = value_files(lsm.path());
    assert_eq!(before.iter().map(|(_, bytes)| bytes).sum::<u64>(), stats.value_bytes);
    let changed = || before.iter().map(|(path, _)| fs::metadata(path).unwrap().modified().unwrap()).collect::<Vec<_>>();
    let written = changed();
    for reopened in [false, true] {
        lsm.lsm().compact_all().unwrap();
        for (n, len) in (0..).zip(lens) {
            assert_eq!(get(&lsm, n).unwrap(), bytes(1, n, len), "{len} bytes, {reopened}");
        }
        assert_eq!((value_files(lsm.path()), changed()), (before.clone(), written.clone()));
        lsm.reopen();
    }
}

#[test]
fn the_disk_is_given_back_when_all_is_removed() {
    let lsm = store();
    write(&lsm, 1, 0..600, Some(16 * KIB));
    assert!(names(lsm.path()).len() >= 9);
    write(&lsm, 2, 0..600, None);
    // One clean is enough.
    let done = lsm.lsm().clean_values(&mut || true).unwrap();
    assert_eq!((done.moved, names(lsm.path()).len()), (0, 0), "{done:?}");
    lsm.lsm().compact_all().unwrap();
    assert!(tables(lsm.path()) < 20 * KIB as u64);
    assert_eq!(lsm.lsm().stats().unwrap().value_bytes, 0);
}

#[test]
fn a_file_of_which_half_is_dead_is_given_back_and_what_lives_is_moved() {
    let mut lsm = store();
    write(&lsm, 1, 0..60, Some(16 * KIB));
    let first = names(lsm.path());
    assert_eq!(first.len(), 1);
    write(&lsm, 2, (0..60).step_by(4), None);
    assert_eq!(lsm.clean().removed, 0, "three quarters are alive");
    let stale = lsm.lsm().stats().unwrap().value_stale_bytes;
    assert!((15 * 16 * KIB as u64..15 * 17 * KIB as u64).contains(&stale), "{stale} bytes are known to be dead");
    write(&lsm, 3, (1..60).step_by(4), None);
    let done = lsm.clean();
    assert_eq!((done.removed, done.moved), (1, 30 * 16 * KIB as u64));
    assert!(!first[0].exists());
    for reopened in [false, true] {
        for n in 0..60 {
            assert_eq!(get(&lsm, n), (n % 4 >= 2).then(|| bytes(1, n, 16 * KIB)), "{n} {reopened}");
        }
        assert_eq!(lsm.store().latest_commit(&key(2)).unwrap(), Some(t(10)), "moving is no commit");
        assert_eq!(lsm.store().last_commit(), t(30));
        lsm.reopen();
    }
}

#[test]
fn small_files_are_joined() {
    let lsm = store();
    for round in 1..=8 {
        assert_eq!(names(lsm.path()).len() as u64, round - 1);
        write(&lsm, round, [round], Some(5 * KIB));
        lsm.clean();
    }
    assert_eq!(names(lsm.path()).len(), 1);
    (1..=8).for_each(|n| assert_eq!(get(&lsm, n).unwrap(), bytes(n, n, 5 * KIB)));
}

#[test]
fn whoever_reads_has_the_values_of_its_moment_while_they_are_given_back() {
    let lsm = store();
    write(&lsm, 1, 0..200, Some(8 * KIB));
    let mut before = lsm.store().snapshot().unwrap();
    let mut read = 0;
    let flow = lsm.lsm().for_each(Span::ALL, t(10), |row_key, version| {
        if read == 0 {
            write(&lsm, 2, (0..200).step_by(2), None);
            write(&lsm, 3, (1..200).step_by(2), Some(8 * KIB));
            let done = lsm.clean();
            assert!(done.removed >= 2, "{done:?}");
        }
        assert_eq!((row_key, &version.value[..]), (&key(read)[..], &bytes(1, read, 8 * KIB)[..]));
        read += 1;
        ControlFlow::<()>::Continue(())
    });
    assert!(flow.unwrap().is_continue());
    assert_eq!(read, 200);
    let mut bytes_of_image = Vec::new();
    before.write_to(&mut bytes_of_image).unwrap();
    let model = MemStore::new(Retention::Newest);
    model.restore(&mut &bytes_of_image[..]).unwrap();
    (0..200).for_each(|n| assert_eq!(value(&model, &key(n), t(10)).unwrap(), bytes(1, n, 8 * KIB)));
    let live = lsm.lsm().stats().unwrap().value_bytes;
    let on_disk = || value_files(lsm.path()).iter().map(|(_, bytes)| bytes).sum::<u64>();
    assert!(on_disk() > live, "the image has files that are not in force");
    drop(before);
    assert_eq!(on_disk(), live, "the last reader has gone");
}

#[test]
fn an_image_needs_no_values_of_garbage() {
    let from = MemStore::new(Retention::Newest);
    let value = bytes(1, 1, 5 * KIB);
    for (n, expire_at) in [(1, None), (2, Some(t(25)))] {
        let put = mvcc::Mutation::Put { key: &key(n), value: &value, expire_at };
        common::commit(&from, 0, from.last_commit().0 + 10, &[put]).unwrap();
    }
    let lsm = Lsm::with(|options| {
        as_served(options);
        options.value_file_bytes = 4 * KIB as u64;
    });
    lsm.store().restore(&mut &image(&from)[..]).unwrap();
    assert!(!lsm.store().compact(t(30), 1).unwrap().done, "it has come to the first row");
    assert_eq!(lsm.clean().removed, 1, "the row is there still, its value is not");
    let restored = MemStore::new(Retention::Newest);
    restored.restore(&mut &image(lsm.store())[..]).unwrap();
    assert_eq!(scan(&restored, Span::ALL, Timestamp::LATEST), [key(1)]);
}

#[test]
fn look_ups_find_values_that_are_moved_meanwhile() {
    let lsm = store();
    write(&lsm, 1, 0..100, Some(4 * KIB));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0u64;
            while !is_done.load(Ordering::Relaxed) {
                let n = reads % 50;
                // These are never written again, only moved.
                assert_eq!(get(&lsm, 2 * n + 1).unwrap(), bytes(1, 2 * n + 1, 4 * KIB));
                reads += 1;
            }
            reads
        });
        let mut moved = 0;
        for round in 2..60 {
            write(&lsm, round, (0..100).step_by(2), Some(4 * KIB));
            moved += lsm.clean().moved;
        }
        is_done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0 && moved > 0);
    });
}

#[test]
fn a_run_that_is_dropped_leaves_no_file_of_values() {
    let mut lsm = store();
    let mut run = lsm.lsm().begin_run(t(10), Source::Direct).unwrap();
    (0..200).for_each(|n| run.put(&key(n), None, &[&bytes(1, n, 16 * KIB)]).unwrap());
    assert!(names(lsm.path()).len() >= 3, "nothing was written, so this shows nothing");
    drop(run);
    assert_eq!(names(lsm.path()).len(), 0);
    lsm.reopen();
    write(&lsm, 2, 0..2, Some(16 * KIB));
    assert_eq!(get(&lsm, 1).unwrap(), bytes(2, 1, 16 * KIB));
}

#[test]
fn what_a_crash_leaves_is_removed_by_the_next_open_and_what_is_not_ours_stays() {
    let mut lsm = store();
    write(&lsm, 1, 0..2, Some(16 * KIB));
    let dir = lsm.path().join("values");
    fs::write(dir.join("77"), b"ANAVALS1 of a run that did not come into force").unwrap();
    fs::write(dir.join("notes"), b"somebody's").unwrap();
    lsm.reopen();
    assert_eq!(names(lsm.path()), [dir.join("0"), dir.join("notes")]);
    write(&lsm, 2, 0..2, Some(16 * KIB));
    assert!(dir.join("78").exists(), "a number is not given twice");
}

#[test]
fn damage_is_an_error_and_never_another_value() {
    let mut lsm = store();
    write(&lsm, 1, 0..4, Some(16 * KIB));
    let file = names(lsm.path()).pop().unwrap();
    let whole = fs::read(&file).unwrap();
    let place = whole.windows(64).position(|part| *part == bytes(1, 2, 16 * KIB)[..64]).unwrap();
    let damage = |at: usize| {
        let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
        open.write_all_at(&[whole[at] ^ 1], at as u64).unwrap();
    };
    damage(place + 100);
    let got = lsm.store().get(&key(2), Timestamp::LATEST).unwrap_err();
    assert!(matches!(&got, Error::Corrupt { place, .. } if place.contains("values/0, offset")), "{got}");
    assert_eq!(get(&lsm, 1).unwrap(), bytes(1, 1, 16 * KIB), "the others can be read");
    // A file that cannot be moved as a whole stays.
    write(&lsm, 2, [0, 1, 3], None);
    assert!(matches!(lsm.lsm().clean_values(&mut || true), Err(Error::Corrupt { .. })));
    assert!(file.exists());
    // Nor if it does not say what is in it.
    fs::write(&file, &whole).unwrap();
    damage(9);
    assert!(matches!(lsm.lsm().clean_values(&mut || true), Err(Error::Corrupt { .. })));
    assert_eq!(get(&lsm, 2).unwrap(), bytes(1, 2, 16 * KIB), "reads do not need that");
    // Whole files.
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let refused = lsm.try_with(None).unwrap_err();
    assert!(refused.to_string().contains("not as long"), "{refused}");
    fs::remove_file(&file).unwrap();
    let refused = lsm.try_with(None).unwrap_err();
    assert!(refused.to_string().contains("missing"), "{refused}");
    fs::write(&file, &whole).unwrap();
    lsm.try_with(None).unwrap();
    assert_eq!(get(&lsm, 2).unwrap(), bytes(1, 2, 16 * KIB));
    lsm.clean();
    assert!(!file.exists());
}

#[test]
fn the_bound_may_change_between_two_opens() {
    let mut lsm = store();
    write(&lsm, 1, 0..8, Some(8 * KIB));
    lsm.reopen_apart(usize::MAX);
    write(&lsm, 2, 4..12, Some(8 * KIB));
    let all = |lsm: &Lsm| (0..12).all(|n| get(lsm, n).unwrap() == bytes(if n < 4 { 1 } else { 2 }, n, 8 * KIB));
    assert!(all(&lsm));
    assert!(lsm.lsm().stats().unwrap().row_bytes > 64 * KIB as u64);
    lsm.clean();
    assert!(all(&lsm));
    lsm.reopen_apart(KIB);
    assert!(all(&lsm));
    write(&lsm, 3, 0..12, Some(2 * KIB));
    lsm.lsm().compact_all().unwrap();
    assert!(lsm.lsm().stats().unwrap().row_bytes < 8 * KIB as u64);
    (0..12).for_each(|n| assert_eq!(get(&lsm, n).unwrap(), bytes(3, n, 2 * KIB)));
}

#[test]
fn a_restore_puts_large_values_apart_and_gives_back_those_of_before() {
    let mut lsm = store();
    write(&lsm, 1, 0..8, Some(8 * KIB));
    let image = image(lsm.store());
    write(&lsm, 2, 0..300, Some(8 * KIB));
    lsm.store().restore(&mut &image[..]).unwrap();
    let expected = 8 * (8 * KIB as u64);
    for reopened in [false, true] {
        assert_eq!(scan(lsm.store(), Span::ALL, Timestamp::LATEST).len(), 8);
        (0..8).for_each(|n| assert_eq!(get(&lsm, n).unwrap(), bytes(1, n, 8 * KIB), "{reopened}"));
        let on_disk = value_files(lsm.path()).iter().map(|(_, bytes)| bytes).sum::<u64>();
        assert!((expected..expected + 500).contains(&on_disk), "{on_disk}");
        lsm.reopen();
    }
    let cut = lsm.store().restore(&mut &image[..image.len() / 2]);
    assert!(cut.is_err());
    assert_eq!(names(lsm.path()).len(), 1, "what it wrote is gone");
    (0..8).for_each(|n| assert_eq!(get(&lsm, n).unwrap(), bytes(1, n, 8 * KIB)));
}

const SECRET: &[u8] = b"a large value that nobody may find on the disk";

fn is_found(dir: &Path) -> bool {
    value_files(dir).iter().any(|(path, _)| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(SECRET.len()).any(|part| part == SECRET)
    })
}

fn write_secrets(lsm: &Lsm, round: u64) {
    let mut run = lsm.lsm().begin_run(t(10 * round), Source::Direct).unwrap();
    (0..40).for_each(|n| run.put(&key(n), None, &[SECRET, &bytes(round, n, 8 * KIB)]).unwrap());
    run.finish().unwrap();
}

fn has_secrets(lsm: &Lsm, round: u64) -> bool {
    (0..40).all(|n| get(lsm, n).unwrap() == [SECRET, &bytes(round, n, 8 * KIB)].concat())
}

#[test]
fn values_apart_are_sealed_anew_with_all_others_and_old_keys_can_go() {
    let mut lsm = Lsm::with_keys(None, as_served);
    write_secrets(&lsm, 1);
    assert!(is_found(lsm.path()), "it was begun without keys");
    for round in 1..=2 {
        let keys = if round == 1 { MemPlace::new(1) } else { lsm.keys() };
        lsm.try_with(Some(keys)).unwrap();
        let done = lsm.lsm().reencrypt().unwrap();
        assert!(lsm.lsm().forget_keys(&done).unwrap());
        assert_eq!(lsm.cipher().data_keys().len(), 1);
        assert!(!is_found(lsm.path()) && has_secrets(&lsm, 1), "{round}");
        assert_eq!(lsm.store().latest_commit(&key(3)).unwrap(), Some(t(10)), "sealing is no commit");
    }
    lsm.reopen();
    assert!(has_secrets(&lsm, 1));
    // What is moved stays sealed as it is.
    write(&lsm, 2, 20..40, None);
    write(&lsm, 3, 40..42, Some(8 * KIB));
    assert!(lsm.clean().moved > 0);
    assert!((0..20).all(|n| get(&lsm, n).unwrap().starts_with(SECRET)) && !is_found(lsm.path()));
    assert!(matches!(lsm.try_with(None), Err(Error::KeysNeeded)));
}
