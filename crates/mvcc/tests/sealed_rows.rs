//! What only a store with sealed values can show.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use common::{Fixture, Lsm, commit, compact, delete_prefix, image, put, scan, t, value};
use envelope::testing::MemPlace;
use mvcc::{Bounds, Direction, Error, MemStore, Mutation, Retention, Source, Span, Store, Timestamp};

const SECRET: &[u8] = b"a secret that must not be found on the disk";

/// Whether a file below `dir` has these bytes.
fn is_on_disk(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().map(Result::unwrap).any(|entry| match entry.file_type().unwrap().is_dir() {
        true => is_on_disk(&entry.path(), bytes),
        false => std::fs::read(entry.path()).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

fn rows_of(lsm: &mut Lsm) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    lsm.with_tree(|tree| {
        for guard in tree.range([1u8]..[3u8]) {
            let (key, row) = guard.into_inner().unwrap();
            rows.push((key.to_vec(), row.to_vec()));
        }
    });
    rows
}

/// The state bits of a row.
fn state(row: &[u8]) -> u8 {
    row[1] >> 1 & 3
}

fn refused(lsm: &Lsm, key: &[u8]) -> Error {
    let got = lsm.store().get(key, Timestamp::LATEST);
    got.map(|found| panic!("{} is read as {found:?}", key.escape_ascii())).unwrap_err()
}

/// A transaction, a new deadline, a superseded version, a run, a restore: no value is on the disk in clear.
#[test]
fn no_value_is_on_the_disk_but_every_key_is() {
    let mut lsm = Lsm::sealed(Retention::Versions);
    commit(lsm.store(), 0, 1, &[put(b"first-key", SECRET), put(b"other", SECRET)]).unwrap();
    commit(lsm.store(), 1, 2, &[Mutation::Expire { key: b"first-key", expire_at: Some(t(99)) }]).unwrap();
    delete_prefix(lsm.store(), b"oth", None, 3);
    compact(lsm.store(), t(1));
    let mut run = Lsm::sealed(Retention::Newest);
    let mut writer = run.lsm().begin_run(t(5), Source::Direct).unwrap();
    writer.put(b"run-key", Some(t(99)), &[&SECRET[..7], b"", &SECRET[7..]]).unwrap();
    writer.finish().unwrap();
    let restored = Lsm::sealed(Retention::Versions);
    restored.store().restore(&mut &image(lsm.store())[..]).unwrap();
    for lsm in [&lsm, &run, &restored] {
        lsm.lsm().compact_all().unwrap();
        lsm.lsm().persist().unwrap();
        assert!(!is_on_disk(lsm.path(), &SECRET[..12]));
    }
    for store in [lsm.store(), restored.store()] {
        assert_eq!(value(store, b"first-key", t(2)).unwrap(), SECRET);
        assert_eq!(value(store, b"first-key", t(1)).unwrap(), SECRET);
        assert_eq!(value(store, b"other", t(2)).unwrap(), SECRET);
        assert_eq!(value(store, b"other", t(3)), None);
    }
    assert_eq!(value(run.store(), b"run-key", t(9)).unwrap(), SECRET);
    assert!(is_on_disk(lsm.path(), b"first-key"), "row keys are in clear, which the decision says");
    lsm.reopen();
    run.reopen();
    assert_eq!(value(lsm.store(), b"first-key", t(2)).unwrap(), SECRET);
    assert_eq!(value(run.store(), b"run-key", t(9)).unwrap(), SECRET);
}

/// One bit of a row, each in a row of its own.
#[test]
fn any_flipped_bit_of_a_row_is_an_error() {
    for expire_at in [None, Some(t(1 << 40))] {
        let mut lsm = Lsm::sealed(Retention::Newest);
        let key = |bit: usize| format!("key{bit:04}").into_bytes();
        let bits = 8 * (if expire_at.is_some() { 18 } else { 10 } + 24 + 5);
        for bit in 0..=bits {
            lsm.store().put(&key(bit), b"value", t(bit as u64 + 1), expire_at).unwrap();
        }
        let rows = rows_of(&mut lsm);
        assert!(rows.iter().all(|(_, row)| row.len() * 8 == bits && state(row) == 1));
        lsm.with_tree(|tree| {
            for (bit, (row_key, row)) in rows.iter().enumerate().take(bits) {
                let mut row = row.clone();
                row[bit / 8] ^= 1 << (bit % 8);
                tree.insert(row_key, row).unwrap();
            }
        });
        for bit in 0..bits {
            let error = refused(&lsm, &key(bit));
            let is_typed = matches!(
                error,
                Error::Corrupt { .. } | Error::Encryption { state: 2 | 3 } | Error::Unsealed | Error::Sealed { .. }
            );
            assert!(is_typed, "bit {bit}: {error}");
            let (from, to) = (key(bit), key(bit + 1));
            let span = Span::new(&from, &to);
            assert!(lsm.store().scan(span, Timestamp::LATEST, Direction::Forward, Bounds::NONE).is_err(), "bit {bit}");
        }
        assert_eq!(value(lsm.store(), &key(bits), Timestamp::LATEST).unwrap(), b"value", "the one that was left alone");
    }
}

#[test]
fn a_row_under_another_key_is_an_error() {
    let mut lsm = Lsm::sealed(Retention::Versions);
    for key in [b"a", b"b"] {
        lsm.store().put(key, b"old", t(u64::from(key[0])), None).unwrap();
    }
    for key in [b"a", b"b"] {
        lsm.store().put(key, b"new", t(100 + u64::from(key[0])), None).unwrap();
    }
    let rows = rows_of(&mut lsm);
    assert_eq!(rows.len(), 4);
    lsm.with_tree(|tree| {
        tree.insert(&rows[0].0, &rows[1].1).unwrap();
        tree.insert(&rows[2].0, &rows[3].1).unwrap();
    });
    for at in [Timestamp::LATEST, t(199)] {
        let error = lsm.store().get(b"a", at).unwrap_err();
        assert!(matches!(error, Error::Sealed { source: envelope::Error::Integrity, .. }), "{error}");
    }
    assert_eq!(value(lsm.store(), b"b", t(100)).unwrap(), b"old");
}

/// The header of a superseded version says until when it was in force; that is bound as well.
#[test]
fn the_moment_at_which_a_version_was_superseded_is_bound() {
    let mut lsm = Lsm::sealed(Retention::Versions);
    lsm.store().put(b"k", b"old", t(5), None).unwrap();
    lsm.store().put(b"k", b"new", t(9), None).unwrap();
    let (row_key, mut row) = rows_of(&mut lsm).pop().unwrap();
    row[17] ^= 1;
    lsm.with_tree(|tree| tree.insert(&row_key, &row).unwrap());
    assert!(matches!(lsm.store().get(b"k", t(6)), Err(Error::Sealed { .. })));
}

#[test]
fn the_same_value_is_sealed_differently_each_time() {
    let mut lsm = Lsm::sealed(Retention::Newest);
    let mut seen = std::collections::HashSet::new();
    for n in 1..=4 {
        lsm.store().put(b"k", SECRET, t(1 + n), None).unwrap();
        let rows = rows_of(&mut lsm);
        assert!(seen.insert(rows[0].1[10 + 24..].to_vec()), "the same key stream twice");
    }
}

#[test]
fn a_sealed_store_opens_with_its_keys_only() {
    let keys = MemPlace::new(1);
    let mut lsm = Lsm::with_keys(Some(keys.clone()), |_| {});
    lsm.store().put(b"k", b"v", t(1), None).unwrap();
    assert!(matches!(lsm.try_with(None), Err(Error::KeysNeeded)));
    assert!(matches!(lsm.try_with(Some(MemPlace::new(2))), Err(Error::OtherKeys { .. })));
    lsm.try_with(Some(keys)).unwrap();
    assert_eq!(value(lsm.store(), b"k", t(1)).unwrap(), b"v");
}

/// A store that was written in clear: read as it is, sealed by what is written, by compactions and by `reencrypt`.
#[test]
fn a_store_in_clear_becomes_a_sealed_one() {
    let mut lsm = Lsm::new(Retention::Versions);
    for n in 1..=20u64 {
        lsm.store().put(format!("k{:02}", n % 10).as_bytes(), SECRET, t(n), None).unwrap();
    }
    lsm.store().delete(b"k05", t(21)).unwrap();
    let before = common::digest(lsm.store(), &[t(9), t(15), t(21)]);
    lsm.try_with(Some(MemPlace::new(1))).unwrap();
    assert_eq!(common::digest(lsm.store(), &[t(9), t(15), t(21)]), before);
    lsm.store().put(b"k01", b"newer", t(22), None).unwrap();
    let rows = rows_of(&mut lsm);
    let sealed = rows.iter().filter(|(_, row)| state(row) == 1).count();
    assert_eq!(sealed, 2, "what was written and what it superseded, and nothing else");

    lsm.lsm().compact_all().unwrap();
    assert_eq!(common::digest(lsm.store(), &[t(9), t(15), t(21)]), before);
    let is_tombstone = |row: &[u8]| row[1] & 1 == 1;
    let rows = rows_of(&mut lsm);
    assert!(rows.iter().all(|(_, row)| state(row) == 1 || is_tombstone(row)), "a compaction seals what it comes past");
    assert!(rows.len() > 20);

    // It may still be a mixed store: only what was looked at through and through is known to be sealed.
    let done = lsm.lsm().reencrypt().unwrap();
    assert!(lsm.lsm().forget_keys(&done).unwrap());
    assert_eq!(common::digest(lsm.store(), &[t(9), t(15), t(21)]), before);
    assert_eq!(lsm.cipher().data_keys().len(), 1);
    let clear = b"\x01\x00\0\0\0\0\0\0\0\x01planted";
    lsm.with_tree(|tree| tree.insert(b"\x01k99", clear).unwrap());
    assert!(matches!(refused(&lsm, b"k99"), Error::Unsealed));
    assert_eq!(value(lsm.store(), b"k01", t(22)).unwrap(), b"newer");
}

/// Nor does it become one of the store's own when a compaction comes past.
#[test]
fn a_value_in_clear_that_somebody_has_planted_is_refused() {
    let mut lsm = Lsm::sealed(Retention::Newest);
    lsm.store().put(b"good", b"v", t(1), None).unwrap();
    let clear = b"\x01\x00\0\0\0\0\0\0\0\x01planted";
    lsm.with_tree(|tree| tree.insert(b"\x01bad", clear).unwrap());
    lsm.lsm().compact_all().unwrap();
    assert!(matches!(refused(&lsm, b"bad"), Error::Unsealed));
    assert!(matches!(lsm.lsm().reencrypt(), Err(Error::Unsealed)));
    assert!(matches!(lsm.store().scan(Span::ALL, t(9), Direction::Forward, Bounds::NONE), Err(Error::Unsealed)));
    let mut bytes = Vec::new();
    assert!(matches!(lsm.store().snapshot().unwrap().write_to(&mut bytes), Err(Error::Unsealed)));
    assert!(rows_of(&mut lsm).iter().any(|(_, row)| row == clear));
    assert_eq!(value(lsm.store(), b"good", t(9)).unwrap(), b"v");
}

#[test]
fn old_data_keys_stay_as_long_as_a_reader_may_need_them() {
    let mut lsm = Lsm::sealed(Retention::Newest);
    for n in 1..=5u64 {
        let keys: Vec<_> = (0..100u64).map(|key| format!("{n}-{key:03}").into_bytes()).collect();
        let writes: Vec<_> = keys.iter().map(|key| put(key, SECRET)).collect();
        commit(lsm.store(), n, n + 1, &writes).unwrap();
        lsm.reopen();
    }
    assert_eq!(lsm.cipher().data_keys().len(), 5);
    let before = scan(lsm.store(), Span::ALL, t(9));
    let (mut read, mut done) = (0, None);
    let flow = lsm.lsm().for_each(Span::ALL, t(9), |_, version| {
        if done.is_none() {
            let reencrypted = lsm.lsm().reencrypt().unwrap();
            assert!(!lsm.lsm().forget_keys(&reencrypted).unwrap(), "this reader is still there");
            done = Some(reencrypted);
        }
        assert_eq!(&*version.value, SECRET);
        read += 1;
        ControlFlow::<()>::Continue(())
    });
    assert!(flow.unwrap().is_continue());
    assert_eq!((read, lsm.cipher().data_keys().len()), (500, 6));
    assert!(lsm.lsm().forget_keys(&done.unwrap()).unwrap());
    assert_eq!(lsm.cipher().data_keys().len(), 1);
    assert_eq!(scan(lsm.store(), Span::ALL, t(9)), before);
    lsm.reopen();
    assert_eq!(value(lsm.store(), b"3-050", t(9)).unwrap(), SECRET);
}

/// Compactions and existence checks need no key: what cannot be opened any more is collected when its time has come.
#[test]
fn headers_are_read_without_opening_the_value() {
    let mut lsm = Lsm::sealed(Retention::Newest);
    lsm.store().put(b"k", b"value", t(1), Some(t(10))).unwrap();
    let (row_key, mut row) = rows_of(&mut lsm).pop().unwrap();
    *row.last_mut().unwrap() ^= 1;
    lsm.with_tree(|tree| tree.insert(&row_key, &row).unwrap());
    assert!(matches!(lsm.store().get(b"k", t(5)), Err(Error::Sealed { .. })));
    assert_eq!(lsm.store().latest_commit(b"k").unwrap(), Some(t(1)));
    assert!(lsm.store().committed_at(b"k", t(1)).unwrap());
    compact(lsm.store(), t(10));
    assert!(rows_of(&mut lsm).is_empty());
    // And one that a compaction of the tree comes past.
    lsm.with_tree(|tree| tree.insert(&row_key, &row).unwrap());
    lsm.lsm().compact_all().unwrap();
    assert!(rows_of(&mut lsm).is_empty());
}

/// An image is in clear: any store takes it, with keys of its own or none.
#[test]
fn an_image_of_a_sealed_store_needs_no_keys() {
    let lsm = Lsm::sealed(Retention::Newest);
    lsm.store().put(b"k", SECRET, t(1), None).unwrap();
    let bytes = image(lsm.store());
    let model = MemStore::new(Retention::Newest);
    let mut clear = Lsm::new(Retention::Newest);
    let sealed = Lsm::with_keys(Some(MemPlace::new(2)), |_| {});
    for store in [&model as &dyn Store, clear.store(), sealed.store()] {
        store.restore(&mut &bytes[..]).unwrap();
        assert_eq!(value(store, b"k", t(1)).unwrap(), SECRET);
        assert_eq!(image(store), bytes);
    }
    clear.reopen();
}

/// The first row of a store with the master key 1 and the random numbers of seed 1. `MVCC_WRITE_GOLDEN` writes it.
#[test]
fn golden() {
    let mut lsm = Lsm::sealed(Retention::Newest);
    lsm.store().put(b"key", b"value", t(0x0102), Some(t(0x0304))).unwrap();
    let mut text = String::new();
    lsm.with_tree(|tree| {
        for key in [&b"\x00E"[..], b"\x01key"] {
            let row = tree.get(key).unwrap().unwrap();
            let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!("{} {hex}\n", key.escape_ascii()));
        }
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sealed.txt");
    if std::env::var_os("MVCC_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        text,
        "the format has changed; it must not without another state"
    );
}
