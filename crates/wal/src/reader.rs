//! Reads records in order, from a log that is being written or from a directory at rest.

use std::io;
use std::sync::Arc;

use envelope::{Cipher, DataKeyId};

use crate::disk::Disk;
use crate::error::{Action, LogError};
use crate::format::{Kind, segment_name};
use crate::frames::{Frames, Next};
use crate::position::Position;
use crate::progress::Progress;
use crate::recover::End;
use crate::scan::{Segment, find_unnamed, list_segments};
use crate::segments::{Segments, Span};
use crate::writer::{UNFINISHED, file_offset};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins.
    pub start: Position,
    /// Position after it: what `append` said.
    pub end: Position,
    /// What it is to its owner.
    pub kind: Kind,
    /// What was appended.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// The position behind the first `len` bytes of the payload: what `append` or `extend` said when they were added.
    #[must_use]
    pub fn position_at(&self, len: usize) -> Position {
        Position(self.end.0 - (self.payload.len() - len) as u64)
    }
}

/// Where reading stops.
enum Limit {
    Written(Arc<Progress>),
    At(Position),
}

impl Limit {
    fn get(&self) -> Position {
        match self {
            Self::Written(progress) => progress.written(),
            Self::At(position) => *position,
        }
    }
}

/// Reads records in order, with memory for one buffer or the largest record.
pub struct Reader {
    disk: Arc<dyn Disk>,
    segments: Segments,
    limit: Limit,
    log_id: u64,
    position: Position,
    open: Option<(Span, Frames)>,
    cipher: Option<Arc<Cipher>>,
}

impl Reader {
    pub(crate) fn live(
        disk: Arc<dyn Disk>,
        segments: Segments,
        progress: Arc<Progress>,
        log_id: u64,
        from: Position,
    ) -> Self {
        Self { disk, segments, limit: Limit::Written(progress), log_id, position: from, open: None, cipher: None }
    }

    /// Reads a log at rest, without changing it, from `from` (or from its beginning) to the end of what is good. Nobody
    /// may write to it meanwhile; no lock is taken. None if there is no log.
    ///
    /// # Errors
    /// `Removed`, `Beyond`, `Corrupt` and `Io`.
    pub fn at_rest(disk: Arc<dyn Disk>, from: Option<Position>) -> Result<Option<Self>, LogError> {
        let bases = list_segments(&*disk)?;
        let (Some(first), Some(last)) = (bases.first().copied(), bases.last().copied()) else { return Ok(None) };
        let End { full, segment, scan, .. } = End::find(&*disk, Segment::open(&*disk, last, None)?)?;
        let from = from.unwrap_or(first);
        if from > scan.end {
            return Err(LogError::Beyond { wanted: from, end: scan.end });
        }
        let segments = Segments::new(bases);
        if full.is_some() {
            segments.push_unnamed(segment.base, Arc::clone(&segment.file));
        }
        segments.find(from)?;
        let limit = Limit::At(scan.end);
        Ok(Some(Self { disk, segments, limit, log_id: segment.log_id, position: from, open: None, cipher: None }))
    }

    /// Reads a log at rest from `from` to `end`, as far as a check has found it good. Nobody may write to it meanwhile; no lock
    /// is taken. None if there is no log.
    ///
    /// # Errors
    /// `Removed`, `Corrupt` and `Io`.
    pub fn of_prefix(disk: Arc<dyn Disk>, from: Position, end: Position) -> Result<Option<Self>, LogError> {
        let mut bases = list_segments(&*disk)?;
        let unnamed = match bases.last() {
            Some(last) if *last < end => find_unnamed(&*disk, &Segment::open(&*disk, *last, None)?)?,
            _ => None,
        };
        bases.retain(|base| *base < end);
        let Some(first) = bases.first() else { return Ok(None) };
        let log_id = Segment::open(&*disk, *first, None)?.log_id;
        let segments = Segments::new(bases);
        if let Some(next) = unnamed.filter(|next| next.base < end) {
            segments.push_unnamed(next.base, next.file);
        }
        segments.find(from)?;
        let limit = Limit::At(end);
        Ok(Some(Self { disk, segments, limit, log_id, position: from, open: None, cipher: None }))
    }

