//! One command's, EXEC's or script's view of the state and what it changes: begin, settle, savepoint, abort, commit.
//!
//! While a context lives it holds the locks of its shards. What it emits is bytes in its batch. `settle` applies
//! them to the locked state, keeping what is needed to undo them, so that later reads of the same context see them;
//! `commit` logs the batch and applies what was not settled; dropping the context undoes everything.

use effect::{BatchBuf, BatchMark, Dot, Effect, Hlc, Op, RecordEnd, Tick, TraceContext};
use wal::Position;

use crate::apply::{apply, apply_at};
use crate::emitter::Emitter;
use crate::engine::{RECORD_BATCHES, Sequencer, Shared};
use crate::error::Refusal;
use crate::events::{Event, EventClass};
use crate::keyspace::{Aftermath, is_logged};
use crate::limits::READ_LAG_MS;
use crate::residency::AtRest;
use crate::shard::{DbKey, ShardId, Ticket, WatchFlag};
use crate::state::State;
use crate::stop::Stop;
use crate::suffix::{self, Written};
use crate::undo::{forget, undo_to};

/// Memory that contexts hand on from one to the next, one a thread.
#[derive(Default)]
pub struct Recycled {
    pub(crate) batch: Option<BatchBuf>,
    pub(crate) memory: Vec<Vec<u8>>,
}

impl Recycled {
    /// No memory yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// See the module.
pub struct Context<'e> {
    /// What the command may read.
    pub state: State<'e>,
    /// What the command changes.
    pub out: Emitter<'e>,
    pub(crate) shared: &'e Shared,
    /// What happened to keys, to be told once it is sure.
    pub(crate) events: Vec<Event>,
    /// The classes of events that somebody wanted when it began.
    pub(crate) wanted: EventClass,
}

/// A point that a context can go back to.
#[derive(Debug, Clone, Copy)]
pub struct Savepoint {
    batch: BatchMark,
    undo: usize,
    rewritten: usize,
    events: usize,
}

/// Where a batch stands in the log, and what its first effect was given.
pub(crate) struct Logged {
    pub(crate) position: Position,
    pub(crate) seq: u64,
    pub(crate) hlc: Hlc,
}

/// What became of a committed context.
#[derive(Debug, Default)]
pub struct Committed {
    /// A reply must wait until the log is durable up to here, if the policy is `always`.
    pub position: Position,
    /// Keys that changed and that clients wait for, in the order of the changes.
    pub ready: Vec<DbKey>,
    /// What is left to be done with [`crate::Engine::finish`] before anybody is answered.
    pub after: Option<Box<Aftermath>>,
}

impl<'e> Context<'e> {
    #[inline]
    pub(crate) fn new(shared: &'e Shared, state: State<'e>, recycled: &'e mut Recycled) -> Self {
        let out = Emitter::new(shared, recycled, state.known(), state.db());
        Self { state, out, shared, events: Vec::new(), wanted: shared.events.wanted() }
    }

    /// Sends reads and effects to logical database `db`.
    pub fn select(&mut self, db: u8) {
        self.state.select(db);
        self.out.select(db);
    }

    /// Says which trace the batch belongs to.
    #[inline]
    pub fn set_trace(&mut self, trace: Option<TraceContext>) {
        if trace.is_some() {
            self.out.batch.set_trace(trace);
        }
    }

    /// Tells the command what an earlier run of it has found at rest.
    pub fn know(&mut self, at_rest: &'e AtRest) {
        self.state.at_rest = Some(at_rest);
    }

    /// Sees to it that what is about to be written is in memory, or known to be absent: a command need not look at what it
    /// writes over, but what it leaves behind depends on it. To be asked before anything is settled or committed.
    #[inline]
    pub fn settle_written(&mut self) -> Result<(), Stop> {
        if self.shared.residency.is_on() { self.look_at_written() } else { Ok(()) }
    }

    #[cold]
    fn look_at_written(&mut self) -> Result<(), Stop> {
        let (state, mut looked) = (&self.state, Ok(()));
        self.out.batch.each_since(self.out.settled, |effect| {
            let keys = match &effect.op {
                Op::FlushDb | Op::FlushAll | Op::SwapDb(_) => return,
                Op::Define(_) | Op::Undefine | Op::Moved(_) | Op::GroupDefine(_) => return,
                Op::Rename { db, key, .. } => [Some((effect.db, effect.key)), Some((*db, *key))],
                _ => [Some((effect.db, effect.key)), None],
            };
            for (db, key) in keys.into_iter().flatten() {
                if looked.is_ok() {
                    looked = state.settle_key(db, key);
                }
            }
            if looked.is_ok() {
                looked = state.settle_part(effect);
            }
        });
        looked
    }

