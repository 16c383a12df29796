//! Damage of any object is an error that names it.

use archive::seal::{KeyPair, Sealer};
use archive::storage::{Name, Storage};
use archive::{open_sealed, store_sealed};
use std::io::Read;

use crate::bench::{Bench, digest};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.steps(0..200);
    bench.take(false).unwrap();
    bench.steps(1000..1300);
    bench.take(false).unwrap();
    bench
}

fn assert_named(bench: &Bench, name: &Name, what: &str) {
    match bench.restore(None, None) {
        Err(error) => assert!(error.to_string().contains(name.as_str()), "{what} of {name}: {error}"),
        Ok(_) => panic!("{what} of {name} was not noticed"),
    }
}

/// Removed, cut, changed, exchanged, or sealed anew by somebody who has the public key.
#[test]
fn damage_of_any_object_is_an_error_that_names_it() {
    let bench = bench();
    let objects = bench.objects();
    let count = |kind: &str| objects.iter().filter(|name| name.as_str().contains(kind)).count();
    assert!(count("rows-") > 2 && count("log-") > 2 && count("manifest") == 2, "{objects:?}");
    for (n, name) in objects.iter().enumerate() {
        let good = bench.memory.get_bytes(name, 1 << 20).unwrap();
        bench.memory.delete(name).unwrap();
        if name.as_str().ends_with("manifest") && n + 1 == objects.len() {
            let (restored, _) = bench.restore(None, None).unwrap();
            assert_eq!(&restored.backup, bench.list()[0].backup(), "without its manifest it is none");
        } else {
            assert_named(&bench, name, "removing");
        }
        for at in [0, 30, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            bench.memory.put(name, &bad).unwrap();
            assert_named(&bench, name, "a flipped bit");
        }
        bench.memory.put(name, &good[..good.len() - 1]).unwrap();
        assert_named(&bench, name, "a cut");
        let other = &objects[(n + 1) % objects.len()];
        let others = bench.memory.get_bytes(other, 1 << 20).unwrap();
        bench.memory.put(name, &others).unwrap();
        assert_named(&bench, name, "exchanging");
        let opener = archive::seal::Opener::new(bench.keys.private.clone());
        bench.memory.put(name, &good).unwrap();
        let mut plain = Vec::new();
        open_sealed(&*bench.memory, &opener, name).unwrap().read_to_end(&mut plain).unwrap();
        *plain.last_mut().unwrap() ^= 1;
        let sealer = Sealer::new(bench.keys.public.clone());
        store_sealed(&*bench.memory, &sealer, name, &mut &plain[..]).unwrap();
        assert_named(&bench, name, "sealing other bytes");
        bench.memory.put(name, &good).unwrap();
    }
    assert_eq!(bench.restore(None, None).unwrap().1, digest(bench.engine()));
}

#[test]
fn another_key_opens_nothing() {
    let mut bench = bench();
    bench.keys = KeyPair::generate().unwrap();
    let error = bench.restore(None, None).unwrap_err().to_string();
    assert!(error.contains(&bench.keys.private.fingerprint().to_string()), "{error}");
}
