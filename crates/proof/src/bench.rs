//! Side by side with redis-server: alternately, same fsync policy, same client, each on its core; throughput, and the
//! server's own CPU time per request. Writes `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::server::{Fsync, Program, Server};

mod machine;
mod memory;

pub use machine::{cpu_us, describe, resident};

/// What redis-benchmark is asked for, with how many requests at `-P 1`.
const COMMANDS: &[(&str, u64)] = &[
    ("set", 100_000),
    ("get", 100_000),
    ("incr", 100_000),
    ("lpush", 100_000),
    ("lpop", 100_000),
    ("sadd", 100_000),
    ("hset", 100_000),
    ("zadd", 100_000),
    ("mset", 30_000),
];

/// Random keys that are set before GET is measured: about 63 % of a million are there then.
const GET_FILL: u64 = 1_000_000;

/// What is aimed at, by policy and depth: throughput at least, CPU per request at most, as ratios.
const GOALS: &[(Fsync, u64, f64, Option<f64>)] = &[
    (Fsync::Everysec, 16, 1.5, Some(0.6)),
    (Fsync::Everysec, 1, 0.95, Some(0.85)),
    (Fsync::Always, 16, 1.5, None),
    (Fsync::Always, 1, 1.0, None),
];

/// A row goes on, up to so many times the rounds, while the middle half of its rounds' ratios is wider than
/// [`STEADY`]: others on the machine come and go for longer than a round takes.
const ROUNDS_MOST: usize = 3;

/// The width of that, as a part of the median.
const STEADY: f64 = 0.1;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Rounds; each runs both servers. Rows that vary much get up to three times as many.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// One round with few requests, to see that it works; writes nothing.
    #[arg(long)]
    pub quick: bool,
    /// Only these commands, with commas.
    #[arg(long)]
    pub only: Option<String>,
    /// The page to write.
    #[arg(long, default_value = "docs/benchmarks.md")]
    pub page: PathBuf,
    /// Flags that give ours two threads, for the part on both cores.
    #[arg(long, default_value = "--io-threads 2")]
    pub two_threads: String,
    /// Leave out the memory comparison.
    #[arg(long)]
    pub no_memory: bool,
}

/// One run of redis-benchmark.
#[derive(Clone, Copy, Debug)]
struct Sample {
    per_second: f64,
    cpu_us: f64,
    fsyncs_per_request: Option<f64>,
}

/// The medians of both for one setting, and of what they are to each other round by round.
struct Row {
    command: String,
    ours: Sample,
    theirs: Sample,
    throughput: f64,
    cpu: f64,
    rounds: usize,
}

/// One table: a policy, a pipeline depth, the cores.
struct Setting {
    title: String,
    line: String,
    rows: Vec<Row>,
    goal: Option<(f64, Option<f64>)>,
}

/// Measures, prints, and writes the page.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let rounds = if options.quick { 1 } else { options.rounds };
    let mut settings = Vec::new();
    for fsync in [Fsync::Everysec, Fsync::Always] {
        for depth in [16, 1] {
            let (ours, theirs) = (sut.on_cpu(0), oracle.on_cpu(0));
            let title = format!("appendfsync {}, -P {depth}, one core each", fsync.word());
            settings.push(setting(&ours, &theirs, fsync, depth, Some(1), &title, rounds, options)?);
        }
    }
    let flags: Vec<&str> = options.two_threads.split_whitespace().collect();
    let title = "appendfsync everysec, -P 16, two server threads, nothing pinned";
    settings.push(setting(&sut.with(&flags), &oracle.with(&flags), Fsync::Everysec, 16, None, title, rounds, options)?);
    let memory = if options.no_memory { Vec::new() } else { memory::measure(sut, oracle, options.quick)? };
    let page = page(&settings, &memory, rounds);
    println!("{page}");
    if !options.quick {
        std::fs::write(&options.page, &page).with_context(|| format!("write {}", options.page.display()))?;
    }
    Ok(true)
}

