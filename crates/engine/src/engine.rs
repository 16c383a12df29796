//! The engine: all shards of a node, their log, and how they are opened, kept and closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use effect::{Dot, GroupId, HashSeed, Hlc, HlcClock, KeyHash, Origin, RecordEnd, Vector};
use envelope::Keyring;
use parking_lot::Mutex;
use wal::Log;

use crate::again;
use crate::backup::Kept;
use crate::checkpoint::{self, CheckpointFigures, CheckpointPolicy, CheckpointReport, Checkpoints};
use crate::ciphers::Ciphers;
use crate::context::{Context, Recycled};
use crate::counts::{Counts, KeyCounts};
use crate::error::{CheckpointError, OpenError, Refusal};
use crate::events::{EventClass, EventSink, Events};
use crate::exclusive::Exclusives;
use crate::feed::Waymarks;
use crate::guards::Guards;
use crate::held::Held;
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::keyspace::{self, Keyspaces, Worker};
use crate::limits::{BATCH_BYTES_MAX, CEILING_AHEAD_MS, CEILING_STEP_MS, DATABASES_MAX, SHARDS};
use crate::reaper::Reaper;
use crate::recover;
use crate::replica::{Heads, Replication};
use crate::residency::{self, Filler, Residency};
use crate::shard::{DbKey, Shard, ShardId, Ticket, WatchFlag};
use crate::state::State;
use crate::stop::{Known, Place, Probe};
use crate::suffix::Swaps;
use crate::value::{Entry, Limits};

/// The kind of log record that holds batches. 1 was a single batch, before the first release.
pub(crate) const RECORD_BATCHES: wal::Kind = wal::Kind::new(2).expect("2 is a kind of an owner");

/// Where the log is, within the data directory.
pub(crate) const LOG: &str = "log";

/// Answers unix ms.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How an engine is opened.
#[derive(Clone)]
pub struct Options {
    /// How the log is written.
    pub log: wal::Options,
    /// Unix ms, handed in so that tests and simulation own the time.
    pub clock: WallClock,
    /// Entropy for a database that is created.
    pub entropy: [u8; 22],
    /// Sizes at which small collections become large ones.
    pub limits: Limits,
    /// Largest batch in bytes.
    pub batch_bytes: usize,
    /// When checkpoints are taken.
    pub checkpoint: CheckpointPolicy,
    /// Bytes of log that are kept for the next backup, at most, if there has been one.
    pub backup_log_bytes: u64,
    /// Bytes of log that are kept for an archive that is behind, at most; 0: there is none.
    pub archive_log_bytes: u64,
    /// Bytes of log between two records of what is stable, where there are other replicas.
    pub state_bytes: u64,
    /// Bytes from which on the value of a row stands apart from it.
    pub large_value_bytes: usize,
    /// Which values the disk tiers of caches give up first.
    pub disk_policy: blob::PolicyKind,
    /// What everything in the data directory is encrypted under, if it is.
    pub keyring: Option<Keyring>,
    /// Bytes that the process may allocate, see [`Engine::set_memory`].
    pub memory: u64,
    /// Whether a thread brings into memory what a start has found at rest. Without it keys come when they are asked for.
    pub fills: bool,
    /// Has state accesses miss at random, by this seed: for tests of commands.
    pub miss_at_random: Option<u64>,
}

impl Options {
    /// The defaults, with a clock and entropy.
    pub fn new(clock: WallClock, entropy: [u8; 22]) -> Self {
        let limits = Limits::default();
        Self {
            log: wal::Options::default(),
            clock,
            entropy,
            limits,
            batch_bytes: BATCH_BYTES_MAX,
            disk_policy: blob::PolicyKind::Clock,
            keyring: None,
            miss_at_random: None,
            fills: true,
            memory: 0,
            checkpoint: CheckpointPolicy::default(),
            backup_log_bytes: crate::limits::BACKUP_LOG_BYTES,
            archive_log_bytes: 0,
            state_bytes: crate::limits::STATE_BYTES,
            large_value_bytes: crate::limits::LARGE_VALUE_BYTES,
        }
    }
}

