//! What versioning costs: the same rows in the store and in the bare tree that it stands on, step by step in turn.
//! Usage: `cargo run --release -p mvcc --example beside_fjall -- [ROWS] [DIR]`.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use mvcc::{
    Bounds, Direction, LsmStore, Mutation, Options, Retention, RunRow, Source, Span, Store, Timestamp, Transaction,
};

type Any<T> = Result<T, Box<dyn std::error::Error>>;

const VALUE: [u8; 72] = [7; 72];
const BATCH: u64 = 100;
const PAGE: usize = 100;
const ROUNDS: u32 = 3;

/// The key of row `n`: 28 bytes that are spread evenly.
fn key(n: u64) -> [u8; 28] {
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut key = *b"user:0000000000000000:000000";
    for digit in &mut key[5..21] {
        state ^= state >> 29;
        state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        *digit = b"0123456789abcdef"[(state >> 60) as usize];
    }
    for (place, digit) in key[22..].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(n >> (4 * place)) as usize & 15];
    }
    key
}

/// What is measured, once for each of those that are compared.
trait Subject {
    fn name(&self) -> &'static str;
    fn write(&mut self, rows: std::ops::Range<u64>) -> Any<()>;
    fn get(&self, key: &[u8]) -> Any<bool>;
    fn page(&self, from: &[u8], reverse: bool) -> Any<usize>;
    fn ingest(&mut self, keys: &[[u8; 28]]) -> Any<()>;
}

struct Bare {
    db: Database,
    rows: Keyspace,
}

impl Subject for Bare {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn write(&mut self, rows: std::ops::Range<u64>) -> Any<()> {
        let mut batch = self.db.batch().durability(Some(PersistMode::Buffer));
        for n in rows {
            batch.insert(&self.rows, key(n), VALUE);
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8]) -> Any<bool> {
        Ok(self.rows.get(key)?.is_some())
    }

    fn page(&self, from: &[u8], reverse: bool) -> Any<usize> {
        let snapshot = self.db.snapshot();
        let mut rows = Vec::new();
        // With both ends, as a table needs them that shares its tree with others.
        let (start, end) = if reverse { (&b"\0"[..], from) } else { (from, &b"\xFF"[..]) };
        let mut range = snapshot.range(&self.rows, start..end);
        while rows.len() < PAGE {
            let Some(guard) = (if reverse { range.next_back() } else { range.next() }) else { break };
            let (key, value) = guard.into_inner()?;
            rows.push((key.to_vec(), value));
        }
        Ok(rows.len())
    }

    fn ingest(&mut self, keys: &[[u8; 28]]) -> Any<()> {
        let mut run = self.rows.start_ingestion()?;
        for key in keys {
            run.write(*key, VALUE)?;
        }
        Ok(run.finish()?)
    }
}

struct Versioned {
    store: LsmStore,
    name: &'static str,
    clock: u64,
}

impl Versioned {
    fn tick(&mut self) -> Timestamp {
        self.clock += 1;
        Timestamp(self.clock)
    }
}

impl Subject for Versioned {
    fn name(&self) -> &'static str {
        self.name
    }

    fn write(&mut self, rows: std::ops::Range<u64>) -> Any<()> {
        let commit = self.tick();
        let keys: Vec<_> = rows.map(key).collect();
        let put = |key| Mutation::Put { key, value: &VALUE, expire_at: None };
        let mutations: Vec<_> = keys.iter().map(|key| put(&key[..])).collect();
        let transaction = Transaction { commit, mutations: &mutations, ..Transaction::default() };
        self.store.apply(&transaction, Source::Log { index: commit.0 })?;
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Any<bool> {
        Ok(self.store.get(key, Timestamp::LATEST)?.is_some())
    }

    fn page(&self, from: &[u8], reverse: bool) -> Any<usize> {
        let (span, direction) =
            if reverse { (Span::new(b"", from), Direction::Reverse) } else { (Span::from(from), Direction::Forward) };
        Ok(self.store.scan(span, Timestamp::LATEST, direction, Bounds::rows(PAGE))?.rows.len())
    }

    fn ingest(&mut self, keys: &[[u8; 28]]) -> Any<()> {
        let commit = self.tick();
        let row = |key: &[u8; 28]| RunRow { key: key.to_vec(), commit, expire_at: None, value: Some(VALUE.to_vec()) };
        self.store.ingest(&mut keys.iter().map(row), commit, Source::Log { index: commit.0 })?;
        Ok(())
    }
}

/// Wall and processor time of `work`, threads of the tree included.
fn timed(work: impl FnOnce() -> Any<()>) -> Any<(Duration, Duration)> {
    let cpu = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let (begun, before) = (Instant::now(), cpu());
    work()?;
    Ok((begun.elapsed(), cpu() - before))
}

fn row(what: &str, name: &str, count: u64, time: (Duration, Duration)) -> Any<()> {
    let per_row = |time: Duration| time.as_nanos() as f64 / count as f64;
    let rate = count as f64 / time.0.as_secs_f64();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what:<28} {name:<16} {rate:>12.0} /s {:>9.0} ns {:>9.0} ns cpu", per_row(time.0), per_row(time.1))?;
    Ok(())
}

