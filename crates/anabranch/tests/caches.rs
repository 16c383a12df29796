//! kill -9 under load: a cache keyspace may lose keys, and never shows what was overwritten or deleted before.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rig::{Client, figure, start};

/// Clients, each with keys of its own.
const CLIENTS: u64 = 4;
/// Keys of a client.
const KEYS: u64 = 400;
/// Writes that are acknowledged before the process is killed.
const WRITES: u64 = 3000;

/// What a key may hold: versions from the last acknowledged one on, or nothing.
#[derive(Debug, Default, Clone)]
struct Known {
    /// The last acknowledged write's number.
    acknowledged: u64,
    /// It, and what was sent since: number and value, `None` for a deletion.
    possible: Vec<(u64, Option<Vec<u8>>)>,
}

type Book = BTreeMap<u64, Known>;

/// The value of a write: its number, then a length that depends on it.
fn value(client: u64, key: u64, number: u64) -> Vec<u8> {
    let mut value = format!("{client}:{key}:{number}:").into_bytes();
    value.resize(value.len() + 2000 + (number * 7919 % 9000) as usize, b'a' + (number % 26) as u8);
    value
}

/// Writes until the connection breaks.
fn write(port: u16, client: u64, book: &mut Book, number: &mut u64, done: &AtomicU64) {
    let mut connection = Client::new(port);
    loop {
        *number += 1;
        let key = *number * 0x9E37_79B9 % KEYS;
        let name = format!("c:{client}:{key}");
        let written = (!number.is_multiple_of(5)).then(|| value(client, key, *number));
        let known = book.entry(key).or_default();
        known.possible.push((*number, written.clone()));
        let reply = match &written {
            Some(value) => connection.ask(&[b"SET", name.as_bytes(), value]),
            None => connection.ask(&[b"DEL", name.as_bytes()]),
        };
        let Some(reply) = reply else { return };
        assert!(reply == b"+OK" || reply.starts_with(b":"), "{}", reply.escape_ascii());
        known.acknowledged = *number;
        known.possible.retain(|(n, _)| *n >= known.acknowledged);
        done.fetch_add(1, Ordering::Relaxed);
        // Reading brings values back from disk, so that some are in both places.
        if number.is_multiple_of(3) {
            let other = (*number * 31) % KEYS;
            let Some(found) = connection.ask(&[b"GET", format!("c:{client}:{other}").as_bytes()]) else { return };
            check(client, other, &found, book);
        }
    }
}

/// Whether a key held something that it may hold; whether it held a value.
fn check(client: u64, key: u64, found: &[u8], book: &Book) -> bool {
    if found == b"nil" {
        return false;
    }
    let known = book.get(&key).cloned().unwrap_or_default();
    let right = known.possible.iter().any(|(_, value)| value.as_deref() == Some(found));
    let head = found[..found.len().min(24)].escape_ascii();
    assert!(right, "c:{client}:{key} holds {head}…, acknowledged was {}", known.acknowledged);
    true
}

#[test]
fn a_killed_server_shows_nothing_that_was_overwritten_or_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let rounds: u32 = std::env::var("ANABRANCH_CACHE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut books: Vec<(Book, u64)> = (0..CLIENTS).map(|_| (Book::new(), 0)).collect();
    let mut warm = 0;
    for round in 0..rounds {
        let (mut running, port) = start(dir.path(), &[]);
        let mut connection = Client::new(port);
        if round == 0 {
            let reply = connection.say("KEYSPACE SET c MATCH c:* MODE cache MAXMEMORY 4mb MAXDISK 24mb");
            assert_eq!(reply, b"+OK");
        }
        for (client, (book, _)) in (0..).zip(&books) {
            for key in 0..KEYS {
                let found = connection.ask(&[b"GET", format!("c:{client}:{key}").as_bytes()]).unwrap();
                warm += u64::from(check(client, key, &found, book));
            }
        }
        let done = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..CLIENTS)
            .zip(books)
            .map(|(client, (mut book, mut number))| {
                let done = Arc::clone(&done);
                std::thread::spawn(move || {
                    write(port, client, &mut book, &mut number, &done);
                    (book, number)
                })
            })
            .collect();
        let enough = WRITES + u64::from(round) * 211;
        while done.load(Ordering::Relaxed) < enough && threads.iter().all(|thread| !thread.is_finished()) {
            std::thread::yield_now();
        }
        // Each client may be in the middle of a command, with a value that room is yet to be made for.
        assert!(figure(&mut connection, "c", "ram_bytes").unwrap() <= (4 << 20) + CLIENTS * (16 << 10));
        assert!(figure(&mut connection, "c", "disk_bytes_peak").unwrap() <= 24 << 20);
        running.kill();
        books = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    }
    assert!(warm > 100 * (u64::from(rounds) - 1), "{warm} values were there after kills");
}
