//! The background worker: threads that write, as many as there may be rounds at once; one of them also makes room ahead
//! of need, and scrubs.

use super::Inner;
use crate::limits::ROUNDS_AT_ONCE;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock, thread};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long they sleep when nobody wakes them.
const IDLE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Signal {
    wanted: bool,
    stopping: bool,
}

/// The threads and how to wake one.
#[derive(Default)]
pub(super) struct Worker {
    running: AtomicBool,
    signal: Mutex<Signal>,
    wake: Condvar,
    handles: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Worker {
    /// Wakes the threads that rest, or lets the first that will go on at once. False if there is none.
    pub fn kick(&self) -> bool {
        let running = self.running.load(Ordering::Acquire);
        if running {
            lock(&self.signal).wanted = true;
            // All of them: one that only writes must not take the wake-up of the one that also makes room.
            self.wake.notify_all();
        }
        running
    }

    /// Ends the threads and waits for them.
    pub fn stop(&self) {
        lock(&self.signal).stopping = true;
        self.wake.notify_all();
        let handles = std::mem::take(&mut *lock(&self.handles));
        for handle in handles.into_iter().filter(|handle| handle.thread().id() != thread::current().id()) {
            // A panic of the worker has been printed; there is nothing to add.
            let _ = handle.join();
        }
        self.running.store(false, Ordering::Release);
    }

    /// Sleeps until woken. False when it is to end.
    fn rest(&self) -> bool {
        let mut signal = lock(&self.signal);
        if !signal.wanted && !signal.stopping {
            signal = match self.wake.wait_timeout(signal, IDLE) {
                Ok((signal, _)) => signal,
                Err(poisoned) => PoisonError::into_inner(poisoned).0,
            };
        }
        signal.wanted = false;
        !signal.stopping
    }
}

/// Starts the threads unless they run.
pub(super) fn start(inner: &Arc<Inner>) {
    let mut handles = lock(&inner.worker.handles);
    if !handles.is_empty() || inner.check_open().is_err() {
        return;
    }
    let spawn = |run: fn(&Inner)| {
        let shared = Arc::clone(inner);
        thread::Builder::new().name("blob".into()).spawn(move || run(&shared)).ok()
    };
    let helpers = if inner.opts.syncs() { 0 } else { ROUNDS_AT_ONCE - 1 };
    handles.extend(spawn(keep));
    handles.extend((0..helpers).filter_map(|_| spawn(help)));
    inner.worker.running.store(!handles.is_empty(), Ordering::Release);
}

/// Writes what is queued. Errors are kept as the store's first error; whoever waits for the write gets them.
fn write(inner: &Inner) {
    if !inner.degraded.load(Ordering::Acquire) {
        let _ = inner.flush_all();
    }
}

fn help(inner: &Inner) {
    while inner.worker.rest() {
        write(inner);
    }
}

fn keep(inner: &Inner) {
    let mut scrubbed = Instant::now();
    while inner.worker.rest() {
        write(inner);
        while inner.clean_ahead() {}
        let rate = inner.opts.scrub_bytes_per_second;
        if rate > 0 {
            let budget = scrubbed.elapsed().as_secs_f64() * rate as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate times a short time")]
            if budget >= 1.0 && inner.scrub(budget as u64).is_ok() {
                scrubbed = Instant::now();
            }
        }
    }
}
