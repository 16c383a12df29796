//! Looks through one segment: how far it is good, and what comes after that.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use envelope::Cipher;

use crate::disk::{Disk, DiskFile, read_full};
use crate::error::{Action, LogError, Reason};
use crate::format::{
    HEADER_BYTES, Header, Kind, MARK_BYTES, MARK_PAYLOAD_BYTES, frame_check, parse_segment_name, segment_name, u32_at,
    u64_at,
};
use crate::frames::{Defect, Frames, Next};
use crate::limits::READ_BYTES;
use crate::position::Position;
use crate::writer::{UNFINISHED, file_offset};

/// A segment file with its header.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) base: Position,
    pub(crate) log_id: u64,
    /// The position that the end of the file would have.
    pub(crate) limit: Position,
    pub(crate) keys: Keys,
}

/// What a scan does with records that are encrypted.
#[derive(Clone, Debug, Default)]
pub(crate) enum Keys {
    /// Their checks are verified like all others, which needs no keys.
    #[default]
    NotNeeded,
    /// They must decrypt.
    Given(Option<Arc<Cipher>>),
}

/// The good part of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) records: u64,
    /// Position after the last good frame.
    pub(crate) end: Position,
    /// Position after the last good record of the owner.
    pub(crate) last_record_end: Position,
    /// The highest durable position that a mark speaks of.
    pub(crate) marked: Position,
    /// What stands at `end`, if it is not the end of the file.
    pub(crate) defect: Option<Defect>,
}

/// What follows a bad frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aftermath {
    /// Position after the last byte that is not zero, if there is one.
    pub(crate) content_end: Option<Position>,
    /// Whether a mark says that the bad frame was durable.
    pub(crate) proven: bool,
}

/// The bases of all segments on this disk, ascending.
pub(crate) fn list_segments(disk: &dyn Disk) -> Result<Vec<Position>, LogError> {
    let names = disk.list().map_err(|e| LogError::io(Action::Open, disk.describe(""), e))?;
    let mut bases: Vec<_> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}

