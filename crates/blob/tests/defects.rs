//! One test for each defect known of the design that this store succeeds (D1 to D18 of its analysis), each with
//! the change of our code that puts the defect in and makes the test fail.

mod common;

use blob::budget::Budget;
use blob::disk::{Crash, Disk, Fault};
use blob::index::{Index, Loc, State};
use blob::{Error, KeyHash, Mode, PolicyKind};
use common::{Dice, World, get, keys, value};
use std::io::ErrorKind;
use std::sync::Arc;

fn hash(n: u64) -> KeyHash {
    KeyHash { hi: n.wrapping_mul(0x9E37_79B9_7F4A_7C15), lo: n }
}

/// A writer that met a rotation took an existing older version for its own and dropped its value.
///
/// Put in: `submit` returns success when it is blocked and the index has the key.
#[test]
fn d01_a_put_that_meets_a_rotation_is_not_dropped() {
    let world = World::cache();
    let store = world.open();
    for n in 0..400_u64 {
        let tag = value(n, 6_000);
        store.put(b"same", &tag).unwrap();
        assert_eq!(get(&store, b"same"), Some(tag), "put {n}");
    }
    assert!(store.stats().segments_cleaned > 0, "some puts had to wait for room");
}

/// A bloom filter was rebuilt from the index while unflushed keys were in neither.
///
/// Put in: `Table::remove` empties its slot without shifting back what follows.
#[test]
fn d02_no_key_is_forgotten_while_others_come_and_go() {
    let world = World { ram_limit: 16 << 20, disk_limit: 8 << 20, segment_bytes: 1 << 20, ..World::cache() };
    let store = world.open();
    for n in 0..4_000_u64 {
        store.put(format!("k{n}").as_bytes(), &value(n, 20)).unwrap();
        if n % 3 == 0 {
            assert!(store.delete(format!("k{}", n / 2).as_bytes()).is_ok());
        }
    }
    let gone = |n: u64| n < 2_000 && (0..4_000).any(|m: u64| m.is_multiple_of(3) && m / 2 == n);
    for round in 0..2 {
        for n in 0..4_000 {
            assert_eq!(get(&store, format!("k{n}").as_bytes()).is_none(), gone(n), "key {n}, round {round}");
        }
        store.drain().unwrap();
    }
}

/// Flush workers registered segments out of order, and the older value won.
///
/// Put in: `load` walks the segments from the newest to the oldest.
#[test]
fn d03_the_newest_value_wins_across_segments_and_restarts() {
    let world = World::durable();
    let store = world.open();
    for n in 0..60_u64 {
        store.put(b"same", &value(n, 3_000)).unwrap();
        store.put(format!("other{n}").as_bytes(), &value(n, 2_000)).unwrap();
    }
    assert!(store.stats().segments > 5);
    store.close().unwrap();
    drop(store);
    assert_eq!(get(&world.open(), b"same"), Some(value(59, 3_000)));
}

