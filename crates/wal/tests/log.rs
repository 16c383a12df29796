//! What a log does on a healthy disk.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;

use common::{Entry, append, drain, kind, open, payload, read_all, small};
use wal::disk::{Disk, RealDisk};
use wal::testing::{MemDisk, conformance};
use wal::{Background, Fsync, Log, LogError, Options, Position, Tail};

#[test]
fn both_disks_conform() {
    conformance::run(&MemDisk::new(1));
    let dir = tempfile::tempdir().unwrap();
    conformance::run(&RealDisk::create(dir.path().join("deep/er")).unwrap());
}

#[test]
fn records_committed_by_many_threads_are_all_there_and_share_fsyncs() {
    const THREADS: u64 = 8;
    const EACH: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 20_000, policy: Fsync::Always, ..Options::default() };
    let (log, _) = Log::open(dir.path(), options.clone(), 0u64).unwrap();
    let sequences: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            for _ in 0..EACH {
                let mut appender = log.lock();
                let sequence = *appender.state() + 1;
                let position = appender.append(kind(1), &[&sequence.to_le_bytes()]).unwrap();
                *appender.state() = sequence;
                drop(appender);
                log.commit(position).unwrap();
                assert!(log.durable() >= position);
                mine.push(sequence);
            }
            mine
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let stats = log.stats();
    assert_eq!(stats.records, THREADS * EACH);
    assert!(stats.fsyncs < THREADS * EACH, "{} fsyncs", stats.fsyncs);
    assert!(stats.segments > 1);
    // Not closed: the process is gone.
    std::mem::forget(log);
    let copy = tempfile::tempdir().unwrap();
    wal_copy(dir.path(), copy.path());
    let (log, recovery) = Log::open(copy.path(), options, 0u64).unwrap();
    assert_eq!(recovery.records, THREADS * EACH);
    let mut reader = log.reader(log.first()).unwrap();
    let found: Vec<_> = drain(&mut reader)
        .unwrap()
        .iter()
        .map(|entry| u64::from_le_bytes(entry.payload[..].try_into().unwrap()))
        .collect();
    assert!(found.is_sorted(), "the order of the numbers is the order of the log");
    let committed: HashSet<_> = sequences.into_iter().flatten().collect();
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), committed);
}

/// Copies the segments, not the lock.
fn wal_copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("listing works") {
        let entry = entry.expect("listing works");
        if entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copying works");
        }
    }
}

#[test]
fn two_logs_cannot_have_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), Options::default(), ()).unwrap();
    assert!(matches!(Log::open(dir.path(), Options::default(), ()), Err(LogError::Locked { .. })));
    assert!(matches!(wal::check(dir.path(), wal::Position::START, wal::Position::START), Err(LogError::Locked { .. })));
    log.close().unwrap();
    let (log, recovery) = Log::open(dir.path(), Options::default(), ()).unwrap();
    assert_eq!(recovery.tail, Tail::Clean);
    drop(log);
    assert_eq!(wal::check(dir.path(), wal::Position::START, wal::Position::START).unwrap().fault, None);
}

/// The background thread makes records durable without being asked, and answers requests under every policy.
#[test]
fn the_background_thread_syncs_by_policy_and_on_request() {
    for (policy, request) in [(Fsync::EverySec, false), (Fsync::No, true), (Fsync::Always, true)] {
        let options = Options { background: Background::Thread, policy, ..small(4096) };
        let (log, _) = open(&MemDisk::new(3), &options).unwrap();
        let (sender, changes) = mpsc::channel();
        assert!(log.observe(move || sender.send(()).unwrap_or_default()));
        assert!(!log.observe(|| {}), "only one observer");
        let end = append(&log, 1, b"hello").unwrap();
        if request {
            log.request_commit();
        }
        while log.durable() < end {
            changes.recv().expect("the thread lives");
        }
        assert!(log.written() >= end && log.durable() >= end);
    }
}

/// Sealing a segment must not find more than a little to sync.
#[test]
fn much_that_is_not_durable_is_synced_under_every_policy() {
    let options = Options { background: Background::Thread, policy: Fsync::No, ..small(64 << 20) };
    let (log, _) = open(&MemDisk::new(3), &options).unwrap();
    let (sender, changes) = mpsc::channel();
    log.observe(move || sender.send(()).unwrap_or_default());
    for n in 0..10 {
        append(&log, 1, &payload(1 << 20, n)).unwrap();
    }
    log.write_out().unwrap();
    while log.durable() < Position(8 << 20) {
        changes.recv().expect("the thread lives");
    }
    assert_eq!(log.stats().segments, 1, "no segment was sealed");
}

