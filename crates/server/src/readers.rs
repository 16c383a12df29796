//! Threads that read from disk what commands have missed, so that the I/O threads go on with their other clients.
//!
//! ```text
//! a command misses ─▶ its client is parked ─▶ queue ─▶ a reader brings the keys in ─▶ mail ─▶ the command runs again
//! ```
//! *Invariant:* a client has at most one order here, so the queue is no longer than there are clients.
//!
//! *Invariant:* each order is answered with one message, unless its client or the server is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use command::Missed;
use engine::{Engine, Ticket};
use parking_lot::{Condvar, Mutex};

use crate::message::Message;
use crate::net::{ClientAddr, Post};

/// What one client waits for.
pub struct Order {
    /// What it misses.
    pub missed: Box<Missed>,
    /// Who is told.
    pub addr: ClientAddr,
    /// Which of its waits it is.
    pub ticket: Ticket,
}

/// See the module.
pub struct Readers {
    shared: Arc<Shared>,
    most: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    engine: Arc<Engine>,
    post: Post<Message>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Order>,
    /// Threads that wait for an order.
    idle: usize,
    /// Orders that are being read.
    reading: usize,
    /// How many there ever were.
    orders: u64,
    /// A [`Held`] is alive: no reader begins with an order.
    held: bool,
    stopped: bool,
}

/// As long as it lives no reader begins with anything: so a test makes the disk as slow as it likes.
pub struct Held(Arc<Shared>);

impl Readers {
    /// At most so many threads; they are started when there is something for them to do.
    pub fn new(engine: Arc<Engine>, post: Post<Message>, most: usize) -> Self {
        let shared = Shared { engine, post, state: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared), most, threads: Mutex::default() }
    }

    /// Whether there are any. If not, whoever misses something reads it.
    #[inline]
    pub fn are_there(&self) -> bool {
        self.most > 0
    }

    /// Has something read.
    pub fn read(&self, order: Order) {
        let mut state = self.shared.state.lock();
        state.queue.push_back(order);
        state.orders += 1;
        if state.idle >= state.queue.len() {
            drop(state);
            self.shared.changed.notify_one();
            return;
        }
        drop(state);
        self.start_one();
    }

    /// Orders that have not been answered.
    pub fn waiting(&self) -> usize {
        let state = self.shared.state.lock();
        state.queue.len() + state.reading
    }

    /// Orders since the start: how often a command has waited for the disk.
    pub fn orders(&self) -> u64 {
        self.shared.state.lock().orders
    }

    /// Keeps all readers from beginning with anything.
    pub fn hold(&self) -> Held {
        self.shared.state.lock().held = true;
        Held(Arc::clone(&self.shared))
    }

    /// Lets what is being read end, and drops the rest.
    pub fn stop(&self) {
        let dropped = {
            let mut state = self.shared.state.lock();
            state.stopped = true;
            std::mem::take(&mut state.queue)
        };
        drop(dropped);
        self.shared.changed.notify_all();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A panic of it has been printed; there is nothing left to do about it.
            let _ = thread.join();
        }
    }

    #[cold]
    fn start_one(&self) {
        let mut threads = self.threads.lock();
        if threads.len() >= self.most {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let name = format!("reader-{}", threads.len());
        match std::thread::Builder::new().name(name).spawn(move || shared.work()) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                tracing::warn!(%error, "a thread that reads what is at rest could not be started");
                if threads.is_empty() {
                    drop(threads);
                    self.shared.work_here();
                }
            }
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some(order) = self.next() {
            self.carry_out(order);
        }
    }

    /// The next order; `None` if there will be none any more.
    fn next(&self) -> Option<Order> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if !state.held
                && let Some(order) = state.queue.pop_front()
            {
                state.reading += 1;
                return Some(order);
            }
            state.idle += 1;
            self.changed.wait(&mut state);
            state.idle -= 1;
        }
    }

    /// Carries out what there is in the thread that asks, since there is no other.
    fn work_here(&self) {
        while let Some(order) = self.take() {
            self.carry_out(order);
        }
    }

    fn take(&self) -> Option<Order> {
        let mut state = self.state.lock();
        let order = state.queue.pop_front();
        state.reading += usize::from(order.is_some());
        order
    }

    fn carry_out(&self, Order { mut missed, addr, ticket }: Order) {
        let is_there = !addr.gauge().is_closed();
        let read = if is_there { missed.read(&self.engine) } else { Ok(()) };
        self.state.lock().reading -= 1;
        // A client that is gone by now needs nothing any more.
        let _ = self.post.send(&addr, Message::Fetched { ticket, missed, read }, 0);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state.lock().held = false;
        self.0.changed.notify_all();
    }
}
