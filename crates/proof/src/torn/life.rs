//! One life of a server: started on a directory under the recorder, given load, stopped or killed; then its history.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::rng::Rng;
use crate::server::{Fsync, Program, Server};

use super::follow::follow;
use super::history::{Change, History};
use super::load::{Plan, Worker};
use super::model::{self, Dbs};
use super::promise::{Course, courses};
use super::strace;

/// Acts of each connection in a life.
const ACTS: usize = 220;
/// How long the load of a life lasts under `everysec`, so that some of its syncs fall into it.
const EVERYSEC_LIFE: Duration = Duration::from_millis(2_600);
/// What was to be there briefly has expired by then.
const EXPIRED: Duration = Duration::from_secs(2);
/// The recorder has written its last line by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of a life when it is over.
pub struct Life {
    /// What happened to its directory.
    pub history: History,
    /// What each connection did, and when it was answered.
    pub courses: Vec<Course>,
    /// The connections.
    pub workers: Vec<Worker>,
    /// When writes were made durable.
    pub fsync: Fsync,
    /// The recorder's file.
    pub trace: PathBuf,
    /// Lines at which something changed, and those around changes of names and syncs.
    pub moments: (Vec<usize>, Vec<usize>),
}

/// Records a life on `dir`, where the connections' databases are as `bases` says. `trace` is the recorder's file.
pub fn record(sut: &Program, dir: &Path, bases: Vec<Dbs>, fsync: Fsync, trace: PathBuf, rng: &mut Rng) -> Result<Life> {
    let before = History::of(dir)?;
    let line = strace::command(&trace);
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let sut = sut.with(&["--io-threads", *rng.pick(&["1", "2", "3"])]);
    let server = Server::start(&sut.under(&words), dir, Some(fsync)).context("start under the recorder")?;
    let pid = server.pid();
    let mut workers: Vec<Worker> = bases.into_iter().enumerate().map(|(i, base)| Worker::new(i, base)).collect();
    expect(&server, workers.iter().map(|worker| &worker.base), "after the start")?;
    let pause = if fsync == Fsync::Everysec { EVERYSEC_LIFE / (ACTS as u32 / 6) } else { Duration::ZERO };
    let (plan, clock) = (Plan { acts: ACTS, pause }, AtomicU64::new(1));
    std::thread::scope(|scope| -> Result<()> {
        let (port, clock) = (server.port(), &clock);
        let running: Vec<_> = workers
            .iter_mut()
            .map(|worker| (worker, rng.bits()))
            .map(|(worker, seed)| scope.spawn(move || worker.drive(port, seed, plan, clock)))
            .collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a connection panicked"))?)
    })?;
    expect(&server, workers.iter().map(|worker| &worker.state), "after the load")?;
    // A clean stop has file operations of its own.
    if rng.one_in(3) {
        server.stop()?
    } else {
        server.kill()?
    }
    let text = finished(&trace, pid)?;
    let cwd = std::env::current_dir()?;
    let followed = strace::parse(&text).and_then(|calls| follow(calls, before, dir, &cwd));
    let (history, sent) = match followed {
        Ok(followed) => followed,
        Err(error) => {
            let kept = tempfile::Builder::new().prefix("proof-torn-").disable_cleanup(true).tempdir()?;
            std::fs::copy(&trace, kept.path().join("trace"))?;
            return Err(error.context(format!("the trace is kept in {}", kept.path().display())));
        }
    };
    let courses = courses(&workers, &sent)?;
    let moments = moments(&history);
    ensure!(!moments.0.is_empty(), "the recorder saw no change of a file");
    Ok(Life { history, courses, workers, fsync, trace, moments })
}

/// The server has what the model says while it runs: what differs here is no matter of crashes.
fn expect<'a>(server: &Server, due: impl Iterator<Item = &'a Dbs>, when: &str) -> Result<()> {
    let due: Vec<&Dbs> = due.collect();
    let deadline = Instant::now() + EXPIRED;
    loop {
        let found = model::read(&mut server.open()?, due.len())?;
        let differs = |(_, (due, found)): &(usize, (&&Dbs, &Dbs))| due.digest() != found.digest();
        let Some((i, (due, found))) = due.iter().zip(&found).enumerate().find(differs) else { return Ok(()) };
        if Instant::now() > deadline {
            let differences = due.differences(found);
            let first: Vec<&String> = differences.iter().take(3).collect();
            bail!(
                "{when}, with no crash, connection {i} has {} keys other than the model: {first:?}",
                differences.len()
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The trace when its last line, which says that the process `pid` has ended, is written.
fn finished(trace: &Path, pid: u32) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let is_last = |line: &str| {
        line.split_once(' ')
            .is_some_and(|(thread, rest)| thread == pid.to_string() && rest.trim_start().starts_with("+++"))
    };
    loop {
        let text = std::fs::read_to_string(trace).context("read the trace")?;
        if text.ends_with('\n') && text.lines().next_back().is_some_and(is_last) {
            return Ok(text);
        }
        ensure!(Instant::now() < deadline, "the recorder did not come to its end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All lines at which a change began or ended, and those of names and syncs once more: they are few, and what matters is near.
fn moments(history: &History) -> (Vec<usize>, Vec<usize>) {
    let ends = |event: &super::history::Event| [Some(event.begin), (event.end != strace::NEVER).then_some(event.end)];
    let all = history.events.iter().flat_map(ends).flatten().collect();
    let rare = |event: &&super::history::Event| matches!(event.change, Change::Names(_) | Change::Sync(_));
    (all, history.events.iter().filter(rare).flat_map(ends).flatten().collect())
}
