//! What large values cost with their rows and apart from them: values are overwritten at random, run by run, then read, then removed.
//!
//! `cargo run --release -p mvcc --example large_values [VALUES] [BYTES] [RUNS]`
#![allow(clippy::cast_precision_loss, clippy::print_stdout, reason = "figures for people")]

use std::fs;
use std::time::{Duration, Instant};

use mvcc::{LsmStore, Options, Result, Retention, Source, Store, Timestamp};

fn main() -> Result<()> {
    let number = |n: usize, or: u64| std::env::args().nth(n).and_then(|text| text.parse().ok()).unwrap_or(or);
    let (values, bytes, runs) = (number(1, 20_000), number(2, 16 << 10), number(3, 12));
    println!("{values} values of {bytes} bytes; {runs} runs of a quarter of them, at random; then all are removed");
    for (name, bound) in [("with their rows", usize::MAX), ("apart", 4 << 10)] {
        measure(name, bound, values, bytes as usize, runs)?;
    }
    Ok(())
}

fn measure(name: &str, bound: usize, values: u64, bytes: usize, runs: u64) -> Result<()> {
    let dir = tempfile::tempdir().expect("a directory for it");
    let options = Options { large_value_bytes: bound, cache_bytes: 16 << 20, ..Options::new(Retention::Newest) };
    let store = LsmStore::open(dir.path(), &options)?;
    let (mut numbers, mut put, began, written) = (7, 0, Instant::now(), bytes_written());
    for round in 0..=runs {
        let mut run = store.begin_run(Timestamp(round + 1), Source::Direct)?;
        for key in 0..values {
            if round == 0 || next(&mut numbers).is_multiple_of(4) {
                run.put(&key.to_be_bytes(), None, &[&noise(&mut numbers, bytes)])?;
                put += bytes;
            }
        }
        run.finish()?;
        store.clean_values(&mut || true)?;
        settle(&store)?;
    }
    let (took, written) = (began.elapsed(), bytes_written() - written);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{name}: put {:.0} MiB, written {:.0} MiB ({:.2} a byte) in {:.1} s; on disk {:.0} MiB for {:.0} MiB",
        mib(put as u64),
        mib(written),
        written as f64 / put as f64,
        took.as_secs_f64(),
        mib(on_disk(&store)?),
        mib(values * bytes as u64),
    );
    let mut gets: Vec<Duration> =
        (0..20_000).map(|_| get(&store, next(&mut numbers) % values)).collect::<Result<_>>()?;
    gets.sort_unstable();
    let at = |share: usize| gets[gets.len() * share / 1000].as_nanos() as f64 / 1000.0;
    println!("{name}: get p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs", at(500), at(990), at(999));
    let mut run = store.begin_run(Timestamp(runs + 2), Source::Direct)?;
    (0..values).try_for_each(|key| run.remove(&key.to_be_bytes()))?;
    run.finish()?;
    let began = Instant::now();
    store.compact_all()?;
    store.clean_values(&mut || true)?;
    println!("{name}: all removed, {:.2} MiB left after {:.2} s", mib(on_disk(&store)?), began.elapsed().as_secs_f64());
    Ok(())
}

fn get(store: &LsmStore, key: u64) -> Result<Duration> {
    let began = Instant::now();
    let version = store.get(&key.to_be_bytes(), Timestamp::LATEST)?;
    assert!(version.is_some());
    Ok(began.elapsed())
}

/// Waits until the tree's own compactions have come to rest: nothing is written for a while.
fn settle(store: &LsmStore) -> Result<()> {
    let mut last = (bytes_written(), store.stats()?.l0_runs);
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = (bytes_written(), store.stats()?.l0_runs);
        if now == last {
            return Ok(());
        }
        last = now;
    }
}

fn on_disk(store: &LsmStore) -> Result<u64> {
    let stats = store.stats()?;
    Ok(stats.row_bytes + stats.value_bytes)
}

/// Bytes that this process has handed to files.
fn bytes_written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("Linux says it");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("it has this line");
    line.trim().parse().expect("a number")
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn noise(state: &mut u64, len: usize) -> Vec<u8> {
    (0..len.div_ceil(4)).flat_map(|_| (next(state) as u32).to_le_bytes()).take(len).collect()
}
