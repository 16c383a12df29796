//! Hashes against a `BTreeMap`.

use super::{check, histories, small_limits};
use crate::value::{Encoding, Entry, Kind};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>, Vec<u8>, Option<i64>),
    Deadline(Vec<u8>, Option<i64>),
    Remove(Vec<u8>),
    Thin,
}

fn op(name: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Op> {
    let deadline = || prop_oneof![3 => Just(None), 1 => (-5_i64..50).prop_map(Some)];
    prop_oneof![
        20 => (name.clone(), super::name(), deadline()).prop_map(|(f, v, d)| Op::Insert(f, v, d)),
        5 => (name.clone(), deadline()).prop_map(|(f, d)| Op::Deadline(f, d)),
        12 => name.prop_map(Op::Remove),
        1 => Just(Op::Thin),
    ]
    .boxed()
}

fn compare(entry: &Entry, model: &Model) {
    let hash = entry.hash().expect("a hash");
    assert_eq!(hash.len(), model.len());
    let all: Model = hash.iter().map(|f| (f.field.to_vec(), (f.value.to_vec(), f.deadline))).collect();
    assert_eq!(&all, model);
    for (field, (value, deadline)) in model {
        let found = hash.get(field).expect("a field of the model");
        assert_eq!((found.value, found.deadline), (&value[..], *deadline));
    }
    let deadlines = || model.values().filter_map(|(_, at)| *at);
    assert_eq!(hash.min_deadline(), deadlines().min());
    for now in [-10, -5, 0, 20, 100] {
        let gone = deadlines().filter(|at| *at <= now).count();
        assert_eq!(hash.count_live(now), model.len() - gone);
        for limit in [0, 1, 3, 1000] {
            let mut seen = BTreeSet::new();
            hash.expired(now, limit, |f| {
                assert!(f.deadline.is_some_and(|at| at <= now));
                assert!(seen.insert(f.field.to_vec()), "a field is visited twice");
            });
            assert_eq!(seen.len(), gone.min(limit));
        }
    }
    let (mut from, mut seen) = (Some(0), BTreeSet::new());
    while let Some(at) = from {
        from = hash.scan(at, |f| assert!(seen.insert(f.field.to_vec())));
    }
    assert_eq!(seen.len(), model.len());
    assert_eq!(hash.pick(7).map(|f| model.contains_key(f.field)), (!model.is_empty()).then_some(true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_hash_behaves_like_a_map(ops in histories(op, 250)) {
        let limits = small_limits();
        let mut entry = Entry::empty(Kind::Hash, b"key", Some(3));
        let mut model = Model::new();
        for (step, op) in ops.into_iter().enumerate() {
            let mut hash = entry.hash_mut(&limits).expect("a hash");
            match op {
                Op::Insert(field, value, deadline) => {
                    let new = hash.insert(&field, &value, deadline);
                    prop_assert_eq!(new, model.insert(field, (value, deadline)).is_none());
                }
                Op::Deadline(field, deadline) => {
                    let there = hash.set_deadline(&field, deadline);
                    prop_assert_eq!(there, model.get_mut(&field).map(|found| found.1 = deadline).is_some());
                }
                Op::Remove(field) => prop_assert_eq!(hash.remove(&field), model.remove(&field).is_some()),
                Op::Thin => for field in model.keys().cloned().step_by(2).collect::<Vec<_>>() {
                    prop_assert!(hash.remove(&field));
                    model.remove(&field);
                },
            }
            check(&entry, b"key", Some(3));
            if step % 8 == 0 {
                compare(&entry, &model);
            }
        }
        compare(&entry, &model);
    }
}

#[test]
fn a_hash_becomes_big_beyond_its_limits_only() {
    let limits = small_limits();
    let mut entry = Entry::empty(Kind::Hash, b"key", None);
    for n in 0..12 {
        entry.hash_mut(&limits).expect("a hash").insert(&[n], &[0; 24], None);
        assert_eq!(entry.encoding(), Encoding::Listpack);
    }
    entry.hash_mut(&limits).expect("a hash").insert(&[3], b"other", None);
    assert_eq!(entry.encoding(), Encoding::Listpack, "an overwrite adds no field");
    let mut long = Entry::empty(Kind::Hash, b"key", None);
    long.hash_mut(&limits).expect("a hash").insert(b"f", &[0; 25], None);
    assert_eq!(long.encoding(), Encoding::Hashtable);
    entry.hash_mut(&limits).expect("a hash").insert(&[12], b"", None);
    assert_eq!(entry.encoding(), Encoding::Hashtable);
}
