//! What a loader takes, and what it refuses.

use super::super::small_limits;
use crate::value::wide::{BLOCK_BYTES, Content, Loader, RowKey, RowRefused};
use crate::value::{Entry, Kind, Limits};
use effect::ListPos;

fn loader(kind: Kind) -> Loader {
    Loader::new(kind, b"key", Some(7), &small_limits(), 100)
}

fn named<'a>(limits: &Limits, name: &'a [u8]) -> RowKey<'a> {
    RowKey::Hashed { hash: limits.seed.hash(name), name }
}

#[test]
fn a_loaded_value_keeps_key_and_deadline_and_is_at_rest() {
    let limits = small_limits();
    let mut loader = loader(Kind::Hash);
    loader.add(&named(&limits, b"field"), Content::Field(b"value", Some(3))).unwrap();
    let mut entry = loader.finish(41).expect("a hash");
    assert_eq!((entry.key(), entry.deadline(), entry.incarnation()), (&b"key"[..], Some(7), Some(41)));
    assert!(entry.freeze(|| unreachable!("it has an incarnation")).is_some());
    let budget = crate::value::wide::Budget { rows: 10, bytes: 10 };
    assert!(entry.next_rows(budget, &mut |row| panic!("{row:?} has not changed")));
    assert!(entry.thaw().is_some() && !entry.is_frozen());
}

#[test]
fn nothing_is_loaded_from_no_rows() {
    assert!(loader(Kind::Set).finish(1).is_none());
}

#[test]
fn rows_out_of_place_are_refused() {
    let limits = small_limits();
    let mut names = [&b"one"[..], b"two", b"three"];
    names.sort_by_key(|name| limits.seed.hash(name));
    let mut set = loader(Kind::Set);
    set.add(&named(&limits, names[1]), Content::Nothing).unwrap();
    for name in &names[..2] {
        assert_eq!(set.add(&named(&limits, name), Content::Nothing), Err(RowRefused::Order));
    }
    let other = RowKey::Hashed { hash: u64::MAX, name: names[2] };
    assert_eq!(set.add(&other, Content::Nothing), Err(RowRefused::Hash));
    assert_eq!(set.add(&named(&limits, names[2]), Content::Score(1.0)), Err(RowRefused::Kind));
    assert_eq!(set.add(&RowKey::Block(0), Content::Bytes(b"")), Err(RowRefused::Kind));
    set.add(&named(&limits, names[2]), Content::Nothing).unwrap();
    let loaded = set.finish(1).expect("a set");
    assert_eq!(loaded.set().expect("a set").len(), 2);

    let mut zset = loader(Kind::ZSet);
    assert_eq!(zset.add(&named(&limits, b"one"), Content::Score(f64::NAN)), Err(RowRefused::Score));

    let (mut list, at) = (loader(Kind::List), |n| RowKey::Placed(ListPos::new(0, 1, n)));
    list.add(&at(5), Content::Bytes(b"five")).unwrap();
    for n in [4, 5] {
        assert_eq!(list.add(&at(n), Content::Bytes(b"again")), Err(RowRefused::Order));
    }

    let (mut string, block) = (loader(Kind::String), vec![7; BLOCK_BYTES]);
    assert_eq!(string.add(&RowKey::Block(1), Content::Bytes(&block)), Err(RowRefused::Order));
    string.add(&RowKey::Block(0), Content::Bytes(&block)).unwrap();
    string.add(&RowKey::Block(1), Content::Bytes(b"end")).unwrap();
    assert_eq!(string.add(&RowKey::Block(2), Content::Bytes(b"more")), Err(RowRefused::Order));
    assert_eq!(string.finish(1).expect("a string").bytes().map(<[u8]>::len), Some(BLOCK_BYTES + 3));
}

/// A table that is made ahead of its items is as good as one that grew.
#[test]
fn a_large_value_is_loaded_whole_whatever_was_expected() {
    let limits = Limits::default();
    let name = |n: u32| format!("member:{n}").into_bytes();
    let mut members: Vec<_> = (0..20_000).map(|n| (limits.seed.hash(&name(n)), name(n))).collect();
    members.sort();
    for expected in [0, 1, 31, 32, 20_000, 3_000_000] {
        let mut loader = Loader::new(Kind::ZSet, b"key", None, &limits, expected);
        for (hash, name) in &members {
            loader.add(&RowKey::Hashed { hash: *hash, name }, Content::Score((hash % 50) as f64)).unwrap();
        }
        let mut entry: Entry = loader.finish(1).expect("a sorted set");
        entry.validate();
        for (hash, name) in &members {
            assert_eq!(entry.zset().expect("a sorted set").score(name), Some((hash % 50) as f64));
        }
        let mut zset = entry.zset_mut(&limits).expect("a sorted set");
        members.iter().step_by(2).for_each(|(_, name)| assert!(zset.remove(name).is_some()));
        entry.validate();
    }
}
