//! The desk: inputs in, deeds out, the journal in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use causal::Epoch;
use causal::bind::{
    Ballot, Bind, Binds, Exec, Input, Key, KeyUse, Logged, Output, Peers, Record, Sent, Timing, TxnError, Vote, Voters,
};
use effect::{Batch, Dot, Op, Origin, Stamp, Vector, WireError};
use engine::Decided;
use thiserror::Error;

use super::journal::{Journal, JournalError};
use crate::limits::JOURNAL_SLACK_BYTES;

/// Why a desk does not go on.
#[derive(Debug, Error)]
pub enum DeskError {
    /// What must be durable is not.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A frame, an entry or a batch is not what this version writes.
    #[error("what belongs to transactions cannot be read: {0}")]
    Bytes(#[from] WireError),
    /// A batch begins with no bind of an exclusive transaction, or with more keys or voters than there may be.
    #[error("the batch {0:?} is no exclusive transaction")]
    NoBind(Dot),
}

/// What the driver has to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Send this to a node. It may be lost.
    Send(u64, Vec<u8>),
    /// Log this verdict ([`engine::Engine::emit_verdict`]), and tell of it ([`Desk::decided`]); also if it was logged before.
    Verdict(Dot, Vote),
    /// Log that this node leads the transactions of a key, or nobody.
    Serialize(Key, Option<u64>),
    /// Answer the client that waits for EXEC.
    Answer(u64, Result<(), TxnError>),
    /// Tell this client that its EXEC does not run, or that nobody knows whether it has.
    Refuse(u64, TxnError),
    /// Run this client's EXEC here.
    Run(u64),
    /// The leader of this client's EXEC has answered this.
    Reply(u64, Vec<u8>),
    /// An EXEC is to run here, behind those that came before it, under this number: what it answers goes to [`Desk::answer_forwarded`].
    /// The node that has sent it; none: it is of this one's client.
    Forwarded(u64, Option<u64>, Box<Exec>),
    /// An unsafe transaction takes effect, or has lost.
    Show(Dot, bool),
    /// An unsafe transaction that was shown has lost to another.
    Undone(Dot, Dot),
}

/// See the module.
#[derive(Debug)]
pub struct Desk<J> {
    binds: Binds,
    journal: J,
    /// Bytes of the journal when it was last written anew.
    least: u64,
    /// Clients by their transactions.
    clients: BTreeMap<Dot, u64>,
    /// EXECs on keys that this node leads, by the numbers that they have here: the node where somebody waits, if it is another, and under
    /// which number.
    guests: BTreeMap<u64, (Option<u64>, u64)>,
    next_guest: u64,
    /// What is to be done once the journal is durable.
    deeds: Vec<Deed>,
    /// The journal has what is not durable and must be.
    is_noted: bool,
    has_failed: bool,
}

/// The transaction that a batch begins with.
fn bind_of(bytes: &[u8]) -> Result<Arc<Bind>, DeskError> {
    let batch = Batch::decode(bytes)?;
    let first = batch.effects().next().transpose()?;
    let bind = match first.map(|effect| effect.op) {
        Some(Op::Bind(bind)) => Bind::of(batch.first, batch.hlc, &bind),
        _ => None,
    };
    bind.map(Arc::new).ok_or(DeskError::NoBind(batch.first))
}

/// The verdict that an entry of the journal has.
fn verdict_of(logged: &Logged) -> Option<(Dot, Vote)> {
    match logged {
        Logged::Verdict { bind, vote, .. } | Logged::Record(Record::Decided(bind, vote)) => Some((*bind, *vote)),
        _ => None,
    }
}

fn vote_of(decided: &Decided) -> Vote {
    Vote { ballot: Ballot(decided.ballot), commit: decided.committed }
}

