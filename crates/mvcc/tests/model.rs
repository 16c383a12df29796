//! Random operations on the store on disk and on the model: every answer and everything that can be read must be equal.
//!
//! `MVCC_CASES=5000 cargo test -p mvcc --test model` runs longer.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use common::{Fixture, Lsm, image, t, value_files};
use mvcc::{
    Bounds, Direction, MemStore, Mutation, Pin, PrefixDelete, Retention, RunRow, Source, Span, Store, Timestamp,
    Transaction,
};
use proptest::collection::vec;
use proptest::prelude::*;

type Key = Vec<u8>;

#[derive(Clone, Debug)]
enum Change {
    Put(Key, Vec<u8>, Option<u64>),
    Delete(Key),
    Expire(Key, Option<u64>),
}

#[derive(Clone, Debug)]
enum Op {
    /// Changes at a commit so far behind or ahead of the last one, with a start so far behind it.
    Apply {
        ahead: i64,
        behind: Option<u64>,
        changes: Vec<Change>,
        reads: Vec<Key>,
        spans: Vec<(Key, Option<Key>)>,
        log: bool,
    },
    DeletePrefix {
        ahead: i64,
        prefix: Key,
        spare: Option<Key>,
        log: bool,
    },
    /// Rows with how far their commits lie behind that of the run.
    Ingest {
        ahead: i64,
        rows: Vec<(Key, u64, Option<Vec<u8>>, Option<u64>)>,
        is_sorted: bool,
    },
    Compact {
        ahead: i64,
        budget: usize,
    },
    Pin {
        behind: u64,
    },
    Unpin,
    AdvanceApplied(u64),
    Scan {
        span: (Key, Option<Key>),
        behind: i64,
        is_reverse: bool,
        bounds: Bounds,
    },
    Reopen,
    Reclaim,
    Clean,
    /// Both stores become what an image of the model, or of the other one, says.
    Restore {
        from_model: bool,
    },
}

/// Keys that begin one another, full of the bytes that encodings stumble over.
fn key() -> impl Strategy<Value = Key> {
    let byte =
        || prop_oneof![4 => Just(0u8), 4 => Just(0xFF), 2 => Just(b'a'), 1 => Just(0xFE), 1 => Just(1), 1 => Just(9)];
    prop_oneof![
        6 => vec(byte(), 1..5),
        3 => vec(byte(), 7..11),
        1 => vec(byte(), 15..18),
        1 => vec(byte(), 0..2),
    ]
}

fn span() -> impl Strategy<Value = (Key, Option<Key>)> {
    (key(), prop::option::weighted(0.7, key()))
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => vec(any::<u8>(), 0..6), 1 => vec(any::<u8>(), 2000..3000)]
}

fn deadline() -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.3, 1..12u64)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => (key(), value(), deadline()).prop_map(|(key, value, deadline)| Change::Put(key, value, deadline)),
        2 => key().prop_map(Change::Delete),
        1 => (key(), deadline()).prop_map(|(key, deadline)| Change::Expire(key, deadline)),
    ]
}

