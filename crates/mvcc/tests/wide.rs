//! Rows of wide columns: examples, limits, and the bytes of every kind of row.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use common::{put, t};
use mvcc::wide::{
    Body, DELTA_SCAN_LIMIT, Element, FieldValue, INLINE_NAME_BYTES, INLINE_STEPS, Incarnation, Kind, Length,
    LengthDelta, ListMeta, Meta, MetaKey, Place, Rows, Score, Shape, Step, StreamId, StreamMeta, WideError,
    encode_entry, fold, length,
};
use mvcc::{KeyClass, MemStore, Retention, Source, Span, Store, Transaction};

fn deltas(of: Incarnation, n: usize, len: i64) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..n)
        .map(|n| {
            let key = Element::LengthDelta { commit: t(1 + n as u64), n: 0 }.key(of).unwrap();
            (key, LengthDelta { len, head: None }.encode())
        })
        .collect()
}

#[test]
fn a_reader_adds_up_so_many_deltas_and_then_refuses() {
    let of = Incarnation(1);
    let base = Length { len: 5, head: None };
    let rows = deltas(of, DELTA_SCAN_LIMIT + 1, 2);
    let values = |n: usize| rows[..n].iter().map(|(_, value)| &value[..]);
    assert_eq!(length(base, values(DELTA_SCAN_LIMIT)).unwrap().len, 5 + 2 * DELTA_SCAN_LIMIT as u64);
    assert_eq!(length(base, values(DELTA_SCAN_LIMIT + 1)), Err(WideError::TooManyDeltas { limit: DELTA_SCAN_LIMIT }));
    let folded = fold(of, base, rows.iter().map(|(key, value)| (&key[..], &value[..]))).unwrap();
    assert_eq!(folded.delete.len(), DELTA_SCAN_LIMIT, "folding is the way out, so it must not refuse");
    assert_eq!(length(folded.length, values(1)).unwrap().len, 5 + 2 * (DELTA_SCAN_LIMIT as u64 + 1));
}

#[test]
fn deltas_that_cannot_be_are_refused() {
    let of = Incarnation(1);
    let base = Length { len: 1, head: None };
    let sum = |base: Length, deltas: &[LengthDelta]| {
        let rows: Vec<_> = deltas.iter().map(LengthDelta::encode).collect();
        length(base, rows.iter().map(|row| &row[..]))
    };
    let by = |len: i64| LengthDelta { len, head: None };
    assert_eq!(sum(base, &[by(-2)]), Err(WideError::LengthRange));
    assert_eq!(sum(base, &[by(-2), by(1)]).unwrap().len, 0, "deltas have no order among each other");
    assert_eq!(sum(base, &[by(i64::MAX), by(1)]), Err(WideError::LengthRange));
    assert!(matches!(sum(base, &[LengthDelta { len: 1, head: Some(1) }]), Err(WideError::Malformed { .. })));
    let list = Length { len: 1, head: Some(i64::MAX) };
    assert_eq!(sum(list, &[LengthDelta { len: 1, head: Some(1) }]), Err(WideError::LengthRange));

    let foreign = deltas(Incarnation(2), 1, 1);
    let refused = fold(of, base, foreign.iter().map(|(key, value)| (&key[..], &value[..])));
    assert!(matches!(refused, Err(WideError::Malformed { .. })));
    let member = Element::SetMember { hash: 1, member: b"m" }.key(of).unwrap();
    assert!(matches!(fold(of, base, [(&member[..], &[0; 8][..])]), Err(WideError::Malformed { .. })));
}

/// Folding an empty list deleted its meta row, and the next push began to count anew beside a concurrent one.
#[test]
fn an_emptied_list_keeps_its_ends() {
    let of = Incarnation(1);
    let key = Element::LengthDelta { commit: t(5), n: 0 }.key(of).unwrap();
    let popped = LengthDelta { len: -3, head: Some(3) }.encode();
    let folded = fold(of, Length { len: 3, head: Some(10) }, [(&key[..], &popped[..])]).unwrap();
    assert_eq!(folded.length, Length { len: 0, head: Some(13) });
}

