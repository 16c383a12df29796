//! The repository's chores, behind one door: `cargo xtask <what>`.
#![allow(clippy::print_stdout, reason = "chores tell what they do")]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod deps;
mod docs;
mod shell;
mod test;
mod tidy;
mod tools;

use shell::Shell;

#[derive(Parser)]
#[command(about = "The repository's chores")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Set up what the tests need and run all of them.
    Test {
        /// A check that cannot run is a failure (also with CI=true).
        #[arg(long)]
        no_skips: bool,
        /// Where the random choices of the property tests start.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The property tests again and again, from another seed each time, until one fails or the time is over.
    Soak {
        /// How long at least.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// The first seed; by the clock if it is not given.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Formatting and clippy; warnings are errors.
    Lint,
    /// Forbidden dependencies and calls of the pure crates.
    Deps,
    /// Write docs/commands.md from the command table.
    Docs {
        /// Only say whether it is current.
        #[arg(long)]
        check: bool,
    },
    /// Files: their first lines, their length, the rooms of ARCHITECTURE.md.
    Tidy,
    /// The same random commands to ours and to redis-server; further flags as `proof diff` has them.
    Diff {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        commands: usize,
        /// Where the stream starts.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// kill -9 in a loop, under `always` and under `everysec`.
    Crash {
        /// Kills under each policy.
        #[arg(long, default_value_t = 200)]
        cycles: usize,
        /// Where the random choices start.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Crash states of the server's disk: what no fsync had covered is lost, torn or kept. Further flags as `proof torn` has them.
    Torn {
        /// How many, with names in order and again with names in none.
        #[arg(long, default_value_t = 10_000)]
        states: usize,
        /// Where the random choices start.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Real nodes of a causal group in network namespaces: kill -9, pauses, stops and partitions all the time. Further flags as `proof
    /// cluster` has them.
    Cluster {
        /// How long there is load.
        #[arg(long, default_value_t = 180)]
        seconds: u64,
        /// Where the random choices start.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Whole clusters of replicas, each from one seed, with faults. Further flags as `sim --help` has them.
    Sim {
        /// How many.
        #[arg(long, default_value_t = 2_000)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Mutated bytes into every decoder, and into a running server.
    Fuzz {
        /// How long, for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Benchmarks.
    Bench {
        /// `peers`: beside redis-server. `blob`: the blob store beside foyer and plain files (`--only PART`, `--megabytes N`).
        #[arg(value_parser = ["peers", "blob"])]
        which: String,
        /// Passed on: to `proof bench`, or to the blob store's program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Longer runs beside redis-server, in the release profile: writes that go on, starts, more data than memory, latencies
    /// beside checkpoints, compactions and backups, disk that is given back, large values, a node of a group. Flags as `proof NAME --help` has them.
    /// `store`: the versioned store beside the bare tree that it stands on (`[ROWS] [DIR]`).
    Measure {
        /// Which of them.
        #[arg(value_parser = ["sustained", "start", "beyond-ram", "pause", "reclaim", "large", "cluster-latency", "cluster-catchup", "cluster-contended", "store"])]
        which: String,
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Hit ratios of the eviction policies on synthetic traces, or on a recorded one: `FILE BYTES`, lines of `key bytes`.
    CacheSim {
        /// The trace, and the size of the cache in bytes.
        #[arg(num_args = 2, value_names = ["FILE", "BYTES"])]
        recorded: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            println!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let shell = Shell::at_root()?;
    match Cli::parse().what {
        What::Test { no_skips, seed } => {
            test::run(&shell, no_skips || std::env::var("CI").is_ok_and(|v| v == "true"), seed)
        }
        What::Soak { minutes, seed } => test::soak(&shell, Duration::from_secs(minutes * 60), seed),
        What::Lint => lint(&shell),
        What::Deps => deps::run(&shell),
        What::Docs { check } => docs::run(&shell, check),
        What::Tidy => tidy::run(&shell),
        What::Diff { commands, seed, rest } => {
            let (commands, seed) = (commands.to_string(), seed.to_string());
            let mut words = vec!["diff", "--commands", &commands, "--seed", &seed];
            words.extend(rest.iter().map(String::as_str));
            shell.proof(&words)
        }
        What::Crash { cycles, seed } => {
            let (cycles, seed) = (cycles.to_string(), seed.to_string());
            let always = ["crash", "--cycles", &cycles, "--seed", &seed, "--appendfsync", "always"];
            let everysec = ["crash", "--cycles", &cycles, "--seed", &seed, "--appendfsync", "everysec"];
            Ok(shell.proof(&always)? && shell.proof(&everysec)?)
        }
        What::Torn { states, seed, rest } => torn(&shell, states, seed, &rest),
        What::Cluster { seconds, seed, rest } => {
            let (seconds, seed) = (seconds.to_string(), seed.to_string());
            let mut words = vec!["cluster", "--seconds", &seconds, "--seed", &seed];
            words.extend(rest.iter().map(String::as_str));
            shell.proof(&words)
        }
        What::Sim { seeds, seed, rest } => sim(&shell, seeds, seed, &rest),
        What::Fuzz { seconds } => shell.proof(&["fuzz", "--seconds", &seconds.to_string()]),
        What::Bench { which, rest } if which == "blob" => shell.bench_blob(&rest),
        What::Bench { rest, .. } => shell.measure("bench", &rest),
        What::Measure { which, rest } if which == "store" => {
            let mut words = vec!["run", "--release", "--quiet", "-p", "mvcc", "--example", "beside_fjall", "--"];
            words.extend(rest.iter().map(String::as_str));
            shell.cargo(&words)
        }
        What::Measure { which, rest } => shell.measure(&which, &rest),
        What::CacheSim { recorded } => {
            let mut words = vec!["run", "--release", "--quiet", "-p", "blob", "--example", "cache_sim", "--"];
            words.extend(recorded.iter().map(String::as_str));
            shell.cargo(&words)
        }
    }
}

fn torn(shell: &Shell, states: usize, seed: u64, rest: &[String]) -> Result<bool> {
    if let Err(why) = tools::strace(shell) {
        anyhow::bail!("{why}");
    }
    let (states, seed) = (states.to_string(), seed.to_string());
    for names in ["ordered", "free"] {
        let mut words = vec!["torn", "--states", &states, "--seed", &seed, "--names", names];
        words.extend(rest.iter().map(String::as_str));
        if !shell.proof(&words)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn sim(shell: &Shell, seeds: u64, seed: u64, rest: &[String]) -> Result<bool> {
    let (seeds, seed) = (seeds.to_string(), seed.to_string());
    let mut words = vec!["run", "--quiet", "-p", "sim", "--", "--seeds", &seeds, "--seed", &seed];
    words.extend(rest.iter().map(String::as_str));
    shell.cargo(&words)
}

fn lint(shell: &Shell) -> Result<bool> {
    let formatted = shell.cargo(&["fmt", "--all", "--check"])?;
    let clean = shell.cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    let tidy = tidy::run(shell)?;
    println!("lint: formatting {}, clippy {}, tidy {}", word(formatted), word(clean), word(tidy));
    Ok(formatted && clean && tidy)
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "FAILED" }
}
