//! The log as a start would read it: every frame, then every batch behind the last checkpoint.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use effect::{Batches, Origin};
use wal::{Position, Reader, Record, Report, Tail};

use super::{CheckError, Damage, Inspection};
use crate::ciphers::Ciphers;
use crate::engine::RECORD_BATCHES;
use crate::replica::{RECORD_STATE, State};

/// Verifies every frame. None if there is no directory, which is a fault if there has to be one.
pub(super) fn verify(
    dir: &Path,
    reaches: Position,
    has_rows: bool,
    seen: &mut Inspection,
) -> Result<Option<Report>, CheckError> {
    if !dir.exists() {
        if has_rows || reaches > Position::START {
            let what = format!("is missing, but the log was durable up to position {reaches}");
            seen.faults.push(Damage::new(dir, None, what));
        }
        return Ok(None);
    }
    let report = wal::check(dir, Position::START, reaches)?;
    let Report { segments, first, good_end, good_records, tail, fault, after } = &report;
    let state = if fault.is_some() { "good up to the fault below" } else { "good" };
    seen.found
        .push(format!("log: {segments} segments, {state}: positions {first} to {good_end}, {good_records} records"));
    if let (Tail::Cut { file, offset, bytes, .. }, None) = (tail, fault) {
        seen.found.push(format!(
            "log: {file}: the last {bytes} bytes, from offset {offset} on, are half a write that was never known to be \
             durable; the next start cuts them off"
        ));
    }
    if let Some(fault) = fault {
        let behind = match after.records {
            0 => String::new(),
            records => format!("; {records} records behind it can be read, but not without what is missing"),
        };
        seen.faults.push(Damage::new(&fault.file, Some(fault.offset), format_args!("{}{behind}", fault.reason)));
    }
    Ok(Some(report))
}

/// Reads the batches that a start would replay, and notes up to where they are good.
pub(super) fn follow(
    dir: &Path,
    reaches: Position,
    whole: Option<&Report>,
    ciphers: &Ciphers,
    seen: &mut Inspection,
) -> Result<(), CheckError> {
    let from = seen.plan.from;
    let Some(whole) = whole.filter(|_| seen.plan.lost.is_none()) else { return Ok(()) };
    // Damage below the checkpoint does not matter to what can be saved: then it is the rest that counts.
    let rest = whole.fault.is_some().then(|| wal::check(dir, from, reaches)).transpose()?;
    let report = rest.as_ref().unwrap_or(whole);
    if report.segments == 0 || report.first > from || report.good_end < from {
        return Ok(());
    }
    seen.plan.until = Some(report.good_end);
    let disk = wal::disk::RealDisk::existing(dir).map_err(CheckError::io(dir))?;
    let Some(mut reader) = Reader::of_prefix(Arc::new(disk), from, report.good_end)? else { return Ok(()) };
    let mut next: HashMap<Origin, u64> =
        seen.plan.rows.as_ref().map(|rows| rows.origins.iter().copied().collect()).unwrap_or_default();
    if let Some(cipher) = &ciphers.log {
        reader = reader.with_cipher(Arc::clone(cipher));
    }
    let mut good = from;
    loop {
        let read = match reader.next() {
            Ok(None) => return Ok(()),
            Ok(Some(record)) => {
                let end = record.end;
                decode(&record, &mut next).map(|()| good = end).map_err(|what| (record.start, what))
            }
            Err(error) => {
                // The frame is good, and yet it cannot be decrypted.
                seen.faults.push(Damage::of(error)?);
                seen.plan.until = Some(good);
                return Ok(());
            }
        };
        if let Err((start, what)) = read {
            let (file, offset) = reader.place_of(start)?;
            seen.faults.push(Damage::new(file, Some(offset), what));
            seen.plan.until = Some(start);
            return Ok(());
        }
    }
}

/// Whether a record holds batches that can be read and that follow those before.
fn decode(record: &Record<'_>, next: &mut HashMap<Origin, u64>) -> Result<(), String> {
    if record.kind == RECORD_STATE {
        return State::decode(record.payload)
            .map(drop)
            .map_err(|error| format!("a state that cannot be read: {error}"));
    }
    if record.kind != RECORD_BATCHES {
        return Err(format!("a record of kind {}: another version of the program wrote it", record.kind.get()));
    }
    let unreadable = |error| format!("a batch that cannot be read: {error}");
    for batch in Batches::decode(record.payload) {
        let batch = batch.map_err(unreadable)?;
        for effect in batch.effects() {
            effect.map_err(unreadable)?;
        }
        let (origin, found) = (batch.first.origin, batch.first.seq);
        let due = next.entry(origin).or_insert(found);
        if *due != found {
            return Err(format!("sequence number {found} of origin {:#x} where {due} was due", origin.0));
        }
        *due += batch.len();
    }
    Ok(())
}
