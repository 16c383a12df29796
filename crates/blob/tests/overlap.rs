//! Rounds of writing that overlap: the second reaches the device, the first does not, or not yet.
//!
//! A disk holds back the first round's write of records until the second round has made its own. So the order of all
//! I/O is known, and the process can be killed at each of them. (`tests/shuttle.rs` explores the other orders.)
//! `BLOB_CRASH_SEEDS=n` runs n seeds instead of the few of a normal run.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use blob::disk::Crash;
use blob::{Error, Mode, Store, check_on};
use common::{Dice, Hook, Io, World, get, keys, value};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};
use std::sync::{Arc, Condvar, Mutex};

/// Decides about writes of records.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    armed: bool,
    held: bool,
    verdict: Option<Option<ErrorKind>>,
    attempts: u64,
    done: u64,
}

impl Gate {
    fn change(&self, f: impl FnOnce(&mut State)) {
        f(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait(&self, until: impl Fn(&State) -> bool) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| !until(state)).unwrap());
    }
}

impl Hook for Gate {
    /// Holds the write back if it is the one to be held, until it is said what becomes of it.
    fn before(&self, io: Io) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        if io != Io::Records || !std::mem::take(&mut state.armed) {
            return Ok(());
        }
        state.held = true;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.verdict.is_none()).unwrap();
        state.held = false;
        state.verdict.take().unwrap().map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// What fails before records are written was the attempt to write them.
    fn after(&self, io: Io, failed: bool) {
        self.change(|state| state.attempts += u64::from(io == Io::Records || failed));
    }
}

/// A store of which two rounds can be made to overlap.
struct Overlap {
    world: World,
    gate: Arc<Gate>,
    store: Store,
}

impl Overlap {
    /// A cache that does not sync, with room for everything.
    fn new(seed: u64) -> Self {
        let world =
            World { disk_limit: 4 << 20, segment_bytes: 8 * 1024, ..World::new(Mode::Cache { fsync: false }, seed) };
        let (gate, store) = Self::open(&world).unwrap();
        Self { world, gate, store }
    }

    fn open(world: &World) -> blob::Result<(Arc<Gate>, Store)> {
        let gate: Arc<Gate> = Arc::default();
        let hook: Arc<dyn Hook> = Arc::clone(&gate) as _;
        Ok((gate, world.try_open_hooked(hook)?))
    }

    /// Does both at once. The first one's write of records waits until the second has made its own, and is looked at
    /// then; what becomes of it is `verdict`. What does not write does not wait.
    fn both<A: Send, B: Send>(
        &self,
        first: impl FnOnce(&Store) -> A + Send,
        second: impl FnOnce(&Store) -> B + Send,
        between: impl FnOnce(),
        verdict: Option<ErrorKind>,
    ) -> (A, B) {
        let gate = &self.gate;
        let run = |done: u64| move || gate.change(|state| state.done |= done);
        gate.change(|state| (state.armed, state.done) = (true, 0));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| (first(&self.store), run(1)()).0);
            gate.wait(|state| state.held || state.done > 0);
            let mut before = 0;
            gate.change(|state| (before, state.armed) = (state.attempts, false));
            let second = scope.spawn(|| (second(&self.store), run(2)()).0);
            gate.wait(|state| state.attempts > before || state.done >= 2);
            between();
            gate.change(|state| state.verdict = state.held.then_some(verdict));
            (first.join().unwrap(), second.join().unwrap())
        })
    }

    /// What a process would find that is started now, after this one was killed.
    fn killed_now(&self) -> World {
        World { disk: self.world.disk.fork(1), ..self.world.clone() }
    }
}

/// Opens what is left and looks at everything: no footer may vouch for what is not there.
fn open_sound(world: &World) -> Store {
    let store = world.open();
    let report = check_on(&world.disk.fork(2)).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    let found = keys(&store);
    assert!(found.iter().all(|key| get(&store, key).is_some()), "iteration and look-ups disagree");
    assert_eq!(store.stats().corrupt_records, 0);
    store.validate().unwrap();
    store
}

