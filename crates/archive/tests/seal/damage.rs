//! Whatever is done to a sealed object is noticed: every bit, every cut, everything moved, doubled, left out or taken
//! from another object. What was given before is always a beginning of what was sealed.

use archive::seal::{Damage, Error};
use proptest::prelude::*;

use crate::support::*;

/// Three chunks and a rest, which compress to a few bytes, so that every bit can be tried.
fn small() -> (Vec<u8>, Vec<u8>) {
    let mut content = vec![7; 3 * CHUNK];
    content.extend_from_slice(b"the rest");
    content[CHUNK] = 1;
    let sealed = seal(&sealer(&pair(1)), "name", &content, 1);
    assert!(sealed.len() < 1500, "{}", sealed.len());
    (content, sealed)
}

fn assert_refused(content: &[u8], sealed: &[u8], what: impl std::fmt::Display) -> Error {
    let (came, done) = open(&opener(&pair(1)), "name", sealed);
    assert!(content.starts_with(&came), "{what}: something else came out");
    done.expect_err(&format!("{what}: not noticed"))
}

#[test]
fn every_bit_counts() {
    let (content, sealed) = small();
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let error = assert_refused(&content, &bad, format!("bit {bit}"));
        let fits = match bit / 8 {
            0..8 => matches!(error, Error::NotSealed),
            8 => matches!(error, Error::NewerVersion { .. } | Error::DamagedHeader(_)),
            9..1172 => matches!(error, Error::DamagedHeader(_)),
            _ => matches!(error, Error::Damaged { .. } | Error::Truncated { .. }),
        };
        assert!(fits, "byte {}: {error:?}", bit / 8);
    }
}

#[test]
fn every_cut_is_noticed() {
    let (content, sealed) = small();
    let frames = frames(&sealed);
    for length in 0..sealed.len() {
        let error = assert_refused(&content, &sealed[..length], format!("{length} bytes"));
        let frame = frames.iter().filter(|at| **at <= length).count().saturating_sub(1) as u64;
        match length {
            0..8 => assert!(matches!(error, Error::NotSealed), "{length}: {error:?}"),
            _ => assert!(matches!(error, Error::Truncated { chunk } if chunk == frame), "{length}: {error:?}"),
        }
    }
    let mut more = sealed.clone();
    more.push(0);
    assert!(matches!(assert_refused(&content, &more, "a byte more"), Error::Trailing));
}

#[test]
fn a_damaged_header_with_a_good_checksum_opens_nothing() {
    let (content, sealed) = small();
    // Whoever changes bytes on purpose can also compute a checksum.
    for byte in 9..1168 {
        let mut bad = sealed.clone();
        bad[byte] ^= 0x10;
        let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bad[..1168]) as u32;
        bad[1168..1172].copy_from_slice(&sum.to_be_bytes());
        let error = assert_refused(&content, &bad, format!("byte {byte}"));
        let fits = match byte {
            9 => matches!(error, Error::DamagedHeader(_)),
            10..16 => matches!(error, Error::Unsupported { .. }),
            16..32 => matches!(error, Error::WrongKey { .. }),
            32..48 => matches!(error, Error::WrongName { .. }),
            _ => matches!(error, Error::Damaged { chunk: 0, damage: Damage::Seal }),
        };
        assert!(fits, "byte {byte}: {error:?}");
    }
    // Another size of chunks, which is possible, is bound to the key as well.
    let mut bad = sealed;
    bad[9] = 17;
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bad[..1168]) as u32;
    bad[1168..1172].copy_from_slice(&sum.to_be_bytes());
    let error = assert_refused(&content, &bad, "the size of chunks");
    assert!(matches!(error, Error::Damaged { chunk: 0, damage: Damage::Seal }), "{error:?}");
}

/// Puts an object together from the header of the first and frames of several.
fn splice(header: &[u8], frames: &[&[u8]]) -> Vec<u8> {
    [&[&header[..1172]], frames].concat().concat()
}

#[test]
fn frames_have_one_place_in_one_object() {
    let (content, sealed) = small();
    let at = frames(&sealed);
    let frame = |n: usize| &sealed[at[n]..at[n + 1]];
    assert_eq!(splice(&sealed, &[frame(0), frame(1), frame(2), frame(3)]), sealed);
    let other = seal(&sealer(&pair(1)), "name", &content, 2);
    let other_at = frames(&other);
    let of_other = |n: usize| &other[other_at[n]..other_at[n + 1]];
    let cases = [
        ("swapped", vec![frame(1), frame(0), frame(2), frame(3)], 0),
        ("doubled", vec![frame(0), frame(0), frame(1), frame(2), frame(3)], 1),
        ("left out", vec![frame(0), frame(2), frame(3)], 1),
        ("the first left out", vec![frame(1), frame(2), frame(3)], 0),
        ("the last at once", vec![frame(3)], 0),
        ("the last early", vec![frame(0), frame(3)], 1),
        ("of another object", vec![frame(0), of_other(1), frame(2), frame(3)], 1),
        ("all of another object", (0..4).map(of_other).collect(), 0),
    ];
    for (what, frames, at) in cases {
        let error = assert_refused(&content, &splice(&sealed, &frames), what);
        assert!(matches!(error, Error::Damaged { chunk, .. } if chunk == at), "{what}: {error:?}");
    }
    let ended = splice(&sealed, &[frame(0), frame(1), frame(2)]);
    assert!(matches!(assert_refused(&content, &ended, "no last"), Error::Truncated { chunk: 3 }));
    let twice = [&sealed[..], &sealed[..]].concat();
    assert!(matches!(assert_refused(&content, &twice, "appended"), Error::Trailing));
}

