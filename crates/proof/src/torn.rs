//! Crash states of a real server's disk: record what it does to its files, and start it on what a crash might have left of them.
//!
//! ```text
//!   strace ─ calls ─▶ follow ─ history ─▶ moment ─ what is pending ─▶ fate ─▶ build ─ a directory ─▶ check: a server on it
//!   load ─── acts, replies ──────────────▶ promise ── what must be there, what may be ────────────────┘
//! ```
//! A server is started on a directory under strace and given load by connections with databases of their own; every change of a
//! file is recorded with its bytes, and so is every reply as it leaves. A crash is a line of that trace and a fate for everything
//! that no fsync had covered by then (see [`moment`] for the model of the file system). On each such state the server
//!
//! 1. starts: a torn disk is no damage;
//! 2. has, under `always`, whatever it had answered, and under `everysec` what it had answered before anything that was not synced;
//! 3. has a state that existed: of each connection's acts a prefix, and together no act without those answered before it was sent;
//! 4. takes writes, and has them and all the rest after a stop and after a kill.
//!
//! One of the states is what the next life of the server begins with, so that recoveries are recorded too, and crash in turn.
//! Nothing here knows the name of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::rng::Rng;
use crate::server::{Fsync, Program};

mod act;
mod build;
mod check;
mod choose;
mod fate;
mod follow;
mod history;
mod keep;
mod life;
mod load;
mod model;
mod moment;
mod promise;
mod strace;
mod tree;

use check::{Fault, Look, look};
use fate::{Choice, Kind};
use history::{Change, History};
use life::{Life, record};
use model::Dbs;
use moment::Moment;
pub use moment::Order;
use promise::Promise;
use tree::copy_tree;

/// Connections that write.
const WORKERS: usize = 3;
/// States of each life.
const STATES_OF_A_LIFE: usize = 150;
/// Servers that run side by side.
const AT_ONCE: usize = 2;
/// One state in so many must also take writes and be started again.
const GOES_ON: usize = 8;
/// One life in so many begins with an empty directory.
const BEGINS_ANEW: usize = 4;
/// Segments fill and the log is rewritten within a life, and many values stand apart from their rows.
const FLAGS: &[&str] = &["--log-segment-bytes", "1mb", "--checkpoint-log-size", "1mb", "--large-value-size", "2kb"];

/// A bug planted in the recorded history, behind the back of whoever says what was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// No fsync has ever made a file's bytes durable.
    NoFileSync,
    /// No fsync has ever made a directory's names durable.
    NoDirectorySync,
    /// No rename has ever happened.
    NoRename,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Crash states.
    pub states: usize,
    /// Where the random choices start.
    pub seed: u64,
    /// The policy under test; none: both in turn.
    pub fsync: Option<Fsync>,
    /// How names survive that were not synced.
    pub order: Order,
    /// Stop after so many states that failed.
    pub failures: usize,
    /// A planted bug.
    pub sabotage: Option<Sabotage>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Outcome {
    /// States that were looked at, by kind.
    pub states: BTreeMap<Kind, usize>,
    /// Recorded lives.
    pub lives: usize,
    /// Recorded changes of files.
    pub events: usize,
    /// Acts that had to be there, over all states, and acts that were there.
    pub acts: (usize, usize),
    /// States from which the server went on.
    pub went_on: usize,
    /// What was wrong, and how to see it again.
    pub failures: Vec<String>,
}

/// Runs, prints and says whether all was well.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    let started = Instant::now();
    let outcome = states(sut, options)?;
    let seconds = started.elapsed().as_secs_f64();
    let total: usize = outcome.states.values().sum();
    let kinds: Vec<String> = outcome.states.iter().map(|(kind, count)| format!("{count} {}", kind.word())).collect();
    println!(
        "torn: {total} crash states ({}) of {} recorded lives with {} file operations in {seconds:.1} s, {:.1} states/s; \
         {} acts had to be there and {} were; {} went on; seed {}: {}",
        kinds.join(", "),
        outcome.lives,
        outcome.events,
        total as f64 / seconds,
        outcome.acts.0,
        outcome.acts.1,
        outcome.went_on,
        options.seed,
        if outcome.failures.is_empty() {
            "all as promised".to_owned()
        } else {
            format!("{} FAILED", outcome.failures.len())
        }
    );
    outcome.failures.iter().for_each(|failure| println!("torn: {failure}"));
    Ok(outcome.failures.is_empty())
}

