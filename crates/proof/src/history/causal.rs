//! Whether a history of plain transactions is one of a causal group whose lists merge.
//!
//! Lists only grow, so a read of a list *is* its reader's past there: who saw an element had seen all that its writer had seen. With the past
//! closed under "read from" and a session's order, each read must be exactly what that past covers: an element too few is a breach
//! of some guarantee, and one too many cannot be, since it would be in the past.
//!
//! Where an element is in a list is said when it is appended: behind all that its writer saw. Concurrent ones find their
//! places between, so a read is no prefix of the last one, but its elements are in the same order.

use std::collections::{HashMap, HashSet};

use super::anomaly::{Anomaly, Guarantee, Reader};
use super::clocks::{Chains, Node};
use super::written::Written;
use super::{Element, History, Key, Op, Outcome, Txn, TxnId};

/// So many are told.
const MOST: usize = 50;

/// All that is wrong, or the first of it.
pub fn check(history: &History) -> Vec<Anomaly> {
    let written = Written::of(history);
    let mut check = Check { history, chains: Chains::of(history, &written), written, found: Vec::new() };
    for (id, txn) in history.txns() {
        txn.reads().for_each(|(key, list)| check.elements(Reader::Txn(id), key, list));
    }
    check.last();
    let places = check.places();
    let mut found = std::mem::take(&mut check.found);
    let cycle = check.chains.walk(|node, clock| {
        if found.len() < MOST {
            check.past(node, clock, &mut found);
            check.behind(node, clock, &places, &mut found);
        }
    });
    found.extend(cycle.map(Anomaly::Cycle));
    found.extend(check.reordered(&places));
    found.truncate(MOST);
    found
}

struct Check<'a> {
    history: &'a History,
    written: Written,
    chains: Chains,
    found: Vec<Anomaly>,
}

/// Where elements are in the last lists.
type Places = HashMap<(Key, Element), usize>;

