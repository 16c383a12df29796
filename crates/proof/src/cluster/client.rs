//! A client: it asks one node, some requests at a time, goes on through everything that happens to the node, and remembers what it was told.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::ask::{Answer, Ask};
use crate::conn::{Conn, encode};
use crate::history::exclusive::Exclusive;
use crate::history::{Element, Key, Op, Outcome, Session, Txn};
use crate::resp::Value;
use crate::rng::Rng;

/// Lists that are written at one time; of the others only the youngest are read.
pub const LISTS: u64 = 6;
/// Appends until there are new ones, for each of them.
const FULL: u64 = 48;
/// Counters, sets and hashes.
pub const OTHERS: u64 = 8;
/// Requests that are sent at once.
const AT_ONCE: usize = 6;
/// How long an answer may take, in milliseconds: a pause can be longer and can be shorter.
const PATIENCE_MS: (usize, usize) = (700, 4_000);
/// Between attempts to connect.
const AGAIN: Duration = Duration::from_millis(50);

/// What clients know of each other.
#[derive(Debug, Default)]
pub struct Common {
    /// When they are to end.
    pub stop: AtomicBool,
    appends: AtomicU64,
}

impl Common {
    /// How many lists there may be by now.
    pub fn lists(&self) -> u64 {
        self.youngest() + LISTS
    }

    fn youngest(&self) -> u64 {
        self.appends.load(Ordering::Relaxed) / (LISTS * FULL) * LISTS
    }
}

/// What was told to be done, and what may have been.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known<T> {
    /// Acknowledged.
    pub done: T,
    /// Without an answer.
    pub open: T,
}

impl<T> Known<T> {
    fn add(&mut self, outcome: Outcome, add: impl FnOnce(&mut T)) {
        match outcome {
            Outcome::Done => add(&mut self.done),
            Outcome::Unknown => add(&mut self.open),
            Outcome::Refused => {}
        }
    }
}

/// What a client remembers.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Its transactions on lists.
    pub session: Session,
    /// Its exclusive ones.
    pub exclusive: Vec<Exclusive>,
    /// By counter: what was added.
    pub counts: HashMap<Key, Known<i64>>,
    /// By set: its own members.
    pub members: HashMap<Key, Known<Vec<Element>>>,
    /// By hash: what was written to its own field, in order.
    pub fields: HashMap<Key, Known<Vec<Element>>>,
    /// Errors by their first word, with how many there were and one of them.
    pub errors: BTreeMap<String, (usize, String)>,
    /// How many requests were acknowledged.
    pub acknowledged: usize,
    /// How many may have been done.
    pub open: usize,
    /// What no reply may say.
    pub wrong: Option<String>,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    number: usize,
    at: SocketAddr,
    rng: Rng,
    /// Between requests, on average.
    pause: Duration,
    connection: u32,
    next: u64,
    counters: HashMap<Key, i64>,
    /// What it remembers.
    pub memory: Memory,
}

impl Memory {
    /// Counts what was told, and keeps what an error said.
    pub fn count(&mut self, outcome: Outcome, error: Option<String>) {
        if let Some(text) = error {
            let word = text.split(' ').next().unwrap_or_default().to_owned();
            self.errors.entry(word).or_insert((0, text)).0 += 1;
        }
        self.acknowledged += usize::from(outcome == Outcome::Done);
        self.open += usize::from(outcome == Outcome::Unknown);
    }
}

impl Client {
    /// One of a node; `pause` is how long it waits between requests, on average.
    pub fn new(number: usize, at: SocketAddr, rng: Rng, pause: Duration) -> Client {
        let memory = Memory::default();
        Client { number, at, rng, pause, connection: 0, next: 0, counters: HashMap::new(), memory }
    }

    /// Its number among all.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Asks until it is told to end, or is told something that cannot be.
    pub fn run(&mut self, common: &Common) {
        let mut conn = None;
        while !common.stop.load(Ordering::Relaxed) && self.memory.wrong.is_none() {
            let Some(open) = conn.as_mut() else {
                conn = connect(self.at, &mut self.rng);
                continue;
            };
            let asks: Vec<Ask> = (0..self.rng.between(1, AT_ONCE)).map(|_| self.choose(common)).collect();
            let count = asks.len() as u32;
            if self.ask(open, asks).is_err() {
                conn = None;
                self.connection += 1;
            }
            let spread = self.rng.below(2_000) as u32;
            std::thread::sleep(self.pause * count * spread / 1_000);
        }
    }

