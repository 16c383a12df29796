//! A steady load: command i is due at i / rate, is sent then however late others are, and its latency counts from then. So
//! a pause of the server is seen by all commands that fall into it, not by one of each connection.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Options;
use crate::conn::encode;
use crate::measure::keys::{self, VALUE_BYTES};
use crate::measure::poll;
use crate::resp::escape;
use crate::rng::Rng;

/// A server that answers nothing for so long counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// One command, answered.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// When it was to be sent, since the start.
    pub due: Duration,
    /// From then to its reply.
    pub took: Duration,
    /// SET, or GET.
    pub set: bool,
}

/// One that is under way.
#[derive(Debug)]
struct Waiting {
    due: Duration,
    set: bool,
    reply: Vec<u8>,
}

#[derive(Debug)]
struct Line {
    socket: TcpStream,
    inbox: Vec<u8>,
    waiting: VecDeque<Waiting>,
}

/// The load. Each connection has its own keys, so that every reply is known.
#[derive(Debug)]
pub struct Steady {
    lines: Vec<Line>,
    rate: u64,
    keys: u64,
    /// What all keys have, but for those below.
    version: u32,
    written: HashMap<u64, u32>,
}

impl Steady {
    /// Connects; all keys have the value of `version`.
    pub fn connect(port: u16, options: &Options, version: u32) -> Result<Steady> {
        let line = |_| {
            let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connect")?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            Ok(Line { socket, inbox: Vec::new(), waiting: VecDeque::new() })
        };
        let lines = (0..options.connections).map(line).collect::<Result<_>>()?;
        Ok(Steady { lines, rate: options.rate, keys: options.keys, version, written: HashMap::new() })
    }

    /// Sends until `stop` is set, and waits for the last replies.
    pub fn run(&mut self, began: Instant, stop: &AtomicBool) -> Result<Vec<Asked>> {
        poll::exact_timers();
        let (mut rng, mut asked, mut next) = (Rng::new(u64::from(self.version)), Vec::new(), 0);
        let mut last_reply = Instant::now();
        loop {
            let stopped = stop.load(Ordering::Relaxed);
            while !stopped && self.due(next) <= began.elapsed() {
                self.send(next, &mut rng)?;
                next += 1;
            }
            let is_waiting = self.lines.iter().any(|line| !line.waiting.is_empty());
            if stopped && !is_waiting {
                return Ok(asked);
            }
            ensure!(!is_waiting || last_reply.elapsed() < PATIENCE, "no reply for {PATIENCE:?}");
            let most = if stopped { PATIENCE } else { self.due(next).saturating_sub(began.elapsed()) };
            let ready = poll::readable(self.lines.iter().map(|line| &line.socket), most)?;
            for (line, _) in self.lines.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                line.receive(began, &mut asked)?;
                last_reply = Instant::now();
            }
            if !is_waiting {
                last_reply = Instant::now();
            }
        }
    }

    fn due(&self, number: u64) -> Duration {
        Duration::from_nanos(number * 1_000_000_000 / self.rate)
    }

    fn send(&mut self, number: u64, rng: &mut Rng) -> Result<()> {
        let due = self.due(number);
        let lines = self.lines.len() as u64;
        let at = number % lines;
        // Its own keys: those with its number as the rest. There are at least as many keys as connections.
        let index = at + lines * rng.below((self.keys / lines) as usize) as u64;
        let mut bytes = Vec::new();
        let waiting = if rng.one_in(2) {
            let version = self.version + 1 + number as u32;
            self.written.insert(index, version);
            encode(&[&b"SET"[..], keys::key(index).as_bytes(), &keys::value(index, version)], &mut bytes);
            Waiting { due, set: true, reply: b"+OK\r\n".to_vec() }
        } else {
            let version = self.written.get(&index).copied().unwrap_or(self.version);
            encode(&["GET", &keys::key(index)], &mut bytes);
            let reply = [format!("${VALUE_BYTES}\r\n").as_bytes(), &keys::value(index, version), b"\r\n"].concat();
            Waiting { due, set: false, reply }
        };
        let line = &mut self.lines[at as usize];
        line.waiting.push_back(waiting);
        line.write(&bytes)
    }
}

impl Line {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        let began = Instant::now();
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                // Its buffer is full: the server reads nothing. The load waits with it, and the latencies tell.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    ensure!(began.elapsed() < PATIENCE, "the server reads nothing");
                    std::thread::yield_now();
                }
                Err(error) => return Err(error).context("send"),
            }
        }
        Ok(())
    }

    /// Takes what has arrived, and compares it with what was due.
    fn receive(&mut self, began: Instant, asked: &mut Vec<Asked>) -> Result<()> {
        let mut chunk = [0; 16 << 10];
        match self.socket.read(&mut chunk) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(n) => self.inbox.extend_from_slice(&chunk[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(error) => return Err(error).context("receive"),
        }
        let now = began.elapsed();
        let mut at = 0;
        while at < self.inbox.len() {
            let waiting = self.waiting.front().context("a reply to nothing")?;
            let rest = &self.inbox[at..];
            let len = rest.len().min(waiting.reply.len());
            if rest[..len] != waiting.reply[..len] {
                bail!("a reply was {}, not {}", escape(&rest[..rest.len().min(200)]), escape(&waiting.reply));
            }
            if len < waiting.reply.len() {
                break;
            }
            asked.push(Asked { due: waiting.due, took: now.saturating_sub(waiting.due), set: waiting.set });
            (at, _) = (at + len, self.waiting.pop_front());
        }
        self.inbox.drain(..at);
        Ok(())
    }
}
