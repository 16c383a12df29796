//! Each check catches a bug that is put in for it. A check that cannot fail is none.

use sim::{Fault, Plan, run};

/// How many clusters a planted bug may get away with.
const SEEDS: u64 = 1_500;

#[test]
fn every_planted_bug_is_caught_by_the_check_that_is_meant_for_it() {
    std::panic::set_hook(Box::new(|_| {}));
    let missed: Vec<_> = Fault::ALL.iter().filter(|(fault, check)| !is_caught(*fault, check)).collect();
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

fn is_caught(fault: Fault, check: &str) -> bool {
    (1..=SEEDS).any(|seed| {
        run(&Plan::of(seed, Some(fault))).is_err_and(|violation| check.is_empty() || violation.check == check)
    })
}
