//! Every kind of value against a plain model, over the border between its packed and its big form.

mod hash;
mod list;
mod memory;
mod set;
mod text;
mod wide;
mod zset;

use super::{Entry, HashSeed, Limits};
use proptest::prelude::*;

/// Small limits, so that short histories cross them.
fn small_limits() -> Limits {
    Limits {
        hash_max_listpack_entries: 12,
        hash_max_listpack_value: 24,
        set_max_intset_entries: 20,
        set_max_listpack_entries: 12,
        set_max_listpack_value: 24,
        zset_max_listpack_entries: 12,
        zset_max_listpack_value: 24,
        list_max_listpack_size: 12,
        seed: HashSeed([7; 16]),
    }
}

/// Histories over so many names that the value becomes big, and over so few that it mostly stays packed.
fn histories<T: std::fmt::Debug + 'static>(
    op: impl Fn(BoxedStrategy<Vec<u8>>) -> BoxedStrategy<T>,
    steps: usize,
) -> impl Strategy<Value = Vec<T>> {
    let few = (0_u32..11).prop_map(|n| format!("{}{n}", "f".repeat(n as usize % 3)).into_bytes()).boxed();
    prop_oneof![prop::collection::vec(op(name().boxed()), 0..steps), prop::collection::vec(op(few), 0..steps)]
}

/// Short names, rarely one beyond the packed limits.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0_u32..300).prop_map(|n| format!("name:{n}").into_bytes()),
        5 => (-3_i32..40).prop_map(|n| n.to_string().into_bytes()),
        1 => (20_usize..200).prop_map(|n| vec![b'x'; n]),
        1 => Just(Vec::new()),
    ]
}

/// Asserts what holds for every entry, whatever was done to its value.
fn check(entry: &Entry, key: &[u8], deadline: Option<i64>) {
    entry.validate();
    assert_eq!(entry.key(), key);
    assert_eq!(entry.deadline(), deadline);
}
