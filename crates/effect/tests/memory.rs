//! Decoding takes memory in proportion to the bytes that are there, whatever numbers they announce.

#[path = "support/strategies.rs"]
mod strategies;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use effect::{Batch, BatchBuf, GroupId, Hlc, ListPos, Op, Origin, PathStep};
use proptest::collection::vec;
use proptest::prelude::*;
use strategies::{HOME, change};
use support::Change;

thread_local! {
    /// Bytes that this thread holds, and the most that it has held since they were reset.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // At the end of a thread there is nothing left to count with.
    let _ = HELD.try_with(|held| {
        let now = held.get().0 + bytes;
        held.set((now, held.get().1.max(now)));
    });
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "only an allocator sees what is allocated")]
// SAFETY: every call is handed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The most memory, in bytes, that decoding holds at any moment.
fn peak_of_decoding(bytes: &[u8]) -> usize {
    let before = HELD.get().0;
    HELD.set((before, before));
    if let Ok(batch) = Batch::decode(bytes) {
        for effect in batch.effects() {
            drop(std::hint::black_box(effect));
        }
    }
    (HELD.get().1 - before) as usize
}

fn encode(changes: &[Change]) -> Vec<u8> {
    let mut buf = BatchBuf::new(GroupId(0), Origin(HOME));
    changes.iter().for_each(|change| change.show(HOME, |effect| buf.push(effect)));
    buf.stamp(1, Hlc(1));
    buf.encoded().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_take_more_than_twice_their_length(
        changes in vec(change(), 1..4), harms in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
    ) {
        let mut bytes = encode(&changes);
        for (at, byte) in harms {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let peak = peak_of_decoding(&bytes);
        prop_assert!(peak <= 2 * bytes.len(), "{peak} bytes for {}", bytes.len());
    }

    #[test]
    fn announced_numbers_take_nothing(code in 1u8..=26, flags in any::<u8>(), body in vec(any::<u8>(), 0..12)) {
        let mut bytes = encode(&[]);
        bytes[30] = 1;
        bytes.extend([code, flags, 0, 0, 0]);
        bytes.extend(body);
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        let peak = peak_of_decoding(&bytes);
        prop_assert!(peak <= 2 * bytes.len(), "{peak} bytes for {}", bytes.len());
    }
}

#[test]
fn what_is_borrowed_takes_nothing_and_a_path_takes_its_steps() {
    let text = vec![7; 1 << 20];
    let mut buf = BatchBuf::new(GroupId(0), Origin(HOME));
    let change = |act| Change { keyspace: 0, db: 0, key: b"k".to_vec(), fresh: false, deps: Vec::new(), act };
    let set = change(support::Act::Set(text, effect::Deadline::Clear));
    set.show(HOME, |effect| buf.push(effect));
    assert_eq!(peak_of_decoding(buf.encoded()), 0);

    // Digits of one byte: the case in which memory exceeds the bytes most.
    let path = (0..10_000).map(|_| PathStep { digit: 1, origin: 1 }).collect();
    let pos = ListPos { epoch: 0, origin: HOME, n: 0, path };
    let set = change(support::Act::SetAt(pos, Vec::new()));
    buf.clear();
    set.show(HOME, |effect| {
        assert!(matches!(effect.op, Op::SetAt { .. }));
        buf.push(effect);
    });
    assert_eq!(peak_of_decoding(buf.encoded()), 10_000 * size_of::<PathStep>());
}
