//! Two nodes that were apart, and wrote the same keys meanwhile: how long it takes until both have all of it, and what that costs.
//!
//! ```text
//!   node 0 ── effects ──┐ cut ┌── effects ── node 1        strings, counters, sets, hashes, lists: of each key both write
//!                       └─────┘
//!   mended ─▶ connected again ─▶ each has all of the other ─▶ DEBUG DIGEST is the same
//! ```

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::common::Common;
use super::table::{Figure, Table};
use super::usage::{MemoryWatch, mib};
use crate::bench;
use crate::cluster::node::{Node, Start, start_all};
use crate::cluster::space::Space;
use crate::conn::{Conn, encode};
use crate::server::{Fsync, Program};

/// How often nodes are asked what they have.
const LOOK: Duration = Duration::from_millis(10);
/// Until when they must have all of it.
const PATIENCE: Duration = Duration::from_secs(600);
/// Commands of one round trip.
const BATCH: u64 = 500;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Effects of both nodes together while they are apart; once for each number.
    #[arg(long, value_delimiter = ',', default_value = "250000,500000,1000000")]
    pub effects: Vec<u64>,
    /// Keys, of which both nodes write all.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(5..=100_000_000))]
    pub keys: u64,
    /// How it is measured.
    #[command(flatten)]
    pub common: Common,
}

/// Measures, prints, and says whether all answers were right.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    for &effects in &options.effects {
        let mut table = Table::of(["ours", "–"]);
        for round in 0..options.common.rounds {
            let figures = once(sut, options.keys, effects).with_context(|| format!("round {}", round + 1))?;
            table.add(true, figures);
        }
        let head = format!(
            "two nodes, apart while they write {effects} effects on {} keys, half of them each, of five types; everysec; rounds: {}",
            options.keys, options.common.rounds
        );
        println!("cluster-merge: {head}\n{}\n\n{table}", bench::describe());
        if let Some(path) = &options.common.results {
            table.append_to(path, "cluster-merge", &head).with_context(|| format!("append to {}", path.display()))?;
        }
    }
    Ok(true)
}

fn once(program: &Program, keys: u64, effects: u64) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let mut space = Space::apart(2).context("nodes are cut off in network namespaces only")?;
    let programs = (0..2).map(|node| space.place(program, node)).collect();
    let seats = (0..2).map(|node| space.seat(node)).collect();
    let start = Start { programs, seats, dir: dir.path(), fsync: Fsync::Everysec, joins: true };
    let mut nodes = start_all(&start)?;
    space.cut(0, 1)?;
    space.cut(1, 0)?;
    std::thread::scope(|scope| {
        let (keys, half) = (keys, effects / 2);
        let load = |(side, node): (u64, &Node)| {
            let conn = node.open();
            scope.spawn(move || write(&mut conn?, side, keys, half))
        };
        let threads: Vec<_> = (0..).zip(&nodes).map(load).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("the load panicked")))
    })?;
    let pids = nodes.iter_mut().map(|node| Ok(node.running()?.pid())).collect::<Result<Vec<_>>>()?;
    let cpu = || pids.iter().map(|pid| bench::cpu_us(*pid)).collect::<Result<Vec<_>>>();
    let memory: Vec<MemoryWatch> = pids.iter().map(|pid| MemoryWatch::start(*pid)).collect();
    let (before, began) = (cpu()?, Instant::now());
    space.mend(0, 1)?;
    space.mend(1, 0)?;
    let mut conns = nodes.iter().map(Node::open).collect::<Result<Vec<_>>>()?;
    // One has heard the first of the other: from then on they are connected.
    let connected = until(began, || Ok(applied(&mut conns[0])?.len() > 1 || applied(&mut conns[1])?.len() > 1))?;
    let merged = until(began, || {
        let [one, other] = [applied(&mut conns[0])?, applied(&mut conns[1])?];
        Ok(one == other && one.len() > 1)
    })?;
    let spent: f64 = cpu()?.iter().zip(&before).map(|(after, before)| after - before).sum();
    let digests = conns.iter_mut().map(|conn| conn.call(&["DEBUG", "DIGEST"])).collect::<Result<Vec<_>>>()?;
    ensure!(digests[0] == digests[1] && !digests[0].is_error(), "they have all and are not equal: {digests:?}");
    let stable = until(began, || Ok(field(&mut conns[0], "group_unstable_keys:")? == "0"))?;
    let most = memory.iter().map(MemoryWatch::most).max().unwrap_or_default();
    nodes.iter_mut().try_for_each(Node::stop)?;
    let seconds = |duration: Duration| duration.as_secs_f64();
    Ok(vec![
        Figure::cost("until connected again", "s", seconds(connected)),
        Figure::cost("from then until both have all", "s", seconds(merged - connected)),
        Figure::cost("until nothing is recent", "s", seconds(stable)),
        Figure::cost("processor of both until they have all", "s", spent / 1e6),
        Figure::cost("processor of both", "µs/effect", spent / effects as f64),
        Figure::cost("memory, most of one", "MiB", mib(most)),
    ])
}