#[test]
fn what_only_the_second_round_brought_to_the_device_is_found_after_a_kill_and_the_first_ones_is_as_it_was() {
    let overlap = Overlap::new(1);
    for key in [b"a", b"b"] {
        overlap.store.put(key, &value(1, 700)).unwrap();
    }
    overlap.store.drain().unwrap();
    let between = || {
        let killed = overlap.killed_now();
        let store = open_sound(&killed);
        let report = store.open_report();
        assert!(report.skipped_bytes > 700, "the first round is a hole: {report:?}");
        assert_eq!((get(&store, b"a"), get(&store, b"b")), (Some(value(1, 700)), Some(value(2, 700))));
    };
    let put = |key: &'static [u8]| move |store: &Store| store.put(key, &value(2, 700));
    let (first, second) = overlap.both(put(b"a"), put(b"b"), between, None);
    assert!(first.is_ok() && second.is_ok());
    let store = open_sound(&overlap.killed_now());
    assert_eq!((get(&store, b"a"), get(&store, b"b")), (Some(value(2, 700)), Some(value(2, 700))));
    assert_eq!(store.open_report().skipped_bytes, 0);
}

#[test]
fn a_round_fails_with_the_one_before_it_and_both_are_kept() {
    // By its length the second record begins a segment, so that the second round has a footer to write, or it does not.
    for len in [700, 7_500] {
        let overlap = Overlap::new(2);
        for key in [b"a", b"b", b"c"] {
            overlap.store.put(key, &value(1, 700)).unwrap();
        }
        overlap.store.drain().unwrap();
        let first = |store: &Store| store.put(b"a", &value(2, 700));
        let second = |store: &Store| {
            // Queued before the round begins, and written with it.
            store.put(b"new", &value(5, 100)).unwrap();
            store.put(b"b", &value(2, len))
        };
        let (first, second) = overlap.both(first, second, || (), Some(ErrorKind::Other));
        assert!(matches!(first, Err(Error::Io { .. })), "{first:?}");
        assert!(matches!(second, Err(Error::Degraded { .. })), "it is not known to be on disk: {second:?}");
        assert!(overlap.store.drain().is_err(), "what went back to the queue is not on disk");
        let killed = open_sound(&overlap.killed_now());
        assert_eq!(get(&killed, b"a"), Some(value(1, 700)));
        assert_eq!(killed.open_report().scanned, killed.open_report().segments, "nothing was sealed");

        let expected = [(b"a", value(2, 700)), (b"b", value(2, len)), (b"c", value(1, 700))];
        let store = &overlap.store;
        assert!(expected.iter().all(|(key, value)| get(store, *key).as_ref() == Some(value)), "reads go on");
        assert_eq!(store.stats().write_errors, 1);
        store.resume().unwrap();
        let reopened = open_sound(&overlap.killed_now());
        for store in [store, &reopened] {
            assert!(expected.iter().all(|(key, value)| get(store, *key).as_ref() == Some(value)));
            assert_eq!(get(store, b"new"), Some(value(5, 100)));
        }
    }
}

#[test]
fn a_value_is_not_acknowledged_before_the_tombstone_that_hides_the_one_before_it() {
    let overlap = Overlap::new(3);
    overlap.store.put(b"a", &value(1, 700)).unwrap();
    overlap.store.drain().unwrap();
    let put = |store: &Store| store.put(b"a", &value(2, 700));
    let (deleted, put) = overlap.both(|store| store.delete(b"a"), put, || (), Some(ErrorKind::Other));
    assert!(deleted.is_err());
    let killed = open_sound(&overlap.killed_now());
    assert!(put.is_err() || get(&killed, b"a") != Some(value(1, 700)), "a value came back that had been replaced");
    overlap.store.resume().unwrap();
    assert_eq!(get(&open_sound(&overlap.killed_now()), b"a"), Some(value(2, 700)));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Put(u8, usize),
    Delete(u8),
}