/// What the append lock of the log also protects.
#[derive(Debug)]
pub struct Sequencer {
    pub(crate) next_seq: u64,
    /// Where the last record of batches ends, to which the next batch may be added.
    pub(crate) record_end: Option<RecordEnd>,
    pub(crate) clock: HlcClock,
    /// Whether this node may write: a member of a group must know first what its origin is.
    pub(crate) is_open: bool,
    /// What is in the log of other origins, those included under which this node wrote before.
    pub(crate) others: Vector,
    /// Where in the log what was.
    pub(crate) waymarks: Waymarks,
    /// Who wrote last when.
    pub(crate) heads: Heads,
    /// Where the log must have come for it to be said again what is stable.
    pub(crate) state_due: u64,
}

impl Sequencer {
    /// All that is in the log, where this node writes as `own`.
    pub(crate) fn vector(&self, own: Origin) -> Vector {
        let mut vector = self.others.clone();
        vector.add(Dot { origin: own, seq: self.next_seq - 1 });
        vector
    }
}

/// Bounds that can be changed while commands run.
#[derive(Debug)]
pub(crate) struct LiveLimits {
    batch_bytes: AtomicUsize,
}

impl LiveLimits {
    pub(crate) fn batch_bytes(&self) -> usize {
        self.batch_bytes.load(Ordering::Relaxed)
    }
}

/// What contexts share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) group: GroupId,
    /// See [`Shared::origin`].
    origin: AtomicU64,
    pub(crate) seed: HashSeed,
    pub(crate) shards: Box<[Mutex<Shard>]>,
    /// By shard: when its wheels have work next, unix ms.
    pub(crate) due: Box<[AtomicI64]>,
    /// Physical number by logical number.
    dbs: Box<[AtomicU8]>,
    /// The other way round.
    logical_dbs: Box<[AtomicU8]>,
    pub(crate) log: Log<Sequencer>,
    pub(crate) ciphers: Ciphers,
    pub(crate) limits: LiveLimits,
    pub(crate) reaper: Reaper,
    /// Keys of each database, kept by whoever holds a shard's lock.
    pub(crate) counts: Counts,
    /// Keys reclaimed after their deadline.
    pub(crate) expired: AtomicU64,
    /// Fields of hashes reclaimed after their deadline.
    pub(crate) expired_fields: AtomicU64,
    /// Whether the keeper reclaims what has expired; readers hide it in any case.
    pub(crate) reclaims: AtomicBool,
    pub(crate) clock: WallClock,
    identity: Mutex<Identity>,
    /// Held by whoever writes that file.
    pub(crate) membership: Mutex<()>,
    /// Waiters and watches that exist; nobody is told of changes while there is none.
    listeners: AtomicUsize,
    pub(crate) events: Events,
    pub(crate) disk_policy: blob::PolicyKind,
    miss_seed: Option<AtomicU64>,
    /// Large values that a checkpoint is taking.
    pub(crate) held: Held,
    pub(crate) checkpoints: Checkpoints,
    /// Log that is kept below the last checkpoint, for backups.
    pub(crate) kept: Kept,
    pub(crate) keyspaces: Keyspaces,
    pub(crate) residency: Residency,
    /// Whether there are other replicas, and what all of them have.
    pub(crate) replication: Replication,
    /// Transactions whose verdict has not come, or not to everybody.
    pub(crate) exclusives: Exclusives,
    /// Databases that were exchanged a short time ago, where there are.
    pub(crate) swaps: Mutex<Swaps>,
    /// Unix seconds of the command that began last: the access clock of keys that are made.
    seconds: AtomicU32,
}

impl Shared {
    /// The origin under which this node writes. It changes only while nothing may be written.
    #[inline]
    pub(crate) fn origin(&self) -> Origin {
        Origin(self.origin.load(Ordering::Relaxed))
    }

