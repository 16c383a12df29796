//! Leaders of keys, as the driver sees them: transactions that go to one, and those that come from other nodes.
//!
//! A client who has a turn ([`Turns`]) runs his transaction on his node. Another is a guest at the leader: it waits in the queue, and until all
//! is here that its client had seen; then a thread of clients runs it. While another one on its keys is undecided, it waits for a verdict
//! and is tried again.
//!
//! *Invariant:* a guest is answered that it has not run, with no bytes, only as long as nothing of it is in the log; then it never runs.
//!
//! *Invariant:* a client is told what its leader has answered once all that the leader had then is here: it sees what it did.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causal::bind::{Exec, Key, TxnError, Why};
use cluster::NodeId;
use effect::wire::Reader;
use effect::{Vector, WireError};

use crate::driver::Driver;
use crate::limits::{BUSY_PATIENCE, GUEST_PATIENCE, MAILS_A_TURN, MAX_GUESTS, REPLY_PATIENCE, TURN_PATIENCE};
use crate::queue::{Call, Now, Queue};
use crate::serial::{Answer, Mail, Ran, Serial, TellAnswer};
use crate::transactions::Come;
use crate::turns::{self, Held, Turns};

/// See the module.
pub(crate) struct Leading {
    serial: Arc<Serial>,
    /// Clients of this node, by the numbers of their transactions.
    clients: HashMap<u64, Client>,
    /// The last of these numbers. The first one of a start is the time: a reply to what was sent before that finds nobody.
    last: u64,
    /// Those who want what this node leads.
    queue: Queue,
    /// Turns of this node's clients.
    turns: Turns,
    /// Replies of leaders, for clients that must not have them yet.
    early: Vec<Early>,
    /// How many transactions have been decided here, or shown.
    outcomes: u64,
    /// A key has another leader, or none any more, and nobody was told.
    has_new_led: bool,
}

struct Client {
    tell: TellAnswer,
    /// Another node runs his transaction.
    is_forwarded: bool,
    /// The keys whose turn he asks for.
    asks: Option<Vec<Key>>,
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

/// A turn, and whose it is next: clients by the numbers that their own node gave them.
fn encode_turn(number: u64, next: &[u64]) -> Vec<u8> {
    [&[number], next].concat().into_iter().flat_map(u64::to_le_bytes).collect()
}

fn decode_turn(bytes: &[u8]) -> Option<(u64, VecDeque<u64>)> {
    let (words, []) = bytes.as_chunks() else { return None };
    let mut words: VecDeque<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    Some((words.pop_front()?, words))
}

impl Leading {
    pub(crate) fn new(serial: Arc<Serial>, now_ms: i64) -> Self {
        let last = u64::try_from(now_ms).unwrap_or_default() << 20;
        let (clients, queue, turns, early) = Default::default();
        Self { serial, clients, last, queue, turns, early, outcomes: 0, has_new_led: false }
    }

    /// Another transaction is decided, or is seen.
    pub(crate) fn note_outcome(&mut self) {
        self.outcomes += 1;
    }

    /// A key has another leader, or none any more.
    pub(crate) fn note_led(&mut self) {
        self.has_new_led = true;
    }

    /// Tells the client, unless it was told before.
    pub(crate) fn answer(&mut self, client: u64, answer: Answer) {
        if let Some(Client { tell, is_forwarded, .. }) = self.clients.remove(&client) {
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
        let Leading { clients, queue, turns, .. } = &self.leading;
        !self.engine.has_unseen() && clients.is_empty() && queue.is_empty() && turns.is_empty()
    }

    /// Does what has come up in a turn about transactions, those of leaders included.
    pub(crate) fn see_to_transactions(&mut self) {
        if std::mem::take(&mut self.leading.has_new_led) {
            self.tell_led();
        }
        for _ in 0..MAILS_A_TURN {
            self.serve_mail();
            self.do_deeds();
            self.seat_guests();
            self.do_deeds();
            self.hand_on_replies();
            self.leading.turns.late(self.now).into_iter().for_each(|turn| self.pass_turn(turn));
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
                Mail::Exec(keys, exec, tell) => self.receive_exec(keys, *exec, tell),
                Mail::TurnEnded(turn) => self.pass_turn(turn),
                Mail::Await(keys, exec, tell) => self.await_verdict(keys, *exec, tell),
                Mail::Ran(number, Ran::Busy) => self.leading.queue.was_busy(number),
                Mail::Ran(number, Ran::Declined) => self.see_off(number),
                Mail::Ran(number, Ran::Replied(reply)) => {
                    self.leading.queue.remove(number);
                    self.reply_to_guest(number, &reply);
                }
            }
        }
    }