/// Once the log is quiet a durable mark covers all records, so that damage to the last of them is noticed.
#[test]
fn a_quiet_log_is_covered_by_a_mark_that_is_durable() {
    for policy in [Fsync::EverySec, Fsync::Always] {
        let options = Options { background: Background::Thread, policy, ..small(4096) };
        let (log, _) = open(&MemDisk::new(3), &options).unwrap();
        let (sender, changes) = mpsc::channel();
        log.observe(move || sender.send(()).unwrap_or_default());
        let end = append(&log, 1, b"hello").unwrap();
        log.commit(end).unwrap();
        while log.durable() <= end {
            changes.recv().expect("the thread lives");
        }
        assert_eq!(log.stats().records, 1);
    }
}

#[test]
fn a_policy_can_be_changed_while_running() {
    let options = Options { background: Background::Thread, policy: Fsync::No, ..small(1 << 20) };
    let (log, _) = open(&MemDisk::new(3), &options).unwrap();
    let (sender, changes) = mpsc::channel();
    log.observe(move || sender.send(()).unwrap_or_default());
    let end = append(&log, 1, b"hello").unwrap();
    while log.written() < end {
        changes.recv().expect("the thread lives");
    }
    assert_eq!(log.stats().fsyncs, 0, "nothing is synced under `No`");
    log.set_policy(Fsync::EverySec);
    assert_eq!(log.policy(), Fsync::EverySec);
    while log.durable() < end {
        changes.recv().expect("the thread lives");
    }
}

#[test]
fn a_live_reader_follows_what_is_written_over_segments() {
    let (log, _) = open(&MemDisk::new(3), &small(500)).unwrap();
    let mut reader = log.reader(Position::START).unwrap();
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for i in 0..100u64 {
        let payload = payload((i * 13 % 200) as usize, i);
        let end = append(&log, 9, &payload).unwrap();
        expected.push(Entry { end, kind: 9, payload });
        if i % 7 == 0 {
            assert_eq!(drain(&mut reader).unwrap(), [], "what is not written is not read");
        }
        if i % 3 == 0 {
            log.write_out().unwrap();
            found.extend(drain(&mut reader).unwrap());
            assert_eq!(found, expected);
        }
    }
    assert!(log.stats().segments > 5);
    let middle = expected[50].end;
    let mut late = log.reader(middle).unwrap();
    log.sync().unwrap();
    assert_eq!(drain(&mut late).unwrap(), expected[51..]);
    assert!(matches!(log.reader(Position(1 << 50)), Err(LogError::Beyond { .. })));
}

#[test]
fn removal_takes_whole_segments_below_and_readers_there_are_told() {
    let disk = MemDisk::new(3);
    let (log, _) = open(&disk, &small(500)).unwrap();
    let ends: Vec<_> = (0..50u64).map(|i| append(&log, 1, &payload(60, i)).unwrap()).collect();
    log.sync().unwrap();
    let mut behind = log.reader(Position::START).unwrap();
    let before = disk.list().unwrap().len();
    let keep = ends[30];
    let first = log.remove_below(keep).unwrap();
    assert!(first > Position::START && first <= keep);
    assert!(disk.list().unwrap().len() < before);
    assert!(matches!(behind.next(), Err(LogError::Removed { .. })));
    assert!(matches!(log.reader(Position::START), Err(LogError::Removed { wanted, .. }) if wanted == Position::START));
    let rest = drain(&mut log.reader(keep).unwrap()).unwrap();
    assert_eq!(rest.iter().map(|entry| entry.end).collect::<Vec<_>>(), ends[31..]);
    let all = log.remove_below(log.end()).unwrap();
    assert_eq!(log.stats().segments, 1, "the open segment stays");
    log.close().unwrap();
    let (log, recovery) = open(&disk, &small(500)).unwrap();
    assert_eq!(recovery.first, all);
    assert!(log.end() >= ends[49]);
}

