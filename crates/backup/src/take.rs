//! A backup being taken.

use archive::seal::PublicKey;
use effect::Hlc;
use engine::backup::{Base, BaseRows, LogPin, yield_to_commands};
use engine::{CheckpointError, Engine};

use crate::digest::Sha256;
use crate::error::Error;
use crate::feed::{Parted, Source, feed};
use crate::id::BackupId;
use crate::limits::{BASE_PART_BYTES, LOG_PART_BYTES, REBASE_LOG_BYTES};
use crate::log_part::{LogFeed, Tail};
use crate::manifest::{Head, Manifest, Part, Previous, Rows, node_name};
use crate::note::{Note, Pending, Stored};
use crate::plan::{GoOn, Plan, Why, WhyWhole, plan};
use crate::progress::{Phase, Progress};
use crate::repository::{Folder, MANIFEST, Repository};

/// What is to be done.
#[derive(Debug)]
pub struct Job<'a> {
    /// Where it is to lie.
    pub repository: &'a Repository,
    /// Who can read it.
    pub recipient: &'a PublicKey,
    /// With all rows, also if it could go on from the one before.
    pub full: bool,
    /// How large its objects are.
    pub sizes: Sizes,
    /// Who watches.
    pub progress: &'a Progress,
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
}

impl Default for Sizes {
    fn default() -> Self {
        Self { rows: BASE_PART_BYTES, log: LOG_PART_BYTES, rebase: REBASE_LOG_BYTES }
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

fn take_all(engine: &Engine, job: &Job<'_>) -> Result<Report, Error> {
    let Job { repository, progress, .. } = *job;
    progress.begin(Phase::Planning)?;
    let mut note = Note::of(engine, repository.id());
    settle(engine, repository, &mut note)?;
    let (why, before) = match plan(engine, job, note.stored.clone())? {
        Plan::GoOn(end) => return take_one(engine, job, &mut note, Begin::GoOn(end)),
        Plan::Whole(why, before) => (why, before),
    };
    progress.begin(Phase::Checkpoint)?;
    let base = engine.base(&mut || !progress.is_cancelled())?;
    if let Some(end) = before {
        // The log up to the rows, and beyond: a moment before them is restored from what came before.
        take_one(engine, job, &mut note, Begin::GoOn(end))?;
    }
    take_one(engine, job, &mut note, Begin::Whole(why, base))
}

/// How a backup begins.
enum Begin {
    GoOn(Box<GoOn>),
    Whole(WhyWhole, Base),
}

fn take_one(engine: &Engine, job: &Job<'_>, note: &mut Note, begin: Begin) -> Result<Report, Error> {
    let repository = job.repository;
    // Also if the clock has gone back: sorted by name they are in the order in which they were taken.
    let earliest = note.stored.as_ref().map_or(i64::MIN, |stored| stored.backup.began_ms() + 1);
    let (id, node) = (BackupId::new(engine.now_ms().max(earliest)), node_name(engine.origin().node()));
    let id = id.map_err(|cause| archive::Error::Seal { name: node.clone(), cause })?;
    let chain = match &begin {
        Begin::GoOn(end) => end.stored.chain.clone(),
        Begin::Whole(..) => id.clone(),
    };
    let folder = Folder { node, chain, backup: id };
    // Before anything is stored, so that somebody knows of it whatever happens.
    note.pending = Some(Pending { chain: folder.chain.clone(), backup: folder.backup.clone(), stored: None });
    note.save(engine, repository.id())?;
    let result = Taking { engine, job, folder: &folder }.take(begin, note);
    if result.is_err() && note.pending.as_ref().is_some_and(|pending| pending.stored.is_none()) {
        // The manifest was never tried. If this fails, the next backup does it.
        let removed = repository.remove(&folder);
        if let Err(error) = removed.and_then(|()| Note { pending: None, ..note.clone() }.save(engine, repository.id()))
        {
            tracing::warn!(%error, backup = %folder.backup, "what was stored of a backup could not be removed");
        }
    }
    result
}

/// Finds out what became of a backup whose end is not known.
fn settle(engine: &Engine, repository: &Repository, note: &mut Note) -> Result<(), Error> {
    let Some(Pending { chain, backup, stored }) = note.pending.take() else { return Ok(()) };
    let folder = Folder { node: node_name(engine.origin().node()), chain, backup };
    match stored {
        Some(stored) if repository.has_manifest(&folder)? => note.stored = Some(stored),
        _ => repository.remove(&folder)?,
    }
    note.save(engine, repository.id())
}

struct Taking<'a> {
    engine: &'a Engine,
    job: &'a Job<'a>,
    folder: &'a Folder,
}

/// Where the log of a backup begins.
struct Start {
    log: wal::Reader,
    from: u64,
    why: Why,
    /// What there is of the chain.
    before: Option<Stored>,
    _pin: LogPin,
}

impl Taking<'_> {
    fn take(&self, begin: Begin, note: &mut Note) -> Result<Report, Error> {
        let (start, rows) = match begin {
            Begin::GoOn(end) => {
                let GoOn { stored, log, pin } = *end;
                (Start { log, from: stored.end, why: Why::GoesOn, before: Some(stored), _pin: pin }, None)
            }
            Begin::Whole(why, base) => {
                let Base { position, last, bytes, pin, rows, .. } = base;
                let parts = self.rows(rows, bytes)?;
                let (log, why) = (self.engine.log().reader(position)?, Why::Whole(why));
                let start = Start { log, from: position.get(), why, before: None, _pin: pin };
                (start, Some(Rows { last: last.0, parts }))
            }
        };
        self.log(start, rows, note)
    }

