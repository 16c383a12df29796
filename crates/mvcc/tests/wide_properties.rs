//! Rows of wide columns: what is built is read back, rows order as elements do, and nothing is shared.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::ops::{Bound, RangeBounds};

use common::{put, t};
use mvcc::wide::{
    Body, Element, FieldValue, INLINE_NAME_BYTES, INLINE_STEPS, Incarnation, Kind, Length, LengthDelta, ListMeta, Meta,
    MetaKey, Place, Rows, Score, Shape, Step, StreamId, StreamMeta, decode_entry, encode_entry, fold, length, tag,
};
use mvcc::{Bounds, Direction, KeyClass, MemStore, Retention, Source, Store, Timestamp, Transaction};
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes that tags, lengths and terminators of other formats were confused by.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0u8), 3 => Just(0xFF), 1 => Just(0x10), 1 => Just(0x20), 1 => Just(b'd'), 1 => Just(b'|'), 2 => any::<u8>()];
    prop_oneof![4 => vec(byte, 0..6), 1 => vec(any::<u8>(), 0..40), 1 => Just(b"d|key".to_vec())]
}

/// Names as users give them: also such that share all that fits into a row's key, and more.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let long = (
        prop::sample::select(vec![INLINE_NAME_BYTES - 1, INLINE_NAME_BYTES, 2 * INLINE_NAME_BYTES, 56 << 10]),
        bytes(),
    )
        .prop_map(|(shared, tail)| [vec![b'x'; shared], tail].concat());
    prop_oneof![3 => bytes(), 1 => long]
}

fn hash() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), Just(7), any::<u64>()]
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(-1), Just(1), Just(i64::MIN), Just(i64::MAX), any::<i64>(), -300..300i64]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>(), 0..300u64]
}

fn score() -> impl Strategy<Value = Score> {
    let special = [0.0, -0.0, 1.0, -1.0, 1.5, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324, -5e-324];
    prop_oneof![prop::sample::select(special.to_vec()), any::<f64>().prop_filter("a number", |n| !n.is_nan())]
        .prop_map(|number| Score::new(number).unwrap())
}

fn place() -> impl Strategy<Value = Place> {
    let step = (integer(), number()).prop_map(|(digit, origin)| Step { digit, origin });
    let deep = prop_oneof![3 => Just(0), 1 => INLINE_STEPS - 3..INLINE_STEPS + 2, 1 => Just(2000)];
    prop_oneof![
        integer().prop_map(Place::Packed),
        (integer(), number(), integer(), vec(step, 0..4), deep).prop_map(|(epoch, origin, n, path, above)| {
            let above = vec![Step { digit: 0, origin: 1 }; above];
            Place::Full { epoch, origin, n, path: [above, path].concat() }
        }),
    ]
}

fn id() -> impl Strategy<Value = StreamId> {
    (number(), number()).prop_map(|(ms, seq)| StreamId { ms, seq })
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    number().prop_map(Incarnation)
}

/// An element that owns what it is made of.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Owned {
    Block(u32),
    Delta(u64, u32),
    Field(u64, Vec<u8>),
    Deadlines,
    Set(u64, Vec<u8>),
    Member(u64, Vec<u8>),
    Score(Score, Vec<u8>),
    ZsetFences(u32),
    Item(Place),
    Claim(Place),
    ListFences(u32),
    Entry(StreamId),
}

impl Owned {
    fn element(&self) -> Element<'_> {
        match self {
            Self::Delta(commit, n) => Element::LengthDelta { commit: Timestamp(*commit), n: *n },
            Self::Block(n) => Element::StringBlock(*n),
            Self::Field(hash, field) => Element::HashField { hash: *hash, field },
            Self::Deadlines => Element::HashDeadlines,
            Self::Set(hash, member) => Element::SetMember { hash: *hash, member },
            Self::Member(hash, member) => Element::ZsetMember { hash: *hash, member },
            Self::Score(score, member) => Element::ZsetScore { score: *score, member },
            Self::ZsetFences(n) => Element::ZsetFences(*n),
            Self::Item(place) => Element::ListItem(place.clone()),
            Self::Claim(place) => Element::ListClaim(place.clone()),
            Self::ListFences(n) => Element::ListFences(*n),
            Self::Entry(id) => Element::StreamEntry(*id),
        }
    }
}

