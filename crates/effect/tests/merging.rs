//! Every row of the tables of `docs/merging.md`, in every order of arrival, through merges of branches, and with the past forgotten.

mod support;

#[path = "merging/cases.rs"]
mod cases;

use std::collections::{BTreeMap, BTreeSet};

use cases::{CASES, Case};
use effect::reduce::{Applied, Reduced, merge_n, merge2};
use effect::{Hlc, Origin, Stamp, Vector};
use support::group::{Entry, Replica, Written};
use support::oracle::outcome;
use support::view::{View, render};
use support::{Act, Change};

/// When everything happens, in unix ms.
const NOW: i64 = 1_000_000_000;

/// What was there, and what two have made of it without knowing of each other.
struct Scene {
    before: Vec<Written>,
    a: Vec<Written>,
    b: Vec<Written>,
}

impl Scene {
    fn of(case: &Case, a_is_later: bool) -> Self {
        let mut first = Replica::new(1);
        let before: Vec<Written> = case.before.iter().map(|command| first.write(NOW, &[command])).collect();
        let before: Vec<Written> = before.into_iter().filter(|batch| !batch.is_empty()).collect();
        let (a_ms, b_ms) = if a_is_later { (2000, 1000) } else { (1000, 2000) };
        let side = |node: u64, commands: &[&str], stamp_ms: i64| {
            let mut replica = if node == 1 { first.clone() } else { Replica::new(node) };
            before.iter().filter(|_| node != 1).for_each(|batch| replica.receive(batch));
            let sees_at = |command: &str| NOW + if command.starts_with("60s later ") { 60_000 } else { 0 };
            let written: Vec<Written> = commands
                .iter()
                .map(|command| replica.write(sees_at(command), &[command.trim_start_matches("60s later ")]))
                .filter(|batch| !batch.is_empty())
                .collect();
            assert!(!written.is_empty(), "{}: {commands:?} write nothing", case.row);
            restamped(written, stamp_ms)
        };
        Self { a: side(2, case.a, a_ms), b: side(if case.by_owner { 1 } else { 3 }, case.b, b_ms), before }
    }
}

/// The same effects with stamps of that moment.
fn restamped(mut written: Vec<Written>, ms: i64) -> Vec<Written> {
    let mut hlc = Hlc::at_ms(NOW + ms);
    for entry in written.iter_mut().flatten() {
        entry.hlc = hlc;
        hlc = hlc.plus(1);
    }
    written
}

/// Every order of two sequences that keeps the order of each.
fn interleavings<'w>(a: &'w [Written], b: &'w [Written]) -> Vec<Vec<&'w Written>> {
    let mut orders = Vec::new();
    for (first, rest) in a
        .split_first()
        .into_iter()
        .map(|(x, rest)| (x, (rest, b)))
        .chain(b.split_first().map(|(y, rest)| (y, (a, rest))))
    {
        for mut order in interleavings(rest.0, rest.1) {
            order.insert(0, first);
            orders.push(order);
        }
    }
    if a.is_empty() && b.is_empty() { vec![Vec::new()] } else { orders }
}

fn of_key<'e>(entries: impl IntoIterator<Item = &'e Entry>, key: &str) -> Vec<&'e Entry> {
    let concerns =
        |entry: &&Entry| matches!(entry.change.act, Act::FlushDb | Act::FlushAll) || entry.change.key == key.as_bytes();
    entries.into_iter().filter(concerns).collect()
}

fn shown(key: Option<&Reduced>) -> String {
    render(key.and_then(View::whole).as_ref(), NOW)
}

/// The scene on a replica that gets the batches in this order; `folds` what was before once it is there.
fn arrive(scene: &Scene, order: &[&Written], folds: bool) -> Replica {
    let mut replica = Replica::new(4);
    scene.before.iter().for_each(|batch| replica.receive(batch));
    if folds {
        let applied = replica.applied.clone();
        replica.forget(&applied);
        assert!(replica.keys.values().all(Reduced::is_plain));
    }
    order.iter().for_each(|batch| replica.receive(batch));
    replica
}

