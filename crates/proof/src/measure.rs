//! Figures beside redis-server over minutes, and with more data than a quick benchmark has. Both servers run under the same
//! conditions, one after the other; what they answer is checked throughout, and a wrong answer is a failure. A time never is.
//!
//! ```text
//!   common ─── rounds, cores, the peer         sustained ── writes that go on, with checkpoints
//!   subject ── a server that is measured       start ────── until the first right answers, after a stop and a kill
//!   table ──── medians, worst rounds, ratios   beyond ───── more data than memory, against a model
//!   keys ───── keys and values by number       pause ────── latencies beside work in the background
//!   info, usage, latency, poll                 reclaim ──── disk that is given back
//!   members ── nodes with proxies between them large ────── values of millions of elements
//!                                              group ────── a node of a group beside one that is alone
//!                                              catchup ──── a node that was away
//!                                              contended ── a key that everybody wants
//!                                              merge ────── nodes that were apart, and wrote the same keys
//! ```
//!
//! Everything is bounded in count and time, and lives in a temporary directory.

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::proxy::Bug;
use crate::server::Program;
use subject::Subject;
use table::Figure;

pub mod beyond;
pub mod catchup;
pub mod common;
pub mod contended;
pub mod group;
mod info;
mod keys;
pub mod large;
mod latency;
mod members;
pub mod merge;
pub mod pause;
mod poll;
pub mod reclaim;
pub mod start;
pub mod subject;
pub mod sustained;
mod table;
mod usage;

/// What can be measured.
#[derive(clap::Subcommand, Debug)]
pub enum What {
    /// SET over random keys for a while: throughput, its worst 5 s, processor time, memory, disk, checkpoints.
    Sustained(sustained::Options),
    /// From the start of a process to right answers, after a clean stop and after kill -9 under load.
    Start(start::Options),
    /// More data than memory: every reply against a model, memory bounded, latencies of hits and misses.
    BeyondRam(beyond::Options),
    /// Latencies of SET and GET at a steady rate, at rest and beside a checkpoint, a compaction and a backup.
    Pause(pause::Options),
    /// Disk that is given back after DEL, FLUSHALL and expiry; a queue.
    Reclaim(reclaim::Options),
    /// A node of a group beside one that is alone: latency of SET, and what another node costs.
    ClusterLatency(group::Options),
    /// A node that comes back after it has missed many changes.
    ClusterCatchup(catchup::Options),
    /// Clients of all nodes add to one key in transactions: how many succeed, whose, and what the others are told.
    ClusterContended(contended::Options),
    /// Nodes that were apart and wrote the same keys: the time and the processor time until they are equal.
    ClusterMerge(merge::Options),
    /// One sorted set, hash, set and list of many elements, after a restart.
    Large(large::Options),
}

/// Shows that each notices a wrong answer of `program`, and that there is none without one. Sizes are small.
pub fn selftest(program: &Program) -> Result<()> {
    let honest = Subject::new(program.clone());
    for (words, bug, what) in PLANTED {
        let what_to_run = small(words)?;
        once(&honest, &what_to_run).with_context(|| format!("{}, with an honest server", words[0]))?;
        let Err(failure) = once(&honest.lying(*bug), &what_to_run) else {
            bail!("{} did not notice {what}", words[0]);
        };
        println!("selftest: {} caught {what}: {:.180}", words[0], format!("{failure:#}"));
    }
    Ok(())
}

/// Small sizes for each, the bug that is planted on the wire, and its name.
const PLANTED: &[(&[&str], Bug, &str)] = &[
    (&["sustained", "--keys", "100", "--seconds", "1"], Bug::WrongBulk(50), "a value that is not as it was sent"),
    (&["start", "--keys", "1000", "--seconds", "1"], Bug::WrongBulk(500), "another version of a value"),
    (&["beyond-ram", "--bytes", "1mb", "--seconds", "1", "--quiet-gets", "500"], Bug::WrongBulk(5000), "a wrong value"),
    (
        &["beyond-ram", "--bytes", "1mb", "--seconds", "1", "--quiet-gets", "500"],
        Bug::WrongInteger(300),
        "a number off by one",
    ),
    (&["pause", "--keys", "1000", "--rate", "2000", "--seconds", "1"], Bug::WrongBulk(100), "a wrong value"),
    (&["reclaim", "--keys", "1000", "--items", "10000"], Bug::WrongBulk(1000), "a wrong item"),
    (&["large", "--elements", "1000", "--commands", "100"], Bug::WrongInteger(50), "a rank off by one"),
    (&["large", "--elements", "1000", "--commands", "100"], Bug::WrongBulk(500), "a wrong element of a page"),
];

#[derive(clap::Parser)]
struct Small {
    #[command(subcommand)]
    what: What,
}

fn small(words: &[&str]) -> Result<What> {
    Ok(Small::try_parse_from(std::iter::once("small").chain(words.iter().copied()))?.what)
}

fn once(subject: &Subject, what: &What) -> Result<Vec<Figure>> {
    match what {
        What::Sustained(options) => sustained::once(subject, options),
        What::Start(options) => start::once(subject, options),
        What::BeyondRam(options) => beyond::once(subject, options),
        What::Pause(options) => pause::once(subject, options),
        What::Reclaim(options) => reclaim::once(subject, options),
        What::Large(options) => large::once(subject, options),
        What::ClusterLatency(_) | What::ClusterCatchup(_) | What::ClusterContended(_) | What::ClusterMerge(_) => {
            bail!("a group of nodes is not measured beside another server")
        }
    }
}

/// Measures both, prints and says whether all answers were right.
pub fn run(sut: &Program, oracle: &Program, what: &What) -> Result<bool> {
    match what {
        What::Sustained(options) => sustained::run(sut, oracle, options),
        What::Start(options) => start::run(sut, oracle, options),
        What::BeyondRam(options) => beyond::run(sut, oracle, options),
        What::Pause(options) => pause::run(sut, oracle, options),
        What::Reclaim(options) => reclaim::run(sut, oracle, options),
        What::Large(options) => large::run(sut, oracle, options),
        What::ClusterLatency(options) => group::run(sut, options),
        What::ClusterCatchup(options) => catchup::run(sut, options),
        What::ClusterContended(options) => contended::run(sut, options),
        What::ClusterMerge(options) => merge::run(sut, options),
    }
}
