//! Looks at a log at rest and says what is wrong with it; copies what is good.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, RealDisk, read_full, write_all};
use crate::error::{Action, LogError, Reason};
use crate::format::FRAME_HEADER_BYTES;
use crate::frames::Next;
use crate::limits::READ_BYTES;
use crate::log::take_lock;
use crate::options::{Options, Preallocate};
use crate::position::Position;
use crate::recover::{Tail, into_io, judge_absent, judge_last, judge_reach, judge_sealed, judge_tail};
use crate::scan::{Scan, Segment, find_unnamed, list_segments};
use crate::writer::{Blueprint, UNFINISHED, create_segment, file_offset};

/// The state of a log at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Segment files.
    pub segments: usize,
    /// Where the log begins.
    pub first: Position,
    /// Where its good prefix ends: what `salvage` keeps.
    pub good_end: Position,
    /// Records in the good prefix.
    pub good_records: u64,
    /// How the good prefix ends, if nothing is corrupt: a cut here would be made by `open`.
    pub tail: Tail,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
    /// What is still readable after it.
    pub after: After,
}

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// Byte offset in it.
    pub offset: u64,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is still readable after a fault. A lower bound: reading begins again behind the bad record if its length is
/// intact, else at the next mark of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// Records.
    pub records: u64,
    /// Bytes of their frames, and of marks among them.
    pub bytes: u64,
}

/// Verifies the log in the directory at `path` without changing it, from the segment that holds `from` on. It is at fault as well
/// if it ends before `reaches`, up to where its owner knows that it was durable.
///
/// # Errors
/// `Locked` if it is in use, `Io`. Damage is no error but in the report.
pub fn check(path: impl AsRef<Path>, from: Position, reaches: Position) -> Result<Report, LogError> {
    check_disk(&existing(path.as_ref())?, from, reaches)
}

/// Verifies the log on `disk` without changing it.
///
/// # Errors
/// As [`check`].
pub fn check_disk(disk: &dyn Disk, from: Position, reaches: Position) -> Result<Report, LogError> {
    let _lock = take_lock(disk)?;
    let bases = bases_from(disk, from)?;
    examine(disk, &bases, reaches).map(|(report, _)| report)
}

/// Copies what is good of the log in the directory at `path` to a new one at `to`, which can then be opened: from the segment
/// that holds `range.start` on, up to the first fault, at most to `range.end`, which must be where a record begins or ends.
/// The report is of the segments that were looked at.
///
/// # Errors
/// `NotEmpty` if `to` holds a log, else as [`check`].
pub fn salvage(path: impl AsRef<Path>, to: impl AsRef<Path>, range: Range<Position>) -> Result<Report, LogError> {
    salvage_disk(&existing(path.as_ref())?, &created(to.as_ref())?, range)
}

/// Begins a log without records in the directory at `to`, where all below `first` is known to be elsewhere.
///
/// # Errors
/// `NotEmpty` if `to` holds a log, `Locked`, `Io`.
pub fn begin_at(to: impl AsRef<Path>, first: Position) -> Result<(), LogError> {
    let disk = created(to.as_ref())?;
    let _lock = take_lock(&disk)?;
    refuse_log(&disk)?;
    let options = Options::default();
    let plan = Blueprint { log_id: disk.entropy(), preallocate: Preallocate::No, segment_bytes: options.segment_bytes };
    create_segment(&disk, plan, first).map_err(into_io)?;
    disk.sync_dir().map_err(|e| LogError::io(Action::Sync, disk.describe(""), e))
}

fn created(path: &Path) -> Result<RealDisk, LogError> {
    RealDisk::create(path).map_err(|e| LogError::io(Action::Create, path.display().to_string(), e))
}

fn refuse_log(disk: &dyn Disk) -> Result<(), LogError> {
    if list_segments(disk)?.is_empty() { Ok(()) } else { Err(LogError::NotEmpty { dir: disk.describe("") }) }
}

/// Copies what is good of the log on `from` to `to`.
///
/// # Errors
/// As [`salvage`].
pub fn salvage_disk(from: &dyn Disk, to: &dyn Disk, range: Range<Position>) -> Result<Report, LogError> {
    let _from_lock = take_lock(from)?;
    let _to_lock = take_lock(to)?;
    refuse_log(to)?;
    let bases = bases_from(from, range.start)?;
    let (report, unnamed) = examine(from, &bases, Position::START)?;
    let end = report.good_end.min(range.end);
    for base in bases {
        if base > end || (base == end && base > report.first) {
            break;
        }
        // A header that is bad ends the good prefix before it, so this one can only fail if it is the first.
        let Ok(segment) = Segment::open(from, base, None) else { break };
        copy_segment(&segment, to, end)?;
    }
    if let Some(segment) = unnamed.filter(|segment| segment.base < end) {
        copy_segment(&segment, to, end)?;
    }
    to.sync_dir().map_err(|e| LogError::io(Action::Sync, to.describe(""), e))?;
    Ok(report)
}

fn existing(path: &Path) -> Result<RealDisk, LogError> {
    RealDisk::existing(path).map_err(|e| LogError::io(Action::Open, path.display().to_string(), e))
}

/// The bases of all segments, from the one on that holds `start`.
fn bases_from(disk: &dyn Disk, start: Position) -> Result<Vec<Position>, LogError> {
    let bases = list_segments(disk)?;
    let below = bases.partition_point(|base| *base <= start);
    Ok(bases[below.saturating_sub(1)..].to_vec())
}

