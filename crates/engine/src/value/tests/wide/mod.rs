//! Images of large values, against a plain model of the rows that a store would hold.
//!
//! *Rule:* after each image that was written, the store's rows are the value as it was when the image began; an image has
//! only rows that changed since the one before, in order; and the rows make the same value again.

mod away;
mod bench;
mod loading;
mod model;
mod needs;

use crate::value::Kind;
use bench::{Bench, Op};
use proptest::prelude::*;

fn op() -> impl Strategy<Value = Op> {
    // Elements near one another, now and then any: those that come next, and those that were just handed over.
    let n = || prop_oneof![3 => 0u16..40, 1 => 0u16..700];
    prop_oneof![
        30 => (n(), any::<u16>()).prop_map(|(n, salt)| Op::Add(n, salt)),
        30 => (n(), any::<u16>()).prop_map(|(n, salt)| Op::Remove(n, salt)),
        3 => (0u16..400).prop_map(Op::Shrink),
        8 => Just(Op::Undo),
        10 => Just(Op::Freeze),
        20 => (1usize..60, 1usize..3000).prop_map(|(rows, bytes)| Op::Step(rows, bytes)),
        8 => Just(Op::Step(2000, usize::MAX)),
        10 => Just(Op::Thaw),
        3 => Just(Op::Cancel),
        2 => Just(Op::Disown),
        1 => Just(Op::Forget),
        1 => Just(Op::Reload),
        3 => Just(Op::Rest),
        12 => Just(Op::Shed),
        10 => (n(), 0u8..6).prop_map(|(n, how)| Op::Bring(n, how)),
        1 => Just(Op::Rename),
    ]
}

fn images_are_the_value(kind: Kind, count: u16, ops: Vec<Op>) {
    let mut bench = Bench::new(kind, count);
    ops.into_iter().for_each(|op| bench.run(op));
    bench.write_all();
    bench.reload();
}

#[test]
fn a_step_that_the_last_elements_fill_leaves_the_fences_to_the_next() {
    for kind in [Kind::Hash, Kind::Set, Kind::ZSet, Kind::List] {
        let mut bench = Bench::new(kind, 200);
        bench.run(Op::Freeze);
        (0..500).for_each(|_| bench.run(Op::Step(1, usize::MAX)));
        bench.run(Op::Thaw);
        bench.reload();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn images_of_a_hash_are_what_it_was(count in 13u16..300, ops in prop::collection::vec(op(), 0..120)) {
        images_are_the_value(Kind::Hash, count, ops);
    }

    #[test]
    fn images_of_a_set_are_what_it_was(count in 21u16..300, ops in prop::collection::vec(op(), 0..120)) {
        images_are_the_value(Kind::Set, count, ops);
    }

    #[test]
    fn images_of_a_sorted_set_are_what_it_was(count in 13u16..300, ops in prop::collection::vec(op(), 0..120)) {
        images_are_the_value(Kind::ZSet, count, ops);
    }

    #[test]
    fn images_of_a_list_are_what_it_was(count in 13u16..300, ops in prop::collection::vec(op(), 0..120)) {
        images_are_the_value(Kind::List, count, ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn images_of_a_string_are_what_it_was(count in 13u16..300, ops in prop::collection::vec(op(), 0..80)) {
        images_are_the_value(Kind::String, count, ops);
    }
}
