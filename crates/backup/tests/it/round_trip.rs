//! What is restored is what there was, at the end of each backup and at any moment in between.

use std::sync::atomic::{AtomicBool, Ordering};

use backup::{Error, Report, Why};
use effect::Op;
use engine::{Lock, Recycled};
use proptest::prelude::*;

use crate::bench::{Bench, Seen, at, at_ms, see};

/// Takes backups while somebody writes; says what there was when.
fn while_writing(bench: &Bench, seed: u64, fulls: &[bool]) -> (Vec<Report>, Vec<Seen>) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut seen = Vec::new();
            let mut n = seed;
            while !stop.load(Ordering::Relaxed) {
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seen.push(bench.step(n >> 33));
                if n >> 60 == 0 {
                    bench.engine().request_checkpoint();
                }
            }
            seen
        });
        let reports = fulls.iter().map(|full| bench.take(*full).unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        (reports, writer.join().unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn backups_taken_while_others_write_are_exact(
        seed: u64,
        fulls in prop::collection::vec(prop::bool::weighted(0.3), 2..6),
        restart: bool,
        picks in prop::collection::vec(0.0..1.0f64, 3),
    ) {
        let mut bench = Bench::new();
        let mut seen: Vec<Seen> = (0..40).map(|n| bench.step(seed.wrapping_add(n) >> 3)).collect();
        let (mut reports, more) = while_writing(&bench, seed, &fulls);
        seen.extend(more);
        if restart {
            bench.restart();
            let (again, more) = while_writing(&bench, !seed, &[false, false]);
            prop_assert!(again.iter().all(|report| report.why == Why::GoesOn), "a restart goes on: {again:?}");
            reports.extend(again);
            seen.extend(more);
        }
        prop_assert!(matches!(reports[0].why, Why::Whole(_)));
        for report in &reports {
            let (restored, digest) = bench.restore(Some(&report.backup), None).unwrap();
            prop_assert_eq!(digest, at(&seen, report.until).digest, "at the end of {:?}", report);
            prop_assert_eq!(restored.until_ms, report.until.ms());
        }
        // Any moment from the first to the last, also one between a backup and the next that has all rows.
        let (from, to) = (reports[0].until.ms() as f64, reports[reports.len() - 1].until.ms() as f64);
        for pick in &picks {
            let ms = (from + (to - from) * pick) as i64;
            let (restored, digest) = bench.restore(None, Some(ms)).unwrap();
            prop_assert_eq!(digest, at_ms(&seen, ms).digest, "at {} of {:?}", ms, reports);
            prop_assert_eq!(restored.until_ms, ms);
        }
        let (_, digest) = bench.restore(None, None).unwrap();
        prop_assert_eq!(digest, at(&seen, reports[reports.len() - 1].until).digest, "the newest");
    }
}

#[test]
fn a_moment_that_no_backup_has_is_refused_with_those_beside_it() {
    let bench = Bench::new();
    bench.steps(0..20);
    let first = bench.take(false).unwrap();
    bench.steps(0..20);
    let second = bench.take(false).unwrap();
    let refused = |ms| match bench.restore(None, Some(ms)) {
        Err(Error::NotCovered { before_ms, after_ms, .. }) => (before_ms, after_ms),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(second.until.ms() + 1), (Some(second.until.ms()), None));
    let (before, after) = refused(10);
    assert!(before.is_none() && after.is_some_and(|ms| ms <= first.until.ms()), "{after:?}");
    for ms in [first.until.ms(), second.until.ms()] {
        assert_eq!(bench.restore(None, Some(ms)).unwrap().0.until_ms, ms);
    }
    assert!(matches!(bench.restore(Some(&first.backup), Some(second.until.ms())), Err(Error::NotCovered { .. })));
    let unknown = backup::BackupId::parse("20251122T100000.123Z-ab12cd34").unwrap();
    assert!(matches!(bench.restore(Some(&unknown), None), Err(Error::Unknown(_))));
}

fn write(bench: &Bench) {
    let (engine, mut recycled) = (bench.engine(), Recycled::new());
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    context.out.emit(b"n", false, Op::AddInt(1));
    context.commit().unwrap();
}

/// A backup may end in the middle of a millisecond; what others have of the rest of it counts.
#[test]
fn a_millisecond_is_restored_to_its_end() {
    let bench = Bench::new();
    bench.steps(0..20);
    let ms = see(bench.engine()).last.ms();
    for full in [false, false, true, false] {
        // The clock stands still.
        write(&bench);
        let seen = see(bench.engine());
        assert_eq!(seen.last.ms(), ms);
        bench.take(full).unwrap();
        let (restored, digest) = bench.restore(None, Some(ms)).unwrap();
        assert_eq!((restored.until_ms, digest), (ms, seen.digest));
    }
}

/// A base that is taken anew leaves no hole: the chain before it is continued up to there.
#[test]
fn any_moment_between_a_backup_and_the_next_whole_one_can_be_restored() {
    let bench = Bench::new();
    bench.steps(0..20);
    let first = bench.take(false).unwrap();
    let seen: Vec<Seen> = (0..20).map(|n| bench.step(n)).collect();
    let whole = bench.take(true).unwrap();
    assert!(matches!(whole.why, Why::Whole(_)));
    for ms in first.until.ms() + 1..=whole.until.ms() {
        let restored = bench.restore(None, Some(ms));
        let expected = seen.iter().rfind(|seen| seen.last.ms() <= ms);
        let (_, digest) = restored.unwrap();
        assert!(expected.is_none_or(|seen| seen.digest == digest), "{ms}");
    }
}
