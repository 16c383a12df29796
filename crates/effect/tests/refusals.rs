//! What no encoder writes is refused, with the place in the bytes. Each case is a good effect with one thing wrong.

use effect::limits::{MAX_BIND_KEYS, MAX_RUN, MAX_STRING_BYTES};
use effect::{Batch, BatchBuf, GroupId, Origin, WireError};

/// Bytes of a batch with one effect, before the effect.
const BEFORE: usize = 31;

/// What the decoder says to one effect on the key "k" of the first database, with these flags and this body.
fn answer(code: u8, flags: u8, body: &[u8]) -> Option<WireError> {
    let mut bytes = BatchBuf::new(GroupId(0), Origin(1 << 16)).encoded().to_vec();
    bytes[BEFORE - 1] = 1;
    bytes.extend([code, flags, 0, 0, 1, b'k']);
    bytes.extend(body);
    Batch::decode(&bytes).expect("a good header").effects().find_map(Result::err)
}

/// `what` is refused, `at` bytes behind the beginning of the effect.
#[track_caller]
fn refused(code: u8, flags: u8, body: &[u8], what: &'static str, at: usize) {
    assert_eq!(answer(code, flags, body), Some(WireError::Invalid { what, at: BEFORE + at }));
}

#[test]
fn operations_that_nobody_writes() {
    refused(0, 0, &[], "operation", 0);
    refused(32, 0, &[], "operation", 0);
    refused(255, 0, &[], "operation", 0);
    assert_eq!(answer(17, 0, &[]), None);
}

#[test]
fn keyspaces_of_unknown_modes_and_flags() {
    assert_eq!(answer(27, 0, &[1, 3, 1, 0, 0, 0]), None);
    refused(27, 0, &[2, 0, 1, 0, 0, 0], "mode of a keyspace", 6);
    refused(27, 0, &[1, 4, 1, 0, 0, 0], "flags of a keyspace", 7);
    refused(27, 1 << 4, &[1, 0, 1, 0, 0, 0], "flags", 1);
}

#[test]
fn flags_that_the_operation_has_no_use_for() {
    for unused in [1 << 5, 1 << 6, 1 << 7] {
        refused(1, unused, &[0], "flags", 1);
    }
    refused(1, 3 << 2, &[0], "deadline", 1);
    refused(1, 1 << 4, &[0], "flags", 1);
    refused(17, 1 << 2, &[], "flags", 1);
    refused(16, 2 << 2, &[0, 0], "flags", 1);
    refused(11, 1 << 2, &[3, 0, 0], "flags", 1);
    assert_eq!(answer(11, 1 << 4, &[3, 0, 0]), None);
}

#[test]
fn dependencies_that_are_announced_and_are_none() {
    refused(17, 2, &[0], "number of dependencies", 6);
    assert_eq!(answer(17, 2, &[1, 1, 0, 0, 0, 0, 0, 0, 0, 9]), None);
}

#[test]
fn numbers_with_zeros_at_their_end_or_too_many_bits() {
    // AddInt of 1 in one byte, then in two.
    assert_eq!(answer(2, 0, &[2]), None);
    refused(2, 0, &[0x82, 0], "varint", 8);
    let mut most = [0xff; 10];
    most[9] = 1;
    assert_eq!(answer(2, 0, &most), None);
    most[9] = 2;
    refused(2, 0, &most, "varint", 16);
    most[9] = 0x81;
    refused(2, 0, &most, "varint", 16);
}

#[test]
fn kinds_and_rules_and_scores_that_do_not_exist() {
    refused(8, 0, &[2, 0, 0], "kind of elements", 6);
    refused(8, 0, &[3, 6, 0], "merge rule", 7);
    refused(9, 0, &[1, 0], "kind of elements", 6);
    refused(15, 0, &[6, 0], "kind of value", 6);
    let mut score = vec![5, 0, 1, 1, b'm'];
    score.extend(f64::NAN.to_le_bytes());
    refused(8, 0, &score, "score", 11);
    refused(16, 0, &[2], "deadline", 6);
    refused(7, 0, &[0, 0, 0], "width in bits", 7);
    refused(7, 0, &[0, 65, 0], "width in bits", 7);
    refused(20, 0, &[2, 0, 0, 0], "safety of a transaction", 6);
    refused(31, 1 << 4, &[4, 0], "flags of a keyspace", 6);
    refused(20, 0, &[0, 0, 0, 1, 16, 0, 0, 0], "flags of a bound key", 10);
    refused(20, 0, &[0, 0, 0, 1, 8, 0, 0, 0], "flags of a bound key", 10);
    refused(20, 0, &[0, 0, 0, 1, 5, 0, 0, 0, 9], "type", 14);
}

