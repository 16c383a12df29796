//! Files that are cut, changed, or never were any.

use proptest::prelude::*;

use super::{Seen, everything, model, read, read_anyway};
use crate::testing::{Blob, File, len, listpack, string};
use crate::{Checksum, Dialect, Error, Record, kinds};

#[test]
fn a_file_that_is_cut_anywhere_is_refused_with_its_length() {
    let (bytes, _) = everything();
    for cut in 0..bytes.len() {
        match read(&bytes[..cut]).unwrap_err() {
            Error::Cut { offset } => assert_eq!(offset, cut as u64),
            Error::NotRdb { .. } => assert!(cut < 9, "{cut}"),
            other => panic!("cut at {cut}: {other}"),
        }
    }
    assert!(
        matches!(read(&[&bytes[..], b"*"].concat()), Err(Error::Damaged { offset, .. }) if offset == bytes.len() as u64)
    );
}

#[test]
fn a_file_of_which_any_byte_has_changed_is_refused() {
    let (bytes, _) = everything();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(read(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn checksums_are_compared_where_there_are_any() {
    let file = |version| File::redis(version).key(kinds::STRING, b"k", &string(b"v"));
    let last = |bytes: &[u8]| read(bytes).unwrap().pop().unwrap();
    let end = |checksum| Seen::Other(Record::End(checksum), Vec::new());
    assert_eq!(last(&file(5).end()), end(Checksum::Right));
    assert_eq!(last(&file(11).end_unsigned()), end(Checksum::Off));
    assert_eq!(last(&file(4).raw([255]).0), end(Checksum::None));
    let mut changed = file(9).end();
    let at = changed.len() - 10;
    changed[at] = b'w';
    let error = read(&changed).unwrap_err();
    assert!(matches!(error, Error::Checksum { offset, .. } if offset == changed.len() as u64 - 8), "{error}");
}

#[test]
fn what_cannot_be_skipped_is_named() {
    for (number, said) in [
        (6, "candidates of Redis 4.0"),
        (8, "not known"),
        (29, "not known"),
        (100, "not known"),
        (246, "candidate of Redis 7.0"),
    ] {
        let error = read(&File::redis(12).key(number, b"k", &string(b"v")).end()).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("offset 9"), "{error}");
    }
    let error = read(&File::valkey(81).key(23, b"k", &string(b"v")).end()).unwrap_err().to_string();
    assert!(error.contains("number 23"), "{error}");
}

#[test]
fn damage_is_named_with_the_place() {
    let at = |number: u8, body: &[u8]| {
        let file = File::redis(12).key(number, b"k", body).end();
        match read(&file).unwrap_err() {
            Error::Damaged { offset, what } => (offset - 12, what),
            other => panic!("{other}"),
        }
    };
    assert_eq!(at(kinds::LIST, &[&len(2)[..], &string(b"x"), &[0x82]].concat()), (4, "a length is of no known form"));
    assert_eq!(at(kinds::STRING, &[0xc4, 1]).0, 1);
    assert_eq!(at(kinds::STRING, &[0xc3, 2, 5, 0x20, 0]).0, 0);
    assert_eq!(
        at(kinds::HASH_LISTPACK, &string(&listpack(&[Blob::Int(1)]))),
        (0, "a packed blob ends in the middle of a pair")
    );
    assert_eq!(
        at(kinds::ZSET_2, &[&len(1)[..], &string(b"m"), &f64::NAN.to_le_bytes()].concat()).1,
        "a score is no number"
    );
    assert_eq!(at(kinds::ZSET, &[&len(1)[..], &string(b"m"), &[1, b'x']].concat()), (3, "a score is no number"));
    assert_eq!(
        at(kinds::SET_INTSET, &string(&[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0])).1,
        "the members of an intset do not ascend"
    );
    let first = i64::MAX.to_le_bytes();
    let late = at(kinds::HASH_METADATA, &[&first[..], &len(1), &len(2), &string(b"f"), &string(b"v")].concat());
    assert_eq!(late.1, "the deadline of a field is too far away");
    assert_eq!(at(kinds::HASH_TEMPLATE, &len(9)).1, "a hash is made by a template that is not there");
    let error = read(&File::redis(12).key(kinds::STRING, b"k", &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0]).end()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn templates_are_bounded() {
    let file = File::redis(15).raw([242]).raw([len(1), len(u64::from(u32::MAX) + 1)].concat()).raw(vec![0; 3 << 20]);
    assert!(matches!(read(&file.end()), Err(Error::TooLarge { .. })));
    let twice = [&[242][..], &len(1), &len(1), &string(b"f")].concat();
    assert!(matches!(read(&File::redis(15).raw(&twice).raw(&twice).end()), Err(Error::Damaged { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_never_panic(
        value in model(),
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0xff), Just(0x81)]), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        all in any::<bool>(),
    ) {
        let mut bytes = if all {
            everything().0
        } else {
            let encodings = value.encodings();
            let (dialect, number, body) = which.get(&encodings);
            File::of(*dialect).key(*number, b"key", body).end_unsigned()
        };
        for (at, byte) in changes {
            let at = 9 + at.index(bytes.len() - 9);
            bytes[at] = byte;
        }
        if let Some(at) = cut {
            bytes.truncate(at.index(bytes.len() + 1));
        }
        read_anyway(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), valkey in any::<bool>()) {
        let dialect = if valkey { Dialect::Valkey } else { Dialect::Redis };
        read_anyway(&File::of(dialect).raw(bytes).0);
    }
}