#[test]
fn a_chunk_that_was_not_the_last_cannot_become_it() {
    let (content, sealed) = small();
    let at = frames(&sealed);
    let mut bad = sealed[..at[2]].to_vec();
    bad[at[1]] |= 0x80;
    assert!(matches!(assert_refused(&content, &bad, "made the last"), Error::Damaged { chunk: 1, .. }));
    let mut bad = sealed;
    bad[at[3]] &= 0x7f;
    assert!(matches!(assert_refused(&content, &bad, "made not the last"), Error::Damaged { chunk: 3, .. }));
}

#[test]
fn another_name_does_not_open() {
    let (_, sealed) = small();
    for name in ["", "nam", "name2", "Name"] {
        let (came, done) = open(&opener(&pair(1)), name, &sealed);
        assert!(came.is_empty() && matches!(&done, Err(Error::WrongName { name: n }) if n == name), "{done:?}");
    }
}

#[test]
fn another_key_does_not_open_and_says_which_would() {
    let (_, sealed) = small();
    let (sealed_for, at_hand) = (pair(1).public.fingerprint(), pair(2).public.fingerprint());
    let (_, done) = open(&opener(&pair(2)), "name", &sealed);
    let error = done.unwrap_err();
    assert!(matches!(error, Error::WrongKey { sealed_for: s, at_hand: h } if s == sealed_for && h == at_hand));
    assert!(error.to_string().contains(&sealed_for.to_string()));
}

#[test]
fn a_header_that_names_our_key_does_not_make_it_ours() {
    // Sealed for another key, with our fingerprint put in: the key that is derived is a different one.
    let content = b"for somebody else";
    let mut sealed = seal(&sealer(&pair(2)), "name", content, 1);
    sealed[16..32].copy_from_slice(&pair(1).public.fingerprint().0);
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &sealed[..1168]) as u32;
    sealed[1168..1172].copy_from_slice(&sum.to_be_bytes());
    let error = assert_refused(content, &sealed, "our fingerprint");
    assert!(matches!(error, Error::Damaged { chunk: 0, damage: Damage::Seal }), "{error:?}");
}

#[test]
fn what_is_not_ours_is_told_from_what_is_newer() {
    let (_, sealed) = small();
    for other in [&b""[..], b"x", b"\x1f\x8b\x08 gzip or so", &[0; 4096], b"\x8bANBSEA"] {
        assert!(matches!(open(&opener(&pair(1)), "name", other).1, Err(Error::NotSealed)));
    }
    // A newer version may have another shape from there on.
    let newer = [&sealed[..8], &[2, 1, 2, 3]].concat();
    assert!(matches!(open(&opener(&pair(1)), "name", &newer).1, Err(Error::NewerVersion { found: 2, known: 1 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Random frames of large chunks: cuts, flips, and pieces put elsewhere.
    #[test]
    fn no_change_goes_unnoticed(
        seed: u64, length in 0_usize..5 * CHUNK, kind in 0_u8..4, a: prop::sample::Index, b: prop::sample::Index, n in 1_usize..2000
    ) {
        let content = Seeded(seed).bytes(length);
        let sealed = seal(&sealer(&pair(1)), "name", &content, seed);
        let (a, b) = (a.index(sealed.len()), b.index(sealed.len()));
        let n = n.min(sealed.len() - a).min(sealed.len() - b);
        let mut bad = sealed.clone();
        match kind {
            0 => bad[a] ^= 1 << (n % 8),
            1 => drop(bad.drain(a..a + n)),
            2 => bad.copy_within(a..a + n, b),
            _ => drop(bad.splice(b..b, sealed[a..a + n].iter().copied())),
        }
        prop_assume!(bad != sealed);
        assert_refused(&content, &bad, format!("kind {kind}"));
    }

    #[test]
    fn arbitrary_bytes_do_not_open(bytes in prop::collection::vec(any::<u8>(), 0..4000), keep in 0_usize..1300) {
        let (content, sealed) = small();
        let keep = keep.min(sealed.len());
        let bad = [&sealed[..keep], &bytes[..]].concat();
        prop_assume!(bad != sealed);
        assert_refused(&content, &bad, "arbitrary");
    }
}
