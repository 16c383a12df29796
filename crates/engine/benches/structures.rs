//! What one operation on each structure costs at a million elements.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use effect::ListPos;
use engine::value::wide::{Budget, Content, Loader, RowKey};
use engine::value::{Entry, HashSeed, Kind, Limits, Table};
use engine::wheel::Wheel;
use std::collections::HashMap;
use std::hint::black_box;

const COUNT: u64 = 1_000_000;
const SEED: HashSeed = HashSeed([11; 16]);

fn limits() -> Limits {
    Limits { seed: SEED, ..Limits::default() }
}

/// Numbers below the count in an order that no cache foresees.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % COUNT
    }
}

fn name(n: u64) -> [u8; 16] {
    let mut name = *b"key:000000000000";
    let mut rest = n;
    for digit in name[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

fn rehash(entry: &Entry) -> u64 {
    SEED.hash(entry.key())
}

/// The standard map with one allocation for the key and one for the value: what the machine gives for comparison.
fn reference(c: &mut Criterion) {
    let map: HashMap<Box<[u8]>, Box<[u8]>> = (0..COUNT).map(|n| (name(n)[..].into(), [b'v'; 64][..].into())).collect();
    let mut draw = Draw(1);
    c.bench_function("reference: get from a HashMap", |b| {
        b.iter(|| black_box(map.get(&name(draw.next())[..]).map(|value| value[0])))
    });
}

fn keyspace(c: &mut Criterion) {
    let mut table = Table::new();
    for n in 0..COUNT {
        table.insert_unique(SEED.hash(&name(n)), Entry::string(&name(n), &[b'v'; 64], None), rehash);
    }
    let mut draw = Draw(1);
    let mut group = c.benchmark_group("keyspace");
    group.bench_function("get", |b| {
        b.iter(|| {
            let key = name(draw.next());
            let entry = table.find(SEED.hash(&key), |entry| entry.key() == key);
            black_box(entry.and_then(Entry::bytes).map(|bytes| bytes[0]))
        })
    });
    group.bench_function("get of an absent key", |b| {
        b.iter(|| {
            let key = name(COUNT + draw.next());
            black_box(table.find(SEED.hash(&key), |entry| entry.key() == key).is_some())
        })
    });
    group.bench_function("set in place", |b| {
        b.iter(|| {
            let key = name(draw.next());
            let entry = table.find_mut(SEED.hash(&key), |entry| entry.key() == key);
            entry.expect("all keys are there").set_bytes(&[b'w'; 64]);
        })
    });
    group.bench_function("remove and insert", |b| {
        b.iter(|| {
            let key = name(draw.next());
            let hash = SEED.hash(&key);
            black_box(table.remove(hash, |entry| entry.key() == key, rehash));
            table.insert_unique(hash, Entry::string(&key, &[b'v'; 64], None), rehash);
        })
    });
    group.bench_function("pick", |b| b.iter(|| black_box(table.pick(draw.next()).is_some())));
    let mut from = 0;
    group.bench_function("scan one segment", |b| {
        b.iter(|| {
            let mut seen = 0;
            from = table.scan(from, rehash, |_| seen += 1).unwrap_or(0);
            black_box(seen)
        })
    });
    group.finish();
}

fn hash(c: &mut Criterion) {
    let limits = limits();
    let mut entry = Entry::empty(Kind::Hash, b"key", None);
    for n in 0..COUNT {
        entry.hash_mut(&limits).expect("a hash").insert(&name(n), &[b'v'; 8], None);
    }
    let mut draw = Draw(2);
    let mut group = c.benchmark_group("hash");
    group.bench_function("get", |b| {
        let hash = entry.hash().expect("a hash");
        b.iter(|| black_box(hash.get(&name(draw.next())).map(|field| field.value[0])))
    });
    group.bench_function("insert over", |b| {
        b.iter(|| entry.hash_mut(&limits).expect("a hash").insert(&name(draw.next()), &[b'w'; 8], None))
    });
    group.bench_function("remove and insert", |b| {
        b.iter(|| {
            let field = name(draw.next());
            let mut hash = entry.hash_mut(&limits).expect("a hash");
            hash.remove(&field);
            hash.insert(&field, &[b'v'; 8], None)
        })
    });
    let mut small = Entry::empty(Kind::Hash, b"key", None);
    for field in 0..5_u8 {
        small.hash_mut(&limits).expect("a hash").insert(&[b'f', field], b"12345678", None);
    }
    group.bench_function("packed: get", |b| {
        b.iter(|| black_box(small.hash().expect("a hash").get(&[b'f', 4]).map(|field| field.value[0])))
    });
    group.bench_function("packed: insert over", |b| {
        b.iter(|| small.hash_mut(&limits).expect("a hash").insert(&[b'f', 4], b"87654321", None))
    });
    group.finish();
}

fn set(c: &mut Criterion) {
    let limits = limits();
    let mut entry = Entry::empty(Kind::Set, b"key", None);
    for n in 0..COUNT {
        entry.set_mut(&limits).expect("a set").insert(&name(n));
    }
    let mut draw = Draw(3);
    let mut group = c.benchmark_group("set");
    group.bench_function("contains", |b| {
        let set = entry.set().expect("a set");
        b.iter(|| black_box(set.contains(&name(draw.next()))))
    });
    group.bench_function("remove and insert", |b| {
        b.iter(|| {
            let member = name(draw.next());
            let mut set = entry.set_mut(&limits).expect("a set");
            set.remove(&member);
            set.insert(&member)
        })
    });
    group.finish();
}

fn zset(c: &mut Criterion) {
    let limits = limits();
    let mut entry = Entry::empty(Kind::ZSet, b"key", None);
    let mut draw = Draw(4);
    for n in 0..COUNT {
        entry.zset_mut(&limits).expect("a sorted set").insert(&name(n), draw.next() as f64);
    }
    let mut group = c.benchmark_group("zset");
    {
        let zset = entry.zset().expect("a sorted set");
        group.bench_function("score", |b| b.iter(|| black_box(zset.score(&name(draw.next())))));
        group.bench_function("rank", |b| b.iter(|| black_box(zset.rank(&name(draw.next())))));
        group.bench_function("by rank", |b| b.iter(|| black_box(zset.by_rank(draw.next() as usize))));
        group.bench_function("100 from the middle", |b| {
            b.iter(|| {
                let start = draw.next() as usize;
                black_box(zset.range(start..start + 100).map(|found| found.map(|(_, score)| score).sum::<f64>()))
            })
        });
    }
    group.bench_function("change a score", |b| {
        b.iter(|| {
            let score = draw.next() as f64;
            entry.zset_mut(&limits).expect("a sorted set").insert(&name(draw.next()), score)
        })
    });
    group.bench_function("remove and insert", |b| {
        b.iter(|| {
            let member = name(draw.next());
            let mut zset = entry.zset_mut(&limits).expect("a sorted set");
            zset.remove(&member);
            zset.insert(&member, draw.next() as f64)
        })
    });
    group.finish();
}

fn list(c: &mut Criterion) {
    let limits = limits();
    let mut entry = Entry::empty(Kind::List, b"key", None);
    for n in 0..10 * COUNT {
        entry.list_mut(&limits).expect("a list").insert(&ListPos::new(0, 1, n as i64), &[b'v'; 8]);
    }
    let mut draw = Draw(5);
    let mut group = c.benchmark_group("list of 10 M");
    {
        let list = entry.list().expect("a list");
        group.bench_function("index", |b| b.iter(|| black_box(list.get(10 * draw.next() as usize))));
        group.bench_function("100 from the middle", |b| {
            b.iter(|| {
                let start = 10 * draw.next() as usize;
                black_box(list.range(start..start + 100).map(|found| found.map(<[u8]>::len).sum::<usize>()))
            })
        });
    }
    group.bench_function("set by position", |b| {
        b.iter(|| {
            let pos = ListPos::new(0, 1, 10 * draw.next() as i64);
            entry.list_mut(&limits).expect("a list").set(&pos, &[b'w'; 8])
        })
    });
    let mut tail = 10 * COUNT as i64;
    group.bench_function("push at the tail, pop at the head", |b| {
        b.iter(|| {
            entry.list_mut(&limits).expect("a list").insert(&ListPos::new(0, 1, tail), &[b'v'; 8]);
            tail += 1;
            let first = entry.list().expect("a list").first().expect("nothing is away").expect("it is never empty");
            entry.list_mut(&limits).expect("a list").remove(&first)
        })
    });
    group.finish();
}

/// A million elements, from rows and to rows.
fn rows(c: &mut Criterion) {
    let limits = limits();
    let mut group = c.benchmark_group("rows of a million");
    let mut names: Vec<_> = (0..COUNT).map(|n| (limits.seed.hash(&name(n)), name(n))).collect();
    names.sort();
    let load = |kind: Kind| {
        let mut loader = Loader::new(kind, b"key", None, &limits, COUNT);
        for (at, (hash, name)) in names.iter().enumerate() {
            let (key, content) = match kind {
                Kind::Hash => (RowKey::Hashed { hash: *hash, name }, Content::Field(&[b'v'; 8], None)),
                Kind::Set => (RowKey::Hashed { hash: *hash, name }, Content::Nothing),
                Kind::ZSet => (RowKey::Hashed { hash: *hash, name }, Content::Score((hash >> 20) as f64)),
                _ => (RowKey::Placed(ListPos::new(0, 1, at as i64)), Content::Bytes(&[b'v'; 8])),
            };
            loader.add(&key, content).expect("rows in order");
        }
        loader.finish(1).expect("a large value")
    };
    let image = |entry: &mut Entry| {
        let mut rows = 0;
        assert!(entry.freeze(|| 1).is_some());
        while !entry.next_rows(Budget { rows: 1000, bytes: 1 << 20 }, &mut |_| rows += 1) {}
        assert!(entry.thaw().is_some());
        rows
    };
    for kind in [Kind::Hash, Kind::Set, Kind::ZSet, Kind::List] {
        group.bench_function(format!("load a {kind:?}"), |b| {
            b.iter_batched(|| (), |()| load(kind), BatchSize::PerIteration)
        });
        let mut entry = load(kind);
        group.bench_function(format!("image of a {kind:?} at rest"), |b| b.iter(|| black_box(image(&mut entry))));
        let written = |entry: &mut Entry| {
            assert!(entry.freeze(|| 1).is_some());
            drop(entry.cancel());
        };
        group.bench_function(format!("begin and give up an image of a {kind:?}"), |b| b.iter(|| written(&mut entry)));
    }
    group.finish();
}

fn wheel(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel");
    let mut draw = Draw(6);
    let mut wheel = Wheel::new(0);
    group.bench_function("insert", |b| b.iter(|| wheel.insert(draw.next() as i64 * 100, 1)));
    group.bench_function("insert and fire a million over a day", |b| {
        b.iter_batched(
            || {
                let mut wheel = Wheel::new(0);
                (0..COUNT).for_each(|token| wheel.insert(draw.next() as i64 * 86, token));
                wheel
            },
            |mut wheel| {
                let mut fired = 0_u64;
                for second in 0..86_400 {
                    wheel.advance(second * 1000, usize::MAX, |_, _| fired += 1);
                }
                black_box(fired)
            },
            BatchSize::PerIteration,
        )
    });
    group.finish();
}

criterion_group! {
    name = structures;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2))
        .warm_up_time(std::time::Duration::from_millis(500));
    targets = reference, keyspace, hash, set, zset, list, rows, wheel
}
criterion_main!(structures);
