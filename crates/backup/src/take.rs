//! A backup being taken.

use std::time::{Duration, Instant};

use archive::seal::PublicKey;
use effect::Hlc;
use engine::backup::{Base, BaseRows, LogPin, yield_to_commands};
use engine::{CheckpointError, Engine};
use wal::Position;

use crate::digest::Sha256;
use crate::error::Error;
use crate::feed::{Parted, Source, feed};
use crate::id::BackupId;
use crate::limits::{
    ARCHIVE_BASE_PART_BYTES, ARCHIVE_CHAIN_MOST, BASE_PART_BYTES, CHAIN_MOST, LOG_PART_BYTES, REBASE_LOG_BYTES,
};
use crate::log_part::{LogFeed, Tail};
use crate::manifest::{Group, Head, Manifest, Part, Previous, Rows, node_name};
use crate::note::{Note, Pending, Purpose, Slot, Stored};
use crate::plan::{GoOn, Plan, Why, WhyWhole, go_on, plan};
use crate::progress::{Phase, Progress};
use crate::repository::{Folder, MANIFEST, Repository};

/// What is to be done.
#[derive(Debug)]
pub struct Job<'a> {
    /// Where it is to lie.
    pub repository: &'a Repository,
    /// Who can read it.
    pub recipient: &'a PublicKey,
    /// Whose it is.
    pub purpose: Purpose,
    /// With all rows, also if it could go on from the one before.
    pub full: bool,
    /// How large its objects are.
    pub sizes: Sizes,
    /// Whether the chain before goes on while a whole one is stored.
    pub beside: Option<Beside<'a>>,
    /// Who watches.
    pub progress: &'a Progress,
}

/// While rows and the log behind them are stored, which may take hours, the chain before them goes on: what is written meanwhile is not at
/// risk for so long.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// Time between two of its backups, at least.
    pub every: Duration,
    /// Hears of each.
    pub told: &'a dyn Fn(&Report),
}

impl std::fmt::Debug for Beside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside").field("every", &self.every).finish_non_exhaustive()
    }
}

/// Plain bytes of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of rows, at most.
    pub rows: u64,
    /// Of log, after which one ends.
    pub log: u64,
    /// Of a chain's log beyond which rows are stored anew, if it is larger than they are.
    pub rebase: u64,
    /// Backups of a chain, at most.
    pub chain: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { rows: BASE_PART_BYTES, log: LOG_PART_BYTES, rebase: REBASE_LOG_BYTES, chain: CHAIN_MOST }
    }
}

impl Sizes {
    /// Those of an archive, which has many small backups.
    #[must_use]
    pub fn of_archive() -> Self {
        Self { rows: ARCHIVE_BASE_PART_BYTES, chain: ARCHIVE_CHAIN_MOST, ..Self::default() }
    }
}

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the backup is called.
    pub backup: BackupId,
    /// What it is.
    pub why: Why,
    /// Plain bytes of its objects.
    pub plain_bytes: u64,
    /// Their bytes as they are stored.
    pub sealed_bytes: u64,
    /// Everything is in it up to then, and nothing that is later.
    pub until: Hlc,
    /// The same as a position of the log.
    pub end: Position,
    /// When the log ended there: what lies behind it was written later.
    pub at: Instant,
    /// What lies between it and the one before it, and is in neither.
    pub hole: Option<Hole>,
}

/// Log that no backup has: the moments in between cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The last moment before.
    pub after: Hlc,
    /// The first one behind.
    pub before: Hlc,
}

/// Takes a backup of a node that runs. It takes the calling thread for as long as that lasts, and one more for the rows.
///
/// # Errors
/// Then there is no backup, and those that were there are as they were. What was stored of it is removed; if that is not
/// possible now, by the next one.
pub fn take(engine: &Engine, job: &Job<'_>) -> Result<Report, Error> {
    let result = take_all(engine, job);
    match result {
        Err(_) if job.progress.is_cancelled() => Err(Error::Cancelled),
        result => result,
    }
}

