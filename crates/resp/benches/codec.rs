//! What reading a command and writing a reply cost.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resp::{ArgRanges, Decoder, Limits, Progress, Protocol, Reply, write_command, write_double};

fn decode_all(stream: &[u8], args: &mut ArgRanges) -> usize {
    let (mut decoder, limits) = (Decoder::new(), Limits::default());
    let (mut rest, mut total) = (stream, 0);
    while let Ok(Progress::Command { consumed }) = decoder.decode(rest, &limits, args) {
        total += args.view(rest).len();
        rest = &rest[consumed..];
    }
    total
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let mut args = ArgRanges::new();
    let value = [b'v'; 64];
    let commands: [(&str, Vec<&[u8]>); 3] = [
        ("GET", vec![b"GET", b"key:000000001234"]),
        ("SET of 64 bytes", vec![b"SET", b"key:000000001234", &value]),
        ("MSET of 20 args", [&[&b"MSET"[..]], vec![&b"key:00000001"[..]; 19].as_slice()].concat()),
    ];
    for (name, command) in commands {
        let mut stream = Vec::new();
        for _ in 0..100 {
            write_command(&mut stream, &command);
        }
        group.throughput(Throughput::Elements(100));
        group.bench_function(name, |bencher| bencher.iter(|| decode_all(black_box(&stream), &mut args)));
    }
    let inline = b"SET key:000000001234 value\r\n".repeat(100);
    group.bench_function("inline SET", |bencher| bencher.iter(|| decode_all(black_box(&inline), &mut args)));
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write");
    let mut out = Vec::with_capacity(1 << 16);
    let mut run = |name: &str, write: &dyn Fn(&mut Reply<'_>)| {
        group.throughput(Throughput::Elements(100));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                let mut reply = Reply::new(&mut out, Protocol::Resp2);
                for _ in 0..100 {
                    write(black_box(&mut reply));
                }
            });
        });
    };
    run("bulk of 64 bytes", &|reply| reply.bulk(&[b'v'; 64]));
    run("integer", &|reply| reply.int(black_box(1_234_567)));
    run("double", &|reply| reply.double(black_box(0.1234567)));
    group.finish();
    let mut text = Vec::with_capacity(64);
    criterion.bench_function("print a double", |bencher| {
        bencher.iter(|| {
            text.clear();
            write_double(&mut text, black_box(1234.567));
        });
    });
}

criterion_group!(benches, decoding, writing);
criterion_main!(benches);
