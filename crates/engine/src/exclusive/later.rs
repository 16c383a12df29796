//! What has come and was not observed by a transaction: what the last checkpoint remembers, then what the log has behind it.

use std::collections::HashSet;
use std::sync::Arc;

use effect::{Batches, Dot, Effect, Hlc, Op, Vector};
use wal::Position;

use super::{Pending, bind_of};
use crate::engine::Shared;
use crate::feed::{FeedError, Feeder, Waymark};
use crate::keyspace::is_logged;
use crate::shard::DbKey;
use crate::suffix;

/// A record of the log, and what its writer had applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Early {
    pub(crate) context: Vector,
    pub(crate) record: Vec<u8>,
}

/// See the module: records in the order of the log.
#[derive(Default)]
pub(crate) struct Later {
    records: Vec<Arc<Early>>,
    bind: Option<Dot>,
}

/// An effect with what its writer had applied.
pub(crate) type LaterEffect<'l> = (Dot, Hlc, &'l Vector, Effect<'l>);

/// What is being read for a transaction.
struct Reading<'p> {
    pending: &'p Pending,
    from: &'p Waymark,
    later: Later,
    /// Its verdict stands here.
    is_over: bool,
}

#[cfg(test)]
thread_local! {
    /// How often this thread has read the log.
    pub(super) static SCANS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl<'p> Reading<'p> {
    fn new(pending: &'p Pending) -> Result<Self, FeedError> {
        let lost = || FeedError::Gone { origin: pending.first.origin.0, since: 0, first: pending.first.seq };
        let early = pending.early.iter().flat_map(|early| early.iter().cloned().map(Arc::new));
        let later = Later { records: early.collect(), bind: Some(pending.first) };
        Ok(Self { pending, from: pending.from.as_ref().ok_or_else(lost)?, later, is_over: false })
    }

    fn take(&mut self, early: &Arc<Early>) {
        let (mut is_about_it, pending) = (false, self.pending);
        for (name, _) in &pending.written {
            for found in early.effects(name, &pending.context, Some(pending.first)) {
                is_about_it |= found.is_some();
                self.is_over |= found.is_none();
            }
        }
        if is_about_it || self.is_over {
            self.later.records.push(Arc::clone(early));
        }
    }
}

impl Later {
    /// Reads it, as far as it stands before `end`. Whoever has the keys' shards locked has all that was applied to them.
    pub(crate) fn read(shared: &Shared, pending: &Pending, end: Option<Position>) -> Result<Self, FeedError> {
        Ok(Self::read_all(shared, &[pending], end)?.pop().unwrap_or_default())
    }

    /// The same for several, in one pass over the log.
    pub(crate) fn read_all(
        shared: &Shared,
        pendings: &[&Pending],
        end: Option<Position>,
    ) -> Result<Vec<Self>, FeedError> {
        let mut all = pendings.iter().map(|pending| Reading::new(pending)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = all.iter().map(|reading| reading.from).min_by_key(|from| from.position) else {
            return Ok(Vec::new());
        };
        #[cfg(test)]
        SCANS.set(SCANS.get() + 1);
        shared.log.write_out()?;
        let known = pendings.iter().map(|pending| pending.context.clone()).reduce(|all, one| all.meet(&one));
        let mut feeder = Feeder::behind(shared, first.clone(), known.unwrap_or_default())?;
        let written = pendings.iter().flat_map(|pending| &pending.written);
        let names: HashSet<(u8, &[u8])> = written.map(|((db, key), _)| (*db, &**key)).collect();
        while all.iter().any(|reading| !reading.is_over)
            && let Some(fed) = feeder.next_record()?
            && end.is_none_or(|end| feeder.position() <= end)
        {
            let early = Early { context: fed.context, record: fed.record };
            if early.is_about(&names) {
                let (early, position) = (Arc::new(early), feeder.position());
                let takes = |reading: &&mut Reading<'_>| !reading.is_over && reading.from.position < position;
                all.iter_mut().filter(takes).for_each(|reading| reading.take(&early));
            }
        }
        Ok(all.into_iter().map(|reading| reading.later).collect())
    }

    /// What is about a key and came before the verdict. Transactions are not: of those that write the key none was committed meanwhile.
    pub(crate) fn of_key<'l>(&'l self, name: &'l DbKey, observed: &'l Vector) -> Vec<LaterEffect<'l>> {
        let all = self.records.iter().flat_map(|early| early.effects(name, observed, self.bind));
        all.map_while(|found| found).collect()
    }

    /// For whoever goes on behind a checkpoint.
    pub(crate) fn into_records(self) -> Arc<[Early]> {
        self.records.into_iter().map(Arc::unwrap_or_clone).collect()
    }
}

impl Early {
    /// Whether it can concern whoever writes one of these keys.
    fn is_about(&self, names: &HashSet<(u8, &[u8])>) -> bool {
        let is_about = |effect: &Effect<'_>| !effect.op.is_of_one_key() || names.contains(&(effect.db, effect.key));
        Batches::decode(&self.record).flatten().any(|batch| batch.effects().flatten().any(|effect| is_about(&effect)))
    }

    /// The effects about a key that are not observed; `None` where a verdict on `bind` stands.
    fn effects<'l>(
        &'l self,
        name: &'l DbKey,
        observed: &'l Vector,
        bind: Option<Dot>,
    ) -> impl Iterator<Item = Option<LaterEffect<'l>>> {
        // They could be read when they were logged.
        let batches = Batches::decode(&self.record).flatten().filter(|batch| bind_of(batch).is_none());
        let effects = batches.flat_map(|batch| {
            let all: Vec<_> = (0..).zip(batch.effects().flatten()).collect();
            all.into_iter()
                .map(move |(n, effect)| (Dot { seq: batch.first.seq + n, ..batch.first }, batch.hlc.plus(n), effect))
        });
        effects.filter_map(move |(dot, hlc, effect)| match effect.op {
            Op::Verdict { bind: decided, .. } => (Some(decided) == bind).then_some(None),
            _ if !concerns(&effect, name) || observed.has(dot) => None,
            _ => Some(Some((dot, hlc, &self.context, suffix::on_key(&effect, &name.1, name.0)))),
        })
    }
}

fn concerns(effect: &Effect<'_>, (db, key): &DbKey) -> bool {
    let is_of_it = match effect.op {
        Op::FlushAll => true,
        Op::FlushDb => effect.db == *db,
        _ => effect.op.is_of_one_key() && effect.db == *db && *effect.key == **key,
    };
    is_of_it && is_logged(effect)
}
