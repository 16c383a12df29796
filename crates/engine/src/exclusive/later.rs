//! What has come and was not observed by a transaction: what the last checkpoint remembers, then what the log has behind it.

use std::sync::Arc;

use effect::{Batches, Dot, Effect, Hlc, Op, Vector};
use wal::Position;

use super::{Pending, bind_of};
use crate::engine::Shared;
use crate::feed::{FeedError, Feeder};
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
    records: Vec<Early>,
    bind: Option<Dot>,
}

/// An effect with what its writer had applied.
pub(crate) type LaterEffect<'l> = (Dot, Hlc, &'l Vector, Effect<'l>);

impl Later {
    /// Reads it, as far as it stands before `end`. Whoever has the keys' shards locked has all that was applied to them.
    pub(crate) fn read(shared: &Shared, pending: &Pending, end: Option<Position>) -> Result<Self, FeedError> {
        let lost = || FeedError::Gone { origin: pending.first.origin.0, since: 0, first: pending.first.seq };
        let mut records = pending.early.as_ref().map(|early| early.to_vec()).unwrap_or_default();
        shared.log.write_out()?;
        let mark = pending.from.clone().ok_or_else(lost)?;
        let mut feeder = Feeder::behind(shared, mark, pending.context.clone())?;
        while let Some(fed) = feeder.next_record()?
            && end.is_none_or(|end| feeder.position() <= end)
        {
            let early = Early { context: fed.context, record: fed.record };
            let (mut is_about_it, mut is_over) = (false, false);
            for (name, _) in &pending.written {
                for found in early.effects(name, &pending.context, Some(pending.first)) {
                    is_about_it |= found.is_some();
                    is_over |= found.is_none();
                }
            }
            if is_about_it || is_over {
                records.push(early);
            }
            if is_over {
                break;
            }
        }
        Ok(Self { records, bind: Some(pending.first) })
    }

    /// What is about a key and came before the verdict. Transactions are not: of those that write the key none was committed meanwhile.
    pub(crate) fn of_key<'l>(&'l self, name: &'l DbKey, observed: &'l Vector) -> Vec<LaterEffect<'l>> {
        let all = self.records.iter().flat_map(|early| early.effects(name, observed, self.bind));
        all.map_while(|found| found).collect()
    }

    /// For whoever goes on behind a checkpoint.
    pub(crate) fn into_records(self) -> Arc<[Early]> {
        self.records.into()
    }
}

impl Early {
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
