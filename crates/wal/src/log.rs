//! The log that owners hold.

use std::path::Path;
use std::sync::Arc;

use envelope::{DataKeyId, Purpose};
use parking_lot::Mutex;

use crate::active::{Active, Appender};
use crate::background::Worker;
use crate::core::Core;
use crate::disk::{Disk, RealDisk};
use crate::error::{Action, Health, LogError};
use crate::format::segment_name;
use crate::options::{Background, Fsync, Options};
use crate::position::Position;
use crate::progress::Progress;
use crate::reader::Reader;
use crate::recover::{Recovery, recover};
use crate::segments::Segments;
use crate::stats::{Counters, Stats};
use crate::writer::{Shared, Writer};

/// An open log. `S` is state of the owner that lives under the append lock, such as its sequencer, so that a number can be
/// taken and its record appended in one critical section.
///
/// Share it in an `Arc`. Dropping it closes it like [`Log::close`], without a way to hear of errors.
pub struct Log<S: Send + 'static = ()> {
    core: Arc<Core<S>>,
    worker: Option<Worker>,
    removal: Mutex<()>,
    log_id: u64,
    closed: bool,
    _lock: Box<dyn Send + Sync>,
}

impl<S: Send + 'static> Log<S> {
    /// Opens the log in the directory at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// As [`Log::open_disk`].
    pub fn open(path: impl AsRef<Path>, options: Options, state: S) -> Result<(Self, Recovery), LogError> {
        let path = path.as_ref();
        let disk = RealDisk::create(path).map_err(|e| LogError::io(Action::Open, path.display().to_string(), e))?;
        Self::open_disk(Arc::new(disk), options, state)
    }

    /// Opens the log on `disk`, or begins one there. A tail that nothing proves to have been durable and that is not whole
    /// is cut off, which [`Recovery`] reports; everything that remains is made durable.
    ///
    /// # Errors
    /// `Corrupt` if anything else is damaged or missing, `Locked` if another process has it, `Io`.
    pub fn open_disk(disk: Arc<dyn Disk>, options: Options, state: S) -> Result<(Self, Recovery), LogError> {
        let options = options.bounded();
        let lock = take_lock(&*disk)?;
        let opened = recover(&*disk, &options)?;
        if let Some(cipher) = &options.cipher {
            // A data key is drawn and made durable now, so that no flush has to.
            let failed = |error| LogError::io(Action::Encrypt, disk.describe(""), std::io::Error::other(error));
            cipher.prepare(Purpose::Record, 0).map_err(failed)?;
        }
        let resume = opened.resume;
        let shared = Shared {
            disk,
            progress: Arc::new(Progress::new(resume.end)),
            segments: Segments::new(opened.bases),
            counters: Counters::default(),
        };
        let writer = Writer::new(opened.file, resume.segment_base, resume.end, opened.blueprint);
        let active = Active::new(state, resume, &options);
        let background = options.background;
        let core = Arc::new(Core::new(active, writer, shared, options));
        core.mark()?;
        let worker = match background {
            Background::None => None,
            Background::Thread => {
                Some(Worker::start(&core).map_err(|e| LogError::io(Action::Open, "the thread of the log", e))?)
            }
        };
        let log = Self { core, worker, removal: Mutex::new(()), log_id: resume.log_id, closed: false, _lock: lock };
        Ok((log, opened.recovery))
    }

    /// Takes the append lock.
    #[inline]
    pub fn lock(&self) -> Appender<'_, S> {
        Appender::new(&self.core, self.core.active.lock())
    }

    /// Returns when everything up to `position` is durable: one caller writes and syncs for all that wait.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`: the records may or may not survive. `Beyond` if nothing was appended there.
    pub fn commit(&self, position: Position) -> Result<(), LogError> {
        self.core.commit(position)
    }

    /// Asks the background thread to make durable what was appended before the call, and does not wait: see
    /// [`Log::observe`] for how to hear of it.
    pub fn request_commit(&self) {
        self.core.alarm.request_sync();
    }

    /// Makes everything durable that was appended before the call. Says up to where.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`.
    pub fn sync(&self) -> Result<Position, LogError> {
        let lead = self.core.gate.enter();
        self.core.sync(&lead)
    }

    /// Makes everything durable, with a mark that says so as its end; answers where that is. Unless something is appended
    /// afterwards, the log ends there when it is opened again.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`.
    pub fn finish(&self) -> Result<Position, LogError> {
        self.core.finish()
    }

    /// Writes out everything that was appended before the call, so that readers see it, without making it durable.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`.
    pub fn write_out(&self) -> Result<(), LogError> {
        self.core.write_out()
    }

    /// Returns when everything up to `position` is written, without making it durable: what is written survives the
    /// end of this process, but not of the machine. One caller writes for all that wait. To be called without locks of
    /// the caller's own.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`.
    #[inline]
    pub fn write_up_to(&self, position: Position) -> Result<(), LogError> {
        if self.core.progress.written() >= position { Ok(()) } else { self.core.write_up_to(position) }
    }

    /// Position up to which the log is written, and can be read.
    #[inline]
    #[must_use]
    pub fn written(&self) -> Position {
        self.core.progress.written()
    }

    /// Position up to which a crash of the machine loses nothing.
    #[inline]
    #[must_use]
    pub fn durable(&self) -> Position {
        self.core.progress.durable()
    }

    /// Position of the first record that there still is, or will be.
    #[must_use]
    pub fn first(&self) -> Position {
        self.core.shared.segments.first()
    }

    /// Position after the last record appended, which is not extended any more: a reader may begin here. Takes the append
    /// lock.
    #[must_use]
    pub fn end(&self) -> Position {
        self.core.active.lock().boundary()
    }

    /// Whether the log takes writes: one atomic load, for asking before a write is executed.
    #[inline]
    #[must_use]
    pub fn health(&self) -> Health {
        self.core.progress.health()
    }

    /// The error that writes are answered with at present.
    ///
    /// # Errors
    /// `Poisoned` or `NoSpace`, if the log is not in good health.
    pub fn writable(&self) -> Result<(), LogError> {
        self.core.progress.writable()
    }

    /// After `NoSpace`: tries again to write what is still in memory, and takes writes again if that works.
    ///
    /// # Errors
    /// `NoSpace` if there is still none; `Poisoned` as ever.
    pub fn try_heal(&self) -> Result<(), LogError> {
        self.core.try_heal()
    }

    /// Calls `observer` whenever `written`, `durable` or `health` has changed, on the thread that changed it and while
    /// it holds locks of the log: it must be quick, and not call the log but for those three. Only the first one counts;
    /// says whether this was it.
    pub fn observe(&self, observer: impl Fn() + Send + Sync + 'static) -> bool {
        self.core.progress.observe(Box::new(observer))
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Fsync {
        self.core.policy()
    }

    /// Changes the policy.
    pub fn set_policy(&self, policy: Fsync) {
        self.core.set_policy(policy);
    }

    /// Does what the background thread does for the segments beside writing and syncing: makes the file of the next when
    /// the present one is half full, and seals a full one. For owners who run the log without that thread.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`.
    pub fn tend(&self) -> Result<(), LogError> {
        self.core.tend()
    }

    /// Seals the present segment and begins the next, unless nothing is in it. Says where the new one begins; all below
    /// is durable.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`.
    pub fn roll(&self) -> Result<Position, LogError> {
        self.core.roll()
    }

    /// Deletes the sealed segments that lie wholly below `position`, lowest first. Says where the log begins now.
    ///
    /// # Errors
    /// `Io`; the rest is still there, and the call may be repeated.
    pub fn remove_below(&self, position: Position) -> Result<Position, LogError> {
        let _one_at_a_time = self.removal.lock();
        let shared = &self.core.shared;
        while let Some(base) = shared.segments.removable(position) {
            let name = segment_name(base);
            let failed = |error| LogError::io(Action::Remove, shared.disk.describe(&name), error);
            match shared.disk.remove(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
            // Each before the next: a crash must not leave a gap.
            shared.disk.sync_dir().map_err(failed)?;
            shared.segments.forget(base);
        }
        Ok(shared.segments.first())
    }

    /// A random number that all segments of this log have, and no other log.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.log_id
    }

    /// Reads records from `from` on, which must be where one begins or ends, up to what is written at each call.
    ///
    /// # Errors
    /// `Removed`, `Beyond`.
    pub fn reader(&self, from: Position) -> Result<Reader, LogError> {
        let shared = &self.core.shared;
        let end = self.end();
        if from > end {
            return Err(LogError::Beyond { wanted: from, end });
        }
        shared.segments.find(from)?;
        let reader = Reader::live(
            Arc::clone(&shared.disk),
            shared.segments.clone(),
            Arc::clone(&shared.progress),
            self.log_id,
            from,
        );
        Ok(match &self.core.options.cipher {
            Some(cipher) => reader.with_cipher(Arc::clone(cipher)),
            None => reader,
        })
    }

    /// The oldest data key that an encrypted record of the log names, if there is one that is written. Later records name the same
    /// or later ones, so the keys below may be forgotten, unless something else is encrypted with them as well. Reads up to the first
    /// such record.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn oldest_data_key(&self) -> Result<Option<DataKeyId>, LogError> {
        let mut reader = self.reader(self.first())?;
        while reader.next()?.is_some() {
            if let Some(key) = reader.data_key() {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// What the log has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let active = self.core.active.lock();
        Stats {
            records: active.records,
            payload_bytes: active.payload_bytes,
            buffered_bytes: active.batch.bytes.len() as u64,
            segments: self.core.shared.segments.count() as u64,
            ..self.core.shared.counters.snapshot()
        }
    }

    /// Makes everything durable and closes.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace`: what was not durable may be lost.
    pub fn close(mut self) -> Result<(), LogError> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), LogError> {
        self.closed = true;
        self.worker = None;
        self.core.close()
    }
}

impl<S: Send + 'static> Drop for Log<S> {
    fn drop(&mut self) {
        if !self.closed {
            // Nobody is left to tell; recovery will say what it finds.
            let _ = self.shut();
        }
    }
}

impl<S: Send + 'static> std::fmt::Debug for Log<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("first", &self.first())
            .field("durable", &self.durable())
            .field("written", &self.written())
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// How often, and how long apart, a lock is tried for that somebody else has. Whoever had it may be about to end, or
/// a child process that was just forked may hold it until it runs its own program.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Takes the directory for this process.
pub(crate) fn take_lock(disk: &dyn Disk) -> Result<Box<dyn Send + Sync>, LogError> {
    for attempt in 1.. {
        match disk.lock() {
            Ok(lock) => return Ok(lock),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                return Err(LogError::io(Action::Open, disk.describe(""), error));
            }
            Err(_) if attempt < LOCK_ATTEMPTS => std::thread::sleep(LOCK_PAUSE),
            Err(_) => break,
        }
    }
    Err(LogError::Locked { dir: disk.describe("") })
}
