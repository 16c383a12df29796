//! Many threads on few keys, their history recorded and checked: each key must behave like one register.
//!
//! Versions make the check exact for puts: the log's order is the order of versions. A read that returns version v
//! is wrong if a put of a higher version, or a delete invoked after v's put had returned, returned before the read
//! began. A durable read that finds nothing is wrong if a put returned before it and no delete can explain it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use blob::Mode;
use common::{Dice, World, value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug)]
enum What {
    Put(u64),
    Delete,
    Read(Option<u64>),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    key: u64,
    begun: u64,
    ended: u64,
    what: What,
}

fn violation(events: &[Event], durable: bool) -> Option<String> {
    let put_of = |version| events.iter().find(|e| matches!(e.what, What::Put(v) if v == version));
    for read in events {
        match read.what {
            What::Read(Some(version)) => {
                let Some(put) = put_of(version) else { return Some(format!("nobody put what {read:?} saw")) };
                if put.begun > read.ended {
                    return Some(format!("{read:?} saw the future: {put:?}"));
                }
                let newer = |e: &&Event| e.ended < read.begun && matches!(e.what, What::Put(v) if v > version);
                let deleted =
                    |e: &&Event| matches!(e.what, What::Delete) && put.ended < e.begun && e.ended < read.begun;
                if let Some(other) = events.iter().find(newer).or_else(|| events.iter().find(deleted)) {
                    return Some(format!("{read:?} is stale: {other:?} had ended"));
                }
            }
            What::Read(None) if durable => {
                let explains = |put: &Event| {
                    events
                        .iter()
                        .any(|e| matches!(e.what, What::Delete) && e.ended >= put.begun && e.begun <= read.ended)
                };
                let put = |e: &&Event| matches!(e.what, What::Put(_)) && e.ended < read.begun && !explains(e);
                if let Some(put) = events.iter().find(put) {
                    return Some(format!("{read:?} lost {put:?}"));
                }
            }
            _ => {}
        }
    }
    None
}

fn history(mode: Mode, seed: u64, threads: u64, ops: u64) -> (Vec<Event>, World) {
    let mut world = World::new(mode, seed);
    (world.disk_limit, world.ram_limit) = (256 * 1024, 700 * 1024);
    let store = world.open();
    store.start();
    let time = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (store, time) = (store.clone(), Arc::clone(&time));
            std::thread::spawn(move || {
                let mut dice = Dice(seed * 100 + thread);
                let mut events = Vec::new();
                for op in 0..ops {
                    let key = dice.roll(12);
                    let name = format!("key{key}");
                    let begun = time.fetch_add(1, Ordering::SeqCst);
                    let what = match dice.roll(10) {
                        0..=3 => {
                            let len = 16 + dice.roll(4_000) as usize;
                            let mut bytes = value(thread << 32 | op, len);
                            bytes[..8].copy_from_slice(&(len as u64).to_le_bytes());
                            What::Put(store.put(name.as_bytes(), &bytes).unwrap())
                        }
                        4 => {
                            store.delete(name.as_bytes()).unwrap();
                            What::Delete
                        }
                        _ => What::Read(store.get(name.as_bytes()).unwrap().map(|guard| {
                            assert_eq!(guard[..8], (guard.len() as u64).to_le_bytes(), "a whole value");
                            guard.version()
                        })),
                    };
                    let ended = time.fetch_add(1, Ordering::SeqCst);
                    events.push(Event { key, begun, ended, what });
                    if op % 64 == 0 {
                        let stats = store.stats();
                        assert!(stats.ram_bytes <= 700 * 1024 && stats.disk_bytes <= 256 * 1024);
                    }
                }
                events
            })
        })
        .collect();
    let events = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    store.validate().unwrap();
    assert!(store.stats().segments_cleaned > 0, "the log wrapped around");
    (events, world)
}

fn check(mode: Mode, seed: u64) {
    let (events, world) = history(mode, seed, 4, 1_500);
    for key in 0..12 {
        let events: Vec<Event> = events.iter().filter(|event| event.key == key).copied().collect();
        assert!(events.len() > 100);
        if let Some(violation) = violation(&events, mode == Mode::Durable) {
            panic!("mode {mode:?}, seed {seed}, key {key}: {violation}");
        }
    }
    assert!(world.disk.max_bytes() <= world.disk_limit);
}

#[test]
fn a_durable_store_is_a_register_for_each_key() {
    (0..3).for_each(|seed| check(Mode::Durable, seed));
}

#[test]
fn a_cache_is_a_register_that_may_forget() {
    (0..3).for_each(|seed| check(Mode::Cache { fsync: false }, seed));
}

#[test]
fn the_checker_finds_stale_lost_and_invented_reads() {
    let event = |begun, ended, what| Event { key: 0, begun, ended, what };
    let base = [event(0, 1, What::Put(1)), event(2, 3, What::Put(2))];
    let with = |read| [&base[..], &[read]].concat();
    assert!(violation(&with(event(4, 5, What::Read(Some(2)))), true).is_none());
    assert!(violation(&with(event(4, 5, What::Read(Some(1)))), true).is_some());
    assert!(violation(&with(event(2, 5, What::Read(Some(1)))), true).is_none());
    assert!(violation(&with(event(4, 5, What::Read(Some(9)))), true).is_some());
    assert!(violation(&with(event(4, 5, What::Read(None))), true).is_some());
    assert!(violation(&with(event(4, 5, What::Read(None))), false).is_none());
    let deleted = [&with(event(4, 5, What::Delete))[..], &[event(6, 7, What::Read(Some(2)))]].concat();
    assert!(violation(&deleted, true).is_some());
}
