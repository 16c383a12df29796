//! Files into an engine: every value in every encoding, in pieces and whole; what exists; what is damaged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::Mode;
use engine::{Engine, KeyspaceChange, Lock, Options, Recycled};
use proptest::prelude::*;
use rdb::testing::{File, Model, integer, len, string};
use rdb::{Dialect, Foreign, kinds};

use crate::load::WORKSHOP;
use crate::{Done, Error, Existing, Failed, Plan, Progress, Summary, check, load};

const NOW: i64 = 1_750_000_000_000;

/// What an engine holds: by database and key, the value and its deadline.
type State = BTreeMap<(u8, Vec<u8>), (Model, Option<i64>)>;

fn open(dir: &Path) -> Engine {
    let clock = Arc::new(AtomicI64::new(NOW));
    Engine::open(dir, Options::new(Arc::new(move || clock.load(Ordering::Relaxed)), [3; 22])).unwrap()
}

fn state(engine: &Engine) -> State {
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::All, 0, NOW, &mut recycled);
    let mut state = State::new();
    for db in 0..=u8::MAX {
        context.state.select(db);
        let visit = |entry: &engine::Entry| {
            let value = if let Some(bytes) = entry.bytes() {
                Model::String(bytes.to_vec())
            } else if let Some(list) = entry.list() {
                Model::List(list.iter().map(<[u8]>::to_vec).collect())
            } else if let Some(set) = entry.set() {
                Model::Set(set.iter().map(|member| member.to_vec()).collect())
            } else if let Some(zset) = entry.zset() {
                Model::ZSet(zset.iter().map(|(member, score)| (member.to_vec(), score)).collect())
            } else {
                let fields = entry.hash().unwrap().iter();
                Model::Hash(fields.map(|f| (f.field.to_vec(), (f.value.to_vec(), f.deadline))).collect())
            };
            assert!(state.insert((db, entry.key().to_vec()), (value, entry.deadline())).is_none());
        };
        context.state.each_entry(visit).unwrap();
    }
    state
}

fn plan(existing: Existing) -> Plan {
    Plan { existing, now_ms: NOW, ..Plan::default() }
}

fn bring(engine: &Engine, file: &[u8], plan: &Plan) -> Result<Summary, Failed> {
    load(file, plan, engine, &mut |_| {})
}

fn text(bytes: &str) -> Model {
    Model::String(bytes.into())
}

/// A file with strings in database 0.
fn strings(pairs: &[(&str, &str)]) -> Vec<u8> {
    pairs
        .iter()
        .fold(File::redis(10).select(0), |f, (k, v)| f.key(kinds::STRING, k.as_bytes(), &string(v.as_bytes())))
        .end()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![any::<i64>(), -300i64..300].prop_map(|n| n.to_string().into_bytes());
    prop_oneof![3 => prop::collection::vec(any::<u8>(), 0..20), 1 => number, 1 => prop::collection::vec(0u8..3, 0..200)]
}

/// Values, some of which go in many pieces.
fn model() -> impl Strategy<Value = Model> {
    let deadline = || prop::option::of(prop_oneof![NOW - 9..NOW, NOW + 1..NOW + 1_000_000]);
    let score = any::<f64>().prop_filter("a number", |score| !score.is_nan());
    let count = || prop_oneof![1usize..20, 200usize..400];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6000).prop_map(Model::String),
        count().prop_flat_map(|n| prop::collection::vec(bytes(), n)).prop_map(Model::List),
        count().prop_flat_map(|n| prop::collection::btree_set(bytes(), 1..=n)).prop_map(Model::Set),
        count()
            .prop_flat_map(move |n| prop::collection::btree_map(bytes(), (bytes(), deadline()), 1..=n))
            .prop_map(Model::Hash),
        count()
            .prop_flat_map(|n| prop::collection::btree_map(bytes(), (bytes(), Just(None)), 1..=n))
            .prop_map(Model::Hash),
        prop::collection::btree_map(bytes(), score, 1..300).prop_map(Model::ZSet),
    ]
}

/// What is left of a value at the time of the import.
fn alive(value: &Model) -> Option<Model> {
    let Model::Hash(fields) = value else { return Some(value.clone()) };
    let fields: BTreeMap<_, _> = fields.iter().filter(|(_, (_, at))| at.is_none_or(|at| at > NOW)).collect();
    let fields: BTreeMap<_, _> = fields.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    (!fields.is_empty()).then_some(Model::Hash(fields))
}

type Keys = BTreeMap<(u8, Vec<u8>), (Model, Option<i64>, prop::sample::Index)>;

