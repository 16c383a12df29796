//! The table against a `HashMap`, with hashes that are even, equal, or share long prefixes.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

impl Fetch for (u64, u64) {}
impl Fetch for [u64; 3] {}

type Item = (u64, u64);

fn rehash(item: &Item) -> u64 {
    item.0
}

/// Hashes as they come and as an adversary would choose them; the second number tells items apart.
fn hashes() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => (0_u64..3000).prop_map(|n| { let mut n = n; super::super::mix(&mut n) }),
        2 => (0_u64..600).prop_map(|n| { let mut n = n; 0xabcd << 48 | super::super::mix(&mut n) >> 16 }),
        1 => (0_u64..200).prop_map(|n| 0x1234_5678_9abc_0000 | n),
        1 => Just(0x7777_0000_0000_0001),
        1 => prop_oneof![Just(0), Just(u64::MAX), Just(1 << 63)],
    ]
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64, u64),
    Remove(u64, u64),
    Thin(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        60 => (hashes(), 0_u64..60).prop_map(|(h, t)| Op::Insert(h, t)),
        20 => (hashes(), 0_u64..60).prop_map(|(h, t)| Op::Remove(h, t)),
        1 => (2_u64..12).prop_map(Op::Thin),
    ];
    prop::collection::vec(op, 1..1500)
}

fn insert(table: &mut Table<Item>, item: Item) -> bool {
    table.find_or_insert(item.0, |other| *other == item, || item, rehash).1
}

