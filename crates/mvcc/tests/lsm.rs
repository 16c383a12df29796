//! What only the store on disk can show: reopening, crashes, damage, and readers beside everything that moves.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use common::{Fixture, Lsm, commit, compact, delete_prefix, put, scan, t, value};
use mvcc::{
    Bounds, Direction, Error, MemStore, Options, PrefixDelete, Retention, Source, Span, Store, Timestamp, Transaction,
};

/// Retention follows the options; what is not known any more is refused, not guessed.
#[test]
fn a_change_of_retention_makes_up_no_history() {
    let mut lsm = Lsm::new(Retention::Newest);
    lsm.store().put(b"k", b"1", t(10), None).unwrap();
    lsm.store().put(b"k", b"2", t(20), None).unwrap();
    lsm.reopen_with(Retention::Versions);
    assert!(matches!(lsm.store().get(b"k", t(15)), Err(Error::Compacted { watermark: Timestamp(20), .. })));
    lsm.store().put(b"k", b"3", t(30), None).unwrap();
    assert_eq!(value(lsm.store(), b"k", t(25)).unwrap(), b"2");
    lsm.reopen_with(Retention::Newest);
    assert!(matches!(lsm.store().get(b"k", t(25)), Err(Error::Compacted { watermark: Timestamp(30), .. })));
    compact(lsm.store(), t(26));
    lsm.reopen_with(Retention::Versions);
    assert!(lsm.store().get(b"k", t(27)).is_err(), "the history was given up");
    assert_eq!(value(lsm.store(), b"k", t(30)).unwrap(), b"3");
}

/// What a crash leaves: the directory as it is while the store is open, copied and opened.
#[test]
fn a_copy_of_an_open_store_is_a_state_that_was() {
    let lsm = Lsm::new(Retention::Versions);
    for n in 1..=50u64 {
        lsm.store().put(format!("{n}").as_bytes(), b"v", t(n), None).unwrap();
        if n == 30 {
            let delete = PrefixDelete { prefix: b"1", spare: None, commit: t(30) };
            assert!(lsm.store().delete_prefix(&delete, Source::Direct).is_err(), "the commit was taken");
        }
    }
    delete_prefix(lsm.store(), b"2", None, 60);
    lsm.store().compact(t(40), 20).unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_dir(lsm.path(), copy.path());
    std::fs::copy(lsm.path().join("0.jnl"), copy.path().join("0.jnl")).unwrap();
    let crashed = mvcc::LsmStore::open(copy.path(), &Options::new(Retention::Versions)).unwrap();
    for at in 40..=60u64 {
        assert_eq!(scan(&crashed, Span::ALL, t(at)), scan(lsm.store(), Span::ALL, t(at)));
    }
    assert_eq!(crashed.watermark(), lsm.store().watermark());
}

