//! What holds for all effects and for all bytes.

#[path = "support/strategies.rs"]
mod strategies;
mod support;

use effect::{Batch, BatchBuf, Batches, Dot, GroupId, Hlc, Origin, RecordEnd, Vector, WireError};
use proptest::collection::vec;
use proptest::prelude::*;
use strategies::{HOME, change};
use support::{Act, Change, Whole};

fn encode(changes: &[Change], seq: u64, hlc: u64) -> Vec<u8> {
    let mut buf = BatchBuf::new(GroupId(7), Origin(HOME));
    changes.iter().for_each(|change| change.show(HOME, |effect| buf.push(effect)));
    buf.stamp(seq, Hlc(hlc));
    let bytes = buf.encoded().to_vec();
    assert!(
        bytes.len() <= buf.size() && buf.size() <= bytes.len() + 10,
        "the size is known before the count is written"
    );
    bytes
}

/// Reads all of a batch, down to the last element.
fn decode(bytes: &[u8]) -> Result<Vec<Change>, WireError> {
    Batch::decode(bytes)?.effects().map(|effect| effect.map(|effect| Change::of(&effect))).collect()
}

type Stamped = (Vec<Change>, u64, u64, usize);

/// A record of these batches, each so many ticks behind the one before it; with numbers, timestamps and ends.
fn join(batches: &[(Vec<Change>, u64)]) -> (Vec<u8>, Vec<Stamped>) {
    let (mut record, mut stamped, mut end) = (Vec::new(), Vec::new(), None);
    let (mut seq, mut hlc) = (5, 1 << 40);
    for (changes, gap) in batches {
        let mut buf = BatchBuf::new(GroupId(7), Origin(HOME));
        changes.iter().for_each(|change| change.show(HOME, |effect| buf.push(effect)));
        let due = hlc;
        hlc += gap;
        record.extend_from_slice(match &end {
            Some(end) => {
                assert!(buf.follows(end, seq, Hlc(hlc)) && !buf.follows(end, seq + 1, Hlc(hlc)));
                assert!(buf.follows(end, seq, Hlc(due)) && !buf.follows(end, seq, Hlc(due - 1)));
                assert!(!BatchBuf::new(GroupId(7), Origin(HOME + 1)).follows(end, seq, Hlc(hlc)));
                assert!(!BatchBuf::new(GroupId(8), Origin(HOME)).follows(end, seq, Hlc(hlc)));
                buf.extend_record(end, Hlc(hlc))
            }
            None => buf.begin_record(seq, Hlc(hlc)),
        });
        end = Some(buf.record_end(seq, Hlc(hlc)));
        stamped.push((changes.clone(), seq, hlc, record.len()));
        (seq, hlc) = (seq + buf.len(), hlc + buf.len());
    }
    (record, stamped)
}

/// A batch of a trace says so, begins a record, and leaves nothing of it behind when its buffer is used again.
#[test]
fn a_trace_is_said_by_its_batch_and_by_no_other() {
    let mut buf = BatchBuf::new(GroupId(7), Origin(HOME));
    let (trace, changes) = (
        [0xAB; 24],
        [Change { keyspace: 0, db: 0, key: b"k".to_vec(), fresh: false, deps: Vec::new(), act: Act::Remove }],
    );
    let fill = |buf: &mut BatchBuf, trace| {
        buf.clear();
        buf.set_trace(trace);
        changes.iter().for_each(|change| change.show(HOME, |effect| buf.push(effect)));
    };
    fill(&mut buf, Some(trace));
    let mut record = buf.begin_record(5, Hlc(1 << 40)).to_vec();
    assert!(record.len() <= buf.size_in_record());
    let end = buf.record_end(5, Hlc(1 << 40));
    assert!(!buf.follows(&end, 6, Hlc(1 << 41)), "it cannot say so behind another");
    fill(&mut buf, None);
    assert!(buf.follows(&end, 6, Hlc(1 << 41)));
    record.extend_from_slice(buf.extend_record(&end, Hlc(1 << 41)));
    let batches: Vec<Batch<'_>> = Batches::decode(&record).collect::<Result<_, _>>().expect("both can be read");
    assert_eq!(batches.iter().map(|batch| batch.trace).collect::<Vec<_>>(), [Some(trace), None]);
    let relayed = batches[0].to_bytes();
    assert_eq!(Batch::decode(&relayed).expect("it can be read").trace, Some(trace));
}

/// One way to damage bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip(u8),
    Put(u8),
    Insert(u8),
    Remove,
    /// What follows is taken from further on.
    Skip(u8),
    End,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0u8..8).prop_map(Damage::Flip),
        any::<u8>().prop_map(Damage::Put),
        prop_oneof![Just(0), Just(0x80), any::<u8>()].prop_map(Damage::Insert),
        Just(Damage::Remove),
        any::<u8>().prop_map(Damage::Skip),
        Just(Damage::End),
    ]
}

