//! What the registry keeps through restarts, crashes, copies and other master keys.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use std::collections::HashSet;
use std::io;

use envelope::testing::{MemPlace, Survives, keyring};
use envelope::{Action, Cipher, DataKeyId, Error, HEAD_BYTES, Keyring, Purpose};

const ALL: [Survives; 4] = [Survives::Nothing, Survives::Everything, Survives::NamesAndHalves, Survives::Bytes];

fn open(place: &MemPlace, masters: &[u32]) -> Result<Cipher, Error> {
    Cipher::open_place(Box::new(place.clone()), keyring(masters))
}

/// Seals 16 zeros: what comes out is the key stream, the same only if a nonce is used again with the same key.
fn stream(cipher: &Cipher) -> Result<Vec<u8>, Error> {
    let mut sealed = [0; HEAD_BYTES + 16];
    let (head, body) = sealed.split_first_chunk_mut().unwrap();
    cipher.prepare(Purpose::Row, 1)?.seal(b"", head, body)?;
    Ok(sealed.to_vec())
}

fn opens(cipher: &Cipher, sealed: &[u8]) -> bool {
    let mut out = Vec::new();
    cipher.open_into(Purpose::Row, b"", sealed, &mut out).is_ok() && out == [0; 16]
}

#[test]
fn everything_opens_after_restarts_and_each_start_has_a_key_of_its_own() {
    let place = MemPlace::new(1);
    let mut sealed: Vec<Vec<u8>> = Vec::new();
    for n in 1..=5 {
        let cipher = open(&place, &[1]).unwrap();
        assert!(sealed.iter().all(|old| opens(&cipher, old)));
        assert_eq!(cipher.data_keys().len(), n - 1, "nothing is drawn before it is needed");
        sealed.extend([stream(&cipher).unwrap(), stream(&cipher).unwrap()]);
        assert_eq!(cipher.data_keys().len(), n);
    }
    let streams: HashSet<_> = sealed.iter().map(|sealed| &sealed[HEAD_BYTES..]).collect();
    assert_eq!(streams.len(), sealed.len(), "a nonce was used twice");
}

/// What was sealed elsewhere may name the registry before it has a key.
#[test]
fn a_registry_keeps_its_name_through_a_crash_though_nothing_was_sealed() {
    for survives in ALL {
        let place = MemPlace::new(1);
        let id = open(&place, &[1]).unwrap().registry();
        assert_eq!(open(&place.crashed(survives), &[1]).unwrap().registry(), id, "{survives:?}");
        assert_ne!(open(&MemPlace::new(2), &[1]).unwrap().registry(), id);
    }
}

/// On the real file system, with the real random generator: directories are copied while one is open, and all go on.
#[test]
fn no_nonce_is_used_twice_by_copies_of_a_directory() {
    let dirs: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut streams = HashSet::new();
    let mut count = 0;
    for n in 0..dirs.len() {
        let cipher = Cipher::open(dirs[n].path(), keyring(&[1])).unwrap();
        for _ in 0..50 {
            streams.insert(stream(&cipher).unwrap()[HEAD_BYTES..].to_vec());
            count += 1;
        }
        // An old copy and a new one.
        for later in [n + 1, n + 2] {
            if let Some(to) = dirs.get(later) {
                std::fs::copy(dirs[n].path().join("data-keys"), to.path().join("data-keys")).unwrap();
            }
        }
    }
    let again = Cipher::open(dirs[0].path(), keyring(&[1])).unwrap();
    streams.insert(stream(&again).unwrap()[HEAD_BYTES..].to_vec());
    assert_eq!(streams.len(), count + 1, "a nonce was used twice");
}

/// Whatever a crash between two file operations leaves, everything that was sealed before it opens.
#[test]
fn a_crash_between_any_two_operations_loses_no_key_that_has_sealed() {
    let (mut crashes, mut refused) = (0, 0);
    for operation in 0..40 {
        for survives in ALL {
            let place = MemPlace::new(operation);
            place.fail_after(operation, io::ErrorKind::Other);
            let mut sealed: Vec<Vec<u8>> = Vec::new();
            let mut work = || -> Result<(), Error> {
                {
                    let cipher = open(&place, &[1])?;
                    sealed.push(stream(&cipher)?);
                    cipher.renew()?;
                    sealed.push(stream(&cipher)?);
                }
                let cipher = open(&place, &[1, 2])?;
                sealed.push(stream(&cipher)?);
                cipher.rotate(keyring(&[2, 3]))?;
                sealed.push(stream(&cipher)?);
                cipher.renew()?;
                // The first one is given up with its key.
                sealed.remove(0);
                cipher.forget_below(DataKeyId(2))?;
                sealed.push(stream(&cipher)?);
                Ok(())
            };
            refused += u32::from(work().is_err());
            crashes += 1;
            let after = place.crashed(survives);
            let cipher = open(&after, &[1, 2, 3]).unwrap_or_else(|error| panic!("{operation} {survives:?}: {error}"));
            for old in &sealed {
                assert!(opens(&cipher, old), "operation {operation}, {survives:?}: what was sealed is lost");
            }
            let new = stream(&cipher).unwrap();
            assert!(opens(&cipher, &new) && !sealed.iter().any(|old| old[HEAD_BYTES..] == new[HEAD_BYTES..]));
        }
    }
    assert!(refused > 80 && refused < crashes, "{refused} of {crashes}");
}

