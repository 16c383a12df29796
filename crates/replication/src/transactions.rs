//! Exclusive transactions of the group, as the driver sees them: what the desk is told, and what its deeds come to.
//!
//! ```text
//!   own log ── a bind ─▶ fsync ─▶ begun ┐
//!   applied ── a bind, a verdict ─────▶ │ Desk │ ─▶ Send ▶ peers    Verdict ▶ Engine::emit_verdict ▶ decided    Answer ▶ the client
//!   frames, time, what is stable ─────▶ ┘
//! ```
//! *Invariant:* a bind of this node leaves it only when it is durable here, and the desk has heard of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use causal::bind::{Peers, Timing, Vote};
use cluster::NodeId;
use effect::{Batches, Dot, Op, Vector, WireError};
use engine::{Begun, Decided, Engine, Told};

use crate::driver::Driver;
use crate::error::Error;
use crate::exclusive::{Deed, Desk, DeskError, JournalFile};
use crate::limits::{ASK_FOR_VOTES_AGAIN, RECOVER_AFTER, RECOVER_STAGGER, VERDICT_PATIENCE};
use crate::wire::Channel;

/// The desk of a node as its disk says.
pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<(Desk<JournalFile>, Vec<Deed>), Error> {
    let ms = |duration: Duration| duration.as_millis() as u64;
    let timing = Timing {
        resend_ms: ms(ASK_FOR_VOTES_AGAIN),
        recover_ms: ms(RECOVER_AFTER),
        stagger_ms: ms(RECOVER_STAGGER),
        deadline_ms: ms(VERDICT_PATIENCE),
    };
    let (journal, entries) = JournalFile::open(dir, engine.votes_cipher()?)?;
    Ok(Desk::open((engine.origin().node(), timing, 0), journal, &entries, &engine.transactions())?)
}

/// The exclusive transaction that a record of this node's own begins with.
fn bind_in(record: &[u8]) -> Option<Vec<u8>> {
    // It was encoded here.
    let batch = Batches::decode(record).next()?.ok()?;
    let first = batch.effects().next()?.ok()?;
    matches!(first.op, Op::Bind(bind) if bind.exclusive).then(|| batch.to_bytes())
}

impl Driver {
    /// Milliseconds since the driver began.
    fn clock_ms(&self) -> u64 {
        u64::try_from((self.now - self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// A record of this node's own is about to be told to the others.
    pub(crate) fn see_own(&mut self, told: &Told) -> Result<(), String> {
        if !self.engine.has_exclusives() {
            return Ok(());
        }
        if let Some(batch) = bind_in(&told.bytes) {
            self.engine.log().commit(self.tail.position()).map_err(|error| error.to_string())?;
            let begun = self.desk.begun(self.clock_ms(), told.first.seq, &batch);
            self.do_all(begun);
        }
        Ok(())
    }

    /// A transaction of another node is in the log.
    pub(crate) fn bind_arrived(&mut self, begun: &Begun, conflicts_with_plain: bool) {
        let arrived = self.desk.arrived(self.clock_ms(), &begun.batch, conflicts_with_plain);
        self.do_all(arrived);
    }

    /// A verdict is in the log, and carried out.
    pub(crate) fn bind_decided(&mut self, decided: &Decided) {
        let deeds = self.desk.decided(self.clock_ms(), decided);
        self.do_all(deeds);
    }

    /// A frame about transactions.
    pub(crate) fn heard_of_bind(&mut self, node: NodeId, bytes: &[u8]) -> Result<(), WireError> {
        match self.desk.heard(self.clock_ms(), node.get(), bytes) {
            Err(DeskError::Bytes(error)) => Err(error),
            heard => {
                self.do_all(heard);
                Ok(())
            }
        }
    }

    /// Time has passed.
    pub(crate) fn tick_binds(&mut self) {
        let me = self.replica.origin().node();
        let mut peers = Peers::default();
        for link in self.links.all() {
            let node = link.peer.node.get();
            peers.alive.insert(node);
            if link.rtt_micros > 0 {
                peers.rtt_ms.insert((me.min(node), me.max(node)), u64::from(link.rtt_micros).div_ceil(1000));
            }
        }
        let now_ms = self.clock_ms();
        let ticked = self.desk.peers(now_ms, peers).and_then(|()| self.desk.tick(now_ms));
        self.do_all(ticked);
    }

    /// Nothing that is concurrent with this can come any more.
    pub(crate) fn binds_are_stable(&mut self, stable: Vector) {
        if self.desk.counts().0 > 0 {
            let told = self.desk.stable(self.clock_ms(), stable);
            self.do_all(told.map(|()| Vec::new()));
        }
    }

    /// Carries out what the desk says, and what comes of that.
    pub(crate) fn do_all(&mut self, deeds: Result<Vec<Deed>, DeskError>) {
        match deeds {
            Ok(deeds) => deeds.into_iter().for_each(|deed| self.do_one(deed)),
            // Whoever cannot remember votes must cast none.
            Err(error) => self.host.stop(&format!("transactions of the group cannot be kept: {error}")),
        }
    }

    fn do_one(&mut self, deed: Deed) {
        match deed {
            Deed::Send(to, bytes) => {
                if let Some(node) = NodeId::new(to) {
                    let wire = Arc::clone(&self.wire);
                    self.outgoing.push(&*wire, node, &[&[Channel::Bind as u8], &bytes[..]].concat());
                }
            }
            Deed::Verdict(bind, vote) => self.emit_verdict(bind, vote),
            Deed::Answer(seq, answer) => {
                let (bind, end) = (Dot { origin: self.engine.origin(), seq }, self.engine.log().end());
                self.verdicts.tell(bind, answer.map(|()| end));
            }
            // No key has a leader yet, and no transaction is unsafe.
            Deed::Serialize(..) | Deed::Run(_) | Deed::Reply(..) | Deed::Forwarded(..) => {}
            Deed::Show(..) | Deed::Undone(..) => {}
        }
    }

    /// If it cannot be logged now the desk asks again.
    fn emit_verdict(&mut self, bind: Dot, vote: Vote) {
        match self.engine.emit_verdict(bind, vote.commit, vote.ballot.0) {
            Ok(Some((decided, committed))) => {
                if !committed.ready.is_empty() {
                    self.host.ready(committed.ready, committed.position);
                }
                self.bind_decided(&decided);
            }
            Ok(None) => {
                let dot = bind;
                self.bind_decided(&Decided { bind, committed: vote.commit, ballot: vote.ballot.0, dot });
            }
            Err(error) => tracing::debug!(?bind, %error, "a verdict cannot be logged yet"),
        }
    }
}
