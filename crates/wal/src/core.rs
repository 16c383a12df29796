//! The parts of an open log together: how bytes go from the buffer to durable, by whichever thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::active::Active;
use crate::background::Alarm;
use crate::batch::Batch;
use crate::error::{Action, Failure, Health, LogError};
use crate::format::segment_name;
use crate::gate::{Gate, Lead};
use crate::limits::KEEP_BUFFER_FACTOR;
use crate::options::{Fsync, Options};
use crate::position::Position;
use crate::progress::Progress;
use crate::writer::{Shared, Writer, Wrote, timed};

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
        let (target, base, file) = {
            let mut writer = self.writer.lock();
            self.flush(&mut writer, Some(lead))?;
            (self.progress.written(), writer.base, Arc::clone(&writer.file))
        };
        // The writer is free again: others may write while this syncs, but not seal, for that needs the lead.
        if self.progress.durable() < target {
            timed(&self.shared, || file.sync_data()).map_err(|error| {
                let file = self.shared.disk.describe(&segment_name(base));
                self.progress.fail(Failure { action: Action::Sync, file, error })
            })?;
            self.progress.publish_durable(target);
        }
        Ok(target)
    }

    /// Writes out all that was appended before the call, without making it durable.
    pub(crate) fn write_out(&self) -> Result<(), LogError> {
        let wrote = self.flush(&mut self.writer.lock(), None)?;
        if wrote == Wrote::UpToSeal {
            let lead = self.gate.enter();
            self.flush(&mut self.writer.lock(), Some(&lead))?;
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
        self.flush(&mut self.writer.lock(), Some(&lead))?;
        Ok(position)
    }

    /// Writes what a full disk has left in memory.
    pub(crate) fn try_heal(&self) -> Result<(), LogError> {
        let lead = self.gate.enter();
        let mut writer = self.writer.lock();
        if self.progress.health() == Health::NoSpace {
            writer.write(&self.shared, Some(&lead))?;
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
        let writer = self.writer.lock();
        writer.trim(&self.shared)
    }

    fn flush(&self, writer: &mut Writer, lead: Option<&Lead<'_>>) -> Result<Wrote, LogError> {
        self.progress.writable()?;
        if writer.write(&self.shared, lead)? == Wrote::UpToSeal {
            return Ok(Wrote::UpToSeal);
        }
        self.swap(writer);
        writer.write(&self.shared, lead)
    }

    /// Takes the buffer, which ends with a mark, and leaves an empty one. What was pending must be written.
    fn swap(&self, writer: &mut Writer) {
        writer.recycle(self.options.buffer_limit_bytes.saturating_mul(KEEP_BUFFER_FACTOR));
        let durable = self.progress.durable();
        let mut active = self.active.lock();
        if active.batch.is_idle() {
            return;
        }
        if !active.batch.bytes.is_empty() && durable > active.marked {
            active.append_mark(durable);
        }
        let next = Batch { bytes: std::mem::take(&mut writer.spare), ..Batch::at(active.end()) };
        writer.pending = std::mem::replace(&mut active.batch, next);
        drop(active);
        self.shared.counters.flushes.fetch_add(1, Ordering::Relaxed);
    }
}
