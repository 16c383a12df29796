//! Runs commands in tests: a real engine in a temporary directory whose state misses at random, a clock that the test
//! sets, replies as values.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use engine::{Engine, Options, PolicyKind, Ticket};
use resp::{Args, OwnedArgs, Protocol, ReplyDecoder, Value};

use crate::cx::Env;
use crate::executor::{Call, Executor, Fetch, Host, Queued, Ran, Wait};
use crate::spec::{Run, Spec};
use crate::table;

/// See the module.
pub(crate) struct Harness {
    executor: Executor,
    dir: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    /// The logical database of the commands.
    pub(crate) db: u8,
    /// The protocol of the replies.
    pub(crate) protocol: Protocol,
}

impl Harness {
    /// An empty database at 1,700,000,000,000 ms.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let executor = Self::open(&dir, &clock);
        Self { executor, dir, clock, db: 0, protocol: Protocol::Resp2 }
    }

    fn open(dir: &tempfile::TempDir, clock: &Arc<AtomicI64>) -> Executor {
        let now = Arc::clone(clock);
        let mut options = Options::new(Arc::new(move || now.load(Ordering::Relaxed)), [7; 22]);
        options.miss_at_random = Some(1);
        options.fills = false;
        // What is evicted in any order leaves the most records behind that must not come back.
        options.disk_policy = PolicyKind::Sieve;
        let engine = Engine::open(dir.path(), options).expect("the engine opens");
        Executor::new(Arc::new(engine), Arc::new(Env::default()), 42)
    }

    /// What runs the commands.
    pub(crate) fn executor(&mut self) -> &mut Executor {
        &mut self.executor
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Engine {
        self.executor.engine()
    }

    /// Goes on with a copy of the files as they are now: what a kill would have left. The old engine ends afterwards.
    pub(crate) fn crash(&mut self) {
        let copy = tempfile::tempdir().expect("a temporary directory can be made");
        self.executor.engine().log().sync().expect("the log can be synced");
        // A copy that files changed under is none of a moment.
        loop {
            let before = files_in(self.dir.path());
            let copied = copy_dir(self.dir.path(), copy.path()).is_ok();
            if copied && files_in(self.dir.path()) == before {
                break;
            }
        }
        self.executor = Self::open(&copy, &self.clock);
        self.dir = copy;
    }

    /// Lets `ms` pass.
    pub(crate) fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// Sets the clock.
    pub(crate) fn set_clock(&self, now_ms: i64) {
        self.clock.store(now_ms, Ordering::Relaxed);
    }

    /// Puts a value of another type (a set of one member) at `key`, for tests of WRONGTYPE.
    pub(crate) fn plant_set(&mut self, key: &[u8]) {
        self.emit(key, |out, key| {
            let mut ids = out.items(effect::Kind::Set, effect::Merge::LastWriter);
            ids.push(effect::items::Item { id: b"member", value: effect::items::ItemValue::Member });
            let (kind, merge) = (effect::Kind::Set, effect::Merge::LastWriter);
            out.emit(key, true, effect::Op::Put { kind, merge, deadline: effect::Deadline::Keep, items: ids.seq() });
        });
    }

    /// Commits effects on `key` that no command under test makes.
    pub(crate) fn emit(&mut self, key: &[u8], emit: impl FnOnce(&mut engine::Emitter<'_>, &[u8])) {
        let now_ms = self.clock.load(Ordering::Relaxed);
        let mut recycled = engine::Recycled::new();
        let mut context = self.executor.engine().context(engine::Lock::All, self.db, now_ms, &mut recycled);
        emit(&mut context.out, key);
        context.commit().expect("a planted value is logged");
    }

    /// The deadline of `key`: `None` if there is no such key, `Some(None)` if it has none.
    pub(crate) fn deadline(&mut self, key: &[u8]) -> Option<Option<i64>> {
        let now_ms = self.clock.load(Ordering::Relaxed);
        let mut recycled = engine::Recycled::new();
        loop {
            let context = self.executor.engine().context(engine::Lock::All, self.db, now_ms, &mut recycled);
            if let Ok(deadline) = context.state.deadline(key) {
                return deadline;
            }
        }
    }

    /// Runs a command given as words; words may be quoted as in redis-cli.
    pub(crate) fn run(&mut self, line: &str) -> Value {
        let args = resp::split_line(line.as_bytes()).expect("the line can be split");
        self.run_args(&args)
    }

    /// Runs a command given as bytes.
    pub(crate) fn run_bytes(&mut self, words: &[&[u8]]) -> Value {
        let mut args = OwnedArgs::new();
        words.iter().for_each(|word| args.push(word));
        self.run_args(&args)
    }

    /// As [`Harness::run_bytes`], for words that are owned.
    pub(crate) fn run_words(&mut self, words: &[Vec<u8>]) -> Value {
        self.run_args(&words.iter().collect::<OwnedArgs>())
    }

    fn run_args(&mut self, args: &OwnedArgs) -> Value {
        let args = args.as_args();
        let name = args.get(0).expect("a command has a name");
        let mut spec = table::find(name).unwrap_or_else(|| panic!("unknown command {}", name.escape_ascii()));
        let mut full_name = spec.name.to_owned();
        if let (Run::Container(_), true) = (spec.run, args.len() > 1) {
            spec = table::find_sub(spec, &args[1]).expect("a known subcommand");
            full_name = format!("{full_name}|{}", spec.name);
        }
        if !spec.takes(args.len()) {
            return Value::Error(crate::errors::wrong_arity(&full_name).into_bytes());
        }
        let mut out = Vec::new();
        match self.attempt(spec, args, Wait::Queue(Ticket(1)), &mut out) {
            Ran::Done(_) => decode(&out),
            Ran::Blocked { keys, .. } => {
                self.executor.engine().stop_waiting(&keys, Ticket(1));
                Value::Simple("BLOCKED".into())
            }
            Ran::Missed(_) => panic!("nobody reads for it"),
        }
    }

    fn attempt(&mut self, spec: &'static Spec, args: Args<'_>, wait: Wait, out: &mut Vec<u8>) -> Ran {
        let now_ms = self.clock.load(Ordering::Relaxed);
        let call = Call { spec, args, db: self.db, protocol: self.protocol, now_ms };
        self.executor.run(&call, wait, Fetch::Here, out)
    }

    /// Runs a command that may wait, as `wait` has it. What became of it, and its reply if it did not block. It stays
    /// queued where it blocked.
    pub(crate) fn try_line(&mut self, line: &str, wait: Wait) -> (Ran, Option<Value>) {
        let args = resp::split_line(line.as_bytes()).expect("the line can be split");
        self.try_words(&args.as_args().iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), wait)
    }

    /// As [`Harness::try_line`], for a command given as words.
    pub(crate) fn try_words(&mut self, words: &[Vec<u8>], wait: Wait) -> (Ran, Option<Value>) {
        let args: OwnedArgs = words.iter().collect();
        let spec = table::find(&words[0]).expect("a known command");
        assert!(spec.takes(words.len()), "wrong number of arguments for {}", spec.name);
        let mut out = Vec::new();
        let ran = self.attempt(spec, args.as_args(), wait, &mut out);
        let reply = matches!(ran, Ran::Done(_)).then(|| decode(&out));
        (ran, reply)
    }

    /// Runs commands as one transaction and returns the array of their replies.
    pub(crate) fn exec(&mut self, commands: &[Vec<Vec<u8>>]) -> Value {
        struct NoSession;
        impl Host for NoSession {
            fn select(&mut self, _: &Queued<'_>) -> Option<u8> {
                None
            }
            fn session(&mut self, _: &Queued<'_>, _: &mut resp::Reply<'_>) {
                panic!("no session command is run in these transactions");
            }
            fn each_watched(&self, _: &mut dyn FnMut(&[u8])) {}
            fn unchanged(&mut self, _: &mut engine::Context<'_>) -> Result<bool, engine::Stop> {
                Ok(true)
            }
        }
        let args: Vec<OwnedArgs> = commands.iter().map(|words| words.iter().collect()).collect();
        let spec = |words: &[Vec<u8>]| table::find(&words[0]).expect("a known command");
        let queued = commands.iter().zip(&args).map(|(words, args)| Queued { spec: spec(words), args: args.as_args() });
        let queued: Vec<Queued<'_>> = queued.collect();
        let now_ms = self.clock.load(Ordering::Relaxed);
        let first = queued.first().expect("a transaction has commands");
        let call = Call { spec: first.spec, args: first.args, db: self.db, protocol: self.protocol, now_ms };
        let mut out = Vec::new();
        self.executor.exec(&queued, &call, Fetch::Here, &mut NoSession, &mut out);
        decode(&out)
    }

    /// Asserts that a command's reply, printed as redis-cli's raw form with nested arrays in brackets, is this.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, reply: &str) {
        let value = self.run(line);
        assert_eq!(print(&value), reply, "{line}");
    }

    /// Closes the database and opens it again: what the log says must be what was there.
    pub(crate) fn reopen(&mut self) {
        let before = self.digest();
        let (dir, clock) = (&self.dir, &self.clock);
        let old = std::mem::replace(&mut self.executor, Self::open(&tempfile::tempdir().expect("a directory"), clock));
        let engine = Arc::clone(old.engine());
        drop(old);
        let engine = Arc::into_inner(engine).expect("nobody else holds the engine");
        // So that what was there is at rest, and comes into memory as commands look for it.
        engine.checkpoint().expect("a checkpoint can be taken");
        engine.close().expect("the log can be closed");
        self.executor = Self::open(dir, clock);
        assert_eq!(self.digest(), before, "recovery changed the state");
    }

    /// The digest of all databases.
    pub(crate) fn digest(&mut self) -> engine::Digest {
        let now_ms = self.clock.load(Ordering::Relaxed);
        let mut recycled = engine::Recycled::new();
        let mut at_rest = engine::AtRest::default();
        loop {
            let mut context = self.executor.engine().context(engine::Lock::All, 0, now_ms, &mut recycled);
            context.know(&at_rest);
            let digest = context.state.digest();
            context.abort();
            match digest {
                Ok(digest) => return digest,
                Err(engine::Stop::Miss(miss)) => {
                    let loaded = self.executor.engine().load(&miss, (0, now_ms), std::iter::empty(), &mut at_rest);
                    loaded.expect("what is at rest can be read");
                }
                Err(stop) => panic!("{stop:?}"),
            }
        }
    }
}

