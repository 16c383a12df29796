//! What each verb does, and the limits.

mod common;

use blob::{BusyReason, Error, Mode, Options, PutOptions, Removal, Store};
use common::{Dice, World, get, keys, value};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

#[test]
fn values_of_all_sizes_read_back_from_ram_and_disk() {
    let world = World { disk_limit: 8 << 20, ..World::durable() };
    let store = world.open();
    let sizes = [0, 1, 7, 8, 4_096, 16_000, 65_535, 65_536, 65_537, 131_072, 300_000];
    for len in sizes {
        store.put(&(len as u64).to_le_bytes(), &value(len as u64, len)).unwrap();
    }
    let mut store = store;
    for reopened in [false, true] {
        if reopened {
            store.close().unwrap();
            drop(store);
            store = world.open();
        }
        for len in sizes {
            let key = (len as u64).to_le_bytes();
            assert_eq!(store.get(&key).unwrap().as_deref(), Some(&value(len as u64, len)[..]));
            let mut out = vec![9];
            assert!(store.read_into(&key, &mut out).unwrap());
            assert_eq!((out[0], out.len()), (9, len + 1));
            assert_eq!(store.view(&key, <[u8]>::len).unwrap(), Some(len));
        }
    }
}

#[test]
fn a_range_reads_and_verifies_only_its_pieces() {
    let world = World { disk_limit: 8 << 20, ..World::durable() };
    let store = world.open();
    let data = value(1, 400_000);
    store.put(b"k", &data).unwrap();
    store.close().unwrap();
    drop(store);
    let store = world.open();
    let mut dice = Dice(7);
    for _ in 0..200 {
        let start = dice.roll(420_000) as usize;
        let end = start + dice.roll(100_000) as usize;
        let guard = store.get_range(b"k", start..end).unwrap().unwrap();
        assert_eq!(&guard[..], &data[start.min(400_000)..end.min(400_000)]);
        assert_eq!(guard.value_len(), 400_000);
    }
    assert_eq!(store.stats().resident_records, 0, "the whole value was never read");
    #[expect(clippy::reversed_empty_ranges, reason = "a caller's mistake")]
    let empty = store.get_range(b"k", 10..5).unwrap().unwrap();
    assert!(empty.is_empty());
    assert!(store.get_range(b"none", 0..5).unwrap().is_none());
    // Damage in the third piece is no concern of readers of the first.
    let name = world.names()[0].clone();
    let bytes = world.disk.contents(&name).unwrap();
    let at = bytes.windows(16).position(|w| w == &data[150_000..150_016]).unwrap();
    world.disk.flip_bit(&name, at as u64 * 8);
    assert_eq!(&store.get_range(b"k", 0..65_536).unwrap().unwrap()[..], &data[..65_536]);
    assert!(matches!(store.get_range(b"k", 140_000..150_000), Err(Error::Corrupt { .. })));
}

#[test]
fn keys_that_share_a_hash_are_told_apart() {
    for mode in [Mode::Durable, Mode::Cache { fsync: false }] {
        let world = World::new(mode, 1);
        let mut options = world.options();
        options.hash = |_, key| u128::from(key[0]) << 120;
        let store = Store::open_on(Arc::new(world.disk.clone()), options).unwrap();
        store.put(b"a1", b"one").unwrap();
        assert_eq!(get(&store, b"a2"), None);
        assert!(!store.delete(b"a2").unwrap(), "another key's value is not deleted");
        assert_eq!(store.remove_if_version(b"a2", 1).unwrap(), Removal::Missing);
        if mode == Mode::Durable {
            assert!(matches!(store.put(b"a2", b"two"), Err(Error::HashCollision)));
            assert_eq!(get(&store, b"a1"), Some(b"one".to_vec()));
        } else {
            store.put(b"a2", b"two").unwrap();
            assert_eq!((get(&store, b"a1"), get(&store, b"a2")), (None, Some(b"two".to_vec())));
        }
    }
}

#[test]
fn bad_arguments_are_refused_and_change_nothing() {
    let world = World::durable();
    let store = world.open();
    assert!(matches!(store.put(b"", b"v"), Err(Error::EmptyKey)));
    assert!(matches!(store.get(b""), Err(Error::EmptyKey)));
    assert!(matches!(store.delete(b""), Err(Error::EmptyKey)));
    let long = vec![1; 65_536];
    assert!(matches!(store.put(&long, b"v"), Err(Error::KeyTooLong { .. })));
    store.put(&long[1..], b"v").unwrap();
    assert_eq!(keys(&store), [long[1..].to_vec()]);
    let large = vec![0; 3 << 20];
    assert!(matches!(store.put(b"k", &large), Err(Error::ValueTooLarge { .. })));
    assert!(matches!(store.alloc(b"k", large.len(), PutOptions::default()).err(), Some(Error::ValueTooLarge { .. })));
    assert!(Options::new(Mode::Durable, 1 << 30, 64 << 20).validate().is_ok());
    let options = Options { segment_bytes: 1 << 20, ..Options::new(Mode::Durable, 1 << 20, 64 << 20) };
    assert!(matches!(options.validate(), Err(Error::Options(_))));
    store.close().unwrap();
    assert!(matches!(store.put(b"k", b"v"), Err(Error::Closed)));
    assert!(matches!(store.get(b"k"), Err(Error::Closed)));
}

