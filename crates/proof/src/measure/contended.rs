//! One key that everybody wants: clients of all nodes add to it with `WATCH`, `GET`, `MULTI`, `SET`, `EXEC`, beside as many clients of one
//! server that is alone. Each success must have counted once.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::common::Common;
use super::info;
use super::latency::Latencies;
use super::members::Members;
use super::table::{Figure, Table};
use crate::bench;
use crate::conn::Conn;
use crate::resp::Value;
use crate::server::{Fsync, Program, Server};

const KEY: &str = "wanted";

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Nodes of the group.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub nodes: u8,
    /// Clients of each; the server that is alone has them all.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub clients: u16,
    /// For how long.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// There and back between two nodes, in milliseconds.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub rtt_ms: u64,
    /// How all is measured.
    #[command(flatten)]
    pub common: Common,
}

/// What the clients of one node were told.
#[derive(Clone, Debug, Default)]
struct Tally {
    committed: u64,
    null: u64,
    /// `TRYAGAIN`: some may have been done.
    again: u64,
    /// From the first WATCH until it was done, other tries included.
    took: Latencies,
}

impl Tally {
    fn join(&mut self, other: Tally) {
        self.committed += other.committed;
        self.null += other.null;
        self.again += other.again;
        self.took.join(other.took);
    }
}

/// Measures, prints, and says whether all answers were right.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    let mut table = Table::of(["in a group", "alone"]);
    for round in 0..options.common.rounds {
        let context = || format!("round {}", round + 1);
        table.add(true, group(sut, options).with_context(context)?);
        if !options.common.alone {
            table.add(false, alone(sut, options).with_context(context)?);
        }
    }
    let head = format!(
        "{} nodes, {} ms there and back, {} clients each, for {} s on one key: WATCH, GET, then MULTI, SET, EXEC at once; everysec; \
         nothing is bound to a core; rounds: {}",
        options.nodes, options.rtt_ms, options.clients, options.seconds, options.common.rounds
    );
    println!("cluster-contended: {head}\n{}\n\n{table}", bench::describe());
    if let Some(path) = &options.common.results {
        table.append_to(path, "cluster-contended", &head).with_context(|| format!("append to {}", path.display()))?;
    }
    Ok(true)
}

fn group(program: &Program, options: &Options) -> Result<Vec<Figure>> {
    let (dir, one_way) = (tempfile::tempdir()?, Duration::from_millis(options.rtt_ms) / 2);
    let mut members = Members::start(program, options.nodes.into(), one_way, dir.path())?;
    let mut ports = Vec::new();
    for node in &mut members.nodes {
        info::until(&mut node.open()?, "replication", "group_members_met:1")?;
        ports.push(node.running()?.port());
    }
    let figures = load(&ports, options.clients, options)?;
    members.stop()?;
    Ok(figures)
}

fn alone(program: &Program, options: &Options) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(program, dir.path(), Some(Fsync::Everysec))?;
    let figures = load(&[server.port()], options.clients * u16::from(options.nodes), options)?;
    server.stop()?;
    Ok(figures)
}

fn load(ports: &[u16], clients: u16, options: &Options) -> Result<Vec<Figure>> {
    let (time, start) = (Duration::from_secs(options.seconds), Barrier::new(ports.len() * usize::from(clients)));
    let start = &start;
    let tallies = std::thread::scope(|scope| {
        let client = |port: u16| {
            let mut conn = Conn::open(port)?;
            start.wait();
            add_for(&mut conn, time)
        };
        let running: Vec<Vec<_>> =
            ports.iter().map(|port| (0..clients).map(|_| scope.spawn(move || client(*port))).collect()).collect();
        let of_node = |clients: Vec<std::thread::ScopedJoinHandle<'_, Result<Tally>>>| {
            let mut all = Tally::default();
            for client in clients {
                all.join(client.join().unwrap_or_else(|_| bail!("a client panicked"))?);
            }
            Ok(all)
        };
        running.into_iter().map(of_node).collect::<Result<Vec<Tally>>>()
    })?;
    let mut all = Tally::default();
    tallies.iter().for_each(|tally| all.join(tally.clone()));
    ports.iter().try_for_each(|port| check(*port, &all))?;
    Ok(figures(&tallies, &all, options))
}

fn figures(tallies: &[Tally], all: &Tally, options: &Options) -> Vec<Figure> {
    let share = |part: u64, of: u64| part as f64 * 100.0 / of.max(1) as f64;
    let shares = || tallies.iter().map(|tally| share(tally.committed, all.committed));
    let mut figures = vec![
        Figure::gain("committed", "1/s", all.committed as f64 / options.seconds as f64),
        Figure::gain("of them by the node that has least", "%", shares().fold(100.0, f64::min)),
        Figure::cost("of them by the node that has most", "%", shares().fold(0.0, f64::max)),
        Figure::cost("EXECs that answer null", "%", share(all.null, all.committed + all.null + all.again)),
        Figure::cost("TRYAGAIN", "times", all.again as f64),
    ];
    figures.extend(all.took.brief("until it is done, tries included"));
    figures
}

/// Adds one, again and again.
fn add_for(conn: &mut Conn, time: Duration) -> Result<Tally> {
    let (mut tally, mut first) = (Tally::default(), Instant::now());
    let end = first + time;
    while Instant::now() < end {
        let watched = conn.call(&["WATCH", KEY])?;
        ensure!(watched == Value::Simple(b"OK".to_vec()), "WATCH was answered with {watched}");
        let before: u64 = match conn.call(&["GET", KEY])? {
            Value::NullBulk => 0,
            found => found.text().parse().with_context(|| format!("GET was answered with {found}"))?,
        };
        let next = (before + 1).to_string();
        let commands = [&["MULTI"][..], &["SET", KEY, &next], &["EXEC"]].map(crate::conn::command);
        let replies = conn.pipeline(&commands)?;
        match &replies[2] {
            Value::Array(_) => {
                tally.committed += 1;
                let now = Instant::now();
                tally.took.push(now - std::mem::replace(&mut first, now));
            }
            Value::NullArray => tally.null += 1,
            Value::Error(text) if text.starts_with(b"TRYAGAIN") => tally.again += 1,
            other => bail!("EXEC was answered with {other}"),
        }
    }
    Ok(tally)
}

/// Waits until a node has all that clients were told of; more is there only if somebody may have done more.
fn check(port: u16, all: &Tally) -> Result<()> {
    let (mut conn, began) = (Conn::open(port)?, Instant::now());
    loop {
        let found: u64 = conn.call(&["GET", KEY])?.text().parse().unwrap_or(0);
        if found >= all.committed {
            ensure!(found <= all.committed + all.again, "{found} were counted, and {all:?} were told");
            return Ok(());
        }
        ensure!(began.elapsed() < Duration::from_secs(10), "{found} are there, and {} were told", all.committed);
        std::thread::sleep(Duration::from_millis(10));
    }
}
