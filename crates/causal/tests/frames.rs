//! Frames are read as they were written, and other bytes are refused without a panic.

use causal::{Entry, Epoch, Frame, Statement};
use effect::{Dot, Hlc, Origin, Vector};
use proptest::prelude::*;

fn vector() -> impl Strategy<Value = Vector> {
    let dot = (1u64..5, 0u64..1000).prop_map(|(o, seq)| Dot { origin: Origin::new(o, 1), seq });
    prop::collection::vec(dot, 0..4).prop_map(Vector::from_iter)
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let one = (1u64..4, (0u64..100, 0u64..3), vector(), prop::collection::vec(any::<u8>(), 0..20));
    (1u64..1000, prop::collection::vec(one, 1..5)).prop_map(|(seq, list)| {
        let (mut seq, mut hlc) = (seq, Hlc(1 << 30));
        let make = |(count, (gap, skipped), grown, bytes): (u64, (u64, u64), Vector, Vec<u8>)| {
            let first = Dot { origin: Origin::new(9, 1), seq };
            let entry =
                Entry { first, count, hlc: hlc.plus(gap), ticks: count - 1 + skipped, grown, bytes: bytes.into() };
            (seq, hlc) = (seq + count, entry.last_hlc().plus(1));
            entry
        };
        list.into_iter().map(make).collect()
    })
}

proptest! {
    #[test]
    fn batches_and_statements_round_trip(entries in entries(), durable in vector(), sent_ms: i64, number: u64) {
        let origin = Origin::new(9, 1);
        let statement = Statement {
            seq: 7, hlc: Hlc(9), durable, lives: vec![(1, 2), (9, 1)], epoch: number, sent_ms, echo: Some((sent_ms, 3)),
        };
        let all = [
            Frame::Fetched(origin, entries.clone()), Frame::Batches(entries), Frame::Statement(statement),
            Frame::Decided(Epoch::new(number, [1, 2, 9])), Frame::Fetched(origin, Vec::new()),
        ];
        for frame in all {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            prop_assert_eq!(Frame::decode(&bytes).expect("own encoding"), frame);
            bytes.pop();
            prop_assert!(Frame::decode(&bytes).is_err());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Frame::decode(&bytes);
    }
}