    /// Whether the key's shard is locked by this context.
    pub fn holds(&self, shard: ShardId) -> bool {
        self.state.shard(shard).is_ok()
    }

    /// A point to go back to with [`Context::restore`]. What was emitted so far is settled.
    pub fn savepoint(&mut self) -> Savepoint {
        settle(&mut self.state, &mut self.out);
        let (batch, undo) = (self.out.batch.mark(), self.state.undo.len());
        Savepoint { batch, undo, rewritten: self.out.rewritten.len(), events: self.events.len() }
    }

    /// Takes back everything since `to`.
    pub fn restore(&mut self, to: Savepoint) {
        undo_to(&mut self.state, to.undo);
        self.out.rewind(to.batch, to.rewritten);
        self.events.truncate(to.events);
    }

    /// Gives up: nothing that was emitted remains.
    pub fn abort(self) {
        drop(self);
    }

    /// Lets `ticket` wait for `key`, before anybody else can touch it.
    pub fn wait_for(&mut self, key: &[u8], ticket: Ticket) -> Result<DbKey, Stop> {
        let db = self.state.db();
        let shard = self.state.shard_of_mut(key)?;
        shard.add_waiter(db, key, ticket);
        self.shared.count_listener();
        Ok((db, key.into()))
    }

    /// Lets `flag` be set when `key` changes from now on.
    pub fn watch(&mut self, key: &[u8], flag: &WatchFlag) -> Result<DbKey, Stop> {
        let db = self.state.db();
        let shard = self.state.shard_of_mut(key)?;
        shard.add_watch(db, key, flag);
        self.shared.count_listener();
        Ok((db, key.into()))
    }

    /// Logs and applies everything that was emitted: all of it, or (on an error) none. The context has done its work then, and
    /// its locks are free; it is not taken by value, because it is large to move.
    pub fn commit(&mut self) -> Result<Committed, Refusal> {
        let result = self.commit_locked();
        undo_to(&mut self.state, 0);
        self.state.guards.release();
        result
    }

    #[inline]
    fn commit_locked(&mut self) -> Result<Committed, Refusal> {
        if self.out.is_empty() && self.out.aside.is_none() {
            self.tell_of_rewritten();
            let position = self.state.applied();
            if !self.events.is_empty() {
                // What was taken away after its time stays away.
                forget(&mut self.state.undo, self.shared);
                self.tell_events(position);
            }
            return Ok(Committed { position, ..Committed::default() });
        }
        if self.shared.replicates() {
            suffix::remove_expired(&self.state, &mut self.out);
            suffix::restate(&mut self.state, &mut self.out);
        }
        let committed = if self.out.cached {
            self.commit_cached()?
        } else {
            let logged = Self::log(self.shared, self.state.now_ms, self.out.batch)?;
            self.make_visible(&logged)
        };
        if !self.events.is_empty() {
            self.tell_events(committed.position);
        }
        Ok(committed)
    }

    /// Gives the batch its dots, timestamps and place in the log: one critical section.
    #[inline(always)]
    pub(crate) fn log(shared: &Shared, now_ms: i64, batch: &mut BatchBuf) -> Result<Logged, Refusal> {
        Self::log_behind(shared, now_ms, batch, |_| ())
    }

