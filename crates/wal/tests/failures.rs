//! A disk that fails: what is refused, what can heal, and what is still true afterwards.

mod common;

use common::{append, open, payload, read_all, small};
use wal::testing::{Fault, MemDisk};
use wal::{Action, Health, Log, LogError, Options, Preallocate};

fn log_with_one_record(disk: &MemDisk, options: &Options) -> Log {
    let (log, _) = open(disk, options).expect("an empty disk");
    let end = append(&log, 1, b"first").expect("appending works");
    log.commit(end).expect("committing works");
    log
}

#[test]
fn a_failed_fsync_poisons_for_good_and_is_never_tried_again() {
    let disk = MemDisk::new(1);
    let log = log_with_one_record(&disk, &small(4096));
    let durable = log.durable();
    let end = append(&log, 2, &payload(3000, 1)).unwrap();
    disk.fail_after(1, Fault::Io);
    match log.commit(end) {
        Err(LogError::Poisoned(failure)) => assert_eq!(failure.action, Action::Sync),
        other => panic!("{other:?}"),
    }
    assert_eq!(log.health(), Health::Poisoned);
    assert_eq!(log.durable(), durable, "nothing more is durable");
    let fsyncs = log.stats().fsyncs;
    let operations = disk.operations();
    assert!(matches!(log.commit(end), Err(LogError::Poisoned(_))));
    assert!(matches!(append(&log, 1, b"x"), Err(LogError::Poisoned(_))));
    assert!(matches!(log.try_heal(), Err(LogError::Poisoned(_))));
    assert!(matches!(log.sync(), Err(LogError::Poisoned(_))));
    assert!(matches!(log.write_out(), Err(LogError::Poisoned(_))));
    assert!(matches!(log.roll(), Err(LogError::Poisoned(_))));
    assert!(log.commit(durable).is_ok(), "what was durable still is");
    assert_eq!(read_all(&log)[0].payload, b"first", "reads go on");
    assert!(log.close().is_err());
    assert_eq!((fsyncs, operations), (2, disk.operations()), "the disk was not touched again");
}

/// The next process sees the bytes in the kernel's memory that never reached the disk. It may take them for records only
/// if it makes them durable itself.
#[test]
fn records_of_a_failed_fsync_that_the_next_process_finds_are_durable_then() {
    for seed in 0..200 {
        let disk = MemDisk::new(seed);
        let log = log_with_one_record(&disk, &Options { preallocate: Preallocate::No, ..small(1 << 16) });
        let end = append(&log, 2, &payload(5000, seed)).unwrap();
        disk.fail_after(1, Fault::Io);
        assert!(log.commit(end).is_err());
        let disk = disk.restart();
        drop(log);
        let (log, _) = open(&disk, &small(1 << 16)).unwrap();
        let found = read_all(&log);
        assert_eq!(found.len(), 2);
        let disk = disk.crash();
        drop(log);
        let (log, _) = open(&disk, &small(1 << 16)).unwrap();
        assert_eq!(read_all(&log), found, "seed {seed}");
    }
}

#[test]
fn a_failed_write_poisons() {
    let disk = MemDisk::new(1);
    let log = log_with_one_record(&disk, &small(4096));
    append(&log, 2, b"second").unwrap();
    disk.fail_after(0, Fault::Io);
    match log.write_out() {
        Err(LogError::Poisoned(failure)) => assert_eq!(failure.action, Action::Write),
        other => panic!("{other:?}"),
    }
    assert_eq!(log.health(), Health::Poisoned);
}

#[test]
fn a_short_write_is_completed() {
    for seed in 0..50 {
        let disk = MemDisk::new(seed);
        let log = log_with_one_record(&disk, &small(4096));
        let end = append(&log, 2, &payload(500, 9)).unwrap();
        disk.fail_after(0, Fault::Short);
        log.commit(end).unwrap();
        let disk = disk.crash();
        drop(log);
        let (log, _) = open(&disk, &small(4096)).unwrap();
        assert_eq!(read_all(&log)[1].payload, payload(500, 9));
    }
}