/// Without a length, the item rows of list `K` were in the range of list `K‖8 bytes`, and a user key that began with
/// `d|` made its meta row a delta of another list.
#[test]
fn list_keys_are_not_ambiguous() {
    let (a, b) = (Incarnation(1), Incarnation(2));
    let mut longer = b"queue".to_vec();
    longer.extend_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 1]);
    for key in [&b"queue"[..], &longer, b"d|queue", b"d|\0\0\0\x05queue"] {
        let row = MetaKey { keyspace: 0, slot: 1, db: 0, hash: 2, key }.key().unwrap();
        assert_eq!(MetaKey::parse(&row, b"").unwrap().0.key, key);
        assert_eq!(KeyClass::of(&row), KeyClass::Meta);
        assert!(!Rows::all(a).span().contains(&row));
    }
    let item = Element::ListItem(Place::Packed(1)).key(a).unwrap();
    assert!(!Rows::of_kind(b, Kind::ListItem).span().contains(&item));
    assert!(!Rows::of_kind(a, Kind::ListClaim).span().contains(&item));
}

/// Two pops of one item must not both succeed, and pops of different items must not hinder each other.
#[test]
fn pops_conflict_on_the_claim_of_an_item() {
    let store = MemStore::new(Retention::Versions);
    let of = Incarnation(1);
    let pop = |place: i64, commit: u64| {
        let claim = Element::ListClaim(Place::Packed(place)).key(of).unwrap();
        let item = Element::ListItem(Place::Packed(place)).key(of).unwrap();
        let delta = Element::LengthDelta { commit: t(commit), n: 0 }.key(of).unwrap();
        let change = LengthDelta { len: -1, head: Some(1) }.encode();
        common::commit(&store, 10, commit, &[put(&claim, b""), common::delete(&item), put(&delta, &change)])
    };
    pop(1, 20).unwrap();
    pop(2, 21).unwrap();
    assert!(matches!(pop(1, 22), Err(mvcc::Error::Conflict(_))));
    let deltas = Rows::of_kind(of, Kind::LengthDelta);
    assert_eq!(common::scan(&store, deltas.span(), t(22)).len(), 2);
}

/// A whole collection goes with one prefix deletion, or hides with its meta row.
#[test]
fn a_dead_incarnation_is_one_prefix() {
    let store = MemStore::new(Retention::Newest);
    let (dead, live) = (Incarnation(u64::MAX), Incarnation(0));
    for (n, of) in [dead, live].into_iter().enumerate() {
        let keys = [
            Element::HashField { hash: 0, field: b"f" }.key(of).unwrap(),
            Element::ZsetMember { hash: u64::MAX, member: b"" }.key(of).unwrap(),
        ];
        let writes = [put(&keys[0], b"v"), put(&keys[1], b"v")];
        let transaction = Transaction { commit: t(1 + n as u64), mutations: &writes, ..Transaction::default() };
        store.apply(&transaction, Source::Direct).unwrap();
    }
    common::delete_prefix(&store, &dead.prefix(), None, 9);
    assert_eq!(common::scan(&store, Span::ALL, t(9)), common::scan(&store, Rows::all(live).span(), t(9)));
}

#[test]
fn sizes_are_refused_before_they_are_rows() {
    let of = Incarnation(1);
    // Zeros that nobody has written take no memory; only the longest that is accepted is read.
    let long = vec![0; mvcc::limits::MAX_NAME_BYTES + 1];
    let key = |key| MetaKey { keyspace: 0, slot: 0, db: 0, hash: 0, key };
    assert!(matches!(Element::SetMember { hash: 0, member: &long }.key(of), Err(WideError::TooLarge { .. })));
    assert!(matches!(key(&long).key(), Err(WideError::TooLarge { .. })));
    assert!(key(&long[1..]).key().unwrap().len() < 1100);
    let path = vec![Step { digit: 0, origin: 0 }; (1 << 20) + 1];
    let place = Place::Full { epoch: 0, origin: 0, n: 0, path };
    assert!(matches!(Element::ListItem(place).key(of), Err(WideError::TooLarge { .. })));
}

