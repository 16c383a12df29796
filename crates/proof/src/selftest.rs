//! Shows that the harnesses catch what they are for: each runs with a bug planted, most against a real Redis, and must report it;
//! and without the bug, and must not.

use anyhow::{Result, ensure};

use crate::cluster;
use crate::crash::{self, Sabotage};
use crate::diff;
use crate::golden::Transcript;
use crate::measure;
use crate::proxy::{self, Bug};
use crate::server::{Fsync, Program, Server};
use crate::torn;

/// Runs all of them: against the oracle, but for the crash states of a disk, which it has no rules to survive.
pub fn run(oracle: &Program, sut: &Program) -> Result<bool> {
    differential(oracle)?;
    crashes(oracle)?;
    torn_disks(sut)?;
    transcripts(oracle)?;
    clusters(oracle)?;
    measure::selftest(oracle)?;
    println!("selftest: every planted bug was caught");
    Ok(true)
}

fn differential(oracle: &Program) -> Result<()> {
    let (dir_a, dir_b) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let oracle = oracle.with(&["--hz", "500"]);
    let (a, b) = (Server::start(&oracle, dir_a.path(), None)?, Server::start(&oracle, dir_b.path(), None)?);
    let options = diff::Options { commands: 100_000, seed: 1, failures: 1, only: None, minimise: false };
    let honest = diff::run_between(a.port(), b.port(), &options)?;
    ensure!(honest.failures.is_empty(), "two honest servers differ");
    for (bug, what) in [
        (Bug::WrongInteger(500), "an integer reply off by one"),
        (Bug::WrongValue(1), "a SET that stores another value"),
    ] {
        let lying = proxy::start(a.port(), bug)?;
        let found = diff::run_between(lying, b.port(), &options)?;
        ensure!(!found.failures.is_empty(), "the differential test did not notice {what}");
        println!("selftest: the differential test caught {what}");
    }
    Ok(())
}

fn crashes(oracle: &Program) -> Result<()> {
    let honest = crash::Options { cycles: 4, seed: 1, fsync: Fsync::Always, sabotage: None };
    let outcome = crash::cycles(oracle, &honest)?;
    ensure!(outcome.failure.is_none(), "an honest server failed the crash loop: {:?}", outcome.failure);
    for (sabotage, what) in [
        (Sabotage::Truncate(3000), "the end of the log missing after a kill under `always`"),
        (Sabotage::HalfBatch, "half of a batch undone"),
    ] {
        let outcome = crash::cycles(oracle, &crash::Options { cycles: 6, sabotage: Some(sabotage), ..honest.clone() })?;
        let Some(failure) = outcome.failure else { anyhow::bail!("the crash loop did not notice {what}") };
        println!("selftest: the crash loop caught {what}: {failure:.180}");
    }
    Ok(())
}

fn torn_disks(sut: &Program) -> Result<()> {
    let options = torn::Options {
        states: 150,
        seed: 1,
        fsync: Some(Fsync::Always),
        order: torn::Order::Ordered,
        failures: 1,
        sabotage: None,
    };
    let outcome = torn::states(sut, &options)?;
    ensure!(outcome.failures.is_empty(), "an honest disk failed: {:?}", outcome.failures);
    for (fsync, sabotage, what) in [
        (Fsync::Always, torn::Sabotage::NoFileSync, "fsyncs that make no file durable"),
        (Fsync::Everysec, torn::Sabotage::NoFileSync, "the same where only they make a promise"),
        (Fsync::Always, torn::Sabotage::NoDirectorySync, "fsyncs that make no name durable"),
        (Fsync::Always, torn::Sabotage::NoRename, "renames that do not happen though their directory is synced"),
    ] {
        let options = torn::Options { fsync: Some(fsync), sabotage: Some(sabotage), ..options.clone() };
        let outcome = torn::states(sut, &options)?;
        let Some(failure) = outcome.failures.first() else { anyhow::bail!("torn disks: nobody noticed {what}") };
        println!("selftest: the crash states caught {what}: {failure:.180}");
    }
    Ok(())
}

/// One node that is killed and stopped is right; two that do not know each other are not one group, and one that starts without its data
/// has lost it.
fn clusters(oracle: &Program) -> Result<()> {
    let honest = cluster::Options {
        nodes: 1,
        clients: 12,
        seconds: 4,
        rounds: 2,
        rate: 1_500,
        exclusive: true,
        together: true,
        faults: vec![cluster::Kind::Kill, cluster::Kind::Stop],
        seed: 1,
        sabotage: None,
    };
    let outcome = cluster::cluster(oracle, &honest)?;
    ensure!(outcome.wrong.is_empty(), "an honest node failed: {:?}", outcome.wrong);
    for (nodes, sabotage, what) in [
        (2, cluster::Sabotage::Unjoined, "two nodes that do not know each other"),
        (1, cluster::Sabotage::Amnesia, "a node that starts without its data"),
    ] {
        let options = cluster::Options { nodes, rounds: 1, sabotage: Some(sabotage), ..honest.clone() };
        let outcome = cluster::cluster(oracle, &options)?;
        let Some(wrong) = outcome.wrong.first() else { anyhow::bail!("nobody noticed {what}") };
        println!("selftest: the cluster of processes showed {what}: {wrong:.180}");
    }
    Ok(())
}

fn transcripts(oracle: &Program) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(oracle, dir.path(), None)?;
    let right = "== right\n> SET k v\n< +OK\n1> BLPOP l 0\nblocked 1\n> RPUSH l a\n< :1\n1< [\"l\", \"a\"]\n";
    let wrong = "== wrong\n> SET k v\n< +OK\n> GET k\n< \"w\"\n";
    let outcome = Transcript::parse("selftest", &format!("{right}{wrong}"))?.play(server.port())?;
    ensure!(outcome.passed == 1 && outcome.failures.len() == 1, "a transcript was misjudged: {outcome:?}");
    println!("selftest: a wrong reply in a transcript was caught");
    Ok(())
}
