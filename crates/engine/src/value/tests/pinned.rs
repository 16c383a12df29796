//! What the steps of a checkpoint hand over, against the value at the moment it was pinned.

use super::small_limits;
use crate::digest::{Digest, digest_value};
use crate::limits::CHECKPOINT_PART_ELEMENTS;
use crate::value::{Entry, Kind, Limits};
use effect::{Folded, ListPos, Part, wire::Reader};
use proptest::prelude::*;

/// One change, by small numbers; `None`: the checkpoint takes a step.
type Op = Option<(bool, u16, u16)>;

fn add(entry: &mut Entry, limits: &Limits, n: u16, salt: u16) {
    let (id, value) = (format!("element:{n}").into_bytes(), salt.to_string().into_bytes());
    match entry.kind() {
        Kind::String => drop(entry.write_at(usize::from(n) * 37, &value)),
        Kind::List => {
            let pos = ListPos::new(0, 1, i64::from(n));
            let mut list = entry.list_mut(limits).expect("a list");
            if !list.set(&pos, &value) {
                list.insert(&pos, &value);
            }
        }
        Kind::Hash => {
            let deadline = salt.is_multiple_of(5).then_some(i64::from(salt) + 1);
            entry.hash_mut(limits).expect("a hash").insert(&id, &value, deadline);
        }
        Kind::Set => drop(entry.set_mut(limits).expect("a set").insert(&id)),
        Kind::ZSet => drop(entry.zset_mut(limits).expect("a sorted set").insert(&id, f64::from(salt % 50))),
    }
}

fn remove(entry: &mut Entry, limits: &Limits, n: u16, salt: u16) {
    let id = format!("element:{n}").into_bytes();
    match entry.kind() {
        Kind::String => entry.truncate(usize::from(n) * 37 + 1),
        Kind::List if salt.is_multiple_of(3) => {
            drop(entry.list_mut(limits).expect("a list").cut(&ListPos::new(0, 1, i64::from(n)), 5));
        }
        Kind::List => drop(entry.list_mut(limits).expect("a list").remove(&ListPos::new(0, 1, i64::from(n)))),
        Kind::Hash if salt.is_multiple_of(3) => {
            entry.hash_mut(limits).expect("a hash").set_deadline(&id, Some(9));
        }
        Kind::Hash => drop(entry.hash_mut(limits).expect("a hash").remove(&id)),
        Kind::Set => drop(entry.set_mut(limits).expect("a set").remove(&id)),
        Kind::ZSet => drop(entry.zset_mut(limits).expect("a sorted set").remove(&id)),
    }
}

/// Adds one part, which holds no element twice and none that an earlier one held.
fn join(whole: &mut Entry, limits: &Limits, bytes: &[u8]) {
    let value = Folded::decode(0, &mut Reader::new(bytes)).expect("a folded value");
    assert_eq!(value.kind(), whole.kind());
    value.for_each(|part| match part {
        Part::String(bytes) => drop(whole.append(bytes)),
        Part::Field { field, value, deadline } => {
            assert!(whole.hash_mut(limits).expect("a hash").insert(field, value, deadline), "a field came twice");
        }
        Part::Member(member) => {
            assert!(whole.set_mut(limits).expect("a set").insert(member), "a member came twice");
        }
        Part::Scored(member, score) => {
            let before = whole.zset_mut(limits).expect("a sorted set").insert(member, score);
            assert_eq!(before, None, "a member came twice");
        }
        Part::Element(pos, value) => {
            assert!(whole.list_mut(limits).expect("a list").insert(&pos, value), "an element came twice");
        }
    });
}

fn pinned_is_what_comes_out(kind: Kind, count: u16, ops: Vec<Op>) {
    let limits = small_limits();
    let mut entry = Entry::empty(kind, b"key", None);
    (0..count).for_each(|n| add(&mut entry, &limits, n * 2, n));
    if !entry.pin(1) {
        return;
    }
    let digest = |entry: &Entry| -> Digest { digest_value(entry, i64::MIN) };
    let (before, mut whole, mut done) = (digest(&entry), Entry::empty(kind, b"key", None), false);
    let mut step = |entry: &mut Entry| {
        let mut out = Vec::new();
        let done = entry.next_part(&mut out);
        join(&mut whole, &limits, &out);
        done
    };
    for op in ops {
        match op {
            None if !done => done = step(&mut entry),
            None => {}
            Some((true, n, salt)) => add(&mut entry, &limits, n, salt),
            Some((false, n, salt)) => remove(&mut entry, &limits, n, salt),
        }
        entry.validate();
    }
    while !done {
        done = step(&mut entry);
    }
    assert!(entry.unpin().is_some());
    assert_eq!(digest(&whole), before, "the parts are not the value that was pinned");
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(prop::option::weighted(0.85, (any::<bool>(), 0u16..700, any::<u16>())), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_parts_of_a_changing_value_are_what_it_was(
        kind in prop::sample::select(vec![Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::ZSet]),
        count in 13u16..300,
        ops in ops(),
    ) {
        pinned_is_what_comes_out(kind, count, ops);
    }
}

/// Somebody changes as many elements between two steps as one takes, always those that come next.
#[test]
fn changes_just_ahead_of_the_snapshot_do_not_keep_it_from_getting_on() {
    const ROUNDS: u16 = 10;
    let (limits, step) = (small_limits(), CHECKPOINT_PART_ELEMENTS as u16);
    for kind in [Kind::List, Kind::Hash] {
        let mut entry = Entry::empty(kind, b"key", None);
        (0..step * 4 * ROUNDS).for_each(|n| add(&mut entry, &limits, n, 0));
        assert!(entry.pin(1));
        let mut taken = 0;
        for round in 0..ROUNDS {
            for n in round * step..(round + 1) * step {
                match kind {
                    Kind::List => remove(&mut entry, &limits, n, 1),
                    _ => add(&mut entry, &limits, n, 1),
                }
            }
            let mut part = Vec::new();
            assert!(!entry.next_part(&mut part));
            let part = Folded::decode(0, &mut Reader::new(&part)).expect("a folded value");
            part.for_each(|_| taken += 1);
        }
        // Of a list it gets past those that go; of a hash they lie anywhere, and what was kept goes out beside the rest.
        let least = if kind == Kind::List { ROUNDS * step } else { ROUNDS * step * 3 / 2 };
        assert!(taken > usize::from(least), "{kind:?}: {taken} elements in {ROUNDS} steps");
    }
}
