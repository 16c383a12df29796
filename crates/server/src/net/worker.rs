//! An I/O thread and its poll round.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::{Events, Poll, Token};
use resp::ArgRanges;

use super::app::{App, Behind, ClientAddr, ClientId, ClientSettings, Flow, Now, Outbox, ThreadId, Turn, Verdict};
use super::client::{Client, Clients, State};
use super::counters::{ClientGauge, ThreadCounters};
use super::gather::Gather;
use super::limits::{
    ACCEPTS_PER_ROUND, EVENTS_PER_ROUND, KEPT_ARGS, MAIL_PASSES, READ_BYTES, RESERVED_FDS, SHUTDOWN_GRACE,
};
use super::listener::{Listener, NewSocket};
use super::mailbox::{Mail, Mailbox, Post};
use super::server::Shared;
use super::settings::Settings;
use super::timers::Timers;
use super::transport::Transport;
use super::turn::AHEAD;

/// Wakes a sleeping thread.
pub(crate) const WAKER: Token = Token(usize::MAX);
/// The first of the listeners; clients' tokens are their slots, and there are never so many.
pub(crate) const LISTENERS: usize = usize::MAX / 2;

pub(crate) struct Worker<A: App> {
    pub(crate) me: ThreadId,
    pub(crate) app: A,
    pub(crate) poll: Poll,
    pub(crate) clients: Clients<A::Session>,
    pub(crate) timers: Timers,
    pub(crate) now: Now,
    pub(crate) settings: Settings,
    pub(crate) shared: Arc<Shared>,
    /// Reads of all clients go here and are decoded in place.
    pub(crate) scratch: Box<[u8]>,
    pub(crate) args: [ArgRanges; AHEAD],
    /// Something ran in this round.
    pub(crate) ran: bool,
    pub(crate) gather: Gather,
    /// Where the sweep over the clients goes on.
    pub(crate) swept: usize,
    settings_version: u64,
    mailbox: Arc<Mailbox<A::Message>>,
    post: Post<A::Message>,
    mail: Vec<Mail<A::Message>>,
    /// On thread 0 until the shutdown.
    listeners: Vec<Listener>,
    /// Connections may be waiting to be accepted.
    accept: bool,
    tick: Duration,
    next_tick: Instant,
    /// Set when the server stops: when to stop waiting for clients.
    stop_at: Option<Instant>,
}

/// What a worker is made of besides its application.
pub(crate) struct Parts<M> {
    pub me: ThreadId,
    pub poll: Poll,
    pub shared: Arc<Shared>,
    pub mailbox: Arc<Mailbox<M>>,
    pub post: Post<M>,
    pub listeners: Vec<Listener>,
    pub tick: Duration,
}

impl<A: App> Worker<A> {
    pub fn new(parts: Parts<A::Message>, app: A) -> Self {
        let now = read_clocks();
        let settings = parts.shared.settings.get();
        Self {
            me: parts.me,
            app,
            poll: parts.poll,
            clients: Clients::new(),
            timers: Timers::default(),
            now,
            settings,
            shared: parts.shared,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            args: std::array::from_fn(|_| ArgRanges::new()),
            ran: false,
            gather: Gather::new(now.mono),
            swept: 0,
            // Looks again at once, in case of a change since.
            settings_version: u64::MAX,
            mailbox: parts.mailbox,
            post: parts.post,
            mail: Vec::new(),
            listeners: parts.listeners,
            accept: true,
            tick: parts.tick,
            next_tick: now.mono + parts.tick,
            stop_at: None,
        }
    }

