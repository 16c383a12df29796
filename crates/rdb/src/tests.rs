//! Whole files: every encoding and every record.

mod damage;

use proptest::prelude::*;

use crate::testing::{Blob, File, Model, len, listpack, string};
use crate::{Checksum, Dump, Error, Foreign, Part, Record, Sink, kinds};

/// Collects the parts of a value.
struct Parts(Model);

impl Parts {
    fn new(kind: effect::Kind) -> Self {
        Self(match kind {
            effect::Kind::String => Model::String(Vec::new()),
            effect::Kind::List => Model::List(Vec::new()),
            effect::Kind::Set => Model::Set(Default::default()),
            effect::Kind::Hash => Model::Hash(Default::default()),
            effect::Kind::ZSet => Model::ZSet(Default::default()),
        })
    }
}

impl Sink for Parts {
    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        let is_new = match (&mut self.0, part) {
            (Model::String(all), Part::String(bytes)) => {
                all.extend_from_slice(bytes);
                true
            }
            (Model::List(all), Part::Element(bytes)) => {
                all.push(bytes.to_vec());
                true
            }
            (Model::Set(all), Part::Member(bytes)) => all.insert(bytes.to_vec()),
            (Model::ZSet(all), Part::Scored(member, score)) => all.insert(member.to_vec(), score).is_none(),
            (Model::Hash(all), Part::Field { field, value, deadline }) => {
                all.insert(field.to_vec(), (value.to_vec(), deadline)).is_none()
            }
            (model, part) => panic!("{part:?} is no part of {model:?}"),
        };
        assert!(is_new, "{part:?} came twice");
        Ok(())
    }
}

/// A key with what the file says of it, or a record that is none.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Key(Vec<u8>, Option<i64>, Model),
    Other(Record, Vec<u8>),
}

/// Everything in a file.
fn read(bytes: &[u8]) -> Result<Vec<Seen>, Error> {
    let mut dump = Dump::open(bytes)?;
    let mut seen = Vec::new();
    loop {
        match dump.next_record()? {
            Record::Key { kind, deadline } => {
                let mut parts = Parts::new(kind);
                dump.value(&mut parts)?;
                seen.push(Seen::Key(dump.key().to_vec(), deadline, parts.0));
            }
            record @ Record::End(_) => {
                assert_eq!(dump.offset(), bytes.len() as u64);
                seen.push(Seen::Other(record, Vec::new()));
                return Ok(seen);
            }
            record => seen.push(Seen::Other(record, dump.key().to_vec())),
        }
    }
}

