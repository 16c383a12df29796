//! Who wrote what, and what is known to have been done.

use std::collections::{HashMap, HashSet};

use super::{Element, History, Key, Op, Outcome, Txn, TxnId};

/// Looked up by list and element.
#[derive(Debug)]
pub(super) struct Written {
    writers: HashMap<(Key, Element), TxnId>,
    done: Vec<Vec<bool>>,
}

impl Txn {
    /// What it appended, in order.
    pub fn appends(&self) -> impl Iterator<Item = (Key, Element)> + '_ {
        self.ops.iter().filter_map(|op| if let Op::Append(key, element) = op { Some((*key, *element)) } else { None })
    }

    /// What it read; nothing if its client was not told.
    pub fn reads(&self) -> impl Iterator<Item = (Key, &[Element])> + '_ {
        let told = self.outcome == Outcome::Done;
        self.ops.iter().filter(move |_| told).filter_map(|op| match op {
            Op::Read(key, list) => Some((*key, list.as_slice())),
            Op::Append(..) => None,
        })
    }
}

impl History {
    /// One of its transactions.
    pub fn txn(&self, id: TxnId) -> &Txn {
        &self.sessions[id.session][id.index]
    }

    /// All of them, session by session.
    pub(super) fn txns(&self) -> impl Iterator<Item = (TxnId, &Txn)> + '_ {
        let of = |(session, txns): (usize, &'_ Vec<Txn>)| (session, txns.len());
        self.sessions.iter().enumerate().map(of).flat_map(move |(session, len)| {
            (0..len).map(move |index| (TxnId { session, index }, &self.sessions[session][index]))
        })
    }
}

impl Written {
    /// Of a history in which no element is appended to a list twice.
    pub(super) fn of(history: &History) -> Written {
        let mut writers = HashMap::new();
        for (id, txn) in history.txns() {
            for written in txn.appends() {
                let twice = writers.insert(written, id);
                assert!(twice.is_none(), "{written:?} is appended by {id} and {twice:?}: nothing can be told of it");
            }
        }
        let mut written = Written { writers, done: Vec::new() };
        written.done = written.all_done(history);
        written
    }

    /// Whose an element is.
    pub(super) fn writer(&self, key: Key, element: Element) -> Option<TxnId> {
        self.writers.get(&(key, element)).copied()
    }

    /// Whether it was done: its client was told, or its appends were seen, or something later on its connection was done.
    pub(super) fn is_done(&self, id: TxnId) -> bool {
        self.done[id.session][id.index]
    }

    /// Whose elements a transaction saw, without its own.
    pub(super) fn seen(&self, id: TxnId, txn: &Txn) -> HashSet<TxnId> {
        let all = txn.reads().flat_map(|(key, list)| list.iter().filter_map(move |&e| self.writer(key, e)));
        all.filter(|&writer| writer != id).collect()
    }

    fn all_done(&self, history: &History) -> Vec<Vec<bool>> {
        let told = |txn: &Txn| txn.outcome == Outcome::Done;
        let mut done: Vec<Vec<bool>> =
            history.sessions.iter().map(|session| session.iter().map(told).collect()).collect();
        let reads = history.txns().flat_map(|(_, txn)| txn.reads());
        let last = history.last.iter().flatten().map(|(key, list)| (*key, list.as_slice()));
        for (key, list) in reads.chain(last) {
            for writer in list.iter().filter_map(|&element| self.writer(key, element)) {
                let refused = history.txn(writer).outcome == Outcome::Refused;
                done[writer.session][writer.index] |= !refused;
            }
        }
        for (session, done) in history.sessions.iter().zip(&mut done) {
            let mut connection = None;
            for (txn, done) in session.iter().zip(done).rev() {
                *done |= txn.outcome == Outcome::Unknown && connection == Some(txn.connection);
                connection = if *done { Some(txn.connection) } else { connection };
            }
        }
        done
    }
}
