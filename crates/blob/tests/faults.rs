//! Disks that fail: what the caller is told, what is kept, and the way back.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use blob::disk::{Crash, Disk, Fault};
use blob::{Class, Error, Health, Mode, check_on};
use common::{World, get, keys, value};
use std::io::ErrorKind;

#[test]
fn short_writes_and_interruptions_are_gone_through() {
    let world = World::durable();
    let store = world.open();
    store.put(b"a", b"v").unwrap();
    for n in 0..20 {
        world.disk.inject(0, if n % 2 == 0 { Fault::Short(n) } else { Fault::Fail(ErrorKind::Interrupted) });
        if n == 0 {
            world.disk.inject(0, Fault::Short(0));
            continue;
        }
        store.put(format!("k{n}").as_bytes(), &value(n as u64, 500)).unwrap();
    }
    drop(store);
    let store = world.open();
    assert!((1..20).all(|n| get(&store, format!("k{n}").as_bytes()) == Some(value(n, 500))));
}

#[test]
fn after_a_failed_sync_the_file_is_left_alone_and_resuming_keeps_everything() {
    for seed in 1..30 {
        let world = World::new(Mode::Durable, seed);
        let store = world.open();
        store.put(b"a", &value(1, 700)).unwrap();
        store.put(b"b", &value(2, 700)).unwrap();
        world.disk.inject(1, Fault::Fail(ErrorKind::Other));
        let error = store.put(b"c", &value(3, 700)).unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert!(matches!(store.health(), Health::Degraded(_)));
        assert_eq!(get(&store, b"c"), Some(value(3, 700)), "reads go on, also of what is only in RAM");
        store.resume().unwrap();
        assert!(matches!(store.health(), Health::Healthy));
        store.put(b"d", &value(4, 700)).unwrap();
        world.disk.crash_after(0);
        drop(store);
        world.disk.reboot(Crash::Power);
        let store = world.open();
        for (tag, key) in [b"a", b"b", b"c", b"d"].into_iter().enumerate() {
            assert_eq!(get(&store, key), Some(value(tag as u64 + 1, 700)), "seed {seed}, key {key:?}");
        }
    }
}

#[test]
fn a_full_file_system_is_an_error_until_there_is_space() {
    for mode in [Mode::Durable, Mode::Cache { fsync: false }] {
        let world = World::new(mode, 3);
        let store = world.open();
        store.put(b"a", &value(1, 3_000)).unwrap();
        store.drain().unwrap();
        world.disk.set_capacity(Some(world.disk.bytes().0 + 5_000));
        let mut refused = None;
        for n in 0..40_u64 {
            if let Err(error) = store.put(&n.to_le_bytes(), &value(n, 2_000)) {
                refused = Some(error);
                break;
            }
        }
        assert!(matches!(refused, Some(Error::Io { .. })), "{refused:?}");
        assert!(matches!(store.resume(), Err(Error::Io { .. })), "there still is no space");
        assert!(store.is_degraded());
        world.disk.set_capacity(None);
        store.resume().unwrap();
        store.put(b"z", &value(9, 3_000)).unwrap();
        assert_eq!((get(&store, b"a"), get(&store, b"z")), (Some(value(1, 3_000)), Some(value(9, 3_000))));
        store.validate().unwrap();
        store.close().unwrap();
        drop(store);
        let store = world.open();
        assert_eq!((get(&store, b"a"), get(&store, b"z")), (Some(value(1, 3_000)), Some(value(9, 3_000))));
    }
}

/// Finds a byte of the stored value in a segment and flips it.
fn rot(world: &World, tag: u64, len: usize) {
    let needle = value(tag, len);
    for name in world.names() {
        let bytes = world.disk.contents(&name).unwrap();
        if let Some(at) = bytes.windows(16).position(|window| window == &needle[len / 2..len / 2 + 16]) {
            world.disk.flip_bit(&name, at as u64 * 8 + 3);
            return;
        }
    }
    panic!("the value is not on disk");
}

#[test]
fn rot_is_an_error_in_a_durable_store_and_a_miss_in_a_cache() {
    for mode in [Mode::Durable, Mode::Cache { fsync: true }] {
        let world = World::new(mode, 5);
        let store = world.open();
        store.put(b"k", &value(1, 2_000)).unwrap();
        store.put(b"other", &value(2, 2_000)).unwrap();
        store.close().unwrap();
        drop(store);
        rot(&world, 1, 2_000);
        let store = world.open();
        let got = store.get(b"k");
        if mode == Mode::Durable {
            assert!(matches!(&got, Err(error) if error.class() == Class::Corrupt), "{got:?}");
            assert!(matches!(store.get(b"k"), Err(Error::Corrupt { .. })), "and it stays one");
        } else {
            assert!(matches!(got, Ok(None)), "{got:?}");
            assert_eq!(keys(&store), [b"other".to_vec()]);
        }
        assert_eq!(store.stats().corrupt_records, 1);
        assert_eq!(get(&store, b"other"), Some(value(2, 2_000)));
        store.put(b"k", &value(3, 2_000)).unwrap();
        assert_eq!(get(&store, b"k"), Some(value(3, 2_000)), "a new value heals the key");
        store.validate().unwrap();
    }
}

