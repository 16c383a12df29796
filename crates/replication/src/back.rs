//! The way back of a node that was given up: what the group never got of it is kept aside, the rest goes, it joins anew, and writes that again.
//!
//! ```text
//!   told that the group has gone on ─▶ every member says what it has of this node ─▶ was it started to join since?
//!        └ no: it stays as it is, and says what to do                                └ yes: kept aside; the process starts from nothing
//!   let in ─▶ it has all that the group has ─▶ what was kept aside is written again ─▶ a member like any other
//! ```
//! *Invariant:* what it has is given up only when all of it that the group lacks, of its own, is kept aside durably.
//!
//! *Invariant:* until that is written again nobody else writes here.
//!
//! *Invariant:* what holds it up does not begin it anew: it goes on where it was, a while later.

use std::sync::Arc;
use std::time::Instant;

use cluster::NodeId;
use effect::{Dot, Vector};
use engine::{AgainError, Step, Superseded, WriteAgain};

use crate::driver::Driver;
use crate::limits::{AGAIN_BATCHES, ASK_AGAIN, TRY_AGAIN};
use crate::membership::Membership;
use crate::snapshot;
use crate::undone::{Loss, Lost};
use crate::wire::Channel;

/// How far it has come.
#[derive(Default)]
pub(crate) struct Back {
    /// Started to join others.
    pub(crate) joins: bool,
    /// The group has counted on it since it was started: if it is none of them now, somebody has wanted it so since.
    has_met: bool,
    /// What the group never got, from each of these on, once that is settled.
    farewell: Option<Vec<Dot>>,
    /// Something was kept aside.
    pub(crate) has_undelivered: bool,
    pub(crate) again: Option<WriteAgain>,
    /// Not before, since it could not be written.
    try_at: Option<Instant>,
    /// Batches that are left.
    pub(crate) left: u64,
    /// Effects that were not written again, since something has come in their place.
    pub(crate) superseded: u64,
    trouble: Option<String>,
}

impl Back {
    pub(crate) fn new(joins: bool, has_undelivered: bool) -> Self {
        Self { joins, has_undelivered, ..Self::default() }
    }

    /// What it is waited for, in words.
    pub(crate) fn waits_for(&self) -> String {
        match &self.trouble {
            Some(trouble) => format!("what the group never got to be written again: {trouble}"),
            None => format!("what the group never got to be written again: {} batches are left", self.left),
        }
    }
}

impl Driver {
    /// Whether this node has to be let in.
    fn is_stranger(&self) -> bool {
        let is_gone = self.is_dropped || self.replica.is_outside();
        !is_gone && !self.replica.epoch().has(self.replica.origin().node())
    }

    /// Asks one peer after the other to be let in.
    pub(crate) fn ask(&mut self, now: Instant) {
        if !self.is_stranger() || now < self.ask_at {
            return;
        }
        self.ask_at = now + ASK_AGAIN;
        let mut peers: Vec<NodeId> = self.links.all().map(|link| link.peer.node).collect();
        peers.sort_unstable();
        self.asked += 1;
        if let Some(peer) = peers.get(self.asked as usize % peers.len().max(1)).copied() {
            let wire = Arc::clone(&self.wire);
            self.outgoing.push(&*wire, peer, &[Channel::Join as u8]);
        }
    }

    /// Somebody counts on this node.
    pub(crate) fn note_met(&mut self) {
        let epoch = self.replica.epoch();
        let is_member = epoch.has(self.engine.origin().node()) && !self.replica.is_outside();
        self.back.has_met |= is_member && self.replica.peers().any(|peer| epoch.has(peer.origin.node()));
    }

    /// What the group has of this node is settled.
    pub(crate) fn take_leave(&mut self, undelivered: Vec<Dot>) {
        if !self.back.joins || self.back.has_met {
            tracing::error!(
                "the group goes on without this node, and has not got all that it wrote: start it again, with `join`, to have that written \
                 again and to take part; until then what is here can be read"
            );
            return;
        }
        self.back.farewell = Some(undelivered);
    }

