//! The parts of an open log together: how bytes go from the buffer to durable, by whichever thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::active::Active;
use crate::background::Alarm;
use crate::batch::Batch;
use crate::encrypt::encrypt_batch;
use crate::error::{Action, Failure, Health, LogError};
use crate::format::segment_name;
use crate::gate::{Gate, Lead};
use crate::limits::KEEP_BUFFER_FACTOR;
use crate::options::{Fsync, Options};
use crate::position::Position;
use crate::progress::Progress;
use crate::writer::{Errand, Shared, UNFINISHED, Writer, Wrote, begin_segment, timed};

pub(crate) struct Core<S> {
    pub(crate) active: Mutex<Active<S>>,
    pub(crate) gate: Gate,
    pub(crate) alarm: Alarm,
    pub(crate) options: Options,
    pub(crate) shared: Shared,
    pub(crate) progress: Arc<Progress>,
    writer: Mutex<Writer>,
    policy: AtomicU8,
}

impl<S> Core<S> {
    pub(crate) fn new(active: Active<S>, writer: Writer, shared: Shared, options: Options) -> Self {
        Self {
            active: Mutex::new(active),
            gate: Gate::default(),
            alarm: Alarm::new(options.background),
            policy: AtomicU8::new(options.policy as u8),
            options,
            progress: Arc::clone(&shared.progress),
            shared,
            writer: Mutex::new(writer),
        }
    }

    pub(crate) fn policy(&self) -> Fsync {
        Fsync::from_u8(self.policy.load(Ordering::Relaxed))
    }

    pub(crate) fn set_policy(&self, policy: Fsync) {
        self.policy.store(policy as u8, Ordering::Relaxed);
        self.alarm.arm();
    }

    /// Waits until everything up to `position` is durable, making it so if nobody else does.
    pub(crate) fn commit(&self, position: Position) -> Result<(), LogError> {
        let answer = || {
            if self.progress.durable() >= position {
                return Some(Ok(()));
            }
            self.progress.writable().err().map(Err)
        };
        if let Some(answer) = answer() {
            return answer;
        }
        match self.gate.enter_unless(answer) {
            Err(answer) => answer,
            Ok(lead) => {
                let durable = self.sync(&lead)?;
                if durable >= position { Ok(()) } else { Err(LogError::Beyond { wanted: position, end: durable }) }
            }
        }
    }

    /// Writes out all that was appended before the call and makes it durable. Says how far the log is durable then.
    pub(crate) fn sync(&self, lead: &Lead<'_>) -> Result<Position, LogError> {
        self.flush_through(lead)?;
        let (target, base, file) = {
            let writer = self.writer.lock();
            if writer.sealing.is_some() {
                drop(writer);
                // This makes durable all that is written.
                return self.seal(lead);
            }
            (self.progress.written(), writer.base, Arc::clone(&writer.file))
        };
        // The writer is free again: others may write while this syncs, and go on in the next segment; but that has no
        // name, and nothing in it counts as durable, before it is sealed, which needs the lead.
        if self.progress.durable() < target {
            timed(&self.shared, || file.sync_data()).map_err(|error| {
                let file = self.shared.disk.describe(&segment_name(base));
                self.progress.fail(Failure { action: Action::Sync, file, error })
            })?;
            self.progress.publish_durable(target);
        }
        Ok(target)
    }

    /// Seals the full segment, if there is one. The writer is free meanwhile. Says how far the log is durable.
    fn seal(&self, lead: &Lead<'_>) -> Result<Position, LogError> {
        let sealing = self.writer.lock().sealing.clone();
        let Some(sealing) = sealing else { return Ok(self.progress.durable()) };
        let durable = sealing.seal(&self.shared, lead)?;
        self.writer.lock().sealing = None;
        Ok(durable)
    }

    /// Makes the file of the next segment ahead of time, without the writer. It is only an optimisation: what is wrong will
    /// show when the file is needed.
    fn prepare(&self, _lead: &Lead<'_>) {
        let blueprint = self.writer.lock().blueprint;
        match begin_segment(&*self.shared.disk, blueprint) {
            Ok(file) => self.writer.lock().ready = Some(file),
            Err(_) => drop(self.shared.disk.remove(UNFINISHED)),
        }
    }

    /// Does what the writer can do without, so that whoever writes does not wait for it.
    pub(crate) fn tend(&self) -> Result<(), LogError> {
        if self.writer.lock().errand(&self.shared) == Errand::Nothing {
            return Ok(());
        }
        let lead = self.gate.enter();
        self.progress.writable()?;
        let errand = self.writer.lock().errand(&self.shared);
        match errand {
            Errand::Nothing => {}
            Errand::Prepare => self.prepare(&lead),
            Errand::Seal => drop(self.seal(&lead)?),
        }
        Ok(())
    }

    /// Writes out all that was appended before the call, without making it durable.
    pub(crate) fn write_out(&self) -> Result<(), LogError> {
        let wrote = self.flush(&mut self.writer.lock(), None)?;
        if wrote == Wrote::UpToSeal {
            self.flush_through(&self.gate.enter())?;
        }
        Ok(())
    }

