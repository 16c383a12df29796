//! Damage is found where it is, or is in a tail that nothing proves to have been durable; a wrong record is never read.

mod common;

use std::sync::Arc;

use common::{Entry, append, drain, keyed, open, payload, read_all, small};
use proptest::prelude::*;
use wal::disk::Disk;
use wal::format::{FRAME_HEADER_BYTES, HEADER_BYTES};
use wal::testing::MemDisk;
use wal::{Log, LogError, Options, Position, Reader, Reason, Tail, Verify, check_disk, salvage_disk};

/// A log of several segments that was closed, and what is in it.
fn closed_log() -> (MemDisk, Vec<Entry>) {
    let disk = MemDisk::new(7);
    let (log, _) = open(&disk, &small(400)).expect("an empty disk");
    for i in 0..20usize {
        let end = append(&log, 3, &payload(i * 7 % 90, i as u64)).expect("appending works");
        if i % 3 == 0 {
            log.commit(end).expect("committing works");
        }
    }
    let entries = {
        log.sync().expect("syncing works");
        read_all(&log)
    };
    log.close().expect("closing works");
    assert!(names(&disk).len() >= 3, "several segments");
    (disk, entries)
}

fn names(disk: &MemDisk) -> Vec<String> {
    let mut names = disk.list().expect("listing works");
    names.sort();
    names
}

/// Where the frames of a whole segment begin.
fn frame_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        starts.push(at);
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        at += FRAME_HEADER_BYTES + length as usize;
    }
    assert_eq!(at, bytes.len(), "a closed segment ends with a frame");
    starts
}

/// Opens a damaged disk; everything it says must be true.
fn open_damaged(disk: &MemDisk, options: &Options) -> Result<(Log, Tail), LogError> {
    open(disk, options).map(|(log, recovery)| (log, recovery.tail))
}

#[test]
fn any_changed_byte_of_a_closed_log_is_reported_at_its_place() {
    let (disk, entries) = closed_log();
    let names = names(&disk);
    for name in &names {
        let bytes = disk.content(name).unwrap();
        let starts = frame_starts(&bytes);
        let is_last = Some(name) == names.last();
        for at in 0..bytes.len() {
            for xor in [0x01, 0x80, 0xff] {
                let damaged = disk.snapshot();
                assert!(damaged.damage(name, at, xor));
                let start = starts.iter().copied().rfind(|start| *start <= at).unwrap_or(0);
                let final_mark = is_last && Some(&start) == starts.last();
                match open_damaged(&damaged, &small(400)) {
                    Err(LogError::Corrupt { file, offset, .. }) => {
                        assert_eq!((&file, offset), (name, start as u64), "byte {at}");
                        assert!(!final_mark, "the mark of the closing protects all but itself");
                    }
                    Ok((log, tail)) => {
                        assert!(final_mark, "byte {at} of {name} changed and nothing said");
                        assert!(matches!(tail, Tail::Cut { offset, .. } if offset == start as u64));
                        assert_eq!(read_all(&log), entries, "only the mark is lost");
                    }
                    Err(other) => panic!("byte {at}: {other}"),
                }
            }
        }
    }
}

