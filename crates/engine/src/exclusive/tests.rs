//! What unsafe transactions cost that are shown and not decided.

use std::path::Path;
use std::sync::Arc;

use effect::{Deadline, Dot, Op};

use super::later::SCANS;
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
