//! What it costs to say an effect, to put its batch into a record of the log, and to read both.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use effect::codec::DotShape;
use effect::items::{BytesShape, Item, ItemShape, ItemValue};
use effect::{
    BatchBuf, BatchMark, Batches, Deadline, Effect, GroupId, HashSeed, Hlc, KeyHash, KeyspaceId, Kind, ListPos, Merge,
    Op, Origin, Seq, SeqBuf, Side,
};

const HOME: u64 = 1 << 16;
const KEY: &[u8] = b"key:000000001234";
const VALUE: [u8; 64] = [b'v'; 64];

fn on_key(op: Op<'_>) -> Effect<'_> {
    Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key: KEY, fresh: false, deps: Seq::empty(DotShape), op }
}

/// Hands an effect of each of the commonest kinds to `visit`.
fn each_effect(mut visit: impl FnMut(&str, &Effect<'_>)) {
    visit("Set of 64 bytes", &on_key(Op::Set { value: &VALUE, deadline: Deadline::Clear }));
    visit("AddInt", &on_key(Op::AddInt(1)));
    let mut values = SeqBuf::new(BytesShape);
    values.push(&VALUE);
    let first = ListPos::new(0, HOME, -1_000_000);
    visit("Push of 64 bytes", &on_key(Op::Push { side: Side::Head, first, values: values.seq() }));
    let (kind, merge) = (Kind::Hash, Merge::LastWriter);
    let mut items = SeqBuf::new(ItemShape { kind, merge });
    items.push(Item { id: b"field:000000001234", value: ItemValue::Bytes(&VALUE) });
    visit("Put of a field", &on_key(Op::Put { kind, merge, deadline: Deadline::Keep, items: items.seq() }));
}

fn batch_of(effect: &Effect<'_>) -> BatchBuf {
    let mut batch = BatchBuf::new(GroupId(0), Origin(HOME));
    batch.push(effect);
    batch
}

fn saying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("say");
    group.throughput(Throughput::Elements(1));
    each_effect(|name, effect| {
        let mut batch = batch_of(effect);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                batch.clear();
                batch.push(black_box(effect));
                batch.len()
            });
        });
    });
    group.finish();
}

fn logging(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    each_effect(|name, effect| {
        let mut batch = batch_of(effect);
        let end = batch.record_end(5, Hlc(1 << 40));
        let mut log = Vec::with_capacity(1 << 10);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                log.clear();
                log.extend_from_slice(batch.extend_record(black_box(&end), Hlc((1 << 40) + 7)));
                log.len()
            });
        });
    });
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(1));
    each_effect(|name, effect| {
        let mut batch = batch_of(effect);
        group.bench_function(format!("{name}, of its own"), |bencher| {
            bencher.iter(|| {
                let mut bytes = 0;
                batch.each_since(BatchMark::START, |effect| bytes += black_box(effect.key).len());
                bytes
            });
        });
        let record = batch.begin_record(5, Hlc(1 << 40)).to_vec();
        group.bench_function(format!("{name}, from the log"), |bencher| {
            bencher.iter(|| {
                let batches = Batches::decode(black_box(&record)).filter_map(Result::ok);
                batches.map(|batch| batch.effects().filter(Result::is_ok).count()).sum::<usize>()
            });
        });
    });
    group.finish();
}

fn placing(criterion: &mut Criterion) {
    let seed = HashSeed([7; 16]);
    criterion.bench_function("place a key", |bencher| bencher.iter(|| KeyHash::of(&seed, black_box(KEY))));
}

criterion_group!(benches, saying, logging, reading, placing);
criterion_main!(benches);
