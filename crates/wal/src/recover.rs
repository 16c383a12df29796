//! Opening a log: verify it, cut an unproven tail, make durable what remains, give the last segment its name.

use std::sync::Arc;

use crate::active::Resume;
use crate::disk::{Disk, DiskFile, read_full, write_all};
use crate::error::{Action, Failure, LogError, Reason};
use crate::format::HEADER_BYTES;
use crate::limits::READ_BYTES;
use crate::options::{Options, Verify};
use crate::position::Position;
use crate::scan::{Scan, Segment, find_unnamed, list_segments};
use crate::writer::{Blueprint, UNFINISHED, create_segment, file_offset, name_segment, reserve, write_header};

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
    let mut bases = list_segments(disk)?;
    let new = bases.is_empty();
    if new {
        judge_absent(disk, options.reaches)?;
        remove_unfinished(disk)?;
        let plan = blueprint(disk.entropy(), options);
        create_segment(disk, plan, Position::START).map_err(into_io)?;
        bases.push(Position::START);
    }
    let mut records = 0;
    let mut log_id = None;
    for pair in bases.windows(2) {
        let segment = Segment::open(disk, pair[0], log_id)?.with_keys(options.cipher.as_ref());
        log_id = Some(segment.log_id);
        if options.verify == Verify::All {
            records += verify_sealed(&segment, pair[1])?;
        }
    }
    let last = *bases.last().expect("a segment was created if there was none");
    let mut segment = Segment::open(disk, last, log_id)?.with_keys(options.cipher.as_ref());
    if new {
        // The room that was reserved for it need not be read.
        segment.limit = segment.base;
    }
    let end = End::find(disk, segment)?;
    judge_reach(&end.segment, end.scan.end, options.reaches)?;
    end.settle(disk)?;
    records += end.full.as_ref().map_or(0, |(_, scan)| scan.records);
    let End { segment, scan, tail, .. } = end;
    if segment.base != last {
        bases.push(segment.base);
    }
    let blueprint = blueprint(segment.log_id, options);
    reserve(&*segment.file, blueprint, file_offset(segment.base, scan.end));
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
            segment_base: segment.base,
            last_record_end: scan.last_record_end,
            marked: scan.marked,
        },
        bases,
        file: segment.file,
        blueprint,
    })
}

/// How a log ends.
pub(crate) struct End {
    /// The segment before the last, if the last has no name yet: then it is not known to be durable.
    pub(crate) full: Option<(Segment, Scan)>,
    pub(crate) segment: Segment,
    pub(crate) scan: Scan,
    pub(crate) tail: Tail,
}

impl End {
    /// Looks at the last segment that has a name, and at one without that goes on behind it.
    pub(crate) fn find(disk: &dyn Disk, last: Segment) -> Result<Self, LogError> {
        let scan = last.scan(last.base)?;
        let unnamed = find_unnamed(disk, &last)?;
        match unnamed {
            Some(next) if next.base == scan.end => {
                judge_sealed(&last, &scan, next.base)?;
                let next_scan = next.scan(next.base)?;
                let tail = judge_tail(&next, &next_scan)?;
                Ok(Self { full: Some((last, scan)), segment: next, scan: next_scan, tail })
            }
            unnamed => {
                let tail = judge_last(&last, &scan, unnamed.as_ref())?;
                Ok(Self { full: None, segment: last, scan, tail })
            }
        }
    }

    /// Makes what was found durable, and removes what does not belong to it.
    fn settle(&self, disk: &dyn Disk) -> Result<(), LogError> {
        let Self { full, segment, scan, tail } = self;
        let Some((full, full_scan)) = full else {
            settle(segment, scan, tail)?;
            remove_unfinished(disk)?;
            // The process before may have ended between giving the last segment its name and making that durable.
            return disk.sync_dir().map_err(|e| LogError::io(Action::Sync, disk.describe(""), e));
        };
        settle(full, full_scan, &Tail::Clean)?;
        // Like its records, its header may be clean in memory though it never reached the disk.
        write_header(disk, &*segment.file, segment.log_id, segment.base).map_err(into_io)?;
        settle(segment, scan, tail)?;
        name_segment(disk, &*segment.file, segment.base).map_err(into_io)
    }
}

/// Checks all of a segment that another one follows, at `next`: it was durable before that one got its name. Says how
/// many records it holds.
fn verify_sealed(segment: &Segment, next: Position) -> Result<u64, LogError> {
    let scan = segment.scan(segment.base)?;
    judge_sealed(segment, &scan, next)?;
    Ok(scan.records)
}

/// Whether a segment ends well where the next begins.
pub(crate) fn judge_sealed(segment: &Segment, scan: &Scan, next: Position) -> Result<(), LogError> {
    if scan.end > next {
        return Err(segment.corrupt(scan.end, Reason::Overlap(next)));
    }
    match &scan.defect {
        Some(defect) if scan.end < next || defect.genuine => Err(segment.corrupt(scan.end, defect.reason.clone())),
        Some(_) if segment.aftermath(scan.end, scan.end)?.content_end.is_some() => {
            Err(segment.corrupt(scan.end, Reason::Trailing))
        }
        None if scan.end < next => Err(segment.corrupt(scan.end, Reason::Missing(scan.end, next))),
        _ => Ok(()),
    }
}

/// Tells a torn tail from corruption: whatever a surviving mark says was durable must be good.
pub(crate) fn judge_tail(segment: &Segment, scan: &Scan) -> Result<Tail, LogError> {
    let Some(defect) = &scan.defect else { return Ok(Tail::Clean) };
    let after = segment.aftermath(scan.end, scan.end)?;
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

/// The same for the last segment that has a name, when one without was begun but not where this one ends: that belongs to
/// what was torn off. Its marks may still say that what is missing was durable.
pub(crate) fn judge_last(segment: &Segment, scan: &Scan, unnamed: Option<&Segment>) -> Result<Tail, LogError> {
    let tail = judge_tail(segment, scan)?;
    let Some(next) = unnamed.filter(|next| next.base > scan.end) else { return Ok(tail) };
    let missing = Reason::Missing(scan.end, next.base);
    let after = next.aftermath(next.base, scan.end)?;
    if after.proven {
        return Err(segment.corrupt(scan.end, missing));
    }
    let lost = after.content_end.map_or(0, |end| end.0 - next.base.0);
    Ok(match tail {
        tail if lost == 0 => tail,
        Tail::Clean => Tail::Cut { file: next.path.clone(), offset: HEADER_BYTES as u64, bytes: lost, reason: missing },
        Tail::Cut { file, offset, bytes, reason } => Tail::Cut { file, offset, bytes: bytes + lost, reason },
    })
}

/// Whether a log that ends at `end`, in its last segment, has all that was durable when its owner noted `due`.
pub(crate) fn judge_reach(last: &Segment, end: Position, due: Position) -> Result<(), LogError> {
    if end < due { Err(last.corrupt(end, Reason::Short(end, due))) } else { Ok(()) }
}

/// Whether there may be no segment at all.
pub(crate) fn judge_absent(disk: &dyn Disk, due: Position) -> Result<(), LogError> {
    if due == Position::START {
        return Ok(());
    }
    Err(LogError::Corrupt { file: disk.describe(""), offset: 0, reason: Reason::Absent(due) })
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

/// Removes a segment that came to nothing. It must be durably gone before anything is appended: that may end just where it
/// begins, and it would be taken for what follows if it came back.
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

pub(crate) fn into_io(failure: Failure) -> LogError {
    LogError::io(failure.action, failure.file, failure.error)
}
