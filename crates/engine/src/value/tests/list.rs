//! Lists against a `BTreeMap` by position.

use super::{check, small_limits};
use crate::value::{Encoding, Entry, Kind, Limits};
use effect::ListPos;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Model = BTreeMap<ListPos, Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Push { me: u64, tail: bool, count: usize, size: usize },
    Pop { tail: bool, count: usize },
    InsertBehind { me: u64, at: usize, size: usize },
    RemoveAt { at: usize, count: usize },
    SetAt { at: usize, size: usize },
    Cut { at: usize, count: usize },
    Remote { epoch: i64, origin: u64, n: i64 },
}

fn op() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![12 => 0_usize..40, 2 => 40_usize..600, 1 => 5000_usize..20_000];
    let count = || prop_oneof![4 => 1_usize..6, 1 => 1_usize..300];
    let me = || 1_u64..4;
    prop_oneof![
        8 => (me(), any::<bool>(), count(), size())
            .prop_map(|(me, tail, count, size)| Op::Push { me, tail, count, size }),
        4 => (any::<bool>(), count()).prop_map(|(tail, count)| Op::Pop { tail, count }),
        5 => (me(), any::<usize>(), size()).prop_map(|(me, at, size)| Op::InsertBehind { me, at, size }),
        5 => (any::<usize>(), count()).prop_map(|(at, count)| Op::RemoveAt { at, count }),
        3 => (any::<usize>(), size()).prop_map(|(at, size)| Op::SetAt { at, size }),
        5 => (any::<usize>(), count()).prop_map(|(at, count)| Op::Cut { at, count }),
        5 => (-3_i64..3, 1_u64..4, -20_i64..400).prop_map(|(epoch, origin, n)| Op::Remote { epoch, origin, n }),
    ]
}

/// A value that tells which step wrote it.
fn value(step: usize, size: usize) -> Vec<u8> {
    let mut bytes = vec![step as u8; size];
    let stamp = step.to_le_bytes();
    let len = size.min(8);
    bytes[..len].copy_from_slice(&stamp[..len]);
    bytes
}

struct Pair {
    entry: Entry,
    model: Model,
    limits: Limits,
}

impl Pair {
    fn insert(&mut self, pos: ListPos, value: Vec<u8>) {
        let new = self.entry.list_mut(&self.limits).expect("a list").insert(&pos, &value);
        assert_eq!(new, !self.model.contains_key(&pos));
        self.model.entry(pos).or_insert(value);
    }

    fn remove_index(&mut self, index: usize) {
        let Some(pos) = self.model.keys().nth(index).cloned() else { return };
        assert_eq!(self.entry.list().expect("a list").position_of(index), Ok(Some(pos.clone())));
        assert!(self.entry.list_mut(&self.limits).expect("a list").remove(&pos));
        assert!(!self.entry.list_mut(&self.limits).expect("a list").remove(&pos));
        self.model.remove(&pos);
    }

    /// Cuts what follows an element in its run: whether that is all of the list's or not is for the list to say.
    fn cut(&mut self, index: usize, count: usize) {
        let Some(first) = self.model.keys().nth(index).cloned() else { return };
        let wanted: Vec<ListPos> = (0..count as i64).map(|n| first.step(n)).collect();
        let there: Vec<ListPos> = self.model.range(&first..).map(|(pos, _)| pos.clone()).take(count).collect();
        let big = self.entry.encoding() == Encoding::Quicklist;
        let done = self.entry.list_mut(&self.limits).expect("a list").cut(&first, count as u64).is_some();
        assert_eq!(done, big && wanted == there, "{first:?} {count}");
        if done {
            wanted.iter().for_each(|pos| drop(self.model.remove(pos)));
        }
    }

    fn apply(&mut self, step: usize, op: Op) {
        let len = self.model.len().max(1);
        match op {
            Op::Push { me, tail, count, size } => {
                for _ in 0..count {
                    let list = self.entry.list().expect("a list");
                    let pos = match tail {
                        true => ListPos::after_tail(list.last().unwrap().as_ref(), me),
                        false => ListPos::before_head(list.first().unwrap().as_ref(), me),
                    };
                    self.insert(pos, value(step, size));
                }
            }
            Op::Pop { tail, count } => {
                for _ in 0..count {
                    self.remove_index(if tail { self.model.len().saturating_sub(1) } else { 0 });
                }
            }
            Op::InsertBehind { me, at, size } => {
                let list = self.entry.list().expect("a list");
                if let Some(left) = list.position_of(at % len).unwrap() {
                    let right = list.position_of(at % len + 1).unwrap();
                    self.insert(ListPos::between(&left, right.as_ref(), me), value(step, size));
                }
            }
            Op::RemoveAt { at, count } => (0..count).for_each(|_| self.remove_index(at % len)),
            Op::SetAt { at, size } => {
                let Some(pos) = self.model.keys().nth(at % len).cloned() else { return };
                assert!(self.entry.list_mut(&self.limits).expect("a list").set(&pos, &value(step, size)));
                self.model.insert(pos, value(step, size));
            }
            Op::Cut { at, count } => self.cut(at % len, count),
            Op::Remote { epoch, origin, n } => self.insert(ListPos::new(epoch, origin, n), value(step, 9)),
        }
    }