    /// Serves until the server stops.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_ROUND);
        while !self.is_done() {
            self.wait(&mut events);
            self.round(&events);
        }
        for index in 0..self.clients.slab.capacity() {
            self.disconnect(index as u32);
        }
    }

    fn is_done(&self) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        let is_done = |client: &Client<_>| client.output.waiting() == 0 && client.state != State::Parked;
        self.clients.slab.iter().all(|(_, client)| is_done(client)) || self.now.mono >= stop_at
    }

    fn wait(&mut self, events: &mut Events) {
        let nobody = self.clients.ready.is_empty() && !self.accept;
        let before = Instant::now();
        if nobody && let Some(pause) = self.gather.pause(before, self.settings.coalesce) {
            std::thread::sleep(pause);
        }
        let timeout = if nobody && self.mailbox.lie_down() { self.sleep_time(before) } else { Duration::ZERO };
        if let Err(error) = self.poll.poll(events, Some(timeout))
            && error.kind() != ErrorKind::Interrupted
        {
            tracing::error!(%error, "waiting for sockets failed");
        }
        self.mailbox.get_up();
        self.now = read_clocks();
        self.gather.slept(self.now.mono.saturating_duration_since(before));
    }

    /// `now` is the clock's, not that of the last round.
    fn sleep_time(&self, now: Instant) -> Duration {
        let due = self.timers.next().map_or(self.next_tick, |next| next.min(self.next_tick));
        due.saturating_duration_since(now)
    }

    fn round(&mut self, events: &Events) {
        self.ran = false;
        if self.shared.settings.refresh(&mut self.settings, &mut self.settings_version) {
            self.apply_settings();
        }
        events.iter().for_each(|event| self.note(event));
        if self.accept && !self.listeners.is_empty() {
            self.accept_all();
        }
        self.take_mail();
        self.expire();
        self.serve_ready();
        for _ in 1..MAIL_PASSES {
            self.take_mail();
        }
        if self.ran && self.app.end_of_round(self.now) == Verdict::Revise {
            self.revise();
        }
        self.flush_all();
        self.counters().rounds.add(1);
        self.counters().blocked.store(self.timers.blocked(), Relaxed);
        if self.now.mono >= self.next_tick {
            self.next_tick = self.now.mono + self.tick;
            self.on_tick();
        }
    }

    /// Gives everybody in line a turn. Who wants another one has it in the next round.
    fn serve_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.clients.ready);
        if self.serves() {
            ready.drain(..).for_each(|slot| self.serve(slot));
        }
        ready.clear();
        // The list keeps its memory.
        ready.append(&mut self.clients.ready);
        self.clients.ready = ready;
    }

    #[inline]
    pub(crate) fn counters(&self) -> &ThreadCounters {
        &self.shared.threads[usize::from(self.me.0)]
    }

    /// Whether commands run: not any more once the server stops.
    pub(crate) fn serves(&self) -> bool {
        self.stop_at.is_none()
    }

    fn note(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKER {
            return;
        }
        if token.0 >= LISTENERS {
            self.accept = true;
            return;
        }
        let slot = token.0 as u32;
        let Some(client) = self.clients.get(slot) else { return };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            client.readable = true;
        }
        client.hangup |= event.is_read_closed() || event.is_error();
        if client.hangup && client.is_blocked() {
            client.apply(Flow::CloseNow, self.now, &mut self.timers);
            self.clients.touch(slot);
        } else if event.is_writable() {
            self.clients.touch(slot);
        }
        if self.serves() {
            self.clients.requeue(slot);
        }
    }

    fn accept_all(&mut self) {
        self.accept = false;
        for _ in 0..ACCEPTS_PER_ROUND {
            let Some((socket, peer)) = self.accept_one() else { return };
            let tls = if peer.tls { self.shared.tls.lock().clone() } else { None };
            let id = ClientId(self.shared.next_client.fetch_add(1, Relaxed));
            let new = NewSocket { socket, peer, id, tls };
            if self.shared.client_count() >= self.settings.max_clients {
                self.counters().rejected.add(1);
                new.reject(b"-ERR max number of clients reached\r\n");
                continue;
            }
            self.counters().accepted.add(1);
            new.keep_alive(self.settings.tcp_keepalive);
            let thread = self.shared.least_busy();
            self.shared.threads[usize::from(thread.0)].clients.fetch_add(1, Relaxed);
            if thread == self.me { self.adopt(new) } else { self.post.adopt(thread, new) }
        }
        self.accept = true;
    }

    fn accept_one(&mut self) -> Option<(super::transport::Socket, super::app::Peer)> {
        for listener in &self.listeners {
            match listener.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => self.accept = true,
                Err(error) => {
                    // Out of descriptors, most likely: the next tick tries again.
                    tracing::warn!(%error, reserved = RESERVED_FDS, "a connection could not be accepted");
                }
            }
        }
        None
    }

    /// Makes a connection one of this thread's clients. It has been counted as one already.
    fn adopt(&mut self, new: NewSocket) {
        let slot = self.clients.slab.vacant_key();
        let gauge = Arc::new(ClientGauge::default());
        gauge.active_at(self.now.unix_ms);
        let addr = ClientAddr { id: new.id, thread: self.me, slot: slot as u32, gauge };
        let mut settings = ClientSettings { authenticated: false, class: super::output::OutputClass::Normal };
        let session = match self.app.connected(&addr, &new.peer, &mut settings) {
            Ok(session) => session,
            Err(last_words) => {
                self.counters().clients.fetch_sub(1, Relaxed);
                return new.reject(&last_words);
            }
        };
        self.ran = true;
        let registered = Transport::new(new.socket, new.tls)
            .and_then(|mut transport| transport.register(self.poll.registry(), Token(slot)).map(|()| transport));
        match registered {
            Ok(transport) => {
                addr.gauge.mail_limit.store(self.settings.mail_limit(settings.class), Relaxed);
                self.clients.slab.insert(Client::new(transport, session, addr, settings, self.now));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be set up");
                self.app.disconnected(session, &addr);
                self.counters().clients.fetch_sub(1, Relaxed);
            }
        }
    }

    fn take_mail(&mut self) {
        let mut mail = std::mem::take(&mut self.mail);
        self.mailbox.take(&mut mail);
        for mail in mail.drain(..) {
            match mail {
                Mail::Client { slot, id, bytes, message } => self.deliver(slot, id, bytes, message),
                Mail::Thread { bytes, message } => {
                    self.mailbox.thread_mail_delivered(bytes);
                    self.app.thread_message(message, &mut Outbox { reach: &mut self.clients });
                    self.ran = true;
                }
                Mail::Overflow { slot, id } => {
                    let Some(client) = self.clients.get(slot).filter(|client| client.addr.id == id) else { continue };
                    client.apply(Flow::CloseNow, self.now, &mut self.timers);
                    self.clients.touch(slot);
                    self.counters().output_buffer_closes.add(1);
                }
                Mail::Adopt(new) => self.adopt(*new),
                Mail::Look => self.look(),
            }
        }
        self.mail = mail;
    }

    fn deliver(&mut self, slot: u32, id: ClientId, bytes: usize, message: A::Message) {
        let Some(client) = self.clients.begin_turn_of(slot, id) else { return };
        client.addr.gauge.mail.fetch_sub(bytes, Relaxed);
        if !client.is_served() {
            return self.clients.end_turn(slot);
        }
        let Client { output, addr, settings, session, .. } = client;
        let mut turn = Turn { out: &mut output.bytes, now: self.now, addr, settings, behind: Behind::default() };
        let flow = self.app.message(session, message, &mut turn);
        client.apply(flow, self.now, &mut self.timers);
        // It may have gone away while it was parked, which is not said again.
        if client.hangup && client.is_blocked() {
            client.apply(Flow::CloseNow, self.now, &mut self.timers);
        }
        self.clients.end_turn(slot);
        self.counters().messages.add(1);
        self.ran = true;
    }

    fn expire(&mut self) {
        while let Some((id, slot)) = self.timers.pop(self.now.mono) {
            let Some(client) = self.clients.begin_turn_of(slot, id) else { continue };
            // Its deadline has been taken; it stays blocked until the application says otherwise.
            client.state = State::Blocked { deadline: None };
            let Client { output, addr, settings, session, .. } = client;
            let mut turn = Turn { out: &mut output.bytes, now: self.now, addr, settings, behind: Behind::default() };
            let flow = self.app.expired(session, &mut turn);
            client.apply(flow, self.now, &mut self.timers);
            self.clients.end_turn(slot);
            self.ran = true;
        }
    }

    /// Lets the application take back what this round wrote.
    fn revise(&mut self) {
        for slot in &self.clients.dirty {
            let Some(client) = self.clients.slab.get_mut(*slot as usize) else { continue };
            let output = &mut client.output;
            let mut replies = output.bytes.split_off(output.round_start);
            if !replies.is_empty() {
                self.app.revise(&mut client.session, output.round_start, &mut replies);
                output.bytes.append(&mut replies);
            }
        }
    }

    fn look(&mut self) {
        if self.shared.stopping.load(Relaxed) && self.serves() {
            self.listeners.clear();
            self.accept = false;
            self.stop_at = Some(self.now.mono + SHUTDOWN_GRACE);
        }
    }

    fn on_tick(&mut self) {
        self.accept |= !self.listeners.is_empty();
        self.args.iter_mut().for_each(|args| args.shrink(KEPT_ARGS, READ_BYTES));
        self.sweep();
        self.app.tick(self.now);
    }

    /// The connection's end: everything that is known about it goes.
    pub(crate) fn disconnect(&mut self, slot: u32) {
        let Some(mut client) = self.clients.slab.try_remove(slot as usize) else { return };
        client.apply(Flow::CloseNow, self.now, &mut self.timers);
        client.transport.say_goodbye();
        client.addr.gauge.closed.store(true, Relaxed);
        self.counters().clients.fetch_sub(1, Relaxed);
        self.app.disconnected(client.session, &client.addr);
    }
}

fn read_clocks() -> Now {
    // A wall clock before 1970 reads as 1970.
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: Instant::now(), unix_ms: unix.as_millis() as u64 }
}
