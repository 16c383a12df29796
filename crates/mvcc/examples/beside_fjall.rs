//! What versioning costs: the same rows in the store and in the bare tree that it stands on, step by step in turn. Prints medians and
//! ratios as a table. Usage: `cargo xtask measure store [ROWS] [DIR]`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use mvcc::{
    Bounds, Direction, LsmStore, Mutation, Options, Retention, RunRow, Source, Span, Store, Timestamp, Transaction,
};

type Any<T> = Result<T, Box<dyn std::error::Error>>;

const VALUE: [u8; 72] = [7; 72];
const BATCH: u64 = 100;
const PAGE: usize = 100;
const ROUNDS: u32 = 5;

/// Those that are compared, in their order. The first is what the others are compared with.
const NAMES: [&str; 3] = ["fjall", "mvcc, newest", "mvcc, versions"];

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
    clock: u64,
}

impl Versioned {
    fn tick(&mut self) -> Timestamp {
        self.clock += 1;
        Timestamp(self.clock)
    }
}

impl Subject for Versioned {
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

/// Prints one line of a table, and puts it out at once: a run takes minutes.
fn line(cells: &[String]) -> Any<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "| {} |", cells.join(" | "))?;
    Ok(out.flush()?)
}

/// The middle one; there is one at least.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs one step for every subject in turn, `ROUNDS` times. Prints the medians of each for a row, and of what they are to those of
/// the first round by round.
fn step(
    what: &str,
    count: u64,
    subjects: &mut [Box<dyn Subject>],
    mut work: impl FnMut(&mut dyn Subject, u32) -> Any<()>,
) -> Any<()> {
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..ROUNDS {
        for (subject, times) in subjects.iter_mut().zip(&mut times) {
            times.push(timed(|| work(subject.as_mut(), round))?);
        }
    }
    let mut cells = vec![what.to_owned()];
    for (subject, all) in times.iter().enumerate() {
        let of = |part: fn(&(Duration, Duration)) -> Duration| {
            let each = median(all.iter().map(|time| part(time).as_nanos() as f64 / count as f64).collect());
            let ratio = |(time, first)| part(time).as_secs_f64() / part(first).as_secs_f64();
            (each, median(all.iter().zip(&times[0]).map(ratio).collect()))
        };
        for (each, ratio) in [of(|time| time.0), of(|time| time.1)] {
            cells.push(if subject == 0 { format!("{each:.0}") } else { format!("{each:.0} ({ratio:.2})") });
        }
    }
    cells.resize(1 + 2 * NAMES.len(), String::new());
    line(&cells)
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
    let versioned = |place: usize, retention| -> Any<Box<dyn Subject>> {
        let store = LsmStore::open(places[place].path(), &Options { retention, ..options.clone() })?;
        Ok(Box::new(Versioned { store, clock: 0 }))
    };
    let newest = versioned(1, Retention::Newest)?;
    let versions = versioned(2, Retention::Versions)?;
    let mut all: Vec<Box<dyn Subject>> = vec![Box::new(Bare { db, rows: bare }), newest, versions];

    let columns = NAMES.iter().flat_map(|name| [format!("{name}, ns/row"), "ns CPU".into()]);
    line(&std::iter::once(format!("{rows} rows of 28 + 72 B, {ROUNDS} rounds")).chain(columns).collect::<Vec<_>>())?;
    line(&std::iter::once("---".into()).chain(vec!["--:".into(); 2 * NAMES.len()]).collect::<Vec<_>>())?;

    step("apply, batches of 100", rows, &mut all, |subject, _| {
        (0..rows / BATCH).try_for_each(|n| subject.write(n * BATCH..(n + 1) * BATCH))
    })?;
    let some = rows / 5;
    step("apply, one row", some, &mut all, |subject, round| {
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
    alone(rows, &dir, &options)
}

/// What the bare tree does not have: transactions that are checked for conflicts, and compactions of versions.
fn alone(rows: u64, dir: &Path, options: &Options) -> Any<()> {
    let some = rows / 5;
    writeln!(std::io::stdout().lock())?;
    line(&["no counterpart", "ns", "ns CPU", "bytes before", "after"].map(str::to_owned))?;
    line(&["---", "--:", "--:", "--:", "--:"].map(str::to_owned))?;
    for (name, retention) in NAMES[1..].iter().zip([Retention::Newest, Retention::Versions]) {
        let place = tempfile::tempdir_in(dir)?;
        let store = LsmStore::open(place.path(), &Options { retention, ..options.clone() })?;
        let mut subject = Versioned { store, clock: 10 };
        (0..rows / BATCH).try_for_each(|n| subject.write(n * BATCH..(n + 1) * BATCH))?;
        let each = |time: Duration, count: u64| format!("{:.0}", time.as_nanos() as f64 / count as f64);
        let (wall, cpu) = timed(|| transactions(&mut subject, rows, some))?;
        let none = String::new;
        line(&[format!("{name}: 1 write, 3 reads"), each(wall, some), each(cpu, some), none(), none()])?;
        let before = subject.store.stats()?.disk_bytes;
        let (wall, cpu) = timed(|| {
            let horizon = subject.tick();
            while !subject.store.compact(horizon, 100_000)?.done {}
            Ok(())
        })?;
        let (before, after) = (before.to_string(), subject.store.stats()?.disk_bytes.to_string());
        line(&[format!("{name}: compaction, a live row"), each(wall, rows), each(cpu, rows), before, after])?;
    }
    Ok(())
}