/// Runs one step for every subject in turn, `ROUNDS` times, and reports the best of each.
fn step(
    what: &str,
    count: u64,
    subjects: &mut [Box<dyn Subject>],
    mut work: impl FnMut(&mut dyn Subject, u32) -> Any<()>,
) -> Any<()> {
    let mut best = vec![(Duration::MAX, Duration::MAX); subjects.len()];
    for round in 0..ROUNDS {
        for (subject, best) in subjects.iter_mut().zip(&mut best) {
            *best = (*best).min(timed(|| work(subject.as_mut(), round))?);
        }
    }
    for (subject, best) in subjects.iter().zip(best) {
        row(what, subject.name(), count, best)?;
    }
    Ok(())
}

fn transactions(subject: &mut Versioned, rows: u64, count: u64) -> Any<()> {
    for n in 0..count {
        let keys: Vec<_> = (0..4).map(|place| key(n.wrapping_mul(7919 + place) % rows)).collect();
        let commit = subject.tick();
        let mutations = [Mutation::Put { key: &keys[0], value: &VALUE, expire_at: None }];
        let read_keys = [&keys[1][..], &keys[2], &keys[3]];
        let start = Some(Timestamp(commit.0 - 2));
        let transaction = Transaction { start, commit, mutations: &mutations, read_keys: &read_keys, read_spans: &[] };
        match subject.store.apply(&transaction, Source::Log { index: commit.0 }) {
            Ok(_) | Err(mvcc::Error::Conflict(_)) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

fn main() -> Any<()> {
    let mut args = std::env::args().skip(1);
    let rows: u64 = args.next().map_or(Ok(500_000), |rows| rows.parse())?;
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let places = (0..3).map(|_| tempfile::tempdir_in(&dir)).collect::<Result<Vec<_>, _>>()?;
    let options = Options::new(Retention::Newest);
    let db = Database::builder(places[0].path())
        .cache_size(options.cache_bytes)
        .max_journaling_size(options.journal_bytes)
        .worker_threads(options.threads)
        .manual_journal_persist(true)
        .open()?;
    let bare = db.keyspace("rows", || {
        KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes).manual_journal_persist(true)
    })?;
    let versioned = |place: usize, name, retention| -> Any<Box<dyn Subject>> {
        let store = LsmStore::open(places[place].path(), &Options { retention, ..options.clone() })?;
        Ok(Box::new(Versioned { store, name, clock: 0 }))
    };
    let newest = versioned(1, "mvcc newest", Retention::Newest)?;
    let versions = versioned(2, "mvcc versions", Retention::Versions)?;
    let mut all: Vec<Box<dyn Subject>> = vec![Box::new(Bare { db, rows: bare }), newest, versions];

    step("write, batches of 100", rows, &mut all, |subject, _| {
        (0..rows / BATCH).try_for_each(|n| subject.write(n * BATCH..(n + 1) * BATCH))
    })?;
    let some = rows / 5;
    step("write, one row", some, &mut all, |subject, round| {
        (0..some).try_for_each(|n| {
            let n = (n * 31 + u64::from(round)) % rows;
            subject.write(n..n + 1)
        })
    })?;
    step("get, found", some, &mut all, |subject, _| {
        (0..some).try_for_each(|n| match subject.get(&key(n.wrapping_mul(7919) % rows))? {
            true => Ok(()),
            false => Err("a row is missing".into()),
        })
    })?;
    step("get, absent", some, &mut all, |subject, _| {
        (0..some).try_for_each(|n| match subject.get(&key(rows + n))? {
            false => Ok(()),
            true => Err("a row is there".into()),
        })
    })?;
    let pages = some / 50;
    for reverse in [false, true] {
        let what = if reverse { "scan back, pages of 100" } else { "scan, pages of 100" };
        step(what, pages * PAGE as u64, &mut all, |subject, _| {
            (0..pages).try_for_each(|n| subject.page(&key(n * 31), reverse).map(|_| ()))
        })?;
    }
    all.truncate(2);
    let mut run: Vec<_> = (0..rows).map(key).collect();
    run.sort_unstable();
    step("sorted run", rows, &mut all, |subject, _| subject.ingest(&run))?;
    drop(all);

    for (name, retention) in [("mvcc newest", Retention::Newest), ("mvcc versions", Retention::Versions)] {
        let place = tempfile::tempdir_in(&dir)?;
        let store = LsmStore::open(place.path(), &Options { retention, ..options.clone() })?;
        let mut subject = Versioned { store, name, clock: 10 };
        (0..rows / BATCH).try_for_each(|n| subject.write(n * BATCH..(n + 1) * BATCH))?;
        let time = timed(|| transactions(&mut subject, rows, some))?;
        row("transaction, 1 write 3 reads", name, some, time)?;
        let before = subject.store.stats()?.disk_bytes;
        let time = timed(|| {
            let horizon = subject.tick();
            while !subject.store.compact(horizon, 100_000)?.done {}
            Ok(())
        })?;
        row("compaction, per live row", name, rows, time)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{before} bytes before it, {} after", subject.store.stats()?.disk_bytes)?;
    }
    Ok(())
}
