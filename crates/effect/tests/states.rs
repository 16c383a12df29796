//! States and single effects as bytes: golden files, drawn by another program; garbage is read or refused; and what merging costs.

mod support;

#[path = "support/strategies.rs"]
mod strategies;

use effect::reduce::{Applied, Event, Plain, Reduced, marshal, merge2, reduce_branch, reduce_chain, unmarshal};
use effect::wire::Reader;
use effect::{Dot, Hlc, Kind, Merge, Origin, Vector, WireError};
use proptest::prelude::*;
use support::group::{Entry, Replica};
use support::{Act, Change, Value};

const A: u64 = 0x0102_0304_0506_0007;
const B: u64 = 0x0a0b_0c0d_0e0f_0001;

fn bytes_of(text: &str) -> Vec<u8> {
    let digits = text.lines().flat_map(|line| line.split('#').next().unwrap_or("").bytes());
    let digits: Vec<u8> = digits.filter(|byte| !byte.is_ascii_whitespace()).collect();
    let nibble = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

fn dot(origin: u64, seq: u64) -> Dot {
    Dot { origin: Origin(origin), seq }
}

fn decoded(bytes: &[u8]) -> Result<Reduced, WireError> {
    let mut from = Reader::new(bytes);
    let key = Reduced::decode(&mut from)?;
    assert_eq!(from.remaining(), 0);
    Ok(key)
}

fn encoded(key: &Reduced) -> Vec<u8> {
    let mut out = Vec::new();
    key.encode(&mut out);
    out
}

#[test]
fn a_string_is_as_in_its_golden_file() {
    let golden = bytes_of(include_str!("golden/reduced.hex"));
    let key = decoded(&golden).expect("a state");
    assert_eq!(encoded(&key), golden);
    assert_eq!(key.seen(), &Vector::from_iter([dot(A, 9), dot(B, 300)]));
    assert_eq!(key.folded(), &Vector::from_iter([dot(A, 5)]));
    let shown = key.shown().expect("a string");
    // The base says never, whatever the others say.
    assert_eq!((shown.kind(), shown.deadline, key.is_plain()), (Kind::String, None, false));
    let Plain::String(bytes) = shown.value else { panic!("a string") };
    assert_eq!((&bytes[..2], &bytes[1000..], bytes.len()), (&b"\xff\x63"[..], &b"yz"[..], 1002));
}

#[test]
fn collections_are_as_in_their_golden_file() {
    let golden = bytes_of(include_str!("golden/reduced_rooms.hex"));
    let key = decoded(&golden).expect("a state");
    assert_eq!(encoded(&key), golden);
    assert_eq!(key.kind(), Some(Kind::List));
    let Plain::List(elements) = key.shown().expect("a list").value else { panic!("a list") };
    assert_eq!((elements.len(), elements[0].0.n, &*elements[0].1), (1, 4, &b"y"[..]));
}

#[test]
fn an_effect_is_as_in_its_golden_file() {
    let golden = bytes_of(include_str!("golden/event.hex"));
    let read = unmarshal(&golden).expect("an effect");
    assert_eq!((read.dot, read.hlc), (dot(A, 300), Hlc(1_700_000_000_000 << 16 | 5)));
    assert_eq!(read.context, Vector::from_iter([dot(A, 299), dot(B, 7)]));
    let items = vec![(b"\xff\x00".to_vec(), Value::Bytes(b"v".to_vec()))];
    let act = Act::Put(Kind::Hash, Merge::LastWriter, effect::Deadline::Clear, items);
    let change = Change { keyspace: 0, db: 2, key: b"k".to_vec(), fresh: true, deps: Vec::new(), act };
    assert_eq!(Change::of(&read.effect), change);
    assert_eq!(marshal(&read.event()), golden);
}

#[test]
fn what_no_effect_says_is_refused() {
    let golden = bytes_of(include_str!("golden/event.hex"));
    let with = |at: usize, byte: u8| {
        let mut bytes = golden.clone();
        bytes[at] = byte;
        unmarshal(&bytes).map(|_| ())
    };
    let invalid = |what, at| Err(WireError::Invalid { what, at });
    assert_eq!(with(0, 2), invalid("version of an effect", 0));
    // The context's 299 becomes 300: it would have observed itself.
    assert_eq!(with(28, 0xac), invalid("identity of an effect", 1));
    let behind = [&golden[..], &[0]].concat();
    assert_eq!(unmarshal(&behind).map(|_| ()), invalid("bytes behind an effect", golden.len()));
    for len in 0..golden.len() {
        assert!(unmarshal(&golden[..len]).is_err(), "{len} bytes");
    }
}

/// A state with one string and one part that can be spoiled: who has seen up to 2 of origin 1.
fn small(parts: &[u8]) -> Result<Reduced, WireError> {
    let head = [&[1, 0, 1][..], &1u64.to_le_bytes(), &[2, 0, 0, 0b100]].concat();
    decoded(&[&head, parts].concat())
}

fn part(seq: u8, hlc: u64) -> Vec<u8> {
    [&[seq][..], &hlc.to_le_bytes(), &[0, 2]].concat()
}

#[test]
fn what_no_state_says_is_refused() {
    let run =
        |origin: u64, parts: &[Vec<u8>]| [&origin.to_le_bytes()[..], &[parts.len() as u8], &parts.concat()].concat();
    let runs = |runs: &[Vec<u8>]| small(&[&[runs.len() as u8][..], &runs.concat()].concat()).map(|_| ());
    let invalid = |what, at| Err(WireError::Invalid { what, at });
    assert_eq!(runs(&[run(1, &[part(1, 5), part(2, 6)])]), Ok(()));
    assert_eq!(runs(&[run(1, &[part(1, 5), part(1, 5)])]), Ok(()), "one effect, two increments");
    assert_eq!(runs(&[run(1, &[part(1, 5), part(2, 5)])]), invalid("number of a part", 36));
    assert_eq!(runs(&[run(1, &[part(2, 5), part(1, 6)])]), invalid("number of a part", 36));
    assert_eq!(runs(&[run(1, &[part(3, 5)])]), invalid("number of a part", 25));
    assert_eq!(runs(&[run(1, &[part(0, 5)])]), invalid("number of a part", 25));
    assert_eq!(runs(&[run(2, &[part(1, 5)])]), invalid("number of a part", 25));
    assert_eq!(runs(&[run(1, &[part(1, 5)]), run(1, &[part(2, 6)])]), invalid("order of origins", 36));
    assert_eq!(runs(&[run(1, &[])]), invalid("number of parts", 24));
    assert_eq!(runs(&[]), invalid("number of parts", 15));
    assert_eq!(decoded(&[2, 0]).map(|_| ()), invalid("version of a state", 0));
    assert_eq!(decoded(&[1, 16]).map(|_| ()), invalid("version of a state", 0));
    assert_eq!(decoded(&[1, 0, 0, 0, 32]).map(|_| ()), invalid("latest write of a type", 4));
    assert_eq!(decoded(&[1, 0, 0, 0, 0, 64]).map(|_| ()), invalid("flags of an element", 5));
    assert_eq!(decoded(&[1, 0, 0, 0, 0, 16]).map(|_| ()), invalid("flags of an element", 5));
    let folded = [&[1, 0, 0, 1][..], &1u64.to_le_bytes(), &[1, 0, 0]].concat();
    assert_eq!(decoded(&folded).map(|_| ()), invalid("what a state has folded", 3));
    let set = |elements: &[u8]| decoded(&[&[1, 4, 0, 0, 0, 0][..], elements].concat()).map(|_| ());
    assert_eq!(set(&[2, 1, b'a', 1, 1, b'b', 1]), Ok(()));
    assert_eq!(set(&[2, 1, b'b', 1, 1, b'a', 1]), invalid("order of elements", 10));
    assert_eq!(set(&[1, 1, b'a', 0]), invalid("flags of an element", 9));
    assert_eq!(set(&[0]), invalid("number of parts", 6));
    // A count of 2^63 elements costs nothing.
    let many = [&[0xff; 8][..], &[0x7f, 1, b'a', 1]].concat();
    assert_eq!(set(&many), Err(WireError::Truncated { at: 18 }));
}

proptest! {
    #[test]
    fn effects_round_trip(change in strategies::change(), seq in 1u64.., hlc: u64) {
        let context = Vector::from_iter([dot(5, 9)]);
        let entry = Entry { dot: dot(strategies::HOME, seq), hlc: Hlc(hlc), context, change };
        let bytes = entry.show(marshal);
        let read = unmarshal(&bytes).expect("own encoding");
        prop_assert_eq!((read.dot, read.hlc, &read.context), (entry.dot, entry.hlc, &entry.context));
        prop_assert_eq!(Change::of(&read.effect), entry.change.clone().flat());
        prop_assert_eq!(marshal(&read.event()), bytes);
    }

    /// Whatever operation comes, with whatever in it: nothing panics, a second time changes nothing, and the state has its bytes.
    #[test]
    fn any_effect_can_be_taken_in(changes in prop::collection::vec(strategies::change(), 1..12)) {
        let mut key = Reduced::new();
        for (i, change) in changes.into_iter().enumerate() {
            if matches!(change.act, Act::Write(offset, _) | Act::Bits(offset, ..) if offset > 1 << 20) {
                continue;
            }
            let entry = Entry { dot: dot(strategies::HOME, i as u64 + 1), hlc: Hlc(i as u64), context: key.seen().clone(), change };
            entry.apply(&mut key);
            prop_assert_eq!(entry.apply(&mut key), Applied::Duplicate);
            let _ = key.shown();
            let bytes = encoded(&key);
            prop_assert_eq!(decoded(&bytes).expect("own encoding"), key.clone());
        }
        let seen = key.seen().clone();
        let before = key.shown().map(|shown| format!("{shown:?}"));
        let mut forgotten = key.clone();
        forgotten.forget(&seen);
        prop_assert_eq!(forgotten.shown().map(|shown| format!("{shown:?}")), before);
        prop_assert!(forgotten.is_plain(), "{:?}", forgotten);
    }

    #[test]
    fn garbage_is_read_or_refused(bytes: Vec<u8>, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for golden in [include_str!("golden/reduced.hex"), include_str!("golden/reduced_rooms.hex")] {
            let mut spoiled = bytes_of(golden);
            for (at, byte) in &flips {
                let at = at.index(spoiled.len());
                spoiled[at] = *byte;
            }
            let mut from = Reader::new(&spoiled);
            if let Ok(key) = Reduced::decode(&mut from) {
                prop_assert_eq!(&encoded(&key), &spoiled[..from.offset()]);
                let _ = key.is_plain();
            }
        }
        let mut event = bytes_of(include_str!("golden/event.hex"));
        for (at, byte) in &flips {
            let at = at.index(event.len());
            event[at] = *byte;
        }
        if let Ok(read) = unmarshal(&event) {
            prop_assert_eq!(marshal(&read.event()), event);
        }
        let _ = (Reduced::decode(&mut Reader::new(&bytes)), unmarshal(&bytes));
    }
}

/// What a chain of INCRs by one origin, which saw only itself, makes of a seed.
fn increments(seed: Option<&Reduced>, origin: u64, count: u64) -> Option<Reduced> {
    let change = Change { keyspace: 0, db: 0, key: b"k".to_vec(), fresh: false, deps: Vec::new(), act: Act::AddInt(1) };
    let context = Vector::new();
    change.show(origin, |effect| {
        let event = |seq| Event { dot: dot(origin, seq), hlc: Hlc(seq * 2), context: &context, effect };
        reduce_chain(seed, (1..=count).map(event))
    })
}

/// Half a million increments on each side. Anything worse than linear would take hours.
#[test]
fn a_million_concurrent_increments_merge() {
    const EACH: u64 = 500_000;
    let [a, b] = [1 << 16, 2 << 16].map(|origin| increments(None, origin, EACH));
    let merged = merge2(a.as_ref(), b.as_ref()).expect("a state");
    let sum = |key: &Reduced| match key.shown().expect("a number").value {
        Plain::String(text) => String::from_utf8(text.into_owned()).expect("digits"),
        other => panic!("{other:?}"),
    };
    assert_eq!(sum(&merged), (2 * EACH).to_string());
    let mut applied = increments(a.as_ref(), 2 << 16, EACH).expect("a state");
    assert_eq!(applied, merged);
    applied.forget(&Vector::from_iter([dot(1 << 16, EACH), dot(2 << 16, 9)]));
    assert_eq!(sum(&applied), (2 * EACH).to_string());
    applied.forget(&merged.seen().clone());
    assert!(applied.is_plain());
    assert_eq!(sum(&applied), (2 * EACH).to_string());
}

#[test]
fn nothing_is_the_identity_of_merging() {
    assert_eq!(reduce_branch([]), None);
    assert_eq!((merge2(None, None), reduce_chain(None, [])), (None, None));
    let seed = increments(None, 1 << 16, 3);
    assert_eq!(merge2(None, seed.as_ref()), seed);
    assert_eq!(merge2(seed.as_ref(), None), seed);
    assert_eq!(reduce_chain(seed.as_ref(), []), seed);
}

/// What a plain row becomes: the same value, with nothing to be forgotten.
#[test]
fn a_plain_value_comes_back_as_it_was() {
    for commands in [
        &["SET k v EX 5"][..],
        &["HSET k f 1 g 2", "HEXPIRE k 9 f"],
        &["RPUSH k a b c", "LPUSH k d"],
        &["ZADD k 2 m"],
        &["SADD k x"],
    ] {
        let mut replica = Replica::new(1);
        commands.iter().for_each(|command| drop(replica.write(1_000, &[command])));
        let applied = replica.applied.clone();
        replica.forget(&applied);
        let key = replica.key("k").clone();
        let shown = key.shown().expect("a value");
        let mut bytes = Vec::new();
        shown.write(7, &mut bytes);
        let folded = effect::Folded::decode(7, &mut Reader::new(&bytes)).expect("own encoding");
        let plain = Reduced::plain(&folded, shown.deadline, &applied);
        assert_eq!((&plain, plain.is_plain()), (&key, true), "{commands:?}");
    }
}
