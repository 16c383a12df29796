//! Rules that random histories seldom come by.

use std::sync::atomic::Ordering;

use effect::{Deadline, Op};

use super::super::fill::fill_with;
use super::*;
use crate::checkpoint::tests::Step;
use crate::limits::VACANT_MOST;
use crate::{AtRest, Context, Lock, Miss, Recycled, Stop, WatchFlag};

/// An engine with nothing in memory that nobody has asked for, and a clock of its own.
pub(super) struct House {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Arc<AtomicI64>,
}

impl House {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Arc::new(AtomicI64::new(1_000_000)) }
    }

    /// The same, with a bound on memory, bytes; 0: none.
    pub(super) fn open_bounded(&self, memory: u64) -> Bench {
        Bench::open_bounded(self.dir.path(), &self.clock, memory)
    }

    pub(super) fn open(&self) -> Bench {
        let bench = Bench::open_cold(self.dir.path(), &self.clock, None);
        bench.engine.set_reclaiming(false);
        bench
    }
}

/// Takes a checkpoint and evicts all keys.
pub(super) fn lay_to_rest(bench: &Bench) {
    bench.checkpoint(&mut || true).unwrap();
    do_chill(bench, Chill::All, &mut Hand::default());
    assert!(bench.engine.residency_figures().cold_keys > 0);
}

/// Runs `change` until it misses nothing, and commits what it emits.
pub(super) fn change(bench: &Bench, mut change: impl FnMut(&mut Context<'_>) -> Result<(), Stop>) {
    let (mut recycled, mut at_rest) = (Recycled::new(), AtRest::default());
    loop {
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        context.know(&at_rest);
        match change(&mut context).and_then(|()| context.settle_written()) {
            Ok(()) => return drop(context.commit().unwrap()),
            Err(Stop::Miss(miss)) => {
                context.abort();
                bench.engine.load(&miss, (0, bench.now_ms()), std::iter::empty(), &mut at_rest).unwrap();
            }
            Err(stop) => panic!("{stop:?}"),
        }
    }
}

pub(super) fn set(bench: &Bench, key: &[u8], value: &[u8], deadline: Deadline) {
    change(bench, |context| {
        let fresh = !context.state.exists(key)?;
        context.out.emit(key, fresh, Op::Set { value, deadline });
        Ok(())
    });
}

pub(super) fn get(bench: &Bench, key: &[u8]) -> Option<Vec<u8>> {
    bench.look(|state| Ok(state.string(key)?.map(<[u8]>::to_vec)))
}

#[test]
fn who_watches_a_key_at_rest_hears_that_its_database_is_emptied_or_exchanged() {
    for whole in [Step::Flush { db: 0 }, Step::FlushAll, Step::Swap].map(|step| [step]) {
        let house = House::new();
        let bench = house.open();
        set(&bench, b"watched", b"1", Deadline::Clear);
        let (flag, mut recycled) = (WatchFlag::default(), Recycled::new());
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        context.watch(b"watched", &flag).unwrap();
        context.abort();
        lay_to_rest(&bench);
        bench.run(&whole, false);
        assert!(!flag.is_dirty(), "it was taken back: {whole:?}");
        bench.run(&whole, true);
        assert!(flag.is_dirty(), "{whole:?}");
    }
}

#[test]
fn nothing_is_evicted_from_a_shard_that_is_locked_once_somebody_holds_on() {
    let house = House::new();
    let bench = house.open();
    (0..100u8).for_each(|n| set(&bench, &[n], b"1", Deadline::Clear));
    bench.checkpoint(&mut || true).unwrap();
    let (shared, mut hand) = (&bench.engine.shared, Hand::default());
    let hold = shared.residency.hold();
    // The marks of the look-ups go with the first time around.
    (0..2000).for_each(|_| assert_eq!(shared.evict_some(&mut hand).freed, 0));
    assert_eq!(bench.engine.residency_figures().cold_keys, 0);
    drop(hold);
    shared.evict_idle(u64::MAX, &mut hand);
    assert_eq!(bench.engine.residency_figures().cold_keys, 100);
}

#[test]
fn a_random_key_is_found_among_many_at_rest_that_have_expired_or_none_if_all_have() {
    let house = House::new();
    let bench = house.open();
    let name = |n: u16| format!("key:{n}").into_bytes();
    (0..2000).for_each(|n| set(&bench, &name(n), b"1", Deadline::At(1_000_100)));
    set(&bench, b"stays", b"1", Deadline::At(1_000_200));
    lay_to_rest(&bench);
    for (now, found) in [(1_000_150, Some(b"stays".to_vec())), (1_000_250, None)] {
        house.clock.store(now, Ordering::Relaxed);
        let (runs, random) = (std::cell::Cell::new(0), std::cell::Cell::new(1_u64));
        let picked = bench.look(|state| {
            runs.set(runs.get() + 1);
            assert!(runs.get() < 100, "it looks on and on");
            let next = || {
                random.set(random.get().wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F));
                random.get() ^ random.get() >> 29
            };
            Ok(state.pick(next)?.map(<[u8]>::to_vec))
        });
        assert_eq!(picked, found);
    }
}

