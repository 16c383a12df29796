//! Appending, committing from several threads, and reading back, on the real disk (in the directory `WAL_BENCH_DIR` or
//! the system's temporary one).

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use envelope::{Cipher, Keyring};
use tempfile::TempDir;
use wal::{Fsync, Kind, Log, Options, Preallocate};

const KIND: Kind = Kind::new(1).unwrap();

fn dir() -> TempDir {
    match std::env::var_os("WAL_BENCH_DIR") {
        Some(path) => tempfile::tempdir_in(path),
        None => tempfile::tempdir(),
    }
    .expect("a temporary directory")
}

fn open(dir: &TempDir, policy: Fsync, preallocate: Preallocate, encrypted: bool) -> Log<u64> {
    let options = Options { policy, preallocate, cipher: encrypted.then(|| cipher(dir)), ..Options::default() };
    Log::open(dir.path(), options, 0).expect("a new log opens").0
}

fn cipher(dir: &TempDir) -> Arc<Cipher> {
    let master = Keyring::parse(format!("1 {}", "07".repeat(32)).as_bytes()).expect("a master key");
    Arc::new(Cipher::open(dir.path(), master).expect("a new registry opens"))
}

/// One thread that appends, with everything a caller does: lock, sequence number, CRC, copy, relief.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for (encrypted, len) in [false, true].into_iter().flat_map(|on| [40usize, 100, 200, 1000].map(|len| (on, len))) {
        let (dir, payload) = (dir(), vec![7u8; len]);
        let log = open(&dir, Fsync::No, Preallocate::Reserve, encrypted);
        group.throughput(Throughput::Elements(1));
        let name = if encrypted { "encrypted_with_write_out" } else { "with_write_out" };
        group.bench_function(BenchmarkId::new(name, len), |b| {
            b.iter(|| {
                let mut appender = log.lock();
                *appender.state() += 1;
                let position = appender.append(KIND, &[black_box(&payload)]).expect("appending works");
                let over = appender.wants_flush();
                drop(appender);
                if over {
                    log.write_up_to(position).expect("writing works");
                }
                position
            });
            // Disk space is not what is measured.
            log.roll().expect("rolling works");
            log.remove_below(log.end()).expect("removing works");
        });
    }
    for (encrypted, len) in [false, true].into_iter().flat_map(|on| [40usize, 100, 200].map(|len| (on, len))) {
        let name = if encrypted { "encrypted_copy_only" } else { "copy_only" };
        group.bench_function(BenchmarkId::new(name, len), |b| {
            // Batches that fit the buffer: what the append lock is held for, and nothing else.
            let (dir, payload) = (dir(), vec![7u8; len]);
            let cipher = encrypted.then(|| cipher(&dir));
            let options = Options { background: wal::Background::None, cipher, ..Options::default() };
            let log = Log::open(dir.path(), options, 0u64).expect("a new log opens").0;
            b.iter_custom(|n| {
                let mut total = Duration::ZERO;
                let mut left = n;
                while left > 0 {
                    let batch = left.min(4000);
                    let begun = Instant::now();
                    for _ in 0..batch {
                        let mut appender = log.lock();
                        *appender.state() += 1;
                        black_box(appender.append(KIND, &[black_box(&payload)]).expect("appending works"));
                    }
                    total += begun.elapsed();
                    left -= batch;
                    log.write_out().expect("writing works");
                }
                log.roll().expect("rolling works");
                log.remove_below(log.end()).expect("removing works");
                total
            });
        });
    }
    group.finish();
}

/// Threads that append 100 B and wait until it is durable; the time of one commit, all threads together.
fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    for preallocate in [Preallocate::No, Preallocate::Reserve, Preallocate::Zero] {
        for threads in [1u64, 4, 16] {
            let dir = dir();
            let log = Arc::new(open(&dir, Fsync::Always, preallocate, false));
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(format!("{preallocate:?}"), threads), |b| {
                b.iter_custom(|n| {
                    let begun = Instant::now();
                    std::thread::scope(|scope| {
                        for thread in 0..threads {
                            let log = &log;
                            let count = n / threads + u64::from(thread < n % threads);
                            scope.spawn(move || {
                                for _ in 0..count {
                                    let position = log.lock().append(KIND, &[&[7; 100]]).expect("appending works");
                                    log.commit(position).expect("committing works");
                                }
                            });
                        }
                    });
                    begun.elapsed()
                });
            });
        }
    }
    group.finish();
}

/// Reads a log of 100 B records, all checks included.
fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for encrypted in [false, true] {
        let (dir, records) = (dir(), 2_000_000u64);
        let log = open(&dir, Fsync::No, Preallocate::Reserve, encrypted);
        for _ in 0..records {
            let mut appender = log.lock();
            let position = appender.append(KIND, &[&[7; 100]]).expect("appending works");
            let over = appender.wants_flush();
            drop(appender);
            if over {
                log.write_up_to(position).expect("writing works");
            }
        }
        log.sync().expect("syncing works");
        for throughput in [Throughput::Elements(records), Throughput::Bytes(log.written().get())] {
            let name = if matches!(throughput, Throughput::Bytes(_)) { "bytes" } else { "records" };
            let name = if encrypted { format!("encrypted_{name}") } else { name.to_owned() };
            group.throughput(throughput);
            group.sample_size(10).bench_function(name, |b| {
                b.iter(|| {
                    let mut reader = log.reader(log.first()).expect("the log can be read");
                    let mut count = 0u64;
                    while let Some(record) = reader.next().expect("the log is good") {
                        count += u64::from(record.payload[0] == 7);
                    }
                    assert_eq!(count, records);
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = append, commit, read
}
criterion_main!(benches);
