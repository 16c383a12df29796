//! Sets against a `BTreeSet`.

use super::{check, name, small_limits};
use crate::value::{Encoding, Entry, Kind};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>),
    Remove(Vec<u8>),
    Pop(u64),
}

fn integer() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![-40_i64..40, -70_000_i64..70_000, any::<i64>()].prop_map(|n| n.to_string().into_bytes())
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    fn over(member: impl Strategy<Value = Vec<u8>> + Clone + 'static) -> BoxedStrategy<Op> {
        prop_oneof![
            8 => member.clone().prop_map(Op::Insert),
            3 => member.prop_map(Op::Remove),
            1 => any::<u64>().prop_map(Op::Pop),
        ]
        .boxed()
    }
    let mixed = prop_oneof![integer().boxed(), name().boxed()].boxed();
    prop_oneof![
        prop::collection::vec(over(integer().boxed()), 0..120),
        prop::collection::vec(over(name().boxed()), 0..200),
        prop::collection::vec(over(mixed), 0..400),
    ]
}

fn compare(entry: &Entry, model: &BTreeSet<Vec<u8>>) {
    let set = entry.set().expect("a set");
    assert_eq!(set.len(), model.len());
    assert_eq!(&set.iter().map(|member| member.to_vec()).collect::<BTreeSet<_>>(), model);
    assert!(model.iter().all(|member| set.contains(member)));
    assert!(!set.contains(b"0001") && !set.contains(b"no such member"));
    let (mut from, mut seen) = (Some(0), BTreeSet::new());
    while let Some(at) = from {
        from = set.scan(at, |member| assert!(seen.insert(member.to_vec())));
    }
    assert_eq!(&seen, model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_set_behaves_like_a_set(ops in ops()) {
        let limits = small_limits();
        let mut entry = Entry::empty(Kind::Set, b"key", None);
        let mut model = BTreeSet::new();
        for (step, op) in ops.into_iter().enumerate() {
            let mut set = entry.set_mut(&limits).expect("a set");
            match op {
                Op::Insert(member) => prop_assert_eq!(set.insert(&member), model.insert(member)),
                Op::Remove(member) => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                Op::Pop(rand) => match set.pop(rand) {
                    Some(member) => prop_assert!(model.remove(&member[..])),
                    None => prop_assert!(model.is_empty()),
                },
            }
            check(&entry, b"key", None);
            if step % 8 == 0 {
                compare(&entry, &model);
            }
        }
        compare(&entry, &model);
    }
}

#[test]
fn encodings_of_sets_are_those_of_redis() {
    let limits = small_limits();
    let mut entry = Entry::empty(Kind::Set, b"key", None);
    let add = |entry: &mut Entry, member: &str| entry.set_mut(&limits).expect("a set").insert(member.as_bytes());
    (0..5).for_each(|n| assert!(add(&mut entry, &n.to_string())));
    assert_eq!(entry.encoding(), Encoding::Intset);
    add(&mut entry, "word");
    assert_eq!(entry.encoding(), Encoding::Listpack);
    let mut integers = Entry::empty(Kind::Set, b"key", None);
    (0..20).for_each(|n| assert!(add(&mut integers, &n.to_string())));
    assert_eq!(integers.encoding(), Encoding::Intset);
    let mut more = Entry::empty(Kind::Set, b"key", None);
    (0..20).for_each(|n| assert!(add(&mut more, &n.to_string())));
    add(&mut more, "word");
    assert_eq!(more.encoding(), Encoding::Hashtable, "too many for a listpack");
    add(&mut integers, "20");
    assert_eq!(integers.encoding(), Encoding::Hashtable);
}