#[test]
fn keys_that_are_needed_together_are_missed_together() {
    let house = House::new();
    let bench = house.open();
    let names: Vec<_> = (0..50).map(|n| format!("key:{n}").into_bytes()).collect();
    names[..40].iter().for_each(|name| set(&bench, name, b"1", Deadline::Clear));
    lay_to_rest(&bench);
    let (mut recycled, mut misses) = (Recycled::new(), 0);
    loop {
        let context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        let gathered = context.state.gather(names.iter());
        let found = names.iter().filter(|name| context.state.exists(name) == Ok(true)).count();
        context.abort();
        let Err(Stop::Miss(miss)) = gathered else {
            assert_eq!((gathered, found, misses), (Ok(()), 40, 1));
            return;
        };
        assert!(matches!(&miss, Miss::Keys { keys, .. } if keys.len() >= 40), "{miss:?}");
        bench.engine.load(&miss, (0, bench.now_ms()), std::iter::empty(), &mut AtRest::default()).unwrap();
        misses += 1;
    }
}

#[test]
fn keys_whose_rows_are_named_by_a_digest_come_and_go() {
    let house = House::new();
    let mut bench = house.open();
    let name = |n: u8| [&vec![b'k'; 3000][..], &[n]].concat();
    (0..20).for_each(|n| set(&bench, &name(n), &[n], Deadline::Clear));
    lay_to_rest(&bench);
    change(&bench, |context| {
        (0..5).try_for_each(|n| {
            context.state.exists(&name(n))?.then(|| context.out.remove(&name(n)));
            Ok(())
        })
    });
    for _ in 0..3 {
        assert_eq!(
            (0..20).filter_map(|n| get(&bench, &name(n))).collect::<Vec<_>>(),
            Vec::from_iter((5..20).map(|n| vec![n]))
        );
        lay_to_rest(&bench);
        let all: BTreeSet<_> = (5..20).map(name).collect();
        assert_eq!((scan(&bench, 0), seen(&bench).keys[0].clone()), (all.clone(), all));
        drop(bench);
        bench = house.open();
        assert_eq!(bench.look(|state| state.len()), 15);
    }
}

/// A key that comes into memory, changes, goes to rest and leaves again.
fn is_replaced(bench: &Bench, key: &[u8]) {
    set(bench, key, b"new", Deadline::Clear);
    lay_to_rest(bench);
}

#[test]
fn a_row_that_was_read_before_its_key_came_changed_and_went_again_is_not_brought_in() {
    let house = House::new();
    let bench = house.open();
    set(&bench, b"key", b"old", Deadline::Clear);
    lay_to_rest(&bench);
    let shared = &bench.engine.shared;
    let mut times = 0;
    let mut between = || {
        times += 1;
        if times == 1 {
            is_replaced(&bench, b"key");
        }
    };
    shared.fetch_with(0, b"key", &mut between).unwrap();
    assert_eq!((times, get(&bench, b"key")), (2, Some(b"new".to_vec())));
}

#[test]
fn rows_that_were_read_before_their_keys_came_changed_and_went_again_are_not_brought_in() {
    let house = House::new();
    let bench = house.open();
    set(&bench, b"key", b"old", Deadline::Clear);
    lay_to_rest(&bench);
    let shared = &bench.engine.shared;
    let (rows, shard) = (shared.checkpoints.found_rows().unwrap(), bench.engine.shard_of(b"key"));
    for how in [Fill::Expired(2_000_000), Fill::Arrive] {
        let mut times = 0;
        let mut between = || {
            times += 1;
            if times == 1 {
                is_replaced(&bench, b"key");
            }
        };
        set(&bench, b"key", b"old", Deadline::At(1_500_000));
        lay_to_rest(&bench);
        fill_with(shared, rows, shard, how, || true, &mut between).unwrap();
        assert_eq!((times, get(&bench, b"key")), (2, Some(b"new".to_vec())), "{how:?}");
    }
}