#[expect(clippy::too_many_arguments, reason = "each is one axis of the measurement, and there is one caller")]
fn setting(
    ours: &Program,
    theirs: &Program,
    fsync: Fsync,
    depth: u64,
    client_cpu: Option<usize>,
    title: &str,
    rounds: usize,
    options: &Options,
) -> Result<Setting> {
    let mut rows = Vec::new();
    let mut line = String::new();
    for (command, base) in COMMANDS {
        if options.only.as_ref().is_some_and(|only| !only.split(',').any(|c| c == *command)) {
            continue;
        }
        let scale = if depth > 1 { 10 } else { 1 };
        let requests = if options.quick { 5_000 * scale } else { base * scale };
        let (mut mine, mut yours): (Vec<Sample>, Vec<Sample>) = (Vec::new(), Vec::new());
        while mine.len() < rounds || mine.len() < rounds * ROUNDS_MOST && !options.quick && !is_steady(&mine, &yours) {
            // The order changes every round, so that neither always runs on a warm or a tired machine.
            let even = mine.len().is_multiple_of(2);
            let order = [(ours, &mut mine), (theirs, &mut yours)];
            let order = if even {
                order
            } else {
                let [a, b] = order;
                [b, a]
            };
            for (program, samples) in order {
                let (sample, said) = sample(program, fsync, command, depth, requests, client_cpu)?;
                samples.push(sample);
                line = said;
            }
        }
        let row = row(command, &mine, &yours);
        let Row { command, throughput, cpu, .. } = &row;
        println!("{title:60} {command:6} throughput × {throughput:.2}, CPU per request × {cpu:.2}");
        rows.push(row);
    }
    // Both cores for both processes and the client: nothing was aimed at there.
    let goal = GOALS.iter().find(|(policy, at, ..)| (*policy, *at) == (fsync, depth)).map(|goal| (goal.2, goal.3));
    Ok(Setting { title: title.to_owned(), line, rows, goal: goal.filter(|_| client_cpu.is_some()) })
}

fn sample(
    program: &Program,
    fsync: Fsync,
    command: &str,
    depth: u64,
    requests: u64,
    client_cpu: Option<usize>,
) -> Result<(Sample, String)> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(program, dir.path(), Some(fsync))?;
    // Popping needs something to pop, and reading something to find.
    match command {
        "lpop" => drop(benchmark(server.port(), "lpush", 16, requests, client_cpu)?),
        "get" => drop(benchmark(server.port(), "set", 16, GET_FILL, client_cpu)?),
        _ => {}
    }
    settle(&server)?;
    let (cpu, fsyncs) = (machine::cpu_us(server.pid())?, fsyncs(&server)?);
    let (per_second, line) = benchmark(server.port(), command, depth, requests, client_cpu)?;
    let cpu_us = (machine::cpu_us(server.pid())? - cpu) / requests as f64;
    let fsyncs_per_request = match (fsyncs, self::fsyncs(&server)?) {
        (Some(before), Some(after)) => Some((after - before) / requests as f64),
        _ => None,
    };
    Ok((Sample { per_second, cpu_us, fsyncs_per_request }, line))
}