/// Names, sizes and times of change of all files in a directory.
fn files_in(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        // What goes while it is looked at is missing in the next look as well.
        let Ok(meta) = entry.metadata() else { continue };
        match meta.is_dir() {
            true => found.extend(files_in(&entry.path())),
            false => found.push((entry.path(), meta.len(), meta.modified().expect("files have times"))),
        }
    }
    found.sort();
    found
}

/// Makes `to` a copy of `from`.
fn copy_dir(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_dir(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

fn decode(out: &[u8]) -> Value {
    let mut decoder = ReplyDecoder::new();
    decoder.feed(out);
    let value = decoder.next_value().expect("a reply is well-formed").expect("a reply is whole");
    assert_eq!(decoder.buffered(), 0, "one reply a command");
    value
}

/// A reply in one line: integers and strings as they are, `nil`, arrays in brackets, errors with a leading `-`.
pub(crate) fn print(value: &Value) -> String {
    let mut out = Vec::new();
    value.write(&mut resp::Reply::new(&mut out, Protocol::Resp3));
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(" ")),
        other => {
            let mut text = String::from_utf8_lossy(&out).into_owned();
            if let Some(bytes) = other.as_bytes().filter(|_| !other.is_error()) {
                text = String::from_utf8_lossy(bytes).into_owned();
            } else if text == "_\r\n" {
                text = "nil".into();
            } else if text.starts_with([':', ',', '+', '#']) {
                text.remove(0);
            }
            text.trim_end().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::random::Random;

    /// Commands of all kinds on few keys: creations, changes in part, removals, renames, deadlines, whole databases.
    fn command(random: &mut Random, step: u64) -> String {
        let key = |random: &mut Random| format!("k{}", random.below(40));
        let (a, b) = (key(random), key(random));
        let n = random.below(50);
        match random.below(24) {
            0..=2 => format!("SET {a} v{step}"),
            3 => format!("SET {a} v{step} PX {}", 50 + n * 20),
            4 | 5 => format!("APPEND s{n} x{step}"),
            6 | 7 => format!("INCR n{n}"),
            8 | 9 => format!("HSET h{n} f{step} {step} f{} {step}", random.below(9)),
            10 => format!("HINCRBY h{n} count 3"),
            11 | 12 => format!("SADD set{n} m{step} m{}", random.below(9)),
            13 => format!("SPOP set{n}"),
            14..=16 => format!("RPUSH l{} e{step}", n % 9),
            17 => format!("LPOP l{}", n % 9),
            18 => format!("LPUSH l{} e{step}", n % 9),
            19 => format!("DEL {a} h{n} set{n}"),
            20 => format!("MSET {a} {step} {b} {step}"),
            21 => format!("RENAME l{} l{}", n % 9, random.below(9)),
            22 => format!("RENAME h{n} h{}", random.below(50)),
            _ if random.below(400) == 0 => "FLUSHALL".into(),
            _ => format!("DEL s{n}"),
        }
    }

    #[test]
    fn checkpoints_taken_while_commands_run_lose_and_repeat_nothing() {
        for seed in 0..4 {
            let mut h = Harness::new();
            let mut random = Random::new(seed);
            for round in 0..6 {
                let engine = Arc::clone(h.executor.engine());
                let done = Arc::new(AtomicBool::new(false));
                let signal = Arc::clone(&done);
                let checkpoints = std::thread::spawn(move || {
                    let mut taken = 0;
                    loop {
                        engine.checkpoint().expect("a checkpoint can be taken");
                        taken += 1;
                        if signal.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    taken
                });
                for step in 0..1500 {
                    // A key that is renamed may not exist: the error is as good as any other reply.
                    h.run(&command(&mut random, round * 10_000 + step));
                }
                done.store(true, Ordering::Relaxed);
                assert!(checkpoints.join().expect("the thread ends") > 0);
                h.pass(100);
                h.reopen();
            }
        }
    }
}
