//! Clients, each with keys of its own, while others evict, bring in, take checkpoints and stop them: each finds what it has written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use effect::{Deadline, Op, Patch};

use super::*;
use crate::checkpoint::take_with;
use crate::{AtRest, Context, Engine, Lock, Options, Recycled, Stop};

const CLIENTS: u64 = 3;
const STEPS: u64 = 3000;
const KEYS: u64 = 300;

type Model = HashMap<Vec<u8>, Vec<u8>>;

/// A sequence of numbers that looks random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn open(dir: &std::path::Path) -> Engine {
    let mut options = Options::new(Arc::new(|| 1_000_000), [7; 22]);
    options.log.segment_bytes = 1 << 20;
    options.memory = 1 << 20;
    let engine = Engine::open(dir, options).unwrap();
    let looks = AtomicU64::new(0);
    // Now memory is full, now there is room.
    engine
        .set_memory_gauge(Arc::new(move || if looks.fetch_add(1, Ordering::Relaxed) & 64 == 0 { 1 << 20 } else { 0 }));
    engine
}

/// Runs `run` until it misses nothing, and commits what it emits.
fn run<R>(engine: &Engine, keys: &[&[u8]], mut run: impl FnMut(&mut Context<'_>) -> Result<R, Stop>) -> R {
    let mut shards: Vec<_> = keys.iter().map(|key| engine.shard_of(key)).collect();
    shards.sort();
    shards.dedup();
    let (mut recycled, mut at_rest) = (Recycled::new(), AtRest::default());
    for _ in 0..10_000 {
        let mut context = engine.context(Lock::Some(&shards), 0, 1_000_000, &mut recycled);
        context.know(&at_rest);
        match run(&mut context).and_then(|result| context.settle_written().map(|()| result)) {
            Ok(result) => {
                context.commit().unwrap();
                return result;
            }
            Err(Stop::Miss(miss)) => {
                context.abort();
                engine.load(&miss, (0, 1_000_000), keys.iter().copied(), &mut at_rest).unwrap();
            }
            Err(stop) => panic!("{stop:?}"),
        }
    }
    panic!("it ran again and again");
}

fn get(engine: &Engine, key: &[u8]) -> Option<Vec<u8>> {
    run(engine, &[key], |context| Ok(context.state.string(key)?.map(<[u8]>::to_vec)))
}

fn client(engine: &Engine, number: u64, model: &mut Model) {
    let mut dice = Dice(number);
    let name = |n: u64| format!("{number}:{n}").into_bytes();
    for step in 0..STEPS {
        let (key, other) = (name(dice.roll(KEYS)), name(dice.roll(KEYS)));
        let value = format!("{number} {step}").into_bytes();
        match dice.roll(8) {
            0 | 1 => {
                run(engine, &[&key], |context| {
                    let fresh = !context.state.exists(&key)?;
                    context.out.emit(&key, fresh, Op::Set { value: &value, deadline: Deadline::Clear });
                    Ok(())
                });
                model.insert(key, value);
            }
            2 => {
                run(engine, &[&key], |context| {
                    let fresh = !context.state.exists(&key)?;
                    context.out.emit(&key, fresh, Op::Patch(Patch::Append(&value)));
                    Ok(())
                });
                model.entry(key).or_default().extend(value);
            }
            3 => {
                run(engine, &[&key], |context| {
                    context.state.exists(&key)?.then(|| context.out.remove(&key));
                    Ok(())
                });
                model.remove(&key);
            }
            4 if key != other => {
                run(engine, &[&key, &other], |context| {
                    context.state.exists(&key)?.then(|| context.out.rename(&key, 0, &other));
                    Ok(())
                });
                if let Some(value) = model.remove(&key) {
                    model.insert(other, value);
                }
            }
            _ => assert_eq!(get(engine, &key), model.get(&key).cloned(), "{}", key.escape_ascii()),
        }
    }
}

#[test]
fn clients_find_what_they_have_written_whatever_comes_and_goes_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let mut models: Vec<Model> = (0..CLIENTS).map(|_| Model::new()).collect();
    for _ in 0..2 {
        let engine = open(dir.path());
        let done = AtomicBool::new(false);
        let is_done = || done.load(Ordering::Acquire);
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .zip(&mut models)
                .map(|(number, model)| {
                    scope.spawn({
                        let engine = &engine;
                        move || client(engine, number, model)
                    })
                })
                .collect();
            scope.spawn(|| {
                let mut hand = Hand::default();
                while !is_done() {
                    engine.shared.evict_idle(1 << 12, &mut hand);
                    std::thread::yield_now();
                }
            });
            scope.spawn(|| {
                while !is_done() {
                    engine.fill().unwrap();
                    std::thread::yield_now();
                }
            });
            scope.spawn(|| {
                for round in 0.. {
                    let mut pauses = 0;
                    let taken = take_with(&engine.shared, &mut || {
                        pauses += 1;
                        round % 3 != 2 || pauses < 100
                    });
                    assert!(matches!(taken, Ok(_) | Err(crate::CheckpointError::Stopped)), "{taken:?}");
                    if is_done() {
                        break;
                    }
                }
            });
            let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
            done.store(true, Ordering::Release);
            ended.into_iter().for_each(|ended| ended.unwrap());
        });
        let all = |engine: &Engine| {
            for (number, model) in (0..CLIENTS).zip(&models) {
                for key in (0..KEYS).map(|n| format!("{number}:{n}").into_bytes()) {
                    assert_eq!(get(engine, &key), model.get(&key).cloned(), "{}", key.escape_ascii());
                }
            }
            let keys: usize = models.iter().map(Model::len).sum();
            assert_eq!(engine.key_counts(0).keys, keys as u64);
        };
        all(&engine);
        engine.log().sync().unwrap();
        drop(engine);
        all(&open(dir.path()));
    }
}
