//! The wheel against an ordered set of entries.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Op {
    Insert(i64),
    Far(i64),
    Advance(i64, usize),
    Retain(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let far = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(-1), Just(0), any::<i64>()];
    prop_oneof![
        20 => prop_oneof![-50_i64..100, -50_i64..10_000, 0_i64..100_000_000].prop_map(Op::Insert),
        1 => far.prop_map(Op::Far),
        10 => (prop_oneof![0_i64..20, 0_i64..5_000, 0_i64..50_000_000], prop_oneof![1_usize..8, Just(usize::MAX)])
            .prop_map(|(by, budget)| Op::Advance(by, budget)),
        1 => (2_u64..5).prop_map(Op::Retain),
    ]
}

proptest! {
    #[test]
    fn fires_what_is_due_and_nothing_else(
        start in prop_oneof![Just(1_700_000_000_000_i64), Just(-100), Just(0), Just(i64::MIN)],
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut wheel = Wheel::new(start);
        let (mut now, mut model) = (start, BTreeSet::new());
        for (token, op) in (0_u64..).zip(ops) {
            match op {
                Op::Insert(after) => {
                    let at = now.saturating_add(after);
                    wheel.insert(at, token);
                    model.insert((at, token));
                }
                Op::Far(at) => {
                    wheel.insert(at, token);
                    model.insert((at, token));
                }
                Op::Advance(by, budget) => {
                    now = now.saturating_add(by);
                    let mut fired = 0;
                    let done = wheel.advance(now, budget, |at, token| {
                        assert!(at <= now, "fired early");
                        assert!(model.remove(&(at, token)), "fired twice or never inserted");
                        fired += 1;
                    });
                    prop_assert!(fired <= budget);
                    prop_assert_eq!(done || budget < usize::MAX, true, "a boundless budget does it all");
                    if done {
                        prop_assert!(model.first().is_none_or(|(at, _)| *at > now), "a due entry was kept back");
                    }
                }
                Op::Retain(every) => {
                    wheel.retain(|_, token| token % every != 0);
                    model.retain(|(_, token)| token % every != 0);
                }
            }
            wheel.validate();
            prop_assert_eq!(wheel.len(), model.len());
            match (wheel.next_deadline(), model.first()) {
                (Some(hint), Some((at, _))) => prop_assert!(hint <= (*at).max(now), "the hint is too late"),
                (hint, first) => prop_assert_eq!(hint.is_none(), first.is_none()),
            }
        }
        let mut rounds = 0;
        while !wheel.advance(i64::MAX, 7, |at, token| assert!(model.remove(&(at, token)))) {
            rounds += 1;
            prop_assert!(rounds < 100_000, "a bounded advance must come to an end");
        }
        prop_assert!(model.is_empty() && wheel.is_empty());
    }
}

#[test]
fn work_per_call_stays_within_the_budget_when_a_full_slot_comes_due() {
    let mut wheel = Wheel::new(0);
    for token in 0..100_000 {
        wheel.insert(5_000_000 + (token % 1000) as i64, token);
    }
    let mut fired = 0;
    let mut calls = 0;
    loop {
        let before = fired;
        calls += 1;
        let done = wheel.advance(5_000_999, 100, |_, _| fired += 1);
        assert!(fired - before <= 100);
        if done {
            break;
        }
    }
    assert_eq!(fired, 100_000);
    assert!(calls >= 1000);
}

#[test]
fn time_that_goes_back_is_waited_for() {
    let mut wheel = Wheel::new(0);
    assert!(wheel.advance(1000, usize::MAX, |_, _| ()));
    (0..100).for_each(|token| wheel.insert(900, token));
    assert!(wheel.advance(800, 10, |at, _| panic!("{at} is not there yet")));
    assert!(wheel.next_deadline().is_some_and(|at| at > 800), "or whoever waits for it would ask again at once");
    let mut fired = 0;
    assert!(wheel.advance(1000, usize::MAX, |_, _| fired += 1));
    assert_eq!(fired, 100);
}

#[test]
fn a_million_entries_cost_little_beyond_their_sixteen_bytes() {
    let mut wheel = Wheel::new(1_700_000_000_000);
    let mut state = 1;
    for token in 0..1_000_000 {
        state = crate::value::mix(&mut state);
        wheel.insert(1_700_000_000_000 + (state % 86_400_000) as i64, token);
    }
    let each = wheel.memory_bytes() as f64 / 1e6;
    eprintln!("wheel: {each:.1} bytes an entry over a day");
    assert!(each < 20.0);
}
