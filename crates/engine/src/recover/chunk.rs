//! A part of the log, laid out to be applied by several threads.
//!
//! ```text
//!   bytes     payload ‖ payload ‖ …                      as they stood in the log
//!   dues      where each effect stands, and its place    16 bytes each
//!   passages  effects of one key each, by shard  ·  an effect on several shards, alone  ·  effects of one key each  …
//!   authors   who wrote each effect when, knowing what: where there are other replicas, and of definitions of a group's keyspaces
//! ```
//! *Invariant:* in a passage that is by shard the effects of each shard stand together, in the order of the log.

use std::ops::Range;

use effect::{Batches, Dot, Effect, Effects, Hlc, Op, Origin, Vector};
use wal::{Position, Reader, Record};

use super::course::Course;
use crate::engine::{RECORD_BATCHES, Shared};
use crate::error::OpenError;
use crate::exclusive::{self, Recalled};
use crate::limits::{REPLAY_CHUNK_BYTES, REPLAY_SHARED, SHARDS};
use crate::prefetch::prefetch;
use crate::replica::{RECORD_STATE, State};
use crate::shard::ShardId;
use crate::stop::Place;
use crate::suffix::Written;

/// See the module.
#[derive(Default)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    dues: Vec<Due>,
    passages: Vec<Passage>,
    authors: Vec<Author>,
    /// What they knew, where it is said.
    contexts: Vec<Vector>,
    states: Vec<State>,
    binds: Vec<Recalled>,
    /// Where the log goes on behind it.
    pub(super) end: Position,
}

/// An effect that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    order: u64,
    at: u32,
    shard: ShardId,
    pub(super) db: u8,
}

const _: () = assert!(size_of::<Due>() == 16, "millions of them are written, sorted and read");

impl Due {
    /// The place of its key.
    #[inline]
    pub(super) fn place(&self) -> Place {
        Place { shard: self.shard, order: self.order }
    }
}

/// Who wrote an effect when, knowing what.
struct Author {
    at: u32,
    /// Which of the contexts; of this node's own, all that stands before it.
    context: Option<usize>,
    dot: Dot,
    hlc: Hlc,
}

/// Effects, one behind the other, of one origin.
pub(super) struct Passage {
    dues: Range<usize>,
    pub(super) origin: Origin,
    pub(super) how: How,
}

/// How a passage is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// One effect on several shards: with all of them locked.
    Alone,
    /// A few effects of one key each, in their order.
    InOrder,
    /// Many: each shard's by themselves.
    ByShard,
    /// None: it is said what is stable.
    State(usize),
    /// None: an exclusive transaction, which waits for its verdict.
    Bind(usize),
}

impl Chunk {
    /// Reads on, to some MiB; whether there was anything.
    pub(super) fn fill(
        &mut self,
        shared: &Shared,
        reader: &mut Reader,
        course: &mut Course,
        sorted: &mut Vec<Due>,
    ) -> Result<bool, OpenError> {
        self.bytes.clear();
        self.dues.clear();
        self.passages.clear();
        self.authors.clear();
        self.contexts.clear();
        self.states.clear();
        self.binds.clear();
        while self.bytes.len() < REPLAY_CHUNK_BYTES
            && let Some(record) = reader.next()?
        {
            self.add(shared, &record, course, sorted)?;
            course.passes(record.end);
            self.end = record.end;
        }
        self.end_passage(sorted);
        Ok(!self.passages.is_empty())
    }

    /// Adds the effects of a record.
    fn add(
        &mut self,
        shared: &Shared,
        record: &Record<'_>,
        course: &mut Course,
        sorted: &mut Vec<Due>,
    ) -> Result<(), OpenError> {
        let refused = |source| OpenError::Batch { position: record.start.get(), source };
        if record.kind == RECORD_STATE {
            self.add_state(State::decode(record.payload).map_err(refused)?, course, sorted);
            return Ok(());
        }
        if record.kind != RECORD_BATCHES {
            return Err(OpenError::Kind { position: record.start.get(), kind: record.kind.get() });
        }
        let from = self.bytes.len();
        let mut context = None;
        self.bytes.extend_from_slice(record.payload);
        let mut batches = Batches::decode(record.payload);
        while let Some(batch) = batches.next() {
            let batch = batch.map_err(refused)?;
            course.follow(&batch)?;
            let (origin, end) = (batch.first.origin, from + batches.offset());
            if course.replicates && (context.is_none() || batch.context.is_some()) {
                context = course.waymarks.heard(origin).map(|said| {
                    self.contexts.push(said.clone());
                    self.contexts.len() - 1
                });
            }
            let mut effects = batch.effects();
            for n in 0.. {
                let at = (end - effects.remaining()) as u32;
                let Some(effect) = effects.next() else { break };
                let effect = effect.map_err(refused)?;
                if n == 0 && exclusive::is_bind(&effect) {
                    self.end_passage(sorted);
                    let dues = self.dues.len()..self.dues.len();
                    self.passages.push(Passage { dues, origin, how: How::Bind(self.binds.len()) });
                    self.binds.push(course.recalled(&batch, record, shared.log.first()));
                    break;
                }
                let is_alone = !effect.op.is_of_one_key();
                self.enter_passage(origin, is_alone, sorted);
                let Place { shard, order } = shared.place_of(effect.key);
                self.dues.push(Due { order, at, shard, db: effect.db });
                if course.replicates || matches!(effect.op, Op::GroupDefine(_)) {
                    let dot = Dot { origin, seq: batch.first.seq + n };
                    self.authors.push(Author { at, context, dot, hlc: batch.hlc.plus(n) });
                }
            }
        }
        Ok(())
    }

