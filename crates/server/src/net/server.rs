//! Starting and stopping the I/O threads, and what other threads may do with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;

use mio::{Poll, Token, Waker};
use parking_lot::Mutex;

use super::app::{App, ThreadId};
use super::config::{NetConfig, NetError};
use super::counters::{ThreadCounters, Totals};
use super::limits::{MAX_IO_THREADS, RESERVED_FDS};
use super::listener::Listener;
use super::mailbox::{Mailbox, Post};
use super::settings::{Settings, SharedSettings};
use super::worker::{LISTENERS, Parts, WAKER, Worker};

/// What all I/O threads see.
pub(crate) struct Shared {
    pub settings: SharedSettings,
    pub threads: Box<[ThreadCounters]>,
    pub tls: Mutex<Option<Arc<rustls::ServerConfig>>>,
    pub stopping: AtomicBool,
    pub next_client: AtomicU64,
    /// Where the search for the least busy thread begins, so that equals take turns.
    turn: AtomicUsize,
}

impl Shared {
    pub fn client_count(&self) -> usize {
        self.threads.iter().map(|thread| thread.clients.load(Relaxed)).sum()
    }

    pub fn least_busy(&self) -> ThreadId {
        let (count, first) = (self.threads.len(), self.turn.fetch_add(1, Relaxed));
        let thread = (0..count)
            .map(|offset| (first + offset) % count)
            .min_by_key(|index| self.threads[*index].clients.load(Relaxed))
            .unwrap_or(0);
        ThreadId(thread as u16)
    }
}

/// The running I/O threads.
pub struct Server<M: Send + 'static> {
    control: Control<M>,
    threads: Vec<JoinHandle<()>>,
    addrs: Vec<SocketAddr>,
}

/// What other threads, and applications, may do with a server. Cheap to clone.
pub struct Control<M> {
    post: Post<M>,
    shared: Arc<Shared>,
}

impl<M> Clone for Control<M> {
    fn clone(&self) -> Self {
        Self { post: self.post.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<M> Control<M> {
    /// Sends mail to clients and threads.
    pub fn post(&self) -> &Post<M> {
        &self.post
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.shared.settings.get()
    }

    /// Changes settings; threads see it in their next round.
    pub fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        self.shared.settings.change(change);
        self.post.look();
    }

    /// Uses other certificates for connections from now on.
    pub fn set_tls(&self, config: Arc<rustls::ServerConfig>) {
        *self.shared.tls.lock() = Some(config);
    }

    /// What has been counted, over all threads.
    pub fn totals(&self) -> Totals {
        Totals::of(self.shared.threads.iter())
    }

    /// Clients of each thread.
    pub fn clients_per_thread(&self) -> Vec<usize> {
        self.shared.threads.iter().map(|thread| thread.clients.load(Relaxed)).collect()
    }

    /// Begins to stop: nothing more is accepted or read, replies go out, then connections are closed.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Relaxed);
        self.post.look();
    }
}

impl<M: Send + 'static> Server<M> {
    /// Opens the endpoints and starts the threads. `make` is called once on each thread.
    pub fn start<A, F>(mut config: NetConfig, make: F) -> Result<Self, NetError>
    where
        A: App<Message = M> + 'static,
        F: Fn(ThreadId, &Control<M>) -> A + Send + Sync + 'static,
    {
        if config.io_threads == 0 || config.io_threads > MAX_IO_THREADS {
            return Err(NetError::Threads { asked: config.io_threads, max: MAX_IO_THREADS });
        }
        let asked = config.settings.max_clients;
        config.settings.max_clients = allow_files(asked);
        if config.settings.max_clients < asked {
            let now = config.settings.max_clients;
            tracing::warn!(asked, now, "maxclients lowered: the limit of open files (ulimit -n) is too low");
        }
        let mut listeners = Listener::open_all(&config)?;
        let addrs = listeners.iter().filter_map(Listener::local_addr).collect();
        let shared = Arc::new(Shared {
            settings: SharedSettings::new(config.settings),
            threads: (0..config.io_threads).map(|_| ThreadCounters::default()).collect(),
            tls: Mutex::new(config.tls),
            stopping: AtomicBool::new(false),
            next_client: AtomicU64::new(1),
            turn: AtomicUsize::new(0),
        });
        let polls = (0..config.io_threads).map(|_| Poll::new()).collect::<Result<Vec<_>, _>>()?;
        let boxes = polls
            .iter()
            .map(|poll| Waker::new(poll.registry(), WAKER).map(|waker| Arc::new(Mailbox::new(waker))))
            .collect::<Result<Arc<[_]>, _>>()?;
        let control = Control { post: Post::new(Arc::clone(&boxes)), shared };
        let mut server = Self { control, threads: Vec::new(), addrs };
        let make = Arc::new(make);
        // The first thread accepts for all.
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener.register(polls[0].registry(), Token(LISTENERS + index))?;
        }
        let mut listeners = Some(listeners);
        for (index, poll) in polls.into_iter().enumerate() {
            let parts = Parts {
                me: ThreadId(index as u16),
                poll,
                shared: Arc::clone(&server.control.shared),
                mailbox: Arc::clone(&boxes[index]),
                post: server.control.post.clone(),
                listeners: listeners.take().unwrap_or_default(),
                tick: config.tick,
            };
            // On an error the threads that run already stop when `server` is dropped.
            server.spawn(parts, Arc::clone(&make))?;
        }
        Ok(server)
    }

    fn spawn<A, F>(&mut self, parts: Parts<M>, make: Arc<F>) -> Result<(), NetError>
    where
        A: App<Message = M> + 'static,
        F: Fn(ThreadId, &Control<M>) -> A + Send + Sync + 'static,
    {
        let control = self.control.clone();
        let me = parts.me;
        let thread = std::thread::Builder::new().name(format!("io-{}", me.0)).spawn(move || {
            exact_sleeps();
            Worker::new(parts, make(me, &control)).run();
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// What other threads may do with the server.
    pub fn control(&self) -> &Control<M> {
        &self.control
    }

    /// The TCP addresses listened on, in the order of the configuration.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Waits until the threads have stopped: call [`Control::stop`] to have them do so.
    pub fn join(mut self) {
        self.join_all();
    }

    fn join_all(&mut self) {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an I/O thread panicked");
            }
        }
    }
}

impl<M: Send + 'static> Drop for Server<M> {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.control.stop();
            self.join_all();
        }
    }
}

/// Raises the limit of open files as far as `max_clients` takes; answers how many clients the system allows, if that is
/// less, else `max_clients`.
pub fn allow_files(max_clients: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = max_clients as u64 + RESERVED_FDS;
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    if soft >= wanted {
        return max_clients;
    }
    let raised = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    if allowed >= wanted {
        return max_clients;
    }
    allowed.saturating_sub(RESERVED_FDS).max(1) as usize
}

/// Has the kernel wake this thread when its short sleeps end: by default it may be 50 µs late, which is longer than
/// they are.
fn exact_sleeps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)) {
        tracing::debug!(%error, "the timer slack could not be set");
    }
}
