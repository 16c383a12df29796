//! One life of a server: started on a directory under the recorder, given load, stopped or killed; then its history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::rng::Rng;
use crate::server::{Fsync, Program, Server};

use super::build::build;
use super::fate::{Choice, Kind};
use super::follow::{Sent, follow};
use super::history::{Change, History};
use super::load::{Plan, Worker};
use super::model::{self, Dbs};
use super::moment::{Moment, Order};
use super::promise::{Course, courses};
use super::strace;
use super::tree::copy_tree;

/// Acts of each connection in a life.
const ACTS: usize = 220;
/// How long the load of a life lasts under `everysec`, so that some of its syncs fall into it.
const EVERYSEC_LIFE: Duration = Duration::from_millis(2_600);
/// What was to be there briefly has expired by then.
const EXPIRED: Duration = Duration::from_secs(2);
/// Longer than what is there briefly.
const BRIEFLY: Duration = Duration::from_millis(30);
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
    /// The recorder's files, one for each run of the server.
    pub traces: Vec<PathBuf>,
    /// Lines at which something changed, and those around changes of names and syncs.
    pub moments: (Vec<usize>, Vec<usize>),
}

/// Records a life on `dir`, where the connections' databases are as `bases` says. The recorder's files are made in `root`.
///
/// In half of the lives the server is killed and started again: what the first process had written and not synced is there, but a
/// crash may still take it, and only the second process can know or not.
pub fn record(sut: &Program, dir: &Path, bases: Vec<Dbs>, fsync: Fsync, root: &Path, rng: &mut Rng) -> Result<Life> {
    let workers = bases.into_iter().enumerate().map(|(i, base)| Worker::new(i, base)).collect();
    let history = History::of(dir)?;
    let mut recorder = Recorder {
        sut,
        dir,
        fsync,
        history,
        workers,
        lines: 0,
        clock: AtomicU64::new(1),
        sent: Vec::new(),
        traces: Vec::new(),
    };
    let runs = rng.between(1, 2);
    for run in 0..runs {
        let trace = root.join(format!("trace-{run}"));
        if !recorder.run(run, run + 1 == runs, trace, rng)? {
            break;
        }
    }
    let Recorder { history, workers, sent, traces, .. } = recorder;
    let courses = courses(&workers, &sent)?;
    let moments = moments(&history);
    ensure!(!moments.0.is_empty(), "the recorder saw no change of a file");
    Ok(Life { history, courses, workers, fsync, traces, moments })
}

/// A life that is being recorded.
struct Recorder<'a> {
    sut: &'a Program,
    dir: &'a Path,
    fsync: Fsync,
    history: History,
    workers: Vec<Worker>,
    /// Lines of all traces so far.
    lines: usize,
    clock: AtomicU64,
    sent: Vec<Vec<Sent>>,
    traces: Vec<PathBuf>,
}