    /// Sends all and reads what is answered; what is not is remembered as open.
    fn ask(&mut self, conn: &mut Conn, asks: Vec<Ask>) -> Result<()> {
        let mut bytes = Vec::new();
        asks.iter().flat_map(|ask| ask.commands(self.number)).for_each(|command| encode(&command, &mut bytes));
        let mut failed = conn.send_raw(&bytes);
        for mut ask in asks {
            let replies = match &failed {
                Ok(()) => (0..ask.replies()).map(|_| conn.reply()).collect::<Result<Vec<Value>>>(),
                Err(_) => Ok(Vec::new()),
            };
            let answer = match (&failed, replies) {
                (Ok(()), Ok(replies)) => ask.answer(&replies),
                (Ok(()), Err(e)) => {
                    failed = Err(e);
                    Ok(Answer::none())
                }
                (Err(_), _) => Ok(Answer::none()),
            };
            match answer {
                Ok(answer) => self.remember(ask, answer),
                Err(e) => self.memory.wrong = Some(format!("client {}: {e:#}", self.number)),
            }
        }
        failed
    }

    fn choose(&mut self, common: &Common) -> Ask {
        self.next += 1;
        let unique = (self.number as u64) << 40 | self.next;
        let other = self.rng.below(OTHERS as usize) as Key;
        match self.rng.below(8) {
            0 => Ask::Count(other, self.rng.between(1, 9) as i64),
            1 => Ask::Member(other, unique),
            2 => Ask::Field(other, unique),
            3 | 4 => Ask::Lists(vec![self.step(common)]),
            _ => Ask::Lists((0..self.rng.between(2, 5)).map(|_| self.step(common)).collect()),
        }
    }

    fn step(&mut self, common: &Common) -> Op {
        let youngest = common.youngest();
        if self.rng.one_in(2) {
            common.appends.fetch_add(1, Ordering::Relaxed);
            self.next += 1;
            Op::Append(youngest + self.rng.below(LISTS as usize) as Key, (self.number as u64) << 40 | self.next)
        } else {
            // Now and then one that is full, perhaps not yet to everybody.
            let back = if self.rng.one_in(4) { LISTS.min(youngest) } else { 0 };
            Op::Read(youngest - back + self.rng.below(LISTS as usize) as Key, Vec::new())
        }
    }

    fn remember(&mut self, ask: Ask, answer: Answer) {
        let Answer { outcome, error, count } = answer;
        let memory = &mut self.memory;
        let connection = self.connection;
        if outcome == Outcome::Unknown && error.is_some() {
            // What is done behind it does not say that this was.
            self.connection += 1;
        }
        memory.count(outcome, error);
        match ask {
            Ask::Lists(ops) => {
                let told = outcome == Outcome::Done;
                let ops = ops.into_iter().filter(|op| told || matches!(op, Op::Append(..))).collect();
                memory.session.push(Txn { ops, outcome, connection });
            }
            Ask::Count(key, by) => {
                let known = memory.counts.entry(key).or_default();
                known.add(outcome, |sum| *sum += by);
                let last = self.counters.entry(key).or_default();
                if count.is_some_and(|now| now < *last + by) {
                    memory.wrong =
                        Some(format!("client {}: counter {key} was {last}, and {count:?} with {by} more", self.number));
                }
                *last = count.unwrap_or(*last);
            }
            Ask::Member(key, member) => memory.members.entry(key).or_default().add(outcome, |all| all.push(member)),
            Ask::Field(key, value) => memory.fields.entry(key).or_default().add(outcome, |all| all.push(value)),
        }
    }
}

/// A connection that waits for an answer as long as chance has it; without one, it takes a moment.
pub fn connect(at: SocketAddr, rng: &mut Rng) -> Option<Conn> {
    let patience = Duration::from_millis(rng.between(PATIENCE_MS.0, PATIENCE_MS.1) as u64);
    let conn = Conn::connect(at).and_then(|conn| conn.set_patience(patience).map(|()| conn)).ok();
    if conn.is_none() {
        std::thread::sleep(AGAIN);
    }
    conn
}
