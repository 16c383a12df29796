//! Arbitrary effects of every operation, with the edges of every number.

use effect::codec::Left;
use effect::limits::{MAX_RUN, MAX_STRING_BYTES};
use effect::{Deadline, Dot, Kind, ListPos, Merge, Mode, Origin, PathStep, Side};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{Act, Bound, Bytes, Change, Value, Whole};

/// The origins that effects speak of; the first is that of the batch.
pub const ORIGINS: [u64; 4] = [0x0102_0304_0506_0007, 1, 1 << 16, u64::MAX];
pub const HOME: u64 = ORIGINS[0];

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![8 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 120..140)]
}

fn int() -> impl Strategy<Value = i64> {
    prop_oneof![-200i64..200, any::<i64>(), select(vec![i64::MIN, i64::MAX])]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..300, any::<u64>(), select(vec![u64::MAX, 1 << 63, (1 << 63) - 1])]
}

fn origin() -> impl Strategy<Value = u64> {
    select(ORIGINS.to_vec())
}

fn dot() -> impl Strategy<Value = Dot> {
    (origin(), number()).prop_map(|(origin, seq)| Dot { origin: Origin(origin), seq })
}

fn deadline() -> impl Strategy<Value = Deadline> {
    prop_oneof![Just(Deadline::Clear), Just(Deadline::Keep), int().prop_map(Deadline::At)]
}

fn score() -> impl Strategy<Value = u64> {
    let edges = select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324]);
    prop_oneof![any::<f64>(), edges].prop_filter("NaN is no score", |score| !score.is_nan()).prop_map(f64::to_bits)
}

/// A position from which at least `room` elements go in each direction.
fn pos_with_room(room: i64) -> impl Strategy<Value = ListPos> {
    let step = || (int(), origin()).prop_map(|(digit, origin)| PathStep { digit, origin });
    let path = prop_oneof![8 => vec(step(), 0..4), 1 => vec(step(), 60..65)];
    let n = int().prop_map(move |n| n.clamp(i64::MIN + room, i64::MAX - room));
    (prop_oneof![Just(0), int()], origin(), n, path).prop_map(|(epoch, origin, n, path)| ListPos {
        epoch,
        origin,
        n,
        path: path.into_iter().collect(),
    })
}

fn run() -> impl Strategy<Value = (ListPos, Vec<Bytes>)> {
    (pos_with_room(4), vec(bytes(), 0..4))
}

fn element_kind() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Hash, Kind::Set, Kind::ZSet])
}

fn value_of(kind: Kind, merge: Merge) -> BoxedStrategy<Value> {
    match (kind, merge) {
        (Kind::Set, _) => Just(Value::Member).boxed(),
        (Kind::ZSet, Merge::AddFloat) => (score(), score()).prop_map(|(a, b)| Value::ScoreDelta(a, b)).boxed(),
        (Kind::ZSet, _) => score().prop_map(Value::Score).boxed(),
        (_, Merge::AddInt | Merge::MaxInt) => int().prop_map(Value::Int).boxed(),
        (_, Merge::AddFloat) => bytes().prop_map(Value::Decimal).boxed(),
        _ => bytes().prop_map(Value::Bytes).boxed(),
    }
}

fn put() -> impl Strategy<Value = Act> {
    let merges =
        [Merge::LastWriter, Merge::AddInt, Merge::AddFloat, Merge::MaxInt, Merge::FirstWriter, Merge::MaxBytes];
    (element_kind(), select(merges.to_vec()), deadline()).prop_flat_map(|(kind, merge, deadline)| {
        vec((bytes(), value_of(kind, merge)), 0..4).prop_map(move |items| Act::Put(kind, merge, deadline, items))
    })
}

fn optional_int() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![Just(None), int().prop_map(Some)]
}

fn whole() -> impl Strategy<Value = Whole> {
    prop_oneof![
        bytes().prop_map(Whole::String),
        vec(run(), 0..4).prop_map(Whole::List),
        vec((bytes(), bytes(), optional_int()), 0..4).prop_map(Whole::Hash),
        vec(bytes(), 0..4).prop_map(Whole::Set),
        vec((bytes(), score()), 0..4).prop_map(Whole::ZSet),
    ]
}

fn left() -> impl Strategy<Value = Option<Left>> {
    let kind = select(vec![Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::ZSet]);
    proptest::option::of((kind, optional_int()).prop_map(|(kind, deadline)| Left { kind, deadline }))
}

