//! The blob store beside foyer and beside plain files: same machine, same run, incompressible data.
//!
//! `blob-bench DIR [MEGABYTES]` writes so many megabytes a row (default 512) under DIR and prints markdown.
//! Reads are page-cache warm for everybody. Every contender gets the same disk and RAM limits.

mod contender;
mod measure;

use contender::{Contender, Failure, Ours, PlainFiles};
use measure::{Latencies, Usage, random_bytes, zipf};
use std::path::{Path, PathBuf};
use std::time::Instant;

const DISK: u64 = 4 << 30;
const RAM: u64 = 256 << 20;

type Make = fn(&Path, u64, u64) -> Result<Box<dyn Contender>, Failure>;

fn contenders() -> Vec<(&'static str, Make)> {
    vec![
        ("blob cache", |dir, disk, ram| Ok(Box::new(Ours::open(dir, false, disk, ram)?))),
        ("blob durable", |dir, disk, ram| Ok(Box::new(Ours::open(dir, true, disk, ram)?))),
        #[cfg(feature = "foyer")]
        ("foyer", |dir, disk, ram| Ok(Box::new(contender::Foyer::open(dir, disk, ram)?))),
        ("plain files", |dir, disk, _| Ok(Box::new(PlainFiles::open(dir, disk)?))),
    ]
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let root = PathBuf::from(args.next().ok_or("usage: blob-bench DIR [MEGABYTES]")?);
    let second = args.next().unwrap_or_else(|| "512".into());
    if second == "child" {
        return child(&root, args.next().ok_or("how many?")?.parse()?);
    }
    let bytes = second.parse::<u64>()? << 20;
    std::fs::create_dir_all(&root)?;
    raw_writer(&root, bytes)?;
    sizes(&root, bytes)?;
    mixed(&root, bytes)?;
    churn(&root, bytes)?;
    micro(&root)?;
    restart(&root)?;
    Ok(())
}

fn fresh(root: &Path) -> Result<PathBuf, Failure> {
    let dir = root.join("store");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    rustix::fs::sync();
    Ok(dir)
}

/// The ceiling: 1 MiB writes past the page cache, one after the other.
fn raw_writer(root: &Path, bytes: u64) -> Result<(), Failure> {
    use rustix::fs::{Mode, OFlags};
    let dir = fresh(root)?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT;
    let file = rustix::fs::open(dir.join("raw"), flags, Mode::RUSR | Mode::WUSR)?;
    let data = random_bytes(1, (1 << 20) + 4096);
    let at = data.as_ptr().align_offset(4096);
    let started = Instant::now();
    for n in 0..bytes >> 20 {
        rustix::io::pwrite(&file, &data[at..at + (1 << 20)], n << 20)?;
    }
    rustix::fs::fdatasync(&file)?;
    println!("Raw O_DIRECT writer: {:.0} MB/s\n", bytes as f64 / 1e6 / started.elapsed().as_secs_f64());
    Ok(())
}

/// Sequential writes by size, then reads of all in random order.
fn sizes(root: &Path, bytes: u64) -> Result<(), Failure> {
    println!("| size | store | persisted MB/s | put p50/p99/p99.9 µs | disk+RAM get p50/p99/p99.9 µs | found | CPU s/GiB | device bytes/user byte |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, size) in [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("16 MiB", 16 << 20), ("0.1–2 MB", 0)] {
        for (label, make) in contenders() {
            let total = if label == "blob durable" && size == 4 << 10 { bytes / 8 } else { bytes };
            let dir = fresh(root)?;
            let store = make(&dir, DISK, RAM)?;
            let data = random_bytes(7, 17 << 20);
            let (usage, started) = (Usage::now(), Instant::now());
            let (mut puts, mut written, mut keys) = (Latencies::default(), 0, 0);
            while written < total {
                let len = if size > 0 { size } else { 100_000 + zipf::mix(keys) as usize % 1_900_000 };
                let from = zipf::mix(keys ^ 99) as usize % (data.len() - len);
                puts.time(|| store.put(keys, &data[from..from + len]))?;
                written += len as u64;
                keys += 1;
            }
            let mut gets = Latencies::default();
            let accepted = started.elapsed();
            let mut found = 0;
            let reads = keys.min(20_000);
            let reading = Instant::now();
            for n in 0..reads {
                found += u64::from(gets.time(|| store.get(zipf::mix(n) % keys))?.is_some());
            }
            let reading = reading.elapsed();
            let finishing = Instant::now();
            store.finish()?;
            let seconds = (accepted + finishing.elapsed()).as_secs_f64();
            let _ = reading;
            let used = usage.since();
            println!(
                "| {name} | {label} | {:.0} | {puts} | {gets} | {:.0} % | {:.2} | {:.2} |",
                written as f64 / 1e6 / seconds,
                found as f64 * 100.0 / reads as f64,
                used.cpu / (written as f64 / f64::from(1 << 30)),
                used.written as f64 / written as f64,
            );
        }
    }
    println!();
    Ok(())
}

