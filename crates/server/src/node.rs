//! What all I/O threads share: the engine, the configuration, clients, subscriptions, waiting clients, figures.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use command::Env;
use engine::Engine;
use parking_lot::{Mutex, RwLock};
use replication::Member;

use crate::archiver::Archiver;
use crate::backups::Backups;
use crate::broker::Broker;
use crate::client::ClientInfo;
use crate::config::Config;
use crate::effect_logs::EffectLogs;
use crate::lobby::Lobby;
use crate::memory::{Allocator, AllocatorFigures, Unknown};
use crate::message::Message;
use crate::net::{ClientAddr, ClientId, Control, Now};
use crate::readers::Readers;
use crate::stats::Stats;
use crate::waiting::Waiting;

/// Time between looks at memory and rates, in ms: a tick of the I/O threads, less what a tick may come early.
const LOOK_MS: u64 = 90;

/// Time between warnings of requests from browsers, in ms: who sends them can send many.
const HTTP_WARNING_MS: u64 = 60_000;

/// One server process.
pub struct Node {
    /// The data.
    pub engine: Arc<Engine>,
    /// The configuration.
    pub config: Config,
    /// The I/O threads.
    pub control: Control<Message>,
    /// Subscriptions.
    pub broker: Arc<Broker>,
    /// Clients that wait for data.
    pub waiting: Waiting,
    /// The backup that is being taken, and how the last one ended.
    pub backups: Backups,
    /// What stores the log as it is written.
    pub archiver: Archiver,
    /// The search of the log that is going on.
    pub effect_logs: EffectLogs,
    /// Threads that read what commands miss.
    pub readers: Readers,
    /// Writers that wait for room in memory.
    pub lobby: Lobby,
    /// Figures.
    pub stats: Stats,
    /// 40 hex digits that name this run of the process.
    pub run_id: String,
    /// When the process began to serve.
    pub started: Instant,
    /// The same in unix ms.
    pub started_ms: i64,
    /// When everything was last made durable as a whole, unix seconds.
    pub last_save_s: AtomicI64,
    /// How often a client asked for that.
    pub saves: AtomicU64,
    /// Records that the log had then.
    pub saved_records: AtomicU64,
    clients: RwLock<BTreeMap<ClientId, (ClientAddr, Arc<ClientInfo>)>>,
    env: RwLock<Arc<Env>>,
    env_version: AtomicU64,
    monitors: RwLock<Vec<ClientAddr>>,
    pause: Mutex<Option<Pause>>,
    paused: AtomicBool,
    next_ticket: AtomicU64,
    stop: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    allocator: OnceLock<Arc<dyn Allocator>>,
    member: OnceLock<Arc<Member>>,
    starts_anew: AtomicBool,
    startup_memory: AtomicU64,
    next_look: AtomicU64,
    /// When the next warning of requests from browsers may be logged, unix ms.
    next_http_warning: AtomicU64,
}

/// A CLIENT PAUSE in force.
#[derive(Debug, Clone, Copy)]
pub struct Pause {
    /// When it ends, unix ms.
    pub until_ms: i64,
    /// It holds all commands back, not only writes.
    pub all: bool,
}

impl Node {
    /// A node that serves `engine`; `stop` begins the shutdown of the process.
    pub fn new(
        engine: Arc<Engine>,
        config: Config,
        control: Control<Message>,
        run_id: String,
        stop: Box<dyn FnOnce() + Send>,
    ) -> Self {
        let env = Arc::new(crate::settings::env_of(&config.settings()));
        let started_ms = engine.now_ms();
        let broker = Arc::new(Broker::new(control.post().clone()));
        let listener = Arc::clone(&broker);
        engine.set_event_sink(Box::new(move |event, position| listener.notify(event, position)));
        let reader_threads = config.settings().process.rest_read_threads;
        let readers = Readers::new(Arc::clone(&engine), control.post().clone(), reader_threads);
        Self {
            engine,
            config,
            broker,
            control,
            waiting: Waiting::default(),
            backups: Backups::default(),
            archiver: Archiver::default(),
            effect_logs: EffectLogs::default(),
            readers,
            lobby: Lobby::default(),
            stats: Stats::default(),
            run_id,
            started: Instant::now(),
            started_ms,
            last_save_s: AtomicI64::new(started_ms / 1000),
            saves: AtomicU64::new(0),
            saved_records: AtomicU64::new(0),
            clients: RwLock::default(),
            env: RwLock::new(env),
            env_version: AtomicU64::new(0),
            monitors: RwLock::default(),
            pause: Mutex::new(None),
            paused: AtomicBool::new(false),
            next_ticket: AtomicU64::new(1),
            stop: Mutex::new(Some(stop)),
            allocator: OnceLock::new(),
            member: OnceLock::new(),
            starts_anew: AtomicBool::new(false),
            startup_memory: AtomicU64::new(0),
            next_look: AtomicU64::new(0),
            next_http_warning: AtomicU64::new(0),
        }
    }