fn check(case: &Case, scene: &Scene, key: &str, then: &str, stamps: &str) {
    let name = || format!("{} ({key}, {stamps})", case.row);
    let all = scene.before.iter().chain(&scene.a).chain(&scene.b).flatten();
    assert_eq!(render(outcome(&of_key(all, key)).as_ref(), NOW), then, "{}: the rule itself", name());
    for order in interleavings(&scene.a, &scene.b) {
        for folds in [false, true] {
            let mut replica = arrive(scene, &order, folds);
            assert_eq!(shown(replica.keys.get(key)), then, "{}: in order {order:#?}", name());
            let mut log = replica.log.clone();
            log.sort_by_key(|entry| Stamp::new(entry.dot, entry.hlc));
            let mut stable = Vector::new();
            for entry in &log {
                stable.add(entry.dot);
                replica.forget(&stable);
                assert_eq!(shown(replica.keys.get(key)), then, "{}: forgotten up to {entry:#?}", name());
            }
            assert!(replica.keys.values().all(Reduced::is_plain), "{}: something is left", name());
        }
    }
    for folds in [false, true] {
        let seed = arrive(scene, &[], folds);
        let branch = |written: &Vec<Written>| arrive(scene, &written.iter().collect::<Vec<_>>(), folds);
        let [a, b] = [branch(&scene.a), branch(&scene.b)];
        let [seed, a, b] = [&seed, &a, &b].map(|replica| replica.keys.get(key));
        let same = |merged: Option<Reduced>| assert_eq!(shown(merged.as_ref()), then, "{}: merged", name());
        same(merge_n([a, b]));
        same(merge_n([None, b, seed, a, b]));
        same(merge2(merge2(seed, b).as_ref(), a));
    }
}

#[test]
fn every_row_holds_in_every_order() {
    for case in CASES {
        let stamps: &[(bool, &str)] =
            if case.both { &[(false, "b is later"), (true, "a is later")] } else { &[(false, "b is later")] };
        for (a_is_later, stamps) in stamps {
            let scene = Scene::of(case, *a_is_later);
            case.then.iter().for_each(|(key, then)| check(case, &scene, key, then, stamps));
        }
    }
}

/// The cells of a row, without the last one, and whether that says "both".
fn rows_of_the_document() -> BTreeMap<String, bool> {
    let text = include_str!("../../../docs/merging.md");
    let (_, tables) = text.split_once("## The tables").expect("the tables");
    let rows =
        tables.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---") && !line.contains("| then |"));
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let row = |row: &str| {
        let cells = cells(row);
        assert_eq!(cells.len(), 4, "{row}");
        (
            cells[..3].join(" | "),
            cells[3].contains("both") && !cells[3].contains("both have") && !cells[3].starts_with("both "),
        )
    };
    let found: Vec<_> = rows.map(row).collect();
    let by_name: BTreeMap<_, _> = found.iter().cloned().collect();
    assert_eq!(by_name.len(), found.len(), "two rows are the same");
    by_name
}

#[test]
fn every_row_of_the_document_has_its_case() {
    let rows = rows_of_the_document();
    let cases: BTreeMap<String, bool> = CASES.iter().map(|case| (case.row.to_owned(), case.both)).collect();
    let of_databases = ["databases 0, 1, 2 | SWAPDB 0 1 | SWAPDB 1 2"];
    let named: BTreeSet<&str> = cases.keys().map(String::as_str).chain(of_databases).collect();
    assert_eq!(rows.keys().map(String::as_str).collect::<BTreeSet<_>>(), named);
    for (row, both) in &cases {
        assert_eq!(rows[row], *both, "{row}: whether the order of the stamps matters");
    }
}

/// "databases 0, 1, 2 | SWAPDB 0 1 | SWAPDB 1 2": what databases are called is no part of a key. All that a key must see to is that
/// it is not touched; which of two comes first is the same for everybody.
#[test]
fn exchanging_databases_touches_no_key_and_has_an_order() {
    let [one, other] = [2u64, 3].map(|node| Entry {
        dot: effect::Dot { origin: Origin::new(node, 1), seq: 1 },
        hlc: Hlc::at_ms(NOW),
        context: effect::Vector::new(),
        change: Change { keyspace: 0, db: 0, key: Vec::new(), fresh: false, deps: Vec::new(), act: Act::SwapDb(1) },
    });
    let mut key = Reduced::new();
    assert_eq!((one.apply(&mut key), other.apply(&mut key)), (Applied::Beyond, Applied::Beyond));
    assert_eq!((key.shown(), key.is_plain()), (None, true));
    let [one, other] = [one, other].map(|entry| Stamp::new(entry.dot, entry.hlc));
    assert!(one != other && (one < other) != (other < one));
}
