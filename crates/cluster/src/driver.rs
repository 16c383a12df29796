//! The thread of a mesh: sockets, timers, and whoever is ready has a turn. Who may be a peer is decided in
//! `peers.rs`, what time brings in `timers.rs`.
//!
//! ```text
//! poll ─▶ commands ─▶ turns of reading ─▶ sending ─▶ timers ─▶ poll
//! ```
//! One thread with non-blocking sockets, as the server has for clients: peers are few, so one thread is enough, and a
//! thousand strangers cost a thousand sockets at most and no thread each. rustls works on bytes that it is handed, so no
//! async runtime is needed.
//!
//! *Invariant:* nothing here waits but `poll`. Names are resolved elsewhere, and events are taken by others.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::config::Config;
use crate::conn::{Conn, Phase, Turn};
use crate::credentials::Credentials;
use crate::error::{Error, Why};
use crate::hello::Hello;
use crate::inbox;
use crate::limits::{ACCEPT_PAUSE, ACCEPT_TURN, COMPLAIN, DRAIN, READ_BYTES, STRANGERS};
use crate::node::NodeId;
use crate::peers::Lives;
use crate::resolve;
use crate::routes::Routes;
use crate::shared::{Command, Shared};

/// What a wake comes as.
pub(crate) const WAKER: Token = Token(usize::MAX);
/// Listeners come as this and their number; connections as their place in the slab.
const LISTENERS: usize = usize::MAX / 2;

/// All of a mesh.
pub(crate) struct Driver {
    pub config: Config,
    pub credentials: Credentials,
    poll: Poll,
    pub listeners: Vec<TcpListener>,
    pub shared: Arc<Shared>,
    pub inbox: Arc<inbox::Shared>,
    pub conns: Slab<Conn>,
    /// Connections that are up, by node.
    pub up: HashMap<NodeId, usize>,
    pub lives: HashMap<NodeId, Lives>,
    /// Accepted and not up, the oldest first.
    pub strangers: VecDeque<usize>,
    pub routes: Routes,
    names: mpsc::Sender<String>,
    pub own: Hello,
    pub began: Instant,
    pub ready: BTreeSet<usize>,
    scratch: Vec<u8>,
    pub accept_at: Option<Instant>,
    pub stops_at: Option<Instant>,
    complain_at: Instant,
}

impl Driver {
    pub(crate) fn new(
        config: Config,
        credentials: Credentials,
        poll: Poll,
        (shared, inbox): (Arc<Shared>, Arc<inbox::Shared>),
        (port, life): (u16, u64),
    ) -> Result<Self, Error> {
        let now = Instant::now();
        let mut routes = Routes::new(config.backoff, config.seed);
        config.join.iter().try_for_each(|name| routes.add(name, now))?;
        let told = Arc::clone(&shared);
        let tell = move |answer| told.command(Command::Resolved(answer));
        let names = resolve::start(Arc::clone(&config.resolver), tell)?;
        shared.certificate_ends.store(credentials.ends(), Ordering::Relaxed);
        let own = Hello {
            node: config.node,
            life,
            port: config.announce_port.unwrap_or(port),
            host: config.announce_host.clone().unwrap_or_default(),
            region: config.region.clone(),
        };
        Ok(Self {
            config,
            credentials,
            poll,
            listeners: Vec::new(),
            shared,
            inbox,
            conns: Slab::new(),
            up: HashMap::new(),
            lives: HashMap::new(),
            strangers: VecDeque::new(),
            routes,
            names,
            own,
            began: now,
            ready: BTreeSet::new(),
            scratch: vec![0; READ_BYTES],
            accept_at: None,
            stops_at: None,
            complain_at: now,
        })
    }