    /// From now on this node writes as `origin`, of which nothing is in the log. Nothing may be written meanwhile.
    pub(crate) fn take_origin(&self, origin: Origin) -> std::io::Result<()> {
        self.note_durable(|identity| identity.origin = origin)?;
        let mut log = self.log.lock();
        let before = self.origin();
        let sequencer = log.state();
        sequencer.note_own_head(before);
        sequencer.others.add(Dot { origin: before, seq: sequencer.next_seq - 1 });
        (sequencer.next_seq, sequencer.record_end) = (1, None);
        self.origin.store(origin.0, Ordering::Relaxed);
        Ok(())
    }

    /// Unix seconds, for access clocks; no state depends on it.
    #[inline]
    pub(crate) fn seconds(&self) -> u32 {
        self.seconds.load(Ordering::Relaxed)
    }

    #[inline]
    fn note_time(&self, now_ms: i64) {
        let seconds = (now_ms / 1000) as u32;
        // Written once a second, so that threads do not take the line from each other.
        if self.seconds() != seconds {
            self.seconds.store(seconds, Ordering::Relaxed);
        }
    }

    /// The physical number of a logical database. Stable while any shard is locked.
    #[inline]
    pub(crate) fn physical(&self, db: u8) -> u8 {
        self.dbs[usize::from(db)].load(Ordering::Relaxed)
    }

    /// Sets the physical numbers of all logical databases: as a checkpoint has them.
    pub(crate) fn set_physical(&self, numbers: &[u8]) {
        for (db, number) in (0..=u8::MAX).zip(numbers) {
            self.set_number(db, *number);
        }
    }

    fn set_number(&self, logical: u8, physical: u8) {
        self.dbs[usize::from(logical)].store(physical, Ordering::Relaxed);
        self.logical_dbs[usize::from(physical)].store(logical, Ordering::Relaxed);
    }

    /// The logical database that has this physical number. Stable while any shard is locked.
    #[inline]
    pub(crate) fn logical(&self, physical: u8) -> u8 {
        self.logical_dbs[usize::from(physical)].load(Ordering::Relaxed)
    }

    /// Exchanges two logical databases; every shard is locked.
    pub(crate) fn swap_dbs(&self, a: u8, b: u8) {
        let (x, y) = (self.physical(a), self.physical(b));
        self.set_number(a, y);
        self.set_number(b, x);
    }

    /// The ordering hash of a key.
    #[inline]
    pub(crate) fn order_of(&self, key: &[u8]) -> u64 {
        self.place_of(key).order
    }

    /// The place of a key.
    #[inline]
    pub(crate) fn place_of(&self, key: &[u8]) -> Place {
        Place::from(KeyHash::of(&self.seed, key))
    }

    /// Takes a value that nobody can see any more: a large one is freed aside, a frozen one first goes to its checkpoint.
    #[inline]
    pub(crate) fn free(&self, mut entry: Entry) {
        if let Entry::Big(..) = entry {
            self.checkpoints.bury(&mut entry);
        }
        match entry.image().map(|image| image.incarnation) {
            Some(id) => self.held.gone(id, entry).into_iter().for_each(|entry| self.reaper.free_entry(entry)),
            None => self.reaper.free_entry(entry),
        }
    }