    /// The settings that commands read, and their version.
    pub fn env(&self) -> (Arc<Env>, u64) {
        (Arc::clone(&self.env.read()), self.env_version())
    }

    /// Changes whenever the settings that commands read do.
    #[inline]
    pub fn env_version(&self) -> u64 {
        self.env_version.load(Ordering::Acquire)
    }

    /// Exchanges the settings that commands read.
    pub fn set_env(&self, env: Env) {
        self.engine.set_limits(env.limits);
        *self.env.write() = Arc::new(env);
        self.env_version.fetch_add(1, Ordering::Release);
    }

    /// A name for a client's wait that was never used before.
    pub fn ticket(&self) -> engine::Ticket {
        engine::Ticket(self.next_ticket.fetch_add(1, Ordering::Relaxed))
    }

    /// A client came.
    pub fn add_client(&self, addr: &ClientAddr, info: Arc<ClientInfo>) {
        self.clients.write().insert(addr.id(), (addr.clone(), info));
    }

    /// A client went.
    pub fn remove_client(&self, id: ClientId) {
        self.clients.write().remove(&id);
        self.monitors.write().retain(|addr| addr.id() != id);
    }

    /// All clients, by id.
    pub fn clients(&self) -> Vec<(ClientAddr, Arc<ClientInfo>)> {
        self.clients.read().values().cloned().collect()
    }

    /// The client with this id.
    pub fn client(&self, id: ClientId) -> Option<(ClientAddr, Arc<ClientInfo>)> {
        self.clients.read().get(&id).cloned()
    }

    /// How many clients there are.
    pub fn client_count(&self) -> usize {
        self.clients.read().len()
    }

    /// Whether any client monitors.
    #[inline]
    pub fn has_monitors(&self) -> bool {
        self.stats.monitors.load(Ordering::Relaxed) != 0
    }

    /// A client wants to see every command.
    pub fn add_monitor(&self, addr: &ClientAddr) {
        let mut monitors = self.monitors.write();
        if monitors.iter().all(|m| m.id() != addr.id()) {
            monitors.push(addr.clone());
        }
        self.stats.monitors.store(monitors.len() as u64, Ordering::Relaxed);
    }

    /// A client has seen enough.
    pub fn remove_monitor(&self, id: ClientId) {
        let mut monitors = self.monitors.write();
        monitors.retain(|addr| addr.id() != id);
        self.stats.monitors.store(monitors.len() as u64, Ordering::Relaxed);
    }

    /// Sends a line to everybody who monitors.
    pub fn tell_monitors(&self, line: &[u8]) {
        let bytes: Arc<[u8]> = line.into();
        for addr in self.monitors.read().iter() {
            // A monitor that is gone or too slow misses the line; the I/O loop closes the slow.
            let _ = self.control.post().send(addr, Message::Line(Arc::clone(&bytes)), line.len());
        }
    }

    /// The pause in force at `now_ms`, if any.
    #[inline]
    pub fn pause(&self, now_ms: i64) -> Option<Pause> {
        if !self.paused.load(Ordering::Relaxed) {
            return None;
        }
        let mut pause = self.pause.lock();
        if pause.is_some_and(|p| p.until_ms <= now_ms) {
            *pause = None;
            self.paused.store(false, Ordering::Relaxed);
        }
        *pause
    }

    /// Begins, changes or (with `None`) ends a pause.
    pub fn set_pause(&self, pause: Option<Pause>) {
        *self.pause.lock() = pause;
        self.paused.store(pause.is_some(), Ordering::Relaxed);
    }

    /// Wakes clients that a pause holds back.
    pub fn release_held(&self) {
        for (addr, _) in self.clients() {
            // A client that is gone has nothing left to do.
            let _ = self.control.post().send(&addr, Message::Unpaused, 0);
        }
    }