    /// Returns when everything up to `position` is written, which one caller does for all that wait.
    pub(crate) fn write_up_to(&self, position: Position) -> Result<(), LogError> {
        let is_written = || self.progress.written() >= position;
        let wrote = {
            let mut writer = self.writer.lock();
            if is_written() {
                return Ok(());
            }
            self.flush(&mut writer, None)?
        };
        if wrote == Wrote::UpToSeal { self.write_out() } else { Ok(()) }
    }

    /// Seals the present segment unless it is empty, and opens the next.
    pub(crate) fn roll(&self) -> Result<Position, LogError> {
        self.progress.writable()?;
        let position = self.active.lock().cut();
        let lead = self.gate.enter();
        self.flush_through(&lead)?;
        self.seal(&lead)?;
        Ok(position)
    }

    /// Writes what a full disk has left in memory, and finishes what it kept from being finished.
    pub(crate) fn try_heal(&self) -> Result<(), LogError> {
        let lead = self.gate.enter();
        if self.progress.health() == Health::NoSpace {
            self.drain(&lead)?;
            self.seal(&lead)?;
            self.progress.heal();
            self.alarm.arm();
        }
        self.progress.writable()
    }

    /// Says in a mark that the last record is durable, if it is, no mark says so yet, and nothing else is to be written.
    pub(crate) fn mark(&self) -> Result<(), LogError> {
        let durable = self.progress.durable();
        {
            let mut active = self.active.lock();
            if !active.batch.is_idle() || !active.lacks_mark() || durable < active.last_record_end {
                return Ok(());
            }
            active.append_mark(durable);
        }
        self.write_out()
    }

    /// Everything durable, and a mark that says so.
    pub(crate) fn finish(&self) -> Result<Position, LogError> {
        self.try_heal()?;
        self.sync(&self.gate.enter())?;
        self.mark()?;
        self.sync(&self.gate.enter())
    }

    /// The end: finished, and no reserved space left behind.
    pub(crate) fn close(&self) -> Result<(), LogError> {
        self.finish()?;
        let _lead = self.gate.enter();
        let mut writer = self.writer.lock();
        writer.trim(&self.shared)?;
        if writer.ready.take().is_some() {
            // Nobody will need it. One that cannot be removed is found and removed at the next start.
            let _ = self.shared.disk.remove(UNFINISHED);
        }
        Ok(())
    }

    fn flush(&self, writer: &mut Writer, lead: Option<&Lead<'_>>) -> Result<Wrote, LogError> {
        self.progress.writable()?;
        let mut wrote = writer.write(&self.shared, lead)?;
        if wrote == Wrote::All {
            self.swap(writer)?;
            wrote = writer.write(&self.shared, lead)?;
        }
        if writer.ask(&self.shared) {
            self.alarm.ring();
        }
        Ok(wrote)
    }

    /// Writes out all that was appended before the call, past the end of as many segments as it takes.
    fn flush_through(&self, lead: &Lead<'_>) -> Result<(), LogError> {
        self.progress.writable()?;
        // Twice: what is pending, then what is in the buffer.
        self.drain(lead)?;
        if self.flush(&mut self.writer.lock(), Some(lead))? == Wrote::UpToSeal {
            self.drain(lead)?;
        }
        Ok(())
    }

    /// Writes what is pending. The writer is free while a segment is sealed.
    fn drain(&self, lead: &Lead<'_>) -> Result<(), LogError> {
        loop {
            let wrote = self.writer.lock().write(&self.shared, Some(lead))?;
            if wrote == Wrote::All {
                return Ok(());
            }
            self.seal(lead)?;
        }
    }

    /// Takes the buffer, which ends with a mark, and leaves an empty one. What was pending must be written. Encrypts what
    /// is to be: not under the append lock, and once, so that what a full disk has kept is written again as it was.
    fn swap(&self, writer: &mut Writer) -> Result<(), LogError> {
        writer.recycle(self.options.buffer_limit_bytes.saturating_mul(KEEP_BUFFER_FACTOR));
        let durable = self.progress.durable();
        let mut active = self.active.lock();
        if active.batch.is_idle() {
            return Ok(());
        }
        if !active.batch.bytes.is_empty() && durable > active.marked {
            active.append_mark(durable);
        }
        active.close();
        let next = Batch { bytes: std::mem::take(&mut writer.spare), ..Batch::at(active.end()) };
        writer.pending = std::mem::replace(&mut active.batch, next);
        drop(active);
        self.shared.counters.flushes.fetch_add(1, Ordering::Relaxed);
        let Some(cipher) = &self.options.cipher else { return Ok(()) };
        encrypt_batch(&mut writer.pending, writer.blueprint.log_id, cipher).map_err(|error| {
            // What is pending is in clear and must never be written: this is for good.
            let error = std::io::Error::other(error);
            self.progress.fail(Failure { action: Action::Encrypt, file: self.shared.disk.describe(""), error })
        })
    }
}