/// Up to which position of the log the last backup has everything, and the timestamp of that; none if there was none.
#[must_use]
pub fn reached(engine: &Engine, repository: &Repository, purpose: Purpose) -> Option<(Position, Hlc)> {
    let note = Note::of(engine, repository.id(), purpose);
    note.stored.map(|stored| (Position(stored.end), Hlc(stored.last)))
}

fn take_all(engine: &Engine, job: &Job<'_>) -> Result<Report, Error> {
    let Job { repository, purpose, progress, .. } = *job;
    progress.begin(Phase::Planning)?;
    let mut note = Note::of(engine, repository.id(), purpose);
    settle(engine, job, &mut note, Slot::GoesOn)?;
    settle(engine, job, &mut note, Slot::Base)?;
    let (why, before) = match plan(engine, job, note.stored.clone())? {
        Plan::GoOn(end) => return take_one(engine, job, &mut note, Begin::GoOn(end)),
        Plan::Whole(why, before) => (why, before),
    };
    progress.begin(Phase::Checkpoint)?;
    let base = engine.base(&mut || !progress.is_cancelled())?;
    let hole = match (&before, &note.stored) {
        (None, Some(stored)) => Some(Hole { after: Hlc(stored.last), before: base.last }),
        _ => None,
    };
    let goes_on = before.is_some();
    if let Some(end) = before {
        // The log up to the rows, and beyond: a moment before them is restored from what came before.
        let report = take_one(engine, job, &mut note, Begin::GoOn(end))?;
        job.beside.iter().for_each(|beside| (beside.told)(&report));
    }
    let beside = job.beside.filter(|_| goes_on);
    take_one(engine, job, &mut note, Begin::Whole { why, base, hole, beside })
}

/// How a backup begins.
enum Begin<'a> {
    GoOn(Box<GoOn>),
    Whole { why: WhyWhole, base: Base, hole: Option<Hole>, beside: Option<Beside<'a>> },
}

fn take_one(engine: &Engine, job: &Job<'_>, note: &mut Note, begin: Begin<'_>) -> Result<Report, Error> {
    let repository = job.repository;
    // Also if the clock has gone back: sorted by name they are in the order in which they were taken.
    let earliest = note.stored.as_ref().map_or(i64::MIN, |stored| stored.backup.began_ms() + 1);
    let (id, node) = (BackupId::new(engine.now_ms().max(earliest)), node_name(engine.origin().node()));
    let id = id.map_err(|cause| archive::Error::Seal { name: node.clone(), cause })?;
    let (chain, slot) = match &begin {
        Begin::GoOn(end) => (end.stored.chain.clone(), Slot::GoesOn),
        Begin::Whole { .. } => (id.clone(), Slot::Base),
    };
    let folder = Folder { node, chain, backup: id };
    // Before anything is stored, so that somebody knows of it whatever happens.
    let pending = Pending { chain: folder.chain.clone(), backup: folder.backup.clone(), stored: None };
    *note.slot(slot) = Some(pending);
    note.save(engine, repository.id(), job.purpose)?;
    let result = Taking { engine, job, folder: &folder, slot }.take(begin, note);
    if result.is_err() && note.slot(slot).as_ref().is_some_and(|pending| pending.stored.is_none()) {
        // The manifest was never tried. If this fails, the next backup does it.
        let removed = repository.remove(&folder).and_then(|()| {
            *note.slot(slot) = None;
            note.save(engine, repository.id(), job.purpose)
        });
        if let Err(error) = removed {
            tracing::warn!(%error, backup = %folder.backup, "what was stored of a backup could not be removed");
        }
    }
    result
}

/// Finds out what became of a backup whose end is not known.
fn settle(engine: &Engine, job: &Job<'_>, note: &mut Note, slot: Slot) -> Result<(), Error> {
    let Some(Pending { chain, backup, stored }) = note.slot(slot).clone() else { return Ok(()) };
    let folder = Folder { node: node_name(engine.origin().node()), chain, backup };
    match stored {
        Some(stored) if job.repository.has_manifest(&folder)? => note.stored = Some(stored),
        _ => job.repository.remove(&folder)?,
    }
    *note.slot(slot) = None;
    note.save(engine, job.repository.id(), job.purpose)
}

