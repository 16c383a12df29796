//! Every kind of value against a plain model, over the border between its packed and its big form.

mod hash;
mod list;
mod memory;
mod set;
mod text;
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

/// Short names from a small set, rarely one beyond the packed limits.
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
