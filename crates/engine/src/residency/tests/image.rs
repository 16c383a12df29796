//! What a start knows of large values without reading their elements: the rows at the end of their images say it.

use effect::{Deadline, Item, ItemValue, Kind, ListPos, Merge, Op, PathStep};
use mvcc::wide::{INLINE_NAME_BYTES, INLINE_STEPS};

use super::away::{HASH, LIST, MANY, away};
use super::rules::{House, change, lay_to_rest};
use super::*;
use crate::checkpoint::tests::{Step, element, name};

/// Looks at a key, so that it is in memory, and answers how many values are partly away.
fn partly_away(bench: &Bench, key: &[u8]) -> u64 {
    assert!(bench.look(|state| state.kind(key)).is_some());
    bench.engine.residency_figures().partly_cold
}

#[test]
fn a_hash_comes_as_a_whole_while_fields_of_it_have_deadlines() {
    for timed in [0, 1, 3, MANY] {
        let house = House::new();
        let mut bench = house.open();
        bench.run(&[Step::Write { db: 0, key: HASH, from: 0, count: MANY }], true);
        if timed > 0 {
            bench.run(&[Step::Fields { db: 0, key: HASH, from: 5, count: timed, after_ms: 100 }], true);
        }
        let fields = |bench: &Bench| bench.look(|state| state.hash(&name(HASH))?.map_or(Ok(0), |hash| hash.len()));
        let all = fields(&bench);
        for (now_ms, left) in [(1_000_050, all), (1_000_150, all - usize::from(timed))] {
            lay_to_rest(&bench);
            drop(bench);
            house.clock.store(now_ms, std::sync::atomic::Ordering::Relaxed);
            bench = house.open();
            assert_eq!(partly_away(&bench, &name(HASH)), u64::from(timed == 0), "{timed} have one");
            assert_eq!(fields(&bench), left, "{timed} have one");
        }
        // What has a deadline no more is as any other.
        bench.run(&[Step::Write { db: 0, key: HASH, from: 0, count: MANY + 5 }], true);
        lay_to_rest(&bench);
        drop(bench);
        bench = house.open();
        assert_eq!((partly_away(&bench, &name(HASH)), fields(&bench)), (1, usize::from(MANY) + 5));
    }
}

const GROUP: u32 = 40;

/// A member of which the neighbours have names that begin alike. If it is long, its row ends with a digest: the store has them in
/// another order than the value.
fn member(n: u32, is_long: bool) -> Vec<u8> {
    let (group, number) = (n / GROUP, n.wrapping_mul(0x9E37_79B9));
    let middle = if is_long { "x".repeat(INLINE_NAME_BYTES + 70) } else { String::new() };
    format!("{group:03}{middle}{number}").into_bytes()
}

fn put(bench: &Bench, members: &[(f64, Vec<u8>)]) {
    change(bench, |context| {
        let fresh = !context.state.exists(b"zset")?;
        let mut items = context.out.items(Kind::ZSet, Merge::LastWriter);
        members.iter().for_each(|(score, id)| items.push(Item { id, value: ItemValue::Score(*score) }));
        let (merge, deadline) = (Merge::LastWriter, Deadline::Clear);
        context.out.emit(b"zset", fresh, Op::Put { kind: Kind::ZSet, merge, deadline, items: items.seq() });
        Ok(())
    });
}

/// The sorted set shows these, by rank, by name and all together.
fn shows(bench: &Bench, members: &[(f64, Vec<u8>)]) {
    for (rank, (score, member)) in members.iter().enumerate().step_by(7) {
        let seen = bench.look(|state| {
            let zset = state.zset(b"zset")?.expect("it is there");
            let at: Vec<_> = zset.range(rank..rank + 1)?.map(|(member, score)| (score, member.to_vec())).collect();
            Ok((at, zset.rank(member)?, zset.score(member)?))
        });
        assert_eq!(seen, (vec![(*score, member.clone())], Some(rank), Some(*score)));
    }
    let all = bench.look(|state| {
        let zset = state.zset(b"zset")?.expect("it is there");
        Ok(zset.range(0..usize::MAX)?.map(|(member, score)| (score, member.to_vec())).collect::<Vec<_>>())
    });
    assert!(all == members, "all of them");
}

