//! The bytes do not change: golden files, made by an independent program from the drawings in the modules' first lines.
//! Each is decoded to what is stated here, and what is stated here is encoded to each.

mod support;

use effect::codec::Left;
use effect::{
    Batch, BatchBuf, Batches, Deadline, Dot, GroupId, HashSeed, Hlc, KeyHash, Kind, ListPos, Merge, Mode, Op, Origin,
    PathStep, Side, Slot,
};
use support::{Act, Bound, Change, Value, Whole};

const HOME: u64 = 0x0102_0304_0506_0007;
const OTHER: u64 = 0x0a0b_0c0d_0e0f_0001;
/// Unix ms.
const DEADLINE: i64 = 1_700_000_000_123;

fn bytes_of(text: &str) -> Vec<u8> {
    let digits = text.lines().flat_map(|line| line.split('#').next().unwrap_or("").bytes());
    let digits: Vec<u8> = digits.filter(|byte| !byte.is_ascii_whitespace()).collect();
    let nibble = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

fn dot(origin: u64, seq: u64) -> Dot {
    Dot { origin: Origin(origin), seq }
}

fn pos(epoch: i64, origin: u64, n: i64, path: &[(i64, u64)]) -> ListPos {
    let path = path.iter().map(|&(digit, origin)| PathStep { digit, origin }).collect();
    ListPos { epoch, origin, n, path }
}

/// A path of the golden file: digits from -32 on, both origins in turn.
fn long_path(steps: usize) -> Vec<(i64, u64)> {
    (0..steps).map(|i| (i as i64 - 32, if i % 2 == 1 { OTHER } else { HOME })).collect()
}

/// The file holds these effects in one batch, to the byte.
fn holds(text: &str, changes: &[Change]) {
    let golden = bytes_of(text);
    let batch = Batch::decode(&golden).expect("a batch");
    assert_eq!((batch.group, batch.first, batch.hlc), (GroupId(3), dot(HOME, 9), Hlc(1_700_000_000_000 << 16 | 5)));
    assert_eq!((batch.first.origin.node(), batch.first.origin.incarnation()), (0x0102_0304_0506, 7));
    assert_eq!((batch.hlc.ms(), batch.context.is_none(), batch.trace), (1_700_000_000_000, true, None));
    assert_eq!(batch.len(), changes.len() as u64);
    let decoded: Vec<Change> = batch.effects().map(|effect| Change::of(&effect.expect("an effect"))).collect();
    for (decoded, stated) in decoded.iter().zip(changes) {
        assert_eq!(*decoded, stated.clone().flat());
    }
    let mut buf = BatchBuf::new(GroupId(3), Origin(HOME));
    changes.iter().for_each(|change| change.show(HOME, |effect| buf.push(effect)));
    buf.stamp(9, Hlc(1_700_000_000_000 << 16 | 5));
    assert_eq!(hex(buf.encoded()), hex(&golden));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An effect on `key` of the first database that knows nothing of others.
fn on(key: &[u8], act: Act) -> Change {
    Change { keyspace: 0, db: 0, key: key.to_vec(), fresh: false, deps: Vec::new(), act }
}

fn on_k(act: Act) -> Change {
    on(b"k", act)
}

#[test]
fn effects_on_strings() {
    let value: Vec<u8> = (0..200).collect();
    holds(
        include_str!("golden/strings.hex"),
        &[
            on_k(Act::Set(b"hello".to_vec(), Deadline::Clear)),
            Change {
                keyspace: 300,
                db: 15,
                fresh: true,
                ..on(b"{tag}key", Act::Set(Vec::new(), Deadline::At(DEADLINE)))
            },
            Change { deps: vec![dot(HOME, 1), dot(OTHER, 300)], ..on_k(Act::Set(value, Deadline::Keep)) },
            on_k(Act::AddInt(-1)),
            on_k(Act::AddInt(i64::MAX)),
            Change { fresh: true, ..on_k(Act::AddInt(i64::MIN)) },
            on_k(Act::AddDecimal(b"-0.1".to_vec())),
            on_k(Act::MaxBytes(vec![0, 0xff])),
            on_k(Act::Append(b"tail".to_vec())),
            on_k(Act::Write(1000, b"mid".to_vec())),
            on_k(Act::Bits(7, 1, 1)),
            on_k(Act::Bits(1 << 32, 64, u64::MAX)),
        ],
    );
}

#[test]
fn effects_on_elements() {
    let put = |kind, merge, deadline, items: &[(&[u8], Value)]| {
        let items = items.iter().map(|(id, value)| (id.to_vec(), value.clone())).collect();
        on_k(Act::Put(kind, merge, deadline, items))
    };
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let score = |score: f64| Value::Score(score.to_bits());
    let (clear, keep) = (Deadline::Clear, Deadline::Keep);
    let drop = |kind| on_k(Act::Drop(kind, vec![b"x".to_vec(), Vec::new()]));
    let infinity = f64::INFINITY;
    holds(
        include_str!("golden/elements.hex"),
        &[
            put(Kind::Hash, Merge::LastWriter, keep, &[(b"f", bytes(b"v")), (b"", bytes(b""))]),
            put(Kind::Hash, Merge::LastWriter, Deadline::At(-1), &[(b"f", bytes(b"v"))]),
            put(Kind::Hash, Merge::AddInt, keep, &[(b"n", Value::Int(-300))]),
            put(Kind::Hash, Merge::AddFloat, keep, &[(b"n", Value::Decimal(b"2.50".to_vec()))]),
            put(Kind::Hash, Merge::MaxInt, clear, &[(b"n", Value::Int(64))]),
            put(Kind::Hash, Merge::FirstWriter, clear, &[(b"f", bytes(b"first"))]),
            put(Kind::Hash, Merge::MaxBytes, clear, &[(b"f", bytes(&[0x80]))]),
            Change {
                fresh: true,
                ..put(
                    Kind::Set,
                    Merge::LastWriter,
                    clear,
                    &[(b"a", Value::Member), (b"b", Value::Member), (b"c", Value::Member)],
                )
            },
            put(
                Kind::ZSet,
                Merge::LastWriter,
                clear,
                &[(b"a", score(infinity)), (b"b", score(-infinity)), (b"c", score(-0.0)), (b"d", score(5e-324))],
            ),
            put(Kind::ZSet, Merge::AddFloat, clear, &[(b"m", Value::ScoreDelta(0.1f64.to_bits(), 0.3f64.to_bits()))]),
            put(Kind::Set, Merge::LastWriter, clear, &[]),
            drop(Kind::Hash),
            drop(Kind::Set),
            drop(Kind::ZSet),
            on_k(Act::FieldDeadlines(vec![(b"f".to_vec(), Some(DEADLINE)), (b"g".to_vec(), None)])),
        ],
    );
}

#[test]
fn effects_on_lists_and_every_form_of_a_position() {
    let long = |steps| on_k(Act::SetAt(pos(0, OTHER, 1, &long_path(steps)), b"x".to_vec()));
    holds(
        include_str!("golden/lists.hex"),
        &[
            on_k(Act::Push(Side::Tail, pos(0, HOME, 0, &[]), vec![b"a".to_vec(), Vec::new()])),
            Change { fresh: true, ..on_k(Act::Push(Side::Head, pos(-2, OTHER, -70, &[]), vec![b"h".to_vec()])) },
            on_k(Act::Insert(pos(0, HOME, 5, &[(0, OTHER)]), b"between".to_vec())),
            on_k(Act::SetAt(pos(1, HOME, 1 << 62, &[(-1, HOME), (i64::MAX, OTHER)]), b"new".to_vec())),
            long(61),
            long(62),
            long(64),
            on_k(Act::Cut(vec![(pos(0, HOME, 3, &[]), 1000), (pos(7, OTHER, -1, &[(4, HOME)]), 1)])),
        ],
    );
}

#[test]
fn whole_values_and_snapshots() {
    let list = Whole::List(vec![
        (pos(0, HOME, -1, &[]), vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]),
        (pos(0, HOME, 1, &[(0, OTHER)]), vec![b"d".to_vec()]),
    ]);
    let hash = vec![(b"f".to_vec(), b"v".to_vec(), None), (b"g".to_vec(), b"w".to_vec(), Some(DEADLINE))];
    let zset = vec![(b"one".to_vec(), 1f64.to_bits()), (b"low".to_vec(), f64::NEG_INFINITY.to_bits())];
    let replace = |value, deadline| on_k(Act::Replace(value, deadline));
    holds(
        include_str!("golden/whole.hex"),
        &[
            replace(Whole::String(b"text".to_vec()), Deadline::Clear),
            replace(list.clone(), Deadline::Keep),
            replace(Whole::Hash(hash), Deadline::At(DEADLINE)),
            replace(Whole::Set(vec![b"x".to_vec(), Vec::new(), b"zz".to_vec()]), Deadline::Clear),
            Change { fresh: true, ..replace(Whole::ZSet(zset), Deadline::Clear) },
            replace(Whole::Hash(Vec::new()), Deadline::Clear),
            on_k(Act::Snapshot {
                hlc: 1_700_000_000_000 << 16 | 1,
                writer: dot(OTHER, 1 << 40),
                value: list,
                deadline: None,
            }),
            on_k(Act::Snapshot { hlc: 1, writer: dot(HOME, 1), value: Whole::String(Vec::new()), deadline: Some(-5) }),
        ],
    );
}

#[test]
fn effects_on_keys_and_databases() {
    holds(
        include_str!("golden/keys.hex"),
        &[
            on_k(Act::Expire(Some(DEADLINE))),
            Change { deps: vec![dot(OTHER, u64::MAX)], ..on_k(Act::Expire(None)) },
            Change { fresh: true, ..on_k(Act::Remove) },
            on_k(Act::Rename(u16::MAX, u8::MAX, b"target".to_vec())),
            on_k(Act::Noop),
            Change { db: 3, ..on(b"", Act::FlushDb) },
            on(b"", Act::FlushAll),
            Change { db: 1, ..on(b"", Act::SwapDb(200)) },
        ],
    );
}

#[test]
fn binds_verdicts_and_leaders() {
    let keys = vec![
        Bound {
            written: true,
            read: true,
            keyspace: 0,
            db: 0,
            key: b"w".to_vec(),
            left: Some(Left { kind: Kind::Hash, deadline: Some(1_700_000_000_000) }),
        },
        Bound { written: false, read: true, keyspace: 1, db: 4, key: b"r".to_vec(), left: None },
    ];
    let anonymous = |act| on(b"", act);
    holds(
        include_str!("golden/transactions.hex"),
        &[
            anonymous(Act::Bind {
                exclusive: true,
                is_unsafe: false,
                voters: vec![1, 300],
                context: vec![dot(OTHER, 128)],
                keys,
            }),
            anonymous(Act::Bind {
                exclusive: false,
                is_unsafe: true,
                voters: Vec::new(),
                context: Vec::new(),
                keys: Vec::new(),
            }),
            anonymous(Act::Verdict { bind: dot(OTHER, 77), committed: true, ballot: 0 }),
            anonymous(Act::Verdict { bind: dot(HOME, 78), committed: false, ballot: 300 }),
            on_k(Act::Serialize(Some(OTHER))),
            on_k(Act::Serialize(None)),
            anonymous(Act::Again(dot(OTHER, 300))),
        ],
    );
}

#[test]
fn definitions_of_keyspaces() {
    let define = |keyspace, name: &[u8], act| Change { keyspace, ..on(name, act) };
    let patterns = vec![b"page:*".to_vec(), b"{img}*".to_vec()];
    holds(
        include_str!("golden/keyspaces.hex"),
        &[
            define(1, b"pages", Act::Define(Mode::Cache, (false, false), 1, (256 << 20, 4 << 30), patterns)),
            define(300, b"s", Act::Define(Mode::Cache, (true, false), 300, (1, 0), vec![b"*".to_vec()])),
            define(1, b"pages", Act::Define(Mode::Causal, (false, true), 301, (0, 0), Vec::new())),
            define(1, b"pages", Act::Undefine),
            on(b"", Act::Moved(301)),
            define(2, b"", Act::FlushAll),
        ],
    );
}

#[test]
fn definitions_of_keyspaces_of_a_group() {
    let patterns = vec![b"cart:*".to_vec(), b"bag:*".to_vec()];
    let first = Some((1_700_000_000_000 << 16 | 5, HOME));
    holds(
        include_str!("golden/group_keyspaces.hex"),
        &[
            on(b"carts", Act::GroupDefine(true, None, patterns)),
            Change {
                deps: vec![dot(HOME, 9)],
                ..on(b"carts", Act::GroupDefine(false, first, vec![b"cart:*".to_vec()]))
            },
            on(b"default", Act::GroupDefine(true, None, Vec::new())),
            Change { deps: vec![dot(HOME, 10), dot(OTHER, 300)], ..on(b"carts", Act::GroupUndefine) },
        ],
    );
}

#[test]
fn a_record_of_three_batches() {
    let golden = bytes_of(include_str!("golden/record.hex"));
    let ms = |ms: u64, counter: u64| Hlc((1_700_000_000_000 + ms) << 16 | counter);
    let stated: [(u64, Hlc, &[&[u8]]); 3] =
        [(9, ms(0, 5), &[b"k", b""]), (11, ms(0, 7), &[b"k"]), (12, ms(1, 0), &[b"k"])];
    let mut batches = Batches::decode(&golden);
    for (seq, hlc, keys) in stated {
        let batch = batches.next().expect("three batches").expect("a batch");
        assert_eq!((batch.group, batch.first, batch.hlc), (GroupId(3), dot(HOME, seq), hlc));
        let effects = batch.effects().map(|effect| effect.expect("an effect"));
        assert!(effects.map(|effect| (effect.key, effect.op)).eq(keys.iter().map(|key| (*key, Op::Noop))));
    }
    assert!(batches.next().is_none());
    let (mut record, mut end) = (Vec::new(), None);
    for (seq, hlc, keys) in stated {
        let mut buf = BatchBuf::new(GroupId(3), Origin(HOME));
        keys.iter().for_each(|key| on(key, Act::Noop).show(HOME, |effect| buf.push(effect)));
        record.extend_from_slice(match &end {
            Some(end) => buf.extend_record(end, hlc),
            None => buf.begin_record(seq, hlc),
        });
        end = Some(buf.record_end(seq, hlc));
    }
    assert_eq!(hex(&record), hex(&golden));
}

/// Nothing writes these parts yet, so this one is only read.
#[test]
fn a_batch_with_context_and_trace_is_read() {
    let golden = bytes_of(include_str!("golden/context.hex"));
    let batch = Batch::decode(&golden).expect("a batch");
    assert_eq!((batch.group, batch.first, batch.hlc), (GroupId(u32::MAX), dot(OTHER, 1 << 63), Hlc(u64::MAX)));
    let context: Vec<Dot> = batch.context.expect("a context").iter().collect();
    assert_eq!(context, [dot(HOME, 5), dot(OTHER, i64::MAX as u64)]);
    assert_eq!(batch.trace, Some(std::array::from_fn(|i| i as u8)));
    let ops: Vec<_> = batch.effects().map(|effect| effect.expect("an effect").op).collect();
    assert_eq!(ops, [Op::Noop]);
}

#[test]
fn keys_stand_where_they_stood() {
    let seed = HashSeed(std::array::from_fn(|i| i as u8));
    let mut rows = 0;
    for line in include_str!("golden/placement.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("three words");
        let key = bytes_of(word().trim_start_matches('-'));
        let slot = Slot(word().parse().expect("a slot"));
        let hash = u64::from_str_radix(word(), 16).expect("a hash");
        let place = KeyHash::of(&seed, &key);
        assert_eq!((place, place.h32()), (KeyHash { slot, hash }, (hash >> 32) as u32), "{line}");
        rows += 1;
    }
    assert_eq!(rows, 10);
}
