//! The background worker: one thread that writes, makes room ahead of need, and scrubs.

use super::Inner;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock, thread};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long it sleeps when nobody wakes it.
const IDLE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Signal {
    wanted: bool,
    stopping: bool,
}

/// The thread and how to wake it.
#[derive(Default)]
pub(super) struct Worker {
    running: AtomicBool,
    signal: Mutex<Signal>,
    wake: Condvar,
    handle: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Worker {
    /// Wakes the worker. False if there is none.
    pub fn kick(&self) -> bool {
        let running = self.running.load(Ordering::Acquire);
        if running {
            lock(&self.signal).wanted = true;
            self.wake.notify_one();
        }
        running
    }

    /// Ends the worker and waits for it.
    pub fn stop(&self) {
        lock(&self.signal).stopping = true;
        self.wake.notify_one();
        let handle = lock(&self.handle).take();
        if let Some(handle) = handle
            && handle.thread().id() != thread::current().id()
        {
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

/// Starts the worker unless it runs.
pub(super) fn start(inner: &Arc<Inner>) {
    let mut handle = lock(&inner.worker.handle);
    if handle.is_some() || inner.check_open().is_err() {
        return;
    }
    let shared = Arc::clone(inner);
    *handle = thread::Builder::new().name("blob".into()).spawn(move || run(&shared)).ok();
    inner.worker.running.store(handle.is_some(), Ordering::Release);
}

fn run(inner: &Inner) {
    let mut scrubbed = Instant::now();
    while inner.worker.rest() {
        // Errors are kept as the store's first error; whoever waits for the write gets them.
        if !inner.degraded.load(Ordering::Acquire) {
            let _ = inner.flush_all();
            while inner.clean_ahead() {}
        }
        let rate = inner.opts.scrub_bytes_per_second;
        if rate > 0 {
            let budget = scrubbed.elapsed().as_secs_f64() * rate as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate times a short time")]
            if budget >= 1.0 && inner.scrub(budget as u64).is_ok() {
                scrubbed = Instant::now();
            }
        }
    }
    inner.worker.running.store(false, Ordering::Release);
}
