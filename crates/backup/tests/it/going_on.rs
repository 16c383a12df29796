//! When a backup goes on where another ended, and when it has all rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use archive::seal::KeyPair;
use archive::storage::Storage;
use backup::{Error, Job, Progress, Purpose, Repository, Sizes, Why, WhyWhole, take};

use crate::bench::{Bench, SIZES, copy, digest, open, see};

const WHOLE: fn(WhyWhole) -> Why = Why::Whole;

#[test]
fn one_that_goes_on_has_only_what_is_new() {
    let bench = Bench::new();
    bench.steps(0..100);
    let first = bench.take(false).unwrap();
    assert_eq!(first.why, WHOLE(WhyWhole::First));
    let nothing = bench.take(false).unwrap();
    assert_eq!((nothing.why, nothing.plain_bytes), (Why::GoesOn, 0));
    bench.step(4);
    let little = bench.take(false).unwrap();
    assert_eq!(little.why, Why::GoesOn);
    assert!((1..2000).contains(&little.plain_bytes), "{little:?}");
    let whole = bench.take(true).unwrap();
    assert_eq!(whole.why, WHOLE(WhyWhole::Asked));
    bench.clock.fetch_sub(500, Ordering::Relaxed);
    let last = bench.take(true).unwrap();
    assert!(last.backup > whole.backup, "in order, also if the clock goes back");
    let listed = bench.list();
    assert_eq!(
        listed.iter().map(|l| l.has_rows).collect::<Vec<_>>(),
        [true, false, false, false, true, false, true],
        "each chain was continued up to the next"
    );
    assert!(listed.iter().all(|l| l.is_whole));
    assert_eq!(listed[2].chain(), &first.backup);
    for report in [&first, &nothing, &little, &whole] {
        bench.restore(Some(&report.backup), None).unwrap();
    }
    assert_eq!(bench.restore(None, None).unwrap().1, see(bench.engine()).digest);
}

#[test]
fn a_log_that_was_cut_beyond_what_is_stored_means_all_rows() {
    let bench = Bench::new();
    bench.steps(0..20);
    bench.take(false).unwrap();
    bench.step(3);
    bench.engine().checkpoint().unwrap();
    assert_eq!(bench.take(false).unwrap().why, Why::GoesOn, "it is kept beyond a checkpoint");
    bench.engine().set_backup_log_bytes(1);
    bench.steps(0..20);
    bench.engine().checkpoint().unwrap();
    assert_eq!(bench.take(false).unwrap().why, WHOLE(WhyWhole::LogCut));
    assert_eq!(bench.restore(None, None).unwrap().1, digest(bench.engine()));
}

#[test]
fn another_key_a_larger_log_and_a_backup_that_is_gone_mean_all_rows() {
    let mut bench = Bench::new();
    bench.steps(0..20);
    bench.take(false).unwrap();
    bench.keys = KeyPair::generate().unwrap();
    assert_eq!(bench.take(false).unwrap().why, WHOLE(WhyWhole::OtherRecipient));
    bench.steps(0..400);
    assert_eq!(bench.take(false).unwrap().why, Why::GoesOn);
    let progress = Progress::default();
    let (repository, recipient) = (&bench.repository, &bench.keys.public);
    let sizes = Sizes { rebase: 1, ..SIZES };
    let job =
        Job { repository, recipient, purpose: Purpose::Asked, full: false, sizes, beside: None, progress: &progress };
    assert_eq!(take(bench.engine(), &job).unwrap().why, WHOLE(WhyWhole::Grown));
    assert_eq!(take(bench.engine(), &job).unwrap().why, Why::GoesOn, "the log is counted anew");
    let manifest = bench.objects().into_iter().rfind(|name| name.as_str().ends_with("manifest")).unwrap();
    bench.memory.delete(&manifest).unwrap();
    assert_eq!(bench.take(false).unwrap().why, WHOLE(WhyWhole::Gone));
    assert_eq!(bench.restore(None, None).unwrap().1, digest(bench.engine()));
}

#[test]
fn each_repository_has_backups_of_its_own() {
    let bench = Bench::new();
    bench.step(4);
    bench.take(false).unwrap();
    let other: Arc<dyn Storage> = Arc::new(archive::storage::Memory::new());
    assert!(matches!(Repository::open(Arc::clone(&other)), Err(Error::NoRepository { .. })));
    let other = Repository::open_or_begin(other).unwrap();
    let (progress, recipient) = (Progress::default(), &bench.keys.public);
    let (purpose, progress) = (Purpose::Asked, &progress);
    let job = Job { repository: &other, recipient, purpose, full: false, sizes: SIZES, beside: None, progress };
    assert_eq!(take(bench.engine(), &job).unwrap().why, WHOLE(WhyWhole::First));
    assert_eq!(take(bench.engine(), &job).unwrap().why, Why::GoesOn);
    assert_eq!(bench.take(false).unwrap().why, Why::GoesOn);
}

/// Two copies of a directory that both go on have backups beside each other, and neither is taken for the other.
#[test]
fn copies_of_a_directory_go_on_beside_each_other_and_a_note_of_another_copy_is_not_believed() {
    let mut bench = Bench::new();
    bench.steps(0..20);
    bench.take(false).unwrap();
    bench.restart();
    bench.engine.take().unwrap().close().unwrap();
    let copied = tempfile::tempdir().unwrap();
    copy(bench.dir.path(), copied.path());
    bench.engine = Some(open(bench.dir.path(), &bench.clock, 7));
    bench.step(5);
    let here = bench.take(false).unwrap();
    let here_digest = digest(bench.engine());
    let original = bench.engine.replace(open(copied.path(), &bench.clock, 7)).unwrap();
    bench.clock.fetch_add(50, Ordering::Relaxed);
    bench.step(6);
    let there = bench.take(false).unwrap();
    let there_digest = digest(bench.engine());
    assert_eq!((here.why, there.why), (Why::GoesOn, Why::GoesOn));
    assert_ne!(here_digest, there_digest);
    assert_eq!(bench.restore(Some(&here.backup), None).unwrap().1, here_digest);
    assert_eq!(bench.restore(Some(&there.backup), None).unwrap().1, there_digest);
    original.close().unwrap();
    bench.engine.take().unwrap().close().unwrap();
    std::fs::copy(bench.dir.path().join("backups"), copied.path().join("backups")).unwrap();
    bench.engine = Some(open(copied.path(), &bench.clock, 7));
    assert_eq!(bench.take(false).unwrap().why, WHOLE(WhyWhole::OtherLog));
    assert_eq!(bench.restore(None, None).unwrap().1, there_digest);
}

#[test]
fn backups_of_several_nodes_are_told_apart() {
    let bench = Bench::new();
    bench.step(4);
    bench.take(false).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let other = open(dir.path(), &bench.clock, 3);
    let (progress, recipient) = (Progress::default(), &bench.keys.public);
    let (repository, purpose, progress) = (&bench.repository, Purpose::Asked, &progress);
    let job = Job { repository, recipient, purpose, full: false, sizes: SIZES, beside: None, progress };
    take(&other, &job).unwrap();
    let Err(Error::Nodes { nodes }) = bench.restore(None, None) else { panic!("there are two") };
    assert_eq!(nodes.len(), 2);
}
