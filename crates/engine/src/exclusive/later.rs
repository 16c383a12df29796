//! What has come and was not observed by a transaction, read from the log.

use effect::{Batches, Dot, Effect, Hlc, Op, Vector};

use super::{Pending, bind_of};
use crate::engine::Shared;
use crate::feed::{Fed, FeedError, Feeder};
use crate::keyspace::is_logged;
use crate::suffix;

/// See the module.
#[derive(Default)]
pub(crate) struct Later {
    fed: Vec<Fed>,
    bind: Option<Dot>,
}

/// An effect with what its writer had applied.
pub(crate) type LaterEffect<'l> = (Dot, Hlc, &'l Vector, Effect<'l>);

impl Later {
    /// Reads it, in the order of the log. Whoever has the keys' shards locked has all that was applied to them.
    pub(crate) fn read(shared: &Shared, pending: &Pending) -> Result<Self, FeedError> {
        shared.log.write_out()?;
        let mut feeder = Feeder::behind(shared, pending.from.clone(), pending.context.clone())?;
        let mut all = Vec::new();
        while let Some(fed) = feeder.next_record()? {
            all.push(fed);
        }
        Ok(Self { fed: all, bind: Some(pending.first) })
    }

    /// What is about a key and came before the verdict. Transactions are not: of those that write the key none was committed meanwhile.
    pub(crate) fn of_key<'l>(&'l self, db: u8, key: &'l [u8], observed: &Vector) -> Vec<LaterEffect<'l>> {
        let mut found = Vec::new();
        for fed in &self.fed {
            // They could be read when they were logged.
            for batch in Batches::decode(&fed.record).flatten().filter(|batch| bind_of(batch).is_none()) {
                for (n, effect) in (0..).zip(batch.effects().flatten()) {
                    if matches!(effect.op, Op::Verdict { bind, .. } if Some(bind) == self.bind) {
                        return found;
                    }
                    let dot = Dot { seq: batch.first.seq + n, ..batch.first };
                    let concerns = match effect.op {
                        Op::FlushAll => true,
                        Op::FlushDb => effect.db == db,
                        _ => effect.op.is_of_one_key() && effect.db == db && effect.key == key,
                    };
                    if concerns && is_logged(&effect) && !observed.has(dot) {
                        found.push((dot, batch.hlc.plus(n), &fed.context, suffix::on_key(&effect, key, db)));
                    }
                }
            }
        }
        found
    }
}
