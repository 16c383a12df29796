//! Several cache keyspaces under one load, killed in the middle: random commands within and across them, bounds that
//! change meanwhile, keyspace events on. A cache may lose keys and never shows what was overwritten or deleted before;
//! `default` loses nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rig::{Client, figure, start};

/// Clients, each with keys of its own.
const CLIENTS: u64 = 4;
/// Keys of a client in each keyspace.
const KEYS: u64 = 300;
/// Commands that are acknowledged before the process is killed.
const COMMANDS: u64 = 8000;
/// Prefixes of keys: three caches, and what is logged.
const PREFIXES: [&str; 4] = ["a", "b", "r", "d"];
/// Most bytes that a keyspace may ever take in RAM and on disk.
const BOUNDS: [(&str, u64, u64); 3] = [("a", 4 << 20, 6 << 20), ("b", 5 << 20, 24 << 20), ("r", 4 << 20, 0)];

/// What a key may hold: the number of a value, or nothing.
type May = Vec<Option<u64>>;

/// What a client knows of its keys.
struct Book {
    client: u64,
    keys: BTreeMap<String, May>,
    number: u64,
    random: u64,
    found: u64,
    /// What was done to each key, for whoever has to find out why.
    history: BTreeMap<String, Vec<String>>,
}

/// The value of a write; every fourth is a hash with one field.
fn value(number: u64) -> Vec<u8> {
    let mut value = format!("{number}:").into_bytes();
    value.resize(value.len() + (number * 7919 % 16_000) as usize, b'a' + (number % 26) as u8);
    value
}

fn is_hash(number: u64) -> bool {
    number.is_multiple_of(4)
}

fn is_logged(key: &str) -> bool {
    key.starts_with('d')
}

/// The number of a value that was read whole.
fn number_of(found: &[u8]) -> u64 {
    let digits = found.split(|byte| *byte == b':').next().unwrap();
    let number = std::str::from_utf8(digits).unwrap().parse().unwrap();
    assert!(found == value(number), "{} is no value", found[..found.len().min(24)].escape_ascii());
    number
}

impl Book {
    fn new(client: u64) -> Self {
        Self { client, keys: BTreeMap::new(), number: 0, random: client + 1, found: 0, history: BTreeMap::new() }
    }

    fn random(&mut self, below: u64) -> u64 {
        // Xorshift (Marsaglia).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn key(&mut self) -> String {
        let (prefix, key) = (PREFIXES[self.random(4) as usize], self.random(KEYS));
        format!("{prefix}:{}:{key}", self.client)
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number * CLIENTS + self.client
    }

    fn note(&mut self, key: &str, what: String) {
        self.history.entry(key.to_owned()).or_default().push(format!("{} {what}", self.number));
    }

    fn may(&self, key: &str) -> May {
        self.keys.get(key).cloned().unwrap_or_else(|| vec![None])
    }

    /// A command was sent that makes a key this.
    fn sent(&mut self, key: &str, state: Option<u64>) {
        self.keys.entry(key.to_owned()).or_insert_with(|| vec![None]).push(state);
    }

    fn is(&mut self, key: &str, may: May) {
        self.note(key, format!("is {may:?}"));
        self.keys.insert(key.to_owned(), may);
    }

    /// Asserts that a key may hold what was found.
    fn check(&mut self, key: &str, found: Option<u64>) {
        let may = self.may(key);
        let lost = found.is_none() && !is_logged(key);
        let history = || self.history.get(key).map(|lines| lines[lines.len().saturating_sub(12)..].join("\n"));
        let right = lost || may.contains(&found);
        assert!(right, "{key} holds {found:?}, not one of {may:?}\n{}", history().unwrap_or_default());
        self.found += u64::from(found.is_some());
    }

    /// Reads a key; `None` once the connection is broken.
    fn read(&mut self, connection: &mut Client, key: &str) -> Option<Option<u64>> {
        let mut found = connection.ask(&[b"GET", key.as_bytes()])?;
        let is_other = found.starts_with(b"-WRONGTYPE");
        if is_other {
            found = connection.ask(&[b"HGET", key.as_bytes(), b"f"])?;
        }
        let number = (found != b"nil").then(|| number_of(&found));
        self.note(key, format!("read {number:?}"));
        assert!(number.is_none_or(|number| is_hash(number) == is_other), "{key} is of another type");
        self.check(key, number);
        Some(number)
    }

