//! A node that comes back after it has missed many changes: how long it takes until it has them, the memory of both sides, and the
//! bytes between them, beside what a copy of everything would be.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::common::{Common, pin_load};
use super::keys;
use super::members::Members;
use super::table::{Figure, Table};
use super::usage::{MemoryWatch, mib};
use crate::bench;
use crate::server::Program;

/// How often the node that comes back is asked whether it has the last of it.
const LOOK: Duration = Duration::from_millis(10);
/// Every so manieth key is compared.
const STEP: usize = 97;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Keys that all nodes have before one is stopped.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub keys: u64,
    /// SETs, of the first of these keys and of others, while it is away.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub effects: u64,
    /// Nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub nodes: u8,
    /// How it is measured.
    #[command(flatten)]
    pub common: Common,
}

/// Measures, prints, and says whether all answers were right.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    let cores = pin_load(&options.common)?;
    let program = if cores.is_some() { sut.on_cpus(&options.common.server_cpus) } else { sut.clone() };
    let mut table = Table::of(["ours", "–"]);
    for round in 0..options.common.rounds {
        table.add(true, once(&program, options).with_context(|| format!("round {}", round + 1))?);
    }
    let cores = cores.unwrap_or_else(|| "nothing is bound to a core".into());
    let head = format!(
        "{} nodes, {} keys with values of 64 B; one is away while {} SETs are done; everysec; {cores}; rounds: {}",
        options.nodes, options.keys, options.effects, options.common.rounds
    );
    println!("cluster-catchup: {head}\n{}\n\n{table}", bench::describe());
    if let Some(path) = &options.common.results {
        table.append_to(path, "cluster-catchup", &head).with_context(|| format!("append to {}", path.display()))?;
    }
    Ok(true)
}

fn once(program: &Program, options: &Options) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let count = usize::from(options.nodes);
    let mut members = Members::start(program, count, Duration::ZERO, dir.path())?;
    let (away, near) = (count - 1, members.nodes[0].running()?.port());
    keys::load(near, 0..options.keys, 0)?;
    for node in 1..count {
        members.wait_for(node, (options.keys - 1, 0), LOOK)?;
    }
    members.nodes[away].stop()?;
    // Half of them are of keys that it has.
    let missed = options.keys - options.keys.min(options.effects / 2);
    let missed = missed..missed + options.effects;
    keys::load(near, missed.clone(), 1)?;
    for node in 1..away {
        members.wait_for(node, (missed.end - 1, 1), LOOK)?;
    }
    let (carried, began) = (members.carried(), Instant::now());
    members.nodes[away].start()?;
    let pids = [members.nodes[0].running()?.pid(), members.nodes[away].running()?.pid()];
    let before = [bench::resident(pids[0])?, 0];
    let memory = pids.map(MemoryWatch::start);
    members.nodes[away].wait()?;
    let ready = began.elapsed();
    members.wait_for(away, (missed.end - 1, 1), LOOK)?;
    let caught_up = began.elapsed();
    let bytes = members.carried() - carried;
    members.check(away, missed.clone(), STEP, 1)?;
    members.check(away, 0..missed.start, STEP, 0)?;
    let info = members.nodes[away].open()?.call(&["INFO", "replication"])?.text();
    ensure!(
        info.lines().any(|line| line.trim() == "group_needs_snapshot:0"),
        "it asks for a copy of everything:\n{info}"
    );
    let size = members.nodes[away].open()?.call(&["DBSIZE"])?;
    ensure!(size.int() == Some(missed.end as i64), "it has {size} keys, not {}", missed.end);
    let most = memory.map(|watch| watch.most());
    members.stop()?;
    let each = |bytes: u64| bytes as f64 / options.effects as f64;
    Ok(vec![
        Figure::cost("until it answers", "s", ready.as_secs_f64()),
        Figure::cost("until it has all of it", "s", caught_up.as_secs_f64()),
        Figure::gain("what it missed", "1/s", options.effects as f64 / (caught_up - ready).as_secs_f64()),
        Figure::cost("bytes between nodes", "B/SET missed", each(bytes)),
        Figure::cost("bytes between nodes", "MiB", mib(bytes)),
        Figure::cost("memory where it is read from: before", "MiB", mib(before[0])),
        Figure::cost("memory where it is read from: most", "MiB", mib(most[0])),
        Figure::cost("memory of the node that comes back: most", "MiB", mib(most[1])),
    ])
}