impl<J: Journal> Desk<J> {
    /// The desk as it was: `entries` are the journal's, `transactions` what the engine remembers ([`engine::Engine::transactions`]). What
    /// the two do not agree on: a verdict that is in the log counts, and one that only the journal has is a deed.
    pub fn open(
        (node, timing, now_ms): (u64, Timing, u64),
        journal: J,
        entries: &[Vec<u8>],
        transactions: &[(Arc<[u8]>, Option<Decided>)],
    ) -> Result<Self, DeskError> {
        let mut logged = entries.iter().map(|entry| Logged::decode(entry)).collect::<Result<Vec<_>, _>>()?;
        let votes: BTreeMap<Dot, Vote> = logged.iter().filter_map(verdict_of).collect();
        let mut undecided = Vec::new();
        for (bytes, decided) in transactions {
            let bind = bind_of(bytes)?;
            let dot = bind.dot();
            if !logged.iter().any(|item| matches!(item, Logged::Bind(known, _) if known.dot() == dot)) {
                // A crash came between the log and the journal. Whether something concurrent was there is not known: then it was.
                logged.insert(0, Logged::Bind(bind, true));
            }
            match decided {
                Some(decided) => logged.push(Logged::Verdict { bind: dot, vote: vote_of(decided), dot: decided.dot }),
                None => undecided.push(dot),
            }
        }
        let binds = Binds::restore(node, timing, now_ms, logged);
        let deed = |bind: Dot| match votes.get(&bind) {
            Some(vote) => Some(Deed::Verdict(bind, *vote)),
            // What is shown is in no log but this.
            None => binds.visible(bind).map(|commit| Deed::Show(bind, commit)),
        };
        let deeds = undecided.into_iter().filter_map(deed).collect();
        let (clients, guests, is_noted, has_failed) = (BTreeMap::new(), BTreeMap::new(), false, false);
        let mut desk = Self { binds, least: 0, journal, clients, guests, next_guest: 0, deeds, is_noted, has_failed };
        desk.write_anew()?;
        Ok(desk)
    }

    /// Whether a transaction over these keys may be begun: asked with their shards locked, before it is logged.
    pub fn may_begin(&self, keys: &[KeyUse], voters: &Voters) -> Result<(), TxnError> {
        self.binds.may_begin(keys, voters)
    }

    /// A client's transaction has been logged here.
    pub fn begun(&mut self, now_ms: u64, client: u64, batch: &[u8]) -> Result<(), DeskError> {
        let bind = bind_of(batch)?;
        self.clients.insert(bind.dot(), client);
        self.note(&Logged::Bind(Arc::clone(&bind), false))?;
        self.step(now_ms, Input::Begin(bind))
    }

    /// Another node's transaction has been logged here.
    pub fn arrived(&mut self, now_ms: u64, batch: &[u8], conflicts_with_plain: bool) -> Result<(), DeskError> {
        let bind = bind_of(batch)?;
        self.note(&Logged::Bind(Arc::clone(&bind), conflicts_with_plain))?;
        self.step(now_ms, Input::Bind { bind, conflicts_with_plain })
    }

    /// A verdict has been logged here. Where it had been before ([`engine::Engine::emit_verdict`] has answered none), the transaction's
    /// own dot is as good as any.
    pub fn decided(&mut self, now_ms: u64, decided: &Decided) -> Result<(), DeskError> {
        let (bind, vote, dot) = (decided.bind, vote_of(decided), decided.dot);
        self.note(&Logged::Verdict { bind, vote, dot })?;
        self.step(now_ms, Input::Verdict { bind, vote, dot })
    }

    /// A verdict against a transaction has come, and is not carried out yet: what is shown of that is undone by the next deeds.
    pub fn failed(&mut self, now_ms: u64, bind: Dot) -> Result<(), DeskError> {
        self.step(now_ms, Input::Failed(bind))
    }

