//! One sorted set, one hash, one set and one list of very many elements: what commands take on them, each kind after a restart
//! of its own, so that the first access is to a value that is at rest.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::common::{Common, bytes, compare};
use super::info;
use super::latency::Latencies;
use super::subject::{Running, Subject};
use super::table::{Figure, Table};
use super::usage::{MemoryWatch, check_memory, disk_bytes, mib};
use crate::server::Program;

mod asker;
mod elements;
mod kind;
mod load;

use asker::Asker;
use kind::Kind;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Elements of each.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1000..=900_000_000))]
    pub elements: u64,
    /// The bound on memory of the server under test (`64mb`); the peer has none.
    #[arg(long, value_parser = bytes)]
    pub maxmemory: Option<u64>,
    /// Commands of each kind that are timed; no more than half of the elements.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub commands: u64,
    /// How both are measured. The peer reads all of its log at each restart: `--alone` for large sizes.
    #[command(flatten)]
    pub common: Common,
}

/// Measures both.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let bound = options.maxmemory.map_or("no bound".into(), |bytes| format!("{} MiB for ours", mib(bytes)));
    let conditions = format!(
        "a sorted set, a hash, a set and a list of {} elements each, maxmemory: {bound}; {} commands of each kind, one at a time, \
         after a restart for each kind; everysec",
        options.elements, options.commands
    );
    compare("large", &conditions, (sut, oracle), &options.common, &|subject| once(subject, options))
}

/// One server.
pub fn once(subject: &Subject, options: &Options) -> Result<Vec<Figure>> {
    let subject = &subject.bounded(options.maxmemory);
    let dir = tempfile::tempdir()?;
    let mut most = 0;
    let mut figures = build(subject, dir.path(), options, &mut most)?;
    let mut asker = Asker::new(options.elements);
    for kind in Kind::ALL {
        figures.extend(time(subject, dir.path(), kind, options, &mut asker, &mut most).with_context(|| kind.name())?);
    }
    // What was changed must be as it was left, and nothing else may have changed.
    let running = subject.start(dir.path())?;
    asker.check(&mut running.open()?).context("at the end")?;
    running.server.stop()?;
    figures.push(Figure::cost("resident memory, most", "MiB", mib(most)));
    if let Some(maxmemory) = options.maxmemory.filter(|_| !subject.program.is_redis()) {
        // What was measured is worth knowing all the same.
        let mut table = Table::default();
        table.add(true, figures.clone());
        check_memory(most, maxmemory).with_context(|| format!("all answers were right, but see memory:\n{table}"))?;
    }
    Ok(figures)
}

/// Makes all four, and has them written as rows.
fn build(subject: &Subject, dir: &Path, options: &Options, most: &mut u64) -> Result<Vec<Figure>> {
    let running = subject.start(dir)?;
    let memory = MemoryWatch::start(running.server.pid());
    let mut figures = Vec::new();
    for collection in load::COLLECTIONS {
        let began = Instant::now();
        load::load(&mut running.open()?, collection, options.elements).with_context(|| collection.what)?;
        let per_second = options.elements as f64 / began.elapsed().as_secs_f64();
        figures.push(Figure::gain(format!("load: {}", collection.what), "elements/s", per_second));
    }
    let checkpoint = info::checkpoint(&mut running.open()?, "BGREWRITEAOF")?;
    figures.push(Figure::cost("BGREWRITEAOF", "s", checkpoint.as_secs_f64()));
    figures.push(Figure::cost("disk", "MiB", mib(disk_bytes(dir)?)));
    figures.push(Figure::cost("resident memory, most while loading", "MiB", mib(memory.most())));
    stop(running, &memory, most)?;
    Ok(figures)
}

/// Starts the server, and times commands of one kind on random elements: the first apart.
fn time(
    subject: &Subject,
    dir: &Path,
    kind: Kind,
    options: &Options,
    asker: &mut Asker,
    most: &mut u64,
) -> Result<Vec<Figure>> {
    let running = subject.start(dir)?;
    let memory = MemoryWatch::start(running.server.pid());
    let (mut conn, mut first, mut took) = (running.open()?, Duration::ZERO, Latencies::default());
    for number in 0..options.commands.min(options.elements / 2) {
        match asker.ask(&mut conn, kind)? {
            elapsed if number == 0 => first = elapsed,
            elapsed => took.push(elapsed),
        }
    }
    if kind.writes() {
        info::checkpoint(&mut running.open()?, "BGREWRITEAOF")?;
    }
    stop(running, &memory, most)?;
    let name = kind.name();
    let mut figures = vec![Figure::cost(format!("{name}, first after a restart"), "µs", first.as_secs_f64() * 1e6)];
    figures.extend(took.brief(name));
    Ok(figures)
}

fn stop(running: Running, memory: &MemoryWatch, most: &mut u64) -> Result<()> {
    running.server.stop()?;
    *most = memory.most().max(*most);
    Ok(())
}