    /// The same, of records that may be encrypted. One that is, is an error without.
    #[must_use]
    pub fn with_cipher(self, cipher: Arc<Cipher>) -> Self {
        Self { cipher: Some(cipher), ..self }
    }

    /// What the record that was read last is encrypted with, if it is.
    pub(crate) fn data_key(&self) -> Option<DataKeyId> {
        self.open.as_ref().and_then(|(_, frames)| frames.data_key())
    }

    /// In which file, and at which offset, `position` lies.
    ///
    /// # Errors
    /// `Removed`.
    pub fn place_of(&self, position: Position) -> Result<(String, u64), LogError> {
        let span = self.segments.find(position)?;
        let name = if span.unnamed.is_some() { UNFINISHED.to_owned() } else { segment_name(span.base) };
        Ok((self.disk.describe(&name), file_offset(span.base, position)))
    }

    /// Where the next record will be looked for: what to begin a later reader with.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next record. None at the end of what is written: ask again when there is more.
    ///
    /// # Errors
    /// `Corrupt` if the next record is not what was written, `Removed` if it is gone, `Io`. Asking again tries again.
    #[expect(clippy::should_implement_trait, reason = "the record borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, LogError> {
        let (start, kind) = loop {
            let Some((base, frames)) = self.advance()? else { return Ok(None) };
            let start = frames.position();
            match frames.next() {
                Ok(Next::End) => {}
                Ok(Next::Frame(kind)) => {
                    if let Err(reason) = frames.decrypt() {
                        let (file, offset) = (self.disk.describe(&segment_name(base)), file_offset(base, start));
                        self.open = None;
                        return Err(LogError::Corrupt { file, offset, reason });
                    }
                    self.position = frames.position();
                    if !kind.is_own() {
                        break (start, kind);
                    }
                }
                Ok(Next::Bad(defect)) => {
                    let (file, offset) = (self.disk.describe(&segment_name(base)), file_offset(base, start));
                    self.open = None;
                    return Err(LogError::Corrupt { file, offset, reason: defect.reason });
                }
                Err(error) => {
                    let file = self.disk.describe(&segment_name(base));
                    self.open = None;
                    return Err(LogError::io(Action::Read, file, error));
                }
            }
        };
        let (_, frames) = self.open.as_ref().expect("the record was read from the open segment");
        Ok(Some(Record { start, end: self.position, kind, payload: frames.payload() }))
    }

    /// The frames at the present position, if there are any below the limit.
    fn advance(&mut self) -> Result<Option<(Position, &mut Frames)>, LogError> {
        let stale = match &self.open {
            None => true,
            Some((_, frames)) => frames.is_at_limit(),
        };
        if stale {
            // The limit first: if the segment has no end after that, everything below this limit lies in it.
            let limit = self.limit.get();
            if self.position >= limit {
                return Ok(None);
            }
            let span = self.segments.find(self.position)?;
            let stop = span.end.map_or(limit, |end| end.min(limit));
            match &mut self.open {
                Some((open, frames)) if open.base == span.base => {
                    frames.set_limit(stop);
                    *open = span;
                }
                _ => self.open = Some((span.clone(), self.open_segment(&span, stop)?)),
            }
        }
        Ok(self.open.as_mut().map(|(span, frames)| (span.base, frames)))
    }

    fn open_segment(&self, span: &Span, stop: Position) -> Result<Frames, LogError> {
        let (base, log_id) = (span.base, Some(self.log_id));
        let opened = match &span.unnamed {
            Some(file) => Segment::read(Arc::clone(file), self.disk.describe(UNFINISHED), Some(base), log_id),
            None => Segment::open(&*self.disk, base, log_id),
        };
        match opened {
            Ok(segment) => {
                Ok(Frames::new(segment.file, self.log_id, span.base, self.position, stop)
                    .with_cipher(self.cipher.clone()))
            }
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(LogError::Removed { wanted: self.position, first: self.segments.first() })
            }
            Err(error) => Err(error),
        }
    }
}