    #[inline]
    pub(crate) fn has_listeners(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) != 0
    }

    /// Whether anybody is told of keys that are written without being changed.
    #[inline]
    pub(crate) fn notes_rewrites(&self) -> bool {
        self.has_listeners() || self.events.wanted() != EventClass::default()
    }

    pub(crate) fn count_listener(&self) {
        self.listeners.fetch_add(1, Ordering::Relaxed);
    }

    fn uncount_listener(&self) {
        self.listeners.fetch_sub(1, Ordering::Relaxed);
    }

    /// What this node's clock may have given, at most.
    pub(crate) fn ceiling(&self) -> Hlc {
        self.identity.lock().ceiling
    }

    /// Makes a ceiling durable that allows `wanted` and some time beyond it.
    pub(crate) fn raise_ceiling(&self, wanted: Hlc) -> Result<(), Refusal> {
        let mut identity = self.identity.lock();
        // Not from what is wanted: after each crash the clock begins at the ceiling, and would run away from the wall.
        let ahead = Hlc::at_ms(((self.clock)() + CEILING_AHEAD_MS).max(wanted.ms() + CEILING_STEP_MS));
        if identity.ceiling < ahead {
            let durable = self.log.durable().get().max(identity.durable);
            let raised = Identity { ceiling: ahead, durable, ..identity.clone() };
            raised.save(&self.dir).map_err(Refusal::Ceiling)?;
            *identity = raised;
        }
        self.log.lock().state().clock.raise_ceiling(identity.ceiling);
        Ok(())
    }

    /// Notes, durably, how far the log is durable, so that a loss below that is noticed at the next start; `change` is
    /// made at the same time.
    pub(crate) fn note_durable(&self, change: impl FnOnce(&mut Identity)) -> std::io::Result<()> {
        let mut identity = self.identity.lock();
        let durable = self.log.durable().get().max(identity.durable);
        let mut noted = Identity { durable, ..identity.clone() };
        change(&mut noted);
        noted.save(&self.dir)?;
        *identity = noted;
        Ok(())
    }

    /// Bytes of log behind the last checkpoint.
    pub(crate) fn log_bytes(&self) -> u64 {
        // Not from the log's beginning: more of it may be kept, for a backup.
        self.log.written().get().saturating_sub(self.checkpoints.position().get())
    }

    pub(crate) fn probe(&self) -> Probe {
        match &self.miss_seed {
            None => Probe::default(),
            Some(seed) => {
                // Weyl sequence, finished by the mixer of splitmix64.
                let z = seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
                let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                Probe::missing_once(z ^ z >> 27)
            }
        }
    }
}

/// Which shards a command locks.
#[derive(Debug, Clone, Copy)]
pub enum Lock<'a> {
    /// The one of this key, which [`Engine::foresee`] may have placed already.
    Key(&'a [u8], Option<Place>),
    /// These, ascending and without repetition.
    Some(&'a [ShardId]),
    /// All of them.
    All,
}

/// All keys of a node, and the log of their changes.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    keeper: Option<Keeper>,
    filler: Option<Filler>,
    pub(crate) keyspace_worker: Mutex<Option<Worker>>,
}

