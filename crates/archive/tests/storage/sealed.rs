//! Sealed objects in a storage that fails.

use std::io::{self, Read};
use std::sync::Arc;

use archive::seal::{self, KeyPair, Opener, Sealer};
use archive::storage::{self, Fault, Memory, Operation, Storage};
use archive::{Error, open_sealed, store_sealed, verify_sealed};

use crate::suite::{Dice, name};

struct Set {
    memory: Arc<Memory>,
    sealer: Sealer,
    opener: Opener,
}

fn set() -> Set {
    let pair = KeyPair::generate().unwrap();
    Set { memory: Arc::default(), sealer: Sealer::new(pair.public), opener: Opener::new(pair.private) }
}

#[test]
fn what_is_stored_sealed_is_opened_and_verified() {
    let set = set();
    for size in [0, 100, 700_000] {
        let content = Dice(3).bytes(size);
        let sums = store_sealed(&*set.memory, &set.sealer, &name("a/b"), &mut &content[..]).unwrap();
        assert_eq!(sums.plain_bytes, size as u64);
        assert_eq!(sums.sealed_bytes, set.memory.head(&name("a/b")).unwrap().size);
        let mut came = Vec::new();
        open_sealed(&*set.memory, &set.opener, &name("a/b")).unwrap().read_to_end(&mut came).unwrap();
        assert!(came == content);
        assert_eq!(verify_sealed(&*set.memory, &set.opener, &name("a/b")).unwrap().sums, sums);
    }
}

#[test]
fn an_object_that_was_copied_over_another_does_not_open() {
    let set = set();
    store_sealed(&*set.memory, &set.sealer, &name("a"), &mut &b"of a"[..]).unwrap();
    let bytes = set.memory.get_bytes(&name("a"), 1 << 20).unwrap();
    set.memory.put(&name("b"), &bytes).unwrap();
    let error = verify_sealed(&*set.memory, &set.opener, &name("b")).unwrap_err();
    assert!(matches!(error, Error::Seal { cause: seal::Error::WrongName { .. }, .. }), "{error:?}");
}

#[test]
fn faults_of_the_storage_are_told_from_damage() {
    let set = set();
    let content = Dice(3).bytes(700_000);
    let a = name("a");
    store_sealed(&*set.memory, &set.sealer, &a, &mut &content[..]).unwrap();
    let size = set.memory.head(&a).unwrap().size;
    let verify = || verify_sealed(&*set.memory, &set.opener, &a).unwrap_err();
    for at in [0, 5, 600, 1172, 1175, 300_000, size - 1] {
        set.memory.fail_when(move |call| (call.operation == Operation::Get).then_some(Fault::BreakAfter(at)));
        assert!(matches!(verify(), Error::Storage(storage::Error::Unavailable { .. })), "{at}");
        set.memory.fail_when(move |call| (call.operation == Operation::Get).then_some(Fault::Flip(at)));
        assert!(matches!(verify(), Error::Seal { .. }), "{at}");
    }
    set.memory.heal();
    assert!(verify_sealed(&*set.memory, &set.opener, &a).is_ok());
    set.memory.delete(&a).unwrap();
    assert!(matches!(verify(), Error::Storage(storage::Error::NotFound { .. })));
}

#[test]
fn an_object_that_is_cut_where_it_lies_is_damage() {
    let set = set();
    let a = name("a");
    store_sealed(&*set.memory, &set.sealer, &a, &mut &Dice(3).bytes(700_000)[..]).unwrap();
    let bytes = set.memory.get_bytes(&a, 1 << 20).unwrap();
    set.memory.put(&a, &bytes[..400_000]).unwrap();
    let error = verify_sealed(&*set.memory, &set.opener, &a).unwrap_err();
    assert!(matches!(error, Error::Seal { cause: seal::Error::Truncated { chunk: 1 }, .. }), "{error:?}");
}

#[test]
fn a_source_that_fails_stores_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::TimedOut, "too slow"))
        }
    }
    let set = set();
    let mut from = io::repeat(1).take(500_000).chain(Broken);
    let error = store_sealed(&*set.memory, &set.sealer, &name("a"), &mut from).unwrap_err();
    assert!(
        matches!(&error, Error::Storage(storage::Error::Source(e)) if e.kind() == io::ErrorKind::TimedOut),
        "{error:?}"
    );
    assert!(set.memory.names().is_empty());
}
