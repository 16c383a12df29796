//! The contract of [`Storage`], as tests that hold for every place; and a run of random operations beside the model.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use archive::limits::{MOST_PAGE, MOST_WHOLE_BYTES};
use archive::storage::{Abilities, Entry, Error, Memory, Name, Storage};

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A stream of pseudo-random numbers.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(n + 4);
        while bytes.len() < n {
            bytes.extend_from_slice(&(self.roll(1 << 31) as u32).to_le_bytes());
        }
        bytes.truncate(n);
        bytes
    }
}

/// Everything. `large` is a size at which uploads take another way, in parts or through a file.
pub fn all(storage: &dyn Storage, large: usize) {
    let able = storage.abilities();
    whole(storage);
    ranges(storage);
    streams(storage, large);
    failing_source(storage, large);
    deletes(storage);
    limits(storage);
    put_new(storage, able);
    if able.list {
        lists(storage);
        odd_prefixes(storage);
    } else {
        assert!(matches!(storage.list("", None, 10), Err(Error::NotSupported(_))));
    }
    beside_the_model(storage, able, 250, 7);
}

fn names(storage: &dyn Storage, prefix: &str) -> Vec<String> {
    storage.list_all(prefix).map(|e| e.unwrap().name.to_string()).collect()
}

fn whole(storage: &dyn Storage) {
    let a = name("whole/a-b_c.d=e+f");
    assert!(matches!(storage.get(&a, 0), Err(Error::NotFound { name }) if name == a.as_str()));
    assert!(matches!(storage.head(&a), Err(Error::NotFound { .. })));
    assert!(matches!(storage.get_range(&a, 0..1), Err(Error::NotFound { .. })));
    for content in [&b"first"[..], b"", b"longer than before", &[0, 255, 10, 13]] {
        storage.put(&a, content).unwrap();
        assert_eq!(storage.get_bytes(&a, 100).unwrap(), content);
        assert_eq!(storage.head(&a).unwrap(), Entry { name: a.clone(), size: content.len() as u64 });
    }
    assert!(matches!(storage.get_bytes(&a, 3), Err(Error::TooLarge { limit: 3, .. })));
    storage.delete(&a).unwrap();
}

fn ranges(storage: &dyn Storage) {
    let a = name("ranges/a");
    storage.put(&a, b"0123456789").unwrap();
    for (start, end) in [(0, 10), (0, 1), (9, 10), (3, 7)] {
        assert_eq!(storage.get_range(&a, start..end).unwrap(), b"0123456789"[start as usize..end as usize]);
    }
    for (start, end) in [(0, 11), (9, 11), (10, 11), (50, 60)] {
        let error = storage.get_range(&a, start..end).unwrap_err();
        assert!(matches!(error, Error::BadRange { size: Some(10), .. }), "{start}..{end}: {error:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is tested")]
    for range in [3..3, 0..0, 5..4] {
        assert!(matches!(storage.get_range(&a, range), Err(Error::BadRange { .. })));
    }
    for from in 0..=10 {
        let mut object = storage.get(&a, from).unwrap();
        assert_eq!(object.size, 10);
        let mut rest = Vec::new();
        object.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"0123456789"[from as usize..]);
    }
    assert!(matches!(storage.get(&a, 11), Err(Error::BadRange { .. })));
    storage.put(&a, b"").unwrap();
    assert_eq!(storage.get(&a, 0).unwrap().into_bytes().unwrap(), b"");
    assert!(matches!(storage.get_range(&a, 0..1), Err(Error::BadRange { .. })));
    storage.delete(&a).unwrap();
}

fn streams(storage: &dyn Storage, large: usize) {
    let a = name("streams/a");
    let mut dice = Dice(1);
    for size in [0, 1, 70_000, large, large + 1, 2 * large + 77] {
        let content = dice.bytes(size);
        assert_eq!(storage.put_stream(&a, &mut &content[..]).unwrap(), size as u64);
        let mut object = storage.get(&a, 0).unwrap();
        assert_eq!(object.size, size as u64);
        let mut came = Vec::new();
        object.read_to_end(&mut came).unwrap();
        assert!(came == content, "{size} bytes came back differently");
        if size > 10 {
            let tail = storage.get(&a, size as u64 - 5).unwrap().into_bytes().unwrap();
            assert_eq!(tail, content[size - 5..]);
        }
    }
    storage.delete(&a).unwrap();
}