/// The report, and the last segment if it has no name yet.
fn examine(disk: &dyn Disk, bases: &[Position], reaches: Position) -> Result<(Report, Option<Segment>), LogError> {
    let first = bases.first().copied().unwrap_or_default();
    let mut report = Report {
        segments: bases.len(),
        first,
        good_end: first,
        good_records: 0,
        tail: Tail::Clean,
        fault: None,
        after: After::default(),
    };
    if bases.is_empty() {
        note(judge_absent(disk, reaches), &mut report)?;
    }
    let (mut log_id, mut unnamed, mut last) = (None, None, None);
    for (i, base) in bases.iter().enumerate() {
        let segment = match Segment::open(disk, *base, log_id) {
            Ok(segment) => segment,
            Err(error) => {
                note(Err(error), &mut report)?;
                continue;
            }
        };
        log_id = Some(segment.log_id);
        let scan = segment.scan(*base)?;
        let behind = match bases.get(i + 1) {
            Some(_) => None,
            None => find_unnamed(disk, &segment)?,
        };
        let verdict = match (bases.get(i + 1), &behind) {
            (Some(next), _) => judge_sealed(&segment, &scan, *next).map(|()| Tail::Clean),
            (None, Some(next)) if next.base == scan.end => {
                judge_sealed(&segment, &scan, next.base).map(|()| Tail::Clean)
            }
            (None, next) => judge_last(&segment, &scan, next.as_ref()),
        };
        note(examine_segment(&segment, &scan, verdict, &mut report), &mut report)?;
        unnamed = behind.filter(|next| next.base == scan.end);
        last = Some((segment, scan.end));
    }
    if let Some(next) = &unnamed {
        report.segments += 1;
        let scan = next.scan(next.base)?;
        note(examine_segment(next, &scan, judge_tail(next, &scan), &mut report), &mut report)?;
        last = Some((next.clone(), scan.end));
    }
    if let Some((last, end)) = last {
        note(judge_reach(&last, end, reaches), &mut report)?;
    }
    Ok((report, unnamed))
}

/// Keeps the first fault, and goes on; any other error ends the examination.
fn note(verdict: Result<(), LogError>, report: &mut Report) -> Result<(), LogError> {
    match verdict {
        Err(LogError::Corrupt { file, offset, reason }) => {
            report.fault.get_or_insert(Fault { file, offset, reason });
            Ok(())
        }
        other => other,
    }
}

/// Adds one segment to the report.
fn examine_segment(
    segment: &Segment,
    scan: &Scan,
    verdict: Result<Tail, LogError>,
    report: &mut Report,
) -> Result<(), LogError> {
    if report.fault.is_none() {
        report.good_end = scan.end;
        report.good_records += scan.records;
    } else {
        report.after.records += scan.records;
        report.after.bytes += scan.end.0 - segment.base.0;
    }
    match verdict {
        Ok(tail) => report.tail = tail,
        Err(error) => {
            count_after(segment, scan.end, &mut report.after)?;
            return Err(error);
        }
    }
    Ok(())
}

/// Counts what is readable behind the bad frame at `bad`.
fn count_after(segment: &Segment, mut bad: Position, after: &mut After) -> Result<(), LogError> {
    while let Some(from) = resume_after(segment, bad)? {
        let scan = segment.scan(from)?;
        after.records += scan.records;
        after.bytes += scan.end.0 - from.0;
        bad = scan.end;
    }
    Ok(())
}

/// Where the first frame behind the bad one at `bad` begins, as far as it can be known.
fn resume_after(segment: &Segment, bad: Position) -> Result<Option<Position>, LogError> {
    let mut length = [0; 4];
    let got =
        read_full(&*segment.file, file_offset(segment.base, bad), &mut length).map_err(|e| segment.read_error(e))?;
    if got < length.len() {
        return Ok(None);
    }
    let behind = Position(bad.0 + FRAME_HEADER_BYTES as u64 + u64::from(u32::from_le_bytes(length)));
    if behind < segment.limit {
        let next = segment.frames(behind).next().map_err(|e| segment.read_error(e))?;
        if matches!(next, Next::Frame(_)) {
            return Ok(Some(behind));
        }
    }
    segment.find_mark(Position(bad.0 + 1))
}

/// Copies a segment up to `end`.
fn copy_segment(segment: &Segment, to: &dyn Disk, end: Position) -> Result<(), LogError> {
    let failed = |action| {
        let file = to.describe(&segment.name);
        move |error| LogError::io(action, file, error)
    };
    let file: Arc<dyn DiskFile> = to.create(UNFINISHED).map_err(failed(Action::Create))?;
    let total = file_offset(segment.base, end.min(segment.limit));
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    while offset < total {
        let want = ((total - offset) as usize).min(buffer.len());
        let got = read_full(&*segment.file, offset, &mut buffer[..want]).map_err(|e| segment.read_error(e))?;
        if got == 0 {
            break;
        }
        write_all(&*file, offset, &buffer[..got]).map_err(failed(Action::Write))?;
        offset += got as u64;
    }
    file.sync_all().map_err(failed(Action::Sync))?;
    to.rename(UNFINISHED, &segment.name).map_err(failed(Action::Create))
}