/// Looks at a state again that was kept in `dir`.
pub fn again(sut: &Program, dir: &Path) -> Result<bool> {
    let copy = tempfile::tempdir()?;
    copy_tree(&dir.join("state"), copy.path())?;
    let promise = Promise::load(&dir.join("promise"))?;
    let always = std::fs::read_to_string(dir.join("fsync"))? == Fsync::Always.word();
    let fsync = if always { Fsync::Always } else { Fsync::Everysec };
    let sut = sut.with(FLAGS);
    let seen = look(Look { sut: &sut, fsync, sides: WORKERS, goes_on: true }, copy.path(), &promise);
    match &seen {
        Ok(found) => println!("torn: as promised, with {:?} acts", found.kept),
        Err(Fault::Failed(error)) => println!("torn: {error:#}"),
        Err(Fault::Broken(broken, _)) => println!("torn: {broken:?}"),
    }
    println!("torn: {} tells what had happened", dir.join("story").display());
    Ok(seen.is_ok())
}

/// Where states are made: in memory if there is a place for that, for a sync costs nothing there.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.context("make a directory for the states")
}

/// Life after life, until there were enough states or failures.
pub fn states(sut: &Program, options: &Options) -> Result<Outcome> {
    ensure!(strace::is_there(), "strace is not installed, and it is what records the server");
    let sut = sut.with(FLAGS);
    let scratch = scratch()?;
    let root = scratch.path().canonicalize()?;
    let mut rng = Rng::new(options.seed);
    let mut outcome = Outcome::default();
    let empty = || vec![Dbs::default(); WORKERS];
    let mut next: Option<(PathBuf, Vec<Dbs>)> = None;
    let mut left = options.states;
    while left > 0 && outcome.failures.len() < options.failures {
        let fsync = options.fsync.unwrap_or(if outcome.lives % 2 == 0 { Fsync::Always } else { Fsync::Everysec });
        let anew = rng.one_in(BEGINS_ANEW);
        let (dir, bases) = match next.take().filter(|_| !anew) {
            Some(next) => next,
            None => (fresh(&root, outcome.lives)?, empty()),
        };
        let life = record(&sut, &dir, bases, fsync, &root, &mut rng)
            .with_context(|| format!("life {} of seed {}", outcome.lives + 1, options.seed))?;
        outcome.lives += 1;
        outcome.events += life.history.events.len();
        let count = left.min(STATES_OF_A_LIFE);
        left -= count;
        let (disk, seed) = (planted(&life.history, options.sabotage), rng.bits());
        let disk = disk.as_ref().unwrap_or(&life.history);
        let run = Run { sut: &sut, options, life: &life, disk, root: &root, seed, done: AtomicUsize::new(0) };
        let good = run.all(count, &mut outcome)?;
        std::fs::remove_dir_all(&dir)?;
        if let Some((choice, kept)) = good.get(rng.below(good.len().max(1))) {
            let dir = fresh(&root, outcome.lives)?;
            build::build(&Moment::of(disk, choice.at, options.order), choice, &dir)?;
            next = Some((dir, after(&life, kept)));
        }
    }
    Ok(outcome)
}

