//! What only a log with encrypted records can show.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::io;
use std::sync::Arc;

use common::{append, cipher, drain, kind, open, read_all, small};
use envelope::Cipher;
use envelope::testing::{MemPlace, keyring};
use wal::disk::Disk;
use wal::format::{FRAME_HEADER_BYTES, HEADER_BYTES};
use wal::testing::MemDisk;
use wal::{Action, Health, LogError, Options, Position, Preallocate, Reader, Reason, Tail, check_disk, salvage_disk};

const NAME: &str = "00000000000000000000.wal";
const SECRET: &[u8] = b"a secret that must not be found on the disk";
const ADDED: u64 = envelope::HEAD_BYTES as u64;

fn encrypted(segment_bytes: u64) -> Options {
    Options { cipher: Some(cipher()), preallocate: Preallocate::No, ..small(segment_bytes) }
}

fn is_on_disk(disk: &MemDisk, bytes: &[u8]) -> bool {
    let names = disk.list().unwrap();
    names.iter().any(|name| disk.content(name).unwrap().windows(bytes.len()).any(|window| window == bytes))
}

/// Writes bytes of a frame again with a check that is right: what an attacker can do, and a broken disk cannot.
fn forge(disk: &MemDisk, name: &str, offset: usize, change: impl FnOnce(&mut [u8])) {
    let bytes = disk.content(name).unwrap();
    let header = wal::format::Header::decode(&bytes).unwrap();
    let length = u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap()) as usize;
    let mut frame = bytes[offset..offset + FRAME_HEADER_BYTES + length].to_vec();
    change(&mut frame);
    let position = header.base.0 + (offset - HEADER_BYTES) as u64;
    let check = check(&frame[8..], header.log_id, position, length as u32);
    frame[4..8].copy_from_slice(&check.to_le_bytes());
    let file = disk.open(name).unwrap();
    assert_eq!(file.write_at(offset as u64, &frame).unwrap(), frame.len());
}

/// The check of a frame, from the words of `format`.
fn check(kind_and_payload: &[u8], log_id: u64, position: u64, length: u32) -> u32 {
    let mut x = log_id ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(length) << 32);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let crc = kind_and_payload.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    });
    !crc ^ (x >> 32) as u32
}

#[test]
fn no_payload_is_on_the_disk_and_positions_are_known_when_it_is_appended() {
    let disk = MemDisk::new(1);
    let (log, _) = open(&disk, &encrypted(4096)).unwrap();
    let first = append(&log, 1, SECRET).unwrap();
    assert_eq!(first, Position(9 + ADDED + SECRET.len() as u64));
    let mut appender = log.lock();
    assert!(appender.can_extend(kind(1), 7) && !appender.can_extend(kind(2), 7));
    let second = appender.extend(&[b"and ", SECRET]).unwrap();
    assert_eq!(second.0 - first.0, 4 + SECRET.len() as u64);
    let third = appender.append(kind(2), &[b""]).unwrap();
    drop(appender);
    assert_eq!(third.0 - second.0, 9 + ADDED);
    log.commit(third).unwrap();
    log.write_out().unwrap();
    assert!(!is_on_disk(&disk, &SECRET[..9]));
    let mut reader = log.reader(Position::START).unwrap();
    let record = reader.next().unwrap().unwrap();
    assert_eq!(record.payload, [SECRET, b"and ", SECRET].concat());
    assert_eq!((record.position_at(SECRET.len()), record.end, record.kind), (first, second, kind(1)));
    let before = read_all(&log);
    log.close().unwrap();
    let (log, recovery) = open(&disk, &encrypted(4096)).unwrap();
    assert_eq!((read_all(&log), recovery.records), (before, 2));
}

