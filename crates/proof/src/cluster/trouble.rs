//! What happens to nodes and to what is between them, at random.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::node::Node;
use super::space::Space;
use crate::rng::Rng;
use crate::server::Pause;

/// So many at once.
const AT_ONCE: usize = 2;
/// How long one lasts, in milliseconds: shorter than nodes take to miss each other, and much longer.
const SHORTEST_MS: usize = 300;
const LONGEST_MS: usize = 6_000;
/// Between the beginnings of two.
const BETWEEN_MS: usize = 3_000;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and started again at its end.
    Kill(usize),
    /// SIGTERM, and started again at its end.
    Stop(usize),
    /// SIGSTOP, and SIGCONT at its end.
    Pause(usize),
    /// Nothing passes between these and the others.
    Split(Vec<usize>),
    /// Nothing that the first sends arrives at the second.
    OneWay(usize, usize),
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// kill -9, and started again.
    Kill,
    /// SIGTERM, and started again.
    Stop,
    /// SIGSTOP, and SIGCONT.
    Pause,
    /// A partition.
    Split,
    /// A partition in one direction.
    OneWay,
}

/// Nodes, what is between them, and what is wrong with them now.
#[derive(Debug)]
pub struct Trouble {
    /// All nodes.
    pub nodes: Vec<Node>,
    space: Space,
    kinds: Vec<Kind>,
    rng: Rng,
    now: Vec<(Fault, Instant)>,
    /// How many of each kind there were.
    counts: BTreeMap<&'static str, usize>,
}

impl Fault {
    fn name(&self) -> &'static str {
        match self {
            Fault::Kill(_) => "kill -9",
            Fault::Stop(_) => "clean stop",
            Fault::Pause(_) => "pause",
            Fault::Split(_) => "partition",
            Fault::OneWay(..) => "one-way partition",
        }
    }

    fn node(&self) -> Option<usize> {
        match self {
            Fault::Kill(node) | Fault::Stop(node) | Fault::Pause(node) => Some(*node),
            Fault::Split(_) | Fault::OneWay(..) => None,
        }
    }

    /// The ways that are cut.
    fn ways(&self, nodes: usize) -> Vec<(usize, usize)> {
        match self {
            Fault::OneWay(from, to) => vec![(*from, *to)],
            Fault::Split(side) => {
                let all = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
                all.filter(|(from, to)| side.contains(from) != side.contains(to)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Trouble {
    /// None yet.
    pub fn new(nodes: Vec<Node>, space: Space, kinds: Vec<Kind>, rng: Rng) -> Trouble {
        Trouble { nodes, space, kinds, rng, now: Vec::new(), counts: BTreeMap::new() }
    }

    /// Makes some until a moment. What is wrong then stays so.
    pub fn make(&mut self, until: Instant) -> Result<()> {
        let mut next = Instant::now() + self.some(BETWEEN_MS / 4, BETWEEN_MS / 2);
        while Instant::now() < until {
            let now = Instant::now();
            if let Some(over) = self.now.iter().position(|(_, end)| *end <= now) {
                let (fault, _) = self.now.swap_remove(over);
                self.end(&fault).with_context(|| format!("the end of {fault:?}"))?;
            }
            if now >= next && self.now.len() < AT_ONCE {
                if let Some(fault) = self.choose() {
                    self.begin(&fault).with_context(|| format!("{fault:?}"))?;
                    let lasts = self.some(SHORTEST_MS, LONGEST_MS);
                    self.now.push((fault, now + lasts));
                }
                next = now + self.some(BETWEEN_MS / 4, BETWEEN_MS);
            }
            self.nodes.iter_mut().try_for_each(Node::look)?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends all of it; every node answers when this returns. What passes between them does so from the moment that is answered.
    pub fn heal(&mut self) -> Result<Instant> {
        let (cuts, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.now).into_iter().map(|(fault, _)| fault).partition(|fault| fault.node().is_none());
        others.iter().try_for_each(|fault| self.end(fault))?;
        self.nodes.iter_mut().try_for_each(Node::wait)?;
        let healed = Instant::now();
        cuts.iter().try_for_each(|fault| self.end(fault))?;
        Ok(healed)
    }

    /// A node that is killed and has lost all its data when it starts again.
    pub fn forget(&mut self, node: usize) -> Result<()> {
        self.nodes[node].kill()?;
        for entry in std::fs::read_dir(self.nodes[node].dir())? {
            let path = entry?.path();
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
        self.nodes[node].start()
    }

    /// What there was, in words.
    pub fn told(&self) -> String {
        let each: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
        if each.is_empty() { "no faults".to_owned() } else { each.join(", ") }
    }

    fn some(&mut self, low: usize, high: usize) -> Duration {
        Duration::from_millis(self.rng.between(low, high) as u64)
    }

    /// One that does not meet a node to which something else happens already.
    fn choose(&mut self) -> Option<Fault> {
        let count = self.nodes.len();
        let busy: Vec<usize> = self.now.iter().filter_map(|(fault, _)| fault.node()).collect();
        let free: Vec<usize> = (0..count).filter(|node| !busy.contains(node)).collect();
        let &node = free.get(self.rng.below(free.len().max(1)))?;
        let cuts = self.space.cuts() && count > 1;
        let can = |kind: &Kind| cuts || !matches!(kind, Kind::Split | Kind::OneWay);
        let kinds: Vec<Kind> = self.kinds.iter().copied().filter(can).collect();
        Some(match *kinds.get(self.rng.below(kinds.len().max(1)))? {
            Kind::Kill => Fault::Kill(node),
            Kind::Stop => Fault::Stop(node),
            Kind::Pause => Fault::Pause(node),
            Kind::Split => {
                let mut side: Vec<usize> =
                    (0..count).filter(|&other| other == node || self.rng.one_in(count)).collect();
                side.truncate(count - 1);
                Fault::Split(side)
            }
            Kind::OneWay => Fault::OneWay(node, (node + self.rng.between(1, count - 1)) % count),
        })
    }

    fn begin(&mut self, fault: &Fault) -> Result<()> {
        *self.counts.entry(fault.name()).or_default() += 1;
        match fault {
            Fault::Kill(node) => self.nodes[*node].kill(),
            Fault::Stop(node) => self.nodes[*node].stop(),
            Fault::Pause(node) => self.nodes[*node].pause(Pause::Stop),
            Fault::Split(_) | Fault::OneWay(..) => {
                fault.ways(self.nodes.len()).into_iter().try_for_each(|(from, to)| self.space.cut(from, to))
            }
        }
    }

    fn end(&mut self, fault: &Fault) -> Result<()> {
        match fault {
            Fault::Kill(node) | Fault::Stop(node) => self.nodes[*node].start(),
            Fault::Pause(node) => self.nodes[*node].pause(Pause::Continue),
            Fault::Split(_) | Fault::OneWay(..) => {
                // Another cut may hold the same way; then it stays cut.
                let held: Vec<_> = self.now.iter().flat_map(|(other, _)| other.ways(self.nodes.len())).collect();
                let ways = fault.ways(self.nodes.len()).into_iter().filter(|way| !held.contains(way));
                ways.into_iter().try_for_each(|(from, to)| self.space.mend(from, to))
            }
        }
    }
}