/// Whichever operation meets the full disk (in a segment, at a rotation, in a new segment): nothing is lost.
#[test]
fn a_full_disk_refuses_and_heals_without_loss_wherever_it_strikes() {
    let mut healed = 0;
    for after in 0..40 {
        for preallocate in [Preallocate::No, Preallocate::Reserve, Preallocate::Zero] {
            let disk = MemDisk::new(after);
            let log = log_with_one_record(&disk, &Options { preallocate, ..small(300) });
            disk.fail_after(after, Fault::NoSpace);
            let (mut expected, mut refused) = (vec![b"first".to_vec()], 0);
            for i in 0..20 {
                let record = payload(60 + i, i as u64);
                let end = match append(&log, 2, &record) {
                    Ok(end) => end,
                    Err(LogError::NoSpace(_)) => {
                        refused += 1;
                        assert!(matches!(log.try_heal(), Err(LogError::NoSpace(_))), "there is no space yet");
                        disk.free_space();
                        log.try_heal().expect("there is space again");
                        assert_eq!(log.health(), Health::Good);
                        append(&log, 2, &record).expect("healed")
                    }
                    // The operation that was told to fail was a sync: that is final, full disk or not.
                    Err(LogError::Poisoned(failure)) => {
                        assert_eq!(failure.action, Action::Sync);
                        break;
                    }
                    Err(other) => panic!("{other}"),
                };
                expected.push(record);
                match log.commit(end) {
                    Ok(()) => {}
                    Err(LogError::NoSpace(_)) => assert_eq!(log.health(), Health::NoSpace),
                    Err(LogError::Poisoned(failure)) => assert_eq!(failure.action, Action::Sync),
                    Err(other) => panic!("{other}"),
                }
            }
            if log.health() == Health::Poisoned {
                continue;
            }
            disk.free_space();
            log.try_heal().expect("there is space again");
            log.sync().expect("syncing works");
            let found: Vec<_> = read_all(&log).into_iter().map(|entry| entry.payload).collect();
            assert_eq!(found, expected, "after {after}, {preallocate:?}");
            healed += refused;
            log.close().expect("closing works");
            let (log, _) = open(&disk, &small(300)).unwrap();
            assert_eq!(read_all(&log).len(), expected.len());
        }
    }
    assert!(healed > 20, "the full disk was met often: {healed}");
}

#[test]
fn closing_writes_what_a_full_disk_held_back() {
    let mut held_back = 0;
    for after in 0..20 {
        let disk = MemDisk::new(after);
        let log = log_with_one_record(&disk, &small(300));
        disk.fail_after(after, Fault::NoSpace);
        let mut expected = vec![b"first".to_vec()];
        for i in 0..20 {
            let record = payload(60 + i, i as u64);
            let Ok(end) = append(&log, 2, &record) else { break };
            expected.push(record);
            if log.commit(end).is_err() {
                break;
            }
        }
        held_back += u32::from(log.health() == Health::NoSpace);
        disk.free_space();
        if log.health() != Health::Poisoned {
            log.close().expect("there is space again");
            let (log, _) = open(&disk, &small(300)).unwrap();
            let found: Vec<_> = read_all(&log).into_iter().map(|entry| entry.payload).collect();
            assert_eq!(found, expected, "after {after}");
        }
    }
    assert!(held_back > 5, "the full disk was met often: {held_back}");
}

#[test]
fn a_record_over_the_limit_leaves_no_trace() {
    let disk = MemDisk::new(1);
    let log = log_with_one_record(&disk, &Options { max_payload_bytes: 100, ..small(4096) });
    let end = log.end();
    let too_large = log.lock().append(common::kind(1), &[&[0; 60], &[0; 41]]);
    assert!(matches!(too_large, Err(LogError::TooLarge { len: 101, limit: 100 })));
    assert_eq!(log.end(), end);
    let end = append(&log, 1, b"second").unwrap();
    log.commit(end).unwrap();
    assert_eq!(read_all(&log).len(), 2);
}