    /// The same; `before` sees the log as it is before the batch.
    #[inline(always)]
    pub(crate) fn log_behind(
        shared: &Shared,
        now_ms: i64,
        batch: &mut BatchBuf,
        mut before: impl FnMut(&mut wal::Appender<'_, Sequencer>),
    ) -> Result<Logged, Refusal> {
        let (size, limit) = (batch.size_in_record(), shared.limits.batch_bytes());
        if size > limit {
            return Err(Refusal::BatchTooLarge { size, limit });
        }
        loop {
            let mut log = shared.log.lock();
            let sequencer = log.state();
            if !sequencer.is_open {
                return Err(Refusal::NotOpen);
            }
            match sequencer.clock.take(now_ms, batch.len()) {
                Tick::At(hlc) if hlc.ms() - now_ms > READ_LAG_MS && shared.replicates() => {
                    return Err(Refusal::Late { ms: hlc.ms() - now_ms, limit: READ_LAG_MS });
                }
                Tick::At(hlc) => {
                    before(&mut log);
                    let sequencer = log.state();
                    let (seq, end) = (sequencer.next_seq, sequencer.record_end);
                    let joins = |end: &RecordEnd| batch.follows(end, seq, hlc) && log.can_extend(RECORD_BATCHES, size);
                    let position = match end.filter(joins) {
                        Some(end) => log.extend(&[batch.extend_record(&end, hlc)])?,
                        None => log.append(RECORD_BATCHES, &[batch.begin_record(seq, hlc)])?,
                    };
                    let sequencer = log.state();
                    sequencer.next_seq = seq + batch.len();
                    sequencer.record_end = Some(batch.record_end(seq, hlc));
                    if sequencer.waymarks.is_due(position) {
                        note_waymark(shared, &mut log);
                    }
                    return Ok(Logged { position, seq, hlc });
                }
                Tick::NeedsCeiling(hlc) => {
                    drop(log);
                    shared.raise_ceiling(hlc)?;
                }
            }
        }
    }

    /// Applies what was emitted and not settled, and tells those who wait for it.
    #[inline(always)]
    pub(crate) fn make_visible(&mut self, logged: &Logged) -> Committed {
        let mut ready = Vec::new();
        if self.shared.replicates() {
            self.make_visible_to_others(logged);
        } else {
            let mut place = self.out.place_of_first();
            self.out.batch.each_since(self.out.settled, |effect| {
                apply_at(&mut self.state.guards, self.shared, effect, place.take(), None);
            });
        }
        let position = logged.position;
        forget(&mut self.state.undo, self.shared);
        self.state.set_applied(position);
        if self.shared.has_listeners() {
            self.tell_of_rewritten();
            self.tell_listeners(&mut ready);
        }
        Committed { position, ready, after: None }
    }

    /// The same where there are other replicas: it is noted what can be concurrent with theirs.
    #[cold]
    fn make_visible_to_others(&mut self, logged: &Logged) {
        let shared = self.shared;
        let mut n = 0;
        let mut next = |effect: &Effect<'_>| {
            let dot = Dot { origin: shared.origin(), seq: logged.seq + n };
            let written = Written { dot, hlc: logged.hlc.plus(n), context: None };
            n += u64::from(is_logged(effect));
            written
        };
        self.out.batch.each_before(self.out.settled, |effect| {
            suffix::record_own(&mut self.state, effect, &next(effect));
        });
        let mut place = self.out.place_of_first();
        self.out.batch.each_since(self.out.settled, |effect| {
            suffix::take_in(&mut self.state.guards, shared, effect, &next(effect), place.take());
        });
    }

    fn tell_of_rewritten(&self) {
        self.out.rewritten.iter().for_each(|(db, key)| self.state.tell_watchers(*db, key));
    }

    #[cold]
    fn tell_listeners(&mut self, ready: &mut Vec<DbKey>) {
        let swap = |effect: &Effect<'_>| match effect.op {
            Op::SwapDb(other) => Some((effect.db, other)),
            _ => None,
        };
        let mut swaps: Vec<(u8, u8)> = Vec::new();
        self.out.batch.each_since(BatchMark::START, |effect| swaps.extend(swap(effect)));
        let mut later = &swaps[..];
        let moves = self.out.aside.as_ref().map_or(&[][..], |aside| &aside.moves);
        let mut number = 0;
        self.out.batch.each_since(BatchMark::START, |effect| {
            number += 1;
            // What only moves to another keyspace is what it was.
            if moves.binary_search(&(number - 1)).is_ok() {
                return;
            }
            if swap(effect).is_some() {
                later = &later[1..];
            }
            // The name that the database had when the effect happened: the swaps after it, taken back.
            let logical = |physical: u8| {
                later.iter().rev().fold(self.shared.logical(physical), |db, swap| match *swap {
                    (a, b) if db == a => b,
                    (a, b) if db == b => a,
                    _ => db,
                })
            };
            self.state.tell_listeners(effect, logical, ready);
        });
    }
}

impl Drop for State<'_> {
    fn drop(&mut self) {
        undo_to(self, 0);
    }
}

/// Notes what is in the log up to here.
#[cold]
pub(crate) fn note_waymark(shared: &Shared, log: &mut wal::Appender<'_, Sequencer>) {
    let end = log.end();
    let sequencer = log.state();
    let vector = sequencer.vector(shared.origin());
    sequencer.waymarks.note(end, vector);
}

/// Applies what was emitted since the last time, so that the same context's later reads see it.
pub fn settle(state: &mut State<'_>, out: &mut Emitter<'_>) {
    let shared = state.shared;
    if shared.replicates() {
        suffix::remove_expired(state, out);
        out.batch.each_since(out.settled, |effect| suffix::settle_own(state, effect));
    } else {
        let State { guards, undo, .. } = state;
        out.batch.each_since(out.settled, |effect| apply(guards, shared, effect, Some(undo)));
    }
    out.settled = out.batch.mark();
}

impl State<'_> {
    fn shard_of_mut(&mut self, key: &[u8]) -> Result<&mut crate::shard::Shard, Stop> {
        let place = self.shared.place_of(key);
        self.guards.get_mut(place.shard).ok_or(Stop::Unlocked(place.shard))
    }
}
