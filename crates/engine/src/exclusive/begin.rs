//! EXEC, as far as the engine is concerned: its commands have run on the locked state; what they changed is taken back and logged.

use std::collections::BTreeMap;
use std::sync::Arc;

use effect::codec::{BindKey, BindKeyShape, DotShape, Left, NodeShape};
use effect::limits::MAX_BIND_KEYS;
use effect::{Batch, BatchBuf, BatchMark, Bind, Dot, Effect, Hlc, KeyspaceId, Op, Seq, SeqBuf, Vector};
use thiserror::Error;
use wal::Position;

use super::Pending;
use crate::backup::Hold;
use crate::context::{Context, settle};
use crate::engine::{Sequencer, Shared};
use crate::error::Refusal;
use crate::feed::Waymark;
use crate::limits::SHOWN_BYTES;
use crate::shard::DbKey;
use crate::suffix;
use crate::undo::undo_to;

/// Why a transaction was not logged. Nothing of it remains.
#[derive(Debug, Error)]
pub enum ExclusiveError {
    /// The log does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Whole databases have no keys that could be voted on.
    #[error(
        "ERR FLUSHDB, FLUSHALL and SWAPDB are not possible in a transaction after WATCH while there are other replicas"
    )]
    Whole,
    /// Each key costs every replica.
    #[error("ERR a transaction after WATCH has {MAX_BIND_KEYS} keys at most while there are other replicas")]
    ManyKeys,
    /// Another one writes a key of it and waits for its verdict, or reads what this one writes: it would have read what may be overwritten.
    #[error("another transaction on these keys is not decided yet")]
    Undecided,
    /// What a cache holds is not replicated.
    #[error("ERR keys of cache keyspaces are not possible in a transaction after WATCH while there are other replicas")]
    Cached,
}

/// A transaction that is in the log and waits for its verdict.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Its bind.
    pub bind: Dot,
    /// When it was begun.
    pub hlc: Hlc,
    /// Where it stands in the log.
    pub position: Position,
    /// Its batch, which begins with the bind.
    pub batch: Arc<[u8]>,
}

/// What a transaction does to a key.
#[derive(Default)]
struct Used {
    written: bool,
    read: bool,
}

type Uses = BTreeMap<DbKey, Used>;

impl Context<'_> {
    /// Logs what was emitted as an exclusive transaction that also read or watched `read` (by logical database), to be decided by `voters`.
    /// It is unsafe if all of its keys are, and there is room for more that is shown ([`SHOWN_BYTES`]). The state is as before, and the locks are free, whatever is answered.
    pub fn commit_exclusive(
        &mut self,
        read: &[DbKey],
        voters: &[u64],
        is_unsafe: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Begun, ExclusiveError> {
        let begun = self.begin(read, voters, is_unsafe);
        // Behind the log, and before anybody else can write its keys.
        undo_to(&mut self.state, 0);
        let begun = begun.map(|(begun, pending, hold)| {
            self.shared.exclusives.put(pending, hold, begun.position);
            begun
        });
        self.state.guards.release();
        begun
    }

    fn begin(
        &mut self,
        read: &[DbKey],
        voters: &[u64],
        is_unsafe: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(Begun, Pending, Hold), ExclusiveError> {
        let shared = self.shared;
        if self.out.cached || self.out.aside.is_some() {
            return Err(ExclusiveError::Cached);
        }
        let mut is_whole = false;
        self.out.batch.each_since(BatchMark::START, |effect| is_whole |= !effect.op.is_of_one_key());
        if is_whole {
            return Err(ExclusiveError::Whole);
        }
        let uses = self.uses(read);
        if uses.len() > MAX_BIND_KEYS {
            return Err(ExclusiveError::ManyKeys);
        }
        let is_unsafe = !uses.is_empty()
            && uses.keys().all(|(_, key)| is_unsafe(key))
            && shared.exclusives.shown_bytes() < SHOWN_BYTES;
        if shared.exclusives.clashes(is_unsafe, uses.iter().map(|(name, used)| (name, used.written))) {
            return Err(ExclusiveError::Undecided);
        }
        suffix::remove_expired(&self.state, &mut self.out);
        suffix::restate(&mut self.state, &mut self.out);
        settle(&mut self.state, &mut self.out);
        // All that has been applied to its keys, which are locked, is in the log.
        let context = shared.log.lock().state().vector(shared.origin());
        let mut batch = BatchBuf::new(shared.group, shared.origin());
        batch.set_trace(self.out.batch.trace());
        self.push_bind(&mut batch, &uses, voters, is_unsafe, &context);
        self.out.batch.each_since(BatchMark::START, |effect| batch.push(effect));
        let end = shared.log.end();
        let hold = shared.kept.hold(&shared.log, end).map_err(Refusal::Log)?;
        let mut mark = None;
        let logged = Context::log_behind(shared, self.state.now_ms, &mut batch, |log| mark = Some(place(shared, log)))?;
        let (bytes, bind): (Arc<[u8]>, _) = (batch.encoded().into(), Dot { origin: shared.origin(), seq: logged.seq });
        let begun = Begun { bind, hlc: logged.hlc, position: logged.position, batch: Arc::clone(&bytes) };
        let decoded = Batch::decode(&bytes).expect("it was encoded here");
        let from = mark.expect("it was noted when the batch was logged");
        let pending = Pending::new(&decoded, &bytes, Some(from)).expect("it begins with a bind");
        Ok((begun, pending, hold))
    }

    /// The keys, by physical database.
    fn uses(&self, read: &[DbKey]) -> Uses {
        let mut uses = Uses::new();
        self.out.batch.each_since(BatchMark::START, |effect| {
            uses.entry((effect.db, effect.key.into())).or_default().written = true;
        });
        for (db, key) in read {
            uses.entry((self.shared.physical(*db), key.clone())).or_default().read = true;
        }
        uses
    }

    /// The bind, with the keys as the transaction leaves them.
    fn push_bind(&self, batch: &mut BatchBuf, uses: &Uses, voters: &[u64], is_unsafe: bool, context: &Vector) {
        let (mut keys, mut nodes, mut observed) =
            (SeqBuf::new(BindKeyShape), SeqBuf::new(NodeShape), SeqBuf::new(DotShape));
        voters.iter().for_each(|node| nodes.push(*node));
        context.iter().for_each(|dot| observed.push(dot));
        for (name, Used { written, read }) in uses {
            let left = if *written { self.left(name.0, &name.1) } else { None };
            let keyspace = KeyspaceId::DEFAULT;
            keys.push(BindKey { written: *written, read: *read, keyspace, db: name.0, key: &name.1, left });
        }
        let (voters, context, keys) = (nodes.seq(), observed.seq(), keys.seq());
        let op = Op::Bind(Bind { exclusive: true, is_unsafe, voters, context, keys });
        let deps = Seq::empty(DotShape);
        batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key: b"", fresh: false, deps, op });
    }

    fn left(&self, db: u8, key: &[u8]) -> Option<Left> {
        let place = self.shared.place_of(key);
        let entry = self.state.shard(place.shard).ok()?.find(db, place.order, key)?;
        Some(Left { kind: entry.kind(), deadline: entry.deadline() })
    }
}

/// The place of the next record, which a transaction begins, since the one before is not extended any more: the log is read from there.
pub(crate) fn place(shared: &Shared, log: &mut wal::Appender<'_, Sequencer>) -> Waymark {
    let end = log.end();
    let sequencer = log.state();
    sequencer.waymarks.here(end, sequencer.vector(shared.origin()))
}
