//! The archive: a thread that stores the log as it is written, at a distance, sealed. Nobody waits for it.
//!
//! ```text
//!   log ─▶ Schedule: old or much enough? ─▶ backup::take, beside rows as well ─▶ the place ─▶ chains that are superfluous go
//!                 ▲ later and later after a failure                               └ a hole, if the log could not be kept so long
//! ```
//! *Invariant:* what the place has is whole up to some moment; a failure here delays the next one and nothing else.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use archive::seal::PublicKey;
use archive::storage;
use backup::{Beside, Error, Job, Progress, Purpose, Report, Repository, Schedule, Sizes, Why};
use backup::{open_place, prune, reached, take};
use engine::Engine;
use engine::backup::yield_to_commands;
use parking_lot::{Condvar, Mutex};
use thiserror::Error as ThisError;

use crate::config::{Archive, Settings};
use crate::limits::{ARCHIVE_LOOK, ARCHIVE_PRUNE_EVERY, ARCHIVE_STOP};

/// Why the settings name no archive.
#[derive(Debug, ThisError)]
pub enum ArchiveError {
    /// There is nobody to seal for.
    #[error(
        "archive: say by archive-recipient for whom it is sealed: the public key that `anabranch backup-key FILE` leaves in FILE.pub"
    )]
    NoRecipient,
    /// The public key cannot be had.
    #[error("archive-recipient: {0}")]
    Recipient(archive::seal::KeyError),
    /// A path of whom?
    #[error("archive {0}: give a URL or an absolute path")]
    Relative(String),
    /// It is no URL that is known.
    #[error("archive: {0}")]
    Place(Error),
    /// The system gives no thread.
    #[error("archive: the thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// Where the log goes, and who can read it there.
#[derive(Debug)]
pub struct Target {
    url: String,
    recipient: PublicKey,
}

impl Target {
    /// What the settings name. That the place cannot be reached is no error: it may come back.
    pub fn of(settings: &Settings) -> Result<Option<Self>, ArchiveError> {
        let Archive { url, recipient, .. } = &settings.persistence.archive;
        if url.is_empty() {
            return Ok(None);
        }
        if !url.starts_with('/') && !url.contains(':') {
            return Err(ArchiveError::Relative(url.clone()));
        }
        let recipient = recipient.as_ref().ok_or(ArchiveError::NoRecipient)?;
        let recipient = PublicKey::load(recipient).map_err(ArchiveError::Recipient)?;
        match open_place(url) {
            Err(error @ Error::Archive(archive::Error::Storage(storage::Error::Settings(_)))) => {
                Err(ArchiveError::Place(error))
            }
            _ => Ok(Some(Self { url: url.clone(), recipient })),
        }
    }
}

/// See the module. Without a target it does nothing.
#[derive(Debug, Default)]
pub struct Archiver {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    work: Option<Work>,
    figures: Figures,
    is_stopped: bool,
}

/// What there is while there is a target.
#[derive(Debug)]
struct Work {
    schedule: Schedule,
    options: Options,
    progress: Arc<Progress>,
}

#[derive(Debug, Clone, Copy)]
struct Options {
    every: Duration,
    segment_bytes: u64,
    keep: Option<Duration>,
    rate: u64,
}

#[derive(Debug, Default)]
struct Figures {
    segments: u64,
    bases: u64,
    bytes: u64,
    holes: u64,
    errors: u64,
    removed: u64,
    /// Up to when everything is stored, unix ms.
    until_ms: Option<i64>,
    /// Why it is not, since the last success.
    error: Option<String>,
}

impl Options {
    fn of(settings: &Settings) -> Self {
        let Archive { interval_s, keep_s, rate, .. } = settings.persistence.archive;
        Self {
            every: Duration::from_secs(interval_s),
            segment_bytes: settings.persistence.segment_bytes,
            keep: (keep_s > 0).then(|| Duration::from_secs(keep_s)),
            rate,
        }
    }
}

