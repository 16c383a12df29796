//! Replicas that stop, crash and start again in the middle of it: with checkpoints and without, and of what was not fsynced nothing is left.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::{Origin, Vector};
use engine::backup::{Base, Making, Whose};
use engine::{Engine, Identity};
use proptest::prelude::*;
use wal::format::{HEADER_BYTES, parse_segment_name};

use super::group::{Group, NOW_MS, REPLICAS, Replica, Step, open, options, words};
use super::{MEETINGS, cases, command};
use crate::executor::replicas::group::run;

/// How a node ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Clean,
    /// All that was written is there.
    Crash,
    /// What was not fsynced is lost.
    Loss,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Step(Step),
    Sync(usize),
    /// Time passes for all, so that deadlines do.
    Pass(i64),
    /// A checkpoint, and commands that run on the same replica meanwhile; whether it comes to its end.
    Checkpoint(usize, Vec<Vec<String>>, bool),
    Restart(usize, End),
    /// The second goes on with a copy of what the first has, if that is all that it has itself.
    Copy(usize, usize),
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let end = prop_oneof![1 => Just(End::Clean), 1 => Just(End::Crash), 2 => Just(End::Loss)];
    let commands = prop::collection::vec(command(), 0..12);
    prop_oneof![
        50 => super::step().prop_map(Event::Step),
        3 => (0..REPLICAS).prop_map(Event::Sync),
        2 => prop_oneof![Just(1_000), Just(600_000), Just(3_300_000)].prop_map(Event::Pass),
        3 => (0..REPLICAS, commands, prop::bool::weighted(0.8)).prop_map(|(at, commands, ends)| Event::Checkpoint(at, commands, ends)),
        3 => (0..REPLICAS, end).prop_map(|(at, end)| Event::Restart(at, end)),
        2 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, to)| Event::Copy(from, to)),
    ]
}

/// When a checkpoint is taken, of two who do something and start again.
#[derive(Debug, Clone, Copy)]
enum Checkpoint {
    Never,
    Before,
    While,
    After,
}

#[test]
fn two_who_start_again_before_they_hear_of_each_other_agree_in_the_end() {
    for (before, a, b) in MEETINGS {
        for checkpoint in [Checkpoint::Never, Checkpoint::Before, Checkpoint::While, Checkpoint::After] {
            let clock = Arc::new(AtomicI64::new(NOW_MS));
            let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
            let commands = |commands: &str| -> Vec<_> {
                commands.split(';').filter(|command| !command.is_empty()).map(words).collect()
            };
            commands(before).iter().for_each(|command| drop(run(&mut group.0[2].executor, command)));
            group.heal();
            for (at, said) in [(0, a), (1, b)] {
                clock.fetch_add(1, Ordering::Relaxed);
                let replica = &mut group.0[at];
                if let Checkpoint::Before = checkpoint {
                    replica.checkpoint(&[], true);
                }
                match checkpoint {
                    Checkpoint::While => replica.checkpoint(&commands(said), true),
                    _ => commands(said).iter().for_each(|command| drop(run(&mut replica.executor, command))),
                }
                if let Checkpoint::After = checkpoint {
                    replica.checkpoint(&[], true);
                }
                group.event(&Event::Restart(at, End::Crash));
            }
            group.heal();
            if let Err(error) = group.check() {
                panic!("{before} | {a} | {b}, {checkpoint:?}: {error}");
            }
        }
    }
}

/// Cuts the log off behind a position.
fn cut(dir: &std::path::Path, end: u64) {
    for entry in std::fs::read_dir(dir.join("log")).expect("there is a log").flatten() {
        let Some(base) = entry.file_name().to_str().and_then(parse_segment_name) else { continue };
        let path = entry.path();
        match end.checked_sub(base.get()) {
            None => std::fs::remove_file(path).expect("it can be removed"),
            Some(bytes) => {
                let file = OpenOptions::new().write(true).open(path).expect("it can be written");
                let len = file.metadata().expect("it is there").len();
                file.set_len(len.min(bytes + HEADER_BYTES as u64)).expect("it can be cut");
            }
        }
    }
}

impl Replica {
    fn checkpoint(&mut self, commands: &[Vec<String>], ends: bool) {
        // What is below it need not be read again.
        self.send();
        let engine = Arc::clone(self.executor.engine());
        // As early as can be: in front of nearly all keys.
        let mut due = commands.iter();
        let mut go_on = || {
            due.by_ref().take(4).for_each(|words| drop(run(&mut self.executor, words)));
            ends || due.len() > 0
        };
        let taken = engine.base(&mut go_on);
        assert!(taken.is_ok() || !ends, "{taken:?}");
        // It has made durable what it rests on.
        self.synced = self.synced.max(engine.checkpoint_position());
    }

    /// The same node with a copy of another's state, under an origin of its own.
    fn with_copy(self, of: &Engine) -> Self {
        let Self { executor, feeder, id, clock, dir: _gone, sent, heard, .. } = self;
        drop(feeder);
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let Base { position, last, rows, .. } = of.base(&mut || true).expect("a checkpoint is taken");
        let mut image = Vec::new();
        rows.write_to(&mut image).expect("rows can be read");
        let options = options(id, &clock);
        let making = Making::begin(dir.path(), of.hash_seed(), position, &mut &image[..], &options).expect("it begins");
        making.finish(Whose::Member, last, options).expect("it is whole");
        let before = executor.engine().origin();
        executor.engine().name_copy(dir.path()).expect("it has an identity");
        drop(executor);
        let executor = open(id, &clock, dir.path());
        let engine = executor.engine();
        engine.set_open(false);
        engine.take_origin(Origin::new(before.node(), before.incarnation() + 1)).expect("it is made durable");
        engine.set_open(true);
        // As whoever starts a member says.
        engine.set_replicating(true).expect("the log takes it");
        let feeder = engine.feed(engine.vector(), false).expect("there is a log");
        let synced = engine.log().sync().expect("the log is synced");
        let durable = engine.vector();
        Self { executor, feeder, id, clock, dir, sent, heard, durable, synced }
    }