    /// A frame has come.
    pub fn heard(&mut self, now_ms: u64, from: u64, bytes: &[u8]) -> Result<(), DeskError> {
        match Sent::decode(bytes)? {
            Sent::Message(message) => self.step(now_ms, Input::Message(from, message)),
            Sent::Forward(id, exec) => {
                let deed = self.receive(Some(from), id, exec);
                self.deeds.push(deed);
                Ok(())
            }
            Sent::Reply(id, reply) => {
                self.step(now_ms, Input::Replied(id))?;
                self.deeds.push(Deed::Reply(id, reply));
                Ok(())
            }
        }
    }

    /// An EXEC that had come here as to a leader has its answer.
    pub fn answer_forwarded(&mut self, now_ms: u64, guest: u64, reply: Vec<u8>) -> Result<(), DeskError> {
        match self.guests.remove(&guest) {
            None => Ok(()),
            Some((None, id)) => {
                self.step(now_ms, Input::Replied(id))?;
                self.deeds.push(Deed::Reply(id, reply));
                Ok(())
            }
            Some((Some(node), id)) => {
                self.deeds.push(sent(node, &Sent::Reply(id, reply)));
                Ok(())
            }
        }
    }

    /// An EXEC that had come here as to a leader is answered with that of another: the number that it has on the node where somebody waits.
    pub fn take_guest(&mut self, guest: u64) -> Option<u64> {
        self.guests.remove(&guest).map(|(_, id)| id)
    }

    /// This client's EXEC has its answer.
    pub fn answered(&mut self, now_ms: u64, client: u64) -> Result<(), DeskError> {
        self.step(now_ms, Input::Replied(client))
    }

    /// A client's EXEC with watches is about to run, over these keys.
    pub fn exec(&mut self, now_ms: u64, client: u64, keys: Vec<Key>, exec: Exec) -> Result<(), DeskError> {
        self.step(now_ms, Input::Exec { id: client, keys, exec: Box::new(exec), forwarded: false })
    }

    /// So many transactions of this node could not begin, as others on a key are undecided.
    pub fn lost(&mut self, now_ms: u64, key: Key, times: u32) -> Result<(), DeskError> {
        self.step(now_ms, Input::Lost(key, times))
    }

    /// An effect has named the leader of a key's transactions.
    pub fn serialized(&mut self, now_ms: u64, key: Key, leader: Option<u64>, stamp: Stamp) -> Result<(), DeskError> {
        self.step(now_ms, Input::Serialize { key, leader, stamp })
    }

    /// A client's EXEC waits here as if it had come from elsewhere, under this number.
    pub fn seat(&mut self, client: u64) -> u64 {
        self.number((None, client))
    }

    fn number(&mut self, guest: (Option<u64>, u64)) -> u64 {
        self.next_guest += 1;
        self.guests.insert(self.next_guest, guest);
        self.next_guest
    }

    fn receive(&mut self, from: Option<u64>, id: u64, exec: Box<Exec>) -> Deed {
        Deed::Forwarded(self.number((from, id)), from, exec)
    }

    /// The leader of a key, if its transactions are serialised.
    pub fn leader(&self, key: &Key) -> Option<u64> {
        self.binds.leader(key)
    }

    /// Whether a transaction that writes the key has no visible outcome.
    pub fn is_open(&self, key: &Key) -> bool {
        self.binds.is_open(key)
    }

    /// The keys whose transactions are serialised, with their leaders.
    pub fn led(&self) -> impl Iterator<Item = (&Key, u64)> {
        self.binds.led()
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) -> Result<(), DeskError> {
        self.step(now_ms, Input::Tick)?;
        if self.journal.bytes() > 4 * self.least + JOURNAL_SLACK_BYTES {
            self.write_anew()?;
        }
        Ok(())
    }

    /// Who answers, and how quickly.
    pub fn peers(&mut self, now_ms: u64, peers: Peers) -> Result<(), DeskError> {
        self.step(now_ms, Input::Peers(peers))
    }

    /// The node's disk is not the one that it voted with: what it said before this life of it is not known. See [`Input::Forgot`].
    pub fn forgot(&mut self, now_ms: u64, life: Origin) -> Result<(), DeskError> {
        self.step(now_ms, Input::Forgot(life))
    }

