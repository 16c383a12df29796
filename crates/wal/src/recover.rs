//! Opening a log: verify it, cut an unproven tail, make durable what remains.

use std::sync::Arc;

use crate::active::Resume;
use crate::disk::{Disk, DiskFile, read_full, write_all};
use crate::error::{Action, Failure, LogError, Reason};
use crate::limits::READ_BYTES;
use crate::options::{Options, Verify};
use crate::position::Position;
use crate::scan::{Scan, Segment, list_segments};
use crate::writer::{Blueprint, UNFINISHED, create_segment, file_offset, reserve};

/// What opening a log has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Position of the first record, or where it will be.
    pub first: Position,
    /// Where the log goes on.
    pub end: Position,
    /// How many records were read and verified.
    pub records: u64,
    /// How many segments there are.
    pub segments: usize,
    /// How the last segment ended.
    pub tail: Tail,
}

/// How the last segment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// With a whole record.
    Clean,
    /// With bytes that are no record and that nothing proves to have been durable: they were cut off.
    Cut {
        /// The file.
        file: String,
        /// Where it was cut.
        offset: u64,
        /// Bytes that were lost.
        bytes: u64,
        /// What was wrong at the cut.
        reason: Reason,
    },
}

/// What is needed to go on.
pub(crate) struct Opened {
    pub(crate) recovery: Recovery,
    pub(crate) resume: Resume,
    pub(crate) bases: Vec<Position>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) blueprint: Blueprint,
}

/// Reads what there is, or begins a new log.
pub(crate) fn recover(disk: &dyn Disk, options: &Options) -> Result<Opened, LogError> {
    remove_unfinished(disk)?;
    let mut bases = list_segments(disk)?;
    let new = bases.is_empty();
    if new {
        let plan = blueprint(disk.entropy(), options);
        create_segment(disk, plan, Position::START).map_err(into_io)?;
        bases.push(Position::START);
    }
    let mut records = 0;
    let mut log_id = None;
    for pair in bases.windows(2) {
        let segment = Segment::open(disk, pair[0], log_id)?;
        log_id = Some(segment.log_id);
        if options.verify == Verify::All {
            records += verify_sealed(&segment, pair[1])?;
        }
    }
    let last = *bases.last().expect("a segment was created if there was none");
    let mut segment = Segment::open(disk, last, log_id)?;
    if new {
        // The room that was reserved for it need not be read.
        segment.limit = segment.base;
    }
    let scan = segment.scan(last)?;
    let tail = judge_tail(&segment, &scan)?;
    settle(&segment, &scan, &tail)?;
    let blueprint = blueprint(segment.log_id, options);
    reserve(&*segment.file, blueprint, file_offset(last, scan.end));
    Ok(Opened {
        recovery: Recovery {
            first: bases[0],
            end: scan.end,
            records: records + scan.records,
            segments: bases.len(),
            tail,
        },
        resume: Resume {
            log_id: segment.log_id,
            end: scan.end,
            segment_base: last,
            last_record_end: scan.last_record_end,
            marked: scan.marked,
        },
        bases,
        file: segment.file,
        blueprint,
    })
}

/// Checks all of a segment that another one follows, at `next`: it was durable before that one got its name. Says how
/// many records it holds.
pub(crate) fn verify_sealed(segment: &Segment, next: Position) -> Result<u64, LogError> {
    let scan = segment.scan(segment.base)?;
    if scan.end > next {
        return Err(segment.corrupt(scan.end, Reason::Overlap(next)));
    }
    match scan.defect {
        Some(defect) if scan.end < next || defect.genuine => Err(segment.corrupt(scan.end, defect.reason)),
        Some(_) if segment.aftermath(scan.end)?.content_end.is_some() => {
            Err(segment.corrupt(scan.end, Reason::Trailing))
        }
        None if scan.end < next => Err(segment.corrupt(scan.end, Reason::Missing(scan.end, next))),
        _ => Ok(scan.records),
    }
}

/// Tells a torn tail from corruption: whatever a surviving mark says was durable must be good.
pub(crate) fn judge_tail(segment: &Segment, scan: &Scan) -> Result<Tail, LogError> {
    let Some(defect) = &scan.defect else { return Ok(Tail::Clean) };
    let after = segment.aftermath(scan.end)?;
    if defect.genuine || after.proven {
        return Err(segment.corrupt(scan.end, defect.reason.clone()));
    }
    Ok(match after.content_end {
        None => Tail::Clean,
        Some(end) => Tail::Cut {
            file: segment.path.clone(),
            offset: file_offset(segment.base, scan.end),
            bytes: end.0 - scan.end.0,
            reason: defect.reason.clone(),
        },
    })
}

/// Makes what was read durable. What no mark covers is written again first: if a sync of it failed in an earlier process, the
/// kernel may hold it as clean in memory though it never reached the disk, and a sync alone would do nothing.
fn settle(segment: &Segment, scan: &Scan, tail: &Tail) -> Result<(), LogError> {
    let write_error = |e| LogError::io(Action::Write, &*segment.path, e);
    if scan.end < segment.limit {
        segment.file.truncate(file_offset(segment.base, scan.end)).map_err(write_error)?;
    }
    let mut buffer = vec![0; READ_BYTES];
    let mut from = scan.marked;
    while from < scan.end {
        let want = ((scan.end.0 - from.0) as usize).min(buffer.len());
        let offset = file_offset(segment.base, from);
        let got = read_full(&*segment.file, offset, &mut buffer[..want]).map_err(|e| segment.read_error(e))?;
        if got == 0 {
            return Err(segment.corrupt(from, Reason::Length));
        }
        write_all(&*segment.file, offset, &buffer[..got]).map_err(write_error)?;
        from.0 += got as u64;
    }
    let untouched = scan.end == segment.limit && scan.marked == scan.end && *tail == Tail::Clean;
    if untouched { Ok(()) } else { segment.file.sync_all().map_err(|e| LogError::io(Action::Sync, &*segment.path, e)) }
}

fn remove_unfinished(disk: &dyn Disk) -> Result<(), LogError> {
    match disk.remove(UNFINISHED) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LogError::io(Action::Remove, disk.describe(UNFINISHED), error))
        }
        _ => Ok(()),
    }
}

fn blueprint(log_id: u64, options: &Options) -> Blueprint {
    Blueprint { log_id, preallocate: options.preallocate, segment_bytes: options.segment_bytes }
}

fn into_io(failure: Failure) -> LogError {
    LogError::io(failure.action, failure.file, failure.error)
}
