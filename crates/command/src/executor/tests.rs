//! The executor with commands that are made up for it.

use std::sync::{Arc, Mutex};

use effect::{Batches, Deadline, Op};
use engine::{Engine, EventClass, Options, Place, ShardId, Sight, Stop};
use resp::{ArgRanges, Args, Decoder, OwnedArgs, Protocol, Reply};

use super::{Call, Done, Executed, Executor, Fetch, Host, Queued, Ran, Wait};
use crate::cx::{Cx, Env};
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};
use crate::table;

/// Changes its key and the one after it in every way, answers a part, and then refuses.
static CHANGES_AND_REFUSES: Spec = Spec {
    name: "changesandrefuses",
    arity: 3,
    flags: Flags::WRITE,
    keys: Keys::TWO,
    group: Group::String,
    since: "test",
    complexity: "O(1)",
    summary: "Emits effects and refuses.",
    syntax: "key key",
    run: Run::Data(change_and_refuse),
};

/// The same, but that what it emitted has been applied when it refuses.
static CHANGES_READS_AND_REFUSES: Spec =
    Spec { name: "changesreadsandrefuses", run: Run::Data(change_read_and_refuse), ..CHANGES_AND_REFUSES };

fn change_and_refuse(cx: &mut Cx<'_, '_>) -> Outcome {
    let (first, second) = (&cx.args[1], &cx.args[2]);
    cx.out.emit(first, true, Op::Set { value: b"never", deadline: Deadline::Clear });
    cx.out.remove(second);
    cx.reply.simple("never");
    Err(Stop::error("ERR made up"))
}

fn change_read_and_refuse(cx: &mut Cx<'_, '_>) -> Outcome {
    change_and_refuse(cx).expect_err("it refuses");
    engine::settle(cx.state, cx.out);
    assert_eq!(cx.state.string(&cx.args[1])?, Some(&b"never"[..]), "it is applied");
    change_and_refuse(cx)
}

struct NoSession;

impl Host for NoSession {
    fn select(&mut self, _: &Queued<'_>) -> Option<u8> {
        None
    }
    fn session(&mut self, _: &Queued<'_>, _: &mut Reply<'_>) {
        panic!("there are data commands only");
    }
    fn each_watched(&self, _: &mut dyn FnMut(&[u8])) {}
    fn unchanged(&mut self, _: &mut engine::Context<'_>) -> Result<bool, Stop> {
        Ok(true)
    }
}

const NOW_MS: i64 = 1_700_000_000_000;

/// An executor, and the events that it told of.
struct Bench {
    executor: Executor,
    events: Arc<Mutex<Vec<String>>>,
    dir: tempfile::TempDir,
    /// When the next command runs; the keeper's clock stands still.
    now_ms: i64,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let engine = Self::open(&dir);
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        engine.set_event_sink(Box::new(move |event, _| {
            let key = String::from_utf8_lossy(&event.key).into_owned();
            told.lock().expect("no test panics while it notes").push(format!("{} {key}", event.name));
        }));
        Self { executor: Executor::new(Arc::new(engine), Arc::new(Env::default()), 42), events, dir, now_ms: NOW_MS }
    }

    fn open(dir: &tempfile::TempDir) -> Engine {
        let options = Options::new(Arc::new(|| NOW_MS), [7; 22]);
        Engine::open(dir.path(), options).expect("the engine opens")
    }

    fn call<'a>(&self, spec: &'static Spec, args: Args<'a>) -> Call<'a> {
        Call { spec, args, db: 0, protocol: Protocol::Resp2, now_ms: self.now_ms }
    }

    /// Runs one command; its reply as bytes.
    fn run(&mut self, spec: &'static Spec, words: &[&str]) -> String {
        let args: OwnedArgs = words.iter().collect();
        let mut out = Vec::new();
        let call = self.call(spec, args.as_args());
        let ran = self.executor.run(&call, Wait::No, Fetch::Here, &mut out);
        assert!(matches!(ran, Ran::Done(_)));
        String::from_utf8(out).expect("replies are text")
    }

    fn line(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        self.run(table::find(words[0].as_bytes()).expect("a known command"), &words)
    }

    /// The operations in the log, a line a batch.
    fn logged(&self) -> Vec<String> {
        let log = self.executor.engine().log();
        log.write_out().expect("the log can be written");
        let mut reader = log.reader(log.first()).expect("the log can be read");
        let mut lines = Vec::new();
        while let Some(record) = reader.next().expect("the log is whole") {
            for batch in Batches::decode(record.payload) {
                let ops = batch.expect("a batch is well-formed").effects().map(|effect| {
                    let effect = effect.expect("an effect is well-formed");
                    format!("{} {:?}", effect.key.escape_ascii(), effect.op)
                });
                lines.push(ops.collect::<Vec<_>>().join("; "));
            }
        }
        lines
    }

    fn digest(engine: &Engine, now_ms: i64) -> engine::Digest {
        let mut recycled = engine::Recycled::new();
        let context = engine.context(engine::Lock::All, 0, now_ms, &mut recycled);
        context.state.digest().expect("nothing misses here")
    }

    /// What a restart finds is what is there.
    fn check_restart(self) {
        let engine = Arc::clone(self.executor.engine());
        drop(self.executor);
        let before = Self::digest(&engine, self.now_ms);
        Arc::into_inner(engine).expect("nobody else holds the engine").close().expect("the log can be closed");
        assert_eq!(Self::digest(&Self::open(&self.dir), self.now_ms), before);
    }
}

