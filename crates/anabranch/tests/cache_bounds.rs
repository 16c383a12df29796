//! A cache keyspace whose data is ten times its memory, under load from several connections: the bytes of its
//! directory, of its memory and of its disk tier are sampled all through, and no sample is above the bounds.
//!
//! `ANABRANCH_CACHE_BOUNDS_BYTES=n` puts n bytes instead of what a normal run puts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rig::{Client, figure, start};

const CLIENTS: u64 = 6;
/// The keyspace's memory, and its disk: less than what is put, so both have to give something up.
const MEMORY: u64 = 8 << 20;
const DISK: u64 = 48 << 20;
/// Bytes that are put by default: ten times the memory.
const PUT: u64 = 10 * MEMORY;
/// Largest value: its record lies on blocks.
const LARGEST: u64 = 200_000;

fn value_len(number: u64) -> u64 {
    match number % 16 {
        0 => LARGEST - number % 50_000,
        1..=4 => 4_000 + number % 30_000,
        _ => 100 + number % 2_000,
    }
}

/// A client that sets and gets keys of its own until all clients together have put enough.
fn load(port: u16, client: u64, put: &AtomicU64, enough: u64) {
    let mut connection = Client::new(port);
    let mut number = 0;
    while put.load(Ordering::Relaxed) < enough {
        number += 1;
        let len = value_len(number * 7 + client);
        let (key, read) = (format!("c:{client}:{number}"), format!("c:{client}:{}", number / 2));
        let value = vec![b'a' + (number % 26) as u8; usize::try_from(len).unwrap()];
        assert_eq!(connection.ask(&[b"SET", key.as_bytes(), &value]).unwrap(), b"+OK");
        put.fetch_add(len, Ordering::Relaxed);
        let found = connection.ask(&[b"GET", read.as_bytes()]).unwrap();
        assert!(!found.starts_with(b"-"), "{}", found.escape_ascii());
    }
}

/// Bytes of all files below a directory, as the file system counts them. Files may vanish meanwhile.
fn bytes_below(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Bytes that the whole process has allocated.
fn used_memory(connection: &mut Client) -> u64 {
    let info = String::from_utf8(connection.ask(&[b"INFO", b"memory"]).unwrap()).unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    used.trim().parse().unwrap()
}

/// The most that was seen of what is bounded.
#[derive(Debug, Default)]
struct Seen {
    samples: u64,
    directory: u64,
    memory: u64,
    disk: u64,
    whole_process: u64,
}

impl Seen {
    fn sample(&mut self, connection: &mut Client, dir: &Path) {
        self.samples += 1;
        self.directory = self.directory.max(bytes_below(dir));
        self.memory = self.memory.max(figure(connection, "c", "ram_bytes").unwrap());
        self.disk = self.disk.max(figure(connection, "c", "disk_bytes").unwrap());
        self.whole_process = self.whole_process.max(used_memory(connection));
        // Each client may be in the middle of a command, with a value that room is yet to be made for.
        let under_way = CLIENTS * LARGEST;
        assert!(self.memory <= MEMORY + under_way, "{self:?}: memory is bounded by {MEMORY}");
        assert!(self.disk <= DISK, "{self:?}: the disk tier is bounded by {DISK}");
        assert!(self.directory <= DISK, "{self:?}: its files are bounded by {DISK}");
    }
}

#[test]
fn a_cache_with_ten_times_its_memory_in_data_is_within_its_bounds_at_every_sample() {
    let dir = tempfile::tempdir().unwrap();
    let enough = std::env::var("ANABRANCH_CACHE_BOUNDS_BYTES").ok().and_then(|n| n.parse().ok()).unwrap_or(PUT);
    let (mut running, port) = start(dir.path(), &[]);
    let mut connection = Client::new(port);
    let idle = {
        let mut seen = Seen::default();
        let line = format!("KEYSPACE SET c MATCH c:* MODE cache MAXMEMORY {MEMORY} MAXDISK {DISK}");
        assert_eq!(connection.say(&line), b"+OK");
        seen.sample(&mut connection, Path::new("/nonexistent"));
        seen.whole_process
    };
    let tier = dir.path().join("keyspaces");
    let (put, mut seen) = (AtomicU64::new(0), Seen::default());
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let put = &put;
                    move || load(port, client, put, enough)
                })
            })
            .collect();
        while clients.iter().any(|client| !client.is_finished()) {
            seen.sample(&mut connection, &tier);
        }
    });
    seen.sample(&mut connection, &tier);
    // Clients under way come on top of what is bounded. Each may have at once, a value long: what has been read, in a buffer
    // that grows by doubling and is copied for that (3), its reply likewise (2), what it replaces (1), and what goes to
    // disk or comes from there, with the blocks around it (2).
    let under_way = CLIENTS * 8 * LARGEST;
    assert!(seen.whole_process <= idle + MEMORY + under_way, "{seen:?}, {idle} before");
    let put = put.load(Ordering::Relaxed);
    println!(
        "{} samples while {put} bytes were put into {MEMORY} of memory and {DISK} of disk: at most {} in memory, {} on disk by \
         its own account and {} by the file system's, {} in the whole process ({idle} before, {} behind it)",
        seen.samples,
        seen.memory,
        seen.disk,
        seen.directory,
        seen.whole_process,
        used_memory(&mut connection)
    );
    assert!(seen.samples > 20, "{seen:?}");
    assert!(seen.memory > MEMORY / 2 && seen.directory > DISK / 2, "nothing was near its bound: {seen:?}");
    let demotions = figure(&mut connection, "c", "demotions").unwrap();
    assert!(demotions > 0 && put >= enough);
    running.kill();
}