/// Mostly a little ahead of the last commit, at times not.
fn ahead() -> impl Strategy<Value = i64> {
    prop_oneof![12 => 1..4i64, 1 => -3..1i64]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    prop_oneof![
        Just(Bounds::NONE),
        (1..4usize).prop_map(Bounds::rows),
        (1..4usize).prop_map(Bounds::visited),
        (1..20usize).prop_map(|bytes| Bounds { bytes, ..Bounds::NONE }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let apply = (
        ahead(),
        prop::option::weighted(0.6, 0..4u64),
        vec(change(), 0..4),
        vec(key(), 0..2),
        vec(span(), 0..2),
        any::<bool>(),
    );
    let rows = vec((key(), 0..6u64, prop::option::weighted(0.8, value()), deadline()), 0..8);
    prop_oneof![
        12 => apply.prop_map(|(ahead, behind, changes, reads, spans, log)| Op::Apply { ahead, behind, changes, reads, spans, log }),
        3 => (ahead(), vec(prop_oneof![Just(0u8), Just(0xFF), Just(b'a')], 0..3), prop::option::of(key()), any::<bool>())
            .prop_map(|(ahead, prefix, spare, log)| Op::DeletePrefix { ahead, prefix, spare, log }),
        2 => (ahead(), rows, prop::bool::weighted(0.9)).prop_map(|(ahead, rows, is_sorted)| Op::Ingest { ahead, rows, is_sorted }),
        3 => (-8..6i64, 1..20usize).prop_map(|(ahead, budget)| Op::Compact { ahead, budget }),
        1 => (0..8u64).prop_map(|behind| Op::Pin { behind }),
        1 => Just(Op::Unpin),
        1 => (0..20u64).prop_map(Op::AdvanceApplied),
        6 => (span(), -2..8i64, any::<bool>(), bounds())
            .prop_map(|(span, behind, is_reverse, bounds)| Op::Scan { span, behind, is_reverse, bounds }),
        2 => Just(Op::Reopen),
        1 => Just(Op::Reclaim),
        2 => Just(Op::Clean),
        1 => any::<bool>().prop_map(|from_model| Op::Restore { from_model }),
    ]
}

fn to_span((start, end): &(Key, Option<Key>)) -> Span<'_> {
    Span { start, end: end.as_deref() }
}

struct Pair {
    model: MemStore,
    disk: Lsm,
    pins: Vec<(Pin, Pin)>,
    log_index: u64,
    pool: Vec<Key>,
}

impl Pair {
    fn new(retention: Retention) -> Self {
        Self {
            model: MemStore::new(retention),
            disk: Lsm::new(retention),
            pins: Vec::new(),
            log_index: 0,
            pool: Vec::new(),
        }
    }

    /// The answer of both, which must be the same.
    fn both<T: std::fmt::Debug>(&self, what: &str, run: impl Fn(&dyn Store) -> mvcc::Result<T>) -> mvcc::Result<T> {
        let (model, disk) = (run(&self.model), run(self.disk.store()));
        assert_eq!(format!("{model:?}"), format!("{disk:?}"), "{what}");
        disk
    }

    fn at(&self, offset: i64) -> Timestamp {
        t(self.model.last_commit().0.saturating_add_signed(offset))
    }

    fn source(&mut self, log: bool) -> Source {
        if log {
            self.log_index += 1;
            Source::Log { index: self.log_index }
        } else {
            Source::Direct
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Apply { ahead, behind, changes, reads, spans, log } => {
                let commit = self.at(*ahead);
                let start = behind.map(|behind| self.at(-(behind as i64)));
                let deadline = |after: Option<u64>| after.map(|after| t(commit.0 + after - 1));
                let mutations: Vec<_> = changes
                    .iter()
                    .map(|change| match change {
                        Change::Put(key, value, after) => Mutation::Put { key, value, expire_at: deadline(*after) },
                        Change::Delete(key) => Mutation::Delete { key },
                        Change::Expire(key, after) => Mutation::Expire { key, expire_at: deadline(*after) },
                    })
                    .collect();
                let read_keys: Vec<_> = reads.iter().map(|key| &key[..]).collect();
                let read_spans: Vec<_> = spans.iter().map(to_span).collect();
                let (read_keys, read_spans) = (&read_keys[..], &read_spans[..]);
                let transaction = Transaction { start, commit, mutations: &mutations, read_keys, read_spans };
                let source = self.source(*log);
                self.pool.extend(mutations.iter().map(|mutation| mutation.key().to_vec()));
                let _ = self.both("apply", |store| store.apply(&transaction, source));
            }
            Op::DeletePrefix { ahead, prefix, spare, log } => {
                let delete = PrefixDelete { prefix, spare: spare.as_deref(), commit: self.at(*ahead) };
                let source = self.source(*log);
                let _ = self.both("delete prefix", |store| store.delete_prefix(&delete, source));
            }
            Op::Ingest { ahead, rows, is_sorted } => self.ingest(*ahead, rows, *is_sorted),
            Op::Compact { ahead, budget } => self.compact(self.at(*ahead), *budget),
            Op::Pin { behind } => {
                let at = self.at(-(*behind as i64));
                if let (Ok(model), Ok(disk)) = (self.model.pin(at), self.disk.store().pin(at)) {
                    self.pins.push((model, disk));
                }
                let _ = self.both("pin", |store| store.pin(at).map(|pin| pin.at()));
            }
            Op::Unpin => drop(self.pins.pop()),
            Op::AdvanceApplied(index) => {
                self.log_index = self.log_index.max(*index);
                let _ = self.both("advance", |store| store.advance_applied(*index));
            }
            Op::Scan { span, behind, is_reverse, bounds } => {
                let at = if *behind == 7 { Timestamp::LATEST } else { self.at(-behind) };
                let direction = if *is_reverse { Direction::Reverse } else { Direction::Forward };
                let _ = self.both("scan", |store| store.scan(to_span(span), at, direction, *bounds));
            }
            Op::Reopen => {
                self.pins.clear();
                self.disk.reopen();
            }
            Op::Reclaim => drop(self.disk.lsm().compact_all().unwrap()),
            Op::Clean => drop(self.disk.lsm().clean_values(&mut || true).unwrap()),
            Op::Restore { from_model } => {
                let bytes = if *from_model { image(&self.model) } else { image(self.disk.store()) };
                self.pins.clear();
                self.both("restore", |store| store.restore(&mut &bytes[..])).unwrap();
            }
        }
    }

    fn ingest(&mut self, ahead: i64, rows: &[(Key, u64, Option<Vec<u8>>, Option<u64>)], is_sorted: bool) {
        let commit = self.at(ahead);
        let mut run: Vec<_> = rows
            .iter()
            .map(|(key, behind, value, after)| {
                let row_commit = t(commit.0.saturating_sub(*behind).max(1));
                let expire_at = after.filter(|_| value.is_some()).map(|after| t(row_commit.0 + after));
                RunRow { key: key.clone(), commit: row_commit, expire_at, value: value.clone() }
            })
            .filter(|row| !row.key.is_empty())
            .collect();
        if is_sorted {
            run.sort_by(|a, b| a.key.cmp(&b.key));
            run.dedup_by(|a, b| a.key == b.key);
        }
        self.pool.extend(run.iter().map(|row| row.key.clone()));
        let _ = self.both("ingest", |store| store.ingest(&mut run.clone().into_iter(), commit, Source::Direct));
    }

    /// The model compacts at once, the other one by and by; what can be read must not depend on it.
    fn compact(&mut self, horizon: Timestamp, budget: usize) {
        let disk = self.disk.store();
        while !disk.compact(Timestamp::ZERO, budget).unwrap().done {}
        self.both("compact", |store| store.compact(horizon, budget).map(|progress| progress.watermark)).unwrap();
    }

    fn compare(&mut self) {
        self.pool.sort();
        self.pool.dedup();
        self.pool.retain(|key| !key.is_empty());
        let _ = self.both("watermark", |store| Ok(store.watermark().effective()));
        let _ = self.both("state", |store| Ok((store.last_commit(), store.applied_index())));
        let last = self.model.last_commit().0;
        let mut ats: Vec<_> = (last.saturating_sub(6)..last + 12).map(t).collect();
        ats.push(Timestamp::LATEST);
        for &at in &ats {
            for direction in [Direction::Forward, Direction::Reverse] {
                let _ = self.both("everything", |store| store.scan(Span::ALL, at, direction, Bounds::NONE));
            }
        }
        for key in &self.pool {
            let _ = self.both("latest commit", |store| store.latest_commit(key));
            for &at in &ats {
                let _ = self.both("get", |store| store.get(key, at));
                let _ = self.both("probe", |store| store.committed_at(key, at));
            }
        }
    }
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("MVCC_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(128);
    ProptestConfig { cases, max_shrink_iters: 300, ..ProptestConfig::default() }
}

fn check(retention: Retention, ops: &[Op]) {
    let mut pair = Pair::new(retention);
    for op in ops {
        pair.run(op);
        pair.compare();
    }
    pair.pins.clear();
    let everything = pair.at(1000);
    pair.both("delete all", |store| {
        let delete = PrefixDelete { prefix: b"", spare: None, commit: everything };
        store.delete_prefix(&delete, Source::Direct)
    })
    .unwrap();
    pair.compact(everything, usize::MAX);
    pair.disk.lsm().compact_all().unwrap();
    pair.disk.clean();
    assert_eq!(value_files(pair.disk.path()), [], "nobody refers to them");
    let empty = pair
        .both("nothing is left", |store| store.scan(Span::ALL, Timestamp::LATEST, Direction::Forward, Bounds::NONE));
    assert_eq!(empty.unwrap().visited, 0);
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_store_on_disk_answers_like_the_model_with_history(ops in vec(op(), 1..40)) {
        check(Retention::Versions, &ops);
    }

    #[test]
    fn the_store_on_disk_answers_like_the_model_without_history(ops in vec(op(), 1..40)) {
        check(Retention::Newest, &ops);
    }
}
