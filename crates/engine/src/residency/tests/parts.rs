//! Parts of large values as they are asked for: how much may come at once, and what becomes of them.

use effect::{ListPos, Op, Side};

use super::away::{HASH, LIST, MANY, SET, ZSET, away, bench, drop_some};
use super::rules::{House, change, lay_to_rest};
use super::*;
use crate::checkpoint::tests::{Step, element, name};
use crate::residency::{Name, ReadError};
use crate::value::{Part, Want};
use crate::{AtRest, Miss, Stop};

/// An engine with the same history that has everything in memory.
fn warm(house: &House, steps: &[Step]) -> Bench {
    let bench = house.open();
    (SET..=LIST).for_each(|key| bench.run(&[Step::Write { db: 0, key, from: 0, count: MANY }], true));
    steps.iter().for_each(|step| bench.run(std::slice::from_ref(step), true));
    bench
}

/// Looks at a key: some of its elements are away.
fn touch(bench: &Bench, db: u8, key: u8) {
    assert!(bench.look(|state| {
        state.select(db);
        Ok(state.kind(&name(key))?.is_some())
    }));
}

/// A list of a few elements to a chunk.
fn push_large(bench: &Bench, count: u16) {
    change(bench, |context| {
        let (mut values, me) = (context.out.ids(), context.out.origin().0);
        (0..count).for_each(|n| values.push(format!("{n:0200}").as_bytes()));
        let push = Op::Push { side: Side::Tail, first: ListPos::after_tail(None, me), values: values.seq() };
        context.out.emit(&name(LIST), true, push);
        Ok(())
    });
}

/// As a command has it read.
fn load(bench: &Bench, key: u8, part: &Part) -> Result<(), Stop> {
    let miss = Miss::Elements { db: 0, key: name(key), part: Some(part.clone()) };
    bench.engine.load(&miss, (0, bench.now_ms()), std::iter::empty(), &mut AtRest::default())
}

fn fetch_with(bench: &Bench, key: u8, part: &Part, between: &mut dyn FnMut()) -> Result<(), ReadError> {
    let at_rest = &mut AtRest::default();
    bench.engine.shared.fetch_part_with(Name { db: 0, key: &name(key) }, part, None, at_rest, between)
}

/// Half of the memory, at 48 bytes an element.
#[test]
fn what_takes_more_than_half_of_the_memory_is_not_brought_in_at_once() {
    let house = House::new();
    drop(bench(&house));
    let (whole, ranks) = (Part::Whole, Part::Ranks(0..usize::MAX));
    for (key, part) in [(SET, &whole), (HASH, &whole), (ZSET, &whole), (LIST, &whole), (ZSET, &ranks), (LIST, &ranks)] {
        for short in [1, 0] {
            let bench = house.open_bounded(1 << 30);
            touch(&bench, 0, key);
            let before = away(&bench, &name(key));
            assert!(before > 100);
            bench.engine.set_memory(2 * 48 * before as u64 - short);
            let loaded = load(&bench, key, part);
            if short == 0 {
                assert_eq!((loaded, away(&bench, &name(key))), (Ok(()), 0), "{key} {part:?}");
                continue;
            }
            let Err(Stop::Error(text)) = loaded else { panic!("{key} {part:?}: {loaded:?}") };
            assert!(text.starts_with("OOM ") && text.contains(&format!("{before} elements")), "{text}");
            assert_eq!(away(&bench, &name(key)), before, "nothing has come");
            // What takes less does.
            let less = if key < ZSET { Part::Named(vec![element(9).into()]) } else { Part::Ranks(400..410) };
            assert_eq!(load(&bench, key, &less), Ok(()));
            assert!(away(&bench, &name(key)) < before, "{key} {part:?}: {less:?}");
        }
    }
}

/// Not only with their key, which has changed.
#[test]
fn elements_that_have_come_leave_again() {
    for key in SET..=LIST {
        let house = House::new();
        let bench = house.open();
        bench.run(&[Step::Write { db: 0, key, from: 0, count: 4 * MANY }], true);
        lay_to_rest(&bench);
        bench.run(&[Step::Expire { db: 0, key, after_ms: 60_000 }], true);
        let whole = away(&bench, &name(key));
        for _ in 0..3 {
            assert_eq!(load(&bench, key, &Part::Whole), Ok(()));
            assert_eq!(away(&bench, &name(key)), 0);
            do_chill(&bench, Chill::All, &mut Hand::default());
            let again = away(&bench, &name(key));
            // A list keeps those that have come into the chunks at its ends.
            assert!(again == whole || key == LIST && again > whole / 2, "of {whole} of {key} {again} have left");
        }
        bench.validate();
    }
}

