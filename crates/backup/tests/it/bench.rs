//! A node under a clock of its own, and a repository in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use archive::seal::KeyPair;
use archive::storage::{Memory, Name, Storage};
use backup::{BackupId, Error, Job, Listed, Progress, Purpose, Report, Repository, Restore, Restored, Sizes, take};
use effect::{Deadline, Hlc, Item, ItemValue, Kind, Merge, Op, Patch};
use engine::{CheckpointPolicy, Digest, Engine, Lock, Options, Recycled};

/// Small, so that there are several of everything.
pub const SIZES: Sizes = Sizes { rows: 40_000, log: 20_000, rebase: 1 << 30, chain: 1000 };

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub clock: Arc<AtomicI64>,
    pub engine: Option<Engine>,
    pub memory: Arc<Memory>,
    pub repository: Repository,
    pub keys: KeyPair,
    pub sizes: Sizes,
}

/// What there was when this was the latest timestamp.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub last: Hlc,
    pub digest: Digest,
}

pub fn options(clock: &Arc<AtomicI64>, node: u8) -> Options {
    let time = Arc::clone(clock);
    let mut options = Options::new(Arc::new(move || time.load(Ordering::Relaxed)), [node; 22]);
    // Most values stand apart from their rows.
    options.large_value_bytes = 48;
    options.log.segment_bytes = 1 << 20;
    options.checkpoint = CheckpointPolicy { log_bytes: Some(1 << 20) };
    options
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let engine = Some(open(dir.path(), &clock, 7));
        let memory = Arc::new(Memory::new());
        let storage: Arc<dyn Storage> = Arc::clone(&memory) as _;
        let repository = Repository::open_or_begin(storage).unwrap();
        Self { dir, clock, engine, memory, repository, keys: KeyPair::generate().unwrap(), sizes: SIZES }
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub fn restart(&mut self) {
        self.engine.take().unwrap().close().unwrap();
        self.engine = Some(open(self.dir.path(), &self.clock, 7));
    }

    pub fn take(&self, full: bool) -> Result<Report, Error> {
        self.take_with(full, &Progress::default())
    }

    pub fn take_with(&self, full: bool, progress: &Progress) -> Result<Report, Error> {
        let recipient = &self.keys.public;
        let purpose = Purpose::Asked;
        let job =
            Job { repository: &self.repository, recipient, purpose, full, sizes: self.sizes, beside: None, progress };
        take(self.engine(), &job)
    }

    /// Restores to a new directory, and answers what is there.
    pub fn restore(&self, backup: Option<&BackupId>, at_ms: Option<i64>) -> Result<(Restored, Digest), Error> {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("new");
        let (progress, key) = (Progress::default(), &self.keys.private);
        let (repository, progress) = (&self.repository, &progress);
        let restore = Restore { repository, key, node: None, backup, at_ms, returning: None, progress };
        let restored = restore.to(&to, &options(&self.clock, 9));
        if restored.is_err() {
            assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "something was left behind");
        }
        let restored = restored?;
        let engine = open(&to, &self.clock, 9);
        assert_ne!(engine.origin().node(), self.engine().origin().node());
        Ok((restored, digest(&engine)))
    }

    pub fn list(&self) -> Vec<Listed> {
        self.repository.list().unwrap()
    }

    /// The names of all objects of backups.
    pub fn objects(&self) -> Vec<Name> {
        self.memory.names().into_iter().filter(|name| name.as_str().contains('/')).collect()
    }

    pub fn steps(&self, numbers: std::ops::Range<u64>) {
        for n in numbers {
            self.step(n);
        }
    }

    /// Makes a change, chosen by a number.
    pub fn step(&self, n: u64) -> Seen {
        self.clock.fetch_add(1 + (n % 3) as i64, Ordering::Relaxed);
        step(self.engine(), n);
        see(self.engine())
    }
}

/// An engine that has all keys in memory.
pub fn open(dir: &Path, clock: &Arc<AtomicI64>, node: u8) -> Engine {
    let engine = Engine::open(dir, options(clock, node)).unwrap();
    engine.fill().unwrap();
    engine
}

pub fn see(engine: &Engine) -> Seen {
    Seen { last: engine.backup_moment().unwrap().last, digest: digest(engine) }
}

pub fn digest(engine: &Engine) -> Digest {
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    let digest = context.state.digest().unwrap();
    context.abort();
    digest
}

fn step(engine: &Engine, n: u64) {
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::All, (n / 7 % 2) as u8, engine.now_ms(), &mut recycled);
    let kind = if n.is_multiple_of(3) { Kind::Hash } else { Kind::String };
    let key = format!("{kind:?}:{}", n % 17).into_bytes();
    let exists = context.state.exists(&key).unwrap();
    match n % 11 {
        0 if n.is_multiple_of(5) => context.out.emit(b"", false, Op::FlushDb),
        0 | 1 if exists => context.out.remove(&key),
        2 => context.out.swap_dbs(0, 1),
        _ if kind == Kind::String => {
            // Some are so large that they are several rows.
            let bytes = vec![n as u8; if n.is_multiple_of(7) { 100_000 } else { 300 }];
            context.out.emit(&key, !exists, Op::Patch(Patch::Append(&bytes)));
        }
        _ => {
            let fields: Vec<String> = (0..n % 40).map(|f| format!("field {}", n.wrapping_mul(f) % 900)).collect();
            let mut items = context.out.items(Kind::Hash, Merge::LastWriter);
            let value = n.to_string();
            let mut fields: Vec<&[u8]> = fields.iter().map(String::as_bytes).collect();
            fields.push(b"one");
            fields.sort_unstable();
            fields.dedup();
            for id in fields {
                items.push(Item { id, value: ItemValue::Bytes(value.as_bytes()) });
            }
            let deadline = Deadline::Clear;
            let put = Op::Put { kind: Kind::Hash, merge: Merge::LastWriter, deadline, items: items.seq() };
            context.out.emit(&key, !exists, put);
        }
    }
    context.commit().unwrap();
}

/// What there was at a moment.
pub fn at(seen: &[Seen], last: Hlc) -> Seen {
    *seen.iter().rfind(|seen| seen.last <= last).expect("a moment behind the first")
}

/// What there was at the end of a millisecond.
pub fn at_ms(seen: &[Seen], ms: i64) -> Seen {
    *seen.iter().rfind(|seen| seen.last.ms() <= ms).expect("a moment behind the first")
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}
