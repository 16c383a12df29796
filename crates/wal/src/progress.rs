//! How far the log is written and durable, and whether it is in good health: cheap to ask from anywhere.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::error::{Failure, Health, LogError};
use crate::position::Position;

/// The positions that others wait for. Written only by who holds the writer or the gate.
pub(crate) struct Progress {
    written: AtomicU64,
    durable: AtomicU64,
    health: AtomicU8,
    failure: Mutex<Option<Arc<Failure>>>,
    observer: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Progress {
    /// Everything up to `end` is on disk.
    pub(crate) fn new(end: Position) -> Self {
        Self {
            written: AtomicU64::new(end.0),
            durable: AtomicU64::new(end.0),
            health: AtomicU8::new(Health::Good as u8),
            failure: Mutex::new(None),
            observer: OnceLock::new(),
        }
    }

    pub(crate) fn written(&self) -> Position {
        Position(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn health(&self) -> Health {
        Health::from_u8(self.health.load(Ordering::Acquire))
    }

    /// The error that a write has to be answered with, if any.
    #[inline]
    pub(crate) fn writable(&self) -> Result<(), LogError> {
        if self.health() == Health::Good { Ok(()) } else { Err(self.refusal()) }
    }

    #[cold]
    fn refusal(&self) -> LogError {
        let failure = self.failure.lock();
        let first = failure.clone().expect("the failure is stored before the health, under this lock");
        match self.health() {
            Health::NoSpace => LogError::NoSpace(first),
            _ => LogError::Poisoned(first),
        }
    }

    pub(crate) fn publish_written(&self, position: Position) {
        debug_assert!(position >= self.written(), "written only grows");
        self.written.store(position.0, Ordering::Release);
        self.notify();
    }

    pub(crate) fn publish_durable(&self, position: Position) {
        debug_assert!(position <= self.written(), "durable never passes written");
        self.durable.fetch_max(position.0, Ordering::AcqRel);
        self.notify();
    }

    /// Stops the log for this reason. The first poison stays; a full disk may still turn into one.
    pub(crate) fn fail(&self, failure: Failure) -> LogError {
        let verdict = failure.verdict();
        {
            let mut slot = self.failure.lock();
            if self.health() != Health::Poisoned {
                *slot = Some(Arc::new(failure));
                self.health.store(verdict as u8, Ordering::Release);
            }
        }
        self.notify();
        self.refusal()
    }

    /// A full disk has space again.
    pub(crate) fn heal(&self) {
        {
            let _slot = self.failure.lock();
            let _ = self.health.compare_exchange(
                Health::NoSpace as u8,
                Health::Good as u8,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
        self.notify();
    }

    /// Calls `observer` after each change from now on; only the first one set counts.
    pub(crate) fn observe(&self, observer: Box<dyn Fn() + Send + Sync>) -> bool {
        self.observer.set(observer).is_ok()
    }

    fn notify(&self) {
        if let Some(observer) = self.observer.get() {
            observer();
        }
    }
}
