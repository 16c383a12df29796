//! A node as one of several replicas: what all of them have, and what it must know of itself after a start.
//!
//! ```text
//!   log    … │ effects │ state: on, stable │ effects │ state: on, stable │ effects     every MiB; what a replay meets it settles
//!   rows   the recent effects at the flip, with what is stable, heads, contexts, waymarks  (`checkpoint/recent.rs`)
//!          ▼
//!   start  rows ─▶ parts; log behind them ─▶ the code that took it in when it came ─▶ Opening ─▶ whoever talks to the others
//! ```
//! That there are others is said in the log, in front of the first effect that can be concurrent with theirs. So whoever has a log,
//! and the rows that it goes on from, knows how to read it: a start, a backup, a salvage.
//!
//! *Invariant:* whatever stands behind a record of state in the log has observed what that says is stable.

mod heads;
mod opening;
mod state;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use effect::{Hlc, Vector};
use parking_lot::Mutex;

use crate::again::Again;
use crate::engine::{Engine, Shared};
use crate::error::Refusal;
use crate::keeper;
use crate::limits::READ_LAG_MS;

pub(crate) use heads::Heads;
pub use opening::Opening;
pub(crate) use state::{RECORD_STATE, Stable, State};

/// See the module.
pub(crate) struct Replication {
    on: AtomicBool,
    stable: Mutex<Stable>,
    /// Up to when deadlines have passed for everybody, unix ms; 0 before anything is known.
    passed_ms: AtomicI64,
    /// The latest time that a timestamp from elsewhere has shown, unix ms.
    seen_ms: AtomicI64,
    /// Bytes of log between two records of state.
    state_bytes: u64,
    /// How far what the group never got was written again.
    pub(crate) again: Again,
}

impl Replication {
    pub(crate) fn new(state_bytes: u64) -> Self {
        Self {
            on: AtomicBool::default(),
            stable: Mutex::default(),
            passed_ms: AtomicI64::default(),
            seen_ms: AtomicI64::default(),
            state_bytes,
            again: Again::default(),
        }
    }

    /// Whether there are other replicas.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub(crate) fn stable(&self) -> Stable {
        self.stable.lock().clone()
    }

    /// What a record or a checkpoint says.
    pub(crate) fn take(&self, state: &State) {
        self.on.store(state.on, Ordering::Relaxed);
        let mut stable = self.stable.lock();
        stable.vector.join(&state.stable.vector);
        stable.hlc = stable.hlc.max(state.stable.hlc);
        let ms = stable.hlc.map_or(0, |hlc| hlc.ms().saturating_sub(READ_LAG_MS));
        self.passed_ms.store(ms, Ordering::Relaxed);
    }

    /// A timestamp came from elsewhere.
    pub(crate) fn see(&self, hlc: Hlc) {
        self.seen_ms.fetch_max(hlc.ms(), Ordering::Relaxed);
    }
}

impl Shared {
    /// Whether there are other replicas.
    #[inline]
    pub(crate) fn replicates(&self) -> bool {
        self.replication.is_on()
    }

    /// The moment at which a command reads that begins now. A timestamp that it gives to what it writes must not be later than a
    /// deadline that it has seen in force, and timestamps run ahead of the wall with those of others.
    #[inline]
    pub(crate) fn reading_ms(&self, now_ms: i64) -> i64 {
        match self.replicates() {
            false => now_ms,
            true => now_ms.max(self.replication.seen_ms.load(Ordering::Relaxed)),
        }
    }

    /// Up to when deadlines must have passed for what they hide to be given up: whatever comes from elsewhere then was written by
    /// somebody who had seen them pass, and so did the writers of transactions that are undecided.
    #[inline]
    pub(crate) fn reclaims_until(&self, now_ms: i64) -> i64 {
        match self.replicates() {
            false => now_ms,
            true => now_ms.min(self.replication.passed_ms.load(Ordering::Relaxed)).min(self.exclusives.looked_at_ms()),
        }
    }

    /// Forgets the causality of what a record, or whoever knows, says is stable.
    pub(crate) fn take_state(&self, state: &State) {
        self.replication.take(state);
        self.settle(&state.stable.vector);
    }

    pub(crate) fn state(&self) -> State {
        State { on: self.replicates(), stable: self.replication.stable() }
    }

    /// Puts into the log what is stable, if much has been logged since the last time.
    fn log_state(&self, is_due: impl FnOnce(u64, u64) -> bool) -> Result<(), Refusal> {
        let state = self.state();
        let mut log = self.log.lock();
        let end = log.end().get();
        if is_due(end, log.state().state_due) {
            let position = log.append(RECORD_STATE, &[&state.encode()])?;
            log.state().state_due = position.get() + self.replication.state_bytes;
        }
        Ok(())
    }
}

impl Engine {
    /// Whether there are other replicas, as was said last; a start knows it from the log.
    pub fn is_replicating(&self) -> bool {
        self.shared.replicates()
    }

    /// Says whether there are other replicas, whose effects can be concurrent with this node's. Nothing may run meanwhile. What is here
    /// when it is said counts as known to all.
    pub fn set_replicating(&self, on: bool) -> Result<(), Refusal> {
        let shared = &*self.shared;
        if shared.replicates() == on {
            return Ok(());
        }
        let vector = self.vector();
        shared.take_state(&State { on, stable: Stable { vector, hlc: None } });
        shared.log_state(|_, _| true)
    }

    /// Says what is stable, and up to which timestamp everything is: whatever comes from now on has observed it, its causality is
    /// forgotten, and what has expired before is given up.
    pub fn note_stable(&self, stable: &Vector, hlc: Option<Hlc>) {
        let shared = &*self.shared;
        let stable = Stable { vector: stable.clone(), hlc };
        shared.take_state(&State { on: shared.replicates(), stable });
        // If the log does not take it, a start only has more to settle.
        if shared.replicates() && shared.log_state(|end, due| end >= due).is_err() {
            tracing::debug!("what is stable could not be logged");
        }
    }

    /// Keys on which there are effects that are not stable.
    pub fn unstable_keys(&self) -> usize {
        self.shared.shards.iter().map(|shard| shard.lock().suffix.len()).sum()
    }

    /// Reclaims what has expired, as is done in the background now and then.
    pub fn reclaim(&self) {
        keeper::reclaim(&self.shared, self.shared.reclaims_until(self.now_ms()));
    }

    /// Says what every other replica has, durably: the log is cut only below what that lacks, unless it would keep more than
    /// `max_bytes`; then whoever lacks more needs a copy of the state. Checkpoints remember it.
    pub fn keep_log(&self, needed: Vector, max_bytes: u64) {
        self.shared.kept.set_peers(Some((needed, max_bytes)));
    }
}

#[cfg(test)]
mod tests;
