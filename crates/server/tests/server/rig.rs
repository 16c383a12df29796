//! A small application for tests of the I/O loop, and a client.
#![allow(dead_code, clippy::unwrap_used, reason = "not every binary needs all of it")]

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use resp::{Args, Protocol, Reply, ReplyDecoder, Value, write_command};
use server::net::{
    App, ClientAddr, ClientId, ClientSettings, Control, Flow, NetConfig, Now, Outbox, OutputClass, Peer, PeerAddr,
    Server, TcpEndpoint, Turn, Verdict,
};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the threads of a test server share with the test.
#[derive(Default)]
pub struct World {
    pub state: Mutex<State>,
    pub changed: Condvar,
}

#[derive(Default)]
pub struct State {
    pub values: HashMap<Vec<u8>, Vec<u8>>,
    pub clients: HashMap<u64, ClientAddr>,
    /// Commands executed since the last end of a round, of all threads.
    pub this_round: usize,
    /// How many commands each round had that had any.
    pub rounds: Vec<usize>,
    /// While set, `end_of_round` waits once something has been executed.
    pub gate_closed: bool,
    /// A thread waits at the gate.
    pub at_gate: bool,
    /// The log is broken: replies are revised.
    pub log_broken: bool,
    pub disconnected: usize,
    pub ticks: usize,
}

impl World {
    /// Waits until the state is as wanted.
    pub fn wait(&self, what: &str, mut until: impl FnMut(&State) -> bool) {
        let state = self.state.lock().unwrap();
        let (_state, timeout) = self.changed.wait_timeout_while(state, PATIENCE, |state| !until(state)).unwrap();
        assert!(!timeout.timed_out(), "this never happened: {what}");
    }

    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    pub fn addr_of(&self, id: i64) -> ClientAddr {
        self.state.lock().unwrap().clients[&(id as u64)].clone()
    }
}

#[derive(Clone)]
pub enum Message {
    /// Unblocks with this reply.
    Wake(Vec<u8>),
    /// Goes out besides replies.
    Push(Vec<u8>),
    Kill,
    Publish(Arc<[u8]>),
}

pub struct Kv {
    world: Arc<World>,
    control: Control<Message>,
    subscribers: HashMap<ClientId, ClientAddr>,
    executed: bool,
}

pub struct Session {
    tls: bool,
    unix: bool,
}

impl Kv {
    pub fn new(world: &Arc<World>, control: &Control<Message>) -> Self {
        Self { world: Arc::clone(world), control: control.clone(), subscribers: HashMap::new(), executed: false }
    }

    fn run(&mut self, session: &Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        let number = |index: usize| -> i64 { std::str::from_utf8(&args[index]).unwrap().parse().unwrap() };
        let mut state = self.world.state.lock().unwrap();
        let mut reply = Reply::new(turn.out, Protocol::Resp2);
        match (&args[0], args.len()) {
            (b"PING", 1) => reply.simple("PONG"),
            (b"ECHO", 2) => reply.bulk(&args[1]),
            (b"SET", 3) => {
                state.values.insert(args[1].to_vec(), args[2].to_vec());
                reply.ok();
            }
            (b"GET", 2) => match state.values.get(&args[1]) {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            },
            (b"COUNT", _) => reply.int(args.len() as i64 - 1),
            (b"ID", 1) => reply.int(turn.addr.id().0 as i64),
            (b"WHERE", 1) => reply.bulk(if session.tls {
                b"tls"
            } else if session.unix {
                b"unix"
            } else {
                b"tcp"
            }),
            (b"BIG", 2) => reply.bulk(&vec![b'x'; number(1) as usize]),
            (b"AUTH", 1) => {
                turn.settings.authenticated = true;
                reply.ok();
            }
            (b"BLOCK", 1) => return Flow::Block { deadline: None },
            (b"BLOCK", 2) => {
                return Flow::Block { deadline: Some(turn.now.mono + Duration::from_millis(number(1) as u64)) };
            }
            (b"WAKE", 3) => {
                let addr = state.clients[&(number(1) as u64)].clone();
                reply.bool(self.control.post().send(&addr, Message::Wake(args[2].to_vec()), args[2].len()).is_ok());
            }
            (b"SUBSCRIBE", 1) => {
                turn.settings.class = OutputClass::PubSub;
                self.subscribers.insert(turn.addr.id(), turn.addr.clone());
                reply.ok();
            }
            (b"PUBLISH", 2) => {
                for thread in 0..self.control.post().threads() {
                    let message = Message::Publish(args[1].into());
                    let to = server::net::ThreadId(thread as u16);
                    self.control.post().send_to_thread(to, message, args[1].len()).unwrap();
                }
                reply.ok();
            }
            (b"QUIT", 1) => {
                reply.ok();
                return Flow::Close;
            }
            (b"DIE", 1) => return Flow::CloseNow,
            (name, _) => reply.error(format!("ERR unknown command '{}'", name.escape_ascii())),
        }
        Flow::Continue
    }
}

impl App for Kv {
    type Session = Session;
    type Message = Message;

    fn connected(&mut self, addr: &ClientAddr, peer: &Peer, settings: &mut ClientSettings) -> Result<Session, Vec<u8>> {
        let guarded = matches!(peer.addr, PeerAddr::Tcp { local, .. } if local.ip() != std::net::Ipv4Addr::LOCALHOST);
        settings.authenticated = !guarded;
        self.world.change(|state| {
            state.clients.insert(addr.id().0, addr.clone());
        });
        Ok(Session { tls: peer.tls, unix: matches!(peer.addr, PeerAddr::Unix) })
    }

