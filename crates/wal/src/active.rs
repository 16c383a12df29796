//! The buffer that records are appended to, and the guard that appends.

use parking_lot::MutexGuard;

use crate::batch::Batch;
use crate::core::Core;
use crate::error::LogError;
use crate::format::{FRAME_HEADER_BYTES, Kind, frame_header, seal_frame};
use crate::limits::FLUSH_BYTES;
use crate::position::Position;

/// What the append lock protects: the buffer, and the owner's state.
pub(crate) struct Active<S> {
    pub(crate) state: S,
    pub(crate) batch: Batch,
    /// Base of the segment that the next frame goes to.
    pub(crate) segment_base: Position,
    /// Position after the owner's last record.
    pub(crate) last_record_end: Position,
    /// The durable position that the last mark speaks of.
    pub(crate) marked: Position,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    segment_bytes: u64,
    max_payload_bytes: usize,
    log_id: u64,
}

/// Where an opened log goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resume {
    pub(crate) log_id: u64,
    pub(crate) end: Position,
    pub(crate) segment_base: Position,
    pub(crate) last_record_end: Position,
    pub(crate) marked: Position,
}

impl<S> Active<S> {
    pub(crate) fn new(state: S, resume: Resume, segment_bytes: u64, max_payload_bytes: usize) -> Self {
        Self {
            state,
            batch: Batch::at(resume.end),
            segment_base: resume.segment_base,
            last_record_end: resume.last_record_end,
            marked: resume.marked,
            records: 0,
            payload_bytes: 0,
            segment_bytes,
            max_payload_bytes,
            log_id: resume.log_id,
        }
    }

    /// Position after all that was appended.
    pub(crate) fn end(&self) -> Position {
        self.batch.end()
    }

    /// Appends a record whose payload `fill` writes. If `fill` panics, or writes too much, nothing is appended.
    fn append<R>(&mut self, kind: Kind, fill: impl FnOnce(&mut Vec<u8>, &mut S) -> R) -> Result<R, LogError> {
        let at = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(&frame_header(kind));
        let frame = Unfinished { bytes: &mut self.batch.bytes, at };
        let result = fill(frame.bytes, &mut self.state);
        assert!(
            frame.bytes.len() >= at + FRAME_HEADER_BYTES,
            "a payload is appended to the buffer, nothing is taken out"
        );
        let len = frame.bytes.len() - at - FRAME_HEADER_BYTES;
        if len > self.max_payload_bytes {
            return Err(LogError::TooLarge { len, limit: self.max_payload_bytes });
        }
        std::mem::forget(frame);
        self.finish(at);
        self.records += 1;
        self.payload_bytes += len as u64;
        self.last_record_end = self.end();
        Ok(result)
    }

    /// Appends a mark: the log is durable up to `durable`.
    pub(crate) fn append_mark(&mut self, durable: Position) {
        let at = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(&frame_header(Kind::MARK));
        self.batch.bytes.extend_from_slice(&durable.0.to_le_bytes());
        self.finish(at);
        self.marked = durable;
    }

    /// Whether a quiet log should say in a mark that its last record is durable.
    pub(crate) fn lacks_mark(&self) -> bool {
        self.marked < self.last_record_end
    }

    /// Begins a new segment here, unless the present one is empty.
    pub(crate) fn cut(&mut self) -> Position {
        let end = self.end();
        self.cut_at(end);
        end
    }

    fn cut_at(&mut self, position: Position) {
        if position > self.segment_base {
            self.batch.cuts.push_back(position);
            self.segment_base = position;
        }
    }

    /// Completes the frame at `at`, and begins a new segment with it if the present one has no room for it. The check
    /// does not depend on the segment, so this can be decided last.
    fn finish(&mut self, at: usize) {
        let position = Position(self.batch.start.0 + at as u64);
        seal_frame(&mut self.batch.bytes[at..], self.log_id, position.0);
        if self.end().0 - self.segment_base.0 > self.segment_bytes {
            self.cut_at(position);
        }
    }
}

/// A frame being filled: taken back out of the buffer if its maker gives up.
struct Unfinished<'a> {
    bytes: &'a mut Vec<u8>,
    at: usize,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.at);
    }
}

/// The append lock, held. Only copies bytes; keep it short, and do no I/O while you have it.
pub struct Appender<'a, S> {
    core: &'a Core<S>,
    active: MutexGuard<'a, Active<S>>,
}

impl<'a, S> Appender<'a, S> {
    pub(crate) fn new(core: &'a Core<S>, active: MutexGuard<'a, Active<S>>) -> Self {
        Self { core, active }
    }

    /// The owner's state that lives under this lock.
    pub fn state(&mut self) -> &mut S {
        &mut self.active.state
    }

    /// Position after the last record appended.
    #[must_use]
    pub fn end(&self) -> Position {
        self.active.end()
    }

    /// Appends one record, whose payload is `parts` one after another. Says the position after it: what to
    /// wait for.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace` and `TooLarge`; then nothing was appended.
    #[inline]
    pub fn append(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<Position, LogError> {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        if len > self.active.max_payload_bytes {
            return Err(LogError::TooLarge { len, limit: self.active.max_payload_bytes });
        }
        let fill = |bytes: &mut Vec<u8>, _: &mut S| {
            for part in parts {
                bytes.extend_from_slice(part);
            }
        };
        self.append_with(kind, fill).map(|(position, ())| position)
    }

    /// Appends one record whose payload `fill` writes behind what is in the buffer, with the owner's state at hand.
    /// `fill` only adds bytes. Says the position after the record, and what `fill` said.
    ///
    /// # Errors
    /// `Poisoned` and `NoSpace`, before `fill` is called; `TooLarge` after it. Nothing was appended then.
    ///
    /// # Panics
    /// If `fill` takes bytes out of the buffer.
    #[inline]
    pub fn append_with<R>(
        &mut self,
        kind: Kind,
        fill: impl FnOnce(&mut Vec<u8>, &mut S) -> R,
    ) -> Result<(Position, R), LogError> {
        self.core.progress.writable()?;
        let before = self.active.batch.bytes.len();
        let result = self.active.append(kind, fill)?;
        self.signal(before);
        Ok((self.active.end(), result))
    }

    /// Whether the buffer is over its limit: call `Log::write_up_to` once all locks are released.
    #[must_use]
    pub fn wants_flush(&self) -> bool {
        self.active.batch.bytes.len() > self.core.options.buffer_limit_bytes
    }

    /// Wakes who has to know that the buffer is no longer empty, or large: each once.
    #[inline]
    fn signal(&self, before: usize) {
        let now = self.active.batch.bytes.len();
        if before == 0 {
            self.core.alarm.ensure_armed();
        }
        if before < FLUSH_BYTES && now >= FLUSH_BYTES {
            self.core.alarm.ring();
        }
    }
}
