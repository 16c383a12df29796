//! The buffer that records are appended to, and the guard that appends.

use envelope::HEAD_BYTES;
use parking_lot::MutexGuard;

use crate::batch::Batch;
use crate::core::Core;
use crate::error::LogError;
use crate::format::{FRAME_HEADER_BYTES, Kind, end_frame, frame_header, seal_frame};
use crate::limits::{FLUSH_BYTES, JOINED_BYTES};
use crate::options::Options;
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
    /// Where in the buffer the last record begins, if it may still grow: it has neither length nor check yet.
    open: Option<usize>,
    segment_bytes: u64,
    max_payload_bytes: usize,
    log_id: u64,
    /// Payloads are encrypted when the buffer is taken; room is left in front of each, and checks are left out until then.
    is_encrypted: bool,
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
    pub(crate) fn new(state: S, resume: Resume, options: &Options) -> Self {
        let Options { segment_bytes, max_payload_bytes, .. } = *options;
        Self {
            state,
            batch: Batch::at(resume.end),
            segment_base: resume.segment_base,
            last_record_end: resume.last_record_end,
            marked: resume.marked,
            records: 0,
            payload_bytes: 0,
            open: None,
            segment_bytes,
            max_payload_bytes,
            log_id: resume.log_id,
            is_encrypted: options.cipher.is_some(),
        }
    }

    /// Position after all that was appended.
    pub(crate) fn end(&self) -> Position {
        self.batch.end()
    }

    /// The same, as a place where a reader may begin: the last record is complete.
    pub(crate) fn boundary(&mut self) -> Position {
        self.close();
        self.end()
    }

    /// Appends a record, which stays open.
    #[inline]
    fn append(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<(), LogError> {
        let (len, limit) = (total(parts), self.max_payload_bytes);
        if len > limit {
            return Err(LogError::TooLarge { len, limit });
        }
        self.close();
        self.open = Some(self.batch.bytes.len());
        self.batch.bytes.extend_from_slice(&frame_header(kind.byte(self.is_encrypted)));
        if self.is_encrypted {
            self.batch.bytes.extend_from_slice(&[0; HEAD_BYTES]);
        }
        self.add(parts);
        Ok(())
    }

    /// Whether the last record is open, of this kind, and has room for so many bytes.
    #[inline]
    fn can_extend(&self, kind: Kind, more: usize) -> bool {
        let limit = JOINED_BYTES.min(self.max_payload_bytes);
        self.open.is_some_and(|at| {
            let len = self.batch.bytes.len() - at - FRAME_HEADER_BYTES;
            self.batch.bytes[at + FRAME_HEADER_BYTES - 1] == kind.byte(self.is_encrypted) && len + more <= limit
        })
    }

    #[inline]
    fn add(&mut self, parts: &[&[u8]]) {
        let len = total(parts);
        self.batch.bytes.reserve(len);
        parts.iter().for_each(|part| self.batch.bytes.extend_from_slice(part));
        self.records += 1;
        self.payload_bytes += len as u64;
        self.last_record_end = self.end();
    }

    /// Completes the record that is open, and begins a new segment with it if the present one has no room for it. The
    /// check does not depend on the segment, so this can be decided last.
    pub(crate) fn close(&mut self) {
        let Some(at) = self.open.take() else { return };
        let position = Position(self.batch.start.0 + at as u64);
        if self.is_encrypted {
            end_frame(&mut self.batch.bytes[at..]);
        } else {
            seal_frame(&mut self.batch.bytes[at..], self.log_id, position.0);
        }
        if self.end().0 - self.segment_base.0 > self.segment_bytes {
            self.cut_at(position);
        }
    }

    /// Appends a mark: the log is durable up to `durable`.
    pub(crate) fn append_mark(&mut self, durable: Position) {
        self.close();
        self.open = Some(self.batch.bytes.len());
        self.batch.bytes.extend_from_slice(&frame_header(Kind::MARK.get()));
        self.batch.bytes.extend_from_slice(&durable.0.to_le_bytes());
        self.close();
        self.marked = durable;
    }

    /// Whether a quiet log should say in a mark that its last record is durable.
    pub(crate) fn lacks_mark(&self) -> bool {
        self.marked < self.last_record_end
    }

    /// Begins a new segment here, unless the present one is empty.
    pub(crate) fn cut(&mut self) -> Position {
        let end = self.boundary();
        self.cut_at(end);
        end
    }

    fn cut_at(&mut self, position: Position) {
        if position > self.segment_base {
            self.batch.cuts.push_back(position);
            self.segment_base = position;
        }
    }
}

#[inline]
fn total(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
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

    /// Position after the last record appended, which is not extended any more: a reader may begin here.
    #[must_use]
    pub fn end(&mut self) -> Position {
        self.active.boundary()
    }

    /// Appends one record, whose payload is `parts` one after another. Says the position after it: what to
    /// wait for.
    ///
    /// # Errors
    /// `Poisoned`, `NoSpace` and `TooLarge`; then nothing was appended.
    #[inline]
    pub fn append(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<Position, LogError> {
        self.change(|active| active.append(kind, parts))
    }

    /// Whether [`Appender::extend`] can add so many bytes to the last record: it is of this kind, nothing of it is on its
    /// way to the disk, and it stays small. One frame is cheaper than many, in time and in bytes.
    #[inline]
    #[must_use]
    pub fn can_extend(&self, kind: Kind, more: usize) -> bool {
        self.active.can_extend(kind, more)
    }

    /// Adds `parts` to the payload of the last record, which [`Appender::can_extend`] has just allowed. Says the position
    /// after them. A reader sees the record whole, or nothing of it.
    ///
    /// # Errors
    /// `Poisoned` and `NoSpace`; then nothing was added.
    #[inline]
    pub fn extend(&mut self, parts: &[&[u8]]) -> Result<Position, LogError> {
        debug_assert!(self.active.open.is_some(), "only an open record is extended");
        self.change(|active| {
            active.add(parts);
            Ok(())
        })
    }

    #[inline]
    fn change(&mut self, change: impl FnOnce(&mut Active<S>) -> Result<(), LogError>) -> Result<Position, LogError> {
        self.core.progress.writable()?;
        let before = self.active.batch.bytes.len();
        change(&mut self.active)?;
        self.signal(before);
        Ok(self.active.end())
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