fn failing_source(storage: &dyn Storage, large: usize) {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the source is broken"))
        }
    }
    let a = name("source/a");
    for before in [None, Some(&b"before"[..])] {
        if let Some(before) = before {
            storage.put(&a, before).unwrap();
        }
        for size in [0, 10, large + 10] {
            let mut from = io::repeat(1).take(size as u64).chain(Broken);
            let error = storage.put_stream(&a, &mut from).unwrap_err();
            assert!(matches!(&error, Error::Source(e) if e.to_string() == "the source is broken"), "{error:?}");
            assert_eq!(storage.get_bytes(&a, 100).ok().as_deref(), before);
        }
    }
    storage.delete(&a).unwrap();
}

fn deletes(storage: &dyn Storage) {
    let a = name("deletes/deep/er/a");
    storage.delete(&a).unwrap();
    storage.put(&a, b"x").unwrap();
    storage.delete(&a).unwrap();
    storage.delete(&a).unwrap();
    assert!(matches!(storage.head(&a), Err(Error::NotFound { .. })));
    // Nothing of its folders is in the way of an object of their name.
    let above = name("deletes/deep");
    storage.put(&above, b"y").unwrap();
    storage.delete(&above).unwrap();
}

fn limits(storage: &dyn Storage) {
    let a = name("limits/a");
    let much = vec![0; MOST_WHOLE_BYTES + 1];
    assert!(matches!(storage.put(&a, &much), Err(Error::TooLarge { .. })));
    assert!(matches!(storage.put_new(&a, &much), Err(Error::TooLarge { .. })));
    assert!(matches!(storage.get_range(&a, 0..much.len() as u64), Err(Error::TooLarge { .. })));
    assert!(matches!(storage.head(&a), Err(Error::NotFound { .. })));
}

fn put_new(storage: &dyn Storage, able: Abilities) {
    let a = name("new/a");
    if !able.put_new {
        assert!(matches!(storage.put_new(&a, b"x"), Err(Error::NotSupported(_))));
        assert!(matches!(storage.head(&a), Err(Error::NotFound { .. })));
        return;
    }
    storage.put_new(&a, b"one").unwrap();
    assert!(matches!(storage.put_new(&a, b"two"), Err(Error::AlreadyExists { .. })));
    assert_eq!(storage.get_bytes(&a, 10).unwrap(), b"one");
    storage.delete(&a).unwrap();
    storage.put_new(&a, b"three").unwrap();
    storage.delete(&a).unwrap();
    for round in 0..5 {
        let b = name(&format!("new/b{round}"));
        let (won, lost) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for n in 0..4_u8 {
                let (b, won, lost) = (&b, &won, &lost);
                scope.spawn(move || match storage.put_new(b, &[n; 100]) {
                    Ok(()) => won.fetch_add(1, Ordering::Relaxed),
                    Err(Error::AlreadyExists { .. }) => lost.fetch_add(1, Ordering::Relaxed),
                    Err(error) => panic!("{error}"),
                });
            }
        });
        assert_eq!((won.into_inner(), lost.into_inner()), (1, 3));
        storage.delete(&b).unwrap();
    }
}

