//! Whatever happens on a disk that loses, tears and reorders what was not synced: a reopened log is a prefix of what was
//! appended, with everything that was committed.

mod common;

use common::{Entry, append, kind, open, payload, read_all, small};
use proptest::prelude::*;
use wal::testing::{Fault, MemDisk};
use wal::{Fsync, Log, LogError, Options, Position, Preallocate};

#[derive(Clone, Debug)]
enum Step {
    Append {
        len: usize,
    },
    /// Adds to the last record, if that is still possible.
    Extend {
        len: usize,
    },
    Commit,
    WriteOut,
    Tend,
    Roll,
    RemoveBelow {
        percent: u64,
    },
    CloseAndOpen,
}

/// A stretch of work that ends in a failure and in a crash of the machine or only of the process.
#[derive(Clone, Debug)]
struct Round {
    steps: Vec<Step>,
    fault: Fault,
    after: u64,
    machine: bool,
    /// Another crash while the log is being opened.
    again_after: Option<u64>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => prop_oneof![6 => 0..200usize, 2 => 200..900usize, 1 => 900..4000usize].prop_map(|len| Step::Append { len }),
        4 => (0..300usize).prop_map(|len| Step::Extend { len }),
        4 => Just(Step::Commit),
        3 => Just(Step::WriteOut),
        3 => Just(Step::Tend),
        1 => Just(Step::Roll),
        1 => (0..100u64).prop_map(|percent| Step::RemoveBelow { percent }),
        1 => Just(Step::CloseAndOpen),
    ]
}

fn round() -> impl Strategy<Value = Round> {
    let fault = prop_oneof![
        6 => Just(Fault::Crash),
        2 => Just(Fault::Io),
        1 => Just(Fault::NoSpace),
        1 => Just(Fault::Short)
    ];
    let again = prop_oneof![2 => Just(None), 1 => (0..12u64).prop_map(Some)];
    (prop::collection::vec(step(), 1..40), fault, 0..60u64, prop::bool::weighted(0.8), again)
        .prop_map(|(steps, fault, after, machine, again_after)| Round { steps, fault, after, machine, again_after })
}

fn options() -> impl Strategy<Value = Options> {
    let preallocate = prop_oneof![Just(Preallocate::No), Just(Preallocate::Reserve), Just(Preallocate::Zero)];
    (prop_oneof![Just(256u64), Just(1000), Just(4096)], preallocate)
        .prop_map(|(segment_bytes, preallocate)| Options { preallocate, ..small(segment_bytes) })
}

/// What must be there.
#[derive(Default)]
struct Model {
    appended: Vec<Entry>,
    /// Everything that ends here or before is acknowledged.
    durable: Position,
    /// Everything that ends here or before outlives the process.
    written: Position,
    /// Records that end here or before may have been removed.
    removed: Position,
    salt: u64,
}

impl Model {
    fn run(&mut self, disk: &MemDisk, options: &Options, log: Log, steps: &[Step]) -> Result<(), LogError> {
        let mut log = log;
        for step in steps {
            match step {
                Step::Append { len } => {
                    self.salt += 1;
                    let (kind, payload) = ((self.salt % 100) as u8 + 1, payload(*len, self.salt));
                    let end = append(&log, kind, &payload)?;
                    self.appended.push(Entry { end, kind, payload });
                }
                Step::Extend { len } => {
                    let mut appender = log.lock();
                    let Some(last) = self.appended.last_mut() else { continue };
                    if !appender.can_extend(kind(last.kind), *len) {
                        continue;
                    }
                    self.salt += 1;
                    let more = payload(*len, self.salt);
                    last.end = appender.extend(&[&more])?;
                    last.payload.extend(more);
                }
                Step::Commit => {
                    let end = self.appended.last().map_or(log.end(), |last| last.end);
                    log.commit(end)?;
                    assert!(log.durable() >= end);
                    self.durable = end;
                }
                Step::WriteOut => {
                    log.write_out()?;
                    self.written = log.written();
                }
                Step::Tend => log.tend()?,
                Step::Roll => self.durable = log.roll()?,
                Step::RemoveBelow { percent } => {
                    let position = Position(log.durable().0 * percent / 100);
                    self.removed = self.removed.max(position);
                    let first = log.remove_below(position)?;
                    assert!(first <= position.max(log.first()));
                }
                Step::CloseAndOpen => {
                    self.durable = log.end();
                    let appended = self.durable;
                    if let Err(error) = log.close() {
                        // Whether all of it arrived is not known.
                        self.durable = Position::START;
                        return Err(error);
                    }
                    self.durable = appended;
                    let (next, _) = open(disk, options)?;
                    log = next;
                }
            }
        }
        Ok(())
    }

