//! A client whose transactions are exclusive: it watches keys, looks at them, and changes some if nobody has changed any.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::ask::{error_text, judged};
use super::client::{Common, Memory, connect};
use crate::conn::{Command, Conn, command};
use crate::history::exclusive::{Exclusive, Version};
use crate::history::{Key, Outcome};
use crate::resp::Value;
use crate::rng::Rng;

/// Keys that all of them want.
pub const KEYS: u64 = 24;

/// One of them.
#[derive(Debug)]
pub struct Rival {
    number: usize,
    at: SocketAddr,
    rng: Rng,
    pause: Duration,
    next: u64,
    /// What it remembers.
    pub memory: Memory,
}

/// The name of a key.
pub fn name(key: Key) -> String {
    format!("safe:{key}")
}

/// Which version a key's value is.
pub fn version(reply: &Value) -> Result<Version> {
    if reply.is_null() { Ok(0) } else { reply.text().parse().with_context(|| format!("{reply} is no version")) }
}

impl Rival {
    /// One of a node; `pause` is how long it waits between transactions, on average.
    pub fn new(number: usize, at: SocketAddr, rng: Rng, pause: Duration) -> Rival {
        Rival { number, at, rng, pause, next: 0, memory: Memory::default() }
    }

    /// Its number among all clients.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Goes on until it is told to end, or is told something that cannot be.
    pub fn run(&mut self, common: &Common) {
        let mut conn = None;
        while !common.stop.load(Ordering::Relaxed) && self.memory.wrong.is_none() {
            let Some(open) = conn.as_mut() else {
                conn = connect(self.at, &mut self.rng);
                continue;
            };
            match self.transaction(open) {
                Ok(true) => {}
                Ok(false) => conn = None,
                Err(e) => self.memory.wrong = Some(format!("client {}: {e:#}", self.number)),
            }
            std::thread::sleep(self.pause * self.rng.below(2_000) as u32 / 1_000);
        }
    }

    /// One of them; whether the connection goes on.
    fn transaction(&mut self, conn: &mut Conn) -> Result<bool> {
        self.next += 1;
        let version = (self.number as u64) << 40 | self.next;
        let mut keys: Vec<Key> = (0..self.rng.between(1, 3)).map(|_| self.rng.below(KEYS as usize) as Key).collect();
        keys.sort_unstable();
        keys.dedup();
        let Some(saw) = self.look(conn, &keys)? else { return Ok(false) };
        let wrote: Vec<_> = keys.iter().filter(|_| !self.rng.one_in(3)).map(|&key| (key, version)).collect();
        let set = |&(key, version): &(Key, Version)| command(&["SET", &name(key), &version.to_string()]);
        // One that changes nothing reads its keys again, at one moment.
        let get = |&key: &Key| command(&["GET", &name(key)]);
        let middle: Vec<Command> = wrote.iter().map(set).chain(keys.iter().map(get)).collect();
        let all: Vec<Command> =
            std::iter::once(command(&["MULTI"])).chain(middle.clone()).chain([command(&["EXEC"])]).collect();
        let reply = conn.pipeline(&all).ok().and_then(|mut replies| replies.pop());
        let error = reply.as_ref().filter(|reply| reply.is_error()).map(error_text);
        let outcome = match &reply {
            None => Outcome::Unknown,
            Some(reply) if reply.is_error() => judged(&error_text(reply)),
            Some(reply) if reply.is_null() => Outcome::Refused,
            Some(reply) => {
                whole(reply, &saw, &wrote, middle.len())?;
                Outcome::Done
            }
        };
        self.memory.count(outcome, error);
        self.memory.exclusive.push(Exclusive { saw, wrote, outcome });
        Ok(reply.is_some())
    }

    /// Watches the keys and looks at them; nothing if there was no answer.
    fn look(&mut self, conn: &mut Conn, keys: &[Key]) -> Result<Option<Vec<(Key, Version)>>> {
        let names: Vec<String> = keys.iter().map(|&key| name(key)).collect();
        let watch = command(&[&["WATCH".to_owned()], names.as_slice()].concat());
        let asks: Vec<Command> =
            std::iter::once(watch).chain(names.iter().map(|name| command(&["GET", name]))).collect();
        let Ok(replies) = conn.pipeline(&asks) else { return Ok(None) };
        if let Some(error) = replies.iter().find(|reply| reply.is_error()) {
            self.memory.count(Outcome::Refused, Some(error_text(error)));
            return Ok(None);
        }
        let saw = keys.iter().zip(&replies[1..]).map(|(&key, reply)| Ok((key, version(reply)?)));
        saw.collect::<Result<_>>().map(Some)
    }
}

/// What EXEC answered: its own writes, and what was seen of the other keys when they were watched.
fn whole(reply: &Value, saw: &[(Key, Version)], wrote: &[(Key, Version)], count: usize) -> Result<()> {
    let Some(items) = reply.items().filter(|items| items.len() == count) else {
        bail!("EXEC of {count} commands was answered {reply}");
    };
    for (&(key, seen), item) in saw.iter().zip(&items[wrote.len()..]) {
        let expected = wrote.iter().find(|(written, _)| *written == key).map_or(seen, |&(_, version)| version);
        let found = version(item)?;
        ensure!(found == expected, "EXEC was done and saw {found} in {}, where {expected} was watched", name(key));
    }
    Ok(())
}