/// The key of an element's row, and its value with `content` in it.
fn row(of: Incarnation, element: &Element<'_>, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut value = Vec::new();
    element.encode_head(&mut value);
    value.extend_from_slice(content);
    (element.key(of).unwrap(), value)
}

fn meta_key(key: &(u16, u16, u8, u32, Vec<u8>)) -> MetaKey<'_> {
    MetaKey { keyspace: key.0, slot: key.1, db: key.2, hash: key.3, key: &key.4 }
}

/// Whether the order of two names that differ is decided where rows hold them whole.
fn orders_in_its_key(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    let both_long = a.len() > INLINE_NAME_BYTES && b.len() > INLINE_NAME_BYTES;
    !both_long || a[..INLINE_NAME_BYTES] != b[..INLINE_NAME_BYTES]
}

/// Whether two places are so deep, and begin so alike, that rows order them by digest.
fn both_deep(a: &Owned, b: &Owned) -> bool {
    let place = |one: &Owned| match one {
        Owned::Item(Place::Full { epoch, origin, n, path }) | Owned::Claim(Place::Full { epoch, origin, n, path })
            if path.len() > INLINE_STEPS =>
        {
            Some((*epoch, *origin, *n, path[..INLINE_STEPS].to_vec()))
        }
        _ => None,
    };
    place(a).is_some() && place(a) == place(b)
}

fn element() -> impl Strategy<Value = Owned> {
    prop_oneof![
        (number(), any::<u32>()).prop_map(|(commit, n)| Owned::Delta(commit, n)),
        any::<u32>().prop_map(Owned::Block),
        (hash(), name()).prop_map(|(hash, name)| Owned::Field(hash, name)),
        Just(Owned::Deadlines),
        (hash(), name()).prop_map(|(hash, name)| Owned::Set(hash, name)),
        (hash(), name()).prop_map(|(hash, name)| Owned::Member(hash, name)),
        (score(), name()).prop_map(|(score, member)| Owned::Score(score, member)),
        any::<u32>().prop_map(Owned::ZsetFences),
        any::<u32>().prop_map(Owned::ListFences),
        place().prop_map(Owned::Item),
        place().prop_map(Owned::Claim),
        id().prop_map(Owned::Entry),
    ]
}

fn shape() -> impl Strategy<Value = (u64, Shape)> {
    prop_oneof![
        (number(), prop::sample::select(vec![Shape::Text, Shape::Hash, Shape::Set, Shape::Zset])),
        (integer(), 0..1000u64, 0..1000u64, any::<bool>()).prop_map(|(head, len, holes, packed)| {
            let tail = head.saturating_add((len + holes) as i64);
            (tail.wrapping_sub(head) as u64, Shape::List(ListMeta { packed, head, tail }))
        }),
        (number(), id(), id(), id(), number()).prop_map(|(len, last, max_deleted, trimmed_below, added)| {
            (len, Shape::Stream(StreamMeta { last, max_deleted, trimmed_below, added }))
        }),
    ]
}

/// Ranges of every form between two ends.
fn bounds<T: Copy>(from: T, to: T) -> [(Bound<T>, Bound<T>); 5] {
    [
        (Bound::Included(from), Bound::Included(to)),
        (Bound::Excluded(from), Bound::Excluded(to)),
        (Bound::Unbounded, Bound::Excluded(to)),
        (Bound::Excluded(from), Bound::Unbounded),
        (Bound::Included(from), Bound::Unbounded),
    ]
}