    pub(crate) fn listen(mut self, mut listeners: Vec<TcpListener>) -> Result<Self, Error> {
        for (n, listener) in listeners.iter_mut().enumerate() {
            self.poll.registry().register(listener, Token(LISTENERS + n), Interest::READABLE)?;
        }
        self.listeners = listeners;
        Ok(self)
    }

    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        while !self.has_stopped(Instant::now()) {
            let wait = self.wait(Instant::now());
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "the cluster's connections cannot be waited for: it ends");
                return;
            }
            self.shared.awake();
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(n) if n >= LISTENERS => self.accept(n - LISTENERS, now),
                    Token(key) => {
                        if let Some(conn) = self.conns.get_mut(key) {
                            conn.blocked &= !event.is_writable();
                            self.ready.insert(key);
                        }
                    }
                }
            }
            self.commands(now);
            self.resume(now);
            for key in std::mem::take(&mut self.ready) {
                self.turn(key, now);
            }
            self.send(now);
            self.timers(now);
        }
    }

    fn commands(&mut self, now: Instant) {
        for command in self.shared.commands() {
            match command {
                Command::Dial(name) => {
                    if let Err(error) = self.routes.add(&name, now) {
                        tracing::warn!("{name} is not joined: {error}");
                    }
                }
                Command::Close(node, why) => {
                    if let Some(key) = self.up.get(&node).copied() {
                        self.close(key, Why::Given(why), now);
                    }
                }
                Command::Resolved((name, found)) => {
                    let error = found.as_ref().err().map(ToString::to_string).unwrap_or_else(|| "no address".into());
                    if !self.routes.resolved(&name, found.ok(), now) {
                        tracing::warn!("{name} cannot be resolved: {error}; it is tried again and again");
                    }
                }
                Command::Stop => self.stops_at = self.stops_at.or(Some(now + DRAIN)),
            }
        }
        if self.stops_at.is_some() {
            self.listeners.clear();
            let early: Vec<_> = self.conns.iter().filter(|(_, c)| c.link.is_none()).map(|(key, _)| key).collect();
            early.into_iter().for_each(|key| self.close(key, Why::Stopped, now));
            return;
        }
        for name in self.routes.due_names(now) {
            // It ends only with this driver.
            let _ = self.names.send(name);
        }
        let up = &self.up;
        for addr in self.routes.due_routes(now, |node| up.contains_key(&node)) {
            self.dial(addr, now);
        }
    }

    fn dial(&mut self, addr: SocketAddr, now: Instant) {
        self.renew();
        let begun = TcpStream::connect(addr).map_err(|e| Why::Broken(e.to_string()));
        let session = self.credentials.dialer().map_err(|e| Why::NotANode(e.to_string()));
        let begun = begun.and_then(|socket| {
            let conn = Conn::new(socket, addr, Some(session?), self.config.frame_bytes, now);
            self.insert(conn)
        });
        match begun {
            // Not connected yet: the first event says that it is.
            Ok(key) => self.conns[key].blocked = true,
            Err(why) => {
                self.refused(addr, true, why, now);
            }
        }
    }

    pub(crate) fn accept(&mut self, listener: usize, now: Instant) {
        for _ in 0..ACCEPT_TURN {
            let Some(listener) = self.listeners.get(listener) else { return };
            let (socket, addr) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => continue,
                Err(error) => {
                    self.complain(now, &format!("the cluster accepts no connection for a moment: {error}"));
                    self.accept_at = Some(now + ACCEPT_PAUSE);
                    return;
                }
            };
            if self.strangers.len() >= STRANGERS
                && let Some(oldest) = self.strangers.front().copied()
            {
                self.close(oldest, Why::Late, now);
            }
            // An IPv4 address that came in over IPv6 is dialed as what it is.
            let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
            if let Ok(key) = self.insert(Conn::new(socket, addr, None, self.config.frame_bytes, now)) {
                self.strangers.push_back(key);
            }
        }
        // There may be more; others have their turn first.
        self.accept_at = Some(now);
    }

    fn insert(&mut self, mut conn: Conn) -> Result<usize, Why> {
        let place = self.conns.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(&mut conn.socket, Token(place.key()), interest);
        registered.map_err(|e| Why::Broken(e.to_string()))?;
        // What is sent is whole batches already. A socket that cannot do it is slower.
        let _ = conn.socket.set_nodelay(true);
        let key = place.key();
        place.insert(conn);
        Ok(key)
    }

    /// Reads a connection for a turn, and does what its frames say.
    fn turn(&mut self, key: usize, now: Instant) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.paused {
            return;
        }
        if conn.dialed && conn.phase == Phase::Shaking {
            match conn.socket.take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return self.close(key, Why::Broken(error.to_string()), now),
            }
            if conn.socket.peer_addr().is_err() {
                return;
            }
        }
        if conn.session.is_none() {
            self.renew();
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        let (mut received, before) = (Vec::new(), conn.heard_bytes());
        let read = conn.receive(&self.credentials, &mut self.scratch, &mut received);
        if conn.heard_bytes() > before {
            (conn.heard, conn.doubted) = (now, None);
        }
        if read == Ok(Turn::More) {
            self.ready.insert(key);
        }
        let done = self.act(key, received, now);
        if let Err(why) = done.and(read.map(drop)) {
            self.close(key, why, now);
        }
    }

    /// Peers whose events were taken are read again.
    fn resume(&mut self, now: Instant) {
        for node in self.inbox.resumed() {
            if let Some(key) = self.up.get(&node) {
                let conn = &mut self.conns[*key];
                (conn.paused, conn.heard, conn.doubted) = (false, now, None);
                self.ready.insert(*key);
            }
        }
    }

    /// Sends what waits, wherever the socket takes it.
    fn send(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for (key, conn) in &mut self.conns {
            match conn.send() {
                Ok(room) => {
                    if let (true, Some(node)) = (room, conn.node()) {
                        self.inbox.tell(crate::event::Event::Room(node));
                    }
                    conn.count();
                }
                Err(why) => failed.push((key, why)),
            }
        }
        failed.into_iter().for_each(|(key, why)| self.close(key, why, now));
    }

    /// Makes the certificate anew if it is time.
    pub(crate) fn renew(&mut self) {
        match self.credentials.renew() {
            Ok(false) => {}
            Ok(true) => {
                self.shared.certificate_ends.store(self.credentials.ends(), Ordering::Relaxed);
                tracing::info!("the certificate of this node was made anew");
            }
            // The old one is good for days.
            Err(error) => self.complain(Instant::now(), &error.to_string()),
        }
    }

    /// Microseconds since the start: what pings carry.
    pub(crate) fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// A line in the log, unless there was one a moment ago: strangers must not fill it.
    pub(crate) fn complain(&mut self, now: Instant, what: &str) {
        if self.complain_at <= now {
            self.complain_at = now + COMPLAIN;
            tracing::warn!("{what}");
        }
    }

    pub(crate) fn forget(&mut self, key: usize) -> Conn {
        self.ready.remove(&key);
        self.strangers.retain(|k| *k != key);
        self.conns.remove(key)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.links.write().drain().for_each(|(_, link)| link.outbox.close());
        self.inbox.close();
    }
}