/// An empty directory for a life.
fn fresh(root: &Path, number: usize) -> Result<PathBuf> {
    let dir = root.join(format!("data-{number}"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir(&dir)?;
    Ok(dir)
}

/// What the databases hold after so many acts of each connection.
fn after(life: &Life, kept: &[usize]) -> Vec<Dbs> {
    let one = |(worker, kept): (&load::Worker, &usize)| {
        let mut state = worker.base.clone();
        worker.done.iter().take(*kept).for_each(|done| done.act.apply(&mut state, done.db));
        state
    };
    life.workers.iter().zip(kept).map(one).collect()
}

/// The history as a disk with the planted bug would have it.
fn planted(history: &History, sabotage: Option<Sabotage>) -> Option<History> {
    let sabotage = sabotage?;
    let is_dir = |inode: usize| history.nodes[inode] == history::Node::Directory;
    let mut disk = history.clone();
    disk.events.retain(|event| match (&event.change, sabotage) {
        (Change::Sync(inode), Sabotage::NoFileSync) => is_dir(*inode),
        (Change::Sync(inode), Sabotage::NoDirectorySync) => !is_dir(*inode),
        (Change::Names(edits), Sabotage::NoRename) => edits.len() < 2,
        _ => true,
    });
    Some(disk)
}

/// The states of one life.
struct Run<'a> {
    sut: &'a Program,
    options: &'a Options,
    life: &'a Life,
    /// Its history, but for a planted bug.
    disk: &'a History,
    root: &'a Path,
    seed: u64,
    done: AtomicUsize,
}

impl Run<'_> {
    /// Looks at `count` states; those that were as promised, with the acts that they have.
    fn all(&self, count: usize, outcome: &mut Outcome) -> Result<Vec<(Choice, Vec<usize>)>> {
        let (good, shared) = (Mutex::new(Vec::new()), Mutex::new(outcome));
        std::thread::scope(|scope| {
            let one = || -> Result<()> {
                loop {
                    let i = self.done.fetch_add(1, Ordering::Relaxed);
                    let enough = || shared.lock().is_ok_and(|outcome| outcome.failures.len() >= self.options.failures);
                    if i >= count || enough() {
                        return Ok(());
                    }
                    let found = self.one(i, &shared)?;
                    if let (Some(found), Ok(mut good)) = (found, good.lock()) {
                        good.push(found);
                    }
                }
            };
            let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one)).collect();
            running.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a look panicked"))?)
        })?;
        Ok(good.into_inner().unwrap_or_default())
    }

    fn one(&self, i: usize, outcome: &Mutex<&mut Outcome>) -> Result<Option<(Choice, Vec<usize>)>> {
        let mut rng = Rng::new(self.seed ^ (i as u64).wrapping_mul(0x2545_f491_4f6c_dd1d));
        let (all, rare) = &self.life.moments;
        let at = match rng.below(3) {
            0 if !rare.is_empty() => (rng.pick(rare) + rng.below(5)).saturating_sub(2),
            _ => *rng.pick(all),
        };
        let until = match self.life.fsync {
            Fsync::Always => usize::MAX,
            _ => Moment::of(&self.life.history, at, self.options.order).safe_until(),
        };
        let moment = Moment::of(self.disk, at, self.options.order);
        let promise = Promise::at(&self.life.courses, at, until);
        let choice = Choice::random(&moment, *rng.pick(&Kind::ALL), self.options.order, &mut rng);
        let goes_on = rng.one_in(GOES_ON);
        let view = Look { sut: self.sut, fsync: self.life.fsync, sides: WORKERS, goes_on };
        let seen = check::look_at(view, &moment, &choice, &promise, self.root)?;
        let seen = match seen {
            Ok(found) => Ok(found),
            // What was planted need not be told at length.
            Err(fault) if self.options.sabotage.is_some() => Err(keep::tell(self.life, &promise, &fault)),
            Err(fault) => Err(self.report(i, (choice.clone(), fault), view, &promise)?),
        };
        let Ok(mut outcome) = outcome.lock() else { return Ok(None) };
        *outcome.states.entry(choice.kind).or_default() += 1;
        outcome.went_on += usize::from(goes_on);
        match seen {
            Ok(found) => {
                outcome.acts.0 += promise.required();
                outcome.acts.1 += found.kept.iter().sum::<usize>();
                Ok(Some((choice, found.kept)))
            }
            Err(failure) => {
                outcome.failures.push(failure);
                Ok(None)
            }
        }
    }

    /// Keeps a failure and says how to see it again.
    fn report(&self, i: usize, failed: (Choice, Fault), view: Look<'_>, promise: &Promise) -> Result<String> {
        let (choice, fault) = keep::minimise(self.life, failed, self.options.order, view, promise, self.root)?;
        let dir = keep::keep(self.life, &choice, self.options.order, promise, &fault)?;
        Ok(format!(
            "state {i} ({}, {}): {}\n  see it again: proof torn --again {}",
            choice.kind.word(),
            self.life.fsync.word(),
            keep::tell(self.life, promise, &fault),
            dir.display()
        ))
    }
}
