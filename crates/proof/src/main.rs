//! `cargo run -p proof -- …`: the harnesses on the command line. `cargo xtask` is the door for everyday use.
#![allow(clippy::print_stdout, reason = "this is a command-line tool")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use proof::server::{Fsync, Program, Server};
use proof::{bench, cluster, crash, crowd, diff, fuzz, golden, measure, selftest, torn};

#[derive(Parser)]
#[command(about = "Proofs from outside, against a running server")]
struct Cli {
    /// The server under test, as a command line; `redis-server …` gets Redis' flags.
    #[arg(long, global = true, env = "SUT", default_value = "target/debug/anabranch serve")]
    sut: String,
    /// The oracle.
    #[arg(long, global = true, env = "ORACLE", default_value = "redis-server")]
    oracle: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The same random commands to both servers.
    Diff {
        /// How many.
        #[arg(long, default_value_t = 300_000)]
        commands: usize,
        /// Where the stream starts.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Stop after so many different mismatches.
        #[arg(long, default_value_t = 1)]
        failures: usize,
        /// Only commands whose name contains this.
        #[arg(long)]
        only: Option<String>,
        /// Do not look for a smaller reproduction.
        #[arg(long)]
        raw: bool,
    },
    /// kill -9 in a loop.
    Crash {
        /// How many kills.
        #[arg(long, default_value_t = 20)]
        cycles: usize,
        /// Where the random choices start.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The policy under test.
        #[arg(long, value_enum, default_value_t = Fsync::Always)]
        appendfsync: Fsync,
        /// Plant a bug: cut so many bytes off the log after each kill.
        #[arg(long)]
        truncate: Option<u64>,
    },
    /// Crash states of the server's disk: what an fsync had not covered is lost, torn or kept.
    Torn {
        /// How many.
        #[arg(long, default_value_t = 300)]
        states: usize,
        /// Where the random choices start.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The policy under test; both in turn if none is named.
        #[arg(long, value_enum)]
        appendfsync: Option<Fsync>,
        /// How names of files survive that were not synced: a prefix of each directory's, or each for itself.
        #[arg(long, value_enum, default_value_t = torn::Order::Ordered)]
        names: torn::Order,
        /// Stop after so many states that failed.
        #[arg(long, default_value_t = 1)]
        failures: usize,
        /// Only look again at a state that failed and was kept in this directory.
        #[arg(long)]
        again: Option<PathBuf>,
    },
    /// The golden transcripts.
    Golden {
        /// Their folder.
        #[arg(long, default_value = "tests/golden")]
        folder: PathBuf,
        /// Only files whose name contains this.
        #[arg(long)]
        only: Option<String>,
    },
    /// Thousands of connections, some of them hostile.
    Crowd {
        /// Connections that only wait.
        #[arg(long, default_value_t = 10_000)]
        idle: usize,
        /// Connections that work.
        #[arg(long, default_value_t = 1_000)]
        active: usize,
        /// Commands of each.
        #[arg(long, default_value_t = 40)]
        commands: usize,
    },
    /// Mutated bytes into every decoder.
    Fuzz {
        /// How long, for each target.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Where the random stream starts.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only targets whose name contains this.
        #[arg(long)]
        only: Option<String>,
    },
    /// Nodes of a causal group, in network namespaces, with faults all the time.
    Cluster(cluster::Options),
    /// Show that the harnesses catch planted bugs: on the oracle, and for `torn` on the server under test.
    Selftest,
    /// Start the server under test, run a program with its port in $PORT, stop it.
    With {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, required = true)]
        program: Vec<String>,
    },
    /// Side by side with the oracle.
    Bench(bench::Options),
    /// Longer runs beside the oracle.
    #[command(flatten)]
    Measure(measure::What),
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
    let cli = Cli::parse();
    let (sut, oracle) = (Program::parse(&cli.sut)?, Program::parse(&cli.oracle)?);
    match cli.what {
        What::Diff { commands, seed, failures, only, raw } => {
            diff::run(&sut, &oracle, &diff::Options { commands, seed, failures, only, minimise: !raw })
        }
        What::Crash { cycles, seed, appendfsync, truncate } => {
            let options =
                crash::Options { cycles, seed, fsync: appendfsync, sabotage: truncate.map(crash::Sabotage::Truncate) };
            crash::run(&sut, &options)
        }
        What::Torn { again: Some(dir), .. } => torn::again(&sut, &dir),
        What::Torn { states, seed, appendfsync, names, failures, again: None } => {
            let options = torn::Options { states, seed, fsync: appendfsync, order: names, failures, sabotage: None };
            torn::run(&sut, &options)
        }
        What::Golden { folder, only } => {
            let dir = tempfile::tempdir()?;
            let server = Server::start(&sut, dir.path(), Some(Fsync::No))?;
            golden::run(&folder, server.port(), only.as_deref())
        }
        What::Crowd { idle, active, commands } => crowd::run(&sut, &crowd::Options { idle, active, commands }),
        What::Fuzz { seconds, seed, only } => fuzz::run(&sut, &fuzz::Options { seconds, seed, only }),
        What::Cluster(options) => cluster::run(&sut, &options),
        What::Selftest => selftest::run(&oracle, &sut),
        What::With { program } => with_server(&sut, &program),
        What::Bench(options) => bench::run(&sut, &oracle, &options),
        What::Measure(what) => measure::run(&sut, &oracle, &what),
    }
}

fn with_server(sut: &Program, program: &[String]) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(sut, dir.path(), Some(Fsync::Everysec))?;
    let status =
        std::process::Command::new(&program[0]).args(&program[1..]).env("PORT", server.port().to_string()).status()?;
    Ok(status.success())
}
