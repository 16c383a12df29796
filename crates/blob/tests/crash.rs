//! A random history against a `BTreeMap`, with the machine dying at every single I/O.
//!
//! For each seed the history is run once to count its I/Os, then once more for each of them, dying there: the
//! process alone or the power too, in turns. After the machine is back the store must hold every acknowledged
//! change (durable), or nothing but the newest acknowledged value or no value (cache); the one change that was
//! under way may have happened or not. Then it goes on, and dies again while it recovers.
//!
//! `BLOB_CRASH_SEEDS=n` runs n seeds instead of the few of a normal run; each test prints one line with how many deaths
//! there were and what was checked after each.

#![expect(clippy::print_stdout, reason = "a failure says how to reproduce it")]

mod common;

use blob::disk::{Crash, FakeDisk};
use blob::{Mode, PolicyKind, PutOptions, Store};
use common::{Dice, World, value};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Op {
    Put(u8, usize),
    PutTtl(u8, usize, u64),
    Delete(u8),
    Tick(u64),
    Drain,
    Reopen,
}

/// What is run: a mode, and whether there are values so large that their records lie on blocks, with gaps before them.
#[derive(Clone, Copy, Debug)]
struct Case {
    mode: Mode,
    large: bool,
}

fn history(seed: u64, len: usize, large: bool) -> Vec<Op> {
    let mut dice = Dice(seed);
    (0..len)
        .map(|_| {
            let key = dice.roll(24) as u8;
            let size = match dice.roll(12) {
                0 if large => 130_000 + dice.roll(2_000) as usize,
                1 if large => 150_000 + dice.roll(60_000) as usize,
                0 => 5_000 + dice.roll(3_000) as usize,
                1 => 18_000 + dice.roll(6_000) as usize,
                _ => dice.roll(1_500) as usize,
            };
            match dice.roll(40) {
                0..=24 => Op::Put(key, size),
                25..=27 => Op::PutTtl(key, size, 1 + dice.roll(50)),
                28..=34 => Op::Delete(key),
                35 => Op::Tick(dice.roll(30)),
                36..=38 => Op::Drain,
                _ => Op::Reopen,
            }
        })
        .collect()
}

fn key(k: u8) -> Vec<u8> {
    format!("key-{:0width$}", k, width = 1 + usize::from(k % 40)).into_bytes()
}

/// Tag and deadline; a value follows from its tag and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    tag: u64,
    len: usize,
    expires: u64,
}

/// What must be there, and what may have changed at the moment of death.
#[derive(Clone, Default)]
struct Model {
    map: BTreeMap<u8, Kept>,
    under_way: Option<(u8, Option<Kept>)>,
}

struct Run {
    world: World,
    store: Option<Store>,
    model: Model,
    tag: u64,
}

impl Run {
    fn new(world: World) -> Self {
        Self { world, store: None, model: Model::default(), tag: 0 }
    }

