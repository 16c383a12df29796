//! An archive has all of the log as it is written: whatever happens meanwhile, what is restored is a state that was there, none older than
//! what was said to be stored, and any moment but those that a hole or the removal of what is old has taken.

use std::cell::RefCell;
use std::time::Duration;

use archive::storage::Fault;
use backup::{Beside, Error, Hole, Job, Progress, Purpose, Report, Sizes, Why, WhyWhole, prune, reached, take};
use effect::Hlc;
use engine::Digest;
use proptest::prelude::*;

use crate::bench::{Bench, Seen, at, at_ms, digest};

/// Rows are stored anew now and then, in several parts.
const SIZES: Sizes = Sizes { rows: 30_000, log: 20_000, rebase: 60_000, chain: 12 };

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Nothing,
    /// One call fails.
    Fails(u64, Fault),
    /// From one call on nothing is heard of the place; then the process ends.
    Crash(u64),
}

#[derive(Clone, Debug)]
enum Event {
    Steps(u64),
    Checkpoint,
    /// What is new is stored while so many steps are made.
    Store(u64, Trouble),
    Restart,
    /// The log is kept for the archive up to so many bytes.
    Bound(u64),
    /// What is older goes, in ms.
    Prune(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![Just(Fault::Refuse), Just(Fault::LoseAnswer)];
    let trouble = prop_oneof![
        4 => Just(Trouble::Nothing),
        2 => (0..9u64, fault).prop_map(|(call, fault)| Trouble::Fails(call, fault)),
        1 => (0..9u64).prop_map(Trouble::Crash),
    ];
    prop_oneof![
        4 => (1..40u64).prop_map(Event::Steps),
        2 => Just(Event::Checkpoint),
        6 => (0..20u64, trouble).prop_map(|(steps, trouble)| Event::Store(steps, trouble)),
        1 => Just(Event::Restart),
        1 => prop_oneof![Just(1), Just(u64::MAX)].prop_map(Event::Bound),
        1 => (1..400u64).prop_map(Event::Prune),
    ]
}

/// A node with an archive, and what is known of it.
struct World {
    bench: Bench,
    number: u64,
    seen: Vec<Seen>,
    stored: Vec<Report>,
    holes: Vec<Hole>,
    /// Whether the log was ever kept up to a bound only.
    is_bounded: bool,
    /// What is older than this may be gone, unix ms.
    kept_from: i64,
}

impl World {
    fn new(number: u64) -> Self {
        let bench = Bench { sizes: SIZES, ..Bench::new() };
        bench.engine().set_archive_log_bytes(u64::MAX);
        let (seen, stored, holes) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = Self { bench, number, seen, stored, holes, is_bounded: false, kept_from: 0 };
        world.steps(30);
        world
    }

    fn steps(&mut self, steps: u64) {
        for _ in 0..steps {
            self.number = next(self.number);
            self.seen.push(self.bench.step(self.number >> 33));
        }
    }

    fn do_it(&mut self, event: &Event) {
        match event {
            Event::Steps(steps) => self.steps(*steps),
            Event::Checkpoint => drop(self.bench.engine().checkpoint().unwrap()),
            Event::Store(steps, trouble) => self.store(*steps, *trouble),
            Event::Restart => self.restart(),
            Event::Bound(bytes) => {
                self.is_bounded |= *bytes == 1;
                self.bench.engine().set_archive_log_bytes(*bytes);
            }
            Event::Prune(keep_ms) => {
                let now_ms = self.bench.engine().now_ms();
                // Names of backups are trusted within a minute only.
                let cutoff = now_ms - *keep_ms as i64;
                self.bench.clock.fetch_add(60_000, std::sync::atomic::Ordering::Relaxed);
                prune(self.bench.engine(), &self.bench.repository, Duration::from_millis(*keep_ms)).unwrap();
                self.kept_from = self.kept_from.max(cutoff);
            }
        }
    }

    fn restart(&mut self) {
        self.bench.restart();
        let bytes = if self.is_bounded { 1 } else { u64::MAX };
        self.bench.engine().set_archive_log_bytes(bytes);
    }