impl Op {
    fn random(dice: &mut Dice, from: u8) -> Self {
        let key = from + dice.roll(6) as u8;
        if dice.roll(4) == 0 { Self::Delete(key) } else { Self::Put(key, dice.roll(2_500) as usize) }
    }

    /// The key, and what it has after it.
    fn change(self, tag: u64) -> (u8, Option<(u64, usize)>) {
        match self {
            Self::Put(key, len) => (key, Some((tag, len))),
            Self::Delete(key) => (key, None),
        }
    }

    fn run(self, store: &Store, tag: u64) -> bool {
        match self {
            Self::Put(key, len) => store.put(&[key], &value(tag, len)).is_ok(),
            Self::Delete(key) => store.delete(&[key]).is_ok(),
        }
    }
}

/// Plays pairs of overlapping changes of different keys up to a death at I/O `at`, and looks at what is left. Returns
/// the I/Os of the whole history, or `None` after a death.
fn die_at(seed: u64, pairs: &[(Op, Op)], at: Option<u64>) -> Option<u64> {
    let overlap = Overlap::new(seed);
    let opening = overlap.world.disk.ops();
    at.into_iter().for_each(|at| overlap.world.disk.crash_after(at));
    let mut acknowledged: BTreeMap<u8, Option<(u64, usize)>> = BTreeMap::new();
    let mut under_way = Vec::new();
    for (tag, (first, second)) in (1..).zip(pairs) {
        let tags = (2 * tag, 2 * tag + 1);
        let ok = overlap.both(|store| first.run(store, tags.0), |store| second.run(store, tags.1), || (), None);
        for (ok, (key, new)) in [(ok.0, first.change(tags.0)), (ok.1, second.change(tags.1))] {
            if ok {
                acknowledged.insert(key, new);
            } else {
                under_way.push((key, new));
            }
        }
        if !under_way.is_empty() {
            break;
        }
    }
    let ios = overlap.world.disk.ops() - opening;
    let died = overlap.world.disk.has_crashed();
    assert!(died || under_way.is_empty(), "failed without a death");
    let Overlap { world, store, .. } = overlap;
    if !died {
        world.disk.crash_after(0);
    }
    drop(store);
    world.disk.reboot(Crash::Process);
    let store = open_sound(&world);
    for key in 0..12 {
        let found = get(&store, &[key]);
        let newest = acknowledged.get(&key).copied().flatten();
        let may = |kept: Option<(u64, usize)>| found == kept.map(|(tag, len)| value(tag, len));
        let mut new = under_way.iter().filter(|(other, _)| *other == key).map(|(_, new)| *new);
        assert!(
            found.is_none() || may(newest) || new.any(may),
            "{key}: neither the newest acknowledged nor a newer one"
        );
    }
    (!died).then_some(ios)
}

#[test]
fn killed_at_any_io_of_overlapping_rounds_nothing_stale_is_returned_and_nothing_missing_vouched_for() {
    let seeds = std::env::var("BLOB_CRASH_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut deaths = 0;
    for seed in 0..seeds {
        let mut dice = Dice(seed);
        let pairs: Vec<_> = (0..40).map(|_| (Op::random(&mut dice, 0), Op::random(&mut dice, 6))).collect();
        let ios = die_at(seed, &pairs, None).expect("nothing kills it");
        for at in 0..ios {
            let outcome = std::panic::catch_unwind(|| die_at(seed, &pairs, Some(at)));
            if let Err(panic) = outcome {
                println!("reproduce: seed {seed}, death at I/O {at}");
                std::panic::resume_unwind(panic);
            }
            deaths += 1;
        }
    }
    println!(
        "{deaths} kills at every I/O of overlapping rounds: each key had its newest acknowledged value, a newer one or none"
    );
    assert!(deaths >= 80 * seeds, "{deaths}");
}
