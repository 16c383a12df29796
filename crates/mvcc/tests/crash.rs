//! kill -9 at random moments: whatever was acknowledged is there, and what is there is what some moment was.
//!
//! The child writes, sweeps, compacts, cleans and restores, and says after each operation that it is done. The parent kills it,
//! opens the store, and compares it with the model, to which it has applied the same operations up to the last commit.
//! `MVCC_CRASHES=300 cargo test -p mvcc --test crash` runs longer.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{image, t, value_files};
use mvcc::{
    Bounds, Direction, LsmStore, MemStore, Mutation, Options, PrefixDelete, Retention, RunRow, Source, Span, Store,
    Timestamp, Transaction,
};

const DIR: &str = "MVCC_CRASH_DIR";
const LIFE: &str = "MVCC_CRASH_LIFE";

/// A generator of numbers: the same for parent and child.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn options(retention: Retention) -> Options {
    Options {
        cache_bytes: 8 << 20,
        memtable_bytes: 256 << 10,
        threads: 1,
        large_value_bytes: 250,
        value_file_bytes: 16 << 10,
        ..Options::new(retention)
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("{}:{:03}", n % 7, n % 191).into_bytes()
}

/// Operation `n`, which commits at `n`. It is durable when it returns, or comes from a log that the child does not
/// have; the parent then accepts its absence.
fn operate(store: &dyn Store, seed: u64, n: u64) {
    let mut numbers = Numbers(seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let source = if n.is_multiple_of(2) { Source::Direct } else { Source::Log { index: n } };
    match numbers.below(20) {
        0 => {
            let prefix = format!("{}:", numbers.below(7)).into_bytes();
            let delete = PrefixDelete { prefix: &prefix, spare: None, commit: t(n) };
            store.delete_prefix(&delete, source).unwrap();
        }
        1 if store.retention() == Retention::Newest => {
            let run = (0..numbers.below(400)).map(|row| RunRow {
                key: format!("{row:04}:run").into_bytes(),
                commit: t(n),
                expire_at: None,
                value: (row % 5 > 0).then(|| vec![n as u8; 300]),
            });
            store.ingest(&mut run.into_iter(), t(n), source).unwrap();
        }
        _ => {
            let mut chosen: Vec<_> = (0..1 + numbers.below(30)).map(|_| key(numbers.below(1000))).collect();
            chosen.sort();
            chosen.dedup();
            let value = vec![n as u8; 200];
            let change = |key| match numbers.below(4) {
                0 => Mutation::Delete { key },
                _ => Mutation::Put { key, value: &value, expire_at: None },
            };
            let mutations: Vec<_> = chosen.iter().map(|key| &key[..]).map(change).collect();
            let transaction = Transaction { commit: t(n), mutations: &mutations, ..Transaction::default() };
            store.apply(&transaction, source).unwrap();
        }
    }
}

/// What the child does besides: nothing that can be read may change by it.
fn upkeep(store: &LsmStore, n: u64) {
    match n % 16 {
        3 | 7 | 11 => drop(store.compact(t(n.saturating_sub(8)), 150).unwrap()),
        5 if n % 80 == 5 => drop(store.compact_all().unwrap()),
        1 | 13 => drop(store.clean_values(&mut || true).unwrap()),
        9 if n % 48 == 9 => store.restore(&mut &image(store)[..]).unwrap(),
        _ => {}
    }
}

fn child(dir: &Path, life: u64) {
    let retention = if life.is_multiple_of(2) { Retention::Newest } else { Retention::Versions };
    let store = LsmStore::open(dir, &options(retention)).unwrap();
    let mut out = std::io::stdout().lock();
    for n in store.last_commit().0 + 1.. {
        operate(&store, life, n);
        upkeep(&store, n);
        writeln!(out, "{n}").unwrap();
        out.flush().unwrap();
    }
}

/// One store, killed again and again.
fn parent(life: u64, crashes: u64) {
    let retention = if life.is_multiple_of(2) { Retention::Newest } else { Retention::Versions };
    let dir = tempfile::tempdir().unwrap();
    let model = MemStore::new(retention);
    let mut numbers = Numbers(life);
    for crash in 0..crashes {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(DIR, dir.path())
            .env(LIFE, life.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.by_ref().take(1 + numbers.below(60) as usize).map_while(Result::ok).last();
        child.kill().unwrap();
        let said = lines.map_while(Result::ok).last().or(said);
        child.wait().unwrap();
        let acknowledged: u64 = said.expect("the child has opened the store").parse().unwrap();

        let store = LsmStore::open(dir.path(), &options(retention)).unwrap();
        let last = store.last_commit().0;
        assert!(last >= acknowledged, "crash {crash} of life {life}: {acknowledged} was acknowledged, {last} is there");
        (model.last_commit().0 + 1..=last).for_each(|n| operate(&model, life, n));
        assert_eq!(store.applied_index(), model.applied_index());
        let on_disk: u64 = value_files(dir.path()).iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(on_disk, store.stats().unwrap().value_bytes, "no file is there that is not in force");
        for at in [t(last), t(last + 1), Timestamp::LATEST] {
            let read = |store: &dyn Store| store.scan(Span::ALL, at, Direction::Forward, Bounds::NONE).unwrap().rows;
            assert_eq!(read(&store), read(&model), "crash {crash} of life {life}, at {at}");
        }
        let oldest = store.watermark().effective();
        if retention == Retention::Versions {
            let read =
                |store: &dyn Store| store.scan(Span::ALL, oldest, Direction::Forward, Bounds::NONE).unwrap().rows;
            assert_eq!(read(&store), read(&model), "crash {crash} of life {life}, at the watermark");
        }
    }
}

fn main() {
    if let (Some(dir), Ok(life)) = (std::env::var_os(DIR), std::env::var(LIFE)) {
        return child(Path::new(&dir), life.parse().unwrap());
    }
    let crashes = std::env::var("MVCC_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    (0..4).for_each(|life| parent(life, crashes / 4));
}