/// A log was deleted unread because a later one had been committed.
///
/// Put in: `load_segment` drops an unsealed segment that is not the last.
#[test]
fn d04_an_unsealed_segment_before_a_sealed_one_is_read() {
    let world = World::durable();
    let store = world.open();
    for n in 0..30_u64 {
        store.put(format!("k{n}").as_bytes(), &value(n, 3_000)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let names = world.names();
    assert!(names.len() > 3);
    let file = world.disk.open(&names[1]).unwrap();
    file.set_len(file.len().unwrap() - 1).unwrap();
    let store = world.open();
    assert_eq!(store.open_report().scanned, 1);
    for n in 0..30 {
        assert_eq!(get(&store, format!("k{n}").as_bytes()), Some(value(n, 3_000)), "key {n}");
    }
}

/// Deleting a key that was only in RAM did nothing.
///
/// Put in: `delete` answers `Missing` for a record whose file was not created yet.
#[test]
fn d05_a_key_that_is_only_in_ram_can_be_deleted() {
    let world = World::cache();
    let store = world.open();
    store.put(b"k", b"v").unwrap();
    assert!(world.names().is_empty(), "nothing is written yet");
    assert!(store.delete(b"k").unwrap());
    assert_eq!(get(&store, b"k"), None);
    store.close().unwrap();
    drop(store);
    assert_eq!(get(&world.open(), b"k"), None);
}

/// A delete whose put was in the same log was not replayed.
///
/// Put in: `load_entry` ignores tombstones.
#[test]
fn d06_a_delete_is_replayed() {
    for crash in [Crash::Process, Crash::Power] {
        let world = World::durable();
        let store = world.open();
        store.put(b"k", b"v").unwrap();
        store.put(b"stays", b"v").unwrap();
        assert!(store.delete(b"k").unwrap());
        world.disk.crash_after(0);
        drop(store);
        world.disk.reboot(crash);
        let store = world.open();
        assert_eq!((get(&store, b"k"), get(&store, b"stays")), (None, Some(b"v".to_vec())));
        assert_eq!(keys(&store), [b"stays".to_vec()]);
    }
}

/// Replaying a record larger than a slab panicked, or lost what was before it.
///
/// Put in: `Window::record` refuses records above 16 KiB.
#[test]
fn d07_a_record_larger_than_a_segment_is_recovered() {
    let world = World::durable();
    let store = world.open();
    store.put(b"before", &value(1, 100)).unwrap();
    store.put(b"after", &value(3, 100)).unwrap();
    store.put(b"large", &value(2, 100_000)).unwrap();
    world.disk.crash_after(0);
    drop(store);
    world.disk.reboot(Crash::Power);
    let store = world.open();
    assert!(store.open_report().scanned > 0);
    for (key, tag, len) in [("before", 1, 100), ("large", 2, 100_000), ("after", 3, 100)] {
        assert_eq!(get(&store, key.as_bytes()), Some(value(tag, len)), "{key}");
    }
}

/// The caller's checksum took the place of the record's, and recovery rejected the record.
///
/// Put in: `record::finish` writes the caller's digest into the first piece's checksum.
#[test]
fn d08_a_callers_checksum_is_kept_apart_from_the_records() {
    let world = World::durable();
    let store = world.open();
    let data = value(1, 100_000);
    let crc = blob::format::crc32c(&data);
    assert!(matches!(store.put_checksummed(b"k", &data, crc ^ 1), Err(Error::ChecksumMismatch { .. })));
    assert_eq!(get(&store, b"k"), None);
    store.put_checksummed(b"k", &data, crc).unwrap();
    world.disk.crash_after(0);
    drop(store);
    world.disk.reboot(Crash::Power);
    let store = world.open();
    let guard = store.get(b"k").unwrap().expect("recovered");
    assert_eq!((guard.digest(), &guard[..]), (Some(crc), &data[..]));
}

/// Overwrites and deletes never reduced the size that eviction goes by.
///
/// Put in: `Index::put` does not subtract what it replaces.
#[test]
fn d09_sizes_follow_overwrites_and_deletes() {
    let world = World::cache();
    let store = world.open();
    for n in 0..1_000_u64 {
        store.put(format!("k{}", n % 20).as_bytes(), &value(n, 3_000)).unwrap();
        if n % 7 == 0 {
            store.delete(format!("k{}", (n + 3) % 20).as_bytes()).unwrap();
        }
    }
    store.validate().unwrap();
    let stats = store.stats();
    assert_eq!(stats.evictions, 0, "20 keys of 3 kB fit a cache of 512 kB");
    assert!(stats.live_bytes <= 20 * 3_080, "{}", stats.live_bytes);
}

/// An eviction that raced an overwrite took the new version.
///
/// Put in: `Shard::evict_at` does not compare the place.
#[test]
fn d10_an_eviction_decided_for_an_old_place_spares_the_new_one() {
    let index = Index::new(Some(PolicyKind::Sieve), &Budget::new(1 << 20)).unwrap();
    let (old, new) = (Loc::new(1, 64, 100), Loc::new(2, 64, 100));
    index.prepare(hash(1)).unwrap();
    index.put(hash(1), old);
    index.put(hash(1), new);
    assert!(!index.evict_at(hash(1), old));
    assert!(!index.remove_at(hash(1), old));
    assert!(!index.mark_corrupt(hash(1), old));
    assert_eq!(index.get(hash(1)), Some((new, State::Live)));
    index.validate().unwrap();
}

/// The cleaner registered the copies of a segment without looking whether the originals were still current.
///
/// Put in: `Shard::relocate` does not compare the place.
#[test]
fn d11_cleaning_never_brings_an_old_value_back() {
    let index = Index::new(None, &Budget::new(1 << 20)).unwrap();
    let [old, new, copy] = [1, 2, 3].map(|segment| Loc::new(segment, 64, 100));
    index.prepare(hash(1)).unwrap();
    index.put(hash(1), old);
    index.put(hash(1), new);
    assert!(!index.relocate(hash(1), old, copy), "the copy is of a value that was replaced");
    assert_eq!(index.get(hash(1)), Some((new, State::Live)));
    assert!(index.relocate(hash(1), new, copy));
    let world = World { disk_limit: 160 * 1024, ..World::durable() };
    let store = world.open();
    store.start();
    let writer = |first: u64| {
        let store = store.clone();
        std::thread::spawn(move || {
            let mut last = [0; 8];
            for n in 0..1_500_u64 {
                let k = Dice(n * 2 + first).roll(8);
                let key = format!("{first}-{k}");
                store.put(key.as_bytes(), &value(n + 1, 1_500)).unwrap();
                last[k as usize] = n + 1;
                assert_eq!(get(&store, key.as_bytes()), Some(value(n + 1, 1_500)));
            }
            last
        })
    };
    let writers = [writer(0), writer(1)];
    for (first, writer) in writers.into_iter().enumerate() {
        for (k, last) in writer.join().unwrap().into_iter().enumerate() {
            let expected = (last > 0).then(|| value(last, 1_500));
            assert_eq!(get(&store, format!("{first}-{k}").as_bytes()), expected);
        }
    }
    assert!(store.stats().segments_cleaned > 0);
    store.validate().unwrap();
}

/// A key vanished from iteration when the segment that once held it was cleaned.
///
/// Put in: iteration skips keys whose newest listed record is not where the index says.
#[test]
fn d12_a_key_stays_in_the_iteration_when_its_record_moves() {
    let world = World { disk_limit: 400 * 1024, ..World::durable() };
    let store = world.open();
    for n in 0..10_u64 {
        store.put(format!("stays{n}").as_bytes(), &value(n, 1_000)).unwrap();
        store.put(b"churn", &value(n, 9_000)).unwrap();
    }
    let range = store.prefix(b"stays").unwrap();
    for n in 0..60_u64 {
        // The iteration keeps the disk bytes of what is cleaned, so this may end with a full store.
        let _ = store.put(&n.to_le_bytes(), &value(n, 9_000));
    }
    assert!(store.stats().relocated_bytes > 0, "the keys moved while the iteration was under way");
    assert_eq!(range.filter(|entry| entry.is_ok()).count(), 10);
    assert_eq!(store.prefix(b"stays").unwrap().count(), 10);
}

/// New files were not made durable in their directory.
///
/// Put in: `write_batch` does not sync the directory.
#[test]
fn d13_a_durable_put_survives_in_a_file_just_created() {
    for seed in 1..40 {
        let world = World::new(Mode::Durable, seed);
        let store = world.open();
        store.put(b"k", b"v").unwrap();
        world.disk.crash_after(0);
        drop(store);
        world.disk.reboot(Crash::Power);
        assert_eq!(get(&world.open(), b"k"), Some(b"v".to_vec()), "seed {seed}");
    }
}

/// Every eviction began at the first shard, and large values emptied the first shards.
///
/// Put in: `evict_one` begins at shard 0 each time.
#[test]
fn d14_eviction_takes_from_all_shards_alike() {
    let index = Index::new(Some(PolicyKind::Fifo), &Budget::new(1 << 24)).unwrap();
    for n in 0..256 * 8_u64 {
        let hash = KeyHash { hi: n << 56 | n, lo: n };
        index.prepare(hash).unwrap();
        index.put(hash, Loc::new(1, n * 8, 1 << 20));
    }
    for _ in 0..256 * 4 {
        index.evict_one().unwrap();
    }
    assert!(index.shard_items().iter().all(|&items| items == 4), "{:?}", index.shard_items());
}

/// A durable put whose write failed returned success.
///
/// Put in: `settle` ignores what `commit` returns.
#[test]
fn d15_a_durable_put_that_is_not_on_disk_is_an_error() {
    for op in 0..3 {
        let world = World::durable();
        let store = world.open();
        store.put(b"first", b"v").unwrap();
        world.disk.inject(op % 2, Fault::Fail(ErrorKind::Other));
        let result = store.put(b"k", b"v");
        assert!(matches!(result, Err(Error::Io { .. })), "fault at operation {op}: {result:?}");
        assert!(store.is_degraded());
        assert!(matches!(store.put(b"next", b"v"), Err(Error::Degraded { .. })));
        assert!(matches!(store.delete(b"first"), Err(Error::Degraded { .. })));
    }
}

/// A failed write left a counter up, and the next rotation waited for ever.
///
/// Put in: `round` drops the batch whose write failed.
#[test]
fn d16_a_failed_write_blocks_nobody_and_loses_nothing() {
    let world = World::durable();
    let store = world.open();
    store.put(b"first", b"v").unwrap();
    world.disk.set_broken(Some(ErrorKind::Other));
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let store = store.clone();
            std::thread::spawn(move || store.put(format!("k{n}").as_bytes(), &value(n, 9_000)).unwrap_err())
        })
        .collect();
    let mut failed = Vec::new();
    for writer in writers {
        failed.push(writer.join().unwrap());
    }
    assert_eq!(failed.iter().filter(|e| matches!(e, Error::Io { .. })).count(), 1, "{failed:?}");
    world.disk.set_broken(None);
    let seen: Vec<u64> = (0..4).filter(|n| get(&store, format!("k{n}").as_bytes()).is_some()).collect();
    assert!(!seen.is_empty());
    store.resume().unwrap();
    store.put(b"last", b"v").unwrap();
    world.disk.crash_after(0);
    drop(store);
    world.disk.reboot(Crash::Power);
    let store = world.open();
    for n in seen {
        assert_eq!(get(&store, format!("k{n}").as_bytes()), Some(value(n, 9_000)), "seen before, lost by resuming");
    }
    assert!(get(&store, b"first").is_some() && get(&store, b"last").is_some());
}

