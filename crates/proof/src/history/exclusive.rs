//! Whether exclusive transactions (`WATCH`, look, `MULTI`, change, `EXEC`) were exclusive.
//!
//! Of two that compete at most one is done, so each key has one chain of versions, and whoever is done had seen all that came before it of
//! what it read. So these have an order: behind whose versions were seen, before who replaced them, and behind one's own session. A cycle is
//! one of them that should have failed. All that were done are found in the last chains, whole, and nothing of those that failed.

use std::collections::{HashMap, HashSet};

use super::anomaly::{Anomaly, Guarantee, Reader};
use super::graph::Graph;
use super::{Key, Outcome, TxnId};

/// A version of a key: no two transactions write the same. 0 is a key that nobody has written.
pub type Version = u64;

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// What was seen of the keys that were watched; known even if the outcome is not.
    pub saw: Vec<(Key, Version)>,
    /// What was written: only keys that were watched.
    pub wrote: Vec<(Key, Version)>,
    /// What the client was told.
    pub outcome: Outcome,
}

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclusives {
    /// By client, each with one node: in the order in which they were sent, one after the other.
    pub sessions: Vec<Vec<Exclusive>>,
    /// By node: each key's last version, and as many of those before it as it shows.
    pub last: Vec<Vec<(Key, Vec<Version>)>>,
}

/// All that is wrong.
pub fn check(history: &Exclusives) -> Vec<Anomaly> {
    let mut check = Check { history, writers: HashMap::new(), done: HashSet::new(), found: Vec::new() };
    check.index();
    for (id, txn) in history.txns() {
        txn.saw.iter().for_each(|&(key, version)| check.version(Reader::Txn(id), key, version));
    }
    check.order();
    check.last();
    check.found
}

impl Exclusives {
    fn txns(&self) -> impl Iterator<Item = (TxnId, &Exclusive)> + '_ {
        self.sessions.iter().enumerate().flat_map(|(session, txns)| {
            txns.iter().enumerate().map(move |(index, txn)| (TxnId { session, index }, txn))
        })
    }

    fn txn(&self, id: TxnId) -> &Exclusive {
        &self.sessions[id.session][id.index]
    }
}

struct Check<'a> {
    history: &'a Exclusives,
    writers: HashMap<(Key, Version), TxnId>,
    /// Told or seen to be done.
    done: HashSet<TxnId>,
    found: Vec<Anomaly>,
}

