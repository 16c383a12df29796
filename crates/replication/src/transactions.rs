//! Exclusive transactions of the group, as the driver sees them: what the desk is told, and what its deeds come to.
//!
//! ```text
//!   own log ── a bind ─▶ fsync ─▶ begun ┐
//!   applied ── a bind, a verdict ─────▶ │ Desk │ ─▶ Send ▶ peers    Verdict ▶ Engine::emit_verdict ▶ decided    Answer ▶ the client
//!   frames, time, what is stable ─────▶ ┘                  Show, Undone ▶ Engine::show, undo ▶ readers; the undone stream
//! ```
//! *Invariant:* a bind of this node leaves it only when it is durable here, and the desk has heard of it.
//!
//! *Invariant:* between what is received and what the desk is told of it no frame about transactions is heard.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use causal::bind::{Key, Peers, Timing, Vote};
use cluster::NodeId;
use effect::{Batches, Dot, KeyspaceId, Op, Origin, Vector, WireError};
use engine::{Begun, DbKey, Decided, Engine, Serialized, Told, VerdictError};
use wal::Position;

use crate::driver::Driver;
use crate::error::Error;
use crate::exclusive::{Deed, Desk, DeskError, JournalFile};
use crate::limits::{ASK_FOR_VOTES_AGAIN, RECOVER_AFTER, RECOVER_STAGGER, VERDICT_PATIENCE};
use crate::serial::Answer;
use crate::undone::{Loss, Lost, UndoneError};
use crate::wire::Channel;

/// What has come of another node, in the order of the log.
pub(crate) enum Come {
    /// A transaction, and whether a write is here that it had not observed.
    Bind(Begun, bool),
    /// The verdict on one, carried out.
    Verdict(Decided),
    /// Who leads the transactions of a key.
    Leader(Serialized),
}

impl Come {
    /// Up to where the log must be durable before anybody is told.
    fn position(&self) -> Option<Position> {
        match self {
            Self::Bind(begun, _) => Some(begun.position),
            Self::Verdict(_) | Self::Leader(_) => None,
        }
    }
}

