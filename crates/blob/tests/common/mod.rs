//! What the tests share: small stores on a fake disk, a clock that is set by hand, values that say what they are.
#![allow(dead_code, reason = "each test binary uses its own part")]

use blob::disk::{Disk, DiskFile, FakeDisk};
use blob::{Mode, Options, PolicyKind, Store};
use std::io::{IoSlice, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A store's surroundings: everything that is not the store.
#[derive(Clone)]
pub struct World {
    pub disk: FakeDisk,
    pub clock: Arc<AtomicU64>,
    pub mode: Mode,
    pub disk_limit: u64,
    pub ram_limit: u64,
    pub segment_bytes: u64,
    pub policy: PolicyKind,
    pub max_wait: Duration,
}

impl World {
    pub fn new(mode: Mode, seed: u64) -> Self {
        Self {
            disk: FakeDisk::new(seed),
            clock: Arc::new(AtomicU64::new(1_000)),
            mode,
            disk_limit: 512 * 1024,
            ram_limit: 4 << 20,
            segment_bytes: 16 * 1024,
            policy: PolicyKind::Sieve,
            max_wait: Duration::from_secs(20),
        }
    }

    pub fn durable() -> Self {
        Self::new(Mode::Durable, 1)
    }

    pub fn cache() -> Self {
        Self::new(Mode::Cache { fsync: false }, 1)
    }

    pub fn options(&self) -> Options {
        let mut options = Options::new(self.mode, self.disk_limit, self.ram_limit);
        let clock = Arc::clone(&self.clock);
        options.segment_bytes = self.segment_bytes;
        options.policy = self.policy;
        options.slab_bytes = 2_048;
        options.max_wait = self.max_wait;
        options.clock = Arc::new(move || clock.load(Ordering::Relaxed));
        options.identity = Some((0x5EED, 0x5EED));
        options
    }

    pub fn try_open(&self) -> blob::Result<Store> {
        Store::open_on(Arc::new(self.disk.clone()), self.options())
    }

    pub fn try_open_hooked(&self, hook: Arc<dyn Hook>) -> blob::Result<Store> {
        Store::open_on(Arc::new(HookedDisk { disk: self.disk.clone(), hook }), self.options())
    }

    pub fn open(&self) -> Store {
        self.try_open().expect("the store opens")
    }

    pub fn names(&self) -> Vec<String> {
        self.disk.list().expect("the disk is up").into_iter().filter(|name| name.ends_with(".seg")).collect()
    }
}

/// A value of `len` bytes that follows from `tag`.
pub fn value(tag: u64, len: usize) -> Vec<u8> {
    let mut state = tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

pub fn get(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    store.get(key).expect("the read works").map(|guard| guard.to_vec())
}

pub fn keys(store: &Store) -> Vec<Vec<u8>> {
    use std::ops::Bound::Unbounded;
    store.range(Unbounded, Unbounded).expect("iteration starts").map(|entry| entry.expect("goes on").key).collect()
}

/// A generator of numbers from a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// What a hook is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// A file is created, or its header is written.
    Header,
    /// Records or a footer are written.
    Records,
}

/// Told of the writes to a disk, on the thread that writes.
pub trait Hook: Send + Sync {
    /// An error is what the write fails with.
    fn before(&self, io: Io) -> Result<()>;
    fn after(&self, _io: Io, _failed: bool) {}
}

impl dyn Hook {
    fn around<T>(&self, io: Io, write: impl FnOnce() -> Result<T>) -> Result<T> {
        self.before(io)?;
        let result = write();
        self.after(io, result.is_err());
        result
    }
}

/// A fake disk with a hook.
struct HookedDisk {
    disk: FakeDisk,
    hook: Arc<dyn Hook>,
}

struct HookedFile {
    file: Arc<dyn DiskFile>,
    hook: Arc<dyn Hook>,
}

impl HookedDisk {
    fn hooked(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HookedFile { file, hook: Arc::clone(&self.hook) })
    }
}

impl Disk for HookedDisk {
    fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        self.hook.around(Io::Header, || self.disk.create(name)).map(|file| self.hooked(file))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        self.disk.open(name).map(|file| self.hooked(file))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.disk.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.disk.list()
    }

    fn sync_dir(&self) -> Result<()> {
        self.disk.sync_dir()
    }

    fn lock(&self, name: &str) -> Result<Option<Box<dyn Send + Sync>>> {
        self.disk.lock(name)
    }

    fn boot_id(&self) -> u128 {
        self.disk.boot_id()
    }
}

impl DiskFile for HookedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        let io = if offset == 0 { Io::Header } else { Io::Records };
        self.hook.around(io, || self.file.write_at(buffers, offset))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }
}