    fn compare(&self) {
        check(&self.entry, b"key", None);
        let list = self.entry.list().expect("a list");
        assert_eq!(list.len(), self.model.len());
        assert!(list.iter().eq(self.model.values().map(|value| &value[..])));
        assert!(list.iter().rev().eq(self.model.values().rev().map(|value| &value[..])));
        let third = list.len() / 3;
        let middle = (list.range(third..2 * third).unwrap(), list.positions(third..2 * third).unwrap());
        assert!(middle.0.eq(self.model.values().skip(third).take(third).map(|value| &value[..])));
        assert!(middle.1.eq(self.model.keys().skip(third).take(third).cloned()));
        let mut at = third;
        for (first, len) in list.runs(third..2 * third).unwrap() {
            let same = self.model.keys().skip(at).take(len as usize).enumerate();
            same.for_each(|(n, pos)| assert_eq!(*pos, first.step(n as i64)));
            at += len as usize;
        }
        assert_eq!(at, 2 * third);
        assert_eq!(list.positions(0..usize::MAX).unwrap().nth(third), self.model.keys().nth(third).cloned());
        assert_eq!(list.first().unwrap().as_ref(), self.model.keys().next());
        assert_eq!(list.last().unwrap().as_ref(), self.model.keys().next_back());
        for (index, (pos, value)) in self.model.iter().enumerate().step_by(5) {
            assert_eq!(list.get(index), Ok(Some(&value[..])));
            assert_eq!(list.position_of(index).unwrap().as_ref(), Some(pos));
            assert_eq!(list.index_of(pos), Some(index));
        }
        for n in (-20..400).step_by(37) {
            let probe = ListPos::new(0, 2, n);
            assert_eq!(list.rank(&probe), self.model.range(..&probe).count());
        }
        assert_eq!(list.get(list.len()), Ok(None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_list_behaves_like_elements_by_position(
        ops in prop::collection::vec(op(), 0..60), size in prop_oneof![Just(12), Just(-1), Just(-2), Just(400)],
    ) {
        let limits = Limits { list_max_listpack_size: size, ..small_limits() };
        let mut pair = Pair { entry: Entry::empty(Kind::List, b"key", None), model: Model::new(), limits };
        for (step, op) in ops.into_iter().enumerate() {
            pair.apply(step, op);
            pair.compare();
        }
    }
}

#[test]
fn a_queue_of_many_elements_stays_in_order_and_small() {
    let limits = Limits::default();
    let mut entry = Entry::empty(Kind::List, b"key", None);
    for n in 0..50_000_u32 {
        let pos = ListPos::after_tail(entry.list().expect("a list").last().unwrap().as_ref(), 9);
        assert!(entry.list_mut(&limits).expect("a list").insert(&pos, &n.to_le_bytes()));
    }
    check(&entry, b"key", None);
    assert_eq!(entry.encoding(), Encoding::Quicklist);
    assert!(entry.memory_bytes() < 50_000 * 8, "{} bytes", entry.memory_bytes());
    for n in 0..50_000_u32 {
        let list = entry.list().expect("a list");
        assert_eq!(list.get(0), Ok(Some(&n.to_le_bytes()[..])));
        let pos = list.first().unwrap().expect("not empty yet");
        assert!(entry.list_mut(&limits).expect("a list").remove(&pos));
        if n % 5000 == 0 {
            check(&entry, b"key", None);
        }
    }
    assert!(entry.memory_bytes() < 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// An element to a chunk, so that the tree between the ends is deep.
    #[test]
    fn whole_chunks_go_into_the_tree_and_come_out_at_either_end(
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0_usize..1200), 1..16),
    ) {
        let limits = Limits::default();
        let mut entry = Entry::empty(Kind::List, b"key", None);
        let mut model = Model::new();
        for (step, (push, tail, count)) in steps.into_iter().enumerate() {
            for _ in 0..count {
                let mut list = entry.list_mut(&limits).expect("a list");
                let end = if tail { list.view().last() } else { list.view().first() }.unwrap();
                if push {
                    let pos = if tail { ListPos::after_tail(end.as_ref(), 1) } else { ListPos::before_head(end.as_ref(), 1) };
                    assert!(list.insert(&pos, &value(step, 2100)));
                    model.insert(pos, value(step, 8));
                } else if let Some(pos) = end {
                    assert!(list.remove(&pos));
                    assert!(model.remove(&pos).is_some());
                }
            }
            check(&entry, b"key", None);
            let list = entry.list().expect("a list");
            assert!(list.positions(0..usize::MAX).unwrap().eq(model.keys().cloned()));
            assert!(list.iter().map(|value| &value[..8]).eq(model.values().map(|value| &value[..])));
        }
    }
}
