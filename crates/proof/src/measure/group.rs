//! A node of a group beside one that is alone, in turns: latencies of SET while the other node is far away, the time until what is
//! written is seen there, bytes between nodes and processor time of each SET, of clients with long pipelines and of clients that wait.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::common::{Common, pin_load};
use super::info;
use super::keys;
use super::latency::Latencies;
use super::members::Members;
use super::pause;
use super::pause::steady::Steady;
use super::table::{Figure, Table};
use crate::bench;
use crate::server::{Fsync, Program, Server};

/// How often the far node is asked whether it has heard.
const LOOK: Duration = Duration::from_micros(500);
/// So often the load goes from one server to the other while latencies are taken.
const TURNS: usize = 8;
/// Every so manieth key is compared on the far node.
const STEP: usize = 97;
/// The same while processor time is measured, of which looks take some.
const SELDOM: Duration = Duration::from_millis(5);
/// How long a server that is alone has for what it does behind the replies: an fsync a second later.
const BEHIND: Duration = Duration::from_millis(1_500);

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// There and back between two nodes, in milliseconds.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub rtt_ms: u64,
    /// SETs for bytes and processor time, pipelined, with values of 64 B.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub sets: u64,
    /// The same from clients that wait for each reply.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub waiting_sets: u64,
    /// How many these are.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub clients: u16,
    /// Keys; half of the commands at a steady rate are GET.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    pub keys: u64,
    /// Commands a second while latencies are measured.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    pub rate: u64,
    /// For how long, each time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// How often the time until a write is seen is taken.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub looks: u32,
    /// How both are measured.
    #[command(flatten)]
    pub common: Common,
}

/// Measures, prints, and says whether all answers were right.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    let cores = pin_load(&options.common)?;
    let program = if cores.is_some() { sut.on_cpus(&options.common.server_cpus) } else { sut.clone() };
    let mut table = Table::of(["in a group", "alone"]);
    for round in 0..options.common.rounds {
        let (group, alone) = once(&program, options, round as u32).with_context(|| format!("round {}", round + 1))?;
        table.add(true, group);
        table.add(false, alone);
    }
    let cores = cores.unwrap_or_else(|| "nothing is bound to a core".into());
    let head = format!(
        "two nodes, {} ms there and back; {} commands/s, half SET, half GET, each counted from when it was due; {} SETs, pipelined, and {} of {} clients \
         that wait; values of 64 B; everysec; {cores}; rounds: {}; bytes are those of TLS, without headers of TCP and IP",
        options.rtt_ms, options.rate, options.sets, options.waiting_sets, options.clients, options.common.rounds
    );
    println!("cluster-latency: {head}\n{}\n\n{table}", bench::describe());
    if let Some(path) = &options.common.results {
        table.append_to(path, "cluster-latency", &head).with_context(|| format!("append to {}", path.display()))?;
    }
    Ok(true)
}

fn once(program: &Program, options: &Options, round: u32) -> Result<(Vec<Figure>, Vec<Figure>)> {
    let (dir, home) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let alone = Server::start(program, home.path(), Some(Fsync::Everysec))?;
    let mut members = Members::start(program, 2, Duration::from_millis(options.rtt_ms) / 2, dir.path())?;
    let near = members.nodes[0].running()?.port();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut loads = [connect(near, options)?, connect(alone.port(), options)?];
    members.wait_for(1, (options.keys - 1, 0), LOOK)?;
    let mut all = [Latencies::default(), Latencies::default()];
    for turn in 0..TURNS {
        // Neither is always the first, and what else the machine does falls on both.
        for who in [turn % 2, 1 - turn % 2] {
            latencies(&mut loads[who], &mut all[who], Duration::from_secs(options.seconds) / TURNS as u32)?;
        }
    }
    drop(loads);
    ours.extend(all[0].figures("SET"));
    theirs.extend(all[1].figures("SET"));
    ours.extend(seen(&mut members, near, options)?.brief("until seen at the other node"));
    let (from, between) = (options.keys + 1, options.keys + 1 + options.sets);
    let pipelined = Kind { name: "pipelined", keys: from..between, clients: None };
    let waiting =
        Kind { name: "waiting", keys: between..between + options.waiting_sets, clients: Some(options.clients) };
    for kind in [pipelined, waiting] {
        let (figures, theirs_too) = costs(&mut members, &alone, &kind, !round.is_multiple_of(2))?;
        ours.extend(figures);
        theirs.extend(theirs_too);
    }
    members.stop()?;
    alone.stop()?;
    Ok((ours, theirs))
}

