//! A connection's keys and their model. Nobody else writes them, so every reply is known.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::expect::{Expect, page};
use super::item::{Blob, Item, Kind};
use super::zipf::Zipf;
use crate::conn::{Command, Conn, command};
use crate::rng::Rng;

mod ask;

/// Commands of one pipeline while loading and checking.
const BATCH: usize = 32;

/// A key that expires is left alone until it has been gone for so long.
const EXPIRY_MARGIN: Duration = Duration::from_millis(20);

/// Seconds of an expiry that no run lives to see, and the least that may be left of it.
const FAR: i64 = 1_000_000;
const FAR_LEFT: i64 = FAR - 100_000;

/// When a key goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Stays,
    /// In [`FAR`] seconds, or a while less.
    Far,
    /// So many milliseconds after a command that is not answered yet.
    Dying(u64),
    /// Certainly at this moment; until then nobody knows.
    GoneBy(Instant),
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) item: Option<Item>,
    pub(super) life: Life,
}

/// A connection's keys.
#[derive(Debug)]
pub struct Owner {
    id: u64,
    pub(super) rng: Rng,
    pub(super) keys: Vec<Key>,
    zipf: Zipf,
    /// Keys that die by commands which are not answered yet.
    dying: Vec<usize>,
    cursor: Vec<u8>,
}

impl Owner {
    /// Keys with values of about so many bytes together.
    pub fn new(id: u64, bytes: u64, seed: u64) -> Owner {
        let mut rng = Rng::new(seed << 16 | id);
        let (mut keys, mut sum) = (Vec::new(), 0);
        while sum < bytes || keys.len() < 20 {
            let item = Item::random(Kind::of(keys.len()), &mut rng);
            sum += item.bytes();
            keys.push(Key { item: Some(item), life: Life::Stays });
        }
        let zipf = Zipf::new(keys.len() as u64);
        Owner { id, rng, keys, zipf, dying: Vec::new(), cursor: b"0".to_vec() }
    }

    pub fn name(&self, number: usize) -> Vec<u8> {
        format!("o{}:{number:09}", self.id).into_bytes()
    }

    /// The number of a key of ours.
    fn number(&self, name: &[u8]) -> Option<usize> {
        let digits = name.strip_prefix(format!("o{}:", self.id).as_bytes())?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The names of all keys that are there.
    pub fn alive(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.keys.iter().enumerate().filter(|(_, key)| key.item.is_some()).map(|(number, _)| self.name(number))
    }

    /// All its strings.
    pub fn texts(&self) -> impl Iterator<Item = (Vec<u8>, Blob)> + '_ {
        self.keys.iter().enumerate().filter_map(|(number, key)| match key.item {
            Some(Item::Text(blob)) => Some((self.name(number), blob)),
            _ => None,
        })
    }

    /// A random string of those that nobody changes, as long as [`Owner::turn`] is not called.
    pub fn random_text(&self, rng: &mut Rng) -> Option<(Vec<u8>, Blob)> {
        let number = rng.below(self.keys.len());
        match self.keys[number].item {
            Some(Item::Text(blob)) => Some((self.name(number), blob)),
            _ => None,
        }
    }

    /// Makes all keys.
    pub fn load(&mut self, conn: &mut Conn) -> Result<()> {
        for first in (0..self.keys.len()).step_by(BATCH) {
            let batch = first..self.keys.len().min(first + BATCH);
            let made = |number: usize| self.keys[number].item.as_ref().map(|item| item.make(&self.name(number)));
            ask_all(conn, batch.filter_map(made).collect())?;
        }
        Ok(())
    }

    /// Reads all keys, also those that must be gone.
    pub fn check(&mut self, conn: &mut Conn) -> Result<()> {
        while self.keys.iter().any(|key| matches!(key.life, Life::GoneBy(_))) {
            std::thread::sleep(EXPIRY_MARGIN);
            (0..self.keys.len()).for_each(|number| self.bury(number));
        }
        for first in (0..self.keys.len()).step_by(BATCH) {
            let read = |number: usize| match &self.keys[number].item {
                Some(item) => item.read(&self.name(number)),
                None => (command(&[&b"EXISTS"[..], &self.name(number)]), Expect::int(0)),
            };
            ask_all(conn, (first..self.keys.len().min(first + BATCH)).map(read).collect())?;
        }
        Ok(())
    }

    /// Sends `count` random commands at once, and compares all replies.
    pub fn turn(&mut self, conn: &mut Conn, count: usize) -> Result<()> {
        let mut batch = Vec::new();
        while batch.len() + 1 < count {
            let number = self.zipf.draw(&mut self.rng);
            self.bury(number);
            if !matches!(self.keys[number].life, Life::Dying(_) | Life::GoneBy(_)) {
                batch.push(self.ask(number));
            }
        }
        ask_all(conn, batch)?;
        // Their deadlines cannot be later than so long after the replies.
        let now = Instant::now();
        for number in self.dying.drain(..) {
            let life = &mut self.keys[number].life;
            if let Life::Dying(ms) = *life {
                *life = Life::GoneBy(now + Duration::from_millis(ms) + EXPIRY_MARGIN);
            }
        }
        self.scan(conn)
    }

    /// A page of SCAN: what it gives of ours must be there, but for what is about to go.
    fn scan(&mut self, conn: &mut Conn) -> Result<()> {
        if !self.rng.one_in(16) {
            // One command more, so that the number of all is as it was asked for.
            return ask_all(conn, vec![(command(&["PING"]), Expect::Is(crate::resp::Value::Simple(b"PONG".to_vec())))]);
        }
        let reply = conn.call(&command(&[&b"SCAN"[..], &self.cursor]))?;
        let (cursor, names) = page(&reply)?;
        self.cursor = cursor;
        for name in names {
            let Some(number) = self.number(&name) else { continue };
            let key = self.keys.get(number).with_context(|| format!("SCAN gave key {number}, which never was"))?;
            ensure!(key.item.is_some(), "SCAN gave {}, which is gone", String::from_utf8_lossy(&name));
        }
        Ok(())
    }

    /// Takes a key out of the model if it has certainly expired.
    fn bury(&mut self, number: usize) {
        let key = &mut self.keys[number];
        if matches!(key.life, Life::GoneBy(moment) if moment <= Instant::now()) {
            *key = Key { item: None, life: Life::Stays };
        }
    }
}

/// Sends all at once and compares all replies.
fn ask_all(conn: &mut Conn, batch: Vec<(Command, Expect)>) -> Result<()> {
    let (commands, expected): (Vec<Command>, Vec<Expect>) = batch.into_iter().unzip();
    let replies = conn.pipeline(&commands)?;
    for ((command, expect), reply) in commands.iter().zip(expected).zip(&replies) {
        expect.check(command, reply)?;
    }
    Ok(())
}