    /// Says that this server is a member of a group; only the first call counts.
    pub(crate) fn set_member(&self, member: Arc<Member>) {
        // A server is started once.
        let _ = self.member.set(member);
    }

    /// This server as a member of its group, if it is one.
    pub fn member(&self) -> Option<&Arc<Member>> {
        self.member.get()
    }

    /// Says which allocator the program uses, and the bytes that were allocated before any data was loaded; only the first
    /// call counts.
    pub fn set_allocator(&self, allocator: Arc<dyn Allocator>, startup_bytes: u64) {
        // A second one has nothing to add: a program has one allocator.
        let gauge = Arc::clone(&allocator);
        if self.allocator.set(allocator).is_ok() {
            self.engine.set_memory_gauge(Arc::new(move || gauge.figures().allocated));
            self.startup_memory.store(startup_bytes, Ordering::Relaxed);
            self.look_at_memory();
        }
    }

    /// The allocator of the program.
    pub fn allocator(&self) -> &dyn Allocator {
        self.allocator.get().map_or(&Unknown, |allocator| &**allocator)
    }

    /// What the allocator says now; notes the peak and whether `maxmemory` is passed.
    pub fn look_at_memory(&self) -> AllocatorFigures {
        self.watch_memory(self.config.settings().maxmemory)
    }

    /// The same with a bound that is about to become `maxmemory`.
    pub fn watch_memory(&self, limit: u64) -> AllocatorFigures {
        let figures = self.allocator().figures();
        self.stats.over_memory.store(limit > 0 && figures.allocated > limit, Ordering::Relaxed);
        self.stats.peak_memory.fetch_max(figures.allocated, Ordering::Relaxed);
        self.stats.last_memory.store(figures.allocated, Ordering::Relaxed);
        figures
    }

    /// Memory is over `maxmemory`: whether it is worth a wait, since keys may leave it.
    pub fn may_have_room(&self, now_unix_ms: u64) -> bool {
        self.lobby.is_open(now_unix_ms) && self.engine.makes_room()
    }

    /// Looks whether memory is within `maxmemory`.
    pub fn has_room(&self) -> bool {
        let limit = self.config.settings().maxmemory;
        let allocated = self.watch_memory(limit).allocated;
        limit == 0 || allocated <= limit
    }

    /// Bytes that were allocated before any data was loaded. 0 if nobody has said which allocator there is.
    pub fn startup_memory(&self) -> u64 {
        self.startup_memory.load(Ordering::Relaxed)
    }

    /// What is due by time alone, at most once each [`LOOK_MS`]: whichever thread comes first does it for all.
    pub fn look_around(&self, now: Now) {
        let due = self.next_look.load(Ordering::Relaxed);
        // The time at which the next look is due doubles as the right to take this one.
        let next = now.unix_ms + LOOK_MS;
        let mine = now.unix_ms >= due || due > next;
        if !mine || self.next_look.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        self.look_at_memory();
        let totals = self.control.totals();
        self.stats.rates.lock().look(now.mono, [totals.commands, totals.input_bytes, totals.output_bytes]);
    }

    /// Logs that a client speaks HTTP, at most once each [`HTTP_WARNING_MS`]: a page in a browser can have it sent to any
    /// port of this machine.
    pub fn warn_of_http(&self, client: &ClientInfo, now: Now) {
        let next = &self.next_http_warning;
        if now.unix_ms < next.load(Ordering::Relaxed) {
            return;
        }
        next.store(now.unix_ms + HTTP_WARNING_MS, Ordering::Relaxed);
        let from = client.remote(&crate::admin::unix_path(&self.config.settings()));
        tracing::warn!(
            "Possible SECURITY ATTACK detected: {from} sent an HTTP request, as a page in a browser may do without its \
             user's knowledge. The connection was closed; nothing behind the request was run."
        );
    }

    /// Begins the shutdown, behind which the process starts anew.
    pub(crate) fn restart(&self) {
        self.starts_anew.store(true, Ordering::Release);
        self.shut_down();
    }

    /// Whether the process is to start anew once it has stopped.
    pub fn starts_anew(&self) -> bool {
        self.starts_anew.load(Ordering::Acquire)
    }

    /// Begins the shutdown of the process; only the first call does.
    pub fn shut_down(&self) {
        if let Some(stop) = self.stop.lock().take() {
            stop();
        }
    }
}