fn both() -> [&'static Spec; 2] {
    [&CHANGES_AND_REFUSES, &CHANGES_READS_AND_REFUSES]
}

#[test]
fn nothing_remains_of_a_command_that_changes_and_refuses_in_a_transaction() {
    for spec in both() {
        for events in [EventClass::default(), EventClass::STRING.and(EventClass::GENERIC)] {
            let mut bench = Bench::new();
            bench.executor.engine().want_events(events);
            bench.line("SET second kept");
            bench.events.lock().expect("nothing panicked").clear();
            let words = [vec!["SET", "before", "1"], vec![spec.name, "first", "second"], vec!["SET", "after", "2"]];
            let args: Vec<OwnedArgs> = words.iter().map(|words| words.iter().collect()).collect();
            let specs = [table::find(b"set").expect("SET is known"), spec, table::find(b"set").expect("SET is known")];
            let queue = specs.iter().zip(&args).map(|(spec, args)| Queued { spec, args: args.as_args() });
            let queue: Vec<Queued<'_>> = queue.collect();
            let mut out = Vec::new();
            let call = bench.call(specs[0], args[0].as_args());
            let ran = bench.executor.exec(&queue, &call, Fetch::Here, &mut NoSession, &mut out);
            let Executed::Done(Done { failed, .. }) = ran else { panic!("it ran to its end") };
            assert_eq!(String::from_utf8_lossy(&out), "*3\r\n+OK\r\n-ERR made up\r\n+OK\r\n");
            assert!(!failed, "the transaction itself went well");

            let logged = bench.logged();
            assert_eq!(logged.len(), 2, "{logged:?}");
            let keys: Vec<_> = logged[1].split("; ").map(|op| op.split(' ').next()).collect();
            assert_eq!(keys, [Some("before"), Some("after")], "{logged:?}");
            assert_eq!(bench.line("GET first"), "$-1\r\n");
            assert_eq!(bench.line("GET second"), "$4\r\nkept\r\n");
            assert_eq!(bench.line("GET after"), "$1\r\n2\r\n");
            let told = bench.events.lock().expect("nothing panicked").clone();
            let expected: &[&str] = if events == EventClass::default() { &[] } else { &["set before", "set after"] };
            assert_eq!(told, expected, "{}", spec.name);
            bench.check_restart();
        }
    }
}

/// Where events are wanted its context is committed all the same if they have something to tell: here that a key had expired.
#[test]
fn nothing_remains_of_a_command_that_changes_and_refuses_on_its_own() {
    let all = EventClass::STRING.and(EventClass::GENERIC).and(EventClass::EXPIRED);
    for spec in both() {
        for (events, told) in [(EventClass::default(), &[][..]), (all, &["expired second"][..])] {
            let mut bench = Bench::new();
            bench.line("SET second gone PX 10");
            bench.line("SET third kept");
            bench.executor.engine().want_events(events);
            let before = bench.logged();
            for key in ["second", "third"] {
                bench.now_ms = NOW_MS + 10;
                assert_eq!(bench.run(spec, &[spec.name, "first", key]), "-ERR made up\r\n");
                assert_eq!(bench.logged(), before, "nothing is logged");
                assert_eq!(*bench.events.lock().expect("nothing panicked"), told);
                assert_eq!(bench.line("GET first"), "$-1\r\n");
                assert_eq!(bench.line("GET third"), "$4\r\nkept\r\n");
            }
            // The next command has the same buffers.
            bench.line("SET later 1");
            let logged = bench.logged();
            assert_eq!(logged.len(), before.len() + 1);
            assert!(logged[before.len()].starts_with("later ") && !logged[before.len()].contains("; "), "{logged:?}");
            bench.check_restart();
        }
    }
}

