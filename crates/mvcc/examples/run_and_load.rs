//! What a checkpoint and a start cost: a sorted run into an empty store and all rows out of it again, beside the bare
//! tree, step by step in turn. Usage: `cargo run --release -p mvcc --example run_and_load -- [ROWS] [DIR] [sealed]`.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use envelope::{Cipher, Keyring};
use fjall::{Database, KeyspaceCreateOptions};
use mvcc::{Bounds, Direction, LsmStore, Options, Retention, RunRow, Source, Span, Store, Timestamp};

type Any<T> = Result<T, Box<dyn std::error::Error>>;

const VALUE: [u8; 74] = [7; 74];
const ROUNDS: usize = 5;
const PAGE: usize = 1000;
const AT: Timestamp = Timestamp(1);

/// 28 bytes, ascending, and spread as hashes are.
fn key(n: u64, rows: u64) -> [u8; 28] {
    let mut key = [b'x'; 28];
    key[0] = 0x20;
    key[1..9].copy_from_slice(&(n * (u64::MAX / rows)).to_be_bytes());
    key[20..].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

/// A store, a bare tree and their place; new for every round.
struct Place {
    store: LsmStore,
    db: Database,
    _dirs: [tempfile::TempDir; 3],
}

impl Place {
    fn new(dir: &Path, sealed: bool) -> Any<Self> {
        let dirs = [tempfile::tempdir_in(dir)?, tempfile::tempdir_in(dir)?, tempfile::tempdir_in(dir)?];
        let mut options = Options::new(Retention::Newest);
        if sealed {
            let master = Keyring::parse(format!("1 {}", "07".repeat(32)).as_bytes())?;
            options.cipher = Some(Arc::new(Cipher::open(dirs[2].path(), master)?));
        }
        let store = LsmStore::open(dirs[0].path(), &options)?;
        let db = Database::builder(dirs[1].path()).cache_size(64 << 20).worker_threads(2).open()?;
        Ok(Self { store, db, _dirs: dirs })
    }

    fn bare(&self) -> Any<fjall::Keyspace> {
        Ok(self.db.keyspace("rows", KeyspaceCreateOptions::default)?)
    }
}

fn bare_run(place: &Place, rows: u64) -> Any<u64> {
    let tree = place.bare()?;
    let mut run = tree.start_ingestion()?;
    for n in 0..rows {
        run.write(key(n, rows), VALUE)?;
    }
    run.finish()?;
    Ok(rows)
}

fn writer(place: &Place, rows: u64) -> Any<u64> {
    let mut run = place.store.begin_run(AT, Source::Direct)?;
    for n in 0..rows {
        run.put(&key(n, rows), None, &[&VALUE[..10], &VALUE[10..]])?;
    }
    run.finish()?;
    Ok(rows)
}

fn iterator(place: &Place, rows: u64) -> Any<u64> {
    let row = |n| RunRow { key: key(n, rows).to_vec(), commit: AT, expire_at: None, value: Some(VALUE.to_vec()) };
    place.store.ingest(&mut (0..rows).map(row), AT, Source::Direct)?;
    Ok(rows)
}

fn bare_load(place: &Place, _: u64) -> Any<u64> {
    let mut count = 0;
    for guard in place.bare()?.iter() {
        let (key, value) = guard.into_inner()?;
        count += u64::from(key.len() + value.len() > 0);
    }
    Ok(count)
}

fn count(place: &Place, span: Span<'_>) -> Any<u64> {
    let mut count = 0;
    let _ = place.store.for_each(span, AT, |key, version| {
        count += u64::from(key.len() + version.value.len() > 0);
        ControlFlow::<()>::Continue(())
    })?;
    Ok(count)
}

fn load(place: &Place, _: u64) -> Any<u64> {
    count(place, Span::ALL)
}

fn load_in_two(place: &Place, rows: u64) -> Any<u64> {
    let middle = key(rows / 2, rows);
    std::thread::scope(|scope| {
        let upper = scope.spawn(|| count(place, Span::from(&middle)).map_err(|error| error.to_string()));
        let lower = count(place, Span::new(&[], &middle))?;
        Ok(lower + upper.join().map_err(|_| "a reader panicked")??)
    })
}

fn get(place: &Place, rows: u64) -> Any<u64> {
    let mut count = 0;
    for n in 0..rows / 10 {
        count += u64::from(place.store.get(&key(n.wrapping_mul(7919) % rows, rows), AT)?.is_some());
    }
    Ok(10 * count)
}

fn pages(place: &Place, _: u64) -> Any<u64> {
    let (mut count, mut start) = (0, Vec::new());
    loop {
        let page = place.store.scan(Span::from(&start), AT, Direction::Forward, Bounds::rows(PAGE))?;
        count += page.rows.len() as u64;
        match page.next {
            Some(next) => start = next,
            None => return Ok(count),
        }
    }
}

fn major(place: &Place, rows: u64) -> Any<u64> {
    place.store.compact_all()?;
    Ok(rows)
}

fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn main() -> Any<()> {
    let mut args = std::env::args().skip(1);
    let rows: u64 = args.next().map_or(Ok(1_000_000), |rows| rows.parse())?;
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let sealed = args.next().is_some_and(|word| word == "sealed");
    type Step = fn(&Place, u64) -> Any<u64>;
    // What a step reads, the one before it in its group has written.
    let groups: [&[(&str, Step)]; 3] = [
        &[
            ("run: fjall", bare_run),
            ("run: RunWriter", writer),
            ("load: fjall", bare_load),
            ("load: for_each", load),
            ("load: for_each, two threads", load_in_two),
            ("load: pages of 1000", pages),
            ("get: ten times this", get),
            ("compact_all", major),
        ],
        &[("run: ingest", iterator)],
        &[("run: fjall, again", bare_run)],
    ];
    let mut best: Vec<(&str, Duration, Duration)> = Vec::new();
    for _ in 0..ROUNDS {
        let mut at = 0;
        for group in groups {
            let place = Place::new(&dir, sealed)?;
            for (name, step) in group {
                let (begun, before) = (Instant::now(), cpu());
                if step(&place, rows)? != rows {
                    return Err(format!("{name}: rows are missing").into());
                }
                let time = (begun.elapsed(), cpu() - before);
                match best.get_mut(at) {
                    Some(best) => *best = (name, best.1.min(time.0), best.2.min(time.1)),
                    None => best.push((name, time.0, time.1)),
                }
                at += 1;
            }
        }
    }
    let mut out = std::io::stdout().lock();
    for (name, wall, cpu) in best {
        let rate = rows as f64 / wall.as_secs_f64();
        let per_row = cpu.as_nanos() as f64 / rows as f64;
        writeln!(out, "{name:<28} {rate:>12.0} rows/s {per_row:>8.0} ns cpu/row")?;
    }
    Ok(())
}