#[test]
fn members_whose_rows_stand_in_another_order_than_they_are_never_at_the_edge_of_what_is_away() {
    let last = 600 / GROUP - 1;
    // Which groups are long, and whether the value can come by parts: not where it is not known between which keys.
    let patterns: [(&dyn Fn(u32) -> bool, Option<u64>); 6] = [
        (&|_| false, Some(1)),
        (&|_| true, Some(0)),
        (&|group| group == 7, Some(1)),
        (&|group| group == 0, Some(0)),
        (&|group| group == last, Some(0)),
        (&|group| group % 2 == 1, None),
    ];
    for (n, (is_long, partly)) in patterns.into_iter().enumerate() {
        let house = House::new();
        let bench = house.open();
        let made = (0..600).map(|n| (f64::from(n / GROUP / 3), member(n, is_long(n / GROUP))));
        let mut members: Vec<_> = made.collect();
        members.sort_by(|one, other| one.partial_cmp(other).expect("scores are numbers"));
        put(&bench, &members);
        lay_to_rest(&bench);
        drop(bench);
        let bench = house.open();
        let found = partly_away(&bench, b"zset");
        assert!(partly.is_none_or(|partly| partly == found), "pattern {n}: {found}");
        shows(&bench, &members);
        // It has changed: only some of its elements can leave.
        members[0].0 -= 1.0;
        put(&bench, &members[..1]);
        for _ in 0..3 {
            do_chill(&bench, Chill::All, &mut Hand::default());
            // All members of the second pattern stay.
            assert_eq!(away(&bench, b"zset") > 0, n != 1, "pattern {n}");
            shows(&bench, &members);
        }
    }
}

/// Inserts elements at places so deep that their rows end with a digest, behind the element of an index.
fn insert_deep(bench: &Bench, behind: usize) {
    change(bench, |context| {
        let (key, me) = (name(LIST), context.out.origin().0);
        let list = context.state.list(&key)?.expect("it is there");
        let before = list.position(behind)?.expect("it is there");
        let step = |digit| PathStep { digit, origin: me };
        let path = (0..INLINE_STEPS).fold(before.path.clone(), |path, _| path.with(step(0)));
        for n in 0..300 {
            // Their order says nothing of that of their digests.
            let pos = ListPos { path: path.with(step(n)), ..before.clone() };
            context.out.emit(&key, false, Op::Insert { pos, value: &element(n as u32) });
        }
        Ok(())
    });
}

#[test]
fn elements_at_deep_places_are_never_at_the_edge_of_what_is_away() {
    // Some chunks of it can leave.
    let many = 4 * MANY;
    for (behind, partly) in [(0, 1), (1500, 1), (usize::from(many) - 1, 0)] {
        let house = House::new();
        let bench = house.open();
        bench.run(&[Step::Write { db: 0, key: LIST, from: 0, count: many }], true);
        insert_deep(&bench, behind);
        let elements = |bench: &Bench, from: usize, count: usize| {
            bench.look(|state| {
                let key = name(LIST);
                let list = state.list(&key)?.expect("it is there");
                Ok(list.range(from..from.saturating_add(count))?.map(<[u8]>::to_vec).collect::<Vec<_>>())
            })
        };
        let all = elements(&bench, 0, usize::MAX);
        let shows_all = |bench: &Bench| {
            for at in (0..all.len()).step_by(37) {
                assert_eq!(elements(bench, at, 2), all[at..(at + 2).min(all.len())]);
            }
            assert!(elements(bench, 0, usize::MAX) == all);
        };
        lay_to_rest(&bench);
        drop(bench);
        let bench = house.open();
        assert_eq!(partly_away(&bench, &name(LIST)), partly, "behind {behind}");
        shows_all(&bench);
        bench.run(&[Step::Expire { db: 0, key: LIST, after_ms: 60_000 }], true);
        for _ in 0..3 {
            do_chill(&bench, Chill::All, &mut Hand::default());
            assert!(away(&bench, &name(LIST)) > 0);
            shows_all(&bench);
        }
    }
}