    /// The epoch that the node is in, and whether it has met all of its members. See [`Input::Members`].
    pub fn members(&mut self, now_ms: u64, epoch: &Epoch, met: bool) -> Result<(), DeskError> {
        self.step(now_ms, Input::Members { epoch: epoch.number, members: epoch.members.clone(), met })
    }

    /// All of this is stable.
    pub fn stable(&mut self, now_ms: u64, stable: Vector) -> Result<(), DeskError> {
        self.step(now_ms, Input::Stable(stable))
    }

    /// Whether transactions may be begun in this epoch.
    pub fn has_met(&self) -> bool {
        self.binds.has_met()
    }

    /// How many transactions are remembered, and how many of them are open.
    pub fn counts(&self) -> (usize, usize) {
        self.binds.counts()
    }

    fn note(&mut self, logged: &Logged) -> Result<(), DeskError> {
        if self.has_failed {
            return Err(JournalError::Failed.into());
        }
        let mut bytes = Vec::new();
        logged.encode(&mut bytes);
        let noted = self.journal.append(&bytes);
        self.has_failed |= noted.is_err();
        Ok(noted?)
    }

    /// Only what is left of the past stays in the journal.
    fn write_anew(&mut self) -> Result<(), DeskError> {
        let entry = |logged: &Logged| {
            let mut bytes = Vec::new();
            logged.encode(&mut bytes);
            bytes
        };
        let entries: Vec<Vec<u8>> = self.binds.dump().iter().map(entry).collect();
        let written = self.journal.replace(&entries);
        self.has_failed |= written.is_err();
        written?;
        self.least = self.journal.bytes();
        Ok(())
    }

    fn step(&mut self, now_ms: u64, input: Input) -> Result<(), DeskError> {
        if self.has_failed {
            return Err(JournalError::Failed.into());
        }
        for output in self.binds.step(now_ms, input) {
            if let Output::Persist(record) = output {
                self.note(&Logged::Record(record))?;
                self.is_noted = true;
            } else {
                let deed = self.deed(output);
                self.deeds.extend(deed);
            }
        }
        Ok(())
    }

    /// What is to be done, in this order: all that was noted is durable now, with one sync for whatever came together.
    pub fn deeds(&mut self) -> Result<Vec<Deed>, DeskError> {
        if self.has_failed {
            return Err(JournalError::Failed.into());
        }
        if std::mem::take(&mut self.is_noted) {
            self.journal.sync().inspect_err(|_| self.has_failed = true)?;
        }
        Ok(std::mem::take(&mut self.deeds))
    }

    fn deed(&mut self, output: Output) -> Option<Deed> {
        Some(match output {
            Output::Persist(_) => return None,
            Output::Send(to, message) => sent(to, &Sent::Message(message)),
            Output::EmitVerdict(bind, vote) => Deed::Verdict(bind, vote),
            Output::EmitSerialize(key, leader) => Deed::Serialize(key, leader),
            Output::Answer(bind, answer) => Deed::Answer(self.clients.remove(&bind)?, answer),
            Output::Show(bind, committed) => Deed::Show(bind, committed),
            Output::Undone { bind, by } => Deed::Undone(bind, by),
            Output::Run(client) => Deed::Run(client),
            Output::Lead { id, exec } => self.receive(None, id, exec),
            Output::Forward { to, id, exec } => sent(to, &Sent::Forward(id, exec)),
            Output::Refuse(client, error) => Deed::Refuse(client, error),
        })
    }
}

fn sent(to: u64, what: &Sent) -> Deed {
    let mut bytes = Vec::new();
    what.encode(&mut bytes);
    Deed::Send(to, bytes)
}

/// What a frame says, for tests.
#[cfg(test)]
pub(super) fn message_of(bytes: &[u8]) -> Option<causal::bind::Message> {
    match Sent::decode(bytes) {
        Ok(Sent::Message(message)) => Some(message),
        _ => None,
    }
}
