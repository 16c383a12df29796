//! What was kept aside is written again, batch by batch: each as one batch of this node's, or as nothing but the word that it was looked at.

use effect::codec::DotShape;
use effect::{Batch, Dot, Effect, KeyspaceId, Op, Seq};
use wal::Reader;

use super::aside::{self, Aside};
use super::copied::COPIED;
use super::rules::Rules;
use super::spool::{UNDELIVERED, last_of};
use super::stamps::Stamps;
use super::{AgainError, Superseded};
use crate::context::Recycled;
use crate::engine::{Engine, Lock, Shared};
use crate::error::Refusal;
use crate::limits::AGAIN_STEP_BYTES;
use crate::shard::ShardId;

/// See the module. It is begun anew after a start, and goes on where the log says that it was.
///
/// *Invariant:* nothing is written before all is known that it may be superseded by.
pub struct WriteAgain {
    spool: Aside,
    reader: Reader,
    /// All of the spool was looked at: what is asked of the log is known.
    has_asked: bool,
    stamps: Stamps,
    recycled: Recycled,
    /// The batch that was read and is not written again yet.
    held: Option<Vec<u8>>,
    left: u64,
    superseded: u64,
}

/// Is told what is superseded, and why it cannot tell others.
pub type Tell<'t> = dyn FnMut(&[Superseded]) -> Result<(), String> + 't;

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more.
    More,
    /// All of it is written again.
    Done,
}

impl Engine {
    /// What the group never got of this node, if something of it is left to be written again. To be asked once the node has all that its
    /// group had when it became a member, and before anybody else writes here.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn write_again(&self) -> Result<Option<WriteAgain>, AgainError> {
        let shared = &*self.shared;
        let Some(spool) = Aside::found(shared, UNDELIVERED)? else { return Ok(None) };
        let (reader, stamps, recycled) = (spool.reader()?, Stamps::new(shared)?, Recycled::new());
        let (has_asked, held, left, superseded) = (false, None, 0, 0);
        Ok(Some(WriteAgain { spool, reader, has_asked, stamps, recycled, held, left, superseded }))
    }

    /// Whether there is such.
    pub fn has_undelivered(&self) -> bool {
        aside::is_there(&self.shared.dir, UNDELIVERED)
    }
}

impl WriteAgain {
    /// Batches that are left, as far as it has looked.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Effects that were not written again, of the batches that were.
    pub fn superseded(&self) -> u64 {
        self.superseded
    }

    /// Looks at so much, and writes so many batches again at most; what is superseded is told before the batch that says so is logged, so perhaps twice.
    ///
    /// # Errors
    /// What holds it up: it goes on there when it is asked again. But for `Bytes`: then it is of no use any more. Of a batch about which nobody
    /// could be told nothing is logged.
    pub fn step(&mut self, engine: &Engine, most: usize, tell: &mut Tell<'_>) -> Result<Step, AgainError> {
        let (shared, mut room) = (&*engine.shared, AGAIN_STEP_BYTES);
        if !self.ask(shared, &mut room)? || !self.stamps.catch_up(shared, &mut room)? {
            return Ok(Step::More);
        }
        let mut written = 0;
        while written < most && room > 0 {
            if self.held.is_none() {
                self.held = self.reader.next()?.map(|record| record.payload.to_vec());
            }
            let Some(bytes) = &self.held else { return Ok(Step::Done) };
            let batch = Batch::decode(bytes)?;
            if !shared.replication.again.done().has(last_of(&batch)) {
                self.superseded += write(engine, &batch, &self.stamps, &mut self.recycled, tell)?;
                self.left -= 1;
                written += 1;
            }
            room = room.saturating_sub(bytes.len());
            self.held = None;
        }
        Ok(Step::More)
    }

    /// Looks at what is to be written again, as far as there is room for; whether that was all of it.
    fn ask(&mut self, shared: &Shared, room: &mut usize) -> Result<bool, AgainError> {
        if self.has_asked {
            return Ok(true);
        }
        let done = shared.replication.again.done();
        while !self.has_asked && *room > 0 {
            let Some(record) = self.reader.next()? else {
                (self.reader, self.has_asked) = (self.spool.reader()?, true);
                break;
            };
            *room = room.saturating_sub(record.payload.len());
            let batch = Batch::decode(record.payload)?;
            self.stamps.ask(&batch)?;
            self.left += u64::from(!done.has(last_of(&batch)));
        }
        Ok(self.has_asked)
    }