/// A command with what was noted for it ahead of time.
fn noted(bench: &mut Bench, line: &str, place: Place) -> String {
    let mut frame = Vec::new();
    resp::write_command(&mut frame, line.split(' ').collect::<Vec<_>>());
    let mut ranges = ArgRanges::new();
    let decoded = Decoder::new().decode(&frame, &resp::Limits::default(), &mut ranges);
    assert!(matches!(decoded, Ok(resp::Progress::Command { .. })), "{decoded:?}");
    ranges.set_note(Some(place.into()));
    let args = ranges.view(&frame);
    let spec = table::find(&args[0]).expect("a known command");
    let mut out = Vec::new();
    let call = bench.call(spec, args);
    let ran = bench.executor.run(&call, Wait::No, Fetch::Here, &mut out);
    assert!(matches!(ran, Ran::Done(_)));
    String::from_utf8(out).expect("replies are text")
}

fn foreseen(bench: &Bench, keys: &[&str]) -> Vec<Place> {
    let sights: Vec<_> = keys.iter().map(|key| Sight { key: key.as_bytes(), next: [None; 2] }).collect();
    bench.executor.engine().foresee(0, &sights).into_vec()
}

#[test]
fn commands_with_foreseen_places_do_what_they_do_without() {
    let mut bench = Bench::new();
    // Rows of one key, keys that come again, the empty key, and more than one look ahead has room for.
    let keys: Vec<String> = (0..40).map(|n| format!("key:{}", n / 3 % 7)).chain([String::new()]).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for round in 0..2 {
        let places = foreseen(&bench, &keys);
        assert_eq!(places.len(), keys.len());
        for (n, (key, place)) in keys.iter().zip(places).enumerate() {
            assert_eq!(noted(&mut bench, &format!("SET {key} {round}:{n}"), place), "+OK\r\n");
            assert!(bench.line(&format!("GET {key}")).contains(&format!("{round}:{n}")), "found without a note");
            assert!(noted(&mut bench, &format!("GET {key}"), place).contains(&format!("{round}:{n}")));
        }
    }
    assert_eq!(bench.line("DBSIZE"), ":8\r\n", "no key is there twice");
    bench.check_restart();
}

/// What is noted is taken as it is, for it is made beside the command; where it is not that of the key, tests stop.
#[test]
#[cfg(debug_assertions)]
fn a_command_with_the_place_of_another_key_does_not_run() {
    for (mine, other) in [("one", "two"), ("{tag}one", "{tag}two")] {
        let mut bench = Bench::new();
        let wrong = foreseen(&bench, &[other])[0];
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            noted(&mut bench, &format!("SET {mine} 1"), wrong);
        }));
        assert!(ran.is_err(), "{mine} was looked for at the place of {other}");
    }
}

/// A session that watches a key, and notes whether it was asked while nobody could change that.
struct Watching {
    shard: ShardId,
    was_locked: bool,
}

const WATCHED: &[u8] = b"not there, and not named";

impl Host for Watching {
    fn select(&mut self, _: &Queued<'_>) -> Option<u8> {
        None
    }
    fn session(&mut self, _: &Queued<'_>, _: &mut Reply<'_>) {
        panic!("there are data commands only");
    }
    fn each_watched(&self, see: &mut dyn FnMut(&[u8])) {
        see(WATCHED);
    }
    fn unchanged(&mut self, context: &mut engine::Context<'_>) -> Result<bool, Stop> {
        self.was_locked = context.holds(self.shard);
        Ok(true)
    }
}

/// It could change behind the question and before EXEC in the log, which would have succeeded all the same.
#[test]
fn nobody_changes_what_is_watched_while_exec_runs() {
    let mut bench = Bench::new();
    let args: OwnedArgs = ["SET", "another", "1"].into_iter().collect();
    let spec = table::find(b"SET").expect("a command");
    let queue = [Queued { spec, args: args.as_args() }];
    let shard = bench.executor.engine().shard_of(WATCHED);
    assert_ne!(shard, bench.executor.engine().shard_of(b"another"), "else it would be locked anyway");
    let (mut host, mut out) = (Watching { shard, was_locked: false }, Vec::new());
    let call = bench.call(spec, args.as_args());
    bench.executor.exec(&queue, &call, Fetch::Here, &mut host, &mut out);
    assert!(host.was_locked);
    assert_eq!(out, b"*1\r\n+OK\r\n");
}
