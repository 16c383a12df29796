//! `sim --seeds N [--seed S]`: so many clusters; what fails is told with the line that runs it again.
#![allow(clippy::print_stdout, reason = "a program that tells what it found")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// What the seeds have shown until now.
#[derive(Default)]
struct Found {
    clusters: u64,
    batches: usize,
    failed: usize,
    slowest: (i64, u64),
    committed: usize,
    aborted: usize,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let (next, found) = (AtomicU64::new(cli.seed), Mutex::new(Found::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(|| work(&cli, &next, &found))));
    });
    let Found { clusters, batches, failed, slowest: (settled_ms, seed), committed, aborted } =
        found.into_inner().unwrap_or_default();
    println!(
        "sim: {clusters} clusters, {batches} batches, {committed} transactions committed and {aborted} aborted, {failed} failed, {:.1} s; the slowest was equal and stable after {settled_ms} ms (seed {seed})",
        started.elapsed().as_secs_f64()
    );
    if failed == 0 && clusters == cli.seeds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Takes one seed after the other. A seed is the same run whatever runs beside it.
fn work(cli: &Cli, next: &AtomicU64, found: &Mutex<Found>) {
    let fault = cli.fault.and_then(|n| sim::Fault::ALL.get(n).map(|(fault, _)| *fault));
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let has_enough = found.lock().map_or(true, |found| found.failed >= cli.failures);
        if seed >= cli.seed.saturating_add(cli.seeds) || has_enough {
            return;
        }
        let mut plan = Plan::of(seed, fault);
        if cli.storm {
            plan = plan.storm();
        }
        let result = sim::run(&plan);
        let Ok(mut found) = found.lock() else { return };
        found.clusters += 1;
        match result {
            Ok(report) => {
                found.batches += report.batches;
                found.committed += report.transactions.committed;
                found.aborted += report.transactions.aborted;
                found.slowest = found.slowest.max((report.settled_ms, seed));
            }
            Err(violation) => {
                found.failed += 1;
                println!("FAILED {}: {}\n  {:?}", violation.check, violation.what, plan);
                println!("  cargo xtask sim --seeds 1 --seed {seed}{}", if cli.storm { " --storm" } else { "" });
            }
        }
    }
}
