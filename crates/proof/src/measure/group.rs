//! A node of a group beside one that is alone, in turns: latencies of SET while the other node is far away, the time until what is
//! written is seen there, bytes between nodes and processor time of each SET.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::common::{Common, pin_load};
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
/// Every so manieth key is compared on the far node.
const STEP: usize = 97;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// There and back between two nodes, in milliseconds.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub rtt_ms: u64,
    /// SETs for bytes and processor time, pipelined, with values of 64 B.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub sets: u64,
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
        "two nodes, {} ms there and back; {} commands/s, half SET, half GET, each counted from when it was due; {} SETs, pipelined; \
         values of 64 B; everysec; {cores}; rounds: {}; bytes are those of TLS, without headers of TCP and IP",
        options.rtt_ms, options.rate, options.sets, options.common.rounds
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
    for port in [near, alone.port()] {
        keys::load(port, 0..options.keys, 0)?;
    }
    members.wait_for(1, (options.keys - 1, 0), LOOK)?;
    // Neither is always the first.
    let mut order = [(near, true), (alone.port(), false)];
    order.rotate_left(round as usize % 2);
    for (port, grouped) in order {
        let figures = latencies(port, options)?.figures("SET");
        if grouped { ours.extend(figures) } else { theirs.extend(figures) }
    }
    ours.extend(seen(&mut members, near, options)?.brief("until seen at the other node"));
    let (sets, from) = (options.sets as f64, options.keys);
    let (before, pids) = (members.carried(), pids(&mut members)?);
    let cpu = |pid: u32| bench::cpu_us(pid);
    let (sender, receiver) = (cpu(pids[0])?, cpu(pids[1])?);
    keys::load(near, from..from + options.sets, 1)?;
    members.wait_for(1, (from + options.sets - 1, 1), LOOK)?;
    let bytes = (members.carried() - before) as f64;
    let (sender, receiver) = (cpu(pids[0])? - sender, cpu(pids[1])? - receiver);
    members.check(1, from..from + options.sets, STEP, 1)?;
    let own = cpu(alone.pid())?;
    keys::load(alone.port(), from..from + options.sets, 1)?;
    let own = cpu(alone.pid())? - own;
    ours.push(Figure::cost("processor, where it is asked", "µs/SET", sender / sets));
    theirs.push(Figure::cost("processor, where it is asked", "µs/SET", own / sets));
    // Beside what the same SET costs the node that is alone.
    ours.push(Figure::cost("processor, at the other node", "µs/SET", receiver / sets));
    theirs.push(Figure::cost("processor, at the other node", "µs/SET", own / sets));
    ours.push(Figure::cost("bytes between nodes", "B/SET", bytes / sets));
    members.stop()?;
    alone.stop()?;
    Ok((ours, theirs))
}

fn pids(members: &mut Members) -> Result<Vec<u32>> {
    members.nodes.iter_mut().map(|node| Ok(node.running()?.pid())).collect()
}

/// Latencies of SET at the steady rate.
fn latencies(port: u16, options: &Options) -> Result<Latencies> {
    let steady = pause::Options {
        keys: options.keys,
        rate: options.rate,
        connections: 16,
        seconds: options.seconds,
        times: 1,
        common: options.common.clone(),
    };
    keys::load(port, 0..options.keys, 0)?;
    let mut load = Steady::connect(port, &steady, 0)?;
    let stop = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let running = scope.spawn(|| load.run(Instant::now(), &stop));
        std::thread::sleep(Duration::from_secs(options.seconds));
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap_or_else(|_| bail!("the load panicked"))
    })?;
    let mut latencies = Latencies::default();
    asked.iter().filter(|asked| asked.set).for_each(|asked| latencies.push(asked.took));
    Ok(latencies)
}

/// From the reply to a write until the other node shows it.
fn seen(members: &mut Members, near: u16, options: &Options) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for version in 2..2 + options.looks {
        let index = options.keys + options.sets;
        keys::load(near, index..index + 1, version)?;
        let began = Instant::now();
        members.wait_for(1, (index, version), LOOK)?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}