/// Waits for the rewrite of the log that the preparation called for: it is no part of what is measured.
fn settle(server: &Server) -> Result<()> {
    for _ in 0..1200 {
        let info = server.open()?.call(&["INFO", "persistence"])?.text();
        if info.lines().any(|line| line.trim() == "aof_rewrite_in_progress:0") {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    bail!("the log is still being rewritten after a minute")
}

/// How often the log was synced, if the server says so (`log_fsyncs` in INFO persistence).
fn fsyncs(server: &Server) -> Result<Option<f64>> {
    let info = server.open()?.call(&["INFO", "persistence"])?.text();
    Ok(info.lines().find_map(|l| l.strip_prefix("log_fsyncs:")).and_then(|v| v.trim().parse().ok()))
}

/// Runs redis-benchmark; requests per second and the command line without the port.
fn benchmark(port: u16, command: &str, depth: u64, requests: u64, cpu: Option<usize>) -> Result<(f64, String)> {
    let line = format!("redis-benchmark -c 50 -d 64 -r 1000000 -P {depth} -n {requests} -t {command} --csv");
    let pinned = cpu.map(|cpu| format!("taskset -c {cpu} {line}")).unwrap_or_else(|| line.clone());
    let mut words = pinned.split_whitespace();
    let output = Command::new(words.next().context("a program")?)
        .args(words)
        .args(["-p", &port.to_string()])
        .output()
        .context("run redis-benchmark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // The first line names the columns, the second has the name and requests per second, in quotes.
    let row = text.lines().find(|l| l.to_lowercase().starts_with(&format!("\"{command}")));
    let Some(row) = row else {
        bail!("redis-benchmark gave no line for {command}: {text}{}", String::from_utf8_lossy(&output.stderr))
    };
    let per_second = row.split("\",\"").nth(1).map(|v| v.trim_matches('"')).and_then(|v| v.parse::<f64>().ok());
    let per_second = per_second.with_context(|| format!("requests per second in {row}"))?;
    ensure!(per_second > 0.0, "redis-benchmark measured nothing: {row}");
    Ok((per_second, pinned))
}

fn row(command: &str, ours: &[Sample], theirs: &[Sample]) -> Row {
    let [throughput, cpu] = ratios(ours, theirs).map(|ratios| quantile(&ratios, 0.5));
    let (rounds, command) = (ours.len(), command.to_uppercase());
    Row { command, ours: median(ours), theirs: median(theirs), throughput, cpu, rounds }
}

/// What ours is to theirs, round by round: throughput, processor time per request.
fn ratios(ours: &[Sample], theirs: &[Sample]) -> [Vec<f64>; 2] {
    let each = |of: fn(&Sample) -> f64| ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs)).collect();
    [each(|sample| sample.per_second), each(|sample| sample.cpu_us)]
}

fn is_steady(ours: &[Sample], theirs: &[Sample]) -> bool {
    let width = |ratios: &Vec<f64>| (quantile(ratios, 0.75) - quantile(ratios, 0.25)) / quantile(ratios, 0.5);
    ratios(ours, theirs).iter().all(|ratios| width(ratios) <= STEADY)
}

/// The value below which so large a part of the values lies.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

fn median(samples: &[Sample]) -> Sample {
    let middle = |of: fn(&Sample) -> f64| quantile(&samples.iter().map(of).collect::<Vec<_>>(), 0.5);
    let fsyncs: Vec<f64> = samples.iter().filter_map(|s| s.fsyncs_per_request).collect();
    Sample {
        per_second: middle(|s| s.per_second),
        cpu_us: middle(|s| s.cpu_us),
        fsyncs_per_request: if fsyncs.is_empty() { None } else { Some(quantile(&fsyncs, 0.5)) },
    }
}

fn page(settings: &[Setting], memory: &[memory::Row], rounds: usize) -> String {
    let mut out = String::from("# Benchmarks\n\nWritten by `cargo xtask bench peers`; do not edit.\n\n");
    let _ = writeln!(out, "{}\n", machine::describe());
    let _ = writeln!(
        out,
        "Both servers run alternately on this machine, {rounds} rounds or, where the ratios of the rounds vary by more than {:.0} % \
         in their middle half, up to {}; a figure is the median. CPU is user and system time of all threads of the server, from \
         its own accounting, per request. A ratio is ours to Redis', the median of those of each round: throughput above 1 and \
         CPU below 1 are better. Why a goal is missed where it is: see [performance](performance.md).\n",
        STEADY * 100.0,
        rounds * ROUNDS_MOST
    );
    for setting in settings {
        let _ = writeln!(out, "## {}\n\n`{}` (the command and its count vary)\n", setting.title, setting.line);
        out.push_str("| command | ours/s | Redis/s | ratio | ours µs CPU | Redis µs CPU | ratio | ours fsyncs per request | rounds |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for Row { command, ours, theirs, throughput, cpu, rounds } in &setting.rows {
            let fsyncs = ours.fsyncs_per_request.map_or_else(|| "–".to_owned(), |f| format!("{f:.4}"));
            let _ = writeln!(
                out,
                "| {command} | {:.0} | {:.0} | {throughput:.2} | {:.2} | {:.2} | {cpu:.2} | {fsyncs} | {rounds} |",
                ours.per_second, theirs.per_second, ours.cpu_us, theirs.cpu_us,
            );
        }
        out.push('\n');
        out.push_str(&goals(setting));
    }
    if !memory.is_empty() {
        out.push_str("## Memory\n\n| data | ours used | Redis used | ratio | ours RSS | Redis RSS | ratio |\n|---|--:|--:|--:|--:|--:|--:|\n");
        memory.iter().for_each(|row| out.push_str(&row.line()));
    }
    out
}

/// The goal of a setting, and which rows miss it, by how much.
fn goals(setting: &Setting) -> String {
    let Some((least, most)) = setting.goal else { return String::new() };
    let cpu_words = most.map_or(String::new(), |cpu| format!(", CPU per request ≤ {cpu}"));
    let mut missed = Vec::new();
    for Row { command, throughput, cpu, .. } in &setting.rows {
        if *throughput < least {
            missed.push(format!("{command} throughput {throughput:.2}"));
        }
        if most.is_some_and(|most| *cpu > most) {
            missed.push(format!("{command} CPU {cpu:.2}"));
        }
    }
    let missed = if missed.is_empty() { "all reached".to_owned() } else { format!("missed: {}", missed.join(", ")) };
    format!("Goal: throughput ≥ {least}{cpu_words}; {missed}.\n\n")
}

#[cfg(test)]
mod tests {
    use super::{Sample, is_steady, median, row};

    fn sample(per_second: f64) -> Sample {
        Sample { per_second, cpu_us: 1.0 / per_second, fsyncs_per_request: None }
    }

    #[test]
    fn the_median_ignores_one_bad_run() {
        let m = median(&[sample(10.0), sample(11.0), sample(1.0), sample(12.0), sample(1000.0)]);
        assert_eq!((m.per_second, m.fsyncs_per_request), (11.0, None));
    }

    #[test]
    fn servers_are_compared_round_by_round() {
        // The machine was half as fast in the last rounds.
        let ours = [20.0, 21.0, 22.0, 10.0, 11.0].map(sample);
        let theirs = [10.0, 10.0, 11.0, 5.0, 5.0].map(sample);
        assert!(is_steady(&ours, &theirs));
        let row = row("get", &ours, &theirs);
        assert_eq!((row.throughput, row.cpu, row.rounds), (2.0, 0.5, 5));
        let disturbed = [20.0, 10.0, 22.0, 5.0, 5.0].map(sample);
        assert!(!is_steady(&disturbed, &theirs));
    }
}
