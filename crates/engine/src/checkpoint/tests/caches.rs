//! Checkpoints where some keys are held as cache, and definitions move them into the log and out of it.

use effect::Mode;

use super::*;
use crate::KeyspaceChange;

const MIB: u64 = 1 << 20;

#[derive(Debug, Clone)]
enum Act {
    Set {
        key: u8,
        len: u16,
    },
    Remove {
        key: u8,
    },
    Rename {
        from: u8,
        to: u8,
    },
    /// The cache has the keys of this many of the first digits, from one on.
    Define {
        first: u8,
        count: u8,
    },
    /// All values of the cache come to rest.
    Rest,
    /// A value is brought back.
    Get {
        key: u8,
    },
    FlushAll,
}

fn act() -> impl Strategy<Value = Act> {
    let key = || 0u8..40;
    let len = || prop_oneof![3 => 1u16..200, 1 => Just(9000u16)];
    prop_oneof![
        10 => (key(), len()).prop_map(|(key, len)| Act::Set { key, len }),
        4 => key().prop_map(|key| Act::Remove { key }),
        2 => (key(), key()).prop_map(|(from, to)| Act::Rename { from, to }),
        2 => (0u8..4, 1u8..3).prop_map(|(first, count)| Act::Define { first, count }),
        2 => Just(Act::Rest),
        3 => key().prop_map(|key| Act::Get { key }),
        1 => Just(Act::FlushAll),
    ]
}

fn key_name(key: u8) -> Vec<u8> {
    format!("{}:{key}", key % 4).into_bytes()
}

fn define(bench: &Bench, first: u8, count: u8) {
    let patterns = (first..first + count).map(|digit| format!("{}:*", digit % 4).into_bytes()).collect();
    let change = KeyspaceChange {
        patterns: Some(patterns),
        mode: Some(Mode::Cache),
        ram_bytes: Some(4 * MIB),
        disk_bytes: Some(4 * MIB),
        fsync: None,
    };
    bench.engine.define_keyspace("cache", &change).unwrap();
}

/// Runs a command, again if it misses what is at rest.
fn command(bench: &Bench, mut run: impl FnMut(&mut Context<'_>) -> Result<(), Stop>) {
    let mut recycled = Recycled::new();
    loop {
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        match run(&mut context) {
            Ok(()) => {
                let after = context.commit().unwrap().after;
                return after.into_iter().for_each(|after| {
                    bench.engine.finish(*after);
                });
            }
            Err(Stop::Miss(miss)) => {
                context.abort();
                bench.engine.load(&miss, (0, bench.now_ms()), std::iter::empty(), &mut Default::default()).unwrap();
            }
            Err(stop) => panic!("{stop:?}"),
        }
    }
}

/// As the layer of commands does: a key that is held elsewhere than where it belongs moves before it is written.
fn claim(context: &mut Context<'_>, key: &[u8]) -> Result<(), Stop> {
    if context.is_moving() {
        context.claim(0, key)?;
        context.savepoint();
    }
    Ok(())
}

fn run(bench: &Bench, act: &Act) {
    match *act {
        Act::Set { key, len } => command(bench, |context| {
            let key = key_name(key);
            claim(context, &key)?;
            let fresh = !context.state.exists(&key)?;
            let value = vec![len as u8; usize::from(len)];
            context.out.emit(&key, fresh, Op::Set { value: &value, deadline: Deadline::Clear });
            Ok(())
        }),
        Act::Remove { key } => command(bench, |context| {
            let key = key_name(key);
            claim(context, &key)?;
            if context.state.exists(&key)? {
                context.out.remove(&key);
            }
            context.doom_if_absent(0, &key);
            Ok(())
        }),
        Act::Rename { from, to } => command(bench, |context| {
            let (from, to) = (key_name(from), key_name(to));
            let shared = context.shared;
            let cached = |key: &[u8]| shared.keyspaces.id_of_key(key) != effect::KeyspaceId::DEFAULT;
            if from == to || cached(&from) || cached(&to) {
                return Ok(());
            }
            claim(context, &from)?;
            claim(context, &to)?;
            if context.state.exists(&from)? {
                context.out.rename(&from, 0, &to);
            }
            Ok(())
        }),
        Act::Define { first, count } => define(bench, first, count),
        Act::Rest => bench.engine.shared.keyspaces.spaces().iter().for_each(|space| bench.engine.shared.trim(space, 0)),
        Act::Get { key } => command(bench, |context| context.state.string(&key_name(key)).map(drop)),
        Act::FlushAll => command(bench, |context| {
            context.out.emit(b"", false, Op::FlushAll);
            Ok(())
        }),
    }
    bench.engine.settle();
}

fn settled(bench: &Bench) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while bench.engine.shared.keyspaces.is_moving() {
        assert!(std::time::Instant::now() < patience, "keys move for ever");
        std::thread::yield_now();
    }
}