    fn restart(self, end: End) -> Self {
        let Self { executor, feeder, id, clock, dir, sent, heard, durable, synced } = self;
        drop(feeder);
        let engine = Arc::clone(executor.engine());
        drop(executor);
        let engine = Arc::try_unwrap(engine).unwrap_or_else(|_| panic!("nobody else has it"));
        match end {
            End::Clean => engine.close().expect("it stops"),
            End::Crash => {
                engine.log().write_out().expect("the log is written");
                drop(engine);
            }
            End::Loss => {
                drop(engine);
                let known = Identity::load(dir.path()).expect("it can be read").expect("it is there");
                cut(dir.path(), synced.get().max(known.durable));
            }
        }
        let executor = open(id, &clock, dir.path());
        assert!(executor.engine().is_replicating());
        check_feed(executor.engine(), &sent);
        let feeder =
            executor.engine().feed(known(executor.engine(), &sent), false).expect("what was not sent is there");
        assert!(executor.engine().vector().covers(&durable), "something durable was lost");
        let synced = executor.engine().log().sync().expect("the log is synced");
        let durable = executor.engine().vector();
        Self { executor, feeder, id, clock, dir, sent, heard, durable, synced }
    }
}

/// All of others, and of this node what was sent.
fn known(engine: &Engine, sent: &[(engine::Fed, Vector)]) -> Vector {
    let mut known = engine.vector();
    let own: Vec<_> = known.iter().map(|dot| dot.origin).filter(|of| of.node() == engine.origin().node()).collect();
    own.into_iter().for_each(|origin| known.remove(origin));
    sent.iter().for_each(|(fed, _)| known.add(effect::Dot { seq: fed.next_seq - 1, ..fed.first }));
    known
}

/// What the log still has of this node goes out with the contexts that it went out with before.
fn check_feed(engine: &Engine, sent: &[(engine::Fed, Vector)]) {
    let opening = engine.opening().expect("the log is synced");
    for (fed, _) in sent {
        // The last record of each life is the one that its head and context are of.
        let last = effect::Dot { seq: fed.next_seq - 1, ..fed.first };
        if opening.vector.get(last.origin) == last.seq {
            assert_eq!(opening.contexts.get(&last.origin).cloned().unwrap_or_default(), fed.context, "{last:?}");
            let batch = effect::Batches::decode(&fed.record).last().expect("a batch").expect("it was read before");
            assert_eq!(opening.heads[&last.origin], batch.hlc.plus(batch.len() - 1));
        }
    }
    let mut known = Vector::new();
    for origin in opening.vector.iter().map(|dot| dot.origin) {
        // From where on the log goes back for each is found by asking.
        let Err(engine::FeedError::Gone { since: _, first, .. }) = engine.feed(known.clone(), false) else { break };
        known.add(effect::Dot { origin, seq: first });
    }
    let Ok(mut feeder) = engine.feed(known, false) else { return };
    while let Some(fed) = feeder.next_record().expect("the log can be read") {
        let Some((before, _)) = sent.iter().find(|(sent, _)| sent.first == fed.first) else { continue };
        assert_eq!(fed.context, before.context, "{:?}", fed.first);
    }
}

impl Group {
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Step(step) => self.step(step),
            Event::Sync(at) => self.0[*at].sync(),
            Event::Pass(ms) => {
                self.0[0].clock.fetch_add(*ms, Ordering::Relaxed);
                self.0.iter().for_each(|replica| replica.executor.engine().reclaim());
            }
            Event::Checkpoint(at, commands, ends) => self.0[*at].checkpoint(commands, *ends),
            Event::Restart(at, end) => {
                let replica = self.0.remove(*at).restart(*end);
                self.0.insert(*at, replica);
                self.forget_lost();
            }
            Event::Copy(from, to) => {
                self.0[*to].send();
                let engine = Arc::clone(self.0[*from].executor.engine());
                if from != to && engine.vector().covers(&self.0[*to].vector()) {
                    self.0[*from].send();
                    let replica = self.0.remove(*to).with_copy(&engine);
                    self.0.insert(*to, replica);
                    self.0[*from].synced = self.0[*from].synced.max(engine.checkpoint_position());
                }
            }
        }
    }

    /// All crash, one after the other, and are what they were.
    pub(super) fn crash_all(&mut self) -> Result<(), TestCaseError> {
        (0..REPLICAS).for_each(|id| self.event(&Event::Restart(id, End::Crash)));
        self.check()
    }

    /// What nobody has was never written.
    fn forget_lost(&mut self) {
        let all = self.0.iter().fold(Vector::new(), |mut all, replica| {
            all.join(&replica.vector());
            all
        });
        for replica in &mut self.0 {
            replica.sent.retain(|(fed, _)| all.get(fed.first.origin) >= fed.next_seq - 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replicas_that_start_again_converge_to_what_the_algebra_says(events in prop::collection::vec(event(), 1..150)) {
        let clock = Arc::new(AtomicI64::new(NOW_MS));
        let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
        for event in &events {
            clock.fetch_add(1, Ordering::Relaxed);
            group.event(event);
        }
        group.heal();
        group.check()?;
        group.crash_all()?;
        group.calm()?;
    }
}