    fn now(&self) -> u64 {
        self.world.clock.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Runs one operation. False when the machine died.
    fn step(&mut self, op: &Op) -> bool {
        if self.store.is_none() {
            match self.world.try_open() {
                Ok(store) => self.store = Some(store),
                Err(error) => return self.died(&error),
            }
        }
        let store = self.store.as_ref().expect("opened above");
        match op {
            Op::Put(k, len) => self.put(*k, *len, 0),
            Op::PutTtl(k, len, ttl) => {
                let expires = self.now() + ttl;
                self.put(*k, *len, expires)
            }
            Op::Delete(k) => {
                self.model.under_way = Some((*k, None));
                match store.delete(&key(*k)) {
                    Ok(_) => {
                        self.model.map.remove(k);
                        self.model.under_way = None;
                        true
                    }
                    Err(error) => self.died(&error),
                }
            }
            Op::Tick(ms) => {
                self.world.clock.fetch_add(*ms, std::sync::atomic::Ordering::Relaxed);
                true
            }
            Op::Drain => match store.drain() {
                Ok(()) => true,
                Err(error) => self.died(&error),
            },
            Op::Reopen => {
                let store = self.store.take().expect("opened above");
                match store.close() {
                    Ok(()) => true,
                    Err(error) => self.died(&error),
                }
            }
        }
    }

    fn put(&mut self, k: u8, len: usize, expires: u64) -> bool {
        self.tag += 1;
        let kept = Kept { tag: self.tag, len, expires };
        self.model.under_way = Some((k, Some(kept)));
        let options = PutOptions { expires_ms: Some(expires).filter(|&ms| ms != 0), ..PutOptions::default() };
        match self.store.as_ref().expect("open").put_with(&key(k), &value(self.tag, len), options) {
            Ok(_) => {
                self.model.map.insert(k, kept);
                self.model.under_way = None;
                true
            }
            Err(error) => self.died(&error),
        }
    }

    fn died(&self, error: &blob::Error) -> bool {
        assert!(self.world.disk.has_crashed(), "failed without a crash: {error}");
        false
    }

    fn alive(&self, kept: Option<&Kept>) -> Option<Vec<u8>> {
        let kept = kept.filter(|kept| kept.expires == 0 || self.now() < kept.expires)?;
        Some(value(kept.tag, kept.len))
    }

    /// Compares all keys; what was under way becomes what it turned out to be.
    fn check(&mut self, store: &Store) {
        let durable = self.world.mode == Mode::Durable;
        let listed = common::keys(store);
        assert!(listed.is_sorted());
        let mut found = Vec::new();
        for k in 0..24 {
            let got = common::get(store, &key(k));
            let old = self.alive(self.model.map.get(&k));
            let under_way = self.model.under_way.filter(|(other, _)| *other == k);
            if let (Some((_, new)), true) = (under_way, got != old) {
                let new_value = self.alive(new.as_ref());
                assert!(got == new_value || (!durable && got.is_none()), "{k}: neither before nor after");
                match new {
                    Some(new) => self.model.map.insert(k, new),
                    None => self.model.map.remove(&k),
                };
            } else if durable {
                assert!(got == old, "{k}: {:?} acknowledged, found {:?}", old.map(|v| v.len()), got.map(|v| v.len()));
            } else {
                assert!(got.is_none() || got == old, "{k}: a value that is not the newest acknowledged one");
            }
            if common::get(store, &key(k)).is_some() {
                found.push(key(k));
            }
        }
        found.sort();
        assert_eq!(listed, found, "iteration and look-ups disagree");
        if !durable {
            // What a cache lost stays lost: it must not come back later.
            self.model.map.retain(|k, _| store.may_contain(&key(*k)));
        }
        self.model.under_way = None;
        store.validate().expect("counters agree");
    }

    /// Back after a death; the recovery may die too.
    fn reopen(&mut self, crash: Crash) -> bool {
        self.store = None;
        self.world.disk.reboot(crash);
        match self.world.try_open() {
            Ok(store) => {
                self.check(&store);
                self.store = Some(store);
                true
            }
            Err(error) => self.died(&error),
        }
    }
}

fn world(case: Case, seed: u64) -> World {
    let mut world = World::new(case.mode, seed);
    world.disk_limit = if case.mode == Mode::Durable { 256 } else { 160 } * 1024;
    if case.large {
        (world.disk_limit, world.segment_bytes) = (world.disk_limit * 24, 320 * 1024);
    }
    world.policy = PolicyKind::ALL[(seed % 4) as usize];
    world
}

/// Plays the history up to a death at I/O `at`, comes back, plays the rest, dies again at each of the next few
/// I/Os of recovery. Returns the number of deaths.
fn die_at(case: Case, seed: u64, ops: &[Op], at: u64) -> u64 {
    let crash = if at.is_multiple_of(2) { Crash::Power } else { Crash::Process };
    let mut run = Run::new(world(case, seed.wrapping_mul(31).wrapping_add(at)));
    run.world.disk.crash_after(at);
    let died_in = ops.iter().position(|op| !run.step(op));
    let Some(died_in) = died_in else { return 0 };
    let mut deaths = 1;
    // A second death while recovering, at an I/O that depends on the first.
    run.store = None;
    run.world.disk.reboot(crash);
    run.world.disk.crash_after(at % 7);
    match run.world.try_open() {
        Ok(store) => drop(store),
        Err(error) => {
            run.died(&error);
        }
    }
    if run.world.disk.has_crashed() {
        deaths += 1;
    }
    assert!(
        run.reopen(if at.is_multiple_of(3) { Crash::Power } else { Crash::Process }),
        "nothing kills the last recovery"
    );
    for op in ops[died_in..].iter().take(25) {
        assert!(run.step(op), "nothing kills the rest");
    }
    if run.store.is_none() {
        run.store = Some(run.world.open());
    }
    let store = run.store.clone().expect("open");
    run.check(&store);
    assert!(run.world.disk.max_bytes() <= run.world.disk_limit, "the disk limit held");
    deaths
}

fn count_ops(case: Case, seed: u64, ops: &[Op]) -> u64 {
    let mut run = Run::new(world(case, seed));
    for op in ops {
        assert!(run.step(op));
    }
    if let Some(store) = run.store.clone() {
        run.check(&store);
    }
    let disk: FakeDisk = run.world.disk.clone();
    drop(run);
    disk.ops()
}

fn crash_everywhere(case: Case, seeds: std::ops::Range<u64>, len: usize) -> u64 {
    let mut deaths = 0;
    for seed in seeds {
        let ops = history(seed, len, case.large);
        for at in 0..count_ops(case, seed, &ops) {
            let result = std::panic::catch_unwind(|| die_at(case, seed, &ops, at));
            match result {
                Ok(n) => deaths += n,
                Err(panic) => {
                    println!("reproduce: {case:?}, seed {seed}, death at I/O {at}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    let promise = match case.mode {
        Mode::Durable => "every acknowledged change was there",
        Mode::Cache { .. } => "each key had its newest acknowledged value or none",
    };
    println!(
        "{deaths} deaths at every I/O of {case:?}, recovery included: {promise}, iteration and look-ups agreed, counters \
         agreed with the index, the disk limit held"
    );
    deaths
}

fn seeds(default: u64) -> u64 {
    std::env::var("BLOB_CRASH_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn a_durable_store_loses_nothing_acknowledged_at_any_death() {
    let deaths = crash_everywhere(Case { mode: Mode::Durable, large: false }, 0..seeds(4), 90);
    assert!(deaths >= 1_000, "{deaths}");
}

#[test]
fn a_durable_store_of_large_records_loses_nothing_acknowledged_at_any_death() {
    let deaths = crash_everywhere(Case { mode: Mode::Durable, large: true }, 0..seeds(4).div_ceil(4), 90);
    assert!(deaths >= 150, "{deaths}");
}

#[test]
fn a_synced_cache_never_returns_what_was_replaced() {
    let case = Case { mode: Mode::Cache { fsync: true }, large: false };
    let deaths = crash_everywhere(case, 100..100 + seeds(3), 90);
    assert!(deaths >= 300, "{deaths}");
}

#[test]
fn an_unsynced_cache_never_returns_what_was_replaced() {
    let case = Case { mode: Mode::Cache { fsync: false }, large: false };
    let deaths = crash_everywhere(case, 200..200 + seeds(4), 90);
    assert!(deaths >= 300, "{deaths}");
}

#[test]
fn an_unsynced_cache_of_large_records_never_returns_what_was_replaced() {
    let case = Case { mode: Mode::Cache { fsync: false }, large: true };
    let deaths = crash_everywhere(case, 300..300 + seeds(4).div_ceil(4), 90);
    assert!(deaths >= 50, "{deaths}");
}