fn history(rounds: Vec<Vec<(Act, u8)>>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let bench = Bench::open(dir.path(), &clock);
    define(&bench, 0, 1);
    (0..40).for_each(|key| run(&bench, &Act::Set { key, len: 100 }));
    for acts in rounds {
        settled(&bench);
        let at_flip = bench.digest();
        let stops = acts.len() % 4 == 3;
        let mut acts = VecDeque::from(acts);
        let mut wait = 0;
        let ended = bench.checkpoint(&mut || {
            if wait > 0 {
                wait -= 1;
            } else if let Some((act, then_wait)) = acts.pop_front() {
                run(&bench, &act);
                wait = then_wait;
            } else {
                return !stops;
            }
            true
        });
        if ended.is_some() {
            assert_eq!(digest_of_rows(&bench, bench.now_ms()), at_flip, "no cache is at rest there, and all else is");
        }
        stamps_are_noted(&bench);
        acts.iter().for_each(|(act, _)| run(&bench, act));
    }
    settled(&bench);
    stamps_are_noted(&bench);
    let before = bench.digest();
    bench.engine.close().unwrap();
    let again = Bench::open(dir.path(), &clock);
    assert_eq!(again.digest(), before);
    assert_eq!(crate::inspect(dir.path(), None).map(|report| report.faults).unwrap_or_default(), []);
    again.engine.close().unwrap();
    assert_eq!(crate::inspect(dir.path(), None).unwrap().faults, []);
}

fn stamps_are_noted(bench: &Bench) {
    for shard in &bench.engine.shared.shards {
        let shard = shard.lock();
        for tables in shard.dbs.iter().flatten() {
            assert!(!tables.changes.is_frozen(), "something was left behind");
            for entry in tables.table.iter() {
                tables.changes.validate(shard.epoch, bench.engine.shared.order_of(entry.key()), entry.stamp());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("ANABRANCH_CHECKPOINT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24),
        max_shrink_iters: 100,
        ..ProptestConfig::default()
    })]

    #[test]
    fn checkpoints_taken_while_keys_move_between_log_and_cache_are_exact(
        rounds in prop::collection::vec(prop::collection::vec((act(), 0u8..4), 0..30), 1..5),
    ) {
        history(rounds);
    }
}

#[test]
fn a_key_of_a_cache_that_a_failed_checkpoint_did_not_come_to_is_not_taken_for_changed_later() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), &Arc::new(AtomicI64::new(1_000_000)));
    define(&bench, 0, 4);
    (0..40).for_each(|key| run(&bench, &Act::Set { key, len: 100 }));
    assert!(bench.checkpoint(&mut || false).is_none(), "it is stopped");
    // There are three numbers of epochs.
    for _ in 0..3 {
        stamps_are_noted(&bench);
        bench.checkpoint(&mut || true).unwrap();
    }
    stamps_are_noted(&bench);
}
