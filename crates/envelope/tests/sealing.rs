//! What is sealed comes back as it was, or not at all.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use envelope::testing::{MemPlace, keyring};
use envelope::{Cipher, DataKeyId, Error, HEAD_BYTES, Purpose, key_of};
use proptest::collection::vec;
use proptest::prelude::*;

fn cipher(seed: u64) -> Cipher {
    Cipher::open_place(Box::new(MemPlace::new(seed)), keyring(&[1])).unwrap()
}

fn seal(cipher: &Cipher, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut sealed = [&[0; HEAD_BYTES], plain].concat();
    let (head, body) = sealed.split_first_chunk_mut().unwrap();
    cipher.prepare(Purpose::Row, 1).unwrap().seal(aad, head, body).unwrap();
    sealed
}

fn open(cipher: &Cipher, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = b"left over".to_vec();
    let opened = cipher.open_into(Purpose::Row, aad, sealed, &mut plain);
    assert!(opened.is_ok() || plain.is_empty(), "nothing is handed out of what does not open");
    opened.map(|()| plain)
}

proptest! {
    #[test]
    fn what_is_sealed_opens(plain in vec(any::<u8>(), 0..300), aad in vec(any::<u8>(), 0..60)) {
        let cipher = cipher(1);
        let sealed = seal(&cipher, &aad, &plain);
        prop_assert_eq!(sealed.len(), HEAD_BYTES + plain.len());
        prop_assert_eq!(open(&cipher, &aad, &sealed).unwrap(), plain);
        prop_assert_eq!(key_of(&sealed).unwrap(), DataKeyId(1));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_an_error(
        plain in vec(any::<u8>(), 0..40),
        aad in vec(any::<u8>(), 1..20),
    ) {
        let cipher = cipher(1);
        let sealed = seal(&cipher, &aad, &plain);
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = open(&cipher, &aad, &bad).unwrap_err();
            let names_another_key = bit < 32;
            prop_assert_eq!(matches!(error, Error::DataKeyUnknown(_)), names_another_key);
            prop_assert_eq!(matches!(error, Error::Integrity), !names_another_key);
        }
        for bit in 0..aad.len() * 8 {
            let mut bad = aad.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(matches!(open(&cipher, &bad, &sealed), Err(Error::Integrity)));
        }
        for len in 0..sealed.len() {
            prop_assert!(open(&cipher, &aad, &sealed[..len]).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_open(sealed in vec(any::<u8>(), 0..80), known: bool) {
        let cipher = cipher(1);
        seal(&cipher, b"", b"");
        let sealed = if known { [&1u32.to_be_bytes()[..], &sealed].concat() } else { sealed };
        prop_assert!(open(&cipher, b"", &sealed).is_err());
    }
}

#[test]
fn the_same_bytes_are_sealed_differently_each_time() {
    let cipher = cipher(1);
    let sealed: std::collections::HashSet<_> =
        (0..1000).map(|_| seal(&cipher, b"key", b"value")[HEAD_BYTES..].to_vec()).collect();
    assert!(sealed.len() > 990, "5 bytes rarely agree by chance");
}

#[test]
fn what_is_sealed_for_one_purpose_opens_for_no_other() {
    let cipher = cipher(1);
    let sealed = seal(&cipher, b"", b"value");
    let mut out = Vec::new();
    assert!(matches!(cipher.open_into(Purpose::Record, b"", &sealed, &mut out), Err(Error::Integrity)));
}

#[test]
fn two_sealers_share_no_counter() {
    let cipher = cipher(1);
    let mut sealers = [cipher.prepare(Purpose::Row, 3).unwrap(), cipher.prepare(Purpose::Record, 3).unwrap()];
    let mut counters = std::collections::HashSet::new();
    for n in 0..6 {
        let mut head = [0; HEAD_BYTES];
        sealers[n % 2].seal(b"", &mut head, &mut []).unwrap();
        assert!(counters.insert(head[4..8].to_vec()));
    }
    assert_eq!(sealers[0].left(), 0);
}

#[test]
#[should_panic(expected = "as many times as was asked for")]
fn a_sealer_that_is_used_up_seals_no_more() {
    let mut sealer = cipher(1).prepare(Purpose::Row, 1).unwrap();
    for _ in 0..2 {
        sealer.seal(b"", &mut [0; HEAD_BYTES], &mut []).unwrap();
    }
}

/// The bytes of a registry and of what is sealed, as they are since the first version. `ENVELOPE_WRITE_GOLDEN` writes them.
#[test]
fn golden() {
    use envelope::Place;
    let place = MemPlace::new(42);
    let sealed = {
        let cipher = Cipher::open_place(Box::new(place.clone()), keyring(&[1, 2])).unwrap();
        [seal(&cipher, b"place", b"value"), seal(&cipher, b"", b"")]
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let registry = place.read(envelope::REGISTRY).unwrap().unwrap();
    let text = format!("registry {}\nvalue {}\nempty {}\n", hex(&registry), hex(&sealed[0]), hex(&sealed[1]));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.txt");
    if std::env::var_os("ENVELOPE_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text, "a format has changed; it must not without a new version");
    let cipher = Cipher::open_place(Box::new(place), keyring(&[2])).unwrap();
    assert_eq!(open(&cipher, b"place", &sealed[0]).unwrap(), b"value");
}
