//! SET over random keys for a while, with redis-benchmark as the load: so fast that checkpoints follow one another.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::common::{Common, compare};
use super::info;
use super::subject::{Running, Subject};
use super::table::Figure;
use super::usage::{self, MemoryWatch, disk_bytes, mib};
use crate::bench;
use crate::conn::Conn;
use crate::rng::Rng;
use crate::server::Program;

/// How often commands are counted.
const LOOK: Duration = Duration::from_millis(250);

/// The window whose worst is shown.
const WINDOW: Duration = Duration::from_secs(5);

/// Keys that are looked at when the load has ended.
const CHECKED: usize = 1000;

/// Bytes of a value.
const VALUE_BYTES: usize = 64;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Random keys.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub keys: u64,
    /// How long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// How both are measured.
    #[command(flatten)]
    pub common: Common,
}

/// Measures both.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let conditions = format!(
        "redis-benchmark -t set -r {} -d {VALUE_BYTES} -P 16 -c 50 for {} s, everysec, checkpoints and rewrites by default",
        options.keys, options.seconds
    );
    compare("sustained", &conditions, (sut, oracle), &options.common, &|subject| once(subject, options))
}

/// One server.
pub fn once(subject: &Subject, options: &Options) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let running = subject.start(dir.path())?;
    let mut conn = running.open()?;
    let pid = running.server.pid();
    let memory = MemoryWatch::start(pid);
    let before = bench::cpu_us(pid)?;
    let counts = load(running.port, &mut conn, options)?;
    // Whoever has written for the load has to be counted with it.
    info::settle(&mut conn)?;
    let cpu_us = bench::cpu_us(pid)? - before;
    check(&mut conn, options.keys)?;
    let (first, last) = (counts.first().context("a count")?, counts.last().context("a count")?);
    let commands = last.1 - first.1;
    ensure!(commands > 0.0, "the load wrote nothing");
    let mut figures = vec![
        Figure::gain("throughput", "SET/s", commands / (last.0 - first.0).as_secs_f64()),
        Figure::gain(format!("worst {} s", WINDOW.as_secs()), "SET/s", worst(&counts)),
        Figure::cost("processor, with children", "µs/SET", cpu_us / commands),
        Figure::cost("resident memory, most", "MiB", mib(memory.most())),
        Figure::cost("resident memory, end", "MiB", mib(bench::resident(pid)?)),
        Figure::cost("disk, end", "MiB", mib(disk_bytes(dir.path())?)),
    ];
    figures.extend(threads(pid, commands)?);
    figures.extend(checkpoints(&mut conn, &running, commands)?);
    running.server.stop()?;
    Ok(figures)
}

/// Runs the load; the number of commands at moments since its start.
fn load(port: u16, conn: &mut Conn, options: &Options) -> Result<Vec<(Duration, f64)>> {
    let mut load = Load::start(port, options.keys)?;
    let (began, mut counts) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(options.seconds) {
        let count = info::number(conn, "stats", "total_commands_processed")?.context("total_commands_processed")?;
        counts.push((began.elapsed(), count));
        ensure!(load.0.try_wait()?.is_none(), "redis-benchmark ended by itself");
        std::thread::sleep(LOOK);
    }
    Ok(counts)
}

/// A running redis-benchmark. Dropping it ends it.
struct Load(Child);

impl Load {
    fn start(port: u16, keys: u64) -> Result<Load> {
        let (port, keys, value) = (port.to_string(), keys.to_string(), VALUE_BYTES.to_string());
        let words = ["-t", "set", "-p", &port, "-r", &keys, "-d", &value, "-P", "16", "-c", "50", "-l", "-q"];
        let mut command = Command::new("redis-benchmark");
        command.args(words).args(["-n", "100000000"]).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Load(command.spawn().context("run redis-benchmark")?))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It can only have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The least throughput over a window, or over all if there was no whole one.
fn worst(counts: &[(Duration, f64)]) -> f64 {
    let rate = |a: &(Duration, f64), b: &(Duration, f64)| (b.1 - a.1) / (b.0 - a.0).as_secs_f64();
    let windows = counts.iter().enumerate().filter_map(|(i, first)| {
        let end = counts[i..].iter().find(|later| later.0 >= first.0 + WINDOW)?;
        Some(rate(first, end))
    });
    windows.reduce(f64::min).unwrap_or_else(|| rate(&counts[0], &counts[counts.len() - 1]))
}

/// No command failed, there are no more keys than were named, and all that are looked at have a value as it was sent.
fn check(conn: &mut Conn, keys: u64) -> Result<()> {
    let errors = info::number(conn, "stats", "total_error_replies")?;
    ensure!(errors.is_none_or(|errors| errors == 0.0), "{errors:?} commands were refused");
    let there = info::dbsize(conn)?;
    ensure!(there > 0 && there <= keys, "{there} keys where {keys} were written at random");
    let (mut rng, mut value) = (Rng::new(1), None);
    let mut found = 0;
    for _ in 0..CHECKED {
        let key = format!("key:{:012}", rng.below(keys as usize));
        let reply = conn.call(&["GET", &key])?;
        if reply.is_null() {
            continue;
        }
        // The load writes one value everywhere.
        let value = value.get_or_insert_with(|| reply.clone());
        let len = reply.bytes().map_or(0, <[u8]>::len);
        ensure!(reply == *value && len == VALUE_BYTES, "{key} is {reply}, another one {value}");
        found += 1;
    }
    // At random, so some may be missing; but as many are expected as there are keys.
    let expected = CHECKED as f64 * there as f64 / keys as f64;
    ensure!(
        (f64::from(found) - expected).abs() < 150.0,
        "{found} of {CHECKED} keys were there, {expected:.0} should be"
    );
    Ok(())
}

/// How many checkpoints or rewrites there were, and what is known of them.
fn checkpoints(conn: &mut Conn, running: &Running, commands: f64) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, what, unit) in
        [("aof_rewrites", "checkpoints or rewrites", ""), ("aof_last_rewrite_time_sec", "the last of them", "s")]
    {
        let number = info::number(conn, "persistence", name)?.filter(|number| *number >= 0.0);
        figures.extend(number.map(|number| Figure::cost(what, unit, number)));
    }
    figures.extend(taken(&running.server.said()?).map(|taken| taken.figures(commands)).into_iter().flatten());
    Ok(figures)
}