#[test]
fn positions_in_another_form_than_theirs() {
    assert_eq!(answer(13, 0, &[3, 0, 0]), None);
    // An epoch that is said to be not 0 and is; an origin that is said to be another and is not.
    refused(13, 0, &[1, 0, 0, 0], "list position", 6);
    refused(13, 0, &[2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], "list position", 6);
    // A count of its own for a path that the tag could have counted; a tag beyond the last.
    refused(13, 0, &[62 << 2 | 3, 0, 0, 0], "list position path", 6);
    refused(13, 0, &[63 << 2 | 3, 0, 0, 0], "list position path", 6);
    // More steps than there are bytes for.
    refused(13, 0, &[1 << 2 | 3, 0, 0, 0], "list position path", 6);
}

#[test]
fn runs_of_positions_beyond_the_last_number() {
    // The zigzag form of the largest number and of the smallest.
    let (largest, smallest) =
        ([0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1], [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    let what = "length of a run of positions";
    let push = |n: &[u8], values: &[u8]| [&[3], n, values].concat();
    assert_eq!(answer(11, 0, &push(&largest, &[1, 0])), None);
    refused(11, 0, &push(&largest, &[2, 0, 0]), what, 6);
    assert_eq!(answer(11, 1 << 4, &push(&largest, &[2, 0, 0])), None);
    assert_eq!(answer(11, 1 << 4, &push(&smallest, &[1, 0])), None);
    refused(11, 1 << 4, &push(&smallest, &[2, 0, 0]), what, 6);
    let cut = |len: u8| [&[1, 3][..], &largest, &[len]].concat();
    assert_eq!(answer(14, 0, &cut(1)), None);
    refused(14, 0, &cut(2), what, 7);
    let list = |values: &[u8]| [&[2, 1, 3][..], &largest, values].concat();
    assert_eq!(answer(15, 0, &list(&[1, 0])), None);
    refused(15, 0, &list(&[2, 0, 0]), what, 8);
}

#[test]
fn transactions_of_more_keys_than_any_replica_takes() {
    // A read key of one byte, whose name and flags are the shortest.
    let of = |keys: usize| [&[0, 0, 0][..], &varint(keys as u64), &[2, 0, 0, 0].repeat(keys)].concat();
    assert_eq!(answer(20, 0, &of(MAX_BIND_KEYS)), None);
    refused(20, 0, &of(MAX_BIND_KEYS + 1), "number of keys of a transaction", 9);
}

fn varint(n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    effect::wire::put_varint(&mut out, n);
    out
}

#[test]
fn patches_that_would_make_a_string_too_long() {
    let what = "offset in a string";
    let write = |offset: u64, bytes: &[u8]| [&varint(offset)[..], &varint(bytes.len() as u64), bytes].concat();
    assert_eq!(answer(6, 0, &write(MAX_STRING_BYTES - 1, b"x")), None);
    assert_eq!(answer(6, 0, &write(MAX_STRING_BYTES, b"")), None);
    refused(6, 0, &write(MAX_STRING_BYTES, b"x"), what, 6);
    refused(6, 0, &write(MAX_STRING_BYTES - 1, b"xy"), what, 6);
    refused(6, 0, &write(u64::MAX, b"x"), what, 6);
    let bits = |offset: u64| [&varint(offset)[..], &[64, 0]].concat();
    assert_eq!(answer(7, 0, &bits(8 * MAX_STRING_BYTES - 1)), None);
    refused(7, 0, &bits(8 * MAX_STRING_BYTES), what, 6);
    refused(7, 0, &bits(u64::MAX), what, 6);
}

#[test]
fn runs_of_more_positions_than_a_list_has() {
    let cut = |len: u64| [&[1, 3, 0][..], &varint(len)].concat();
    assert_eq!(answer(14, 0, &cut(MAX_RUN)), None);
    refused(14, 0, &cut(MAX_RUN + 1), "length of a run of positions", 7);
    refused(14, 0, &cut(1 << 62), "length of a run of positions", 7);
}