    /// All of it is written again: makes that durable, and gives up what was kept aside.
    ///
    /// # Errors
    /// The log's, or the file's. What is left is looked at again at the next start, and found to be done.
    pub fn end(self, engine: &Engine) -> Result<(), AgainError> {
        let shared = &*engine.shared;
        debug_assert!(self.has_asked && self.held.is_none(), "nothing is left");
        shared.log.commit(shared.log.end())?;
        // Nothing of it may be open when it goes.
        drop(self);
        aside::give_up(&shared.dir, UNDELIVERED)?;
        aside::give_up(&shared.dir, COPIED)?;
        shared.replication.again.hold(None);
        Ok(())
    }
}

/// Effects that are superseded.
fn write(
    engine: &Engine,
    batch: &Batch<'_>,
    stamps: &Stamps,
    recycled: &mut Recycled,
    tell: &mut Tell<'_>,
) -> Result<u64, AgainError> {
    let (mut shards, mut is_whole, mut is_ruled) = (Vec::<ShardId>::new(), false, false);
    for effect in batch.effects() {
        let effect = effect?;
        is_whole |= matches!(effect.op, Op::SwapDb(_));
        // A transaction that nobody got is not decided, and will not be.
        is_ruled |= matches!(&effect.op, Op::Bind(bind) if bind.exclusive);
        shards.push(engine.shard_of(effect.key));
    }
    shards.push(engine.shard_of(b""));
    shards.sort_unstable_by_key(|shard| shard.0);
    shards.dedup();
    let lock = if is_whole { Lock::All } else { Lock::Some(&shards) };
    let mut is_written = !is_ruled;
    loop {
        fetch(&engine.shared, batch)?;
        let context = engine.context(lock, 0, engine.now_ms(), recycled);
        let mut rules = Rules { context, stamps, dot: batch.first, superseded: Vec::new() };
        prepare(&mut rules, batch)?;
        for (n, effect) in (0..).zip(batch.effects()) {
            let (effect, hlc) = (effect?, batch.hlc.plus(n));
            rules.dot = Dot { seq: batch.first.seq + n, ..batch.first };
            match is_written {
                true => rules.take(&effect, hlc)?,
                false if matches!(effect.op, Op::Bind(_)) => {}
                false => rules.tell(&effect, None, hlc),
            }
        }
        let (keyspace, deps) = (KeyspaceId::DEFAULT, Seq::empty(DotShape));
        let op = Op::Again(last_of(batch));
        rules.context.out.batch.push(&Effect { keyspace, db: 0, key: b"", fresh: false, deps, op });
        let Rules { mut context, superseded, .. } = rules;
        let comes_again = is_written && is_too_large(&context);
        if !superseded.is_empty() && !comes_again {
            tell(&superseded).map_err(AgainError::Untold)?;
        }
        match context.commit() {
            // What stands for it says more than it did.
            Err(Refusal::BatchTooLarge { .. }) if is_written => is_written = false,
            other => return Ok(other.map(|_| superseded.len() as u64)?),
        }
    }
}

fn is_too_large(context: &crate::context::Context<'_>) -> bool {
    context.out.batch.size_in_record() > context.shared.limits.batch_bytes()
}

/// Rows are read before shards are locked; what is evicted in between is read again then.
fn fetch(shared: &Shared, batch: &Batch<'_>) -> Result<(), AgainError> {
    if shared.residency.is_on() {
        for effect in batch.effects() {
            let effect = effect?;
            if effect.op.is_of_one_key() {
                shared.fetch(effect.db, effect.key)?;
            }
        }
    }
    Ok(())
}

fn prepare(rules: &mut Rules<'_, '_>, batch: &Batch<'_>) -> Result<(), AgainError> {
    let shared = rules.context.shared;
    if shared.residency.is_on() {
        for effect in batch.effects() {
            let effect = effect?;
            let place = shared.place_of(effect.key);
            if let Some(guard) = rules.context.state.guards.get_mut(place.shard).filter(|_| effect.op.is_of_one_key()) {
                shared.fetch_locked(guard, effect.db, place, effect.key)?;
                shared.prepare_part(guard, &effect, place)?;
            }
        }
    }
    Ok(())
}
