//! Values partly away, as transactions change them before they look.

use super::rules::{House, lay_to_rest};
use super::*;
use crate::checkpoint::tests::{Step, element, emit, name};
use crate::residency::Name;
use crate::value::Part;
use crate::{AtRest, Lock, Recycled, State, Stop};

pub(super) const MANY: u16 = 800;
/// The keys that get values of these kinds.
pub(super) const SET: u8 = 0;
pub(super) const HASH: u8 = 1;
pub(super) const ZSET: u8 = 2;
pub(super) const LIST: u8 = 3;

pub(super) fn bench(house: &House) -> Bench {
    let bench = house.open();
    (SET..=LIST).for_each(|key| bench.run(&[Step::Write { db: 0, key, from: 0, count: MANY }], true));
    lay_to_rest(&bench);
    bench
}

/// How many elements of a key in database 0 are away.
pub(super) fn away(bench: &Bench, key: &[u8]) -> usize {
    let place = bench.engine.shared.place_of(key);
    let shard = bench.engine.shared.shards[usize::from(place.shard.0)].lock();
    shard.find(0, place.order, key).expect("it is in memory").away()
}

/// What is seen behind the steps, which are then taken back; all is away before.
fn seen_behind<R>(bench: &Bench, steps: &[Step], look: impl Fn(&State<'_>) -> Result<R, Stop>) -> R {
    do_chill(bench, Chill::All, &mut Hand::default());
    let (mut recycled, mut at_rest) = (Recycled::new(), AtRest::default());
    for _ in 0..200 {
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        context.know(&at_rest);
        let stepped = steps.iter().try_for_each(|step| {
            emit(&mut context, step, bench.now_ms())?;
            context.settle_written()?;
            context.savepoint();
            Ok(())
        });
        let looked = stepped.and_then(|()| look(&context.state));
        context.abort();
        match looked {
            Ok(seen) => return seen,
            Err(Stop::Miss(miss)) => {
                bench.engine.load(&miss, (0, bench.now_ms()), std::iter::empty(), &mut at_rest).unwrap();
            }
            Err(stop) => panic!("{stop:?}"),
        }
    }
    panic!("it misses on and on behind {steps:?}");
}

pub(super) fn drop_some(key: u8, from: u16, count: u16) -> Step {
    Step::Drop { db: 0, key, from, count }
}

fn has(state: &State<'_>, key: u8, n: u32) -> Result<bool, Stop> {
    let (key, id) = (name(key), element(n));
    Ok(match key[..] {
        [.., b'0'] => state.set(&key)?.map_or(Ok(false), |set| set.contains(&id))?,
        [.., b'1'] => state.hash(&key)?.map_or(Ok(None), |hash| hash.get(&id))?.is_some(),
        _ => state.zset(&key)?.map_or(Ok(None), |zset| zset.score(&id))?.is_some(),
    })
}

fn field(bench: &Bench, key: u8, n: u32) -> Option<Vec<u8>> {
    bench.look(|state| {
        let (key, id) = (name(key), element(n));
        let found = state.hash(&key)?.map_or(Ok(None), |hash| hash.get(&id))?;
        Ok(found.map(|field| field.value.to_vec()))
    })
}

/// Looks for field 5 of a hash; `between` runs once, when its row was read.
fn fetch_field(bench: &Bench, between: impl FnOnce()) {
    assert!(field(bench, HASH, 700).is_some(), "the hash is here, but for its fields");
    let (mut between, part) = (Some(between), Part::Named(vec![element(5).into()]));
    let (name, at_rest) = (Name { db: 0, key: &name(HASH) }, &mut AtRest::default());
    let mut once = || between.take().into_iter().for_each(|between| between());
    bench.engine.shared.fetch_part_with(name, &part, None, at_rest, &mut once).unwrap();
}

/// The members of the sorted set as they stand in it.
pub(super) fn ranked(from: u32) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = (from..u32::from(MANY)).map(|n| (n % 97, element(n))).collect();
    all.sort();
    all.into_iter().map(|(_, member)| member).collect()
}

#[test]
fn a_row_that_was_read_before_its_element_changed_and_left_again_is_not_brought_in() {
    let house = House::new();
    let bench = bench(&house);
    fetch_field(&bench, || {
        bench.run(&[Step::Write { db: 0, key: HASH, from: 5, count: 1 }], true);
        lay_to_rest(&bench);
        assert!(field(&bench, HASH, 700).is_some());
    });
    assert_eq!(field(&bench, HASH, 5), Some(b"6".to_vec()));
}

#[test]
fn a_row_that_was_read_before_another_value_got_the_name_is_not_brought_in() {
    let house = House::new();
    let bench = bench(&house);
    bench.run(&[Step::Write { db: 0, key: 6, from: 0, count: 750 }], true);
    lay_to_rest(&bench);
    assert!(field(&bench, 6, 700).is_some());
    fetch_field(&bench, || bench.run(&[Step::Rename { from: (0, 6), to: (0, HASH) }], true));
    assert_eq!(field(&bench, HASH, 5), Some(b"755".to_vec()));
}