fn apply(table: &mut Table<Item>, model: &mut BTreeSet<Item>, op: &Op) {
    match *op {
        Op::Insert(hash, tag) => assert_eq!(insert(table, (hash, tag)), model.insert((hash, tag))),
        Op::Remove(hash, tag) => {
            let gone = table.remove(hash, |other| *other == (hash, tag), rehash);
            assert_eq!(gone.is_some(), model.remove(&(hash, tag)));
        }
        Op::Thin(keep) => {
            for item in model.iter().copied().collect::<Vec<_>>() {
                if item.0.wrapping_mul(31).wrapping_add(item.1) % keep != 0 {
                    assert_eq!(table.remove(item.0, |other| *other == item, rehash), Some(item));
                    model.remove(&item);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn behaves_like_a_set_whatever_the_hashes(ops in ops(), depth in prop_oneof![Just(64_u8), Just(46), Just(14)]) {
        let mut table = Table::with_max_depth(depth);
        let mut model = BTreeSet::new();
        for (step, op) in ops.iter().enumerate() {
            apply(&mut table, &mut model, op);
            prop_assert_eq!(table.len(), model.len());
            if step % 16 == 0 || matches!(op, Op::Thin(_)) {
                table.validate(rehash);
            }
        }
        table.validate(rehash);
        prop_assert_eq!(table.iter().copied().collect::<BTreeSet<_>>(), model.clone());
        for item in &model {
            prop_assert_eq!(table.find(item.0, |other| other == item), Some(item));
        }
        prop_assert_eq!(table.into_batches().flatten().collect::<BTreeSet<_>>(), model);
    }

    #[test]
    fn a_scan_sees_all_that_stays_while_the_table_changes(
        before in ops(), during in prop::collection::vec(ops(), 1..4), stay in 2_u64..5,
    ) {
        let mut table = Table::new();
        let mut model = BTreeSet::new();
        before.iter().for_each(|op| apply(&mut table, &mut model, op));
        let mut stays: BTreeSet<Item> = model.iter().copied().filter(|item| item.1 % stay == 0).collect();
        let mut seen = BTreeSet::new();
        let mut from = Some(0);
        let mut changes = during.iter().flatten();
        while let Some(at) = from {
            from = table.scan(at, rehash, |item| { seen.insert(*item); });
            prop_assert!(from.is_none_or(|next| next > at), "the cursor must move on");
            for op in changes.by_ref().take(40) {
                apply(&mut table, &mut model, op);
            }
            stays.retain(|item| model.contains(item));
        }
        prop_assert!(stays.is_subset(&seen));
    }

    #[test]
    fn a_page_never_cuts_the_group_of_a_bounded_depth(tags in prop::collection::vec((0_u64..4, 0_u64..100_000), 1..400)) {
        let mut table = Table::with_max_depth(20);
        for (group, tag) in tags {
            let mut low = tag;
            insert(&mut table, (group << 44 | super::super::mix(&mut low) >> 20, tag));
        }
        table.validate(rehash);
        let mut from = Some(0);
        while let Some(at) = from {
            from = table.scan(at, rehash, |_| {});
            prop_assert_eq!(from.unwrap_or(0) % (1 << 44), 0);
        }
    }
}

#[test]
fn a_scan_of_a_quiet_table_sees_each_item_once_in_segment_order() {
    let mut table = Table::new();
    for n in 0..5000_u64 {
        let mut state = n;
        insert(&mut table, (super::super::mix(&mut state), n));
    }
    let (mut from, mut seen, mut last) = (Some(0), BTreeSet::new(), 0);
    while let Some(at) = from {
        let mut highest = last;
        from = table.scan(at, rehash, |item| {
            assert!(item.0 >= at && item.0 >= last);
            highest = highest.max(item.0);
            assert!(seen.insert(*item));
        });
        last = highest;
    }
    assert_eq!(seen.len(), 5000);
}

#[test]
fn items_of_one_hash_overflow_and_come_back() {
    let mut table = Table::new();
    (0..1000).for_each(|tag| assert!(insert(&mut table, (42, tag))));
    table.validate(rehash);
    let mut seen = 0;
    table.scan(42, rehash, |_| seen += 1);
    assert_eq!(seen, 1000, "equal hashes are visited in one call");
    for tag in 0..1000 {
        assert_eq!(table.remove(42, |item| item.1 == tag, rehash), Some((42, tag)));
    }
    table.validate(rehash);
    assert_eq!(table.segments, 1, "what adversarial hashes divided has merged again");
}

#[test]
fn memory_returns_after_deletes() {
    let mut table = Table::new();
    let empty = table.memory_bytes();
    let items: Vec<Item> = (0..100_000_u64)
        .map(|n| {
            let mut state = n;
            (super::super::mix(&mut state), n)
        })
        .collect();
    items.iter().for_each(|item| {
        insert(&mut table, *item);
    });
    let full = table.memory_bytes();
    items.iter().skip(100).for_each(|item| {
        table.remove(item.0, |other| other == item, rehash);
    });
    table.validate(rehash);
    assert!(table.memory_bytes() < full / 80, "{} of {full} bytes left", table.memory_bytes());
    items.iter().take(100).for_each(|item| {
        table.remove(item.0, |other| other == item, rehash);
    });
    table.validate(rehash);
    assert!(table.memory_bytes() <= 4 * empty + 32 * 1024, "{} bytes left of an empty table", table.memory_bytes());
}

#[test]
fn a_shared_prefix_costs_a_bounded_directory() {
    for bits in [14, 30, 46] {
        let mut table = Table::new();
        for n in 0..50_000_u64 {
            let mut state = n;
            insert(
                &mut table,
                (0x5a5a_5a5a_5a5a_5a5a & !(u64::MAX >> bits) | super::super::mix(&mut state) >> bits, n),
            );
        }
        table.validate(rehash);
        let overhead = table.memory_bytes() / table.len() - size_of::<Item>();
        assert!(overhead < 16, "{overhead} bytes an item beyond itself with {bits} bits shared");
    }
}

#[test]
fn pick_reaches_every_item_about_equally() {
    let mut table = Table::new();
    for n in 0..500_u64 {
        let mut state = n;
        insert(&mut table, (super::super::mix(&mut state), n));
    }
    let mut counts = BTreeMap::new();
    for rand in 0..100_000 {
        let item = table.pick(rand).expect("the table is not empty");
        *counts.entry(item.1).or_insert(0_u32) += 1;
    }
    assert_eq!(counts.len(), 500);
    assert!(counts.values().all(|count| (120..300).contains(count)), "{counts:?}");
    assert!(Table::<Item>::new().pick(7).is_none());
}

#[test]
fn a_million_small_items_cost_few_bytes_beyond_themselves() {
    for count in [700_000_u64, 1_000_000] {
        let mut table: Table<[u64; 3]> = Table::new();
        for n in 0..count {
            let mut state = n;
            let hash = super::super::mix(&mut state);
            table.insert_unique(hash, [hash, n, 0], |item| item[0]);
        }
        let overhead = table.memory_bytes() as f64 / count as f64 - 24.0;
        eprintln!("table: {count} items of 24 bytes: {overhead:.2} bytes overhead each");
        assert!(overhead < 10.0);
        assert!((0..count).all(|n| {
            let mut state = n;
            table.find(super::super::mix(&mut state), |i| i[1] == n).is_some()
        }));
    }
}