#[test]
fn elements_that_are_away_of_a_value_that_has_become_small_stay_in_their_rows() {
    // So many that some are away; what is noted of those that have gone takes little memory.
    const FEW: u16 = 170;
    for key in SET..=LIST {
        for gone in [45, 60, 100] {
            let houses = [House::new(), House::new()];
            let [cold, warm] = houses.each_ref().map(|house| {
                let bench = house.open();
                let limits = bench.engine.shared.shards[0].lock().limits;
                bench.engine.set_limits(crate::Limits { hash_max_listpack_entries: 100, ..limits });
                match key {
                    LIST => push_large(&bench, FEW),
                    _ => bench.run(&[Step::Write { db: 0, key, from: 0, count: FEW }], true),
                }
                bench
            });
            lay_to_rest(&cold);
            [&cold, &warm].into_iter().for_each(|bench| bench.run(&[drop_some(key, 0, gone)], true));
            let left = away(&cold, &name(key));
            assert!(left > 0 && left <= usize::from(FEW - gone), "of {key} {left} are away");
            assert!(cold.checkpoint(&mut || true).is_some());
            assert_eq!(away(&cold, &name(key)), left, "they are where they were");
            drop(cold);
            assert_eq!(houses[0].open().digest(), warm.digest(), "{key} without {gone}");
        }
    }
}

#[test]
fn a_value_of_which_elements_are_away_moves_to_another_database_with_all_of_them() {
    for key in SET..=LIST {
        let there = Step::Rename { from: (0, key), to: (1, 7) };
        let more = Step::Write { db: 1, key: 7, from: 790, count: 20 };
        let expected = warm(&House::new(), &[there.clone(), more.clone()]).digest();
        for rests in [false, true] {
            let house = House::new();
            let bench = bench(&house);
            touch(&bench, 0, key);
            assert!(away(&bench, &name(key)) > 0);
            bench.run(std::slice::from_ref(&there), true);
            bench.run(std::slice::from_ref(&more), true);
            if rests {
                lay_to_rest(&bench);
                touch(&bench, 1, 7);
                assert_eq!(bench.digest(), expected, "{key}");
            }
            // Else a log that says so is replayed over it.
            drop(bench);
            assert_eq!(house.open().digest(), expected, "{key} {rests}");
        }
    }
}

/// Where elements leave, or another value takes the place, the reader begins again.
#[test]
fn a_value_that_is_read_as_a_whole_is_whole_in_the_end_whatever_happens_meanwhile() {
    for key in [SET, HASH] {
        for is_replaced in [false, true] {
            let house = House::new();
            let bench = bench(&house);
            bench.run(&[Step::Write { db: 0, key: key + 5, from: 0, count: MANY }], true);
            lay_to_rest(&bench);
            [key, key + 5].into_iter().for_each(|key| touch(&bench, 0, key));
            let (mut times, mut was_away) = (0, 0);
            fetch_with(&bench, key, &Part::Whole, &mut || {
                times += 1;
                assert!(times < 500, "it reads on and on");
                if times != 9 {
                    return;
                }
                let (before, _) = (away(&bench, &name(key)), bench.look(|state| state.kind(&name(key))));
                match is_replaced {
                    true => bench.run(&[Step::Rename { from: (0, key + 5), to: (0, key) }], true),
                    false => drop(bench.engine.shared.evict_idle(1, &mut Hand::default())),
                }
                was_away = away(&bench, &name(key));
                assert!(was_away > before, "some have come, and some of these are away again");
            })
            .unwrap();
            assert_eq!((away(&bench, &name(key)), was_away > 0), (0, true), "{key}, replaced: {is_replaced}");
        }
    }
}

#[test]
fn rows_that_were_read_before_their_members_changed_and_went_to_rest_do_not_fill_a_gap() {
    let house = House::new();
    let bench = bench(&house);
    touch(&bench, 0, ZSET);
    // They get other scores, and are away again.
    let changed = Step::Write { db: 0, key: ZSET, from: 0, count: 700 };
    let want = {
        let place = bench.engine.shared.place_of(&name(ZSET));
        let shard = bench.engine.shared.shards[usize::from(place.shard.0)].lock();
        let entry = shard.find(0, place.order, &name(ZSET)).unwrap();
        let wants = entry.wants(&Part::Ranks(400..401), shard.limits.seed, 1);
        wants.into_iter().next().expect("it is away")
    };
    assert!(matches!(want, Want::Between(..)));
    let (mut changes, key) = (Some(&changed), name(ZSET));
    let fetched = bench.engine.shared.fetch_between_with(Name { db: 0, key: &key }, want, &mut || {
        changes.take().into_iter().for_each(|step| bench.run(std::slice::from_ref(step), true));
        lay_to_rest(&bench);
        touch(&bench, 0, ZSET);
        assert!(away(&bench, &key) > 700);
    });
    assert!(fetched.is_ok(), "{fetched:?}");
    bench.validate();
    assert_eq!(bench.digest(), warm(&House::new(), &[changed]).digest());
}
