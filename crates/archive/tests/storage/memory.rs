//! Memory: the suite, and its faults.

use std::io::Read;
use std::sync::Arc;

use archive::storage::{Call, Class, Error, Fault, Memory, Operation, Storage};

use crate::suite::{self, name};

#[test]
fn memory_keeps_the_contract() {
    suite::all(&Memory::new(), 1 << 20);
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    suite::whole_or_not_at_all(&storage, 200);
}

#[test]
fn a_name_below_or_above_an_object_clashes() {
    let memory = Memory::new();
    memory.put(&name("a/b"), b"").unwrap();
    for clash in ["a", "a/b/c", "a/b/c/d"] {
        assert!(matches!(memory.put(&name(clash), b""), Err(Error::NameClash { .. })), "{clash}");
    }
    for fine in ["a-", "a/bb", "a/b-c", "aa/b"] {
        memory.put(&name(fine), b"").unwrap();
    }
}

#[test]
fn faults_come_when_they_are_asked_for() {
    let memory = Memory::new();
    let a = name("a");
    memory.put(&a, b"old").unwrap();
    memory.fail_when(|call: &Call<'_>| (call.operation == Operation::Put).then_some(Fault::Refuse));
    let error = memory.put(&a, b"new").unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(memory.get_bytes(&a, 9).unwrap(), b"old");
    memory.fail_when(|_| Some(Fault::LoseAnswer));
    assert!(memory.put(&a, b"new").is_err());
    assert!(matches!(memory.put_new(&name("b"), b"b"), Err(Error::Unsure { .. })));
    memory.heal();
    assert_eq!(memory.get_bytes(&a, 9).unwrap(), b"new");
    assert_eq!(memory.names(), [a.clone(), name("b")]);

    memory.fail_when(|call| (call.operation == Operation::Get).then_some(Fault::BreakAfter(2)));
    let mut came = Vec::new();
    let error = memory.get(&a, 0).unwrap().read_to_end(&mut came).unwrap_err();
    assert!(matches!(Error::from_io(error), Error::Unavailable { .. }));
    assert_eq!(came, b"ne");
    memory.fail_when(|call| (call.operation == Operation::Get).then_some(Fault::Flip(1)));
    assert_eq!(memory.get_bytes(&a, 9).unwrap(), b"ndw");
}

#[test]
fn the_number_of_a_call_tells_them_apart() {
    let memory = Memory::new();
    let before = memory.calls();
    memory.fail_when(move |call| (call.number == before + 1).then_some(Fault::Refuse));
    assert!(memory.put(&name("a"), b"").is_ok());
    assert!(memory.put(&name("a"), b"").is_err());
    assert!(memory.put(&name("a"), b"").is_ok());
    assert_eq!(memory.calls(), before + 3);
}
