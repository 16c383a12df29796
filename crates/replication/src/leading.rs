//! Leaders of keys, as the driver sees them: transactions that go to one, and those that come from other nodes.
//!
//! A guest, a transaction of another node or on keys that this one leads, waits for its turn, and until all is here that its client had
//! seen; then a thread of clients runs it. While another one on its keys is undecided, it waits for a verdict and is tried again.
//!
//! *Invariant:* a guest is answered that it has not run, with no bytes, only as long as nothing of it is in the log; then it never runs.
//!
//! *Invariant:* a client is told what its leader has answered once all that the leader had then is here: it sees what it did.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causal::bind::{Exec, Key, TxnError, Why};
use cluster::NodeId;
use effect::wire::Reader;
use effect::{Vector, WireError};

use crate::driver::Driver;
use crate::limits::{GUEST_PATIENCE, MAILS_A_TURN, MAX_GUESTS, REPLY_PATIENCE, TURN_PATIENCE};
use crate::queue::{Call, Now, Queue};
use crate::serial::{Answer, Mail, Ran, Serial, TellAnswer};
use crate::transactions::Come;

/// See the module.
pub(crate) struct Leading {
    serial: Arc<Serial>,
    /// Clients of this node, by the numbers of their transactions.
    clients: HashMap<u64, Client>,
    /// The last of these numbers. The first one of a start is the time: a reply to what was sent before that finds nobody.
    last: u64,
    /// Those who want what this node leads.
    queue: Queue,
    /// Replies of leaders, for clients that must not have them yet.
    early: Vec<Early>,
    /// Verdicts that have been carried out here.
    verdicts: u64,
}

struct Client {
    tell: TellAnswer,
    /// Another node runs his transaction.
    is_forwarded: bool,
}

struct Early {
    client: u64,
    reply: Vec<u8>,
    /// What its leader had.
    behind: Vector,
    until: Instant,
}

/// What a leader says: what it has, then the client's reply.
fn encode_reply(vector: &Vector, reply: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    vector.encode(&mut bytes);
    bytes.extend_from_slice(reply);
    bytes
}

fn decode_reply(bytes: &[u8]) -> Result<(Vector, Vec<u8>), WireError> {
    let mut from = Reader::new(bytes);
    let vector = Vector::decode(&mut from)?;
    Ok((vector, bytes[from.offset()..].to_vec()))
}

impl Leading {
    pub(crate) fn new(serial: Arc<Serial>, now_ms: i64) -> Self {
        let last = u64::try_from(now_ms).unwrap_or_default() << 20;
        let (clients, queue, early) = Default::default();
        Self { serial, clients, last, queue, early, verdicts: 0 }
    }

    /// Another transaction has its verdict.
    pub(crate) fn note_verdict(&mut self) {
        self.verdicts += 1;
    }

    /// Tells the client, unless it was told before.
    pub(crate) fn answer(&mut self, client: u64, answer: Answer) {
        if let Some(Client { tell, is_forwarded }) = self.clients.remove(&client) {
            if is_forwarded && matches!(answer, Answer::Reply(_)) {
                self.serial.count_forwarded();
            }
            tell(answer);
        }
    }
}

impl Driver {
    /// Whether nobody waits for anything.
    pub(crate) fn transactions_are_quiet(&self) -> bool {
        !self.engine.has_unseen() && self.leading.clients.is_empty() && self.leading.queue.is_empty()
    }

    /// Does what has come up in a turn about transactions, those of leaders included.
    pub(crate) fn see_to_transactions(&mut self) {
        for _ in 0..MAILS_A_TURN {
            self.serve_mail();
            self.do_deeds();
            self.seat_guests();
            self.do_deeds();
            self.hand_on_replies();
            if !self.leading.serial.has_mail() {
                break;
            }
        }
    }

    /// Takes what the threads of clients have said.
    fn serve_mail(&mut self) {
        for ((db, name), times) in self.leading.serial.take_lost() {
            let told = self.desk.lost(self.clock_ms(), Key { db, ..Key::named(&name) }, times);
            self.check(told);
        }
        for mail in self.leading.serial.take() {
            match mail {
                Mail::Exec(keys, exec, tell) => {
                    self.leading.last += 1;
                    let client = self.leading.last;
                    let me = self.replica.origin().node();
                    let is_elsewhere = |key: &Key| self.desk.leader(key).is_some_and(|leader| leader != me);
                    let is_forwarded = !exec.commands.is_empty() && keys.iter().any(is_elsewhere);
                    self.leading.clients.insert(client, Client { tell, is_forwarded });
                    let told = self.desk.exec(self.clock_ms(), client, keys, *exec);
                    self.check(told);
                }
                Mail::Ran(number, Ran::Busy) => self.leading.queue.was_busy(number),
                Mail::Ran(number, Ran::Declined) => self.see_off(number),
                Mail::Ran(number, Ran::Replied(reply)) => {
                    self.leading.queue.remove(number);
                    self.reply_to_guest(number, &reply);
                }
            }
        }
    }