impl Check<'_> {
    /// A list has what somebody wrote there who was not refused, once.
    fn elements(&mut self, reader: Reader, key: Key, list: &[Element]) {
        let mut seen = HashSet::new();
        for &element in list {
            match self.written.writer(key, element) {
                None => self.found.push(Anomaly::Unwritten { reader, key, element }),
                Some(writer) if self.history.txn(writer).outcome == Outcome::Refused => {
                    self.found.push(Anomaly::Aborted { reader, key, element, writer });
                }
                Some(_) => {}
            }
            if !seen.insert(element) {
                self.found.push(Anomaly::Twice { reader, key, element });
            }
        }
    }

    /// At last all nodes are equal, and have all that was done.
    fn last(&mut self) {
        let history = self.history;
        for (node, lists) in history.last.iter().enumerate() {
            let lists: HashMap<Key, &[Element]> = lists.iter().map(|(key, list)| (*key, list.as_slice())).collect();
            lists.iter().for_each(|(&key, list)| self.elements(Reader::Last(node), key, list));
            let there: HashSet<(Key, Element)> =
                lists.iter().flat_map(|(&key, list)| list.iter().map(move |&element| (key, element))).collect();
            for (writer, txn) in history.txns().filter(|&(id, _)| self.written.is_done(id)) {
                let parts = txn.appends().any(|part| there.contains(&part));
                for (key, element) in txn.appends().filter(|part| !there.contains(part)) {
                    self.found.push(if parts {
                        let (reader, breach) = (Reader::Last(node), Guarantee::Atomic);
                        Anomaly::Missing { reader, key, element, writer, breach }
                    } else {
                        Anomaly::Lost { node, key, element, writer }
                    });
                }
            }
            let first: HashMap<Key, &[Element]> =
                history.last[0].iter().map(|(key, list)| (*key, list.as_slice())).collect();
            let keys: HashSet<Key> = first.keys().chain(lists.keys()).copied().collect();
            let differ = |key: &Key| first.get(key).unwrap_or(&&[][..]) != lists.get(key).unwrap_or(&&[][..]);
            self.found.extend(keys.into_iter().filter(differ).map(|key| Anomaly::Diverged {
                key,
                one: 0,
                other: node,
            }));
        }
    }

    fn places(&self) -> Places {
        let lists = self.history.last.first().into_iter().flatten();
        lists.flat_map(|(key, list)| list.iter().enumerate().map(move |(place, &e)| ((*key, e), place))).collect()
    }

    /// Each read is what the clock covers, and of its own transaction what was before it.
    fn past(&self, node: &Node, clock: &[u32], found: &mut Vec<Anomaly>) {
        let (reader, txn) = (node.id, self.history.txn(node.id));
        let mut own: HashMap<Key, HashSet<Element>> = HashMap::new();
        for op in &txn.ops {
            let (key, list) = match op {
                Op::Append(key, element) => {
                    own.entry(*key).or_default().insert(*element);
                    continue;
                }
                Op::Read(..) if txn.outcome != Outcome::Done => continue,
                Op::Read(key, list) => (*key, list.iter().copied().collect::<HashSet<_>>()),
            };
            for placed in self.chains.elements(key).iter().filter(|placed| placed.place <= clock[placed.chain]) {
                let (element, there) = (placed.element, list.contains(&placed.element));
                match self.written.writer(key, element) {
                    Some(writer) if writer == reader => {
                        let before = own.get(&key).is_some_and(|own| own.contains(&element));
                        found.extend((there != before).then_some(Anomaly::Internal { txn: reader, key, element }));
                    }
                    Some(writer) if !there => {
                        let breach = self.breach(reader, txn, writer);
                        found.push(Anomaly::Missing { reader: Reader::Txn(reader), key, element, writer, breach });
                    }
                    _ => {}
                }
            }
        }
    }

    /// Which guarantee would have shown the reader what this writer wrote.
    fn breach(&self, reader: TxnId, txn: &Txn, writer: TxnId) -> Guarantee {
        let seen = self.written.seen(reader, txn);
        let session = &self.history.sessions[reader.session];
        let had_read = |session: usize, until: usize| {
            let txns = self.history.sessions[session][..until].iter().enumerate();
            txns.into_iter().any(|(index, txn)| self.written.seen(TxnId { session, index }, txn).contains(&writer))
        };
        if seen.contains(&writer) {
            Guarantee::Atomic
        } else if writer.session == reader.session && session[writer.index].outcome == Outcome::Done {
            Guarantee::ReadYourWrites
        } else if had_read(reader.session, reader.index) {
            Guarantee::MonotonicReads
        } else if seen.iter().any(|later| later.session == writer.session && later.index > writer.index) {
            Guarantee::MonotonicWrites
        } else if seen.iter().any(|later| had_read(later.session, later.index + 1)) {
            Guarantee::WritesFollowReads
        } else {
            Guarantee::Causality
        }
    }

    /// Each append is behind what its writer had seen, and behind its own earlier ones.
    fn behind(&self, node: &Node, clock: &[u32], places: &Places, found: &mut Vec<Anomaly>) {
        let writer = node.id;
        let mut own = Vec::new();
        for (key, element) in self.history.txn(writer).appends() {
            let Some(place) = places.get(&(key, element)) else { continue };
            let covered = self.chains.elements(key).iter().filter(|placed| placed.place <= clock[placed.chain]);
            let past = covered.map(|placed| placed.element).filter(|&e| self.written.writer(key, e) != Some(writer));
            let mine = own.iter().filter(|(other, _)| *other == key).map(|&(_, element)| element);
            let ahead = |seen: &Element| places.get(&(key, *seen)).is_some_and(|other| other > place);
            found.extend(past.chain(mine).find(ahead).map(|seen| Anomaly::NotBehind { key, element, writer, seen }));
            own.push((key, element));
        }
    }

    /// Reads whose elements are in another order than at last.
    fn reordered(&self, places: &Places) -> Vec<Anomaly> {
        let mut found = Vec::new();
        let reads = self.history.txns().flat_map(|(id, txn)| txn.reads().map(move |read| (Reader::Txn(id), read)));
        for (reader, (key, list)) in reads {
            let known: Vec<_> = list.iter().filter_map(|&e| Some((places.get(&(key, e))?, e))).collect();
            let wrong = known.windows(2).find(|pair| pair[0].0 > pair[1].0);
            found.extend(wrong.map(|pair| Anomaly::Reordered { reader, key, first: pair[0].1, second: pair[1].1 }));
        }
        found
    }
}

#[cfg(test)]
mod tests;
