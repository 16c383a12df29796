//! Replicas of a causal group in a few lines, to make histories that are right, and histories that are wrong in one known way.
//!
//! A replica has applied, of each origin, a prefix of its batches; a batch is applied where all that its writer had seen is. An element has
//! a place that is said when it is appended: one more than the highest there, then the number of its origin, then its own.

use std::collections::{BTreeMap, BTreeSet};

use super::{Element, History, Key, Op, Outcome, Txn};
use crate::rng::Rng;

/// What may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// A batch does not wait for what its writer had seen.
    NoWaiting,
    /// A batch arrives in pieces.
    Pieces,
    /// A batch is applied twice, under two places.
    Twice,
    /// Some batches do not reach one replica, and are not asked for again.
    Hole,
    /// What was acknowledged is gone after a crash.
    Forgetful,
    /// A crash takes back what others have read already.
    SeenTooEarly,
    /// A place is given anew when a batch arrives.
    Renumbered,
    /// An append goes to the front of what is concurrent and of what is not.
    Front,
    /// A refused transaction is done all the same.
    RefusedDone,
    /// A client is sent to another replica in the middle of its session.
    Wanders,
}

/// A place in a list.
type Place = (u64, usize, u64);

#[derive(Clone, Debug)]
struct Batch {
    origin: usize,
    /// Of each origin, how many its writer had applied.
    context: Vec<usize>,
    appends: Vec<(Key, Place, Element)>,
}

#[derive(Clone, Debug, Default)]
struct Replica {
    applied: Vec<usize>,
    lists: BTreeMap<Key, BTreeSet<(Place, Element)>>,
    /// Appends that are still to be applied here, though their batch counts as applied.
    late: Vec<(Key, Place, Element)>,
}

impl Replica {
    fn read(&self, key: Key) -> Vec<Element> {
        self.lists.get(&key).into_iter().flatten().map(|&(_, element)| element).collect()
    }
}

#[derive(Debug)]
struct Group {
    rng: Rng,
    fault: Fault,
    replicas: Vec<Replica>,
    /// By origin.
    logs: Vec<Vec<Batch>>,
    next: Element,
}

/// A history of so many transactions of `sessions` clients with `replicas` replicas.
pub fn history(seed: u64, fault: Fault, (replicas, sessions, txns): (usize, usize, usize)) -> History {
    let empty = Replica { applied: vec![0; replicas], ..Replica::default() };
    let mut group = Group {
        rng: Rng::new(seed),
        fault,
        replicas: vec![empty; replicas],
        logs: vec![Vec::new(); replicas],
        next: 1,
    };
    let mut history = History { sessions: vec![Vec::new(); sessions], last: Vec::new() };
    let mut connections = vec![0; sessions];
    for _ in 0..txns {
        let session = group.rng.below(sessions);
        let wanders = fault == Fault::Wanders && group.rng.one_in(4);
        let at = if wanders { group.rng.below(replicas) } else { session % replicas };
        let (txn, gone) = group.txn(at, connections[session]);
        history.sessions[session].push(txn);
        connections[session] += u32::from(gone);
        for _ in 0..group.rng.below(4) {
            group.deliver();
        }
    }
    group.settle();
    let keys: BTreeSet<Key> = group.replicas.iter().flat_map(|replica| replica.lists.keys().copied()).collect();
    let all = |replica: &Replica| keys.iter().map(|&key| (key, replica.read(key))).collect();
    history.last = group.replicas.iter().map(all).collect();
    history
}

impl Group {
    /// A transaction at a replica; whether its connection ended with it.
    fn txn(&mut self, at: usize, connection: u32) -> (Txn, bool) {
        let outcome = match self.rng.below(20) {
            0 => Outcome::Refused,
            1..=3 => Outcome::Unknown,
            _ => Outcome::Done,
        };
        let lost = outcome == Outcome::Refused && self.fault != Fault::RefusedDone
            || outcome == Outcome::Unknown && self.rng.one_in(2);
        let mut ops = Vec::new();
        let mut appends = Vec::new();
        for _ in 0..self.rng.between(1, 4) {
            let key = self.rng.below(4) as Key;
            if self.rng.one_in(2) {
                ops.push(Op::Append(key, self.next));
                if !lost {
                    let place = self.place(at, key);
                    self.replicas[at].lists.entry(key).or_default().insert((place, self.next));
                    appends.push((key, place, self.next));
                }
                self.next += 1;
            } else if outcome == Outcome::Done {
                ops.push(Op::Read(key, self.replicas[at].read(key)));
            }
        }
        self.log(at, appends);
        (Txn { ops, outcome, connection }, outcome == Outcome::Unknown)
    }