impl Archiver {
    /// There is going to be an archive: whoever asks is told.
    pub fn expect(&self, settings: &Settings) {
        let options = Options::of(settings);
        let schedule = Schedule::new(options.every, options.segment_bytes, None);
        self.shared.state.lock().work = Some(Work { schedule, options, progress: Arc::default() });
    }

    /// Begins, once it was expected.
    pub fn start(&self, engine: &Arc<Engine>, target: Target) -> Result<(), ArchiveError> {
        let (shared, engine) = (Arc::clone(&self.shared), Arc::clone(engine));
        let run = move || {
            yield_to_commands();
            Turns { engine: &engine, shared: &shared, target: &target, repository: None, pruned: None }.run();
        };
        let thread = std::thread::Builder::new().name("archive".into()).spawn(run).map_err(ArchiveError::Thread)?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// From now on these settings count.
    pub fn follow(&self, settings: &Settings) {
        if let Some(work) = &mut self.shared.state.lock().work {
            work.options = Options::of(settings);
            work.schedule.set(work.options.every, work.options.segment_bytes);
            work.progress.set_rate(work.options.rate);
        }
    }

    /// Ends, and waits for that, but not for a place that does not answer. What has not been stored is stored after the next start.
    pub fn stop(&self) {
        {
            let mut state = self.shared.state.lock();
            state.is_stopped = true;
            state.work.iter().for_each(|work| work.progress.cancel());
            self.shared.wake.notify_all();
        }
        let Some(thread) = self.thread.lock().take() else { return };
        let until = Instant::now() + ARCHIVE_STOP;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        match thread.is_finished() {
            // A panic of it has been printed; there is nothing left to do about it.
            true => drop(thread.join()),
            false => tracing::warn!("the place of the archive does not answer: the server stops without it"),
        }
    }

    /// Hands the figures for INFO to `add`.
    pub fn add_figures(&self, engine: &Engine, mut add: impl FnMut(&'static str, String)) {
        let state = self.shared.state.lock();
        add("archive_enabled", u8::from(state.work.is_some()).to_string());
        let Some(work) = &state.work else { return };
        let figures = &state.figures;
        let lag = work.schedule.lag(engine.log().end(), Instant::now());
        let status = match (&figures.error, figures.until_ms) {
            (Some(_), _) => "err",
            (None, None) => "starting",
            (None, Some(_)) => "ok",
        };
        add("archive_status", status.into());
        add("archive_until", figures.until_ms.map_or(-1, |ms| ms / 1000).to_string());
        add("archive_lag_bytes", lag.bytes.to_string());
        add("archive_lag_seconds", lag.time.as_secs().to_string());
        add("archive_segments", figures.segments.to_string());
        add("archive_whole_backups", figures.bases.to_string());
        add("archive_stored_bytes", figures.bytes.to_string());
        add("archive_holes", figures.holes.to_string());
        add("archive_errors", figures.errors.to_string());
        add("archive_removed_chains", figures.removed.to_string());
        add("archive_last_error", figures.error.as_deref().unwrap_or_default().replace(['\r', '\n'], " "));
    }
}

impl Shared {
    /// Waits for a moment, or for the end; whether that has come.
    fn rest(&self) -> bool {
        let mut state = self.state.lock();
        if !state.is_stopped {
            self.wake.wait_for(&mut state, ARCHIVE_LOOK);
        }
        state.is_stopped
    }

    /// Something was stored.
    fn note(&self, report: &Report) {
        let mut state = self.state.lock();
        let State { work, figures, .. } = &mut *state;
        work.iter_mut().for_each(|work| work.schedule.stored(report.end, report.at));
        figures.segments += 1;
        figures.bases += u64::from(report.why != Why::GoesOn);
        figures.bytes += report.sealed_bytes;
        // What went on beside rows may reach further than they do.
        figures.until_ms = figures.until_ms.max(Some(report.until.ms()));
        figures.error = None;
        if let Some(hole) = report.hole {
            figures.holes += 1;
            let (after, before) = (backup::format_ms(hole.after.ms()), backup::format_ms(hole.before.ms()));
            tracing::warn!(
                after,
                before,
                "the archive has a hole: moments in between cannot be restored. What was written then had to be given up before it was stored: see archive-log-bytes"
            );
        }
    }
}

/// What the thread has.
struct Turns<'a> {
    engine: &'a Engine,
    shared: &'a Shared,
    target: &'a Target,
    repository: Option<Repository>,
    pruned: Option<Instant>,
}

impl Turns<'_> {
    fn run(&mut self) {
        while !self.shared.rest() {
            let (end, now) = (self.engine.log().end(), Instant::now());
            let is_due = self.shared.state.lock().work.as_mut().is_some_and(|work| work.schedule.is_due(end, now));
            if !is_due {
                continue;
            }
            match self.turn() {
                Ok(()) => {}
                Err(Error::Cancelled) => break,
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&mut self, error: &Error) {
        // Whatever was known of the place: it is looked at anew.
        self.repository = None;
        let mut state = self.shared.state.lock();
        let State { work, figures, .. } = &mut *state;
        figures.errors += 1;
        figures.error = Some(error.to_string());
        let wait = work.as_mut().map(|work| work.schedule.failed(Instant::now()));
        drop(state);
        tracing::warn!(%error, seconds = wait.map(|wait| wait.as_secs()), "the archive could not be gone on with; it is tried again");
    }

    fn turn(&mut self) -> Result<(), Error> {
        let repository = match self.repository.take() {
            Some(repository) => repository,
            None => self.open()?,
        };
        let (options, progress) = {
            let mut state = self.shared.state.lock();
            let is_stopped = state.is_stopped;
            let Some(work) = state.work.as_mut().filter(|_| !is_stopped) else { return Err(Error::Cancelled) };
            work.progress = Arc::default();
            work.progress.set_rate(work.options.rate);
            (work.options, Arc::clone(&work.progress))
        };
        let told = |report: &Report| self.shared.note(report);
        let job = Job {
            repository: &repository,
            recipient: &self.target.recipient,
            purpose: Purpose::Archive,
            full: false,
            sizes: Sizes::of_archive(),
            beside: Some(Beside { every: options.every, told: &told }),
            progress: &progress,
        };
        let report = take(self.engine, &job)?;
        self.shared.note(&report);
        if let Why::Whole(why) = report.why {
            tracing::info!(backup = %report.backup, why = why.words(), bytes = report.sealed_bytes, "the archive has all rows anew");
        }
        self.prune(&repository, options.keep);
        self.repository = Some(repository);
        Ok(())
    }

    fn open(&self) -> Result<Repository, Error> {
        let repository = Repository::open_or_begin(open_place(&self.target.url)?)?;
        if let Some((position, until)) = reached(self.engine, &repository, Purpose::Archive) {
            let mut state = self.shared.state.lock();
            let State { work, figures, .. } = &mut *state;
            if figures.until_ms.is_none() {
                figures.until_ms = Some(until.ms());
                work.iter_mut().for_each(|work| work.schedule.resume(position));
            }
        }
        Ok(repository)
    }

    /// What cannot be removed now is tried again later.
    fn prune(&mut self, repository: &Repository, keep: Option<Duration>) {
        let Some(keep) = keep.filter(|_| self.pruned.is_none_or(|at| at.elapsed() >= ARCHIVE_PRUNE_EVERY)) else {
            return;
        };
        self.pruned = Some(Instant::now());
        match prune(self.engine, repository, keep) {
            Ok(gone) => self.shared.state.lock().figures.removed += gone as u64,
            Err(error) => tracing::warn!(%error, "what the archive does not need any more could not be removed"),
        }
    }
}
