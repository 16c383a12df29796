//! Runs commands against the engine: locks, misses, blocking, EXEC. One executor a thread.
//!
//! ```text
//! run: lock the shards of the keys ─▶ run the function ─▶ commit ─▶ Done
//!        ▲                                 │
//!        └── lock more, or load ◀── Unlocked, NeedsAll, Miss (context aborted, reply rewound)
//!            or hand out what is missed, for another thread to load
//! ```

mod caches;
mod events;
mod exclusive;
mod host;
mod missed;

use std::collections::BTreeSet;
use std::sync::Arc;

use effect::TraceContext;
use engine::{
    Aftermath, AtRest, Committed, Context, DbKey, Engine, EventClass, Lock, Place, Recycled, ShardId, Sight, Stop,
    Ticket,
};
use resp::{Args, Mark, Protocol, Reply};
use smallvec::SmallVec;
use wal::Position;

use crate::cx::{Cx, Env};
use crate::errors;
use crate::random::Random;
use crate::spec::{Flags, Keys, Run, Spec};
use caches::{Loaded, claim_moving, doom_absent, is_noted};

pub use exclusive::{Exclusive, Undecided};
pub use host::{Host, Queued};
pub use missed::{Fetch, Missed, Progress};

/// How often a command is run again before it is refused. Each miss and each further shard costs one run.
const RUNS_MAX: usize = 10_000;

/// What is said then.
const KEPT_MOVING: &str = "ERR the command could not be run: the data that it needs kept moving";

/// Keys of one command that are looked ahead for together; of many more the first would leave the cache again.
const FORESEEN_AT_ONCE: usize = 16;

/// A command with what it needs to know of its client.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The declaration; its arity has been checked.
    pub spec: &'static Spec,
    /// Name and arguments.
    pub args: Args<'a>,
    /// The client's logical database.
    pub db: u8,
    /// The client's protocol.
    pub protocol: Protocol,
    /// The moment at which the command runs, unix ms.
    pub now_ms: i64,
}

/// What a command does that finds nothing and may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It answers at once what it would get in the end.
    No,
    /// It queues under this ticket at all its keys.
    Queue(Ticket),
    /// It is queued already and stays so.
    Queued,
}

/// What became of a command.
#[derive(Debug)]
pub enum Ran {
    /// The reply is written.
    Done(Done),
    /// The client waits: it is queued at these keys under the ticket that was given. Nothing was written.
    Blocked {
        /// Where it is queued.
        keys: Vec<DbKey>,
        /// When it gives up, unix ms.
        until_ms: Option<i64>,
        /// What it gets then is a null array, else a null.
        empty_array: bool,
    },
    /// It misses something, and another thread is to read that. Nothing was written, and it is queued nowhere.
    Missed(Box<Missed>),
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Executed {
    /// The reply is written.
    Done(Done),
    /// It misses something, and another thread is to read that. Nothing was written.
    Missed(Box<Missed>),
    /// Other replicas have a say in it: it is in the log, and nothing of it is visible. What is written is its reply if it is committed.
    Undecided(Box<Undecided>),
}

/// A command that ran to its end.
#[derive(Debug, Default)]
pub struct Done {
    /// Under `always` the reply waits for the log to be durable up to here.
    pub position: Position,
    /// Keys that changed and that clients wait for.
    pub ready: Vec<DbKey>,
    /// The reply is an error.
    pub failed: bool,
    /// Something was written to the log.
    pub wrote: bool,
    /// A transaction could not begin, as another one on its keys is undecided.
    pub busy: bool,
}

/// Shards of a command, ascending.
#[derive(Debug, Clone, Default)]
struct Shards {
    some: SmallVec<[ShardId; 4]>,
    all: bool,
}

impl Shards {
    fn add(&mut self, shard: ShardId) {
        if let Err(at) = self.some.binary_search(&shard) {
            self.some.insert(at, shard);
        }
    }

    fn lock(&self) -> Lock<'_> {
        if self.all { Lock::All } else { Lock::Some(&self.some) }
    }

