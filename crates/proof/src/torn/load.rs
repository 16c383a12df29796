//! The load of one life of a server: connections with databases of their own, each with its acts in one order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::conn::{Conn, command, encode};
use crate::rng::Rng;

use super::act::Act;
use super::choose;
use super::model::{DATABASES, Dbs};

/// At most so many acts are under way at once on a connection.
const WINDOW: usize = 12;

/// An act that was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// The database.
    pub db: usize,
    /// The act, with what its reply told.
    pub act: Act,
    /// When it was sent and when its reply was read, on a clock that all connections share.
    pub sent: u64,
    /// See `sent`.
    pub acked: u64,
    /// In which run of the server it was done.
    pub run: usize,
    /// Whether its reply was read.
    pub answered: bool,
    /// How many replies the connection had had with its own in that run.
    pub replies: usize,
    /// The first act that was sent only after its reply.
    pub window: usize,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Worker {
    /// What its databases held when the server was started.
    pub base: Dbs,
    /// What they hold now.
    pub state: Dbs,
    /// What was done in between.
    pub done: Vec<Done>,
    /// An error that no act deserves.
    pub refused: Option<String>,
    index: usize,
}

/// How much a connection does, and how slowly.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which run of the server it is.
    pub run: usize,
    /// So many acts.
    pub acts: usize,
    /// A pause before each window.
    pub pause: Duration,
}

/// What the first reply of a connection is in a run of the server, so that it is known again in the trace.
pub fn name(index: usize, run: usize) -> String {
    format!("torn-worker-{index}-run-{run}")
}

impl Worker {
    /// A connection whose databases are as in `base`.
    pub fn new(index: usize, base: Dbs) -> Worker {
        Worker { state: base.clone(), base, done: Vec::new(), refused: None, index }
    }

    /// Does as planned, until the connection breaks.
    pub fn drive(&mut self, port: u16, seed: u64, plan: Plan, clock: &AtomicU64) -> Result<()> {
        let mut rng = Rng::new(seed);
        let mut conn = Conn::open(port)?;
        let first = self.index * DATABASES;
        conn.pipeline(&[command(&["ECHO", &name(self.index, plan.run)]), command(&["SELECT", &first.to_string()])])?;
        let (mut replies, mut db) = (2, 0);
        let enough = self.done.len() + plan.acts;
        while self.done.len() < enough {
            let begin = self.done.len();
            let mut bytes = Vec::new();
            let mut counts = Vec::new();
            let size = rng.between(1, WINDOW);
            let sent = clock.fetch_add(1, Ordering::SeqCst);
            for _ in 0..size {
                let turn = if rng.one_in(12) { 1 - db } else { db };
                let act = choose::act(&mut rng, &self.state, turn);
                let mut commands = act.commands(first, turn);
                if turn != db {
                    commands.insert(0, command(&["SELECT", &(first + turn).to_string()]));
                    db = turn;
                }
                commands.iter().for_each(|c| encode(c, &mut bytes));
                replies += commands.len();
                counts.push(commands.len());
                act.apply(&mut self.state, db);
                self.done.push(Done {
                    db,
                    act,
                    sent,
                    acked: u64::MAX,
                    answered: false,
                    run: plan.run,
                    replies,
                    window: begin + size,
                });
            }
            std::thread::sleep(plan.pause);
            conn.send_raw(&bytes)?;
            for (done, count) in self.done[begin..].iter_mut().zip(counts) {
                if let Some(refused) = take(&mut conn, done, count)? {
                    self.refused = Some(refused);
                    return Ok(());
                }
                (done.acked, done.answered) = (clock.fetch_add(1, Ordering::SeqCst), true);
            }
        }
        self.settle();
        Ok(())
    }

    /// Goes on from what a killed server has kept: which of the acts without an answer, by what is `there` now.
    pub fn adopt(&mut self, there: &Dbs) -> Result<()> {
        for done in self.done.iter_mut().filter(|done| !done.answered) {
            // Nobody was told what deadline it was.
            if let Act::Within { key, deadline, .. } = &mut done.act {
                *deadline = there.get(done.db, key).and_then(|entry| entry.deadline).unwrap_or(0);
            }
        }
        let answered = self.done.iter().take_while(|done| done.answered).count();
        let mut state = self.base.clone();
        let mut kept = None;
        for count in 0..=self.done.len() {
            if count > 0 {
                let done = &self.done[count - 1];
                done.act.apply(&mut state, done.db);
            }
            if count >= answered && state.digest() == there.digest() {
                kept = Some(count);
            }
        }
        let Some(kept) = kept else {
            bail!("after a kill, connection {} has none of the states after {answered} acts or more", self.index)
        };
        self.done.truncate(kept);
        // What came after them was never there.
        self.done.iter_mut().for_each(|done| done.window = done.window.min(kept));
        self.settle();
        Ok(())
    }

    /// The state after all acts, with the deadlines that only the replies told.
    fn settle(&mut self) {
        self.state = self.base.clone();
        self.done.iter().for_each(|done| done.act.apply(&mut self.state, done.db));
    }
}

/// Reads the replies of an act; an error that it does not deserve.
fn take(conn: &mut Conn, done: &mut Done, count: usize) -> Result<Option<String>> {
    for _ in 0..count {
        let reply = conn.reply().context("wait for a reply")?;
        if reply.is_error() && !done.act.may_be_refused() {
            return Ok(Some(format!("{:.200?} was answered with {reply}", done.act)));
        }
        if let (Act::Within { deadline, .. }, Some(at)) = (&mut done.act, reply.int()) {
            *deadline = at;
        }
    }
    Ok(None)
}