    fn place(&self, at: usize, key: Key) -> Place {
        let ends = self.replicas[at].lists.get(&key);
        if self.fault == Fault::Front {
            return (ends.and_then(|list| list.first()).map_or(1 << 32, |&((epoch, ..), _)| epoch - 1), at, self.next);
        }
        let (epoch, origin) =
            ends.and_then(|list| list.last()).map_or((0, at), |&((epoch, origin, _), _)| (epoch, origin));
        // A run of one origin goes on; behind another's a new one begins.
        (if origin == at { epoch } else { epoch + 1 }, at, self.next)
    }

    fn log(&mut self, at: usize, appends: Vec<(Key, Place, Element)>) {
        if appends.is_empty() {
            return;
        }
        if self.fault == Fault::Forgetful && self.rng.one_in(30) {
            for (key, place, element) in appends {
                self.replicas[at].lists.entry(key).or_default().remove(&(place, element));
            }
            return;
        }
        let context = self.replicas[at].applied.clone();
        self.logs[at].push(Batch { origin: at, context, appends });
        self.replicas[at].applied[at] += 1;
    }

    /// Brings one batch to one replica, if it may be applied there.
    fn deliver(&mut self) {
        let (from, to) = (self.rng.below(self.logs.len()), self.rng.below(self.replicas.len()));
        if let Some(late) = self.replicas[to].late.pop() {
            self.apply(to, late);
        }
        self.receive(from, to);
    }

    fn receive(&mut self, from: usize, to: usize) -> bool {
        let applied = &self.replicas[to].applied;
        let Some(batch) = self.logs[from].get(applied[from]).filter(|_| from != to).cloned() else { return false };
        let covered = batch.context.iter().zip(applied).enumerate().all(|(i, (want, have))| i == from || want <= have);
        if !covered && self.fault != Fault::NoWaiting {
            return false;
        }
        self.replicas[to].applied[batch.origin] += 1;
        let one_in_ten = self.rng.one_in(10);
        if one_in_ten && self.fault == Fault::Hole {
            return true;
        }
        for (n, append) in batch.appends.into_iter().enumerate() {
            if n > 0 && self.fault == Fault::Pieces {
                self.replicas[to].late.push(append);
                continue;
            }
            self.apply(to, append);
            if one_in_ten && self.fault == Fault::Twice {
                let (key, (epoch, origin, own), element) = append;
                self.apply(to, (key, (epoch + 1, origin, own), element));
            }
        }
        if one_in_ten && self.fault == Fault::SeenTooEarly {
            self.take_back(from);
        }
        true
    }

    fn apply(&mut self, to: usize, (key, mut place, element): (Key, Place, Element)) {
        if self.fault == Fault::Renumbered {
            place = self.place(to, key);
            place.2 = self.next << 20 | self.replicas[to].applied.iter().sum::<usize>() as u64;
        }
        self.replicas[to].lists.entry(key).or_default().insert((place, element));
    }

    /// The writer of a batch crashes and does not have it any more; where it was applied it stays.
    fn take_back(&mut self, origin: usize) {
        let Some(batch) = self.logs[origin].last() else { return };
        for (key, place, element) in batch.appends.clone() {
            self.replicas[origin].lists.entry(key).or_default().remove(&(place, element));
        }
    }

    fn settle(&mut self) {
        let count = self.replicas.len();
        let mut moved = true;
        while moved {
            moved = false;
            for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
                moved |= self.receive(from, to);
            }
        }
        for to in 0..count {
            for late in std::mem::take(&mut self.replicas[to].late) {
                self.apply(to, late);
            }
        }
    }
}