#[test]
fn rolling_begins_a_segment_once_and_makes_what_is_below_durable() {
    let (log, _) = open(&MemDisk::new(3), &small(4096)).unwrap();
    assert_eq!(log.roll().unwrap(), Position::START, "an empty segment is not followed by another");
    let end = append(&log, 1, b"x").unwrap();
    assert_eq!(log.roll().unwrap(), end);
    assert!(log.durable() >= end);
    assert_eq!(log.stats().segments, 2);
    assert_eq!(read_all(&log).len(), 1);
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let disk = MemDisk::new(3);
    let (log, _) = open(&disk, &small(300)).unwrap();
    for len in [10, 5000, 10, 10_000, 20_000, 10] {
        append(&log, 1, &payload(len, len as u64)).unwrap();
    }
    log.sync().unwrap();
    assert_eq!(log.stats().segments, 6);
    let entries = read_all(&log);
    assert_eq!(entries.iter().map(|entry| entry.payload.len()).collect::<Vec<_>>(), [10, 5000, 10, 10_000, 20_000, 10]);
    log.close().unwrap();
    let (log, _) = open(&disk, &small(300)).unwrap();
    assert_eq!(read_all(&log), entries);
}

#[test]
fn writing_up_to_a_position_empties_a_buffer_over_its_limit() {
    let (log, _) = open(&MemDisk::new(3), &Options { buffer_limit_bytes: 1000, ..small(400) }).unwrap();
    let mut over = 0;
    for i in 0..200u64 {
        let mut appender = log.lock();
        let position = appender.append(kind(1), &[&payload(90, i)]).unwrap();
        let wants = appender.wants_flush();
        drop(appender);
        if wants {
            over += 1;
            log.write_up_to(position).unwrap();
            assert!(log.written() >= position);
            assert_eq!(log.stats().buffered_bytes, 0);
        }
        assert!(log.stats().buffered_bytes <= 1100);
    }
    assert!(over > 10);
    log.write_out().unwrap();
    assert_eq!(read_all(&log).len(), 200);
}

/// What others write while a sync is under way is not covered by it.
#[test]
fn only_what_was_written_before_a_sync_began_is_durable_after_it() {
    let disk = MemDisk::new(3);
    let (log, _) = open(&disk, &small(1 << 20)).unwrap();
    let log = Arc::new(log);
    let weak = Arc::downgrade(&log);
    disk.before_sync(move || {
        if let Some(log) = weak.upgrade() {
            append(&log, 2, b"late").unwrap();
            log.write_out().unwrap();
        }
    });
    let end = append(&log, 1, b"early").unwrap();
    log.commit(end).unwrap();
    assert_eq!(log.durable(), end);
    assert!(log.written() > end, "writing goes on during a sync");
    assert_eq!(read_all(&log).len(), 2);
}

/// A full segment is synced behind the back of those who write.
#[test]
fn writing_goes_on_in_the_next_segment_while_a_full_one_is_synced() {
    let disk = MemDisk::new(3);
    let (log, _) = open(&disk, &small(1000)).unwrap();
    let log = Arc::new(log);
    let weak = Arc::downgrade(&log);
    let (sender, written) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    disk.before_sync(move || {
        let Some(log) = weak.upgrade() else { return };
        let (done, wait) = mpsc::channel();
        let sender = sender.lock().unwrap().clone();
        std::thread::spawn(move || {
            let end = append(&log, 2, b"meanwhile").unwrap();
            log.write_up_to(end).unwrap();
            sender.send(end).unwrap();
            done.send(()).unwrap_or_default();
        });
        // Only a writer that waits for this very sync can let the time run out.
        let _ = wait.recv_timeout(std::time::Duration::from_secs(10));
    });
    append(&log, 1, &payload(600, 1)).unwrap();
    log.write_out().unwrap();
    log.tend().unwrap();
    assert_eq!(disk.content("next.tmp").map(|bytes| bytes[..8].to_vec()), Some(vec![0; 8]), "made ahead of time");
    let first = append(&log, 1, &payload(600, 2)).unwrap();
    log.write_up_to(first).unwrap();
    assert_eq!((log.stats().segments, log.stats().fsyncs), (2, 0), "a new segment needs no sync");
    assert_eq!(log.durable(), Position::START);
    let before = read_all(&log).len();
    assert_eq!(before, 2, "what is in a segment without a name can be read");
    log.tend().unwrap();
    assert!(log.durable() >= first);
    assert_eq!(disk.content("next.tmp"), None, "it has its name");
    let meanwhile: Vec<_> = written.try_iter().collect();
    assert_eq!(meanwhile.len(), 2, "both syncs let writers write");
    assert_eq!(read_all(&log).len(), 4);
    // The records that came after each sync had begun are synced by the next.
    let last = log.sync().unwrap();
    assert!(last >= meanwhile[1]);
}