#[test]
fn damage_that_open_was_told_not_to_look_for_is_found_by_the_reader() {
    let (disk, entries) = closed_log();
    let first = &names(&disk)[0];
    disk.damage(first, HEADER_BYTES + FRAME_HEADER_BYTES + 30, 4);
    let (log, _) = open(&disk, &Options { verify: Verify::Tail, ..small(400) }).expect("the tail is good");
    let mut reader = log.reader(log.first()).unwrap();
    let mut good = 0;
    let error = loop {
        match reader.next() {
            Ok(Some(record)) => {
                assert_eq!(record.payload, entries[good].payload);
                good += 1;
            }
            Ok(None) => panic!("damage was read over"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Corrupt { file, reason: Reason::Checksum, .. } if file == *first));
}

#[test]
fn a_missing_a_foreign_and_a_shortened_segment_are_reported() {
    let (disk, _) = closed_log();
    let names = names(&disk);
    let missing = disk.snapshot();
    missing.remove(&names[1]).unwrap();
    assert!(matches!(open(&missing, &small(400)), Err(LogError::Corrupt { reason: Reason::Missing(..), .. })));

    let swapped = disk.snapshot();
    swapped.rename(&names[0], "x").unwrap();
    swapped.rename(&names[1], &names[0]).unwrap();
    swapped.rename("x", &names[1]).unwrap();
    assert!(matches!(open(&swapped, &small(400)), Err(LogError::Corrupt { reason: Reason::Foreign, offset: 0, .. })));

    let foreign = MemDisk::new(99);
    drop(open(&foreign, &small(400)).unwrap());
    let mixed = disk.snapshot();
    let file = mixed.create(&names[0]).unwrap();
    file.write_at(0, &foreign.content(&names[0]).unwrap()).unwrap();
    assert!(matches!(open(&mixed, &small(400)), Err(LogError::Corrupt { .. })));

    let len = disk.content(&names[1]).unwrap().len() as u64;
    for cut in 0..len {
        let short = disk.snapshot();
        short.open(&names[1]).unwrap().truncate(cut).unwrap();
        match open(&short, &small(400)) {
            Err(LogError::Corrupt { file, .. }) => assert_eq!(file, names[1]),
            other => panic!("cut to {cut}: {other:?}"),
        }
    }
    let long = disk.snapshot();
    long.open(&names[1]).unwrap().write_at(len, b"garbage").unwrap();
    assert!(
        matches!(open(&long, &small(400)), Err(LogError::Corrupt { offset, file, .. }) if offset == len && file == names[1])
    );
}

#[test]
fn a_good_frame_in_another_place_or_log_is_no_record() {
    let disk = MemDisk::new(1);
    let (log, _) = open(&disk, &small(4096)).unwrap();
    let one = append(&log, 1, b"the same").unwrap();
    log.commit(one).unwrap();
    drop(log);
    let name = &names(&disk)[0];
    let file = disk.content(name).unwrap();
    let frame = &file[HEADER_BYTES..HEADER_BYTES + one.get() as usize];
    // Stale bytes behind the end, as a recycled block would show them.
    disk.open(name).unwrap().write_at(file.len() as u64, frame).unwrap();
    let (log, recovery) = open(&disk, &small(4096)).unwrap();
    assert_eq!(recovery.records, 1);
    assert!(matches!(recovery.tail, Tail::Cut { reason: Reason::Checksum, .. }));
    assert_eq!(read_all(&log).len(), 1);
}

/// What is cut must be gone from the file: else a new record that ends where an old one began would bring it back.
#[test]
fn a_record_behind_a_cut_never_comes_back() {
    let disk = MemDisk::new(1);
    let (log, _) = open(&disk, &small(4096)).unwrap();
    append(&log, 1, &[1; 50]).unwrap();
    append(&log, 1, &[2; 50]).unwrap();
    log.write_out().unwrap();
    let disk = disk.restart();
    drop(log);
    disk.damage(&names(&disk)[0], HEADER_BYTES + 20, 1);
    let (log, recovery) = open(&disk, &small(4096)).unwrap();
    assert!(matches!(recovery.tail, Tail::Cut { .. }));
    append(&log, 1, &[3; 50]).unwrap();
    log.write_out().unwrap();
    let disk = disk.restart();
    drop(log);
    let (log, _) = open(&disk, &small(4096)).unwrap();
    let found: Vec<_> = read_all(&log).into_iter().map(|entry| entry.payload).collect();
    assert_eq!(found, [vec![3; 50]]);
}

#[test]
fn check_counts_what_is_good_before_and_after_and_salvage_saves_it() {
    let (disk, entries) = closed_log();
    let whole = check_disk(&disk, Position::START, Position::START).unwrap();
    assert_eq!((whole.good_records, &whole.fault), (entries.len() as u64, &None));
    assert_eq!(whole.tail, Tail::Clean);

    let names = names(&disk);
    let bytes = disk.content(&names[1]).unwrap();
    // The second record that has a payload, encrypted or not: marks are no records.
    let is_record = |start: &&usize| bytes[**start + 8] & 0x7f == 3 && bytes[**start] > 24;
    let start = *frame_starts(&bytes).iter().filter(is_record).nth(1).unwrap();
    disk.damage(&names[1], start + FRAME_HEADER_BYTES, 1);
    let before = disk.content(&names[1]);
    let report = check_disk(&disk, Position::START, Position::START).unwrap();
    assert_eq!(disk.content(&names[1]), before, "checking changes nothing");
    let fault = report.fault.clone().unwrap();
    assert_eq!((&fault.file, fault.offset, &fault.reason), (&names[1], start as u64, &Reason::Checksum));
    let bad = entries.iter().position(|entry| entry.end > report.good_end).unwrap();
    assert_eq!(report.good_records, bad as u64);
    assert_eq!(report.after.records as usize, entries.len() - bad - 1, "all but the bad record is still readable");

    let to = MemDisk::new(2);
    assert_eq!(salvage_disk(&disk, &to, Position::START..Position::MAX).unwrap(), report);
    assert!(matches!(salvage_disk(&disk, &to, Position::START..Position::MAX), Err(LogError::NotEmpty { .. })));
    let (log, recovery) = open(&to, &small(400)).expect("what was salvaged opens");
    assert_eq!(recovery.tail, Tail::Clean);
    assert_eq!(read_all(&log), entries[..bad]);
    let end = append(&log, 1, b"on").unwrap();
    log.commit(end).unwrap();
}

#[test]
fn a_log_at_rest_is_read_without_being_changed() {
    let (disk, entries) = closed_log();
    let reader = Reader::at_rest(Arc::new(disk.clone()), None).unwrap().expect("there is a log");
    assert_eq!(drain(&mut keyed(reader)).unwrap(), entries);
    let later = Reader::at_rest(Arc::new(disk.clone()), Some(entries[9].end)).unwrap().unwrap();
    assert_eq!(drain(&mut keyed(later)).unwrap(), entries[10..]);
    assert!(Reader::at_rest(Arc::new(MemDisk::new(1)), None).unwrap().is_none());
    let beyond = Some(Position(1 << 40));
    assert!(matches!(Reader::at_rest(Arc::new(disk), beyond), Err(LogError::Beyond { .. })));
}

/// A log whose process ended when its second segment had records but no name yet: the disk, the records, and how many of
/// them the second holds. With `commit`, the first record is durable, and only a mark in the second segment says so.
fn log_with_an_unnamed_segment(commit: bool) -> (MemDisk, Vec<Entry>, usize) {
    let disk = MemDisk::new(5);
    let (log, _) = open(&disk, &small(1000)).expect("an empty disk");
    let mut entries = Vec::new();
    for salt in 1..=4 {
        let payload = payload(400, salt);
        let end = append(&log, 3, &payload).expect("appending works");
        entries.push(Entry { end, kind: 3, payload });
        if salt == 1 && commit {
            log.commit(end).expect("committing works");
        }
    }
    log.write_out().expect("writing works");
    assert_eq!(log.stats().segments, 2);
    let killed = disk.restart();
    drop(log);
    assert_eq!(names(&killed)[1..], ["next.tmp"]);
    let second = entries.iter().filter(|entry| entry.end.0 > 1000).count();
    (killed, entries, second)
}

#[test]
fn a_segment_without_a_name_is_read_checked_salvaged_and_opened_with_the_rest() {
    let (disk, entries, _) = log_with_an_unnamed_segment(false);
    let report = check_disk(&disk, Position::START, Position::START).unwrap();
    assert_eq!((report.segments, report.good_records, report.fault.clone()), (2, 4, None));
    let reader = Reader::at_rest(Arc::new(disk.clone()), None).unwrap().expect("there is a log");
    assert_eq!(drain(&mut keyed(reader)).unwrap(), entries);
    let to = MemDisk::new(2);
    assert_eq!(salvage_disk(&disk, &to, Position::START..Position::MAX).unwrap(), report);
    assert!(disk.content("next.tmp").is_some(), "none of this changes the log");
    for disk in [disk, to] {
        let (log, recovery) = open(&disk, &small(1000)).unwrap();
        assert_eq!((recovery.records, recovery.segments, &recovery.tail), (4, 2, &Tail::Clean));
        assert_eq!(read_all(&log), entries);
        assert_eq!((names(&disk).len(), disk.content("next.tmp")), (2, None));
    }
}

#[test]
fn damage_in_a_segment_without_a_name_cuts_its_tail() {
    let (disk, entries, second) = log_with_an_unnamed_segment(false);
    let len = disk.content("next.tmp").unwrap().len();
    let last = entries.last().unwrap().end.0 - entries[entries.len() - second - 1].end.0;
    assert!(disk.damage("next.tmp", HEADER_BYTES + last as usize - 1, 1) && len > HEADER_BYTES);
    let report = check_disk(&disk, Position::START, Position::START).unwrap();
    assert_eq!((report.good_records, report.fault.clone()), (3, None));
    assert!(matches!(&report.tail, Tail::Cut { file, .. } if file == "next.tmp"), "{:?}", report.tail);
    let to = MemDisk::new(2);
    salvage_disk(&disk, &to, Position::START..Position::MAX).unwrap();
    for disk in [disk, to] {
        let (log, _) = open(&disk, &small(1000)).unwrap();
        assert_eq!(read_all(&log), entries[..3]);
    }
}

#[test]
fn a_segment_without_a_name_goes_with_a_torn_record_before_it() {
    let (disk, entries, second) = log_with_an_unnamed_segment(false);
    let first = &names(&disk)[0];
    disk.damage(first, HEADER_BYTES + FRAME_HEADER_BYTES, 1);
    let report = check_disk(&disk, Position::START, Position::START).unwrap();
    assert_eq!((report.good_records, report.fault), (0, None));
    let (log, recovery) = open(&disk, &small(1000)).unwrap();
    let end = entries.last().unwrap().end.0;
    assert!(matches!(recovery.tail, Tail::Cut { bytes, .. } if bytes >= end), "{:?}, {second}", recovery.tail);
    assert!(read_all(&log).is_empty());
    // What is appended now may end where the lost segment began: it must not come back.
    for salt in 11..=12 {
        append(&log, 3, &payload(400, salt)).unwrap();
    }
    log.sync().unwrap();
    let disk = disk.crash();
    drop(log);
    let (log, _) = open(&disk, &small(1000)).unwrap();
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn a_mark_in_a_segment_without_a_name_proves_what_came_before() {
    let (disk, _, _) = log_with_an_unnamed_segment(true);
    let first = names(&disk)[0].clone();
    disk.damage(&first, HEADER_BYTES + FRAME_HEADER_BYTES, 1);
    let refused = |error| matches!(error, LogError::Corrupt { file, .. } if file == first);
    assert!(check_disk(&disk, Position::START, Position::START).unwrap().fault.is_some());
    assert!(refused(open(&disk, &small(1000)).expect_err("it was durable")));
    assert!(disk.content("next.tmp").is_some(), "nothing has changed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// A log whose process was killed: damage may cut what no mark covers, and nothing else.
    #[test]
    fn damage_to_a_log_that_was_not_closed_loses_at_most_the_unproven_tail(
        lens in prop::collection::vec((0..300usize, prop::bool::weighted(0.3)), 1..30),
        at in any::<prop::sample::Index>(),
        xor in 1..=255u8,
    ) {
        let disk = MemDisk::new(5);
        let options = small(1000);
        let (log, _) = open(&disk, &options).unwrap();
        let (mut entries, mut durable, mut proven) = (Vec::new(), Position::START, Position::START);
        for (i, (len, commit)) in lens.iter().enumerate() {
            let payload = payload(*len, i as u64);
            let end = append(&log, 1, &payload).unwrap();
            entries.push(Entry { end, kind: 1, payload });
            if *commit {
                log.commit(end).unwrap();
                // This flush said in its mark what the one before had made durable.
                (proven, durable) = (durable, end);
            }
        }
        let disk = {
            let killed = disk.restart();
            drop(log);
            killed
        };
        let names = names(&disk);
        let sizes: Vec<_> = names.iter().map(|name| disk.content(name).unwrap().len()).collect();
        let mut at = at.index(sizes.iter().sum());
        let file = sizes.iter().position(|size| { let here = at < *size; if !here { at -= size; } here }).unwrap();
        disk.damage(&names[file], at, xor);
        match open(&disk, &options) {
            Err(LogError::Corrupt { file: found, offset, .. }) => {
                prop_assert_eq!(&found, &names[file]);
                prop_assert!(offset <= at as u64);
            }
            Err(other) => prop_assert!(false, "{}", other),
            Ok((log, _)) => {
                let found = read_all(&log);
                prop_assert_eq!(&found[..], &entries[..found.len()]);
                let lost = entries.get(found.len());
                prop_assert!(lost.is_none_or(|lost| lost.end > proven), "lost {:?}, proven {}", lost, proven);
            }
        }
    }
}

#[test]
fn a_log_that_ends_before_what_its_owner_knows_is_refused_unchanged() {
    let (disk, entries) = closed_log();
    let end = entries.last().unwrap().end;
    let with = |reaches| Options { reaches, ..small(400) };
    let report = check_disk(&disk, Position::START, Position::START).unwrap();
    assert!(report.good_end >= end);
    assert_eq!(check_disk(&disk, Position::START, report.good_end).unwrap().fault, None);
    let due = Position(report.good_end.0 + 1);
    let before: Vec<_> = names(&disk).iter().map(|name| disk.content(name)).collect();
    let refused = |expected: Reason, file: &str| {
        let Err(LogError::Corrupt { file: named, reason, offset }) = open_damaged(&disk, &with(due)) else {
            panic!("it was opened")
        };
        assert_eq!((&*named, &reason), (file, &expected));
        let fault = check_disk(&disk, Position::START, due).unwrap().fault.unwrap();
        assert_eq!((fault.file, fault.reason, fault.offset), (named, reason, offset));
    };
    let last = names(&disk).pop().unwrap();
    refused(Reason::Short(report.good_end, due), &last);
    assert_eq!(names(&disk).iter().map(|name| disk.content(name)).collect::<Vec<_>>(), before);
    for name in names(&disk) {
        disk.remove(&name).unwrap();
    }
    refused(Reason::Absent(due), "");
    assert!(names(&disk).is_empty(), "nothing was begun");
}
