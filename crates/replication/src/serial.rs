//! Transactions of keys that another node leads, between the threads of clients and the driver: who is led, what is to be forwarded, and
//! what has become of transactions that other nodes have sent here.
//!
//! ```text
//!   a client's thread ── forward ──▶ mail ──▶ driver ──▶ the leader's driver: Queue ── Host::guest ──▶ a thread of its own
//!          ▲                                    │  ▲                                                         │
//!          └────────────── Answer ──────────────┘  └──────────────────────── mail ◀── ran ───────────────────┘
//! ```
//! *Invariant:* whoever forwards is told once. [`Answer::Here`] is said only of what has not run anywhere, and never will elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use causal::bind::limits::DEFAULT_SERIALIZATION_THRESHOLD;
use causal::bind::{Exec, Key, TxnError};
use engine::DbKey;
use parking_lot::Mutex;

use crate::limits::MAX_LOST;

/// What has become of a transaction that was to be forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has run nowhere: it runs where its client is.
    Here,
    /// What its leader has answered, as its client reads it; what it has done is here.
    Reply(Vec<u8>),
    /// It has not run, or nobody knows.
    Refused(TxnError),
}

/// The turn that somebody has been given who has asked for one; 0: none.
pub fn turn_of(answer: &Answer) -> u64 {
    match answer {
        Answer::Reply(number) => number.as_slice().try_into().map_or(0, u64::from_le_bytes),
        Answer::Here | Answer::Refused(_) => 0,
    }
}

/// Is told of it. It must not block.
pub type TellAnswer = Box<dyn FnOnce(Answer) + Send>;

/// What has become of a transaction that another node has sent here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ran {
    /// Another one on its keys is undecided: nothing was done, and it is tried again behind a verdict.
    Busy,
    /// It cannot run here: nothing was done.
    Declined,
    /// It has ended, or has failed for good: this is its client's reply.
    Replied(Vec<u8>),
}

/// For the driver.
pub(crate) enum Mail {
    /// A client's transaction over these keys.
    Exec(Vec<Key>, Box<Exec>, TellAnswer),
    /// One of another node.
    Ran(u64, Ran),
    /// A client has no turn any more.
    TurnEnded(u64),
    /// A client's transaction over these keys waits for a verdict.
    Await(Vec<Key>, Box<Exec>, TellAnswer),
}

/// See the module.
#[derive(Default)]
pub struct Serial {
    /// Keys that are led, by physical database.
    led: Mutex<HashSet<DbKey>>,
    /// Whether there are any: nearly always none.
    is_any: AtomicBool,
    mail: Mutex<Vec<Mail>>,
    has_mail: AtomicBool,
    /// Keys on which clients' transactions could not begin, and how often.
    lost: Mutex<HashMap<DbKey, u32>>,
    has_lost: AtomicBool,
    /// Wakes the driver.
    nudge: OnceLock<cluster::Nudge>,
    forwarded: AtomicU64,
}

impl Serial {
    pub(crate) fn set_nudge(&self, nudge: cluster::Nudge) {
        // A member is started once.
        let _ = self.nudge.set(nudge);
    }

    /// Whether any keys are led.
    #[inline]
    pub fn has_leaders(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Whether a node leads a key of a physical database, this one or another.
    pub fn is_led(&self, name: &DbKey) -> bool {
        self.has_leaders() && self.led.lock().contains(name)
    }

    /// Has a transaction run in its turn: here, if its client has one ([`Answer::Here`]), or at the leader of its keys, all of which are here.
    /// What had been observed of those that it watches is in `exec`. One without commands asks for a turn: the reply is its number, [`turn_of`].
    pub fn forward(&self, keys: Vec<Key>, exec: Exec, tell: TellAnswer) {
        self.put(Mail::Exec(keys, Box::new(exec), tell));
    }

    /// Has a transaction that could not begin, as others on its keys are undecided, run here again behind a verdict, in its turn.
    /// [`Answer::Here`]: it has not run, and waits no more.
    pub fn wait(&self, keys: Vec<Key>, exec: Exec, tell: TellAnswer) {
        self.put(Mail::Await(keys, Box::new(exec), tell));
    }

    /// Whoever had this turn has it no more: his transaction is decided, or there will be none.
    pub fn end_turn(&self, turn: u64) {
        self.put(Mail::TurnEnded(turn));
    }

    /// A client's transaction could not begin here, as others on its keys are undecided: who often is in the way of others is led soon. Wakes
    /// the driver once it has been so often that somebody is to lead: whoever tries again at once fails until then.
    pub fn note_lost(&self, names: impl IntoIterator<Item = DbKey>) {
        let (mut lost, mut is_due) = (self.lost.lock(), false);
        for name in names {
            if lost.len() < MAX_LOST || lost.contains_key(&name) {
                let times = lost.entry(name).or_insert(0u32);
                *times = times.saturating_add(1);
                is_due |= *times == DEFAULT_SERIALIZATION_THRESHOLD;
            }
        }
        self.has_lost.store(true, Ordering::Release);
        drop(lost);
        if is_due {
            self.nudge.get().into_iter().for_each(cluster::Nudge::nudge);
        }
    }

    pub(crate) fn take_lost(&self) -> HashMap<DbKey, u32> {
        match self.has_lost.swap(false, Ordering::AcqRel) {
            true => std::mem::take(&mut *self.lost.lock()),
            false => HashMap::new(),
        }
    }

    /// A transaction that was run for its leader's queue has ended, or has not begun.
    pub fn ran(&self, guest: u64, ran: Ran) {
        self.put(Mail::Ran(guest, ran));
    }

    fn put(&self, mail: Mail) {
        self.mail.lock().push(mail);
        self.has_mail.store(true, Ordering::Release);
        self.nudge.get().into_iter().for_each(cluster::Nudge::nudge);
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Vec<Mail> {
        match self.has_mail.swap(false, Ordering::AcqRel) {
            true => std::mem::take(&mut *self.mail.lock()),
            false => Vec::new(),
        }
    }

    pub(crate) fn set_led(&self, led: HashSet<DbKey>) {
        self.is_any.store(!led.is_empty(), Ordering::Release);
        *self.led.lock() = led;
    }

    pub(crate) fn count_forwarded(&self) {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    /// How many transactions have been answered by their leaders.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }
}