/// The segment that goes on behind `last` and has no name yet, if one with a good header was begun.
pub(crate) fn find_unnamed(disk: &dyn Disk, last: &Segment) -> Result<Option<Segment>, LogError> {
    let path = disk.describe(UNFINISHED);
    let file = match disk.open(UNFINISHED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|e| LogError::io(Action::Open, &*path, e))?,
    };
    match Segment::read(file, path, None, Some(last.log_id)) {
        Ok(segment) if segment.base > last.base => Ok(Some(Segment { keys: last.keys.clone(), ..segment })),
        Ok(_) | Err(LogError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Segment {
    /// Opens the segment with this base. Its header must be good, and of this log if that is known.
    pub(crate) fn open(disk: &dyn Disk, base: Position, log_id: Option<u64>) -> Result<Self, LogError> {
        let name = segment_name(base);
        let path = disk.describe(&name);
        let file = disk.open(&name).map_err(|e| LogError::io(Action::Open, &*path, e))?;
        Self::read(file, path, Some(base), log_id)
    }

    /// The same with a file that is open.
    pub(crate) fn read(
        file: Arc<dyn DiskFile>,
        path: String,
        base: Option<Position>,
        log_id: Option<u64>,
    ) -> Result<Self, LogError> {
        let mut bytes = [0; HEADER_BYTES];
        let got = read_full(&*file, 0, &mut bytes).map_err(|e| LogError::io(Action::Read, &*path, e))?;
        let len = file.len().map_err(|e| LogError::io(Action::Read, &*path, e))?;
        let corrupt = |reason| LogError::Corrupt { file: path.clone(), offset: 0, reason };
        let header = Header::decode(&bytes[..got]).map_err(|bad| corrupt(Reason::Header(bad)))?;
        if base.is_some_and(|base| base != header.base) || log_id.is_some_and(|id| id != header.log_id) {
            return Err(corrupt(Reason::Foreign));
        }
        let base = header.base;
        let limit = Position(base.0 + len.saturating_sub(HEADER_BYTES as u64));
        let (name, log_id) = (segment_name(base), header.log_id);
        Ok(Self { file, name, path, base, log_id, limit, keys: Keys::default() })
    }

    /// The same; its encrypted records must decrypt with `cipher`.
    pub(crate) fn with_keys(self, cipher: Option<&Arc<Cipher>>) -> Self {
        Self { keys: Keys::Given(cipher.cloned()), ..self }
    }

    /// The error for something bad at `position`.
    pub(crate) fn corrupt(&self, position: Position, reason: Reason) -> LogError {
        LogError::Corrupt { file: self.path.clone(), offset: file_offset(self.base, position), reason }
    }

    pub(crate) fn read_error(&self, error: io::Error) -> LogError {
        LogError::io(Action::Read, &*self.path, error)
    }

    pub(crate) fn frames(&self, from: Position) -> Frames {
        let cipher = match &self.keys {
            Keys::NotNeeded => None,
            Keys::Given(cipher) => cipher.clone(),
        };
        Frames::new(Arc::clone(&self.file), self.log_id, self.base, from, self.limit).with_cipher(cipher)
    }

    /// Reads all good frames from `from` on.
    pub(crate) fn scan(&self, from: Position) -> Result<Scan, LogError> {
        let mut frames = self.frames(from);
        let mut scan = Scan { records: 0, end: from, last_record_end: from, marked: from, defect: None };
        loop {
            let next = frames.next().map_err(|e| self.read_error(e))?;
            if let (Next::Frame(_), Keys::Given(_)) = (&next, &self.keys)
                && let Err(reason) = frames.decrypt()
            {
                // Its check is good: it was written like this.
                return Ok(Scan { defect: Some(Defect { reason, genuine: true }), ..scan });
            }
            scan.end = frames.position();
            match next {
                Next::End => return Ok(scan),
                Next::Bad(defect) => return Ok(Scan { defect: Some(defect), ..scan }),
                Next::Frame(Kind::MARK) if frames.payload().len() != MARK_PAYLOAD_BYTES => {
                    let defect = Defect { reason: Reason::Length, genuine: true };
                    return Ok(Scan { defect: Some(defect), ..scan });
                }
                Next::Frame(Kind::MARK) => scan.marked = scan.marked.max(Position(u64_at(frames.payload(), 0))),
                Next::Frame(_) => {
                    scan.records += 1;
                    scan.last_record_end = scan.end;
                }
            }
        }
    }

    /// Looks at everything from `from` on, which comes after the bad frame at `bad`.
    pub(crate) fn aftermath(&self, from: Position, bad: Position) -> Result<Aftermath, LogError> {
        let mut after = Aftermath::default();
        self.each_chunk(from, |chunk, start| {
            // Most of what follows is reserved and was never written.
            if is_zero(chunk) {
                return ControlFlow::Continue(());
            }
            if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
                after.content_end = Some(Position(start.0 + last as u64 + 1));
            }
            let found = marks_in(chunk, self.log_id, start, |_, durable| {
                if durable > bad { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            after.proven |= found.is_break();
            ControlFlow::Continue(())
        })?;
        Ok(after)
    }

    /// Where the first good mark from `from` on begins.
    pub(crate) fn find_mark(&self, from: Position) -> Result<Option<Position>, LogError> {
        let mut found = None;
        self.each_chunk(from, |chunk, start| {
            marks_in(chunk, self.log_id, start, |at, _| {
                found = Some(at);
                ControlFlow::Break(())
            })
        })?;
        Ok(found)
    }

    /// Visits the rest of the file in pieces that overlap by a little less than a mark, so that each mark is whole in one.
    fn each_chunk(
        &self,
        from: Position,
        mut visit: impl FnMut(&[u8], Position) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        let mut buffer = vec![0; READ_BYTES];
        let mut start = from;
        while start < self.limit {
            let want = ((self.limit.0 - start.0) as usize).min(buffer.len());
            let got = read_full(&*self.file, file_offset(self.base, start), &mut buffer[..want])
                .map_err(|e| self.read_error(e))?;
            if visit(&buffer[..got], start).is_break() || got < buffer.len() {
                return Ok(());
            }
            start.0 += (got - (MARK_BYTES - 1)) as u64;
        }
        Ok(())
    }
}

/// Whether all bytes are zero: a word at a time, for this is asked of whole segments.
fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<32>();
    words.iter().all(|word| *word == [0; 32]) && rest.iter().all(|byte| *byte == 0)
}

/// Visits every good mark that lies whole in `chunk`, which begins at `start`.
fn marks_in(
    chunk: &[u8],
    log_id: u64,
    start: Position,
    mut visit: impl FnMut(Position, Position) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for (at, mark) in chunk.windows(MARK_BYTES).enumerate() {
        if mark[8] != Kind::MARK.get() || mark[0] != MARK_PAYLOAD_BYTES as u8 {
            continue;
        }
        let (length, check) = (u32_at(mark, 0), u32_at(mark, 4));
        let position = start.0 + at as u64;
        if length == MARK_PAYLOAD_BYTES as u32 && frame_check(&mark[8..], log_id, position, length) == check {
            visit(Position(position), Position(u64_at(mark, 9)))?;
        }
    }
    ControlFlow::Continue(())
}
