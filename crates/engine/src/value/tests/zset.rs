//! Sorted sets against a sorted vector.

use super::{check, histories, name, small_limits};
use crate::value::{Encoding, Entry, HashSeed, Kind, LexBound, Limits, ScoreBound, ZSetRef};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>, f64),
    Remove(Vec<u8>),
    Pop(bool),
    Fill(u16, u8),
    Drain(u16),
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-6_i32..6).prop_map(f64::from),
        1 => Just(-0.0),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MIN_POSITIVE)],
        1 => -1e9..1e9,
    ]
}

fn op(name: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Op> {
    prop_oneof![
        60 => (name.clone(), score()).prop_map(|(m, s)| Op::Insert(m, s)),
        20 => name.prop_map(Op::Remove),
        4 => any::<bool>().prop_map(Op::Pop),
        1 => (1_u16..400, any::<u8>()).prop_map(|(n, way)| Op::Fill(n, way)),
        1 => (1_u16..300).prop_map(Op::Drain),
    ]
    .boxed()
}

type Row = (Vec<u8>, f64);

fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Vec<Row> {
    let mut rows: Vec<Row> = model.iter().map(|(m, s)| (m.clone(), *s)).collect();
    rows.sort_by(|one, other| one.1.partial_cmp(&other.1).expect("no NaN").then_with(|| one.0.cmp(&other.0)));
    rows
}

fn compare_ranges(zset: ZSetRef<'_>, rows: &[Row], ends: (f64, f64)) {
    type Test = fn(f64, f64) -> bool;
    let mins: [(ScoreBound, Test); 2] =
        [(ScoreBound::Inclusive(ends.0), |s, e| s >= e), (ScoreBound::Exclusive(ends.0), |s, e| s > e)];
    let maxs: [(ScoreBound, Test); 2] =
        [(ScoreBound::Inclusive(ends.1), |s, e| s <= e), (ScoreBound::Exclusive(ends.1), |s, e| s < e)];
    for (min, above) in mins {
        for (max, below) in maxs {
            let expected: Vec<_> = rows.iter().filter(|r| above(r.1, ends.0) && below(r.1, ends.1)).collect();
            let range = zset.score_range(min, max);
            assert_eq!(range.len(), expected.len());
            assert!(zset.range(range).unwrap().map(|r| r.0).eq(expected.iter().map(|r| &r.0[..])));
        }
    }
}

fn compare(entry: &Entry, model: &BTreeMap<Vec<u8>, f64>, ends: (f64, f64)) {
    let zset = entry.zset().expect("a sorted set");
    let rows = sorted(model);
    assert_eq!(zset.len(), rows.len());
    assert!(zset.iter().eq(rows.iter().map(|r| (&r.0[..], r.1))));
    assert!(zset.iter().rev().eq(rows.iter().rev().map(|r| (&r.0[..], r.1))));
    let third = rows.len() / 3;
    assert!(
        zset.range(third..2 * third).unwrap().rev().eq(rows[third..2 * third].iter().rev().map(|r| (&r.0[..], r.1)))
    );
    for (rank, (member, score)) in rows.iter().enumerate().step_by(7) {
        assert_eq!(zset.rank(member), Some(rank));
        assert_eq!(zset.by_rank(rank), Ok(Some((&member[..], *score))));
        assert_eq!(zset.score(member), Some(*score));
    }
    assert_eq!(zset.by_rank(rows.len()), Ok(None));
    assert_eq!(zset.score(b"no such member"), None);
    compare_ranges(zset, &rows, ends);
    let (mut from, mut seen) = (Some(0), BTreeSet::new());
    while let Some(at) = from {
        from = zset.scan(at, |member, score| {
            assert_eq!(model.get(member), Some(&score));
            assert!(seen.insert(member.to_vec()));
        });
    }
    assert_eq!(seen.len(), rows.len());
    assert_eq!(zset.pick(3).is_some(), !rows.is_empty());
}

fn apply(entry: &mut Entry, limits: &Limits, model: &mut BTreeMap<Vec<u8>, f64>, op: Op) {
    let mut zset = entry.zset_mut(limits).expect("a sorted set");
    match op {
        Op::Insert(member, score) => assert_eq!(zset.insert(&member, score), model.insert(member, score)),
        Op::Remove(member) => assert_eq!(zset.remove(&member), model.remove(&member)),
        Op::Pop(greatest) => {
            let rows = sorted(model);
            let expected = if greatest { rows.last() } else { rows.first() };
            let rank = if greatest { rows.len().saturating_sub(1) } else { 0 };
            let popped = zset.pop(rank).unwrap().map(|(member, score)| (member.into_vec(), score));
            assert_eq!(popped.as_ref(), expected);
            popped.map(|(member, _)| model.remove(&member));
        }
        Op::Fill(count, way) => {
            for n in 0..count {
                let score = match way % 4 {
                    0 => f64::from(n),
                    1 => -f64::from(n),
                    2 => 1.5,
                    _ => f64::from(n.wrapping_mul(40_503) % 512),
                };
                let member = format!("fill:{n}").into_bytes();
                assert_eq!(zset.insert(&member, score), model.insert(member, score));
            }
        }
        Op::Drain(count) => {
            for member in model.keys().take(usize::from(count)).cloned().collect::<Vec<_>>() {
                assert_eq!(zset.remove(&member), model.remove(&member));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sorted_set_behaves_like_sorted_rows(
        ops in histories(op, 200), ends in (score(), score()),
    ) {
        let limits = small_limits();
        let mut entry = Entry::empty(Kind::ZSet, b"key", None);
        let mut model = BTreeMap::new();
        for (step, op) in ops.into_iter().enumerate() {
            apply(&mut entry, &limits, &mut model, op);
            check(&entry, b"key", None);
            if step % 10 == 0 {
                compare(&entry, &model, ends);
            }
        }
        compare(&entry, &model, ends);
    }

    #[test]
    fn lex_ranges_are_those_of_sorted_members(
        members in prop::collection::btree_set(name(), 0..200), ends in (name(), name()),
    ) {
        let limits = small_limits();
        let mut entry = Entry::empty(Kind::ZSet, b"key", None);
        for (n, member) in members.iter().enumerate() {
            entry.zset_mut(&limits).expect("a sorted set").insert(member, if n % 2 == 0 { 0.0 } else { -0.0 });
        }
        let zset = entry.zset().expect("a sorted set");
        type Test = fn(&[u8], &[u8]) -> bool;
        let mins: [(LexBound, Test); 4] = [
            (LexBound::Min, |_, _| true), (LexBound::Max, |_, _| false),
            (LexBound::Inclusive(&ends.0), |m, e| m >= e), (LexBound::Exclusive(&ends.0), |m, e| m > e),
        ];
        let maxs: [(LexBound, Test); 4] = [
            (LexBound::Min, |_, _| false), (LexBound::Max, |_, _| true),
            (LexBound::Inclusive(&ends.1), |m, e| m <= e), (LexBound::Exclusive(&ends.1), |m, e| m < e),
        ];
        for (min, above) in mins {
            for (max, below) in maxs {
                let expected: Vec<_> = members.iter().filter(|m| above(m, &ends.0) && below(m, &ends.1)).collect();
                let range = zset.lex_range(min, max);
                prop_assert_eq!(range.len(), expected.len());
                prop_assert!(zset.range(range).unwrap().map(|row| row.0).eq(expected.iter().map(|m| &m[..])));
            }
        }
    }
}

#[test]
fn a_large_sorted_set_keeps_its_order_through_growth_and_shrinking() {
    let limits = Limits { seed: HashSeed([1; 16]), ..Limits::default() };
    let mut entry = Entry::empty(Kind::ZSet, b"key", None);
    let mut model = BTreeMap::new();
    let mut state = 5;
    for n in 0..12_000_u32 {
        let score = (super::super::mix(&mut state) % 3000) as f64;
        let member = format!("m{}", n % 9000).into_bytes();
        assert_eq!(entry.zset_mut(&limits).expect("a sorted set").insert(&member, score), model.insert(member, score));
    }
    check(&entry, b"key", None);
    compare(&entry, &model, (100.0, 2000.0));
    assert_eq!(entry.encoding(), Encoding::Skiplist);
    let full = entry.memory_bytes();
    let members: Vec<_> = model.keys().cloned().collect();
    for (n, member) in members.iter().enumerate().filter(|(n, _)| n % 50 != 0) {
        assert_eq!(entry.zset_mut(&limits).expect("a sorted set").remove(member), model.remove(member));
        if n % 1000 == 1 {
            check(&entry, b"key", None);
        }
    }
    compare(&entry, &model, (100.0, 2000.0));
    assert!(entry.memory_bytes() < full / 10, "{} of {full} bytes left", entry.memory_bytes());
}
