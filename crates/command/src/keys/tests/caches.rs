//! Commands over a cache keyspace against a model: a key may be gone at any time, a value that was overwritten, deleted
//! or has expired is never seen again, neither at once nor after a restart or a crash.

use std::collections::{BTreeMap, BTreeSet};

use engine::{KeyspaceChange, KeyspaceFigures};
use resp::Value;

use crate::harness::Harness;
use crate::random::Random;

/// A value and when it ends.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    value: Whole,
    ends: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Whole {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    ZSet(BTreeMap<Vec<u8>, i64>),
}

/// The server, what it should hold, and the dice.
struct Run {
    h: Harness,
    model: BTreeMap<(u8, Vec<u8>), Held>,
    random: Random,
    now_ms: i64,
    step: u64,
    /// Reads that found a value, and reads that found none where the model has one.
    found: u64,
    lost: u64,
    /// Values that were loaded from disk.
    loaded: u64,
    /// What was asked and answered, shortened.
    history: Vec<String>,
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_bytes().unwrap_or_else(|| panic!("bytes, not {value:?}")).to_vec()
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        other => panic!("an integer, not {other:?}"),
    }
}

fn items(value: &Value) -> Vec<Vec<u8>> {
    match value {
        Value::Array(items) | Value::Set(items) => items.iter().map(bytes).collect(),
        other => panic!("an array, not {other:?}"),
    }
}

fn words(line: &[&[u8]]) -> Vec<Vec<u8>> {
    line.iter().map(|word| word.to_vec()).collect()
}

pub(super) fn define(h: &Harness, name: &str, pattern: &str, ram: u64, disk: u64) {
    let change = KeyspaceChange {
        patterns: Some(vec![pattern.into()]),
        mode: Some(effect::Mode::Cache),
        ram_bytes: Some(ram),
        disk_bytes: Some(disk),
        fsync: None,
    };
    h.engine().define_keyspace(name, &change).expect("the keyspace can be defined");
}

pub(super) fn figures(h: &Harness) -> KeyspaceFigures {
    h.engine().keyspaces().into_iter().next().expect("there is a keyspace")
}

/// The beginning of what would be pages.
fn show(what: &impl std::fmt::Debug) -> String {
    format!("{what:?}").chars().take(300).collect()
}

impl Run {
    fn new(seed: u64) -> Self {
        let h = Harness::new();
        let (model, random) = (BTreeMap::new(), Random::new(seed));
        Self { h, model, random, now_ms: 1_700_000_000_000, step: 0, found: 0, lost: 0, loaded: 0, history: Vec::new() }
    }

    fn key(&mut self) -> Vec<u8> {
        format!("c:{}", self.random.below(300)).into_bytes()
    }

    /// Bytes that no other step makes.
    fn payload(&mut self, most: u64) -> Vec<u8> {
        let len = self.random.below(most) as usize;
        let mut bytes = format!("{}:", self.step).into_bytes();
        bytes.resize(bytes.len() + len, b'a' + (self.step % 26) as u8);
        bytes
    }

    fn held(&self, key: &[u8]) -> Option<Held> {
        self.model.get(&(self.h.db, key.to_vec())).filter(|held| held.ends.is_none_or(|at| at > self.now_ms)).cloned()
    }

    fn put(&mut self, key: &[u8], value: Whole, ends: Option<i64>) {
        self.model.insert((self.h.db, key.to_vec()), Held { value, ends });
    }

    fn gone(&mut self, key: &[u8]) {
        self.model.remove(&(self.h.db, key.to_vec()));
    }

    fn ask(&mut self, line: &[&[u8]]) -> Value {
        let value = self.h.run_words(&words(line));
        let short = |text: String| text.chars().take(40).collect::<String>();
        let line: Vec<String> = line.iter().map(|word| short(word.escape_ascii().to_string())).collect();
        let (step, db, now_ms) = (self.step, self.h.db, self.now_ms % 1_000_000);
        self.history.push(format!("{step} @{now_ms} [{db}] {} -> {}", line.join(" "), short(format!("{value:?}"))));
        value
    }