/// The same record in the same place of another log: with a position as nonce, and no key for each start, this would
/// give both away.
#[test]
fn the_same_record_is_encrypted_differently_each_time() {
    let contents: std::collections::HashSet<_> = (0..5)
        .map(|_| {
            let disk = MemDisk::new(1);
            let (log, _) = open(&disk, &encrypted(4096)).unwrap();
            append(&log, 1, SECRET).unwrap();
            log.close().unwrap();
            let at = HEADER_BYTES + FRAME_HEADER_BYTES + ADDED as usize;
            disk.content(NAME).unwrap()[at..at + SECRET.len()].to_vec()
        })
        .collect();
    assert_eq!(contents.len(), 5);
}

fn closed_log() -> (MemDisk, Vec<common::Entry>) {
    let disk = MemDisk::new(7);
    let (log, _) = open(&disk, &encrypted(400)).unwrap();
    for n in 0..12u64 {
        let end = append(&log, 3, &common::payload(40, n)).unwrap();
        log.commit(end).unwrap();
    }
    let entries = read_all(&log);
    log.close().unwrap();
    (disk, entries)
}

fn corrupt(opened: Result<(wal::Log, wal::Recovery), LogError>) -> (String, u64, Reason) {
    match opened {
        Err(LogError::Corrupt { file, offset, reason }) => (file, offset, reason),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn a_forged_record_is_refused_with_its_file_and_offset() {
    let (disk, _) = closed_log();
    let mut names = disk.list().unwrap();
    names.retain(|name| name.ends_with(".wal"));
    names.sort();
    assert!(names.len() > 2);
    for name in [&names[1], names.last().unwrap()] {
        for bit in 0..8 * (1 + ADDED as usize + 40) {
            let forged = disk.snapshot();
            forge(&forged, name, HEADER_BYTES, |frame| frame[8 + bit / 8] ^= 1 << (bit % 8));
            // Bit 7 of the kind says that the record is encrypted: without, it is one in clear, as a log may have
            // that was begun without keys.
            if bit == 7 {
                assert!(open(&forged, &encrypted(400)).is_ok());
                continue;
            }
            let (file, offset, reason) = corrupt(open(&forged, &encrypted(400)));
            assert_eq!((&file, offset), (name, HEADER_BYTES as u64), "bit {bit}");
            let is_typed = matches!(reason, Reason::Integrity | Reason::DataKey(_) | Reason::Kind(_));
            assert!(is_typed, "bit {bit}: {reason}");
        }
    }
}

#[test]
fn a_record_in_another_place_is_refused() {
    let (disk, _) = closed_log();
    let bytes = disk.content(NAME).unwrap();
    let len = FRAME_HEADER_BYTES + ADDED as usize + 40;
    let second = HEADER_BYTES + len;
    let donor = bytes[HEADER_BYTES..second].to_vec();
    assert_eq!(bytes[HEADER_BYTES + 8], 0x83);
    let at = (second..bytes.len()).find(|at| bytes[at + 8] == 0x83 && bytes[at + 4..at + 8] != [0; 4]).unwrap();
    forge(&disk, NAME, at, |frame| frame[8..].copy_from_slice(&donor[8..]));
    assert_eq!(corrupt(open(&disk, &encrypted(400))), (NAME.to_owned(), at as u64, Reason::Integrity));
}

/// Nothing is cut, nothing is changed; a check and a salvage need no keys.
#[test]
fn without_keys_a_log_is_refused_but_can_be_checked_and_salvaged() {
    let (disk, entries) = closed_log();
    let before: Vec<_> = disk.list().unwrap().iter().map(|name| disk.content(name)).collect();
    let (file, offset, reason) = corrupt(open(&disk, &small(400)));
    assert_eq!((file.as_str(), offset, reason), (NAME, HEADER_BYTES as u64, Reason::KeysNeeded));
    let other = Cipher::open_place(Box::new(MemPlace::new(9)), keyring(&[1])).unwrap();
    let options = Options { cipher: Some(Arc::new(other)), ..small(400) };
    assert!(matches!(corrupt(open(&disk, &options)).2, Reason::DataKey(_) | Reason::Integrity));
    let after: Vec<_> = disk.list().unwrap().iter().map(|name| disk.content(name)).collect();
    assert_eq!(after, before);

    let report = check_disk(&disk, Position::START, entries.last().unwrap().end).unwrap();
    assert_eq!((report.fault, report.good_records, report.tail), (None, 12, Tail::Clean));
    let saved = MemDisk::new(2);
    salvage_disk(&disk, &saved, Position::START..Position::MAX).unwrap();
    assert_eq!(read_all(&open(&saved, &encrypted(400)).unwrap().0), entries);

    let at_rest = || Reader::at_rest(Arc::new(disk.clone()), None).unwrap().unwrap();
    assert!(matches!(at_rest().next(), Err(LogError::Corrupt { reason: Reason::KeysNeeded, .. })));
    assert_eq!(drain(&mut at_rest().with_cipher(cipher())).unwrap(), entries);
}

#[test]
fn a_torn_tail_is_found_without_keys_and_damage_below_a_mark_is_not_taken_for_one() {
    let (disk, entries) = closed_log();
    let last = disk.list().unwrap().into_iter().max().unwrap();
    let len = disk.content(&last).unwrap().len();
    let torn = disk.snapshot();
    torn.open(&last).unwrap().truncate(len as u64 - 20).unwrap();
    let report = check_disk(&torn, Position::START, Position::START).unwrap();
    assert!(matches!((&report.fault, &report.tail), (None, Tail::Cut { .. })), "{report:?}");
    let (log, recovery) = open(&torn, &encrypted(400)).unwrap();
    assert!(matches!(recovery.tail, Tail::Cut { .. }));
    assert!(entries.starts_with(&read_all(&log)));

    disk.damage(&last, HEADER_BYTES + FRAME_HEADER_BYTES + 30, 1);
    let report = check_disk(&disk, Position::START, Position::START).unwrap();
    assert_eq!(report.fault.unwrap().reason, Reason::Checksum);
    assert_eq!(corrupt(open(&disk, &encrypted(400))).2, Reason::Checksum);
}

/// Without a mark nothing proves that it was durable; but its check is good, so it is no torn write.
#[test]
fn what_does_not_decrypt_is_never_taken_for_a_torn_tail() {
    let disk = MemDisk::new(1);
    let (log, _) = open(&disk, &encrypted(4096)).unwrap();
    append(&log, 1, SECRET).unwrap();
    log.write_out().unwrap();
    let killed = disk.restart();
    drop(log);
    let without_keys = corrupt(open(&killed.snapshot(), &small(4096)));
    assert_eq!(without_keys, (NAME.to_owned(), HEADER_BYTES as u64, Reason::KeysNeeded));
    let forged = killed.snapshot();
    forge(&forged, NAME, HEADER_BYTES, |frame| *frame.last_mut().unwrap() ^= 1);
    assert_eq!(corrupt(open(&forged, &encrypted(4096))).2, Reason::Integrity);
    assert_eq!(read_all(&open(&killed, &encrypted(4096)).unwrap().0).len(), 1);
}

#[test]
fn a_segment_without_a_name_must_decrypt_as_well() {
    let disk = MemDisk::new(5);
    let (log, _) = open(&disk, &encrypted(1000)).unwrap();
    (1..=4).for_each(|salt| assert!(append(&log, 3, &common::payload(400, salt)).is_ok()));
    log.write_out().unwrap();
    let killed = disk.restart();
    drop(log);
    forge(&killed, "next.tmp", HEADER_BYTES, |frame| *frame.last_mut().unwrap() ^= 1);
    let refused = corrupt(open(&killed, &encrypted(1000)));
    assert_eq!(refused, ("next.tmp".to_owned(), HEADER_BYTES as u64, Reason::Integrity));
}

#[test]
fn a_log_that_was_begun_in_clear_goes_on_encrypted() {
    let disk = MemDisk::new(1);
    let (log, _) = open(&disk, &small(4096)).unwrap();
    append(&log, 1, b"in clear").unwrap();
    log.close().unwrap();
    let (log, _) = open(&disk, &encrypted(4096)).unwrap();
    append(&log, 1, SECRET).unwrap();
    log.sync().unwrap();
    let payloads: Vec<_> = read_all(&log).into_iter().map(|entry| entry.payload).collect();
    assert_eq!(payloads, [b"in clear", SECRET]);
    assert!(is_on_disk(&disk, b"in clear") && !is_on_disk(&disk, SECRET));
}

#[test]
fn keys_below_the_oldest_that_the_log_names_are_not_needed() {
    let (place, disk) = (MemPlace::new(3), MemDisk::new(1));
    let start = || {
        let keys = Cipher::open_place(Box::new(place.clone()), keyring(&[1])).unwrap();
        let options = Options { cipher: Some(Arc::new(keys)), ..encrypted(300) };
        let (log, _) = open(&disk, &options).unwrap();
        (log, options.cipher.unwrap())
    };
    for n in 0..6u64 {
        let (log, _) = start();
        assert_eq!(log.oldest_data_key().unwrap(), (n > 0).then_some(envelope::DataKeyId(1)));
        for _ in 0..4 {
            append(&log, 1, &common::payload(60, n)).unwrap();
        }
        log.close().unwrap();
    }
    let (log, keys) = start();
    let entries = read_all(&log);
    let kept = log.remove_below(entries[13].end).unwrap();
    let oldest = log.oldest_data_key().unwrap().unwrap();
    assert_eq!(keys.data_keys().len(), 7);
    assert_eq!(keys.forget_below(oldest).unwrap(), 3, "the record at the cut is of the fourth start");
    drop((log, keys));
    let (log, _) = start();
    assert_eq!(read_all(&log), entries.into_iter().filter(|entry| entry.end > kept).collect::<Vec<_>>());
}

/// What cannot be encrypted is not written in clear, not even when the log is closed.
#[test]
fn when_no_data_key_can_be_drawn_nothing_is_written() {
    let place = MemPlace::new(3);
    let keys = Arc::new(Cipher::open_place(Box::new(place.clone()), keyring(&[1])).unwrap());
    let options = Options { cipher: Some(Arc::clone(&keys)), ..encrypted(4096) };
    let disk = MemDisk::new(1);
    place.fail_after(0, io::ErrorKind::StorageFull);
    assert!(matches!(open(&disk, &options), Err(LogError::Io { action: Action::Encrypt, .. })));
    place.heal();
    let (log, _) = open(&disk, &options).unwrap();
    append(&log, 1, b"good").unwrap();
    log.sync().unwrap();
    keys.use_up();
    place.fail_after(0, io::ErrorKind::StorageFull);
    let end = append(&log, 1, SECRET).unwrap();
    assert!(matches!(log.commit(end), Err(LogError::Poisoned(_))));
    assert_eq!(log.health(), Health::Poisoned);
    place.heal();
    assert!(log.try_heal().is_err() && log.write_out().is_err() && log.sync().is_err());
    assert!(log.close().is_err());
    assert!(!is_on_disk(&disk, SECRET));
    let (log, _) = open(&disk, &options).unwrap();
    assert_eq!(read_all(&log).len(), 1);
}

/// The first record of a log, made with the random numbers of seed 5. `WAL_WRITE_GOLDEN` writes it.
#[test]
fn golden() {
    let keys = Cipher::open_place(Box::new(MemPlace::new(5)), keyring(&[1])).unwrap();
    let disk = MemDisk::new(1);
    let options = Options { cipher: Some(Arc::new(keys)), ..encrypted(4096) };
    let (log, _) = open(&disk, &options).unwrap();
    append(&log, 0x2a, b"hello").unwrap();
    log.lock().extend(&[b", world"]).unwrap();
    log.close().unwrap();
    let hex: String = disk.content(NAME).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encrypted.hex");
    if std::env::var_os("WAL_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &hex).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), hex, "the format has changed");
}
