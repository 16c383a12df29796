//! The giver: a thread that takes a checkpoint and sends its rows as far as the taker keeps up.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use cluster::NodeId;
use engine::Engine;
use parking_lot::{Condvar, Mutex};

use super::message::{Head, Message};
use crate::limits::{CHUNK_BYTES, TAKER_PATIENCE, WINDOW_CHUNKS};
use crate::wire::Wire;

/// Gives a copy to one node at a time.
#[derive(Default)]
pub(crate) struct Giver {
    giving: Option<Giving>,
    last: u64,
}

struct Giving {
    to: NodeId,
    window: Arc<Window>,
    thread: JoinHandle<()>,
}

/// What was sent and is not acknowledged.
struct Window {
    id: u64,
    to: NodeId,
    wire: Arc<dyn Wire>,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// The number of the first chunk that waits.
    first: u64,
    chunks: VecDeque<Vec<u8>>,
    ended: bool,
    stopped: bool,
}

impl Giver {
    /// A node wants a copy, or the rest of one.
    pub(crate) fn want(&mut self, engine: &Arc<Engine>, wire: &Arc<dyn Wire>, from: NodeId, (id, chunk): (u64, u64)) {
        let is_over = |giving: &mut Giving| giving.thread.is_finished() || (giving.to == from && id == 0);
        self.giving.take_if(is_over).into_iter().for_each(Giving::end);
        match &self.giving {
            Some(giving) if giving.to == from && giving.window.id == id => giving.window.resume(chunk),
            None if id == 0 => {
                self.last += 1;
                self.giving = Giving::start(Arc::clone(engine), Arc::clone(wire), from, self.last);
                if self.giving.is_none() {
                    sorry(&**wire, from, id);
                }
            }
            _ => sorry(&**wire, from, id),
        }
    }

    /// Chunks have been dealt with.
    pub(crate) fn acknowledged(&self, from: NodeId, id: u64, next: u64) {
        if let Some(giving) = self.giving.as_ref().filter(|giving| giving.to == from && giving.window.id == id) {
            giving.window.acknowledge(next);
        }
    }

    /// Whether a copy is being given.
    pub(crate) fn is_giving(&self) -> bool {
        self.giving.as_ref().is_some_and(|giving| !giving.thread.is_finished())
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.giving.take().into_iter().for_each(Giving::end);
    }
}

fn sorry(wire: &dyn Wire, to: NodeId, id: u64) {
    say(wire, to, &Message::Sorry { id });
}

/// What does not arrive is asked for again.
fn say(wire: &dyn Wire, to: NodeId, message: &Message) {
    if wire.queue(to, &message.encode()).is_ok() {
        wire.flush();
    }
}

impl Giving {
    fn start(engine: Arc<Engine>, wire: Arc<dyn Wire>, to: NodeId, id: u64) -> Option<Self> {
        let state = Mutex::new(State::default());
        let window = Arc::new(Window { id, to, wire, state, moved: Condvar::new() });
        let own = Arc::clone(&window);
        let run = move || match give(&engine, &own) {
            Ok(bytes) => tracing::info!(node = %own.to, bytes, "a copy of the state was given"),
            Err(error) => {
                tracing::warn!(node = %own.to, %error, "no copy of the state could be given");
                sorry(&*own.wire, own.to, own.id);
            }
        };
        let thread = thread::Builder::new().name("snapshot".into()).spawn(run).ok()?;
        Some(Self { to, window, thread })
    }

    fn end(self) {
        self.window.state.lock().stopped = true;
        self.window.moved.notify_all();
        // It looks at what was just set whenever it waits, and between two chunks.
        let _ = self.thread.join();
    }
}

fn give(engine: &Engine, window: &Arc<Window>) -> Result<u64, Box<dyn std::error::Error>> {
    engine::backup::yield_to_commands();
    let base = engine.base(&mut || !window.state.lock().stopped)?;
    let head =
        Head { position: base.position.get(), last: base.last, seed: engine.hash_seed(), vector: base.vector.clone() };
    window.begin(head);
    let mut chunks = Chunks { window, buffer: Vec::with_capacity(CHUNK_BYTES), n: 0 };
    let bytes = base.rows.write_to(&mut chunks)?;
    chunks.flush()?;
    let all = chunks.n;
    window.end(all)?;
    drop(base.pin);
    Ok(bytes)
}

/// Cuts the stream.
struct Chunks<'w> {
    window: &'w Window,
    buffer: Vec<u8>,
    n: u64,
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK_BYTES - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        self.window.push(self.n, chunk)?;
        self.n += 1;
        Ok(())
    }
}

impl Window {
    fn begin(&self, head: Head) {
        self.state.lock().head = Some(head.clone());
        say(&*self.wire, self.to, &Message::Head { id: self.id, head });
    }

    /// Sends a chunk once there is room for it.
    fn push(&self, n: u64, chunk: Vec<u8>) -> io::Result<()> {
        let mut state = self.wait(|state| state.chunks.len() < WINDOW_CHUNKS)?;
        state.chunks.push_back(chunk.clone());
        drop(state);
        say(&*self.wire, self.to, &Message::Chunk { id: self.id, n, bytes: chunk });
        Ok(())
    }

    /// All has been sent; returns when all is acknowledged.
    fn end(&self, chunks: u64) -> io::Result<()> {
        self.state.lock().ended = true;
        say(&*self.wire, self.to, &Message::End { id: self.id, chunks });
        self.wait(|state| state.chunks.is_empty()).map(drop)
    }

    /// Waits until something has become so, as long as the taker does something now and then.
    fn wait(&self, is_so: impl Fn(&State) -> bool) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        let mut until = Instant::now() + TAKER_PATIENCE;
        while !is_so(&state) {
            let first = state.first;
            let late = self.moved.wait_until(&mut state, until).timed_out();
            if state.stopped {
                return Err(io::Error::new(ErrorKind::Interrupted, "it is not wanted any more"));
            }
            if state.first > first {
                until = Instant::now() + TAKER_PATIENCE;
            } else if late {
                return Err(io::Error::new(ErrorKind::TimedOut, "nobody takes it"));
            }
        }
        Ok(state)
    }

    fn acknowledge(&self, next: u64) {
        let mut state = self.state.lock();
        while state.first < next && state.chunks.pop_front().is_some() {
            state.first += 1;
        }
        drop(state);
        self.moved.notify_all();
    }

    /// The taker is back: it has what is below `from`.
    fn resume(&self, from: u64) {
        self.acknowledge(from);
        let state = self.state.lock();
        let (head, first, ended) = (state.head.clone(), state.first, state.ended);
        let chunks: Vec<Vec<u8>> = state.chunks.iter().cloned().collect();
        drop(state);
        if let Some(head) = head.filter(|_| from == 0) {
            say(&*self.wire, self.to, &Message::Head { id: self.id, head });
        }
        let all = first + chunks.len() as u64;
        for (n, bytes) in (first..).zip(chunks) {
            say(&*self.wire, self.to, &Message::Chunk { id: self.id, n, bytes });
        }
        if ended {
            say(&*self.wire, self.to, &Message::End { id: self.id, chunks: all });
        }
    }
}
