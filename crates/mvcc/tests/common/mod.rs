//! What the tests of both stores share.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part, and a failure is the test's")]

use std::sync::Arc;

use envelope::Cipher;
use envelope::testing::{MemPlace, keyring};
use mvcc::{
    Applied, Bounds, Cleaning, Direction, Error, LsmStore, MemStore, Mutation, Options, Page, PrefixDelete, Retention,
    Row, Source, Span, Store, Timestamp, Transaction,
};

/// A store that a test may close and open again.
pub trait Fixture {
    fn store(&self) -> &dyn Store;

    /// Closes the store and opens it again; one in memory just stays.
    fn reopen(&mut self);
}

pub struct Mem(MemStore);

impl Mem {
    pub fn make(retention: Retention) -> Box<dyn Fixture> {
        Box::new(Self(MemStore::new(retention)))
    }
}

impl Fixture for Mem {
    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn reopen(&mut self) {}
}

/// A store on disk, in a directory of its own.
pub struct Lsm {
    store: Option<LsmStore>,
    options: Options,
    /// Where its data keys are, if its values are sealed. Each open of the store opens them as a start does.
    keys: Option<MemPlace>,
    dir: tempfile::TempDir,
}

/// Whether all stores of this test program are sealed: the tests of others are run again in `sealed`.
fn all_sealed() -> bool {
    env!("CARGO_CRATE_NAME") == "sealed"
}

/// Whether nearly all values of runs stand apart in this test program, in small files.
fn all_apart() -> bool {
    matches!(env!("CARGO_CRATE_NAME"), "apart" | "sealed")
}

fn cipher(keys: &MemPlace) -> Arc<Cipher> {
    for _ in 0..2000 {
        match Cipher::open_place(Box::new(keys.clone()), keyring(&[1])) {
            // A compaction of the store that was just closed has them until it hears of that.
            Err(envelope::Error::Locked { .. }) => std::thread::sleep(std::time::Duration::from_millis(5)),
            opened => return Arc::new(opened.unwrap()),
        }
    }
    panic!("somebody has the keys for ever");
}

impl Lsm {
    pub fn new(retention: Retention) -> Self {
        Self::with(|options| options.retention = retention)
    }

    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::with_keys(all_sealed().then(|| MemPlace::new(1)), change)
    }

    pub fn with_keys(keys: Option<MemPlace>, change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(Retention::Newest);
        (options.cache_bytes, options.memtable_bytes, options.threads) = (8 << 20, 1 << 20, 1);
        if all_apart() {
            (options.large_value_bytes, options.value_file_bytes) = (3, 2000);
        }
        change(&mut options);
        let mut lsm = Self { store: None, options, keys, dir };
        lsm.reopen();
        lsm
    }

    /// A store whose values are sealed.
    pub fn sealed(retention: Retention) -> Self {
        Self::with_keys(Some(MemPlace::new(1)), |options| options.retention = retention)
    }

    pub fn make_sealed(retention: Retention) -> Box<dyn Fixture> {
        Box::new(Self::sealed(retention))
    }

    pub fn cipher(&self) -> &Arc<Cipher> {
        self.options.cipher.as_ref().unwrap()
    }

    /// Where the data keys are.
    pub fn keys(&self) -> MemPlace {
        self.keys.clone().unwrap()
    }

    /// Closes the store and tries to open it with the data keys in `keys`.
    pub fn try_with(&mut self, keys: Option<MemPlace>) -> Result<(), Error> {
        (self.store, self.options.cipher, self.keys) = (None, None, keys);
        self.options.cipher = self.keys.as_ref().map(cipher);
        self.store = Some(LsmStore::open(self.dir.path(), &self.options)?);
        Ok(())
    }

    pub fn make(retention: Retention) -> Box<dyn Fixture> {
        Box::new(Self::new(retention))
    }

    pub fn lsm(&self) -> &LsmStore {
        self.store.as_ref().unwrap()
    }

    pub fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Closes the store, lets `change` work on the bare tree, and opens the store again.
    pub fn with_tree(&mut self, change: impl FnOnce(&fjall::Keyspace)) {
        self.store = None;
        let db = fjall::Database::builder(self.dir.path()).open().unwrap();
        change(&db.keyspace("rows-0", fjall::KeyspaceCreateOptions::default).unwrap());
        db.persist(fjall::PersistMode::SyncAll).unwrap();
        drop(db);
        self.reopen();
    }

    /// Closes the store and opens it with values apart from another size on.
    pub fn reopen_apart(&mut self, large_value_bytes: usize) {
        self.options.large_value_bytes = large_value_bytes;
        self.reopen();
    }

    /// Looks at all files of values until none is to go any more.
    pub fn clean(&self) -> Cleaning {
        let mut sum = Cleaning::default();
        loop {
            let one = self.lsm().clean_values(&mut || true).unwrap();
            sum = Cleaning {
                looked: sum.looked + one.looked,
                removed: sum.removed + one.removed,
                moved: sum.moved + one.moved,
            };
            if one.removed == 0 && sum.looked >= value_files(self.path()).len() {
                return sum;
            }
        }
    }

    /// Closes the store and opens it with another retention.
    pub fn reopen_with(&mut self, retention: Retention) {
        self.options.retention = retention;
        self.reopen();
    }
}