#[test]
fn the_largest_value_that_is_accepted_can_be_stored_and_read() {
    let world = World { disk_limit: 64 << 20, ..World::durable() };
    let store = world.open();
    let Err(Error::ValueTooLarge { max, .. }) = store.put(b"k", &vec![0; 8 << 20]) else { panic!("too large") };
    let data = value(1, max);
    store.put(b"k", &data).unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(get(&world.open(), b"k"), Some(data));
}

#[test]
fn a_value_expires_and_does_not_uncover_an_older_one() {
    let world = World { disk_limit: 160 * 1024, ..World::durable() };
    let store = world.open();
    store.put(b"k", b"old").unwrap();
    let options = PutOptions { expires_ms: Some(2_000), ..PutOptions::default() };
    store.put_with(b"k", b"new", options).unwrap();
    assert_eq!(store.get(b"k").unwrap().unwrap().expires_ms(), Some(2_000));
    world.clock.store(2_000, Ordering::Relaxed);
    assert_eq!((get(&store, b"k"), keys(&store)), (None, vec![]));
    for n in 0..200_u64 {
        store.put(format!("churn{}", n % 3).as_bytes(), &value(n, 3_000)).unwrap();
    }
    assert!(store.stats().segments_cleaned > 0);
    store.close().unwrap();
    drop(store);
    assert_eq!(get(&world.open(), b"k"), None);
}

#[test]
fn versions_grow_and_guard_removal() {
    let world = World::durable();
    let store = world.open();
    let first = store.put(b"k", b"1").unwrap();
    let second = store.put(b"k", b"2").unwrap();
    assert!(second > first);
    assert_eq!(store.remove_if_version(b"k", first).unwrap(), Removal::Changed(second));
    store.close().unwrap();
    drop(store);
    let store = world.open();
    assert_eq!(store.get(b"k").unwrap().unwrap().version(), second, "versions survive a restart");
    assert_eq!(store.remove_if_version(b"k", second).unwrap(), Removal::Removed);
    assert_eq!(store.remove_if_version(b"k", second).unwrap(), Removal::Missing);
    assert!(store.put(b"k", b"3").unwrap() > second);
}

#[test]
fn a_draft_is_filled_in_place_and_stored_on_commit() {
    let world = World { disk_limit: 8 << 20, ..World::durable() };
    let store = world.open();
    let data = value(3, 200_000);
    let mut draft = store.alloc(b"k", data.len(), PutOptions::default()).unwrap();
    draft.copy_from_slice(&data);
    assert_eq!(get(&store, b"k"), None);
    draft.commit().unwrap();
    drop(store.alloc(b"dropped", 100, PutOptions::default()).unwrap());
    assert_eq!((get(&store, b"k"), get(&store, b"dropped")), (Some(data), None));
}

#[test]
fn iteration_is_ordered_bounded_and_sees_what_is_only_in_ram() {
    let world = World::cache();
    let store = world.open();
    let mut expected = Vec::new();
    for n in 0..120_u64 {
        let key = format!("k{:03}", n * 7 % 120).into_bytes();
        store.put(&key, &value(n, 300)).unwrap();
        expected.push(key);
    }
    expected.sort();
    assert_eq!(keys(&store), expected);
    let range = store.range(Included(b"k010"), Excluded(b"k020")).unwrap();
    assert_eq!(range.map(|e| e.unwrap().key).collect::<Vec<_>>(), expected[10..20]);
    store.close().unwrap();
    drop(store);
    let store = world.open();
    let range = store.range(Excluded(b"k010"), Included(b"k020")).unwrap();
    assert_eq!(range.map(|e| e.unwrap().key).collect::<Vec<_>>(), expected[11..21]);
    assert_eq!(store.prefix(b"k11").unwrap().count(), 10);
    assert_eq!(store.prefix(&[0xFF, 0xFF]).unwrap().count(), 0);
    assert_eq!(store.range(Excluded(b"k119"), Unbounded).unwrap().count(), 0);
}