    fn execute(&mut self, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        let flow = self.run(session, args, turn);
        self.executed = true;
        self.world.change(|state| state.this_round += 1);
        flow
    }

    fn message(&mut self, _: &mut Session, message: Message, turn: &mut Turn<'_>) -> Flow {
        match message {
            Message::Wake(bytes) => {
                Reply::new(turn.out, Protocol::Resp2).bulk(&bytes);
                Flow::Resume
            }
            Message::Push(bytes) => {
                Reply::new(turn.out, Protocol::Resp2).bulk(&bytes);
                Flow::Continue
            }
            Message::Kill => Flow::CloseNow,
            Message::Publish(_) => unreachable!("goes to threads"),
        }
    }

    fn thread_message(&mut self, message: Message, outbox: &mut Outbox<'_, Session>) {
        let Message::Publish(bytes) = message else { unreachable!("goes to clients") };
        self.subscribers.retain(|_, addr| outbox.write(addr, |_, out| Reply::new(out, Protocol::Resp2).bulk(&bytes)));
    }

    fn expired(&mut self, _: &mut Session, turn: &mut Turn<'_>) -> Flow {
        Reply::new(turn.out, Protocol::Resp2).null();
        Flow::Resume
    }

    fn end_of_round(&mut self, _: Now) -> Verdict {
        if !std::mem::take(&mut self.executed) {
            return Verdict::Deliver;
        }
        let mut state = self.world.state.lock().unwrap();
        while state.gate_closed {
            state.at_gate = true;
            self.world.changed.notify_all();
            // A test that fails leaves the gate closed; its server is to end all the same.
            let (held, timeout) = self.world.changed.wait_timeout(state, PATIENCE).unwrap();
            state = held;
            state.gate_closed &= !timeout.timed_out();
        }
        state.at_gate = false;
        let commands = std::mem::take(&mut state.this_round);
        state.rounds.push(commands);
        if state.log_broken { Verdict::Revise } else { Verdict::Deliver }
    }

    fn revise(&mut self, _: &mut Session, _: usize, replies: &mut Vec<u8>) {
        if replies.starts_with(b"+OK") {
            replies.clear();
            replies.extend_from_slice(b"-MISCONF the log is broken\r\n");
        }
    }

    fn disconnected(&mut self, _: Session, addr: &ClientAddr) {
        self.subscribers.remove(&addr.id());
        self.world.change(|state| {
            state.clients.remove(&addr.id().0);
            state.disconnected += 1;
        });
    }

    fn tick(&mut self, _: Now) {
        self.world.change(|state| state.ticks += 1);
    }
}

/// A server that runs for one test.
pub struct Rig {
    pub server: Server<Message>,
    pub world: Arc<World>,
}

impl Rig {
    /// Listens on some free port of the loopback, besides what `config` says.
    pub fn start(mut config: NetConfig) -> Self {
        config.tcp.insert(0, TcpEndpoint::plain(([127, 0, 0, 1], 0).into()));
        config.tick = Duration::from_millis(10);
        let world = Arc::new(World::default());
        let shared = Arc::clone(&world);
        let server = Server::start(config, move |_, control| Kv::new(&shared, control)).unwrap();
        Self { server, world }
    }

    pub fn simple() -> Self {
        Self::start(NetConfig::default())
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    pub fn client(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client::new(stream)
    }

    /// Waits until the counters are as wanted.
    pub fn wait_for(&self, what: &str, until: impl Fn(&server::net::Totals) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !until(&self.server.control().totals()) {
            assert!(Instant::now() < end, "this never happened: {what}: {:?}", self.server.control().totals());
            std::thread::yield_now();
        }
    }
}

/// A client that waits for its replies.
pub struct Client<S> {
    pub stream: S,
    decoder: ReplyDecoder,
}

impl<S: Read + Write> Client<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, decoder: ReplyDecoder::new() }
    }

    pub fn send(&mut self, args: &[&[u8]]) {
        let mut bytes = Vec::new();
        write_command(&mut bytes, args.iter());
        self.stream.write_all(&bytes).unwrap();
    }

    pub fn call(&mut self, args: &[&[u8]]) -> Value {
        self.send(args);
        self.reply()
    }

    /// A command of words.
    pub fn say(&mut self, line: &str) -> Value {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.call(&words)
    }

    pub fn id(&mut self) -> i64 {
        self.say("ID").as_int().unwrap()
    }

    /// The next reply; panics if the connection ends before it.
    pub fn reply(&mut self) -> Value {
        self.try_reply().expect("the connection ended")
    }

    /// The next reply, or `None` when the connection ends.
    pub fn try_reply(&mut self) -> Option<Value> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(value) = self.decoder.next_value().unwrap() {
                return Some(value);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.decoder.feed(&buffer[..count]),
                Err(error) => {
                    let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(!late, "no reply: {error}");
                    return None;
                }
            }
        }
    }
}

pub fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

pub fn pong() -> Value {
    Value::Simple(b"PONG".to_vec())
}

pub fn bulk(bytes: impl AsRef<[u8]>) -> Value {
    Value::Bulk(bytes.as_ref().to_vec())
}

pub fn error(text: &str) -> Value {
    Value::Error(text.as_bytes().to_vec())
}