/// Open files were unbounded, and closing one under a reader was taken for damage.
///
/// Put in: `Segments::opened` never closes a file.
#[test]
fn d17_open_files_are_bounded_and_readers_do_not_notice() {
    let world = World { ram_limit: 500 * 1024, disk_limit: 1 << 20, ..World::durable() };
    let mut options = world.options();
    options.max_open_files = 3;
    let store = blob::Store::open_on(Arc::new(world.disk.clone()), options).unwrap();
    for n in 0..100_u64 {
        store.put(format!("k{n}").as_bytes(), &value(n, 6_000)).unwrap();
    }
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut dice = Dice(reader);
                for _ in 0..500 {
                    let n = dice.roll(100);
                    assert_eq!(get(&store, format!("k{n}").as_bytes()), Some(value(n, 6_000)));
                }
            })
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let stats = store.stats();
    assert!(stats.open_files <= 3 && stats.segments > 30, "{} of {} open", stats.open_files, stats.segments);
    assert!(stats.disk_reads > 100, "most reads came from disk");
}

/// The worker ended at its first error, and nothing was evicted any more.
///
/// Put in: `clean_one` fails for ever once a write has failed.
#[test]
fn d18_room_is_made_again_after_an_error() {
    let world = World::cache();
    let store = world.open();
    store.start();
    let fill = |from: u64| (from..from + 200).try_for_each(|n| store.put(&n.to_le_bytes(), &value(n, 9_000)).map(drop));
    fill(0).unwrap();
    world.disk.set_broken(Some(ErrorKind::Other));
    assert!(fill(1_000).is_err());
    world.disk.set_broken(None);
    store.resume().unwrap();
    let refilled = fill(2_000);
    assert!(refilled.is_ok(), "{refilled:?} {:?}", store.stats());
    assert!(world.disk.max_bytes() <= world.disk_limit);
    assert!(store.first_error().is_none());
    store.validate().unwrap();
}
