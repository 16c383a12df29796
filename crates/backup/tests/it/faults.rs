//! Whatever fails while a backup is taken, those before it are as they were, and the next one is whole.

use std::sync::Arc;

use archive::storage::{Fault, Operation};
use backup::{Error, Progress, Sizes};

use crate::bench::{Bench, digest};

/// Few objects, so that there are few calls.
const SIZES: Sizes = Sizes { rows: 1 << 20, log: 1 << 20, rebase: 1 << 30, chain: 1000 };

/// Every call of a backup fails once; with what was and what comes all is well.
fn each_call_fails(full: bool, fault: Fault) {
    let bench = Bench { sizes: SIZES, ..Bench::new() };
    bench.steps(0..60);
    let mut good = bench.take(false).unwrap();
    let mut good_digest = digest(bench.engine());
    let (mut n, mut failures) = (100, 0);
    for call in 0.. {
        n += 1;
        bench.step(n);
        let at = bench.memory.calls() + call;
        bench.memory.fail_when(move |called| (called.number == at).then_some(fault));
        let result = bench.take(full);
        let was_called = bench.memory.calls() > at;
        bench.memory.heal();
        match result {
            Err(Error::Archive(_)) => failures += 1,
            Err(error) => panic!("call {call}: {error}"),
            // What was lost was the answer to something that is not needed.
            Ok(report) => (good, good_digest) = (report, digest(bench.engine())),
        }
        assert_eq!(bench.restore(Some(&good.backup), None).unwrap().1, good_digest, "call {call}: one from before");
        let whole = || bench.list().iter().filter(|listed| listed.is_whole).count();
        let before = whole();
        good = bench.take(false).unwrap();
        good_digest = digest(bench.engine());
        assert_eq!(whole(), before + 1, "call {call}: one whose end was not known, and that is there, stays");
        assert_eq!(bench.restore(None, None).unwrap().1, good_digest, "call {call}: the next");
        let left: Vec<_> = bench.list().into_iter().filter(|listed| !listed.is_whole).collect();
        assert_eq!(left, [], "call {call}: nothing is left of what failed");
        if !was_called {
            break;
        }
    }
    assert!(failures >= 3, "{failures} calls failed");
}

#[test]
fn refused_calls_of_a_backup_that_goes_on() {
    each_call_fails(false, Fault::Refuse);
}

#[test]
fn refused_calls_of_a_whole_backup() {
    each_call_fails(true, Fault::Refuse);
}

#[test]
fn lost_answers_to_a_backup_that_goes_on() {
    each_call_fails(false, Fault::LoseAnswer);
}

#[test]
fn lost_answers_to_a_whole_backup() {
    each_call_fails(true, Fault::LoseAnswer);
}

/// The process is gone at some call: nothing is removed, and nothing is noted any more.
#[test]
fn a_crash_at_any_call_leaves_what_the_next_backup_clears_away() {
    for call in 0..8 {
        let mut bench = Bench { sizes: SIZES, ..Bench::new() };
        bench.steps(0..60);
        let good = bench.take(false).unwrap();
        let good_digest = digest(bench.engine());
        bench.step(3);
        let at = bench.memory.calls() + call;
        bench.memory.fail_when(move |called| (called.number >= at).then_some(Fault::Refuse));
        let crashed = bench.take(true).is_err();
        bench.memory.heal();
        bench.restart();
        assert_eq!(bench.restore(Some(&good.backup), None).unwrap().1, good_digest, "call {call}");
        bench.take(false).unwrap();
        assert_eq!(bench.restore(None, None).unwrap().1, digest(bench.engine()), "call {call}");
        assert!(bench.list().iter().all(|listed| listed.is_whole), "call {call}");
        assert!(crashed || call > 3);
    }
}

#[test]
fn a_cancelled_backup_leaves_nothing_behind_and_holds_no_log() {
    for operation in [Operation::PutStream, Operation::List] {
        let bench = Bench::new();
        bench.steps(0..200);
        let progress = Arc::new(Progress::default());
        let cancel = Arc::clone(&progress);
        if operation == Operation::List {
            cancel.cancel();
        }
        bench.memory.fail_when(move |call| {
            if call.operation == Operation::PutStream {
                cancel.cancel();
            }
            None
        });
        assert!(matches!(bench.take_with(true, &progress), Err(Error::Cancelled)));
        bench.memory.heal();
        assert_eq!(bench.objects(), []);
        let position = bench.engine().checkpoint().unwrap().position;
        assert_eq!(bench.engine().log().first(), position, "no pin is left");
        bench.take(false).unwrap();
        assert_eq!(bench.restore(None, None).unwrap().1, digest(bench.engine()));
    }
}
