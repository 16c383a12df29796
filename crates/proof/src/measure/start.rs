//! How long it takes until a server that starts gives right answers: after SIGTERM, and after kill -9 under full write load.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::common::{Common, compare};
use super::subject::{Running, START_PATIENCE, Subject};
use super::table::Figure;
use super::usage::{disk_bytes, mib};
use super::{info, keys};
use crate::conn::{Conn, command};
use crate::rng::Rng;
use crate::server::Program;

mod writer;

use writer::Writer;

/// Right answers after which a start counts as done.
const ANSWERS: usize = 1000;

/// Connections that write when the server is killed.
const WRITERS: u64 = 8;

/// What is said of a start behind it.
const KILLED: &str = "after kill -9";

/// Keys that are compared afterwards, at most.
const CHECKED: u64 = 200_000;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Keys that are loaded, with values of 64 B.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    pub keys: u64,
    /// How long is written at full speed before the kill.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// How both are measured.
    #[command(flatten)]
    pub common: Common,
}

/// Measures both.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let conditions = format!(
        "{} keys of 16 B with values of 64 B, everysec; killed after {} s of SET from {WRITERS} connections",
        options.keys, options.seconds
    );
    compare("start", &conditions, (sut, oracle), &options.common, &|subject| once(subject, options))
}

/// One server.
pub fn once(subject: &Subject, options: &Options) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let running = subject.start(dir.path())?;
    keys::load(running.port, 0..options.keys, 0)?;
    let mut writers: Vec<Writer> = (0..WRITERS).map(|id| Writer::new(id, WRITERS, options.keys)).collect();

    let mut figures = Vec::new();
    let began = Instant::now();
    running.server.stop()?;
    figures.push(Figure::cost("clean stop", "s", began.elapsed().as_secs_f64()));
    let (running, seen) = start(subject, dir.path(), &mut writers, "after a stop")?;
    figures.extend(seen);

    let sent: u64 = std::thread::scope(|scope| {
        let port = running.port;
        let writing: Vec<_> = writers.iter_mut().map(|writer| scope.spawn(move || writer.write(port))).collect();
        std::thread::sleep(Duration::from_secs(options.seconds));
        let disk = disk_bytes(dir.path());
        // Dead before the writers stop: they end because it is gone.
        running.server.kill()?;
        figures.push(Figure::cost("disk at the kill", "MiB", mib(disk?)));
        let mut sent = 0;
        for thread in writing {
            sent += thread.join().unwrap_or_else(|_| bail!("a writer panicked"))?;
        }
        Ok::<_, anyhow::Error>(sent)
    })?;
    ensure!(sent > 0, "nothing was written before the kill");
    figures.push(Figure::gain("written before the kill", "SET/s", sent as f64 / options.seconds as f64));
    let (running, seen) = start(subject, dir.path(), &mut writers, KILLED)?;
    figures.extend(seen);
    running.server.stop()?;
    Ok(figures)
}

/// Starts it and asks for random keys until enough answers were right; then compares more of them.
fn start(subject: &Subject, dir: &Path, writers: &mut [Writer], when: &str) -> Result<(Running, Vec<Figure>)> {
    let began = Instant::now();
    let mut running = subject.launch(dir)?;
    running.server.wait_ready(START_PATIENCE).with_context(|| format!("start {when}"))?;
    let ping = began.elapsed();
    let keys: u64 = writers.iter().map(Writer::keys).sum();
    let (mut conn, mut rng) = (running.open()?, Rng::new(1));
    let (mut first, mut random) = (None, || rng.below(keys as usize) as u64);
    if when == KILLED && subject.is_redis() {
        // Under everysec it answers before it writes while an fsync takes long.
        writers.iter_mut().for_each(Writer::expect_less);
    }
    for _ in 0..ANSWERS {
        ask(&mut conn, writers, &[random()])?;
        first.get_or_insert(began.elapsed());
    }
    let last = began.elapsed();
    for _ in 0..keys.min(CHECKED) / 100 {
        let some: Vec<u64> = (0..100).map(|_| random()).collect();
        ask(&mut conn, writers, &some)?;
    }
    let there = info::dbsize(&mut conn)?;
    ensure!(there == keys, "{there} keys {when}, not {keys}");
    let figures = [("PING", ping), ("first GET", first.unwrap_or(last)), ("1000th GET", last)];
    let figure = |(what, took): (&str, Duration)| Figure::cost(format!("{when}: {what}"), "s", took.as_secs_f64());
    Ok((running, figures.map(figure).into()))
}

/// Asks for keys and compares with what was written.
fn ask(conn: &mut Conn, writers: &mut [Writer], some: &[u64]) -> Result<()> {
    let commands: Vec<_> = some.iter().map(|index| command(&["GET", &keys::key(*index)])).collect();
    for (index, reply) in some.iter().zip(conn.pipeline(&commands)?) {
        writers[(index % WRITERS) as usize].found(*index, keys::version(*index, &reply)?)?;
    }
    Ok(())
}
