//! The seam: what the I/O loop asks of an application, and the words they share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use resp::{ArgRanges, Args, Note};

use super::counters::ClientGauge;
use super::output::OutputClass;

/// Identity of a connection: grows, never reused within a process, what `CLIENT ID` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// One of the I/O threads, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub u16);

/// Where to send mail for a client. Stays valid after the client is gone: mail to it is then refused.
#[derive(Debug, Clone)]
pub struct ClientAddr {
    pub(crate) id: ClientId,
    pub(crate) thread: ThreadId,
    pub(crate) slot: u32,
    pub(crate) gauge: Arc<ClientGauge>,
}

impl ClientAddr {
    /// The client's id.
    #[inline]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// The thread that serves it.
    #[inline]
    pub fn thread(&self) -> ThreadId {
        self.thread
    }

    /// What other threads may know of it.
    pub fn gauge(&self) -> &ClientGauge {
        &self.gauge
    }
}

/// The time, read once per round.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines and durations.
    pub mono: Instant,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Now {
    /// Microseconds since the Unix epoch at this very moment: the round began at `unix_ms`, how long it has gone on since
    /// is read from the clock.
    pub fn unix_us(&self) -> u64 {
        self.unix_ms * 1000 + self.mono.elapsed().as_micros() as u64
    }
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Both ends' addresses.
    pub addr: PeerAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Our end's file descriptor, for people to compare with what the system says.
    pub fd: i32,
}

/// Addresses of a connection.
#[derive(Debug, Clone)]
pub enum PeerAddr {
    /// TCP.
    Tcp {
        /// The client's end.
        remote: SocketAddr,
        /// Our end.
        local: SocketAddr,
    },
    /// A Unix socket; clients have no address there.
    Unix,
}

/// What to do with a client after a command, a message or a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Leave things as they are.
    Continue,
    /// Run no further command of this client until [`Flow::Resume`]. At the deadline, [`App::expired`] is called, once.
    Block {
        /// When to give up.
        deadline: Option<Instant>,
    },
    /// Run no further command of this client until [`Flow::Resume`], which comes soon and by itself: the command that is
    /// executed is being made ready to run. A client that goes away meanwhile has not given up: what it sent still runs.
    Park,
    /// End a [`Flow::Block`] or [`Flow::Park`]: commands that have arrived meanwhile run in this round.
    Resume,
    /// Run no further command; close once the replies are out.
    Close,
    /// Close at the end of the round, replies or not.
    CloseNow,
}

/// What becomes of the replies of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They go out.
    Deliver,
    /// [`App::revise`] sees each client's replies before they go out: the log could not be written, and replies that
    /// promise otherwise must be taken back.
    Revise,
}

/// What an application may change about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSettings {
    /// Until it is set, only short commands are accepted.
    pub authenticated: bool,
    /// Which output limits hold, and whether `timeout` applies (to normal clients only).
    pub class: OutputClass,
}

/// A client's turn: what [`App`] gets besides the session.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Replies are appended here. What is there already must stay.
    pub out: &'a mut Vec<u8>,
    /// The time of this round.
    pub now: Now,
    /// Where other threads find this client.
    pub addr: &'a ClientAddr,
    /// What may be changed about it.
    pub settings: &'a mut ClientSettings,
    /// Its next commands, if any are known.
    pub behind: Behind<'a>,
}

/// Commands of a client that have arrived behind the one that is executed. They may never run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Behind<'a> {
    args: &'a [ArgRanges],
    lens: &'a [usize],
    buf: &'a [u8],
}

impl<'a> Behind<'a> {
    /// These, one behind the other in `buf`, of so many bytes each.
    pub(crate) fn new(args: &'a [ArgRanges], lens: &'a [usize], buf: &'a [u8]) -> Self {
        Self { args, lens, buf }
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Args<'a>> {
        let buf = self.buf;
        let places = self.lens.iter().scan(0, |at, len| Some(std::mem::replace(at, *at + len)));
        self.args.iter().zip(places).map(move |(args, at)| args.view(&buf[at..]))
    }
}

/// An application: one value per I/O thread, made and used on that thread only. None of its methods may block, but for
/// [`App::end_of_round`], which may wait for the log.
pub trait App: Sized {
    /// What is known about a connection.
    type Session;
    /// What other threads may send, to a client or to the thread.
    type Message: Send + 'static;

    /// A connection was accepted. `Err` holds the last words before it is closed; [`App::disconnected`] is not called
    /// for it.
    fn connected(
        &mut self,
        addr: &ClientAddr,
        peer: &Peer,
        settings: &mut ClientSettings,
    ) -> Result<Self::Session, Vec<u8>>;

    /// These commands of a client have arrived, and will be executed one after the other unless one of them says
    /// otherwise: time to fetch into the processor's caches what they will look at, and to note what was found out about
    /// each.
    fn foresee(&mut self, _session: &Self::Session, _commands: &[Args<'_>], _notes: &mut [Note]) {}

    /// A command has arrived; it has at least a name.
    fn execute(&mut self, session: &mut Self::Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow;

    /// A message for a client.
    fn message(&mut self, session: &mut Self::Session, message: Self::Message, turn: &mut Turn<'_>) -> Flow;

    /// A message for this thread; `outbox` reaches all its clients.
    fn thread_message(&mut self, message: Self::Message, outbox: &mut Outbox<'_, Self::Session>);

    /// The deadline of a blocked client has passed. Usually writes a reply and resumes.
    fn expired(&mut self, session: &mut Self::Session, turn: &mut Turn<'_>) -> Flow;

    /// All ready clients have been served; called once in each round in which anything ran. Replies of the round go out
    /// only after it returns.
    fn end_of_round(&mut self, now: Now) -> Verdict;

    /// After [`Verdict::Revise`]: `replies` are all that this round wrote for the client, and may be replaced. They stood at
    /// `start` of [`Turn::out`].
    fn revise(&mut self, session: &mut Self::Session, start: usize, replies: &mut Vec<u8>);

    /// A connection is gone.
    fn disconnected(&mut self, session: Self::Session, addr: &ClientAddr);

    /// Called about every [`super::NetConfig::tick`], for what is due by time alone.
    fn tick(&mut self, now: Now);
}

/// All clients of a thread, for messages that concern many.
pub struct Outbox<'a, S> {
    pub(crate) reach: &'a mut dyn Reach<S>,
}

impl<S> Outbox<'_, S> {
    /// Lets `write` append to what goes to a client of this thread. Returns whether it is still there.
    pub fn write(&mut self, addr: &ClientAddr, write: impl FnOnce(&mut S, &mut Vec<u8>)) -> bool {
        match self.reach.reach(addr) {
            Some((session, out)) => {
                write(session, out);
                true
            }
            None => false,
        }
    }
}

/// How an [`Outbox`] finds a client.
pub(crate) trait Reach<S> {
    fn reach(&mut self, addr: &ClientAddr) -> Option<(&mut S, &mut Vec<u8>)>;
}