#[test]
fn a_shard_of_which_a_key_went_while_it_was_filled_is_not_complete() {
    let house = House::new();
    let bench = house.open();
    // Several batches of the same shard.
    let name = |n: u8| format!("{{shard}}{n}").into_bytes();
    (0..100).for_each(|n| set(&bench, &name(n), b"1", Deadline::Clear));
    lay_to_rest(&bench);
    let shared = &bench.engine.shared;
    let (rows, shard) = (shared.checkpoints.found_rows().unwrap(), bench.engine.shard_of(&name(0)));
    let mut times = 0;
    let mut between = || {
        times += 1;
        if times == 3 {
            do_chill(&bench, Chill::All, &mut Hand::default());
        }
    };
    let (_, is_complete) = fill_with(shared, rows, shard, Fill::Arrive, || true, &mut between).unwrap();
    assert!(times > 3 && !is_complete);
    assert!((0..100).all(|n| get(&bench, &name(n)).is_some()));
}

#[test]
fn with_a_missed_key_come_those_that_a_transaction_names_in_the_same_database() {
    let house = House::new();
    let bench = house.open();
    for key in 0..3 {
        bench.run(&[Step::Set { db: 1, key, bytes: 9 }], true);
    }
    lay_to_rest(&bench);
    let names: Vec<_> = (0..3).map(|key| format!("key:{key}").into_bytes()).collect();
    let miss = Miss::Key { db: 1, key: names[0].clone() };
    bench.engine.load(&miss, (0, bench.now_ms()), names.iter().map(|name| &name[..]), &mut AtRest::default()).unwrap();
    assert_eq!(bench.engine.residency_figures().cold_keys, 0);
}

/// Names of what is at rest that were read before some of it came, changed, went or was evicted.
#[test]
fn names_at_rest_count_only_as_long_as_the_shard_is_as_it_was() {
    let house = House::new();
    let bench = house.open();
    let name = |n: u8| format!("{{shard}}{n}").into_bytes();
    (0..4).for_each(|n| set(&bench, &name(n), b"1", Deadline::Clear));
    lay_to_rest(&bench);
    let keys = |at_rest: &AtRest| {
        let mut recycled = Recycled::new();
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        context.know(at_rest);
        let mut keys = Vec::new();
        context.state.each_key(|key| keys.push(key.to_vec())).map(|()| {
            keys.sort();
            keys
        })
    };
    let mut at_rest = AtRest::default();
    let Err(Stop::Miss(miss)) = keys(&at_rest) else { panic!("they are at rest") };
    bench.engine.load(&miss, (0, bench.now_ms()), std::iter::empty(), &mut at_rest).unwrap();
    assert_eq!(keys(&at_rest), Ok((0..4).map(name).collect()));
    assert_eq!(bench.engine.shared.evict_idle(u64::MAX, &mut Hand::default()), 0, "nothing goes while they are needed");
    // One comes, one goes, one is new: it is known of each.
    get(&bench, &name(0));
    change(&bench, |context| {
        context.state.exists(&name(1))?.then(|| context.out.remove(&name(1)));
        Ok(())
    });
    set(&bench, &name(9), b"1", Deadline::Clear);
    assert_eq!(keys(&at_rest), Ok([0, 2, 3, 9].map(name).into()));
    bench.checkpoint(&mut || true).unwrap();
    assert!(matches!(keys(&at_rest), Err(Stop::Miss(Miss::Database { .. }))), "the row of one has gone");
}

#[test]
fn a_key_known_to_have_no_row_has_one_once_it_was_made_and_evicted() {
    let house = House::new();
    let bench = house.open();
    set(&bench, b"{shard}1", b"1", Deadline::Clear);
    lay_to_rest(&bench);
    assert_eq!(get(&bench, b"{shard}2"), None);
    set(&bench, b"{shard}2", b"2", Deadline::Clear);
    lay_to_rest(&bench);
    assert_eq!(get(&bench, b"{shard}2"), Some(b"2".to_vec()));
}

#[test]
fn what_a_command_needs_that_misses_again_and_again_stays_until_it_has_run() {
    let house = House::new();
    let bench = house.open();
    set(&bench, b"key", b"1", Deadline::Clear);
    lay_to_rest(&bench);
    let (mut at_rest, miss) = (AtRest::default(), Miss::Key { db: 0, key: b"key".to_vec() });
    // The mark of having been used goes first.
    let evict = || bench.engine.shared.evict_idle(u64::MAX, &mut Hand::default()) > 0;
    for n in 1..10 {
        bench.engine.load(&miss, (0, bench.now_ms()), std::iter::empty(), &mut at_rest).unwrap();
        assert_eq!(evict(), n < 4, "after {n} misses");
    }
    drop(at_rest);
    assert!(evict());
}

