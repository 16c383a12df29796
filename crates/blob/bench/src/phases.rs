//! What a child process measures: sizes, restart and single look-ups. The workloads have a file of their own.

use crate::contender::{self, Bounds, Contender, Failure};
use crate::measure::{Latencies, Usage, anonymous_bytes, mix, random_bytes};
use crate::part::{Kind, Part};
use crate::row::Row;
use crate::workload;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a child is told.
pub struct Task {
    pub part: &'static Part,
    pub phase: String,
    pub store: String,
    pub dir: PathBuf,
    /// Bytes to be put, in parts that can be made larger and smaller.
    pub bytes: u64,
}

/// Room for everything that the parts on sizes put.
const SIZES: Bounds = Bounds { disk: 4 << 30, ram: 128 << 20 };
/// Room for the index of five million items.
const RESTART: Bounds = Bounds { disk: 4 << 30, ram: 512 << 20 };
const SMALL_ITEM_BYTES: usize = 100;

impl Task {
    pub fn disk_limit(&self) -> u64 {
        match self.part.kind {
            Kind::Workload => workload::bounds(self.part.name, self.bytes).disk,
            _ => SIZES.disk,
        }
    }

    pub fn run(&self) -> Result<Row, Failure> {
        match (self.part.kind, self.phase.as_str()) {
            (Kind::Sizes(size), "write") => self.write(size),
            (Kind::Sizes(size), _) => self.read(size),
            (Kind::Workload, _) => workload::run(self),
            (Kind::Restart(items), "fill") => self.fill_and_die(items),
            (Kind::Restart(items), phase) => self.reopen(items, phase),
            (Kind::Micro, _) => self.micro(),
        }
    }

    fn open(&self, bounds: Bounds) -> Result<Box<dyn Contender>, Failure> {
        contender::open(&self.store, &self.dir, bounds)
    }

    /// How many bytes of values of this size are put. Syncing every 4 KiB takes its time.
    fn total(&self, size: usize) -> u64 {
        if self.store == "blob durable" && size == 4 << 10 { self.bytes / 16 } else { self.bytes }
    }

    fn write(&self, size: usize) -> Result<Row, Failure> {
        let store = self.open(SIZES)?;
        let data = random_bytes(7, 17 << 20);
        let mut puts = Latencies::default();
        let (usage, started) = (Usage::now(), Instant::now());
        let (mut written, mut keys) = (0, 0);
        while written < self.total(size) {
            let len = length(size, keys);
            let from = mix(keys ^ 99) as usize % (data.len() - len);
            puts.time(|| store.put(keys, &data[from..from + len]))?;
            written += len as u64;
            keys += 1;
        }
        store.finish()?;
        let mut row = Row::default();
        row.set("accepted", written as f64 / 1e6 / started.elapsed().as_secs_f64());
        row.set("cpu", usage.cpu_seconds() / (written as f64 / f64::from(1 << 30)));
        row.set("device", usage.written_bytes() / written as f64);
        row.set_latencies("put", &puts);
        Ok(row)
    }

    fn read(&self, size: usize) -> Result<Row, Failure> {
        let (mut keys, mut written) = (0, 0);
        while written < self.total(size) {
            written += length(size, keys) as u64;
            keys += 1;
        }
        let store = self.open(SIZES)?;
        let (mut disk, mut ram, mut miss) = <(Latencies, Latencies, Latencies)>::default();
        let asked = keys.min(2_000);
        let (mut found, mut read, mut last) = (0_u64, 0, Vec::new());
        for n in 0..asked {
            // Evenly over all keys, in no order.
            let key = (n * 1_999 % asked) * keys / asked;
            let started = Instant::now();
            if let Some(len) = store.get(key)? {
                disk.add(started);
                found += 1;
                read += len as u64;
                last.push((key, len as u64));
            }
        }
        // As many of the last as surely fit.
        let mut room = SIZES.ram / 4;
        last.reverse();
        last.retain(|&(_, len)| {
            room = room.saturating_sub(len);
            room > 0
        });
        last.truncate(1_000);
        for &(key, _) in &last {
            store.get(key)?;
        }
        for n in 0..20_000 {
            if let Some(&(key, _)) = last.get(mix(n) as usize % last.len().max(1)) {
                ram.time(|| store.get(key))?;
            }
            miss.time(|| store.get(1 << 40 | n))?;
        }
        store.finish()?;
        let mut row = Row::default();
        row.set("kept", found as f64 * 100.0 / asked as f64);
        row.set("read_bytes", read as f64);
        for (name, latencies) in [("disk", &disk), ("ram", &ram), ("miss", &miss)] {
            row.set_latencies(name, latencies);
        }
        Ok(row)
    }

