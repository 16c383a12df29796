//! The turn of the driver: events of peers, the own log, time; and what the state machine answers to each.
//!
//! *Invariant:* when a turn ends, either everything that the state machine has asked for is done, or the first thing that could not be
//! done is at the head of `due`, and no event is taken before it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use causal::{Change, Cut, Frame, Input, Output, Replica};
use cluster::{Event, NodeId, Peer};
use engine::{Engine, FeedError};

use crate::acks::Acks;
use crate::back::Back;
use crate::exclusive::{Desk, JournalFile};
use crate::host::Host;
use crate::lag::Lag;
use crate::leading::Leading;
use crate::limits::{ASSEMBLED_BYTES, QUIET_TICK, RECORDS_A_TURN, TICK, TRY_AGAIN};
use crate::links::Links;
use crate::membership::Membership;
use crate::outgoing::Outgoing;
use crate::parts::Parts;
use crate::reads::{Reads, entry};
use crate::snapshot::{Giver, Message, Taker};
use crate::status::Board;
use crate::tail::Tail;
use crate::transactions::Come;
use crate::undone::Undone;
use crate::verdicts::Verdicts;
use crate::whole::Whole;
use crate::wire::{Channel, Wire, decode_addresses, decode_published, encode_addresses};

/// See the module.
pub(crate) struct Driver {
    pub(crate) engine: Arc<Engine>,
    pub(crate) wire: Arc<dyn Wire>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) dir: std::path::PathBuf,
    pub(crate) membership: Membership,
    pub(crate) replica: Replica,
    pub(crate) frame_bytes: u64,
    pub(crate) links: Links,
    pub(crate) outgoing: Outgoing,
    pub(crate) reads: Reads,
    pub(crate) tail: Tail,
    /// The transactions of the group.
    pub(crate) desk: Desk<JournalFile>,
    /// What it was not told yet.
    pub(crate) come: Vec<Come>,
    /// What it knows of the members: the epoch, and whether all were met.
    pub(crate) told_members: Option<(u64, bool)>,
    /// What the state machine was not told yet.
    inputs: VecDeque<Input>,
    /// What it has asked for and was not done yet.
    pub(crate) due: VecDeque<Output>,
    /// The last cut of this turn.
    pub(crate) cut: Option<Cut>,
    /// Batches of others that were applied in this turn, or verdicts, lie in the log's buffer.
    pub(crate) has_logged: bool,
    pub(crate) began: Instant,
    pub(crate) now: Instant,
    tick_at: Instant,
    pub(crate) ask_at: Instant,
    pub(crate) asked: u64,
    pub(crate) status: Arc<Board>,
    pub(crate) acks: Arc<Acks>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) leading: Leading,
    pub(crate) lag: Lag,
    /// A peer's client waits for what has come.
    is_asked_to_sync: bool,
    pub(crate) is_dropped: bool,
    pub(crate) needs_snapshot: bool,
    /// A copy of the state that is to take the place of what is here.
    pub(crate) whole: Option<Whole>,
    /// The next start begins with a copy of the state.
    pub(crate) is_leaving: bool,
    /// The way back, if the group has gone on without it.
    pub(crate) back: Back,
    pub(crate) undone: Arc<Undone>,
    kept_log_bytes: u64,
    pub(crate) giver: Giver,
    pub(crate) taker: Taker,
    pub(crate) batches_in: u64,
    pub(crate) effects_in: u64,
}

impl Driver {
    /// A driver; nothing may have been written since the replica was opened.
    pub(crate) fn new(parts: Parts, now: Instant) -> Result<Self, FeedError> {
        let Parts { engine, wire, host, dir, membership, replica, desk, frame_bytes, status, undone, .. } = parts;
        let back = Back::new(parts.joins, engine.has_undelivered());
        let (acks, verdicts, options, kept_log_bytes) =
            (parts.acks, parts.verdicts, parts.options, parts.kept_log_bytes);
        let taker = Taker::new(&dir, options, now);
        let tail = Tail::new(&engine)?;
        engine.set_open(replica.may_write());
        let leading = Leading::new(parts.serial, engine.now_ms());
        let mut driver = Self {
            engine,
            wire,
            host,
            dir,
            membership,
            replica,
            frame_bytes,
            links: Links::default(),
            outgoing: Outgoing::default(),
            reads: Reads::default(),
            tail,
            desk,
            come: Vec::new(),
            told_members: None,
            inputs: VecDeque::new(),
            due: VecDeque::new(),
            cut: None,
            has_logged: false,
            began: now,
            now,
            tick_at: now,
            ask_at: now,
            asked: 0,
            status,
            acks,
            verdicts,
            leading,
            lag: Lag::default(),
            is_asked_to_sync: false,
            is_dropped: false,
            needs_snapshot: false,
            whole: None,
            is_leaving: false,
            back,
            undone,
            kept_log_bytes,
            giver: Giver::default(),
            taker,
            batches_in: 0,
            effects_in: 0,
        };
        // One that has never been a member has never voted.
        if driver.membership.restored && !driver.membership.epoch.members.is_empty() {
            driver.forget_votes();
        }
        driver.tell_members();
        // Clients see what they saw before.
        driver.do_deeds();
        driver.tell_status(None);
        Ok(driver)
    }

