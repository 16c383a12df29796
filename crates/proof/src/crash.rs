//! kill -9 in a loop: load, kill at a random moment, restart, compare with a model of what was acknowledged.
//!
//! ```text
//!   worker (one connection, own keys) ── pipelined ops ──▶ server ── kill -9 ──▶ restart
//!      └─ every op and whether it was answered ──▶ model ──▶ which prefix of the ops is there?
//! ```
//!
//! Each worker's operations are in one order, so what survives must be a prefix of them: at least what was acknowledged, for
//! under every fsync policy the system has the log before the reply leaves, at most what was sent, and no batch by halves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::rng::Rng;
use crate::server::{Fsync, Program, Server};

mod load;
mod model;

use model::Worker;

/// Connections that write.
const WORKERS: usize = 4;

/// A bug planted between the kill and the restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Cut so many bytes off the newest log file.
    Truncate(u64),
    /// After the restart, undo one half of a batch.
    HalfBatch,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kills.
    pub cycles: usize,
    /// Where the random choices start.
    pub seed: u64,
    /// The policy under test.
    pub fsync: Fsync,
    /// A planted bug, after the first cycle.
    pub sabotage: Option<Sabotage>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Acknowledged operations over all cycles.
    pub acknowledged: usize,
    /// Operations that were sent but not acknowledged when the kill came, and were there afterwards.
    pub unacknowledged_kept: usize,
    /// Clean stops whose digest was compared.
    pub digests: usize,
    /// The first thing that was wrong.
    pub failure: Option<String>,
}

/// Runs the loop, prints and says whether all was well.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    let started = Instant::now();
    let outcome = cycles(sut, options)?;
    println!(
        "crash: {} cycles of {} in {:.1} s, {} operations acknowledged, {} unacknowledged ones kept, {} digests compared, seed {}: {}",
        options.cycles,
        options.fsync.word(),
        started.elapsed().as_secs_f64(),
        outcome.acknowledged,
        outcome.unacknowledged_kept,
        outcome.digests,
        options.seed,
        outcome.failure.as_deref().unwrap_or("all as promised")
    );
    Ok(outcome.failure.is_none())
}

/// The loop itself; ends at the first failure.
pub fn cycles(sut: &Program, options: &Options) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let mut rng = Rng::new(options.seed);
    let mut workers: Vec<Worker> = (0..WORKERS).map(Worker::new).collect();
    let mut outcome = Outcome::default();
    for cycle in 0..options.cycles {
        let server = Server::start(sut, dir.path(), Some(options.fsync))
            .with_context(|| format!("start of cycle {cycle} (data of the crash before it)"))?;
        if let Err(e) = verify(&server, &mut workers, cycle, options, &mut outcome) {
            outcome.failure = Some(format!("cycle {cycle}: {e:#}"));
            break;
        }
        let server = if cycle % 5 == 4 { clean_stop(server, sut, dir.path(), options, &mut outcome)? } else { server };
        let run = Duration::from_millis(rng.between(30, 400) as u64);
        load_and_kill(server, &mut workers, run, &mut rng)?;
        if cycle > 0
            && let Some(Sabotage::Truncate(bytes)) = options.sabotage
        {
            truncate_newest(dir.path(), bytes)?;
        }
    }
    if outcome.failure.is_none() {
        let server = Server::start(sut, dir.path(), Some(options.fsync)).context("the last start")?;
        if let Err(e) = verify(&server, &mut workers, options.cycles, options, &mut outcome) {
            outcome.failure = Some(format!("after the last cycle: {e:#}"));
        }
    }
    Ok(outcome)
}

fn verify(
    server: &Server,
    workers: &mut [Worker],
    cycle: usize,
    options: &Options,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut conn = server.open()?;
    if cycle > 1 && options.sabotage == Some(Sabotage::HalfBatch) {
        conn.call(&["SET", "w0:tx", "0"])?;
    }
    for worker in workers {
        let found = worker.settle(&mut conn)?;
        outcome.acknowledged += found.acknowledged;
        outcome.unacknowledged_kept += found.extra;
    }
    Ok(())
}

/// Stops politely and starts again: the digest must be the same, if the server has one.
fn clean_stop(server: Server, sut: &Program, dir: &Path, options: &Options, outcome: &mut Outcome) -> Result<Server> {
    let digest = |server: &Server| -> Result<Option<String>> {
        let reply = server.open()?.call(&["DEBUG", "DIGEST"])?;
        Ok(if reply.is_error() { None } else { Some(reply.text()) })
    };
    let before = digest(&server)?;
    server.stop()?;
    let server = Server::start(sut, dir, Some(options.fsync)).context("start after a clean stop")?;
    let after = digest(&server)?;
    if before != after {
        bail!("DEBUG DIGEST was {before:?} before a clean stop and {after:?} after it");
    }
    outcome.digests += usize::from(before.is_some());
    Ok(server)
}

fn load_and_kill(server: Server, workers: &mut [Worker], run: Duration, rng: &mut Rng) -> Result<()> {
    let port = server.port();
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for worker in workers.iter_mut() {
            let (stop, seed) = (Arc::clone(&stop), rng.bits());
            scope.spawn(move || load::drive(worker, port, seed, &stop));
        }
        std::thread::sleep(run);
        server.kill()?;
        stop.store(true, Ordering::Relaxed);
        Ok(())
    })
}

/// Cuts the file of the data folder that was written last.
fn truncate_newest(dir: &Path, bytes: u64) -> Result<()> {
    let mut files: Vec<(std::time::SystemTime, PathBuf, u64)> = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)?.flatten() {
            let meta = entry.metadata()?;
            if meta.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "server.out" && meta.len() > 0 {
                files.push((meta.modified()?, entry.path(), meta.len()));
            }
        }
    }
    let Some((_, path, len)) = files.into_iter().max() else { bail!("there is no log to cut") };
    std::fs::File::options().write(true).open(path)?.set_len(len.saturating_sub(bytes))?;
    Ok(())
}