/// W2: 10 % writes of about 1 MB, 40 % hot reads by Zipf, 25 % cold, 25 % of keys that are not there.
fn mixed(root: &Path, bytes: u64) -> Result<(), Failure> {
    println!("W1/W2, a cache of half the data: 10 % puts of 0.1–2 MB, 40 % Zipf, 25 % sequential, 25 % absent\n");
    println!("| store | ops/s | hit ratio of keys once put | get p50/p99/p99.9 µs | put p50/p99/p99.9 µs | CPU s | device bytes/user byte |");
    println!("|---|---|---|---|---|---|---|");
    for (label, make) in contenders() {
        if label == "blob durable" {
            continue;
        }
        let dir = fresh(root)?;
        let store = make(&dir, (bytes / 2).max(256 << 20), RAM / 2)?;
        let data = random_bytes(7, 4 << 20);
        let (mut gets, mut puts) = (Latencies::default(), Latencies::default());
        let (mut keys, mut written, mut op, mut hits, mut asked) = (0_u64, 0, 0, 0_u64, 0_u64);
        let (usage, started) = (Usage::now(), Instant::now());
        let hot = zipf::Zipf::new(1_000);
        while written < bytes {
            op += 1;
            let dice = zipf::mix(op);
            match dice % 100 {
                0..10 => {
                    let len = 100_000 + zipf::mix(keys) as usize % 1_900_000;
                    puts.time(|| store.put(keys, &data[..len]))?;
                    keys += 1;
                    written += len as u64;
                }
                10..75 if keys > 0 => {
                    let back = if dice % 100 < 50 { hot.rank(dice >> 8) % keys } else { op % keys };
                    asked += 1;
                    hits += u64::from(gets.time(|| store.get(keys - 1 - back))?.is_some());
                }
                _ => {
                    gets.time(|| store.get(1 << 40 | op))?;
                }
            }
        }
        store.finish()?;
        let used = usage.since();
        println!(
            "| {label} | {:.0} | {:.3} | {gets} | {puts} | {:.1} | {:.2} |",
            op as f64 / started.elapsed().as_secs_f64(),
            hits as f64 / asked as f64,
            used.cpu,
            used.written as f64 / written as f64
        );
    }
    println!();
    Ok(())
}

/// W5: overwrites and deletes of a fixed set of keys.
fn churn(root: &Path, bytes: u64) -> Result<(), Failure> {
    println!("W5, overwrites and deletes of 2,000 keys of 64 KiB in a cache of 256 MiB\n");
    println!("| store | ops/s | put p50/p99/p99.9 µs | CPU s | device bytes/user byte | disk bytes at the end, MB |");
    println!("|---|---|---|---|---|---|");
    for (label, make) in contenders() {
        if label == "blob durable" {
            continue;
        }
        let dir = fresh(root)?;
        let store = make(&dir, 256 << 20, RAM / 4)?;
        let data = random_bytes(7, 1 << 20);
        let ops = bytes / 65_536;
        let mut puts = Latencies::default();
        let (usage, started) = (Usage::now(), Instant::now());
        for op in 0..ops {
            let key = zipf::mix(op) % 2_000;
            if op % 8 == 7 {
                store.remove(key)?;
            } else {
                puts.time(|| store.put(key, &data[op as usize % 900_000..][..65_536]))?;
            }
        }
        store.finish()?;
        let used = usage.since();
        println!(
            "| {label} | {:.0} | {puts} | {:.1} | {:.2} | {:.0} |",
            ops as f64 / started.elapsed().as_secs_f64(),
            used.cpu,
            used.written as f64 / (ops * 7 / 8 * 65_536) as f64,
            measure::disk_bytes(&dir)? as f64 / 1e6
        );
    }
    println!();
    Ok(())
}

/// What a look-up costs when the value is in RAM, and when there is none.
fn micro(root: &Path) -> Result<(), Failure> {
    println!("| store | hit in RAM, ns | miss, ns | index bytes/item |\n|---|---|---|---|");
    for (label, make) in contenders() {
        if label == "blob durable" {
            continue;
        }
        let dir = fresh(root)?;
        let store = make(&dir, DISK, RAM)?;
        let data = random_bytes(7, 4096);
        let keys = 30_000;
        for key in 0..keys {
            store.put(key, &data)?;
        }
        let each = |from: u64| -> Result<f64, Failure> {
            let started = Instant::now();
            for n in 0..300_000 {
                store.get(from + zipf::mix(n) % keys)?;
            }
            Ok(started.elapsed().as_nanos() as f64 / 300_000.0)
        };
        let (hit, miss) = (each(0)?, each(1 << 40)?);
        let index = store.index_bytes_per_item().map_or("–".into(), |bytes| format!("{bytes:.1}"));
        println!("| {label} | {hit:.0} | {miss:.0} | {index} |");
        store.finish()?;
    }
    println!();
    Ok(())
}

/// W6: opening a store of small items after a clean close, and after the process was killed.
fn restart(root: &Path) -> Result<(), Failure> {
    println!("W6, opening 1,000,000 items of 100 bytes\n\n| after | ms | segments scanned | index bytes/item |\n|---|---|---|---|");
    let dir = fresh(root)?;
    let items = 1_000_000;
    let status = std::process::Command::new(std::env::current_exe()?)
        .args([dir.as_os_str(), "child".as_ref(), items.to_string().as_ref()])
        .status()?;
    if status.success() {
        return Err("the child was to be killed".into());
    }
    for what in ["kill -9", "a clean close"] {
        let started = Instant::now();
        let store = blob::Store::open(&dir, blob::Options::new(blob::Mode::Cache { fsync: false }, DISK, RAM))?;
        let (millis, stats) = (started.elapsed().as_secs_f64() * 1e3, store.stats());
        let scanned = store.open_report().scanned;
        let each = stats.index_bytes as f64 / stats.items as f64;
        println!("| {what} ({} items) | {millis:.0} | {scanned} of {} | {each:.1} |", stats.items, stats.segments);
        store.close()?;
    }
    Ok(())
}

fn child(dir: &Path, items: u64) -> Result<(), Failure> {
    let store = Ours::open(dir, false, DISK, RAM)?;
    let data = random_bytes(7, 200);
    for key in 0..items {
        store.put(key, &data[key as usize % 100..][..100])?;
    }
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
    Ok(())
}
