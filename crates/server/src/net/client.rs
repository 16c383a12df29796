//! One connection's state, and the table of a thread's connections.

use std::time::Instant;

use resp::Decoder;
use slab::Slab;

use super::app::{ClientAddr, ClientId, ClientSettings, Flow, Now, Reach};
use super::limits::KEPT_INPUT_BYTES;
use super::output::{BufferPool, Output};
use super::timers::Timers;
use super::transport::Transport;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its commands run as they arrive.
    Running,
    /// Its commands wait for [`Flow::Resume`].
    Blocked { deadline: Option<Instant> },
    /// The same, and that comes soon: what it has sent runs in any case.
    Parked,
    /// It goes when its replies are out.
    Closing { since: Instant },
    /// It goes at the end of the round.
    Doomed,
}

#[derive(Debug)]
pub(crate) struct Client<S> {
    pub transport: Transport,
    pub session: S,
    pub addr: ClientAddr,
    pub settings: ClientSettings,
    pub state: State,
    pub decoder: Decoder,
    /// Received and not understood: a part of a command, or, with `backlog`, commands that wait.
    pub input: Vec<u8>,
    /// Bytes that must arrive before the decoder can go on.
    pub needed: usize,
    pub output: Output,
    /// `input` may hold whole commands.
    pub backlog: bool,
    /// The socket may hold bytes.
    pub readable: bool,
    /// The peer will send nothing more.
    pub hangup: bool,
    /// Too much output waits; nothing runs until some of it is gone.
    pub stalled: bool,
    /// In the list of those whose turn it is.
    pub queued: bool,
    /// In the list of those with something to flush.
    pub dirty: bool,
    pub watching_writes: bool,
    pub since: Instant,
    pub last_active: Instant,
    /// Of [`Gather`](super::gather::Gather).
    pub mark: u32,
    pub over_soft_since: Option<Instant>,
}

impl<S> Client<S> {
    pub fn new(transport: Transport, session: S, addr: ClientAddr, settings: ClientSettings, now: Now) -> Self {
        Self {
            transport,
            session,
            addr,
            settings,
            state: State::Running,
            decoder: Decoder::new(),
            input: Vec::new(),
            needed: 1,
            output: Output::default(),
            backlog: false,
            readable: false,
            hangup: false,
            stalled: false,
            queued: false,
            dirty: false,
            watching_writes: false,
            since: now.mono,
            last_active: now.mono,
            mark: 0,
            over_soft_since: None,
        }
    }

    /// Whether it has something to run or to read, and may.
    #[inline]
    pub fn wants_turn(&self) -> bool {
        self.state == State::Running && !self.stalled && (self.backlog || self.readable)
    }

    /// Whether its next command may run.
    pub fn may_run(&self) -> bool {
        self.state == State::Running && !self.stalled
    }

    /// Whether more of its commands will run, now or later.
    pub fn is_served(&self) -> bool {
        matches!(self.state, State::Running | State::Blocked { .. } | State::Parked)
    }

    pub fn is_blocked(&self) -> bool {
        matches!(self.state, State::Blocked { .. })
    }

    /// Keeps what was not understood, and no more memory than that takes.
    #[inline]
    pub fn keep_input(&mut self, rest: &[u8]) {
        self.input.clear();
        if !rest.is_empty() {
            self.input.extend_from_slice(rest);
        } else if self.input.capacity() > KEPT_INPUT_BYTES {
            self.input = Vec::new();
        }
    }

    /// Does what the application decided.
    pub fn apply(&mut self, flow: Flow, now: Now, timers: &mut Timers) {
        if flow == Flow::Continue || self.state == State::Doomed {
            return;
        }
        let (id, slot) = (self.addr.id, self.addr.slot);
        let was = self.state;
        self.state = match flow {
            Flow::CloseNow => State::Doomed,
            _ if matches!(was, State::Closing { .. }) => was,
            Flow::Close => State::Closing { since: now.mono },
            Flow::Block { deadline } => State::Blocked { deadline },
            Flow::Park => State::Parked,
            Flow::Resume | Flow::Continue => State::Running,
        };
        if let State::Blocked { deadline } = was {
            timers.unblock(deadline, id, slot);
        }
        if let State::Blocked { deadline } = self.state {
            timers.block(deadline, id, slot);
        }
    }

    /// Memory held for it besides its session, in bytes.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.input.capacity() + self.output.memory() + self.decoder.memory()
    }
}

/// The clients of a thread and the lists of those that something has to be done about.
#[derive(Debug)]
pub(crate) struct Clients<S> {
    pub slab: Slab<Client<S>>,
    /// Whose turn it is in the next pass.
    pub ready: Vec<u32>,
    /// Who has something to flush, or to be closed.
    pub dirty: Vec<u32>,
    pub pool: BufferPool,
}

impl<S> Clients<S> {
    pub fn new() -> Self {
        Self { slab: Slab::new(), ready: Vec::new(), dirty: Vec::new(), pool: BufferPool::default() }
    }

    #[inline]
    pub fn get(&mut self, slot: u32) -> Option<&mut Client<S>> {
        self.slab.get_mut(slot as usize)
    }

    /// Puts a client in line for a turn, once.
    #[inline]
    pub fn queue(&mut self, slot: u32) {
        if let Some(client) = self.slab.get_mut(slot as usize)
            && !client.queued
        {
            client.queued = true;
            self.ready.push(slot);
        }
    }

    /// Has the end of the round look at a client, once.
    #[inline]
    pub fn touch(&mut self, slot: u32) {
        if let Some(client) = self.slab.get_mut(slot as usize)
            && !client.dirty
        {
            client.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Readies a client for the application to write to it.
    #[inline]
    pub fn begin_turn(&mut self, slot: u32) -> Option<&mut Client<S>> {
        let client = self.slab.get_mut(slot as usize)?;
        self.pool.lend(&mut client.output);
        if !client.dirty {
            client.output.round_start = client.output.bytes.len();
        }
        Some(client)
    }

    /// The same, if the client in that place is the one that is meant.
    pub fn begin_turn_of(&mut self, slot: u32, id: ClientId) -> Option<&mut Client<S>> {
        self.get(slot).filter(|client| client.addr.id == id)?;
        self.begin_turn(slot)
    }

    /// Notes what a turn left to do.
    #[inline]
    pub fn end_turn(&mut self, slot: u32) {
        let Some(client) = self.slab.get_mut(slot as usize) else { return };
        let written = client.output.bytes.len() > client.output.round_start;
        if written || matches!(client.state, State::Closing { .. } | State::Doomed) || client.transport.wants_write() {
            self.touch(slot);
        } else if client.output.waiting() == 0 && !client.dirty {
            self.pool.take_back(&mut client.output);
        }
        self.requeue(slot);
    }

    /// Puts a client in line if it has something to run or to read.
    #[inline]
    pub fn requeue(&mut self, slot: u32) {
        if self.get(slot).is_some_and(|client| client.wants_turn()) {
            self.queue(slot);
        }
    }
}

impl<S> Reach<S> for Clients<S> {
    fn reach(&mut self, addr: &ClientAddr) -> Option<(&mut S, &mut Vec<u8>)> {
        self.get(addr.slot).filter(|client| !matches!(client.state, State::Closing { .. } | State::Doomed))?;
        self.begin_turn_of(addr.slot, addr.id)?;
        self.touch(addr.slot);
        self.get(addr.slot).map(|client| (&mut client.session, &mut client.output.bytes))
    }
}