proptest! {
    #[test]
    fn elements_are_read_back_from_their_rows(of in incarnation(), element in element(), content in bytes()) {
        let (key, value) = row(of, &element.element(), &content);
        prop_assert_eq!(Element::parse(&key, &value).unwrap(), (of, element.element(), &content[..]));
        prop_assert_eq!(Incarnation::of_row(&key), Some(of));
        prop_assert_eq!(MetaKey::database(&key), None);
        prop_assert_eq!(KeyClass::of(&key), KeyClass::Element(element.element().kind()));
        prop_assert!(MetaKey::parse(&key, &value).is_err());
    }

    /// Within a kind; a list has places of one form only.
    #[test]
    fn rows_order_as_their_elements_do(of in incarnation(), a in element(), b in element()) {
        let (x, y) = (a.element().key(of).unwrap(), b.element().key(of).unwrap());
        prop_assert_eq!(x == y, a == b);
        let comparable = match (&a, &b) {
            (Owned::Item(x) | Owned::Claim(x), Owned::Item(y) | Owned::Claim(y)) => {
                std::mem::discriminant(x) == std::mem::discriminant(y)
            }
            _ => true,
        };
        let comparable = comparable && orders_in_its_key(a.element().name(), b.element().name()) && !both_deep(&a, &b);
        if a.element().kind() == b.element().kind() && comparable {
            prop_assert_eq!(x.cmp(&y), a.partial_cmp(&b).unwrap());
        }
    }

    #[test]
    fn meta_keys_order_as_route_keys_and_are_read_back(
        a in (any::<u16>(), any::<u16>(), any::<u8>(), any::<u32>(), name()),
        b in (any::<u16>(), any::<u16>(), any::<u8>(), any::<u32>(), name()),
        content in bytes(),
        alike: bool,
    ) {
        let a = if alike { (b.0, b.1, b.2, b.3, a.4) } else { a };
        let meta = meta_key;
        let (row, other) = (meta(&a).key().unwrap(), meta(&b).key().unwrap());
        prop_assert_eq!(row == other, a == b);
        if orders_in_its_key(Some(&a.4), Some(&b.4)) || (a.0, a.1, a.2, a.3) != (b.0, b.1, b.2, b.3) {
            prop_assert_eq!(row.cmp(&other), a.cmp(&b));
        }
        let mut value = Vec::new();
        meta(&a).encode_head(&mut value);
        value.extend_from_slice(&content);
        prop_assert_eq!(MetaKey::parse(&row, &value).unwrap(), (meta(&a), &content[..]));
        prop_assert_eq!(MetaKey::database(&row), Some((a.0, a.2)));
        prop_assert_eq!(Incarnation::of_row(&row), None);
        prop_assert_eq!(Rows::slots(a.0, a.1, u16::MAX).span().contains(&row), a.1 < u16::MAX);
        prop_assert!(!Rows::slots(a.0, 0, a.1).span().contains(&row));
        prop_assert!(Element::parse(&row, &value).is_err());
        prop_assert_eq!(KeyClass::of(&row), KeyClass::Meta);
    }

    #[test]
    fn meta_rows_are_read_back(
        of in incarnation(), (len, shape) in shape(), value in bytes(), deadline in prop::option::of(integer()),
    ) {
        for body in
            [Body::Collection { incarnation: of, len, shape }, Body::String(&value), Body::Small(&value)]
        {
            let meta = Meta { deadline, body };
            let row = meta.encode();
            prop_assert_eq!(Meta::decode(&row).unwrap(), meta);
        }
    }

    #[test]
    fn fields_values_are_read_back(value in bytes(), deadline in prop::option::of(integer())) {
        let field = FieldValue { deadline, value: &value };
        let mut head = Vec::new();
        let rest = field.encode_head(&mut head);
        head.extend_from_slice(rest);
        prop_assert_eq!(FieldValue::decode(&head).unwrap(), field);
    }

    /// Whatever the bytes, parsing answers; and what it accepts is what building makes.
    #[test]
    fn arbitrary_bytes_are_parsed_canonically_or_refused(
        tail in vec(prop_oneof![Just(0u8), Just(0xFF), any::<u8>()], 0..60),
        head in prop::sample::select(vec![&b""[..], b"\x10", b"\x20", b"\x01", b"\x01\x40", b"\x01\x50"]),
        kind in prop::option::of(prop::sample::select(Kind::ALL.to_vec())),
        value in bytes(),
    ) {
        let mut raw = [head, &tail[..]].concat();
        if let (Some(kind), Some(at)) = (kind, raw.get_mut(9)) {
            *at = kind as u8;
        }
        let _ = (tag(&raw), KeyClass::of(&raw));
        let _ = (Incarnation::of_row(&raw), MetaKey::database(&raw));
        if let Ok((of, element, content)) = Element::parse(&raw, &value) {
            prop_assert_eq!(row(of, &element, content), (raw.clone(), value.clone()));
        }
        if let Ok((key, meta)) = MetaKey::parse(&raw, &value) {
            prop_assert_eq!((key.key().unwrap(), meta), (raw.clone(), &value[..]));
        }
        if let Ok(field) = FieldValue::decode(&raw) {
            let mut head = Vec::new();
            let rest = field.encode_head(&mut head);
            prop_assert_eq!([&head, rest].concat(), raw.clone());
        }
        if let Ok(meta) = Meta::decode(&raw) {
            prop_assert_eq!(meta.encode(), raw.clone());
        }
        if let Ok(delta) = LengthDelta::decode(&raw) {
            prop_assert_eq!(delta.encode(), raw.clone());
        }
        if let Ok(score) = Score::decode(&raw) {
            prop_assert_eq!(score.encode().to_vec(), raw.clone());
        }
        if let Ok(pairs) = decode_entry(&raw) {
            prop_assert_eq!(encode_entry(&pairs).unwrap(), raw);
        }
    }

    #[test]
    fn entries_are_read_back(pairs in vec((bytes(), bytes()), 0..6)) {
        let pairs: Vec<_> = pairs.iter().map(|(field, value)| (&field[..], &value[..])).collect();
        let row = encode_entry(&pairs).unwrap();
        prop_assert_eq!(decode_entry(&row).unwrap(), pairs);
    }

    /// Two user keys, however alike, and two lives of the same one: no row is in both, and no range of one holds a row
    /// of the other.
    #[test]
    fn no_two_collections_share_a_row_or_a_range(
        a in (name(), incarnation()),
        b in (name(), incarnation()),
        elements in vec(element(), 1..12),
    ) {
        prop_assume!(a.1 != b.1);
        let meta = |key: &[u8]| MetaKey { keyspace: 0, slot: 7, db: 0, hash: 9, key }.key().unwrap();
        prop_assert_eq!(meta(&a.0) == meta(&b.0), a.0 == b.0);
        for element in &elements {
            let key = element.element().key(a.1).unwrap();
            prop_assert!(Rows::all(a.1).span().contains(&key));
            prop_assert!(!Rows::all(b.1).span().contains(&key));
            prop_assert!(!Rows::all(b.1).span().contains(&meta(&a.0)));
            let (low, high) = (a.1.min(b.1), a.1.max(b.1));
            prop_assert_eq!(Rows::collections(low, high).span().contains(&key), a.1 == low);
            for kind in Kind::ALL {
                let own = kind == element.element().kind();
                prop_assert_eq!(Rows::of_kind(a.1, kind).span().contains(&key), own);
                prop_assert!(!Rows::of_kind(b.1, kind).span().contains(&key));
            }
            for other in &elements {
                prop_assert_ne!(&key, &other.element().key(b.1).unwrap());
                prop_assert_eq!(key == other.element().key(a.1).unwrap(), element == other);
            }
        }
    }

    /// Many collections in one store: a scan of each finds its elements, in their order, and nothing else.
    #[test]
    fn a_scan_finds_the_elements_of_one_collection_in_order(
        collections in prop::collection::btree_map((0..4u64).prop_map(Incarnation), vec((score(), hash(), bytes()), 0..10), 1..5),
        scores in (score(), score()), hashes in (hash(), hash()),
    ) {
        let store = MemStore::new(Retention::Newest);
        let mut at = 0;
        for (of, members) in &collections {
            for (score, hash, member) in members {
                at += 1;
                let rows = [
                    Element::ZsetScore { score: *score, member }.key(*of).unwrap(),
                    Element::ZsetMember { hash: *hash, member }.key(*of).unwrap(),
                ];
                let mutations = [put(&rows[0], b""), put(&rows[1], b"")];
                store.apply(&Transaction { commit: t(at), mutations: &mutations, ..Transaction::default() }, Source::Direct).unwrap();
            }
        }
        for (of, members) in &collections {
            let scan = |rows: Rows| {
                let page = store.scan(rows.span(), t(at), Direction::Forward, Bounds::NONE).unwrap();
                page.rows.into_iter().map(|row| row.key).collect::<Vec<_>>()
            };
            let mut by_score: Vec<_> = members.iter().map(|(score, _, member)| (*score, member.clone())).collect();
            by_score.sort_by(|a, b| a.partial_cmp(b).unwrap());
            by_score.dedup();
            let scored = |rows: Rows| scan(rows).iter().map(|key| match Element::parse(key, b"").unwrap() {
                (found, Element::ZsetScore { score, member }, _) if found == *of => (score, member.to_vec()),
                other => panic!("{other:?}"),
            }).collect::<Vec<_>>();
            prop_assert_eq!(scored(Rows::of_kind(*of, Kind::ZsetScore)), by_score.clone());
            for bounds in bounds(scores.0, scores.1) {
                let expected: Vec<_> = by_score.iter().filter(|(score, _)| bounds.contains(score)).cloned().collect();
                prop_assert_eq!(scored(Rows::scores(*of, bounds.0, bounds.1)), expected);
            }

            let mut by_hash: Vec<_> = members.iter().map(|(_, hash, member)| (*hash, member.clone())).collect();
            by_hash.sort();
            by_hash.dedup();
            for bounds in bounds(hashes.0, hashes.1) {
                let expected: Vec<_> = by_hash.iter().filter(|(hash, _)| bounds.contains(hash)).cloned().collect();
                let rows = scan(Rows::members(*of, Kind::ZsetMember, bounds.0, bounds.1));
                let found: Vec<_> = rows.iter().map(|key| match Element::parse(key, b"").unwrap() {
                    (found, Element::ZsetMember { hash, member }, _) if found == *of => (hash, member.to_vec()),
                    other => panic!("{other:?}"),
                }).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn entries_of_a_range_of_ids_are_found(of in incarnation(), id in id(), from in id(), to in id()) {
        let key = Element::StreamEntry(id).key(of).unwrap();
        prop_assert_eq!(Rows::entries(of, from, to).unwrap().span().contains(&key), from <= id && id <= to);
    }

    /// Deltas add up to the same whatever part of them is folded first.
    #[test]
    fn folding_changes_no_length(
        changes in vec((0..50i64, -3..4i64), 0..80), base in 5000..9000u64, is_list: bool, split in 0..80usize,
    ) {
        let of = Incarnation(2);
        let base = Length { len: base, head: is_list.then_some(-7) };
        let rows: Vec<_> = changes.iter().enumerate().map(|(n, &(len, head))| {
            let key = Element::LengthDelta { commit: t(n as u64), n: 0 }.key(of).unwrap();
            (key, LengthDelta { len: len - 25, head: is_list.then_some(head) }.encode())
        }).collect();
        let values = |rows: &[(Vec<u8>, Vec<u8>)]| rows.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
        let read = |base: Length, rows: &[(Vec<u8>, Vec<u8>)]| length(base, values(rows).iter().map(|value| &value[..])).unwrap();
        let whole = read(base, &rows);
        prop_assert_eq!(whole.len as i64, base.len as i64 + changes.iter().map(|(len, _)| len - 25).sum::<i64>());
        let split = split.min(rows.len());
        let folded = fold(of, base, rows[..split].iter().map(|(key, value)| (&key[..], &value[..]))).unwrap();
        prop_assert_eq!(folded.delete.len(), split);
        prop_assert_eq!(read(folded.length, &rows[split..]), whole);
    }
}