    /// When it must have a turn again, if nothing happens before.
    pub(crate) fn next_turn(&self) -> Instant {
        self.tick_at
    }

    /// Takes what has happened. Says when to come again if something could not be carried out: no events are to be brought before.
    pub(crate) fn turn(&mut self, events: &mut Vec<Event>, changes: Vec<Change>, now: Instant) -> Result<(), Instant> {
        self.now = now;
        if self.is_leaving {
            events.clear();
            return Ok(());
        }
        let done = self.carry_all().and_then(|()| {
            self.tell_of_others();
            for event in events.drain(..) {
                self.event(event);
            }
            self.inputs.extend(changes.into_iter().map(Input::Propose));
            self.step_all()?;
            self.tell_of_others();
            self.read_log(now)?;
            if now >= self.tick_at {
                self.tick(now)?;
            }
            Ok(())
        });
        self.tell_of_others();
        self.see_to_transactions();
        let done = done.and_then(|()| if self.has_logged { self.read_log(now) } else { Ok(()) });
        if let Some(cut) = self.cut.take() {
            self.engine.note_stable(&cut.vector, cut.hlc);
            self.binds_are_stable(cut.vector);
        }
        let wire = Arc::clone(&self.wire);
        self.outgoing.finish(&*wire);
        self.see_to_acks();
        self.outgoing.flush(&*wire);
        if let Err(trouble) = done {
            // Who waits for a leader, or for a verdict, waits no longer than was promised.
            self.tick_binds();
            self.tell_status(Some(trouble));
            return Err(now + TRY_AGAIN);
        }
        Ok(())
    }

    /// Tells the state machine everything that waits, and does what it answers.
    pub(crate) fn step_all(&mut self) -> Result<(), String> {
        while let Some(input) = self.inputs.pop_front() {
            self.step(input)?;
        }
        Ok(())
    }

    /// What an answer brings with it is told before anything that has happened since.
    pub(crate) fn step(&mut self, input: Input) -> Result<(), String> {
        self.due.extend(self.replica.step(self.engine.now_ms(), input));
        self.carry_all()
    }

