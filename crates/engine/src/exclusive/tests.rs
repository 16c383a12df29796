//! What unsafe transactions cost that are shown and not decided.

use std::path::Path;
use std::sync::Arc;

use effect::{Deadline, Dot, Op};
use proptest::prelude::*;

use super::later::SCANS;
use crate::shard::DbKey;
use crate::{Engine, Lock, Options, Recycled};

const NOW_MS: i64 = 1_700_000_000_000;
const MANY: i64 = 40;

fn open(dir: &Path) -> Engine {
    let engine = Engine::open(dir, Options::new(Arc::new(|| NOW_MS), [7; 22])).unwrap();
    engine.set_replicating(true).unwrap();
    engine
}

fn add(engine: &Engine, key: &str, by: i64) {
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    context.out.emit(key.as_bytes(), false, Op::AddInt(by));
    context.commit().unwrap();
}

fn get(engine: &Engine, key: &str) -> i64 {
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    let found = context.state.string(key.as_bytes()).map_err(|_| "a string").unwrap().map(<[u8]>::to_vec);
    found.map_or(0, |value| String::from_utf8(value).unwrap().parse().unwrap())
}

/// A transaction that makes keys this.
fn begin(engine: &Engine, keys: &[&str], value: i64) -> Dot {
    let (mut recycled, value) = (Recycled::new(), value.to_string());
    let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
    context.out.set_exclusive();
    for key in keys {
        context.out.emit(key.as_bytes(), false, Op::Set { value: value.as_bytes(), deadline: Deadline::Clear });
    }
    context.commit_exclusive(&[], &[1, 2, 3], &|_| true).unwrap().bind
}

/// Each was written on all before it, and plain writes come between them.
fn shown(engine: &Engine) -> Vec<Dot> {
    let one = |n: i64| {
        let bind = begin(engine, &["k"], 100 * n);
        engine.show(bind).unwrap();
        add(engine, "k", 1);
        bind
    };
    (1..=MANY).map(one).collect()
}

#[test]
fn to_show_one_more_on_a_key_no_log_is_read_for_those_that_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    SCANS.set(0);
    shown(&engine);
    assert_eq!((get(&engine, "k"), SCANS.get()), (100 * MANY + 1, 0));
}

#[test]
fn to_undo_one_the_log_is_read_once_for_all_that_are_shown_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let binds = shown(&engine);
    SCANS.set(0);
    engine.undo(binds[0]).unwrap();
    assert_eq!((get(&engine, "k"), SCANS.get()), (100 * MANY + 1, 1));
    (1..binds.len()).rev().for_each(|n| drop(engine.undo(binds[n]).unwrap()));
    assert_eq!(get(&engine, "k"), MANY, "the plain writes are left");
    assert_eq!(SCANS.get(), binds.len() - 1, "once each, but for the last, behind which nobody is shown");
}

#[test]
fn those_that_commit_in_their_order_have_nobody_elses_log_read() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let binds = shown(&engine);
    SCANS.set(0);
    for bind in &binds {
        engine.emit_verdict(*bind, true, 0).unwrap().unwrap();
        assert_eq!(get(&engine, "k"), 100 * MANY + 1);
    }
    assert_eq!(SCANS.get(), binds.len(), "for what has come behind each");
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// What happens to transactions; those that are meant by number are any of those that there are.
#[derive(Debug, Clone)]
enum Event {
    /// One is begun that writes and reads these.
    Begin {
        written: Vec<usize>,
        read: Vec<usize>,
        is_unsafe: bool,
    },
    Show(usize),
    Undo(usize),
    Decide(usize, bool),
    /// All is stable.
    Settle,
}

fn event() -> impl Strategy<Value = Event> {
    let some = || prop::collection::vec(0..KEYS.len(), 0..3);
    let begin = |(written, read, is_unsafe)| Event::Begin { written, read, is_unsafe };
    prop_oneof![
        4 => (some(), some(), any::<bool>()).prop_map(begin),
        3 => any::<usize>().prop_map(Event::Show),
        1 => any::<usize>().prop_map(Event::Undo),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, committed)| Event::Decide(which, committed)),
        1 => Just(Event::Settle),
    ]
}

fn happens(engine: &Engine, binds: &mut Vec<Dot>, event: &Event) {
    let one = |which: usize| (!binds.is_empty()).then(|| binds[which % binds.len()]);
    match event {
        Event::Begin { written, read, is_unsafe } => {
            let mut recycled = Recycled::new();
            let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
            context.out.set_exclusive();
            for key in written {
                context.out.emit(KEYS[*key].as_bytes(), false, Op::Set { value: b"1", deadline: Deadline::Clear });
            }
            let read: Vec<DbKey> = read.iter().map(|key| (0, KEYS[*key].as_bytes().into())).collect();
            let begun = context.commit_exclusive(&read, &[1, 2, 3], &|_| *is_unsafe);
            binds.extend(begun.map(|begun| begun.bind));
        }
        Event::Show(which) => one(*which).into_iter().for_each(|bind| drop(engine.show(bind).unwrap())),
        Event::Undo(which) => one(*which).into_iter().for_each(|bind| drop(engine.undo(bind).unwrap())),
        Event::Decide(which, committed) => {
            one(*which).into_iter().for_each(|bind| drop(engine.emit_verdict(bind, *committed, 0).unwrap()));
        }
        Event::Settle => engine.note_stable(&engine.vector(), None),
    }
}

/// What is counted is what there is.
fn check(engine: &Engine) -> Result<(), TestCaseError> {
    let exclusives = &engine.shared.exclusives;
    let undecided = exclusives.undecided();
    let unseen = undecided.iter().filter(|one| one.shown.is_none()).count();
    prop_assert_eq!(exclusives.open(), (undecided.len(), unseen));
    for key in KEYS {
        let name: DbKey = (0, key.as_bytes().into());
        let writes = |one: &super::Pending| one.written.iter().any(|(written, _)| *written == name);
        prop_assert_eq!(exclusives.holds(0, key.as_bytes()), undecided.iter().any(|one| writes(one)));
        let all = exclusives.all();
        prop_assert_eq!(exclusives.is_unsure(0, key.as_bytes()), all.iter().any(|one| one.is_unsafe && writes(one)));
        for (is_unsafe, written) in [(false, false), (false, true), (true, false), (true, true)] {
            let is_in_the_way = |one: &super::Pending| {
                !(is_unsafe && one.shown.is_some()) && (writes(one) || (written && one.read.contains(&name)))
            };
            let clashes = exclusives.clashes(is_unsafe, std::iter::once((&name, written)));
            prop_assert_eq!(
                clashes,
                undecided.iter().any(|one| is_in_the_way(one)),
                "{} {} {}",
                key,
                is_unsafe,
                written
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_in_the_way_of_a_transaction_is_what_the_undecided_ones_use(events in prop::collection::vec(event(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let (engine, mut binds) = (open(dir.path()), Vec::new());
        for event in &events {
            happens(&engine, &mut binds, event);
            check(&engine)?;
        }
    }
}
