//! Keys as text files: what is written is read, and what is not a key, or not that one, is named.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use archive::seal::{KeyError, KeyKind, KeyPair, PrivateKey, PublicKey};

use crate::support::*;

#[test]
fn a_pair_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let (public, private) = (folder.path().join("backup.pub"), folder.path().join("backup.key"));
    let pair = KeyPair::generate().unwrap();
    pair.public.save(&public).unwrap();
    pair.private.save(&private).unwrap();
    let read = KeyPair { public: PublicKey::load(&public).unwrap(), private: PrivateKey::load(&private).unwrap() };
    assert_eq!(read.public.to_bytes(), pair.public.to_bytes());
    assert_eq!(*read.private.to_bytes(), *pair.private.to_bytes());
    assert_eq!(read.private.fingerprint(), pair.public.fingerprint());
    let content = b"through files".repeat(9);
    let sealed = seal(&sealer(&read), "n", &content, 1);
    let (came, done) = open(&opener(&read), "n", &sealed);
    assert!(done.is_ok() && came == content);
}

#[test]
fn a_private_file_is_for_its_owner_and_no_file_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k");
    let pair = pair(1);
    pair.private.save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&path).unwrap();
    assert!(matches!(pair.public.save(&path), Err(KeyError::Exists { path: p }) if p == path));
    assert!(matches!(self::pair(2).private.save(&path), Err(KeyError::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(matches!(pair.private.save(&folder.path().join("none/k")), Err(KeyError::Io { .. })));
}

#[test]
fn one_half_is_not_taken_for_the_other() {
    let pair = pair(1);
    let error = PrivateKey::from_text(&pair.public.to_text()).unwrap_err();
    assert!(matches!(error, KeyError::WrongKind { wanted: KeyKind::Private, found: KeyKind::Public }));
    assert_eq!(error.to_string(), "this is a public key, but opening takes the private key");
    let error = PublicKey::from_text(&pair.private.to_text()).unwrap_err();
    assert_eq!(error.to_string(), "this is a private key, but sealing takes the public key");
}

#[test]
fn a_private_key_is_never_shown() {
    let pair = pair(1);
    let secret = pair.private.to_text().lines().nth(3).unwrap().to_owned();
    let shown = format!("{pair:?} {:?} {:?}", pair.private, opener(&pair));
    assert!(!shown.contains(&secret[..8]) && shown.contains("not shown"), "{shown}");
}

/// The text form itself: what these seeds give must never change.
#[test]
fn the_text_form_stays_as_it_is() {
    let pair = pair(1);
    let fingerprint = pair.public.fingerprint();
    let text = pair.private.to_text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "anabranch private key 1");
    assert_eq!(lines[1], "kem x-wing 0x647a");
    assert_eq!(lines[2], format!("fingerprint {fingerprint}"));
    assert_eq!((lines[3].len(), lines[4], lines.len()), (44, "end", 5));
    let text = pair.public.to_text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "anabranch public key 1");
    // 1216 bytes are 1624 characters: 25 lines of 64, and 24.
    assert_eq!((lines.len(), lines[3].len(), lines[28].len(), lines[29]), (30, 64, 24, "end"));
}

#[test]
fn blanks_comments_and_line_ends_of_windows_do_not_matter() {
    let pair = pair(1);
    let text = format!("# backup of the shop\r\n\r\n  {}", pair.public.to_text().replace('\n', " \r\n# here too\r\n"));
    assert_eq!(PublicKey::from_text(&text).unwrap().fingerprint(), pair.public.fingerprint());
}

#[test]
fn every_changed_character_is_noticed() {
    for text in [pair(1).private.to_text().to_string(), pair(1).public.to_text()] {
        let read = |text: &str| {
            PrivateKey::from_text(text).map(drop).or_else(|e| match e {
                KeyError::WrongKind { .. } => PublicKey::from_text(text).map(drop),
                e => Err(e),
            })
        };
        assert!(read(&text).is_ok());
        for at in (0..text.len()).filter(|at| text.as_bytes()[*at] != b'\n') {
            let old = text.as_bytes()[at];
            let new = if old == b'A' { b'B' } else { b'A' };
            let mut bytes = text.clone().into_bytes();
            bytes[at] = new;
            let bad = String::from_utf8(bytes).unwrap();
            // Hexadecimal digits are the same in both cases.
            if text[..at].ends_with(|c: char| c.is_ascii_hexdigit() || c == ' ') && old == b'a' && at < 100 {
                continue;
            }
            assert!(read(&bad).is_err(), "character {at}");
        }
        for at in 0..text.len() - 1 {
            assert!(read(&text[..at]).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_text_is_named() {
    let text = pair(1).private.to_text();
    let with = |from: &str, to: &str| PrivateKey::from_text(&text.replace(from, to)).unwrap_err();
    assert!(matches!(PrivateKey::from_text("").unwrap_err(), KeyError::NotAKey));
    assert!(matches!(PrivateKey::from_text("-----BEGIN PRIVATE KEY-----").unwrap_err(), KeyError::NotAKey));
    assert!(matches!(with("key 1", "key 2"), KeyError::NewerVersion(v) if v == "2"));
    assert!(matches!(with("0x647a", "0x0020"), KeyError::UnknownKem(_)));
    assert!(matches!(with("end\n", ""), KeyError::Damaged(_)));
    assert!(matches!(with("end\n", "end\nmore\n"), KeyError::Damaged(_)));
    let other = pair(2).private.fingerprint().to_string();
    let own = pair(1).private.fingerprint().to_string();
    assert!(matches!(with(&own, &other), KeyError::Fingerprint { .. }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k");
    fs::write(&path, vec![b'\n'; 70_000]).unwrap();
    let error = PublicKey::load(&path).unwrap_err();
    assert!(matches!(&error, KeyError::InFile { cause, .. } if matches!(**cause, KeyError::NotAKey)), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()));
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    assert!(matches!(PublicKey::from_bytes(&[0; 1215]), Err(KeyError::Invalid(KeyKind::Public))));
    // Numbers of ML-KEM must be below its prime.
    assert!(matches!(PublicKey::from_bytes(&[0xff; 1216]), Err(KeyError::Invalid(KeyKind::Public))));
    assert!(matches!(PrivateKey::from_bytes(&[0; 31]), Err(KeyError::Invalid(KeyKind::Private))));
}

#[test]
fn without_random_bytes_nothing_is_sealed() {
    struct Dry;
    impl archive::seal::Entropy for Dry {
        fn fill(&mut self, _: &mut [u8]) -> archive::seal::Result<()> {
            Err(archive::seal::Error::Entropy)
        }
    }
    let mut out = Vec::new();
    assert!(sealer(&pair(1)).writer_with("n", &mut out, &mut Dry).is_err());
    assert!(out.is_empty());
    assert!(KeyPair::generate_with(&mut Dry).is_err());
}