#[test]
fn scrubbing_and_checking_find_rot_before_a_reader_does() {
    let world = World::durable();
    let store = world.open();
    for n in 0..50_u64 {
        store.put(format!("k{n}").as_bytes(), &value(n, 1_000)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let sound = check_on(&world.disk).unwrap();
    assert_eq!((sound.records, sound.problems.len(), sound.unsealed), (50, 0, 0), "{sound:?}");
    rot(&world, 17, 1_000);
    let found = check_on(&world.disk).unwrap();
    assert_eq!((found.records, found.problems.len()), (49, 1), "{found:?}");
    let store = world.open();
    assert!(matches!(check_on(&world.disk), Err(Error::Locked)));
    let mut corrupt = Vec::new();
    let mut steps = 0;
    loop {
        let report = store.scrub(5_000).unwrap();
        corrupt.extend(report.corrupt);
        steps += 1;
        if report.complete {
            break;
        }
    }
    assert_eq!(corrupt, [b"k17".to_vec()]);
    assert!(steps > 5, "it goes on where it stopped");
    assert!(store.get(b"k17").is_err());
}

#[test]
fn a_rotten_footer_is_replaced_by_the_records() {
    for bit in [0_u64, 8 * 30, 8 * 200] {
        let world = World::durable();
        let store = world.open();
        for n in 0..8_u64 {
            store.put(format!("k{n}").as_bytes(), &value(n, 1_000)).unwrap();
        }
        store.close().unwrap();
        drop(store);
        let name = world.names()[0].clone();
        let len = world.disk.contents(&name).unwrap().len() as u64;
        world.disk.flip_bit(&name, len * 8 - 1 - bit);
        let store = world.open();
        assert_eq!(keys(&store).len(), 8, "bit {bit}");
        assert!((0..8).all(|n| get(&store, format!("k{n}").as_bytes()) == Some(value(n, 1_000))));
    }
}

#[test]
fn rot_in_an_unsealed_segment_does_not_hide_what_is_behind_it() {
    let world = World::durable();
    let store = world.open();
    for n in 0..8_u64 {
        store.put(format!("k{n}").as_bytes(), &value(n, 1_000)).unwrap();
    }
    world.disk.crash_after(0);
    drop(store);
    world.disk.reboot(Crash::Process);
    rot(&world, 3, 1_000);
    let store = world.open();
    assert!(store.open_report().skipped_bytes > 1_000);
    for n in (0..8).filter(|&n| n != 3) {
        assert_eq!(get(&store, format!("k{n}").as_bytes()), Some(value(n, 1_000)));
    }
}

#[test]
fn a_damaged_record_is_never_thrown_away_by_the_cleaner() {
    let world = World { disk_limit: 160 * 1024, ..World::durable() };
    let store = world.open();
    store.put(b"precious", &value(1, 2_000)).unwrap();
    store.close().unwrap();
    drop(store);
    rot(&world, 1, 2_000);
    let store = world.open();
    for n in 0..200_u64 {
        store.put(b"churn", &value(n, 3_000)).unwrap();
    }
    assert!(store.stats().segments_cleaned > 0);
    assert!(matches!(store.get(b"precious"), Err(Error::Corrupt { .. })));
}

#[test]
fn what_is_not_a_store_is_refused() {
    let world = World::durable();
    world.disk.create("0000000001.seg").unwrap();
    assert!(matches!(world.try_open(), Err(Error::NotThisStore(_))));
    let world = World::durable();
    drop(world.open());
    assert!(matches!(
        World { mode: Mode::Cache { fsync: true }, ..world.clone() }.try_open(),
        Err(Error::NotThisStore(_))
    ));
    let store = world.open();
    assert!(matches!(world.try_open(), Err(Error::Locked)));
    drop(store);
    world.disk.flip_bit("STORE", 100);
    assert!(matches!(world.try_open(), Err(Error::NotThisStore(_))));
}

#[test]
fn errors_while_opening_are_returned() {
    for op in 0..5 {
        let world = World::durable();
        world.disk.inject(op, Fault::Fail(ErrorKind::PermissionDenied));
        assert!(world.try_open().is_err(), "operation {op}");
        assert!(world.try_open().is_ok(), "and leave nothing behind that is in the way");
    }
}

#[test]
fn gaps_before_large_records_are_no_damage_until_something_is_in_them() {
    for rotten in [false, true] {
        let world = World { disk_limit: 16 << 20, segment_bytes: 2 << 20, ..World::durable() };
        let store = world.open();
        for n in 0..6_u64 {
            store.put(format!("small{n}").as_bytes(), &value(n, 700)).unwrap();
            store.put(format!("large{n}").as_bytes(), &value(n, 131_072 + 500 * n as usize)).unwrap();
        }
        world.disk.crash_after(0);
        drop(store);
        world.disk.reboot(Crash::Power);
        let names = world.names();
        assert_eq!(names.len(), 1, "one segment, which nobody has sealed");
        if rotten {
            // Segment header, the first small record, then the gap up to the first block.
            world.disk.flip_bit(&names[0], 2_000 * 8);
        }
        let report = check_on(&world.disk).unwrap();
        assert_eq!(
            (report.records, report.unsealed, report.problems.len()),
            (12, 1, usize::from(rotten)),
            "{report:?}"
        );
        let store = world.open();
        let opened = store.open_report();
        assert_eq!((opened.scanned, opened.entries), (1, 12));
        assert_eq!(opened.skipped_bytes > 0, rotten, "{opened:?}");
        for n in 0..6 {
            assert_eq!(get(&store, format!("small{n}").as_bytes()), Some(value(n, 700)));
            assert_eq!(get(&store, format!("large{n}").as_bytes()), Some(value(n, 131_072 + 500 * n as usize)));
        }
        store.close().unwrap();
        drop(store);
        let report = check_on(&world.disk).unwrap();
        assert_eq!((report.records, report.unsealed, report.problems.len()), (12, 0, 0), "{report:?}");
    }
}
