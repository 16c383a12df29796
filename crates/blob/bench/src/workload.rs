//! The workloads W1 to W5 and W7, each on a fresh store.

use crate::contender::{self, Bounds, Contender, Failure};
use crate::measure::{Latencies, Usage, Zipf, mix, random_bytes, unit};
use crate::phases::{Task, length};
use crate::row::Row;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;
const LOADED: usize = 256 << 10;
const ABSENT: u64 = 1 << 40;
const SCANNED: u64 = 1 << 41;

/// The bounds of a workload that puts about so many bytes.
pub fn bounds(part: &str, bytes: u64) -> Bounds {
    let disk = match part {
        "w1" => 4 << 30,
        "w2" => bytes / 2,
        // Twice what lives, as a store that moves nothing in place needs.
        "w5" => 2_000 * BLOCK as u64 * 2,
        _ => 256 << 20,
    };
    Bounds { disk, ram: 64 << 20 }
}

pub fn run(task: &Task) -> Result<Row, Failure> {
    let store = contender::open(&task.store, &task.dir, bounds(task.part.name, task.bytes))?;
    let run = Run { store: &*store, data: random_bytes(7, 4 << 20), tally: Tally::default() };
    let (usage, started) = (Usage::now(), Instant::now());
    let tally = match task.part.name {
        "w1" => run.w1(task.bytes)?,
        "w2" => run.w2(task.bytes)?,
        "w3" => run.w3(task.bytes)?,
        "w4" => run.w4(task.bytes)?,
        "w5" => run.w5(task.bytes)?,
        _ => run.w7()?,
    };
    let seconds = started.elapsed().as_secs_f64();
    store.finish()?;
    let mut row = tally.row();
    row.set("ops", tally.ops as f64 / seconds);
    row.set("cpu", usage.cpu_seconds() / (tally.moved as f64 / f64::from(1 << 30)));
    row.set("device", usage.written_bytes() / tally.put_bytes as f64);
    Ok(row)
}

/// What was done.
#[derive(Default)]
struct Tally {
    hits: Latencies,
    misses: Latencies,
    puts: Latencies,
    ops: u64,
    /// Reads that count for the hit ratio, and those that hit.
    asked: u64,
    found: u64,
    /// Keys removed, and those found by a read right after.
    removed: u64,
    undead: u64,
    put_bytes: u64,
    /// Bytes put and read.
    moved: u64,
}

impl Tally {
    fn row(&self) -> Row {
        let mut row = Row::default();
        for (name, latencies) in [("hit", &self.hits), ("miss", &self.misses), ("put", &self.puts)] {
            row.set_latencies(name, latencies);
        }
        if self.removed > 0 {
            row.set("undead", self.undead as f64 * 100.0 / self.removed as f64);
        }
        if self.asked > 0 {
            row.set("hit_ratio", self.found as f64 / self.asked as f64);
        }
        row
    }
}

struct Run<'a> {
    store: &'a dyn Contender,
    data: Vec<u8>,
    tally: Tally,
}

