//! Files of segments that went are written again: the limit holds at every I/O, nothing of the old segment is ever read
//! as the new one's, and nobody who still reads a file finds it changed.
//!
//! `BLOB_CRASH_SEEDS=n` runs n seeds instead of the few of a normal run.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod common;

use blob::disk::{Crash, Disk, Fault};
use blob::{Mode, PolicyKind, Store, check_on};
use common::{Dice, World, get, keys, value};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Bound::Unbounded;

/// A full cache in which small values, values with a segment of their own and, if asked for, values on blocks come and go.
struct Churn {
    world: World,
    dice: Dice,
    large: bool,
    /// The newest acknowledged value of each key; `None` for a deleted one.
    model: BTreeMap<u8, Option<(u64, usize)>>,
    /// What was not acknowledged.
    under_way: Option<(u8, Option<(u64, usize)>)>,
    tag: u64,
}

impl Churn {
    fn new(seed: u64, large: bool) -> Self {
        let mut world = World::cache();
        world.disk = blob::disk::FakeDisk::new(seed);
        world.policy = PolicyKind::ALL[(seed % 4) as usize];
        world.disk_limit = 200 * 1024;
        if large {
            (world.disk_limit, world.segment_bytes) = (3_200 * 1024, 320 * 1024);
        }
        Self { world, dice: Dice(seed), large, model: BTreeMap::new(), under_way: None, tag: 0 }
    }

    fn len(&mut self) -> usize {
        match (self.dice.roll(12), self.large) {
            (0..=3, true) => 130_000 + self.dice.roll(9_000) as usize,
            (0, false) => 18_000 + self.dice.roll(20_000) as usize,
            _ => 500 + self.dice.roll(3_000) as usize,
        }
    }

    /// One change; whether it was acknowledged.
    fn step(&mut self, store: &Store) -> blob::Result<()> {
        self.tag += 1;
        let key = self.dice.roll(60) as u8;
        let new = if self.dice.roll(8) == 0 { None } else { Some((self.tag, self.len())) };
        self.under_way = Some((key, new));
        match new {
            Some((tag, len)) => store.put(&[key], &value(tag, len)).map(drop)?,
            None => store.delete(&[key]).map(drop)?,
        }
        self.model.insert(key, new);
        self.under_way = None;
        Ok(())
    }

    fn check(&self, store: &Store) {
        for key in 0..60 {
            let found = get(store, &[key]);
            let newest = self.model.get(&key).copied().flatten();
            let new = self.under_way.filter(|(other, _)| *other == key).and_then(|(_, new)| new);
            let may = [newest, new].into_iter().flatten().any(|(tag, len)| found.as_ref() == Some(&value(tag, len)));
            assert!(found.is_none() || may, "{key}: {:?} is not the newest", found.map(|found| found.len()));
        }
        assert!(keys(store).iter().all(|key| get(store, key).is_some()), "iteration and look-ups disagree");
        assert_eq!(store.stats().corrupt_records, 0);
        store.validate().unwrap();
        assert!(self.world.disk.max_bytes() <= self.world.disk_limit, "the limit held at every I/O");
    }

    fn spares(&self) -> usize {
        self.world.disk.list().unwrap().iter().filter(|name| name.ends_with(".free")).count()
    }
}

/// The file that could not be written.
fn file_of(error: &blob::Error) -> Option<String> {
    let blob::Error::Io { action, .. } = error else { return None };
    action.strip_prefix("writing ").filter(|name| name.ends_with(".seg")).map(Into::into)
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    0..std::env::var("BLOB_CRASH_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn a_full_cache_writes_the_files_of_segments_that_went_again_within_its_limit() {
    for (seed, large) in seeds(8).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut churn = Churn::new(seed, large);
        let store = churn.world.open();
        let mut most = 0;
        for _ in 0..400 {
            churn.step(&store).unwrap();
            most = most.max(churn.spares());
            let (there, taken) = (churn.world.disk.bytes().0, store.stats().disk_bytes);
            assert!(there <= taken, "seed {seed}: files of {there} bytes, {taken} of the limit are taken");
        }
        let stats = store.stats();
        assert!(stats.files_reused > 10, "seed {seed}: {} of {}", stats.files_reused, stats.segments_cleaned);
        assert!((1..=2).contains(&most), "seed {seed}: {most} files waited at once");
        churn.check(&store);
        store.close().unwrap();
        drop(store);
        assert_eq!(churn.spares(), 0, "a closed store keeps no spare files");
        let report = check_on(&churn.world.disk).unwrap();
        assert!(report.problems.is_empty() && report.unsealed == 0, "seed {seed}: {report:?}");
        let store = churn.world.open();
        assert_eq!(store.open_report().scanned, 0);
        churn.check(&store);
    }
}