/// The desk of a node as its disk says.
pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<Desk<JournalFile>, Error> {
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
    pub(crate) fn clock_ms(&self) -> u64 {
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
            self.check(begun);
        }
        Ok(())
    }

    /// Tells of the transactions and verdicts of others that have come in this turn, once they are durable here: no voter speaks of what it
    /// may lose.
    pub(crate) fn tell_of_others(&mut self) {
        let others = std::mem::take(&mut self.come);
        let Some(end) = others.iter().filter_map(Come::position).max() else {
            return others.into_iter().for_each(|come| self.tell_of(come));
        };
        match self.engine.log().commit(end) {
            Ok(()) => others.into_iter().for_each(|come| self.tell_of(come)),
            Err(error) => self.host.stop(&format!("the log cannot be made durable: {error}")),
        }
    }

    pub(crate) fn tell_of(&mut self, come: Come) {
        let now_ms = self.clock_ms();
        let told = match come {
            Come::Bind(begun, conflicts_with_plain) => self.desk.arrived(now_ms, &begun.batch, conflicts_with_plain),
            Come::Verdict(decided) => {
                // Guests come first: before the journal is synced, and before clients of this node try again.
                self.leading.note_outcome();
                self.seat_guests();
                self.desk.decided(now_ms, &decided)
            }
            Come::Leader(Serialized { key: (db, name), leader, stamp }) => {
                let key = Key { keyspace: KeyspaceId::DEFAULT, db, name: name.into() };
                self.leading.note_led();
                self.desk.serialized(now_ms, key, leader, stamp)
            }
        };
        self.check(told);
    }

    /// A frame about transactions.
    pub(crate) fn heard_of_bind(&mut self, node: NodeId, bytes: &[u8]) -> Result<(), WireError> {
        match self.desk.heard(self.clock_ms(), node.get(), bytes) {
            Err(DeskError::Bytes(error)) => Err(error),
            heard => {
                self.check(heard);
                Ok(())
            }
        }
    }

    /// The disk is not the one that this node has voted with: what it said before it has a life of its own again is not known.
    pub(crate) fn forget_votes(&mut self) {
        let never = Origin::new(self.replica.origin().node(), u16::MAX);
        let told = self.desk.forgot(self.clock_ms(), never);
        self.check(told);
    }

    /// It may write as this one, and its votes are known from now on.
    pub(crate) fn remember_votes(&mut self, life: Origin) {
        let told = self.desk.forgot(self.clock_ms(), life);
        self.check(told);
        self.do_deeds();
    }

    /// Writes something, so that others see in contexts that this life has begun: then its votes count.
    pub(crate) fn show_life(&self) {
        if let Err(error) = self.engine.emit_noop() {
            tracing::warn!(%error, "votes of this node do not count before something is written here");
        }
    }

    /// Tells of the epoch, if something of it is new.
    pub(crate) fn tell_members(&mut self) {
        let (epoch, met) = (self.replica.epoch(), self.replica.has_met_all());
        if self.told_members != Some((epoch.number, met)) {
            self.told_members = Some((epoch.number, met));
            let told = self.desk.members(self.clock_ms(), epoch, met);
            self.check(told);
        }
    }

    /// Time has passed.
    pub(crate) fn tick_binds(&mut self) {
        self.tell_members();
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
        self.check(ticked);
        self.tell_led();
    }

    /// Nothing that is concurrent with this can come any more.
    pub(crate) fn binds_are_stable(&mut self, stable: Vector) {
        if self.desk.counts().0 > 0 {
            let told = self.desk.stable(self.clock_ms(), stable);
            self.check(told);
        }
    }

    /// Whoever cannot remember votes must cast none.
    pub(crate) fn check(&self, told: Result<(), DeskError>) {
        if let Err(error) = told {
            self.host.stop(&format!("transactions of the group cannot be kept: {error}"));
        }
    }

    /// Carries out what the desk says, and what comes of that.
    pub(crate) fn do_deeds(&mut self) {
        loop {
            match self.desk.deeds() {
                Ok(deeds) if deeds.is_empty() => return,
                Ok(deeds) => deeds.into_iter().for_each(|deed| self.do_one(deed)),
                Err(error) => return self.check(Err(error)),
            }
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
            Deed::Show(bind, commit) => {
                self.seen(if commit { self.engine.show(bind) } else { self.engine.undo(bind) });
                self.leading.note_outcome();
            }
            Deed::Undone(bind, by) => self.undo(bind, by),
            Deed::Serialize(key, leader) => self.emit_serialize(key, leader),
            Deed::Run(client) => self.leading.answer(client, Answer::Here),
            Deed::Refuse(client, error) => self.leading.answer(client, Answer::Refused(error)),
            Deed::Reply(client, reply) => self.hear_reply(client, &reply),
            Deed::Forwarded(number, from, exec) => {
                self.receive_guest(number, from.unwrap_or(self.replica.origin().node()), *exec);
            }
        }
    }

    /// What readers see has changed.
    fn seen(&self, changed: Result<Vec<DbKey>, VerdictError>) {
        match changed {
            Ok(ready) if ready.is_empty() => {}
            Ok(ready) => self.host.ready(ready, self.engine.log().end()),
            Err(error) => tracing::error!(%error, "a transaction is not seen here until it is decided"),
        }
    }

    /// A transaction that was shown has lost. The desk says so again after each start, and a report that is known is none.
    fn undo(&mut self, bind: Dot, by: Dot) {
        let keys = self.engine.written_by(bind).into_iter().map(|(db, key)| (db, key.into())).collect();
        let lost = Lost { loss: Loss::Transaction { bind, by }, keys };
        if self.report(vec![lost]).is_ok() {
            self.seen(self.engine.undo(bind));
        }
    }

    /// Reports losses, durably. A node that cannot does not go on: nobody would ever hear of them.
    pub(crate) fn report(&self, lost: Vec<Lost>) -> Result<(), UndoneError> {
        let reports = self.undone.report(self.engine.now_ms(), lost).inspect_err(|error| {
            self.host.stop(&format!("what was undone cannot be reported: {error}"));
        })?;
        reports.iter().for_each(|report| self.host.undone(report));
        Ok(())
    }

    /// If it cannot be logged now the desk asks again.
    fn emit_verdict(&mut self, bind: Dot, vote: Vote) {
        match self.engine.emit_verdict(bind, vote.commit, vote.ballot.0) {
            Ok(Some((decided, committed))) => {
                self.has_logged = true;
                if !committed.ready.is_empty() {
                    self.host.ready(committed.ready, committed.position);
                }
                self.tell_of(Come::Verdict(decided));
            }
            Ok(None) => {
                let dot = bind;
                let known = Decided { bind, committed: vote.commit, ballot: vote.ballot.0, dot };
                self.tell_of(Come::Verdict(known));
            }
            Err(error) => tracing::debug!(?bind, %error, "a verdict cannot be logged yet"),
        }
    }
}
