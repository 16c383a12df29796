//! Checkpoints while others write: the rows are what was there at the flip, and with the log behind them what was there in
//! the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::{Deadline, ItemValue, Kind, ListPos, Merge, Op, Patch, Side};
use proptest::prelude::*;

use super::take_with;
use crate::{AtRest, Context, Digest, Engine, Keyring, Lock, Options, Recycled, Stop};

mod backups;
mod caches;
mod expiry;
mod faults;
mod room;
mod wide;

/// Elements of a value that takes several parts; as a list it is not packed.
const MANY: u32 = 800;

/// One change, by small numbers.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Elements, or bytes, are written over or added.
    Write {
        db: u8,
        key: u8,
        from: u16,
        count: u16,
    },
    /// Elements go.
    Drop {
        db: u8,
        key: u8,
        from: u16,
        count: u16,
    },
    /// A number is added to one element: what must not happen twice.
    Count {
        db: u8,
        key: u8,
        from: u16,
    },
    /// A string, whatever was there before.
    Set {
        db: u8,
        key: u8,
        bytes: u16,
    },
    Remove {
        db: u8,
        key: u8,
    },
    Replace {
        db: u8,
        key: u8,
        large: bool,
    },
    Rename {
        from: (u8, u8),
        to: (u8, u8),
    },
    Expire {
        db: u8,
        key: u8,
        after_ms: u16,
    },
    /// Fields with a deadline, if the key is a hash or is not there.
    Fields {
        db: u8,
        key: u8,
        from: u16,
        count: u16,
        after_ms: u16,
    },
    Pass {
        ms: u16,
    },
    Flush {
        db: u8,
    },
    FlushAll,
    Swap,
    /// Small keys of one shard are written: more than a chunk has room for.
    Many {
        db: u8,
        from: u16,
        count: u16,
    },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let db = || prop_oneof![3 => Just(0u8), 1 => Just(1u8)];
    let key = || 0u8..8;
    let from = || 0u16..MANY as u16;
    let count = || prop_oneof![3 => 1u16..20, 1 => 1u16..500];
    prop_oneof![
        8 => (db(), key(), from(), count()).prop_map(|(db, key, from, count)| Step::Write { db, key, from, count }),
        8 => (db(), key(), from(), count()).prop_map(|(db, key, from, count)| Step::Drop { db, key, from, count }),
        3 => (db(), key(), 0u16..9000).prop_map(|(db, key, bytes)| Step::Set { db, key, bytes }),
        2 => (db(), key()).prop_map(|(db, key)| Step::Remove { db, key }),
        2 => (db(), key(), any::<bool>()).prop_map(|(db, key, large)| Step::Replace { db, key, large }),
        6 => ((db(), key()), (db(), key())).prop_map(|(from, to)| Step::Rename { from, to }),
        2 => (db(), key(), 1u16..40).prop_map(|(db, key, after_ms)| Step::Expire { db, key, after_ms }),
        2 => (1u16..30).prop_map(|ms| Step::Pass { ms }),
        4 => (db(), key(), from()).prop_map(|(db, key, from)| Step::Count { db, key, from }),
        3 => (db(), key(), from(), count(), 1u16..40)
            .prop_map(|(db, key, from, count, after_ms)| Step::Fields { db, key, from, count, after_ms }),
    ]
}

/// An engine under a clock of its own.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    clock: Arc<AtomicI64>,
}

pub(crate) fn name(key: u8) -> Vec<u8> {
    format!("key:{key}").into_bytes()
}

pub(crate) fn element(n: u32) -> Vec<u8> {
    format!("element:{n}").into_bytes()
}

/// The kind that a key gets when it is made.
fn kind_of(key: u8) -> Kind {
    [Kind::Set, Kind::Hash, Kind::ZSet, Kind::List, Kind::String][usize::from(key) % 5]
}

