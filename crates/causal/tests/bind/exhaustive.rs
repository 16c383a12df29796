//! Two competitors, three voters: every interleaving of deliveries, recoveries and a restart, up to a depth. `BIND_DEPTH` goes
//! deeper.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use causal::bind::{Bind, Binds, Input, Key, KeyUse, Logged, Message, NodeId, Output, Record, Safety, Vote, Voters};
use effect::{Dot, Hlc, Stamp, Vector};

use crate::cluster::{TIMING, origin};

#[derive(Clone, Hash)]
struct World {
    nodes: BTreeMap<NodeId, (Binds, Vec<Logged>)>,
    net: BTreeSet<(NodeId, NodeId, Message)>,
    /// Binds that have not reached a node yet.
    streams: BTreeSet<(NodeId, Arc<Bind>)>,
    recoveries: u8,
    restarts: u8,
    verdicts: BTreeMap<Dot, bool>,
}

impl World {
    fn step(&mut self, id: NodeId, input: Input) {
        let (binds, log) = self.nodes.get_mut(&id).expect("a node");
        for output in binds.step(0, input) {
            match output {
                Output::Persist(record) => {
                    if let Record::Decided(dot, Vote { commit, .. }) = record {
                        let before = self.verdicts.insert(dot, commit);
                        assert!(before.is_none_or(|before| before == commit), "{dot:?} has two verdicts");
                    }
                    log.push(Logged::Record(record));
                }
                Output::Send(to, message) => drop(self.net.insert((id, to, message))),
                _ => {}
            }
        }
        assert!(self.verdicts.values().filter(|commit| **commit).count() < 2, "both are committed");
    }

    /// All worlds that one event leads to.
    fn next(&self, dots: &[Dot]) -> Vec<World> {
        let mut next = Vec::new();
        let mut world = |change: &dyn Fn(&mut World)| {
            let mut world = self.clone();
            change(&mut world);
            next.push(world);
        };
        for packet in &self.net {
            world(&|w| {
                w.net.remove(packet);
                w.step(packet.1, Input::Message(packet.0, packet.2.clone()));
            });
        }
        for arrival in &self.streams {
            world(&|w| {
                w.streams.remove(arrival);
                let bind = Arc::clone(&arrival.1);
                w.nodes.get_mut(&arrival.0).expect("a node").1.push(Logged::Bind(Arc::clone(&bind), false));
                w.step(arrival.0, Input::Bind { bind, conflicts_with_plain: false });
            });
        }
        for id in self.nodes.keys().copied() {
            for dot in dots.iter().filter(|_| self.recoveries > 0) {
                world(&|w| {
                    w.recoveries -= 1;
                    w.step(id, Input::Recover(*dot));
                });
            }
            if self.restarts > 0 {
                world(&|w| {
                    w.restarts -= 1;
                    let (binds, log) = w.nodes.get_mut(&id).expect("a node");
                    *binds = Binds::restore(id, TIMING, 0, log.iter().cloned());
                });
            }
        }
        next
    }
}

fn begin(recoveries: u8, restarts: u8) -> (World, Vec<Dot>) {
    let voters = Voters::new(1..=3).expect("voters");
    let node = |id| (id, (Binds::new(id, TIMING), Vec::new()));
    let mut world = World {
        nodes: (1..=3).map(node).collect(),
        net: BTreeSet::new(),
        streams: BTreeSet::new(),
        recoveries,
        restarts,
        verdicts: BTreeMap::new(),
    };
    let mut dots = Vec::new();
    for id in 1..=2 {
        let dot = Dot { origin: origin(id), seq: 1 };
        let keys = vec![KeyUse::written(Key::named(b"k"))];
        let stamp = Stamp::new(dot, Hlc::at_ms(1));
        let bind = Bind::new((dot, stamp), voters.clone(), &Vector::new(), keys, Safety::Safe).expect("one key");
        let bind = Arc::new(bind);
        world.nodes.get_mut(&id).expect("a node").1.push(Logged::Bind(Arc::clone(&bind), false));
        world.step(id, Input::Begin(Arc::clone(&bind)));
        world.streams.extend((1..=3).filter(|to| *to != id).map(|to| (to, Arc::clone(&bind))));
        dots.push(dot);
    }
    (world, dots)
}

/// Walks through all worlds up to `depth` events away: how many there are, and how many ends were seen.
fn explore(recoveries: u8, restarts: u8, depth: usize) -> (usize, BTreeSet<BTreeMap<Dot, bool>>) {
    let (world, dots) = begin(recoveries, restarts);
    let (mut seen, mut ends) = (HashSet::new(), BTreeSet::new());
    let mut layer = vec![world];
    for _ in 0..depth {
        let mut next = Vec::new();
        for world in layer.iter().flat_map(|world| world.next(&dots)) {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            if seen.insert(hasher.finish()) {
                ends.insert(world.verdicts.clone());
                next.push(world);
            }
        }
        layer = next;
    }
    (seen.len(), ends)
}

#[test]
fn no_interleaving_of_two_competitors_commits_both() {
    let depth = std::env::var("BIND_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(7);
    for (recoveries, restarts) in [(0, 1), (1, 0), (2, 0), (1, 1)] {
        let (worlds, ends) = explore(recoveries, restarts, depth);
        println!("{recoveries} recoveries, {restarts} restarts: {worlds} worlds, {} ends", ends.len());
        assert!(ends.iter().any(|end| end.values().any(|commit| *commit)), "some of them commit one");
    }
}