    #[inline]
    fn add_keys(&mut self, engine: &Engine, keys: &Keys, args: &Args<'_>) {
        if matches!(keys, Keys::All) {
            self.all = true;
        }
        keys.each(args, |at| {
            if let Some(key) = args.get(at) {
                self.add(engine.shard_of(key));
            }
        });
    }

    /// Takes in what a stopped run asks for; answers what else stopped it.
    fn widen(&mut self, stop: Stop) -> Result<(), Stop> {
        match stop {
            // It has been loaded, or was only drawn by a test.
            Stop::Miss(_) => {}
            Stop::Unlocked(shard) => self.add(shard),
            Stop::NeedsAll => self.all = true,
            other => return Err(other),
        }
        Ok(())
    }
}

/// Runs commands; one a thread.
pub struct Executor {
    engine: Arc<Engine>,
    recycled: Recycled,
    tools: Tools,
}

/// What runs use and leave behind, apart from the engine that they borrow from.
struct Tools {
    random: Random,
    env: Arc<Env>,
    hits: u64,
    misses: u64,
    /// Look-ups renew access clocks: not those of a client that asked for CLIENT NO-TOUCH.
    touch: bool,
    /// What is written belongs to this trace.
    trace: Option<TraceContext>,
    /// Whoever keeps the session settles what is left of commits, for many of them at once.
    settled_by_owner: bool,
}

