//! A store as the lower tier of a cache: what is hidden is not found, what is invalidated never comes back, and offering
//! never waits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;

use blob::disk::Disk;
use blob::{Mode, Options, PutOptions, Store};

const DISK: u64 = 8 << 20;
const RAM: u64 = 1 << 20;

fn open(dir: &std::path::Path) -> Store {
    Store::open(dir, Options::new(Mode::Cache { fsync: false }, DISK, RAM)).unwrap()
}

fn offer(store: &Store, key: &[u8], value: &[u8]) -> bool {
    store.offer(key, value, PutOptions::default()).unwrap()
}

/// What a kill would leave: the store is neither closed nor are its destructors run.
fn kill(store: Store) {
    std::mem::forget(store);
}

/// The files of `from` as they are now, elsewhere, so that a killed store's lock is not in the way.
fn files_of(from: &std::path::Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn what_is_hidden_is_not_found_and_what_is_invalidated_never_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for key in [b"hidden", b"gone!!", b"newer!"] {
        assert!(offer(&store, key, b"old"));
    }
    store.drain().unwrap();
    assert!(!store.hide(b"never there") && !store.has_record(b"never there"));
    for key in [b"hidden", b"gone!!", b"newer!"] {
        assert!(store.hide(key) && store.has_record(key) && store.get(key).unwrap().is_none());
    }
    assert!(offer(&store, b"newer!", b"new"));
    store.invalidate([&b"gone!!"[..], b"newer!"]).unwrap();
    assert!(!store.has_record(b"gone!!") && store.get(b"gone!!").unwrap().is_none());
    let copy = files_of(dir.path());
    kill(store);
    let store = open(copy.path());
    // Nobody said that this one must not come back.
    assert_eq!(&store.get(b"hidden").unwrap().unwrap()[..], b"old");
    assert!(store.get(b"gone!!").unwrap().is_none());
    assert_eq!(&store.get(b"newer!").unwrap().unwrap()[..], b"new");
    store.validate().unwrap();
}

#[test]
fn a_key_whose_tombstone_is_not_written_yet_still_needs_to_be_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(offer(&store, b"key", b"old"));
    store.drain().unwrap();
    assert!(store.hide(b"key"));
    store.invalidate([&b"key"[..]]).unwrap();
    assert!(!store.hide(b"key"), "it is written");
    // Deleting writes as well, so nothing is ever left in the queue but by somebody who is about to wait.
    assert!(!store.delete(b"key").unwrap());
}

#[test]
fn offers_are_refused_at_once_and_taken_again_after_way_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let value = vec![7; 50_000];
    let (mut refused, mut taken) = (0, 0);
    for i in 0..600u32 {
        let key = i.to_be_bytes();
        while !offer(&store, &key, &value) {
            refused += 1;
            store.make_way(&key, value.len()).unwrap();
        }
        taken += u32::from(store.get(&key).unwrap().is_some());
        let stats = store.stats();
        assert!(stats.disk_bytes_peak <= DISK && stats.ram_bytes_peak <= RAM, "{stats:?}");
    }
    assert!(refused > 10 && taken == 600, "{refused} refused, {taken} taken");
    assert!(store.stats().evictions > 300);
    store.validate().unwrap();
    assert!(matches!(
        store.offer(b"k", &vec![0; RAM as usize], PutOptions::default()),
        Err(blob::Error::ValueTooLarge { .. })
    ));
}

/// A disk that shows the store's files to a witness before one of them goes.
struct Watched {
    disk: blob::disk::FakeDisk,
    witness: Arc<dyn Fn(&str) + Send + Sync>,
}

impl blob::disk::Disk for Watched {
    fn create(&self, name: &str) -> std::io::Result<Arc<dyn blob::disk::DiskFile>> {
        self.disk.create(name)
    }
    fn open(&self, name: &str) -> std::io::Result<Arc<dyn blob::disk::DiskFile>> {
        self.disk.open(name)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        (self.witness)(name);
        self.disk.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        (self.witness)(from);
        self.disk.rename(from, to)
    }
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.disk.list()
    }
    fn sync_dir(&self) -> std::io::Result<()> {
        self.disk.sync_dir()
    }
    fn lock(&self, name: &str) -> std::io::Result<Option<Box<dyn Send + Sync>>> {
        self.disk.lock(name)
    }
    fn boot_id(&self) -> u128 {
        self.disk.boot_id()
    }
}

/// As long as a file has the last record of a key that nobody deleted, whoever changes the key hears of it.
#[test]
fn what_a_file_still_holds_is_known_until_the_file_is_gone() {
    let world = common::World::cache();
    // Keys, and how their values begin.
    let known: Arc<std::sync::Mutex<Vec<(Vec<u8>, Vec<u8>)>>> = Arc::default();
    let store: Arc<std::sync::OnceLock<Store>> = Arc::default();
    let seen = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let witness = {
        let (disk, known, store, seen) =
            (world.disk.clone(), Arc::clone(&known), Arc::clone(&store), Arc::clone(&seen));
        move |name: &str| {
            let Some(store) = store.get().filter(|_| name.ends_with(".seg")) else { return };
            let bytes_of = |name: &str| {
                let file = disk.open(name).unwrap();
                let mut bytes = vec![0; file.len().unwrap() as usize];
                file.read_at(&mut bytes, 0).unwrap();
                bytes
            };
            let holds = |bytes: &[u8], key: &[u8]| bytes.windows(key.len()).any(|part| part == key);
            let (going, mut others): (Vec<u8>, _) = (bytes_of(name), disk.list().unwrap());
            others.retain(|other| other.ends_with(".seg") && other != name);
            let others: Vec<Vec<u8>> = others.iter().map(|other| bytes_of(other)).collect();
            let parts: HashSet<&[u8]> = going.windows(32).collect();
            for (key, _) in known.lock().unwrap().iter().filter(|(_, value)| parts.contains(&value[..])) {
                // What another file has is newer: the value, or that it is void.
                if !others.iter().any(|other| holds(other, key)) {
                    assert!(store.has_record(key), "{} is only in {name}", key.escape_ascii());
                    seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
    };
    let disk = Watched { disk: world.disk.clone(), witness: Arc::new(witness) };
    let opened = Store::open_on(Arc::new(disk), world.options()).unwrap();
    let store = store.get_or_init(|| opened);
    for n in 0..600u64 {
        let key = format!("the key of number {n:06}").into_bytes();
        let value = common::value(n, 3_000);
        known.lock().unwrap().push((key.clone(), value[..32].to_vec()));
        store.put(&key, &value).unwrap();
    }
    assert!(seen.load(std::sync::atomic::Ordering::Relaxed) > 10, "files went, with records in them: {seen:?}");
    assert!(store.stats().files_reused > 10, "as most that go, they became others");
    store.validate().unwrap();
}
