//! Effects that no command makes, as a broken or hostile peer might: they cost what they touch, not what they say.

use std::sync::Arc;

use effect::limits::MAX_RUN;
use effect::{Kind, ListPos, Op, Side};
use proptest::prelude::*;

use crate::{Context, Digest, Engine, Lock, Options, Recycled};

const KEY: &[u8] = b"list";
const NOW_MS: i64 = 1_000_000;

fn open(dir: &std::path::Path) -> Engine {
    Engine::open(dir, Options::new(Arc::new(|| NOW_MS), [7; 22])).unwrap()
}

/// Does something in a context, and commits it or takes it back.
fn run<R>(engine: &Engine, commit: bool, change: impl FnOnce(&mut Context<'_>) -> R) -> R {
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    let result = change(&mut context);
    context.savepoint();
    match commit {
        true => drop(context.commit().unwrap()),
        false => context.abort(),
    }
    result
}

fn push(context: &mut Context<'_>, first: &ListPos, count: usize) {
    let fresh = context.state.kind(KEY).unwrap() != Some(Kind::List);
    let mut values = context.out.ids();
    (0..count).for_each(|n| values.push(format!("{first:?} {n}").as_bytes()));
    context.out.emit(KEY, fresh, Op::Push { side: Side::Tail, first: first.clone(), values: values.seq() });
    context.savepoint();
}

fn cut(context: &mut Context<'_>, first: &ListPos, len: u64) {
    let mut runs = context.out.runs();
    runs.push((first.clone(), len));
    context.out.emit(KEY, false, Op::Cut(runs.seq()));
}

fn positions(context: &Context<'_>) -> Vec<ListPos> {
    let Some(list) = context.state.list(KEY).unwrap() else { return Vec::new() };
    (0..).map_while(|index| list.position(index).unwrap()).collect()
}

fn digest(engine: &Engine) -> Digest {
    run(engine, false, |context| context.state.digest().unwrap())
}

/// Whether a position is one of `len` from `first` on.
fn is_among(pos: &ListPos, first: &ListPos, len: u64) -> bool {
    let same = (pos.epoch, pos.origin, &pos.path) == (first.epoch, first.origin, &first.path);
    same && pos.n >= first.n && pos.n.abs_diff(first.n) < len
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_of_any_length_takes_the_elements_that_are_there(
        pushes in prop::collection::vec((0u64..3, 0i64..400, 1usize..200), 1..6),
        holes in prop::collection::vec((0u64..3, 0i64..400, 1u64..60), 0..4),
        (origin, n) in (0u64..3, -10i64..500),
        len in prop_oneof![1u64..300, Just(MAX_RUN), Just(MAX_RUN - 1), Just(1 << 31)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        run(&engine, true, |context| {
            pushes.iter().for_each(|(origin, n, count)| push(context, &ListPos::new(0, *origin, *n), *count));
            holes.iter().for_each(|(origin, n, len)| cut(context, &ListPos::new(0, *origin, *n), *len));
        });
        let first = ListPos::new(0, origin, n);
        let all = run(&engine, false, |context| positions(context));
        let kept: Vec<_> = all.iter().filter(|pos| !is_among(pos, &first, len)).cloned().collect();

        let before = digest(&engine);
        run(&engine, false, |context| cut(context, &first, len));
        prop_assert_eq!(digest(&engine), before, "it can be taken back");
        run(&engine, true, |context| cut(context, &first, len));
        prop_assert_eq!(run(&engine, false, |context| positions(context)), kept);
        let after = digest(&engine);
        engine.close().unwrap();
        prop_assert_eq!(digest(&open(dir.path())), after, "replay does the same");
    }
}