impl Engine {
    /// Opens the database in `dir`, or creates one there.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: Identity::path(dir), source };
        again::tidy(dir).map_err(io)?;
        let (identity, log, ciphers) = open_log(dir, &options)?;
        let kept = Kept::load(dir, options.backup_log_bytes, options.archive_log_bytes)?;
        let reaper = Reaper::start().map_err(io)?;
        let limits = Limits { seed: identity.seed, ..options.limits };
        let shard = || Mutex::new(Shard { limits, ..Shard::default() });
        let shared = Arc::new(Shared {
            dir: dir.into(),
            group: GroupId(0),
            origin: AtomicU64::new(identity.origin.0),
            seed: identity.seed,
            shards: (0..SHARDS).map(|_| shard()).collect(),
            due: (0..SHARDS).map(|_| AtomicI64::new(i64::MAX)).collect(),
            dbs: (0..DATABASES_MAX).map(|db| AtomicU8::new(db as u8)).collect(),
            logical_dbs: (0..DATABASES_MAX).map(|db| AtomicU8::new(db as u8)).collect(),
            log,
            ciphers,
            limits: LiveLimits { batch_bytes: AtomicUsize::new(options.batch_bytes) },
            reaper,
            seconds: AtomicU32::new(((options.clock)() / 1000) as u32),
            counts: Counts::new((options.clock)()),
            expired: AtomicU64::new(0),
            expired_fields: AtomicU64::new(0),
            reclaims: AtomicBool::new(true),
            clock: options.clock,
            identity: Mutex::new(identity),
            membership: Mutex::default(),
            listeners: AtomicUsize::new(0),
            events: Events::default(),
            disk_policy: options.disk_policy,
            miss_seed: options.miss_at_random.map(AtomicU64::new),
            held: Held::default(),
            checkpoints: Checkpoints::new(options.checkpoint, options.large_value_bytes),
            kept,
            keyspaces: Keyspaces::default(),
            residency: Residency::default(),
            replication: Replication::new(options.state_bytes),
            exclusives: Exclusives::default(),
            swaps: Mutex::default(),
        });
        shared.residency.set_memory(options.memory);
        recover::recover(&shared)?;
        again::hold(&shared)?;
        // Only now: whoever is refused finds the directory as it was, and is refused again.
        shared.note_durable(|_| {}).map_err(io)?;
        let engine = Self { keeper: None, filler: None, keyspace_worker: Mutex::new(None), shared };
        if engine.has_keyspaces() {
            keyspace::open_all(&engine);
            engine.start_keyspace_worker().map_err(io)?;
        }
        let keeper = Some(Keeper::start(Arc::clone(&engine.shared)).map_err(io)?);
        let filler = options.fills.then(|| Filler::start(Arc::clone(&engine.shared)).map_err(io)).transpose()?;
        Ok(Self { keeper, filler, ..engine })
    }

    /// The same engine for one of its own threads.
    pub(crate) fn behind(shared: Arc<Shared>) -> Self {
        Self { keeper: None, filler: None, keyspace_worker: Mutex::new(None), shared }
    }

    /// Locks shards and begins a context that reads as of `now_ms` (unix ms) in logical database `db`.
    #[inline]
    pub fn context<'e>(&'e self, lock: Lock<'e>, db: u8, now_ms: i64, recycled: &'e mut Recycled) -> Context<'e> {
        let shared = &*self.shared;
        let now_ms = shared.reading_ms(now_ms);
        shared.note_time(now_ms);
        let guard = |id: ShardId| (id, shared.shards[usize::from(id.0)].lock());
        let mut known = None;
        let guards = match lock {
            Lock::Key(key, place) => {
                let place = place.unwrap_or_else(|| shared.place_of(key));
                debug_assert_eq!(place, shared.place_of(key), "what was noted is the place of this very key");
                known = Some(Known::new(key, place));
                Guards::one(guard(place.shard))
            }
            Lock::Some(ids) => Guards::new(ids.iter().map(|id| guard(*id))),
            Lock::All => Guards::new((0..SHARDS).map(|id| guard(ShardId(id as u8)))),
        };
        Context::new(shared, State::new(shared, guards, known, now_ms, db), recycled)
    }

    /// The shard of a key.
    #[inline]
    pub fn shard_of(&self, key: &[u8]) -> ShardId {
        ShardId::of(key)
    }

    /// The log, to commit and to ask for its health and figures.
    pub fn log(&self) -> &Log<Sequencer> {
        &self.shared.log
    }

    /// Whether what goes to the log and to rest is encrypted. Disk tiers of caches are not.
    pub fn is_encrypted(&self) -> bool {
        self.shared.ciphers.is_on()
    }

    /// Unix ms by the clock that the engine was given.
    pub fn now_ms(&self) -> i64 {
        (self.shared.clock)()
    }

    /// Those who wait for `key`, in the order in which they came.
    pub fn waiters(&self, key: &DbKey) -> Vec<Ticket> {
        let shard = self.shard_of(&key.1);
        let shard = self.shared.shards[usize::from(shard.0)].lock();
        shard.waiters.get(key).map(|queue| queue.iter().copied().collect()).unwrap_or_default()
    }

    /// Ends the wait of `ticket` for `keys` (logical database and key, as they were registered).
    pub fn stop_waiting(&self, keys: &[DbKey], ticket: Ticket) {
        for (db, key) in keys {
            let shard = self.shard_of(key);
            if self.shared.shards[usize::from(shard.0)].lock().drop_waiter(*db, key, ticket) {
                self.shared.uncount_listener();
            }
        }
    }

    /// Ends the watch of `keys` with `flag`.
    pub fn stop_watching(&self, keys: &[DbKey], flag: &WatchFlag) {
        for (db, key) in keys {
            let shard = self.shard_of(key);
            if self.shared.shards[usize::from(shard.0)].lock().drop_watch(*db, key, flag) {
                self.shared.uncount_listener();
            }
        }
    }

    /// Changes the sizes at which small collections become large ones.
    pub fn set_limits(&self, limits: Limits) {
        let limits = Limits { seed: self.shared.seed, ..limits };
        for shard in &self.shared.shards {
            shard.lock().limits = limits;
        }
    }

    /// Brings everything into memory that is at rest only.
    pub fn fill(&self) -> Result<(), OpenError> {
        residency::complete(&self.shared)
    }

    /// Has a checkpoint taken in the background; false if one is being taken already.
    pub fn request_checkpoint(&self) -> bool {
        checkpoint::request(&self.shared)
    }

    /// Takes a checkpoint and waits for it.
    pub fn checkpoint(&self) -> Result<CheckpointReport, CheckpointError> {
        checkpoint::take(&self.shared)
    }

    /// Where replay begins behind the last checkpoint.
    pub fn checkpoint_position(&self) -> wal::Position {
        self.shared.checkpoints.position()
    }

    /// Whether a checkpoint is being taken in the background.
    pub fn is_checkpointing(&self) -> bool {
        self.shared.checkpoints.is_running()
    }

    /// How checkpoints have gone.
    pub fn checkpoint_figures(&self) -> CheckpointFigures {
        self.shared.checkpoints.figures()
    }

    /// Changes when checkpoints are taken.
    pub fn set_checkpoint_policy(&self, policy: CheckpointPolicy) {
        self.shared.checkpoints.set_policy(policy);
    }

    /// Changes from how many bytes on the value of a row stands apart from it. Rows that are at rest stay as they are.
    pub fn set_large_value_bytes(&self, bytes: usize) {
        self.shared.checkpoints.set_large_value_bytes(bytes);
    }

    /// Says which classes of events are handed out; none: commands do not look for them.
    pub fn want_events(&self, classes: EventClass) {
        self.shared.events.want(classes);
    }

    /// Says who is told of events. False if that has been said before: then it stays as it is.
    pub fn set_event_sink(&self, sink: EventSink) -> bool {
        self.shared.events.set_sink(sink)
    }

    /// Changes the bound on batches, in bytes.
    pub fn set_batch_bytes(&self, bytes: usize) {
        self.shared.limits.batch_bytes.store(bytes.min(BATCH_BYTES_MAX), Ordering::Relaxed);
    }

    /// Keys that have been reclaimed after their deadline, since the start.
    pub fn expired_keys(&self) -> u64 {
        self.shared.expired.load(Ordering::Relaxed)
    }

    /// Fields of hashes that have been reclaimed after their deadline, since the start.
    pub fn expired_fields(&self) -> u64 {
        self.shared.expired_fields.load(Ordering::Relaxed)
    }

    /// How many keys a logical database has; takes no lock.
    pub fn key_counts(&self, db: u8) -> KeyCounts {
        self.shared.counts.get(self.shared.physical(db), self.now_ms())
    }

    /// Stops and starts the reclaiming of what has expired, for tests that want to see it kept; it stays hidden.
    pub fn set_reclaiming(&self, on: bool) {
        self.shared.reclaims.store(on, Ordering::Relaxed);
    }

    /// Makes everything durable, proves the stop clean and ends.
    pub fn close(mut self) -> Result<(), Refusal> {
        self.keeper.take();
        self.filler.take();
        self.shared.checkpoints.hurry();
        self.shared.checkpoints.stop();
        self.close_keyspaces();
        let end = self.shared.log.finish()?;
        let ceiling = self.shared.log.lock().state().clock.last();
        let stopped = |identity: &mut Identity| (identity.clean, identity.ceiling) = (Some(end.get()), ceiling);
        self.shared.note_durable(stopped).map_err(Refusal::Ceiling)?;
        tracing::info!(position = end.get(), "the log was closed cleanly");
        Ok(())
    }
}