#[test]
fn concurrent_loads_of_one_key_share_one() {
    let world = World::cache();
    let store = world.open();
    let (loads, barrier) = (Arc::new(AtomicU64::new(0)), Arc::new(Barrier::new(8)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (store, loads, barrier) = (store.clone(), Arc::clone(&loads), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                let load = || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, Error>(value(5, 1_000))
                };
                assert_eq!(&store.get_or_load(b"k", PutOptions::default(), load).unwrap()[..], &value(5, 1_000)[..]);
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[test]
fn a_load_that_panics_or_fails_leaves_the_next_one_free() {
    let world = World::cache();
    let store = world.open();
    let other = store.clone();
    let panicked = std::thread::spawn(move || {
        let _ = other.get_or_load(b"k", PutOptions::default(), || -> Result<Vec<u8>, Error> { panic!("the origin") });
    });
    assert!(panicked.join().is_err());
    let failed = store.get_or_load(b"k", PutOptions::default(), || Err::<Vec<u8>, _>(Error::Closed));
    assert!(matches!(failed, Err(Error::Closed)));
    let loaded = store.get_or_load(b"k", PutOptions::default(), || Ok::<_, Error>(b"v".to_vec())).unwrap();
    assert_eq!(&loaded[..], b"v");
}

#[test]
fn try_put_says_busy_instead_of_waiting() {
    let max_wait = std::time::Duration::from_millis(20);
    let world = World { ram_limit: 600 * 1024, disk_limit: 2 << 20, max_wait, ..World::cache() };
    let store = world.open();
    let options = PutOptions::default();
    for n in 0..10_u64 {
        store.put(&n.to_le_bytes(), &value(n, 60_000)).unwrap();
    }
    store.drain().unwrap();
    let mut guards = Vec::new();
    for n in 0..10_u64 {
        match store.get(&n.to_le_bytes()) {
            Ok(guard) => guards.push(guard),
            Err(error) => assert!(matches!(error, Error::Busy(BusyReason::Ram)), "{error}"),
        }
    }
    let full = store.try_put(b"k", &value(1, 60_000), options);
    assert!(matches!(full, Err(Error::Busy(BusyReason::Ram))), "{full:?}");
    assert!(store.stats().ram_bytes <= 600 * 1024);
    guards.clear();
    store.try_put(b"k", &value(1, 60_000), options).unwrap();
    let mut busy = false;
    for n in 0..400_u64 {
        store.drain().unwrap();
        match store.try_put(&n.to_le_bytes(), &value(n, 9_000), options) {
            Err(Error::Busy(BusyReason::Disk)) => busy = true,
            other => drop(other.unwrap()),
        }
    }
    assert!(busy, "without a worker nobody made room");
}

#[test]
fn a_full_durable_store_says_so_and_takes_writes_after_deletes() {
    let world = World { disk_limit: 200 * 1024, ..World::durable() };
    let store = world.open();
    let mut stored = Vec::new();
    let error = loop {
        let n = stored.len() as u64;
        match store.put(&n.to_le_bytes(), &value(n, 3_000)) {
            Ok(_) => stored.push(n),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(stored.len() > 35, "{} records of 3 kB in 200 kB", stored.len());
    assert!(stored.iter().all(|&n| get(&store, &n.to_le_bytes()) == Some(value(n, 3_000))));
    for n in stored.iter().step_by(2) {
        assert!(store.delete(&n.to_le_bytes()).unwrap());
    }
    for n in 0..10_u64 {
        store.put(format!("new{n}").as_bytes(), &value(n, 3_000)).unwrap();
    }
    assert!(world.disk.max_bytes() <= world.disk_limit);
    store.validate().unwrap();
}

#[test]
fn a_cache_keeps_what_is_read_and_stays_within_its_limits() {
    let world = World { ram_limit: 800 * 1024, ..World::cache() };
    let store = world.open();
    for n in 0..20_u64 {
        store.put(format!("hot{n}").as_bytes(), &value(n, 2_000)).unwrap();
    }
    for n in 0..2_000_u64 {
        store.put(format!("cold{n}").as_bytes(), &value(n, 3_000)).unwrap();
        get(&store, format!("hot{}", n % 20).as_bytes());
        let stats = store.stats();
        assert!(stats.disk_bytes <= world.disk_limit && stats.ram_bytes <= world.ram_limit);
        assert!(world.disk.bytes().0 <= stats.disk_bytes, "the files have more bytes than are counted");
    }
    assert!(world.disk.max_bytes() <= world.disk_limit);
    assert!(store.stats().ram_bytes_peak <= world.ram_limit);
    let kept = (0..20).filter(|n| get(&store, format!("hot{n}").as_bytes()).is_some()).count();
    assert_eq!(kept, 20, "SIEVE keeps what is read");
    store.validate().unwrap();
}

#[test]
fn a_cache_is_warm_after_the_process_and_cold_after_the_power() {
    use blob::disk::Crash;
    for (crash, cold) in [(Crash::Process, false), (Crash::Power, true)] {
        let world = World::cache();
        let store = world.open();
        store.put(b"k", &value(1, 3_000)).unwrap();
        store.put(b"k", &value(2, 3_000)).unwrap();
        world.disk.crash_after(0);
        drop(store);
        world.disk.reboot(crash);
        let store = world.open();
        assert_eq!((store.open_report().cold, get(&store, b"k")), (cold, (!cold).then(|| value(2, 3_000))));
    }
    let world = World::cache();
    let store = world.open();
    store.put(b"k", &value(1, 3_000)).unwrap();
    store.close().unwrap();
    drop(store);
    world.disk.reboot(Crash::Power);
    assert_eq!(get(&world.open(), b"k"), Some(value(1, 3_000)), "closed before the power went: warm");
}

#[test]
fn a_cache_opened_with_a_smaller_limit_drops_its_oldest_segments() {
    let world = World::cache();
    let store = world.open();
    for n in 0..100_u64 {
        store.put(&n.to_le_bytes(), &value(n, 3_000)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let small = World { disk_limit: 160 * 1024, ..world.clone() };
    let store = small.open();
    assert!(store.open_report().dropped > 0 && world.disk.bytes().0 <= 160 * 1024);
    assert_eq!(get(&store, &99_u64.to_le_bytes()), Some(value(99, 3_000)));
    assert_eq!(get(&store, &0_u64.to_le_bytes()), None);
}

#[test]
fn a_real_directory_works_too() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 20, ..Options::new(Mode::Durable, 64 << 20, 16 << 20) };
    let store = Store::open(dir.path(), options.clone()).unwrap();
    store.start();
    for n in 0..60_u64 {
        store.put(&n.to_le_bytes(), &value(n, 100_000)).unwrap();
    }
    assert!(matches!(Store::open(dir.path(), options.clone()).err(), Some(Error::Locked)));
    store.close().unwrap();
    drop(store);
    let report = blob::check(dir.path()).unwrap();
    assert_eq!((report.records, report.problems.len(), report.unsealed), (60, 0, 0));
    let store = Store::open(dir.path(), options).unwrap();
    assert_eq!(store.open_report().scanned, 0);
    assert!((0..60_u64).all(|n| get(&store, &n.to_le_bytes()) == Some(value(n, 100_000))));
}

#[test]
fn a_full_cache_gives_up_its_oldest_segments_but_for_what_was_read() {
    let world = World { policy: blob::PolicyKind::Clock, ..World::cache() };
    let store = world.open();
    let value = vec![7; 1_000];
    let key = |n: u32| n.to_be_bytes();
    store.put(&key(0), &value).unwrap();
    for n in 1..3_000 {
        store.put(&key(n), &value).unwrap();
        assert!(store.get(&key(0)).unwrap().is_some(), "read after every put, and gone after {n}");
    }
    store.validate().unwrap();
    let stats = store.stats();
    assert!(stats.evictions > 2_000, "{stats:?}");
    assert!(stats.disk_bytes_written < stats.user_bytes * 3 / 2, "{stats:?}");
    let kept: Vec<u32> = (1..3_000).filter(|&n| store.may_contain(&key(n))).collect();
    let oldest = kept[0];
    assert_eq!(kept, (oldest..3_000).collect::<Vec<_>>(), "what was never read goes in its order");
}

#[test]
fn a_segment_has_room_for_the_gap_before_a_large_record() {
    let (mut together, mut apart) = (0, 0);
    for len in (132_000..142_000).step_by(40) {
        let world = World { segment_bytes: 140 * 1024, disk_limit: 2 << 20, ..World::durable() };
        let store = world.open();
        store.put(b"small", &value(1, 100)).unwrap();
        store.put(b"large", &value(2, len)).unwrap();
        store.close().unwrap();
        drop(store);
        let names = world.names();
        if names.len() == 1 {
            together += 1;
            let bytes = world.disk.contents(&names[0]).unwrap().len() as u64;
            assert!(bytes <= world.segment_bytes, "{bytes} bytes in a segment, with a value of {len}");
        } else {
            apart += 1;
        }
        let store = world.open();
        assert_eq!((get(&store, b"small"), get(&store, b"large")), (Some(value(1, 100)), Some(value(2, len))));
    }
    assert!(together > 0 && apart > 0, "{together} together, {apart} apart");
}