fn options(clock: &Arc<AtomicI64>) -> Options {
    let time = Arc::clone(clock);
    let mut options = Options::new(Arc::new(move || time.load(Ordering::Relaxed)), [7; 22]);
    options.log.segment_bytes = 1 << 20;
    options
}

impl Bench {
    pub(crate) fn open(dir: &std::path::Path, clock: &Arc<AtomicI64>) -> Self {
        Self::open_with(dir, clock, None)
    }

    fn open_with(dir: &std::path::Path, clock: &Arc<AtomicI64>, keyring: Option<&Keyring>) -> Self {
        let bench = Self::open_cold(dir, clock, keyring);
        bench.engine.fill().unwrap();
        bench
    }

    /// Nothing is in memory that nobody has asked for.
    pub(crate) fn open_cold(dir: &std::path::Path, clock: &Arc<AtomicI64>, keyring: Option<&Keyring>) -> Self {
        let options = Options { keyring: keyring.cloned(), fills: false, ..options(clock) };
        Self { engine: Engine::open(dir, options).unwrap(), clock: Arc::clone(clock) }
    }

    /// The same, where the process may allocate so many bytes; 0: as many as it likes.
    pub(crate) fn open_bounded(dir: &std::path::Path, clock: &Arc<AtomicI64>, memory: u64) -> Self {
        let options = Options { memory, fills: false, ..options(clock) };
        Self { engine: Engine::open(dir, options).unwrap(), clock: Arc::clone(clock) }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Does the steps in one context and commits it, or takes all of it back.
    pub(crate) fn run(&self, steps: &[Step], commit: bool) {
        let mut recycled = Recycled::new();
        for step in steps {
            if let Step::Pass { ms } = step {
                self.clock.fetch_add(i64::from(*ms), Ordering::Relaxed);
            }
        }
        let mut at_rest = AtRest::default();
        loop {
            let mut context = self.engine.context(Lock::All, 0, self.now_ms(), &mut recycled);
            context.know(&at_rest);
            let stepped = steps.iter().try_for_each(|step| {
                emit(&mut context, step, self.now_ms())?;
                context.settle_written()?;
                context.savepoint();
                Ok(())
            });
            match stepped {
                Ok(()) if commit => drop(context.commit().unwrap()),
                Ok(()) => context.abort(),
                Err(stop) => {
                    context.abort();
                    self.load(&stop, &mut at_rest);
                    continue;
                }
            }
            break;
        }
        crate::keeper::reclaim(&self.engine.shared, self.now_ms());
    }

    pub(crate) fn digest(&self) -> Digest {
        self.look(|state| state.digest())
    }

    /// Looks at the state of database 0, again if it misses what is at rest.
    pub(crate) fn look<R>(&self, look: impl Fn(&crate::State<'_>) -> Result<R, Stop>) -> R {
        let (mut recycled, mut at_rest) = (Recycled::new(), AtRest::default());
        loop {
            let mut context = self.engine.context(Lock::All, 0, self.now_ms(), &mut recycled);
            context.know(&at_rest);
            let looked = look(&context.state);
            context.abort();
            match looked {
                Ok(seen) => return seen,
                Err(stop) => self.load(&stop, &mut at_rest),
            }
        }
    }

    fn load(&self, stop: &Stop, at_rest: &mut AtRest) {
        let Stop::Miss(miss) = stop else { panic!("{stop:?}") };
        self.engine.load(miss, (0, self.now_ms()), std::iter::empty(), at_rest).unwrap();
    }

    /// Takes a checkpoint; `pause` runs between two steps, and says whether it is to go on. Answers of which position it is.
    pub(crate) fn checkpoint(&self, pause: &mut dyn FnMut() -> bool) -> Option<wal::Position> {
        match take_with(&self.engine.shared, pause) {
            Ok(report) => {
                let noted = crate::Identity::load(&self.engine.shared.dir).unwrap().unwrap().durable;
                assert!(noted >= report.position.get(), "a log that does not reach the rows would not be noticed");
                Some(report.position)
            }
            Err(crate::CheckpointError::Stopped) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn validate(&self) {
        for shard in &self.engine.shared.shards {
            let shard = shard.lock();
            for tables in shard.dbs.iter().flatten() {
                assert!(!tables.changes.is_frozen(), "something was left behind");
                for entry in tables.table.iter() {
                    assert!(entry.is_at_rest() || !crate::shard::is_empty_collection(entry), "an empty collection");
                    tables.changes.validate(shard.epoch, self.engine.shared.order_of(entry.key()), entry.stamp());
                }
            }
        }
        for shard in &self.engine.shared.shards {
            for entry in shard.lock().dbs.iter().flatten().flat_map(|tables| tables.table.iter()) {
                assert!(!entry.is_frozen(), "an image was left behind");
                entry.validate();
            }
        }
    }
}

pub(crate) fn emit(context: &mut Context<'_>, step: &Step, now_ms: i64) -> Result<(), Stop> {
    match *step {
        Step::Write { db, key, from, count } => write(context, db, key, u32::from(from), u32::from(count))?,
        Step::Drop { db, key, from, count } => drop_some(context, db, key, u32::from(from), u32::from(count))?,
        Step::Count { db, key, from } => count_up(context, db, key, u32::from(from))?,
        Step::Set { db, key, bytes } => {
            context.select(db);
            let fresh = !context.state.exists(&name(key))?;
            let value = vec![bytes as u8; usize::from(bytes)];
            context.out.emit(&name(key), fresh, Op::Set { value: &value, deadline: Deadline::Clear });
        }
        Step::Remove { db, key } => {
            context.select(db);
            if context.state.exists(&name(key))? {
                context.out.remove(&name(key));
            }
        }
        Step::Replace { db, key, large } => {
            context.select(db);
            if context.state.exists(&name(key))? {
                context.out.remove(&name(key));
                context.savepoint();
            }
            write(context, db, key, 7, if large { MANY } else { 3 })?;
        }
        Step::Rename { from, to } => {
            context.select(from.0);
            if from != to && context.state.exists(&name(from.1))? {
                context.out.rename(&name(from.1), to.0, &name(to.1));
            }
        }
        Step::Expire { db, key, after_ms } => {
            context.select(db);
            if context.state.exists(&name(key))? {
                context.out.emit(&name(key), false, Op::Expire(Some(now_ms + i64::from(after_ms))));
            }
        }
        Step::Fields { db, key, from, count, after_ms } => {
            context.select(db);
            let kind = context.state.kind(&name(key))?;
            if kind.is_none_or(|kind| kind == Kind::Hash) {
                let mut items = context.out.items(Kind::Hash, Merge::LastWriter);
                for n in u32::from(from)..u32::from(from) + u32::from(count) {
                    items.push(effect::Item { id: &element(n), value: ItemValue::Bytes(b"for a while") });
                }
                let deadline = Deadline::At(now_ms + i64::from(after_ms));
                let put = Op::Put { kind: Kind::Hash, merge: Merge::LastWriter, deadline, items: items.seq() };
                context.out.emit(&name(key), kind.is_none(), put);
            }
        }
        Step::Pass { .. } => {}
        Step::Flush { db } => {
            context.select(db);
            context.out.emit(b"", false, Op::FlushDb);
        }
        Step::Many { db, from, count } => {
            context.select(db);
            for n in from..from.saturating_add(count) {
                let (key, value) = (format!("{{shard}}{n}"), format!("{n} of {count}"));
                let fresh = !context.state.exists(key.as_bytes())?;
                context.out.emit(key.as_bytes(), fresh, Op::Patch(Patch::Append(value.as_bytes())));
            }
        }
        Step::FlushAll => context.out.emit(b"", false, Op::FlushAll),
        Step::Swap => context.out.swap_dbs(0, 1),
    }
    Ok(())
}

fn write(context: &mut Context<'_>, db: u8, key: u8, from: u32, count: u32) -> Result<(), Stop> {
    context.select(db);
    let key_name = name(key);
    let found = context.state.kind(&key_name)?;
    let fresh = found.is_none();
    let kind = found.unwrap_or(kind_of(key));
    let numbers = from..from + count;
    match kind {
        Kind::String => {
            let bytes = vec![from as u8; 64 * count as usize];
            let offset = u64::from(from) * 64;
            context.out.emit(&key_name, fresh, Op::Patch(Patch::Write { offset, bytes: &bytes }));
        }
        Kind::List => {
            let me = context.out.origin().0;
            let (side, first) = match from % 2 {
                0 => (Side::Tail, ListPos::after_tail(last(context, &key_name)?.as_ref(), me)),
                _ => (Side::Head, ListPos::before_head(first(context, &key_name)?.as_ref(), me)),
            };
            let mut values = context.out.ids();
            numbers.clone().for_each(|n| values.push(&element(n)));
            context.out.emit(&key_name, fresh, Op::Push { side, first, values: values.seq() });
            let at = context.state.list(&key_name)?.map(|list| list.position(from as usize)).transpose()?.flatten();
            if let Some(pos) = at {
                context.out.emit(&key_name, false, Op::SetAt { pos, value: b"set" });
            }
        }
        _ => {
            let mut items = context.out.items(kind, Merge::LastWriter);
            for n in numbers {
                let (id, value) = (element(n), (n + count).to_string().into_bytes());
                let value = match kind {
                    Kind::Set => ItemValue::Member,
                    Kind::ZSet => ItemValue::Score(f64::from(n % 97 + count)),
                    _ => ItemValue::Bytes(&value),
                };
                items.push(effect::Item { id: &id, value });
            }
            let put = Op::Put { kind, merge: Merge::LastWriter, deadline: Deadline::Clear, items: items.seq() };
            context.out.emit(&key_name, fresh, put);
        }
    }
    Ok(())
}

fn count_up(context: &mut Context<'_>, db: u8, key: u8, n: u32) -> Result<(), Stop> {
    context.select(db);
    let (key_name, id) = (name(key), element(n));
    let (kind, merge, value) = match context.state.kind(&key_name)? {
        Some(Kind::Hash) => (Kind::Hash, Merge::AddInt, ItemValue::Int(3)),
        Some(Kind::ZSet) => {
            let from = context.state.zset(&key_name)?.map_or(Ok(None), |zset| zset.score(&id))?.unwrap_or(0.0);
            (Kind::ZSet, Merge::AddFloat, ItemValue::ScoreDelta { from, to: from + 3.0 })
        }
        _ => return Ok(()),
    };
    let mut items = context.out.items(kind, merge);
    items.push(effect::Item { id: &id, value });
    context.out.emit(&key_name, false, Op::Put { kind, merge, deadline: Deadline::Clear, items: items.seq() });
    Ok(())
}

fn first(context: &Context<'_>, key: &[u8]) -> Result<Option<ListPos>, Stop> {
    context.state.list(key)?.map_or(Ok(None), |list| list.first_position())
}

fn last(context: &Context<'_>, key: &[u8]) -> Result<Option<ListPos>, Stop> {
    context.state.list(key)?.map_or(Ok(None), |list| list.last_position())
}

fn drop_some(context: &mut Context<'_>, db: u8, key: u8, from: u32, count: u32) -> Result<(), Stop> {
    context.select(db);
    let key_name = name(key);
    let Some(kind) = context.state.kind(&key_name)? else { return Ok(()) };
    match kind {
        Kind::String => {
            context.out.emit(&key_name, false, Op::Patch(Patch::Append(&vec![3; count as usize])));
        }
        Kind::List => {
            let range = from as usize..(from + count) as usize;
            let runs = context.state.list(&key_name)?.map(|list| list.runs(range)).transpose()?.unwrap_or_default();
            let mut seq = context.out.runs();
            runs.iter().for_each(|(first, len)| seq.push((first.clone(), *len)));
            context.out.emit(&key_name, false, Op::Cut(seq.seq()));
        }
        _ => {
            let mut ids = context.out.ids();
            (from..from + count).for_each(|n| ids.push(&element(n)));
            context.out.emit(&key_name, false, Op::Drop { kind, ids: ids.seq() });
        }
    }
    Ok(())
}

/// What is done at one pause: some steps, and whether they are committed. Then some pauses pass with nothing done.
pub(crate) type Act = (Vec<Step>, bool, u8);

/// A step on a whole database.
fn whole() -> impl Strategy<Value = Step> {
    prop_oneof![4 => (0u8..2).prop_map(|db| Step::Flush { db }), 1 => Just(Step::FlushAll), 4 => Just(Step::Swap)]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let steps = prop::collection::vec(step(), 1..4);
    prop::collection::vec((steps, prop::bool::weighted(0.85), 0u8..4), 0..40)
}

/// The same, with whole databases emptied and exchanged all the time, by themselves and among other steps.
pub(crate) fn rough_acts() -> impl Strategy<Value = Vec<Act>> {
    let steps = prop::collection::vec(prop_oneof![5 => step(), 1 => whole()], 1..5);
    prop::collection::vec((steps, prop::bool::weighted(0.85), 0u8..3), 0..60)
}

/// Few steps, with whole databases emptied and exchanged, on the keys of one shard.
fn crowded_acts() -> impl Strategy<Value = Vec<Act>> {
    let many = (0u8..2, 0u16..1500, 1u16..500).prop_map(|(db, from, count)| Step::Many { db, from, count });
    let one = prop_oneof![4 => many, 2 => whole(), 1 => step()];
    prop::collection::vec((prop::collection::vec(one, 1..3), prop::bool::weighted(0.85), 0u8..3), 0..12)
}

fn restart_shows_what_was_there(acts: Vec<Act>) {
    restart_after(&[], vec![acts]);
}

/// The digest of what the rows alone hold, without the log behind them.
fn digest_of_rows(bench: &Bench, now_ms: i64) -> Digest {
    let dir = tempfile::tempdir().unwrap();
    let alone = Bench::open(dir.path(), &Arc::new(AtomicI64::new(now_ms)));
    let rows = bench.engine.shared.checkpoints.rows(&bench.engine.shared).unwrap();
    let books = super::books::Books::read(&rows).unwrap().unwrap().expect("a checkpoint has come into force");
    alone.engine.shared.set_physical(&books.head.dbs);
    super::load::load_keys(&alone.engine.shared, &rows, crate::residency::Fill::Count).unwrap();
    alone.digest()
}

/// Checkpoints, one behind the other, each with steps in its pauses and some behind it; one that runs out of steps to wait
/// for may be told to stop.
fn restart_after(first: &[Step], rounds: Vec<Vec<Act>>) {
    restart_with(None, first, rounds);
}

fn restart_with(keyring: Option<&Keyring>, first: &[Step], rounds: Vec<Vec<Act>>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let open = || Bench::open_with(dir.path(), &clock, keyring);
    let bench = open();
    bench.engine.set_reclaiming(false);
    for key in 0..6 {
        bench.run(&[Step::Write { db: 0, key, from: 0, count: MANY as u16 }], true);
    }
    if !first.is_empty() {
        bench.run(first, true);
    }
    for (round, acts) in rounds.into_iter().enumerate() {
        let stops = acts.len() % 5 == 4;
        let mut acts = VecDeque::from(acts);
        let (mut wait, mut pauses) = (0, 0);
        let at_flip = (bench.digest(), bench.now_ms());
        let ended = bench.checkpoint(&mut || {
            pauses += 1;
            if wait > 0 {
                wait -= 1;
            } else if let Some((steps, commit, then_wait)) = acts.pop_front() {
                bench.run(&steps, commit);
                wait = then_wait;
            } else {
                return !stops;
            }
            true
        });
        bench.validate();
        if ended.is_some() {
            assert!(bench.engine.log().first() > wal::Position::START, "the log was cut");
            assert_eq!(
                digest_of_rows(&bench, at_flip.1),
                at_flip.0,
                "round {round}: the rows are not the state at the flip"
            );
        }
        for (steps, commit, _) in acts {
            bench.run(&steps, commit);
        }
    }
    let before = bench.digest();
    bench.engine.close().unwrap();
    let again = open();
    again.validate();
    assert_eq!(again.digest(), before);
    assert!(again.checkpoint(&mut || true).is_some(), "what was loaded can be written");
    assert_eq!(again.digest(), before);
    let next_seq = |bench: &Bench| bench.engine.log().lock().state().next_seq;
    let next = next_seq(&again);
    again.engine.close().unwrap();
    let last = open();
    assert_eq!((last.digest(), next_seq(&last)), (before, next), "numbers of effects are not given twice");
    drop(last);
    assert_eq!(crate::inspect(dir.path(), keyring).unwrap().faults, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn encrypted_checkpoints_are_as_exact(rounds in prop::collection::vec(rough_acts(), 1..4)) {
        restart_with(Some(&envelope::testing::keyring(&[1])), &[], rounds);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("ANABRANCH_CHECKPOINT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(40),
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    })]

    #[test]
    fn checkpoints_taken_while_large_values_change_are_exact(rounds in prop::collection::vec(acts(), 1..4)) {
        restart_after(&[], rounds);
    }

    #[test]
    fn checkpoints_taken_while_databases_are_emptied_and_exchanged_are_exact(
        rounds in prop::collection::vec(rough_acts(), 1..4),
    ) {
        restart_after(&[], rounds);
    }

    #[test]
    fn a_shard_of_which_some_steps_are_of_before_and_some_of_after_a_flush_is_exact(
        rounds in prop::collection::vec(crowded_acts(), 1..4),
    ) {
        let full = [0, 1].map(|db| Step::Many { db, from: 0, count: 1300 });
        restart_after(&full, rounds);
    }
}

#[test]
fn keys_written_after_a_flush_are_kept_wherever_in_a_shard_the_checkpoint_was() {
    let (flush, many) = (Step::Flush { db: 0 }, |count| Step::Many { db: 0, from: 0, count });
    for late in 0..6 {
        for acts in [
            vec![vec![flush.clone()], vec![many(1200)]],
            vec![vec![flush.clone(), many(1200)]],
            vec![vec![many(40), flush.clone(), many(700)], vec![Step::Swap]],
            vec![vec![flush.clone(), many(900)], vec![flush.clone(), many(800)]],
        ] {
            let begin = (0..late).map(|_| (vec![Step::Pass { ms: 1 }], true, 0));
            let acts = begin.chain(acts.into_iter().map(|steps| (steps, true, 0))).collect();
            restart_after(&[many(1300)], vec![acts]);
        }
    }
}

#[test]
fn a_checkpoint_ends_however_often_databases_are_emptied_and_exchanged() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let bench = Bench::open(dir.path(), &clock);
    let (write, wholes) = (
        |n: u16| Step::Write { db: (n % 2) as u8, key: (n % 8) as u8, from: n % 300, count: MANY as u16 },
        [Step::Flush { db: 0 }, Step::Swap, Step::Flush { db: 1 }, Step::FlushAll],
    );
    (0..8).for_each(|n| bench.run(&[write(n)], true));
    let mut pauses = 0;
    bench.checkpoint(&mut || {
        pauses += 1;
        assert!(pauses < 5000, "the checkpoint begins again and again");
        bench.run(&[wholes[usize::from(pauses) % 4].clone(), write(pauses), write(pauses + 1)], true);
        true
    });
    assert!(pauses > 8, "it was disturbed: {pauses}");
    bench.validate();
    let before = bench.digest();
    bench.engine.close().unwrap();
    assert_eq!(Bench::open(dir.path(), &clock).digest(), before);
}

#[test]
fn a_key_renamed_behind_the_checkpoint_again_and_again_is_kept() {
    // Whether the checkpoint misses a name depends on which of the two holds the value as it comes by.
    for (one, other, late) in [(1, 7, 0), (1, 7, 1), (0, 6, 0), (0, 6, 1), (5, 7, 0), (5, 7, 1)] {
        let there_and_back = (0..100).map(|n| {
            let (from, to) = if n % 2 == 0 { ((0, one), (0, other)) } else { ((0, other), (0, one)) };
            (vec![Step::Rename { from, to }], true, 0)
        });
        let begin = (0..late).map(|_| (vec![Step::Pass { ms: 1 }], true, 0));
        restart_shows_what_was_there(begin.chain(there_and_back).collect());
    }
}

#[test]
fn a_name_that_is_owed_does_not_take_back_what_moved_away_from_it() {
    for late in 0..30 {
        let begin = (0..late).map(|_| (vec![Step::Pass { ms: 1 }], true, 0));
        let renames = [((0, 0), (1, 0)), ((0, 1), (0, 0))].map(|(from, to)| (vec![Step::Rename { from, to }], true, 0));
        restart_shows_what_was_there(begin.chain(renames).collect());
    }
}

#[test]
fn a_checkpoint_does_not_begin_within_a_transaction_that_changes_databases_as_a_whole() {
    for whole in [Step::Flush { db: 0 }, Step::Swap] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let bench = Bench::open(dir.path(), &clock);
        bench.run(&[Step::Write { db: 0, key: 0, from: 0, count: 10 }], true);
        let (mut recycled, shared) = (Recycled::new(), Arc::clone(&bench.engine.shared));
        let mut context = bench.engine.context(Lock::All, 0, bench.now_ms(), &mut recycled);
        emit(&mut context, &whole, bench.now_ms()).unwrap();
        context.savepoint();
        let checkpoint = std::thread::spawn(move || take_with(&shared, &mut || true).map(drop));
        // It begins meanwhile, or, as it should, waits.
        for _ in 0..100_000 {
            if bench.engine.shared.checkpoints.active.load(Ordering::Acquire) {
                break;
            }
            std::thread::yield_now();
        }
        emit(&mut context, &Step::Write { db: 0, key: 1, from: 0, count: 10 }, bench.now_ms()).unwrap();
        context.commit().unwrap();
        drop(context);
        checkpoint.join().unwrap().unwrap();
        let before = bench.digest();
        drop(bench);
        assert_eq!(Bench::open(dir.path(), &clock).digest(), before, "{whole:?}");
    }
}

#[test]
fn a_checkpoint_of_what_the_one_before_has_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let bench = Bench::open(dir.path(), &clock);
    bench.run(&[Step::Write { db: 0, key: 0, from: 0, count: 10 }], true);
    bench.engine.log().finish().unwrap();
    let positions = [(); 2].map(|()| take_with(&bench.engine.shared, &mut || true).unwrap().position);
    assert_eq!(positions[0], positions[1], "nothing was written between the two");
    let before = bench.digest();
    drop(bench);
    assert_eq!(Bench::open(dir.path(), &clock).digest(), before);
}

#[test]
fn a_clean_stop_is_known_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let mut origins = std::collections::HashSet::new();
    for key in 0..3 {
        let bench = Bench::open(dir.path(), &clock);
        bench.run(&[Step::Write { db: 0, key, from: 0, count: 10 }], true);
        origins.insert(bench.engine.shared.origin());
        bench.engine.close().unwrap();
    }
    assert_eq!(origins.len(), 1, "who ended well goes on under the same name");
}