    /// What came before is applied before what is stable is settled.
    fn add_state(&mut self, state: State, course: &mut Course, sorted: &mut Vec<Due>) {
        course.turn(state.on);
        self.end_passage(sorted);
        let dues = self.dues.len()..self.dues.len();
        self.passages.push(Passage { dues, origin: Origin(0), how: How::State(self.states.len()) });
        self.states.push(state);
    }

    /// The next effect is of the last passage from now on, which it begins unless it goes on with it.
    #[inline]
    fn enter_passage(&mut self, origin: Origin, is_alone: bool, sorted: &mut Vec<Due>) {
        let goes_on = |last: &Passage| last.origin == origin && last.how == How::InOrder && !is_alone;
        if !self.passages.last().is_some_and(goes_on) {
            self.end_passage(sorted);
            let how = if is_alone { How::Alone } else { How::InOrder };
            self.passages.push(Passage { dues: self.dues.len()..self.dues.len(), origin, how });
        }
    }

    /// Brings the last passage into order, which ends here.
    fn end_passage(&mut self, sorted: &mut Vec<Due>) {
        let end = self.dues.len();
        let Some(last) = self.passages.last_mut() else { return };
        last.dues.end = end;
        if last.how == How::InOrder && last.dues.len() >= REPLAY_SHARED {
            last.how = How::ByShard;
            sort_by_shard(&mut self.dues[last.dues.clone()], sorted);
        }
    }

    pub(super) fn state(&self, number: usize) -> &State {
        &self.states[number]
    }

    pub(super) fn bind(&self, number: usize) -> &Recalled {
        &self.binds[number]
    }

    /// Who wrote an effect, where there were other replicas then.
    pub(super) fn author(&self, due: &Due) -> Option<Written<'_>> {
        let found = self.authors.binary_search_by_key(&due.at, |author| author.at).ok()?;
        let Author { context, dot, hlc, .. } = self.authors[found];
        Some(Written { dot, hlc, context: context.map(|context| &self.contexts[context]) })
    }

    pub(super) fn passages(&self) -> impl Iterator<Item = &Passage> {
        self.passages.iter()
    }

    /// The effects of a passage.
    pub(super) fn dues(&self, passage: &Passage) -> &[Due] {
        &self.dues[passage.dues.clone()]
    }

    /// The same of one that is by shard: of each shard that it has any for.
    pub(super) fn shares(&self, passage: &Passage) -> Vec<&[Due]> {
        self.dues(passage).chunk_by(|one, next| one.shard == next.shard).collect()
    }

    /// Fetches the bytes of an effect into the processor's caches.
    #[inline]
    pub(super) fn fetch(&self, due: &Due) {
        let from = &self.bytes[due.at as usize..];
        prefetch(from.as_ptr());
        if let Some(next_line) = from.get(64) {
            prefetch(next_line);
        }
    }

    /// An effect of a passage.
    #[inline]
    pub(super) fn effect(&self, origin: Origin, due: &Due) -> Effect<'_> {
        Effects::first(origin, &self.bytes[due.at as usize..]).expect("it was read when the chunk was filled")
    }
}

/// Brings effects of one shard together and leaves them in their order: one count of all, one move of each.
fn sort_by_shard(dues: &mut [Due], sorted: &mut Vec<Due>) {
    let mut next = [0u32; SHARDS + 1];
    dues.iter().for_each(|due| next[usize::from(due.shard.0) + 1] += 1);
    for shard in 1..=SHARDS {
        next[shard] += next[shard - 1];
    }
    sorted.clear();
    sorted.extend_from_slice(dues);
    for due in sorted.iter() {
        let at = &mut next[usize::from(due.shard.0)];
        dues[*at as usize] = *due;
        *at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn effects_of_a_shard_come_together_and_stay_in_their_order(shards in prop::collection::vec(any::<u8>(), 0..600)) {
            let due = |(at, shard): (usize, &u8)| Due { order: 7, at: at as u32, shard: ShardId(*shard), db: 0 };
            let mut dues: Vec<Due> = shards.iter().enumerate().map(due).collect();
            let mut expected = dues.clone();
            expected.sort_by_key(|due| due.shard);
            sort_by_shard(&mut dues, &mut Vec::new());
            prop_assert_eq!(dues, expected);
        }
    }
}