fn harm(bytes: &mut Vec<u8>, at: usize, damage: &Damage) {
    let at = at % (bytes.len() + 1);
    match *damage {
        Damage::Insert(byte) => bytes.insert(at, byte),
        Damage::End => bytes.truncate(at),
        Damage::Flip(bit) if at < bytes.len() => bytes[at] ^= 1 << bit,
        Damage::Put(byte) if at < bytes.len() => bytes[at] = byte,
        Damage::Remove if at < bytes.len() => drop(bytes.remove(at)),
        Damage::Skip(by) => drop(bytes.drain(at..(at + usize::from(by)).min(bytes.len()))),
        Damage::Flip(_) | Damage::Put(_) | Damage::Remove => {}
    }
}

/// Whether encoding what was read must give back the runs of a list: it does not know where they were divided.
fn has_runs(change: &Change) -> bool {
    matches!(&change.act, Act::Replace(Whole::List(_), _) | Act::Snapshot { value: Whole::List(_), .. })
}

/// An accepted batch of this origin without optional parts is written again as the same bytes: by the views that were
/// read, and by the values that they show.
fn check_the_encoding_is_the_only_one(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(changes) = decode(bytes) else { return Ok(()) };
    let batch = Batch::decode(bytes).expect("decoded a moment ago");
    prop_assert_eq!(batch.len(), changes.len() as u64);
    if batch.context.is_some() || batch.trace.is_some() {
        return Ok(());
    }
    let mut views = BatchBuf::new(batch.group, batch.first.origin);
    let mut values = BatchBuf::new(batch.group, batch.first.origin);
    for (effect, change) in batch.effects().zip(&changes) {
        let effect = effect.expect("decoded a moment ago");
        views.push(&effect);
        match has_runs(change) {
            true => values.push(&effect),
            false => change.show(batch.first.origin.0, |effect| values.push(effect)),
        }
    }
    for mut again in [views, values] {
        again.stamp(batch.first.seq, batch.hlc);
        prop_assert_eq!(again.encoded(), bytes);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_effect_comes_back_as_it_was(changes in vec(change(), 0..6), seq in any::<u64>(), hlc in any::<u64>()) {
        prop_assume!(seq.checked_add(changes.len() as u64).is_some());
        let bytes = encode(&changes, seq, hlc);
        let batch = Batch::decode(&bytes).expect("own bytes");
        prop_assert_eq!((batch.group, batch.first.origin, batch.first.seq), (GroupId(7), Origin(HOME), seq));
        prop_assert_eq!((batch.hlc, batch.len()), (Hlc(hlc), changes.len() as u64));
        let flat: Vec<Change> = changes.into_iter().map(Change::flat).collect();
        prop_assert_eq!(decode(&bytes), Ok(flat));
    }

    #[test]
    fn a_batch_that_ends_too_early_or_too_late_is_refused(
        changes in vec(change(), 0..4), cut in any::<prop::sample::Index>(), more in any::<u8>()
    ) {
        let mut bytes = encode(&changes, 1, 1);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(more);
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn damaged_batches_are_refused_or_have_no_other_encoding(
        changes in vec(change(), 1..4), harms in vec((any::<usize>(), damage()), 1..4)
    ) {
        let mut bytes = encode(&changes, 1, 1);
        harms.iter().for_each(|(at, damage)| harm(&mut bytes, *at, damage));
        check_the_encoding_is_the_only_one(&bytes)?;
    }

    #[test]
    fn damage_behind_the_header_is_refused_or_has_no_other_encoding(
        change in change(), harms in vec((0usize..40, damage()), 1..3)
    ) {
        let mut bytes = encode(&[change], 1, 1);
        let mut effects = bytes.split_off(31);
        harms.iter().for_each(|(at, damage)| harm(&mut effects, *at, damage));
        bytes.append(&mut effects);
        check_the_encoding_is_the_only_one(&bytes)?;
    }

    #[test]
    fn arbitrary_bytes_behind_an_operation_are_read_or_refused(code in any::<u8>(), flags in any::<u8>(), rest in vec(any::<u8>(), 0..60)) {
        let mut bytes = encode(&[], 1, 1);
        bytes[30] = 1;
        bytes.extend([code, flags, 0, 0, 0]);
        bytes.extend(rest);
        check_the_encoding_is_the_only_one(&bytes)?;
    }

    #[test]
    fn batches_of_a_record_come_back_with_their_places(
        batches in vec((vec(change(), 0..3), prop_oneof![3 => Just(0u64), 1 => any::<u32>().prop_map(u64::from)]), 1..6)
    ) {
        let (record, stamped) = join(&batches);
        let mut read = Batches::decode(&record);
        for (changes, seq, hlc, end) in stamped {
            let batch = read.next().expect("another batch").expect("own bytes");
            prop_assert_eq!((batch.group, batch.first.origin, batch.first.seq), (GroupId(7), Origin(HOME), seq));
            prop_assert_eq!((batch.hlc, batch.len(), read.offset()), (Hlc(hlc), changes.len() as u64, end));
            let found: Result<Vec<Change>, _> = batch.effects().map(|effect| effect.map(|effect| Change::of(&effect))).collect();
            prop_assert_eq!(found, Ok(changes.into_iter().map(Change::flat).collect()));
        }
        prop_assert!(read.next().is_none());
    }

    #[test]
    fn batches_are_put_into_another_log_with_their_context(
        batches in vec((vec(change(), 0..3), prop_oneof![3 => Just(0u64), 1 => any::<u32>().prop_map(u64::from)]), 1..6),
        context in proptest::option::of(vec((1u64..5, 1u64..9), 0..4)), apart in any::<prop::sample::Index>()
    ) {
        let (record, stamped) = join(&batches);
        let dot = |(origin, seq)| Dot { origin: Origin(origin), seq };
        let context: Option<Vector> = context.map(|dots| dots.into_iter().map(dot).collect());
        let (mut records, mut end): (Vec<Vec<u8>>, Option<RecordEnd>) = (Vec::new(), None);
        for (at, batch) in Batches::decode(&record).enumerate() {
            let batch = batch.expect("own bytes");
            match end.filter(|end| batch.follows(end) && at != apart.index(batches.len())) {
                Some(end) => batch.extend_record(&end, records.last_mut().expect("one was begun")),
                None => {
                    records.push(Vec::new());
                    batch.begin_record(context.as_ref().filter(|_| at == 0), &mut records[at.min(1)]);
                }
            }
            end = Some(batch.record_end());
        }
        // Without a context, and in one piece, the bytes are what they were.
        if context.is_none() && records.len() == 1 {
            prop_assert_eq!(&records[0], &record);
        }
        let read: Vec<Batch<'_>> = records.iter().flat_map(|record| Batches::decode(record)).collect::<Result<_, _>>().expect("own bytes");
        prop_assert_eq!(read.len(), stamped.len());
        prop_assert_eq!(read[0].context_vector(), context);
        for (batch, (changes, seq, hlc, _)) in read.iter().zip(stamped) {
            prop_assert_eq!((batch.first.seq, batch.hlc), (seq, Hlc(hlc)));
            let found: Result<Vec<Change>, _> = batch.effects().map(|effect| effect.map(|effect| Change::of(&effect))).collect();
            prop_assert_eq!(found, Ok(changes.into_iter().map(Change::flat).collect()));
        }
    }

    #[test]
    fn damaged_records_are_refused_or_have_no_other_encoding(
        batches in vec((vec(change(), 0..3), 0u64..300), 1..4), harms in vec((any::<usize>(), damage()), 1..4)
    ) {
        let (mut record, _) = join(&batches);
        harms.iter().for_each(|(at, damage)| harm(&mut record, *at, damage));
        let read: Result<Vec<Batch<'_>>, _> = Batches::decode(&record).collect();
        let Ok(read) = read else { return Ok(()) };
        if read[0].context.is_some() || read[0].trace.is_some() {
            return Ok(());
        }
        let (mut again, mut end): (Vec<u8>, Option<RecordEnd>) = (Vec::new(), None);
        for batch in &read {
            let mut buf = BatchBuf::new(batch.group, batch.first.origin);
            for effect in batch.effects() {
                let Ok(effect) = effect else { return Ok(()) };
                buf.push(&effect);
            }
            again.extend_from_slice(match &end {
                Some(end) => {
                    prop_assert!(buf.follows(end, batch.first.seq, batch.hlc));
                    buf.extend_record(end, batch.hlc)
                }
                None => buf.begin_record(batch.first.seq, batch.hlc),
            });
            end = Some(buf.record_end(batch.first.seq, batch.hlc));
        }
        prop_assert_eq!(again, record);
    }

    #[test]
    fn taking_back_the_end_of_a_batch_leaves_the_beginning(kept in vec(change(), 0..3), dropped in vec(change(), 0..3)) {
        let mut buf = BatchBuf::new(GroupId(7), Origin(HOME));
        kept.iter().for_each(|change| change.show(HOME, |effect| buf.push(effect)));
        let mark = buf.mark();
        dropped.iter().for_each(|change| change.show(HOME, |effect| buf.push(effect)));
        let mut since = Vec::new();
        buf.each_since(mark, |effect| since.push(Change::of(effect)));
        prop_assert_eq!(since, dropped.into_iter().map(Change::flat).collect::<Vec<_>>());
        buf.rewind(mark);
        buf.stamp(3, Hlc(4));
        prop_assert_eq!(buf.encoded(), encode(&kept, 3, 4));
        buf.clear();
        prop_assert!(buf.is_empty());
        buf.stamp(3, Hlc(4));
        prop_assert_eq!(buf.encoded(), encode(&[], 3, 4));
    }
}