    fn store(&mut self, steps: u64, trouble: Trouble) {
        let at = self.bench.memory.calls();
        self.bench.memory.fail_when(move |called| match trouble {
            Trouble::Nothing => None,
            Trouble::Fails(call, fault) => (called.number == at + call).then_some(fault),
            Trouble::Crash(call) => (called.number >= at + call).then_some(Fault::Refuse),
        });
        let (bench, reports) = (&self.bench, RefCell::new(Vec::new()));
        let mut number = self.number;
        let (result, seen) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let steps = (0..steps).map(|_| {
                    number = next(number);
                    bench.step(number >> 33)
                });
                (steps.collect::<Vec<Seen>>(), number)
            });
            let told = |report: &Report| reports.borrow_mut().push(report.clone());
            let result = archive(bench, &Progress::default(), &told);
            (result, writer.join().unwrap())
        });
        self.seen.extend(seen.0);
        self.number = seen.1;
        self.bench.memory.heal();
        let mut reports = reports.into_inner();
        match (result, trouble) {
            (Ok(report), _) => reports.push(report),
            (Err(Error::Archive(_)), Trouble::Fails(..) | Trouble::Crash(_)) => {}
            (Err(error), _) => panic!("{error}"),
        }
        self.holes.extend(reports.iter().filter_map(|report| report.hole));
        self.stored.extend(reports);
        if let Trouble::Crash(_) = trouble {
            self.restart();
        }
    }

    /// Whether that is what there was at the end of a millisecond; in the last one that was stored a change may have come too late.
    fn was(&self, ms: i64, last_ms: i64, digest: Digest) -> bool {
        let before = || self.seen.iter().rfind(|seen| seen.last < Hlc::at_ms(ms));
        at_ms(&self.seen, ms).digest == digest || ms >= last_ms && before().is_some_and(|seen| seen.digest == digest)
    }

    /// What can be restored is what there was.
    fn check(&self, picks: &[f64]) {
        assert!(self.is_bounded || self.holes.is_empty(), "log was cut before it was stored: {:?}", self.holes);
        let Some(first) = self.stored.first() else { return };
        let until = self.stored.iter().map(|report| report.until).max().unwrap();
        let (restored, digest) = self.bench.restore(None, None).unwrap();
        assert!(restored.until_ms >= until.ms(), "{} of {}", restored.until_ms, until.ms());
        assert!(self.was(restored.until_ms, until.ms(), digest), "the newest, {}", restored.backup);
        for pick in picks {
            let span = (until.ms() - first.until.ms()) as f64;
            let ms = first.until.ms() + (span * pick) as i64;
            let is_gone = |hole: &Hole| hole.after.ms() <= ms && ms <= hole.before.ms();
            match self.bench.restore(None, Some(ms)) {
                Ok((_, digest)) => assert!(self.was(ms, until.ms(), digest), "at {ms}"),
                Err(Error::NotCovered { .. }) if ms < self.kept_from || self.holes.iter().any(is_gone) => {}
                Err(error) => panic!("{ms}: {error}; {:?}", self.stored),
            }
        }
    }
}

