//! A causal group of real processes: clients of every node, and faults all the time; then all heal, must become equal, and must
//! have what clients were told.
//!
//! ```text
//!   clients ── requests, pipelined ──▶ nodes, each in a namespace ◀── kill -9, pause, stop, cut ── trouble
//!      └─ what was told, and what was left open ─▶ memory ─┐
//!                       what the nodes have at last ───────┴─▶ verdict: history::causal, history::exclusive, sums
//! ```
//! Rounds: load with faults; clients end while something is still wrong; all of it heals; from there is measured until `DEBUG DIGEST`
//! is the same everywhere. How long that takes decides nothing, but it must be so within [`PATIENCE`].
//!
//! *Invariant:* no client waits for the harness, and whatever a client was not told is open, never failed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::conn::Conn;
use crate::resp::Value;
use crate::rng::Rng;
use crate::server::{Fsync, Program};

mod ask;
mod client;
pub(crate) mod node;
mod rival;
pub(crate) mod space;
mod trouble;
mod verdict;

use client::{Client, Common, Memory};
use rival::Rival;
use space::Space;
pub use trouble::Kind;
use trouble::Trouble;

/// How long nodes may take to become equal.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where it is known that they will not.
const LITTLE_PATIENCE: Duration = Duration::from_millis(500);
/// How often their digests are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// So much of what is wrong is printed.
const SHOWN: usize = 20;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub nodes: u8,
    /// Clients, spread over the nodes.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub clients: u16,
    /// How long there is load, over all rounds.
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// How often all heals.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Requests a second, of all clients.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Every fifth client has exclusive transactions.
    #[arg(long)]
    pub exclusive: bool,
    /// The kinds of faults, each as likely as it is often here; none with `--faults` alone.
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., default_value = "kill,kill,pause,stop,split,split,one-way")]
    pub faults: Vec<Kind>,
    /// Everything on the loopback interface, where nothing is cut.
    #[arg(long)]
    pub together: bool,
    /// Where the random choices start. Processes and threads make each run another one all the same.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A planted bug.
    #[arg(skip)]
    pub sabotage: Option<Sabotage>,
}

/// A bug that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The nodes do not know each other.
    Unjoined,
    /// The first node loses its data once, after a kill.
    Amnesia,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From healing until all are equal, by round.
    pub equal: Vec<Duration>,
    /// What is wrong.
    pub wrong: Vec<String>,
    /// What clients were told, in words.
    pub told: String,
    /// What happened, in words.
    pub happened: String,
}

/// Runs it, prints, and says whether all was well.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    let outcome = cluster(sut, options)?;
    let mut equal = outcome.equal.clone();
    equal.sort_unstable();
    let seconds = |at: usize| equal.get(at).map_or_else(|| "–".to_owned(), |d| format!("{:.2} s", d.as_secs_f64()));
    println!(
        "cluster: {} nodes, {} clients, {} s in {} rounds, seed {}: {}; {}; equal after healing: median {}, worst {}: {}",
        options.nodes,
        options.clients,
        options.seconds,
        options.rounds,
        options.seed,
        outcome.told,
        outcome.happened,
        seconds(equal.len().saturating_sub(1) / 2),
        seconds(equal.len().saturating_sub(1)),
        if outcome.wrong.is_empty() { "all as promised".to_owned() } else { format!("{} WRONG", outcome.wrong.len()) }
    );
    outcome.wrong.iter().take(SHOWN).for_each(|wrong| println!("  {wrong}"));
    Ok(outcome.wrong.is_empty())
}

/// The run itself.
pub fn cluster(sut: &Program, options: &Options) -> Result<Outcome> {
    let count = usize::from(options.nodes);
    let space = place(options, count)?;
    let dir = tempfile::tempdir()?;
    let mut rng = Rng::new(options.seed);
    let joins = count > 1 && options.sabotage != Some(Sabotage::Unjoined);
    let start = node::Start {
        programs: (0..count).map(|node| space.place(sut, node)).collect(),
        seats: (0..count).map(|node| space.seat(node)).collect(),
        dir: dir.path(),
        fsync: Fsync::Always,
        joins,
    };
    let nodes = node::start_all(&start)?;
    let mut load = Load::new(options, &space, &mut rng);
    let mut trouble = Trouble::new(nodes, space, options.faults.clone(), Rng::new(rng.bits()));
    let mut outcome = Outcome::default();
    for round in 0..options.rounds {
        let result = one(&mut trouble, &mut load, options, round).with_context(|| format!("round {}", round + 1));
        match result {
            Ok(Some(took)) => outcome.equal.push(took),
            Ok(None) => outcome.wrong.push(format!("not equal in time after healing in round {}", round + 1)),
            Err(e) => {
                println!("the data is kept in {}", dir.keep().display());
                return Err(e);
            }
        }
        if !outcome.wrong.is_empty() {
            break;
        }
    }
    let lists = load.common.lists();
    let last = trouble.nodes.iter().map(|node| verdict::read(&mut node.open()?, lists)).collect::<Result<Vec<_>>>()?;
    let memories = load.memories();
    outcome.wrong.extend(verdict::judge(&memories, &last));
    outcome.told = told(&memories);
    outcome.happened = trouble.told();
    trouble.nodes.iter_mut().try_for_each(node::Node::stop)?;
    if !outcome.wrong.is_empty() && options.sabotage.is_none() {
        println!("the data is kept in {}", dir.keep().display());
    }
    Ok(outcome)
}

