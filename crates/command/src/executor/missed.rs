//! Misses that are handed out: another thread reads what a command lacks, and then the command runs again.

use engine::{AtRest, Engine, Miss, Stop};

use super::Call;
use super::caches::Keyed;
use crate::random::Random;

/// Who reads what a command misses.
pub enum Fetch {
    /// The thread that runs it.
    Here,
    /// Somebody else: the run ends with [`super::Ran::Missed`], and the next one goes on with what was found by then.
    Apart(Progress),
}

/// What runs of a command have come to so far.
#[derive(Default)]
pub struct Progress {
    pub(super) at_rest: AtRest,
    /// How many there were.
    pub(super) runs: usize,
    /// Something was loaded for it.
    pub(super) loaded: bool,
    /// The random numbers that the first run drew.
    pub(super) random: Option<Random>,
}

/// What a command misses. It holds no lock, and belongs to no thread. As long as it lives nothing is evicted, if the command has
/// missed so much that it needs that.
pub struct Missed {
    miss: Miss,
    db: u8,
    now_ms: i64,
    /// Of the command, and what else is to be brought in with them.
    keys: Vec<Box<[u8]>>,
    progress: Progress,
}

impl Missed {
    pub(super) fn new<'a, K: Keyed + 'a>(
        miss: &Miss,
        commands: impl Iterator<Item = &'a K>,
        call: &Call<'_>,
        progress: Progress,
    ) -> Box<Self> {
        let mut keys: Vec<Box<[u8]>> = Vec::new();
        commands.for_each(|command| command.each_key(|key| keys.push(key.into())));
        Box::new(Self { miss: miss.clone(), db: call.db, now_ms: call.now_ms, keys, progress })
    }

    /// Has another key of the command's database brought in as well, which a command behind it may need.
    pub fn also(&mut self, key: &[u8]) {
        self.keys.push(key.into());
    }

    /// The moment at which the command began, unix ms. It is that of its next run as well.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Reads it, with no shard locked meanwhile. It may take as long as the disk does. Fails with what the client is to be told.
    pub fn read(&mut self, engine: &Engine) -> Result<(), Stop> {
        let keys = self.keys.iter().map(|key| &**key);
        engine.load(&self.miss, (self.db, self.now_ms), keys, &mut self.progress.at_rest)
    }

    /// What the next run goes on with.
    pub fn into_progress(self) -> Progress {
        self.progress
    }
}

impl std::fmt::Debug for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Missed").field("miss", &self.miss).field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Fetch {
    /// The random numbers that an earlier run drew, and this one draws again.
    pub(super) fn take_random(&mut self) -> Option<Random> {
        if let Self::Apart(progress) = self { progress.random.take() } else { None }
    }

    /// Whether misses are handed out, and what there is already.
    #[inline]
    pub(super) fn begin(self) -> (bool, Progress) {
        match self {
            Self::Here => (false, Progress::default()),
            Self::Apart(progress) => (true, progress),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use engine::{Engine, Options};
    use resp::{OwnedArgs, Protocol};

    use super::{Fetch, Missed, Progress};
    use crate::cx::Env;
    use crate::executor::{Call, Executor, Ran, Wait};
    use crate::table;

    const NOW_MS: i64 = 1_700_000_000_000;

    /// An executor on one key, which is at rest.
    fn at_rest(dir: &tempfile::TempDir) -> Executor {
        let open = || {
            let options = Options { fills: false, ..Options::new(Arc::new(|| NOW_MS), [7; 22]) };
            let engine = Engine::open(dir.path(), options).expect("the engine opens");
            Executor::new(Arc::new(engine), Arc::new(Env::default()), 42)
        };
        let mut executor = open();
        assert!(matches!(run(&mut executor, "SET key value", Fetch::Here), (Ran::Done(_), _)));
        executor.engine().checkpoint().expect("a checkpoint can be taken");
        drop(executor);
        let executor = open();
        assert_eq!(cold(&executor), 1);
        executor
    }

    fn cold(executor: &Executor) -> u64 {
        executor.engine().residency_figures().cold_keys
    }

    fn run(executor: &mut Executor, line: &str, fetch: Fetch) -> (Ran, String) {
        let args: OwnedArgs = line.split(' ').collect();
        let spec = table::find(line.split(' ').next().expect("a name").as_bytes()).expect("a known command");
        let call = Call { spec, args: args.as_args(), db: 0, protocol: Protocol::Resp2, now_ms: NOW_MS };
        let mut out = Vec::new();
        let ran = executor.run(&call, Wait::No, fetch, &mut out);
        (ran, String::from_utf8(out).expect("replies are text"))
    }

    fn missed(ran: (Ran, String)) -> Box<Missed> {
        match ran {
            (Ran::Missed(missed), reply) if reply.is_empty() => missed,
            other => panic!("{other:?} is no miss"),
        }
    }

    #[test]
    fn a_miss_that_is_handed_out_leaves_nothing_behind_and_the_command_runs_again() {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let mut executor = at_rest(&dir);
        let log = executor.engine().log().end();
        let mut first = missed(run(&mut executor, "APPEND key s", Fetch::Apart(Progress::default())));
        assert_eq!((cold(&executor), executor.engine().log().end()), (1, log), "nothing was read or written");
        first.also(b"nowhere");
        assert_eq!(first.read(executor.engine()), Ok(()));
        let again = run(&mut executor, "APPEND key s", Fetch::Apart(first.into_progress()));
        assert!(matches!(&again, (Ran::Done(done), reply) if done.wrote && reply == ":6\r\n"), "{again:?}");
    }

    #[test]
    fn a_command_whose_key_is_evicted_again_and_again_ends() {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let mut executor = at_rest(&dir);
        // From now on everything that may leave memory does; whoever sees to that looks first.
        let looks = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&looks);
        executor.engine().set_memory_gauge(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            2 << 20
        }));
        executor.engine().set_memory(1 << 20);
        let wait_until = |holds: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !holds() {
                assert!(began.elapsed() < Duration::from_secs(60), "in vain");
                std::thread::yield_now();
            }
        };
        let (mut fetch, mut misses) = (Fetch::Apart(Progress::default()), 0);
        let reply = loop {
            match run(&mut executor, "GET key", fetch) {
                (Ran::Missed(mut more), _) => {
                    misses += 1;
                    assert!(misses <= 4, "what it was given did not stay");
                    assert_eq!(more.read(executor.engine()), Ok(()));
                    if misses <= 3 {
                        wait_until(&|| cold(&executor) == 1);
                    } else {
                        let before = looks.load(Ordering::Relaxed);
                        wait_until(&|| looks.load(Ordering::Relaxed) > before + 50);
                    }
                    fetch = Fetch::Apart(more.into_progress());
                }
                (Ran::Done(_), reply) => break reply,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((misses, &reply[..]), (4, "$5\r\nvalue\r\n"));
    }
}