    /// The commands that make a key a value.
    fn writing(key: &str, number: u64) -> Vec<Vec<Vec<u8>>> {
        let (name, value) = (key.as_bytes().to_vec(), value(number));
        match is_hash(number) {
            true => vec![vec![b"DEL".to_vec(), name.clone()], vec![b"HSET".to_vec(), name, b"f".to_vec(), value]],
            false if number % 4 == 1 => {
                vec![vec![b"SET".to_vec(), name, value, b"PX".to_vec(), b"100000000".to_vec()]]
            }
            false => vec![vec![b"SET".to_vec(), name, value]],
        }
    }

    fn exec(connection: &mut Client, commands: &[Vec<Vec<u8>>]) -> Option<()> {
        connection.ask(&[b"MULTI"])?;
        for command in commands {
            let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            assert_eq!(connection.ask(&words)?, b"+QUEUED");
        }
        let reply = connection.ask(&[b"EXEC"])?;
        assert!(!reply.contains(&b'-'), "{}", reply.escape_ascii());
        Some(())
    }

    /// One change; `None` once the connection is broken.
    fn change(&mut self, connection: &mut Client) -> Option<()> {
        let (key, number) = (self.key(), self.next_number());
        let what = self.random(10);
        self.note(&key, format!("change {what}"));
        match what {
            0..=4 => {
                self.sent(&key, Some(number));
                let commands = Self::writing(&key, number);
                match &commands[..] {
                    [one] => {
                        let reply = connection.ask(&one.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
                        assert_eq!(reply, b"+OK", "{}", reply.escape_ascii());
                    }
                    many => Self::exec(connection, many)?,
                }
                self.is(&key, vec![Some(number)]);
            }
            5 | 6 => {
                self.sent(&key, None);
                let command = [&b"DEL"[..], b"UNLINK", b"PEXPIREAT"][self.random(3) as usize];
                let mut words = vec![command, key.as_bytes()];
                words.extend((command == b"PEXPIREAT").then_some(&b"1"[..]));
                assert!(connection.ask(&words)?.starts_with(b":"));
                self.is(&key, vec![None]);
            }
            7 | 8 => self.rename(connection, &key)?,
            _ => {
                let other = self.key();
                if other != key {
                    self.sent(&key, Some(number));
                    self.sent(&other, None);
                    let mut commands = Self::writing(&key, number);
                    commands.push(vec![b"DEL".to_vec(), other.as_bytes().to_vec()]);
                    Self::exec(connection, &commands)?;
                    self.is(&key, vec![Some(number)]);
                    self.is(&other, vec![None]);
                }
            }
        }
        Some(())
    }

    /// Across keyspaces as often as not.
    fn rename(&mut self, connection: &mut Client, from: &str) -> Option<()> {
        let to = self.key();
        if to == from {
            return Some(());
        }
        let (values, before) = (self.may(from), self.may(&to));
        self.sent(from, None);
        values.iter().filter(|value| value.is_some()).for_each(|value| self.sent(&to, *value));
        let reply = connection.ask(&[b"RENAME", from.as_bytes(), to.as_bytes()])?;
        let moved = reply == b"+OK";
        assert!(moved || reply == b"-ERR no such key", "{}", reply.escape_ascii());
        let values: May = values.into_iter().filter(|value| moved == value.is_some()).collect();
        assert!(!values.is_empty() || !is_logged(from) && !moved, "{from} -> {to}: {}", reply.escape_ascii());
        // Who was told that there is no such key never sees it again.
        self.is(from, vec![None]);
        self.is(&to, if moved { values } else { before });
        Some(())
    }

    fn run(&mut self, port: u16, done: &AtomicU64) {
        let mut connection = Client::new(port);
        while self.change(&mut connection).is_some() {
            done.fetch_add(1, Ordering::Relaxed);
            let key = self.key();
            if self.random(2) == 0 && self.read(&mut connection, &key).is_none() {
                return;
            }
        }
    }
}

/// Counts keys that were told to be evicted, until the connection is broken.
fn listen(port: u16, evicted: &AtomicU64) {
    let mut connection = Client::new(port);
    connection.ask(&[b"PSUBSCRIBE", b"__keyevent@0__:*"]).unwrap();
    while let Some(message) = connection.reply() {
        let text = String::from_utf8_lossy(&message).into_owned();
        if text.contains(":evicted ") {
            assert!(!text.contains(" d:"), "{text}");
            evicted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Changes bounds until the connection is broken: of what it is now, both are allowed.
fn change_bounds(port: u16, stop: &AtomicBool) {
    let mut connection = Client::new(port);
    for turn in 0_u64.. {
        let (ram, disk) =
            if turn.is_multiple_of(2) { (&b"5mb"[..], &b"16mb"[..]) } else { (&b"4mb"[..], &b"24mb"[..]) };
        let words = [b"KEYSPACE", &b"SET"[..], b"b", b"MAXMEMORY", ram, b"MAXDISK", disk];
        match connection.ask(&words) {
            Some(reply) => assert_eq!(reply, b"+OK", "{}", reply.escape_ascii()),
            None => return,
        }
        let demotions = |connection: &mut Client| figure(connection, "b", "demotions");
        let Some(before) = demotions(&mut connection) else { return };
        // Until there is something new on disk.
        while !stop.load(Ordering::Relaxed) && demotions(&mut connection).is_some_and(|now| now < before + 50) {
            std::thread::yield_now();
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn define(connection: &mut Client) {
    for (name, ram, disk) in BOUNDS {
        let line = format!("KEYSPACE SET {name} MATCH {name}:* MODE cache MAXMEMORY {ram} MAXDISK {disk}");
        assert_eq!(connection.say(&line), b"+OK");
    }
}

fn check_bounds(connection: &mut Client) {
    for (name, ram, disk) in BOUNDS {
        // Each client may be in the middle of a command, with values that room is yet to be made for.
        let taken = figure(connection, name, "ram_bytes").unwrap();
        assert!(taken <= ram + CLIENTS * (64 << 10), "{taken} bytes of RAM in {name}");
        let taken = figure(connection, name, "disk_bytes_peak").unwrap();
        assert!(taken <= disk, "{taken} bytes of disk in {name}");
    }
}

#[test]
fn keyspaces_under_one_load_that_is_killed_show_nothing_stale_and_keep_their_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let rounds: u32 = std::env::var("ANABRANCH_CACHE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut books: Vec<Book> = (0..CLIENTS).map(Book::new).collect();
    let evicted = Arc::new(AtomicU64::new(0));
    let mut warm = 0;
    for round in 0..=rounds {
        let (mut running, port) = start(dir.path(), &["--notify-keyspace-events", "KEA"]);
        let mut connection = Client::new(port);
        if round == 0 {
            define(&mut connection);
        }
        for book in &mut books {
            let before = book.found;
            for key in book.keys.keys().cloned().collect::<Vec<_>>() {
                let found = book.read(&mut connection, &key).unwrap();
                // What was in the middle of a change is known now, but for what may merely have been evicted.
                if found.is_some() || is_logged(&key) {
                    book.is(&key, vec![found]);
                }
            }
            warm += book.found - before;
        }
        if round == rounds {
            break;
        }
        for book in &mut books {
            book.history.values_mut().for_each(|lines| lines.push(format!("round {round}")));
        }
        let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let listener = std::thread::spawn({
            let evicted = Arc::clone(&evicted);
            move || listen(port, &evicted)
        });
        let changer = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || change_bounds(port, &stop)
        });
        let threads: Vec<_> = std::mem::take(&mut books)
            .into_iter()
            .map(|mut book| {
                let done = Arc::clone(&done);
                std::thread::spawn(move || {
                    book.run(port, &done);
                    book
                })
            })
            .collect();
        let enough = COMMANDS + u64::from(round) * 211;
        while done.load(Ordering::Relaxed) < enough && threads.iter().all(|thread| !thread.is_finished()) {
            check_bounds(&mut connection);
        }
        stop.store(true, Ordering::Relaxed);
        running.kill();
        books = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        listener.join().unwrap();
        changer.join().unwrap();
    }
    let evicted = evicted.load(Ordering::Relaxed);
    assert!(warm > 300 * u64::from(rounds) && evicted > 100, "{warm} values after kills, {evicted} evicted");
}
