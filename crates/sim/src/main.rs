//! `sim --seeds N [--seed S]`: so many clusters; what fails is told with the line that runs it again.
#![allow(clippy::print_stdout, reason = "a program that tells what it found")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sim::Plan;

#[derive(Parser)]
#[command(about = "Clusters of replicas, each from one seed")]
struct Cli {
    /// How many.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A bug that is put in: its number in the list of them.
    #[arg(long)]
    fault: Option<usize>,
    /// Hardly anything but elections and crashes of voters.
    #[arg(long)]
    storm: bool,
    /// How many failures to tell before giving up.
    #[arg(long, default_value_t = 5)]
    failures: usize,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let fault = cli.fault.and_then(|n| sim::Fault::ALL.get(n).map(|(fault, _)| *fault));
    let (mut failed, mut batches, mut slowest) = (0, 0, (0, 0));
    for seed in cli.seed..cli.seed + cli.seeds {
        let mut plan = Plan::of(seed, fault);
        if cli.storm {
            plan = plan.storm();
        }
        match sim::run(&plan) {
            Ok(report) => {
                batches += report.batches;
                slowest = slowest.max((report.settled_ms, seed));
            }
            Err(violation) => {
                println!("FAILED {}: {}\n  {:?}", violation.check, violation.what, plan);
                println!("  cargo xtask sim --seeds 1 --seed {seed}");
                failed += 1;
                if failed >= cli.failures {
                    break;
                }
            }
        }
    }
    let (settled_ms, seed) = slowest;
    println!(
        "sim: {} clusters, {batches} batches, {failed} failed, {:.1} s; the slowest was equal and stable after {settled_ms} ms (seed {seed})",
        cli.seeds,
        started.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