impl Run<'_> {
    fn put(&mut self, key: u64, len: usize) -> Result<(), Failure> {
        let from = mix(key ^ 99) as usize % (self.data.len() - len);
        self.tally.ops += 1;
        self.tally.put_bytes += len as u64;
        self.tally.moved += len as u64;
        let (store, data) = (self.store, &self.data[from..from + len]);
        self.tally.puts.time(|| store.put(key, data))
    }

    fn get(&mut self, key: u64, counts: bool) -> Result<bool, Failure> {
        let started = Instant::now();
        let found = self.store.get(key)?;
        if found.is_some() {
            self.tally.hits.add(started)
        } else {
            self.tally.misses.add(started)
        }
        self.tally.ops += 1;
        self.tally.moved += found.unwrap_or(0) as u64;
        if counts {
            self.tally.asked += 1;
            self.tally.found += u64::from(found.is_some());
        }
        Ok(found.is_some())
    }

    fn w1(mut self, bytes: u64) -> Result<Tally, Failure> {
        let (mut keys, mut op) = (0, 0);
        while self.tally.put_bytes < bytes {
            op += 1;
            match mix(op) % 100 {
                0..10 => {
                    self.put(keys, length(0, keys))?;
                    keys += 1;
                }
                10..55 if keys > 0 => drop(self.get(mix(op << 20) % keys, true)?),
                _ => drop(self.get(ABSENT | op, false)?),
            }
        }
        Ok(self.tally)
    }

    fn w2(mut self, bytes: u64) -> Result<Tally, Failure> {
        let hot = Zipf::new(1_000);
        let (mut keys, mut op) = (0, 0);
        while self.tally.put_bytes < bytes {
            op += 1;
            let dice = mix(op);
            match dice % 100 {
                0..10 => {
                    self.put(keys, length(0, keys))?;
                    keys += 1;
                }
                10..75 if keys > 0 => {
                    let back = if dice % 100 < 50 { hot.rank(dice >> 8) % keys } else { op % keys };
                    self.get(keys - 1 - back, true)?;
                }
                _ => drop(self.get(ABSENT | op, false)?),
            }
        }
        Ok(self.tally)
    }

    fn w3(mut self, bytes: u64) -> Result<Tally, Failure> {
        let (mut keys, mut op) = (0, 0);
        while self.tally.put_bytes < bytes {
            op += 1;
            let back = (-(1.0 - unit(op << 8)).ln() * 4_000.0) as u64;
            if mix(op) % 100 < 20 || keys == 0 {
                self.put(keys, BLOCK)?;
                keys += 1;
            } else if back < keys {
                self.get(keys - 1 - back, true)?;
            }
        }
        Ok(self.tally)
    }

    fn w4(mut self, bytes: u64) -> Result<Tally, Failure> {
        let zipf = Zipf::new(16_384);
        for op in 0..bytes / BLOCK as u64 * 3 {
            let (key, scan) = if op % 4 == 3 { (SCANNED | op, true) } else { (mix(zipf.rank(op)) >> 24, false) };
            if !self.get(key, !scan)? {
                self.put(key, BLOCK)?;
            }
        }
        Ok(self.tally)
    }

    fn w5(mut self, bytes: u64) -> Result<Tally, Failure> {
        for op in 0..bytes / BLOCK as u64 {
            let key = mix(op) % 2_000;
            if op % 8 == 7 {
                self.tally.ops += 1;
                self.store.remove(key)?;
                self.tally.removed += 1;
                self.tally.undead += u64::from(self.store.get(key)?.is_some());
            } else {
                self.put(key, BLOCK)?;
            }
        }
        Ok(self.tally)
    }

    fn w7(mut self) -> Result<Tally, Failure> {
        const THREADS: u64 = 4;
        const CALLS: u64 = 2_000;
        let zipf = Zipf::new(4_000);
        let loads = AtomicU64::new(0);
        let (store, value) = (self.store, &self.data[..LOADED]);
        let worker = |thread: u64| -> Result<(Latencies, Latencies), Failure> {
            let (mut hits, mut misses) = <(Latencies, Latencies)>::default();
            for n in 0..CALLS {
                let key = zipf.rank(thread << 32 | n);
                let started = Instant::now();
                let loaded = store.get_or_load(key, value, Duration::from_millis(10))?;
                if loaded {
                    misses.add(started)
                } else {
                    hits.add(started)
                }
                loads.fetch_add(u64::from(loaded), Ordering::Relaxed);
            }
            Ok((hits, misses))
        };
        std::thread::scope(|scope| -> Result<(), Failure> {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || worker(thread))).collect();
            for thread in threads {
                let (hits, misses) = thread.join().map_err(|_| "a thread panicked")??;
                self.tally.hits.append(hits);
                self.tally.misses.append(misses);
            }
            Ok(())
        })?;
        let loads = loads.into_inner();
        self.tally.ops = THREADS * CALLS;
        self.tally.asked = self.tally.ops;
        self.tally.found = self.tally.ops - loads;
        self.tally.put_bytes = loads * LOADED as u64;
        self.tally.moved = (self.tally.ops + loads) * LOADED as u64;
        Ok(self.tally)
    }
}