    /// A guest does not run here.
    fn see_off(&mut self, number: u64) {
        self.leading.queue.remove(number);
        let told = self.desk.answer_forwarded(self.clock_ms(), number, Vec::new());
        self.check(told);
    }

    /// A guest, or its client, has its answer.
    fn reply_to_guest(&mut self, number: u64, reply: &[u8]) {
        let reply = encode_reply(&self.engine.vector(), reply);
        let told = self.desk.answer_forwarded(self.clock_ms(), number, reply);
        self.check(told);
    }

    /// Another node has sent a transaction, or this one's client has one on keys that it leads.
    pub(crate) fn receive_guest(&mut self, number: u64, from: u64, exec: Exec) {
        let gives_back = exec.commands.is_empty() && exec.turn > 0;
        if gives_back {
            self.leading.queue.give_back(from, exec.turn);
        }
        if gives_back || self.leading.queue.len() >= MAX_GUESTS {
            return self.see_off(number);
        }
        let link = NodeId::new(from).and_then(|node| self.links.of(node));
        let way = Duration::from_micros(link.map_or(0, |link| link.rtt_micros.into()));
        self.leading.queue.push((number, from), exec, self.now + GUEST_PATIENCE, TURN_PATIENCE + way);
    }

    /// Has those guests run that may, and gives turns.
    pub(crate) fn seat_guests(&mut self) {
        if self.leading.queue.is_empty() {
            return;
        }
        let (here, desk) = (self.engine.vector(), &self.desk);
        let now = Now {
            at: self.now,
            verdicts: self.leading.verdicts,
            has: &|seen| here.covers(seen),
            is_open: &|key| desk.holds_back(key),
        };
        for call in self.leading.queue.call(&now) {
            match call {
                Call::Run(number, exec) if self.host.guest(number, &exec) => {}
                Call::Turn(number) => self.reply_to_guest(number, &number.to_le_bytes()),
                Call::Run(number, _) | Call::Leave(number) => self.see_off(number),
            }
        }
    }

    /// A leader has answered.
    pub(crate) fn hear_reply(&mut self, client: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.leading.answer(client, Answer::Here);
        }
        match decode_reply(bytes) {
            Ok((behind, reply)) => {
                self.leading.early.push(Early { client, reply, behind, until: self.now + REPLY_PATIENCE });
            }
            Err(error) => {
                tracing::warn!(%error, "what a leader has answered cannot be read");
                self.leading.answer(client, Answer::Refused(TxnError::TryAgain(Why::NoReply)));
            }
        }
    }

    /// Hands on what leaders have answered.
    fn hand_on_replies(&mut self) {
        if self.leading.early.is_empty() {
            return;
        }
        let here = self.engine.vector();
        for early in std::mem::take(&mut self.leading.early) {
            if here.covers(&early.behind) {
                self.leading.answer(early.client, Answer::Reply(early.reply));
            } else if self.now >= early.until {
                self.leading.answer(early.client, Answer::Refused(TxnError::TryAgain(Why::NoReply)));
            } else {
                self.leading.early.push(early);
            }
        }
    }

    /// The desk says who is to lead a key. If it cannot be logged now, nobody does.
    pub(crate) fn emit_serialize(&mut self, key: Key, leader: Option<u64>) {
        match self.engine.emit_serialize((key.db, key.name.as_ref().into()), leader) {
            Ok(serialized) => {
                self.has_logged = true;
                self.tell_of(Come::Leader(serialized));
            }
            Err(error) => tracing::debug!(%error, "the leader of a key cannot be logged"),
        }
    }

    /// Says which keys are led.
    pub(crate) fn tell_led(&self) {
        let mut led = self.desk.led().peekable();
        if led.peek().is_some() || self.leading.serial.has_leaders() {
            self.leading.serial.set_led(led.map(|(key, _)| (key.db, key.name.as_ref().into())).collect());
        }
    }
}