#[test]
fn elements_that_were_brought_in_for_a_page_count_only_until_some_of_them_leave() {
    let house = House::new();
    let bench = bench(&house);
    let key = name(HASH);
    let page = |at_rest: &AtRest| {
        let mut recycled = Recycled::new();
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        context.know(at_rest);
        let mut fields = 0;
        let scanned =
            context.state.hash(&key).and_then(|hash| hash.map(|hash| hash.scan(0, 9, |_| fields += 1)).transpose());
        context.abort();
        scanned.map(|_| fields)
    };
    let mut at_rest = AtRest::default();
    assert!(field(&bench, HASH, 5).is_some());
    let Err(Stop::Miss(miss)) = page(&at_rest) else { panic!("they are away") };
    bench.engine.load(&miss, (0, bench.now_ms()), std::iter::empty(), &mut at_rest).unwrap();
    assert!(page(&at_rest).is_ok_and(|fields| fields >= 9));
    // It is in use: only some of its elements go.
    assert!(bench.engine.shared.evict_idle(1, &mut Hand::default()) > 0);
    assert!(matches!(page(&at_rest), Err(Stop::Miss(_))));
}

#[test]
fn what_a_transaction_has_removed_it_knows_to_be_absent() {
    let house = House::new();
    let bench = bench(&house);
    for key in [SET, HASH, ZSET] {
        let gone = drop_some(key, 5, 3);
        let seen = |steps: &[Step]| seen_behind(&bench, steps, |state| (4..9).map(|n| has(state, key, n)).collect());
        let seen: [Vec<bool>; 2] =
            [seen(std::slice::from_ref(&gone)), seen(&[gone, Step::Write { db: 0, key, from: 6, count: 1 }])];
        assert_eq!(seen, [[true, false, false, false, true], [true, false, true, false, true]], "key {key}");
    }
}

#[test]
fn ranks_behind_a_change_of_the_same_transaction_are_found() {
    let house = House::new();
    let bench = bench(&house);
    let members = ranked(7);
    for at in (0..780).step_by(3) {
        let found = seen_behind(&bench, &[drop_some(LIST, 0, 7)], |state| {
            let key = name(LIST);
            state.list(&key)?.map(|list| list.get(at).map(|found| found.map(<[u8]>::to_vec))).transpose()
        });
        assert_eq!(found, Some(Some(element(at as u32 + 7))));
        let found = seen_behind(&bench, &[drop_some(ZSET, 0, 7)], |state| {
            let key = name(ZSET);
            let range = state.zset(&key)?.map(|zset| zset.range(at..at + 1)).transpose()?;
            Ok(range.and_then(|mut range| range.next()).map(|(member, _)| member.to_vec()))
        });
        assert_eq!(found, Some(members[at].clone()));
    }
}

/// Some are the last of those that are away together.
#[test]
fn each_member_of_which_all_neighbours_are_away_knows_its_rank() {
    let house = House::new();
    let bench = bench(&house);
    for (rank, member) in ranked(0).iter().enumerate() {
        let found = seen_behind(&bench, &[], |state| {
            let key = name(ZSET);
            state.zset(&key)?.map_or(Ok(None), |zset| zset.rank(member))
        });
        assert_eq!(found, Some(rank));
    }
}

#[test]
fn one_of_few_that_are_left_is_picked_while_the_rows_of_others_that_have_gone_are_still_there() {
    let house = House::new();
    let bench = bench(&house);
    [SET, HASH].into_iter().for_each(|key| bench.run(&[drop_some(key, 0, MANY - 4)], true));
    for n in 1..50u64 {
        let random = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let picked = seen_behind(&bench, &[], |state| {
            let (set, hash) = (name(SET), name(HASH));
            let member = state.set(&set)?.map_or(Ok(None), |set| set.pick(random))?.map(|member| member.to_vec());
            let field = state.hash(&hash)?.map_or(Ok(None), |hash| hash.pick(|| random))?.map(|f| f.field.to_vec());
            Ok([member, field])
        });
        let left: Vec<_> = (u32::from(MANY) - 4..u32::from(MANY)).map(element).collect();
        assert!(picked.iter().all(|one| one.as_ref().is_some_and(|one| left.contains(one))), "{picked:?}");
    }
}

/// What is missed under a new name is found under the name of before, in the shard of that.
#[test]
fn a_value_that_a_transaction_has_renamed_is_looked_at_by_name_and_by_page() {
    let house = House::new();
    let bench = bench(&house);
    let renames = [Step::Rename { from: (0, HASH), to: (0, 6) }, Step::Rename { from: (0, 6), to: (0, 7) }];
    let (value, fields) = seen_behind(&bench, &renames, |state| {
        let key = name(7);
        let hash = state.hash(&key)?.expect("it was renamed");
        let (mut fields, value) = (0, hash.get(&element(9))?.map(|field| field.value.to_vec()));
        hash.scan(0, 9, |_| fields += 1)?;
        Ok((value, fields))
    });
    assert_eq!(value, Some((9 + u32::from(MANY)).to_string().into_bytes()));
    assert!(fields >= 9);
}

/// A log that is about elements at rest finds them before it changes them.
#[test]
fn a_log_is_replayed_over_values_whose_elements_are_at_rest() {
    let house = House::new();
    let bench = bench(&house);
    let steps = (SET..=LIST).flat_map(|key| {
        [Step::Write { db: 0, key, from: 40, count: 9 }, Step::Drop { db: 0, key, from: 300, count: 5 }]
    });
    steps.for_each(|step| bench.run(&[step], true));
    bench.run(&[Step::Rename { from: (0, SET), to: (1, 5) }], true);
    let before = bench.digest();
    drop(bench);
    let bench = house.open();
    assert!(bench.engine.residency_figures().partly_cold > 0, "elements are at rest");
    assert_eq!(bench.digest(), before);
}
