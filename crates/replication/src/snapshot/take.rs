//! The taker: a data directory is made of what comes, on a thread of its own.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use cluster::NodeId;
use effect::Vector;
use engine::Options;
use engine::backup::{Making, Whose};
use wal::Position;

use super::adopt::SNAPSHOT;
use super::message::{Head, Message};
use crate::limits::{ASK_AGAIN, GIVER_PATIENCE, WINDOW_CHUNKS};
use crate::wire::Wire;

/// Takes one copy at a time.
pub(crate) struct Taker {
    dir: PathBuf,
    options: Options,
    taking: Option<Taking>,
    ask_at: Instant,
    asked: usize,
}

/// A copy that is asked for or on its way.
struct Taking {
    from: NodeId,
    /// 0 as long as nothing has come.
    id: u64,
    /// The next chunk.
    next: u64,
    vector: Vector,
    heard: Instant,
    /// None once the last chunk has come.
    chunks: Option<Sender<(u64, Vec<u8>)>>,
    made: Option<JoinHandle<Result<(), String>>>,
}

/// A copy that is whole.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What it covers.
    pub(crate) vector: Vector,
}

impl Taker {
    pub(crate) fn new(dir: &Path, options: Options, now: Instant) -> Self {
        Self { dir: dir.into(), options, taking: None, ask_at: now, asked: 0 }
    }

    /// Asks for a copy, or looks after the one that is on its way; answers it once it is whole.
    pub(crate) fn look_after(&mut self, wire: &dyn Wire, peers: &[NodeId], now: Instant) -> Option<Taken> {
        if let Some(taking) = self.taking.as_mut().filter(|taking| taking.made.is_some()) {
            if taking.made.as_ref().is_some_and(JoinHandle::is_finished) {
                let taking = self.taking.take()?;
                return self.finish(taking);
            }
            let is_late = taking.chunks.is_some() && now - taking.heard > GIVER_PATIENCE;
            if is_late {
                self.give_up("nothing more of it comes");
            } else if taking.chunks.is_some() && now >= self.ask_at && now - taking.heard > ASK_AGAIN {
                self.ask_at = now + ASK_AGAIN;
                say(wire, taking.from, &Message::Want { id: taking.id, from: taking.next });
            }
            return None;
        }
        if now >= self.ask_at && !peers.is_empty() {
            // A checkpoint comes first, which may take a while.
            self.ask_at = now + GIVER_PATIENCE;
            let from = peers[self.asked % peers.len()];
            self.asked += 1;
            let taking = Taking { from, id: 0, next: 0, vector: Vector::new(), heard: now, chunks: None, made: None };
            self.taking = Some(taking);
            say(wire, from, &Message::Want { id: 0, from: 0 });
        }
        None
    }

    /// Something has come.
    pub(crate) fn hear(&mut self, wire: &Arc<dyn Wire>, from: NodeId, message: Message, now: Instant) {
        let Some(taking) = self.taking.as_mut().filter(|taking| taking.from == from) else { return };
        match message {
            Message::Head { id, head } if taking.id == 0 => {
                (taking.id, taking.heard) = (id, now);
                taking.vector.clone_from(&head.vector);
                let (chunks, queue) = channel();
                taking.chunks = Some(chunks);
                let (dir, options, wire) = (self.dir.join(SNAPSHOT), self.options.clone(), Arc::clone(wire));
                let rows = Rows { queue, chunk: Vec::new(), at: 0, wire, from, id };
                let run = move || make(&dir, &head, rows, options);
                taking.made = thread::Builder::new().name("snapshot".into()).spawn(run).ok();
                if taking.made.is_none() {
                    self.taking = None;
                }
            }
            Message::Chunk { id, n, bytes } if id == taking.id && n == taking.next => {
                taking.next += 1;
                taking.heard = now;
                if let Some(chunks) = &taking.chunks {
                    // Whoever makes the directory has given up, and says why when it is asked.
                    let _ = chunks.send((n, bytes));
                }
            }
            Message::End { id, chunks } if id == taking.id && chunks == taking.next => taking.chunks = None,
            Message::Sorry { id } if id == taking.id || taking.id == 0 => {
                self.ask_at = now + ASK_AGAIN;
                self.give_up("the other node gives none at the moment");
            }
            _ => {}
        }
    }

    fn give_up(&mut self, why: &str) {
        tracing::info!(why, "a copy of the state did not come: it is asked for again");
        if let Some(Taking { made: Some(made), chunks, .. }) = self.taking.take() {
            drop(chunks);
            // It reads to an end that comes too early.
            let _ = made.join();
        }
    }

    fn finish(&mut self, taking: Taking) -> Option<Taken> {
        match taking.made?.join() {
            Ok(Ok(())) => Some(Taken { vector: taking.vector }),
            Ok(Err(error)) => {
                tracing::warn!(error, "a copy of the state is of no use: it is asked for again");
                None
            }
            Err(_) => {
                tracing::error!("the thread of a snapshot has panicked");
                None
            }
        }
    }

    /// Whether one is on its way.
    pub(crate) fn is_taking(&self) -> bool {
        self.taking.is_some()
    }
}

fn say(wire: &dyn Wire, to: NodeId, message: &Message) {
    if wire.queue(to, &message.encode()).is_ok() {
        wire.flush();
    }
}

/// Makes the directory of what comes.
fn make(dir: &Path, head: &Head, mut rows: Rows, options: Options) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", dir.display());
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    std::fs::create_dir_all(dir).map_err(|e| failed(&e))?;
    let making = Making::begin(dir, head.seed, Position(head.position), &mut rows, &options).map_err(|e| failed(&e))?;
    // What is behind the image, if anything, is awaited, so that the giver hears that all has come.
    io::copy(&mut rows, &mut io::sink()).map_err(|e| failed(&e))?;
    making.finish(Whose::Member, head.last, options).map(drop).map_err(|e| failed(&e))
}

/// Chunks as a stream, each acknowledged when it is read.
struct Rows {
    queue: Receiver<(u64, Vec<u8>)>,
    chunk: Vec<u8>,
    at: usize,
    wire: Arc<dyn Wire>,
    from: NodeId,
    id: u64,
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            let Ok((n, chunk)) = self.queue.recv() else { return Ok(0) };
            (self.chunk, self.at) = (chunk, 0);
            say(&*self.wire, self.from, &Message::Ack { id: self.id, next: n + 1 });
        }
        let taken = out.len().min(self.chunk.len() - self.at);
        out[..taken].copy_from_slice(&self.chunk[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

const _: () = assert!(WINDOW_CHUNKS > 1, "one is read while the next is on its way");