    /// Compares what was found; goes on from there.
    fn check(&mut self, found: &[Entry], first: Position) {
        let kept: Vec<_> = self.appended.iter().filter(|entry| entry.end > first).cloned().collect();
        assert!(first <= self.removed, "removed up to {first}, though only {} was asked", self.removed);
        assert!(found.len() <= kept.len(), "records appeared from nowhere");
        assert_eq!(found, &kept[..found.len()], "not a prefix of what was appended");
        if let Some(lost) = kept.get(found.len()) {
            assert!(lost.end > self.durable, "lost {} though durable up to {}", lost.end, self.durable);
        }
        // What was removed stays in the model: a crash may undo a removal that was not yet durable.
        let removed = self.appended.len() - kept.len();
        self.appended.truncate(removed + found.len());
        self.durable = found.last().map_or(first, |entry| entry.end);
        self.written = self.durable;
    }
}

/// Opens after a crash, perhaps with another crash on the way.
fn reopen(mut disk: MemDisk, options: &Options, again_after: Option<u64>) -> (MemDisk, Log) {
    if let Some(after) = again_after {
        disk.fail_after(after, Fault::Crash);
        drop(open(&disk, options));
        disk = disk.crash();
    }
    let (log, _) = open(&disk, options).expect("a crash never makes a log unreadable");
    (disk, log)
}

fn survives(seed: u64, options: &Options, rounds: &[Round]) {
    let mut disk = MemDisk::new(seed);
    let mut model = Model::default();
    for round in rounds {
        let log = reopen(disk.clone(), options, None).1;
        model.check(&read_all(&log), log.first());
        disk.fail_after(round.after, round.fault);
        // The result does not matter: the log is dropped on the spot, and the model knows what was acknowledged.
        let before = model.durable;
        drop(model.run(&disk, options, log, &round.steps));
        model.durable = model.durable.max(before);
        if !round.machine && round.again_after.is_none() {
            model.durable = model.durable.max(model.written);
        }
        disk.free_space();
        disk = if round.machine { disk.crash() } else { disk.restart() };
        let (next, log) = reopen(disk, options, round.again_after);
        model.check(&read_all(&log), log.first());
        // What has been recovered is durable, whatever happened to it before.
        disk = next.crash();
        drop(log);
        let log = reopen(disk.clone(), options, None).1;
        let count = model.appended.len();
        model.check(&read_all(&log), log.first());
        assert_eq!(model.appended.len(), count, "what was recovered was not durable");
        drop(log);
        disk = disk.restart();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reopened_log_is_a_prefix_with_everything_committed(
        seed in any::<u64>(),
        options in options(),
        rounds in prop::collection::vec(round(), 1..4),
    ) {
        survives(seed, &options, &rounds);
    }
}

/// How many histories to try; `WAL_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("WAL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2500)
}

/// One history with every kind of step, crashed before each of its operations in turn, as is the start after it.
#[test]
fn every_single_operation_may_be_the_last() {
    let steps: Vec<_> = (0..64)
        .map(|i| match i % 8 {
            6 if i % 24 == 6 => Step::Commit,
            2 | 3 => Step::WriteOut,
            4 => Step::Tend,
            5 if i % 16 == 5 => Step::Roll,
            7 if i % 16 == 7 => Step::RemoveBelow { percent: 50 },
            7 => Step::CloseAndOpen,
            1 => Step::Extend { len: i * 23 % 300 },
            _ => Step::Append { len: i * 37 % 400 },
        })
        .collect();
    for (preallocate, machine) in [Preallocate::No, Preallocate::Reserve, Preallocate::Zero]
        .into_iter()
        .flat_map(|preallocate| [(preallocate, true), (preallocate, false)])
    {
        let options = Options { preallocate, policy: Fsync::Always, ..small(500) };
        for after in 0.. {
            let disk = MemDisk::new(after + 1);
            let log = open(&disk, &options).expect("an empty disk").0;
            disk.fail_after(after, Fault::Crash);
            let mut model = Model::default();
            drop(model.run(&disk, &options, log, &steps));
            let reached = disk.has_crashed();
            if !machine {
                model.durable = model.durable.max(model.written);
            }
            let mut disk = if machine { disk.crash() } else { disk.restart() };
            for again in 0.. {
                disk.fail_after(again, Fault::Crash);
                drop(open(&disk, &options));
                if !disk.has_crashed() {
                    break;
                }
                disk = if machine { disk.crash() } else { disk.restart() };
            }
            let (_, log) = reopen(disk.restart(), &options, None);
            model.check(&read_all(&log), log.first());
            if !reached {
                assert!(after > 100, "the history has many operations: {after}");
                break;
            }
        }
    }
}
