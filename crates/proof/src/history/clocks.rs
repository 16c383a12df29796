//! Of each transaction, what is in its past: by chain, how many of its members.
//!
//! ```text
//!   session   T0 ─▶ T1 ─▶ T2 ─────────▶ T5 ─▶ …     one chain: each was answered before the connection ended
//!                          └─▶ T3 ─▶ T4              another: without an answer, so they may have been done after T5
//! ```

use std::collections::HashMap;

use super::graph::Graph;
use super::written::Written;
use super::{Element, History, Key, Outcome, Txn, TxnId};

/// A transaction that was done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Which.
    pub(super) id: TxnId,
    /// Its chain.
    pub(super) chain: usize,
    /// Its place there, from 1.
    pub(super) place: u32,
}

/// An element, and how far its writer is along its chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) chain: usize,
    pub(super) place: u32,
    pub(super) element: Element,
}

/// All transactions that were done, in chains, with what came before what.
#[derive(Debug)]
pub(super) struct Chains {
    nodes: Vec<Node>,
    chains: usize,
    graph: Graph,
    /// By list, in the order of chains and places.
    elements: HashMap<Key, Vec<Placed>>,
}

impl Chains {
    pub(super) fn of(history: &History, written: &Written) -> Chains {
        let mut layout = Layout { nodes: Vec::new(), edges: Vec::new(), chains: history.sessions.len() };
        for (session, txns) in history.sessions.iter().enumerate() {
            layout.session(session, txns, written);
        }
        let Layout { nodes, edges, chains } = layout;
        let numbers: HashMap<TxnId, usize> = nodes.iter().enumerate().map(|(number, node)| (node.id, number)).collect();
        let mut graph = Graph::new(nodes.len());
        edges.iter().for_each(|&(from, to)| graph.edge(from, to));
        let mut elements: HashMap<Key, Vec<Placed>> = HashMap::new();
        for (number, &Node { id, chain, place }) in nodes.iter().enumerate() {
            for writer in written.seen(id, history.txn(id)) {
                // One that was refused and is seen all the same is told of elsewhere.
                numbers.get(&writer).iter().for_each(|&&from| graph.edge(from, number));
            }
            for (key, element) in history.txn(id).appends() {
                elements.entry(key).or_default().push(Placed { chain, place, element });
            }
        }
        Chains { nodes, chains, graph, elements }
    }

    /// All elements that were appended to a list.
    pub(super) fn elements(&self, key: Key) -> &[Placed] {
        self.elements.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Shows each transaction with its clock, which covers itself; answers a cycle, whose members and successors have none.
    pub(super) fn walk(&self, mut look: impl FnMut(&Node, &[u32])) -> Option<Vec<TxnId>> {
        let (order, cycle) = self.graph.order();
        // Only clocks of those to which a look is still to come are kept.
        let mut clocks: Vec<Option<Box<[u32]>>> = vec![None; self.nodes.len()];
        for number in order {
            let node = &self.nodes[number];
            let mut clock = clocks[number].take().unwrap_or_else(|| vec![0; self.chains].into());
            clock[node.chain] = node.place;
            look(node, &clock);
            for next in self.graph.next(number) {
                match &mut clocks[next] {
                    Some(known) => known.iter_mut().zip(&clock).for_each(|(known, &new)| *known = new.max(*known)),
                    empty => *empty = Some(clock.clone()),
                }
            }
        }
        cycle.map(|cycle| cycle.into_iter().map(|number| self.nodes[number].id).collect())
    }
}

/// Chains as they are laid.
#[derive(Debug)]
struct Layout {
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
    chains: usize,
}

impl Layout {
    /// The chain of a session, and one for each of its connections that ended before all was answered.
    fn session(&mut self, session: usize, txns: &[Txn], written: &Written) {
        let mut main = None;
        let mut start = 0;
        for stretch in txns.chunk_by(|a, b| a.connection == b.connection) {
            let answered = stretch.iter().rposition(|txn| txn.outcome == Outcome::Done).map_or(0, |last| last + 1);
            let ids = (start..start + stretch.len()).map(|index| TxnId { session, index });
            start += stretch.len();
            let (answered, open): (Vec<_>, Vec<_>) = ids.enumerate().partition(|&(nth, _)| nth < answered);
            let is_done = |&(_, id): &(usize, TxnId)| written.is_done(id);
            for (_, id) in answered.into_iter().filter(is_done) {
                main = Some(self.add(id, session, main));
            }
            let mut last = main;
            for (_, id) in open.into_iter().filter(is_done) {
                let chain = if last == main { self.chains } else { self.chains - 1 };
                self.chains = chain + 1;
                last = Some(self.add(id, chain, last));
            }
        }
    }

    fn add(&mut self, id: TxnId, chain: usize, before: Option<usize>) -> usize {
        let number = self.nodes.len();
        let same = before.map(|before| self.nodes[before]).filter(|node| node.chain == chain);
        self.nodes.push(Node { id, chain, place: same.map_or(0, |node| node.place) + 1 });
        self.edges.extend(before.map(|before| (before, number)));
        number
    }
}
