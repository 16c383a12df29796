//! Schedules explored with shuttle: `cargo test -p blob --features shuttle --test shuttle`.
//!
//! Small stores with tiny segments, so that within a few operations segments rotate, fill the disk and are cleaned
//! while others write, read and hold guards. `SHUTTLE_ITERATIONS` sets how many schedules each test explores.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use blob::disk::Crash;
use blob::{Mode, Store};
use common::{Hook, Io, World, value};
use shuttle::rand::Rng;
use shuttle::thread;
use std::sync::Arc;

fn explore(f: impl Fn() + Send + Sync + 'static) {
    explore_times(60, f);
}

fn explore_times(default: usize, f: impl Fn() + Send + Sync + 'static) {
    let iterations = std::env::var("SHUTTLE_ITERATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let f = Arc::new(f);
    let random = Arc::clone(&f);
    shuttle::check_random(move || random(), iterations);
    shuttle::check_pct(move || f(), iterations, 3);
}

fn world(mode: Mode) -> World {
    let mut world = World::new(mode, 1);
    (world.disk_limit, world.segment_bytes) = (36 * 1024, 4 * 1024);
    world
}

fn len(store: &Store, key: &[u8]) -> Option<u64> {
    let guard = store.get(key).unwrap()?;
    Some(u64::from_le_bytes(guard[..8].try_into().unwrap()))
}

fn tagged(n: u64) -> Vec<u8> {
    let mut bytes = value(n, 1_200);
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

#[test]
fn one_keys_values_only_go_forward_through_rotation_and_cleaning() {
    for mode in [Mode::Durable, Mode::Cache { fsync: false }] {
        explore(move || {
            let store = world(mode).open();
            let writer = {
                let store = store.clone();
                thread::spawn(move || (1..16).for_each(|n| assert!(store.put(b"k", &tagged(n)).is_ok())))
            };
            let churn = {
                let store = store.clone();
                thread::spawn(move || (1..16).for_each(|n| assert!(store.put(b"other", &tagged(n)).is_ok())))
            };
            let mut last = 0;
            for _ in 0..6 {
                let now = len(&store, b"k").unwrap_or(last);
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
            writer.join().unwrap();
            churn.join().unwrap();
            assert_eq!(len(&store, b"k"), Some(15));
            assert_eq!(len(&store, b"other"), Some(15));
            store.validate().unwrap();
        });
    }
}

#[test]
fn a_record_that_is_moved_is_neither_lost_nor_brought_back() {
    // Space that is given back a moment too late shows in few schedules.
    explore_times(1_000, || {
        let world = world(Mode::Durable);
        let store = world.open();
        for n in 0..6_u64 {
            store.put(&n.to_le_bytes(), &tagged(n)).unwrap();
        }
        let mover = {
            let store = store.clone();
            thread::spawn(move || (0..14).for_each(|n| assert!(store.put(b"churn", &tagged(n)).is_ok())))
        };
        let deleter = {
            let store = store.clone();
            thread::spawn(move || {
                assert!(store.delete(&0_u64.to_le_bytes()).unwrap());
                store.put(&1_u64.to_le_bytes(), &tagged(101)).unwrap();
            })
        };
        let guard = store.get(&5_u64.to_le_bytes()).unwrap().unwrap();
        mover.join().unwrap();
        deleter.join().unwrap();
        assert_eq!(&guard[..], &tagged(5)[..], "a guard does not notice what happens to the record");
        let expected = [None, Some(101), Some(2), Some(3), Some(4), Some(5)];
        let found: Vec<_> = (0..6_u64).map(|n| len(&store, &n.to_le_bytes())).collect();
        assert_eq!(found, expected);
        store.validate().unwrap();
        drop(store);
        let store = world.open();
        let found: Vec<_> = (0..6_u64).map(|n| len(&store, &n.to_le_bytes())).collect();
        assert_eq!(found, expected, "after a restart");
    });
}

#[test]
fn two_who_load_one_key_load_it_once() {
    explore(|| {
        let store = world(Mode::Cache { fsync: false }).open();
        let loads = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (store, loads) = (store.clone(), Arc::clone(&loads));
                thread::spawn(move || {
                    let load = || {
                        loads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        Ok::<_, blob::Error>(tagged(7))
                    };
                    let guard = store.get_or_load(b"k", blob::PutOptions::default(), load).unwrap();
                    assert_eq!(&guard[..], &tagged(7)[..]);
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(loads.load(std::sync::atomic::Ordering::SeqCst), 1);
    });
}

/// Some writes are slow, so that others get far meanwhile.
struct Slow;

impl Hook for Slow {
    fn before(&self, _io: Io) -> std::io::Result<()> {
        let steps = [0, 0, 20, 100][shuttle::rand::thread_rng().gen_range(0..4)];
        (0..steps).for_each(|_| thread::yield_now());
        Ok(())
    }
}

#[test]
fn killed_while_rounds_overlap_every_acknowledged_change_is_there_and_no_footer_vouches_for_more_than_that() {
    explore_times(1_000, || {
        let world = World { disk_limit: 512 * 1024, ..world(Mode::Cache { fsync: false }) };
        let store = world.try_open_hooked(Arc::new(Slow)).unwrap();
        let keys = [b"a", b"b", b"c"];
        keys.iter().for_each(|key| assert!(store.put(*key, &tagged(1)).is_ok()));
        store.drain().unwrap();
        world.disk.crash_after(shuttle::rand::thread_rng().gen_range(0..12));
        let writer = |key: &'static [u8]| {
            let store = store.clone();
            // The last one acknowledged.
            thread::spawn(move || (2..5).take_while(|&n| store.put(key, &tagged(n)).is_ok()).last().unwrap_or(1))
        };
        let writers = keys.map(|key| (key, writer(key)));
        let acknowledged = writers.map(|(key, writer)| (key, writer.join().unwrap()));
        drop(store);
        world.disk.reboot(Crash::Process);
        let store = world.open();
        for (key, n) in acknowledged {
            let found = len(&store, key);
            assert!(found == Some(n) || found == Some(n + 1), "{n} was acknowledged, found {found:?}");
        }
        assert_eq!(store.stats().corrupt_records, 0);
        let report = blob::check_on(&world.disk.fork(1)).unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
        store.validate().unwrap();
    });
}

#[test]
fn what_the_worker_and_those_who_put_wrote_is_there_after_closing() {
    explore(|| {
        let world = world(Mode::Cache { fsync: false });
        let store = world.open();
        store.start();
        let writers = [b"a", b"b"].map(|key| {
            let store = store.clone();
            thread::spawn(move || (1..5).for_each(|n| assert!(store.put(key, &tagged(n)).is_ok())))
        });
        store.put(b"c", &tagged(9)).unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        store.close().unwrap();
        drop(store);
        let store = world.open();
        assert_eq!((len(&store, b"a"), len(&store, b"b"), len(&store, b"c")), (Some(4), Some(4), Some(9)));
        assert_eq!(store.open_report().scanned, 0, "everything was sealed");
    });
}