impl Recorder<'_> {
    /// Records one run of the server. Whether another may follow: all that happened to the files is known.
    fn run(&mut self, run: usize, last: bool, trace: PathBuf, rng: &mut Rng) -> Result<bool> {
        let line = strace::command(&trace);
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let sut = self.sut.with(&["--io-threads", *rng.pick(&["1", "2", "3"])]);
        let server =
            Server::start(&sut.under(&words), self.dir, Some(self.fsync)).context("start under the recorder")?;
        let pid = server.pid();
        expect(&server, self.workers.iter().map(|worker| &worker.state), "after the start")?;
        self.load(run, server, last, rng)?;
        let text = finished(&trace, pid)?;
        self.traces.push(trace);
        let mut calls = strace::parse(&text, self.lines)?;
        self.lines += text.lines().count();
        let mut cut_short = usize::MAX;
        for call in calls.iter_mut().filter(|call| call.end == strace::NEVER) {
            cut_short = cut_short.min(call.begin);
            // A sync that was cut short has synced nothing; anything else was over at the latest when the process was.
            if !last && !call.name.ends_with("sync") {
                call.end = self.lines;
            }
        }
        let before = std::mem::take(&mut self.history);
        let (history, sent) = follow(calls, before, self.dir, &std::env::current_dir()?)?;
        self.history = history;
        self.sent.push(sent);
        match differs(&self.history, self.dir)? {
            // Whether a call that was cut short has done its work, nobody knows; but which acts were kept is known from what it did.
            Some(_) if cut_short < usize::MAX => {
                self.history.events.retain(|event| event.begin < cut_short);
                Ok(false)
            }
            Some(what) => bail!("what was recorded is not what happened: {what} is different"),
            None => Ok(true),
        }
    }

    /// Lets the connections work. In the last run to the end of their plan, and then the server stops; in another it is killed in
    /// the middle.
    fn load(&mut self, run: usize, server: Server, last: bool, rng: &mut Rng) -> Result<()> {
        let everysec = self.fsync == Fsync::Everysec;
        let pause = if everysec { EVERYSEC_LIFE / (ACTS as u32 / 6) } else { Duration::ZERO };
        let (plan, clock, port) = (Plan { run, acts: ACTS, pause }, &self.clock, server.port());
        let killed_after = Duration::from_millis(rng.between(5, if everysec { 2_400 } else { 500 }) as u64);
        let workers: Vec<_> = self.workers.iter_mut().map(|worker| (worker, rng.bits())).collect();
        let server = std::thread::scope(|scope| -> Result<Option<Server>> {
            let drive = |(worker, seed): (&mut Worker, u64)| worker.drive(port, seed, plan, clock);
            let running: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || drive(worker))).collect();
            let left = if last {
                Some(server)
            } else {
                std::thread::sleep(killed_after);
                server.kill()?;
                None
            };
            for thread in running {
                let ended = thread.join().map_err(|_| anyhow::anyhow!("a connection panicked"))?;
                // Of a server that was killed nobody expects another reply.
                if last {
                    ended?
                }
            }
            Ok(left)
        })?;
        if let Some(refused) = self.workers.iter().find_map(|worker| worker.refused.as_ref()) {
            bail!("{refused}");
        }
        let Some(server) = server else { return self.adopt() };
        expect(&server, self.workers.iter().map(|worker| &worker.state), "after the load")?;
        // A clean stop has file operations of its own.
        if rng.one_in(3) { server.stop() } else { server.kill() }
    }

    /// Finds out, on a copy, which of the acts without an answer the killed server has kept.
    fn adopt(&mut self) -> Result<()> {
        let copy = tempfile::tempdir_in(self.dir.parent().context("a directory above")?)?;
        copy_tree(self.dir, copy.path())?;
        let server = Server::start(self.sut, copy.path(), Some(self.fsync)).context("start after a kill")?;
        // What is there briefly must have expired.
        std::thread::sleep(BRIEFLY);
        let there = model::read(&mut server.open()?, self.workers.len())?;
        self.workers.iter_mut().zip(&there).try_for_each(|(worker, there)| worker.adopt(there))
    }
}

/// The first file of `dir` that is not as the history says, if every change of it has been made.
fn differs(history: &History, dir: &Path) -> Result<Option<String>> {
    let moment = Moment::of(history, strace::NEVER - 1, Order::Ordered);
    let all = moment.names.iter().copied().collect();
    let copy = tempfile::tempdir_in(dir.parent().context("a directory above")?)?;
    let kept = Choice { at: moment.at, kind: Kind::Kept, names: all, files: BTreeMap::new() };
    build(&moment, &kept, copy.path())?;
    let (copied, there) = (History::of(copy.path())?, History::of(dir)?);
    let (due, mut is) = (copied.tree(), there.tree());
    // What the server prints is the harness' own file.
    is.remove("server.out");
    let differs = |path: &&String| due.get(*path) != is.get(*path);
    Ok(due.keys().chain(is.keys()).find(differs).cloned())
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