/// A file of these keys, each in one of its encodings, and what the engine is to hold.
fn written(keys: &Keys, dialect: Dialect) -> (Vec<u8>, State) {
    let mut file = File::of(dialect);
    let mut expected = State::new();
    for ((db, key), (value, at, which)) in keys {
        let encodings: Vec<_> = value.encodings().into_iter().filter(|(of, ..)| *of == dialect).collect();
        let (_, number, body) = which.get(&encodings);
        file = file.select(u64::from(*db));
        if let Some(at) = at {
            file = file.expire_ms(*at);
        }
        file = file.key(*number, key, body);
        if let Some(value) = alive(value).filter(|_| at.is_none_or(|at| at > NOW)) {
            expected.insert((*db, key.clone()), (value, *at));
        }
    }
    (file.end(), expected)
}

fn keys() -> impl Strategy<Value = Keys> {
    let db = prop_oneof![Just(0u8), Just(1), any::<u8>()];
    let at = prop::option::of(prop_oneof![NOW - 5..NOW + 1, NOW + 1..NOW + 100_000]);
    prop::collection::btree_map((db, bytes()), (model(), at, any::<prop::sample::Index>()), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_file_holds_the_engine_holds(keys in keys(), valkey in any::<bool>()) {
        let (file, expected) = written(&keys, if valkey { Dialect::Valkey } else { Dialect::Redis });
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        let checked = check(&file[..], &plan(Existing::Refuse), None, &mut |_| {}).unwrap();
        let summary = bring(&engine, &file, &plan(Existing::Refuse)).unwrap();
        prop_assert_eq!(&state(&engine), &expected);
        let done = Done { written: expected.len() as u64, ..Done::default() };
        prop_assert_eq!(summary.keys(), done.written);
        prop_assert_eq!(summary.expired, (keys.len() - expected.len()) as u64);
        prop_assert_eq!(&summary, &Summary { done, ..checked });
        // Once more over it: nothing else comes out.
        let summary = bring(&engine, &file, &plan(Existing::Replace)).unwrap();
        prop_assert_eq!(summary.done, Done { replaced: done.written, ..done });
        prop_assert_eq!(&state(&engine), &expected);
        engine.close().unwrap();
        prop_assert_eq!(&state(&open(dir.path())), &expected);
    }
}

#[test]
fn what_exists_is_refused_replaced_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    bring(&engine, &strings(&[("a", "1"), ("b", "2")]), &plan(Existing::Refuse)).unwrap();
    let before = state(&engine);
    let members: Vec<Vec<u8>> = (0..500).map(|i: i32| i.to_string().into_bytes()).collect();
    let large = Model::List(members.clone());
    let body = &large.encodings()[0].2;
    let file = File::redis(10).key(kinds::LIST, b"b", body).key(kinds::LIST, b"c", body).end();
    let refused = check(&file[..], &plan(Existing::Refuse), Some(&engine), &mut |_| {}).unwrap_err();
    assert!(matches!(&refused, Error::Exist { keys: 1, first, db: 0 } if first == "b"), "{refused}");
    assert!(check(&file[..], &plan(Existing::Keep), Some(&engine), &mut |_| {}).is_ok());
    assert!(bring(&engine, &file, &plan(Existing::Refuse)).is_err());
    assert_eq!(state(&engine), before);
    let summary = bring(&engine, &file, &plan(Existing::Keep)).unwrap();
    assert_eq!(summary.done, Done { written: 1, kept: 1, ..Done::default() });
    assert_eq!(state(&engine)[&(0, b"b".to_vec())].0, text("2"));
    assert_eq!(state(&engine)[&(0, b"c".to_vec())].0, large);
    let summary = bring(&engine, &file, &plan(Existing::Replace)).unwrap();
    assert_eq!(summary.done, Done { written: 2, replaced: 2, ..Done::default() });
    assert_eq!(state(&engine)[&(0, b"b".to_vec())].0, large);
}

#[test]
fn a_key_that_a_file_has_twice_is_seen() {
    let file = strings(&[("k", "first"), ("k", "second")]);
    for (existing, left) in [(Existing::Keep, "first"), (Existing::Replace, "second")] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        bring(&engine, &file, &plan(existing)).unwrap();
        assert_eq!(state(&engine)[&(0, b"k".to_vec())].0, text(left));
    }
    let dir = tempfile::tempdir().unwrap();
    let failed = bring(&open(dir.path()), &file, &plan(Existing::Refuse)).unwrap_err();
    assert!(matches!(failed.error, Error::Exist { .. }), "{}", failed.error);
    assert_eq!(failed.done.written, 1);
}