/// SETs whose cost is taken.
struct Kind {
    name: &'static str,
    keys: Range<u64>,
    /// So many clients that wait for each reply; none: one with long pipelines.
    clients: Option<u16>,
}

impl Kind {
    fn load(&self, port: u16) -> Result<()> {
        match self.clients {
            None => keys::load(port, self.keys.clone(), 1),
            Some(clients) => keys::load_waiting(port, self.keys.clone(), 1, clients.into()),
        }
    }
}

/// What a SET costs in a group and alone, until all that it brings with it is done.
fn costs(
    members: &mut Members,
    alone: &Server,
    kind: &Kind,
    is_alone_first: bool,
) -> Result<(Vec<Figure>, Vec<Figure>)> {
    let own = || {
        let before = bench::cpu_us(alone.pid())?;
        kind.load(alone.port())?;
        std::thread::sleep(BEHIND);
        Ok::<_, anyhow::Error>(bench::cpu_us(alone.pid())? - before)
    };
    let mut single = if is_alone_first { Some(own()?) } else { None };
    let pids = pids(members)?;
    let cpu = || pids.iter().map(|pid| bench::cpu_us(*pid)).collect::<Result<Vec<_>>>();
    let (carried, before) = (members.carried(), cpu()?);
    kind.load(members.nodes[0].running()?.port())?;
    members.wait_for(1, (kind.keys.end - 1, 1), SELDOM)?;
    let bytes = (members.carried() - carried) as f64;
    for node in &members.nodes {
        info::until(&mut node.open()?, "replication", "group_unstable_keys:0")?;
    }
    let spent: Vec<f64> = cpu()?.iter().zip(before).map(|(after, before)| after - before).collect();
    members.check(1, kind.keys.clone(), STEP, 1)?;
    let single = single.take().map_or_else(own, Ok)?;
    let sets = (kind.keys.end - kind.keys.start) as f64;
    let figure =
        |what: &str, spent: f64| Figure::cost(format!("{}: processor {what}", kind.name), "µs/SET", spent / sets);
    let [asked, other] = ["where it is asked", "at the other node"];
    let bytes = Figure::cost(format!("{}: bytes between nodes", kind.name), "B/SET", bytes / sets);
    // The other node's is beside what the same SET costs the node that is alone.
    Ok((
        vec![figure(asked, spent[0]), figure(other, spent[1]), bytes],
        vec![figure(asked, single), figure(other, single)],
    ))
}

fn pids(members: &mut Members) -> Result<Vec<u32>> {
    members.nodes.iter_mut().map(|node| Ok(node.running()?.pid())).collect()
}

/// All keys, and a load at the steady rate.
fn connect(port: u16, options: &Options) -> Result<Steady> {
    let steady = pause::Options {
        keys: options.keys,
        rate: options.rate,
        connections: 16,
        seconds: options.seconds,
        times: 1,
        common: options.common.clone(),
    };
    keys::load(port, 0..options.keys, 0)?;
    Steady::connect(port, &steady, 0)
}

/// Latencies of SET at the steady rate, for so long.
fn latencies(load: &mut Steady, latencies: &mut Latencies, time: Duration) -> Result<()> {
    let stop = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let running = scope.spawn(|| load.run(Instant::now(), &stop));
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap_or_else(|_| bail!("the load panicked"))
    })?;
    asked.iter().filter(|asked| asked.set).for_each(|asked| latencies.push(asked.took));
    Ok(())
}

/// From the reply to a write until the other node shows it.
fn seen(members: &mut Members, near: u16, options: &Options) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for version in 2..2 + options.looks {
        let index = options.keys;
        keys::load(near, index..index + 1, version)?;
        let began = Instant::now();
        members.wait_for(1, (index, version), LOOK)?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}
