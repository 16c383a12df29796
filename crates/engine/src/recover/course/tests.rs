//! The numbers of batches, as a log has them.

use effect::codec::DotShape;
use effect::items::Seq;
use effect::{BatchBuf, Effect, GroupId, KeyspaceId, Op};
use proptest::prelude::*;
use wal::Position;

use super::*;

/// A batch of so many effects.
fn encoded(origin: u64, seq: u64, hlc: u64, effects: u64) -> Vec<u8> {
    let mut batch = BatchBuf::new(GroupId(0), Origin(origin));
    let noop = || Effect {
        keyspace: KeyspaceId::DEFAULT,
        db: 0,
        key: b"",
        fresh: false,
        deps: Seq::empty(DotShape),
        op: Op::Noop,
    };
    (0..effects).for_each(|_| batch.push(&noop()));
    batch.stamp(seq, Hlc(hlc));
    batch.encoded().to_vec()
}

/// What comes next in a log: whose batch, how far its number is from what is due, its timestamp, its effects, and whether somebody
/// has all numbers put where they can be asked for.
type Step = (u64, i64, u64, u64, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let off = prop_oneof![60 => Just(0i64), 1 => -2i64..3];
    prop::collection::vec((1u64..4, off, 0u64..1000, 1u64..5, prop::bool::weighted(0.1)), 0..60)
}

proptest! {
    /// Batches of several origins, one behind the other: each origin's are gapless from what is known of it on, and what comes
    /// out is where all of them go on.
    #[test]
    fn the_batches_of_each_origin_go_on_where_its_last_one_ended(
        known in prop::collection::hash_map(1u64..4, 1u64..1000, 0..3),
        last in 0u64..1000,
        steps in steps(),
    ) {
        let mut due: HashMap<Origin, u64> = known.into_iter().map(|(origin, next)| (Origin(origin), next)).collect();
        let mut course = Course::new(due.clone(), Hlc(last), Position::START);
        let (mut highest, mut batches) = (last, 0);
        for (origin, off, hlc, effects, settles) in steps {
            let expected = due.get(&Origin(origin)).copied();
            let found = expected.unwrap_or(500).saturating_add_signed(off).max(1);
            let bytes = encoded(origin, found, hlc, effects);
            let followed = course.follow(&Batch::decode(&bytes).unwrap());
            match expected.filter(|expected| *expected != found) {
                None => prop_assert!(followed.is_ok(), "{followed:?}"),
                Some(expected) => {
                    let is_told = matches!(
                        followed,
                        Err(OpenError::Gap { origin: o, expected: e, found: f }) if (o, e, f) == (origin, expected, found)
                    );
                    prop_assert!(is_told, "{followed:?}");
                    return Ok(());
                }
            }
            due.insert(Origin(origin), found + effects);
            (highest, batches) = (highest.max(hlc + effects - 1), batches + 1);
            if settles {
                course.settle();
                prop_assert_eq!(&course.next, &due);
            }
        }
        course.settle();
        prop_assert_eq!((course.next, course.last, course.batches), (due, Hlc(highest), batches));
    }
}