    fn note(&mut self, what: &str) {
        self.history.push(format!("{} {what}", self.step));
    }

    /// The last lines about a key, and of what concerns all.
    fn history_of(&self, key: &[u8]) -> String {
        let key = format!("{} ", key.escape_ascii());
        let concerned = self.history.iter().filter(|line| line.contains(&key) || !line.contains("c:"));
        let lines: Vec<&str> = concerned.rev().take(40).map(String::as_str).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// What the server has at a key, whole. `None`: nothing.
    fn read(&mut self, key: &[u8]) -> Option<Whole> {
        let kind = match self.ask(&[b"TYPE", key]) {
            Value::Simple(kind) => String::from_utf8(kind).expect("a name"),
            other => panic!("a type, not {other:?}"),
        };
        let mut ask = |line: &[&[u8]]| self.ask(line);
        let whole = match kind.as_str() {
            "none" => return None,
            "string" => match ask(&[b"GET", key]) {
                Value::Null => return None,
                value => Whole::String(bytes(&value)),
            },
            "list" => Whole::List(items(&ask(&[b"LRANGE", key, b"0", b"-1"]))),
            "set" => Whole::Set(items(&ask(&[b"SMEMBERS", key])).into_iter().collect()),
            "hash" => {
                let flat = items(&ask(&[b"HGETALL", key]));
                Whole::Hash(flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            "zset" => {
                let flat = items(&ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]));
                let score = |text: &[u8]| String::from_utf8_lossy(text).parse::<i64>().expect("an integer score");
                Whole::ZSet(flat.chunks(2).map(|pair| (pair[0].clone(), score(&pair[1]))).collect())
            }
            other => panic!("{other}"),
        };
        // Given up between the two commands.
        let empty = match &whole {
            Whole::String(_) => false,
            Whole::List(list) => list.is_empty(),
            Whole::Set(set) => set.is_empty(),
            Whole::Hash(hash) => hash.is_empty(),
            Whole::ZSet(zset) => zset.is_empty(),
        };
        (!empty).then_some(whole)
    }

    /// Looks at a key: it has what the model has, or nothing, which the model then has as well.
    fn check(&mut self, key: &[u8]) -> Option<Held> {
        let held = self.held(key);
        match (self.read(key), &held) {
            // Given up: it may be there again after a restart, as long as nobody writes the key.
            (None, Some(_)) => {
                self.lost += 1;
                None
            }
            (found, held) => {
                self.found += u64::from(found.is_some());
                let expected = held.as_ref().map(|held| &held.value);
                let same = found.as_ref() == expected;
                if !same {
                    let (found, expected, history) = (show(&found), show(&expected), self.history_of(key));
                    panic!("step {}, {}:\n{found}\n{expected}\n{history}", self.step, key.escape_ascii());
                }
                held.clone()
            }
        }
    }

    fn write(&mut self) {
        let key = self.key();
        let payload = self.payload(40_000);
        match self.random.below(14) {
            0..=3 => {
                self.ask(&[b"SET", &key, &payload]);
                self.put(&key, Whole::String(payload), None);
            }
            4 => {
                let ttl = 1 + self.random.below(400);
                self.ask(&[b"SET", &key, &payload, b"PX", ttl.to_string().as_bytes()]);
                self.put(&key, Whole::String(payload), Some(self.now_ms + ttl as i64));
            }
            5 => {
                self.ask(&[b"DEL", &key]);
                self.gone(&key);
            }
            6 => {
                let ttl = 1 + self.random.below(400);
                let set = self.ask(&[b"PEXPIRE", &key, ttl.to_string().as_bytes()]);
                match (int(&set), self.held(&key)) {
                    (1, Some(held)) => self.put(&key, held.value, Some(self.now_ms + ttl as i64)),
                    (1, None) => panic!("step {}: a deadline for a key that is not there", self.step),
                    _ => self.gone(&key),
                }
            }
            7 => {
                let to = self.key();
                let held = self.check(&key);
                match self.ask(&[b"RENAME", &key, &to]) {
                    // Refused: nobody meant to delete what was given up, so it may be there after a restart.
                    Value::Error(_) => {}
                    _ if key == to => {}
                    _ => {
                        let held = held.unwrap_or_else(|| panic!("step {}: what is not there moved", self.step));
                        self.gone(&key);
                        self.put(&to, held.value, held.ends);
                    }
                }
            }
            8 => {
                let to = [self.key(), b"x".to_vec()].concat();
                let held = self.check(&key);
                if int(&self.ask(&[b"COPY", &key, &to, b"REPLACE"])) == 1 {
                    let held = held.unwrap_or_else(|| panic!("step {}: what is not there was copied", self.step));
                    self.put(&to, held.value, held.ends);
                }
            }
            _ => self.grow(&key, payload),
        }
    }

    /// Adds to a value: the reply tells whether the old one was still there.
    fn grow(&mut self, key: &[u8], payload: Vec<u8>) {
        let held = self.held(key);
        let ends = held.as_ref().and_then(|held| held.ends);
        let step = self.step.to_string().into_bytes();
        match held.map(|held| held.value) {
            Some(Whole::String(old)) => {
                let len = int(&self.ask(&[b"APPEND", key, &payload])) as usize;
                let whole = [old, payload.clone()].concat();
                match len == whole.len() {
                    true => self.put(key, Whole::String(whole), ends),
                    false => {
                        assert_eq!(len, payload.len(), "step {}", self.step);
                        self.put(key, Whole::String(payload), None);
                    }
                }
            }
            Some(Whole::List(mut old)) => {
                let len = int(&self.ask(&[b"RPUSH", key, &payload])) as usize;
                match len == old.len() + 1 {
                    true => {
                        old.push(payload);
                        self.put(key, Whole::List(old), ends);
                    }
                    false => self.put(key, Whole::List(vec![payload]), None),
                }
            }
            Some(Whole::Hash(mut old)) => {
                self.ask(&[b"HSET", key, &step, &payload]);
                let len = int(&self.ask(&[b"HLEN", key])) as usize;
                old.insert(step.clone(), payload.clone());
                match len == old.len() {
                    true => self.put(key, Whole::Hash(old), ends),
                    false if len == 1 => self.put(key, Whole::Hash([(step, payload)].into()), None),
                    false => self.gone(key),
                }
            }
            Some(Whole::Set(mut old)) => {
                self.ask(&[b"SADD", key, &payload]);
                let len = int(&self.ask(&[b"SCARD", key])) as usize;
                old.insert(payload.clone());
                match len == old.len() {
                    true => self.put(key, Whole::Set(old), ends),
                    false if len == 1 => self.put(key, Whole::Set([payload].into()), None),
                    false => self.gone(key),
                }
            }
            Some(Whole::ZSet(mut old)) => {
                let score = self.step as i64;
                self.ask(&[b"ZADD", key, &step, &payload]);
                let len = int(&self.ask(&[b"ZCARD", key])) as usize;
                old.insert(payload.clone(), score);
                match len == old.len() {
                    true => self.put(key, Whole::ZSet(old), ends),
                    false if len == 1 => self.put(key, Whole::ZSet([(payload, score)].into()), None),
                    false => self.gone(key),
                }
            }
            None => self.create(key, payload),
        }
    }

    fn create(&mut self, key: &[u8], payload: Vec<u8>) {
        // What the model has lost sight of must be gone before something of another type can be made.
        self.ask(&[b"DEL", key]);
        let (step, score) = (self.step.to_string().into_bytes(), self.step as i64);
        match self.random.below(4) {
            0 => {
                self.ask(&[b"RPUSH", key, &payload]);
                self.put(key, Whole::List(vec![payload]), None);
            }
            1 => {
                self.ask(&[b"HSET", key, &step, &payload]);
                self.put(key, Whole::Hash([(step, payload)].into()), None);
            }
            2 => {
                self.ask(&[b"SADD", key, &payload]);
                self.put(key, Whole::Set([payload].into()), None);
            }
            _ => {
                self.ask(&[b"ZADD", key, &step, &payload]);
                self.put(key, Whole::ZSet([(payload, score)].into()), None);
            }
        }
    }

    fn whole_database(&mut self) {
        let db = self.h.db;
        match self.random.below(3) {
            0 => {
                self.ask(&[b"FLUSHDB"]);
                self.model.retain(|(of, _), _| *of != db);
            }
            1 => {
                self.ask(&[b"SWAPDB", b"0", b"1"]);
                let other = |of: u8| if of < 2 { 1 - of } else { of };
                self.model =
                    std::mem::take(&mut self.model).into_iter().map(|((d, k), v)| ((other(d), k), v)).collect();
            }
            _ => self.h.db = 1 - db,
        }
    }

    /// Names of keys: those of the model or fewer.
    fn check_names(&mut self) {
        let names: BTreeSet<Vec<u8>> = items(&self.h.run("KEYS *")).into_iter().collect();
        let mut scanned = BTreeSet::new();
        let mut cursor = b"0".to_vec();
        loop {
            let line = words(&[b"SCAN", &cursor, b"COUNT", b"50"]);
            let Value::Array(page) = self.ask(&line.iter().map(Vec::as_slice).collect::<Vec<_>>()) else {
                panic!("a page")
            };
            scanned.extend(items(&page[1]));
            cursor = bytes(&page[0]);
            if cursor == b"0" {
                break;
            }
        }
        for name in names.union(&scanned) {
            let history = || self.history_of(name);
            assert!(
                self.held(name).is_some(),
                "step {}: {} is not there\n{}",
                self.step,
                name.escape_ascii(),
                history()
            );
        }
        let size = int(&self.h.run("DBSIZE")) as usize;
        assert!(size >= names.intersection(&scanned).count(), "{size} keys, {} names", names.len());
        if let Some(name) = self.h.run("RANDOMKEY").as_bytes() {
            assert!(self.held(name).is_some(), "step {}", self.step);
        }
    }

    fn check_all(&mut self) {
        let before = self.h.db;
        let keys: Vec<(u8, Vec<u8>)> = self.model.keys().cloned().collect();
        for (db, key) in keys {
            self.h.db = db;
            self.check(&key);
        }
        self.h.db = before;
        let figures = figures(&self.h);
        let (ram, disk) = (figures.definition.ram_bytes, figures.definition.disk_bytes);
        assert!(figures.disk_bytes_peak <= disk, "{} bytes on disk of {disk}", figures.disk_bytes_peak);
        assert!(figures.ram_bytes <= ram, "{} bytes in RAM of {ram}", figures.ram_bytes);
    }

    fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step += 1;
            match self.random.below(200) {
                0 => self.whole_database(),
                1 => self.check_names(),
                2..=10 => {
                    self.h.pass(20);
                    self.now_ms += 20;
                }
                11..=90 => {
                    let key = self.key();
                    self.check(&key);
                }
                _ => self.write(),
            }
        }
        self.check_all();
        self.loaded += figures(&self.h).disk_hits;
    }
}