/// Reads bytes that may be anything: values, and once more without them.
fn read_anyway(bytes: &[u8]) {
    struct Any(usize);
    impl Sink for Any {
        fn part(&mut self, _: Part<'_>) -> Result<(), Error> {
            self.0 += 1;
            Ok(())
        }
    }
    for with_values in [true, false] {
        let Ok(mut dump) = Dump::open(bytes) else { return };
        let mut any = Any(0);
        while let Ok(record) = dump.next_record() {
            assert!(dump.offset() <= bytes.len() as u64);
            if matches!(record, Record::End(_)) || (with_values && dump.value(&mut any).is_err()) {
                break;
            }
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..12),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        2 => (-5000i64..5000).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i32>().prop_map(|n| n.to_string().into_bytes()),
        1 => prop::collection::vec(0u8..4, 0..500),
        1 => (any::<u8>(), 0usize..70_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    let number = any::<f64>().prop_filter("a number", |score| !score.is_nan());
    prop_oneof![number, (-100i32..100).prop_map(f64::from), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)]
}

fn model() -> impl Strategy<Value = Model> {
    let deadline = prop::option::of(1_700_000_000_000i64..1_900_000_000_000);
    prop_oneof![
        bytes().prop_map(Model::String),
        prop::collection::vec(bytes(), 1..12).prop_map(Model::List),
        prop::collection::btree_set(bytes(), 1..12).prop_map(Model::Set),
        prop::collection::btree_set((-70_000i64..70_000).prop_map(|n| n.to_string().into_bytes()), 1..30)
            .prop_map(Model::Set),
        prop::collection::btree_map(bytes(), (bytes(), Just(None)), 1..12).prop_map(Model::Hash),
        prop::collection::btree_map(bytes(), (bytes(), deadline), 1..12).prop_map(Model::Hash),
        prop::collection::btree_map(bytes(), score(), 1..12).prop_map(Model::ZSet),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_the_same_in_every_encoding(value in model(), key in bytes(), at in prop::option::of(any::<i64>())) {
        for (dialect, number, body) in value.encodings() {
            let file = File::of(dialect).select(0);
            let file = match at {
                Some(at) => file.expire_ms(at),
                None => file,
            };
            let seen = read(&file.key(number, &key, &body).end()).map_err(|e| TestCaseError::fail(format!("{number}: {e}")))?;
            prop_assert_eq!(&seen[1], &Seen::Key(key.clone(), at, value.clone()), "{}", number);
            let payload = [&[number][..], &body].concat();
            prop_assert!(crate::body(&payload, dialect, 1 << 24).is_ok(), "{} as a payload", number);
        }
    }
}

/// What streams of this number are made of, with a group and a consumer.
fn stream(number: u8) -> Vec<u8> {
    let id = [7u8; 16];
    let time = [9u8; 8];
    let mut body = [len(1), string(&id), string(&listpack(&[Blob::Int(1), Blob::Text(b"x")]))].concat();
    body.extend([1, 5, 0]);
    if number >= kinds::STREAM_2 {
        body.extend([5, 0, 0, 0, 60]);
    }
    body.extend([&len(1)[..], &string(b"group"), &[5, 0]].concat());
    if number >= kinds::STREAM_2 {
        body.push(1);
    }
    body.extend([&len(1)[..], &id, &time, &len(300), &len(1), &string(b"consumer"), &time].concat());
    if number >= kinds::STREAM_3 {
        body.extend(time);
    }
    body.extend([&len(1)[..], &id].concat());
    if number >= kinds::STREAM_5 {
        body.extend([&len(2)[..], &id, &id].concat());
    }
    if number >= kinds::STREAM_4 {
        body.extend(
            [&[10, 50][..], &len(1), &string(b"producer"), &len(1), &string(b"iid"), &[5, 0], &[1, 0]].concat(),
        );
    }
    body
}

/// A module's type by this name of nine characters.
fn module_id(name: &[u8; 9], version: u64) -> Vec<u8> {
    const CHARACTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = |byte: &u8| CHARACTERS.iter().position(|c| c == byte).unwrap() as u64;
    len(name.iter().fold(0, |id, byte| id << 6 | number(byte)) << 10 | version)
}

fn module_parts() -> Vec<u8> {
    [
        &[1][..],
        &len(77),
        &[2],
        &len(1 << 40),
        &[3],
        &1f32.to_le_bytes(),
        &[4],
        &1f64.to_le_bytes(),
        &[5],
        &string(b"s"),
        &[0],
    ]
    .concat()
}

/// A file with everything that Redis writes, and what is in it.
fn everything() -> (Vec<u8>, Vec<Seen>) {
    let text = |text: &str| Model::String(text.into());
    let mut file = File::redis(15).aux("redis-ver", "8.10.0").raw([242]).raw([len(3), len(2)].concat());
    file = file.raw([string(b"age"), string(b"name")].concat());
    file = file.raw([245]).raw(string(b"#!lua name=f")).raw([247]).raw(module_id(b"ReJSON-RL", 3));
    file = file.raw([2]).raw(len(1)).raw(module_parts());
    file = file.select(0).raw([251, 9, 4]).raw([244]).raw([len(16383), len(7), len(0)].concat());
    file = file.raw([248]).raw(len(99_999)).key(kinds::STRING, b"idle", &string(b"a"));
    file = file.raw([249, 200]).expire_s(-5).key(kinds::STRING, b"often", &string(b"b"));
    file = file.expire_ms(1_800_000_000_001).raw([243]).raw(len(1)).raw([1, 2, 3, 4]).raw(module_parts());
    file = file.key(kinds::STRING, b"noted", &string(b"c"));
    for number in [kinds::STREAM, kinds::STREAM_2, kinds::STREAM_3, kinds::STREAM_4, kinds::STREAM_5] {
        file = file.expire_ms(5).key(number, b"stream", &stream(number));
    }
    file = file.key(kinds::MODULE_2, b"json", &[module_id(b"ReJSON-RL", 1), module_parts()].concat());
    let array = [
        &len(4)[..],
        &[1],
        &len(49),
        &[0, 0],
        &string(b"text"),
        &[1, 1],
        &[8; 8],
        &[2, 2],
        &[8; 8],
        &[3, 3],
        &string(b"s"),
    ];
    file = file.key(kinds::ARRAY, b"array", &array.concat()).key(kinds::GCRA, b"rate", &len(1 << 50));
    file = file.select(300).key(kinds::HASH_TEMPLATE, b"t1", &[len(3), string(b"40"), string(b"Ann")].concat());
    let packed = listpack(&[Blob::Int(3), Blob::Int(41), Blob::Text(b"Bob")]);
    file = file.key(kinds::HASH_TEMPLATE_LISTPACK, b"t2", &string(&packed));
    let hash = |age: &str, name: &str| {
        let field = |field: &str, value: &str| (field.into(), (value.into(), None));
        Model::Hash([field("age", age), field("name", name)].into())
    };
    let other = |record| Seen::Other(record, Vec::new());
    let foreign =
        |what, key: &str, name: Option<&str>| Seen::Other(Record::Foreign(what, name.map(Into::into)), key.into());
    let mut seen = vec![
        other(Record::Aux(b"redis-ver".into())),
        foreign(Foreign::Function, "", None),
        foreign(Foreign::ModuleAux, "", Some("ReJSON-RL")),
        other(Record::Database(0)),
        other(Record::Expect(9)),
        Seen::Key(b"idle".into(), None, text("a")),
        Seen::Key(b"often".into(), Some(-5000), text("b")),
        foreign(Foreign::KeyMeta, "", None),
        Seen::Key(b"noted".into(), Some(1_800_000_000_001), text("c")),
    ];
    seen.extend((0..5).map(|_| foreign(Foreign::Stream, "stream", None)));
    seen.extend([
        foreign(Foreign::Module, "json", Some("ReJSON-RL")),
        foreign(Foreign::Array, "array", None),
        foreign(Foreign::RateLimit, "rate", None),
        other(Record::Database(300)),
        Seen::Key(b"t1".into(), None, hash("40", "Ann")),
        Seen::Key(b"t2".into(), None, hash("41", "Bob")),
        other(Record::End(Checksum::Right)),
    ]);
    (file.end(), seen)
}

#[test]
fn everything_that_redis_writes_is_read_or_named() {
    let (bytes, expected) = everything();
    let seen = read(&bytes).unwrap();
    for (seen, expected) in seen.iter().zip(&expected) {
        assert_eq!(seen, expected);
    }
    assert_eq!(seen.len(), expected.len());
}

#[test]
fn what_is_valkeys_own_is_read() {
    let slots = [string(&[b'j'; 40]), len(2), len(0), len(99), len(200), len(16383)].concat();
    let file =
        File::valkey(80).aux("valkey-ver", "9.0.0").raw([243]).raw(slots).key(kinds::STRING, b"k", &string(b"v"));
    let seen = read(&file.end()).unwrap();
    assert_eq!(seen[1], Seen::Key(b"k".into(), None, Model::String(b"v".into())));
}

#[test]
fn versions_are_told_by_the_head() {
    for (head, known) in [("REDIS0001", true), ("REDIS0015", true), ("VALKEY080", true), ("VALKEY081", true)]
        .into_iter()
        .chain(["REDIS0000", "REDIS0016", "REDIS0080", "VALKEY011", "VALKEY079", "VALKEY082"].map(|head| (head, false)))
    {
        let bytes = File(head.into()).end();
        let bytes = if head == "REDIS0001" { bytes[..bytes.len() - 8].to_vec() } else { bytes };
        match read(&bytes) {
            Ok(seen) => assert!(known && seen.len() == 1, "{head}"),
            Err(Error::Version { .. }) => assert!(!known, "{head}"),
            Err(other) => panic!("{head}: {other}"),
        }
    }
    for head in ["", "REDIS", "redis0009", "REDIS00x9", "VALKEY+80", "*2\r\n$6\r\nSE", "\u{1f}\u{8b}234567890"] {
        assert!(matches!(read(head.as_bytes()), Err(Error::NotRdb { .. })), "{head}");
    }
}