impl Fixture for Lsm {
    fn store(&self) -> &dyn Store {
        self.lsm()
    }

    fn reopen(&mut self) {
        let keys = self.keys.take();
        self.try_with(keys).unwrap();
    }
}

/// A hybrid clock value of a present-day clock: 48 bits of milliseconds, 16 of a counter.
pub const NOW: u64 = 1_790_000_000_000 << 16;

pub fn t(n: u64) -> Timestamp {
    Timestamp(n)
}

pub fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Mutation<'a> {
    Mutation::Put { key, value, expire_at: None }
}

pub fn delete(key: &[u8]) -> Mutation<'_> {
    Mutation::Delete { key }
}

/// The value of `key` at `at`.
pub fn value(store: &dyn Store, key: &[u8], at: Timestamp) -> Option<Vec<u8>> {
    let version = store.get(key, at).unwrap();
    assert_eq!(store.exists(key, at).unwrap(), version.is_some());
    version.map(|version| version.value.to_vec())
}

pub fn keys(page: &Page) -> Vec<Vec<u8>> {
    page.rows.iter().map(|row| row.key.clone()).collect()
}

/// The keys of `span` at `at`, in both directions, which must agree.
pub fn scan(store: &dyn Store, span: Span<'_>, at: Timestamp) -> Vec<Vec<u8>> {
    let forward = keys(&store.scan(span, at, Direction::Forward, Bounds::NONE).unwrap());
    let mut reverse = keys(&store.scan(span, at, Direction::Reverse, Bounds::NONE).unwrap());
    reverse.reverse();
    assert_eq!(forward, reverse);
    forward
}

/// All rows of `span`, page by page.
pub fn pages(store: &dyn Store, span: Span<'_>, at: Timestamp, direction: Direction, bounds: Bounds) -> Vec<Page> {
    let mut pages = vec![store.scan(span, at, direction, bounds).unwrap()];
    while let Some(next) = pages.last().unwrap().next.clone() {
        pages.push(store.scan(span.rest(direction, &next), at, direction, bounds).unwrap());
    }
    pages
}

pub fn rows(pages: Vec<Page>) -> Vec<Row> {
    pages.into_iter().flat_map(|page| page.rows).collect()
}

/// A transaction that began at `start` and writes `mutations`.
pub fn commit(store: &dyn Store, start: u64, commit: u64, mutations: &[Mutation<'_>]) -> Result<Applied, Error> {
    let transaction = Transaction { start: Some(t(start)), commit: t(commit), mutations, ..Transaction::default() };
    store.apply(&transaction, Source::Direct)
}

pub fn delete_prefix(store: &dyn Store, prefix: &[u8], spare: Option<&[u8]>, commit: u64) {
    let delete = PrefixDelete { prefix, spare, commit: t(commit) };
    assert_eq!(store.delete_prefix(&delete, Source::Direct).unwrap(), Applied::Now);
}

/// Compacts to the end, a few rows at a time.
pub fn compact(store: &dyn Store, horizon: Timestamp) -> Timestamp {
    for _ in 0..100_000 {
        let progress = store.compact(horizon, 3).unwrap();
        if progress.done {
            return progress.watermark;
        }
    }
    panic!("the compaction does not come to an end");
}

/// An image of the store.
pub fn image(store: &dyn Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = store.snapshot().unwrap().write_to(&mut bytes).unwrap();
    assert_eq!(written, bytes.len() as u64);
    bytes
}

/// Everything that can be read of `store` without knowing its keys.
pub fn digest(store: &dyn Store, ats: &[Timestamp]) -> Vec<Result<Vec<Row>, String>> {
    let read = |&at: &Timestamp| {
        let page = store.scan(Span::ALL, at, Direction::Forward, Bounds::NONE);
        page.map(|page| page.rows).map_err(|error| error.to_string())
    };
    ats.iter().map(read).collect()
}

/// Bytes of files in the trees of `dir`, without the journal.
pub fn tables(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => tables(&entry.path()),
            _ if entry.path().extension().is_some_and(|extension| extension == "jnl") => 0,
            metadata => metadata.len(),
        })
        .sum()
}

/// The files of values that a store has, and their bytes.
pub fn value_files(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let entries = std::fs::read_dir(dir.join("values")).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries.map(|entry| (entry.path(), entry.metadata().unwrap().len())).collect();
    files.sort();
    files
}

/// `len` bytes that do not compress.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((*state >> 56) as u8)
    };
    std::iter::repeat_n((), len).scan(seed, |state, ()| next(state)).collect()
}