    fn fill_and_die(&self, items: u64) -> Result<Row, Failure> {
        let store = self.open(RESTART)?;
        let data = random_bytes(7, 2 * SMALL_ITEM_BYTES);
        for key in 0..items {
            store.put(key, &data[key as usize % SMALL_ITEM_BYTES..][..SMALL_ITEM_BYTES])?;
        }
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        Err("killed, and still here".into())
    }

    fn reopen(&self, items: u64, phase: &str) -> Result<Row, Failure> {
        let before = anonymous_bytes();
        let started = Instant::now();
        let store = self.open(RESTART)?;
        let mut row = Row::default();
        row.set(phase, started.elapsed().as_secs_f64() * 1e3);
        if phase == "open_close" {
            row.set("ram_item", (anonymous_bytes() - before) / items as f64);
            store.index_bytes_per_item().into_iter().for_each(|bytes| row.set("index_item", bytes));
        } else {
            let (asked, mut found) = (items.min(20_000), 0_u64);
            for n in 0..asked {
                found += u64::from(store.get(n * (items / asked))?.is_some());
            }
            row.set("kept", found as f64 * 100.0 / asked as f64);
        }
        store.finish()?;
        Ok(row)
    }

    fn micro(&self) -> Result<Row, Failure> {
        const KEYS: u64 = 100_000;
        const CALLS: u64 = 1_000_000;
        let store = self.open(Bounds { ram: 1 << 30, ..SIZES })?;
        let data = random_bytes(7, 1_024);
        for key in 0..KEYS {
            store.put(key, &data)?;
        }
        let mean = |from: u64| -> Result<f64, Failure> {
            // Plain files take microseconds.
            let calls = if self.store == "plain files" { CALLS / 10 } else { CALLS };
            let started = Instant::now();
            for n in 0..calls {
                store.get(from + mix(n) % KEYS)?;
            }
            Ok(started.elapsed().as_nanos() as f64 / calls as f64)
        };
        let mut row = Row::default();
        mean(0)?;
        row.set("hit_ns", mean(0)?);
        row.set("miss_ns", if self.store == "foyer" { foyer_miss(&*store)? } else { mean(1 << 40)? });
        store.finish()?;
        Ok(row)
    }
}

/// foyer's misses go through its runtime and take tens of microseconds: fewer of them say the same.
fn foyer_miss(store: &dyn Contender) -> Result<f64, Failure> {
    let started = Instant::now();
    for n in 0..20_000 {
        store.get(1 << 40 | mix(n) >> 24)?;
    }
    Ok(started.elapsed().as_nanos() as f64 / 20_000.0)
}

/// Length of the value of a key in a part of this size.
pub fn length(size: usize, key: u64) -> usize {
    if size > 0 { size } else { 100_000 + mix(key) as usize % 1_900_000 }
}

/// Memory that the raw writer takes its bytes from, in turns: what is stored comes from memory, not from the processor's caches.
const RAW_MEMORY: usize = 64 << 20;

/// The ceiling: 1 MiB writes past the page cache, one after the other, in MB/s.
pub fn raw_writer(dir: &Path, bytes: u64) -> Result<f64, Failure> {
    use rustix::fs::{Mode, OFlags};
    let path = dir.join("raw");
    let file = rustix::fs::open(&path, OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT, Mode::RUSR | Mode::WUSR)?;
    let data = random_bytes(1, RAW_MEMORY + 4096);
    let data = &data[data.as_ptr().align_offset(4096)..];
    let started = Instant::now();
    for n in 0..bytes >> 20 {
        let at = (n << 20) as usize % RAW_MEMORY;
        rustix::io::pwrite(&file, &data[at..at + (1 << 20)], n << 20)?;
    }
    rustix::fs::fdatasync(&file)?;
    let seconds = started.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok((bytes >> 20 << 20) as f64 / 1e6 / seconds)
}
