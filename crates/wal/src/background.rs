//! The thread that writes out and syncs when nobody waits for it; asleep while there is nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::core::Core;
use crate::error::Health;
use crate::limits::{FLUSH_INTERVAL, IDLE_BEFORE_MARK, SYNC_BYTES, SYNC_INTERVAL};
use crate::options::{Background, Fsync};
use crate::position::Position;

/// How the thread is told that there is something to do.
pub(crate) struct Alarm {
    enabled: bool,
    /// Whether the thread looks by itself every so often; if not, the first record has to wake it.
    armed: AtomicBool,
    signals: Mutex<Signals>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Signals {
    /// There is something in the buffer.
    arm: bool,
    /// There is much in the buffer.
    urgent: bool,
    /// Somebody wants a sync.
    sync: bool,
    stop: bool,
}

impl Signals {
    fn now(self) -> bool {
        self.urgent || self.sync || self.stop
    }
}

impl Alarm {
    pub(crate) fn new(background: Background) -> Self {
        Self {
            enabled: background == Background::Thread,
            armed: AtomicBool::new(false),
            signals: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Wakes the thread if it would not look by itself.
    #[inline]
    pub(crate) fn ensure_armed(&self) {
        if self.enabled && !self.armed.load(Ordering::Acquire) {
            self.arm();
        }
    }

    #[cold]
    pub(crate) fn arm(&self) {
        self.signal(|signals| signals.arm = true);
    }

    /// Asks for the buffer to be written out now.
    #[cold]
    pub(crate) fn ring(&self) {
        self.signal(|signals| signals.urgent = true);
    }

    /// Asks for a sync now.
    pub(crate) fn request_sync(&self) {
        self.signal(|signals| signals.sync = true);
    }

    fn signal(&self, set: impl FnOnce(&mut Signals)) {
        if self.enabled {
            set(&mut self.signals.lock());
            self.changed.notify_one();
        }
    }

    /// Sleeps until there is anything at all to do.
    fn sleep(&self) {
        let mut signals = self.signals.lock();
        while !signals.arm && !signals.now() {
            self.changed.wait(&mut signals);
        }
        self.armed.store(true, Ordering::Release);
    }

    /// Waits for one interval, or until something is wanted now.
    fn pause(&self, interval: Duration) -> Signals {
        let until = Instant::now() + interval;
        let mut signals = self.signals.lock();
        while !signals.now() && !self.changed.wait_until(&mut signals, until).timed_out() {}
        std::mem::take(&mut *signals)
    }
}

/// The running thread.
pub(crate) struct Worker {
    thread: Option<JoinHandle<()>>,
    stop: Box<dyn Fn() + Send + Sync>,
}

impl Worker {
    pub(crate) fn start<S: Send + 'static>(core: &Arc<Core<S>>) -> std::io::Result<Self> {
        let (runner, stopper) = (Arc::clone(core), Arc::clone(core));
        let thread = std::thread::Builder::new().name("wal".into()).spawn(move || run(&runner))?;
        Ok(Self { thread: Some(thread), stop: Box::new(move || stopper.alarm.signal(|signals| signals.stop = true)) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been reported by its hook; the log is closed all the same.
            let _ = thread.join();
        }
    }
}

/// What the thread remembers between two looks.
struct Pace {
    synced_at: Option<Instant>,
    end: Position,
    quiet_since: Instant,
}

fn run<S>(core: &Core<S>) {
    let mut pace = Pace { synced_at: None, end: Position::START, quiet_since: Instant::now() };
    loop {
        core.alarm.sleep();
        loop {
            let signals = core.alarm.pause(FLUSH_INTERVAL);
            if signals.stop {
                return;
            }
            if tick(core, &mut pace, signals.sync, Instant::now()) {
                continue;
            }
            if may_sleep(core, &pace) {
                break;
            }
        }
    }
}

/// Decides whether nothing is due until the alarm says so.
fn may_sleep<S>(core: &Core<S>, pace: &Pace) -> bool {
    // A record appended after this store wakes the thread; one appended before it is seen by the second look.
    core.alarm.armed.store(false, Ordering::SeqCst);
    // One that somebody else has written out meanwhile is still to be synced.
    let quiet = {
        let active = core.active.lock();
        active.batch.is_idle() && active.end() == pace.end
    };
    if quiet || core.progress.health() != Health::Good {
        return true;
    }
    core.alarm.armed.store(true, Ordering::Release);
    false
}

/// Does what is due. Says whether anything will be due later. Errors have stopped the log and are reported to
/// whoever appends or commits next.
fn tick<S>(core: &Core<S>, pace: &mut Pace, sync_wanted: bool, now: Instant) -> bool {
    if core.progress.health() != Health::Good {
        return false;
    }
    let _ = core.write_out();
    let _ = core.tend();
    let (end, last_record_end, lacks_mark) = {
        let active = core.active.lock();
        (active.end(), active.last_record_end, active.lacks_mark())
    };
    if end != pace.end {
        pace.end = end;
        pace.quiet_since = now;
    }
    let every_sec = core.policy() == Fsync::EverySec;
    let dirty = core.progress.durable() < last_record_end;
    let sync_due = every_sec && dirty && pace.synced_at.is_none_or(|at| now - at >= SYNC_INTERVAL);
    let much = core.progress.written().0.saturating_sub(core.progress.durable().0) >= SYNC_BYTES;
    if sync_wanted || sync_due || much {
        pace.synced_at = Some(now);
        let lead = core.gate.enter();
        let _ = core.sync(&lead);
    }
    let dirty = core.progress.durable() < last_record_end;
    if !dirty && lacks_mark && now - pace.quiet_since >= IDLE_BEFORE_MARK {
        let _ = core.mark();
        if core.policy() != Fsync::No {
            // The mark protects only once it is durable itself.
            let lead = core.gate.enter();
            let _ = core.sync(&lead);
        }
        return true;
    }
    now - pace.quiet_since < FLUSH_INTERVAL * 2 || (dirty && every_sec) || (!dirty && lacks_mark)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Time after which a thread that still sleeps has missed its call; nothing passes because of it.
    const LONG: Duration = Duration::from_secs(20);

    /// Has a thread sleep, and gives what it was woken for.
    fn woken(alarm: &Arc<Alarm>) -> mpsc::Receiver<Signals> {
        let (sender, woken) = mpsc::channel();
        let alarm = Arc::clone(alarm);
        std::thread::spawn(move || {
            alarm.sleep();
            sender.send(alarm.pause(Duration::ZERO)).unwrap_or_default();
        });
        woken
    }

    fn alarm() -> Arc<Alarm> {
        Arc::new(Alarm::new(Background::Thread))
    }

    #[test]
    fn what_is_wanted_while_the_thread_decides_to_sleep_keeps_it_awake() {
        type Call = fn(&Alarm);
        type Look = fn(Signals) -> bool;
        let calls: [(Call, Look); 4] = [
            (Alarm::request_sync, |signals| signals.sync),
            (Alarm::ring, |signals| signals.urgent),
            (|alarm| alarm.signal(|signals| signals.stop = true), |signals| signals.stop),
            (Alarm::ensure_armed, |signals| signals.arm),
        ];
        for (i, (call, look)) in calls.into_iter().enumerate() {
            let alarm = alarm();
            // The thread has taken all signals there were, has found nothing to do, and is not asleep yet.
            assert!(!alarm.pause(Duration::ZERO).now());
            alarm.armed.store(false, Ordering::SeqCst);
            call(&alarm);
            let signals = woken(&alarm).recv_timeout(LONG).unwrap_or_else(|_| panic!("call {i} was lost"));
            assert!(look(signals), "call {i} is what it woke for");
        }
    }

    #[test]
    fn what_is_wanted_while_the_thread_sleeps_wakes_it() {
        let alarm = alarm();
        let woken = woken(&alarm);
        assert!(woken.try_recv().is_err(), "nothing is wanted");
        alarm.request_sync();
        assert!(woken.recv_timeout(LONG).expect("the request was lost").sync);
    }

    #[test]
    fn a_thread_that_looks_by_itself_is_not_called_for_each_record() {
        let alarm = alarm();
        alarm.armed.store(true, Ordering::Release);
        alarm.ensure_armed();
        assert!(!alarm.pause(Duration::ZERO).arm);
    }

    #[test]
    fn a_log_without_the_thread_keeps_no_signals() {
        let alarm = Alarm::new(Background::None);
        alarm.request_sync();
        alarm.ring();
        assert!(!alarm.pause(Duration::ZERO).now());
    }
}