/// Copies all but the journal.
fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else if entry.path().extension().is_none_or(|extension| extension != "jnl") {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A row that this program cannot read was taken for none, or its bytes for a value.
#[test]
fn a_row_that_cannot_be_read_is_an_error_and_never_a_miss() {
    let sealed = b"\x01\x02\0\0\0\0\0\0\0\x01ciphertext";
    let unknown = b"\x07\0\0\0\0\0\0\0\0\x01value";
    for (key, row) in [(b"\x01sealed", &sealed[..]), (b"\x01newer!", unknown), (b"\x01short!", b"\x01")] {
        let mut lsm = Lsm::new(Retention::Newest);
        lsm.store().put(b"good", b"v", t(1), None).unwrap();
        lsm.with_tree(|rows| rows.insert(*key, row).unwrap());
        let refused = [
            lsm.store().get(&key[1..], Timestamp::LATEST).map(|_| ()).unwrap_err(),
            lsm.store().latest_commit(&key[1..]).map(|_| ()).unwrap_err(),
            lsm.store().scan(Span::ALL, t(9), Direction::Forward, Bounds::NONE).map(|_| ()).unwrap_err(),
            commit(lsm.store(), 0, 9, &[put(&key[1..], b"over it")]).map(|_| ()).unwrap_err(),
            lsm.store().compact(t(5), 100).map(|_| ()).unwrap_err(),
        ];
        for error in refused {
            assert!(matches!(error, Error::Corrupt { .. } | Error::Encryption { state: 1 }), "{error}");
        }
        assert_eq!(value(lsm.store(), b"good", t(9)).unwrap(), b"v");
    }
}

/// A store that is open twice would lose what one of them writes.
#[test]
fn a_directory_is_opened_once() {
    let lsm = Lsm::new(Retention::Newest);
    let second = mvcc::LsmStore::open(lsm.path(), &Options::new(Retention::Newest));
    assert!(matches!(second.map(|_| ()), Err(Error::Locked)));
}

/// Readers run while writers, sweeps and compactions do; a snapshot never changes under them, and an error is the only
/// way for it to go.
#[test]
fn readers_see_whole_snapshots_while_everything_moves() {
    let lsm = Lsm::new(Retention::Versions);
    let store = lsm.lsm();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let keys: Vec<_> = (0..40u32).map(|n| format!("k{n:02}").into_bytes()).collect();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut whole, mut refused) = (0, 0);
                    while !is_over.load(std::sync::atomic::Ordering::Relaxed) || whole == 0 {
                        let at = store.last_commit();
                        match store.scan(Span::ALL, at, Direction::Forward, Bounds::NONE) {
                            Ok(page) => {
                                let values: std::collections::HashSet<_> =
                                    page.rows.iter().map(|row| row.version.value.to_vec()).collect();
                                assert!(values.len() <= 1 && [0, 40].contains(&page.rows.len()), "{page:?}");
                                whole += 1;
                            }
                            Err(Error::Compacted { .. }) => refused += 1,
                            Err(other) => panic!("{other}"),
                        }
                    }
                    (whole, refused)
                })
            })
            .collect();
        for round in 0..150u64 {
            let text = format!("{round}");
            let writes: Vec<_> = keys.iter().map(|key| put(key, text.as_bytes())).collect();
            let transaction = Transaction { commit: t(10 * round + 1), mutations: &writes, ..Transaction::default() };
            store.apply(&transaction, Source::Log { index: 2 * round + 1 }).unwrap();
            if round % 3 == 0 {
                let delete = PrefixDelete { prefix: b"k", spare: None, commit: t(10 * round + 2) };
                store.delete_prefix(&delete, Source::Log { index: 2 * round + 2 }).unwrap();
            }
            if round % 5 == 0 {
                store.compact(t(10 * round), 25).unwrap();
            }
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            let (whole, _refused) = reader.join().unwrap();
            assert!(whole > 0);
        }
    });
    let model = MemStore::new(Retention::Versions);
    model.restore(&mut &common::image(store)[..]).unwrap();
    assert_eq!(scan(&model, Span::ALL, Timestamp::LATEST), scan(store, Span::ALL, Timestamp::LATEST));
}

/// What a crash of the machine leaves of a journal that was not synced: a part of it, and zeros or nothing behind.
#[test]
fn a_torn_journal_leaves_a_state_that_was() {
    let lsm = Lsm::new(Retention::Versions);
    let everything = |store: &dyn Store| {
        let page = store.scan(Span::ALL, Timestamp::LATEST, Direction::Forward, Bounds::NONE);
        (store.last_commit(), store.applied_index(), page.unwrap().rows)
    };
    let mut states = vec![everything(lsm.store())];
    for n in 1..=60u64 {
        let keys: Vec<_> = (0..n % 5 + 1).map(|key| format!("{}", (n * 7 + key * 3) % 23).into_bytes()).collect();
        if n.is_multiple_of(9) {
            let delete = PrefixDelete { prefix: b"1", spare: None, commit: t(n) };
            lsm.store().delete_prefix(&delete, Source::Log { index: n }).unwrap();
        } else {
            let writes: Vec<_> = keys.iter().map(|key| put(key, &keys[0])).collect();
            let transaction = Transaction { commit: t(n), mutations: &writes, ..Transaction::default() };
            lsm.store().apply(&transaction, Source::Log { index: n }).unwrap();
        }
        states.push(everything(lsm.store()));
    }
    let journal = std::fs::read(lsm.path().join("0.jnl")).unwrap();
    let written = journal.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let (mut torn, mut found) = (0, std::collections::BTreeSet::new());
    for cut in (0..=written).rev().step_by(written / 97) {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(lsm.path(), copy.path());
        std::fs::write(copy.path().join("0.jnl"), &journal[..cut]).unwrap();
        // With its assertions on, the tree's journal reader takes some zeros for a fault of its own.
        if cut % 2 == 0 && !cfg!(debug_assertions) {
            let file = std::fs::OpenOptions::new().write(true).open(copy.path().join("0.jnl")).unwrap();
            file.set_len(journal.len() as u64).unwrap();
        }
        let store = mvcc::LsmStore::open(copy.path(), &Options::new(Retention::Versions)).unwrap();
        let state = everything(&store);
        assert_eq!(state, states[state.0.0 as usize], "cut at {cut} of {written}");
        torn += usize::from(state.0 < t(60));
        found.insert(state.0);
    }
    assert!(torn > 80 && found.len() > 30, "{torn} of the cuts took something back, to {} states", found.len());
}
