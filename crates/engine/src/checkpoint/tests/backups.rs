//! A data directory that is made of a base and the log behind it, while others write and checkpoints go on, is the state of
//! any moment from the base on.

use effect::Hlc;
use wal::Position;

use super::*;
use crate::backup::{Making, Mark, cut_after};

/// A moment of a history, and what there was then.
#[derive(Debug, Clone, Copy)]
struct Seen {
    last: Hlc,
    at_ms: i64,
    digest: Digest,
}

fn see(bench: &Bench) -> Seen {
    let last = bench.engine.log().lock().state().clock.last();
    Seen { last, at_ms: bench.now_ms(), digest: bench.digest() }
}

/// The records from `from` up to `end`.
fn records(engine: &Engine, from: Position, end: Position) -> Vec<(wal::Kind, Vec<u8>)> {
    let mut reader = engine.log().reader(from).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        if record.start >= end {
            break;
        }
        records.push((record.kind, record.payload.to_vec()));
    }
    records
}

/// What a backup has.
struct Taken {
    from: Position,
    last: Hlc,
    image: Vec<u8>,
    records: Vec<(wal::Kind, Vec<u8>)>,
    moment: crate::backup::Moment,
}

/// Takes a backup; between its parts the steps are done, and checkpoints are taken.
fn take(bench: &Bench, rounds: &[Vec<Step>], seen: &mut Vec<Seen>) -> Taken {
    let mut rounds = rounds.iter();
    let mut do_some = |seen: &mut Vec<Seen>| {
        if let Some(steps) = rounds.next() {
            bench.run(steps, true);
            seen.push(see(bench));
        }
    };
    let mut flips = 0;
    let base = bench
        .engine
        .base(&mut || {
            flips += 1;
            if flips == 3 {
                do_some(seen);
            }
            true
        })
        .unwrap();
    do_some(seen);
    bench.engine.checkpoint().unwrap();
    do_some(seen);
    bench.engine.checkpoint().unwrap();
    let mut image = Vec::new();
    base.rows.write_to(&mut image).unwrap();
    do_some(seen);
    let moment = bench.engine.backup_moment().unwrap();
    do_some(seen);
    bench.engine.checkpoint().unwrap();
    let records = records(&bench.engine, base.position, moment.end);
    Taken { from: base.position, last: base.last, image, records, moment }
}

/// The state of `until` as a data directory has it that was made of the backup.
fn made(taken: &Taken, bench: &Bench, until: Hlc, at_ms: i64, keyring: Option<&Keyring>) -> Digest {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(at_ms));
    let options = Options { keyring: keyring.cloned(), entropy: [9; 22], ..options(&clock) };
    let seed = bench.engine.hash_seed();
    let making = Making::begin(dir.path(), seed, taken.from, &mut &taken.image[..], &options).unwrap();
    for (kind, payload) in &taken.records {
        let len = cut_after(*kind, payload, until).unwrap();
        if len > 0 {
            making.append(*kind, &payload[..len]).unwrap();
        }
        if len < payload.len() {
            break;
        }
    }
    let made = making.finish(crate::backup::Whose::Own, until, options).unwrap();
    assert_ne!(made.origin.node(), bench.engine.origin().node(), "it is a node of its own");
    let again = Bench::open_with(dir.path(), &clock, keyring);
    again.validate();
    let last = again.engine.log().lock().state().clock.last();
    assert!(last >= until, "what is written next is later than all that is there");
    again.digest()
}

fn keyring() -> Keyring {
    Keyring::parse(format!("1 {}", "11".repeat(32)).as_bytes()).unwrap()
}

fn check(history: &[Vec<Step>], rounds: &[Vec<Step>], picks: &[prop::sample::Index], sealed: (bool, bool)) {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let (from, to) = (sealed.0.then(keyring), sealed.1.then(keyring));
    let bench = Bench::open_with(dir.path(), &clock, from.as_ref());
    for steps in history {
        bench.run(steps, true);
    }
    let mut seen = vec![see(&bench)];
    let taken = take(&bench, rounds, &mut seen);
    seen.retain(|seen| seen.last >= taken.last && seen.last <= taken.moment.last);
    for pick in picks {
        let seen = pick.get(&seen);
        let digest = made(&taken, &bench, seen.last, seen.at_ms, to.as_ref());
        assert_eq!(digest, seen.digest, "{seen:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_backup_is_the_state_of_any_moment_from_its_base_on(
        history in prop::collection::vec(prop::collection::vec(some_step(), 1..12), 1..6),
        rounds in prop::collection::vec(prop::collection::vec(some_step(), 1..12), 5),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 2),
        sealed in any::<(bool, bool)>(),
    ) {
        check(&history, &rounds, &picks, sealed);
    }
}

/// Databases that are emptied and exchanged, too: what is dead at rest.
fn some_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => step(),
        1 => (0u8..2).prop_map(|db| Step::Flush { db }),
        1 => Just(Step::FlushAll),
        1 => Just(Step::Swap),
    ]
}

/// Large values, which are dead when the image is written, are in it all the same.
#[test]
fn what_dies_after_a_base_was_taken_is_in_it() {
    let write = |key| Step::Replace { db: 0, key, large: true };
    let history = [vec![write(0), write(1), write(2)], vec![write(5)]];
    let rounds = [vec![], vec![write(0), Step::Remove { db: 0, key: 1 }], vec![Step::FlushAll], vec![write(3)], vec![]];
    check(&history, &rounds, &[], (false, false));
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let bench = Bench::open(dir.path(), &clock);
    history.iter().for_each(|steps| bench.run(steps, true));
    let before = see(&bench);
    let taken = take(&bench, &rounds[1..], &mut Vec::new());
    assert_eq!(made(&taken, &bench, before.last, before.at_ms, None), before.digest);
}

/// The bytes of log that there are.
fn kept(bench: &Bench) -> u64 {
    bench.engine.log().end().get() - bench.engine.log().first().get()
}

#[test]
fn marks_and_pins_keep_the_log_and_nothing_else_does() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let bench = Bench::open(dir.path(), &clock);
    let write = || bench.run(&[Step::Replace { db: 0, key: 4, large: true }], true);
    write();
    let from = bench.engine.checkpoint().unwrap().position;
    let pin = bench.engine.pin_log(from).unwrap();
    write();
    let later = bench.engine.checkpoint().unwrap().position;
    assert_eq!(bench.engine.log().first(), from, "pinned");
    let mark = |from| Mark { name: "here".into(), from, note: "x".into() };
    bench.engine.set_backup_mark(mark(from)).unwrap();
    drop(pin);
    bench.engine.checkpoint().unwrap();
    assert_eq!(bench.engine.log().first(), from, "marked");
    bench.engine.close().unwrap();
    // The log that is kept is no reason for another checkpoint, and a restart goes on as it was.
    let bench = Bench::open(dir.path(), &clock);
    assert_eq!(bench.engine.backup_mark("here"), Some(mark(from)));
    assert!(bench.engine.shared.checkpoints.position() >= later, "known after a start");
    bench.engine.checkpoint().unwrap();
    assert_eq!(bench.engine.log().first(), from, "marked, after a restart");
    bench.engine.set_backup_log_bytes(1);
    bench.run(&[Step::Replace { db: 0, key: 4, large: true }], true);
    bench.engine.checkpoint().unwrap();
    assert!(bench.engine.pin_log(from).is_err(), "it was too much to keep");
    assert!(kept(&bench) < 1000, "{}", kept(&bench));
}