/// What all checkpoints were together, as the server's output tells.
#[derive(Debug, PartialEq)]
struct Taken {
    /// Rows of keys, of elements of large values, and of what was removed.
    rows: f64,
    seconds: f64,
    /// Of the thread that takes them, compactions behind them not included.
    cpu_us: f64,
}

impl Taken {
    fn figures(&self, commands: f64) -> [Figure; 4] {
        [
            Figure::cost("rows of all checkpoints", "", self.rows),
            Figure::cost("time of all checkpoints", "s", self.seconds),
            Figure::cost("processor, thread of checkpoints", "µs/row", self.cpu_us / self.rows.max(1.0)),
            Figure::cost("processor, thread of checkpoints", "µs/SET", self.cpu_us / commands),
        ]
    }
}

/// The sum of all checkpoints, if there was any.
fn taken(said: &str) -> Option<Taken> {
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("checkpoint was taken")).collect();
    let sum = |name: &str| -> f64 {
        let of = |line: &&str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse::<f64>().ok());
        lines.iter().filter_map(of).sum()
    };
    (!lines.is_empty()).then(|| Taken {
        rows: ["keys=", "elements=", "removed="].into_iter().map(sum).sum(),
        seconds: sum("ms=") / 1000.0,
        cpu_us: sum("cpu_us="),
    })
}

/// Processor time of the threads that compact rows, and of all that answer commands, from the system's accounting.
fn threads(pid: u32, commands: f64) -> Result<Vec<Figure>> {
    let by_name = usage::threads_cpu_us(pid)?;
    let sum =
        |is: &dyn Fn(&str) -> bool| -> f64 { by_name.iter().filter(|(name, _)| is(name)).map(|(_, us)| us).sum() };
    let parts = [
        ("threads that compact rows", sum(&|name| name.starts_with("fjall"))),
        ("I/O threads", sum(&|name| name.starts_with("io-"))),
        ("thread of the log", sum(&|name| name == "wal")),
    ];
    let figure = |(what, us)| Figure::cost(format!("processor, {what}"), "µs/SET", us / commands);
    Ok(parts.into_iter().filter(|(_, us)| *us > 0.0).map(figure).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Taken, taken, worst};

    #[test]
    fn the_worst_window_is_found_between_good_ones() {
        let rates = [10.0; 10].into_iter().chain([1.0; 5]).chain([10.0; 10]);
        let counts: Vec<(Duration, f64)> = std::iter::once(0.0)
            .chain(rates)
            .scan(0.0, |sum, rate| {
                *sum += rate;
                Some(*sum)
            })
            .enumerate()
            .map(|(second, sum)| (Duration::from_secs(second as u64), sum))
            .collect();
        assert_eq!(worst(&counts), 1.0);
        assert_eq!(worst(&counts[..3]), 10.0);
    }

    #[test]
    fn checkpoints_are_summed_from_what_the_server_says() {
        let said = "INFO engine: a checkpoint was taken keys=10 removed=1 elements=0 bytes=5 ms=500 cpu_us=70\n\
                    other keys=7 cpu_us=9\n\
                    INFO engine: a checkpoint was taken keys=20 removed=0 elements=4 bytes=5 ms=1500 cpu_us=30\n";
        assert_eq!(taken(said), Some(Taken { rows: 35.0, seconds: 2.0, cpu_us: 100.0 }));
        assert_eq!(taken("nothing"), None);
    }
}