fn next(n: u64) -> u64 {
    n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

fn archive(bench: &Bench, progress: &Progress, told: &dyn Fn(&Report)) -> Result<Report, Error> {
    let beside = Some(Beside { every: Duration::ZERO, told });
    let (repository, recipient, purpose) = (&bench.repository, &bench.keys.public, Purpose::Archive);
    take(bench.engine(), &Job { repository, recipient, purpose, full: false, sizes: bench.sizes, beside, progress })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_was_archived_can_be_restored_whatever_happened_meanwhile(
        seed: u64,
        events in prop::collection::vec(event(), 4..24),
        picks in prop::collection::vec(0.0..1.0f64, 4),
    ) {
        let mut world = World::new(seed);
        for (n, event) in events.iter().enumerate() {
            world.do_it(event);
            if n % 6 == 5 {
                world.check(&picks[..1]);
            }
        }
        world.do_it(&Event::Store(0, Trouble::Nothing));
        world.check(&picks);
        // All that there is, is there.
        prop_assert_eq!(world.bench.restore(None, None).unwrap().1, digest(world.bench.engine()));
        let listed = world.bench.list();
        prop_assert!(listed.iter().all(|listed| listed.is_whole), "{:?}", listed);
    }
}

#[test]
fn log_is_stored_beside_rows_and_of_both_chains_the_one_that_reaches_furthest_is_restored() {
    let bench = Bench { sizes: SIZES, ..Bench::new() };
    bench.engine().set_archive_log_bytes(u64::MAX);
    bench.steps(0..200);
    let first = archive(&bench, &Progress::default(), &|_| {}).unwrap();
    assert_eq!(first.why, Why::Whole(WhyWhole::First));
    bench.steps(200..500);
    // Larger than the rows: they are stored anew.
    let grown = archive(&bench, &Progress::default(), &|_| {}).unwrap();
    assert_eq!(grown.why, Why::GoesOn);
    let (beside, seen) = (RefCell::new(Vec::new()), RefCell::new(vec![bench.step(1)]));
    let whole = archive(&bench, &Progress::default(), &|report| {
        beside.borrow_mut().push(report.clone());
        seen.borrow_mut().push(bench.step(beside.borrow().len() as u64));
    });
    let (whole, beside, seen) = (whole.unwrap(), beside.into_inner(), seen.into_inner());
    assert_eq!(whole.why, Why::Whole(WhyWhole::Grown));
    assert!(beside.len() > 2 && beside.iter().all(|report| report.why == Why::GoesOn), "{beside:?}");
    assert!(beside.last().unwrap().backup > whole.backup, "its name is later, and it has less");
    // Log behind the rows is stored in parts as well.
    assert!(beside.last().unwrap().until > whole.until, "it goes on to the end: {beside:?}");
    let (restored, newest) = bench.restore(None, None).unwrap();
    let last = beside.last().unwrap();
    assert_eq!((&restored.backup, newest), (&last.backup, at(&seen, last.until).digest));
    let next = archive(&bench, &Progress::default(), &|_| {}).unwrap();
    assert_eq!(next.why, Why::GoesOn);
    let (restored, newest) = bench.restore(None, None).unwrap();
    assert_eq!((restored.backup, newest), (next.backup, digest(bench.engine())));
    for report in &beside {
        let (_, digest) = bench.restore(Some(&report.backup), None).unwrap();
        assert_eq!(digest, at(&seen, report.until).digest, "what was written beside rows is not at risk meanwhile");
        assert_eq!(bench.restore(None, Some(report.until.ms())).unwrap().1, digest);
    }
}

#[test]
fn an_archive_and_backups_that_are_asked_for_go_on_beside_each_other_in_one_place() {
    let bench = Bench::new();
    bench.engine().set_archive_log_bytes(u64::MAX);
    bench.steps(0..20);
    let none = |_: &Report| {};
    assert_eq!(archive(&bench, &Progress::default(), &none).unwrap().why, Why::Whole(WhyWhole::First));
    assert_eq!(bench.take(false).unwrap().why, Why::Whole(WhyWhole::First));
    bench.engine().set_backup_log_bytes(0);
    bench.steps(0..20);
    bench.engine().checkpoint().unwrap();
    assert_eq!(bench.take(false).unwrap().why, Why::GoesOn, "what the archive needs is there for all");
    let stored = archive(&bench, &Progress::default(), &none).unwrap();
    assert_eq!((stored.why, stored.hole), (Why::GoesOn, None));
    assert_eq!(reached(bench.engine(), &bench.repository, Purpose::Archive), Some((stored.end, stored.until)));
    bench.engine().set_archive_log_bytes(1);
    bench.steps(0..20);
    bench.engine().checkpoint().unwrap();
    let (after, cut) = (stored.until, archive(&bench, &Progress::default(), &none).unwrap());
    assert_eq!(cut.why, Why::Whole(WhyWhole::LogCut));
    let Some(hole) = cut.hole else { panic!("it is not said what is missing") };
    assert!(hole.after == after && hole.before > after && hole.before <= cut.until, "{hole:?}");
    let middle = hole.after.ms() + 1;
    assert!(matches!(bench.restore(None, Some(middle)), Err(Error::NotCovered { .. })));
}

#[test]
fn what_is_old_goes_once_there_are_later_rows_and_what_is_asked_for_goes_on() {
    let bench = Bench { sizes: SIZES, ..Bench::new() };
    bench.engine().set_archive_log_bytes(u64::MAX);
    let pass = |ms| bench.clock.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    let store = || archive(&bench, &Progress::default(), &|_| {}).unwrap();
    let prune = |ms| prune(bench.engine(), &bench.repository, Duration::from_millis(ms)).unwrap();
    bench.steps(0..200);
    let first = store();
    bench.steps(200..500);
    store();
    bench.step(3);
    pass(100_000);
    assert!(matches!(store().why, Why::Whole(WhyWhole::Grown)));
    pass(100_000);
    assert_eq!(prune(200_000), 0, "it is to be kept");
    assert_eq!((prune(10_000), prune(10_000)), (1, 0));
    assert!(bench.list().iter().all(|listed| listed.chain() > &first.backup));
    assert!(matches!(bench.restore(None, Some(first.until.ms())), Err(Error::NotCovered { .. })));
    assert_eq!(store().why, Why::GoesOn);
    pass(1_000_000);
    assert_eq!(prune(0), 0, "the last chain stays, however old it is");
    assert_eq!(bench.restore(None, None).unwrap().1, digest(bench.engine()));
}

#[test]
fn what_is_missing_is_named_with_what_was_in_it() {
    let bench = Bench { sizes: SIZES, ..Bench::new() };
    bench.engine().set_archive_log_bytes(u64::MAX);
    bench.steps(0..30);
    let store = || archive(&bench, &Progress::default(), &|_| {}).unwrap();
    let first = store();
    bench.step(5);
    let second = store();
    bench.step(5);
    let third = store();
    let object = |report: &Report, last: &str| {
        let is_it = |name: &archive::storage::Name| {
            name.as_str().ends_with(last) && name.as_str().contains(&format!("/{}/", report.backup))
        };
        bench.objects().into_iter().find(is_it).unwrap()
    };
    for (last, positions) in [("manifest", second.end), ("log-000000", second.end)] {
        let name = object(&second, last);
        let bytes = archive::storage::Storage::get_bytes(&*bench.memory, &name, 1 << 20).unwrap();
        archive::storage::Storage::delete(&*bench.memory, &name).unwrap();
        let error = bench.restore(Some(&third.backup), None).unwrap_err();
        let Error::Missing { name: found, what } = &error else { panic!("{error}") };
        assert!(
            found == name.as_str() && what.contains("log") && what.contains(&positions.get().to_string()),
            "{error}"
        );
        assert!(bench.restore(Some(&first.backup), None).is_ok(), "what comes before it can be restored");
        archive::storage::Storage::put(&*bench.memory, &name, &bytes).unwrap();
    }
    bench.restore(None, None).unwrap();
}

/// The answer to a manifest is lost: whether it is whole is found out by the next one, and until then what comes behind it is kept, though
/// the chain beside it has gone on further.
#[test]
fn log_behind_rows_of_which_nobody_knows_whether_they_are_whole_is_kept() {
    let bench = Bench { sizes: SIZES, ..Bench::new() };
    bench.engine().set_archive_log_bytes(u64::MAX);
    bench.steps(0..200);
    let store = |told: &dyn Fn(&Report)| archive(&bench, &Progress::default(), told);
    let first = store(&|_| {}).unwrap();
    bench.steps(200..500);
    store(&|_| {}).unwrap();
    bench.step(1);
    let old = first.backup.to_string();
    bench.memory.fail_when(move |call| {
        let mut words = call.name.split('/').skip(1);
        let (chain, backup, last) = (words.next(), words.next(), words.next());
        let is_it = chain == backup && last == Some("manifest") && chain != Some(&old);
        (is_it && call.operation == archive::storage::Operation::PutStream).then_some(Fault::LoseAnswer)
    });
    let told = RefCell::new(0);
    // 300 kB each.
    let failed = store(&|_| {
        (0..3).for_each(|_| {
            bench.step(7);
        });
        *told.borrow_mut() += 1;
    });
    assert!(matches!(failed, Err(Error::Archive(_))) && *told.borrow() > 10, "{told:?}");
    bench.memory.heal();
    let first_before = bench.engine().log().first();
    bench.engine().checkpoint().unwrap();
    assert!(bench.engine().log().first() > first_before, "something was cut");
    let next = store(&|_| {}).unwrap();
    assert_eq!(next.hole, None, "{next:?}");
    assert_eq!(bench.restore(None, None).unwrap().1, digest(bench.engine()));
}