impl Executor {
    /// An executor on `engine`; `seed` determines its random numbers.
    pub fn new(engine: Arc<Engine>, env: Arc<Env>, seed: u64) -> Self {
        let random = Random::new(seed);
        let tools = Tools { random, env, hits: 0, misses: 0, touch: true, trace: None, settled_by_owner: false };
        Self { engine, recycled: Recycled::new(), tools }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// From now on the caller settles what commands leave to be done, with [`Executor::settle`], before it sends their replies.
    pub fn settle_by_hand(&mut self) {
        self.tools.settled_by_owner = true;
    }

    /// Sees to it that nothing in a cache keyspace whose change was made or seen so far ever comes back. Replies also wait
    /// for the position that this answers.
    #[inline]
    pub fn settle(&self) -> Position {
        if self.engine.has_keyspaces() { self.engine.settle() } else { Position::START }
    }

    /// The settings that commands read.
    pub fn env(&self) -> &Arc<Env> {
        &self.tools.env
    }

    /// Random numbers, for whoever keeps the session.
    pub fn random(&mut self) -> &mut Random {
        &mut self.tools.random
    }

    /// Exchanges the settings that commands read.
    pub fn set_env(&mut self, env: Arc<Env>) {
        self.tools.env = env;
    }

    /// Says whether the commands that follow renew the access clocks of what they look up; TOUCH does in any case.
    #[inline]
    pub fn set_touch(&mut self, touch: bool) {
        self.tools.touch = touch;
    }

    /// Says which trace the batches of the commands that follow belong to.
    #[inline]
    pub fn set_trace(&mut self, trace: Option<TraceContext>) {
        self.tools.trace = trace;
    }

    /// Look-ups by read-only commands that found a key, and that found none, since the last time.
    pub fn take_hits_and_misses(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.tools.hits), std::mem::take(&mut self.tools.misses))
    }

    /// A context on the locked shards of `keys`, for whoever keeps the session: WATCH and its kin. Where `run` misses one of them,
    /// it is brought into memory, and `run` begins anew.
    pub fn with_keys<R>(
        &mut self,
        keys: &[&[u8]],
        db: u8,
        now_ms: i64,
        mut run: impl FnMut(&mut Context<'_>) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let (mut shards, mut at_rest) = (Shards::default(), AtRest::default());
        keys.iter().for_each(|key| shards.add(self.engine.shard_of(key)));
        for _ in 0..RUNS_MAX {
            let mut context = self.engine.context(shards.lock(), db, now_ms, &mut self.recycled);
            let result = run(&mut context);
            context.abort();
            match result {
                Err(Stop::Miss(miss)) => self.engine.load(&miss, (db, now_ms), keys.iter().copied(), &mut at_rest)?,
                result => return result,
            }
        }
        Err(Stop::error(KEPT_MOVING))
    }

    /// Runs a data command and writes its reply to `out`. `wait` says what it does if it finds nothing, `fetch` who reads what it
    /// misses.
    #[inline]
    pub fn run(&mut self, call: &Call<'_>, wait: Wait, mut fetch: Fetch, out: &mut Vec<u8>) -> Ran {
        match fetch.take_random() {
            None => self.run_on(call, wait, fetch, out),
            Some(drawn) => self.with_random(drawn, |executor| executor.run_on(call, wait, fetch, out)),
        }
    }

    /// Lets a command draw the numbers that it drew before: what it picked, and missed, it picks again.
    fn with_random<R>(&mut self, drawn: Random, run: impl FnOnce(&mut Self) -> R) -> R {
        let own = std::mem::replace(&mut self.tools.random, drawn);
        let ran = run(self);
        self.tools.random = own;
        ran
    }

    #[inline]
    fn run_on(&mut self, call: &Call<'_>, wait: Wait, fetch: Fetch, out: &mut Vec<u8>) -> Ran {
        let Self { engine, recycled, tools } = self;
        let mut shards = Shards::default();
        let only = call.args.get(1).filter(|_| call.spec.keys.is_one());
        if only.is_none() {
            shards.add_keys(engine, &call.spec.keys, &call.args);
            foresee_many(engine, call);
        }
        let mut reply = Reply::new(out, call.protocol);
        let mark = reply.mark();
        let (apart, Progress { mut at_rest, runs, loaded, .. }) = fetch.begin();
        let mut loaded = Loaded::new(engine, loaded);
        if runs > 0
            && let Some(key) = only
        {
            shards.add(engine.shard_of(key));
        }
        let random = tools.random.clone();
        for run in runs..RUNS_MAX {
            let lock = match only {
                Some(key) if run == 0 => Lock::Key(key, call.args.note().map(Place::from)),
                _ => shards.lock(),
            };
            let mut context = engine.context(lock, call.db, call.now_ms, recycled);
            context.set_trace(tools.trace);
            if run > 0 {
                context.know(&at_rest);
                // What it picked, and missed, it picks again.
                tools.random = random.clone();
            }
            let stop = match tools.once(&mut context, call, wait, &mut reply) {
                Ok(()) => {
                    tools.count(&context, call.spec);
                    return Ran::Done(tools.commit(engine, &mut context, mark, &mut reply));
                }
                Err(stop) => stop,
            };
            reply.rewind(mark);
            if let Stop::Block { until_ms, empty_array } = stop {
                let keys = match wait {
                    Wait::Queue(ticket) => queue(&mut context, call, ticket),
                    Wait::No | Wait::Queued => Vec::new(),
                };
                context.abort();
                return Ran::Blocked { keys, until_ms, empty_array };
            }
            if matches!(stop, Stop::WrongType | Stop::Error(_)) {
                tools.count(&context, call.spec);
                if is_noted(&mut context, call) {
                    // Nothing is written: the commit only tells of what was looked for, and keeps away what was not there.
                    tools.commit(engine, &mut context, mark, &mut reply);
                    return Ran::Done(refuse(&stop, &mut reply));
                }
            }
            context.abort();
            if let Stop::Miss(miss) = &stop
                && apart
            {
                let progress = Progress { at_rest, runs: run + 1, loaded: true, random: Some(random) };
                return Ran::Missed(Missed::new(miss, std::iter::once(call), call, progress));
            }
            if let Err(stop) = loaded.load(&stop, std::iter::once(call), call, &mut at_rest) {
                return Ran::Done(refuse(&stop, &mut reply));
            }
            if run == 0
                && let Some(key) = only
            {
                shards.add(engine.shard_of(key));
            }
            if let Err(stop) = shards.widen(stop) {
                return Ran::Done(refuse(&stop, &mut reply));
            }
        }
        reply.error(KEPT_MOVING);
        Ran::Done(Done { failed: true, ..Done::default() })
    }

    /// Runs the commands of a transaction as one batch and writes the array of their replies.
    /// If what was watched has changed, writes a null array. It never blocks.
    pub fn exec(
        &mut self,
        queue: &[Queued<'_>],
        call: &Call<'_>,
        mut fetch: Fetch,
        host: &mut impl Host,
        out: &mut Vec<u8>,
    ) -> Executed {
        match fetch.take_random() {
            None => self.exec_on(queue, call, fetch, host, out),
            Some(drawn) => self.with_random(drawn, |executor| executor.exec_on(queue, call, fetch, host, out)),
        }
    }

    fn exec_on(
        &mut self,
        queue: &[Queued<'_>],
        call: &Call<'_>,
        fetch: Fetch,
        host: &mut impl Host,
        out: &mut Vec<u8>,
    ) -> Executed {
        let Self { engine, recycled, tools } = self;
        let mut shards = Shards::default();
        for command in queue {
            shards.add_keys(engine, &command.spec.keys, &command.args);
        }
        host.each_watched(&mut |key| shards.add(engine.shard_of(key)));
        let start = out.len();
        let mut reply = Reply::new(out, call.protocol);
        let mark = reply.mark();
        let (apart, Progress { mut at_rest, runs, loaded, .. }) = fetch.begin();
        let mut loaded = Loaded::new(engine, loaded);
        let lookups = (tools.hits, tools.misses);
        let random = tools.random.clone();
        let mut exclusive = host.exclusive();
        for run in runs..RUNS_MAX {
            host.begin();
            tools.random = random.clone();
            let mut context = engine.context(shards.lock(), call.db, call.now_ms, recycled);
            context.set_trace(tools.trace);
            context.know(&at_rest);
            if exclusive.is_some() {
                context.out.set_exclusive();
            }
            let stop = match tools.transaction(&mut context, (queue, exclusive.as_mut()), call, host, &mut reply) {
                Ok(Some(gaps)) => {
                    if let Some(exclusive) = exclusive {
                        return exclusive.begin(&mut context, gaps, mark, &mut reply);
                    }
                    // This frees the locks: session commands take their own.
                    let done = tools.commit(engine, &mut context, mark, &mut reply);
                    if !done.failed {
                        fill(&gaps, queue, call.protocol, host, out, start);
                    }
                    return Executed::Done(done);
                }
                Ok(None) => None,
                Err(stop) => Some(stop),
            };
            context.abort();
            reply.rewind(mark);
            (tools.hits, tools.misses) = lookups;
            if let Some(Stop::Miss(miss)) = &stop
                && apart
            {
                let progress = Progress { at_rest, runs: run + 1, loaded: true, random: Some(random) };
                return Executed::Missed(Missed::new(miss, queue.iter(), call, progress));
            }
            if let Some(stop) = &stop
                && let Err(stop) = loaded.load(stop, queue.iter(), call, &mut at_rest)
            {
                return Executed::Done(refuse(&stop, &mut reply));
            }
            match stop.map(|stop| shards.widen(stop)) {
                Some(Ok(())) => {}
                Some(Err(stop)) => return Executed::Done(refuse(&stop, &mut reply)),
                None => {
                    reply.null_array();
                    return Executed::Done(Done::default());
                }
            }
        }
        reply.error("EXECABORT Transaction discarded: the data that it needs kept moving");
        Executed::Done(Done { failed: true, ..Done::default() })
    }
}

/// Where the reply of a session command belongs among those of a transaction's data commands.
#[derive(Debug)]
struct Gap {
    /// Which command of the queue it is.
    command: usize,
    /// Bytes of data commands' replies in front of it.
    at: usize,
}

/// Runs the session commands of a transaction and puts their replies where they belong.
fn fill(gaps: &[Gap], queue: &[Queued<'_>], protocol: Protocol, host: &mut impl Host, out: &mut Vec<u8>, start: usize) {
    if gaps.is_empty() {
        return;
    }
    let data = out.split_off(start);
    let mut taken = 0;
    for gap in gaps {
        out.extend_from_slice(&data[taken..gap.at]);
        taken = gap.at;
        host.session(&queue[gap.command], &mut Reply::new(out, protocol));
    }
    out.extend_from_slice(&data[taken..]);
}

impl Tools {
    /// Runs the data commands of a transaction and says where the replies of the others belong; `None` if what was
    /// watched has changed.
    fn transaction(
        &mut self,
        context: &mut Context<'_>,
        (queue, mut exclusive): (&[Queued<'_>], Option<&mut Exclusive>),
        call: &Call<'_>,
        host: &mut impl Host,
        reply: &mut Reply<'_>,
    ) -> Result<Option<Vec<Gap>>, Stop> {
        if !host.unchanged(context)? {
            return Ok(None);
        }
        if let Some(exclusive) = &mut exclusive {
            exclusive.named.clear();
        }
        // Nobody counts what looking at watched keys found.
        context.state.take_hits_and_misses();
        let mark = reply.mark();
        reply.array(queue.len());
        let mut gaps = Vec::new();
        let mut db = call.db;
        for (index, command) in queue.iter().enumerate() {
            if matches!(command.spec.run, Run::Data(_)) {
                let one = Call { spec: command.spec, args: command.args, db, ..*call };
                if let Some(exclusive) = &mut exclusive {
                    exclusive.name(&one);
                }
                let before = reply.mark();
                self.command_of_transaction(context, &one, reply)?;
                host.ran(reply.written_since(before));
                continue;
            }
            gaps.push(Gap { command: index, at: reply.written_since(mark).len() });
            db = host.select(command).unwrap_or(db);
        }
        Ok(Some(gaps))
    }

    /// One command of a transaction: its errors are its own, whatever else stops the run stops the transaction.
    fn command_of_transaction(
        &mut self,
        context: &mut Context<'_>,
        call: &Call<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Stop> {
        context.select(call.db);
        let mark = reply.mark();
        let result = self.whole_or_not(context, call, Wait::No, reply);
        match call.spec.flags.has(Flags::READONLY) {
            true => self.count(context, call.spec),
            false => drop(context.state.take_hits_and_misses()),
        }
        match result {
            Err(stop @ (Stop::WrongType | Stop::Error(_))) => {
                reply.rewind(mark);
                refuse(&stop, reply);
                Ok(())
            }
            other => other,
        }
    }

    /// A command on its own: where it is refused, its context is not committed.
    #[inline]
    fn once(
        &mut self,
        context: &mut Context<'_>,
        call: &Call<'_>,
        wait: Wait,
        reply: &mut Reply<'_>,
    ) -> Result<(), Stop> {
        if context.events_wanted() != EventClass::default() {
            return self.whole_or_not(context, call, wait, reply);
        }
        if context.has_keyspaces() {
            return self.with_keyspaces(context, call, wait, reply);
        }
        self.function(context, call, wait, reply)
    }

    /// The same where there are keyspaces.
    #[cold]
    #[inline(never)]
    fn with_keyspaces(
        &mut self,
        context: &mut Context<'_>,
        call: &Call<'_>,
        wait: Wait,
        reply: &mut Reply<'_>,
    ) -> Result<(), Stop> {
        claim_moving(context, call)?;
        self.function(context, call, wait, reply)?;
        doom_absent(context, call);
        Ok(())
    }

    /// Where the command is refused, what it did is taken back, but not that it looked: of that, too, events tell.
    fn whole_or_not(
        &mut self,
        context: &mut Context<'_>,
        call: &Call<'_>,
        wait: Wait,
        reply: &mut Reply<'_>,
    ) -> Result<(), Stop> {
        // Of keys that move nobody is told: that comes before.
        claim_moving(context, call)?;
        let watched = (context.events_wanted() != EventClass::default()).then(|| events::Watched::begin(context, call));
        let savepoint = context.savepoint();
        let result = self.function(context, call, wait, reply);
        match &result {
            Ok(()) => {
                doom_absent(context, call);
                watched.into_iter().for_each(|watched| watched.tell(context, call));
            }
            Err(stop @ (Stop::WrongType | Stop::Error(_))) => {
                context.restore(savepoint);
                doom_absent(context, call);
                watched.into_iter().for_each(|watched| watched.tell_refused(context, call, stop));
            }
            Err(_) => {}
        }
        result
    }

    #[inline]
    fn function(
        &mut self,
        context: &mut Context<'_>,
        call: &Call<'_>,
        wait: Wait,
        reply: &mut Reply<'_>,
    ) -> Result<(), Stop> {
        let Run::Data(function) = call.spec.run else { return Err(errors::NOT_DATA) };
        if !self.touch {
            context.state.set_touch(call.spec.name == "touch");
        }
        let Context { state, out, .. } = context;
        let (env, random) = (&*self.env, &mut self.random);
        let (may_block, waiting) = (wait != Wait::No, wait == Wait::Queued);
        function(&mut Cx { state, out, args: call.args, reply: reply.reborrow(), env, random, may_block, waiting })?;
        context.settle_written()
    }

    #[inline]
    fn count(&mut self, context: &Context<'_>, spec: &Spec) {
        if spec.flags.has(Flags::READONLY) {
            let (hits, misses) = context.state.take_hits_and_misses();
            self.hits += u64::from(hits);
            self.misses += u64::from(misses);
        }
    }

    #[inline(always)]
    fn commit(&mut self, engine: &Engine, context: &mut Context<'_>, mark: Mark, reply: &mut Reply<'_>) -> Done {
        let wrote = !context.out.is_empty();
        match context.commit() {
            Ok(Committed { position, ready, after }) => {
                let position = match after {
                    None => position,
                    Some(after) => self.finish(engine, *after, position),
                };
                Done { position, ready, wrote, ..Done::default() }
            }
            Err(refusal) => {
                reply.rewind(mark);
                refuse(&refusal.into(), reply)
            }
        }
    }

    /// What is left to be done after a commit that concerns caches.
    #[cold]
    #[inline(never)]
    fn finish(&self, engine: &Engine, after: Aftermath, position: Position) -> Position {
        match self.settled_by_owner {
            true => {
                engine.finish_room(after);
                position
            }
            false => position.max(engine.finish(after)),
        }
    }
}

/// Queues the client at all keys of its command, before anybody else can touch them.
fn queue(context: &mut Context<'_>, call: &Call<'_>, ticket: Ticket) -> Vec<DbKey> {
    let (mut keys, mut known) = (Vec::<DbKey>::new(), BTreeSet::new());
    call.spec.keys.each(&call.args, |at| {
        let Some(key) = call.args.get(at).filter(|key| known.insert(key.to_vec())) else { return };
        keys.push(context.wait_for(key, ticket).expect("the shards of a command's keys are locked while it runs"));
    });
    keys
}

/// Fetches what a command with many keys is about to read, as a pipeline of commands with one each would have it.
fn foresee_many(engine: &Engine, call: &Call<'_>) {
    let mut sights: SmallVec<[Sight<'_>; FORESEEN_AT_ONCE]> = SmallVec::new();
    call.spec.keys.each(&call.args, |at| {
        sights.extend(call.args.get(at).map(|key| Sight { key, next: [None; 2] }));
        if sights.len() == FORESEEN_AT_ONCE {
            engine.foresee(call.db, &sights);
            sights.clear();
        }
    });
    if sights.len() > 1 {
        engine.foresee(call.db, &sights);
    }
}

/// Writes the error that a stop means.
fn refuse(stop: &Stop, reply: &mut Reply<'_>) -> Done {
    match stop {
        Stop::WrongType => reply.error(errors::WRONG_TYPE),
        Stop::Error(text) => reply.error(text.as_bytes()),
        Stop::Block { empty_array: true, .. } => reply.null_array(),
        Stop::Block { .. } => reply.null(),
        Stop::Miss(_) | Stop::Unlocked(_) | Stop::NeedsAll => unreachable!("the command is run again for these"),
    }
    Done { failed: true, ..Done::default() }
}

#[cfg(test)]
mod partly;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod tests;
