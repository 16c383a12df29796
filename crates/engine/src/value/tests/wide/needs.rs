//! What must be in memory before an effect is applied to a value of which elements are away.

use super::bench::{Bench, Op};
use crate::value::{Kind, Part};
use effect::codec::DotShape;
use effect::items::{BytesShape, RunShape, Seq, SeqBuf};
use effect::{Effect, KeyspaceId, ListPos, Side};
use proptest::prelude::*;

fn effect(op: effect::Op<'_>) -> Effect<'_> {
    Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key: b"key", fresh: false, deps: Seq::empty(DotShape), op }
}

/// What an effect on these neighbours of a list needs, brings in.
#[derive(Debug, Clone, Copy)]
enum How {
    Push(Side),
    Cut,
}

fn needs(bench: &Bench, how: How, first: &ListPos, count: usize) -> Option<Part> {
    match how {
        How::Push(side) => {
            let mut values = SeqBuf::new(BytesShape);
            (0..count).for_each(|_| values.push(b"value"));
            bench.entry.needs(&effect(effect::Op::Push { side, first: first.clone(), values: values.seq() }))
        }
        How::Cut => {
            let mut runs = SeqBuf::new(RunShape { home: 1 });
            runs.push((first.clone(), count as u64));
            bench.entry.needs(&effect(effect::Op::Cut(runs.seq())))
        }
    }
}

/// What an effect on one element needs.
fn needs_one(bench: &Bench, pos: &ListPos) -> Option<Part> {
    bench.entry.needs(&effect(effect::Op::SetAt { pos: pos.clone(), value: b"value" }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A log may push to where others have pushed meanwhile.
    #[test]
    fn an_effect_on_neighbours_needs_what_an_effect_on_any_of_them_does(
        count in 170u16..400,
        brought in prop::collection::vec(0u16..390, 0..6),
        at in -20i64..420,
        neighbours in 1usize..50,
        how in prop_oneof![Just(How::Push(Side::Head)), Just(How::Push(Side::Tail)), Just(How::Cut)],
    ) {
        let mut bench = Bench::new(Kind::List, count);
        bench.run(Op::Rest);
        brought.into_iter().for_each(|n| bench.run(Op::Bring(n, 1)));
        let (first, way) = (ListPos::new(0, 1, at), if let How::Push(Side::Head) = how { -1 } else { 1 });
        let all: Vec<ListPos> = (0..neighbours as i64).map(|n| first.step(way * n)).collect();
        let ends = (all.iter().min().unwrap(), all.iter().max().unwrap());
        let mut brings = 0;
        while let Some(part) = needs(&bench, how, &first, neighbours) {
            let list = (bench.entry.list().unwrap(), bench.warm.list().unwrap());
            let is_between = |pos: &ListPos| *ends.0 <= *pos && pos <= ends.1 && list.0.index_of(pos).is_none();
            let is_away = list.1.positions(0..usize::MAX).unwrap().any(|pos| is_between(&pos));
            prop_assert!(is_away || all.iter().any(|pos| needs_one(&bench, pos).is_some()), "{part:?} for nothing");
            bench.bring(&part);
            brings += 1;
            prop_assert!(brings < 100, "it needs more and more");
        }
        for pos in &all {
            prop_assert_eq!(needs_one(&bench, pos), None, "{:?} of {:?}", pos, how);
        }
    }
}