/// What stands in a row beside the key must be what the key says.
#[test]
fn a_deep_place_is_checked_against_its_key() {
    let (of, step) = (Incarnation(1), |n: usize| Step { digit: n as i64, origin: 7 });
    let place = |steps: usize| Place::Full { epoch: 1, origin: 2, n: 3, path: (0..steps).map(step).collect() };
    let row = |steps| {
        let (element, mut value) = (Element::ListItem(place(steps)), Vec::new());
        element.encode_head(&mut value);
        (element.key(of).unwrap(), value)
    };
    let ((key, value), (other, longer), (inline, nothing)) =
        (row(INLINE_STEPS + 2), row(INLINE_STEPS + 3), row(INLINE_STEPS));
    assert!(nothing.is_empty() && key.len() == other.len() && inline.len() < key.len());
    assert!(Element::parse(&key, &value).is_ok() && Element::parse(&key, &longer).is_err());
    for at in [0, 3, 4, 4 + 16 * INLINE_STEPS, value.len() - 1] {
        let mut changed = value.clone();
        changed[at] ^= 1;
        assert!(Element::parse(&key, &changed).is_err(), "byte {at}");
    }
    assert!(Element::parse(&key, &value[..value.len() - 1]).is_err() && Element::parse(&key, &[]).is_err());
    // A deep path that stands whole in the key, or a short one in the form of a deep one, would be a second row for it.
    assert!(Element::parse(&[&inline[..], &[0; 16]].concat(), &[]).is_err());
    let short = [&(INLINE_STEPS as u32).to_be_bytes()[..], &value[4..4 + 16 * INLINE_STEPS]].concat();
    assert!(Element::parse(&key, &short).is_err());
}

