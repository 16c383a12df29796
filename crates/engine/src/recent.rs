//! The recent effects on one key, as the log has them: for people who want to see what happened to it.
//!
//! ```text
//!   log   ……………│ waymark ├── 64 MiB at most ──┤ end      effects on the key, each with what its writer had applied
//!   suffix of the key ─▶ the last recent effect of each origin, also where the log that is read does not reach back so far
//! ```
//! *Invariant:* it reads what is written, changes nothing and locks one shard for one look.

use std::ops::ControlFlow;

use effect::{Batches, Dot, Effect, Hlc, Op, TraceContext, Vector};

use crate::engine::Engine;
use crate::feed::FeedError;
use crate::limits::RECENT_BYTES;

/// An effect on the key that was asked for.
#[derive(Debug)]
pub struct RecentEffect<'a> {
    /// Which one.
    pub dot: Dot,
    /// When it was written.
    pub hlc: Hlc,
    /// What its writer had applied of other origins.
    pub context: &'a Vector,
    /// The trace that its batch belongs to.
    pub trace: Option<TraceContext>,
    /// The effect.
    pub effect: &'a Effect<'a>,
}

impl Engine {
    /// Visits the effects on a key of a logical database that stand in the last part of the log, oldest first, until `visit` breaks.
    /// Answers the last recent effect of each origin on the key, of what is not stable.
    pub fn recent_effects(
        &self,
        db: u8,
        key: &[u8],
        mut visit: impl FnMut(&RecentEffect<'_>) -> ControlFlow<()>,
    ) -> Result<Vector, FeedError> {
        let shared = &*self.shared;
        let db = shared.physical(db);
        let reach = shared.reach_of(db, key);
        shared.log.write_out()?;
        let known = {
            let mut log = shared.log.lock();
            let from = log.end().get().saturating_sub(RECENT_BYTES);
            log.state().waymarks.vector_behind(from)
        };
        let mut feeder = self.feed(known, false)?;
        while let Some(fed) = feeder.next_record()? {
            let position = feeder.position().get();
            for batch in Batches::decode(&fed.record) {
                let batch = batch.map_err(|source| FeedError::Record { position, source })?;
                for (n, effect) in (0..).zip(batch.effects()) {
                    let effect = effect.map_err(|source| FeedError::Record { position, source })?;
                    let dot = Dot { seq: batch.first.seq + n, ..batch.first };
                    let (hlc, trace) = (batch.hlc.plus(n), batch.trace);
                    let recent = RecentEffect { dot, hlc, context: &fed.context, trace, effect: &effect };
                    if is_about(&effect, db, key) && visit(&recent).is_break() {
                        return Ok(reach);
                    }
                }
            }
        }
        Ok(reach)
    }
}

/// Whether the effect is on the key of a physical database, or on all keys of it.
fn is_about(effect: &Effect<'_>, db: u8, key: &[u8]) -> bool {
    match &effect.op {
        Op::FlushAll => true,
        Op::FlushDb => effect.db == db,
        Op::Rename { db: to_db, key: to, .. } => (effect.db, effect.key) == (db, key) || (*to_db, *to) == (db, key),
        Op::Define(_) | Op::Undefine | Op::Moved(_) | Op::SwapDb(_) | Op::Again(_) | Op::GroupDefine(_) => false,
        _ => (effect.db, effect.key) == (db, key),
    }
}