#[test]
fn deadlines_at_rest_are_known_of() {
    let house = House::new();
    let bench = house.open();
    set(&bench, b"key", b"1", Deadline::At(1_100_000));
    lay_to_rest(&bench);
    let has_deadlines = |bench: &Bench| {
        let shard = usize::from(bench.engine.shard_of(b"key").0);
        bench.engine.shared.shards[shard].lock().has_deadlines_at_rest()
    };
    assert!(has_deadlines(&bench));
    bench.engine.close().unwrap();
    house.clock.store(1_040_000, Ordering::Relaxed);
    let bench = house.open();
    assert!(has_deadlines(&bench));
    assert_eq!(bench.engine.key_counts(0).mean_ttl_ms, 60_000);
    assert!(get(&bench, b"key").is_some() && !has_deadlines(&bench));
    assert_eq!(bench.engine.key_counts(0).mean_ttl_ms, 60_000);
}

#[test]
fn keys_of_which_a_cursor_cannot_tell_one_from_the_other_are_on_one_page() {
    let house = House::new();
    let bench = house.open();
    let mut groups = std::collections::HashMap::new();
    // Of some hundred thousand two have the same 32 bits.
    let pair = (0..1_000_000).find_map(|n| {
        let name = format!("{{shard}}{n}").into_bytes();
        let group = bench.engine.shared.order_of(&name) >> 26;
        groups.insert(group, name.clone()).map(|other| [name, other])
    });
    let pair = pair.expect("there are two");
    pair.iter().for_each(|name| set(&bench, name, b"1", Deadline::Clear));
    lay_to_rest(&bench);
    let scanned = bench.look(|state| {
        let mut found = BTreeSet::new();
        let next = state.scan(Cursor(0), 1, |sighted| found.extend([sighted.key.to_vec()]))?;
        Ok((found, next))
    });
    assert_eq!(scanned.0, BTreeSet::from(pair.clone()));
    assert_eq!(scan(&bench, 0), BTreeSet::from(pair.clone()));
    // One of them comes, changes and goes: the other stays what it is.
    set(&bench, &pair[0], b"2", Deadline::Clear);
    lay_to_rest(&bench);
    change(&bench, |context| {
        context.state.exists(&pair[0])?.then(|| context.out.remove(&pair[0]));
        Ok(())
    });
    lay_to_rest(&bench);
    assert_eq!((get(&bench, &pair[0]), get(&bench, &pair[1])), (None, Some(b"1".to_vec())));
}

#[test]
fn of_many_absent_keys_all_are_known_to_be_absent_as_long_as_somebody_needs_it() {
    let house = House::new();
    let bench = house.open();
    set(&bench, b"{shard}", b"1", Deadline::Clear);
    lay_to_rest(&bench);
    let absent: Vec<_> = (0..10 * VACANT_MOST).map(|n| format!("{{shard}}{n}").into_bytes()).collect();
    let (mut recycled, mut at_rest) = (Recycled::new(), AtRest::default());
    let gather = |recycled: &mut Recycled| {
        let context = bench.engine.context(Lock::All, 0, bench.now_ms(), recycled);
        let gathered = context.state.gather(absent.iter());
        context.abort();
        gathered
    };
    let load = |miss: &Miss, at_rest: &mut AtRest| {
        bench.engine.load(miss, (0, bench.now_ms()), std::iter::empty(), at_rest).unwrap();
    };
    for _ in 0..4 {
        let Err(Stop::Miss(miss)) = gather(&mut recycled) else { panic!("more is known than is remembered") };
        load(&miss, &mut at_rest);
    }
    assert_eq!(gather(&mut recycled), Ok(()));
    drop(at_rest);
    load(&Miss::Key { db: 0, key: b"{shard}another".to_vec() }, &mut AtRest::default());
    assert!(gather(&mut recycled).is_err(), "it takes memory no longer than it must");
}

#[test]
fn a_large_hash_at_rest_all_of_whose_fields_have_expired_is_reclaimed() {
    let house = House::new();
    let bench = house.open();
    let fields = |from, count, after_ms| Step::Fields { db: 0, key: 1, from, count, after_ms };
    bench.run(&[fields(0, 700, 100)], true);
    bench.run(&[Step::Fields { db: 0, key: 6, from: 0, count: 700, after_ms: 100 }], true);
    // One of the fields of the first lives longer.
    bench.run(&[fields(650, 1, 900)], true);
    lay_to_rest(&bench);
    house.clock.store(1_000_500, Ordering::Relaxed);
    assert_eq!(bench.engine.key_counts(0).keys, 2);
    let seen = seen(&bench);
    assert_eq!((seen.keys[0].len(), seen.counts[0].0), (1, 1), "what has expired is counted no more");
    assert!(bench.engine.residency_figures().cold_keys > 0, "what lives stays at rest");
}