/// Steps of a long run; a short one otherwise.
fn rounds() -> u64 {
    std::env::var("ANABRANCH_CACHE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

#[test]
fn no_value_that_was_overwritten_deleted_or_expired_is_ever_seen() {
    for seed in 0..rounds() {
        let mut run = Run::new(seed);
        define(&run.h, "c", "c:*", 4 << 20, if seed % 3 == 2 { 64 << 20 } else { 6 << 20 });
        for round in 0..4 {
            run.run(1500);
            match round % 2 {
                0 => {
                    run.note("restart");
                    run.h.reopen();
                }
                _ => {
                    run.note("crash");
                    run.h.crash();
                }
            }
            run.check_all();
        }
        let Run { found, lost, loaded, .. } = run;
        assert!(found > 500 && lost > 20 && loaded > 20, "seed {seed}: {found} found, {lost} lost, {loaded} loaded");
    }
}

#[test]
fn a_key_that_is_deleted_after_it_was_evicted_is_not_there_after_a_crash() {
    let mut h = Harness::new();
    define(&h, "c", "c:*", 4 << 20, 8 << 20);
    let value = vec![b'v'; 20_000];
    for i in 0..900 {
        h.run_words(&words(&[b"SET", format!("c:{i}").as_bytes(), &value]));
    }
    let exists = |h: &mut Harness, i: usize| int(&h.run(&format!("EXISTS c:{i}"))) == 1;
    let evicted: Vec<usize> = (0..900).filter(|i| !exists(&mut h, *i)).collect();
    let (deleted, left): (Vec<usize>, Vec<usize>) = evicted.iter().partition(|i| *i % 2 == 0);
    for i in &deleted {
        // By name, by taking it, in a transaction, and by what changes nothing where there is nothing.
        match i % 8 {
            0 => h.expect(&format!("DEL c:{i}"), "0"),
            2 => h.expect(&format!("GETDEL c:{i}"), "nil"),
            4 => drop(h.exec(&[words(&[b"UNLINK", format!("c:{i}").as_bytes()])])),
            _ => h.expect(&format!("PEXPIRE c:{i} 1"), "0"),
        }
    }
    h.crash();
    assert!(deleted.iter().all(|i| !exists(&mut h, *i)));
    // Otherwise nothing was shown: some that were not deleted are there again.
    assert!(left.iter().any(|i| exists(&mut h, *i)), "of {} none is on disk any more", left.len());
}

#[test]
fn a_key_that_a_refused_command_found_evicted_is_not_there_after_a_crash() {
    for events in [false, true] {
        let mut h = Harness::new();
        if events {
            h.engine().want_events(engine::EventClass::GENERIC);
        }
        define(&h, "c", "c:*", 4 << 20, 8 << 20);
        let value = vec![b'v'; 20_000];
        for i in 0..900 {
            h.run_words(&words(&[b"SET", format!("c:{i}").as_bytes(), &value]));
        }
        let exists = |h: &mut Harness, i: usize| int(&h.run(&format!("EXISTS c:{i}"))) == 1;
        let evicted: Vec<usize> = (0..900).filter(|i| !exists(&mut h, *i)).collect();
        let (touched, left): (Vec<usize>, Vec<usize>) = evicted.iter().partition(|i| *i % 2 == 0);
        for i in &touched {
            let key = format!("c:{i}");
            match i % 6 {
                0 => h.expect(&format!("RENAME {key} elsewhere"), "-ERR no such key"),
                2 => h.expect(&format!("LSET {key} 0 x"), "-ERR no such key"),
                _ => drop(h.exec(&[words(&[b"SET", b"x", b"y"]), words(&[b"LSET", key.as_bytes(), b"0", b"x"])])),
            }
        }
        h.crash();
        assert!(touched.iter().all(|i| !exists(&mut h, *i)));
        assert!(left.iter().any(|i| exists(&mut h, *i)), "of {} none is on disk any more", left.len());
    }
}

#[test]
fn of_a_key_that_moves_between_keyspaces_nobody_is_told() {
    let mut h = Harness::new();
    let told: std::sync::Arc<std::sync::Mutex<Vec<&'static str>>> = std::sync::Arc::default();
    let listener = std::sync::Arc::clone(&told);
    h.engine().set_event_sink(Box::new(move |event, _| listener.lock().expect("nobody panics").push(event.name)));
    let value = "v".repeat(5000);
    for key in ["c:1", "c:2", "c:3"] {
        h.expect(&format!("SET {key} {value}"), "OK");
    }
    h.engine().want_events(engine::EventClass(u32::MAX));
    // While batches are so small, nothing can be moved in the background.
    h.engine().set_batch_bytes(1000);
    define(&h, "c", "c:*", 4 << 20, 8 << 20);
    h.engine().set_batch_bytes(1 << 20);
    let events = |h: &mut Harness, line: &str| {
        told.lock().expect("nobody panics").clear();
        h.run(line);
        told.lock().expect("nobody panics").clone()
    };
    assert_eq!(events(&mut h, "SET c:1 new"), ["overwritten", "set"]);
    assert_eq!(events(&mut h, "APPEND c:2 more"), ["append"]);
    assert_eq!(events(&mut h, "LPUSH c:3 x"), Vec::<&str>::new());
    h.expect("STRLEN c:2", "5004");
    h.expect("STRLEN c:3", "5000");
}
