//! Strings and what all entries share: key, deadline, clock.

use super::check;
use crate::value::{Encoding, Entry, Kind, Limits};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Set(Vec<u8>),
    Append(Vec<u8>),
    WriteAt(usize, Vec<u8>),
    Truncate(usize),
    Deadline(Option<i64>),
    Rename(Vec<u8>),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 1000..1050),
        1 => prop::collection::vec(any::<u8>(), 0..3000),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => bytes().prop_map(Op::Set),
        4 => bytes().prop_map(Op::Append),
        3 => (0_usize..2000, bytes()).prop_map(|(at, with)| Op::WriteAt(at, with)),
        1 => (0_usize..2000).prop_map(Op::Truncate),
        1 => prop::option::of(any::<i64>()).prop_map(Op::Deadline),
        1 => bytes().prop_map(Op::Rename),
    ]
}

proptest! {
    #[test]
    fn a_string_behaves_like_a_vector(first in bytes(), ops in prop::collection::vec(op(), 0..40)) {
        let mut entry = Entry::string(b"key", &first, None);
        entry.set_clock(99);
        let (mut key, mut model, mut deadline) = (b"key".to_vec(), first, None);
        for op in ops {
            match op {
                Op::Set(value) => { entry.set_bytes(&value); model = value; }
                Op::Append(more) => { model.extend(&more); prop_assert_eq!(entry.append(&more), Some(model.len())); }
                Op::WriteAt(at, with) => {
                    model.resize(model.len().max(at + with.len()), 0);
                    model[at..at + with.len()].copy_from_slice(&with);
                    prop_assert_eq!(entry.write_at(at, &with), Some(model.len()));
                }
                Op::Truncate(len) => { entry.truncate(len); model.truncate(len); }
                Op::Deadline(at) => { entry.set_deadline(at); deadline = at; }
                Op::Rename(to) => { entry.rename(&to); key = to; }
            }
            check(&entry, &key, deadline);
            prop_assert_eq!(entry.bytes(), Some(&model[..]));
            prop_assert_eq!(entry.clock(), 99);
            prop_assert!(entry.memory_bytes() >= 24 + key.len() + model.len());
        }
    }

    #[test]
    fn only_canonical_integers_are_int(text in "-?[0-9]{0,21}", number in any::<i64>()) {
        let canonical = text.parse::<i64>().is_ok_and(|n| n.to_string() == text);
        prop_assert_eq!(Entry::string(b"k", text.as_bytes(), None).encoding() == Encoding::Int, canonical);
        prop_assert_eq!(Entry::string(b"k", number.to_string().as_bytes(), None).encoding(), Encoding::Int);
    }
}

#[test]
fn encodings_of_strings_are_those_of_redis() {
    let mut entry = Entry::string(b"k", &[b'a'; 44], None);
    assert_eq!(entry.encoding(), Encoding::Embstr);
    entry.set_bytes(&[b'a'; 45]);
    assert_eq!(entry.encoding(), Encoding::Raw);
    entry.set_bytes(b"12");
    assert_eq!(entry.encoding(), Encoding::Int);
    entry.append(b"3");
    assert_eq!(entry.encoding(), Encoding::Raw);
    assert_eq!(Entry::string(b"k", &i64::MIN.to_string().into_bytes(), None).encoding(), Encoding::Int);
}

#[test]
fn a_value_of_another_kind_gives_no_view() {
    let limits = Limits::default();
    for kind in [Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::ZSet] {
        let mut entry = Entry::empty(kind, b"key", Some(5));
        check(&entry, b"key", Some(5));
        assert_eq!(entry.kind(), kind);
        assert_eq!(entry.bytes().is_some(), kind == Kind::String);
        assert_eq!(entry.append(b"x").is_some(), kind == Kind::String);
        assert_eq!(entry.hash().is_some(), kind == Kind::Hash);
        assert_eq!(entry.set().is_some(), kind == Kind::Set);
        assert_eq!(entry.zset().is_some(), kind == Kind::ZSet);
        assert_eq!(entry.list().is_some(), kind == Kind::List);
        assert_eq!(entry.hash_mut(&limits).is_some(), kind == Kind::Hash);
        assert_eq!(entry.set_mut(&limits).is_some(), kind == Kind::Set);
        assert_eq!(entry.zset_mut(&limits).is_some(), kind == Kind::ZSet);
        assert_eq!(entry.list_mut(&limits).is_some(), kind == Kind::List);
        entry.set_bytes(b"now a string");
        assert_eq!((entry.kind(), entry.deadline()), (Kind::String, Some(5)));
    }
}

#[test]
fn a_huge_value_is_freed_in_many_small_steps() {
    let limits = Limits::default();
    for kind in [Kind::List, Kind::Hash, Kind::Set, Kind::ZSet] {
        let mut entry = Entry::empty(kind, b"key", None);
        for n in 0..20_000_u32 {
            let name = n.to_be_bytes();
            match kind {
                Kind::String => {}
                Kind::List => {
                    let pos = effect::ListPos::new(0, 1, i64::from(n));
                    assert!(entry.list_mut(&limits).expect("a list").insert(&pos, &name));
                }
                Kind::Hash => assert!(entry.hash_mut(&limits).expect("a hash").insert(&name, b"value", None)),
                Kind::Set => assert!(entry.set_mut(&limits).expect("a set").insert(&name)),
                Kind::ZSet => {
                    assert_eq!(entry.zset_mut(&limits).expect("a sorted set").insert(&name, f64::from(n)), None);
                }
            }
        }
        let mut remains = entry.dismantle().expect("it is big");
        let mut steps = 0;
        while remains.free_some() {
            steps += 1;
        }
        assert!(steps >= 20_000 / 512, "{kind:?} was freed in {steps} steps");
    }
    assert!(Entry::string(b"key", b"value", None).dismantle().is_none());
}