#[test]
fn after_a_failed_sync_no_key_is_drawn_but_a_full_disk_heals() {
    let place = MemPlace::new(1);
    let cipher = open(&place, &[1]).unwrap();
    place.fail_after(0, io::ErrorKind::StorageFull);
    assert!(matches!(stream(&cipher), Err(Error::Io { action: Action::Write, .. })));
    place.heal();
    let sealed = stream(&cipher).unwrap();
    for operation in [1, 3] {
        let place = place.copy(2);
        let cipher = open(&place, &[1]).unwrap();
        place.fail_after(operation, io::ErrorKind::Other);
        assert!(matches!(stream(&cipher), Err(Error::Io { action: Action::Sync, .. })), "operation {operation}");
        place.heal();
        assert!(matches!(stream(&cipher), Err(Error::Poisoned)));
        assert!(opens(&cipher, &sealed), "reading goes on");
    }
}

#[test]
fn new_master_keys_wrap_what_there_is_and_the_old_are_not_needed() {
    let place = MemPlace::new(1);
    let first = stream(&open(&place, &[1]).unwrap()).unwrap();
    let missing = open(&place, &[2]).map(|_| ()).unwrap_err();
    assert!(matches!(missing, Error::MasterKeyMissing { id: 1 }), "{missing}");
    let second = {
        let cipher = open(&place, &[1, 2]).unwrap();
        assert_eq!(cipher.data_keys(), [(DataKeyId(1), 2)]);
        stream(&cipher).unwrap()
    };
    let cipher = open(&place, &[2]).unwrap();
    assert!(opens(&cipher, &first) && opens(&cipher, &second));
    cipher.rotate(keyring(&[3])).unwrap();
    drop(cipher);
    let cipher = open(&place, &[3]).unwrap();
    assert!(opens(&cipher, &first) && opens(&cipher, &second));
}

#[test]
fn another_key_of_the_same_number_is_refused() {
    let place = MemPlace::new(1);
    stream(&open(&place, &[1]).unwrap()).unwrap();
    let other = Keyring::parse(format!("1 {}", "77".repeat(32)).as_bytes()).unwrap();
    let refused = Cipher::open_place(Box::new(place), other).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::MasterKeyWrong { id: 1, data_key: DataKeyId(1) }), "{refused}");
}

#[test]
fn a_key_is_forgotten_for_good_and_its_number_never_used_again() {
    let place = MemPlace::new(1);
    let cipher = open(&place, &[1]).unwrap();
    let old = stream(&cipher).unwrap();
    assert!(matches!(cipher.forget_below(DataKeyId(2)), Err(Error::InUse { .. })));
    assert_eq!(cipher.renew().unwrap(), DataKeyId(2));
    let new = stream(&cipher).unwrap();
    assert_eq!(cipher.forget_below(DataKeyId(2)).unwrap(), 1);
    assert!(!opens(&cipher, &old) && opens(&cipher, &new));
    drop(cipher);
    let cipher = open(&place, &[1]).unwrap();
    let mut out = Vec::new();
    let error = cipher.open_into(Purpose::Row, b"", &old, &mut out).unwrap_err();
    assert!(matches!(error, Error::DataKeyUnknown(DataKeyId(1))), "{error}");
    assert_eq!(cipher.forget_below(DataKeyId(3)).unwrap(), 1);
    stream(&cipher).unwrap();
    drop(cipher);
    let cipher = open(&place, &[1]).unwrap();
    stream(&cipher).unwrap();
    assert_eq!(cipher.data_keys(), [(DataKeyId(3), 1), (DataKeyId(4), 1)]);
}

/// Two that draw keys would each write a registry without the other's.
#[test]
fn a_registry_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = Cipher::open(dir.path(), keyring(&[1])).unwrap();
    let second = Cipher::open(dir.path(), keyring(&[1]));
    assert!(matches!(second.map(|_| ()), Err(Error::Locked { .. })));
    drop(first);
    Cipher::open(dir.path(), keyring(&[1])).unwrap();
}

#[test]
fn a_registry_that_is_damaged_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    stream(&Cipher::open(dir.path(), keyring(&[1])).unwrap()).unwrap();
    let path = dir.path().join("data-keys");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Cipher::open(dir.path(), keyring(&[1])).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Registry { file, .. } if file.ends_with("data-keys")), "{error}");
}

#[test]
fn nothing_that_can_be_printed_has_a_key_in_it() {
    let cipher = open(&MemPlace::new(1), &[1]).unwrap();
    let sealer = cipher.prepare(Purpose::Row, 1).unwrap();
    let said = format!("{cipher:?} {sealer:?} {:?}", keyring(&[1]));
    assert!(!said.contains("0101") && !said.contains("[1, 1"), "{said}");
}