struct Taking<'a> {
    engine: &'a Engine,
    job: &'a Job<'a>,
    folder: &'a Folder,
    slot: Slot,
}

/// Where the log of a backup begins.
struct Start<'a> {
    log: wal::Reader,
    from: u64,
    why: Why,
    /// What there is of the chain.
    before: Option<Stored>,
    hole: Option<Hole>,
    beside: Option<Beside<'a>>,
    _pin: LogPin,
}

impl Taking<'_> {
    fn take(&self, begin: Begin<'_>, note: &mut Note) -> Result<Report, Error> {
        let (start, rows) = match begin {
            Begin::GoOn(end) => {
                let GoOn { stored, log, pin } = *end;
                let (from, before) = (stored.end, Some(stored));
                (Start { log, from, why: Why::GoesOn, before, hole: None, beside: None, _pin: pin }, None)
            }
            Begin::Whole { why, base, hole, beside } => {
                let Base { position, last, bytes, pin, rows, .. } = base;
                let parts = self.rows(rows, bytes, beside, note)?;
                let (log, why) = (self.engine.log().reader(position)?, Why::Whole(why));
                let start = Start { log, from: position.get(), why, before: None, hole, beside, _pin: pin };
                (start, Some(Rows { last: last.0, parts }))
            }
        };
        self.log(start, rows, note)
    }

    /// Stores the rows, of about so many bytes.
    fn rows(
        &self,
        rows: BaseRows,
        bytes: u64,
        beside: Option<Beside<'_>>,
        note: &mut Note,
    ) -> Result<Vec<Part>, Error> {
        let progress = self.job.progress;
        progress.begin(Phase::Rows)?;
        progress.expect(bytes);
        let (source, mut feed) = feed(self.job.sizes.rows, progress);
        std::thread::scope(|scope| {
            let write = move || {
                yield_to_commands();
                let mut source: Source = source;
                rows.write_to(&mut source)?;
                // Who does not listen any more knows better what is wrong.
                source.end().unwrap_or(());
                Ok::<_, CheckpointError>(())
            };
            let thread = std::thread::Builder::new().name("backup-rows".into()).spawn_scoped(scope, write);
            let thread = thread.map_err(Error::io("the thread that reads rows"))?;
            let mut at = Instant::now();
            let parts = self.parts("rows", &mut feed, &mut || self.between(Phase::Rows, beside, &mut at, note));
            let broke_off = feed.broke_off();
            // It ends, if it still writes, when nobody listens.
            drop(feed);
            let written = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if parts.is_ok() || broke_off {
                written?;
            }
            parts
        })
    }

    /// Between two parts.
    fn between(
        &self,
        phase: Phase,
        beside: Option<Beside<'_>>,
        at: &mut Instant,
        note: &mut Note,
    ) -> Result<(), Error> {
        if let Some(beside) = beside.filter(|beside| at.elapsed() >= beside.every) {
            self.go_on_beside(beside, note);
            *at = Instant::now();
        }
        self.job.progress.begin(phase)
    }

    /// Lets the chain before these rows go on. If that fails now, it may succeed the next time, and the rows are not to blame.
    fn go_on_beside(&self, beside: Beside<'_>, note: &mut Note) {
        let Self { engine, job, .. } = *self;
        let mut try_it = || -> Result<Option<Report>, Error> {
            settle(engine, job, note, Slot::GoesOn)?;
            let Some(stored) = note.stored.clone() else { return Ok(None) };
            match go_on(engine, stored)? {
                Ok(end) => take_one(engine, job, note, Begin::GoOn(end)).map(Some),
                Err(_) => Ok(None),
            }
        };
        match try_it() {
            Ok(report) => report.iter().for_each(beside.told),
            Err(error) => tracing::warn!(%error, "log could not be stored beside the rows of a backup"),
        }
    }

    /// Stores the log behind `start`, and the manifest.
    fn log(&self, start: Start<'_>, rows: Option<Rows>, note: &mut Note) -> Result<Report, Error> {
        let (engine, progress) = (self.engine, self.job.progress);
        progress.begin(Phase::Log)?;
        // Now, and not when it was asked for: so it has all that was written while rows were stored.
        let at = Instant::now();
        let moment = engine.backup_moment()?;
        progress.expect(moment.end.get().saturating_sub(start.from));
        let mut feed = LogFeed::new(start.log, moment.end, self.job.sizes.log, progress);
        let mut since = Instant::now();
        let log = self.parts("log", &mut feed, &mut || self.between(Phase::Log, start.beside, &mut since, note))?;
        progress.begin(Phase::Finishing)?;
        let Folder { chain, backup, .. } = self.folder.clone();
        let before = start.before.as_ref();
        let head = Head {
            backup,
            chain,
            previous: before.map(|stored| Previous { backup: stored.backup.clone(), sha256: stored.sha256 }),
            node: engine.origin().node(),
            log_id: engine.log().id(),
            seed: engine.hash_seed(),
            from: start.from,
            group: Group::of(engine)?,
        };
        let manifest = Manifest::new(head, rows, log, moment.end.get(), moment.last.0);
        let tail = feed.tail().or(before.and_then(|stored| stored.tail));
        self.finish(&manifest, tail, before, note)?;
        let sealed_bytes = manifest.parts().map(|part| part.sealed).sum();
        let (plain_bytes, until, end) = (manifest.plain_bytes(), moment.last, moment.end);
        let (backup, why, hole) = (manifest.backup, start.why, start.hole);
        Ok(Report { backup, why, plain_bytes, sealed_bytes, until, end, at, hole })
    }

    fn finish(
        &self,
        manifest: &Manifest,
        tail: Option<Tail>,
        before: Option<&Stored>,
        note: &mut Note,
    ) -> Result<(), Error> {
        let Job { repository, recipient, purpose, .. } = *self.job;
        let bytes = manifest.encode();
        let sum = |parts: &[Part]| parts.iter().map(|part| part.plain).sum::<u64>();
        let stored = Stored {
            chain: manifest.chain.clone(),
            backup: manifest.backup.clone(),
            sha256: Sha256::of(&bytes),
            recipient: recipient.fingerprint().to_string(),
            log_id: manifest.log_id.clone(),
            end: manifest.end,
            last: manifest.last,
            tail,
            rows_bytes: before.map_or(0, |b| b.rows_bytes) + manifest.rows.as_ref().map_or(0, |rows| sum(&rows.parts)),
            log_bytes: before.map_or(0, |b| b.log_bytes) + sum(&manifest.log),
            count: before.map_or(0, |b| b.count) + 1,
        };
        // The answer to the last call may be lost: then it is looked what is there.
        let (chain, backup) = (stored.chain.clone(), stored.backup.clone());
        *note.slot(self.slot) = Some(Pending { chain, backup, stored: Some(stored.clone()) });
        note.save(self.engine, repository.id(), purpose)?;
        repository.store(self.folder, MANIFEST.into(), recipient, &mut &bytes[..])?;
        note.stored = Some(stored);
        *note.slot(self.slot) = None;
        note.save(self.engine, repository.id(), purpose)
    }

    /// Stores all parts that there are; `between` is called after each.
    fn parts(
        &self,
        kind: &str,
        from: &mut dyn Parted,
        between: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        while from.next_part()? {
            let name = format!("{kind}-{:06}", parts.len());
            let stored = self.job.repository.store(self.folder, name, self.job.recipient, &mut &mut *from);
            // Why reading has failed is known better where it has.
            parts.push(stored.map_err(|error| from.failure().unwrap_or(error))?);
            between()?;
        }
        Ok(parts)
    }
}
