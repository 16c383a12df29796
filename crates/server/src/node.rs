//! What all I/O threads share: the engine, the configuration, clients, subscriptions, waiting clients, figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use command::Env;
use engine::Engine;
use parking_lot::{Mutex, RwLock};

use crate::broker::Broker;
use crate::client::ClientInfo;
use crate::config::Config;
use crate::message::Message;
use crate::net::{ClientAddr, ClientId, Control};
use crate::stats::Stats;
use crate::waiting::Waiting;

/// One server process.
pub struct Node {
    /// The data.
    pub engine: Arc<Engine>,
    /// The configuration.
    pub config: Config,
    /// The I/O threads.
    pub control: Control<Message>,
    /// Subscriptions.
    pub broker: Broker,
    /// Clients that wait for data.
    pub waiting: Waiting,
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
    clients: RwLock<BTreeMap<ClientId, (ClientAddr, Arc<ClientInfo>)>>,
    env: RwLock<Arc<Env>>,
    env_version: AtomicU64,
    monitors: RwLock<Vec<ClientAddr>>,
    pause: Mutex<Option<Pause>>,
    paused: AtomicBool,
    next_ticket: AtomicU64,
    stop: Mutex<Option<Box<dyn FnOnce() + Send>>>,
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
        Self {
            engine,
            config,
            broker: Broker::new(control.post().clone()),
            control,
            waiting: Waiting::default(),
            stats: Stats::default(),
            run_id,
            started: Instant::now(),
            started_ms,
            last_save_s: AtomicI64::new(started_ms / 1000),
            clients: RwLock::default(),
            env: RwLock::new(env),
            env_version: AtomicU64::new(0),
            monitors: RwLock::default(),
            pause: Mutex::new(None),
            paused: AtomicBool::new(false),
            next_ticket: AtomicU64::new(1),
            stop: Mutex::new(Some(stop)),
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
        for addr in self.monitors.read().iter() {
            let bytes: Arc<[u8]> = line.into();
            // A monitor that is gone or too slow misses the line; the I/O loop closes the slow.
            let _ =
                self.control.post().send(addr, Message::Push { resp2: Arc::clone(&bytes), resp3: bytes }, line.len());
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

    /// Begins the shutdown of the process; only the first call does.
    pub fn shut_down(&self) {
        if let Some(stop) = self.stop.lock().take() {
            stop();
        }
    }
}