/// Keys of rows have a limit far below that of Redis' keys: what did not fit was refused.
#[test]
fn the_longest_names_go_through_a_store() {
    let store = MemStore::new(Retention::Newest);
    let of = Incarnation(1);
    let names: Vec<_> = (0..3u8).map(|last| [vec![b'x'; 70_000], vec![last]].concat()).collect();
    let score = Score::new(1.0).unwrap();
    for (n, name) in names.iter().enumerate() {
        let meta_key = MetaKey { keyspace: 0, slot: 0, db: 0, hash: 0, key: name };
        let field = Element::HashField { hash: 5, field: name };
        let element = Element::ZsetScore { score, member: name };
        let (mut of_key, mut of_field, mut of_score) = (Vec::new(), Vec::new(), Vec::new());
        meta_key.encode_head(&mut of_key);
        of_key.extend(Meta { deadline: None, body: Body::String(b"value") }.encode());
        field.encode_head(&mut of_field);
        let value = FieldValue { deadline: Some(-1), value: b"value" }.encode_head(&mut of_field);
        of_field.extend(value);
        element.encode_head(&mut of_score);
        let keys = [meta_key.key().unwrap(), field.key(of).unwrap(), element.key(of).unwrap()];
        let writes = [put(&keys[0], &of_key), put(&keys[1], &of_field), put(&keys[2], &of_score)];
        let transaction = Transaction { commit: t(1 + n as u64), mutations: &writes, ..Transaction::default() };
        store.apply(&transaction, Source::Direct).unwrap();
    }
    let rows = |rows: Rows| {
        let page = store.scan(rows.span(), t(9), mvcc::Direction::Forward, mvcc::Bounds::NONE).unwrap();
        page.rows.into_iter().map(|row| (row.key, row.version.value.to_vec())).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for (key, value) in rows(Rows::slots(0, 0, 1)) {
        let (meta_key, meta) = MetaKey::parse(&key, &value).unwrap();
        assert_eq!(Meta::decode(meta).unwrap(), Meta { deadline: None, body: Body::String(b"value") });
        found.push(meta_key.key.to_vec());
    }
    for (key, value) in rows(Rows::all(of)) {
        match Element::parse(&key, &value).unwrap() {
            (_, Element::HashField { hash: 5, field }, content) => {
                assert_eq!(FieldValue::decode(content).unwrap(), FieldValue { deadline: Some(-1), value: b"value" });
                found.push(field.to_vec());
            }
            (_, Element::ZsetScore { member, .. }, b"") => found.push(member.to_vec()),
            other => panic!("{other:?}"),
        }
    }
    found.sort();
    assert_eq!(found, names.iter().flat_map(|name| [name.clone(), name.clone(), name.clone()]).collect::<Vec<_>>());
}

/// The bytes of every kind of row. They may be added to, never changed.
#[test]
fn golden() {
    let of = Incarnation(0x0102_0304_0506_0708);
    let deep = Place::Full { epoch: 1, origin: 2, n: 3, path: vec![Step { digit: 4, origin: 5 }; INLINE_STEPS + 1] };
    let full = Place::Full { epoch: -1, origin: 7, n: 2, path: vec![Step { digit: 1, origin: 8 }] };
    let stream = StreamMeta {
        last: StreamId { ms: 5, seq: 1 },
        max_deleted: StreamId { ms: 4, seq: 0 },
        trimmed_below: StreamId { ms: 3, seq: 0 },
        added: 17,
    };
    let meta = |deadline, body| Meta { deadline, body }.encode();
    let collection = |len, shape| meta(None, Body::Collection { incarnation: of, len, shape });
    let long: Vec<u8> = (0..=INLINE_NAME_BYTES).map(|n| n as u8).collect();
    let long_key = MetaKey { keyspace: 1, slot: 2, db: 3, hash: 4, key: &long };
    let head = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let field_value = |deadline| {
        let mut out = Vec::new();
        let rest = FieldValue { deadline, value: b"value" }.encode_head(&mut out);
        [out, rest.to_vec()].concat()
    };
    let hash = 0xAABB_CCDD_EEFF_0011;
    let score = |number: f64| Element::ZsetScore { score: Score::new(number).unwrap(), member: b"m" }.key(of).unwrap();
    let element = |element: Element<'_>| element.key(of).unwrap();
    let rows = [
        ("meta key", MetaKey { keyspace: 1, slot: 0x3FFF, db: 2, hash: 0xAABB_CCDD, key: b"user:1" }.key().unwrap()),
        ("meta string", meta(None, Body::String(b"value"))),
        ("meta string with deadline", meta(Some(-2), Body::String(b"value"))),
        ("meta small", meta(None, Body::Small(b"folded"))),
        ("meta text", collection(70_000, Shape::Text)),
        ("meta hash", collection(3, Shape::Hash)),
        ("meta set", collection(0, Shape::Set)),
        ("meta zset", collection(u64::MAX, Shape::Zset)),
        ("meta list", collection(2, Shape::List(ListMeta { packed: true, head: -1, tail: 1 }))),
        ("meta stream", collection(2, Shape::Stream(stream))),
        ("length delta", element(Element::LengthDelta { commit: t(0x1122), n: 3 })),
        ("length delta value", LengthDelta { len: -1, head: None }.encode()),
        ("list delta value", LengthDelta { len: -1, head: Some(1) }.encode()),
        ("string block", element(Element::StringBlock(258))),
        ("hash field", element(Element::HashField { hash, field: b"field" })),
        ("hash field value", field_value(None)),
        ("hash field value with deadline", field_value(Some(1))),
        ("hash deadlines", element(Element::HashDeadlines)),
        ("set member", element(Element::SetMember { hash, member: b"member" })),
        ("zset member", element(Element::ZsetMember { hash, member: b"member" })),
        ("zset member value", Score::new(1.5).unwrap().encode().to_vec()),
        ("zset score 1.5", score(1.5)),
        ("zset score -1.5", score(-1.5)),
        ("zset score 0", score(-0.0)),
        ("zset score -inf", score(f64::NEG_INFINITY)),
        ("zset fences", element(Element::ZsetFences(258))),
        ("list item", element(Element::ListItem(Place::Packed(-2)))),
        ("list item full", element(Element::ListItem(full))),
        ("list item deep", element(Element::ListItem(deep.clone()))),
        ("list item deep value", head(&|out| Element::ListItem(deep.clone()).encode_head(out))),
        ("list claim", element(Element::ListClaim(Place::Packed(0)))),
        ("list fences", element(Element::ListFences(1))),
        ("stream entry", element(Element::StreamEntry(StreamId { ms: 1, seq: 2 }))),
        ("stream entry value", encode_entry(&[(b"f", b"v"), (b"", b"w")]).unwrap()),
        ("long meta key", long_key.key().unwrap()),
        ("long meta head", head(&|out| long_key.encode_head(out))),
        ("long set member", element(Element::SetMember { hash, member: &long })),
        ("long set member value", head(&|out| Element::SetMember { hash, member: &long }.encode_head(out))),
    ];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text: String = rows.iter().map(|(name, row)| format!("{name}: {}\n", hex(row))).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wide.txt");
    if std::env::var_os("MVCC_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap(), "the format has changed");
}