#[test]
fn killed_at_any_io_nothing_of_a_files_former_segment_is_found_or_taken_for_damage() {
    let (mut kills, mut begun, mut waiting) = (0, 0, 0);
    for (seed, large) in seeds(1).flat_map(|seed| [(seed, false), (seed, true)]) {
        for at in 0.. {
            let mut churn = Churn::new(seed, large);
            let store = churn.world.open();
            // Full, so that every file is another's from here on.
            (0..150).for_each(|_| churn.step(&store).unwrap());
            churn.world.disk.crash_after(at);
            let died = (0..60).any(|_| churn.step(&store).is_err());
            if !died {
                break;
            }
            let reused = store.stats().files_reused;
            drop(store);
            churn.world.disk.reboot(Crash::Process);
            (kills, begun, waiting) = (kills + 1, begun.max(reused), waiting + u64::from(churn.spares() > 0));
            let store = churn.world.open();
            let report = store.open_report();
            assert_eq!(report.skipped_bytes, 0, "seed {seed}, I/O {at}: {report:?}");
            assert_eq!(churn.spares(), 0, "opening removes what waited");
            churn.check(&store);
            let report = check_on(&churn.world.disk.fork(1)).unwrap();
            assert!(report.problems.is_empty(), "seed {seed}, I/O {at}: {report:?}");
        }
    }
    println!("{kills} kills, {waiting} while spare files waited; up to {begun} files had been written again");
    assert!(kills > 100 && begun > 20 && waiting > 30, "{kills}, {begun}, {waiting}");
}

#[test]
fn a_file_that_somebody_iterates_over_does_not_become_anothers() {
    let mut churn = Churn::new(1, false);
    let store = churn.world.open();
    (0..100).for_each(|_| churn.step(&store).unwrap());
    store.close().unwrap();
    drop(store);
    let store = churn.world.open();
    let before = keys(&store);
    let mut range = store.range(Unbounded, Unbounded).unwrap();
    let first = range.next().unwrap().unwrap().key;
    let cleaned = store.stats().segments_cleaned;
    let mut names = churn.world.names();
    let mut inodes = 0;
    for _ in 0..200 {
        // What is held counts until it is let go, so there may be no room for more.
        if churn.step(&store).is_err() {
            break;
        }
        let now = churn.world.names();
        inodes += usize::from(now != names);
        names = now;
    }
    assert!(store.stats().segments_cleaned > cleaned && inodes > 0, "segments went meanwhile");
    let rest: Vec<_> = range.map(|entry| entry.expect("its pages are as they were").key).collect();
    assert!(rest.iter().all(|key| before.contains(key) && *key != first));
    churn.check(&store);
}

#[test]
fn a_failure_at_any_io_of_reuse_is_told_and_resumed_from_within_the_limit() {
    let (mut failures, mut reused) = (0, 0);
    for seed in seeds(2) {
        for at in 0.. {
            let mut churn = Churn::new(seed, false);
            let store = churn.world.open();
            (0..80).for_each(|_| churn.step(&store).unwrap());
            churn.world.disk.inject(at, Fault::Fail(ErrorKind::Other));
            let (mut failed, mut bad_file) = (false, None);
            for _ in 0..60 {
                let step = churn.step(&store);
                let there = churn.world.disk.bytes().0;
                assert!(there <= store.stats().disk_bytes, "seed {seed}, I/O {at}: files of {there} bytes");
                let waiting = churn.world.disk.list().unwrap();
                assert!(
                    !bad_file.as_ref().is_some_and(|bad| waiting.contains(bad)),
                    "it failed, and waits to be written"
                );
                if let Err(error) = step {
                    failed = true;
                    bad_file = file_of(&error).map(|name| name.replace(".seg", ".free"));
                    // It stays what reads find, and is written when the store resumes.
                    while store.is_degraded() {
                        store.resume().unwrap();
                    }
                    let (key, new) = churn.under_way.take().unwrap();
                    let found = get(&store, &[key]);
                    let is = |kept: Option<(u64, usize)>| found == kept.map(|(tag, len)| value(tag, len));
                    if is(new) {
                        churn.model.insert(key, new);
                    }
                }
            }
            if !failed {
                break;
            }
            failures += 1;
            reused += store.stats().files_reused;
            churn.check(&store);
            store.close().unwrap();
            drop(store);
            assert_eq!(churn.spares(), 0);
            let report = check_on(&churn.world.disk).unwrap();
            assert!(report.problems.is_empty(), "seed {seed}, I/O {at}: {report:?}");
            churn.check(&churn.world.open());
        }
    }
    assert!(failures > 100 && reused > 1_000, "{failures}, {reused}");
}

#[test]
fn where_files_are_synced_none_is_written_again() {
    for mode in [Mode::Durable, Mode::Cache { fsync: true }] {
        let world = World { disk_limit: 128 * 1024, ..World::new(mode, 5) };
        let store = world.open();
        for n in 0..300_u64 {
            store.put(&[n as u8 % 10], &value(n, 2_000)).unwrap();
        }
        let stats = store.stats();
        assert!(stats.segments_cleaned > 10 && stats.files_reused == 0, "{stats:?}");
    }
}