    /// Does what is due, in order.
    fn carry_all(&mut self) -> Result<(), String> {
        while let Some(output) = self.due.pop_front() {
            match self.carry_out(output) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    self.due.extend(self.replica.step(self.engine.now_ms(), answer));
                }
                Err(held) => {
                    let (output, trouble) = *held;
                    self.due.push_front(output);
                    return Err(trouble);
                }
            }
        }
        Ok(())
    }

    /// Tells of what this node has written, and of what is fsynced.
    fn read_log(&mut self, now: Instant) -> Result<(), String> {
        if std::mem::take(&mut self.has_logged) {
            // Nobody waits for what others wrote, so nobody else has it written.
            self.engine.log().write_out().map_err(|e| e.to_string())?;
        }
        if std::mem::take(&mut self.is_asked_to_sync) {
            self.engine.log().request_commit();
            self.tick_at = self.tick_at.min(now + TICK);
        }
        for _ in 0..RECORDS_A_TURN {
            let Some(told) = self.tail.next_own(&self.engine).map_err(|e| e.to_string())? else { break };
            self.see_own(&told)?;
            self.step(Input::Wrote(entry(told)))?;
        }
        self.tail.note(now);
        if let Some(vector) = self.tail.synced(self.engine.log().durable(), now) {
            self.step(Input::Synced(vector))?;
        }
        Ok(())
    }

    fn tick(&mut self, now: Instant) -> Result<(), String> {
        let (end, promised) = self.engine.promise();
        self.engine.log().write_out().map_err(|e| e.to_string())?;
        // A promise counts once all before it has been told.
        while self.tail.position() < end {
            let before = self.tail.position();
            self.read_log(now)?;
            if self.tail.position() == before {
                break;
            }
        }
        if self.tail.position() >= end {
            self.step(Input::Tick { promised })?;
        }
        self.tail.see_to_sync(&self.engine, now);
        if let Some(delivered) = self.replica.delivered() {
            self.engine.keep_log(delivered, self.kept_log_bytes);
        }
        self.tail.let_go(&self.engine).map_err(|e| e.to_string())?;
        self.ask(now);
        self.take_snapshot(now);
        self.note_met();
        self.go_back();
        self.write_again();
        self.tick_binds();
        let (origin, stable) = (self.replica.origin(), &self.replica.cut().vector);
        self.lag.note(origin, self.replica.applied().get(origin), stable.get(origin), now);
        let is_stable = self.replica.cut().vector == *self.replica.applied() && self.engine.undecided_count() == 0;
        let is_quiet = is_stable && !self.replica.has_news() && !self.needs_snapshot && self.transactions_are_quiet();
        self.tick_at = now + if is_quiet && !self.back.has_undelivered { QUIET_TICK } else { TICK };
        self.tell_status(None);
        Ok(())
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::PeerUp(peer) => self.up(peer),
            Event::PeerDown { node, .. } => self.down(node),
            Event::Frame(node, bytes) => self.frame(node, bytes),
            Event::Room(node) => {
                let wire = Arc::clone(&self.wire);
                self.outgoing.room(&*wire, node);
            }
            Event::Rtt { node, micros } => {
                if let Some(link) = self.links.of_mut(node) {
                    link.rtt_micros = micros;
                }
            }
            Event::Refused { .. } => {}
        }
    }

    /// Everybody is told of everybody, so that all find each other whomever they were told to join.
    fn up(&mut self, peer: Peer) {
        let wire = Arc::clone(&self.wire);
        let known: Vec<String> = self.links.all().filter_map(|link| link.peer.announced.clone()).collect();
        if !known.is_empty() {
            self.outgoing.push(&*wire, peer.node, &encode_addresses(&known));
        }
        if let Some(address) = &peer.announced {
            let one = encode_addresses(std::slice::from_ref(address));
            let others: Vec<NodeId> = self.links.all().map(|link| link.peer.node).collect();
            others.into_iter().for_each(|other| self.outgoing.push(&*wire, other, &one));
        }
        let id = self.links.open(peer);
        self.inputs.push_back(Input::Connected(id));
    }

    pub(crate) fn down(&mut self, node: NodeId) {
        self.outgoing.forget(node);
        self.forget_turns_of(node);
        if let Some(id) = self.links.close(node) {
            self.reads.forget(id);
            self.inputs.push_back(Input::Closed(id));
        }
    }

    fn frame(&mut self, node: NodeId, bytes: Vec<u8>) {
        let Some(link) = self.links.of_mut(node) else { return };
        let channel = bytes.first().and_then(|byte| Channel::of(*byte));
        let Some(channel) = channel else { return self.wire.close(node, "a frame of no kind") };
        if channel == Channel::Piece {
            link.pieces.extend_from_slice(&bytes[1..]);
            if link.pieces.len() > ASSEMBLED_BYTES {
                self.wire.close(node, "a frame that does not end");
            }
            return;
        }
        // Others come between pieces.
        let id = link.id;
        let mut whole = match channel {
            Channel::Replica | Channel::Bind => std::mem::take(&mut link.pieces),
            _ => Vec::new(),
        };
        let is_whole = whole.is_empty();
        if !is_whole {
            whole.extend_from_slice(&bytes[1..]);
        }
        let payload = if is_whole { &bytes[1..] } else { &whole[..] };
        let read = match channel {
            Channel::Piece => Ok(()),
            Channel::Replica => Frame::decode(payload).map(|frame| self.inputs.push_back(Input::Received(id, frame))),
            Channel::Join => {
                self.asked_to_join(node);
                Ok(())
            }
            Channel::Addresses => {
                decode_addresses(payload).map(|all| all.iter().for_each(|address| self.wire.dial(address)))
            }
            Channel::Snapshot => Message::decode(payload).map(|message| self.snapshot(node, message)),
            Channel::Bind => self.heard_of_bind(node, payload),
            Channel::Sync => {
                self.is_asked_to_sync = true;
                Ok(())
            }
            Channel::Published => {
                decode_published(payload).map(|(channel, message)| self.host.published(node, channel, message))
            }
        };
        if let Err(error) = read {
            tracing::warn!(%node, %error, "a frame cannot be read: the connection is closed");
            self.wire.close(node, "a frame that cannot be read");
        }
    }

    /// Whoever has the passphrase may be a member.
    fn asked_to_join(&mut self, node: NodeId) {
        let is_due = self.replica.may_write() && self.replica.wants().is_none();
        if is_due && !self.replica.epoch().has(node.get()) {
            tracing::info!(%node, "a node asks to join the group");
            self.inputs.push_back(Input::Propose(Change::Join(node.get())));
        }
    }

    fn snapshot(&mut self, node: NodeId, message: Message) {
        match message {
            Message::Want { id, from } => self.giver.want(&self.engine, &self.wire, node, (id, from)),
            Message::Ack { id, next } => self.giver.acknowledged(node, id, next),
            other => self.taker.hear(&self.wire, node, other, self.now),
        }
    }
}