#[test]
fn databases_become_others() {
    let file = (0..3).fold(File::redis(10), |f, db| f.select(db).key(kinds::STRING, b"k", &integer(db as i32))).end();
    let with = |pairs: &[(u64, u8)], existing| Plan { databases: pairs.iter().copied().collect(), ..plan(existing) };
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    bring(&engine, &file, &with(&[(0, 200), (1, 0)], Existing::Refuse)).unwrap();
    let found: Vec<(u8, Model)> = state(&engine).into_iter().map(|((db, _), (value, _))| (db, value)).collect();
    assert_eq!(found, [(0, text("1")), (2, text("2")), (200, text("0"))]);
    let merged = check(&file[..], &with(&[(0, 2)], Existing::Refuse), None, &mut |_| {}).unwrap_err();
    assert!(matches!(merged, Error::Merged(0, 2, 2)), "{merged}");
    let kept = bring(&engine, &file, &with(&[(0, 9), (1, 9), (2, 9)], Existing::Keep)).unwrap();
    assert_eq!(kept.done, Done { written: 1, kept: 2, ..Done::default() });
    assert_eq!(state(&engine)[&(9, b"k".to_vec())].0, text("0"));
    let file = File::redis(10).select(256).key(kinds::STRING, b"k", &string(b"v")).end();
    assert!(matches!(check(&file[..], &plan(Existing::Keep), None, &mut |_| {}), Err(Error::Database(256))));
    assert!(check(&file[..], &with(&[(256, 3)], Existing::Refuse), None, &mut |_| {}).is_ok());
    // A database without keys needs no place.
    assert!(check(&File::redis(10).select(999).end()[..], &plan(Existing::Refuse), None, &mut |_| {}).is_ok());
}

#[test]
fn a_value_of_which_only_a_part_could_be_read_is_never_seen() {
    let elements: Vec<Vec<u8>> = (0..2000).map(|i: i32| format!("element {i}").into_bytes()).collect();
    let encodings = Model::List(elements).encodings();
    let file = File::redis(10).key(kinds::STRING, b"before", &string(b"v")).expire_ms(NOW + 9).key(
        kinds::LIST,
        b"large",
        &encodings[0].2,
    );
    let cut = file.0.len() - 500;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let failed = bring(&engine, &file.0[..cut], &plan(Existing::Refuse)).unwrap_err();
    let said = failed.error.to_string();
    assert!(said.contains("key \"large\" of database 0") && said.contains(&format!("offset {cut}")), "{said}");
    assert_eq!(failed.done.written, 1);
    let left: Vec<Vec<u8>> = state(&engine).into_keys().map(|(_, key)| key).collect();
    assert_eq!(left, [WORKSHOP.to_vec(), b"before".to_vec()]);
    // The next one takes away what is left, and brings the whole value.
    engine.close().unwrap();
    let engine = open(dir.path());
    bring(&engine, &file.end(), &plan(Existing::Keep)).unwrap();
    let left: Vec<Vec<u8>> = state(&engine).into_keys().map(|(_, key)| key).collect();
    assert_eq!(left, [b"before".to_vec(), b"large".to_vec()]);
    assert_eq!(state(&engine)[&(0, b"large".to_vec())].1, Some(NOW + 9));
}

#[test]
fn a_member_that_is_there_twice_is_damage_however_far_apart() {
    let member = |i: usize| string(format!("member {i}").as_bytes());
    for (kind, tail) in
        [(kinds::SET, vec![]), (kinds::HASH, string(b"v")), (kinds::ZSET_2, 1f64.to_le_bytes().to_vec())]
    {
        for (count, again) in [(3, 2), (40, 0), (900, 0), (900, 890)] {
            let mut body = len(count + 1);
            (0..count as usize).for_each(|i| body.extend([member(i), tail.clone()].concat()));
            body.extend([member(again), tail.clone()].concat());
            let file = File::redis(10).key(kind, b"k", &body).end();
            let dir = tempfile::tempdir().unwrap();
            let engine = open(dir.path());
            let failed = bring(&engine, &file, &plan(Existing::Refuse)).unwrap_err();
            assert!(matches!(failed.error, Error::Twice { .. }), "{kind} {count}: {}", failed.error);
            let left: Vec<_> = state(&engine).into_keys().filter(|(_, key)| key != WORKSHOP).collect();
            assert!(left.is_empty(), "{kind} {count}");
        }
    }
}