impl Check<'_> {
    fn index(&mut self) {
        for (id, txn) in self.history.txns() {
            for &(key, version) in &txn.wrote {
                assert!(txn.saw.iter().any(|(seen, _)| *seen == key), "{id} writes {key}, which it does not watch");
                let twice = self.writers.insert((key, version), id);
                assert!(twice.is_none(), "{version} of {key} is of {id} and {twice:?}: nothing can be told of it");
            }
        }
        let history = self.history;
        let last = history.last.iter().flatten().flat_map(|(key, versions)| versions.iter().map(|&v| (*key, v)));
        let seen = history.txns().flat_map(|(_, txn)| txn.saw.iter().copied()).chain(last);
        let writers = seen.filter_map(|version| self.writers.get(&version).copied());
        let told = history.txns().filter(|(_, txn)| txn.outcome == Outcome::Done).map(|(id, _)| id);
        let all = writers.chain(told).filter(|&id| history.txn(id).outcome != Outcome::Refused);
        self.done = all.collect();
    }

    /// What is seen was written, by one that was not refused.
    fn version(&mut self, reader: Reader, key: Key, version: Version) {
        match self.writers.get(&(key, version)) {
            None if version == 0 => {}
            None => self.found.push(Anomaly::Unwritten { reader, key, element: version }),
            Some(&writer) if self.history.txn(writer).outcome == Outcome::Refused => {
                self.found.push(Anomaly::Aborted { reader, key, element: version, writer });
            }
            Some(_) => {}
        }
    }

    /// No version is replaced twice, and there is an order of all.
    fn order(&mut self) {
        let mut ids: Vec<TxnId> = self.done.iter().copied().collect();
        ids.sort_unstable();
        let numbers: HashMap<TxnId, usize> = ids.iter().enumerate().map(|(number, &id)| (id, number)).collect();
        let mut replaced: HashMap<(Key, Version), TxnId> = HashMap::new();
        for &id in &ids {
            let txn = self.history.txn(id);
            for &(key, version) in txn.saw.iter().filter(|(key, _)| txn.wrote.iter().any(|(written, _)| written == key))
            {
                if let Some(other) = replaced.insert((key, version), id) {
                    self.found.push(Anomaly::LostUpdate { key, version, writers: [other, id] });
                }
            }
        }
        let mut graph = Graph::new(ids.len());
        let mut before: Option<usize> = None;
        for (number, &id) in ids.iter().enumerate() {
            if let Some(before) = before.filter(|&before| ids[before].session == id.session) {
                graph.edge(before, number);
            }
            // Later ones of its session may be done before one that has no answer yet.
            let told = self.history.txn(id).outcome == Outcome::Done;
            let same = before.is_some_and(|before| ids[before].session == id.session);
            before = if told || !same { told.then_some(number) } else { before };
            for seen in &self.history.txn(id).saw {
                let edges = [self.writers.get(seen).map(|from| (from, &id)), replaced.get(seen).map(|to| (&id, to))];
                for (from, to) in edges.into_iter().flatten().filter(|(from, to)| from != to) {
                    numbers.get(from).zip(numbers.get(to)).iter().for_each(|&(&from, &to)| graph.edge(from, to));
                }
            }
        }
        let cycle = graph.order().1;
        self.found.extend(cycle.map(|cycle| Anomaly::Cycle(cycle.into_iter().map(|number| ids[number]).collect())));
    }

    /// The last versions are equal everywhere, and all that was done is on the way to them.
    fn last(&mut self) {
        let history = self.history;
        let mut done: Vec<TxnId> = self.done.iter().copied().collect();
        done.sort_unstable();
        for (node, lists) in history.last.iter().enumerate() {
            let mut there: HashSet<(Key, Version)> = HashSet::new();
            for (key, versions) in lists {
                there.extend(self.chain(node, *key, versions));
            }
            for &writer in &done {
                let wrote = &history.txn(writer).wrote;
                let parts = wrote.iter().any(|part| there.contains(part));
                for &(key, element) in wrote.iter().filter(|part| !there.contains(part)) {
                    self.found.push(if parts {
                        let (reader, breach) = (Reader::Last(node), Guarantee::Atomic);
                        Anomaly::Missing { reader, key, element, writer, breach }
                    } else {
                        Anomaly::Lost { node, key, element, writer }
                    });
                }
            }
            let first: HashMap<Key, &[Version]> = history.last[0].iter().map(|(key, v)| (*key, v.as_slice())).collect();
            let differ = |(key, versions): &&(Key, Vec<Version>)| first.get(key) != Some(&versions.as_slice());
            let differing = lists.iter().filter(differ).map(|&(key, _)| Anomaly::Diverged { key, one: 0, other: node });
            self.found.extend(differing);
        }
    }

    /// The versions of a key that lead to its last one.
    fn chain(&mut self, node: usize, key: Key, shown: &[Version]) -> Vec<(Key, Version)> {
        let reader = Reader::Last(node);
        let mut chain = Vec::new();
        let mut version = shown.last().copied().unwrap_or_default();
        while version != 0 && !chain.contains(&(key, version)) {
            if let Some(&expected) = shown.iter().rev().nth(chain.len()).filter(|&&expected| expected != version) {
                self.found.push(Anomaly::Reordered { reader, key, first: expected, second: version });
                break;
            }
            self.version(reader, key, version);
            chain.push((key, version));
            let Some(&writer) = self.writers.get(&(key, version)) else { break };
            let saw = &self.history.txn(writer).saw;
            version = saw.iter().find(|(seen, _)| *seen == key).map_or(0, |&(_, version)| version);
        }
        if shown.len() > chain.len() {
            let (first, second) = (shown[shown.len() - 1 - chain.len()], version);
            self.found.push(Anomaly::Reordered { reader, key, first, second });
        }
        chain
    }
}

#[cfg(test)]
mod tests;