/// Opens the log, which must reach as far as the identity says that it was durable. The identity is as it is to be saved once
/// the data has been read.
fn open_log(dir: &Path, options: &Options) -> Result<(Identity, Log<Sequencer>, Ciphers), OpenError> {
    std::fs::create_dir_all(dir).map_err(|source| OpenError::Io { path: dir.into(), source })?;
    let (mut identity, known) = match Identity::load(dir)? {
        Some(identity) => (identity, true),
        None => {
            refuse_data_without_identity(dir)?;
            (Identity::mint(options.entropy), false)
        }
    };
    let sequencer = Sequencer {
        next_seq: 1,
        record_end: None,
        clock: HlcClock::above(identity.ceiling),
        is_open: true,
        others: Vector::new(),
        waymarks: Waymarks::default(),
        heads: Heads::default(),
        state_due: 0,
    };
    let ciphers = Ciphers::open(dir, options.keyring.as_ref())?;
    let log_options = wal::Options { reaches: identity.reaches(), cipher: ciphers.log.clone(), ..options.log.clone() };
    let opened = Log::open(dir.join(LOG), log_options, sequencer);
    let (log, recovery) = opened.map_err(|error| OpenError::of_log(dir, error))?;
    tell_of_cut(&recovery);
    if !known {
        // Before anything can be written, and not before nobody else can begin here.
        identity.save(dir).map_err(|source| OpenError::Io { path: Identity::path(dir), source })?;
    }
    let clean = identity.clean == Some(log.end().get());
    if known && !clean {
        let incarnation = identity.origin.incarnation().wrapping_add(1).max(1);
        identity.origin = Origin::new(identity.origin.node(), incarnation);
        tracing::info!(incarnation, "the last stop was not a clean one: the node goes on under a new incarnation");
    }
    identity.clean = None;
    identity.ceiling = identity.ceiling.max(Hlc::at_ms((options.clock)() + CEILING_AHEAD_MS));
    log.lock().state().clock.raise_ceiling(identity.ceiling);
    Ok((identity, log, ciphers))
}