/// The thread makes the next file and seals the full one without being asked.
#[test]
fn the_background_thread_prepares_and_seals() {
    let disk = MemDisk::new(3);
    let options = Options { background: Background::Thread, policy: Fsync::No, ..small(1000) };
    let (log, _) = open(&disk, &options).unwrap();
    let (sender, changes) = mpsc::channel();
    log.observe(move || sender.send(()).unwrap_or_default());
    for n in 0..4 {
        let end = append(&log, 1, &payload(600, n)).unwrap();
        log.write_up_to(end).unwrap();
    }
    let last = log.reader(log.first()).map(|mut reader| drain(&mut reader).unwrap()[2].end).unwrap();
    while log.durable() < last {
        changes.recv().expect("the thread lives");
    }
    assert_eq!(log.stats().segments, 4);
}

#[test]
fn committing_what_was_never_appended_is_an_error() {
    let (log, _) = open(&MemDisk::new(3), &small(400)).unwrap();
    assert!(matches!(log.commit(Position(10)), Err(LogError::Beyond { .. })));
}

#[test]
fn concurrent_appends_relief_syncs_and_reads_agree() {
    let disk = MemDisk::new(3);
    let options = Options { background: Background::Thread, buffer_limit_bytes: 2000, ..small(3000) };
    let (log, _) = Log::open_disk(Arc::new(disk.clone()), options.clone(), 0u64).unwrap();
    let next_in = |reader: &mut wal::Reader, expected: &mut u64| {
        for entry in drain(reader).unwrap() {
            assert_eq!(u64::from_le_bytes(entry.payload[..8].try_into().unwrap()), *expected, "gapless and in order");
            *expected += 1;
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let log = &log;
            scope.spawn(move || {
                for i in 0..1500 {
                    let mut appender = log.lock();
                    let (next, more) = (*appender.state(), &[7; 50][..i % 50]);
                    let position = appender.append(kind(1), &[&next.to_le_bytes(), more]).unwrap();
                    *appender.state() += 1;
                    drop(appender);
                    if i % 7 == 0 {
                        log.write_up_to(position).unwrap();
                        assert!(log.written() >= position);
                    }
                    match (thread, i % 100) {
                        (0, 0) => log.commit(position).unwrap(),
                        (1, 0) => drop(log.roll().unwrap()),
                        (2, 0) => drop(log.sync().unwrap()),
                        _ => {}
                    }
                }
            });
        }
        scope.spawn(|| {
            let (mut reader, mut expected) = (log.reader(Position::START).unwrap(), 0);
            while expected < 5000 {
                next_in(&mut reader, &mut expected);
                log.write_out().unwrap();
            }
        });
    });
    log.close().unwrap();
    let (log, _) = Log::open_disk(Arc::new(disk), options, 0u64).unwrap();
    let mut expected = 0;
    next_in(&mut log.reader(Position::START).unwrap(), &mut expected);
    assert_eq!(expected, 6000);
}

/// A record grows while it is the last, of that kind, in the buffer, and small; what it said on the way are its parts' ends.
#[test]
fn a_record_grows_until_it_is_large_or_on_its_way() {
    let (log, _) = open(&MemDisk::new(1), &small(1 << 20)).unwrap();
    let mut ends = vec![append(&log, 1, b"first").unwrap()];
    let mut appender = log.lock();
    assert!(appender.can_extend(kind(1), 10) && !appender.can_extend(kind(2), 10));
    while ends.len() < 1000 && appender.can_extend(kind(1), 1000) {
        ends.push(appender.extend(&[&[1; 400], &[2; 600]]).unwrap());
    }
    drop(appender);
    assert!((8..1000).contains(&ends.len()), "it is of some size, and bounded: {}", ends.len());
    let reader = &mut log.reader(log.first()).unwrap();
    log.write_out().unwrap();
    let record = reader.next().unwrap().unwrap();
    assert_eq!(record.payload.len(), 5 + 1000 * (ends.len() - 1));
    let parts = (0..ends.len()).map(|i| record.position_at(5 + 1000 * i));
    assert!(parts.eq(ends.iter().copied()));
    assert!(reader.next().unwrap().is_none());

    type Closing = fn(&Log) -> Position;
    let closing: [Closing; 6] = [
        |log| {
            log.write_out().unwrap();
            log.written()
        },
        |log| log.end(),
        |log| log.lock().end(),
        |log| log.roll().unwrap(),
        |log| log.sync().unwrap(),
        |log| append(log, 2, b"another").unwrap(),
    ];
    for close in closing {
        let end = append(&log, 1, b"x").unwrap();
        assert!(log.lock().can_extend(kind(1), 1));
        assert!(close(&log) >= end);
        assert!(!log.lock().can_extend(kind(1), 1));
    }
}