    /// A client of this node wants to run a transaction, or asks for a turn.
    fn receive_exec(&mut self, keys: Vec<Key>, mut exec: Exec, tell: TellAnswer) {
        if exec.turn > 0 {
            let led: Vec<Key> = keys.iter().filter(|key| self.desk.leader(key).is_some()).cloned().collect();
            exec.turn = match self.leading.turns.exec(exec.turn, &led, self.now) {
                turns::Exec::Here => return tell(Answer::Here),
                turns::Exec::There(number) => number,
                turns::Exec::Late => 0,
            };
        }
        let me = self.replica.origin().node();
        let is_elsewhere = |key: &Key| self.desk.leader(key).is_some_and(|leader| leader != me);
        let asks = exec.commands.is_empty().then(|| keys.clone());
        let is_forwarded = asks.is_none() && keys.iter().any(is_elsewhere);
        self.leading.last += 1;
        let client = self.leading.last;
        self.leading.clients.insert(client, Client { tell, is_forwarded, asks });
        let told = self.desk.exec(self.clock_ms(), client, keys, exec);
        self.check(told);
    }

    /// A client of this node has a transaction that others are in the way of, whoever leads.
    fn await_verdict(&mut self, keys: Vec<Key>, exec: Exec, tell: TellAnswer) {
        if self.leading.queue.len() >= MAX_GUESTS {
            return tell(Answer::Here);
        }
        self.leading.last += 1;
        let client = self.leading.last;
        self.leading.clients.insert(client, Client { tell, is_forwarded: false, asks: None });
        let (number, me) = (self.desk.seat(client), self.replica.origin().node());
        let exec = Exec { led: keys, ..exec };
        self.leading.queue.push((number, me), exec, self.now + BUSY_PATIENCE, Duration::ZERO);
    }

    /// A leader has given a turn to a client of this node, and then to others.
    fn receive_turn(&mut self, client: u64, turn: &[u8]) {
        let keys = self.leading.clients.get(&client).and_then(|client| client.asks.clone());
        let (Some(keys), Some((number, mut next))) = (keys, decode_turn(turn)) else {
            return self.leading.answer(client, Answer::Here);
        };
        next.push_front(client);
        self.begin_turn(Held { number, keys, next });
    }

    /// The turn is over for whoever has it.
    fn pass_turn(&mut self, turn: u64) {
        if let Some(held) = self.leading.turns.end(turn) {
            self.begin_turn(held);
        }
    }

    /// The next of those who wait has the turn. If there is none, it goes back to the leader.
    fn begin_turn(&mut self, mut held: Held) {
        let now_ms = self.clock_ms();
        while let Some(client) = held.next.pop_front() {
            let told = self.desk.answered(now_ms, client);
            self.check(told);
            if self.leading.clients.contains_key(&client) {
                let turn = self.leading.turns.begin(held, self.now);
                return self.leading.answer(client, Answer::Reply(turn.to_le_bytes().to_vec()));
            }
        }
        self.leading.last += 1;
        let exec = Exec { turn: held.number, ..Exec::default() };
        let told = self.desk.exec(now_ms, self.leading.last, held.keys, exec);
        self.check(told);
    }

    /// A connection is gone.
    pub(crate) fn forget_turns_of(&mut self, node: NodeId) {
        self.leading.queue.leave(node.get());
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
            outcomes: self.leading.outcomes,
            has: &|seen| here.covers(seen),
            is_open: &|key| desk.is_open(key),
        };
        for call in self.leading.queue.call(&now) {
            match call {
                Call::Run(number, exec) if self.host.guest(number, &exec) => {}
                Call::Turn(number, next) => {
                    let next: Vec<u64> = next.into_iter().filter_map(|guest| self.desk.take_guest(guest)).collect();
                    self.reply_to_guest(number, &encode_turn(number, &next));
                }
                Call::Run(number, _) | Call::Leave(number) => self.see_off(number),
            }
        }
    }

    /// A leader has answered.
    pub(crate) fn hear_reply(&mut self, client: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.leading.answer(client, Answer::Here);
        }
        if !self.leading.clients.contains_key(&client) {
            // It has waited for too long, and was told so.
            return;
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
                match self.leading.clients.get(&early.client).is_some_and(|client| client.asks.is_some()) {
                    true => self.receive_turn(early.client, &early.reply),
                    false => self.leading.answer(early.client, Answer::Reply(early.reply)),
                }
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