#[test]
fn what_is_not_taken_is_counted() {
    let module = [len(0), vec![0]].concat();
    let file = File::redis(11).aux("redis-ver", "7.2.4").aux("aof-base", "1").raw([245]).raw(string(b"code"));
    let file = file.key(kinds::MODULE_2, b"m", &module).key(kinds::MODULE_2, b"n", &module).expire_s(5);
    let file = file.key(kinds::STRING, b"old", &string(b"v")).key(kinds::LIST, b"none", &len(0));
    let early = [len(2), len(5), string(b"f"), string(b"v"), len(0), string(b"g"), string(b"v")].concat();
    let file = file.key(kinds::HASH_METADATA_EARLY, b"h", &early).end();
    let summary = check(&file[..], &plan(Existing::Refuse), None, &mut |_| {}).unwrap();
    assert_eq!((summary.keys(), summary.expired, summary.expired_fields, summary.empty), (1, 1, 1, 1));
    assert_eq!((summary.writer.as_str(), summary.is_base, summary.version), ("Redis 7.2.4", true, 11));
    let foreign: Vec<_> = summary.foreign.iter().map(|((what, name), n)| (*what, name.as_deref(), *n)).collect();
    assert_eq!(foreign, [(Foreign::Module, Some("AAAAAAAAA"), 2), (Foreign::Function, None, 1)]);
}

#[test]
fn a_key_with_the_name_of_the_workshop_is_refused() {
    let file = File::redis(10).key(kinds::STRING, WORKSHOP, &string(b"v")).end();
    assert!(matches!(check(&file[..], &plan(Existing::Keep), None, &mut |_| {}), Err(Error::Reserved(_))));
}

#[test]
fn caches_take_what_belongs_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let change = KeyspaceChange {
        mode: Some(Mode::Cache),
        patterns: Some(vec![b"c:*".to_vec()]),
        ram_bytes: Some(4 << 20),
        disk_bytes: Some(8 << 20),
        ..KeyspaceChange::default()
    };
    engine.define_keyspace("c", &change).unwrap();
    let large = Model::Set((0..3000).map(|i: i32| format!("member {i}").into_bytes()).collect());
    let body = large.encodings().remove(0).2;
    let file = File::redis(10).key(kinds::SET, b"c:large", &body).key(kinds::SET, b"logged", &body);
    let file = (0..200).fold(file, |f, i| f.key(kinds::STRING, format!("c:{i}").as_bytes(), &string(b"v"))).end();
    let summary = bring(&engine, &file, &plan(Existing::Refuse)).unwrap();
    assert_eq!(summary.done, Done { written: 202, ..Done::default() });
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::All, 0, NOW, &mut recycled);
    for key in [&b"c:large"[..], b"logged"] {
        assert_eq!(context.state.set(key).unwrap().unwrap().len().unwrap(), 3000);
    }
    assert!(context.state.exists(b"c:199").unwrap());
}

#[test]
fn progress_goes_up_to_the_end() {
    let pairs: Vec<String> = (0..2000).map(|i| format!("key {i}")).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|key| (&key[..], "v")).collect();
    let file = strings(&pairs);
    let mut seen: Vec<Progress> = Vec::new();
    check(&file[..], &plan(Existing::Refuse), None, &mut |at| seen.push(at)).unwrap();
    assert!(seen.len() > 3 && seen.is_sorted_by_key(|at| (at.bytes, at.keys)));
    assert_eq!(seen.last(), Some(&Progress { bytes: file.len() as u64, keys: 2000 }));
}

#[test]
fn a_log_that_fails_ends_the_import() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.set_batch_bytes(100);
    let failed = bring(&engine, &strings(&[("k", &"v".repeat(300))]), &plan(Existing::Refuse)).unwrap_err();
    assert!(matches!(failed.error, Error::Refused(_)), "{}", failed.error);
    assert_eq!(failed.done, Done::default());
}

#[test]
fn fields_that_expire_during_the_import_take_nothing_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    // By the plan they are alive, by the engine's clock they are not.
    let plan = Plan { now_ms: NOW - 10, ..plan(Existing::Refuse) };
    let hash = |living: usize| {
        let field =
            |i: usize| (format!("{i:06}").into_bytes(), (b"v".to_vec(), Some(NOW - 5).filter(|_| i < 900 - living)));
        Model::Hash((0..900).map(field).collect())
    };
    for (key, living) in [("some", 100), ("none", 0)] {
        let encodings = hash(living).encodings();
        let file = File::of(encodings[0].0).key(encodings[0].1, key.as_bytes(), &encodings[0].2).end();
        let summary = bring(&engine, &file, &plan).unwrap();
        assert_eq!(summary.done, Done { written: 1, ..Done::default() });
    }
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::All, 0, NOW, &mut recycled);
    assert_eq!(context.state.hash(b"some").unwrap().unwrap().len().unwrap(), 100);
    assert!(!context.state.exists(b"none").unwrap() && !context.state.exists(WORKSHOP).unwrap());
}