    /// Gives up what is here, once it is settled what the group never got.
    pub(crate) fn go_back(&mut self) {
        let Some(undelivered) = self.back.farewell.take() else { return };
        self.back.again = None;
        match self.prepare_return(&undelivered) {
            Ok(batches) => {
                self.is_leaving = true;
                tracing::warn!(batches, "what the group never got of this node was kept aside, to be written again");
                self.host.restart(
                    "the group has gone on without this node: the server starts from nothing, and joins it again",
                );
            }
            Err(trouble) => tracing::error!(
                trouble,
                "what the group never got of this node cannot be kept aside: it stays as it is. With an empty data directory it joins without that"
            ),
        }
    }

    fn prepare_return(&mut self, undelivered: &[Dot]) -> Result<u64, String> {
        let node = self.engine.origin().node();
        let mut delivered = Vector::new();
        for life in self.engine.vector().iter().filter(|life| life.origin.node() == node) {
            let first = undelivered.iter().find(|dot| dot.origin == life.origin);
            let seq = first.map_or(self.replica.applied().get(life.origin), |first| first.seq - 1);
            // What was written before there was a group is said in a way that is for this node only.
            if seq < self.membership.before.get(life.origin) {
                return Err("it was written before this node founded the group".to_owned());
            }
            delivered.add(Dot { seq, ..life });
        }
        let kept = self.engine.keep_aside(&delivered).map_err(|error| error.to_string())?;
        let (epoch, vote) = (self.membership.epoch.clone(), causal::Vote::default());
        let nobody = Membership { restored: true, epoch, vote, before: Vector::new() };
        snapshot::prepare_nothing(&self.dir, &self.engine, &nobody.to_bytes()).map_err(|error| error.to_string())?;
        Ok(kept.batches)
    }

    /// Writes some of what was kept aside again, once this node is a member and has what its group has.
    pub(crate) fn write_again(&mut self) {
        if !self.back.has_undelivered || !self.replica.may_write() || self.needs_snapshot || self.whole.is_some() {
            return;
        }
        if self.back.try_at.is_some_and(|at| self.now < at) {
            return;
        }
        if let Err(error) = self.write_some_again() {
            let trouble = error.to_string();
            if self.back.trouble.as_ref() != Some(&trouble) {
                tracing::error!(%error, "what the group never got of this node cannot be written again at the moment");
            }
            self.back.trouble = Some(trouble);
            self.back.try_at = Some(self.now + TRY_AGAIN);
        }
    }

    fn write_some_again(&mut self) -> Result<(), AgainError> {
        let mut again = match self.back.again.take() {
            Some(again) => again,
            None => match self.engine.write_again()? {
                Some(again) => again,
                None => {
                    self.back.has_undelivered = false;
                    return Ok(());
                }
            },
        };
        let before = again.superseded();
        let stepped = again.step(&self.engine, AGAIN_BATCHES, &mut |some| {
            self.report(some.iter().map(lost).collect()).map_err(|error| error.to_string())
        });
        self.back.superseded += again.superseded() - before;
        self.back.left = again.left();
        match stepped {
            Ok(Step::More) => self.back.again = Some(again),
            Ok(Step::Done) => {
                again.end(&self.engine)?;
                self.back.has_undelivered = false;
                let superseded = self.back.superseded;
                tracing::info!(superseded, "what the group never got of this node was written again");
            }
            // It would not be known what was looked at.
            Err(error @ AgainError::Bytes(_)) => return Err(error),
            Err(error) => {
                self.back.again = Some(again);
                return Err(error);
            }
        }
        (self.back.trouble, self.back.try_at) = (None, None);
        Ok(())
    }
}

fn lost(superseded: &Superseded) -> Lost {
    let Superseded { dot, db, key, element, hlc, op } = superseded;
    let loss = Loss::Superseded { effect: *dot, hlc: *hlc, op: (*op).to_owned(), element: element.clone() };
    Lost { loss, keys: vec![(*db, key.clone())] }
}