    /// Stores the rows, of about so many bytes.
    fn rows(&self, rows: BaseRows, bytes: u64) -> Result<Vec<Part>, Error> {
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
            let parts = self.parts("rows", &mut feed);
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

    /// Stores the log behind `start`, and the manifest.
    fn log(&self, start: Start, rows: Option<Rows>, note: &mut Note) -> Result<Report, Error> {
        let (engine, progress) = (self.engine, self.job.progress);
        progress.begin(Phase::Log)?;
        // Now, and not when it was asked for: so it has all that was written while rows were stored.
        let moment = engine.backup_moment()?;
        progress.expect(moment.end.get().saturating_sub(start.from));
        let mut feed = LogFeed::new(start.log, moment.end, self.job.sizes.log, progress);
        let log = self.parts("log", &mut feed)?;
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
        };
        let manifest = Manifest::new(head, rows, log, moment.end.get(), moment.last.0);
        let tail = feed.tail().or(before.and_then(|stored| stored.tail));
        self.finish(&manifest, tail, before, note)?;
        let sealed_bytes = manifest.parts().map(|part| part.sealed).sum();
        let (plain_bytes, until) = (manifest.plain_bytes(), moment.last);
        Ok(Report { backup: manifest.backup, why: start.why, plain_bytes, sealed_bytes, until })
    }

    fn finish(
        &self,
        manifest: &Manifest,
        tail: Option<Tail>,
        before: Option<&Stored>,
        note: &mut Note,
    ) -> Result<(), Error> {
        let Job { repository, recipient, .. } = *self.job;
        let bytes = manifest.encode();
        let sum = |parts: &[Part]| parts.iter().map(|part| part.plain).sum::<u64>();
        let stored = Stored {
            chain: manifest.chain.clone(),
            backup: manifest.backup.clone(),
            sha256: Sha256::of(&bytes),
            recipient: recipient.fingerprint().to_string(),
            log_id: manifest.log_id.clone(),
            end: manifest.end,
            tail,
            rows_bytes: before.map_or(0, |b| b.rows_bytes) + manifest.rows.as_ref().map_or(0, |rows| sum(&rows.parts)),
            log_bytes: before.map_or(0, |b| b.log_bytes) + sum(&manifest.log),
            count: before.map_or(0, |b| b.count) + 1,
        };
        // The answer to the last call may be lost: then it is looked what is there.
        let pending = note.pending.get_or_insert_with(|| Pending {
            chain: stored.chain.clone(),
            backup: stored.backup.clone(),
            stored: None,
        });
        pending.stored = Some(stored.clone());
        note.save(self.engine, repository.id())?;
        repository.store(self.folder, MANIFEST.into(), recipient, &mut &bytes[..])?;
        *note = Note { stored: Some(stored), pending: None };
        note.save(self.engine, repository.id())
    }

    /// Stores all parts that there are.
    fn parts(&self, kind: &str, from: &mut dyn Parted) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        while from.next_part()? {
            let name = format!("{kind}-{:06}", parts.len());
            let stored = self.job.repository.store(self.folder, name, self.job.recipient, &mut &mut *from);
            // Why reading has failed is known better where it has.
            parts.push(stored.map_err(|error| from.failure().unwrap_or(error))?);
        }
        Ok(parts)
    }
}
