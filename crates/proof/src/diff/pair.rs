//! Two servers, two sessions with each, and the same words for both.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};

use super::compare::{Context, Verdict, compare};
use super::generate::SESSIONS;
use crate::conn::{Conn, encode};
use crate::resp::{Value, escape};

/// One command of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which session says it.
    pub session: usize,
    /// The words.
    pub words: Vec<Vec<u8>>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.words.iter().map(|w| escape(w)).collect();
        write!(f, "{}> {}", self.session, words.join(" "))
    }
}

/// A difference that is not allowed.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The step's place in the batch; the batch's length for a difference of states.
    pub at: usize,
    /// What was said, or which part of the state was looked at.
    pub what: String,
    /// True if it is the state that differs.
    pub is_state: bool,
    /// What the server under test says.
    pub sut: String,
    /// What the oracle says.
    pub oracle: String,
}

impl Mismatch {
    /// Mismatches with the same key are taken for the same bug: same command, same kinds of reply.
    pub fn key(&self) -> String {
        let kind = |text: &str| match text.strip_prefix('-') {
            Some(error) => error.chars().take(60).collect::<String>(),
            None => text.chars().take(1).collect(),
        };
        let name = self.what.split_whitespace().nth(1).unwrap_or_default().to_uppercase();
        format!("{name}|{}|{}", kind(&self.sut), kind(&self.oracle))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: &str| {
            if text.len() > 4000 { format!("{}…", &text[..text.floor_char_boundary(4000)]) } else { text.to_owned() }
        };
        write!(f, "    {}\n      here:   {}\n      oracle: {}", cut(&self.what), cut(&self.sut), cut(&self.oracle))
    }
}

/// The servers, with fresh connections; both are emptied.
pub struct Pair {
    sut: Vec<Conn>,
    oracle: Vec<Conn>,
    contexts: Vec<Context>,
    allowed: BTreeMap<&'static str, u64>,
}

impl Pair {
    /// Opens the sessions and empties both servers.
    pub fn open(sut: u16, oracle: u16) -> Result<Pair> {
        let sessions = |port| -> Result<Vec<Conn>> {
            Conn::open(port)?.call(&["FLUSHALL"])?;
            (0..SESSIONS).map(|i| if i == 0 { Conn::open(port) } else { Conn::open3(port) }).collect()
        };
        Ok(Pair {
            sut: sessions(sut).context("the server under test")?,
            oracle: sessions(oracle).context("the oracle")?,
            contexts: vec![Context::default(); SESSIONS],
            allowed: BTreeMap::new(),
        })
    }

    /// How often each allowed difference was met.
    pub fn allowed(&self) -> &BTreeMap<&'static str, u64> {
        &self.allowed
    }

    /// Sends the same commands to both over one session, for looking at the state.
    pub fn ask(&mut self, session: usize, commands: &[Vec<Vec<u8>>]) -> Result<(Vec<Value>, Vec<Value>)> {
        let mut bytes = Vec::new();
        commands.iter().for_each(|c| encode(c, &mut bytes));
        self.sut[session].send_raw(&bytes)?;
        self.oracle[session].send_raw(&bytes)?;
        let oracle =
            commands.iter().map(|_| self.oracle[session].reply()).collect::<Result<_>>().context("the oracle")?;
        let sut = commands
            .iter()
            .map(|_| self.sut[session].reply())
            .collect::<Result<_>>()
            .context("the server under test")?;
        Ok((sut, oracle))
    }

    /// One command to one of the two.
    pub fn tell(&mut self, oracle: bool, words: &[Vec<u8>]) -> Result<Value> {
        if oracle { self.oracle[0].call(words) } else { self.sut[0].call(words) }
    }

    /// Runs steps in order and reports the first difference. All replies are read, so the connections stay in step.
    pub fn run(&mut self, steps: &[Step]) -> Result<Option<Mismatch>> {
        let mut done = 0;
        for turn in steps.chunk_by(|a, b| a.session == b.session) {
            let words: Vec<_> = turn.iter().map(|s| s.words.clone()).collect();
            let (sut, oracle) = self.ask(turn[0].session, &words)?;
            for (i, ((step, sut), oracle)) in turn.iter().zip(&sut).zip(&oracle).enumerate() {
                match compare(&mut self.contexts[step.session], &step.words, sut, oracle) {
                    Verdict::Same => {}
                    Verdict::Allowed(name) => *self.allowed.entry(name).or_default() += 1,
                    Verdict::Different => {
                        let blame = self.contexts[step.session].blame.take();
                        let (what, sut, oracle) = match blame {
                            Some((words, a, b)) => {
                                (format!("{} (in EXEC)", Step { session: step.session, words }), a, b)
                            }
                            None => (step.to_string(), sut.clone(), oracle.clone()),
                        };
                        let (sut, oracle) = (sut.to_string(), oracle.to_string());
                        return Ok(Some(Mismatch { at: done + i, what, is_state: false, sut, oracle }));
                    }
                }
            }
            done += turn.len();
        }
        Ok(None)
    }
}