/// Waits until something is so; from `began`.
fn until(began: Instant, mut is_so: impl FnMut() -> Result<bool>) -> Result<Duration> {
    while !is_so()? {
        ensure!(began.elapsed() < PATIENCE, "it takes more than {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
    Ok(began.elapsed())
}

/// By origin, how many effects of it a node has.
fn applied(conn: &mut Conn) -> Result<Vec<String>> {
    Ok(field(conn, "group_applied:")?.split(',').map(str::to_owned).collect())
}

fn field(conn: &mut Conn, name: &str) -> Result<String> {
    let info = conn.call(&["INFO", "replication"])?.text();
    let found = info.lines().find_map(|line| line.trim_end().strip_prefix(name));
    found.map(str::to_owned).with_context(|| format!("no {name} in:\n{info}"))
}

/// Writes so many effects over all keys, one command each, in another order on each side.
fn write(conn: &mut Conn, side: u64, keys: u64, effects: u64) -> Result<()> {
    let mut bytes = Vec::new();
    for first in (0..effects).step_by(BATCH as usize) {
        let batch = first..effects.min(first + BATCH);
        bytes.clear();
        batch.clone().for_each(|nth| one(side, keys, nth, &mut bytes));
        conn.send_raw(&bytes)?;
        for nth in batch {
            let reply = conn.reply()?;
            ensure!(!reply.is_error(), "effect {nth} was answered {reply}");
        }
    }
    Ok(())
}

/// A key has the type that its number says.
fn one(side: u64, keys: u64, nth: u64, out: &mut Vec<u8>) {
    // A step that has no divisor with most numbers, so that neighbours in time are none in the keyspace.
    let number = (nth * 7919 + side * keys / 2) % keys;
    let (key, word) = (format!("key:{number}"), format!("{side}:{nth}"));
    match number % 5 {
        0 => encode(&["SET", &key, &word], out),
        1 => encode(&["INCR", &key], out),
        2 => encode(&["SADD", &key, &word], out),
        3 => encode(&["HSET", &key, &(nth % 7).to_string(), &word], out),
        _ => encode(&["RPUSH", &key, &word], out),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::one;

    #[test]
    fn both_sides_write_all_keys_and_each_key_by_one_command() {
        let mut commands: HashMap<String, [String; 2]> = HashMap::new();
        for side in 0..2 {
            for nth in 0..1_000 {
                let mut out = Vec::new();
                one(side, 1_000, nth, &mut out);
                let text = String::from_utf8(out).unwrap();
                let mut words = text.split("\r\n").skip(2).step_by(2);
                let (name, key) = (words.next().unwrap(), words.next().unwrap());
                commands.entry(key.to_owned()).or_default()[side as usize] = name.to_owned();
            }
        }
        assert_eq!(commands.len(), 1_000);
        assert!(commands.values().all(|[one, other]| one == other && !one.is_empty()));
    }
}
