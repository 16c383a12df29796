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
        Worker { state: base.clone(), base, done: Vec::new(), index }
    }

    /// Does as planned; every reply must come, and no act may be refused.
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
                self.done.push(Done { db, act, sent, acked: 0, run: plan.run, replies, window: begin + size });
            }
            std::thread::sleep(plan.pause);
            conn.send_raw(&bytes)?;
            for (done, count) in self.done[begin..].iter_mut().zip(counts) {
                take(&mut conn, done, count)?;
                done.acked = clock.fetch_add(1, Ordering::SeqCst);
            }
        }
        // With the deadlines that only the replies told.
        self.state = self.base.clone();
        self.done.iter().for_each(|done| done.act.apply(&mut self.state, done.db));
        Ok(())
    }
}

/// Reads the replies of an act.
fn take(conn: &mut Conn, done: &mut Done, count: usize) -> Result<()> {
    for _ in 0..count {
        let reply = conn.reply().context("wait for a reply")?;
        if reply.is_error() && !done.act.may_be_refused() {
            bail!("{:.200?} was answered with {reply}", done.act);
        }
        if let (Act::Within { deadline, .. }, Some(at)) = (&mut done.act, reply.int()) {
            *deadline = at;
        }
    }
    Ok(())
}