/// Says what was cut off the log.
fn tell_of_cut(recovery: &wal::Recovery) {
    if let wal::Tail::Cut { file, offset, bytes, reason } = &recovery.tail {
        tracing::warn!(
            file,
            offset,
            bytes,
            %reason,
            "the log ended with half a write, which was never known to be durable: it was cut off"
        );
    }
}

/// A new database begins where there is no data of another. A log without records is none: the process that began it ended
/// before it had saved its identity.
fn refuse_data_without_identity(dir: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: dir.into(), source };
    let log = dir.join(LOG);
    let holds_data = || -> Result<bool, OpenError> {
        if !has_segments(&log).map_err(io)? {
            return Ok(false);
        }
        let report = wal::check(&log, wal::Position::START, wal::Position::START)?;
        Ok(report.good_records > 0 || report.fault.is_some() || report.first > wal::Position::START)
    };
    let rows = dir.join(checkpoint::ROWS);
    let beside = match rows.exists() {
        true => rows,
        false if holds_data()? => log,
        false => return Ok(()),
    };
    Err(OpenError::NoIdentity { path: Identity::path(dir), beside })
}

/// Whether a directory, if there is one, holds segments of a log.
pub(crate) fn has_segments(dir: &Path) -> std::io::Result<bool> {
    let is_segment =
        |name: &std::ffi::OsStr| name.to_str().is_some_and(|n| wal::format::parse_segment_name(n).is_some());
    match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        found => Ok(found?.flatten().any(|entry| is_segment(&entry.file_name()))),
    }
}

impl From<Refusal> for crate::stop::Stop {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string().into()
    }
}
