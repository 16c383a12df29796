//! A copy of the state that has come: when it takes the place of what is here.
//!
//! ```text
//!   whole ─▶ closed for writes; what is here now is noted ─▶ all of that is in the copy, or others have it for good ─▶ the process
//!                                                          └ not in time: open again, and another copy        starts anew on it
//! ```
//! *Invariant:* of what is noted nothing is given up that this node alone has.

use std::time::Instant;

use cluster::NodeId;
use effect::Vector;

use crate::driver::Driver;
use crate::limits::COPY_PATIENCE;
use crate::snapshot::{self, Taken};

/// See the module.
pub(crate) struct Whole {
    /// What the copy has.
    vector: Vector,
    /// What must not be given up.
    noted: Vector,
    until: Instant,
}

impl Driver {
    /// Sees to a copy of the state, if only that helps. Nothing is written here from when it is whole until others have what it
    /// lacks: there would always be something.
    pub(crate) fn take_snapshot(&mut self, now: Instant) {
        // The gap may have been filled from a log after all.
        self.needs_snapshot &= self.whole.is_some() || self.taker.is_taking() || self.replica.has_holes();
        if !self.needs_snapshot {
            return;
        }
        let Some(whole) = self.whole.take().or_else(|| self.look_after_copy(now)) else { return };
        let mut kept = whole.vector.clone();
        let members = &self.replica.epoch().members;
        let others = self.replica.peers().filter(|peer| members.contains(&peer.origin.node()));
        others.for_each(|peer| kept.join(peer.has));
        if kept.covers(&whole.noted) {
            return self.leave();
        }
        if now < whole.until {
            self.whole = Some(whole);
            return;
        }
        tracing::warn!("no other node has all of what this one has: another copy is asked for");
        self.engine.set_open(self.replica.may_write());
    }

    fn look_after_copy(&mut self, now: Instant) -> Option<Whole> {
        let members = &self.replica.epoch().members;
        // A copy of one that lacks the same is of no use.
        let has_more = self.replica.peers().filter(|peer| !self.replica.applied().covers(peer.has));
        let has_more: Vec<u64> = has_more.map(|peer| peer.origin.node()).collect();
        let mut peers: Vec<NodeId> = self.links.all().map(|link| link.peer.node).collect();
        peers.retain(|peer| members.contains(&peer.get()) && has_more.contains(&peer.get()));
        peers.sort_unstable();
        let Taken { vector } = self.taker.look_after(&*self.wire, &peers, now)?;
        self.engine.set_open(false);
        Some(Whole { vector, noted: self.engine.vector(), until: now + COPY_PATIENCE })
    }

    /// The process starts anew on the copy.
    fn leave(&mut self) {
        self.membership.restored = true;
        let prepared = self.membership.save(&self.engine).map_err(|e| e.to_string());
        let prepared = prepared.and_then(|()| snapshot::prepare(&self.dir, &self.engine).map_err(|e| e.to_string()));
        match prepared {
            Ok(()) => {
                self.needs_snapshot = false;
                self.is_leaving = true;
                self.host.restart("a copy of the group's state has come: the server starts anew on it");
            }
            Err(error) => {
                self.engine.set_open(self.replica.may_write());
                tracing::error!(error, "a copy of the state cannot be used");
            }
        }
    }
}