fn lists(storage: &dyn Storage) {
    // What sorts otherwise when folders count without their slash.
    let all = ["l/a", "l/a-", "l/a.b", "l/a0/x", "l/a0/y", "l/a0/z/1", "l/a00", "l/b-", "l/b/1", "l/b0", "l0", "m"];
    for (n, text) in all.iter().enumerate().rev() {
        storage.put(&name(text), &vec![0; n]).unwrap();
    }
    assert_eq!(names(storage, ""), all);
    for prefix in ["l", "l/", "l/a", "l/a0", "l/a0/", "l/a0/z/", "l/a0/x", "l/b", "m", "n", "l/a0/x/", "l/a0/zz"] {
        let want: Vec<_> = all.iter().filter(|n| n.starts_with(prefix)).collect();
        assert_eq!(names(storage, prefix), want.into_iter().copied().collect::<Vec<_>>(), "{prefix}");
    }
    for after in ["a", "l/a", "l/a0", "l/a0/x", "l/a0/xx", "l/a0/z/1", "l/a1", "l/b/1", "m", "z"] {
        for prefix in ["", "l/", "l/a0"] {
            for most in [1, 3, 100] {
                let want = all.iter().filter(|n| n.starts_with(prefix) && **n > after).take(most);
                let got = storage.list(prefix, Some(&name(after)), most).unwrap();
                let got: Vec<_> = got.iter().map(|e| e.name.as_str()).collect();
                assert_eq!(got, want.copied().collect::<Vec<_>>(), "{most} of {prefix} after {after}");
            }
        }
    }
    for (n, entry) in storage.list("", None, MOST_PAGE + 1).unwrap().into_iter().enumerate() {
        assert_eq!(entry.size, n as u64);
    }
    assert!(storage.list("", None, 0).unwrap().is_empty());
    all.iter().for_each(|text| storage.delete(&name(text)).unwrap());
    assert!(names(storage, "").is_empty());
}

/// A prefix is compared with names; it is never a path.
fn odd_prefixes(storage: &dyn Storage) {
    storage.put(&name("odd/a"), b"x").unwrap();
    for prefix in ["../", "/", "odd//", "odd/../", "odd/%61", "o d", "\0", "ö", ".tmp", "odd/a/../a", "//"] {
        assert!(names(storage, prefix).is_empty(), "{prefix}");
    }
    storage.delete(&name("odd/a")).unwrap();
}

/// Random operations on few names, with the same answers as [`Memory`] gives.
fn beside_the_model(storage: &dyn Storage, able: Abilities, steps: usize, seed: u64) {
    let model = Memory::new();
    let texts = ["r/a", "r/b", "r/c/1", "r/c/2", "r/c0", "r/d/e/f", "s"];
    let mut dice = Dice(seed);
    for step in 0..steps {
        let target = name(texts[dice.roll(texts.len())]);
        let size = dice.roll(300);
        let content = dice.bytes(size);
        let (start, end) = (dice.roll(300) as u64, dice.roll(300) as u64);
        let run = |on: &dyn Storage, kind: usize| -> String {
            let shown = |r: Result<String, Error>| r.unwrap_or_else(|e| format!("{:?}", std::mem::discriminant(&e)));
            match kind {
                0 => shown(on.put(&target, &content).map(|()| "put".into())),
                1 if able.put_new => shown(on.put_new(&target, &content).map(|()| "new".into())),
                2 => shown(on.put_stream(&target, &mut &content[..]).map(|n| n.to_string())),
                3 => shown(on.get(&target, start).and_then(|o| o.into_bytes()).map(|b| format!("{b:?}"))),
                4 => shown(on.get_range(&target, start..end).map(|b| format!("{b:?}"))),
                5 => shown(on.delete(&target).map(|()| "gone".into())),
                6 if able.list => shown(on.list("r/", Some(&target), 3).map(|l| format!("{l:?}"))),
                _ => shown(on.head(&target).map(|e| format!("{e:?}"))),
            }
        };
        let kind = dice.roll(9);
        assert_eq!(run(storage, kind), run(&model, kind), "step {step}, operation {kind} on {target}");
    }
    texts.iter().for_each(|text| storage.delete(&name(text)).unwrap());
}

/// A reader sees the old object or the new one, never a part or a mixture, however often it is replaced meanwhile.
pub fn whole_or_not_at_all(storage: &Arc<dyn Storage>, rounds: u8) {
    let a = name("swap/a");
    let content = |n: u8| vec![n; 50_000 + usize::from(n) * 1000];
    storage.put(&a, &content(0)).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| (1..rounds).for_each(|n| storage.put(&a, &content(n)).unwrap()));
        let mut seen = 0;
        while !writer.is_finished() || seen == 0 {
            match storage.get_bytes(&a, 1 << 20) {
                Ok(bytes) => assert!(bytes == content(bytes[0]), "a mixture"),
                Err(Error::Changed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            seen += 1;
        }
    });
    storage.delete(&a).unwrap();
}