fn bound() -> impl Strategy<Value = Bound> {
    (any::<(bool, bool, u16, u8)>(), bytes(), left()).prop_map(|((written, read, keyspace, db), key, left)| Bound {
        written,
        read,
        keyspace,
        db,
        key,
        left,
    })
}

fn string_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (bytes(), deadline()).prop_map(|(value, deadline)| Act::Set(value, deadline)),
        int().prop_map(Act::AddInt),
        bytes().prop_map(Act::AddDecimal),
        bytes().prop_map(Act::MaxBytes),
        bytes().prop_map(Act::Append),
        (number(), bytes()).prop_map(|(offset, bytes)| {
            let room = MAX_STRING_BYTES - bytes.len() as u64;
            Act::Write(offset.min(room), bytes)
        }),
        (number(), 1u8..=64, number()).prop_map(|(offset, width, value)| Act::Bits(
            offset.min(8 * MAX_STRING_BYTES - 1),
            width,
            value
        )),
    ]
}

fn collection_act() -> impl Strategy<Value = Act> {
    let side = || select(vec![Side::Head, Side::Tail]);
    let run_length = prop_oneof![0u64..5, Just(MAX_RUN)];
    prop_oneof![
        put(),
        (element_kind(), vec(bytes(), 0..4)).prop_map(|(kind, ids)| Act::Drop(kind, ids)),
        vec((bytes(), optional_int()), 0..4).prop_map(Act::FieldDeadlines),
        (side(), run()).prop_map(|(side, (first, values))| Act::Push(side, first, values)),
        (pos_with_room(0), bytes()).prop_map(|(pos, value)| Act::Insert(pos, value)),
        (pos_with_room(0), bytes()).prop_map(|(pos, value)| Act::SetAt(pos, value)),
        vec((pos_with_room(1 << 40), run_length), 0..4).prop_map(Act::Cut),
    ]
}

fn key_act() -> impl Strategy<Value = Act> {
    let snapshot = (number(), dot(), whole(), optional_int());
    prop_oneof![
        (whole(), deadline()).prop_map(|(value, deadline)| Act::Replace(value, deadline)),
        optional_int().prop_map(Act::Expire),
        Just(Act::Remove),
        (any::<u16>(), any::<u8>(), bytes()).prop_map(|(keyspace, db, key)| Act::Rename(keyspace, db, key)),
        Just(Act::Noop),
        snapshot.prop_map(|(hlc, writer, value, deadline)| Act::Snapshot { hlc, writer, value, deadline }),
        Just(Act::FlushDb),
        Just(Act::FlushAll),
        any::<u8>().prop_map(Act::SwapDb),
    ]
}

fn group_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (any::<(bool, bool)>(), vec(number(), 0..3), vec(dot(), 0..3), vec(bound(), 0..3)).prop_map(
            |((exclusive, is_unsafe), voters, context, keys)| Act::Bind { exclusive, is_unsafe, voters, context, keys }
        ),
        (dot(), any::<bool>(), number()).prop_map(|(bind, committed, ballot)| Act::Verdict { bind, committed, ballot }),
        prop_oneof![Just(None), origin().prop_map(Some)].prop_map(Act::Serialize),
        dot().prop_map(Act::Again),
    ]
}

fn keyspace_act() -> impl Strategy<Value = Act> {
    let mode = || select(vec![Mode::Causal, Mode::Cache]);
    prop_oneof![
        (mode(), any::<(bool, bool)>(), number(), (number(), number()), vec(bytes(), 0..4))
            .prop_map(|(mode, flags, epoch, bounds, patterns)| Act::Define(mode, flags, epoch, bounds, patterns)),
        Just(Act::Undefine),
        number().prop_map(Act::Moved),
        (any::<bool>(), prop_oneof![Just(None), (number(), origin()).prop_map(Some)], vec(bytes(), 0..4))
            .prop_map(|(is_unsafe, first, patterns)| Act::GroupDefine(is_unsafe, first, patterns)),
        Just(Act::GroupUndefine),
    ]
}

/// Any effect.
pub fn change() -> impl Strategy<Value = Change> {
    let act =
        prop_oneof![7 => string_act(), 9 => collection_act(), 8 => key_act(), 3 => group_act(), 2 => keyspace_act()];
    (any::<(u16, u8, bool)>(), bytes(), vec(dot(), 0..3), act)
        .prop_map(|((keyspace, db, fresh), key, deps, act)| Change { keyspace, db, key, fresh, deps, act })
}