fn place(options: &Options, count: usize) -> Result<Space> {
    if options.together {
        return Space::together(count);
    }
    Space::apart(count).or_else(|e| {
        println!("cluster: no network namespaces here ({e:#}); all nodes are on loopback, and nothing is cut");
        Space::together(count)
    })
}

/// One round; how long it took until all nodes were equal, if they were.
fn one(trouble: &mut Trouble, load: &mut Load, options: &Options, round: u32) -> Result<Option<Duration>> {
    let until = Instant::now() + Duration::from_secs(options.seconds) / options.rounds;
    load.common.stop.store(false, Ordering::Relaxed);
    let made = std::thread::scope(|scope| {
        let Load { clients, rivals, common } = &mut *load;
        for client in clients.iter_mut() {
            scope.spawn(|| client.run(common));
        }
        for rival in rivals.iter_mut() {
            scope.spawn(|| rival.run(common));
        }
        let made = trouble.make(until);
        common.stop.store(true, Ordering::Relaxed);
        made
    });
    made?;
    if round == 0 && options.sabotage == Some(Sabotage::Amnesia) {
        trouble.forget(0)?;
    }
    let healed = trouble.heal()?;
    let patience = if options.sabotage.is_some() { LITTLE_PATIENCE } else { PATIENCE };
    equal(trouble, healed, patience)
}

/// Waits until all nodes have the same digest.
fn equal(trouble: &mut Trouble, healed: Instant, patience: Duration) -> Result<Option<Duration>> {
    let mut conns = trouble.nodes.iter().map(node::Node::open).collect::<Result<Vec<_>>>()?;
    loop {
        conns.iter_mut().try_for_each(|conn| conn.send(&["DEBUG", "DIGEST"]))?;
        let digests = conns.iter_mut().map(Conn::reply).collect::<Result<Vec<_>>>()?;
        if let Some(error) = digests.iter().find(|digest| digest.is_error()) {
            bail!("DEBUG DIGEST was answered {error}");
        }
        if digests.iter().all(|digest| *digest == digests[0]) {
            return Ok(Some(healed.elapsed()));
        }
        if healed.elapsed() > patience {
            tell(&mut conns, &digests)?;
            return Ok(None);
        }
        trouble.nodes.iter_mut().try_for_each(node::Node::look)?;
        std::thread::sleep(LOOK);
    }
}

/// What nodes that do not become equal say of themselves.
fn tell(conns: &mut [Conn], digests: &[Value]) -> Result<()> {
    for (node, (conn, digest)) in conns.iter_mut().zip(digests).enumerate() {
        let info = conn.call(&["INFO", "replication"])?.text();
        let group: Vec<&str> = info.lines().filter(|line| line.starts_with("group_")).collect();
        println!("node {node}: digest {}\n  {}", digest.text(), group.join("\n  "));
    }
    Ok(())
}

/// All clients.
#[derive(Debug)]
struct Load {
    clients: Vec<Client>,
    rivals: Vec<Rival>,
    common: Common,
}

impl Load {
    fn new(options: &Options, space: &Space, rng: &mut Rng) -> Load {
        let count = usize::from(options.clients);
        let pause = Duration::from_secs(1) * count as u32 / options.rate;
        let mut load = Load { clients: Vec::new(), rivals: Vec::new(), common: Common::default() };
        for number in 0..count {
            let (at, rng) = (space.seat(number % usize::from(options.nodes)).clients, Rng::new(rng.bits()));
            if options.exclusive && number % 5 == 4 {
                load.rivals.push(Rival::new(number, at, rng, pause));
            } else {
                load.clients.push(Client::new(number, at, rng, pause));
            }
        }
        load
    }

    /// By the numbers of the clients.
    fn memories(self) -> Vec<Memory> {
        let mut all: Vec<_> = self.clients.into_iter().map(|client| (client.number(), client.memory)).collect();
        all.extend(self.rivals.into_iter().map(|rival| (rival.number(), rival.memory)));
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, memory)| memory).collect()
    }
}

fn told(memories: &[Memory]) -> String {
    let sum = |part: fn(&Memory) -> usize| memories.iter().map(part).sum::<usize>();
    let mut text = format!("{} requests acknowledged, {} open", sum(|m| m.acknowledged), sum(|m| m.open));
    let mut errors: std::collections::BTreeMap<&str, (usize, &str)> = std::collections::BTreeMap::new();
    for (word, (count, one)) in memories.iter().flat_map(|memory| &memory.errors) {
        errors.entry(word).or_insert((0, one)).0 += count;
    }
    errors.values().for_each(|(count, one)| text.push_str(&format!(", {count} × \"{one}\"")));
    text
}
